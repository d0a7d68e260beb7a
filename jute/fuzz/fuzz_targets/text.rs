//! Text: Java's way to decode it and to encode it.
#![no_main]

use jute::{decode_text, encode_text, encoded_text_len};
use jute_fuzz::bounded;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let text = bounded(data.len(), || decode_text(data));
    assert!(text.len() <= 3 * data.len());
    if let Ok(same) = std::str::from_utf8(data) {
        assert_eq!(text, same);
    }

    let mut bytes = Vec::new();
    encode_text(&text, &mut bytes);
    assert_eq!(bytes.len(), encoded_text_len(&text));
    let back = decode_text(&bytes);
    if text.chars().all(|c| c <= '\u{ffff}') {
        assert_eq!(back, text);
    }
    // Each half of a character above U+FFFF comes back as one U+FFFD.
    assert_eq!(back.encode_utf16().count(), text.encode_utf16().count());
});
