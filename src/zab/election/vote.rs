//! A vote, when two are equal, and which one is better.

use zk_wire::quorum::notification::{Notification, PeerState, VERSION};

use crate::ids::Sid;
use crate::rules::{Rule, Rules};

/// A vote of a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Vote {
    /// Whom it is for.
    pub leader: Sid,
    /// The last zxid of that server.
    pub zxid: i64,
    /// The round in which it was cast.
    pub round: i64,
    /// The current epoch of the server voted for.
    pub peer_epoch: i64,
    /// Version of the notification that brought it; 0 if that does not matter.
    pub version: i32,
    /// What the voter is doing.
    pub state: PeerState,
}

impl Vote {
    /// What a notification says.
    pub fn of(n: &Notification) -> Vote {
        Vote {
            leader: Sid(n.leader),
            zxid: n.zxid,
            round: n.round,
            peer_epoch: n.peer_epoch,
            version: n.version,
            state: n.state,
        }
    }

    /// A vote of a server that is looking.
    pub fn looking(leader: Sid, zxid: i64, round: i64, peer_epoch: i64) -> Vote {
        Vote {
            leader,
            zxid,
            round,
            peer_epoch,
            version: VERSION,
            state: PeerState::Looking,
        }
    }

    /// Whether two votes are for the same. While one of them is cast in an election everything
    /// counts; between established servers zxid and round do not, because those that joined later
    /// have others (ZOOKEEPER-1805), and with a server that does not tell its epoch only the
    /// leader does.
    pub fn agrees(&self, other: &Vote, rules: Rules) -> bool {
        if self.leader != other.leader {
            return false;
        }
        let looking = self.state == PeerState::Looking || other.state == PeerState::Looking;
        if looking || !rules.hold(Rule::CompareEstablishedByLeader) {
            self.zxid == other.zxid
                && self.round == other.round
                && self.peer_epoch == other.peer_epoch
        } else {
            (self.version > 0) != (other.version > 0) || self.peer_epoch == other.peer_epoch
        }
    }

    /// Whether this vote is better than `other`: epoch, then history, then id. A server of weight
    /// 0 is never voted for.
    pub fn beats(&self, other: &Vote, weight: i64) -> bool {
        weight != 0
            && (self.peer_epoch, self.zxid, self.leader)
                > (other.peer_epoch, other.zxid, other.leader)
    }
}
