//! Throttles: how many connections may come, what a stale request is, and how much memory large
//! requests may take.
//!
//! Owns: the decisions. Does not know sockets, clocks or generators of random numbers: time and
//! chance are arguments. Counting connections per address and in all is the listener's.

use std::sync::atomic::{AtomicI64, Ordering};

use crate::config::RequestThrottle;

/// `connection_throttle_*`, as set.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ConnectionThrottleConfig {
    /// Size of the bucket in tokens; 0 is off.
    pub tokens: i32,
    /// Time between refills, ms; not 0 when the throttle is on.
    pub fill_time_ms: i32,
    /// Tokens of a refill.
    pub fill_count: i32,
    /// Time between changes of the drop probability, ms; -1 is no random drop.
    pub freeze_time_ms: i32,
    /// Step of the drop probability up.
    pub drop_increase: f64,
    /// Step of the drop probability down.
    pub drop_decrease: f64,
    /// Deficit, as a part of the bucket, at or under which the probability goes down.
    pub decrease_ratio: f64,
    /// Whether sessions cost by kind; else each costs 1.
    pub weight_enabled: bool,
    /// Cost of a new session.
    pub global_session_weight: i32,
    /// Cost of a new local session.
    pub local_session_weight: i32,
    /// Cost of a session that comes back.
    pub renew_session_weight: i32,
}

impl Default for ConnectionThrottleConfig {
    fn default() -> Self {
        ConnectionThrottleConfig {
            tokens: 0,
            fill_time_ms: 1,
            fill_count: 1,
            freeze_time_ms: -1,
            drop_increase: 0.02,
            drop_decrease: 0.002,
            decrease_ratio: 0.0,
            weight_enabled: false,
            global_session_weight: 3,
            local_session_weight: 1,
            renew_session_weight: 2,
        }
    }
}

/// What a connect request asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SessionKind {
    /// A new session.
    Global,
    /// A new local session.
    Local,
    /// A session that comes back.
    Renew,
}

/// A token bucket for connect requests, with BLUE's random drop in front: while the bucket runs
/// dry the probability of a drop grows, when it is full again it shrinks. (BLUE: Feng and others,
/// "BLUE: A New Class of Active Queue Management Algorithms".)
#[derive(Clone, Debug)]
pub struct ConnectionThrottle {
    config: ConnectionThrottleConfig,
    max_tokens: i32,
    fill_count: i32,
    tokens: i32,
    filled_at_ms: i64,
    changed_at_ms: i64,
    drop: f64,
}

impl ConnectionThrottle {
    /// A full bucket.
    pub fn new(config: ConnectionThrottleConfig, now_ms: i64) -> ConnectionThrottle {
        let mut config = config;
        // Both comparisons are with the local weight as set, even if that one is not above 0.
        let local = config.local_session_weight;
        let sane = |weight: i32, default: i32| {
            if weight <= 0 {
                default
            } else {
                weight.max(local)
            }
        };
        config.global_session_weight = sane(config.global_session_weight, 3);
        config.renew_session_weight = sane(config.renew_session_weight, 2);
        config.local_session_weight = if local <= 0 { 1 } else { local };
        // With weights, the numbers are meant in new sessions.
        let scale = if config.weight_enabled {
            config.global_session_weight
        } else {
            1
        };
        let max_tokens = config.tokens.wrapping_mul(scale);
        ConnectionThrottle {
            max_tokens,
            fill_count: config.fill_count.wrapping_mul(scale),
            tokens: max_tokens,
            filled_at_ms: now_ms,
            changed_at_ms: now_ms,
            drop: 0.0,
            config,
        }
    }

    /// Decides on a connect request at a monotonic time. `random` gives a number in [0, 1) and is
    /// asked only if random drop is on.
    pub fn admit(&mut self, kind: SessionKind, now_ms: i64, random: impl FnOnce() -> f64) -> bool {
        if self.max_tokens == 0 {
            return true;
        }
        let need = self.cost(kind);
        let elapsed = now_ms - self.filled_at_ms;
        if elapsed > i64::from(self.config.fill_time_ms) {
            let fill_time = i64::from(self.config.fill_time_ms);
            let refill = elapsed
                .wrapping_mul(i64::from(self.fill_count))
                .checked_div(fill_time)
                .unwrap_or(0);
            let tokens = i64::from(self.tokens)
                .wrapping_add(refill)
                .min(i64::from(self.max_tokens));
            self.tokens = tokens as i32;
            if self.tokens < 0 {
                self.tokens = self.max_tokens;
            }
            self.filled_at_ms = now_ms;
        }
        if self.config.freeze_time_ms != -1 && !self.survives(now_ms, random) {
            return false;
        }
        if self.tokens < need {
            return false;
        }
        self.tokens -= need;
        true
    }

    fn survives(&mut self, now_ms: i64, random: impl FnOnce() -> f64) -> bool {
        if now_ms - self.changed_at_ms > i64::from(self.config.freeze_time_ms) {
            let deficit = self.deficit();
            // Java's Math.round: halves up.
            let low = (f64::from(self.max_tokens) * self.config.decrease_ratio + 0.5).floor();
            if deficit == self.max_tokens && self.drop < 1.0 {
                self.drop = (self.drop + self.config.drop_increase).min(1.0);
            } else if f64::from(deficit) <= low && self.drop > 0.0 {
                self.drop = (self.drop - self.config.drop_decrease).max(0.0);
            }
            self.changed_at_ms = now_ms;
        }
        random() >= self.drop
    }

    /// Tokens that a connect request costs.
    pub fn cost(&self, kind: SessionKind) -> i32 {
        if !self.config.weight_enabled {
            return 1;
        }
        match kind {
            SessionKind::Global => self.config.global_session_weight,
            SessionKind::Local => self.config.local_session_weight,
            SessionKind::Renew => self.config.renew_session_weight,
        }
    }

    /// Tokens that are missing (the summary `connection_token_deficit` takes it at each connect
    /// request that was admitted).
    pub fn deficit(&self) -> i32 {
        self.max_tokens.wrapping_sub(self.tokens)
    }

    /// The gauge `connection_drop_probability`.
    pub fn drop_probability(&self) -> f64 {
        self.drop
    }
}

/// `largeRequest*`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LargeRequestConfig {
    /// Requests longer than this are large; `None` is off.
    pub threshold: Option<u32>,
    /// Bytes of large requests in processing, above 0.
    pub max_bytes: i32,
}

impl Default for LargeRequestConfig {
    fn default() -> Self {
        LargeRequestConfig {
            threshold: None,
            max_bytes: 100 * 1024 * 1024,
        }
    }
}

/// A large request is over the budget: its connection is to be closed, and
/// `large_requests_rejected` counts it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LargeRequestRejected;

/// The budget of large requests in processing. Looked at twice: when a frame's length is known,
/// before anything is allocated, and when the request is complete, which takes its bytes until it
/// is finished or dropped.
#[derive(Debug)]
pub struct LargeRequests {
    config: LargeRequestConfig,
    in_processing: AtomicI64,
}

impl LargeRequests {
    /// An empty budget.
    pub fn new(config: LargeRequestConfig) -> LargeRequests {
        LargeRequests {
            config,
            in_processing: AtomicI64::new(0),
        }
    }

    #[inline]
    fn is_large(&self, length: u32) -> bool {
        self.config
            .threshold
            .is_some_and(|threshold| length > threshold)
    }

    /// Whether a frame of this length may be received. Takes nothing.
    ///
    /// # Errors
    /// [`LargeRequestRejected`].
    #[inline]
    pub fn check(&self, length: u32) -> Result<(), LargeRequestRejected> {
        if self.is_large(length)
            && self.in_processing.load(Ordering::Relaxed) + i64::from(length)
                > i64::from(self.config.max_bytes)
        {
            return Err(LargeRequestRejected);
        }
        Ok(())
    }

    /// Takes the bytes of a received request. The result is what [`LargeRequests::finish`] is to
    /// give back: 0 for a request that is not large.
    ///
    /// # Errors
    /// [`LargeRequestRejected`]; nothing is taken then.
    #[inline]
    pub fn take(&self, length: u32) -> Result<u32, LargeRequestRejected> {
        if !self.is_large(length) {
            return Ok(0);
        }
        let before = self
            .in_processing
            .fetch_add(i64::from(length), Ordering::Relaxed);
        if before + i64::from(length) > i64::from(self.config.max_bytes) {
            self.finish(length);
            return Err(LargeRequestRejected);
        }
        Ok(length)
    }

    /// Gives back what [`LargeRequests::take`] took.
    #[inline]
    pub fn finish(&self, taken: u32) {
        if taken != 0 {
            let before = self
                .in_processing
                .fetch_sub(i64::from(taken), Ordering::Relaxed);
            assert!(
                before >= i64::from(taken),
                "{taken} given back of {before} in processing"
            );
        }
    }

    /// Bytes in processing.
    pub fn in_processing(&self) -> u64 {
        u64::try_from(self.in_processing.load(Ordering::Relaxed)).unwrap_or(0)
    }
}

impl RequestThrottle {
    /// Whether a request is stale. closeSession never is (`is_close_session`), so that it can clean
    /// up behind its session; nor is a request without a connection (do not ask).
    pub fn is_stale(
        &self,
        is_close_session: bool,
        connection_closed: bool,
        waited_ms: i64,
        session_timeout_ms: i32,
    ) -> bool {
        !is_close_session
            && (self.stale_connection_check && connection_closed
                || self.stale_latency_check && waited_ms > i64::from(session_timeout_ms))
    }

    /// Whether this many requests in processing hold the next one back.
    pub fn holds_back(&self, in_processing: i64) -> bool {
        self.max_requests > 0 && in_processing >= i64::from(self.max_requests)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use SessionKind::{Global, Local, Renew};

    fn never() -> f64 {
        panic!("no random number is needed")
    }

    #[test]
    fn off_admits_everything() {
        let mut throttle = ConnectionThrottle::new(ConnectionThrottleConfig::default(), 0);
        assert!((0..10_000).all(|_| throttle.admit(Global, 0, never)));
        assert_eq!(throttle.deficit(), 0);
    }

    #[test]
    fn bucket_empties_and_refills_after_more_than_the_fill_time() {
        let config = ConnectionThrottleConfig {
            tokens: 3,
            fill_time_ms: 10,
            fill_count: 2,
            ..Default::default()
        };
        let mut throttle = ConnectionThrottle::new(config, 0);
        let admitted = |throttle: &mut ConnectionThrottle, now| {
            (0..9).filter(|_| throttle.admit(Renew, now, never)).count()
        };
        assert_eq!(admitted(&mut throttle, 0), 3);
        assert_eq!(throttle.deficit(), 3);
        assert_eq!(admitted(&mut throttle, 10), 0); // "more than" the fill time
        assert_eq!(admitted(&mut throttle, 11), 2); // 11 * 2 / 10
        assert_eq!(admitted(&mut throttle, 21), 0);
        assert_eq!(admitted(&mut throttle, 1_000), 3);
    }

    #[test]
    fn weights_scale_bucket_and_refill() {
        let config = ConnectionThrottleConfig {
            tokens: 2,
            fill_time_ms: 10,
            weight_enabled: true,
            ..Default::default()
        };
        let mut throttle = ConnectionThrottle::new(config, 0); // 6 tokens
        assert!(throttle.admit(Global, 0, never)); // 3
        assert!(throttle.admit(Renew, 0, never)); // 1
        assert!(!throttle.admit(Renew, 0, never));
        assert!(throttle.admit(Local, 0, never)); // 0
        assert!(!throttle.admit(Local, 0, never));
        assert!(throttle.admit(Global, 11, never)); // 11 * 3 / 10 = 3
        assert!(!throttle.admit(Local, 11, never));
    }

    #[test]
    fn bad_weights_are_mended() {
        let cost = |global, local, renew| {
            let throttle = ConnectionThrottle::new(
                ConnectionThrottleConfig {
                    weight_enabled: true,
                    global_session_weight: global,
                    local_session_weight: local,
                    renew_session_weight: renew,
                    ..Default::default()
                },
                0,
            );
            [Global, Local, Renew].map(|kind| throttle.cost(kind))
        };
        assert_eq!(cost(3, 1, 2), [3, 1, 2]);
        assert_eq!(cost(0, 0, 0), [3, 1, 2]);
        assert_eq!(cost(1, 5, 4), [5, 5, 5]);
        assert_eq!(cost(-1, 9, -1), [3, 9, 2]);
    }

    #[test]
    fn drop_probability_follows_the_bucket() {
        let config = ConnectionThrottleConfig {
            tokens: 1,
            fill_time_ms: 1_000,
            freeze_time_ms: 0,
            drop_increase: 0.4,
            drop_decrease: 0.3,
            ..Default::default()
        };
        let mut throttle = ConnectionThrottle::new(config, 0);
        assert!(throttle.admit(Global, 1, || 0.0)); // the bucket is empty now
        assert!(!throttle.admit(Global, 2, || 0.5)); // no token; 0.4
        assert!((throttle.drop_probability() - 0.4).abs() < 1e-9);
        assert!(!throttle.admit(Global, 2, || 0.3)); // dropped; within the freeze time
        assert!((throttle.drop_probability() - 0.4).abs() < 1e-9);
        assert!(!throttle.admit(Global, 3, || 0.9));
        assert!(!throttle.admit(Global, 4, || 0.9)); // 1.2, held at 1
        assert_eq!(throttle.drop_probability(), 1.0);
        // Full again: deficit 0 is at the threshold 0, so the probability falls by one step.
        assert!(throttle.admit(Global, 2_000, || 0.7));
        assert!((throttle.drop_probability() - 0.7).abs() < 1e-9);
        let mut now = 2_000;
        for _ in 0..3 {
            now += 2_000;
            throttle.admit(Global, now, || 0.0);
        }
        assert_eq!(throttle.drop_probability(), 0.0);
    }

    #[test]
    fn large_requests_share_a_budget() {
        let budget = LargeRequests::new(LargeRequestConfig {
            threshold: Some(100),
            max_bytes: 300,
        });
        assert_eq!(budget.take(100), Ok(0));
        assert_eq!(budget.take(101), Ok(101));
        assert_eq!(budget.check(199), Ok(()));
        assert_eq!(budget.take(199), Ok(199));
        assert_eq!(budget.check(101), Err(LargeRequestRejected));
        assert_eq!(budget.take(101), Err(LargeRequestRejected));
        assert_eq!(budget.in_processing(), 300);
        assert_eq!(budget.take(50), Ok(0)); // not large
        budget.finish(0);
        budget.finish(199);
        assert_eq!(budget.take(101), Ok(101));
        assert_eq!(budget.check(u32::MAX), Err(LargeRequestRejected));

        let off = LargeRequests::new(LargeRequestConfig::default());
        assert_eq!(off.check(u32::MAX), Ok(()));
        assert_eq!(off.take(u32::MAX), Ok(0));
    }

    #[test]
    fn stale_requests() {
        let throttle = RequestThrottle {
            max_requests: 2,
            stall_time_ms: 100,
            drop_stale: true,
            stale_latency_check: true,
            stale_connection_check: true,
        };
        assert!(throttle.is_stale(false, true, 0, 4_000));
        assert!(!throttle.is_stale(true, true, 9_000, 4_000));
        assert!(!throttle.is_stale(false, false, 4_000, 4_000));
        assert!(throttle.is_stale(false, false, 4_001, 4_000));
        let lenient = RequestThrottle {
            stale_latency_check: false,
            stale_connection_check: false,
            max_requests: 0,
            ..throttle.clone()
        };
        assert!(!lenient.is_stale(false, true, 4_001, 4_000));
        assert!(throttle.holds_back(2) && !throttle.holds_back(1));
        assert!(!lenient.holds_back(i64::MAX));
    }
}
