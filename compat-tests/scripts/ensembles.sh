#!/usr/bin/env bash
# Plays the stories of ensembles (compat-tests/src/ensemble).
#
#   ensembles.sh TOOLS           with Apache ZooKeeper alone: what the stories demand, it keeps
#   ensembles.sh TOOLS BINARY    with our server among Apache ZooKeeper's and alone
#
# TOOLS is the folder of the built tools. MEMBERS='J,J,Z' STORY=leader plays that one only.
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

[ $# -ge 1 ] || die "usage: ensembles.sh TOOLS [BINARY]"
tools="$1"
binary="${2:-}"
failed=0

# play STORY MEMBERS [ARG...]
play() {
    local story="$1" members="$2"
    shift 2
    [ "${STORY:-$story}" = "$story" ] && [ "${MEMBERS:-$members}" = "$members" ] || return 0
    [ -z "$binary" ] || set -- "$@" --zabkeeper "$binary"
    "$tools/ensemble" --story "$story" --members "$members" "$@" || failed=1
}

# The voter with the largest id leads at birth; story "follower" is about member 1, "leader" about the
# largest, "scripted" about member 1 as learner and members 1 and 2 as leaders.
if [ -z "$binary" ]; then
    play leader J,J,J
    play scripted J,J,J
    play rolling J,J,J
else
    play follower Z,J,J,Zo
    play leader J,J,Z
    play follower J,Z,Z,Jo
    play leader Z,Z,J
    play cuts J,Z,Z
    play cuts Z,Z,Z
    play five Z,J,Z,J,J,Jo
    play follower Z,J3.8.4,J3.8.4,Zo
    play leader J3.8.4,J3.8.4,Z
    play follower Z,J3.8.6,J3.8.6,Zo
    play leader J3.8.6,J3.8.6,Z
    play scripted Z,Z,Z
    play poison Z,J,Z
    play faults Z,Z,Z
    play masters J,Z,Z,Zo,Jo
    play oracle J,Z
    play grow Z,Z,J,Z,Z,Zo,Jo
    play rolling J,J,J --then Z,Z,Z
fi
exit "$failed"
