//! Every bound of the ensemble stories: waits, sizes, rates.

use std::time::Duration;

/// `tickTime` of every member, ms.
pub const TICK_MS: u32 = 250;
/// `initLimit`, ticks: a machine that compiles something beside must not fail a story.
pub const INIT_LIMIT: u32 = 60;
/// `syncLimit`, ticks.
pub const SYNC_LIMIT: u32 = 12;
/// `syncLimit` as time: after it a leader without a quorum has stepped down.
pub const SYNC_TIME: Duration = Duration::from_millis(TICK_MS as u64 * SYNC_LIMIT as u64);
/// Longest wait for a condition of the whole ensemble: a role, equal zxids, a finished sync.
pub const SETTLE: Duration = Duration::from_secs(60);
/// How far a node's time may be from its leader's clock: the machine is slow, clocks are hours apart.
pub const CLOCK_ERROR: Duration = Duration::from_secs(60);
/// How long two servers of one id are there at least.
pub const TWIN_TIME: Duration = Duration::from_secs(3);
/// Longest wait for a member that was told to stop.
pub const STOP: Duration = Duration::from_secs(20);
/// Pause between two looks at what nothing announces.
pub const POLL: Duration = Duration::from_millis(15);
/// Longest silence of a tapped socket before its pump looks at the tap's orders.
pub const TAP_POLL: Duration = Duration::from_millis(20);
/// How long a tap tries to reach the leader's port: a learner may dial before the leader listens.
pub const TAP_DIAL: Duration = Duration::from_millis(1500);
/// Largest string or buffer that a tap takes for sane.
pub const TAP_FIELD: i32 = 4 << 20;
/// Session timeout of the load's clients, ms.
pub const SESSION_MS: i32 = 8_000;
/// Longest wait of a client for its handshake: a paused server accepts and never answers.
pub const HANDSHAKE: Duration = Duration::from_secs(3);
/// Pause of a client that no server took, as every client has one.
pub const REDIAL: Duration = Duration::from_millis(20);
/// Clients of the load.
pub const CLIENTS: usize = 3;
/// Requests of one client that may be outstanding.
pub const WINDOW: usize = 8;
/// Writes that one client sends at a time, so that servers see them in a pipeline.
pub const BURST: usize = 4;
/// Writes that one client begins in a second at most.
pub const RATE: u64 = 120;
/// Sets that carry every server past a multiple of 128, the zxids that `hash` prints.
pub const SETTLE_WRITES: usize = 130;
/// Requests outstanding while a tree is read.
pub const WALK_WINDOW: usize = 64;
/// Lines of a member's log that come with a failure.
pub const LOG_TAIL: usize = 25;
/// Free loopback networks that are tried for a run.
pub const NETWORKS: u8 = 200;
/// Longest wait for a member's port to take a connection.
pub const DIAL: Duration = Duration::from_secs(1);
/// Size of a member's disk in the story that fills it.
pub const DISK_KIB: u32 = 32 << 10;
/// Folders of the tree that is large beside a log.
pub const LARGE_FOLDERS: usize = 50;
/// Nodes below them.
pub const LARGE_NODES: usize = 15_000;
/// Bytes of each.
pub const LARGE_BYTES: usize = 4_000;
