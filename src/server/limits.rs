//! Every bound of the server's drivers, in one place. The core's are in `zk_core::limits`, the
//! disk's in `zk_disk`; docs/architecture.md adds them up.

use std::time::Duration;

/// Bytes read from a socket at once, into a buffer that all connections of a thread share.
pub const READ_CHUNK: usize = 64 << 10;

/// Bytes of frames of one connection whose requests wait for their reply; past it the socket is not
/// read.
pub const CONN_IN_BYTES: usize = 16 << 20;

/// Accept backlog where none is configured, the JVM's.
pub const DEFAULT_BACKLOG: i32 = 50;

/// Bytes of rows that may wait for the store; past it no write is applied.
pub const DIRTY_BYTES: usize = 256 << 20;

/// Emptied batches of rows that are kept to be filled again.
pub const SPARE_BATCHES: usize = 4;

/// A batch of more than this many bytes is not kept.
pub const KEEP_BATCH: usize = 1 << 20;

/// Rows that one exclusive hold of the tree installs while it is being loaded.
pub const INSTALL_ROWS: usize = 512;

/// Longest sleep of the core between ticks, so that clock jumps of a suspended machine show.
pub const CORE_SLEEP: Duration = Duration::from_millis(500);

/// What the limit of open files is raised to, if the system allows it.
pub const OPEN_FILES: u64 = 1 << 20;

/// Below this many the start warns.
pub const FEW_FILES: u64 = 1 << 14;
