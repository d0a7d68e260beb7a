//! What the log holds, without its payloads.
//!
//! Owns: the ranges of zxids in the log, one an epoch, where it begins, and the sizes of its
//! files. Within an epoch counters are contiguous, so the ranges say of every zxid whether it is
//! there.
//!
//! Does not know: files, payloads, what is committed.
//!
//! Invariants: ranges ascend by epoch; of two neighbours the later one begins with counter 1; the
//! base is not behind the first range.

use alloc::vec::Vec;

use crate::ids::Zxid;

/// The transactions of one epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Range {
    /// The first.
    pub first: Zxid,
    /// The last.
    pub last: Zxid,
}

/// See the module.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct History {
    base: Zxid,
    ranges: Vec<Range>,
    segments: Vec<(Zxid, u64)>,
}

impl History {
    /// A history whose log begins right behind `base` and holds `ranges`. `segments` are the log's
    /// files: first zxid and bytes, ascending.
    pub fn new(base: Zxid, ranges: Vec<Range>, segments: Vec<(Zxid, u64)>) -> History {
        History {
            base,
            ranges,
            segments,
        }
    }

    /// What the log follows: every later transaction is in it.
    pub fn base(&self) -> Zxid {
        self.base
    }

    /// The last transaction, or the base if there is none.
    pub fn end(&self) -> Zxid {
        self.ranges.last().map_or(self.base, |range| range.last)
    }

    /// The ranges, ascending.
    pub fn ranges(&self) -> &[Range] {
        &self.ranges
    }

    /// Whether the log, or its base, holds this zxid.
    pub fn has(&self, zxid: Zxid) -> bool {
        zxid == self.base
            || self
                .ranges
                .iter()
                .any(|range| range.first <= zxid && zxid <= range.last)
    }

    /// The last transaction (or the base) that is not later than `zxid`; none if all are.
    pub fn at_or_below(&self, zxid: Zxid) -> Option<Zxid> {
        let found = self
            .ranges
            .iter()
            .rev()
            .find(|range| range.first <= zxid)
            .map(|range| range.last.min(zxid));
        found.or((self.base <= zxid).then_some(self.base))
    }

    /// The first transaction behind `zxid`.
    pub fn first_after(&self, zxid: Zxid) -> Option<Zxid> {
        self.ranges
            .iter()
            .find(|range| range.last > zxid)
            .map(|range| range.first.max(Zxid(zxid.0.saturating_add(1))))
    }

    /// The transactions behind `zxid`, ascending.
    pub fn after(&self, zxid: Zxid) -> impl Iterator<Item = Zxid> {
        let behind = Zxid(zxid.0.saturating_add(1));
        let ranges = self.ranges.iter();
        ranges.flat_map(move |range| (range.first.max(behind).0..=range.last.0).map(Zxid))
    }

    /// How many transactions lie in (`after`, `until`].
    pub fn count(&self, after: Zxid, until: Zxid) -> u64 {
        let mut count = 0;
        for range in &self.ranges {
            let from = range.first.0.max(after.0.saturating_add(1));
            let to = range.last.0.min(until.0);
            if from <= to {
                count += (to - from) as u64 + 1;
            }
        }
        count
    }

    /// Bytes of the log's files behind the one in which reading what follows `zxid` begins. That
    /// one is not counted, as Java does not count it: most of it may be older, and what follows
    /// in it is never worth a whole tree because of that.
    pub fn bytes_behind(&self, zxid: Zxid) -> u64 {
        let files = self.segments.as_slice();
        let begun = files.iter().rposition(|(first, _)| *first < zxid);
        let behind = files.iter().skip(begun.unwrap_or(0) + 1);
        behind.map(|(_, bytes)| *bytes).sum()
    }

    /// Takes in a transaction at the end.
    ///
    /// # Panics
    /// It does not follow the last one ([`Zxid::follows`]).
    pub fn append(&mut self, zxid: Zxid, bytes: usize) {
        let end = self.end();
        assert!(zxid.follows(end), "{zxid} cannot stand behind {end}");
        match self.ranges.last_mut() {
            Some(last) if last.last.epoch() == zxid.epoch() => last.last = zxid,
            Some(_) | None => self.ranges.push(Range {
                first: zxid,
                last: zxid,
            }),
        }
        match self.segments.last_mut() {
            Some((_, total)) => *total += bytes as u64,
            None => self.segments.push((zxid, bytes as u64)),
        }
    }

    /// Forgets everything behind `zxid`.
    pub fn cut(&mut self, zxid: Zxid) {
        self.ranges.retain(|range| range.first <= zxid);
        if let Some(last) = self.ranges.last_mut() {
            last.last = last.last.min(zxid);
        }
        self.segments.retain(|(first, _)| *first <= zxid);
    }

    /// The log's files are these now.
    pub fn set_files(&mut self, segments: Vec<(Zxid, u64)>) {
        self.segments = segments;
    }

    /// The log was shortened at its beginning: it follows `base` now.
    pub fn purge(&mut self, base: Zxid) {
        if base <= self.base {
            return;
        }
        self.base = base;
        self.ranges.retain(|range| range.last > base);
        if let Some(first) = self.ranges.first_mut() {
            first.first = first.first.max(Zxid(base.0 + 1));
        }
        let gone = self.segments.partition_point(|(first, _)| *first <= base);
        // The one that holds the base may still be there.
        self.segments.drain(..gone.saturating_sub(1));
    }

    /// What another server sent stands behind what was here before, as if there were nothing
    /// between: only [`Rule::DiscardLogAfterSnap`](crate::rules::Rule::DiscardLogAfterSnap), when
    /// it does not hold, keeps what was.
    pub(crate) fn keep_under(&mut self, sent: History) {
        let end = sent.base;
        self.ranges.retain(|range| range.first <= end);
        if let Some(last) = self.ranges.last_mut() {
            last.last = last.last.min(end);
        }
        for range in sent.ranges {
            match self.ranges.last_mut() {
                Some(last) if last.last.epoch() == range.first.epoch() => last.last = range.last,
                Some(_) | None => self.ranges.push(range),
            }
        }
    }

    /// Another server's state has taken the place of everything.
    pub fn install(&mut self, base: Zxid) {
        *self = History {
            base,
            ..History::default()
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn z(epoch: u32, counter: i64) -> Zxid {
        Zxid(Zxid::start_of(epoch).0 + counter)
    }

    fn history() -> History {
        let mut history = History::new(Zxid::ZERO, Vec::new(), Vec::new());
        for n in 1..=5 {
            history.append(z(0, n), 10);
        }
        for n in 1..=3 {
            history.append(z(2, n), 10);
        }
        history
    }

    #[test]
    fn it_knows_what_it_holds() {
        let history = history();
        assert_eq!(history.end(), z(2, 3));
        assert!(history.has(z(0, 5)) && !history.has(z(0, 6)) && !history.has(z(2, 0)));
        assert!(history.has(Zxid::ZERO));
        assert_eq!(history.at_or_below(z(1, 7)), Some(z(0, 5)));
        assert_eq!(history.at_or_below(z(2, 2)), Some(z(2, 2)));
        assert_eq!(history.first_after(z(0, 5)), Some(z(2, 1)));
        assert_eq!(history.first_after(z(0, 2)), Some(z(0, 3)));
        assert_eq!(history.first_after(z(2, 3)), None);
        assert_eq!(history.count(z(0, 3), z(2, 2)), 4);
        let after: Vec<Zxid> = history.after(z(0, 4)).collect();
        assert_eq!(after, [z(0, 5), z(2, 1), z(2, 2), z(2, 3)]);
    }

    #[test]
    fn the_file_in_which_reading_begins_is_not_counted() {
        let mut history = history();
        assert_eq!(history.bytes_behind(z(0, 2)), 0);
        history.set_files(alloc::vec![(z(0, 1), 100), (z(0, 4), 20), (z(2, 2), 3)]);
        assert_eq!(history.bytes_behind(z(0, 1)), 23);
        assert_eq!(history.bytes_behind(z(0, 3)), 23);
        // As in Java: a file that begins with the transaction itself is not where reading begins.
        assert_eq!(history.bytes_behind(z(0, 4)), 23);
        assert_eq!(history.bytes_behind(z(2, 1)), 3);
        assert_eq!(history.bytes_behind(z(2, 3)), 0);
    }

    #[test]
    fn it_is_cut_and_goes_on() {
        let mut history = history();
        history.cut(z(2, 1));
        assert_eq!(history.end(), z(2, 1));
        history.cut(z(1, 0));
        assert_eq!(history.end(), z(0, 5));
        history.append(z(3, 1), 10);
        assert_eq!(history.end(), z(3, 1));
        history.cut(Zxid::ZERO);
        assert_eq!(history.end(), Zxid::ZERO);
    }

    #[test]
    fn its_beginning_moves() {
        let mut history = history();
        history.purge(z(0, 3));
        assert_eq!(history.base(), z(0, 3));
        assert!(history.has(z(0, 3)) && !history.has(z(0, 2)));
        assert_eq!(history.at_or_below(z(0, 2)), None);
        history.install(z(5, 9));
        assert_eq!(history.end(), z(5, 9));
        history.append(z(5, 10), 1);
        assert_eq!(history.count(z(5, 9), z(9, 0)), 1);
    }

    #[test]
    #[should_panic(expected = "cannot stand behind")]
    fn a_hole_is_no_history() {
        history().append(z(2, 5), 1);
    }
}
