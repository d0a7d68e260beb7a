#!/usr/bin/env bash
# Licences, bans and sources of every dependency, by cargo-deny, which is built once if missing.
# With arguments: these checks instead (`deny.sh advisories` needs the network).
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

cd "$COMPAT_DIR/.."
version=0.20.2
bin="$ZABKEEPER_CACHE/bin"
deny="$(command -v cargo-deny || true)"
if [ -z "$deny" ]; then
    deny="$bin/bin/cargo-deny"
    [ -x "$deny" ] || CARGO_TARGET_DIR="$ZABKEEPER_CACHE/target-tools" \
        cargo install -q cargo-deny --version "$version" --locked --root "$bin"
fi
exec "$deny" check "${@:-licenses}" $([ $# -gt 0 ] || echo bans sources)
