//! Comparisons of this project's server with Apache ZooKeeper and its clients.
//!
//! Owns: the differential runner (`differential`), the invariant checks under free interleaving
//! (`free`), and the small raw client under both (`raw`, `conn`, `servers`).
//!
//! Does not know: the insides of any server. Everything here talks to sockets.

pub mod conn;
pub mod differential;
pub mod free;
pub mod limits;
pub mod raw;
pub mod servers;
