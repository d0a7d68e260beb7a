//! Restarts over a big tree: the server answers while the tree is still being loaded, and every
//! answer must be as if it were all there.
//!
//! Owns: the rounds, the clients with their subtrees, and the ends of the rounds. What else
//! happens at the same time is in `scenes`.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use fastrand::Rng;

use super::base::plain;
use super::limits::{POLL, START};
use super::load::{Ended, Mix, Writer};
use super::op::Op;
use super::scenes::{self, Holders};
use super::seen;
use super::server::{Running, Setup};
use super::{Case, Context};

/// The case.
pub fn cases() -> Vec<Case> {
    vec![Case {
        name: "restart-big-tree",
        run,
    }]
}

/// Clients with a subtree each.
pub const CLIENTS: usize = 8;
/// Children of each node of the upper level.
const LOWER: u32 = 200;
/// Levels of the deepest node: more than a server looks up at once.
const DEPTH: usize = 100;
/// Random requests of each client and round.
const REQUESTS: u64 = 2_500;
/// Timeout of their sessions, milliseconds.
const KEPT_MS: i32 = 120_000;

/// How a round ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// In order: the next start replays nothing.
    Term,
    /// Killed when all is answered: the next start replays over a part of the tree.
    Kill,
    /// Killed under load, perhaps while the tree is loaded.
    KillAtOnce,
    /// Stopped in order, likewise.
    TermAtOnce,
}

impl End {
    fn at_once(self) -> bool {
        matches!(self, End::KillAtOnce | End::TermAtOnce)
    }
}

const ENDS: [End; 9] = [
    End::Term,
    End::TermAtOnce,
    End::Kill,
    End::KillAtOnce,
    End::TermAtOnce,
    End::Term,
    End::KillAtOnce,
    End::TermAtOnce,
    End::Term,
];

#[derive(Debug, Default)]
struct Tally {
    nodes: usize,
    fill: Duration,
    first_read: Vec<Duration>,
    loaded: Vec<Duration>,
    before_loaded: Vec<u64>,
    replies: u64,
}

struct Restart {
    setup: Setup,
    writers: Vec<Writer>,
    holders: Holders,
    quota: bool,
    /// Whether there are nodes for the reaper.
    containers: bool,
    rng: Rng,
    upper: u32,
    tally: Tally,
}

fn run(context: &Context) -> Result<String, String> {
    // The whole log stays, for the last check.
    let setup = Setup::new(&context.binary, &context.work)
        .with("zabkeeper.diffWindowTxns=1000000000")
        .with("zabkeeper.diffWindowMiB=1000000");
    let upper = (context.nodes / CLIENTS as u32 / (LOWER + 1)).max(4);
    let mut restart = Restart {
        setup,
        writers: Vec::new(),
        holders: Holders::default(),
        quota: false,
        containers: false,
        rng: Rng::with_seed(context.seed),
        upper,
        tally: Tally::default(),
    };
    restart.fill(context.seed)?;
    for (round, end) in ENDS.into_iter().enumerate() {
        restart
            .round(end)
            .map_err(|why| format!("round {round}, which ends with {end:?}: {why}"))?;
    }
    restart
        .rebuild()
        .map_err(|why| format!("without the store: {why}"))?;
    let tally = &restart.tally;
    if tally.before_loaded.iter().all(|n| *n == 0) {
        return Err(format!("nothing was answered during a load: {tally:?}"));
    }
    Ok(format!("{tally:?}"))
}

impl Restart {
    fn fill(&mut self, seed: u64) -> Result<(), String> {
        let begun = Instant::now();
        let mut server = self.start(&[])?;
        let mut session = seen::fresh(server.addr, KEPT_MS)?;
        for at in 0..CLIENTS {
            let root = format!("/t{at}");
            session.must(&plain(&root, None))?;
            self.writers
                .push(Writer::new(&root, seed * 100 + at as u64));
        }
        scenes::prepare(&mut session)?;
        let (addr, upper) = (server.addr, self.upper);
        in_threads(&mut self.writers, |_, writer| {
            let mut conn = writer.connect(addr, KEPT_MS)?;
            writer.fill(&mut conn, upper, LOWER, false)
        })?;
        // One node with very many children.
        let writer = &mut self.writers[CLIENTS - 1];
        let mut conn = writer.connect(addr, KEPT_MS)?;
        let wide = format!("{}/wide", writer.acked.root);
        let mut script = vec![plain(&wide, None)];
        script.extend((0..upper * LOWER).map(|n| plain(&format!("{wide}/w{n}"), Some(b"w"))));
        writer.run_after(&mut conn, &mix(512, 4), script, 0, &AtomicU64::new(0))?;
        // And one that is very deep.
        let writer = &mut self.writers[5];
        let mut conn = writer.connect(addr, KEPT_MS)?;
        let script = (1..=DEPTH).map(|depth| plain(&deep(depth), Some(b"d")));
        writer.run_after(
            &mut conn,
            &mix(512, 4),
            script.collect(),
            0,
            &AtomicU64::new(0),
        )?;
        self.tally.nodes = self.writers.iter().map(|w| w.acked.nodes.len()).sum();
        self.holders.make(addr, &mut self.rng)?;
        self.tally.fill = begun.elapsed();
        server.term()?;
        self.holders.release();
        Ok(())
    }

    fn start(&self, properties: &[&str]) -> Result<Running, String> {
        let mut setup = self.setup.clone();
        setup.properties = properties.iter().map(ToString::to_string).collect();
        setup
            .properties
            .push("-Dzookeeper.extendedTypesEnabled=true".into());
        setup.listening()
    }

    fn round(&mut self, end: End) -> Result<(), String> {
        let reap = self.containers;
        let mut server = self.start(&[if reap {
            "-Dznode.container.checkIntervalMs=100"
        } else {
            "-Dznode.container.checkIntervalMs=600000"
        }])?;
        let addr = server.addr;
        let started = server.started;
        let done = AtomicU64::new(0);
        let killed = AtomicBool::new(false);
        let failed = AtomicBool::new(false);
        let upper = self.upper;
        // Both hold everybody's writes up until the tree is there, so not in every round.
        let count = self.rng.u32(0..3) == 0;
        let new_quota = !self.quota && !count && self.rng.bool();
        let scripts: Vec<Vec<Op>> = (0..CLIENTS).map(|at| self.script(at, count)).collect();
        let windows: Vec<usize> = (0..CLIENTS)
            .map(|_| self.rng.choice([1, 8, 32]).unwrap_or(1))
            .collect();
        let pause = Duration::from_millis(self.rng.u64(0..400));
        let (writers, holders) = (&mut self.writers, &mut self.holders);
        let first_reads = &mut self.tally.first_read;
        let at_once = end.at_once();
        let flag = |result: Result<(), String>| {
            if result.is_err() {
                failed.store(true, Ordering::Relaxed);
            }
            result
        };
        let result = std::thread::scope(|scope| {
            let (flag, killed, done) = (&flag, &killed, &done);
            let mut threads: Vec<_> = writers
                .iter_mut()
                .zip(scripts)
                .zip(windows)
                .map(|((writer, script), window)| {
                    scope.spawn(move || {
                        flag(client(writer, script, window, upper, addr, killed, done))
                    })
                })
                .collect();
            threads.push(scope.spawn(move || flag(scenes::words(addr, killed))));
            let first_read = scope.spawn(move || {
                let mut reader = seen::fresh(addr, KEPT_MS)?;
                reader.must(&Op::Get("/t0/p0".into()))?;
                Ok::<_, String>(started.elapsed())
            });
            if !at_once {
                threads.push(scope.spawn(move || flag(scenes::watches(addr))));
                threads.push(scope.spawn(move || flag(holders.after_restart(addr))));
                if new_quota {
                    threads.push(scope.spawn(move || flag(scenes::quota(addr))));
                }
                if reap {
                    threads.push(scope.spawn(move || flag(scenes::reaped(addr))));
                }
            }
            let mut problem = Ok(());
            if at_once {
                // Any moment will do.
                std::thread::sleep(pause);
                killed.store(true, Ordering::Relaxed);
                problem = server.faultless().and(match end {
                    End::KillAtOnce => server.kill(),
                    End::Term | End::Kill | End::TermAtOnce => server.term().map(drop),
                });
            }
            let mut loaded = None;
            let deadline = Instant::now() + START;
            while !at_once && loaded.is_none() {
                let output = server.output();
                if output.contains("the tree is in memory") {
                    loaded = Some((server.started.elapsed(), done.load(Ordering::Relaxed)));
                } else if failed.load(Ordering::Relaxed) {
                    break;
                } else if Instant::now() > deadline || server.ended().is_some() {
                    problem = Err(format!("the tree was never loaded:\n{output}"));
                    break;
                }
                // Polled: the log line is all there is.
                std::thread::sleep(POLL);
            }
            let words = threads.remove(CLIENTS);
            for thread in threads {
                match thread.join() {
                    Ok(Ok(())) => {}
                    Ok(Err(why)) => problem = Err(why),
                    Err(_) => problem = Err("a client panicked".into()),
                }
            }
            killed.store(true, Ordering::Relaxed);
            match words.join() {
                Ok(Ok(())) => {}
                Ok(Err(why)) => problem = Err(why),
                Err(_) => problem = Err("the asker of words panicked".into()),
            }
            match first_read.join() {
                Ok(Ok(after)) => first_reads.push(after),
                Ok(Err(_)) if at_once => {}
                Ok(Err(why)) => problem = Err(why),
                Err(_) => problem = Err("the first reader panicked".into()),
            }
            problem.map(|()| loaded)
        });
        let loaded = result.map_err(|why| format!("{why}\n{}", server.output()))?;
        self.tally.replies += done.load(Ordering::Relaxed);
        if let Some((after, replies)) = loaded {
            self.tally.loaded.push(after);
            self.tally.before_loaded.push(replies);
        }
        if at_once {
            return Ok(());
        }
        self.verify(addr)?;
        let mut reader = seen::fresh(addr, KEPT_MS)?;
        self.holders.verify(&mut reader)?;
        self.quota |= new_quota;
        if self.quota {
            scenes::check_quota(&mut reader, &self.writers[3])?;
            if self.rng.bool() {
                scenes::remove_quota(&mut reader)?;
                self.quota = false;
            }
        }
        self.containers = !reap;
        if self.containers {
            scenes::make_containers(&mut reader)?;
        }
        server.faultless()?;
        self.holders.make(addr, &mut self.rng)?;
        match end {
            End::Term => drop(server.term()?),
            End::Kill => server.kill()?,
            End::KillAtOnce | End::TermAtOnce => {}
        }
        self.holders.release();
        Ok(())
    }

    /// What each client asks first: every way in which a row may be missing.
    fn script(&mut self, at: usize, count: bool) -> Vec<Op> {
        let root = format!("/t{at}");
        let upper = self.upper;
        let p = |rng: &mut Rng| format!("/t{at}/p{}", rng.u32(0..upper));
        let leaf = |rng: &mut Rng| format!("{}/n{}", p(rng), rng.u32(0..LOWER));
        let rng = &mut self.rng;
        let set = |path: String| Op::Set {
            path,
            data: Some(b"set while loading".to_vec()),
            version: -1,
        };
        let delete = |path: String| Op::Delete { path, version: -1 };
        match at {
            // Everything below a node, before and behind a write.
            0 if count => vec![
                Op::Count(root.clone()),
                set(leaf(rng)),
                Op::Count(p(rng)),
                Op::Count(root),
            ],
            // The same behind no write: that holds up nobody else.
            0 => vec![Op::Count(root), Op::Count(p(rng))],
            // Lists, and a parent that loses all its children and itself, and comes back.
            1 => {
                let parent = p(rng);
                let mut script = vec![
                    Op::Children(root, true),
                    Op::Children(parent.clone(), false),
                ];
                for n in 0..LOWER {
                    script.push(delete(format!("{parent}/n{n}")));
                }
                script.extend([
                    Op::Children(parent.clone(), true),
                    delete(parent.clone()),
                    Op::Exists(format!("{parent}/n0")),
                    plain(&parent, Some(b"again")),
                    Op::Children(parent.clone(), false),
                    plain(&format!("{parent}/n3"), None),
                    Op::Children(parent, true),
                ]);
                script
            }
            // Multis over many nodes, one of which fails in the end.
            2 => {
                let mut parts: Vec<Op> = (0..40).map(|_| set(leaf(rng))).collect();
                let first = Op::Multi(parts.clone());
                parts.push(Op::Check {
                    path: leaf(rng),
                    version: 77,
                });
                let reads = (0..40).map(|n| (n % 8 == 0, leaf(rng))).collect();
                vec![first, Op::Multi(parts), Op::MultiRead(reads)]
            }
            // The same nodes again and again, read behind writes.
            3 => {
                let path = leaf(rng);
                (0..30)
                    .flat_map(|_| [set(path.clone()), Op::Get(path.clone())])
                    .collect()
            }
            // Refusals that only a row can tell.
            4 => (0..20)
                .flat_map(|_| {
                    let (there, parent) = (leaf(rng), p(rng));
                    [
                        plain(&there, None),
                        delete(parent.clone()),
                        plain(&format!("{parent}/none/x"), None),
                        Op::Delete {
                            path: there,
                            version: 99,
                        },
                        delete(format!("{parent}/none")),
                    ]
                })
                .collect(),
            // Nothing there, at any depth.
            5 => [
                set(deep(DEPTH)),
                Op::Get(deep(DEPTH)),
                Op::Exists(deep(2 * DEPTH)),
                plain(&deep(2 * DEPTH), None),
                Op::Count(deep(3 * DEPTH / 4)),
            ]
            .into_iter()
            .take(if count { 5 } else { 4 })
            .chain((0..20).flat_map(|n| {
                [
                    Op::Exists(format!("/t5/none/{n}/x/y")),
                    Op::Get(format!("{}/none", leaf(rng))),
                    Op::Children(format!("/t5/p{n}x"), true),
                    Op::Sync(format!("/t5/p{n}x")),
                ]
            }))
            .collect(),
            // Numbers and owners.
            6 => (0..20)
                .flat_map(|n| {
                    let parent = p(rng);
                    [
                        Op::Create {
                            path: format!("{parent}/s"),
                            data: None,
                            acl: 3,
                            ephemeral: n % 2 == 0,
                            sequential: true,
                            stat: true,
                        },
                        Op::Ephemerals,
                        Op::Acl(parent),
                    ]
                })
                .collect(),
            // The node with very many children.
            _ if count => vec![Op::Count(format!("{root}/wide"))],
            _ => {
                let wide = format!("{root}/wide");
                vec![
                    set(format!("{wide}/w17")),
                    Op::Children(wide.clone(), true),
                    plain(&format!("{wide}/more{}", rng.u32(..)), None),
                    Op::Children(wide, false),
                ]
            }
        }
    }

    /// Each subtree is as its client's model says.
    fn verify(&mut self, addr: SocketAddr) -> Result<(), String> {
        in_threads(&mut self.writers, |_, writer| {
            let mut reader = seen::fresh(addr, KEPT_MS)?;
            let read = reader.subtree(&writer.acked.root, 40)?;
            match writer.acked.differs(&read) {
                Some(differs) => Err(format!("afterwards {differs}")),
                None => reader.must(&Op::CloseSession).map(drop),
            }
        })
    }

    /// The log alone makes the same tree.
    fn rebuild(&mut self) -> Result<(), String> {
        let store = self.setup.store();
        std::fs::remove_dir_all(&store).map_err(super::files::at(&store))?;
        let mut server = self.start(&[])?;
        self.verify(server.addr)?;
        server.faultless()?;
        server.term().map(drop)
    }
}

/// A client from a restart on: what a crash left is settled first, then come its script and
/// random requests.
fn client(
    writer: &mut Writer,
    script: Vec<Op>,
    window: usize,
    upper: u32,
    addr: SocketAddr,
    killed: &AtomicBool,
    done: &AtomicU64,
) -> Result<(), String> {
    let gone = |why: String| {
        if killed.load(Ordering::Relaxed) {
            Ok(())
        } else {
            Err(why)
        }
    };
    if !writer.flying.is_empty() {
        let read = seen::fresh(addr, KEPT_MS)
            .and_then(|mut reader| reader.subtree(&writer.acked.root, 40));
        match read {
            Ok(read) => drop(writer.settle(&read, false)?),
            Err(why) => return gone(why),
        }
    }
    let mut conn = match writer.connect(addr, KEPT_MS) {
        Ok(conn) => conn,
        Err(why) => return gone(why),
    };
    match writer.run_after(&mut conn, &mix(window, upper), script, REQUESTS, done)? {
        Ended::Done => Ok(()),
        Ended::Closed => gone("the connection was closed, the server lives".into()),
    }
}

/// A path of so many levels.
fn deep(levels: usize) -> String {
    format!("/t5{}", "/d".repeat(levels))
}

fn mix(window: usize, upper: u32) -> Mix {
    Mix {
        window,
        reads: 60,
        nodes: usize::MAX,
        count: false,
        close_after: None,
        names: (upper, LOWER),
    }
}

/// Runs something for each writer, all at once.
pub fn in_threads(
    writers: &mut [Writer],
    work: impl Fn(usize, &mut Writer) -> Result<(), String> + Sync,
) -> Result<(), String> {
    let work = &work;
    std::thread::scope(|scope| {
        let threads: Vec<_> = writers
            .iter_mut()
            .enumerate()
            .map(|(at, writer)| scope.spawn(move || work(at, writer)))
            .collect();
        let mut result = Ok(());
        for thread in threads {
            match thread.join() {
                Ok(Ok(())) => {}
                Ok(Err(why)) => result = Err(why),
                Err(_) => result = Err("a client panicked".into()),
            }
        }
        result
    })
}
