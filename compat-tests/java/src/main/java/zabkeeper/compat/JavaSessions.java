package zabkeeper.compat;

import static zabkeeper.compat.Suite.check;
import static zabkeeper.compat.Suite.eventually;
import static zabkeeper.compat.Suite.fails;
import static zabkeeper.compat.Suite.same;

import java.util.ArrayList;
import java.util.List;
import org.apache.zookeeper.AddWatchMode;
import org.apache.zookeeper.CreateMode;
import org.apache.zookeeper.KeeperException;
import org.apache.zookeeper.Op;
import org.apache.zookeeper.WatchedEvent;
import org.apache.zookeeper.Watcher.Event.EventType;
import org.apache.zookeeper.Watcher.Event.KeeperState;
import org.apache.zookeeper.Watcher.WatcherType;
import org.apache.zookeeper.ZooDefs.Ids;
import org.apache.zookeeper.ZooKeeper;
import org.apache.zookeeper.data.Stat;
import zabkeeper.compat.JavaClient.Client;
import zabkeeper.compat.JavaClient.Events;

/** The part of {@link JavaClient} about watches and sessions. */
final class JavaSessions {
    private static final int SHORT_TIMEOUT = 3000;

    private final JavaClient suite;

    JavaSessions(JavaClient suite) {
        this.suite = suite;
    }

    void register(Suite tests) {
        tests.test("session.expiry", this::expiry);
        tests.test("session.stays alive by pings", this::staysAliveByPings);
        tests.test("watch.one-shot", this::oneShot);
        tests.test("watch.default watcher", this::defaultWatcher);
        tests.test("watch.persistent", this::persistent);
        tests.test("watch.recursive", this::recursive);
        tests.test("watch.zxid of an event", this::zxidOfAnEvent);
        tests.test("watch.remove", this::remove);
        tests.test("watch.before newer data", this::beforeNewerData);
        tests.test("watch.multi", this::multi);
        tests.test("session.reattach", this::reattach);
        tests.test("session.wrong password", this::wrongPassword);
        tests.test("session.moved to a new client", this::movedToANewClient);
        tests.test("session.disconnect and return", this::disconnectAndReturn);
        tests.test("session.watches after a reconnect", this::watchesAfterAReconnect);
        tests.test("session.events missed while away", this::eventsMissedWhileAway);
        tests.test("session.thousands of watches after a reconnect", this::manyWatchesAfterAReconnect);
        tests.test("session.close", this::close);
        tests.test("session.authentication after a reconnect", this::authenticationAfterAReconnect);
    }

    private void oneShot() throws Exception {
        try (Client zk = suite.connect()) {
            String path = suite.path("w");
            Events exists = new Events();
            Events data = new Events();
            Events child = new Events();
            same(null, zk.exists(path, exists));
            zk.make(path);
            exists.expect(EventType.NodeCreated, path);
            zk.getData(path, data, null);
            zk.getChildren(path, child);
            zk.setData(path, null, -1);
            data.expect(EventType.NodeDataChanged, path);
            zk.setData(path, null, -1);
            zk.make(path + "/c");
            child.expect(EventType.NodeChildrenChanged, path);
            zk.exists(path + "/c", data);
            zk.getChildren(path + "/c", child);
            zk.getChildren(path, exists);
            zk.delete(path + "/c", -1);
            data.expect(EventType.NodeDeleted, path + "/c");
            child.expect(EventType.NodeDeleted, path + "/c");
            exists.expect(EventType.NodeChildrenChanged, path);
            zk.setACL(path, Ids.OPEN_ACL_UNSAFE, -1);
            zk.exists(path, false);
            data.none();
            child.none();
            exists.none();
        }
    }

    private void defaultWatcher() throws Exception {
        try (Client zk = suite.connect()) {
            String path = suite.path("w");
            zk.exists(path, true);
            zk.make(path);
            zk.events.expect(EventType.NodeCreated, path);
        }
    }

    private void persistent() throws Exception {
        try (Client zk = suite.connect()) {
            String path = suite.path("w");
            Events events = new Events();
            zk.addWatch(path, events, AddWatchMode.PERSISTENT);
            for (int round = 0; round < 3; round++) {
                zk.make(path);
                events.expect(EventType.NodeCreated, path);
                zk.make(path + "/c");
                events.expect(EventType.NodeChildrenChanged, path);
                zk.setData(path + "/c", null, -1);
                zk.setData(path, null, -1);
                events.expect(EventType.NodeDataChanged, path);
                zk.delete(path + "/c", -1);
                events.expect(EventType.NodeChildrenChanged, path);
                zk.delete(path, -1);
                events.expect(EventType.NodeDeleted, path);
            }
        }
    }

    private void recursive() throws Exception {
        try (Client zk = suite.connect()) {
            String path = suite.path("w");
            Events events = new Events();
            zk.addWatch(path, events, AddWatchMode.PERSISTENT_RECURSIVE);
            for (int round = 0; round < 2; round++) {
                zk.make(path);
                events.expect(EventType.NodeCreated, path);
                zk.make(path + "/a");
                events.expect(EventType.NodeCreated, path + "/a");
                zk.make(path + "/a/b");
                events.expect(EventType.NodeCreated, path + "/a/b");
                zk.setData(path + "/a/b", null, -1);
                events.expect(EventType.NodeDataChanged, path + "/a/b");
                zk.delete(path + "/a/b", -1);
                events.expect(EventType.NodeDeleted, path + "/a/b");
                zk.delete(path + "/a", -1);
                events.expect(EventType.NodeDeleted, path + "/a");
                zk.delete(path, -1);
                events.expect(EventType.NodeDeleted, path);
            }
            zk.make(path + "-sibling");
            zk.exists(path, false);
            events.none();
        }
    }

    private void zxidOfAnEvent() throws Exception {
        try (Client zk = suite.connect()) {
            String path = zk.make(suite.path("w"));
            Events events = new Events();
            zk.getData(path, events, null);
            Stat stat = zk.setData(path, null, -1);
            same(stat.getMzxid(), events.next().getZxid());
        }
    }

    private void remove() throws Exception {
        try (Client zk = suite.connect()) {
            String path = zk.make(suite.path("w"));
            Events one = new Events();
            Events two = new Events();
            fails(KeeperException.NoWatcherException.class, () -> zk.removeAllWatches(path, WatcherType.Any, false));
            zk.getData(path, one, null);
            zk.getData(path, two, null);
            zk.removeWatches(path, one, WatcherType.Data, false);
            one.expect(EventType.DataWatchRemoved, path);
            zk.setData(path, null, -1);
            two.expect(EventType.NodeDataChanged, path);
            zk.getChildren(path, one);
            zk.getChildren(path, two);
            zk.removeAllWatches(path, WatcherType.Children, false);
            one.expect(EventType.ChildWatchRemoved, path);
            two.expect(EventType.ChildWatchRemoved, path);
            zk.addWatch(path, one, AddWatchMode.PERSISTENT);
            zk.removeWatches(path, one, WatcherType.Persistent, false);
            one.expect(EventType.PersistentWatchRemoved, path);
            zk.addWatch(path, two, AddWatchMode.PERSISTENT_RECURSIVE);
            zk.removeWatches(path, two, WatcherType.PersistentRecursive, false);
            two.expect(EventType.PersistentWatchRemoved, path);
            zk.make(path + "/c");
            zk.setData(path, null, -1);
            zk.exists(path, false);
            one.none();
            two.none();
        }
    }

    /** A client that reads after another's write has its event by the time it sees the data. */
    private void beforeNewerData() throws Exception {
        try (Client writer = suite.connect(); Client reader = suite.connect()) {
            String path = writer.make(suite.path("w"));
            for (int round = 0; round < 100; round++) {
                Events events = new Events();
                Stat seen = new Stat();
                reader.getData(path, events, seen);
                writer.setData(path, null, -1);
                Stat now = new Stat();
                reader.sync(path);
                reader.getData(path, false, now);
                check(now.getVersion() == seen.getVersion() + 1, "sync did not bring the write");
                events.expect(EventType.NodeDataChanged, path);
            }
        }
    }

    private void multi() throws Exception {
        try (Client zk = suite.connect()) {
            String path = zk.make(suite.path("w"));
            Events events = new Events();
            zk.addWatch(path, events, AddWatchMode.PERSISTENT_RECURSIVE);
            zk.multi(List.of(Op.create(path + "/a", null, Ids.OPEN_ACL_UNSAFE, CreateMode.PERSISTENT),
                    Op.setData(path + "/a", null, -1), Op.delete(path + "/a", -1), Op.setData(path, null, -1)));
            events.expect(EventType.NodeCreated, path + "/a");
            events.expect(EventType.NodeDataChanged, path + "/a");
            events.expect(EventType.NodeDeleted, path + "/a");
            events.expect(EventType.NodeDataChanged, path);
        }
    }

    /** The session id and password of one client let another go on with its session. */
    private void reattach() throws Exception {
        String path = suite.path("e");
        try (Proxy proxy = new Proxy(suite.server);
                Client first = new Client(proxy.address(), JavaClient.TIMEOUT, new Events())) {
            first.connected();
            first.create(path, null, Ids.OPEN_ACL_UNSAFE, CreateMode.EPHEMERAL);
            long session = first.getSessionId();
            proxy.cut();
            first.events.state(KeeperState.Disconnected);
            try (Client second = new Client(suite.server, JavaClient.TIMEOUT, new Events(), session,
                    first.getSessionPasswd())) {
                second.connected();
                same(session, second.getSessionId());
                same(session, second.exists(path, false).getEphemeralOwner());
                second.setData(path, null, -1);
            }
            try (Client third = suite.connect()) {
                same(null, third.exists(path, false));
            }
        }
    }

    private void wrongPassword() throws Exception {
        try (Client zk = suite.connect()) {
            Events events = new Events();
            try (ZooKeeper thief = new ZooKeeper(suite.server, JavaClient.TIMEOUT, events, zk.getSessionId(), new byte[16])) {
                events.state(KeeperState.Expired);
                same(ZooKeeper.States.CLOSED, thief.getState());
            }
            zk.make(suite.path("unharmed-after-reconnect"));
        } catch (KeeperException.ConnectionLossException e) {
            // Apache's server ends the holder's connection before it looks at the password.
            check(e.getPath() != null, "a connection loss without a path");
        }
    }

    private void movedToANewClient() throws Exception {
        try (Client first = suite.connect()) {
            try (Client second = new Client(suite.server, JavaClient.TIMEOUT, new Events(), first.getSessionId(),
                    first.getSessionPasswd())) {
                second.connected();
                first.events.state(KeeperState.Disconnected);
            }
        }
    }

    private void disconnectAndReturn() throws Exception {
        try (Proxy proxy = new Proxy(suite.server);
                Client zk = new Client(proxy.address(), JavaClient.TIMEOUT, new Events())) {
            zk.connected();
            long session = zk.getSessionId();
            String path = suite.path("e");
            zk.create(path, null, Ids.OPEN_ACL_UNSAFE, CreateMode.EPHEMERAL);
            for (int round = 0; round < 3; round++) {
                proxy.reset();
                zk.connected();
                same(session, zk.getSessionId());
                check(zk.exists(path, false) != null, "the ephemeral is gone");
            }
        }
    }

    private void watchesAfterAReconnect() throws Exception {
        try (Proxy proxy = new Proxy(suite.server);
                Client zk = new Client(proxy.address(), JavaClient.TIMEOUT, new Events())) {
            zk.connected();
            String path = zk.make(suite.path("w"));
            String absent = path + "-absent";
            Events data = new Events();
            Events exists = new Events();
            Events child = new Events();
            Events always = new Events();
            Events below = new Events();
            zk.getData(path, data, null);
            zk.exists(absent, exists);
            zk.getChildren(path, child);
            zk.addWatch(path, always, AddWatchMode.PERSISTENT);
            zk.addWatch(path, below, AddWatchMode.PERSISTENT_RECURSIVE);
            proxy.reset();
            zk.connected();
            for (Events events : new Events[] {data, exists, child, always, below}) {
                events.state(KeeperState.Disconnected);
                events.state(KeeperState.SyncConnected);
            }
            zk.setData(path, null, -1);
            zk.make(absent);
            zk.make(path + "/c");
            data.expect(EventType.NodeDataChanged, path);
            exists.expect(EventType.NodeCreated, absent);
            child.expect(EventType.NodeChildrenChanged, path);
            always.expect(EventType.NodeDataChanged, path);
            always.expect(EventType.NodeChildrenChanged, path);
            below.expect(EventType.NodeDataChanged, path);
            below.expect(EventType.NodeCreated, path + "/c");
        }
    }

    private void eventsMissedWhileAway() throws Exception {
        try (Proxy proxy = new Proxy(suite.server); Client other = suite.connect();
                Client zk = new Client(proxy.address(), JavaClient.TIMEOUT, new Events())) {
            zk.connected();
            String path = zk.make(suite.path("w"));
            zk.make(path + "/goes");
            Events data = new Events();
            Events exists = new Events();
            Events child = new Events();
            Events gone = new Events();
            Events quiet = new Events();
            zk.getData(path, data, null);
            zk.exists(path + "/comes", exists);
            zk.getChildren(path, child);
            zk.getData(path + "/goes", gone, null);
            zk.make(path + "/still");
            zk.getData(path + "/still", quiet, null);
            child.expect(EventType.NodeChildrenChanged, path);
            zk.getChildren(path, child);
            proxy.cut();
            zk.events.state(KeeperState.Disconnected);
            other.setData(path, null, -1);
            other.make(path + "/comes");
            other.delete(path + "/goes", -1);
            proxy.restore();
            zk.connected();
            for (Events events : new Events[] {data, exists, child, gone, quiet}) {
                events.state(KeeperState.Disconnected);
                events.state(KeeperState.SyncConnected);
            }
            data.expect(EventType.NodeDataChanged, path);
            exists.expect(EventType.NodeCreated, path + "/comes");
            child.expect(EventType.NodeChildrenChanged, path);
            gone.expect(EventType.NodeDeleted, path + "/goes");
            zk.exists(path, false);
            quiet.none();
            other.setData(path + "/still", null, -1);
            quiet.expect(EventType.NodeDataChanged, path + "/still");
        }
    }

    /** More than one setWatches request is needed for these: the client cuts at 128 KiB. */
    private void manyWatchesAfterAReconnect() throws Exception {
        try (Proxy proxy = new Proxy(suite.server);
                Client zk = new Client(proxy.address(), JavaClient.TIMEOUT, new Events())) {
            zk.connected();
            String path = zk.make(suite.path("w"));
            String padding = "x".repeat(150);
            int count = 3000;
            Events events = new Events();
            List<Op> creates = new ArrayList<>();
            List<Op> deletes = new ArrayList<>();
            for (int number = 0; number < count; number++) {
                zk.exists(path + "/" + padding + number, events, (rc, p, ctx, stat) -> { }, null);
                creates.add(Op.create(path + "/" + padding + number, null, Ids.OPEN_ACL_UNSAFE, CreateMode.PERSISTENT));
                deletes.add(Op.delete(path + "/" + padding + number, -1));
            }
            zk.sync(path);
            proxy.reset();
            zk.connected();
            zk.multi(creates);
            int created = 0;
            while (created < count) {
                WatchedEvent event = events.next();
                if (event.getType() == EventType.NodeCreated) {
                    created++;
                }
            }
            zk.multi(deletes);
        }
    }

    private void expiry() throws Exception {
        String path = suite.path("e");
        try (Proxy proxy = new Proxy(suite.server); Client other = suite.connect();
                Client zk = new Client(proxy.address(), SHORT_TIMEOUT, new Events())) {
            zk.connected();
            zk.create(path, null, Ids.OPEN_ACL_UNSAFE, CreateMode.EPHEMERAL);
            Events events = new Events();
            other.exists(path, events);
            proxy.cut();
            events.expect(EventType.NodeDeleted, path);
            proxy.restore();
            zk.events.state(KeeperState.Expired);
            fails(KeeperException.SessionExpiredException.class, () -> zk.exists(path, false));
        }
    }

    private void close() throws Exception {
        try (Client other = suite.connect()) {
            Client zk = suite.connect();
            long session = zk.getSessionId();
            byte[] password = zk.getSessionPasswd();
            String path = suite.path("e");
            zk.create(path, null, Ids.OPEN_ACL_UNSAFE, CreateMode.EPHEMERAL);
            Events events = new Events();
            other.exists(path, events);
            zk.close();
            events.expect(EventType.NodeDeleted, path);
            Events late = new Events();
            try (ZooKeeper again = new ZooKeeper(suite.server, JavaClient.TIMEOUT, late, session, password)) {
                late.state(KeeperState.Expired);
                check(!again.getState().isAlive(), "a closed session came back");
            }
        }
    }

    private void authenticationAfterAReconnect() throws Exception {
        try (Proxy proxy = new Proxy(suite.server);
                Client zk = new Client(proxy.address(), JavaClient.TIMEOUT, new Events())) {
            zk.connected();
            zk.addAuthInfo("digest", JavaClient.bytes("a:b"));
            String path = suite.path("acl");
            zk.create(path, null, Ids.CREATOR_ALL_ACL, CreateMode.PERSISTENT);
            proxy.reset();
            zk.connected();
            zk.setData(path, null, -1);
        }
    }

    private void staysAliveByPings() throws Exception {
        try (Client zk = new Client(suite.server, SHORT_TIMEOUT, new Events())) {
            zk.connected();
            String path = suite.path("e");
            zk.create(path, null, Ids.OPEN_ACL_UNSAFE, CreateMode.EPHEMERAL);
            long end = System.nanoTime() + 2L * zk.getSessionTimeout() * 1_000_000;
            eventually("two timeouts have passed", () -> System.nanoTime() > end);
            same(zk.getSessionId(), zk.exists(path, false).getEphemeralOwner());
            zk.events.none();
        }
    }
}
