"""What programs do with kazoo, against a running server.

    python common_use.py HOST:PORT

Each test has a client of its own, chrooted. kazoo's own suite is run by kazoo-suite.sh; this holds
what that lacks: data and paths at the edges, reattachment by id and password, two clients at once.
"""

import contextlib
import os
import sys
import threading
import time
import traceback

from kazoo import exceptions
from kazoo.client import KazooClient
from kazoo.exceptions import BadVersionError, NoAuthError, NodeExistsError, NoNodeError, NotEmptyError
from kazoo.protocol.states import EventType, KazooState
from kazoo.retry import KazooRetry
from kazoo.security import OPEN_ACL_UNSAFE, make_acl, make_digest_acl

HOSTS = sys.argv[1] if len(sys.argv) > 1 else os.environ["ZK_HOSTS"]
ROOT = f"/kazoo-{os.getpid()}-{int(time.time())}"
WAIT = 20
here = ROOT  # the chroot of the test that runs


@contextlib.contextmanager
def client(**options):
    zk = KazooClient(HOSTS + here, timeout=10, **options)
    zk.start(WAIT)
    try:
        yield zk
    finally:
        zk.stop()
        zk.close()


class Events:
    """A watcher whose events can be waited for."""

    def __init__(self):
        self.all = []
        self.changed = threading.Condition()

    def __call__(self, event):
        with self.changed:
            self.all.append(event)
            self.changed.notify_all()

    def expect(self, kind, path):
        with self.changed:
            assert self.changed.wait_for(lambda: self.all, WAIT), f"no event for {path}"
            event = self.all.pop(0)
        assert (event.type, event.path) == (kind, path), event


def fails(error, call, *args, **kwargs):
    try:
        call(*args, **kwargs)
    except error:
        return
    raise AssertionError(f"{error.__name__} was expected")


def test_nodes(zk):
    assert zk.create("/a", b"one") == "/a"
    fails(NodeExistsError, zk.create, "/a")
    fails(NoNodeError, zk.create, "/x/y")
    assert zk.create("/deep/er/est", makepath=True) == "/deep/er/est"
    data, stat = zk.get("/a")
    assert (data, stat.version, stat.dataLength) == (b"one", 0, 3)
    stat = zk.set("/a", b"two", version=0)
    assert stat.version == 1 and stat.mzxid > stat.czxid
    fails(BadVersionError, zk.set, "/a", b"x", version=0)
    fails(NotEmptyError, zk.delete, "/deep")
    zk.delete("/deep", recursive=True)
    assert zk.exists("/deep") is None
    children, stat = zk.get_children("/", include_data=True)
    assert children == ["a"] and stat.numChildren == 1
    path, stat = zk.create("/b", b"x", include_data=True)
    assert path == "/b" and stat.czxid == stat.mzxid


def test_data_at_the_edges(zk):
    zk.create("/empty", b"")
    assert zk.get("/empty")[0] == b""
    zk.create("/big", b"z" * 1_000_000)
    assert zk.get("/big")[0] == b"z" * 1_000_000
    zk.create("/\u00e9\u4e2d", b"u")
    assert "\u00e9\u4e2d" in zk.get_children("/")


def test_sequences_and_ephemerals(zk):
    zk.create("/q")
    names = [zk.create("/q/n-", sequence=True) for _ in range(3)]
    assert names == [f"/q/n-{number:010d}" for number in range(3)]
    path = zk.create("/q/e-", ephemeral=True, sequence=True)
    assert path == "/q/e-0000000003"
    assert zk.exists(path).owner_session_id == zk.client_id[0]
    fails(exceptions.NoChildrenForEphemeralsError, zk.create, path + "/c")


def test_watches(zk):
    events = Events()
    assert zk.exists("/w", watch=events) is None
    zk.create("/w")
    events.expect(EventType.CREATED, "/w")
    zk.get("/w", watch=events)
    zk.set("/w", b"1")
    events.expect(EventType.CHANGED, "/w")
    zk.get_children("/w", watch=events)
    zk.create("/w/c")
    events.expect(EventType.CHILD, "/w")
    zk.get("/w/c", watch=events)
    zk.delete("/w/c")
    events.expect(EventType.DELETED, "/w/c")


def test_watch_recipes(zk):
    seen = []
    arrived = threading.Condition()

    def note(value):
        with arrived:
            seen.append(value)
            arrived.notify_all()

    zk.create("/d", b"0")

    @zk.DataWatch("/d")
    def on_data(data, _stat):
        note(data)

    @zk.ChildrenWatch("/d")
    def on_children(names):
        note(sorted(names))

    def wait_for(value):
        with arrived:
            assert arrived.wait_for(lambda: value in seen, WAIT), (value, seen)

    wait_for(b"0")
    wait_for([])
    zk.set("/d", b"1")
    wait_for(b"1")
    zk.create("/d/x")
    wait_for(["x"])
    del on_data, on_children


def test_transactions(zk):
    good = zk.transaction()
    good.create("/t", b"1")
    good.check("/t", 0)
    good.set_data("/t", b"2", version=0)
    good.create("/t/s-", sequence=True)
    results = good.commit()
    assert results[0] == "/t" and results[1] is True, results
    assert results[2].version == 1 and results[3] == "/t/s-0000000000", results
    bad = zk.transaction()
    bad.set_data("/t", b"never")
    bad.delete("/nothing")
    bad.create("/t/late")
    results = bad.commit()
    kinds = [type(result) for result in results]
    assert kinds == [exceptions.RolledBackError, NoNodeError, exceptions.RuntimeInconsistency], results
    assert zk.get("/t")[0] == b"2" and zk.exists("/t/late") is None


def test_acls(zk):
    owner = make_digest_acl("me", "pw", all=True)
    with client(auth_data=[("digest", "me:pw")]) as mine:
        mine.create("/acl", b"secret", acl=[owner, make_acl("ip", "10.0.0.1", read=True)])
        assert mine.get("/acl")[0] == b"secret"
        fails(NoAuthError, zk.get, "/acl")
        zk.add_auth("digest", "me:pw")
        assert zk.get("/acl")[0] == b"secret"
        acls, stat = zk.get_acls("/acl")
        assert owner in acls and stat.aversion == 0
        assert zk.set_acls("/acl", [owner], version=0).aversion == 1
        fails(BadVersionError, zk.set_acls, "/acl", [owner], version=0)
        zk.set_acls("/acl", OPEN_ACL_UNSAFE)
    fails(exceptions.InvalidACLError, zk.create, "/bad", acl=[make_acl("nonsense", "x", all=True)])
    with client() as bad:
        fails(exceptions.AuthFailedError, bad.add_auth, "nonsense", "x")


def test_reattachment(zk):
    """Another client goes on with the session of a first, by its id and password."""
    first = KazooClient(HOSTS + here, timeout=10)
    first.start(WAIT)
    first.create("/mine", ephemeral=True)
    session = first.client_id
    # The socket only: the session is not closed. Where the first looks for a server now is none, so
    # that it does not take its session back.
    first.set_hosts("127.0.0.1:1" + here)
    first._connection._socket.shutdown(2)
    second = KazooClient(HOSTS + here, timeout=10, client_id=session)
    second.start(WAIT)
    try:
        assert second.client_id[0] == session[0]
        assert second.exists("/mine").owner_session_id == session[0]
    finally:
        second.stop()
        second.close()
    assert zk.exists("/mine") is None
    first.stop()
    first.close()


def test_wrong_password(zk):
    session = zk.client_id[0]
    thief = KazooClient(HOSTS, timeout=10, client_id=(session, b"\0" * 16))
    thief.start(WAIT)
    try:
        # kazoo takes a new session when the old one is refused.
        assert thief.client_id[0] != session
    finally:
        thief.stop()
        thief.close()
    # Apache's server has ended the holder's connection, but not its session.
    KazooRetry(max_tries=20)(zk.exists, "/")
    assert zk.client_id[0] == session


def test_reconnect(zk):
    zk.create("/stays", ephemeral=True)
    states = Events()
    zk.add_listener(states)
    session = zk.client_id[0]
    zk._connection._socket.shutdown(2)
    for wanted in (KazooState.SUSPENDED, KazooState.CONNECTED):
        with states.changed:
            assert states.changed.wait_for(lambda: states.all, WAIT), wanted
            assert states.all.pop(0) == wanted
    assert zk.client_id[0] == session
    assert KazooRetry(max_tries=20)(zk.exists, "/stays").owner_session_id == session


def test_recipes(zk):
    with client() as other:
        lock, same = zk.Lock("/lock", "a"), other.Lock("/lock", "b")
        assert lock.acquire(timeout=WAIT)
        assert not same.acquire(blocking=False)
        assert same.contenders() == ["a"]
        lock.release()
        assert same.acquire(timeout=WAIT)
        same.release()
        counter = zk.Counter("/count")
        theirs = other.Counter("/count")
        for _ in range(10):
            counter += 1
            theirs += 2
        assert other.Counter("/count").value == 30
        queue = zk.LockingQueue("/queue")
        queue.put_all([b"1", b"2"])
        assert other.LockingQueue("/queue").get(timeout=WAIT) == b"1"
        party = zk.Party("/party", "me")
        party.join()
        assert list(other.Party("/party")) == ["me"]
        barrier = zk.Barrier("/barrier")
        barrier.create()
        threading.Thread(target=other.Barrier("/barrier").remove).start()
        assert barrier.wait(WAIT)
        elected = threading.Event()
        zk.Election("/election", "me").run(elected.set)
        assert elected.is_set()


def test_pipelining(zk):
    zk.create("/many")
    results = [zk.create_async(f"/many/{number}", str(number).encode()) for number in range(1000)]
    for number, result in enumerate(results):
        assert result.get(timeout=WAIT) == f"/many/{number}"
    reads = [zk.get_async(f"/many/{number}") for number in range(1000)]
    for number, result in enumerate(reads):
        assert result.get(timeout=WAIT)[0] == str(number).encode()
    assert len(zk.get_children("/many")) == 1000
    for result in [zk.delete_async(f"/many/{number}") for number in range(1000)]:
        result.get(timeout=WAIT)


def test_version_and_commands(zk):
    assert zk.server_version()[:2] == (3, 9), zk.server_version()
    assert zk.command(b"ruok") == "imok"
    assert "Mode: standalone" in zk.command(b"srvr")


def test_sync(zk):
    assert zk.sync("/nothing/there") == "/nothing/there"


def main():
    global here
    setup = KazooClient(HOSTS, timeout=10)
    setup.start(WAIT)
    setup.create(ROOT)
    passed = failed = 0
    for name, test in list(globals().items()):
        if not name.startswith("test_"):
            continue
        begun = time.monotonic()
        here = f"{ROOT}/{name}"
        error = None
        try:
            setup.create(here)
            with client() as zk:
                test(zk)
        except Exception:  # whatever it is, it is this test's failure
            error = traceback.format_exc()
        passed, failed = (passed, failed + 1) if error else (passed + 1, failed)
        print(f"{'FAIL' if error else 'ok  '} {time.monotonic() - begun:6.2f}s  {name[5:]}", flush=True)
        if error:
            print(error, flush=True)
    setup.delete(ROOT, recursive=True)
    setup.stop()
    setup.close()
    print(f"{passed} passed, {failed} failed")
    return 1 if failed or not passed else 0


if __name__ == "__main__":
    sys.exit(main())
