//! What fuzz targets of decoders share: memory that is bounded by the input, and the promise that
//! what was decoded comes back when it is encoded and decoded again.

use std::alloc::System;

use cap::Cap;

#[global_allocator]
static ALLOCATOR: Cap<System> = Cap::new(System, usize::MAX);

/// Bytes that decoding may have allocated at any time, for each byte of input. The worst is a
/// vector of unknown length that grows, and is there twice while it is moved: a delete among the
/// results of a multi takes 9 bytes, and its value over 100.
const BYTES_PER_BYTE: usize = 48;

/// What may be allocated whatever the input is.
const BYTES_AT_LEAST: usize = 1 << 12;

/// Runs a decoder over an input of `length` bytes, and aborts if it allocates more than a small
/// multiple of that.
pub fn bounded<T>(length: usize, decode: impl FnOnce() -> T) -> T {
    bounded_by(BYTES_PER_BYTE, length, decode)
}

/// The same, with a multiple that is the target's own.
pub fn bounded_by<T>(factor: usize, length: usize, decode: impl FnOnce() -> T) -> T {
    let limit = ALLOCATOR.allocated() + BYTES_AT_LEAST + factor * length;
    ALLOCATOR
        .set_limit(limit)
        .expect("a limit above what is allocated");
    let value = decode();
    ALLOCATOR.set_limit(usize::MAX).expect("no limit");
    value
}

/// Whether bytes hold a surrogate as Java writes it. Java (and so we) cannot read back what it
/// writes for a character above U+FFFF, so equality is not to be asked for.
pub fn has_surrogate(bytes: &[u8]) -> bool {
    bytes
        .windows(2)
        .any(|pair| matches!(pair, [0xED, 0xA0..=0xBF]))
}

/// Decodes the front of `$data` as each type; what can be decoded must encode to exactly its size
/// and come back equal, leaving nothing.
#[macro_export]
macro_rules! round_trip {
    ($data:expr; $($record:ty),* $(,)?) => {$({
        use jute::{Decode, Encode, Reader};
        let data: &[u8] = $data;
        let mut r = Reader::new(data);
        if let Ok(value) = $crate::bounded(data.len(), || <$record>::decode(&mut r)) {
            assert!(r.position() >= <$record as Decode>::MIN, "{value:?} takes at least MIN");
            let bytes = value.to_vec();
            assert_eq!(bytes.len(), value.size(), "{value:?}");
            let mut again = Reader::new(&bytes);
            let back = <$record>::decode(&mut again).expect("what was encoded");
            assert_eq!(again.remaining(), 0, "{value:?}");
            if !$crate::has_surrogate(&bytes) {
                assert_eq!(back, value);
            }
        }
    })*};
}
