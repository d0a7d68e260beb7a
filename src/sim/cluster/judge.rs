//! What must hold in every run of an ensemble.
//!
//! Owns: the committed path (every transaction that was applied anywhere, in order), who led which
//! epoch, and what clients were told. Does not know: links, time.
//!
//! Checked: one leader of an epoch; every server applies the path and nothing else; a transaction
//! that is applied is durable on a quorum of the configuration that holds for it (one that changes
//! the configuration on quorums of both), and so is what clients were told; a server whose
//! currentEpoch is durable has that epoch's first history; nothing of the path is ever cut off;
//! what a server held on a disk that was replaced by an empty one counts as held, for it had said so;
//! answers come in order, and a write that was answered before another began has the smaller zxid.

use std::collections::BTreeMap;

use zk_wire::quorum::config::QuorumConfig;
use zk_zab::quorum::Verifier;
use zk_zab::{Sid, Zxid};

use super::disk::Disk;
use super::node::{Asked, Entry};

/// See the module.
#[derive(Debug)]
pub struct Judge {
    /// The quorums of the configuration that holds where the path ends.
    verifier: Verifier,
    /// That configuration.
    config: QuorumConfig,
    /// The newest one that holds anywhere: it is committed, and may not be applied yet.
    in_force: QuorumConfig,
    /// Whom an oracle may let decide alone.
    alone: Option<i64>,
    /// What is committed, as far as anybody has applied it.
    pub path: Vec<Entry>,
    /// Whose requests are on the path.
    asked: BTreeMap<Asked, Zxid>,
    /// Who led each epoch: server and life.
    leaders: BTreeMap<u32, (i64, u64)>,
    /// What was proposed.
    proposed: BTreeMap<Zxid, u64>,
    /// The last transaction of the history with which each epoch began.
    first_history: BTreeMap<u32, Entry>,
    /// The tree's digest at each zxid.
    digests: BTreeMap<Zxid, u64>,
    /// The largest zxid that a client was told.
    pub told: Zxid,
}

impl Judge {
    /// Of an ensemble that begins with this configuration; an oracle may let `alone` decide.
    pub fn new(config: QuorumConfig, alone: Option<i64>) -> Judge {
        Judge {
            verifier: Verifier::of(&config),
            in_force: config.clone(),
            config,
            alone,
            path: Vec::new(),
            asked: BTreeMap::new(),
            leaders: BTreeMap::new(),
            proposed: BTreeMap::new(),
            first_history: BTreeMap::new(),
            digests: BTreeMap::new(),
            told: Zxid::ZERO,
        }
    }

    /// The configuration that holds where the path ends.
    pub fn config(&self) -> &QuorumConfig {
        &self.config
    }

    /// Who led an epoch.
    pub fn leader_of(&self, epoch: u32) -> Option<i64> {
        self.leaders.get(&epoch).map(|(sid, _)| *sid)
    }

    /// Epochs that had an established leader.
    pub fn epochs(&self) -> usize {
        self.leaders.len()
    }

    /// A server leads: nobody else did in this epoch, and it has all that is committed.
    ///
    /// # Errors
    /// What is wrong.
    pub fn leads(
        &mut self,
        epoch: u32,
        leader: (i64, u64),
        applied: &[Entry],
    ) -> Result<(), String> {
        if let Some(other) = self.leaders.insert(epoch, leader) {
            return Err(format!(
                "epoch {epoch} is led by server {} and by server {}",
                other.0, leader.0
            ));
        }
        // The words of a quorum may reach a leader late, when later ones have led: it has what was
        // committed before its epoch.
        let before = self.path.partition_point(|(zxid, _)| zxid.epoch() < epoch);
        if applied != &self.path[..before] {
            return Err(format!(
                "the leader of epoch {epoch} has {} transactions, committed are {before}",
                applied.len(),
            ));
        }
        Ok(())
    }

    /// A leader has begun with this configuration. One that was proposed before it, and that is
    /// perhaps in nobody's log, holds with the epoch, if quorums of both have taken that over.
    ///
    /// # Errors
    /// They have not.
    pub fn leads_with(
        &mut self,
        epoch: u32,
        config: &QuorumConfig,
        disks: &BTreeMap<i64, &Disk>,
    ) -> Result<bool, String> {
        if config.version <= self.config.version {
            return Ok(false);
        }
        let follows = |sid: Sid| disks.get(&sid.0).is_some_and(|disk| disk.current >= epoch);
        let next = Verifier::of(config);
        let decided = self.verifier.has_quorum(follows) && next.has_quorum(follows);
        if !decided && self.alone.is_none() {
            return Err(format!(
                "epoch {epoch} begins with configuration 0x{:x} without quorums of both",
                config.version
            ));
        }
        let changes = !self.config.same_members(config);
        (self.config, self.verifier) = (config.clone(), next);
        if self.in_force.version < config.version {
            self.in_force = config.clone();
        }
        Ok(changes)
    }

    /// A configuration holds on a server: it is committed.
    ///
    /// # Errors
    /// It is not: no quorums of it and of the one before hold its transaction.
    pub fn activates(
        &mut self,
        config: &QuorumConfig,
        disks: &BTreeMap<i64, &Disk>,
    ) -> Result<(), String> {
        if config.version <= self.in_force.version {
            return Ok(());
        }
        let zxid = Zxid(config.version);
        let held = |sid: Sid| disks.get(&sid.0).is_some_and(|disk| disk.held_at(zxid));
        let before = Verifier::of(&self.in_force);
        if !before.has_quorum(held) || !Verifier::of(config).has_quorum(held) {
            return Err(format!("configuration {zxid} holds, and is not committed"));
        }
        self.in_force = config.clone();
        Ok(())
    }

    /// The leader of an epoch has made it its current one, before all others: this is its history.
    pub fn begins(&mut self, epoch: u32, last: Entry) {
        self.first_history.entry(epoch).or_insert(last);
    }

    /// A leader proposes.
    ///
    /// # Errors
    /// The zxid was taken.
    pub fn proposes(&mut self, zxid: Zxid, hash: u64) -> Result<(), String> {
        match self.proposed.insert(zxid, hash) {
            None => Ok(()),
            Some(_) => Err(format!("{zxid} is proposed twice")),
        }
    }

    /// A server applies its `at`th transaction, which may bring this configuration. Whether one
    /// server has decided it alone, with the oracle's leave.
    ///
    /// # Errors
    /// It is not on the path, and cannot be.
    pub fn applies(
        &mut self,
        at: usize,
        entry: Entry,
        asked: Asked,
        change: Option<QuorumConfig>,
        disks: &BTreeMap<i64, &Disk>,
    ) -> Result<bool, String> {
        if let Some(known) = self.path.get(at) {
            if *known != entry {
                return Err(format!(
                    "{} is applied where {} was: histories are forked",
                    entry.0, known.0
                ));
            }
            return Ok(false);
        }
        if at != self.path.len() {
            return Err(format!("{} is applied behind a hole", entry.0));
        }
        if self.proposed.get(&entry.0) != Some(&entry.1) {
            return Err(format!("{} is applied, which nobody proposed", entry.0));
        }
        let held = |sid: Sid| disks.get(&sid.0).is_some_and(|disk| disk.held(entry));
        let next = change.as_ref().map(Verifier::of);
        let decided = self.verifier.has_quorum(held)
            && next.as_ref().is_none_or(|next| next.has_quorum(held));
        let alone = !decided && self.alone.is_some_and(|sid| held(Sid(sid)));
        if !decided && !alone {
            let who: Vec<i64> = disks
                .iter()
                .filter(|(_, disk)| disk.held(entry))
                .map(|(sid, _)| *sid)
                .collect();
            return Err(format!(
                "{} is applied, and durable on {who:?} only",
                entry.0
            ));
        }
        self.path.push(entry);
        if let (Some(change), Some(next)) = (change, next) {
            if change.version != entry.0.0 {
                return Err(format!(
                    "{} brings configuration 0x{:x}",
                    entry.0, change.version
                ));
            }
            if self.in_force.version < change.version {
                self.in_force = change.clone();
            }
            if self.config.version < change.version {
                (self.config, self.verifier) = (change, next);
            }
        }
        // What the servers do by themselves has no number.
        if asked.1 != 0 && self.asked.insert(asked, entry.0).is_some() {
            return Err(format!("the request {asked:?} is committed twice"));
        }
        Ok(alone)
    }

    /// A server's tree has a digest.
    ///
    /// # Errors
    /// Another has a different one at the same zxid.
    pub fn digest(&mut self, zxid: Zxid, digest: u64) -> Result<(), String> {
        let known = *self.digests.entry(zxid).or_insert(digest);
        if known != digest {
            return Err(format!("trees differ at {zxid}"));
        }
        Ok(())
    }

    /// A client is told that its write is done.
    ///
    /// # Errors
    /// It is not, or its place in time is wrong.
    pub fn answers(&mut self, asked: Asked, zxid: Zxid, begun: Zxid) -> Result<(), String> {
        if self.asked.get(&asked) != Some(&zxid) {
            return Err(format!(
                "{asked:?} is answered with {zxid}, which is not it"
            ));
        }
        if zxid <= begun {
            return Err(format!(
                "{asked:?} has {zxid}, and began when {begun} was answered"
            ));
        }
        self.told = self.told.max(zxid);
        Ok(())
    }

    /// What is committed at a zxid.
    pub fn entry(&self, zxid: Zxid) -> Option<Entry> {
        let at = self.path.binary_search_by_key(&zxid, |(zxid, _)| *zxid);
        at.ok().map(|at| self.path[at])
    }

    /// How much of the path a disk holds, from its beginning.
    fn held(&self, disk: &Disk) -> usize {
        // What it holds of the path has no holes, so the end can be sought.
        self.path.partition_point(|entry| disk.holds(*entry))
    }

    /// A server's disk has changed in a way that takes records from it. A leader that lives may let
    /// a learner cut off what it is going to send it again, and what is committed meanwhile without
    /// it; but a quorum is left of everything.
    ///
    /// # Errors
    /// There is none.
    pub fn cuts(
        &self,
        before: &Disk,
        after: &Disk,
        disks: &BTreeMap<i64, &Disk>,
    ) -> Result<(), String> {
        let (had, has) = (self.held(before), self.held(after));
        for entry in self.path.get(has..had).into_iter().flatten() {
            let held = |sid: Sid| disks.get(&sid.0).is_some_and(|disk| disk.held(*entry));
            let alone = self.alone.is_some_and(|sid| held(Sid(sid)));
            if !self.verifier.has_quorum(held) && !alone {
                return Err(format!("{} is committed, and cut off", entry.0));
            }
        }
        Ok(())
    }

    /// currentEpoch is durable.
    ///
    /// # Errors
    /// The history that this epoch began with is not.
    pub fn vouches(&self, epoch: u32, disk: &Disk) -> Result<(), String> {
        let Some(last) = self.first_history.get(&epoch) else {
            return Ok(());
        };
        if last.0 != Zxid::ZERO && !disk.holds(*last) {
            return Err(format!(
                "currentEpoch is {epoch}, whose history ends at {}; here is what ends at {}",
                last.0,
                disk.synced_end()
            ));
        }
        Ok(())
    }

    /// What is wrong with the trees of servers that should all be at the end of the path.
    pub fn differs(&self, applied: &[Entry]) -> bool {
        applied != &self.path[..]
    }
}
