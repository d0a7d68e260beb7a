package zabkeeper.compat;

import static zabkeeper.compat.CuratorRecipes.bytes;
import static zabkeeper.compat.Suite.check;
import static zabkeeper.compat.Suite.eventually;
import static zabkeeper.compat.Suite.fails;
import static zabkeeper.compat.Suite.same;

import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;
import org.apache.curator.framework.CuratorFramework;
import org.apache.curator.framework.CuratorFrameworkFactory;
import org.apache.curator.framework.api.CuratorEvent;
import org.apache.curator.framework.api.CuratorWatcher;
import org.apache.curator.framework.api.transaction.CuratorOp;
import org.apache.curator.framework.api.transaction.CuratorTransactionResult;
import org.apache.curator.framework.recipes.cache.ChildData;
import org.apache.curator.framework.recipes.cache.CuratorCache;
import org.apache.curator.framework.recipes.cache.CuratorCacheListener;
import org.apache.curator.framework.recipes.cache.NodeCache;
import org.apache.curator.framework.recipes.cache.PathChildrenCache;
import org.apache.curator.framework.recipes.cache.TreeCache;
import org.apache.curator.framework.recipes.leader.LeaderLatch;
import org.apache.curator.framework.recipes.nodes.GroupMember;
import org.apache.curator.framework.recipes.nodes.PersistentNode;
import org.apache.curator.framework.recipes.nodes.PersistentTtlNode;
import org.apache.curator.framework.recipes.watch.PersistentWatcher;
import org.apache.curator.framework.state.ConnectionState;
import org.apache.curator.retry.RetryNTimes;
import org.apache.zookeeper.AddWatchMode;
import org.apache.zookeeper.CreateMode;
import org.apache.zookeeper.KeeperException;
import org.apache.zookeeper.Watcher;
import org.apache.zookeeper.ZooDefs.Ids;
import org.apache.zookeeper.data.Stat;

/** The part of {@link CuratorRecipes} about single nodes, caches, transactions, watches and sessions. */
final class CuratorNodes {
    private static final long WAIT_SECONDS = 20;

    private final CuratorRecipes suite;

    CuratorNodes(CuratorRecipes suite) {
        this.suite = suite;
    }

    void register(Suite tests) {
        // First, since they wait for sessions to expire.
        tests.test("session.killed", this::sessionKilled);
        tests.test("session.lost leader", this::lostLeader);
        tests.test("session.suspended and back", this::suspendedAndBack);
        tests.test("node.ttl", this::persistentTtlNode);
        tests.test("node.container", this::container);
        tests.test("node.operations", this::operations);
        tests.test("node.background", this::background);
        tests.test("node.parents and protection", this::parentsAndProtection);
        tests.test("node.compressed", this::compressed);
        tests.test("node.persistent", this::persistentNode);
        tests.test("node.group member", this::groupMember);
        tests.test("cache.curator", this::curatorCache);
        tests.test("cache.node", this::nodeCache);
        tests.test("cache.path children", this::pathChildrenCache);
        tests.test("cache.tree", this::treeCache);
        tests.test("cache.after a reconnect", this::cacheAfterAReconnect);
        tests.test("txn.all or nothing", this::transaction);
        tests.test("acl.creator and auth", this::acl);
        tests.test("watch.one-shot and removal", this::watchRemoval);
        tests.test("watch.persistent", this::persistentWatcher);
        tests.test("client.namespace", this::namespace);
    }

    private static String text(byte[] data) {
        return new String(data, StandardCharsets.UTF_8);
    }

    private void operations() throws Exception {
        try (CuratorFramework client = suite.connect()) {
            String path = suite.path("ops");
            Stat stat = new Stat();
            same(path, client.create().storingStatIn(stat).forPath(path, bytes("one")));
            same(1, client.setData().withVersion(0).forPath(path, bytes("two")).getVersion());
            fails(KeeperException.BadVersionException.class,
                    () -> client.setData().withVersion(0).forPath(path, bytes("x")));
            same("two", text(client.getData().storingStatIn(stat).forPath(path)));
            same(1, stat.getVersion());
            same(stat, client.checkExists().forPath(path));
            same(null, client.checkExists().forPath(path + "/none"));
            same(path, client.create().orSetData().forPath(path, bytes("three")));
            same("three", text(client.getData().forPath(path)));
            client.create().orSetData().forPath(path + "/a", bytes("new"));
            same(List.of("a"), client.getChildren().storingStatIn(stat).forPath(path));
            client.sync().forPath(path);
            same(0, client.getConfig().forEnsemble().length);
            fails(KeeperException.NotEmptyException.class, () -> client.delete().forPath(path));
            client.delete().quietly().forPath(path + "/none");
            client.delete().guaranteed().deletingChildrenIfNeeded().forPath(path);
            same(null, client.checkExists().forPath(path));
        }
    }

    private void background() throws Exception {
        try (CuratorFramework client = suite.connect()) {
            BlockingQueue<CuratorEvent> events = new LinkedBlockingQueue<>();
            String path = suite.path("bg");
            client.create().inBackground((c, event) -> events.add(event)).forPath(path, bytes("x"));
            CuratorEvent event = events.poll(WAIT_SECONDS, TimeUnit.SECONDS);
            same(0, event.getResultCode());
            client.getData().inBackground((c, e) -> events.add(e)).forPath(path);
            same("x", text(events.poll(WAIT_SECONDS, TimeUnit.SECONDS).getData()));
            client.getData().inBackground((c, e) -> events.add(e)).forPath(path + "/none");
            same(KeeperException.Code.NONODE.intValue(), events.poll(WAIT_SECONDS, TimeUnit.SECONDS).getResultCode());
        }
    }

    private void parentsAndProtection() throws Exception {
        try (CuratorFramework client = suite.connect()) {
            String path = suite.path("deep");
            client.create().creatingParentsIfNeeded().forPath(path + "/a/b/c", null);
            client.create().creatingParentContainersIfNeeded().forPath(path + "/x/y", null);
            String made = client.create().withProtection().withMode(CreateMode.EPHEMERAL_SEQUENTIAL)
                    .forPath(path + "/n-", null);
            check(made.matches(".*/_c_[-0-9a-f]{36}-n-\\d{10}"), made);
            same(List.of("c"), client.getChildren().forPath(path + "/a/b"));
        }
    }

    private void compressed() throws Exception {
        try (CuratorFramework client = suite.connect()) {
            String path = suite.path("zip");
            client.create().compressed().forPath(path, bytes("text ".repeat(1000)));
            check(client.checkExists().forPath(path).getDataLength() < 500, "not compressed");
            same("text ".repeat(1000), text(client.getData().decompressed().forPath(path)));
        }
    }

    private void container() throws Exception {
        try (CuratorFramework client = suite.connect()) {
            String path = suite.path("container");
            client.createContainers(path);
            same(0L, client.checkExists().forPath(path).getEphemeralOwner());
            BlockingQueue<Watcher.Event.EventType> events = new LinkedBlockingQueue<>();
            client.create().forPath(path + "/child", null);
            client.checkExists().usingWatcher((CuratorWatcher) e -> events.add(e.getType())).forPath(path);
            client.delete().forPath(path + "/child");
            same(Watcher.Event.EventType.NodeDeleted, events.poll(WAIT_SECONDS, TimeUnit.SECONDS));
        }
    }

    private void persistentNode() throws Exception {
        try (CuratorFramework client = suite.connect(); CuratorFramework other = suite.connect()) {
            String path = suite.path("persistent");
            try (PersistentNode node = new PersistentNode(client, CreateMode.EPHEMERAL, false, path, bytes("mine"))) {
                node.start();
                check(node.waitForInitialCreate(WAIT_SECONDS, TimeUnit.SECONDS), "not created");
                same("mine", text(other.getData().forPath(path)));
                other.delete().forPath(path);
                eventually("it comes back", () -> other.checkExists().forPath(path) != null);
                node.setData(bytes("new"));
                eventually("new data", () -> text(other.getData().forPath(path)).equals("new"));
            }
            same(null, other.checkExists().forPath(path));
        }
    }

    private void persistentTtlNode() throws Exception {
        try (CuratorFramework client = suite.connect(); CuratorFramework other = suite.connect()) {
            String path = suite.path("ttl");
            long ttl = 2000;
            try (PersistentTtlNode node = new PersistentTtlNode(client, path, ttl, bytes("mine"))) {
                node.start();
                check(node.waitForInitialCreate(WAIT_SECONDS, TimeUnit.SECONDS), "not created");
                same("mine", text(other.getData().forPath(path)));
                long end = System.nanoTime() + TimeUnit.MILLISECONDS.toNanos(2 * ttl);
                eventually("twice its time has passed", () -> System.nanoTime() > end);
                check(other.checkExists().forPath(path) != null, "gone although it is touched");
            }
            eventually("it goes", () -> other.checkExists().forPath(path) == null);
        }
    }

    private void groupMember() throws Exception {
        String path = suite.path("group");
        try (CuratorFramework a = suite.connect(); CuratorFramework b = suite.connect();
                GroupMember first = new GroupMember(a, path, "first", bytes("1"))) {
            first.start();
            try (GroupMember second = new GroupMember(b, path, "second", bytes("2"))) {
                second.start();
                for (GroupMember member : List.of(first, second)) {
                    eventually("both are members", () -> member.getCurrentMembers().size() == 2);
                    same("2", text(member.getCurrentMembers().get("second")));
                }
            }
            eventually("one is left", () -> first.getCurrentMembers().keySet().equals(Set.of("first")));
        }
    }

    private void curatorCache() throws Exception {
        String path = suite.path("cache");
        try (CuratorFramework client = suite.connect(); CuratorFramework other = suite.connect();
                CuratorCache cache = CuratorCache.build(client, path)) {
            BlockingQueue<String> heard = new LinkedBlockingQueue<>();
            other.create().creatingParentsIfNeeded().forPath(path + "/a/b", bytes("1"));
            cache.listenable().addListener(CuratorCacheListener.builder()
                    .forCreates(node -> heard.add("+" + node.getPath()))
                    .forChanges((old, node) -> heard.add(text(old.getData()) + ">" + text(node.getData())))
                    .forDeletes(node -> heard.add("-" + node.getPath()))
                    .forInitialized(() -> heard.add("ready")).build());
            cache.start();
            List<String> first = new ArrayList<>();
            while (!first.contains("ready")) {
                first.add(heard.poll(WAIT_SECONDS, TimeUnit.SECONDS));
            }
            same(Set.of("+" + path, "+" + path + "/a", "+" + path + "/a/b", "ready"), Set.copyOf(first));
            other.setData().forPath(path + "/a/b", bytes("2"));
            same("1>2", heard.poll(WAIT_SECONDS, TimeUnit.SECONDS));
            other.create().forPath(path + "/c", bytes("c"));
            same("+" + path + "/c", heard.poll(WAIT_SECONDS, TimeUnit.SECONDS));
            other.delete().forPath(path + "/a/b");
            same("-" + path + "/a/b", heard.poll(WAIT_SECONDS, TimeUnit.SECONDS));
            Map<String, String> held = new HashMap<>();
            cache.stream().forEach(node -> held.put(node.getPath().substring(path.length()), ""));
            same(Set.of("", "/a", "/c"), held.keySet());
        }
    }

    private void nodeCache() throws Exception {
        String path = suite.path("cache");
        try (CuratorFramework client = suite.connect(); CuratorFramework other = suite.connect();
                @SuppressWarnings("deprecation") NodeCache cache = new NodeCache(client, path)) {
            cache.start(true);
            same(null, cache.getCurrentData());
            other.create().forPath(path, bytes("1"));
            eventually("created", () -> current(cache.getCurrentData(), "1"));
            other.setData().forPath(path, bytes("2"));
            eventually("changed", () -> current(cache.getCurrentData(), "2"));
            other.delete().forPath(path);
            eventually("deleted", () -> cache.getCurrentData() == null);
        }
    }

    private static boolean current(ChildData node, String data) {
        return node != null && text(node.getData()).equals(data);
    }

    private void pathChildrenCache() throws Exception {
        String path = suite.path("cache");
        try (CuratorFramework client = suite.connect(); CuratorFramework other = suite.connect();
                @SuppressWarnings("deprecation") PathChildrenCache cache = new PathChildrenCache(client, path, true)) {
            other.create().creatingParentsIfNeeded().forPath(path + "/old", bytes("old"));
            cache.start(PathChildrenCache.StartMode.BUILD_INITIAL_CACHE);
            same(1, cache.getCurrentData().size());
            for (int number = 0; number < 20; number++) {
                other.create().forPath(path + "/n" + number, bytes("x"));
            }
            eventually("all are there", () -> cache.getCurrentData().size() == 21);
            other.setData().forPath(path + "/n7", bytes("y"));
            eventually("changed", () -> current(cache.getCurrentData(path + "/n7"), "y"));
            other.delete().forPath(path + "/old");
            eventually("deleted", () -> cache.getCurrentData(path + "/old") == null);
        }
    }

    private void treeCache() throws Exception {
        String path = suite.path("cache");
        try (CuratorFramework client = suite.connect(); CuratorFramework other = suite.connect();
                @SuppressWarnings("deprecation") TreeCache cache = new TreeCache(client, path)) {
            other.create().creatingParentsIfNeeded().forPath(path + "/a/b/c", bytes("deep"));
            cache.start();
            eventually("found", () -> current(cache.getCurrentData(path + "/a/b/c"), "deep"));
            other.create().forPath(path + "/a/b/d", bytes("new"));
            eventually("created", () -> current(cache.getCurrentData(path + "/a/b/d"), "new"));
            other.delete().deletingChildrenIfNeeded().forPath(path + "/a");
            eventually("deleted", () -> cache.getCurrentData(path + "/a") == null);
        }
    }

    private void cacheAfterAReconnect() throws Exception {
        String path = suite.path("cache");
        try (Proxy proxy = new Proxy(suite.server); CuratorFramework client = CuratorRecipes.connect(proxy.address());
                CuratorFramework other = suite.connect(); CuratorCache cache = CuratorCache.build(client, path)) {
            other.create().creatingParentsIfNeeded().forPath(path + "/a", bytes("1"));
            cache.start();
            eventually("filled", () -> cache.get(path + "/a").isPresent());
            proxy.cut();
            other.setData().forPath(path + "/a", bytes("2"));
            other.create().forPath(path + "/b", bytes("b"));
            proxy.restore();
            eventually("caught up", () -> current(cache.get(path + "/a").orElse(null), "2")
                    && cache.get(path + "/b").isPresent());
        }
    }

    private void transaction() throws Exception {
        try (CuratorFramework client = suite.connect()) {
            String path = suite.path("txn");
            List<CuratorTransactionResult> results = client.transaction().forOperations(
                    client.transactionOp().create().forPath(path, bytes("1")),
                    client.transactionOp().create().withMode(CreateMode.PERSISTENT_SEQUENTIAL).forPath(path + "/s-", null),
                    client.transactionOp().check().withVersion(0).forPath(path),
                    client.transactionOp().setData().withVersion(0).forPath(path, bytes("2")));
            same(path + "/s-0000000000", results.get(1).getResultPath());
            same(1, results.get(3).getResultStat().getVersion());
            CuratorOp set = client.transactionOp().setData().forPath(path, bytes("3"));
            CuratorOp bad = client.transactionOp().delete().forPath(path + "/none");
            fails(KeeperException.NoNodeException.class, () -> client.transaction().forOperations(set, bad));
            same("2", text(client.getData().forPath(path)));
        }
    }

    private void acl() throws Exception {
        String path = suite.path("acl");
        try (CuratorFramework owner = CuratorFrameworkFactory.builder().connectString(suite.server)
                .authorization("digest", bytes("me:pw")).retryPolicy(new RetryNTimes(3, 100)).build();
                CuratorFramework other = suite.connect()) {
            owner.start();
            owner.create().withACL(Ids.CREATOR_ALL_ACL).forPath(path, bytes("secret"));
            same("secret", text(owner.getData().forPath(path)));
            fails(KeeperException.NoAuthException.class, () -> other.getData().forPath(path));
            fails(KeeperException.NoAuthException.class, () -> other.setACL().withACL(Ids.OPEN_ACL_UNSAFE).forPath(path));
            same("digest", owner.getACL().forPath(path).get(0).getId().getScheme());
            owner.setACL().withVersion(0).withACL(Ids.OPEN_ACL_UNSAFE).forPath(path);
            same("secret", text(other.getData().forPath(path)));
            same(Ids.OPEN_ACL_UNSAFE, other.getACL().forPath(path));
        }
    }

    private void watchRemoval() throws Exception {
        try (CuratorFramework client = suite.connect(); CuratorFramework other = suite.connect()) {
            String path = suite.path("watch");
            BlockingQueue<Watcher.Event.EventType> events = new LinkedBlockingQueue<>();
            CuratorWatcher watcher = event -> events.add(event.getType());
            client.create().forPath(path, null);
            client.getData().usingWatcher(watcher).forPath(path);
            other.setData().forPath(path, bytes("x"));
            same(Watcher.Event.EventType.NodeDataChanged, events.poll(WAIT_SECONDS, TimeUnit.SECONDS));
            client.getChildren().usingWatcher(watcher).forPath(path);
            client.watchers().remove(watcher).forPath(path);
            same(Watcher.Event.EventType.ChildWatchRemoved, events.poll(WAIT_SECONDS, TimeUnit.SECONDS));
            fails(KeeperException.NoWatcherException.class, () -> client.watchers().remove(watcher).forPath(path));
            client.getData().usingWatcher(watcher).forPath(path);
            client.watchers().removeAll().ofType(Watcher.WatcherType.Data).forPath(path);
            same(Watcher.Event.EventType.DataWatchRemoved, events.poll(WAIT_SECONDS, TimeUnit.SECONDS));
            client.watchers().add().withMode(AddWatchMode.PERSISTENT_RECURSIVE).usingWatcher(watcher).forPath(path);
            other.create().forPath(path + "/c", null);
            same(Watcher.Event.EventType.NodeCreated, events.poll(WAIT_SECONDS, TimeUnit.SECONDS));
            client.watchers().removeAll().ofType(Watcher.WatcherType.PersistentRecursive).forPath(path);
            same(Watcher.Event.EventType.PersistentWatchRemoved, events.poll(WAIT_SECONDS, TimeUnit.SECONDS));
            other.create().forPath(path + "/d", null);
            client.sync().forPath(path);
            client.getChildren().forPath(path);
            check(events.isEmpty(), "an event after the removal: " + events);
        }
    }

    private void persistentWatcher() throws Exception {
        String path = suite.path("watch");
        try (Proxy proxy = new Proxy(suite.server); CuratorFramework client = CuratorRecipes.connect(proxy.address());
                CuratorFramework other = suite.connect();
                PersistentWatcher watcher = new PersistentWatcher(client, path, true)) {
            BlockingQueue<String> events = new LinkedBlockingQueue<>();
            BlockingQueue<String> resets = new LinkedBlockingQueue<>();
            watcher.getListenable().addListener(event -> events.add(event.getType() + " " + event.getPath()));
            watcher.getResetListenable().addListener(() -> resets.add("reset"));
            watcher.start();
            check(resets.poll(WAIT_SECONDS, TimeUnit.SECONDS) != null, "not started");
            other.create().creatingParentsIfNeeded().forPath(path + "/a", null);
            same("NodeCreated " + path, events.poll(WAIT_SECONDS, TimeUnit.SECONDS));
            same("NodeCreated " + path + "/a", events.poll(WAIT_SECONDS, TimeUnit.SECONDS));
            proxy.reset();
            check(resets.poll(WAIT_SECONDS, TimeUnit.SECONDS) != null, "not started again");
            events.clear();
            other.setData().forPath(path + "/a", null);
            same("NodeDataChanged " + path + "/a", events.poll(WAIT_SECONDS, TimeUnit.SECONDS));
        }
    }

    private void namespace() throws Exception {
        try (CuratorFramework client = suite.connect()) {
            String path = suite.path("space");
            CuratorFramework inside = client.usingNamespace(path.substring(1));
            inside.create().forPath("/a", bytes("x"));
            same("x", text(client.getData().forPath(path + "/a")));
            same(List.of("a"), inside.getChildren().forPath("/"));
        }
    }

    /** A second client takes over the session and closes it: the first finds its session gone. */
    private void sessionKilled() throws Exception {
        try (CuratorFramework client = suite.connect(); CuratorFramework other = suite.connect()) {
            BlockingQueue<ConnectionState> states = new LinkedBlockingQueue<>();
            client.getConnectionStateListenable().addListener((c, state) -> states.add(state));
            String path = suite.path("kill");
            client.create().withMode(CreateMode.EPHEMERAL).forPath(path, null);
            long session = client.getZookeeperClient().getZooKeeper().getSessionId();
            JavaClient.Events events = new JavaClient.Events();
            try (JavaClient.Client killer = new JavaClient.Client(suite.server, CuratorRecipes.SESSION_TIMEOUT, events,
                    session, client.getZookeeperClient().getZooKeeper().getSessionPasswd())) {
                killer.connected();
            }
            await(states, ConnectionState.LOST);
            await(states, ConnectionState.RECONNECTED);
            same(null, other.checkExists().forPath(path));
            check(client.getZookeeperClient().getZooKeeper().getSessionId() != session, "the same session again");
            client.create().withMode(CreateMode.EPHEMERAL).forPath(path, null);
        }
    }

    private static void await(BlockingQueue<ConnectionState> states, ConnectionState wanted) throws Exception {
        ConnectionState state;
        do {
            state = states.poll(WAIT_SECONDS, TimeUnit.SECONDS);
            check(state != null, "never " + wanted);
        } while (state != wanted);
    }

    private void lostLeader() throws Exception {
        String path = suite.path("latch");
        try (Proxy proxy = new Proxy(suite.server); CuratorFramework a = CuratorRecipes.connect(proxy.address());
                CuratorFramework b = suite.connect(); LeaderLatch first = new LeaderLatch(a, path, "first");
                LeaderLatch second = new LeaderLatch(b, path, "second")) {
            first.start();
            check(first.await(WAIT_SECONDS, TimeUnit.SECONDS), "no leader");
            second.start();
            eventually("two candidates", () -> second.getParticipants().size() == 2);
            proxy.cut();
            check(second.await(WAIT_SECONDS, TimeUnit.SECONDS), "the other did not become leader");
            check(!first.hasLeadership(), "two leaders");
            proxy.restore();
            eventually("the first is back as a candidate", () -> second.getParticipants().size() == 2);
            same("second", first.getLeader().getId());
        }
    }

    private void suspendedAndBack() throws Exception {
        try (Proxy proxy = new Proxy(suite.server); CuratorFramework client = CuratorRecipes.connect(proxy.address())) {
            BlockingQueue<ConnectionState> states = new LinkedBlockingQueue<>();
            client.getConnectionStateListenable().addListener((c, state) -> states.add(state));
            String path = suite.path("suspend");
            client.create().withMode(CreateMode.EPHEMERAL).forPath(path, bytes("x"));
            proxy.reset();
            await(states, ConnectionState.SUSPENDED);
            await(states, ConnectionState.RECONNECTED);
            same("x", text(client.getData().forPath(path)));
            check(states.isEmpty(), "more states: " + states);
        }
    }
}
