//! The durable mark: how far the log is known to be on disk.
//!
//! A power cut in the middle of one large write may leave any of its sectors, so a valid record
//! can lie behind a lost one although nothing of that write was acknowledged. Damage to records
//! that were acknowledged can look the same. The mark tells them apart: after each fsync the
//! writer notes where the log then ended, in a file beside it that is written but not synced. So
//! the mark is never ahead of what is durable, and behind it only after a power cut.
//!
//! In an ensemble the log holds proposals that may never be committed. The mark also tells how far
//! the log was known to be committed: a hint that a start may rely on, as what is committed stays
//! so, and that is behind whenever it was not written again.
//!
//! Java knows nothing of this file and ignores it.

use std::path::{Path, PathBuf};

use super::frame;
use crate::error::{Error, Result};
use crate::files::{FileHandle, Files};

/// Name of the file.
pub const NAME: &str = "zabkeeper.mark";

const MAGIC: &[u8; 4] = b"ZKDM";
const VERSION: u32 = 2;
const SIZE: usize = 48;
/// The first version, which had no committed zxid, is still read.
const OLD_VERSION: u32 = 1;
const OLD_SIZE: usize = 40;
const SYNCED: u32 = 1;

/// How far the log was durable when the mark was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mark {
    /// First zxid of the segment in which the durable part ended.
    pub segment: i64,
    /// Where in that segment it ended.
    pub end: u64,
    /// The last durable zxid.
    pub zxid: i64,
    /// False when the log was written without fsync (`forceSync=no`): then nothing is known.
    pub synced: bool,
    /// Up to here the log is known to be committed; 0 when nothing is known. Never above `zxid`.
    pub committed: i64,
}

impl Mark {
    fn encode(&self) -> [u8; SIZE] {
        let mut out = [0; SIZE];
        out[..4].copy_from_slice(MAGIC);
        out[4..8].copy_from_slice(&VERSION.to_be_bytes());
        out[8..16].copy_from_slice(&self.segment.to_be_bytes());
        out[16..24].copy_from_slice(&self.end.to_be_bytes());
        out[24..32].copy_from_slice(&self.zxid.to_be_bytes());
        out[32..36].copy_from_slice(&if self.synced { SYNCED } else { 0 }.to_be_bytes());
        out[36..44].copy_from_slice(&self.committed.to_be_bytes());
        let sum = frame::checksum(&out[..44]);
        out[44..].copy_from_slice(&sum.to_be_bytes());
        out
    }

    fn decode(bytes: &[u8]) -> Option<Mark> {
        let int = |at: usize| {
            let four = bytes.get(at..at + 4)?.try_into().ok()?;
            Some(u32::from_be_bytes(four))
        };
        let long = |at: usize| Some((u64::from(int(at)?) << 32) | u64::from(int(at + 4)?));
        let size = match int(4)? {
            OLD_VERSION => OLD_SIZE,
            VERSION => SIZE,
            _ => return None,
        };
        let sound = &bytes[..4] == MAGIC
            && bytes.len() == size
            && int(32)? <= SYNCED
            && int(size - 4)? == frame::checksum(&bytes[..size - 4]);
        if !sound {
            return None;
        }
        let zxid = long(24)? as i64;
        let committed = if size == SIZE { long(36)? as i64 } else { 0 };
        Some(Mark {
            segment: long(8)? as i64,
            end: long(16)?,
            zxid,
            synced: int(32)? == SYNCED,
            committed: committed.min(zxid),
        })
    }

    /// Reads the mark of a log folder. `None` when there is none, or none that can be believed: it
    /// is a help, its absence makes the judgement stricter.
    ///
    /// # Errors
    /// The file is there and cannot be read.
    pub fn read(files: &dyn Files, dir: &Path) -> Result<Option<Mark>> {
        let path = dir.join(NAME);
        if !files
            .exists(&path)
            .map_err(|e| Error::io("look for", &path, e))?
        {
            return Ok(None);
        }
        let handle = files
            .open_read(&path)
            .map_err(|e| Error::io("open", &path, e))?;
        let mut bytes = [0; SIZE];
        let n = handle
            .read_full(&mut bytes, 0)
            .map_err(|e| Error::io("read", &path, e))?;
        Ok(Mark::decode(&bytes[..n]))
    }
}

/// The writer's side.
#[derive(Debug)]
pub(super) struct MarkFile {
    handle: Box<dyn FileHandle>,
}

impl MarkFile {
    /// Opens the file, creates it durably when it is missing. `now` is written and synced, so
    /// that no older claim about other files outlives this.
    pub fn open(files: &dyn Files, dir: &Path, now: Mark) -> Result<MarkFile> {
        let path: PathBuf = dir.join(NAME);
        let exists = files
            .exists(&path)
            .map_err(|e| Error::io("look for", &path, e))?;
        let mut handle = if exists {
            files.open(&path).map_err(|e| Error::io("open", &path, e))?
        } else {
            files
                .create(&path)
                .map_err(|e| Error::io("create", &path, e))?
        };
        // Written from nothing, as a failed sync of an earlier run may have left the file's size
        // in doubt. Without a mark the log is judged more strictly, and just now it is settled.
        handle.set_size(0).map_err(|e| Error::io("cut", &path, e))?;
        handle
            .write_at(&now.encode(), 0)
            .map_err(|e| Error::io("write", &path, e))?;
        handle
            .sync_data()
            .map_err(|e| Error::io("fsync", &path, e))?;
        files
            .sync_dir(dir)
            .map_err(|e| Error::io("fsync", dir, e))?;
        Ok(MarkFile { handle })
    }

    /// Notes a new durable end. A failure is no harm: the old mark stays true, and a disk that
    /// fails will show on the log itself.
    pub fn note(&mut self, mark: Mark) {
        let _ = self.handle.write_at(&mark.encode(), 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MARK: Mark = Mark {
        segment: 0x1_0000_0001,
        end: 99,
        zxid: 0x1_0000_0007,
        synced: true,
        committed: 0x1_0000_0005,
    };

    #[test]
    fn encoding_round_trips_and_refuses_damage() {
        let bytes = MARK.encode();
        assert_eq!(Mark::decode(&bytes), Some(MARK));
        for at in 0..SIZE {
            let mut bad = bytes;
            bad[at] ^= 0x10;
            assert_eq!(Mark::decode(&bad), None, "byte {at}");
            assert_eq!(Mark::decode(&bytes[..at]), None, "{at} bytes");
        }
    }

    #[test]
    fn the_first_version_is_still_read() {
        let mut old = MARK.encode()[..OLD_SIZE].to_vec();
        old[7] = 1;
        let sum = frame::checksum(&old[..36]);
        old[36..].copy_from_slice(&sum.to_be_bytes());
        let expected = Mark {
            committed: 0,
            ..MARK
        };
        assert_eq!(Mark::decode(&old), Some(expected));
        old[36] ^= 1;
        assert_eq!(Mark::decode(&old), None);
    }
}
