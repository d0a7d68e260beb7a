package zabkeeper.compat;

import java.io.File;
import java.io.IOException;
import java.lang.reflect.Method;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.Set;
import java.util.zip.Adler32;
import java.util.zip.CheckedOutputStream;
import org.apache.jute.BinaryOutputArchive;
import org.apache.jute.Record;
import org.apache.zookeeper.KeeperException.Code;
import org.apache.zookeeper.ZooDefs.Ids;
import org.apache.zookeeper.ZooDefs.OpCode;
import org.apache.zookeeper.ZooDefs.Perms;
import org.apache.zookeeper.data.ACL;
import org.apache.zookeeper.data.Id;
import org.apache.zookeeper.data.StatPersisted;
import org.apache.zookeeper.server.DataTree;
import org.apache.zookeeper.server.DigestCalculator;
import org.apache.zookeeper.server.Request;
import org.apache.zookeeper.server.TxnLogEntry;
import org.apache.zookeeper.server.ZooKeeperServer;
import org.apache.zookeeper.server.persistence.FileHeader;
import org.apache.zookeeper.server.persistence.FileSnap;
import org.apache.zookeeper.server.persistence.FileTxnLog;
import org.apache.zookeeper.server.persistence.SnapStream;
import org.apache.zookeeper.server.persistence.TxnLog.TxnIterator;
import org.apache.zookeeper.server.persistence.Util;
import org.apache.zookeeper.server.util.SerializeUtils;
import org.apache.zookeeper.txn.CheckVersionTxn;
import org.apache.zookeeper.txn.CloseSessionTxn;
import org.apache.zookeeper.txn.CreateContainerTxn;
import org.apache.zookeeper.txn.CreateSessionTxn;
import org.apache.zookeeper.txn.CreateTTLTxn;
import org.apache.zookeeper.txn.CreateTxn;
import org.apache.zookeeper.txn.CreateTxnV0;
import org.apache.zookeeper.txn.DeleteTxn;
import org.apache.zookeeper.txn.ErrorTxn;
import org.apache.zookeeper.txn.MultiTxn;
import org.apache.zookeeper.txn.SetACLTxn;
import org.apache.zookeeper.txn.SetDataTxn;
import org.apache.zookeeper.txn.Txn;
import org.apache.zookeeper.txn.TxnDigest;
import org.apache.zookeeper.txn.TxnHeader;

/** Transactions, logs, snapshots, digests and passwords. */
final class TxnFixtures {

    private static final long SESSION = 0x0100_abcd_ef12_0000L;
    private static final long TIME = 1_700_000_000_000L;
    private static final TxnDigest DIGEST = new TxnDigest(2, 0xfedc_ba98_7654_3210L);

    /** A transaction, and the digest of the tree after it (null where Java writes none). */
    private static final class Entry {
        final TxnHeader header;
        final Record txn;
        TxnDigest digest;

        Entry(TxnHeader header, Record txn) {
            this.header = header;
            this.txn = txn;
        }
    }

    private TxnFixtures() {
    }

    static void write(Fixtures fixtures) throws Exception {
        kinds(fixtures);
        layouts(fixtures);
        multis(fixtures);
        logs(fixtures);
        snapshots(fixtures);
        digests(fixtures);
        passwords(fixtures);
    }

    // ---- single transactions

    private static void kinds(Fixtures fixtures) throws IOException {
        kinds(fixtures, "createSession", OpCode.createSession, CreateSessionTxn.class);
        kinds(fixtures, "closeSession", OpCode.closeSession, CloseSessionTxn.class);
        kinds(fixtures, "error", OpCode.error, ErrorTxn.class);
        kinds(fixtures, "create", OpCode.create, CreateTxn.class);
        kinds(fixtures, "create2", OpCode.create2, CreateTxn.class);
        kinds(fixtures, "createContainer", OpCode.createContainer, CreateContainerTxn.class);
        kinds(fixtures, "createTTL", OpCode.createTTL, CreateTTLTxn.class);
        kinds(fixtures, "delete", OpCode.delete, DeleteTxn.class);
        kinds(fixtures, "deleteContainer", OpCode.deleteContainer, DeleteTxn.class);
        kinds(fixtures, "setData", OpCode.setData, SetDataTxn.class);
        kinds(fixtures, "reconfig", OpCode.reconfig, SetDataTxn.class);
        kinds(fixtures, "setACL", OpCode.setACL, SetACLTxn.class);
    }

    /** Each kind without a digest, and the first with one. */
    private static <R extends Record> void kinds(
        Fixtures fixtures, String record, int op, Class<R> type) throws IOException {
        Set<String> seen = new HashSet<>();
        for (Samples.Kind kind : Samples.Kind.values()) {
            R txn = Samples.make(type, kind);
            if (type == CloseSessionTxn.class && kind == Samples.Kind.NULLS) {
                continue; // No server writes it, and Java fails on it.
            }
            if (seen.add(TextArchive.hex(Fixtures.bytes(txn)))) {
                txn(fixtures, record, Fixtures.name(kind), header(op, kind), txn, null);
            }
        }
        R txn = Samples.make(type, Samples.Kind.TYPICAL);
        txn(fixtures, record, "digest", header(op, Samples.Kind.TYPICAL), txn, DIGEST);
    }

    private static TxnHeader header(int op, Samples.Kind kind) {
        TxnHeader header = Samples.make(TxnHeader.class, kind);
        header.setType(op);
        return header;
    }

    private static void layouts(Fixtures fixtures) throws IOException {
        TxnHeader create = header(OpCode.create, Samples.Kind.TYPICAL);
        for (Samples.Kind kind : new Samples.Kind[] {
            Samples.Kind.TYPICAL, Samples.Kind.NULLS, Samples.Kind.EMPTIES,
        }) {
            txn(fixtures, "create", "v0_" + Fixtures.name(kind), create,
                Samples.make(CreateTxnV0.class, kind), null);
        }
        TxnHeader close = header(OpCode.closeSession, Samples.Kind.TYPICAL);
        // Java finds the digest here only if it expects no paths.
        ZooKeeperServer.setCloseSessionTxnEnabled(false);
        txn(fixtures, "closeSession", "bare", close, null, null);
        txn(fixtures, "closeSession", "bare_digest", close, null, DIGEST);
        ZooKeeperServer.setCloseSessionTxnEnabled(true);
        txn(fixtures, "closeSession", "empties_digest", close,
            new CloseSessionTxn(Collections.emptyList()), DIGEST);
        txn(fixtures, "closeSession", "one_path_digest", close,
            new CloseSessionTxn(Collections.singletonList("/e")), DIGEST);
    }

    private static Txn part(int op, Record txn) throws IOException {
        return new Txn(op, Fixtures.bytes(txn));
    }

    private static Txn failed(Code code) throws IOException {
        return part(OpCode.error, new ErrorTxn(code.intValue()));
    }

    private static void multis(Fixtures fixtures) throws IOException {
        TxnHeader header = header(OpCode.multi, Samples.Kind.TYPICAL);
        Samples.Kind typical = Samples.Kind.TYPICAL;
        txn(fixtures, "multi", "no_parts", header, new MultiTxn(Collections.emptyList()), DIGEST);
        txn(fixtures, "multi", "one_of_each", header, new MultiTxn(Arrays.asList(
            part(OpCode.create, Samples.make(CreateTxn.class, typical)),
            part(OpCode.create2, Samples.make(CreateTxn.class, Samples.Kind.NULLS)),
            part(OpCode.createTTL, Samples.make(CreateTTLTxn.class, typical)),
            part(OpCode.createContainer, Samples.make(CreateContainerTxn.class, typical)),
            part(OpCode.delete, Samples.make(DeleteTxn.class, typical)),
            part(OpCode.deleteContainer, Samples.make(DeleteTxn.class, typical)),
            part(OpCode.setData, Samples.make(SetDataTxn.class, Samples.Kind.EMPTIES)),
            part(OpCode.check, Samples.make(CheckVersionTxn.class, typical)))), DIGEST);
        txn(fixtures, "multi", "failed_first", header, new MultiTxn(Arrays.asList(
            failed(Code.NODEEXISTS), failed(Code.RUNTIMEINCONSISTENCY))), null);
        txn(fixtures, "multi", "failed_behind_real_parts", header, new MultiTxn(Arrays.asList(
            part(OpCode.create, Samples.make(CreateTxn.class, typical)),
            part(OpCode.setData, Samples.make(SetDataTxn.class, typical)),
            failed(Code.BADVERSION),
            failed(Code.RUNTIMEINCONSISTENCY))), DIGEST);
        // What a Java leader sends, and a learner logs, when it gives a failed multi to a learner
        // that was away: applying it turned all parts into errors, but left them their bodies.
        MultiTxn rewritten = new MultiTxn(Arrays.asList(
            part(OpCode.create, Samples.make(CreateTxn.class, typical)),
            failed(Code.NODEEXISTS),
            failed(Code.RUNTIMEINCONSISTENCY)));
        new DataTree().processTxn(header, rewritten);
        if (rewritten.getTxns().get(0).getType() != OpCode.error) {
            throw new IllegalStateException("not rewritten");
        }
        txn(fixtures, "multi", "failed_rewritten", header, rewritten, DIGEST);
        for (Samples.Kind kind : Samples.Kind.values()) {
            CheckVersionTxn check = Samples.make(CheckVersionTxn.class, kind);
            if (kind != Samples.Kind.NULL_ELEMENTS) {
                txn(fixtures, "multi", "check_" + Fixtures.name(kind), header,
                    new MultiTxn(Collections.singletonList(part(OpCode.check, check))), null);
            }
        }
    }

    private static void txn(
        Fixtures fixtures, String record, String name, TxnHeader header, Record txn, TxnDigest digest)
        throws IOException {
        byte[] bin = Util.marshallTxnEntry(header, txn, digest);
        TxnLogEntry back = SerializeUtils.deserializeTxn(bin);
        fixtures.put("txn", record, name, bin,
            text("", back.getHeader(), back.getTxn(), back.getDigest()));
    }

    private static String text(String prefix, TxnHeader header, Record txn, TxnDigest digest)
        throws IOException {
        StringBuilder text = new StringBuilder(TextArchive.of(header, prefix + "hdr"));
        if (txn == null) {
            text.append(prefix).append("txn = null\n");
        } else {
            text.append(TextArchive.of(txn, prefix + "txn"));
        }
        if (txn instanceof MultiTxn) {
            List<Txn> parts = ((MultiTxn) txn).getTxns();
            for (int i = 0; i < parts.size(); i++) {
                Record part = partRecord(parts.get(i).getType());
                part.deserialize(Fixtures.archive(parts.get(i).getData()), "");
                text.append(TextArchive.of(part, prefix + "part[" + i + "]"));
            }
        }
        if (digest == null) {
            text.append(prefix).append("digest = null\n");
        } else {
            text.append(TextArchive.of(digest, prefix + "digest"));
        }
        return text.toString();
    }

    private static Record partRecord(int op) {
        switch (op) {
        case OpCode.create:
        case OpCode.create2:
            return new CreateTxn();
        case OpCode.createTTL:
            return new CreateTTLTxn();
        case OpCode.createContainer:
            return new CreateContainerTxn();
        case OpCode.delete:
        case OpCode.deleteContainer:
            return new DeleteTxn();
        case OpCode.setData:
            return new SetDataTxn();
        case OpCode.error:
            return new ErrorTxn();
        case OpCode.check:
            return new CheckVersionTxn();
        default:
            throw new IllegalArgumentException("no part of a multi: " + op);
        }
    }

    // ---- a history, applied to Java's tree

    private static List<ACL> digestAcl() {
        return Arrays.asList(
            new ACL(Perms.ALL, new Id("digest", "u:hash=")),
            new ACL(Perms.READ, new Id("ip", "10.0.0.0/8")));
    }

    private static byte[] utf8(String s) {
        return s.getBytes(StandardCharsets.UTF_8);
    }

    private static List<Entry> history() throws IOException {
        List<ACL> open = Ids.OPEN_ACL_UNSAFE;
        List<Entry> log = new ArrayList<>();
        add(log, OpCode.createSession, new CreateSessionTxn(30_000));
        add(log, OpCode.create, new CreateTxn("/a", utf8("hello"), open, false, 1));
        add(log, OpCode.create2,
            new CreateTxn("/a/e0000000000", null, digestAcl(), true, 1));
        add(log, OpCode.createContainer, new CreateContainerTxn("/c", new byte[0], open, 2));
        add(log, OpCode.createTTL, new CreateTTLTxn("/t", utf8("x"), open, 3, 60_000));
        add(log, OpCode.setData, new SetDataTxn("/a", utf8("world"), 1));
        add(log, OpCode.setACL, new SetACLTxn("/a", digestAcl(), 1));
        add(log, OpCode.error, new ErrorTxn(Code.NONODE.intValue()));
        add(log, OpCode.multi, new MultiTxn(Arrays.asList(
            part(OpCode.create, new CreateTxn("/m", utf8("m"), open, false, 4)),
            part(OpCode.create2, new CreateTxn("/m/n", null, digestAcl(), false, 1)),
            part(OpCode.check, new CheckVersionTxn("/a", 1)),
            part(OpCode.setData, new SetDataTxn("/a", null, 2)),
            part(OpCode.delete, new DeleteTxn("/m/n")))));
        add(log, OpCode.multi, new MultiTxn(Arrays.asList(
            part(OpCode.create, new CreateTxn("/x", utf8("x"), open, false, 5)),
            failed(Code.NODEEXISTS),
            failed(Code.RUNTIMEINCONSISTENCY))));
        add(log, OpCode.create,
            new CreateTxn("/\u00fc\u4e2d", utf8("\u00fc"), Collections.singletonList(
                new ACL(Perms.ALL, new Id("digest", "\u00fc:hash="))), false, 5));
        add(log, OpCode.reconfig,
            new SetDataTxn("/zookeeper/config", utf8("server.1=h:2888:3888:participant\nversion=0"), -1));
        add(log, OpCode.delete, new DeleteTxn("/t"));
        add(log, OpCode.deleteContainer, new DeleteTxn("/c"));
        add(log, OpCode.closeSession, new CloseSessionTxn(Arrays.asList("/a/e0000000000")));
        add(log, OpCode.createSession, new CreateSessionTxn(4_000));
        add(log, OpCode.create, new CreateTxn("/f", utf8("f"), open, true, 6));
        return log;
    }

    private static void add(List<Entry> log, int op, Record txn) {
        int n = log.size() + 1;
        log.add(new Entry(
            new TxnHeader(SESSION + (n > 15 ? 1 : 0), n, 0x1_0000_0000L + n, TIME + 10L * n, op), txn));
    }

    /** The tree after the first transactions of the history, at most so many. */
    static DataTree tree(int upTo) throws IOException {
        List<Entry> log = history();
        return apply(log, Math.min(upTo, log.size()));
    }

    /** Applies the first transactions, and notes the digest after each. */
    private static DataTree apply(List<Entry> log, int upTo) {
        DataTree tree = new DataTree();
        tree.addConfigNode();
        for (Entry entry : log.subList(0, upTo)) {
            tree.processTxn(entry.header, entry.txn);
            if (entry.header.getType() != OpCode.error) {
                entry.digest = new TxnDigest(2, tree.getTreeDigest());
            }
        }
        return tree;
    }

    // ---- logs

    private static void logs(Fixtures fixtures) throws IOException {
        List<Entry> log = history();
        // Applying a failed multi changes the record itself, so the tree gets a history of its own.
        List<Entry> applied = history();
        apply(applied, applied.size());
        for (int i = 0; i < log.size(); i++) {
            log.get(i).digest = applied.get(i).digest;
        }
        log(fixtures, "plain", log, 0);
        log(fixtures, "padded", log, 8192);
        log(fixtures, "one_record", log.subList(0, 1), 0);

        byte[] header = Fixtures.bytes(new FileHeader(FileTxnLog.TXNLOG_MAGIC, FileTxnLog.VERSION, 0));
        fixtures.put("txn_log", "file", "no_record", header, headerText(header));
    }

    private static void log(Fixtures fixtures, String name, List<Entry> log, long preallocate)
        throws IOException {
        FileTxnLog.setPreallocSize(preallocate);
        Path folder = Files.createTempDirectory("fixtures");
        try (FileTxnLog writer = new FileTxnLog(folder.toFile())) {
            for (Entry entry : log) {
                writer.append(new Request(entry.header, entry.txn, entry.digest));
            }
            writer.commit();
        }
        Path file = folder.resolve(Util.makeLogName(log.get(0).header.getZxid()));
        byte[] bin = Files.readAllBytes(file);
        StringBuilder text = new StringBuilder(headerText(bin));
        int n = 0;
        try (FileTxnLog reader = new FileTxnLog(folder.toFile());
            TxnIterator entries = reader.read(0)) {
            do {
                text.append(text("[" + n++ + "].", entries.getHeader(), entries.getTxn(), entries.getDigest()));
            } while (entries.next());
        }
        if (n != log.size()) {
            throw new IllegalStateException("read back " + n + " of " + log.size());
        }
        fixtures.put("txn_log", "file", name, bin, text.toString());
        Files.delete(file);
        Files.delete(folder);
    }

    private static String headerText(byte[] file) throws IOException {
        FileHeader header = new FileHeader();
        header.deserialize(Fixtures.archive(file), "");
        return TextArchive.of(header, "");
    }

    // ---- snapshots

    private static void snapshots(Fixtures fixtures) throws Exception {
        List<Entry> log = history();
        Map<Long, Integer> sessions = new LinkedHashMap<>();
        sessions.put(SESSION, 30_000);
        sessions.put(-2L, 4_000);
        Map<Long, Integer> none = Collections.emptyMap();
        // 7 has the most kinds of nodes and of ACLs, the whole history all else.
        snapshot(fixtures, "new", new DataTree(), none, true, true);
        snapshot(fixtures, "config_node", apply(log, 0), none, true, true);
        snapshot(fixtures, "both", apply(log, 7), sessions, true, true);
        snapshot(fixtures, "history", apply(log, log.size()), sessions, true, true);
        snapshot(fixtures, "digest_only", apply(log, 7), sessions, true, false);
        // Without digests Java writes a section less, so the tree is made before they go.
        snapshot(fixtures, "last_zxid_only", apply(log, 7), sessions, false, true);
        snapshot(fixtures, "no_sections", apply(log, 7), sessions, false, false);
        oldDigest(fixtures, "old_digest", apply(log, 7), sessions, "1f00aa", false);
        oldDigest(fixtures, "old_digest_and_last_zxid", apply(log, 7), sessions, "7fffffffffffffff", true);
    }

    private static void snapshot(
        Fixtures fixtures, String name, DataTree tree, Map<Long, Integer> sessions,
        boolean digest, boolean lastZxid) throws IOException {
        ZooKeeperServer.setDigestEnabled(digest);
        ZooKeeperServer.setSerializeLastProcessedZxidEnabled(lastZxid);
        Path folder = Files.createTempDirectory("fixtures");
        File file = folder.resolve(Util.makeSnapshotName(tree.lastProcessedZxid)).toFile();
        FileSnap writer = new FileSnap(folder.toFile());
        writer.serialize(tree, sessions, file, false);
        TextArchive text = text(tree, sessions);
        tree.serializeZxidDigest(text);
        tree.serializeLastProcessedZxid(text);
        finish(fixtures, name, tree, sessions, folder, file, text);
    }

    /** A digest section as versions of the digest before 2 wrote it: the digest as text. */
    private static void oldDigest(
        Fixtures fixtures, String name, DataTree tree, Map<Long, Integer> sessions,
        String digest, boolean lastZxid) throws IOException {
        ZooKeeperServer.setDigestEnabled(true);
        ZooKeeperServer.setSerializeLastProcessedZxidEnabled(lastZxid);
        Path folder = Files.createTempDirectory("fixtures");
        File file = folder.resolve(Util.makeSnapshotName(tree.lastProcessedZxid)).toFile();
        TextArchive text = text(tree, sessions);
        try (CheckedOutputStream out =
            new CheckedOutputStream(Files.newOutputStream(file.toPath()), new Adler32())) {
            BinaryOutputArchive archive = BinaryOutputArchive.getArchive(out);
            new FileHeader(FileSnap.SNAP_MAGIC, 2, -1).serialize(archive, "");
            SerializeUtils.serializeSnapshot(tree, archive, sessions);
            SnapStream.sealStream(out, archive);
            archive.writeLong(tree.lastProcessedZxid, "zxid");
            archive.writeInt(1, "digestVersion");
            archive.writeString(digest, "digest");
            SnapStream.sealStream(out, archive);
            text.writeLong(tree.lastProcessedZxid, "zxid");
            text.writeInt(1, "digestVersion");
            text.writeLong(Long.parseLong(digest, 16), "digest");
            if (tree.serializeLastProcessedZxid(archive)) {
                SnapStream.sealStream(out, archive);
            }
        }
        tree.serializeLastProcessedZxid(text);
        finish(fixtures, name, tree, sessions, folder, file, text);
    }

    private static TextArchive text(DataTree tree, Map<Long, Integer> sessions) throws IOException {
        TextArchive text = new TextArchive();
        new FileHeader(FileSnap.SNAP_MAGIC, 2, -1).serialize(text, "");
        SerializeUtils.serializeSnapshot(tree, text, sessions);
        return text;
    }

    /** Java must load what was written, into the same tree. */
    private static void finish(
        Fixtures fixtures, String name, DataTree tree, Map<Long, Integer> sessions,
        Path folder, File file, TextArchive text) throws IOException {
        DataTree back = new DataTree();
        Map<Long, Integer> sessionsBack = new LinkedHashMap<>();
        long zxid = new FileSnap(folder.toFile()).deserialize(back, sessionsBack);
        if (zxid != tree.lastProcessedZxid || !sessionsBack.equals(sessions)
            || back.getNodeCount() != tree.getNodeCount()) {
            throw new IllegalStateException("not read back as it was written: " + name);
        }
        ZooKeeperServer.setDigestEnabled(true);
        ZooKeeperServer.setSerializeLastProcessedZxidEnabled(true);
        text.line("treeDigest", tree.getTreeDigest());
        fixtures.put("snapshot", "file", name, Files.readAllBytes(file.toPath()), text.toString());
        Files.delete(file.toPath());
        Files.delete(folder);
    }

    // ---- digests and passwords

    private static void digests(Fixtures fixtures) throws Exception {
        StatPersisted zero = new StatPersisted();
        StatPersisted typical = Samples.make(StatPersisted.class, Samples.Kind.TYPICAL);
        StatPersisted least = Samples.make(StatPersisted.class, Samples.Kind.LEAST);
        byte[] data = utf8("data");
        digest(fixtures, "root", "", new byte[0], zero);
        digest(fixtures, "root_as_slash", "/", new byte[0], zero);
        digest(fixtures, "typical", "/a/b", data, typical);
        digest(fixtures, "null_data", "/a/b", null, typical);
        digest(fixtures, "empty_data", "/a/b", new byte[0], typical);
        digest(fixtures, "least", "/a/b", data, least);
        digest(fixtures, "unicode", "/\u00fc\u4e2d", data, typical);
        digest(fixtures, "zookeeper", "/zookeeper", null, typical);
        digest(fixtures, "zookeeper_child", "/zookeeper/quota", data, typical);
        digest(fixtures, "zookeeper_sibling", "/zookeeperx/a", data, typical);
    }

    private static void digest(
        Fixtures fixtures, String name, String path, byte[] data, StatPersisted stat) throws Exception {
        Method calculate = DigestCalculator.class.getDeclaredMethod(
            "calculateDigest", String.class, byte[].class, StatPersisted.class);
        calculate.setAccessible(true);
        long digest = (Long) calculate.invoke(new DigestCalculator(), path, data, stat);
        byte[] bin = Fixtures.bytes(archive -> {
            archive.writeString(path, "path");
            archive.writeBuffer(data, "data");
            stat.serialize(archive, "stat");
        });
        TextArchive text = new TextArchive();
        text.writeString(path, "path");
        text.writeBuffer(data, "data");
        stat.serialize(text, "stat");
        text.writeLong(digest, "digest");
        fixtures.put("digest", "node", name, bin, text.toString());
    }

    private static void passwords(Fixtures fixtures) throws Exception {
        Method generate = ZooKeeperServer.class.getDeclaredMethod("generatePasswd", long.class);
        generate.setAccessible(true);
        ZooKeeperServer server = new ZooKeeperServer();
        Random random = new Random(1);
        List<Long> ids = new ArrayList<>(Arrays.asList(
            0L, 1L, -1L, SESSION, Long.MIN_VALUE, Long.MAX_VALUE, 1L << 47, 1L << 48, 0xB3415C00L));
        for (int i = 0; i < 100; i++) {
            ids.add(random.nextLong());
        }
        StringBuilder text = new StringBuilder();
        for (long id : ids) {
            byte[] password = (byte[]) generate.invoke(server, id);
            text.append(id).append(" = ").append(TextArchive.hex(password)).append('\n');
        }
        byte[] bin = Fixtures.bytes(archive -> {
            for (long id : ids) {
                archive.writeLong(id, "id");
            }
        });
        fixtures.put("password", "session", "many", bin, text.toString());
    }
}
