//! Every bound of the quorum layer.

/// Payloads of committed transactions that a leader keeps, bytes: a learner that has caught up to
/// here with the log is handed over to the live stream from memory.
pub const WINDOW_BYTES: usize = 32 << 20;

/// Payloads that a server keeps while it reads the log back to feed its tree, bytes; behind that
/// they are read again.
pub const FEED_BYTES: usize = 16 << 20;

/// Bytes of the log that are asked for at once to feed the tree.
pub const FEED_READ_BYTES: u64 = 4 << 20;

/// Learners of one leader at once, those under way included.
pub const LEARNERS_MAX: usize = 1_024;

/// Votes that wait to be judged while an election is not under way, at most: each sender's last
/// one is enough.
pub const VOTES_MAX: usize = 1_024;

/// Values of one kind that are kept for metrics until somebody takes them; more are not counted.
pub const SAMPLES_MAX: usize = 1_024;

/// Tries of a learner to reach its leader (Java's number).
pub const DIAL_TRIES: u32 = 5;

/// How long a learner waits behind its first dial, which may come before the leader listens,
/// milliseconds; twice as long behind each further one, up to the operator's pause.
pub const DIAL_FIRST_PAUSE_MS: i64 = 10;

/// How far the wall clocks of a leader and a learner may be apart before that is told, milliseconds,
/// beside the time that a proposal may be on its way.
pub const CLOCKS_APART_MS: i64 = 60_000;

/// How often it is told of one id that two servers have it, milliseconds.
pub const TWIN_TOLD_MS: i64 = 10_000;

/// A learner that has not come to serve after so long has not failed at once, milliseconds.
pub const AT_ONCE_MS: i64 = 500;

/// How often in a row a learner may fail at once before it waits.
pub const AT_ONCE_MAX: u32 = 4;

/// How long it waits then, milliseconds; twice as long each further time, up to
/// [`AT_ONCE_LONGEST_MS`].
pub const AT_ONCE_PAUSE_MS: i64 = 50;

/// The longest of these waits, milliseconds.
pub const AT_ONCE_LONGEST_MS: i64 = 1_000;

/// The largest epoch that is taken from a peer. An epoch counts elections: one beyond that is
/// garbage, and to promise it would leave none for the next leader.
pub const EPOCH_MAX: u32 = i32::MAX as u32 - 1;

/// The last counter of an epoch that a transaction gets. The one behind it would be the last that
/// fits, and Java leaves it out.
pub const COUNTER_MAX: u32 = 0xffff_fffe;

/// What is held back from one learner between NEWLEADER and UPTODATE, bytes; a learner that lets
/// more pile up is dropped.
pub const HELD_BYTES: usize = 64 << 20;

/// How many transactions a learner may lack in the log for the rest to be given from memory.
pub const HANDOFF_TXNS: u64 = 10_000;

/// What an observer master has passed on to its leader without an answer yet, at most: syncs and
/// sessions to be revalidated, its own among them.
pub const RELAYED_MAX: usize = 100_000;
