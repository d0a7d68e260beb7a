//! The start of a member of an ensemble: what it knows of its past, and its ways to the others.
//!
//! Owns: the translation of the configuration for the quorum layer and the sockets, and what a
//! directory says of the history. Does not know: what the quorum layer does with it.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use zk_core::Zxid;
use zk_disk::directory::{Boot, Layout};
use zk_disk::dynamic;
use zk_disk::epochs;
use zk_disk::files::Files;
use zk_disk::log::{Options, Pins, Recovered as Log};
use zk_disk::store::Base;
use zk_ops::config::{EnsembleConfig, ServerConfig};
use zk_wire::file::dynamic as names;
use zk_zab::history::{History, Range};
use zk_zab::{Recovered, Settings, Sid, View, Zab};

use crate::boot::Refusal;
use crate::gate::{Shared, ToCore};
use crate::member::{self, Keeper, Member, Received, Sinks, StoreOfNow, Threads};
use crate::peer::sources::DiskLog;
use crate::peer::{self, Peers, Wiring, election};
use crate::process;
use crate::queue::Queue;
use crate::serving::Serving;

/// How far the log is replayed at a start: as far as it is known to be committed, and not into the
/// window of a tree that another server sent while it went on.
pub fn replay_bound(boot: &Boot, base: &Base, committed: i64) -> i64 {
    match boot {
        Boot::Open { meta, .. } if base.fuzzy_until > meta.tree.zxid.0 => meta.tree.zxid.0,
        Boot::Open { .. } | Boot::Fresh | Boot::Rebuild { .. } => committed,
    }
}

/// What the directory says of the history. The tree is at `applied`.
///
/// # Errors
/// The files of the epochs contradict it.
pub fn past(
    files: &dyn Files,
    layout: &Layout,
    log: &Log,
    base: &Base,
    applied: Zxid,
    may_vote: bool,
) -> Result<Recovered, Refusal> {
    let floor = match log.first_zxid {
        Some(_) => base.log_floor,
        // Nothing but the tree is left of it.
        None => applied.0,
    };
    let contents = log.contents(floor);
    let range = |(_, first, last): &(u32, i64, i64)| Range {
        first: Zxid(*first),
        last: Zxid(*last),
    };
    let segment = |(first, bytes): &(i64, u64)| (Zxid(*first), *bytes);
    let history = History::new(
        Zxid(contents.floor),
        contents.ranges.iter().map(range).collect(),
        contents.segments.iter().map(segment).collect(),
    );
    let epochs = epochs::load(files, layout, history.end().0)?;
    Ok(Recovered {
        history,
        accepted: epochs.accepted,
        current: epochs.current,
        applied,
        may_vote,
    })
}

/// Keeps the operator's file as it was before a reconfiguration rewrites it, as Java does at each
/// start of a member that has its members there.
///
/// # Errors
/// The file cannot be read or the copy written.
pub fn back_up(files: &dyn Files, config: &ServerConfig) -> Result<(), Refusal> {
    let Some(ensemble) = config.ensemble.as_ref().filter(|_| config.reconfig_enabled) else {
        return Ok(());
    };
    let (Some(file), None) = (&ensemble.config_file, &ensemble.dynamic_file) else {
        return Ok(());
    };
    let text = std::fs::read(file)
        .map_err(|e| Refusal::new(format!("cannot read {}: {e}", file.display())))?;
    let copy = names::backup_name(&file.to_string_lossy());
    dynamic::back_up(files, Path::new(&copy), &text).map_err(Refusal::from)
}

/// The quorum layer with this past.
pub fn zab(config: &ServerConfig, ensemble: &EnsembleConfig, past: Recovered) -> Zab {
    let me = Sid(ensemble.my_id);
    let settings = Settings {
        me,
        tick_ms: i64::from(config.tick_time_ms),
        init_limit: i64::from(ensemble.init_limit),
        sync_limit: i64::from(ensemble.sync_limit),
        connect_limit: i64::from(ensemble.connect_limit),
        dial_pause_ms: i64::from(ensemble.leader_connect_delay_ms),
        notify_min_ms: i64::from(ensemble.min_notification_interval_ms),
        notify_max_ms: i64::from(ensemble.max_notification_interval_ms),
        observer_delay_ms: ensemble
            .observer_election_delay_ms
            .try_into()
            .unwrap_or(i64::MAX),
        observer_reconnect_ms: ensemble
            .observer_reconnect_delay_ms
            .try_into()
            .unwrap_or(i64::MAX),
        observer_master: ensemble.observer_master_port.is_some(),
        observer_master_bytes: ensemble.observer_master_bytes,
        reconfig_enabled: config.reconfig_enabled,
        standalone_enabled: ensemble.standalone_enabled,
        multi_address: ensemble.multi_address,
        force_snap: ensemble.force_snapshot_sync,
        snap_factor: ensemble.snapshot_size_factor,
        commit_log_count: u64::from(ensemble.commit_log_count),
        max_wait_for_epoch_ms: ensemble.max_time_to_wait_for_epoch_ms.map_or(-1, i64::from),
        max_snap_syncs: ensemble.max_concurrent_snap_syncs as usize,
        max_diff_syncs: ensemble.max_concurrent_diff_syncs as usize,
        max_field: max_field(config),
        seed: fastrand::u64(..),
        ..Settings::default()
    };
    let view = View::new(
        me,
        config.reconfig_enabled,
        ensemble.members.clone(),
        ensemble.last_seen.clone(),
    );
    let view = match &ensemble.oracle_path {
        Some(_) => view.with_oracle(),
        None => view,
    };
    Zab::recover(settings, view, past)
}

fn max_field(config: &ServerConfig) -> usize {
    (config.jute_max_buffer.max(0) + config.jute_extra_size.max(0)) as usize
}

/// What a start has at hand.
pub struct Parts<'a> {
    /// The configuration.
    pub config: &'a ServerConfig,
    /// Its part for an ensemble.
    pub ensemble: &'a EnsembleConfig,
    /// What is shared.
    pub shared: &'a Arc<Shared>,
    /// What is shown to clients and operators.
    pub serving: &'a Arc<Serving>,
    /// The disk.
    pub files: &'a Arc<dyn Files>,
    /// The folders.
    pub layout: &'a Layout,
    /// How logs are written.
    pub options: Options,
    /// Who reads the log.
    pub pins: &'a Pins,
    /// The past.
    pub past: &'a Recovered,
    /// What the log follows if none of it was purged.
    pub base: i64,
    /// The configurations that hold.
    pub view: Option<Arc<View>>,
}

/// What was started.
pub struct Started {
    /// For the core.
    pub member: Member,
    /// For the log's thread.
    pub keeper: Keeper,
    /// Threads to be joined.
    pub threads: Threads,
}

/// Starts the ways to the other servers: from now on votes are heard.
///
/// # Errors
/// A thread cannot be started.
pub fn start(parts: Parts<'_>) -> Result<Started, Refusal> {
    let Parts {
        config,
        ensemble,
        shared,
        serving,
        files,
        layout,
        options,
        pins,
        past,
        base,
        view,
    } = parts;
    let me = Sid(ensemble.my_id);
    let view = view.unwrap_or_else(|| {
        let members = ensemble.members.clone();
        Arc::new(View::new(me, config.reconfig_enabled, members, None))
    });
    let received: Received = Arc::default();
    let hello = match ensemble.quorum_cnxn_timeout_ms {
        0 => u64::from(config.tick_time_ms) * u64::from(ensemble.sync_limit),
        ms => ms,
    };
    let settings = peer::Settings {
        listen_everywhere: ensemble.listen_on_all_ips,
        observer_master_port: ensemble.observer_master_port.unwrap_or(0),
        multi_address: ensemble.multi_address,
        bind_tries: ensemble.election_port_bind_retry.unwrap_or(0),
        dial_timeout: match ensemble.cnx_timeout_ms {
            0 => Duration::from_secs(120),
            ms => Duration::from_millis(u64::from(ms)),
        },
        keep_alive: ensemble.tcp_keep_alive,
        max_field: max_field(config),
        ..peer::Settings::new(me, Duration::from_millis(hello))
    };
    let sink = shared.clone();
    let wiring = Wiring {
        sink: Arc::new(move |delivery| sink.core.push(ToCore::Peers(delivery))),
        log: Arc::new(DiskLog {
            files: files.clone(),
            dir: layout.logs(),
            pins: pins.clone(),
        }),
        snaps: Arc::new(StoreOfNow(shared.clone())),
        load: shared.load.clone(),
        installs: Arc::new(Sinks {
            files: files.clone(),
            layout: layout.clone(),
            received: received.clone(),
        }),
        unable: Box::new(|why| {
            tracing::error!("{why}");
            eprintln!("zabkeeper: {why}");
            std::process::exit(election::UNABLE_TO_BIND);
        }),
    };
    let peers = Peers::start(settings, view.clone(), wiring)
        .map_err(|e| Refusal::new(format!("cannot start the sockets between servers: {e}")))?;
    let reads: Arc<Queue<(Zxid, Zxid)>> = Arc::default();
    let reader = {
        let (shared, reads) = (shared.clone(), reads.clone());
        let (files, dir) = (files.clone(), layout.logs());
        std::thread::Builder::new()
            .name(process::LOG_READER.into())
            .spawn(move || member::read_log(&shared, &reads, &files, &dir))
            .map_err(|e| Refusal::new(format!("cannot start a thread: {e}")))?
    };
    let keeper = Keeper {
        shared: shared.clone(),
        files: files.clone(),
        layout: layout.clone(),
        options,
        core: shared.config.clone(),
        current: past.current,
        base,
        received,
        staged: None,
        receiving: Zxid::ZERO,
        config_file: ensemble.config_file.clone(),
    };
    let member = Member {
        peers,
        reads: reads.clone(),
        serving: serving.clone(),
        me: me.0,
    };
    let oracle = match &ensemble.oracle_path {
        None => None,
        Some(path) => {
            let end: Arc<Queue<()>> = Arc::default();
            let (shared, path, until) = (shared.clone(), path.clone(), end.clone());
            let thread = std::thread::Builder::new()
                .name(process::ORACLE.into())
                .spawn(move || member::ask_oracle(&shared, &path, &until))
                .map_err(|e| Refusal::new(format!("cannot start a thread: {e}")))?;
            Some((thread, end))
        }
    };
    let threads = Threads {
        reader,
        reads,
        oracle,
    };
    Ok(Started {
        member,
        keeper,
        threads,
    })
}
