//! The store's thread: takes what changed in the tree, merges it by key, and writes and flushes
//! the store behind the log's back.
//!
//! Nothing waits for it but a writer that would make the rows that wait exceed their bound. A
//! store that fails ends the process, with the log intact: the next start replays it.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};
use zk_core::Zxid;
use zk_core::tree::Tree;
use zk_disk::files::Files;
use zk_disk::limits::WRITE_BYTES;
use zk_disk::log::{LateSync, Pins, Segment};
use zk_disk::persist::{Options, Persister};
use zk_disk::purge::{self, Window};
use zk_disk::store::{Batch, Meta, Store};

use crate::limits::{DIRTY_BYTES, KEEP_BATCH, SPARE_BATCHES};

/// Exit code after the store failed.
const EXIT_STORE: i32 = 1;

#[derive(Debug, Default)]
struct Waiting {
    batches: VecDeque<(Batch, u64)>,
    /// Emptied batches, whose memory is used again.
    spare: Vec<Batch>,
    /// Bytes here and in the persister.
    bytes: usize,
    /// Bytes of the log since the last batch.
    log_bytes: u64,
    /// Checksum of the log record that the tree is at.
    record: u32,
    /// Another store takes the place of this one.
    replaced: Option<Replaced>,
    /// Somebody waits for room.
    full: bool,
    /// The thread is writing.
    busy: bool,
    /// It may not begin to.
    held: bool,
    stop: bool,
}

#[derive(Debug)]
struct Replaced {
    store: Arc<dyn Store>,
    zxid: i64,
    generation: u64,
    late_sync: Option<LateSync>,
}

/// Changes on their way to the store.
#[derive(Debug)]
pub struct PersistQueue {
    waiting: Mutex<Waiting>,
    filled: Condvar,
    idle: Condvar,
    /// Bytes of rows at which nobody may make more.
    bound: usize,
}

impl Default for PersistQueue {
    fn default() -> PersistQueue {
        PersistQueue::bounded(DIRTY_BYTES)
    }
}

impl PersistQueue {
    /// With so many bytes of rows as its bound.
    pub fn bounded(bound: usize) -> PersistQueue {
        PersistQueue {
            waiting: Mutex::default(),
            filled: Condvar::new(),
            idle: Condvar::new(),
            bound,
        }
    }

    /// Whether more rows may be made. If not, the thread says when they may ([`Persist::room`]).
    pub fn has_room(&self) -> bool {
        let mut waiting = self.waiting.lock();
        let full = waiting.bytes >= self.bound;
        if full && !waiting.full {
            tracing::warn!(
                "the store is behind by {} MiB, writes wait",
                waiting.bytes >> 20
            );
        }
        waiting.full = full;
        !full
    }

    /// Nothing more is written, for another store will take the place of this one. Returns when
    /// what is being written is.
    pub fn hold(&self) {
        let mut waiting = self.waiting.lock();
        waiting.held = true;
        waiting.batches.clear();
        while waiting.busy {
            self.idle.wait(&mut waiting);
        }
    }

    /// Another store, at `zxid`, takes the place of this one: what waits is not for it.
    pub fn replace(
        &self,
        store: Arc<dyn Store>,
        zxid: i64,
        generation: u64,
        record: u32,
        late_sync: Option<LateSync>,
    ) {
        let mut waiting = self.waiting.lock();
        waiting.batches.clear();
        waiting.bytes = 0;
        waiting.record = record;
        waiting.replaced = Some(Replaced {
            store,
            zxid,
            generation,
            late_sync,
        });
        waiting.held = false;
        self.filled.notify_one();
    }

    /// Counts bytes that went to the log.
    pub fn logged(&self, bytes: u64) {
        self.waiting.lock().log_bytes += bytes;
    }

    /// Takes what changed since the last call: one batch, true at the tree's zxid. `record` is the
    /// checksum of the log record of that zxid, if it is another than at the last call.
    pub fn take_changes(&self, tree: &mut Tree, record: Option<u32>) {
        let mut batch = self.waiting.lock().spare.pop().unwrap_or_default();
        let meta = tree.drain_changes(&mut |change| {
            if let Err(error) = batch.change(&change) {
                fatal(&error);
            }
        });
        let mut waiting = self.waiting.lock();
        waiting.record = record.unwrap_or(waiting.record);
        batch.set_meta(Meta {
            tree: meta,
            record: waiting.record,
        });
        waiting.bytes += batch.bytes();
        let log_bytes = std::mem::take(&mut waiting.log_bytes);
        waiting.batches.push_back((batch, log_bytes));
        self.filled.notify_one();
    }

    /// Lets the thread write and flush everything, and end.
    pub fn stop(&self) {
        self.waiting.lock().stop = true;
        self.filled.notify_one();
    }
}

/// What the thread needs beside the queue.
pub struct Persist {
    /// Told what is durable in the store of this generation, whenever that is more.
    pub flushed: Box<dyn Fn(u64, Zxid) + Send>,
    /// Told that there is room again, if there was none.
    pub room: Box<dyn Fn() + Send>,
    /// The queue.
    pub queue: Arc<PersistQueue>,
    /// The store.
    pub store: Arc<dyn Store>,
    /// Its zxid.
    pub persisted: i64,
    /// The disk.
    pub files: Arc<dyn Files>,
    /// Folder of the log.
    pub log_dir: PathBuf,
    /// How the log is made durable where its thread does not do it.
    pub late_sync: Option<LateSync>,
    /// Segments of the log that are written to the end.
    pub segments: Arc<Mutex<Vec<Segment>>>,
    /// Who reads the log.
    pub pins: Pins,
    /// Told what the log follows after a part of it was removed.
    pub purged: Box<dyn Fn(Zxid) + Send>,
    /// What stays for learners.
    pub window: Window,
    /// Java's snapshots in the directory.
    pub snapshots: Vec<i64>,
}

impl Persist {
    /// Runs until [`PersistQueue::stop`] and everything is durable.
    pub fn run(mut self) {
        let start = Instant::now();
        let late_sync = self.late_sync.take();
        let mut persister = Persister::new(Options::default(), self.persisted, late_sync);
        let mut wait: Option<u64> = None;
        let mut generation = 0;
        loop {
            let (batches, stop) = {
                let mut waiting = self.queue.waiting.lock();
                waiting.busy = false;
                self.queue.idle.notify_all();
                while waiting.replaced.is_none()
                    && !waiting.stop
                    && (waiting.held || waiting.batches.is_empty())
                {
                    match wait.filter(|_| !waiting.held) {
                        Some(ms) => {
                            let until = Instant::now() + Duration::from_millis(ms);
                            if self
                                .queue
                                .filled
                                .wait_until(&mut waiting, until)
                                .timed_out()
                            {
                                break;
                            }
                        }
                        None => self.queue.filled.wait(&mut waiting),
                    }
                }
                if let Some(replaced) = waiting.replaced.take() {
                    self.store = replaced.store;
                    self.snapshots.clear();
                    generation = replaced.generation;
                    persister =
                        Persister::new(Options::default(), replaced.zxid, replaced.late_sync);
                    wait = None;
                }
                if waiting.held {
                    if waiting.stop {
                        // What it would write is of a store that is no longer the store.
                        return;
                    }
                    continue;
                }
                waiting.busy = true;
                // No more than one write of the store is to hold, which copies it.
                let mut batches = Vec::new();
                let mut bytes = persister.dirty_bytes();
                while bytes < WRITE_BYTES
                    && let Some(next) = waiting.batches.pop_front()
                {
                    bytes += next.0.bytes();
                    batches.push(next);
                }
                let stop = waiting.stop && waiting.batches.is_empty();
                (batches, stop)
            };
            let now_ms = start.elapsed().as_millis() as u64;
            let mut spare = Vec::new();
            for (mut batch, log_bytes) in batches {
                persister.take(&batch, log_bytes, now_ms);
                if batch.bytes() <= KEEP_BATCH {
                    batch.clear();
                    spare.push(batch);
                }
            }
            if stop {
                persister.stop();
            }
            let before = persister.flushed();
            match persister.run(&*self.store, now_ms) {
                Ok(next) => wait = next,
                Err(error) => fatal(&error),
            }
            if persister.flushed() > before {
                (self.flushed)(generation, Zxid(persister.flushed()));
                self.purge(persister.flushed());
            }
            let mut waiting = self.queue.waiting.lock();
            if waiting.replaced.is_some() {
                // What this store lacks nobody needs.
                continue;
            }
            waiting.bytes = persister.dirty_bytes()
                + waiting
                    .batches
                    .iter()
                    .map(|(b, _)| b.bytes())
                    .sum::<usize>();
            spare.truncate(SPARE_BATCHES);
            waiting.spare = spare;
            if waiting.full && waiting.bytes < self.queue.bound {
                waiting.full = false;
                (self.room)();
            }
            if stop && waiting.batches.is_empty() {
                return;
            }
        }
    }

    fn purge(&self, persisted: i64) {
        let mut segments = self.segments.lock();
        let plan = self.pins.during(|readers| {
            let facts = purge::Facts {
                segments: &segments,
                persisted,
                window: self.window,
                snapshots: &self.snapshots,
                readers,
            };
            let plan = purge::decide(&facts);
            if plan.remove.is_empty() {
                return None;
            }
            match purge::execute(&*self.files, &self.log_dir, &plan) {
                Ok(()) => Some(plan),
                Err(error) => {
                    tracing::warn!("a log that is no longer needed stays: {error}");
                    None
                }
            }
        });
        let Some(plan) = plan else {
            return;
        };
        if let Some(floor) = plan.floor {
            (self.purged)(Zxid(floor - 1));
        }
        tracing::info!(
            "removed {} logs of {} MiB, the log begins with zxid 0x{:x} now",
            plan.remove.len(),
            plan.bytes >> 20,
            plan.floor.unwrap_or(0)
        );
        segments.drain(..plan.remove.len());
    }
}

fn fatal(error: &zk_disk::Error) -> ! {
    tracing::error!("the store failed, the log is intact: {error}");
    eprintln!("zabkeeper: the store failed: {error}; nothing acknowledged is lost, start again");
    std::process::exit(EXIT_STORE);
}
