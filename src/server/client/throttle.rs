//! What holds clients back over all connections: connect requests, requests in processing, and
//! the memory of large ones. The decisions are `zk_ops::throttle`'s.

use parking_lot::Mutex;
use tokio::sync::Notify;
use zk_ops::config::{RequestThrottle, ServerConfig};
use zk_ops::metrics::Metrics;
use zk_ops::throttle::{ConnectionThrottle, LargeRequests, SessionKind};
use zk_wire::OpCode;

/// See the module.
#[derive(Debug)]
pub struct Throttles {
    /// `request_throttle_*`.
    pub request: RequestThrottle,
    /// `throttled_op_wait_time`.
    throttled_wait_ms: i64,
    /// `globalOutstandingLimit`.
    outstanding: i64,
    /// The budget of large requests.
    pub large: LargeRequests,
    connect: Mutex<ConnectionThrottle>,
    /// Told when requests have left processing, if requests are throttled.
    pub released: Notify,
}

/// What becomes of a request that the throttle looks at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// It is taken.
    Now,
    /// It is answered with THROTTLEDOP: it waited too long.
    Refused,
    /// It waits, and everything behind it.
    Later,
    /// It is stale: its connection ends.
    Dropped,
}

/// A request in front of the throttle.
#[derive(Clone, Copy, Debug)]
pub struct Candidate {
    /// Its operation; none for a handshake.
    pub op: Option<i32>,
    /// How long it has waited, milliseconds.
    pub waited_ms: i64,
    /// Whether its client has hung up.
    pub hung_up: bool,
    /// The session's timeout, milliseconds.
    pub timeout_ms: i32,
}

impl Throttles {
    /// As configured.
    pub fn new(config: &ServerConfig, now_ms: i64) -> Throttles {
        Throttles {
            request: config.request_throttle.clone(),
            throttled_wait_ms: i64::from(config.throttled_op_wait_ms),
            outstanding: i64::from(config.global_outstanding_limit),
            large: LargeRequests::new(config.large_request),
            connect: Mutex::new(ConnectionThrottle::new(config.connection_throttle, now_ms)),
            released: Notify::new(),
        }
    }

    /// Whether a client with requests under way is not to be read: `globalOutstandingLimit`.
    pub fn is_over(&self, in_process: usize) -> bool {
        in_process as i64 > self.outstanding
    }

    /// Whether requests are throttled at all.
    pub fn is_on(&self) -> bool {
        self.request.max_requests > 0
    }

    /// The turn of a request, in Java's order: stale first, then the limit. To be asked only if
    /// [`Throttles::is_on`].
    pub fn turn(&self, candidate: &Candidate, in_process: usize) -> Turn {
        let closes = candidate.op == Some(OpCode::CloseSession.to_i32());
        let exempt = closes || candidate.op.is_none_or(|op| op == OpCode::Ping.to_i32());
        if self.request.drop_stale
            && candidate.op.is_some()
            && self.request.is_stale(
                closes,
                candidate.hung_up,
                candidate.waited_ms,
                candidate.timeout_ms,
            )
        {
            return Turn::Dropped;
        }
        if self.request.holds_back(in_process as i64) {
            return Turn::Later;
        }
        if !exempt && self.throttled_wait_ms > 0 && candidate.waited_ms > self.throttled_wait_ms {
            return Turn::Refused;
        }
        Turn::Now
    }

    /// Whether a connect request is let through.
    pub fn admit(&self, session_id: i64, now_ms: i64, metrics: &Metrics) -> bool {
        let kind = if session_id == 0 {
            SessionKind::Global
        } else {
            SessionKind::Renew
        };
        let mut connect = self.connect.lock();
        if !connect.admit(kind, now_ms, fastrand::f64) {
            metrics.connection_rejected.increment();
            return false;
        }
        let deficit = i64::from(connect.deficit());
        metrics.connection_token_deficit.record(deficit);
        metrics.connection_request_count.increment();
        true
    }

    /// The gauge `connection_drop_probability`.
    pub fn drop_probability(&self) -> f64 {
        self.connect.lock().drop_probability()
    }
}
