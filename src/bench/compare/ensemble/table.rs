//! The result of the comparison of ensembles as Markdown.

use std::fmt::Write;

use super::rows::ROWS;
use crate::samples::Samples;
use crate::server::Kind;
use crate::table::{Goal, Head, begin, end, loads, number, ratio};

const KINDS: [Kind; 2] = [Kind::Java, Kind::Zabkeeper];

/// The whole result.
pub fn markdown(samples: &Samples, head: &Head) -> String {
    let title = "Three servers of Apache ZooKeeper 3.9.5 and three of zabkeeper, measured";
    let mut out = begin(title, head);
    loads(samples, ROWS, head.judged, &mut out);
    failover(samples, head.judged, &mut out);
    catch_up(samples, head.judged, &mut out);
    end(head, &mut out);
    out
}

/// A line with a value of each kind and their ratio.
fn line(out: &mut String, title: &str, values: [Option<f64>; 2], goal: Option<Goal>) {
    let share = match values {
        [Some(java), Some(ours)] if java > 0.0 => Some(ours / java),
        _ => None,
    };
    let [java, ours] = values.map(number);
    let share = ratio(share, goal);
    let _ = writeln!(out, "| {title} | {java} | {ours} | {share} |");
}

fn failover(samples: &Samples, judged: bool, out: &mut String) {
    let kills = KINDS.map(|kind| samples.count(kind, "gap_ms"));
    if kills == [0, 0] {
        return;
    }
    let _ = write!(
        out,
        "\n## kill -9 of the leader under load\n\n\
         {} kills of Java's leaders, {} of zabkeeper's, while 8 sessions with 64 outstanding set znodes.\n\n\
         | figure | Java | zabkeeper | zabkeeper : Java |\n|---|---:|---:|---|\n",
        kills[0], kills[1]
    );
    let median = |name| KINDS.map(|kind| samples.median(kind, name));
    let most = |name| KINDS.map(|kind| samples.most(kind, name));
    let half = judged.then_some(Goal::AtMost(0.5));
    for (title, values, goal) in [
        (
            "until the first write succeeds, median, ms",
            median("gap_ms"),
            half,
        ),
        (
            "until the first write succeeds, longest, ms",
            most("gap_ms"),
            None,
        ),
        (
            "until every session writes, median, ms",
            median("gap_all_ms"),
            None,
        ),
        (
            "until every session writes, longest, ms",
            most("gap_all_ms"),
            None,
        ),
        ("writes a second before", median("gap_rate"), None),
    ] {
        line(out, title, values, goal);
    }
}

fn catch_up(samples: &Samples, judged: bool, out: &mut String) {
    for (name, title) in [
        (
            "diff",
            "A follower that has missed transactions returns: DIFF",
        ),
        ("snap", "A follower without data returns: SNAP"),
    ] {
        let median = |part: &str| {
            let name = format!("{name}.{part}");
            KINDS.map(|kind| samples.median(kind, &name))
        };
        if median("took_s") == [None, None] {
            continue;
        }
        let _ = write!(
            out,
            "\n## {title}\n\n| figure | Java | zabkeeper | zabkeeper : Java |\n|---|---:|---:|---|\n"
        );
        line(
            out,
            "start of the follower until it serves, s",
            median("took_s"),
            None,
        );
        line(
            out,
            "p99 of the leader's writes before, us",
            median("before_p99"),
            None,
        );
        line(
            out,
            "p99 of the leader's writes meanwhile, us",
            median("during_p99"),
            None,
        );
        line(out, "the slowest of them, us", median("during_max"), None);
        let [java, ours] = median("ratio");
        let goal = judged.then_some(Goal::AtMost(2.0));
        let _ = writeln!(
            out,
            "| p99 meanwhile : p99 before | {} | {} | |",
            number(java),
            ratio(ours, goal)
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_measured_is_told() {
        let mut samples = Samples::default();
        for (kind, gaps) in [
            (Kind::Java, [400.0, 500.0, 900.0]),
            (Kind::Zabkeeper, [100.0, 150.0, 300.0]),
        ] {
            for (at, gap) in gaps.into_iter().enumerate() {
                samples.add(kind, "gap_ms", at, gap);
            }
        }
        samples.add(Kind::Zabkeeper, "diff.took_s", 0, 1.5);
        samples.add(Kind::Zabkeeper, "diff.ratio", 0, 2.5);
        let head = Head {
            judged: true,
            ..Head::default()
        };
        let text = markdown(&samples, &head);
        for line in [
            "3 kills of Java's leaders, 3 of zabkeeper's",
            "| until the first write succeeds, median, ms | 500 | 150 | **0.30** (at most 1/2: met) |",
            "| until the first write succeeds, longest, ms | 900 | 300 | 0.33 |",
            "| start of the follower until it serves, s | - | 1.50 | - |",
            "| p99 meanwhile : p99 before | - | **2.50** (at most 2: not met) | |",
        ] {
            assert!(text.contains(line), "{line} is not in {text}");
        }
        assert!(!text.contains("SNAP"));
        assert!(!text.contains("Throughput"));
    }
}
