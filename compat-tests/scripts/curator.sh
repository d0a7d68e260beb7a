#!/usr/bin/env bash
# Curator's recipes against a running server: curator.sh [HOST:PORT] (or ZK_HOSTS)
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

take_hosts "$@"
classpath="$(java_classpath)"
exec timeout 300 java -Xmx512m -XX:TieredStopAtLevel=1 -Dzookeeper.log.level=OFF -cp "$classpath" \
    zabkeeper.compat.CuratorRecipes "$HOSTS" ${2:+"$2"}
