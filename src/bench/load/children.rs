//! children: getChildren of parents at random.

use super::{Class, Load, Outcome, Reply, Tag, Wake};
use crate::template::{Names, Template};

/// getChildren, each reply's count compared.
#[derive(Debug)]
pub struct Children {
    template: Template,
    parents: u32,
    keys: u32,
    random: fastrand::Rng,
}

impl Children {
    /// The parents of `names`, over which `keys` keys are spread.
    pub fn new(names: &Names, keys: u32) -> Self {
        Self {
            template: Template::children(names),
            parents: names.parents(),
            keys,
            random: fastrand::Rng::with_seed(1),
        }
    }
}

impl Load for Children {
    #[inline]
    fn next(&mut self, _: usize, xid: i32, _: u64, out: &mut Vec<u8>) -> Option<Tag> {
        let key = self.random.u32(0..self.parents);
        self.template.emit(xid, key, out);
        Some(Tag { key, write: 0 })
    }

    #[inline]
    fn reply(&mut self, _: usize, tag: Tag, reply: &Reply<'_>, _: &mut Wake) -> Outcome {
        if !reply.is_ok() {
            return Outcome::Failed(reply.err);
        }
        let expected = self.keys / self.parents + u32::from(tag.key < self.keys % self.parents);
        match reply.body.first_chunk::<4>() {
            Some(count) if u32::from_be_bytes(*count) == expected => Outcome::Done(Class::Read),
            _ => Outcome::Wrong("another number of children"),
        }
    }
}
