//! The server's process: what of it lives in memory, and its threads as single events.
//!
//! Owns the gate between the connections' tasks, the core, the log thread, the store's thread and
//! the loader, each of which does one piece of work when it is told to. It takes no decision that
//! the real drivers do not take; when something happens is decided by whoever calls. Everything
//! that goes in or out is shown to the judge.
//!
//! Invariants, the drivers' part of the core's contract: effects are carried out in order; a tick
//! comes behind the touches of before; a socket that goes leaves its touch; whoever waits for a
//! row is woken when rows were installed.

mod boot;
mod load;
mod log;
mod rebuild;
mod store;
mod unsynced;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use zk_core::conn::{Accepted, Progress, ServeMode, View};
use zk_core::ids::Now;
use zk_core::io::{Effect, Input, Submit};
use zk_core::tally::Tally;
use zk_core::tree::Tree;
use zk_core::watch::Watches;
use zk_core::{Config, Conn, ConnId, Node, SessionId};
use zk_wire::client::frame::{Cut, cut};

use crate::check::{Judge, Verdict};
use crate::coverage::Seen;
use crate::post::{Note, Poster};
use crate::show;
use crate::trace::Trace;

pub use boot::{Disks, NoStart};
pub use load::Loader;
pub use log::LogThread;
pub use rebuild::rebuild;
pub use store::StoreThread;

/// One client's socket.
#[derive(Debug)]
pub struct Socket {
    /// The connection.
    pub conn: Conn,
    /// Bytes that arrived and were not taken.
    pub arrived: Vec<u8>,
    /// Who was last heard of, if the core was not told. The session is that of the moment: the
    /// connection may lose it before the core is told.
    heard: Option<Heard>,
    /// It waits for a row.
    loading: bool,
}

impl AsMut<Conn> for Socket {
    fn as_mut(&mut self) -> &mut Conn {
        &mut self.conn
    }
}

fn submitted(submit: &Submit) -> String {
    match submit {
        Submit::Request { origin, op, .. } => {
            format!("{op} #{} of conn {}", origin.cxid, origin.conn.0)
        }
        Submit::Connect { conn, timeout_ms } => {
            format!("a handshake of conn {}, {timeout_ms} ms", conn.0)
        }
        Submit::Reattach {
            conn,
            session,
            timeout_ms,
        } => format!("{session} again by conn {}, {timeout_ms} ms", conn.0),
    }
}

/// A sign of life.
#[derive(Debug, Clone, Copy)]
struct Heard {
    session: SessionId,
    at_ms: i64,
    timeout_ms: i32,
}

impl From<Heard> for Input {
    fn from(heard: Heard) -> Input {
        Input::Touched {
            session: heard.session,
            at_ms: heard.at_ms,
            timeout_ms: heard.timeout_ms,
        }
    }
}

/// What an event of a connection did to it.
#[derive(Debug, PartialEq, Eq)]
pub enum Sent {
    /// These bytes go to the client.
    Bytes(Vec<u8>),
    /// These bytes go to the client, and the socket is closed.
    Closed(Vec<u8>),
}

/// The process. See the module.
#[derive(Debug)]
pub struct Server {
    config: Arc<Config>,
    /// The core.
    pub node: Node,
    /// The tree.
    pub tree: Tree,
    watches: Watches,
    /// The sockets.
    pub sockets: BTreeMap<ConnId, Socket>,
    attached: BTreeMap<SessionId, ConnId>,
    /// What the core has not taken.
    pub inbox: VecDeque<Input>,
    /// The log thread.
    pub log: LogThread,
    /// The store's thread.
    pub store: StoreThread,
    /// The loader.
    pub loader: Loader,
    /// Connections whose task has been woken.
    pub woken: BTreeSet<ConnId>,
    /// Apply stopped at a row that is not resident.
    pub stalled: bool,
}

impl Server {
    /// Accepts a connection.
    pub fn accept(&mut self, id: ConnId, address: &str, judge: &mut Judge) {
        judge.opened(id, address);
        let socket = Socket {
            conn: Conn::new(id, address),
            arrived: Vec::new(),
            heard: None,
            loading: false,
        };
        self.sockets.insert(id, socket);
    }

    /// Bytes of a client arrive.
    pub fn arrive(&mut self, id: ConnId, bytes: &[u8]) {
        if let Some(socket) = self.sockets.get_mut(&id) {
            socket.arrived.extend_from_slice(bytes);
            self.woken.insert(id);
        }
    }

    /// The task of one connection: takes frames and runs what can be run, under the shared gate,
    /// then sends.
    pub fn task(
        &mut self,
        id: ConnId,
        frames: usize,
        now: Now,
        judge: &mut Judge,
        trace: &mut Trace,
    ) -> Result<Option<Sent>, String> {
        let Some(socket) = self.sockets.get_mut(&id) else {
            return Ok(None);
        };
        self.woken.remove(&id);
        let conn = &mut socket.conn;
        let mut view = View {
            tree: &self.tree,
            config: &self.config,
            serve: ServeMode::Full,
            watches: &mut self.watches,
            tally: &mut Tally::default(),
        };
        let mut at = 0;
        let mut taken = 0;
        let mut dead = false;
        loop {
            if conn.is_runnable() && !socket.loading {
                match conn.run(&mut view) {
                    Progress::Done => {}
                    Progress::Missing(need) => {
                        judge.coverage.note(Seen::MissedRead);
                        trace.line(format_args!("conn {} misses {need:?}", id.0));
                        socket.loading = true;
                        self.loader.want(need);
                    }
                }
            }
            if !conn.takes_frames() {
                break;
            }
            if taken == frames {
                // The rest has its turn later.
                self.woken.insert(id);
                break;
            }
            let rest = &socket.arrived[at..];
            match cut(rest, self.config.max_frame) {
                Cut::Frame(range) if !range.is_empty() => {
                    taken += 1;
                    at += range.end;
                    if let Some(session) = conn.session() {
                        socket.heard = Some(Heard {
                            session,
                            at_ms: now.mono_ms,
                            timeout_ms: conn.timeout_ms(),
                        });
                    }
                    judge.frame(id, &rest[range.clone()], now)?;
                    match conn.on_frame(&rest[range], &mut view) {
                        Accepted::Here => {}
                        Accepted::Submit(submit) => self.inbox.push_back(Input::Submit(submit)),
                        Accepted::Close => {
                            dead = true;
                            break;
                        }
                    }
                }
                Cut::Incomplete(_) => break,
                Cut::Frame(_) | Cut::Bad(_) => {
                    judge.bad_frame(id);
                    conn.close();
                    dead = true;
                    break;
                }
            }
        }
        socket.arrived.drain(..at);
        let bytes = conn.take_out();
        trace.mix(&bytes);
        let closing = conn.is_closing();
        judge.output(id, &bytes, closing, &mut |line| trace.line(line))?;
        if closing || dead {
            trace.line(format_args!("conn {} closed by the server", id.0));
            self.hang_up(id, judge);
            return Ok(Some(Sent::Closed(bytes)));
        }
        Ok((!bytes.is_empty()).then_some(Sent::Bytes(bytes)))
    }

    /// The socket is gone.
    pub fn hang_up(&mut self, id: ConnId, judge: &mut Judge) {
        self.watches.unregister(id);
        let gone = self.sockets.remove(&id);
        self.inbox
            .extend(gone.and_then(|socket| socket.heard).map(Input::from));
        self.attached.retain(|_, conn| *conn != id);
        self.woken.remove(&id);
        judge.closed(id);
    }

    fn touches(&mut self) -> Vec<Input> {
        let sockets = self.sockets.values_mut();
        sockets
            .filter_map(|socket| socket.heard.take())
            .map(Input::from)
            .collect()
    }

    /// The core is told of touches before it must be.
    pub fn tell_touches(&mut self) {
        let touches = self.touches();
        self.inbox.extend(touches);
    }

    /// The core takes up so many inputs at most.
    pub fn core(
        &mut self,
        inputs: usize,
        now: Now,
        judge: &mut Judge,
        trace: &mut Trace,
    ) -> Verdict {
        for _ in 0..inputs {
            let Some(input) = self.inbox.pop_front() else {
                break;
            };
            self.step(input, now, judge, trace)?;
        }
        Ok(())
    }

    /// A tick, behind every touch of before.
    pub fn tick(&mut self, now: Now, judge: &mut Judge, trace: &mut Trace) -> Verdict {
        for touch in self.touches() {
            self.step(touch, now, judge, trace)?;
        }
        // Touches of sockets that are gone are on their way; they were before the tick.
        let (told, rest) = std::mem::take(&mut self.inbox)
            .into_iter()
            .partition(|input| matches!(input, Input::Touched { .. }));
        self.inbox = rest;
        let told: VecDeque<Input> = told;
        for touch in told {
            self.step(touch, now, judge, trace)?;
        }
        self.step(Input::Tick, now, judge, trace)
    }

    fn step(&mut self, input: Input, now: Now, judge: &mut Judge, trace: &mut Trace) -> Verdict {
        match &input {
            Input::Submit(submit) => {
                trace.line(format_args!("core: takes {}", submitted(submit)));
                judge.submit(submit)?;
            }
            Input::Tick => {
                trace.line(format_args!("core: tick at {}", now.mono_ms));
                judge.tick(now)?;
            }
            Input::Durable(zxid) => {
                trace.line(format_args!("core: durable {zxid}"));
                judge.durable(*zxid)?;
            }
            Input::Persisted(zxid) => trace.line(format_args!("core: persisted {zxid}")),
            Input::Touched {
                session,
                at_ms,
                timeout_ms,
            } => {
                trace.line(format_args!(
                    "core: {session} heard of at {at_ms}, {timeout_ms} ms"
                ));
                judge.touched(*session, *at_ms, *timeout_ms);
            }
            Input::Loaded => {}
        }
        let mut effects = Vec::new();
        self.node.step(&self.tree, now, input, &mut effects);
        self.carry_out(effects, now, judge, trace)
    }

    pub(self) fn carry_out(
        &mut self,
        effects: Vec<Effect>,
        now: Now,
        judge: &mut Judge,
        trace: &mut Trace,
    ) -> Verdict {
        for effect in effects {
            match effect {
                Effect::Append { zxid, payload } => {
                    trace.line(format_args!("core: append {zxid} {}", show::txn(&payload)));
                    trace.mix(&payload);
                    judge.append(zxid, &payload, now)?;
                    self.log.queue.push_back((zxid, payload));
                }
                Effect::Load(need) => {
                    trace.line(format_args!("core: misses {need:?}"));
                    judge.coverage.note(Seen::MissedWrite);
                    self.loader.want(need);
                }
                Effect::Forward { .. }
                | Effect::Revalidate { .. }
                | Effect::SyncReply { .. }
                | Effect::Resign => return Err(format!("{effect:?} of a standalone server")),
            }
        }
        judge.stepped(self.node.is_stalled(), now)
    }

    /// Whether a hold of apply has something to do.
    pub fn can_apply(&self) -> bool {
        self.node.can_apply() && !self.stalled && !self.store.is_full()
    }

    /// One hold of apply, with the tree to itself; what changed goes to the store's thread.
    pub fn apply(
        &mut self,
        budget: usize,
        now: Now,
        judge: &mut Judge,
        trace: &mut Trace,
    ) -> Verdict {
        let mut poster = Poster::new(&self.config, &mut self.sockets, &mut self.attached);
        let applied = self
            .node
            .apply(&mut self.tree, &mut self.watches, &mut poster, budget);
        let (notes, woken) = poster.finish();
        self.woken.extend(woken);
        let zxid = self.tree.last_zxid();
        trace.line(format_args!(
            "core: applied {} up to {zxid}{}",
            applied.entries,
            if applied.more { ", more" } else { "" }
        ));
        judge.applied(zxid, self.node.marks())?;
        for note in notes {
            match note {
                Note::Done(..) => judge.answered(),
                Note::Connected(conn, grant) => judge.connected(conn, grant)?,
                Note::Detached(session, now) => judge.detached(session, now),
                Note::Applied(_) => {}
            }
        }
        if let Some((zxid, what)) = applied.mismatches.first() {
            return Err(format!("{zxid}: {what}"));
        }
        if applied.more {
            judge.coverage.note(Seen::BudgetEnded);
        }
        if let Some(need) = applied.missing {
            trace.line(format_args!("core: apply misses {need:?}"));
            judge.coverage.note(Seen::MissedApply);
            self.stalled = true;
            self.loader.want(need);
            for need in applied.also {
                self.loader.want(need);
            }
        }
        self.store.take(&mut self.tree, judge, now);
        Ok(())
    }

    /// The core is told that the log is durable.
    pub fn tell_durable(&mut self) {
        if let Some(zxid) = self.log.done.take() {
            self.inbox.push_back(Input::Durable(zxid));
        }
    }

    /// The core is told that the store is durable.
    pub fn tell_persisted(&mut self) {
        if let Some(zxid) = self.store.flushed.take() {
            self.inbox.push_back(Input::Persisted(zxid));
        }
    }

    /// Rows that were read are installed, with the tree to itself; whoever waits is woken.
    pub fn install(&mut self, judge: &mut Judge, trace: &mut Trace) -> Verdict {
        if self.loader.install(&mut self.tree)? {
            judge.coverage.note(Seen::Completed);
            trace.line(format_args!("loader: the tree is complete"));
        }
        for (id, socket) in &mut self.sockets {
            if std::mem::take(&mut socket.loading) {
                self.woken.insert(*id);
            }
        }
        self.stalled = false;
        self.inbox.push_back(Input::Loaded);
        Ok(())
    }

    /// Nothing more is taken from clients.
    pub fn close_doors(&mut self) {
        for socket in self.sockets.values_mut() {
            socket.arrived.clear();
        }
    }

    /// Whether everything that was proposed is applied and told to the log.
    pub fn is_finished(&self) -> bool {
        self.inbox.is_empty() && self.log.is_idle() && self.node.outstanding() == 0
    }

    /// Whether nothing is under way but what only time, a client or the store can bring.
    pub fn is_at_rest(&self) -> bool {
        self.woken.is_empty()
            && self.inbox.is_empty()
            && self.log.is_idle()
            && !self.node.can_apply()
            && self.node.outstanding() == 0
            && self.loader.is_idle()
    }
}
