//! Compares this project's server with Apache ZooKeeper 3.9.5 on one machine in one run.
//!
//! Owns: the order of servers and loads, and which figures are taken when.
//!
//! Does not know: how a load is put on (`zk-bench`, a process of its own) or how Java is installed
//! (the scripts of compat-tests).
//!
//! Invariants: both servers get the same zoo.cfg, fresh folders on the same file system, and the
//! same loads in the same order; the order of the two alternates from pair to pair; only one runs
//! at a time. No figure ever decides the exit code, only whether everything worked.

mod abuse;
mod client;
mod ensemble;
mod facts;
mod generator;
mod rows;
mod samples;
mod server;
mod table;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Parser;
use zk_bench::Report;

use crate::abuse::Abuse;
use crate::generator::Generator;
use crate::rows::ROWS;
use crate::samples::Samples;
use crate::server::{ALWAYS_THERE, Kind, Programs, Server};
use crate::table::Head;

const TREE: &str = "tree";
const IDLE: &str = "idle";
const ABUSE: &str = "abuse";

/// Starts this project's server and Apache ZooKeeper 3.9.5 in turn, puts the same loads on both,
/// and writes a table of ratios.
#[derive(Debug, Parser)]
#[command(name = "compare", version)]
struct Cli {
    /// This project's server; without it only Java is measured
    #[arg(long, value_name = "FILE")]
    zabkeeper: Option<PathBuf>,
    /// Pairs of runs; the table has the medians
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..100))]
    pairs: u32,
    /// Seconds of each load
    #[arg(long, default_value_t = 8.0)]
    seconds: f64,
    /// Seconds of each load before it is measured
    #[arg(long, default_value_t = 5.0)]
    warmup: f64,
    /// Znodes of the tree for memory and start, and for a follower's return
    #[arg(long, default_value_t = 1_000_000)]
    tree_keys: u32,
    /// Idle sessions
    #[arg(long, default_value_t = 10_000)]
    idle_sessions: u32,
    /// Three servers of each as an ensemble, instead of one
    #[arg(long)]
    ensemble: bool,
    #[command(flatten)]
    ensemble_args: ensemble::Args,
    /// Only these: names of loads, tree, idle, abuse; with --ensemble names of loads, failover,
    /// catch-up
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
    /// Also a quiet session beside bad clients
    #[arg(long)]
    abuse: bool,
    /// One short pair with a small tree: shows that all works; the figures mean nothing
    #[arg(long)]
    quick: bool,
    /// Folder for data and logs, on a disk
    #[arg(long, default_value = "target/compare", value_name = "DIR")]
    dir: PathBuf,
    /// The scripts that install Apache ZooKeeper
    #[arg(long, default_value = "compat-tests/scripts", value_name = "DIR")]
    scripts: PathBuf,
    /// Write the table to this file too
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Write every sample to this file, as JSON
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

struct Compare {
    cli: Cli,
    programs: Programs,
    generator: Generator,
    dir: PathBuf,
    samples: Samples,
    head: Head,
}

fn main() -> ExitCode {
    let mut cli = Cli::parse();
    if cli.quick {
        cli.pairs = 1;
        cli.seconds = 1.0;
        cli.warmup = 0.5;
        cli.tree_keys = cli.tree_keys.min(20_000);
        cli.idle_sessions = cli.idle_sessions.min(200);
        cli.ensemble_args.quick();
    }
    match run(cli) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(why) => {
            eprintln!("compare: {why}");
            ExitCode::from(2)
        }
    }
}

fn run(cli: Cli) -> Result<bool, String> {
    let (rows, parts): (_, &[&str]) = if cli.ensemble {
        (ensemble::ROWS, &[ensemble::FAILOVER, ensemble::CATCH_UP])
    } else {
        (ROWS, &[TREE, IDLE, ABUSE])
    };
    let known = |name: &String| {
        rows.iter().any(|row| row.name == name.as_str()) || parts.contains(&name.as_str())
    };
    if let Some(name) = cli.only.iter().find(|name| !known(name)) {
        return Err(format!("--only: there is no {name:?}"));
    }
    let failed = |what: &Path, error: std::io::Error| format!("{}: {error}", what.display());
    let dir = cli.dir.join(std::process::id().to_string());
    fs::create_dir_all(&dir).map_err(|error| failed(&dir, error))?;
    // The servers' working directory is another one.
    let dir = dir.canonicalize().map_err(|error| failed(&dir, error))?;
    let zabkeeper = match &cli.zabkeeper {
        Some(path) => Some(path.canonicalize().map_err(|error| failed(path, error))?),
        None => None,
    };
    let programs = Programs::find(&cli.scripts, zabkeeper)?;
    let mut compare = Compare {
        generator: Generator::find(&dir)?,
        programs,
        samples: Samples::default(),
        head: Head {
            facts: facts::machine(&dir),
            judged: !cli.quick,
            ..Head::default()
        },
        dir,
        cli,
    };
    if compare.cli.ensemble {
        compare.ensembles()?;
    } else {
        compare.all()?;
    }
    compare.write()
}

impl Compare {
    fn wants(&self, name: &str) -> bool {
        match name {
            ABUSE if self.cli.abuse => true,
            ABUSE => self.cli.only.iter().any(|only| only == ABUSE),
            _ => self.cli.only.is_empty() || self.cli.only.iter().any(|only| only == name),
        }
    }

    fn all(&mut self) -> Result<(), String> {
        self.head
            .facts
            .push(format!("JVM: {}", facts::java_version()));
        for kind in self.programs.kinds() {
            let dir = self.fresh("version")?;
            let server = Server::start(&self.programs, kind, &dir)?;
            let version = facts::server_version(server.address);
            self.head.facts.push(format!("{kind:?}: {version}"));
            server.stop()?;
        }
        for pair in 0..self.cli.pairs as usize {
            let mut kinds = self.programs.kinds();
            if pair % 2 == 1 {
                kinds.reverse();
            }
            for kind in kinds {
                self.part(kind, pair, "loads", Self::loads)?;
                self.part(kind, pair, TREE, Self::tree)?;
                self.part(kind, pair, IDLE, Self::idle)?;
                self.part(kind, pair, ABUSE, Self::abuses)?;
            }
        }
        Ok(())
    }

    /// One part on a server of its own kind; what fails is told at the end, and does not keep the
    /// other parts from running.
    fn part(
        &mut self,
        kind: Kind,
        pair: usize,
        name: &str,
        part: fn(&mut Self, Kind, usize) -> Result<(), String>,
    ) -> Result<(), String> {
        let wanted = match name {
            "loads" if self.cli.ensemble => {
                let rows = ensemble::ROWS.iter().map(|row| row.name);
                rows.chain([ensemble::FAILOVER])
                    .any(|name| self.wants(name))
            }
            "loads" => ROWS.iter().any(|row| self.wants(row.name)),
            name => self.wants(name),
        };
        if !wanted {
            return Ok(());
        }
        eprintln!("pair {} of {}, {kind:?}: {name}", pair + 1, self.cli.pairs);
        if let Err(why) = part(self, kind, pair) {
            self.problem(kind, pair, name, &why);
        }
        Ok(())
    }

    fn problem(&mut self, kind: Kind, pair: usize, what: &str, why: &str) {
        // The table is for the repository, which knows no folder of this machine.
        let why = why.replace(&self.dir.display().to_string(), "DIR");
        let line = format!("{kind:?}, pair {}, {what}: {why}", pair + 1);
        eprintln!("problem: {line}");
        self.head.problems.push(line);
    }

    /// An empty folder for a server.
    fn fresh(&self, name: &str) -> Result<PathBuf, String> {
        let dir = self.dir.join(name);
        let failed = |error: std::io::Error| format!("{}: {error}", dir.display());
        if dir.exists() {
            fs::remove_dir_all(&dir).map_err(failed)?;
        }
        fs::create_dir_all(&dir).map_err(failed)?;
        Ok(dir)
    }

    fn bench(&mut self, server: &Server, args: &[String]) -> Result<Report, String> {
        self.generator
            .run(&[server.address], &[server.pid()], args, || ())
    }

    fn add(&mut self, kind: Kind, pair: usize, name: &str, value: f64) {
        self.samples.add(kind, name, pair, value);
    }

    /// The loads, one after the other on one server.
    fn loads(&mut self, kind: Kind, pair: usize) -> Result<(), String> {
        let dir = self.fresh("loads")?;
        let mut server = Server::start(&self.programs, kind, &dir)?;
        for row in ROWS {
            if !self.wants(row.name) {
                continue;
            }
            let mut args: Vec<String> = row.args.iter().map(ToString::to_string).collect();
            args.extend([
                format!("--seconds={}", self.cli.seconds),
                format!("--warmup={}", self.cli.warmup),
            ]);
            if row.name != "create" {
                args.push("--cleanup".into());
            }
            match self.bench(&server, &args) {
                Ok(report) => self.load_row(kind, pair, row.name, &report),
                Err(why) => self.problem(kind, pair, row.name, &why),
            }
            if !server.is_alive() {
                return Err("the server has stopped".into());
            }
        }
        server.stop().map(drop)
    }

    fn load_row(&mut self, kind: Kind, pair: usize, name: &str, report: &Report) {
        self.judge(kind, pair, name, report);
        let server = report.server.unwrap_or_default();
        let latency = report.latency.unwrap_or_default();
        eprintln!(
            "  {name}: {:.0}/s, {:.2} us CPU, p50 {:.0} us, p99 {:.0} us, generator {:.2} us CPU",
            report.per_second, server.cpu_us, latency.p50, latency.p99, report.client_cpu_us
        );
        for (part, value) in [
            ("rate", report.per_second),
            ("cpu", server.cpu_us),
            ("p50", latency.p50),
            ("p99", latency.p99),
        ] {
            self.add(kind, pair, &format!("{name}.{part}"), value);
        }
    }

    /// Whether a run did what it should: operations, none of them failed, everything read back.
    fn judge(&mut self, kind: Kind, pair: usize, name: &str, report: &Report) {
        if report.operations == 0 {
            self.problem(kind, pair, name, "no operation in the time measured");
        }
        if !report.is_good() {
            let why = format!(
                "{} failed, {} lost, {} wrong, {:?}, {:?}",
                report.failed, report.lost, report.wrong, report.errors, report.verified
            );
            self.problem(kind, pair, name, &why);
        }
        if let Some(server) = report.server
            && name != IDLE
            && !(server.idle_before && server.idle_after)
        {
            eprintln!("  {name}: the server did not go idle, its CPU figure is not exact");
        }
    }

    /// A filled tree: memory, then a restart on it.
    fn tree(&mut self, kind: Kind, pair: usize) -> Result<(), String> {
        const PARENTS: u32 = 1_000;
        let dir = self.fresh(TREE)?;
        let parents = PARENTS.min(self.cli.tree_keys / 10).max(1);
        let args = |workload: &str| {
            vec![
                format!("--workload={workload}"),
                "--prefix=/b".into(),
                "--run=t".into(),
                format!("--keys={}", self.cli.tree_keys),
                format!("--parents={parents}"),
                "--settle=60".into(),
            ]
        };
        let (fill, verify) = (args("fill"), args("verify"));
        let server = Server::start(&self.programs, kind, &dir)?;
        let empty = server.resident_when_idle()?;
        let mut no_verify = fill.clone();
        // The read-back comes after the restart, where it shows more.
        no_verify.push("--no-verify".into());
        let report = self.bench(&server, &no_verify)?;
        self.judge(kind, pair, TREE, &report);
        let filled = server.resident_when_idle()?;
        let stop = server.stop()?;

        let key = format!("/b/t/p{:06}/k{:09}", 0, 0);
        let mut server = Server::spawn(&self.programs, kind, &dir)?;
        let first_read = server.first_read(&key)?;
        let restarted = server.resident_when_idle()?;
        let checked = self.bench(&server, &verify)?;
        self.judge(kind, pair, TREE, &checked);
        let read_back = server.resident_when_idle()?;
        server.stop()?;
        eprintln!(
            "  tree: empty {empty} KiB, filled {filled} KiB at {:.0}/s, first read after {first_read:?}, \
             restarted {restarted} KiB, read back {read_back} KiB",
            report.per_second
        );
        let mib = |kib: u64| kib as f64 / 1024.0;
        for (name, value) in [
            ("empty_mib", mib(empty)),
            ("fill_rate", report.per_second),
            ("fill_cpu", report.server.unwrap_or_default().cpu_us),
            ("filled_mib", mib(filled)),
            ("stop_s", stop.as_secs_f64()),
            ("first_read_s", first_read.as_secs_f64()),
            ("restarted_mib", mib(restarted)),
            ("read_back_mib", mib(read_back)),
        ] {
            self.add(kind, pair, name, value);
        }
        self.fresh(TREE).map(drop)
    }

    /// Thousands of sessions that only ping.
    fn idle(&mut self, kind: Kind, pair: usize) -> Result<(), String> {
        let (seconds, timeout) = if self.cli.quick {
            (3, 4_000)
        } else {
            (20, 15_000)
        };
        let dir = self.fresh(IDLE)?;
        let server = Server::start(&self.programs, kind, &dir)?;
        let before = server.resident_when_idle()?;
        let args = [
            "--workload=idle".into(),
            format!("--sessions={}", self.cli.idle_sessions),
            format!("--session-timeout={timeout}"),
            format!("--seconds={seconds}"),
        ];
        let report = self.bench(&server, &args)?;
        self.judge(kind, pair, IDLE, &report);
        server.stop()?;
        let used = report.server.unwrap_or_default();
        let growth = used.rss_after.saturating_sub(before) as f64 / 1024.0;
        eprintln!(
            "  idle: {before} KiB before, {} KiB with {} sessions, {:.1} us CPU a ping",
            used.rss_after, self.cli.idle_sessions, used.cpu_us
        );
        self.add(kind, pair, "idle_mib", growth);
        self.add(kind, pair, "idle_cpu", used.cpu_us);
        Ok(())
    }

    /// A quiet session, alone and beside each kind of bad client.
    fn abuses(&mut self, kind: Kind, pair: usize) -> Result<(), String> {
        let dir = self.fresh(ABUSE)?;
        let mut server = Server::start(&self.programs, kind, &dir)?;
        let seconds = if self.cli.quick { 1.0 } else { 10.0 };
        let args = |seconds: f64, warmup: f64| {
            [
                "--workload=mixed".into(),
                "--reads=50".into(),
                "--sessions=1".into(),
                "--outstanding=16".into(),
                "--keys=100".into(),
                "--parents=1".into(),
                "--prefix=/quiet".into(),
                "--rate=100".into(),
                "--cleanup".into(),
                format!("--seconds={seconds}"),
                format!("--warmup={warmup}"),
            ]
        };
        // Java's compiler has had its time before anything is measured.
        let warm = [
            "--workload=mixed".into(),
            format!("--seconds={}", self.cli.warmup),
        ];
        self.bench(&server, &warm)?;
        for &abuse in Abuse::ALL {
            if !server.is_alive() {
                let dir = self.fresh(ABUSE)?;
                server = Server::start(&self.programs, kind, &dir)?;
                self.bench(&server, &warm)?;
            }
            server.resident_when_idle()?;
            let process = server.process()?;
            let mut peak = 0;
            let running = abuse::begin(abuse, server.address);
            let result = self
                .generator
                .run(&[server.address], &[], &args(seconds, 1.0), || {
                    peak = peak.max(process.memory().map_or(0, |memory| memory.resident));
                });
            drop(running);
            let name = |part: &str| format!("{abuse:?}.{part}");
            self.add(kind, pair, &name("mib"), peak as f64 / 1024.0);
            match result {
                Ok(report) if report.is_good() => {
                    let p99 = |latency: Option<zk_bench::Latency>| latency.map_or(0.0, |l| l.p99);
                    let (reads, writes) = (p99(report.reads), p99(report.writes));
                    eprintln!(
                        "  {abuse:?}: reads p99 {reads:.0} us, writes p99 {writes:.0} us, {} MiB",
                        peak >> 10
                    );
                    self.add(kind, pair, &name("reads"), reads);
                    self.add(kind, pair, &name("writes"), writes);
                }
                other => {
                    let why = match other {
                        Ok(report) => format!("{:?}", report.errors),
                        Err(why) => why,
                    };
                    let state = if server.is_alive() {
                        "goes on"
                    } else {
                        "has stopped"
                    };
                    let why =
                        format!("the quiet session was not served ({why}); the server {state}");
                    self.add(kind, pair, &name("silent"), 1.0);
                    self.abuse_result(kind, pair, abuse, &why);
                }
            }
        }
        // One that has ended under abuse is in the table already.
        if server.is_alive() {
            server.stop()?;
        }
        Ok(())
    }

    /// Java may fail under abuse: that is a result. This project's server may not.
    fn abuse_result(&mut self, kind: Kind, pair: usize, abuse: Abuse, why: &str) {
        match kind {
            Kind::Java => {
                let line = format!("Java, pair {}, {}: {why}", pair + 1, abuse.title());
                eprintln!("  {line}");
                self.head.method.push(format!("- {line}"));
            }
            Kind::Zabkeeper => self.problem(kind, pair, abuse.title(), why),
        }
    }

    fn write(mut self) -> Result<bool, String> {
        let cli = &self.cli;
        let mut method = if cli.ensemble {
            ensemble::method(cli)
        } else {
            Self::method(cli)
        };
        if cli.quick {
            method.push("\nA quick run: the figures mean nothing.".into());
        }
        if !self.head.method.is_empty() {
            method.push(String::new());
            method.append(&mut self.head.method);
        }
        self.head.method = method;
        let text = if cli.ensemble {
            ensemble::markdown(&self.samples, &self.head)
        } else {
            table::markdown(&self.samples, &self.head)
        };
        println!("{text}");
        let failed = |path: &Path, error: std::io::Error| format!("{}: {error}", path.display());
        if let Some(path) = &cli.out {
            fs::write(path, &text).map_err(|error| failed(path, error))?;
        }
        if let Some(path) = &cli.json {
            let json = serde_json::to_string_pretty(&self.samples)
                .map_err(|error| format!("{}: {error}", path.display()))?;
            fs::write(path, json).map_err(|error| failed(path, error))?;
        }
        let good = self.head.problems.is_empty();
        if good {
            fs::remove_dir_all(&self.dir).map_err(|error| failed(&self.dir, error))?;
        }
        Ok(good)
    }

    /// How single servers are compared.
    fn method(cli: &Cli) -> Vec<String> {
        vec![
            format!(
                "Medians of {} pairs, the order alternating; a ratio is the median of the pairs' ratios. Znodes of",
                cli.pairs
            ),
            "100 bytes. Fsync on in both, the same zoo.cfg, fresh data directories on the same file system, Java".into(),
            format!(
                "with -Xmx1000m. Each load warmed up for {} s, then measured for {} s. Server CPU is counted until the",
                cli.warmup, cli.seconds
            ),
            "server is idle after the load, so that write-behind and garbage collection are in it. Loads are".into(),
            "closed-loop. Everything acknowledged was read back and compared. Memory and start: a tree of".into(),
            format!(
                "{} znodes, files in the page cache; {} idle sessions.",
                cli.tree_keys, cli.idle_sessions
            ),
            String::new(),
            format!("The node {ALWAYS_THERE} answers the first read of a fresh server; a restart's is one of the tree."),
        ]
    }
}
