//! What names servers, links and transactions, and the two clocks.
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

    /// The counter, the lower 32 bits; 0 is no transaction.
    pub fn counter(self) -> u32 {
        self.0 as u32
    }

    /// `epoch << 32`: the zxid of a leader that has no transaction yet.
    pub fn start_of(epoch: u32) -> Zxid {
        Zxid(i64::from(epoch) << 32)
    }

    /// Whether a record with this zxid may stand right behind one with `before` in a history: the
    /// next counter, or the first one of a later epoch.
    pub fn follows(self, before: Zxid) -> bool {
        if self.epoch() == before.epoch() {
            before.0.checked_add(1) == Some(self.0)
        } else {
            self.0 > before.0 && self.counter() == 1
        }
    }
}

impl fmt::Display for Zxid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "0x{:x}", self.0)
    }
}

/// Both clocks, read once for an input.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Now {
    /// Monotonic milliseconds: expiry and timeouts.
    pub mono_ms: i64,
    /// Wall clock, milliseconds since 1970: times of transactions, age of TTL nodes.
    pub wall_ms: i64,
}

/// A server's id, `N` of `server.N`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Sid(pub i64);

impl fmt::Display for Sid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// One TCP connection of the quorum port, accepted or dialled. Never used twice in the life of a
/// process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LinkId(pub u64);

impl fmt::Display for LinkId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "link {}", self.0)
    }
}

/// One durable act that was asked for. Ascending in the life of a process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct JobId(pub u64);
