#!/usr/bin/env bash
# Plays the stories of ensembles (compat-tests/src/ensemble).
#
#   ensembles.sh TOOLS           with Apache ZooKeeper alone: what the stories demand, it keeps
#   ensembles.sh TOOLS BINARY    with our server among Apache ZooKeeper's and alone
#   ensembles.sh TOOLS BINARY all   the same, and then every mix of three and more
#
# TOOLS is the folder of the built tools. MEMBERS='J,J,Z' STORY=leader plays that one only.
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

[ $# -ge 1 ] || die "usage: ensembles.sh TOOLS [BINARY [all]]"
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
    play strangers Z,Z,Z
    play clocks Z,Z,Z
    play alone Z,J,J
    play masters J,Z,Z,Zo,Jo
    play large Z,Z,J
    play oracle J,Z
    play addresses J,Z,Z
    play grow Z,Z,J,Z,Z,Zo,Jo
    play rolling J,J,J --then Z,Z,Z
fi
if [ "${3:-}" = all ]; then
    for one in J Z; do
        for two in J Z; do
            for three in J Z; do
                mix="$one,$two,$three"
                play follower "$mix,Jo"
                play follower "$mix,Zo"
                play leader "$mix"
                play cuts "$mix"
                play masters "$mix,Zo,Jo"
            done
            play oracle "$one,$two"
        done
    done
    for old in J3.8.4 J3.8.6; do
        for mix in "Z,$old,Z" "$old,Z,$old" "$old,$old,Z" "$old,Z,J"; do
            play follower "$mix,Zo"
            play leader "$mix"
        done
    done
    play five J,Z,J,Z,Z,Zo
    play five J,J,Z,J,Z,Jo
    play five Z,Z,J,J,J,Zo
    play five Z,Z,Z,Z,Z,Zo
    play scripted Z,J,J
    play poison J,Z,Z
    play grow J,Z,J,Z,J,Jo,Zo
    play grow Z,Z,Z,Z,Z,Zo,Zo
    play rolling Z,Z,Z --then J,J,J
    play rolling J3.8.6,J3.8.6,J3.8.6 --then Z,Z,Z
fi
exit "$failed"
