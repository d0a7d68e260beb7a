//! What the serving side of the process knows beside the core, from the moment the port is bound:
//! configuration, paths, counters; and, once the data is loaded, the way to it.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicI64;

use parking_lot::Mutex;
use tokio::sync::watch;
use zk_ops::config::ServerConfig;
use zk_ops::four_letter::DEFAULT_TRACE_MASK;
use zk_wire::quorum::config::{HostPort, QuorumConfig};

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
    /// The trace mask of `gtmk` and `stmk`, which nothing reads.
    pub trace_mask: AtomicI64,
    /// Counters.
    pub stats: Arc<Stats>,
    /// Clocks.
    pub clock: Clock,
    /// Where clients connect; `None` without a listener.
    address: Mutex<Option<SocketAddr>>,
    /// The members of the ensemble; `None` on a standalone server.
    membership: Mutex<Option<Arc<QuorumConfig>>>,
    /// Where clients are to connect, once a reconfiguration has said so.
    moved: watch::Sender<Option<HostPort>>,
    opened: watch::Sender<Option<Arc<Shared>>>,
}

impl Serving {
    /// Before the data is loaded.
    pub fn new(
        config: ServerConfig,
        [snap_dir, log_dir]: [PathBuf; 2],
        address: Option<SocketAddr>,
        stats: Arc<Stats>,
        clock: Clock,
    ) -> Serving {
        let members = config.ensemble.as_ref().map(|ensemble| &ensemble.members);
        let membership = Mutex::new(members.map(|members| Arc::new(members.clone())));
        Serving {
            config,
            snap_dir,
            log_dir,
            trace_mask: AtomicI64::new(DEFAULT_TRACE_MASK),
            stats,
            clock,
            address: Mutex::new(address),
            membership,
            moved: watch::Sender::new(None),
            opened: watch::Sender::new(None),
        }
    }

    /// Where clients connect; `None` without a listener.
    pub fn address(&self) -> Option<SocketAddr> {
        *self.address.lock()
    }

    /// Clients connect here from now on, or nowhere.
    pub fn bound(&self, address: Option<SocketAddr>) {
        *self.address.lock() = address;
    }

    /// The members of the ensemble; `None` on a standalone server.
    pub fn membership(&self) -> Option<Arc<QuorumConfig>> {
        self.membership.lock().clone()
    }

    /// Another configuration holds. If it gives server `me`, this one, another client address, the
    /// listener moves there.
    pub fn configured(&self, me: i64, config: &Arc<QuorumConfig>) {
        let client = |config: &QuorumConfig| config.members.get(&me).and_then(|m| m.client.clone());
        let before = self.membership.lock().replace(config.clone());
        let before = before.and_then(|before| client(&before));
        if let Some(now) = client(config)
            && before.as_ref() != Some(&now)
        {
            self.moved.send_replace(Some(now));
        }
    }

    /// Where the listener is to move.
    pub fn moved(&self) -> watch::Receiver<Option<HostPort>> {
        self.moved.subscribe()
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
