//! One connection as its client sees it: each byte that the server sends is expected.
//!
//! The stream's position is a zxid: whatever happened up to it and concerns a watch of this
//! connection must have been told. Each reply moves it on, never back: a read to the zxid of its
//! header, at whose state it is judged; a write to its own. So a read lies between its own
//! session's writes, an event comes before any reply that shows what it tells, and after every
//! reply that does not.

use std::collections::VecDeque;
use std::fmt;
use std::rc::Rc;

use bytes::Bytes;
use jute::{Decode, Encode, Reader};
use zk_core::ConnId;
use zk_core::io::Grant;
use zk_wire::client::frame::{Cut, cut};
use zk_wire::client::{
    AuthPacket, ConnectRequest, ConnectResponse, ReplyHeader, RequestHeader, SaslRequest,
    SaslResponse, WatcherEvent,
};
use zk_wire::{OpCode, password};

use super::{Expected, Request, Verdict, ensure};
use crate::coverage::Seen;
use crate::model::{self, Fired, Ids, Rules, State, WatchSet};
use crate::show;

/// A server without a leader was asked to write.
pub(crate) const NOT_READ_ONLY: i32 = -119;

#[derive(Debug)]
enum Stage {
    New,
    /// The handshake is not answered; of an existing session perhaps.
    Connecting {
        session: Option<i64>,
        timeout: i32,
    },
    /// The session was refused.
    Refused,
    /// Session and agreed timeout.
    Open(i64, i32),
}

#[derive(Debug)]
enum Pending {
    Read {
        xid: i32,
        op: OpCode,
        body: Bytes,
        ids: Ids,
    },
    Write {
        xid: i32,
        op: OpCode,
        expected: Option<Expected>,
    },
    Auth {
        xid: i32,
        failed: bool,
    },
    Sasl {
        xid: i32,
    },
    Unknown {
        xid: i32,
    },
}

/// What happened, and what of it the server of a connection has applied.
pub(crate) trait History {
    /// Settings.
    fn rules(&self) -> &Rules;
    /// The last zxid that a client of that server may be told.
    fn applied(&self) -> i64;
    /// The state at a zxid.
    fn state(&self, zxid: i64) -> Rc<State>;
    /// What watches may hear of behind one zxid and up to another, in order.
    fn fired(&self, behind: i64, upto: i64, each: &mut dyn FnMut(i64, &Fired));
    /// The zxid that made a session.
    fn session_made(&self, session: i64) -> i64;
    /// Something was met.
    fn note(&mut self, seen: Seen);
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Stream {
    conn: ConnId,
    address: String,
    stage: Stage,
    /// The answer to the handshake is still to be sent, before anything else.
    greets: bool,
    read_only_byte: bool,
    /// The server has no leader.
    reads_only: bool,
    /// And so does not take the session.
    refuses: bool,
    ids: Ids,
    /// Identities that hold for events after this zxid.
    ids_since: Vec<(i64, Ids)>,
    fifo: VecDeque<Pending>,
    position: i64,
    /// Events up to the position that have not been told.
    untold: VecDeque<(i64, i32, String)>,
    /// Events of zxid -1, whose reply must come next.
    caught_up: Vec<(i32, String)>,
    watches: WatchSet,
    /// Why the connection must end.
    end: Option<&'static str>,
    acknowledged: i64,
}

impl Stream {
    pub fn new(conn: ConnId, address: &str) -> Stream {
        let ids: Ids = [(String::from("ip"), String::from(address))].into();
        Stream {
            conn,
            address: address.into(),
            stage: Stage::New,
            greets: false,
            read_only_byte: false,
            reads_only: false,
            refuses: false,
            ids: ids.clone(),
            ids_since: vec![(i64::MIN, ids)],
            fifo: VecDeque::new(),
            position: 0,
            untold: VecDeque::new(),
            caught_up: Vec::new(),
            watches: WatchSet::default(),
            end: None,
            acknowledged: 0,
        }
    }

    /// The highest zxid that the client was told of.
    pub fn acknowledged(&self) -> i64 {
        self.acknowledged
    }

    /// Session and agreed timeout, while it waits to be attached again.
    pub fn reattaching(&self) -> Option<(i64, i32)> {
        match self.stage {
            Stage::Connecting { session, timeout } => session.map(|session| (session, timeout)),
            Stage::New | Stage::Refused | Stage::Open(..) => None,
        }
    }

    /// Session and agreed timeout, while requests are taken.
    pub fn open(&self) -> Option<(i64, i32)> {
        match self.stage {
            Stage::Open(session, timeout) => Some((session, timeout)),
            Stage::New | Stage::Refused | Stage::Connecting { .. } => None,
        }
    }

    pub fn is_of(&self, session: i64) -> bool {
        match self.stage {
            Stage::Open(open, _) => open == session,
            Stage::New | Stage::Connecting { .. } | Stage::Refused => false,
        }
    }

    pub fn waits_for_writes(&self) -> bool {
        let mut fifo = self.fifo.iter();
        fifo.any(|pending| matches!(pending, Pending::Write { .. }))
    }

    /// The server has no leader: whoever is content with reading has a session here that others
    /// do not know; one that they know, `global`, is refused.
    pub fn only_reads(&mut self, global: bool) {
        self.reads_only = true;
        self.refuses = global;
    }

    /// Whether it is such a server's.
    pub fn has_only_reads(&self) -> bool {
        self.reads_only
    }

    pub fn must_close(&mut self, why: &'static str) {
        self.end.get_or_insert(why);
    }

    /// Takes a frame of the client; returns what the core will have to judge. Whether a session
    /// `lives` is what the server has applied.
    pub fn frame(
        &mut self,
        frame: &[u8],
        rules: &Rules,
        lives: &dyn Fn(i64) -> bool,
        applied: i64,
    ) -> Result<Option<Request>, String> {
        match self.stage {
            Stage::New => {
                self.handshake(frame, rules, applied);
                Ok(None)
            }
            Stage::Open(session, _) => Ok(self.request(session, frame, rules, lives, applied)),
            Stage::Connecting { .. } | Stage::Refused => Err(format!(
                "{:?} took a frame in the middle of its handshake",
                self.conn
            )),
        }
    }

    fn handshake(&mut self, frame: &[u8], rules: &Rules, applied: i64) {
        let mut reader = Reader::with_limit(frame, rules.max_field);
        let Ok(request) = ConnectRequest::decode(&mut reader) else {
            self.must_close("no handshake");
            return;
        };
        if self.reads_only && (request.read_only != Some(true) || self.refuses) {
            self.must_close("the server only reads");
            return;
        }
        if request.last_zxid_seen > applied {
            self.must_close("the client is ahead");
            return;
        }
        self.read_only_byte = request.read_only.is_some();
        let timeout = request
            .timeout
            .max(rules.min_session_ms)
            .min(rules.max_session_ms);
        let session = (request.session_id != 0).then_some(request.session_id);
        self.stage = match session {
            Some(id) if request.passwd != Some(&password::derive(id)[..]) => {
                self.must_close("the password is wrong");
                self.greets = true;
                Stage::Refused
            }
            _ => Stage::Connecting { session, timeout },
        };
    }

    fn request(
        &mut self,
        session: i64,
        frame: &[u8],
        rules: &Rules,
        lives: &dyn Fn(i64) -> bool,
        applied: i64,
    ) -> Option<Request> {
        let mut reader = Reader::with_limit(frame, rules.max_field);
        let Ok(header) = RequestHeader::decode(&mut reader) else {
            self.must_close("no header");
            return None;
        };
        let xid = header.xid;
        let body = Bytes::copy_from_slice(reader.rest());
        let ids = self.ids.clone();
        let Some(op) = OpCode::from_i32(header.op) else {
            self.fifo.push_back(Pending::Unknown { xid });
            return None;
        };
        match op {
            OpCode::Auth => {
                let Ok(packet) = AuthPacket::decode(&mut reader) else {
                    self.must_close("no auth packet");
                    return None;
                };
                let scheme = packet.scheme.as_deref();
                let more = model::authenticate(rules, scheme, packet.auth, &self.address);
                let failed = more.is_none();
                for id in more.unwrap_or_default() {
                    if !self.ids.contains(&id) {
                        self.ids = self.ids.iter().cloned().chain([id]).collect();
                    }
                }
                self.ids_since.push((applied, self.ids.clone()));
                self.fifo.push_back(Pending::Auth { xid, failed });
                None
            }
            OpCode::Sasl => {
                let packet = SaslRequest::decode(&mut reader);
                if packet.is_ok_and(|packet| packet.token.is_some()) {
                    self.fifo.push_back(Pending::Sasl { xid });
                } else {
                    self.must_close("no sasl token");
                }
                None
            }
            // A session that is gone takes its requests with it.
            _ if !lives(session) => None,
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
                if self.reads_only =>
            {
                let refused = Expected {
                    zxid: None,
                    after: 0,
                    err: NOT_READ_ONLY,
                    body: Rc::from([]),
                };
                let expected = Some(refused);
                self.fifo.push_back(Pending::Write { xid, op, expected });
                None
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
                self.fifo.push_back(Pending::Write {
                    xid,
                    op,
                    expected: None,
                });
                Some(Request {
                    conn: self.conn,
                    session,
                    xid,
                    op,
                    body,
                    ids,
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
                self.fifo.push_back(Pending::Read { xid, op, body, ids });
                None
            }
            // No client's business.
            OpCode::DeleteContainer | OpCode::CreateSession | OpCode::Check | OpCode::Error => {
                self.fifo.push_back(Pending::Unknown { xid });
                None
            }
        }
    }

    /// The outcome of the oldest write that has none is known.
    pub fn expect(&mut self, outcome: Expected) {
        let mut open = self.fifo.iter_mut().filter_map(|pending| match pending {
            Pending::Write { expected, .. } if expected.is_none() => Some(expected),
            _ => None,
        });
        if let Some(expected) = open.next() {
            *expected = Some(outcome);
        }
    }

    /// The outcome of the write with this xid is known.
    pub fn expect_of(&mut self, of: i32, outcome: Expected) {
        for pending in &mut self.fifo {
            if let Pending::Write { xid, expected, .. } = pending
                && *xid == of
            {
                expected.get_or_insert(outcome);
                return;
            }
        }
    }

    /// The session that is asked for, if it is not a new one, and the agreed timeout, while the
    /// handshake is not answered.
    pub fn connecting(&self) -> Option<(Option<i64>, i32)> {
        match self.stage {
            Stage::Connecting { session, timeout } => Some((session, timeout)),
            Stage::New | Stage::Refused | Stage::Open(..) => None,
        }
    }

    /// Why it must end, if it must.
    pub fn must_end(&self) -> Option<&'static str> {
        self.end
    }

    /// Requests and handshakes without an answer.
    pub fn waiting(&self) -> usize {
        self.fifo.len() + usize::from(self.connecting().is_some())
    }

    /// Its watches.
    pub fn watches(&self) -> &WatchSet {
        &self.watches
    }

    /// Everything is told that its server has applied.
    pub fn all_told(&mut self, judge: &dyn History) -> Verdict {
        match self.stage {
            Stage::Open(..) => self.move_to(judge.applied(), judge),
            Stage::New | Stage::Refused | Stage::Connecting { .. } => Ok(()),
        }
    }

    pub fn connected(&mut self, grant: Option<Grant>, applied: i64) -> Verdict {
        if let Stage::Connecting { .. } = self.stage {
            self.stage = match grant {
                Some(grant) => Stage::Open(grant.session.0, grant.timeout_ms),
                None => {
                    self.must_close("the session is unknown");
                    Stage::Refused
                }
            };
            self.greets = true;
            self.position = applied;
            return Ok(());
        }
        Err(format!("{:?} was answered twice", self.conn))
    }

    /// Judges what was sent.
    pub fn output(
        &mut self,
        bytes: &[u8],
        judge: &mut dyn History,
        tell: &mut dyn FnMut(fmt::Arguments<'_>),
    ) -> Verdict {
        let mut rest = bytes;
        while !rest.is_empty() {
            let Cut::Frame(range) = cut(rest, usize::MAX) else {
                return Err(format!("{:?} sent no whole frames: {rest:?}", self.conn));
            };
            let end = range.end;
            self.sent(&rest[range], judge, tell)
                .map_err(|what| format!("{:?}: {what}", self.conn))?;
            rest = &rest[end..];
        }
        Ok(())
    }

    fn sent(
        &mut self,
        frame: &[u8],
        judge: &mut dyn History,
        tell: &mut dyn FnMut(fmt::Arguments<'_>),
    ) -> Verdict {
        match self.stage {
            _ if self.greets => {
                self.greets = false;
                let grant = self.open();
                let password = grant.map_or([0; 16], |(session, _)| password::derive(session));
                let expected = ConnectResponse {
                    protocol_version: 0,
                    timeout: grant.map_or(0, |(_, timeout)| timeout),
                    session_id: grant.map_or(0, |(session, _)| session),
                    passwd: Some(&password),
                    read_only: self.read_only_byte.then_some(self.reads_only),
                };
                tell(format_args!(
                    "conn {} < session {:#x}, {} ms",
                    self.conn.0, expected.session_id, expected.timeout
                ));
                ensure!(
                    frame == expected.to_vec(),
                    "the handshake is answered by {frame:?}, expected {expected:?}"
                );
                if let Some((session, _)) = grant {
                    // The client knows that the session exists.
                    self.acknowledged = self.acknowledged.max(judge.session_made(session));
                }
                Ok(())
            }
            Stage::New | Stage::Connecting { .. } | Stage::Refused => {
                Err(format!("sent without a session: {frame:?}"))
            }
            Stage::Open(session, _) => {
                let mut reader = Reader::new(frame);
                let header = ReplyHeader::decode(&mut reader)
                    .map_err(|e| format!("{frame:?} has no header: {e}"))?;
                let body = reader.rest();
                self.acknowledged = self.acknowledged.max(header.zxid);
                ensure!(
                    header.zxid <= judge.applied(),
                    "zxid {:#x} is told, {:#x} is applied",
                    header.zxid,
                    judge.applied()
                );
                if header.xid == -1 {
                    tell(format_args!(
                        "conn {} < event {}",
                        self.conn.0,
                        show::event(header.zxid, body)
                    ));
                    return self.event(&header, body, judge);
                }
                let Some(pending) = self.fifo.pop_front() else {
                    return Err(format!("{header:?} answers nothing"));
                };
                let op = match &pending {
                    Pending::Read { op, .. } | Pending::Write { op, .. } => Some(*op),
                    Pending::Auth { .. } => Some(OpCode::Auth),
                    Pending::Sasl { .. } => Some(OpCode::Sasl),
                    Pending::Unknown { .. } => None,
                };
                tell(format_args!(
                    "conn {} < {}",
                    self.conn.0,
                    show::reply(op, &header, body)
                ));
                self.reply(session, pending, &header, body, judge)
            }
        }
    }

    fn reply(
        &mut self,
        session: i64,
        pending: Pending,
        header: &ReplyHeader,
        body: &[u8],
        judge: &mut dyn History,
    ) -> Verdict {
        match pending {
            Pending::Read {
                xid,
                op,
                body: request,
                ids,
            } => {
                let xid = if op == OpCode::Ping { -2 } else { xid };
                self.move_to(header.zxid, judge)?;
                let state = judge.state(header.zxid);
                let answer = model::read(
                    &state,
                    judge.rules(),
                    session,
                    &ids,
                    &mut self.watches,
                    op,
                    &request,
                );
                ensure!(
                    header.xid == xid && header.err == answer.err,
                    "{} is answered by {header:?}, expected {}",
                    show::request(op, &request),
                    answer.err
                );
                ensure!(
                    model::same(op, body, &answer.body),
                    "{} is answered by {}, expected {}",
                    show::request(op, &request),
                    show::reply(Some(op), header, body),
                    show::reply(Some(op), header, &answer.body)
                );
                let told = std::mem::take(&mut self.caught_up);
                if !told.is_empty() {
                    judge.note(Seen::CaughtUp);
                }
                ensure!(
                    told == answer.events,
                    "{} tells {told:?}, expected {:?}",
                    show::request(op, &request),
                    answer.events
                );
                Ok(())
            }
            Pending::Write { xid, op, expected } => {
                let Some(expected) = expected else {
                    return Err(format!(
                        "{op} with xid {xid} is answered and was not judged"
                    ));
                };
                let zxid = expected.zxid.unwrap_or(header.zxid);
                ensure!(
                    header.xid == xid
                        && header.zxid == zxid
                        && zxid >= expected.after
                        && header.err == expected.err,
                    "{op} with xid {xid} is answered by {header:?}, expected {expected:?}"
                );
                self.move_to(zxid, judge)?;
                ensure!(
                    *body == *expected.body,
                    "{op} with xid {xid} is answered by {}, expected {}",
                    show::reply(Some(op), header, body),
                    show::reply(Some(op), header, &expected.body)
                );
                self.nothing_caught_up()?;
                if op == OpCode::CloseSession {
                    self.must_close("the client closed the session");
                }
                Ok(())
            }
            Pending::Auth { xid, failed } => {
                let err = if failed { -115 } else { 0 };
                self.bare(header, body, (xid, 0, err))?;
                if failed {
                    self.must_close("authentication failed");
                }
                Ok(())
            }
            Pending::Sasl { xid } => {
                let token = SaslResponse { token: None }.to_vec();
                ensure!(body == token, "sasl is answered by {body:?}");
                self.bare(header, b"", (xid, 0, 0))
            }
            Pending::Unknown { xid } => {
                judge.note(Seen::UnknownOp);
                self.bare(header, body, (xid, -1, -6))?;
                self.must_close("the operation is unknown");
                Ok(())
            }
        }
    }

    fn bare(&self, header: &ReplyHeader, body: &[u8], expected: (i32, i64, i32)) -> Verdict {
        let got = (header.xid, header.zxid, header.err);
        ensure!(
            got == expected && body.is_empty(),
            "got {got:?} and {body:?}, expected {expected:?}"
        );
        self.nothing_caught_up()
    }

    fn nothing_caught_up(&self) -> Verdict {
        ensure!(
            self.caught_up.is_empty(),
            "{:?} are told without a setWatches",
            self.caught_up
        );
        Ok(())
    }

    fn event(&mut self, header: &ReplyHeader, body: &[u8], judge: &mut dyn History) -> Verdict {
        let event =
            WatcherEvent::decode(&mut Reader::new(body)).map_err(|e| format!("no event: {e}"))?;
        ensure!(
            header.err == 0 && event.state == 3,
            "an event of {header:?} and {event:?}"
        );
        let path = event.path.as_deref().unwrap_or("(null)").to_owned();
        if header.zxid == -1 {
            self.caught_up.push((event.kind, path));
            return Ok(());
        }
        self.nothing_caught_up()?;
        self.advance(header.zxid, judge)?;
        judge.note(Seen::Event);
        let told = (header.zxid, event.kind, path);
        let expected = self.untold.pop_front();
        ensure!(
            expected.as_ref() == Some(&told),
            "event {told:?}, expected {expected:?}"
        );
        Ok(())
    }

    /// Moves the position on to where a reply stands: every event up to there was told.
    fn move_to(&mut self, zxid: i64, judge: &dyn History) -> Verdict {
        self.advance(zxid, judge)?;
        ensure!(
            self.untold.is_empty(),
            "at {zxid:#x} the events {:?} have not been told",
            self.untold
        );
        Ok(())
    }

    fn advance(&mut self, zxid: i64, judge: &dyn History) -> Verdict {
        ensure!(
            zxid >= self.position,
            "{zxid:#x} after {:#x}: back in time",
            self.position
        );
        let (position, watches, untold) = (self.position, &mut self.watches, &mut self.untold);
        if !watches.is_empty() {
            judge.fired(position, zxid, &mut |at, fired| {
                let since = self.ids_since.iter().rev().find(|(from, _)| *from < at);
                let ids = since.map_or(&self.ids, |(_, ids)| ids);
                for (kind, path) in watches.fire(fired, ids) {
                    untold.push_back((at, kind, path));
                }
            });
        }
        self.position = zxid;
        Ok(())
    }

    /// Whether the connection ends when, and only when, it must.
    pub fn check_close(&self, closing: bool) -> Verdict {
        match (self.end, closing) {
            (Some(why), false) => Err(format!("{:?} is not closed though {why}", self.conn)),
            (None, true) => Err(format!("{:?} is closed for no reason", self.conn)),
            (Some(_), true) | (None, false) => Ok(()),
        }
    }

    /// Nothing is left to be answered or told.
    pub fn at_rest(&mut self, judge: &dyn History) -> Verdict {
        if matches!(self.stage, Stage::Connecting { .. }) || self.greets {
            return Err(format!("for its handshake: {:?}", self.stage));
        }
        if let Some(pending) = self.fifo.front() {
            return Err(format!(
                "for {} replies, first {pending:?}",
                self.fifo.len()
            ));
        }
        self.nothing_caught_up()?;
        if let Stage::Open(..) = self.stage {
            self.move_to(judge.applied(), judge)?;
        }
        Ok(())
    }
}
