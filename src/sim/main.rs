//! Runs the simulator over many seeds: `sim --seeds 0..2000 [--threads 2]`, or one of them with its
//! whole trace: `SEED=7 sim`, `sim --seed 7`. `--twice` runs each twice and compares the traces,
//! `--failures N` stops after so many failures, `--require-coverage` fails when something that a
//! run can meet was met by none, `--no-fsync` runs a server that syncs nothing and must fail.
//!
//! `--cluster` runs ensembles (`--off RULE` without one rule, in a build that can do that) instead of single servers; of the other options it knows those with
//! seeds, threads and failures.
//!
//! With one thread, what goes to the standard output follows from the seeds alone; times go to the
//! standard error.

use std::ops::Range;
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use zk_sim::cluster::farm::Farm;
use zk_sim::coverage::Coverage;
use zk_sim::plan::{Plan, Syncs};
use zk_sim::run::{Run, run};

struct Options {
    seeds: Range<u64>,
    threads: usize,
    twice: bool,
    require_coverage: bool,
    syncs: Syncs,
    trace: bool,
    max_failures: usize,
    cluster: bool,
    #[cfg(feature = "mutations")]
    off: Option<zk_zab::rules::Rule>,
}

const USAGE: &str = "usage: sim [--seeds A..B] [--seed N] [--threads N] [--twice] [--failures N] \
                     [--require-coverage] [--no-fsync] [--cluster]";

fn options() -> Result<Options, String> {
    let mut options = Options {
        seeds: 0..200,
        threads: 1,
        twice: false,
        require_coverage: false,
        syncs: Syncs::All,
        trace: false,
        max_failures: 10,
        cluster: false,
        #[cfg(feature = "mutations")]
        off: None,
    };
    let one = |text: &str| -> Result<Range<u64>, String> {
        let seed: u64 = text.parse().map_err(|_| format!("{text:?} is no seed"))?;
        Ok(seed..seed + 1)
    };
    if let Ok(seed) = std::env::var("SEED") {
        options.seeds = one(&seed)?;
        options.trace = true;
    }
    let mut args = std::env::args().skip(1);
    while let Some(arg) = args.next() {
        let mut value = || args.next().ok_or_else(|| format!("{arg} needs a value"));
        match arg.as_str() {
            "--seeds" => {
                let text = value()?;
                let bad = || format!("{text:?} is no range of seeds");
                let (from, to) = text.split_once("..").ok_or_else(bad)?;
                let from = from.parse().map_err(|_| bad())?;
                let to = to.parse().map_err(|_| bad())?;
                options.seeds = from..to;
            }
            "--seed" => {
                options.seeds = one(&value()?)?;
                options.trace = true;
            }
            "--threads" => {
                options.threads = value()?.parse().map_err(|_| USAGE.to_owned())?;
            }
            "--failures" => {
                options.max_failures = value()?.parse().map_err(|_| USAGE.to_owned())?;
            }
            #[cfg(feature = "mutations")]
            "--off" => {
                let name = value()?;
                let rule = zk_zab::rules::Rule::ALL
                    .into_iter()
                    .find(|rule| format!("{rule:?}") == name);
                options.off = Some(rule.ok_or_else(|| format!("{name:?} is no rule"))?);
            }
            "--cluster" => options.cluster = true,
            "--twice" => options.twice = true,
            "--require-coverage" => options.require_coverage = true,
            "--no-fsync" => options.syncs = Syncs::Nothing,
            _ => return Err(USAGE.into()),
        }
    }
    Ok(options)
}

#[derive(Default)]
struct Totals {
    coverage: Coverage,
    failures: Vec<Run>,
    failed: u64,
    passed: u64,
    lines: u64,
    transactions: i64,
}

fn work(options: &Options, next: &AtomicU64, totals: &Mutex<Totals>) {
    loop {
        let seed = next.fetch_add(1, Ordering::Relaxed);
        let enough = || {
            let totals = totals.lock();
            let totals = totals.unwrap_or_else(std::sync::PoisonError::into_inner);
            totals.failures.len() >= options.max_failures
        };
        if seed >= options.seeds.end || enough() {
            return;
        }
        let keep = if options.trace { usize::MAX } else { 0 };
        let live = |keep| {
            let plan = Plan {
                syncs: options.syncs,
                ..Plan::new(seed)
            };
            run(plan, keep)
        };
        let mut run = live(keep);
        if options.twice && run.failure.is_none() {
            let again = live(0);
            if (again.hash, again.lines) != (run.hash, run.lines) {
                run.failure = Some("a second run has another trace".into());
            }
        }
        if run.failure.is_some() && !options.trace {
            // Once more, to have the trace.
            let failure = run.failure.take();
            run = live(zk_sim::limits::TAIL);
            run.failure = run.failure.or(failure);
        }
        let mut totals = totals
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        totals.coverage.add_run(&run.coverage);
        totals.lines += run.lines;
        totals.transactions += run.transactions;
        if options.trace {
            for line in &run.tail {
                println!("{line}");
            }
        }
        if run.failure.is_none() {
            totals.passed += 1;
            continue;
        }
        totals.failed += 1;
        totals.failures.push(run);
    }
}

fn main() -> ExitCode {
    let options = match options() {
        Ok(options) => options,
        Err(message) => {
            eprintln!("{message}");
            return ExitCode::from(2);
        }
    };
    if !options.trace {
        // A failure is reported with its trace; the panic's own lines would only stand between.
        std::panic::set_hook(Box::new(|_| {}));
    }
    let start = Instant::now();
    if options.cluster {
        return ensembles(&options, start);
    }
    let next = AtomicU64::new(options.seeds.start);
    let totals = Mutex::new(Totals::default());
    std::thread::scope(|scope| {
        for _ in 0..options.threads.max(1) {
            scope.spawn(|| work(&options, &next, &totals));
        }
    });
    let totals = totals
        .into_inner()
        .unwrap_or_else(std::sync::PoisonError::into_inner);
    for run in &totals.failures {
        println!("{}", run.report());
    }
    let seconds = start.elapsed().as_secs_f64();
    println!("{}", totals.coverage);
    let missing = totals.coverage.missing();
    if !missing.is_empty() {
        println!("never met: {}", missing.join(", "));
    }
    eprintln!(
        "{seconds:.1} s, {:.0} seeds/s",
        (totals.passed + totals.failed) as f64 / seconds
    );
    println!(
        "{} transactions, {} lines of trace",
        totals.transactions, totals.lines
    );
    println!("{} passed, {} failed", totals.passed, totals.failed);
    if options.require_coverage && !missing.is_empty() {
        return ExitCode::FAILURE;
    }
    if totals.failed == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

impl Options {
    /// The plan of a seed, without the rule that is off.
    fn plan(&self, seed: u64) -> zk_sim::cluster::plan::Plan {
        #[cfg(feature = "mutations")]
        if let Some(rule) = self.off {
            return zk_sim::cluster::mutations::plan(rule, seed, false);
        }
        zk_sim::cluster::plan::Plan::new(seed)
    }
}

/// At least so many of a hundred runs of ensembles must meet each thing.
const MET_PERCENT: u64 = 2;

fn ensembles(options: &Options, start: Instant) -> ExitCode {
    let farm = Farm {
        seeds: &options.seeds,
        threads: options.threads,
        twice: options.twice,
        trace: options.trace,
        max_failures: options.max_failures,
        plan: &|seed| options.plan(seed),
    };
    let harvest = farm.run();
    for run in &harvest.failures {
        println!("{}", run.report());
    }
    let seconds = start.elapsed().as_secs_f64();
    print!("{}", harvest.coverage);
    let rare = harvest.coverage.below(MET_PERCENT);
    if !rare.is_empty() {
        println!("met by fewer than {MET_PERCENT}%: {}", rare.join(", "));
    }
    let failed = harvest.failures.len() as u64;
    eprintln!(
        "{seconds:.1} s, {:.0} seeds/s",
        (harvest.passed + failed) as f64 / seconds
    );
    println!(
        "{} operations, {} lines of trace",
        harvest.ops, harvest.lines
    );
    println!(
        "{} passed, {} of them and the failed count, {failed} failed",
        harvest.passed, harvest.counted
    );
    if failed > 0 || (options.require_coverage && !rare.is_empty()) {
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}
