"""Raw-socket suite: framing and lifecycle of the client protocol, byte by byte.

    python3 suite.py HOST:PORT [--poison] [--only WORD]

Passes against Apache ZooKeeper 3.9.5 (with every four-letter word whitelisted and
zookeeper.extendedTypesEnabled=true). --poison adds inputs that stop or bypass Apache's server and
that ours must refuse.
"""

import argparse
import os
import sys
import time

import admin_words
import framing
import handshake
import lifecycle
import poison
import requests
import watches
import wire
from harness import collect, run

MODULES = [framing, handshake, admin_words, requests, watches, lifecycle, poison]


def delete_tree(conn, path):
    reply = conn.call(wire.GET_CHILDREN, wire.watch_body(path))
    if reply.err == 0:
        for name in reply.body.vec(reply.body.text):
            delete_tree(conn, f"{path}/{name}")
    conn.call(wire.DELETE, wire.version_body(path))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("server", nargs="?", default=os.environ.get("ZK_HOSTS"), metavar="HOST:PORT")
    parser.add_argument("--poison", action="store_true")
    parser.add_argument("--only", default="", metavar="WORD")
    options = parser.parse_args()
    if not options.server:
        parser.error("HOST:PORT or ZK_HOSTS is needed")
    host, _, port = options.server.split(",")[0].rpartition(":")
    address = (host, int(port))

    tests = [
        (name, test)
        for name, test in collect(MODULES)
        if options.only in name and (options.poison or not getattr(test, "ours", False))
    ]
    root = f"/raw-{os.getpid()}-{int(time.time())}"
    with wire.Connection(address) as conn:
        conn.handshake(timeout=60000)
        conn.ok(wire.CREATE, wire.create_body(root))
    passed, failed = run(address, tests, root)
    try:
        with wire.Connection(address) as conn:
            conn.handshake(timeout=60000)
            delete_tree(conn, root)
            conn.ok(wire.CLOSE_SESSION)
    except (OSError, wire.Closed) as error:
        print(f"FAIL  the server is gone at the end: {error!r}")
        failed += 1
    print(f"{passed} passed, {failed} failed")
    return 1 if failed or not passed else 0


if __name__ == "__main__":
    sys.exit(main())
