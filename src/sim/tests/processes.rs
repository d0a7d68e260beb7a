//! A seed says everything: what differs from one process to the next, such as addresses and the
//! seeds of hash tables, does not show.

use std::process::Command;

fn trace(seed: &str) -> Vec<u8> {
    let out = Command::new(env!("CARGO_BIN_EXE_sim"))
        .args(["--seed", seed])
        .env_remove("SEED")
        .output()
        .expect("the simulator runs");
    assert!(out.status.success(), "seed {seed}: {:?}", out.status);
    out.stdout
}

#[test]
fn the_same_seed_is_the_same_trace_in_another_process() {
    let mut seen = Vec::new();
    for seed in ["3", "104", "1009"] {
        let first = trace(seed);
        let lines = first.iter().filter(|b| **b == b'\n').count();
        assert!(lines > 100, "seed {seed}: only {lines} lines");
        assert!(
            first == trace(seed),
            "seed {seed}: two processes, two traces"
        );
        assert!(
            !seen.contains(&first),
            "seed {seed} is the trace of another"
        );
        seen.push(first);
    }
}

#[test]
fn a_server_without_fsync_makes_the_program_fail() {
    let out = Command::new(env!("CARGO_BIN_EXE_sim"))
        .args(["--seeds", "0..20", "--no-fsync", "--failures", "2"])
        .env_remove("SEED")
        .output()
        .expect("the simulator runs");
    assert_eq!(out.status.code(), Some(1));
}
