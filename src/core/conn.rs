//! One client connection without its socket: the handshake, the order of replies, identities, and
//! the reads.
//!
//! A request takes a slot; replies leave in the order of the slots. A read behind a write of its
//! own connection waits for it, and runs before the next write of that connection changes the
//! tree: whoever comes first runs it, the socket's task or the one that applies. Everything that
//! goes out is appended to one buffer, under the tree's lock, so that order holds by construction.
//!
//! It does not know sockets, time or other connections.
//!
//! Invariants: the slots between two waiting writes are reads or finished replies; only a
//! request that had to wait takes a slot.

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use bytes::Bytes;
use jute::{Decode, Encode, Reader};
use zk_wire::client::{
    AuthPacket, ConnectRequest, ConnectResponse, ReplyHeader, RequestHeader, SaslRequest,
    SaslResponse, xid,
};
use zk_wire::{Code, OpCode, password};

use crate::acl::Ids;
use crate::auth::{self, Outcome};
use crate::config::Config;
use crate::ids::{ConnId, SessionId, Zxid};
use crate::io::{Grant, Origin, Reply, Submit};
use crate::limits::{CONN_OUT_BYTES, CONN_SLOTS};
use crate::op::{self, Read, Stop, WatchAccess};
use crate::tally::Tally;
use crate::tree::{Need, Tree};
use crate::watch::Event;

/// Where a connection is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// Nothing but a handshake is accepted.
    New,
    /// The handshake waits for its answer; later frames must wait too.
    Connecting,
    /// Requests are taken.
    Open(SessionId),
    /// What is in the buffer is sent, then the socket is closed. No request is taken.
    Closing,
}

/// A request that had to wait.
#[derive(Debug)]
enum Slot {
    /// A read, or a request that is answered like one.
    Read {
        xid: i32,
        op: OpCode,
        body: Bytes,
        ids: Ids,
    },
    /// Waits for [`Conn::done`].
    Write { xid: i32 },
    /// Finished, but something in front is not: whole frames.
    Ready { frames: Vec<u8>, close: bool },
}

/// What became of a frame.
#[derive(Debug)]
pub enum Accepted {
    /// Answered, or waiting in a slot.
    Here,
    /// Goes to the only writer.
    Submit(Submit),
    /// The connection ends without (further) bytes.
    Close,
}

/// What [`Conn::run`] came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Progress {
    /// Nothing is left that could run.
    Done,
    /// The read in front misses a row.
    Missing(Need),
}

/// Whom a server serves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ServeMode {
    /// Everybody.
    #[default]
    Full,
    /// Clients that are content with reading, from a server that finds no leader. Only local
    /// sessions can be had.
    ReadOnly,
    /// Nobody: it is between two roles, or a leader that shall have no clients.
    Closed,
}

/// What a connection's reads and handshake see.
pub struct View<'a> {
    /// The tree.
    pub tree: &'a Tree,
    /// Settings.
    pub config: &'a Config,
    /// Whom the server serves now.
    pub serve: ServeMode,
    /// Watches.
    pub watches: &'a mut dyn WatchAccess,
    /// What happens is counted here.
    pub tally: &'a mut Tally,
}

/// Counters of one connection, for `cons` and the metrics.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Frames received.
    pub received: u64,
    /// Replies and events sent.
    pub sent: u64,
    /// The last request's opcode; none before any, and of a write that failed.
    pub last_op: Option<OpCode>,
    /// The xid of the last request that has an ordinary one; -1 before any.
    pub last_xid: i32,
    /// The last reply's zxid; -1 before any since [`Conn::reset_stats`].
    pub last_zxid: i64,
}

/// One connection. See the module.
#[derive(Debug)]
pub struct Conn {
    id: ConnId,
    /// One of them is that of the address.
    ids: Ids,
    stage: Stage,
    timeout_ms: i32,
    /// Whether the handshake had the read-only byte: the answer mirrors it.
    read_only_byte: bool,
    /// Whether the server was read-only at the handshake: the answer says so.
    read_only: bool,
    slots: VecDeque<Slot>,
    writes: u32,
    /// Whether the watches know this connection, because it may have armed one.
    registered: bool,
    /// Authentication failed: no further request is taken, though earlier ones are answered.
    refused: bool,
    out: Vec<u8>,
    stats: Stats,
}

impl Conn {
    /// A connection just accepted from `address`, an IP address as Java prints it.
    pub fn new(id: ConnId, address: &str) -> Conn {
        Conn::of(id, auth::of_address(address))
    }

    /// A connection just accepted, with the identities of its address ([`auth::of_address`]), which
    /// all connections of one address may share.
    pub fn of(id: ConnId, ids: Ids) -> Conn {
        Conn {
            id,
            ids,
            stage: Stage::New,
            timeout_ms: 0,
            read_only_byte: false,
            read_only: false,
            slots: VecDeque::new(),
            writes: 0,
            registered: false,
            refused: false,
            out: Vec::new(),
            stats: Stats::default(),
        }
    }

    /// Its id.
    pub fn id(&self) -> ConnId {
        self.id
    }

    /// Its session, once the handshake was answered.
    pub fn session(&self) -> Option<SessionId> {
        match self.stage {
            Stage::Open(session) => Some(session),
            Stage::New | Stage::Connecting | Stage::Closing => None,
        }
    }

    /// The agreed timeout, milliseconds; 0 before the handshake.
    pub fn timeout_ms(&self) -> i32 {
        self.timeout_ms
    }

    /// Its identities now.
    pub fn ids(&self) -> &Ids {
        &self.ids
    }

    /// Its counters.
    pub fn stats(&self) -> Stats {
        self.stats
    }

    /// The opcode of the last request, if it was known.
    pub fn last_op(&self) -> Option<OpCode> {
        self.stats.last_op
    }

    /// Notes the transaction that made the session, as the first thing that `cons` shows of it.
    pub fn note_created(&mut self, zxid: Zxid) {
        self.stats.last_op = Some(OpCode::CreateSession);
        self.stats.last_zxid = zxid.0;
    }

    /// `crst`: the counters begin anew, and the last request is forgotten.
    pub fn reset_stats(&mut self) {
        self.stats = Stats {
            last_xid: -1,
            last_zxid: -1,
            ..Stats::default()
        };
    }

    /// Requests without a reply.
    #[inline]
    pub fn outstanding(&self) -> usize {
        self.slots.len() + usize::from(self.stage == Stage::Connecting)
    }

    /// Whether the next frame may be given now: the handshake is answered and no bound is full.
    #[inline]
    pub fn takes_frames(&self) -> bool {
        match self.stage {
            Stage::New => true,
            Stage::Open(_) => {
                !self.refused && self.slots.len() < CONN_SLOTS && self.out.len() < CONN_OUT_BYTES
            }
            Stage::Connecting | Stage::Closing => false,
        }
    }

    /// Whether the handshake is still to come.
    #[inline]
    pub fn is_new(&self) -> bool {
        self.stage == Stage::New
    }

    /// Whether the handshake waits for its answer.
    pub fn is_connecting(&self) -> bool {
        self.stage == Stage::Connecting
    }

    /// Whether the socket is to be closed once [`Conn::take_out`] has been sent.
    #[inline]
    pub fn is_closing(&self) -> bool {
        self.stage == Stage::Closing
    }

    /// Gives back what an idle connection has no use for: memory of requests that waited.
    pub fn rest(&mut self) {
        if self.slots.is_empty() {
            self.slots = VecDeque::new();
        }
    }

    /// Whether so much waits to be sent that the client counts as stuck.
    #[inline]
    pub fn is_overfull(&self) -> bool {
        self.out.len() > 2 * CONN_OUT_BYTES
    }

    /// What is to be sent now, whole frames.
    pub fn take_out(&mut self) -> Vec<u8> {
        core::mem::take(&mut self.out)
    }

    /// Whether something is to be sent.
    #[inline]
    pub fn has_out(&self) -> bool {
        !self.out.is_empty()
    }

    /// Bytes to be sent.
    #[inline]
    pub fn out_len(&self) -> usize {
        self.out.len()
    }

    /// Ends the connection without a reply: what is in the buffer is still sent.
    pub fn close(&mut self) {
        self.stage = Stage::Closing;
        self.slots.clear();
        self.writes = 0;
    }

    /// Takes one frame, without its length.
    pub fn on_frame(&mut self, frame: &[u8], view: &mut View<'_>) -> Accepted {
        self.stats.received += 1;
        match self.stage {
            Stage::New => self.on_handshake(frame, view),
            Stage::Open(session) => self.on_request(session, frame, view),
            Stage::Connecting | Stage::Closing => {
                panic!(
                    "a frame in stage {:?} of connection {:?}",
                    self.stage, self.id
                )
            }
        }
    }

    fn on_handshake(&mut self, frame: &[u8], view: &mut View<'_>) -> Accepted {
        let config = view.config;
        let Ok(request) = ConnectRequest::decode(&mut Reader::with_limit(frame, config.max_field))
        else {
            return self.end();
        };
        self.read_only_byte = request.read_only.is_some();
        self.read_only = view.serve == ServeMode::ReadOnly;
        let refused = match view.serve {
            ServeMode::Full => false,
            // Java gives a session that is not local to nobody, nor takes one up again. To a new
            // one, when there are no local sessions, it sends a reply that no client can read.
            ServeMode::ReadOnly => {
                request.read_only != Some(true)
                    || !config.local_sessions
                    || view.tree.has_global_session(SessionId(request.session_id))
            }
            ServeMode::Closed => true,
        };
        if refused {
            return self.end();
        }
        // A client that has seen more than this server knows must find another one.
        if request.last_zxid_seen > view.tree.served_zxid().0 {
            return self.end();
        }
        let timeout_ms = crate::session::clamp(
            request.timeout,
            config.min_session_ms,
            config.max_session_ms,
        );
        let conn = self.id;
        if request.session_id == 0 {
            self.stage = Stage::Connecting;
            return Accepted::Submit(Submit::Connect { conn, timeout_ms });
        }
        // The password is judged before the session's old connection is touched; Java closes
        // that one first (docs/differences.md).
        if request.passwd != Some(&password::derive(request.session_id)[..]) {
            self.stage = Stage::Connecting;
            self.connected(None);
            view.tally.sent.add(self.out.len() - 4);
            return Accepted::Here;
        }
        self.stage = Stage::Connecting;
        let session = SessionId(request.session_id);
        Accepted::Submit(Submit::Reattach {
            conn,
            session,
            timeout_ms,
        })
    }

    fn end(&mut self) -> Accepted {
        self.close();
        Accepted::Close
    }

    /// Answers the handshake; `None` refuses the session and ends the connection.
    pub fn connected(&mut self, grant: Option<Grant>) {
        if self.stage != Stage::Connecting {
            return;
        }
        let read_only = self.read_only_byte.then_some(self.read_only);
        let (response, password);
        match grant {
            Some(grant) => {
                password = password::derive(grant.session.0);
                response = ConnectResponse {
                    protocol_version: 0,
                    timeout: grant.timeout_ms,
                    session_id: grant.session.0,
                    passwd: Some(&password),
                    read_only,
                };
                self.timeout_ms = grant.timeout_ms;
                self.stage = Stage::Open(grant.session);
            }
            None => {
                password = [0; 16];
                response = ConnectResponse {
                    passwd: Some(&password),
                    read_only,
                    ..Default::default()
                };
                self.stage = Stage::Closing;
            }
        }
        jute::encode_len(response.size(), &mut self.out);
        response.encode(&mut self.out);
        self.stats.sent += 1;
    }

    fn on_request(&mut self, session: SessionId, frame: &[u8], view: &mut View<'_>) -> Accepted {
        if view.serve == ServeMode::Closed {
            return self.end();
        }
        let Ok(header) = RequestHeader::decode(&mut Reader::new(frame)) else {
            return self.end();
        };
        let body = &frame[RequestHeader::MIN..];
        let xid = header.xid;
        let op = OpCode::from_i32(header.op);
        let authenticates = matches!(op, Some(OpCode::Auth | OpCode::Sasl));
        if !authenticates {
            self.stats.last_op = op;
            // Of the special ones Java shows none.
            if xid >= 0 {
                self.stats.last_xid = xid;
            }
        }
        if !authenticates && !self.is_let_in(view.config) {
            return self.refuse(xid, 0, Code::SessionClosedRequireSaslAuth, view);
        }
        let Some(op) = op else {
            return self.refuse(xid, -1, Code::Unimplemented, view);
        };
        match op {
            OpCode::Auth => self.on_auth(xid, body, view),
            OpCode::Sasl => self.on_sasl(xid, body, view),
            // A session that is gone takes its requests with it.
            _ if !view.tree.has_session(session) => Accepted::Here,
            OpCode::Create
            | OpCode::Create2
            | OpCode::CreateContainer
            | OpCode::CreateTtl
            | OpCode::Delete
            | OpCode::SetData
            | OpCode::SetAcl
            | OpCode::Multi
            | OpCode::Reconfig
            | OpCode::Sync
                if view.serve == ServeMode::ReadOnly =>
            {
                let header = ReplyHeader {
                    xid,
                    zxid: view.tree.served_zxid().0,
                    err: Code::NotReadOnly.to_i32(),
                };
                self.finish(framed(&header, None), false, view.tally);
                Accepted::Here
            }
            OpCode::Create
            | OpCode::Create2
            | OpCode::CreateContainer
            | OpCode::CreateTtl
            | OpCode::Delete
            | OpCode::SetData
            | OpCode::SetAcl
            | OpCode::Multi
            | OpCode::Reconfig
            | OpCode::Sync
            | OpCode::CloseSession => {
                let ids = self.ids.clone();
                self.slots.push_back(Slot::Write { xid });
                self.writes += 1;
                Accepted::Submit(Submit::Request {
                    origin: Origin {
                        conn: self.id,
                        session,
                        cxid: xid,
                        ids,
                    },
                    op,
                    body: Bytes::copy_from_slice(body),
                })
            }
            OpCode::Exists
            | OpCode::GetData
            | OpCode::GetAcl
            | OpCode::GetChildren
            | OpCode::GetChildren2
            | OpCode::Ping
            | OpCode::CheckWatches
            | OpCode::RemoveWatches
            | OpCode::MultiRead
            | OpCode::SetWatches
            | OpCode::SetWatches2
            | OpCode::AddWatch
            | OpCode::GetEphemerals
            | OpCode::GetAllChildrenNumber
            | OpCode::WhoAmI => {
                if self.slots.is_empty() {
                    let ids = self.ids.clone();
                    match self.read(session, xid, op, body, &ids, view) {
                        Ok(()) => return Accepted::Here,
                        Err(_need) => {}
                    }
                }
                let body = Bytes::copy_from_slice(body);
                self.slots.push_back(Slot::Read {
                    xid,
                    op,
                    body,
                    ids: self.ids.clone(),
                });
                Accepted::Here
            }
            // The reaper's and the tracker's own operations are nobody else's: Java takes them
            // from a client, without any check (docs/differences.md).
            OpCode::DeleteContainer | OpCode::CreateSession | OpCode::Check | OpCode::Error => {
                self.refuse(xid, -1, Code::Unimplemented, view)
            }
        }
    }

    /// Takes one frame that had to wait so long that its request is not carried out: THROTTLEDOP.
    /// Pings and closeSession are not throttled; the caller knows.
    pub fn on_throttled(&mut self, frame: &[u8], view: &mut View<'_>) -> Accepted {
        self.stats.received += 1;
        let Ok(header) = RequestHeader::decode(&mut Reader::new(frame)) else {
            return self.end();
        };
        let header = ReplyHeader {
            xid: header.xid,
            zxid: view.tree.served_zxid().0,
            err: Code::ThrottledOp.to_i32(),
        };
        self.finish(framed(&header, None), false, view.tally);
        Accepted::Here
    }

    /// Whether the connection has an identity of a scheme that is asked of all.
    fn is_let_in(&self, config: &Config) -> bool {
        match &config.providers.enforced {
            None => true,
            Some(schemes) => self
                .ids
                .iter()
                .any(|id| schemes.iter().any(|scheme| **scheme == *id.scheme)),
        }
    }

    /// Puts a whole frame where the next reply belongs.
    fn finish(&mut self, frames: Vec<u8>, close: bool, tally: &mut Tally) {
        if self.slots.is_empty() {
            self.out.extend_from_slice(&frames);
            self.stats.sent += 1;
            tally.sent.add(frames.len() - 4);
            if close {
                self.stage = Stage::Closing;
            }
        } else {
            self.slots.push_back(Slot::Ready { frames, close });
        }
    }

    /// An error, and the end behind it; what is asked before it is answered first.
    fn refuse(&mut self, xid: i32, zxid: i64, code: Code, view: &mut View<'_>) -> Accepted {
        let header = ReplyHeader {
            xid,
            zxid,
            err: code.to_i32(),
        };
        self.refused = true;
        self.finish(framed(&header, None), true, view.tally);
        Accepted::Here
    }

    fn on_auth(&mut self, xid: i32, body: &[u8], view: &mut View<'_>) -> Accepted {
        let mut reader = Reader::with_limit(body, view.config.max_field);
        let Ok(packet) = AuthPacket::decode(&mut reader) else {
            return self.end();
        };
        let scheme = packet.scheme.as_deref();
        let providers = &view.config.providers;
        let outcome = providers.authenticate(scheme, packet.auth, auth::address(&self.ids));
        if scheme == Some("ensemble")
            && let Some(names) = &providers.ensemble
        {
            let unasked = names.is_empty() || packet.auth.is_none_or(<[u8]>::is_empty);
            match &outcome {
                Outcome::Accepted(_) if unasked => view.tally.ensemble_skip += 1,
                Outcome::Accepted(_) => view.tally.ensemble_success += 1,
                Outcome::Failed | Outcome::Closed => view.tally.ensemble_fail += 1,
            }
        }
        let (err, close) = match outcome {
            Outcome::Accepted(more) => {
                self.ids = auth::with(&self.ids, more);
                if self.registered {
                    self.register(view.watches);
                }
                (Code::Ok, false)
            }
            Outcome::Failed => (Code::AuthFailed, true),
            Outcome::Closed => return self.end(),
        };
        let header = ReplyHeader {
            xid,
            zxid: 0,
            err: err.to_i32(),
        };
        self.refused = close;
        self.finish(framed(&header, None), close, view.tally);
        Accepted::Here
    }

    /// As a server without SASL configuration: success, and no token.
    fn on_sasl(&mut self, xid: i32, body: &[u8], view: &mut View<'_>) -> Accepted {
        let max_field = view.config.max_field;
        let request = SaslRequest::decode(&mut Reader::with_limit(body, max_field));
        if !request.is_ok_and(|request| request.token.is_some()) {
            return self.end();
        }
        let header = ReplyHeader {
            xid,
            zxid: 0,
            err: 0,
        };
        let frames = framed(&header, Some(&SaslResponse { token: None }));
        self.finish(frames, false, view.tally);
        Accepted::Here
    }

    /// Tells the watches who this is.
    fn register(&mut self, watches: &mut dyn WatchAccess) {
        if let Stage::Open(session) = self.stage {
            self.registered = true;
            watches.with(&mut |watches| watches.register(self.id, session, self.ids.clone()));
        }
    }

    fn read(
        &mut self,
        session: SessionId,
        xid: i32,
        op: OpCode,
        body: &[u8],
        ids: &Ids,
        view: &mut View<'_>,
    ) -> Result<(), Need> {
        if !self.registered && arms(op) {
            self.register(view.watches);
        }
        let zxid = view.tree.served_zxid().0;
        let start = self.out.len();
        let xid = if op == OpCode::Ping { xid::PING } else { xid };
        // Length and header first, corrected below.
        self.out.extend_from_slice(&[0; HEAD]);
        let mut events = Vec::new();
        let mut read = Read {
            tree: view.tree,
            config: view.config,
            watches: view.watches,
            conn: self.id,
            session,
            ids,
            out: &mut self.out,
            events: &mut events,
            tally: view.tally,
        };
        let err = match answer(&mut read, op, body) {
            Ok(()) => 0,
            Err(Stop::Code(code)) => {
                // A failed multiRead may have a body.
                if op != OpCode::MultiRead {
                    self.out.truncate(start + HEAD);
                }
                code.to_i32()
            }
            Err(Stop::Need(need)) => {
                self.out.truncate(start);
                return Err(need);
            }
        };
        let len = (self.out.len() - start - 4) as u32;
        let head = &mut self.out[start..start + HEAD];
        head[..4].copy_from_slice(&len.to_be_bytes());
        head[4..8].copy_from_slice(&xid.to_be_bytes());
        head[8..16].copy_from_slice(&zxid.to_be_bytes());
        head[16..].copy_from_slice(&err.to_be_bytes());
        let len = len as usize;
        view.tally.sent.add(len);
        view.tally.answered += 1;
        if op != OpCode::Ping {
            view.tally.reply_bytes += len as u64;
        }
        if !events.is_empty() {
            self.stats.sent += count_events(&events, view.tally);
            self.out.splice(start..start, events);
        }
        self.stats.sent += 1;
        self.stats.last_zxid = zxid;
        Ok(())
    }

    /// Runs the reads in front of the oldest write, and sends what is ready.
    pub fn run(&mut self, view: &mut View<'_>) -> Progress {
        while let Some(slot) = self.slots.front_mut() {
            match slot {
                Slot::Write { .. } => break,
                Slot::Ready { frames, close } => {
                    let (frames, close) = (core::mem::take(frames), *close);
                    self.slots.pop_front();
                    self.out.extend_from_slice(&frames);
                    self.stats.sent += 1;
                    view.tally.sent.add(frames.len() - 4);
                    if close {
                        self.close();
                    }
                }
                Slot::Read { xid, op, body, ids } => {
                    let (xid, op, body, ids) = (*xid, *op, body.clone(), ids.clone());
                    let Stage::Open(session) = self.stage else {
                        self.slots.clear();
                        break;
                    };
                    if view.tree.has_session(session)
                        && let Err(need) = self.read(session, xid, op, &body, &ids, view)
                    {
                        return Progress::Missing(need);
                    }
                    self.slots.pop_front();
                }
            }
        }
        Progress::Done
    }

    /// Whether a read waits that no write holds up.
    #[inline]
    pub fn is_runnable(&self) -> bool {
        matches!(
            self.slots.front(),
            Some(Slot::Read { .. } | Slot::Ready { .. })
        )
    }

    /// Whether a write waits for its reply.
    #[inline]
    pub fn has_writes(&self) -> bool {
        self.writes > 0
    }

    /// Answers the oldest write. What stands in front of it has been run.
    ///
    /// SESSIONMOVED is none: the connection ends without it, for what is wrong is the connection
    /// (ZOOKEEPER-710). Nor is CONNECTIONLOSS, of a write whose outcome is not known.
    pub fn done(&mut self, cxid: i32, reply: &Reply<'_>) {
        if reply.err == Code::SessionMoved.to_i32() || reply.err == Code::ConnectionLoss.to_i32() {
            return self.close();
        }
        match self.slots.front() {
            Some(Slot::Write { xid }) if *xid == cxid => {}
            // Closed meanwhile.
            _ if self.stage == Stage::Closing => return,
            other => panic!(
                "reply of cxid {cxid} on {:?} with {other:?} in front",
                self.id
            ),
        }
        self.slots.pop_front();
        self.writes -= 1;
        let header = ReplyHeader {
            xid: cxid,
            zxid: reply.zxid.0,
            err: reply.err,
        };
        append(&header, reply.body, &mut self.out);
        self.stats.sent += 1;
        self.stats.last_zxid = reply.zxid.0;
        // Of a write that has failed Java does not know any more what it was.
        if reply.err != 0 && self.slots.is_empty() {
            self.stats.last_op = None;
        }
        if reply.close {
            self.close();
        }
    }

    /// Appends a notification.
    pub fn event(&mut self, zxid: Zxid, event: Event, path: &str) {
        if self.stage == Stage::Closing {
            return;
        }
        op::watches::encode_event(zxid.0, event, path, &mut self.out);
        self.stats.sent += 1;
        if self.is_overfull() {
            self.close();
        }
    }
}

const HEAD: usize = 20;

/// Whether a read may arm a watch.
fn arms(op: OpCode) -> bool {
    matches!(
        op,
        OpCode::Exists
            | OpCode::GetData
            | OpCode::GetChildren
            | OpCode::GetChildren2
            | OpCode::AddWatch
            | OpCode::SetWatches
            | OpCode::SetWatches2
    )
}

/// Counts the frames that a setWatches replays.
fn count_events(frames: &[u8], tally: &mut Tally) -> u64 {
    let mut rest = frames;
    let mut count = 0;
    while let Some((head, body)) = rest.split_first_chunk::<4>() {
        let len = u32::from_be_bytes(*head) as usize;
        tally.sent.add(len);
        tally.event_bytes += len as u64;
        count += 1;
        rest = &body[len..];
    }
    count
}

fn append(header: &ReplyHeader, body: Option<&dyn Encode>, out: &mut Vec<u8>) {
    jute::encode_len(header.size() + body.map_or(0, Encode::size), out);
    header.encode(out);
    if let Some(body) = body {
        body.encode(out);
    }
}

fn framed(header: &ReplyHeader, body: Option<&dyn Encode>) -> Vec<u8> {
    let mut out = Vec::new();
    append(header, body, &mut out);
    out
}

fn answer(r: &mut Read<'_>, op: OpCode, body: &[u8]) -> Result<(), Stop> {
    match op {
        OpCode::Exists => op::exists::read(r, body),
        OpCode::GetData => op::get_data::read(r, body),
        OpCode::GetAcl => op::get_acl::read(r, body),
        OpCode::GetChildren => op::get_children::read(r, body, false),
        OpCode::GetChildren2 => op::get_children::read(r, body, true),
        OpCode::Ping => Ok(()),
        OpCode::CheckWatches => op::watches::check(r, body, false),
        OpCode::RemoveWatches => op::watches::check(r, body, true),
        OpCode::MultiRead => op::multi_read::read(r, body),
        OpCode::SetWatches => op::watches::set(r, body, false),
        OpCode::SetWatches2 => op::watches::set(r, body, true),
        OpCode::AddWatch => op::watches::add(r, body),
        OpCode::GetEphemerals => op::get_ephemerals::read(r, body),
        OpCode::GetAllChildrenNumber => op::get_all_children_number::read(r, body),
        OpCode::WhoAmI => op::who_am_i::read(r),
        OpCode::Create
        | OpCode::Create2
        | OpCode::CreateContainer
        | OpCode::CreateTtl
        | OpCode::Delete
        | OpCode::DeleteContainer
        | OpCode::SetData
        | OpCode::SetAcl
        | OpCode::Multi
        | OpCode::Reconfig
        | OpCode::Sync
        | OpCode::Check
        | OpCode::Auth
        | OpCode::Sasl
        | OpCode::CreateSession
        | OpCode::CloseSession
        | OpCode::Error => panic!("{op:?} is no read"),
    }
}

#[cfg(test)]
mod tests;
