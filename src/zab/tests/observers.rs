//! A follower that serves observers. What its leader and its observers say is said by the test.

use bytes::Bytes;
use jute::Encode;
use zk_wire::quorum::body::{AckEpoch, LearnerInfo, PROTOCOL, Request, Revalidate, Revalidated};
use zk_wire::quorum::config::QuorumConfig;
use zk_wire::quorum::notification::{Notification, PeerState, VERSION};
use zk_wire::quorum::packet::{Packet, PacketKind};
use zk_wire::txn::{Txn, TxnBody, TxnHeader};
use zk_zab::history::History;
use zk_zab::io::{Act, In, Out, Tell};
use zk_zab::{LinkId, Now, Recovered, Settings, Sid, View, Zab, Zxid};

const LEADER: LinkId = LinkId(1);
const OBSERVER: LinkId = LinkId(2);

struct Follower {
    zab: Zab,
    sent: Vec<(LinkId, Packet)>,
    hung_up: Vec<LinkId>,
    told: Vec<Tell>,
}

fn zxid(counter: i64) -> Zxid {
    Zxid((1 << 32) + counter)
}

fn payload(counter: i64) -> Bytes {
    let txn = Txn {
        header: TxnHeader {
            client_id: 7,
            cxid: 1,
            zxid: zxid(counter).0,
            time: 1,
            op: -1,
        },
        body: TxnBody::Error { err: -101 },
        digest: None,
    };
    txn.to_vec().into()
}

impl Follower {
    /// Server 1 of two voters and an observer, which follows server 2 in epoch 1.
    fn new() -> Follower {
        let lines = "server.1=10.0.0.1:2888:3888:participant\n\
                     server.2=10.0.0.2:2888:3888:participant\n\
                     server.3=10.0.0.3:2888:3888:observer\n";
        let members = QuorumConfig::parse(lines, false).expect("members");
        let settings = Settings {
            observer_master: true,
            ..Settings::default()
        };
        let past = Recovered {
            history: History::new(Zxid::ZERO, Vec::new(), Vec::new()),
            accepted: 0,
            current: 0,
            applied: Zxid::ZERO,
            may_vote: true,
        };
        let view = View::new(Sid(1), false, members, None);
        let mut follower = Follower {
            zab: Zab::recover(settings, view, past),
            sent: Vec::new(),
            hung_up: Vec::new(),
            told: Vec::new(),
        };
        follower.step(In::Tick);
        for (from, state) in [(2, PeerState::Leading), (1, PeerState::Following)] {
            let notification = Notification {
                state,
                leader: 2,
                zxid: 0,
                round: 1,
                peer_epoch: 0,
                version: VERSION,
                config: None,
            };
            let from = Sid(from);
            follower.step(In::Vote { from, notification });
        }
        follower.step(In::Dialled {
            link: LEADER,
            sid: Sid(2),
        });
        for packet in [
            Packet::new(PacketKind::LeaderInfo, zxid(0).0),
            Packet::new(PacketKind::Diff, 0),
            Packet::new(PacketKind::NewLeader, zxid(0).0),
            Packet::new(PacketKind::UpToDate, -1),
        ] {
            follower.step(In::Packet(LEADER, packet));
        }
        assert!(follower.zab.status().established);
        follower
    }

    fn step(&mut self, input: In) {
        let mut inputs = vec![input];
        while let Some(input) = inputs.pop() {
            let mut outs = Vec::new();
            let now = Now {
                mono_ms: 1_000,
                wall_ms: 1_000,
            };
            self.zab.step(now, input, &mut outs);
            for out in outs {
                match out {
                    Out::Act(Act::Job(id, _)) => inputs.push(In::Done(id)),
                    Out::Act(Act::Append(zxid, _)) => inputs.push(In::Durable(zxid)),
                    Out::Act(Act::Send(link, packet)) => self.sent.push((link, packet)),
                    Out::Act(Act::Broadcast(links, packet)) => {
                        let each = links.iter().map(|link| (*link, packet.clone()));
                        self.sent.extend(each);
                    }
                    Out::Act(Act::Hangup(link)) => self.hung_up.push(link),
                    Out::Act(_) => {}
                    Out::Tell(tell) => self.told.push(tell),
                }
            }
        }
    }

    fn leader(&mut self, packet: Packet) {
        self.step(In::Packet(LEADER, packet));
    }

    fn observer(&mut self, packet: Packet) {
        self.step(In::Packet(OBSERVER, packet));
    }

    fn propose(&mut self, counter: i64) {
        let payload = payload(counter);
        self.leader(Packet::with(PacketKind::Proposal, zxid(counter).0, payload));
    }

    fn commit(&mut self, counter: i64) {
        self.leader(Packet::new(PacketKind::Commit, zxid(counter).0));
    }

    /// Kinds and zxids of what was sent to a link since the last call.
    fn take(&mut self, link: LinkId) -> Vec<(PacketKind, i64)> {
        let (to, rest) = self.sent.drain(..).partition(|(to, _)| *to == link);
        self.sent = rest;
        let to: Vec<(LinkId, Packet)> = to;
        to.into_iter().map(|(_, p)| (p.kind, p.zxid)).collect()
    }

    /// An observer that says it has everything up to here.
    fn greet(&mut self, has: Zxid) {
        self.step(In::Accepted {
            link: OBSERVER,
            address: "10.0.0.3:1".into(),
        });
        let info = LearnerInfo {
            sid: 3,
            protocol: PROTOCOL,
            config_version: 0,
        };
        self.observer(Packet::with(PacketKind::ObserverInfo, 0, info.encode()));
        let epoch = AckEpoch { epoch: 0 };
        self.observer(Packet::with(PacketKind::AckEpoch, has.0, epoch.encode()));
    }
}

#[test]
fn it_is_told_what_is_committed_and_behind_uptodate() {
    let mut follower = Follower::new();
    follower.propose(1);
    follower.commit(1);
    follower.greet(zxid(1));
    assert_eq!(
        follower.take(OBSERVER),
        [
            (PacketKind::LeaderInfo, zxid(0).0),
            (PacketKind::Diff, zxid(1).0),
            (PacketKind::NewLeader, zxid(0).0),
        ]
    );
    follower.propose(2);
    follower.propose(3);
    follower.commit(2);
    assert_eq!(follower.take(OBSERVER), [], "it is not ready");
    follower.observer(Packet::new(PacketKind::Ack, zxid(0).0));
    follower.commit(3);
    assert_eq!(
        follower.take(OBSERVER),
        [
            (PacketKind::UpToDate, -1),
            (PacketKind::Inform, zxid(2).0),
            (PacketKind::Inform, zxid(3).0),
        ]
    );
    assert_eq!(follower.zab.status().learners.observers, 1);
}

#[test]
fn whoever_is_ahead_is_waited_for() {
    let mut follower = Follower::new();
    follower.propose(1);
    follower.greet(zxid(1));
    assert_eq!(
        follower.take(OBSERVER),
        [(PacketKind::LeaderInfo, zxid(0).0)]
    );
    follower.commit(1);
    assert_eq!(
        follower.take(OBSERVER),
        [
            (PacketKind::Diff, zxid(1).0),
            (PacketKind::NewLeader, zxid(0).0)
        ]
    );
    assert_eq!(follower.hung_up, []);
}

#[test]
fn answers_go_to_whoever_asked() {
    let mut follower = Follower::new();
    follower.greet(Zxid::ZERO);
    follower.observer(Packet::new(PacketKind::Ack, zxid(0).0));
    follower.take(OBSERVER);
    let sync = |cxid| {
        let request = Request {
            session: 7,
            cxid,
            op: 9,
            body: Bytes::new(),
        };
        Packet::with(PacketKind::Request, -1, request.encode())
    };
    let ask = |session| {
        let asked = Revalidate {
            session,
            timeout_ms: 6_000,
        };
        Packet::with(PacketKind::Revalidate, -1, asked.encode())
    };
    follower.step(In::ToLeader(sync(1)));
    follower.observer(sync(2));
    follower.observer(ask(8));
    follower.step(In::ToLeader(ask(9)));
    let passed_on = follower.take(LEADER);
    let kinds: Vec<PacketKind> = passed_on.iter().map(|(kind, _)| *kind).collect();
    let last = &kinds[kinds.len() - 4..];
    let (request, revalidate) = (PacketKind::Request, PacketKind::Revalidate);
    assert_eq!(last, [request, request, revalidate, revalidate]);
    follower.told.clear();
    follower.leader(Packet::new(PacketKind::Sync, 0));
    assert!(matches!(follower.told[..], [Tell::SyncDone]));
    assert_eq!(follower.take(OBSERVER), []);
    follower.leader(Packet::new(PacketKind::Sync, 0));
    assert_eq!(follower.take(OBSERVER), [(PacketKind::Sync, 0)]);
    for session in [8, 9] {
        let valid = true;
        let answer = Revalidated { session, valid };
        follower.leader(Packet::with(PacketKind::Revalidate, -1, answer.encode()));
    }
    assert_eq!(follower.take(OBSERVER), [(PacketKind::Revalidate, -1)]);
    let [
        Tell::SyncDone,
        Tell::Touched(OBSERVER, _),
        Tell::Revalidated(_),
    ] = &follower.told[..]
    else {
        panic!("{:?}", follower.told);
    };
}

#[test]
fn it_serves_nobody_else() {
    let mut follower = Follower::new();
    follower.step(In::Accepted {
        link: OBSERVER,
        address: "10.0.0.2:1".into(),
    });
    let info = LearnerInfo {
        sid: 2,
        protocol: PROTOCOL,
        config_version: 0,
    };
    follower.observer(Packet::with(PacketKind::FollowerInfo, 0, info.encode()));
    assert_eq!(follower.hung_up, [OBSERVER]);
    // Nor an observer that acknowledges what only voters do.
    follower.greet(Zxid::ZERO);
    follower.observer(Packet::new(PacketKind::Ack, zxid(0).0));
    follower.observer(Packet::new(PacketKind::Ack, zxid(1).0));
    assert_eq!(follower.hung_up, [OBSERVER, OBSERVER]);
}
