//! The judge: follows everything the server takes in and gives out, and says at once what is
//! wrong.
//!
//! It owns the model's history: one state for each zxid, made when the server proposes the
//! transaction, from the request that the judge saw arrive and nothing that the server says but
//! the order, the zxid and the time. Against it are held
//! - the log: every zxid once, in order, of the type expected, with the model's digest;
//! - each connection's stream of bytes ([`stream`]): replies, their order, events before newer
//!   data, closes;
//! - sessions ([`sessions`]): who expires when, who may attach;
//! - what is there after a start ([`recover`]): nothing acknowledged is lost, nothing else is
//!   there, tree, store and log agree;
//! - the four zxids.
//!
//! It does not know the server's insides, threads or disk.

mod recover;
mod sessions;
pub(crate) mod stream;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::rc::Rc;

use bytes::Bytes;
use jute::{Decode, Reader};
use zk_core::ids::{Marks, Now};
use zk_core::io::{Grant, Submit};
use zk_core::{ConnId, SessionId, Zxid};
use zk_wire::OpCode;
use zk_wire::txn::{Txn, TxnBody, TxnHeader};

use crate::coverage::{Coverage, Seen};
use crate::model::{self, Fired, Ids, Kind, Rules, State};

pub use recover::compare;
use sessions::Sessions;
use stream::{History, Stream};

/// What is wrong, in words.
pub type Verdict = Result<(), String>;

/// A write's outcome, as its connection must see it.
#[derive(Debug, Clone)]
pub(crate) struct Expected {
    /// `None`: it has no transaction of its own, and the reply the zxid of its moment, which is
    /// not before `after`.
    pub zxid: Option<i64>,
    pub after: i64,
    pub err: i32,
    pub body: Rc<[u8]>,
}

/// One transaction of the history.
#[derive(Debug)]
struct Past {
    payload: Bytes,
    state: Rc<State>,
    fired: Rc<[Fired]>,
}

/// A request that the core is to judge.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    pub conn: ConnId,
    pub session: i64,
    pub xid: i32,
    pub op: OpCode,
    pub body: Bytes,
    pub ids: Ids,
}

#[derive(Debug)]
enum Job {
    Request(Request),
    Connect {
        conn: ConnId,
        timeout: i32,
    },
    Reattach,
    /// Sessions that died of one tick and are to be closed.
    Expire(BTreeSet<i64>),
}

/// See the module.
#[derive(Debug)]
pub struct Judge {
    rules: Rules,
    fresh: Rc<State>,
    history: Vec<Past>,
    /// Taken up by the core, neither proposed nor answered.
    jobs: VecDeque<Job>,
    /// Accepted by a connection, not yet taken up by the core.
    accepted: BTreeMap<ConnId, VecDeque<Request>>,
    sessions: Sessions,
    streams: BTreeMap<ConnId, Stream>,
    /// Sessions that connections were granted, of all lives.
    granted: BTreeSet<i64>,
    /// The zxid that made each session.
    made: BTreeMap<i64, i64>,
    /// Handshakes whose session is proposed: session, timeout and zxid.
    connecting: BTreeMap<ConnId, (i64, i32, i64)>,
    applied: i64,
    durable: i64,
    acknowledged: i64,
    requests: u64,
    answers: u64,
    /// Latest wall clock at a start, and whether the last start is the latest: ids of sessions
    /// count from there.
    booted_wall_ms: i64,
    new_clock: bool,
    never_used_ms: i64,
    /// What was met.
    pub coverage: Coverage,
}

macro_rules! ensure {
    ($holds:expr, $($what:tt)*) => {
        if !$holds {
            return Err(format!($($what)*));
        }
    };
}
pub(crate) use ensure;

impl Judge {
    /// A judge over a server that was never started.
    pub fn new(rules: Rules, tick_ms: i64, never_used_ms: i64) -> Judge {
        Judge {
            rules,
            fresh: Rc::new(State::fresh()),
            history: Vec::new(),
            jobs: VecDeque::new(),
            accepted: BTreeMap::new(),
            sessions: Sessions::new(tick_ms),
            streams: BTreeMap::new(),
            granted: BTreeSet::new(),
            made: BTreeMap::new(),
            connecting: BTreeMap::new(),
            applied: 0,
            durable: 0,
            acknowledged: 0,
            requests: 0,
            answers: 0,
            booted_wall_ms: i64::MIN,
            new_clock: true,
            never_used_ms,
            coverage: Coverage::default(),
        }
    }

    /// The state after a zxid.
    pub fn state(&self, zxid: i64) -> &Rc<State> {
        match zxid {
            0 => &self.fresh,
            _ => &self.history[zxid as usize - 1].state,
        }
    }

    /// The last zxid proposed.
    pub fn issued(&self) -> i64 {
        self.history.len() as i64
    }

    /// The last zxid that a client was told of.
    pub fn acknowledged(&self) -> i64 {
        self.acknowledged
    }

    /// The payload of a log record.
    pub fn payload(&self, zxid: i64) -> Option<&Bytes> {
        let past = self.history.get(usize::try_from(zxid - 1).ok()?)?;
        Some(&past.payload)
    }

    fn head(&self) -> Rc<State> {
        self.state(self.issued()).clone()
    }

    // The core's side.

    /// The core takes up a submission.
    pub fn submit(&mut self, submit: &Submit) -> Verdict {
        match submit {
            Submit::Request { origin, op, body } => {
                let accepted = self.accepted.get_mut(&origin.conn);
                let Some(request) = accepted.and_then(VecDeque::pop_front) else {
                    return Err(format!("{op} of {:?} out of nothing", origin.conn));
                };
                ensure!(
                    request.op == *op
                        && request.xid == origin.cxid
                        && request.session == origin.session.0
                        && request.body == *body,
                    "{op} with xid {} was submitted in the place of {request:?}",
                    origin.cxid
                );
                self.requests += 1;
                self.jobs.push_back(Job::Request(request));
            }
            Submit::Connect { conn, timeout_ms } => self.jobs.push_back(Job::Connect {
                conn: *conn,
                timeout: *timeout_ms,
            }),
            Submit::Reattach {
                session,
                timeout_ms,
                ..
            } => {
                self.sessions.queue_reattach(session.0, *timeout_ms);
                self.jobs.push_back(Job::Reattach);
            }
        }
        Ok(())
    }

    /// A write that is answered in its place, without a transaction.
    fn resolve_plain(&mut self, now: Now) -> bool {
        match self.jobs.front() {
            Some(Job::Reattach) => {
                self.sessions.reattached(now.mono_ms);
                self.jobs.pop_front();
                true
            }
            Some(Job::Request(request)) => {
                let (conn, after) = (request.conn, self.issued());
                let Some((err, body)) = model::plain(&self.rules, request.op, &request.body) else {
                    return false;
                };
                let expected = Expected {
                    zxid: None,
                    after,
                    err,
                    body: body.into(),
                };
                self.expect(conn, expected);
                self.jobs.pop_front();
                true
            }
            Some(Job::Connect { .. } | Job::Expire(_)) | None => false,
        }
    }

    fn expect(&mut self, conn: ConnId, expected: Expected) {
        if let Some(stream) = self.streams.get_mut(&conn) {
            stream.expect(expected);
        }
    }

    fn outcome(&self, request: &Request, zxid: i64, time: i64) -> model::Outcome {
        let standing = match self.sessions.is_live(request.session) {
            true => Ok(()),
            false => Err(-112),
        };
        let write = model::Write {
            rules: &self.rules,
            applied: self.state(self.applied),
            session: request.session,
            standing,
            owning: standing,
            ids: &request.ids,
            zxid,
            time,
        };
        model::write(&self.head(), &write, request.op, &request.body)
    }

    /// The core proposes a transaction.
    pub fn append(&mut self, zxid: Zxid, payload: &Bytes, now: Now) -> Verdict {
        ensure!(
            zxid.0 == self.issued() + 1,
            "zxid {zxid} was issued after {:#x}",
            self.issued()
        );
        let txn = Txn::decode(&mut Reader::new(payload))
            .map_err(|e| format!("the payload of {zxid} is no transaction: {e}"))?;
        let header = txn.header;
        ensure!(
            header.zxid == zxid.0,
            "the payload of {zxid} has zxid {:#x}",
            header.zxid
        );
        ensure!(
            header.time == now.wall_ms,
            "{zxid} was made at {} and says {}",
            now.wall_ms,
            header.time
        );
        let outcome = self.propose(&header, &txn, now)?;
        if outcome.op == OpCode::Multi {
            let TxnBody::Multi(parts) = &txn.body else {
                return Err(format!("{zxid} is no multi: {txn:?}"));
            };
            let failed = parts
                .iter()
                .any(|p| matches!(p.body, TxnBody::Error { .. }));
            self.coverage.note(if failed {
                Seen::MultiFailed
            } else {
                Seen::MultiDone
            });
        }
        ensure!(
            outcome.op.to_i32() == header.op,
            "{zxid} is of type {}, expected {} ({}): {txn:?}",
            header.op,
            outcome.op,
            outcome.err
        );
        if let TxnBody::Error { err } = txn.body {
            ensure!(
                err == outcome.err,
                "{zxid} fails with {err}, expected {}: {header:?}",
                outcome.err
            );
            if err == -125 {
                self.coverage.note(Seen::QuotaExceeded);
            }
        }
        match (&txn.body, txn.digest) {
            (TxnBody::Error { .. }, digest) => {
                ensure!(digest.is_none(), "{zxid} is an error with a digest");
            }
            (body, None) => return Err(format!("{zxid} has no digest: {body:?}")),
            (body, Some(digest)) => {
                let expected = outcome.state.digest();
                ensure!(
                    digest.digest == expected,
                    "{zxid} predicts digest {}, expected {expected}: {body:?}",
                    digest.digest
                );
            }
        }
        self.history.push(Past {
            payload: payload.clone(),
            state: Rc::new(outcome.state),
            fired: outcome.fired.into(),
        });
        Ok(())
    }

    fn propose(
        &mut self,
        header: &TxnHeader,
        txn: &Txn<'_>,
        now: Now,
    ) -> Result<model::Outcome, String> {
        let zxid = header.zxid;
        while self.resolve_plain(now) {}
        if header.op == OpCode::DeleteContainer.to_i32() {
            let TxnBody::Delete { path, .. } = &txn.body else {
                return Err(format!("{zxid:#x} reaps nothing: {:?}", txn.body));
            };
            return self.reap(path.as_deref().unwrap_or_default(), header, now);
        }
        if header.op == OpCode::CloseSession.to_i32() && header.cxid == 0 {
            let session = header.client_id;
            let Some(Job::Expire(due)) = self.jobs.front_mut() else {
                return Err(format!(
                    "{zxid:#x} closes session {session:#x}, expected {:?}",
                    self.jobs.front()
                ));
            };
            ensure!(
                due.remove(&session),
                "{zxid:#x} closes session {session:#x}, expected one of {due:?}"
            );
            if due.is_empty() {
                self.jobs.pop_front();
            }
            self.coverage.note(Seen::Expiry);
            return Ok(model::close(&self.head(), header.client_id, zxid));
        }
        match self.jobs.pop_front() {
            Some(Job::Connect { conn, timeout }) => {
                let session = header.client_id;
                ensure!(
                    header.op == OpCode::CreateSession.to_i32(),
                    "{zxid:#x} is {txn:?}, expected a session for {conn:?}"
                );
                ensure!(
                    !self.was_used(session),
                    "session {session:#x} was given out again in {zxid:#x}"
                );
                ensure!(
                    txn.body == TxnBody::CreateSession { timeout },
                    "{zxid:#x} is {:?}, expected a timeout of {timeout} ms",
                    txn.body
                );
                self.sessions.track(session, timeout, now.mono_ms);
                self.connecting.insert(conn, (session, timeout, zxid));
                self.made.insert(session, zxid);
                Ok(model::create_session(&self.head(), session, timeout))
            }
            Some(Job::Request(request)) => {
                ensure!(
                    request.session == header.client_id && request.xid == header.cxid,
                    "{zxid:#x} is {header:?}, expected {request:?}"
                );
                let outcome = self.outcome(&request, zxid, header.time);
                if request.op == OpCode::CloseSession {
                    self.sessions.closing(request.session);
                }
                let expected = Expected {
                    zxid: Some(zxid),
                    after: zxid,
                    err: outcome.err,
                    body: outcome.body.as_slice().into(),
                };
                self.expect(request.conn, expected);
                Ok(outcome)
            }
            Some(Job::Reattach | Job::Expire(_)) | None => {
                Err(format!("{zxid:#x} out of nothing: {txn:?}"))
            }
        }
    }

    /// Whether an id cannot be a new session's. A start with an older clock than an earlier one
    /// may meet ids of then that are closed.
    fn was_used(&self, session: i64) -> bool {
        self.head().sessions.contains_key(&session)
            || (self.new_clock && self.granted.contains(&session))
    }

    fn reap(&mut self, path: &str, header: &TxnHeader, now: Now) -> Result<model::Outcome, String> {
        let head = self.head();
        let Some(node) = head.get(path) else {
            return Err(format!("reaped {path:?}, which is not there"));
        };
        let stat = &node.stat;
        let age = now.wall_ms - stat.mtime;
        let due = match node.kind() {
            Kind::Container => {
                self.coverage.note(Seen::ContainerReaped);
                stat.cversion > 0 || (self.never_used_ms > 0 && age > self.never_used_ms)
            }
            Kind::Ttl(ttl) => {
                self.coverage.note(Seen::TtlReaped);
                age > ttl
            }
            Kind::Persistent | Kind::Ephemeral(_) => false,
        };
        ensure!(due, "reaped {path:?} too early: {node:?}");
        ensure!(
            header.client_id == 0 && header.cxid == 0,
            "the reaper's {header:?}"
        );
        match model::reap(&head, path, header.zxid) {
            Some(outcome) => Ok(outcome),
            None => Err(format!("reaped {path:?}, which is in use")),
        }
    }

    /// A step of the core is over; `blocked` when it waits for a row.
    pub fn stepped(&mut self, blocked: bool, now: Now) -> Verdict {
        while self.resolve_plain(now) {}
        if blocked {
            return Ok(());
        }
        ensure!(
            self.jobs.is_empty(),
            "the core came to rest with {:?} not proposed",
            self.jobs.front()
        );
        Ok(())
    }

    /// The core is given a tick.
    ///
    /// # Errors
    /// A session is due though its client was heard of in time.
    pub fn tick(&mut self, now: Now) -> Verdict {
        let due = self.sessions.tick(now.mono_ms)?;
        if !due.is_empty() {
            self.jobs.push_back(Job::Expire(due));
        }
        Ok(())
    }

    /// The core hears of a client.
    pub fn touched(&mut self, session: SessionId, at_ms: i64, timeout_ms: i32) {
        self.sessions.touch(session.0, timeout_ms, at_ms);
    }

    /// The log says that it is durable up to here.
    pub fn durable(&mut self, zxid: Zxid) -> Verdict {
        ensure!(
            zxid.0 >= self.durable && zxid.0 <= self.issued(),
            "durable up to {zxid}, was {:#x}, issued {:#x}",
            self.durable,
            self.issued()
        );
        self.durable = zxid.0;
        Ok(())
    }

    /// A hold of apply is over.
    pub fn applied(&mut self, zxid: Zxid, marks: Marks) -> Verdict {
        ensure!(
            zxid.0 >= self.applied,
            "the tree went back from {:#x} to {zxid}",
            self.applied
        );
        self.applied = zxid.0;
        ensure!(
            marks.applied.0 == zxid
                && marks.served.0 == zxid
                && marks.history_end.0.0 == self.durable
                && marks.persisted.0 <= marks.applied.0
                && marks.applied.0 <= marks.history_end.0
                && marks.history_end.0.0 <= self.issued(),
            "{marks:?} with {zxid} applied, {:#x} durable and {:#x} issued",
            self.durable,
            self.issued()
        );
        Ok(())
    }

    // The connections' side.

    /// A connection was accepted.
    pub fn opened(&mut self, conn: ConnId, address: &str) {
        self.streams.insert(conn, Stream::new(conn, address));
    }

    /// A frame is given to a connection.
    pub fn frame(&mut self, conn: ConnId, frame: &[u8], now: Now) -> Verdict {
        let applied = self.applied;
        let state = self.state(applied).clone();
        let Some(stream) = self.streams.get_mut(&conn) else {
            return Err(format!("a frame for {conn:?}, which is gone"));
        };
        if let Some((session, timeout)) = stream.open() {
            self.sessions.heard(session, timeout, now.mono_ms);
        }
        let lives = |session| state.sessions.contains_key(&session);
        let taken = stream.frame(frame, &self.rules, &lives, applied)?;
        if let Some(request) = taken {
            self.accepted.entry(conn).or_default().push_back(request);
        }
        Ok(())
    }

    /// A connection is given what is no frame.
    pub fn bad_frame(&mut self, conn: ConnId) {
        if let Some(stream) = self.streams.get_mut(&conn) {
            stream.must_close("the frame is malformed");
        }
    }

    /// The core answers a request; counted, for each is answered once.
    pub fn answered(&mut self) {
        self.answers += 1;
    }

    /// The core answers a handshake.
    pub fn connected(&mut self, conn: ConnId, grant: Option<Grant>) -> Verdict {
        let expected = match self.connecting.remove(&conn) {
            Some((session, timeout_ms, _)) => Some(Grant {
                session: SessionId(session),
                timeout_ms,
            }),
            None => match self.streams.get(&conn).and_then(Stream::reattaching) {
                Some((session, timeout_ms)) if self.sessions.is_live(session) => {
                    self.coverage.note(Seen::Reattached);
                    Some(Grant {
                        session: SessionId(session),
                        timeout_ms,
                    })
                }
                Some(_) => {
                    self.coverage.note(Seen::ReattachRefused);
                    None
                }
                // It is gone, whatever the answer is.
                None => grant,
            },
        };
        ensure!(
            grant == expected,
            "{conn:?} was granted {grant:?}, expected {expected:?}"
        );
        if let Some(grant) = grant {
            self.granted.insert(grant.session.0);
        }
        let applied = self.applied;
        if let Some(stream) = self.streams.get_mut(&conn) {
            stream.connected(grant, applied)?;
        }
        Ok(())
    }

    /// Every connection of the session but `now` ends.
    pub fn detached(&mut self, session: SessionId, now: Option<ConnId>) {
        for (conn, stream) in &mut self.streams {
            if Some(*conn) != now && stream.is_of(session.0) {
                if stream.waits_for_writes() {
                    self.coverage.note(Seen::DetachedWithWrites);
                }
                stream.must_close("the session has another connection or is gone");
            }
        }
    }

    /// A connection has sent these bytes, and `closing` says whether it ends.
    pub fn output(
        &mut self,
        conn: ConnId,
        bytes: &[u8],
        closing: bool,
        tell: &mut dyn FnMut(std::fmt::Arguments<'_>),
    ) -> Verdict {
        let Some(mut stream) = self.streams.remove(&conn) else {
            return Err(format!("output of {conn:?}, which is gone"));
        };
        let checked = stream.output(bytes, self, tell);
        self.acknowledged = self.acknowledged.max(stream.acknowledged());
        let fits = checked.and_then(|()| stream.check_close(closing));
        self.streams.insert(conn, stream);
        fits
    }

    /// The socket is gone.
    pub fn closed(&mut self, conn: ConnId) {
        self.streams.remove(&conn);
    }

    /// Everything has come to rest: nobody waits for anything.
    pub fn at_rest(&mut self) -> Verdict {
        let mut streams = std::mem::take(&mut self.streams);
        for (conn, stream) in &mut streams {
            stream
                .at_rest(self)
                .map_err(|what| format!("{conn:?} waits at rest: {what}"))?;
        }
        self.streams = streams;
        ensure!(
            self.requests == self.answers,
            "{} requests were taken up and {} answers given",
            self.requests,
            self.answers
        );
        ensure!(
            self.applied == self.issued(),
            "at rest {:#x} is applied of {:#x}",
            self.applied,
            self.issued()
        );
        Ok(())
    }
}

impl History for Judge {
    fn rules(&self) -> &Rules {
        &self.rules
    }

    fn applied(&self) -> i64 {
        self.applied
    }

    fn state(&self, zxid: i64) -> Rc<State> {
        Judge::state(self, zxid).clone()
    }

    fn fired(&self, behind: i64, upto: i64, each: &mut dyn FnMut(i64, &Fired)) {
        for at in behind + 1..=upto {
            for fired in self.history[at as usize - 1].fired.iter() {
                each(at, fired);
            }
        }
    }

    fn session_made(&self, session: i64) -> i64 {
        self.made.get(&session).copied().unwrap_or_default()
    }

    fn note(&mut self, seen: Seen) {
        self.coverage.note(seen);
    }
}
