package zabkeeper.compat;

import java.io.ByteArrayInputStream;
import java.io.IOException;
import java.net.InetSocketAddress;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import org.apache.jute.BinaryInputArchive;
import org.apache.jute.InputArchive;
import org.apache.zookeeper.ZooDefs.OpCode;
import org.apache.zookeeper.data.Id;
import org.apache.zookeeper.server.DataTree;
import org.apache.zookeeper.server.Request;
import org.apache.zookeeper.server.RequestRecord;
import org.apache.zookeeper.server.quorum.Insides;
import org.apache.zookeeper.server.quorum.Leader;
import org.apache.zookeeper.server.quorum.LearnerInfo;
import org.apache.zookeeper.server.quorum.QuorumAuthPacket;
import org.apache.zookeeper.server.quorum.QuorumPacket;
import org.apache.zookeeper.server.quorum.QuorumPeer.ServerState;
import org.apache.zookeeper.server.quorum.auth.QuorumAuth;
import org.apache.zookeeper.server.util.SerializeUtils;
import org.apache.zookeeper.txn.SetDataTxn;
import org.apache.zookeeper.txn.TxnDigest;
import org.apache.zookeeper.txn.TxnHeader;

/** What the servers of an ensemble say to each other. */
final class QuorumFixtures {

    private static final String FORMAT = "quorum";
    private static final long SESSION = 0x0100_abcd_ef12_0000L;
    private static final long ZXID = 0x0000_0005_0000_0007L;
    private static final byte[] CONFIG = utf8("server.1=h:2888:3888:participant\nversion=0");

    private QuorumFixtures() {
    }

    static void write(Fixtures fixtures) throws Exception {
        Map<String, Integer> kinds = Insides.kinds();
        packets(fixtures, kinds);
        learner(fixtures, kinds);
        notifications(fixtures);
        hellos(fixtures);
        trees(fixtures);
    }

    private static byte[] utf8(String s) {
        return s.getBytes(StandardCharsets.UTF_8);
    }

    // ---- packets

    private static void packets(Fixtures fixtures, Map<String, Integer> kinds) throws IOException {
        for (Map.Entry<String, Integer> kind : kinds.entrySet()) {
            fixtures.put(FORMAT, "kind_" + kind.getKey().toLowerCase(Locale.ROOT),
                new QuorumPacket(kind.getValue(), ZXID, null, null));
        }
        for (Samples.Kind kind : Samples.Kind.values()) {
            if (kind == Samples.Kind.NULL_ELEMENTS) {
                continue; // There is no vector of strings in it.
            }
            QuorumPacket packet = Samples.make(QuorumPacket.class, kind);
            packet.setType(kinds.get("REQUEST"));
            fixtures.put(FORMAT, Fixtures.name(kind), packet);
        }
        List<Id> ids = Arrays.asList(new Id(null, null), new Id("", ""), new Id("world", null));
        fixtures.put(FORMAT, "null_ids", new QuorumPacket(kinds.get("REQUEST"), -1, new byte[1], ids));

        TxnHeader header = new TxnHeader(SESSION, 3, ZXID, 1_700_000_000_000L, OpCode.reconfig);
        Request reconfig = new Request(
            header, new SetDataTxn("/zookeeper/config", CONFIG, -1), new TxnDigest(2, -5));
        byte[] proposal = reconfig.getSerializeData();
        fixtures.put(FORMAT, "proposal_reconfig",
            new QuorumPacket(kinds.get("PROPOSAL"), ZXID, proposal, null));
        fixtures.put(FORMAT, "inform_and_activate",
            Leader.buildInformAndActivePacket(ZXID, 3, proposal));
        fixtures.putKinds(FORMAT, LearnerInfo.class);
        fixtures.put(FORMAT, "magic", new QuorumAuthPacket(QuorumAuth.QUORUM_AUTH_MAGIC_NUMBER, 0, null));
    }

    /** What a learner of Java's sends, and what is in it. */
    private static void learner(Fixtures fixtures, Map<String, Integer> kinds) throws Exception {
        Insides.Scribe scribe = new Insides.Scribe(3);
        List<Id> ids = Arrays.asList(new Id("ip", "127.0.0.1"), new Id("digest", "u:h"));
        byte[] body = utf8("body");
        sent(fixtures, "request", scribe.forward(
            new Request(null, SESSION, 7, OpCode.setData, RequestRecord.fromBytes(body), ids)));
        sent(fixtures, "request_without_body", scribe.forward(
            new Request(null, SESSION, 0, OpCode.closeSession, null, null)));
        sent(fixtures, "revalidate", scribe.ask(SESSION, 30_000));
        Map<Long, Integer> touches = new LinkedHashMap<>();
        touches.put(SESSION, 30_000);
        touches.put(-2L, 4_000);
        QuorumPacket ping = new QuorumPacket(kinds.get("PING"), ZXID, null, null);
        sent(fixtures, "ping", scribe.answer(ping, touches));
        sent(fixtures, "ping_without_sessions", scribe.answer(ping, Collections.emptyMap()));
        byte[] protocol = {0, 1, 0, 0};
        QuorumPacket info = new QuorumPacket(kinds.get("LEADERINFO"), 6L << 32, protocol, null);
        sent(fixtures, "register_follower",
            scribe.register(kinds.get("FOLLOWERINFO"), 5, 4, ZXID, 0x100000001L, info));
        sent(fixtures, "register_observer_again",
            scribe.register(kinds.get("OBSERVERINFO"), 6, 5, 6L << 32, 0, info));
    }

    private static void sent(Fixtures fixtures, String name, byte[] bin) throws IOException {
        StringBuilder text = new StringBuilder();
        ByteArrayInputStream in = new ByteArrayInputStream(bin);
        InputArchive archive = BinaryInputArchive.getArchive(in);
        for (int i = 0; in.available() > 0; i++) {
            QuorumPacket packet = new QuorumPacket();
            archive.readRecord(packet, "");
            text.append(TextArchive.of(packet, "[" + i + "]"));
        }
        fixtures.put(FORMAT, "Learner", name, bin, text.toString());
    }

    // ---- elections

    private static void notifications(Fixtures fixtures) throws Exception {
        List<byte[]> all = new ArrayList<>();
        for (ServerState state : ServerState.values()) {
            String name = state.name().toLowerCase(Locale.ROOT);
            byte[] message = Insides.notification(state, 3, ZXID, 9, 6, CONFIG);
            heard(fixtures, "Notification", name, Collections.singletonList(message));
            all.add(Insides.oldNotification(state, 3, ZXID, 9, 6));
        }
        byte[] none = Insides.notification(
            ServerState.LOOKING, Long.MIN_VALUE, Long.MIN_VALUE, 1, Long.MIN_VALUE, new byte[0]);
        heard(fixtures, "Notification", "no_config", Collections.singletonList(none));

        // What is not as it should be: cut short, of other versions, lengths and states.
        byte[] whole = Insides.notification(ServerState.LEADING, 3, ZXID, 9, 6, CONFIG);
        for (int length = 0; length < whole.length; length++) {
            all.add(Arrays.copyOf(whole, length));
        }
        all.add(Arrays.copyOf(none, 28));
        all.add(Arrays.copyOf(whole, whole.length + 3));
        for (int version : new int[] {Integer.MIN_VALUE, -1, 0, 1, 3, Integer.MAX_VALUE}) {
            all.add(with(whole, 36, version));
            all.add(with(Arrays.copyOf(whole, 41), 36, version));
        }
        int left = whole.length - 44;
        for (int length : new int[] {
            Integer.MIN_VALUE, -1, 0, 1, left - 1, left, left + 1, whole.length, whole.length + 1,
            Integer.MAX_VALUE,
        }) {
            all.add(with(whole, 40, length));
        }
        for (int state : new int[] {Integer.MIN_VALUE, -1, 4, 0x01000000, Integer.MAX_VALUE}) {
            all.add(with(whole, 0, state));
        }
        byte[] noText = whole.clone();
        noText[50] = (byte) 0xff;
        all.add(noText);
        heard(fixtures, "NotificationReader", "many", all);
    }

    private static byte[] with(byte[] message, int at, int number) {
        byte[] changed = message.clone();
        ByteBuffer.wrap(changed).putInt(at, number);
        return changed;
    }

    /** A case of one message is that message; one of more has their lengths in front. */
    private static void heard(Fixtures fixtures, String record, String name, List<byte[]> messages)
        throws Exception {
        StringBuilder text = new StringBuilder();
        Insides.hear(messages, new Insides.Heard() {
            @Override
            public void notification(
                int state, long leader, long zxid, long round, long peerEpoch, int version, String config) {
                text.append("state ").append(state)
                    .append(" leader ").append(leader)
                    .append(" zxid ").append(zxid)
                    .append(" electionEpoch ").append(round)
                    .append(" peerEpoch ").append(peerEpoch)
                    .append(" version ").append(version)
                    .append(" config ").append(TextArchive.quote(config)).append('\n');
            }

            @Override
            public void dropped() {
                text.append("dropped\n");
            }
        });
        byte[] bin = messages.size() == 1 ? messages.get(0) : Fixtures.bytes(archive -> {
            for (byte[] message : messages) {
                archive.writeBuffer(message, "message");
            }
        });
        fixtures.put(FORMAT, record, name, bin, text.toString());
    }

    private static void hellos(Fixtures fixtures) throws Exception {
        InetSocketAddress name = InetSocketAddress.createUnresolved("zk-1.example", 3888);
        InetSocketAddress ip4 = new InetSocketAddress("10.0.0.1", 65535);
        InetSocketAddress ip6 = new InetSocketAddress("2001:db8::1", 3888);
        hello(fixtures, "name", Insides.hello(1, false, name));
        hello(fixtures, "ip4", Insides.hello(255, false, ip4));
        hello(fixtures, "ip6", Insides.hello(0, false, ip6));
        hello(fixtures, "multi_one", Insides.hello(1, true, name));
        hello(fixtures, "multi", Insides.hello(3, true, name, ip4, ip6));

        List<byte[]> all = new ArrayList<>();
        for (long first : new long[] {0, 1, Long.MAX_VALUE, -1, -65534, -65537, Long.MIN_VALUE}) {
            all.add(ByteBuffer.allocate(24).putLong(first).array());
        }
        for (int length : new int[] {Integer.MIN_VALUE, -1, 0, 2049, Integer.MAX_VALUE}) {
            all.add(ByteBuffer.allocate(2100).putLong(-65536).putLong(1).putInt(length).array());
        }
        for (String addresses : new String[] {
            "127.0.0.1:1", "127.0.0.1:1|127.0.0.2:2", "127.0.0.1:1||", "|", "|127.0.0.1:1", "0.0.0.0:1",
            "0.0.0.0:1|127.0.0.1:1|[::]:1", "[::]:1", "[::ffff:0.0.0.0]:1", "[::1]:3888", "::1:3888",
            "[::1]", "[::1]:", "[::1:3", "127.0.0.1", "127.0.0.1:", "127.0.0.1:x", "127.0.0.1:1:2",
            "127.0.0.1: 1",
        }) {
            for (long version : new long[] {-65536, -65535}) {
                byte[] text = utf8(addresses);
                all.add(ByteBuffer.allocate(20 + text.length)
                    .putLong(version).putLong(7).putInt(text.length).put(text).array());
            }
        }
        StringBuilder text = new StringBuilder();
        for (byte[] message : all) {
            text.append(Insides.hearHello(message)).append('\n');
        }
        fixtures.put(FORMAT, "InitialMessageReader", "many", Fixtures.bytes(archive -> {
            for (byte[] message : all) {
                archive.writeBuffer(message, "message");
            }
        }), text.toString());
    }

    private static void hello(Fixtures fixtures, String name, byte[] bin) throws IOException {
        fixtures.put(FORMAT, "InitialMessage", name, bin, Insides.hearHello(bin) + "\n");
    }

    // ---- trees

    private static void trees(Fixtures fixtures) throws IOException {
        Map<Long, Integer> sessions = new LinkedHashMap<>();
        sessions.put(SESSION, 30_000);
        sessions.put(-2L, 4_000);
        tree(fixtures, "new", new DataTree(), Collections.emptyMap());
        tree(fixtures, "half_way", TxnFixtures.tree(7), sessions);
        tree(fixtures, "history", TxnFixtures.tree(Integer.MAX_VALUE), sessions);
    }

    private static void tree(
        Fixtures fixtures, String name, DataTree tree, Map<Long, Integer> sessions) throws IOException {
        byte[] bin = Fixtures.bytes(archive -> {
            SerializeUtils.serializeSnapshot(tree, archive, sessions);
            archive.writeString("BenWasHere", "signature");
        });
        DataTree back = new DataTree();
        Map<Long, Integer> sessionsBack = new LinkedHashMap<>();
        InputArchive archive = Fixtures.archive(bin);
        SerializeUtils.deserializeSnapshot(back, archive, sessionsBack);
        if (!archive.readString("signature").equals("BenWasHere") || !sessionsBack.equals(sessions)
            || back.getNodeCount() != tree.getNodeCount()) {
            throw new IllegalStateException("not read back as it was written: " + name);
        }
        TextArchive text = new TextArchive();
        SerializeUtils.serializeSnapshot(tree, text, sessions);
        text.writeString("BenWasHere", "signature");
        fixtures.put(FORMAT, "Tree", name, bin, text.toString());
    }
}
