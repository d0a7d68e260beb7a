//! closeSession for every session.

use jute::Encode;
use zk_wire::OpCode;
use zk_wire::client::{RequestHeader, frame};

use super::{Class, Load, Notice, Outcome, Reply, Tag, Wake};

/// One closeSession for each session.
#[derive(Debug)]
pub struct CloseSessions {
    asked: Vec<bool>,
}

impl CloseSessions {
    /// For so many sessions.
    pub fn new(sessions: usize) -> Self {
        Self {
            asked: vec![false; sessions],
        }
    }

    /// Appends the request.
    pub fn append(xid: i32, out: &mut Vec<u8>) {
        let start = frame::begin(out);
        RequestHeader {
            xid,
            op: OpCode::CloseSession.to_i32(),
        }
        .encode(out);
        frame::finish(out, start);
    }
}

impl Load for CloseSessions {
    fn next(&mut self, session: usize, xid: i32, _: u64, out: &mut Vec<u8>) -> Option<Tag> {
        if std::mem::replace(&mut self.asked[session], true) {
            return None;
        }
        Self::append(xid, out);
        Some(Tag::default())
    }

    fn reply(&mut self, _: usize, _: Tag, reply: &Reply<'_>, _: &mut Wake) -> Outcome {
        if reply.is_ok() {
            Outcome::Aside
        } else {
            reply.outcome(Class::Write)
        }
    }

    /// Watches that a load has left go off when their nodes go.
    fn notice(&mut self, _: usize, _: &[u8], _: &mut Wake) -> Notice {
        Notice::Aside
    }
}
