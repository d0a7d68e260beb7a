//! How a learner is brought to the leader's state: a pure function of both histories.
//!
//! Owns: the table. Does not know: links, streams, files.
//!
//! A learner is never told to cut or to keep what it may not have, and gets a part of the log only
//! if all of it, without a hole, is there. What Java's leader decides in the same place is the
//! measure; where this one differs it sends a snapshot more, never less.

use crate::history::History;
use crate::ids::Zxid;
use crate::io::Base;
use crate::rules::{Rule, Rules};

/// What the decision rests on.
#[derive(Clone, Copy, Debug)]
pub struct Facts<'a> {
    /// The leader's log.
    pub history: &'a History,
    /// Up to where learners are synchronised: the end of the log while the leader is not
    /// established (all of it is then going to be committed), what is committed afterwards.
    pub end: Zxid,
    /// The leader's epoch: the new one.
    pub epoch: u32,
    /// The learner's last zxid; -1 if it has lost its data.
    pub peer: Zxid,
    /// Serialized size of the tree, bytes.
    pub tree_bytes: u64,
    /// `snapshotSizeFactor`.
    pub factor: f64,
    /// `commitLogCount`.
    pub window: u64,
    /// `forceSnapshotSync`.
    pub force_snap: bool,
    /// Which rules hold.
    pub rules: Rules,
}

/// Which row of the table it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Row {
    /// The operator wants snapshots.
    Forced,
    /// The learner has lost its data, or never had any.
    NoData,
    /// It has what the leader has.
    Equal,
    /// It has more, of an epoch that the leader knows: what is not committed goes.
    Ahead,
    /// It has more, of an epoch that the leader does not know.
    Foreign,
    /// It is at the start of an epoch without transactions, behind all of the leader's.
    EpochStartAhead,
    /// It is at the start of an epoch, and everything behind that is in the log.
    EpochStart,
    /// What it has is in the log, and the rest is short enough.
    InLog,
    /// What it has is in the log, but a snapshot is shorter than the rest.
    LogTooLong,
    /// Its last transaction is not the leader's.
    Diverged,
    /// What follows its last transaction is not in the log any more.
    TooOld,
}

impl Row {
    /// Whether it ends in a snapshot.
    pub fn is_snap(self) -> bool {
        match self {
            Row::Forced
            | Row::NoData
            | Row::Foreign
            | Row::LogTooLong
            | Row::Diverged
            | Row::TooOld => true,
            Row::Equal | Row::Ahead | Row::EpochStartAhead | Row::EpochStart | Row::InLog => false,
        }
    }
}

/// What to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Plan {
    /// The first packet.
    pub base: Base,
    /// Records behind this are sent; of no meaning with a snapshot.
    pub after: Zxid,
    /// Why.
    pub row: Row,
}

/// Decides.
pub fn plan(f: &Facts<'_>) -> Plan {
    let snap = |row| Plan {
        base: Base::Snap,
        after: f.end,
        row,
    };
    let diff = |after, row| Plan {
        base: Base::Diff(f.end),
        after,
        row,
    };
    let peer = f.peer;
    if f.force_snap {
        return snap(Row::Forced);
    }
    if peer.0 < 0 {
        return snap(Row::NoData);
    }
    if peer == f.end {
        return diff(peer, Row::Equal);
    }
    // The first transaction of all follows nothing that a log could hold.
    if peer == Zxid::ZERO {
        return snap(Row::NoData);
    }
    let is_start = peer.counter() == 0 && f.rules.hold(Rule::EpochStartIsNoTxn);
    if peer > f.end {
        // An epoch's first zxid is taken by whoever has followed its established leader: all that
        // came before is committed, so it is in this log too.
        if is_start {
            return if peer.epoch() <= f.epoch {
                diff(f.end, Row::EpochStartAhead)
            } else {
                snap(Row::Foreign)
            };
        }
        // A transaction of an epoch exists only where that epoch's leader was established, and
        // then everything older is committed: the end of this log is in the learner's.
        return if peer.epoch() <= f.epoch {
            Plan {
                base: Base::Trunc(f.end),
                after: f.end,
                row: Row::Ahead,
            }
        } else {
            snap(Row::Foreign)
        };
    }
    if is_start && !f.history.has(peer) {
        return match f.history.at_or_below(peer) {
            Some(_) => within(f, peer, Row::EpochStart),
            None => snap(Row::TooOld),
        };
    }
    if peer < f.history.base() && f.rules.hold(Rule::ContiguousLog) {
        return snap(Row::TooOld);
    }
    if !f.history.has(peer) && f.rules.hold(Rule::ContiguousLog) {
        return snap(Row::Diverged);
    }
    within(f, peer, Row::InLog)
}

/// A part of the log, unless that is longer than a snapshot.
fn within(f: &Facts<'_>, peer: Zxid, row: Row) -> Plan {
    let few = f.history.count(peer, f.end) <= f.window;
    let bytes = f.history.bytes_behind(peer);
    let short =
        f.factor == 0.0 || (f.factor > 0.0 && bytes as f64 <= f.factor * f.tree_bytes as f64);
    if few || short {
        Plan {
            base: Base::Diff(f.end),
            after: peer,
            row,
        }
    } else {
        Plan {
            base: Base::Snap,
            after: f.end,
            row: Row::LogTooLong,
        }
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use super::*;

    fn z(epoch: u32, counter: i64) -> Zxid {
        Zxid(Zxid::start_of(epoch).0 + counter)
    }

    /// Epoch 1: 1..=10, of which the log begins behind 4; epoch 3: 1..=5.
    fn history() -> History {
        let mut history = History::new(z(1, 4), Vec::new(), Vec::new());
        for n in 5..=10 {
            history.append(z(1, n), 100);
        }
        for n in 1..=5 {
            history.append(z(3, n), 100);
        }
        history
    }

    fn facts(history: &History, peer: Zxid) -> Facts<'_> {
        Facts {
            history,
            end: z(3, 5),
            epoch: 4,
            peer,
            tree_bytes: 1_000_000,
            factor: 0.33,
            window: 3,
            force_snap: false,
            rules: Rules::default(),
        }
    }

    fn decided(peer: Zxid) -> (Base, Row) {
        let plan = plan(&facts(&history(), peer));
        (plan.base, plan.row)
    }

    #[test]
    fn each_row() {
        let end = z(3, 5);
        assert_eq!(decided(Zxid(-1)), (Base::Snap, Row::NoData));
        assert_eq!(decided(end), (Base::Diff(end), Row::Equal));
        assert_eq!(decided(z(3, 9)), (Base::Trunc(end), Row::Ahead));
        assert_eq!(decided(z(4, 2)), (Base::Trunc(end), Row::Ahead));
        assert_eq!(decided(z(5, 2)), (Base::Snap, Row::Foreign));
        assert_eq!(decided(z(5, 0)), (Base::Snap, Row::Foreign));
        assert_eq!(decided(z(4, 0)), (Base::Diff(end), Row::EpochStartAhead));
        assert_eq!(decided(z(3, 0)), (Base::Diff(end), Row::EpochStart));
        assert_eq!(decided(z(2, 0)), (Base::Diff(end), Row::EpochStart));
        assert_eq!(decided(z(1, 0)), (Base::Snap, Row::TooOld));
        assert_eq!(decided(Zxid::ZERO), (Base::Snap, Row::NoData));
        assert_eq!(decided(z(3, 3)), (Base::Diff(end), Row::InLog));
        assert_eq!(decided(z(1, 10)), (Base::Diff(end), Row::InLog));
        assert_eq!(decided(z(1, 4)), (Base::Diff(end), Row::InLog));
        assert_eq!(decided(z(1, 3)), (Base::Snap, Row::TooOld));
        assert_eq!(decided(z(1, 11)), (Base::Snap, Row::Diverged));
        assert_eq!(decided(z(2, 7)), (Base::Snap, Row::Diverged));
    }

    #[test]
    fn a_long_log_is_a_snapshot() {
        let mut history = history();
        history.set_files(alloc::vec![(z(1, 4), 1_000), (z(1, 7), 500)]);
        let mut facts = facts(&history, z(1, 5));
        facts.tree_bytes = 100;
        assert_eq!(plan(&facts).row, Row::LogTooLong);
        facts.tree_bytes = 2_000;
        assert_eq!(plan(&facts).row, Row::InLog);
        facts.tree_bytes = 100;
        facts.factor = 0.0;
        assert_eq!(plan(&facts).row, Row::InLog);
        facts.factor = -1.0;
        assert_eq!(plan(&facts).row, Row::LogTooLong);
        facts.window = 10;
        assert_eq!(plan(&facts).row, Row::InLog);
        facts.force_snap = true;
        assert_eq!(plan(&facts).row, Row::Forced);
    }

    #[test]
    fn whoever_has_nothing_gets_a_tree() {
        let mut history = History::new(Zxid::ZERO, Vec::new(), Vec::new());
        history.append(z(1, 1), 10);
        let mut facts = facts(&history, Zxid::ZERO);
        facts.end = z(1, 1);
        facts.factor = 0.0;
        assert_eq!(plan(&facts).row, Row::NoData);
        let empty = History::new(Zxid::ZERO, Vec::new(), Vec::new());
        facts.history = &empty;
        facts.end = Zxid::ZERO;
        assert_eq!(plan(&facts).row, Row::Equal);
    }
}
