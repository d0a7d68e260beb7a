//! Loads: which request comes next, and what its reply must look like. One file per kind.
//!
//! Owns: the contract between a load and the engine, and the ledger of what was written.
//!
//! Does not know: sockets, time, histograms.
//!
//! Invariants: a session's replies come in the order of its requests, so the writes of a session
//! to one key are numbered without gaps; a key is written by one session only.

mod bulk;
mod children;
mod close;
mod create;
mod ephemeral;
mod idle;
mod ledger;
mod mixed;
mod multi;
mod verify;
mod watch_fanout;

pub use bulk::{Bulk, MakeKeys, Paths, RemoveKeys};
pub use children::Children;
pub use close::CloseSessions;
pub use create::Create;
pub use ephemeral::{Ephemeral, VerifyEphemeral};
pub use idle::Idle;
pub use ledger::{Ledger, Sharing};
pub use mixed::Mixed;
pub use multi::Multi;
pub use verify::{Checked, Verify};
pub use watch_fanout::WatchFanout;

use zk_wire::Code;

/// What a load remembers of a request until its reply.
#[derive(Debug, Clone, Copy, Default)]
pub struct Tag {
    /// The key, parent or other number that was asked for.
    pub key: u32,
    /// The number of the write, or what else tells two requests apart.
    pub write: u32,
}

/// A reply, its header read.
#[derive(Debug)]
pub struct Reply<'a> {
    /// 0, or the code of the failure.
    pub err: i32,
    /// What follows the header.
    pub body: &'a [u8],
}

impl Reply<'_> {
    /// Whether the operation succeeded.
    pub fn is_ok(&self) -> bool {
        self.err == Code::Ok as i32
    }

    /// Whether it failed with `code`.
    pub fn is(&self, code: Code) -> bool {
        self.err == code as i32
    }

    /// As an outcome, for replies in which nothing but the code matters.
    pub fn outcome(&self, class: Class) -> Outcome {
        if self.is_ok() {
            Outcome::Done(class)
        } else {
            Outcome::Failed(self.err)
        }
    }

    /// Data and version of a getData reply.
    pub fn data(&self) -> Option<(&[u8], i32)> {
        let (length, rest) = self.body.split_first_chunk::<4>()?;
        let length = usize::try_from(i32::from_be_bytes(*length)).ok()?;
        let (data, stat) = rest.split_at_checked(length)?;
        Some((data, Self::stat_version(stat)?))
    }

    /// The version in a reply that is a stat.
    pub fn stat_version(stat: &[u8]) -> Option<i32> {
        const VERSION: usize = 4 * 8;
        let bytes = stat.get(VERSION..)?.first_chunk::<4>()?;
        Some(i32::from_be_bytes(*bytes))
    }
}

/// Which histogram a latency belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// The operation does not change the tree.
    Read,
    /// The operation changes the tree.
    Write,
}

/// What became of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It counts, and so does its latency.
    Done(Class),
    /// Part of the load, but not what is measured.
    Aside,
    /// It failed with this code.
    Failed(i32),
    /// It succeeded with an answer that cannot be right; the text says how.
    Wrong(&'static str),
}

/// What a notification is for the load.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Notice {
    /// An operation that began at this time, in the engine's nanoseconds.
    Done(u64),
    /// Of no interest.
    Aside,
    /// Not expected.
    Unexpected,
}

/// A source of requests for many sessions. The engine keeps the sessions full.
pub trait Load {
    /// Appends the next request of `session`, with this xid; `None` when the session has nothing
    /// to ask now.
    fn next(&mut self, session: usize, xid: i32, now: u64, out: &mut Vec<u8>) -> Option<Tag>;

    /// A reply has come.
    fn reply(&mut self, session: usize, tag: Tag, reply: &Reply<'_>, wake: &mut Wake) -> Outcome;

    /// A notification has come.
    fn notice(&mut self, _session: usize, _path: &[u8], _wake: &mut Wake) -> Notice {
        Notice::Unexpected
    }

    /// Whether nothing is to come but the replies still outstanding.
    fn is_quiet(&self) -> bool {
        true
    }
}

/// Sessions that have something to ask although nothing came for them.
#[derive(Debug, Default)]
pub struct Wake {
    sessions: Vec<usize>,
}

impl Wake {
    /// Asks for a call of [`Load::next`] for `session` soon.
    pub fn session(&mut self, session: usize) {
        self.sessions.push(session);
    }

    /// Takes one of them.
    pub fn take(&mut self) -> Option<usize> {
        self.sessions.pop()
    }
}
