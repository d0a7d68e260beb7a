//! The log's thread: one write and one fsync for everything that piled up during the last one.
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

use crate::gate::{Shared, ToCore};
use crate::persist::PersistQueue;
use crate::queue::Queue;

/// Records on their way to the log.
pub type LogQueue = Queue<(Zxid, Bytes)>;

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
}

impl LogThread {
    /// Runs until the queue is closed and everything in it is durable.
    pub fn run(self, mut writer: Writer) {
        let mut batch = Vec::new();
        let metrics = &self.shared.stats.metrics;
        while let Some(waited) = self.queue.take(&mut batch, None) {
            let taken = Instant::now();
            let (records, waited) = (batch.len() as u64, waited.as_millis() as i64);
            metrics
                .sync_processor_queue_size
                .record_many(batch.len() as i64 - 1, records);
            metrics
                .sync_processor_queue_time_ms
                .record_many(waited, records);
            let mut unsynced = 0;
            for (zxid, payload) in batch.drain(..) {
                if writer.batch_bytes() + payload.len() > MAX_BATCH / 2 {
                    self.sync(&mut writer, std::mem::take(&mut unsynced));
                }
                if let Err(error) = writer.append(zxid.0, &payload) {
                    fatal(&error);
                }
                unsynced += 1;
            }
            let appended = taken.elapsed().as_millis() as i64;
            if let Some(each) = appended.checked_div(records as i64) {
                metrics.sync_process_time.record_many(each, records);
            }
            self.sync(&mut writer, unsynced);
            let flushed = waited + taken.elapsed().as_millis() as i64;
            metrics
                .sync_processor_queue_and_flush_time_ms
                .record_many(flushed, records);
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
        let finished = writer.take_finished();
        if !finished.is_empty() {
            self.segments.lock().extend(finished);
        }
        if took > self.warn_ms {
            tracing::warn!(
                "fsync-ing the write ahead log took {took}ms which will adversely effect operation latency"
            );
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
