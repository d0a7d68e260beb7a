//! What a log holds, in a few numbers: within one epoch the counters have no gaps, so a range for
//! each epoch says of every zxid whether it is there.

use super::frame::follows;
use super::recover::Recovered;

/// What a log holds at a start.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LogContents {
    /// The zxid that the log follows: every later transaction is in it.
    pub floor: i64,
    /// Epoch, first and last zxid of each run of transactions, in order.
    pub ranges: Vec<(u32, i64, i64)>,
    /// First zxid and bytes of records of each segment, in order.
    pub segments: Vec<(i64, u64)>,
}

impl LogContents {
    /// Last zxid of the log; its floor when it has no record.
    pub fn end(&self) -> i64 {
        self.ranges.last().map_or(self.floor, |(_, _, last)| *last)
    }
}

/// Adds the record that follows to the runs.
pub(super) fn extend(ranges: &mut Vec<(u32, i64, i64)>, zxid: i64) {
    let epoch = (zxid >> 32) as u32;
    match ranges.last_mut() {
        Some((last_epoch, _, last)) if *last_epoch == epoch => *last = zxid,
        Some(_) | None => ranges.push((epoch, zxid, zxid)),
    }
}

impl Recovered {
    /// What the log holds. `base` is the zxid that it follows when nothing of it was purged: that
    /// of the store it was begun beside, 0 for a log with the first transaction.
    pub fn contents(&self, base: i64) -> LogContents {
        let floor = match self.first_zxid {
            None => base,
            Some(first) if follows(base, first) => base,
            // What was purged ended at the zxid before, or at the end of an epoch before; between
            // the two there is nothing.
            Some(first) => first.saturating_sub(1),
        };
        LogContents {
            floor,
            ranges: self.ranges.clone(),
            segments: self.segments.iter().map(|s| (s.first, s.end)).collect(),
        }
    }
}
