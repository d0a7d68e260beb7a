//! The transaction log: Java's files, written in groups, read from any zxid, cut after any zxid.
//!
//! A log is the segments `log.<hex>` of one folder, each named for the zxid of its first record.
//! Owns their names, the writer, the reader and the judgement of what a crash left. Does not know
//! what a record says beyond its zxid, who asked for it, or when to purge.
//!
//! Invariants:
//! - A zxid is reported durable after the fsync of its bytes and, for a new segment, of its
//!   folder; never before.
//! - A write or fsync that failed is never tried again: the writer is closed for good.
//! - A batch lies in one segment, and a segment is complete on disk before the next exists, without
//!   fsync (`forceSync=no`) too.
//! - Scanning changes nothing; [`repair`] changes only what the scan has judged.

mod contents;
mod frame;
mod late;
mod mark;
mod pins;
mod reader;
mod recover;
mod segment;
pub mod staged;
mod truncate;
mod writer;

pub use contents::LogContents;
pub use frame::{checksum, follows};
pub use late::LateSync;
pub use mark::Mark;
pub use pins::{Pin, PinnedReader, Pins};
pub use reader::{Reader, Record};
pub use recover::{Probe, Recovered, ScanOptions, Torn, repair, scan};
pub use segment::{Segment, list};
pub use staged::Staged;
pub use truncate::{Cut, truncate};
pub use writer::{Options, Writer};
