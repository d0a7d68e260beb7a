//! A log beside the log: what follows a store that is not yet the store.
//!
//! Owns the folder `zabkeeper-incoming` of `dataLogDir`, its segments and how they take the place
//! of the log. Does not know when ([`crate::install`] does).
//!
//! Invariants: nothing here is ever read as the log. What is here was synced whatever `forceSync`
//! says: it is moved, and then must be whole.

use std::path::Path;
use std::sync::Arc;

use super::mark::{Mark, MarkFile};
use super::recover::Recovered;
use super::segment::list;
use super::writer::{Options, Writer};
use crate::directory::{Layout, create_dir};
use crate::error::{Error, Result};
use crate::files::Files;
use crate::small;

/// Writes it.
#[derive(Debug)]
pub struct Staged {
    writer: Writer,
}

impl Staged {
    /// Begins an empty one that follows `base`; what an earlier one left goes.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn begin(
        files: Arc<dyn Files>,
        layout: &Layout,
        options: Options,
        base: i64,
    ) -> Result<Staged> {
        remove(&*files, layout)?;
        let dir = layout.incoming_logs();
        create_dir(&*files, &dir)?;
        let options = Options {
            force_sync: true,
            ..options
        };
        let writer = Writer::open(files, &dir, options, &Recovered::default(), base)?;
        Ok(Staged { writer })
    }

    /// As [`Writer::append`].
    ///
    /// # Errors
    /// As [`Writer::append`].
    pub fn append(&mut self, zxid: i64, payload: &[u8]) -> Result<()> {
        self.writer.append(zxid, payload)
    }

    /// As [`Writer::batch_bytes`].
    pub fn batch_bytes(&self) -> usize {
        self.writer.batch_bytes()
    }

    /// As [`Writer::sync`].
    ///
    /// # Errors
    /// As [`Writer::sync`].
    pub fn sync(&mut self) -> Result<i64> {
        self.writer.sync()
    }

    /// The last zxid appended, or the one that the log follows.
    pub fn appended(&self) -> i64 {
        self.writer.appended()
    }

    /// Makes everything durable and closes. Returns the last zxid, or the one that the log
    /// follows.
    ///
    /// # Errors
    /// As [`Writer::close`].
    pub fn close(self) -> Result<i64> {
        self.writer.close()
    }
}

/// Removes the folder and what is in it, durably; that there is none is no error.
///
/// # Errors
/// [`Error::Io`].
pub fn remove(files: &dyn Files, layout: &Layout) -> Result<()> {
    let dir = layout.incoming_logs();
    if small::exists(files, &dir)? {
        files
            .remove_tree(&dir)
            .map_err(|e| Error::io("remove", &dir, e))?;
        small::sync_folder(files, &dir)?;
    }
    Ok(())
}

/// Takes the log of another history away, the newest segment first, and notes that nothing of
/// what comes in its place is durable but what the staged log says. `base` is the zxid that the
/// staged log follows. Doing it again is no harm.
pub(crate) fn discard_log(files: &dyn Files, layout: &Layout, base: i64) -> Result<()> {
    let logs = layout.logs();
    for (_, path) in list(files, &logs)?.iter().rev() {
        files
            .remove(path)
            .map_err(|e| Error::io("remove", path, e))?;
        sync_dir(files, &logs)?;
    }
    // That there is none does not say that an earlier removal is durable.
    sync_dir(files, &logs)?;
    let nothing = Mark {
        segment: 0,
        end: 0,
        zxid: base,
        synced: true,
        committed: 0,
    };
    let mark = Mark::read(files, &layout.incoming_logs())?.unwrap_or(nothing);
    MarkFile::open(files, &logs, mark).map(|_| ())
}

/// Moves the staged segments to where the log was, which must be empty but for segments moved
/// before. Doing it again is no harm.
pub(crate) fn take_place(files: &dyn Files, layout: &Layout) -> Result<()> {
    let (logs, incoming) = (layout.logs(), layout.incoming_logs());
    if small::exists(files, &incoming)? {
        for (_, path) in list(files, &incoming)? {
            let target = logs.join(path.file_name().unwrap_or_default());
            files
                .rename(&path, &target)
                .map_err(|e| Error::io("rename", &path, e))?;
        }
        sync_dir(files, &logs)?;
        sync_dir(files, &incoming)?;
    }
    // That one is there does not say that an earlier move is durable.
    sync_dir(files, &logs)
}

fn sync_dir(files: &dyn Files, dir: &Path) -> Result<()> {
    files.sync_dir(dir).map_err(|e| Error::io("fsync", dir, e))
}
