#!/usr/bin/env bash
# Compares zkCli's transcripts: zkcli-compare.sh A B, each a file with a transcript or a HOST:PORT to
# take one from. Prints the differences, then one line "N passed, N failed" (commands).
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

[ $# -eq 2 ] || die "usage: zkcli-compare.sh A B (each a file or HOST:PORT)"
work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT
for side in a b; do
    if [ -f "$1" ]; then cp "$1" "$work/$side"; else "$COMPAT_DIR/scripts/zkcli.sh" "$1" >"$work/$side"; fi
    shift
done
python3 - "$work/a" "$work/b" <<'PYTHON'
import difflib, sys

def blocks(path):
    """The transcript cut into commands: a list of (command, text)."""
    out = []
    for line in open(path, encoding="utf-8"):
        if line.startswith(("> ", "== ")) or not out:
            out.append([line, ""])
        out[-1][1] += line
    return out

a, b = blocks(sys.argv[1]), blocks(sys.argv[2])
if len(a) < 2 or [head for head, _ in a] != [head for head, _ in b]:
    print("the transcripts are of different command lists")
    print("0 passed, 1 failed")
    sys.exit(1)
failed = 0
for (_, left), (_, right) in zip(a, b):
    if left != right:
        failed += 1
        sys.stdout.writelines(difflib.unified_diff(left.splitlines(True), right.splitlines(True), n=20))
print(f"{len(a) - failed} passed, {failed} failed")
sys.exit(1 if failed else 0)
PYTHON
