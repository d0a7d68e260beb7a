# Shared by the scripts of this folder: where things are, and small helpers. Sourced, not run.

set -euo pipefail
shopt -s inherit_errexit

COMPAT_DIR="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
# What is downloaded or built once for all runs; safe to delete.
ZABKEEPER_CACHE="${ZABKEEPER_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/zabkeeper}"
export ZABKEEPER_CACHE
mkdir -p "$ZABKEEPER_CACHE"

say() { printf '%s\n' "$*" >&2; }

die() {
    say "$(basename "$0"): $*"
    exit 1
}

# One line for the content of files and folders given (names relative to compat-tests).
checksum() {
    (cd "$COMPAT_DIR" && find "$@" -type f ! -path '*/target/*' ! -path '*/__pycache__/*' -print0 |
        LC_ALL=C sort -z | xargs -0 sha256sum | sha256sum | cut -c1-16)
}

# with_lock NAME COMMAND...: COMMAND runs alone among all checkouts that share the cache.
with_lock() {
    local lock="$ZABKEEPER_CACHE/$1.lock"
    shift
    (
        flock -w 1200 9 || die "another setup has held $lock for 20 minutes"
        "$@" 9>&-
    ) 9>"$lock"
}

# HOST:PORT as the only argument (or ZK_HOSTS); sets HOSTS, HOST and PORT (the first server).
take_hosts() {
    HOSTS="${1:-${ZK_HOSTS:-}}"
    [ -n "$HOSTS" ] || die "usage: $(basename "$0") HOST:PORT (or ZK_HOSTS=HOST:PORT)"
    local first="${HOSTS%%,*}"
    HOST="${first%:*}"
    PORT="${first##*:}"
}

# The class path that java-setup.sh wrote; runs it first (no-op when warm).
java_classpath() {
    "$COMPAT_DIR/scripts/java-setup.sh" >&2
    cat "$ZABKEEPER_CACHE/java/classpath"
}

# four_letter HOST PORT WORD: the answer's text, empty when nothing listens.
four_letter() {
    (
        exec 3<>"/dev/tcp/$1/$2" || exit 1
        printf '%s' "$3" >&3
        timeout 5 cat <&3
    ) 2>/dev/null || true
}

# wait_serving HOST PORT [SECONDS]: until srvr is answered with a mode.
wait_serving() {
    local deadline=$((SECONDS + ${3:-60}))
    # Polled, since a server that is still starting has nothing to wait on.
    until four_letter "$1" "$2" srvr | grep -q '^Mode:'; do
        [ "$SECONDS" -lt "$deadline" ] || return 1
        sleep 0.1
    done
}

# A TCP port of 127.0.0.1 that is free now.
free_port() {
    python3 -c 'import socket; s=socket.socket(); s.bind(("127.0.0.1",0)); print(s.getsockname()[1])'
}
