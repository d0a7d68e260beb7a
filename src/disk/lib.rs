//! Durable things: the transaction log, the store, and the directory that holds both.
//!
//! Owns every byte that outlives the process. Does not know sockets, roles, clocks or threads:
//! time is an argument, the server's log, persist and load threads call in. What a transaction
//! does is core's; how it is laid out in the log is wire's.
//!
//! The map: [`files`] is the disk, [`model`] one that forgets; [`log`] is the write-ahead log;
//! [`store`] the write-behind copy of the tree, with `rocks` the real one; [`persist`] says when
//! to write and flush it; [`purge`] what of the log may go; [`directory`] whether a start may
//! trust what it finds; [`base`] which store is the store, [`snap`] how it is sent to
//! another server, and [`install`] how another server's takes its place; [`epochs`], [`myid`],
//! [`dynamic`] and [`members`] the files that an ensemble adds.
//!
//! Invariants: nothing is durable before the sync that makes it so returned; what cannot be read
//! without doubt is refused with what was found and what to do, never guessed.

pub mod base;
pub mod directory;
pub mod dynamic;
pub mod epochs;
pub mod error;
pub mod files;
pub mod install;
pub mod limits;
pub mod log;
pub mod members;
pub mod model;
pub mod myid;
pub mod persist;
pub mod purge;
#[cfg(feature = "rocksdb")]
pub mod rocks;
mod small;
pub mod snap;
pub mod store;

pub use error::{Corrupt, Error, Result};
