//! Appends to the log: frames pile up in memory, one write and one fsync make them durable.
//!
//! Owns the open segment. Has no thread and no clock: the log thread appends what its queue holds
//! and then syncs, so batches form while the previous fsync runs.
//!
//! Every start begins a new segment, as Java does, so a file is never written again once a crash
//! has touched it.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use zk_wire::file::{name, txn_log};

use super::frame::{self, OVERHEAD};
use super::late::LateSync;
use super::mark::{Mark, MarkFile};
use super::recover::Recovered;
use super::segment::Segment;
use super::truncate::{Cut, truncate};
use crate::error::{Error, Result, is_full};
use crate::files::{FileHandle, Files};
use crate::limits::{KEEP_BUFFER, MAX_BATCH, MAX_PAYLOAD, PREALLOC, PREALLOC_MARGIN, SEGMENT_SIZE};

/// How the log is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Options {
    /// Bytes by which a segment grows ahead of its records (`preAllocSize`); 0 for not at all.
    pub prealloc: u64,
    /// A segment of this size or more is not written further.
    pub segment_size: u64,
    /// A segment of this many records or more is not written further; 0 for no such bound.
    pub segment_records: u64,
    /// False for `forceSync=no`: only a segment that is full is synced, and what [`LateSync`] is
    /// asked for; a power cut may lose what was acknowledged.
    pub force_sync: bool,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            prealloc: PREALLOC,
            segment_size: SEGMENT_SIZE,
            segment_records: 0,
            force_sync: true,
        }
    }
}

#[derive(Debug)]
struct Open {
    handle: Box<dyn FileHandle>,
    segment: Segment,
    /// Size that the file was grown to.
    size: u64,
    /// Growing ahead failed; the records may still find room.
    no_growth: bool,
}

/// Writes the log. See the module's text.
#[derive(Debug)]
pub struct Writer {
    files: Arc<dyn Files>,
    dir: PathBuf,
    options: Options,
    open: Option<Open>,
    /// Finished segments since this writer was opened.
    closed: Vec<Segment>,
    mark: MarkFile,
    /// What the mark says.
    noted: Mark,
    committed: i64,
    /// Without `force_sync`.
    late: Option<LateSync>,
    /// Frames not yet written, with room for a file header in front.
    buffer: Vec<u8>,
    pending: u64,
    pending_first: i64,
    appended: i64,
    durable: i64,
    poisoned: bool,
    roll: bool,
}

/// Frames start here in the buffer, so that a new segment's header can go in front of them.
const FRONT: usize = frame::FILE_HEADER;

impl Writer {
    /// Opens the log of `dir` (which must exist durably) for writing, after [`super::scan`] and
    /// [`super::repair`]. `base` is the zxid that the next record follows: the last of the log or,
    /// when the log is empty, of the store.
    ///
    /// # Errors
    /// [`Error::Misuse`] when `base` is not the end of the log, [`Error::Io`].
    pub fn open(
        files: Arc<dyn Files>,
        dir: &Path,
        options: Options,
        recovered: &Recovered,
        base: i64,
    ) -> Result<Writer> {
        if let Some(last) = recovered.last_zxid
            && last != base
        {
            return Err(Error::Misuse(format!(
                "the log ends at {last:#x}, not at {base:#x}"
            )));
        }
        let tail = recovered.segments.last();
        let now = Mark {
            segment: tail.map_or(0, |s| s.first),
            end: tail.map_or(0, |s| s.end),
            zxid: base,
            synced: options.force_sync,
            committed: recovered.mark.map_or(0, |mark| mark.committed.min(base)),
        };
        let mark = MarkFile::open(&*files, dir, now)?;
        let late = (!options.force_sync).then(|| LateSync::new(files.clone(), dir));
        Ok(Writer {
            files,
            dir: dir.to_path_buf(),
            options,
            open: None,
            closed: Vec::new(),
            mark,
            noted: now,
            committed: now.committed,
            late,
            buffer: vec![0; FRONT],
            pending: 0,
            pending_first: 0,
            appended: base,
            durable: base,
            poisoned: false,
            roll: false,
        })
    }

    /// Adds one record to the batch. Nothing is written before [`Writer::sync`].
    ///
    /// # Errors
    /// [`Error::Poisoned`]; [`Error::Misuse`] when the zxid does not follow, the payload is none
    /// of that zxid, or the batch is full ([`Writer::batch_bytes`] tells).
    pub fn append(&mut self, zxid: i64, payload: &[u8]) -> Result<()> {
        if self.poisoned {
            return Err(Error::Poisoned);
        }
        if !frame::follows(self.appended, zxid) {
            return Err(Error::Misuse(format!(
                "zxid {zxid:#x} appended behind {:#x}",
                self.appended
            )));
        }
        if payload.len() > MAX_PAYLOAD || frame::zxid(payload) != Some(zxid) {
            return Err(Error::Misuse(format!(
                "the payload of {} bytes is not one of zxid {zxid:#x}",
                payload.len()
            )));
        }
        if self.pending > 0 && self.buffer.len() + payload.len() + OVERHEAD > MAX_BATCH {
            return Err(Error::Misuse(format!(
                "a batch of {} bytes was not synced",
                self.buffer.len()
            )));
        }
        if self.pending == 0 {
            self.pending_first = zxid;
        }
        txn_log::encode_payload(payload, &mut self.buffer);
        self.pending += 1;
        self.appended = zxid;
        Ok(())
    }

    /// Bytes of the batch so far. The log thread syncs before a record would take it beyond
    /// [`MAX_BATCH`]; a first record may be of any size.
    pub fn batch_bytes(&self) -> usize {
        self.buffer.len() - FRONT
    }

    /// Writes the batch and makes it durable; returns the last durable zxid. Rolls to a new
    /// segment first when one is due.
    ///
    /// # Errors
    /// [`Error::Io`] on the first failure and [`Error::Poisoned`] from then on: what the disk
    /// holds of the batch is unknown, it must not be acknowledged, and no later call can change
    /// that.
    pub fn sync(&mut self) -> Result<i64> {
        if self.poisoned {
            return Err(Error::Poisoned);
        }
        if self.pending == 0 {
            return Ok(self.durable);
        }
        let done = self.write_batch();
        if done.is_err() {
            self.poisoned = true;
            self.open = None;
        }
        done?;
        self.durable = self.appended;
        self.pending = 0;
        self.buffer.truncate(FRONT);
        if self.buffer.capacity() > KEEP_BUFFER {
            self.buffer.shrink_to(KEEP_BUFFER);
        }
        Ok(self.durable)
    }

    fn write_batch(&mut self) -> Result<()> {
        let due = |open: &Open| {
            open.segment.end >= self.options.segment_size
                || (self.options.segment_records > 0
                    && open.segment.records >= self.options.segment_records)
        };
        if self
            .open
            .as_ref()
            .is_some_and(|open| self.roll || due(open))
        {
            self.finish_segment()?;
        }
        self.roll = false;
        let new = self.open.is_none();
        if new {
            let path = self.dir.join(name::log(self.pending_first));
            let handle = self
                .files
                .create(&path)
                .map_err(|e| Error::io("create", &path, e))?;
            self.buffer[..FRONT].copy_from_slice(&frame::file_header());
            let segment = Segment {
                path,
                first: self.pending_first,
                last: 0,
                records: 0,
                end: 0,
            };
            self.open = Some(Open {
                handle,
                segment,
                size: 0,
                no_growth: false,
            });
        }
        let Some(open) = &mut self.open else {
            return Err(Error::Poisoned);
        };
        let bytes = if new {
            &self.buffer[..]
        } else {
            &self.buffer[FRONT..]
        };
        let end = open.segment.end + bytes.len() as u64;
        open.grow(end, self.options.prealloc)?;
        let path = &open.segment.path;
        open.handle
            .write_at(bytes, open.segment.end)
            .map_err(|e| Error::io("write", path, e))?;
        if self.options.force_sync {
            open.handle
                .sync_data()
                .map_err(|e| Error::io("fsync", path, e))?;
            if new {
                self.files
                    .sync_dir(&self.dir)
                    .map_err(|e| Error::io("fsync", &self.dir, e))?;
            }
        }
        if let Some(late) = &self.late {
            late.wrote(path);
        }
        open.segment.end = end;
        open.segment.last = self.appended;
        open.segment.records += self.pending;
        let now = Mark {
            segment: open.segment.first,
            end,
            zxid: self.appended,
            synced: self.options.force_sync,
            committed: self.committed,
        };
        self.note(now);
        Ok(())
    }

    fn note(&mut self, mut mark: Mark) {
        mark.committed = mark.committed.min(mark.zxid);
        if mark != self.noted {
            self.mark.note(mark);
            self.noted = mark;
        }
    }

    /// Everything up to `zxid` is known to be committed. The mark says so from the next sync on,
    /// as far as the log is durable.
    pub fn set_committed(&mut self, zxid: i64) {
        self.committed = self.committed.max(zxid);
    }

    /// Removes every record after `zxid`, durably, and is ready for the one that then follows.
    /// What is pending is written first. `base` and the rules are those of [`truncate`]; that the
    /// log ends before `zxid` is refused, unless `zxid` is the start of an epoch.
    ///
    /// Whoever knows the log's segments brings his list up to date with what is returned.
    ///
    /// # Errors
    /// [`Error::Refused`] when the log cannot be cut there: nothing but the sync was done, and the
    /// writer can go on. [`Error::Io`] and [`Error::Poisoned`] as [`Writer::sync`]: where the log
    /// ends is unknown.
    pub fn cut(&mut self, zxid: i64, base: i64) -> Result<Cut> {
        self.sync()?;
        if zxid > self.durable && zxid & 0xffff_ffff != 0 {
            return Err(Error::Refused {
                found: format!(
                    "the log is to be cut after zxid {zxid:#x} but ends at {:#x}",
                    self.durable
                ),
                remedy: "It is of another history than the one that is to be followed".into(),
            });
        }
        let done = self
            .finish_segment()
            .and_then(|()| truncate(&*self.files, &self.dir, zxid, base));
        let cut = match done {
            Err(error @ Error::Refused { .. }) => return Err(error),
            Err(error) => {
                self.poisoned = true;
                return Err(error);
            }
            Ok(cut) => cut,
        };
        cut.apply(&mut self.closed);
        self.appended = cut.end;
        self.durable = cut.end;
        self.committed = self.committed.min(cut.end);
        self.roll = false;
        let now = Mark {
            segment: cut.last.as_ref().map_or(0, |s| s.first),
            end: cut.last.as_ref().map_or(0, |s| s.end),
            zxid: cut.end,
            synced: self.options.force_sync,
            committed: self.committed,
        };
        self.note(now);
        Ok(cut)
    }

    /// Gives the padding back and forgets the segment. What it holds is durable already, or is
    /// made so here; a crash before the cut is durable leaves padding, which is no harm.
    fn finish_segment(&mut self) -> Result<()> {
        if let Some(mut open) = self.open.take() {
            let _ = open.handle.set_size(open.segment.end);
            if let Some(late) = &self.late {
                late.sync()?;
            }
            self.closed.push(open.segment);
        }
        Ok(())
    }

    /// The next batch begins a new segment.
    pub fn roll(&mut self) {
        self.roll = true;
    }

    /// The last durable zxid.
    pub fn durable(&self) -> i64 {
        self.durable
    }

    /// The last appended zxid.
    pub fn appended(&self) -> i64 {
        self.appended
    }

    /// True once a write or fsync failed.
    pub fn is_poisoned(&self) -> bool {
        self.poisoned
    }

    /// The segment being written, with what of it is durable.
    pub fn segment(&self) -> Option<&Segment> {
        self.open.as_ref().map(|open| &open.segment)
    }

    /// What makes the log durable where the writer does not; `None` with
    /// [`Options::force_sync`].
    pub fn late_sync(&self) -> Option<LateSync> {
        self.late.clone()
    }

    /// Takes the segments that were finished since the last call, for purge.
    pub fn take_finished(&mut self) -> Vec<Segment> {
        std::mem::take(&mut self.closed)
    }

    /// Syncs what is pending, gives the padding back and closes. Returns the last durable zxid.
    ///
    /// # Errors
    /// As [`Writer::sync`].
    pub fn close(mut self) -> Result<i64> {
        let durable = self.sync()?;
        self.finish_segment()?;
        let mut now = Mark {
            committed: self.committed,
            ..self.noted
        };
        if let Some(last) = self.closed.last() {
            now = Mark {
                segment: last.first,
                end: last.end,
                zxid: durable,
                synced: true,
                ..now
            };
        }
        self.note(now);
        Ok(durable)
    }
}

impl Open {
    /// Grows the file ahead of its records when they come near its end. Room is only taken in
    /// advance to spare later syncs the work, so a disk too full for it may still take the
    /// records themselves.
    fn grow(&mut self, end: u64, prealloc: u64) -> Result<()> {
        if prealloc == 0 || self.no_growth || end + PREALLOC_MARGIN < self.size {
            return Ok(());
        }
        let size = (end + PREALLOC_MARGIN).next_multiple_of(prealloc);
        match self.handle.preallocate(size) {
            Ok(()) => self.size = size,
            Err(e) if is_full(&e) || e.kind() == io::ErrorKind::FileTooLarge => {
                self.no_growth = true;
            }
            Err(e) => return Err(Error::io("grow", &self.segment.path, e)),
        }
        Ok(())
    }
}
