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

/// Inputs that the core takes up before it applies what is durable.
pub const CORE_BATCH: usize = 512;

/// Log records that may wait for the log thread.
pub const LOG_QUEUE_BYTES: usize = 64 << 20;

/// Bytes of rows that may wait for the store; past it no write is applied.
pub const DIRTY_BYTES: usize = 256 << 20;

/// Rows that one exclusive hold of the tree installs while it is being loaded.
pub const INSTALL_ROWS: usize = 512;

/// How long a stop waits for connections, queues and the store.
pub const STOP_WAIT: Duration = Duration::from_secs(20);

/// Longest sleep of the core between ticks, so that clock jumps of a suspended machine show.
pub const CORE_SLEEP: Duration = Duration::from_millis(500);

/// What the limit of open files is raised to, if the system allows it.
pub const OPEN_FILES: u64 = 1 << 20;

/// Below this many the start warns.
pub const FEW_FILES: u64 = 1 << 14;
