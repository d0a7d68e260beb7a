//! ephemeral: each session creates and deletes ephemeral znodes of its own, in turn.

use zk_wire::{Code, OpCode};

use super::{Class, Load, Outcome, Reply, Tag, Wake};
use crate::template::{Data, Names, Template};

const CREATE: u32 = 1;
const DELETE: u32 = 0;

/// Create and delete of ephemeral znodes; both count.
#[derive(Debug)]
pub struct Ephemeral {
    create: Template,
    delete: Template,
    data: Data,
    per_session: u32,
    turn: Vec<u32>,
    issued: Vec<bool>,
    exists: Vec<bool>,
}

impl Ephemeral {
    /// `per_session` znodes for each session.
    pub fn new(names: &Names, data: &Data, sessions: u32, per_session: u32) -> Self {
        let keys = (sessions * per_session) as usize;
        Self {
            create: Template::create(names, data, 1),
            delete: Template::delete(names),
            data: data.clone(),
            per_session,
            turn: vec![0; sessions as usize],
            issued: vec![false; keys],
            exists: vec![false; keys],
        }
    }

    /// For each key whether it was there after the last acknowledged request, and its session.
    pub fn state(&self) -> (Vec<bool>, u32) {
        (self.exists.clone(), self.per_session)
    }
}

impl Load for Ephemeral {
    #[inline]
    fn next(&mut self, session: usize, xid: i32, _: u64, out: &mut Vec<u8>) -> Option<Tag> {
        let turn = &mut self.turn[session];
        let key = session as u32 * self.per_session + *turn;
        *turn = (*turn + 1) % self.per_session;
        let issued = &mut self.issued[key as usize];
        *issued = !*issued;
        let write = if *issued {
            self.create.emit_data(xid, key, &self.data, 1, out);
            CREATE
        } else {
            self.delete.emit(xid, key, out);
            DELETE
        };
        Some(Tag { key, write })
    }

    #[inline]
    fn reply(&mut self, _: usize, tag: Tag, reply: &Reply<'_>, _: &mut Wake) -> Outcome {
        if reply.is_ok() {
            self.exists[tag.key as usize] = tag.write == CREATE;
        }
        reply.outcome(Class::Write)
    }
}

/// exists of every key: there, of its own session, or not there.
#[derive(Debug)]
pub struct VerifyEphemeral {
    template: Template,
    next: u32,
    expected: Vec<i64>,
    /// Keys checked.
    pub checked: u64,
    /// Keys that are missing, there although deleted, or of another session.
    pub wrong: u64,
}

impl VerifyEphemeral {
    /// `expected`: the owner of each key, 0 when it must not be there.
    pub fn new(names: &Names, expected: Vec<i64>) -> Self {
        Self {
            template: Template::read(names, OpCode::Exists, false),
            next: 0,
            expected,
            checked: 0,
            wrong: 0,
        }
    }
}

impl Load for VerifyEphemeral {
    fn next(&mut self, _: usize, xid: i32, _: u64, out: &mut Vec<u8>) -> Option<Tag> {
        let key = self.next;
        if key as usize == self.expected.len() {
            return None;
        }
        self.next += 1;
        self.template.emit(xid, key, out);
        Some(Tag { key, write: 0 })
    }

    fn reply(&mut self, _: usize, tag: Tag, reply: &Reply<'_>, _: &mut Wake) -> Outcome {
        const OWNER: usize = 4 * 8 + 3 * 4;
        self.checked += 1;
        let owner = if reply.is_ok() {
            let bytes = reply.body.get(OWNER..).and_then(|b| b.first_chunk::<8>());
            bytes.map(|bytes| i64::from_be_bytes(*bytes))
        } else {
            reply.is(Code::NoNode).then_some(0)
        };
        if owner != Some(self.expected[tag.key as usize]) {
            self.wrong += 1;
        }
        Outcome::Aside
    }
}
