//! Gives the node the committed part of the log that its tree lacks, and then what comes anew, in
//! one order.
//!
//! Owns: how far the node was fed, and the records that came while older ones are still read back.
//! Does not know: files; what is committed is decided by others.
//!
//! Invariants: records are given in the log's order without a gap; at most
//! [`FEED_BYTES`](crate::limits::FEED_BYTES) of them wait here, for all can be read again.

use alloc::collections::VecDeque;

use bytes::Bytes;

use crate::history::History;
use crate::ids::Zxid;
use crate::io::{Act, Outbox, Tell};
use crate::limits::FEED_BYTES;

/// See the module.
#[derive(Debug)]
pub(crate) struct Feed {
    /// Everything up to here was given.
    fed: Zxid,
    on: bool,
    reading: bool,
    /// What is being read was asked for before the feed was stopped: it is not for what begins
    /// next, which may begin elsewhere, and behind which the log may be another.
    stale: bool,
    recent: VecDeque<(Zxid, Bytes)>,
    bytes: usize,
}

impl Feed {
    /// Off, with a tree at `applied`.
    pub fn new(applied: Zxid) -> Feed {
        Feed {
            fed: applied,
            on: false,
            reading: false,
            stale: false,
            recent: VecDeque::new(),
            bytes: 0,
        }
    }

    /// How far the node was given records.
    pub fn given(&self) -> Zxid {
        self.fed
    }

    /// Nothing more is given; the node has kept what it was given up to `applied`.
    pub fn stop(&mut self, applied: Zxid) {
        *self = Feed {
            reading: self.reading,
            stale: self.reading,
            ..Feed::new(applied)
        };
    }

    /// Everything that the log holds may be given from now on.
    pub fn start(&mut self, history: &History, durable: Zxid, out: &mut Outbox) {
        self.on = true;
        self.go_on(history, durable, out);
    }

    /// A record was appended to the log.
    pub fn push(&mut self, zxid: Zxid, payload: Bytes, before: Zxid, out: &mut Outbox) {
        if !self.on {
            return;
        }
        if !self.reading && self.recent.is_empty() && self.fed == before {
            self.fed = zxid;
            out.tell(Tell::Record(zxid, payload));
            return;
        }
        self.bytes += payload.len();
        self.recent.push_back((zxid, payload));
        while self.bytes > FEED_BYTES
            && let Some((_, payload)) = self.recent.pop_front()
        {
            self.bytes -= payload.len();
        }
    }

    /// A record was read back.
    pub fn record(&mut self, zxid: Zxid, payload: Bytes, out: &mut Outbox) {
        if self.on && !self.stale && zxid > self.fed {
            self.fed = zxid;
            out.tell(Tell::Record(zxid, payload));
        }
    }

    /// The reader has stopped.
    pub fn read(&mut self) {
        self.reading = false;
        self.stale = false;
    }

    /// Asks for more, or goes over to what is in memory, as soon as the tree has taken what was
    /// given.
    pub fn go_on(&mut self, history: &History, durable: Zxid, out: &mut Outbox) {
        if !self.on || self.reading {
            return;
        }
        while self.recent.front().is_some_and(|(z, _)| *z <= self.fed) {
            if let Some((_, payload)) = self.recent.pop_front() {
                self.bytes -= payload.len();
            }
        }
        let next = history.first_after(self.fed);
        if next.is_some() && next == self.recent.front().map(|(zxid, _)| *zxid) {
            for (zxid, payload) in core::mem::take(&mut self.recent) {
                self.fed = zxid;
                out.tell(Tell::Record(zxid, payload));
            }
            self.bytes = 0;
            return;
        }
        if next.is_some_and(|next| next <= durable) {
            self.reading = true;
            out.act(Act::ReadLog {
                after: self.fed,
                until: durable,
            });
        }
    }
}
