//! What an ensemble reads of its configuration, beyond the starts and refusals of
//! `fixtures/config`.

use std::fs;

use zk_wire::quorum::config::{HostPort, MemberRole, QuorumConfig};

use super::tests::{Folder, notes};
use super::*;

const SERVERS: &str = "server.1=a:2888:3888\nserver.2=b:2888:3888\nserver.3=c:2888:3888:observer\n\
                       server.4=d:2888:3888\n";
const LIMITS: &str = "initLimit=10\nsyncLimit=5\n";

struct Start {
    folder: Folder,
    sources: Sources,
}

impl Start {
    fn new(myid: &str) -> Start {
        let folder = Folder::new();
        fs::write(folder.0.join("data/myid"), myid).unwrap();
        Start {
            folder,
            sources: Sources::default(),
        }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.0.join(name)
    }

    fn define(mut self, define: &str) -> Start {
        self.sources.defines.push(define.into());
        self
    }

    /// zoo.cfg with `dataDir` and these lines.
    fn load(&self, lines: &str) -> Result<ServerConfig, ConfigError> {
        let folder = self.folder.0.display();
        let text = format!("dataDir={folder}/data\nclientPort=2181\n{lines}");
        let origin = Origin::File(self.file("zoo.cfg"));
        load_text(&origin, text.as_bytes(), &self.sources)
    }

    fn ok(&self, lines: &str) -> (ServerConfig, EnsembleConfig) {
        let config = self.load(lines).unwrap_or_else(|error| panic!("{error}"));
        let ensemble = config.ensemble.clone().expect("an ensemble");
        (config, ensemble)
    }

    fn refused(&self, lines: &str) -> String {
        let error = self.load(lines).expect_err(lines);
        assert_eq!(error.exit_code, 2);
        let folder = self.folder.0.display().to_string();
        error.to_string().replace(&format!("{folder}/"), "")
    }
}

#[test]
fn defaults_are_javas() {
    let start = Start::new("2");
    let (config, ensemble) = start.ok(&format!("{LIMITS}{SERVERS}"));
    let mut members = QuorumConfig::parse(SERVERS, false).unwrap();
    let own = members.members.get_mut(&2).unwrap();
    own.client = Some(HostPort {
        host: "0.0.0.0".into(),
        port: 2181,
    });
    own.client_from_static = true;
    assert_eq!(
        ensemble,
        EnsembleConfig {
            my_id: 2,
            role: MemberRole::Participant,
            members,
            last_seen: None,
            config_file: Some(start.file("zoo.cfg")),
            dynamic_file: None,
            standalone_enabled: true,
            init_limit: 10,
            sync_limit: 5,
            connect_limit: 10,
            cnx_timeout_ms: 5_000,
            quorum_cnxn_timeout_ms: 15_000,
            election_port_bind_retry: Some(3),
            listen_on_all_ips: false,
            observer_master_port: None,
            observer_master_bytes: 32 << 20,
            multi_address: false,
            reachability_check: true,
            reachability_timeout_ms: 1_000,
            oracle_path: None,
            leader_serves: true,
            local_sessions: false,
            local_sessions_upgrading: false,
            sync_enabled: true,
            max_time_to_wait_for_epoch_ms: None,
            leader_connect_delay_ms: 100,
            min_notification_interval_ms: 200,
            max_notification_interval_ms: 60_000,
            observer_election_delay_ms: 200,
            observer_reconnect_delay_ms: 0,
            max_concurrent_snap_syncs: 10,
            max_concurrent_diff_syncs: 100,
            force_snapshot_sync: false,
            snapshot_size_factor: 0.33,
            commit_log_count: 500,
            leader_nodelay: true,
            follower_nodelay: true,
            tcp_keep_alive: false,
            eager_acl_check: false,
        }
    );
    assert_eq!(config.client.as_ref().map(|it| it.port), Some(2181));
    assert_eq!(notes(&config, Level::Warn), [] as [&str; 0]);
}

#[test]
fn values_are_typed() {
    let start = Start::new("3")
        .define("zookeeper.multiAddress.enabled=true")
        .define("zookeeper.multiAddress.reachabilityCheckTimeoutMs=7")
        .define("zookeeper.multiAddress.reachabilityCheckEnabled=false")
        .define("leader.nodelay=TRUE")
        .define("follower.nodelay=true");
    let (_, ensemble) = start.ok(&format!(
        "{LIMITS}{SERVERS}tickTime=2000\nstandaloneEnabled=false\nconnectToLearnerMasterLimit=3\n\
         cnxTimeout=0\nquorumCnxnTimeoutMs=900\nelectionPortBindRetry=0\nquorumListenOnAllIPs=true\n\
         observerMasterPort=2191\nobserverMaster.sizeLimit=1000\noraclePath=/oracle\n\
         leaderServes=no\nlocalSessionsEnabled=true\nlocalSessionsUpgradingEnabled=TRUE\n\
         syncEnabled=false\nleader.maxTimeToWaitForEpoch=0\nleaderConnectDelayDuringRetryMs=-5\n\
         fastleader.minNotificationInterval=10\nfastleader.maxNotificationInterval=20\n\
         observer.election.DelayMs=-1\nobserver.reconnectDelayMs=0x10\n\
         leader.maxConcurrentSnapSyncs=1\nleader.maxConcurrentDiffSyncs=2\nforceSnapshotSync=true\n\
         snapshotSizeFactor=-1\ncommitLogCount=501\ntcpKeepAlive=true\nenableEagerACLCheck=true\n\
         peerType=Observer\n"
    ));
    assert_eq!((ensemble.my_id, ensemble.role), (3, MemberRole::Observer));
    assert!(!ensemble.standalone_enabled);
    assert_eq!(ensemble.connect_limit, 3);
    assert_eq!(ensemble.cnx_timeout_ms, 0);
    assert_eq!(ensemble.quorum_cnxn_timeout_ms, 900);
    assert_eq!(ensemble.election_port_bind_retry, None);
    assert!(ensemble.listen_on_all_ips);
    assert_eq!(ensemble.observer_master_port, Some(2191));
    assert_eq!(ensemble.observer_master_bytes, 1_000);
    assert!(ensemble.multi_address && !ensemble.reachability_check);
    assert_eq!(ensemble.reachability_timeout_ms, 7);
    assert_eq!(ensemble.oracle_path, Some("/oracle".into()));
    assert!(!ensemble.leader_serves);
    assert!(ensemble.local_sessions && ensemble.local_sessions_upgrading);
    assert!(!ensemble.sync_enabled);
    assert_eq!(ensemble.max_time_to_wait_for_epoch_ms, Some(0));
    assert_eq!(ensemble.leader_connect_delay_ms, 0);
    assert_eq!(ensemble.min_notification_interval_ms, 10);
    assert_eq!(ensemble.max_notification_interval_ms, 20);
    assert_eq!(ensemble.observer_election_delay_ms, 0);
    assert_eq!(ensemble.observer_reconnect_delay_ms, 16);
    assert_eq!(ensemble.max_concurrent_snap_syncs, 1);
    assert_eq!(ensemble.max_concurrent_diff_syncs, 2);
    assert!(ensemble.force_snapshot_sync);
    assert_eq!(ensemble.snapshot_size_factor, -1.0);
    assert_eq!(ensemble.commit_log_count, 501);
    assert!(!ensemble.leader_nodelay && ensemble.follower_nodelay);
    assert!(ensemble.tcp_keep_alive && ensemble.eager_acl_check);
}

#[test]
fn values_that_java_mends_are_mended_with_a_warning() {
    let start = Start::new("3");
    let (config, ensemble) = start.ok(&format!(
        "{LIMITS}{SERVERS}electionPortBindRetry=-1\nsnapshotSizeFactor=1.5\ncommitLogCount=499\n\
         observer.syncEnabled=false\nleaderServes=NO\nquorumCnxnTimeoutMs=0\n"
    ));
    assert_eq!(ensemble.election_port_bind_retry, Some(3));
    assert_eq!(ensemble.snapshot_size_factor, 0.33);
    assert_eq!(ensemble.commit_log_count, 500);
    assert!(!ensemble.sync_enabled);
    assert!(ensemble.leader_serves);
    assert_eq!(ensemble.quorum_cnxn_timeout_ms, 15_000);
    assert_eq!(
        notes(&config, Level::Warn),
        [
            "electionPortBindRetry: -1 is negative; 3 holds",
            "snapshotSizeFactor: 1.5 is above 1; 0.33 holds",
            "commitLogCount: 499 is raised to 500",
            "peerType says participant, server.3 says observer, which holds",
        ]
    );
    let (config, _) = start.ok(&format!(
        "{LIMITS}{SERVERS}server.5=e:1:2\npeerType=observer\n"
    ));
    assert_eq!(
        notes(&config, Level::Warn),
        ["4 voters stand no more failures than 3"]
    );
    let (config, _) = Start::new("1").ok(&format!("{LIMITS}server.1=a:1:2\nserver.2=b:1:2\n"));
    assert_eq!(
        notes(&config, Level::Warn),
        ["no server may fail: an ensemble needs three voters to lose one"]
    );
}

#[test]
fn refusals_say_what_is_missing() {
    let start = Start::new("9");
    for (lines, message) in [
        (
            SERVERS.to_string(),
            "zoo.cfg: initLimit: is not set, but an ensemble needs it",
        ),
        (
            format!("{SERVERS}initLimit=1\nsyncLimit=0\n"),
            "zoo.cfg:8: syncLimit: is not set, but an ensemble needs it",
        ),
        (
            format!("{LIMITS}{SERVERS}server.5=e:1\n"),
            "zoo.cfg:9: server.5: \"e:1\" does not have the form \
             host:port:port[:role][|host:port:port[:role]][;[host:]port]",
        ),
    ] {
        assert_eq!(start.refused(&lines), message);
    }
    let error = start.load(&format!("{LIMITS}{SERVERS}")).unwrap_err();
    assert_eq!(error.exit_code, 1);
    assert_eq!(error.message, "myid is 9, but there is no line server.9");

    fs::remove_file(start.file("data/myid")).unwrap();
    assert_eq!(
        start.refused(&format!("{LIMITS}{SERVERS}")),
        "zoo.cfg: dataDir holds no file myid, but an ensemble needs it: the id of this server, one of \
         1, 2, 3, 4"
    );
}

#[test]
fn the_dynamic_file_gives_members_version_and_what_was_seen_last() {
    let start = Start::new("2");
    let file = start.file("zoo.cfg.dynamic.100000005");
    let lines = format!("{LIMITS}dynamicConfigFile={}\n", file.display());
    fs::write(&file, SERVERS).unwrap();
    let (_, ensemble) = start.ok(&lines);
    assert_eq!(ensemble.members.version, 0x1_0000_0005);
    assert_eq!(ensemble.members.members.len(), 4);
    assert_eq!(ensemble.dynamic_file, Some(file.clone()));
    assert_eq!(ensemble.last_seen, None);

    let next = start.file("zoo.cfg.dynamic.next");
    fs::write(&next, "server.1=a:1:2\nversion=200000001").unwrap();
    let (_, ensemble) = start.ok(&lines);
    let seen = ensemble.last_seen.unwrap();
    assert_eq!((seen.version, seen.members.len()), (0x2_0000_0001, 1));
    fs::write(&next, "server.1=a:1\n").unwrap();
    assert!(start.refused(&lines).starts_with("zoo.cfg.dynamic.next: "));

    // Without a dynamic file nobody looks for it.
    let (_, ensemble) = start.ok(&format!("{LIMITS}{SERVERS}"));
    assert_eq!(ensemble.last_seen, None);
}

#[test]
fn the_own_line_gives_the_client_address() {
    let start = Start::new("1");
    let (config, ensemble) = start.ok(&format!(
        "{LIMITS}server.1=a:1:2;127.0.0.1:2181\nserver.2=b:1:2;9\nserver.3=c:1:2\n"
    ));
    let client = config.client.unwrap();
    assert_eq!(
        (client.ip, client.port),
        (Some([127, 0, 0, 1].into()), 2181)
    );
    assert!(!ensemble.members.members[&1].client_from_static);
    // Other members' addresses are theirs.
    assert_eq!(
        ensemble.members.members[&2].client.as_ref().unwrap().port,
        9
    );
    assert_eq!(ensemble.members.members[&3].client, None);

    let lines = format!("{LIMITS}clientPortAddress=127.0.0.1\n{SERVERS}");
    let own = &start.ok(&lines).1.members.members[&1];
    assert_eq!(own.client.as_ref().unwrap().to_string(), "127.0.0.1:2181");
    assert!(own.client_from_static);
}

#[test]
fn an_oracle_makes_majorities_of_groups() {
    let start = Start::new("1");
    let lines = format!("{LIMITS}{SERVERS}group.1=1\nweight.1=x\noraclePath=/o\n");
    let (_, ensemble) = start.ok(&lines);
    assert!(!ensemble.members.is_hierarchical());
    let lines = format!("{LIMITS}{SERVERS}group.1=1:2\ngroup.2=4\nweight.4=2\n");
    let (_, ensemble) = start.ok(&lines);
    assert_eq!(ensemble.members.weights, [(1, 1), (2, 1), (4, 2)].into());
}
