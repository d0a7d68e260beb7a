//! Seeded choice of steps.
//!
//! Owns: the weights of operations, and what a generator must know of the past to make requests
//! that meet something: which sessions live, which paths were created.
//!
//! Does not know: verdicts. It sees the left server's replies only to learn created paths; the same
//! seed against equal servers gives the same steps.
//!
//! Invariant: nothing whose answer is a race inside Java, or that stops it, goes to it: the comments
//! at `burst` and `Op::is_poison` name those.

mod ops;

use fastrand::Rng;
use ops::{mispredicted, throws};

use super::exchange::{FrameKind, Header, Outcome};
use super::op::{Op, code};
use super::run::{LONG_TIMEOUT, OBSERVER, SLOTS};
use super::step::{Passwd, Request, Step};
use super::universe::{Universe, chance, pick};
use crate::limits::{MAX_BURST, MAX_REQUEST};
use crate::raw::{Bytes, In, text};
use crate::servers::Settings;

/// What the generator may see of the runner.
#[derive(Debug, Clone)]
pub struct View {
    /// Which slots are connected.
    pub connected: [bool; SLOTS],
    /// The newest zxid.
    pub zxid: i64,
    /// Whether some server refuses what stops Java.
    pub refusing: bool,
}

/// Kinds of single requests, with their ordinary weight.
const KINDS: &[(Kind, u32)] = &[
    (Kind::Create, 140),
    (Kind::Create2, 60),
    (Kind::Container, 30),
    (Kind::Ttl, 30),
    (Kind::Delete, 110),
    (Kind::Exists, 70),
    (Kind::GetData, 70),
    (Kind::SetData, 100),
    (Kind::GetAcl, 30),
    (Kind::SetAcl, 30),
    (Kind::GetChildren, 40),
    (Kind::GetChildren2, 40),
    (Kind::Sync, 10),
    (Kind::Ping, 10),
    (Kind::Multi, 80),
    (Kind::MultiRead, 30),
    (Kind::Auth, 20),
    (Kind::SetWatches, 20),
    (Kind::SetWatches2, 20),
    (Kind::AddWatch, 40),
    (Kind::CheckWatches, 20),
    (Kind::RemoveWatches, 30),
    (Kind::Ephemerals, 20),
    (Kind::CountChildren, 20),
    (Kind::WhoAmI, 10),
    (Kind::Reconfig, 5),
    (Kind::Sasl, 4),
    (Kind::Quota, 40),
    (Kind::Close, 5),
    (Kind::Unknown, 3),
];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Create,
    Create2,
    Container,
    Ttl,
    Delete,
    Exists,
    GetData,
    SetData,
    GetAcl,
    SetAcl,
    GetChildren,
    GetChildren2,
    Sync,
    Ping,
    Multi,
    MultiRead,
    Auth,
    SetWatches,
    SetWatches2,
    AddWatch,
    CheckWatches,
    RemoveWatches,
    Ephemerals,
    CountChildren,
    WhoAmI,
    Reconfig,
    Sasl,
    Quota,
    Close,
    Unknown,
}

/// Steps between two draws of the weights.
const SWARM_EVERY: usize = 400;

/// The generator.
#[derive(Debug)]
pub struct Generator {
    rng: Rng,
    universe: Universe,
    weights: Vec<u32>,
    until_swarm: usize,
    xids: [i32; SLOTS],
    alive: [bool; SLOTS],
    slots: usize,
    /// Leaves out what Java answers by an exception.
    calm: bool,
    /// Leaves out what Java's own digest prediction gets wrong, so that its counter must stay 0.
    pub clean_digest: bool,
}

impl Generator {
    /// A generator for one run.
    pub fn new(seed: u64, settings: &Settings, calm: bool) -> Self {
        let mut rng = Rng::with_seed(seed);
        let slots = rng.usize(3..SLOTS);
        let clean_digest = seed.is_multiple_of(2);
        Self {
            universe: Universe::new(settings.enforce_quota, !clean_digest && !calm),
            weights: KINDS.iter().map(|(_, w)| *w).collect(),
            until_swarm: SWARM_EVERY,
            xids: [0; SLOTS],
            alive: [false; SLOTS],
            slots,
            calm,
            clean_digest,
            rng,
        }
    }

    /// Learns from the left server's answer.
    pub fn learn(&mut self, slot: usize, requests: &[Request], outcome: &Outcome) {
        for frame in &outcome.frames {
            let FrameKind::Reply(i) = frame.kind else {
                continue;
            };
            if Header::of(&frame.bytes).is_none_or(|h| h.err != 0) {
                continue;
            }
            match requests[i].op {
                code::CREATE | code::CREATE2 | code::CREATE_CONTAINER | code::CREATE_TTL => {
                    if let Some(Some(path)) = In::new(&frame.bytes[16..]).bytes() {
                        self.universe.learn(&mut self.rng, path);
                    }
                }
                code::CLOSE_SESSION => self.alive[slot] = false,
                _ => {}
            }
        }
    }

    /// The next step.
    pub fn next(&mut self, view: &View) -> Step {
        self.until_swarm -= 1;
        if self.until_swarm == 0 {
            self.until_swarm = SWARM_EVERY;
            for (weight, (_, usual)) in self.weights.iter_mut().zip(KINDS) {
                *weight = usual * *pick(&mut self.rng, &[0, 1, 3, 3, 3, 10]);
            }
        }
        let rng = &mut self.rng;
        if chance(rng, 2.0) {
            return self.heal();
        }
        let slot = 1 + rng.usize(..self.slots);
        if !view.connected[slot] {
            return self.connect(slot, view);
        }
        match rng.u32(..10_000) {
            0..=29 => Step::Drop { slot },
            30..=79 => Step::Attach {
                slot,
                timeout: LONG_TIMEOUT,
                read_only: Some(false),
                passwd: Passwd::Right,
            },
            80..=94 => Step::Attach {
                slot,
                timeout: LONG_TIMEOUT,
                read_only: None,
                passwd: self.wrong_passwd(),
            },
            95..=109 => Step::Frame {
                slot,
                bytes: self.bad_frame(),
            },
            110..=114 => {
                self.alive[slot] = false;
                Step::Expire {
                    slot,
                    drop: self.rng.bool(),
                }
            }
            115..=119 => self.large(slot),
            120..=149 if view.refusing => Step::Refused {
                slot,
                request: self.poison(slot),
            },
            150..=1100 => self.burst(slot, view),
            _ => {
                let request = self.single(slot, view);
                Step::Send {
                    slot,
                    requests: vec![request],
                }
            }
        }
    }

    /// The observer, which is super, opens or removes something, so that no corner stays locked.
    fn heal(&mut self) -> Step {
        let path = self.universe.good_path(&mut self.rng);
        let open = Some(vec![super::op::Acl {
            perms: 31,
            scheme: text("world"),
            id: text("anyone"),
        }]);
        let path = if chance(&mut self.rng, 10.0) {
            text("/")
        } else {
            path
        };
        let op = if self.rng.bool() {
            Op::SetAcl {
                path,
                acl: open,
                version: -1,
            }
        } else {
            Op::Versioned {
                op: code::DELETE,
                path,
                version: -1,
            }
        };
        let xid = self.xid(OBSERVER);
        let op = if op.is_poison() {
            Op::Bare { op: code::PING }
        } else {
            op
        };
        Step::Send {
            slot: OBSERVER,
            requests: vec![Request {
                xid,
                op: op.code(),
                body: op.body(),
            }],
        }
    }

    fn wrong_passwd(&mut self) -> Passwd {
        *pick(
            &mut self.rng,
            &[Passwd::Wrong, Passwd::Wrong, Passwd::Empty, Passwd::Null],
        )
    }

    fn connect(&mut self, slot: usize, view: &View) -> Step {
        let read_only = *pick(&mut self.rng, &[Some(false), Some(false), Some(true), None]);
        if self.alive[slot] {
            let right = chance(&mut self.rng, 85.0);
            let passwd = if right {
                Passwd::Right
            } else {
                self.wrong_passwd()
            };
            return Step::Attach {
                slot,
                timeout: LONG_TIMEOUT,
                read_only,
                passwd,
            };
        }
        let rng = &mut self.rng;
        match rng.u32(..20) {
            // The session is closed, or never was: must be refused.
            0 => {
                return Step::Attach {
                    slot,
                    timeout: LONG_TIMEOUT,
                    read_only,
                    passwd: Passwd::Right,
                };
            }
            // From the future: closed without an answer. The session does not come to be.
            1 => {
                let last_zxid = *pick(rng, &[view.zxid + 1000, i64::MAX]);
                return Step::Open {
                    slot,
                    timeout: LONG_TIMEOUT,
                    read_only,
                    last_zxid,
                    passwd: None,
                    with: vec![],
                };
            }
            // Odd timeouts show their negotiated value; closed at once, before a short one passes.
            2 | 3 => {
                let timeout = *pick(
                    rng,
                    &[
                        0,
                        -1,
                        1,
                        399,
                        400,
                        401,
                        4000,
                        i32::MAX,
                        i32::MIN,
                        3_600_000,
                        3_600_001,
                    ],
                );
                let xid = self.xid(slot);
                let close = Request {
                    xid,
                    op: code::CLOSE_SESSION,
                    body: vec![],
                };
                return Step::Open {
                    slot,
                    timeout,
                    read_only,
                    last_zxid: 0,
                    passwd: Some(vec![]),
                    with: vec![close],
                };
            }
            _ => {}
        }
        self.alive[slot] = true;
        let passwd = pick(
            rng,
            &[Some(vec![0; 16]), Some(vec![]), None, Some(vec![7; 40])],
        )
        .clone();
        let last_zxid = *pick(rng, &[0, 0, view.zxid, -1]);
        let with = if chance(rng, 25.0) {
            let n = self.rng.usize(1..4);
            self.burst_requests(n, slot, view)
        } else {
            vec![]
        };
        Step::Open {
            slot,
            timeout: LONG_TIMEOUT,
            read_only,
            last_zxid,
            passwd,
            with,
        }
    }

    /// Frames that a server answers by closing.
    fn bad_frame(&mut self) -> Vec<u8> {
        let rng = &mut self.rng;
        let n = match rng.u32(..6) {
            0 => -1,
            1 => i32::MIN,
            2 => 0,
            3 => i32::try_from(MAX_REQUEST).expect("a million") + 1,
            4 => i32::MAX,
            _ => {
                let short = rng.usize(1..8);
                let mut bytes = u32::try_from(short)
                    .expect("below 8")
                    .to_be_bytes()
                    .to_vec();
                bytes.extend((0..short).map(|_| rng.u8(..)));
                return bytes;
            }
        };
        n.to_be_bytes().to_vec()
    }

    /// The largest request that passes, or one a little smaller.
    fn large(&mut self, slot: usize) -> Step {
        let path = text("/c");
        let spare = *pick(&mut self.rng, &[0, 1]);
        let op = Op::SetData {
            data: Universe::largest_data(&path, spare),
            path,
            version: -1,
        };
        let xid = self.xid(slot);
        // The data does not stay: it would come back with every getData.
        let small = Op::SetData {
            path: text("/c"),
            data: text("small"),
            version: -1,
        };
        let after = self.xid(slot);
        let requests = vec![
            Request {
                xid,
                op: op.code(),
                body: op.body(),
            },
            Request {
                xid: after,
                op: small.code(),
                body: small.body(),
            },
        ];
        Step::Send { slot, requests }
    }

    fn poison(&mut self, slot: usize) -> Request {
        let rng = &mut self.rng;
        let acl = Some(vec![super::op::Acl {
            perms: 31,
            scheme: text("world"),
            id: text("anyone"),
        }]);
        let op = match rng.u32(..6) {
            0 => Op::CreateTtl {
                path: text("/ttl"),
                data: None,
                acl,
                flags: rng.i32(0..5),
                ttl: -1,
            },
            1 => Op::Create {
                op: code::CREATE,
                path: text("/zookeeper/quota/zookeeper_limits"),
                data: text(""),
                acl,
                flags: 0,
            },
            2 => Op::OnePath {
                op: code::DELETE_CONTAINER,
                path: self.universe.good_path(rng),
            },
            3 => Op::PathKind {
                op: code::CREATE_SESSION,
                path: None,
                kind: 0,
            },
            4 => Op::SetData {
                path: text("/zookeeper/quota/a/zookeeper_stats"),
                data: None,
                version: -1,
            },
            _ => Op::Versioned {
                op: code::DELETE,
                path: text("/zookeeper/quota/zookeeper_limits"),
                version: -1,
            },
        };
        let xid = self.xid(slot);
        Request {
            xid,
            op: op.code(),
            body: op.body(),
        }
    }

    fn xid(&mut self, slot: usize) -> i32 {
        self.xids[slot] += 1;
        self.xids[slot]
    }

    fn kind(&mut self) -> Kind {
        let total: u32 = self.weights.iter().sum();
        let mut at = self.rng.u32(..total);
        for ((kind, _), weight) in KINDS.iter().zip(&self.weights) {
            if at < *weight {
                return *kind;
            }
            at -= weight;
        }
        Kind::Create
    }

    /// One request, on its own in flight: anything goes but poison.
    fn single(&mut self, slot: usize, view: &View) -> Request {
        let kind = self.kind();
        let op = self.harmless(kind, view);
        let xid = match (op.code(), self.rng.u32(..60)) {
            (code::AUTH, 0..=40) => -4,
            (code::SET_WATCHES | code::SET_WATCHES2, 0..=20) => -8,
            (_, 0) => *pick(&mut self.rng, &[0, -3, -5, i32::MIN, i32::MAX]),
            _ => self.xid(slot),
        };
        let mut body = op.body();
        self.spoil(&op, &mut body);
        Request {
            xid,
            op: op.code(),
            body,
        }
    }

    /// Now and then a body that does not decode, or has bytes to spare.
    fn spoil(&mut self, op: &Op, body: &mut Vec<u8>) {
        let rng = &mut self.rng;
        match rng.u32(..200) {
            0..=2 if !body.is_empty() => body.truncate(rng.usize(..body.len())),
            3 => body.extend([0, 0, 0, 1]),
            4 if body.len() >= 4
                && !matches!(
                    op,
                    Op::Multi { .. } | Op::SetWatches { .. } | Op::Auth { .. }
                ) =>
            {
                let length = *pick(rng, &[-2i32, i32::MIN, i32::MAX, 0x10_0400]);
                body[..4].copy_from_slice(&length.to_be_bytes());
            }
            _ => {}
        }
    }

    fn harmless(&mut self, kind: Kind, view: &View) -> Op {
        loop {
            let op = self.op(kind, view);
            if !(op.is_poison()
                || self.clean_digest && mispredicted(&op)
                || self.calm && throws(&op))
            {
                return op;
            }
        }
    }

    /// Several requests at once from one session. Left out, since Java's own answer would be a
    /// race: what closes the connection (but at the end), auth that fails, quota checks
    /// (against the usage applied so far), writes to `/` itself (pending changes of `/` are kept
    /// under two keys, so children's checks may or may not see them), writes after a setACL (a
    /// pending change keeps the old ACL until it is applied), and auth after a write (it takes effect
    /// at once, so it decides who may see the events of writes not applied yet), and multis that fail by
    /// an exception (what they had pending until then stays until it is overtaken).
    fn burst(&mut self, slot: usize, view: &View) -> Step {
        let n = if self.rng.bool() {
            self.rng.usize(2..6)
        } else {
            self.rng.usize(6..MAX_BURST)
        };
        let mut requests = self.burst_requests(n, slot, view);
        if chance(&mut self.rng, 1.0) {
            let xid = self.xid(slot);
            requests.push(Request {
                xid,
                op: code::CLOSE_SESSION,
                body: vec![],
            });
        }
        Step::Send { slot, requests }
    }

    fn burst_requests(&mut self, n: usize, slot: usize, view: &View) -> Vec<Request> {
        let mut requests: Vec<Request> = Vec::new();
        let (mut wrote, mut locked) = (false, false);
        while requests.len() < n {
            let (op, request) = self.burst_request(slot, view);
            let write = op.is_write();
            if (write && locked) || (wrote && op.code() == code::AUTH) {
                continue;
            }
            wrote |= write;
            locked |= op.code() == code::SET_ACL;
            requests.push(request);
        }
        requests
    }

    fn burst_request(&mut self, slot: usize, view: &View) -> (Op, Request) {
        loop {
            let op = match self.kind() {
                Kind::Close | Kind::Unknown | Kind::Sasl | Kind::Quota => continue,
                Kind::Auth => {
                    let (scheme, auth) = self.universe.credentials(&mut self.rng, true);
                    Op::Auth {
                        kind: 0,
                        scheme,
                        auth,
                    }
                }
                kind => self.harmless(kind, view),
            };
            if !self.racy(&op) {
                let xid = self.xid(slot);
                let mut body = op.body();
                if !matches!(op, Op::Auth { .. }) {
                    self.spoil(&op, &mut body);
                }
                let request = Request {
                    xid,
                    op: op.code(),
                    body,
                };
                return (op, request);
            }
        }
    }

    fn racy(&self, op: &Op) -> bool {
        let root = |path: &Bytes| matches!(path.as_deref(), Some(b"/" | b""));
        match op {
            Op::SetData { path, .. } | Op::SetAcl { path, .. } => {
                root(path) || self.universe.is_quota_sensitive(path)
            }
            Op::Create { path, .. } | Op::CreateTtl { path, .. } => {
                self.universe.is_quota_sensitive(path)
            }
            Op::Versioned { path, .. } => self.universe.is_quota_sensitive(path),
            Op::Multi {
                op: code::MULTI,
                ops,
            } => ops.iter().any(|op| self.racy(op) || throws(op)),
            _ => false,
        }
    }
}
