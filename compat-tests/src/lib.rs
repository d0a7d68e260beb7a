//! Comparisons of this project's server with Apache ZooKeeper and its clients.
//!
//! Owns: the differential runner (`differential`), the invariant checks under free interleaving
//! (`free`), a tree as text (`tree_dump`), and the small raw client under all (`raw`, `conn`,
//! `servers`).
//!
//! Does not know: the insides of any server: everything in this library talks to sockets. Only the
//! binary `logcheck` uses the core, to apply logs to it.

pub mod conn;
pub mod differential;
pub mod free;
pub mod limits;
pub mod raw;
pub mod servers;
pub mod tree_dump;
