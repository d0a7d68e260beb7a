//! The result as Markdown.

use std::fmt::Write;

use crate::abuse::Abuse;
use crate::rows::{FIGURES, ROWS, Row};
use crate::samples::Samples;
use crate::server::Kind;

/// What stands around the figures.
#[derive(Debug, Default)]
pub struct Head {
    /// Lines about machine and versions.
    pub facts: Vec<String>,
    /// How it was run.
    pub method: Vec<String>,
    /// The run was long enough for its figures to be judged.
    pub judged: bool,
    /// What went wrong.
    pub problems: Vec<String>,
}

/// Which way a target goes.
#[derive(Debug, Clone, Copy)]
pub enum Goal {
    /// No less than this.
    AtLeast(f64),
    /// No more than this.
    AtMost(f64),
}

/// A number as people read it; a dash for none.
pub fn number(value: Option<f64>) -> String {
    let Some(value) = value else {
        return "-".into();
    };
    let digits = match value.abs() {
        large if large >= 100.0 => 0,
        middle if middle >= 10.0 => 1,
        _ => 2,
    };
    let text = format!("{value:.digits$}");
    // Thousands are set apart in the whole part only, and only numbers of 100 and more are long.
    if digits > 0 {
        return text;
    }
    let (sign, bare) = text
        .strip_prefix('-')
        .map_or(("", text.as_str()), |bare| ("-", bare));
    let mut out = String::new();
    for (at, digit) in bare.chars().enumerate() {
        if at > 0 && (bare.len() - at) % 3 == 0 {
            out.push(',');
        }
        out.push(digit);
    }
    format!("{sign}{out}")
}

/// The ratio, with the target and whether it is met.
pub fn ratio(value: Option<f64>, goal: Option<Goal>) -> String {
    let Some(value) = value else {
        return "-".into();
    };
    let met = |met: bool| if met { "met" } else { "not met" };
    match goal {
        None => format!("{value:.2}"),
        Some(Goal::AtLeast(target)) => {
            format!(
                "**{value:.2}** (at least {target:.0}: {})",
                met(value >= target)
            )
        }
        Some(Goal::AtMost(target)) => {
            let most = if target < 1.0 {
                format!("1/{:.0}", 1.0 / target)
            } else {
                format!("{target:.0}")
            };
            format!("**{value:.2}** (at most {most}: {})", met(value <= target))
        }
    }
}

/// The whole result.
pub fn markdown(samples: &Samples, head: &Head) -> String {
    let mut out = begin("Apache ZooKeeper 3.9.5 and zabkeeper, measured", head);
    loads(samples, ROWS, head.judged, &mut out);
    figures(samples, head.judged, &mut out);
    abuses(samples, &mut out);
    end(head, &mut out);
    out
}

/// What comes before the figures.
pub fn begin(title: &str, head: &Head) -> String {
    let mut out = format!("# {title}\n\n");
    for fact in &head.facts {
        let _ = writeln!(out, "- {fact}");
    }
    out.push('\n');
    for line in &head.method {
        let _ = writeln!(out, "{line}");
    }
    out
}

/// What comes after them.
pub fn end(head: &Head, out: &mut String) {
    if !head.problems.is_empty() {
        out.push_str("\n## What went wrong\n\n");
        for problem in &head.problems {
            let _ = writeln!(out, "- {problem}");
        }
    }
}

/// The loads of `rows` that were measured.
pub fn loads(samples: &Samples, rows: &[Row], judged: bool, out: &mut String) {
    let rows = rows.iter().filter(|row| {
        let name = format!("{}.rate", row.name);
        [Kind::Java, Kind::Zabkeeper]
            .iter()
            .any(|kind| samples.median(*kind, &name).is_some())
    });
    let rows: Vec<_> = rows.collect();
    if rows.is_empty() {
        return;
    }
    let mut section = |title: &str,
                       unit: &str,
                       part: &str,
                       goal: &dyn Fn(usize) -> Option<Goal>| {
        let _ = write!(
            out,
            "\n## {title}\n\n| load | Java, {unit} | zabkeeper, {unit} | zabkeeper : Java |\n|---|---:|---:|---|\n"
        );
        for (at, row) in rows.iter().enumerate() {
            let name = format!("{}.{part}", row.name);
            let _ = writeln!(
                out,
                "| {} | {} | {} | {} |",
                row.title,
                number(samples.median(Kind::Java, &name)),
                number(samples.median(Kind::Zabkeeper, &name)),
                ratio(samples.ratio(&name), goal(at).filter(|_| judged))
            );
        }
    };
    let targets = |at: usize| rows[at].targets;
    section("Throughput", "operations/s", "rate", &|at| {
        targets(at).rate.map(Goal::AtLeast)
    });
    section("Server CPU for each operation", "us", "cpu", &|at| {
        targets(at).cpu.map(Goal::AtMost)
    });
    section("Latency, half of the operations", "us", "p50", &|_| None);
    section("Latency, 99 of 100 operations", "us", "p99", &|at| {
        targets(at).p99.map(Goal::AtMost)
    });
}

fn figures(samples: &Samples, judged: bool, out: &mut String) {
    let mut begun = false;
    for figure in FIGURES {
        let medians = [Kind::Java, Kind::Zabkeeper].map(|kind| samples.median(kind, figure.name));
        if medians == [None, None] {
            continue;
        }
        if !begun {
            begun = true;
            out.push_str(
                "\n## Memory and start\n\n| figure | unit | Java | zabkeeper | zabkeeper : Java |\n|---|---|---:|---:|---|\n",
            );
        }
        let _ = writeln!(
            out,
            "| {} | {} | {} | {} | {} |",
            figure.title,
            figure.unit,
            number(medians[0]),
            number(medians[1]),
            ratio(
                samples.ratio(figure.name),
                figure.target.filter(|_| judged).map(Goal::AtMost)
            )
        );
    }
}

fn abuses(samples: &Samples, out: &mut String) {
    let mut begun = false;
    for abuse in Abuse::ALL {
        let name = |part: &str| format!("{abuse:?}.{part}");
        let cell = |kind, part: &str| number(samples.median(kind, &name(part)));
        let any = [Kind::Java, Kind::Zabkeeper].iter().any(|&kind| {
            samples.median(kind, &name("reads")).is_some()
                || samples.median(kind, &name("silent")).is_some()
        });
        if !any {
            continue;
        }
        if !begun {
            begun = true;
            out.push_str(
                "\n## A quiet session beside bad clients\n\n\
                 Latency of 99 of 100 operations of one session that asks for 50 reads and 50 writes a second, and\n\
                 what the server's memory grew to. A dash: the session was not served to the end.\n\n\
                 | abuse | Java: reads, us | writes, us | MiB | zabkeeper: reads, us | writes, us | MiB |\n\
                 |---|---:|---:|---:|---:|---:|---:|\n",
            );
        }
        let of = |kind| {
            format!(
                "{} | {} | {}",
                cell(kind, "reads"),
                cell(kind, "writes"),
                cell(kind, "mib")
            )
        };
        let _ = writeln!(
            out,
            "| {} | {} | {} |",
            abuse.title(),
            of(Kind::Java),
            of(Kind::Zabkeeper)
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_readable() {
        assert_eq!(number(None), "-");
        assert_eq!(number(Some(0.123)), "0.12");
        assert_eq!(number(Some(12.34)), "12.3");
        assert_eq!(number(Some(123.4)), "123");
        assert_eq!(number(Some(1_234_567.0)), "1,234,567");
        assert_eq!(number(Some(-1234.0)), "-1,234");
    }

    #[test]
    fn targets_are_judged() {
        assert_eq!(
            ratio(Some(3.0), Some(Goal::AtLeast(3.0))),
            "**3.00** (at least 3: met)"
        );
        assert_eq!(
            ratio(Some(0.26), Some(Goal::AtMost(0.25))),
            "**0.26** (at most 1/4: not met)"
        );
        assert_eq!(
            ratio(Some(1.5), Some(Goal::AtMost(2.0))),
            "**1.50** (at most 2: met)"
        );
        assert_eq!(ratio(None, Some(Goal::AtMost(0.25))), "-");
    }

    #[test]
    fn what_was_not_measured_is_left_out() {
        let mut samples = Samples::default();
        samples.add(Kind::Java, "get.rate", 0, 70_000.0);
        samples.add(Kind::Zabkeeper, "get.rate", 0, 210_000.0);
        let head = Head {
            judged: true,
            ..Head::default()
        };
        let text = markdown(&samples, &head);
        assert!(text.contains(
            "| get, 8 sessions, 64 outstanding | 70,000 | 210,000 | **3.00** (at least 3: met) |"
        ));
        assert!(!text.contains("Memory and start"));
        assert!(!text.contains("create"));
    }
}
