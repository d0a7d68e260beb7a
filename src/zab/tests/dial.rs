//! How often a learner dials a leader that does not listen, and when it gives up.

use zk_wire::quorum::config::QuorumConfig;
use zk_wire::quorum::notification::{Notification, PeerState, VERSION};
use zk_zab::history::History;
use zk_zab::io::{Act, In, Out};
use zk_zab::limits::{DIAL_FIRST_PAUSE_MS, DIAL_TRIES};
use zk_zab::{Now, Recovered, Settings, Sid, View, Zab, Zxid};

const PAUSE_MS: i64 = 100;
const LEADER: i64 = 2;

/// Server 1 of three. Jobs are done at once; the dials are counted.
struct Learner {
    zab: Zab,
    now_ms: i64,
    dials: usize,
}

impl Learner {
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
                    Out::Act(Act::Dial(sid, _)) => {
                        assert_eq!(sid, Sid(LEADER));
                        self.dials += 1;
                    }
                    Out::Act(_) | Out::Tell(_) => {}
                }
            }
        }
    }

    /// Server 2 leads, as it says itself and server 3.
    fn new() -> Learner {
        let lines: String = (1..=3)
            .map(|sid| format!("server.{sid}=10.0.0.{sid}:2888:3888:participant\n"))
            .collect();
        let members = QuorumConfig::parse(&lines, false).expect("members");
        let settings = Settings {
            tick_ms: 1_000,
            dial_pause_ms: PAUSE_MS,
            ..Settings::default()
        };
        let past = Recovered {
            history: History::new(Zxid::ZERO, Vec::new(), Vec::new()),
            accepted: 0,
            current: 0,
            applied: Zxid::ZERO,
            may_vote: true,
        };
        let mut learner = Learner {
            zab: Zab::recover(settings, View::new(Sid(1), false, members, None), past),
            now_ms: 1_000,
            dials: 0,
        };
        learner.step(In::Tick);
        for (from, state) in [(LEADER, PeerState::Leading), (3, PeerState::Following)] {
            let notification = Notification {
                state,
                leader: LEADER,
                zxid: 0,
                round: 1,
                peer_epoch: 0,
                version: VERSION,
                config: None,
            };
            let from = Sid(from);
            learner.step(In::Vote { from, notification });
        }
        assert_eq!(learner.zab.status().state, PeerState::Following);
        learner
    }

    /// The dial fails at once. How long until the next, or until it looks for a leader again.
    fn refused(&mut self) -> i64 {
        let (dials, since) = (self.dials, self.now_ms);
        self.step(In::DialFailed {
            sid: Sid(LEADER),
            why: "refused".into(),
        });
        while self.dials == dials && self.zab.status().state == PeerState::Following {
            self.now_ms = self.now_ms.max(self.zab.deadline_ms());
            self.step(In::Tick);
        }
        self.now_ms - since
    }
}

#[test]
fn a_leader_that_is_about_to_listen_is_reached_soon_and_gets_no_less_time() {
    let mut learner = Learner::new();
    let mut pauses = Vec::new();
    while learner.zab.status().state == PeerState::Following {
        pauses.push(learner.refused());
        assert!(pauses.len() < 100, "it never gives up: {pauses:?}");
    }
    let first = DIAL_FIRST_PAUSE_MS;
    assert_eq!(&pauses[..4], [first, 2 * first, 4 * first, 8 * first]);
    let rest = &pauses[4..];
    assert_eq!(rest.len() as u32, DIAL_TRIES, "{pauses:?}");
    assert!(
        rest[..rest.len() - 1].iter().all(|ms| *ms == PAUSE_MS),
        "{pauses:?}"
    );
}
