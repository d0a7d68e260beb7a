"""Frames: lengths, sizes, pieces, garbage, and bodies that do not decode."""

import random
import time

import wire
from wire import Closed, buf, i32, i64


def closed_without_bytes(conn):
    got = conn.until_closed()
    assert got == b"", f"closed, but after {got.hex()}"


def test_first_frame_negative_length(zk):
    """A negative first length closes the connection without an answer."""
    for length in (-1, -2, -(2**31)):
        conn = zk.connect()
        conn.send(i32(length))
        closed_without_bytes(conn)
    zk.alive()


def test_first_frame_zero_length(zk):
    conn = zk.connect()
    conn.send(i32(0))
    closed_without_bytes(conn)


def test_first_frame_too_long(zk):
    """One byte over jute.maxbuffer: refused from the length alone, before any payload."""
    conn = zk.connect()
    conn.send(i32(wire.MAX_FRAME + 1))
    closed_without_bytes(conn)
    conn = zk.connect()
    conn.send(i32(2**31 - 1))
    closed_without_bytes(conn)


def test_garbage_of_other_protocols(zk):
    for garbage in (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
                    b"SSH-2.0-x\r\n", b"\xff" * 64, b"\x7f" * 64, bytes(range(128, 200))):
        conn = zk.connect()
        conn.send(garbage)
        closed_without_bytes(conn)
    zk.alive()


def test_garbage_seeded(zk):
    """Random bytes, as connect requests and as requests, never take the server down."""
    rng = random.Random(20260211)
    for _ in range(60):
        conn = zk.connect()
        junk = rng.randbytes(rng.randrange(8, 120))
        # A length that the junk satisfies, so that the decoder, not the framing, sees it. The
        # session id's place is zeroed half of the time, so that some are good handshakes.
        conn.send_frame(junk)
        conn.sock.shutdown(1)
        conn.until_closed()
    conn = zk.session()
    session, password = conn.session_id, conn.password
    known = [1, 2, 3, 4, 5, 6, 7, 8, 9, 12, 14, 15, 16, 17, 18, 19, 21, 22, 101, 103, 104, 105, 106]
    for _ in range(200):
        op = rng.choice(known)
        body = rng.randbytes(rng.randrange(0, 60))
        if op == 21:
            body = body[:20]  # a whole createTTL could be one of the inputs that stop Apache's server
        try:
            xid = conn.request(op, body)
            reply = conn.reply()
            assert reply.xid == xid, reply
        except Closed:
            conn = zk.session(session_id=session, password=password)
    zk.alive()


def test_frame_cut_short_by_fin(zk):
    """A peer that vanishes inside a frame is dropped; nothing is executed."""
    conn = zk.connect()
    conn.send(conn_prefix(conn, 20))
    conn.sock.shutdown(1)
    closed_without_bytes(conn)
    conn = zk.session()
    whole = i32(1) + i32(wire.CREATE) + wire.create_body(zk.path("cut"))
    conn.send(i32(len(whole)) + whole[:-1])
    conn.sock.shutdown(1)
    closed_without_bytes(conn)
    conn = zk.session()
    assert conn.call(wire.EXISTS, wire.watch_body(zk.path("cut"))).err == wire.NO_NODE


def conn_prefix(conn, count):
    payload = conn.connect_request()
    return (i32(len(payload)) + payload)[:count]


def test_later_frame_negative_or_too_long(zk):
    for length in (-1, -(2**31), wire.MAX_FRAME + 1, 2**31 - 1):
        conn = zk.session()
        conn.send(i32(length))
        closed_without_bytes(conn)


def test_later_frame_shorter_than_a_header(zk):
    """Zero to seven bytes cannot hold a request header: closed."""
    for length in range(8):
        conn = zk.session()
        conn.send(i32(length) + b"\0" * length)
        closed_without_bytes(conn)


def test_longest_frame_is_accepted(zk):
    """jute.maxbuffer bytes exactly pass; the data comes back whole; one more closes."""
    conn = zk.session()
    path = zk.node(conn, "big")
    overhead = 8 + len(wire.set_body(path))
    data = random.Random(7).randbytes(wire.MAX_FRAME - overhead)
    conn.ok(wire.SET_DATA, wire.set_body(path, data))
    body = conn.ok(wire.GET_DATA, wire.watch_body(path))
    assert body.buf() == data
    assert body.stat()["data_length"] == len(data)
    frame = i32(9) + i32(wire.SET_DATA) + wire.set_body(path, data + b"x")
    assert len(frame) == wire.MAX_FRAME + 1
    try:
        conn.send_frame(frame)
    except Closed:
        pass
    closed_without_bytes(conn)


def test_trailing_bytes_are_ignored(zk):
    """What follows a request's last field is not looked at."""
    conn = zk.session()
    conn.ok(wire.CREATE, wire.create_body(zk.path("tail")) + b"trailing")
    conn.ok(wire.GET_DATA, wire.watch_body(zk.path("tail")) + b"\xff" * 9)
    conn.ok(wire.PING, b"more")


def test_trailing_bytes_after_connect_request(zk):
    conn = zk.connect()
    conn.send_frame(conn.connect_request() + b"trailing")
    response = conn.connect_response()
    assert response["timeout"] > 0 and response["read_only"] is False
    conn.ok(wire.PING)


def test_byte_by_byte(zk):
    """A peer that sends one byte at a time is served like any other."""
    conn = zk.connect()
    payload = conn.connect_request()
    for byte in i32(len(payload)) + payload:
        conn.send(bytes([byte]))
    conn.connect_response()
    body = i32(5) + i32(wire.CREATE) + wire.create_body(zk.path("slow"))
    for byte in i32(len(body)) + body:
        conn.send(bytes([byte]))
    reply = conn.reply()
    assert (reply.xid, reply.err) == (5, 0) and reply.body.text() == zk.path("slow")


def test_slow_loris_does_not_hold_others(zk):
    """Half-sent frames on many connections; another session goes on being answered."""
    lazy = []
    for _ in range(50):
        conn = zk.connect()
        conn.send(conn_prefix(conn, 17))
        lazy.append(conn)
    for _ in range(20):
        conn = zk.session()
        conn.send(i32(wire.MAX_FRAME) + b"half a frame")
        lazy.append(conn)
    conn = zk.session()
    for _ in range(50):
        conn.ok(wire.EXISTS, wire.watch_body("/"))
    del lazy


def test_frames_in_random_pieces(zk):
    """The same requests in arbitrary pieces get the same replies, in order."""
    rng = random.Random(11)
    conn = zk.session()
    path = zk.node(conn, "pieces")
    stream = b""
    for number in range(200):
        body = i32(1000 + number) + i32(wire.SET_DATA) + wire.set_body(path, str(number))
        stream += i32(len(body)) + body
    while stream:
        count = rng.choice([1, 2, 3, 5, 17, 64, 200, 1500])
        conn.send(stream[:count])
        stream = stream[count:]
    for number in range(200):
        reply = conn.reply()
        assert (reply.xid, reply.err) == (1000 + number, 0), reply
        assert reply.body.stat()["version"] == number + 1


def test_undecodable_read_body(zk):
    """A body that ends early or has a bad length: -5, and the connection stays."""
    conn = zk.session()
    for body in (b"", b"\0", i32(100) + b"/x", i32(-2), i32(-(2**31)), i32(2**31 - 1), buf("/")):
        reply = conn.call(wire.GET_DATA, body)
        assert reply.err == wire.MARSHALLING, f"{body.hex()}: {reply}"
        reply.body.end()
    conn.ok(wire.GET_DATA, wire.watch_body("/"))


def test_undecodable_write_body(zk):
    conn = zk.session()
    for op in (wire.CREATE, wire.DELETE, wire.SET_DATA, wire.SET_ACL, wire.CREATE2, wire.MULTI,
               wire.CREATE_CONTAINER, wire.CREATE_TTL):
        for body in (b"\0\0\0", i32(5) + b"/", i32(-7)):
            reply = conn.call(op, body)
            assert reply.err == wire.MARSHALLING, f"op {op}, {body.hex()}: {reply}"
            reply.body.end()
    conn.ok(wire.PING)


def test_counts_are_not_trusted(zk):
    """A vector that claims two thousand million elements is an early end, not an allocation."""
    conn = zk.session()
    huge = i32(2**31 - 1)
    reply = conn.call(wire.CREATE, buf(zk.path("huge")) + buf(b"") + huge + b"\0" * 30)
    assert reply.err == wire.MARSHALLING, reply
    reply = conn.call(wire.SET_WATCHES, i64(0) + huge)
    assert reply.err == wire.MARSHALLING, reply
    conn.ok(wire.PING)


def test_undecodable_auth_closes(zk):
    conn = zk.session()
    conn.request(wire.AUTH, i32(0) + i32(50) + b"dig")
    closed_without_bytes(conn)


def test_null_and_empty_differ(zk):
    """Null data comes back as -1, empty data as 0; dataLength is 0 for both."""
    conn = zk.session()
    for name, data in (("null", None), ("empty", b"")):
        path = zk.node(conn, name, data)
        body = conn.ok(wire.GET_DATA, wire.watch_body(path))
        assert body.buf() == data
        assert body.stat()["data_length"] == 0
        conn.ok(wire.SET_DATA, wire.set_body(path, b"x"))
        conn.ok(wire.SET_DATA, wire.set_body(path, data))
        assert conn.ok(wire.GET_DATA, wire.watch_body(path)).buf() == data


def test_strings_leave_as_surrogate_pairs(zk):
    """Java writes a character above U+FFFF as two three-byte surrogates, and bad UTF-8 as U+FFFD."""
    conn = zk.session()
    body = conn.ok(wire.SYNC, buf("/\U0001f600"))
    assert body.buf() == b"/\xed\xa0\xbd\xed\xb8\x80"
    for bad, back in ((b"/\xff", b"/\xef\xbf\xbd"), (b"/\xc3", b"/\xef\xbf\xbd"),
                      (b"/\xe2\x82x", b"/\xef\xbf\xbdx"), (b"/\xc0\x80", b"/\xef\xbf\xbd\xef\xbf\xbd"),
                      (b"/\xed\xa0\xbd", b"/\xef\xbf\xbd"), (b"/\xf0\x9f\x98", b"/\xef\xbf\xbd")):
        got = conn.ok(wire.SYNC, buf(bad)).buf()
        assert got == back, f"{bad.hex()} came back as {got.hex()}"


def test_booleans_are_any_non_zero(zk):
    conn = zk.session()
    path = zk.node(conn, "bool")
    conn.ok(wire.GET_DATA, buf(path) + b"\x80")
    conn.request(wire.SET_DATA, wire.set_body(path, b"y"))
    assert conn.event()[1:] == (wire.DATA_CHANGED, 3, path)
    assert conn.reply().err == 0


def test_a_client_that_never_reads(zk):
    """A session that asks for megabytes and takes none does not stop the others."""
    writer = zk.session()
    path = zk.node(writer, "heavy", b"h" * 500_000)
    deaf = zk.session(timeout=60000)
    request = i32(1) + i32(wire.GET_DATA) + wire.watch_body(path)
    deaf.send((i32(len(request)) + request) * 60)
    begun = time.monotonic()
    for _ in range(100):
        writer.ok(wire.SET_DATA, wire.set_body(path, b"still here"))
    assert time.monotonic() - begun < wire.TIMEOUT
    for _ in range(60):
        reply = deaf.reply()
        assert reply.err == 0
