//! The only writer: judges requests, issues zxids, keeps the order, and applies what is durable
//! and certain.
//!
//! [`Node::step`] takes inputs and never changes the tree; [`Node::apply`] changes it. In between
//! lies the ledger, in the order of the zxids: transactions, and answers without one (sync, bodies
//! that cannot be decoded, re-attached sessions), which leave in their place.
//!
//! What it does with a request depends on its role: a standalone server and a leader judge it, a
//! learner asks its leader. Who becomes what, and what is committed, is told to it; so is what
//! comes from other servers. It does not know votes, packets, threads, time, the log or the store.
//!
//! Invariants: zxids are issued without gaps; `applied <= min(committed, history_end)`; what is
//! not durable or not certain is not applied; every request that was submitted gets exactly one
//! answer, though its connection may be gone, or be ended by it.

use alloc::sync::Arc;
use alloc::vec::Vec;

use bytes::Bytes;
use jute::{Decode, Reader};
use zk_wire::txn::Txn;
use zk_wire::{Code, OpCode};

use crate::acl::Ids;
use crate::config::Config;
use crate::ids::{self, ConnId, LinkId, Marks, Now, SessionId, Zxid};
use crate::io::{Applied, Effect, Input, Origin, Post, Submit};
use crate::op::reconfig::Membership;
use crate::session::{Owner, Tracker};
use crate::tally::Counts;
use crate::tree::Tree;
use crate::watch::Watches;

mod forward;
mod judge;
mod ledger;
mod prepare;
mod replay;
mod reply;

use forward::Forward;
use judge::{Desk, Forwarded, Judge, Work};
use ledger::{By, Hands, Ledger, Note, Record};
use prepare::makes_ephemerals;
pub use replay::{ReplayError, Replayed, needs, replay};

/// What the server is to its clients and peers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Alone: what is durable is certain.
    Standalone,
    /// Between two roles: nothing is taken, and what is certain is applied.
    Resting,
    /// The established leader of an epoch.
    Leader {
        /// Upper half of the zxids that it issues.
        epoch: u32,
    },
    /// Follows a leader.
    Learner {
        /// Without a vote.
        observer: bool,
    },
    /// Without a leader, for clients that are content with that.
    ReadOnly,
}

/// Why a transaction that another server sent is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unfit {
    /// Its bytes make no transaction.
    Undecodable(jute::Error),
    /// Its header has another zxid.
    Zxid(Zxid),
    /// It does not come behind this one, the last that is known.
    Order(Zxid),
}

impl core::fmt::Display for Unfit {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Unfit::Undecodable(error) => write!(f, "it cannot be decoded: {error}"),
            Unfit::Zxid(zxid) => write!(f, "its header says {zxid}"),
            Unfit::Order(end) => write!(f, "it does not come behind {end}"),
        }
    }
}

impl core::error::Error for Unfit {}

/// See the module.
#[derive(Debug)]
pub struct Node {
    config: Arc<Config>,
    role: Role,
    judge: Judge,
    ledger: Ledger,
    forward: Forward,
    membership: Option<Membership>,
}

impl Node {
    /// A standalone node over a tree that holds everything in the log.
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
        assert_settled(tree);
        let last = tree.last_zxid();
        let mut judge = Judge::new(&config, tree, Owner::Me, last, now);
        judge.close_orphans(tree);
        let ledger = Ledger::new(Marks {
            history_end: ids::HistoryEnd(last),
            committed: ids::Committed(last),
            applied: ids::Applied(last),
            persisted: ids::Persisted(persisted),
            served: ids::Served(last),
        });
        let mut node = Node {
            config,
            role: Role::Standalone,
            judge,
            ledger,
            forward: Forward::default(),
            membership: None,
        };
        node.work(tree, now, false, out);
        node
    }

    /// A server of an ensemble that has no role yet. The tree holds what is certain, or less; the
    /// log goes on to `history_end`.
    ///
    /// # Panics
    /// `history_end` lies before the tree, or the store is ahead of it.
    pub fn resting(
        config: Arc<Config>,
        tree: &Tree,
        history_end: Zxid,
        persisted: Zxid,
        now: Now,
    ) -> Node {
        let last = tree.last_zxid();
        let mut judge = Judge::new(&config, tree, Owner::None, last, now);
        judge.rest(&config);
        let ledger = Ledger::new(Marks {
            history_end: ids::HistoryEnd(history_end),
            committed: ids::Committed(last),
            applied: ids::Applied(last),
            persisted: ids::Persisted(persisted),
            served: ids::Served(tree.served_zxid()),
        });
        Node {
            config,
            role: Role::Resting,
            judge,
            ledger,
            forward: Forward::default(),
            membership: None,
        }
    }

    /// Settings.
    pub fn config(&self) -> &Arc<Config> {
        &self.config
    }

    /// What the server is now.
    pub fn role(&self) -> Role {
        self.role
    }

    /// The five zxids.
    pub fn marks(&self) -> Marks {
        self.ledger.marks
    }

    /// The last zxid that was issued here.
    pub fn issued(&self) -> Zxid {
        self.judge.issued
    }

    /// The last transaction that is known here, applied or not.
    pub fn recorded(&self) -> Zxid {
        self.ledger.end()
    }

    /// Sessions and their buckets: empty but on a standalone server and a leader.
    pub fn tracker(&self) -> &Tracker {
        &self.judge.tracker
    }

    /// Sessions that only this server knows, and their buckets.
    pub fn local_tracker(&self) -> &Tracker {
        self.judge.local.tracker()
    }

    /// Transactions and answers that wait to be applied.
    pub fn unapplied(&self) -> usize {
        self.ledger.len()
    }

    /// Requests and transactions that are neither applied nor answered.
    pub fn outstanding(&self) -> usize {
        self.ledger.len() + self.judge.waiting.len() + self.forward.len()
    }

    /// Transactions behind which other servers' syncs wait to be answered.
    pub fn pending_syncs(&self) -> usize {
        self.ledger.pending_syncs()
    }

    /// Whether the first request that waits to be judged misses a row that was asked for.
    pub fn is_stalled(&self) -> bool {
        self.judge.is_stalled()
    }

    /// What was done since the last call, for metrics.
    pub fn take_counts(&mut self) -> Counts {
        core::mem::take(&mut self.judge.counts)
    }

    /// When `Input::Tick` is needed next at the latest, by the monotonic clock, milliseconds.
    pub fn deadline_ms(&self) -> i64 {
        let own = match self.role {
            Role::Standalone | Role::Leader { .. } => self.judge.deadline_ms(),
            Role::Resting | Role::Learner { .. } | Role::ReadOnly => i64::MAX,
        };
        let local = self.judge.local.tracker().next_expiry_ms();
        local.map_or(own, |local| local.min(own))
    }

    /// Takes one input. Effects are appended in the order in which they must be carried out.
    pub fn step(&mut self, tree: &Tree, now: Now, input: Input, out: &mut Vec<Effect>) {
        let loaded = matches!(input, Input::Loaded);
        match input {
            Input::Tick => {
                self.judge.expire_local(&mut self.ledger, now);
                match self.role {
                    Role::Standalone | Role::Leader { .. } => {
                        self.judge.tick(&self.config, tree, now);
                    }
                    Role::Resting | Role::Learner { .. } | Role::ReadOnly => {}
                }
            }
            Input::Submit(submit) => match self.role {
                Role::Standalone | Role::Leader { .. } => {
                    self.judge.waiting.push_back(Work::Submit(submit));
                }
                Role::Learner { .. } => self.ask_leader(tree, now, submit, out),
                Role::ReadOnly => self.serve_local(tree, now, submit),
                Role::Resting => self.lose(submit),
            },
            Input::Durable(zxid) => {
                match self.role {
                    Role::Standalone | Role::Leader { .. } => assert!(
                        zxid <= self.judge.issued,
                        "durable up to {zxid}, issued up to {}",
                        self.judge.issued
                    ),
                    Role::Resting | Role::Learner { .. } | Role::ReadOnly => {}
                }
                self.ledger.durable(zxid);
                if self.role == Role::Standalone {
                    self.ledger.committed(zxid, out);
                }
            }
            Input::Persisted(zxid) => {
                let marks = &mut self.ledger.marks;
                assert!(
                    zxid <= marks.applied.0 && zxid >= marks.persisted.0,
                    "persisted up to {zxid}: {marks:?}"
                );
                marks.persisted = ids::Persisted(zxid);
            }
            Input::Touched {
                session,
                at_ms,
                timeout_ms,
            } => {
                if !self.judge.local.touch(session, timeout_ms, at_ms) {
                    self.touch(tree, session, timeout_ms, at_ms);
                }
            }
            Input::Loaded => {}
        }
        self.work(tree, now, loaded, out);
    }

    fn work(&mut self, tree: &Tree, now: Now, loaded: bool, out: &mut Vec<Effect>) {
        let mut desk = Desk {
            config: &self.config,
            leads: matches!(self.role, Role::Leader { .. }),
            membership: self.membership.as_ref(),
            tree,
            now,
            ledger: &mut self.ledger,
            out,
        };
        self.judge.work(&mut desk, loaded);
    }

    /// A client of this server whose session is not local was heard of.
    fn touch(&mut self, tree: &Tree, session: SessionId, timeout_ms: i32, at_ms: i64) {
        match self.role {
            Role::Standalone | Role::Leader { .. } => {
                self.judge.tracker.touch(session, timeout_ms, at_ms);
            }
            Role::Learner { .. } => {
                // A local session that has ended is nobody's.
                let may_be = !self.config.local_sessions
                    || tree.has_global_session(session)
                    || self.judge.local.is_upgrading(session);
                if may_be {
                    self.forward.touch(session, timeout_ms);
                }
            }
            Role::Resting | Role::ReadOnly => {}
        }
    }

    fn ask_leader(&mut self, tree: &Tree, now: Now, submit: Submit, out: &mut Vec<Effect>) {
        match submit {
            Submit::Request { origin, op, body } => {
                let local = &mut self.judge.local;
                let max_field = self.config.max_field;
                if op == OpCode::CloseSession && local.contains(origin.session) {
                    local.set_closing(origin.session);
                    return self.forward.close_local(origin);
                }
                if local.is_live(origin.session) && makes_ephemerals(op, &body, max_field) {
                    if self.config.local_upgrade {
                        if let Some(timeout_ms) = local.upgrade(origin.session) {
                            self.forward.upgrade(origin.session, timeout_ms, out);
                        }
                    } else if op != OpCode::Multi {
                        // A multi is refused by the leader, which does not know the session.
                        let code = Code::EphemeralOnLocalSession;
                        return self.forward.answer(origin, code);
                    }
                }
                self.forward.request(&self.config, origin, op, body, out);
            }
            Submit::Connect { conn, timeout_ms } => {
                let grant = self.judge.new_session(tree, timeout_ms);
                if self.config.local_sessions {
                    self.judge.open_local(&mut self.ledger, conn, grant, now);
                } else {
                    self.forward.connect(conn, grant, out);
                }
            }
            Submit::Reattach {
                conn,
                session,
                timeout_ms,
            } => {
                if self.judge.local.contains(session) {
                    self.reattach_local(conn, session, timeout_ms, now);
                } else {
                    self.forward.reattach(conn, session, timeout_ms, out);
                }
            }
        }
    }

    fn reattach_local(&mut self, conn: ConnId, session: SessionId, timeout_ms: i32, now: Now) {
        let valid = self.judge.local.attach(session, timeout_ms, now.mono_ms);
        self.validated(conn, session, timeout_ms, valid);
    }

    fn validated(&mut self, conn: ConnId, session: SessionId, timeout_ms: i32, valid: bool) {
        self.ledger.note_certain(Note::Validated {
            conn,
            session,
            timeout_ms,
            valid,
        });
    }

    /// Without a leader there are only local sessions, and of what is submitted only their
    /// beginning and end.
    fn serve_local(&mut self, tree: &Tree, now: Now, submit: Submit) {
        match submit {
            Submit::Request { origin, op, .. } => {
                if op == OpCode::CloseSession && self.judge.local.contains(origin.session) {
                    self.judge.local.set_closing(origin.session);
                    let note = Note::CloseLocal(origin.session, Some(origin));
                    self.ledger.note_certain(note);
                } else {
                    let result = Err(Code::NotReadOnly);
                    self.ledger.note_certain(Note::Answer { origin, result });
                }
            }
            Submit::Connect { conn, timeout_ms } => {
                let grant = self.judge.new_session(tree, timeout_ms);
                self.judge.open_local(&mut self.ledger, conn, grant, now);
            }
            Submit::Reattach {
                conn,
                session,
                timeout_ms,
            } => {
                // A session of everybody's is not over because there is no leader. This server may
                // lag behind; without local sessions any that it does not know may be one of those
                // that it lacks, and waits until there is somebody to ask.
                let valid = self.judge.local.attach(session, timeout_ms, now.mono_ms)
                    || tree.has_global_session(session)
                    || !self.config.local_sessions;
                self.validated(conn, session, timeout_ms, valid);
            }
        }
    }

    fn lose(&mut self, submit: Submit) {
        match submit {
            Submit::Request { origin, .. } => self.ledger.lose(origin),
            // Whoever has no session loses nothing with the connection.
            Submit::Connect { .. } | Submit::Reattach { .. } => {}
        }
    }

    // Roles.

    /// The role is over, whatever it was. What is certain stays to be applied; the rest is
    /// forgotten, for the log has it ([`Node::record`] brings it back). The driver ends every
    /// client's connection; requests that have no answer end theirs as well.
    pub fn rest(&mut self) {
        let mut lost: Vec<Origin> = Vec::new();
        self.ledger.rest(&mut lost);
        self.forward.rest(&mut lost);
        for work in self.judge.rest(&self.config) {
            match work {
                Work::Submit(Submit::Request { origin, .. }) => lost.push(origin),
                Work::Submit(Submit::Connect { .. } | Submit::Reattach { .. })
                | Work::Forwarded(_)
                | Work::Expire(_)
                | Work::Reap(_) => {}
            }
        }
        self.ledger.forget_local();
        for origin in lost {
            self.ledger.lose(origin);
        }
        self.membership = None;
        self.role = Role::Resting;
    }

    /// The leader of `epoch` is established: its whole history is applied and certain. Sessions
    /// have their full timeout anew, and are nobody's; those that own nodes but are not in the
    /// table are closed first. Clients are shown the epoch's zxid before it has a transaction.
    ///
    /// # Panics
    /// A role is not over, something is not applied, the epoch is not a new one, or the quotas of a
    /// partial tree are not settled.
    pub fn lead(&mut self, tree: &Tree, epoch: u32, now: Now, out: &mut Vec<Effect>) {
        let marks = self.ledger.marks;
        let first = Zxid(i64::from(epoch) << 32);
        assert!(
            self.role == Role::Resting
                && marks.applied.0 == marks.history_end.0
                && marks.applied.0 == marks.committed.0
                && self.ledger.end() == marks.applied.0
                && first > marks.applied.0,
            "{:?} leads epoch {epoch:#x} at {marks:?}, with records up to {}",
            self.role,
            self.ledger.end()
        );
        assert_settled(tree);
        let before = core::mem::replace(
            &mut self.judge,
            Judge::new(&self.config, tree, Owner::None, first, now),
        );
        self.judge.go_on(before);
        self.judge.close_orphans(tree);
        self.role = Role::Leader { epoch };
        self.ledger.note(Note::Serve(first));
        self.work(tree, now, false, out);
    }

    /// A leader is followed, and everything that it had committed when it said so is applied here
    /// or told by [`Node::record`] and [`Node::committed`].
    ///
    /// # Panics
    /// A role is not over.
    pub fn learn(&mut self, observer: bool) {
        assert!(
            self.role == Role::Resting,
            "{:?} becomes a learner",
            self.role
        );
        self.role = Role::Learner { observer };
    }

    /// No leader is to be found, and clients may read.
    ///
    /// # Panics
    /// A role is not over.
    pub fn read_only(&mut self) {
        assert!(
            self.role == Role::Resting,
            "{:?} becomes read-only",
            self.role
        );
        self.role = Role::ReadOnly;
    }

    /// The tree was replaced by another, which the log follows, and nothing of the old one holds.
    ///
    /// # Panics
    /// A role is not over.
    pub fn replaced(&mut self, tree: &Tree, history_end: Zxid, persisted: Zxid, now: Now) {
        assert!(
            self.role == Role::Resting,
            "{:?} has its tree replaced",
            self.role
        );
        let mut lost = Vec::new();
        self.ledger.rest(&mut lost);
        let new = Node::resting(self.config.clone(), tree, history_end, persisted, now);
        let before = core::mem::replace(self, new);
        self.judge.go_on(before.judge);
        for origin in lost {
            self.ledger.lose(origin);
        }
    }

    // What other servers say.

    /// Whether a transaction's bytes can be recorded as `zxid`. To be asked before they are
    /// appended to the log, for what is in the log is applied.
    ///
    /// # Errors
    /// Why not.
    pub fn judge_payload(zxid: Zxid, payload: &[u8]) -> Result<(SessionId, i32), Unfit> {
        let txn = Txn::decode(&mut Reader::new(payload)).map_err(Unfit::Undecodable)?;
        if txn.header.zxid != zxid.0 {
            return Err(Unfit::Zxid(Zxid(txn.header.zxid)));
        }
        Ok((SessionId(txn.header.client_id), txn.header.cxid))
    }

    /// A transaction that a leader proposed, or that is read back from the log. It is applied once
    /// it is durable here and certain.
    ///
    /// # Errors
    /// Its bytes do not fit; nothing was changed.
    pub fn record(&mut self, zxid: Zxid, payload: Bytes) -> Result<(), Unfit> {
        let from = Node::judge_payload(zxid, &payload)?;
        let end = self.ledger.end();
        if zxid <= end {
            return Err(Unfit::Order(end));
        }
        self.ledger.record(Record {
            zxid,
            payload,
            from,
            by: By::Nobody,
            touched: Vec::new(),
            prepared: false,
        });
        Ok(())
    }

    /// Everything up to `zxid` is certain.
    ///
    /// On a leader this is to be said of each transaction by itself, when its commit was sent and
    /// before that of the next is: what comes of it, [`Effect::SyncReply`], leaves in between. A
    /// learner takes the commit of a write that was asked for behind a sync for somebody else's
    /// as long as the sync has no answer, and so does Java's.
    ///
    /// # Panics
    /// It was further already.
    pub fn committed(&mut self, zxid: Zxid, out: &mut Vec<Effect>) {
        self.ledger.committed(zxid, out);
    }

    /// The log was cut behind `zxid`.
    ///
    /// # Panics
    /// What is applied was cut.
    pub fn cut(&mut self, zxid: Zxid) {
        self.ledger.cut(zxid);
    }

    /// The tree came from another server, which went on serving while it sent it: what is in it may
    /// be of any state up to `zxid`, so that transactions up to there may find their work done,
    /// and the tree's digest is none before.
    pub fn set_fuzzy_until(&mut self, zxid: Zxid) {
        self.ledger.fuzzy_until = zxid;
    }

    /// The configuration of the ensemble is this, of this version: what clients read of it, in
    /// which no transaction has a part. Every server has it from its own file or its leader.
    pub fn set_config(&mut self, text: Bytes, version: i64, now: Now) {
        self.ledger.note_certain(Note::Config {
            text,
            version,
            wall_ms: now.wall_ms,
        });
    }

    /// On a leader: what a reconfiguration is judged by from now on. Without it there is none.
    pub fn set_membership(&mut self, membership: Option<Membership>) {
        self.membership = membership;
    }

    /// On a leader: what a client of the server behind `link` asks. Returns whether it is
    /// something that servers ask; then it becomes one transaction, or one
    /// [`Effect::SyncReply`].
    #[allow(clippy::too_many_arguments)]
    pub fn request_from(
        &mut self,
        tree: &Tree,
        now: Now,
        link: LinkId,
        (session, cxid): (SessionId, i32),
        op: OpCode,
        body: Bytes,
        ids: Ids,
        out: &mut Vec<Effect>,
    ) -> bool {
        if !matches!(self.role, Role::Leader { .. }) || !judge::is_forwarded(op) {
            return false;
        }
        self.judge.waiting.push_back(Work::Forwarded(Forwarded {
            link,
            session,
            cxid,
            op,
            body,
            ids,
        }));
        self.work(tree, now, false, out);
        true
    }

    /// On a leader: a client that the server behind `link` has now. Returns whether its session
    /// lives; then it is that server's from now on.
    pub fn revalidate(
        &mut self,
        now: Now,
        link: LinkId,
        session: SessionId,
        timeout_ms: i32,
    ) -> bool {
        let tracker = &mut self.judge.tracker;
        let lives = tracker.attach(session, timeout_ms, now.mono_ms);
        if lives {
            tracker.set_owner(session, Owner::Link(link));
            self.ledger.note(Note::Moved(session));
        }
        lives
    }

    /// Another server has heard of a client: a learner of this leader, or an observer that this
    /// follower serves, which tells its leader.
    pub fn touched(&mut self, now: Now, session: SessionId, timeout_ms: i32) {
        match self.role {
            Role::Learner { .. } => self.forward.touch(session, timeout_ms),
            Role::Standalone | Role::Leader { .. } | Role::Resting | Role::ReadOnly => {
                self.judge.tracker.touch(session, timeout_ms, now.mono_ms);
            }
        }
    }

    /// On a leader: the link is gone. Sessions that were its clients' stay its own until they come
    /// back by another way.
    pub fn unlinked(&mut self, link: LinkId) {
        self.ledger.unlinked(link);
    }

    /// On a learner: the leader says whether a session lives. Returns whether it was asked.
    pub fn revalidated(&mut self, session: SessionId, valid: bool) -> bool {
        let Some((conn, timeout_ms)) = self.forward.validated(session) else {
            return false;
        };
        self.ledger.note_certain(Note::Validated {
            conn,
            session,
            timeout_ms,
            valid,
        });
        true
    }

    /// On a learner: the leader has answered the oldest sync. Returns whether there was one.
    pub fn synced(&mut self) -> bool {
        let awaited = self.forward.has_sync();
        if awaited {
            self.ledger.note_certain(Note::Synced);
        }
        awaited
    }

    /// On a learner: sessions that were heard of since the last call, and their timeouts in
    /// milliseconds, for the answer to the leader's ping.
    pub fn take_touches(&mut self) -> Vec<(i64, i32)> {
        self.forward.take_touches()
    }

    // The tree's changes.

    /// Whether [`Node::apply`] has something to do.
    pub fn can_apply(&self) -> bool {
        self.ledger.can_apply(&self.forward)
    }

    /// Applies what is durable and certain, in order, until `budget` nodes have been visited.
    pub fn apply(
        &mut self,
        tree: &mut Tree,
        watches: &mut Watches,
        post: &mut dyn Post,
        budget: usize,
    ) -> Applied {
        let mut hands = Hands {
            config: &self.config,
            judge: &mut self.judge,
            forward: &mut self.forward,
            tree,
            watches,
            post,
        };
        self.ledger.apply(&mut hands, budget)
    }
}

fn assert_settled(tree: &Tree) {
    assert!(
        tree.are_quotas_settled(),
        "the tree was not asked to settle its quotas (Tree::settle_quotas)"
    );
}

#[cfg(test)]
mod tests;
