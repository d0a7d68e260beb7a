"""Limits and settings as a client meets them, byte by byte: each on a server started for it.

    python3 limits.py {java|BINARY} [--only WORD]

A test is a function that carries the server's arguments (as with-server.sh takes them). This same file,
called with --run NAME HOST:PORT, is what runs beside each server. Passes on Apache ZooKeeper 3.9.5.
"""

import argparse
import base64
import concurrent.futures
import hashlib
import os
import subprocess
import sys
import time

import wire
from harness import Server, run
from wire import Closed, buf, i32, i64

HERE = os.path.dirname(os.path.abspath(__file__))
TESTS = {}


def settings(*arguments):
    """Marks a test: its server gets these arguments, over those of suite-server-args."""

    def mark(test):
        test.arguments = arguments
        TESTS[test.__name__.removeprefix("test_")] = test
        return test

    return mark


def refused(zk):
    """A connection that the server closes without a byte, at accept or after the first frame."""
    try:
        conn = zk.connect()
        conn.send_frame(conn.connect_request())
        return conn.until_closed() == b""
    except (Closed, ConnectionResetError, BrokenPipeError):
        return True


def eventually_accepted(zk):
    """Tries until a session opens: a server notices a closed connection a little later."""
    end = time.monotonic() + wire.TIMEOUT
    while True:
        try:
            return zk.session()
        except (Closed, ConnectionResetError, BrokenPipeError):
            assert time.monotonic() < end, "no connection is accepted any more"
            time.sleep(0.05)


@settings("maxClientCnxns=3")
def test_connections_of_one_address(zk):
    held = [eventually_accepted(zk) for _ in range(3)]
    assert refused(zk) and refused(zk)
    for conn in held:
        conn.ok(wire.PING)
    held.pop().close()
    eventually_accepted(zk)


@settings("maxClientCnxns=0", "maxCnxns=4")
def test_connections_in_all(zk):
    held = [eventually_accepted(zk) for _ in range(4)]
    assert refused(zk)
    held.pop().close()
    eventually_accepted(zk)


@settings("-Djute.maxbuffer=2000")
def test_maxbuffer(zk):
    """The limit is for what comes in; replies may be longer."""
    conn = zk.session()
    path = zk.node(conn, "n")
    room = 2000 - 8 - len(wire.set_body(path))
    conn.ok(wire.SET_DATA, wire.set_body(path, b"x" * room))
    for number in range(100):
        conn.ok(wire.CREATE, wire.create_body(f"{path}/{'c' * 40}{number}"))
    body = conn.ok(wire.GET_CHILDREN, wire.watch_body(path))
    assert len(body.data) > 4000 and len(body.vec(body.text)) == 100
    conn.request(wire.SET_DATA, wire.set_body(path, b"x" * (room + 1)))
    assert conn.until_closed() == b""


@settings("minSessionTimeout=3000", "maxSessionTimeout=5000")
def test_session_timeouts(zk):
    for asked, given in ((1, 3000), (3000, 3000), (4000, 4000), (5001, 5000)):
        conn = zk.connect()
        assert conn.handshake(timeout=asked)["timeout"] == given


@settings("tickTime=700")
def test_session_timeouts_follow_the_tick(zk):
    conn = zk.connect()
    assert conn.handshake(timeout=1)["timeout"] == 1400
    conn = zk.connect()
    assert conn.handshake(timeout=1_000_000)["timeout"] == 14000


@settings("-Dzookeeper.connection_throttle_tokens=2", "-Dzookeeper.connection_throttle_fill_time=600000")
def test_connection_throttle(zk):
    """Two tokens and no refill to speak of: the third connect request ends its connection."""
    held = [zk.session(), zk.session()]
    assert refused(zk)
    for conn in held:
        conn.ok(wire.PING)


@settings("-Dzookeeper.largeRequestThreshold=1000", "-Dzookeeper.largeRequestMaxBytes=3000")
def test_large_requests(zk):
    conn = zk.session()
    path = zk.node(conn, "n")
    for _ in range(5):
        conn.ok(wire.SET_DATA, wire.set_body(path, b"x" * 2500))
    conn.request(wire.SET_DATA, wire.set_body(path, b"x" * 3500))
    assert conn.until_closed() == b""
    other = zk.session()
    assert other.ok(wire.GET_DATA, wire.watch_body(path)).buf() == b"x" * 2500


@settings("4lw.commands.whitelist=srvr")
def test_whitelist(zk):
    assert zk.four_letter("srvr").startswith("Zookeeper version: ")
    for word in ("conf", "cons", "crst", "dirs", "dump", "envi", "gtmk", "ruok", "srst", "stat", "wchc", "wchp",
                 "wchs", "mntr", "isro", "hash"):
        assert zk.four_letter(word) == f"{word} is not executed because it is not in the whitelist.\n", word


@settings("4lw.commands.whitelist=srvr, ruok ,conf")
def test_whitelist_with_spaces(zk):
    assert zk.four_letter("ruok") == "imok"
    assert "not in the whitelist" in zk.four_letter("mntr")


@settings("-Dzookeeper.nio.sessionlessCnxnTimeout=1000")
def test_sessionless_timeout(zk):
    conn = zk.connect()
    begun = time.monotonic()
    assert conn.until_closed() == b""
    assert 0.9 <= time.monotonic() - begun <= 4, time.monotonic() - begun


def pipelined(zk):
    """Three hundred requests in one go; every reply, in order."""
    conn = zk.session()
    path = zk.node(conn, "n")
    stream = b""
    for number in range(300):
        if number % 3:
            payload = i32(number) + i32(wire.SET_DATA) + wire.set_body(path, str(number))
        else:
            payload = i32(number) + i32(wire.GET_DATA) + wire.watch_body(path)
        stream += i32(len(payload)) + payload
    conn.send(stream)
    for number in range(300):
        reply = conn.reply()
        assert (reply.xid, reply.err) == (number, 0), reply


@settings("globalOutstandingLimit=1")
def test_outstanding_limit(zk):
    """Back-pressure only: nothing is refused or lost."""
    pipelined(zk)


@settings("-Dzookeeper.request_throttle_max_requests=2", "-Dzookeeper.request_throttle_stall_time=5")
def test_request_throttle(zk):
    pipelined(zk)


@settings("-Dzookeeper.skipACL=yes")
def test_skip_acl(zk):
    owner, other = zk.session(), zk.session()
    owner.ok(wire.AUTH, i32(0) + buf("digest") + buf("o:o"), xid=-4)
    path = zk.path("n")
    owner.ok(wire.CREATE, wire.create_body(path, b"d", wire.vec([wire.acl(31, "auth", "")])))
    assert other.ok(wire.GET_DATA, wire.watch_body(path)).buf() == b"d"
    other.ok(wire.DELETE, wire.version_body(path))


@settings("-Dzookeeper.DigestAuthenticationProvider.enabled=false")
def test_digest_disabled(zk):
    conn = zk.session()
    acls = wire.vec([wire.acl(31, "digest", "u:" + "A" * 27 + "=")])
    assert conn.call(wire.CREATE, wire.create_body(zk.path("n"), acls=acls)).err == wire.INVALID_ACL
    reply = conn.call(wire.AUTH, i32(0) + buf("digest") + buf("u:p"), xid=-4)
    assert reply.err == wire.AUTH_FAILED
    assert conn.until_closed() == b""


@settings("-Dzookeeper.DigestAuthenticationProvider.digestAlg=SHA-256",
          "-Dzookeeper.DigestAuthenticationProvider.superDigest=")
def test_digest_algorithm(zk):
    conn = zk.session()
    conn.ok(wire.AUTH, i32(0) + buf("digest") + buf("u:p"), xid=-4)
    path = zk.path("n")
    conn.ok(wire.CREATE, wire.create_body(path, acls=wire.vec([wire.acl(31, "auth", "")])))
    body = conn.ok(wire.GET_ACL, buf(path))
    assert body.i32() == 1 and body.i32() == 31 and body.text() == "digest"
    assert body.text() == "u:" + base64.b64encode(hashlib.sha256(b"u:p").digest()).decode()


@settings("-Dzookeeper.enforce.auth.enabled=true", "-Dzookeeper.enforce.auth.schemes=digest")
def test_enforced_authentication(zk):
    """-124 with zxid 0 to all but auth, ping and closeSession included; then the end."""
    for op, body in ((wire.PING, b""), (wire.EXISTS, wire.watch_body("/")), (wire.CLOSE_SESSION, b""),
                     (wire.CREATE, wire.create_body("/enforced"))):
        conn = zk.session()
        reply = conn.call(op, body, xid=-2)
        assert (reply.err, reply.zxid) == (-124, 0), f"op {op}: {reply}"
        assert conn.until_closed() == b""
    conn = zk.session()
    conn.ok(wire.AUTH, i32(0) + buf("digest") + buf("u:p"), xid=-4)
    conn.ok(wire.PING)
    zk.node(conn, "n")


@settings("-Dzookeeper.authProvider.ens=org.apache.zookeeper.server.auth.EnsembleAuthenticationProvider",
          "-Dzookeeper.ensembleAuthName=one,two")
def test_ensemble_names(zk):
    """A right name or none is fine; a wrong one ends the connection, so that the client moves on."""
    conn = zk.session()
    for name in ("one", "two", ""):
        conn.ok(wire.AUTH, i32(0) + buf("ensemble") + buf(name), xid=-4)
    acls = wire.vec([wire.acl(31, "ensemble", "one")])
    assert conn.call(wire.CREATE, wire.create_body(zk.path("n"), acls=acls)).err == wire.INVALID_ACL
    conn.request(wire.AUTH, i32(0) + buf("ensemble") + buf("three"), xid=-4)
    assert conn.until_closed() == b""


@settings("-Dzookeeper.enforceQuota=true")
def test_hard_quota(zk):
    conn = zk.session()
    path = zk.node(conn, "q", b"12345")
    parts = path.strip("/").split("/")
    for depth in range(1, len(parts) + 1):
        conn.call(wire.CREATE, wire.create_body("/zookeeper/quota/" + "/".join(parts[:depth])))
    quota = "/zookeeper/quota" + path
    limits = b"count=-1,bytes=-1=;byteHardLimit=10;countHardLimit=3"
    conn.ok(wire.CREATE, wire.create_body(quota + "/zookeeper_limits", limits))
    conn.ok(wire.CREATE, wire.create_body(quota + "/zookeeper_stats", b"count=0,bytes=0"))
    assert conn.ok(wire.GET_DATA, wire.watch_body(quota + "/zookeeper_stats")).buf() == b"count=1,bytes=5"
    conn.ok(wire.CREATE, wire.create_body(path + "/a", b"12345"))
    assert conn.call(wire.CREATE, wire.create_body(path + "/b", b"1")).err == -125
    conn.ok(wire.CREATE, wire.create_body(path + "/b"))
    assert conn.call(wire.CREATE, wire.create_body(path + "/c")).err == -125
    # The quota is looked at before the version, and an unchanged size is not.
    assert conn.call(wire.SET_DATA, wire.set_body(path, b"123456", 99)).err == -125
    assert conn.call(wire.SET_DATA, wire.set_body(path, b"54321", 99)).err == wire.BAD_VERSION
    conn.ok(wire.SET_DATA, wire.set_body(path, b"54321"))
    assert conn.ok(wire.GET_DATA, wire.watch_body(quota + "/zookeeper_stats")).buf() == b"count=3,bytes=10"
    conn.ok(wire.DELETE, wire.version_body(path + "/a"))
    assert conn.ok(wire.GET_DATA, wire.watch_body(quota + "/zookeeper_stats")).buf() == b"count=2,bytes=5"


@settings("-Dzookeeper.extendedTypesEnabled=false")
def test_ttl_disabled(zk):
    """-6, and the connection stays; containers work."""
    conn = zk.session()
    for flags in (5, 6):
        reply = conn.call(wire.CREATE_TTL, wire.create_body(zk.path("t"), flags=flags) + i64(1000))
        assert reply.err == wire.UNIMPLEMENTED, reply
    conn.ok(wire.CREATE_CONTAINER, wire.create_body(zk.path("c"), flags=4))


@settings("-Dznode.container.maxNeverUsedIntervalMs=300", "-Dznode.container.checkIntervalMs=300")
def test_containers_never_used(zk):
    conn = zk.session()
    path = zk.path("c")
    conn.ok(wire.CREATE_CONTAINER, wire.create_body(path, flags=4))
    if conn.call(wire.EXISTS, wire.watch_body(path, True)).err == 0:
        assert conn.event()[1:] == (wire.DELETED, 3, path)


@settings("reconfigEnabled=true")
def test_reconfig_of_a_standalone_server(zk):
    conn = zk.session()
    body = buf("server.1=localhost:1:2;3") + buf(None) + buf(None) + i64(-1)
    assert conn.call(wire.RECONFIG, body).err == wire.UNIMPLEMENTED
    conn.ok(wire.PING)


@settings("-Dzookeeper.maxResponseCacheSize=0", "-Dzookeeper.maxGetChildrenResponseCacheSize=0")
def test_without_response_caches(zk):
    pipelined(zk)


def run_one(kind, name):
    """A server for the test, with-server.sh in between; returns the outcome and what was printed."""
    environment = dict(os.environ, SERVER_ARGS="\n".join(TESTS[name].arguments), PYTHONDONTWRITEBYTECODE="1")
    script = os.path.join(HERE, "..", "scripts", "with-server.sh")
    done = subprocess.run([script, kind, sys.executable, __file__, "--run", name], env=environment, text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=180, check=False)
    return done.returncode == 0, done.stdout


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--run", metavar="NAME", help="one test, against the server named last")
    parser.add_argument("--only", default="", metavar="WORD")
    parser.add_argument("server", metavar="java|BINARY|HOST:PORT")
    options = parser.parse_args()
    if options.run:
        host, _, port = options.server.rpartition(":")
        address = (host, int(port))
        return 0 if run(address, [(options.run, TESTS[options.run])], "") == (1, 0) else 1

    names = [name for name in TESTS if options.only in name]
    failed = 0
    with concurrent.futures.ThreadPoolExecutor(max_workers=4) as pool:
        jobs = {name: pool.submit(run_one, options.server, name) for name in names}
        for name, job in jobs.items():
            passed, output = job.result()
            failed += not passed
            print(f"{'ok  ' if passed else 'FAIL'}  {name}", flush=True)
            if not passed:
                print(output, flush=True)
    print(f"{len(names) - failed} passed, {failed} failed")
    return 1 if failed or not names else 0


if __name__ == "__main__":
    sys.exit(main())
