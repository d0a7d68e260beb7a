//! A load generator for any ZooKeeper server.
//!
//! Owns: many sessions on one thread, what they ask for, how long each answer takes, and the check
//! that everything acknowledged can be read back.
//!
//! Does not know: any server's inside. Of a server's process it reads CPU time and memory, if it
//! is told the process's id.
//!
//! The generator shares the machine with the server that it measures, so it is built to use little
//! CPU: requests are encoded once and patched, replies are looked at only as far as the check
//! needs, and a wakeup of a session costs one read, one write and one look at the clock.

mod cli;
mod conn;
mod engine;
mod error;
mod limits;
mod load;
mod meter;
pub mod process;
mod report;
mod run;
mod template;

use std::fs;
use std::process::ExitCode;

pub use cli::{BenchArgs, Workload};
pub use error::Error;
pub use load::Checked;
pub use meter::Latency;
pub use report::{Report, Server};
pub use run::run;

/// The command `bench`, for programs that do not derive theirs.
pub fn command() -> clap::Command {
    use clap::Args;
    BenchArgs::augment_args(clap::Command::new("bench"))
}

/// Runs a load, prints the report, writes it to `--json`. The exit code says whether every
/// operation succeeded and everything acknowledged was read back.
pub fn execute(args: &BenchArgs) -> ExitCode {
    let report = match run(args) {
        Ok(report) => report,
        Err(error) => {
            eprintln!("bench: {error}");
            return ExitCode::from(2);
        }
    };
    print!("{report}");
    if let Some(path) = &args.json {
        let json = serde_json::to_string_pretty(&report).expect("a report has only string keys");
        if let Err(error) = fs::write(path, json) {
            eprintln!("bench: {}: {error}", path.display());
            return ExitCode::from(2);
        }
    }
    if report.is_good() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
