//! Clients that write without end and go to the next server when theirs is gone, and how long no
//! write succeeds after a kill.
//!
//! Owns: the sessions, one thread each, and the check that what was acknowledged is still there
//! after each reconnect and at the end.
//!
//! Does not know: which server is killed, or by whom.
//!
//! Invariants: the pause between two attempts to connect is the same whatever the servers are; a
//! write counts as the first after a kill only when it was sent after the kill.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use zk_wire::OpCode;
use zk_wire::client::{PathRequest, PathWatchRequest, SetDataRequest};

use super::pipe::{Pipe, Refusal, Reply, invalid};
use crate::client::{Session, request};

/// Sessions that write.
pub const SESSIONS: usize = 8;
/// Writes in flight for each.
const OUTSTANDING: usize = 64;
/// Bytes of each znode.
const SIZE: usize = 100;
/// Bytes that number a write.
const STAMP: usize = 8;
/// How long no write may succeed before the run is given up.
const BOUND: Duration = Duration::from_secs(120);
/// Between two looks at what the sessions have.
const PAUSE: Duration = Duration::from_millis(1);
/// A connection from which nothing comes for so long is left.
const SILENCE: Duration = Duration::from_secs(10);
/// No kill yet.
const NEVER: u64 = u64::MAX;

struct Shared {
    start: Instant,
    stop: AtomicBool,
    killed: AtomicU64,
    /// For each session, when the first write sent after the kill was acknowledged; 0: not yet.
    back: [AtomicU64; SESSIONS],
    acked: AtomicU64,
    hosts: Vec<SocketAddr>,
    delay: Duration,
}

impl Shared {
    fn now(&self) -> u64 {
        self.start.elapsed().as_nanos() as u64
    }
}

/// What one session has seen.
#[derive(Debug, Default)]
struct Seen {
    sent: u64,
    acked: u64,
    errors: BTreeMap<i32, u64>,
    problems: Vec<String>,
}

/// How long after a kill.
#[derive(Debug, Clone, Copy)]
pub struct Gap {
    /// Until the first write succeeded.
    pub first: Duration,
    /// Until one of every session did.
    pub all: Duration,
}

/// The sessions.
pub struct Writers {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<Seen>>,
}

/// Where the sessions write.
pub const ROOT: &str = "/failover";

/// The znode of a session.
pub fn node(session: usize) -> String {
    format!("{ROOT}/s{session}")
}

impl Writers {
    /// Begins to write; the znodes are there already. `delay` passes before each attempt to
    /// connect again.
    pub fn begin(hosts: Vec<SocketAddr>, delay: Duration) -> Self {
        let shared = Arc::new(Shared {
            start: Instant::now(),
            stop: AtomicBool::new(false),
            killed: AtomicU64::new(NEVER),
            back: [const { AtomicU64::new(0) }; SESSIONS],
            acked: AtomicU64::new(0),
            hosts,
            delay,
        });
        let thread = |number| {
            let shared = Arc::clone(&shared);
            std::thread::spawn(move || Writer::new(&shared, number).run())
        };
        let threads = (0..SESSIONS).map(thread).collect();
        Self { shared, threads }
    }

    /// Writes acknowledged so far.
    pub fn acked(&self) -> u64 {
        self.shared.acked.load(Ordering::Relaxed)
    }

    /// Lets `kill` end a server, and waits until writes succeed again, first one, then one of each
    /// session.
    ///
    /// # Errors
    /// Those of `kill`, and when no write succeeds in time.
    pub fn gap(&self, kill: impl FnOnce() -> Result<Instant, String>) -> Result<Gap, String> {
        let shared = &self.shared;
        shared.killed.store(NEVER, Ordering::SeqCst);
        for back in &shared.back {
            back.store(0, Ordering::SeqCst);
        }
        let killed = kill()?.duration_since(shared.start).as_nanos() as u64;
        shared.killed.store(killed, Ordering::SeqCst);
        let begin = Instant::now();
        loop {
            let back = || shared.back.iter().map(|back| back.load(Ordering::SeqCst));
            if let (true, Some(first), Some(last)) =
                (back().all(|at| at > 0), back().min(), back().max())
            {
                return Ok(Gap {
                    first: Duration::from_nanos(first - killed),
                    all: Duration::from_nanos(last - killed),
                });
            }
            if begin.elapsed() > BOUND {
                let back = back().filter(|at| *at > 0).count();
                return Err(format!("{back} of {SESSIONS} sessions write again"));
            }
            // The sessions are busy with their own waits.
            std::thread::sleep(PAUSE);
        }
    }

    /// Ends the sessions' writing and reads everything back. Gives the writes acknowledged, the
    /// errors by code, and what was wrong.
    pub fn end(self) -> (u64, BTreeMap<i32, u64>, Vec<String>) {
        self.shared.stop.store(true, Ordering::SeqCst);
        let mut errors = BTreeMap::new();
        let mut problems = Vec::new();
        let mut acked = 0;
        for (number, thread) in self.threads.into_iter().enumerate() {
            let Ok(seen) = thread.join() else {
                problems.push(format!("session {number} has panicked"));
                continue;
            };
            acked += seen.acked;
            for (code, count) in &seen.errors {
                *errors.entry(*code).or_default() += count;
            }
            for &host in &self.shared.hosts {
                if let Err(why) = check(host, number, &seen) {
                    problems.push(format!("session {number}: {why}"));
                }
            }
            problems.extend(seen.problems);
        }
        (acked, errors, problems)
    }
}

/// Whether a server has what a session was told.
fn check(host: SocketAddr, number: usize, seen: &Seen) -> Result<(), String> {
    let mut session = Session::default();
    let mut pipe = Pipe::open(host, &mut session).map_err(|why| format!("{why}"))?;
    let path = PathRequest {
        path: Some(node(number).into()),
    };
    let mut requests = request(1, OpCode::Sync, &path);
    requests.extend(read(2, number));
    let failed = |error: io::Error| format!("read-back: {error}");
    pipe.send(&requests).map_err(failed)?;
    let begin = Instant::now();
    let mut found = None;
    while found.is_none() {
        if begin.elapsed() > SILENCE {
            return Err("read-back: no answer".into());
        }
        pipe.receive(|reply| {
            if reply.header.xid == 2 {
                found = Some(stamp(&reply).ok_or_else(|| invalid("no data"))?);
            }
            Ok(())
        })
        .map_err(failed)?;
    }
    match found {
        Some(found) if found < seen.acked || found > seen.sent => Err(format!(
            "write {found} is there, {} was acknowledged, {} the last sent",
            seen.acked, seen.sent
        )),
        _ => Ok(()),
    }
}

fn read(xid: i32, number: usize) -> Vec<u8> {
    let body = PathWatchRequest {
        path: Some(node(number).into()),
        watch: false,
    };
    request(xid, OpCode::GetData, &body)
}

fn stamp(reply: &Reply<'_>) -> Option<u64> {
    let data = reply.data().filter(|_| reply.header.err == 0)?;
    data.first_chunk::<STAMP>()
        .map(|bytes| u64::from_be_bytes(*bytes))
}

/// Data of a write.
pub fn data(write: u64) -> [u8; SIZE] {
    let mut data = [0; SIZE];
    fastrand::fill(&mut data[STAMP..]);
    data[..STAMP].copy_from_slice(&write.to_be_bytes());
    data
}

/// What waits for its reply.
enum Pending {
    /// The read that begins each connection.
    Read,
    /// A write and when it was sent.
    Write(u64, u64),
}

struct Writer<'a> {
    shared: &'a Shared,
    number: usize,
    session: Session,
    seen: Seen,
    xid: i32,
}

impl<'a> Writer<'a> {
    fn new(shared: &'a Shared, number: usize) -> Self {
        Self {
            shared,
            number,
            session: Session::default(),
            seen: Seen::default(),
            xid: 0,
        }
    }

    fn stopped(&self) -> bool {
        self.shared.stop.load(Ordering::Relaxed)
    }

    fn run(mut self) -> Seen {
        let mut host = self.number;
        while !self.stopped() {
            let address = self.shared.hosts[host % self.shared.hosts.len()];
            match Pipe::open(address, &mut self.session) {
                Ok(mut pipe) => match self.serve(&mut pipe) {
                    Ok(()) => break,
                    Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                        self.seen.problems.push(error.to_string());
                    }
                    // The server is gone.
                    Err(_) => {}
                },
                Err(Refusal::Expired) => {
                    let what = format!("session {:#x} has expired", self.session.id);
                    self.seen.problems.push(what);
                    self.session = Session {
                        zxid: self.session.zxid,
                        ..Session::default()
                    };
                }
                Err(Refusal::Away(_)) => {}
            }
            host += 1;
            // What the comparison holds equal for both servers.
            std::thread::sleep(self.shared.delay);
        }
        self.seen
    }

    fn fill(&mut self, pending: &mut VecDeque<(i32, Pending)>, out: &mut Vec<u8>) {
        let now = self.shared.now();
        while pending.len() < OUTSTANDING && !self.stopped() {
            self.seen.sent += 1;
            let data = data(self.seen.sent);
            let body = SetDataRequest {
                path: Some(node(self.number).into()),
                data: Some(&data),
                version: -1,
            };
            let xid = self.next_xid();
            out.extend(request(xid, OpCode::SetData, &body));
            pending.push_back((xid, Pending::Write(self.seen.sent, now)));
        }
    }

    fn next_xid(&mut self) -> i32 {
        self.xid = self.xid.checked_add(1).unwrap_or(1);
        self.xid
    }

    /// Writes until told to stop, or the connection is gone.
    fn serve(&mut self, pipe: &mut Pipe) -> io::Result<()> {
        let mut pending = VecDeque::new();
        let xid = self.next_xid();
        let mut out = read(xid, self.number);
        pending.push_back((xid, Pending::Read));
        let mut heard = Instant::now();
        loop {
            self.fill(&mut pending, &mut out);
            if !out.is_empty() {
                pipe.send(&out)?;
                out.clear();
            }
            if pending.is_empty() {
                return Ok(());
            }
            let came = pipe.receive(|reply| {
                let Some((xid, what)) = pending.pop_front() else {
                    return Err(invalid("a reply to no request"));
                };
                if xid != reply.header.xid {
                    return Err(invalid("a reply to another request"));
                }
                self.reply(&what, &reply)
            })?;
            if came {
                heard = Instant::now();
            } else if heard.elapsed() > SILENCE {
                return Err(io::ErrorKind::TimedOut.into());
            }
        }
    }

    fn reply(&mut self, what: &Pending, reply: &Reply<'_>) -> io::Result<()> {
        let err = reply.header.err;
        if err != 0 {
            *self.seen.errors.entry(err).or_default() += 1;
            return Ok(());
        }
        self.session.zxid = self.session.zxid.max(reply.header.zxid);
        match *what {
            Pending::Read => match stamp(reply) {
                Some(found) if found < self.seen.acked => Err(invalid(&format!(
                    "session {}: write {} was acknowledged, {found} is there after a reconnect",
                    self.number, self.seen.acked
                ))),
                Some(_) => Ok(()),
                None => Err(invalid("a read without data")),
            },
            Pending::Write(write, sent) => {
                self.seen.acked = write;
                self.shared.acked.fetch_add(1, Ordering::Relaxed);
                let back = &self.shared.back[self.number];
                if sent > self.shared.killed.load(Ordering::Relaxed)
                    && back.load(Ordering::Relaxed) == 0
                {
                    back.store(self.shared.now(), Ordering::SeqCst);
                }
                Ok(())
            }
        }
    }
}
