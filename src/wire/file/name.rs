//! The names of logs and snapshots: a word, a dot, a zxid in lower-case hexadecimal digits
//! without leading zeros; behind a snapshot's, perhaps how it is compressed.

use alloc::format;
use alloc::string::String;

/// The name of the log that begins with this zxid.
pub fn log(zxid: i64) -> String {
    format!("log.{zxid:x}")
}

/// The name of the uncompressed snapshot that was begun at this zxid.
pub fn snapshot(zxid: i64) -> String {
    format!("snapshot.{zxid:x}")
}

/// How a snapshot is compressed. Java goes by the name, not by the configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compression {
    /// Not at all.
    None,
    /// `.gz`.
    Gzip,
    /// `.snappy`: the stream of snappy-java, not the framing format.
    Snappy,
}

/// What a file is, by its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Named {
    /// A transaction log.
    Log {
        /// Its first zxid.
        zxid: i64,
    },
    /// A snapshot.
    Snapshot {
        /// The last zxid applied when it was begun.
        zxid: i64,
        /// By its suffix.
        compression: Compression,
    },
}

/// What a file is, by its name; `None` for one that servers ignore. As lenient as Java: anything
/// may follow the second dot, and the digits may be in upper case.
pub fn parse(name: &str) -> Option<Named> {
    let mut parts = name.split('.');
    let word = parts.next()?;
    let zxid = i64::from_str_radix(parts.next()?, 16)
        .ok()
        .filter(|zxid| *zxid >= 0)?;
    match word {
        "log" => Some(Named::Log { zxid }),
        "snapshot" => {
            let suffix = parts.next_back().unwrap_or_default();
            let compression = if suffix.eq_ignore_ascii_case("gz") {
                Compression::Gzip
            } else if suffix.eq_ignore_ascii_case("snappy") {
                Compression::Snappy
            } else {
                Compression::None
            };
            Some(Named::Snapshot { zxid, compression })
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_come_back() {
        assert_eq!(log(0x1_0000_000a), "log.10000000a");
        assert_eq!(
            parse("log.10000000a"),
            Some(Named::Log {
                zxid: 0x1_0000_000a
            })
        );
        assert_eq!(snapshot(0), "snapshot.0");
        let snapshot = |zxid, compression| Some(Named::Snapshot { zxid, compression });
        assert_eq!(parse("snapshot.0"), snapshot(0, Compression::None));
        assert_eq!(parse("snapshot.AB.gz"), snapshot(0xab, Compression::Gzip));
        assert_eq!(
            parse("snapshot.ab.snappy"),
            snapshot(0xab, Compression::Snappy)
        );
        assert_eq!(parse("snapshot.ab.tmp"), snapshot(0xab, Compression::None));
    }

    #[test]
    fn other_names_are_ignored() {
        for name in [
            "",
            "log",
            "log.",
            "log.-1",
            "log.xyz",
            "Log.1",
            "snapshot",
            "acceptedEpoch",
        ] {
            assert_eq!(parse(name), None, "{name}");
        }
    }
}
