package zabkeeper.compat;

import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.Paths;
import java.util.Comparator;
import java.util.HashSet;
import java.util.Locale;
import java.util.Set;
import java.util.stream.Stream;
import org.apache.jute.BinaryInputArchive;
import org.apache.jute.BinaryOutputArchive;
import org.apache.jute.InputArchive;
import org.apache.jute.Record;

/**
 * Writes the golden bytes: {@code <format>/<record>/<case>.bin}, made by ZooKeeper's own classes,
 * and beside each the same as text, printed by Java. What these programs do not write by
 * themselves (older layouts) is written with ZooKeeper's archives and read back by its readers.
 *
 * <p>Usage: {@code Fixtures <folder>}. Formats that are there already are replaced.
 */
public final class Fixtures {

    /** Something that writes into an archive. */
    interface Body {
        void write(BinaryOutputArchive archive) throws IOException;
    }

    private final Path root;
    private final Set<String> written = new HashSet<>();
    private int count;

    private Fixtures(Path root) {
        this.root = root;
    }

    public static void main(String[] args) throws Exception {
        if (args.length != 1) {
            System.err.println("usage: Fixtures <folder>");
            System.exit(2);
        }
        System.setProperty("zookeeper.extendedTypesEnabled", "true");
        Fixtures fixtures = new Fixtures(Paths.get(args[0]));
        for (String format : new String[] {
            "client", "txn", "txn_log", "snapshot", "digest", "password", "utf8", "properties",
            "four_letter_word", "quorum", "dynamic",
        }) {
            fixtures.clear(format);
        }
        ClientFixtures.write(fixtures);
        TxnFixtures.write(fixtures);
        TextFixtures.write(fixtures);
        QuorumFixtures.write(fixtures);
        ConfigFixtures.write(fixtures);
        System.out.println(fixtures.count + " cases");
    }

    private void clear(String format) throws IOException {
        Path folder = root.resolve(format);
        if (!Files.exists(folder)) {
            return;
        }
        try (Stream<Path> files = Files.walk(folder)) {
            for (Path file : (Iterable<Path>) files.sorted(Comparator.reverseOrder())::iterator) {
                Files.delete(file);
            }
        }
    }

    /** Writes one case. */
    void put(String format, String record, String name, byte[] bin, String txt) throws IOException {
        Path folder = root.resolve(format).resolve(record);
        Files.createDirectories(folder);
        if (!written.add(format + "/" + record + "/" + name)) {
            throw new IllegalStateException("twice: " + format + "/" + record + "/" + name);
        }
        Files.write(folder.resolve(name + ".bin"), bin);
        Files.writeString(folder.resolve(name + ".txt"), txt);
        count++;
    }

    /** Writes one case of a record, after Java itself has read it back. */
    void put(String format, String name, Record record) throws IOException {
        byte[] bin = bytes(record);
        Record back;
        try {
            back = record.getClass().getConstructor().newInstance();
        } catch (ReflectiveOperationException e) {
            throw new IllegalStateException(e);
        }
        back.deserialize(archive(bin), "");
        String txt = TextArchive.of(record, "");
        if (!TextArchive.of(back, "").equals(txt)) {
            throw new IllegalStateException("not read back as it was written: " + txt);
        }
        put(format, record.getClass().getSimpleName(), name, bin, txt);
    }

    /** Writes each kind of a record that differs from the ones before. */
    <R extends Record> void putKinds(String format, Class<R> type) throws IOException {
        Set<String> seen = new HashSet<>();
        for (Samples.Kind kind : Samples.Kind.values()) {
            R record = Samples.make(type, kind);
            if (seen.add(TextArchive.hex(bytes(record)))) {
                put(format, name(kind), record);
            }
        }
    }

    static String name(Samples.Kind kind) {
        return kind.name().toLowerCase(Locale.ROOT);
    }

    static byte[] bytes(Record record) throws IOException {
        return bytes(archive -> record.serialize(archive, ""));
    }

    static byte[] bytes(Body body) throws IOException {
        ByteArrayOutputStream out = new ByteArrayOutputStream();
        body.write(BinaryOutputArchive.getArchive(out));
        return out.toByteArray();
    }

    static InputArchive archive(byte[] bytes) {
        return BinaryInputArchive.getArchive(new ByteArrayInputStream(bytes));
    }
}
