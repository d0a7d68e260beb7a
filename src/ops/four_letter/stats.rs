//! `srvr`, `stat`, `conf`, `dirs`, and the version text.

use core::fmt::Write as _;
use std::path::PathBuf;

use super::ConnectionInfo;
use crate::java;

/// The version of ZooKeeper whose behaviour and texts this server has.
const COMPATIBLE_VERSION: &str = "3.9.5";

/// `3.9.5-zabkeeper-<own version>, built on <yyyy-MM-dd HH:mm UTC>`: in `srvr`, `stat`, `mntr` and
/// `envi`. Clients choose their features by its first part.
pub fn version_text(own_version: &str, built_on: &str) -> String {
    format!("{COMPATIBLE_VERSION}-zabkeeper-{own_version}, built on {built_on}")
}

/// The role of a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ServerMode {
    /// No ensemble.
    Standalone,
    /// Leader.
    Leader,
    /// Follower.
    Follower,
    /// Observer.
    Observer,
    /// Read-only server without a quorum.
    ReadOnly,
}

impl ServerMode {
    /// The name in `Mode:` and in `zk_server_state`.
    pub fn name(self) -> &'static str {
        match self {
            ServerMode::Standalone => "standalone",
            ServerMode::Leader => "leader",
            ServerMode::Follower => "follower",
            ServerMode::Observer => "observer",
            ServerMode::ReadOnly => "read-only",
        }
    }
}

/// Request latencies since the start or `srst`, ms.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Latency {
    /// The least; 0 without a request.
    pub min: i64,
    /// The largest; 0 without a request.
    pub max: i64,
    /// Sum of all.
    pub total: i64,
    /// Number of requests.
    pub count: i64,
}

impl Latency {
    /// The mean, to four decimals.
    pub fn mean(&self) -> f64 {
        java::mean(self.total, self.count)
    }
}

/// What `srvr` prints.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerStats {
    /// See [`version_text`].
    pub version: String,
    /// Request latencies.
    pub latency: Latency,
    /// Packets received.
    pub received: u64,
    /// Packets sent.
    pub sent: u64,
    /// Open client connections, the asking one among them.
    pub connections: usize,
    /// Requests in flight.
    pub outstanding: i64,
    /// Last zxid applied.
    pub zxid: i64,
    /// Role.
    pub mode: ServerMode,
    /// Znodes.
    pub node_count: u64,
    /// On a leader: size of the last, the smallest and the largest proposal; -1 before any.
    pub proposal_sizes: Option<[i32; 3]>,
}

/// `srvr`.
pub fn srvr(stats: &ServerStats) -> String {
    let mut out = head(stats);
    body(&mut out, stats);
    out
}

/// `stat`.
pub fn stat(stats: &ServerStats, connections: &[ConnectionInfo]) -> String {
    let mut out = head(stats);
    out.push_str("Clients:\n");
    for connection in connections {
        connection.write_short(&mut out);
        out.push('\n');
    }
    out.push('\n');
    body(&mut out, stats);
    out
}

fn head(stats: &ServerStats) -> String {
    let mut out = format!("Zookeeper version: {}\n", stats.version);
    if stats.mode == ServerMode::ReadOnly {
        out.push_str("READ-ONLY mode; serving only read-only clients\n");
    }
    out
}

fn body(out: &mut String, stats: &ServerStats) {
    let latency = &stats.latency;
    let _ = write!(
        out,
        "Latency min/avg/max: {}/{}/{}\nReceived: {}\nSent: {}\nConnections: {}\n\
         Outstanding: {}\nZxid: 0x{:x}\nMode: {}\nNode count: {}\n",
        latency.min,
        java::double(latency.mean()),
        latency.max,
        stats.received,
        stats.sent,
        stats.connections,
        stats.outstanding,
        stats.zxid,
        stats.mode.name(),
        stats.node_count
    );
    if let Some([last, min, max]) = stats.proposal_sizes {
        let _ = writeln!(out, "Proposal sizes last/min/max: {last}/{min}/{max}");
    }
}

/// What `conf` adds in an ensemble.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QuorumConf {
    /// In ticks.
    pub init_limit: i32,
    /// In ticks.
    pub sync_limit: i32,
    /// Ports of the own election addresses, each once.
    pub election_ports: Vec<u16>,
    /// Ports of the own peer addresses, each once.
    pub quorum_ports: Vec<u16>,
    /// Whether the server is an observer.
    pub observer: bool,
    /// The configuration as rendered in the config znode, which ends with `version=<hex>` and no
    /// line end. A read-only server prints none.
    pub membership: Option<String>,
}

/// What `conf` prints.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfInfo {
    /// Port that is bound; -1 without a listener.
    pub client_port: i32,
    /// TLS port that is bound; -1 without one.
    pub secure_client_port: i32,
    /// Absolute path of dataDir's version-2.
    pub data_dir: PathBuf,
    /// Its size in bytes.
    pub data_dir_size: u64,
    /// Absolute path of dataLogDir's version-2.
    pub data_log_dir: PathBuf,
    /// Its size in bytes.
    pub data_log_size: u64,
    /// Tick, ms.
    pub tick_time_ms: u32,
    /// Limit of connections per address, as set.
    pub max_client_cnxns: i32,
    /// Least session timeout.
    pub min_session_timeout_ms: i32,
    /// Largest session timeout.
    pub max_session_timeout_ms: i32,
    /// As set; -1 by default.
    pub client_port_listen_backlog: i32,
    /// 0 on a standalone server, whatever its myid.
    pub server_id: i64,
    /// In an ensemble.
    pub quorum: Option<QuorumConf>,
}

/// `conf`.
pub fn conf(info: &ConfInfo) -> String {
    let mut out = format!(
        "clientPort={}\nsecureClientPort={}\ndataDir={}\ndataDirSize={}\ndataLogDir={}\n\
         dataLogSize={}\ntickTime={}\nmaxClientCnxns={}\nminSessionTimeout={}\n\
         maxSessionTimeout={}\nclientPortListenBacklog={}\nserverId={}\n",
        info.client_port,
        info.secure_client_port,
        info.data_dir.display(),
        info.data_dir_size,
        info.data_log_dir.display(),
        info.data_log_size,
        info.tick_time_ms,
        info.max_client_cnxns,
        info.min_session_timeout_ms,
        info.max_session_timeout_ms,
        info.client_port_listen_backlog,
        info.server_id
    );
    if let Some(quorum) = &info.quorum {
        let _ = write!(
            out,
            "initLimit={}\nsyncLimit={}\nelectionAlg=3\nelectionPort={}\nquorumPort={}\n\
             peerType={}\n",
            quorum.init_limit,
            quorum.sync_limit,
            ports(&quorum.election_ports),
            ports(&quorum.quorum_ports),
            u8::from(quorum.observer)
        );
        if let Some(membership) = &quorum.membership {
            let _ = write!(out, "membership: \n{membership}");
        }
    }
    out
}

fn ports(ports: &[u16]) -> String {
    let ports: Vec<String> = ports.iter().map(u16::to_string).collect();
    ports.join("|")
}

/// `dirs`.
pub fn dirs(data_dir_size: u64, log_dir_size: u64) -> String {
    format!("datadir_size: {data_dir_size}\nlogdir_size: {log_dir_size}\n")
}
