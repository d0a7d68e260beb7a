#!/usr/bin/env bash
# Runs one stage of the tests and prints its wall time: stage.sh NAME COMMAND [ARG...]
set -uo pipefail
name="$1"
shift
printf '== %s\n' "$name"
start=$SECONDS
"$@"
rc=$?
printf '== %s: %d s%s\n' "$name" $((SECONDS - start)) "$([ $rc -eq 0 ] || echo " FAILED ($rc)")"
exit $rc
