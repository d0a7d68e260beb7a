//! Reads records from any zxid on, over segments: for replay at start and to bring a learner up
//! to date.
//!
//! Does not judge damage: the log was scanned before, so a place that is no record within the
//! range asked for is an error.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::frame;
use super::segment::{Cursor, Step, Why, list};
use crate::error::{Corrupt, Error, Result};
use crate::files::Files;

/// One transaction in the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Record<'a> {
    /// Its zxid.
    pub zxid: i64,
    /// The payload: header, body and digest, as a proposal carries them.
    pub payload: &'a [u8],
    /// Adler-32 of the payload.
    pub checksum: u32,
    /// Where its frame starts in [`Reader::file`].
    pub offset: u64,
}

/// Reads the log from one zxid to another.
#[derive(Debug)]
pub struct Reader {
    files: Arc<dyn Files>,
    dir: PathBuf,
    cursor: Option<Cursor>,
    /// First zxid of the cursor's segment.
    segment: i64,
    /// Last zxid passed, given or skipped; `None` before the first record.
    last: Option<i64>,
    from: i64,
    until: i64,
}

impl Reader {
    /// A reader of the records from zxid `from` to zxid `until`, both included. The second bound
    /// is there because the end of a log that is being written cannot be told from damage: it is
    /// the last durable zxid.
    ///
    /// # Errors
    /// [`Error::Hole`] when the log begins after `from`; [`Error::Io`].
    pub fn open(files: Arc<dyn Files>, dir: &Path, from: i64, until: i64) -> Result<Reader> {
        let mut reader = Reader {
            files,
            dir: dir.to_path_buf(),
            cursor: None,
            segment: 0,
            last: None,
            from,
            until,
        };
        if from <= until {
            reader.enter()?;
        }
        Ok(reader)
    }

    /// Opens the last segment that begins at or before `from`.
    fn enter(&mut self) -> Result<()> {
        let names = list(&*self.files, &self.dir)?;
        let Some((first, path)) = names.iter().rev().find(|(first, _)| *first <= self.from) else {
            // Epochs jump, so the first record may still be the next one after `from` - 1.
            if let Some((first, path)) = names.first()
                && frame::follows(self.from.saturating_sub(1), *first)
            {
                return self.go(*first, &path.clone());
            }
            return Err(Error::Hole {
                file: names
                    .first()
                    .map_or_else(|| self.dir.clone(), |(_, path)| path.clone()),
                offset: 0,
                after: self.from.saturating_sub(1),
                found: names.first().map_or(self.until, |(first, _)| *first),
            });
        };
        self.go(*first, path)
    }

    fn go(&mut self, first: i64, path: &Path) -> Result<()> {
        self.cursor = Some(Cursor::open(&*self.files, path)?);
        self.segment = first;
        Ok(())
    }

    /// First zxid of the segment that the next record comes from, or the last one came from.
    pub(super) fn segment(&self) -> i64 {
        self.segment
    }

    /// The segment that the next record comes from, or the last one came from.
    pub fn file(&self) -> &Path {
        self.cursor.as_ref().map_or(&self.dir, |c| c.path())
    }

    /// Moves the upper bound up, for a log that grew.
    ///
    /// # Errors
    /// [`Error::Hole`] when the log begins after the next record to read; [`Error::Io`].
    pub fn extend(&mut self, until: i64) -> Result<()> {
        self.until = self.until.max(until);
        match &mut self.cursor {
            Some(cursor) => cursor.refresh(),
            None if self.from <= self.until => self.enter(),
            None => Ok(()),
        }
    }

    /// The next record, or `None` once the upper bound is reached.
    ///
    /// # Errors
    /// [`Error::Corrupt`] when the segment is damaged before the upper bound, [`Error::Hole`]
    /// when a transaction is missing, [`Error::Io`].
    pub fn next_record(&mut self) -> Result<Option<Record<'_>>> {
        loop {
            if self.last.is_some_and(|last| last >= self.until) {
                return Ok(None);
            }
            let Some(cursor) = &mut self.cursor else {
                return Ok(None);
            };
            // A record that is given away borrows the cursor, so its place is found first.
            let found = match cursor.step()? {
                Step::Record { zxid, .. } => Ok(zxid),
                Step::Stop { offset, why } => Err((offset, why)),
            };
            match found {
                Ok(zxid) => {
                    if self.last == Some(zxid) {
                        continue;
                    }
                    if let Some(last) = self.last
                        && !frame::follows(last, zxid)
                    {
                        let offset = cursor.record().map_or(0, |r| r.offset);
                        return Err(super::recover::broken_chain(
                            cursor.path(),
                            offset,
                            last,
                            zxid,
                        ));
                    }
                    self.last = Some(zxid);
                    if zxid < self.from {
                        continue;
                    }
                    return Ok(self.cursor.as_ref().and_then(Cursor::record));
                }
                Err((offset, why)) => self.next_segment(offset, why)?,
            }
        }
    }

    fn next_segment(&mut self, offset: u64, why: Why) -> Result<()> {
        let names = list(&*self.files, &self.dir)?;
        let Some((first, path)) = names.into_iter().find(|(first, _)| *first > self.segment) else {
            return Err(Error::Corrupt(Corrupt {
                file: self.file().to_path_buf(),
                offset,
                after: self.last,
                before: None,
                why: why.text(),
            }));
        };
        self.go(first, &path)
    }
}
