//! Texts: the grammar of configuration files, the words that are commands, and the order of lines
//! that come from Java's hash tables.
//!
//! Owns: grammar and order. Does not know: which keys there are or what a command prints.

pub mod four_letter;
pub mod hash_order;
pub mod java;
pub mod properties;

pub use four_letter::FourLetterWord;
