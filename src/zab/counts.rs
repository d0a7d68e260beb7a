//! What a server has done in its ensemble, for whoever keeps metrics.
//!
//! Owns the numbers between two looks at them. Does not know what they are called elsewhere.
//! Invariant: what nobody takes does not grow without bound ([`SAMPLES_MAX`]).

use alloc::vec::Vec;

use crate::ids::{Sid, Zxid};
use crate::limits::SAMPLES_MAX;

/// Of which zxids acknowledgements are timed.
const ACK_EVERY: i64 = 1_000;

/// Values, milliseconds or numbers; runs of the same value are merged.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Samples(Vec<(i64, u64)>);

impl Samples {
    /// Takes a value.
    pub fn add(&mut self, value: i64) {
        if let Some((last, times)) = self.0.last_mut()
            && *last == value
        {
            *times += 1;
        } else if self.0.len() < SAMPLES_MAX {
            self.0.push((value, 1));
        }
    }

    /// Takes the time since a transaction was made by another clock, unless that is ahead.
    pub(crate) fn add_since(&mut self, made_ms: i64, now_ms: i64) {
        if now_ms >= made_ms {
            self.add(now_ms - made_ms);
        }
    }

    /// Value and how often.
    pub fn iter(&self) -> impl Iterator<Item = (i64, u64)> + '_ {
        self.0.iter().copied()
    }
}

/// See the module.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Elections begun.
    pub looked: u64,
    /// How long each took that ended, milliseconds.
    pub elections_ms: Samples,
    /// Time without a role that serves, milliseconds.
    pub unavailable_ms: Samples,
    /// The same, where it ended with this server as leader.
    pub leader_unavailable_ms: Samples,
    /// Learners that were brought to the leader's history from its log, TRUNC included.
    pub diffs: u64,
    /// Learners that got a snapshot.
    pub snaps: u64,
    /// Learners that were getting a part of the log when one began or ceased to.
    pub diffs_at_once: Samples,
    /// Learners that were getting a snapshot when one began or ceased to.
    pub snaps_at_once: Samples,
    /// Proposals that this server made as leader.
    pub proposed: u64,
    /// Of them those that were committed.
    pub committed: u64,
    /// Sessions that learners asked to be looked up.
    pub revalidated: u64,
    /// Attempts to lead that were given up because a voter looked for another leader.
    pub disloyal: u64,
    /// Proposals that were received of the leader.
    pub proposals_received: u64,
    /// Decisions that were received of the leader.
    pub commits_received: u64,
    /// From the leader's epoch to UPTODATE, of a follower, milliseconds.
    pub follower_syncs_ms: Samples,
    /// Of an observer.
    pub observer_syncs_ms: Samples,
    /// From a proposal's time to its arrival, milliseconds.
    pub proposal_latency_ms: Samples,
    /// From a proposal's time to the acknowledgement of this server's own log.
    pub ack_creation_ms: Samples,
    /// From a proposal's time to its quorum, on the leader.
    pub quorum_ack_ms: Samples,
    /// From a proposal's time to the arrival of its decision.
    pub commit_latency_ms: Samples,
    /// From a proposal's time to the acknowledgement of each server: of every 1000th zxid, Java's
    /// default of `zookeeper.leader.ackLoggingFrequency`.
    pub acks_ms: Vec<(Sid, i64)>,
}

impl Counts {
    /// How many are synchronised in one way when one began or ceased to be.
    pub(crate) fn at_once(&mut self, is_snap: bool, count: usize) {
        let samples = if is_snap {
            &mut self.snaps_at_once
        } else {
            &mut self.diffs_at_once
        };
        samples.add(count as i64);
    }

    /// A server has acknowledged a proposal of this time.
    pub(crate) fn acked(&mut self, sid: Sid, zxid: Zxid, made_ms: i64, now_ms: i64) {
        let is_sample = zxid.0 % ACK_EVERY == 0;
        if is_sample && now_ms >= made_ms && self.acks_ms.len() < SAMPLES_MAX {
            self.acks_ms.push((sid, now_ms - made_ms));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_nobody_takes_is_bounded() {
        let mut samples = Samples::default();
        for value in 0..2 * SAMPLES_MAX as i64 {
            samples.add(value);
            samples.add(value);
        }
        assert_eq!(samples.iter().count(), SAMPLES_MAX);
        assert_eq!(samples.iter().next(), Some((0, 2)));
        let mut samples = Samples::default();
        samples.add_since(5, 4);
        samples.add_since(5, 7);
        assert_eq!(samples.iter().collect::<Vec<_>>(), [(2, 1)]);
        let mut counts = Counts::default();
        for zxid in 0..2 * SAMPLES_MAX as i64 * ACK_EVERY {
            counts.acked(Sid(1), Zxid(zxid), 1, 2);
        }
        assert_eq!(counts.acks_ms.len(), SAMPLES_MAX);
    }
}
