#!/usr/bin/env bash
# Starts a standalone Apache ZooKeeper 3.9.5 on 127.0.0.1, in the foreground (exec): the shell's pid
# is the server's. Its log goes to standard error.
#
#   java-server.sh DIR CLIENT_PORT [ARG...]
#
# ARG  -Dname=value, -Xmx... : given to the JVM
#      name=value            : appended to zoo.cfg (a later line wins over the defaults below)
#
# DIR gets zoo.cfg and, unless dataDir is given, data/. AdminServer is off, tickTime 2000, every
# four-letter word allowed, heap 1000 MB as zkServer.sh starts it.
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

[ $# -ge 2 ] || die "usage: java-server.sh DIR CLIENT_PORT [-Dname=value | name=value]..."
dir="$1"
port="$2"
shift 2

mkdir -p "$dir"
dir="$(cd "$dir" && pwd)"
jvm=()
lines=()
for arg in "$@"; do
    case "$arg" in
    -*) jvm+=("$arg") ;;
    *=*) lines+=("$arg") ;;
    *) die "neither a JVM flag nor a zoo.cfg line: $arg" ;;
    esac
done
{
    # Java's properties keep the last value of a key, but tell nobody; so no default is written twice.
    for default in "tickTime=2000" "dataDir=$dir/data" "clientPort=$port" \
        "clientPortAddress=127.0.0.1" "4lw.commands.whitelist=*" "admin.enableServer=false" \
        "maxClientCnxns=0"; do
        key="${default%%=*}"
        given=no
        for line in ${lines[@]+"${lines[@]}"}; do
            [ "${line%%=*}" != "$key" ] || given=yes
        done
        [ "$given" = yes ] || printf '%s\n' "$default"
    done
    for line in ${lines[@]+"${lines[@]}"}; do printf '%s\n' "$line"; done
} >"$dir/zoo.cfg"
mkdir -p "$dir/data"

classpath="$(java_classpath)"
exec java -Xmx1000m ${jvm[@]+"${jvm[@]}"} -cp "$classpath" \
    org.apache.zookeeper.server.quorum.QuorumPeerMain "$dir/zoo.cfg"
