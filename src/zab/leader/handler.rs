//! One learner's link, as the leader sees it.
//!
//! Owns: how far its synchronisation is, what is held back from it, and when it must be heard of.
//! Does not know: quorums, what is proposed.

use alloc::string::String;
use alloc::vec::Vec;

use zk_wire::quorum::packet::Packet;

use crate::ids::{Sid, Zxid};
use crate::leader::plan::Row;

/// How far a learner is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    /// It has connected.
    Connected,
    /// It has said who it is, and waits for the epoch.
    Greeted,
    /// It was told the epoch.
    Told,
    /// It has accepted the epoch, and waits until enough others have.
    Accepted,
    /// It is being sent what it lacks.
    Streaming,
    /// It gets what is new as it comes, and has NEWLEADER.
    Live,
    /// It has acknowledged NEWLEADER.
    Synced,
    /// It has UPTODATE.
    Serving,
}

/// What kind of learner it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// It logs proposals, and votes if the configuration says so.
    Follower,
    /// It hears of what is committed.
    Observer,
}

/// See the module.
#[derive(Debug)]
pub struct Handler {
    /// Its address.
    pub address: String,
    /// How far it is.
    pub stage: Stage,
    /// Who it is, once it has said so.
    pub sid: Sid,
    /// What it is, once it has said so.
    pub kind: Kind,
    /// Its last zxid, as it said.
    pub peer: Zxid,
    /// Why it gets what it gets.
    pub row: Option<Row>,
    /// Everything up to here was sent by its stream.
    pub streamed: Zxid,
    /// Decisions that are told it behind UPTODATE only: between NEWLEADER and that followers
    /// before 3.9.3 fail over one (ZOOKEEPER-4394).
    held: Vec<Packet>,
    held_bytes: usize,
    /// What it is waited for until, monotonic milliseconds.
    pub deadline_ms: i64,
    /// When it said something last, monotonic milliseconds.
    pub heard_ms: i64,
    /// Until which tick it counts as being there.
    pub deadline_tick: i64,
    /// The oldest proposal that was sent and not acknowledged, as far as two are remembered, and
    /// when it was sent.
    unacked: Option<(Zxid, i64)>,
    next_unacked: Option<(Zxid, i64)>,
    /// Whether a line was written of an acknowledgement that makes no sense.
    pub warned: bool,
}

impl Handler {
    /// Of a new link.
    pub fn new(address: String, deadline_ms: i64, deadline_tick: i64) -> Handler {
        Handler {
            address,
            stage: Stage::Connected,
            sid: Sid(-1),
            kind: Kind::Follower,
            peer: Zxid(-1),
            row: None,
            streamed: Zxid::ZERO,
            held: Vec::new(),
            held_bytes: 0,
            deadline_ms,
            heard_ms: i64::MIN,
            deadline_tick,
            unacked: None,
            next_unacked: None,
            warned: false,
        }
    }

    /// Holds a decision back. Returns whether there is room.
    pub fn hold(&mut self, packet: Packet, bound: usize) -> bool {
        self.held_bytes += packet.size();
        self.held.push(packet);
        self.held_bytes <= bound
    }

    /// What was held back.
    pub fn take_held(&mut self) -> Vec<Packet> {
        self.held_bytes = 0;
        core::mem::take(&mut self.held)
    }

    /// A proposal was sent to it.
    pub fn sent(&mut self, zxid: Zxid, now_ms: i64) {
        if self.unacked.is_none() {
            self.unacked = Some((zxid, now_ms));
        } else {
            self.next_unacked = Some((zxid, now_ms));
        }
    }

    /// It has acknowledged up to here.
    pub fn acked(&mut self, zxid: Zxid) {
        if self.unacked.is_some_and(|(oldest, _)| oldest <= zxid) {
            self.unacked = self.next_unacked.take().filter(|(next, _)| *next > zxid);
        }
    }

    /// Whether it leaves a proposal unanswered for so long.
    pub fn is_late(&self, now_ms: i64, limit_ms: i64) -> bool {
        self.unacked
            .is_some_and(|(_, since)| now_ms - since >= limit_ms)
    }
}
