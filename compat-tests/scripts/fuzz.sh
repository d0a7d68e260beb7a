#!/usr/bin/env bash
# Runs every fuzz target, on the stable toolchain and without sanitizers: first over the inputs
# that it begins with, then for some seconds more.
#
#   fuzz.sh [SECONDS [TARGET...]]    default: 10 seconds each, all targets
#
# Targets and their first inputs are in the file `targets` of each fuzz folder. What a run finds
# new is kept in the cache, not in the project; a failing input is named at the end, and belongs
# into the `seeds` of its target.
set -euo pipefail

root="$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)"
cache="${ZABKEEPER_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/zabkeeper}"
seconds="${1:-10}"
[ $# -eq 0 ] || shift
# 16 KiB hold every input of the beginning; longer ones only make runs slower.
limits=(-max_len=16384 -rss_limit_mb=1024 -timeout=20 -verbosity=0 -print_final_stats=1)

command -v cargo-fuzz >/dev/null || cargo install cargo-fuzz --version 0.13.2 --locked

target_dir="$cache/target-fuzz"
log="$(mktemp)"
trap 'rm -f "$log"' EXIT
failed=()
for folder in "$root"/*/fuzz "$root"/src/*/fuzz; do
    [ -f "$folder/targets" ] || continue
    diff <(grep -v '^#' "$folder/targets" | cut -d ' ' -f 1 | sort) \
        <(cargo fuzz list --fuzz-dir "$folder" | sort) ||
        { echo "fuzz.sh: $folder/targets does not name the targets that there are" >&2; exit 1; }
    room="$(basename "$(dirname "$folder")")"
    cargo fuzz build -s none --fuzz-dir "$folder" --target-dir "$target_dir"
    while read -r target inputs; do
        if [ $# -gt 0 ] && [[ " $* " != *" $target "* ]]; then continue; fi
        corpus="$cache/fuzz/$room/$target"
        mkdir -p "$corpus"
        first=()
        for input in $inputs; do first+=("$root/$input"); done
        if cargo fuzz run -s none --fuzz-dir "$folder" --target-dir "$target_dir" "$target" \
            "$corpus" ${first[@]+"${first[@]}"} -- "-max_total_time=$seconds" "${limits[@]}" \
            >"$log" 2>&1; then
            echo "fuzz $room/$target: $(sed -n 's/^stat::number_of_executed_units: *//p' "$log") inputs"
        else
            cat "$log" >&2
            failed+=("$room/$target")
        fi
    done < <(grep -v '^#' "$folder/targets")
done
[ ${#failed[@]} -eq 0 ] || { printf 'fuzz.sh: failed: %s\n' "${failed[@]}" >&2; exit 1; }
