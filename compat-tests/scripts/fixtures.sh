#!/usr/bin/env bash
# Writes the golden bytes of fixtures/ anew with ZooKeeper's own classes.
#
#   fixtures.sh            replaces them
#   fixtures.sh --check    writes them elsewhere and fails if they differ from those here
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

fixtures="$COMPAT_DIR/../fixtures"

generate() {
    # An empty hosts file in the place of DNS: no name resolves, at once.
    java -Dfile.encoding=UTF-8 -Djdk.net.hosts.file=/dev/null -cp "$(java_classpath)" zabkeeper.compat.Fixtures "$1" >"$2" 2>&1 ||
        { cat "$2" >&2; die "the generator failed"; }
    tail -n 1 "$2"
}

work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT
case "${1:-}" in
"") generate "$fixtures" "$work/log" ;;
--check)
    generate "$work/fixtures" "$work/log"
    # Format by format: fixtures/ holds others too, which come from elsewhere.
    for format in "$work"/fixtures/*; do
        diff -r "$format" "$fixtures/$(basename "$format")" ||
            die "fixtures/$(basename "$format") differs from what Java writes"
    done
    ;;
*) die "usage: fixtures.sh [--check]" ;;
esac
