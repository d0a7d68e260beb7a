//! Cuts the log after a zxid: what a learner does when its leader never knew the rest.

use std::path::Path;

use super::mark::{Mark, MarkFile};
use super::recover::cut;
use super::segment::{Cursor, Step, list};
use crate::error::{Error, Result};
use crate::files::Files;

/// Removes every record after `zxid`, durably. The log must hold `zxid` unless it ends before it
/// (then nothing is to be done); 0 removes everything.
///
/// A crash on the way leaves a log that ends at or after `zxid` without a hole, so segments go
/// one by one, the newest first.
///
/// # Errors
/// [`Error::Refused`] when the log begins after `zxid`, [`Error::Io`].
pub fn truncate(files: &dyn Files, dir: &Path, zxid: i64) -> Result<()> {
    let names = list(files, dir)?;
    if let Some((first, path)) = names.first()
        && zxid != 0
        && *first > zxid
    {
        return Err(Error::Refused {
            found: format!(
                "the log is to be cut after zxid {zxid:#x} but begins with {first:#x} at {}",
                path.display()
            ),
            remedy: "The transactions before it are only in the store, which cannot be cut".into(),
        });
    }
    let kept = names.iter().rposition(|(first, _)| *first <= zxid);
    let end = match kept.and_then(|i| names.get(i)) {
        Some((first, path)) => {
            let mut cursor = Cursor::open(files, path)?;
            let end = loop {
                match cursor.step()? {
                    Step::Record { zxid: found, .. } if found <= zxid => {}
                    Step::Record { offset, .. } | Step::Stop { offset, .. } => break offset,
                }
            };
            // From now on nothing behind is called durable, so that a cut which a crash leaves
            // half done is judged to be what it is.
            MarkFile::open(
                files,
                dir,
                Mark {
                    segment: *first,
                    end,
                    zxid,
                    synced: true,
                },
            )?;
            Some((path, end))
        }
        None => {
            MarkFile::open(
                files,
                dir,
                Mark {
                    segment: 0,
                    end: 0,
                    zxid,
                    synced: true,
                },
            )?;
            None
        }
    };
    for (_, path) in names.iter().skip(kept.map_or(0, |i| i + 1)).rev() {
        files
            .remove(path)
            .map_err(|e| Error::io("remove", path, e))?;
        files
            .sync_dir(dir)
            .map_err(|e| Error::io("fsync", dir, e))?;
    }
    match end {
        Some((path, end)) => cut(files, path, end),
        None => Ok(()),
    }
}
