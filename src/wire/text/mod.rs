//! Texts: the grammar of configuration files, and the words that are commands.
//!
//! Owns: grammar. Does not know: which keys there are or what a command prints.

pub mod four_letter;
pub mod properties;

pub use four_letter::FourLetterWord;
