//! Four-letter words: what each one prints, as functions from plain values to text.
//!
//! Owns: the texts, byte by byte those of Java 3.9.5 but for values, and the whitelist. Does not
//! know: sockets, the tree, clocks. The server gathers the values; `mntr` is in
//! [`crate::metrics`].
//!
//! A word is looked for in the first four bytes of a connection that has no session; what follows
//! it is not read, but for the 8 bytes of `stmk`, without which Java closes at once. The reply is
//! sent and the connection closed. The bytes that telnet sends when it hangs up count as a word too:
//! off the whitelist they get the refusal, on it (`*`) the connection closes without a reply.
//!
//! Lines end with `\n`. There is none behind `imok`, `rw`, `ro`, `null`, the trace masks and the
//! quorum form of `conf`; `wchc`, `wchp` and `cons` end with an empty line.

mod connection;
mod dump;
mod environment;
mod stats;
mod watches;

use std::collections::BTreeSet;

pub use connection::{ConnectionInfo, LAST_OP_NONE, SessionInfo, cons, java_address, last_op_name};
pub use dump::{DumpInfo, DumpSessions, Ephemerals, ExpiringSets, dump};
pub use environment::Environment;
pub use stats::{
    ConfInfo, Latency, QuorumConf, ServerMode, ServerStats, conf, dirs, srvr, stat, version_text,
};
pub use watches::{WatchSummary, wchc, wchp, wchs};
pub use zk_wire::text::four_letter::FourLetterWord;

use crate::java;

/// What most words say while the server does not serve.
pub const NOT_SERVING: &str = "This ZooKeeper instance is not currently serving requests\n";

/// The trace mask that `gtmk` prints until `stmk` sets another.
pub const DEFAULT_TRACE_MASK: i64 = 306;

/// What a word says while the server does not serve; `None` for words that answer all the same
/// (`ruok`, `envi`, `gtmk`, `stmk`).
pub fn not_serving(word: FourLetterWord) -> Option<&'static str> {
    match word {
        FourLetterWord::Ruok
        | FourLetterWord::Envi
        | FourLetterWord::Gtmk
        | FourLetterWord::Stmk
        | FourLetterWord::TelnetClose => None,
        FourLetterWord::Isro => Some("null"),
        // Printed without a line end there.
        FourLetterWord::Hash => Some(NOT_SERVING.trim_ascii_end()),
        FourLetterWord::Conf
        | FourLetterWord::Cons
        | FourLetterWord::Crst
        | FourLetterWord::Dirs
        | FourLetterWord::Dump
        | FourLetterWord::Mntr
        | FourLetterWord::Srst
        | FourLetterWord::Srvr
        | FourLetterWord::Stat
        | FourLetterWord::Wchc
        | FourLetterWord::Wchp
        | FourLetterWord::Wchs => Some(NOT_SERVING),
    }
}

/// `ruok`.
pub fn ruok() -> &'static str {
    "imok"
}

/// `isro`.
pub fn isro(mode: ServerMode) -> &'static str {
    match mode {
        ServerMode::ReadOnly => "ro",
        ServerMode::Standalone
        | ServerMode::Leader
        | ServerMode::Follower
        | ServerMode::Observer => "rw",
    }
}

/// `gtmk`, and `stmk` with the mask that it set.
pub fn trace_mask(mask: i64) -> String {
    mask.to_string()
}

/// `crst`.
pub fn crst() -> &'static str {
    "Connection stats reset.\n"
}

/// `srst`.
pub fn srst() -> &'static str {
    "Server stats reset.\n"
}

/// `hash`: zxid and tree digest of each entry of the digest log, oldest first. The log holds every
/// 128th zxid, the last 1024 of them.
pub fn hash(entries: impl IntoIterator<Item = (i64, u64)>) -> String {
    use core::fmt::Write as _;
    let mut out = String::new();
    for (zxid, digest) in entries {
        let _ = writeln!(out, "{zxid:x}: {}", digest as i64);
    }
    out
}

/// What a word gets that is not on the whitelist, the telnet close sequence included.
pub fn refusal(word: FourLetterWord) -> String {
    format!("{word} is not executed because it is not in the whitelist.\n")
}

/// `4lw.commands.whitelist`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Whitelist {
    words: BTreeSet<FourLetterWord>,
}

impl Whitelist {
    /// Reads the value: words between commas, blanks around them dropped, `*` for all (what follows
    /// it is not read), unknown words ignored. `srvr` is always in, for zkServer.sh; `isro` when
    /// read-only mode is enabled.
    pub fn new(list: Option<&str>, read_only_mode: bool) -> Whitelist {
        let mut words = BTreeSet::from([FourLetterWord::Srvr]);
        if read_only_mode {
            words.insert(FourLetterWord::Isro);
        }
        for name in java::split(list.unwrap_or_default(), ',') {
            let name = java::trim(name);
            if name == "*" {
                words.extend(FourLetterWord::ALL);
                break;
            }
            words.extend(FourLetterWord::ALL.iter().find(|word| word.name() == name));
        }
        Whitelist { words }
    }

    /// Whether a word is answered; else it gets its [`refusal`].
    pub fn allows(&self, word: FourLetterWord) -> bool {
        self.words.contains(&word)
    }

    /// The words that are answered.
    pub fn words(&self) -> impl Iterator<Item = FourLetterWord> + '_ {
        self.words.iter().copied()
    }
}

impl Default for Whitelist {
    fn default() -> Self {
        Whitelist::new(None, false)
    }
}

#[cfg(test)]
mod tests;
