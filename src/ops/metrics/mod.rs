//! Metrics: counted by the server, read by `mntr` and by Prometheus.
//!
//! Owns: the table of names and kinds ([`TABLE`]), what is counted into ([`Metrics`]), and the
//! three renderings: `mntr` as the default provider has it, `mntr` as it is beside the Prometheus
//! provider, and `/metrics`.
//!
//! Does not know: when something happens (the server records), nor sockets (the server's HTTP
//! route serves what [`Metrics::prometheus`] renders).
//!
//! Invariants: recording never locks or allocates but for a set's new key; every name that a
//! standalone Java server shows is shown.

mod markdown;
pub mod process;
mod render;
mod table;
mod value;

use crate::four_letter::{Latency, ServerMode};

pub use markdown::markdown;
pub use table::{Fed, Kind, MetricRow, Metrics, TABLE};
pub use value::{Counter, CounterSet, Detail, Set, Summary, SummarySet, SummaryValues};

/// Content type of `/metrics`.
pub const PROMETHEUS_CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

impl Metrics {
    /// Empty metrics. With `prometheus` they keep what Prometheus quantiles need.
    pub fn new(prometheus: bool) -> Metrics {
        Metrics::with_prometheus(prometheus)
    }

    /// `srst`. Java resets its default provider's metrics with it, and leaves Prometheus' alone; so
    /// call this with the default provider only.
    pub fn reset(&self) {
        self.each(|_, metric| match metric {
            table::Metric::Counter(counter) => counter.reset(),
            table::Metric::CounterSet(set) => {
                set.entries()
                    .iter()
                    .for_each(|(_, counter)| counter.reset());
            }
            table::Metric::Summary(summary) => summary.reset(),
            table::Metric::SummarySet(set) => {
                set.entries()
                    .iter()
                    .for_each(|(_, summary)| summary.reset());
            }
        });
    }

    /// Moves the ten minutes on that Prometheus quantiles look back over. To be called once a
    /// minute with the monotonic time; rendering does it too.
    pub fn rotate(&self, now_ms: i64) {
        self.each(|_, metric| match metric {
            table::Metric::Counter(_) | table::Metric::CounterSet(_) => {}
            table::Metric::Summary(summary) => summary.rotate(now_ms),
            table::Metric::SummarySet(set) => {
                set.entries()
                    .iter()
                    .for_each(|(_, summary)| summary.rotate(now_ms));
            }
        });
    }
}

/// Size of replies, bytes; -1 before any.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ResponseSizes {
    /// The last.
    pub last: i64,
    /// The smallest.
    pub min: i64,
    /// The largest.
    pub max: i64,
}

impl Default for ResponseSizes {
    fn default() -> Self {
        ResponseSizes {
            last: -1,
            min: -1,
            max: -1,
        }
    }
}

/// Numbers that the server reads off at a scrape. While it does not serve there are none, and the
/// gauges are absent.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct GaugeValues {
    /// Request latencies since the start or `srst`.
    pub latency: Latency,
    /// Packets received since then.
    pub packets_received: u64,
    /// Packets sent since then.
    pub packets_sent: u64,
    /// Open client connections.
    pub num_alive_connections: u64,
    /// Requests in flight.
    pub outstanding_requests: i64,
    /// Since the start, ms.
    pub uptime_ms: u64,
    /// Znodes.
    pub znode_count: u64,
    /// Watches, of data and of children.
    pub watch_count: u64,
    /// Ephemeral znodes.
    pub ephemerals_count: u64,
    /// Bytes of paths and data.
    pub approximate_data_size: u64,
    /// Sessions.
    pub global_sessions: u64,
    /// Local sessions.
    pub local_sessions: u64,
    /// Of the connection throttle.
    pub connection_drop_probability: f64,
    /// Replies since the start or `srst`.
    pub client_response_size: ResponseSizes,
    /// Failed authentications.
    pub auth_failed_count: u64,
    /// Connections without client certificate from elsewhere.
    pub non_mtls_remote_conn_count: u64,
    /// Connections without client certificate from this machine.
    pub non_mtls_local_conn_count: u64,
    /// Limit of znodes of a quota, by top path element.
    pub quota_count_limit: Vec<(String, i64)>,
    /// Znodes under a quota.
    pub quota_count_usage: Vec<(String, i64)>,
    /// Limit of bytes of a quota.
    pub quota_bytes_limit: Vec<(String, i64)>,
    /// Bytes under a quota.
    pub quota_bytes_usage: Vec<(String, i64)>,
    /// In an ensemble with a quorum. A read-only server has none.
    pub ensemble: Option<EnsembleValues>,
}

/// What a server of an ensemble adds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EnsembleValues {
    /// What the server does: see [`PeerState`].
    pub state: PeerState,
    /// Voters of the configuration.
    pub quorum_size: u64,
    /// What its role adds.
    pub role: RoleValues,
}

/// What a role adds to the gauges.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RoleValues {
    /// The leader.
    Leader(LeaderValues),
    /// A follower, with the number of its observers if it is an observer master.
    Follower {
        /// `None` without observerMasterPort; the default provider then leaves the name out.
        synced_observers: Option<u64>,
    },
    /// An observer.
    Observer {
        /// Id of the server that it learns from.
        master: i64,
    },
}

/// Numbers of a leader.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LeaderValues {
    /// Learners with a connection, synchronised or not.
    pub learners: u64,
    /// Voting followers that serve.
    pub synced_followers: u64,
    /// Followers that serve without a vote: of a configuration that is no more or not yet.
    pub synced_non_voting_followers: u64,
    /// Observers that serve.
    pub synced_observers: u64,
    /// `sync` requests that wait for a commit.
    pub pending_syncs: u64,
    /// Since it began to lead, ms.
    pub uptime_ms: u64,
    /// Size of the last, the smallest and the largest proposal, bytes; -1 before any.
    pub proposal_sizes: [i32; 3],
}

/// What a server of an ensemble does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PeerState {
    /// Looking, or the role that it has or begins.
    pub role: PeerRole,
    /// How far it is; `None` while it looks for a leader.
    pub phase: Option<PeerPhase>,
}

/// A server's part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PeerRole {
    /// In an election.
    Looking,
    /// Leader.
    Leading,
    /// Follower.
    Following,
    /// Observer.
    Observing,
}

/// Phase between an election and service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PeerPhase {
    /// Agreement on the epoch.
    Discovery,
    /// A learner takes over the leader's history; how is known once the leader has said it.
    Synchronization(Option<SyncMode>),
    /// Service.
    Broadcast,
}

/// How a learner takes over the leader's history.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SyncMode {
    /// The transactions that it lacks.
    Diff,
    /// A whole snapshot.
    Snap,
    /// Without those that it has too many.
    Trunc,
}

impl core::fmt::Display for PeerState {
    /// The value of `peer_state`: `following - synchronization - diff`.
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self.role {
            PeerRole::Looking => "looking",
            PeerRole::Leading => "leading",
            PeerRole::Following => "following",
            PeerRole::Observing => "observing",
        })?;
        match self.phase {
            None => Ok(()),
            Some(PeerPhase::Discovery) => f.write_str(" - discovery"),
            Some(PeerPhase::Broadcast) => f.write_str(" - broadcast"),
            Some(PeerPhase::Synchronization(mode)) => {
                f.write_str(" - synchronization")?;
                f.write_str(match mode {
                    None => "",
                    Some(SyncMode::Diff) => " - diff",
                    Some(SyncMode::Snap) => " - snap",
                    Some(SyncMode::Trunc) => " - trunc",
                })
            }
        }
    }
}

/// What the server implements so that metrics can be read off it.
pub trait Gauges {
    /// The numbers of the moment; `None` while the server does not serve.
    fn gauges(&self) -> Option<GaugeValues>;

    /// The role, for the second line of `mntr`.
    fn mode(&self) -> ServerMode;
}

#[cfg(test)]
mod tests;
