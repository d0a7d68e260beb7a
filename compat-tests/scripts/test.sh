#!/usr/bin/env bash
# The stages of the tests, each with its wall time: test.sh [test|check|soak]. Called by make, which
# has set the folders and installed the packages.
#
# Every stage runs, and the failed ones are named at the end. `soak` runs more rounds of the same code.
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

mode="${1:-test}"
root="$(cd "$COMPAT_DIR/.." && pwd)"
cd "$root"
: "${CARGO_TARGET_DIR:?call it through make}"
scripts="$COMPAT_DIR/scripts"
binary="$CARGO_TARGET_DIR/release/zabkeeper"
tools="$CARGO_TARGET_DIR/release"
work="$(mktemp -d "${TMPDIR:-/tmp}/zabkeeper-test.XXXXXX")"
trap 'rm -rf "$work"' EXIT
begun=$SECONDS
failed=()

# STAGES='fuzz|zkCli' runs only the stages whose name matches.
stage() {
    [[ "$1" =~ ${STAGES:-.} ]] || return 0
    "$scripts/stage.sh" "$@" && return 0
    failed+=("$1")
    # Without a build there is nothing to test; any other stage says nothing about the next.
    [ "$1" != build ] || finish
}

finish() {
    if [ ${#failed[@]} -gt 0 ]; then
        printf '== failed: %s\n' "${failed[@]}"
        printf '== %d of the stages failed, after %d s\n' ${#failed[@]} $((SECONDS - begun))
        exit 1
    fi
    printf '== all stages passed in %d s\n' $((SECONDS - begun))
    exit 0
}

light=(-p jute -p zk-wire -p zk-zab -p zk-core -p zk-ops -p zk-disk -p zk-sim -p zk-bench -p compat-tests)

stage 'format' cargo fmt --all --check
[ "$mode" = check ] || stage 'rocksdb' make --no-print-directory rocksdb
stage 'unit tests' cargo test --locked -q "${light[@]}"
stage 'build' cargo build --release --locked --workspace --bins
stage 'lint' cargo clippy --release --locked --workspace --all-targets -- -D warnings
stage 'server tests' cargo test --release --locked -q -p zabkeeper
stage 'java' "$scripts/java-setup.sh"

if [ "$mode" = check ]; then
    stage 'differential' "$tools/differential" --scripts "$work" --start-zabkeeper "$binary" --start-java \
        --seed 1 --rounds 1 --ops 1000 --minimise false
    finish
fi

stage 'store tests' cargo test --release --locked -q -p zk-disk --features rocksdb
stage 'documentation' env RUSTDOCFLAGS='-D warnings -A rustdoc::private_intra_doc_links' cargo doc --release --locked --workspace --no-deps -q
stage 'licences' "$scripts/deny.sh"
stage 'fixtures' "$scripts/fixtures.sh" --check

case "$mode" in
soak)
    seeds=20000 differential_rounds=100 crash_rounds=300 fuzz_seconds=120 free_rounds=20 mixes=all
    ;;
*)
    seeds=2000 differential_rounds=20 crash_rounds=20 fuzz_seconds=10 free_rounds=2 mixes=
    ;;
esac

stage 'fuzz' "$scripts/fuzz.sh" "$fuzz_seconds"
stage 'simulator' "$tools/sim" --seeds "0..$seeds" --require-coverage --threads 2
stage 'simulator: ensembles' "$tools/sim" --cluster --seeds "0..$seeds" --require-coverage --threads 2
stage 'simulator: each rule matters' cargo test --release --locked -q -p zk-sim --features mutations --test mutations
stage 'simulator: a server without fsync' "$scripts/must-fail.sh" "$tools/sim" --seeds 0..20 --no-fsync
stage 'differential' "$tools/differential" --scripts "$work" --start-zabkeeper "$binary" --start-java \
    --seed 1 --rounds "$differential_rounds" --ops 5000 --minimise-seconds 120 --keep-data "$work/kept"
# With an odd seed Java may predict a digest wrongly, which its log then shows.
stage 'differential: logs by Java, read here' "$tools/logcheck" replay "$work"/kept/*[02468]-right-java
stage 'differential: our logs, read by Java' "$scripts/java-reads-our-log.sh" "$binary" "$tools" \
    "$work"/kept/[1-4]-left-zabkeeper
stage 'free interleaving' "$tools/differential" --scripts "$work" --mode free --start-zabkeeper "$binary" \
    --seed 1 --rounds "$free_rounds" --ops 50000
stage 'kill -9, faults and damage' "$tools/crash" --zabkeeper "$binary" --rounds "$crash_rounds"
stage 'ensembles' "$scripts/ensembles.sh" "$tools" "$binary" "$mixes"
stage 'foreign clients' "$scripts/clients.sh" "$binary"
stage 'load generator' "$root/benches/compare" --quick --only get,create,tree --zabkeeper "$binary"
finish
