//! The server: the threads, sockets and files around the deterministic core.
//!
//! Owns: wiring, start and stop, the client port, the operator's words and metrics. It does not
//! know what an operation does, nor what a node is: `zk_core` decides, `zk_disk` keeps.
//!
//! Threads: the core (sole writer of the tree), the log (group commit), the store (write-behind),
//! the loader (rows that are not resident), and tokio's workers (a task per connection).

pub mod boot;
pub mod client;
pub mod clock;
pub mod core_loop;
pub mod data;
pub mod ensemble;
pub mod gate;
pub mod limits;
pub mod loads;
pub mod local_ensemble;
pub mod log_thread;
pub mod member;
pub mod ops;
pub mod pace;
pub mod peer;
pub mod persist;
pub mod process;
pub mod queue;
pub mod serving;
pub mod stats;
pub mod version;
