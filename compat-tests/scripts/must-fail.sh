#!/usr/bin/env bash
# Passes when a check fails, to prove that it can: must-fail.sh COMMAND [ARG...]
#
# Only exit code 1, with which a check says no, counts: not a usage error, a crash or a signal.
set -uo pipefail
out="$("$@" 2>&1)"
rc=$?
if [ $rc -ne 1 ]; then
    printf '%s\n' "$out" | tail -40
    printf 'exit code %d where it must be 1: %s\n' $rc "$*"
    exit 1
fi
printf '%s\n' "$out" | tail -1
printf 'failed as it must: %s\n' "$*"
