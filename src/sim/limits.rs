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
