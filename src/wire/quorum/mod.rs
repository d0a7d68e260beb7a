//! What the servers of an ensemble say to each other.
//!
//! Owns: the formats. Does not know: who says what to whom, and when.

pub mod config;
