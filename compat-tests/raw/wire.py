"""Frames and records of the ZooKeeper client protocol, by hand, over a plain socket.

This knows how bytes are laid out and nothing of what a server should answer. It is written apart
from every other codec in the project, so that the two cannot share a mistake. Standard library only.
"""

import socket
import struct

# Operation codes.
CREATE, DELETE, EXISTS, GET_DATA, SET_DATA, GET_ACL, SET_ACL, GET_CHILDREN = 1, 2, 3, 4, 5, 6, 7, 8
SYNC, PING, GET_CHILDREN2, CHECK, MULTI, CREATE2, RECONFIG = 9, 11, 12, 13, 14, 15, 16
CHECK_WATCHES, REMOVE_WATCHES, CREATE_CONTAINER, DELETE_CONTAINER, CREATE_TTL = 17, 18, 19, 20, 21
MULTI_READ, AUTH, SET_WATCHES, SASL, GET_EPHEMERALS, ALL_CHILDREN_NUMBER = 22, 100, 101, 102, 103, 104
SET_WATCHES2, ADD_WATCH, WHO_AM_I, CREATE_SESSION, CLOSE_SESSION = 105, 106, 107, -10, -11

# Error codes.
RUNTIME_INCONSISTENCY, MARSHALLING, UNIMPLEMENTED, BAD_ARGUMENTS = -2, -5, -6, -8
NO_NODE, NO_AUTH, BAD_VERSION, NODE_EXISTS, NOT_EMPTY = -101, -102, -103, -110, -111
INVALID_ACL, AUTH_FAILED, NO_WATCHER, RECONFIG_DISABLED = -114, -115, -121, -123

# Watch event types.
CREATED, DELETED, DATA_CHANGED, CHILDREN_CHANGED = 1, 2, 3, 4

MAX_FRAME = 0xFFFFF  # jute.maxbuffer's default: the longest frame that is accepted
TIMEOUT = 15.0  # for every read; a server that answers nothing fails the test


class Closed(Exception):
    """The server closed the connection (by FIN or RST)."""


def i32(value):
    return struct.pack(">i", value)


def i64(value):
    return struct.pack(">q", value)


def boolean(value):
    return b"\x01" if value else b"\x00"


def buf(value):
    """A buffer or a string (text is encoded as UTF-8); None is null, length -1."""
    if value is None:
        return i32(-1)
    if isinstance(value, str):
        value = value.encode()
    return i32(len(value)) + value


def vec(items):
    """A vector of already encoded items; None is null."""
    if items is None:
        return i32(-1)
    return i32(len(items)) + b"".join(items)


def acl(perms=31, scheme="world", ident="anyone"):
    return i32(perms) + buf(scheme) + buf(ident)


OPEN_ACL = vec([acl()])


def create_body(path, data=b"", acls=OPEN_ACL, flags=0):
    return buf(path) + buf(data) + acls + i32(flags)


def set_body(path, data=b"", version=-1):
    return buf(path) + buf(data) + i32(version)


def watch_body(path, watch=False):
    return buf(path) + boolean(watch)


def version_body(path, version=-1):
    return buf(path) + i32(version)


def multi_header(op, done=False, err=-1):
    return i32(op) + boolean(done) + i32(err)


def multi_body(*ops):
    """ops: (opcode, body) pairs."""
    return b"".join(multi_header(op) + body for op, body in ops) + multi_header(-1, True, -1)


MULTI_END = multi_header(-1, True, -1)


class Reader:
    """Takes fields off a reply; `end()` insists that nothing is left."""

    def __init__(self, data):
        self.data = data
        self.at = 0

    def take(self, count):
        assert self.at + count <= len(self.data), f"reply too short: {self.data.hex()}"
        piece = self.data[self.at : self.at + count]
        self.at += count
        return piece

    def i32(self):
        return struct.unpack(">i", self.take(4))[0]

    def i64(self):
        return struct.unpack(">q", self.take(8))[0]

    def boolean(self):
        return self.take(1) != b"\x00"

    def buf(self):
        length = self.i32()
        return None if length == -1 else self.take(length)

    def text(self):
        value = self.buf()
        return None if value is None else value.decode()

    def vec(self, item):
        count = self.i32()
        return None if count == -1 else [item() for _ in range(count)]

    def stat(self):
        names = ("czxid mzxid ctime mtime version cversion aversion ephemeral_owner "
                 "data_length num_children pzxid").split()
        return dict(zip(names, struct.unpack(">qqqqiiiqiiq", self.take(68))))

    def rest(self):
        return self.take(len(self.data) - self.at)

    def end(self):
        assert self.at == len(self.data), f"bytes left over: {self.data[self.at:].hex()}"


class Reply:
    """A reply's header and a reader over its body."""

    def __init__(self, frame):
        reader = Reader(frame)
        self.xid, self.zxid, self.err = reader.i32(), reader.i64(), reader.i32()
        self.body = reader
        self.bytes = frame

    def __repr__(self):
        return f"Reply(xid={self.xid}, zxid={self.zxid:#x}, err={self.err}, {self.bytes[16:].hex()})"


def password_of(session_id):
    """The password that any server derives from a session id: java.util.Random's bytes."""
    mask = (1 << 48) - 1
    seed = ((session_id ^ 0xB3415C00) ^ 0x5DEECE66D) & mask
    out = b""
    for _ in range(4):
        seed = (seed * 0x5DEECE66D + 0xB) & mask
        out += struct.pack("<I", (seed >> 16) & 0xFFFFFFFF)
    return out


class Connection:
    """One TCP connection: bytes, frames, the handshake, requests."""

    def __init__(self, address):
        self.sock = socket.create_connection(address, timeout=TIMEOUT)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.xid = 0
        self.session_id = 0
        self.password = None
        self.timeout = 0

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.sock.close()

    # Bytes.

    def send(self, data):
        try:
            self.sock.sendall(data)
        except (BrokenPipeError, ConnectionResetError) as error:
            raise Closed() from error

    def receive(self, count):
        data = b""
        while len(data) < count:
            try:
                piece = self.sock.recv(count - len(data))
            except ConnectionResetError as error:
                raise Closed() from error
            if not piece:
                raise Closed()
            data += piece
        return data

    def until_closed(self, reset_is_fine=True):
        """All bytes up to the server's close. With reset_is_fine=False only a FIN will do."""
        data = b""
        while True:
            try:
                piece = self.sock.recv(65536)
            except ConnectionResetError:
                assert reset_is_fine, f"connection reset after {len(data)} bytes"
                return data
            if not piece:
                return data
            data += piece

    # Frames.

    def send_frame(self, payload):
        self.send(i32(len(payload)) + payload)

    def frame(self):
        return self.receive(struct.unpack(">i", self.receive(4))[0])

    # The handshake.

    def connect_request(self, timeout=10000, session_id=0, password=b"\0" * 16, last_zxid=0,
                        read_only=False, protocol=0):
        payload = i32(protocol) + i64(last_zxid) + i32(timeout) + i64(session_id) + buf(password)
        if read_only is not None:
            payload += boolean(read_only)
        return payload

    def connect_response(self):
        """Reads the response; remembers the session; returns the reader's fields as a dict."""
        payload = self.frame()
        reader = Reader(payload)
        response = {
            "protocol": reader.i32(),
            "timeout": reader.i32(),
            "session_id": reader.i64(),
            "password": reader.buf(),
            "read_only": None,
            "length": len(payload),
        }
        if reader.at < len(payload):
            response["read_only"] = reader.boolean()
        reader.end()
        self.session_id = response["session_id"]
        self.password = response["password"]
        self.timeout = response["timeout"]
        return response

    def handshake(self, **fields):
        self.send_frame(self.connect_request(**fields))
        return self.connect_response()

    # Requests.

    def request(self, op, body=b"", xid=None):
        """Sends a request; returns its xid."""
        if xid is None:
            self.xid += 1
            xid = self.xid
        self.send_frame(i32(xid) + i32(op) + body)
        return xid

    def reply(self):
        return Reply(self.frame())

    def call(self, op, body=b"", xid=None):
        """One request and its reply; no notification may come between."""
        sent = self.request(op, body, xid)
        reply = self.reply()
        assert reply.xid == (-2 if op == PING else sent), f"xid {sent} sent, got {reply}"
        return reply

    def ok(self, op, body=b"", xid=None):
        """As call, but the reply must be err 0; returns its body's reader."""
        reply = self.call(op, body, xid)
        assert reply.err == 0, f"op {op}: {reply}"
        return reply.body

    def event(self):
        """The next frame, which must be a notification: (zxid, type, state, path)."""
        reply = self.reply()
        assert reply.xid == -1 and reply.err == 0, f"no notification: {reply}"
        kind, state, path = reply.body.i32(), reply.body.i32(), reply.body.text()
        reply.body.end()
        return reply.zxid, kind, state, path


def four_letter(address, word, more=b""):
    """All bytes that the server answers to a four-letter word."""
    with Connection(address) as conn:
        conn.send(word.encode() + more)
        return conn.until_closed()
