//! Frames: a four-byte length, then that many bytes.
//!
//! Owns: where a frame begins and ends. Does not know: what is in it, or that the first four
//! bytes of a connection may be a [four-letter word](crate::text::four_letter) instead.

use core::ops::Range;

/// Bytes of the length in front of a frame.
pub const PREFIX: usize = 4;

/// The first frame of some received bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cut {
    /// Not all of it is here; with this many bytes in all there may be more to say.
    Incomplete(usize),
    /// Where its content is; `range.end` is where the next frame begins.
    Frame(Range<usize>),
    /// The length is negative or above the maximum; known before any of the content is here.
    Bad(i32),
}

/// Finds the first frame of `input`, of at most `max` bytes (Java's `jute.maxbuffer`) without its
/// length.
pub fn cut(input: &[u8], max: usize) -> Cut {
    let Some(prefix) = input.first_chunk::<PREFIX>() else {
        return Cut::Incomplete(PREFIX);
    };
    let stated = i32::from_be_bytes(*prefix);
    match usize::try_from(stated) {
        Ok(length) if length <= max => {
            let end = PREFIX + length;
            if input.len() < end {
                Cut::Incomplete(end)
            } else {
                Cut::Frame(PREFIX..end)
            }
        }
        _ => Cut::Bad(stated),
    }
}

/// Begins a frame whose length is not known yet; what is appended after this is its content.
/// Give the result to [`finish`].
pub fn begin(out: &mut alloc::vec::Vec<u8>) -> usize {
    let start = out.len();
    out.extend_from_slice(&[0; PREFIX]);
    start
}

/// Ends the frame begun at `start`: its content is everything since.
///
/// # Panics
/// When no frame was begun there, or the content is longer than 2^31-1 bytes.
pub fn finish(out: &mut [u8], start: usize) {
    let length = i32::try_from(out.len() - start - PREFIX).expect("a frame fits 31 bits");
    out[start..start + PREFIX].copy_from_slice(&length.to_be_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn length_decides() {
        assert_eq!(cut(b"", 10), Cut::Incomplete(4));
        assert_eq!(cut(&[0, 0, 0], 10), Cut::Incomplete(4));
        assert_eq!(cut(&[0, 0, 0, 0], 10), Cut::Frame(4..4));
        assert_eq!(cut(&[0, 0, 0, 2, 7], 10), Cut::Incomplete(6));
        assert_eq!(cut(&[0, 0, 0, 2, 7, 8, 9], 10), Cut::Frame(4..6));
        assert_eq!(cut(&[0, 0, 0, 10], 10), Cut::Incomplete(14));
        assert_eq!(cut(&[0, 0, 0, 11], 10), Cut::Bad(11));
        assert_eq!(cut(&[0xff, 0xff, 0xff, 0xff], 10), Cut::Bad(-1));
    }

    #[test]
    fn what_is_built_is_cut() {
        let mut out = alloc::vec![9];
        let start = begin(&mut out);
        out.extend_from_slice(b"abc");
        finish(&mut out, start);
        assert_eq!(out, [9, 0, 0, 0, 3, b'a', b'b', b'c']);
        assert_eq!(cut(&out[1..], 3), Cut::Frame(4..7));
    }
}
