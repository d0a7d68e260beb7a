//! The renderings of metrics.

use core::fmt::{Display, Write as _};

use metrics::{Key, KeyName, Label, Level, Metadata, Recorder};
use metrics_exporter_prometheus::formatting::{
    write_help_line, write_metric_line, write_type_line,
};
use metrics_exporter_prometheus::{LabelSet, PrometheusBuilder};

use super::table::Metric;
use super::value::{Detail, Summary};
use super::{GaugeValues, Gauges, Metrics, RoleValues, process};
use crate::four_letter::NOT_SERVING;
use crate::java;

/// A gauge's value.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Number {
    Whole(i64),
    Real(f64),
}

impl Number {
    fn real(self) -> f64 {
        match self {
            Number::Whole(number) => number as f64,
            Number::Real(number) => number,
        }
    }
}

impl Display for Number {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Number::Whole(number) => write!(f, "{number}"),
            Number::Real(number) => f.write_str(&java::double(*number)),
        }
    }
}

fn whole(number: u64) -> Number {
    Number::Whole(i64::try_from(number).unwrap_or(i64::MAX))
}

/// The gauges of any serving server.
fn gauges(values: &GaugeValues) -> Vec<(&'static str, Number)> {
    let files = process::FileDescriptors::read();
    // Java prints -1 where the system does not tell.
    let file_count = |count: Option<u64>| count.map_or(Number::Whole(-1), whole);
    vec![
        ("avg_latency", Number::Real(values.latency.mean())),
        ("max_latency", Number::Whole(values.latency.max)),
        ("min_latency", Number::Whole(values.latency.min)),
        ("packets_received", whole(values.packets_received)),
        ("packets_sent", whole(values.packets_sent)),
        ("num_alive_connections", whole(values.num_alive_connections)),
        (
            "outstanding_requests",
            Number::Whole(values.outstanding_requests),
        ),
        ("uptime", whole(values.uptime_ms)),
        ("znode_count", whole(values.znode_count)),
        ("watch_count", whole(values.watch_count)),
        ("ephemerals_count", whole(values.ephemerals_count)),
        ("approximate_data_size", whole(values.approximate_data_size)),
        ("global_sessions", whole(values.global_sessions)),
        ("local_sessions", whole(values.local_sessions)),
        ("open_file_descriptor_count", file_count(files.open)),
        ("max_file_descriptor_count", file_count(files.max)),
        (
            "connection_drop_probability",
            Number::Real(values.connection_drop_probability),
        ),
        (
            "last_client_response_size",
            Number::Whole(values.client_response_size.last),
        ),
        (
            "max_client_response_size",
            Number::Whole(values.client_response_size.max),
        ),
        (
            "min_client_response_size",
            Number::Whole(values.client_response_size.min),
        ),
        ("outstanding_tls_handshake", Number::Whole(0)),
        ("auth_failed_count", whole(values.auth_failed_count)),
        (
            "non_mtls_remote_conn_count",
            whole(values.non_mtls_remote_conn_count),
        ),
        (
            "non_mtls_local_conn_count",
            whole(values.non_mtls_local_conn_count),
        ),
    ]
}

/// The gauges of a server in an ensemble. One without a value is left out by the default provider
/// and is 0 with Prometheus.
fn ensemble_gauges(values: &GaugeValues) -> Vec<(&'static str, Option<Number>)> {
    let Some(ensemble) = &values.ensemble else {
        return Vec::new();
    };
    let mut gauges = vec![("quorum_size", Some(whole(ensemble.quorum_size)))];
    match &ensemble.role {
        RoleValues::Leader(leader) => {
            let [last, min, max] = leader
                .proposal_sizes
                .map(|size| Some(Number::Whole(i64::from(size))));
            gauges.extend([
                ("learners", Some(whole(leader.learners))),
                ("synced_followers", Some(whole(leader.synced_followers))),
                (
                    "synced_non_voting_followers",
                    Some(whole(leader.synced_non_voting_followers)),
                ),
                ("synced_observers", Some(whole(leader.synced_observers))),
                ("pending_syncs", Some(whole(leader.pending_syncs))),
                ("leader_uptime", Some(whole(leader.uptime_ms))),
                ("last_proposal_size", last),
                ("max_proposal_size", max),
                ("min_proposal_size", min),
            ]);
        }
        RoleValues::Follower { synced_observers } => {
            gauges.push(("synced_observers", synced_observers.map(whole)));
        }
        RoleValues::Observer { master: _ } => {}
    }
    gauges
}

/// The gauges that have a value per key.
fn gauge_sets(values: &GaugeValues) -> [(&'static str, &[(String, i64)]); 4] {
    [
        ("quota_count_limit_per_namespace", &values.quota_count_limit),
        ("quota_bytes_limit_per_namespace", &values.quota_bytes_limit),
        ("quota_count_usage_per_namespace", &values.quota_count_usage),
        ("quota_bytes_usage_per_namespace", &values.quota_bytes_usage),
    ]
}

impl Metrics {
    /// `mntr` with the default provider: `zk_<name>\t<value>`, whole numbers plain, means with four
    /// decimals, keys of a set in front of the name.
    pub fn mntr(&self, server: &dyn Gauges, version: &str) -> String {
        let Some(values) = server.gauges() else {
            return NOT_SERVING.into();
        };
        let mut out = mntr_head(server, &values, version);
        let mut line = |name: &dyn Display, value: &dyn Display| {
            let _ = writeln!(out, "zk_{name}\t{value}");
        };
        for (name, value) in gauges(&values) {
            line(&name, &value);
        }
        for (name, value) in ensemble_gauges(&values) {
            if let Some(value) = value {
                line(&name, &value);
            }
        }
        for (name, set) in gauge_sets(&values) {
            for (key, value) in set {
                line(&format_args!("{key}_{name}"), value);
            }
        }
        self.each(|name, metric| match metric {
            Metric::Counter(counter) => line(&name, &counter.get()),
            Metric::CounterSet(set) => {
                for (key, counter) in set.entries() {
                    line(&format_args!("{key}_{name}"), &counter.get());
                }
            }
            Metric::Summary(summary) => mntr_summary(&mut line, name, summary),
            Metric::SummarySet(set) => {
                for (key, summary) in set.entries() {
                    mntr_summary(&mut line, &format!("{key}_{name}"), &summary);
                }
            }
        });
        out
    }

    /// `mntr` with the null provider: version and role.
    pub fn mntr_without_metrics(server: &dyn Gauges, version: &str) -> String {
        match server.gauges() {
            Some(values) => mntr_head(server, &values, version),
            None => NOT_SERVING.into(),
        }
    }

    /// `mntr` beside the Prometheus provider: Prometheus' names and labels, every number a double.
    pub fn mntr_prometheus(
        &self,
        server: &dyn Gauges,
        version: &str,
        process_metrics: bool,
        now_ms: i64,
    ) -> String {
        let Some(values) = server.gauges() else {
            return NOT_SERVING.into();
        };
        self.rotate(now_ms);
        let mut out = mntr_head(server, &values, version);
        let mut line = |name: &str, labels: &[(&str, &str)], value: f64| {
            let _ = write!(out, "zk_{name}");
            for (at, (label, text)) in labels.iter().enumerate() {
                let _ = write!(out, "{}{label}=\"{text}\"", if at == 0 { '{' } else { ',' });
            }
            let end = if labels.is_empty() { "" } else { "}" };
            let _ = writeln!(out, "{end}\t{}", java::double(value));
        };
        for (name, value) in gauges(&values) {
            line(name, &[], value.real());
        }
        for (name, value) in ensemble_gauges(&values) {
            line(name, &[], value.map_or(0.0, Number::real));
        }
        for (name, set) in gauge_sets(&values) {
            for (key, value) in set {
                line(name, &[("key", key)], *value as f64);
            }
        }
        if process_metrics {
            for (name, _, value) in process_values() {
                line(name, &[], value);
            }
        }
        self.each(|name, metric| match metric {
            Metric::Counter(counter) => line(name, &[], counter.get() as f64),
            Metric::CounterSet(set) => {
                for (key, counter) in set.entries() {
                    line(name, &[("key", &key)], counter.get() as f64);
                }
            }
            Metric::Summary(summary) => each_sample(name, None, summary, &mut line),
            Metric::SummarySet(set) => {
                for (key, summary) in set.entries() {
                    each_sample(name, Some(&key), &summary, &mut line);
                }
            }
        });
        out
    }

    /// `/metrics`, in Prometheus' text format: Java's names without prefix or `_total`. Counters
    /// and gauges are rendered by the exporter; summaries by its line writer, because the exporter
    /// leaves the `_count` off a name that ends in `count`, knows one set of quantiles for all, and
    /// prints 0 for the quantiles of no samples where Java prints NaN.
    pub fn prometheus(&self, server: &dyn Gauges, process_metrics: bool, now_ms: i64) -> String {
        self.rotate(now_ms);
        // A recorder for this scrape alone, so that a key or gauge that is gone leaves nothing.
        let recorder = PrometheusBuilder::new().build_recorder();
        let handle = recorder.handle();
        let metadata = Metadata::new("zabkeeper", Level::INFO, None);
        let key_of = |name: &'static str, key: Option<&str>| match key {
            None => Key::from_static_name(name),
            Some(key) => Key::from_parts(name, vec![Label::new("key", key.to_string())]),
        };
        let mut rest = String::new();
        let counter = |name: &'static str, key: Option<&str>, value: u64| {
            recorder.describe_counter(KeyName::from_const_str(name), None, name.into());
            recorder
                .register_counter(&key_of(name, key), &metadata)
                .absolute(value);
        };
        let gauge = |name: &'static str, key: Option<&str>, value: f64| {
            recorder.describe_gauge(KeyName::from_const_str(name), None, name.into());
            recorder
                .register_gauge(&key_of(name, key), &metadata)
                .set(value);
        };
        if let Some(values) = server.gauges() {
            for (name, value) in gauges(&values) {
                gauge(name, None, value.real());
            }
            for (name, value) in ensemble_gauges(&values) {
                gauge(name, None, value.map_or(0.0, Number::real));
            }
            for (name, set) in gauge_sets(&values) {
                for (key, value) in set {
                    gauge(name, Some(key), *value as f64);
                }
                if set.is_empty() {
                    head(&mut rest, name, "gauge");
                }
            }
        }
        if process_metrics {
            for (name, kind, value) in process_values() {
                head(&mut rest, name, kind);
                plain_line(
                    &mut rest,
                    name,
                    &LabelSet::from_key_and_global(
                        &Key::from_static_name(name),
                        &Default::default(),
                    ),
                    None,
                    value,
                );
            }
        }
        self.each(|name, metric| match metric {
            Metric::Counter(value) => counter(name, None, value.get()),
            Metric::CounterSet(set) => {
                let entries = set.entries();
                for (key, value) in &entries {
                    counter(name, Some(key), value.get());
                }
                if entries.is_empty() {
                    head(&mut rest, name, "counter");
                }
            }
            Metric::Summary(summary) => {
                head(&mut rest, name, "summary");
                prometheus_summary(&mut rest, name, &key_of(name, None), summary);
            }
            Metric::SummarySet(set) => {
                head(&mut rest, name, "summary");
                for (key, summary) in set.entries() {
                    prometheus_summary(&mut rest, name, &key_of(name, Some(&key)), &summary);
                }
            }
        });
        let mut out = handle.render();
        out.push_str(&rest);
        out
    }
}

fn mntr_head(server: &dyn Gauges, values: &GaugeValues, version: &str) -> String {
    let mode = server.mode().name();
    let mut out = format!("zk_version\t{version}\nzk_server_state\t{mode}\n");
    if let Some(ensemble) = &values.ensemble {
        let _ = writeln!(out, "zk_peer_state\t{}", ensemble.state);
        if let RoleValues::Observer { master } = ensemble.role {
            let _ = writeln!(out, "zk_observer_master_id\t{master}");
        }
    }
    out
}

fn mntr_summary(line: &mut impl FnMut(&dyn Display, &dyn Display), name: &str, summary: &Summary) {
    let values = summary.values();
    line(&format_args!("avg_{name}"), &java::double(values.mean()));
    line(&format_args!("min_{name}"), &values.min);
    line(&format_args!("max_{name}"), &values.max);
    line(&format_args!("cnt_{name}"), &values.count);
    line(&format_args!("sum_{name}"), &values.sum);
    if summary.detail() == Detail::Advanced {
        let quantiles = summary.quantiles([0.5, 0.95, 0.99, 0.999]);
        for (label, value) in ["p50", "p95", "p99", "p999"].iter().zip(quantiles) {
            line(&format_args!("{label}_{name}"), &value);
        }
    }
}

/// The quantiles that a summary has for Prometheus, with their labels.
fn recent_quantiles(summary: &Summary) -> Vec<(&'static str, f64)> {
    let real = |value: Option<i64>| value.map_or(f64::NAN, |value| value as f64);
    match summary.detail() {
        Detail::Basic => {
            let [median] = summary.recent_quantiles([0.5]);
            vec![("0.5", real(median))]
        }
        Detail::Advanced => {
            let [median, p90, p99] = summary.recent_quantiles([0.5, 0.9, 0.99]);
            vec![
                ("0.5", real(median)),
                ("0.9", real(p90)),
                ("0.99", real(p99)),
            ]
        }
    }
}

fn each_sample(
    name: &str,
    key: Option<&str>,
    summary: &Summary,
    line: &mut impl FnMut(&str, &[(&str, &str)], f64),
) {
    let key_label = key.map(|key| ("key", key));
    let labels = |more: Option<(&'static str, &'static str)>| -> Vec<(&str, &str)> {
        key_label.into_iter().chain(more).collect()
    };
    for (quantile, value) in recent_quantiles(summary) {
        line(name, &labels(Some(("quantile", quantile))), value);
    }
    let values = summary.values();
    line(&format!("{name}_count"), &labels(None), values.count as f64);
    line(&format!("{name}_sum"), &labels(None), values.sum as f64);
}

fn head(out: &mut String, name: &str, kind: &str) {
    write_help_line(out, name, None, None, name);
    write_type_line(out, name, None, None, kind);
}

fn plain_line(
    out: &mut String,
    name: &str,
    labels: &LabelSet,
    quantile: Option<(&'static str, &'static str)>,
    value: f64,
) {
    write_metric_line(out, name, None, labels, quantile, value, None);
}

fn prometheus_summary(out: &mut String, name: &str, key: &Key, summary: &Summary) {
    let labels = LabelSet::from_key_and_global(key, &Default::default());
    for (quantile, value) in recent_quantiles(summary) {
        plain_line(out, name, &labels, Some(("quantile", quantile)), value);
    }
    let values = summary.values();
    plain_line(
        out,
        &format!("{name}_count"),
        &labels,
        None,
        values.count as f64,
    );
    plain_line(
        out,
        &format!("{name}_sum"),
        &labels,
        None,
        values.sum as f64,
    );
}

/// Name, kind and value of the metrics of the process, as far as the system tells.
fn process_values() -> Vec<(&'static str, &'static str, f64)> {
    let times = process::Times::read();
    let files = process::FileDescriptors::read();
    let memory = process::Memory::read();
    let number = |value: Option<u64>| value.map(|value| value as f64);
    [
        ("process_cpu_seconds_total", "counter", times.cpu),
        ("process_start_time_seconds", "gauge", times.start),
        ("process_open_fds", "gauge", number(files.open)),
        ("process_max_fds", "gauge", number(files.max)),
        (
            "process_virtual_memory_bytes",
            "gauge",
            number(memory.mapped),
        ),
        (
            "process_resident_memory_bytes",
            "gauge",
            number(memory.resident),
        ),
    ]
    .into_iter()
    .filter_map(|(name, kind, value)| value.map(|value| (name, kind, value)))
    .collect()
}
