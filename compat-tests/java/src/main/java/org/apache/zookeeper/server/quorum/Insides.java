package org.apache.zookeeper.server.quorum;

import java.io.BufferedOutputStream;
import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import java.io.DataInputStream;
import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.lang.reflect.Field;
import java.lang.reflect.Method;
import java.net.InetSocketAddress;
import java.net.Socket;
import java.nio.ByteBuffer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;
import org.apache.jute.BinaryInputArchive;
import org.apache.jute.BinaryOutputArchive;
import org.apache.zookeeper.common.NetUtils;
import org.apache.zookeeper.server.Request;
import org.apache.zookeeper.server.ServerCnxn;
import org.apache.zookeeper.server.ZKDatabase;
import org.apache.zookeeper.server.persistence.FileTxnSnapLog;
import org.apache.zookeeper.server.quorum.flexible.QuorumMaj;
import org.apache.zookeeper.server.quorum.flexible.QuorumVerifier;

/**
 * Lets ZooKeeper's own code write and read what servers say to each other, without sockets. In
 * its package, since most of that code is seen from there only.
 */
public final class Insides {

    private Insides() {
    }

    /** The kinds of packets, with their numbers, as the leader has them. */
    public static Map<String, Integer> kinds() throws ReflectiveOperationException {
        Map<String, Integer> kinds = new TreeMap<>();
        for (String name : new String[] {
            "REQUEST", "PROPOSAL", "ACK", "COMMIT", "PING", "REVALIDATE", "SYNC", "INFORM",
            "COMMITANDACTIVATE", "NEWLEADER", "FOLLOWERINFO", "UPTODATE", "DIFF", "TRUNC", "SNAP",
            "OBSERVERINFO", "LEADERINFO", "ACKEPOCH", "INFORMANDACTIVATE",
        }) {
            Field field = Leader.class.getDeclaredField(name);
            field.setAccessible(true);
            kinds.put(name, field.getInt(null));
        }
        return kinds;
    }

    /** A server that knows itself, and nothing of files or peers. */
    private static class Peer extends QuorumPeer {
        final long sid;
        final QuorumVerifier verifier = new QuorumMaj(Collections.emptyMap());
        MultipleAddresses election;
        boolean multi;
        long accepted;
        long current;
        long zxid;
        final List<String> configs = new ArrayList<>();

        Peer(long sid) throws IOException {
            this.sid = sid;
            verifier.setVersion(Long.MAX_VALUE);
        }

        @Override
        public long getMyId() {
            return sid;
        }

        @Override
        public QuorumVerifier getQuorumVerifier() {
            return verifier;
        }

        @Override
        public boolean isMultiAddressEnabled() {
            return multi;
        }

        @Override
        public MultipleAddresses getElectionAddress() {
            return election;
        }

        @Override
        public synchronized ServerState getPeerState() {
            return ServerState.LOOKING;
        }

        @Override
        public synchronized Set<Long> getCurrentAndNextConfigVoters() {
            return Collections.singleton(SENDER);
        }

        @Override
        public QuorumVerifier configFromString(String s) {
            configs.add(s);
            return new QuorumMaj(Collections.emptyMap());
        }

        @Override
        public long getLastLoggedZxid() {
            return zxid;
        }

        @Override
        public long getAcceptedEpoch() {
            return accepted;
        }

        @Override
        public void setAcceptedEpoch(long epoch) {
            accepted = epoch;
        }

        @Override
        public long getCurrentEpoch() {
            return current;
        }
    }

    // ---- election

    private static final long SENDER = 1;

    /** What a notification is, with the text of the configuration in it. */
    public interface Heard {
        void notification(
            int state, long leader, long zxid, long round, long peerEpoch, int version, String config);

        void dropped();
    }

    /** A notification. */
    public static byte[] notification(
        QuorumPeer.ServerState state, long leader, long zxid, long round, long peerEpoch, byte[] config) {
        return FastLeaderElection.buildMsg(state.ordinal(), leader, zxid, round, peerEpoch, config).array();
    }

    /** A notification without configuration: 40 bytes. */
    public static byte[] oldNotification(
        QuorumPeer.ServerState state, long leader, long zxid, long round, long peerEpoch) {
        return FastLeaderElection.buildMsg(state.ordinal(), leader, zxid, round, peerEpoch).array();
    }

    /** Gives messages to a server that elects, and tells what it understood. */
    public static void hear(List<byte[]> messages, Heard heard) throws Exception {
        Peer peer = new Peer(2);
        BlockingQueue<QuorumCnxManager.Message> in = new LinkedBlockingQueue<>();
        QuorumCnxManager manager = new QuorumCnxManager(
            peer, peer.sid, Collections.emptyMap(), null, null, 1000, false, 3, false) {
            @Override
            public Message pollRecvQueue(long timeout, TimeUnit unit) throws InterruptedException {
                return in.poll(timeout, unit);
            }

            @Override
            public void toSend(Long sid, ByteBuffer b) {
            }
        };
        FastLeaderElection election = new FastLeaderElection(peer, manager);
        election.messenger.wrThread.start();
        byte[] end = oldNotification(QuorumPeer.ServerState.LOOKING, 0x0e0d, 0x0e0d, 0x0e0d, 0x0e0d);
        for (byte[] message : messages) {
            peer.configs.clear();
            in.add(new QuorumCnxManager.Message(ByteBuffer.wrap(message), SENDER));
            in.add(new QuorumCnxManager.Message(ByteBuffer.wrap(end), SENDER));
            FastLeaderElection.Notification n = take(election);
            if (n.leader == 0x0e0d) {
                heard.dropped();
                continue;
            }
            if (take(election).leader != 0x0e0d) {
                throw new IllegalStateException("two from one");
            }
            String config = peer.configs.isEmpty() ? null : peer.configs.get(0);
            heard.notification(
                n.state.ordinal(), n.leader, n.zxid, n.electionEpoch, n.peerEpoch, n.version, config);
        }
        election.messenger.wr.stop = true;
    }

    private static FastLeaderElection.Notification take(FastLeaderElection election)
        throws InterruptedException {
        FastLeaderElection.Notification n = election.recvqueue.poll(10, TimeUnit.SECONDS);
        if (n == null) {
            throw new IllegalStateException("the receiver is down");
        }
        return n;
    }

    /** What a server sends first on an election connection that it opens. */
    public static byte[] hello(long sid, boolean multi, InetSocketAddress... addresses) throws Exception {
        Peer peer = new Peer(sid);
        peer.multi = multi;
        peer.election = new MultipleAddresses(Arrays.asList(addresses));
        QuorumCnxManager manager = new QuorumCnxManager(
            peer, sid, Collections.emptyMap(), null, null, 1000, false, 3, false);
        ByteArrayOutputStream out = new ByteArrayOutputStream();
        Socket socket = new Socket() {
            @Override
            public OutputStream getOutputStream() {
                return out;
            }

            @Override
            public InputStream getInputStream() {
                return new ByteArrayInputStream(new byte[0]);
            }
        };
        Method start = QuorumCnxManager.class.getDeclaredMethod("startConnection", Socket.class, Long.class);
        start.setAccessible(true);
        start.invoke(manager, socket, Long.MAX_VALUE); // Of a greater id, so that it ends there.
        return out.toByteArray();
    }

    /** The id and the addresses in such a message, or that it is refused. */
    public static String hearHello(byte[] message) throws IOException {
        DataInputStream in = new DataInputStream(new ByteArrayInputStream(message));
        long first = in.readLong();
        if (first >= 0) {
            return first + " []";
        }
        try {
            QuorumCnxManager.InitialMessage init = QuorumCnxManager.InitialMessage.parse(first, in);
            List<String> addresses = new ArrayList<>();
            for (InetSocketAddress address : init.electionAddr) {
                addresses.add(NetUtils.formatInetAddr(address));
            }
            return init.sid + " " + addresses;
        } catch (QuorumCnxManager.InitialMessage.InitialMessageException e) {
            return "refused";
        }
    }

    // ---- learner

    /** A learner whose leader is a buffer. */
    public static final class Scribe extends Learner {
        private final ByteArrayOutputStream out = new ByteArrayOutputStream();
        private Map<Long, Integer> touched;

        public Scribe(long sid) throws Exception {
            self = new Peer(sid);
            bufferedOutput = new BufferedOutputStream(out);
            leaderOs = BinaryOutputArchive.getArchive(bufferedOutput);
            // There are no clients here.
            Field pending = Learner.class.getDeclaredField("pendingRevalidations");
            pending.setAccessible(true);
            pending.set(this, new ConcurrentHashMap<Long, ServerCnxn>() {
                @Override
                public ServerCnxn put(Long session, ServerCnxn client) {
                    return null;
                }
            });
            Path folder = Files.createTempDirectory("fixtures");
            FileTxnSnapLog files = new FileTxnSnapLog(folder.toFile(), folder.toFile());
            zk = new LearnerZooKeeperServer(files, 2000, -1, -1, -1, new ZKDatabase(files), self) {
                @Override
                public Learner getLearner() {
                    return Scribe.this;
                }

                @Override
                protected Map<Long, Integer> getTouchSnapshot() {
                    return touched;
                }
            };
            Files.delete(folder.resolve("version-2"));
            Files.delete(folder);
        }

        private byte[] take() {
            byte[] bytes = out.toByteArray();
            out.reset();
            return bytes;
        }

        /** What forwards a client's write. */
        public byte[] forward(Request request) throws IOException {
            request(request);
            return take();
        }

        /** What asks for a session. */
        public byte[] ask(long session, int timeout) throws IOException {
            validateSession(null, session, timeout);
            return take();
        }

        /** What answers a PING. */
        public byte[] answer(QuorumPacket ping, Map<Long, Integer> touches) throws IOException {
            touched = touches;
            ping(ping);
            return take();
        }

        /** The first two packets to a leader that says LEADERINFO. */
        public byte[] register(
            int kind, long accepted, long current, long zxid, long config, QuorumPacket leaderInfo)
            throws IOException {
            Peer peer = (Peer) self;
            peer.accepted = accepted;
            peer.current = current;
            peer.zxid = zxid;
            peer.verifier.setVersion(config);
            ByteArrayOutputStream in = new ByteArrayOutputStream();
            BinaryOutputArchive.getArchive(in).writeRecord(leaderInfo, "packet");
            leaderIs = BinaryInputArchive.getArchive(new ByteArrayInputStream(in.toByteArray()));
            registerWithLeader(kind);
            return take();
        }
    }
}
