//! One run: sessions, keys, warm-up, the measured time, the read-back check, the end.
//!
//! Owns: the order of these, and which server CPU time belongs to which operations.
//!
//! Does not know: how a socket is served, or how a request is encoded.
//!
//! Invariants: with `--server-pid` the measured time begins and ends with an idle server, so the
//! CPU time is that of the operations counted, write-behind and garbage collection included; the
//! read-back check comes after it.

use std::time::Duration;

use crate::cli::{BenchArgs, Workload};
use crate::engine::{Engine, Stretch};
use crate::error::Error;
use crate::limits::{BULK_OUTSTANDING, SETTLE_WINDOW_READS, SETTLE_WINDOW_WRITES};
use crate::load::{
    Bulk, Checked, Children, Create, Ephemeral, Idle, Ledger, Load, MakeKeys, Mixed, Multi, Paths,
    RemoveKeys, Sharing, Verify, VerifyEphemeral, WatchFanout,
};
use crate::meter::Meter;
use crate::process::{Process, cpu_of, memory_of, settle};
use crate::report::{Report, Server};
use crate::template::{Data, MAX_KEYS, Names};

struct Bench<'a> {
    args: &'a BenchArgs,
    engine: Engine,
    names: Names,
    data: Data,
    processes: Vec<Process>,
    report: Report,
}

/// Runs what the arguments say.
///
/// # Errors
/// When the run could not be finished. Failed operations and a read-back check that found
/// something are in the report.
pub fn run(args: &BenchArgs) -> Result<Report, Error> {
    args.check()?;
    let hosts = args.addresses()?;
    Engine::allow_files(args.sessions as usize)?;
    let pids = args.server_pid.iter();
    let processes: Vec<_> = pids
        .map(|pid| Process::new(*pid))
        .collect::<Result<_, _>>()?;
    let run = args.run.clone().unwrap_or_else(|| {
        let micros = jiff::Timestamp::now().as_microsecond();
        format!("{micros:x}-{}", std::process::id())
    });
    let names = Names::new(format!("{}/{run}", args.prefix), args.parents);
    let mut bench = Bench {
        args,
        engine: Engine::new(hosts, args.session_timeout)?,
        report: Report {
            workload: args.workload.name(),
            hosts: args.hosts.clone(),
            sessions: u64::from(args.sessions),
            outstanding: u64::from(args.outstanding),
            size: args.size as u64,
            root: names.root().to_string(),
            ..Report::default()
        },
        names,
        data: Data::new(args.size),
        processes,
    };
    if !bench.processes.is_empty() {
        let rss_before = memory_of(&bench.processes)?.resident;
        bench.report.server = Some(Server {
            rss_before,
            ..Server::default()
        });
    }
    bench.all()?;
    Ok(bench.report)
}

impl Bench<'_> {
    fn all(&mut self) -> Result<(), Error> {
        let args = self.args;
        if args.workload == Workload::Connect {
            return self.connect();
        }
        self.engine.open(args.sessions as usize)?;
        self.prepare()?;
        let sharing = Sharing {
            sessions: args.sessions,
            keys: args.keys,
        };
        let (names, data) = (self.names.clone(), self.data.clone());
        match args.workload {
            Workload::Create => {
                let mut load = Create::new(&names, &data, MAX_KEYS);
                self.measure(&mut load)?;
                self.verify(&load.ledger)?;
                self.remove_keys(load.ledger.keys())?;
            }
            Workload::Fill => {
                let mut load = Create::new(&names, &data, args.keys);
                self.measure(&mut load)?;
                self.verify(&load.ledger)?;
                self.remove_keys(load.ledger.keys())?;
            }
            Workload::Get | Workload::Set | Workload::Mixed => {
                let reads = match args.workload {
                    Workload::Get => 100,
                    Workload::Set => 0,
                    _ => args.reads,
                };
                let mut load = Mixed::new(&names, &data, sharing, reads);
                self.measure(&mut load)?;
                if reads < 100 {
                    self.verify(&load.ledger)?;
                }
                self.remove_keys(args.keys)?;
            }
            Workload::Children => {
                self.measure(&mut Children::new(&names, args.keys))?;
                self.remove_keys(args.keys)?;
            }
            Workload::Multi => {
                let mut load = Multi::new(&names, &data, sharing, args.batch as usize);
                self.measure(&mut load)?;
                self.verify(&load.ledger)?;
                self.remove_keys(args.keys)?;
            }
            Workload::WatchFanout => {
                let nodes = args.outstanding;
                let mut load = WatchFanout::new(&names, &data, self.engine.sessions(), nodes);
                self.measure(&mut load)?;
                self.verify(&load.ledger)?;
                self.remove_keys(nodes)?;
            }
            Workload::Ephemeral => {
                let mut load = Ephemeral::new(&names, &data, args.sessions, args.outstanding);
                self.measure(&mut load)?;
                self.verify_ephemerals(&load)?;
                self.remove_keys(args.sessions * args.outstanding)?;
            }
            Workload::Idle => self.idle()?,
            Workload::Verify => self.only_verify()?,
            Workload::Connect => unreachable!("has no sessions of the engine"),
        }
        self.engine.close()
    }

    fn keys_to_make(&self) -> u32 {
        match self.args.workload {
            Workload::WatchFanout => self.args.outstanding,
            workload if workload.needs_keys() => self.args.keys,
            _ => 0,
        }
    }

    /// Requests in flight for each session while keys are made or checked.
    fn bulk(&self) -> Stretch {
        Stretch::all((BULK_OUTSTANDING / self.engine.sessions().max(1)).clamp(1, 64))
    }

    /// Runs requests that must all succeed.
    fn must(&mut self, what: &str, load: &mut impl Load) -> Result<(), Error> {
        let mut meter = Meter::default();
        let stretch = self.bulk();
        self.engine.drive(load, stretch, &mut meter)?;
        if meter.is_clean() {
            return Ok(());
        }
        Err(Error::Prepare(format!("{what}: {:?}", meter.kinds)))
    }

    fn prepare(&mut self) -> Result<(), Error> {
        let args = self.args;
        let keys = self.keys_to_make();
        if args.reuse || matches!(args.workload, Workload::Idle | Workload::Verify) {
            self.report.keys = u64::from(args.keys);
            return Ok(());
        }
        // A node at a time, since the sessions are not in step with each other.
        let mut above = String::new();
        for name in args.prefix.split('/').skip(1) {
            above = format!("{above}/{name}");
            self.must("the prefix", &mut Paths::new([above.clone()], Bulk::Ensure))?;
        }
        let root = self.names.root().to_string();
        self.must("the run's node", &mut Paths::new([root], Bulk::Make))?;
        let parents = (0..args.parents).map(|parent| self.names.parent(parent));
        let mut load = Paths::new(parents, Bulk::Make);
        self.must("the parents", &mut load)?;
        let data = self.data.clone();
        self.must("the keys", &mut MakeKeys::new(&self.names, &data, keys))?;
        if self.engine.hosts() > 1 {
            // The sessions of another server must find what was just made.
            let (names, none) = (self.names.clone(), Ledger::created(0));
            let sessions = self.engine.sessions();
            let mut syncs = Verify::new(&names, &data, &none, sessions, true);
            self.must("syncs", &mut syncs)?;
        }
        self.report.keys = u64::from(keys);
        Ok(())
    }

    fn settle(&mut self) -> Result<bool, Error> {
        if self.processes.is_empty() {
            return Ok(true);
        }
        if self.args.workload == Workload::Idle {
            // Thousands of sessions that ping never leave a server idle.
            return Ok(false);
        }
        let window = if self.args.workload.writes() {
            SETTLE_WINDOW_WRITES
        } else {
            SETTLE_WINDOW_READS
        };
        let bound = Duration::from_secs_f64(self.args.settle);
        let engine = &mut self.engine;
        settle(&self.processes, window, bound, |time| {
            engine.rest(time, &mut Meter::default())
        })
    }

    fn cpu(&self) -> Result<(Duration, Duration), Error> {
        Ok((cpu_of(&self.processes)?, Process::this().cpu()?))
    }

    /// Warm-up, then the measured time, each ended by an idle server.
    fn measure(&mut self, load: &mut impl Load) -> Result<(), Error> {
        let args = self.args;
        let stretch = Stretch {
            time: match (args.ops, args.workload) {
                (_, Workload::Fill) => None,
                (Some(_), workload) if workload != Workload::Idle => None,
                _ => Some(Duration::from_secs_f64(args.seconds)),
            },
            requests: args.ops.unwrap_or(u64::MAX),
            outstanding: args.outstanding as usize,
            rate: args.rate,
            hold: args.workload == Workload::Idle,
        };
        if args.warmup > 0.0 {
            let warm = Stretch {
                time: Some(Duration::from_secs_f64(args.warmup)),
                requests: u64::MAX,
                ..stretch
            };
            let mut meter = Meter::default();
            self.engine.drive(load, warm, &mut meter)?;
            if !meter.is_clean() {
                return Err(Error::Prepare(format!("warm-up: {:?}", meter.kinds)));
            }
        }
        self.measured(|bench, meter| bench.engine.drive(load, stretch, meter))
    }

    /// Measures one stretch: an idle server, the stretch, an idle server.
    fn measured(
        &mut self,
        stretch: impl FnOnce(&mut Self, &mut Meter) -> Result<Duration, Error>,
    ) -> Result<(), Error> {
        let idle_before = self.settle()?;
        let (server_before, client_before) = self.cpu()?;
        let mut meter = Meter::default();
        let took = stretch(self, &mut meter)?;
        let (_, client_after) = self.cpu()?;
        let idle_after = self.settle()?;
        let (server_after, _) = self.cpu()?;

        let done = meter.done.max(1) as f64;
        let report = &mut self.report;
        report.seconds = took.as_secs_f64();
        report.operations = meter.in_time;
        report.per_second = meter.in_time as f64 / report.seconds.max(f64::MIN_POSITIVE);
        report.failed = meter.failed;
        report.lost = meter.lost;
        report.wrong = meter.wrong;
        [report.reads, report.writes, report.latency, report.pings] = meter.latencies();
        report.client_cpu_us = (client_after - client_before).as_secs_f64() * 1e6 / done;
        if let Some(server) = &mut report.server {
            let used = server_after.saturating_sub(server_before).as_secs_f64();
            let memory = memory_of(&self.processes)?;
            server.cpu_seconds = used;
            server.cpu_us = used * 1e6 / done;
            server.idle_before = idle_before;
            server.idle_after = idle_after;
            server.rss_after = memory.resident;
            server.rss_peak = memory.peak;
        }
        report.errors = meter.kinds;
        Ok(())
    }

    fn connect(&mut self) -> Result<(), Error> {
        let args = self.args;
        let slots = args.sessions as usize;
        let stretch = Stretch {
            requests: args.ops.unwrap_or(u64::MAX),
            time: args
                .ops
                .is_none()
                .then(|| Duration::from_secs_f64(args.seconds)),
            ..Stretch::all(1)
        };
        if args.warmup > 0.0 {
            let warm = Stretch::time(Duration::from_secs_f64(args.warmup), 1);
            self.engine.churn(slots, warm, &mut Meter::default())?;
        }
        self.measured(|bench, meter| bench.engine.churn(slots, stretch, meter))
    }

    fn idle(&mut self) -> Result<(), Error> {
        self.measure(&mut Idle)?;
        let report = &mut self.report;
        report.latency = report.pings;
        report.operations = report.pings.map_or(0, |pings| pings.count);
        report.per_second = report.operations as f64 / report.seconds.max(f64::MIN_POSITIVE);
        let pings = report.operations.max(1) as f64;
        report.client_cpu_us /= pings;
        if let Some(server) = &mut report.server {
            server.cpu_us /= pings;
        }
        Ok(())
    }

    fn verify(&mut self, ledger: &Ledger) -> Result<(), Error> {
        self.report.keys = u64::from(ledger.keys());
        if !self.args.no_verify {
            let exact = self.report.failed + self.report.lost == 0;
            self.report.verified = Some(self.check(ledger, exact)?);
        }
        Ok(())
    }

    fn check(&mut self, ledger: &Ledger, exact: bool) -> Result<Checked, Error> {
        let data = self.data.clone();
        let sessions = self.engine.sessions();
        let mut load = Verify::new(&self.names, &data, ledger, sessions, exact);
        let stretch = self.bulk();
        let mut meter = Meter::default();
        self.engine.drive(&mut load, stretch, &mut meter)?;
        if meter.is_clean() {
            Ok(load.checked)
        } else {
            Err(Error::Prepare(format!("read-back: {:?}", meter.kinds)))
        }
    }

    fn only_verify(&mut self) -> Result<(), Error> {
        let ledger = Ledger::created(self.args.keys);
        let data = self.data.clone();
        let sessions = self.engine.sessions();
        let names = self.names.clone();
        let mut load = Verify::new(&names, &data, &ledger, sessions, true);
        let stretch = self.bulk();
        self.measured(|bench, meter| bench.engine.drive(&mut load, stretch, meter))?;
        self.report.verified = Some(load.checked);
        self.report.operations = load.checked.keys;
        self.report.per_second = load.checked.keys as f64 / self.report.seconds;
        Ok(())
    }

    /// Every ephemeral znode is there as acknowledged, and none after its session.
    fn verify_ephemerals(&mut self, load: &Ephemeral) -> Result<(), Error> {
        if self.args.no_verify {
            return Ok(());
        }
        let (exists, per_session) = load.state();
        let owners = exists.iter().enumerate().map(|(key, &exists)| {
            let session = key / per_session as usize;
            if exists {
                self.engine.session_id(session)
            } else {
                0
            }
        });
        let owners: Vec<i64> = owners.collect();
        let keys = owners.len();
        let mut during = VerifyEphemeral::new(&self.names, owners);
        self.must("read-back", &mut during)?;
        self.engine.close()?;
        self.engine.open(self.args.sessions as usize)?;
        let mut after = VerifyEphemeral::new(&self.names, vec![0; keys]);
        self.must("read-back", &mut after)?;
        self.report.ephemerals = Some((during.checked + after.checked, during.wrong + after.wrong));
        self.report.keys = keys as u64;
        Ok(())
    }

    fn remove_keys(&mut self, keys: u32) -> Result<(), Error> {
        if !self.args.cleanup || self.args.reuse {
            return Ok(());
        }
        self.must("removing keys", &mut RemoveKeys::new(&self.names, keys))?;
        let parents = (0..self.names.parents()).map(|parent| self.names.parent(parent));
        let mut load = Paths::new(parents, Bulk::Remove);
        self.must("removing parents", &mut load)?;
        let root = self.names.root().to_string();
        self.must(
            "removing the run's node",
            &mut Paths::new([root], Bulk::Remove),
        )
    }
}
