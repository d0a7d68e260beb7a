//! Cuts the log after a zxid: what a learner does when its leader never knew the rest.

use std::path::{Path, PathBuf};

use super::frame::follows;
use super::mark::{Mark, MarkFile};
use super::recover::cut;
use super::segment::{Cursor, Segment, Step, list};
use crate::error::{Error, Result, Zxid};
use crate::files::Files;

/// What a cut has left.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Cut {
    /// Last zxid of the log, or the one that it follows when no record is left.
    pub end: i64,
    /// Segments that are gone.
    pub removed: Vec<PathBuf>,
    /// The segment that is now the last, as it is now.
    pub last: Option<Segment>,
}

impl Cut {
    /// Brings a list of segments up to date. New segments may get the names of removed ones, so
    /// nobody may keep those.
    pub fn apply(&self, segments: &mut Vec<Segment>) {
        segments.retain(|segment| !self.removed.contains(&segment.path));
        if let Some(last) = &self.last {
            let mine = segments.iter_mut().find(|s| s.path == last.path);
            if let Some(mine) = mine {
                mine.clone_from(last);
            }
        }
    }
}

/// True for a zxid that no transaction has: an epoch before its first.
fn is_epoch_start(zxid: i64) -> bool {
    zxid & 0xffff_ffff == 0
}

/// Removes every record after `zxid`, durably. `base` is the zxid that the log follows when
/// nothing of it was purged: that of the store it was begun beside, 0 for a log with the first
/// transaction.
///
/// The log must hold `zxid`, or follow it: a cut at the base leaves no record. The start of an
/// epoch (a counter of 0), which a leader without a transaction of its own may name, is the end
/// of what came before it. A log that ends before `zxid` stays as it is.
///
/// A crash on the way leaves a log that ends at or after `zxid` without a hole, so segments go
/// one by one, the newest first.
///
/// # Errors
/// [`Error::Refused`] when the log begins after `zxid` or lacks it, with nothing changed;
/// [`Error::Io`].
pub fn truncate(files: &dyn Files, dir: &Path, zxid: i64, base: i64) -> Result<Cut> {
    let names = list(files, dir)?;
    let kept = names.iter().rposition(|(first, _)| *first <= zxid);
    let last = match kept.and_then(|i| names.get(i)) {
        Some((first, path)) => {
            let mut segment = Segment {
                path: path.clone(),
                first: *first,
                last: 0,
                records: 0,
                end: 0,
            };
            let mut cursor = Cursor::open(files, path)?;
            let behind = loop {
                match cursor.step()? {
                    Step::Record { zxid: found, .. } if found <= zxid => {
                        segment.last = found;
                        segment.records += 1;
                    }
                    Step::Record {
                        offset,
                        zxid: found,
                        ..
                    } => {
                        segment.end = offset;
                        break Some(found);
                    }
                    Step::Stop { offset, .. } => {
                        segment.end = offset;
                        break None;
                    }
                }
            };
            let behind = behind.or_else(|| names.get(kept? + 1).map(|(first, _)| *first));
            if let Some(behind) = behind
                && segment.last != zxid
                && !is_epoch_start(zxid)
            {
                return lacks(zxid, segment.last, behind);
            }
            Some(segment)
        }
        None => {
            // Nothing is between the base and the first record, and what is to be kept is not before.
            let reaches = match names.first() {
                Some((first, _)) => {
                    follows(base, *first) && (zxid == base || (zxid > base && is_epoch_start(zxid)))
                }
                None => zxid >= base,
            };
            if !reaches {
                let begins = names
                    .first()
                    .map_or(base.saturating_add(1), |(first, _)| *first);
                return Err(Error::Refused {
                    found: format!(
                        "the log in {} is to be cut after zxid {} but begins with {}",
                        dir.display(),
                        Zxid(zxid),
                        Zxid(begins)
                    ),
                    remedy: "The transactions before it are only in the store, which cannot be cut"
                        .into(),
                });
            }
            None
        }
    };
    let mut done = Cut {
        end: last.as_ref().map_or(base, |segment| segment.last),
        removed: Vec::new(),
        last,
    };
    let committed = Mark::read(files, dir)?.map_or(0, |mark| mark.committed);
    // From now on nothing behind is called durable, so that a cut which a crash leaves half done is
    // judged to be what it is.
    MarkFile::open(
        files,
        dir,
        Mark {
            segment: done.last.as_ref().map_or(0, |segment| segment.first),
            end: done.last.as_ref().map_or(0, |segment| segment.end),
            zxid: done.end,
            synced: true,
            committed: committed.min(done.end),
        },
    )?;
    for (_, path) in names.iter().skip(kept.map_or(0, |i| i + 1)).rev() {
        files
            .remove(path)
            .map_err(|e| Error::io("remove", path, e))?;
        files
            .sync_dir(dir)
            .map_err(|e| Error::io("fsync", dir, e))?;
        done.removed.push(path.clone());
    }
    if let Some(segment) = &done.last {
        cut(files, &segment.path, segment.end)?;
    }
    Ok(done)
}

fn lacks(zxid: i64, before: i64, behind: i64) -> Result<Cut> {
    Err(Error::Refused {
        found: format!(
            "the log is to be cut after zxid {} but has none: {} is followed by {}",
            Zxid(zxid),
            Zxid(before),
            Zxid(behind)
        ),
        remedy: "It is of another history than the one that is to be followed".into(),
    })
}
