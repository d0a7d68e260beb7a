//! The threads beside the core: of the log, of the store, and of apply, each one piece of work at
//! a time.
//!
//! Checked here, because it is the disk that shows it: nothing committed is cut off, and an epoch
//! is durable behind its history only.

use zk_zab::Zxid;
use zk_zab::io::{In, Job};

use super::coverage;
use super::disk::{Did, Item, Said};
use super::net::Place;
use super::world::{Event, World, disks_of, job_name};

impl World {
    pub(super) fn disk(&mut self, place: Place, life: u64) -> Result<(), String> {
        let stuck_us = self.machines[place].stuck_us;
        if stuck_us > self.now_us {
            self.at(stuck_us, Event::Disk(place, life));
            return Ok(());
        }
        let sid = self.machines[place].sid;
        let batch = self.plan.batch;
        let rules = self.plan.settings_of(sid, life).rules;
        if self.process(place, life).is_none() {
            return Ok(());
        }
        if self.is_full(place)
            && let Some(process) = &self.machines[place].process
            && let Some(record) = process.log.writes(&self.machines[place].disk)
        {
            self.full(place, &record);
            return Ok(());
        }
        let machine = &mut self.machines[place];
        let Some(process) = &mut machine.process else {
            return Ok(());
        };
        process.disk_planned = false;
        let takes = matches!(
            process.log.queue.front(),
            Some(Item::Job(_, Job::Cut(_) | Job::Switch { .. }))
        );
        let before = takes.then(|| machine.disk.clone());
        let did = process
            .log
            .work(&mut machine.disk, batch, rules)
            .map_err(|what| format!("server {sid}: {what}"))?;
        if did == Did::Synced {
            let committed = process.core.zab().committed();
            let disk = &mut machine.disk;
            disk.hint = disk.hint.max(committed.min(disk.synced_end()));
        }
        if let Did::Job(job) = &did {
            self.line(format_args!("{sid} did {}", job_name(job)));
            let disk = &self.machines[place].disk;
            if let Some(before) = &before {
                let disks = disks_of(&self.machines);
                self.judge
                    .cuts(before, disk, &disks)
                    .map_err(|what| format!("server {sid}, {}: {what}", job_name(job)))?;
            }
            if let Job::SaveCurrent(epoch) = job {
                // The first is the leader, whose history it is.
                self.judge.begins(*epoch, disk.last());
                self.judge
                    .vouches(*epoch, disk)
                    .map_err(|what| format!("server {sid}: {what}"))?;
            }
            match job {
                Job::Cut(_) => self.coverage.note(coverage::TRUNC),
                Job::Switch { .. } => self.coverage.note(coverage::SNAP),
                _ => {}
            }
        }
        self.plan_ahead(place);
        Ok(())
    }

    pub(super) fn said(&mut self, place: Place, life: u64) -> Result<(), String> {
        let Some(process) = self.process(place, life) else {
            return Ok(());
        };
        process.said_planned = false;
        let Some(said) = process.log.said.pop_front() else {
            return Ok(());
        };
        match said {
            Said::Durable(zxid) => self.input(place, In::Durable(zxid)),
            Said::Done(id) => {
                self.input(place, In::Done(id))?;
                if let Some(process) = self.process(place, life)
                    && process.log.switched == Some(id)
                {
                    process.log.switched = None;
                }
                Ok(())
            }
        }
    }

    pub(super) fn apply(&mut self, place: Place, life: u64) -> Result<(), String> {
        let now = self.clock(place);
        let budget = self.plan.budget;
        if self.process(place, life).is_none() {
            return Ok(());
        }
        let machine = &mut self.machines[place];
        let Some(process) = &mut machine.process else {
            return Ok(());
        };
        process.apply_planned = false;
        let mut effects = Vec::new();
        let disk = &machine.disk;
        process.core.apply(now, budget, disk, &mut effects);
        self.carry_out(place, effects)
    }

    pub(super) fn persist(&mut self, place: Place, life: u64) -> Result<(), String> {
        if self.process(place, life).is_none() {
            return Ok(());
        }
        let delay = self.plan.persist.draw(&mut self.dice);
        self.after(delay, Event::Persist(place, life));
        let machine = &mut self.machines[place];
        let Some(process) = &machine.process else {
            return Ok(());
        };
        if process.log.switched.is_some() {
            // The store is another tree's by now.
            return Ok(());
        }
        if self.is_full(place) {
            self.full(place, &[]);
            return Ok(());
        }
        let Some(process) = &self.machines[place].process else {
            return Ok(());
        };
        let applied = process.core.applied();
        let (had, has) = (self.machines[place].disk.store.len(), applied.len());
        if has > had {
            let upto = had + 1 + self.dice.below(has - had);
            let more = applied[had..upto].to_vec();
            self.machines[place].disk.store.extend(more);
        }
        let zxid = self.machines[place].disk.persisted();
        let now = self.clock(place);
        let mut effects = Vec::new();
        if let Some(process) = &mut self.machines[place].process {
            process.core.persisted(now, zxid, &mut effects);
        }
        self.carry_out(place, effects)?;
        let bytes = self.machines[place].disk.store.len() as u64 * 40;
        self.input(place, In::TreeBytes(bytes))
    }

    pub(super) fn purge(&mut self, place: Place, life: u64) -> Result<(), String> {
        if self.process(place, life).is_none() {
            return Ok(());
        }
        self.after(self.plan.purge_us, Event::Purge(place, life));
        let machine = &mut self.machines[place];
        let Some(process) = &machine.process else {
            return Ok(());
        };
        // Streams and readers hold what they have not sent.
        let streams = process.streams.values().map(|stream| stream.after);
        let reads = process.reads.iter().map(|read| read.after);
        let held = streams.chain(reads).min().unwrap_or(Zxid(i64::MAX));
        let replaced = process.log.switched.is_some() || process.log.incoming.is_some();
        if replaced || !machine.disk.purge(held) {
            return Ok(());
        }
        let base = machine.disk.base;
        let segments = machine.disk.segments();
        let sid = machine.sid;
        self.coverage.note(coverage::PURGED);
        self.line(format_args!("{sid} purges its log up to {base}"));
        self.input(place, In::Files(segments))?;
        self.input(place, In::Purged(base))
    }

    pub(super) fn read(&mut self, place: Place, life: u64) -> Result<(), String> {
        let some = 1 + self.dice.below(8);
        if self.process(place, life).is_none() {
            return Ok(());
        }
        let machine = &mut self.machines[place];
        let Some(process) = &mut machine.process else {
            return Ok(());
        };
        process.read_planned = false;
        let Some(read) = process.reads.front_mut() else {
            return Ok(());
        };
        let log = &machine.disk.log[..machine.disk.synced];
        let from = log.partition_point(|(zxid, _)| *zxid <= read.after);
        let until = read.until;
        let records: Vec<_> = log[from..]
            .iter()
            .take_while(|(zxid, _)| *zxid <= until)
            .take(some)
            .cloned()
            .collect();
        let last = records.last().map_or(until, |(zxid, _)| *zxid);
        read.after = last;
        // Some answers are shorter than what was asked for.
        let done = last >= until || self.dice.once_in(6);
        if done {
            process.reads.pop_front();
        }
        for (zxid, payload) in records {
            self.input(place, In::LogRecord(zxid, payload))?;
        }
        if done {
            self.input(place, In::LogRead(last))?;
        }
        self.plan_ahead(place);
        Ok(())
    }
}
