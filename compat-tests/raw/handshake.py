"""ConnectRequest and ConnectResponse."""

import struct

import wire
from wire import buf, i32, i64


def test_both_forms(zk):
    """With the trailing readOnly byte the response has it too; without, neither has it."""
    conn = zk.connect()
    response = conn.handshake(read_only=False)
    assert response["length"] == 37 and response["read_only"] is False, response
    conn = zk.connect()
    response = conn.handshake(read_only=None)
    assert response["length"] == 36 and response["read_only"] is None, response
    conn = zk.connect()
    response = conn.handshake(read_only=True)
    assert response["length"] == 37 and response["read_only"] is False, response


def test_response_fields(zk):
    conn = zk.connect()
    response = conn.handshake(timeout=10000)
    assert response["protocol"] == 0
    assert response["session_id"] != 0
    assert response["password"] == wire.password_of(response["session_id"])


def test_password_vectors(zk):
    """The derivation used here is Java's (known pairs)."""
    assert wire.password_of(1).hex() == "054cc74a37327db215e702e20c73f005"
    assert wire.password_of(0x0100ABCDEF120000).hex() == "9c4f63baf93e340eda515fa06afeb902"


def test_session_ids_count_up(zk):
    first = zk.session()
    second = zk.session()
    assert second.session_id > first.session_id


def test_protocol_version_is_not_checked(zk):
    for version in (1, -1, 2**31 - 1):
        conn = zk.connect()
        assert conn.handshake(protocol=version)["protocol"] == 0
        conn.ok(wire.PING)


def test_timeout_is_clamped(zk):
    least, most = zk.conf("minSessionTimeout"), zk.conf("maxSessionTimeout")
    for asked, given in ((0, least), (-1, least), (-(2**31), least), (least - 1, least), (least, least),
                         (least + 1, least + 1), (most - 1, most - 1), (most, most), (most + 1, most),
                         (2**31 - 1, most)):
        conn = zk.connect()
        assert conn.handshake(timeout=asked)["timeout"] == given, asked
        conn.ok(wire.CLOSE_SESSION)


def test_new_session_with_any_password(zk):
    """For session id 0 the password is not looked at: null, empty, long."""
    for password in (None, b"", b"x", b"y" * 100):
        conn = zk.connect()
        response = conn.handshake(password=password)
        assert response["timeout"] > 0 and response["session_id"] != 0
        conn.ok(wire.PING)


def test_connect_request_cut_short(zk):
    """A frame that ends before ConnectRequest does: closed without bytes."""
    whole = zk.connect().connect_request(read_only=None)
    for length in (1, 4, 12, 27, 28, 43):
        conn = zk.connect()
        conn.send_frame(whole[:length])
        assert conn.until_closed() == b""
    conn = zk.connect()
    conn.send_frame(i32(0) + i64(0) + i32(5000) + i64(0) + i32(2**31 - 1))
    assert conn.until_closed() == b""


def refused(conn, response, byte):
    """The zero response and then the end, as a FIN."""
    assert response["timeout"] == 0 and response["session_id"] == 0, response
    assert response["password"] == b"\0" * 16, response
    assert response["read_only"] is byte, response
    assert conn.until_closed(reset_is_fine=False) == b""


def test_wrong_password(zk):
    holder = zk.session()
    session, right = holder.session_id, holder.password
    holder.close()
    wrong = bytes([right[0] ^ 1]) + right[1:]
    for password in (wrong, b"\0" * 16, right[:15], right + b"x", b"", None):
        for flag, byte in ((False, False), (None, None)):
            conn = zk.connect()
            refused(conn, conn.handshake(session_id=session, password=password, read_only=flag), byte)
    # The session itself is unharmed.
    conn = zk.connect()
    response = conn.handshake(session_id=session, password=right)
    assert response["session_id"] == session and response["timeout"] > 0


def test_unknown_session(zk):
    """A session that never was, with the password that would be right for it."""
    session = 0x01BADBADBADBAD00
    for flag, byte in ((False, False), (None, None)):
        conn = zk.connect()
        response = conn.handshake(session_id=session, password=wire.password_of(session), read_only=flag)
        refused(conn, response, byte)


def test_client_ahead_of_the_server(zk):
    """lastZxidSeen beyond the server's own: closed without bytes, new session or not."""
    holder = zk.session()
    zk.node(holder, "n")
    latest = holder.call(wire.EXISTS, wire.watch_body("/")).zxid
    conn = zk.connect()
    conn.send_frame(conn.connect_request(last_zxid=latest + 1_000_000))
    assert conn.until_closed() == b""
    conn = zk.connect()
    conn.send_frame(conn.connect_request(last_zxid=2**63 - 1, session_id=holder.session_id,
                                         password=holder.password))
    assert conn.until_closed() == b""
    conn = zk.connect()
    assert conn.handshake(last_zxid=latest)["timeout"] > 0
    conn = zk.connect()
    assert conn.handshake(last_zxid=-1)["timeout"] > 0


def test_frames_behind_the_connect_request(zk):
    """Requests sent in the same segment wait for the session and are answered in order."""
    conn = zk.connect()
    payload = conn.connect_request()
    stream = i32(len(payload)) + payload
    path = zk.path("early")
    bodies = [
        i32(1) + i32(wire.CREATE) + wire.create_body(path, b"1", flags=1),
        i32(2) + i32(wire.GET_DATA) + wire.watch_body(path),
        i32(-2) + i32(wire.PING),
        i32(3) + i32(wire.SET_DATA) + wire.set_body(path, b"2"),
    ]
    for body in bodies:
        stream += i32(len(body)) + body
    conn.send(stream)
    conn.connect_response()
    replies = [conn.reply() for _ in bodies]
    assert [reply.xid for reply in replies] == [1, 2, -2, 3]
    assert all(reply.err == 0 for reply in replies)
    data = replies[1].body
    assert data.buf() == b"1" and data.stat()["ephemeral_owner"] == conn.session_id


def test_frames_behind_a_renewal(zk):
    first = zk.session()
    session, password = first.session_id, first.password
    first.close()
    conn = zk.connect()
    payload = conn.connect_request(session_id=session, password=password)
    ping = i32(-2) + i32(wire.PING)
    read = i32(7) + i32(wire.EXISTS) + wire.watch_body("/")
    conn.send(b"".join(i32(len(body)) + body for body in (payload, ping, read)))
    assert conn.connect_response()["session_id"] == session
    assert [conn.reply().xid for _ in range(2)] == [-2, 7]


def test_frames_behind_a_refused_renewal(zk):
    """The zero response arrives whole although more input was pending."""
    conn = zk.connect()
    session = 0x01BADBADBADBAD01
    payload = conn.connect_request(session_id=session, password=b"\1" * 16)
    stream = i32(len(payload)) + payload
    read = i32(7) + i32(wire.EXISTS) + wire.watch_body("/")
    conn.send(stream + i32(len(read)) + read)
    frame = conn.frame()
    assert struct.unpack(">i", frame[4:8])[0] == 0 and frame[16:] == buf(b"\0" * 16) + b"\0"
    assert conn.until_closed() == b""


def test_second_connect_request(zk):
    """After the handshake a ConnectRequest is a request like any other: unknown op 0, closed."""
    conn = zk.session()
    conn.send_frame(conn.connect_request())
    reply = conn.reply()
    assert (reply.xid, reply.err, reply.zxid) == (0, wire.UNIMPLEMENTED, -1), reply
    assert conn.until_closed() == b""
