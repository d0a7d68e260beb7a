package zabkeeper.compat;

import java.util.ArrayDeque;
import java.util.Deque;
import java.util.List;
import java.util.TreeMap;
import org.apache.jute.OutputArchive;
import org.apache.jute.Record;

/**
 * Prints what a record writes about itself: one line {@code name = value} for each field, under the
 * names that ZooKeeper's own serialize methods give. A nested record puts its name and a dot in
 * front; an element of a vector has the vector's name and its index; a vector has a line for its
 * count, or is null.
 */
final class TextArchive implements OutputArchive {

    private static final class Scope {
        final String name;
        final boolean vector;
        int index;

        Scope(String name, boolean vector) {
            this.name = name;
            this.vector = vector;
        }
    }

    private final StringBuilder out = new StringBuilder();
    private final Deque<Scope> scopes = new ArrayDeque<>();

    /** A record under a name of its own, or under none if it is empty. */
    static String of(Record record, String name) {
        try {
            TextArchive text = new TextArchive();
            record.serialize(text, name);
            return text.toString();
        } catch (java.io.IOException e) {
            throw new java.io.UncheckedIOException(e);
        }
    }

    static String quote(String s) {
        if (s == null) {
            return "null";
        }
        StringBuilder quoted = new StringBuilder("\"");
        for (char c : s.toCharArray()) {
            if (c == '"' || c == '\\') {
                quoted.append('\\').append(c);
            } else if (c < 0x20 || c > 0x7e) {
                quoted.append(String.format("\\u%04x", (int) c));
            } else {
                quoted.append(c);
            }
        }
        return quoted.append('"').toString();
    }

    static String hex(byte[] bytes) {
        if (bytes == null) {
            return "null";
        }
        StringBuilder hex = new StringBuilder("hex:");
        for (byte b : bytes) {
            hex.append(String.format("%02x", b));
        }
        return hex.toString();
    }

    void line(String name, Object value) {
        out.append(name).append(" = ").append(value).append('\n');
    }

    private String name(String tag) {
        Scope top = scopes.peek();
        if (top == null) {
            return tag;
        }
        if (top.vector) {
            return top.name + "[" + top.index++ + "]";
        }
        return top.name.isEmpty() ? tag : tag.isEmpty() ? top.name : top.name + "." + tag;
    }

    @Override
    public void writeByte(byte b, String tag) {
        line(name(tag), b);
    }

    @Override
    public void writeBool(boolean b, String tag) {
        line(name(tag), b);
    }

    @Override
    public void writeInt(int i, String tag) {
        line(name(tag), i);
    }

    @Override
    public void writeLong(long l, String tag) {
        line(name(tag), l);
    }

    @Override
    public void writeFloat(float f, String tag) {
        throw new UnsupportedOperationException("no record has a float");
    }

    @Override
    public void writeDouble(double d, String tag) {
        throw new UnsupportedOperationException("no record has a double");
    }

    @Override
    public void writeString(String s, String tag) {
        line(name(tag), quote(s));
    }

    @Override
    public void writeBuffer(byte[] buf, String tag) {
        line(name(tag), hex(buf));
    }

    @Override
    public void writeRecord(Record r, String tag) throws java.io.IOException {
        r.serialize(this, tag);
    }

    @Override
    public void startRecord(Record r, String tag) {
        scopes.push(new Scope(name(tag), false));
    }

    @Override
    public void endRecord(Record r, String tag) {
        scopes.pop();
    }

    @Override
    public void startVector(List<?> v, String tag) {
        String name = name(tag);
        if (v == null) {
            line(name, "null");
        } else {
            line(name + ".count", v.size());
        }
        scopes.push(new Scope(name, true));
    }

    @Override
    public void endVector(List<?> v, String tag) {
        scopes.pop();
    }

    @Override
    public void startMap(TreeMap<?, ?> v, String tag) {
        throw new UnsupportedOperationException("no record has a map");
    }

    @Override
    public void endMap(TreeMap<?, ?> v, String tag) {
        throw new UnsupportedOperationException("no record has a map");
    }

    @Override
    public long getDataSize() {
        return out.length();
    }

    @Override
    public String toString() {
        return out.toString();
    }
}
