//! Which segments of the log may go.
//!
//! Owns the decision and its execution. Does not know when to ask, nor who else reads the log:
//! readers that must not lose a segment give the lowest zxid that they still need.
//!
//! The rules: a segment goes only when none of these needs a record of it or an earlier one:
//! - the store: a start replays from its durable zxid, and compares the record at it;
//! - the DIFF window: the last so many transactions or bytes, whichever is less;
//! - every snapshot of Java in the directory: a Java server started there replays from the
//!   newest one that it can read, so all logs from the oldest on stay;
//! - running readers;
//! - the last segment always stays: it says where the log ends.

use std::path::{Path, PathBuf};

use crate::error::{Error, Result};
use crate::files::Files;
use crate::limits::{DIFF_WINDOW_BYTES, DIFF_WINDOW_TXNS};
use crate::log::{Segment, follows};

/// How much log is kept for learners that fell behind: the less of the two.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    /// Transactions.
    pub txns: u64,
    /// Bytes of log.
    pub bytes: u64,
}

impl Default for Window {
    fn default() -> Window {
        Window {
            txns: DIFF_WINDOW_TXNS,
            bytes: DIFF_WINDOW_BYTES,
        }
    }
}

/// What the decision rests on.
#[derive(Debug, Clone, Copy)]
pub struct Facts<'a> {
    /// The log's segments in order, the one being written last.
    pub segments: &'a [Segment],
    /// Durable zxid of the store.
    pub persisted: i64,
    /// The window to keep.
    pub window: Window,
    /// Zxids in the names of Java's snapshots in the directory.
    pub snapshots: &'a [i64],
    /// Lowest zxid that a running reader still needs.
    pub readers: Option<i64>,
}

/// What may go.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Plan {
    /// Segments to remove, in this order.
    pub remove: Vec<PathBuf>,
    /// Bytes of them.
    pub bytes: u64,
    /// First zxid of the log afterwards.
    pub floor: Option<i64>,
    /// Snapshots of Java that the log does not continue even now: a Java server started on one of
    /// them would lack transactions and not know. They are to be moved aside; until then nothing
    /// is removed.
    pub stranded: Vec<i64>,
}

/// Decides.
pub fn decide(facts: &Facts<'_>) -> Plan {
    let segments = facts.segments;
    let Some(first) = segments.first() else {
        return Plan::default();
    };
    // The lowest zxid whose record must stay.
    let needed = facts
        .snapshots
        .iter()
        .copied()
        .chain(facts.readers)
        .fold(facts.persisted, i64::min);
    let stranded = stranded(facts.snapshots, first.first);
    let mut plan = Plan {
        stranded,
        ..Plan::default()
    };
    // Walk back from the end until the window is full; only what is before it may go.
    let (mut txns, mut bytes) = (0_u64, 0_u64);
    let mut keep_from = segments.len() - 1;
    for (i, segment) in segments.iter().enumerate().rev() {
        keep_from = i;
        txns = txns.saturating_add(segment.records);
        bytes = bytes.saturating_add(segment.end);
        if txns >= facts.window.txns || bytes >= facts.window.bytes {
            break;
        }
    }
    let removable = segments[..keep_from].iter().take_while(|s| s.last < needed);
    for segment in removable {
        plan.remove.push(segment.path.clone());
        plan.bytes += segment.end;
    }
    plan.floor = segments.get(plan.remove.len()).map(|s| s.first);
    plan
}

/// Snapshots that a log which begins with the zxid `first` does not continue.
pub fn stranded(snapshots: &[i64], first: i64) -> Vec<i64> {
    let goes_on = |snapshot: i64| snapshot >= first || follows(snapshot, first);
    snapshots
        .iter()
        .copied()
        .filter(|zxid| !goes_on(*zxid))
        .collect()
}

/// Removes what the plan says, the oldest segment first, each durably before the next, so that a
/// crash on the way leaves no hole. A segment that is gone already is no error.
///
/// # Errors
/// [`Error::Io`]. What was removed until then is removed.
pub fn execute(files: &dyn Files, dir: &Path, plan: &Plan) -> Result<()> {
    for path in &plan.remove {
        match files.remove(path) {
            Ok(()) => {}
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => continue,
            Err(e) => return Err(Error::io("remove", path, e)),
        }
        files
            .sync_dir(dir)
            .map_err(|e| Error::io("fsync", dir, e))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Segments of 10 records and 1000 bytes each, from zxid 1 on.
    fn segments(n: i64) -> Vec<Segment> {
        let segment = |i: i64| Segment {
            path: PathBuf::from(format!("log.{:x}", i * 10 + 1)),
            first: i * 10 + 1,
            last: i * 10 + 10,
            records: 10,
            end: 1_000,
        };
        (0..n).map(segment).collect()
    }

    const NO_WINDOW: Window = Window { txns: 0, bytes: 0 };

    fn removed(facts: Facts<'_>) -> usize {
        decide(&facts).remove.len()
    }

    #[test]
    fn each_need_holds_segments_back() {
        let segments = segments(5);
        let facts = Facts {
            segments: &segments,
            persisted: 50,
            window: NO_WINDOW,
            snapshots: &[],
            readers: None,
        };
        assert_eq!(removed(facts), 4, "the last stays");
        for (persisted, n) in [(0, 0), (10, 0), (11, 1), (30, 2), (31, 3), (41, 4), (50, 4)] {
            assert_eq!(
                removed(Facts { persisted, ..facts }),
                n,
                "persisted {persisted}"
            );
        }
        for (txns, n) in [(1, 4), (10, 4), (11, 3), (20, 3), (50, 0), (1_000, 0)] {
            let window = Window {
                txns,
                bytes: u64::MAX,
            };
            assert_eq!(removed(Facts { window, ..facts }), n, "{txns} transactions");
        }
        for (bytes, n) in [(1_000, 4), (1_001, 3), (9_000, 0)] {
            let window = Window {
                txns: u64::MAX,
                bytes,
            };
            assert_eq!(removed(Facts { window, ..facts }), n, "{bytes} bytes");
        }
        let window = Window {
            txns: 11,
            bytes: 1_000,
        };
        assert_eq!(removed(Facts { window, ..facts }), 4, "the less of the two");
        for (snapshots, n) in [(&[25_i64, 44][..], 2), (&[0], 0), (&[44], 4), (&[60], 4)] {
            assert_eq!(
                removed(Facts { snapshots, ..facts }),
                n,
                "snapshots {snapshots:?}"
            );
        }
        assert_eq!(
            removed(Facts {
                readers: Some(12),
                ..facts
            }),
            1
        );
    }

    #[test]
    fn stranded_snapshots_are_named() {
        let all = segments(5);
        let facts = Facts {
            segments: &all[2..],
            persisted: 50,
            window: NO_WINDOW,
            snapshots: &[5, 19, 20],
            readers: None,
        };
        let plan = decide(&facts);
        assert_eq!(plan.stranded, [5, 19]);
        assert_eq!(
            (plan.remove.len(), plan.floor),
            (0, Some(21)),
            "20 is continued by 21"
        );
        let plan = decide(&Facts {
            snapshots: &[20],
            ..facts
        });
        assert_eq!((plan.remove.len(), plan.stranded.len()), (0, 0));
        let plan = decide(&Facts {
            snapshots: &[],
            ..facts
        });
        assert_eq!(
            (plan.remove.len(), plan.bytes, plan.floor),
            (2, 2_000, Some(41))
        );
    }

    #[test]
    fn no_log_no_plan() {
        let facts = Facts {
            segments: &[],
            persisted: 0,
            window: NO_WINDOW,
            snapshots: &[],
            readers: None,
        };
        assert_eq!(decide(&facts), Plan::default());
    }
}
