#!/usr/bin/env bash
# Raw-socket suite against a running server: raw.sh [--poison] [--only WORD] HOST:PORT
# (--poison: not against Apache's server, which some of those inputs stop for good)
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

cd "$COMPAT_DIR/raw"
PYTHONDONTWRITEBYTECODE=1 exec timeout 180 python3 suite.py "$@"
