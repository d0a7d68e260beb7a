//! What a learner asks its leader for its own clients.
//!
//! Owns the one queue of requests that are with the leader, the answers that have their place
//! among them, the sessions that are being validated, and who was heard of since the last ping. It
//! does not know packets: a request leaves as an effect.
//!
//! Invariants: a transaction is this server's own when session and cxid are those of the queue's
//! head, and only then, as the leader answers in the order it was asked; a body that cannot be
//! decoded never reaches the leader, for Java proposes a transaction without a zxid of its own for
//! it, at which an ensemble stops.

use alloc::collections::{BTreeMap, VecDeque};
use alloc::vec::Vec;

use bytes::Bytes;
use jute::Encode;
use zk_wire::{Code, OpCode};

use super::prepare::is_decodable;
use crate::config::Config;
use crate::ids::{ConnId, SessionId};
use crate::io::{Effect, Grant, Origin};
use crate::op::{self, Stop};

/// Who waits for a transaction.
#[derive(Clone, Debug)]
pub(super) enum Head {
    Write(Origin, OpCode),
    Connect(ConnId, Grant),
    /// A local session becomes everybody's, and nobody waits but the writes behind.
    Upgrade(SessionId),
}

#[derive(Debug)]
enum Asked {
    Txn(Head),
    /// Answered by the leader's word; the reply's body is known.
    Sync {
        origin: Origin,
        reply: Vec<u8>,
    },
    /// Of a local session, as soon as it is the first.
    Close(Origin),
    /// Answered as soon as it is the first.
    Answer {
        origin: Origin,
        result: Result<Vec<u8>, Code>,
    },
}

/// What needs no transaction.
pub(super) enum Answered {
    Reply(Origin, Result<Vec<u8>, Code>),
    /// A local session ends.
    Close(Origin),
}

/// A request of the server's own.
fn create_session(session: SessionId, timeout_ms: i32) -> Effect {
    Effect::Forward {
        session,
        cxid: 0,
        op: OpCode::CreateSession,
        body: timeout_ms.to_vec().into(),
        ids: [].into(),
    }
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Forward {
    asked: VecDeque<Asked>,
    /// By session, in the order asked.
    validating: BTreeMap<SessionId, VecDeque<(ConnId, i32)>>,
    /// Valid, and not in the tree yet.
    arriving: BTreeMap<SessionId, Vec<(ConnId, i32)>>,
    touches: BTreeMap<SessionId, i32>,
}

impl Forward {
    /// How much waits, but for what is being validated.
    pub fn len(&self) -> usize {
        self.asked.len()
    }

    /// A client's write, sync or closeSession.
    pub fn request(
        &mut self,
        config: &Config,
        origin: Origin,
        op: OpCode,
        body: Bytes,
        out: &mut Vec<Effect>,
    ) {
        let asked = if op == OpCode::Sync {
            match op::sync::answer(&body, config.max_field) {
                Ok(reply) => Asked::Sync {
                    origin: origin.clone(),
                    reply,
                },
                Err(Stop::Code(_) | Stop::Need(_)) => return self.refuse(origin),
            }
        } else if is_decodable(op, &body, config.max_field) {
            Asked::Txn(Head::Write(origin.clone(), op))
        } else {
            return self.refuse(origin);
        };
        self.asked.push_back(asked);
        out.push(Effect::Forward {
            session: origin.session,
            cxid: origin.cxid,
            op,
            body,
            ids: origin.ids,
        });
    }

    fn refuse(&mut self, origin: Origin) {
        self.answer(origin, Code::MarshallingError);
    }

    /// An error, in its place.
    pub fn answer(&mut self, origin: Origin, code: Code) {
        let result = Err(code);
        self.asked.push_back(Asked::Answer { origin, result });
    }

    /// The end of a local session, in its place.
    pub fn close_local(&mut self, origin: Origin) {
        self.asked.push_back(Asked::Close(origin));
    }

    /// A local session becomes everybody's.
    pub fn upgrade(&mut self, session: SessionId, timeout_ms: i32, out: &mut Vec<Effect>) {
        self.asked.push_back(Asked::Txn(Head::Upgrade(session)));
        out.push(create_session(session, timeout_ms));
    }

    /// A new session, whose id is this server's choice.
    pub fn connect(&mut self, conn: ConnId, grant: Grant, out: &mut Vec<Effect>) {
        self.asked.push_back(Asked::Txn(Head::Connect(conn, grant)));
        out.push(create_session(grant.session, grant.timeout_ms));
    }

    /// A session that comes from somewhere.
    pub fn reattach(
        &mut self,
        conn: ConnId,
        session: SessionId,
        timeout_ms: i32,
        out: &mut Vec<Effect>,
    ) {
        self.validating
            .entry(session)
            .or_default()
            .push_back((conn, timeout_ms));
        out.push(Effect::Revalidate {
            session,
            timeout_ms,
        });
    }

    /// The leader has judged a session: the connection that has waited for it longest.
    pub fn validated(&mut self, session: SessionId) -> Option<(ConnId, i32)> {
        let waiting = self.validating.get_mut(&session)?;
        let first = waiting.pop_front();
        if waiting.is_empty() {
            self.validating.remove(&session);
        }
        first
    }

    /// A connection waits for its session's own transaction.
    pub fn arriving(&mut self, session: SessionId, conn: ConnId, timeout_ms: i32) {
        self.arriving
            .entry(session)
            .or_default()
            .push((conn, timeout_ms));
    }

    /// A session is in the tree: these connections have waited for it. It counts as heard of.
    pub fn created(&mut self, session: SessionId, timeout_ms: i32) -> Vec<(ConnId, i32)> {
        self.touch(session, timeout_ms);
        self.arriving.remove(&session).unwrap_or_default()
    }

    /// A session is gone.
    pub fn closed(&mut self, session: SessionId) {
        self.touches.remove(&session);
    }

    /// A client was heard of.
    pub fn touch(&mut self, session: SessionId, timeout_ms: i32) {
        self.touches.insert(session, timeout_ms);
    }

    /// Who was heard of since the last call, with the timeouts that hold.
    pub fn take_touches(&mut self) -> Vec<(i64, i32)> {
        core::mem::take(&mut self.touches)
            .into_iter()
            .map(|(session, timeout_ms)| (session.0, timeout_ms))
            .collect()
    }

    /// Whether the leader owes an answer to a sync.
    pub fn has_sync(&self) -> bool {
        self.asked
            .iter()
            .any(|asked| matches!(asked, Asked::Sync { .. }))
    }

    /// The oldest sync is answered. It is the first of all unless the leader goes astray; then it
    /// keeps its place.
    pub fn synced(&mut self) {
        let oldest = self
            .asked
            .iter_mut()
            .find(|asked| matches!(asked, Asked::Sync { .. }));
        if let Some(asked) = oldest
            && let Asked::Sync { origin, reply } = asked
        {
            *asked = Asked::Answer {
                origin: origin.clone(),
                result: Ok(core::mem::take(reply)),
            };
        }
    }

    /// Whether the first of all needs no transaction.
    pub fn is_answered(&self) -> bool {
        self.answered().is_some()
    }

    /// Whose answer that is.
    pub fn answered(&self) -> Option<&Origin> {
        match self.asked.front() {
            Some(Asked::Answer { origin, .. } | Asked::Close(origin)) => Some(origin),
            Some(Asked::Txn(_) | Asked::Sync { .. }) | None => None,
        }
    }

    /// Takes that answer.
    pub fn take_answered(&mut self) -> Option<Answered> {
        match self.asked.pop_front() {
            Some(Asked::Answer { origin, result }) => Some(Answered::Reply(origin, result)),
            Some(Asked::Close(origin)) => Some(Answered::Close(origin)),
            Some(asked @ (Asked::Txn(_) | Asked::Sync { .. })) => {
                self.asked.push_front(asked);
                None
            }
            None => None,
        }
    }

    /// The first of all, if this is its transaction's session and cxid.
    pub fn head(&self, from: (SessionId, i32)) -> Option<Head> {
        let Some(Asked::Txn(head)) = self.asked.front() else {
            return None;
        };
        let own = match head {
            Head::Write(origin, _) => (origin.session, origin.cxid),
            Head::Connect(_, grant) => (grant.session, 0),
            Head::Upgrade(session) => (*session, 0),
        };
        (own == from).then(|| head.clone())
    }

    /// Takes the first of all.
    pub fn take_head(&mut self) -> Option<Head> {
        match self.asked.pop_front() {
            Some(Asked::Txn(head)) => Some(head),
            Some(asked @ (Asked::Answer { .. } | Asked::Close(_) | Asked::Sync { .. })) => {
                self.asked.push_front(asked);
                None
            }
            None => None,
        }
    }

    /// The role is over: whose requests are lost.
    pub fn rest(&mut self, lost: &mut Vec<Origin>) {
        for asked in core::mem::take(self).asked {
            match asked {
                Asked::Txn(Head::Write(origin, _))
                | Asked::Sync { origin, .. }
                | Asked::Close(origin)
                | Asked::Answer { origin, .. } => lost.push(origin),
                Asked::Txn(Head::Connect(..) | Head::Upgrade(_)) => {}
            }
        }
    }
}
