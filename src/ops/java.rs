//! How Java reads and prints numbers, booleans and dates, where operators can see it.
//!
//! Owns: the exact grammar of `Integer.parseInt`, `Integer.decode` (behind `Integer.getInteger`),
//! `Boolean.parseBoolean`, `Double.parseDouble`, `Double.toString`, `String.trim` and
//! `String.split`, as far as configuration and the four-letter words reach it.
//!
//! Does not know which key or which word uses what.

pub use zk_wire::text::java::{parse_int, parse_long, parse_long_hex, split, trim};

use zk_wire::text::java::parse_radix;

/// `Integer.decode(text)`: what `Integer.getInteger` uses for system properties, so
/// `-Dzookeeper.snapCount=0x10` is 16 and `010` is 8.
pub fn decode_int(text: &str) -> Option<i32> {
    decode(text).and_then(|n| i32::try_from(n).ok())
}

/// `Long.decode(text)`: what `Long.getLong` uses.
pub fn decode_long(text: &str) -> Option<i64> {
    decode(text).and_then(|n| i64::try_from(n).ok())
}

fn decode(text: &str) -> Option<i128> {
    let (negative, rest) = match text.as_bytes().first()? {
        b'-' => (true, &text[1..]),
        b'+' => (false, &text[1..]),
        _ => (false, text),
    };
    let (radix, digits) = if let Some(hex) = rest
        .strip_prefix("0x")
        .or_else(|| rest.strip_prefix("0X"))
        .or_else(|| rest.strip_prefix('#'))
    {
        (16, hex)
    } else if rest.len() > 1 && rest.starts_with('0') {
        (8, &rest[1..])
    } else {
        (10, rest)
    };
    if digits.starts_with(['-', '+']) {
        return None;
    }
    let value = parse_radix(digits, radix)?;
    Some(if negative { -value } else { value })
}

/// `Boolean.parseBoolean(text)`: "true" in any case is true, all else is false.
pub fn parse_boolean(text: &str) -> bool {
    text.eq_ignore_ascii_case("true")
}

/// `Double.parseDouble(text)` without hexadecimal forms: blanks around it and a `d` or `f` behind
/// it are allowed.
pub fn parse_double(text: &str) -> Option<f64> {
    let text = trim(text);
    let (sign, body) = match text.as_bytes().first()? {
        b'-' => (-1.0, &text[1..]),
        b'+' => (1.0, &text[1..]),
        _ => (1.0, text),
    };
    match body {
        "NaN" => return Some(f64::NAN),
        "Infinity" => return Some(sign * f64::INFINITY),
        _ => {}
    }
    let body = body.strip_suffix(['d', 'D', 'f', 'F']).unwrap_or(body);
    if !body.starts_with(|c: char| c.is_ascii_digit() || c == '.')
        || !body
            .chars()
            .all(|c| c.is_ascii_digit() || matches!(c, '.' | 'e' | 'E' | '-' | '+'))
    {
        return None;
    }
    body.parse::<f64>().ok().map(|value| sign * value)
}

/// `Double.toString(value)`: always a fraction (`1.0`), scientific from 10^7 and below 10^-3
/// (`9.24E9`), `NaN`, `Infinity`.
pub fn double(value: f64) -> String {
    if value.is_nan() {
        return "NaN".into();
    }
    if value.is_infinite() {
        return if value > 0.0 { "Infinity" } else { "-Infinity" }.into();
    }
    let magnitude = value.abs();
    if magnitude == 0.0 || (1e-3..1e7).contains(&magnitude) {
        let text = format!("{value}");
        return if text.contains('.') {
            text
        } else {
            text + ".0"
        };
    }
    let text = format!("{value:e}");
    let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let fraction = if mantissa.contains('.') { "" } else { ".0" };
    format!("{mantissa}{fraction}E{exponent}")
}

/// The mean as the server's statistics print it: the quotient as a double, rounded to four
/// decimals, halves up; 0 when nothing was counted.
pub fn mean(total: i64, count: i64) -> f64 {
    if count <= 0 {
        return 0.0;
    }
    let quotient = total as f64 / count as f64;
    let tie = quotient * 32.0;
    if tie.fract() == 0.0 && tie.abs() < 1e13 {
        // Only multiples of 1/32 can lie exactly between two values of four decimals, where the
        // formatter below would round to even.
        let scaled = (tie as i128) * 3125; // the quotient times 100,000
        let rounded = if scaled >= 0 {
            (scaled + 5) / 10
        } else {
            (scaled - 5) / 10
        };
        return rounded as f64 / 10_000.0;
    }
    format!("{quotient:.4}").parse().unwrap_or(quotient)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parse_int_is_strict() {
        assert_eq!(parse_int("2181"), Some(2181));
        assert_eq!(parse_int("+5"), Some(5));
        assert_eq!(parse_int("-1"), Some(-1));
        assert_eq!(parse_int("0000000000000000000000000000012"), Some(12));
        assert_eq!(parse_int("-2147483648"), Some(i32::MIN));
        for bad in [
            "",
            "-",
            "+",
            "2147483648",
            "0x10",
            " 1",
            "1 ",
            "1_0",
            "2181 # x",
            "1.0",
        ] {
            assert_eq!(parse_int(bad), None, "{bad:?}");
        }
        assert_eq!(parse_long("9223372036854775807"), Some(i64::MAX));
        assert_eq!(parse_long("9223372036854775808"), None);
        assert_eq!(parse_long_hex("ff"), Some(255));
        assert_eq!(parse_long_hex("0xff"), None);
    }

    #[test]
    fn decode_knows_radix_prefixes() {
        assert_eq!(decode_int("010"), Some(8));
        assert_eq!(decode_int("0"), Some(0));
        assert_eq!(decode_int("0x10"), Some(16));
        assert_eq!(decode_int("-#F"), Some(-15));
        assert_eq!(decode_int("+7"), Some(7));
        for bad in ["", "08", "0x", "0x-1", "--1", "1 ", "#"] {
            assert_eq!(decode_int(bad), None, "{bad:?}");
        }
        assert_eq!(decode_long("0x7fffffffffffffff"), Some(i64::MAX));
    }

    #[test]
    fn doubles_read_and_print_as_java() {
        for (value, text) in [
            (0.0, "0.0"),
            (27.0, "27.0"),
            (0.6383, "0.6383"),
            (9.24e9, "9.24E9"),
            (1e7, "1.0E7"),
            (9_999_999.0, "9999999.0"),
            (0.001, "0.001"),
            (0.0005, "5.0E-4"),
            (-1.5, "-1.5"),
            (f64::NAN, "NaN"),
            (f64::INFINITY, "Infinity"),
        ] {
            assert_eq!(double(value), text);
        }
        assert_eq!(parse_double(" 0.5 "), Some(0.5));
        assert_eq!(parse_double("1e3"), Some(1000.0));
        assert_eq!(parse_double("-2.5f"), Some(-2.5));
        for bad in ["", "x", "0.5x", "inf", "infinity", "nan", "--1", "1,5"] {
            assert_eq!(parse_double(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn means_round_half_up() {
        assert_eq!(double(mean(1, 32)), "0.0313"); // 0.03125
        assert_eq!(double(mean(3, 32)), "0.0938"); // 0.09375
        assert_eq!(double(mean(63, 10)), "6.3");
        assert_eq!(double(mean(0, 0)), "0.0");
        assert_eq!(double(mean(90, 141)), "0.6383");
    }

    #[test]
    fn text_helpers() {
        assert_eq!(trim("\t a b \r\n"), "a b");
        assert_eq!(split("", ','), [""]);
        assert_eq!(split("a,,b,,", ','), ["a", "", "b"]);
        assert!(split(",,", ',').is_empty());
    }
}
