#!/usr/bin/env bash
# Installs the system packages that the build and the compatibility tests need and this machine
# lacks, by apt (Debian 12 and 13, Ubuntu 22.04 and 24.04); with sudo when not root. Says what it
# installs, and does nothing when all is there. On another system it names what is missing.
#
#   setup.sh          everything
#   setup.sh build    only what the build of the server needs
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

missing=()
# need PACKAGE TEST...: the package is wanted when TEST fails.
need() {
    local package="$1"
    shift
    "$@" >/dev/null 2>&1 || missing+=("$package")
}
has() { command -v "$1"; }
has_header() { printf '#include <%s>\n' "$1" | cc -E -x c - ; }
has_libclang() {
    compgen -G '/usr/lib/llvm-*/lib/libclang*.so*' || compgen -G '/usr/lib/*/libclang*.so*' ||
        compgen -G '/usr/lib64/libclang*.so*'
}

need gcc has gcc
need g++ has g++
need libc6-dev has_header stdio.h
need make has make
need clang has clang
need libclang-dev has_libclang
if [ "${1:-all}" = all ]; then
    need default-jdk-headless has javac
    need maven has mvn
    need golang-go has go
    need python3 has python3
    need python3-venv python3 -c 'import ensurepip, venv'
    need libzookeeper-mt-dev has_header zookeeper/zookeeper.h
    need util-linux has flock
    need procps has ps
fi
command -v cargo >/dev/null || die "cargo is missing: install Rust with rustup first"

[ ${#missing[@]} -gt 0 ] || exit 0

if ! command -v apt-get >/dev/null; then
    die "please install what these Debian packages hold: ${missing[*]}"
fi
sudo=()
if [ "$(id -u)" -ne 0 ]; then
    command -v sudo >/dev/null || die "not root and no sudo: please install ${missing[*]}"
    sudo=(sudo)
fi
say "setup: installing ${missing[*]}"
export DEBIAN_FRONTEND=noninteractive
${sudo[@]+"${sudo[@]}"} timeout 300 apt-get update -qq
${sudo[@]+"${sudo[@]}"} timeout 1200 apt-get install -y -qq --no-install-recommends "${missing[@]}"
