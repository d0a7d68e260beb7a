//! Every bound of the simulator, in one place.

/// Clients of one run at most.
pub const CLIENTS: usize = 6;

/// Requests that a client has under way at most before it waits.
pub const OUTSTANDING: usize = 24;

/// Frames that a client sends in one go at most.
pub const BURST: usize = 8;

/// Paths that a client remembers of the sequential nodes it made.
pub const REMEMBERED: usize = 8;

/// Rounds after which a server that has not come to rest never will.
pub const REST_ROUNDS: usize = 20_000;

/// Starts in a row that may fail for the faults that are set.
pub const FAILED_STARTS: usize = 8;

/// Lines of the trace that a failure shows.
pub const TAIL: usize = 150;

/// Clients of an ensemble at most.
pub const CLUSTER_CLIENTS: usize = 5;

/// Operations of an ensemble's clients at least, while there are faults.
pub const CLUSTER_OPS: usize = 220;

/// Ticks within which an ensemble without faults must serve everybody.
pub const LIVELINESS_TICKS: i64 = 400;

/// Events of one run at most: one that goes on without an end is a failure.
pub const CLUSTER_EVENTS: u64 = 3_000_000;
