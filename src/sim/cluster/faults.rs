//! What goes wrong, and how everything is well again.

use zk_wire::quorum::notification::PeerState;
use zk_zab::quorum::Verifier;
use zk_zab::{LinkId, Sid};

use super::coverage;
use super::disk::Item;
use super::net::Place;
use super::plan::HOUR_MS;
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
            w.full, w.blackout, w.leader, w.wipe, w.jump,
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
                self.act_of_god(format_args!("the disk of {place} is full for {lasting} us"));
                self.machines[place].full_us = self.now_us + lasting;
            }
            10 => {
                self.coverage.note(coverage::BLACKOUT);
                for place in 0..self.machines.len() {
                    self.crash(place);
                }
            }
            11 => self.against_the_leader(),
            12 => self.wipe(place),
            _ => {
                let most = *self.dice.pick(&[1_000, HOUR_MS / 60, 3 * HOUR_MS]);
                let by_ms = self.dice.within(-most..=most);
                self.coverage.note(coverage::CLOCK_JUMP);
                self.act_of_god(format_args!("the clock of {place} jumps by {by_ms} ms"));
                self.machines[place].wall_ms += by_ms;
            }
        }
        Ok(())
    }

    /// Whether a disk takes nothing more.
    pub(super) fn is_full(&self, place: Place) -> bool {
        self.machines[place].full_us > self.now_us
    }

    /// A write finds the disk full: the server ends there, with a part of the record written.
    pub(super) fn full(&mut self, place: Place, record: &[u8]) {
        self.coverage.note(coverage::FULL_DISK);
        self.act_of_god(format_args!("the server at {place} cannot write, and ends"));
        let part = self.dice.below(record.len().max(1));
        self.machines[place]
            .disk
            .tail
            .extend_from_slice(&record[..part]);
        self.joint();
        self.die(place);
        let delay = self.plan.down.draw(&mut self.dice);
        self.boot_in(place, delay);
    }

    /// A server's disk is replaced by an empty one, if the ensemble can bear it: whoever votes must
    /// not be needed by the others, who have to have a quorum among them all of whom still have what
    /// they held; and what it had promised must bind nobody else: its epoch is the last one, and its
    /// leader is the only one who leads.
    fn wipe(&mut self, place: Place) {
        let machine = &self.machines[place];
        let sid = machine.sid;
        let quorum = Verifier::of(self.judge.config());
        if quorum.voters().contains(&Sid(sid)) {
            let lost: Vec<i64> = self
                .machines
                .iter()
                .filter(|other| other.disk.is_lost || other.sid == sid)
                .map(|other| other.sid)
                .collect();
            let epoch = machine.disk.accepted;
            let is_safe = quorum.has_quorum(|other| !lost.contains(&other.0))
                && machine.disk.current == epoch
                && self.machines.iter().all(|other| {
                    let Some(process) = &other.process else {
                        return other.disk.accepted <= epoch;
                    };
                    let zab = process.core.zab();
                    let status = zab.status();
                    let leads = status.state == PeerState::Leading;
                    zab.epochs().0 <= epoch
                        && (!leads || (status.established && status.epoch == epoch))
                });
            if !is_safe {
                return;
            }
        }
        self.coverage.note(coverage::WIPED);
        self.act_of_god(format_args!(
            "the disk of server {sid} is replaced by an empty one"
        ));
        self.die(place);
        self.machines[place].disk.lose();
        let delay = self.plan.down.draw(&mut self.dice);
        self.boot_in(place, delay);
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
        // Of what is not synced any number of the first bytes is there; the file may have been
        // made longer before, with zeros.
        let unsynced = disk.unsynced();
        let keep = self.dice.below(unsynced.len() + 1);
        let waits = machine.process.as_ref().is_some_and(|process| {
            let queue = &process.log.queue;
            queue.iter().any(|item| matches!(item, Item::Append(..)))
        });
        if keep < unsynced.len() || waits {
            self.coverage.note(coverage::LOST_UNSYNCED);
        }
        disk.log.truncate(disk.synced);
        disk.tail = unsynced;
        disk.tail.truncate(keep);
        if self.dice.percent(50) {
            disk.tail.resize(keep + 64, 0);
        }
        // The hint is written without a sync.
        if self.dice.percent(50) {
            disk.hint = disk.hint.min(disk.persisted());
        }
        disk.hint = disk.hint.min(match disk.log.last() {
            Some((zxid, _)) => *zxid,
            None => disk.base,
        });
        self.die(place);
        // The monotonic clock begins anew with the machine.
        let began_ms = self.dice.within(0..=100_000);
        let machine = &mut self.machines[place];
        machine.offset_ms = began_ms - self.now_us * (1_000 + machine.drift) / 1_000_000;
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
