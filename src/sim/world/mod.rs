//! The world of one run: clients, wires, clocks, disks and the server's process, and what happens
//! next.
//!
//! Each event is one that could happen now, chosen by the dice at the plan's pace. When the plan's
//! events are over everything is left to come to rest: no client asks for more, no fault comes,
//! and the server must answer, tell, apply, store and load whatever is under way.

mod deaths;
mod hand;

use std::collections::BTreeMap;

use zk_core::ConnId;
use zk_core::ids::Now;
use zk_disk::Error;
use zk_disk::model::Fault;

use crate::check::{Judge, Verdict, compare};
use crate::client::{Client, Held, handshake, request};
use crate::coverage::Seen;
use crate::dice::Dice;
use crate::limits::{BURST, OUTSTANDING, REST_ROUNDS};
use crate::plan::Plan;
use crate::server::{Disks, Sent, Server, rebuild};
use crate::show;
use crate::trace::Trace;
use crate::workload::Maker;

pub use hand::Attach;

/// A way from a client to the server; what it carries arrives even when the client has given it
/// up, unless the server hears of that first.
#[derive(Debug, Default)]
struct Wire {
    /// Whose; a client that gave it up no longer listens.
    client: Option<usize>,
    bytes: Vec<u8>,
}

/// See the module.
#[derive(Debug)]
pub struct World {
    plan: Plan,
    dice: Dice,
    /// What happened.
    pub trace: Trace,
    /// The judge.
    pub judge: Judge,
    /// What outlives the server.
    pub disks: Disks,
    /// The process, while there is one.
    pub server: Option<Server>,
    clients: Vec<Client>,
    wires: BTreeMap<ConnId, Wire>,
    /// The clocks.
    pub now: Now,
    next_conn: u64,
    /// A fault of the disk that was set and may not have been met.
    fault: Option<Fault>,
    disk_full: bool,
    store_fails: bool,
}

#[derive(Debug, Clone, Copy)]
enum Event {
    Client,
    Arrive,
    Task,
    Core,
    Log,
    Durable,
    Apply,
    Store,
    Persisted,
    Read,
    Install,
    Background,
    Time,
    Tick,
    Touch,
    Lose,
    Fault,
    Die,
    Purge,
    Start,
}

impl World {
    /// A world in which nothing has happened. Of the trace the last `keep` lines can be read.
    pub fn new(plan: Plan, keep: usize) -> World {
        let mut dice = Dice::new(plan.seed);
        let clients = (0..plan.clients)
            .map(|n| Client::new(format!("10.0.0.{}", n + 1)))
            .collect();
        let config = &plan.config;
        let judge = Judge::new(
            plan.rules.clone(),
            config.tick_ms,
            config.container_never_used_ms,
        );
        let now = Now {
            mono_ms: dice.within(0..=10_000),
            wall_ms: 1_700_000_000_000 + dice.within(0..=1_000_000),
        };
        World {
            plan,
            dice,
            trace: Trace::new(keep),
            judge,
            disks: Disks::default(),
            server: None,
            clients,
            wires: BTreeMap::new(),
            now,
            next_conn: 0,
            fault: None,
            disk_full: false,
            store_fails: false,
        }
    }

    /// Lives through the whole plan.
    ///
    /// # Errors
    /// What is wrong.
    pub fn live(&mut self) -> Verdict {
        for _ in 0..self.plan.events {
            self.event()?;
        }
        self.trace.line(format_args!("-- to rest"));
        self.rest()?;
        // And once more from what the disks hold.
        self.power_cut();
        self.rest()
    }

    fn event(&mut self) -> Verdict {
        let pace = self.plan.pace;
        let on = |condition: bool, weight: u32| if condition { weight } else { 0 };
        let arriving = self.wires.values().any(|wire| !wire.bytes.is_empty());
        let mut choices: Vec<(Event, u32)> = vec![
            (Event::Client, pace.client),
            (Event::Time, pace.time),
            (Event::Lose, pace.lose),
            (Event::Fault, pace.fault),
        ];
        match &self.server {
            // A full disk is not tried for ever.
            None if self.disk_full => choices.push((Event::Start, 20)),
            None => choices.push((Event::Start, 400)),
            Some(server) => choices.extend([
                (Event::Arrive, on(arriving, pace.arrive)),
                (Event::Task, on(!server.woken.is_empty(), pace.task)),
                (Event::Core, on(!server.inbox.is_empty(), pace.core)),
                (
                    Event::Log,
                    on(
                        !server.log.queue.is_empty() && server.log.done.is_none(),
                        pace.log,
                    ),
                ),
                (Event::Durable, on(server.log.done.is_some(), pace.durable)),
                (Event::Apply, on(server.can_apply(), pace.apply)),
                (Event::Store, on(server.store.is_due(self.now), pace.store)),
                (
                    Event::Persisted,
                    on(server.store.flushed.is_some(), pace.store),
                ),
                (Event::Read, on(server.loader.has_needs(), pace.load)),
                (Event::Install, on(server.loader.has_rows(), pace.load)),
                (
                    Event::Background,
                    on(server.loader.is_loading(), pace.background),
                ),
                (Event::Tick, on(true, pace.tick)),
                (Event::Touch, pace.touch),
                (Event::Die, pace.die),
                (Event::Purge, pace.purge),
            ]),
        }
        let weights: Vec<u32> = choices.iter().map(|(_, weight)| *weight).collect();
        let Some(at) = self.dice.weighted(&weights) else {
            return Ok(());
        };
        self.happen(choices[at].0)
    }

    fn happen(&mut self, event: Event) -> Verdict {
        match event {
            Event::Client => {
                let client = self.dice.below(self.clients.len());
                self.client_acts(client);
                Ok(())
            }
            Event::Time => {
                self.time();
                Ok(())
            }
            Event::Lose => {
                let client = self.dice.below(self.clients.len());
                self.lose(client);
                Ok(())
            }
            Event::Fault => {
                self.set_fault();
                Ok(())
            }
            Event::Start => self.start(),
            Event::Arrive => {
                let with_bytes = self.wires.iter().filter(|(_, w)| !w.bytes.is_empty());
                let conns: Vec<ConnId> = with_bytes.map(|(conn, _)| *conn).collect();
                let conn = *self.dice.pick(&conns);
                self.arrive(conn);
                Ok(())
            }
            Event::Task => {
                let Some(server) = &self.server else {
                    return Ok(());
                };
                let woken: Vec<ConnId> = server.woken.iter().copied().collect();
                let conn = *self.dice.pick(&woken);
                self.task(conn)
            }
            Event::Log => self.write_log(),
            Event::Die => self.die(),
            Event::Core
            | Event::Durable
            | Event::Apply
            | Event::Store
            | Event::Persisted
            | Event::Read
            | Event::Install
            | Event::Background
            | Event::Tick
            | Event::Touch
            | Event::Purge => self.in_server(event),
        }
    }

    /// Events of the process that need nothing of the world but its clocks and dice.
    fn in_server(&mut self, event: Event) -> Verdict {
        let World {
            server: Some(server),
            dice,
            judge,
            trace,
            plan,
            disks,
            now,
            ..
        } = self
        else {
            return Ok(());
        };
        let failed = match event {
            Event::Core => {
                let inputs = 1 + dice.below(8);
                return server.core(inputs, *now, judge, trace);
            }
            Event::Durable => {
                server.tell_durable();
                None
            }
            Event::Apply => {
                let budget = if dice.once_in(4) { 1 } else { plan.budget };
                return server.apply(budget, *now, judge, trace);
            }
            Event::Store => server.store.work(*now).err(),
            Event::Persisted => {
                server.tell_persisted();
                None
            }
            Event::Read => {
                return server.loader.read_need(&disks.store, &server.tree, dice);
            }
            Event::Background => {
                return server.loader.read_background(&disks.store, plan.rows);
            }
            Event::Install => {
                server.install(judge, trace)?;
                if server.tree.is_complete() && dice.once_in(4) {
                    let state = judge.state(server.tree.last_zxid().0);
                    return compare(&server.tree, state);
                }
                None
            }
            Event::Tick => return server.tick(*now, judge, trace),
            Event::Touch => {
                server.tell_touches();
                None
            }
            Event::Purge => {
                let persisted = server.node.marks().persisted.0;
                match server.log.purge(persisted, plan.window) {
                    Ok(0) => None,
                    Ok(removed) => {
                        trace.line(format_args!("log: {removed} segments purged"));
                        judge.coverage.note(Seen::Purged);
                        None
                    }
                    Err(error) => Some(error),
                }
            }
            Event::Client
            | Event::Arrive
            | Event::Task
            | Event::Log
            | Event::Time
            | Event::Lose
            | Event::Fault
            | Event::Die
            | Event::Start => None,
        };
        match failed {
            Some(error) => self.disk_failed(&error),
            None => Ok(()),
        }
    }

    // Clients and wires.

    /// Opens a connection for a client, whose first bytes these are.
    pub fn open(&mut self, client: usize, first: &[u8]) -> Option<ConnId> {
        let server = self.server.as_mut()?;
        self.next_conn += 1;
        let conn = ConnId(self.next_conn);
        let address = self.clients[client].address.clone();
        self.trace
            .line(format_args!("conn {} opened by client {client}", conn.0));
        server.accept(conn, &address, &mut self.judge);
        self.clients[client].connecting(conn);
        let wire = Wire {
            client: Some(client),
            bytes: first.to_vec(),
        };
        self.wires.insert(conn, wire);
        Some(conn)
    }

    fn client_acts(&mut self, at: usize) {
        if self.server.is_none() {
            return;
        }
        match self.clients[at].conn {
            None => self.connect(at),
            Some(_) if self.dice.once_in(60) => {
                // It comes back before the server knows that it was gone.
                self.give_up(at);
                self.connect(at);
            }
            Some(_) => self.ask(at),
        }
    }

    fn connect(&mut self, at: usize) {
        let client = &self.clients[at];
        let timeout = self.dice.within(0..=25) * self.plan.config.tick_ms;
        let mut session = client.session.filter(|_| !self.dice.once_in(10));
        let mut last = if self.dice.once_in(8) {
            0
        } else {
            client.last_zxid
        };
        if let Some(held) = &mut session
            && self.dice.once_in(12)
        {
            held.password[self.dice.below(16)] ^= 1;
            self.judge.coverage.note(Seen::WrongPassword);
        } else if self.dice.once_in(200) {
            // Of a session that never was.
            let id = 0x0100_0000_0000_0000 + self.dice.within(1..=1_000);
            let password = zk_wire::password::derive(id);
            session = Some(Held { id, password });
        }
        if self.dice.once_in(40) {
            last += 1_000;
            self.judge.coverage.note(Seen::AheadClient);
        }
        let read_only = [None, Some(false), Some(true)];
        let read_only = *self.dice.pick(&read_only);
        let first = handshake(session, timeout as i32, last, read_only);
        self.open(at, &first);
        // Some do not wait for the answer.
        if session.is_none() && self.dice.once_in(4) {
            self.ask(at);
        }
    }

    fn ask(&mut self, at: usize) {
        let Some(conn) = self.clients[at].conn else {
            return;
        };
        let open = self.clients[at].open;
        let mut requests = Vec::new();
        if open && self.clients[at].xid < 40 && self.dice.once_in(8) {
            let mut maker = self.maker(at);
            requests = maker.opening();
        }
        let burst = 1 + self.dice.below(BURST);
        for _ in 0..burst {
            let made = self.maker(at).request();
            requests.push(made);
        }
        if open && self.dice.once_in(80) {
            requests.push((zk_wire::OpCode::CloseSession.to_i32(), Vec::new()));
        }
        let client = &mut self.clients[at];
        for (op, body) in requests {
            if client.outstanding >= OUTSTANDING {
                return;
            }
            client.outstanding += 1;
            let xid = client.next_xid();
            if let Some(wire) = self.wires.get_mut(&conn) {
                self.trace.line(format_args!(
                    "client {at} > conn {} #{xid} {}",
                    conn.0,
                    match zk_wire::OpCode::from_i32(op) {
                        Some(op) => show::request(op, &body),
                        None => format!("operation {op}"),
                    }
                ));
                wire.bytes.extend(request(xid, op, &body));
            }
        }
        if self.dice.percent(self.plan.malformed) && self.dice.once_in(60) {
            let lengths = [0, -1, 3, 1_048_576, i32::MIN];
            let length = *self.dice.pick(&lengths);
            self.send_raw(conn, &length.to_be_bytes());
        }
    }

    fn send_raw(&mut self, conn: ConnId, bytes: &[u8]) {
        if let Some(wire) = self.wires.get_mut(&conn) {
            self.trace
                .line(format_args!("> conn {} raw {bytes:?}", conn.0));
            wire.bytes.extend_from_slice(bytes);
        }
    }

    fn maker(&mut self, at: usize) -> Maker<'_> {
        Maker {
            dice: &mut self.dice,
            plan: &self.plan,
            client: &self.clients[at],
        }
    }

    fn arrive(&mut self, conn: ConnId) {
        let (Some(wire), Some(server)) = (self.wires.get_mut(&conn), &mut self.server) else {
            return;
        };
        let all = wire.bytes.len();
        let count = match self.dice.below(4) {
            0 => 1 + self.dice.below(all),
            _ => all,
        };
        let bytes: Vec<u8> = wire.bytes.drain(..count).collect();
        server.arrive(conn, &bytes);
    }

    /// Runs a connection's task, and gives the client what is sent.
    pub fn task(&mut self, conn: ConnId) -> Verdict {
        let frames = self.plan.frames;
        let Some(server) = &mut self.server else {
            return Ok(());
        };
        let sent = server.task(conn, frames, self.now, &mut self.judge, &mut self.trace)?;
        let client = self.wires.get(&conn).and_then(|wire| wire.client);
        let client = client.map(|at| &mut self.clients[at]);
        match sent {
            None => {}
            Some(Sent::Bytes(bytes)) => {
                if let Some(client) = client {
                    client.receive(&bytes);
                }
            }
            Some(Sent::Closed(bytes)) => {
                if let Some(client) = client {
                    client.receive(&bytes);
                    client.lost();
                }
                self.wires.remove(&conn);
            }
        }
        Ok(())
    }

    /// The client loses its connection, and the server hears of it.
    fn lose(&mut self, at: usize) {
        let Some(conn) = self.clients[at].conn else {
            return;
        };
        self.clients[at].lost();
        self.wires.remove(&conn);
        if let Some(server) = &mut self.server {
            self.trace
                .line(format_args!("conn {} closed by client {at}", conn.0));
            server.hang_up(conn, &mut self.judge);
        }
    }

    /// The client gives its connection up, and nobody hears of it.
    fn give_up(&mut self, at: usize) {
        if let Some(conn) = self.clients[at].conn {
            self.trace
                .line(format_args!("conn {} given up by client {at}", conn.0));
            if let Some(wire) = self.wires.get_mut(&conn) {
                wire.client = None;
            }
            self.clients[at].lost();
        }
    }

    // Clocks and faults.

    fn time(&mut self) {
        let tick = self.plan.config.tick_ms;
        let more = match self.dice.below(40) {
            0 => self.dice.within(0..=30) * tick,
            1..=4 => self.dice.within(0..=2 * tick),
            _ => self.dice.within(0..=tick / 8 + 1),
        };
        self.now.mono_ms += more;
        self.now.wall_ms += more;
        if self.dice.once_in(20) {
            let jump = self.dice.within(-100 * tick..=100 * tick);
            if jump < 0 {
                self.judge.coverage.note(Seen::ClockBack);
            }
            self.trace.line(format_args!("wall clock jumps by {jump}"));
            self.now.wall_ms += jump;
        }
        // The core sleeps until its deadline at the latest.
        if let Some(server) = &self.server
            && self.now.mono_ms >= server.node.deadline_ms()
            && self.dice.once_in(2)
        {
            self.trace.line(format_args!("deadline"));
        }
    }

    fn set_fault(&mut self) {
        match self.dice.below(8) {
            0 | 1 if !self.disk_full => {
                self.trace.line(format_args!("disk: full"));
                let room = self.dice.below(3_000) as u64;
                self.disks.files.set_capacity(Some(room));
                self.disk_full = true;
            }
            0..=2 => {
                self.trace.line(format_args!("disk: room again"));
                self.disks.files.set_capacity(None);
                self.disk_full = false;
            }
            3..=5 => {
                let after = self.dice.below(600);
                let faults = [
                    Fault::Sync,
                    Fault::Sync,
                    Fault::SyncDir,
                    Fault::Write { after },
                ];
                let fault = *self.dice.pick(&faults);
                self.trace.line(format_args!("disk: {fault:?} will fail"));
                self.disks.files.fail_next(fault);
                self.fault = Some(fault);
            }
            _ => {
                self.store_fails = !self.store_fails;
                self.trace
                    .line(format_args!("store: fails {}", self.store_fails));
                self.disks.store.fail_writes(self.store_fails);
                self.disks.store.fail_flushes(self.store_fails);
            }
        }
    }

    fn lift_faults(&mut self) {
        self.disks.files.set_capacity(None);
        self.disks.store.fail_writes(false);
        self.disks.store.fail_flushes(false);
        self.disk_full = false;
        self.store_fails = false;
    }

    /// A disk or the store has failed the server: it says nothing more and ends.
    fn disk_failed(&mut self, error: &Error) -> Verdict {
        self.trace.line(format_args!("server: ends: {error}"));
        let seen = match (error, self.fault) {
            (Error::Store { .. }, _) if self.store_fails => Seen::StoreFailed,
            (error, _) if error.is_disk_full() && self.disk_full => Seen::DiskFull,
            (Error::Io { .. }, Some(Fault::Sync)) => Seen::FailedSync,
            (Error::Io { .. }, Some(Fault::SyncDir)) => Seen::FailedDirSync,
            (Error::Io { .. }, Some(Fault::Write { .. })) => Seen::FailedWrite,
            _ => return Err(format!("the server ends without a fault: {error}")),
        };
        self.judge.coverage.note(seen);
        self.kill();
        Ok(())
    }

    // Rest.

    /// Everything comes to rest, with what is under way done and nothing new begun. Then all
    /// that is known must agree.
    ///
    /// # Errors
    /// It does not, or something is wrong.
    pub fn rest(&mut self) -> Verdict {
        self.lift_faults();
        for _ in 0..REST_ROUNDS {
            if self.server.is_none() {
                self.start()?;
                continue;
            }
            if !self.round()? {
                return self.at_rest();
            }
        }
        Err(format!(
            "the server does not come to rest: {:?}",
            self.server
                .as_ref()
                .map(|s| (&s.woken, &s.inbox, s.node.outstanding(), s.stalled))
        ))
    }

    /// Does one thing that is under way; false when there is none.
    fn round(&mut self) -> Result<bool, String> {
        let Some(server) = &self.server else {
            return Ok(true);
        };
        let arriving = self.wires.iter().find(|(_, w)| !w.bytes.is_empty());
        if let Some((conn, _)) = arriving {
            let conn = *conn;
            self.arrive(conn);
            return Ok(true);
        }
        if let Some(conn) = server.woken.first() {
            let conn = *conn;
            self.task(conn)?;
            return Ok(true);
        }
        let due = [
            (Event::Core, !server.inbox.is_empty()),
            (
                Event::Log,
                !server.log.queue.is_empty() && server.log.done.is_none(),
            ),
            (Event::Durable, server.log.done.is_some()),
            (Event::Apply, server.can_apply()),
            (Event::Read, server.loader.has_needs()),
            (Event::Install, server.loader.has_rows()),
            (Event::Background, server.loader.is_loading()),
            (Event::Store, server.store.is_due(self.now)),
            (Event::Persisted, server.store.flushed.is_some()),
        ];
        let next = due.iter().find(|(_, due)| *due).map(|(event, _)| *event);
        match next {
            Some(event) => {
                self.happen(event)?;
                Ok(true)
            }
            // The store's thread must have its time.
            None if server.store.is_full() => {
                self.pass(20, 20);
                Ok(true)
            }
            None => Ok(false),
        }
    }

    fn at_rest(&mut self) -> Verdict {
        let World {
            server: Some(server),
            judge,
            disks,
            plan,
            ..
        } = self
        else {
            return Ok(());
        };
        if !server.is_at_rest() {
            return Err(format!(
                "the server rests with work to do: {} requests, stalled {}, full {}",
                server.node.outstanding(),
                server.stalled,
                server.store.is_full()
            ));
        }
        judge.at_rest()?;
        compare(&server.tree, judge.state(server.tree.last_zxid().0))?;
        rebuild(disks, &plan.config, judge)
    }
}
