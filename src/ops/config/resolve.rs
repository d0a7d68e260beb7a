//! Combines the sources, checks single keys, and reads them.
//!
//! Owns: precedence, and what is said about keys that are inert, unknown or not built. Does not
//! know: the rules that relate several keys ([`super::build`]), and the defaults and parsers of
//! single ones ([`super::table`]).

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use zk_wire::quorum::config::is_member_key;
use zk_wire::text::properties;

use super::sources::Place;
use super::table::{self, Class, Key, Parser, State, When};
use super::{ConfigError, Level, Note, Origin, ServerConfig, Sources};
use crate::java;

const PROMETHEUS_CLASS: &str = "org.apache.zookeeper.metrics.prometheus.PrometheusMetricsProvider";

/// Keys of this server. A misspelt one refuses: Java's users cannot have any.
const OWN_PREFIX: &str = "zabkeeper.";

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
pub(super) struct Setting {
    pub value: String,
    pub place: Place,
}

/// Where the membership lines stand: key, value as it is, line.
pub(super) type MemberLine = (String, String, usize);

pub(super) struct Resolver {
    pub file: Option<PathBuf>,
    /// Static keys, as in zoo.cfg, values trimmed.
    statics: BTreeMap<String, Setting>,
    /// System properties by their full name.
    pub properties: BTreeMap<String, Setting>,
    /// The keys as they were written, for the lines that name them at start.
    written: Vec<(String, Setting)>,
    pub members: Vec<MemberLine>,
    pub notes: RefCell<Vec<Note>>,
    /// Names of rows that were read, for the test that all are.
    pub read: RefCell<BTreeSet<&'static str>>,
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

    pub fn note(&self, level: Level, text: impl Into<String>) {
        self.notes.borrow_mut().push(Note::new(level, text));
    }

    pub fn error_at(&self, place: Place, key: &str, message: impl Into<String>) -> ConfigError {
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
            if is_member_key(&key) || key == "version" {
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
        // Only the Prometheus provider reads its keys.
        let prometheus = self
            .statics
            .get("metricsProvider.className")
            .is_some_and(|set| set.value == PROMETHEUS_CLASS);
        let is_read = |key: &str| prometheus || !key.starts_with("metricsProvider.");
        for (key, setting) in self.statics.iter().filter(|(key, _)| is_read(key)) {
            if let Some(row) = table::lookup(|class| class == Class::Static, key) {
                self.check_value(row, key, setting)?;
            }
        }
        let mut later: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for (written, setting) in &self.written {
            let bare = written.trim_start_matches("-D");
            if bare.starts_with(OWN_PREFIX)
                && table::lookup(|class| class == Class::Own, bare).is_none()
            {
                return Err(self.error_at(setting.place, written, "is no key of this server"));
            }
            let Some(row) = self.row_of(written, setting) else {
                continue;
            };
            if is_read(written) {
                self.check_value(row, written, setting)?;
            }
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

    pub fn row(&self, name: &str) -> &'static Key {
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
    pub fn text(&self, name: &str) -> Option<&Setting> {
        let key = self.row(name);
        self.setting(key)
    }

    /// The number of a key: the set value where it is one, else the row's default, else `None`.
    pub fn number(&self, name: &str) -> Option<i64> {
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

    pub fn int(&self, name: &str) -> i32 {
        let number = self
            .number(name)
            .and_then(|number| i32::try_from(number).ok());
        number.unwrap_or_else(|| panic!("{name} has no default"))
    }

    pub fn long(&self, name: &str) -> i64 {
        self.number(name)
            .unwrap_or_else(|| panic!("{name} has no default"))
    }

    pub fn double(&self, name: &str) -> f64 {
        let key = self.row(name);
        let set = self
            .setting(key)
            .and_then(|set| java::parse_double(&set.value));
        set.or_else(|| java::parse_double(key.default))
            .unwrap_or_else(|| panic!("{name} has no default"))
    }

    pub fn flag(&self, name: &str) -> bool {
        let key = self.row(name);
        java::parse_boolean(self.setting(key).map_or(key.default, |set| &set.value))
    }

    /// A flag that another source gives where it is not set.
    pub fn flag_or(&self, name: &str, otherwise: Option<&str>) -> bool {
        let key = self.row(name);
        let set = self.setting(key).map(|set| set.value.as_str());
        java::parse_boolean(set.or(otherwise).unwrap_or(key.default))
    }

    /// Whether a key has the one literal value that counts.
    pub fn word(&self, name: &str) -> bool {
        let key = self.row(name);
        let Parser::Word(word) = key.parser else {
            panic!("{name} is no word")
        };
        self.setting(key).is_some_and(|set| set.value == word)
    }

    /// A size that is off when 0 or less.
    pub fn kib(&self, name: &str) -> Option<u64> {
        u64::try_from(self.long(name))
            .ok()
            .filter(|&kib| kib > 0)
            .map(|kib| kib.saturating_mul(1024))
    }

    pub fn refuse(&self, name: &str, message: impl Into<String>) -> ConfigError {
        let key = self.row(name);
        match self.setting(key) {
            Some(set) => self.error_at(set.place, name, message),
            None => ConfigError::new(message).key(name),
        }
    }
}

fn is_flag(value: &str) -> bool {
    value.eq_ignore_ascii_case("true") || value.eq_ignore_ascii_case("false")
}
