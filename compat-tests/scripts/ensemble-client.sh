#!/usr/bin/env bash
# A client that works on while servers come and go: ensemble-client.sh {java|kazoo|c} HOSTS PATH
# It is told and tells by lines (src/ensemble/foreign.rs). With `setup` alone, only what it needs is made.
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

endure="$ZABKEEPER_CACHE/c-endure-$(checksum c)"
compile() {
    [ ! -x "$endure" ] || return 0
    timeout 120 cc -std=gnu11 -O1 -DTHREADED -Wall -Wextra -o "$endure.$$" "$COMPAT_DIR/c/endure.c" \
        -lzookeeper_mt -lpthread || die "not built: run compat-tests/scripts/setup.sh"
    mv "$endure.$$" "$endure"
}

if [ "${1:-}" = setup ]; then
    "$COMPAT_DIR/scripts/python-setup.sh"
    "$COMPAT_DIR/scripts/java-setup.sh"
    compile
    exit 0
fi
[ $# -eq 3 ] || die "usage: ensemble-client.sh {java|kazoo|c} HOSTS PATH"
case "$1" in
java)
    classpath="$(java_classpath)"
    exec java -XX:TieredStopAtLevel=1 -XX:+UseSerialGC -Xshare:auto -Xmx64m -Dzookeeper.log.level=WARN \
        -cp "$classpath" zabkeeper.compat.Endure "$2" "$3"
    ;;
kazoo) exec env PYTHONDONTWRITEBYTECODE=1 "$ZABKEEPER_CACHE/venv/bin/python" \
    "$COMPAT_DIR/kazoo/endure.py" "$2" "$3" ;;
c)
    compile
    exec "$endure" "$2" "$3"
    ;;
*) die "no client $1" ;;
esac
