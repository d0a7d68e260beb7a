//! The store's thread: takes what changed in the tree, writes it and flushes it.

use zk_core::Zxid;
use zk_core::ids::Now;
use zk_core::tree::Tree;
use zk_disk::Error;
use zk_disk::log::checksum;
use zk_disk::persist::{Persister, Step};
use zk_disk::store::{Batch, Meta, ModelStore};

use crate::check::Judge;

/// See the module.
#[derive(Debug)]
pub struct StoreThread {
    /// The store.
    pub store: ModelStore,
    pub(super) persister: Persister,
    /// Durable up to here, and the core is not told.
    pub flushed: Option<Zxid>,
    pub(super) stopping: bool,
}

impl StoreThread {
    /// Whether so much is dirty that nothing may be applied.
    pub fn is_full(&self) -> bool {
        self.persister.is_full()
    }

    /// Takes what changed since the last time.
    pub(super) fn take(&mut self, tree: &mut Tree, judge: &Judge, now: Now) {
        if !tree.is_dirty() && tree.last_zxid().0 == self.persister.taken() {
            return;
        }
        let mut batch = Batch::new();
        let meta = tree.drain_changes(&mut |change| {
            if let Err(error) = batch.change(&change) {
                panic!("a change has no row: {error}");
            }
        });
        let payload = judge.payload(meta.zxid.0);
        let record = payload.map_or(0, |payload| checksum(payload));
        batch.set_meta(Meta { tree: meta, record });
        let zxids = self.persister.taken() + 1..=meta.zxid.0;
        let bytes = zxids
            .filter_map(|zxid| judge.payload(zxid))
            .map(|p| p.len());
        let log_bytes = bytes.sum::<usize>() as u64;
        self.persister.take(&batch, log_bytes, now.mono_ms as u64);
    }

    /// Whether there is something to do now.
    pub fn is_due(&self, now: Now) -> bool {
        !matches!(self.persister.next(now.mono_ms as u64), Step::Wait(_))
    }

    /// Does one thing that is due.
    ///
    /// # Errors
    /// The store is done for.
    pub fn work(&mut self, now: Now) -> Result<(), Error> {
        match self.persister.next(now.mono_ms as u64) {
            Step::Write => self.persister.write(&self.store, now.mono_ms as u64)?,
            Step::Flush => {
                self.persister.flush(&self.store)?;
                self.flushed = Some(self.persisted());
            }
            Step::Wait(_) => {}
        }
        Ok(())
    }

    /// From now on everything is due.
    pub fn stop(&mut self) {
        self.stopping = true;
        self.persister.stop();
    }

    /// Durable in the store.
    pub fn persisted(&self) -> Zxid {
        Zxid(self.persister.flushed())
    }
}
