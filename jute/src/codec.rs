//! The two traits and the primitive types.

use alloc::borrow::Cow;
use alloc::vec::Vec;

use crate::{Buf, Error, List, Reader, Str, encode_text, encoded_text_len};

/// Something that can be read from bytes, borrowing from them.
pub trait Decode<'a>: Sized {
    /// The least number of bytes that any value takes.
    const MIN: usize;

    /// Reads one value.
    ///
    /// # Errors
    /// When the bytes are not those of a value; see [`Error`].
    fn decode(r: &mut Reader<'a>) -> Result<Self, Error>;
}

/// Something that can be written as bytes.
pub trait Encode {
    /// The number of bytes that [`encode`](Self::encode) appends.
    fn size(&self) -> usize;

    /// Appends the bytes.
    ///
    /// # Panics
    /// When a string, buffer or vector is longer than 2^31-1.
    fn encode(&self, out: &mut Vec<u8>);

    /// The bytes, in a vector of exactly that capacity.
    fn to_vec(&self) -> Vec<u8> {
        let size = self.size();
        let mut out = Vec::with_capacity(size);
        self.encode(&mut out);
        assert_eq!(out.len(), size, "size() and encode() disagree");
        out
    }
}

/// Appends a length or count.
///
/// # Panics
/// When it is above 2^31-1.
#[inline]
pub fn encode_len(length: usize, out: &mut Vec<u8>) {
    let length = i32::try_from(length).expect("a length fits 31 bits");
    out.extend_from_slice(&length.to_be_bytes());
}

/// Appends a buffer field.
///
/// # Panics
/// When it is longer than 2^31-1 bytes.
#[inline]
pub fn encode_buffer(bytes: &[u8], out: &mut Vec<u8>) {
    encode_len(bytes.len(), out);
    out.extend_from_slice(bytes);
}

const NULL: [u8; 4] = (-1i32).to_be_bytes();

macro_rules! number {
    ($($t:ty),*) => {$(
        impl Decode<'_> for $t {
            const MIN: usize = size_of::<$t>();
            #[inline]
            fn decode(r: &mut Reader<'_>) -> Result<Self, Error> {
                Ok(<$t>::from_be_bytes(r.array()?))
            }
        }
        impl Encode for $t {
            #[inline]
            fn size(&self) -> usize {
                size_of::<$t>()
            }
            #[inline]
            fn encode(&self, out: &mut Vec<u8>) {
                out.extend_from_slice(&self.to_be_bytes());
            }
        }
    )*};
}
number!(u8, i32, i64, f32, f64);

impl Decode<'_> for bool {
    const MIN: usize = 1;
    /// Any byte but zero is true.
    #[inline]
    fn decode(r: &mut Reader<'_>) -> Result<Self, Error> {
        Ok(u8::decode(r)? != 0)
    }
}

impl Encode for bool {
    #[inline]
    fn size(&self) -> usize {
        1
    }
    #[inline]
    fn encode(&self, out: &mut Vec<u8>) {
        out.push(u8::from(*self));
    }
}

impl<'a> Decode<'a> for Option<Cow<'a, str>> {
    const MIN: usize = 4;
    fn decode(r: &mut Reader<'a>) -> Result<Self, Error> {
        r.string()
    }
}

impl Encode for Str<'_> {
    fn size(&self) -> usize {
        4 + self.as_deref().map_or(0, encoded_text_len)
    }
    fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Some(text) => {
                encode_len(encoded_text_len(text), out);
                encode_text(text, out);
            }
            None => out.extend_from_slice(&NULL),
        }
    }
}

impl<'a> Decode<'a> for Buf<'a> {
    const MIN: usize = 4;
    fn decode(r: &mut Reader<'a>) -> Result<Self, Error> {
        r.buffer()
    }
}

impl Encode for Buf<'_> {
    fn size(&self) -> usize {
        4 + self.map_or(0, <[u8]>::len)
    }
    fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Some(bytes) => encode_buffer(bytes, out),
            None => out.extend_from_slice(&NULL),
        }
    }
}

impl<'a, T: Decode<'a>> Decode<'a> for List<T> {
    const MIN: usize = 4;
    fn decode(r: &mut Reader<'a>) -> Result<Self, Error> {
        r.list()
    }
}

impl<T: Encode> Encode for List<T> {
    fn size(&self) -> usize {
        4 + self.iter().flatten().map(Encode::size).sum::<usize>()
    }
    fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Some(items) => {
                encode_len(items.len(), out);
                for item in items {
                    item.encode(out);
                }
            }
            None => out.extend_from_slice(&NULL),
        }
    }
}
