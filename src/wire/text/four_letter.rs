//! Four-letter words: commands in place of the first frame of a connection. Where a frame's length
//! would be, the word's own letters stand.

use core::fmt;

macro_rules! words {
    ($($(#[$doc:meta])* $name:ident = $bytes:expr, $text:literal;)*) => {
        /// A command.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum FourLetterWord {
            $($(#[$doc])* $name,)*
        }

        impl FourLetterWord {
            /// Every command.
            pub const ALL: &[FourLetterWord] = &[$(FourLetterWord::$name),*];

            /// The command that a connection begins with, if it does.
            pub fn from_bytes(bytes: [u8; 4]) -> Option<FourLetterWord> {
                $(if bytes == *$bytes {
                    return Some(FourLetterWord::$name);
                })*
                None
            }

            /// The word as configuration and messages have it.
            pub const fn name(self) -> &'static str {
                match self {
                    $(FourLetterWord::$name => $text,)*
                }
            }

            /// The four bytes.
            pub const fn bytes(self) -> [u8; 4] {
                match self {
                    $(FourLetterWord::$name => *$bytes,)*
                }
            }
        }
    };
}

words! {
    /// The configuration.
    Conf = b"conf", "conf";
    /// All connections.
    Cons = b"cons", "cons";
    /// Resets the statistics of all connections.
    Crst = b"crst", "crst";
    /// The size of logs and snapshots.
    Dirs = b"dirs", "dirs";
    /// Sessions and ephemeral nodes.
    Dump = b"dump", "dump";
    /// The environment.
    Envi = b"envi", "envi";
    /// The trace mask.
    Gtmk = b"gtmk", "gtmk";
    /// The latest digests of the tree.
    Hash = b"hash", "hash";
    /// Read-only or not.
    Isro = b"isro", "isro";
    /// All metrics.
    Mntr = b"mntr", "mntr";
    /// Answers `imok`.
    Ruok = b"ruok", "ruok";
    /// Resets the statistics of the server.
    Srst = b"srst", "srst";
    /// The server in short.
    Srvr = b"srvr", "srvr";
    /// The server in short, and its connections.
    Stat = b"stat", "stat";
    /// Sets the trace mask; 8 more bytes follow.
    Stmk = b"stmk", "stmk";
    /// Watches by session.
    Wchc = b"wchc", "wchc";
    /// Watches by path.
    Wchp = b"wchp", "wchp";
    /// Watches in short.
    Wchs = b"wchs", "wchs";
    /// What telnet sends when it hangs up; known so that it is not taken for a bad length.
    TelnetClose = &[0xFF, 0xF4, 0xFF, 0xFD], "telnet close";
}

impl fmt::Display for FourLetterWord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_word_comes_back_from_its_bytes() {
        for &word in FourLetterWord::ALL {
            assert_eq!(FourLetterWord::from_bytes(word.bytes()), Some(word));
        }
        assert_eq!(FourLetterWord::from_bytes(*b"RUOK"), None);
        assert_eq!(FourLetterWord::from_bytes([0, 0, 0, 45]), None);
    }
}
