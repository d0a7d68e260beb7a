#!/usr/bin/env bash
# kazoo's own test suite against a running server: the tests that pass on Apache ZooKeeper 3.9.5.
#
#   kazoo-suite.sh [HOST:PORT] [pytest argument...]     (or ZK_HOSTS)
#
# Without further arguments it runs compat-tests/kazoo/passes-on-java.txt. Give test ids (such as
# test_lock.py::KazooLockTests::test_lock) to run others, "all" for the whole suite, or "record" to
# write that file anew (against Apache's server, for a new version of kazoo).
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

take_hosts "$@"
[ $# -eq 0 ] || shift
record=no
"$COMPAT_DIR/scripts/python-setup.sh"
python="$ZABKEEPER_CACHE/venv/bin/python"
tests="$("$python" -c 'import os, kazoo; print(os.path.join(os.path.dirname(kazoo.__file__), "tests"))')"

if [ $# -eq 0 ]; then
    mapfile -t ids < <(sed -e 's/#.*//' -e 's/[[:space:]]*$//' -e '/^$/d' "$COMPAT_DIR/kazoo/passes-on-java.txt")
    [ ${#ids[@]} -gt 0 ] || die "kazoo/passes-on-java.txt lists no test"
    set -- "${ids[@]}"
elif [ "$1" = all ]; then
    shift
    set -- . "$@"
elif [ "$1" = record ]; then
    set -- . -vv
    record=yes
fi
# Not in CI mode: there kazoo takes the server's version from the environment, and its own
# four-letter word is part of what is tested. Most tests wait rather than work, so they run side by
# side.
unset CI
report="$(mktemp)"
trap 'rm -f "$report"' EXIT

# run_pytest WORKERS ARG...: output to $report and to the terminal; sets rc, passed and failed.
run_pytest() {
    local workers="$1" summary
    shift
    rc=0
    (
        cd "$tests"
        ZK_HOSTS="$HOSTS" ZOOKEEPER_VERSION=3.9.5 PYTHONPATH="$COMPAT_DIR/kazoo" PYTHONDONTWRITEBYTECODE=1 \
            timeout 600 "$python" -m pytest -p external_server -p no:cacheprovider -q --no-header \
            --timeout 120 -n "$workers" --dist worksteal --durations 8 -rfEs --tb short "$@"
    ) | tee "$report" || rc=$?
    # pytest's last line has the counts, each with its word.
    summary="$(grep -E '(passed|failed|error|skipped|no tests ran).* in [0-9]' "$report" | tail -1)"
    passed="$(grep -oE '[0-9]+ passed' <<<"$summary" | cut -d' ' -f1 || true)"
    failed="$(grep -oE '[0-9]+ (failed|error)' <<<"$summary" | cut -d' ' -f1 | paste -sd+ - || true)"
    passed=$((${passed:-0}))
    failed=$((${failed:-0}))
}

run_pytest "${KAZOO_WORKERS:-6}" "$@"
if [ "$record" = yes ]; then
    {
        printf '%s\n' "# The tests of kazoo's own suite that pass on Apache ZooKeeper 3.9.5, standalone. Written by" \
            "# kazoo-suite.sh record; what is missing here is explained in left-out.txt."
        grep -oE 'PASSED test_[^ ]+' "$report" | cut -d' ' -f2 | LC_ALL=C sort
    } >"$COMPAT_DIR/kazoo/passes-on-java.txt"
    # Every other test must be named, or begin with a name, in left-out.txt.
    unexplained="$(grep -oE '(FAILED|ERROR|SKIPPED) test_[^ ]+' "$report" | cut -d' ' -f2 | sort -u |
        grep -vFf <(sed -n 's/^\(test_[^ ]*\) .*/\1/p' "$COMPAT_DIR/kazoo/left-out.txt") || true)"
    [ -z "$unexplained" ] || die "neither passed nor left out with a reason: $unexplained"
    exit 0
fi
if [ "$failed" -gt 0 ] && [ "$failed" -le 5 ]; then
    # Many of these tests measure time, and the machine may have been busy: those that failed get one
    # more chance, alone, and are named.
    mapfile -t again < <(grep -oE '^(FAILED|ERROR) test_[^ ]+' "$report" | cut -d' ' -f2 | sort -u)
    say "kazoo-suite: once more, one at a time: ${again[*]}"
    before=$passed
    run_pytest 0 "${again[@]}"
    passed=$((before + passed))
fi
printf '%s passed, %s failed\n' "$passed" "$failed"
[ "$rc" -eq 0 ] && [ "$passed" -gt 0 ]
