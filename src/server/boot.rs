//! Start and stop: directories, log, store, tree, threads, and the client port, in this order, and
//! backwards.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::JoinHandle;
use std::time::Instant;

use parking_lot::Mutex;
use zk_core::auth::Providers;
use zk_core::auth::digest::Algorithm;
use zk_core::conn::ServeMode;
use zk_core::owner::Extended;
use zk_core::{Config, Node, Peer, Zxid, peer};
use zk_disk::directory::{self, Boot, Layout, Lock};
use zk_disk::files::{Files, OsFiles};
use zk_disk::log::{Options, Pins, Recovered, Writer};
use zk_disk::members;
use zk_disk::purge::Window;
use zk_disk::rocks::RocksStore;
use zk_disk::store::Store;
use zk_ops::config::ServerConfig;
use zk_zab::io::In;

use crate::client::listener;
use crate::client::throttle::Throttles;
use crate::clock::Clock;
use crate::core_loop::CoreLoop;
use crate::data::{self, recover_tree};
use crate::ensemble;
use crate::gate::{Shared, ToCore};
use crate::limits::READ_ONLY_AFTER_MS;
use crate::loads;
use crate::log_thread::{LogQueue, LogThread};
use crate::member;
use crate::ops;
use crate::pace::Gentle;
use crate::persist::{Persist, PersistQueue};
use crate::process;
use crate::serving::Serving;
use crate::stats::Stats;

/// Exit code for a data directory that is missing, unwritable, or holds what belongs elsewhere.
const UNABLE_TO_ACCESS_DATADIR: i32 = 3;

/// Why a start was refused.
#[derive(Debug)]
pub struct Refusal {
    /// One line: what was found, and what to do.
    pub message: String,
    /// The exit code that Java would use.
    pub code: i32,
}

impl Refusal {
    /// With exit code 1.
    pub fn new(message: impl Into<String>) -> Refusal {
        Refusal {
            message: message.into(),
            code: 1,
        }
    }
}

impl From<zk_disk::Error> for Refusal {
    fn from(error: zk_disk::Error) -> Refusal {
        let advice = match error {
            zk_disk::Error::StoreCorrupt { .. } => loads::ADVICE,
            _ => "",
        };
        Refusal::new(format!("{error}{advice}"))
    }
}

/// The core's share of the configuration.
pub fn core_config(config: &ServerConfig) -> Config {
    let max_frame = config.jute_max_buffer.max(0) as usize;
    let ensemble = config.ensemble.as_ref();
    Config {
        server_id: ensemble.map_or(1, |e| e.my_id as u8),
        tick_ms: i64::from(config.tick_time_ms),
        min_session_ms: config.min_session_timeout_ms,
        max_session_ms: config.max_session_timeout_ms,
        extended: Extended {
            enabled: config.extended_types,
            emulate_353: config.emulate_353_ttl,
        },
        digest: config.digest_enabled,
        close_session_txn: config.close_session_txn,
        enforce_quota: config.enforce_quota,
        providers: Providers {
            digest: config.digest_auth.enabled,
            digest_algorithm: Algorithm::from_name(&config.digest_auth.algorithm)
                .unwrap_or(Algorithm::Sha1),
            super_digest: config.digest_auth.super_digest.as_deref().map(Into::into),
            ensemble: config
                .ensemble_auth
                .enabled
                .then(|| config.ensemble_auth.names.clone().unwrap_or_default()),
            skip_acl: config.skip_acl,
            enforced: config.enforce_auth_schemes.clone(),
        },
        container_check_ms: i64::from(config.container.check_interval_ms),
        container_max_per_minute: i64::from(config.container.max_per_minute),
        container_never_used_ms: config.container.max_never_used_interval_ms,
        max_frame,
        max_field: max_frame + config.jute_extra_size.max(0) as usize,
        // A standalone server has none.
        local_sessions: ensemble.is_some_and(|e| e.local_sessions),
        local_upgrade: ensemble.is_some_and(|e| e.local_sessions_upgrading),
        reconfig_enabled: config.reconfig_enabled,
        leader_serves: ensemble.is_none_or(|e| e.leader_serves),
        read_only_after_ms: config
            .read_only_mode
            .then(|| i64::from(config.tick_time_ms).max(READ_ONLY_AFTER_MS)),
        seed: fastrand::u64(..),
        ..Config::default()
    }
}

/// How the log is written. Java begins a new file with each of its snapshots, after half to all of
/// `snapCount` transactions or `snapSizeLimitInKb`, so that the servers of an ensemble do not do
/// it all at once; where between is drawn once for a run here.
fn log_options(config: &ServerConfig) -> Options {
    let upper_half = |all: u64| all / 2 + fastrand::u64(..(all / 2).max(1));
    let size = config
        .txn_log_size_limit
        .unwrap_or(zk_disk::limits::SEGMENT_SIZE);
    Options {
        prealloc: config.prealloc_kib.max(0) as u64 * 1024,
        segment_size: config
            .snap_size_limit
            .map_or(size, |limit| size.min(upper_half(limit))),
        segment_records: upper_half(u64::from(config.snap_count)),
        force_sync: config.force_sync,
    }
}

/// A running server.
pub struct Server {
    shared: Arc<Shared>,
    serving: Arc<Serving>,
    runtime: tokio::runtime::Runtime,
    core: Option<JoinHandle<Zxid>>,
    log: Option<JoinHandle<()>>,
    persist: Option<JoinHandle<()>>,
    loader: Option<JoinHandle<()>>,
    reader: Option<member::Threads>,
    log_queue: Arc<LogQueue>,
    persist_queue: Arc<PersistQueue>,
    accepting: Option<tokio::task::JoinHandle<()>>,
    metrics_address: Option<SocketAddr>,
    _lock: Lock,
}

impl Server {
    /// Starts everything.
    ///
    /// # Errors
    /// The start is refused: nothing was changed but for what a retry finds again.
    pub fn start(config: ServerConfig) -> Result<Server, Refusal> {
        let clock = Clock::new();
        let core_config = Arc::new(core_config(&config));
        let layout = Layout::new(&config.data_dir, &config.data_log_dir);
        for dir in [&config.data_dir, &config.data_log_dir] {
            if !config.datadir_autocreate && !dir.is_dir() {
                let message = format!(
                    "{} is missing and zookeeper.datadir.autocreate is off",
                    dir.display()
                );
                let code = UNABLE_TO_ACCESS_DATADIR;
                return Err(Refusal { message, code });
            }
        }
        let lock = Lock::take(&layout).map_err(|error| {
            let code = match &error {
                zk_disk::Error::Io { .. } => UNABLE_TO_ACCESS_DATADIR,
                _ => 1,
            };
            let message = error.to_string();
            Refusal { message, code }
        })?;
        check_contents(&layout)?;
        if let Some(ensemble) = &config.ensemble {
            members::check(&OsFiles, &layout, &ensemble.members).map_err(|error| {
                let code = UNABLE_TO_ACCESS_DATADIR;
                let message = error.to_string();
                Refusal { message, code }
            })?;
        }
        ensemble::back_up(&OsFiles, &config)?;
        // Ports are bound before the data is loaded, as in Java: one in use changes nothing.
        let metrics_listener = ops::metrics::bind(&config.metrics).map_err(Refusal::new)?;
        let metrics_address = ops::metrics::address(metrics_listener.as_ref());
        let listener = bind_client(&config)?;
        let address = listener
            .as_ref()
            .and_then(|socket| socket.local_addr().ok());
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .enable_all()
            .thread_name("client")
            .build()
            .map_err(|e| Refusal::new(format!("cannot start the runtime: {e}")))?;
        let stats = Arc::new(Stats::new(&config.metrics));
        let serving = Arc::new(Serving::new(
            config.clone(),
            [layout.snapshots(), layout.logs()],
            address,
            stats.clone(),
            clock,
        ));
        let accepting = accept(&runtime, &serving, listener, metrics_listener)?;
        let loading = Instant::now();
        let files: Arc<dyn Files> = Arc::new(OsFiles);
        let ensemble = config.ensemble.as_ref();
        let open = match ensemble {
            // The others of an ensemble serve on while one starts.
            Some(_) => RocksStore::open_gently,
            None => RocksStore::open,
        };
        let reading: Arc<dyn Files> = match ensemble {
            Some(_) => Arc::new(Gentle::new(files.clone())),
            None => files.clone(),
        };
        let opened = directory::open(&reading, &layout, &mut { open })?;
        let known_committed = opened.committed();
        let store: Arc<dyn Store> = Arc::new(opened.store);
        report(&opened.log, opened.set_aside.as_deref(), &opened.boot);
        if !config.force_sync {
            tracing::warn!("forceSync=no: a power cut may lose what was acknowledged");
        }
        let may_be_new = take_initialize(&*files, &layout)? || config.db_autocreate;
        let bound = match ensemble {
            // Of the rest somebody else decides what holds.
            Some(_) => ensemble::replay_bound(&opened.boot, &opened.base, known_committed),
            None => i64::MAX,
        };
        let recovered = recover_tree(
            &core_config,
            &reading,
            &layout,
            &*store,
            &opened.boot,
            may_be_new || ensemble.is_some(),
            bound,
            &stats.metrics,
        )?;
        let (mut tree, persisted, record) = (recovered.tree, recovered.persisted, recovered.record);
        let is_fresh = matches!(opened.boot, Boot::Fresh);
        if is_fresh && ensemble.is_some() {
            // Its log may begin anywhere, and the store must be there to say what it follows.
            data::flush_now(&*store, &mut tree, record)?;
        }
        let took = loading.elapsed().as_millis() as i64;
        stats.metrics.dbinittime.record(took);
        let options = log_options(&config);
        let log_dir = layout.logs();
        let writer = Writer::open(
            files.clone(),
            &log_dir,
            options,
            &opened.log,
            opened.log.last_zxid.unwrap_or(tree.last_zxid().0),
        )?;
        let late_sync = writer.late_sync();
        if let Some(ensemble) = ensemble {
            members::save(&*files, &layout, &ensemble.members)?;
        }
        let past = match ensemble {
            Some(_) => Some(ensemble::past(
                &*files,
                &layout,
                &opened.log,
                &opened.base,
                tree.last_zxid(),
                !is_fresh || may_be_new,
            )?),
            None => None,
        };
        let segments = Arc::new(Mutex::new(opened.log.segments));
        let mut deeds = Vec::new();
        let partial = !tree.is_complete();
        let now = clock.now();
        let persisted_zxid = Zxid(persisted);
        let peer = match (ensemble, &past) {
            (Some(ensemble), Some(past)) => {
                let fuzzy_until = Zxid(opened.base.fuzzy_until);
                let mut node = Node::resting(
                    core_config.clone(),
                    &tree,
                    past.history.end(),
                    persisted_zxid,
                    now,
                );
                node.set_fuzzy_until(fuzzy_until);
                Peer::ensemble(node, ensemble::zab(&config, ensemble, past.clone()))
            }
            _ => {
                let mut effects = Vec::new();
                let node = Node::recover(
                    core_config.clone(),
                    &tree,
                    persisted_zxid,
                    now,
                    &mut effects,
                );
                deeds.extend(effects.into_iter().filter_map(peer::begun));
                Peer::standalone(node)
            }
        };
        let shared = Arc::new(Shared::new(
            tree,
            store.clone(),
            core_config,
            Throttles::new(&config, clock.mono_ms()),
            stats,
            clock,
        ));
        if ensemble.is_none() {
            shared.set_mode(ServeMode::Full);
        }
        shared
            .stats
            .started_ms
            .store(clock.mono_ms(), Ordering::Relaxed);
        let log_queue = Arc::new(LogQueue::default());
        let persist_queue = Arc::new(PersistQueue::default());
        // What the replay changed is the store's to come.
        persist_queue.take_changes(&mut shared.tree.write(), Some(record));
        let pins = Pins::new();
        let (member, keeper, reader) = match (ensemble, &past) {
            (Some(ensemble), Some(past)) => {
                let started = ensemble::start(ensemble::Parts {
                    config: &config,
                    ensemble,
                    shared: &shared,
                    serving: &serving,
                    files: &files,
                    layout: &layout,
                    options,
                    pins: &pins,
                    past,
                    base: opened.base.log_floor,
                    view: peer.zab().map(zk_zab::Zab::shared_view),
                })?;
                (
                    Some(started.member),
                    Some(started.keeper),
                    Some(started.threads),
                )
            }
            _ => (None, None, None),
        };
        let log = {
            let thread = LogThread {
                shared: shared.clone(),
                queue: log_queue.clone(),
                persist: persist_queue.clone(),
                segments: segments.clone(),
                warn_ms: config.fsync_warning_ms,
                force_sync: config.force_sync,
                keeper,
            };
            spawn(process::LOG, move || thread.run(writer))?
        };
        let persist = {
            let (core, room, purged) = (shared.clone(), shared.clone(), shared.clone());
            let persist = Persist {
                flushed: Box::new(move |generation, zxid| {
                    core.core.push(ToCore::Persisted(generation, zxid));
                }),
                room: Box::new(move || room.core.push(ToCore::Room)),
                purged: Box::new(move |base| purged.core.push(ToCore::Peer(In::Purged(base)))),
                pins,
                queue: persist_queue.clone(),
                store: store.clone(),
                persisted,
                files,
                log_dir: log_dir.clone(),
                late_sync,
                segments,
                window: Window {
                    txns: config.diff_window_txns,
                    bytes: config.diff_window_mib << 20,
                },
                snapshots: opened.snapshots,
            };
            spawn(process::STORE, move || persist.run())?
        };
        let core = {
            let core = CoreLoop {
                shared: shared.clone(),
                peer,
                log: log_queue.clone(),
                persist: persist_queue.clone(),
                member,
                deeds,
                told: Zxid::ZERO,
                mismatches: 0,
                mismatch_told: None,
            };
            spawn(process::CORE, move || core.run())?
        };
        let loader = {
            let (shared, paced) = (shared.clone(), ensemble.is_some());
            spawn(process::LOADER, move || loads::run(&shared, partial, paced))?
        };
        serving.open(shared.clone());
        Ok(Server {
            shared,
            serving,
            runtime,
            accepting,
            core: Some(core),
            log: Some(log),
            persist: Some(persist),
            loader: Some(loader),
            reader,
            log_queue,
            persist_queue,
            metrics_address,
            _lock: lock,
        })
    }

    /// Where clients connect; `None` without a clientPort.
    pub fn address(&self) -> Option<SocketAddr> {
        self.serving.address()
    }

    /// Where Prometheus scrapes, if that provider is configured.
    pub fn metrics_address(&self) -> Option<SocketAddr> {
        self.metrics_address
    }

    /// The configuration and paths.
    pub fn serving(&self) -> &Serving {
        &self.serving
    }

    /// What the threads share, for looks at the core from outside.
    pub fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// From now on SIGTERM and SIGINT do not end the process but [`Signals::wait`].
    ///
    /// # Errors
    /// The system lets no handler be set.
    pub fn catch_signals(&self) -> std::io::Result<Signals<'_>> {
        use tokio::signal::unix::{SignalKind, signal};
        let _enter = self.runtime.enter();
        Ok(Signals {
            server: self,
            term: signal(SignalKind::terminate())?,
            int: signal(SignalKind::interrupt())?,
        })
    }

    /// Stops: no new request, then everything proposed is applied, then the log and the store are
    /// closed.
    pub fn stop(mut self) {
        if let Some(accepting) = &self.accepting {
            accepting.abort();
        }
        self.shared.core.push(ToCore::Stop);
        if let Some(core) = self.core.take() {
            let _ = core.join();
        }
        if let Some(reader) = self.reader.take() {
            reader.stop();
        }
        self.log_queue.close();
        self.shared.loads.close();
        self.persist_queue.stop();
        for thread in [self.log.take(), self.loader.take(), self.persist.take()] {
            let _ = thread.map(JoinHandle::join);
        }
        self.runtime
            .shutdown_timeout(std::time::Duration::from_millis(200));
    }
}

/// The signals that end a server.
pub struct Signals<'a> {
    server: &'a Server,
    term: tokio::signal::unix::Signal,
    int: tokio::signal::unix::Signal,
}

impl Signals<'_> {
    /// Waits for the first of them.
    pub fn wait(mut self) {
        self.server.runtime.block_on(async {
            tokio::select! {
                _ = self.term.recv() => {}
                _ = self.int.recv() => {}
            }
        });
    }
}

/// Logs where snapshots belong, or the other way round, are refused where the two folders differ:
/// somebody has exchanged them.
fn check_contents(layout: &Layout) -> Result<(), Refusal> {
    if layout.data_dir == layout.log_dir {
        return Ok(());
    }
    let holds = |dir: &Path, prefix: &str| {
        let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
        let names = entries.map(|entry| entry.file_name());
        names
            .into_iter()
            .any(|name| name.to_string_lossy().starts_with(prefix))
    };
    let found = if holds(&layout.logs(), "snapshot.") {
        format!("dataLogDir {} holds snapshots", layout.logs().display())
    } else if holds(&layout.snapshots(), "log.") {
        format!("dataDir {} holds logs", layout.snapshots().display())
    } else {
        return Ok(());
    };
    Err(Refusal {
        message: format!("{found}: are dataDir and dataLogDir the right way round?"),
        code: UNABLE_TO_ACCESS_DATADIR,
    })
}

/// The client port; `None` where none is configured.
fn bind_client(config: &ServerConfig) -> Result<Option<std::net::TcpListener>, Refusal> {
    let Some(client) = &config.client else {
        return Ok(None);
    };
    match listener::bind_configured(config, client.ip, client.port) {
        Ok(socket) => Ok(Some(socket)),
        Err(error) => Err(Refusal::new(error)),
    }
}

/// Accepts clients and scrapes from now on.
fn accept(
    runtime: &tokio::runtime::Runtime,
    serving: &Arc<Serving>,
    clients: Option<std::net::TcpListener>,
    metrics: Option<std::net::TcpListener>,
) -> Result<Option<tokio::task::JoinHandle<()>>, Refusal> {
    let _enter = runtime.enter();
    runtime.spawn(ops::metrics::rotate(serving.clone()));
    if let Some(listener) = metrics {
        let serving = serving.clone();
        runtime.spawn(async move {
            if let Err(error) = ops::metrics::serve(serving, listener).await {
                tracing::error!("/metrics is not served any more: {error}");
            }
        });
    }
    if clients.is_none() && serving.config.ensemble.is_none() {
        // Nobody gives it an address later.
        return Ok(None);
    }
    let listener = clients
        .map(tokio::net::TcpListener::from_std)
        .transpose()
        .map_err(|e| Refusal::new(format!("cannot listen for clients: {e}")))?;
    Ok(Some(
        runtime.spawn(listener::run(serving.clone(), listener)),
    ))
}

/// Says what the start found.
fn report(log: &Recovered, set_aside: Option<&Path>, boot: &Boot) {
    if let Some(torn) = &log.torn {
        tracing::warn!(
            "{}: an unfinished write was cut off at offset {}: zxids 0x{:x} to 0x{:x}, {}",
            torn.file.display(),
            torn.offset,
            torn.first_zxid,
            torn.last_zxid,
            torn.why
        );
        if torn.was_durable {
            tracing::error!("that place was durable once: acknowledged transactions are lost");
        }
    }
    if let Some(path) = set_aside {
        tracing::warn!("the damaged store was moved to {}", path.display());
    }
    match boot {
        Boot::Fresh => tracing::info!("an empty directory: a new tree"),
        Boot::Open {
            meta,
            replay,
            stranded,
        } => {
            tracing::info!(
                "the store is at zxid {}, to be replayed: {replay:x?}",
                meta.tree.zxid
            );
            if !stranded.is_empty() {
                tracing::warn!(
                    "snapshots that the log does not continue: {stranded:x?}; do not start Apache ZooKeeper here"
                );
            }
        }
        Boot::Rebuild { until, .. } => {
            tracing::info!(
                "no store: the log is replayed from the first transaction to 0x{until:x}"
            );
        }
    }
}

/// Whether an operator has said with the file `initialize` that an empty directory is meant to be
/// empty. As in Java it counts for one start.
fn take_initialize(files: &dyn Files, layout: &Layout) -> Result<bool, Refusal> {
    let path = layout.log_dir.join("initialize");
    match files.remove(&path) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(Refusal::new(format!(
            "cannot remove {}: {error}",
            path.display()
        ))),
    }
}

fn spawn<T: Send + 'static>(
    name: &str,
    run: impl FnOnce() -> T + Send + 'static,
) -> Result<JoinHandle<T>, Refusal> {
    std::thread::Builder::new()
        .name(name.into())
        .spawn(run)
        .map_err(|e| Refusal::new(format!("cannot start the thread {name}: {e}")))
}
