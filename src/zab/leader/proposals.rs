//! What is proposed and not committed yet, and what was committed lately.
//!
//! Owns: the order of proposals, who has logged how much of it, and the decision that a proposal
//! is committed. Does not know: links, packets, the tree.
//!
//! Invariants: commits are in the order of proposals, without a gap; a proposal is committed only
//! with every quorum that held when it was proposed and holds still; servers that do not vote do
//! not count.

use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::sync::Arc;

use bytes::Bytes;
use zk_wire::quorum::config::QuorumConfig;

use crate::ids::{Sid, Zxid};
use crate::limits::WINDOW_BYTES;
use crate::quorum::Joint;
use crate::rules::{Rule, Rules};

/// A transaction that waits for its quorum.
#[derive(Clone, Debug)]
pub struct Proposal {
    /// Its zxid.
    pub zxid: Zxid,
    /// Header, body and digest.
    pub payload: Bytes,
    /// Whose quorums it needs.
    pub joint: Arc<Joint>,
    /// The configuration that it proposes.
    pub change: Option<Arc<QuorumConfig>>,
    /// When it was made, by the leader's wall clock, milliseconds since 1970.
    pub time_ms: i64,
}

/// What an acknowledgement was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ack {
    /// Taken.
    Counted,
    /// Of a transaction that nobody proposed.
    Unknown,
}

/// See the module.
#[derive(Debug)]
pub struct Proposals {
    queue: VecDeque<Proposal>,
    proposed: Zxid,
    committed: Zxid,
    /// How far each server's log is durable, as it said itself.
    logged: BTreeMap<Sid, Zxid>,
    /// Committed transactions, the last ones: what a learner misses that has caught up with the
    /// log.
    window: VecDeque<(Zxid, Bytes)>,
    window_bytes: usize,
    rules: Rules,
}

impl Proposals {
    /// None yet, behind `committed`.
    pub fn new(committed: Zxid, rules: Rules) -> Proposals {
        Proposals {
            queue: VecDeque::new(),
            proposed: committed,
            committed,
            logged: BTreeMap::new(),
            window: VecDeque::new(),
            window_bytes: 0,
            rules,
        }
    }

    /// The last one that was proposed.
    pub fn proposed(&self) -> Zxid {
        self.proposed
    }

    /// Everything up to here is committed.
    pub fn committed(&self) -> Zxid {
        self.committed
    }

    /// How many wait.
    pub fn outstanding(&self) -> &VecDeque<Proposal> {
        &self.queue
    }

    /// When one of those that wait was made.
    pub fn time_of(&self, zxid: Zxid) -> Option<i64> {
        let first = self.queue.front()?.zxid;
        let at = usize::try_from(zxid.0.checked_sub(first.0)?).ok()?;
        let proposal = self.queue.get(at).filter(|p| p.zxid == zxid)?;
        Some(proposal.time_ms)
    }

    /// Takes one in.
    pub fn push(&mut self, proposal: Proposal) {
        self.proposed = proposal.zxid;
        self.queue.push_back(proposal);
    }

    /// A server's log is durable up to here. Logs are kept in order, so that says it of every
    /// earlier one.
    pub fn ack(&mut self, sid: Sid, zxid: Zxid) -> Ack {
        if zxid > self.proposed {
            return Ack::Unknown;
        }
        let logged = self.logged.entry(sid).or_default();
        *logged = zxid.max(*logged);
        Ack::Counted
    }

    /// A server will have no more than this, and may not have what it has acknowledged behind it.
    pub fn forget(&mut self, sid: Sid, zxid: Zxid) {
        if let Some(logged) = self.logged.get_mut(&sid) {
            *logged = zxid.min(*logged);
        }
    }

    /// A configuration is committed: what was proposed behind it, and needed the one of before as
    /// well, needs only these quorums from now on. Whoever leads next has that configuration in its
    /// log, and leads with its quorums or not at all; and servers that vote in it no more may have
    /// left without a word.
    pub fn activate(&mut self, joint: &Arc<Joint>) {
        for proposal in &mut self.queue {
            proposal.joint = joint.clone();
        }
    }

    /// The next proposal that is committed now. One server may decide it `alone`.
    pub fn next_committed(&mut self, alone: Option<Sid>) -> Option<Proposal> {
        let head = self.queue.front()?;
        let logged = |sid: Sid| self.logged.get(&sid).is_some_and(|z| *z >= head.zxid);
        let decided = if alone.is_some_and(logged) {
            true
        } else if self.rules.hold(Rule::OnlyVotersCount) {
            head.joint.has_quorum(logged)
        } else {
            let votes = self.logged.values().filter(|z| **z >= head.zxid).count();
            votes > head.joint.newest().voters().len() / 2
        };
        if !decided {
            return None;
        }
        let proposal = self.queue.pop_front()?;
        self.committed = proposal.zxid;
        self.window_bytes += proposal.payload.len();
        self.window
            .push_back((proposal.zxid, proposal.payload.clone()));
        while self.window_bytes > WINDOW_BYTES
            && let Some((_, payload)) = self.window.pop_front()
        {
            self.window_bytes -= payload.len();
        }
        Some(proposal)
    }

    /// The committed transactions behind `after`, if all of them are here. `base` is where this
    /// leader's own transactions begin.
    pub fn window(&self, after: Zxid, base: Zxid) -> Option<impl Iterator<Item = &(Zxid, Bytes)>> {
        let from = self.window.partition_point(|(zxid, _)| *zxid <= after);
        let whole = self.committed <= after
            || !self.rules.hold(Rule::ContiguousWindow)
            || match self.window.get(from) {
                None => false,
                // The one in front of it is what the learner has, or the first was never missed.
                Some((first, _)) => {
                    first.0 == after.0 + 1 || (first.counter() == 1 && after >= base)
                }
            };
        whole.then(|| self.window.range(from..))
    }

    /// Who leads behind a reconfiguration that this leader does not survive: of those who vote in
    /// it and have logged it, one of those that have logged the most behind it.
    pub fn successor(&self, change: &Proposal, me: Sid) -> Option<Sid> {
        let voters = change.joint.newest().voters().iter().copied();
        let logged = |sid: &Sid| self.logged.get(sid).copied().unwrap_or_default();
        let mut candidates: BTreeSet<Sid> = voters
            .filter(|sid| *sid != me && logged(sid) >= change.zxid)
            .collect();
        for proposal in &self.queue {
            let rest: BTreeSet<Sid> = candidates
                .iter()
                .copied()
                .filter(|sid| logged(sid) >= proposal.zxid)
                .collect();
            if rest.is_empty() {
                break;
            }
            candidates = rest;
        }
        candidates.first().copied()
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec;

    use zk_wire::quorum::config::QuorumConfig;

    use super::*;
    use crate::quorum::Verifier;

    fn of(voters: &[i64]) -> Arc<Verifier> {
        let lines = voters
            .iter()
            .map(|sid| alloc::format!("server.{sid}=h{sid}:2888:3888:participant\n"))
            .collect::<alloc::string::String>();
        let config = QuorumConfig::parse(&lines, true);
        Arc::new(Verifier::of(&config.expect("a configuration")))
    }

    #[test]
    fn what_was_proposed_during_a_change_needs_the_new_quorums_only() {
        let (old, new) = (of(&[1, 6]), of(&[1]));
        let both = Arc::new(Joint::new(old, Some(new.clone())));
        let mut proposals = Proposals::new(Zxid::start_of(3), Rules::default());
        let zxid = |counter: i64| Zxid(Zxid::start_of(3).0 + counter);
        for counter in [1, 2] {
            proposals.push(Proposal {
                zxid: zxid(counter),
                payload: Bytes::new(),
                joint: both.clone(),
                change: None,
                time_ms: 0,
            });
        }
        proposals.ack(Sid(1), zxid(2));
        assert!(proposals.next_committed(None).is_none(), "6 votes still");
        proposals.ack(Sid(6), zxid(1));
        let mut committed = vec![];
        while let Some(proposal) = proposals.next_committed(None) {
            committed.push(proposal.zxid);
        }
        // The change is committed, and with it 6 has become an observer.
        assert_eq!(committed, [zxid(1)]);
        proposals.activate(&Arc::new(Joint::new(new, None)));
        let next = proposals.next_committed(None);
        assert_eq!(next.map(|proposal| proposal.zxid), Some(zxid(2)));
    }
}
