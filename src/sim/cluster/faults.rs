//! What goes wrong, and how everything is well again.

use zk_zab::LinkId;

use super::coverage;
use super::disk::Item;
use super::net::Place;
use super::world::{Event, Phase, World};

impl World {
    /// Something goes wrong, and something else later.
    pub(super) fn fault(&mut self) -> Result<(), String> {
        if self.phase != Phase::Faults {
            return Ok(());
        }
        let delay = self.plan.fault.draw(&mut self.dice);
        self.after(delay, Event::Fault);
        self.strike()
    }

    /// One thing goes wrong.
    pub(super) fn strike(&mut self) -> Result<(), String> {
        if self.phase != Phase::Faults {
            return Ok(());
        }
        let w = &self.plan.weights;
        let weights = [
            w.crash, w.kill, w.pause, w.part, w.one_way, w.isolate, w.reset, w.unvote, w.stuck,
            w.full, w.blackout, w.leader,
        ];
        let Some(which) = self.dice.weighted(&weights) else {
            return Ok(());
        };
        let place = self.dice.below(self.machines.len());
        self.faults += 1;
        match which {
            0 => self.crash(place),
            1 => self.killed(place),
            2 => self.pause(place),
            3 => self.part(),
            4 => {
                let other = self.dice.below(self.machines.len());
                self.coverage.note(coverage::ONE_WAY);
                self.block(vec![(place, other)]);
            }
            5 => self.isolate(place),
            6 => self.reset_one(),
            7 => {
                let other = self.dice.below(self.machines.len());
                if other != place {
                    self.act_of_god(format_args!(
                        "the election connection of {place} and {other} ends"
                    ));
                    self.unvote(place, other);
                }
            }
            8 => {
                let lasting = self.plan.lasting.draw(&mut self.dice);
                self.coverage.note(coverage::STUCK_DISK);
                self.act_of_god(format_args!(
                    "the disk of {place} is stuck for {lasting} us"
                ));
                self.machines[place].stuck_us = self.now_us + lasting;
            }
            9 => {
                let lasting = self.plan.lasting.draw(&mut self.dice);
                self.coverage.note(coverage::FULL_DISK);
                self.act_of_god(format_args!("the disk of {place} is full for {lasting} us"));
                self.machines[place].full_us = self.now_us + lasting;
                self.killed(place);
            }
            10 => {
                self.coverage.note(coverage::BLACKOUT);
                for place in 0..self.machines.len() {
                    self.crash(place);
                }
            }
            _ => self.against_the_leader(),
        }
        Ok(())
    }

    /// The leader is hit, whoever it is.
    fn against_the_leader(&mut self) {
        let leader = self.machines.iter().position(|machine| {
            machine
                .process
                .as_ref()
                .is_some_and(|process| process.core.leads().is_some())
        });
        let Some(place) = leader else {
            return;
        };
        match self.dice.below(5) {
            0 => self.crash(place),
            1 => self.killed(place),
            2 => self.pause(place),
            3 => self.isolate(place),
            _ => {
                let lasting = self.plan.lasting.draw(&mut self.dice);
                self.coverage.note(coverage::STUCK_DISK);
                self.act_of_god(format_args!(
                    "the disk of {place} is stuck for {lasting} us"
                ));
                self.machines[place].stuck_us = self.now_us + lasting;
            }
        }
    }

    fn pause(&mut self, place: Place) {
        let lasting = self.plan.lasting.draw(&mut self.dice);
        self.coverage.note(coverage::PAUSE);
        self.act_of_god(format_args!(
            "the server at {place} is paused for {lasting} us"
        ));
        self.machines[place].paused_us = self.now_us + lasting;
    }

    fn isolate(&mut self, place: Place) {
        self.coverage.note(coverage::PARTITION);
        let others = (0..self.machines.len()).filter(|other| *other != place);
        let directions = others.flat_map(|other| [(place, other), (other, place)]);
        self.block(directions.collect());
    }

    fn part(&mut self) {
        let sides: Vec<bool> = self.machines.iter().map(|_| false).collect();
        let sides: Vec<bool> = sides.iter().map(|_| self.dice.percent(50)).collect();
        let mut directions = Vec::new();
        for a in 0..sides.len() {
            for b in 0..sides.len() {
                if sides[a] != sides[b] {
                    directions.push((a, b));
                }
            }
        }
        self.coverage.note(coverage::PARTITION);
        self.block(directions);
    }

    fn block(&mut self, directions: Vec<(Place, Place)>) {
        let lasting = self.plan.lasting.draw(&mut self.dice);
        self.act_of_god(format_args!("nothing goes {directions:?} for {lasting} us"));
        self.net.blocked.extend(directions.iter().copied());
        // Connections that are dead for long are noticed to be.
        for (a, b) in &directions {
            if self.dice.once_in(3) {
                self.unvote(*a, *b);
            }
        }
        self.after(lasting, Event::Unblock(directions));
    }

    fn reset_one(&mut self) {
        let open = self.net.links.iter();
        let open = open.filter(|(_, link)| link.open[0] || link.open[1]);
        let open: Vec<LinkId> = open.map(|(id, _)| *id).collect();
        if open.is_empty() {
            return;
        }
        let id = *self.dice.pick(&open);
        let tick_us = self.plan.settings.tick_ms * 1_000;
        self.coverage.note(coverage::RESET);
        self.act_of_god(format_args!("{id} is reset"));
        self.reset(id, tick_us);
    }

    /// A server loses its power, and gets it back.
    fn crash(&mut self, place: Place) {
        self.coverage.note(coverage::CRASH);
        self.power_cut(place);
        let delay = self.plan.down.draw(&mut self.dice);
        self.boot_in(place, delay);
    }

    /// A server is killed, and started again: what it had written is there.
    fn killed(&mut self, place: Place) {
        if self.machines[place].process.is_some() {
            self.coverage.note(coverage::KILL);
            self.act_of_god(format_args!("the server at {place} is killed"));
            self.joint();
            self.die(place);
        }
        let delay = self.plan.down.draw(&mut self.dice);
        self.boot_in(place, delay);
    }

    /// A server loses its power: what is not synced is lost, but for some of the first.
    pub(super) fn power_cut(&mut self, place: Place) {
        self.act_of_god(format_args!("the machine at {place} loses its power"));
        self.joint();
        let machine = &mut self.machines[place];
        let disk = &mut machine.disk;
        let unsynced = disk.log.len() - disk.synced;
        let keep = self.dice.below(unsynced + 1);
        let waits = machine.process.as_ref().is_some_and(|process| {
            let queue = &process.log.queue;
            queue.iter().any(|item| matches!(item, Item::Append(..)))
        });
        if keep < unsynced && self.dice.percent(50) {
            self.coverage.note(coverage::TORN_TAIL);
        }
        if keep < unsynced || waits {
            self.coverage.note(coverage::LOST_UNSYNCED);
        }
        disk.log.truncate(disk.synced + keep);
        // The hint is written without a sync.
        if self.dice.percent(50) {
            disk.hint = disk.hint.min(disk.persisted());
        }
        disk.hint = disk.hint.min(match disk.log.last() {
            Some((zxid, _)) => *zxid,
            None => disk.base,
        });
        self.die(place);
    }

    /// The process is gone; its links are noticed to be, sooner or later.
    fn die(&mut self, place: Place) {
        let machine = &mut self.machines[place];
        machine.paused_us = machine.paused_us.min(self.now_us);
        if machine.process.take().is_none() {
            return;
        }
        let life = machine.life;
        let links = self.net.links.iter();
        let mine = links.filter(|(_, link)| link.ends.contains(&(place, life)));
        let mine: Vec<LinkId> = mine.map(|(id, _)| *id).collect();
        let tick_us = self.plan.settings.tick_ms * 1_000;
        for id in mine {
            let late_us = if self.dice.percent(70) {
                tick_us / 10
            } else {
                10 * tick_us
            };
            self.reset(id, late_us);
        }
        for other in 0..self.machines.len() {
            if other != place {
                self.unvote(place, other);
                self.net.votes.remove(&(place, other));
                self.net.votes.remove(&(other, place));
            }
        }
        self.admin.disconnected(place);
        self.disconnected(place);
    }

    /// Notes whether a leader is about to change its members.
    fn joint(&mut self) {
        let joint = self.machines.iter().any(|machine| {
            machine.process.as_ref().is_some_and(|process| {
                let view = process.core.zab().view();
                process.core.leads().is_some()
                    && view.is_pending()
                    && !view.committed().same_members(view.last_seen())
            })
        });
        if joint {
            self.coverage.note(coverage::JOINT_CRASH);
        }
    }

    /// Everything is well from now on.
    pub(super) fn heal(&mut self) {
        self.act_of_god(format_args!("all is well again"));
        self.net.blocked.clear();
        for place in 0..self.machines.len() {
            let machine = &mut self.machines[place];
            machine.paused_us = machine.paused_us.min(self.now_us);
            machine.stuck_us = machine.stuck_us.min(self.now_us);
            machine.full_us = machine.full_us.min(self.now_us);
            if machine.process.is_none() {
                self.boot_in(place, 0);
            }
        }
    }
}
