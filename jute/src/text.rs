//! Text as Java reads and writes it.
//!
//! Reading follows the replacement rule of Java's own UTF-8 decoder. It is the rule of the
//! Unicode standard (one U+FFFD for each longest prefix of a character) with one difference:
//! Java takes `ED A0..BF` for the beginning of a three-byte character and notices only afterwards
//! that the result is a surrogate, so an encoded surrogate, or its first two bytes, is *one*
//! U+FFFD, not three or two.

use alloc::borrow::Cow;
use alloc::string::String;
use alloc::vec::Vec;
use core::str;

/// Decodes as Java does. Borrows when the bytes are well-formed UTF-8; otherwise the text takes
/// at most three times the bytes.
pub fn decode_text(bytes: &[u8]) -> Cow<'_, str> {
    match str::from_utf8(bytes) {
        Ok(text) => Cow::Borrowed(text),
        Err(_) => Cow::Owned(replace_malformed(bytes)),
    }
}

fn replace_malformed(mut bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    loop {
        let error = match str::from_utf8(bytes) {
            Ok(valid) => {
                text.push_str(valid);
                return text;
            }
            Err(error) => error,
        };
        let (valid, rest) = bytes.split_at(error.valid_up_to());
        text.push_str(str::from_utf8(valid).unwrap_or_default());
        text.push(char::REPLACEMENT_CHARACTER);
        let skip = match *rest {
            [0xED, 0xA0..=0xBF, 0x80..=0xBF, ..] => 3,
            [0xED, 0xA0..=0xBF, ..] => 2,
            _ => error.error_len().unwrap_or(rest.len()),
        };
        bytes = &rest[skip..];
    }
}

/// The number of bytes that [`encode_text`] appends.
pub fn encoded_text_len(text: &str) -> usize {
    text.len() + 2 * text.bytes().filter(|&b| b >= FIRST_OF_FOUR).count()
}

/// Appends the text as Java does: UTF-8, but for a character above U+FFFF its two surrogates of
/// three bytes each.
pub fn encode_text(text: &str, out: &mut Vec<u8>) {
    if text.bytes().all(|b| b < FIRST_OF_FOUR) {
        out.extend_from_slice(text.as_bytes());
        return;
    }
    for c in text.chars() {
        let mut units = [0; 2];
        match *c.encode_utf16(&mut units) {
            [high, low] => {
                push_unit(high, out);
                push_unit(low, out);
            }
            _ => out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }
}

/// The least byte that opens a four-byte character of UTF-8.
const FIRST_OF_FOUR: u8 = 0xF0;

/// One UTF-16 unit at or above U+0800 as three bytes.
fn push_unit(unit: u16, out: &mut Vec<u8>) {
    let [high, low] = unit.to_be_bytes();
    out.extend_from_slice(&[
        0xE0 | high >> 4,
        0x80 | (high & 0x0F) << 2 | low >> 6,
        0x80 | low & 0x3F,
    ]);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn well_formed_text_is_borrowed() {
        assert!(matches!(
            decode_text("aü中😀".as_bytes()),
            Cow::Borrowed("aü中😀")
        ));
    }

    /// Java's counts; `fixtures/utf8` has many more.
    #[test]
    fn malformed_text_is_replaced() {
        for (bytes, text) in [
            (&b"a\x80b"[..], "a\u{fffd}b"),
            (b"\xed\xa0\x80", "\u{fffd}"),
            (b"\xed\xa0\xbd\xed\xb8\x80", "\u{fffd}\u{fffd}"),
            (b"\xed\xa0", "\u{fffd}"),
            (b"\xed", "\u{fffd}"),
            (b"\xe0\x80\x80", "\u{fffd}\u{fffd}\u{fffd}"),
            (b"\xf0\x9f\x98", "\u{fffd}"),
            (b"\xf0\x9fA", "\u{fffd}A"),
        ] {
            assert_eq!(decode_text(bytes), text, "{bytes:02x?}");
        }
    }

    #[test]
    fn a_character_above_ffff_is_two_surrogates() {
        let mut bytes = Vec::new();
        encode_text("a😀", &mut bytes);
        assert_eq!(bytes, b"a\xed\xa0\xbd\xed\xb8\x80");
        assert_eq!(encoded_text_len("a😀"), bytes.len());
    }
}
