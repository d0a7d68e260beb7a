//! Every bound of this crate, in one place, with the reason for each figure.
//!
//! Sizes are bytes unless a name says otherwise. A bound that an operator may move is only the
//! default here; the option that carries it says so.

/// Largest payload a log record can declare: its length is a signed 32-bit number.
pub const MAX_PAYLOAD: usize = i32::MAX as usize;

/// How far behind the first damaged byte a record of the same unfinished write can lie. One write
/// holds what was queued while the previous fsync ran, so the log thread must sync before its
/// batch passes this: [`crate::log::Writer::append`] refuses more.
pub const MAX_BATCH: usize = 64 << 20;

/// The write buffer keeps its memory between batches up to this size.
pub const KEEP_BUFFER: usize = 1 << 20;

/// Read size of log scans and of the reader. A longer record is read in one piece.
pub const READ_CHUNK: usize = 1 << 20;

/// A new segment is begun once the present one has this size: small enough for purge to follow
/// the DIFF window closely, large enough that a roll's three syncs do not show.
pub const SEGMENT_SIZE: u64 = 64 << 20;

/// Default of `preAllocSize`, as in Java (65536 KiB).
pub const PREALLOC: u64 = 64 << 20;

/// Space between the end of the records and the end of the file below which the file grows, as in
/// Java.
pub const PREALLOC_MARGIN: u64 = 4096;

/// Smallest unit that a disk writes whole: what a power cut may lose separately.
pub const SECTOR: usize = 512;

/// Write-behind: the oldest dirty row waits no longer than this before it is written.
pub const WRITE_AFTER_MS: u64 = 200;

/// Write-behind: a batch is written once it holds this much.
pub const WRITE_BYTES: usize = 16 << 20;

/// Write-behind: a flush is due once this much log was written since the last one, so that the
/// replay after a crash stays short.
pub const FLUSH_LOG_BYTES: u64 = 32 << 20;

/// Write-behind: a flush is due once unflushed rows are this old.
pub const FLUSH_AFTER_MS: u64 = 2_000;

/// Dirty rows, merged and not yet written: when they reach this the store has fallen behind (or
/// cannot write), and new writes must wait.
pub const DIRTY_BYTES: usize = 64 << 20;

/// DIFF window, transactions: log kept for learners that fell behind.
pub const DIFF_WINDOW_TXNS: u64 = 1_000_000;

/// DIFF window, bytes of log; whichever of the two is less.
pub const DIFF_WINDOW_BYTES: u64 = 512 << 20;

/// RocksDB: block cache. The hot tree is the cache of nodes; this one only serves compaction's
/// neighbours and cold loads.
pub const BLOCK_CACHE: usize = 8 << 20;

/// RocksDB: one memtable of the node column family.
pub const NODE_WRITE_BUFFER: usize = 16 << 20;

/// RocksDB: memtables of the other column families.
pub const OTHER_WRITE_BUFFER: usize = 4 << 20;

/// RocksDB: memtables of all column families together; beyond it the fullest is flushed. Writes wait
/// when a family has a second full one, so there are never more than twice its write buffer.
pub const ALL_WRITE_BUFFERS: usize = 32 << 20;

/// RocksDB: table files held open.
pub const OPEN_TABLES: i32 = 256;

/// RocksDB: bytes that a scan reads ahead.
pub const SCAN_READAHEAD: usize = 256 << 10;

/// RocksDB: bytes that a compaction reads ahead of each table, and that it holds back of each table
/// that it writes. RocksDB's own figures are eight and four times as much, and the C library does
/// not give back what it once had.
pub const COMPACTION_BUFFER: usize = 256 << 10;

/// RocksDB: a table is handed to the disk whenever this much of it was written. Otherwise all of it
/// goes at once when it is synced, 32 MiB, and the log's fsync waits behind it.
pub const TABLE_SYNC: u64 = 512 << 10;

/// RocksDB: bytes a second that flushes and compactions write at most where others share the disk.
/// Three servers, 2,000 sets a second: while a compaction runs 99 of 100 writes took 45 to 310 ms
/// without a bound, 41 ms with [`TABLE_SYNC`] alone, 8 to 14 ms with 64 MiB and no less with 32. A
/// load of 70,000 creates a second needs some 55 MiB.
pub const GENTLE_RATE: i64 = 64 << 20;

/// RocksDB: microseconds for which that rate is given out at once.
pub const GENTLE_REFILL_US: i64 = 10_000;

/// A file that is read whole (epochs, `myid`, the pointer to the store, texts of the
/// configuration) has at most this many bytes.
pub const SMALL_FILE: u64 = 1 << 20;

/// Sending a store to another server: the tree is handed out in pieces of this size, or of one row
/// when it is larger.
pub const SNAP_PIECE: usize = 64 << 10;

/// Taking a store over from another server: rows are written when a batch holds this much. A batch
/// is held three times while it is written, beside a server that may hold its old tree.
pub const INSTALL_BATCH: usize = 4 << 20;

/// Taking a store over from another server: this many parents are counted between two writes.
pub const INSTALL_PARENTS: usize = 4096;

/// Taking a store over from another server: whoever lets others go first is asked to after so many
/// rows, a fraction of a millisecond.
pub const INSTALL_STEP: u64 = 512;

const _: () = assert!(
    WRITE_BYTES <= NODE_WRITE_BUFFER,
    "one batch must fit a memtable"
);
const _: () = assert!(
    WRITE_BYTES < DIRTY_BYTES,
    "a batch is written before writers wait"
);
const _: () = assert!(
    NODE_WRITE_BUFFER < ALL_WRITE_BUFFERS,
    "one fills while one is flushed"
);
const _: () = assert!(
    PREALLOC_MARGIN < PREALLOC,
    "growing must take the end out of the margin"
);
