#!/usr/bin/env bash
# Every zkCli 3.9.5 command against a server with a fresh or at least /zkcli-free tree:
#   zkcli.sh HOST:PORT           prints the normalised transcript to standard output
# It says on standard error how many commands ran; it fails when the client itself broke. Whether the
# answers are right is for zkcli-compare.sh to say.
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

take_hosts "$@"
classpath="$(java_classpath)"
flags=(-Xshare:auto -XX:TieredStopAtLevel=1 -Xmx256m -Dzookeeper.log.level=OFF -Duser.timezone=UTC -cp "$classpath")

transcript="$(timeout 120 java "${flags[@]}" zabkeeper.compat.ZkCli "$HOSTS" \
    <"$COMPAT_DIR/scripts/zkcli.commands")" || die "the command run failed: $transcript"
printf '%s\n' "$transcript"

# The program as people start it: lines from standard input, and one command as arguments.
printf '%s\n' '== standard input'
printf 'create /zkcli text\nget /zkcli\nquit\n' |
    timeout 60 java "${flags[@]}" org.apache.zookeeper.ZooKeeperMain -server "$HOSTS" -waitforconnection 2>&1 |
    tr -d '\r' | sed 's/^\[zk: [^]]*\] //' | grep -E '^(Welcome|Created|text)' || die "zkCli did not work from standard input"
printf '%s\n' '== arguments'
timeout 60 java "${flags[@]}" org.apache.zookeeper.ZooKeeperMain -server "$HOSTS" -waitforconnection delete /zkcli 2>&1 |
    grep -vE '^(Connecting to|WATCHER|WatchedEvent|$)' || true
rc=0
timeout 60 java "${flags[@]}" org.apache.zookeeper.ZooKeeperMain -server "$HOSTS" -waitforconnection get /zkcli 2>&1 |
    grep -vE '^(Connecting to|WATCHER|WatchedEvent|$)' || rc=$?
printf 'exit %s\n' "$rc"
say "zkcli: $(grep -c '^> ' <<<"$transcript") commands"
