"""One kazoo client that works on while servers come and go: what it is told and what it tells is in
src/ensemble/foreign.rs.

    python endure.py HOSTS PATH
"""

import sys
import threading
import time

from kazoo import exceptions
from kazoo.client import KazooClient
from kazoo.protocol.states import EventType, KazooState

HOSTS, PATH = sys.argv[1], sys.argv[2]
VALUE = PATH + "/value"
EVENT_WAIT = 10
PAUSE = 0.02
going, stop, lost = threading.Event(), threading.Event(), threading.Event()
# How often it was told to pause: each is answered, also one behind a "go" that was not seen.
pauses = 0


def tell(*words):
    # One write: events are told by another thread.
    sys.stdout.write(" ".join(map(str, words)) + "\n")
    sys.stdout.flush()


def listen():
    global pauses
    for line in sys.stdin:
        if line.strip() == "pause":
            pauses += 1
            going.clear()
        else:
            going.set()
    stop.set()
    going.set()


class Watch:
    """A data watch on VALUE: set anew when it has fired, or when kazoo has given it up."""

    def __init__(self):
        self.armed = False
        self.fired = threading.Event()

    def arm(self, zk):
        self.fired.clear()
        zk.get(VALUE, watch=self.on_event)
        self.armed = True

    def on_event(self, event):
        self.armed = False
        if event.type == EventType.CHANGED:
            tell("event")
        self.fired.set()


def on_state(state):
    if state == KazooState.LOST and not stop.is_set():
        lost.set()
        tell("expired")


def main():
    threading.Thread(target=listen, daemon=True).start()
    zk = KazooClient(HOSTS, timeout=8)
    zk.add_listener(on_state)
    zk.start(60)
    zk.ensure_path(PATH)
    zk.create(VALUE, b"")
    zk.create(PATH + "/here", b"", ephemeral=True)
    tell("ephemeral", PATH + "/here", f"{zk.client_id[0] & 0xFFFFFFFFFFFFFFFF:x}")
    tell("ready")
    going.set()
    watch, answered, sequence = Watch(), 0, 0
    while not stop.is_set() and not lost.is_set():
        if not going.is_set():
            asked = pauses
            if asked != answered:
                tell("idle")
            answered = asked
            going.wait(1)
            continue
        if not zk.connected:
            # Polled: a request now would only wait in the library's queue.
            time.sleep(PAUSE)
            continue
        sequence += 1
        path = f"{PATH}/n{sequence}"
        try:
            if not watch.armed:
                watch.arm(zk)
            zk.create(path, str(sequence).encode())
            tell("ok", path, sequence)
            if sequence % 5 == 0:
                zk.set(VALUE, str(sequence).encode())
                tell("set")
                if not watch.fired.wait(EVENT_WAIT):
                    tell("wrong", "no event after a change")
        except (exceptions.ConnectionLoss, exceptions.ConnectionClosedError):
            tell("loss")
        except exceptions.KazooException as error:
            tell("wrong", repr(error))
        # The rhythm of the load, which lasts as long as the story: nothing is awaited.
        time.sleep(PAUSE)
    if not lost.is_set():
        zk.stop()
        tell("closed", PATH + "/here")


main()
