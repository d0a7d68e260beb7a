#!/usr/bin/env bash
# ZooKeeper's own Java client against a running server: java-client.sh [HOST:PORT] (or ZK_HOSTS)
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

take_hosts "$@"
classpath="$(java_classpath)"
exec timeout 240 java -Xmx512m -XX:TieredStopAtLevel=1 -Dzookeeper.log.level=OFF -cp "$classpath" \
    zabkeeper.compat.JavaClient "$HOSTS" ${2:+"$2"}
