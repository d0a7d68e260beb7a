//! Combines the sources and builds [`ServerConfig`].
//!
//! Owns: precedence, the rules that relate several keys, and which refusal has which exit code.
//! Does not know: defaults and parsers of single keys, which stand in [`super::table`].

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, ToSocketAddrs};
use std::path::{Path, PathBuf};

use zk_wire::text::properties;

use super::members::{self, Members};
use super::sources::Place;
use super::table::{self, Class, Key, Parser, State, When};
use super::{
    ClientAddress, ConfigError, ContainerReaper, DIGEST_ALGORITHMS, DigestAuth, EnsembleAuth,
    Level, MetricsProvider, Note, Origin, RequestThrottle, ResponseCache, ServerConfig, Sources,
};
use crate::four_letter::Whitelist;
use crate::java;
use crate::throttle::{ConnectionThrottleConfig, LargeRequestConfig};

const AUTH_PACKAGE: &str = "org.apache.zookeeper.server.auth.";

/// Builds the configuration from the text of a file.
///
/// # Errors
/// Every refusal.
pub fn load_text(
    origin: &Origin,
    text: &[u8],
    sources: &Sources,
) -> Result<ServerConfig, ConfigError> {
    let file = match origin {
        Origin::File(path) => Some(path.clone()),
        Origin::Embedded | Origin::Arguments => None,
    };
    let in_file = |mut error: ConfigError| {
        if error.file.is_none() {
            error.file.clone_from(&file);
        }
        error
    };
    let mut resolver = Resolver::new(sources);
    resolver.file.clone_from(&file);
    resolver.read_lines(text).map_err(in_file)?;
    resolver.check_lines().map_err(in_file)?;
    let mut config = resolver.build(origin.clone()).map_err(in_file)?;
    config.initial_config = String::from_utf8_lossy(text).into_owned();
    Ok(config)
}

/// Builds the configuration of the positional form: no zoo.cfg keys, no limit of connections per
/// address, and no myid.
pub(super) fn load_arguments(sources: &Sources) -> Result<ServerConfig, ConfigError> {
    let mut resolver = Resolver::new(sources);
    let names = ["clientPort", "dataDir", "tickTime", "maxClientCnxns"];
    let arguments = sources.arguments.iter().map(String::as_str);
    for (name, value) in names.into_iter().zip(arguments.chain([]).map(String::from)) {
        resolver.statics.insert(
            name.into(),
            Setting {
                value,
                place: Place::CommandLine,
            },
        );
    }
    let no_limit = || Setting {
        value: "0".into(),
        place: Place::CommandLine,
    };
    resolver
        .statics
        .entry("maxClientCnxns".into())
        .or_insert_with(no_limit);
    resolver.check_lines()?;
    resolver.build(Origin::Arguments)
}

#[derive(Clone, Debug)]
struct Setting {
    value: String,
    place: Place,
}

/// Where the membership lines stand: key, value as it is, line.
type MemberLine = (String, String, usize);

struct Resolver {
    file: Option<PathBuf>,
    /// Static keys, as in zoo.cfg, values trimmed.
    statics: BTreeMap<String, Setting>,
    /// System properties by their full name.
    properties: BTreeMap<String, Setting>,
    /// The keys as they were written, for the lines that name them at start.
    written: Vec<(String, Setting)>,
    members: Vec<MemberLine>,
    notes: RefCell<Vec<Note>>,
    /// Names of rows that were read, for the test that all are.
    read: RefCell<BTreeSet<&'static str>>,
}

impl Resolver {
    fn new(sources: &Sources) -> Resolver {
        let mut notes = Vec::new();
        let defined = sources.properties(&mut notes);
        let mut written = Vec::new();
        let mut properties = BTreeMap::new();
        for (name, (value, place)) in defined {
            let setting = Setting { value, place };
            written.push((format!("-D{name}"), setting.clone()));
            properties.insert(name, setting);
        }
        Resolver {
            file: None,
            statics: BTreeMap::new(),
            properties,
            written,
            members: Vec::new(),
            notes: RefCell::new(notes),
            read: RefCell::new(BTreeSet::new()),
        }
    }

    fn note(&self, level: Level, text: impl Into<String>) {
        self.notes.borrow_mut().push(Note::new(level, text));
    }

    fn error_at(&self, place: Place, key: &str, message: impl Into<String>) -> ConfigError {
        let mut error = ConfigError::new(message).key(key);
        match place {
            Place::Line(line) => error.line = Some(line),
            Place::CommandLine => error.message.push_str(" (command line)"),
            Place::Environment(name) => {
                error.message.push_str(" (environment variable ");
                error.message.push_str(name);
                error.message.push(')');
            }
        }
        error
    }

    /// Sorts the lines of zoo.cfg into static keys and system properties. The last of equal keys
    /// wins.
    fn read_lines(&mut self, text: &[u8]) -> Result<(), ConfigError> {
        let lines = properties::parse(text).map_err(|error| {
            let mut refused = ConfigError::new("a \\u escape without four hexadecimal digits");
            refused.line = Some(error.line);
            refused
        })?;
        let mut last = BTreeMap::new();
        for entry in &lines {
            last.insert(java::trim(&entry.key).to_string(), entry);
        }
        for (key, entry) in last {
            let place = Place::Line(entry.line);
            let setting = Setting {
                value: java::trim(&entry.value).into(),
                place,
            };
            if members::is_member_key(&key) || key == "version" {
                // Java keeps these as properties too, without any use of them.
                self.members
                    .push((key.clone(), entry.value.clone(), entry.line));
                self.statics.insert(key, setting);
                continue;
            }
            if table::lookup(|class| class == Class::Static, &key).is_some() {
                self.statics.insert(key.clone(), setting.clone());
            } else if table::lookup(|class| class == Class::Own, &key).is_some() {
                self.properties.insert(key.clone(), setting.clone());
            } else {
                self.properties
                    .insert(format!("zookeeper.{key}"), setting.clone());
            }
            self.written.push((key, setting));
        }
        self.members.sort_by_key(|(_, _, line)| *line);
        self.written
            .sort_by_key(|(_, setting)| match setting.place {
                Place::Environment(_) => 0,
                Place::CommandLine => 1,
                Place::Line(line) => 1 + line,
            });
        Ok(())
    }

    /// The checks of single keys: strict parsers, refused keys, and the lines that say what is
    /// done with the rest.
    fn check_lines(&self) -> Result<(), ConfigError> {
        for (key, setting) in &self.statics {
            if let Some(row) = table::lookup(|class| class == Class::Static, key) {
                self.check_value(row, key, setting)?;
            }
        }
        let mut later: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for (written, setting) in &self.written {
            let Some(row) = self.row_of(written, setting) else {
                continue;
            };
            self.check_value(row, written, setting)?;
            match row.state {
                State::Honoured => {}
                State::Later(part) => later.entry(part).or_default().push(written),
                State::NoEffect(why) => {
                    self.note(Level::Debug, format!("{written} has no effect: {why}"));
                }
                State::Refused(when, why) => {
                    let refuses = match when {
                        When::Set => true,
                        When::True => java::parse_boolean(&setting.value),
                    };
                    if refuses {
                        return Err(self.error_at(setting.place, written, format!("{why} yet")));
                    }
                }
            }
        }
        if !later.is_empty() {
            let parts: Vec<String> = later
                .iter()
                .map(|(part, keys)| format!("{part} ({})", keys.join(", ")))
                .collect();
            self.note(
                Level::Info,
                format!("set, checked, but not built yet: {}", parts.join("; ")),
            );
        }
        Ok(())
    }

    /// The row of a key as written, with a line about keys that are inert or unknown.
    fn row_of(&self, written: &str, setting: &Setting) -> Option<&'static Key> {
        if let Some(name) = written.strip_prefix("-D") {
            if let Some(row) =
                table::lookup(|class| matches!(class, Class::Bare | Class::Own), name)
            {
                return Some(row);
            }
            let Some(short) = name.strip_prefix("zookeeper.") else {
                if name != "fsync.warningthresholdms" {
                    self.note(
                        Level::Debug,
                        format!("{written} is kept as a system property"),
                    );
                }
                return None;
            };
            if let Some(row) = table::lookup(|class| class == Class::Passed, short) {
                return Some(row);
            }
            if short.starts_with("multiAddress.") {
                return table::lookup(|class| class == Class::Static, short);
            }
            if table::lookup(|class| class == Class::Static, short).is_some() {
                self.note(
                    Level::Warn,
                    format!("{written} has no effect: {short} is read from zoo.cfg only"),
                );
            } else {
                self.unknown(written, short);
            }
            return None;
        }
        let in_file = |class| matches!(class, Class::Static | Class::Passed | Class::Own);
        if let Some(row) = table::lookup(in_file, written) {
            return Some(row);
        }
        debug_assert!(matches!(setting.place, Place::Line(_)));
        if table::lookup(|class| class == Class::Bare, written).is_some() {
            self.note(
                Level::Warn,
                format!("{written} has no effect in zoo.cfg, only as -D{written}"),
            );
        } else if let Some(short) = written.strip_prefix("zookeeper.") {
            self.note(
                Level::Warn,
                format!("{written} has no effect in zoo.cfg; without the prefix it is {short}"),
            );
        } else {
            self.unknown(written, written);
        }
        None
    }

    fn unknown(&self, written: &str, short: &str) {
        match table::INERT_ALIASES
            .iter()
            .find(|(alias, _)| *alias == short)
        {
            Some((_, name)) => self.note(
                Level::Warn,
                format!("{written} has no effect, as in Java; the key that works is {name}"),
            ),
            None => self.note(
                Level::Debug,
                format!("{written} is unknown and kept as the system property zookeeper.{short}"),
            ),
        }
    }

    /// What the parser of a row makes of a bad value: a refusal, or a line about the default.
    fn check_value(&self, row: &Key, key: &str, setting: &Setting) -> Result<(), ConfigError> {
        let value = setting.value.as_str();
        let refuse =
            |what: &str| Err(self.error_at(setting.place, key, format!("{value:?} is not {what}")));
        let default = |good: bool| {
            if !good {
                let text = format!("{key}: {value:?} is not a number; {} holds", row.default);
                self.note(Level::Warn, text);
            }
            Ok(())
        };
        match row.parser {
            Parser::Flag if !is_flag(value) => refuse("true or false"),
            Parser::Int if java::parse_int(value).is_none() => refuse("a 32-bit decimal number"),
            Parser::Long if java::parse_long(value).is_none() => refuse("a 64-bit decimal number"),
            Parser::PropertyDouble if java::parse_double(value).is_none() => {
                refuse("a number").map_err(|error: ConfigError| error.exit_code(1))
            }
            Parser::PropertyInt => default(java::decode_int(value).is_some()),
            Parser::PropertyLong => default(java::decode_long(value).is_some()),
            Parser::NumberOrDefault => default(java::parse_long(value).is_some()),
            Parser::DoubleOrDefault => default(java::parse_double(value).is_some()),
            Parser::Text
            | Parser::List
            | Parser::Flag
            | Parser::Int
            | Parser::Long
            | Parser::PropertyFlag
            | Parser::PropertyDouble
            | Parser::Word(_)
            | Parser::ClassName
            | Parser::Members => Ok(()),
        }
    }

    // Reading of single keys. Each names a row; the default is the row's.

    fn row(&self, name: &str) -> &'static Key {
        let key = table::KEYS.iter().find(|key| key.name == name);
        let key = key.unwrap_or_else(|| panic!("{name} is no row of the table"));
        self.read.borrow_mut().insert(key.name);
        key
    }

    fn setting(&self, key: &Key) -> Option<&Setting> {
        match key.class {
            Class::Static => self.statics.get(key.name),
            Class::Passed => self.properties.get(&format!("zookeeper.{}", key.name)),
            Class::Bare | Class::Own => self.properties.get(key.name),
        }
    }

    /// The text of a key that is set.
    fn text(&self, name: &str) -> Option<&Setting> {
        let key = self.row(name);
        self.setting(key)
    }

    /// The number of a key: the set value where it is one, else the row's default, else `None`.
    fn number(&self, name: &str) -> Option<i64> {
        let key = self.row(name);
        let parse = |text: &str| match key.parser {
            Parser::Int => java::parse_int(text).map(i64::from),
            Parser::PropertyInt => java::decode_int(text).map(i64::from),
            Parser::PropertyLong => java::decode_long(text),
            _ => java::parse_long(text),
        };
        self.setting(key)
            .and_then(|set| parse(&set.value))
            .or_else(|| parse(key.default))
    }

    fn int(&self, name: &str) -> i32 {
        let number = self
            .number(name)
            .and_then(|number| i32::try_from(number).ok());
        number.unwrap_or_else(|| panic!("{name} has no default"))
    }

    fn long(&self, name: &str) -> i64 {
        self.number(name)
            .unwrap_or_else(|| panic!("{name} has no default"))
    }

    fn double(&self, name: &str) -> f64 {
        let key = self.row(name);
        let set = self
            .setting(key)
            .and_then(|set| java::parse_double(&set.value));
        set.or_else(|| java::parse_double(key.default))
            .unwrap_or_else(|| panic!("{name} has no default"))
    }

    fn flag(&self, name: &str) -> bool {
        let key = self.row(name);
        java::parse_boolean(self.setting(key).map_or(key.default, |set| &set.value))
    }

    /// Whether a key has the one literal value that counts.
    fn word(&self, name: &str) -> bool {
        let key = self.row(name);
        let Parser::Word(word) = key.parser else {
            panic!("{name} is no word")
        };
        self.setting(key).is_some_and(|set| set.value == word)
    }

    /// A size that is off when 0 or less.
    fn kib(&self, name: &str) -> Option<u64> {
        u64::try_from(self.long(name))
            .ok()
            .filter(|&kib| kib > 0)
            .map(|kib| kib.saturating_mul(1024))
    }

    fn refuse(&self, name: &str, message: impl Into<String>) -> ConfigError {
        let key = self.row(name);
        match self.setting(key) {
            Some(set) => self.error_at(set.place, name, message),
            None => ConfigError::new(message).key(name),
        }
    }

    // Groups of keys.

    fn build(self, origin: Origin) -> Result<ServerConfig, ConfigError> {
        self.quorum_auth()?;
        self.later_keys();
        let data_dir = self.folder("dataDir")?.ok_or_else(|| {
            let error = ConfigError::new("dataDir is not set");
            error.key("dataDir")
        })?;
        let data_log_dir = self
            .folder("dataLogDir")?
            .unwrap_or_else(|| data_dir.clone());
        let client = self.client_address()?;
        self.secure_client_address()?;
        let (tick_time_ms, min, max) = self.times(&origin)?;
        let metrics = self.metrics_provider()?;
        self.ensemble_keys()?;
        let server_id = match &origin {
            Origin::Arguments => None,
            Origin::File(_) | Origin::Embedded => self.server_id(&data_dir)?,
        };
        let client = self.membership(server_id, client)?;
        self.classes()?;
        self.jvm_keys()?;
        let (digest_auth, ensemble_auth) = self.providers()?;
        let enforce_auth_schemes = self.enforced_schemes(&digest_auth, &ensemble_auth)?;
        let connection_throttle = self.connection_throttle()?;
        let jute_max_buffer = self.int("jute.maxbuffer");
        let jute_extra_size = self
            .number("jute.maxbuffer.extrasize")
            .map_or(jute_max_buffer, |n| n as i32)
            .max(1024);
        let sessionless = self.positive("nio.sessionlessCnxnTimeout")?;
        let container = ContainerReaper {
            // Java's timer refuses the period.
            check_interval_ms: self
                .positive("znode.container.checkIntervalMs")
                .map_err(|error| error.exit_code(2))?,
            max_per_minute: self.int("znode.container.maxPerMinute"),
            max_never_used_interval_ms: self.long("znode.container.maxNeverUsedIntervalMs"),
        };
        let config = ServerConfig {
            origin,
            initial_config: String::new(),
            client,
            client_port_listen_backlog: Some(self.int("clientPortListenBacklog"))
                .filter(|&backlog| backlog != -1),
            data_dir,
            data_log_dir,
            tick_time_ms,
            min_session_timeout_ms: min,
            max_session_timeout_ms: max,
            max_client_cnxns: self.int("maxClientCnxns"),
            max_cnxns: self.max_cnxns(),
            server_id,
            global_outstanding_limit: self.int("globalOutstandingLimit"),
            jute_max_buffer,
            jute_extra_size,
            force_sync: self.force_sync(),
            prealloc_kib: self.long("preAllocSize"),
            txn_log_size_limit: self.kib("txnLogSizeLimitInKb"),
            snap_count: self.snap_count(),
            snap_size_limit: self.kib("snapSizeLimitInKb"),
            fsync_warning_ms: self.fsync_warning(),
            digest_enabled: self.flag("digest.enabled"),
            close_session_txn: self.flag("closeSessionTxn.enabled"),
            extended_types: self.flag("extendedTypesEnabled"),
            emulate_353_ttl: self.flag("emulate353TTLNodes"),
            enforce_quota: self.flag("enforceQuota"),
            skip_acl: self.word("skipACL"),
            reconfig_enabled: self.flag("reconfigEnabled"),
            digest_auth,
            ensemble_auth,
            enforce_auth_schemes,
            container,
            sessionless_timeout_ms: sessionless,
            connection_throttle,
            request_throttle: RequestThrottle {
                max_requests: self.int("request_throttle_max_requests"),
                stall_time_ms: self.int("request_throttle_stall_time"),
                drop_stale: self.flag("request_throttle_drop_stale"),
                stale_latency_check: self.flag("request_stale_latency_check"),
                stale_connection_check: self.flag("request_stale_connection_check"),
                shutdown_timeout_ms: self.int("request_throttler.shutdownTimeout"),
            },
            throttled_op_wait_ms: self.int("throttled_op_wait_time"),
            large_request: self.large_request(),
            four_letter: self.whitelist(),
            metrics,
            client_tcp_keep_alive: self.flag("clientTcpKeepAlive"),
            response_cache: ResponseCache {
                data: self.int("maxResponseCacheSize"),
                children: self.int("maxGetChildrenResponseCacheSize"),
            },
            datadir_autocreate: self.flag("datadir.autocreate"),
            db_autocreate: self.flag("db.autocreate"),
            snapshot_trust_empty: self.flag("snapshot.trust.empty"),
            read_only_mode: self.flag("readonlymode.enabled"),
            diff_window_txns: self.window("zabkeeper.diffWindowTxns")?,
            diff_window_mib: self.window("zabkeeper.diffWindowMiB")?,
            properties: self
                .properties
                .iter()
                .map(|(name, set)| (name.clone(), set.value.clone()))
                .collect(),
            notes: self.notes.take(),
        };
        #[cfg(test)]
        super::tests::all_honoured_rows_are_read(&self.read.borrow());
        Ok(config)
    }

    /// A requirement without what it requires refuses.
    fn quorum_auth(&self) -> Result<(), ConfigError> {
        let [enable, server, learner] = [
            "quorum.auth.enableSasl",
            "quorum.auth.serverRequireSasl",
            "quorum.auth.learnerRequireSasl",
        ];
        for (key, needs) in [(server, enable), (learner, enable), (server, learner)] {
            if self.flag(key) && !self.flag(needs) {
                return Err(self.refuse(key, format!("requires {needs}=true")));
            }
        }
        Ok(())
    }

    fn later_keys(&self) {
        let kept = self.int("autopurge.snapRetainCount");
        if kept < 3 {
            self.note(
                Level::Warn,
                format!("autopurge.snapRetainCount: {kept} is raised to 3"),
            );
        }
    }

    fn folder(&self, name: &str) -> Result<Option<PathBuf>, ConfigError> {
        let Some(set) = self.text(name) else {
            return Ok(None);
        };
        if set.value.is_empty() {
            return Err(self.refuse(name, "is empty").exit_code(1));
        }
        let path = PathBuf::from(&set.value);
        if !path.is_absolute() && !set.value.starts_with("./") {
            self.note(
                Level::Warn,
                format!(
                    "{name}: {} is relative. Prepend ./ to say that this is meant",
                    set.value
                ),
            );
        }
        Ok(Some(path))
    }

    fn port(&self, name: &str) -> Result<Option<u16>, ConfigError> {
        if self.text(name).is_none() {
            return Ok(None);
        }
        let number = self.int(name);
        match u16::try_from(number) {
            Ok(port) => Ok(Some(port)),
            Err(_) => Err(self.refuse(name, format!("{number} is not a port"))),
        }
    }

    fn client_address(&self) -> Result<Option<ClientAddress>, ConfigError> {
        let host = self.text("clientPortAddress");
        let Some(port) = self.port("clientPort").transpose() else {
            return match host {
                Some(_) => Err(self.refuse("clientPortAddress", "is set, but clientPort is not")),
                None => Ok(None),
            };
        };
        let port = port?;
        let ip = match host {
            None => None,
            Some(host) => Some(resolve(&host.value).map_err(|reason| {
                self.refuse("clientPortAddress", format!("{:?}: {reason}", host.value))
            })?),
        };
        Ok(Some(ClientAddress {
            ip: ip.filter(|ip| !ip.is_unspecified()).or(bind_any(ip)),
            port,
        }))
    }

    fn secure_client_address(&self) -> Result<(), ConfigError> {
        // With a secureClientPort the start was refused already.
        if self.text("secureClientPortAddress").is_some() {
            return Err(self.refuse(
                "secureClientPortAddress",
                "is set, but secureClientPort is not",
            ));
        }
        Ok(())
    }

    /// tickTime and the session bounds. Java's arithmetic wraps around, so that an absurd tick can
    /// come out with a minimum above the maximum.
    fn times(&self, origin: &Origin) -> Result<(u32, i32, i32), ConfigError> {
        let tick = self.int("tickTime");
        if tick == 0 {
            // The positional form does not look; Java then divides by zero.
            let exit_code = if *origin == Origin::Arguments { 1 } else { 2 };
            return Err(self
                .refuse("tickTime", "tickTime is not set")
                .exit_code(exit_code));
        }
        let bound = |name: &str, factor: i32| {
            let set = self
                .number(name)
                .and_then(|number| i32::try_from(number).ok());
            set.filter(|&bound| bound != -1)
                .unwrap_or(tick.wrapping_mul(factor))
        };
        let min = bound("minSessionTimeout", 2);
        let max = bound("maxSessionTimeout", 20);
        if min > max {
            let message = format!("the least session timeout, {min}, is above the largest, {max}");
            let name = if self.text("minSessionTimeout").is_some() {
                "minSessionTimeout"
            } else if self.text("maxSessionTimeout").is_some() {
                "maxSessionTimeout"
            } else {
                "tickTime"
            };
            return Err(self.refuse(name, message));
        }
        let tick_time_ms = u32::try_from(tick)
            .map_err(|_| self.refuse("tickTime", "is negative, so that no session could live"))?;
        Ok((tick_time_ms, min, max))
    }

    fn metrics_provider(&self) -> Result<MetricsProvider, ConfigError> {
        let key = "metricsProvider.className";
        let port = self.int("metricsProvider.httpPort");
        let host = self
            .text("metricsProvider.httpHost")
            .map(|set| set.value.as_str());
        let host = host.unwrap_or(self.row("metricsProvider.httpHost").default);
        let process_metrics = self.flag("metricsProvider.exportJvmInfo");
        let class = self
            .text(key)
            .map_or(self.row(key).default, |set| set.value.as_str());
        match class.strip_prefix("org.apache.zookeeper.metrics.") {
            Some("impl.DefaultMetricsProvider") => Ok(MetricsProvider::Default),
            Some("impl.NullMetricsProvider") => Ok(MetricsProvider::Null),
            Some("prometheus.PrometheusMetricsProvider") => Ok(MetricsProvider::Prometheus {
                host: host.into(),
                port: u16::try_from(port).map_err(|_| {
                    self.refuse("metricsProvider.httpPort", format!("{port} is not a port"))
                        .exit_code(1)
                })?,
                process_metrics,
            }),
            _ => Err(self.refuse(
                key,
                format!("there is no metrics provider {class}; the default, the null and the Prometheus provider are built in"),
            )),
        }
    }

    /// Keys that only an ensemble uses, where Java looks at their value all the same.
    fn ensemble_keys(&self) -> Result<(), ConfigError> {
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

    /// dataDir/myid: its first line as it is, which must be a number.
    fn server_id(&self, data_dir: &Path) -> Result<Option<i64>, ConfigError> {
        let path = data_dir.join("myid");
        if !path.is_file() {
            return Ok(None);
        }
        let refuse = |message: String| {
            let mut error = ConfigError::new(message);
            error.file = Some(path.clone());
            error
        };
        let text = super::read_file(&path)?;
        let end = text
            .iter()
            .position(|byte| matches!(byte, b'\n' | b'\r'))
            .unwrap_or(text.len());
        let line = String::from_utf8_lossy(&text[..end]);
        match java::parse_long(&line) {
            Some(id) => Ok(Some(id)),
            None => Err(refuse(format!("{line:?} is not a number (blanks count)"))),
        }
    }

    /// Decides between standalone and ensemble, and lets the own server line give the client
    /// address.
    fn membership(
        &self,
        server_id: Option<i64>,
        client: Option<ClientAddress>,
    ) -> Result<Option<ClientAddress>, ConfigError> {
        for family in ["server.*", "group*", "weight*", "version"] {
            self.row(family);
        }
        let mut lines = self.members.clone();
        let mut file = self.file.clone();
        if let Some(dynamic) = self.text("dynamicConfigFile") {
            if let Some((key, _, line)) = lines.iter().find(|(key, ..)| members::is_member_key(key))
            {
                let message = "must stand in the dynamic configuration file";
                return Err(self.error_at(Place::Line(*line), key, message));
            }
            let path = PathBuf::from(&dynamic.value);
            lines = dynamic_lines(&path)?;
            file = Some(path);
        }
        let multi_address = self.flag("multiAddress.enabled")
            || self
                .properties
                .get("zookeeper.multiAddress.enabled")
                .is_some_and(|set| java::parse_boolean(&set.value));
        let in_file = |mut error: ConfigError| {
            error.file.clone_from(&file);
            error
        };
        let mut members = Members::default();
        for (key, value, line) in &lines {
            members
                .add(key, value, multi_address)
                .map_err(|message| in_file(self.error_at(Place::Line(*line), key, message)))?;
        }
        let hierarchical = self.text("oraclePath").is_none()
            && lines
                .iter()
                .any(|(key, ..)| key.starts_with("group") || key.starts_with("weight"));
        members
            .check_groups(hierarchical)
            .map_err(|why| in_file(ConfigError::new(why)))?;

        let standalone = self.flag("standaloneEnabled");
        let (voters, observers) = members.counts();
        match (voters, standalone) {
            (0, false) => {
                return Err(self.refuse("standaloneEnabled", "false needs at least one voter"));
            }
            (0, true) if observers > 0 => {
                return Err(in_file(ConfigError::new("observers without a voter")));
            }
            (1, true) if observers > 0 => {
                return Err(in_file(ConfigError::new(
                    "one voter with observers is no quorum",
                )));
            }
            (0, true) => {}
            (1, true) => self.note(
                Level::Warn,
                "only one server is specified (ignoring): running standalone",
            ),
            (_, true) => {
                let second = lines
                    .iter()
                    .filter(|(key, ..)| key.starts_with("server."))
                    .nth(1);
                let message = format!("{voters} voters: an ensemble is not built yet");
                return Err(in_file(match second {
                    Some((key, _, line)) => self.error_at(Place::Line(*line), key, message),
                    None => ConfigError::new(message),
                }));
            }
            (_, false) => {
                return Err(self.refuse(
                    "standaloneEnabled",
                    "false asks for an ensemble, which is not built yet",
                ));
            }
        }

        let own = server_id.and_then(|id| members.servers.get(&id));
        let Some((host, port)) = own.and_then(|server| server.client.as_ref()) else {
            return Ok(client);
        };
        let fail = |reason: String| {
            in_file(ConfigError::new(format!(
                "client address of the own server line: {reason}"
            )))
        };
        let ip = resolve(host).map_err(|why| fail(format!("{host:?}: {why}")).exit_code(1))?;
        if let Some(fixed) = &client {
            let wildcard = fixed.ip.is_none_or(|ip| ip.is_unspecified());
            if fixed.port != *port || (!wildcard && fixed.ip != Some(ip)) {
                return Err(fail(format!("{host}:{port} differs from clientPort")));
            }
        }
        Ok(Some(ClientAddress {
            ip: Some(ip),
            port: *port,
        }))
    }

    /// Class names that select an implementation.
    fn classes(&self) -> Result<(), ConfigError> {
        let key = "serverCnxnFactory";
        if let Some(set) = self.text(key) {
            match set.value.strip_prefix("org.apache.zookeeper.server.") {
                Some("NIOServerCnxnFactory" | "NettyServerCnxnFactory") => {}
                _ => {
                    let message = format!("there is no connection factory {}", set.value);
                    return Err(self.refuse(key, message).exit_code(1));
                }
            }
        }
        let key = "watchManagerName";
        if let Some(set) = self.text(key) {
            match set.value.strip_prefix("org.apache.zookeeper.server.watch.") {
                Some("WatchManager" | "WatchManagerOptimized") => {}
                _ => {
                    let message = format!("there is no watch manager {}", set.value);
                    return Err(self.refuse(key, message).exit_code(1));
                }
            }
        }
        Ok(())
    }

    /// Tuning without effect where Java refuses a value all the same.
    fn jvm_keys(&self) -> Result<(), ConfigError> {
        if self.int("intBufferStartingSizeBytes") < 32 {
            return Err(self
                .refuse("intBufferStartingSizeBytes", "is below 32")
                .exit_code(1));
        }
        let threads = self.number("nio.numSelectorThreads");
        if threads.is_some_and(|threads| threads < 1) {
            return Err(self
                .refuse("nio.numSelectorThreads", "is below 1")
                .exit_code(1));
        }
        Ok(())
    }

    /// The authentication providers. `ip` is always there.
    fn providers(&self) -> Result<(DigestAuth, EnsembleAuth), ConfigError> {
        self.row("authProvider.*");
        let mut digest = DigestAuth {
            enabled: self.flag("DigestAuthenticationProvider.enabled"),
            algorithm: self.digest_algorithm()?,
            super_digest: self
                .text("DigestAuthenticationProvider.superDigest")
                .map(|set| set.value.clone()),
        };
        let mut ensemble = EnsembleAuth {
            enabled: false,
            names: self.text("ensembleAuthName").map(|set| names(&set.value)),
        };
        let prefix = "zookeeper.authProvider.";
        for (name, set) in self.properties.range(prefix.to_string()..) {
            if !name.starts_with(prefix) {
                break;
            }
            let key = name.trim_start_matches("zookeeper.");
            match set.value.strip_prefix(AUTH_PACKAGE) {
                Some("EnsembleAuthenticationProvider") => ensemble.enabled = true,
                // Registers what DigestAuthenticationProvider.enabled=false left out.
                Some("DigestAuthenticationProvider") => digest.enabled = true,
                Some("IPAuthenticationProvider") => {}
                Some("SASLAuthenticationProvider") => {
                    return Err(self.error_at(set.place, key, "SASL is not built yet"));
                }
                Some("X509AuthenticationProvider") => {
                    return Err(self.error_at(set.place, key, "TLS is not built yet"));
                }
                _ => {
                    let message = format!("the provider {} is not built", set.value);
                    return Err(self.error_at(set.place, key, message));
                }
            }
        }
        Ok((digest, ensemble))
    }

    fn digest_algorithm(&self) -> Result<String, ConfigError> {
        let key = "DigestAuthenticationProvider.digestAlg";
        let name = self
            .text(key)
            .map_or(self.row(key).default, |set| set.value.as_str());
        let name = name.to_ascii_uppercase();
        if DIGEST_ALGORITHMS.contains(&name.as_str()) {
            return Ok(name);
        }
        let known = DIGEST_ALGORITHMS.join(", ");
        Err(self
            .refuse(
                key,
                format!("there is no message digest {name}; there are {known}"),
            )
            .exit_code(1))
    }

    fn enforced_schemes(
        &self,
        digest: &DigestAuth,
        ensemble: &EnsembleAuth,
    ) -> Result<Option<Vec<String>>, ConfigError> {
        let schemes = self
            .text("enforce.auth.schemes")
            .map(|set| names(&set.value));
        if !self.flag("enforce.auth.enabled") {
            return Ok(None);
        }
        let schemes = schemes.unwrap_or_default();
        if schemes.is_empty() {
            return Err(self.refuse("enforce.auth.enabled", "needs enforce.auth.schemes"));
        }
        for scheme in &schemes {
            let built = match scheme.as_str() {
                "ip" => true,
                "digest" => digest.enabled,
                "ensemble" => ensemble.enabled,
                _ => false,
            };
            if !built {
                let message = format!("the scheme {scheme:?} is not available");
                return Err(self.refuse("enforce.auth.schemes", message));
            }
        }
        Ok(Some(schemes))
    }

    fn connection_throttle(&self) -> Result<ConnectionThrottleConfig, ConfigError> {
        let config = ConnectionThrottleConfig {
            tokens: self.int("connection_throttle_tokens"),
            fill_time_ms: self.int("connection_throttle_fill_time"),
            fill_count: self.int("connection_throttle_fill_count"),
            freeze_time_ms: self.int("connection_throttle_freeze_time"),
            drop_increase: self.double("connection_throttle_drop_increase"),
            drop_decrease: self.double("connection_throttle_drop_decrease"),
            decrease_ratio: self.double("connection_throttle_decrease_ratio"),
            weight_enabled: self.flag("connection_throttle_weight_enabled"),
            global_session_weight: self.int("connection_throttle_global_session_weight"),
            local_session_weight: self.int("connection_throttle_local_session_weight"),
            renew_session_weight: self.int("connection_throttle_renew_session_weight"),
        };
        if config.tokens != 0 && config.fill_time_ms == 0 {
            let message = "0 divides by zero at every connection";
            return Err(self.refuse("connection_throttle_fill_time", message));
        }
        Ok(config)
    }

    fn large_request(&self) -> LargeRequestConfig {
        let default = LargeRequestConfig::default();
        let mut max_bytes = self.int("largeRequestMaxBytes");
        if max_bytes <= 0 {
            self.note(
                Level::Warn,
                format!(
                    "largeRequestMaxBytes: {max_bytes} is not above 0; {} holds",
                    default.max_bytes
                ),
            );
            max_bytes = default.max_bytes;
        }
        let threshold = self.int("largeRequestThreshold");
        if threshold == 0 || threshold < -1 {
            self.note(
                Level::Warn,
                format!("largeRequestThreshold: {threshold} is neither -1 nor above 0; -1 holds"),
            );
        }
        LargeRequestConfig {
            threshold: u32::try_from(threshold).ok().filter(|&bytes| bytes > 0),
            max_bytes,
        }
    }

    fn whitelist(&self) -> Whitelist {
        // Here, unlike elsewhere, the case of "true" counts.
        let read_only = self
            .text("readonlymode.enabled")
            .is_some_and(|set| set.value == "true");
        let list = self
            .text("4lw.commands.whitelist")
            .map(|set| set.value.as_str());
        Whitelist::new(list, read_only)
    }

    fn max_cnxns(&self) -> u32 {
        let number = self.int("maxCnxns");
        u32::try_from(number).unwrap_or_else(|_| {
            self.note(
                Level::Warn,
                format!("maxCnxns: {number} is negative; no limit holds"),
            );
            0
        })
    }

    fn snap_count(&self) -> u32 {
        let number = self.int("snapCount");
        if number < 2 {
            self.note(Level::Warn, format!("snapCount: {number} is raised to 2"));
        }
        number.max(2) as u32
    }

    fn force_sync(&self) -> bool {
        let off = self.word("forceSync");
        if off {
            self.note(
                Level::Warn,
                "forceSync=no: replies do not wait for the disk, and a crash may lose what was acknowledged",
            );
        }
        !off
    }

    /// The property with the prefix, then the one without, then the default.
    fn fsync_warning(&self) -> i64 {
        let key = self.row("fsync.warningthresholdms");
        let read = |name: &str| {
            self.properties
                .get(name)
                .and_then(|set| java::decode_long(&set.value))
        };
        read("zookeeper.fsync.warningthresholdms")
            .or_else(|| read("fsync.warningthresholdms"))
            .or_else(|| java::parse_long(key.default))
            .unwrap_or_default()
    }

    /// A number that would divide by zero or stop a timer when it is not above 0; Java then fails
    /// while it builds the server.
    fn positive(&self, name: &str) -> Result<u32, ConfigError> {
        let number = self.int(name);
        match u32::try_from(number) {
            Ok(number) if number > 0 => Ok(number),
            _ => Err(self
                .refuse(name, format!("{number} is not above 0"))
                .exit_code(1)),
        }
    }

    fn window(&self, name: &str) -> Result<u64, ConfigError> {
        let number = self.long(name);
        u64::try_from(number).map_err(|_| self.refuse(name, format!("{number} is negative")))
    }
}

fn is_flag(value: &str) -> bool {
    value.eq_ignore_ascii_case("true") || value.eq_ignore_ascii_case("false")
}

/// Parts between commas, trimmed, as Java's `split` leaves them.
fn names(text: &str) -> Vec<String> {
    java::split(text, ',')
        .into_iter()
        .map(|name| java::trim(name).to_string())
        .collect()
}

/// An explicit wildcard keeps its family.
fn bind_any(ip: Option<IpAddr>) -> Option<IpAddr> {
    ip.filter(IpAddr::is_unspecified)
}

/// The address of a host name or literal, IPv4 first, as a JVM prefers it. The empty name is the
/// loopback.
fn resolve(host: &str) -> Result<IpAddr, String> {
    if host.is_empty() {
        return Ok(IpAddr::from([127, 0, 0, 1]));
    }
    let host = host
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'))
        .unwrap_or(host);
    let addresses: Vec<IpAddr> = (host, 0)
        .to_socket_addrs()
        .map_err(|error| format!("cannot be resolved ({error})"))?
        .map(|address| address.ip())
        .collect();
    let first = addresses
        .iter()
        .find(|ip| ip.is_ipv4())
        .or(addresses.first());
    first.copied().ok_or_else(|| "cannot be resolved".into())
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
        if !members::is_member_key(&key) {
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
