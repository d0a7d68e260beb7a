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
