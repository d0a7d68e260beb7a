//! The log's thread: one write and one fsync for everything that piled up during the last one,
//! and every other durable act of the quorum layer, in the order in which they were asked for.
//!
//! A failed write or fsync ends the process at once: nothing is acknowledged behind it, and what
//! was acknowledged is on the disk. It is never retried, for a second fsync may report success
//! for pages that the first one lost.

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use parking_lot::Mutex;
use zk_core::Zxid;
use zk_core::io::Input;
use zk_disk::limits::MAX_BATCH;
use zk_disk::log::{Segment, Writer};
use zk_zab::JobId;
use zk_zab::io::{In, Job};

use crate::gate::{Shared, ToCore};
use crate::member::Keeper;
use crate::pace;
use crate::persist::PersistQueue;
use crate::queue::Queue;

/// What the thread does.
#[derive(Debug)]
pub enum LogItem {
    /// Append a record.
    Append(Zxid, Bytes),
    /// A durable act that is answered.
    Job(JobId, Job),
    /// A snapshot of this zxid is going to be received.
    Receive(Zxid),
    /// Append a record behind the snapshot that is being received.
    Stage(Zxid, Bytes),
    /// Forget what is being received.
    Abandon,
    /// Everything up to here is committed: the log notes it beside its own end.
    Committed(Zxid),
}

/// Work on its way to the log.
pub type LogQueue = Queue<LogItem>;

/// Exit code after the log failed.
const EXIT_LOG: i32 = 1;

/// See the module.
pub struct LogThread {
    /// The way back to the core.
    pub shared: Arc<Shared>,
    /// Where records come from.
    pub queue: Arc<LogQueue>,
    /// Told how much was logged.
    pub persist: Arc<PersistQueue>,
    /// Told which segments are finished.
    pub segments: Arc<Mutex<Vec<Segment>>>,
    /// An fsync that takes longer is warned of, milliseconds.
    pub warn_ms: i64,
    /// Whether there is an fsync.
    pub force_sync: bool,
    /// A member of an ensemble keeps more than the log.
    pub keeper: Option<Keeper>,
}

impl LogThread {
    /// Runs until the queue is closed and everything in it is durable.
    pub fn run(mut self, mut writer: Writer) {
        let mut batch = Vec::new();
        while let Some(waited) = self.queue.take(&mut batch, None) {
            let taken = Instant::now();
            let (items, waited) = (batch.len() as i64, waited.as_millis() as i64);
            let mut unsynced = 0;
            let mut records: u64 = 0;
            for item in batch.drain(..) {
                match item {
                    LogItem::Append(zxid, payload) => {
                        if writer.batch_bytes() + payload.len() > MAX_BATCH / 2 {
                            self.sync(&mut writer, std::mem::take(&mut unsynced));
                        }
                        if let Some(keeper) = &mut self.keeper
                            && let Err(error) = keeper.before_record(zxid)
                        {
                            fatal(&error);
                        }
                        if let Err(error) = writer.append(zxid.0, &payload) {
                            fatal(&error);
                        }
                        unsynced += 1;
                        records += 1;
                    }
                    LogItem::Committed(zxid) => writer.set_committed(zxid.0),
                    LogItem::Job(id, job) => {
                        if unsynced > 0 {
                            self.sync(&mut writer, std::mem::take(&mut unsynced));
                        }
                        writer = self.job(writer, id, &job);
                    }
                    LogItem::Receive(zxid) => self.receive(zxid),
                    LogItem::Stage(zxid, payload) => self.stage(zxid, &payload),
                    LogItem::Abandon => {
                        if let Some(keeper) = &mut self.keeper {
                            keeper.abandon();
                        }
                    }
                }
            }
            let metrics = &self.shared.stats.metrics;
            if records > 0 {
                metrics
                    .sync_processor_queue_size
                    .record_many(items - 1, records);
                metrics
                    .sync_processor_queue_time_ms
                    .record_many(waited, records);
                let appended = taken.elapsed().as_millis() as i64;
                metrics
                    .sync_process_time
                    .record_many(appended / records as i64, records);
            }
            if unsynced > 0 {
                self.sync(&mut writer, unsynced);
            }
            if records > 0 {
                let flushed = waited + taken.elapsed().as_millis() as i64;
                let metrics = &self.shared.stats.metrics;
                metrics
                    .sync_processor_queue_and_flush_time_ms
                    .record_many(flushed, records);
            }
        }
        if let Err(error) = writer.close() {
            fatal(&error);
        }
    }

    fn sync(&self, writer: &mut Writer, records: i64) {
        let start = Instant::now();
        let bytes = writer.batch_bytes() as u64;
        let zxid = match writer.sync() {
            Ok(zxid) => Zxid(zxid),
            Err(error) => fatal(&error),
        };
        let took = start.elapsed().as_millis() as i64;
        let metrics = &self.shared.stats.metrics;
        metrics.sync_processor_batch_size.record(records);
        metrics.sync_processor_queue_flush_time_ms.record(took);
        if self.force_sync {
            metrics.fsynctime.record(took);
        }
        self.shared.core.push(ToCore::Input(Input::Durable(zxid)));
        self.persist.logged(bytes);
        let work = pace::work(records.unsigned_abs(), bytes);
        self.shared.load.add(work, Instant::now());
        let finished = writer.take_finished();
        if !finished.is_empty() {
            let mut segments = self.segments.lock();
            segments.extend(finished);
            if self.keeper.is_some() {
                // With the one that is written from now on.
                let next = segments.last().map(|last| (Zxid(last.last + 1), 0));
                let all = segments.iter().map(|s| (Zxid(s.first), s.end));
                let all = all.chain(next).collect();
                self.shared.core.push(ToCore::Peer(In::Files(all)));
            }
        }
        if took > self.warn_ms {
            tracing::warn!(
                "fsync-ing the write ahead log took {took}ms which will adversely effect operation latency"
            );
        }
    }

    /// Does one durable act and says that it is done. Returns the log to write from now on.
    fn job(&mut self, mut writer: Writer, id: JobId, job: &Job) -> Writer {
        let Some(keeper) = &mut self.keeper else {
            unreachable!("a standalone server has no {job:?}");
        };
        if let Job::Switch { zxid, .. } = job {
            // The core says that it is done, once the tree is in its place.
            return keeper
                .switch(writer, &self.persist, &self.segments, id, *zxid)
                .unwrap_or_else(|error| fatal(&error));
        }
        if let Err(error) = keeper.job(&mut writer, &self.segments, job) {
            fatal(&error);
        }
        self.shared.core.push(ToCore::Peer(In::Done(id)));
        writer
    }

    fn receive(&mut self, zxid: Zxid) {
        if let Some(keeper) = &mut self.keeper
            && let Err(error) = keeper.receive(zxid)
        {
            fatal(&error);
        }
    }

    fn stage(&mut self, zxid: Zxid, payload: &[u8]) {
        if let Some(keeper) = &mut self.keeper
            && let Err(error) = keeper.stage(zxid, payload)
        {
            fatal(&error);
        }
    }
}

fn fatal(error: &zk_disk::Error) -> ! {
    if error.is_disk_full() {
        tracing::error!("the log's disk is full, nothing more is acknowledged: {error}");
        eprintln!("zabkeeper: the log's disk is full: {error}; free space and start again");
    } else {
        tracing::error!("the log failed, nothing more is acknowledged: {error}");
        eprintln!("zabkeeper: the log failed: {error}; nothing acknowledged is lost");
    }
    std::process::exit(EXIT_LOG);
}
