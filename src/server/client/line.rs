//! A connection and what the drivers keep about its requests: when each that waits was received,
//! and how much of the budgets it holds. Counts only; the order of things is `zk_core::conn`'s.
//!
//! Invariant: there is one entry for each request that waits in the connection, in the same order
//! (and one for a new session while it is made), except within a call.

use std::collections::VecDeque;

use zk_core::Conn;
use zk_ops::throttle::LargeRequests;

use crate::limits::CONN_IN_BYTES;
use crate::stats::{Latency, Runs};

/// A request that waits for its reply.
#[derive(Clone, Copy, Debug)]
pub struct Waiting {
    /// When it was received, monotonic milliseconds.
    pub at_ms: i64,
    /// Bytes of its frame.
    pub bytes: u32,
    /// Its share of the budget of large requests.
    pub large: u32,
    /// Whether it becomes a transaction.
    pub write: bool,
}

/// Latencies on their way to the server's statistics.
#[derive(Debug, Default)]
pub struct Latencies {
    /// Of requests without a transaction.
    pub reads: Runs,
    /// Of transactions.
    pub updates: Runs,
}

/// See the module.
#[derive(Debug)]
pub struct Line {
    /// The connection.
    pub conn: Conn,
    waiting: VecDeque<Waiting>,
    bytes: usize,
    /// Latencies of its requests.
    pub latency: Latency,
    /// When the last reply was made, monotonic milliseconds; 0 before any.
    pub answered_ms: i64,
    /// Whether it asked by a four-letter word.
    pub by_word: bool,
}

impl Line {
    /// Without requests.
    pub fn new(conn: Conn) -> Line {
        Line {
            conn,
            waiting: VecDeque::new(),
            bytes: 0,
            latency: Latency::default(),
            answered_ms: 0,
            by_word: false,
        }
    }

    /// Whether the next frame may be given now.
    pub fn takes_frames(&self) -> bool {
        self.conn.takes_frames() && self.bytes < CONN_IN_BYTES
    }

    /// Notes the request that has just begun to wait.
    pub fn wait(&mut self, request: Waiting) {
        self.bytes += request.bytes as usize;
        self.waiting.push_back(request);
    }

    /// Whether a new session is being made for it.
    pub fn awaits_session(&self) -> bool {
        self.conn.is_connecting() && !self.waiting.is_empty()
    }

    /// Notes `count` requests that were answered where they were taken, `ms` after their receipt.
    pub fn answered_at_once(&mut self, count: u64, ms: i64, now_ms: i64) {
        self.latency.add(ms, count as i64);
        self.answered_ms = now_ms;
    }

    /// Notes that the oldest request is answered now.
    pub fn answered(&mut self, now_ms: i64, latencies: &mut Latencies, large: &LargeRequests) {
        let Some(request) = self.waiting.pop_front() else {
            return;
        };
        self.bytes -= request.bytes as usize;
        large.finish(request.large);
        let ms = (now_ms - request.at_ms).max(0);
        self.latency.add(ms, 1);
        self.answered_ms = now_ms;
        if request.write {
            latencies.updates.add(ms);
        } else {
            latencies.reads.add(ms);
        }
    }

    /// Notes what the connection has answered by itself since the last call.
    pub fn settle(&mut self, now_ms: i64, latencies: &mut Latencies, large: &LargeRequests) {
        if self.conn.is_closing() {
            self.forget(large);
        }
        while self.waiting.len() > self.conn.outstanding() {
            self.answered(now_ms, latencies, large);
        }
    }

    /// Gives up on everything that waits.
    pub fn forget(&mut self, large: &LargeRequests) {
        for request in self.waiting.drain(..) {
            large.finish(request.large);
        }
        self.waiting.shrink_to_fit();
        self.bytes = 0;
    }

    /// Gives back what an idle connection has no use for. A client that pings is idle.
    pub fn rest(&mut self) {
        if self.waiting.is_empty() {
            self.waiting = VecDeque::new();
        }
        self.conn.rest();
    }

    /// `crst`.
    pub fn reset_stats(&mut self) {
        self.conn.reset_stats();
        self.latency.reset();
        self.answered_ms = 0;
    }
}
