//! Clients of an ensemble: each writes, syncs and reads at one server, and goes to another when
//! that one does not serve any more, with its session if it still lives.
//!
//! Checked here: answers come in the order of the requests, a write is answered with what its
//! transaction says, and no server shows a client less than it has seen.

use std::collections::BTreeMap;

use bytes::Bytes;
use jute::{Decode, Encode, Reader};
use zk_wire::OpCode;
use zk_wire::client::{CreateRequest, DeleteRequest, PathRequest, SetDataRequest};
use zk_wire::txn::{Txn, TxnBody};
use zk_zab::Zxid;

use super::coverage;
use super::net::Place;
use super::node::{Ask, Session};
use super::users::User;
use super::world::{Event, Phase, World};
use crate::dice::Dice;
use crate::workload::open_acl;

/// The session of a client is over.
const EXPIRED: i32 = -112;

/// The session of a client is at another server.
const MOVED: i32 = -118;

/// A client.
#[derive(Debug)]
pub struct Client {
    number: usize,
    /// 0 is none.
    session: i64,
    pub(super) at: Option<(Place, u64)>,
    /// Of a whole server.
    pub(super) user: User,
    conn: u64,
    /// The handshake has no answer yet.
    connecting: bool,
    next: i32,
    /// Requests under way: whether it is a write, and the largest zxid that anybody had been told
    /// when it began.
    under_way: BTreeMap<i32, (bool, Zxid)>,
    seen: Zxid,
    pub(super) last: Last,
}

/// The last write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Last {
    Working,
    Wanted,
    UnderWay(i32),
    Done,
}

impl Client {
    /// The client of this number.
    pub fn new(number: usize) -> Client {
        Client {
            number,
            session: 0,
            at: None,
            user: User::new(number),
            conn: 0,
            connecting: false,
            next: 1,
            under_way: BTreeMap::new(),
            seen: Zxid::ZERO,
            last: Last::Working,
        }
    }

    /// It does one more write.
    pub fn last_write(&mut self) {
        self.last = Last::Wanted;
    }

    /// Whether that is done, and nothing else is under way.
    pub fn is_done(&self) -> bool {
        self.last == Last::Done && self.under_way.is_empty()
    }

    /// A write of a whole server's client.
    fn write(&self, dice: &mut Dice) -> (OpCode, Bytes) {
        let shared = format!("/s{}", dice.below(4));
        let own = format!("/c{}-{}", self.number, self.next);
        let data = vec![b'x'; dice.below(40)];
        let create = |path: String, flags| {
            let request = CreateRequest {
                path: Some(path.into()),
                data: Some(&data),
                acl: open_acl(),
                flags,
            };
            (OpCode::Create, request.to_vec())
        };
        let (op, body) = match dice.below(20) {
            0..=8 => create(own, 0),
            9..=11 => create(own, 1),
            12 => create(shared + "-", 3),
            13 | 14 => create(shared, 0),
            15 | 16 => {
                let before = dice.below(self.next as usize) as i32;
                let request = DeleteRequest {
                    path: Some(format!("/c{}-{before}", self.number).into()),
                    version: -1,
                };
                (OpCode::Delete, request.to_vec())
            }
            _ => {
                let request = SetDataRequest {
                    path: Some(shared.into()),
                    data: Some(&data),
                    version: -1,
                };
                (OpCode::SetData, request.to_vec())
            }
        };
        (op, body.into())
    }
}

impl World {
    /// A client does something.
    pub(super) fn client(&mut self, number: usize) -> Result<(), String> {
        let think = 1 + self.plan.think.draw(&mut self.dice);
        self.after(think, Event::Client(number));
        if self.plan.real {
            return self.user(number);
        }
        let client = &self.clients[number];
        let here = client.at.filter(|(place, life)| {
            let machine = &self.machines[*place];
            let process = machine.process.as_ref();
            machine.life == *life && process.is_some_and(|process| process.core.is_serving())
        });
        let Some((place, _)) = here else {
            return self.connect_client(number);
        };
        if client.connecting || self.machines[place].paused_us > self.now_us {
            return Ok(());
        }
        let now = self.clock(place);
        let session = Session {
            id: client.session,
            timeout_ms: self.plan.session_ms,
        };
        let mut effects = Vec::new();
        if let Some(process) = &mut self.machines[place].process {
            process.core.touch(now, session, &mut effects);
        }
        self.carry_out(place, effects)?;
        let writes = self.dice.percent(self.plan.writes);
        let syncs = self.dice.percent(50);
        let client = &mut self.clients[number];
        let is_write = match client.last {
            Last::Working => writes,
            Last::Wanted => true,
            Last::UnderWay(_) | Last::Done => return Ok(()),
        };
        if client.at.is_none() || client.under_way.len() >= self.plan.outstanding {
            return Ok(());
        }
        if self.phase == Phase::Faults {
            self.ops += 1;
        }
        let Some(process) = &mut self.machines[place].process else {
            return Ok(());
        };
        if !is_write && !syncs {
            let end = process.core.end();
            if end < client.seen {
                let seen = client.seen;
                return Err(format!("client {number} reads at {end}, has seen {seen}"));
            }
            client.seen = end;
            return Ok(());
        }
        let (op, body) = if is_write {
            client.write(&mut self.dice)
        } else {
            let path = Some("/".into());
            (OpCode::Sync, PathRequest { path }.to_vec().into())
        };
        let ask = Ask {
            conn: client.conn,
            session: client.session,
            cxid: client.next,
            op,
            body,
        };
        client.next += 1;
        client
            .under_way
            .insert(ask.cxid, (is_write, self.judge.told));
        if client.last == Last::Wanted {
            client.last = Last::UnderWay(ask.cxid);
        }
        let (conn, cxid) = (ask.conn, ask.cxid);
        let mut effects = Vec::new();
        process.core.request(now, ask, &mut effects);
        self.line(format_args!(
            "client {number} (conn {conn}) asks {cxid}: {op}"
        ));
        self.carry_out(place, effects)
    }

    /// Looks for a server that serves and is not behind what the client has seen.
    fn connect_client(&mut self, number: usize) -> Result<(), String> {
        let seen = self.clients[number].seen;
        let fit: Vec<(Place, u64)> = self
            .machines
            .iter()
            .enumerate()
            .filter(|(_, machine)| {
                machine.paused_us <= self.now_us
                    && machine.process.as_ref().is_some_and(|process| {
                        process.core.is_serving() && process.core.end() >= seen
                    })
            })
            .map(|(place, machine)| (place, machine.life))
            .collect();
        self.give_up(number);
        if fit.is_empty() {
            return Ok(());
        }
        let at = *self.dice.pick(&fit);
        self.conns += 1;
        let conn = self.conns;
        let client = &mut self.clients[number];
        client.at = Some(at);
        client.conn = conn;
        client.connecting = true;
        let session = Session {
            id: client.session,
            timeout_ms: self.plan.session_ms,
        };
        let now = self.clock(at.0);
        let mut effects = Vec::new();
        if let Some(process) = &mut self.machines[at.0].process {
            process.core.connect(now, conn, session, &mut effects);
        }
        let id = session.id;
        self.line(format_args!(
            "client {number} connects as {conn}, session 0x{id:x}"
        ));
        self.carry_out(at.0, effects)
    }

    /// What was under way may be done or not.
    fn give_up(&mut self, number: usize) {
        let client = &mut self.clients[number];
        client.at = None;
        client.connecting = false;
        let maybe = client.under_way.values().any(|(is_write, _)| *is_write);
        if let Last::UnderWay(_) = client.last {
            client.last = Last::Wanted;
        }
        client.under_way.clear();
        if maybe {
            self.coverage.note(coverage::MAYBE);
        }
    }

    fn client_of(&self, conn: u64) -> Option<usize> {
        self.clients
            .iter()
            .position(|client| client.at.is_some() && client.conn == conn)
    }

    /// A client has its session, or none.
    pub(super) fn connected(
        &mut self,
        conn: u64,
        session: Option<(i64, i32)>,
    ) -> Result<(), String> {
        if self.granted(conn, session)? {
            return Ok(());
        }
        let Some(number) = self.client_of(conn) else {
            return Ok(());
        };
        match session {
            Some((id, _)) => {
                let client = &mut self.clients[number];
                client.connecting = false;
                client.session = id;
                self.line(format_args!("client {number} has session 0x{id:x}"));
            }
            None => {
                self.line(format_args!("client {number} has no session any more"));
                self.over(number);
            }
        }
        Ok(())
    }

    /// A client's session is over.
    fn over(&mut self, number: usize) {
        self.coverage.note(coverage::EXPIRED);
        self.give_up(number);
        self.clients[number].session = 0;
    }

    /// A session is at another connection of a server, or nowhere.
    pub(super) fn detached(
        &mut self,
        place: Place,
        session: i64,
        now: Option<u64>,
    ) -> Result<(), String> {
        if self.plan.real {
            return self.let_go(place, session, now);
        }
        for number in 0..self.clients.len() {
            let client = &self.clients[number];
            let here = client.at.is_some_and(|(at, _)| at == place);
            if !here || client.session != session || client.connecting {
                continue;
            }
            match now {
                None => self.over(number),
                Some(conn) if conn != client.conn => self.give_up(number),
                Some(_) => {}
            }
        }
        Ok(())
    }

    /// A server has ended all its clients.
    pub(super) fn disconnected(&mut self, place: Place) {
        self.all_gone(place);
        for number in 0..self.clients.len() {
            if self.clients[number].at.is_some_and(|(at, _)| at == place) {
                self.give_up(number);
            }
        }
    }

    /// A server answers a client.
    pub(super) fn answered(
        &mut self,
        conn: u64,
        cxid: i32,
        zxid: Zxid,
        err: i32,
    ) -> Result<(), String> {
        self.line(format_args!(
            "conn {conn} is answered {cxid} at {zxid}: {err}"
        ));
        let Some(number) = self.client_of(conn) else {
            return Ok(());
        };
        let client = &mut self.clients[number];
        let session = client.session;
        let Some((is_write, begun)) = client.under_way.remove(&cxid) else {
            return Err(format!("{cxid} of conn {conn} was not under way"));
        };
        let strict = self.plan.real;
        let before = client.under_way.iter();
        let mut before =
            before.filter(|(other, (write, _))| **other < cxid && (strict || *write == is_write));
        if let Some((first, _)) = before.next() {
            return Err(format!("{cxid} of conn {conn} is answered before {first}"));
        }
        if client.last == Last::UnderWay(cxid) {
            client.last = Last::Done;
        }
        if err == EXPIRED || err == MOVED {
            if client.last == Last::Done {
                client.last = Last::Wanted;
            }
            if err == EXPIRED {
                self.over(number);
            } else {
                self.give_up(number);
            }
            return Ok(());
        }
        if zxid < client.seen {
            let seen = client.seen;
            return Err(format!("{cxid} of conn {conn} at {zxid}, was at {seen}"));
        }
        if zxid.counter() != 0 {
            // The start of an epoch shows nothing.
            client.seen = zxid;
        }
        if !is_write {
            return Ok(());
        }
        self.judge.answers((session, cxid), zxid, begun)?;
        let entry = self.judge.entry(zxid);
        let payload = entry.and_then(|entry| self.archived(entry));
        let payload = payload.unwrap_or_default();
        let txn = Txn::decode(&mut Reader::new(&payload)).map_err(|error| error.to_string())?;
        let said = match txn.body {
            TxnBody::Error { err } => err,
            _ => 0,
        };
        if said != err {
            return Err(format!(
                "{cxid} of conn {conn} is answered {err}, its transaction says {said}"
            ));
        }
        Ok(())
    }
}
