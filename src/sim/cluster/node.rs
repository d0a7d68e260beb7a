//! A node without a tree: it proposes when it leads, applies what is committed, in order, and
//! remembers what it applied. With it the quorum layer is run alone.
//!
//! Owns: what was applied, the records that wait, the requests that were not proposed yet, and who
//! waits for what. Does not know: disks, links, votes.
//!
//! Invariant: a record is applied only when it is committed and durable here, right behind the one
//! before it.

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;
use jute::Encode;
use zk_wire::op::OpCode;
use zk_wire::quorum::body::{Request, encode_touches};
use zk_wire::quorum::packet::{Packet, PacketKind};
use zk_wire::txn::{Txn, TxnBody, TxnHeader, header_of};
use zk_zab::io::{Act, In, Out, Tell};
use zk_zab::rules::{Rule, Rules};
use zk_zab::{LinkId, Now, Zab, Zxid};

use super::disk::Disk;

/// Something that was applied: its zxid, and the hash of its bytes.
pub type Entry = (Zxid, u64);

/// Who asked: a client's session and its number for the request.
pub type Asked = (i64, i32);

/// What runs in a server's process.
pub trait Core: std::fmt::Debug {
    /// Takes one input.
    fn step(&mut self, now: Now, input: In, disk: &Disk, out: &mut Vec<Effect>);
    /// A client connects, with the session that it has.
    fn connect(&mut self, now: Now, conn: u64, session: Session, out: &mut Vec<Effect>);
    /// A client asks for something to be written, or with [`OpCode::Sync`] not.
    fn request(&mut self, now: Now, ask: Ask, out: &mut Vec<Effect>);
    /// A client was heard of.
    fn touch(&mut self, now: Now, session: Session, out: &mut Vec<Effect>);
    /// A whole server accepts a client's connection, from this address.
    fn open(&mut self, _conn: u64, _address: &str) {}
    /// A frame of it arrives, without its length.
    fn frame(&mut self, _now: Now, _conn: u64, _frame: &[u8], _out: &mut Vec<Effect>) {}
    /// Whether it takes another one now.
    fn takes_frames(&self, _conn: u64) -> bool {
        false
    }
    /// It is gone.
    fn hang_up(&mut self, _conn: u64) {}
    /// Applies some of what is committed and durable.
    fn apply(&mut self, now: Now, most: usize, disk: &Disk, out: &mut Vec<Effect>);
    /// The store is durable up to here.
    fn persisted(&mut self, now: Now, zxid: Zxid, out: &mut Vec<Effect>);
    /// Whether something can be applied.
    fn is_ready(&self) -> bool;
    /// Whether clients are served.
    fn is_serving(&self) -> bool;
    /// The epoch in which it leads.
    fn leads(&self) -> Option<u32>;
    /// What was applied.
    fn applied(&self) -> &[Entry];
    /// When it must be stepped, monotonic milliseconds.
    fn deadline_ms(&self) -> i64;
    /// The quorum layer.
    fn zab(&self) -> &Zab;

    /// Whether clients may only read, for there is no leader.
    fn only_reads(&self) -> bool {
        false
    }

    /// The last zxid that clients may be told.
    fn served(&self) -> Zxid {
        self.end()
    }

    /// How far the tree is.
    fn end(&self) -> Zxid {
        self.applied().last().map_or(Zxid::ZERO, |entry| entry.0)
    }
}

/// A client's session: none yet is 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Session {
    /// Its id.
    pub id: i64,
    /// Its timeout, milliseconds.
    pub timeout_ms: i32,
}

/// What a client asks.
#[derive(Clone, Debug)]
pub struct Ask {
    /// Over which connection.
    pub conn: u64,
    /// In which session.
    pub session: i64,
    /// Its number.
    pub cxid: i32,
    /// What.
    pub op: OpCode,
    /// The frame behind the header.
    pub body: Bytes,
}

/// What a step wants done or known.
#[derive(Debug)]
pub enum Effect {
    /// By the driver.
    Act(Act),
    /// The leader's node proposes.
    Proposed(Zxid, Bytes),
    /// A record was applied, as the so manieth of all.
    Applied {
        /// Its place.
        at: usize,
        /// What.
        entry: Entry,
        /// Whose request it was.
        asked: Asked,
    },
    /// A request of a client is answered: its connection, its number, at which zxid, and with
    /// which error.
    Answered(u64, i32, Zxid, i32),
    /// A client has its session, with this timeout in milliseconds, or will have none.
    Connected(u64, Option<(i64, i32)>),
    /// A session is at another connection of this server from now on, or at none at all.
    Detached(i64, Option<u64>),
    /// A connection sends whole frames, and whether it ends behind them.
    Sent(u64, Vec<u8>, bool),
    /// Every connection was sent what it must be told of what is applied.
    Told,
    /// The tree's digest at a zxid.
    Digest(Zxid, u64),
    /// It leads.
    Lead(u32),
    /// It serves clients.
    Serving,
    /// It lets clients read.
    Reading,
    /// It does not serve any more.
    Rest,
    /// The records are not in order.
    Wrong(String),
}

/// Where an answer goes: a connection, and the request's number.
type Back = (u64, i32);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    Resting,
    Leading(u32),
    Learning,
}

/// Who waits for a sync.
#[derive(Clone, Copy, Debug)]
enum Waiter {
    Client(Back),
    Learner(LinkId),
}

/// What waits to be proposed.
#[derive(Debug)]
struct Todo {
    asked: Asked,
    body: Bytes,
}

/// One server's core: the quorum layer and the node above it.
#[derive(Debug)]
pub struct Engine {
    zab: Zab,
    applied: Vec<Entry>,
    role: Role,
    queue: VecDeque<(Zxid, Bytes)>,
    committed: Zxid,
    durable: Zxid,
    issued: Zxid,
    counter_max: u32,
    rules: Rules,
    serve_from: Option<Zxid>,
    serving: bool,
    todo: VecDeque<Todo>,
    /// Clients' syncs at a learner, in the order in which they were forwarded.
    syncs: VecDeque<Back>,
    /// Syncs that are answered once the tree is so far.
    synced: VecDeque<(Back, Zxid)>,
    /// On a leader: syncs that wait for the commit of what was proposed before them.
    waiters: VecDeque<(Waiter, Zxid)>,
    /// Clients' writes that are answered when they are applied.
    mine: BTreeMap<Asked, u64>,
    inputs: VecDeque<In>,
    outs: Vec<Out>,
}

/// FNV-1a of a record.
pub fn hash(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

impl Engine {
    /// A server that has just started, with the tree that its disk gave and all of its log durable.
    pub fn new(zab: Zab, applied: Vec<Entry>, rules: Rules, counter_max: u32) -> Engine {
        let end = zab.history().end();
        let committed = zab.committed();
        Engine {
            zab,
            applied,
            role: Role::Resting,
            queue: VecDeque::new(),
            committed,
            durable: end,
            issued: Zxid::ZERO,
            counter_max,
            rules,
            serve_from: None,
            serving: false,
            todo: VecDeque::new(),
            syncs: VecDeque::new(),
            synced: VecDeque::new(),
            waiters: VecDeque::new(),
            mine: BTreeMap::new(),
            inputs: VecDeque::new(),
            outs: Vec::new(),
        }
    }

    fn wait(&mut self, waiter: Waiter) {
        self.waiters.push_back((waiter, self.issued));
    }

    /// What waited for a commit.
    fn settle(&mut self, out: &mut Vec<Effect>) {
        let first = Zxid::start_of(self.issued.epoch());
        while let Some((_, zxid)) = self.waiters.front()
            && (*zxid <= self.committed || *zxid == first)
            && let Some((waiter, _)) = self.waiters.pop_front()
        {
            match waiter {
                Waiter::Client(asked) => {
                    self.synced.push_back((asked, self.committed));
                    self.arrived(out);
                }
                Waiter::Learner(link) => {
                    let packet = Packet::new(PacketKind::Sync, 0);
                    self.inputs.push_back(In::ToLearner(link, packet));
                }
            }
        }
    }

    fn ask(&mut self, op: OpCode, asked: Asked, body: Bytes) {
        if let Role::Leading(_) = self.role {
            self.todo.push_back(Todo { asked, body });
            return;
        }
        let request = Request {
            session: asked.0,
            cxid: asked.1,
            op: op.to_i32(),
            body,
        };
        let packet = Packet::with(PacketKind::Request, -1, request.encode());
        self.inputs.push_back(In::ToLeader(packet));
    }

    /// What waited for the tree to be so far.
    fn arrived(&mut self, out: &mut Vec<Effect>) {
        let end = self.end();
        if self.serve_from.is_some_and(|from| end >= from) {
            self.serve_from = None;
            self.serving = true;
            out.push(Effect::Serving);
        }
        while self.synced.front().is_some_and(|(_, zxid)| end >= *zxid)
            && let Some((asked, _)) = self.synced.pop_front()
        {
            out.push(Effect::Answered(asked.0, asked.1, end, 0));
        }
    }

    fn work(&mut self, now: Now, store: &[Entry], out: &mut Vec<Effect>) {
        loop {
            if let Some(input) = self.inputs.pop_front() {
                let mut outs = std::mem::take(&mut self.outs);
                self.zab.step(now, input, &mut outs);
                for one in outs.drain(..) {
                    match one {
                        Out::Act(act) => out.push(Effect::Act(act)),
                        Out::Tell(tell) => self.tell(tell, store, out),
                    }
                }
                self.outs = outs;
            } else if let Some(todo) = self.todo.pop_front() {
                self.propose(now, todo, out);
            } else {
                self.settle(out);
                if self.inputs.is_empty() {
                    return;
                }
            }
        }
    }

    fn propose(&mut self, now: Now, todo: Todo, out: &mut Vec<Effect>) {
        let Role::Leading(epoch) = self.role else {
            return;
        };
        let mut zxid = self.issued.next();
        if zxid.counter() > self.counter_max {
            if self.rules.hold(Rule::StepDownAtRollover) {
                let why = "the counter of the epoch is used up".into();
                self.inputs.push_back(In::Resign(why));
                return;
            }
            // The counter runs into the epoch.
            zxid = Zxid::start_of(epoch + 1);
        }
        self.issued = zxid;
        let header = TxnHeader {
            client_id: todo.asked.0,
            cxid: todo.asked.1,
            zxid: zxid.0,
            time: now.wall_ms,
            op: OpCode::SetData.to_i32(),
        };
        let txn = Txn {
            header,
            body: TxnBody::SetData {
                op: OpCode::SetData,
                path: Some("/".into()),
                data: Some(&todo.body),
                version: 0,
            },
            digest: None,
        };
        let payload = Bytes::from(txn.to_vec());
        out.push(Effect::Proposed(zxid, payload.clone()));
        self.queue.push_back((zxid, payload.clone()));
        self.inputs.push_back(In::Propose { zxid, payload });
    }

    fn tell(&mut self, tell: Tell, store: &[Entry], out: &mut Vec<Effect>) {
        match tell {
            Tell::Rest => {
                self.role = Role::Resting;
                self.serving = false;
                self.serve_from = None;
                // What is committed stays.
                let committed = self.committed;
                self.queue.retain(|(zxid, _)| *zxid <= committed);
                self.todo.clear();
                self.syncs.clear();
                self.synced.clear();
                self.waiters.clear();
                self.mine.clear();
                out.push(Effect::Rest);
            }
            Tell::Reloaded { zxid, .. } => {
                self.queue.clear();
                self.applied = store.to_vec();
                self.committed = zxid;
                if self.end() != zxid {
                    let end = self.end();
                    out.push(Effect::Wrong(format!("a tree at {end} is told as {zxid}")));
                }
            }
            Tell::Record(zxid, payload) => {
                let last = self.queue.back().map_or(self.end(), |(zxid, _)| *zxid);
                if !zxid.follows(last) {
                    out.push(Effect::Wrong(format!("{zxid} is given behind {last}")));
                }
                self.queue.push_back((zxid, payload));
            }
            Tell::Committed(zxid) => self.committed = zxid,
            Tell::Lead(epoch) => {
                if !self.queue.is_empty() {
                    out.push(Effect::Wrong("it leads with records to apply".into()));
                }
                self.role = Role::Leading(epoch);
                self.issued = Zxid::start_of(epoch);
                out.push(Effect::Lead(epoch));
                self.serving = true;
                out.push(Effect::Serving);
            }
            Tell::Learn { serve_from, .. } => {
                self.role = Role::Learning;
                self.serve_from = Some(serve_from);
                self.arrived(out);
            }
            Tell::Request(link, packet) => self.forwarded(link, &packet),
            Tell::SyncDone => match self.syncs.pop_front() {
                Some(asked) => {
                    self.synced.push_back((asked, self.committed));
                    self.arrived(out);
                }
                None => out.push(Effect::Wrong("a SYNC that nobody waits for".into())),
            },
            Tell::Ping(packet) => {
                let reply = Packet::with(PacketKind::Ping, packet.zxid, encode_touches(&[]));
                self.inputs.push_back(In::ToLeader(reply));
            }
            Tell::Muted
            | Tell::Revalidate(..)
            | Tell::Revalidated(_)
            | Tell::Touched(..)
            | Tell::LearnerGone(_)
            | Tell::Config(_) => {}
        }
    }

    fn forwarded(&mut self, link: LinkId, packet: &Packet) {
        let data = packet.data.clone().unwrap_or_default();
        let Ok(request) = Request::decode(&data) else {
            return;
        };
        if request.op == OpCode::Sync.to_i32() {
            // What was forwarded before it is proposed first.
            self.wait(Waiter::Learner(link));
            return;
        }
        let asked = (request.session, request.cxid);
        let body = request.body;
        self.todo.push_back(Todo { asked, body });
    }
}

impl Core for Engine {
    fn step(&mut self, now: Now, input: In, disk: &Disk, out: &mut Vec<Effect>) {
        if let In::Durable(zxid) = &input {
            self.durable = *zxid;
        }
        self.inputs.push_back(input);
        self.work(now, &disk.store, out);
    }

    fn connect(&mut self, _now: Now, conn: u64, session: Session, out: &mut Vec<Effect>) {
        // A session is what makes the requests of a connection its own.
        let id = match session.id {
            0 => conn as i64,
            id => id,
        };
        let session = (id, session.timeout_ms);
        out.push(Effect::Connected(conn, Some(session)));
    }

    fn request(&mut self, now: Now, ask: Ask, out: &mut Vec<Effect>) {
        let asked = (ask.session, ask.cxid);
        let back = (ask.conn, ask.cxid);
        if ask.op != OpCode::Sync {
            self.mine.insert(asked, ask.conn);
            self.ask(OpCode::SetData, asked, ask.body);
        } else if let Role::Leading(_) = self.role {
            self.wait(Waiter::Client(back));
        } else {
            self.syncs.push_back(back);
            self.ask(OpCode::Sync, asked, Bytes::new());
        }
        self.work(now, &[], out);
    }

    fn touch(&mut self, _now: Now, _session: Session, _out: &mut Vec<Effect>) {}

    fn apply(&mut self, now: Now, most: usize, _disk: &Disk, out: &mut Vec<Effect>) {
        let mut any = false;
        for _ in 0..most {
            if !self.is_ready() {
                break;
            }
            let Some((zxid, payload)) = self.queue.pop_front() else {
                break;
            };
            if !zxid.follows(self.end()) {
                let end = self.end();
                out.push(Effect::Wrong(format!("{zxid} is applied behind {end}")));
            }
            let entry = (zxid, hash(&payload));
            self.applied.push(entry);
            let asked = header_of(&payload).map_or((0, 0), |h| (h.client_id, h.cxid));
            let at = self.applied.len() - 1;
            out.push(Effect::Applied { at, entry, asked });
            any = true;
            if let Some(conn) = self.mine.remove(&asked) {
                out.push(Effect::Answered(conn, asked.1, zxid, 0));
            }
        }
        if any {
            self.arrived(out);
            self.inputs.push_back(In::Applied(self.end()));
            self.work(now, &[], out);
        }
    }

    fn persisted(&mut self, _now: Now, _zxid: Zxid, _out: &mut Vec<Effect>) {}

    fn is_ready(&self) -> bool {
        self.queue
            .front()
            .is_some_and(|(zxid, _)| *zxid <= self.committed.min(self.durable))
    }

    fn is_serving(&self) -> bool {
        self.serving
    }

    fn leads(&self) -> Option<u32> {
        match self.role {
            Role::Leading(epoch) => Some(epoch),
            Role::Resting | Role::Learning => None,
        }
    }

    fn applied(&self) -> &[Entry] {
        &self.applied
    }

    fn deadline_ms(&self) -> i64 {
        self.zab.deadline_ms()
    }

    fn zab(&self) -> &Zab {
        &self.zab
    }
}
