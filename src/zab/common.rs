//! What every role works with: settings, configurations, the log's contents, the epochs that were
//! promised, and where effects go.
//!
//! Invariants: `durable <= history.end()`; an epoch in memory may be ahead of the file only while
//! its job is under way, and then nothing that rests on it has been said.

use alloc::collections::VecDeque;
use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;

use bytes::Bytes;
use zk_wire::quorum::config::QuorumConfig;

use crate::config::Settings;
use crate::counts::Counts;
use crate::history::History;
use crate::ids::{JobId, Sid, Zxid};
use crate::io::{Act, Job, Level, Outbox, Tell};
use crate::view::{Change, MyRole, View};

/// See the module.
#[derive(Debug)]
pub(crate) struct Common {
    pub settings: Settings,
    pub view: View,
    pub history: History,
    /// acceptedEpoch.
    pub accepted: u32,
    /// currentEpoch.
    pub current: u32,
    pub durable: Zxid,
    /// What is appended and not durable: up to which zxid since when, monotonic milliseconds.
    unsynced: VecDeque<(Zxid, i64)>,
    /// Known to be committed, by an established leader.
    pub committed: Zxid,
    /// How far the tree is.
    pub applied: Zxid,
    pub tree_bytes: u64,
    /// A received snapshot that is being put in force, its zxid, and until where it may be ahead
    /// of that.
    pub switching: Option<(JobId, Zxid, Zxid)>,
    /// A leader must send everything: what it would cut off is committed here.
    pub resync: bool,
    /// What the log does not hold and is told all the same. Nothing is, but without
    /// the rules about that.
    pub claimed: Zxid,
    pub now_ms: i64,
    /// The wall clock, for ages of transactions.
    pub wall_ms: i64,
    pub counts: Counts,
    /// Since when no role serves, monotonic milliseconds.
    pub unavailable_since: Option<i64>,
    pub out: Outbox,
    /// Which observer master is tried next, as a place among the voters.
    pub next_master: Option<usize>,
    next_job: u64,
    dice: u64,
}

/// What comes out of a role's step.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Turn {
    /// It goes on.
    Stay,
    /// It ends: look for a leader. Why.
    Leave(String),
    /// As [`Turn::Leave`], because the leader does not keep the protocol.
    Forsake(String),
    /// A reconfiguration ends it: the leader is named.
    Designated { leader: Sid, zxid: Zxid },
}

impl Common {
    pub fn new(
        settings: Settings,
        view: View,
        history: History,
        epochs: (u32, u32),
        committed: Zxid,
    ) -> Common {
        Common {
            durable: history.end(),
            dice: settings.seed | 1,
            settings,
            view,
            history,
            accepted: epochs.0,
            current: epochs.1,
            unsynced: VecDeque::new(),
            committed,
            applied: committed,
            tree_bytes: 0,
            switching: None,
            resync: false,
            claimed: Zxid::ZERO,
            now_ms: 0,
            wall_ms: 0,
            counts: Counts::default(),
            unavailable_since: None,
            out: Outbox::default(),
            next_master: None,
            next_job: 0,
        }
    }

    /// What this server says that it has.
    pub fn told_end(&self) -> Zxid {
        self.history.end().max(self.claimed)
    }

    pub fn me(&self) -> Sid {
        self.settings.me
    }

    pub fn job(&mut self, job: Job) -> JobId {
        self.next_job += 1;
        let id = JobId(self.next_job);
        self.out.act(Act::Job(id, job));
        id
    }

    pub fn info(&mut self, line: String) {
        self.out.log(Level::Info, line);
    }

    pub fn warn(&mut self, line: String) {
        self.out.log(Level::Warn, line);
    }

    /// Another server does not keep the protocol.
    pub fn blame(&mut self, line: String) {
        self.out.act(Act::Violation(line));
    }

    /// Appends a record to the log.
    pub fn append(&mut self, zxid: Zxid, payload: Bytes) {
        self.history.append(zxid, payload.len());
        self.unsynced.push_back((zxid, self.now_ms));
        self.out.act(Act::Append(zxid, payload));
    }

    /// The log is durable up to here.
    pub fn set_durable(&mut self, zxid: Zxid) {
        self.durable = zxid;
        while self.unsynced.front().is_some_and(|(z, _)| *z <= zxid) {
            self.unsynced.pop_front();
        }
    }

    /// The log was cut, or is another: nothing waits for an fsync.
    pub fn reset_durable(&mut self) {
        self.durable = self.history.end();
        self.unsynced.clear();
    }

    /// Whether the disk holds an append up for so long.
    pub fn is_disk_stuck(&self, limit_ms: i64) -> bool {
        self.now_ms >= self.disk_deadline_ms(limit_ms)
    }

    /// When it will have.
    pub fn disk_deadline_ms(&self, limit_ms: i64) -> i64 {
        let oldest = self.unsynced.front();
        oldest.map_or(i64::MAX, |(_, since)| since.saturating_add(limit_ms))
    }

    /// Everything up to here is committed.
    pub fn commit(&mut self, zxid: Zxid) {
        if zxid > self.committed {
            self.committed = zxid;
            self.out.tell(Tell::Committed(zxid));
        }
    }

    /// A number below `bound`, the same in every run of a seed.
    pub fn draw(&mut self, bound: i64) -> i64 {
        // Any full-period generator will do: this spreads the waits of observers.
        self.dice = self
            .dice
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        if bound <= 0 {
            return 0;
        }
        ((self.dice >> 33) as i64) % bound
    }

    /// A configuration was proposed: it is durable before anything that comes behind it.
    pub fn see(&mut self, config: QuorumConfig) {
        if self.view.see(config) {
            self.job(Job::SaveLastSeen(self.view.last_seen().clone()));
            self.out.act(Act::View(Arc::new(self.view.clone())));
        }
    }

    /// What was proposed will never be committed.
    pub fn forget_pending(&mut self) {
        self.view.forget();
        self.job(Job::SaveLastSeen(self.view.last_seen().clone()));
        self.out.act(Act::View(Arc::new(self.view.clone())));
    }

    /// A configuration is committed. Says what it changes.
    pub fn activate(&mut self, config: QuorumConfig) -> Change {
        let Some(change) = self.view.commit(config) else {
            return Change::default();
        };
        let committed = self.view.committed().clone();
        self.job(Job::SaveCommitted(committed.clone()));
        self.out.act(Act::View(Arc::new(self.view.clone())));
        if change.members {
            self.out.act(Act::RestartElection);
        }
        let version = committed.version;
        self.out.tell(Tell::Config(committed));
        self.info(format!("configuration 0x{version:x} holds"));
        change
    }

    /// Reads the text of a configuration that a peer has sent.
    pub fn parse(&mut self, text: &[u8]) -> Option<QuorumConfig> {
        let parsed = core::str::from_utf8(text)
            .map_err(|error| format!("{error}"))
            .and_then(|text| QuorumConfig::parse(text, true).map_err(|error| format!("{error}")));
        match parsed {
            Ok(config) => Some(config),
            Err(error) => {
                self.blame(format!("a configuration that cannot be read: {error}"));
                None
            }
        }
    }

    pub fn is_observer(&self) -> bool {
        self.view.role() == MyRole::Observer
    }
}
