//! Two voters, of which one may go on alone if an oracle says so. Disks answer at once, and there
//! is no other server: what it would say is said by the test.

use bytes::Bytes;
use zk_wire::quorum::config::QuorumConfig;
use zk_wire::quorum::notification::{Notification, PeerState, VERSION};
use zk_zab::history::History;
use zk_zab::io::{Act, In, Out, Tell};
use zk_zab::{Now, Recovered, Settings, Sid, View, Zab, Zxid};

const FINALIZE_MS: i64 = 200;

struct Server {
    zab: Zab,
    now_ms: i64,
    told: Vec<Tell>,
}

impl Server {
    /// Server 1 of so many voters.
    fn of(voters: i64, has_oracle: bool) -> Server {
        let lines: String = (1..=voters)
            .map(|sid| format!("server.{sid}=10.0.0.{sid}:2888:3888:participant\n"))
            .collect();
        let members = QuorumConfig::parse(&lines, false).expect("members");
        let view = View::new(Sid(1), false, members, None);
        let view = if has_oracle { view.with_oracle() } else { view };
        let settings = Settings {
            tick_ms: 1_000,
            finalize_ms: FINALIZE_MS,
            ..Settings::default()
        };
        let past = Recovered {
            history: History::new(Zxid::ZERO, Vec::new(), Vec::new()),
            accepted: 0,
            current: 0,
            applied: Zxid::ZERO,
            may_vote: true,
        };
        let mut server = Server {
            zab: Zab::recover(settings, view, past),
            now_ms: 1_000,
            told: Vec::new(),
        };
        server.step(In::Tick);
        server
    }

    fn step(&mut self, input: In) {
        let mut inputs = vec![input];
        while let Some(input) = inputs.pop() {
            let mut outs = Vec::new();
            let now = Now {
                mono_ms: self.now_ms,
                wall_ms: self.now_ms,
            };
            self.zab.step(now, input, &mut outs);
            for out in outs {
                match out {
                    Out::Act(Act::Job(id, _)) => inputs.push(In::Done(id)),
                    Out::Act(Act::Append(zxid, _)) => inputs.push(In::Durable(zxid)),
                    Out::Act(_) => {}
                    Out::Tell(tell) => self.told.push(tell),
                }
            }
        }
    }

    /// So much time passes, with every tick that is asked for.
    fn wait(&mut self, ms: i64) {
        let until = self.now_ms + ms;
        while self.zab.deadline_ms() <= until {
            self.now_ms = self.now_ms.max(self.zab.deadline_ms());
            self.step(In::Tick);
        }
        self.now_ms = until;
    }

    fn state(&self) -> PeerState {
        self.zab.status().state
    }

    fn leads(&self) -> bool {
        self.state() == PeerState::Leading && self.zab.status().established
    }

    fn vote(&mut self, from: i64, state: PeerState, leader: i64) {
        let notification = Notification {
            state,
            leader,
            zxid: 0,
            round: 1,
            peer_epoch: 0,
            version: VERSION,
            config: None,
        };
        let from = Sid(from);
        self.step(In::Vote { from, notification });
    }

    fn propose(&mut self, zxid: Zxid) {
        let payload = Bytes::from_static(b"what it is does not matter here");
        self.step(In::Propose { zxid, payload });
    }
}

#[test]
fn it_says_no_until_it_is_asked() {
    let mut server = Server::of(2, true);
    server.wait(60_000);
    assert_eq!(server.state(), PeerState::Looking);
}

#[test]
fn with_its_leave_one_leads_and_commits_alone() {
    let mut server = Server::of(2, true);
    server.step(In::Oracle(true));
    assert_eq!(server.state(), PeerState::Looking, "the other may vote yet");
    server.wait(FINALIZE_MS);
    assert!(server.leads());
    let zxid = Zxid(server.zab.status().epoch as i64 * (1 << 32) + 1);
    server.propose(zxid);
    assert_eq!(server.zab.committed(), zxid);
    server.wait(60_000);
    assert!(server.leads());
    server.step(In::Oracle(false));
    server.wait(1_000);
    assert!(!server.leads(), "the leave was taken back");
    assert!(server.told.iter().any(|tell| matches!(tell, Tell::Rest)));
}

#[test]
fn the_other_is_followed_if_it_is_better_or_leads() {
    for alone in [true, false] {
        let mut server = Server::of(2, true);
        server.step(In::Oracle(alone));
        server.vote(2, PeerState::Leading, 2);
        assert_eq!(server.state(), PeerState::Following);
    }
    let mut server = Server::of(2, true);
    server.step(In::Oracle(true));
    server.step(In::PeerUp(Sid(2)));
    server.vote(2, PeerState::Looking, 2);
    server.wait(FINALIZE_MS);
    assert_eq!(server.state(), PeerState::Following);
}

#[test]
fn only_two_are_decided_between_and_only_where_there_is_one() {
    for (voters, has_oracle) in [(2, false), (3, true)] {
        let mut server = Server::of(voters, has_oracle);
        server.step(In::Oracle(true));
        server.vote(2, PeerState::Leading, 2);
        server.wait(60_000);
        assert_eq!(server.state(), PeerState::Looking);
    }
}
