//! Why a run could not be finished.

use std::fmt;
use std::io;

/// Why a run could not be finished. Operations that failed are no error of this kind; they are in
/// the report.
#[derive(Debug)]
pub enum Error {
    /// The arguments do not fit together.
    Usage(String),
    /// A host of `--hosts` cannot be used.
    Host(String, String),
    /// A session could not be opened.
    Open(usize, String),
    /// The server broke the protocol.
    Protocol(usize, String),
    /// Every session is gone.
    Lost(String),
    /// Nodes could not be prepared.
    Prepare(String),
    /// Replies still outstanding after the time allowed.
    Stuck(usize),
    /// The process given cannot be looked at.
    Process(u32, io::Error),
    /// Something of the operating system.
    Io(&'static str, io::Error),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Usage(what) => f.write_str(what),
            Error::Host(host, why) => write!(f, "host {host:?}: {why}"),
            Error::Open(session, why) => write!(f, "session {session} could not be opened: {why}"),
            Error::Protocol(session, what) => write!(f, "session {session}: {what}"),
            Error::Lost(why) => write!(f, "every session is gone; the last one: {why}"),
            Error::Prepare(what) => write!(f, "preparing: {what}"),
            Error::Stuck(count) => write!(f, "{count} replies have not come"),
            Error::Process(pid, error) => write!(f, "process {pid}: {error}"),
            Error::Io(what, error) => write!(f, "{what}: {error}"),
        }
    }
}

impl std::error::Error for Error {}
