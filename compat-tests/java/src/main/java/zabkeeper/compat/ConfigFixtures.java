package zabkeeper.compat;

import java.io.ByteArrayInputStream;
import java.io.IOException;
import java.io.StringReader;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.Random;
import java.util.Set;
import java.util.TreeSet;
import org.apache.zookeeper.server.quorum.QuorumPeerConfig;
import org.apache.zookeeper.server.quorum.flexible.QuorumVerifier;

/** The membership as Java reads and prints it; the files that a reconfiguration writes. */
final class ConfigFixtures {

    private static final String MULTI_ADDRESS = "zookeeper.multiAddress.enabled";

    /** Cases that are written to files too. */
    private static final Set<String> WRITTEN = Set.of("one", "three", "order_twenty", "roles", "client_ipv6",
        "multi_role", "version_hex", "version_minus", "groups_many", "groups_weights");

    private ConfigFixtures() {
    }

    static void write(Fixtures fixtures) throws IOException {
        QuorumPeerConfig.setStandaloneEnabled(false);
        Map<String, String> cases = cases();
        for (Map.Entry<String, String> entry : cases.entrySet()) {
            String name = entry.getKey();
            byte[] bin = entry.getValue().getBytes(StandardCharsets.UTF_8);
            System.setProperty(MULTI_ADDRESS, Boolean.toString(name.startsWith("multi_")));
            QuorumVerifier verifier = read(entry.getValue());
            fixtures.put("quorum", "config", name, bin, verifier == null ? "refused" : verifier.toString());
            if (verifier != null && WRITTEN.contains(name)) {
                fixtures.put("quorum", "config_file", name, bin, file(verifier, false));
                fixtures.put("quorum", "config_next", name, bin, file(verifier, true));
            }
        }
        System.clearProperty(MULTI_ADDRESS);
        many(fixtures);
        names(fixtures);
        statics(fixtures);
    }

    /** Null where Java refuses it. */
    private static QuorumVerifier read(String text) {
        Properties properties = new Properties();
        try {
            properties.load(new StringReader(text));
            return QuorumPeerConfig.parseDynamicConfig(properties, 3, false, false, null);
        } catch (Exception e) {
            return null;
        }
    }

    private static String file(QuorumVerifier verifier, boolean version) throws IOException {
        Path file = Files.createTempFile("zoo", ".dynamic");
        try {
            QuorumPeerConfig.writeDynamicConfig(file.toString(), verifier, version);
            return Files.readString(file);
        } finally {
            Files.delete(file);
        }
    }

    private static String servers(long... sids) {
        StringBuilder text = new StringBuilder();
        for (long sid : sids) {
            text.append("server.").append(sid).append("=h").append(sid).append(":2888:3888\n");
        }
        return text.toString();
    }

    private static long[] range(int from, int to) {
        long[] sids = new long[to - from + 1];
        for (int i = 0; i < sids.length; i++) {
            sids[i] = from + i;
        }
        return sids;
    }

    private static Map<String, String> cases() {
        Map<String, String> cases = new LinkedHashMap<>();
        cases.put("one", servers(1));
        cases.put("three", servers(1, 2, 3) + "version=100000000\n");
        cases.put("three_backwards", servers(3, 2, 1));
        cases.put("order_tens", servers(11, 12, 13, 21, 22, 23, 31, 32, 33));
        cases.put("order_collisions", servers(1, 17, 33, 49));
        cases.put("order_twelve", servers(range(5, 16)));
        cases.put("order_thirteen", servers(range(5, 17)));
        cases.put("order_twenty", servers(range(1, 20)));
        cases.put("order_hundred", servers(range(101, 200)));
        cases.put("order_sixteens", servers(16, 32, 48, 64, 80, 96, 112, 128));
        cases.put("order_nine_sixteens", servers(16, 32, 48, 64, 80, 96, 112, 128, 144));
        cases.put("order_wide", servers(-1, -2, 0, 1L << 32, (1L << 32) + 1, Long.MAX_VALUE, Long.MIN_VALUE));
        cases.put("last_wins", "server.1=a:1:2\nserver.1=b:3:4\nversion=1\nversion=2");
        cases.put("roles", "server.1=a:1:2:participant\nserver.2=b:1:2: Observer \nserver.3=c:1:2:OBSERVER;2181\n");
        cases.put("client_port", "server.1=a:1:2;2181");
        cases.put("client_host", "server.1=a:1:2;b:2181");
        cases.put("client_any_ipv6", "server.1=a:1:2;[::]:2181");
        cases.put("client_ipv6", "server.1=[::1]:1:2;[fe80::1:2]:2181");
        cases.put("client_empty", "server.1=a:1:2;");
        cases.put("client_empty_host", "server.1=a:1:2;:2181");
        cases.put("client_zero", "server.1=a:1:2;0");
        String[][] hosts = {
            {"ipv4", "10.1.2.3"}, {"ipv4_short", "10.513"}, {"ipv4_number", "16909060"},
            {"ipv4_three", "10.1.515"}, {"ipv4_zeros", "010.001.002.008"}, {"ipv4_too_large", "10.1.2.300"},
            {"ipv4_number_too_large", "4294967296"}, {"ipv4_dot", "10.1.2."}, {"upper", "ZK1.Example"},
            {"underscore", "zk_1.zk-hs"}, {"empty", ""}, {"ipv6", "[2001:db8::1]"},
            {"ipv6_full", "[2001:0DB8:0:0:1:0:0:A]"}, {"ipv6_mapped", "[::ffff:1.2.3.4]"},
            {"ipv6_tail", "[64:ff9b::1.2.3.4]"}, {"ipv6_compatible", "[::1.2.3.4]"}, {"ipv6_bad", "[1::2::3]"},
            {"ipv6_zone", "[fe80::1%lo]"}, {"ipv6_zone_number", "[fe80::1%1]"}, {"bracketed_name", "[host]"},
            {"blank", " h"}, {"letters", "0x7f.1"}, {"sign", "+1.2.3.4"}, {"plain", "hôst"},
            {"escaped", "h\\\\x"},
        };
        for (String[] host : hosts) {
            cases.put("host_" + host[0], "server.1=" + host[1] + ":2888:3888:participant;" + host[1] + ":2181");
        }
        cases.put("multi_two", "server.1=b:1:2|a:3:4\nserver.2=c:1:2;2181");
        cases.put("multi_role", "server.1=b:1:2:observer|a:3:4:observer;2181\nserver.2=c:1:2");
        cases.put("multi_role_once", "server.1=b:1:2|a:3:4:observer;2181\nserver.2=c:1:2");
        cases.put("multi_same", "server.1=b:1:2|b:1:2");
        cases.put("multi_empty_part", "server.1=b:1:2||a:1:2");
        cases.put("multi_roles_differ", "server.1=b:1:2:observer|a:3:4:participant");
        cases.put("two_addresses", "server.1=b:1:2|a:3:4");
        cases.put("two_addresses_one_empty", "server.1=b:1:2|");
        for (String[] version : new String[][] {
            {"zero", "0"}, {"hex", "1a00000003"}, {"upper", "1A"}, {"plus", "+1"}, {"minus", "-1"},
            {"largest", "7fffffffffffffff"}, {"too_large", "8000000000000000"}, {"prefix", "0x1"},
            {"empty", ""}, {"blank", "1 "},
        }) {
            cases.put("version_" + version[0], servers(1) + "version=" + version[1] + "\n");
        }
        cases.put("groups", servers(range(1, 9)) + "group.1=1:2:3\ngroup.2=4:5:6\ngroup.3=7:8:9\nversion=5");
        cases.put("groups_weights", servers(range(1, 6))
            + "group.1=1:2:3\ngroup.2=4:5:6\nweight.1=2\nweight.4=0\nweight.5=3\nversion=5");
        cases.put("groups_many", servers(range(1, 30))
            + "group.17=3:19\ngroup.1=1:17:2:18\ngroup.33=4:5:6:7:8:9:10:11:12:13:14:15:16\n"
            + "group.-4=20:21:22:23:24:25:26:27:28:29:30\nweight.20=20\nweight.4=4\n");
        cases.put("groups_observer", servers(1, 2) + "server.3=c:1:2:observer\ngroup.1=1:2\n");
        cases.put("groups_observer_in", servers(1, 2) + "server.3=c:1:2:observer\ngroup.1=1:2:3\nweight.3=1\n");
        cases.put("groups_stranger", servers(1, 2) + "group.1=1:2:7\nweight.7=5\nweight.8=1\n");
        cases.put("groups_sign", servers(1, 2) + "group.1=+1:02\n");
        cases.put("groups_odd_names", servers(1, 2) + "groupies.1=1:2\nweighty.1=3\n");
        cases.put("groups_no_weight", servers(1, 2) + "group.1=1:2:7\n");
        cases.put("groups_missing", servers(1, 2) + "group.1=1\n");
        cases.put("groups_twice", servers(1, 2) + "group.1=1:2\ngroup.2=2\n");
        cases.put("groups_twice_in_one", servers(1, 2) + "group.1=1:2:2\n");
        cases.put("groups_empty", servers(1) + "group.1=\n");
        cases.put("groups_colons", servers(1) + "group.1=1\ngroup.2=::\n");
        cases.put("groups_no_dot", servers(1) + "group1=1\n");
        cases.put("weights_only", servers(1) + "weight.1=1\n");
        cases.put("weight_bad", servers(1) + "group.1=1\nweight.1=1 \n");
        cases.put("unknown_key", servers(1) + "clientPort=2181\n");
        cases.put("unknown_key_blank", "\\ server.2=bad\n" + servers(1));
        cases.put("version_key_blank", "\\ version=7\n" + servers(1));
        cases.put("version_key_longer", "version.1=7\n" + servers(1));
        cases.put("comments", "# c\n\n  server.1 : a:1:2\\\n   ;2181\n! d\n");
        cases.put("bad_escape", servers(1) + "version=\\u00\n");
        cases.put("nothing", "");
        for (String[] bad : new String[][] {
            {"sid_word", "server.x=a:1:2"}, {"sid_empty", "server.=a:1:2"}, {"sid_dots", "server.1.2=a:1:2"},
            {"sid_plus", "server.+1=a:1:2"}, {"sid_zeros", "server.007=a:1:2"},
            {"empty", "server.1="}, {"semicolon", "server.1=;"}, {"bar", "server.1=|"}, {"host", "server.1=a"},
            {"one_port", "server.1=a:1"}, {"same_ports", "server.1=a:1:1"}, {"blank", "server.1=a:1:2 "},
            {"role", "server.1=a:1:2:learner"}, {"role_empty", "server.1=a:1:2:"},
            {"five", "server.1=a:1:2:participant:x"}, {"client_blank", "server.1=a:1:2; 2181"},
            {"client_twice", "server.1=a:1:2;2181;2182"}, {"client_three", "server.1=a:1:2;1:2:3"},
            {"client_word", "server.1=a:1:2;a:b"}, {"client_large", "server.1=a:1:2;65536"},
            {"port_large", "server.1=a:1:65536"}, {"port_minus", "server.1=a:-1:2"}, {"port_zero", "server.1=a:0:2"},
            {"bracket", "server.1=[::1:1:2"}, {"bracket_port", "server.1=[::1]:"}, {"bracket_alone", "server.1=[::1]"},
            {"bracket_other", "server.1=[::1]x1:2"}, {"client_bracket", "server.1=a:1:2;[::1]"},
        }) {
            cases.put("line_" + bad[0], bad[1]);
        }
        return cases;
    }

    /** Many sets of servers and groups: as a vector of buffers, parts behind "---". */
    private static void many(Fixtures fixtures) throws IOException {
        Random random = new Random(7);
        List<byte[]> texts = new ArrayList<>();
        StringBuilder printed = new StringBuilder();
        for (int i = 0; i < 600; i++) {
            TreeSet<Long> sids = new TreeSet<>();
            int count = 1 + random.nextInt(i % 3 == 0 ? 60 : 14);
            int span = i % 2 == 0 ? 255 : 40;
            while (sids.size() < Math.min(count, span)) {
                sids.add(1L + random.nextInt(span));
            }
            StringBuilder text = new StringBuilder();
            for (long sid : sids) {
                text.append("server.").append(sid).append("=h").append(sid).append(":1:2\n");
            }
            if (i % 4 == 0) {
                Map<Long, StringBuilder> groups = new java.util.TreeMap<>();
                for (long sid : sids) {
                    StringBuilder group = groups.computeIfAbsent(1L + random.nextInt(20), gid -> new StringBuilder());
                    group.append(group.length() == 0 ? "" : ":").append(sid);
                }
                groups.forEach((gid, group) ->
                    text.append("group.").append(gid).append('=').append(group).append('\n'));
                // All of them: those that are not given come behind the others in Java's table.
                for (long sid : sids) {
                    text.append("weight.").append(sid).append('=').append(random.nextInt(9)).append('\n');
                }
            }
            text.append("version=").append(Integer.toHexString(i)).append('\n');
            texts.add(text.toString().getBytes(StandardCharsets.UTF_8));
            printed.append("---\n").append(read(text.toString())).append('\n');
        }
        byte[] bin = Fixtures.bytes(archive -> {
            archive.writeInt(texts.size(), "count");
            for (byte[] text : texts) {
                archive.writeBuffer(text, "text");
            }
        });
        fixtures.put("quorum", "config_many", "random", bin, printed.toString());
    }

    private static void names(Fixtures fixtures) throws IOException {
        String[] names = {
            "zoo.cfg.dynamic.0", "zoo.cfg.dynamic.1001", "zoo.cfg.dynamic", "zoo.cfg.dynamic.next",
            "zoo.cfg", "zoo.dynamic.abc", "zoo", "zoo.", "/etc/zk.1/zoo", "/etc/zk.1", "zoo.cfg.dynamic.00A0",
            "zoo.cfg.dynamic.-1", "zoo.cfg.dynamic.+1", "zoo.cfg.dynamic.7fffffffffffffff",
            "zoo.cfg.dynamic.8000000000000000", "zoo.cfg.dynamic.1 ", "zoo.bad",
        };
        StringBuilder text = new StringBuilder();
        for (String name : names) {
            text.append(QuorumPeerConfig.getVersionFromFilename(name)).append('\n');
        }
        fixtures.put("dynamic", "version", "names",
            String.join("\n", names).getBytes(StandardCharsets.UTF_8), text.toString());
    }

    private static void statics(Fixtures fixtures) throws IOException {
        Map<String, String> cases = new LinkedHashMap<>();
        cases.put("empty", "");
        cases.put("usual", "# three servers\ntickTime=2000\ninitLimit=10\nsyncLimit = 5\ndataDir=/var/lib/zk\n"
            + "clientPort=2181\nreconfigEnabled=true\n4lw.commands.whitelist=*\n\nserver.1=a:2888:3888\n"
            + "server.2=b:2888:3888\nserver.3=c:2888:3888;2181\n");
        cases.put("pointed", "dataDir=/d\ndynamicConfigFile=/etc/zk/zoo.cfg.dynamic.100000000\nversion=3\n"
            + "standaloneEnabled=false\n");
        cases.put("groups", "dataDir=/d\ngroup.1=1:2\nweight.1=1\ngroupies=x\nweightless=y\npeerType=observer\n"
            + "peerTypes=z\nserver=kept\nservers.1=kept\ndynamicConfigFileX=gone\n");
        cases.put("client", "dataDir=/d\nclientPort=2181\nclientPortAddress=127.0.0.1\nclientPortListenBacklog=9\n"
            + "secureClientPort=2182\nclientTcpKeepAlive=true\n");
        cases.put("last_wins", "tickTime=1\ndataDir=/d\ntickTime=2\n");
        cases.put("trimmed", "tickTime=2000 \t\n\\ dataDir\\ =\\ /d\\ \nempty=\n");
        StringBuilder large = new StringBuilder();
        for (int i = 0; i < 60; i++) {
            large.append("metricsProvider.key").append(i * i).append("=value ").append(i).append('\n');
        }
        cases.put("large", large.toString());
        for (Map.Entry<String, String> entry : cases.entrySet()) {
            byte[] bin = entry.getValue().getBytes(StandardCharsets.ISO_8859_1);
            for (boolean erase : new boolean[] {false, true}) {
                Path folder = Files.createTempDirectory("zk");
                Path file = folder.resolve("zoo.cfg");
                Path dynamic = folder.resolve("zoo.cfg.dynamic.200000001");
                try {
                    Files.write(file, bin);
                    Files.write(dynamic, new byte[0]);
                    QuorumPeerConfig.editStaticConfig(file.toString(), dynamic.toString(), erase);
                    Properties check = new Properties();
                    byte[] written = Files.readAllBytes(file);
                    check.load(new ByteArrayInputStream(written));
                    String text = new String(written, StandardCharsets.UTF_8);
                    String real = folder.toRealPath().toString();
                    if (!check.getProperty("dynamicConfigFile").startsWith(real)) {
                        throw new IllegalStateException(text);
                    }
                    fixtures.put("dynamic", erase ? "static_erase" : "static", entry.getKey(), bin,
                        text.replace(real, "/etc/zk"));
                } finally {
                    Files.delete(file);
                    Files.delete(dynamic);
                    Files.delete(folder);
                }
            }
        }
    }
}
