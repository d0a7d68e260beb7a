//! What an operator can set that the core acts on.

use zk_zab::rules::Rules;

use crate::auth::Providers;
use crate::owner::Extended;

/// Settings of the core. They do not change while it runs.
#[derive(Clone, Debug)]
pub struct Config {
    /// Top byte of new session ids; 1 on a standalone server.
    pub server_id: u8,
    /// `tickTime`, milliseconds: sessions expire on its multiples.
    pub tick_ms: i64,
    /// Least session timeout, milliseconds.
    pub min_session_ms: i32,
    /// Largest session timeout, milliseconds.
    pub max_session_ms: i32,
    /// TTL nodes.
    pub extended: Extended,
    /// `zookeeper.digest.enabled`: transactions carry the tree's digest.
    pub digest: bool,
    /// `zookeeper.closeSessionTxn.enabled`: closeSession transactions list the nodes they delete.
    pub close_session_txn: bool,
    /// `zookeeper.enforceQuota`.
    pub enforce_quota: bool,
    /// Authentication.
    pub providers: Providers,
    /// `znode.container.checkIntervalMs`.
    pub container_check_ms: i64,
    /// `znode.container.maxPerMinute`.
    pub container_max_per_minute: i64,
    /// `znode.container.maxNeverUsedIntervalMs`; 0 is off.
    pub container_never_used_ms: i64,
    /// `jute.maxbuffer`: longest frame, bytes.
    pub max_frame: usize,
    /// Longest string or buffer in a frame: `jute.maxbuffer` plus `jute.maxbuffer.extrasize`.
    pub max_field: usize,
    /// `localSessionsEnabled`: new sessions are known to their own server only, until they make an
    /// ephemeral node. A standalone server knows no such thing.
    pub local_sessions: bool,
    /// `localSessionsUpgradingEnabled`: then they become everybody's; else they may not.
    pub local_upgrade: bool,
    /// `reconfigEnabled`.
    pub reconfig_enabled: bool,
    /// `leaderServes`: a leader serves clients of its own.
    pub leader_serves: bool,
    /// How long a member of an ensemble looks for a leader before it serves those clients that are
    /// content with reading, milliseconds; `None` without `readonlymode.enabled`.
    pub read_only_after_ms: Option<i64>,
    /// The last counter of an epoch's zxids; lower than that of
    /// [`crate::limits::LAST_COUNTER`] only where reaching it is tried.
    pub last_counter: u32,
    /// Which rules of the protocol hold.
    pub rules: Rules,
    /// Seed of the tree's hash.
    pub seed: u64,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            server_id: 1,
            tick_ms: 3_000,
            min_session_ms: 6_000,
            max_session_ms: 60_000,
            extended: Extended::default(),
            digest: true,
            close_session_txn: true,
            enforce_quota: false,
            providers: Providers::default(),
            container_check_ms: 60_000,
            container_max_per_minute: 10_000,
            container_never_used_ms: 0,
            max_frame: crate::limits::FRAME_BYTES_DEFAULT,
            max_field: 2 * crate::limits::FRAME_BYTES_DEFAULT,
            local_sessions: false,
            local_upgrade: false,
            reconfig_enabled: false,
            leader_serves: true,
            read_only_after_ms: None,
            last_counter: crate::limits::LAST_COUNTER,
            rules: Rules::default(),
            seed: 0,
        }
    }
}
