//! A pipelining client that writes down all it does.
//!
//! Owns: one connection and its history.
//!
//! Does not know: what to do (`workload`), what is right (`check`).

use std::collections::VecDeque;
use std::net::SocketAddr;

use super::history::{Call, Event, History, Item, Read, Write};
use crate::conn::{Conn, connect_request, connect_response, request};
use crate::differential::exchange::Header;
use crate::differential::op::code;
use crate::differential::run::LONG_TIMEOUT;
use crate::limits::REPLY_TIMEOUT;
use crate::raw::{Bytes, In};

/// A session with its connection.
#[derive(Debug)]
pub struct Client {
    addr: SocketAddr,
    conn: Conn,
    passwd: Vec<u8>,
    history: History,
    waiting: VecDeque<usize>,
    unsent: Vec<u8>,
}

impl Client {
    /// A new session.
    pub fn open(addr: SocketAddr) -> Result<Self, String> {
        Self::connect(addr, 0, Some(vec![0; 16]))
    }

    fn connect(addr: SocketAddr, session: i64, passwd: Bytes) -> Result<Self, String> {
        let mut conn = Conn::open(addr).map_err(|e| format!("{addr}: {e}"))?;
        conn.send(&connect_request(0, LONG_TIMEOUT, session, &passwd, Some(false)).framed());
        let frame = conn
            .frame(REPLY_TIMEOUT)
            .map_err(|end| format!("handshake: {end:?}"))?;
        let answer = connect_response(&frame)
            .filter(|a| a.session_id != 0)
            .ok_or("session refused")?;
        let history = History {
            session: answer.session_id,
            opened: session == 0,
            ..History::default()
        };
        Ok(Self {
            addr,
            conn,
            passwd: answer.passwd,
            history,
            waiting: VecDeque::new(),
            unsent: Vec::new(),
        })
    }

    /// Queues a call.
    pub fn call(&mut self, call: Call) {
        let index = self.history.calls.len();
        let op = call.op();
        let xid = i32::try_from(index + 1).expect("fewer than 2^31 calls");
        self.unsent
            .extend(request(xid, op.code(), &op.body()).framed());
        self.history.calls.push(call);
        self.waiting.push_back(index);
    }

    /// Sends what is queued.
    pub fn flush(&mut self) {
        let bytes = std::mem::take(&mut self.unsent);
        self.conn.send(&bytes);
    }

    /// Reads until at most `left` calls wait; `made` gets the path of every successful create.
    pub fn settle(&mut self, left: usize, made: &mut dyn FnMut(&str)) -> Result<(), String> {
        while self.waiting.len() > left {
            let frame = self.conn.frame(REPLY_TIMEOUT).map_err(|end| {
                format!(
                    "{end:?} where a reply to {:?} is due",
                    self.waiting.front().map(|i| &self.history.calls[*i])
                )
            })?;
            let header = Header::of(&frame).ok_or("short frame")?;
            if header.xid == -1 {
                self.history.items.push(Item::Event(event(header, &frame)?));
                continue;
            }
            let call = self.waiting.pop_front().expect("the loop's condition");
            let ping = matches!(self.history.calls[call], Call::Read(Read::Ping));
            let due = if ping {
                -2
            } else {
                i32::try_from(call + 1).expect("sent with it")
            };
            if header.xid != due {
                return Err(format!("reply xid {} where {due} is due", header.xid));
            }
            if header.err == 0
                && let Call::Write(Write::Create {
                    op: code::CREATE | code::CREATE2,
                    ..
                }) = &self.history.calls[call]
                && let Some(Some(path)) = In::new(&frame[16..]).bytes()
            {
                made(&String::from_utf8_lossy(path));
            }
            self.history.items.push(Item::Reply { call, frame });
        }
        Ok(())
    }

    /// One call, answered: the reply's header.
    pub fn ask(&mut self, call: Call) -> Result<Header, String> {
        self.call(call);
        self.flush();
        self.settle(0, &mut |_| {})?;
        match self.history.items.last() {
            Some(Item::Reply { frame, .. }) => {
                Header::of(frame).ok_or_else(|| "short reply".into())
            }
            _ => Err("no reply".into()),
        }
    }

    /// The newest reply's frame.
    pub fn last_frame(&self) -> &[u8] {
        match self.history.items.last() {
            Some(Item::Reply { frame, .. }) => frame,
            _ => &[],
        }
    }

    /// Ends the connection after a ping, so that all events until then are in; the session goes on
    /// over a new one.
    pub fn reattach(mut self) -> Result<(History, Self), String> {
        self.ask(Call::Read(Read::Ping))?;
        self.conn.hang_up(REPLY_TIMEOUT);
        let next = Self::connect(self.addr, self.history.session, Some(self.passwd))?;
        Ok((self.history, next))
    }

    /// Closes the session.
    pub fn close(mut self) -> Result<History, String> {
        self.settle(0, &mut |_| {})?;
        self.ask(Call::Write(Write::Close))?;
        // Events of others' changes may still come before the server closes the connection.
        loop {
            match self.conn.frame(REPLY_TIMEOUT) {
                Ok(frame) if Header::of(&frame).is_some_and(|h| h.xid == -1) => {}
                Err(crate::conn::End::Closed) => return Ok(self.history),
                other => return Err(format!("after closeSession: {other:?}")),
            }
        }
    }

    /// Ends without closing the session.
    pub fn leave(mut self) -> Result<History, String> {
        self.ask(Call::Read(Read::Ping))?;
        Ok(self.history)
    }

    /// Forgets what was done so far.
    pub fn forget(&mut self) {
        self.history.calls.clear();
        self.history.items.clear();
        self.history.opened = false;
    }
}

fn event(header: Header, frame: &[u8]) -> Result<Event, String> {
    let mut input = In::new(&frame[16..]);
    let (Some(kind), Some(3), Some(Some(path)), 0) =
        (input.int(), input.int(), input.bytes(), header.err)
    else {
        return Err(format!("bad event {}", crate::raw::hex(frame)));
    };
    Ok(Event {
        zxid: header.zxid,
        kind,
        path: String::from_utf8_lossy(path).into_owned(),
    })
}
