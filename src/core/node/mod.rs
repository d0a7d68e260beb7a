//! The only writer: judges requests, issues zxids, keeps the order, and applies what is durable.
//!
//! [`Node::step`] takes inputs and never changes the tree; [`Node::apply`] changes it. In between
//! lies one queue, in the order of the zxids: transactions, and answers without one (sync, bodies
//! that cannot be decoded, re-attached sessions), which leave in their place.
//!
//! It does not know threads, time, the log or the store.
//!
//! Invariants: zxids are issued without gaps; `applied <= history_end <= issued`; what is not
//! durable is not applied; the predicted digest is that of the state after the queue.

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::format;
use alloc::sync::Arc;
use alloc::vec::Vec;

use bytes::Bytes;
use jute::{Decode, Encode, Reader};
use zk_wire::stat::StatPersisted;
use zk_wire::txn::{Txn, TxnBody, TxnDigest, TxnHeader};
use zk_wire::{Code, OpCode, digest};

use crate::config::Config;
use crate::ids::{self, ConnId, Marks, Now, SessionId, Zxid};
use crate::io::{Applied, Effect, Grant, Input, Origin, Post, Reply, Submit};
use crate::limits::MISSING_AT_ONCE;
use crate::op::{self, Apply, Stop};
use crate::owner::Owner;
use crate::pending::Pending;
use crate::session::Tracker;
use crate::tally::{Counts, namespace};
use crate::tree::{Need, Tree};
use crate::watch::Watches;

mod prepare;
mod replay;
mod reply;

use prepare::{Refusal, prep, prepare};
pub use replay::{ReplayError, Replayed, needs, replay};
use reply::{Raw, respond};

/// Work that step has taken up, from whatever side.
#[derive(Debug)]
enum Work {
    Submit(Submit),
    Expire(SessionId),
    Reap(Box<str>),
}

/// What waits to be applied or answered.
#[derive(Debug)]
enum Entry {
    Txn {
        zxid: Zxid,
        payload: Bytes,
        origin: Option<(Origin, OpCode)>,
        connect: Option<(ConnId, Grant)>,
        touched: Vec<Arc<str>>,
    },
    /// In its place behind `after`, without a transaction.
    Answer {
        after: Zxid,
        origin: Origin,
        result: Result<Vec<u8>, Code>,
    },
    Reattach {
        after: Zxid,
        conn: ConnId,
        session: SessionId,
        timeout_ms: i32,
    },
}

#[derive(Debug)]
struct Reaper {
    next_check_ms: i64,
    next_delete_ms: i64,
    found: VecDeque<Box<str>>,
}

/// See the module.
#[derive(Debug)]
pub struct Node {
    config: Arc<Config>,
    tracker: Tracker,
    pending: Pending,
    queue: VecDeque<Entry>,
    waiting: VecDeque<Work>,
    /// Rows that the first of `waiting` waits for. They are looked for before it is judged again,
    /// and asked for again only when something was loaded.
    missing: Vec<Need>,
    issued: Zxid,
    marks: Marks,
    reaper: Reaper,
    counts: Counts,
}

impl Node {
    /// A node over a tree that holds everything in the log.
    ///
    /// Every session gets its full timeout anew. Sessions that own nodes but are not in the table
    /// are closed first.
    ///
    /// # Panics
    /// The quotas of a partial tree are not settled ([`Tree::settle_quotas`]).
    pub fn recover(
        config: Arc<Config>,
        tree: &Tree,
        persisted: Zxid,
        now: Now,
        out: &mut Vec<Effect>,
    ) -> Node {
        assert!(
            tree.are_quotas_settled(),
            "the tree was not asked to settle its quotas (Tree::settle_quotas)"
        );
        let last = tree.last_zxid();
        let mut tracker = Tracker::new(config.server_id, config.tick_ms, now.wall_ms);
        for (id, timeout_ms) in tree.sessions() {
            tracker.track(id, timeout_ms, config.server_id, now.mono_ms);
        }
        let mut node = Node {
            tracker,
            pending: Pending::new(tree.digest()),
            queue: VecDeque::new(),
            waiting: VecDeque::new(),
            missing: Vec::new(),
            issued: last,
            marks: Marks {
                history_end: ids::HistoryEnd(last),
                applied: ids::Applied(last),
                persisted: ids::Persisted(persisted),
                served: ids::Served(last),
            },
            reaper: Reaper {
                next_check_ms: now.mono_ms + config.container_check_ms,
                next_delete_ms: now.mono_ms,
                found: VecDeque::new(),
            },
            counts: Counts::default(),
            config,
        };
        let orphans: Vec<SessionId> = tree
            .ephemerals()
            .map(|(id, _)| id)
            .filter(|id| !tree.has_session(*id))
            .collect();
        for id in orphans {
            node.waiting.push_back(Work::Expire(id));
        }
        node.work(tree, now, false, out);
        node
    }

    /// Settings.
    pub fn config(&self) -> &Arc<Config> {
        &self.config
    }

    /// The four zxids.
    pub fn marks(&self) -> Marks {
        self.marks
    }

    /// The last zxid that was issued.
    pub fn issued(&self) -> Zxid {
        self.issued
    }

    /// Sessions and their buckets.
    pub fn tracker(&self) -> &Tracker {
        &self.tracker
    }

    /// Transactions and answers that wait to be applied.
    pub fn unapplied(&self) -> usize {
        self.queue.len()
    }

    /// Requests and transactions that are neither applied nor answered.
    pub fn outstanding(&self) -> usize {
        self.queue.len() + self.waiting.len()
    }

    /// Whether the first request that waits to be judged misses a row that was asked for.
    pub fn is_stalled(&self) -> bool {
        !self.missing.is_empty()
    }

    /// What was done since the last call, for metrics.
    pub fn take_counts(&mut self) -> Counts {
        core::mem::take(&mut self.counts)
    }

    /// When `Input::Tick` is needed next at the latest, by the monotonic clock, milliseconds.
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

    /// Takes one input. Effects are appended in the order in which they must be carried out.
    pub fn step(&mut self, tree: &Tree, now: Now, input: Input, out: &mut Vec<Effect>) {
        let loaded = matches!(input, Input::Loaded);
        match input {
            Input::Tick => self.tick(tree, now),
            Input::Submit(submit) => self.waiting.push_back(Work::Submit(submit)),
            Input::Durable(zxid) => {
                assert!(
                    zxid <= self.issued && zxid >= self.marks.history_end.0,
                    "durable up to {zxid}, issued up to {}, before {:?}",
                    self.issued,
                    self.marks.history_end
                );
                self.marks.history_end = ids::HistoryEnd(zxid);
            }
            Input::Persisted(zxid) => {
                assert!(
                    zxid <= self.marks.applied.0 && zxid >= self.marks.persisted.0,
                    "persisted up to {zxid}: {:?}",
                    self.marks
                );
                self.marks.persisted = ids::Persisted(zxid);
            }
            Input::Touched {
                session,
                at_ms,
                timeout_ms,
            } => {
                self.tracker.touch(session, timeout_ms, at_ms);
            }
            Input::Loaded => {}
        }
        self.work(tree, now, loaded, out);
    }

    fn work(&mut self, tree: &Tree, now: Now, loaded: bool, out: &mut Vec<Effect>) {
        while let Some(need) = self.missing.last() {
            if tree.lacks(need) {
                if loaded {
                    // Not all of it has come, or it was forgotten again.
                    out.push(Effect::Load(need.clone()));
                }
                return;
            }
            self.missing.pop();
        }
        while let Some(work) = self.waiting.pop_front() {
            if let Err(need) = self.one(tree, now, &work, out) {
                self.missing = self.all_missing(tree, &work, need);
                out.extend(self.missing.iter().rev().cloned().map(Effect::Load));
                self.waiting.push_front(work);
                return;
            }
        }
    }

    /// What a piece of work misses, of which `first` is known: all that it names, lest its rows
    /// come one by one.
    fn all_missing(&self, tree: &Tree, work: &Work, first: Need) -> Vec<Need> {
        let mut missing = Vec::from([first]);
        let mut want = |path: &str| {
            let need = Need::Node(path.into());
            if missing.len() < MISSING_AT_ONCE && missing[0] != need && tree.lacks(&need) {
                missing.push(need);
            }
        };
        let closed = match work {
            Work::Expire(session) => Some(*session),
            Work::Submit(Submit::Request { origin, op, body }) => {
                if *op == OpCode::Multi {
                    op::multi::paths(body, self.config.max_field, &mut want);
                }
                (*op == OpCode::CloseSession).then_some(origin.session)
            }
            Work::Submit(Submit::Connect { .. } | Submit::Reattach { .. }) | Work::Reap(_) => None,
        };
        if let Some(session) = closed {
            tree.ephemerals_of(session).for_each(want);
        }
        missing
    }

    fn tick(&mut self, tree: &Tree, now: Now) {
        for id in self.tracker.expire(now.mono_ms) {
            self.counts.expired += 1;
            self.waiting.push_back(Work::Expire(id));
        }
        if now.mono_ms >= self.reaper.next_check_ms {
            self.reaper.next_check_ms = now.mono_ms + self.config.container_check_ms;
            self.reaper.found = self.reapable(tree, now.wall_ms);
        }
        // Java divides by the rate: by 0 no check gets as far as to delete.
        let Some(pause) = 60_000_i64.checked_div(self.config.container_max_per_minute) else {
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

    /// Containers that have had a child (or were never used for too long) and TTL nodes that
    /// nobody changed for longer than they may live, childless both. A child's coming and going
    /// does not count as a change.
    fn reapable(&self, tree: &Tree, wall_ms: i64) -> VecDeque<Box<str>> {
        let candidate = |path: &&str| {
            // A node that is not resident waits for a later check.
            let Ok(Some(node)) = tree.get(path) else {
                return false;
            };
            node.child_count() == 0 && self.may_reap(&node.stat(), wall_ms)
        };
        tree.containers()
            .chain(tree.ttls())
            .filter(candidate)
            .map(Into::into)
            .collect()
    }

    /// Whether a childless node's time has come.
    fn may_reap(&self, stat: &StatPersisted, wall_ms: i64) -> bool {
        let never_used = self.config.container_never_used_ms;
        let age = wall_ms - stat.mtime;
        match Owner::of(stat.ephemeral_owner, self.config.extended) {
            Owner::Container => stat.cversion > 0 || (never_used != 0 && age > never_used),
            Owner::Ttl(ttl) => age > ttl,
            Owner::None | Owner::Session(_) => false,
        }
    }

    fn one(
        &mut self,
        tree: &Tree,
        now: Now,
        work: &Work,
        out: &mut Vec<Effect>,
    ) -> Result<(), Need> {
        match work {
            Work::Submit(Submit::Request { origin, op, body }) => {
                self.request(tree, now, origin, *op, body, out)
            }
            Work::Submit(Submit::Connect { conn, timeout_ms }) => {
                let session = self.tracker.next_id();
                self.tracker
                    .track(session, *timeout_ms, self.config.server_id, now.mono_ms);
                let grant = Grant {
                    session,
                    timeout_ms: *timeout_ms,
                };
                let body = TxnBody::CreateSession {
                    timeout: *timeout_ms,
                };
                let by = (session, 0);
                self.propose(now, by, &body, None, Some((*conn, grant)), out);
                Ok(())
            }
            Work::Submit(Submit::Reattach {
                conn,
                session,
                timeout_ms,
            }) => {
                if self.tracker.attach(*session, *timeout_ms, now.mono_ms) {
                    self.tracker.set_owner(*session, self.config.server_id);
                }
                self.queue.push_back(Entry::Reattach {
                    after: self.issued,
                    conn: *conn,
                    session: *session,
                    timeout_ms: *timeout_ms,
                });
                Ok(())
            }
            Work::Expire(session) => self.close(tree, now, *session, None, out),
            Work::Reap(path) => {
                // Since it was found it may have been written again, or be another node. Java
                // looks at its children only, and deletes what a client has just made.
                let found = self.pending.get(tree, path)?;
                if !found.is_some_and(|node| self.may_reap(&node.stat, now.wall_ms)) {
                    return Ok(());
                }
                let mut prep = prep(
                    &self.config,
                    &mut self.pending,
                    tree,
                    self.issued.next(),
                    now,
                );
                match op::delete::prepare_container(&mut prep, path) {
                    Ok(body) => self.propose(now, (SessionId(0), 0), &body, None, None, out),
                    // It is in use again.
                    Err(Stop::Code(_)) => {}
                    Err(Stop::Need(need)) => return Err(need),
                }
                Ok(())
            }
        }
    }

    fn close(
        &mut self,
        tree: &Tree,
        now: Now,
        session: SessionId,
        origin: Option<(Origin, OpCode)>,
        out: &mut Vec<Effect>,
    ) -> Result<(), Need> {
        let cxid = origin.as_ref().map_or(0, |(origin, _)| origin.cxid);
        let mut prep = prep(
            &self.config,
            &mut self.pending,
            tree,
            self.issued.next(),
            now,
        );
        prep.session = session;
        match op::session::prepare_close(&mut prep) {
            Ok(body) => {
                self.tracker.set_closing(session);
                self.propose(now, (session, cxid), &body, origin, None, out);
                Ok(())
            }
            Err(Stop::Need(need)) => Err(need),
            Err(Stop::Code(code)) => panic!("closing {session} is refused with {code:?}"),
        }
    }

    fn request(
        &mut self,
        tree: &Tree,
        now: Now,
        origin: &Origin,
        op: OpCode,
        body: &Bytes,
        out: &mut Vec<Effect>,
    ) -> Result<(), Need> {
        let max_field = self.config.max_field;
        if op == OpCode::CloseSession {
            return self.close(tree, now, origin.session, Some((origin.clone(), op)), out);
        }
        if op == OpCode::Sync {
            let result = match op::sync::answer(body, max_field) {
                Ok(reply) => Ok(reply),
                Err(Stop::Code(code)) => Err(code),
                Err(Stop::Need(need)) => return Err(need),
            };
            self.queue.push_back(Entry::Answer {
                after: self.issued,
                origin: origin.clone(),
                result,
            });
            return Ok(());
        }
        let live = self.tracker.is_live(origin.session);
        let config = self.config.clone();
        let mut p = prep(&config, &mut self.pending, tree, self.issued.next(), now);
        p.session = origin.session;
        p.session_live = live;
        p.ids = &origin.ids;
        let body = prepare(&mut p, op, body, max_field);
        if let Some(path) = p.exceeded.take() {
            let top = namespace(&path).map(Into::into);
            self.counts.quota_exceeded.extend(top);
        }
        let body = match body {
            Ok(body) => body,
            Err(Refusal::Undecodable) => {
                // No transaction: it must never reach another server (Java logs one under the
                // zxid before and an ensemble stops at it).
                self.queue.push_back(Entry::Answer {
                    after: self.issued,
                    origin: origin.clone(),
                    result: Err(Code::MarshallingError),
                });
                return Ok(());
            }
            Err(Refusal::Stop(Stop::Code(code))) => TxnBody::Error { err: code.to_i32() },
            Err(Refusal::Stop(Stop::Need(need))) => return Err(need),
        };
        let by = (origin.session, origin.cxid);
        self.propose(now, by, &body, Some((origin.clone(), op)), None, out);
        Ok(())
    }

    fn propose(
        &mut self,
        now: Now,
        by: (SessionId, i32),
        body: &TxnBody<'_>,
        origin: Option<(Origin, OpCode)>,
        connect: Option<(ConnId, Grant)>,
        out: &mut Vec<Effect>,
    ) {
        let zxid = self.issued.next();
        self.issued = zxid;
        let is_error = matches!(body, TxnBody::Error { .. });
        let digest = (self.config.digest && !is_error).then(|| TxnDigest {
            version: digest::VERSION,
            digest: self.pending.digest(),
        });
        let header = TxnHeader {
            client_id: by.0.0,
            cxid: by.1,
            zxid: zxid.0,
            time: now.wall_ms,
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
        out.push(Effect::Append {
            zxid,
            payload: payload.clone(),
        });
        self.queue.push_back(Entry::Txn {
            zxid,
            payload,
            origin,
            connect,
            touched,
        });
    }

    /// Whether [`Node::apply`] has something to do.
    pub fn can_apply(&self) -> bool {
        self.queue.front().is_some_and(|entry| self.ready(entry))
    }

    fn ready(&self, entry: &Entry) -> bool {
        let zxid = match entry {
            Entry::Txn { zxid, .. } => *zxid,
            Entry::Answer { after, .. } | Entry::Reattach { after, .. } => *after,
        };
        zxid <= self.marks.history_end.0
    }

    /// Applies what is durable, in order, until `budget` nodes have been visited.
    pub fn apply(
        &mut self,
        tree: &mut Tree,
        watches: &mut Watches,
        post: &mut dyn Post,
        budget: usize,
    ) -> Applied {
        let mut applied = Applied::default();
        let mut visits = 0;
        while visits < budget {
            if !self.can_apply() {
                return applied;
            }
            let Some(entry) = self.queue.pop_front() else {
                return applied;
            };
            let conn = match &entry {
                Entry::Txn { origin, .. } => origin.as_ref().map(|(origin, _)| origin.conn),
                Entry::Answer { origin, .. } => Some(origin.conn),
                Entry::Reattach { .. } => None,
            };
            if let Some(conn) = conn
                && let Err(need) = post.before_write(tree, watches, conn)
            {
                self.queue.push_front(entry);
                applied.missing = Some(need);
                return applied;
            }
            applied.entries += 1;
            visits += 1;
            match entry {
                Entry::Txn {
                    zxid,
                    payload,
                    origin,
                    connect,
                    touched,
                } => {
                    let mut a = Apply {
                        tree,
                        watches,
                        post,
                        config: &self.config,
                        zxid,
                        time_ms: 0,
                        session: SessionId(0),
                        visits: 0,
                    };
                    apply_txn(&mut a, &payload, origin.as_ref(), &mut applied.mismatches);
                    visits += a.visits;
                    self.marks.applied = ids::Applied(zxid);
                    self.marks.served = ids::Served(zxid);
                    self.pending.applied(zxid, &touched);
                    self.counts.changes_removed += touched.len() as u64;
                    self.after_session_txn(&payload, origin.as_ref(), post);
                    applied.last = Some(payload);
                    if let Some((conn, grant)) = connect {
                        post.connected(conn, Some(grant));
                    }
                }
                Entry::Answer { origin, result, .. } => {
                    let raw = result.as_ref().ok().map(|body| Raw(body));
                    let reply = Reply {
                        zxid: tree.last_zxid(),
                        err: result.as_ref().err().map_or(0, |code| code.to_i32()),
                        body: raw.as_ref().map(|raw| raw as &dyn Encode),
                        close: false,
                    };
                    post.done(origin.conn, origin.cxid, &reply);
                }
                Entry::Reattach {
                    conn,
                    session,
                    timeout_ms,
                    ..
                } => {
                    let live = self.tracker.is_live(session) && tree.has_session(session);
                    if live {
                        post.detach(session, Some(conn));
                    }
                    post.connected(
                        conn,
                        live.then_some(Grant {
                            session,
                            timeout_ms,
                        }),
                    );
                }
            }
        }
        applied.more = self.can_apply();
        applied
    }

    fn after_session_txn(
        &mut self,
        payload: &[u8],
        origin: Option<&(Origin, OpCode)>,
        post: &mut dyn Post,
    ) {
        let header = decode_header(payload);
        if header.op != OpCode::CloseSession.to_i32() {
            return;
        }
        let session = SessionId(header.client_id);
        self.tracker.remove(session);
        // Its own connection has been answered and closes behind that.
        post.detach(session, origin.map(|(origin, _)| origin.conn));
    }
}

fn decode_header(payload: &[u8]) -> TxnHeader {
    match TxnHeader::decode(&mut Reader::new(payload)) {
        Ok(header) => header,
        Err(error) => panic!("a transaction of ours without its header: {error}"),
    }
}

fn apply_txn(
    a: &mut Apply<'_>,
    payload: &[u8],
    origin: Option<&(Origin, OpCode)>,
    mismatches: &mut Vec<(Zxid, Box<str>)>,
) {
    let txn = match Txn::decode(&mut Reader::new(payload)) {
        Ok(txn) => txn,
        Err(error) => panic!("transaction {} of ours cannot be decoded: {error}", a.zxid),
    };
    a.time_ms = txn.header.time;
    a.session = SessionId(txn.header.client_id);
    let answer = op::apply(a, &txn.body);
    a.tree.set_last_zxid(a.zxid);
    a.post.applied(a.zxid, txn.header.time);
    if let Some(wrong) = mismatch(a.tree, &txn) {
        mismatches.push((a.zxid, wrong));
    }
    if let Some((origin, op)) = origin {
        let zxid = a.zxid;
        respond(&answer, &txn.body, *op, zxid, &mut |reply| {
            a.post.done(origin.conn, origin.cxid, reply);
        });
    }
}

fn mismatch(tree: &Tree, txn: &Txn<'_>) -> Option<Box<str>> {
    let expected = txn
        .digest
        .filter(|digest| digest.version == digest::VERSION)?;
    (expected.digest != tree.digest()).then(|| {
        format!(
            "digest {} after {:?}, the transaction says {}",
            tree.digest(),
            txn.body.op(),
            expected.digest
        )
        .into_boxed_str()
    })
}
