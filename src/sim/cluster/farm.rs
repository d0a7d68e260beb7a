//! Many seeds of ensembles, on several threads, with a summary.

use std::ops::Range;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use super::Run;
use super::coverage::Coverage;
use super::plan::Plan;
use crate::limits::TAIL;

/// What is to be run, and how.
#[derive(Clone, Copy)]
pub struct Farm<'a> {
    /// The seeds.
    pub seeds: &'a Range<u64>,
    /// Threads.
    pub threads: usize,
    /// Each seed twice, to see that it is the same run.
    pub twice: bool,
    /// Print the whole trace of each.
    pub trace: bool,
    /// Failures after which it stops.
    pub max_failures: usize,
    /// The plan of a seed.
    pub plan: &'a (dyn Fn(u64) -> Plan + Sync),
}

/// What came out.
#[derive(Debug, Default)]
pub struct Harvest {
    /// What was met.
    pub coverage: Coverage,
    /// Runs that failed, with their traces.
    pub failures: Vec<Run>,
    /// Runs that did not.
    pub passed: u64,
    /// Those that count.
    pub counted: u64,
    /// Operations of clients.
    pub ops: usize,
    /// Lines of all traces.
    pub lines: u64,
}

impl Farm<'_> {
    /// Runs all.
    pub fn run(&self) -> Harvest {
        let next = AtomicU64::new(self.seeds.start);
        let harvest = Mutex::new(Harvest::default());
        std::thread::scope(|scope| {
            for _ in 0..self.threads.max(1) {
                scope.spawn(|| self.work(&next, &harvest));
            }
        });
        let harvest = harvest.into_inner();
        harvest.unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    fn work(&self, next: &AtomicU64, harvest: &Mutex<Harvest>) {
        let lock = || {
            let lock = harvest.lock();
            lock.unwrap_or_else(std::sync::PoisonError::into_inner)
        };
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= self.seeds.end || lock().failures.len() >= self.max_failures {
                return;
            }
            let mut run = super::run((self.plan)(seed), if self.trace { usize::MAX } else { 0 });
            if self.twice && run.failure.is_none() {
                let again = super::run((self.plan)(seed), 0);
                if (again.hash, again.lines) != (run.hash, run.lines) {
                    run.failure = Some("a second run has another trace".into());
                }
            }
            if run.failure.is_some() && !self.trace {
                // Once more, to have the trace.
                let failure = run.failure.take();
                run = super::run((self.plan)(seed), TAIL);
                run.failure = run.failure.or(failure);
            }
            let mut harvest = lock();
            harvest.coverage.add_run(&run.coverage);
            harvest.lines += run.lines;
            harvest.ops += run.ops;
            harvest.counted += u64::from(run.counts);
            if self.trace {
                for line in &run.tail {
                    println!("{line}");
                }
            }
            if run.failure.is_none() {
                harvest.passed += 1;
            } else {
                harvest.failures.push(run);
            }
        }
    }
}
