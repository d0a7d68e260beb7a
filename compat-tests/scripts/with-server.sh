#!/usr/bin/env bash
# Starts one server on a free port of 127.0.0.1, runs a command with HOST:PORT as its last argument,
# stops the server, and exits as the command did.
#
#   with-server.sh java            COMMAND [ARG...]   Apache ZooKeeper 3.9.5
#   with-server.sh /path/zabkeeper COMMAND [ARG...]   our server
#
# The server gets scripts/suite-server-args, then the lines of $SERVER_ARGS. Its log and data are in a
# temporary folder, which is kept (and named) when the command fails.
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

[ $# -ge 2 ] || die "usage: with-server.sh {java|BINARY} COMMAND [ARG...]"
kind="$1"
shift

dir="$(mktemp -d "${TMPDIR:-/tmp}/zabkeeper-suite.XXXXXX")"
port="$(free_port)"
mapfile -t args < <(grep -v '^#' "$COMPAT_DIR/scripts/suite-server-args")
while read -r line; do [ -z "$line" ] || args+=("$line"); done <<<"${SERVER_ARGS:-}"

if [ "$kind" = java ]; then
    "$COMPAT_DIR/scripts/java-setup.sh"
    "$COMPAT_DIR/scripts/java-server.sh" "$dir" "$port" "${args[@]}" >"$dir/log" 2>&1 &
else
    flags=()
    {
        printf '%s\n' "clientPort=$port" "clientPortAddress=127.0.0.1" "dataDir=$dir/data" \
            "4lw.commands.whitelist=*" "admin.enableServer=false" "maxClientCnxns=0"
        for arg in "${args[@]}"; do
            case "$arg" in
            -*) flags+=("$arg") ;;
            *) printf '%s\n' "$arg" ;;
            esac
        done
    } >"$dir/zoo.cfg"
    mkdir -p "$dir/data"
    "$kind" serve ${flags[@]+"${flags[@]}"} "$dir/zoo.cfg" >"$dir/log" 2>&1 &
fi
server=$!

stop() {
    kill "$server" 2>/dev/null || true
    wait "$server" 2>/dev/null || true
}
trap stop EXIT

wait_serving 127.0.0.1 "$port" 60 || {
    tail -50 "$dir/log" >&2
    die "the server did not start; its folder is $dir"
}

rc=0
"$@" "127.0.0.1:$port" || rc=$?
kill -0 "$server" 2>/dev/null || {
    say "with-server: the server has stopped during the run"
    [ "$rc" -ne 0 ] || rc=1
}
stop
trap - EXIT
if [ "$rc" -eq 0 ]; then rm -rf "$dir"; else say "with-server: the server's log: $dir/log"; fi
exit "$rc"
