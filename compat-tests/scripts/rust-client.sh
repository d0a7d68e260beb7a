#!/usr/bin/env bash
# The zookeeper-client crate against a running server: rust-client.sh [HOST:PORT] (or ZK_HOSTS)
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

take_hosts "$@"
target="$ZABKEEPER_CACHE/rust-client"
timeout 900 cargo build --quiet --locked --manifest-path "$COMPAT_DIR/rust-client/Cargo.toml" --target-dir "$target" ||
    die "not built"
exec timeout 240 "$target/debug/zabkeeper-compat-rust-client" "$HOST:$PORT"
