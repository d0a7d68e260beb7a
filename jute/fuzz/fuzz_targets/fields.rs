//! Every kind of field, alone and in records, vectors and vectors of records.
#![no_main]

use jute::{Buf, Decode, List, Reader, Str, record};
use jute_fuzz::{bounded, round_trip};
use libfuzzer_sys::fuzz_target;

record! {
    /// Has a field of every kind.
    pub struct Everything<'a> {
        /// One byte.
        pub byte: u8,
        /// One byte that is true or false.
        pub flag: bool,
        /// Four.
        pub int: i32,
        /// Eight.
        pub long: i64,
        /// Text.
        pub text: Str<'a>,
        /// Bytes.
        pub bytes: Buf<'a>,
        /// Texts.
        pub texts: List<Str<'a>>,
        /// Records.
        pub parts: List<Part<'a>>,
    }

    /// A record inside another.
    pub struct Part<'a> {
        /// A vector in a record in a vector.
        pub numbers: List<i64>,
        /// Bytes.
        pub bytes: Buf<'a>,
    }
}

fuzz_target!(|data: &[u8]| {
    round_trip!(
        data;
        u8, bool, i32, i64, Str<'_>, Buf<'_>, List<u8>, List<Str<'_>>, List<List<i32>>,
        List<List<List<Buf<'_>>>>, Part<'_>, List<Part<'_>>, Everything<'_>, List<Everything<'_>>,
    );

    // A nested reader sees its buffer only, and counts on from the outer one.
    let mut outer = Reader::new(data);
    if let Ok(Some(mut inner)) = outer.nested() {
        assert_eq!(inner.position() + inner.remaining(), outer.position());
        let before = inner.remaining();
        let mut value = || List::<Str<'_>>::decode(&mut inner);
        if bounded(before, &mut value).is_ok() {
            assert!(inner.remaining() <= before);
        }
    }

    // With a limit nothing longer comes out.
    let limit = usize::from(data.first().copied().unwrap_or_default());
    if let Ok(Some(bytes)) = Reader::with_limit(data, limit).buffer() {
        assert!(bytes.len() <= limit);
    }
});
