//! Every bound of the comparisons: waits, sizes, counts.

use std::time::Duration;

/// Longest wait for a TCP connection on the loopback.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Longest wait for the next reply; a server that is silent for so long has lost the request.
pub const REPLY_TIMEOUT: Duration = Duration::from_secs(20);
/// Longest wait for the whole answer to a four-letter word.
pub const FOUR_LETTER_TIMEOUT: Duration = Duration::from_secs(10);
/// Longest wait for a started server to serve.
pub const START_TIMEOUT: Duration = Duration::from_secs(90);
/// Longest wait for a server that was told to stop.
pub const STOP_TIMEOUT: Duration = Duration::from_secs(20);
/// Longest wait for a session to expire on both servers.
pub const EXPIRY_TIMEOUT: Duration = Duration::from_secs(60);
/// Pause between two looks at a condition that nothing announces (start, expiry).
pub const POLL_PAUSE: Duration = Duration::from_millis(10);
/// Largest reply frame taken for sane: no node of a run comes near it.
pub const MAX_REPLY: usize = 64 << 20;
/// Largest request frame that a server with the default `jute.maxbuffer` takes.
pub const MAX_REQUEST: usize = 0xF_FFFF;
/// Requests between two looks at every connection, when events are collected lazily.
pub const DRAIN_EVERY: usize = 40;
/// Requests of one pipelined burst; far below Java's `globalOutstandingLimit` of 1000.
pub const MAX_BURST: usize = 48;
/// Longest hex dump in a mismatch, bytes.
pub const MAX_DUMP: usize = 600;
