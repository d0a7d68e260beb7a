"""Inputs that stop Apache's server, or get past its checks: ours refuses them and goes on.

Run with --poison, never against Apache's server: it would log each and die of it, again at restart.
"""

import wire
from harness import ours
from wire import Closed, buf, i32, i64


def refusal(conn, op, body):
    """An error reply or the connection's end; never success. Returns the code, or None."""
    try:
        reply = conn.call(op, body)
    except Closed:
        return None
    assert reply.err != 0, f"op {op} was carried out: {reply}"
    return reply.err


@ours
def test_client_sent_create_session(zk):
    """createSession from a client would be answered by a second ConnectResponse."""
    conn = zk.session()
    refusal(conn, wire.CREATE_SESSION, i32(30000))
    zk.alive()


@ours
def test_client_sent_delete_container(zk):
    """deleteContainer is the reaper's: from a client it would pass every ACL."""
    owner = zk.session()
    owner.ok(wire.AUTH, i32(0) + buf("digest") + buf("o:o"), xid=-4)
    path = zk.path("guarded")
    owner.ok(wire.CREATE, wire.create_body(path, acls=wire.vec([wire.acl(31, "auth", "")])))
    refusal(zk.session(), wire.DELETE_CONTAINER, buf(path))
    owner.ok(wire.EXISTS, wire.watch_body(path))
    owner.ok(wire.SET_ACL, buf(path) + wire.OPEN_ACL + i32(-1))
    zk.alive()


@ours
def test_create_ttl_without_ttl(zk):
    """createTTL with an ordinary flag and a negative time to live."""
    conn = zk.session()
    for flags in (0, 1, 2, 3, 4):
        for ttl in (-1, -(2**63)):
            code = refusal(conn, wire.CREATE_TTL, wire.create_body(zk.path("t"), flags=flags) + i64(ttl))
            assert code == wire.BAD_ARGUMENTS, (flags, ttl, code)
    assert conn.call(wire.EXISTS, wire.watch_body(zk.path("t"))).err == wire.NO_NODE
    zk.alive()


@ours
def test_quota_limits_without_a_path(zk):
    """/zookeeper/quota/zookeeper_limits would be the quota of nothing."""
    conn = zk.session()
    for op in (wire.CREATE, wire.CREATE2, wire.CREATE_CONTAINER):
        refusal(conn, op, wire.create_body("/zookeeper/quota/zookeeper_limits", b"count=1,bytes=1"))
    reply = conn.call(wire.MULTI, wire.multi_body(
        (wire.CREATE, wire.create_body("/zookeeper/quota/zookeeper_limits", b"count=1,bytes=1"))))
    assert reply.err != 0 or reply.body.rest()[:4] == i32(-1), reply
    zk.alive()


@ours
def test_delete_of_limits_near_the_root(zk):
    """Deleting a node named zookeeper_limits under a short parent below /zookeeper."""
    conn = zk.session()
    for parent in ("/zookeeper", "/zookeeper/quota"):
        path = parent + "/zookeeper_limits"
        try:
            conn.call(wire.CREATE, wire.create_body(path))
            conn.call(wire.DELETE, wire.version_body(path))
        except Closed:
            conn = zk.session()
        zk.alive()
    reply = zk.session().call(wire.EXISTS, wire.watch_body("/zookeeper/quota/zookeeper_limits"))
    assert reply.err == wire.NO_NODE, reply


@ours
def test_quota_stats_that_do_not_parse(zk):
    """A stats node with null data or other text: the next counted write must still be answered."""
    conn = zk.session()
    base = zk.node(conn, "q")
    parts = base.strip("/").split("/")
    for depth in range(1, len(parts) + 1):
        reply = conn.call(wire.CREATE, wire.create_body("/zookeeper/quota/" + "/".join(parts[:depth])))
        assert reply.err in (0, wire.NODE_EXISTS), reply
    quota = "/zookeeper/quota" + base
    conn.ok(wire.CREATE, wire.create_body(quota + "/zookeeper_limits", b"count=100,bytes=100000"))
    conn.ok(wire.CREATE, wire.create_body(quota + "/zookeeper_stats", b"count=0,bytes=0"))
    for number, text in enumerate((None, b"", b"nonsense", b"count=x,bytes=y", b"\xff\xfe", b"count=,bytes=")):
        conn.call(wire.SET_DATA, wire.set_body(quota + "/zookeeper_stats", text))
        reply = conn.call(wire.CREATE, wire.create_body(f"{base}/{number}", b"x"))
        assert reply.err == 0, f"{text}: {reply}"
        zk.alive()
    for number in range(6):
        conn.ok(wire.DELETE, wire.version_body(f"{base}/{number}"))
    for name in ("/zookeeper_stats", "/zookeeper_limits", ""):
        conn.ok(wire.DELETE, wire.version_body(quota + name))
    for depth in range(len(parts) - 1, 0, -1):
        conn.call(wire.DELETE, wire.version_body("/zookeeper/quota/" + "/".join(parts[:depth])))
