package zabkeeper.compat;

import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.concurrent.Callable;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import java.util.concurrent.atomic.AtomicInteger;

/**
 * Named tests, run a few at a time, each under a time limit; prints a line for each and one line
 * "N passed, N failed" at the end. Knows nothing of ZooKeeper.
 */
final class Suite {
    private static final long LIMIT_SECONDS = 60;
    private static final long WAIT_MILLIS = 20_000;

    /** A test's body; it fails by throwing. */
    interface Body {
        void run() throws Exception;
    }

    private static final class Case {
        final String name;
        final Body body;

        Case(String name, Body body) {
            this.name = name;
            this.body = body;
        }
    }

    private final List<Case> cases = new ArrayList<>();

    void test(String name, Body body) {
        cases.add(new Case(name, body));
    }

    /** Runs all whose name contains {@code only}, prints, and ends the process with 0 or 1. */
    void runAndExit(String only, int atOnce) throws InterruptedException {
        AtomicInteger passed = new AtomicInteger();
        AtomicInteger failed = new AtomicInteger();
        ExecutorService slots = Executors.newFixedThreadPool(atOnce);
        ExecutorService bodies = Executors.newCachedThreadPool();
        for (Case test : cases) {
            if (!test.name.contains(only)) {
                continue;
            }
            slots.execute(() -> {
                long begun = System.nanoTime();
                Throwable error = null;
                Future<?> running = bodies.submit((Callable<Void>) () -> {
                    test.body.run();
                    return null;
                });
                try {
                    running.get(LIMIT_SECONDS, TimeUnit.SECONDS);
                } catch (TimeoutException e) {
                    running.cancel(true);
                    error = new AssertionError("not finished after " + LIMIT_SECONDS + " s");
                } catch (ExecutionException e) {
                    error = e.getCause();
                } catch (InterruptedException e) {
                    error = e;
                }
                (error == null ? passed : failed).incrementAndGet();
                synchronized (this) {
                    System.out.println(String.format(Locale.ROOT, "%s %6.2fs  %s", error == null ? "ok  " : "FAIL",
                            (System.nanoTime() - begun) / 1e9, test.name));
                    if (error != null) {
                        error.printStackTrace(System.out);
                    }
                }
            });
        }
        slots.shutdown();
        slots.awaitTermination(30, TimeUnit.MINUTES);
        System.out.println(passed + " passed, " + failed + " failed");
        System.exit(failed.get() == 0 && passed.get() > 0 ? 0 : 1);
    }

    static void check(boolean condition, String what) {
        if (!condition) {
            throw new AssertionError(what);
        }
    }

    static void same(Object expected, Object actual) {
        if (expected == null ? actual != null : !expected.equals(actual)) {
            throw new AssertionError("expected " + expected + ", got " + actual);
        }
    }

    /** Polls until the condition holds: for states that offer nothing to wait on. */
    static void eventually(String what, Callable<Boolean> condition) throws Exception {
        long end = System.nanoTime() + TimeUnit.MILLISECONDS.toNanos(WAIT_MILLIS);
        while (!condition.call()) {
            if (System.nanoTime() > end) {
                throw new AssertionError("not within " + WAIT_MILLIS + " ms: " + what);
            }
            Thread.sleep(10);
        }
    }

    /** The exception of the given class that the body throws. */
    static <E extends Exception> E fails(Class<E> kind, Body body) {
        try {
            body.run();
        } catch (Exception e) {
            if (kind.isInstance(e)) {
                return kind.cast(e);
            }
            throw new AssertionError("expected " + kind.getSimpleName() + ", got " + e, e);
        }
        throw new AssertionError("expected " + kind.getSimpleName() + ", but it succeeded");
    }
}
