//! Why bytes could not be decoded.

use core::fmt;

/// Why bytes could not be decoded. `at` is the offset, in bytes from the start of the input, of
/// the field concerned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Error {
    /// The input ends before the field does.
    Eof {
        /// Offset of the field (for strings, buffers and vectors: of what follows the length).
        at: usize,
        /// Bytes that are missing, at the least.
        need: usize,
    },
    /// A string or buffer states a length below -1 or above the reader's limit.
    Length {
        /// Offset of the length.
        at: usize,
        /// The length stated.
        length: i32,
    },
    /// A field that selects what follows (a type, a magic number) has a value nobody defined.
    Value {
        /// Offset of the field.
        at: usize,
        /// The value found.
        value: i32,
    },
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Error::Eof { at, need } => {
                write!(f, "input ends at offset {at}: {need} more bytes needed")
            }
            Error::Length { at, length } => {
                write!(f, "unreasonable length {length} at offset {at}")
            }
            Error::Value { at, value } => write!(f, "undefined value {value} at offset {at}"),
        }
    }
}

impl core::error::Error for Error {}
