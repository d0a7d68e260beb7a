//! Builds [`ServerConfig`] of settings that were checked one by one.
//!
//! Owns: the rules that relate several keys, values that Java refuses or mends only while it builds
//! the server, and which refusal has which exit code. Does not know where a setting came from.

use std::net::{IpAddr, ToSocketAddrs};
use std::path::{Path, PathBuf};

use super::resolve::Resolver;
use super::{
    ClientAddress, ConfigError, ContainerReaper, DIGEST_ALGORITHMS, DigestAuth, EnsembleAuth,
    Level, MetricsProvider, Origin, RequestThrottle, ServerConfig,
};
use crate::four_letter::Whitelist;
use crate::java;
use crate::throttle::{ConnectionThrottleConfig, LargeRequestConfig};

const AUTH_PACKAGE: &str = "org.apache.zookeeper.server.auth.";

impl Resolver {
    pub fn build(self, origin: Origin) -> Result<ServerConfig, ConfigError> {
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
        let server_id = match &origin {
            Origin::Arguments => None,
            Origin::File(_) | Origin::Embedded => self.server_id(&data_dir)?,
        };
        let (client, ensemble) = self.ensemble(server_id, client, tick_time_ms)?;
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
            ensemble,
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
            },
            throttled_op_wait_ms: self.int("throttled_op_wait_time"),
            large_request: self.large_request(),
            four_letter: self.whitelist(),
            metrics,
            client_tcp_keep_alive: self.flag("clientTcpKeepAlive"),
            datadir_autocreate: self.flag("datadir.autocreate"),
            db_autocreate: self.flag("db.autocreate"),
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
        Ok(Some(listener(ip, port)))
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
        let tick_time_ms = u32::try_from(tick)
            .map_err(|_| self.refuse("tickTime", "is negative, so that no session could live"))?;
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

/// Parts between commas, trimmed, as Java's `split` leaves them.
fn names(text: &str) -> Vec<String> {
    java::split(text, ',')
        .into_iter()
        .map(|name| java::trim(name).to_string())
        .collect()
}

/// A JVM binds either wildcard to both families.
pub(super) fn listener(ip: Option<IpAddr>, port: u16) -> ClientAddress {
    ClientAddress {
        ip: ip.filter(|ip| !ip.is_unspecified()),
        port,
    }
}

/// The address of a host name or literal, IPv4 first, as a JVM prefers it. The empty name is the
/// loopback.
pub(super) fn resolve(host: &str) -> Result<IpAddr, String> {
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
