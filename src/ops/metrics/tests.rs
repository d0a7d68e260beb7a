//! Against the names and kinds that Java 3.9.5 showed (`fixtures/four_letter/mntr`,
//! `fixtures/metrics`), and the forms of values.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use super::*;

struct Server(Option<GaugeValues>, ServerMode);

impl Gauges for Server {
    fn gauges(&self) -> Option<GaugeValues> {
        self.0.clone()
    }

    fn mode(&self) -> ServerMode {
        self.1
    }
}

fn standalone() -> Server {
    Server(Some(GaugeValues::default()), ServerMode::Standalone)
}

fn server() -> Server {
    let values = GaugeValues {
        latency: Latency {
            min: 0,
            max: 50,
            total: 18_439,
            count: 10_000,
        },
        packets_received: 292,
        znode_count: 9,
        quota_count_limit: vec![("app".into(), 100)],
        ..Default::default()
    };
    Server(Some(values), ServerMode::Standalone)
}

/// A server in each role as it was recorded, with keys of sets as there.
fn recorded(role: &str, prometheus: bool) -> (Server, Metrics) {
    let (mode, state, role_values) = match role {
        "leader" => {
            let leader = LeaderValues {
                learners: 3,
                synced_followers: 2,
                synced_non_voting_followers: 0,
                synced_observers: 1,
                pending_syncs: 0,
                uptime_ms: 1850,
                proposal_sizes: [98, 48, 98],
            };
            let values = RoleValues::Leader(leader);
            (ServerMode::Leader, PeerRole::Leading, values)
        }
        "follower" => {
            let values = RoleValues::Follower {
                synced_observers: None,
            };
            (ServerMode::Follower, PeerRole::Following, values)
        }
        "observer" => {
            let values = RoleValues::Observer { master: 3 };
            (ServerMode::Observer, PeerRole::Observing, values)
        }
        other => panic!("{other}"),
    };
    let values = GaugeValues {
        ensemble: Some(EnsembleValues {
            state: PeerState {
                role: state,
                phase: Some(PeerPhase::Broadcast),
            },
            quorum_size: 3,
            role: role_values,
        }),
        ..GaugeValues::default()
    };
    let metrics = Metrics::new(prometheus);
    for key in ["leader", "follower", "observer", "zookeeper"] {
        metrics.write_per_namespace.record(key, 3);
    }
    metrics.read_per_namespace.record(role, 71);
    if role == "leader" {
        for key in ["1", "2", "4"] {
            metrics.learner_handler_qp_size.record(key, 0);
            metrics.learner_handler_qp_time_ms.record(key, 0);
        }
    }
    (Server(Some(values), mode), metrics)
}

const ROLES: [&str; 3] = ["leader", "follower", "observer"];

#[test]
fn mntr_in_every_role_has_javas_names_and_head() {
    for role in ROLES {
        let (server, metrics) = recorded(role, false);
        let ours = metrics.mntr(&server, "v");
        let theirs = fixture(&format!("four_letter/mntr/{role}"));
        assert_eq!(keys(&ours, '\t'), keys(&theirs, '\t'), "{role}");
        // The head and what comes from the facts above.
        for key in ROLE_KEYS {
            if theirs.contains(&format!("zk_{key}\t")) {
                assert_eq!(value(&ours, key), value(&theirs, key), "{role}");
            }
        }
        assert_eq!(heads(&ours), heads(&theirs), "{role}");

        let (server, metrics) = recorded(role, true);
        let ours = metrics.mntr_prometheus(&server, "v", false, 0);
        let theirs = fixture(&format!("metrics/mntr_prometheus/{role}"));
        assert_eq!(keys(&ours, '\t'), keys(&theirs, '\t'), "{role}");
        assert_eq!(heads(&ours), heads(&theirs), "{role}");
    }
}

const ROLE_KEYS: [&str; 11] = [
    "server_state",
    "peer_state",
    "observer_master_id",
    "quorum_size",
    "learners",
    "synced_followers",
    "synced_non_voting_followers",
    "synced_observers",
    "last_proposal_size",
    "max_proposal_size",
    "min_proposal_size",
];

/// The lines that come in front of the metrics, without the version.
fn heads(text: &str) -> Vec<&str> {
    text.lines()
        .skip(1)
        .take_while(|line| {
            let name = line.split('\t').next().unwrap();
            ["zk_server_state", "zk_peer_state", "zk_observer_master_id"].contains(&name)
        })
        .collect()
}

#[test]
fn a_read_only_server_shows_the_names_of_a_standalone_one() {
    let metrics = Metrics::new(false);
    for key in ["leader", "follower", "observer", "zookeeper"] {
        metrics.write_per_namespace.record(key, 3);
    }
    metrics.read_per_namespace.record("follower", 71);
    let server = Server(Some(GaugeValues::default()), ServerMode::ReadOnly);
    let ours = metrics.mntr(&server, "v");
    let theirs = fixture("four_letter/mntr/read_only");
    assert_eq!(keys(&ours, '\t'), keys(&theirs, '\t'));
    assert_eq!(heads(&ours), heads(&theirs));
}

#[test]
fn prometheus_in_every_role_has_javas_names_and_types() {
    for role in ROLES {
        let (server, metrics) = recorded(role, true);
        let (types, samples) = prometheus_parts(&metrics.prometheus(&server, false, 0));
        let (java_types, java_samples) =
            prometheus_parts(&fixture(&format!("metrics/prometheus/{role}")));
        assert_eq!(types, java_types, "{role}");
        let names =
            |samples: &BTreeMap<String, f64>| samples.keys().cloned().collect::<BTreeSet<_>>();
        assert_eq!(names(&samples), names(&java_samples), "{role}");
        for key in ROLE_KEYS {
            assert_eq!(samples.get(key), java_samples.get(key), "{role}: {key}");
        }
    }
}

#[test]
fn peer_states_print_as_java_prints_them() {
    let state = |role, phase| PeerState { role, phase }.to_string();
    let diff = PeerPhase::Synchronization(Some(SyncMode::Diff));
    for (role, phase, text) in [
        (PeerRole::Looking, None, "looking"),
        (
            PeerRole::Leading,
            Some(PeerPhase::Discovery),
            "leading - discovery",
        ),
        (
            PeerRole::Following,
            Some(PeerPhase::Synchronization(None)),
            "following - synchronization",
        ),
        (
            PeerRole::Following,
            Some(diff),
            "following - synchronization - diff",
        ),
        (
            PeerRole::Observing,
            Some(PeerPhase::Broadcast),
            "observing - broadcast",
        ),
    ] {
        assert_eq!(state(role, phase), text);
    }
}

fn filled() -> Metrics {
    let metrics = Metrics::new(true);
    for _ in 0..33 {
        metrics.fsynctime.record(2);
        metrics.updatelatency.record(1);
    }
    metrics.updatelatency.record(5);
    metrics.bytes_received_count.add(4_185);
    for key in ["a", "d"] {
        metrics.write_per_namespace.record(key, 3);
    }
    metrics.read_per_namespace.record("a", 71);
    metrics.quota_exceeded_error_per_namespace.add("app", 2);
    metrics
}

fn fixture(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../../fixtures/{name}.txt"));
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The value of a line of `mntr`.
fn value<'a>(text: &'a str, key: &str) -> &'a str {
    let mut found = text.lines().filter_map(|line| {
        let (name, value) = line.split_once('\t').unwrap();
        (name == format!("zk_{key}")).then_some(value)
    });
    let value = found.next().unwrap_or_else(|| panic!("no {key} in {text}"));
    assert!(found.next().is_none(), "{key} twice");
    value
}

fn keys(text: &str, separator: char) -> BTreeSet<String> {
    text.lines()
        .map(|line| line.split(separator).next().unwrap().to_string())
        .collect()
}

#[test]
fn mntr_shows_every_name_that_java_shows() {
    let metrics = Metrics::new(false);
    for key in ["a", "d"] {
        metrics.write_per_namespace.record(key, 3);
    }
    metrics.read_per_namespace.record("a", 71);
    let ours = metrics.mntr(&standalone(), "v");
    let theirs = fixture("four_letter/mntr/filled");
    assert_eq!(keys(&ours, '\t'), keys(&theirs, '\t'));
    let firsts: Vec<&str> = ours.lines().take(2).collect();
    assert_eq!(firsts, ["zk_version\tv", "zk_server_state\tstandalone"]);
}

#[test]
fn mntr_values_have_javas_form() {
    let text = filled().mntr(&server(), "v");
    for (key, expected) in [
        ("avg_latency", "1.8439"),
        ("max_latency", "50"),
        ("packets_received", "292"),
        ("connection_drop_probability", "0.0"),
        ("last_client_response_size", "-1"),
        ("app_quota_count_limit_per_namespace", "100"),
        ("app_quota_exceeded_error_per_namespace", "2"),
        ("bytes_received_count", "4185"),
        ("avg_fsynctime", "2.0"),
        ("min_fsynctime", "2"),
        ("cnt_fsynctime", "33"),
        ("sum_fsynctime", "66"),
        ("avg_updatelatency", "1.1176"),
        ("p50_updatelatency", "1"),
        ("p999_updatelatency", "5"),
        ("avg_a_write_per_namespace", "3.0"),
        ("cnt_d_write_per_namespace", "1"),
        ("min_readlatency", "0"),
    ] {
        assert_eq!(value(&text, key), expected, "{key}");
    }
    assert!(!text.contains("zk_p50_fsynctime"));
}

/// Without the digits of values, and without labels of keys: what is left of a rendering.
#[test]
fn mntr_beside_prometheus_shows_every_name_that_java_shows() {
    let metrics = Metrics::new(true);
    for key in ["a", "e"] {
        metrics.write_per_namespace.record(key, 3);
    }
    metrics.read_per_namespace.record("a", 71);
    let server = standalone();
    let ours = metrics.mntr_prometheus(&server, "v", true, 0);
    let theirs = fixture("metrics/mntr_prometheus/filled");
    assert_eq!(keys(&ours, '\t'), keys(&theirs, '\t'));
}

#[test]
fn mntr_beside_prometheus_has_doubles() {
    let text = filled().mntr_prometheus(&server(), "v", false, 0);
    for (key, expected) in [
        ("avg_latency", "1.8439"),
        ("znode_count", "9.0"),
        ("quota_count_limit_per_namespace{key=\"app\"}", "100.0"),
        ("bytes_received_count", "4185.0"),
        ("fsynctime{quantile=\"0.5\"}", "2.0"),
        ("fsynctime_count", "33.0"),
        ("fsynctime_sum", "66.0"),
        ("updatelatency{quantile=\"0.99\"}", "5.0"),
        ("readlatency{quantile=\"0.9\"}", "NaN"),
        ("write_per_namespace{key=\"a\",quantile=\"0.5\"}", "3.0"),
        ("write_per_namespace_count{key=\"d\"}", "1.0"),
    ] {
        assert_eq!(value(&text, key), expected, "{key}");
    }
    assert!(!text.contains("zk_process_"));
}

/// Types by name, and samples (name with labels) with their value. Java ends a list of labels with
/// a comma, which Prometheus' format allows and does not need.
fn prometheus_parts(text: &str) -> (BTreeMap<String, String>, BTreeMap<String, f64>) {
    let mut types = BTreeMap::new();
    let mut samples = BTreeMap::new();
    let mut family = String::new();
    for line in text.lines().filter(|line| !line.is_empty()) {
        if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').unwrap();
            assert!(
                types.insert(name.into(), kind.into()).is_none(),
                "{name} twice"
            );
            family = name.into();
        } else if let Some(help) = line.strip_prefix("# HELP ") {
            assert_eq!(help.split(' ').count().min(2), 2);
        } else {
            let (name, value) = line.rsplit_once(' ').unwrap();
            assert!(name.starts_with(&family), "{name} stands under {family}");
            let old = samples.insert(name.replace(",}", "}"), value.parse().unwrap());
            assert!(old.is_none(), "{name} twice");
        }
    }
    (types, samples)
}

#[test]
fn prometheus_shows_every_name_type_and_label_that_java_shows() {
    let metrics = Metrics::new(true);
    for key in ["a", "e"] {
        metrics.write_per_namespace.record(key, 3);
    }
    metrics.read_per_namespace.record("a", 71);
    let server = standalone();
    let (types, samples) = prometheus_parts(&metrics.prometheus(&server, true, 0));
    let (java_types, java_samples) = prometheus_parts(&fixture("metrics/prometheus/filled"));
    assert_eq!(types, java_types);
    let names = |samples: &BTreeMap<String, f64>| samples.keys().cloned().collect::<BTreeSet<_>>();
    assert_eq!(names(&samples), names(&java_samples));
}

#[test]
fn prometheus_values() {
    let metrics = filled();
    let (_, samples) = prometheus_parts(&metrics.prometheus(&server(), false, 0));
    for (name, expected) in [
        ("znode_count", 9.0),
        ("avg_latency", 1.8439),
        ("bytes_received_count", 4_185.0),
        ("quota_count_limit_per_namespace{key=\"app\"}", 100.0),
        ("quota_exceeded_error_per_namespace{key=\"app\"}", 2.0),
        ("fsynctime{quantile=\"0.5\"}", 2.0),
        ("fsynctime_count", 33.0),
        ("fsynctime_sum", 66.0),
        ("updatelatency{quantile=\"0.99\"}", 5.0),
        ("read_per_namespace{key=\"a\",quantile=\"0.5\"}", 71.0),
        ("read_per_namespace_sum{key=\"a\"}", 71.0),
        // The exporter's own summaries would leave this suffix off.
        ("node_changed_watch_count_count", 0.0),
    ] {
        assert_eq!(samples.get(name), Some(&expected), "{name}");
    }
    assert!(samples["readlatency{quantile=\"0.5\"}"].is_nan());
}

#[test]
fn gauges_are_absent_while_not_serving() {
    let metrics = filled();
    let idle = Server(None, ServerMode::Follower);
    assert_eq!(metrics.mntr(&idle, "v"), crate::four_letter::NOT_SERVING);
    assert_eq!(
        metrics.mntr_prometheus(&idle, "v", true, 0),
        crate::four_letter::NOT_SERVING
    );
    assert_eq!(
        Metrics::mntr_without_metrics(&idle, "v"),
        crate::four_letter::NOT_SERVING
    );
    let (types, samples) = prometheus_parts(&metrics.prometheus(&idle, false, 0));
    assert!(types.values().all(|kind| kind != "gauge"));
    assert_eq!(samples["fsynctime_count"], 33.0);
    assert_eq!(
        Metrics::mntr_without_metrics(&server(), "v"),
        "zk_version\tv\nzk_server_state\tstandalone\n"
    );
}

#[test]
fn srst_empties_the_default_providers_metrics_and_keeps_keys() {
    let metrics = filled();
    metrics.reset();
    let text = metrics.mntr(&server(), "v");
    for key in [
        "cnt_fsynctime",
        "bytes_received_count",
        "p999_updatelatency",
        "max_a_write_per_namespace",
    ] {
        assert_eq!(value(&text, key), "0", "{key}");
    }
    let java = fixture("four_letter/mntr/after_srst");
    assert_eq!(value(&java, "cnt_a_write_per_namespace"), "0");
    assert_eq!(value(&java, "prep_processor_request_queued"), "0");
}

#[test]
fn rows_are_the_fields() {
    let metrics = Metrics::new(false);
    let mut names = Vec::new();
    metrics.each(|name, _| names.push(name));
    assert_eq!(names, TABLE.iter().map(|row| row.name).collect::<Vec<_>>());
}

#[test]
fn every_gauge_is_documented() {
    let text = filled().mntr(&server(), "v");
    let names = text
        .lines()
        .skip(2)
        .map(|line| line.split('\t').next().unwrap().trim_start_matches("zk_"));
    let printed: Vec<&str> = names
        .take_while(|name| !name.contains("_per_namespace"))
        .collect();
    let documented: Vec<&str> = super::markdown::GAUGES
        .iter()
        .map(|(name, _)| *name)
        .filter(|name| !name.contains("_per_namespace"))
        .collect();
    assert_eq!(printed, documented);

    let (server, metrics) = recorded("leader", false);
    let text = metrics.mntr(&server, "v");
    for (name, ..) in super::markdown::ENSEMBLE_GAUGES {
        assert!(text.contains(&format!("\nzk_{name}\t")), "{name}");
    }
}

#[test]
fn the_documentation_is_the_table() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let path = root.join("../../docs/metrics.md");
    let table = super::markdown();
    if std::env::var_os("UPDATE_EXPECT").is_some() {
        std::fs::write(&path, &table).unwrap();
    }
    let document = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        document == table,
        "docs/metrics.md is not the table: run with UPDATE_EXPECT=1"
    );
}
