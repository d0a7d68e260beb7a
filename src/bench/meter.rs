//! What is counted while a load runs.

use std::collections::BTreeMap;

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

use crate::limits::ERROR_KINDS;
use crate::load::Class;

/// Latencies of one class, in microseconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Latency {
    /// Operations measured.
    pub count: u64,
    /// Mean.
    pub mean: f64,
    /// Half were faster.
    pub p50: f64,
    /// 90 of 100 were faster.
    pub p90: f64,
    /// 99 of 100 were faster.
    pub p99: f64,
    /// 999 of 1000 were faster.
    pub p999: f64,
    /// The slowest.
    pub max: f64,
}

/// Counters and histograms of one measured stretch.
#[derive(Debug)]
pub struct Meter {
    reads: Histogram<u64>,
    writes: Histogram<u64>,
    pings: Histogram<u64>,
    /// Operations that succeeded before the end of the stretch.
    pub in_time: u64,
    /// Operations that succeeded, those of the drain included.
    pub done: u64,
    /// Operations that failed.
    pub failed: u64,
    /// Requests whose connection went away.
    pub lost: u64,
    /// Answers that cannot be right.
    pub wrong: u64,
    /// Failures and wrong answers by kind.
    pub kinds: BTreeMap<String, u64>,
}

impl Default for Meter {
    fn default() -> Self {
        // From 1 ns to an hour with an error below a thousandth.
        let new = || {
            Histogram::new_with_bounds(1, 3_600_000_000_000, 3).expect("the bounds are in order")
        };
        Self {
            reads: new(),
            writes: new(),
            pings: new(),
            in_time: 0,
            done: 0,
            failed: 0,
            lost: 0,
            wrong: 0,
            kinds: BTreeMap::new(),
        }
    }
}

impl Meter {
    /// An operation succeeded after `nanos`; `in_time`: before the end of the stretch.
    #[inline]
    pub fn done(&mut self, class: Class, nanos: u64, in_time: bool) {
        self.done += 1;
        if in_time {
            self.in_time += 1;
            match class {
                Class::Read => self.reads.saturating_record(nanos),
                Class::Write => self.writes.saturating_record(nanos),
            }
        }
    }

    /// A ping was answered.
    pub fn ping(&mut self, nanos: u64) {
        self.pings.saturating_record(nanos);
    }

    /// An operation failed.
    pub fn failed(&mut self, code: i32) {
        self.failed += 1;
        match zk_wire::Code::from_i32(code) {
            Some(name) => self.kind(name.to_string()),
            None => self.kind(format!("code {code}")),
        }
    }

    /// An answer cannot be right.
    pub fn wrong(&mut self, what: &str) {
        self.wrong += 1;
        self.kind(what.to_string());
    }

    /// A connection went away with `count` requests in flight.
    pub fn lost(&mut self, count: usize, why: String) {
        self.lost += count as u64;
        self.kind(why);
    }

    fn kind(&mut self, what: String) {
        if self.kinds.len() < ERROR_KINDS || self.kinds.contains_key(&what) {
            *self.kinds.entry(what).or_default() += 1;
        }
    }

    /// Whether every operation succeeded.
    pub fn is_clean(&self) -> bool {
        self.failed + self.lost + self.wrong == 0 && self.kinds.is_empty()
    }

    /// Latencies of reads, writes, both together, and pings; `None` where there were none.
    pub fn latencies(&self) -> [Option<Latency>; 4] {
        let mut all = self.reads.clone();
        all.add(&self.writes)
            .expect("both histograms have the same bounds");
        [&self.reads, &self.writes, &all, &self.pings].map(summary)
    }
}

fn summary(histogram: &Histogram<u64>) -> Option<Latency> {
    if histogram.is_empty() {
        return None;
    }
    let micros = |nanos: u64| (nanos as f64 / 100.0).round() / 10.0;
    let at = |quantile| micros(histogram.value_at_quantile(quantile));
    Some(Latency {
        count: histogram.len(),
        mean: micros(histogram.mean() as u64),
        p50: at(0.5),
        p90: at(0.9),
        p99: at(0.99),
        p999: at(0.999),
        max: micros(histogram.max()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_came_in_time_is_measured() {
        let mut meter = Meter::default();
        meter.done(Class::Read, 1_000, true);
        meter.done(Class::Write, 3_000, true);
        meter.done(Class::Write, 9_000_000, false);
        assert_eq!((meter.in_time, meter.done), (2, 3));
        let [reads, writes, all, pings] = meter.latencies();
        assert_eq!(reads.unwrap().max, 1.0);
        assert_eq!(writes.unwrap().count, 1);
        assert_eq!(all.unwrap().count, 2);
        assert!(pings.is_none());
        assert!(meter.is_clean());
        meter.failed(-101);
        assert!(!meter.is_clean());
    }
}
