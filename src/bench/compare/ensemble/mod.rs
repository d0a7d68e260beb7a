//! Three servers of this project beside three of Apache ZooKeeper: throughput, the gap after the
//! loss of the leader, and writes while a follower catches up.
//!
//! Owns: the order of the parts, and which figures are taken when.
//!
//! Does not know: how the table of single servers is made.
//!
//! Invariants: as of the whole comparison; only one ensemble runs at a time.

mod failover;
mod members;
mod paced;
mod pipe;
mod rows;
mod table;

use std::net::SocketAddr;
use std::thread::sleep;
use std::time::{Duration, Instant};

use zk_wire::OpCode;

use self::failover::{ROOT, SESSIONS, Writers, data, node};
use self::members::{Ensemble, Sync};
use self::paced::{Paced, Tree};
pub use self::rows::ROWS;
pub use self::table::markdown;
use crate::client::{Client, create};
use crate::server::Kind;
use crate::{Cli, Compare, facts};

/// The part with kills of the leader.
pub const FAILOVER: &str = "failover";
/// The part in which a follower returns.
pub const CATCH_UP: &str = "catch-up";

/// What only three servers need.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "With --ensemble")]
pub struct Args {
    /// kill -9 of the leader, so many times in all pairs together
    #[arg(long, default_value_t = 20)]
    kills: u32,
    /// Seconds of load before each kill
    #[arg(long, default_value_t = 2.0)]
    between_kills: f64,
    /// Milliseconds that a client waits before it tries the next server
    #[arg(long, default_value_t = 20)]
    reconnect_ms: u64,
    /// Writes a second while a follower is away and returns
    #[arg(long, default_value_t = 2_000.0)]
    write_rate: f64,
    /// Transactions that the returning follower has missed, at least
    #[arg(long, default_value_t = 100_000)]
    missed: u64,
    /// Seconds that a follower is away, at least; by them its return is judged
    #[arg(long, default_value_t = 60.0)]
    away: f64,
}

impl Args {
    /// Makes it short.
    pub fn quick(&mut self) {
        self.kills = self.kills.min(1);
        self.between_kills = self.between_kills.min(0.5);
        self.missed = self.missed.min(2_000);
        self.away = self.away.min(1.0);
    }
}

/// How ensembles are compared.
pub fn method(cli: &Cli) -> Vec<String> {
    let args = &cli.ensemble_args;
    vec![
        format!(
            "Medians of {} pairs, the order alternating; a ratio is the median of the pairs' ratios, for the",
            cli.pairs
        ),
        "kills that of the medians. Three servers on this machine, all with fsync and the same zoo.cfg, fresh data".into(),
        format!(
            "directories on the same file system, Java with -Xmx1000m. Each load warmed up for {} s, then measured for",
            cli.warmup
        ),
        format!(
            "{} s, its sessions spread over the three. Server CPU is that of all three, until they are idle after the",
            cli.seconds
        ),
        "load. Znodes of 100 bytes. Loads are closed-loop. Everything acknowledged was read back and compared.".into(),
        String::new(),
        format!(
            "After a kill the clients try the servers in turn, {} ms after each failure; the first write is one that was",
            args.reconnect_ms
        ),
        "sent after the kill. They check at each reconnect, and on every server at the end, that what was".into(),
        format!(
            "acknowledged is there. While a follower is away and returns, 8 sessions on the leader set {} znodes a",
            args.write_rate
        ),
        format!(
            "second of a tree of {}; it is away for {} s at least, and for DIFF misses at least {} transactions.",
            cli.tree_keys, args.away, args.missed
        ),
        "snapshotSizeFactor=0 in both, so that the log is sent whatever the size of its files.".into(),
    ]
}

impl Compare {
    /// All parts, pair by pair.
    ///
    /// # Errors
    /// When the comparison cannot go on; what fails in a part is told at the end.
    pub fn ensembles(&mut self) -> Result<(), String> {
        self.head
            .facts
            .push(format!("JVM: {}", facts::java_version()));
        for pair in 0..self.cli.pairs as usize {
            let mut kinds = self.programs.kinds();
            if pair % 2 == 1 {
                kinds.reverse();
            }
            for kind in kinds {
                self.part(kind, pair, "loads", Self::ensemble_loads)?;
                // Starting Java's servers takes long; a short run does it once.
                if !self.quick_shares() {
                    self.part(kind, pair, CATCH_UP, Self::catch_up)?;
                }
            }
        }
        Ok(())
    }

    fn ensemble(&mut self, kind: Kind, pair: usize, name: &str) -> Result<Ensemble, String> {
        let dir = self.fresh(name)?;
        let begin = Instant::now();
        let ensemble = Ensemble::start(&self.programs, kind, &dir)?;
        eprintln!("  three servers serve after {:?}", begin.elapsed());
        let version = facts::server_version(ensemble.hosts()[0]);
        let fact = format!("{kind:?}: {version}");
        if pair == 0 && !self.head.facts.contains(&fact) {
            self.head.facts.push(fact);
        }
        Ok(ensemble)
    }

    /// The loads, then the kills, on one ensemble.
    fn ensemble_loads(&mut self, kind: Kind, pair: usize) -> Result<(), String> {
        let mut ensemble = self.ensemble(kind, pair, "loads")?;
        for row in ROWS {
            if !self.wants(row.name) {
                continue;
            }
            let mut args: Vec<String> = row.args.iter().map(ToString::to_string).collect();
            args.extend([
                format!("--seconds={}", self.cli.seconds),
                format!("--warmup={}", self.cli.warmup),
            ]);
            if self.cli.quick {
                args.extend(["--settle=0".into(), "--keys=1000".into()]);
            }
            if row.name != "create" {
                args.push("--cleanup".into());
            }
            let (hosts, pids) = (ensemble.hosts(), ensemble.pids());
            match self.generator.run(&hosts, &pids, &args, || ()) {
                Ok(report) => self.load_row(kind, pair, row.name, &report),
                Err(why) => self.problem(kind, pair, row.name, &why),
            }
            ensemble.check()?;
        }
        if self.wants(FAILOVER) {
            self.failover(kind, pair, &mut ensemble)?;
        }
        if self.quick_shares() {
            self.follower_returns(kind, pair, &mut ensemble)?;
        }
        ensemble.stop()
    }

    /// Whether a follower returns to the ensemble of the loads.
    fn quick_shares(&self) -> bool {
        let mut loads = ROWS.iter().map(|row| row.name).chain([FAILOVER]);
        self.cli.quick && self.wants(CATCH_UP) && loads.any(|name| self.wants(name))
    }

    fn failover(&mut self, kind: Kind, pair: usize, ensemble: &mut Ensemble) -> Result<(), String> {
        let kills = self.kills(pair);
        let leader = ensemble.wait_whole()?;
        let mut nodes = vec![(ROOT.to_string(), Vec::new())];
        nodes.extend((0..SESSIONS).map(|session| (node(session), data(0).to_vec())));
        make(ensemble.hosts()[leader], &nodes)?;

        let delay = Duration::from_millis(self.cli.ensemble_args.reconnect_ms);
        let writers = Writers::begin(ensemble.hosts(), delay);
        let kills = self.kill_leaders(kind, pair, kills, ensemble, &writers);
        let (acked, errors, problems) = writers.end();
        kills?;
        eprintln!("  failover: {acked} writes acknowledged and found, errors {errors:?}");
        for why in problems {
            self.problem(kind, pair, FAILOVER, &why);
        }
        if !errors.is_empty() {
            let why = format!("replies with errors, by code: {errors:?}");
            self.problem(kind, pair, FAILOVER, &why);
        }
        Ok(())
    }

    /// How many of the kills fall into a pair.
    fn kills(&self, pair: usize) -> u32 {
        let (kills, pairs) = (self.cli.ensemble_args.kills, self.cli.pairs);
        kills / pairs + u32::from((pair as u32) < kills % pairs)
    }

    fn kill_leaders(
        &mut self,
        kind: Kind,
        pair: usize,
        kills: u32,
        ensemble: &mut Ensemble,
        writers: &Writers,
    ) -> Result<(), String> {
        let between = Duration::from_secs_f64(self.cli.ensemble_args.between_kills);
        for kill in 0..kills {
            let leader = ensemble.wait_whole()?;
            let (before, begin) = (writers.acked(), Instant::now());
            // The load itself: so long it runs undisturbed.
            sleep(between);
            let rate = (writers.acked() - before) as f64 / begin.elapsed().as_secs_f64();
            let gap = writers.gap(|| ensemble.kill(leader))?;
            ensemble.start_member(leader)?;
            eprintln!(
                "  kill {} of {kills}, server {}: first write after {:?}, one of every session after {:?}, \
                 {rate:.0}/s before",
                kill + 1,
                leader + 1,
                gap.first,
                gap.all
            );
            // A sample for each kill.
            let at = pair * 1_000 + kill as usize;
            let ms = |time: Duration| time.as_secs_f64() * 1e3;
            self.add(kind, at, "gap_ms", ms(gap.first));
            self.add(kind, at, "gap_all_ms", ms(gap.all));
            self.add(kind, at, "gap_rate", rate);
        }
        ensemble.wait_whole().map(drop)
    }

    fn catch_up(&mut self, kind: Kind, pair: usize) -> Result<(), String> {
        let mut ensemble = self.ensemble(kind, pair, CATCH_UP)?;
        self.follower_returns(kind, pair, &mut ensemble)?;
        ensemble.stop()?;
        self.fresh(CATCH_UP).map(drop)
    }

    fn follower_returns(
        &mut self,
        kind: Kind,
        pair: usize,
        ensemble: &mut Ensemble,
    ) -> Result<(), String> {
        let keys = self.cli.tree_keys;
        let tree = Tree {
            root: "/b/t".into(),
            keys,
            parents: (keys / 1_000).max(1),
        };
        let args = [
            "--workload=fill".into(),
            "--prefix=/b".into(),
            "--run=t".into(),
            format!("--keys={keys}"),
            format!("--parents={}", tree.parents),
            // The follower is read back after its return, where it shows more.
            "--no-verify".into(),
        ];
        let report = self.generator.run(&ensemble.hosts(), &[], &args, || ())?;
        self.judge(kind, pair, CATCH_UP, &report);
        for how in [Sync::Diff, Sync::Snap] {
            self.returns(kind, pair, ensemble, &tree, how)?;
        }
        Ok(())
    }

    /// A follower goes away for a time and returns, while the leader takes writes.
    fn returns(
        &mut self,
        kind: Kind,
        pair: usize,
        ensemble: &mut Ensemble,
        tree: &Tree,
        how: Sync,
    ) -> Result<(), String> {
        let (name, missed) = match how {
            Sync::Diff => ("diff", self.cli.ensemble_args.missed),
            Sync::Snap => ("snap", 0),
        };
        let leader = ensemble.wait_whole()?;
        let follower = (leader + 1) % ensemble.hosts().len();
        let hosts = ensemble.hosts();
        let paced = Paced::begin(hosts[leader], tree, self.cli.ensemble_args.write_rate)?;
        // Not measured: Java's compiler has had its time before anything is.
        sleep(Duration::from_secs_f64(self.cli.warmup));

        ensemble.kill(follower)?;
        if how == Sync::Snap {
            ensemble.empty(follower)?;
        }
        let (gone, sent) = (paced.now(), paced.sent());
        let away = Duration::from_secs_f64(self.cli.ensemble_args.away);
        let begin = Instant::now();
        // As long as the rate needs, twice over.
        let bound =
            away + Duration::from_secs_f64(missed as f64 / self.cli.ensemble_args.write_rate);
        while begin.elapsed() < away || paced.sent() - sent < missed {
            if begin.elapsed() > bound * 2 {
                return Err("the leader does not take writes at that rate".into());
            }
            ensemble.check()?;
            // The load itself: so long it runs undisturbed.
            sleep(Duration::from_millis(20));
        }
        let missed = paced.sent() - sent;
        let start = Instant::now();
        ensemble.start_member(follower)?;
        let whole = ensemble.wait_follower(follower)?;
        let (from, to) = (paced.at(start), paced.at(whole));
        let done = paced.end()?;
        if ensemble.synced_by(follower) != Some(how) {
            let found = ensemble.synced_by(follower);
            return Err(format!("{how:?} was wanted, {found:?} was sent"));
        }
        let read = done.read_back(hosts[follower], tree)?;

        // The stretch before is at most a minute, and does not have the moment of the loss in it.
        let settled = gone + (away / 10).as_nanos() as u64;
        let minute = Duration::from_secs(60).as_nanos() as u64;
        let none = || "no write in the time measured".to_string();
        let before = done
            .window(settled.max(from.saturating_sub(minute)), from)
            .ok_or_else(none)?;
        let during = done.window(from, to).ok_or_else(none)?;
        let took = (whole - start).as_secs_f64();
        eprintln!(
            "  {name}: {missed} missed, back after {took:.2} s; before: p50 {:.0}, p99 {:.0} us, max {:.0} us of {}; \
             during: p50 {:.0}, p99 {:.0} us, max {:.0} us of {}; {read} read back",
            before.p50,
            before.p99,
            before.max,
            before.count,
            during.p50,
            during.p99,
            during.max,
            during.count,
        );
        for (part, value) in [
            ("took_s", took),
            ("before_p99", before.p99),
            ("during_p99", during.p99),
            ("during_max", during.max),
            ("ratio", during.p99 / before.p99),
        ] {
            self.add(kind, pair, &format!("{name}.{part}"), value);
        }
        Ok(())
    }
}

/// Makes nodes, one after the other.
fn make(server: SocketAddr, nodes: &[(String, Vec<u8>)]) -> Result<(), String> {
    const PATIENCE: Duration = Duration::from_secs(10);
    let failed = |error: std::io::Error| format!("making nodes: {error}");
    let mut client = Client::open(server, PATIENCE).map_err(failed)?;
    for (path, data) in nodes {
        let code = client
            .ask(OpCode::Create, &create(path, data))
            .map_err(failed)?;
        if code != 0 {
            return Err(format!("making {path}: code {code}"));
        }
    }
    Ok(())
}
