//! Golden bytes. Every case of `fixtures/` was written by ZooKeeper's own 3.9.5 classes
//! (`compat-tests/java`, class `Fixtures`), with a text that Java printed beside it. Here each is
//! decoded, printed in the same form, encoded again, and cut short at every length.
//!
//! A cut that is no error, or bytes that do not come back as they were, are allowed by named rules
//! only: see [`Rule`] and the tests that give one.

mod cases;
mod client;
mod config;
mod files;
mod quorum;
mod show;
mod text;
mod txn;

/// Why a case may break what holds for all others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rule {
    /// The handshake's last byte may be absent: a client before 3.4.
    ReadOnlyAbsent,
    /// The digest behind a transaction may be absent.
    DigestAbsent,
    /// A create may lack `parentCVersion`, and is then encoded with -1 (ZOOKEEPER-1046).
    CreateV0,
    /// A closeSession may lack its paths (ZOOKEEPER-3145), also with a digest behind it. The
    /// beginning of two paths looks like a digest.
    CloseSessionBare,
    /// A Java leader that gives a failed multi to a learner from memory sends parts that applying
    /// it turned into errors, with the bodies that they had before.
    FailedRewritten,
    /// The sections behind a snapshot's first seal may be absent.
    SectionsAbsent,
}
