package zabkeeper.compat;

import java.lang.reflect.Constructor;
import java.lang.reflect.ParameterizedType;
import java.lang.reflect.Type;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.List;
import org.apache.jute.Record;

/**
 * Makes records of any generated class, in several kinds. The fields of a record get different
 * values, so that two that are swapped are noticed.
 */
final class Samples {

    enum Kind {
        /** Ordinary values. */
        TYPICAL,
        /** Whatever can be null is. */
        NULLS,
        /** Whatever can be empty is. */
        EMPTIES,
        /** Vectors hold a null and an empty string. */
        NULL_ELEMENTS,
        /** The least numbers. */
        LEAST,
        /** The greatest numbers. */
        GREATEST,
        /** Strings with characters of one to three bytes. */
        UNICODE
    }

    private static final String UNICODE =
        "a\u0000\u007f\u0080\u07ff\u0800\uffff \"\\\n";

    private final Kind kind;
    private int count;

    private Samples(Kind kind) {
        this.kind = kind;
    }

    static <R extends Record> R make(Class<R> type, Kind kind) {
        return new Samples(kind).record(type);
    }

    private <R extends Record> R record(Class<R> type) {
        for (Constructor<?> constructor : type.getConstructors()) {
            if (constructor.getParameterCount() > 0) {
                Object[] values = Arrays.stream(constructor.getGenericParameterTypes())
                    .map(this::value)
                    .toArray();
                try {
                    return type.cast(constructor.newInstance(values));
                } catch (ReflectiveOperationException e) {
                    throw new IllegalStateException(e);
                }
            }
        }
        throw new IllegalArgumentException(type + " has no fields");
    }

    private Object value(Type type) {
        count++;
        boolean least = kind == Kind.LEAST;
        boolean greatest = kind == Kind.GREATEST;
        if (type == int.class) {
            return least ? Integer.MIN_VALUE + count : greatest ? Integer.MAX_VALUE - count : count;
        }
        if (type == long.class) {
            return least ? Long.MIN_VALUE + count
                : greatest ? Long.MAX_VALUE - count : 0x0100_0000_0000L + count;
        }
        if (type == boolean.class) {
            return !least;
        }
        if (type == String.class) {
            switch (kind) {
            case NULLS:
                return null;
            case EMPTIES:
                return "";
            case UNICODE:
                return count + UNICODE;
            default:
                return "/s" + count;
            }
        }
        if (type == byte[].class) {
            switch (kind) {
            case NULLS:
                return null;
            case EMPTIES:
                return new byte[0];
            default:
                return ("d\u0000\u00ff" + count).getBytes(StandardCharsets.ISO_8859_1);
            }
        }
        if (type instanceof ParameterizedType) {
            Type element = ((ParameterizedType) type).getActualTypeArguments()[0];
            switch (kind) {
            case NULLS:
                return null;
            case EMPTIES:
                return Collections.emptyList();
            case NULL_ELEMENTS:
                if (element == String.class) {
                    return Arrays.asList(null, "", "/s" + count);
                }
                break;
            default:
                break;
            }
            List<Object> list = new ArrayList<>();
            list.add(value(element));
            list.add(value(element));
            return list;
        }
        return record(((Class<?>) type).asSubclass(Record.class));
    }
}
