//! What comes before and after a load: keys are made, and removed.

use zk_wire::Code;

use super::{Class, Load, Notice, Outcome, Reply, Tag, Wake};
use crate::template::{self, Data, Names, Template};

/// What a list of prepared requests is to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bulk {
    /// Create; a node that exists already will do.
    Ensure,
    /// Create; a node that exists already is an error.
    Make,
    /// Delete; a node that is not there will do.
    Remove,
}

/// Requests prepared one by one: for the root, the parents, anything without a template.
#[derive(Debug)]
pub struct Paths {
    frames: Vec<Vec<u8>>,
    next: usize,
    bulk: Bulk,
}

impl Paths {
    /// The same for each path, in this order of sending.
    pub fn new(paths: impl IntoIterator<Item = String>, bulk: Bulk) -> Self {
        let frame = |path: String| match bulk {
            Bulk::Ensure | Bulk::Make => {
                template::request(zk_wire::OpCode::Create, &template::create(&path, b"", 0))
            }
            Bulk::Remove => template::request(
                zk_wire::OpCode::Delete,
                &zk_wire::client::DeleteRequest {
                    path: Some(path.into()),
                    version: -1,
                },
            ),
        };
        Self {
            frames: paths.into_iter().map(frame).collect(),
            next: 0,
            bulk,
        }
    }
}

impl Load for Paths {
    fn next(&mut self, _: usize, xid: i32, _: u64, out: &mut Vec<u8>) -> Option<Tag> {
        let frame = self.frames.get(self.next)?;
        self.next += 1;
        template::emit(frame, xid, out);
        Some(Tag::default())
    }

    fn reply(&mut self, _: usize, _: Tag, reply: &Reply<'_>, _: &mut Wake) -> Outcome {
        let fine = match self.bulk {
            Bulk::Ensure => reply.is(Code::NodeExists),
            Bulk::Make => false,
            Bulk::Remove => reply.is(Code::NoNode),
        };
        if fine {
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

/// Creates keys 0 to `keys` - 1.
#[derive(Debug)]
pub struct MakeKeys<'a> {
    template: Template,
    data: &'a Data,
    next: u32,
    keys: u32,
}

impl<'a> MakeKeys<'a> {
    /// Creates `keys` keys.
    pub fn new(names: &Names, data: &'a Data, keys: u32) -> Self {
        Self {
            template: Template::create(names, data, 0),
            data,
            next: 0,
            keys,
        }
    }
}

impl Load for MakeKeys<'_> {
    fn next(&mut self, _: usize, xid: i32, _: u64, out: &mut Vec<u8>) -> Option<Tag> {
        let key = self.next;
        if key == self.keys {
            return None;
        }
        self.next += 1;
        self.template.emit_data(xid, key, self.data, 1, out);
        Some(Tag { key, write: 1 })
    }

    fn reply(&mut self, _: usize, _: Tag, reply: &Reply<'_>, _: &mut Wake) -> Outcome {
        reply.outcome(Class::Write)
    }
}

/// Deletes keys 0 to `keys` - 1, whether they are there or not.
#[derive(Debug)]
pub struct RemoveKeys {
    template: Template,
    next: u32,
    keys: u32,
}

impl RemoveKeys {
    /// Deletes `keys` keys.
    pub fn new(names: &Names, keys: u32) -> Self {
        Self {
            template: Template::delete(names),
            next: 0,
            keys,
        }
    }
}

impl Load for RemoveKeys {
    fn next(&mut self, _: usize, xid: i32, _: u64, out: &mut Vec<u8>) -> Option<Tag> {
        let key = self.next;
        if key == self.keys {
            return None;
        }
        self.next += 1;
        self.template.emit(xid, key, out);
        Some(Tag { key, write: 0 })
    }

    fn reply(&mut self, _: usize, _: Tag, reply: &Reply<'_>, _: &mut Wake) -> Outcome {
        if reply.is(Code::NoNode) {
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
