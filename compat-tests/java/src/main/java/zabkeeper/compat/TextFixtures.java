package zabkeeper.compat;

import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.Random;
import org.apache.zookeeper.server.command.FourLetterCommands;

/** Text as Java decodes and encodes it; properties files; four-letter words. */
final class TextFixtures {

    private TextFixtures() {
    }

    static void write(Fixtures fixtures) throws IOException {
        decode(fixtures);
        encode(fixtures);
        properties(fixtures);
        words(fixtures);
    }

    private static byte[] unhex(String hex) {
        String digits = hex.replace(" ", "");
        byte[] bytes = new byte[digits.length() / 2];
        for (int i = 0; i < bytes.length; i++) {
            bytes[i] = (byte) Integer.parseInt(digits.substring(2 * i, 2 * i + 2), 16);
        }
        return bytes;
    }

    // ---- UTF-8

    private static void decode(Fixtures fixtures) throws IOException {
        Map<String, String> cases = new LinkedHashMap<>();
        cases.put("empty", "");
        cases.put("well_formed", "00 41 7f c3bc e4b8ad efbfbf f09f9880");
        cases.put("lone_continuation", "41 80 42 bf 43");
        cases.put("many_continuations", "41 80 81 82 83 84 42");
        cases.put("overlong_two", "c0 80 c1 bf 41");
        cases.put("overlong_three", "e0 80 80 e0 9f bf 41");
        cases.put("overlong_four", "f0 80 80 80 f0 8f bf bf 41");
        cases.put("surrogate_high", "ed a0 80 41");
        cases.put("surrogate_low", "ed bf bf 41");
        cases.put("surrogate_pair", "ed a0 bd ed b8 80");
        cases.put("surrogate_cut_by_text", "ed a0 41 ed b8 42");
        cases.put("surrogate_cut_by_end", "41 ed a0");
        cases.put("surrogate_first_byte_at_end", "41 ed");
        cases.put("surrogate_then_surrogate_cut", "ed a0 ed a0 80");
        cases.put("above_last", "f4 90 80 80 41");
        cases.put("never_bytes", "f5 80 80 80 f8 88 80 80 80 fc fe ff 41");
        cases.put("two_cut_by_text", "c3 41 c3 28");
        cases.put("two_cut_by_end", "41 c3");
        cases.put("three_cut_by_text", "e4 41 e4 b8 41");
        cases.put("three_cut_by_end_1", "41 e4");
        cases.put("three_cut_by_end_2", "41 e4 b8");
        cases.put("three_cut_by_end_bad_second", "41 e0 80");
        cases.put("three_second_is_lead", "e4 c3 bc e4 b8 c3 bc");
        cases.put("four_cut_by_text", "f0 41 f0 9f 41 f0 9f 98 41");
        cases.put("four_cut_by_end_1", "41 f0");
        cases.put("four_cut_by_end_2", "41 f0 9f");
        cases.put("four_cut_by_end_3", "41 f0 9f 98");
        cases.put("four_cut_by_end_bad_second", "41 f0 80 80");
        cases.put("four_cut_by_end_bad_third", "41 f0 9f 41");
        cases.put("four_cut_by_end_above_last", "41 f4 90 80");
        cases.put("four_then_four_cut", "f0 9f f0 9f 98 80");
        for (Map.Entry<String, String> entry : cases.entrySet()) {
            byte[] bin = unhex(entry.getValue());
            fixtures.put("utf8", "decode", entry.getKey(), bin,
                TextArchive.quote(new String(bin, StandardCharsets.UTF_8)) + "\n");
        }

        // Many short inputs, from bytes that matter: as a vector of buffers, a line for each.
        int[] bytes = {
            0x00, 0x41, 0x7f, 0x80, 0x8f, 0x90, 0x9f, 0xa0, 0xbf, 0xc0, 0xc1, 0xc2, 0xdf, 0xe0, 0xe1,
            0xec, 0xed, 0xee, 0xef, 0xf0, 0xf1, 0xf3, 0xf4, 0xf5, 0xf7, 0xf8, 0xff,
        };
        Random random = new Random(2);
        List<byte[]> inputs = new ArrayList<>();
        for (int i = 0; i < 3000; i++) {
            byte[] input = new byte[1 + random.nextInt(7)];
            for (int j = 0; j < input.length; j++) {
                input[j] = (byte) bytes[random.nextInt(bytes.length)];
            }
            inputs.add(input);
        }
        StringBuilder text = new StringBuilder();
        for (byte[] input : inputs) {
            text.append(TextArchive.quote(new String(input, StandardCharsets.UTF_8))).append('\n');
        }
        byte[] bin = Fixtures.bytes(archive -> {
            archive.writeInt(inputs.size(), "count");
            for (byte[] input : inputs) {
                archive.writeBuffer(input, "input");
            }
        });
        fixtures.put("utf8", "decode_many", "random", bin, text.toString());
    }

    private static void encode(Fixtures fixtures) throws IOException {
        Map<String, String> cases = new LinkedHashMap<>();
        cases.put("null", null);
        cases.put("empty", "");
        cases.put("ascii", "/a b");
        cases.put("one_two_three_bytes", "\u0000\u007f\u0080\u07ff\u0800\ufffd\uffff");
        cases.put("surrogates", "a\ud83d\ude00b");
        cases.put("first_and_last_above_ffff", "\ud800\udc00\udbff\udfff");
        for (Map.Entry<String, String> entry : cases.entrySet()) {
            byte[] bin = Fixtures.bytes(archive -> archive.writeString(entry.getValue(), "s"));
            fixtures.put("utf8", "encode", entry.getKey(), bin,
                TextArchive.quote(entry.getValue()) + "\n");
        }
    }

    // ---- properties

    /** Keeps every entry, in order; the real one keeps the last of a key, in no order. */
    private static final class Entries extends Properties {
        private static final long serialVersionUID = 1;
        private final StringBuilder text = new StringBuilder();

        @Override
        public synchronized Object put(Object key, Object value) {
            text.append(TextArchive.quote((String) key)).append(" = ")
                .append(TextArchive.quote((String) value)).append('\n');
            return super.put(key, value);
        }
    }

    private static String load(byte[] file) throws IOException {
        Entries entries = new Entries();
        try {
            entries.load(new ByteArrayInputStream(file));
        } catch (IllegalArgumentException e) {
            return "refused\n";
        }
        return entries.text.toString();
    }

    private static void properties(Fixtures fixtures) throws IOException {
        Map<String, String> cases = new LinkedHashMap<>();
        cases.put("empty", "");
        cases.put("zoo_cfg",
            "# The number of milliseconds of each tick\ntickTime=2000\n\ninitLimit = 10\n"
                + "dataDir=/var/lib/zookeeper\nclientPort:2181\nserver.1=a:2888:3888;2181\n"
                + "  ! a comment too\nautopurge.purgeInterval 1\n");
        cases.put("no_final_newline", "a=1\nb=2");
        cases.put("line_ends", "a=1\rb=2\r\nc=3\n\r\n\rd=4");
        cases.put("separators", "a=1\nb:2\nc 3\nd\t4\ne\f5\nf = 6\ng : 7\nh  =8\ni==9\nj=:10\nk: =11\nl =  = 12");
        cases.put("no_value", "a\nb=\nc:\nd \n=e\n:f\n = g");
        cases.put("blanks_kept_at_end", "a=1 \nb=2\t \nc = 3 # no comment");
        cases.put("indented", "   a=1\n\t\fb=2\n \t\n   # comment\n");
        cases.put("duplicates", "a=1\na=2\na=3");
        cases.put("escaped_separators", "a\\=b=c\\=d\ne\\:f:g\\:h\ni\\ j k\\ l\n\\#m=n\n\\!o=p");
        cases.put("escapes", "a=\\t\\n\\r\\f\\\\\\z\\\"\\'\\u0041\\u00fc\\u4E2d\nb\\tc=d");
        cases.put("escape_surrogates", "a=\\ud83d\\ude00");
        cases.put("latin1", "\u00fc=\u00e4\u00ff\u0080\u0000\u0001");
        cases.put("continued", "a=1\\\n  2\\\n\t3\nb\\\n=4\nc\\\n\\\nd=5");
        cases.put("continued_crlf", "a=1\\\r\n  2\\\r 3\r\nb=4");
        cases.put("continued_by_comment", "a=1\\\n#2\nb=3\n# c\\\nd=4");
        cases.put("continued_by_blank_line", "a=1\\\n\nb=2\\\n   \nc=3");
        cases.put("continued_from_nothing", "\\\na=1\n\\\n#b\nc=2\n\\\n\nd=3");
        cases.put("continued_at_end", "a=1\\");
        cases.put("continued_at_end_newline", "a=1\\\n");
        cases.put("lone_backslash_at_end", "a=1\n\\");
        cases.put("lone_backslash_at_end_newline", "a=1\n\\\n");
        cases.put("lone_backslash_at_end_blank", "a=1\n\\\n  ");
        cases.put("lone_backslashes_at_end", "\\\n\\");
        cases.put("even_backslashes", "a=1\\\\\nb=2\\\\\\\n3");
        cases.put("bad_unicode_short", "a=1\nb=\\u12");
        cases.put("bad_unicode_digit", "a=1\nb=\\u12g4");
        cases.put("bad_unicode_in_key", "\\u=1");
        cases.put("bad_unicode_in_comment", "# \\u\na=1");
        for (Map.Entry<String, String> entry : cases.entrySet()) {
            byte[] bin = entry.getValue().getBytes(StandardCharsets.ISO_8859_1);
            fixtures.put("properties", "file", entry.getKey(), bin, load(bin));
        }

        // Many short files, from characters that matter: as a vector of buffers, parts behind "---".
        String chars = "\\\\\\\n\n\r# !=: \tab\u00fc\f";
        Random random = new Random(3);
        List<byte[]> files = new ArrayList<>();
        StringBuilder text = new StringBuilder();
        for (int i = 0; i < 3000; i++) {
            ByteArrayOutputStream file = new ByteArrayOutputStream();
            int length = 1 + random.nextInt(24);
            for (int j = 0; j < length; j++) {
                file.write(chars.charAt(random.nextInt(chars.length())));
            }
            files.add(file.toByteArray());
            text.append("---\n").append(load(file.toByteArray()));
        }
        byte[] bin = Fixtures.bytes(archive -> {
            archive.writeInt(files.size(), "count");
            for (byte[] file : files) {
                archive.writeBuffer(file, "file");
            }
        });
        fixtures.put("properties", "many", "random", bin, text.toString());
    }

    // ---- four-letter words

    private static void words(Fixtures fixtures) throws IOException {
        String[] words = {
            "conf", "cons", "crst", "dirs", "dump", "envi", "gtmk", "hash", "isro", "mntr", "ruok",
            "srst", "srvr", "stat", "stmk", "wchc", "wchp", "wchs", "RUOK", "kill", "reqs", "icfg",
            "orst", "lsnp",
        };
        List<Integer> codes = new ArrayList<>();
        for (String word : words) {
            codes.add(Fixtures.archive(word.getBytes(StandardCharsets.US_ASCII)).readInt("word"));
        }
        codes.add(FourLetterCommands.telnetCloseCmd);
        codes.add(0);
        codes.add(45);
        StringBuilder text = new StringBuilder();
        for (int code : codes) {
            text.append(FourLetterCommands.isKnown(code)
                ? FourLetterCommands.getCommandString(code) : "unknown").append('\n');
        }
        byte[] bin = Fixtures.bytes(archive -> {
            for (int code : codes) {
                archive.writeInt(code, "word");
            }
        });
        fixtures.put("four_letter_word", "known", "all", bin, text.toString());
    }
}
