"""Requests and replies: headers, xids, zxids, order, error classes, multi's bytes."""

import wire
from harness import alone
from wire import Closed, buf, i32, i64


def test_ping_has_its_own_xid(zk):
    """A ping's reply carries xid -2 whatever was sent."""
    conn = zk.session()
    for xid in (-2, 77, 0, -1):
        reply = conn.call(wire.PING, xid=xid)
        assert (reply.xid, reply.err) == (-2, 0), reply
        reply.body.end()


def test_xids_are_echoed(zk):
    conn = zk.session()
    for xid in (0, -1, -2, -4, -8, -1000, 1, 2**31 - 1, -(2**31)):
        assert conn.call(wire.EXISTS, wire.watch_body("/"), xid=xid).xid == xid
        assert conn.call(wire.SET_DATA, wire.set_body("/nothing-here"), xid=xid).xid == xid


def test_unknown_operations(zk):
    """-6, zxid -1, no body, then the end; also for check outside a multi."""
    for op in (0, -1, 10, wire.CHECK, 23, 99, 108, 500, 2**31 - 1, -(2**31), -12):
        conn = zk.session()
        reply = conn.call(op, wire.version_body("/"))
        assert (reply.err, reply.zxid) == (wire.UNIMPLEMENTED, -1), f"op {op}: {reply}"
        reply.body.end()
        assert conn.until_closed() == b"", f"op {op}"


def test_unknown_operation_behind_others(zk):
    """It is refused on arrival, so that its reply may overtake those of earlier requests, and what
    of them is not sent by then is lost with the connection; all were carried out."""
    conn = zk.session()
    path = zk.path("before")
    requests = [(wire.CREATE, wire.create_body(path))]
    requests += [(wire.SET_DATA, wire.set_body(path, str(n))) for n in range(30)]
    requests.append((99, b""))
    stream = b""
    for number, (op, body) in enumerate(requests):
        payload = i32(number + 1) + i32(op) + body
        stream += i32(len(payload)) + payload
    conn.send(stream)
    replies = []
    try:
        while True:
            replies.append(conn.reply())
    except Closed:
        pass
    refused = [reply for reply in replies if reply.xid == len(requests)]
    assert [(reply.err, reply.zxid) for reply in refused] == [(wire.UNIMPLEMENTED, -1)], replies
    others = [reply.xid for reply in replies if reply.xid != len(requests)]
    assert others == list(range(1, len(others) + 1)), replies
    other = zk.session()
    other.call(wire.SYNC, buf(path))
    assert other.ok(wire.GET_DATA, wire.watch_body(path)).buf() == b"29"


@alone
def test_failed_writes_take_a_zxid(zk):
    conn = zk.session()
    path = zk.node(conn, "z")
    base = conn.call(wire.EXISTS, wire.watch_body(path)).zxid
    failures = [
        (wire.CREATE, wire.create_body(path), wire.NODE_EXISTS),
        (wire.CREATE, wire.create_body(path + "/no/parent"), wire.NO_NODE),
        (wire.DELETE, wire.version_body(path, 99), wire.BAD_VERSION),
        (wire.SET_DATA, wire.set_body(path, b"", 99), wire.BAD_VERSION),
        (wire.SET_ACL, buf(path) + wire.vec([]) + i32(-1), wire.INVALID_ACL),
        (wire.CREATE, wire.create_body("/bad//path"), wire.NO_NODE),
        (wire.CREATE, wire.create_body(path + "/"), wire.BAD_ARGUMENTS),
        (wire.DELETE, wire.version_body("/zookeeper"), wire.BAD_ARGUMENTS),
    ]
    for step, (op, body, error) in enumerate(failures, 1):
        reply = conn.call(op, body)
        assert reply.err == error, f"step {step}: {reply}"
        assert reply.zxid == base + step, f"step {step}: {reply}, base {base:#x}"
        reply.body.end()
        read = conn.call(wire.EXISTS, wire.watch_body(path))
        assert read.zxid == base + step, f"step {step}: a read has {read}"


@alone
def test_zxids_of_reads_and_auth(zk):
    conn = zk.session()
    path = zk.node(conn, "r")
    base = conn.call(wire.EXISTS, wire.watch_body(path)).zxid
    for op, body in ((wire.PING, b""), (wire.SYNC, buf("/")), (wire.GET_CHILDREN, wire.watch_body("/")),
                     (wire.WHO_AM_I, b""), (wire.ADD_WATCH, buf(path) + i32(0)),
                     (wire.GET_EPHEMERALS, buf("/")), (wire.ALL_CHILDREN_NUMBER, buf("/")),
                     (wire.GET_DATA, wire.watch_body(path + "/none")),
                     (wire.REMOVE_WATCHES, buf("/none") + i32(3))):
        assert conn.call(op, body).zxid == base, f"op {op}"
    reply = conn.call(wire.AUTH, i32(0) + buf("digest") + buf("u:p"), xid=-4)
    assert (reply.err, reply.zxid) == (0, 0), reply
    reply.body.end()
    reply = conn.call(wire.SASL, buf(b""))
    assert (reply.err, reply.zxid) == (0, 0) and reply.body.buf() is None, reply


def test_replies_in_request_order(zk):
    """Reads and writes, pipelined: each reply in turn, and a read sees the write before it."""
    conn = zk.session()
    path = zk.node(conn, "o")
    stream = b""
    for number in range(500):
        if number % 2 == 0:
            payload = i32(number) + i32(wire.SET_DATA) + wire.set_body(path, str(number))
        else:
            payload = i32(number) + i32(wire.GET_DATA) + wire.watch_body(path)
        stream += i32(len(payload)) + payload
    conn.send(stream)
    for number in range(500):
        reply = conn.reply()
        assert (reply.xid, reply.err) == (number, 0), reply
        if number % 2 == 1:
            assert reply.body.buf() == str(number - 1).encode()


def test_auth(zk):
    """Any xid is echoed; ids add up; digest never fails; the password is not shown."""
    conn = zk.session()
    assert conn.call(wire.AUTH, i32(0) + buf("digest") + buf("bob:secret"), xid=12).err == 0
    assert conn.call(wire.AUTH, i32(9) + buf("digest") + buf("eve:other"), xid=-4).err == 0
    body = conn.ok(wire.WHO_AM_I)
    infos = body.vec(lambda: (body.text(), body.text()))
    assert ("digest", "bob") in infos and ("digest", "eve") in infos, infos
    assert ("ip", "127.0.0.1") in infos, infos


def test_auth_failure(zk):
    """-115 with zxid 0, then the end."""
    for scheme in ("nonsense", "", "world", "auth"):
        conn = zk.session()
        reply = conn.call(wire.AUTH, i32(0) + buf(scheme) + buf("x:y"), xid=-4)
        assert (reply.xid, reply.err, reply.zxid) == (-4, wire.AUTH_FAILED, 0), f"{scheme}: {reply}"
        reply.body.end()
        assert conn.until_closed() == b""


def test_paths_of_reads(zk):
    """Reads do not check a path's form: unknown is -101, empty is the root, null is -5."""
    conn = zk.session()
    for path in ("x", "/a//b", "/a/", "/./x", "/\x01"):
        assert conn.call(wire.GET_DATA, wire.watch_body(path)).err == wire.NO_NODE, path
    root = conn.ok(wire.EXISTS, wire.watch_body("/")).stat()
    assert conn.ok(wire.EXISTS, wire.watch_body("")).stat() == root
    assert conn.call(wire.EXISTS, wire.watch_body(None)).err == wire.MARSHALLING
    assert conn.call(wire.EXISTS, wire.watch_body("/a\0b")).err == wire.BAD_ARGUMENTS


def test_paths_of_creates(zk):
    conn = zk.session()
    base = zk.node(conn, "p")
    for name in ("/.", "/..", "/\x01", "/\x7f", "/\u0085", "/\ue000", "/\ufff0", "/\U0001f600"):
        reply = conn.call(wire.CREATE, wire.create_body(base + name))
        assert reply.err == wire.BAD_ARGUMENTS, f"{name!r}: {reply}"
    for name in ("/x..y", "/a b", "/a:b", "/\u20ac", "/...", "/\u00a0", "/\ufeff"):
        reply = conn.call(wire.CREATE, wire.create_body(base + name))
        assert reply.err == 0, f"{name!r}: {reply}"
    assert conn.call(wire.CREATE, wire.create_body(None)).err == wire.MARSHALLING
    assert conn.call(wire.CREATE, wire.create_body("/")).err == wire.NODE_EXISTS


def test_sequential_of_root_like_paths(zk):
    conn = zk.session()
    base = zk.node(conn, "s")
    first = conn.ok(wire.CREATE, wire.create_body(base + "/", flags=2)).text()
    assert first == base + "/0000000000", first
    second = conn.ok(wire.CREATE, wire.create_body(base + "/n-", flags=3)).text()
    assert second == base + "/n-0000000001", second


def test_bad_flags(zk):
    conn = zk.session()
    for flags in (-1, 7, 8, 2**31 - 1):
        assert conn.call(wire.CREATE, wire.create_body(zk.path("f"), flags=flags)).err == wire.BAD_ARGUMENTS


def test_multi_success_bytes(zk):
    conn = zk.session()
    path = zk.path("m")
    reply = conn.call(wire.MULTI, wire.multi_body(
        (wire.CREATE, wire.create_body(path, b"1")),
        (wire.CHECK, wire.version_body(path, 0)),
        (wire.SET_DATA, wire.set_body(path, b"22", 0)),
        (wire.CREATE2, wire.create_body(path + "/c")),
        (wire.CREATE_CONTAINER, wire.create_body(path + "/k", flags=4)),
        (wire.DELETE, wire.version_body(path + "/c")),
    ))
    assert reply.err == 0, reply
    body = reply.body
    assert body.take(9) == wire.multi_header(1, False, 0) and body.text() == path
    assert body.take(9) == wire.multi_header(13, False, 0)
    assert body.take(9) == wire.multi_header(5, False, 0)
    stat = body.stat()
    assert (stat["version"], stat["data_length"], stat["mzxid"]) == (1, 2, reply.zxid)
    assert body.take(9) == wire.multi_header(15, False, 0) and body.text() == path + "/c"
    assert body.stat()["czxid"] == reply.zxid
    assert body.take(9) == wire.multi_header(15, False, 0) and body.text() == path + "/k"
    assert body.stat()["ephemeral_owner"] == 0
    assert body.take(9) == wire.multi_header(2, False, 0)
    assert body.rest() == wire.MULTI_END


@alone
def test_multi_failure_bytes(zk):
    """Header err 0; 0 before the failing operation, its code, -2 after; one zxid; nothing applied."""
    conn = zk.session()
    path = zk.node(conn, "m")
    base = conn.call(wire.EXISTS, wire.watch_body(path)).zxid
    reply = conn.call(wire.MULTI, wire.multi_body(
        (wire.SET_DATA, wire.set_body(path, b"changed")),
        (wire.CHECK, wire.version_body(path, 77)),
        (wire.CREATE, wire.create_body(path + "/never")),
    ))
    assert (reply.err, reply.zxid) == (0, base + 1), reply
    errors = b"".join(wire.multi_header(-1, False, e) + i32(e) for e in (0, wire.BAD_VERSION, -2))
    assert reply.body.rest() == errors + wire.MULTI_END
    assert conn.ok(wire.GET_DATA, wire.watch_body(path)).buf() == b""


@alone
def test_multi_empty(zk):
    conn = zk.session()
    base = conn.call(wire.EXISTS, wire.watch_body("/")).zxid
    reply = conn.call(wire.MULTI, wire.MULTI_END)
    assert (reply.err, reply.zxid) == (0, base + 1) and reply.body.rest() == wire.MULTI_END
    reply = conn.call(wire.MULTI_READ, wire.MULTI_END)
    assert (reply.err, reply.zxid) == (0, base + 1) and reply.body.rest() == wire.MULTI_END


def test_multi_refused_whole(zk):
    """Reads among writes, writes among reads, operations that have no place there: -5."""
    conn = zk.session()
    path = zk.node(conn, "m")
    write = (wire.SET_DATA, wire.set_body(path))
    read = (wire.GET_DATA, wire.watch_body(path))
    for op, parts in ((wire.MULTI, [write, read]), (wire.MULTI, [read]), (wire.MULTI_READ, [write]),
                      (wire.MULTI, [write, (wire.SET_ACL, buf(path) + wire.OPEN_ACL + i32(-1))]),
                      (wire.MULTI, [(wire.DELETE_CONTAINER, buf(path))]),
                      (wire.MULTI, [(wire.CREATE, wire.create_body(path + "/x", flags=9))]),
                      (wire.MULTI, [(wire.CREATE, wire.create_body(path + "/x", flags=5))]),
                      (wire.MULTI, [(999, b"")])):
        reply = conn.call(op, wire.multi_body(*parts))
        assert reply.err == wire.MARSHALLING, f"{op} {parts}: {reply}"
    conn.ok(wire.PING)


def test_multi_read_bytes(zk):
    conn = zk.session()
    path = zk.node(conn, "m", b"data")
    reply = conn.call(wire.MULTI_READ, wire.multi_body(
        (wire.GET_DATA, wire.watch_body(path)),
        (wire.GET_DATA, wire.watch_body(path + "/none")),
        (wire.GET_CHILDREN, wire.watch_body(path)),
    ))
    body = reply.body
    assert reply.err == 0
    assert body.take(9) == wire.multi_header(4, False, 0) and body.buf() == b"data" and body.stat()
    assert body.take(9) == wire.multi_header(-1, False, wire.NO_NODE) and body.i32() == wire.NO_NODE
    assert body.take(9) == wire.multi_header(8, False, 0) and body.vec(body.text) == []
    assert body.rest() == wire.MULTI_END


def test_reconfig_when_disabled(zk):
    conn = zk.session()
    body = buf("server.1=localhost:1:2;3") + buf(None) + buf(None) + i64(-1)
    assert conn.call(wire.RECONFIG, body).err == wire.RECONFIG_DISABLED


def test_ttl_rules(zk):
    conn = zk.session()
    for flags, ttl, error in ((5, 0, wire.BAD_ARGUMENTS), (5, -1, wire.BAD_ARGUMENTS),
                              (5, 2**40, wire.BAD_ARGUMENTS), (0, 1000, wire.BAD_ARGUMENTS),
                              (9, 1000, wire.BAD_ARGUMENTS), (5, 2**40 - 1, 0), (6, 100_000, 0)):
        reply = conn.call(wire.CREATE_TTL, wire.create_body(zk.path(f"ttl{ttl}"), flags=flags) + i64(ttl))
        assert reply.err == error, f"{flags}, {ttl}: {reply}"
    path = reply.body.text()
    assert path == zk.path("ttl100000") + path[-10:]
    assert reply.body.stat()["ephemeral_owner"] == 0
    reply.body.end()


def test_get_ephemerals(zk):
    conn = zk.session()
    ours = {zk.node(conn, f"e{n}", flags=1) for n in range(3)}
    zk.node(conn, "persistent")
    for prefix in (zk.root, "/", "", None, " "):
        body = conn.ok(wire.GET_EPHEMERALS, buf(prefix))
        assert set(body.vec(body.text)) == ours, prefix
    body = conn.ok(wire.GET_EPHEMERALS, buf(zk.path("e1")))
    assert body.vec(body.text) == [zk.path("e1")]
