package zabkeeper.compat;

import java.io.BufferedReader;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.TimeUnit;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.apache.zookeeper.ZooKeeper;
import org.apache.zookeeper.ZooKeeperMain;

/**
 * Runs a script of zkCli commands through one ZooKeeperMain and prints a transcript that is the same
 * for every correct server: each command, what it printed (both streams), its exit code, and the
 * watch events it caused, with the values that differ between runs replaced.
 *
 * <p>Script lines from standard input: a zkCli command; {@code #} a comment; {@code %event TEXT}
 * waits until a watch event containing TEXT has been printed; {@code %stopped} waits until the
 * client's session has ended.
 *
 * <p>Replaced: zxids, by their distance to the first zxid seen ({@code Z+n}; 0 stays); dates; session
 * ids, by their order of appearance ({@code S1}); the server's address; sorted: lists of names.
 */
public final class ZkCli {
    private static final long WAIT_MILLIS = 15_000;
    private static final Pattern EVENT = Pattern.compile("WatchedEvent state:\\S+ type:\\S+ path:\\S*( zxid: -?\\d+)?");
    private static final Pattern ZXID =
            Pattern.compile("(?<name>[cmp]Zxid = 0x|zxid: |zxid: 0x)(?<value>-?[0-9a-f]+)");
    private static final Pattern DATE = Pattern.compile("([cm]time = ).*");
    private static final Pattern SESSION = Pattern.compile("(ephemeralOwner = )0x([0-9a-f]{2,})");
    private static final Pattern NAMES = Pattern.compile("\\[[^\\[\\]]*\\]");

    private final Program program;
    private final Capture captured;
    private final String server;
    private final PrintStream out;
    private final List<String> sessions = new ArrayList<>();
    private Long firstZxid;

    private ZkCli(String server, Capture captured, PrintStream out) throws IOException, InterruptedException {
        this.program = new Program(server);
        this.server = server;
        this.captured = captured;
        this.out = out;
    }

    /**
     * zkCli itself. A class of its own, since its commands take hold of System.out as the class is
     * initialised: by then it must be the capturing one.
     */
    private static final class Program extends ZooKeeperMain {
        Program(String server) throws IOException, InterruptedException {
            super(new String[] {"-server", server, "-timeout", "20000", "-waitforconnection"});
        }

        ZooKeeper client() {
            return zk;
        }

        int lastExit() {
            return exitCode;
        }
    }

    /** Collects what ZooKeeperMain prints, from its thread and from the event thread. */
    private static final class Capture extends ByteArrayOutputStream {
        synchronized String text() {
            return toString(StandardCharsets.UTF_8);
        }

        synchronized String drain() {
            String text = text();
            reset();
            return text;
        }
    }

    public static void main(String[] args) throws IOException, InterruptedException {
        if (args.length != 1) {
            System.err.println("usage: ZkCli HOST:PORT < script");
            System.exit(2);
        }
        PrintStream out = new PrintStream(System.out, true, StandardCharsets.UTF_8);
        Capture captured = new Capture();
        PrintStream capture = new PrintStream(captured, true, StandardCharsets.UTF_8);
        System.setOut(capture);
        System.setErr(capture);
        ZkCli cli = new ZkCli(args[0], captured, out);
        cli.await("state:SyncConnected");
        captured.drain();
        String command = null;
        BufferedReader script = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        for (String line = script.readLine(); line != null; line = script.readLine()) {
            if (line.isBlank() || line.startsWith("#")) {
                continue;
            }
            if (line.startsWith("%event ")) {
                cli.await(line.substring("%event ".length()));
            } else if (line.equals("%stopped")) {
                cli.awaitStopped();
            } else {
                // What a command printed is written when the next begins, its events included.
                if (command != null) {
                    cli.flush();
                }
                command = line.replace("%server", args[0]);
                cli.execute(command);
            }
        }
        cli.flush();
        cli.program.client().close();
        System.exit(0);
    }

    private void execute(String line) throws IOException, InterruptedException {
        out.println("> " + line.replace(server, "SERVER"));
        try {
            program.executeLine(line);
        } catch (IllegalArgumentException | IndexOutOfBoundsException e) {
            System.out.println(e.getClass().getSimpleName() + ": " + e.getMessage());
        }
        // "connect" answers before its session is there, and later commands would race with it.
        if (line.startsWith("connect ")) {
            await("state:SyncConnected");
        }
        System.out.println("exit " + program.lastExit());
    }

    private void awaitStopped() throws InterruptedException {
        long end = System.nanoTime() + TimeUnit.MILLISECONDS.toNanos(WAIT_MILLIS);
        // Polled: ZooKeeperMain gives no way to wait for its client's state.
        while (program.client().getState().isAlive() && System.nanoTime() < end) {
            Thread.sleep(10);
        }
        System.out.println("state " + program.client().getState());
    }

    /** Waits until a watch event with the text has been printed. */
    private void await(String text) throws InterruptedException {
        long end = System.nanoTime() + TimeUnit.MILLISECONDS.toNanos(WAIT_MILLIS);
        // Polled: events are printed by a watcher that cannot be replaced.
        while (true) {
            Matcher events = EVENT.matcher(captured.text());
            while (events.find()) {
                if (events.group().contains(text)) {
                    return;
                }
            }
            if (System.nanoTime() > end) {
                System.out.println("NO EVENT " + text);
                return;
            }
            // Polled, with the bound above: what is printed cannot be waited on.
            Thread.sleep(5);
        }
    }

    /** Prints what was captured: first the command's own text, then the events in their order. */
    private void flush() {
        String text = captured.drain();
        List<String> events = new ArrayList<>();
        Matcher matcher = EVENT.matcher(text);
        while (matcher.find()) {
            events.add(matcher.group());
        }
        text = EVENT.matcher(text).replaceAll("").replace("WATCHER::", "");
        for (String line : text.split("\n")) {
            if (!line.isBlank()) {
                out.println("  " + normalise(line));
            }
        }
        for (String event : events) {
            out.println("  " + normalise(event));
        }
    }

    private String normalise(String line) {
        String result = line.stripTrailing().replace(server, "SERVER");
        result = DATE.matcher(result).replaceAll("$1DATE");
        result = SESSION.matcher(result).replaceAll(match -> {
            String session = match.group(2);
            if (!sessions.contains(session)) {
                sessions.add(session);
            }
            return match.group(1) + "S" + (sessions.indexOf(session) + 1);
        });
        result = ZXID.matcher(result).replaceAll(match -> {
            boolean hex = match.group(1).endsWith("0x");
            long zxid = Long.parseLong(match.group(2), hex ? 16 : 10);
            if (zxid <= 0) {
                return match.group();
            }
            if (firstZxid == null) {
                firstZxid = zxid;
            }
            return match.group(1) + "Z" + (zxid < firstZxid ? "-" : "+") + Math.abs(zxid - firstZxid);
        });
        if (NAMES.matcher(result).matches()) {
            String[] names = result.substring(1, result.length() - 1).split(", ");
            java.util.Arrays.sort(names);
            result = "[" + String.join(", ", names) + "]";
        }
        return result;
    }
}
