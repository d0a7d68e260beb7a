//! When the store is written and flushed.
//!
//! Owns the rows that differ from the store, merged by key, and the two decisions. Does not know
//! threads, clocks or which store: time is an argument, the persist thread asks and does.
//!
//! Invariants: `flushed` <= `written` <= `taken`; batches reach the store in order; what was
//! taken and not yet written is here; nothing is written to the store, which may flush on its own
//! at any time, that is not durable in the log. A store that failed is not tried again: what it holds is
//! unknown, and the log has everything.

use crate::error::Result;
use crate::limits;
use crate::log::LateSync;
use crate::store::{Batch, Merged, Store};

/// When to write and flush; the defaults are those of [`crate::limits`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Options {
    /// The oldest dirty row is written after this many milliseconds.
    pub write_after_ms: u64,
    /// Dirty rows are written when they are this many bytes.
    pub write_bytes: usize,
    /// A flush is due when this much log was written since what the last one covered.
    pub flush_log_bytes: u64,
    /// A flush is due when rows have been written and not flushed for this many milliseconds.
    pub flush_after_ms: u64,
    /// At this many dirty bytes the writers must wait.
    pub dirty_bytes: usize,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            write_after_ms: limits::WRITE_AFTER_MS,
            write_bytes: limits::WRITE_BYTES,
            flush_log_bytes: limits::FLUSH_LOG_BYTES,
            flush_after_ms: limits::FLUSH_AFTER_MS,
            dirty_bytes: limits::DIRTY_BYTES,
        }
    }
}

/// What is to be done next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Write the dirty rows.
    Write,
    /// Flush what was written.
    Flush,
    /// Nothing now. After so many milliseconds, if no batch comes before, there will be; `None`
    /// when only a batch can bring work.
    Wait(Option<u64>),
}

/// The dirty rows and the decisions. See the module's text.
#[derive(Debug)]
pub struct Persister {
    options: Options,
    /// How the log is made durable, when it is not so already.
    log: Option<LateSync>,
    dirty: Merged,
    /// When the oldest dirty row came.
    dirty_since: Option<u64>,
    /// Log bytes of what is dirty.
    dirty_log: u64,
    /// When the oldest written and unflushed row was written.
    unflushed_since: Option<u64>,
    /// Log bytes of what is written and not flushed.
    unflushed_log: u64,
    taken: i64,
    written: i64,
    flushed: i64,
    stopping: bool,
}

impl Persister {
    /// Begins with nothing dirty; `persisted` is the zxid of the store. `log` is what
    /// [`crate::log::Writer::late_sync`] gives.
    pub fn new(options: Options, persisted: i64, log: Option<LateSync>) -> Persister {
        Persister {
            options,
            log,
            dirty: Merged::new(),
            dirty_since: None,
            dirty_log: 0,
            unflushed_since: None,
            unflushed_log: 0,
            taken: persisted,
            written: persisted,
            flushed: persisted,
            stopping: false,
        }
    }

    /// Takes a batch; `log_bytes` is what its transactions take in the log. A batch in which no
    /// row differs still moves the zxid on.
    ///
    /// # Panics
    /// When the batch's zxid is below that of an earlier one.
    pub fn take(&mut self, batch: &Batch, log_bytes: u64, now_ms: u64) {
        let zxid = batch.meta().tree.zxid.0;
        assert!(
            zxid >= self.taken,
            "a batch up to zxid {zxid:#x} after one up to {:#x}",
            self.taken
        );
        if zxid == self.taken && batch.is_empty() {
            return;
        }
        self.dirty.add(batch);
        self.taken = zxid;
        self.dirty_since.get_or_insert(now_ms);
        self.dirty_log = self.dirty_log.saturating_add(log_bytes);
    }

    /// Bytes of dirty rows: taken and not yet written.
    pub fn dirty_bytes(&self) -> usize {
        self.dirty.bytes()
    }

    /// True when so much is dirty that whoever makes more must wait.
    pub fn is_full(&self) -> bool {
        self.dirty.bytes() >= self.options.dirty_bytes
    }

    /// Last zxid taken.
    pub fn taken(&self) -> i64 {
        self.taken
    }

    /// Last zxid in the store, not necessarily durable.
    pub fn written(&self) -> i64 {
        self.written
    }

    /// Last zxid durable in the store: where a start goes on from, and what purge may rely on.
    pub fn flushed(&self) -> i64 {
        self.flushed
    }

    /// From now on everything is due at once: the server stops.
    pub fn stop(&mut self) {
        self.stopping = true;
    }

    /// What is to be done at this moment.
    pub fn next(&self, now_ms: u64) -> Step {
        let age = |since: Option<u64>| since.map(|at| now_ms.saturating_sub(at));
        let wait = |age: Option<u64>, after: u64| age.map(|age| after.saturating_sub(age));
        let write_in = match self.dirty_since {
            Some(_) if self.stopping || self.dirty.bytes() >= self.options.write_bytes => Some(0),
            since => wait(age(since), self.options.write_after_ms),
        };
        if write_in == Some(0) {
            return Step::Write;
        }
        let flush_in = match self.unflushed_since {
            Some(_) if self.stopping || self.unflushed_log >= self.options.flush_log_bytes => {
                Some(0)
            }
            since => wait(age(since), self.options.flush_after_ms),
        };
        match (write_in, flush_in) {
            (_, Some(0)) => Step::Flush,
            (Some(a), Some(b)) => Step::Wait(Some(a.min(b))),
            (a, b) => Step::Wait(a.or(b)),
        }
    }

    /// Writes the dirty rows, on [`Step::Write`].
    ///
    /// # Errors
    /// What the store says, or the sync of a log that has none of its own.
    pub fn write(&mut self, store: &dyn Store, now_ms: u64) -> Result<()> {
        if let Some(log) = &self.log {
            log.sync()?;
        }
        store.write(&self.dirty)?;
        self.written = self.dirty.meta().tree.zxid.0;
        self.dirty.clear();
        self.dirty_since = None;
        self.unflushed_since.get_or_insert(now_ms);
        self.unflushed_log = self
            .unflushed_log
            .saturating_add(std::mem::take(&mut self.dirty_log));
        Ok(())
    }

    /// Flushes what was written, on [`Step::Flush`].
    ///
    /// # Errors
    /// What the store says.
    ///
    /// # Panics
    /// When the store flushed another state than was written.
    pub fn flush(&mut self, store: &dyn Store) -> Result<()> {
        let zxid = store.flush()?;
        assert_eq!(
            zxid, self.written,
            "the store flushed another state than was written"
        );
        self.flushed = zxid;
        if self.dirty.is_empty() {
            // A quiet server keeps no memory for the next burst.
            self.dirty = Merged::new();
        }
        self.unflushed_since = None;
        self.unflushed_log = 0;
        Ok(())
    }

    /// Does what is due, one step after the other, and returns how long there is nothing to do
    /// (`None`: until a batch comes). Blocks in the store.
    ///
    /// # Errors
    /// What the store says. Then this persister is done for: the process must end, and the next
    /// start replays the log.
    pub fn run(&mut self, store: &dyn Store, now_ms: u64) -> Result<Option<u64>> {
        loop {
            match self.next(now_ms) {
                Step::Write => self.write(store, now_ms)?,
                Step::Flush => self.flush(store)?,
                Step::Wait(ms) => return Ok(ms),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use zk_core::ids::Zxid;
    use zk_core::tree;

    use super::*;
    use crate::store::{Meta, ModelStore};

    fn batch(zxid: i64, bytes: usize) -> Batch {
        let mut batch = Batch::new();
        let row = tree::Row {
            stat: zk_wire::stat::StatPersisted::default(),
            acl: zk_core::acl::AclId::OPEN,
            children: 0,
            crc: 0,
            data: Some(&vec![1; bytes]),
        };
        batch.put_node(&format!("/n{zxid}"), &row);
        let tree = tree::Meta {
            zxid: Zxid(zxid),
            ..tree::Meta::default()
        };
        batch.set_meta(Meta { tree, record: 0 });
        batch
    }

    const OPTIONS: Options = Options {
        write_after_ms: 200,
        write_bytes: 10_000,
        flush_log_bytes: 50_000,
        flush_after_ms: 2_000,
        dirty_bytes: 30_000,
    };

    #[test]
    fn writes_after_the_time_and_flushes_after_the_longer_one() {
        let store = ModelStore::new();
        let mut persister = Persister::new(OPTIONS, 0, None);
        assert_eq!(persister.run(&store, 0).unwrap(), None);
        persister.take(&batch(1, 10), 100, 1_000);
        assert_eq!(persister.run(&store, 1_000).unwrap(), Some(200));
        persister.take(&batch(2, 10), 100, 1_150);
        assert_eq!(persister.run(&store, 1_199).unwrap(), Some(1));
        assert_eq!(
            (persister.taken(), persister.written(), persister.flushed()),
            (2, 0, 0)
        );
        assert_eq!(persister.run(&store, 1_200).unwrap(), Some(2_000));
        assert_eq!((persister.written(), persister.flushed()), (2, 0));
        assert_eq!(persister.dirty_bytes(), 0);
        assert_eq!(persister.run(&store, 3_200).unwrap(), None);
        assert_eq!(persister.flushed(), 2);
    }

    #[test]
    fn writes_and_flushes_by_size() {
        let store = ModelStore::new();
        let mut persister = Persister::new(OPTIONS, 0, None);
        persister.take(&batch(1, 9_000), 30_000, 0);
        assert_eq!(persister.next(0), Step::Wait(Some(200)));
        persister.take(&batch(2, 2_000), 5_000, 0);
        assert_eq!(persister.next(0), Step::Write);
        assert!(!persister.is_full());
        assert_eq!(persister.run(&store, 0).unwrap(), Some(2_000));
        persister.take(&batch(3, 12_000), 15_000, 10);
        persister.run(&store, 10).unwrap();
        assert_eq!((persister.written(), persister.flushed()), (3, 3));
    }

    #[test]
    fn stopping_makes_everything_durable_at_once() {
        let store = ModelStore::new();
        let mut persister = Persister::new(OPTIONS, 0, None);
        persister.take(&batch(1, 10), 100, 0);
        persister.stop();
        assert_eq!(persister.run(&store, 0).unwrap(), None);
        assert_eq!(persister.flushed(), 1);
        store.crash(&mut || 0);
        assert_eq!(store.meta().unwrap().unwrap().tree.zxid, Zxid(1));
    }

    #[test]
    fn a_transaction_without_rows_moves_the_zxid() {
        let store = ModelStore::new();
        let mut persister = Persister::new(OPTIONS, 4, None);
        let mut empty = Batch::new();
        let tree = tree::Meta {
            zxid: Zxid(5),
            ..tree::Meta::default()
        };
        empty.set_meta(Meta { tree, record: 9 });
        persister.take(&empty, 40, 0);
        persister.stop();
        persister.run(&store, 0).unwrap();
        assert_eq!(persister.flushed(), 5);
        assert_eq!(store.meta().unwrap().unwrap().record, 9);
    }

    #[test]
    fn a_flush_keeps_what_came_since_the_write() {
        let store = ModelStore::new();
        let mut persister = Persister::new(OPTIONS, 0, None);
        persister.take(&batch(1, 10), 100, 0);
        persister.run(&store, 200).unwrap();
        let mut empty = Batch::new();
        let tree = tree::Meta {
            zxid: Zxid(2),
            ..tree::Meta::default()
        };
        empty.set_meta(Meta { tree, record: 0 });
        persister.take(&empty, 40, 2_150);
        assert_eq!(persister.run(&store, 2_200).unwrap(), Some(150));
        assert_eq!((persister.written(), persister.flushed()), (1, 1));
        persister.run(&store, 2_350).unwrap();
        assert_eq!(persister.written(), 2);
    }

    #[test]
    fn a_store_that_fails_leaves_the_rows_dirty_up_to_the_bound() {
        let store = ModelStore::new();
        let mut persister = Persister::new(OPTIONS, 0, None);
        store.fail_writes(true);
        for zxid in 1..=3 {
            persister.take(&batch(zxid, 10_000), 100, 0);
        }
        assert!(persister.run(&store, 0).is_err());
        assert!(persister.is_full());
        assert_eq!((persister.written(), persister.flushed()), (0, 0));
        store.fail_writes(false);
        store.fail_flushes(true);
        persister.stop();
        assert!(persister.run(&store, 0).is_err());
        assert_eq!((persister.written(), persister.flushed()), (3, 0));
    }
}
