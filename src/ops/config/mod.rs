//! Configuration: zoo.cfg, system properties and the positional form, as Java reads them.
//!
//! Owns: the one table of keys ([`table`]), precedence, every refusal with file, line and key, and
//! the typed result ([`ServerConfig`]).
//!
//! Does not know: what the server does with a value, and the grammar of properties files (that is
//! [`zk_wire::text::properties`]).
//!
//! Invariants: static keys are strict and pass-through keys lenient exactly where Java's are; a
//! zoo.cfg line wins over `-Dzookeeper.<key>`; bare properties cannot be set in zoo.cfg; a key
//! whose neglect would be unsafe refuses the start until it is built.

mod build;
mod ensemble;
mod markdown;
mod resolve;
mod server_config;
mod sources;
pub mod table;

#[cfg(test)]
mod ensemble_tests;
#[cfg(test)]
mod tests;

use core::fmt;
use std::path::{Path, PathBuf};

pub use ensemble::EnsembleConfig;
pub use markdown::markdown;
pub use resolve::load_text;
pub use server_config::{
    ClientAddress, ContainerReaper, DigestAuth, EnsembleAuth, MetricsProvider, Origin,
    RequestThrottle, ServerConfig,
};
pub use sources::Sources;

use crate::limits;

/// The configuration of `zabkeeper serve` without a file.
pub const EMBEDDED_CFG: &str = "\
# The configuration that zabkeeper serves by when none is named.
tickTime=2000
dataDir=./zabkeeper-data
clientPort=2181
clientPortAddress=127.0.0.1
4lw.commands.whitelist=*
";

/// Message digests that `DigestAuthenticationProvider.digestAlg` may name, in any case.
pub const DIGEST_ALGORITHMS: &[&str] = &[
    "SHA1", "SHA-1", "SHA", "MD5", "SHA-224", "SHA224", "SHA-256", "SHA256", "SHA-384", "SHA384",
    "SHA-512", "SHA512", "SHA3-224", "SHA3-256", "SHA3-384", "SHA3-512",
];

/// Importance of a [`Note`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// For whoever looks for it.
    Debug,
    /// Worth a line at every start.
    Info,
    /// Probably not what was meant.
    Warn,
}

/// A line to log at start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// Importance.
    pub level: Level,
    /// The line.
    pub text: String,
}

impl Note {
    pub(crate) fn new(level: Level, text: impl Into<String>) -> Note {
        Note {
            level,
            text: text.into(),
        }
    }
}

/// A refused start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    /// The file that holds the bad line, as named on the command line.
    pub file: Option<PathBuf>,
    /// The line, from 1.
    pub line: Option<usize>,
    /// The key.
    pub key: Option<String>,
    /// What is wrong.
    pub message: String,
    /// Exit code of the process, as Java's: 2, and 1 where Java fails on a value only while it
    /// builds the server.
    pub exit_code: u8,
}

impl ConfigError {
    pub(crate) fn new(message: impl Into<String>) -> ConfigError {
        ConfigError {
            file: None,
            line: None,
            key: None,
            message: message.into(),
            exit_code: 2,
        }
    }

    pub(crate) fn key(mut self, key: &str) -> ConfigError {
        self.key = Some(key.into());
        self
    }

    pub(crate) fn exit_code(mut self, exit_code: u8) -> ConfigError {
        self.exit_code = exit_code;
        self
    }
}

/// `file:line: key: message`, each part as far as known.
impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(file) = &self.file {
            write!(f, "{}", file.display())?;
            if let Some(line) = self.line {
                write!(f, ":{line}")?;
            }
            f.write_str(": ")?;
        }
        if let Some(key) = &self.key {
            write!(f, "{key}: ")?;
        }
        f.write_str(&self.message)
    }
}

impl std::error::Error for ConfigError {}

/// Reads the configuration that the sources name: the file, the positional form, or the embedded
/// default.
///
/// # Errors
/// Every refusal, with the exit code that the process is to end with. Standard error gets
/// [`INVALID_CONFIG`] besides the error itself.
pub fn load(sources: &Sources) -> Result<ServerConfig, ConfigError> {
    match sources.arguments.as_slice() {
        [] => load_text(&Origin::Embedded, EMBEDDED_CFG.as_bytes(), sources),
        [file] => {
            let path = PathBuf::from(file);
            let text = read_file(&path)?;
            load_text(&Origin::File(path), &text, sources)
        }
        [_, _, rest @ ..] if rest.len() <= 2 => resolve::load_arguments(sources),
        more => Err(ConfigError::new(format!(
            "{} arguments. {USAGE}",
            more.len()
        ))),
    }
}

/// The line that Java prints on standard error when it refuses a configuration.
pub const INVALID_CONFIG: &str = "Invalid config, exiting abnormally";

/// Usage of the positional form, as Java prints it.
pub const USAGE: &str = "Usage: configfile | port datadir [ticktime] [maxcnxns]";

fn read_file(path: &Path) -> Result<Vec<u8>, ConfigError> {
    use std::io::Read;
    let fail = |message: String| {
        let mut error = ConfigError::new(message);
        error.file = Some(path.into());
        error
    };
    let file = match std::fs::File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return Err(fail("file is missing".into()));
        }
        Err(error) => return Err(fail(format!("cannot be read: {error}"))),
    };
    let mut text = Vec::new();
    file.take(limits::CONFIG_FILE_MAX + 1)
        .read_to_end(&mut text)
        .map_err(|error| fail(format!("cannot be read: {error}")))?;
    if text.len() as u64 > limits::CONFIG_FILE_MAX {
        return Err(fail(format!(
            "is larger than {} bytes",
            limits::CONFIG_FILE_MAX
        )));
    }
    Ok(text)
}
