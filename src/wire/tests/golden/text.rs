//! Text as Java decodes and encodes it, properties, four-letter words.

use jute::{Buf, Decode, Encode, List, Reader, Str, decode_text};
use zk_wire::text::four_letter::FourLetterWord;
use zk_wire::text::properties;

use crate::cases::{Case, cases, records};
use crate::show::{quote, unquote};

fn buffers(bin: &[u8]) -> Vec<&[u8]> {
    let buffers: List<Buf<'_>> = List::decode(&mut Reader::new(bin)).unwrap();
    buffers
        .unwrap()
        .into_iter()
        .map(|buffer| buffer.expect("no null"))
        .collect()
}

#[test]
fn text_is_decoded_as_java_does() {
    for Case { name, bin, txt } in cases("utf8", "decode") {
        let text = decode_text(&bin);
        assert_eq!(quote(&text) + "\n", txt, "{name}");
        assert!(text.len() <= 3 * bin.len(), "{name}: bounded");
    }
    for Case { name, bin, txt } in cases("utf8", "decode_many") {
        let inputs = buffers(&bin);
        assert_eq!(inputs.len(), txt.lines().count(), "{name}");
        for (input, line) in inputs.into_iter().zip(txt.lines()) {
            assert_eq!(quote(&decode_text(input)), line, "{name}: {input:02x?}");
        }
    }
}

#[test]
fn text_is_encoded_as_java_does() {
    assert_eq!(records("utf8").len(), 3);
    for Case { name, bin, txt } in cases("utf8", "encode") {
        let text = match txt.trim_end() {
            "null" => None,
            quoted => Some(unquote(quoted).into()),
        };
        let text: Str<'_> = text;
        assert_eq!(text.size(), bin.len(), "{name}");
        assert_eq!(text.to_vec(), bin, "{name}");
    }
}

fn load(file: &[u8]) -> String {
    match properties::parse(file) {
        Ok(entries) => entries
            .iter()
            .map(|entry| format!("{} = {}\n", quote(&entry.key), quote(&entry.value)))
            .collect(),
        Err(_) => "refused\n".into(),
    }
}

#[test]
fn properties_are_read_as_java_does() {
    assert_eq!(records("properties").len(), 2);
    for Case { name, bin, txt } in cases("properties", "file") {
        assert_eq!(load(&bin), txt, "{name}");
    }
    for Case { name, bin, txt } in cases("properties", "many") {
        let files = buffers(&bin);
        let expected: Vec<&str> = txt.split("---\n").skip(1).collect();
        assert_eq!(files.len(), expected.len(), "{name}");
        for (file, expected) in files.into_iter().zip(expected) {
            assert_eq!(
                load(file),
                expected,
                "{name}: {:?}",
                String::from_utf8_lossy(file)
            );
        }
    }
}

#[test]
fn words_are_known_as_java_knows_them() {
    for Case { name, bin, txt } in cases("four_letter_word", "known") {
        let words = bin.as_chunks().0;
        assert_eq!(words.len(), txt.lines().count(), "{name}");
        for (bytes, line) in words.iter().zip(txt.lines()) {
            let word = FourLetterWord::from_bytes(*bytes);
            assert_eq!(word.map_or("unknown", FourLetterWord::name), line, "{name}");
        }
        let known = txt.lines().filter(|line| *line != "unknown").count();
        assert_eq!(
            known,
            FourLetterWord::ALL.len(),
            "{name}: every word has a case"
        );
    }
}
