//! What is counted: the metrics, and the few numbers that Java keeps beside them for `srvr`.
//!
//! The hot paths count into plain local values ([`Runs`], `zk_core::tally`) and hand them over once
//! a wake-up or once a hold of the tree. It does not know when something happens.

use std::cell::RefCell;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use zk_core::tally::{ByNamespace, Tally};
use zk_ops::config::MetricsProvider;
use zk_ops::four_letter;
use zk_ops::metrics::{Counter, Metrics, ResponseSizes, Summary, SummarySet};

/// Samples of one summary, runs of the same value merged.
#[derive(Debug, Default)]
pub struct Runs(Vec<(i64, u64)>);

impl Runs {
    /// Takes a sample.
    pub fn add(&mut self, value: i64) {
        self.add_many(value, 1);
    }

    /// Takes the same sample several times.
    pub fn add_many(&mut self, value: i64, count: u64) {
        match self.0.last_mut() {
            Some((last, times)) if *last == value => *times += count,
            _ => self.0.push((value, count)),
        }
    }

    /// Value and how often; then forgets them.
    pub fn drain(&mut self) -> impl Iterator<Item = (i64, u64)> + '_ {
        self.0.drain(..)
    }
}

/// A latency of one connection's requests, milliseconds, as `cons` shows it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Latency {
    count: i64,
    total: i64,
    /// Java's is 0 from the start, and can only be seen above it after `crst`.
    min: i64,
    max: i64,
    last: i64,
}

impl Latency {
    /// Takes `times` requests of `ms` in.
    pub fn add(&mut self, ms: i64, times: i64) {
        self.count += times;
        self.total += ms * times;
        self.min = self.min.min(ms);
        self.max = self.max.max(ms);
        self.last = ms;
    }

    /// `crst`.
    pub fn reset(&mut self) {
        *self = Latency {
            min: i64::MAX,
            ..Latency::default()
        };
    }

    /// Last, least, mean and largest.
    pub fn shown(&self) -> [i64; 4] {
        let min = if self.min == i64::MAX { 0 } else { self.min };
        [self.last, min, self.total / self.count.max(1), self.max]
    }
}

/// Sizes of what was sent, bytes: the last, the least and the largest; -1 before any.
#[derive(Debug)]
pub struct Sizes([AtomicI64; 3]);

impl Default for Sizes {
    fn default() -> Sizes {
        Sizes([NO_SIZE, NO_SIZE, NO_SIZE].map(AtomicI64::new))
    }
}

impl Sizes {
    /// Takes some in of which the last, the least and the largest are known. There is one writer at
    /// a time, or the last word counts.
    pub fn add(&self, [last, min, max]: [i64; 3]) {
        self.0[0].store(last, Ordering::Relaxed);
        // -1, which no size is, is above all of them as an unsigned number.
        if (min as u64) < self.0[1].load(Ordering::Relaxed) as u64 {
            self.0[1].store(min, Ordering::Relaxed);
        }
        if max > self.0[2].load(Ordering::Relaxed) {
            self.0[2].fetch_max(max, Ordering::Relaxed);
        }
    }

    /// Forgets them.
    pub fn reset(&self) {
        for size in &self.0 {
            size.store(NO_SIZE, Ordering::Relaxed);
        }
    }

    /// The last, the least and the largest.
    pub fn get(&self) -> [i64; 3] {
        self.0.each_ref().map(|size| size.load(Ordering::Relaxed))
    }
}

/// Characters of a four-letter word's answer that Java counts as one packet.
const WORD_PACKET: usize = 8_192;

/// Before any packet.
const NO_SIZE: i64 = -1;

/// Counters of the server.
#[derive(Debug)]
pub struct Stats {
    /// Tells servers of one process apart.
    id: u64,
    /// The metrics.
    pub metrics: Metrics,
    /// Whether `srst` resets the metrics: with the default provider only, as in Java.
    resettable: bool,
    /// Frames and four-letter words received.
    pub received: Counter,
    sent: Counter,
    /// Of all requests.
    latency: Summary,
    /// Of packets to clients.
    sizes: Sizes,
    /// Of proposals of this leader.
    pub proposals: Sizes,
    /// When the server began to serve, monotonic milliseconds.
    pub started_ms: AtomicI64,
}

/// What a thread counted into last.
#[derive(Debug)]
struct Last {
    stats: u64,
    namespace: Box<str>,
    summary: Arc<Summary>,
}

thread_local! {
    /// Of reads and of writes.
    static LAST: [RefCell<Option<Last>>; 2] = const { [RefCell::new(None), RefCell::new(None)] };
}

impl Stats {
    /// All zero.
    pub fn new(provider: &MetricsProvider) -> Stats {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        Stats {
            id: NEXT.fetch_add(1, Ordering::Relaxed),
            metrics: Metrics::new(matches!(provider, MetricsProvider::Prometheus { .. })),
            resettable: matches!(provider, MetricsProvider::Default),
            received: Counter::default(),
            sent: Counter::default(),
            latency: Summary::basic(),
            sizes: Sizes::default(),
            proposals: Sizes::default(),
            started_ms: AtomicI64::new(0),
        }
    }

    /// `srst`.
    pub fn reset(&self) {
        self.renew();
        self.proposals.reset();
        if self.resettable {
            self.metrics.reset();
        }
    }

    /// A member's role begins: Java counts for `srvr` from then on. The metrics go on.
    pub fn renew(&self) {
        self.received.reset();
        self.sent.reset();
        self.latency.reset();
        self.sizes.reset();
    }

    /// Counts the answer to a four-letter word, which Java sends in pieces.
    pub fn sent_text(&self, len: usize) {
        self.sent.add(len.div_ceil(WORD_PACKET) as u64);
    }

    /// Packets sent since the start or `srst`.
    pub fn packets_sent(&self) -> u64 {
        self.sent.get()
    }

    /// Latencies since the start, the role's begin or `srst`.
    pub fn latency(&self) -> four_letter::Latency {
        let values = self.latency.values();
        if values.count == 0 {
            return four_letter::Latency::default();
        }
        four_letter::Latency {
            min: values.min,
            max: values.max,
            total: values.sum,
            count: values.count as i64,
        }
    }

    /// Sizes of packets since the start or `srst`.
    pub fn response_sizes(&self) -> ResponseSizes {
        let [last, min, max] = self.sizes.get();
        ResponseSizes { last, min, max }
    }

    /// Takes in, and empties, what connections did.
    pub fn take(&self, tally: &mut Tally) {
        let metrics = &self.metrics;
        let sent = std::mem::take(&mut tally.sent);
        if sent.count > 0 {
            self.sent.add(sent.count);
            let sizes = [sent.last, sent.min, sent.max];
            self.sizes.add(sizes.map(|size| size as i64));
        }
        for (count, counter) in [
            (&mut tally.reply_bytes, &metrics.response_bytes),
            (&mut tally.event_bytes, &metrics.watch_bytes),
            (&mut tally.ensemble_success, &metrics.ensemble_auth_success),
            (&mut tally.ensemble_fail, &metrics.ensemble_auth_fail),
            (&mut tally.ensemble_skip, &metrics.ensemble_auth_skip),
        ] {
            if *count > 0 {
                counter.add(std::mem::take(count));
            }
        }
        tally.answered = 0;
        self.take_namespaces(&mut tally.reads, &metrics.read_per_namespace, 0);
    }

    /// Takes in, and empties, bytes written.
    pub fn take_writes(&self, writes: &mut ByNamespace) {
        self.take_namespaces(writes, &self.metrics.write_per_namespace, 1);
    }

    fn take_namespaces(&self, by: &mut ByNamespace, set: &SummarySet, last: usize) {
        if by.is_empty() {
            return;
        }
        LAST.with(|all| {
            let last = &mut *all[last].borrow_mut();
            by.drain(
                |name| match last {
                    Some(last) if last.stats == self.id && *last.namespace == *name => {
                        last.summary.clone()
                    }
                    _ => {
                        let summary = set.summary(name);
                        *last = Some(Last {
                            stats: self.id,
                            namespace: name.into(),
                            summary: summary.clone(),
                        });
                        summary
                    }
                },
                |summary, bytes, times| summary.record_many(bytes as i64, times),
            );
        });
    }

    /// Takes in, and empties, latencies of requests without a transaction.
    pub fn take_reads(&self, runs: &mut Runs) {
        self.take_latencies(runs, &self.metrics.readlatency);
    }

    /// Takes in, and empties, latencies of writes.
    pub fn take_updates(&self, runs: &mut Runs) {
        self.take_latencies(runs, &self.metrics.updatelatency);
    }

    fn take_latencies(&self, runs: &mut Runs, summary: &Summary) {
        for (ms, times) in runs.drain() {
            summary.record_many(ms, times);
            self.latency.record_many(ms, times);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn latencies_of_a_connection_are_shown_as_in_java() {
        let mut latency = Latency::default();
        latency.add(4, 1);
        latency.add(7, 2);
        assert_eq!(latency.shown(), [7, 0, 6, 7]);
        latency.reset();
        assert_eq!(latency.shown(), [0, 0, 0, 0]);
        latency.add(4, 1);
        assert_eq!(latency.shown(), [4, 4, 4, 4]);
    }

    #[test]
    fn a_tally_is_taken_once() {
        let stats = Stats::new(&MetricsProvider::Default);
        let mut tally = Tally::default();
        tally.sent.add(16);
        tally.sent.add(100);
        tally.reply_bytes = 116;
        tally.reads.add("/a/b", 10);
        tally.reads.add("/b", 3);
        tally.reads.add("/a", 10);
        stats.take(&mut tally);
        stats.take(&mut tally);
        assert_eq!(stats.packets_sent(), 2);
        let sizes = stats.response_sizes();
        assert_eq!((sizes.last, sizes.min, sizes.max), (100, 16, 100));
        assert_eq!(stats.metrics.response_bytes.get(), 116);
        let read = stats.metrics.read_per_namespace.summary("a").values();
        assert_eq!((read.count, read.sum), (2, 20));
        stats.reset();
        assert_eq!((stats.packets_sent(), stats.response_sizes().last), (0, -1));
    }
}
