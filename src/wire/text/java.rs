//! How Java reads the text of a configuration: trimming, splitting, numbers.
//!
//! Owns: the exact grammar of `String.trim`, `String.split` at one character, `Integer.parseInt`
//! and `Long.parseLong`. Does not know which key uses what.

use alloc::vec;
use alloc::vec::Vec;

/// `String.trim`: drops every character up to U+0020 at both ends (so tabs and control characters
/// too, but not a no-break space).
pub fn trim(text: &str) -> &str {
    text.trim_matches(|c: char| c <= ' ')
}

/// `String.split(separator)`: trailing empty parts are dropped, leading and inner ones are kept;
/// the empty text gives one empty part, a text of separators alone gives none.
pub fn split(text: &str, separator: char) -> Vec<&str> {
    if text.is_empty() {
        return vec![""];
    }
    let mut parts: Vec<&str> = text.split(separator).collect();
    while parts.last().is_some_and(|last| last.is_empty()) {
        parts.pop();
    }
    parts
}

/// `Integer.parseInt(text)`: an optional sign and decimal digits, nothing else.
pub fn parse_int(text: &str) -> Option<i32> {
    parse_radix(text, 10).and_then(|n| i32::try_from(n).ok())
}

/// `Long.parseLong(text)`.
pub fn parse_long(text: &str) -> Option<i64> {
    parse_radix(text, 10).and_then(|n| i64::try_from(n).ok())
}

/// `Long.parseLong(text, 16)`: no `0x` prefix.
pub fn parse_long_hex(text: &str) -> Option<i64> {
    parse_radix(text, 16).and_then(|n| i64::try_from(n).ok())
}

/// A sign and digits; wide enough that the caller finds what is out of its range.
pub fn parse_radix(text: &str, radix: u32) -> Option<i128> {
    let (negative, digits) = match text.as_bytes().first()? {
        b'-' => (true, &text[1..]),
        b'+' => (false, &text[1..]),
        _ => (false, text),
    };
    // 20 digits are beyond any i64 in either radix; leading zeros may make a text longer.
    let significant = digits.trim_start_matches('0');
    if digits.is_empty() || !digits.chars().all(|c| c.is_digit(radix)) || significant.len() > 20 {
        return None;
    }
    let value = if significant.is_empty() {
        0
    } else {
        i128::from_str_radix(significant, radix).ok()?
    };
    Some(if negative { -value } else { value })
}
