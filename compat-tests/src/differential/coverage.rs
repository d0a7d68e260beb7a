//! Counts of what a run has met.
//!
//! Owns: the counters and the list of what a long run must have met.
//!
//! Does not know: verdicts.

use std::collections::{BTreeMap, BTreeSet};

use super::exchange::{FrameKind, Header, Outcome};
use super::op::code;
use super::print::{err_name, op_name};
use super::step::Request;
use crate::raw::In;

/// Counters of one run or many.
#[derive(Debug, Default, Clone)]
pub struct Coverage {
    replies: BTreeMap<i32, BTreeMap<i32, u64>>,
    parts: BTreeMap<i32, u64>,
    events: BTreeMap<(i32, bool), u64>,
    others: BTreeMap<&'static str, u64>,
    unanswered: BTreeMap<i32, u64>,
}

/// Error codes that a long run of all kinds of settings meets; the others cannot come from a
/// standalone server within a run (see the protocol's table).
const ERRORS: &[i32] = &[
    0, -5, -6, -8, -101, -102, -103, -108, -110, -111, -114, -115, -121, -123, -125,
];

/// Every operation a client may send.
const OPS: &[i32] = &[
    1, 2, 3, 4, 5, 6, 7, 8, 9, 11, 12, 13, 14, 15, 16, 17, 18, 19, 21, 22, 100, 101, 102, 103, 104,
    105, 106, 107, -11,
];

impl Coverage {
    /// Counts one outcome.
    pub fn record(&mut self, requests: &[Request], outcome: &Outcome) {
        let mut answered = vec![false; requests.len()];
        for frame in &outcome.frames {
            let Some(header) = Header::of(&frame.bytes) else {
                continue;
            };
            match frame.kind {
                FrameKind::Reply(i) => {
                    answered[i] = true;
                    let op = requests[i].op;
                    *self
                        .replies
                        .entry(op)
                        .or_default()
                        .entry(header.err)
                        .or_default() += 1;
                    if matches!(op, code::MULTI | code::MULTI_READ) && header.err == 0 {
                        self.multi(&frame.bytes[16..]);
                    }
                }
                FrameKind::Event => {
                    let kind = In::new(&frame.bytes[16..]).int().unwrap_or(0);
                    *self.events.entry((kind, header.zxid == -1)).or_default() += 1;
                }
                FrameKind::Connect(_) | FrameKind::Stray => {}
            }
        }
        for (request, _) in requests
            .iter()
            .zip(answered)
            .filter(|(_, answered)| !answered)
        {
            *self.unanswered.entry(request.op).or_default() += 1;
        }
    }

    /// Counts the failed parts; a body with successes needs no full walk: errors stand first in it.
    fn multi(&mut self, body: &[u8]) {
        let mut input = In::new(body);
        while let (Some(-1), Some(false), Some(_), Some(err)) =
            (input.int(), input.bool(), input.int(), input.int())
        {
            *self.parts.entry(err).or_default() += 1;
        }
    }

    /// Counts what is no reply.
    pub fn count(&mut self, what: &'static str) {
        *self.others.entry(what).or_default() += 1;
    }

    /// Adds another run's counts.
    pub fn add(&mut self, other: &Self) {
        for (op, errs) in &other.replies {
            for (err, n) in errs {
                *self
                    .replies
                    .entry(*op)
                    .or_default()
                    .entry(*err)
                    .or_default() += n;
            }
        }
        other
            .parts
            .iter()
            .for_each(|(k, n)| *self.parts.entry(*k).or_default() += n);
        other
            .events
            .iter()
            .for_each(|(k, n)| *self.events.entry(*k).or_default() += n);
        other
            .others
            .iter()
            .for_each(|(k, n)| *self.others.entry(k).or_default() += n);
        other
            .unanswered
            .iter()
            .for_each(|(k, n)| *self.unanswered.entry(*k).or_default() += n);
    }

    /// What a long run should have met and has not.
    pub fn missing(&self) -> Vec<String> {
        let mut missing = Vec::new();
        missing.extend(
            OPS.iter()
                .filter(|op| !self.replies.contains_key(op))
                .map(|op| op_name(*op)),
        );
        let seen: BTreeSet<i32> = self
            .replies
            .values()
            .flat_map(BTreeMap::keys)
            .copied()
            .collect();
        missing.extend(
            ERRORS
                .iter()
                .filter(|e| !seen.contains(e))
                .map(|e| err_name(*e)),
        );
        let events: BTreeSet<i32> = self.events.keys().map(|(kind, _)| *kind).collect();
        missing.extend(
            (1..=4)
                .filter(|k| !events.contains(k))
                .map(|k| format!("event type {k}")),
        );
        missing
    }

    /// The table.
    pub fn report(&self) -> String {
        let mut out = String::new();
        for (op, errs) in &self.replies {
            let list: Vec<_> = errs
                .iter()
                .map(|(e, n)| format!("{} {n}", err_name(*e)))
                .collect();
            out += &format!("  {:22} {}\n", op_name(*op), list.join(", "));
        }
        let list = |map: &BTreeMap<i32, u64>, name: fn(i32) -> String| {
            map.iter()
                .map(|(k, n)| format!("{} {n}", name(*k)))
                .collect::<Vec<_>>()
                .join(", ")
        };
        out += &format!(
            "  {:22} {}\n",
            "failed multi parts",
            list(&self.parts, err_name)
        );
        out += &format!(
            "  {:22} {}\n",
            "closed, no reply",
            list(&self.unanswered, op_name)
        );
        let events: Vec<_> = self
            .events
            .iter()
            .map(|((kind, caught_up), n)| {
                format!(
                    "type {kind}{} {n}",
                    if *caught_up { " (setWatches)" } else { "" }
                )
            })
            .collect();
        out += &format!("  {:22} {}\n", "events", events.join(", "));
        for (what, n) in &self.others {
            out += &format!("  {what:22} {n}\n");
        }
        out
    }
}
