//! `differential`: compares two servers step by step, or checks one under free interleaving.

use std::net::{SocketAddr, ToSocketAddrs};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, ValueEnum};
use compat_tests::differential::coverage::Coverage;
use compat_tests::differential::minimise::{Pairs, minimise};
use compat_tests::differential::rules::RULES;
use compat_tests::differential::run::Mismatch;
use compat_tests::differential::step::Script;
use compat_tests::differential::{Pair, Plan, Report, generated, print, replayed};
use compat_tests::servers::{Launch, Server, Settings, java_script};

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Mode {
    /// The same requests to two servers, every answer compared.
    Step,
    /// Many sessions at once against one server, its own order checked afterwards.
    Free,
}

/// Compares two servers. Left and right are each started here (on free ports of 127.0.0.1, in
/// temporary folders), or given by address; a given server must be fresh.
#[derive(Debug, Parser)]
struct Args {
    /// Left server, HOST:PORT.
    #[arg(long)]
    left: Option<String>,
    /// Right server, HOST:PORT.
    #[arg(long)]
    right: Option<String>,
    /// Start Apache ZooKeeper; twice: both sides.
    #[arg(long, action = clap::ArgAction::Count)]
    start_java: u8,
    /// Start this binary (`PATH serve zoo.cfg`); repeated: both sides.
    #[arg(long, value_name = "PATH")]
    start_zabkeeper: Vec<PathBuf>,
    /// Script that starts Apache ZooKeeper, in place of this project's own; repeated: one a side.
    #[arg(long, value_name = "SCRIPT")]
    java_server: Vec<PathBuf>,
    /// First seed.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// How many seeds, one run each.
    #[arg(long, default_value_t = 1)]
    rounds: u64,
    /// Requests of each run.
    #[arg(long, default_value_t = 1000)]
    ops: usize,
    /// What to do.
    #[arg(long, value_enum, default_value_t = Mode::Step)]
    mode: Mode,
    /// Sessions of a free run.
    #[arg(long, default_value_t = 8)]
    sessions: usize,
    /// Shrink a sequence that differs (needs servers started here).
    #[arg(long, default_value_t = true, action = clap::ArgAction::Set)]
    minimise: bool,
    /// Longest time spent on shrinking, seconds.
    #[arg(long, default_value_t = 300)]
    minimise_seconds: u64,
    /// Leave out what Java answers by an exception (nulls in odd places above all).
    #[arg(long)]
    calm: bool,
    /// Go on with the next seed after a difference.
    #[arg(long)]
    keep_going: bool,
    /// Look at every connection after every step.
    #[arg(long)]
    eager: bool,
    /// Run this script instead of seeds.
    #[arg(long, value_name = "FILE")]
    replay: Option<PathBuf>,
    /// Settings of the servers, `key=value ...`; without it each seed has its own.
    #[arg(long)]
    settings: Option<String>,
    /// Leave fsync on in both servers.
    #[arg(long)]
    force_sync: bool,
    /// The servers given have read the same log before.
    #[arg(long)]
    loaded: bool,
    /// Where scripts of differences are written.
    #[arg(long, default_value = ".")]
    scripts: PathBuf,
    /// Keep copies of the transaction logs that both servers wrote.
    #[arg(long, value_name = "DIR")]
    keep_data: Option<PathBuf>,
    /// Fail when an operation, an error code or an event was never met.
    #[arg(long)]
    require_coverage: bool,
}

/// How the two servers of each run come to be.
enum Servers {
    Started([Launch; 2]),
    Given([SocketAddr; 2]),
}

fn servers(args: &Args) -> Result<Servers, String> {
    let mut launches: Vec<Launch> = args
        .start_zabkeeper
        .iter()
        .cloned()
        .map(Launch::Zabkeeper)
        .collect();
    launches.extend((0..usize::from(args.start_java)).map(|nth| java(args, nth)));
    match (launches.as_slice(), &args.left, &args.right) {
        ([a, b], None, None) => Ok(Servers::Started([a.clone(), b.clone()])),
        ([], Some(left), Some(right)) => Ok(Servers::Given([resolve(left)?, resolve(right)?])),
        _ => Err(
            "name two servers: --left and --right, or two of --start-java and --start-zabkeeper"
                .into(),
        ),
    }
}

fn resolve(text: &str) -> Result<SocketAddr, String> {
    text.to_socket_addrs()
        .map_err(|e| format!("{text}: {e}"))?
        .next()
        .ok_or_else(|| format!("{text}: no address"))
}

#[derive(Default)]
struct Totals {
    passed: usize,
    failed: usize,
    coverage: Coverage,
    seconds: f64,
    rules: std::collections::BTreeMap<compat_tests::differential::rules::Rule, u64>,
}

fn main() -> ExitCode {
    let args = Args::parse();
    let mut totals = Totals::default();
    if let Err(error) = run(&args, &mut totals) {
        eprintln!("differential: {error}");
        totals.failed += 1;
    }
    println!("{} passed, {} failed", totals.passed, totals.failed);
    if totals.failed == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

fn run(args: &Args, totals: &mut Totals) -> Result<(), String> {
    if args.mode == Mode::Free {
        return free(args, totals);
    }
    let servers = servers(args)?;
    if let Some(file) = &args.replay {
        let text = std::fs::read_to_string(file).map_err(|e| format!("{}: {e}", file.display()))?;
        let script = Script::parse(&text).map_err(|e| format!("{}: {e}", file.display()))?;
        let report = match &servers {
            Servers::Given(addrs) => replayed(*addrs, &script, true)?,
            Servers::Started(launches) => {
                Pairs::new(launches.clone(), script.settings).replay(&script, true)?
            }
        };
        note(totals, &report);
        if let Some(mismatch) = &report.mismatch {
            totals.failed += 1;
            println!(
                "{} step {}:\n{}",
                file.display(),
                mismatch.step,
                mismatch.difference.text
            );
        }
        return Ok(());
    }
    for seed in args.seed..args.seed + args.rounds {
        one_seed(args, &servers, seed, totals)?;
        if totals.failed > 0 && !args.keep_going {
            break;
        }
    }
    println!("coverage:\n{}", totals.coverage.report());
    println!("rules applied:");
    for (rule, why) in RULES {
        println!(
            "  {:28} {:8}  {why}",
            format!("{rule:?}"),
            totals.rules.get(rule).unwrap_or(&0)
        );
    }
    let missing = totals.coverage.missing();
    if !missing.is_empty() {
        println!("never met: {}", missing.join(", "));
        if args.require_coverage && totals.failed == 0 {
            return Err("coverage is incomplete".into());
        }
    }
    println!(
        "{} requests in {:.1} s: {:.0}/s",
        totals.passed,
        totals.seconds,
        totals.passed as f64 / totals.seconds.max(0.001)
    );
    Ok(())
}

/// Free runs against the one server that is named.
fn free(args: &Args, totals: &mut Totals) -> Result<(), String> {
    for seed in args.seed..args.seed + args.rounds {
        let settings = settings(args, seed)?;
        let launch = match (args.start_zabkeeper.as_slice(), args.start_java, &args.left) {
            ([path], 0, None) => Some(Launch::Zabkeeper(path.clone())),
            ([], 1, None) => Some(java(args, 0)),
            ([], 0, Some(_)) => None,
            _ => return Err("name one server: --left, --start-java or --start-zabkeeper".into()),
        };
        let mut server = launch.map(|l| Server::start(&l, &settings)).transpose()?;
        let addr = match (&mut server, &args.left) {
            (Some(server), _) => {
                server.ready()?;
                server.addr
            }
            (None, Some(left)) => resolve(left)?,
            (None, None) => return Err("no server".into()),
        };
        let report = match compat_tests::free::run(addr, seed, args.ops, args.sessions) {
            Ok(report) => report,
            Err(violation) => {
                totals.failed += 1;
                println!("free seed {seed}: VIOLATION {violation}");
                if let Some(server) = &server {
                    println!("{}", server.log_tail());
                }
                return Ok(());
            }
        };
        let checked = report.checked;
        println!(
            "free seed {seed}: {} calls on {} connections, {:.0}/s; {} writes, {} reads, {} events, {} sequence numbers as the model has them",
            report.calls,
            report.connections,
            report.calls as f64 / report.elapsed.as_secs_f64(),
            checked.writes,
            checked.reads,
            checked.events,
            checked.sequences
        );
        totals.passed += report.calls;
    }
    Ok(())
}

fn note(totals: &mut Totals, report: &Report) {
    totals.passed += report.requests;
    totals.seconds += report.elapsed.as_secs_f64();
    totals.coverage.add(&report.coverage);
    for (rule, n) in &report.rules {
        *totals.rules.entry(*rule).or_default() += n;
    }
}

fn settings(args: &Args, seed: u64) -> Result<Settings, String> {
    let mut settings = match &args.settings {
        Some(line) => Settings::parse(line)?,
        None => Settings::of_seed(seed),
    };
    settings.force_sync |= args.force_sync;
    Ok(settings)
}

/// The `nth` Java server's script.
fn java(args: &Args, nth: usize) -> Launch {
    let given = args.java_server.get(nth).or(args.java_server.last());
    Launch::Java(given.cloned().unwrap_or_else(java_script))
}

fn one_seed(args: &Args, servers: &Servers, seed: u64, totals: &mut Totals) -> Result<(), String> {
    let settings = settings(args, seed)?;
    let plan = Plan {
        seed,
        ops: args.ops,
        settings,
        calm: args.calm,
        eager: args.eager,
        loaded: args.loaded,
    };
    let report = match servers {
        Servers::Given(addrs) => generated(*addrs, &plan)?,
        Servers::Started(launches) => {
            let mut pair = Pair::start(launches, &settings)?;
            let addrs = pair.ready()?;
            let mut report = generated(addrs, &plan)?;
            if let Some(dir) = &args.keep_data {
                pair.keep_data(dir, seed)?;
            }
            if let Some(mismatch) = &mut report.mismatch {
                mismatch.difference.text += &pair.dead();
                pair.keep_logs(&args.scripts, &format!("differential-{seed}"))?;
            }
            report
        }
    };
    note(totals, &report);
    println!(
        "seed {seed} [{}]: {} requests, {} nodes, {:.0}/s{}",
        settings.line(),
        report.requests,
        report.nodes,
        report.requests as f64 / report.elapsed.as_secs_f64(),
        if report.mismatch.is_some() {
            ": DIFFERENT"
        } else {
            ""
        }
    );
    let Some(mismatch) = &report.mismatch else {
        return Ok(());
    };
    totals.failed += 1;
    println!(
        "step {} on connection {}:\n{}",
        mismatch.step, mismatch.slot, mismatch.difference.text
    );
    let mut script = report.script.clone();
    script.steps.truncate(mismatch.step.saturating_add(1));
    write(args, seed, "whole", &script, mismatch)?;
    if let (true, Servers::Started(launches)) = (args.minimise, servers) {
        let mut pairs = Pairs::new(launches.clone(), settings);
        let mut attempt = |script: &Script| Ok(pairs.replay(script, true)?.mismatch);
        let budget = Duration::from_secs(args.minimise_seconds);
        match minimise(&script, budget, &mut attempt)? {
            None => println!("the difference did not show again on fresh servers"),
            Some(minimal) => {
                println!(
                    "shortest after {} attempts, {} steps:",
                    minimal.attempts,
                    minimal.script.steps.len()
                );
                for step in &minimal.script.steps {
                    println!("  {}", short(&step.line()));
                    print::meaning(step)
                        .iter()
                        .for_each(|line| println!("      {line}"));
                }
                println!("{}", minimal.mismatch.difference.text);
                write(args, seed, "shortest", &minimal.script, &minimal.mismatch)?;
            }
        }
    }
    Ok(())
}

/// A line without the far end of its hex.
fn short(line: &str) -> &str {
    line.get(..200).unwrap_or(line)
}

fn write(
    args: &Args,
    seed: u64,
    name: &str,
    script: &Script,
    mismatch: &Mismatch,
) -> Result<(), String> {
    let file = args.scripts.join(format!("differential-{seed}-{name}.txt"));
    let head = format!(
        "seed {seed}, step {}: {}",
        mismatch.step, mismatch.difference.signature
    );
    std::fs::write(&file, script.text(&head, print::meaning))
        .map_err(|e| format!("{}: {e}", file.display()))?;
    println!("script: {} (run it with --replay)", file.display());
    Ok(())
}
