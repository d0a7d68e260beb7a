#!/usr/bin/env bash
# Apache ZooKeeper 3.9.5 on nothing but this server's log, against this server on the same log: the
# same tree to the last byte, no digest that Java finds wrong, and then a differential run on top of it.
# Not told to trust it, Java refuses such a folder: it must never take it for an empty one.
#
#   java-reads-our-log.sh BINARY TOOLS FOLDER...
#
# TOOLS is the folder with compat-tests' programs logcheck and differential. Each FOLDER holds the log
# of one run from its first transaction on, as `differential --keep-data` keeps it; it is copied, not
# touched. Java's own log will do too, if Java has predicted every digest in it rightly.
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

[ $# -ge 3 ] || die "usage: java-reads-our-log.sh BINARY TOOLS FOLDER..."
binary="$1"
tools="$2"
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

# As the runner sets the servers that it starts: the log's sessions have ten minutes, so that their
# ephemeral nodes stay. The password is the one that both programs read everything with.
lines=("tickTime=200" "maxSessionTimeout=600000" "maxClientCnxns=0" "forceSync=no"
    "snapCount=100000000" "4lw.commands.whitelist=*" "admin.enableServer=false"
    "clientPortAddress=127.0.0.1")
settings="extended_types=true enforce_quota=false reconfig=false skip_acl=false force_sync=false tick_ms=200"
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
    "$tools/logcheck" trees "127.0.0.1:$java_port" "127.0.0.1:$ours_port" | grep -v ' passed, ' || rc=1
    if [ "$rc" -eq 0 ]; then
        "$tools/differential" --left "127.0.0.1:$ours_port" --right "127.0.0.1:$java_port" --loaded \
            --seed 2 --ops 2000 --settings "$settings" --scripts "$work" >"$work/run" 2>&1 ||
            { head -60 "$work/run" >&2; rc=1; }
        grep '^seed ' "$work/run" || rc=1
    fi
    stop
    return "$rc"
}

# Java without snapshot.trust.empty on the same log ends, and says why.
refuses() {
    local java="$work/refusing" rc=0
    mkdir -p "$java/data/version-2"
    cp "$1"/log.* "$java/data/version-2/"
    timeout 60 "$COMPAT_DIR/scripts/java-server.sh" "$java" "$(free_port)" -XX:TieredStopAtLevel=1 \
        "${flags[@]}" "${lines[@]}" >"$java/log" 2>&1 || rc=$?
    if [ "$rc" -eq 0 ] || [ "$rc" -eq 124 ] || ! grep -q 'No snapshot found, but there are log entries' "$java/log"; then
        tail -30 "$java/log" >&2
        say "Java did not refuse $1: exit code $rc"
        return 1
    fi
    printf '%s: refused by Java without snapshot.trust.empty\n' "$(basename "$1")"
}

passed=0
failed=0
refuses "$1" || failed=1
for folder in "$@"; do
    if one "$folder"; then passed=$((passed + 1)); else failed=$((failed + 1)); fi
    stop
done
printf '%d passed, %d failed\n' "$passed" "$failed"
[ "$failed" -eq 0 ]
