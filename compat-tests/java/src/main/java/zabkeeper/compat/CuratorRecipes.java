package zabkeeper.compat;

import static zabkeeper.compat.Suite.check;
import static zabkeeper.compat.Suite.eventually;
import static zabkeeper.compat.Suite.fails;
import static zabkeeper.compat.Suite.same;

import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Collection;
import java.util.Collections;
import java.util.List;
import java.util.Set;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.Callable;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import org.apache.curator.framework.CuratorFramework;
import org.apache.curator.framework.CuratorFrameworkFactory;
import org.apache.curator.framework.recipes.atomic.CachedAtomicLong;
import org.apache.curator.framework.recipes.atomic.DistributedAtomicLong;
import org.apache.curator.framework.recipes.atomic.DistributedAtomicValue;
import org.apache.curator.framework.recipes.atomic.PromotedToLock;
import org.apache.curator.framework.recipes.barriers.DistributedBarrier;
import org.apache.curator.framework.recipes.barriers.DistributedDoubleBarrier;
import org.apache.curator.framework.recipes.leader.LeaderLatch;
import org.apache.curator.framework.recipes.leader.LeaderSelector;
import org.apache.curator.framework.recipes.leader.LeaderSelectorListenerAdapter;
import org.apache.curator.framework.recipes.locks.InterProcessLock;
import org.apache.curator.framework.recipes.locks.InterProcessMultiLock;
import org.apache.curator.framework.recipes.locks.InterProcessMutex;
import org.apache.curator.framework.recipes.locks.InterProcessReadWriteLock;
import org.apache.curator.framework.recipes.locks.InterProcessSemaphoreMutex;
import org.apache.curator.framework.recipes.locks.InterProcessSemaphoreV2;
import org.apache.curator.framework.recipes.locks.Lease;
import org.apache.curator.framework.recipes.locks.Revoker;
import org.apache.curator.framework.recipes.queue.DistributedDelayQueue;
import org.apache.curator.framework.recipes.queue.DistributedIdQueue;
import org.apache.curator.framework.recipes.queue.DistributedPriorityQueue;
import org.apache.curator.framework.recipes.queue.DistributedQueue;
import org.apache.curator.framework.recipes.queue.QueueBuilder;
import org.apache.curator.framework.recipes.queue.QueueConsumer;
import org.apache.curator.framework.recipes.queue.QueueSerializer;
import org.apache.curator.framework.recipes.queue.SimpleDistributedQueue;
import org.apache.curator.framework.recipes.shared.SharedCount;
import org.apache.curator.framework.recipes.shared.SharedCountListener;
import org.apache.curator.framework.recipes.shared.SharedCountReader;
import org.apache.curator.framework.recipes.shared.SharedValue;
import org.apache.curator.framework.state.ConnectionState;
import org.apache.curator.retry.RetryNTimes;

/**
 * Curator's recipes that coordinate: leaders, locks, barriers, counters, queues. Nodes, caches,
 * transactions and sessions are in {@link CuratorNodes}.
 *
 * <p>{@code CuratorRecipes HOST:PORT [WORD]}: only tests whose name contains WORD.
 */
public final class CuratorRecipes {
    static final int SESSION_TIMEOUT = 6000;
    private static final long WAIT_SECONDS = 20;

    final String server;
    private final String root;
    private final AtomicInteger counter = new AtomicInteger();

    private CuratorRecipes(String server) {
        this.server = server;
        this.root = "/curator-" + ProcessHandle.current().pid() + "-" + System.currentTimeMillis();
    }

    public static void main(String[] args) throws Exception {
        if (args.length < 1) {
            System.err.println("usage: CuratorRecipes HOST:PORT [WORD]");
            System.exit(2);
        }
        CuratorRecipes suite = new CuratorRecipes(args[0]);
        try (CuratorFramework client = suite.connect()) {
            client.create().forPath(suite.root, null);
        }
        Suite tests = new Suite();
        new CuratorNodes(suite).register(tests);
        suite.register(tests);
        Runtime.getRuntime().addShutdownHook(new Thread(suite::cleanUp));
        tests.runAndExit(args.length > 1 ? args[1] : "", 6);
    }

    private void cleanUp() {
        try (CuratorFramework client = CuratorFrameworkFactory.builder().connectString(server)
                .authorization("digest", bytes("super:test")).retryPolicy(new RetryNTimes(3, 100)).build()) {
            client.start();
            client.delete().deletingChildrenIfNeeded().forPath(root);
        } catch (Exception e) {
            System.out.println("the test's nodes stay behind: " + e);
        }
    }

    CuratorFramework connect() throws Exception {
        return connect(server);
    }

    static CuratorFramework connect(String where) throws Exception {
        CuratorFramework client = CuratorFrameworkFactory.builder().connectString(where)
                .sessionTimeoutMs(SESSION_TIMEOUT).connectionTimeoutMs(10_000)
                .retryPolicy(new RetryNTimes(50, 100)).build();
        client.start();
        check(client.blockUntilConnected(20, TimeUnit.SECONDS), "not connected within 20 s");
        return client;
    }

    String path(String name) {
        return root + "/" + name + counter.incrementAndGet();
    }

    static byte[] bytes(String text) {
        return text.getBytes(StandardCharsets.UTF_8);
    }

    private void register(Suite suite) {
        suite.test("leader.latch", this::leaderLatch);
        suite.test("leader.selector", this::leaderSelector);
        suite.test("lock.mutex", this::mutex);
        suite.test("lock.mutex excludes", this::mutexExcludes);
        suite.test("lock.mutex revoked", this::mutexRevoked);
        suite.test("lock.semaphore mutex", this::semaphoreMutex);
        suite.test("lock.semaphore", this::semaphore);
        suite.test("lock.read and write", this::readWriteLock);
        suite.test("lock.several at once", this::multiLock);
        suite.test("barrier.plain", this::barrier);
        suite.test("barrier.double", this::doubleBarrier);
        suite.test("count.shared", this::sharedCount);
        suite.test("count.shared value", this::sharedValue);
        suite.test("count.atomic long", this::atomicLong);
        suite.test("count.atomic value", this::atomicValue);
        suite.test("queue.plain", this::queue);
        suite.test("queue.with ids", this::idQueue);
        suite.test("queue.priority", this::priorityQueue);
        suite.test("queue.delay", this::delayQueue);
        suite.test("queue.simple", this::simpleQueue);
    }

    private void leaderLatch() throws Exception {
        String path = path("latch");
        try (CuratorFramework a = connect(); CuratorFramework b = connect(); CuratorFramework c = connect()) {
            List<LeaderLatch> latches = new ArrayList<>();
            for (CuratorFramework client : List.of(a, b, c)) {
                LeaderLatch latch = new LeaderLatch(client, path, "id" + latches.size());
                latches.add(latch);
                latch.start();
            }
            for (int remaining = 3; remaining > 0; remaining--) {
                eventually("one leader", () -> latches.stream().filter(LeaderLatch::hasLeadership).count() == 1);
                LeaderLatch leader = latches.stream().filter(LeaderLatch::hasLeadership).findFirst().orElseThrow();
                int expected = remaining;
                // The others join at their own pace.
                eventually("all take part", () -> leader.getParticipants().size() == expected);
                same(leader.getId(), latches.get(0).getLeader().getId());
                leader.close();
                latches.remove(leader);
            }
        }
    }

    private void leaderSelector() throws Exception {
        String path = path("selector");
        AtomicInteger inside = new AtomicInteger();
        AtomicInteger overlaps = new AtomicInteger();
        CountDownLatch done = new CountDownLatch(6);
        class Listener extends LeaderSelectorListenerAdapter {
            @Override
            public void takeLeadership(CuratorFramework client) {
                if (inside.incrementAndGet() != 1) {
                    overlaps.incrementAndGet();
                }
                inside.decrementAndGet();
                done.countDown();
            }
        }
        try (CuratorFramework a = connect(); CuratorFramework b = connect();
                LeaderSelector first = new LeaderSelector(a, path, new Listener());
                LeaderSelector second = new LeaderSelector(b, path, new Listener())) {
            first.autoRequeue();
            second.autoRequeue();
            first.start();
            second.start();
            check(done.await(WAIT_SECONDS, TimeUnit.SECONDS), "leadership did not go round");
            same(0, overlaps.get());
        }
    }

    private void mutex() throws Exception {
        String path = path("mutex");
        try (CuratorFramework a = connect(); CuratorFramework b = connect()) {
            InterProcessMutex first = new InterProcessMutex(a, path);
            InterProcessMutex second = new InterProcessMutex(b, path);
            first.acquire();
            check(first.acquire(1, TimeUnit.SECONDS), "reentrant");
            check(!second.acquire(200, TimeUnit.MILLISECONDS), "held twice");
            first.release();
            check(!second.acquire(200, TimeUnit.MILLISECONDS), "held twice after one release");
            Future<Boolean> waiting = background(() -> second.acquire(WAIT_SECONDS, TimeUnit.SECONDS));
            eventually("the second waits", () -> first.getParticipantNodes().size() == 2);
            first.release();
            check(waiting.get(WAIT_SECONDS, TimeUnit.SECONDS), "not handed over");
        }
    }

    private void mutexExcludes() throws Exception {
        String path = path("mutex");
        int threads = 5;
        int rounds = 10;
        AtomicInteger inside = new AtomicInteger();
        AtomicInteger entered = new AtomicInteger();
        List<Future<Void>> all = new ArrayList<>();
        for (int number = 0; number < threads; number++) {
            all.add(background(() -> {
                try (CuratorFramework client = connect()) {
                    InterProcessMutex lock = new InterProcessMutex(client, path);
                    for (int round = 0; round < rounds; round++) {
                        check(lock.acquire(WAIT_SECONDS, TimeUnit.SECONDS), "not acquired");
                        same(1, inside.incrementAndGet());
                        entered.incrementAndGet();
                        inside.decrementAndGet();
                        lock.release();
                    }
                }
                return null;
            }));
        }
        for (Future<Void> one : all) {
            one.get(50, TimeUnit.SECONDS);
        }
        same(threads * rounds, entered.get());
    }

    private void mutexRevoked() throws Exception {
        String path = path("mutex");
        try (CuratorFramework a = connect(); CuratorFramework b = connect()) {
            InterProcessMutex lock = new InterProcessMutex(a, path);
            CountDownLatch asked = new CountDownLatch(1);
            lock.makeRevocable(held -> asked.countDown());
            lock.acquire();
            Revoker.attemptRevoke(b, lock.getParticipantNodes().iterator().next());
            check(asked.await(WAIT_SECONDS, TimeUnit.SECONDS), "not asked to give back");
            lock.release();
        }
    }

    private void semaphoreMutex() throws Exception {
        String path = path("semaphore");
        try (CuratorFramework a = connect(); CuratorFramework b = connect()) {
            InterProcessSemaphoreMutex first = new InterProcessSemaphoreMutex(a, path);
            InterProcessSemaphoreMutex second = new InterProcessSemaphoreMutex(b, path);
            first.acquire();
            check(!second.acquire(200, TimeUnit.MILLISECONDS), "held twice");
            first.release();
            check(second.acquire(WAIT_SECONDS, TimeUnit.SECONDS), "not free");
            second.release();
        }
    }

    private void semaphore() throws Exception {
        String path = path("semaphore");
        try (CuratorFramework a = connect(); CuratorFramework b = connect()) {
            InterProcessSemaphoreV2 first = new InterProcessSemaphoreV2(a, path, 3);
            InterProcessSemaphoreV2 second = new InterProcessSemaphoreV2(b, path, 3);
            Collection<Lease> two = first.acquire(2);
            Lease third = second.acquire();
            same(null, second.acquire(200, TimeUnit.MILLISECONDS));
            first.returnAll(two);
            Lease again = second.acquire(WAIT_SECONDS, TimeUnit.SECONDS);
            check(again != null, "no lease although two came back");
            same(2, second.getParticipantNodes().size());
            second.returnAll(List.of(again, third));
            // A count that is shared, and grows.
            String shared = path("permits");
            try (SharedCount count = new SharedCount(a, shared + "-count", 1)) {
                count.start();
                InterProcessSemaphoreV2 counted = new InterProcessSemaphoreV2(a, shared, count);
                Lease lease = counted.acquire();
                same(null, counted.acquire(200, TimeUnit.MILLISECONDS));
                count.setCount(2);
                Lease more = counted.acquire(WAIT_SECONDS, TimeUnit.SECONDS);
                check(more != null, "the new count has no effect");
                counted.returnAll(List.of(lease, more));
            }
        }
    }

    private void readWriteLock() throws Exception {
        String path = path("rw");
        try (CuratorFramework a = connect(); CuratorFramework b = connect()) {
            InterProcessReadWriteLock first = new InterProcessReadWriteLock(a, path);
            InterProcessReadWriteLock second = new InterProcessReadWriteLock(b, path);
            first.readLock().acquire();
            check(second.readLock().acquire(WAIT_SECONDS, TimeUnit.SECONDS), "readers exclude each other");
            check(!second.writeLock().acquire(200, TimeUnit.MILLISECONDS), "a writer beside a reader");
            first.readLock().release();
            second.readLock().release();
            check(second.writeLock().acquire(WAIT_SECONDS, TimeUnit.SECONDS), "no write lock");
            check(second.readLock().acquire(WAIT_SECONDS, TimeUnit.SECONDS), "no downgrade");
            check(!first.readLock().acquire(200, TimeUnit.MILLISECONDS), "a reader beside a writer");
            second.writeLock().release();
            check(first.readLock().acquire(WAIT_SECONDS, TimeUnit.SECONDS), "no read lock");
            first.readLock().release();
            second.readLock().release();
        }
    }

    private void multiLock() throws Exception {
        try (CuratorFramework client = connect(); CuratorFramework other = connect()) {
            String one = path("multi");
            String two = path("multi");
            InterProcessLock both = new InterProcessMultiLock(client, List.of(one, two));
            both.acquire();
            check(!new InterProcessMutex(other, two).acquire(200, TimeUnit.MILLISECONDS), "held twice");
            both.release();
        }
    }

    private void barrier() throws Exception {
        String path = path("barrier");
        try (CuratorFramework a = connect(); CuratorFramework b = connect()) {
            DistributedBarrier barrier = new DistributedBarrier(a, path);
            barrier.setBarrier();
            DistributedBarrier other = new DistributedBarrier(b, path);
            check(!other.waitOnBarrier(200, TimeUnit.MILLISECONDS), "an open barrier");
            Future<Boolean> waiting = background(() -> other.waitOnBarrier(WAIT_SECONDS, TimeUnit.SECONDS));
            barrier.removeBarrier();
            check(waiting.get(WAIT_SECONDS, TimeUnit.SECONDS), "the barrier did not open");
        }
    }

    private void doubleBarrier() throws Exception {
        String path = path("double");
        int members = 4;
        AtomicInteger inside = new AtomicInteger();
        List<Future<Void>> all = new ArrayList<>();
        for (int number = 0; number < members; number++) {
            all.add(background(() -> {
                try (CuratorFramework client = connect()) {
                    DistributedDoubleBarrier barrier = new DistributedDoubleBarrier(client, path, members);
                    inside.incrementAndGet();
                    check(barrier.enter(WAIT_SECONDS, TimeUnit.SECONDS), "not entered");
                    same(members, inside.get());
                    check(barrier.leave(WAIT_SECONDS, TimeUnit.SECONDS), "not left");
                }
                return null;
            }));
        }
        for (Future<Void> one : all) {
            one.get(50, TimeUnit.SECONDS);
        }
    }

    private void sharedCount() throws Exception {
        String path = path("count");
        try (CuratorFramework a = connect(); CuratorFramework b = connect();
                SharedCount first = new SharedCount(a, path, 10);
                SharedCount second = new SharedCount(b, path, 10)) {
            BlockingQueue<Integer> heard = new LinkedBlockingQueue<>();
            second.addListener(new SharedCountListener() {
                @Override
                public void countHasChanged(SharedCountReader count, int value) {
                    heard.add(value);
                }

                @Override
                public void stateChanged(CuratorFramework client, ConnectionState state) {
                    // Not what this is about.
                }
            });
            first.start();
            second.start();
            same(10, second.getCount());
            first.setCount(11);
            same(11, heard.poll(WAIT_SECONDS, TimeUnit.SECONDS));
            same(11, second.getCount());
            check(second.trySetCount(second.getVersionedValue(), 12), "the newest version did not set");
            eventually("the first hears", () -> first.getCount() == 12);
        }
    }

    private void sharedValue() throws Exception {
        String path = path("value");
        try (CuratorFramework client = connect(); SharedValue value = new SharedValue(client, path, bytes("seed"))) {
            value.start();
            var old = value.getVersionedValue();
            check(value.trySetValue(old, bytes("new")), "not set");
            check(!value.trySetValue(old, bytes("newer")), "an old version did set");
            same("new", new String(value.getValue(), StandardCharsets.UTF_8));
        }
    }

    private void atomicLong() throws Exception {
        String path = path("atomic");
        int threads = 4;
        int rounds = 25;
        List<Future<Integer>> all = new ArrayList<>();
        for (int number = 0; number < threads; number++) {
            all.add(background(() -> {
                int done = 0;
                try (CuratorFramework client = connect()) {
                    DistributedAtomicLong count = new DistributedAtomicLong(client, path, new RetryNTimes(20, 5),
                            PromotedToLock.builder().lockPath(path + "-lock").timeout(20, TimeUnit.SECONDS).build());
                    for (int round = 0; round < rounds; round++) {
                        done += count.increment().succeeded() ? 1 : 0;
                    }
                }
                return done;
            }));
        }
        long succeeded = 0;
        for (Future<Integer> one : all) {
            succeeded += one.get(50, TimeUnit.SECONDS);
        }
        try (CuratorFramework client = connect()) {
            DistributedAtomicLong count = new DistributedAtomicLong(client, path, new RetryNTimes(3, 10));
            same(succeeded, count.get().postValue());
            // Curator gives up after its retries when the others are lucky; what it did must count.
            check(succeeded >= threads * rounds * 9 / 10, "only " + succeeded + " of the increments succeeded");
            check(count.subtract(1L).succeeded() && count.compareAndSet(succeeded - 1, 7L).succeeded(), "not changed");
            check(!count.compareAndSet(succeeded, 8L).succeeded(), "set from a wrong value");
            CachedAtomicLong cached = new CachedAtomicLong(count, 10);
            same(1L, cached.next().postValue() - cached.next().preValue() + 1);
        }
    }

    private void atomicValue() throws Exception {
        String path = path("atomic");
        try (CuratorFramework client = connect()) {
            DistributedAtomicValue value = new DistributedAtomicValue(client, path, new RetryNTimes(3, 10));
            check(value.initialize(bytes("a")) && !value.initialize(bytes("b")), "initialised twice");
            check(value.compareAndSet(bytes("a"), bytes("c")).succeeded(), "not set");
            same("c", new String(value.get().postValue(), StandardCharsets.UTF_8));
        }
    }

    /** Consumes into a list that a test can wait on. */
    private static final class Consumer implements QueueConsumer<String> {
        final BlockingQueue<String> got = new LinkedBlockingQueue<>();

        @Override
        public void consumeMessage(String message) {
            got.add(message);
        }

        @Override
        public void stateChanged(CuratorFramework client, ConnectionState state) {
            // Not what this is about.
        }

        List<String> take(int count) throws InterruptedException {
            List<String> all = new ArrayList<>();
            while (all.size() < count) {
                String one = got.poll(WAIT_SECONDS, TimeUnit.SECONDS);
                check(one != null, "only " + all);
                all.add(one);
            }
            return all;
        }
    }

    private static final QueueSerializer<String> TEXT = new QueueSerializer<>() {
        @Override
        public byte[] serialize(String item) {
            return bytes(item);
        }

        @Override
        public String deserialize(byte[] data) {
            return new String(data, StandardCharsets.UTF_8);
        }
    };

    private static List<String> numbered(int count) {
        List<String> names = new ArrayList<>();
        for (int number = 0; number < count; number++) {
            names.add("item" + number);
        }
        return names;
    }

    private void queue() throws Exception {
        String path = path("queue");
        Consumer consumer = new Consumer();
        try (CuratorFramework a = connect(); CuratorFramework b = connect();
                DistributedQueue<String> in = QueueBuilder.builder(a, null, TEXT, path).buildQueue();
                DistributedQueue<String> out = QueueBuilder.builder(b, consumer, TEXT, path)
                        .lockPath(path + "-lock").buildQueue()) {
            in.start();
            for (String item : numbered(20)) {
                in.put(item);
            }
            check(in.flushPuts(WAIT_SECONDS, TimeUnit.SECONDS), "not flushed");
            out.start();
            same(numbered(20), sorted(consumer.take(20)));
        }
    }

    private static List<String> sorted(List<String> items) {
        items.sort((a, b) -> a.length() != b.length() ? a.length() - b.length() : a.compareTo(b));
        return items;
    }

    private void idQueue() throws Exception {
        String path = path("queue");
        Consumer consumer = new Consumer();
        try (CuratorFramework client = connect();
                DistributedIdQueue<String> in = QueueBuilder.builder(client, null, TEXT, path).buildIdQueue()) {
            in.start();
            in.put("keep", "1");
            in.put("drop", "2");
            check(in.flushPuts(WAIT_SECONDS, TimeUnit.SECONDS), "not flushed");
            same(1, in.remove("2"));
            same(0, in.remove("3"));
            try (DistributedIdQueue<String> out = QueueBuilder.builder(client, consumer, TEXT, path).buildIdQueue()) {
                out.start();
                same(List.of("keep"), consumer.take(1));
            }
        }
    }

    private void priorityQueue() throws Exception {
        String path = path("queue");
        Consumer consumer = new Consumer();
        try (CuratorFramework client = connect();
                DistributedPriorityQueue<String> in =
                        QueueBuilder.builder(client, null, TEXT, path).buildPriorityQueue(0)) {
            in.start();
            for (int priority : new int[] {5, 1, 3, -2}) {
                in.put("p" + priority, priority);
            }
            check(in.flushPuts(WAIT_SECONDS, TimeUnit.SECONDS), "not flushed");
            try (DistributedPriorityQueue<String> out = QueueBuilder.builder(client, consumer, TEXT, path)
                    .executor(Runnable::run).buildPriorityQueue(0)) {
                out.start();
                same(List.of("p-2", "p1", "p3", "p5"), consumer.take(4));
            }
        }
    }

    private void delayQueue() throws Exception {
        String path = path("queue");
        Consumer consumer = new Consumer();
        try (CuratorFramework client = connect();
                DistributedDelayQueue<String> queue =
                        QueueBuilder.builder(client, consumer, TEXT, path).buildDelayQueue()) {
            queue.start();
            long now = System.currentTimeMillis();
            queue.put("late", now + 700);
            queue.put("soon", now + 200);
            same(List.of("soon", "late"), consumer.take(2));
            check(System.currentTimeMillis() >= now + 700, "too early");
        }
    }

    private void simpleQueue() throws Exception {
        String path = path("queue");
        try (CuratorFramework a = connect(); CuratorFramework b = connect()) {
            SimpleDistributedQueue queue = new SimpleDistributedQueue(a, path);
            SimpleDistributedQueue other = new SimpleDistributedQueue(b, path);
            fails(java.util.NoSuchElementException.class, queue::element);
            check(queue.offer(bytes("1")) && queue.offer(bytes("2")), "not offered");
            same("1", new String(other.peek(), StandardCharsets.UTF_8));
            same("1", new String(other.take(), StandardCharsets.UTF_8));
            same("2", new String(other.poll(), StandardCharsets.UTF_8));
            same(null, other.poll(100, TimeUnit.MILLISECONDS));
            Future<byte[]> waiting = background(other::take);
            queue.offer(bytes("3"));
            same("3", new String(waiting.get(WAIT_SECONDS, TimeUnit.SECONDS), StandardCharsets.UTF_8));
            same(Collections.emptyList(), a.getChildren().forPath(path));
            same(Set.of(), Set.copyOf(b.getChildren().forPath(path)));
        }
    }

    private static final ExecutorService BACKGROUND = Executors.newCachedThreadPool(task -> {
        Thread thread = new Thread(task, "background");
        thread.setDaemon(true);
        return thread;
    });

    static <T> Future<T> background(Callable<T> body) {
        return BACKGROUND.submit(body);
    }
}
