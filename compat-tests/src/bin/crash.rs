//! Crash and disk-fault tests against the real binary: see `crash/mod.rs`.
//!
//! `crash --zabkeeper PATH [--rounds N] [--seed S] [--only NAME]...`

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use clap::Parser;

#[path = "../crash/mod.rs"]
mod crash;

/// Kills, damages and fills up; exit code 0 when every case passed.
#[derive(Debug, Parser)]
struct Args {
    /// The server's binary.
    #[arg(long)]
    zabkeeper: PathBuf,
    /// Rounds of kill -9 under load.
    #[arg(long, default_value_t = 20)]
    rounds: u32,
    /// Seed of everything random.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Run these cases only.
    #[arg(long)]
    only: Vec<String>,
    /// Nodes of the big tree.
    #[arg(long, default_value_t = 200_000)]
    nodes: u32,
    /// Keep the folders of cases that failed.
    #[arg(long)]
    keep: bool,
    /// Print the names of the cases and end.
    #[arg(long)]
    list: bool,
}

fn main() -> ExitCode {
    let args = Args::parse();
    let cases = crash::cases();
    if args.list {
        for case in cases {
            println!("{}", case.name);
        }
        return ExitCode::SUCCESS;
    }
    if let Some(unknown) = args
        .only
        .iter()
        .find(|name| !cases.iter().any(|case| case.name == **name))
    {
        eprintln!("no case {unknown:?}");
        return ExitCode::FAILURE;
    }
    let binary = match args.zabkeeper.canonicalize() {
        Ok(binary) => binary,
        Err(error) => {
            eprintln!("{}: {error}", args.zabkeeper.display());
            return ExitCode::FAILURE;
        }
    };
    let shared = match tempfile::Builder::new().prefix("zk-crash-").tempdir() {
        Ok(shared) => shared,
        Err(error) => {
            eprintln!("temporary folder: {error}");
            return ExitCode::FAILURE;
        }
    };
    let (mut passed, mut failed) = (0, 0);
    for case in cases {
        if !args.only.is_empty() && !args.only.iter().any(|name| name == case.name) {
            continue;
        }
        let folder = match tempfile::Builder::new().prefix("zk-crash-").tempdir() {
            Ok(folder) => folder,
            Err(error) => {
                eprintln!("temporary folder: {error}");
                return ExitCode::FAILURE;
            }
        };
        let context = crash::Context {
            binary: binary.clone(),
            work: folder.path().to_path_buf(),
            shared: shared.path().to_path_buf(),
            seed: args.seed,
            rounds: args.rounds,
            nodes: args.nodes,
        };
        let begun = Instant::now();
        let result = (case.run)(&context);
        let took = begun.elapsed().as_secs_f64();
        match result {
            Ok(note) => {
                passed += 1;
                println!("ok      {:<28} {took:6.1} s  {note}", case.name);
            }
            Err(why) => {
                failed += 1;
                println!("FAILED  {:<28} {took:6.1} s  {why}", case.name);
                if args.keep {
                    println!("        kept: {}", folder.keep().display());
                }
            }
        }
    }
    println!("{passed} passed, {failed} failed");
    if failed == 0 && passed > 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
