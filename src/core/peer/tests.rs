//! Whom a member serves in which part of its life. Its disk answers at once.

use alloc::format;

use zk_wire::quorum::notification::Notification;
use zk_zab::history::{History, Range};
use zk_zab::{Recovered, Settings, Sid, View};

use super::*;
use crate::ConnId;
use crate::config::Config;
use crate::io::{Grant, Submit};

const AFTER_MS: i64 = 2_000;

fn at(mono_ms: i64) -> Now {
    Now {
        mono_ms,
        wall_ms: 1_700_000_000_000 + mono_ms,
    }
}

/// Answers handshakes, and nothing else comes.
#[derive(Default)]
struct Grants(Vec<(ConnId, Option<Grant>)>);

impl Post for Grants {
    fn before_write(&mut self, _: &Tree, _: &mut Watches, _: ConnId) -> Result<(), Need> {
        Ok(())
    }
    fn event(&mut self, _: ConnId, _: Zxid, _: crate::watch::Event, _: &str) {}
    fn done(&mut self, _: ConnId, _: i32, _: &crate::io::Reply<'_>) {}
    fn connected(&mut self, conn: ConnId, grant: Option<Grant>) {
        self.0.push((conn, grant));
    }
    fn detach(&mut self, _: SessionId, _: Option<ConnId>) {}
}

struct Member {
    peer: Peer,
    tree: Tree,
    watches: Watches,
    grants: Grants,
    now: i64,
    modes: Vec<ServeMode>,
}

impl Member {
    /// Server 1 of so many voters.
    fn of(voters: i64, config: Config) -> Member {
        let config = Arc::new(config);
        let tree = Tree::new(config.extended, 1);
        let node = Node::resting(config, &tree, Zxid::ZERO, Zxid::ZERO, at(0));
        let lines: alloc::string::String = (1..=voters)
            .map(|sid| format!("server.{sid}=10.0.0.{sid}:2888:3888:participant\n"))
            .collect();
        let members = QuorumConfig::parse(&lines, false).expect("members");
        let settings = Settings {
            tick_ms: 1_000,
            ..Settings::default()
        };
        let past = Recovered {
            history: History::new(Zxid::ZERO, Vec::<Range>::new(), Vec::new()),
            accepted: 0,
            current: 0,
            applied: Zxid::ZERO,
            may_vote: true,
        };
        let view = View::new(Sid(1), false, members, None);
        Member {
            peer: Peer::ensemble(node, Zab::recover(settings, view, past)),
            tree,
            watches: Watches::default(),
            grants: Grants::default(),
            now: 0,
            modes: Vec::new(),
        }
    }

    fn step(&mut self, event: Event) {
        let mut events = VecDeque::from([event]);
        while let Some(event) = events.pop_front() {
            let mut deeds = Vec::new();
            self.peer.step(&self.tree, at(self.now), event, &mut deeds);
            while self.peer.can_apply() {
                self.peer.apply(
                    &mut self.tree,
                    &mut self.watches,
                    &mut self.grants,
                    100,
                    at(self.now),
                    &mut deeds,
                );
            }
            for deed in deeds {
                match deed {
                    Deed::Serve(mode) => self.modes.push(mode),
                    Deed::Act(Act::Job(id, _)) => events.push_back(Event::Peer(In::Done(id))),
                    Deed::Act(Act::Append(zxid, _)) => {
                        events.push_back(Event::Node(Input::Durable(zxid)));
                    }
                    _ => {}
                }
            }
        }
    }

    /// Time passes until then, with every tick that was asked for.
    fn wait(&mut self, until_ms: i64) {
        while self.peer.deadline_ms() <= until_ms {
            self.now = self.now.max(self.peer.deadline_ms());
            self.step(Event::Node(Input::Tick));
        }
        self.now = until_ms;
    }

    fn take_modes(&mut self) -> Vec<ServeMode> {
        core::mem::take(&mut self.modes)
    }

    /// Server 2 of three says that it and 3 follow 3 in round 1.
    fn hear_of_a_leader(&mut self) {
        for (from, state) in [(3, PeerState::Leading), (2, PeerState::Following)] {
            let notification = Notification {
                state,
                leader: 3,
                zxid: 0,
                round: 1,
                peer_epoch: 1,
                version: zk_wire::quorum::notification::VERSION,
                config: None,
            };
            let from = Sid(from);
            self.step(Event::Peer(In::Vote { from, notification }));
        }
    }
}

fn read_only() -> Config {
    Config {
        read_only_after_ms: Some(AFTER_MS),
        ..Config::default()
    }
}

#[test]
fn who_finds_no_leader_lets_clients_read() {
    let mut member = Member::of(3, read_only());
    member.step(Event::Node(Input::Tick));
    member.wait(AFTER_MS - 1);
    assert_eq!(member.take_modes(), []);
    member.wait(AFTER_MS);
    assert_eq!(member.take_modes(), [ServeMode::ReadOnly]);
    assert!(!member.peer.is_serving());
    member.step(Event::Node(Input::Submit(Submit::Connect {
        conn: ConnId(1),
        timeout_ms: 6_000,
    })));
    assert!(matches!(member.grants.0[..], [(ConnId(1), Some(_))]));
    member.wait(60_000);
    assert_eq!(member.take_modes(), []);
}

#[test]
fn it_ends_with_a_leader_and_begins_anew_without() {
    let mut member = Member::of(3, read_only());
    member.step(Event::Node(Input::Tick));
    member.wait(AFTER_MS);
    member.take_modes();
    member.hear_of_a_leader();
    assert_eq!(member.take_modes(), [ServeMode::Closed]);
    assert_eq!(member.peer.node().role(), Role::Resting);
    // The leader does not answer: it is looked for again, and the time counts from there.
    let mut leaves = || loop {
        let looks = |member: &Member| {
            let status = member.peer.status().expect("a member");
            status.state == PeerState::Looking
        };
        member.step(Event::Peer(In::DialFailed {
            sid: Sid(3),
            why: "refused".into(),
        }));
        if looks(&member) {
            break member.now;
        }
        member.wait(member.now + 100);
    };
    let since = leaves();
    member.wait(since + AFTER_MS - 1);
    assert_eq!(member.take_modes(), []);
    member.wait(since + AFTER_MS);
    assert_eq!(member.take_modes(), [ServeMode::ReadOnly]);
}

#[test]
fn without_the_key_nobody_reads() {
    let mut member = Member::of(3, Config::default());
    member.step(Event::Node(Input::Tick));
    member.wait(60_000);
    assert_eq!(member.take_modes(), []);
}

#[test]
fn a_leader_may_be_kept_free_of_clients() {
    for leader_serves in [true, false] {
        let mut member = Member::of(
            1,
            Config {
                leader_serves,
                ..read_only()
            },
        );
        member.step(Event::Node(Input::Tick));
        member.wait(10_000);
        let status = member.peer.status().expect("a member");
        assert!(status.established && status.state == PeerState::Leading);
        assert!(matches!(member.peer.node().role(), Role::Leader { .. }));
        let modes = member.take_modes();
        if leader_serves {
            assert_eq!(modes, [ServeMode::Full]);
        } else {
            assert_eq!(modes, []);
        }
    }
}

#[test]
fn the_first_transactions_of_a_leader_show_whether_the_trees_are_one() {
    let own = Zxid(0x1_0000_0005);
    let applied = |same: Option<i64>, wrong: &[i64]| Applied {
        same: same.map(Zxid),
        mismatches: wrong
            .iter()
            .map(|at| (Zxid(*at), "it differs".into()))
            .collect(),
        ..Applied::default()
    };
    let foreign = |zxid| {
        Some(Foreign {
            leader: 3,
            own,
            zxid: Zxid(zxid),
        })
    };
    let mut member = Member::of(3, Config::default());
    member.step(Event::Node(Input::Tick));
    member.hear_of_a_leader();
    let mut judge = |joined, seen: &[Applied]| {
        member.peer.joined = joined;
        member.peer.strange = 0;
        let found = seen.iter().map(|applied| member.peer.compare(applied));
        found.collect::<Vec<_>>()
    };
    let (before, first, second, third) = (own.0, own.0 + 1, own.0 + 2, own.0 + 3);
    // What it had itself shows nothing.
    let seen = [
        applied(Some(before), &[]),
        applied(None, &[first, second]),
        applied(None, &[third]),
    ];
    assert_eq!(judge(Some(own), &seen), [None, None, foreign(third)]);
    let seen = [applied(Some(first), &[]), applied(None, &[second, third])];
    assert_eq!(judge(Some(own), &seen), [None, None], "it was one");
    let seen = [applied(None, &[first]), applied(Some(third), &[second])];
    assert_eq!(judge(Some(own), &seen), [None, None], "it is one");
    let seen = [applied(None, &[]), applied(None, &[before, first, second])];
    assert_eq!(
        judge(Some(own), &seen),
        [None, None],
        "one of them is its own"
    );
    let seen = [applied(None, &[first, second, third])];
    assert_eq!(judge(Some(own), &seen), [foreign(third)]);
    assert_eq!(judge(None, &seen), [None], "behind a snapshot");
}
