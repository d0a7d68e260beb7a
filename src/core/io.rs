//! The whole contract between the core and what drives it: inputs, effects, and where replies and
//! events go.
//!
//! A driver does three things for ever: hands inputs to [`crate::Node::step`], carries out the
//! effects in order, and calls [`crate::Node::apply`] with the tree to itself. It takes no
//! decision of its own.

use alloc::boxed::Box;
use alloc::vec::Vec;

use bytes::Bytes;
use jute::Encode;
use zk_wire::OpCode;

use crate::acl::Ids;
use crate::ids::{ConnId, LinkId, SessionId, Zxid};
use crate::tree::{Need, Tree};
use crate::watch::{Event, Watches};

/// Where a request came from. Replies are matched by connection and cxid.
#[derive(Clone, Debug)]
pub struct Origin {
    /// The connection; gone by the time of the reply, perhaps.
    pub conn: ConnId,
    /// Its session.
    pub session: SessionId,
    /// The request's xid.
    pub cxid: i32,
    /// Identities at its receipt.
    pub ids: Ids,
}

/// A request that the only writer must see.
#[derive(Clone, Debug)]
pub enum Submit {
    /// A write, or a sync.
    Request {
        /// Whose.
        origin: Origin,
        /// Which.
        op: OpCode,
        /// The frame behind the header.
        body: Bytes,
    },
    /// A handshake for a new session. `timeout_ms` is agreed already.
    Connect {
        /// The connection.
        conn: ConnId,
        /// Milliseconds.
        timeout_ms: i32,
    },
    /// A handshake with an existing session, whose password was right.
    Reattach {
        /// The connection.
        conn: ConnId,
        /// Which session.
        session: SessionId,
        /// Milliseconds, agreed anew.
        timeout_ms: i32,
    },
}

/// What may happen to the core.
#[derive(Clone, Debug)]
pub enum Input {
    /// Time has passed.
    Tick,
    /// A request.
    Submit(Submit),
    /// The log is durable up to here.
    Durable(Zxid),
    /// The store is durable up to here.
    Persisted(Zxid),
    /// A client was heard of. The driver may tell this late, but before any tick that comes after
    /// it, and also when the connection has ended or lost its session since: so it notes session
    /// and timeout together with the time.
    Touched {
        /// Which session.
        session: SessionId,
        /// When, by the monotonic clock, milliseconds.
        at_ms: i64,
        /// The timeout that holds for it, milliseconds.
        timeout_ms: i32,
    },
    /// Rows were installed in the tree: go on where one was missing.
    Loaded,
}

/// What the core wants done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Append to the log; `Durable` answers once it is synced. In ascending zxids without gaps.
    Append {
        /// Of the transaction.
        zxid: Zxid,
        /// Header, body and digest: a log record's payload, and a proposal's.
        payload: Bytes,
    },
    /// Bring rows into the tree, then say `Loaded`. Said again with every input for as long as
    /// they are missing.
    Load(Need),
    /// On a learner: ask the leader. In the order of these effects.
    Forward {
        /// Whose request.
        session: SessionId,
        /// The request's xid; 0 for a new session.
        cxid: i32,
        /// Which.
        op: OpCode,
        /// The frame behind the header; a new session's timeout.
        body: Bytes,
        /// Identities at its receipt.
        ids: Ids,
    },
    /// On a learner: ask the leader whether a session lives; [`crate::Node::revalidated`] answers.
    Revalidate {
        /// Which session.
        session: SessionId,
        /// Milliseconds, agreed anew.
        timeout_ms: i32,
    },
    /// On a leader: the oldest sync of the server behind this link is answered. Leaves behind the
    /// commits that were told before, and in front of any later one.
    SyncReply {
        /// Which server's.
        link: LinkId,
    },
    /// On a leader: the epoch has no zxid left. What was asked stays unanswered; somebody else
    /// must lead.
    Resign,
}

/// The outcome of a write.
pub struct Reply<'a> {
    /// The header's zxid.
    pub zxid: Zxid,
    /// The header's error.
    pub err: i32,
    /// The body, without errors.
    pub body: Option<&'a dyn Encode>,
    /// Whether the connection ends behind it.
    pub close: bool,
}

/// A handshake that succeeded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Grant {
    /// The session.
    pub session: SessionId,
    /// Milliseconds.
    pub timeout_ms: i32,
}

/// Where replies and events go while transactions are applied. Each call appends to what the
/// connection will send, in the order of the calls. Connections that are gone are ignored.
pub trait Post {
    /// Runs the reads that wait in front of the oldest write of `conn`.
    ///
    /// # Errors
    /// What one of them misses: apply stops before the write.
    fn before_write(
        &mut self,
        tree: &Tree,
        watches: &mut Watches,
        conn: ConnId,
    ) -> Result<(), Need>;
    /// A watch fires.
    fn event(&mut self, conn: ConnId, zxid: Zxid, event: Event, path: &str);
    /// The oldest write of the connection is answered. Called exactly once for each
    /// [`Submit::Request`], also when its connection is gone.
    fn done(&mut self, conn: ConnId, cxid: i32, reply: &Reply<'_>);
    /// A handshake is answered; `None` is the refusal of an unknown session.
    fn connected(&mut self, conn: ConnId, grant: Option<Grant>);
    /// The session is attached to `now` (or closed, if `None`): every other connection of it ends
    /// without a reply.
    fn detach(&mut self, session: SessionId, now: Option<ConnId>);
    /// For metrics: a transaction of this time (wall clock milliseconds) is applied.
    fn applied(&mut self, _zxid: Zxid, _time_ms: i64) {}
    /// For metrics: a node is made, changed or deleted, with so many bytes of data.
    fn wrote(&mut self, _path: &str, _bytes: usize) {}
    /// For metrics: a change has met so many watchers, whether they may hear of it or not.
    fn fired(&mut self, _event: Event, _watchers: usize) {}
}

/// What one call of apply did.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Applied {
    /// Transactions and answers, in all.
    pub entries: usize,
    /// What stopped it, if it stopped before the end of what is durable.
    pub missing: Option<Need>,
    /// Rows that what follows will miss, to be loaded along with it. Nobody waits for them.
    pub also: Vec<Need>,
    /// Whether more could be applied now: the budget ran out.
    pub more: bool,
    /// The last transaction that was applied: what a store's state is told apart by.
    pub last: Option<Bytes>,
    /// Zxids after which the tree's digest was not the transaction's.
    pub mismatches: Vec<(Zxid, Box<str>)>,
    /// The last zxid after which it was compared and is the transaction's.
    pub same: Option<Zxid>,
    /// The tree was another than the leader's before that had sent anything.
    pub foreign: Option<Foreign>,
}

/// A learner has taken over what it lacked in its leader's log, and the first transactions of the
/// leader that came to its tree show that the two differ: what lies before them is not of the same
/// history.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Foreign {
    /// Whom it follows.
    pub leader: i64,
    /// Where its own part of the log ends.
    pub own: Zxid,
    /// The last of the transactions.
    pub zxid: Zxid,
}
