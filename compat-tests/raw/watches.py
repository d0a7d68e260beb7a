"""Watches as bytes: notifications, their order, setWatches, addWatch, removal."""

import wire
from wire import CHILDREN_CHANGED, CREATED, DATA_CHANGED, DELETED, buf, i32, i64


def set_watches(zxid, data=(), exist=(), child=()):
    lists = (wire.vec([buf(path) for path in paths]) for paths in (data, exist, child))
    return i64(zxid) + b"".join(lists)


def test_event_before_the_writers_reply(zk):
    """A session's own event comes first, and carries the transaction's zxid."""
    conn = zk.session()
    path = zk.node(conn, "w")
    conn.ok(wire.GET_DATA, wire.watch_body(path, True))
    conn.request(wire.SET_DATA, wire.set_body(path, b"x"))
    zxid, kind, state, where = conn.event()
    reply = conn.reply()
    assert (kind, state, where) == (DATA_CHANGED, 3, path)
    assert reply.err == 0 and zxid == reply.zxid == reply.body.stat()["mzxid"]


def test_one_shot(zk):
    conn = zk.session()
    path = zk.node(conn, "w")
    for _ in range(3):
        conn.ok(wire.GET_DATA, wire.watch_body(path, True))
        conn.ok(wire.EXISTS, wire.watch_body(path, True))
    conn.request(wire.SET_DATA, wire.set_body(path, b"x"))
    assert conn.event()[1] == DATA_CHANGED
    assert conn.reply().err == 0
    conn.ok(wire.SET_DATA, wire.set_body(path, b"y"))


def test_exists_watch_survives_no_node(zk):
    """exists on nothing leaves a watch; getData and getChildren on nothing do not."""
    conn = zk.session()
    path = zk.path("w")
    assert conn.call(wire.GET_DATA, wire.watch_body(path, True)).err == wire.NO_NODE
    assert conn.call(wire.GET_CHILDREN, wire.watch_body(path, True)).err == wire.NO_NODE
    conn.ok(wire.CREATE, wire.create_body(path))
    conn.ok(wire.DELETE, wire.version_body(path))
    assert conn.call(wire.EXISTS, wire.watch_body(path, True)).err == wire.NO_NODE
    conn.request(wire.CREATE, wire.create_body(path))
    assert conn.event()[1:] == (CREATED, 3, path)
    assert conn.reply().err == 0


def test_delete_fires_once_then_the_parent(zk):
    conn = zk.session()
    parent = zk.node(conn, "p")
    path = parent + "/c"
    conn.ok(wire.CREATE, wire.create_body(path))
    conn.ok(wire.GET_DATA, wire.watch_body(path, True))
    conn.ok(wire.GET_CHILDREN, wire.watch_body(path, True))
    conn.ok(wire.GET_CHILDREN2, wire.watch_body(parent, True))
    conn.request(wire.DELETE, wire.version_body(path))
    assert conn.event()[1:] == (DELETED, 3, path)
    assert conn.event()[1:] == (CHILDREN_CHANGED, 3, parent)
    assert conn.reply().err == 0


def test_add_watch_body_and_modes(zk):
    """addWatch answers an int 0; a bad mode is -5; persistent watches stay."""
    conn = zk.session()
    parent = zk.node(conn, "p")
    body = conn.ok(wire.ADD_WATCH, buf(parent) + i32(0))
    assert body.rest() == i32(0)
    body = conn.ok(wire.ADD_WATCH, buf(parent) + i32(1))
    assert body.rest() == i32(0)
    for mode in (2, -1, 99):
        assert conn.call(wire.ADD_WATCH, buf(parent) + i32(mode)).err == wire.MARSHALLING
    for number in range(2):
        path = f"{parent}/c{number}"
        conn.request(wire.CREATE, wire.create_body(path))
        assert conn.event()[1:] == (CREATED, 3, path)
        assert conn.event()[1:] == (CHILDREN_CHANGED, 3, parent)
        assert conn.reply().err == 0


def test_remove_watches(zk):
    conn = zk.session()
    path = zk.node(conn, "w")
    assert conn.call(wire.REMOVE_WATCHES, buf(path) + i32(3)).err == wire.NO_WATCHER
    assert conn.call(wire.CHECK_WATCHES, buf(path) + i32(2)).err == wire.NO_WATCHER
    conn.ok(wire.GET_DATA, wire.watch_body(path, True))
    assert conn.call(wire.CHECK_WATCHES, buf(path) + i32(1)).err == wire.NO_WATCHER
    for op in (wire.CHECK_WATCHES, wire.REMOVE_WATCHES):
        for kind in (0, 6, -1):
            assert conn.call(op, buf(path) + i32(kind)).err == wire.MARSHALLING
        assert conn.call(op, buf(path) + i32(2)).err == 0
    assert conn.call(wire.CHECK_WATCHES, buf(path) + i32(3)).err == wire.NO_WATCHER
    conn.ok(wire.SET_DATA, wire.set_body(path, b"silent"))


def test_set_watches_catches_up(zk):
    """Missed events come before the reply, with zxid -1; the rest is armed."""
    conn = zk.session()
    changed, same = zk.node(conn, "changed"), zk.node(conn, "same")
    zxid = conn.call(wire.EXISTS, wire.watch_body("/")).zxid
    conn.ok(wire.SET_DATA, wire.set_body(changed, b"x"))
    conn.ok(wire.CREATE, wire.create_body(changed + "/c"))
    body = set_watches(zxid, [changed, same, zk.path("gone")], [same, zk.path("absent")], [changed, same])
    conn.request(wire.SET_WATCHES, body, xid=-8)
    events = [conn.event() for _ in range(4)]
    assert all(event[0] == -1 and event[2] == 3 for event in events), events
    assert [event[1::2] for event in events] == [
        (DATA_CHANGED, changed), (DELETED, zk.path("gone")), (CREATED, same), (CHILDREN_CHANGED, changed)
    ], events
    reply = conn.reply()
    assert (reply.xid, reply.err) == (-8, 0), reply
    reply.body.end()
    conn.request(wire.CREATE, wire.create_body(zk.path("absent")))
    assert conn.event()[1:] == (CREATED, 3, zk.path("absent"))
    assert conn.reply().err == 0
    conn.request(wire.CREATE, wire.create_body(same + "/c"))
    assert conn.event()[1:] == (CHILDREN_CHANGED, 3, same)
    assert conn.reply().err == 0


def test_set_watches2(zk):
    """Persistent watches are armed and never replayed."""
    conn = zk.session()
    path = zk.node(conn, "w")
    body = set_watches(0) + wire.vec([buf(path)]) + wire.vec([buf(path)])
    conn.ok(wire.SET_WATCHES2, body)
    for _ in range(2):
        conn.request(wire.SET_DATA, wire.set_body(path))
        assert conn.event()[1:] == (DATA_CHANGED, 3, path)
        assert conn.reply().err == 0


def test_set_watches_null_vector(zk):
    conn = zk.session()
    assert conn.call(wire.SET_WATCHES, i64(0) + wire.vec(None) * 3).err == wire.MARSHALLING
    conn.ok(wire.PING)


def test_watches_end_with_the_connection(zk):
    """A session that reattaches has no watches until it sets them again."""
    conn = zk.session()
    path = zk.node(conn, "w")
    conn.ok(wire.GET_DATA, wire.watch_body(path, True))
    session, password = conn.session_id, conn.password
    conn.close()
    conn = zk.session(session_id=session, password=password)
    conn.ok(wire.SET_DATA, wire.set_body(path, b"x"))
    conn.ok(wire.PING)


def test_multi_fires_in_order(zk):
    conn = zk.session()
    parent = zk.node(conn, "p")
    conn.ok(wire.ADD_WATCH, buf(parent) + i32(1))
    conn.request(wire.MULTI, wire.multi_body(
        (wire.CREATE, wire.create_body(parent + "/a")),
        (wire.SET_DATA, wire.set_body(parent + "/a")),
        (wire.CREATE, wire.create_body(parent + "/b")),
        (wire.DELETE, wire.version_body(parent + "/a")),
    ))
    events = [conn.event() for _ in range(4)]
    reply = conn.reply()
    assert [event[1::2] for event in events] == [
        (CREATED, parent + "/a"), (DATA_CHANGED, parent + "/a"), (CREATED, parent + "/b"),
        (DELETED, parent + "/a")
    ]
    assert {event[0] for event in events} == {reply.zxid}


def test_no_event_without_read_permission(zk):
    """The event is dropped and the one-shot watch consumed."""
    watcher, owner = zk.session(), zk.session()
    owner.ok(wire.AUTH, i32(0) + buf("digest") + buf("o:o"), xid=-4)
    path = zk.node(owner, "w")
    watcher.ok(wire.GET_DATA, wire.watch_body(path, True))
    owner.ok(wire.SET_ACL, buf(path) + wire.vec([wire.acl(31, "auth", "")]) + i32(-1))
    owner.ok(wire.SET_DATA, wire.set_body(path, b"secret"))
    owner.ok(wire.SET_ACL, buf(path) + wire.OPEN_ACL + i32(-1))
    owner.ok(wire.SET_DATA, wire.set_body(path, b"open"))
    watcher.ok(wire.PING)
    assert watcher.call(wire.CHECK_WATCHES, buf(path) + i32(3)).err == wire.NO_WATCHER
