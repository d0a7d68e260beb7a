//! What the server counts into: counters and summaries that many threads may feed at once.
//!
//! Owns: the sharding, the value buckets of summaries, and the window over which Prometheus
//! quantiles look back. Does not know any metric's name.
//!
//! Recording is a few relaxed atomic additions on the thread's own shard; no lock, no clock, no
//! allocation after the first sample. Reading adds the shards up and may be a moment behind.

use std::cell::Cell;
use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicI64, AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, OnceLock};

use parking_lot::{Mutex, RwLock};

use crate::java;
use crate::limits::{METRIC_SHARDS, SET_KEYS_MAX, SET_OVERFLOW_KEY};

/// Detail of a summary.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Detail {
    /// Mean, least, largest, count, sum; the median for Prometheus.
    Basic,
    /// Quantiles too.
    Advanced,
}

/// Keeps what threads write apart by a cache line.
#[derive(Debug, Default)]
#[repr(align(64))]
struct Padded<T>(T);

fn shard() -> usize {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    thread_local! {
        static SHARD: Cell<usize> = const { Cell::new(usize::MAX) };
    }
    SHARD.with(|shard| {
        if shard.get() == usize::MAX {
            shard.set(NEXT.fetch_add(1, Relaxed) % METRIC_SHARDS);
        }
        shard.get()
    })
}

/// A number that grows.
#[derive(Debug, Default)]
pub struct Counter {
    shards: [Padded<AtomicU64>; METRIC_SHARDS],
}

impl Counter {
    /// Adds one.
    pub fn increment(&self) {
        self.add(1);
    }

    /// Adds.
    pub fn add(&self, delta: u64) {
        self.shards[shard()].0.fetch_add(delta, Relaxed);
    }

    /// The sum.
    pub fn get(&self) -> u64 {
        self.shards
            .iter()
            .fold(0, |sum, shard| sum.wrapping_add(shard.0.load(Relaxed)))
    }

    /// Begins anew at 0.
    pub fn reset(&self) {
        for shard in &self.shards {
            shard.0.store(0, Relaxed);
        }
    }
}

/// Values below this have a bucket each.
const EXACT: usize = 64;
/// Buckets of each power of two above: values are known to 1/32.
const SUB_BITS: u32 = 5;
/// Values from 2^42 on share the last bucket.
const BUCKETS: usize = EXACT + (42 - 6) * (1 << SUB_BITS);

fn bucket_of(value: i64) -> usize {
    let Ok(value) = usize::try_from(value) else {
        return 0;
    };
    if value < EXACT {
        return value;
    }
    let exponent = usize::BITS - 1 - value.leading_zeros();
    let sub = (value >> (exponent - SUB_BITS)) & ((1 << SUB_BITS) - 1);
    (EXACT + (exponent as usize - 6) * (1 << SUB_BITS) + sub).min(BUCKETS - 1)
}

/// The middle of a bucket.
fn value_of(bucket: usize) -> i64 {
    if bucket < EXACT {
        return bucket as i64;
    }
    let above = bucket - EXACT;
    let exponent = 6 + (above >> SUB_BITS) as u32;
    let width = 1_i64 << (exponent - SUB_BITS);
    let sub = (above & ((1 << SUB_BITS) - 1)) as i64;
    (1_i64 << exponent) + sub * width + width / 2
}

#[derive(Debug)]
#[repr(align(64))]
struct SummaryShard {
    count: AtomicU64,
    sum: AtomicI64,
    min: AtomicI64,
    max: AtomicI64,
    buckets: Option<Box<[AtomicU64]>>,
}

impl SummaryShard {
    fn new(with_buckets: bool) -> SummaryShard {
        SummaryShard {
            count: AtomicU64::new(0),
            sum: AtomicI64::new(0),
            min: AtomicI64::new(i64::MAX),
            max: AtomicI64::new(i64::MIN),
            buckets: with_buckets.then(|| (0..BUCKETS).map(|_| AtomicU64::new(0)).collect()),
        }
    }
}

/// Samples of whole numbers, in a unit that the metric's name or table row says.
#[derive(Debug)]
pub struct Summary {
    detail: Detail,
    with_buckets: bool,
    /// Shards in use: all, or one where there are many summaries.
    used_shards: usize,
    shards: [OnceLock<Box<SummaryShard>>; METRIC_SHARDS],
    /// Bucket counts at past moments, oldest first, for quantiles over the last minutes.
    window: Mutex<VecDeque<PastCounts>>,
}

/// Cumulative counts of the buckets that are not empty.
type Counts = Vec<(u16, u64)>;

/// Counts at a monotonic time in ms.
#[derive(Debug)]
struct PastCounts {
    at_ms: i64,
    counts: Counts,
}

/// What a summary says at a moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SummaryValues {
    /// Number of samples.
    pub count: u64,
    /// Their sum.
    pub sum: i64,
    /// The least; 0 without samples.
    pub min: i64,
    /// The largest; 0 without samples.
    pub max: i64,
}

impl SummaryValues {
    /// The mean, to four decimals.
    pub fn mean(&self) -> f64 {
        java::mean(self.sum, self.count as i64)
    }
}

/// Java's Prometheus client forgets a sample after ten minutes, in steps of two.
const WINDOW_MS: i64 = 10 * 60 * 1000;
const WINDOW_STEP_MS: i64 = WINDOW_MS / 5;

impl Summary {
    /// An empty summary. Buckets cost 10 KB a thread shard; a basic summary needs them only for
    /// Prometheus.
    pub(super) fn new(detail: Detail, prometheus: bool) -> Summary {
        Summary {
            detail,
            with_buckets: prometheus || detail == Detail::Advanced,
            used_shards: METRIC_SHARDS,
            shards: Default::default(),
            window: Mutex::default(),
        }
    }

    /// An empty summary of count, sum, least and largest alone.
    pub fn basic() -> Summary {
        Summary::new(Detail::Basic, false)
    }

    /// Takes a sample.
    pub fn record(&self, value: i64) {
        self.record_many(value, 1);
    }

    /// Takes the same sample several times.
    pub fn record_many(&self, value: i64, times: u64) {
        let shard = self.shards[shard() % self.used_shards]
            .get_or_init(|| Box::new(SummaryShard::new(self.with_buckets)));
        shard.count.fetch_add(times, Relaxed);
        // Most latencies are 0, and an addition to shared memory is what a sample costs.
        let sum = value.wrapping_mul(times as i64);
        if sum != 0 {
            shard.sum.fetch_add(sum, Relaxed);
        }
        if value < shard.min.load(Relaxed) {
            shard.min.fetch_min(value, Relaxed);
        }
        if value > shard.max.load(Relaxed) {
            shard.max.fetch_max(value, Relaxed);
        }
        if let Some(buckets) = &shard.buckets {
            buckets[bucket_of(value)].fetch_add(times, Relaxed);
        }
    }

    /// Detail.
    pub fn detail(&self) -> Detail {
        self.detail
    }

    fn filled(&self) -> impl Iterator<Item = &SummaryShard> {
        self.shards
            .iter()
            .filter_map(|shard| shard.get().map(|shard| &**shard))
    }

    /// Count, sum, least and largest.
    pub fn values(&self) -> SummaryValues {
        let mut values = SummaryValues {
            min: i64::MAX,
            max: i64::MIN,
            ..Default::default()
        };
        for shard in self.filled() {
            values.count += shard.count.load(Relaxed);
            values.sum = values.sum.wrapping_add(shard.sum.load(Relaxed));
            values.min = values.min.min(shard.min.load(Relaxed));
            values.max = values.max.max(shard.max.load(Relaxed));
        }
        if values.min == i64::MAX {
            values.min = 0;
        }
        if values.max == i64::MIN {
            values.max = 0;
        }
        values
    }

    fn counts(&self) -> Counts {
        let mut total = vec![0_u64; BUCKETS];
        for shard in self.filled() {
            for (sum, bucket) in total
                .iter_mut()
                .zip(shard.buckets.iter().flat_map(|it| it.iter()))
            {
                *sum += bucket.load(Relaxed);
            }
        }
        let counted = total
            .into_iter()
            .enumerate()
            .filter(|&(_, count)| count > 0);
        counted
            .map(|(bucket, count)| (bucket as u16, count))
            .collect()
    }

    /// Quantiles over all samples, for `mntr`; 0 without samples.
    pub fn quantiles<const N: usize>(&self, which: [f64; N]) -> [i64; N] {
        let counts = self.counts();
        let bounds = self.values();
        which.map(|q| quantile(&counts, q).map_or(0, |value| value.clamp(bounds.min, bounds.max)))
    }

    /// Quantiles over the samples of the last ten minutes; `None` without one.
    pub(super) fn recent_quantiles<const N: usize>(&self, which: [f64; N]) -> [Option<i64>; N] {
        let mut counts = self.counts();
        if let Some(oldest) = self.window.lock().front() {
            let past: HashMap<u16, u64> = oldest.counts.iter().copied().collect();
            for (bucket, count) in &mut counts {
                *count = count.saturating_sub(past.get(bucket).copied().unwrap_or(0));
            }
        }
        let bounds = self.values();
        which.map(|q| quantile(&counts, q).map(|value| value.clamp(bounds.min, bounds.max)))
    }

    /// Moves the window on. To be called at least every two minutes for an exact window.
    pub(super) fn rotate(&self, now_ms: i64) {
        let mut window = self.window.lock();
        match window.back() {
            // What was sampled before the first call counts as recent.
            None => window.push_back(PastCounts {
                at_ms: now_ms,
                counts: Vec::new(),
            }),
            Some(last) if now_ms - last.at_ms >= WINDOW_STEP_MS => {
                window.push_back(PastCounts {
                    at_ms: now_ms,
                    counts: self.counts(),
                });
            }
            Some(_) => {}
        }
        // The front is the newest one that is ten minutes old, or the first there is.
        while window
            .get(1)
            .is_some_and(|next| now_ms - next.at_ms >= WINDOW_MS)
        {
            window.pop_front();
        }
    }

    /// Forgets all samples.
    pub fn reset(&self) {
        self.window.lock().clear();
        for shard in self.filled() {
            shard.count.store(0, Relaxed);
            shard.sum.store(0, Relaxed);
            shard.min.store(i64::MAX, Relaxed);
            shard.max.store(i64::MIN, Relaxed);
            for bucket in shard.buckets.iter().flat_map(|it| it.iter()) {
                bucket.store(0, Relaxed);
            }
        }
    }
}

/// The value of the sample at a rank.
fn quantile(counts: &Counts, quantile: f64) -> Option<i64> {
    let total: u64 = counts.iter().map(|(_, count)| count).sum();
    let rank = ((total as f64 * quantile).ceil() as u64).max(1);
    let mut seen = 0;
    for (bucket, count) in counts {
        seen += count;
        if seen >= rank {
            return Some(value_of(usize::from(*bucket)));
        }
    }
    None
}

/// One value per key. Keys come from clients, so their number is bounded: see [`SET_KEYS_MAX`].
#[derive(Debug, Default)]
pub struct Set<T> {
    values: RwLock<HashMap<Box<str>, Arc<T>>>,
}

impl<T> Set<T> {
    fn get_or_insert(&self, key: &str, new: impl FnOnce() -> T) -> Arc<T> {
        {
            // A full set, too, must not take the write lock for each sample.
            let values = self.values.read();
            let overflow = || values.get(SET_OVERFLOW_KEY);
            if let Some(value) = values.get(key).or_else(overflow) {
                return value.clone();
            }
        }
        let mut values = self.values.write();
        let full = values.len() >= SET_KEYS_MAX && !values.contains_key(key);
        let key = if full { SET_OVERFLOW_KEY } else { key };
        values
            .entry(key.into())
            .or_insert_with(|| Arc::new(new()))
            .clone()
    }

    /// Keys and values, by key.
    pub(super) fn entries(&self) -> Vec<(String, Arc<T>)> {
        let values = self.values.read();
        let mut entries: Vec<_> = values
            .iter()
            .map(|(key, value)| (key.to_string(), value.clone()))
            .collect();
        entries.sort_by(|a, b| a.0.cmp(&b.0));
        entries
    }
}

/// Counters by key.
pub type CounterSet = Set<Counter>;

impl CounterSet {
    /// Adds to a key's counter.
    pub fn add(&self, key: &str, delta: u64) {
        self.counter(key).add(delta);
    }

    /// The counter of a key, to keep.
    pub fn counter(&self, key: &str) -> Arc<Counter> {
        self.get_or_insert(key, Counter::default)
    }
}

/// Summaries by key.
#[derive(Debug)]
pub struct SummarySet {
    detail: Detail,
    prometheus: bool,
    set: Set<Summary>,
}

impl SummarySet {
    pub(super) fn new(detail: Detail, prometheus: bool) -> SummarySet {
        SummarySet {
            detail,
            prometheus,
            set: Set {
                values: RwLock::default(),
            },
        }
    }

    /// Takes a sample of a key.
    pub fn record(&self, key: &str, value: i64) {
        self.summary(key).record(value);
    }

    /// The summary of a key, to keep.
    pub fn summary(&self, key: &str) -> Arc<Summary> {
        self.set.get_or_insert(key, || Summary {
            used_shards: 1,
            ..Summary::new(self.detail, self.prometheus)
        })
    }

    /// Detail.
    pub fn detail(&self) -> Detail {
        self.detail
    }

    pub(super) fn entries(&self) -> Vec<(String, Arc<Summary>)> {
        self.set.entries()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_cover_all_values_in_order_and_to_a_thirty_second() {
        let mut last = 0;
        for value in (0..100_000_i64).chain([1 << 40, (1 << 42) - 1, 1 << 42, i64::MAX]) {
            let bucket = bucket_of(value);
            assert!(bucket >= last && bucket < BUCKETS, "{value}");
            last = bucket;
            if value < 1 << 42 {
                let error = (value_of(bucket) - value).abs();
                assert!(
                    error * 64 <= value,
                    "{value} is read as {}",
                    value_of(bucket)
                );
            }
        }
        assert_eq!(bucket_of(-5), 0);
    }

    #[test]
    fn threads_add_up() {
        let counter = Counter::default();
        let summary = Summary::new(Detail::Advanced, false);
        std::thread::scope(|scope| {
            for thread in 0..8 {
                let (counter, summary) = (&counter, &summary);
                scope.spawn(move || {
                    for value in 0..1_000 {
                        counter.increment();
                        summary.record(thread * 1_000 + value);
                    }
                });
            }
        });
        assert_eq!(counter.get(), 8_000);
        let values = summary.values();
        assert_eq!(
            values,
            SummaryValues {
                count: 8_000,
                sum: 31_996_000,
                min: 0,
                max: 7_999
            }
        );
        let [median, p99] = summary.quantiles([0.5, 0.99]);
        assert!((median - 4_000).abs() <= 4_000 / 32, "{median}");
        assert!((p99 - 7_920).abs() <= 7_920 / 32, "{p99}");
    }

    #[test]
    fn empty_and_reset_summaries_are_zero() {
        let summary = Summary::new(Detail::Advanced, true);
        assert_eq!(summary.values(), SummaryValues::default());
        assert_eq!(summary.quantiles([0.5, 0.999]), [0, 0]);
        assert_eq!(summary.recent_quantiles([0.5]), [None]);
        summary.record_many(7, 3);
        assert_eq!(
            summary.values(),
            SummaryValues {
                count: 3,
                sum: 21,
                min: 7,
                max: 7
            }
        );
        assert_eq!(summary.quantiles([0.5]), [7]);
        summary.reset();
        assert_eq!(summary.values(), SummaryValues::default());
        assert_eq!(summary.quantiles([0.5]), [0]);
    }

    #[test]
    fn recent_quantiles_forget_after_ten_minutes() {
        let minute = 60_000;
        let summary = Summary::new(Detail::Basic, true);
        summary.rotate(0);
        summary.record_many(10, 100);
        for at in 1..=9 {
            summary.rotate(at * minute);
            assert_eq!(summary.recent_quantiles([0.5]), [Some(10)]);
        }
        summary.record(50);
        summary.rotate(10 * minute);
        assert_eq!(summary.recent_quantiles([0.5]), [Some(10)]);
        summary.rotate(12 * minute); // the hundred came before the second minute
        assert_eq!(summary.recent_quantiles([0.5]), [Some(50)]);
        summary.rotate(20 * minute);
        assert_eq!(summary.recent_quantiles([0.5]), [None]);
        assert_eq!(summary.values().count, 101);
    }

    #[test]
    fn a_full_set_gathers_the_rest() {
        let set = CounterSet::default();
        for key in 0..SET_KEYS_MAX + 5 {
            set.add(&key.to_string(), 1);
        }
        set.add("0", 1);
        let entries = set.entries();
        assert_eq!(entries.len(), SET_KEYS_MAX + 1);
        let count = |key: &str| {
            entries
                .iter()
                .find(|(name, _)| name == key)
                .unwrap()
                .1
                .get()
        };
        assert_eq!(count("0"), 2);
        assert_eq!(count(SET_OVERFLOW_KEY), 5);
    }
}
