#!/usr/bin/env bash
# The go-zookeeper/zk client against a running server: go-client.sh [HOST:PORT] (or ZK_HOSTS)
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

take_hosts "$@"
binary="$ZABKEEPER_CACHE/go-client-$(checksum go)"
if [ ! -x "$binary" ]; then
    (cd "$COMPAT_DIR/go" && timeout 300 go build -o "$binary.$$" .) ||
        die "not built: run compat-tests/scripts/setup.sh"
    mv "$binary.$$" "$binary"
fi
exec timeout 180 "$binary" "$HOST:$PORT"
