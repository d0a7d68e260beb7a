//! The log thread: one write and one sync for everything that piled up.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use zk_core::Zxid;
use zk_disk::files::Files;
use zk_disk::log::{Segment, Writer};
use zk_disk::{Error, purge};

/// See the module.
#[derive(Debug)]
pub struct LogThread {
    pub(super) files: Arc<dyn Files>,
    pub(super) dir: PathBuf,
    pub(super) writer: Writer,
    /// Records that it has not written.
    pub queue: VecDeque<(Zxid, Bytes)>,
    /// Durable up to here, and the core is not told.
    pub done: Option<Zxid>,
    /// Finished segments.
    pub(super) segments: Vec<Segment>,
}

impl LogThread {
    /// Whether it waits for records.
    pub fn is_idle(&self) -> bool {
        self.queue.is_empty() && self.done.is_none()
    }

    /// Writes and syncs everything that is queued.
    ///
    /// # Errors
    /// The log is done for.
    pub fn write(&mut self) -> Result<(), Error> {
        for (zxid, payload) in self.queue.drain(..) {
            self.writer.append(zxid.0, &payload)?;
        }
        let zxid = self.writer.sync()?;
        self.done = Some(Zxid(zxid));
        Ok(())
    }

    /// Removes the segments that nothing needs; returns how many.
    ///
    /// # Errors
    /// The folder cannot be changed.
    pub fn purge(&mut self, persisted: Zxid, window: purge::Window) -> Result<usize, Error> {
        self.segments.extend(self.writer.take_finished());
        let mut segments = self.segments.clone();
        segments.extend(self.writer.segment().cloned());
        let plan = purge::decide(&purge::Facts {
            segments: &segments,
            persisted: persisted.0,
            window,
            snapshots: &[],
            readers: None,
        });
        purge::execute(&*self.files, &self.dir, &plan)?;
        self.segments.retain(|s| !plan.remove.contains(&s.path));
        Ok(plan.remove.len())
    }
}
