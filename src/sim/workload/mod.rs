//! What clients ask for: few paths, so that they meet; every operation; and now and then
//! something malformed.

mod bodies;

use jute::Encode;
use zk_wire::OpCode;

use crate::client::Client;
use crate::dice::Dice;
use crate::plan::{Plan, SUPER};

pub(crate) use bodies::open_acl;
use bodies::{acl, data, version};

/// Paths that clients know from the start, the most contended first.
pub const PATHS: &[&str] = &[
    "/a",
    "/b",
    "/a/x",
    "/e",
    "/a/x/1",
    "/q",
    "/c",
    "/t",
    "/q/1",
    "/c/k",
    "/a/y",
    "/zookeeper/quota/q",
    "/zookeeper/quota/q/zookeeper_limits",
    "/zookeeper/quota/q/zookeeper_stats",
    "/",
    "/b/z",
    "/q/2",
    "/q/2/deep",
    "/zookeeper/quota",
    "/zookeeper/quota/a",
    "/zookeeper/quota/a/zookeeper_limits",
    "/zookeeper/quota/a/zookeeper_stats",
    "/zookeeper",
    "/zookeeper/config",
    "/e/child",
    "/t/child",
    "/\u{e9}t\u{e9}",
    "/a b:c",
    "/x..y",
    "/a/x/1/2/3/4/5",
];

const MALFORMED: &[&str] = &[
    "",
    "a",
    "/a/",
    "//",
    "/a//x",
    "/.",
    "/a/..",
    "/a\0",
    "/\u{1}",
    "/\u{85}",
    "/\u{e000}",
    "/\u{fffd}",
    "/\u{1f600}",
    "/zookeeper/quota/zookeeper_limits",
    "/zookeeper/zookeeper_limits",
    "/nowhere/child",
];

/// The tokens of digest identities.
pub const USERS: &[&str] = &["ann:1", "bob:2", "eve", SUPER];

/// One client's choices.
pub struct Maker<'a> {
    /// Dice.
    pub dice: &'a mut Dice,
    /// The run.
    pub plan: &'a Plan,
    /// Who asks.
    pub client: &'a Client,
}

impl Maker<'_> {
    /// Opcode and body of a request. The opcode may be none that exists.
    pub fn request(&mut self) -> (i32, Vec<u8>) {
        if self.dice.percent(self.plan.malformed) && self.dice.once_in(3) {
            return self.garbage();
        }
        let op = if self.dice.percent(self.plan.writes) {
            self.write()
        } else {
            self.read()
        };
        let body = self.body(op);
        (op.to_i32(), body)
    }

    fn garbage(&mut self) -> (i32, Vec<u8>) {
        if self.dice.once_in(6) {
            // The connection ends behind these.
            let op = *self.dice.pick(&[0, 10, 13, 20, 23, -1, -10, 999, i32::MIN]);
            return (op, vec![1, 2, 3]);
        }
        let op = if self.dice.once_in(2) {
            self.write()
        } else {
            self.read()
        };
        let mut body = self.body(op);
        match self.dice.below(3) {
            0 => {
                let keep = self.dice.below(body.len() + 1);
                body.truncate(keep);
            }
            1 if !body.is_empty() => {
                let at = self.dice.below(body.len());
                body[at] ^= 1 << self.dice.below(8);
            }
            _ => body.extend_from_slice(b"behind"),
        }
        (op.to_i32(), body)
    }

    fn write(&mut self) -> OpCode {
        const OPS: &[(OpCode, u32)] = &[
            (OpCode::Create, 22),
            (OpCode::Create2, 12),
            (OpCode::CreateContainer, 5),
            (OpCode::CreateTtl, 5),
            (OpCode::Delete, 20),
            (OpCode::SetData, 18),
            (OpCode::SetAcl, 6),
            (OpCode::Multi, 14),
            (OpCode::Sync, 3),
            (OpCode::Reconfig, 1),
        ];
        self.op(OPS)
    }

    fn read(&mut self) -> OpCode {
        const OPS: &[(OpCode, u32)] = &[
            (OpCode::Exists, 14),
            (OpCode::GetData, 18),
            (OpCode::GetChildren, 8),
            (OpCode::GetChildren2, 8),
            (OpCode::GetAcl, 4),
            (OpCode::GetAllChildrenNumber, 3),
            (OpCode::GetEphemerals, 3),
            (OpCode::MultiRead, 4),
            (OpCode::Ping, 6),
            (OpCode::WhoAmI, 1),
            (OpCode::AddWatch, 4),
            (OpCode::CheckWatches, 2),
            (OpCode::RemoveWatches, 3),
            (OpCode::SetWatches, 3),
            (OpCode::SetWatches2, 3),
            (OpCode::Auth, 2),
            (OpCode::Sasl, 1),
        ];
        self.op(OPS)
    }

    fn op(&mut self, ops: &[(OpCode, u32)]) -> OpCode {
        let weights: Vec<u32> = ops.iter().map(|(_, weight)| *weight).collect();
        ops[self.dice.weighted(&weights).unwrap_or_default()].0
    }

    fn path(&mut self) -> jute::Str<'static> {
        if self.dice.percent(self.plan.malformed) {
            if self.dice.once_in(8) {
                return None;
            }
            return Some((*self.dice.pick(MALFORMED)).into());
        }
        if self.plan.rules.enforce_quota && self.dice.once_in(4) {
            return Some((*self.dice.pick(&["/q", "/q/1", "/q/2", "/q/2/deep"])).into());
        }
        let mine = &self.client.paths;
        if !mine.is_empty() && self.dice.once_in(5) {
            return Some(mine[self.dice.below(mine.len())].clone().into());
        }
        let known = self.plan.paths.min(PATHS.len());
        // The first ones more often.
        let at = self.dice.below(known).min(self.dice.below(known));
        Some(PATHS[at].into())
    }

    fn watch(&mut self) -> bool {
        self.dice.percent(self.plan.watch)
    }

    fn limits_text(&mut self) -> Vec<u8> {
        let texts: [&[u8]; 5] = [
            b"count=3,bytes=20=;byteHardLimit=40;countHardLimit=4",
            b"count=1,bytes=-1",
            b"count=-1,bytes=-1=;countHardLimit=3",
            b"count=-1,bytes=-1=;byteHardLimit=15",
            b"count=5,bytes=100",
        ];
        self.dice.pick(&texts).to_vec()
    }

    fn data_for(&mut self, path: &jute::Str<'_>) -> Option<Vec<u8>> {
        match path.as_deref() {
            Some(path) if path.ends_with("_limits") && !self.dice.once_in(8) => {
                Some(self.limits_text())
            }
            Some(path) if path.ends_with("_stats") && !self.dice.once_in(8) => {
                Some(b"count=2,bytes=7".to_vec())
            }
            Some(_) | None => data(self.dice),
        }
    }

    fn flags(&mut self, op: OpCode) -> i32 {
        if self.dice.percent(self.plan.malformed) {
            return *self.dice.pick(&[4, 5, 6, 7, -1, 99]);
        }
        if op == OpCode::CreateTtl {
            *self.dice.pick(&[5, 5, 6])
        } else if op == OpCode::CreateContainer {
            *self.dice.pick(&[4, 4, 0, 2])
        } else {
            *self.dice.pick(&[0, 0, 0, 1, 1, 1, 2, 3])
        }
    }

    fn ttl(&mut self) -> i64 {
        if self.dice.percent(self.plan.malformed) {
            return *self.dice.pick(&[0, -1, 1 << 40, i64::MIN]);
        }
        self.plan.config.tick_ms * self.dice.within(1..=20)
    }

    fn body(&mut self, op: OpCode) -> Vec<u8> {
        bodies::body(self, op)
    }

    /// What a client of the run begins with: the quotas, so that some runs have them early.
    pub fn opening(&mut self) -> Vec<(i32, Vec<u8>)> {
        let limits = self.limits_text();
        let mut requests = Vec::new();
        for path in [
            "/q",
            "/zookeeper/quota/q",
            "/zookeeper/quota/q/zookeeper_limits",
            "/zookeeper/quota/q/zookeeper_stats",
        ] {
            let data = if path.ends_with("_limits") {
                &limits[..]
            } else {
                b""
            };
            let request = zk_wire::client::CreateRequest {
                path: Some(path.into()),
                data: Some(data),
                acl: open_acl(),
                flags: 0,
            };
            requests.push((OpCode::Create.to_i32(), request.to_vec()));
        }
        requests
    }

    fn acl(&mut self) -> jute::List<zk_wire::client::Acl<'static>> {
        acl(self.dice, self.plan.malformed)
    }

    fn version(&mut self) -> i32 {
        version(self.dice)
    }
}
