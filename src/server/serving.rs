//! What the serving side of the process knows beside the core: configuration and paths.

use std::path::PathBuf;
use std::sync::atomic::AtomicI64;

use zk_ops::config::ServerConfig;

/// See the module.
#[derive(Debug)]
pub struct Serving {
    /// The configuration.
    pub config: ServerConfig,
    /// `dataDir/version-2`.
    pub snap_dir: PathBuf,
    /// `dataLogDir/version-2`.
    pub log_dir: PathBuf,
    /// The port in use.
    pub client_port: u16,
    /// The trace mask of `gtmk` and `stmk`, which nothing reads.
    pub trace_mask: AtomicI64,
}

/// The trace mask that Java starts with.
pub const TRACE_MASK: i64 = 306;
