//! The sync of a log that is written without one (`forceSync=no`).
//!
//! Nobody who waits for a reply waits for it. But the store must not get ahead of the log: after
//! a power cut a start would find transactions in the store that the log has lost, and refuse. So
//! whoever writes the store first makes durable what the log holds, from its own thread.
//!
//! Owns which segment is written and not synced. The writer syncs a segment when it leaves it, so
//! there is at most one.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::error::{Error, Result};
use crate::files::Files;

/// A handle on the log of a [`super::Writer`]. Clones are of the same log.
#[derive(Debug, Clone)]
pub struct LateSync {
    files: Arc<dyn Files>,
    dir: PathBuf,
    state: Arc<State>,
}

#[derive(Debug, Default)]
struct State {
    /// The segment that holds what was written since the last sync began.
    unsynced: Mutex<Option<PathBuf>>,
    /// Held during a sync: who finds nothing to do must know that nothing is under way. True once
    /// one failed.
    failed: Mutex<bool>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl LateSync {
    pub(super) fn new(files: Arc<dyn Files>, dir: &Path) -> LateSync {
        LateSync {
            files,
            dir: dir.to_path_buf(),
            state: Arc::default(),
        }
    }

    /// Something was written to this segment.
    pub(super) fn wrote(&self, segment: &Path) {
        let mut unsynced = lock(&self.state.unsynced);
        if unsynced.as_deref() != Some(segment) {
            *unsynced = Some(segment.to_path_buf());
        }
    }

    /// Makes everything durable that the writer has reported written, with the names of the files.
    /// The writer can go on writing meanwhile.
    ///
    /// # Errors
    /// [`Error::Io`] on the first failure and [`Error::Poisoned`] from then on: it is not tried
    /// again.
    pub fn sync(&self) -> Result<()> {
        let mut failed = lock(&self.state.failed);
        if *failed {
            return Err(Error::Poisoned);
        }
        let path = lock(&self.state.unsynced).take();
        let done = path.map_or(Ok(()), |path| self.sync_segment(&path));
        *failed = done.is_err();
        done
    }

    fn sync_segment(&self, path: &Path) -> Result<()> {
        self.files
            .open(path)
            .and_then(|mut handle| handle.sync_data())
            .map_err(|e| Error::io("fsync", path, e))?;
        self.files
            .sync_dir(&self.dir)
            .map_err(|e| Error::io("fsync", &self.dir, e))
    }
}
