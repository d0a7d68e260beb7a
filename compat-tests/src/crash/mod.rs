//! Crashes, damaged directories, full disks and restarts of the real binary.
//!
//! Owns: a server process with a directory that outlives it (`server`), a client that pipelines
//! and checks every reply against a model of its own subtree (`load`, `op`, `model`), what a
//! fresh session reads (`seen`), the rounds of kill -9 (`rounds`), the named cases on damaged
//! directories (`damage`), full disks (`full`), and the restart of a big tree (`restart`).
//!
//! Does not know: the insides of the server. It sees sockets, files, exit codes and log lines.
//!
//! The judgement rests on two facts. Each writer has a subtree to itself, so that its requests
//! alone decide what stands there; and a crash keeps a prefix of the log. So after a restart each
//! subtree must be exactly what the writer's first k requests make, for one k between the number
//! of replies it got and the number of requests it sent.

pub mod base;
pub mod damage;
pub mod files;
pub mod full;
pub mod limits;
pub mod load;
pub mod model;
pub mod op;
pub mod restart;
pub mod rounds;
pub mod scenes;
pub mod seen;
pub mod server;

use std::path::PathBuf;

/// What all cases need.
#[derive(Debug, Clone)]
pub struct Context {
    /// The server's binary.
    pub binary: PathBuf,
    /// A folder for this run.
    pub work: PathBuf,
    /// A folder for all cases of this run.
    pub shared: PathBuf,
    /// The seed of everything random.
    pub seed: u64,
    /// Rounds of kill -9.
    pub rounds: u32,
    /// Nodes of the big tree.
    pub nodes: u32,
}

/// A named case: says what it saw, or what is wrong.
pub struct Case {
    /// Its name, for the report and the choice of cases.
    pub name: &'static str,
    /// Runs it in a folder of its own, `Context::work`.
    pub run: fn(&Context) -> Result<String, String>,
}

/// All cases, in the order in which they run.
pub fn cases() -> Vec<Case> {
    let mut all = vec![Case {
        name: "kill-9",
        run: rounds::run,
    }];
    all.extend(damage::cases());
    all.extend(full::cases());
    all.extend(restart::cases());
    all
}
