//! Ensembles from seeds: a modest number of them here, many with `sim --cluster`.

use zk_sim::cluster::coverage::Coverage;
use zk_sim::cluster::run_seed;

const SEEDS: u64 = 25;

#[test]
fn ensembles_pass() {
    let mut coverage = Coverage::default();
    for seed in 0..SEEDS {
        let run = run_seed(seed, zk_sim::limits::TAIL);
        assert!(run.failure.is_none(), "{}", run.report());
        assert!(run.counts, "seed {seed} has done too little to count");
        coverage.add_run(&run.coverage);
    }
    // Nearly everything is met by these few already.
    let missing = coverage.below(1);
    assert!(missing.len() <= 5, "never met: {missing:?}\n{coverage}");
}

#[test]
fn the_same_seed_is_the_same_ensemble() {
    let mut hashes = std::collections::BTreeSet::new();
    for seed in 100..104 {
        let first = run_seed(seed, usize::MAX);
        let second = run_seed(seed, usize::MAX);
        assert_eq!(first.tail, second.tail, "seed {seed}");
        assert_eq!(first.hash, second.hash, "seed {seed}");
        hashes.insert(first.hash);
    }
    assert_eq!(hashes.len(), 4, "different seeds are different runs");
}
