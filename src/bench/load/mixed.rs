//! get, set and mixed: existing znodes, a share of the requests reading.

use zk_wire::OpCode;

use super::{Class, Ledger, Load, Outcome, Reply, Sharing, Tag, Wake};
use crate::template::{Data, Names, STAMP, Template};

/// In [`Tag::write`] of a read: the znode is another session's, any data of the key will do.
const ANY: u32 = 0;
const READ: u32 = 1 << 31;

/// Reads of any key, writes of the session's own keys, both at random.
#[derive(Debug)]
pub struct Mixed {
    get: Template,
    set: Template,
    data: Data,
    sharing: Sharing,
    reads_percent: u8,
    random: fastrand::Rng,
    /// What was written.
    pub ledger: Ledger,
}

impl Mixed {
    /// Of a hundred requests `reads_percent` are getData, the rest setData.
    pub fn new(names: &Names, data: &Data, sharing: Sharing, reads_percent: u8) -> Self {
        Self {
            get: Template::read(names, OpCode::GetData, false),
            set: Template::set(names, data),
            data: data.clone(),
            sharing,
            reads_percent,
            random: fastrand::Rng::with_seed(1),
            ledger: Ledger::created(sharing.keys),
        }
    }
}

impl Load for Mixed {
    #[inline]
    fn next(&mut self, session: usize, xid: i32, _: u64, out: &mut Vec<u8>) -> Option<Tag> {
        let read = match self.reads_percent {
            0 => false,
            100 => true,
            percent => self.random.u8(0..100) < percent,
        };
        if read {
            let key = self.random.u32(0..self.sharing.keys);
            self.get.emit(xid, key, out);
            let write = if self.sharing.owns(session, key) {
                self.ledger.issued(key)
            } else {
                ANY
            };
            return Some(Tag {
                key,
                write: READ | write,
            });
        }
        let index = self.random.u32(0..self.sharing.count(session));
        let key = self.sharing.key(session, index);
        let write = self.ledger.issue(key);
        self.set.emit_data(xid, key, &self.data, write, out);
        Some(Tag { key, write })
    }

    #[inline]
    fn reply(&mut self, _: usize, tag: Tag, reply: &Reply<'_>, _: &mut Wake) -> Outcome {
        if tag.write & READ == 0 {
            if reply.is_ok() {
                self.ledger.ack(tag.key, tag.write);
            }
            return reply.outcome(Class::Write);
        }
        if !reply.is_ok() {
            return Outcome::Failed(reply.err);
        }
        let Some((data, _)) = reply.data() else {
            return Outcome::Wrong("a getData reply without data and stat");
        };
        if data.len() != self.data.size() {
            return Outcome::Wrong("data of another length");
        }
        let Some(stamp) = data.first_chunk::<STAMP>() else {
            return Outcome::Done(Class::Read);
        };
        if stamp[..4] != tag.key.to_be_bytes() {
            return Outcome::Wrong("data of another key");
        }
        let found = u32::from_be_bytes([stamp[4], stamp[5], stamp[6], stamp[7]]);
        match tag.write & !READ {
            ANY => Outcome::Done(Class::Read),
            // A session sees all its earlier writes and none of its later ones.
            expected if expected == found => Outcome::Done(Class::Read),
            expected if found < expected => {
                Outcome::Wrong("a read older than an earlier write of its session")
            }
            _ => Outcome::Wrong("a read newer than the session's writes before it"),
        }
    }
}
