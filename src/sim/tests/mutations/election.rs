//! Elections among servers of which some are older.

use zk_sim::cluster::plan::ensemble;
use zk_wire::quorum::notification::{Notification, PeerState};
use zk_zab::election::{Election, Vote};
use zk_zab::io::Outbox;
use zk_zab::rules::Rule;
use zk_zab::{Settings, Sid, View, Zxid};

use super::{rules, says};

/// Server 3 looks for a leader, and hears this of 1 and of 2.
fn joins(off: Option<Rule>, first: &Notification, second: &Notification) -> Option<Vote> {
    let view = View::new(Sid(3), false, ensemble(3, 0), None);
    let settings = Settings {
        me: Sid(3),
        rules: rules(off),
        ..Settings::default()
    };
    let mut out = Outbox::default();
    let mut election = Election::new(Sid(3));
    let vote = election.begin(&view, &settings, 0, 0, 0, &mut out);
    assert_eq!(vote, None);
    let heard = election.on_vote(&view, &settings, Sid(1), first, 0, &mut out);
    assert_eq!(heard, None);
    election.on_vote(&view, &settings, Sid(2), second, 0, &mut out)
}

/// The leader won a later round than some of its followers know of, with a longer log.
#[test]
fn rounds_that_differ_under_one_leader() {
    let zxid = |counter| Zxid(Zxid::start_of(3).0 + counter);
    let follower = says(PeerState::Following, 2, zxid(11), 4, 4);
    let leader = says(PeerState::Leading, 2, zxid(13), 7, 4);
    let joined = |off| joins(off, &follower, &leader).map(|vote| vote.leader);
    assert_eq!(joined(None), Some(Sid(2)));
    assert_eq!(joined(Some(Rule::CompareEstablishedByLeader)), None);
}

/// All have decided in the round of the one that joins, and only some tell the new epoch.
#[test]
fn epochs_that_differ_in_one_round() {
    let zxid = Zxid(Zxid::start_of(3).0 + 11);
    let follower = says(PeerState::Following, 2, zxid, 1, 4);
    let leader = says(PeerState::Leading, 2, zxid, 1, 3);
    let joined = |off| joins(off, &follower, &leader).map(|vote| vote.leader);
    assert_eq!(joined(None), Some(Sid(2)));
    assert_eq!(joined(Some(Rule::SameRoundByLeader)), None);
}
