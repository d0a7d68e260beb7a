//! A client session that lives on any of several servers.
//!
//! Owns: the session (id, password, newest zxid seen), its connection, the move to the next server when
//! one is lost or silent. Does not know: what requests mean, nor what became of those that were under
//! way when a connection was lost: that is told to the caller, as a client library does.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use compat_tests::conn::{Conn, End, connect_request, connect_response, request};
use compat_tests::raw::In;

use super::limits::{HANDSHAKE, REDIAL};

/// Numbers of operations.
pub mod op {
    #![allow(missing_docs)]
    pub const CREATE: i32 = 1;
    pub const DELETE: i32 = 2;
    pub const GET_DATA: i32 = 4;
    pub const SET_DATA: i32 = 5;
    pub const GET_ACL: i32 = 6;
    pub const SYNC: i32 = 9;
    pub const PING: i32 = 11;
    pub const GET_CHILDREN2: i32 = 12;
    pub const MULTI: i32 = 14;
    pub const CREATE2: i32 = 15;
    pub const RECONFIG: i32 = 16;
    pub const CREATE_CONTAINER: i32 = 19;
    pub const CREATE_TTL: i32 = 21;
    pub const SET_WATCHES: i32 = 101;
    pub const CLOSE_SESSION: i32 = -11;
}

/// xid of a ping and of its reply.
const PING_XID: i32 = -2;
/// xid of a watch event.
const EVENT_XID: i32 = -1;
/// xid of SetWatches and of its reply.
pub const SET_WATCHES_XID: i32 = -8;

/// What came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Got {
    /// To a request.
    Reply {
        /// The request's.
        xid: i32,
        /// Of the server's state.
        zxid: i64,
        /// 0 or an error code.
        err: i32,
        /// After the header.
        body: Vec<u8>,
    },
    /// A watch has fired.
    Event {
        /// 1 created, 2 deleted, 3 changed, 4 children.
        kind: i32,
        /// The node.
        path: String,
    },
    /// In time, nothing.
    Nothing,
    /// The connection is gone; requests under way may have been done or not.
    Lost,
}

/// How an attempt to connect ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Attempt {
    /// Connected.
    Up,
    /// No server took the session in this attempt.
    Refused,
    /// The session is gone.
    Expired,
}

/// A session.
#[derive(Debug)]
pub struct Session {
    servers: Vec<SocketAddr>,
    next: usize,
    conn: Option<Conn>,
    /// 0 before the first handshake.
    pub id: i64,
    passwd: Vec<u8>,
    timeout_ms: i32,
    /// Newest zxid of any reply.
    pub last_zxid: i64,
    /// Replies with an older zxid than one before.
    pub went_back: u32,
    xid: i32,
    heard: Instant,
    said: Instant,
}

impl Session {
    /// A session that will try `servers` from number `first` on.
    pub fn new(servers: &[SocketAddr], first: usize, timeout_ms: i32) -> Session {
        let now = Instant::now();
        Session {
            servers: servers.to_vec(),
            next: first,
            conn: None,
            id: 0,
            passwd: vec![0; 16],
            timeout_ms,
            last_zxid: 0,
            went_back: 0,
            xid: 0,
            heard: now,
            said: now,
        }
    }

    /// A session on one server, connected within `wait`.
    ///
    /// # Errors
    /// It is not taken in that time.
    pub fn on(server: SocketAddr, timeout_ms: i32, wait: Duration) -> Result<Session, String> {
        let mut session = Session::new(&[server], 0, timeout_ms);
        let deadline = Instant::now() + wait;
        while session.connect() != Attempt::Up {
            if Instant::now() > deadline {
                return Err(format!("{server} gives no session"));
            }
        }
        Ok(session)
    }

    /// Whether there is a connection.
    pub fn up(&self) -> bool {
        self.conn.is_some()
    }

    fn timeout(&self) -> Duration {
        Duration::from_millis(u64::try_from(self.timeout_ms).unwrap_or(0))
    }

    /// Tries the next server once.
    pub fn connect(&mut self) -> Attempt {
        let server = self.servers[self.next % self.servers.len()];
        self.next += 1;
        let refused = || {
            // Every client pauses before it dials again: a closed port refuses at once.
            std::thread::sleep(REDIAL);
            Attempt::Refused
        };
        let Ok(mut conn) = Conn::open(server) else {
            return refused();
        };
        let hello = connect_request(
            self.last_zxid,
            self.timeout_ms,
            self.id,
            &Some(self.passwd.clone()),
            Some(false),
        );
        conn.send(&hello.framed());
        let Ok(frame) = conn.frame(HANDSHAKE) else {
            return refused();
        };
        let Some(answer) = connect_response(&frame) else {
            return refused();
        };
        if answer.session_id == 0 || answer.timeout <= 0 {
            return Attempt::Expired;
        }
        self.id = answer.session_id;
        self.passwd = answer.passwd;
        self.timeout_ms = answer.timeout;
        self.heard = Instant::now();
        self.said = self.heard;
        self.conn = Some(conn);
        Attempt::Up
    }

    /// Sends a request; its xid.
    pub fn send(&mut self, op: i32, body: &[u8]) -> i32 {
        self.xid += 1;
        let xid = self.xid;
        self.send_as(xid, op, body);
        xid
    }

    /// Sends a request under a given xid.
    pub fn send_as(&mut self, xid: i32, op: i32, body: &[u8]) {
        if let Some(conn) = &mut self.conn {
            conn.send(&request(xid, op, body).framed());
            self.said = Instant::now();
        }
    }

    /// Waits for what comes next; pings when it has been quiet, gives a silent server up.
    pub fn receive(&mut self, wait: Duration) -> Got {
        let deadline = Instant::now() + wait;
        loop {
            let quarter = self.timeout() / 4;
            let Some(conn) = &mut self.conn else {
                return Got::Lost;
            };
            let left = deadline.saturating_duration_since(Instant::now());
            match conn.frame(left.min(quarter)) {
                Ok(frame) => {
                    self.heard = Instant::now();
                    match self.understand(&frame) {
                        Some(got) => return got,
                        None if Instant::now() > deadline => return Got::Nothing,
                        None => {}
                    }
                }
                Err(End::Silent) => {
                    if self.heard.elapsed() > self.timeout() * 2 / 3 {
                        return self.lose();
                    }
                    if self.said.elapsed() > quarter {
                        self.send_as(PING_XID, op::PING, &[]);
                    }
                    if Instant::now() >= deadline {
                        return Got::Nothing;
                    }
                }
                Err(End::Closed | End::BadLength(_)) => return self.lose(),
            }
        }
    }

    /// Drops the connection.
    pub fn lose(&mut self) -> Got {
        self.conn = None;
        Got::Lost
    }

    /// `None` for a ping's reply.
    fn understand(&mut self, frame: &[u8]) -> Option<Got> {
        let mut input = In::new(frame);
        let (Some(xid), Some(zxid), Some(err)) = (input.int(), input.long(), input.int()) else {
            return Some(self.lose());
        };
        match xid {
            PING_XID => None,
            EVENT_XID => {
                let kind = input.int().unwrap_or(0);
                let _state = input.int();
                let path = input.bytes().flatten().unwrap_or_default();
                Some(Got::Event {
                    kind,
                    path: String::from_utf8_lossy(path).into_owned(),
                })
            }
            _ => {
                if zxid < self.last_zxid {
                    self.went_back += 1;
                }
                self.last_zxid = self.last_zxid.max(zxid);
                Some(Got::Reply {
                    xid,
                    zxid,
                    err,
                    body: input.rest().to_vec(),
                })
            }
        }
    }

    /// One request and its reply: zxid, error code, body.
    ///
    /// # Errors
    /// The connection was lost, or no reply came within `wait`.
    pub fn call(
        &mut self,
        op: i32,
        body: &[u8],
        wait: Duration,
    ) -> Result<(i64, i32, Vec<u8>), String> {
        let sent = self.send(op, body);
        let deadline = Instant::now() + wait;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            match self.receive(left) {
                Got::Reply {
                    xid,
                    zxid,
                    err,
                    body,
                } if xid == sent => return Ok((zxid, err, body)),
                Got::Reply { xid, .. } => return Err(format!("xid {xid} instead of {sent}")),
                Got::Event { .. } => {}
                Got::Nothing => return Err(format!("op {op}: no reply")),
                Got::Lost => return Err(format!("op {op}: connection lost")),
            }
        }
    }

    /// Closes the session, on any server, within `wait`.
    ///
    /// # Errors
    /// No server took it.
    pub fn close(&mut self, wait: Duration) -> Result<(), String> {
        let deadline = Instant::now() + wait;
        loop {
            if !self.up() {
                match self.connect() {
                    Attempt::Up => {}
                    // A close that was under way with the last connection has been done.
                    Attempt::Expired => return Ok(()),
                    Attempt::Refused if Instant::now() > deadline => {
                        return Err("the session cannot be closed".into());
                    }
                    Attempt::Refused => continue,
                }
            }
            if self.call(op::CLOSE_SESSION, &[], HANDSHAKE).is_ok() {
                return Ok(());
            }
            self.lose();
        }
    }
}
