//! The load generator by itself, without a server linked in.

use std::process::ExitCode;

use clap::Parser;

/// Puts load on ZooKeeper servers and measures it.
#[derive(Parser)]
#[command(name = "zk-bench", version)]
struct Cli {
    #[command(flatten)]
    args: zk_bench::BenchArgs,
}

fn main() -> ExitCode {
    zk_bench::execute(&Cli::parse().args)
}
