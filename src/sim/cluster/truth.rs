//! What is true in an ensemble of whole servers: the committed path as a plain model lives
//! through it.
//!
//! Owns one state for each transaction of the path, made from the request that a client submitted
//! and nothing that the servers say but the order, the zxid, the time and the transaction's own
//! kind; and the requests that are not committed. Does not know: servers, links, connections'
//! bytes.
//!
//! Checked: every transaction is somebody's, and what the model says that it is at its place: its
//! kind, its error, its digest; a request that was submitted when something was committed comes
//! behind it, and one that came by a connection that its session has left, in front of all that
//! came by the next; sessions begin once, and what is deleted without a client's request was due.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use bytes::Bytes;
use jute::{Decode, Reader};
use zk_core::Config;
use zk_wire::OpCode;
use zk_wire::txn::{Txn, TxnBody, TxnHeader};
use zk_zab::Zxid;

use super::coverage;
use super::net::Place;
use super::node::Asked;
use crate::check::stream::History;
use crate::check::{Expected, Request, Verdict, ensure};
use crate::coverage::Seen;
use crate::model::{self, Fired, Kind, Outcome, Rules, State};

/// The session is at another server.
const MOVED: i32 = -118;

/// The session is gone.
const EXPIRED: i32 = -112;

/// A session that one server knows may own nothing.
const LOCAL: i32 = -120;

/// A request of a client.
#[derive(Debug)]
struct Submitted {
    request: Request,
    /// What was committed when it was submitted.
    after: Zxid,
    /// Whether to a leader.
    led: bool,
}

/// The server that a client's request goes to.
#[derive(Clone, Copy, Debug)]
pub struct At {
    /// Which.
    pub place: Place,
    /// The epoch of its leader.
    pub epoch: u32,
    /// Whether it leads.
    pub leads: bool,
}

/// Which sessions are known to one server only.
#[derive(Debug, Default)]
struct Local {
    /// Whether new ones are.
    on: bool,
    /// Whether they become everybody's with their first ephemeral node.
    upgrade: bool,
    /// All that ever were.
    ever: BTreeSet<i64>,
    /// Where they live.
    at: BTreeMap<i64, Place>,
}

/// One transaction.
#[derive(Debug)]
struct Past {
    zxid: i64,
    state: Rc<State>,
    fired: Rc<[Fired]>,
}

/// What a client must be answered: its connection, its xid, and the answer.
pub type Answer = (u64, i32, Expected);

/// See the module.
#[derive(Debug)]
pub struct Truth {
    rules: Rules,
    /// Followers pass on what observers ask: to the leader, a session of both is the follower's.
    relayed: bool,
    never_used_ms: i64,
    fresh: Rc<State>,
    past: Vec<Past>,
    submitted: BTreeMap<Asked, Submitted>,
    /// Reconfigurations that were asked for: their own judge is the administrator.
    changes: BTreeSet<Asked>,
    /// The zxid that made each session.
    made: BTreeMap<i64, i64>,
    /// Sessions that a connection was granted for the first time.
    granted: BTreeSet<i64>,
    /// Handshakes for new sessions that no session was made for, by agreed timeout.
    wanted: BTreeMap<i32, usize>,
    /// Sessions whose end a leader has proposed.
    ending: BTreeSet<i64>,
    /// Connections that have asked for each session.
    claims: BTreeMap<i64, BTreeSet<u64>>,
    /// The newest connection of each session of which a request is committed.
    newest: BTreeMap<i64, u64>,
    local: Local,
    /// What the server that is judged now has applied.
    pub applied: i64,
    /// What was met.
    pub seen: Vec<&'static str>,
}

impl Truth {
    /// Nothing has happened. What observers ask is `relayed` or not.
    pub fn new(rules: Rules, config: &Config, relayed: bool) -> Truth {
        Truth {
            rules,
            relayed,
            never_used_ms: config.container_never_used_ms,
            fresh: Rc::new(State::fresh()),
            past: Vec::new(),
            submitted: BTreeMap::new(),
            changes: BTreeSet::new(),
            made: BTreeMap::new(),
            granted: BTreeSet::new(),
            wanted: BTreeMap::new(),
            ending: BTreeSet::new(),
            claims: BTreeMap::new(),
            newest: BTreeMap::new(),
            local: Local {
                on: config.local_sessions,
                upgrade: config.local_upgrade,
                ..Local::default()
            },
            applied: 0,
            seen: Vec::new(),
        }
    }

    /// Transactions of the path that it knows.
    pub fn known(&self) -> usize {
        self.past.len()
    }

    /// The state after everything.
    pub fn head(&self) -> &Rc<State> {
        self.past.last().map_or(&self.fresh, |past| &past.state)
    }

    fn end(&self) -> Zxid {
        self.past.last().map_or(Zxid::ZERO, |past| Zxid(past.zxid))
    }

    /// The last transaction of an epoch or an earlier one.
    fn end_of(&self, epoch: u32) -> i64 {
        let before = |past: &Past| Zxid(past.zxid).epoch() <= epoch;
        let at = self.past.partition_point(before);
        at.checked_sub(1).map_or(0, |at| self.past[at].zxid)
    }

    /// A connection asks for a session, or for a new one.
    pub fn claims(&mut self, conn: u64, session: Option<i64>, timeout: i32) {
        match session {
            Some(session) => {
                self.claims.entry(session).or_default().insert(conn);
            }
            None => *self.wanted.entry(timeout).or_default() += 1,
        }
    }

    /// Whether a session was asked for by other connections than this one.
    pub fn is_contested(&self, session: i64, conn: u64) -> bool {
        let claims = self.claims.get(&session);
        claims.is_some_and(|claims| claims.iter().any(|other| *other != conn))
    }

    /// Whether a session is known to a server that has applied so much.
    pub fn lives(&self, session: i64, place: Place, applied: i64) -> bool {
        // It stays so until the server has applied that it is everybody's.
        let local = self.local.at.get(&session) == Some(&place);
        local || self.state(applied).sessions.contains_key(&session)
    }

    /// Whether a session is known to this server and to no other.
    pub fn is_local_at(&self, session: i64, place: Place) -> bool {
        self.local.at.get(&session) == Some(&place) && !self.made.contains_key(&session)
    }

    /// A session that this server alone knew is gone.
    pub fn forgets(&mut self, session: i64) {
        self.local.at.remove(&session);
    }

    /// A server forgets the sessions that it alone knew.
    pub fn forgets_all(&mut self, place: Place) {
        self.local.at.retain(|_, at| *at != place);
    }

    /// A client's request. What is answered without a transaction is known at once.
    pub fn submits(&mut self, request: Request, at: At) -> Option<Answer> {
        let (conn, xid, session) = (request.conn.0, request.xid, request.session);
        let plain = |err: i32, body: Vec<u8>, after: i64| {
            let body = body.into();
            let expected = Expected {
                zxid: None,
                after,
                err,
                body,
            };
            Some((conn, xid, expected))
        };
        if let Some((err, body)) = model::plain(&self.rules, request.op, &request.body) {
            // Whoever asks the leader of an epoch sees what was committed in it before.
            let after = if request.op == OpCode::Sync && err == 0 {
                self.end_of(at.epoch)
            } else {
                0
            };
            return plain(err, body, after);
        }
        let local = self.is_local_at(session, at.place);
        let answer = if local && request.op == OpCode::CloseSession {
            // Unless it becomes everybody's before.
            plain(0, Vec::new(), 0)
        } else if local
            && !self.local.upgrade
            && !at.leads
            && model::owns(&self.rules, request.op, &request.body)
        {
            plain(LOCAL, Vec::new(), 0)
        } else {
            None
        };
        let submitted = Submitted {
            request,
            after: self.end(),
            led: at.leads,
        };
        self.submitted.insert((session, xid), submitted);
        answer
    }

    /// The administrator asks for another configuration.
    pub fn administers(&mut self, asked: Asked) {
        self.changes.insert(asked);
    }

    /// A leader proposes.
    pub fn proposes(&mut self, header: &TxnHeader) {
        if header.op == OpCode::CloseSession.to_i32() {
            self.ending.insert(header.client_id);
        }
    }

    /// The next transaction of the path. What its client must be answered.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn commits(&mut self, zxid: Zxid, payload: &Bytes) -> Result<Option<Answer>, String> {
        let txn = Txn::decode(&mut Reader::new(payload))
            .map_err(|e| format!("the payload of {zxid} is no transaction: {e}"))?;
        let header = txn.header;
        ensure!(
            header.zxid == zxid.0,
            "the payload of {zxid} has zxid {:#x}",
            header.zxid
        );
        let (outcome, answer) = match header.cxid {
            0 => (self.by_itself(&header, &txn)?, None),
            _ => self.asked(&header, &txn)?,
        };
        ensure!(
            outcome.op.to_i32() == header.op,
            "{zxid} is of type {}, expected {} ({}): {txn:?}",
            header.op,
            outcome.op,
            outcome.err
        );
        match (&txn.body, txn.digest) {
            (TxnBody::Error { err }, digest) => {
                ensure!(
                    *err == outcome.err && digest.is_none(),
                    "{zxid} fails with {err}, expected {}: {header:?}",
                    outcome.err
                );
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
        self.past.push(Past {
            zxid: zxid.0,
            state: Rc::new(outcome.state),
            fired: outcome.fired.into(),
        });
        Ok(answer)
    }

    /// What the servers do by themselves.
    fn by_itself(&mut self, header: &TxnHeader, txn: &Txn<'_>) -> Result<Outcome, String> {
        let (zxid, session) = (header.zxid, header.client_id);
        let head = self.head().clone();
        match &txn.body {
            TxnBody::CreateSession { timeout } => {
                ensure!(
                    self.made.insert(session, zxid).is_none(),
                    "{zxid:#x} makes session {session:#x} again"
                );
                if self.local.ever.contains(&session) {
                    ensure!(
                        self.local.upgrade,
                        "{zxid:#x} makes session {session:#x} everybody's"
                    );
                    self.seen.push(coverage::UPGRADED);
                } else {
                    let wanted = self.wanted.get_mut(timeout).filter(|wanted| **wanted > 0);
                    let Some(wanted) = wanted else {
                        return Err(format!(
                            "{zxid:#x} makes a session of {timeout} ms, which nobody asked for"
                        ));
                    };
                    *wanted -= 1;
                }
                Ok(model::create_session(&head, session, *timeout))
            }
            TxnBody::CloseSession { .. } => {
                ensure!(
                    head.sessions.contains_key(&session),
                    "{zxid:#x} closes session {session:#x}, which is not there"
                );
                Ok(model::close(&head, session, zxid))
            }
            TxnBody::Delete { path, .. } => {
                ensure!(
                    header.op == OpCode::DeleteContainer.to_i32() && session == 0,
                    "{zxid:#x} deletes {path:?}, which nobody asked for"
                );
                self.reaps(&head, path.as_deref().unwrap_or_default(), header)
            }
            TxnBody::Error { .. }
            | TxnBody::Create { .. }
            | TxnBody::CreateContainer { .. }
            | TxnBody::CreateTtl { .. }
            | TxnBody::SetData { .. }
            | TxnBody::SetAcl { .. }
            | TxnBody::Check { .. }
            | TxnBody::Multi(_) => Err(format!("{zxid:#x} out of nothing: {txn:?}")),
        }
    }

    fn reaps(&mut self, head: &State, path: &str, header: &TxnHeader) -> Result<Outcome, String> {
        let Some(node) = head.get(path) else {
            return Err(format!("reaped {path:?}, which is not there"));
        };
        let age = header.time - node.stat.mtime;
        let due = match node.kind() {
            Kind::Container => {
                let unused = self.never_used_ms > 0 && age > self.never_used_ms;
                node.stat.cversion > 0 || unused
            }
            Kind::Ttl(ttl) => age > ttl,
            Kind::Persistent | Kind::Ephemeral(_) => false,
        };
        ensure!(due, "reaped {path:?} too early: {node:?}");
        self.seen.push(coverage::REAPED);
        model::reap(head, path, header.zxid)
            .ok_or_else(|| format!("reaped {path:?}, which is in use"))
    }

    /// What a client has asked for.
    fn asked(
        &mut self,
        header: &TxnHeader,
        txn: &Txn<'_>,
    ) -> Result<(Outcome, Option<Answer>), String> {
        let (zxid, session) = (header.zxid, header.client_id);
        if self.changes.remove(&(session, header.cxid)) {
            return Ok((self.changed(header, txn)?, None));
        }
        let Some(submitted) = self.submitted.remove(&(session, header.cxid)) else {
            return Err(format!("{zxid:#x} is {txn:?}, which nobody asked for"));
        };
        let Submitted {
            request,
            after,
            led,
        } = submitted;
        ensure!(
            zxid > after.0,
            "{zxid:#x} was asked for when {after} was committed: {request:?}"
        );
        let head = self.head().clone();
        let conn = request.conn.0;
        let moved = says(txn, MOVED);
        let mut owning = Ok(());
        let standing = if moved {
            ensure!(
                self.is_contested(session, conn),
                "{zxid:#x} says that session {session:#x} has moved, which nobody else has: \
                 {request:?}"
            );
            self.seen.push(coverage::MOVED);
            Err(MOVED)
        } else if head.sessions.contains_key(&session) {
            Ok(())
        } else if self.local.ever.contains(&session) {
            // Of a session that ends only its own server knows, be it the leader. One that was
            // everybody's may pass for another server's when the leader has forgotten it, as Java's
            // does.
            let was = self.made.contains_key(&session);
            owning = Err(if led && !was { LOCAL } else { EXPIRED });
            let ends = (led || was) && says(txn, EXPIRED);
            self.seen.push(coverage::LOCAL_WRITE);
            if ends { Err(EXPIRED) } else { Ok(()) }
        } else {
            Err(EXPIRED)
        };
        let write = model::Write {
            rules: &self.rules,
            applied: &head,
            session,
            standing,
            owning,
            ids: &request.ids,
            zxid,
            time: header.time,
        };
        let outcome = model::write(&head, &write, request.op, &request.body);
        if head.sessions.contains_key(&session) && request.op != OpCode::CloseSession && !moved {
            let newest = self.newest.entry(session).or_default();
            let late = *newest > conn && !self.relayed;
            *newest = conn.max(*newest);
            let write = model::Write {
                standing: Err(MOVED),
                ..write
            };
            // Some is refused, or does nothing, before anybody asks whose the session is.
            let left = late.then(|| model::write(&head, &write, request.op, &request.body));
            ensure!(
                left.is_none_or(|left| (left.err, &left.body) == (outcome.err, &outcome.body)),
                "{zxid:#x} is done though session {session:#x} has moved to conn {}: {request:?}",
                self.newest[&session]
            );
        }
        // Who has moved is not answered: the connection ends.
        let answer = (!moved).then(|| {
            let expected = Expected {
                zxid: Some(zxid),
                after: zxid,
                err: outcome.err,
                body: outcome.body.as_slice().into(),
            };
            (conn, request.xid, expected)
        });
        if outcome.op == OpCode::Multi {
            self.seen.push(coverage::MULTI);
        }
        Ok((outcome, answer))
    }

    /// The administrator's request, of which only what it does to the tree is judged here.
    fn changed(&self, header: &TxnHeader, txn: &Txn<'_>) -> Result<Outcome, String> {
        let head = self.head();
        let outcome = match &txn.body {
            TxnBody::Error { err } => Some(model::fail(head, *err)),
            TxnBody::SetData { data, .. } => {
                model::reconfigure(head, *data, header.zxid, header.time)
            }
            _ => None,
        };
        outcome.ok_or_else(|| format!("a reconfiguration became {txn:?}"))
    }

    /// A connection has, or is refused, a session: what it asked for, and what it was given.
    ///
    /// # Errors
    /// That is wrong.
    pub fn grants(
        &mut self,
        conn: u64,
        place: Place,
        (asked, timeout): (Option<i64>, i32),
        granted: Option<(i64, i32)>,
        only_reads: bool,
    ) -> Verdict {
        match (asked, granted) {
            (Some(session), Some(granted)) => {
                ensure!(
                    granted == (session, timeout),
                    "conn {conn} is given {granted:?} for session {session:#x} of {timeout} ms"
                );
                ensure!(
                    self.lives(session, place, self.applied),
                    "conn {conn} is given session {session:#x}, which is gone"
                );
                self.seen.push(coverage::REATTACHED);
            }
            (Some(session), None) => {
                // A server without a leader knows those of its tree only.
                let unknown = only_reads && !self.lives(session, place, self.applied);
                ensure!(
                    unknown || self.ending.contains(&session) || !self.made.contains_key(&session),
                    "conn {conn} is refused session {session:#x}, which lives"
                );
                self.seen.push(coverage::EXPIRED);
            }
            (None, Some((session, granted))) => {
                let made = self.made.get(&session).copied();
                let fits = if self.local.on {
                    self.local.ever.insert(session);
                    self.local.at.insert(session, place);
                    made.is_none()
                } else {
                    made.is_some_and(|made| made <= self.applied)
                };
                ensure!(
                    granted == timeout && fits && self.granted.insert(session),
                    "conn {conn} is given session {session:#x} of {granted} ms, made in {made:?}"
                );
                self.claims(conn, Some(session), timeout);
            }
            (None, None) => return Err(format!("conn {conn} is refused a new session")),
        }
        Ok(())
    }
}

/// Whether a transaction, or a part of it, fails with this code.
fn says(txn: &Txn<'_>, code: i32) -> bool {
    let fails = |body: &TxnBody<'_>| matches!(body, TxnBody::Error { err } if *err == code);
    match &txn.body {
        TxnBody::Multi(parts) => parts.iter().any(|part| fails(&part.body)),
        body => fails(body),
    }
}

impl History for Truth {
    fn rules(&self) -> &Rules {
        &self.rules
    }

    fn applied(&self) -> i64 {
        self.applied
    }

    fn state(&self, zxid: i64) -> Rc<State> {
        let at = self.past.partition_point(|past| past.zxid <= zxid);
        match at.checked_sub(1) {
            Some(at) => self.past[at].state.clone(),
            None => self.fresh.clone(),
        }
    }

    fn fired(&self, behind: i64, upto: i64, each: &mut dyn FnMut(i64, &Fired)) {
        let from = self.past.partition_point(|past| past.zxid <= behind);
        for past in self.past[from..]
            .iter()
            .take_while(|past| past.zxid <= upto)
        {
            past.fired.iter().for_each(|fired| each(past.zxid, fired));
        }
    }

    fn session_made(&self, session: i64) -> i64 {
        self.made.get(&session).copied().unwrap_or_default()
    }

    fn note(&mut self, seen: Seen) {
        if seen == Seen::Event {
            self.seen.push(coverage::EVENT);
        } else if seen == Seen::CaughtUp {
            self.seen.push(coverage::CAUGHT_UP);
        }
    }
}
