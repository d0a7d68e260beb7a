//! What the crash tests share: dice and payloads.
#![allow(dead_code, reason = "each test binary uses its own part")]

use std::path::{Path, PathBuf};
use std::sync::Arc;

use zk_disk::files::Files;
use zk_disk::model::ModelFiles;

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
