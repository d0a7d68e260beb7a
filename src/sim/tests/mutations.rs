//! Each rule of the quorum layer can be seen to matter: ensembles that come through with it, and
//! do not without it, and for the reason that it is there for.
//!
//! Rules are switched off by the feature `mutations` only.
#![cfg(feature = "mutations")]

use bytes::Bytes;
use jute::Encode;
use zk_sim::cluster::mutations::{Servers, plan};
use zk_sim::cluster::plan::ensemble;
use zk_sim::cluster::run;
use zk_wire::OpCode;
use zk_wire::quorum::body::{AckEpoch, LearnerInfo, PROTOCOL};
use zk_wire::quorum::notification::{Notification, PeerState, VERSION};
use zk_wire::quorum::packet::{Packet, PacketKind};
use zk_wire::txn::{Txn, TxnBody, TxnHeader};
use zk_zab::election::{Election, Vote};
use zk_zab::io::{Act, In, Job, Out, Outbox, Tell};
use zk_zab::rules::{Rule, Rules};
use zk_zab::{History, LinkId, Now, Recovered, Settings, Sid, View, Zab, Zxid};

/// Seeds that are tried until one fails.
const SEEDS: u64 = 120;

/// The first seed that fails without a rule must say one of these, and pass with it. So it is with
/// bare servers and with whole ones.
fn matters(rule: Rule, says: &[&str]) {
    for servers in [Servers::Bare, Servers::Whole] {
        let found = (0..SEEDS).find_map(|seed| {
            let failure = run(plan(rule, servers, seed, false), 0).failure?;
            Some((seed, failure))
        });
        let Some((seed, failure)) = found else {
            panic!("{rule:?}, {servers:?}: {SEEDS} seeds pass without it");
        };
        println!("{rule:?}, {servers:?}: seed {seed}: {failure}");
        assert!(
            says.iter().any(|text| failure.contains(text)),
            "{rule:?}, {servers:?}: seed {seed} fails for another reason: {failure}"
        );
        let with = run(plan(rule, servers, seed, true), zk_sim::limits::TAIL);
        assert!(with.failure.is_none(), "{rule:?}: {}", with.report());
    }
}

#[test]
fn a_counter_that_is_used_up() {
    matters(Rule::StepDownAtRollover, &["proposed in phase"]);
}

#[test]
fn the_epoch_of_a_vote_behind_a_synchronisation() {
    matters(Rule::UpdatePeerEpoch, &["does not come to rest"]);
}

#[test]
fn a_difference_that_has_not_come() {
    matters(Rule::ClaimOnlyLogged, &["durable is"]);
}

#[test]
fn half_a_snapshot_under_the_next() {
    matters(Rule::DropHalfSnap, &["without a snapshot"]);
}

#[test]
fn a_log_that_is_cut_on_disk_only() {
    matters(Rule::CutAtOnce, &["durable is"]);
}

#[test]
fn a_history_with_a_hole() {
    matters(Rule::ContiguousLog, &["some are missing", "forked"]);
}

#[test]
fn a_vote_ahead_of_the_disk() {
    matters(Rule::DrainBeforeVote, &["votes with a log"]);
}

#[test]
fn an_old_log_under_a_snapshot() {
    let says = [
        "some are missing",
        "but durable is",
        "forked",
        "that ends at",
        // The log ends below the tree.
        "Marks { history_end",
    ];
    matters(Rule::DiscardLogAfterSnap, &says);
}

#[test]
fn new_leader_ahead_of_the_window() {
    let says = ["some are missing", "which was not proposed", "is next"];
    matters(Rule::NewLeaderAfterWindow, &says);
}

#[test]
fn an_acknowledgement_ahead_of_the_disk() {
    matters(Rule::FlushBeforeNewLeaderAck, &["but currentEpoch is"]);
}

#[test]
fn an_epoch_ahead_of_its_history() {
    matters(Rule::EpochAfterData, &["whose history ends at"]);
}

#[test]
fn a_transaction_acknowledged_ahead_of_new_leader() {
    let says = ["NEWLEADER is not acknowledged yet"];
    matters(Rule::NewLeaderAckFirst, &says);
}

#[test]
fn proposals_without_a_commit_at_new_leader() {
    let says = ["which was not proposed", "is next"];
    matters(Rule::KeepUncommitted, &says);
}

#[test]
fn commits_before_up_to_date() {
    let says = [
        "is applied, and durable on",
        "forked",
        "cut behind",
        "is committed here",
    ];
    matters(Rule::ApplyFromUpToDate, &says);
}

#[test]
fn a_leaders_own_word_ahead_of_its_disk() {
    matters(Rule::OwnAckAfterFsync, &["is applied, and durable on"]);
}

#[test]
fn servers_that_do_not_vote() {
    matters(Rule::OnlyVotersCount, &["is applied, and durable on"]);
}

#[test]
fn a_promise_ahead_of_the_disk() {
    matters(Rule::AcceptedEpochBeforeAck, &["acceptedEpoch is"]);
}

#[test]
fn a_learner_told_more_than_is_committed() {
    matters(Rule::SyncUpToCommitted, &["is applied, and durable on"]);
}

#[test]
fn one_zxid_twice() {
    matters(Rule::OneZxidOneTxn, &["some are missing"]);
}

fn rules(off: Option<Rule>) -> Rules {
    Rules { off }
}

/// A server joins an ensemble whose leader won a later round than some of its followers know of.
fn joins(off: Option<Rule>) -> Option<Vote> {
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
    let says = |state, round, zxid: i64| Notification {
        state,
        leader: 2,
        zxid,
        round,
        peer_epoch: 4,
        version: VERSION,
        config: None,
    };
    let leader = says(PeerState::Leading, 7, 0x3_0000_000d);
    let follower = says(PeerState::Following, 4, 0x3_0000_000b);
    let heard = election.on_vote(&view, &settings, Sid(1), &follower, 0, &mut out);
    assert_eq!(heard, None);
    election.on_vote(&view, &settings, Sid(2), &leader, 0, &mut out)
}

#[test]
fn rounds_that_differ_under_one_leader() {
    assert_eq!(joins(None).map(|vote| vote.leader), Some(Sid(2)));
    assert_eq!(joins(Some(Rule::CompareEstablishedByLeader)), None);
}

/// A leader whose jobs are done and whose appends are durable at once, and what it has sent.
struct Leader {
    zab: Zab,
    sent: Vec<(LinkId, PacketKind, i64)>,
    committed: Zxid,
}

impl Leader {
    fn hears(&mut self, input: In) {
        let mut inputs = std::collections::VecDeque::from([input]);
        while let Some(input) = inputs.pop_front() {
            let mut out = Vec::new();
            self.zab.step(Now::default(), input, &mut out);
            for one in out {
                match one {
                    Out::Act(Act::Send(link, packet)) => {
                        self.sent.push((link, packet.kind, packet.zxid));
                    }
                    Out::Act(Act::Broadcast(links, packet)) => {
                        let all = links.iter().map(|link| (*link, packet.kind, packet.zxid));
                        self.sent.extend(all);
                    }
                    Out::Act(Act::Job(
                        id,
                        Job::Flush | Job::SaveAccepted(_) | Job::SaveCurrent(_),
                    )) => {
                        inputs.push_back(In::Done(id));
                    }
                    Out::Act(Act::Append(zxid, _)) => inputs.push_back(In::Durable(zxid)),
                    Out::Tell(Tell::Committed(zxid)) => {
                        self.committed = zxid;
                        inputs.push_back(In::Applied(zxid));
                    }
                    Out::Act(_) | Out::Tell(_) => {}
                }
            }
        }
    }

    /// A follower comes as far as to have NEWLEADER.
    fn follower(&mut self, sid: i64, link: u64, zxid: i64) {
        let id = LinkId(link);
        let address = format!("server {sid}");
        self.hears(In::Accepted { link: id, address });
        let info = LearnerInfo {
            sid,
            protocol: PROTOCOL,
            config_version: 0,
        };
        let hello = Packet::with(PacketKind::FollowerInfo, 0, info.encode());
        self.hears(In::Packet(id, hello));
        let promise = AckEpoch { epoch: 0 }.encode();
        let promise = Packet::with(PacketKind::AckEpoch, zxid, promise);
        self.hears(In::Packet(id, promise));
        let has = |kind| self.sent.iter().any(|(to, k, _)| *to == id && *k == kind);
        assert!(has(PacketKind::LeaderInfo) && has(PacketKind::NewLeader));
    }

    fn acknowledges(&mut self, link: u64, zxid: Zxid) {
        let packet = Packet::new(PacketKind::Ack, zxid.0);
        self.hears(In::Packet(LinkId(link), packet));
    }
}

/// A transaction is acknowledged by one follower, between its NEWLEADER and the acknowledgement of
/// that, as those before 3.8.5 may. Whether it is committed.
fn early(off: Option<Rule>) -> bool {
    let view = View::new(Sid(3), false, ensemble(3, 0), None);
    let settings = Settings {
        me: Sid(3),
        rules: rules(off),
        ..Settings::default()
    };
    let past = Recovered {
        history: History::default(),
        accepted: 0,
        current: 0,
        applied: Zxid::ZERO,
        may_vote: true,
    };
    let mut leader = Leader {
        zab: Zab::recover(settings, view, past),
        sent: Vec::new(),
        committed: Zxid::ZERO,
    };
    leader.hears(In::Tick);
    let notification = Notification {
        state: PeerState::Looking,
        leader: 3,
        zxid: 0,
        round: 1,
        peer_epoch: 0,
        version: VERSION,
        config: None,
    };
    for from in [Sid(1), Sid(2)] {
        let notification = notification.clone();
        leader.hears(In::Vote { from, notification });
    }
    let start = Zxid::start_of(1);
    leader.follower(1, 1, 0);
    leader.acknowledges(1, start);
    assert!(leader.zab.status().established);
    let zxid = start.next();
    let txn = Txn {
        header: TxnHeader {
            client_id: 1,
            cxid: 1,
            zxid: zxid.0,
            time: 0,
            op: OpCode::Error.to_i32(),
        },
        body: TxnBody::Error { err: -101 },
        digest: None,
    };
    let payload = Bytes::from(txn.to_vec());
    leader.hears(In::Propose { zxid, payload });
    // The first follower has gone without a word; the other one comes.
    let why = "reset".to_owned();
    leader.hears(In::Closed {
        link: LinkId(1),
        why,
    });
    leader.follower(2, 2, 0);
    leader.acknowledges(2, zxid);
    leader.acknowledges(2, start);
    leader.committed == zxid
}

#[test]
fn acknowledgements_before_that_of_new_leader() {
    assert!(early(None));
    assert!(!early(Some(Rule::TolerateEarlyAcks)));
}
