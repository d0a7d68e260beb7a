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

/// How often a client port is tried again that a reconfiguration wants and that cannot be bound.
pub const REBIND_EVERY: Duration = Duration::from_secs(1);

/// Below this many the start warns.
pub const FEW_FILES: u64 = 1 << 14;

/// Longest line of a server of `zabkeeper ensemble` that is passed on whole.
pub const ENSEMBLE_LINE_BYTES: u64 = 64 << 10;

/// Servers of `zabkeeper ensemble`, at most.
pub const ENSEMBLE_SERVERS: u16 = 9;

/// How long `zabkeeper ensemble` waits for its servers to end before it kills them.
pub const ENSEMBLE_STOP: Duration = Duration::from_secs(30);

/// Between two looks at the oracle's file.
pub const ORACLE_PAUSE: Duration = Duration::from_millis(100);

/// Least time that a member looks for a leader before it serves read-only, as in Java;
/// `tickTime` if that is longer.
pub const READ_ONLY_AFTER_MS: i64 = 2_000;

/// Bytes that may wait to be sent to one learner, or to the leader. A link that has more is closed:
/// its other end does not read.
pub const LINK_QUEUE_BYTES: usize = 64 << 20;

/// Bytes of packets of one link that the core has not judged yet; past it the link is not read.
pub const LINK_IN_BYTES: usize = 16 << 20;

/// Room that a link is read into at once.
pub const LINK_READ_CHUNK: usize = 128 << 10;

/// With less room than this left a link gets a new chunk.
pub const LINK_READ_LEAST: usize = 16 << 10;

/// Buffers that one write to a link hands over.
pub const LINK_WRITE_SLICES: usize = 64;

/// A packet for several links is shared from this many bytes on, and copied below.
pub const SHARE_BYTES: usize = 4 << 10;

/// Accepted links of the quorum port at once; one more is refused.
pub const QUORUM_LINKS: usize = 1_024;

/// Bytes that a stream lets wait on its link.
pub const STREAM_WINDOW: usize = 2 << 20;

/// Bytes that a stream hands to its link at once.
pub const STREAM_BLOCK: usize = 64 << 10;

/// Work that a record is counted as beside its bytes, by whoever paces what takes long. To log,
/// acknowledge and apply one takes a learner as long as to install 700 bytes of rows.
pub const RECORD_WORK: u64 = 700;

/// Work a second that is done beside writes whatever their number: 1 million znodes of 100 bytes in
/// some 12 s, or 19,000 transactions a second, with a fifth of a processor at either end.
pub const PACE_FLOOR: u64 = 16 << 20;

/// What takes long gets at least so many times as much done as the log is given.
pub const PACE_FACTOR: u64 = 4;

/// Work of the pieces in which the log is read back for the core: some 10 ms of its time at most.
pub const FEED_PIECE: u64 = 256 << 10;

/// Over so long it is measured what the log takes.
pub const LOAD_WINDOW: Duration = Duration::from_millis(250);

/// Without a write for so long, a server is quiet.
pub const LOAD_QUIET: Duration = Duration::from_secs(1);

/// Behind each stretch of work that can wait, a pause so many times as long: a third of a processor.
pub const SHARE_PAUSE: u32 = 2;

/// That pause is no longer than this: such a stretch was no work but waiting, for a disk that is read
/// the first time or for a processor.
pub const SHARE_PAUSE_MOST: Duration = Duration::from_millis(5);

/// Reads of a starting server that are followed by a pause: of at least so many bytes.
pub const GENTLE_READ: usize = 64 << 10;

/// Streams that are read from the disk at once; more wait. Beside writes each of them rests most of
/// the time.
pub const STREAM_THREADS: usize = 4;

/// Blocks of a snapshot that may wait to be taken, of at most [`LINK_READ_CHUNK`] bytes each and
/// what one read adds.
pub const INSTALL_BLOCKS: usize = 8;

/// How often it is said that bytes move on a link that is in the middle of something long.
pub const HEARD_EVERY: Duration = Duration::from_millis(100);

/// Connections of the election port whose first message has not come; one more ends the oldest.
pub const HANDSHAKES: usize = 64;

/// Servers outside the configurations that the election port keeps anything of.
pub const OUTSIDERS: usize = 64;

/// Bytes of notifications of one server that the core has not judged yet; past it the connection is
/// not read.
pub const ELECTION_IN_BYTES: usize = 1 << 20;

/// How long a server with a larger id has to call back.
pub const CALL_BACK: Duration = Duration::from_millis(500);

/// How often it is said of one id that two servers seem to have it.
pub const TWIN_EVERY: Duration = Duration::from_secs(60);

/// How often it is said that trees differ from their transactions; all are counted.
pub const MISMATCH_EVERY: Duration = Duration::from_secs(10);

/// Pause between two tries to bind the election port (Java's).
pub const BIND_PAUSE: Duration = Duration::from_secs(1);

/// Pause after an accept that failed: out of descriptors, or a peer that had gone.
pub const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Backlog of the ports between servers.
pub const PEER_BACKLOG: i32 = 128;

/// Threads that resolve names of servers.
pub const RESOLVERS: usize = 16;
