//! What an operator can set that the quorum layer acts on.

use crate::ids::Sid;
use crate::rules::Rules;

/// Settings. They do not change while it runs.
#[derive(Clone, Debug)]
pub struct Settings {
    /// My id.
    pub me: Sid,
    /// `tickTime`, milliseconds.
    pub tick_ms: i64,
    /// `initLimit`, ticks.
    pub init_limit: i64,
    /// `syncLimit`, ticks.
    pub sync_limit: i64,
    /// `connectToLearnerMasterLimit`, ticks; 0 is `initLimit`.
    pub connect_limit: i64,
    /// `zookeeper.leaderConnectDelayDuringRetryMs`.
    pub dial_pause_ms: i64,
    /// `zookeeper.fastleader.minNotificationInterval`, milliseconds.
    pub notify_min_ms: i64,
    /// `zookeeper.fastleader.maxNotificationInterval`, milliseconds.
    pub notify_max_ms: i64,
    /// How long a better vote is waited for before an election ends, milliseconds.
    pub finalize_ms: i64,
    /// `zookeeper.observer.election.DelayMs`: an observer waits a part of this before it looks for
    /// a leader again, milliseconds.
    pub observer_delay_ms: i64,
    /// `zookeeper.observer.reconnectDelayMs`: an observer waits a part of this before it connects,
    /// with observer masters only when it has tried each of them, milliseconds.
    pub observer_reconnect_ms: i64,
    /// `observerMasterPort` is set: a follower serves observers, and an observer is served by one.
    pub observer_master: bool,
    /// `zookeeper.observerMaster.sizeLimit`: committed transactions that an observer master keeps
    /// for observers that catch up, bytes.
    pub observer_master_bytes: u64,
    /// `reconfigEnabled`.
    pub reconfig_enabled: bool,
    /// `standaloneEnabled`: a reconfiguration leaves two voters at least.
    pub standalone_enabled: bool,
    /// `multiAddress.enabled`.
    pub multi_address: bool,
    /// `zookeeper.forceSnapshotSync`: learners always get a snapshot.
    pub force_snap: bool,
    /// `zookeeper.snapshotSizeFactor`: how large the log may be that a learner gets instead of a
    /// snapshot, as a part of that; below 0 only what `commit_log_count` says, 0 is no bound.
    pub snap_factor: f64,
    /// `zookeeper.commitLogCount`: learners that miss at most so many get them in any case.
    pub commit_log_count: u64,
    /// `zookeeper.leader.maxTimeToWaitForEpoch`, milliseconds; below 0 it is off.
    pub max_wait_for_epoch_ms: i64,
    /// `zookeeper.leader.maxConcurrentSnapSyncs`: observers that get a snapshot at once.
    pub max_snap_syncs: usize,
    /// `zookeeper.leader.maxConcurrentDiffSyncs`: observers that get a part of the log at once.
    pub max_diff_syncs: usize,
    /// Longest string or buffer of a packet, bytes.
    pub max_field: usize,
    /// Chosen anew for each process: what little randomness there is comes from it.
    pub seed: u64,
    /// Which rules hold.
    pub rules: Rules,
}

impl Settings {
    /// `initLimit`, milliseconds.
    pub fn init_ms(&self) -> i64 {
        self.tick_ms.saturating_mul(self.init_limit)
    }

    /// `syncLimit`, milliseconds.
    pub fn sync_ms(&self) -> i64 {
        self.tick_ms.saturating_mul(self.sync_limit)
    }

    /// How long a learner tries to reach its leader, milliseconds.
    pub fn connect_ms(&self) -> i64 {
        if self.connect_limit > 0 {
            self.tick_ms.saturating_mul(self.connect_limit)
        } else {
            self.init_ms()
        }
    }
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            me: Sid(1),
            tick_ms: 3_000,
            init_limit: 10,
            sync_limit: 5,
            connect_limit: 0,
            dial_pause_ms: 100,
            notify_min_ms: 200,
            notify_max_ms: 60_000,
            finalize_ms: 200,
            observer_delay_ms: 200,
            observer_reconnect_ms: 0,
            observer_master: false,
            observer_master_bytes: 32 << 20,
            reconfig_enabled: false,
            standalone_enabled: true,
            multi_address: false,
            force_snap: false,
            snap_factor: 0.33,
            commit_log_count: 500,
            max_wait_for_epoch_ms: -1,
            max_snap_syncs: 10,
            max_diff_syncs: 100,
            max_field: 2 * 0xf_ffff,
            seed: 0,
            rules: Rules::default(),
        }
    }
}
