//! Quotas: the texts of limits and usage, and which subtrees have one.
//!
//! It does not know nodes; [`crate::tree::Tree`] keeps the usage nodes up to date.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::string::String;
use core::fmt;

/// Below it lie the limits and the usage of each subtree with a quota.
pub const QUOTA: &str = "/zookeeper/quota";
/// The name of a node with limits.
pub const LIMITS: &str = "zookeeper_limits";
/// The name of a node with usage.
pub const STATS: &str = "zookeeper_stats";

/// The subtree that a node below [`QUOTA`] speaks of, from its parent's path.
pub fn subject(parent: &str) -> Option<&str> {
    parent
        .strip_prefix(QUOTA)
        .filter(|subject| subject.starts_with('/'))
}

/// Subtrees with limits.
#[derive(Clone, Debug, Default)]
pub struct Quotas {
    prefixes: BTreeSet<String>,
}

impl Quotas {
    /// Notes that `subject` has limits.
    pub fn add(&mut self, subject: &str) {
        self.prefixes.insert(subject.into());
    }

    /// Notes that `subject` has none any more.
    pub fn remove(&mut self, subject: &str) {
        self.prefixes.remove(subject);
    }

    /// The deepest subtree with limits that holds `path`.
    pub fn deepest<'a>(&self, path: &'a str) -> Option<&'a str> {
        if self.prefixes.is_empty() {
            return None;
        }
        core::iter::once(path)
            .chain(crate::path::ancestors(path))
            .filter(|prefix| *prefix != "/" && !prefix.is_empty())
            .find(|prefix| self.prefixes.contains(*prefix))
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.prefixes.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.prefixes.is_empty()
    }

    /// The subtrees.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.prefixes.iter().map(String::as_str)
    }
}

/// A text of limits or usage: numbers by key. An absent key reads as -1, no limit.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Track {
    values: BTreeMap<String, i64>,
}

impl Track {
    /// Reads `count=3,bytes=100=;byteHardLimit=20;countHardLimit=4` and its short forms; an empty
    /// text has no key.
    ///
    /// `None` where Java throws: no data, a separator in front, a part without a value, a value
    /// that is no number. Java's `split` drops what is empty at the end, and a value may have more
    /// parts behind it.
    pub fn parse(data: Option<&[u8]>) -> Option<Track> {
        let text = String::from_utf8_lossy(data?);
        let mut track = Track::default();
        let text = text.trim_end_matches([',', ';']);
        if text.is_empty() {
            return Some(track);
        }
        if text.starts_with([',', ';']) {
            return None;
        }
        for part in text.split([',', ';']).filter(|part| !part.is_empty()) {
            let (key, value) = part.trim_end_matches('=').split_once('=')?;
            let value = match value.split('=').next().unwrap_or("") {
                "" => -1,
                digits => digits.parse().ok()?,
            };
            track.values.insert(key.into(), value);
        }
        Some(track)
    }

    fn get(&self, key: &str) -> i64 {
        self.values.get(key).copied().unwrap_or(-1)
    }

    /// Nodes: used, or the soft limit.
    pub fn count(&self) -> i64 {
        self.get("count")
    }

    /// Bytes: used, or the soft limit.
    pub fn bytes(&self) -> i64 {
        self.get("bytes")
    }

    /// Hard limit of nodes.
    pub fn count_hard(&self) -> i64 {
        self.get("countHardLimit")
    }

    /// Hard limit of bytes.
    pub fn bytes_hard(&self) -> i64 {
        self.get("byteHardLimit")
    }

    /// Usage of exactly this much.
    pub fn usage(count: i64, bytes: i64) -> Track {
        let mut track = Track::default();
        track.values.insert("count".into(), count);
        track.values.insert("bytes".into(), bytes);
        track
    }

    /// Adds to the usage.
    pub fn add(&mut self, nodes: i64, bytes: i64) {
        let (count, total) = (self.count(), self.bytes());
        self.values
            .insert("count".into(), count.wrapping_add(nodes));
        self.values
            .insert("bytes".into(), total.wrapping_add(bytes));
    }
}

impl fmt::Display for Track {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "count={},bytes={}", self.count(), self.bytes())?;
        let mut more = self
            .values
            .iter()
            .filter(|(key, _)| *key != "count" && *key != "bytes")
            .peekable();
        if more.peek().is_some() {
            f.write_str("=")?;
        }
        more.try_for_each(|(key, value)| write!(f, ";{key}={value}"))
    }
}

/// Whether a write that adds `bytes` and `nodes` to `usage` is refused under `limits`. Soft limits
/// refuse nothing.
pub fn exceeded(limits: &Track, usage: &Track, bytes: i64, nodes: i64) -> bool {
    let over =
        |hard: i64, used: i64, diff: i64| diff != 0 && hard > -1 && used.wrapping_add(diff) > hard;
    over(limits.count_hard(), usage.count(), nodes)
        || over(limits.bytes_hard(), usage.bytes(), bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts() {
        let t = Track::parse(Some(
            b"count=3,bytes=100=;byteHardLimit=20;countHardLimit=4",
        ));
        let t = t.expect("parses");
        assert_eq!(
            (t.count(), t.bytes(), t.count_hard(), t.bytes_hard()),
            (3, 100, 4, 20)
        );
        assert_eq!(
            alloc::string::ToString::to_string(&t),
            "count=3,bytes=100=;byteHardLimit=20;countHardLimit=4"
        );
        assert_eq!(Track::parse(None), None);
        let refused: &[&[u8]] = &[
            b"x",
            b"=",
            b"count=",
            b"count==",
            b",count=1",
            b"count=1,x",
            b"count= 1",
            b"count=1;=",
        ];
        for text in refused {
            assert_eq!(Track::parse(Some(text)), None, "{text:?}");
        }
        let read: &[(&[u8], i64)] = &[
            (b"", -1),
            (b",;,", -1),
            (b"count==7", -1),
            (b"count=+7;;bytes=1,", 7),
            (b"count=7=x=,=5", 7),
            (b"\xff=1,count=7", 7),
        ];
        for (text, count) in read {
            let track = Track::parse(Some(text));
            assert_eq!(track.map(|t| t.count()), Some(*count), "{text:?}");
        }
        assert_eq!(
            Track::parse(Some(b"count=1,bytes=-1")).map(|t| t.count()),
            Some(1)
        );
    }

    #[test]
    fn deepest_prefix_wins() {
        let mut q = Quotas::default();
        q.add("/a");
        q.add("/a/b");
        assert_eq!(q.deepest("/a/b/c"), Some("/a/b"));
        assert_eq!(q.deepest("/a/bc"), Some("/a"));
        assert_eq!(q.deepest("/ab"), None);
    }
}
