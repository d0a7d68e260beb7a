//! A client: what it holds of its session, and what it learns from what it is sent.
//!
//! It believes everything; whether it was told the truth is the judge's business.

use std::collections::VecDeque;

use jute::{Decode, Encode, Reader};
use zk_core::ConnId;
use zk_wire::client::frame::{Cut, begin, cut, finish};
use zk_wire::client::{ConnectRequest, ConnectResponse, PathResponse, ReplyHeader, RequestHeader};

use crate::limits::REMEMBERED;

/// A session that the client was granted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Held {
    /// Its id.
    pub id: i64,
    /// Its password.
    pub password: [u8; 16],
}

/// See the module.
#[derive(Debug)]
pub struct Client {
    /// Where it connects from.
    pub address: String,
    /// Its connection.
    pub conn: Option<ConnId>,
    /// Its session.
    pub session: Option<Held>,
    /// Whether the connection's handshake was answered.
    pub open: bool,
    /// The last xid.
    pub xid: i32,
    /// The largest zxid that it was told.
    pub last_zxid: i64,
    /// Requests without a reply.
    pub outstanding: usize,
    /// Paths that it was told of.
    pub paths: VecDeque<String>,
}

/// A frame of these bytes.
pub fn framed(content: &dyn Encode) -> Vec<u8> {
    let mut out = Vec::new();
    let start = begin(&mut out);
    content.encode(&mut out);
    finish(&mut out, start);
    out
}

/// A request's frame.
pub fn request(xid: i32, op: i32, body: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let start = begin(&mut out);
    RequestHeader { xid, op }.encode(&mut out);
    out.extend_from_slice(body);
    finish(&mut out, start);
    out
}

/// A handshake's frame.
pub fn handshake(
    session: Option<Held>,
    timeout: i32,
    last_zxid_seen: i64,
    read_only: Option<bool>,
) -> Vec<u8> {
    let password = session.map_or([0; 16], |held| held.password);
    framed(&ConnectRequest {
        protocol_version: 0,
        last_zxid_seen,
        timeout,
        session_id: session.map_or(0, |held| held.id),
        passwd: Some(&password),
        read_only,
    })
}

impl Client {
    /// A client that never connected.
    pub fn new(address: String) -> Client {
        Client {
            address,
            conn: None,
            session: None,
            open: false,
            xid: 0,
            last_zxid: 0,
            outstanding: 0,
            paths: VecDeque::new(),
        }
    }

    /// It begins a connection.
    pub fn connecting(&mut self, conn: ConnId) {
        self.conn = Some(conn);
        self.open = false;
        self.outstanding = 0;
    }

    /// It has no connection any more.
    pub fn lost(&mut self) {
        self.conn = None;
        self.open = false;
        self.outstanding = 0;
    }

    /// The next xid.
    pub fn next_xid(&mut self) -> i32 {
        self.xid += 1;
        self.xid
    }

    /// It is sent whole frames.
    pub fn receive(&mut self, bytes: &[u8]) {
        let mut rest = bytes;
        while let Cut::Frame(range) = cut(rest, usize::MAX) {
            let end = range.end;
            let frame = &rest[range];
            if self.open {
                self.reply(frame);
            } else {
                self.connected(frame);
            }
            rest = &rest[end..];
        }
    }

    fn connected(&mut self, frame: &[u8]) {
        let Ok(response) = ConnectResponse::decode(&mut Reader::new(frame)) else {
            return;
        };
        let password = response.passwd.and_then(|bytes| bytes.try_into().ok());
        match (response.session_id, password) {
            (0, _) | (_, None) => self.session = None,
            (id, Some(password)) => {
                self.session = Some(Held { id, password });
                self.open = true;
            }
        }
    }

    fn reply(&mut self, frame: &[u8]) {
        let mut reader = Reader::new(frame);
        let Ok(header) = ReplyHeader::decode(&mut reader) else {
            return;
        };
        self.last_zxid = self.last_zxid.max(header.zxid);
        if header.xid == -1 {
            return;
        }
        self.outstanding = self.outstanding.saturating_sub(1);
        if header.err != 0 {
            return;
        }
        // Of all replies only those of creates (and of syncs) begin with a path.
        if let Ok(PathResponse { path: Some(path) }) = PathResponse::decode(&mut reader)
            && path.starts_with('/')
            && path.len() < 64
        {
            if self.paths.len() == REMEMBERED {
                self.paths.pop_front();
            }
            self.paths.push_back(path.into_owned());
        }
    }
}
