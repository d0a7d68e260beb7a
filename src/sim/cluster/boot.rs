//! How a machine starts its server: what it finds on its disk.
//!
//! Owns: the order of a start. Does not know: what the server does then.
//!
//! Invariant: a start works with what the disk holds and nothing else.

use std::collections::{BTreeMap, VecDeque};

use zk_zab::io::In;
use zk_zab::{Recovered, Sid, View, Zab, Zxid};

use super::coverage;
use super::disk::LogThread;
use super::member::Member;
use super::net::Place;
use super::node::{Core, Engine};
use super::world::{Event, Process, World, disks_of};

impl World {
    pub(super) fn boot_in(&mut self, place: Place, delay_us: i64) {
        if !self.machines[place].booting {
            self.machines[place].booting = true;
            self.after(delay_us, Event::Boot(place));
        }
    }

    /// A machine starts its server.
    pub(super) fn boot(&mut self, place: Place) -> Result<(), String> {
        let now = self.clock(place);
        let machine = &mut self.machines[place];
        machine.booting = false;
        if machine.process.is_some() {
            return Ok(());
        }
        machine.life += 1;
        let (sid, life) = (machine.sid, machine.life);
        let disk = &mut machine.disk;
        let torn = disk
            .recover()
            .map_err(|what| format!("server {sid} starts: {what}"))?;
        if torn > 0 {
            self.coverage.note(coverage::TORN_TAIL);
            self.line(format_args!("{sid} cuts {torn} bytes off its log"));
        }
        let disk = &mut self.machines[place].disk;
        let upto = disk.persisted().max(disk.hint);
        let applied = disk.tree(upto);
        let upto = applied.last().map_or(Zxid::ZERO, |entry| entry.0);
        let asked = disk.asked(&applied);
        let history = disk.history();
        let has_suffix = history.end() > upto;
        let settings = self.plan.settings_of(sid, life);
        let rules = settings.rules;
        let view = View::new(
            Sid(sid),
            settings.reconfig_enabled,
            (*disk.committed).clone(),
            disk.last_seen.as_deref().cloned(),
        );
        let view = match self.plan.oracle {
            Some(_) => view.with_oracle(),
            None => view,
        };
        let past = Recovered {
            history,
            accepted: disk.accepted,
            current: disk.current,
            applied: upto,
            may_vote: !disk.is_lost,
        };
        let zab = Zab::recover(settings, view, past);
        let counter_max = self.plan.counter_max;
        for (at, entry) in applied.iter().enumerate() {
            let change = self.change_at(at, *entry)?;
            let disks = disks_of(&self.machines);
            self.judge
                .applies(at, *entry, asked[at], change, &disks)
                .map_err(|what| format!("server {sid} starts with a tree: {what}"))?;
        }
        let machine = &mut self.machines[place];
        let core: Box<dyn Core> = if self.plan.real {
            let config = self.plan.config_of(sid);
            let member = Member::new(zab, config, &machine.disk, applied, now);
            Box::new(member.map_err(|what| format!("server {sid} starts: {what}"))?)
        } else {
            Box::new(Engine::new(zab, applied, rules, counter_max))
        };
        machine.process = Some(Process {
            core,
            log: LogThread::default(),
            disk_planned: false,
            said_planned: false,
            apply_planned: false,
            reads: VecDeque::new(),
            read_planned: false,
            streams: BTreeMap::new(),
            installing: None,
            listening: false,
            listening_master: false,
            tick_us: i64::MAX,
            tick_number: 0,
        });
        if has_suffix {
            self.coverage.note(coverage::SUFFIX);
        }
        let disk = &self.machines[place].disk;
        let (accepted, current, end) = (disk.accepted, disk.current, disk.synced_end());
        self.line(format_args!(
            "{sid} starts: accepted {accepted}, current {current}, log to {end}, tree at {upto}"
        ));
        let delay = self.plan.persist.draw(&mut self.dice);
        self.after(delay, Event::Persist(place, life));
        if self.plan.purge_us > 0 {
            self.after(self.plan.purge_us, Event::Purge(place, life));
        }
        if self.plan.oracle == Some(sid) {
            self.input(place, In::Oracle(self.oracle))?;
        }
        self.input(place, In::Tick)
    }
}
