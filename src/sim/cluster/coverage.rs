//! What the runs of an ensemble met.

use std::collections::BTreeMap;
use std::fmt;

/// What a run may meet, in the order in which it is shown.
pub const ALL: &[&str] = &[
    ELECTION_UNDER_LOAD,
    DIFF,
    TRUNC,
    SNAP,
    SNAP_MID_STREAM,
    RECONFIG,
    RECONFIG_REFUSED,
    LEADER_LEFT,
    JOINT_CRASH,
    OBSERVER,
    MASTER,
    OUTSIDER,
    GROUPS,
    CRASH,
    KILL,
    BLACKOUT,
    TORN_TAIL,
    LOST_UNSYNCED,
    STUCK_DISK,
    FULL_DISK,
    WIPED,
    CLOCKS_APART,
    CLOCK_JUMP,
    ALONE,
    PAUSE,
    PARTITION,
    ONE_WAY,
    RESET,
    PURGED,
    ROLLOVER,
    SUFFIX,
    FORWARDED,
    MAYBE,
    WHOLE,
    EXPIRED,
    EXPIRED_IN_PEACE,
    REATTACHED,
    LEFT,
    MOVED,
    LOCAL_WRITE,
    UPGRADED,
    ONLY_READS,
    MULTI,
    REAPED,
    EVENT,
    SET_WATCHES,
    CAUGHT_UP,
];

/// A leader was established while clients waited for answers.
pub const ELECTION_UNDER_LOAD: &str = "election under load";
/// A learner got DIFF with something behind it.
pub const DIFF: &str = "DIFF with transactions";
/// A learner got TRUNC.
pub const TRUNC: &str = "TRUNC";
/// A learner put a SNAP in force.
pub const SNAP: &str = "SNAP";
/// A SNAP was given up before it was in force.
pub const SNAP_MID_STREAM: &str = "SNAP that was given up";
/// A reconfiguration was committed.
pub const RECONFIG: &str = "committed reconfig";
/// A reconfiguration was refused.
pub const RECONFIG_REFUSED: &str = "reconfig that was refused";
/// A reconfiguration took the leader's vote.
pub const LEADER_LEFT: &str = "leader left";
/// A server ended while a reconfiguration was proposed and not committed.
pub const JOINT_CRASH: &str = "joint quorum with a crash";
/// An observer served.
pub const OBSERVER: &str = "observer";
/// An observer connected to a follower.
pub const MASTER: &str = "observer of a follower";
/// A server that is in nobody's configuration followed.
pub const OUTSIDER: &str = "follower outside the configuration";
/// Groups with weights.
pub const GROUPS: &str = "groups and weights";
/// Power cut of a server.
pub const CRASH: &str = "power cut of one";
/// kill -9.
pub const KILL: &str = "kill of one";
/// Power cut of all.
pub const BLACKOUT: &str = "power cut of all";
/// A start cut a part of a record off the log.
pub const TORN_TAIL: &str = "torn tail";
/// A power cut took records that were not synced.
pub const LOST_UNSYNCED: &str = "lost unsynced write";
/// A disk that did nothing.
pub const STUCK_DISK: &str = "stuck disk";
/// A write found the disk full.
pub const FULL_DISK: &str = "full disk";
/// A server's disk was replaced by an empty one.
pub const WIPED: &str = "disk replaced by an empty one";
/// Wall clocks that are hours apart.
pub const CLOCKS_APART: &str = "clocks hours apart";
/// A wall clock was set.
pub const CLOCK_JUMP: &str = "clock jump";
/// One of two voters committed alone, with the oracle's leave.
pub const ALONE: &str = "commit by the oracle's leave";
/// A server that did not run.
pub const PAUSE: &str = "paused server";
/// Servers in two parts.
pub const PARTITION: &str = "partition";
/// A dead direction.
pub const ONE_WAY: &str = "one-way block";
/// A link was reset.
pub const RESET: &str = "link reset";
/// The beginning of a log was removed.
pub const PURGED: &str = "log purged";
/// The counter of an epoch was used up.
pub const ROLLOVER: &str = "counter used up";
/// A start had records behind what it knew to be committed.
pub const SUFFIX: &str = "start with a suffix";
/// A write went through a learner.
pub const FORWARDED: &str = "write through a learner";
/// A write had no answer.
pub const MAYBE: &str = "write without an answer";

/// Servers with a tree.
pub const WHOLE: &str = "whole servers";
/// A session was over when its client came back.
pub const EXPIRED: &str = "session expired";
/// A session expired while nothing went wrong: its client had left it.
pub const EXPIRED_IN_PEACE: &str = "session expired in peace";
/// A session went on at another server.
pub const REATTACHED: &str = "session went on elsewhere";
/// A client left its server for another.
pub const LEFT: &str = "client left its server";
/// A write came by a server that its session had left.
pub const MOVED: &str = "session moved";
/// A session that one server knew wrote.
pub const LOCAL_WRITE: &str = "write of a local session";
/// Such a session became everybody's.
pub const UPGRADED: &str = "local session upgraded";
/// A client came to a server without a leader, to read.
pub const ONLY_READS: &str = "reading without a leader";
/// A multi.
pub const MULTI: &str = "multi";
/// A container or a TTL node went.
pub const REAPED: &str = "container or TTL node reaped";
/// A watch fired.
pub const EVENT: &str = "watch event";
/// Watches were set again on another connection.
pub const SET_WATCHES: &str = "watches set again";
/// That told of what had been missed.
pub const CAUGHT_UP: &str = "missed events told";

/// What one run, or many, met.
#[derive(Clone, Debug, Default)]
pub struct Coverage {
    counts: BTreeMap<&'static str, u64>,
    runs: BTreeMap<&'static str, u64>,
    total: u64,
}

impl Coverage {
    /// It was met.
    pub fn note(&mut self, what: &'static str) {
        *self.counts.entry(what).or_default() += 1;
    }

    /// How often it was met.
    pub fn count(&self, what: &'static str) -> u64 {
        self.counts.get(what).copied().unwrap_or(0)
    }

    /// Adds what one run met.
    pub fn add_run(&mut self, run: &Coverage) {
        self.total += 1;
        for (what, count) in &run.counts {
            *self.counts.entry(what).or_default() += count;
            *self.runs.entry(what).or_default() += 1;
        }
    }

    /// What fewer than so many of a hundred runs met.
    pub fn below(&self, percent: u64) -> Vec<&'static str> {
        let runs = |what: &&str| self.runs.get(*what).copied().unwrap_or(0);
        let all = ALL.iter().copied();
        all.filter(|what| runs(what) * 100 < percent * self.total)
            .collect()
    }
}

impl fmt::Display for Coverage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for what in ALL {
            let runs = self.runs.get(what).copied().unwrap_or(0);
            let count = self.count(what);
            writeln!(f, "  {what:34} {runs:7} seeds {count:9} times")?;
        }
        Ok(())
    }
}
