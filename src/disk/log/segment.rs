//! Segments: finding them, and a cursor over the frames of one.
//!
//! The cursor reports what stands at each offset and stops at the first place that is not a valid
//! record; what that means is judged in `recover`.

use std::path::{Path, PathBuf};

use zk_wire::file::name::{self, Named};
use zk_wire::file::txn_log::{Damage, decode_header, read_record};

use super::frame::{FILE_HEADER, PREFIX, prefix};
use super::reader::Record;
use crate::error::{Error, Result};
use crate::files::{FileHandle, Files};
use crate::limits::READ_CHUNK;

/// One segment, as a scan or the writer knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Segment {
    /// The file.
    pub path: PathBuf,
    /// Zxid in its name: that of its first record.
    pub first: i64,
    /// Zxid of its last record.
    pub last: i64,
    /// How many records it holds. An upper estimate for a segment that the scan was told to trust.
    pub records: u64,
    /// Where its records end; what follows is padding.
    pub end: u64,
}

/// The segments of a folder by the zxids in their names, in order. A missing folder has none.
///
/// # Errors
/// The folder cannot be listed, or two names mean the same zxid.
pub fn list(files: &dyn Files, dir: &Path) -> Result<Vec<(i64, PathBuf)>> {
    if !files
        .exists(dir)
        .map_err(|e| Error::io("look for", dir, e))?
    {
        return Ok(Vec::new());
    }
    let names = files.list(dir).map_err(|e| Error::io("list", dir, e))?;
    let segment = |file: &String| match name::parse(file) {
        Some(Named::Log { zxid }) => Some((zxid, dir.join(file))),
        Some(Named::Snapshot { .. }) | None => None,
    };
    let mut found: Vec<(i64, PathBuf)> = names.iter().filter_map(segment).collect();
    found.sort_unstable();
    for pair in found.windows(2) {
        if pair[0].0 == pair[1].0 {
            return Err(Error::Refused {
                found: format!(
                    "{} and {} both claim to begin with the same transaction",
                    pair[0].1.display(),
                    pair[1].1.display()
                ),
                remedy: "Move the one that does not belong there out of the folder".into(),
            });
        }
    }
    Ok(found)
}

/// What stands at the cursor.
#[derive(Debug)]
pub(super) enum Step<'a> {
    /// A valid record.
    Record {
        /// Where its frame starts.
        offset: u64,
        /// Its zxid.
        zxid: i64,
        /// Adler-32 of the payload.
        checksum: u32,
        /// The payload.
        payload: &'a [u8],
    },
    /// Not a valid record, nor will the cursor move on. Zeros to the end of the file look like
    /// this too: see `why`.
    Stop {
        /// Where the first invalid byte may be.
        offset: u64,
        /// What is wrong.
        why: Why,
    },
}

/// Why a cursor stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Why {
    /// The file ends exactly here.
    End,
    /// Checksum and length are zero: padding, or a lost piece.
    Zero,
    /// The file's header is not that of a log.
    Header,
    /// No valid record.
    Damage(Damage),
}

impl Why {
    pub fn text(self) -> &'static str {
        match self {
            Why::End => "the file ends",
            Why::Zero => "zeros instead of a record",
            Why::Header => "no header of a transaction log",
            Why::Damage(Damage::Short { .. }) => "the file ends within a record",
            Why::Damage(Damage::Length(_) | Damage::Hole) => "a record's length is impossible",
            Why::Damage(Damage::EndMark(_)) => "a record has no end mark",
            Why::Damage(Damage::Checksum { .. }) => "a record does not have its checksum",
        }
    }
}

/// Walks the frames of one file.
#[derive(Debug)]
pub(super) struct Cursor {
    handle: Box<dyn FileHandle>,
    path: PathBuf,
    size: u64,
    /// Where the next frame starts.
    at: u64,
    /// A piece of the file and where it starts.
    chunk: Vec<u8>,
    chunk_at: u64,
    started: bool,
    /// The record last stepped over; the chunk holds it until the next step.
    record: Option<(u64, i64, u32, usize)>,
}

impl Cursor {
    pub fn open(files: &dyn Files, path: &Path) -> Result<Cursor> {
        let handle = files
            .open_read(path)
            .map_err(|e| Error::io("open", path, e))?;
        let size = handle
            .size()
            .map_err(|e| Error::io("read the size of", path, e))?;
        Ok(Cursor {
            handle,
            path: path.to_path_buf(),
            size,
            at: 0,
            chunk: Vec::new(),
            chunk_at: 0,
            started: false,
            record: None,
        })
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    pub fn size(&self) -> u64 {
        self.size
    }

    pub fn handle(&self) -> &dyn FileHandle {
        &*self.handle
    }

    /// Reads the file's size again, for a segment that is still written.
    pub fn refresh(&mut self) -> Result<()> {
        self.size = self
            .handle
            .size()
            .map_err(|e| Error::io("read the size of", &self.path, e))?;
        // What was read before may be padding that holds records by now.
        self.chunk.clear();
        self.chunk_at = self.at;
        self.record = None;
        Ok(())
    }

    /// Makes `len` bytes at `at` available in the chunk; false when the file ends before.
    fn load(&mut self, at: u64, len: usize) -> Result<bool> {
        let end = at.saturating_add(len as u64);
        if end > self.size {
            return Ok(false);
        }
        if at >= self.chunk_at && end <= self.chunk_at + self.chunk.len() as u64 {
            return Ok(true);
        }
        // The size was checked against the file's, so nothing is allocated that is not there.
        let want = (self.size - at).min(len.max(READ_CHUNK) as u64) as usize;
        self.chunk.resize(want, 0);
        self.chunk_at = at;
        let n = self
            .handle
            .read_full(&mut self.chunk, at)
            .map_err(|e| Error::io("read", &self.path, e))?;
        self.chunk.truncate(n);
        Ok(n >= len)
    }

    fn bytes(&self, at: u64, len: usize) -> &[u8] {
        let from = (at - self.chunk_at) as usize;
        &self.chunk[from..from + len]
    }

    /// The record last stepped over, once more.
    pub fn record(&self) -> Option<Record<'_>> {
        let (offset, zxid, checksum, len) = self.record?;
        let payload = self.bytes(offset + PREFIX as u64, len);
        Some(Record {
            zxid,
            payload,
            checksum,
            offset,
        })
    }

    /// What stands next; a record is stepped over.
    pub fn step(&mut self) -> Result<Step<'_>> {
        if !self.started {
            if !self.load(0, FILE_HEADER)? || decode_header(self.bytes(0, FILE_HEADER)).is_err() {
                return Ok(Step::Stop {
                    offset: 0,
                    why: Why::Header,
                });
            }
            self.started = true;
            self.at = FILE_HEADER as u64;
        }
        let offset = self.at;
        let stop = |why| Ok(Step::Stop { offset, why });
        if offset == self.size {
            return stop(Why::End);
        }
        let mut want = PREFIX;
        loop {
            if !self.load(offset, want)? {
                return stop(Why::Damage(Damage::Short { need: 0 }));
            }
            let loaded = &self.chunk[(offset - self.chunk_at) as usize..];
            match read_record(loaded, 0) {
                Ok(record) => {
                    let (zxid, len) = (record.header.zxid, record.payload.len());
                    let checksum = prefix(loaded).map_or(0, |(sum, _)| sum as u32);
                    self.at = offset + record.end as u64;
                    self.record = Some((offset, zxid, checksum, len));
                    let payload = self.bytes(offset + PREFIX as u64, len);
                    return Ok(Step::Record {
                        offset,
                        zxid,
                        checksum,
                        payload,
                    });
                }
                // More of the file may hold the rest.
                Err(Damage::Short { need }) => want = loaded.len() + need,
                Err(Damage::Hole) if loaded[..PREFIX] == [0; PREFIX] => return stop(Why::Zero),
                Err(damage) => return stop(Why::Damage(damage)),
            }
        }
    }
}
