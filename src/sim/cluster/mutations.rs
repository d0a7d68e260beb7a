//! For each rule of the quorum layer ensembles in which it matters, with the rule and without: of
//! nodes without a tree, and of whole servers.
//!
//! Some rules are about what other servers do and this one does not, or about what takes more than
//! a simulated ensemble has: they are tried by hand, and here with the rule only.

use std::collections::BTreeMap;

use zk_zab::Settings;
use zk_zab::rules::{Rule, Rules};

use super::plan::{Plan, ensemble};

/// The plan in which a rule is tried with this seed; with the rule, or without it. As in any plan,
/// the servers of odd seeds are whole.
pub fn plan(rule: Rule, seed: u64, holds: bool) -> Plan {
    let mut plan = Plan::new(seed);
    let off = |rule| Rules { off: Some(rule) };
    let mut without: BTreeMap<i64, Rules> = plan
        .servers()
        .into_iter()
        .map(|sid| (sid, off(rule)))
        .collect();
    match rule {
        Rule::StepDownAtRollover => plan.counter_max = 20 + (seed % 50) as u32,
        Rule::UpdatePeerEpoch => {
            // One server is as all were before.
            plan.config = ensemble(3, 0);
            plan.outside.retain(|sid| *sid > 3);
            plan.reconfigs = 0;
            without.retain(|sid, _| *sid == 3);
        }
        Rule::OnlyVotersCount => {
            plan.config = ensemble(3, 0);
            plan.reconfigs = 0;
            plan.outside = vec![4, 5];
            without = (1..=5).map(|sid| (sid, off(rule))).collect();
        }
        Rule::OneZxidOneTxn => {
            plan.window = 3;
            plan.settings.force_snap = true;
        }
        Rule::EpochAfterData | Rule::DiscardLogAfterSnap => {
            plan.settings = Settings {
                snap_factor: -1.0,
                commit_log_count: 1,
                ..plan.settings
            };
        }
        Rule::DropHalfSnap => {
            plan.settings.force_snap = true;
            plan.weights.reset = 20;
        }
        Rule::ClaimOnlyLogged => {
            // Differences that take long, and are broken off.
            plan.settings.force_snap = false;
            plan.settings.snap_factor = 0.0;
            plan.read.least = plan.net.most;
            plan.read.most = 4 * plan.net.most;
            plan.weights.reset = 60;
        }
        Rule::CompareEstablishedByLeader
        | Rule::SameRoundByLeader
        | Rule::NoBareCheck
        | Rule::HoldCommits
        | Rule::ContiguousWindow
        | Rule::RefuseGaps
        | Rule::CutAtOnce
        | Rule::NeverCutCommitted
        | Rule::EpochStartIsNoTxn
        | Rule::TolerateEarlyAcks
        | Rule::ContiguousLog
        | Rule::DrainBeforeVote
        | Rule::NewLeaderAfterWindow
        | Rule::FlushBeforeNewLeaderAck
        | Rule::NewLeaderAckFirst
        | Rule::KeepUncommitted
        | Rule::ApplyFromUpToDate
        | Rule::OwnAckAfterFsync
        | Rule::AcceptedEpochBeforeAck
        | Rule::SyncUpToCommitted => {}
    }
    if !holds {
        plan.rules.extend(without);
    }
    plan
}
