//! The newtypes that name things, and the two clocks.
//!
//! Invariant: a number of one kind never becomes a number of another without being spelled out.

use core::fmt;

/// A transaction id: the epoch in the upper, a counter in the lower 32 bits. A standalone server
/// counts without epochs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Zxid(pub i64);

impl Zxid {
    /// Before any transaction.
    pub const ZERO: Zxid = Zxid(0);

    /// The zxid after this one within its epoch.
    #[must_use]
    pub fn next(self) -> Zxid {
        Zxid(self.0 + 1)
    }

    /// The epoch, the upper 32 bits.
    pub fn epoch(self) -> u32 {
        (self.0 >> 32) as u32
    }
}

impl fmt::Display for Zxid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "0x{:x}", self.0)
    }
}

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

/// Both clocks, read once for an input.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Now {
    /// Monotonic milliseconds: expiry and timeouts.
    pub mono_ms: i64,
    /// Wall clock, milliseconds since 1970: times of transactions, age of TTL nodes.
    pub wall_ms: i64,
}

/// The last record of the log, or the base if that is later: what a vote and a synchronisation
/// speak of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct HistoryEnd(pub Zxid);

/// How far the tree in memory is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Applied(pub Zxid);

/// How far the store is, durably.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Persisted(pub Zxid);

/// What clients are told and compared with. Equal to [`Applied`] but on an established leader
/// that has no transaction of its epoch yet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Served(pub Zxid);

/// The four zxids, which a standalone server keeps apart too.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Marks {
    /// Durable end of the log.
    pub history_end: HistoryEnd,
    /// State of the tree.
    pub applied: Applied,
    /// State of the store.
    pub persisted: Persisted,
    /// State that clients see.
    pub served: Served,
}
