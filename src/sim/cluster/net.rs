//! What lies between servers: the links of the quorum port, and one connection of the election
//! port for each pair.
//!
//! Owns: what is under way, in order, and which directions are dead. Does not know: what is said,
//! when it arrives.
//!
//! Invariants: a link's packets arrive in the order in which they were sent, or not at all, and
//! then nothing behind them does; of what waits for an election connection only the last is kept.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use zk_wire::quorum::notification::Notification;
use zk_wire::quorum::packet::Packet;
use zk_zab::{LinkId, Zxid};

use super::disk::Snapshot;

/// A server's place in the list of machines.
pub type Place = usize;

/// What comes over a link.
#[derive(Clone, Debug)]
pub enum Wire {
    /// It is open.
    Open,
    /// A packet.
    Packet(Packet),
    /// A part of a snapshot; with the last comes the whole.
    Snap(Option<(Zxid, Snapshot)>),
    /// It has ended.
    End(&'static str),
}

/// One direction of a link.
#[derive(Debug, Default)]
pub struct Pipe {
    /// What is under way, with the time at which it arrives.
    pub queue: VecDeque<(i64, Wire)>,
    /// Whether an arrival is planned.
    pub planned: bool,
    /// When the last of it arrives.
    pub last_us: i64,
}

/// The end of a link that dialled, the learner's.
pub const LEARNER: usize = 0;

/// The end that was dialled, the leader's.
pub const LEADER: usize = 1;

/// A link.
#[derive(Debug)]
pub struct Link {
    /// Who is at either end: the machine, and which of its lives.
    pub ends: [(Place, u64); 2],
    /// What is under way to either end.
    pub pipes: [Pipe; 2],
    /// Whether either end has it open.
    pub open: [bool; 2],
    /// Whether it was lost: nothing that is sent from now on arrives.
    pub lost: bool,
    /// Whether the learner dialled an observer master.
    pub master: bool,
    /// What the learner was told: the epoch.
    pub told: Option<u32>,
    /// The last transaction that came to the learner before NEWLEADER.
    pub before_new_leader: Option<Zxid>,
    /// Whether NEWLEADER has come to the learner.
    pub new_leader: bool,
    /// Whether the learner has acknowledged it.
    pub acknowledged: bool,
}

impl Link {
    /// One between these.
    pub fn new(learner: (Place, u64), leader: (Place, u64)) -> Link {
        Link {
            ends: [learner, leader],
            pipes: [Pipe::default(), Pipe::default()],
            open: [false, false],
            lost: false,
            master: false,
            told: None,
            before_new_leader: None,
            new_leader: false,
            acknowledged: false,
        }
    }
}

/// One direction of an election connection.
#[derive(Debug, Default)]
pub struct Votes {
    /// What waits to be sent.
    pub slot: Option<Notification>,
    /// What was sent last.
    pub last: Option<Notification>,
    /// What is under way.
    pub queue: VecDeque<(i64, Notification)>,
    /// Whether a sending is planned.
    pub sending: bool,
    /// Whether an arrival is planned.
    pub planned: bool,
}

/// The election connection of a pair.
#[derive(Debug, Default)]
pub struct Connection {
    /// Whether it is there.
    pub up: bool,
    /// Which one it is.
    pub number: u64,
    /// Whether somebody is connecting.
    pub connecting: bool,
}

/// Everything between servers.
#[derive(Debug, Default)]
pub struct Net {
    /// Links, open or with something under way.
    pub links: BTreeMap<LinkId, Link>,
    /// How many there were.
    pub made: u64,
    /// Election connections, the smaller place first.
    pub pairs: BTreeMap<(Place, Place), Connection>,
    /// What is sent over them, by direction.
    pub votes: BTreeMap<(Place, Place), Votes>,
    /// When a server hears last of the state of its connection to another.
    pub heard_us: BTreeMap<(Place, Place), i64>,
    /// Directions that are dead.
    pub blocked: BTreeSet<(Place, Place)>,
}

impl Net {
    /// Whether a word can go both ways.
    pub fn is_whole(&self, a: Place, b: Place) -> bool {
        !self.blocked.contains(&(a, b)) && !self.blocked.contains(&(b, a))
    }
}

/// The key of a pair.
pub fn pair(a: Place, b: Place) -> (Place, Place) {
    (a.min(b), a.max(b))
}
