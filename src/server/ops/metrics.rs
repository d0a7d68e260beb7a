//! `mntr`, and `/metrics` over HTTP. What they print is `zk_ops::metrics`'; here are the numbers
//! that are read off the server, and the route.
//!
//! A scrape walks neither nodes, sessions nor watches: what it needs is counted as it changes. It
//! looks up the nodes of each quota.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use axum::Router;
use axum::extract::{RawQuery, State};
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use axum::routing::get;
use zk_core::quota::{LIMITS, QUOTA, STATS, Track};
use zk_core::tally::namespace;
use zk_core::tree::Tree;
use zk_ops::config::MetricsProvider;
use zk_ops::four_letter::ServerMode;
use zk_ops::metrics::{
    EnsembleValues, GaugeValues, Gauges, LeaderValues, Metrics, PROMETHEUS_CONTENT_TYPE, PeerPhase,
    PeerRole, PeerState, RoleValues,
};
use zk_zab::Counts;

use super::four_letter::{data_size, mode, znode_count};
use crate::gate::Shared;
use crate::serving::Serving;
use crate::version;

/// How often the time over which quantiles look back moves on.
const ROTATE: Duration = Duration::from_secs(60);

impl Gauges for Serving {
    fn gauges(&self) -> Option<GaugeValues> {
        let shared = self.shared()?;
        let mode = mode(&shared).or_else(|| leads(&shared))?;
        Some(gauges(self, &shared, mode))
    }

    fn mode(&self) -> ServerMode {
        let mode = self.shared().and_then(|shared| mode(&shared));
        mode.unwrap_or(ServerMode::Standalone)
    }
}

/// A leader that serves no clients (`leaderServes`) has no words, but what it measures is there.
fn leads(shared: &Shared) -> Option<ServerMode> {
    let status = (*shared.status.lock())?;
    let leads = status.state == zk_wire::quorum::notification::PeerState::Leading;
    (leads && status.established).then_some(ServerMode::Leader)
}

fn gauges(serving: &Serving, shared: &Shared, mode: ServerMode) -> GaugeValues {
    let stats = &shared.stats;
    let watch_count = shared.watches.lock().count() as u64;
    let uptime_ms = shared.clock.mono_ms() - stats.started_ms.load(Ordering::Relaxed);
    let mut values = GaugeValues {
        latency: stats.latency(),
        packets_received: stats.received.get(),
        packets_sent: stats.packets_sent(),
        num_alive_connections: shared.registry.len() as u64,
        outstanding_requests: shared.in_process.load(Ordering::Relaxed) as i64,
        uptime_ms: uptime_ms as u64,
        watch_count,
        connection_drop_probability: shared.throttles.drop_probability(),
        client_response_size: stats.response_sizes(),
        local_sessions: shared.local_sessions.load(Ordering::Relaxed) as u64,
        ensemble: ensemble(serving, shared, mode),
        ..GaugeValues::default()
    };
    let tree = shared.tree.read();
    values.znode_count = znode_count(&tree);
    values.ephemerals_count = tree.ephemeral_count() as u64;
    values.approximate_data_size = data_size(&tree);
    values.global_sessions = tree.session_count() as u64;
    quotas(&tree, &mut values);
    values
}

/// What a member adds in its role. A read-only server adds nothing.
fn ensemble(serving: &Serving, shared: &Shared, mode: ServerMode) -> Option<EnsembleValues> {
    let status = (*shared.status.lock())?;
    let (role, values) = match mode {
        ServerMode::Standalone | ServerMode::ReadOnly => return None,
        ServerMode::Leader => {
            let learners = status.learners;
            let uptime_ms = shared.clock.mono_ms() - status.established_ms;
            let values = LeaderValues {
                learners: learners.links as u64,
                synced_followers: learners.followers as u64,
                synced_non_voting_followers: learners.non_voting as u64,
                synced_observers: learners.observers as u64,
                pending_syncs: shared.pending_syncs.load(Ordering::Relaxed) as u64,
                uptime_ms: uptime_ms.max(0) as u64,
                proposal_sizes: proposal_sizes(shared),
            };
            (PeerRole::Leading, RoleValues::Leader(values))
        }
        ServerMode::Follower => {
            // Java names them only where it serves observers.
            let port = serving.config.ensemble.as_ref();
            let port = port.and_then(|ensemble| ensemble.observer_master_port);
            let synced_observers = port.map(|_| status.learners.observers as u64);
            (
                PeerRole::Following,
                RoleValues::Follower { synced_observers },
            )
        }
        ServerMode::Observer => {
            let master = status.leader.map_or(-1, |leader| leader.0);
            (PeerRole::Observing, RoleValues::Observer { master })
        }
    };
    let members = serving.membership();
    Some(EnsembleValues {
        state: PeerState {
            role,
            phase: Some(PeerPhase::Broadcast),
        },
        quorum_size: members.map_or(0, |members| members.voters().count() as u64),
        role: values,
    })
}

/// Bytes of the last, the smallest and the largest proposal of this leader; -1 before any.
pub(super) fn proposal_sizes(shared: &Shared) -> [i32; 3] {
    let sizes = shared.stats.proposals.get();
    sizes.map(|size| i32::try_from(size).unwrap_or(i32::MAX))
}

/// Hands over what the quorum layer has counted.
pub fn count_quorum(metrics: &Metrics, counts: &Counts) {
    for (count, counter) in [
        (counts.looked, &metrics.looking_count),
        (counts.diffs, &metrics.diff_count),
        (counts.snaps, &metrics.snap_count),
        (counts.proposed, &metrics.proposal_count),
        (counts.committed, &metrics.commit_count),
        (counts.revalidated, &metrics.revalidate_count),
        (counts.disloyal, &metrics.quit_leading_due_to_disloyal_voter),
        (
            counts.proposals_received,
            &metrics.learner_proposal_received_count,
        ),
        (
            counts.commits_received,
            &metrics.learner_commit_received_count,
        ),
    ] {
        if count > 0 {
            counter.add(count);
        }
    }
    for (samples, summary) in [
        (&counts.elections_ms, &metrics.election_time),
        (&counts.unavailable_ms, &metrics.unavailable_time),
        (
            &counts.leader_unavailable_ms,
            &metrics.leader_unavailable_time,
        ),
        (&counts.diffs_at_once, &metrics.inflight_diff_count),
        (&counts.snaps_at_once, &metrics.inflight_snap_count),
        (&counts.follower_syncs_ms, &metrics.follower_sync_time),
        (&counts.observer_syncs_ms, &metrics.observer_sync_time),
        (&counts.proposal_latency_ms, &metrics.proposal_latency),
        (
            &counts.ack_creation_ms,
            &metrics.proposal_ack_creation_latency,
        ),
        (&counts.quorum_ack_ms, &metrics.quorum_ack_latency),
        (
            &counts.commit_latency_ms,
            &metrics.commit_propagation_latency,
        ),
    ] {
        for (value, times) in samples.iter() {
            summary.record_many(value, times);
        }
    }
    for (sid, ms) in &counts.acks_ms {
        let summary = metrics.ack_latency.summary(&sid.to_string());
        summary.record(*ms);
    }
}

/// Limits and usage, added up by the top element of the subtrees. A hard limit hides the soft one.
fn quotas(tree: &Tree, values: &mut GaugeValues) {
    let mut sums: BTreeMap<&str, [Option<i64>; 4]> = BTreeMap::new();
    for subject in tree.quotas().iter() {
        let Some(top) = namespace(subject) else {
            continue;
        };
        let track = |name: &str| {
            // A node that is not resident is not waited for.
            let node = tree.get(&format!("{QUOTA}{subject}/{name}")).ok()??;
            Track::parse(node.data())
        };
        let hard = |hard: i64, soft: i64| if hard > -1 { hard } else { soft };
        let sums = sums.entry(top).or_default();
        let mut add = |at: usize, number: i64| {
            *sums[at].get_or_insert(0) += number;
        };
        if let Some(limits) = track(LIMITS) {
            add(0, hard(limits.count_hard(), limits.count()));
            add(1, hard(limits.bytes_hard(), limits.bytes()));
        }
        if let Some(usage) = track(STATS) {
            add(2, usage.count());
            add(3, usage.bytes());
        }
    }
    let gathered = |at: usize| {
        sums.iter()
            .filter_map(|(top, sums)| Some(((*top).to_owned(), sums[at]?)))
            .collect()
    };
    values.quota_count_limit = gathered(0);
    values.quota_bytes_limit = gathered(1);
    values.quota_count_usage = gathered(2);
    values.quota_bytes_usage = gathered(3);
}

/// `mntr`, in the form that goes with the provider.
pub fn mntr(serving: &Serving) -> String {
    let metrics = &serving.stats.metrics;
    let version = version::text();
    match &serving.config.metrics {
        MetricsProvider::Default => metrics.mntr(serving, &version),
        MetricsProvider::Null => Metrics::mntr_without_metrics(serving, &version),
        MetricsProvider::Prometheus {
            process_metrics, ..
        } => {
            let now_ms = serving.clock.mono_ms();
            metrics.mntr_prometheus(serving, &version, *process_metrics, now_ms)
        }
    }
}

/// Binds the address of `/metrics`, if the provider has one.
///
/// # Errors
/// What a refused start says: the host is unknown, or the port is in use.
pub fn bind(provider: &MetricsProvider) -> Result<Option<std::net::TcpListener>, String> {
    let MetricsProvider::Prometheus { host, port, .. } = provider else {
        return Ok(None);
    };
    let fail = |error: std::io::Error| format!("cannot serve /metrics on {host}:{port}: {error}");
    let listener = std::net::TcpListener::bind((host.as_str(), *port)).map_err(fail)?;
    listener.set_nonblocking(true).map_err(fail)?;
    Ok(Some(listener))
}

/// Serves `/metrics`, and nothing else, for ever. Where it listens is said once.
///
/// # Errors
/// The listener cannot be used.
pub async fn serve(serving: Arc<Serving>, listener: std::net::TcpListener) -> std::io::Result<()> {
    let listener = tokio::net::TcpListener::from_std(listener)?;
    if let Ok(address) = listener.local_addr() {
        tracing::info!("metrics on http://{address}/metrics");
    }
    axum::serve(listener, router(serving)).await
}

/// Keeps the window of quantiles moving.
pub async fn rotate(serving: Arc<Serving>) {
    let mut ticks = tokio::time::interval(ROTATE);
    loop {
        ticks.tick().await;
        serving.stats.metrics.rotate(serving.clock.mono_ms());
    }
}

/// Where `/metrics` listens, for what is printed at start.
pub fn address(listener: Option<&std::net::TcpListener>) -> Option<SocketAddr> {
    listener?.local_addr().ok()
}

fn router(serving: Arc<Serving>) -> Router {
    Router::new()
        .route("/metrics", get(scrape).post(scrape))
        .with_state(serving)
}

async fn scrape(
    State(serving): State<Arc<Serving>>,
    RawQuery(query): RawQuery,
) -> impl IntoResponse {
    let MetricsProvider::Prometheus {
        process_metrics, ..
    } = &serving.config.metrics
    else {
        unreachable!("the route exists with this provider only");
    };
    let now_ms = serving.clock.mono_ms();
    let metrics = &serving.stats.metrics;
    let mut text = metrics.prometheus(&*serving, *process_metrics, now_ms);
    let names = wanted(query.as_deref().unwrap_or_default());
    if !names.is_empty() {
        text = only(&text, &names);
    }
    ([(CONTENT_TYPE, PROMETHEUS_CONTENT_TYPE)], text)
}

/// The names of `?name[]=a&name[]=b`, by which a scrape may be narrowed.
fn wanted(query: &str) -> Vec<&str> {
    query
        .split('&')
        .filter_map(|pair| {
            let (key, name) = pair.split_once('=')?;
            matches!(key, "name[]" | "name%5B%5D" | "name%5b%5d").then_some(name)
        })
        .collect()
}

/// The samples of these names, and the heads of their families.
fn only(text: &str, names: &[&str]) -> String {
    let mut out = String::new();
    let mut head: Vec<&str> = Vec::new();
    for line in text.lines() {
        if line.starts_with('#') {
            if line.starts_with("# HELP") {
                head.clear();
            }
            head.push(line);
            continue;
        }
        let name = line.split(['{', ' ']).next().unwrap_or_default();
        if names.contains(&name) {
            for line in head.drain(..).chain([line]) {
                out.push_str(line);
                out.push('\n');
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scrape_is_narrowed_by_names() {
        assert_eq!(wanted("name[]=a&x=b&name%5B%5D=c"), ["a", "c"]);
        assert!(wanted("").is_empty());
        let text = "# HELP a a\n# TYPE a summary\na{quantile=\"0.5\",} 1.0\na_count 2\n\
                    # HELP b b\n# TYPE b gauge\nb 3\n";
        assert_eq!(
            only(text, &["a_count"]),
            "# HELP a a\n# TYPE a summary\na_count 2\n"
        );
        assert_eq!(only(text, &["b"]), "# HELP b b\n# TYPE b gauge\nb 3\n");
        assert_eq!(only(text, &["c"]), "");
    }
}
