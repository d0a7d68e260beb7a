"""Sessions: reattachment, closing, expiry, and what a connection's end does."""

import time

import wire
from harness import ours, slow
from wire import Closed


def test_reattach(zk):
    """The same session on a new connection: ephemerals stay, the new timeout counts."""
    conn = zk.session(timeout=8000)
    path = zk.node(conn, "e", flags=1)
    session, password = conn.session_id, conn.password
    conn.close()
    conn = zk.connect()
    response = conn.handshake(timeout=9000, session_id=session, password=password)
    assert response["session_id"] == session and response["password"] == password
    assert response["timeout"] == 9000
    assert conn.ok(wire.EXISTS, wire.watch_body(path)).stat()["ephemeral_owner"] == session


def test_second_connection_ends_the_first(zk):
    first = zk.session()
    second = zk.session(session_id=first.session_id, password=first.password)
    assert first.until_closed() == b""
    second.ok(wire.PING)


@ours
def test_wrong_password_does_not_end_the_first(zk):
    """Apache closes the holder's connection before it looks at the password; we look first."""
    first = zk.session()
    second = zk.connect()
    response = second.handshake(session_id=first.session_id, password=b"\1" * 16)
    assert response["timeout"] == 0
    first.ok(wire.PING)


def test_close_session(zk):
    """A reply, then FIN; ephemerals are gone, and the session with them."""
    conn, other = zk.session(), zk.session()
    path = zk.node(conn, "e", flags=1)
    session, password = conn.session_id, conn.password
    other.ok(wire.EXISTS, wire.watch_body(path, True))
    reply = conn.call(wire.CLOSE_SESSION)
    assert reply.err == 0
    reply.body.end()
    assert conn.until_closed(reset_is_fine=False) == b""
    zxid, kind, _, where = other.event()
    assert (zxid, kind, where) == (reply.zxid, wire.DELETED, path)
    assert other.call(wire.EXISTS, wire.watch_body(path)).err == wire.NO_NODE
    conn = zk.connect()
    assert conn.handshake(session_id=session, password=password)["timeout"] == 0
    assert conn.until_closed() == b""


def test_close_session_after_pipelined_writes(zk):
    """Every reply arrives before the end."""
    conn = zk.session()
    parent = zk.node(conn, "p")
    for number in range(100):
        conn.request(wire.CREATE, wire.create_body(f"{parent}/{number}", flags=number % 2))
    conn.request(wire.CLOSE_SESSION)
    for number in range(101):
        reply = conn.reply()
        assert reply.err == 0, reply
    assert conn.until_closed(reset_is_fine=False) == b""
    other = zk.session()
    body = other.ok(wire.GET_CHILDREN, wire.watch_body(parent))
    assert set(body.vec(body.text)) == {str(number) for number in range(0, 100, 2)}


def test_connection_end_is_not_the_sessions_end(zk):
    conn, other = zk.session(), zk.session()
    path = zk.node(conn, "e", flags=1)
    conn.close()
    other.ok(wire.EXISTS, wire.watch_body(path))


def test_writes_of_a_vanished_client(zk):
    """Requests that arrived whole are carried out although the client is gone."""
    conn, other = zk.session(), zk.session()
    path = zk.path("v")
    other.call(wire.EXISTS, wire.watch_body(path, True))
    conn.request(wire.CREATE, wire.create_body(path))
    assert conn.reply().err == 0
    conn.close()
    assert other.event()[1:] == (wire.CREATED, 3, path)


@slow
def test_expiry(zk):
    """A silent session ends after its timeout and at most a tick later; the socket is closed."""
    tick, least = zk.conf("tickTime"), zk.conf("minSessionTimeout")
    other = zk.session(timeout=60000)
    conn = zk.session(timeout=least)
    path = zk.node(conn, "e", flags=1)
    begun = time.monotonic()
    session, password = conn.session_id, conn.password
    other.ok(wire.EXISTS, wire.watch_body(path, True))
    assert other.event()[1:] == (wire.DELETED, 3, path)
    took = (time.monotonic() - begun) * 1000
    # Half a second of grace for a machine that is busy with other tests.
    assert least - 5 <= took <= least + tick + 500, f"{took} ms for a timeout of {least}"
    assert conn.until_closed() == b""
    conn = zk.connect()
    assert conn.handshake(session_id=session, password=password)["timeout"] == 0


@slow
def test_pings_keep_a_session(zk):
    least = zk.conf("minSessionTimeout")
    conn = zk.session(timeout=least)
    path = zk.node(conn, "e", flags=1)
    end = time.monotonic() + 3 * least / 1000
    while time.monotonic() < end:
        conn.ok(wire.PING)
        time.sleep(least / 3000)  # the client's rhythm, which is what is under test
    assert conn.ok(wire.EXISTS, wire.watch_body(path)).stat()["ephemeral_owner"] == conn.session_id


@slow
def test_auth_does_not_keep_a_session(zk):
    """auth and sasl are answered, and the session expires all the same."""
    least = zk.conf("minSessionTimeout")
    conn = zk.session(timeout=least)
    credentials = wire.i32(0) + wire.buf("digest") + wire.buf("a:b")
    begun = time.monotonic()
    try:
        while time.monotonic() - begun < 20:
            conn.ok(wire.AUTH, credentials, xid=-4)
            conn.ok(wire.SASL, wire.buf(b""))
            time.sleep(least / 3000)  # the client's rhythm, which is what is under test
        raise AssertionError("the session lives on")
    except wire.Closed:
        pass
    assert time.monotonic() - begun > least / 1000


@slow
def test_no_handshake(zk):
    """A connection that says nothing, or half of its first frame, is closed within 20 s or so."""
    silent, half = zk.connect(), zk.connect()
    half.send(b"\0\0")
    begun = time.monotonic()
    for conn in (silent, half):
        conn.sock.settimeout(30)
        assert conn.until_closed() == b""
    took = time.monotonic() - begun
    assert 9 <= took <= 25, took


@slow
def test_reattached_session_expires_by_its_new_timeout(zk):
    tick, least = zk.conf("tickTime"), zk.conf("minSessionTimeout")
    other = zk.session(timeout=60000)
    conn = zk.session(timeout=8000)
    path = zk.node(conn, "e", flags=1)
    session, password = conn.session_id, conn.password
    conn.close()
    conn = zk.connect()
    begun = time.monotonic()
    assert conn.handshake(timeout=least, session_id=session, password=password)["timeout"] == least
    conn.ok(wire.PING)
    other.ok(wire.EXISTS, wire.watch_body(path, True))
    assert other.event()[1:] == (wire.DELETED, 3, path)
    # The first touch was for eight seconds, and an expiry is never brought forward by less than it
    # was put back: the new timeout rules from the last touch on.
    took = (time.monotonic() - begun) * 1000
    assert took <= least + tick + 500, took


@slow
def test_idle_containers_and_ttl_nodes_go(zk):
    """Reaped at the check interval: a container that lost its last child, a TTL node past its time."""
    conn = zk.session(timeout=60000)
    container, ttl = zk.path("c"), zk.path("t")
    conn.ok(wire.CREATE_CONTAINER, wire.create_body(container, flags=4))
    conn.ok(wire.CREATE_TTL, wire.create_body(ttl, flags=5) + wire.i64(500))
    for path in (container, ttl):
        conn.ok(wire.EXISTS, wire.watch_body(path, True))
    conn.ok(wire.CREATE, wire.create_body(container + "/x"))
    conn.ok(wire.DELETE, wire.version_body(container + "/x"))
    gone = {conn.event()[3], conn.event()[3]}
    assert gone == {container, ttl}


def test_requests_after_close_are_not_answered(zk):
    """What follows closeSession on the wire gets no reply but the end."""
    conn = zk.session()
    path = zk.path("late")
    close = wire.i32(1) + wire.i32(wire.CLOSE_SESSION)
    create = wire.i32(2) + wire.i32(wire.CREATE) + wire.create_body(path)
    conn.send(wire.i32(len(close)) + close + wire.i32(len(create)) + create)
    xids = []
    try:
        while True:
            reply = conn.reply()
            xids.append((reply.xid, reply.err))
    except Closed:
        pass
    assert xids[0] == (1, 0), xids
    # Apache may answer SESSIONEXPIRED to what was already in its queue; it never carries it out.
    assert all(err != 0 for _, err in xids[1:]), xids
    assert zk.session().call(wire.EXISTS, wire.watch_body(path)).err == wire.NO_NODE
