//! What the crash tests share: dice and payloads.
#![allow(dead_code, reason = "each test binary uses its own part")]

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use zk_core::acl::{AclId, Entry};
use zk_core::ids::{SessionId, Zxid};
use zk_core::tree::{self, Row};
use zk_disk::files::Files;
use zk_disk::model::ModelFiles;
use zk_disk::store::{Batch, Meta, Snapshot, Store};
use zk_wire::stat::StatPersisted;

/// SplitMix64.
pub struct Dice(pub u64);

impl Dice {
    pub fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub fn below(&mut self, n: u64) -> u64 {
        self.roll() % n
    }

    pub fn chance(&mut self, one_in: u64) -> bool {
        self.below(one_in) == 0
    }
}

/// The seeds to run: so many, or as many as `SEEDS` says.
pub fn seeds(usual: u64) -> std::ops::Range<u64> {
    let asked = std::env::var("SEEDS").ok().and_then(|n| n.parse().ok());
    0..asked.unwrap_or(usual)
}

/// A payload that looks like a setData transaction: a header and `len` bytes more.
pub fn payload(zxid: i64, len: usize, salt: u64) -> Vec<u8> {
    let mut out = Vec::with_capacity(32 + len);
    out.extend_from_slice(&7_i64.to_be_bytes());
    out.extend_from_slice(&1_i32.to_be_bytes());
    out.extend_from_slice(&zxid.to_be_bytes());
    out.extend_from_slice(&1_700_000_000_000_i64.to_be_bytes());
    out.extend_from_slice(&5_i32.to_be_bytes());
    let mut dice = Dice(salt ^ zxid as u64);
    // Runs of zeros and of noise, as data has them.
    while out.len() < 32 + len {
        let run = (dice.below(40) as usize + 1).min(32 + len - out.len());
        let zero = dice.chance(3);
        out.extend((0..run).map(|_| if zero { 0 } else { dice.roll() as u8 }));
    }
    out
}

pub fn dir() -> PathBuf {
    PathBuf::from("/log/version-2")
}

/// A model disk with the log's folder durably there.
pub fn disk() -> Arc<ModelFiles> {
    let disk = Arc::new(ModelFiles::new());
    disk.create_dir(&dir()).unwrap();
    disk.sync_dir(Path::new("/")).unwrap();
    disk.sync_dir(Path::new("/log")).unwrap();
    disk
}

/// A node's row with these as its czxid, owner and data.
pub fn row(czxid: i64, owner: i64, data: &[u8]) -> Row<'_> {
    let stat = StatPersisted {
        czxid,
        mzxid: czxid,
        pzxid: czxid,
        ctime: 1_700_000_000_000,
        mtime: 1_700_000_000_000,
        ephemeral_owner: owner,
        ..StatPersisted::default()
    };
    Row {
        stat,
        acl: AclId::OPEN,
        children: 0,
        crc: czxid as u32,
        data: Some(data),
    }
}

/// A state whose counters follow from the zxid.
pub fn meta(zxid: i64) -> Meta {
    let n = zxid as u64;
    let tree = tree::Meta {
        zxid: Zxid(zxid),
        digest: n * 3,
        node_count: n * 5,
        data_size: n * 7,
    };
    Meta {
        tree,
        record: zxid as u32,
    }
}

/// Reads everything: a store and a state of one have the same calls.
macro_rules! read_all {
    ($truth:expr, $source:expr) => {{
        let text = |e: zk_disk::Error| e.to_string();
        let mut found = Truth {
            zxid: $truth.zxid,
            ..Truth::default()
        };
        let take = &mut |path: &str, row: Row<'_>| {
            let value = (
                row.stat.czxid,
                row.stat.ephemeral_owner,
                row.data.unwrap_or_default().to_vec(),
            );
            found.nodes.insert(path.to_owned(), value);
            ControlFlow::Continue(())
        };
        $source.scan(None, take).map_err(text)?;
        $source
            .sessions(&mut |id: SessionId, timeout| {
                found.sessions.insert(id.0, timeout);
            })
            .map_err(text)?;
        $source
            .acls(&mut |id, list| {
                found.acls.insert(id.0, list.to_vec());
            })
            .map_err(text)?;
        let mut owners = Vec::new();
        $source
            .owners(&mut |owner, path| owners.push((owner, path.to_owned())))
            .map_err(text)?;
        owners.sort();
        All {
            meta: $source.meta().map_err(text)?,
            truth: found,
            owners,
        }
    }};
}
/// What a store should hold.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Truth {
    pub zxid: i64,
    /// Path to czxid, owner and data.
    pub nodes: BTreeMap<String, (i64, i64, Vec<u8>)>,
    pub sessions: BTreeMap<i64, i32>,
    pub acls: BTreeMap<u32, Vec<Entry>>,
}

impl Truth {
    /// Compares all of it.
    pub fn check(&self, store: &dyn Store) -> Result<(), String> {
        self.compare(&read_all!(self, store))
    }

    /// Compares all of it with a state that is held.
    pub fn check_snapshot(&self, snapshot: &Snapshot<'_>) -> Result<(), String> {
        self.compare(&read_all!(self, snapshot))
    }

    fn compare(&self, found: &All) -> Result<(), String> {
        if self.zxid > 0 && found.meta != Some(meta(self.zxid)) {
            return Err(format!("meta {:?} at {:#x}", found.meta, self.zxid));
        }
        let mut expected: Vec<(i64, String)> = self
            .nodes
            .iter()
            .filter(|(_, (_, owner, _))| *owner != 0)
            .map(|(path, (_, owner, _))| (*owner, path.clone()))
            .collect();
        expected.sort();
        if found.owners != expected {
            return Err(format!("owners {:?} instead of {expected:?}", found.owners));
        }
        if &found.truth == self {
            Ok(())
        } else {
            Err(format!("found {:#?} instead of {self:#?}", found.truth))
        }
    }
}

/// Everything that was read.
struct All {
    meta: Option<Meta>,
    truth: Truth,
    owners: Vec<(i64, String)>,
}

/// One transaction on the truth and the same as a batch.
pub fn batch_of(truth: &mut Truth, dice: &mut Dice) -> Batch {
    let mut batch = Batch::new();
    truth.zxid += 1;
    for _ in 0..dice.below(6) {
        let path = match dice.below(3) {
            0 => format!("/{}", dice.below(9)),
            1 => format!("/{}/{}", dice.below(3), dice.below(9)),
            _ => format!("/{}/{}/x{}", dice.below(3), dice.below(3), dice.below(9)),
        };
        if let Some((_, owner, _)) = truth.nodes.remove(&path) {
            batch.delete_node(&path, owner);
        }
        if !dice.chance(3) {
            let owner = if dice.chance(3) {
                dice.below(4) as i64
            } else {
                0
            };
            let data = vec![dice.roll() as u8; dice.below(60) as usize];
            batch.put_node(&path, &row(truth.zxid, owner, &data));
            truth.nodes.insert(path, (truth.zxid, owner, data));
        }
    }
    if dice.chance(3) {
        let id = dice.below(5) as i64;
        let timeout = dice.chance(2).then(|| dice.below(60_000) as i32);
        batch.session(id, timeout).unwrap();
        match timeout {
            Some(timeout) => truth.sessions.insert(id, timeout),
            None => truth.sessions.remove(&id),
        };
    }
    if dice.chance(4) {
        let id = dice.below(5) as u32 + 1;
        let entry = Entry {
            perms: dice.below(32) as i32,
            scheme: "digest".into(),
            id: Some("u:p".into()),
        };
        let list = dice.chance(2).then(|| vec![entry; dice.below(3) as usize]);
        batch.acl(id, list.as_deref()).unwrap();
        match list {
            Some(list) => truth.acls.insert(id, list),
            None => truth.acls.remove(&id),
        };
    }
    batch.set_meta(meta(truth.zxid));
    batch
}
