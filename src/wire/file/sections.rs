//! What a snapshot's file and the tree behind a SNAP packet have in common: sessions, ACLs and
//! nodes, and what ends them.
//!
//! Owns: the layout of these, and their order. Does not know: what stands before and behind.
//!
//! Invariants: an item is read whole or not at all; what is written is in the order of the
//! format, anything else panics.

use alloc::borrow::Cow;
use alloc::vec::Vec;

use jute::{Buf, Decode, Encode, Error, Reader, encode_len};

use crate::client::Acl;
use crate::stat::StatPersisted;

/// The ACL id that is in no map: everybody may do everything.
pub const OPEN_ACL: i64 = -1;

/// What stands where a path would, behind the last node.
pub(crate) const END: &str = "/";

/// An item, in the order in which they come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Section<'a> {
    /// A global session.
    Session {
        /// Its id.
        id: i64,
        /// Its timeout, ms.
        timeout: i32,
    },
    /// An ACL that nodes refer to.
    Acl {
        /// The number by which they do.
        id: i64,
        /// The ACL.
        acl: Vec<Acl<'a>>,
    },
    /// A node; a parent comes before its children.
    Node {
        /// Its path; empty for the root.
        path: Cow<'a, str>,
        /// Its data.
        data: Buf<'a>,
        /// The number of its ACL, or [`OPEN_ACL`].
        acl: i64,
        /// Its stat.
        stat: StatPersisted,
    },
    /// All nodes are there.
    End,
}

/// Why an item cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SectionError {
    /// A record is malformed, or the input ends within it.
    Jute(Error),
    /// An ACL or a path is null.
    Null {
        /// Where it begins.
        at: usize,
    },
}

impl From<Error> for SectionError {
    fn from(error: Error) -> Self {
        SectionError::Jute(error)
    }
}

/// What comes next. The counts are of what is left; `None` where the count itself comes next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    Sessions(Option<i32>),
    Acls(Option<i32>),
    Nodes,
}

impl Part {
    /// Where the sections begin.
    pub(crate) const FIRST: Part = Part::Sessions(None);

    /// Reads an item, or a count, and what then comes next. Behind [`Section::End`] that has no
    /// meaning.
    pub(crate) fn read<'a>(
        self,
        r: &mut Reader<'a>,
    ) -> Result<(Option<Section<'a>>, Part), SectionError> {
        match self {
            Part::Sessions(None) => Ok((None, Part::Sessions(Some(i32::decode(r)?)))),
            Part::Sessions(Some(..=0)) => Ok((None, Part::Acls(None))),
            Part::Sessions(Some(left)) => {
                let item = Section::Session {
                    id: i64::decode(r)?,
                    timeout: i32::decode(r)?,
                };
                Ok((Some(item), Part::Sessions(Some(left - 1))))
            }
            Part::Acls(None) => Ok((None, Part::Acls(Some(i32::decode(r)?)))),
            Part::Acls(Some(..=0)) => Ok((None, Part::Nodes)),
            Part::Acls(Some(left)) => {
                let id = i64::decode(r)?;
                let null = SectionError::Null { at: r.position() };
                let item = Section::Acl {
                    id,
                    acl: r.list()?.ok_or(null)?,
                };
                Ok((Some(item), Part::Acls(Some(left - 1))))
            }
            Part::Nodes => {
                let null = SectionError::Null { at: r.position() };
                let path = r.string()?.ok_or(null)?;
                if path == END {
                    return Ok((Some(Section::End), Part::Nodes));
                }
                let item = Section::Node {
                    path,
                    data: r.buffer()?,
                    acl: i64::decode(r)?,
                    stat: StatPersisted::decode(r)?,
                };
                Ok((Some(item), Part::Nodes))
            }
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Sessions { left: usize, acls: usize },
    Acls { left: usize },
    Nodes,
    Done,
}

/// Writes the items: each call appends to `out`.
#[derive(Debug, Clone)]
pub(crate) struct SectionEncoder {
    stage: Stage,
}

impl SectionEncoder {
    /// Begins with this many sessions and ACLs.
    pub(crate) fn begin(sessions: usize, acls: usize, out: &mut Vec<u8>) -> Self {
        let mut encoder = SectionEncoder {
            stage: Stage::Sessions {
                left: sessions,
                acls,
            },
        };
        encode_len(sessions, out);
        encoder.settle(out);
        encoder
    }

    pub(crate) fn session(&mut self, id: i64, timeout: i32, out: &mut Vec<u8>) {
        let Stage::Sessions {
            left: left @ 1.., ..
        } = &mut self.stage
        else {
            panic!("a session at {:?}", self.stage);
        };
        *left -= 1;
        id.encode(out);
        timeout.encode(out);
        self.settle(out);
    }

    pub(crate) fn acl(&mut self, id: i64, acl: &[Acl<'_>], out: &mut Vec<u8>) {
        assert_ne!(id, OPEN_ACL, "this id is in no map");
        let Stage::Acls { left: left @ 1.. } = &mut self.stage else {
            panic!("an ACL at {:?}", self.stage);
        };
        *left -= 1;
        id.encode(out);
        encode_len(acl.len(), out);
        for entry in acl {
            entry.encode(out);
        }
        self.settle(out);
    }

    pub(crate) fn node(
        &mut self,
        path: &str,
        data: Buf<'_>,
        acl: i64,
        stat: &StatPersisted,
        out: &mut Vec<u8>,
    ) {
        assert_eq!(self.stage, Stage::Nodes, "a node");
        assert_ne!(path, END, "the path of the root is empty");
        Some(Cow::Borrowed(path)).encode(out);
        data.encode(out);
        acl.encode(out);
        stat.encode(out);
    }

    pub(crate) fn end(&mut self, out: &mut Vec<u8>) {
        assert_eq!(self.stage, Stage::Nodes, "the end of the nodes");
        Some(Cow::Borrowed(END)).encode(out);
        self.stage = Stage::Done;
    }

    /// Goes on to the next stage when its count is reached.
    fn settle(&mut self, out: &mut Vec<u8>) {
        if let Stage::Sessions { left: 0, acls } = self.stage {
            encode_len(acls, out);
            self.stage = Stage::Acls { left: acls };
        }
        if self.stage == (Stage::Acls { left: 0 }) {
            self.stage = Stage::Nodes;
        }
    }
}
