package zabkeeper.compat;

import static zabkeeper.compat.Suite.check;
import static zabkeeper.compat.Suite.eventually;
import static zabkeeper.compat.Suite.fails;
import static zabkeeper.compat.Suite.same;

import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.HashSet;
import java.util.List;
import java.util.Random;
import java.util.Set;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.stream.Collectors;
import org.apache.zookeeper.CreateMode;
import org.apache.zookeeper.KeeperException;
import org.apache.zookeeper.KeeperException.Code;
import org.apache.zookeeper.Op;
import org.apache.zookeeper.OpResult;
import org.apache.zookeeper.WatchedEvent;
import org.apache.zookeeper.Watcher;
import org.apache.zookeeper.ZKUtil;
import org.apache.zookeeper.ZooDefs.Ids;
import org.apache.zookeeper.ZooDefs.Perms;
import org.apache.zookeeper.ZooKeeper;
import org.apache.zookeeper.admin.ZooKeeperAdmin;
import org.apache.zookeeper.client.ZKClientConfig;
import org.apache.zookeeper.data.ACL;
import org.apache.zookeeper.data.Id;
import org.apache.zookeeper.data.Stat;
import org.apache.zookeeper.server.auth.DigestAuthenticationProvider;

/**
 * ZooKeeper's own Java client against a server: operations, ACLs, transactions here; watches and
 * sessions in {@link JavaSessions}.
 *
 * <p>{@code JavaClient HOST:PORT [WORD]}: only tests whose name contains WORD.
 */
public final class JavaClient {
    static final int TIMEOUT = 10_000;

    final String server;
    private final String root;
    private final AtomicInteger counter = new AtomicInteger();

    private JavaClient(String server) {
        this.server = server;
        this.root = "/java-" + ProcessHandle.current().pid() + "-" + System.currentTimeMillis();
    }

    public static void main(String[] args) throws Exception {
        if (args.length < 1) {
            System.err.println("usage: JavaClient HOST:PORT [WORD]");
            System.exit(2);
        }
        JavaClient suite = new JavaClient(args[0]);
        try (Client client = suite.connect()) {
            client.create(suite.root, new byte[0], Ids.OPEN_ACL_UNSAFE, CreateMode.PERSISTENT);
        }
        Suite tests = new Suite();
        // The tests that wait for timeouts go first, beside the quick ones.
        new JavaSessions(suite).register(tests);
        suite.register(tests);
        Runtime.getRuntime().addShutdownHook(new Thread(suite::cleanUp));
        tests.runAndExit(args.length > 1 ? args[1] : "", 6);
    }

    private void cleanUp() {
        try (Client client = connect()) {
            client.addAuthInfo("digest", bytes("super:test"));
            ZKUtil.deleteRecursive(client, root);
        } catch (Exception e) {
            System.out.println("the test's nodes stay behind: " + e);
        }
    }

    /** A client that remembers its session's events; connected when it is handed out. */
    static final class Client extends ZooKeeper {
        final Events events;

        Client(String server, int timeout, Events events) throws Exception {
            super(server, timeout, events);
            this.events = events;
        }

        Client(String server, int timeout, Events events, long session, byte[] password) throws Exception {
            super(server, timeout, events, session, password);
            this.events = events;
        }

        Client(String server, int timeout, Events events, boolean readOnly, ZKClientConfig config) throws Exception {
            super(server, timeout, events, readOnly, config);
            this.events = events;
        }

        Client connected() throws Exception {
            events.state(Watcher.Event.KeeperState.SyncConnected);
            return this;
        }

        String make(String path) throws Exception {
            return make(path, "");
        }

        String make(String path, String data) throws Exception {
            return create(path, bytes(data), Ids.OPEN_ACL_UNSAFE, CreateMode.PERSISTENT);
        }
    }

    /** Events in arrival order, taken one at a time. */
    static final class Events implements Watcher {
        private final BlockingQueue<WatchedEvent> queue = new LinkedBlockingQueue<>();

        @Override
        public void process(WatchedEvent event) {
            queue.add(event);
        }

        WatchedEvent next() throws InterruptedException {
            WatchedEvent event = queue.poll(20, TimeUnit.SECONDS);
            check(event != null, "no event within 20 s");
            return event;
        }

        void expect(Event.EventType type, String path) throws InterruptedException {
            WatchedEvent event = next();
            same(type + " " + path, event.getType() + " " + event.getPath());
            same(Event.KeeperState.SyncConnected, event.getState());
        }

        /** Skips to the next event of the session that has this state. */
        void state(Event.KeeperState state) throws InterruptedException {
            WatchedEvent event = next();
            while (event.getType() != Event.EventType.None || event.getState() != state) {
                event = next();
            }
        }

        void none() {
            check(queue.isEmpty(), "unexpected: " + queue);
        }
    }

    Client connect() throws Exception {
        return new Client(server, TIMEOUT, new Events()).connected();
    }

    /** A path of its own for each call. */
    String path(String name) {
        return root + "/" + name + counter.incrementAndGet();
    }

    static byte[] bytes(String text) {
        return text.getBytes(StandardCharsets.UTF_8);
    }

    private static String text(byte[] data) {
        return data == null ? null : new String(data, StandardCharsets.UTF_8);
    }

    private void register(Suite suite) {
        suite.test("ops.life of a node", this::lifeOfANode);
        suite.test("ops.create modes", this::createModes);
        suite.test("ops.sequence numbers", this::sequenceNumbers);
        suite.test("ops.null and empty data", this::nullAndEmptyData);
        suite.test("ops.errors", this::errors);
        suite.test("ops.unicode", this::unicode);
        suite.test("ops.large data", this::largeData);
        suite.test("ops.children and counts", this::childrenAndCounts);
        suite.test("ops.ephemerals", this::ephemerals);
        suite.test("ops.container and ttl nodes go", this::containerAndTtl);
        suite.test("ops.async order", this::asyncOrder);
        suite.test("ops.sync", this::sync);
        suite.test("ops.chroot", this::chroot);
        suite.test("ops.config and reconfig", this::config);
        suite.test("acl.schemes", this::aclSchemes);
        suite.test("acl.permissions", this::aclPermissions);
        suite.test("acl.super user", this::superUser);
        suite.test("acl.whoami", this::whoAmI);
        suite.test("multi.success", this::multiSuccess);
        suite.test("multi.failure", this::multiFailure);
        suite.test("multi.transaction builder", this::transactionBuilder);
        suite.test("multi.many operations", this::multiMany);
        suite.test("multi.reads", this::multiRead);
        suite.test("client.netty", this::netty);
        suite.test("client.may be read-only", this::mayBeReadOnly);
    }

    private void lifeOfANode() throws Exception {
        try (Client zk = connect()) {
            String path = path("n");
            Stat created = new Stat();
            same(path, zk.create(path, bytes("one"), Ids.OPEN_ACL_UNSAFE, CreateMode.PERSISTENT, created));
            same(created.getCzxid(), created.getMzxid());
            same(created.getCzxid(), created.getPzxid());
            same(created.getCtime(), created.getMtime());
            check(Math.abs(System.currentTimeMillis() - created.getCtime()) < 60_000, "ctime is not now");
            same(0, created.getVersion() + created.getCversion() + created.getAversion());
            same(3, created.getDataLength());
            Stat stat = zk.setData(path, bytes("three"), 0);
            same(1, stat.getVersion());
            check(stat.getMzxid() > created.getMzxid() && stat.getPzxid() == created.getPzxid(), "zxids after set");
            Stat read = new Stat();
            same("three", text(zk.getData(path, false, read)));
            same(stat, read);
            same(stat, zk.exists(path, false));
            fails(KeeperException.BadVersionException.class, () -> zk.setData(path, bytes("x"), 0));
            fails(KeeperException.BadVersionException.class, () -> zk.delete(path, 0));
            zk.make(path + "/child");
            stat = zk.exists(path, false);
            same(1, stat.getNumChildren());
            same(1, stat.getCversion());
            check(stat.getPzxid() > stat.getMzxid(), "pzxid after a child");
            fails(KeeperException.NotEmptyException.class, () -> zk.delete(path, -1));
            zk.delete(path + "/child", -1);
            same(2, zk.exists(path, false).getCversion());
            zk.delete(path, 1);
            same(null, zk.exists(path, false));
        }
    }

    private void createModes() throws Exception {
        try (Client zk = connect()) {
            String path = path("m");
            zk.make(path);
            for (CreateMode mode : CreateMode.values()) {
                Stat stat = new Stat();
                String made = zk.create(path + "/" + mode + "-", bytes("d"), Ids.OPEN_ACL_UNSAFE, mode, stat,
                        mode.isTTL() ? 500_000 : -1);
                check(mode.isSequential() == made.matches(".*-\\d{10}"), made);
                same(mode.isEphemeral() ? zk.getSessionId() : 0L, stat.getEphemeralOwner());
                same(stat, zk.exists(made, false));
                if (mode.isEphemeral()) {
                    fails(KeeperException.NoChildrenForEphemeralsException.class, () -> zk.make(made + "/c"));
                } else {
                    zk.make(made + "/c");
                }
            }
        }
    }

    private void sequenceNumbers() throws Exception {
        try (Client zk = connect()) {
            String path = path("s");
            zk.make(path);
            zk.make(path + "/plain");
            zk.delete(path + "/plain", -1);
            for (int number = 1; number < 5; number++) {
                same(String.format("%s/x%010d", path, number),
                        zk.create(path + "/x", null, Ids.OPEN_ACL_UNSAFE, CreateMode.PERSISTENT_SEQUENTIAL));
            }
            same(path + "/0000000005",
                    zk.create(path + "/", null, Ids.OPEN_ACL_UNSAFE, CreateMode.EPHEMERAL_SEQUENTIAL));
        }
    }

    private void nullAndEmptyData() throws Exception {
        try (Client zk = connect()) {
            String path = path("d");
            zk.create(path, null, Ids.OPEN_ACL_UNSAFE, CreateMode.PERSISTENT);
            same(null, zk.getData(path, false, null));
            zk.setData(path, new byte[0], -1);
            same(0, zk.getData(path, false, null).length);
            zk.setData(path, null, -1);
            same(null, zk.getData(path, false, null));
        }
    }

    private void errors() throws Exception {
        try (Client zk = connect()) {
            String path = path("e");
            KeeperException error = fails(KeeperException.NoNodeException.class, () -> zk.getData(path, false, null));
            same(path, error.getPath());
            fails(KeeperException.NoNodeException.class, () -> zk.setData(path, null, -1));
            fails(KeeperException.NoNodeException.class, () -> zk.delete(path, -1));
            fails(KeeperException.NoNodeException.class, () -> zk.getChildren(path, false));
            fails(KeeperException.NoNodeException.class, () -> zk.getACL(path, null));
            fails(KeeperException.NoNodeException.class, () -> zk.make(path + "/a/b"));
            zk.make(path);
            fails(KeeperException.NodeExistsException.class, () -> zk.make(path));
            fails(KeeperException.InvalidACLException.class,
                    () -> zk.create(path + "/x", null, Collections.emptyList(), CreateMode.PERSISTENT));
            fails(KeeperException.BadArgumentsException.class, () -> zk.delete("/zookeeper", -1));
            fails(KeeperException.BadArgumentsException.class, () -> zk.delete("/zookeeper/quota", -1));
            fails(KeeperException.BadArgumentsException.class, () -> zk.delete("/zookeeper/config", -1));
        }
    }

    private void unicode() throws Exception {
        try (Client zk = connect()) {
            String path = path("\u00fc\u4e2d\u05d0-");
            zk.make(path, "\u20ac");
            same("\u20ac", text(zk.getData(path, false, null)));
            check(zk.getChildren(root, false).contains(path.substring(root.length() + 1)), path);
        }
    }

    private void largeData() throws Exception {
        try (Client zk = connect()) {
            String path = path("large");
            byte[] data = new byte[1_000_000];
            new Random(1).nextBytes(data);
            zk.create(path, data, Ids.OPEN_ACL_UNSAFE, CreateMode.PERSISTENT);
            check(Arrays.equals(data, zk.getData(path, false, null)), "data differs");
            // Over the server's limit: it closes the connection, and the client finds its way back.
            fails(KeeperException.ConnectionLossException.class, () -> zk.setData(path, new byte[1_100_000], -1));
            zk.connected();
            check(Arrays.equals(data, zk.getData(path, false, null)), "data changed");
        }
    }

    private void childrenAndCounts() throws Exception {
        try (Client zk = connect()) {
            String path = path("c");
            zk.make(path);
            Set<String> names = new HashSet<>();
            for (int number = 0; number < 200; number++) {
                zk.make(path + "/n" + number);
                names.add("n" + number);
            }
            zk.make(path + "/n0/deep");
            same(names, new HashSet<>(zk.getChildren(path, false)));
            Stat stat = new Stat();
            same(names, new HashSet<>(zk.getChildren(path, false, stat)));
            same(200, stat.getNumChildren());
            same(201, zk.getAllChildrenNumber(path));
            fails(KeeperException.NoNodeException.class, () -> zk.getAllChildrenNumber(path + "/none"));
            same(Collections.emptyList(), zk.getChildren(path + "/n1", false));
        }
    }

    private void ephemerals() throws Exception {
        String path = path("e");
        Set<String> made = new HashSet<>();
        try (Client watcher = connect(); Client zk = connect()) {
            zk.make(path);
            for (int number = 0; number < 5; number++) {
                made.add(zk.create(path + "/e" + number, null, Ids.OPEN_ACL_UNSAFE, CreateMode.EPHEMERAL));
            }
            same(made, new HashSet<>(zk.getEphemerals()));
            same(made, new HashSet<>(zk.getEphemerals(path)));
            same(Collections.singletonList(path + "/e3"), zk.getEphemerals(path + "/e3"));
            same(Collections.emptyList(), watcher.getEphemerals());
            Events events = new Events();
            watcher.exists(path + "/e0", events);
            zk.close();
            events.expect(Watcher.Event.EventType.NodeDeleted, path + "/e0");
            same(Collections.emptyList(), watcher.getChildren(path, false));
        }
    }

    private void containerAndTtl() throws Exception {
        try (Client zk = connect()) {
            String container = path("container");
            String ttl = path("ttl");
            zk.create(container, null, Ids.OPEN_ACL_UNSAFE, CreateMode.CONTAINER);
            zk.create(ttl, null, Ids.OPEN_ACL_UNSAFE, CreateMode.PERSISTENT_WITH_TTL, null, 300);
            zk.make(container + "/child");
            zk.make(ttl + "/child");
            Events events = new Events();
            zk.exists(container, events);
            zk.delete(container + "/child", -1);
            events.expect(Watcher.Event.EventType.NodeDeleted, container);
            check(zk.exists(ttl, events) != null, "a TTL node with a child stays");
            zk.delete(ttl + "/child", -1);
            events.expect(Watcher.Event.EventType.NodeDeleted, ttl);
            for (long bad : new long[] {0, -1, 1L << 40}) {
                fails(Exception.class, () -> zk.create(ttl, null, Ids.OPEN_ACL_UNSAFE,
                        CreateMode.PERSISTENT_WITH_TTL, null, bad));
            }
        }
    }

    private void asyncOrder() throws Exception {
        try (Client zk = connect()) {
            String path = path("a");
            zk.make(path);
            int count = 2000;
            BlockingQueue<Integer> order = new LinkedBlockingQueue<>();
            for (int number = 0; number < count; number++) {
                int sent = number;
                if (number % 3 == 0) {
                    zk.getData(path, false, (rc, p, ctx, data, stat) -> order.add(rc == 0 ? sent : -1), null);
                } else {
                    zk.setData(path, bytes("" + number), -1, (rc, p, ctx, stat) -> order.add(rc == 0 ? sent : -1), null);
                }
            }
            for (int number = 0; number < count; number++) {
                same(number, order.poll(20, TimeUnit.SECONDS));
            }
            same(count - count / 3 - 1, zk.exists(path, false).getVersion());
        }
    }

    private void sync() throws Exception {
        try (Client zk = connect()) {
            BlockingQueue<String> done = new LinkedBlockingQueue<>();
            for (String path : new String[] {root, "/", "/no/such/node"}) {
                zk.sync(path, (rc, p, ctx) -> done.add(rc + p), null);
                same("0" + path, done.poll(20, TimeUnit.SECONDS));
            }
        }
    }

    private void chroot() throws Exception {
        try (Client zk = connect(); Client inside = new Client(server + root + "/jail", TIMEOUT, new Events())) {
            inside.connected();
            fails(KeeperException.NoNodeException.class, () -> inside.make("/a"));
            zk.make(root + "/jail");
            Events events = new Events();
            inside.exists("/a", events);
            same("/a", inside.make("/a", "in"));
            events.expect(Watcher.Event.EventType.NodeCreated, "/a");
            same("in", text(zk.getData(root + "/jail/a", false, null)));
            same(Collections.singletonList("a"), inside.getChildren("/", false));
        }
    }

    private void config() throws Exception {
        Events events = new Events();
        try (ZooKeeperAdmin zk = new ZooKeeperAdmin(server, TIMEOUT, events)) {
            events.state(Watcher.Event.KeeperState.SyncConnected);
            Stat stat = new Stat();
            same(0, zk.getConfig(false, stat).length);
            same(0, stat.getVersion());
            same(-1, stat.getAversion());
            same(Ids.READ_ACL_UNSAFE, zk.getACL("/zookeeper/config", null));
            fails(KeeperException.ReconfigDisabledException.class,
                    () -> zk.reconfigure("server.9=localhost:1:2;3", null, null, -1, null));
        }
    }

    private void aclSchemes() throws Exception {
        try (Client zk = connect()) {
            String path = path("acl");
            zk.make(path);
            String digest = DigestAuthenticationProvider.generateDigest("u:p");
            List<ACL> acl = Arrays.asList(new ACL(Perms.ALL, new Id("digest", digest)),
                    new ACL(Perms.READ, new Id("ip", "10.0.0.0/8")), new ACL(Perms.ALL, new Id("ip", "127.0.0.1")),
                    new ACL(Perms.READ, new Id("world", "anyone")));
            Stat before = zk.exists(path, false);
            Stat after = zk.setACL(path, acl, 0);
            same(1, after.getAversion());
            same(before.getMzxid(), after.getMzxid());
            same(acl, zk.getACL(path, after));
            fails(KeeperException.BadVersionException.class, () -> zk.setACL(path, acl, 0));
            for (Id bad : new Id[] {new Id("digest", "nocolon"), new Id("digest", "a:b:c"), new Id("ip", "300.1.1.1"),
                new Id("ip", "1.2.3.4/33"), new Id("world", "everyone"), new Id("super", ""), new Id("none", "x"),
                new Id("auth", "")}) {
                fails(KeeperException.InvalidACLException.class,
                        () -> zk.setACL(path, Collections.singletonList(new ACL(Perms.ALL, bad)), -1));
            }
        }
    }

    private void aclPermissions() throws Exception {
        try (Client owner = connect(); Client other = connect()) {
            String path = path("perm");
            owner.addAuthInfo("digest", bytes("owner:secret"));
            for (int perms = 0; perms < 32; perms++) {
                String node = path + "-" + perms;
                List<ACL> acl = new ArrayList<>(Ids.CREATOR_ALL_ACL);
                acl.add(new ACL(perms, Ids.ANYONE_ID_UNSAFE));
                owner.create(node, bytes("d"), acl, CreateMode.PERSISTENT);
                owner.make(node + "/child");
                allowed(perms, Perms.READ, () -> other.getData(node, false, null));
                allowed(perms, Perms.READ, () -> other.exists(node, false));
                allowed(perms, Perms.READ, () -> other.getChildren(node, false));
                allowed(perms, Perms.READ | Perms.ADMIN, () -> other.getACL(node, null));
                allowed(perms, Perms.WRITE, () -> other.setData(node, null, -1));
                allowed(perms, Perms.CREATE, () -> other.make(node + "/new"));
                allowed(perms, Perms.DELETE, () -> other.delete(node + "/child", -1));
                allowed(perms, Perms.ADMIN, () -> other.setACL(node, Ids.OPEN_ACL_UNSAFE, -1));
            }
            // Who may not administrate sees no digest.
            String hidden = path + "-" + Perms.READ;
            same("owner:x", other.getACL(hidden, null).get(0).getId().getId());
            same(DigestAuthenticationProvider.generateDigest("owner:secret"),
                    owner.getACL(hidden, null).get(0).getId().getId());
        }
    }

    private static void allowed(int perms, int needed, Suite.Body body) throws Exception {
        if ((perms & needed) != 0) {
            body.run();
        } else {
            fails(KeeperException.NoAuthException.class, body);
        }
    }

    /** The servers of these suites are started with the digest of super:test as superDigest. */
    private void superUser() throws Exception {
        try (Client owner = connect(); Client root = connect()) {
            String path = path("super");
            owner.addAuthInfo("digest", bytes("o:o"));
            owner.create(path, bytes("d"), Ids.CREATOR_ALL_ACL, CreateMode.PERSISTENT);
            fails(KeeperException.NoAuthException.class, () -> root.getData(path, false, null));
            root.addAuthInfo("digest", bytes("super:wrong"));
            fails(KeeperException.NoAuthException.class, () -> root.getData(path, false, null));
            root.addAuthInfo("digest", bytes("super:test"));
            same("d", text(root.getData(path, false, null)));
            root.setACL(path, Ids.OPEN_ACL_UNSAFE, -1);
        }
    }

    private void whoAmI() throws Exception {
        try (Client zk = connect()) {
            zk.addAuthInfo("digest", bytes("ann:a"));
            zk.addAuthInfo("digest", bytes("ben:b"));
            Set<String> ids = zk.whoAmI().stream().map(i -> i.getAuthScheme() + ":" + i.getUser())
                    .collect(Collectors.toSet());
            same(Set.of("ip:127.0.0.1", "digest:ann", "digest:ben"), ids);
        }
    }

    private void multiSuccess() throws Exception {
        try (Client zk = connect()) {
            String path = path("multi");
            List<OpResult> results = zk.multi(Arrays.asList(
                    Op.create(path, bytes("1"), Ids.OPEN_ACL_UNSAFE, CreateMode.PERSISTENT),
                    Op.create(path + "/s", null, Ids.OPEN_ACL_UNSAFE, CreateMode.PERSISTENT_SEQUENTIAL),
                    Op.create(path + "/e", null, Ids.OPEN_ACL_UNSAFE, CreateMode.EPHEMERAL),
                    Op.create(path + "/c", null, Ids.OPEN_ACL_UNSAFE, CreateMode.CONTAINER),
                    Op.create(path + "/t", null, Ids.OPEN_ACL_UNSAFE, CreateMode.PERSISTENT_WITH_TTL, 600_000),
                    Op.check(path, 0), Op.setData(path, bytes("2"), 0), Op.check(path, 1), Op.delete(path + "/e", 0)));
            same(path, ((OpResult.CreateResult) results.get(0)).getPath());
            same(path + "/s0000000000", ((OpResult.CreateResult) results.get(1)).getPath());
            same(1, ((OpResult.SetDataResult) results.get(6)).getStat().getVersion());
            same(Set.of("s0000000000", "c", "t"), new HashSet<>(zk.getChildren(path, false)));
            same(zk.exists(path, false).getMzxid(), zk.exists(path + "/c", false).getCzxid());
            same(Collections.emptyList(), zk.multi(Collections.emptyList()));
        }
    }

    private void multiFailure() throws Exception {
        try (Client zk = connect()) {
            String path = path("multi");
            zk.make(path);
            KeeperException error = fails(KeeperException.NodeExistsException.class, () -> zk.multi(Arrays.asList(
                    Op.create(path + "/a", null, Ids.OPEN_ACL_UNSAFE, CreateMode.PERSISTENT),
                    Op.setData(path, bytes("x"), -1),
                    Op.create(path, null, Ids.OPEN_ACL_UNSAFE, CreateMode.PERSISTENT),
                    Op.delete(path, -1))));
            List<Integer> codes = error.getResults().stream().map(r -> ((OpResult.ErrorResult) r).getErr())
                    .collect(Collectors.toList());
            same(Arrays.asList(0, 0, Code.NODEEXISTS.intValue(), Code.RUNTIMEINCONSISTENCY.intValue()), codes);
            same(null, zk.exists(path + "/a", false));
            same("", text(zk.getData(path, false, null)));
            // A sequence number is not lost by a failed multi.
            same(path + "/0000000000",
                    zk.create(path + "/", null, Ids.OPEN_ACL_UNSAFE, CreateMode.PERSISTENT_SEQUENTIAL));
        }
    }

    private void transactionBuilder() throws Exception {
        try (Client zk = connect()) {
            String path = path("txn");
            zk.transaction().create(path, null, Ids.OPEN_ACL_UNSAFE, CreateMode.PERSISTENT)
                    .setData(path, bytes("x"), 0).check(path, 1).commit();
            fails(KeeperException.BadVersionException.class, () -> zk.transaction().check(path, 9).delete(path, -1).commit());
            zk.transaction().delete(path, 1).commit();
            same(null, zk.exists(path, false));
        }
    }

    private void multiMany() throws Exception {
        try (Client zk = connect()) {
            String path = path("many");
            zk.make(path);
            List<Op> creates = new ArrayList<>();
            List<Op> deletes = new ArrayList<>();
            for (int number = 0; number < 2000; number++) {
                creates.add(Op.create(path + "/" + number, bytes("x"), Ids.OPEN_ACL_UNSAFE, CreateMode.PERSISTENT));
                deletes.add(Op.delete(path + "/" + number, 0));
            }
            same(2000, zk.multi(creates).size());
            same(2000, zk.getChildren(path, false).size());
            same(2000, zk.multi(deletes).size());
            same(4000, zk.exists(path, false).getCversion());
        }
    }

    private void multiRead() throws Exception {
        try (Client zk = connect()) {
            String path = path("read");
            zk.make(path, "data");
            zk.make(path + "/child");
            List<OpResult> results = zk.multi(Arrays.asList(Op.getData(path), Op.getChildren(path), Op.getData(path + "/x")));
            OpResult.GetDataResult data = (OpResult.GetDataResult) results.get(0);
            same("data", text(data.getData()));
            same(zk.exists(path, false), data.getStat());
            same(Collections.singletonList("child"), ((OpResult.GetChildrenResult) results.get(1)).getChildren());
            same(Code.NONODE.intValue(), ((OpResult.ErrorResult) results.get(2)).getErr());
        }
    }

    /** The Netty client writes its first frames back to back, without waiting for the session. */
    private void netty() throws Exception {
        ZKClientConfig config = new ZKClientConfig();
        config.setProperty(ZKClientConfig.ZOOKEEPER_CLIENT_CNXN_SOCKET, "org.apache.zookeeper.ClientCnxnSocketNetty");
        try (Proxy proxy = new Proxy(server);
                Client zk = new Client(proxy.address(), TIMEOUT, new Events(), false, config)) {
            zk.addAuthInfo("digest", bytes("netty:n"));
            String path = path("netty");
            BlockingQueue<Integer> codes = new LinkedBlockingQueue<>();
            zk.create(path, bytes("d"), Ids.CREATOR_ALL_ACL, CreateMode.EPHEMERAL,
                    (rc, p, ctx, name) -> codes.add(rc), null);
            same(0, codes.poll(20, TimeUnit.SECONDS));
            zk.connected();
            Events events = new Events();
            zk.getData(path, events, null);
            proxy.reset();
            zk.connected();
            // Authentication and watch are sent again right behind the connect request.
            zk.setData(path, bytes("e"), -1);
            WatchedEvent event = events.next();
            while (event.getType() == Watcher.Event.EventType.None) {
                event = events.next();
            }
            same(Watcher.Event.EventType.NodeDataChanged, event.getType());
            eventually("the session is the same", () -> zk.getEphemerals().contains(path));
        }
    }

    private void mayBeReadOnly() throws Exception {
        try (Client zk = new Client(server, TIMEOUT, new Events(), true, new ZKClientConfig())) {
            zk.connected();
            zk.make(path("rw"));
        }
    }
}
