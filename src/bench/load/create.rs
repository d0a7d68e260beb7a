//! create: new persistent znodes, without end or up to a number of keys.

use super::{Class, Ledger, Load, Outcome, Reply, Tag, Wake};
use crate::template::{Data, Names, Template};

/// New znodes, the keys in the order of the requests.
#[derive(Debug)]
pub struct Create {
    template: Template,
    data: Data,
    limit: u32,
    /// What was created.
    pub ledger: Ledger,
}

impl Create {
    /// Creates keys 0 to `limit` - 1.
    pub fn new(names: &Names, data: &Data, limit: u32) -> Self {
        Self {
            template: Template::create(names, data, 0),
            data: data.clone(),
            limit,
            ledger: Ledger::default(),
        }
    }
}

impl Load for Create {
    #[inline]
    fn next(&mut self, _: usize, xid: i32, _: u64, out: &mut Vec<u8>) -> Option<Tag> {
        if self.ledger.keys() == self.limit {
            return None;
        }
        let key = self.ledger.create();
        self.template.emit_data(xid, key, &self.data, 1, out);
        Some(Tag { key, write: 1 })
    }

    #[inline]
    fn reply(&mut self, _: usize, tag: Tag, reply: &Reply<'_>, _: &mut Wake) -> Outcome {
        if reply.is_ok() {
            self.ledger.ack(tag.key, tag.write);
        }
        reply.outcome(Class::Write)
    }
}
