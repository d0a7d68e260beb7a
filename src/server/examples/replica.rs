//! A server of an ensemble without a tree: it votes, leads and follows, keeps the log in memory, and
//! serves nobody. To see an election and a synchronisation with other servers from close by.
//!
//! `replica ID FILE`, where FILE has the `server.N` lines. What it becomes goes to standard output,
//! one line each; it ends with standard input.

use std::collections::{BTreeMap, VecDeque};
use std::io::Read;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use parking_lot::Mutex;
use zabkeeper::peer::budget::Delivery;
use zabkeeper::peer::install::{SnapSink, SnapSinks};
use zabkeeper::peer::stream::{Broken, LogRecords, LogSource, SnapSource};
use zabkeeper::peer::{self, Peers, Wiring};
use zk_wire::quorum::config::QuorumConfig;
use zk_wire::quorum::packet::{Packet, PacketKind};
use zk_wire::quorum::snap::{OPEN_ACL, SnapEncoder, SnapItem};
use zk_wire::stat::StatPersisted;
use zk_zab::config::Settings;
use zk_zab::history::History;
use zk_zab::ids::{Now, Sid, Zxid};
use zk_zab::io::{Act, In, Job, Level, Out, Tell};
use zk_zab::view::View;
use zk_zab::{Recovered, Zab};

/// The log: where it begins, and its records.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<(Zxid, BTreeMap<Zxid, Bytes>)>>);

struct Records {
    log: Log,
    after: Zxid,
    until: Zxid,
    payload: Bytes,
}

impl LogSource for Log {
    fn open(&self, after: Zxid, until: Zxid) -> Result<Box<dyn LogRecords>, String> {
        Ok(Box::new(Records {
            log: self.clone(),
            after,
            until,
            payload: Bytes::new(),
        }))
    }
}

impl LogRecords for Records {
    fn next(&mut self) -> Result<Option<(Zxid, &[u8])>, String> {
        let found = {
            let log = self.log.0.lock();
            let mut rest = log.1.range(self.after.next()..);
            rest.next().map(|(zxid, payload)| (*zxid, payload.clone()))
        };
        Ok(match found {
            Some((zxid, payload)) if zxid <= self.until => {
                self.after = zxid;
                self.payload = payload;
                Some((zxid, &self.payload))
            }
            _ => None,
        })
    }

    fn extend(&mut self, until: Zxid) -> Result<(), String> {
        self.until = until;
        Ok(())
    }
}

/// The tree before any transaction; it can be sent as long as the log goes back to it.
impl SnapSource for Log {
    fn send(
        &self,
        begin: &mut dyn FnMut(Zxid) -> Result<(), Broken>,
        take: &mut dyn FnMut(Vec<u8>) -> Result<(), Broken>,
    ) -> Result<(), Broken> {
        let base = self.0.lock().0;
        if base != Zxid::ZERO {
            return Err(Broken::Source(format!("there is no tree at {base}")));
        }
        begin(base)?;
        let mut out = Vec::new();
        let mut encoder = SnapEncoder::begin(0, 0, &mut out);
        for path in ["", "/zookeeper", "/zookeeper/config", "/zookeeper/quota"] {
            let stat = StatPersisted::default();
            encoder.node(path, Some(&[]), OPEN_ACL, &stat, &mut out);
        }
        encoder.end(&mut out);
        take(out)
    }
}

/// Received trees are looked at and dropped.
struct Count {
    zxid: Zxid,
    nodes: u64,
}

impl SnapSinks for Log {
    fn begin(&self, zxid: Zxid) -> Result<Box<dyn SnapSink>, String> {
        Ok(Box::new(Count { zxid, nodes: 0 }))
    }
}

impl SnapSink for Count {
    fn take(&mut self, item: SnapItem<'_>) -> Result<(), String> {
        if matches!(item, SnapItem::Node { .. }) {
            self.nodes += 1;
        }
        Ok(())
    }

    fn finish(self: Box<Self>) -> Result<(), String> {
        println!("snapshot at {} with {} nodes", self.zxid, self.nodes);
        Ok(())
    }
}

struct Replica {
    zab: Zab,
    log: Log,
    staged: BTreeMap<Zxid, Bytes>,
    /// Last record told, and last one committed.
    told: Zxid,
    applied: Zxid,
    inputs: VecDeque<In>,
    acts: Vec<Act>,
    said: String,
}

impl Replica {
    fn carry_out(&mut self, act: Act) {
        match act {
            Act::Append(zxid, payload) => {
                self.log.0.lock().1.insert(zxid, payload);
                self.inputs.push_back(In::Durable(zxid));
            }
            Act::Stage(zxid, payload) => {
                self.staged.insert(zxid, payload);
            }
            Act::Abandon => self.staged.clear(),
            Act::Job(id, job) => {
                let log = &mut *self.log.0.lock();
                match job {
                    Job::Cut(zxid) => drop(log.1.split_off(&zxid.next())),
                    Job::Switch { zxid, .. } => *log = (zxid, std::mem::take(&mut self.staged)),
                    Job::Flush
                    | Job::SaveAccepted(_)
                    | Job::SaveCurrent(_)
                    | Job::SaveLastSeen(_)
                    | Job::SaveCommitted(_) => {}
                }
                self.inputs.push_back(In::Done(id));
            }
            Act::ReadLog { after, until } => {
                let log = self.log.0.lock();
                for (zxid, payload) in log.1.range(after.next()..=until) {
                    self.inputs.push_back(In::LogRecord(*zxid, payload.clone()));
                }
                self.inputs.push_back(In::LogRead(until));
            }
            Act::Log(Level::Info, line) => eprintln!("{line}"),
            Act::Log(Level::Warn, line) => eprintln!("warning: {line}"),
            Act::Violation(line) => eprintln!("error: {line}"),
            act => self.acts.push(act),
        }
    }

    fn hear(&mut self, tell: Tell) {
        match tell {
            Tell::Record(zxid, _) => self.told = zxid,
            Tell::Committed(zxid) => {
                self.applied = zxid.min(self.told).max(self.applied);
                self.inputs.push_back(In::Applied(self.applied));
            }
            Tell::Rest => self.told = self.applied,
            Tell::Reloaded { zxid, .. } => (self.told, self.applied) = (zxid, zxid),
            Tell::Ping(packet) => {
                let answer = Packet::with(PacketKind::Ping, packet.zxid, Bytes::new());
                self.inputs.push_back(In::ToLeader(answer));
            }
            Tell::Lead(_)
            | Tell::Learn { .. }
            | Tell::Request(..)
            | Tell::Revalidate(..)
            | Tell::Revalidated(_)
            | Tell::SyncDone
            | Tell::Touched(..)
            | Tell::LearnerGone(_)
            | Tell::Muted
            | Tell::Config(_) => {}
        }
    }

    fn step(&mut self, now: Now, input: In) {
        self.inputs.push_back(input);
        let mut out = Vec::new();
        while let Some(input) = self.inputs.pop_front() {
            self.zab.step(now, input, &mut out);
            for out in out.drain(..) {
                match out {
                    Out::Act(act) => self.carry_out(act),
                    Out::Tell(tell) => self.hear(tell),
                }
            }
        }
        let status = self.zab.status();
        let is = if status.established {
            "serving"
        } else {
            "not serving"
        };
        let end = self.zab.history().end();
        let says = format!(
            "{} {is}, epoch {}, log to {end}, committed {}, learners {:?}",
            status.state,
            status.epoch,
            self.zab.committed(),
            status.learners
        );
        if says != self.said {
            println!("{says}");
            self.said = says;
        }
    }
}

enum Told {
    Peers(Delivery),
    End,
}

fn main() -> ExitCode {
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .init();
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("{why}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), String> {
    let mut arguments = std::env::args().skip(1);
    let (Some(me), Some(file)) = (arguments.next(), arguments.next()) else {
        return Err("usage: replica ID FILE".into());
    };
    let me = Sid(me.parse().map_err(|error| format!("{me}: {error}"))?);
    let text = std::fs::read_to_string(&file).map_err(|error| format!("{file}: {error}"))?;
    let config = QuorumConfig::parse(&text, false).map_err(|error| format!("{file}: {error}"))?;
    let settings = Settings {
        me,
        tick_ms: 1_000,
        ..Settings::default()
    };
    let past = Recovered {
        history: History::new(Zxid::ZERO, Vec::new(), Vec::new()),
        accepted: 0,
        current: 0,
        applied: Zxid::ZERO,
        may_vote: true,
    };
    let view = View::new(me, false, config, None);
    let hello_ms = settings.sync_ms().unsigned_abs();
    let log = Log::default();
    let mut replica = Replica {
        zab: Zab::recover(settings, view, past),
        log: log.clone(),
        staged: BTreeMap::new(),
        told: Zxid::ZERO,
        applied: Zxid::ZERO,
        inputs: VecDeque::new(),
        acts: Vec::new(),
        said: String::new(),
    };
    let (tell, told) = mpsc::channel();
    let end = tell.clone();
    std::thread::spawn(move || {
        // However it ends.
        let _ = std::io::stdin().read_to_end(&mut Vec::new());
        let _ = end.send(Told::End);
    });
    let wiring = Wiring {
        sink: Arc::new(move |delivery| {
            // The end may have come.
            let _ = tell.send(Told::Peers(delivery));
        }),
        log: Arc::new(log.clone()),
        snaps: Arc::new(log.clone()),
        load: Arc::default(),
        installs: Arc::new(log),
        unable: Box::new(|line| {
            eprintln!("{line}");
            std::process::exit(peer::election::UNABLE_TO_BIND);
        }),
    };
    let sockets = peer::Settings::new(me, Duration::from_millis(hello_ms));
    let peers = Peers::start(sockets, replica.zab.shared_view(), wiring)
        .map_err(|error| error.to_string())?;
    let start = Instant::now();
    let now = || Now {
        mono_ms: start.elapsed().as_millis() as i64,
        wall_ms: SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |it| it.as_millis() as i64),
    };
    replica.step(now(), In::TreeBytes(1_000));
    loop {
        let wait = (replica.zab.deadline_ms() - now().mono_ms).clamp(0, 500);
        match told.recv_timeout(Duration::from_millis(wait.unsigned_abs())) {
            Ok(Told::Peers(delivery)) => {
                for input in delivery.inputs {
                    replica.step(now(), input);
                }
            }
            Ok(Told::End) | Err(RecvTimeoutError::Disconnected) => break,
            Err(RecvTimeoutError::Timeout) => {}
        }
        if now().mono_ms >= replica.zab.deadline_ms() {
            replica.step(now(), In::Tick);
        }
        peers.carry_out(&mut replica.acts);
    }
    peers.stop();
    Ok(())
}
