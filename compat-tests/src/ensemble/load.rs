//! A counted load: clients that write, keep a journal of what was acknowledged, and notice what a
//! session must never notice.
//!
//! Owns: the clients' threads, their journal, the meter of gaps between acknowledged writes. Does not
//! know: which server leads, or what happens to it.
//!
//! Invariants: no path is created twice and no node is deleted twice, so each acknowledged operation
//! says what every server must hold for ever; an operation whose connection was lost is neither
//! required nor forbidden.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use compat_tests::raw::{In, Out, text};

use super::client::{Attempt, Got, SET_WATCHES_XID, Session, op};
use super::limits::{BURST, CLIENTS, HANDSHAKE, RATE, SESSION_MS, SETTLE, WINDOW};

/// The node under which the load writes.
pub const ROOT: &str = "/load";

/// What is known of a node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// Its data.
    pub data: Vec<u8>,
    /// The zxid that created it.
    pub created: i64,
    /// Whether a delete was sent, and whether it was acknowledged.
    pub deleted: Deleted,
}

/// What became of a node's delete.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Deleted {
    /// None was sent.
    No,
    /// Sent, or lost on the way.
    Maybe,
    /// Acknowledged.
    Yes,
}

/// What all clients know.
#[derive(Debug, Default)]
pub struct Journal {
    /// Nodes whose creation was acknowledged.
    pub nodes: BTreeMap<String, Node>,
    /// Counters: newest value acknowledged, newest sent.
    pub counters: BTreeMap<String, (u64, u64)>,
    /// Ephemeral nodes and their session, of sessions not closed.
    pub ephemerals: BTreeMap<String, i64>,
    /// Acknowledged writes.
    pub acknowledged: u64,
    /// Writes under way when their connection was lost.
    pub lost: u64,
    /// Connections made after the first of each session.
    pub moves: u64,
    /// Watch events that came.
    pub events: u64,
    /// Each thing that no client may see, as text.
    pub wrongs: Vec<String>,
    /// Sessions begun so far; names the paths.
    sessions: u32,
    meter: Meter,
}

/// The longest time without an acknowledged write.
#[derive(Debug, Default)]
struct Meter {
    last: Option<Instant>,
    longest: Duration,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Run,
    Pause,
    Stop,
}

#[derive(Debug)]
struct State {
    phase: Phase,
    /// Clients without a request under way.
    idle: usize,
    /// Clients that have made their nodes.
    ready: usize,
    running: usize,
}

#[derive(Debug)]
struct Shared {
    journal: Mutex<Journal>,
    state: Mutex<State>,
    changed: Condvar,
}

impl Shared {
    fn journal(&self) -> MutexGuard<'_, Journal> {
        self.journal.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wrong(&self, what: String) {
        eprintln!("load: {what}");
        self.journal().wrongs.push(what);
    }

    fn wait(&self, what: &str, done: impl Fn(&State) -> bool) -> Result<(), String> {
        let (state, late) = self
            .changed
            .wait_timeout_while(self.state(), SETTLE, |state| !done(state))
            .unwrap_or_else(PoisonError::into_inner);
        if late.timed_out() {
            return Err(format!("load: {what}: {state:?}"));
        }
        Ok(())
    }
}

/// The load.
#[derive(Debug)]
pub struct Load {
    servers: Vec<SocketAddr>,
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

impl Load {
    /// A load that is not running.
    pub fn new(servers: &[SocketAddr]) -> Load {
        Load {
            servers: servers.to_vec(),
            shared: Arc::new(Shared {
                journal: Mutex::default(),
                state: Mutex::new(State {
                    phase: Phase::Stop,
                    idle: 0,
                    ready: 0,
                    running: 0,
                }),
                changed: Condvar::new(),
            }),
            threads: Vec::new(),
        }
    }

    /// Begins new sessions and waits until each has made its nodes.
    ///
    /// # Errors
    /// It runs, or the servers do not take it.
    pub fn start(&mut self) -> Result<(), String> {
        if !self.threads.is_empty() {
            return Err("the load runs".into());
        }
        *self.shared.state() = State {
            phase: Phase::Run,
            idle: 0,
            ready: 0,
            running: CLIENTS,
        };
        for i in 0..CLIENTS {
            let number = {
                let mut journal = self.shared.journal();
                journal.sessions += 1;
                journal.sessions
            };
            let mut worker = Worker::new(number, &self.servers, i, Arc::clone(&self.shared));
            self.threads.push(std::thread::spawn(move || worker.run()));
        }
        self.shared
            .wait("clients do not begin", |state| state.ready == CLIENTS)?;
        self.mark();
        Ok(())
    }

    /// Waits until nothing is under way; sessions stay alive.
    ///
    /// # Errors
    /// Requests stay under way.
    pub fn pause(&self) -> Result<(), String> {
        if self.threads.is_empty() {
            return Ok(());
        }
        self.shared.state().phase = Phase::Pause;
        self.shared.changed.notify_all();
        self.shared
            .wait("does not come to rest", |state| state.idle >= state.running)
    }

    /// Writes again.
    pub fn resume(&self) {
        if !self.threads.is_empty() {
            self.shared.state().phase = Phase::Run;
            self.shared.changed.notify_all();
            self.mark();
        }
    }

    /// Closes the sessions.
    ///
    /// # Errors
    /// They cannot be closed.
    pub fn stop(&mut self) -> Result<(), String> {
        self.shared.state().phase = Phase::Stop;
        self.shared.changed.notify_all();
        self.shared
            .wait("does not end", |state| state.running == 0)?;
        for thread in self.threads.drain(..) {
            thread.join().map_err(|_| "a client panicked")?;
        }
        Ok(())
    }

    /// What all clients know.
    pub fn journal(&self) -> MutexGuard<'_, Journal> {
        self.shared.journal()
    }

    /// Acknowledged writes so far.
    pub fn acknowledged(&self) -> u64 {
        self.shared.journal().acknowledged
    }

    /// Waits for `n` more acknowledged writes.
    ///
    /// # Errors
    /// They do not come.
    pub fn writes(&self, n: u64) -> Result<(), String> {
        let goal = self.acknowledged() + n;
        let deadline = Instant::now() + SETTLE;
        while self.acknowledged() < goal {
            if Instant::now() > deadline {
                return Err(format!(
                    "{} of {n} writes are missing after {} s",
                    goal - self.acknowledged(),
                    SETTLE.as_secs()
                ));
            }
            // Polled: the clients are threads of their own pace.
            std::thread::sleep(super::limits::POLL);
        }
        Ok(())
    }

    /// Begins a new measurement of gaps.
    pub fn mark(&self) {
        let mut journal = self.shared.journal();
        journal.meter = Meter {
            last: Some(Instant::now()),
            longest: Duration::ZERO,
        };
    }

    /// The longest time without an acknowledged write since the mark.
    pub fn gap(&self) -> Duration {
        let journal = self.shared.journal();
        let open = journal.meter.last.map_or(Duration::ZERO, |at| at.elapsed());
        journal.meter.longest.max(open)
    }
}

#[derive(Debug, Clone)]
enum Op {
    Create {
        path: String,
        data: Vec<u8>,
    },
    Sequential {
        data: Vec<u8>,
    },
    Pair {
        path: String,
        data: Vec<u8>,
        value: u64,
    },
    Set {
        value: u64,
        watched: bool,
    },
    Delete {
        path: String,
    },
    Arm,
    SetWatches,
    Look,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Watch {
    Off,
    Arming,
    /// With the node's mzxid then.
    On(i64),
}

struct Worker {
    number: u32,
    session: Session,
    shared: Arc<Shared>,
    outstanding: VecDeque<(i32, Op)>,
    dice: fastrand::Rng,
    sequence: u64,
    value: u64,
    watch: Watch,
    deletable: Vec<String>,
    due: Instant,
}

/// world:anyone with all permissions.
fn open_acl(out: &mut Out) {
    out.int(1)
        .int(31)
        .bytes(&text("world"))
        .bytes(&text("anyone"));
}

fn create_body(path: &str, data: &[u8], flags: i32) -> Vec<u8> {
    let mut out = Out::new();
    out.bytes(&text(path)).bytes(&Some(data.to_vec()));
    open_acl(&mut out);
    out.int(flags);
    out.0
}

fn path_body(path: &str, last: i32) -> Vec<u8> {
    let mut out = Out::new();
    out.bytes(&text(path)).int(last);
    out.0
}

fn set_body(path: &str, data: &[u8]) -> Vec<u8> {
    let mut out = Out::new();
    out.bytes(&text(path)).bytes(&Some(data.to_vec())).int(-1);
    out.0
}

fn watch_body(path: &str, watch: bool) -> Vec<u8> {
    let mut out = Out::new();
    out.bytes(&text(path)).bool(watch);
    out.0
}

/// Header of one operation of a multi, or its end.
fn multi_header(out: &mut Out, op: i32, done: bool) {
    out.int(op).bool(done).int(-1);
}

/// mzxid in the reply of getData.
fn mzxid(body: &[u8]) -> Option<i64> {
    let mut input = In::new(body);
    input.bytes()?;
    input.long()?;
    input.long()
}

impl Worker {
    fn new(number: u32, servers: &[SocketAddr], first: usize, shared: Arc<Shared>) -> Worker {
        Worker {
            number,
            session: Session::new(servers, first, SESSION_MS),
            shared,
            outstanding: VecDeque::new(),
            dice: fastrand::Rng::with_seed(u64::from(number)),
            sequence: 0,
            value: 0,
            watch: Watch::Off,
            deletable: Vec::new(),
            due: Instant::now(),
        }
    }

    fn base(&self) -> String {
        format!("{ROOT}/c{}", self.number)
    }

    fn counter(&self) -> String {
        format!("{}/value", self.base())
    }

    fn run(&mut self) {
        let made = self.begin();
        {
            let mut state = self.shared.state();
            match &made {
                Ok(()) => state.ready += 1,
                Err(_) => state.running -= 1,
            }
            self.shared.changed.notify_all();
        }
        if let Err(why) = made {
            self.shared.wrong(format!("client {}: {why}", self.number));
            return;
        }
        let alive = self.work();
        if alive {
            let ephemeral = format!("{}/here", self.base());
            match self.session.close(SETTLE) {
                Ok(()) => {
                    self.shared.journal().ephemerals.remove(&ephemeral);
                }
                Err(why) => self.shared.wrong(format!("client {}: {why}", self.number)),
            }
        }
        let back = self.session.went_back;
        if back > 0 {
            self.shared.wrong(format!(
                "client {}: {back} replies went back in time",
                self.number
            ));
        }
        let mut state = self.shared.state();
        state.running -= 1;
        self.shared.changed.notify_all();
    }

    /// The first connection and the client's own nodes: one of each kind.
    fn begin(&mut self) -> Result<(), String> {
        let deadline = Instant::now() + SETTLE;
        let base = self.base();
        let counter = self.counter();
        let ephemeral = format!("{base}/here");
        let mut guarded = Out::new();
        guarded
            .bytes(&text(&format!("{base}/guarded")))
            .bytes(&None)
            .int(2)
            .int(31)
            .bytes(&text("digest"))
            .bytes(&text("load:cGFzc3dvcmQ="))
            .int(1)
            .bytes(&text("world"))
            .bytes(&text("anyone"))
            .int(0);
        let mut container = Out::new();
        container.bytes(&text(&format!("{base}/box"))).bytes(&None);
        open_acl(&mut container);
        container.int(4);
        let mut ttl = Out::new();
        ttl.bytes(&text(&format!("{base}/ttl"))).bytes(&text("old"));
        open_acl(&mut ttl);
        ttl.int(5).long(86_400_000);
        let steps: [(i32, Vec<u8>); 8] = [
            (op::CREATE, create_body(ROOT, b"", 0)),
            (op::CREATE, create_body(&base, b"", 0)),
            (op::CREATE, create_body(&counter, b"0", 0)),
            (op::CREATE, create_body(&ephemeral, b"", 1)),
            (op::CREATE, guarded.0),
            (op::CREATE_CONTAINER, container.0),
            (op::CREATE2, create_body(&format!("{base}/box/in"), b"x", 0)),
            (op::CREATE_TTL, ttl.0),
        ];
        let mut step = 0;
        while step < steps.len() {
            if Instant::now() > deadline {
                return Err("no server lets it begin".into());
            }
            if !self.session.up() && self.session.connect() != Attempt::Up {
                continue;
            }
            let (op, body) = &steps[step];
            match self.session.call(*op, body, HANDSHAKE) {
                // -110: made by another client, or by a request whose reply was lost.
                Ok((_, 0 | -110, _)) => step += 1,
                Ok((_, err, _)) => return Err(format!("step {step} of its begin: {err}")),
                Err(_) => {
                    self.session.lose();
                }
            }
        }
        let mut journal = self.shared.journal();
        journal.counters.insert(counter, (0, 0));
        journal.ephemerals.insert(ephemeral, self.session.id);
        Ok(())
    }

    /// Until the stop, or the session's death: then false.
    fn work(&mut self) -> bool {
        let pace = Duration::from_micros(1_000_000 * BURST as u64 / RATE);
        let mut counted_idle = false;
        loop {
            let phase = self.shared.state().phase;
            let idle = phase != Phase::Run && self.outstanding.is_empty() && self.session.up();
            if idle != counted_idle {
                let mut state = self.shared.state();
                // The phase may have changed meanwhile; the next turn sees it.
                state.idle = if idle { state.idle + 1 } else { state.idle - 1 };
                counted_idle = idle;
                self.shared.changed.notify_all();
            }
            if idle && phase == Phase::Stop {
                return true;
            }
            if !self.session.up() {
                match self.session.connect() {
                    Attempt::Up => self.moved(),
                    Attempt::Refused => continue,
                    Attempt::Expired => {
                        self.shared.wrong(format!(
                            "client {}: session {:#x} expired",
                            self.number, self.session.id
                        ));
                        return false;
                    }
                }
            }
            if phase == Phase::Run && self.outstanding.len() < WINDOW && Instant::now() >= self.due
            {
                self.due = (self.due + pace).max(Instant::now() - pace);
                for _ in 0..BURST.min(WINDOW - self.outstanding.len()) {
                    self.write();
                }
            }
            let wait = self.due.saturating_duration_since(Instant::now());
            let wait = match self.outstanding.len() {
                0 | WINDOW => pace,
                _ => wait.clamp(Duration::from_micros(200), pace),
            };
            match self.session.receive(wait) {
                Got::Nothing => {}
                Got::Lost => self.lost(),
                Got::Event { kind, path } => self.event(kind, &path),
                Got::Reply {
                    xid,
                    zxid,
                    err,
                    body,
                } => self.reply(xid, zxid, err, &body),
            }
        }
    }

    fn send(&mut self, code: i32, body: &[u8], op: Op) {
        let xid = self.session.send(code, body);
        self.outstanding.push_back((xid, op));
    }

    fn write(&mut self) {
        let roll = self.dice.u32(0..100);
        let base = self.base();
        self.sequence += 1;
        let data = format!("{} {}", self.number, self.sequence).into_bytes();
        match roll {
            0..30 => {
                let path = format!("{base}/n{}", self.sequence);
                let body = create_body(&path, &data, 0);
                self.send(op::CREATE, &body, Op::Create { path, data });
            }
            30..36 => {
                let body = create_body(&format!("{base}/s-"), &data, 2);
                self.send(op::CREATE2, &body, Op::Sequential { data });
            }
            36..46 => {
                self.value += 1;
                let value = self.value;
                self.sent(value);
                let path = format!("{base}/m{}", self.sequence);
                let mut body = Out::new();
                multi_header(&mut body, op::CREATE, false);
                body.0.extend(create_body(&path, &data, 0));
                multi_header(&mut body, op::SET_DATA, false);
                body.0
                    .extend(set_body(&self.counter(), value.to_string().as_bytes()));
                multi_header(&mut body, -1, true);
                self.send(op::MULTI, &body.0, Op::Pair { path, data, value });
            }
            46..60 if !self.deletable.is_empty() => {
                let at = self.dice.usize(0..self.deletable.len());
                let path = self.deletable.swap_remove(at);
                if let Some(node) = self.shared.journal().nodes.get_mut(&path) {
                    node.deleted = Deleted::Maybe;
                }
                let body = path_body(&path, -1);
                self.send(op::DELETE, &body, Op::Delete { path });
            }
            _ => {
                self.value += 1;
                let value = self.value;
                self.sent(value);
                let body = set_body(&self.counter(), value.to_string().as_bytes());
                // Only the first change after the watch was set has to fire it.
                let watched = matches!(self.watch, Watch::On(_))
                    && !self.outstanding.iter().any(|(_, op)| {
                        matches!(op, Op::Set { .. } | Op::Pair { .. } | Op::SetWatches)
                    });
                self.send(op::SET_DATA, &body, Op::Set { value, watched });
            }
        }
    }

    fn sent(&mut self, value: u64) {
        let counter = self.counter();
        if let Some((_, sent)) = self.shared.journal().counters.get_mut(&counter) {
            *sent = value;
        }
    }

    /// The session has a new connection.
    fn moved(&mut self) {
        self.shared.journal().moves += 1;
        if let Watch::On(_) = self.watch {
            let mut body = Out::new();
            body.long(self.session.last_zxid)
                .strings(&Some(vec![text(&self.counter())]))
                .strings(&Some(vec![]))
                .strings(&Some(vec![]));
            self.session
                .send_as(SET_WATCHES_XID, op::SET_WATCHES, &body.0);
            self.outstanding
                .push_back((SET_WATCHES_XID, Op::SetWatches));
            let body = watch_body(&self.counter(), false);
            self.send(op::GET_DATA, &body, Op::Look);
        } else {
            self.arm();
        }
    }

    fn arm(&mut self) {
        self.watch = Watch::Arming;
        let body = watch_body(&self.counter(), true);
        self.send(op::GET_DATA, &body, Op::Arm);
    }

    fn lost(&mut self) {
        let writes = self
            .outstanding
            .iter()
            .filter(|(_, op)| !matches!(op, Op::Arm | Op::SetWatches | Op::Look))
            .count();
        self.shared.journal().lost += writes as u64;
        self.outstanding.clear();
        if self.watch == Watch::Arming {
            self.watch = Watch::Off;
        }
    }

    fn event(&mut self, kind: i32, path: &str) {
        self.shared.journal().events += 1;
        if kind != 3 || path != self.counter() {
            self.shared
                .wrong(format!("client {}: event {kind} of {path}", self.number));
        }
        match self.watch {
            Watch::On(_) => self.watch = Watch::Off,
            Watch::Arming | Watch::Off => {
                let number = self.number;
                self.shared
                    .wrong(format!("client {number}: an event without a watch"));
            }
        }
    }

    fn reply(&mut self, xid: i32, zxid: i64, err: i32, body: &[u8]) {
        let Some((sent, op)) = self.outstanding.pop_front() else {
            self.shared
                .wrong(format!("client {}: reply {xid} to nothing", self.number));
            return;
        };
        if sent != xid {
            self.shared.wrong(format!(
                "client {}: reply {xid} instead of {sent}",
                self.number
            ));
        }
        if err != 0 {
            self.shared
                .wrong(format!("client {}: error {err} to {op:?}", self.number));
            return;
        }
        let counter = self.counter();
        match op {
            Op::Create { path, data } => self.created(path, data, zxid),
            Op::Sequential { data } => {
                let path = In::new(body).bytes().flatten().unwrap_or_default();
                self.created(String::from_utf8_lossy(path).into_owned(), data, zxid);
            }
            Op::Pair { path, data, value } => {
                self.created(path, data, zxid);
                self.counted(&counter, value);
            }
            Op::Set { value, watched } => {
                if watched && matches!(self.watch, Watch::On(_)) {
                    self.shared.wrong(format!(
                        "client {}: a set was answered before its event",
                        self.number
                    ));
                }
                self.acknowledged();
                self.counted(&counter, value);
            }
            Op::Delete { path } => {
                self.acknowledged();
                if let Some(node) = self.shared.journal().nodes.get_mut(&path) {
                    node.deleted = Deleted::Yes;
                }
            }
            Op::Arm => {
                if self.watch == Watch::Arming {
                    self.watch = mzxid(body).map_or(Watch::Off, Watch::On);
                }
            }
            Op::SetWatches => {}
            Op::Look => match (self.watch, mzxid(body)) {
                (Watch::On(then), Some(now)) if now > then => self.shared.wrong(format!(
                    "client {}: a change at {now:#x} came without its event",
                    self.number
                )),
                _ => {}
            },
        }
        let looking = self
            .outstanding
            .iter()
            .any(|(_, op)| matches!(op, Op::Look | Op::SetWatches));
        if self.watch == Watch::Off && !looking {
            self.arm();
        }
    }

    fn created(&mut self, path: String, data: Vec<u8>, zxid: i64) {
        self.acknowledged();
        self.deletable.push(path.clone());
        let node = Node {
            data,
            created: zxid,
            deleted: Deleted::No,
        };
        self.shared.journal().nodes.insert(path, node);
    }

    fn counted(&mut self, counter: &str, value: u64) {
        if let Some((acknowledged, _)) = self.shared.journal().counters.get_mut(counter) {
            *acknowledged = value;
        }
    }

    fn acknowledged(&mut self) {
        let mut journal = self.shared.journal();
        journal.acknowledged += 1;
        let now = Instant::now();
        if let Some(last) = journal.meter.last.replace(now) {
            let gap = now.duration_since(last);
            journal.meter.longest = journal.meter.longest.max(gap);
        }
    }
}
