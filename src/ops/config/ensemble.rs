//! The ensemble's share of the configuration: who belongs to it, and every key that only a server
//! of an ensemble acts on.
//!
//! Owns: the rules that decide between standalone and ensemble, which of the two sources of the
//! membership counts, and the values that Java refuses or mends only when an ensemble starts. Does
//! not know: the grammar of membership lines ([`zk_wire::quorum::config`]), elections, how a member
//! is reached. Names of other members are not resolved here.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use zk_wire::file::dynamic;
use zk_wire::quorum::config::{
    self as wire, ConfigLines, HostPort, MemberRole, QuorumConfig, is_member_key,
};
use zk_wire::text::properties;

use super::build::{listener, resolve};
use super::resolve::{MemberLine, Resolver};
use super::sources::Place;
use super::{ClientAddress, ConfigError, Level};
use crate::java;

/// Java's least and default number of committed transactions kept for learners.
const COMMIT_LOG_COUNT: i32 = 500;

/// Java's default part of a snapshot's size that is read from the log instead.
const SNAPSHOT_SIZE_FACTOR: f64 = 0.33;

/// What a server of an ensemble acts on besides the rest of
/// [`ServerConfig`](super::ServerConfig). Times in ticks are of `tick_time_ms` there.
#[derive(Clone, Debug, PartialEq)]
pub struct EnsembleConfig {
    /// Id of this server, of `myid`; one of the members.
    pub my_id: i64,
    /// Role of this server, by the members. What `peerType` says otherwise is only warned of.
    pub role: MemberRole,
    /// The members that the server starts with. Where the own line names no client address, it is
    /// that of clientPort.
    pub members: QuorumConfig,
    /// The configuration seen last, of `<file>.dynamic.next`: a reconfiguration that was not
    /// committed when the server stopped.
    pub last_seen: Option<QuorumConfig>,
    /// The static file, which a reconfiguration rewrites.
    pub config_file: Option<PathBuf>,
    /// The dynamic file that the members come from. Without one, and with `reconfigEnabled`, the
    /// static file is copied to `<file>.bak` at start.
    pub dynamic_file: Option<PathBuf>,
    /// A reconfiguration may not leave fewer than two voters.
    pub standalone_enabled: bool,
    /// Time for a learner to connect and to synchronise, ticks; above 0.
    pub init_limit: u32,
    /// Time that a learner and its leader may be silent, ticks; above 0.
    pub sync_limit: u32,
    /// Time for a learner to connect to its leader, ticks: `initLimit`, if not set.
    pub connect_limit: u32,
    /// Time to connect to another server's election port, ms; 0 waits as long as the system does.
    pub cnx_timeout_ms: u32,
    /// Time to read on the election port while a connection is made, ms.
    pub quorum_cnxn_timeout_ms: u64,
    /// How often the election port is tried before the server gives up; `None` for ever.
    pub election_port_bind_retry: Option<u32>,
    /// Bind the wildcard in the place of the own addresses.
    pub listen_on_all_ips: bool,
    /// Port on which a follower serves observers.
    pub observer_master_port: Option<u16>,
    /// Bytes of committed packets that an observer master keeps for observers that come back.
    pub observer_master_bytes: u64,
    /// A member may have several addresses, and the new election handshake is sent.
    pub multi_address: bool,
    /// Several addresses are probed before one is chosen.
    pub reachability_check: bool,
    /// Time of such a probe, ms.
    pub reachability_timeout_ms: u32,
    /// File whose first character, if it is `1`, lets one of two servers go on alone.
    pub oracle_path: Option<PathBuf>,
    /// A leader takes clients.
    pub leader_serves: bool,
    /// New sessions are local.
    pub local_sessions: bool,
    /// A local session becomes global when it makes an ephemeral node.
    pub local_sessions_upgrading: bool,
    /// An observer writes a log.
    pub sync_enabled: bool,
    /// Longest wait of a leader for followers to agree on an epoch while another voter looks for
    /// a leader again, ms; `None` for no bound of its own.
    pub max_time_to_wait_for_epoch_ms: Option<u32>,
    /// Wait between two attempts to connect to the leader, ms.
    pub leader_connect_delay_ms: u32,
    /// First wait of an election before notifications are sent again, ms.
    pub min_notification_interval_ms: u32,
    /// Largest such wait, ms; they double.
    pub max_notification_interval_ms: u32,
    /// Wait of an observer that lost its leader before it takes part in an election, ms.
    pub observer_election_delay_ms: u64,
    /// Wait of an observer before it connects again, ms.
    pub observer_reconnect_delay_ms: u64,
    /// Most learners that get a snapshot at once; above 0.
    pub max_concurrent_snap_syncs: u32,
    /// Most learners that get a DIFF at once; above 0.
    pub max_concurrent_diff_syncs: u32,
    /// Learners always get a snapshot.
    pub force_snapshot_sync: bool,
    /// Log that may be read for a DIFF, as a part of the snapshot's size; 0 for no bound, less for
    /// none at all.
    pub snapshot_size_factor: f64,
    /// Committed transactions that a DIFF may always use; at least 500.
    pub commit_log_count: u32,
    /// TCP_NODELAY on a leader's sockets to its learners.
    pub leader_nodelay: bool,
    /// TCP_NODELAY on a learner's socket to its leader.
    pub follower_nodelay: bool,
    /// TCP keepalive on election sockets.
    pub tcp_keep_alive: bool,
    /// A learner checks ACLs before it forwards a request.
    pub eager_acl_check: bool,
}

/// Members, and where they were read.
struct Membership {
    members: QuorumConfig,
    last_seen: Option<QuorumConfig>,
    dynamic_file: Option<PathBuf>,
    /// The file that holds the lines.
    file: Option<PathBuf>,
}

impl Membership {
    fn error(&self, error: ConfigError) -> ConfigError {
        in_file(error, self.file.as_deref())
    }
}

fn in_file(mut error: ConfigError, file: Option<&Path>) -> ConfigError {
    error.file = file.map(Path::to_owned);
    error
}

/// Java dies of a missing weight instead of refusing it.
fn exit_code(error: &wire::ConfigError) -> u8 {
    match error {
        wire::ConfigError::NoWeight(_) => 1,
        _ => 2,
    }
}

impl Resolver {
    /// Decides between standalone and ensemble, and lets the own server line give the client
    /// address.
    pub fn ensemble(
        &self,
        server_id: Option<i64>,
        client: Option<ClientAddress>,
        tick_time_ms: u32,
    ) -> Result<(Option<ClientAddress>, Option<EnsembleConfig>), ConfigError> {
        self.common_keys()?;
        // In Java the property alone decides how lines are read, zoo.cfg what is then done.
        let property = self.multi_property("multiAddress.enabled");
        let multi_address =
            self.multi_flag("multiAddress.enabled") || property.is_some_and(java::parse_boolean);
        let mut membership = self.members(multi_address)?;
        let standalone = self.flag("standaloneEnabled");
        match membership.members.check_voters(standalone) {
            Ok(()) => {}
            Err(wire::ConfigError::NoVoter) => {
                return Err(self.refuse("standaloneEnabled", "false needs at least one voter"));
            }
            Err(error) => return Err(membership.error(ConfigError::new(error.to_string()))),
        }
        let is_ensemble = membership.members.is_ensemble(standalone);
        let client = self.own_client(server_id, client, &mut membership)?;
        let settings = self.settings(tick_time_ms);
        if !is_ensemble {
            if !membership.members.members.is_empty() {
                self.note(
                    Level::Warn,
                    "only one server is specified (ignoring): running standalone",
                );
            }
            return Ok((client, None));
        }
        let ensemble = self.checked(settings, membership, server_id)?;
        Ok((client, Some(ensemble)))
    }

    /// What Java looks at without an ensemble too.
    fn common_keys(&self) -> Result<(), ConfigError> {
        if self.int("electionAlg") != 3 {
            return Err(self.refuse("electionAlg", "only 3 is supported"));
        }
        if let Some(role) = self.text("peerType")
            && !["participant", "observer"].contains(&role.value.to_lowercase().as_str())
        {
            return Err(self.refuse("peerType", format!("unknown role {:?}", role.value)));
        }
        Ok(())
    }

    /// The membership lines of zoo.cfg or of the dynamic file.
    fn members(&self, multi_address: bool) -> Result<Membership, ConfigError> {
        for family in ["server.*", "group*", "weight*", "version"] {
            self.row(family);
        }
        let mut found = Membership {
            members: QuorumConfig::default(),
            last_seen: None,
            dynamic_file: None,
            file: self.file.clone(),
        };
        let mut lines = self.members.clone();
        let mut version = 0;
        if let Some(dynamic) = self.text("dynamicConfigFile") {
            if let Some((key, _, line)) = lines.iter().find(|(key, ..)| is_member_key(key)) {
                let message = "must stand in the dynamic configuration file";
                return Err(self.error_at(Place::Line(*line), key, message));
            }
            let path = PathBuf::from(&dynamic.value);
            lines = dynamic_lines(&path)?;
            version = dynamic::version(&dynamic.value).unwrap_or(0);
            found.file = Some(path.clone());
            found.dynamic_file = Some(path);
            found.last_seen = self.last_seen(multi_address)?;
        }
        let new_lines = || {
            let lines = ConfigLines::new(multi_address);
            match self.text("oraclePath") {
                Some(_) => lines.majority_only(),
                None => lines,
            }
        };
        let mut config = new_lines();
        for (key, value, line) in &lines {
            config.add(key, value).map_err(|error| {
                let error = self.error_at(Place::Line(*line), key, error.to_string());
                found.error(error)
            })?;
        }
        found.members = config.finish().map_err(|error| {
            let code = exit_code(&error);
            found.error(ConfigError::new(error.to_string()).exit_code(code))
        })?;
        if found.dynamic_file.is_some() {
            found.members.version = version;
        }
        Ok(found)
    }

    /// The configuration seen last, of the file beside zoo.cfg, where there is one.
    fn last_seen(&self, multi_address: bool) -> Result<Option<QuorumConfig>, ConfigError> {
        let Some(file) = &self.file else {
            return Ok(None);
        };
        let path = PathBuf::from(dynamic::next_name(&file.to_string_lossy()));
        if !path.exists() {
            return Ok(None);
        }
        let text = match super::read_file(&path) {
            Ok(text) => text,
            Err(error) => {
                self.note(Level::Warn, format!("{error}; it is passed over"));
                return Ok(None);
            }
        };
        let refuse = |error: wire::ConfigError| {
            let code = exit_code(&error);
            let error = ConfigError::new(error.to_string()).exit_code(code);
            in_file(error, Some(&path))
        };
        let entries = properties::parse(&text)
            .map_err(|error| refuse(wire::ConfigError::Properties(error)))?;
        let mut last = BTreeMap::new();
        for entry in &entries {
            last.insert(&entry.key, &entry.value);
        }
        let mut config = ConfigLines::new(multi_address);
        for (key, value) in last {
            config.add(key, value).map_err(refuse)?;
        }
        config.finish().map(Some).map_err(refuse)
    }

    /// The client address of the own line, which must agree with clientPort; and that of
    /// clientPort where the line has none.
    fn own_client(
        &self,
        server_id: Option<i64>,
        client: Option<ClientAddress>,
        membership: &mut Membership,
    ) -> Result<Option<ClientAddress>, ConfigError> {
        let fail = |reason: String| {
            let text = format!("client address of the own server line: {reason}");
            in_file(ConfigError::new(text), membership.file.as_deref())
        };
        let members = &mut membership.members.members;
        let Some(own) = server_id.and_then(|id| members.get_mut(&id)) else {
            return Ok(client);
        };
        let Some(HostPort { host, port }) = own.client.clone() else {
            own.client = client.as_ref().map(|client| HostPort {
                host: match self.text("clientPortAddress") {
                    Some(set) => wire::host_text(set.value.trim_matches(['[', ']'])),
                    None => "0.0.0.0".into(),
                },
                port: client.port,
            });
            own.client_from_static = true;
            return Ok(client);
        };
        let ip = resolve(&host).map_err(|why| {
            // Java compares before it binds.
            let differs = client
                .as_ref()
                .is_some_and(|fixed| fixed.port != port || fixed.ip.is_some());
            fail(format!("{host:?}: {why}")).exit_code(if differs { 2 } else { 1 })
        })?;
        if let Some(fixed) = &client
            && (fixed.port != port || fixed.ip.is_some_and(|fixed| fixed != ip))
        {
            return Err(fail(format!("{host}:{port} differs from clientPort")));
        }
        Ok(Some(listener(Some(ip), port)))
    }

    /// A flag of zoo.cfg that is a system property as well.
    fn multi_flag(&self, name: &str) -> bool {
        self.flag_or(name, self.multi_property(name))
    }

    fn multi_property(&self, name: &str) -> Option<&str> {
        let set = self.properties.get(&format!("zookeeper.{name}"));
        set.map(|set| set.value.as_str())
    }

    /// Every key of an ensemble, as far as it can be read without knowing the rest.
    fn settings(&self, tick_time_ms: u32) -> EnsembleConfig {
        // What is negative waits for nothing; what must not be is refused once an ensemble starts.
        let ms = |name: &str| {
            self.number(name)
                .map_or(0, |ms| u64::try_from(ms).unwrap_or(0))
        };
        let count = |name: &str| u32::try_from(ms(name)).unwrap_or(0);
        let sync_limit = count("syncLimit");
        let init_limit = count("initLimit");
        let connect_limit = self.number("connectToLearnerMasterLimit");
        let connect_limit = connect_limit.and_then(|limit| u32::try_from(limit).ok());
        let quorum_timeout = count("quorumCnxnTimeoutMs");
        let bind_retry = self.int("electionPortBindRetry");
        let bind_retry = u32::try_from(bind_retry).unwrap_or_else(|_| {
            let text = format!("electionPortBindRetry: {bind_retry} is negative; 3 holds");
            self.note(Level::Warn, text);
            3
        });
        let factor = self.double("snapshotSizeFactor");
        let factor = if factor > 1.0 {
            let text =
                format!("snapshotSizeFactor: {factor} is above 1; {SNAPSHOT_SIZE_FACTOR} holds");
            self.note(Level::Warn, text);
            SNAPSHOT_SIZE_FACTOR
        } else {
            factor
        };
        let commit_log = self.number("commitLogCount");
        let commit_log = commit_log.and_then(|count| i32::try_from(count).ok());
        let commit_log = match commit_log {
            Some(count) if count >= COMMIT_LOG_COUNT => count,
            Some(count) => {
                let text = format!("commitLogCount: {count} is raised to {COMMIT_LOG_COUNT}");
                self.note(Level::Warn, text);
                COMMIT_LOG_COUNT
            }
            None => COMMIT_LOG_COUNT,
        };
        let probe = "multiAddress.reachabilityCheckTimeoutMs";
        let probe_ms = match (self.text(probe), self.multi_property(probe)) {
            (None, Some(property)) => java::parse_int(property).unwrap_or(0),
            _ => self.int(probe),
        };
        let sync_enabled = self.flag("syncEnabled");
        // `true` in this case only.
        let nodelay = |name: &str| self.text(name).is_none_or(|set| set.value == "true");
        EnsembleConfig {
            my_id: 0,
            role: MemberRole::Participant,
            members: QuorumConfig::default(),
            last_seen: None,
            config_file: self.file.clone(),
            dynamic_file: None,
            standalone_enabled: self.flag("standaloneEnabled"),
            init_limit,
            sync_limit,
            connect_limit: connect_limit
                .filter(|&limit| limit > 0)
                .unwrap_or(init_limit),
            cnx_timeout_ms: count("cnxTimeout"),
            quorum_cnxn_timeout_ms: match quorum_timeout {
                0 => u64::from(tick_time_ms) * u64::from(sync_limit),
                set => u64::from(set),
            },
            election_port_bind_retry: Some(bind_retry).filter(|&retries| retries > 0),
            listen_on_all_ips: self.flag("quorumListenOnAllIPs"),
            observer_master_port: u16::try_from(self.int("observerMasterPort"))
                .ok()
                .filter(|&port| port > 0),
            observer_master_bytes: u64::from(count("observerMaster.sizeLimit")),
            multi_address: self.multi_flag("multiAddress.enabled"),
            reachability_check: self.multi_flag("multiAddress.reachabilityCheckEnabled"),
            reachability_timeout_ms: u32::try_from(probe_ms).unwrap_or(0),
            oracle_path: self.text("oraclePath").map(|set| PathBuf::from(&set.value)),
            leader_serves: !self.word("leaderServes"),
            local_sessions: self.flag("localSessionsEnabled"),
            local_sessions_upgrading: self.flag("localSessionsUpgradingEnabled"),
            sync_enabled: match self.text("observer.syncEnabled") {
                Some(set) => java::parse_boolean(&set.value),
                None => sync_enabled,
            },
            max_time_to_wait_for_epoch_ms: u32::try_from(self.int("leader.maxTimeToWaitForEpoch"))
                .ok(),
            leader_connect_delay_ms: count("leaderConnectDelayDuringRetryMs"),
            min_notification_interval_ms: count("fastleader.minNotificationInterval"),
            max_notification_interval_ms: count("fastleader.maxNotificationInterval"),
            observer_election_delay_ms: ms("observer.election.DelayMs"),
            observer_reconnect_delay_ms: ms("observer.reconnectDelayMs"),
            max_concurrent_snap_syncs: count("leader.maxConcurrentSnapSyncs"),
            max_concurrent_diff_syncs: count("leader.maxConcurrentDiffSyncs"),
            force_snapshot_sync: self.flag("forceSnapshotSync"),
            snapshot_size_factor: factor,
            commit_log_count: commit_log as u32,
            leader_nodelay: nodelay("leader.nodelay"),
            follower_nodelay: nodelay("follower.nodelay"),
            tcp_keep_alive: self.flag("tcpKeepAlive"),
            eager_acl_check: self.flag("enableEagerACLCheck"),
        }
    }

    /// What must hold once an ensemble is asked for.
    fn checked(
        &self,
        settings: EnsembleConfig,
        membership: Membership,
        server_id: Option<i64>,
    ) -> Result<EnsembleConfig, ConfigError> {
        for name in ["initLimit", "syncLimit"] {
            match self.int(name) {
                0 => return Err(self.refuse(name, "is not set, but an ensemble needs it")),
                limit if limit < 0 => {
                    let message = format!("{limit} is negative, so that no server could follow");
                    return Err(self.refuse(name, message));
                }
                _ => {}
            }
        }
        let members = &membership.members;
        let Some(my_id) = server_id else {
            let ids: Vec<String> = members.members.keys().map(i64::to_string).collect();
            return Err(ConfigError::new(format!(
                "dataDir holds no file myid, but an ensemble needs it: the id of this server, one of {}",
                ids.join(", ")
            )));
        };
        let Some(own) = members.members.get(&my_id) else {
            let message = format!("myid is {my_id}, but there is no line server.{my_id}");
            return Err(membership.error(ConfigError::new(message).exit_code(1)));
        };
        let role = own.role;
        // Java reads these when it makes the part that uses them.
        if let Some(set) = self.text("cnxTimeout")
            && java::parse_int(&set.value).is_none_or(|timeout| timeout < 0)
        {
            let message = format!("{:?} is no number of ms", set.value);
            return Err(self.refuse("cnxTimeout", message));
        }
        for name in [
            "leader.maxConcurrentSnapSyncs",
            "leader.maxConcurrentDiffSyncs",
        ] {
            let most = self.int(name);
            if most <= 0 {
                let message = format!("{most} is not above 0, so that no server could follow");
                return Err(self.refuse(name, message));
            }
        }
        let port = self.int("observerMasterPort");
        if port > i32::from(u16::MAX) {
            return Err(self.refuse("observerMasterPort", format!("{port} is not a port")));
        }
        let said = match self.text("peerType") {
            Some(set) if set.value.eq_ignore_ascii_case("observer") => MemberRole::Observer,
            _ => MemberRole::Participant,
        };
        if said != role {
            let text = format!(
                "peerType says {}, server.{my_id} says {}, which holds",
                said.name(),
                role.name()
            );
            self.note(Level::Warn, text);
        }
        match members.voters().count() {
            1 | 2 => self.note(
                Level::Warn,
                "no server may fail: an ensemble needs three voters to lose one",
            ),
            voters if voters % 2 == 0 => {
                let text = format!("{voters} voters stand no more failures than {}", voters - 1);
                self.note(Level::Warn, text);
            }
            _ => {}
        }
        Ok(EnsembleConfig {
            my_id,
            role,
            members: membership.members,
            last_seen: membership.last_seen,
            dynamic_file: membership.dynamic_file,
            ..settings
        })
    }
}

/// The lines of the dynamic configuration file, which holds members and nothing else. The version
/// is in its name.
fn dynamic_lines(path: &Path) -> Result<Vec<MemberLine>, ConfigError> {
    let refuse = |line: Option<usize>, key: Option<&str>, message: &str| {
        let mut error = ConfigError::new(message);
        error.file = Some(path.into());
        error.line = line;
        error.key = key.map(String::from);
        error
    };
    let text = super::read_file(path)?;
    let entries = properties::parse(&text).map_err(|error| {
        refuse(
            Some(error.line),
            None,
            "a \\u escape without four hexadecimal digits",
        )
    })?;
    let mut last = BTreeMap::new();
    for entry in entries {
        let key = java::trim(&entry.key).to_string();
        if key == "version" {
            let message = "the dynamic configuration file must not hold a version";
            return Err(refuse(Some(entry.line), Some(&key), message));
        }
        if !is_member_key(&key) {
            let message = "is no key of the dynamic configuration file";
            return Err(refuse(Some(entry.line), Some(&key), message));
        }
        last.insert(key, (entry.value, entry.line));
    }
    let mut lines: Vec<MemberLine> = last
        .into_iter()
        .map(|(key, (value, line))| (key, value, line))
        .collect();
    lines.sort_by_key(|(_, _, line)| *line);
    Ok(lines)
}
