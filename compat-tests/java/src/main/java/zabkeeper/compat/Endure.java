package zabkeeper.compat;

import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.nio.charset.StandardCharsets;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import org.apache.zookeeper.CreateMode;
import org.apache.zookeeper.KeeperException;
import org.apache.zookeeper.WatchedEvent;
import org.apache.zookeeper.Watcher.Event.EventType;
import org.apache.zookeeper.Watcher.Event.KeeperState;
import org.apache.zookeeper.ZooDefs.Ids;
import org.apache.zookeeper.ZooKeeper;

/**
 * One Java client that works on while servers come and go: {@code Endure HOSTS PATH}. What it is told
 * and what it tells is in src/ensemble/foreign.rs.
 */
public final class Endure {
    private static final int TIMEOUT = 8000;
    private static final int EVENT_SECONDS = 10;
    private static final int PAUSE = 20;

    private final String path;
    private final String value;
    private final CountDownLatch connected = new CountDownLatch(1);
    private volatile boolean up;
    private volatile boolean going = true;
    /** How often it was told to pause: each is answered, also one behind a "go" that was not seen. */
    private volatile int pauses;
    private volatile boolean stopped;
    private volatile boolean expired;
    private volatile CountDownLatch fired;

    private Endure(String path) {
        this.path = path;
        this.value = path + "/value";
    }

    private static synchronized void tell(String line) {
        System.out.println(line);
        System.out.flush();
    }

    private void onState(WatchedEvent event) {
        up = event.getState() == KeeperState.SyncConnected;
        if (up) {
            connected.countDown();
        }
        if (event.getState() == KeeperState.Expired) {
            expired = true;
            tell("expired");
        }
    }

    private void onChange(WatchedEvent event) {
        if (event.getType() == EventType.NodeDataChanged) {
            tell("event");
            CountDownLatch latch = fired;
            fired = null;
            latch.countDown();
        }
    }

    private void listen() {
        try (BufferedReader in =
                new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8))) {
            for (String line = in.readLine(); line != null; line = in.readLine()) {
                boolean pause = line.equals("pause");
                if (pause) {
                    pauses++;
                }
                going = !pause;
            }
        } catch (java.io.IOException e) {
            tell("wrong " + e);
        }
        stopped = true;
    }

    private void step(ZooKeeper zk, int sequence) throws Exception {
        byte[] data = Integer.toString(sequence).getBytes(StandardCharsets.UTF_8);
        CountDownLatch latch = fired;
        if (latch == null) {
            latch = new CountDownLatch(1);
            fired = latch;
            try {
                zk.getData(value, this::onChange, null);
            } catch (KeeperException e) {
                fired = null;
                throw e;
            }
        }
        String node = path + "/n" + sequence;
        zk.create(node, data, Ids.OPEN_ACL_UNSAFE, CreateMode.PERSISTENT);
        tell("ok " + node + " " + sequence);
        if (sequence % 5 == 0) {
            zk.setData(value, data, -1);
            tell("set");
            if (!latch.await(EVENT_SECONDS, TimeUnit.SECONDS)) {
                tell("wrong no event after a change");
            }
        }
    }

    private void run(String hosts) throws Exception {
        Thread listener = new Thread(this::listen);
        listener.setDaemon(true);
        listener.start();
        ZooKeeper zk = new ZooKeeper(hosts, TIMEOUT, this::onState);
        if (!connected.await(60, TimeUnit.SECONDS)) {
            throw new IllegalStateException("not connected");
        }
        zk.create(path, null, Ids.OPEN_ACL_UNSAFE, CreateMode.PERSISTENT);
        zk.create(value, new byte[0], Ids.OPEN_ACL_UNSAFE, CreateMode.PERSISTENT);
        zk.create(path + "/here", new byte[0], Ids.OPEN_ACL_UNSAFE, CreateMode.EPHEMERAL);
        tell("ephemeral " + path + "/here " + Long.toHexString(zk.getSessionId()));
        tell("ready");
        int answered = 0;
        int sequence = 0;
        while (!stopped && !expired) {
            if (!going) {
                int asked = pauses;
                if (asked != answered) {
                    tell("idle");
                }
                answered = asked;
            } else if (up) {
                sequence++;
                try {
                    step(zk, sequence);
                } catch (KeeperException.ConnectionLossException e) {
                    tell("loss");
                } catch (KeeperException e) {
                    tell("wrong " + e);
                }
            }
            // The rhythm of the load, which lasts as long as the story: nothing is awaited.
            Thread.sleep(PAUSE);
        }
        if (!expired) {
            zk.close();
            tell("closed " + path + "/here");
        }
    }

    /** HOSTS PATH. */
    public static void main(String[] args) throws Exception {
        new Endure(args[1]).run(args[0]);
        System.exit(0);
    }
}
