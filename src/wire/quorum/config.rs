//! The membership of an ensemble: `server.N`, `group.N`, `weight.N` and `version`, as they stand
//! in zoo.cfg, in the dynamic configuration file, in `/zookeeper/config`, in NEWLEADER and in
//! notifications.
//!
//! Owns: the grammar of these lines, the text that Java prints for a configuration (byte for byte),
//! and the rules that say which configurations run standalone. Does not know: quorums, elections,
//! names' addresses, files.
//!
//! Values are not trimmed: a blank at the end of a line refuses, as in Java.

use alloc::borrow::ToOwned;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;
use core::net::{Ipv4Addr, Ipv6Addr};

use crate::text::properties::PropertiesError;
use crate::text::{hash_order, java, properties};

/// The address that a client part without a host means.
const ANY_HOST: &str = "0.0.0.0";

/// Whether a key belongs to the membership (`version` aside). Java takes any key that starts with
/// `group` or `weight` for one.
pub fn is_member_key(key: &str) -> bool {
    key.starts_with("server.") || is_hierarchy_key(key)
}

fn is_hierarchy_key(key: &str) -> bool {
    key.starts_with("group") || key.starts_with("weight")
}

/// A host and a port, the host as Java prints it: see [`host_text`].
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct HostPort {
    /// A name or the literal of an address, without brackets.
    pub host: String,
    /// The port; 0 is a number that Java takes.
    pub port: u16,
}

impl fmt::Display for HostPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", Bracketed(&self.host), self.port)
    }
}

/// One of a member's addresses: a host with the two ports of the ensemble.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Address {
    /// A name or the literal of an address, without brackets.
    pub host: String,
    /// Port on which a leader takes learners.
    pub quorum: u16,
    /// Port of elections; never that of the quorum.
    pub election: u16,
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let host = Bracketed(&self.host);
        write!(f, "{host}:{}:{}", self.quorum, self.election)
    }
}

struct Bracketed<'a>(&'a str);

impl fmt::Display for Bracketed<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.contains(':') {
            write!(f, "[{}]", self.0)
        } else {
            f.write_str(self.0)
        }
    }
}

/// Whether a member votes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum MemberRole {
    /// It votes.
    Participant,
    /// It learns what was committed, without a vote.
    Observer,
}

impl MemberRole {
    /// The word in a member's line.
    pub fn name(self) -> &'static str {
        match self {
            MemberRole::Participant => "participant",
            MemberRole::Observer => "observer",
        }
    }
}

/// One `server.N` line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// In the order of the line; at least one. More than one only with multi-address.
    pub addresses: Vec<Address>,
    /// Whether it votes.
    pub role: MemberRole,
    /// Where its clients connect, if the line says so, or [`Member::client_from_static`].
    pub client: Option<HostPort>,
    /// Whether the client address comes from the clientPort of the member's own zoo.cfg: it then
    /// counts when configurations are compared, but is not in their text.
    pub client_from_static: bool,
}

impl Member {
    /// Reads the value of a `server.N` line: `host:port:port[:role][|..][;[host:]port]`.
    ///
    /// # Errors
    /// What is wrong with it. `sid` is only named in the error.
    pub fn parse(sid: i64, text: &str, multi_address: bool) -> Result<Member, ConfigError> {
        let form = || ConfigError::Form(text.to_owned());
        let parts = java::split(text, ';');
        let (server, client) = match parts.as_slice() {
            [server] => (server, None),
            [server, client] => (server, Some(client)),
            _ => return Err(form()),
        };
        let client = match client {
            None => None,
            Some(part) => {
                let (host, port_text) = match host_and_ports(part)?.as_slice() {
                    [port_text] => (ANY_HOST, *port_text),
                    [host, port_text] => (*host, *port_text),
                    _ => return Err(form()),
                };
                Some(HostPort {
                    host: host_text(host),
                    port: port(port_text)?,
                })
            }
        };
        let lines = java::split(server, '|');
        if lines.is_empty() {
            return Err(form());
        }
        if lines.len() > 1 && !multi_address {
            return Err(ConfigError::SeveralAddresses(sid));
        }
        let mut addresses = Vec::with_capacity(lines.len());
        let mut role = None;
        for line in lines {
            let fields = host_and_ports(line)?;
            let (host, quorum, election, role_text) = match fields.as_slice() {
                [host, quorum, election] => (*host, *quorum, *election, None),
                [host, quorum, election, role] => (*host, *quorum, *election, Some(*role)),
                _ => return Err(form()),
            };
            let address = Address {
                host: host_text(host),
                quorum: port(quorum)?,
                election: port(election)?,
            };
            if address.quorum == address.election {
                return Err(ConfigError::SamePorts(sid));
            }
            addresses.push(address);
            if let Some(text) = role_text {
                let this = match java::trim(text).to_lowercase().as_str() {
                    "participant" => MemberRole::Participant,
                    "observer" => MemberRole::Observer,
                    _ => return Err(ConfigError::Role(text.to_owned())),
                };
                if *role.get_or_insert(this) != this {
                    return Err(ConfigError::RolesDiffer(sid));
                }
            }
        }
        Ok(Member {
            addresses,
            role: role.unwrap_or(MemberRole::Participant),
            client,
            client_from_static: false,
        })
    }

    /// Whether it votes.
    pub fn votes(&self) -> bool {
        self.role == MemberRole::Participant
    }

    /// Whether two lines say the same: role, addresses in any order, and the client address, even
    /// if it comes from zoo.cfg. Names are compared as names, in any case. (Java compares what
    /// they resolve to, when they resolve.)
    pub fn same(&self, other: &Member) -> bool {
        let ports = |member: &Member, port: fn(&Address) -> u16| -> BTreeSet<(String, u16)> {
            let addresses = member.addresses.iter();
            addresses
                .map(|it| (it.host.to_lowercase(), port(it)))
                .collect()
        };
        let client = |member: &Member| {
            let client = member.client.as_ref();
            client.map(|it| (it.host.to_lowercase(), it.port))
        };
        self.role == other.role
            && ports(self, |it| it.quorum) == ports(other, |it| it.quorum)
            && ports(self, |it| it.election) == ports(other, |it| it.election)
            && client(self) == client(other)
    }
}

impl fmt::Display for Member {
    /// As in the text of a configuration.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut addresses: Vec<&Address> = self.addresses.iter().collect();
        // Java's strings compare by UTF-16 units.
        addresses.sort_by(|a, b| a.host.encode_utf16().cmp(b.host.encode_utf16()));
        addresses.dedup();
        for (index, address) in addresses.into_iter().enumerate() {
            let separator = if index == 0 { "" } else { "|" };
            write!(f, "{separator}{address}")?;
        }
        write!(f, ":{}", self.role.name())?;
        match &self.client {
            Some(client) if !self.client_from_static => write!(f, ";{client}"),
            _ => Ok(()),
        }
    }
}

/// Who belongs to an ensemble and who counts in it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct QuorumConfig {
    /// Grows with every change: the zxid of the reconfig, 0 for what was written by hand.
    pub version: i64,
    /// By server id.
    pub members: BTreeMap<i64, Member>,
    /// Server ids by group. Without any, a quorum is a majority of the participants. A group
    /// without ids counts as a group that no quorum can have.
    pub groups: BTreeMap<i64, BTreeSet<i64>>,
    /// Weights by server id; with groups every participant has one, 1 if no line says otherwise.
    pub weights: BTreeMap<i64, i64>,
}

impl QuorumConfig {
    /// Reads a configuration that stands alone: the text of the znode, of NEWLEADER and of a
    /// notification, or a dynamic file. Other keys are refused; the last of equal lines wins; no
    /// version is 0.
    ///
    /// # Errors
    /// The first thing that is wrong with it. Whether it has enough voters is for
    /// [`QuorumConfig::check_voters`] to say.
    pub fn parse(text: &str, multi_address: bool) -> Result<QuorumConfig, ConfigError> {
        let mut last = BTreeMap::new();
        for entry in properties::parse_text(text).map_err(ConfigError::Properties)? {
            last.insert(entry.key, entry.value);
        }
        let mut lines = ConfigLines::new(multi_address);
        for (key, value) in &last {
            let trimmed = java::trim(key);
            if !is_member_key(trimmed) && trimmed != "version" {
                return Err(ConfigError::UnknownKey(trimmed.to_owned()));
            }
            lines.add(key, value)?;
        }
        lines.finish()
    }

    /// The members that vote, by id.
    pub fn voters(&self) -> impl Iterator<Item = (i64, &Member)> {
        self.with_role(MemberRole::Participant)
    }

    /// The members that do not, by id.
    pub fn observers(&self) -> impl Iterator<Item = (i64, &Member)> {
        self.with_role(MemberRole::Observer)
    }

    fn with_role(&self, role: MemberRole) -> impl Iterator<Item = (i64, &Member)> {
        let members = self.members.iter().map(|(sid, member)| (*sid, member));
        members.filter(move |(_, member)| member.role == role)
    }

    /// Whether groups and weights say what a quorum is.
    pub fn is_hierarchical(&self) -> bool {
        !self.groups.is_empty() || !self.weights.is_empty()
    }

    /// Whether Java would run it as an ensemble: more than one voter, or one if standalone mode is
    /// not allowed.
    pub fn is_ensemble(&self, standalone_enabled: bool) -> bool {
        !standalone_enabled || self.voters().nth(1).is_some()
    }

    /// Whether it has the voters that it needs: without any, nothing may ask for an ensemble, and
    /// with one that may run standalone there must be no observers.
    ///
    /// # Errors
    /// What it lacks.
    pub fn check_voters(&self, standalone_enabled: bool) -> Result<(), ConfigError> {
        let voters = self.voters().count();
        let observers = self.members.len() - voters;
        match (voters, standalone_enabled) {
            (0, false) => Err(ConfigError::NoVoter),
            (0, true) if observers > 0 => Err(ConfigError::OnlyObservers),
            (1, true) if observers > 0 => Err(ConfigError::OneVoterWithObservers),
            _ => Ok(()),
        }
    }

    /// Whether two configurations differ in no member, group or weight; versions aside. (Java also
    /// takes any two of one version for equal.)
    pub fn same_members(&self, other: &QuorumConfig) -> bool {
        let same = |(sid, member): (&i64, &Member)| {
            let other = other.members.get(sid);
            other.is_some_and(|other| member.same(other))
        };
        self.members.len() == other.members.len()
            && self.members.iter().all(same)
            && self.groups == other.groups
            && self.weights == other.weights
    }

    /// The text in the znode, in NEWLEADER and in notifications: lines in the order of Java's hash
    /// tables, `version` last and without a newline. It is what Java prints after it has read the
    /// same lines in ascending order.
    pub fn text(&self) -> String {
        let mut text: String = self
            .lines()
            .iter()
            .map(|line| format!("{line}\n"))
            .collect();
        text.push_str(&self.version_line());
        text
    }

    /// The dynamic file of a committed configuration: lines sorted as strings, no version (the
    /// file's name has it), no newline at the end.
    pub fn file_text(&self) -> String {
        join_sorted(self.lines())
    }

    /// The file of the configuration seen last (`.dynamic.next`): the same with the version.
    pub fn next_file_text(&self) -> String {
        let mut lines = self.lines();
        lines.push(self.version_line());
        join_sorted(lines)
    }

    fn version_line(&self) -> String {
        format!("version={:x}", self.version)
    }

    fn lines(&self) -> Vec<String> {
        // Java reads the lines into one hash table and from there into others.
        enum Key {
            Server(i64),
            Group(i64),
            Weight(i64),
            Version,
        }
        let mut keys: Vec<(String, Key)> = Vec::new();
        keys.extend(
            self.members
                .keys()
                .map(|sid| (format!("server.{sid}"), Key::Server(*sid))),
        );
        keys.extend(
            self.groups
                .keys()
                .map(|gid| (format!("group.{gid}"), Key::Group(*gid))),
        );
        keys.extend(
            self.weights
                .keys()
                .map(|sid| (format!("weight.{sid}"), Key::Weight(*sid))),
        );
        keys.push(("version".to_owned(), Key::Version));
        let (mut members, mut grouped, mut weighted) = (Vec::new(), Vec::new(), Vec::new());
        for key in hash_order::properties(keys.into_iter().map(Keyed)) {
            match key.0.1 {
                Key::Server(sid) => members.push(sid),
                Key::Group(gid) => {
                    grouped.extend(self.groups[&gid].iter().map(|sid| (*sid, gid)));
                }
                Key::Weight(sid) => weighted.push(sid),
                Key::Version => {}
            }
        }
        struct Keyed<T>((String, T));
        impl<T> AsRef<str> for Keyed<T> {
            fn as_ref(&self) -> &str {
                &self.0.0
            }
        }

        let mut lines = Vec::new();
        for sid in hash_order::longs(members) {
            lines.push(format!("server.{sid}={}", self.members[&sid]));
        }
        let group_of: BTreeMap<i64, i64> = grouped.iter().copied().collect();
        let mut met = Vec::new();
        let mut ids: BTreeMap<i64, Vec<String>> = BTreeMap::new();
        for sid in hash_order::longs(grouped.into_iter().map(|(sid, _)| sid)) {
            let gid = group_of[&sid];
            let ids = ids.entry(gid).or_insert_with(|| {
                met.push(gid);
                Vec::new()
            });
            ids.push(sid.to_string());
        }
        for gid in hash_order::longs(met) {
            lines.push(format!("group.{gid}={}", ids[&gid].join(":")));
        }
        for sid in hash_order::longs(weighted) {
            lines.push(format!("weight.{sid}={}", self.weights[&sid]));
        }
        lines
    }
}

fn join_sorted(mut lines: Vec<String>) -> String {
    lines.sort_by(|a, b| a.encode_utf16().cmp(b.encode_utf16()));
    lines.join("\n")
}

/// A configuration that is read line by line, so that an error can name its line.
#[derive(Debug, Clone, Default)]
pub struct ConfigLines {
    config: QuorumConfig,
    multi_address: bool,
    majority: bool,
    hierarchical: bool,
    grouped: BTreeSet<i64>,
}

impl ConfigLines {
    /// Nothing read yet.
    pub fn new(multi_address: bool) -> ConfigLines {
        ConfigLines {
            multi_address,
            ..ConfigLines::default()
        }
    }

    /// Passes over groups and weights, as Java does where an oracle decides.
    pub fn majority_only(mut self) -> ConfigLines {
        self.majority = true;
        self
    }

    /// Takes in one line. Keys of other kinds pass.
    ///
    /// # Errors
    /// What is wrong with the line, in itself or beside those before it.
    pub fn add(&mut self, key: &str, value: &str) -> Result<(), ConfigError> {
        if let Some(sid) = key.strip_prefix("server.") {
            let sid = number(sid)?;
            let member = Member::parse(sid, value, self.multi_address)?;
            self.config.members.insert(sid, member);
        } else if is_hierarchy_key(key) {
            if self.majority {
                return Ok(());
            }
            self.hierarchical = true;
            // Without a dot Java takes the whole key, which is then no number.
            let id = number(key.split_once('.').map_or(key, |(_, id)| id))?;
            if key.starts_with("group") {
                let group = self.config.groups.entry(id).or_default();
                for sid in java::split(value, ':') {
                    let sid = number(sid)?;
                    if !self.grouped.insert(sid) {
                        return Err(ConfigError::SeveralGroups(sid));
                    }
                    group.insert(sid);
                }
            } else {
                self.config.weights.insert(id, number(value)?);
            }
        } else if key == "version" {
            self.config.version = java::parse_long_hex(value)
                .ok_or_else(|| ConfigError::NotHexadecimal(value.to_owned()))?;
        }
        Ok(())
    }

    /// What holds over all lines: with groups, every participant is in one, and every server of a
    /// group has a weight (participants have 1 by default).
    ///
    /// # Errors
    /// The first server for which it does not hold.
    pub fn finish(self) -> Result<QuorumConfig, ConfigError> {
        let mut config = self.config;
        if !self.hierarchical {
            return Ok(config);
        }
        let voters: Vec<i64> = config.voters().map(|(sid, _)| sid).collect();
        for sid in voters {
            if !self.grouped.contains(&sid) {
                return Err(ConfigError::NoGroup(sid));
            }
            config.weights.entry(sid).or_insert(1);
        }
        let unweighted = |sid: &&i64| !config.weights.contains_key(sid);
        match self.grouped.iter().find(unweighted) {
            Some(sid) => Err(ConfigError::NoWeight(*sid)),
            None => Ok(config),
        }
    }
}

/// Why a configuration is not one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ConfigError {
    /// It is no properties file.
    Properties(PropertiesError),
    /// A key that does not belong to the membership.
    UnknownKey(String),
    /// A server id, a group id or a weight.
    NotANumber(String),
    /// The version.
    NotHexadecimal(String),
    /// A `server.N` value with too few or too many parts.
    Form(String),
    /// `[` without `]`.
    NoBracket(String),
    /// `]:` with nothing behind it.
    NoPort(String),
    /// A port that is none.
    Port(String),
    /// The two ports of this server are one.
    SamePorts(i64),
    /// Neither participant nor observer.
    Role(String),
    /// The addresses of this server name both roles.
    RolesDiffer(i64),
    /// This server has several addresses, and multi-address is off.
    SeveralAddresses(i64),
    /// This server is in several groups.
    SeveralGroups(i64),
    /// This participant is in no group.
    NoGroup(i64),
    /// This server is in a group, but has no weight; Java dies of it.
    NoWeight(i64),
    /// An ensemble without a voter.
    NoVoter,
    /// Observers and no voter at all.
    OnlyObservers,
    /// Observers around a server that would run standalone.
    OneVoterWithObservers,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use ConfigError::*;
        match self {
            Properties(error) => error.fmt(f),
            UnknownKey(key) => write!(f, "{key:?} is no key of a membership"),
            NotANumber(text) => write!(f, "{text:?} is not a number"),
            NotHexadecimal(text) => write!(f, "{text:?} is not a hexadecimal number"),
            Form(text) => write!(
                f,
                "{text:?} does not have the form \
                 host:port:port[:role][|host:port:port[:role]][;[host:]port]"
            ),
            NoBracket(text) => write!(f, "{text:?} has no closing bracket"),
            NoPort(text) => write!(f, "{text:?} has no port after the colon"),
            Port(text) => write!(f, "{text:?} is not a port"),
            SamePorts(sid) => write!(f, "server {sid} has one port for peers and elections"),
            Role(text) => write!(f, "unknown role {text:?}"),
            RolesDiffer(sid) => write!(f, "the addresses of server {sid} differ in their role"),
            SeveralAddresses(sid) => write!(
                f,
                "several addresses for server {sid}, but multiAddress.enabled is not true"
            ),
            SeveralGroups(sid) => write!(f, "server {sid} is in several groups"),
            NoGroup(sid) => write!(f, "server {sid} is in no group"),
            NoWeight(sid) => write!(f, "server {sid} is in a group, but has no weight"),
            NoVoter => f.write_str("an ensemble needs at least one voter"),
            OnlyObservers => f.write_str("observers without a voter"),
            OneVoterWithObservers => f.write_str("one voter with observers is no quorum"),
        }
    }
}

impl core::error::Error for ConfigError {}

fn number(text: &str) -> Result<i64, ConfigError> {
    java::parse_long(text).ok_or_else(|| ConfigError::NotANumber(text.to_owned()))
}

fn port(text: &str) -> Result<u16, ConfigError> {
    java::parse_int(text)
        .and_then(|port| u16::try_from(port).ok())
        .ok_or_else(|| ConfigError::Port(text.to_owned()))
}

/// Host and ports around colons, the host perhaps an IPv6 literal in brackets.
fn host_and_ports(text: &str) -> Result<Vec<&str>, ConfigError> {
    let Some(rest) = text.strip_prefix('[') else {
        return Ok(java::split(text, ':'));
    };
    let (host, tail) = rest
        .split_once(']')
        .ok_or_else(|| ConfigError::NoBracket(text.to_owned()))?;
    // One character behind the bracket is skipped, whatever it is.
    let mut chars = tail.chars();
    match (chars.next(), chars.as_str()) {
        (Some(_), "") => Err(ConfigError::NoPort(text.to_owned())),
        (Some(_), ports) => {
            let mut fields = Vec::from([host]);
            fields.extend(java::split(ports, ':'));
            Ok(fields)
        }
        (None, _) => Ok(Vec::from([host])),
    }
}

/// A host as Java prints it once it has read it: names as they are, nothing as `localhost`, and the
/// literal of an address in its long form: eight groups without `::` for IPv6, four numbers for
/// IPv4 (of which fewer may be given), IPv4 for an IPv6 address that stands for one. An address with
/// the name of an interface behind it stays as it is; what Java makes of it depends on whether the
/// machine has that interface.
pub fn host_text(host: &str) -> String {
    if host.is_empty() {
        return "localhost".to_owned();
    }
    if let Some(address) = ipv4(host) {
        return address.to_string();
    }
    let (literal, zone) = match host.find('%') {
        Some(at) => host.split_at(at),
        None => (host, ""),
    };
    if zone.bytes().skip(1).any(|byte| !byte.is_ascii_digit()) {
        return host.to_owned();
    }
    let Ok(address) = literal.parse::<Ipv6Addr>() else {
        return host.to_owned();
    };
    if let Some(address) = address.to_ipv4_mapped() {
        return address.to_string();
    }
    let groups: Vec<String> = address
        .segments()
        .iter()
        .map(|group| format!("{group:x}"))
        .collect();
    groups.join(":") + zone
}

/// One to four decimal numbers; the last fills the bytes that are left.
fn ipv4(text: &str) -> Option<Ipv4Addr> {
    let parts: Vec<&str> = text.split('.').collect();
    let (last, first) = parts.split_last()?;
    if first.len() > 3
        || parts
            .iter()
            .any(|part| !part.bytes().all(|b| b.is_ascii_digit()))
    {
        return None;
    }
    let mut address = 0_u64;
    for part in first {
        address = address << 8 | u64::from(part.parse::<u8>().ok()?);
    }
    let left = 8 * (4 - first.len() as u32);
    let last: u64 = last.parse().ok().filter(|last| *last < 1 << left)?;
    u32::try_from(address << left | last)
        .ok()
        .map(Ipv4Addr::from)
}
