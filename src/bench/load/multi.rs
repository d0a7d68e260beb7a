//! multi: several setData of the session's own keys, all or none.

use super::{Class, Ledger, Load, Outcome, Reply, Sharing, Tag, Wake};
use crate::template::{Data, Names, Template};
use zk_wire::OpCode;

/// Multis of setData. The keys of one multi are neighbours among those of its session.
#[derive(Debug)]
pub struct Multi {
    template: Template,
    data: Data,
    sharing: Sharing,
    random: fastrand::Rng,
    /// What was written.
    pub ledger: Ledger,
}

impl Multi {
    /// Multis of `batch` operations; each session must have that many keys.
    pub fn new(names: &Names, data: &Data, sharing: Sharing, batch: usize) -> Self {
        Self {
            template: Template::multi_set(names, data, batch),
            data: data.clone(),
            sharing,
            random: fastrand::Rng::with_seed(1),
            ledger: Ledger::created(sharing.keys),
        }
    }

    fn key(&self, session: usize, first: u32, slot: usize) -> u32 {
        let index = (first + slot as u32) % self.sharing.count(session);
        self.sharing.key(session, index)
    }
}

impl Load for Multi {
    #[inline]
    fn next(&mut self, session: usize, xid: i32, _: u64, out: &mut Vec<u8>) -> Option<Tag> {
        let first = self.random.u32(0..self.sharing.count(session));
        let at = self.template.begin(xid, out);
        for slot in 0..self.template.slots() {
            let key = self.key(session, first, slot);
            let write = self.ledger.issue(key);
            self.template
                .fill_data(slot, key, &self.data, write, &mut out[at..]);
        }
        Some(Tag {
            key: first,
            write: 0,
        })
    }

    #[inline]
    fn reply(&mut self, session: usize, tag: Tag, reply: &Reply<'_>, _: &mut Wake) -> Outcome {
        if !reply.is_ok() {
            return Outcome::Failed(reply.err);
        }
        // The first result's header: the kind of result, a flag, the code.
        let Some((kind, rest)) = reply.body.split_first_chunk::<4>() else {
            return Outcome::Wrong("a multi reply without results");
        };
        if i32::from_be_bytes(*kind) == OpCode::Error.to_i32() {
            let code = rest.get(1..).and_then(|rest| rest.first_chunk::<4>());
            return Outcome::Failed(code.map_or(0, |code| i32::from_be_bytes(*code)));
        }
        for slot in 0..self.template.slots() {
            let key = self.key(session, tag.key, slot);
            self.ledger.ack(key, self.ledger.acked(key) + 1);
        }
        Outcome::Done(Class::Write)
    }
}
