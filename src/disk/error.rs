//! What can go wrong on disk, with what an operator needs to act: file, offset, the zxids at
//! stake, and what to do.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

/// An error of the log, the store or the data directory.
#[derive(Debug)]
pub enum Error {
    /// A call of the operating system failed.
    Io {
        /// What was being done, a verb: `write`, `fsync`, `rename`.
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
    /// An earlier write or fsync of the log failed. After that nothing is known about what the
    /// file holds, so nothing is tried again.
    Poisoned,
    /// The caller broke the writer's contract; nothing was written.
    Misuse(String),
    /// The log is damaged where it may not be: not at its end.
    Corrupt(Corrupt),
    /// A transaction is missing between two that are there.
    Hole {
        /// The segment that holds the later of the two.
        file: PathBuf,
        /// Where the later one starts.
        offset: u64,
        /// The zxid before the hole; 0 when the log should have begun at the first transaction.
        after: i64,
        /// The zxid behind the hole.
        found: i64,
    },
    /// Another process holds the directory.
    Locked {
        /// The lock file.
        path: PathBuf,
    },
    /// The store was written by a newer version of this program.
    NewerFormat {
        /// The store's folder.
        path: PathBuf,
        /// Its format version.
        found: u32,
        /// The newest version that this program knows.
        known: u32,
    },
    /// The store cannot be read: a row, a key or RocksDB itself is damaged.
    StoreCorrupt {
        /// The store's folder or the key.
        what: String,
        /// What is wrong with it.
        why: String,
    },
    /// The store could not do what was asked for another reason than damage: its disk is full, an
    /// error of RocksDB.
    Store {
        /// What was being done.
        action: &'static str,
        /// The store's answer.
        why: String,
    },
    /// What another server sent as its snapshot is none.
    Snapshot(String),
    /// The directory's contents do not fit together, so starting could lose or invent data.
    Refused {
        /// What was found.
        found: String,
        /// What the operator can do.
        remedy: String,
    },
}

/// A damaged place in the log that is not a torn tail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Corrupt {
    /// The segment.
    pub file: PathBuf,
    /// Offset of the first byte that is not a valid record.
    pub offset: u64,
    /// The last zxid known good before it; `None` when the damage is at the very beginning.
    pub after: Option<i64>,
    /// A valid record behind it (lowest zxid found there), in this segment or a later one.
    pub before: Option<i64>,
    /// What is wrong there.
    pub why: &'static str,
}

impl Error {
    /// Wraps an IO error with what was being done to which file.
    pub fn io(action: &'static str, path: &Path, source: io::Error) -> Error {
        Error::Io {
            action,
            path: path.to_path_buf(),
            source,
        }
    }

    /// True when the cause is a full disk, or a quota on it.
    pub fn is_disk_full(&self) -> bool {
        matches!(self, Error::Io { source, .. } if is_full(source))
    }
}

/// True when there is no more room, on the disk or for this user.
pub(crate) fn is_full(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded
    )
}

/// A zxid as operators read it: in hex with its prefix.
pub(crate) struct Zxid(pub i64);

impl fmt::Display for Zxid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#x}", self.0)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Io { action, path, source } => {
                write!(f, "cannot {action} {}: {source}", path.display())
            }
            Error::Poisoned => f.write_str(
                "the transaction log is closed: an earlier write or fsync failed, and what the disk holds since is unknown",
            ),
            Error::Misuse(what) => write!(f, "log writer misused: {what}"),
            Error::Corrupt(c) => c.fmt(f),
            Error::Hole { file, offset, after, found } => write!(
                f,
                "transactions are missing from the log: zxid {} is followed by {} at {} offset {offset}. \
                 Put the missing log files back beside it, or restore the data and log directories together from a backup",
                Zxid(*after),
                Zxid(*found),
                file.display()
            ),
            Error::Locked { path } => write!(
                f,
                "another process holds {}: stop it first, or give this server its own dataDir and dataLogDir",
                path.display()
            ),
            Error::NewerFormat { path, found, known } => write!(
                f,
                "{} has format version {found}, this program knows versions up to {known}: start the newer program that wrote it",
                path.display()
            ),
            Error::StoreCorrupt { what, why } => write!(f, "the store is damaged: {what}: {why}"),
            Error::Store { action, why } => write!(f, "the store cannot {action}: {why}"),
            Error::Snapshot(why) => write!(f, "the snapshot cannot be taken over: {why}"),
            Error::Refused { found, remedy } => write!(f, "{found}. {remedy}"),
        }
    }
}

impl fmt::Display for Corrupt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "the transaction log is damaged at {} offset {}: {}; ",
            self.file.display(),
            self.offset,
            self.why
        )?;
        match (self.after, self.before) {
            (Some(after), Some(before)) => write!(
                f,
                "zxid {} before it and {} behind it are valid, what lies between is at stake",
                Zxid(after),
                Zxid(before)
            )?,
            (Some(after), None) => write!(f, "everything after zxid {} is at stake", Zxid(after))?,
            (None, Some(before)) => {
                write!(f, "everything before zxid {} is at stake", Zxid(before))?
            }
            (None, None) => f.write_str("no valid record is known beside it")?,
        }
        f.write_str(
            ". This is not an unfinished write but damage to transactions that were acknowledged: \
             restore this file (or the data and log directories together) from a backup or a copy of the disk",
        )
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Error::Io { source, .. } => Some(source),
            _ => None,
        }
    }
}

/// The result of everything fallible in this crate.
pub type Result<T> = std::result::Result<T, Error>;
