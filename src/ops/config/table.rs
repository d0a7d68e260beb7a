//! The one table of configuration keys: name, where it may be set, how it is read, its default,
//! its unit and what this server does with it.
//!
//! Owns: the rows. `docs/configuration.md` is generated from them ([`super::markdown`]), reading
//! looks defaults and parsers up here, and tests hold that every honoured row is read and every
//! read names a row.
//!
//! Does not know: how sources are combined (`resolve.rs`).

use Class::{Bare, Own, Passed, Static};
use Parser::{
    ClassName, DoubleOrDefault, Flag, Int, List, Long, Members, NumberOrDefault, PropertyDouble,
    PropertyFlag, PropertyInt, PropertyLong, Text, Word,
};
use State::{Honoured, Later, NoEffect, Refused};
use When::{Set, True};

/// Where a key is set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// In zoo.cfg only; not a system property.
    Static,
    /// In zoo.cfg by this name, or as `-Dzookeeper.<name>`; zoo.cfg wins.
    Passed,
    /// As `-D<name>` only; inert in zoo.cfg.
    Bare,
    /// A key of this server, in zoo.cfg or as `-D<name>`; zoo.cfg wins.
    Own,
}

/// How a value is read, and what a bad one does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Parser {
    /// Any text.
    Text,
    /// Comma separated, blanks around parts dropped.
    List,
    /// `true` or `false` in any case; anything else refuses the start.
    Flag,
    /// Decimal 32-bit number; anything else refuses the start.
    Int,
    /// Decimal 64-bit number; anything else refuses the start.
    Long,
    /// `true` in any case; anything else is false.
    PropertyFlag,
    /// 32-bit number, decimal, `0x` hexadecimal or `0` octal; anything else leaves the default.
    PropertyInt,
    /// 64-bit number, likewise.
    PropertyLong,
    /// Real number; anything else refuses the start.
    PropertyDouble,
    /// Decimal number; anything else leaves the default.
    NumberOrDefault,
    /// Real number; anything else leaves the default.
    DoubleOrDefault,
    /// Only this literal text, in this case, counts.
    Word(&'static str),
    /// Name of a Java class.
    ClassName,
    /// Ensemble members, groups and weights.
    Members,
}

/// When a refused key refuses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// Whenever it is set.
    Set,
    /// When its value is true.
    True,
}

/// What this server does with a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Acts on it.
    Honoured,
    /// Reads and checks it; the part that acts on it is not built yet. One line at start names the
    /// keys of this kind that are set.
    Later(&'static str),
    /// Accepts it; it cannot matter here, and this is why.
    NoEffect(&'static str),
    /// Refuses to start, because to run without what the key asks for would be unsafe.
    Refused(When, &'static str),
}

/// A row.
#[derive(Clone, Copy, Debug)]
pub struct Key {
    /// The name in zoo.cfg (or after `-D` for [`Class::Bare`]). A trailing `*` stands for any rest.
    pub name: &'static str,
    /// Where it is set.
    pub class: Class,
    /// How it is read.
    pub parser: Parser,
    /// Default as text; where a number is expected and this is none, the default is computed.
    pub default: &'static str,
    /// Unit of the value; empty for none.
    pub unit: &'static str,
    /// What is done with it.
    pub state: State,
    /// One line of meaning.
    pub meaning: &'static str,
}

const OBSERVER_LOG: State = NoEffect("an observer always writes its log");
const PROBES: State =
    NoEffect("the addresses of a member are dialled beside each other, without a probe");
const EAGER_ACL: State = Later("eager checks of ACLs");
const NODELAY: State = NoEffect("TCP_NODELAY is always set");
const OTHER_PEER: State = NoEffect("tunes threads, queues or log lines of Java's peers");
const JVM: State = NoEffect("tunes threads or buffers of the Java implementation");
const ADMIN: State = Later("admin server");
const TLS: State = NoEffect("no TLS listener is built; the keys that open one are refused");
const SASL: State = NoEffect("no SASL provider is built; the keys that ask for one are refused");

const fn row(
    name: &'static str,
    class: Class,
    parser: Parser,
    default: &'static str,
    unit: &'static str,
    state: State,
    meaning: &'static str,
) -> Key {
    Key {
        name,
        class,
        parser,
        default,
        unit,
        state,
        meaning,
    }
}

/// Every key, in the order of the documentation.
#[rustfmt::skip]
pub const KEYS: &[Key] = &[
    // Static keys of zoo.cfg.
    row("dataDir", Static, Text, "", "", Honoured, "Snapshots, epochs, myid and the store; required"),
    row("dataLogDir", Static, Text, "dataDir", "", Honoured, "Transaction logs"),
    row("tickTime", Static, Int, "3000", "ms", Honoured, "Basic unit of time; 0 or less refuses"),
    row("clientPort", Static, Int, "none", "", Honoured, "Port of the plaintext client listener"),
    row("clientPortAddress", Static, Text, "any", "", Honoured, "Address of that listener; refuses without clientPort"),
    row("clientPortListenBacklog", Static, Int, "-1", "connections", Honoured, "Accept backlog; -1 is 50"),
    row("maxClientCnxns", Static, Int, "60", "connections", Honoured, "Most connections from one address; 0 is no limit. The positional form has no limit"),
    row("minSessionTimeout", Static, Int, "2 x tickTime", "ms", Honoured, "Least session timeout; above the largest refuses"),
    row("maxSessionTimeout", Static, Int, "20 x tickTime", "ms", Honoured, "Largest session timeout"),
    row("standaloneEnabled", Static, Flag, "true", "", Honoured, "false makes an ensemble even of one voter"),
    row("reconfigEnabled", Static, Flag, "false", "", Honoured, "A standalone server answers reconfig with an error either way; which one depends on this"),
    row("dynamicConfigFile", Static, Text, "none", "", Honoured, "File that holds server, group and weight lines instead of zoo.cfg"),
    row("server.*", Static, Members, "none", "", Honoured, "Ensemble member. One voter runs standalone, more make an ensemble"),
    row("group*", Static, Members, "none", "", Honoured, "Group of hierarchical quorums; checked"),
    row("weight*", Static, Members, "none", "", Honoured, "Weight in hierarchical quorums; checked"),
    row("version", Static, Text, "none", "", Honoured, "Version of the membership, hexadecimal; checked"),
    row("metricsProvider.className", Static, ClassName, "org.apache.zookeeper.metrics.impl.DefaultMetricsProvider", "", Honoured, "The default, the null or the Prometheus provider; another class refuses"),
    row("metricsProvider.httpHost", Static, Text, "0.0.0.0", "", Honoured, "Host of /metrics"),
    row("metricsProvider.httpPort", Static, Int, "7000", "", Honoured, "Port of /metrics"),
    row("metricsProvider.exportJvmInfo", Static, PropertyFlag, "true", "", Honoured, "Export the process_* metrics; there are no jvm_* metrics"),
    row("metricsProvider.numWorkerThreads", Static, Int, "1", "threads", JVM, "Threads that feed Prometheus summaries"),
    row("metricsProvider.maxQueueSize", Static, Int, "1000000", "samples", JVM, "Queue of those threads"),
    row("metricsProvider.workerShutdownTimeoutMs", Static, Long, "1000", "ms", JVM, "Stop of those threads"),
    row("metricsProvider.*", Static, Text, "", "", NoEffect("the provider knows no such key"), "Passed to the provider"),
    row("autopurge.snapRetainCount", Static, Int, "3", "snapshots", Later("autopurge"), "Snapshots kept, at least 3"),
    row("autopurge.purgeInterval", Static, Int, "0", "hours", Later("autopurge"), "0 is off"),
    row("secureClientPort", Static, Int, "none", "", Refused(Set, "TLS is not built"), "TLS listener"),
    row("secureClientPortAddress", Static, Text, "any", "", TLS, "Address of the TLS listener; refuses without secureClientPort"),
    row("sslQuorum", Static, Flag, "false", "", Refused(True, "TLS is not built"), "TLS between servers"),
    row("portUnification", Static, Flag, "false", "", Refused(True, "TLS is not built"), "TLS and plain text on the quorum port"),
    row("sslQuorumReloadCertFiles", Static, Flag, "false", "", TLS, "Reload quorum certificates"),
    row("quorum.auth.enableSasl", Static, Flag, "false", "", Refused(True, "SASL between servers is not built"), "SASL between servers"),
    row("quorum.auth.serverRequireSasl", Static, Flag, "false", "", SASL, "Refuses without enableSasl and learnerRequireSasl"),
    row("quorum.auth.learnerRequireSasl", Static, Flag, "false", "", SASL, "Refuses without enableSasl"),
    row("quorum.auth.learner.saslLoginContext", Static, Text, "QuorumLearner", "", SASL, "JAAS section"),
    row("quorum.auth.server.saslLoginContext", Static, Text, "QuorumServer", "", SASL, "JAAS section"),
    row("quorum.auth.kerberos.servicePrincipal", Static, Text, "zkquorum/localhost", "", SASL, "Kerberos principal"),
    row("quorum.cnxn.threads.size", Static, Int, "20", "threads", JVM, "Threads of SASL handshakes"),
    row("initLimit", Static, Int, "0", "ticks", Honoured, "Time for a learner to connect and synchronise; an ensemble refuses 0 or less"),
    row("syncLimit", Static, Int, "0", "ticks", Honoured, "Time that a learner and its leader may be silent; an ensemble refuses 0 or less"),
    row("connectToLearnerMasterLimit", Static, Int, "initLimit", "ticks", Honoured, "Time to connect to the leader"),
    row("electionAlg", Static, Int, "3", "", Honoured, "Anything but 3 refuses"),
    row("peerType", Static, Text, "participant", "", Honoured, "participant or observer; anything else refuses"),
    row("quorumListenOnAllIPs", Static, Flag, "false", "", Honoured, "Wildcard for peer and election ports"),
    row("observerMasterPort", Static, Int, "0", "", Honoured, "Port on which followers serve observers; on an observer, that it connects to one"),
    row("localSessionsEnabled", Static, Flag, "false", "", Honoured, "New sessions are known to their own server only"),
    row("localSessionsUpgradingEnabled", Static, Flag, "false", "", Honoured, "Such a session becomes everybody's when it makes an ephemeral node; else it may not"),
    row("syncEnabled", Static, Flag, "true", "", OBSERVER_LOG, "Observers log"),
    row("multiAddress.enabled", Static, Flag, "false", "", Honoured, "Allows several addresses in a server line; also as -Dzookeeper.multiAddress.enabled (Java reads such lines only with the latter)"),
    row("multiAddress.reachabilityCheckEnabled", Static, Flag, "true", "", PROBES, "Probe of addresses"),
    row("multiAddress.reachabilityCheckTimeoutMs", Static, Int, "1000", "ms", PROBES, "Time of a probe"),
    row("oraclePath", Static, Text, "none", "", Honoured, "File whose first character, if it is 1, lets one of two voters go on alone"),
    row("jvm.pause.monitor", Static, Flag, "false", "", JVM, "Watch for pauses of the collector"),
    row("jvm.pause.info-threshold.ms", Static, Long, "1000", "ms", JVM, "Its first threshold"),
    row("jvm.pause.warn-threshold.ms", Static, Long, "10000", "ms", JVM, "Its second threshold"),
    row("jvm.pause.sleep.time.ms", Static, Long, "500", "ms", JVM, "Its period"),

    // Keys passed through to system properties.
    row("globalOutstandingLimit", Passed, PropertyInt, "1000", "requests", Honoured, "Above it, a client with requests in flight is not read from"),
    row("maxCnxns", Passed, PropertyInt, "0", "connections", Honoured, "Most connections; 0 is no limit"),
    row("nio.sessionlessCnxnTimeout", Passed, PropertyInt, "10000", "ms", Honoured, "Life of a connection without a session; 0 or less refuses"),
    row("serverCnxnFactory", Passed, ClassName, "org.apache.zookeeper.server.NIOServerCnxnFactory", "", Honoured, "The NIO and the Netty factory mean the same listener here; another class refuses"),
    row("clientTcpKeepAlive", Passed, PropertyFlag, "false", "", Honoured, "TCP keepalive on client sockets"),
    row("jute.maxbuffer.extrasize", Passed, PropertyInt, "jute.maxbuffer", "bytes", Honoured, "Allowance on top of jute.maxbuffer for log records and snapshots, at least 1024"),
    row("snapCount", Passed, PropertyInt, "100000", "transactions", Honoured, "A log file is closed after half to all of it, drawn at each start; at least 2. Java's snapshots come later"),
    row("snapSizeLimitInKb", Passed, PropertyLong, "4194304", "KiB", Honoured, "The same by bytes of log; 0 or less is off"),
    row("txnLogSizeLimitInKb", Passed, PropertyLong, "-1", "KiB", Honoured, "A larger log file is closed after its fsync; 0 or less is off"),
    row("preAllocSize", Passed, NumberOrDefault, "65536", "KiB", Honoured, "Step of log preallocation; 0 or less is none"),
    row("forceSync", Passed, Word("no"), "yes", "", Honoured, "no acknowledges without fsync, with a warning; the log is then synced when a file is full and before each write of the store"),
    row("fsync.warningthresholdms", Passed, PropertyLong, "1000", "ms", Honoured, "Slower fsyncs are warned of; also as -Dfsync.warningthresholdms"),
    row("digest.enabled", Passed, PropertyFlag, "true", "", Honoured, "Tree digest in log records, and its comparison"),
    row("closeSessionTxn.enabled", Passed, PropertyFlag, "true", "", Honoured, "closeSession records carry the ephemeral paths"),
    row("snapshot.trust.empty", Passed, PropertyFlag, "false", "", NoEffect("logs from the first transaction on are replayed without it, others never start"), "Start from logs without a snapshot"),
    row("datadir.autocreate", Passed, PropertyFlag, "true", "", Honoured, "Create missing data directories; false exits 3"),
    row("db.autocreate", Passed, PropertyFlag, "true", "", Honoured, "Start empty when there is no database; false refuses, unless dataLogDir holds a file initialize, which is removed"),
    row("4lw.commands.whitelist", Passed, List, "srvr", "", Honoured, "Four-letter words that are answered; * is all, srvr is always on"),
    row("skipACL", Passed, Word("yes"), "no", "", Honoured, "yes checks no ACL"),
    row("enforceQuota", Passed, PropertyFlag, "false", "", Honoured, "Hard quotas refuse"),
    row("extendedTypesEnabled", Passed, PropertyFlag, "false", "", Honoured, "TTL znodes"),
    row("emulate353TTLNodes", Passed, PropertyFlag, "false", "", Honoured, "TTL znodes of 3.5.3"),
    row("connection_throttle_tokens", Passed, PropertyInt, "0", "tokens", Honoured, "Connections that may come at once; 0 is off"),
    row("connection_throttle_fill_time", Passed, PropertyInt, "1", "ms", Honoured, "Time between refills; 0 refuses when the throttle is on"),
    row("connection_throttle_fill_count", Passed, PropertyInt, "1", "tokens", Honoured, "Tokens of a refill"),
    row("connection_throttle_freeze_time", Passed, PropertyInt, "-1", "ms", Honoured, "Time between changes of the drop probability; -1 drops none at random"),
    row("connection_throttle_drop_increase", Passed, PropertyDouble, "0.02", "", Honoured, "Step of the drop probability up"),
    row("connection_throttle_drop_decrease", Passed, PropertyDouble, "0.002", "", Honoured, "Step of the drop probability down"),
    row("connection_throttle_decrease_ratio", Passed, PropertyDouble, "0", "", Honoured, "Deficit, as a part of the tokens, under which the probability goes down"),
    row("connection_throttle_weight_enabled", Passed, PropertyFlag, "false", "", Honoured, "Sessions cost by kind"),
    row("connection_throttle_global_session_weight", Passed, PropertyInt, "3", "tokens", Honoured, "A new session"),
    row("connection_throttle_local_session_weight", Passed, PropertyInt, "1", "tokens", Honoured, "A new local session"),
    row("connection_throttle_renew_session_weight", Passed, PropertyInt, "2", "tokens", Honoured, "A session that comes back"),
    row("request_throttle_max_requests", Passed, PropertyInt, "0", "requests", Honoured, "Requests in processing above which others wait; 0 is off"),
    row("request_throttle_stall_time", Passed, PropertyInt, "100", "ms", Honoured, "Longest wait before the limit is looked at again"),
    row("request_throttle_drop_stale", Passed, PropertyFlag, "true", "", Honoured, "Drop stale requests and close their connection"),
    row("request_stale_latency_check", Passed, PropertyFlag, "false", "", Honoured, "A request that would outlast its session timeout is stale"),
    row("request_stale_connection_check", Passed, PropertyFlag, "true", "", Honoured, "A request of a closed connection is stale"),
    row("request_throttler.shutdownTimeout", Passed, PropertyInt, "10000", "ms", NoEffect("a stop closes the connections first, and with them goes what the throttle holds back"), "Longest wait of a stop for throttled requests"),
    row("throttled_op_wait_time", Passed, PropertyInt, "0", "ms", Honoured, "A request that waited longer is answered with error -127; 0 is off"),
    row("largeRequestThreshold", Passed, PropertyInt, "-1", "bytes", Honoured, "Larger requests count against largeRequestMaxBytes; -1 is off"),
    row("largeRequestMaxBytes", Passed, PropertyInt, "104857600", "bytes", Honoured, "Bytes of large requests in processing; beyond, the connection is closed"),
    row("DigestAuthenticationProvider.enabled", Passed, PropertyFlag, "true", "", Honoured, "The digest scheme"),
    row("DigestAuthenticationProvider.superDigest", Passed, Text, "none", "", Honoured, "Id of the super user, super:<base64>"),
    row("DigestAuthenticationProvider.digestAlg", Passed, Text, "SHA1", "", Honoured, "Message digest of the digest scheme; an unknown one refuses"),
    row("ensembleAuthName", Passed, List, "none", "", Honoured, "Names that the ensemble scheme accepts"),
    row("authProvider.*", Passed, ClassName, "none", "", Honoured, "The ip, digest and ensemble providers; the SASL, X509, key and custom ones are refused until built"),
    row("enforce.auth.enabled", Passed, PropertyFlag, "false", "", Honoured, "Close connections without an id of enforce.auth.schemes"),
    row("enforce.auth.schemes", Passed, List, "none", "", Honoured, "ip, digest, ensemble; a scheme that is not built refuses"),
    row("sessionRequireClientSASLAuth", Passed, PropertyFlag, "false", "", Refused(True, "SASL is not built, so no client could connect"), "Close connections without SASL"),
    row("sasl.serverconfig", Passed, Text, "Server", "", Refused(Set, "SASL is not built"), "JAAS section of the server"),
    row("client.portUnification", Passed, PropertyFlag, "false", "", Refused(True, "TLS is not built"), "TLS and plain text on clientPort"),
    row("maxResponseCacheSize", Passed, PropertyInt, "400", "entries", NoEffect("replies are encoded from the tree, there is no response cache"), "Cache of getData replies"),
    row("maxGetChildrenResponseCacheSize", Passed, PropertyInt, "400", "entries", NoEffect("replies are encoded from the tree, there is no response cache"), "Cache of getChildren replies"),
    row("commitLogCount", Passed, NumberOrDefault, "500", "transactions", Honoured, "Transactions that a DIFF may always use, at least 500"),
    row("snapshotSizeFactor", Passed, DoubleOrDefault, "0.33", "", Honoured, "Log that may be read for a DIFF, as a part of the snapshot; above 1 is 0.33, 0 no bound, less none"),
    row("flushDelay", Passed, PropertyLong, "0", "ms", NoEffect("a batch forms while the one before is fsynced"), "Delay of a flush"),
    row("maxWriteQueuePollTime", Passed, PropertyLong, "flushDelay / 3", "ms", NoEffect("a batch forms while the one before is fsynced"), "Wait for a batch"),
    row("maxBatchSize", Passed, PropertyInt, "1000", "transactions", NoEffect("a batch forms while the one before is fsynced"), "Largest batch"),
    row("enableEagerACLCheck", Passed, PropertyFlag, "false", "", EAGER_ACL, "Check ACLs before a request goes to the leader"),
    row("serializeLastProcessedZxid.enabled", Passed, PropertyFlag, "true", "", Later("Java snapshots"), "Snapshots carry the last zxid"),
    row("snapshot.compression.method", Passed, Text, "none", "", Later("Java snapshots"), "gz, snappy; anything else is none"),
    row("audit.enable", Passed, PropertyFlag, "false", "", Later("audit log"), "Audit log"),
    row("audit.impl.class", Passed, ClassName, "org.apache.zookeeper.audit.Slf4jAuditLogger", "", Later("audit log"), "Class of the audit log"),
    row("admin.enableServer", Passed, Text, "true", "", ADMIN, "Only false, in this case, is off"),
    row("admin.serverAddress", Passed, Text, "0.0.0.0", "", ADMIN, "Its address"),
    row("admin.serverPort", Passed, PropertyInt, "8080", "", ADMIN, "Its port"),
    row("admin.commandURL", Passed, Text, "/commands", "", ADMIN, "Its path"),
    row("admin.idleTimeout", Passed, PropertyInt, "30000", "ms", ADMIN, "Idle connections"),
    row("admin.httpVersion", Passed, PropertyInt, "11", "", ADMIN, "HTTP version"),
    row("admin.portUnification", Passed, PropertyFlag, "false", "", ADMIN, "TLS and plain text"),
    row("admin.forceHttps", Passed, PropertyFlag, "false", "", ADMIN, "TLS only"),
    row("admin.needClientAuth", Passed, PropertyFlag, "false", "", ADMIN, "Client certificates"),
    row("admin.snapshot.enabled", Passed, PropertyFlag, "true", "", ADMIN, "The snapshot command"),
    row("admin.restore.enabled", Passed, PropertyFlag, "true", "", ADMIN, "The restore command"),
    row("admin.rateLimiterIntervalInMS", Passed, PropertyInt, "300000", "ms", ADMIN, "Rate of the two"),
    row("admin.*", Passed, Text, "", "", ADMIN, "Other keys of the admin server"),
    row("IPAuthenticationProvider.usexforwardedfor", Passed, PropertyFlag, "false", "", ADMIN, "Address behind a proxy"),
    row("IPAuthenticationProvider.skipxforwardedfor", Passed, PropertyFlag, "false", "", ADMIN, "Address behind a proxy"),
    row("SASLAuthenticationProvider.superPassword", Passed, Text, "none", "", SASL, "Password of the super user"),
    row("X509AuthenticationProvider.superUser", Passed, Text, "none", "", TLS, "Subject of the super user"),
    row("superUser*", Passed, Text, "none", "", SASL, "Principal of the super user"),
    row("letAnySaslUserDoX", Passed, Text, "none", "", SASL, "Any SASL user passes"),
    row("allowSaslFailedClients", Passed, PropertyFlag, "false", "", SASL, "Keep clients whose SASL failed"),
    row("kerberos.*", Passed, Text, "", "", SASL, "Kerberos"),
    row("security.auth_to_local", Passed, Text, "DEFAULT", "", SASL, "Kerberos names"),
    row("requireKerberosConfig", Passed, Text, "none", "", SASL, "Kerberos"),
    row("ssl.*", Passed, Text, "", "", TLS, "TLS"),
    row("client.*", Passed, Text, "", "", TLS, "TLS of clients"),
    row("fips-mode", Passed, PropertyFlag, "true", "", TLS, "FIPS"),
    row("netty.*", Passed, Text, "", "", JVM, "Netty"),
    row("leaderServes", Passed, Word("no"), "yes", "", Honoured, "Leader accepts clients"),
    row("leader.maxConcurrentSnapSyncs", Passed, PropertyInt, "10", "learners", Honoured, "Most that get a snapshot at once; 0 or less refuses"),
    row("leader.maxConcurrentDiffSyncs", Passed, PropertyInt, "100", "learners", Honoured, "Most that get a DIFF at once; 0 or less refuses"),
    row("leader.maxTimeToWaitForEpoch", Passed, PropertyInt, "-1", "ms", Honoured, "Longest wait for followers while another voter looks for a leader; -1 is initLimit"),
    row("leader.*", Passed, Text, "", "", OTHER_PEER, "Leader"),
    row("learner.*", Passed, Text, "", "", OTHER_PEER, "Learner"),
    row("follower.*", Passed, Text, "", "", OTHER_PEER, "Follower"),
    row("fastleader.minNotificationInterval", Passed, PropertyInt, "200", "ms", Honoured, "First wait before a vote is sent again"),
    row("fastleader.maxNotificationInterval", Passed, PropertyInt, "60000", "ms", Honoured, "Largest such wait; they double"),
    row("fastleader.*", Passed, Text, "", "", OTHER_PEER, "Election"),
    row("observer.reconnectDelayMs", Passed, PropertyLong, "0", "ms", Honoured, "An observer waits a part of this before it connects; with observer masters, once it has tried all"),
    row("observer.election.DelayMs", Passed, PropertyLong, "200", "ms", Honoured, "Wait of an observer before it looks for a leader again"),
    row("observer.syncEnabled", Passed, PropertyFlag, "syncEnabled", "", OBSERVER_LOG, "Wins over syncEnabled"),
    row("observer.*", Passed, Text, "", "", OTHER_PEER, "Observer"),
    row("observerMaster.sizeLimit", Passed, PropertyInt, "33554432", "bytes", Honoured, "Committed packets that an observer master keeps"),
    row("cnxTimeout", Passed, NumberOrDefault, "5000", "ms", Honoured, "Time to connect to an election port; 0 is the system's, in an ensemble anything but a number refuses"),
    row("quorumCnxnTimeoutMs", Passed, PropertyInt, "-1", "ms", Honoured, "Time to read while an election connection is made; 0 or less is syncLimit"),
    row("electionPortBindRetry", Passed, PropertyInt, "3", "", Honoured, "Attempts to bind the election port; 0 is for ever"),
    row("tcpKeepAlive", Passed, PropertyFlag, "false", "", Honoured, "TCP keepalive on election sockets"),
    row("leaderConnectDelayDuringRetryMs", Passed, PropertyInt, "100", "ms", Honoured, "Wait between two attempts to connect to the leader"),
    row("forceSnapshotSync", Passed, PropertyFlag, "false", "", Honoured, "Always send a snapshot"),
    row("forward_learner_requests_to_commit_processor_disabled", Passed, PropertyFlag, "false", "", OTHER_PEER, "Leader"),
    row("commitProcessor.*", Passed, Text, "", "", JVM, "Commit processor"),
    row("nio.numSelectorThreads", Passed, PropertyInt, "by cores", "threads", JVM, "Below 1 refuses"),
    row("nio.*", Passed, Text, "", "", JVM, "Sockets"),
    row("intBufferStartingSizeBytes", Passed, PropertyInt, "1024", "bytes", JVM, "Below 32 refuses"),
    row("watchManagerName", Passed, ClassName, "org.apache.zookeeper.server.watch.WatchManager", "", JVM, "Either of Java's two; another class refuses"),
    row("watcherCleanThreshold", Passed, PropertyInt, "1000", "", JVM, "Watch manager"),
    row("watcherCleanIntervalInSeconds", Passed, PropertyInt, "600", "s", JVM, "Watch manager"),
    row("watcherCleanThreadsNum", Passed, PropertyInt, "2", "", JVM, "Watch manager"),
    row("maxInProcessingDeadWatchers", Passed, PropertyInt, "-1", "", JVM, "Watch manager"),
    row("bitHashCacheSize", Passed, PropertyInt, "10", "", JVM, "Watch manager"),
    row("messageTracker.*", Passed, Text, "", "", JVM, "Tracker of messages"),
    row("pathStats.*", Passed, Text, "", "", JVM, "Statistics of paths"),
    row("log.*", Passed, Text, "", "", JVM, "Folder of Java's log, as zkServer.sh passes it"),
    row("root.logger", Passed, Text, "", "", JVM, "Java's logger, as zkServer.sh passes it"),
    row("jmx.*", Passed, Text, "", "", JVM, "JMX"),
    row("test.*", Passed, Text, "", "", JVM, "Java's own tests"),
    row("testingonly.*", Passed, Text, "", "", JVM, "Java's own tests"),

    // Bare system properties.
    row("jute.maxbuffer", Bare, PropertyInt, "1048575", "bytes", Honoured, "Largest frame, string and buffer"),
    row("readonlymode.enabled", Bare, PropertyFlag, "false", "", Honoured, "Reads are served while no leader is found, to local sessions (localSessionsEnabled); standalone it only adds isro to the whitelist"),
    row("znode.container.checkIntervalMs", Bare, PropertyInt, "60000", "ms", Honoured, "Period of the container and TTL reaper; 0 or less refuses"),
    row("znode.container.maxPerMinute", Bare, PropertyInt, "10000", "znodes", Honoured, "Its most deletions; 0 deletes nothing, less than 0 is no limit"),
    row("znode.container.maxNeverUsedIntervalMs", Bare, PropertyLong, "0", "ms", Honoured, "A container that never had a child goes after this; 0 keeps it"),
    row("leader.nodelay", Bare, Text, "true", "", NODELAY, "TCP_NODELAY"),
    row("follower.nodelay", Bare, Text, "true", "", NODELAY, "TCP_NODELAY"),
    row("java.security.auth.login.config", Bare, Text, "none", "", Refused(Set, "SASL is not built"), "JAAS file"),

    // Keys of this server.
    row("zabkeeper.diffWindowTxns", Own, Long, "1000000", "transactions", Honoured, "Transactions that stay in the log for a learner's DIFF"),
    row("zabkeeper.diffWindowMiB", Own, Long, "512", "MiB", Honoured, "Most log that stays for it; the smaller window wins"),
];

/// Names under which Java's documentation lists pass-through keys, though they are inert in
/// zoo.cfg; with the name that works.
pub const INERT_ALIASES: &[(&str, &str)] = &[
    ("connectionMaxTokens", "connection_throttle_tokens"),
    ("connectionTokenFillTime", "connection_throttle_fill_time"),
    ("connectionTokenFillCount", "connection_throttle_fill_count"),
    ("connectionFreezeTime", "connection_throttle_freeze_time"),
    (
        "connectionDropIncrease",
        "connection_throttle_drop_increase",
    ),
    (
        "connectionDropDecrease",
        "connection_throttle_drop_decrease",
    ),
    (
        "connectionDecreaseRatio",
        "connection_throttle_decrease_ratio",
    ),
    ("requestThrottleLimit", "request_throttle_max_requests"),
    ("requestThrottleStallTime", "request_throttle_stall_time"),
    ("requestThrottleDropStale", "request_throttle_drop_stale"),
    ("requestStaleLatencyCheck", "request_stale_latency_check"),
    (
        "requestStaleConnectionCheck",
        "request_stale_connection_check",
    ),
    ("throttledOpWaitTime", "throttled_op_wait_time"),
    ("maxTimeToWaitForEpoch", "leader.maxTimeToWaitForEpoch"),
    ("maxConcurrentSnapSyncs", "leader.maxConcurrentSnapSyncs"),
    ("maxConcurrentDiffSyncs", "leader.maxConcurrentDiffSyncs"),
    (
        "advancedFlowControlEnabled",
        "netty.advancedFlowControl.enabled",
    ),
    (
        "outstandingHandshake.limit",
        "netty.server.outstandingHandshake.limit",
    ),
];

/// The row of a key as it is written: an exact name first, else the longest `*` row that fits.
pub fn lookup(class: impl Fn(Class) -> bool, name: &str) -> Option<&'static Key> {
    let mut best: Option<&'static Key> = None;
    for key in KEYS.iter().filter(|key| class(key.class)) {
        match key.name.strip_suffix('*') {
            None if key.name == name => return Some(key),
            Some(prefix)
                if name.starts_with(prefix)
                    && best.is_none_or(|old| old.name.len() < key.name.len()) =>
            {
                best = Some(key);
            }
            _ => {}
        }
    }
    best
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn names_are_unique() {
        let mut seen = BTreeSet::new();
        for key in KEYS {
            assert!(
                seen.insert((key.name, key.class == Bare)),
                "{} twice",
                key.name
            );
        }
    }

    #[test]
    fn exact_names_win_over_families() {
        let any = |_| true;
        assert_eq!(
            lookup(any, "nio.numSelectorThreads").unwrap().name,
            "nio.numSelectorThreads"
        );
        assert_eq!(lookup(any, "nio.numWorkerThreads").unwrap().name, "nio.*");
        assert_eq!(
            lookup(any, "metricsProvider.x").unwrap().name,
            "metricsProvider.*"
        );
        assert_eq!(lookup(any, "groupFoo").unwrap().name, "group*");
        assert_eq!(lookup(any, "superUser.2").unwrap().name, "superUser*");
        assert!(lookup(any, "nosuchkey").is_none());
    }

    #[test]
    fn inert_aliases_point_to_rows_and_are_none() {
        for (alias, name) in INERT_ALIASES {
            assert!(lookup(|c| c == Passed, name).is_some(), "{name}");
            assert!(KEYS.iter().all(|key| key.name != *alias), "{alias}");
        }
    }
}
