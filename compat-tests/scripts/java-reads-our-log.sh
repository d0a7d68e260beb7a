#!/usr/bin/env bash
# Apache ZooKeeper 3.9.5 on nothing but this server's log, against this server on the same log: the
# same tree to the last byte, and no digest that Java finds wrong.
#
#   java-reads-our-log.sh BINARY LOGCHECK FOLDER...
#
# LOGCHECK is compat-tests' tool of that name. Each FOLDER holds the log of one run from its first
# transaction on, as `differential --keep-data` keeps it; it is copied, not touched.
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

[ $# -ge 3 ] || die "usage: java-reads-our-log.sh BINARY LOGCHECK FOLDER..."
binary="$1"
logcheck="$2"
shift 2

"$COMPAT_DIR/scripts/java-setup.sh"
work="$(mktemp -d "${TMPDIR:-/tmp}/zabkeeper-logs.XXXXXX")"
servers=()
stop() {
    for server in ${servers[@]+"${servers[@]}"}; do
        kill "$server" 2>/dev/null || true
        wait "$server" 2>/dev/null || true
    done
    servers=()
}
trap 'stop; rm -rf "$work"' EXIT

# A tick of eleven days: no session of the log expires, so its ephemeral nodes stay. The password is
# the one that logcheck reads the trees with.
lines=("tickTime=1000000000" "minSessionTimeout=1000" "maxSessionTimeout=60000" "maxClientCnxns=0"
    "4lw.commands.whitelist=*" "admin.enableServer=false" "clientPortAddress=127.0.0.1")
flags=("-Dzookeeper.extendedTypesEnabled=true" "-Dznode.container.checkIntervalMs=100000000"
    "-Dzookeeper.DigestAuthenticationProvider.superDigest=super:lK75jTNcA+U9vtVEw5vB51mj/w4=")

one() {
    local from="$1" ours="$work/ours" java="$work/java" ours_port java_port rc=0
    rm -rf "$ours" "$java"
    for dir in "$ours" "$java"; do
        mkdir -p "$dir/data/version-2"
        cp "$from"/log.* "$dir/data/version-2/"
    done
    java_port="$(free_port)"
    "$COMPAT_DIR/scripts/java-server.sh" "$java" "$java_port" -Dzookeeper.snapshot.trust.empty=true \
        -XX:TieredStopAtLevel=1 "${flags[@]}" "${lines[@]}" >"$java/log" 2>&1 &
    servers+=($!)
    wait_serving 127.0.0.1 "$java_port" 60 || { tail -30 "$java/log" >&2; return 1; }
    ours_port="$(free_port)"
    printf '%s\n' "clientPort=$ours_port" "dataDir=$ours/data" "${lines[@]}" >"$ours/zoo.cfg"
    "$binary" serve "${flags[@]}" "$ours/zoo.cfg" >"$ours/log" 2>&1 &
    servers+=($!)
    wait_serving 127.0.0.1 "$ours_port" 60 || { tail -30 "$ours/log" >&2; return 1; }
    printf '%s: ' "$(basename "$from")"
    "$logcheck" trees "127.0.0.1:$java_port" "127.0.0.1:$ours_port" | grep -v ' passed, ' || rc=1
    stop
    return "$rc"
}

passed=0
failed=0
for folder in "$@"; do
    if one "$folder"; then passed=$((passed + 1)); else failed=$((failed + 1)); fi
    stop
done
printf '%d passed, %d failed\n' "$passed" "$failed"
[ "$failed" -eq 0 ]
