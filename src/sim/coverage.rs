//! What the runs met: so that a simulator that has become tame is seen to be.

use std::fmt;

macro_rules! seen {
    ($($(#[$doc:meta])* $name:ident = $text:literal;)*) => {
        /// Something that a run may meet.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Seen {
            $($(#[$doc])* $name,)*
        }

        const NAMES: &[&str] = &[$($text),*];
    };
}

seen! {
    /// Power cut.
    Crash = "power cut";
    /// The process was killed, the machine went on.
    Kill = "kill";
    /// Stopped in order.
    Stop = "stop in order";
    /// A power cut while a start was repairing the log.
    CrashInStart = "power cut during a start";
    /// A power cut in the middle of a write or sync of the log.
    CrashInWrite = "power cut during a log write";
    /// The log had an unfinished write at its end.
    TornTail = "torn tail cut off";
    /// The start had something to replay.
    Replayed = "tail replayed over the store";
    /// Transactions were lost of which nobody had been told.
    LostUnsynced = "unsynced transactions lost";
    /// A sync of the log failed.
    FailedSync = "failed fsync of the log";
    /// A sync of the log's folder failed.
    FailedDirSync = "failed fsync of the folder";
    /// A write of the log failed.
    FailedWrite = "failed write of the log";
    /// The log's disk was full.
    DiskFull = "log disk full";
    /// The store failed.
    StoreFailed = "store failed";
    /// A segment was removed.
    Purged = "segment purged";
    /// A session expired.
    Expiry = "session expired";
    /// A session was attached again.
    Reattached = "session re-attached";
    /// A session could not be attached.
    ReattachRefused = "re-attach refused";
    /// A connection with writes under way lost its session to another.
    DetachedWithWrites = "writes outlived their connection";
    /// A handshake had a wrong password.
    WrongPassword = "wrong password";
    /// A handshake had a zxid that the server does not have.
    AheadClient = "client ahead of the server";
    /// An unknown operation.
    UnknownOp = "unknown operation";
    /// A read missed a row.
    MissedRead = "read missed a row";
    /// A write missed a row when it was judged.
    MissedWrite = "write missed a row";
    /// Apply stopped at a read that missed a row.
    MissedApply = "apply stopped at a missing row";
    /// Replay missed a row.
    MissedReplay = "replay missed a row";
    /// A tree that was partial became complete.
    Completed = "partial tree completed";
    /// A hold of apply ended before the end of what was durable.
    BudgetEnded = "apply ran out of its budget";
    /// A multi was done.
    MultiDone = "multi";
    /// A multi failed.
    MultiFailed = "multi failed";
    /// A hard quota refused.
    QuotaExceeded = "quota exceeded";
    /// A container was reaped.
    ContainerReaped = "container reaped";
    /// A TTL node was reaped.
    TtlReaped = "TTL node reaped";
    /// A watch fired.
    Event = "watch event";
    /// setWatches told something.
    CaughtUp = "setWatches caught up";
    /// The wall clock was set back.
    ClockBack = "wall clock set back";
}

/// How often each was met.
#[derive(Debug, Clone)]
pub struct Coverage {
    counts: [u64; NAMES.len()],
    runs: [u64; NAMES.len()],
}

impl Default for Coverage {
    fn default() -> Coverage {
        Coverage {
            counts: [0; NAMES.len()],
            runs: [0; NAMES.len()],
        }
    }
}

impl Coverage {
    /// It was met.
    pub fn note(&mut self, what: Seen) {
        self.counts[what as usize] += 1;
    }

    /// Whether it was met.
    pub fn has(&self, what: Seen) -> bool {
        self.counts[what as usize] > 0
    }

    /// Adds what one run met.
    pub fn add_run(&mut self, run: &Coverage) {
        for at in 0..NAMES.len() {
            self.counts[at] += run.counts[at];
            self.runs[at] += u64::from(run.counts[at] > 0);
        }
    }

    /// Adds what several runs met, summed already.
    pub fn add(&mut self, runs: &Coverage) {
        for at in 0..NAMES.len() {
            self.counts[at] += runs.counts[at];
            self.runs[at] += runs.runs[at];
        }
    }

    /// What no run met.
    pub fn missing(&self) -> Vec<&'static str> {
        let all = NAMES.iter().zip(&self.runs);
        all.filter(|(_, runs)| **runs == 0)
            .map(|(name, _)| *name)
            .collect()
    }
}

impl fmt::Display for Coverage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, name) in NAMES.iter().enumerate() {
            writeln!(
                f,
                "  {name:34} {:7} seeds {:9} times",
                self.runs[at], self.counts[at]
            )?;
        }
        Ok(())
    }
}
