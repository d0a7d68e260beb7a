//! The newtypes that name things, and the two clocks.
//!
//! Invariant: a number of one kind never becomes a number of another without being spelled out.

use core::fmt;

pub use zk_zab::ids::{LinkId, Now, Zxid};

/// A session's id: the server's id in the top byte.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionId(pub i64);

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "0x{:x}", self.0)
    }
}

/// One accepted client connection. Never used twice in the life of a process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnId(pub u64);

/// The last record of the log, or the base if that is later: what a vote and a synchronisation
/// speak of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct HistoryEnd(pub Zxid);

/// How much of the history is certain: no election can take it back. On a standalone server all of
/// it that is durable.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Committed(pub Zxid);

/// How far the tree in memory is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Applied(pub Zxid);

/// How far the store is, durably.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Persisted(pub Zxid);

/// What clients are told and compared with. Equal to [`Applied`] but on an established leader
/// that has no transaction of its epoch yet: then it is the epoch's own zxid.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Served(pub Zxid);

/// The five zxids, which a standalone server keeps apart too. Always `applied <= committed`,
/// `applied <= history_end` and `persisted <= applied`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Marks {
    /// Durable end of the log.
    pub history_end: HistoryEnd,
    /// What is certain.
    pub committed: Committed,
    /// State of the tree.
    pub applied: Applied,
    /// State of the store.
    pub persisted: Persisted,
    /// State that clients see.
    pub served: Served,
}
