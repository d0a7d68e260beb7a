//! Every format that ZooKeeper writes or sends, in one place.
//!
//! Owns: the records of the client and of the quorum protocol, transactions (the body of a
//! proposal and the payload of a log record are the same bytes), the files of a data directory,
//! and the texts of configuration and four-letter words; with the numbers that name operations
//! and errors.
//!
//! Does not know: what an operation does, sockets, files, time. Everything here turns bytes into
//! values and back.
//!
//! Invariants: those of [`jute`]: no input panics, lengths are never trusted for allocation, null
//! and empty differ, and every record encodes to exactly its size, with the bytes of Java's
//! 3.9.5 classes (`fixtures/`, `tests/golden.rs`).
#![no_std]

extern crate alloc;

pub mod client;
pub mod code;
pub mod digest;
pub mod file;
mod limits;
pub mod op;
pub mod password;
pub mod quorum;
pub mod stat;
pub mod text;
pub mod txn;

pub use code::Code;
pub use limits::*;
pub use op::OpCode;
