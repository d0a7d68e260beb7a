//! What the serving side of the process knows beside the core, from the moment the port is bound:
//! configuration, paths, counters; and, once the data is loaded, the way to it.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicI64;

use tokio::sync::watch;
use zk_ops::config::ServerConfig;
use zk_ops::four_letter::DEFAULT_TRACE_MASK;

use crate::clock::Clock;
use crate::gate::Shared;
use crate::stats::Stats;

/// See the module.
pub struct Serving {
    /// The configuration.
    pub config: ServerConfig,
    /// `dataDir/version-2`.
    pub snap_dir: PathBuf,
    /// `dataLogDir/version-2`.
    pub log_dir: PathBuf,
    /// The port in use; -1 without a listener.
    pub client_port: i32,
    /// The trace mask of `gtmk` and `stmk`, which nothing reads.
    pub trace_mask: AtomicI64,
    /// Counters.
    pub stats: Arc<Stats>,
    /// Clocks.
    pub clock: Clock,
    opened: watch::Sender<Option<Arc<Shared>>>,
}

impl Serving {
    /// Before the data is loaded.
    pub fn new(
        config: ServerConfig,
        [snap_dir, log_dir]: [PathBuf; 2],
        client_port: i32,
        stats: Arc<Stats>,
        clock: Clock,
    ) -> Serving {
        Serving {
            config,
            snap_dir,
            log_dir,
            client_port,
            trace_mask: AtomicI64::new(DEFAULT_TRACE_MASK),
            stats,
            clock,
            opened: watch::Sender::new(None),
        }
    }

    /// Begins to serve.
    pub fn open(&self, shared: Arc<Shared>) {
        self.opened.send_replace(Some(shared));
    }

    /// The way to the data; `None` before it is loaded.
    pub fn shared(&self) -> Option<Arc<Shared>> {
        self.opened.borrow().clone()
    }

    /// Waits until the data is loaded.
    pub async fn when_open(&self) -> Arc<Shared> {
        let mut opened = self.opened.subscribe();
        loop {
            if let Some(shared) = &*opened.borrow_and_update() {
                return shared.clone();
            }
            if opened.changed().await.is_err() {
                // Nobody is left who could open it.
                std::future::pending::<()>().await;
            }
        }
    }
}
