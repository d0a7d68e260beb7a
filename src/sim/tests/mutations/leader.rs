//! What a leader does with followers of which some are older.

use std::collections::VecDeque;

use zk_sim::cluster::plan::ensemble;
use zk_wire::quorum::body::{AckEpoch, LearnerInfo, PROTOCOL};
use zk_wire::quorum::notification::PeerState;
use zk_wire::quorum::packet::{Packet, PacketKind};
use zk_zab::history::Range;
use zk_zab::io::{Act, Base, In, Job, Out, Tell};
use zk_zab::plan::{Facts, plan};
use zk_zab::rules::Rule;
use zk_zab::{History, LinkId, Now, Recovered, Settings, Sid, View, Zab, Zxid};

use super::{payload, rules, says};

/// A leader whose jobs are done and whose appends are durable at once, and what it has sent.
struct Leader {
    zab: Zab,
    now_ms: i64,
    sent: Vec<(LinkId, PacketKind, Zxid)>,
    streams: Vec<(LinkId, Zxid)>,
    committed: Zxid,
}

impl Leader {
    /// Server 3 of three, which the others vote for.
    fn elected(settings: Settings) -> Leader {
        let view = View::new(Sid(3), false, ensemble(3, 0), None);
        let past = Recovered {
            history: History::default(),
            accepted: 0,
            current: 0,
            applied: Zxid::ZERO,
            may_vote: true,
        };
        let settings = Settings {
            me: Sid(3),
            ..settings
        };
        let mut leader = Leader {
            zab: Zab::recover(settings, view, past),
            now_ms: 0,
            sent: Vec::new(),
            streams: Vec::new(),
            committed: Zxid::ZERO,
        };
        leader.hears(In::Tick);
        for from in [Sid(1), Sid(2)] {
            let notification = says(PeerState::Looking, 3, Zxid::ZERO, 1, 0);
            leader.hears(In::Vote { from, notification });
        }
        assert_eq!(leader.zab.status().state, PeerState::Leading);
        leader
    }

    /// It leads, and server 1 follows over link 1.
    fn followed(off: Option<Rule>) -> Leader {
        let mut leader = Leader::elected(Settings {
            rules: rules(off),
            ..Settings::default()
        });
        leader.follower(1, 1, Zxid::ZERO);
        leader.acknowledges(1, Zxid::start_of(1));
        assert!(leader.zab.status().established);
        leader
    }

    fn hears(&mut self, input: In) {
        let mut inputs = VecDeque::from([input]);
        while let Some(input) = inputs.pop_front() {
            let now = Now {
                mono_ms: self.now_ms,
                wall_ms: self.now_ms,
            };
            let mut out = Vec::new();
            self.zab.step(now, input, &mut out);
            for one in out {
                match one {
                    Out::Act(Act::Send(link, packet)) => {
                        self.sent.push((link, packet.kind, Zxid(packet.zxid)));
                    }
                    Out::Act(Act::Broadcast(links, packet)) => {
                        let zxid = Zxid(packet.zxid);
                        let all = links.iter().map(|link| (*link, packet.kind, zxid));
                        self.sent.extend(all);
                    }
                    Out::Act(Act::Stream(link, plan)) => self.streams.push((link, plan.until)),
                    Out::Act(Act::StreamMore(link, until)) => self.streams.push((link, until)),
                    Out::Act(Act::Job(
                        id,
                        Job::Flush | Job::SaveAccepted(_) | Job::SaveCurrent(_),
                    )) => inputs.push_back(In::Done(id)),
                    Out::Act(Act::Append(zxid, _)) => inputs.push_back(In::Durable(zxid)),
                    Out::Act(Act::Violation(line)) => panic!("{line}"),
                    Out::Tell(Tell::Committed(zxid)) => {
                        self.committed = zxid;
                        inputs.push_back(In::Applied(zxid));
                    }
                    Out::Act(_) | Out::Tell(_) => {}
                }
            }
        }
    }

    /// A follower comes as far as to say what it has.
    fn follower(&mut self, sid: i64, link: u64, zxid: Zxid) {
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
        let promise = Packet::with(PacketKind::AckEpoch, zxid.0, promise);
        self.hears(In::Packet(id, promise));
    }

    fn acknowledges(&mut self, link: u64, zxid: Zxid) {
        let packet = Packet::new(PacketKind::Ack, zxid.0);
        self.hears(In::Packet(LinkId(link), packet));
    }

    fn proposes(&mut self, zxid: Zxid, bytes: usize) {
        let payload = payload(zxid, bytes);
        self.hears(In::Propose { zxid, payload });
    }

    /// What a link was sent.
    fn told(&self, link: u64) -> Vec<(PacketKind, Zxid)> {
        let sent = self.sent.iter().filter(|(to, ..)| *to == LinkId(link));
        sent.map(|(_, kind, zxid)| (*kind, *zxid)).collect()
    }
}

fn first(counter: i64) -> Zxid {
    Zxid(Zxid::start_of(1).0 + counter)
}

/// A transaction is acknowledged by one follower, between its NEWLEADER and the acknowledgement of
/// that, as those before 3.8.5 may. Whether it is committed.
fn early(off: Option<Rule>) -> bool {
    let mut leader = Leader::followed(off);
    leader.proposes(first(1), 0);
    // The first follower has gone without a word; the other one comes.
    let why = "reset".to_owned();
    leader.hears(In::Closed {
        link: LinkId(1),
        why,
    });
    leader.follower(2, 2, Zxid::ZERO);
    leader.acknowledges(2, first(1));
    leader.acknowledges(2, first(0));
    leader.committed == first(1)
}

#[test]
fn acknowledgements_before_that_of_new_leader() {
    assert!(early(None));
    assert!(!early(Some(Rule::TolerateEarlyAcks)));
}

/// A follower before 3.9.3: what it was proposed it forgets to wait for at NEWLEADER, and a COMMIT
/// between that and UPTODATE stops it.
fn old_follower(told: &[(PacketKind, Zxid)]) -> Result<Vec<Zxid>, String> {
    let mut waits = VecDeque::new();
    let mut logged = VecDeque::new();
    let mut committed = Vec::new();
    let mut serves = false;
    for (kind, zxid) in told {
        match kind {
            PacketKind::Proposal => waits.push_back(*zxid),
            PacketKind::NewLeader => logged.append(&mut waits),
            PacketKind::UpToDate => {
                logged.append(&mut waits);
                serves = true;
            }
            PacketKind::Commit => {
                let next = if serves {
                    logged.pop_front()
                } else {
                    waits.pop_front()
                };
                if next != Some(*zxid) {
                    return Err(format!("COMMIT of {zxid}, next is {next:?}"));
                }
                committed.push(*zxid);
            }
            _ => {}
        }
    }
    Ok(committed)
}

/// What an old follower makes of a transaction that was proposed before its NEWLEADER and is
/// committed before its UPTODATE.
fn committed_meanwhile(off: Option<Rule>) -> Result<Vec<Zxid>, String> {
    let mut leader = Leader::followed(off);
    leader.proposes(first(1), 0);
    leader.follower(2, 2, Zxid::ZERO);
    leader.acknowledges(1, first(1));
    assert_eq!(leader.committed, first(1));
    leader.acknowledges(2, first(0));
    old_follower(&leader.told(2))
}

#[test]
fn a_commit_between_new_leader_and_up_to_date() {
    assert_eq!(committed_meanwhile(None), Ok(vec![first(1)]));
    let without = committed_meanwhile(Some(Rule::HoldCommits));
    assert!(without.is_err(), "{without:?}");
}

/// A learner gets what it lacks while more is committed than a leader keeps in memory. What it is
/// given from there, and up to where its stream is to go.
fn handed_over(off: Option<Rule>) -> (Vec<Zxid>, Option<Zxid>) {
    let mut leader = Leader::followed(off);
    for counter in 1..=2 {
        leader.proposes(first(counter), 0);
        leader.acknowledges(1, first(counter));
    }
    leader.follower(2, 2, first(1));
    assert_eq!(leader.streams, [(LinkId(2), first(2))]);
    let last = 2 + (zk_zab::limits::WINDOW_BYTES >> 20) as i64 + 8;
    for counter in 3..=last {
        leader.proposes(first(counter), 1 << 20);
        leader.acknowledges(1, first(counter));
    }
    assert_eq!(leader.committed, first(last));
    leader.hears(In::Streamed(LinkId(2), first(2)));
    let told = leader.told(2).into_iter();
    let given = told.filter(|(kind, _)| *kind == PacketKind::Proposal);
    let given = given.map(|(_, zxid)| zxid).collect();
    let more = leader.streams.get(1).map(|(_, until)| *until);
    (given, more)
}

#[test]
fn what_is_in_memory_no_more() {
    let (given, more) = handed_over(None);
    assert!(given.is_empty() && more.is_some(), "{given:?} {more:?}");
    let (given, more) = handed_over(Some(Rule::ContiguousWindow));
    assert!(given[0] > first(3) && more.is_none(), "{given:?} {more:?}");
}

/// How a learner begins that stands where an epoch began in which it has no transaction.
fn at_the_start_of_an_epoch(off: Option<Rule>) -> Base {
    let range = Range {
        first: first(1),
        last: first(9),
    };
    let history = History::new(Zxid::ZERO, vec![range], Vec::new());
    let facts = Facts {
        history: &history,
        end: first(9),
        epoch: 3,
        peer: Zxid::start_of(2),
        tree_bytes: 1 << 20,
        factor: 0.33,
        window: 500,
        force_snap: false,
        rules: rules(off),
    };
    plan(&facts).base
}

#[test]
fn the_start_of_an_epoch_is_not_cut_off() {
    assert_eq!(at_the_start_of_an_epoch(None), Base::Diff(first(9)));
    let without = at_the_start_of_an_epoch(Some(Rule::EpochStartIsNoTxn));
    assert_eq!(without, Base::Trunc(first(9)));
}

/// A leader waits for followers, and hears that one of its voters looks for a leader again. For
/// how long it waits on.
fn waits_on(max_wait_for_epoch_ms: i64) -> i64 {
    let mut leader = Leader::elected(Settings {
        max_wait_for_epoch_ms,
        ..Settings::default()
    });
    leader.now_ms = 1_000;
    let heard_ms = leader.now_ms;
    let notification = says(PeerState::Looking, 1, Zxid::ZERO, 2, 0);
    let from = Sid(1);
    leader.hears(In::Vote { from, notification });
    while leader.zab.status().state == PeerState::Leading {
        leader.now_ms = leader.now_ms.max(leader.zab.deadline_ms());
        leader.hears(In::Tick);
    }
    leader.now_ms - heard_ms
}

/// Whoever wants it (`zookeeper.leader.maxTimeToWaitForEpoch`) does not wait for `initLimit`.
#[test]
fn a_voter_that_has_left_before_the_epoch() {
    let init_ms = Settings::default().tick_ms * Settings::default().init_limit;
    assert_eq!(waits_on(500), 0);
    assert_eq!(waits_on(-1), init_ms - 1_000);
}
