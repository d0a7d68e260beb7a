//! Jute, the binary encoding of ZooKeeper, without generated code.
//!
//! Owns: how integers, booleans, strings, buffers, vectors and records become bytes and come
//! back. Decoding borrows from the input; encoding reserves the exact size once.
//!
//! Does not know: ZooKeeper. No record of it, no frame, no limit but the one a caller sets.
//!
//! Invariants:
//! - No input panics. A length is compared with what is there before anything is allocated for
//!   it, so decoding never reserves more than a small multiple of the input's own size.
//! - Null and empty are distinct for strings, buffers and vectors: `None` is the length -1.
//! - Text behaves as Java's does: malformed UTF-8 decodes to U+FFFD with Java's counts, and a
//!   character above U+FFFF is encoded as two surrogates of three bytes each (CESU-8).
//! - `value.to_vec().len() == value.size()`, always.
//!
//! ```
//! jute::record! {
//!     /// A named number.
//!     pub struct Entry<'a> {
//!         /// The name.
//!         pub name: jute::Str<'a>,
//!         /// The number.
//!         pub number: i64,
//!     }
//! }
//! use jute::{Decode, Encode, Reader};
//!
//! let bytes = Entry { name: Some("a".into()), number: 7 }.to_vec();
//! assert_eq!(bytes, [0, 0, 0, 1, b'a', 0, 0, 0, 0, 0, 0, 0, 7]);
//! let back = Entry::decode(&mut Reader::new(&bytes)).unwrap();
//! assert_eq!(back.number, 7);
//! ```
#![no_std]

extern crate alloc;

mod codec;
mod error;
mod limits;
mod reader;
mod record;
mod text;

use alloc::borrow::Cow;
use alloc::vec::Vec;

pub use codec::{Decode, Encode, encode_buffer, encode_len};
pub use error::Error;
pub use limits::MAX_LENGTH;
pub use reader::Reader;
pub use text::{decode_text, encode_text, encoded_text_len};

/// A string field. `None` is null (length -1), which is not the empty string.
pub type Str<'a> = Option<Cow<'a, str>>;

/// A buffer field. `None` is null (length -1), which is not the empty buffer.
pub type Buf<'a> = Option<&'a [u8]>;

/// A vector field. `None` is null (count -1). Any other negative count decodes as an empty
/// vector, as in Java.
pub type List<T> = Option<Vec<T>>;

/// What the expansion of [`record!`] names. Not part of the interface.
#[doc(hidden)]
pub mod __private {
    pub use alloc::vec::Vec;
}
