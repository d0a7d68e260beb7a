#!/usr/bin/env bash
# All foreign clients against one kind of server, each suite on a server that is started for it:
#
#   clients.sh java               Apache ZooKeeper 3.9.5: the suites' own check
#   clients.sh /path/zabkeeper    our server, the raw suite with its poison inputs; zkCli's transcript
#                                 is compared with one taken from Apache's server in the same run
#
# A suite's output is shown when it fails; its summary and wall time always. CLIENTS="go rust" runs
# only those. The last line is "N passed, N failed" over all of them.
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

[ $# -eq 1 ] || die "usage: clients.sh {java|BINARY}"
kind="$1"
here="$COMPAT_DIR/scripts"
work="$(mktemp -d "${TMPDIR:-/tmp}/zabkeeper-clients.XXXXXX")"
trap 'rm -rf "$work"' EXIT
poison=(--poison)
[ "$kind" != java ] || poison=()

"$here/setup.sh"
"$here/java-setup.sh"
"$here/python-setup.sh"

on_server() { "$here/with-server.sh" "$kind" "$@"; }

zkcli_pair() {
    "$here/with-server.sh" java "$here/zkcli.sh" >"$work/zkcli.java" || return 1
    on_server "$here/zkcli.sh" >"$work/zkcli.ours" || return 1
    "$here/zkcli-compare.sh" "$work/zkcli.java" "$work/zkcli.ours"
}

# suite NAME COMMAND...: runs it, keeps its output, says how it went.
suite() {
    local name="$1" begun=$SECONDS rc=0 summary
    shift
    case " ${CLIENTS:-$name} " in *" $name "*) ;; *) return 0 ;; esac
    "$@" >"$work/$name.out" 2>&1 || rc=$?
    # The suite's own last word: other lines of that form are pytest's.
    summary="$(grep -E '^[0-9]+ passed, [0-9]+ failed$' "$work/$name.out" | tail -1 || true)"
    if [ -z "$summary" ]; then
        summary="0 passed, 1 failed"
    elif [ "$rc" -ne 0 ] && [ "${summary#* passed, }" = "0 failed" ]; then
        summary="${summary%% *} passed, 1 failed"
    fi
    printf '%s\n' "$summary" >"$work/$name.summary"
    if [ "$rc" -ne 0 ]; then sed "s/^/$name | /" "$work/$name.out"; fi
    printf '%-12s %4d s  %s\n' "$name" $((SECONDS - begun)) "$summary"
}

# Two lanes, since most suites wait more than they work. zkCli's and the raw suite's servers are their
# own, for they count zxids.
lane_one() {
    suite kazoo-suite on_server "$here/kazoo-suite.sh"
    suite zkcli zkcli_pair
}
lane_two() {
    suite limits "$here/limits.sh" "$kind"
    suite raw on_server "$here/raw.sh" ${poison[@]+"${poison[@]}"}
    suite java-client on_server "$here/java-client.sh"
    suite curator on_server "$here/curator.sh"
    suite kazoo on_server "$here/kazoo.sh"
    suite c on_server "$here/c-client.sh"
    suite go on_server "$here/go-client.sh"
    suite rust on_server "$here/rust-client.sh"
}
lane_one &
one=$!
lane_two
wait "$one"

awk -F'[ ,]+' '{ passed += $1; failed += $3 } END {
    printf "%d passed, %d failed\n", passed, failed
    exit !(failed == 0 && passed > 0)
}' "$work"/*.summary
