//! What happened, counted for whoever keeps metrics. The core only adds here: nothing that it
//! decides depends on a tally.
//!
//! A tally lasts as long as its owner says, a wake-up of a socket's task or one hold of the tree;
//! equal samples that follow each other are one run, so that it stays short.

use alloc::boxed::Box;
use alloc::vec::Vec;

/// Names that are looked for before a sample gets a new entry.
const RECENT: usize = 8;

/// What a stat costs in `read_per_namespace`: six longs and five ints.
pub const STAT_BYTES: usize = 6 * 8 + 5 * 4;

/// Bytes by the top element of paths.
#[derive(Debug, Default)]
pub struct ByNamespace {
    names: Vec<Box<str>>,
    runs: Vec<Run>,
}

#[derive(Clone, Copy, Debug)]
struct Run {
    name: usize,
    value: usize,
    times: u64,
}

/// The top element of a path, as Java splits it: `/a/b` gives `a`, `/` gives none.
pub fn namespace(path: &str) -> Option<&str> {
    let top = path.split('/').nth(1)?;
    // Java drops empty parts from the end, so that only `//a` has an empty namespace.
    (!top.is_empty() || path.trim_end_matches('/').len() > 1).then_some(top)
}

/// Whether a namespace, which is not empty, is that of a path.
#[inline]
fn is_in(path: &str, namespace: &str) -> bool {
    path.strip_prefix('/')
        .and_then(|rest| rest.strip_prefix(namespace))
        .is_some_and(|rest| !namespace.is_empty() && (rest.is_empty() || rest.starts_with('/')))
}

impl ByNamespace {
    /// Takes a sample of a path's namespace; of the root there is none.
    #[inline]
    pub fn add(&mut self, path: &str, value: usize) {
        if let Some(run) = self.runs.last_mut()
            && run.value == value
            && is_in(path, &self.names[run.name])
        {
            run.times += 1;
        } else {
            self.add_run(path, value);
        }
    }

    fn add_run(&mut self, path: &str, value: usize) {
        let Some(top) = namespace(path) else { return };
        let from = self.names.len().saturating_sub(RECENT);
        let known = self.names[from..].iter().position(|name| &**name == top);
        let name = match known {
            Some(at) => from + at,
            None => {
                self.names.push(top.into());
                self.names.len() - 1
            }
        };
        self.push(name, value);
    }

    fn push(&mut self, name: usize, value: usize) {
        self.runs.push(Run {
            name,
            value,
            times: 1,
        });
    }

    /// Whether there is no sample.
    pub fn is_empty(&self) -> bool {
        self.runs.is_empty()
    }

    /// Hands over bytes and how often, in the order of the samples, and forgets them. What belongs
    /// to a namespace is looked up before.
    pub fn drain<T>(
        &mut self,
        mut find: impl FnMut(&str) -> T,
        mut take: impl FnMut(&T, usize, u64),
    ) {
        if let [name] = &self.names[..] {
            // Mostly there is one, and it needs no list.
            let found = find(name);
            self.names.clear();
            for run in self.runs.drain(..) {
                take(&found, run.value, run.times);
            }
            return;
        }
        let found: Vec<T> = self.names.drain(..).map(|name| find(&name)).collect();
        for run in self.runs.drain(..) {
            take(&found[run.name], run.value, run.times);
        }
    }
}

/// Lengths of what was sent, without the length itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sizes {
    /// Packets.
    pub count: u64,
    /// Their bytes.
    pub bytes: u64,
    /// The last one's length.
    pub last: usize,
    /// The shortest; 0 without packets.
    pub min: usize,
    /// The longest.
    pub max: usize,
}

impl Sizes {
    /// Takes one packet in.
    #[inline]
    pub fn add(&mut self, len: usize) {
        self.min = if self.count == 0 {
            len
        } else {
            self.min.min(len)
        };
        self.max = self.max.max(len);
        self.last = len;
        self.count += 1;
        self.bytes += len as u64;
    }
}

/// What connections did: replies that did not have to wait for a transaction, and their reads.
#[derive(Debug, Default)]
pub struct Tally {
    /// Every packet that was appended to what goes out.
    pub sent: Sizes,
    /// Of its bytes, those of replies to requests, without pings and authentication.
    pub reply_bytes: u64,
    /// Of its bytes, those of events.
    pub event_bytes: u64,
    /// Reads and pings answered.
    pub answered: u64,
    /// Bytes read.
    pub reads: ByNamespace,
    /// The ensemble scheme: names that matched.
    pub ensemble_success: u64,
    /// Names that did not.
    pub ensemble_fail: u64,
    /// No name given, or none expected.
    pub ensemble_skip: u64,
}

/// What the only writer did.
#[derive(Debug, Default)]
pub struct Counts {
    /// Sessions whose time was over.
    pub expired: u64,
    /// Records put on top of the tree.
    pub changes_queued: u64,
    /// Records whose transaction was applied.
    pub changes_removed: u64,
    /// Namespaces whose hard quota refused a write, once for each refusal.
    pub quota_exceeded: Vec<Box<str>>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::String;

    #[test]
    fn namespaces_are_javas() {
        for (path, top) in [
            ("/", None),
            ("", None),
            ("/a", Some("a")),
            ("/a/b/c", Some("a")),
            ("/zookeeper/quota", Some("zookeeper")),
            ("//", None),
            ("//a", Some("")),
        ] {
            assert_eq!(namespace(path), top, "{path}");
        }
    }

    #[test]
    fn equal_samples_are_one_run() {
        let mut by = ByNamespace::default();
        for (path, value) in [("/a/1", 5), ("/a/2", 5), ("/b", 1), ("/a", 5), ("/", 9)] {
            by.add(path, value);
        }
        let mut all: Vec<(String, usize, u64)> = Vec::new();
        by.drain(
            |name: &str| String::from(name),
            |name, value, times| {
                all.push((name.clone(), value, times));
            },
        );
        assert_eq!(
            all,
            [("a".into(), 5, 2), ("b".into(), 1, 1), ("a".into(), 5, 1)]
        );
        assert!(by.is_empty() && by.names.is_empty());
    }
}
