//! One server's disk, and the log's thread that works on it.
//!
//! Owns: what is durable (epochs, log, store, configurations), what is written and not synced, and
//! the ordered queue of what the thread has still to do. Does not know: time, links, the core.
//!
//! Invariants: what was asked for is done in its order, and each thing is whole or not done, but
//! for appended records, of whose bytes a crash leaves any number of the first.

use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;

use bytes::Bytes;
use zk_wire::file::txn_log::{self, Item as Found, Scanner};
use zk_wire::quorum::config::QuorumConfig;
use zk_wire::txn::header_of;
use zk_zab::history::Range;
use zk_zab::io::Job;
use zk_zab::rules::{Rule, Rules};
use zk_zab::{History, JobId, Zxid};

use super::node::{Asked, Entry, hash};

/// A tree as a leader sends it.
pub type Snapshot = Rc<[Entry]>;

/// Every record that was ever appended anywhere, by zxid and hash: a tree is told by what was
/// applied to it, and made anew from that.
pub type Archive = Rc<RefCell<BTreeMap<Entry, Bytes>>>;

/// What survives.
#[derive(Clone, Debug)]
pub struct Disk {
    /// acceptedEpoch.
    pub accepted: u32,
    /// currentEpoch.
    pub current: u32,
    /// What the log follows.
    pub base: Zxid,
    /// The log's records.
    pub log: Vec<(Zxid, Bytes)>,
    /// How many of them are synced.
    pub synced: usize,
    /// Bytes behind them in the log's file, which the next start reads.
    pub tail: Vec<u8>,
    /// The store: a tree, as the list of what was applied to it.
    pub store: Vec<Entry>,
    /// How far the log was known to be committed; may be too low, never too high.
    pub hint: Zxid,
    /// The configuration that holds.
    pub committed: Rc<QuorumConfig>,
    /// The one seen last.
    pub last_seen: Option<Rc<QuorumConfig>>,
    /// Whether it is empty against the will of its owner: the server must not vote.
    pub is_lost: bool,
    /// The disk that was in its place.
    pub before: Option<Box<Disk>>,
    /// The records of all.
    pub archive: Archive,
}

impl Disk {
    /// An empty one.
    pub fn new(config: QuorumConfig, archive: Archive) -> Disk {
        Disk {
            accepted: 0,
            current: 0,
            base: Zxid::ZERO,
            log: Vec::new(),
            synced: 0,
            tail: Vec::new(),
            store: Vec::new(),
            hint: Zxid::ZERO,
            committed: Rc::new(config),
            last_seen: None,
            is_lost: false,
            before: None,
            archive,
        }
    }

    /// How far the store is.
    pub fn persisted(&self) -> Zxid {
        self.store.last().map_or(Zxid::ZERO, |entry| entry.0)
    }

    /// The end of what is synced.
    pub fn synced_end(&self) -> Zxid {
        match self.synced {
            0 => self.base,
            n => self.log[n - 1].0,
        }
    }

    /// The last transaction, synced or not.
    pub fn last(&self) -> Entry {
        let last = self.log.last();
        let last = last.map(|(zxid, payload)| (*zxid, hash(payload)));
        last.or(self.store.last().copied())
            .unwrap_or((Zxid::ZERO, 0))
    }

    /// Whether this transaction is durable here, in the log or in the store.
    pub fn holds(&self, entry: Entry) -> bool {
        let log = &self.log[..self.synced];
        if let Ok(at) = log.binary_search_by_key(&entry.0, |(zxid, _)| *zxid) {
            return hash(&log[at].1) == entry.1;
        }
        // A record below the log's beginning is in the store.
        self.store
            .binary_search_by_key(&entry.0, |(zxid, _)| *zxid)
            .is_ok_and(|at| self.store[at].1 == entry.1)
    }

    /// Whether this transaction was durable here, on this disk or on one before it.
    pub fn held(&self, entry: Entry) -> bool {
        let before = self.before.as_ref();
        self.holds(entry) || before.is_some_and(|before| before.held(entry))
    }

    /// Whether any transaction of this zxid was durable here, on this disk or on one before it.
    pub fn held_at(&self, zxid: Zxid) -> bool {
        let log = &self.log[..self.synced];
        log.binary_search_by_key(&zxid, |(zxid, _)| *zxid).is_ok()
            || self
                .store
                .binary_search_by_key(&zxid, |(zxid, _)| *zxid)
                .is_ok()
            || self
                .before
                .as_ref()
                .is_some_and(|before| before.held_at(zxid))
    }

    /// An empty disk takes its place. The files of the configuration lie elsewhere.
    pub fn lose(&mut self) {
        let empty = Disk::new((*self.committed).clone(), self.archive.clone());
        let before = std::mem::replace(self, empty);
        self.last_seen.clone_from(&before.last_seen);
        self.is_lost = true;
        self.before = Some(Box::new(before));
    }

    /// The bytes in which what is written and not synced lies in the log's file.
    pub fn unsynced(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        for (_, payload) in &self.log[self.synced..] {
            txn_log::encode_payload(payload, &mut bytes);
        }
        bytes.extend_from_slice(&self.tail);
        bytes
    }

    /// A start reads the end of the log's file and cuts off what is no whole record; what it keeps
    /// is durable. Returns how many bytes it cut off.
    ///
    /// # Errors
    /// What it finds there cannot be.
    pub fn recover(&mut self) -> Result<usize, String> {
        let tail = std::mem::take(&mut self.tail);
        let end = self.log.last().map_or(self.base, |(zxid, _)| *zxid);
        let mut scanner = Scanner::resume(&tail, 0, end.0);
        let mut torn = 0;
        for item in scanner.by_ref() {
            match item {
                Found::Record(record) => {
                    let payload = Bytes::copy_from_slice(record.payload);
                    self.log.push((Zxid(record.header.zxid), payload));
                }
                Found::End { .. } => {}
                Found::Torn { offset, .. } => {
                    let rest = &tail[offset..];
                    let zeros = rest.iter().rev().take_while(|byte| **byte == 0).count();
                    torn = rest.len() - zeros;
                }
                Found::Corrupt { damage, .. } => return Err(format!("the log's end: {damage:?}")),
            }
        }
        self.synced = self.log.len();
        Ok(torn)
    }

    /// What the log holds, for a start.
    pub fn history(&self) -> History {
        let mut ranges: Vec<Range> = Vec::new();
        for (zxid, _) in &self.log {
            match ranges.last_mut() {
                Some(range) if zxid.epoch() == range.last.epoch() => range.last = *zxid,
                Some(_) | None => ranges.push(Range {
                    first: *zxid,
                    last: *zxid,
                }),
            }
        }
        History::new(self.base, ranges, self.segments())
    }

    /// The log's files: first zxid and bytes.
    pub fn segments(&self) -> Vec<(Zxid, u64)> {
        let files = self.log.chunks(16);
        let sizes = files.map(|file| {
            let bytes = file.iter().map(|(_, payload)| payload.len() as u64).sum();
            (file[0].0, bytes)
        });
        sizes.collect()
    }

    /// The tree of a start: the store, and the log behind it up to `upto`.
    pub fn tree(&self, upto: Zxid) -> Vec<Entry> {
        let mut tree = self.store.clone();
        let persisted = self.persisted();
        let tail = self.log.iter();
        let tail = tail.filter(|(zxid, _)| *zxid > persisted && *zxid <= upto);
        tree.extend(tail.map(|(zxid, payload)| (*zxid, hash(payload))));
        tree
    }

    /// Whose requests the transactions of a tree are.
    pub fn asked(&self, tree: &[Entry]) -> Vec<Asked> {
        let archive = self.archive.borrow();
        let whose = |entry: &Entry| {
            let header = archive.get(entry).and_then(|bytes| header_of(bytes).ok());
            header.map_or((0, 0), |header| (header.client_id, header.cxid))
        };
        tree.iter().map(whose).collect()
    }

    /// Removes records from the beginning, up to `upto` at most, which is in the store.
    pub fn purge(&mut self, upto: Zxid) -> bool {
        let upto = upto.min(self.persisted());
        let n = self.log[..self.synced].partition_point(|(zxid, _)| *zxid <= upto);
        if n == 0 {
            return false;
        }
        self.base = self.log[n - 1].0;
        self.log.drain(..n);
        self.synced -= n;
        true
    }
}

/// Something that the thread has to do.
#[derive(Clone, Debug)]
pub enum Item {
    /// A record.
    Append(Zxid, Bytes),
    /// A record behind a snapshot that is being received.
    Stage(Zxid, Bytes),
    /// A durable act.
    Job(JobId, Job),
    /// What is staged is dropped.
    Abandon,
}

/// What it says.
#[derive(Clone, Debug)]
pub enum Said {
    /// The log is durable up to here.
    Durable(Zxid),
    /// A job is done.
    Done(JobId),
}

/// What the thread has done with one piece of work.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Did {
    /// Nothing was there.
    Nothing,
    /// Records were written.
    Wrote(usize),
    /// They were synced.
    Synced,
    /// A job.
    Job(Job),
    /// Something staged.
    Staged,
}

/// The thread.
#[derive(Clone, Debug, Default)]
pub struct LogThread {
    /// What it has to do.
    pub queue: VecDeque<Item>,
    /// What it has said and nobody has heard yet.
    pub said: VecDeque<Said>,
    /// Records behind a snapshot that is being received.
    staged: Vec<(Zxid, Bytes)>,
    /// The snapshot, once it is whole.
    pub incoming: Option<(Zxid, Snapshot)>,
    /// The switch that is done on the disk and not in memory.
    pub switched: Option<JobId>,
}

impl LogThread {
    /// Whether everything that a vote says is durable: a configuration that another server has told
    /// is no part of it.
    pub fn is_idle(&self, disk: &Disk) -> bool {
        let told = |item: &Item| {
            matches!(
                item,
                Item::Job(_, Job::SaveCommitted(_) | Job::SaveLastSeen(_))
            )
        };
        self.queue.iter().all(told) && disk.synced == disk.log.len()
    }

    /// Whether the next piece of work writes something. If so, the bytes of a record that it would
    /// write first.
    pub fn writes(&self, disk: &Disk) -> Option<Vec<u8>> {
        if disk.synced < disk.log.len() {
            return Some(Vec::new());
        }
        match self.queue.front()? {
            Item::Append(_, payload) => {
                let mut bytes = Vec::new();
                txn_log::encode_payload(payload, &mut bytes);
                Some(bytes)
            }
            Item::Job(_, Job::Flush) | Item::Abandon => None,
            Item::Stage(..) | Item::Job(..) => Some(Vec::new()),
        }
    }

    /// Does one piece of work; at most `batch` records at once.
    ///
    /// # Errors
    /// What it was asked to do makes no sense.
    pub fn work(&mut self, disk: &mut Disk, batch: usize, rules: Rules) -> Result<Did, String> {
        if disk.synced < disk.log.len() {
            disk.synced = disk.log.len();
            self.said.push_back(Said::Durable(disk.synced_end()));
            return Ok(Did::Synced);
        }
        let mut wrote = 0;
        while wrote < batch
            && matches!(self.queue.front(), Some(Item::Append(..)))
            && let Some(Item::Append(zxid, payload)) = self.queue.pop_front()
        {
            let end = disk.log.last().map_or(disk.base, |(zxid, _)| *zxid);
            if !zxid.follows(end) {
                return Err(format!("{zxid} is appended behind {end}"));
            }
            disk.log.push((zxid, payload));
            wrote += 1;
        }
        if wrote > 0 {
            return Ok(Did::Wrote(wrote));
        }
        match self.queue.pop_front() {
            None | Some(Item::Append(..)) => Ok(Did::Nothing),
            Some(Item::Stage(zxid, payload)) => {
                self.staged.push((zxid, payload));
                // What is staged is synced by the switch only.
                while matches!(self.queue.front(), Some(Item::Stage(..)))
                    && let Some(Item::Stage(zxid, payload)) = self.queue.pop_front()
                {
                    self.staged.push((zxid, payload));
                }
                Ok(Did::Staged)
            }
            Some(Item::Abandon) => {
                self.staged.clear();
                self.incoming = None;
                Ok(Did::Staged)
            }
            Some(Item::Job(id, job)) => {
                self.job(disk, id, &job, rules)?;
                self.said.push_back(Said::Done(id));
                if matches!(job, Job::Cut(_) | Job::Switch { .. }) {
                    self.said.push_back(Said::Durable(disk.synced_end()));
                }
                Ok(Did::Job(job))
            }
        }
    }

    fn job(&mut self, disk: &mut Disk, id: JobId, job: &Job, rules: Rules) -> Result<(), String> {
        match job {
            Job::Flush => {}
            Job::SaveAccepted(epoch) => {
                // A leader whom no quorum has promised anything takes its own promise back.
                if *epoch < disk.current {
                    return Err(format!(
                        "acceptedEpoch {epoch} behind current {}",
                        disk.current
                    ));
                }
                disk.accepted = *epoch;
            }
            Job::SaveCurrent(epoch) => {
                if *epoch < disk.current || *epoch > disk.accepted {
                    return Err(format!(
                        "currentEpoch {epoch} behind {}, accepted is {}",
                        disk.current, disk.accepted
                    ));
                }
                disk.current = *epoch;
            }
            Job::Cut(zxid) => {
                if *zxid < disk.persisted() || *zxid < disk.base {
                    return Err(format!("cut behind {zxid}, which the store is beyond"));
                }
                let n = disk.log.partition_point(|(z, _)| z <= zxid);
                disk.log.truncate(n);
                disk.synced = n;
                if disk.synced_end() != *zxid {
                    return Err(format!("cut behind {zxid}, which is not in the log"));
                }
            }
            Job::Switch { zxid, .. } => {
                let Some((at, tree)) = self.incoming.take() else {
                    return Err(format!("a switch to {zxid} without a snapshot"));
                };
                if at != *zxid {
                    return Err(format!("a switch to {zxid} with a snapshot of {at}"));
                }
                disk.store = tree.to_vec();
                let staged = std::mem::take(&mut self.staged);
                if rules.hold(Rule::DiscardLogAfterSnap) {
                    disk.log = staged;
                    disk.base = *zxid;
                } else {
                    disk.log.retain(|(z, _)| z <= zxid);
                    disk.log.extend(staged);
                    disk.base = disk.base.min(*zxid);
                }
                disk.synced = disk.log.len();
                disk.hint = *zxid;
                disk.is_lost = false;
                self.switched = Some(id);
            }
            Job::SaveLastSeen(config) => disk.last_seen = Some(Rc::new((**config).clone())),
            Job::SaveCommitted(config) => {
                disk.committed = Rc::new((**config).clone());
                if disk
                    .last_seen
                    .as_ref()
                    .is_some_and(|seen| seen.version <= config.version)
                {
                    disk.last_seen = None;
                }
            }
        }
        Ok(())
    }
}
