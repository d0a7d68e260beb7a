//! Sessions that ask for nothing; the engine pings for them.

use super::{Class, Load, Outcome, Reply, Tag, Wake};

/// No requests.
#[derive(Debug, Default)]
pub struct Idle;

impl Load for Idle {
    fn next(&mut self, _: usize, _: i32, _: u64, _: &mut Vec<u8>) -> Option<Tag> {
        None
    }

    fn reply(&mut self, _: usize, _: Tag, reply: &Reply<'_>, _: &mut Wake) -> Outcome {
        reply.outcome(Class::Read)
    }
}
