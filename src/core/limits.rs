//! Every bound of the core, in one place.

/// Longest frame that a client may send unless `jute.maxbuffer` says otherwise, in bytes.
pub const FRAME_BYTES_DEFAULT: usize = 0xF_FFFF;

/// Requests of one connection that may wait in its slots; past it the socket is not read.
pub const CONN_SLOTS: usize = 4_096;

/// Bytes of replies and events that may wait for one client's socket while it is not reading.
/// Past it no further request of that connection is taken; an event past twice this bound ends
/// the connection.
pub const CONN_OUT_BYTES: usize = 4 << 20;

/// Transactions applied in one exclusive hold of the tree, counted in visited nodes.
pub const APPLY_VISITS: usize = 4_096;

/// Bytes of paths that a tree remembers to be absent because somebody asked, while it is being
/// loaded. Past it they are forgotten, and looked up again when they are needed: a client that
/// asks for nodes that do not exist must not fill the memory. One frame's paths fit many times.
pub const ABSENT_BYTES: usize = 16 << 20;

/// Nodes on the way to one path that are looked up at once while the tree is being loaded: a path
/// may have half a million elements.
pub const LOAD_DEPTH: usize = 32;

/// Rows that are asked for at once when a request names several that are not resident.
pub const MISSING_AT_ONCE: usize = 1_024;

/// Records behind one that misses rows that are looked through for what they will miss.
pub const LOOK_AHEAD: usize = 256;

/// The last counter of an epoch's zxids: the one after it would run into the epoch.
pub const LAST_COUNTER: u32 = u32::MAX - 1;

/// Digests kept for the `hash` command: one for every [`DIGEST_LOG_INTERVAL`] transactions.
pub const DIGEST_LOG_ENTRIES: usize = 1_024;

/// Every how many transactions the tree's digest is noted.
pub const DIGEST_LOG_INTERVAL: i64 = 128;

/// Largest time to live of a TTL znode, in milliseconds (40 bits).
pub const TTL_MAX_MS: i64 = 0xFF_FFFF_FFFF;

const _: () = assert!(CONN_OUT_BYTES > FRAME_BYTES_DEFAULT);
const _: () = assert!(ABSENT_BYTES > 2 * FRAME_BYTES_DEFAULT);

/// Transactions of a leader that find another tree, one behind the other and from the first on,
/// before a learner takes its own for that of another ensemble. One or two may be predicted wrongly.
pub const FOREIGN_TXNS: usize = 3;
