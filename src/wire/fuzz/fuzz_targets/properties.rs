//! Properties files.
#![no_main]

use jute_fuzz::bounded_by;
use libfuzzer_sys::fuzz_target;
use zk_wire::text::properties::{Property, parse};

/// An entry of two bytes is two strings and a number, in a vector that grows. The files are the
/// operator's own.
const FACTOR: usize = 128;

fuzz_target!(|data: &[u8]| {
    let Ok(entries) = bounded_by(FACTOR, data.len(), || parse(data)) else {
        return;
    };
    let lines = 1 + data.iter().filter(|b| matches!(b, b'\n' | b'\r')).count();
    for pair in entries.windows(2) {
        assert!(pair[0].line < pair[1].line, "one entry begins on a line");
    }
    assert!(entries.last().is_none_or(|entry| entry.line <= lines));

    // Written with every character escaped, the same entries come out.
    let escape = |text: &str| -> String {
        text.encode_utf16()
            .map(|unit| format!("\\u{unit:04x}"))
            .collect()
    };
    let mut file = String::new();
    for entry in &entries {
        file += &format!("{}={}\n", escape(&entry.key), escape(&entry.value));
    }
    let again = parse(file.as_bytes()).expect("what was escaped");
    let pairs = |entries: &[Property]| -> Vec<(String, String)> {
        entries
            .iter()
            .map(|entry| (entry.key.clone(), entry.value.clone()))
            .collect()
    };
    assert_eq!(pairs(&again), pairs(&entries));
});
