//! Who counts: whether a set of servers decides.
//!
//! Owns: majority and hierarchical (group and weight) quorums, and the joint rule while a
//! configuration is pending. Does not know: roles, links, what is being decided.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::sync::Arc;
use alloc::vec::Vec;

use zk_wire::quorum::config::{MemberRole, QuorumConfig};

use crate::ids::Sid;

/// The quorums of one configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verifier {
    version: i64,
    voters: BTreeSet<Sid>,
    hierarchy: Option<Hierarchy>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Hierarchy {
    group_of: BTreeMap<Sid, i64>,
    weight_of: BTreeMap<Sid, i64>,
    /// Weight of each group that has any.
    groups: BTreeMap<i64, i64>,
}

impl Verifier {
    /// The quorums of `config`.
    pub fn of(config: &QuorumConfig) -> Verifier {
        let voters: BTreeSet<Sid> = config
            .members
            .iter()
            .filter(|(_, member)| member.role == MemberRole::Participant)
            .map(|(sid, _)| Sid(*sid))
            .collect();
        let hierarchy = config.is_hierarchical().then(|| {
            let mut group_of = BTreeMap::new();
            let mut groups = BTreeMap::new();
            let mut weight_of = BTreeMap::new();
            for (gid, sids) in &config.groups {
                for sid in sids {
                    // A participant without a weight has 1.
                    let weight = config.weights.get(sid).copied();
                    let weight = weight.unwrap_or(i64::from(voters.contains(&Sid(*sid))));
                    group_of.insert(Sid(*sid), *gid);
                    weight_of.insert(Sid(*sid), weight);
                    let sum = groups.entry(*gid).or_insert(0_i64);
                    *sum = sum.saturating_add(weight);
                }
            }
            // A group without weight does not count. One without ids does, and is never won.
            groups.retain(|gid, weight| *weight != 0 || config.groups[gid].is_empty());
            Hierarchy {
                group_of,
                weight_of,
                groups,
            }
        });
        Verifier {
            version: config.version,
            voters,
            hierarchy,
        }
    }

    /// Version of the configuration.
    pub fn version(&self) -> i64 {
        self.version
    }

    /// Those who vote.
    pub fn voters(&self) -> &BTreeSet<Sid> {
        &self.voters
    }

    /// Weight of a server in an election: of weight 0 none becomes leader.
    pub fn weight(&self, sid: Sid) -> i64 {
        match &self.hierarchy {
            None => 1,
            Some(hierarchy) => hierarchy.weight_of.get(&sid).copied().unwrap_or(0),
        }
    }

    /// Whether these servers decide. Those that do not vote do not count.
    pub fn has_quorum(&self, acks: impl Fn(Sid) -> bool) -> bool {
        let acked = self.voters.iter().filter(|sid| acks(**sid));
        match &self.hierarchy {
            None => acked.count() > self.voters.len() / 2,
            Some(hierarchy) => {
                let mut sums: BTreeMap<i64, i64> = BTreeMap::new();
                for sid in acked {
                    if let Some(gid) = hierarchy.group_of.get(sid) {
                        let weight = hierarchy.weight_of.get(sid).copied().unwrap_or(0);
                        let sum = sums.entry(*gid).or_insert(0);
                        *sum = sum.saturating_add(weight);
                    }
                }
                let decided = hierarchy
                    .groups
                    .iter()
                    .filter(|(gid, weight)| sums.get(gid).copied().unwrap_or(0) > **weight / 2)
                    .count();
                decided > hierarchy.groups.len() / 2
            }
        }
    }
}

/// One configuration, or two while one is pending: a decision needs a quorum of each.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Joint(Vec<Arc<Verifier>>);

impl Joint {
    /// Of the committed configuration, and the pending one if there is one.
    pub fn new(committed: Arc<Verifier>, pending: Option<Arc<Verifier>>) -> Joint {
        let mut all = Vec::with_capacity(2);
        all.push(committed);
        all.extend(pending);
        Joint(all)
    }

    /// Whether these servers decide.
    pub fn has_quorum(&self, acks: impl Fn(Sid) -> bool) -> bool {
        self.0.iter().all(|verifier| verifier.has_quorum(&acks))
    }

    /// Whether these servers are a quorum of any of the configurations. Nothing is decided by that.
    pub fn has_either(&self, acks: impl Fn(Sid) -> bool) -> bool {
        self.0.iter().any(|verifier| verifier.has_quorum(&acks))
    }

    /// The newest of its configurations.
    pub fn newest(&self) -> &Arc<Verifier> {
        match self.0.last() {
            Some(newest) => newest,
            None => unreachable!("a joint quorum has at least one configuration"),
        }
    }

    /// Everybody who votes in any of them.
    pub fn voters(&self) -> BTreeSet<Sid> {
        let all = self.0.iter().flat_map(|verifier| verifier.voters().iter());
        all.copied().collect()
    }
}
