//! A writer: one session at a time, a subtree of its own, requests in a pipeline, every reply
//! checked.
//!
//! Owns: the choice of requests, and what was acknowledged. Does not know: when the server dies;
//! that the connection is closed ends a run, and whoever ran it judges.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use compat_tests::conn::{Conn, End};
use fastrand::Rng;
use jute::{Decode, Reader};
use zk_wire::client::{ReplyHeader, xid};

use super::limits::{FILL_WINDOW, PING_AFTER, REPLY};
use super::model::{Model, UNKNOWN};
use super::op::{ACLS, Op, check_read, check_write};
use super::seen::{self, Seen};

/// A session that outlives its connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept {
    /// Its id.
    pub id: i64,
    /// Its password.
    pub passwd: Vec<u8>,
    /// The agreed timeout, milliseconds.
    pub timeout: i32,
}

/// What a writer prefers to do.
#[derive(Debug, Clone, Copy)]
pub struct Mix {
    /// Requests in flight.
    pub window: usize,
    /// Of 100 requests, how many are reads.
    pub reads: u32,
    /// Nodes above which it rather deletes.
    pub nodes: usize,
    /// Whether it may ask for all that is below its root.
    pub count: bool,
    /// Whether it ends with a closeSession, after so many requests.
    pub close_after: Option<u64>,
    /// Paths are made of so many names on the upper level and so many on the lower.
    pub names: (u32, u32),
}

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// All requests are answered.
    Done,
    /// The server closed the connection.
    Closed,
}

/// See the module.
#[derive(Debug)]
pub struct Writer {
    /// Its subtree, as acknowledged.
    pub acked: Model,
    /// Its subtree, after everything that was sent.
    ahead: Model,
    /// Sent, not answered.
    pub flying: VecDeque<(i32, Op)>,
    /// Its session.
    pub session: Option<Kept>,
    /// The last zxid of an acknowledged write.
    pub last_zxid: i64,
    /// Acknowledged zxids since [`Writer::settle`].
    pub zxids: Vec<i64>,
    /// Replies so far.
    pub replies: u64,
    /// Whether the session was closed, and that acknowledged.
    pub closed: bool,
    /// Whether a closeSession was not answered before a crash, and no node tells what became of it.
    unsure: bool,
    rng: Rng,
}

impl Writer {
    /// Over a subtree whose root exists already, and nothing else.
    pub fn new(root: &str, seed: u64) -> Writer {
        Writer::over(Model::new(root), seed)
    }

    /// Over a subtree as it is.
    pub fn over(model: Model, seed: u64) -> Writer {
        Writer {
            ahead: model.clone(),
            acked: model,
            flying: VecDeque::new(),
            session: None,
            last_zxid: 0,
            zxids: Vec::new(),
            replies: 0,
            closed: false,
            unsure: false,
            rng: Rng::with_seed(seed),
        }
    }

    /// Attaches its session, or makes a new one.
    ///
    /// # Errors
    /// It has one and that is refused, or another comes back.
    pub fn connect(&mut self, addr: SocketAddr, timeout: i32) -> Result<Conn, String> {
        let unsure = std::mem::take(&mut self.unsure);
        let session = match &self.session {
            Some(kept) => {
                let back = seen::attach(addr, kept.timeout, kept.id, &kept.passwd)?;
                let Some(mut back) = back else {
                    if unsure {
                        self.session = None;
                        return self.connect(addr, timeout);
                    }
                    return Err(format!("session {:#x} was refused", kept.id));
                };
                if (back.id, &back.passwd) != (kept.id, &kept.passwd) {
                    return Err(format!(
                        "session {:#x} came back as {:#x}",
                        kept.id, back.id
                    ));
                }
                // What it owned before is its own still.
                let reply = back.call(&Op::Ephemerals)?;
                check_read(
                    &mut self.acked,
                    &Op::Ephemerals,
                    kept.id,
                    reply.err,
                    &reply.body,
                )
                .map_err(|why| format!("session {:#x} after it came back: {why}", kept.id))?;
                back
            }
            None => {
                let new = seen::fresh(addr, timeout)?;
                self.session = Some(Kept {
                    id: new.id,
                    passwd: new.passwd.clone(),
                    timeout: new.timeout,
                });
                self.closed = false;
                new
            }
        };
        Ok(session.into_conn())
    }

    fn session_id(&self) -> i64 {
        self.session.as_ref().map_or(0, |kept| kept.id)
    }

    /// Sends `requests` requests (or until the connection ends) and checks the replies. `done`
    /// counts them.
    ///
    /// # Errors
    /// A reply is wrong, or does not come.
    pub fn run(
        &mut self,
        conn: &mut Conn,
        mix: &Mix,
        requests: u64,
        done: &AtomicU64,
    ) -> Result<Ended, String> {
        self.run_after(conn, mix, Vec::new(), requests, done)
    }

    /// The same, after requests that are given.
    ///
    /// # Errors
    /// As [`Writer::run`].
    pub fn run_after(
        &mut self,
        conn: &mut Conn,
        mix: &Mix,
        script: Vec<Op>,
        requests: u64,
        done: &AtomicU64,
    ) -> Result<Ended, String> {
        let mut script = script.into_iter();
        let mut sent = 0_u64;
        let mut next = |writer: &mut Writer| {
            if let Some(op) = script.next() {
                return Some(op);
            }
            if sent >= requests {
                return None;
            }
            sent += 1;
            Some(match mix.close_after {
                Some(after) if sent > after => Op::CloseSession,
                Some(_) | None => writer.choose(mix),
            })
        };
        self.drive(conn, mix.window, &mut next, done)
    }

    /// Fills the subtree: so many nodes on the upper level, below each so many.
    ///
    /// # Errors
    /// As [`Writer::run`], or the connection ends.
    pub fn fill(
        &mut self,
        conn: &mut Conn,
        upper: u32,
        lower: u32,
        ephemeral: bool,
    ) -> Result<(), String> {
        let root = self.acked.root.clone();
        let mut at = 0;
        let each = lower + 1;
        let mut next = |_: &mut Writer| {
            let (p, n) = (at / each, at % each);
            at += 1;
            let path = match n {
                0 => format!("{root}/p{p}"),
                n => format!("{root}/p{p}/n{}", n - 1),
            };
            (p < upper).then(|| Op::Create {
                data: Some(vec![n as u8; 100]),
                acl: if n % 50 == 7 { 1 } else { 0 },
                ephemeral: ephemeral && n > 0,
                sequential: false,
                stat: false,
                path,
            })
        };
        match self.drive(conn, FILL_WINDOW, &mut next, &AtomicU64::new(0))? {
            Ended::Done => Ok(()),
            Ended::Closed => Err("the connection was closed while the tree was filled".into()),
        }
    }

    fn drive(
        &mut self,
        conn: &mut Conn,
        window: usize,
        next: &mut dyn FnMut(&mut Writer) -> Option<Op>,
        done: &AtomicU64,
    ) -> Result<Ended, String> {
        let session = self.session_id();
        let mut next_xid = 0;
        let mut over = false;
        let mut heard = Instant::now();
        loop {
            let mut out = Vec::new();
            while self.flying.len() < window && !over {
                let Some(op) = next(self) else {
                    over = true;
                    break;
                };
                // Nothing is answered behind it.
                over = matches!(op, Op::CloseSession);
                next_xid += 1;
                op.frame(next_xid, &mut out);
                self.ahead_of(&op, session);
                self.flying.push_back((next_xid, op));
            }
            if self.flying.is_empty() {
                return Ok(Ended::Done);
            }
            if !out.is_empty() {
                conn.send(&out);
            }
            // As many replies as are there, so that requests go out in batches.
            let batch = self.rng.usize(1..=self.flying.len());
            for _ in 0..batch {
                match conn.frame(PING_AFTER) {
                    Ok(frame) => {
                        heard = Instant::now();
                        self.reply(&frame, session)?;
                        done.fetch_add(1, Ordering::Relaxed);
                    }
                    // A ping behind the closeSession is not answered.
                    Err(End::Closed) if self.closed => {
                        self.flying.clear();
                        return Ok(Ended::Done);
                    }
                    Err(End::Closed) => return Ok(Ended::Closed),
                    Err(End::Silent) if heard.elapsed() < REPLY => {
                        let mut ping = Vec::new();
                        Op::Ping.frame(xid::PING, &mut ping);
                        self.flying.push_back((xid::PING, Op::Ping));
                        conn.send(&ping);
                        break;
                    }
                    Err(End::Silent) => {
                        let (_, op) = &self.flying[0];
                        return Err(format!(
                            "no reply for {} s: {:?}, {} more behind it",
                            REPLY.as_secs(),
                            brief(op),
                            self.flying.len() - 1
                        ));
                    }
                    Err(End::BadLength(n)) => return Err(format!("a frame of {n} bytes")),
                }
            }
        }
    }

    fn ahead_of(&mut self, op: &Op, session: i64) {
        if op.is_write() {
            self.ahead.write(op, UNKNOWN, session);
        }
    }

    fn reply(&mut self, frame: &[u8], session: i64) -> Result<(), String> {
        let Some((want_xid, op)) = self.flying.pop_front() else {
            return Err("a frame that was not asked for".into());
        };
        let mut reader = Reader::new(frame);
        let header = ReplyHeader::decode(&mut reader).map_err(|e| e.to_string())?;
        if header.xid != want_xid {
            return Err(format!("reply to xid {} instead of {want_xid}", header.xid));
        }
        let body = reader.rest();
        self.replies += 1;
        let checked = if op.is_write() {
            if header.zxid <= self.last_zxid {
                return Err(format!(
                    "{:?} has zxid {:#x}, after {:#x}",
                    brief(&op),
                    header.zxid,
                    self.last_zxid
                ));
            }
            self.last_zxid = header.zxid;
            self.zxids.push(header.zxid);
            self.closed |= matches!(op, Op::CloseSession);
            let outcome = self.acked.write(&op, header.zxid, session);
            check_write(&mut self.acked, &outcome, header.err, body)
        } else {
            if header.zxid < self.last_zxid {
                return Err(format!("{:?} has an older zxid", brief(&op)));
            }
            check_read(&mut self.acked, &op, session, header.err, body)
        };
        checked.map_err(|why| format!("{:?}: {why}", brief(&op)))
    }

    /// After a crash: finds the number of unanswered requests that the log kept, such that the
    /// subtree is what was read. With `expired` the session may have been closed behind them.
    /// Returns that number and how many there were.
    ///
    /// # Errors
    /// No number will do; nothing is changed then.
    pub fn settle(
        &mut self,
        read: &BTreeMap<String, Seen>,
        expired: bool,
    ) -> Result<(usize, usize), String> {
        let session = self.session_id();
        let writes = self.flying.iter().map(|(_, op)| op);
        let sent: Vec<&Op> = writes.filter(|op| op.is_write()).collect();
        let mut model = self.acked.clone();
        let mut closed = self.closed;
        let mut wrong = Vec::new();
        let mut kept = 0;
        while let Some(differs) = model.differs(read) {
            wrong.push(differs);
            if expired && !closed {
                let mut gone = model.clone();
                gone.close(session, UNKNOWN);
                if gone.differs(read).is_none() {
                    (model, closed) = (gone, true);
                    break;
                }
            }
            let Some(op) = sent.get(kept) else {
                return Err(format!(
                    "{} is not what any of the first {} to {} requests make: after all that was acknowledged {}; after all {}",
                    self.acked.root,
                    self.replies,
                    self.replies as usize + sent.len(),
                    wrong[0],
                    wrong[wrong.len() - 1]
                ));
            };
            model.write(op, UNKNOWN, session);
            closed |= matches!(op, Op::CloseSession);
            kept += 1;
        }
        let counts = (kept, sent.len());
        self.unsure = !closed && matches!(sent.last(), Some(Op::CloseSession));
        model.settle(read);
        self.closed = closed;
        self.ahead = model.clone();
        self.acked = model;
        self.flying.clear();
        self.zxids.clear();
        Ok(counts)
    }

    /// A path of the two levels below the root.
    fn path(&mut self, mix: &Mix) -> String {
        let root = &self.acked.root;
        let upper = self.rng.u32(0..mix.names.0);
        if self.rng.u32(0..10) == 0 {
            format!("{root}/p{upper}")
        } else {
            format!("{root}/p{upper}/n{}", self.rng.u32(0..mix.names.1))
        }
    }

    /// An existing path, more often than not.
    fn existing(&mut self, mix: &Mix) -> String {
        let from = self.path(mix);
        if self.rng.u32(0..12) == 0 {
            return from;
        }
        let mut there = self.ahead.nodes.range(from.clone()..);
        there.next().map_or(from, |(path, _)| path.clone())
    }

    fn data(&mut self) -> Option<Vec<u8>> {
        let len = match self.rng.u32(0..100) {
            0 => return None,
            1..5 => 0,
            5..7 => self.rng.usize(0..20_000),
            _ => self.rng.usize(0..200),
        };
        let byte = self.rng.u8(..);
        let mut data = vec![byte; len];
        for byte in data.iter_mut().take(8) {
            *byte = self.rng.u8(..);
        }
        Some(data)
    }

    fn acl(&mut self) -> u8 {
        if self.rng.u32(0..4) == 0 {
            self.rng.u8(0..ACLS)
        } else {
            0
        }
    }

    /// The right version, or any, or now and then a wrong one.
    fn version(&mut self, current: Option<i32>) -> i32 {
        match (self.rng.u32(0..20), current) {
            (0, current) => current.unwrap_or(0) + 7,
            (1..8, Some(current)) => current,
            _ => -1,
        }
    }

    fn create(&mut self, mix: &Mix) -> Op {
        let mut path = self.path(mix);
        if !self.ahead.nodes.contains_key(super::model::split(&path).0) && self.rng.u32(0..8) != 0 {
            path = super::model::split(&path).0.into();
        }
        let sequential = self.rng.u32(0..8) == 0;
        let upper = path.matches('/').count() < self.acked.root.matches('/').count() + 2;
        Op::Create {
            data: self.data(),
            acl: self.acl(),
            // On the upper level rarely, for nothing can stand below it.
            ephemeral: self.rng.u32(0..if upper { 40 } else { 6 }) == 0,
            sequential,
            stat: self.rng.bool(),
            path,
        }
    }

    fn delete(&mut self, mix: &Mix) -> Op {
        let path = self.existing(mix);
        let root = path == self.acked.root;
        let path = if root { self.path(mix) } else { path };
        let version = self.ahead.nodes.get(&path).map(|node| node.version);
        let version = self.version(version);
        Op::Delete { path, version }
    }

    fn set(&mut self, mix: &Mix) -> Op {
        let path = self.existing(mix);
        let version = self.ahead.nodes.get(&path).map(|node| node.version);
        Op::Set {
            data: self.data(),
            version: self.version(version),
            path,
        }
    }

    fn part(&mut self, mix: &Mix, crowded: bool) -> Op {
        match self.rng.u32(0..10) {
            0..4 if !crowded => self.create(mix),
            0..6 => self.set(mix),
            6 => {
                let path = self.existing(mix);
                let version = self.ahead.nodes.get(&path).map(|node| node.version);
                Op::Check {
                    version: self.version(version),
                    path,
                }
            }
            _ => self.delete(mix),
        }
    }

    fn read(&mut self, mix: &Mix) -> Op {
        match self.rng.u32(0..40) {
            0..12 => Op::Get(self.existing(mix)),
            12..18 => Op::Exists(self.existing(mix)),
            18..22 => Op::Children(self.existing(mix), self.rng.bool()),
            22..26 => {
                let upper = self.rng.u32(0..mix.names.0);
                Op::Children(format!("{}/p{upper}", self.acked.root), self.rng.bool())
            }
            26..29 => Op::Acl(self.existing(mix)),
            29..31 => Op::Ephemerals,
            31..33 => Op::Sync(self.existing(mix)),
            33 if mix.count => Op::Count(self.acked.root.clone()),
            34 if mix.count => Op::Count(self.existing(mix)),
            _ => {
                let reads = (0..self.rng.usize(1..6))
                    .map(|_| (self.rng.u32(0..4) == 0, self.existing(mix)))
                    .collect();
                Op::MultiRead(reads)
            }
        }
    }

    fn choose(&mut self, mix: &Mix) -> Op {
        if self.rng.u32(0..100) < mix.reads {
            return self.read(mix);
        }
        let crowded = self.ahead.nodes.len() > mix.nodes;
        match self.rng.u32(0..20) {
            0..7 if !crowded => self.create(mix),
            0..12 => self.set(mix),
            12..16 => self.delete(mix),
            16 => {
                let path = self.existing(mix);
                let version = self.ahead.nodes.get(&path).map(|node| node.aversion);
                Op::SetAcl {
                    acl: self.acl(),
                    version: self.version(version),
                    path,
                }
            }
            _ => {
                let parts = self.rng.usize(1..12);
                Op::Multi((0..parts).map(|_| self.part(mix, crowded)).collect())
            }
        }
    }
}

/// An operation without its data, for messages.
pub fn brief(op: &Op) -> String {
    let text = format!("{op:?}");
    let mut short = String::new();
    let mut rest = text.as_str();
    // Data is printed as a list of numbers.
    while let Some((before, after)) = rest.split_once("Some([") {
        short.push_str(before);
        let (data, behind) = after.split_once("])").unwrap_or((after, ""));
        short.push_str(&format!("<{} bytes>", data.split(',').count()));
        rest = behind;
    }
    short.push_str(rest);
    short.chars().take(600).collect()
}
