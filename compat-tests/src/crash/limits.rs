//! Every bound of the crash tests.

use std::time::Duration;

/// Longest wait for a server to serve, replay included.
pub const START: Duration = Duration::from_secs(60);
/// Longest wait for a start to be refused.
pub const REFUSAL: Duration = Duration::from_secs(30);
/// Longest wait for a reply. Whoever waits longer has lost it.
pub const REPLY: Duration = Duration::from_secs(30);
/// Longest wait for a server to stop after SIGTERM. An operator's patience is shorter, but the
/// machine may be busy.
pub const STOP: Duration = Duration::from_secs(10);
/// Longest wait for sessions to expire, beyond their timeouts.
pub const EXPIRY: Duration = Duration::from_secs(20);
/// Longest wait for the moment of a kill.
pub const KILL_MOMENT: Duration = Duration::from_secs(6);
/// Longest wait for a full disk to end a server.
pub const FULL: Duration = Duration::from_secs(60);
/// Pause between two looks at a file or a port, which nothing announces.
pub const POLL: Duration = Duration::from_millis(2);
/// A client without replies for this long sends a ping, so that a slow fsync expires nobody.
pub const PING_AFTER: Duration = Duration::from_millis(250);
/// Requests in flight while a tree is read.
pub const READ_WINDOW: usize = 256;
/// Requests in flight while a tree is filled.
pub const FILL_WINDOW: usize = 512;
/// `tickTime` of all servers here, milliseconds: sessions expire after a timeout and a tick.
pub const TICK_MS: i32 = 100;
/// Ports that may turn out to be taken before a start gives up.
pub const PORTS: u32 = 5;
