"""Collects and runs the raw-socket tests.

A test is a function `test_*(zk)`; its docstring's first line says what it shows. `@slow` marks one
that waits for a clock of the server: those run together in the background, so that the whole suite
takes as long as the slowest. `@alone` marks one that counts zxids: those run first, before any
session of another test can expire. `@ours` marks one that Apache's server does not pass or survive;
it runs with --poison only.
"""

import inspect
import threading
import time
import traceback

import wire


class Server:
    """The server under test, and a place in its tree that one test has for itself."""

    def __init__(self, address, root):
        self.address = address
        self.root = root
        self.connections = []

    def connect(self):
        """A TCP connection without a session; closed at the test's end."""
        conn = wire.Connection(self.address)
        self.connections.append(conn)
        return conn

    def session(self, **fields):
        """A connection with a new session (or the one named by the fields)."""
        conn = self.connect()
        response = conn.handshake(**fields)
        assert response["timeout"] > 0, f"handshake refused: {response}"
        return conn

    def node(self, conn, name, data=b"", flags=0):
        """Creates a node of this test and returns its path."""
        path = f"{self.root}-{name}"
        return conn.ok(wire.CREATE, wire.create_body(path, data, flags=flags)).text()

    def path(self, name):
        return f"{self.root}-{name}"

    def four_letter(self, word, more=b""):
        return wire.four_letter(self.address, word, more).decode()

    def conf(self, key):
        """A number from `conf`."""
        for line in self.four_letter("conf").splitlines():
            name, _, value = line.partition("=")
            if name == key:
                return int(value)
        raise AssertionError(f"conf has no {key}")

    def alive(self):
        """The server still opens sessions and answers them, writes included."""
        with wire.Connection(self.address) as conn:
            response = conn.handshake()
            assert response["timeout"] > 0, response
            path = f"{self.root}-alive"
            conn.ok(wire.CREATE, wire.create_body(path))
            conn.ok(wire.DELETE, wire.version_body(path))
            conn.ok(wire.CLOSE_SESSION)

    def finish(self):
        for conn in self.connections:
            conn.close()


def slow(test):
    test.slow = True
    return test


def alone(test):
    test.alone = True
    return test


def ours(test):
    test.ours = True
    return test


def collect(modules):
    for module in modules:
        for name, test in inspect.getmembers(module, inspect.isfunction):
            if name.startswith("test_") and test.__module__ == module.__name__:
                yield f"{module.__name__}.{name[5:]}", test


def run(address, tests, root):
    """Runs the tests; returns (passed, failed)."""
    outcome = {"passed": 0, "failed": 0}
    printing = threading.Lock()

    def one(number, name, test):
        zk = Server(address, f"{root}/t{number}")
        begun = time.monotonic()
        try:
            test(zk)
            error = None
        except Exception:  # whatever it is, it is this test's failure
            error = traceback.format_exc()
        finally:
            zk.finish()
        with printing:
            took = time.monotonic() - begun
            outcome["failed" if error else "passed"] += 1
            print(f"{'FAIL' if error else 'ok  '} {took:6.2f}s  {name}", flush=True)
            if error:
                print(error, flush=True)

    first, quick, background = [], [], []
    for number, (name, test) in enumerate(tests):
        if getattr(test, "slow", False):
            background.append(threading.Thread(target=one, args=(number, name, test), daemon=True))
        else:
            (first if getattr(test, "alone", False) else quick).append((number, name, test))
    for item in first:
        one(*item)
    for thread in background:
        thread.start()
    for item in quick:
        one(*item)
    for thread in background:
        thread.join()
    return outcome["passed"], outcome["failed"]
