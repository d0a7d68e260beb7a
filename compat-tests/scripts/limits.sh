#!/usr/bin/env bash
# Limits and settings as a client meets them, each on a server started for it:
#   limits.sh {java|BINARY} [--only WORD]
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

"$COMPAT_DIR/scripts/java-setup.sh"
PYTHONDONTWRITEBYTECODE=1 exec timeout 400 python3 "$COMPAT_DIR/raw/limits.py" "$@"
