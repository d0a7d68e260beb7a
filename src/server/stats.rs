//! Counters and latencies of the whole server.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

/// Least, mean and largest latency, milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Latency {
    /// Requests measured.
    pub count: i64,
    /// Sum of milliseconds.
    pub total: i64,
    /// Least, when there is any.
    pub min: i64,
    /// Largest.
    pub max: i64,
    /// The last one.
    pub last: i64,
}

impl Latency {
    /// Takes one request of `ms` in.
    pub fn add(&mut self, ms: i64, requests: i64) {
        self.min = if self.count == 0 {
            ms
        } else {
            self.min.min(ms)
        };
        self.count += requests;
        self.total += ms * requests;
        self.max = self.max.max(ms);
        self.last = ms;
    }
}

/// Counters of the server, `srst` sets them back.
#[derive(Debug, Default)]
pub struct Stats {
    /// Frames received.
    pub received: AtomicU64,
    /// Frames sent.
    pub sent: AtomicU64,
    /// Fsyncs of the log.
    pub fsyncs: AtomicU64,
    /// Transactions applied.
    pub commits: AtomicU64,
    /// Requests of connections refused.
    pub rejected: AtomicU64,
    /// Times that an applied transaction's digest was not the tree's.
    pub digest_mismatches: AtomicU64,
    /// Latencies.
    pub latency: parking_lot::Mutex<Latency>,
    /// When the server began to serve, monotonic milliseconds.
    pub started_ms: AtomicI64,
}

impl Stats {
    /// `srst`.
    pub fn reset(&self) {
        self.received.store(0, Ordering::Relaxed);
        self.sent.store(0, Ordering::Relaxed);
        *self.latency.lock() = Latency::default();
    }
}
