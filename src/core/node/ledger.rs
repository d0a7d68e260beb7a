//! What is decided and not applied yet: records in the order of their zxids, and answers that have
//! their place between them.
//!
//! Owns that order and the five zxids. It does not know how a request became a record: its own
//! server's judge or another server's has decided. A record that was prepared elsewhere may name
//! rows that are not resident; it waits for them.
//!
//! Invariants: a record is applied when it is durable here and certain; an answer leaves when
//! everything that was before it is applied; `applied <= min(committed, history_end)`.

use alloc::boxed::Box;
use alloc::collections::{BTreeSet, VecDeque};
use alloc::format;
use alloc::sync::Arc;
use alloc::vec::Vec;

use bytes::Bytes;
use jute::{Decode, Encode, Reader};
use zk_wire::txn::{Txn, TxnBody};
use zk_wire::{Code, OpCode, digest};

use super::forward::{Answered, Forward, Head};
use super::judge::Judge;
use super::replay::needs;
use super::reply::{Raw, respond};
use crate::config::Config;
use crate::ids::{self, ConnId, LinkId, Marks, SessionId, Zxid};
use crate::io::{Applied, Effect, Grant, Origin, Post, Reply};
use crate::limits::{LOOK_AHEAD, MISSING_AT_ONCE};
use crate::op::reconfig::CONFIG;
use crate::op::{self, Apply};
use crate::tree::{Need, Tree};
use crate::watch::Watches;

/// Who is told when a record is applied.
#[derive(Debug)]
pub(super) enum By {
    Nobody,
    Request(Origin, OpCode),
    Connect(ConnId, Grant),
}

/// A transaction that is not applied.
#[derive(Debug)]
pub(super) struct Record {
    pub zxid: Zxid,
    pub payload: Bytes,
    /// Session and cxid: what its own server knows it by.
    pub from: (SessionId, i32),
    pub by: By,
    pub touched: Vec<Arc<str>>,
    /// Whether it was prepared here, and so everything that it names is resident.
    pub prepared: bool,
}

/// What happens in its place, without a transaction.
#[derive(Debug)]
pub(super) enum Note {
    Answer {
        origin: Origin,
        result: Result<Vec<u8>, Code>,
    },
    /// Whether the session lives is looked up then.
    Reattach {
        conn: ConnId,
        session: SessionId,
        timeout_ms: i32,
    },
    /// The leader says that the session lives, or not.
    Validated {
        conn: ConnId,
        session: SessionId,
        timeout_ms: i32,
        valid: bool,
    },
    /// The session is another server's client by now.
    Moved(SessionId),
    /// The leader has answered the oldest sync.
    Synced,
    /// A session that only this server knows begins.
    OpenLocal(ConnId, Grant),
    /// Such a session ends, at its client's wish or not.
    CloseLocal(SessionId, Option<Origin>),
    /// All of them end, unheard.
    ForgetLocal,
    /// The configuration node has this text, of this version, without a transaction.
    Config {
        text: Bytes,
        version: i64,
        wall_ms: i64,
    },
    /// Clients see at least this zxid.
    Serve(Zxid),
    /// What became of the request nobody knows here: the connection ends without a reply.
    Lost(Origin),
}

enum Next {
    Forwarded,
    Note,
    Record,
}

/// What is applied, and to what.
pub(super) struct Hands<'a> {
    pub config: &'a Config,
    pub judge: &'a mut Judge,
    pub forward: &'a mut Forward,
    pub tree: &'a mut Tree,
    pub watches: &'a mut Watches,
    pub post: &'a mut dyn Post,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Ledger {
    records: VecDeque<Record>,
    /// Each behind the record of this zxid.
    notes: VecDeque<(Zxid, Note)>,
    /// Of other servers: each is answered once this zxid is committed.
    syncs: VecDeque<(Zxid, LinkId)>,
    /// Up to here the tree may be of a later state than it says.
    pub fuzzy_until: Zxid,
    pub marks: Marks,
}

impl Ledger {
    /// Everything up to `marks.applied` is in the tree, and nothing waits.
    pub fn new(marks: Marks) -> Ledger {
        let ledger = Ledger {
            records: VecDeque::new(),
            notes: VecDeque::new(),
            syncs: VecDeque::new(),
            fuzzy_until: Zxid::ZERO,
            marks,
        };
        ledger.check();
        ledger
    }

    /// The last record, applied or not.
    pub fn end(&self) -> Zxid {
        self.records
            .back()
            .map_or(self.marks.applied.0, |record| record.zxid)
    }

    /// How much waits.
    pub fn len(&self) -> usize {
        self.records.len() + self.notes.len()
    }

    pub fn record(&mut self, record: Record) {
        let end = self.end();
        assert!(record.zxid > end, "record {} behind {end}", record.zxid);
        self.records.push_back(record);
    }

    /// In its place behind all records.
    pub fn note(&mut self, note: Note) {
        self.note_after(self.end(), note);
    }

    /// Behind all that is certain, in front of what is not. Some of what is certain may not be here
    /// yet: a learner reads from its log what came while it was synchronised.
    pub fn note_certain(&mut self, note: Note) {
        self.note_after(self.marks.committed.0, note);
    }

    fn note_after(&mut self, after: Zxid, note: Note) {
        let last = self.notes.back().map_or(after, |(last, _)| *last);
        self.notes.push_back((after.max(last), note));
    }

    /// Another server's sync: answered behind the commits of what was proposed before.
    pub fn sync(&mut self, link: LinkId, out: &mut Vec<Effect>) {
        let end = self.end();
        if end <= self.marks.committed.0 {
            out.push(Effect::SyncReply { link });
        } else {
            self.syncs.push_back((end, link));
        }
    }

    /// Transactions behind which syncs wait.
    pub fn pending_syncs(&self) -> usize {
        let mut behind = Zxid::ZERO;
        let mut count = 0;
        for (zxid, _) in &self.syncs {
            count += usize::from(*zxid != behind);
            behind = *zxid;
        }
        count
    }

    /// A link is gone, and nobody waits for its answers.
    pub fn unlinked(&mut self, link: LinkId) {
        self.syncs.retain(|(_, of)| *of != link);
    }

    /// Everything up to `zxid` is certain.
    pub fn committed(&mut self, zxid: Zxid, out: &mut Vec<Effect>) {
        let before = self.marks.committed.0;
        assert!(zxid >= before, "committed {zxid} after {before}");
        self.marks.committed = ids::Committed(zxid);
        while let Some((after, link)) = self.syncs.front().copied()
            && after <= zxid
        {
            self.syncs.pop_front();
            out.push(Effect::SyncReply { link });
        }
    }

    /// The log is durable up to `zxid`.
    pub fn durable(&mut self, zxid: Zxid) {
        let before = self.marks.history_end.0;
        assert!(zxid >= before, "durable {zxid} after {before}");
        self.marks.history_end = ids::HistoryEnd(zxid);
    }

    /// The log was cut behind `zxid`.
    pub fn cut(&mut self, zxid: Zxid) {
        self.marks.history_end = ids::HistoryEnd(zxid);
        self.check();
        self.records.retain(|record| record.zxid <= zxid);
    }

    fn check(&self) {
        let Marks {
            history_end,
            committed,
            applied,
            persisted,
            served,
        } = self.marks;
        assert!(
            applied.0 <= committed.0
                && applied.0 <= history_end.0
                && persisted.0 <= applied.0
                && applied.0 <= served.0,
            "{:?}",
            self.marks
        );
    }

    /// The role is over. What is not certain is forgotten, being in the log, and so is who was to
    /// be told: their requests are handed over.
    pub fn rest(&mut self, lost: &mut Vec<Origin>) {
        let certain = self.marks.committed.0;
        let mut tell = |by: By| match by {
            By::Request(origin, _) => lost.push(origin),
            By::Nobody | By::Connect(..) => {}
        };
        for record in &mut self.records {
            tell(core::mem::replace(&mut record.by, By::Nobody));
            record.touched = Vec::new();
        }
        self.records.retain(|record| record.zxid <= certain);
        let at = self.marks.applied.0;
        for (_, note) in core::mem::take(&mut self.notes) {
            match note {
                Note::Answer { origin, .. }
                | Note::Lost(origin)
                | Note::CloseLocal(_, Some(origin)) => lost.push(origin),
                Note::Serve(_) | Note::ForgetLocal | Note::Config { .. } => {
                    self.notes.push_back((at, note));
                }
                Note::OpenLocal(..)
                | Note::CloseLocal(_, None)
                | Note::Reattach { .. }
                | Note::Validated { .. }
                | Note::Moved(_)
                | Note::Synced => {}
            }
        }
        self.syncs.clear();
    }

    /// Sessions that only this server knew are over.
    pub fn forget_local(&mut self) {
        self.note_after(self.marks.applied.0, Note::ForgetLocal);
    }

    /// A request of which nothing is known any more.
    pub fn lose(&mut self, origin: Origin) {
        self.note_after(self.marks.applied.0, Note::Lost(origin));
    }

    fn next(&self, forward: &Forward) -> Option<Next> {
        if forward.is_answered() {
            return Some(Next::Forwarded);
        }
        let applied = self.marks.applied.0;
        if self
            .notes
            .front()
            .is_some_and(|(after, _)| *after <= applied)
        {
            return Some(Next::Note);
        }
        let bound = self.marks.committed.0.min(self.marks.history_end.0);
        let ready = self
            .records
            .front()
            .is_some_and(|record| record.zxid <= bound);
        ready.then_some(Next::Record)
    }

    pub fn can_apply(&self, forward: &Forward) -> bool {
        self.next(forward).is_some()
    }

    /// Applies what may be applied, in order, until `budget` nodes have been visited.
    pub fn apply(&mut self, hands: &mut Hands<'_>, budget: usize) -> Applied {
        let mut applied = Applied::default();
        let mut visits = 0;
        while visits < budget {
            let Some(next) = self.next(hands.forward) else {
                return applied;
            };
            let done = match next {
                Next::Forwarded => answer_forwarded(hands),
                Next::Note => self.apply_note(hands),
                Next::Record => self.apply_record(hands, &mut applied, &mut visits),
            };
            if let Err(need) = done {
                applied.also = self.look_ahead(hands.tree, &need);
                applied.missing = Some(need);
                return applied;
            }
            applied.entries += 1;
            visits += 1;
        }
        applied.more = self.can_apply(hands.forward);
        applied
    }

    /// What the next records miss beside `first`, lest their rows come one by one. What was prepared
    /// here misses nothing.
    fn look_ahead(&self, tree: &Tree, first: &Need) -> Vec<Need> {
        let mut found = BTreeSet::new();
        for record in self.records.iter().take(LOOK_AHEAD) {
            if !record.prepared {
                found.extend(needs(tree, &decode(record.zxid, &record.payload)));
            }
            if found.len() >= MISSING_AT_ONCE {
                break;
            }
        }
        found.remove(first);
        // That is everything, and not what is looked for.
        found.remove(&Need::All);
        found.into_iter().take(MISSING_AT_ONCE).collect()
    }

    fn apply_note(&mut self, hands: &mut Hands<'_>) -> Result<(), Need> {
        if let Some((_, Note::Answer { origin, .. } | Note::CloseLocal(_, Some(origin)))) =
            self.notes.front()
        {
            hands
                .post
                .before_write(hands.tree, hands.watches, origin.conn)?;
        }
        if let Some((_, Note::Config { .. })) = self.notes.front() {
            hands.tree.settle_quotas()?;
            hands.tree.get(CONFIG)?;
        }
        if let Some((_, Note::Synced)) = self.notes.front() {
            hands.forward.synced();
            self.notes.pop_front();
            return Ok(());
        }
        let Some((_, note)) = self.notes.pop_front() else {
            return Ok(());
        };
        let post = &mut *hands.post;
        match note {
            Note::Answer { origin, result } => answer(hands.tree, post, &origin, &result),
            Note::Reattach {
                conn,
                session,
                timeout_ms,
            } => {
                let judge = &hands.judge;
                let known = judge.tracker.is_live(session) || judge.local.is_live(session);
                let live = known && hands.tree.has_session(session);
                reattach(post, conn, session, timeout_ms, live);
            }
            Note::Validated {
                conn,
                session,
                timeout_ms,
                valid,
            } => {
                if valid && !hands.tree.has_session(session) {
                    // It was just made, and its transaction is still to come.
                    hands.forward.arriving(session, conn, timeout_ms);
                } else {
                    reattach(post, conn, session, timeout_ms, valid);
                }
            }
            Note::Moved(session) => post.detach(session, None),
            Note::Synced => {}
            Note::OpenLocal(conn, grant) => {
                hands.tree.open_local_session(grant.session);
                post.connected(conn, Some(grant));
            }
            Note::CloseLocal(session, origin) => close_local(hands, session, origin),
            Note::Config {
                text,
                version,
                wall_ms,
            } => {
                // Java's versions of it are always -1. A tree of before there was such a node has
                // none, and goes on without.
                let set = hands
                    .tree
                    .set_data(CONFIG, Some(&text), -1, Zxid(version), wall_ms);
                if set.is_ok() {
                    post.wrote(CONFIG, text.len());
                }
            }
            Note::ForgetLocal => hands.tree.close_local_sessions(),
            Note::Serve(zxid) => {
                hands.tree.serve_from(zxid);
                self.marks.served = ids::Served(hands.tree.served_zxid());
            }
            Note::Lost(origin) => {
                let lost = Err(Code::ConnectionLoss);
                answer(hands.tree, post, &origin, &lost);
            }
        }
        Ok(())
    }

    fn apply_record(
        &mut self,
        hands: &mut Hands<'_>,
        applied: &mut Applied,
        visits: &mut usize,
    ) -> Result<(), Need> {
        let Some(record) = self.records.front() else {
            return Ok(());
        };
        let head = match record.by {
            By::Nobody => hands.forward.head(record.from),
            By::Request(..) | By::Connect(..) => None,
        };
        let conn = match (&record.by, &head) {
            (By::Request(origin, _), _) | (_, Some(Head::Write(origin, _))) => Some(origin.conn),
            (By::Nobody | By::Connect(..), _) => None,
        };
        if let Some(conn) = conn {
            hands.post.before_write(hands.tree, hands.watches, conn)?;
        }
        if !record.prepared && !hands.tree.is_complete() {
            hands.tree.settle_quotas()?;
            let txn = decode(record.zxid, &record.payload);
            if let Some(need) = needs(hands.tree, &txn).into_iter().next() {
                return Err(need);
            }
        }
        let Some(record) = self.records.pop_front() else {
            return Ok(());
        };
        let zxid = record.zxid;
        let by = match head {
            Some(_) => match hands.forward.take_head() {
                Some(Head::Write(origin, op)) => By::Request(origin, op),
                Some(Head::Connect(conn, grant)) => By::Connect(conn, grant),
                Some(Head::Upgrade(_)) | None => By::Nobody,
            },
            None => record.by,
        };
        let txn = decode(zxid, &record.payload);
        let mut a = Apply {
            tree: hands.tree,
            watches: hands.watches,
            post: hands.post,
            config: hands.config,
            zxid,
            time_ms: txn.header.time,
            session: SessionId(txn.header.client_id),
            visits: 0,
        };
        let answer = op::apply(&mut a, &txn.body);
        a.tree.set_last_zxid(zxid);
        a.post.applied(zxid, txn.header.time);
        if zxid > self.fuzzy_until && expected(&txn).is_some() {
            match mismatch(a.tree, &txn) {
                Some(wrong) => applied.mismatches.push((zxid, wrong)),
                None => applied.same = Some(zxid),
            }
        }
        if let By::Request(origin, op) = &by {
            respond(&answer, &txn.body, *op, zxid, &mut |reply| {
                a.post.done(origin.conn, origin.cxid, reply);
            });
        }
        let failed = matches!(answer, op::Answer::Error(_));
        *visits += a.visits;
        self.marks.applied = ids::Applied(zxid);
        self.marks.served = ids::Served(hands.tree.served_zxid());
        self.check();
        hands.judge.pending.applied(zxid, &record.touched);
        hands.judge.counts.changes_removed += record.touched.len() as u64;
        after_session_txn(hands, &txn, &by);
        if let By::Connect(conn, grant) = by {
            hands.post.connected(conn, (!failed).then_some(grant));
        }
        applied.last = Some(record.payload);
        Ok(())
    }
}

/// An answer that stood behind forwarded requests.
fn answer_forwarded(hands: &mut Hands<'_>) -> Result<(), Need> {
    if let Some(origin) = hands.forward.answered() {
        hands
            .post
            .before_write(hands.tree, hands.watches, origin.conn)?;
    }
    match hands.forward.take_answered() {
        Some(Answered::Reply(origin, result)) => {
            answer(hands.tree, hands.post, &origin, &result);
        }
        Some(Answered::Close(origin)) => close_local(hands, origin.session, Some(origin)),
        None => {}
    }
    Ok(())
}

/// A session that only this server knows ends. It may have become everybody's before it was its
/// turn, and then it goes on.
fn close_local(hands: &mut Hands<'_>, session: SessionId, origin: Option<Origin>) {
    hands.judge.local.remove(session);
    hands.tree.close_local_session(session);
    let own = origin.as_ref().map(|origin| origin.conn);
    if let Some(origin) = origin {
        let reply = Reply {
            zxid: hands.tree.served_zxid(),
            err: 0,
            body: None,
            close: true,
        };
        hands.post.done(origin.conn, origin.cxid, &reply);
    }
    if !hands.tree.has_session(session) {
        hands.post.detach(session, own);
    }
}

fn answer(tree: &Tree, post: &mut dyn Post, origin: &Origin, result: &Result<Vec<u8>, Code>) {
    let raw = result.as_ref().ok().map(|body| Raw(body));
    let reply = Reply {
        zxid: tree.served_zxid(),
        err: result.as_ref().err().map_or(0, |code| code.to_i32()),
        body: raw.as_ref().map(|raw| raw as &dyn Encode),
        close: false,
    };
    post.done(origin.conn, origin.cxid, &reply);
}

fn reattach(post: &mut dyn Post, conn: ConnId, session: SessionId, timeout_ms: i32, live: bool) {
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

fn after_session_txn(hands: &mut Hands<'_>, txn: &Txn<'_>, by: &By) {
    let session = SessionId(txn.header.client_id);
    match txn.body {
        TxnBody::CreateSession { timeout } => {
            hands.judge.local.remove(session);
            hands.tree.close_local_session(session);
            for (conn, timeout_ms) in hands.forward.created(session, timeout) {
                reattach(hands.post, conn, session, timeout_ms, true);
            }
        }
        TxnBody::CloseSession { .. } => {
            hands.judge.tracker.remove(session);
            hands.judge.local.remove(session);
            hands.tree.close_local_session(session);
            hands.forward.closed(session);
            // Its own connection has been answered and closes behind that.
            let own = match by {
                By::Request(origin, _) => Some(origin.conn),
                By::Nobody | By::Connect(..) => None,
            };
            hands.post.detach(session, own);
        }
        TxnBody::Error { .. }
        | TxnBody::Create { .. }
        | TxnBody::CreateContainer { .. }
        | TxnBody::CreateTtl { .. }
        | TxnBody::Delete { .. }
        | TxnBody::SetData { .. }
        | TxnBody::SetAcl { .. }
        | TxnBody::Check { .. }
        | TxnBody::Multi(_) => {}
    }
}

fn decode(zxid: Zxid, payload: &[u8]) -> Txn<'_> {
    match Txn::decode(&mut Reader::new(payload)) {
        Ok(txn) => txn,
        Err(error) => panic!("transaction {zxid} cannot be decoded: {error}"),
    }
}

/// The digest that a transaction leads to, if it says so.
fn expected(txn: &Txn<'_>) -> Option<u64> {
    let digest = txn.digest?;
    (digest.version == digest::VERSION).then_some(digest.digest)
}

/// How the tree's digest differs from the transaction's, if it does.
pub(super) fn mismatch(tree: &Tree, txn: &Txn<'_>) -> Option<Box<str>> {
    let expected = expected(txn)?;
    (expected != tree.digest()).then(|| {
        format!(
            "digest {} after {:?}, the transaction says {expected}",
            tree.digest(),
            txn.body.op(),
        )
        .into_boxed_str()
    })
}
