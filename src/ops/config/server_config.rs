//! The typed result of reading the configuration: every value that the server acts on.
//!
//! Owns: the structs, their units and the meaning of their edge values. Does not know where a
//! value came from or how it was written; [`super::load`] fills it in.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::PathBuf;

use super::{EnsembleConfig, Note};
use crate::four_letter::Whitelist;
use crate::throttle::{ConnectionThrottleConfig, LargeRequestConfig};

/// Where the configuration came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// A configuration file, as named on the command line.
    File(PathBuf),
    /// The positional form `<port> <datadir> [tick] [maxcnxns]`.
    Arguments,
    /// Nothing was named: the embedded default ([`super::EMBEDDED_CFG`]).
    Embedded,
}

/// The address of the plaintext client listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientAddress {
    /// The address to bind; `None` is the wildcard of both families, as the JVM binds.
    pub ip: Option<IpAddr>,
    /// The port; 0 lets the system choose.
    pub port: u16,
}

/// `DigestAuthenticationProvider.*`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DigestAuth {
    /// Whether the digest scheme exists at all.
    pub enabled: bool,
    /// Name of the message digest, upper case, one of [`super::DIGEST_ALGORITHMS`].
    pub algorithm: String,
    /// The id (`super:<base64>`) that makes a session the super user; `None` for no such id.
    pub super_digest: Option<String>,
}

/// `authProvider.*` with the ensemble provider, and `ensembleAuthName`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EnsembleAuth {
    /// Whether the provider was registered; without it the scheme is unknown.
    pub enabled: bool,
    /// The names that a client may send; `None` accepts any (Java counts those as skipped).
    pub names: Option<Vec<String>>,
}

/// The container (and TTL znode) reaper: `znode.container.*`, bare system properties.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContainerReaper {
    /// Time between two checks, ms.
    pub check_interval_ms: u32,
    /// Most deletions in one minute; with 0 Java deletes nothing (it divides by zero at every
    /// check), with a negative number it does not pause between deletions.
    pub max_per_minute: i32,
    /// A container that never had a child goes after this many ms; 0 keeps it.
    pub max_never_used_interval_ms: i64,
}

/// `request_throttle_*` and the stale request checks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestThrottle {
    /// Most requests in processing; 0 or less does not throttle.
    pub max_requests: i32,
    /// How long a stalled request waits before the limit is looked at again, ms.
    pub stall_time_ms: i32,
    /// Drop stale requests and close their connection instead of processing them.
    pub drop_stale: bool,
    /// A request whose waiting would outlast its session timeout is stale.
    pub stale_latency_check: bool,
    /// A request whose connection is closed is stale.
    pub stale_connection_check: bool,
}

/// `metricsProvider.*`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MetricsProvider {
    /// Metrics in `mntr` only.
    Default,
    /// No metrics at all: `mntr` holds the version and the server state.
    Null,
    /// Metrics over HTTP too, and `mntr` in the form that goes with it.
    Prometheus {
        /// Host to bind.
        host: String,
        /// Port to bind; 0 lets the system choose.
        port: u16,
        /// Whether the metrics of the process are exported (`exportJvmInfo`).
        process_metrics: bool,
    },
}

/// Everything that the server acts on. Times are milliseconds and sizes bytes unless the name says
/// otherwise.
#[derive(Clone, Debug, PartialEq)]
pub struct ServerConfig {
    /// Where it came from.
    pub origin: Origin,
    /// The configuration text as read (for the admin server's `initial_configuration`).
    pub initial_config: String,
    /// Client listener; `None` when no clientPort is set, which Java allows.
    pub client: Option<ClientAddress>,
    /// Accept backlog; `None` takes the JVM's default of 50.
    pub client_port_listen_backlog: Option<i32>,
    /// dataDir without `version-2`.
    pub data_dir: PathBuf,
    /// dataLogDir without `version-2`; equals `data_dir` when not set.
    pub data_log_dir: PathBuf,
    /// Length of a tick, and the width of a session expiry bucket; above 0.
    pub tick_time_ms: u32,
    /// Least session timeout granted.
    pub min_session_timeout_ms: i32,
    /// Largest session timeout granted.
    pub max_session_timeout_ms: i32,
    /// Most connections from one address; 0 or less is no limit.
    pub max_client_cnxns: i32,
    /// Most connections of the listener; 0 is no limit.
    pub max_cnxns: u32,
    /// The id in `dataDir/myid`, when there is one. A standalone server says 0 in `conf` all the
    /// same, as Java does.
    pub server_id: Option<i64>,
    /// What the server acts on in an ensemble; `None` for a standalone server.
    pub ensemble: Option<EnsembleConfig>,
    /// A client with requests in flight is not read from above this many requests in flight over
    /// all clients.
    pub global_outstanding_limit: i32,
    /// Largest frame, and largest string or buffer in one (`jute.maxbuffer`).
    pub jute_max_buffer: i32,
    /// Added to `jute_max_buffer` for what was once written here: log records and snapshots.
    pub jute_extra_size: i32,
    /// Whether the log is fsynced before a reply.
    pub force_sync: bool,
    /// Log preallocation step, KiB; 0 or less is none.
    pub prealloc_kib: i64,
    /// A log file larger than this is closed; `None` for no limit.
    pub txn_log_size_limit: Option<u64>,
    /// Transactions between two of Java's snapshots, at least 2; here, when a log file is closed.
    pub snap_count: u32,
    /// The same by bytes of log; `None` when off.
    pub snap_size_limit: Option<u64>,
    /// An fsync of the log that took longer is warned of.
    pub fsync_warning_ms: i64,
    /// Keep, log and compare tree digests.
    pub digest_enabled: bool,
    /// closeSession transactions carry the ephemeral paths.
    pub close_session_txn: bool,
    /// TTL znodes are allowed.
    pub extended_types: bool,
    /// TTL znodes of 3.5.3 are recognised too.
    pub emulate_353_ttl: bool,
    /// Hard quotas refuse instead of warning.
    pub enforce_quota: bool,
    /// ACLs are not checked.
    pub skip_acl: bool,
    /// reconfig is answered with its own errors instead of RECONFIGDISABLED.
    pub reconfig_enabled: bool,
    /// The digest scheme.
    pub digest_auth: DigestAuth,
    /// The ensemble scheme.
    pub ensemble_auth: EnsembleAuth,
    /// A connection without an id of one of these schemes gets error -124 and is closed
    /// (`enforce.auth.*`); `None` when not enforced.
    pub enforce_auth_schemes: Option<Vec<String>>,
    /// Container and TTL znode reaper.
    pub container: ContainerReaper,
    /// Connections without a session are closed after this time.
    pub sessionless_timeout_ms: u32,
    /// Throttle of new connections.
    pub connection_throttle: ConnectionThrottleConfig,
    /// Throttle of requests.
    pub request_throttle: RequestThrottle,
    /// A request that waited longer than this in the throttle is answered with error -127;
    /// 0 or less is off.
    pub throttled_op_wait_ms: i32,
    /// Budget of large requests.
    pub large_request: LargeRequestConfig,
    /// Four-letter words that are answered.
    pub four_letter: Whitelist,
    /// What measures and who serves it.
    pub metrics: MetricsProvider,
    /// TCP keepalive on client sockets.
    pub client_tcp_keep_alive: bool,
    /// Create missing data directories.
    pub datadir_autocreate: bool,
    /// Start with an empty database when there is none.
    pub db_autocreate: bool,
    /// `readonlymode.enabled`; a standalone server is never read-only.
    pub read_only_mode: bool,
    /// Least number of transactions that stay readable in the log for a learner's DIFF.
    pub diff_window_txns: u64,
    /// Most MiB of log that stay for it; the smaller of the two windows wins.
    pub diff_window_mib: u64,
    /// Every system property as Java would have it after start: `-D` and unknown keys.
    pub properties: BTreeMap<String, String>,
    /// Lines to log at start, in order.
    pub notes: Vec<Note>,
}
