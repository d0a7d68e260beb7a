//! What a crash left: reads the whole log and judges the first place that is no valid record.
//!
//! Owns the difference between an unfinished write, which is cut off, and damage to what was
//! acknowledged, which stops the start. Does not know of the store; whether the log continues it
//! is judged in `directory`.
//!
//! The rules, for the first invalid place of a segment:
//! - zeros to the end of the last file are padding;
//! - in the last segment with no valid record behind it: torn, cut;
//! - in the last segment with a valid record behind it: damage. Except when all of the following
//!   hold, which only a power cut in the middle of one unfinished write brings about: the durable
//!   mark says that the place was never reported durable, a sector of the invalid record is
//!   still as empty as before the write, and what follows fits into one write;
//! - in an earlier segment: damage, unless the next segment begins with the very next zxid. Then
//!   an earlier run wrote on after this place and nothing is missing (Java leaves its torn tails
//!   behind like this).

use std::path::{Path, PathBuf};

use zk_wire::MIN_PAYLOAD;
use zk_wire::file::txn_log::read_record;

use super::contents;
use super::frame::{self, OVERHEAD, PREFIX};
use super::mark::Mark;
use super::segment::{Cursor, Segment, Step, Why, list};
use crate::error::{Corrupt, Error, Result};
use crate::files::Files;
use crate::limits::{MAX_BATCH, READ_CHUNK, SECTOR};

/// What a scan may be asked beside its judgement.
#[derive(Debug, Clone, Copy, Default)]
pub struct ScanOptions {
    /// Keep the record of this zxid: the boot decision compares it with the store.
    pub probe: Option<i64>,
}

/// The record that a scan was asked to keep.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Probe {
    /// Its zxid.
    pub zxid: i64,
    /// Adler-32 of its payload.
    pub checksum: u32,
    /// Its payload.
    pub payload: Vec<u8>,
}

/// An unfinished write at the end of the log. For the log line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Torn {
    /// The segment.
    pub file: PathBuf,
    /// Where the log ends from now on; 0 when the file holds no whole record and is removed.
    pub offset: u64,
    /// Bytes behind `offset` that were written.
    pub bytes: u64,
    /// The first zxid that is cut off.
    pub first_zxid: i64,
    /// The last zxid that can be read in what is cut off, not below `first_zxid`.
    pub last_zxid: i64,
    /// True when the mark says that this place was durable once. Then the tail is not an
    /// unfinished write of ours but was damaged since, and acknowledged transactions are lost.
    pub was_durable: bool,
    /// What is wrong at `offset`.
    pub why: &'static str,
}

/// The log as it is, judged.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Recovered {
    /// Segments with at least one record, in order.
    pub segments: Vec<Segment>,
    /// First zxid of the log; `None` when it has no record.
    pub first_zxid: Option<i64>,
    /// Last zxid of the log; `None` when it has no record.
    pub last_zxid: Option<i64>,
    /// Epoch, first and last zxid of each run of records without a gap, in order.
    pub ranges: Vec<(u32, i64, i64)>,
    /// The unfinished write that [`repair`] cuts off.
    pub torn: Option<Torn>,
    /// Files without a record at the end of the log, which [`repair`] removes; Java does so with
    /// one of no bytes.
    pub empty: Vec<PathBuf>,
    /// Equal zxids that stand twice, the second of which the reader drops (a Java leader that
    /// failed to encode a create logs an error under the zxid before).
    pub duplicates: u64,
    /// The record asked for, when the log has it.
    pub probe: Option<Probe>,
    /// The durable mark found beside the log.
    pub mark: Option<Mark>,
}

/// Reads the whole log of a folder (`dataLogDir/version-2`) and judges it. Changes nothing. A
/// folder that does not exist is an empty log.
///
/// # Errors
/// [`Error::Corrupt`] and [`Error::Hole`] as the rules above say; [`Error::Io`].
pub fn scan(files: &dyn Files, dir: &Path, options: ScanOptions) -> Result<Recovered> {
    let names = list(files, dir)?;
    let mut out = Recovered {
        mark: Mark::read(files, dir)?,
        ..Recovered::default()
    };
    // The zxid before which nothing may be missing: of the last record, or the one before the
    // name of a segment that turned out to have none.
    let mut chain: Option<i64> = None;
    for (i, (first, path)) in names.iter().enumerate() {
        let next = names.get(i + 1);
        if let Some(before) = chain
            && *first != before
            && !frame::follows(before, *first)
        {
            return Err(broken_chain(path, 0, before, *first));
        }
        let mut cursor = Cursor::open(files, path)?;
        if cursor.size() == 0 && next.is_none() {
            out.empty.push(path.clone());
            break;
        }
        let mut segment = Segment {
            path: path.clone(),
            first: *first,
            last: 0,
            records: 0,
            end: 0,
        };
        let (offset, why) = walk(&mut cursor, &mut segment, &mut chain, &mut out, options)?;
        segment.end = offset;
        match next {
            Some((next, next_path)) => {
                judge_earlier(&cursor, &segment, chain, offset, why, *next, next_path)?;
            }
            None => judge_tail(&cursor, &segment, chain, offset, why, &mut out)?,
        }
        if segment.records > 0 {
            out.first_zxid.get_or_insert(segment.first);
            out.last_zxid = Some(segment.last);
            out.segments.push(segment);
            out.empty.clear();
        } else {
            // Whatever becomes of it, its name must be free for the next first record.
            out.empty.push(path.clone());
            chain.get_or_insert(first.saturating_sub(1));
        }
    }
    Ok(out)
}

pub(super) fn broken_chain(file: &Path, offset: u64, after: i64, found: i64) -> Error {
    if found > after {
        Error::Hole {
            file: file.to_path_buf(),
            offset,
            after,
            found,
        }
    } else {
        Error::Corrupt(Corrupt {
            file: file.to_path_buf(),
            offset,
            after: Some(after),
            before: Some(found),
            why: "a zxid goes backward",
        })
    }
}

/// Walks the valid records of one segment; returns where and why it stopped.
fn walk(
    cursor: &mut Cursor,
    segment: &mut Segment,
    chain: &mut Option<i64>,
    out: &mut Recovered,
    options: ScanOptions,
) -> Result<(u64, Why)> {
    loop {
        match cursor.step()? {
            Step::Stop { offset, why } => return Ok((offset, why)),
            Step::Record {
                offset,
                zxid,
                checksum,
                payload,
            } => {
                if segment.records == 0 && zxid != segment.first {
                    return Err(Error::Corrupt(Corrupt {
                        file: segment.path.clone(),
                        offset,
                        after: *chain,
                        before: Some(zxid),
                        why: "the file does not begin with the zxid in its name",
                    }));
                }
                match *chain {
                    Some(last) if zxid == last => out.duplicates += 1,
                    Some(last) if !frame::follows(last, zxid) => {
                        return Err(broken_chain(&segment.path, offset, last, zxid));
                    }
                    Some(_) | None => {
                        contents::extend(&mut out.ranges, zxid);
                        if options.probe == Some(zxid) {
                            out.probe = Some(Probe {
                                zxid,
                                checksum,
                                payload: payload.to_vec(),
                            });
                        }
                    }
                }
                *chain = Some(zxid);
                segment.last = zxid;
                segment.records += 1;
            }
        }
    }
}

/// An earlier segment may end in leftovers only when the next one goes on exactly there.
fn judge_earlier(
    cursor: &Cursor,
    segment: &Segment,
    chain: Option<i64>,
    offset: u64,
    why: Why,
    next: i64,
    next_path: &Path,
) -> Result<()> {
    // With no record in the segment, the next must begin where this one was to begin.
    let last = if segment.records > 0 {
        segment.last
    } else {
        segment.first.saturating_sub(1)
    };
    if next == last.saturating_add(1) || (segment.records > 0 && next == last) {
        return Ok(());
    }
    let padding =
        why == Why::End || (why == Why::Zero && search(cursor, offset, last)?.written == offset);
    if padding {
        // A new epoch, or a hole between two sound segments.
        if frame::follows(last, next) {
            return Ok(());
        }
        return Err(broken_chain(next_path, 0, last, next));
    }
    Err(Error::Corrupt(Corrupt {
        file: segment.path.clone(),
        offset,
        after: if segment.records > 0 {
            Some(last)
        } else {
            chain
        },
        before: Some(next),
        why: why.text(),
    }))
}

fn judge_tail(
    cursor: &Cursor,
    segment: &Segment,
    chain: Option<i64>,
    offset: u64,
    why: Why,
    out: &mut Recovered,
) -> Result<()> {
    if why == Why::End {
        return Ok(());
    }
    let last = if segment.records > 0 {
        segment.last
    } else {
        segment.first.saturating_sub(1)
    };
    let behind = search(cursor, offset, last)?;
    if behind.written == offset {
        return Ok(());
    }
    let durable = match out.mark {
        // Somebody else's log: no more is known than what it shows.
        None => u64::MAX,
        Some(mark) if !mark.synced || mark.segment < segment.first => 0,
        Some(mark) if mark.segment == segment.first => mark.end,
        Some(_) => u64::MAX,
    };
    if let Some(valid) = behind.valid {
        let unsynced = out.mark.is_some_and(|m| !m.synced);
        let unfinished = offset >= durable
            && lost_sector(cursor, offset)?
            && (unsynced || behind.written - offset <= MAX_BATCH as u64);
        if !unfinished {
            return Err(Error::Corrupt(Corrupt {
                file: segment.path.clone(),
                offset,
                after: if segment.records > 0 {
                    Some(last)
                } else {
                    chain
                },
                before: Some(valid),
                why: why.text(),
            }));
        }
    }
    let first_zxid = last.saturating_add(1);
    out.torn = Some(Torn {
        file: segment.path.clone(),
        offset: if segment.records > 0 { offset } else { 0 },
        bytes: behind.written - offset,
        first_zxid,
        last_zxid: behind.last.max(first_zxid),
        was_durable: out.mark.is_some() && offset < durable,
        why: why.text(),
    });
    Ok(())
}

/// What lies behind an invalid place.
struct Behind {
    /// End of the last byte that is not zero, or the place itself.
    written: u64,
    /// Zxid of the first valid record.
    valid: Option<i64>,
    /// Highest zxid of a valid record, or of the readable header at the place.
    last: i64,
}

/// Bytes of a frame from its start to the end of the zxid.
const CANDIDATE: usize = PREFIX + 20;

/// Looks for records behind `from`, at every offset. A frame is worth its checksum only when its
/// zxid is one that can stand there: `last` and as many records more as there is room for.
fn search(cursor: &Cursor, from: u64, last: i64) -> Result<Behind> {
    let io = |e| Error::io("read", cursor.path(), e);
    let mut behind = Behind {
        written: from,
        valid: None,
        last: i64::MIN,
    };
    let mut window = vec![0; READ_CHUNK.min(cursor.size().saturating_sub(from) as usize)];
    let mut at = from;
    while at < cursor.size() {
        let n = cursor.handle().read_full(&mut window, at).map_err(io)?;
        if n == 0 {
            break;
        }
        let bytes = &window[..n];
        if let Some(i) = bytes.iter().rposition(|b| *b != 0) {
            behind.written = at + i as u64 + 1;
            // A frame starts with four zeros, so one may start before the first other byte.
            for i in 0..n.saturating_sub(CANDIDATE) {
                let here = &bytes[i..];
                if here[..4] != [0; 4] {
                    continue;
                }
                let offset = at + i as u64;
                let Some((zxid, len)) = plausible(here, cursor.size() - offset) else {
                    continue;
                };
                if !can_follow(last, zxid, offset - from) {
                    continue;
                }
                if offset == from {
                    behind.last = behind.last.max(zxid);
                } else if proven(cursor, offset, len)? {
                    behind.valid.get_or_insert(zxid);
                    behind.last = behind.last.max(zxid);
                }
            }
        }
        if n <= CANDIDATE {
            break;
        }
        at += (n - CANDIDATE) as u64;
    }
    Ok(behind)
}

/// Zxid and payload length of a frame that might be one.
fn plausible(bytes: &[u8], room: u64) -> Option<(i64, usize)> {
    let (checksum, len) = frame::prefix(bytes)?;
    let len = usize::try_from(len).ok()?;
    let fits =
        checksum <= u64::from(u32::MAX) && len >= MIN_PAYLOAD && (len + OVERHEAD) as u64 <= room;
    let zxid = bytes
        .get(CANDIDATE - 8..CANDIDATE)?
        .try_into()
        .ok()
        .map(i64::from_be_bytes)?;
    fits.then_some((zxid, len))
}

/// True when a record `zxid` may stand `distance` bytes behind the end of the record `last`.
fn can_follow(last: i64, zxid: i64, distance: u64) -> bool {
    let room = (distance / (MIN_PAYLOAD + OVERHEAD) as u64) as i64;
    let epoch = zxid >> 32;
    if epoch == last >> 32 {
        zxid > last && zxid - last - 1 <= room
    } else {
        epoch > last >> 32 && (1..=room + 1).contains(&(zxid & 0xffff_ffff))
    }
}

fn proven(cursor: &Cursor, offset: u64, len: usize) -> Result<bool> {
    let mut bytes = vec![0; len + OVERHEAD];
    let n = cursor
        .handle()
        .read_full(&mut bytes, offset)
        .map_err(|e| Error::io("read", cursor.path(), e))?;
    Ok(read_record(&bytes[..n], 0).is_ok())
}

/// True when a sector of the frame at `offset` is, from `offset` on, still zero: it was never
/// written, or the file ends within the frame.
fn lost_sector(cursor: &Cursor, offset: u64) -> Result<bool> {
    let io = |e| Error::io("read", cursor.path(), e);
    let mut first = [0; PREFIX];
    let n = cursor.handle().read_full(&mut first, offset).map_err(io)?;
    if n < PREFIX {
        return Ok(true);
    }
    let len = match frame::prefix(&first).map_or(Ok(0), |(_, len)| usize::try_from(len)) {
        Ok(len) if (MIN_PAYLOAD..=MAX_BATCH).contains(&len) => len + OVERHEAD,
        Ok(_) | Err(_) => PREFIX,
    };
    let end = offset + len as u64;
    if end > cursor.size() {
        return Ok(true);
    }
    let mut sector = [0; SECTOR];
    // The upper half of the checksum is zero in every frame and proves nothing.
    let mut at = offset + 4;
    while at < end {
        let whole = SECTOR - (at % SECTOR as u64) as usize;
        let n = cursor
            .handle()
            .read_full(&mut sector[..whole], at)
            .map_err(io)?;
        if sector[..n].iter().all(|b| *b == 0) {
            return Ok(true);
        }
        at += whole as u64;
    }
    Ok(false)
}

/// Makes the log on disk what the scan found it to be: cuts the torn tail, removes a last file
/// without a record, and makes durable what the last run did not live to sync. Doing it again is
/// no harm.
///
/// Records that were written but not synced are read back after a kill as if they were safe. They
/// are written once more before the sync: a sync that failed in the last run may have marked
/// their pages clean, and then a new one covers nothing.
///
/// # Errors
/// [`Error::Io`].
pub fn repair(files: &dyn Files, dir: &Path, recovered: &Recovered) -> Result<()> {
    let mark = recovered.mark;
    for (i, segment) in recovered.segments.iter().enumerate() {
        let last = i + 1 == recovered.segments.len();
        // A segment is synced before the next begins, but for one written without fsync.
        if !last && mark.is_none_or(|m| m.synced) {
            continue;
        }
        // When the last file goes, what an earlier run left behind the records before it would
        // be at the end of the log: that the file was begun is what proves it to be nothing.
        let cut = !recovered.empty.is_empty()
            || recovered
                .torn
                .as_ref()
                .is_some_and(|t| t.file == segment.path);
        let unsynced_from = match mark {
            Some(mark) if mark.synced && mark.segment == segment.first => mark.end,
            Some(mark) if mark.synced && mark.segment < segment.first => 0,
            // One without fsync is synced when the next begins.
            Some(mark) if !mark.synced && last => 0,
            // Another's log: what it holds may be much.
            Some(_) | None => segment.end,
        };
        settle(files, segment, last && cut, unsynced_from)?;
    }
    for path in recovered.empty.iter().rev() {
        files
            .remove(path)
            .map_err(|e| Error::io("remove", path, e))?;
    }
    if !recovered.segments.is_empty() || !recovered.empty.is_empty() {
        files
            .sync_dir(dir)
            .map_err(|e| Error::io("fsync", dir, e))?;
    }
    Ok(())
}

fn settle(files: &dyn Files, segment: &Segment, cut: bool, unsynced_from: u64) -> Result<()> {
    let path = &segment.path;
    let mut handle = files.open(path).map_err(|e| Error::io("open", path, e))?;
    if cut {
        handle
            .set_size(segment.end)
            .map_err(|e| Error::io("cut", path, e))?;
    }
    let mut piece = vec![0; READ_CHUNK.min(segment.end.saturating_sub(unsynced_from) as usize)];
    let mut at = unsynced_from;
    while at < segment.end {
        let want = piece.len().min((segment.end - at) as usize);
        let n = handle
            .read_full(&mut piece[..want], at)
            .map_err(|e| Error::io("read", path, e))?;
        if n == 0 {
            break;
        }
        handle
            .write_at(&piece[..n], at)
            .map_err(|e| Error::io("write", path, e))?;
        at += n as u64;
    }
    if unsynced_from < segment.end {
        // After a failed sync the size is as little durable as the bytes, and a size that does not
        // change is not written again. The padding goes with it.
        for size in [segment.end + 1, segment.end] {
            handle
                .set_size(size)
                .map_err(|e| Error::io("resize", path, e))?;
        }
    }
    handle.sync_data().map_err(|e| Error::io("fsync", path, e))
}

/// Cuts a file durably.
pub(super) fn cut(files: &dyn Files, path: &Path, size: u64) -> Result<()> {
    let mut handle = files.open(path).map_err(|e| Error::io("open", path, e))?;
    handle
        .set_size(size)
        .map_err(|e| Error::io("cut", path, e))?;
    handle.sync_data().map_err(|e| Error::io("fsync", path, e))
}
