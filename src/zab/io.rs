//! The whole contract of the quorum layer: what happens to it, and what it wants done.
//!
//! A driver hands inputs to [`crate::Zab::step`] and carries out what comes back, in order. Some
//! of it ([`Act`]) concerns sockets and the disk, the rest ([`Tell`]) the node that owns the tree.

use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;

use bytes::Bytes;
use zk_wire::quorum::config::QuorumConfig;
use zk_wire::quorum::notification::Notification;
use zk_wire::quorum::packet::Packet;

use crate::ids::{JobId, LinkId, Sid, Zxid};
use crate::view::View;

/// What may happen.
#[derive(Clone, Debug)]
pub enum In {
    /// Time has passed.
    Tick,
    /// A notification came over the election port.
    Vote {
        /// From whom; negative for one that has no id.
        from: Sid,
        /// What it says.
        notification: Notification,
    },
    /// The election connection to this server is there.
    PeerUp(Sid),
    /// It has ended, or could not be made.
    PeerDown(Sid),
    /// Somebody has connected to the quorum port.
    Accepted {
        /// The link.
        link: LinkId,
        /// Its address, for log lines.
        address: String,
    },
    /// The leader that was dialled has answered.
    Dialled {
        /// The link.
        link: LinkId,
        /// Which server.
        sid: Sid,
    },
    /// It could not be reached.
    DialFailed {
        /// Which server.
        sid: Sid,
        /// Why.
        why: String,
    },
    /// A packet.
    Packet(LinkId, Packet),
    /// Bytes have moved on a link that is in the middle of something long, a snapshot.
    Heard(LinkId),
    /// A link has ended.
    Closed {
        /// Which.
        link: LinkId,
        /// Why.
        why: String,
    },
    /// The log is durable up to here.
    Durable(Zxid),
    /// A job is done and durable.
    Done(JobId),
    /// The log's files: first zxid and bytes of each, ascending.
    Files(Vec<(Zxid, u64)>),
    /// The log was shortened at its beginning: every transaction behind this is still in it.
    Purged(Zxid),
    /// A stream has sent everything up to here.
    Streamed(LinkId, Zxid),
    /// A snapshot was received whole, with its signature; it is staged, not in force.
    SnapRead(LinkId),
    /// A record of the log that was asked for.
    LogRecord(Zxid, Bytes),
    /// The records that were asked for have been given up to here, and no further.
    LogRead(Zxid),
    /// The tree's serialized size, bytes.
    TreeBytes(u64),
    /// How far the tree is.
    Applied(Zxid),
    /// The leader's node has a transaction; it was appended to the log already.
    Propose {
        /// Its zxid.
        zxid: Zxid,
        /// Header, body and digest.
        payload: Bytes,
    },
    /// A packet that the node wants sent to the leader: REQUEST or REVALIDATE.
    ToLeader(Packet),
    /// A packet that the leader's node wants sent to a learner.
    ToLearner(LinkId, Packet),
    /// What a peer has sent makes no sense to the node: its link is closed. Why.
    Drop(LinkId, String),
    /// The server can lead or follow no longer.
    Resign(String),
    /// What the oracle of two servers says: whether this one may go on without the other.
    Oracle(bool),
}

/// How a synchronisation begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Base {
    /// The learner's log is right up to its end; the zxid is the leader's end.
    Diff(Zxid),
    /// The learner's log must be cut behind this zxid.
    Trunc(Zxid),
    /// The learner gets the whole tree, at the zxid of a snapshot of the store.
    Snap,
}

/// What a stream sends: the base packet, with [`Base::Snap`] a snapshot of the store, and then
/// every record behind `after` (behind the snapshot's zxid with [`Base::Snap`]) up to `until` as
/// PROPOSAL and COMMIT.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StreamPlan {
    /// The first packet.
    pub base: Base,
    /// What the learner has.
    pub after: Zxid,
    /// Where the records end; they are durable up to here.
    pub until: Zxid,
}

/// A durable act of the log's thread. Each waits for everything that was asked for before it, is
/// durable when it is done, and then answered with [`In::Done`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Job {
    /// Nothing but to wait until everything appended or staged is durable.
    Flush,
    /// Write acceptedEpoch.
    SaveAccepted(u32),
    /// Write currentEpoch.
    SaveCurrent(u32),
    /// Cut the log behind this zxid.
    Cut(Zxid),
    /// Put the received snapshot, with what was staged behind it, in the place of log and store.
    Switch {
        /// The snapshot's zxid.
        zxid: Zxid,
        /// The last transaction that the snapshot may hold a part of already.
        fuzzy_until: Zxid,
    },
    /// Write the last seen configuration.
    SaveLastSeen(Arc<QuorumConfig>),
    /// Write the committed configuration.
    SaveCommitted(Arc<QuorumConfig>),
}

/// How loud a line is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// What happens anyway.
    Info,
    /// What should not.
    Warn,
}

/// What the driver does.
#[derive(Clone, Debug)]
pub enum Act {
    /// Send a notification over the election port; it takes the place of one that still waits.
    /// Without a connection one is made.
    Cast(Sid, Notification),
    /// The configurations have changed: new addresses hold from now on.
    View(Arc<View>),
    /// Close all election connections and listen anew.
    RestartElection,
    /// Connect to the quorum port of this server, all its addresses at once, for so many
    /// milliseconds.
    Dial(Sid, i64),
    /// Connect to a server as to an observer master: as [`Act::Dial`], but to that port.
    DialMaster(Sid, i64),
    /// Listen on the quorum port, or stop to.
    Listen(bool),
    /// Listen on the observer master's port, or stop to; never together with the quorum port.
    ListenMaster(bool),
    /// Send a packet.
    Send(LinkId, Packet),
    /// Send a packet to each of these.
    Broadcast(Arc<[LinkId]>, Packet),
    /// Close a link, and say nothing more of it.
    Hangup(LinkId),
    /// Append a record to the log; [`In::Durable`] answers.
    Append(Zxid, Bytes),
    /// Append a record to the staged log, behind the snapshot that is being received.
    Stage(Zxid, Bytes),
    /// A durable act.
    Job(JobId, Job),
    /// Begin a stream to a learner.
    Stream(LinkId, StreamPlan),
    /// Let the stream go on up to here.
    StreamMore(LinkId, Zxid),
    /// What follows on this link is a snapshot: stage it, and say [`In::SnapRead`] at its end.
    ReadSnap(LinkId, Zxid),
    /// Drop what is staged.
    Abandon,
    /// Read durable records of the log behind `after` up to `until`, some of them: each is given
    /// with [`In::LogRecord`], the end with [`In::LogRead`].
    ReadLog {
        /// Behind this.
        after: Zxid,
        /// Not beyond this.
        until: Zxid,
    },
    /// Write a line to the log of what happens.
    Log(Level, String),
    /// Another server has said what nobody says who keeps the protocol: a line for the log. Among
    /// servers that all keep it there is none. (What cannot be whatever others say is asserted.)
    Violation(String),
}

/// What the node that owns the tree is told.
#[derive(Clone, Debug)]
pub enum Tell {
    /// There is no leader: end all clients, forget everything that is not committed.
    Rest,
    /// The tree of another server is in force.
    Reloaded {
        /// Where it is.
        zxid: Zxid,
        /// The last transaction of which it may hold a part already.
        fuzzy_until: Zxid,
    },
    /// A transaction, in order, to be applied once it is committed.
    Record(Zxid, Bytes),
    /// Everything up to here is committed.
    Committed(Zxid),
    /// This server leads in this epoch, and everything before it is applied.
    Lead(u32),
    /// This server follows, or observes, and everything up to here must be applied before it
    /// serves clients.
    Learn {
        /// As an observer.
        observer: bool,
        /// Serve from here on.
        serve_from: Zxid,
        /// Where the log ended that it had before the leader sent anything; nothing of it is left
        /// behind a snapshot.
        own: Option<Zxid>,
    },
    /// A REQUEST of a learner.
    Request(LinkId, Packet),
    /// A learner asks whether a session is there, and whose it is from now on.
    Revalidate(LinkId, Packet),
    /// The leader's answer.
    Revalidated(Packet),
    /// A SYNC of the leader.
    SyncDone,
    /// A learner's sessions were heard of.
    Touched(LinkId, Packet),
    /// The leader's PING: it is answered with the sessions that were heard of here.
    Ping(Packet),
    /// A learner is gone.
    LearnerGone(LinkId),
    /// Nobody listens to what is proposed from now on, though the leader's role is kept until the
    /// followers have left.
    Muted,
    /// The configuration that holds.
    Config(Arc<QuorumConfig>),
}

/// One thing that is to be done.
#[derive(Clone, Debug)]
pub enum Out {
    /// By the driver.
    Act(Act),
    /// By the node.
    Tell(Tell),
}

/// Where what is to be done is collected, in order.
#[derive(Debug, Default)]
pub struct Outbox(pub Vec<Out>);

impl Outbox {
    /// For the driver.
    pub fn act(&mut self, act: Act) {
        self.0.push(Out::Act(act));
    }

    /// For the node.
    pub fn tell(&mut self, tell: Tell) {
        self.0.push(Out::Tell(tell));
    }

    /// A line of the log.
    pub fn log(&mut self, level: Level, line: String) {
        self.act(Act::Log(level, line));
    }

    /// A packet.
    pub fn send(&mut self, link: LinkId, packet: Packet) {
        self.act(Act::Send(link, packet));
    }
}
