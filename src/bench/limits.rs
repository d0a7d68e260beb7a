//! Every bound of the generator.

use std::time::Duration;

/// Bytes read from a socket at once.
pub const READ_CHUNK: usize = 256 * 1024;

/// The longest frame that a server may send; more is taken for a broken stream.
pub const MAX_FRAME: usize = 64 * 1024 * 1024;

/// Sessions that are being opened at the same time. Java listens with a backlog of 50: more would
/// have connection attempts dropped and tried again after a second.
pub const OPENING: usize = 32;

/// How long one session may take to open.
pub const OPEN_TIMEOUT: Duration = Duration::from_secs(30);

/// How long the replies still outstanding may take after the last request.
pub const DRAIN_TIMEOUT: Duration = Duration::from_secs(60);

/// Sessions that share a source address of 127.0.0.0/8; less than Java's default of 60 connections
/// for one address.
pub const SESSIONS_PER_SOURCE: usize = 50;

/// How often the engine looks at pings and time-outs.
pub const TICK: Duration = Duration::from_millis(100);

/// How often a server's CPU time is looked at while waiting for it to go idle.
pub const SETTLE_POLL: Duration = Duration::from_millis(250);

/// A server is idle when it used less than this share of one core over the whole window; several
/// are together idle below the sum.
pub const SETTLE_SHARE: f64 = 0.02;

/// The window above for loads that write: longer than the seconds between two flushes of a
/// write-behind store, so that the last one is waited for.
pub const SETTLE_WINDOW_WRITES: Duration = Duration::from_secs(3);

/// The window for loads that only read.
pub const SETTLE_WINDOW_READS: Duration = Duration::from_secs(1);

/// File descriptors that are not sockets of sessions.
pub const SPARE_FILES: u64 = 64;

/// Bytes of pseudo-random text that the data of znodes are cut from.
pub const FILLER: usize = 64 * 1024;

/// Kinds of errors and of wrong answers that are told apart in a report.
pub const ERROR_KINDS: usize = 32;

/// Requests in flight while keys are made, checked or removed, over all sessions.
pub const BULK_OUTSTANDING: usize = 512;

/// Sockets looked at in one wakeup.
pub const EVENTS: usize = 1024;
