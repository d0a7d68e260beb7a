#!/usr/bin/env bash
# Makes the virtual environment $ZABKEEPER_CACHE/venv with kazoo and pytest, versions pinned in
# compat-tests/kazoo/requirements.txt. Does nothing when it is there already.
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

VENV="$ZABKEEPER_CACHE/venv"
sum="$(checksum kazoo/requirements.txt)-$(python3 -c 'import sys; print("%d.%d" % sys.version_info[:2])')"

warm() { [ "$(cat "$VENV/stamp" 2>/dev/null)" = "$sum" ] && "$VENV/bin/python" -c ''; }

setup() {
    if warm; then return; fi
    python3 -c 'import ensurepip, venv' || die "python3-venv is missing: run compat-tests/scripts/setup.sh"
    say "python-setup: kazoo and pytest into $VENV"
    rm -rf "$VENV"
    python3 -m venv "$VENV"
    timeout 300 "$VENV/bin/pip" install -q --disable-pip-version-check -r "$COMPAT_DIR/kazoo/requirements.txt" >&2
    printf '%s\n' "$sum" >"$VENV/stamp"
}

if warm 2>/dev/null; then exit 0; fi
with_lock python-setup setup
