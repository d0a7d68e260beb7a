//! What a learner does with leaders that do not keep the protocol, or that go at the wrong moment.

use std::panic::{AssertUnwindSafe, catch_unwind};

use zk_sim::cluster::plan::ensemble;
use zk_wire::quorum::notification::PeerState;
use zk_wire::quorum::packet::{Packet, PacketKind};
use zk_zab::history::Range;
use zk_zab::io::{Act, In, Job, Out};
use zk_zab::rules::Rule;
use zk_zab::{History, LinkId, Now, Recovered, Settings, Sid, View, Zab, Zxid};

use super::{payload, rules, says};

/// A learner whose jobs are done and whose appends are durable at once.
struct Learner {
    zab: Zab,
    links: u64,
    /// What it has said to its leader last.
    said: Option<Packet>,
    cuts: Vec<Zxid>,
    violations: Vec<String>,
}

fn first(counter: i64) -> Zxid {
    Zxid(Zxid::start_of(1).0 + counter)
}

impl Learner {
    /// Server 1 of three, with a log up to `end` of the first epoch and a tree at `applied`. It has
    /// promised server 3 its epoch.
    fn new(off: Option<Rule>, end: Zxid, applied: Zxid) -> Learner {
        let view = View::new(Sid(1), false, ensemble(3, 0), None);
        let range = Range {
            first: first(1),
            last: end,
        };
        let past = Recovered {
            history: History::new(Zxid::ZERO, vec![range], Vec::new()),
            accepted: 1,
            current: 1,
            applied,
            may_vote: true,
        };
        let settings = Settings {
            me: Sid(1),
            rules: rules(off),
            ..Settings::default()
        };
        let mut learner = Learner {
            zab: Zab::recover(settings, view, past),
            links: 0,
            said: None,
            cuts: Vec::new(),
            violations: Vec::new(),
        };
        learner.hears(In::Tick);
        learner.finds_a_leader();
        learner
    }

    fn hears(&mut self, input: In) {
        let mut inputs = vec![input];
        while let Some(input) = inputs.pop() {
            let mut out = Vec::new();
            self.zab.step(Now::default(), input, &mut out);
            for one in out {
                match one {
                    Out::Act(Act::Job(id, job)) => {
                        if let Job::Cut(zxid) = job {
                            self.cuts.push(zxid);
                        }
                        inputs.push(In::Done(id));
                    }
                    Out::Act(Act::Append(zxid, _)) => inputs.push(In::Durable(zxid)),
                    Out::Act(Act::Send(_, packet)) => self.said = Some(packet),
                    Out::Act(Act::Violation(line)) => self.violations.push(line),
                    Out::Act(_) | Out::Tell(_) => {}
                }
            }
        }
    }

    /// It follows server 3 from the first packet to its promise. Where that says that it is.
    fn finds_a_leader(&mut self) -> Zxid {
        assert_eq!(self.zab.status().state, PeerState::Looking);
        let round = self.zab.election().round();
        for (from, state) in [(2, PeerState::Following), (3, PeerState::Leading)] {
            let notification = says(state, 3, first(9), round, 1);
            let from = Sid(from);
            self.hears(In::Vote { from, notification });
        }
        self.links += 1;
        let link = LinkId(self.links);
        self.hears(In::Dialled { link, sid: Sid(3) });
        let epoch = Zxid::start_of(2).0;
        self.is_told(Packet::new(PacketKind::LeaderInfo, epoch));
        let promise = self.said.take().expect("a promise");
        assert_eq!(promise.kind, PacketKind::AckEpoch);
        Zxid(promise.zxid)
    }

    fn is_told(&mut self, packet: Packet) {
        self.hears(In::Packet(LinkId(self.links), packet));
    }

    fn loses_its_leader(&mut self) {
        let link = LinkId(self.links);
        let why = "reset".to_owned();
        self.hears(In::Closed { link, why });
    }
}

fn base(kind: PacketKind, zxid: Zxid) -> Packet {
    Packet::new(kind, zxid.0)
}

/// A leader cuts a log and goes. What the learner then says that it has.
fn cut_and_left(off: Option<Rule>) -> (Zxid, Zxid) {
    let mut learner = Learner::new(off, first(5), first(2));
    learner.is_told(base(PacketKind::Trunc, first(3)));
    assert_eq!(learner.cuts, [first(3)]);
    learner.loses_its_leader();
    (learner.finds_a_leader(), learner.zab.history().end())
}

#[test]
fn a_log_that_is_cut_on_disk_only() {
    assert_eq!(cut_and_left(None), (first(3), first(3)));
    // It claims what it does not have.
    let without = cut_and_left(Some(Rule::CutAtOnce));
    assert_eq!(without, (first(5), first(3)));
}

/// A leader announces what is to come, and goes. What the learner then says that it has.
#[test]
fn a_difference_of_which_nothing_came() {
    let says = |off| {
        let mut learner = Learner::new(off, first(5), first(5));
        learner.is_told(base(PacketKind::Diff, first(9)));
        learner.loses_its_leader();
        learner.finds_a_leader()
    };
    assert_eq!(says(None), first(5));
    assert_eq!(says(Some(Rule::ClaimOnlyLogged)), first(9));
}

/// A leader leaves a transaction out. What the learner says of it.
fn left_out(off: Option<Rule>) -> Vec<String> {
    let mut learner = Learner::new(off, first(5), first(5));
    learner.is_told(base(PacketKind::Diff, first(9)));
    for counter in [6, 8] {
        let zxid = first(counter);
        let packet = Packet::with(PacketKind::Proposal, zxid.0, payload(zxid, 0));
        learner.is_told(packet);
    }
    assert_eq!(learner.zab.history().end(), first(6));
    learner.violations
}

#[test]
fn a_leader_with_a_hole() {
    let said = left_out(None);
    assert!(said[0].contains("some are missing"), "{said:?}");
    // It would be one more with the hole, but that a log cannot have one.
    let without = catch_unwind(AssertUnwindSafe(|| left_out(Some(Rule::RefuseGaps))));
    let why = without.expect_err("a log with a hole");
    let why = why.downcast_ref::<String>().map(String::as_str);
    assert!(
        why.is_some_and(|why| why.contains("cannot stand behind")),
        "{why:?}"
    );
}

/// A leader wants cut off what is committed. What was cut, and where the next leader hears that
/// this server is.
fn cut_too_far(off: Option<Rule>) -> (Vec<Zxid>, Zxid) {
    let mut learner = Learner::new(off, first(5), first(5));
    learner.is_told(base(PacketKind::Trunc, first(3)));
    if learner.violations.is_empty() {
        learner.loses_its_leader();
    }
    (learner.cuts.clone(), learner.finds_a_leader())
}

#[test]
fn what_is_committed_is_not_cut() {
    // It asks for everything.
    assert_eq!(cut_too_far(None), (vec![], Zxid(-1)));
    let without = cut_too_far(Some(Rule::NeverCutCommitted));
    assert_eq!(without, (vec![first(3)], first(3)));
}
