//! Leader election and atomic broadcast (Zab 1.0), without IO: what a server says to its peers,
//! and which transactions are committed.
//!
//! It replicates payloads that it does not read, but for reconfigurations. It does not know the
//! tree, sessions, clients, files, sockets, threads or clocks.
#![no_std]
#![forbid(unsafe_code)]

pub mod ids;

pub use ids::{Now, Zxid};
