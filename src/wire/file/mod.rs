//! The files of a data directory: transaction logs, snapshots, epochs, and their names; and the
//! configuration files that a server writes itself.
//!
//! Owns: the bytes of the files. Does not know: the file system, when a file is made or removed,
//! what a transaction does.

pub mod dynamic;
pub mod epoch;
pub mod name;
pub(crate) mod sections;
pub mod snapshot;
pub mod txn_log;

use jute::record;

record! {
    /// Opens every log and every snapshot.
    #[derive(Copy)]
    pub struct FileHeader {
        /// Four letters that name the kind of file.
        pub magic: i32,
        /// Of the format.
        pub version: i32,
        /// 0 in logs, -1 in snapshots.
        pub dbid: i64,
    }
}
