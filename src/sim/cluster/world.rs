//! An ensemble in its world: which event is next, and what it brings about.
//!
//! Owns: the queue of events by time, the machines, and the clients. Does not know: whether what
//! happens is right; the judge says so.
//!
//! Invariant: nothing but the plan and the dice decides what happens.

use std::collections::BTreeMap;
use std::collections::VecDeque;

use bytes::Bytes;
use zk_wire::quorum::config::QuorumConfig;
use zk_wire::txn::reconfig_text;
use zk_zab::io::{Act, Base, In, Job};
use zk_zab::view::MyRole;
use zk_zab::{LinkId, Now, Sid, Zxid};

use super::admin::Admin;
use super::clients::Client;
use super::coverage::{self, Coverage};
use super::disk::{Archive, Disk, Item, LogThread, Snapshot};
use super::judge::Judge;
use super::net::{Net, Place};
use super::node::{Core, Effect, Entry, hash};
use super::plan::Plan;
use super::users::Users;
use crate::dice::Dice;
use crate::limits::{CLUSTER_EVENTS, LIVELINESS_TICKS};
use crate::trace::Trace;

/// Something that will happen. Those of a machine's life do not if that has ended.
#[derive(Clone, Debug)]
pub(super) enum Event {
    /// The core's time has come.
    Tick(Place, u64, u64),
    /// The log's thread does something.
    Disk(Place, u64),
    /// The core hears of it.
    Said(Place, u64),
    /// The node applies.
    Apply(Place, u64),
    /// The store is written.
    Persist(Place, u64),
    /// The beginning of the log is removed.
    Purge(Place, u64),
    /// A stream goes on.
    Stream(Place, u64, LinkId),
    /// Reading the log goes on.
    Read(Place, u64),
    /// A dial is decided.
    Dial(Place, u64, Sid, i64, bool),
    /// What is first on a link's way to this end arrives.
    Arrive(LinkId, usize),
    /// A link that was reset or lost is noticed at this end.
    Notice(LinkId, usize),
    /// What waits for the election connection is sent.
    Cast(Place, Place),
    /// A vote arrives.
    Vote(Place, Place),
    /// An election connection is tried.
    Connect(Place, Place),
    /// A server hears that it has one, or not.
    Heard(Place, u64, Place, bool),
    /// A client does something.
    Client(usize),
    /// The administrator does something.
    Admin,
    /// The oracle of two says something else.
    Oracle,
    /// Something goes wrong, and something else later.
    Fault,
    /// Something goes wrong.
    Strike,
    /// A machine starts its server.
    Boot(Place),
    /// Directions are alive again.
    Unblock(Vec<(Place, Place)>),
}

/// Reading the log back.
#[derive(Debug)]
pub(super) struct Read {
    pub after: Zxid,
    pub until: Zxid,
}

/// Sending a learner what it lacks.
#[derive(Debug)]
pub(super) struct Stream {
    pub first: Option<Base>,
    pub parts: usize,
    pub tree: Option<(Zxid, Snapshot)>,
    pub after: Zxid,
    pub until: Zxid,
    pub planned: bool,
}

/// A running server.
#[derive(Debug)]
pub(super) struct Process {
    pub core: Box<dyn Core>,
    pub log: LogThread,
    pub disk_planned: bool,
    pub said_planned: bool,
    pub apply_planned: bool,
    pub reads: VecDeque<Read>,
    pub read_planned: bool,
    pub streams: BTreeMap<LinkId, Stream>,
    pub installing: Option<LinkId>,
    pub listening: bool,
    /// Observers may connect.
    pub listening_master: bool,
    pub tick_us: i64,
    pub tick_number: u64,
}

/// One server's machine.
#[derive(Debug)]
pub(super) struct Machine {
    pub sid: i64,
    pub disk: Disk,
    pub process: Option<Process>,
    /// Which life it is.
    pub life: u64,
    pub paused_us: i64,
    pub stuck_us: i64,
    pub full_us: i64,
    /// Where the monotonic clock began, as of the world's own time.
    pub offset_ms: i64,
    /// How much faster it is, parts of a thousand.
    pub drift: i64,
    /// How far the wall clock is ahead of the right time.
    pub wall_ms: i64,
    /// Whether a start is planned.
    pub booting: bool,
}

/// What the clients are doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// They work, and there are faults.
    Faults,
    /// Each writes once more.
    Final,
}

/// See the module.
#[derive(Debug)]
pub struct World {
    pub(super) plan: Plan,
    pub(super) dice: Dice,
    /// What happened.
    pub trace: Trace,
    /// What was met.
    pub coverage: Coverage,
    /// What is right.
    pub judge: Judge,
    pub(super) net: Net,
    pub(super) machines: Vec<Machine>,
    pub(super) clients: Vec<Client>,
    /// Those of whole servers.
    pub(super) users: Users,
    pub(super) admin: Admin,
    /// What the oracle says to the one that it favours.
    pub(super) oracle: bool,
    pub(super) now_us: i64,
    pub(super) phase: Phase,
    events: BTreeMap<(i64, u64), Event>,
    number: u64,
    /// Connections of clients so far.
    pub(super) conns: u64,
    /// Operations of clients.
    pub ops: usize,
    /// Faults.
    pub faults: usize,
    /// What went wrong or was changed from outside, with its time.
    pub script: Vec<String>,
}

impl World {
    /// The world of a plan, of whose trace the last `keep` lines can be read.
    pub fn new(plan: Plan, keep: usize) -> World {
        let mut dice = Dice::new(plan.seed);
        let mut clocks = Dice::new(plan.seed ^ 0x636c_6f63_6b73_0000);
        let mut machines = Vec::new();
        let archive = Archive::default();
        for sid in plan.servers() {
            machines.push(Machine {
                sid,
                disk: Disk::new(plan.config.clone(), archive.clone()),
                process: None,
                life: 0,
                paused_us: 0,
                stuck_us: 0,
                full_us: 0,
                offset_ms: dice.within(0..=1_000_000),
                drift: dice.within(-plan.drift..=plan.drift),
                wall_ms: clocks.within(-plan.apart_ms..=plan.apart_ms),
                booting: false,
            });
        }
        let clients = (0..plan.clients).map(Client::new).collect();
        World {
            judge: Judge::new(plan.config.clone(), plan.oracle),
            oracle: false,
            admin: Admin::new(plan.reconfigs),
            users: Users::new(&plan),
            dice,
            trace: Trace::new(keep),
            coverage: Coverage::default(),
            net: Net::default(),
            machines,
            clients,
            now_us: 0,
            phase: Phase::Faults,
            events: BTreeMap::new(),
            number: 0,
            conns: 1_000_000,
            ops: 0,
            faults: 0,
            script: Vec::new(),
            plan,
        }
    }

    /// Whether this run counts: enough was done, and enough went wrong.
    pub fn counts(&self) -> bool {
        self.ops >= 200 && self.faults >= 3 && self.judge.epochs() >= 2
    }

    /// Lives through the plan.
    ///
    /// # Errors
    /// What was wrong.
    pub fn live(&mut self) -> Result<(), String> {
        let tick_us = self.plan.settings.tick_ms * 1_000;
        if self.plan.real {
            self.coverage.note(coverage::WHOLE);
        }
        if !self.plan.config.groups.is_empty() {
            self.coverage.note(coverage::GROUPS);
        }
        for place in 0..self.machines.len() {
            let delay = self.dice.within(0..=2 * tick_us);
            self.boot_in(place, delay);
        }
        for client in 0..self.clients.len() {
            self.after(tick_us, Event::Client(client));
        }
        if self.plan.reconfigs > 0 {
            self.after(5 * tick_us, Event::Admin);
        }
        if self.plan.apart_ms > 0 {
            self.coverage.note(coverage::CLOCKS_APART);
        }
        if self.plan.oracle.is_some() {
            self.after(5 * tick_us, Event::Oracle);
        }
        let first = 10 * tick_us + self.plan.fault.draw(&mut self.dice);
        self.after(first, Event::Fault);
        // An ensemble that the faults do not let work has an end too.
        let most_us = 3_000 * tick_us;
        while self.now_us < most_us
            && (self.ops < self.plan.ops || self.faults < 3 || self.judge.epochs() < 2)
        {
            self.next()?;
        }
        self.phase = Phase::Final;
        self.heal();
        self.settle("after the faults")?;
        self.line(format_args!("all lose their power"));
        for place in 0..self.machines.len() {
            self.power_cut(place);
            let delay = self.plan.down.draw(&mut self.dice);
            self.boot_in(place, delay);
        }
        for client in &mut self.clients {
            client.last_write();
        }
        self.settle("after all lost their power")
    }

    /// Goes on until everything serves and is equal.
    fn settle(&mut self, when: &str) -> Result<(), String> {
        for client in &mut self.clients {
            client.last_write();
        }
        let tick_us = self.plan.settings.tick_ms * 1_000;
        let end_us = self.now_us + LIVELINESS_TICKS * tick_us;
        let mut look_us = self.now_us;
        while self.now_us < end_us {
            self.next()?;
            if self.now_us >= look_us {
                look_us = self.now_us + tick_us;
                if self.unsettled().is_none() {
                    return self.all_answered();
                }
            }
        }
        let why = self.unsettled().unwrap_or_default();
        let all: Vec<String> = self
            .machines
            .iter()
            .map(|machine| match &machine.process {
                Some(process) => format!("{}: {}", machine.sid, process.core.zab().describe()),
                None => format!("{}: down", machine.sid),
            })
            .collect();
        Err(format!(
            "it does not come to rest {when}: {why}\n  {}",
            all.join("\n  ")
        ))
    }

    /// What is still to come, if anything is.
    fn unsettled(&self) -> Option<String> {
        let mut leaders = 0;
        for machine in &self.machines {
            let Some(process) = &machine.process else {
                return Some(format!("server {} is down", machine.sid));
            };
            if !process.core.is_serving() {
                return Some(format!("server {} does not serve", machine.sid));
            }
            leaders += usize::from(process.core.leads().is_some());
            let held = process.core.zab().view().committed();
            let last = self.judge.config();
            if last.version > 0 && held.version != last.version {
                return Some(format!(
                    "server {} has configuration 0x{:x}, the last is 0x{:x}",
                    machine.sid, held.version, last.version
                ));
            }
            if self.judge.differs(process.core.applied()) {
                return Some(format!(
                    "server {} has {} transactions of {}",
                    machine.sid,
                    process.core.applied().len(),
                    self.judge.path.len()
                ));
            }
        }
        if leaders != 1 {
            return Some(format!("{leaders} servers lead"));
        }
        let is_done = |client: &&Client| client.is_done() && self.users.is_idle(&client.user);
        let waiting = self.clients.iter().filter(|client| !is_done(client));
        match waiting.count() {
            0 => None,
            n => Some(format!("{n} clients wait")),
        }
    }

    /// Adds a line to the trace.
    pub(super) fn line(&mut self, line: std::fmt::Arguments<'_>) {
        let us = self.now_us;
        self.trace
            .line(format_args!("{:5}.{:03} {line}", us / 1_000, us % 1_000));
    }

    /// Adds a line to the trace and to the script.
    pub(super) fn act_of_god(&mut self, line: std::fmt::Arguments<'_>) {
        let us = self.now_us;
        self.script
            .push(format!("{:5}.{:03} {line}", us / 1_000, us % 1_000));
        self.line(line);
    }

    /// Plans an event.
    pub(super) fn after(&mut self, delay_us: i64, event: Event) {
        self.at(self.now_us + delay_us.max(0), event);
    }

    /// Plans an event.
    pub(super) fn at(&mut self, at_us: i64, event: Event) {
        self.number += 1;
        self.events
            .insert((at_us.max(self.now_us), self.number), event);
    }

    /// Lets the next event happen.
    fn next(&mut self) -> Result<(), String> {
        if self.number > CLUSTER_EVENTS {
            return Err("it goes on without an end".into());
        }
        let Some(((at_us, _), event)) = self.events.pop_first() else {
            return Err("nothing is left to happen".into());
        };
        self.now_us = at_us;
        if let Some(place) = self.whose(&event) {
            let paused_us = self.machines[place].paused_us;
            if paused_us > self.now_us {
                self.at(paused_us, event);
                return Ok(());
            }
        }
        match event {
            Event::Tick(place, life, number) => {
                let planned = self.process(place, life);
                if planned.is_some_and(|process| process.tick_number == number) {
                    if let Some(process) = self.process(place, life) {
                        process.tick_us = i64::MAX;
                    }
                    self.input(place, In::Tick)?;
                }
                Ok(())
            }
            Event::Disk(place, life) => self.disk(place, life),
            Event::Said(place, life) => self.said(place, life),
            Event::Apply(place, life) => self.apply(place, life),
            Event::Persist(place, life) => self.persist(place, life),
            Event::Purge(place, life) => self.purge(place, life),
            Event::Stream(place, life, link) => self.stream(place, life, link),
            Event::Read(place, life) => self.read(place, life),
            Event::Dial(place, life, sid, until, master) => {
                self.dial(place, life, sid, until, master)
            }
            Event::Arrive(link, end) => self.arrive(link, end),
            Event::Notice(link, end) => self.notice(link, end),
            Event::Cast(from, to) => {
                self.cast(from, to);
                Ok(())
            }
            Event::Vote(from, to) => self.vote(from, to),
            Event::Connect(from, to) => {
                self.connect(from, to);
                Ok(())
            }
            Event::Heard(place, life, other, up) => {
                if self.process(place, life).is_none() {
                    return Ok(());
                }
                let sid = Sid(self.machines[other].sid);
                let input = if up {
                    In::PeerUp(sid)
                } else {
                    In::PeerDown(sid)
                };
                self.input(place, input)
            }
            Event::Client(client) => self.client(client),
            Event::Admin => self.administer(),
            Event::Oracle => self.consult(),
            Event::Fault => self.fault(),
            Event::Strike => self.strike(),
            Event::Boot(place) => self.boot(place),
            Event::Unblock(directions) => {
                for direction in directions {
                    self.net.blocked.remove(&direction);
                }
                Ok(())
            }
        }
    }

    /// Which machine must run for an event; time stands still in one that is paused.
    fn whose(&self, event: &Event) -> Option<Place> {
        match event {
            Event::Tick(place, ..)
            | Event::Disk(place, _)
            | Event::Said(place, _)
            | Event::Apply(place, _)
            | Event::Persist(place, _)
            | Event::Purge(place, _)
            | Event::Stream(place, ..)
            | Event::Read(place, _)
            | Event::Dial(place, ..)
            | Event::Heard(place, ..)
            | Event::Vote(_, place)
            | Event::Cast(place, _) => Some(*place),
            Event::Arrive(link, end) | Event::Notice(link, end) => {
                self.net.links.get(link).map(|link| link.ends[*end].0)
            }
            Event::Connect(..)
            | Event::Client(_)
            | Event::Admin
            | Event::Oracle
            | Event::Fault
            | Event::Strike
            | Event::Boot(_)
            | Event::Unblock(_) => None,
        }
    }

    /// A machine's server, if it is still in this life.
    pub(super) fn process(&mut self, place: Place, life: u64) -> Option<&mut Process> {
        let machine = &mut self.machines[place];
        machine.process.as_mut().filter(|_| machine.life == life)
    }

    /// A machine's clocks: each goes wrong in its own way.
    pub(super) fn clock(&self, place: Place) -> Now {
        let machine = &self.machines[place];
        Now {
            mono_ms: machine.offset_ms + self.now_us * (1_000 + machine.drift) / 1_000_000,
            wall_ms: 1_700_000_000_000 + self.now_us / 1_000 + machine.wall_ms,
        }
    }

    /// The oracle says something else to the one that it favours.
    fn consult(&mut self) -> Result<(), String> {
        let delay = self.plan.lasting.draw(&mut self.dice);
        self.after(delay, Event::Oracle);
        self.oracle = !self.oracle;
        let says = self.oracle;
        self.line(format_args!("the oracle says {says}"));
        let favoured = self.plan.oracle.and_then(|sid| self.place_of(Sid(sid)));
        match favoured {
            Some(place) => self.input(place, In::Oracle(says)),
            None => Ok(()),
        }
    }

    /// Something happens to a server.
    pub(super) fn input(&mut self, place: Place, input: In) -> Result<(), String> {
        let now = self.clock(place);
        let machine = &mut self.machines[place];
        let Some(process) = &mut machine.process else {
            return Ok(());
        };
        let mut effects = Vec::new();
        process.core.step(now, input, &machine.disk, &mut effects);
        self.carry_out(place, effects)
    }

    /// Does what a server wants done.
    pub(super) fn carry_out(&mut self, place: Place, effects: Vec<Effect>) -> Result<(), String> {
        let sid = self.machines[place].sid;
        for effect in effects {
            match effect {
                Effect::Act(act) => self.act(place, act)?,
                Effect::Proposed(zxid, payload) => {
                    if zxid.counter() == self.plan.counter_max {
                        // The next write asks for a new epoch.
                        self.coverage.note(coverage::ROLLOVER);
                    }
                    self.judge.proposes(zxid, hash(&payload))?;
                    self.proposes(&payload)?;
                }
                Effect::Applied { at, entry, asked } => {
                    self.line(format_args!("{sid} applies {} as {at}", entry.0));
                    let change = self.change_at(at, entry)?;
                    let changes = change.is_some();
                    let disks = disks_of(&self.machines);
                    if self.judge.applies(at, entry, asked, change, &disks)? {
                        self.coverage.note(coverage::ALONE);
                    }
                    if changes {
                        self.changed(entry.0);
                    }
                    if self.plan.real {
                        self.follow()?;
                    }
                }
                Effect::Answered(conn, cxid, zxid, err) if self.admin.is_at(conn) => {
                    self.admin_answered(cxid, zxid, err)?;
                }
                Effect::Answered(conn, cxid, zxid, err) => self.answered(conn, cxid, zxid, err)?,
                Effect::Connected(conn, session) if self.admin.is_at(conn) => {
                    self.admin.connected(session);
                }
                Effect::Connected(conn, session) => self.connected(conn, session)?,
                Effect::Detached(session, now) => {
                    self.admin.detached(place, session, now);
                    self.detached(place, session, now)?;
                }
                Effect::Sent(conn, bytes, closing) => self.sent(conn, &bytes, closing)?,
                Effect::Told => self.all_told(place)?,
                Effect::Digest(zxid, digest) => self.judge.digest(zxid, digest)?,
                Effect::Lead(epoch) => {
                    self.line(format_args!("{sid} leads epoch {epoch}"));
                    let life = self.machines[place].life;
                    if self.phase == Phase::Faults && self.ops > 0 {
                        self.coverage.note(coverage::ELECTION_UNDER_LOAD);
                    }
                    if let Some(process) = &self.machines[place].process {
                        self.judge
                            .leads(epoch, (sid, life), process.core.applied())?;
                        let config = process.core.zab().view().committed().clone();
                        let disks = disks_of(&self.machines);
                        if self.judge.leads_with(epoch, &config, &disks)? {
                            self.changed(Zxid(config.version));
                        }
                    }
                }
                Effect::Serving => {
                    self.line(format_args!("{sid} serves"));
                    let process = self.machines[place].process.as_ref();
                    match process.map(|process| process.core.zab().view().role()) {
                        Some(MyRole::Outside) => self.coverage.note(coverage::OUTSIDER),
                        Some(MyRole::Observer) => self.coverage.note(coverage::OBSERVER),
                        Some(MyRole::Voter) | None => {}
                    }
                }
                Effect::Reading => self.line(format_args!("{sid} lets clients read")),
                Effect::Rest => {
                    self.line(format_args!("{sid} rests"));
                    self.admin.disconnected(place);
                    self.disconnected(place);
                }
                Effect::Wrong(what) => return Err(format!("server {sid}: {what}")),
            }
        }
        self.plan_ahead(place);
        Ok(())
    }

    /// Plans what a server has to do next by itself.
    pub(super) fn plan_ahead(&mut self, place: Place) {
        let life = self.machines[place].life;
        let machine = &self.machines[place];
        let Some(process) = &machine.process else {
            return;
        };
        let deadline_ms = process.core.deadline_ms();
        let (tick_us, rate) = (process.tick_us, 1_000 + machine.drift);
        let offset_ms = machine.offset_ms;
        let disk = !process.disk_planned
            && (!process.log.queue.is_empty() || machine.disk.synced < machine.disk.log.len());
        let said = !process.said_planned && !process.log.said.is_empty();
        let apply = !process.apply_planned && process.core.is_ready();
        let read = !process.read_planned && !process.reads.is_empty();
        if deadline_ms != i64::MAX {
            let local_us = (deadline_ms - offset_ms).max(0) * 1_000_000 / rate + 1_000;
            let at_us = local_us.max(self.now_us + 50);
            if at_us < tick_us
                && let Some(process) = self.process(place, life)
            {
                process.tick_us = at_us;
                process.tick_number += 1;
                let number = process.tick_number;
                self.at(at_us, Event::Tick(place, life, number));
            }
        }
        if disk {
            let delay = self.plan.disk.draw(&mut self.dice);
            self.flag(place, life, |process| process.disk_planned = true);
            self.after(delay, Event::Disk(place, life));
        }
        if said {
            let delay = self.dice.within(1..=100);
            self.flag(place, life, |process| process.said_planned = true);
            self.after(delay, Event::Said(place, life));
        }
        if apply {
            let delay = self.plan.apply.draw(&mut self.dice);
            self.flag(place, life, |process| process.apply_planned = true);
            self.after(delay, Event::Apply(place, life));
        }
        if read {
            let delay = self.plan.read.draw(&mut self.dice);
            self.flag(place, life, |process| process.read_planned = true);
            self.after(delay, Event::Read(place, life));
        }
    }

    fn flag(&mut self, place: Place, life: u64, set: impl FnOnce(&mut Process)) {
        if let Some(process) = self.process(place, life) {
            set(process);
        }
    }

    fn act(&mut self, place: Place, act: Act) -> Result<(), String> {
        let sid = self.machines[place].sid;
        let life = self.machines[place].life;
        match act {
            Act::Cast(to, notification) => self.say_vote(place, to, notification),
            Act::View(_) => Ok(()),
            Act::RestartElection => {
                self.line(format_args!("{sid} restarts its election port"));
                for other in 0..self.machines.len() {
                    if other != place {
                        self.unvote(place, other);
                    }
                }
                Ok(())
            }
            Act::Dial(to, within_ms) => {
                self.line(format_args!("{sid} dials {to} for {within_ms} ms"));
                let delay = self.plan.net.draw(&mut self.dice);
                let until = self.now_us + within_ms * 1_000;
                self.after(delay, Event::Dial(place, life, to, until, false));
                Ok(())
            }
            Act::DialMaster(to, within_ms) => {
                self.line(format_args!(
                    "{sid} dials {to} as a master for {within_ms} ms"
                ));
                let delay = self.plan.net.draw(&mut self.dice);
                let until = self.now_us + within_ms * 1_000;
                self.after(delay, Event::Dial(place, life, to, until, true));
                Ok(())
            }
            Act::ListenMaster(listen) => {
                self.flag(place, life, |process| process.listening_master = listen);
                Ok(())
            }
            Act::Listen(listen) => {
                self.flag(place, life, |process| process.listening = listen);
                Ok(())
            }
            Act::Send(link, packet) => self.send(place, link, packet),
            Act::Broadcast(links, packet) => {
                for link in links.iter() {
                    self.send(place, *link, packet.clone())?;
                }
                Ok(())
            }
            Act::Hangup(link) => {
                self.line(format_args!("{sid} hangs up {link}"));
                self.hang_up(place, link);
                Ok(())
            }
            Act::Append(zxid, payload) => {
                self.archive(zxid, &payload);
                self.queue(place, Item::Append(zxid, payload));
                Ok(())
            }
            Act::Stage(zxid, payload) => {
                self.archive(zxid, &payload);
                self.queue(place, Item::Stage(zxid, payload));
                Ok(())
            }
            Act::Job(id, job) => {
                self.line(format_args!("{sid} wants {}", job_name(&job)));
                if let Job::SaveCommitted(config) = &job {
                    let disks = disks_of(&self.machines);
                    self.judge
                        .activates(config, &disks)
                        .map_err(|what| format!("server {sid}: {what}"))?;
                }
                self.queue(place, Item::Job(id, job));
                Ok(())
            }
            Act::Abandon => {
                self.coverage.note(coverage::SNAP_MID_STREAM);
                self.flag(place, life, |process| process.installing = None);
                self.queue(place, Item::Abandon);
                Ok(())
            }
            Act::Stream(link, plan) => {
                self.line(format_args!("{sid} streams on {link}: {plan:?}"));
                let stream = Stream {
                    first: Some(plan.base),
                    parts: 0,
                    tree: None,
                    after: plan.after,
                    until: plan.until,
                    planned: false,
                };
                self.flag(place, life, |process| {
                    process.streams.insert(link, stream);
                });
                self.stream_on(place, life, link);
                Ok(())
            }
            Act::StreamMore(link, until) => {
                self.flag(place, life, |process| {
                    if let Some(stream) = process.streams.get_mut(&link) {
                        stream.until = until;
                    }
                });
                self.stream_on(place, life, link);
                Ok(())
            }
            Act::ReadSnap(link, _) => {
                self.flag(place, life, |process| process.installing = Some(link));
                Ok(())
            }
            Act::ReadLog { after, until } => {
                self.flag(place, life, |process| {
                    process.reads.push_back(Read { after, until });
                });
                Ok(())
            }
            Act::Log(_, line) => {
                self.line(format_args!("{sid}: {line}"));
                Ok(())
            }
            // All of them keep the protocol.
            Act::Violation(line) => Err(format!("server {sid} meets what cannot be: {line}")),
        }
    }

    /// The configuration that a transaction brings, if it is news to the judge.
    pub(super) fn change_at(
        &self,
        at: usize,
        entry: Entry,
    ) -> Result<Option<QuorumConfig>, String> {
        if self.plan.reconfigs == 0 || at < self.judge.path.len() {
            return Ok(None);
        }
        let payload = self.archived(entry).unwrap_or_default();
        let Some(text) = reconfig_text(&payload) else {
            return Ok(None);
        };
        let text = std::str::from_utf8(text).map_err(|error| error.to_string())?;
        let config = QuorumConfig::parse(text, true);
        let config =
            config.map_err(|error| format!("the configuration of {}: {error}", entry.0))?;
        Ok(Some(config))
    }

    /// A reconfiguration is committed, and was not known to be.
    fn changed(&mut self, zxid: Zxid) {
        self.coverage.note(coverage::RECONFIG);
        let config = self.judge.config();
        let leader = self.judge.leader_of(zxid.epoch());
        let stays = leader.is_some_and(|sid| config.members.get(&sid).is_some_and(|m| m.votes()));
        if config.is_hierarchical() {
            self.coverage.note(coverage::GROUPS);
        }
        if !stays {
            self.coverage.note(coverage::LEADER_LEFT);
        }
        let members: Vec<String> = members_of(self.judge.config());
        self.act_of_god(format_args!(
            "configuration {zxid} is committed: {}",
            members.join(" ")
        ));
    }

    /// A record is somewhere.
    pub(super) fn archive(&self, zxid: Zxid, payload: &Bytes) {
        if let Some(machine) = self.machines.first() {
            let mut archive = machine.disk.archive.borrow_mut();
            let entry = (zxid, hash(payload));
            archive.entry(entry).or_insert_with(|| payload.clone());
        }
    }

    /// The bytes of a transaction.
    pub(super) fn archived(&self, entry: Entry) -> Option<Bytes> {
        let machine = self.machines.first()?;
        machine.disk.archive.borrow().get(&entry).cloned()
    }

    fn queue(&mut self, place: Place, item: Item) {
        if let Some(process) = &mut self.machines[place].process {
            process.log.queue.push_back(item);
        }
    }
}

/// A job in a few words.
pub(super) fn job_name(job: &Job) -> String {
    match job {
        Job::Flush => "flush".into(),
        Job::SaveAccepted(epoch) => format!("accepted {epoch}"),
        Job::SaveCurrent(epoch) => format!("current {epoch}"),
        Job::Cut(zxid) => format!("cut behind {zxid}"),
        Job::Switch { zxid, .. } => format!("switch to the snapshot at {zxid}"),
        Job::SaveLastSeen(config) => format!("last seen 0x{:x}", config.version),
        Job::SaveCommitted(config) => format!("configuration 0x{:x}", config.version),
    }
}

/// Everybody's disk, by id.
pub(super) fn disks_of(machines: &[Machine]) -> BTreeMap<i64, &Disk> {
    let disks = machines.iter();
    disks.map(|machine| (machine.sid, &machine.disk)).collect()
}

/// Who belongs to a configuration, in a few words.
pub(super) fn members_of(config: &QuorumConfig) -> Vec<String> {
    let members = config.members.iter();
    let words = members.map(|(sid, member)| {
        let word = if member.votes() { "" } else { " (observer)" };
        format!("{sid}{word}")
    });
    words.collect()
}
