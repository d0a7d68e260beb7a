//! Every case of `fixtures/config` was started once with Java 3.9.5; what it did is recorded there,
//! and this server does the same but where the case says otherwise.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use super::table::{Class, KEYS, State};
use super::*;
use crate::four_letter::FourLetterWord;

/// Called at the end of each build with the names of the rows that it read.
pub(super) fn all_honoured_rows_are_read(read: &BTreeSet<&'static str>) {
    for key in KEYS {
        if key.state == State::Honoured {
            assert!(
                read.contains(key.name),
                "{} is honoured, but not read",
                key.name
            );
        }
    }
}

/// A folder of its own, gone at the end.
pub(super) struct Folder(pub(super) PathBuf);

impl Folder {
    pub(super) fn new() -> Folder {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!(
            "zk-ops-{}-{}",
            std::process::id(),
            NEXT.fetch_add(1, Ordering::Relaxed)
        );
        let path = std::env::temp_dir().join(name);
        fs::create_dir_all(path.join("data")).unwrap();
        Folder(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../..")
        .join(path)
}

struct Case {
    folder: Folder,
    sources: Sources,
    /// Where this server is to differ from Java.
    ours: Option<String>,
}

fn case(text: &str) -> Case {
    let folder = Folder::new();
    let text = text
        .replace("@DIR@", folder.0.to_str().unwrap())
        .replace("@PORT@", "21810");
    let (mut sources, mut ours, mut dynamic) = (Sources::default(), None, String::new());
    for line in text.lines().filter_map(|line| line.strip_prefix("#! ")) {
        let (word, rest) = line.split_once(' ').unwrap();
        match word {
            "define" => sources
                .defines
                .push(rest.strip_prefix("-D").unwrap().into()),
            "myid" => fs::write(folder.0.join("data/myid"), rest.replace("\\n", "\n")).unwrap(),
            "dynamic" => dynamic.extend([rest, "\n"]),
            "arguments" => sources.arguments.extend(rest.split(' ').map(String::from)),
            "ours" => ours = Some(rest.split(' ').next().unwrap().to_string()),
            other => panic!("unknown word {other}"),
        }
    }
    if !dynamic.is_empty() {
        fs::write(folder.0.join("dynamic"), dynamic).unwrap();
    }
    let file = folder.0.join("zoo.cfg");
    fs::write(&file, text).unwrap();
    if sources.arguments.is_empty() {
        sources.arguments.push(file.to_str().unwrap().into());
    }
    Case {
        folder,
        sources,
        ours,
    }
}

#[test]
fn starts_and_refusals_are_those_of_java() {
    let folder = repository("fixtures/config");
    let table = fs::read_to_string(folder.join("outcomes.tsv")).unwrap();
    let java: BTreeMap<&str, &str> = table
        .lines()
        .map(|line| line.split_once('\t').unwrap())
        .collect();
    let document = fs::read_to_string(repository("docs/differences.md")).unwrap();
    let mut wrong = Vec::new();
    let mut seen = 0;
    for entry in fs::read_dir(&folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "cfg") {
            continue;
        }
        seen += 1;
        let name = path.file_stem().unwrap().to_str().unwrap();
        let case = case(&fs::read_to_string(&path).unwrap());
        let result = load(&case.sources);
        let outcome = match &result {
            Ok(_) => "runs".to_string(),
            Err(error) => error.exit_code.to_string(),
        };
        let java = java
            .get(name)
            .unwrap_or_else(|| panic!("{name} is not recorded"));
        if case.ours.is_some() && !document.contains(&format!("`{name}`")) {
            wrong.push(format!("{name} is not in docs/differences.md"));
        }
        match &case.ours {
            None if outcome == **java => {}
            Some(ours) if outcome == *ours && ours != java => {}
            ours => {
                let error = result.err().map(|error| error.to_string());
                wrong.push(format!(
                    "{name}: {outcome}, Java {java}, said {ours:?}: {error:?}"
                ));
            }
        }
        drop(case.folder);
    }
    assert_eq!(seen, java.len());
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_documentation_is_the_table() {
    let path = repository("docs/configuration.md");
    let table = markdown();
    if std::env::var_os("UPDATE_EXPECT").is_some() {
        fs::write(&path, &table).unwrap();
    }
    let document = fs::read_to_string(&path).unwrap_or_default();
    assert!(
        document == table,
        "docs/configuration.md is not the table: run with UPDATE_EXPECT=1"
    );
}

const PLAIN: &str = "dataDir=/tmp/x\nclientPort=2181\n";

fn load_plain(more: &str, defines: &[&str]) -> Result<ServerConfig, ConfigError> {
    let sources = Sources {
        defines: defines.iter().map(ToString::to_string).collect(),
        ..Sources::default()
    };
    let origin = Origin::File("zoo.cfg".into());
    load_text(&origin, format!("{PLAIN}{more}").as_bytes(), &sources)
}

fn ok(more: &str, defines: &[&str]) -> ServerConfig {
    load_plain(more, defines).unwrap_or_else(|error| panic!("{error}"))
}

fn refused(more: &str) -> String {
    load_plain(more, &[]).expect_err(more).to_string()
}

pub(super) fn notes(config: &ServerConfig, level: Level) -> Vec<&str> {
    let of_level = config.notes.iter().filter(|note| note.level == level);
    of_level.map(|note| note.text.as_str()).collect()
}

#[test]
fn defaults_are_javas() {
    let config = ok("", &[]);
    assert_eq!(config.notes, []);
    assert_eq!(
        config.client,
        Some(ClientAddress {
            ip: None,
            port: 2181
        })
    );
    assert_eq!(config.client_port_listen_backlog, None);
    assert_eq!(config.data_log_dir, config.data_dir);
    assert_eq!(config.tick_time_ms, 3_000);
    assert_eq!(
        (config.min_session_timeout_ms, config.max_session_timeout_ms),
        (6_000, 60_000)
    );
    assert_eq!((config.max_client_cnxns, config.max_cnxns), (60, 0));
    assert_eq!(config.server_id, None);
    assert_eq!(config.global_outstanding_limit, 1_000);
    assert_eq!(
        (config.jute_max_buffer, config.jute_extra_size),
        (1_048_575, 1_048_575)
    );
    assert!(config.force_sync && config.digest_enabled && config.close_session_txn);
    assert!(config.datadir_autocreate && config.db_autocreate);
    assert!(!config.extended_types && !config.emulate_353_ttl && !config.enforce_quota);
    assert!(!config.skip_acl && !config.reconfig_enabled);
    assert!(!config.client_tcp_keep_alive && !config.read_only_mode);
    assert_eq!(
        (config.prealloc_kib, config.txn_log_size_limit),
        (65_536, None)
    );
    assert_eq!(
        (config.snap_count, config.snap_size_limit),
        (100_000, Some(4 << 30))
    );
    assert_eq!(config.fsync_warning_ms, 1_000);
    assert_eq!(
        config.digest_auth,
        DigestAuth {
            enabled: true,
            algorithm: "SHA1".into(),
            super_digest: None
        }
    );
    assert_eq!(config.ensemble_auth, EnsembleAuth::default());
    assert_eq!(config.enforce_auth_schemes, None);
    assert_eq!(
        config.container,
        ContainerReaper {
            check_interval_ms: 60_000,
            max_per_minute: 10_000,
            max_never_used_interval_ms: 0
        }
    );
    assert_eq!(config.sessionless_timeout_ms, 10_000);
    assert_eq!(config.connection_throttle, Default::default());
    assert_eq!(config.large_request, Default::default());
    assert_eq!(
        config.request_throttle,
        RequestThrottle {
            max_requests: 0,
            stall_time_ms: 100,
            drop_stale: true,
            stale_latency_check: false,
            stale_connection_check: true
        }
    );
    assert_eq!(config.throttled_op_wait_ms, 0);
    assert_eq!(config.four_letter, Default::default());
    assert_eq!(config.metrics, MetricsProvider::Default);
    assert_eq!(
        (config.diff_window_txns, config.diff_window_mib),
        (1_000_000, 512)
    );
    assert_eq!(config.initial_config, PLAIN);
}

#[test]
fn zoo_cfg_wins_over_defines_and_bare_properties_stay_bare() {
    let config = ok(
        "snapCount=500\nextendedTypesEnabled=false\njute.maxbuffer=5000\nreadonlymode.enabled=true\nzookeeper.enforceQuota=true\n",
        &[
            "zookeeper.snapCount=0x64",
            "zookeeper.extendedTypesEnabled=true",
            "zookeeper.globalOutstandingLimit=010",
            "zookeeper.tickTime=1",
            "jute.maxbuffer=4096",
            "zookeeper.4lw.commands.whitelist=ruok",
            "some.other=1",
        ],
    );
    assert_eq!(config.snap_count, 500);
    assert!(!config.extended_types);
    assert_eq!(config.global_outstanding_limit, 8);
    assert_eq!(config.tick_time_ms, 3_000);
    assert_eq!(
        (config.jute_max_buffer, config.jute_extra_size),
        (4_096, 4_096)
    );
    assert!(!config.read_only_mode && !config.enforce_quota);
    assert!(config.four_letter.allows(FourLetterWord::Ruok));
    assert_eq!(config.properties["zookeeper.jute.maxbuffer"], "5000");
    assert_eq!(
        config.properties["zookeeper.zookeeper.enforceQuota"],
        "true"
    );
    assert_eq!(config.properties["zookeeper.snapCount"], "500");
    assert_eq!(
        notes(&config, Level::Warn),
        [
            "-Dzookeeper.tickTime has no effect: tickTime is read from zoo.cfg only",
            "jute.maxbuffer has no effect in zoo.cfg, only as -Djute.maxbuffer",
            "readonlymode.enabled has no effect in zoo.cfg, only as -Dreadonlymode.enabled",
            "zookeeper.enforceQuota has no effect in zoo.cfg; without the prefix it is enforceQuota",
        ]
    );
    assert_eq!(
        notes(&config, Level::Debug),
        ["-Dsome.other is kept as a system property"]
    );
    let config = ok(
        "",
        &["readonlymode.enabled=true", "fsync.warningthresholdms=20"],
    );
    assert!(config.read_only_mode && config.four_letter.allows(FourLetterWord::Isro));
    assert_eq!(config.fsync_warning_ms, 20);
    // Read-only mode in any case; the whitelist looks for this case only.
    let config = ok(
        "fsync.warningthresholdms=30\n",
        &["readonlymode.enabled=TRUE", "fsync.warningthresholdms=20"],
    );
    assert!(config.read_only_mode && !config.four_letter.allows(FourLetterWord::Isro));
    assert_eq!(config.fsync_warning_ms, 30);
}

#[test]
fn values_are_typed() {
    let config = ok(
        "tickTime=2000\nmaxSessionTimeout=100000\nclientPortListenBacklog=7\nforceSync=no\nskipACL=yes\n\
         txnLogSizeLimitInKb=2\nsnapSizeLimitInKb=-1\npreAllocSize=128\nsnapCount=1\nmaxCnxns=9\n\
         ensembleAuthName= a, b\nauthProvider.1=org.apache.zookeeper.server.auth.EnsembleAuthenticationProvider\n\
         DigestAuthenticationProvider.superDigest=super:x=\nDigestAuthenticationProvider.digestAlg=sha-512\n\
         enforce.auth.enabled=true\nenforce.auth.schemes=digest, ip\nlargeRequestThreshold=1000\n\
         connection_throttle_tokens=5\nconnection_throttle_drop_increase=0.5\n\
         metricsProvider.className=org.apache.zookeeper.metrics.prometheus.PrometheusMetricsProvider\n\
         metricsProvider.exportJvmInfo=no\nmetricsProvider.httpPort=7001\nclientPortAddress=127.0.0.1\n\
         zabkeeper.diffWindowTxns=10\njute.maxbuffer.extrasize=10\n",
        &["zabkeeper.diffWindowTxns=20", "zabkeeper.diffWindowMiB=1"],
    );
    assert_eq!(
        (config.min_session_timeout_ms, config.max_session_timeout_ms),
        (4_000, 100_000)
    );
    assert_eq!(config.client_port_listen_backlog, Some(7));
    assert!(!config.force_sync && config.skip_acl);
    assert_eq!(config.txn_log_size_limit, Some(2_048));
    assert_eq!(config.snap_size_limit, None);
    assert_eq!(
        (config.prealloc_kib, config.snap_count, config.max_cnxns),
        (128, 2, 9)
    );
    assert_eq!(
        config.ensemble_auth,
        EnsembleAuth {
            enabled: true,
            names: Some(vec!["a".into(), "b".into()])
        }
    );
    assert_eq!(config.digest_auth.super_digest.as_deref(), Some("super:x="));
    assert_eq!(config.digest_auth.algorithm, "SHA-512");
    assert_eq!(
        config.enforce_auth_schemes,
        Some(vec!["digest".into(), "ip".into()])
    );
    assert_eq!(config.large_request.threshold, Some(1_000));
    assert_eq!(config.connection_throttle.tokens, 5);
    assert_eq!(config.connection_throttle.drop_increase, 0.5);
    let host = "0.0.0.0".into();
    assert_eq!(
        config.metrics,
        MetricsProvider::Prometheus {
            host,
            port: 7_001,
            process_metrics: false
        }
    );
    assert_eq!(config.client.unwrap().ip, Some([127, 0, 0, 1].into()));
    assert_eq!((config.diff_window_txns, config.diff_window_mib), (10, 1));
    assert_eq!(config.jute_extra_size, 1_024);
}

#[test]
fn refusals_name_file_line_and_key() {
    for (more, message) in [
        (
            "tickTime=2s\n",
            "zoo.cfg:3: tickTime: \"2s\" is not a 32-bit decimal number",
        ),
        (
            "#\nreconfigEnabled=1\n",
            "zoo.cfg:4: reconfigEnabled: \"1\" is not true or false",
        ),
        (
            "clientPort=2181 # x\n",
            "zoo.cfg:3: clientPort: \"2181 # x\" is not a 32-bit decimal number",
        ),
        (
            "x=\\u00g0\n",
            "zoo.cfg:3: a \\u escape without four hexadecimal digits",
        ),
        (
            "secureClientPort=2182\n",
            "zoo.cfg:3: secureClientPort: TLS is not built yet",
        ),
        (
            "client.portUnification=true\n",
            "zoo.cfg:3: client.portUnification: TLS is not built yet",
        ),
        (
            "sslQuorum=true\n",
            "zoo.cfg:3: sslQuorum: TLS is not built yet",
        ),
        (
            "minSessionTimeout=9\nmaxSessionTimeout=8\n",
            "zoo.cfg:3: minSessionTimeout: the least session timeout, 9, is above the largest, 8",
        ),
        (
            "server.1=a:1:1\n",
            "zoo.cfg:3: server.1: server 1 has one port for peers and elections",
        ),
        (
            "authProvider.1=org.apache.zookeeper.server.auth.SASLAuthenticationProvider\n",
            "zoo.cfg:3: authProvider.1: SASL is not built yet",
        ),
        (
            "enforce.auth.enabled=true\nenforce.auth.schemes=sasl\n",
            "zoo.cfg:4: enforce.auth.schemes: the scheme \"sasl\" is not available",
        ),
        (
            "zabkeeper.diffWindowMiB=-1\n",
            "zoo.cfg:3: zabkeeper.diffWindowMiB: -1 is negative",
        ),
        (
            "zabkeeper.diffWindowMiB=1g\n",
            "zoo.cfg:3: zabkeeper.diffWindowMiB: \"1g\" is not a 64-bit decimal number",
        ),
        (
            "zabkeeper.diffWindow=1\n",
            "zoo.cfg:3: zabkeeper.diffWindow: is no key of this server",
        ),
    ] {
        assert_eq!(refused(more), message);
    }
    let error = load_plain("", &["java.security.auth.login.config=/x"]).unwrap_err();
    assert_eq!(
        error.to_string(),
        "zoo.cfg: -Djava.security.auth.login.config: SASL is not built yet (command line)"
    );
    assert_eq!(error.exit_code, 2);
}

#[test]
fn every_refused_row_refuses() {
    for key in KEYS {
        let State::Refused(when, _) = key.state else {
            continue;
        };
        let value = if key.name.ends_with("Port") {
            "2182"
        } else {
            "true"
        };
        let (more, defines) = match key.class {
            Class::Bare => (String::new(), vec![format!("{}={value}", key.name)]),
            Class::Static | Class::Passed | Class::Own => {
                (format!("{}={value}\n", key.name), Vec::new())
            }
        };
        let defines: Vec<&str> = defines.iter().map(String::as_str).collect();
        assert!(load_plain(&more, &defines).is_err(), "{}", key.name);
        if when == table::When::True {
            assert!(
                load_plain(&more.replace("true", "false"), &defines).is_ok(),
                "{}",
                key.name
            );
        }
        if key.class == Class::Passed {
            let define = format!("zookeeper.{}={value}", key.name);
            assert!(load_plain("", &[&define]).is_err(), "{define}");
        }
    }
}

#[test]
fn what_is_not_built_is_named_in_one_line_and_tuning_in_debug_lines() {
    let config = ok(
        "admin.serverPort=8081\nautopurge.purgeInterval=1\nautopurge.snapRetainCount=2\naudit.enable=true\n\
         snapshot.compression.method=gz\nnio.numWorkerThreads=4\nconnectionMaxTokens=5\nnoSuchKey=1\n\
         maxBatchSize=x\n",
        &["zookeeper.admin.enableServer=false"],
    );
    assert_eq!(
        notes(&config, Level::Info),
        [
            "set, checked, but not built yet: Java snapshots (snapshot.compression.method); \
          admin server (-Dzookeeper.admin.enableServer, admin.serverPort); audit log (audit.enable); \
          autopurge (autopurge.purgeInterval, autopurge.snapRetainCount)"
        ]
    );
    assert_eq!(
        notes(&config, Level::Warn),
        [
            "connectionMaxTokens has no effect, as in Java; the key that works is connection_throttle_tokens",
            "maxBatchSize: \"x\" is not a number; 1000 holds",
            "autopurge.snapRetainCount: 2 is raised to 3",
        ]
    );
    assert_eq!(
        notes(&config, Level::Debug),
        [
            "nio.numWorkerThreads has no effect: tunes threads or buffers of the Java implementation",
            "noSuchKey is unknown and kept as the system property zookeeper.noSuchKey",
            "maxBatchSize has no effect: a batch forms while the one before is fsynced",
        ]
    );
}

#[test]
fn one_server_line_runs_standalone_and_gives_the_client_address() {
    let case = case(
        "#! myid 3\\n\ndataDir=@DIR@/data\nserver.3=localhost:2888:3888:participant;127.0.0.1:2182\n",
    );
    let config = load(&case.sources).unwrap();
    assert_eq!(config.server_id, Some(3));
    assert_eq!(
        config.client,
        Some(ClientAddress {
            ip: Some([127, 0, 0, 1].into()),
            port: 2182
        })
    );
    assert_eq!(
        notes(&config, Level::Warn),
        ["only one server is specified (ignoring): running standalone"]
    );
}

#[test]
fn positional_form_and_embedded_default() {
    let arguments = |list: &[&str]| Sources {
        arguments: list.iter().map(ToString::to_string).collect(),
        ..Sources::default()
    };
    let config = load(&arguments(&["2182", "./d"])).unwrap();
    assert_eq!(config.origin, Origin::Arguments);
    assert_eq!(
        config.client,
        Some(ClientAddress {
            ip: None,
            port: 2182
        })
    );
    assert_eq!((config.tick_time_ms, config.max_client_cnxns), (3_000, 0));
    let config = load(&arguments(&["2182", "./d", "1000", "7"])).unwrap();
    assert_eq!((config.tick_time_ms, config.max_client_cnxns), (1_000, 7));
    assert_eq!(
        (config.min_session_timeout_ms, config.max_session_timeout_ms),
        (2_000, 20_000)
    );
    let error = load(&arguments(&["x", "./d"])).unwrap_err();
    assert_eq!(
        error.to_string(),
        "clientPort: \"x\" is not a 32-bit decimal number (command line)"
    );

    let config = load(&Sources::default()).unwrap();
    assert_eq!(config.origin, Origin::Embedded);
    assert_eq!(config.client.unwrap().port, 2181);
    assert_eq!(config.notes, []);
}

#[test]
fn a_huge_file_is_not_read() {
    let folder = Folder::new();
    let file = folder.0.join("zoo.cfg");
    fs::write(&file, vec![b'#'; limits::CONFIG_FILE_MAX as usize + 1]).unwrap();
    let sources = Sources {
        arguments: vec![file.to_str().unwrap().into()],
        ..Sources::default()
    };
    assert!(load(&sources).unwrap_err().message.contains("larger than"));
}
