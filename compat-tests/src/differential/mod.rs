//! The differential runner: the same requests to two servers, every answer compared.
//!
//! Owns: runs from a seed (`generate`), from a script (`step`), their execution in step on both
//! servers (`run`, `exchange`), what may differ (`rules`), the final look at the whole tree (`walk`),
//! and shrinking (`minimise`).
//!
//! Does not know: which of the two is right. One request is in flight over all sessions, or one
//! session pipelines while the others only watch; so zxids, versions and sequence numbers are the same
//! on two right servers, and are compared like everything else.

pub mod coverage;
pub mod exchange;
pub mod generate;
pub mod minimise;
pub mod op;
pub mod print;
pub mod rules;
pub mod run;
pub mod step;
pub mod universe;
pub mod walk;

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use coverage::Coverage;
use exchange::Difference;
use generate::{Generator, View};
use op::{Op, code};
use rules::Rule;
use run::{Mismatch, OBSERVER, Runner, SLOTS};
use step::{Request, Script, Step};

use crate::conn::four_letter;
use crate::raw::text;
use crate::servers::{Kind, Launch, Server, Settings};

/// What a run came to.
#[derive(Debug)]
pub struct Report {
    /// Steps carried out (the last one is the one that differed).
    pub script: Script,
    /// The first difference.
    pub mismatch: Option<Mismatch>,
    /// Requests sent, the walk's not counted.
    pub requests: usize,
    /// Nodes that the final walk compared.
    pub nodes: usize,
    /// How long the steps took.
    pub elapsed: Duration,
    /// Counters.
    pub coverage: Coverage,
    /// Rules applied on the left, with how often.
    pub rules: Vec<(Rule, u64)>,
}

/// Two servers started for one run.
#[derive(Debug)]
pub struct Pair {
    servers: [Server; 2],
}

impl Pair {
    /// Starts both; [`Pair::ready`] waits for them.
    pub fn start(launches: &[Launch; 2], settings: &Settings) -> Result<Self, String> {
        Ok(Self {
            servers: [
                Server::start(&launches[0], settings)?,
                Server::start(&launches[1], settings)?,
            ],
        })
    }

    /// Waits until both serve.
    pub fn ready(&mut self) -> Result<[SocketAddr; 2], String> {
        self.servers.iter_mut().try_for_each(Server::ready)?;
        Ok([self.servers[0].addr, self.servers[1].addr])
    }

    /// Copies both servers' logs into `dir`.
    pub fn keep_logs(&self, dir: &Path, name: &str) -> Result<(), String> {
        for (server, side) in self.servers.iter().zip(["left", "right"]) {
            let to = dir.join(format!("{name}-{side}.log"));
            fs::copy(server.dir().join("server.log"), &to)
                .map_err(|e| format!("{}: {e}", to.display()))?;
        }
        Ok(())
    }

    /// Copies both servers' transaction logs and snapshots to `dir/SEED-SIDE-KIND`.
    pub fn keep_data(&self, dir: &Path, seed: u64) -> Result<(), String> {
        for (server, side) in self.servers.iter().zip(["left", "right"]) {
            let kind = format!("{:?}", server.kind).to_lowercase();
            server.copy_data(&dir.join(format!("{seed}-{side}-{kind}")))?;
        }
        Ok(())
    }

    /// The tails of the logs of servers that have ended, for a message.
    pub fn dead(&mut self) -> String {
        let mut out = String::new();
        for server in &mut self.servers {
            if !server.alive() {
                out += &format!(
                    "the {:?} server has ended:\n{}\n",
                    server.kind,
                    server.log_tail()
                );
            }
        }
        out
    }
}

fn wall_ms() -> i64 {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .expect("a clock after 1970");
    i64::try_from(now.as_millis()).expect("a sane clock")
}

/// What a generated run is made from.
#[derive(Debug, Clone, Copy)]
pub struct Plan {
    /// Seed of the generator.
    pub seed: u64,
    /// Requests to send.
    pub ops: usize,
    /// How the servers are set.
    pub settings: Settings,
    /// Leave out what Java answers by an exception: nulls in odd places above all.
    pub calm: bool,
    /// Look at every connection after every step.
    pub eager: bool,
    /// Both servers have read the same log before.
    pub loaded: bool,
}

/// Runs generated requests.
pub fn generated(addrs: [SocketAddr; 2], plan: &Plan) -> Result<Report, String> {
    let Plan {
        seed,
        ops,
        settings,
        calm,
        eager,
        loaded,
    } = *plan;
    let mut generator = Generator::new(seed, &settings, calm);
    let clean = generator.clean_digest;
    let mut script = Script {
        settings,
        steps: Vec::new(),
    };
    let mut drive = |runner: &mut Runner, requests: &mut usize| -> Result<(), Mismatch> {
        let refusing = runner.kinds() != [Kind::Java, Kind::Java];
        while *requests < ops {
            let connected = std::array::from_fn(|slot| slot < SLOTS && runner.connected(slot));
            let step = generator.next(&View {
                connected,
                zxid: runner.zxid,
                refusing,
            });
            script.steps.push(step);
            let step = script.steps.last().expect("just pushed");
            runner.at(script.steps.len() - 1);
            *requests += step.weight();
            if let Some(outcome) = runner.step(step)?
                && let Step::Send { slot, requests } = step
            {
                generator.learn(*slot, requests, &outcome);
            }
        }
        Ok(())
    };
    let mut report = drive_and_walk(addrs, (eager, loaded), clean, &mut drive)?;
    report.script = script;
    Ok(report)
}

/// Runs a script.
pub fn replayed(addrs: [SocketAddr; 2], script: &Script, eager: bool) -> Result<Report, String> {
    let mut drive = |runner: &mut Runner, requests: &mut usize| -> Result<(), Mismatch> {
        for (i, step) in script.steps.iter().enumerate() {
            runner.at(i);
            *requests += step.weight();
            runner.step(step)?;
        }
        runner.at(script.steps.len());
        Ok(())
    };
    let mut report = drive_and_walk(addrs, (eager, false), false, &mut drive)?;
    report.script = script.clone();
    Ok(report)
}

type Drive<'a> = dyn FnMut(&mut Runner, &mut usize) -> Result<(), Mismatch> + 'a;

fn drive_and_walk(
    addrs: [SocketAddr; 2],
    (eager, loaded): (bool, bool),
    clean_digest: bool,
    drive: &mut Drive<'_>,
) -> Result<Report, String> {
    let from = wall_ms();
    let mut runner = Runner::start(addrs)?;
    runner.eager = eager;
    if loaded {
        runner.set_loaded();
    }
    let (mut requests, mut nodes) = (0, 0);
    let begun = Instant::now();
    let mut elapsed = Duration::ZERO;
    let mut finish = |runner: &mut Runner| -> Result<(), Mismatch> {
        drive(runner, &mut requests)?;
        runner.drain_all()?;
        elapsed = begun.elapsed();
        nodes = walk::walk(runner)?;
        runner.check_clocks(from, wall_ms())?;
        if clean_digest {
            // Java's mntr breaks off where quota limits do not parse.
            let limits: Vec<Request> = universe::QUOTAS
                .iter()
                .zip(1..)
                .map(|(prefix, xid)| {
                    let path = text(&format!("/zookeeper/quota{prefix}/zookeeper_limits"));
                    let op = Op::Versioned {
                        op: code::DELETE,
                        path,
                        version: -1,
                    };
                    Request {
                        xid,
                        op: op.code(),
                        body: op.body(),
                    }
                })
                .collect();
            runner.send(OBSERVER, &limits)?;
            for (kind, addr) in runner.kinds().into_iter().zip(addrs) {
                check_digest(kind, addr)?;
            }
        }
        Ok(())
    };
    let mismatch = finish(&mut runner).err();
    if elapsed.is_zero() {
        elapsed = begun.elapsed();
    }
    let rules = runner.rules_used().iter().map(|(r, n)| (*r, *n)).collect();
    let script = Script {
        settings: Settings::default(),
        steps: Vec::new(),
    };
    Ok(Report {
        script,
        mismatch,
        requests,
        nodes,
        elapsed,
        coverage: runner.coverage,
        rules,
    })
}

/// Java predicts a tree digest per transaction, compares after apply, and must never have been wrong.
/// Another server may not have the counter, but if it has, it must be 0 too.
fn check_digest(kind: Kind, addr: SocketAddr) -> Result<(), Mismatch> {
    let answer = four_letter(addr, "mntr");
    let text = answer.as_deref().unwrap_or_default();
    let count = text
        .lines()
        .find_map(|l| l.strip_prefix("zk_digest_mismatches_count\t"));
    if count == Some("0") || (count.is_none() && kind != Kind::Java) {
        return Ok(());
    }
    let signature = format!("{kind:?}: zk_digest_mismatches_count {count:?}");
    let text = format!("{signature} in {answer:?}");
    Err(Mismatch {
        step: usize::MAX,
        slot: OBSERVER,
        difference: Difference { text, signature },
    })
}
