#!/usr/bin/env bash
# The C client library against a running server: c-client.sh [HOST:PORT] (or ZK_HOSTS)
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

take_hosts "$@"
binary="$ZABKEEPER_CACHE/c-client-$(checksum c)"
if [ ! -x "$binary" ]; then
    timeout 120 cc -std=gnu11 -O1 -Wall -Wextra -o "$binary.$$" "$COMPAT_DIR/c/client.c" \
        -lzookeeper_mt -lpthread || die "not built: run compat-tests/scripts/setup.sh"
    mv "$binary.$$" "$binary"
fi
# With one address the library has nowhere else to go, and takes a second before it comes back.
exec timeout 180 "$binary" "$HOST:$PORT"
