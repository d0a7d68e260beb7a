//! Two servers of one id: the one that is here stays, the other is sent away, and neither asks
//! again without a pause. Disks answer at once.

use zk_wire::quorum::body::{AckEpoch, LearnerInfo, PROTOCOL};
use zk_wire::quorum::config::QuorumConfig;
use zk_wire::quorum::notification::{Notification, PeerState, VERSION};
use zk_wire::quorum::packet::{Packet, PacketKind};
use zk_zab::history::History;
use zk_zab::io::{Act, In, Level, Out};
use zk_zab::limits::{AT_ONCE_LONGEST_MS, AT_ONCE_MAX, TWIN_TOLD_MS};
use zk_zab::{LinkId, Now, Recovered, Settings, Sid, View, Zab, Zxid};

const TICK_MS: i64 = 1_000;

struct Server {
    zab: Zab,
    now_ms: i64,
    acts: Vec<Act>,
}

impl Server {
    /// This one of three.
    fn of(me: i64) -> Server {
        let lines: String = (1..=3)
            .map(|sid| format!("server.{sid}=10.0.0.{sid}:2888:3888:participant\n"))
            .collect();
        let members = QuorumConfig::parse(&lines, false).expect("members");
        let settings = Settings {
            me: Sid(me),
            tick_ms: TICK_MS,
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
            zab: Zab::recover(settings, View::new(Sid(me), false, members, None), past),
            now_ms: 100_000,
            acts: Vec::new(),
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
                    Out::Act(act) => self.acts.push(act),
                    Out::Tell(_) => {}
                }
            }
        }
    }

    fn vote(&mut self, from: i64, state: PeerState, leader: i64) {
        let notification = Notification {
            state,
            leader,
            zxid: 0,
            round: self.zab.election().round(),
            peer_epoch: 0,
            version: VERSION,
            config: None,
        };
        let from = Sid(from);
        self.step(In::Vote { from, notification });
    }

    /// A server says that it is this one.
    fn greet(&mut self, link: u64, sid: i64) {
        let address = format!("10.0.0.{sid}:{link}");
        let link = LinkId(link);
        self.step(In::Accepted { link, address });
        let info = LearnerInfo {
            sid,
            protocol: PROTOCOL,
            config_version: 0,
        };
        let packet = Packet::with(PacketKind::FollowerInfo, 0, info.encode());
        self.step(In::Packet(link, packet));
    }

    /// It goes on until it is synchronised.
    fn join(&mut self, link: u64, sid: i64) {
        self.greet(link, sid);
        let link = LinkId(link);
        let body = AckEpoch { epoch: 0 }.encode();
        self.step(In::Packet(
            link,
            Packet::with(PacketKind::AckEpoch, 0, body),
        ));
        let streams: Vec<Zxid> = self
            .acts
            .iter()
            .filter_map(|act| match act {
                Act::Stream(of, plan) if *of == link => Some(plan.until),
                _ => None,
            })
            .collect();
        for until in streams {
            self.step(In::Streamed(link, until));
        }
        self.ack(link.0);
    }

    fn ack(&mut self, link: u64) {
        let zxid = Zxid::start_of(self.zab.status().epoch.max(1));
        let packet = Packet::new(PacketKind::Ack, zxid.0);
        self.step(In::Packet(LinkId(link), packet));
    }

    /// Links that were closed since the last call.
    fn hung_up(&mut self) -> Vec<u64> {
        let acts = std::mem::take(&mut self.acts);
        let closed = acts.iter().filter_map(|act| match act {
            Act::Hangup(link) => Some(link.0),
            _ => None,
        });
        closed.collect()
    }

    /// How often it has warned of two servers.
    fn warnings(&self) -> usize {
        let warns = |act: &&Act| matches!(act, Act::Log(Level::Warn, line) if line.contains("two servers with id 1?"));
        self.acts.iter().filter(warns).count()
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
}

#[test]
fn the_one_that_is_here_stays_while_it_is_heard_of() {
    let mut server = Server::of(3);
    server.step(In::PeerUp(Sid(1)));
    server.vote(1, PeerState::Looking, 3);
    server.vote(2, PeerState::Looking, 3);
    assert_eq!(server.zab.status().state, PeerState::Leading);
    server.join(1, 1);
    assert!(server.zab.status().established, "with server 1");
    assert_eq!(server.hung_up(), []);

    server.greet(2, 1);
    assert_eq!(server.warnings(), 1);
    assert_eq!(server.hung_up(), [2], "the second goes");
    server.now_ms += TICK_MS / 2;
    server.ack(1);
    server.greet(3, 1);
    assert_eq!(server.warnings(), 0, "not told again at once");
    assert_eq!(server.hung_up(), [3]);
    server.now_ms += TWIN_TOLD_MS - TICK_MS / 2;
    server.ack(1);
    server.greet(4, 1);
    assert_eq!(server.warnings(), 1, "but now and then");
    assert_eq!(server.hung_up(), [4]);

    // It has lost its link, and come back, before that was noticed here.
    server.now_ms += TICK_MS;
    server.greet(5, 1);
    assert_eq!(server.hung_up(), [1], "the silent one goes");
}

#[test]
fn who_is_sent_away_at_once_asks_less_and_less() {
    let mut server = Server::of(1);
    let begun = server.now_ms;
    let mut dials: Vec<i64> = Vec::new();
    let mut link = 0;
    while server.now_ms < begun + 20_000 {
        if server.zab.status().state == PeerState::Looking {
            server.vote(2, PeerState::Leading, 2);
            server.vote(3, PeerState::Following, 2);
        }
        let acts = std::mem::take(&mut server.acts);
        if acts.iter().any(|act| matches!(act, Act::Dial(..))) {
            dials.push(server.now_ms - begun);
            link += 1;
            let (link, sid) = (LinkId(link), Sid(2));
            server.step(In::Dialled { link, sid });
            let why = "it has closed the connection".into();
            server.step(In::Closed { link, why });
        }
        server.wait(1);
    }
    let early = dials.iter().filter(|at| **at < 100).count();
    assert!(
        early > AT_ONCE_MAX as usize,
        "a few tries are free: {dials:?}"
    );
    let late: Vec<i64> = dials.windows(2).map(|two| two[1] - two[0]).collect();
    let last = late.last().copied().unwrap_or(0);
    assert!(last >= AT_ONCE_LONGEST_MS, "{dials:?}");
    assert!(
        last < 2 * AT_ONCE_LONGEST_MS,
        "it is not forgotten: {dials:?}"
    );
}
