//! What becomes of a request: the transaction that it is, or the answer that it gets without one.
//!
//! Owns the state after everything proposed, the session table, the last zxid issued and the work
//! that waits. It does not know who is told, or when something is applied: what it decides goes to
//! the ledger. Only a standalone server and a leader have work for it.
//!
//! Invariants: zxids are issued without gaps; the predicted digest is that of the state after
//! the ledger's records; work of one side is judged in the order of its arrival; a request of
//! another server becomes exactly one transaction, whatever is wrong with it, for that server
//! waits for one.

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;

use bytes::Bytes;
use jute::{Decode, Encode, Reader};
use zk_wire::client::CheckRequest;
use zk_wire::stat::StatPersisted;
use zk_wire::txn::{TxnBody, TxnDigest, TxnHeader};
use zk_wire::{Code, OpCode, digest};
use zk_zab::rules::Rule;

use super::ledger::{By, Ledger, Note, Record};
use super::prepare::{Refusal, makes_ephemerals, prep, prepare};
use crate::acl::Ids;
use crate::config::Config;
use crate::ids::{ConnId, LinkId, Now, SessionId, Zxid};
use crate::io::{Effect, Grant, Origin, Submit};
use crate::limits::MISSING_AT_ONCE;
use crate::op::reconfig::Membership;
use crate::op::{self, Stop};
use crate::owner;
use crate::pending::Pending;
use crate::session::{Local, Owner, Tracker};
use crate::tally::{Counts, namespace};
use crate::tree::{Need, Tree};

/// A request that a client of another server has made.
#[derive(Debug)]
pub(super) struct Forwarded {
    pub link: LinkId,
    pub session: SessionId,
    pub cxid: i32,
    pub op: OpCode,
    pub body: Bytes,
    pub ids: Ids,
}

/// Work that was taken up, from whatever side.
#[derive(Debug)]
pub(super) enum Work {
    Submit(Submit),
    Forwarded(Forwarded),
    Expire(SessionId),
    Reap(Box<str>),
}

/// What one piece of work is judged with.
pub(super) struct Desk<'a> {
    pub config: &'a Arc<Config>,
    /// Whether zxids have an epoch, which the counter must not run into.
    pub leads: bool,
    pub membership: Option<&'a Membership>,
    pub tree: &'a Tree,
    pub now: Now,
    pub ledger: &'a mut Ledger,
    pub out: &'a mut Vec<Effect>,
}

#[derive(Debug)]
struct Reaper {
    next_check_ms: i64,
    next_delete_ms: i64,
    found: VecDeque<Box<str>>,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Judge {
    pub tracker: Tracker,
    /// On every server of an ensemble.
    pub local: Local,
    pub pending: Pending,
    pub waiting: VecDeque<Work>,
    /// Rows that the first of `waiting` waits for. They are looked for before it is judged again,
    /// and asked for again only when something was loaded.
    missing: Vec<Need>,
    pub issued: Zxid,
    reaper: Reaper,
    /// Version of the configuration that was proposed last; 0 for none.
    proposed_config: i64,
    /// The counter is used up, and the leader was told to go.
    resigned: bool,
    pub counts: Counts,
}

impl Judge {
    /// Nothing is proposed on top of the tree. Every session of it gets its full timeout anew, and
    /// `owner`. The first zxid will be the one after `issued`.
    pub fn new(config: &Config, tree: &Tree, owner: Owner, issued: Zxid, now: Now) -> Judge {
        let mut tracker = Tracker::new(config.server_id, config.tick_ms, now.wall_ms);
        for (id, timeout_ms) in tree.sessions() {
            tracker.track(id, timeout_ms, owner, now.mono_ms);
        }
        Judge {
            tracker,
            local: Local::new(config.tick_ms),
            pending: Pending::new(tree.digest()),
            waiting: VecDeque::new(),
            missing: Vec::new(),
            issued,
            reaper: Reaper {
                next_check_ms: now.mono_ms + config.container_check_ms,
                next_delete_ms: now.mono_ms,
                found: VecDeque::new(),
            },
            proposed_config: 0,
            resigned: false,
            counts: Counts::default(),
        }
    }

    /// Takes over what does not end with a role: counts, and the ids that were given.
    pub fn go_on(&mut self, before: Judge) {
        self.tracker.continue_ids(&before.tracker);
        self.counts = before.counts;
    }

    /// Sessions that own nodes and are not in the table are closed before anything else.
    pub fn close_orphans(&mut self, tree: &Tree) {
        let orphans = tree
            .ephemerals()
            .map(|(id, _)| id)
            .filter(|id| !tree.has_global_session(*id));
        self.waiting.extend(orphans.map(Work::Expire));
    }

    /// Whether the first piece of work misses a row that was asked for.
    pub fn is_stalled(&self) -> bool {
        !self.missing.is_empty()
    }

    /// Gives up: what waits is handed back, and nothing is proposed any more.
    pub fn rest(&mut self, config: &Config) -> VecDeque<Work> {
        self.missing.clear();
        self.pending = Pending::default();
        self.reaper.found.clear();
        self.tracker.clear();
        self.local = Local::new(config.tick_ms);
        core::mem::take(&mut self.waiting)
    }

    /// When a tick is needed next at the latest.
    pub fn deadline_ms(&self) -> i64 {
        let reap = if self.reaper.found.is_empty() {
            self.reaper.next_check_ms
        } else {
            self.reaper.next_delete_ms
        };
        self.tracker
            .next_expiry_ms()
            .map_or(reap, |expiry| expiry.min(reap))
    }

    pub fn tick(&mut self, config: &Config, tree: &Tree, now: Now) {
        for id in self.tracker.expire(now.mono_ms) {
            self.counts.expired += 1;
            self.waiting.push_back(Work::Expire(id));
        }
        if now.mono_ms >= self.reaper.next_check_ms {
            self.reaper.next_check_ms = now.mono_ms + config.container_check_ms;
            self.reaper.found = reapable(config, tree, now.wall_ms);
        }
        // Java divides by the rate: by 0 no check gets as far as to delete.
        let Some(pause) = 60_000_i64.checked_div(config.container_max_per_minute) else {
            self.reaper.found.clear();
            return;
        };
        while now.mono_ms >= self.reaper.next_delete_ms
            && let Some(path) = self.reaper.found.pop_front()
        {
            self.reaper.next_delete_ms = now.mono_ms + pause.max(0);
            self.waiting.push_back(Work::Reap(path));
        }
    }

    /// Judges what waits, as far as rows are resident.
    pub fn work(&mut self, desk: &mut Desk<'_>, loaded: bool) {
        while let Some(need) = self.missing.last() {
            if desk.tree.lacks(need) {
                if loaded {
                    // Not all of it has come, or it was forgotten again.
                    desk.out.push(Effect::Load(need.clone()));
                }
                return;
            }
            self.missing.pop();
        }
        while let Some(work) = self.waiting.pop_front() {
            let is_used_up = desk.leads && self.issued.0 as u32 == desk.config.last_counter;
            if is_used_up && !desk.config.rules.hold(Rule::StepDownAtRollover) {
                // The next zxid runs into the epoch.
                self.issued = Zxid(self.issued.0 | i64::from(u32::MAX));
            } else if is_used_up {
                // Nothing more can be proposed in this epoch (ZOOKEEPER-1277): who has asked
                // learns nothing, and asks the next leader.
                if !core::mem::replace(&mut self.resigned, true) {
                    desk.out.push(Effect::Resign);
                }
                self.waiting.push_front(work);
                return;
            }
            if let Err(need) = self.one(desk, &work) {
                self.missing = all_missing(desk, &work, need);
                let loads = self.missing.iter().rev().cloned().map(Effect::Load);
                desk.out.extend(loads);
                self.waiting.push_front(work);
                return;
            }
        }
    }

    fn one(&mut self, desk: &mut Desk<'_>, work: &Work) -> Result<(), Need> {
        match work {
            Work::Submit(Submit::Request { origin, op, body }) => {
                self.request(desk, origin, *op, body)
            }
            Work::Submit(Submit::Connect { conn, timeout_ms }) => {
                let grant = self.new_session(desk.tree, *timeout_ms);
                if desk.leads && desk.config.local_sessions {
                    self.open_local(desk.ledger, *conn, grant, desk.now);
                    return Ok(());
                }
                let session = grant.session;
                self.tracker
                    .track(session, *timeout_ms, Owner::Me, desk.now.mono_ms);
                let body = TxnBody::CreateSession {
                    timeout: *timeout_ms,
                };
                self.propose(desk, (session, 0), &body, By::Connect(*conn, grant));
                Ok(())
            }
            Work::Submit(Submit::Reattach {
                conn,
                session,
                timeout_ms,
            }) => {
                let mono_ms = desk.now.mono_ms;
                if !self.local.attach(*session, *timeout_ms, mono_ms)
                    && self.tracker.attach(*session, *timeout_ms, mono_ms)
                {
                    self.tracker.set_owner(*session, Owner::Me);
                }
                desk.ledger.note(Note::Reattach {
                    conn: *conn,
                    session: *session,
                    timeout_ms: *timeout_ms,
                });
                Ok(())
            }
            Work::Forwarded(forwarded) => self.forwarded(desk, forwarded),
            Work::Expire(session) => self.close(desk, *session, 0, By::Nobody),
            Work::Reap(path) => {
                // Since it was found it may have been written again, or be another node. Java
                // looks at its children only, and deletes what a client has just made.
                let found = self.pending.get(desk.tree, path)?;
                if !found.is_some_and(|node| may_reap(desk.config, &node.stat, desk.now.wall_ms)) {
                    return Ok(());
                }
                let mut prep = self.prep(desk);
                match op::delete::prepare_container(&mut prep, path) {
                    Ok(body) => self.propose(desk, (SessionId(0), 0), &body, By::Nobody),
                    // It is in use again.
                    Err(Stop::Code(_)) => {}
                    Err(Stop::Need(need)) => return Err(need),
                }
                Ok(())
            }
        }
    }

    /// What a new session will be granted.
    pub fn new_session(&mut self, tree: &Tree, timeout_ms: i32) -> Grant {
        loop {
            let session = self.tracker.next_id();
            if !tree.has_session(session) {
                return Grant {
                    session,
                    timeout_ms,
                };
            }
        }
    }

    /// A session that only this server knows.
    pub fn open_local(&mut self, ledger: &mut Ledger, conn: ConnId, grant: Grant, now: Now) {
        self.local
            .open(grant.session, grant.timeout_ms, now.mono_ms);
        ledger.note_certain(Note::OpenLocal(conn, grant));
    }

    /// Local sessions whose time has come.
    pub fn expire_local(&mut self, ledger: &mut Ledger, now: Now) {
        for session in self.local.expire(now.mono_ms) {
            self.counts.expired += 1;
            ledger.note_certain(Note::CloseLocal(session, None));
        }
    }

    fn prep<'a>(&'a mut self, desk: &Desk<'a>) -> op::Prep<'a> {
        prep(
            desk.config,
            &mut self.pending,
            desk.tree,
            self.issued.next(),
            desk.now,
        )
    }

    fn close(
        &mut self,
        desk: &mut Desk<'_>,
        session: SessionId,
        cxid: i32,
        by: By,
    ) -> Result<(), Need> {
        let mut prep = self.prep(desk);
        prep.session = session;
        match op::session::prepare_close(&mut prep) {
            Ok(body) => {
                self.tracker.set_closing(session);
                self.propose(desk, (session, cxid), &body, by);
                Ok(())
            }
            Err(Stop::Need(need)) => Err(need),
            Err(Stop::Code(code)) => panic!("closing {session} is refused with {code:?}"),
        }
    }

    fn request(
        &mut self,
        desk: &mut Desk<'_>,
        origin: &Origin,
        op: OpCode,
        body: &Bytes,
    ) -> Result<(), Need> {
        let max_field = desk.config.max_field;
        let by = By::Request(origin.clone(), op);
        if op == OpCode::CloseSession && self.local.contains(origin.session) {
            self.local.set_closing(origin.session);
            let note = Note::CloseLocal(origin.session, Some(origin.clone()));
            desk.ledger.note(note);
            return Ok(());
        }
        if op == OpCode::CloseSession {
            return self.close(desk, origin.session, origin.cxid, by);
        }
        if op == OpCode::Sync {
            let result = match op::sync::answer(body, max_field) {
                Ok(reply) => Ok(reply),
                Err(Stop::Code(code)) => Err(code),
                Err(Stop::Need(need)) => return Err(need),
            };
            desk.ledger.note(Note::Answer {
                origin: origin.clone(),
                result,
            });
            return Ok(());
        }
        if self.local.is_live(origin.session)
            && desk.config.local_upgrade
            && makes_ephemerals(op, body, max_field)
            && let Some(timeout) = self.local.upgrade(origin.session)
        {
            self.tracker
                .track(origin.session, timeout, Owner::Me, desk.now.mono_ms);
            let body = TxnBody::CreateSession { timeout };
            self.propose(desk, (origin.session, 0), &body, By::Nobody);
        }
        let asker = (origin.session, Owner::Me);
        let mut text = String::new();
        let body = match self.judge(desk, asker, &origin.ids, op, body, &mut text) {
            Ok(body) => body,
            Err(Refusal::Undecodable) => {
                // No transaction: it must never reach another server (Java logs one under the
                // zxid before and an ensemble stops at it).
                desk.ledger.note(Note::Answer {
                    origin: origin.clone(),
                    result: Err(Code::MarshallingError),
                });
                return Ok(());
            }
            Err(Refusal::Stop(Stop::Code(code))) => TxnBody::Error { err: code.to_i32() },
            Err(Refusal::Stop(Stop::Need(need))) => return Err(need),
        };
        self.propose(desk, (origin.session, origin.cxid), &body, by);
        Ok(())
    }

    /// A request that another server has sent: whatever comes of it is a transaction, but of a
    /// sync.
    fn forwarded(&mut self, desk: &mut Desk<'_>, asked: &Forwarded) -> Result<(), Need> {
        let Forwarded {
            link,
            session,
            cxid,
            op,
            body,
            ids,
        } = asked;
        let owner = Owner::Link(*link);
        let mut text = String::new();
        let body = match op {
            OpCode::Sync => {
                desk.ledger.sync(*link, desk.out);
                return Ok(());
            }
            OpCode::CloseSession => {
                // Whose it is does not matter: it is the last that is asked for it.
                return self.close(desk, *session, *cxid, By::Nobody);
            }
            OpCode::CreateSession => match i32::decode(&mut Reader::new(body)) {
                Ok(timeout) => {
                    let tracked = self
                        .tracker
                        .adopt(*session, timeout, owner, desk.now.mono_ms);
                    tracked.map(|()| TxnBody::CreateSession { timeout })
                }
                Err(_) => Err(Code::MarshallingError),
            },
            // A transaction of a check that stands alone stops Java (ZOOKEEPER-2623).
            OpCode::Check if !desk.config.rules.hold(Rule::NoBareCheck) => {
                match CheckRequest::decode(&mut Reader::new(body)) {
                    Ok(request) => Ok(TxnBody::Check {
                        path: request.path,
                        version: request.version,
                    }),
                    Err(_) => Err(Code::MarshallingError),
                }
            }
            // Neither that nor what is nobody's but the reaper's.
            OpCode::Check | OpCode::DeleteContainer => Err(Code::Unimplemented),
            OpCode::Create
            | OpCode::Create2
            | OpCode::CreateContainer
            | OpCode::CreateTtl
            | OpCode::Delete
            | OpCode::SetData
            | OpCode::SetAcl
            | OpCode::Multi
            | OpCode::Reconfig => {
                match self.judge(desk, (*session, owner), ids, *op, body, &mut text) {
                    Ok(body) => Ok(body),
                    Err(Refusal::Undecodable) => Err(Code::MarshallingError),
                    Err(Refusal::Stop(Stop::Code(code))) => Err(code),
                    Err(Refusal::Stop(Stop::Need(need))) => return Err(need),
                }
            }
            OpCode::Exists
            | OpCode::GetData
            | OpCode::GetAcl
            | OpCode::GetChildren
            | OpCode::GetChildren2
            | OpCode::Ping
            | OpCode::CheckWatches
            | OpCode::RemoveWatches
            | OpCode::MultiRead
            | OpCode::Auth
            | OpCode::SetWatches
            | OpCode::SetWatches2
            | OpCode::Sasl
            | OpCode::GetEphemerals
            | OpCode::GetAllChildrenNumber
            | OpCode::AddWatch
            | OpCode::WhoAmI
            | OpCode::Error => panic!("{op:?} is not taken from another server"),
        };
        let body = body.unwrap_or_else(|code| TxnBody::Error { err: code.to_i32() });
        self.propose(desk, (*session, *cxid), &body, By::Nobody);
        Ok(())
    }

    fn judge<'a>(
        &mut self,
        desk: &Desk<'_>,
        (session, owner): (SessionId, Owner),
        ids: &Ids,
        op: OpCode,
        body: &'a [u8],
        text: &'a mut String,
    ) -> Result<TxnBody<'a>, Refusal> {
        let proposed_config = self.proposed_config;
        let (allowed, allowed_ephemeral) = self.check_session(desk.config, session, owner);
        let mut p = self.prep(desk);
        p.session = session;
        p.allowed = allowed;
        p.allowed_ephemeral = allowed_ephemeral;
        p.membership = desk.membership;
        p.proposed_config = proposed_config;
        p.ids = ids;
        let body = prepare(&mut p, op, body, text, desk.config.max_field);
        if let Some(path) = p.exceeded.take() {
            let top = namespace(&path).map(Into::into);
            self.counts.quota_exceeded.extend(top);
        }
        body
    }

    /// Whether a session may write, and whether it may own nodes.
    fn check_session(
        &mut self,
        config: &Config,
        session: SessionId,
        owner: Owner,
    ) -> (Result<(), Code>, Result<(), Code>) {
        if self.local.contains(session) {
            return if self.local.is_live(session) {
                (Ok(()), Err(Code::EphemeralOnLocalSession))
            } else {
                (Err(Code::SessionExpired), Err(Code::SessionExpired))
            };
        }
        let global = self.tracker.check(session, owner);
        // One that is not known here may be local to another server, if its id is from there.
        let elsewhere = config.local_sessions
            && matches!(owner, Owner::Link(_))
            && self.tracker.owner(session).is_none()
            && (session.0 >> 56) as u8 != config.server_id;
        (if elsewhere { Ok(()) } else { global }, global)
    }

    fn propose(&mut self, desk: &mut Desk<'_>, from: (SessionId, i32), body: &TxnBody<'_>, by: By) {
        let zxid = self.issued.next();
        self.issued = zxid;
        if body.op() == OpCode::Reconfig {
            self.proposed_config = zxid.0;
        }
        let is_error = matches!(body, TxnBody::Error { .. });
        let digest = (desk.config.digest && !is_error).then(|| TxnDigest {
            version: digest::VERSION,
            digest: self.pending.digest(),
        });
        let header = TxnHeader {
            client_id: from.0.0,
            cxid: from.1,
            zxid: zxid.0,
            time: desk.now.wall_ms,
            op: body.op().to_i32(),
        };
        let mut payload =
            Vec::with_capacity(header.size() + body.size() + digest.map_or(0, |d| d.size()));
        header.encode(&mut payload);
        body.encode(&mut payload);
        if let Some(digest) = digest {
            digest.encode(&mut payload);
        }
        let payload = Bytes::from(payload);
        let touched = self.pending.take_touched();
        self.counts.changes_queued += touched.len() as u64;
        desk.out.push(Effect::Append {
            zxid,
            payload: payload.clone(),
        });
        desk.ledger.record(Record {
            zxid,
            payload,
            from,
            by,
            touched,
            prepared: true,
        });
    }
}

/// Whether a server may ask another for this.
pub(super) fn is_forwarded(op: OpCode) -> bool {
    match op {
        OpCode::Create
        | OpCode::Create2
        | OpCode::CreateContainer
        | OpCode::CreateTtl
        | OpCode::Delete
        | OpCode::DeleteContainer
        | OpCode::SetData
        | OpCode::SetAcl
        | OpCode::Multi
        | OpCode::Reconfig
        | OpCode::Check
        | OpCode::Sync
        | OpCode::CreateSession
        | OpCode::CloseSession => true,
        OpCode::Exists
        | OpCode::GetData
        | OpCode::GetAcl
        | OpCode::GetChildren
        | OpCode::GetChildren2
        | OpCode::Ping
        | OpCode::CheckWatches
        | OpCode::RemoveWatches
        | OpCode::MultiRead
        | OpCode::Auth
        | OpCode::SetWatches
        | OpCode::SetWatches2
        | OpCode::Sasl
        | OpCode::GetEphemerals
        | OpCode::GetAllChildrenNumber
        | OpCode::AddWatch
        | OpCode::WhoAmI
        | OpCode::Error => false,
    }
}

/// What a piece of work misses, of which `first` is known: all that it names, lest its rows
/// come one by one.
fn all_missing(desk: &Desk<'_>, work: &Work, first: Need) -> Vec<Need> {
    let tree = desk.tree;
    let mut missing = Vec::from([first]);
    let mut want = |path: &str| {
        let need = Need::Node(path.into());
        if missing.len() < MISSING_AT_ONCE && missing[0] != need && tree.lacks(&need) {
            missing.push(need);
        }
    };
    let (closed, multi) = match work {
        Work::Expire(session) => (Some(*session), None),
        Work::Submit(Submit::Request { origin, op, body }) => (
            (*op == OpCode::CloseSession).then_some(origin.session),
            (*op == OpCode::Multi).then_some(body),
        ),
        Work::Forwarded(asked) => (
            (asked.op == OpCode::CloseSession).then_some(asked.session),
            (asked.op == OpCode::Multi).then_some(&asked.body),
        ),
        Work::Submit(Submit::Connect { .. } | Submit::Reattach { .. }) | Work::Reap(_) => {
            (None, None)
        }
    };
    if let Some(body) = multi {
        op::multi::paths(body, desk.config.max_field, &mut want);
    }
    if let Some(session) = closed {
        tree.ephemerals_of(session).for_each(want);
    }
    missing
}

/// Containers that have had a child (or were never used for too long) and TTL nodes that
/// nobody changed for longer than they may live, childless both. A child's coming and going
/// does not count as a change.
fn reapable(config: &Config, tree: &Tree, wall_ms: i64) -> VecDeque<Box<str>> {
    let candidate = |path: &&str| {
        // A node that is not resident waits for a later check.
        let Ok(Some(node)) = tree.get(path) else {
            return false;
        };
        node.child_count() == 0 && may_reap(config, &node.stat(), wall_ms)
    };
    tree.containers()
        .chain(tree.ttls())
        .filter(candidate)
        .map(Into::into)
        .collect()
}

/// Whether a childless node's time has come.
fn may_reap(config: &Config, stat: &StatPersisted, wall_ms: i64) -> bool {
    let never_used = config.container_never_used_ms;
    let age = wall_ms - stat.mtime;
    match owner::Owner::of(stat.ephemeral_owner, config.extended) {
        owner::Owner::Container => stat.cversion > 0 || (never_used != 0 && age > never_used),
        owner::Owner::Ttl(ttl) => age > ttl,
        owner::Owner::None | owner::Owner::Session(_) => false,
    }
}
