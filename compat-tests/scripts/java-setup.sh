#!/usr/bin/env bash
# Resolves Apache ZooKeeper 3.9.5 and Curator once, compiles compat-tests/java, and writes
# $ZABKEEPER_CACHE/java/classpath (one line: compiled classes, resources, then the jars).
# Does nothing when pom and sources are those of the last run.
#
#   java-setup.sh [VERSION...]   resolves the servers of older releases as well (java-older/pom.xml),
#                                each to $ZABKEEPER_CACHE/java/classpath-VERSION (jars only)
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

JAVA_CACHE="$ZABKEEPER_CACHE/java"
mkdir -p "$JAVA_CACHE"

# Both stamps carry the file lists' own checksums, so that a vanished jar or class is noticed.
warm() {
    [ -s "$JAVA_CACHE/classpath" ] && [ "$(cat "$JAVA_CACHE/stamp" 2>/dev/null)" = "$1" ] &&
        tr ':' '\n' <"$JAVA_CACHE/classpath" | while read -r entry; do
            [ -e "$entry" ] || exit 1
        done
}

resolve() {
    local pom_sum jars="$JAVA_CACHE/jars"
    pom_sum="$(checksum java/pom.xml)"
    if [ "$(cat "$JAVA_CACHE/jars.stamp" 2>/dev/null)" = "$pom_sum" ] &&
        tr ':' '\n' <"$jars" | while read -r jar; do [ -e "$jar" ] || exit 1; done; then
        return
    fi
    say "java-setup: resolving ZooKeeper 3.9.5 and Curator with Maven"
    timeout 600 mvn -B -q -f "$COMPAT_DIR/java/pom.xml" dependency:build-classpath \
        -DincludeScope=runtime -Dmdep.outputFile="$jars.new" >&2 ||
        timeout 600 mvn -B -f "$COMPAT_DIR/java/pom.xml" dependency:build-classpath \
            -DincludeScope=runtime -Dmdep.outputFile="$jars.new" >&2
    mv "$jars.new" "$jars"
    printf '%s\n' "$pom_sum" >"$JAVA_CACHE/jars.stamp"
}

setup() {
    local sum classes
    sum="$(checksum java)"
    if warm "$sum"; then return; fi
    command -v javac >/dev/null || die "javac is missing: run compat-tests/scripts/setup.sh"
    command -v mvn >/dev/null || die "mvn is missing: run compat-tests/scripts/setup.sh"
    resolve
    # A folder per version of the sources: a JVM of another checkout may still be using its own.
    classes="$JAVA_CACHE/classes-$sum"
    rm -rf "$classes" && mkdir -p "$classes"
    find "$COMPAT_DIR/java/src/main/java" -name '*.java' -print0 |
        timeout 300 xargs -0 javac --release 11 -nowarn -XDsuppressNotes -proc:none \
            -encoding UTF-8 -cp "$(cat "$JAVA_CACHE/jars")" -d "$classes"
    cp -r "$COMPAT_DIR/java/src/main/resources/." "$classes/"
    printf '%s:%s\n' "$classes" "$(cat "$JAVA_CACHE/jars")" >"$JAVA_CACHE/classpath.new"
    mv "$JAVA_CACHE/classpath.new" "$JAVA_CACHE/classpath"
    printf '%s\n' "$sum" >"$JAVA_CACHE/stamp"
    find "$JAVA_CACHE" -maxdepth 1 -name 'classes-*' -mtime +2 ! -name "classes-$sum" -exec rm -rf {} +
}

older_is_warm() {
    local path="$JAVA_CACHE/classpath-$1"
    [ -s "$path" ] && [ "$(cat "$path.stamp" 2>/dev/null)" = "$2" ] &&
        tr ':' '\n' <"$path" | while read -r jar; do [ -e "$jar" ] || exit 1; done
}

older() {
    local version="$1" sum="$2" path="$JAVA_CACHE/classpath-$1"
    if older_is_warm "$version" "$sum"; then return; fi
    command -v mvn >/dev/null || die "mvn is missing: run compat-tests/scripts/setup.sh"
    say "java-setup: resolving ZooKeeper $version with Maven"
    timeout 600 mvn -B -q -f "$COMPAT_DIR/java-older/pom.xml" dependency:build-classpath \
        -Dzookeeper.version="$version" -DincludeScope=runtime -Dmdep.outputFile="$path.new" >&2
    mv "$path.new" "$path"
    printf '%s\n' "$sum" >"$path.stamp"
}

warm "$(checksum java)" || with_lock java-setup setup
for version in "$@"; do
    sum="$(checksum java-older)"
    older_is_warm "$version" "$sum" || with_lock java-setup older "$version" "$sum"
done
