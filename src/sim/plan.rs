//! What one run is like: configuration, faults and the pace of each part of the server, from the
//! seed. Small limits and rare paces are as likely as usual ones.

use std::sync::Arc;

use zk_core::Config;
use zk_core::auth::Providers;
use zk_core::auth::digest::{Algorithm, generate};
use zk_core::owner::Extended;
use zk_disk::{log, persist, purge};

use crate::dice::Dice;
use crate::limits::CLIENTS;
use crate::model::Rules;

/// The super user of every run.
pub const SUPER: &str = "super:secret";

/// How often each kind of event is chosen; 0 is never.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pace {
    /// A client connects or sends requests.
    pub client: u32,
    /// Bytes arrive at the server.
    pub arrive: u32,
    /// A connection's task runs.
    pub task: u32,
    /// The core takes inputs.
    pub core: u32,
    /// The log thread writes and syncs.
    pub log: u32,
    /// The core is told that the log is durable.
    pub durable: u32,
    /// A hold of apply.
    pub apply: u32,
    /// The store's thread writes or flushes.
    pub store: u32,
    /// Rows are read for who waits for them, or installed.
    pub load: u32,
    /// Rows are read and installed in the background.
    pub background: u32,
    /// The clocks go on.
    pub time: u32,
    /// The core gets a tick.
    pub tick: u32,
    /// Touches are told before they must be.
    pub touch: u32,
    /// A client loses its connection.
    pub lose: u32,
    /// A fault of disk or store is set or lifted.
    pub fault: u32,
    /// The server dies or is stopped.
    pub die: u32,
    /// Segments are purged.
    pub purge: u32,
}

/// What the server syncs. Any but the first is a server that says durable too early.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Syncs {
    /// Files and folders.
    All,
    /// Files only: a new file's name may be lost.
    Files,
    /// Folders only.
    Folders,
    /// Nothing.
    Nothing,
}

/// See the module.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The seed that all follows from.
    pub seed: u64,
    /// Events before everything is left to come to rest.
    pub events: usize,
    /// Clients.
    pub clients: usize,
    /// What the server syncs; less than everything must be caught.
    pub syncs: Syncs,
    /// `forceSync`; without it there are no power cuts.
    pub force_sync: bool,
    /// The core's settings.
    pub config: Arc<Config>,
    /// The model's share of them.
    pub rules: Rules,
    /// How the log is written.
    pub log: log::Options,
    /// How the store is written.
    pub persist: persist::Options,
    /// How much log is kept.
    pub window: purge::Window,
    /// Budgets of apply.
    pub budget: usize,
    /// Frames that a task takes before others have their turn.
    pub frames: usize,
    /// Rows read in the background at once.
    pub rows: usize,
    /// Percent of requests that write.
    pub writes: usize,
    /// Percent of requests that are malformed in some way.
    pub malformed: usize,
    /// Percent of reads that leave a watch.
    pub watch: usize,
    /// Nodes at the start of the run that clients know of.
    pub paths: usize,
    /// How often each event is chosen.
    pub pace: Pace,
}

impl Plan {
    /// The plan of scripts: usual settings, times in round numbers, and nothing of the dice.
    pub fn by_hand() -> Plan {
        let config = Config {
            tick_ms: 1_000,
            min_session_ms: 2_000,
            max_session_ms: 20_000,
            extended: Extended {
                enabled: true,
                emulate_353: false,
            },
            providers: Providers {
                super_digest: Some(generate(Algorithm::Sha1, SUPER).into()),
                ..Providers::default()
            },
            container_check_ms: 5_000,
            ..Config::default()
        };
        Plan {
            rules: Rules {
                extended: true,
                enforce_quota: false,
                super_user: Some(SUPER.into()),
                reconfig: false,
                max_field: config.max_field,
                min_session_ms: config.min_session_ms,
                max_session_ms: config.max_session_ms,
            },
            config: Arc::new(config),
            force_sync: true,
            log: log::Options {
                prealloc: 0,
                ..log::Options::default()
            },
            persist: persist::Options::default(),
            window: purge::Window::default(),
            budget: usize::MAX,
            frames: usize::MAX,
            rows: usize::MAX,
            clients: CLIENTS,
            ..Plan::new(0)
        }
    }

    /// The plan of a seed.
    pub fn new(seed: u64) -> Plan {
        let mut dice = Dice::new(seed ^ 0x0070_6c61_6e00_0000);
        let dice = &mut dice;
        let tick_ms = *dice.pick(&[50, 200, 1_000]);
        let config = Config {
            server_id: if dice.once_in(8) { 200 } else { 1 },
            tick_ms,
            min_session_ms: 2 * tick_ms as i32,
            max_session_ms: 20 * tick_ms as i32,
            extended: Extended {
                enabled: !dice.once_in(4),
                emulate_353: false,
            },
            digest: true,
            close_session_txn: !dice.once_in(4),
            enforce_quota: dice.percent(50),
            providers: Providers {
                super_digest: Some(generate(Algorithm::Sha1, SUPER).into()),
                ..Providers::default()
            },
            container_check_ms: tick_ms * dice.within(1..=10),
            container_max_per_minute: *dice.pick(&[60, 10_000]),
            container_never_used_ms: if dice.once_in(3) { 5 * tick_ms } else { 0 },
            reconfig_enabled: dice.once_in(4),
            seed: dice.roll(),
            ..Config::default()
        };
        let rules = Rules {
            extended: config.extended.enabled,
            enforce_quota: config.enforce_quota,
            super_user: Some(SUPER.into()),
            reconfig: config.reconfig_enabled,
            max_field: config.max_field,
            min_session_ms: config.min_session_ms,
            max_session_ms: config.max_session_ms,
        };
        let force_sync = !dice.once_in(16);
        let log = log::Options {
            prealloc: *dice.pick(&[0, 8_192, 65_536]),
            segment_size: dice.within(500..=20_000) as u64,
            segment_records: *dice.pick(&[0, 0, 3, 20]),
            force_sync,
        };
        let persist = persist::Options {
            write_after_ms: *dice.pick(&[0, 20, 200]),
            write_bytes: *dice.pick(&[1, 2_000, 1 << 20]),
            flush_log_bytes: *dice.pick(&[1, 3_000, 1 << 20]),
            flush_after_ms: *dice.pick(&[0, 100, 2_000]),
            dirty_bytes: *dice.pick(&[4_000, 1 << 20]),
        };
        let window = purge::Window {
            txns: *dice.pick(&[0, 10, u64::MAX]),
            bytes: u64::MAX,
        };
        // Each part is now and then slow, or hardly there.
        let mut pace = |usual: u32| match dice.below(6) {
            0 => (usual / 8).max(1),
            1 => usual * 4,
            _ => usual,
        };
        let pace = Pace {
            client: pace(80),
            arrive: pace(120),
            task: pace(120),
            core: pace(120),
            log: pace(80),
            durable: pace(80),
            apply: pace(100),
            store: pace(24),
            load: pace(60),
            background: pace(12),
            time: pace(40),
            tick: pace(16),
            touch: pace(6),
            lose: pace(3),
            fault: pace(2),
            die: pace(2),
            purge: pace(2),
        };
        let pace = Pace {
            lose: if dice.once_in(5) { 0 } else { pace.lose },
            fault: if dice.percent(50) { 0 } else { pace.fault },
            die: if dice.once_in(5) { 0 } else { pace.die },
            background: if dice.once_in(6) { 0 } else { pace.background },
            ..pace
        };
        Plan {
            seed,
            events: dice.within(500..=6_000) as usize,
            clients: 1 + dice.below(CLIENTS),
            syncs: Syncs::All,
            force_sync,
            config: Arc::new(config),
            rules,
            log,
            persist,
            window,
            budget: *dice.pick(&[1, 3, 50, 4_096]),
            frames: *dice.pick(&[1, 2, 8, 64]),
            rows: *dice.pick(&[1, 3, 20, 1_000]),
            writes: *dice.pick(&[15, 50, 85]),
            malformed: *dice.pick(&[0, 2, 10]),
            watch: *dice.pick(&[0, 30, 80]),
            paths: *dice.pick(&[6, 14, 40]),
            pace,
        }
    }
}
