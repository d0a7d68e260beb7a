//! What is small: frames, four-letter words, names of files, epochs.
#![no_main]

use jute_fuzz::bounded;
use libfuzzer_sys::fuzz_target;
use zk_wire::client::frame::{self, Cut, PREFIX};
use zk_wire::file::epoch;
use zk_wire::file::name::{self, Compression, Named};
use zk_wire::text::four_letter::FourLetterWord;

fuzz_target!(|data: &[u8]| {
    bounded(data.len(), || {
        cut(data);
        word(data);
        file_name(data);
        if let Ok(number) = epoch::parse(data) {
            assert_eq!(epoch::parse(epoch::render(number).as_bytes()), Ok(number));
        }
    });
});

fn cut(data: &[u8]) {
    let max = data.len() / 2;
    match frame::cut(data, max) {
        Cut::Frame(range) => {
            assert_eq!(range.start, PREFIX);
            assert!(range.len() <= max && range.end <= data.len());
            let mut out = Vec::new();
            let start = frame::begin(&mut out);
            out.extend_from_slice(&data[range.clone()]);
            frame::finish(&mut out, start);
            assert_eq!(out, data[..range.end]);
        }
        Cut::Incomplete(need) => assert!(need > data.len() && need <= PREFIX.max(PREFIX + max)),
        Cut::Bad(length) => {
            assert!(usize::try_from(length).is_ok_and(|length| length > max) || length < 0);
        }
    }
}

fn word(data: &[u8]) {
    let Some(bytes) = data.first_chunk::<4>() else {
        return;
    };
    if let Some(word) = FourLetterWord::from_bytes(*bytes) {
        assert_eq!(word.bytes(), *bytes);
        // No word is the length of a frame that the default limit allows.
        assert!(matches!(frame::cut(data, 0xFFFFF), Cut::Bad(_)));
    }
}

fn file_name(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    match name::parse(text) {
        Some(Named::Log { zxid }) => {
            assert_eq!(name::parse(&name::log(zxid)), Some(Named::Log { zxid }));
        }
        Some(Named::Snapshot { zxid, .. }) => {
            let plain = Some(Named::Snapshot {
                zxid,
                compression: Compression::None,
            });
            assert_eq!(name::parse(&name::snapshot(zxid)), plain);
        }
        None => {}
    }
}
