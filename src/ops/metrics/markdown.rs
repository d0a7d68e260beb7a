//! The table as documentation.

use core::fmt::Write as _;

use super::table::{Fed, Kind, MetricRow, TABLE};
use super::value::Detail;

const INTRO: &str = "\
# Metrics

Generated from the table in `src/ops/metrics/table.rs`; `UPDATE_EXPECT=1 cargo test -p zk-ops`
rewrites it.

The names are Apache ZooKeeper's, all of them, because dashboards and alerts ask for them. They are
read in three ways:

- `echo mntr | nc HOST PORT`, with `mntr` on `4lw.commands.whitelist`: lines `zk_<name>`, a tab and a
  value. A summary is `avg_`, `min_`, `max_`, `cnt_` and `sum_<name>`, an advanced one `p50_`, `p95_`,
  `p99_` and `p999_` too; a key stands in front of the name.
- With `metricsProvider.className=org.apache.zookeeper.metrics.prometheus.PrometheusMetricsProvider`,
  `GET /metrics` on `metricsProvider.httpPort` (7000) of `metricsProvider.httpHost`. A summary has the
  quantile 0.5, an advanced one 0.5, 0.9 and 0.99, over the last ten minutes. `?name[]=<sample>`
  narrows a scrape.
- With that provider `mntr` has Prometheus' names and labels instead, and every number is a real one.

`org.apache.zookeeper.metrics.impl.NullMetricsProvider` leaves `mntr` its first two lines. `srst`
resets the latencies and packets of `srvr`, and with the default provider all metrics.

Times are whole milliseconds. A scrape walks neither nodes, sessions nor watches.

Of this server: one queue takes writes to be judged (`prep_`) and one to the log (`sync_`), and what is
queued meanwhile is taken as a batch, so a queue's size is that of the batch without the first. Reads
pass neither, are never in processing, and have `readlatency` 0 unless they wait for a write of their
session. `fsynctime` includes the write before the fsync.
";

/// `docs/metrics.md`.
pub fn markdown() -> String {
    let mut out = String::from(INTRO);
    out.push_str("\n## Gauges\n\n|name|meaning|\n|-|-|\n");
    for (name, meaning) in GAUGES {
        let _ = writeln!(out, "|{name}|{meaning}|");
    }
    out.push_str(ENSEMBLE_HEAD);
    for (name, roles, meaning) in ENSEMBLE_GAUGES {
        let _ = writeln!(out, "|{name}|{roles}|{meaning}|");
    }
    for (fed, title, note) in [
        (Fed::Here, "Counted by this server", ""),
        (Fed::Ensemble, "Of an ensemble", "0 in a standalone server."),
        (Fed::Later, "Of parts that are not built yet", "0."),
        (Fed::Java, "Of the Java implementation alone", "0."),
    ] {
        let _ = writeln!(out, "\n## {title}\n");
        if !note.is_empty() {
            let _ = writeln!(out, "{note}\n");
        }
        out.push_str("|name|kind|meaning|\n|-|-|-|\n");
        for row in TABLE.iter().filter(|row| row.fed == fed) {
            let MetricRow { name, meaning, .. } = row;
            let _ = writeln!(out, "|{name}|{}|{}|", kind(row.kind), meaning.trim());
        }
    }
    out
}

fn kind(kind: Kind) -> &'static str {
    match kind {
        Kind::Counter => "counter",
        Kind::CounterSet => "counters by key",
        Kind::Summary(Detail::Basic) => "summary",
        Kind::Summary(Detail::Advanced) => "advanced summary",
        Kind::SummarySet(Detail::Basic) => "summaries by key",
        Kind::SummarySet(Detail::Advanced) => "advanced summaries by key",
    }
}

const ENSEMBLE_HEAD: &str = "
## Gauges of an ensemble

Printed by a server that serves in an ensemble, not by a read-only one.
`mntr` begins with `zk_peer_state` there (`following - broadcast`), and on an observer
`zk_observer_master_id`, the id of the server that it learns from.

|name|on|meaning|
|-|-|-|
";

/// The gauges that depend on the role, in the order of `mntr`.
pub(super) const ENSEMBLE_GAUGES: &[(&str, &str, &str)] = &[
    ("quorum_size", "all", "Voters"),
    ("learners", "leader", "Connections of learners"),
    ("synced_followers", "leader", "Voting followers that serve"),
    (
        "synced_non_voting_followers",
        "leader",
        "Followers that serve without a vote",
    ),
    (
        "synced_observers",
        "leader, follower",
        "Observers that serve; on a follower those of its observerMasterPort",
    ),
    ("pending_syncs", "leader", "`sync` requests that wait"),
    ("leader_uptime", "leader", "Since it began to lead"),
    (
        "last_proposal_size",
        "leader",
        "Bytes of the last proposal; -1 before any",
    ),
    ("max_proposal_size", "leader", "Of the largest"),
    ("min_proposal_size", "leader", "Of the smallest"),
];

/// The gauges of any serving server, in the order of `mntr`.
pub(super) const GAUGES: &[(&str, &str)] = &[
    (
        "avg_latency",
        "Mean latency of requests since the start or `srst`",
    ),
    ("max_latency", "The largest"),
    ("min_latency", "The least"),
    (
        "packets_received",
        "Frames and four-letter words received since then",
    ),
    (
        "packets_sent",
        "Replies, events and answers to words sent since then",
    ),
    ("num_alive_connections", "Client connections"),
    ("outstanding_requests", "Writes that wait for their reply"),
    ("uptime", "Since the start"),
    ("znode_count", "Znodes; the root counts twice, as in Java"),
    (
        "watch_count",
        "Watches of data and of children; a persistent one is both",
    ),
    ("ephemerals_count", "Ephemeral znodes"),
    ("approximate_data_size", "Bytes of paths and data"),
    ("global_sessions", "Sessions"),
    ("local_sessions", "Local sessions; none are built"),
    ("open_file_descriptor_count", "Open files of the process"),
    ("max_file_descriptor_count", "Their limit"),
    (
        "connection_drop_probability",
        "Of the connection throttle, see `connection_throttle_freeze_time`",
    ),
    (
        "last_client_response_size",
        "Bytes of the last packet sent to a client; -1 before any",
    ),
    ("max_client_response_size", "Of the largest"),
    ("min_client_response_size", "Of the smallest"),
    ("outstanding_tls_handshake", "0: TLS is not built"),
    ("auth_failed_count", "0: only TLS counts here"),
    ("non_mtls_remote_conn_count", "0: only TLS counts here"),
    ("non_mtls_local_conn_count", "0: only TLS counts here"),
    (
        "quota_count_limit_per_namespace",
        "By top path element: limit of znodes of its quotas, the hard one if there is one",
    ),
    ("quota_bytes_limit_per_namespace", "Limit of bytes"),
    ("quota_count_usage_per_namespace", "Znodes under its quotas"),
    ("quota_bytes_usage_per_namespace", "Bytes under its quotas"),
];
