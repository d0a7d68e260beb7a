//! Whole ensembles from a seed: the quorum layer of several servers, with the network, the disks,
//! the clocks and the deaths between them.
//!
//! The quorum layer is the real one (zk-zab); above it is a node without a tree ([`node`]), or, in
//! every second plan, all of the server ([`member`]) with its clients' connections ([`plugs`]).
//! Simulated are links and votes ([`net`]), each server's log thread and disk ([`disk`]), clients
//! ([`clients`], of whole servers [`users`]), and what goes wrong. A run is its plan ([`plan`]) and
//! nothing else. What must hold is in [`judge`], and what clients must be told in [`truth`].

mod admin;
mod boot;
pub mod clients;
pub mod coverage;
pub mod disk;
pub mod farm;
mod faults;
pub mod judge;
pub mod member;
#[cfg(feature = "mutations")]
pub mod mutations;
pub mod net;
pub mod node;
pub mod plan;
mod plugs;
mod threads;
mod truth;
mod users;
mod wires;
pub mod world;

use std::panic::{AssertUnwindSafe, catch_unwind};

use self::coverage::Coverage;
use self::plan::Plan;
use self::world::World;
use crate::limits::TAIL;

/// What became of a run.
#[derive(Debug)]
pub struct Run {
    /// The seed.
    pub seed: u64,
    /// What was wrong, if anything was.
    pub failure: Option<String>,
    /// Whether enough was done, and enough went wrong.
    pub counts: bool,
    /// Hash of the whole trace.
    pub hash: u64,
    /// Lines of the trace.
    pub lines: u64,
    /// Operations of clients.
    pub ops: usize,
    /// What was met.
    pub coverage: Coverage,
    /// The plan, in a few words.
    pub plan: String,
    /// What went wrong, with its time.
    pub script: Vec<String>,
    /// The end of the trace, when it was kept.
    pub tail: Vec<String>,
}

/// Lives through a plan. A panic is a failure like any other.
pub fn run(plan: Plan, keep: usize) -> Run {
    let seed = plan.seed;
    let described = plan.describe();
    let mut world = World::new(plan, keep);
    let lived = catch_unwind(AssertUnwindSafe(|| world.live()));
    let failure = match lived {
        Ok(Ok(())) => None,
        Ok(Err(what)) => Some(what),
        Err(panic) => {
            let text = panic
                .downcast_ref::<String>()
                .cloned()
                .or_else(|| panic.downcast_ref::<&str>().map(|s| (*s).to_owned()));
            Some(format!("panic: {}", text.unwrap_or_default()))
        }
    };
    Run {
        seed,
        failure,
        counts: world.counts(),
        hash: world.trace.hash(),
        lines: world.trace.count(),
        ops: world.ops,
        coverage: world.coverage.clone(),
        plan: described,
        script: std::mem::take(&mut world.script),
        tail: world.trace.take(),
    }
}

/// Lives through a seed's plan.
pub fn run_seed(seed: u64, keep: usize) -> Run {
    run(Plan::new(seed), keep)
}

impl Run {
    /// What was wrong, with the plan, everything that went wrong by intention, the end of the trace,
    /// and how to see it again.
    pub fn report(&self) -> String {
        let what = self.failure.as_deref().unwrap_or("nothing is wrong");
        let skip = self.tail.len().saturating_sub(TAIL);
        format!(
            "seed {}: {what}\nthe plan: {}\nthe script:\n  {}\nthe last of {} lines of the trace:\n  {}\nto see it again: SEED={} cargo run --release -p zk-sim --bin sim -- --cluster\n",
            self.seed,
            self.plan,
            self.script.join("\n  "),
            self.lines,
            self.tail[skip..].join("\n  "),
            self.seed
        )
    }
}
