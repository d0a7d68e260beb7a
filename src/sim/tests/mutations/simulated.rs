//! Ensembles from seeds, of bare servers and of whole ones.

use zk_sim::cluster::mutations::plan;
use zk_sim::cluster::run;
use zk_zab::rules::Rule;

/// Seeds of each kind that are tried until one fails.
const SEEDS: u64 = 120;

/// One of the first seeds fails without a rule and says one of these; with the rule it passes. So
/// it is with even seeds, of bare servers, and with odd ones, of whole servers. (What else goes
/// wrong without a rule, and where it is noticed first, is another seed's affair.)
fn matters(rule: Rule, says: &[&str]) {
    for parity in [0, 1] {
        let mut seeds = (0..SEEDS).map(|n| 2 * n + parity);
        let found = seeds.find_map(|seed| {
            let failure = run(plan(rule, seed, false), 0).failure?;
            println!("{rule:?}: seed {seed}: {failure}");
            let expected = says.iter().any(|text| failure.contains(text));
            expected.then_some(seed)
        });
        let Some(seed) = found else {
            panic!("{rule:?}: of {SEEDS} seeds none fails without it as expected");
        };
        let with = run(plan(rule, seed, true), zk_sim::limits::TAIL);
        assert!(with.failure.is_none(), "{rule:?}: {}", with.report());
    }
}

#[test]
fn a_counter_that_is_used_up() {
    matters(Rule::StepDownAtRollover, &["proposed in phase"]);
}

#[test]
fn the_epoch_of_a_vote_behind_a_synchronisation() {
    matters(Rule::UpdatePeerEpoch, &["does not come to rest"]);
}

#[test]
fn a_difference_that_has_not_come() {
    matters(Rule::ClaimOnlyLogged, &["durable is"]);
}

#[test]
fn half_a_snapshot_under_the_next() {
    matters(Rule::DropHalfSnap, &["without a snapshot"]);
}

#[test]
fn a_history_with_a_hole() {
    matters(Rule::ContiguousLog, &["some are missing", "forked"]);
}

#[test]
fn a_vote_ahead_of_the_disk() {
    matters(Rule::DrainBeforeVote, &["votes with a log"]);
}

#[test]
fn an_old_log_under_a_snapshot() {
    let says = [
        "some are missing",
        "but durable is",
        "forked",
        "that ends at",
        // The log ends below the tree.
        "Marks { history_end",
    ];
    matters(Rule::DiscardLogAfterSnap, &says);
}

#[test]
fn new_leader_ahead_of_the_window() {
    let says = ["some are missing", "which was not proposed", "is next"];
    matters(Rule::NewLeaderAfterWindow, &says);
}

#[test]
fn an_acknowledgement_ahead_of_the_disk() {
    matters(Rule::FlushBeforeNewLeaderAck, &["but currentEpoch is"]);
}

#[test]
fn an_epoch_ahead_of_its_history() {
    matters(Rule::EpochAfterData, &["whose history ends at"]);
}

#[test]
fn a_transaction_acknowledged_ahead_of_new_leader() {
    let says = ["NEWLEADER is not acknowledged yet"];
    matters(Rule::NewLeaderAckFirst, &says);
}

#[test]
fn proposals_without_a_commit_at_new_leader() {
    let says = ["which was not proposed", "is next"];
    matters(Rule::KeepUncommitted, &says);
}

#[test]
fn commits_before_up_to_date() {
    let says = [
        "is applied, and durable on",
        "forked",
        "cut behind",
        "is committed here",
    ];
    matters(Rule::ApplyFromUpToDate, &says);
}

#[test]
fn a_leaders_own_word_ahead_of_its_disk() {
    matters(Rule::OwnAckAfterFsync, &["is applied, and durable on"]);
}

#[test]
fn servers_that_do_not_vote() {
    matters(Rule::OnlyVotersCount, &["is applied, and durable on"]);
}

#[test]
fn a_promise_ahead_of_the_disk() {
    matters(Rule::AcceptedEpochBeforeAck, &["acceptedEpoch is"]);
}

#[test]
fn a_learner_told_more_than_is_committed() {
    matters(Rule::SyncUpToCommitted, &["is applied, and durable on"]);
}

#[test]
fn one_zxid_twice() {
    matters(Rule::OneZxidOneTxn, &["some are missing"]);
}
