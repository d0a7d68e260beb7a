#!/usr/bin/env bash
# What programs do with kazoo, against a running server: kazoo.sh [HOST:PORT] (or ZK_HOSTS)
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

take_hosts "$@"
"$COMPAT_DIR/scripts/python-setup.sh"
PYTHONDONTWRITEBYTECODE=1 exec timeout 180 "$ZABKEEPER_CACHE/venv/bin/python" "$COMPAT_DIR/kazoo/common_use.py" "$HOSTS"
