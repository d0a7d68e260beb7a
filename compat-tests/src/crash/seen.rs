//! What a fresh session reads: whole subtrees, pipelined.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;

use compat_tests::conn::{Conn, End, connect_request, connect_response};
use jute::{Decode, Reader};
use zk_wire::client::{AclResponse, ChildrenResponse, DataResponse, ReplyHeader, Stat};

use super::limits::{READ_WINDOW, REPLY};
use super::op::{Op, acl_number};

/// A node as it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// Its data.
    pub data: Option<Vec<u8>>,
    /// Its stat.
    pub stat: Stat,
    /// The number of its ACL; `None` when it was not read. One that is none of ours is `Some(255)`.
    pub acl: Option<u8>,
}

/// A session with one request in flight at a time, or a window of reads.
#[derive(Debug)]
pub struct Session {
    conn: Conn,
    /// Its id.
    pub id: i64,
    /// Its password.
    pub passwd: Vec<u8>,
    /// The agreed timeout, milliseconds.
    pub timeout: i32,
    xid: i32,
    /// The zxid in the last reply.
    pub zxid: i64,
}

/// A reply without its header.
#[derive(Debug, Clone)]
pub struct Reply {
    /// Of the header.
    pub zxid: i64,
    /// Of the header.
    pub err: i32,
    /// What follows it.
    pub body: Vec<u8>,
}

/// Opens a connection for a new session (`id` 0) or an old one. `None` is a refusal.
///
/// # Errors
/// No answer, or one that is none.
pub fn attach(
    addr: SocketAddr,
    timeout: i32,
    id: i64,
    passwd: &[u8],
) -> Result<Option<Session>, String> {
    let mut conn = Conn::open(addr).map_err(|e| format!("connect: {e}"))?;
    let request = connect_request(0, timeout, id, &Some(passwd.to_vec()), Some(false));
    conn.send(&request.framed());
    let frame = conn
        .frame(REPLY)
        .map_err(|end| format!("handshake of session {id:#x}: {}", why(end)))?;
    let answer = connect_response(&frame).ok_or("a handshake that cannot be read")?;
    if answer.timeout == 0 {
        return Ok(None);
    }
    Ok(Some(Session {
        conn,
        id: answer.session_id,
        passwd: answer.passwd,
        timeout: answer.timeout,
        xid: 0,
        zxid: 0,
    }))
}

/// Opens a new session.
///
/// # Errors
/// It is refused, or as [`attach`].
pub fn fresh(addr: SocketAddr, timeout: i32) -> Result<Session, String> {
    attach(addr, timeout, 0, &[0; 16])?.ok_or_else(|| "a new session was refused".into())
}

fn why(end: End) -> String {
    match end {
        End::Closed => "the connection was closed".into(),
        End::Silent => format!("no reply for {} s", REPLY.as_secs()),
        End::BadLength(n) => format!("a frame of {n} bytes"),
    }
}

impl Session {
    /// Splits into what a pipelining writer needs.
    pub fn into_conn(self) -> Conn {
        self.conn
    }

    fn send(&mut self, op: &Op, out: &mut Vec<u8>) -> i32 {
        self.xid += 1;
        op.frame(self.xid, out);
        self.xid
    }

    fn receive(&mut self, xid: i32, op: &Op) -> Result<Reply, String> {
        let frame = self
            .conn
            .frame(REPLY)
            .map_err(|end| format!("{op:?}: {}", why(end)))?;
        let mut reader = Reader::new(&frame);
        let header = ReplyHeader::decode(&mut reader).map_err(|e| format!("{op:?}: {e}"))?;
        if header.xid != xid {
            return Err(format!("reply to xid {}, not {xid}, {op:?}", header.xid));
        }
        if header.zxid < self.zxid {
            return Err(format!(
                "the zxid went back from {:#x} to {:#x}",
                self.zxid, header.zxid
            ));
        }
        self.zxid = header.zxid;
        Ok(Reply {
            zxid: header.zxid,
            err: header.err,
            body: reader.rest().to_vec(),
        })
    }

    /// One request and its reply.
    ///
    /// # Errors
    /// There is none.
    pub fn call(&mut self, op: &Op) -> Result<Reply, String> {
        let mut out = Vec::new();
        let xid = self.send(op, &mut out);
        self.conn.send(&out);
        self.receive(xid, op)
    }

    /// A write that must succeed; returns its zxid.
    ///
    /// # Errors
    /// It does not.
    pub fn must(&mut self, op: &Op) -> Result<i64, String> {
        let reply = self.call(op)?;
        if reply.err == 0 {
            Ok(reply.zxid)
        } else {
            Err(format!("{op:?}: error {}", reply.err))
        }
    }

    /// A write that must succeed; events that come before its reply are passed over.
    ///
    /// # Errors
    /// It does not succeed.
    pub fn must_quietly(&mut self, op: &Op) -> Result<(), String> {
        let mut out = Vec::new();
        let xid = self.send(op, &mut out);
        self.conn.send(&out);
        loop {
            let frame = self.conn.frame(REPLY).map_err(why)?;
            let header =
                ReplyHeader::decode(&mut Reader::new(&frame)).map_err(|e| e.to_string())?;
            match (header.xid, header.err) {
                (zk_wire::client::xid::NOTIFICATION, _) => {}
                (got, 0) if got == xid => return Ok(()),
                _ => return Err(format!("{op:?}: {header:?}")),
            }
        }
    }

    /// Sends raw bytes, and waits for so many frames.
    ///
    /// # Errors
    /// They do not come.
    pub fn raw(&mut self, bytes: &[u8], frames: usize) -> Result<Vec<Vec<u8>>, String> {
        self.conn.send(bytes);
        (0..frames)
            .map(|_| self.conn.frame(REPLY).map_err(why))
            .collect()
    }

    /// A subtree, or nothing if its root does not exist. Of every `acl_every`th node the ACL is
    /// read too.
    ///
    /// # Errors
    /// A read fails otherwise than by NONODE, or a node comes and goes meanwhile.
    pub fn subtree(
        &mut self,
        root: &str,
        acl_every: usize,
    ) -> Result<BTreeMap<String, Seen>, String> {
        let mut flying = VecDeque::new();
        let result = self.walk(root, acl_every, &mut flying);
        // What was asked for is answered, whatever became of the rest.
        for (xid, op) in flying {
            self.receive(xid, &op)?;
        }
        result
    }

    fn walk(
        &mut self,
        root: &str,
        acl_every: usize,
        flying: &mut VecDeque<(i32, Op)>,
    ) -> Result<BTreeMap<String, Seen>, String> {
        let mut seen: BTreeMap<String, Seen> = BTreeMap::new();
        let mut todo: VecDeque<Op> = [Op::Get(root.into())].into();
        let mut nodes = 0_usize;
        while !todo.is_empty() || !flying.is_empty() {
            let mut out = Vec::new();
            while flying.len() < READ_WINDOW
                && let Some(op) = todo.pop_front()
            {
                let xid = self.send(&op, &mut out);
                flying.push_back((xid, op));
            }
            self.conn.send(&out);
            // Half of the window at once: fewer and larger packets.
            let keep = if todo.is_empty() { 0 } else { READ_WINDOW / 2 };
            while flying.len() > keep {
                let Some((xid, op)) = flying.pop_front() else {
                    break;
                };
                let reply = self.receive(xid, &op)?;
                if reply.err == -101 && op.is_get_of(root) {
                    return Ok(seen);
                }
                if reply.err != 0 {
                    return Err(format!("{op:?} of a node that was listed: {}", reply.err));
                }
                nodes += usize::from(matches!(op, Op::Get(_)));
                let acl = acl_every > 0 && nodes.is_multiple_of(acl_every);
                note(&op, &reply.body, acl, &mut seen, &mut todo)
                    .map_err(|e| format!("{op:?}: {e}"))?;
            }
        }
        Ok(seen)
    }
}

impl Op {
    fn is_get_of(&self, root: &str) -> bool {
        matches!(self, Op::Get(path) if path == root)
    }
}

fn note(
    op: &Op,
    body: &[u8],
    acl: bool,
    seen: &mut BTreeMap<String, Seen>,
    todo: &mut VecDeque<Op>,
) -> Result<(), String> {
    let mut reader = Reader::new(body);
    let bad = |e: jute::Error| e.to_string();
    match op {
        Op::Get(path) => {
            let reply = DataResponse::decode(&mut reader).map_err(bad)?;
            if reply.stat.num_children > 0 {
                todo.push_back(Op::Children(path.clone(), false));
            }
            if acl {
                todo.push_back(Op::Acl(path.clone()));
            }
            let there = Seen {
                data: reply.data.map(<[u8]>::to_vec),
                stat: reply.stat,
                acl: None,
            };
            if seen.insert(path.clone(), there).is_some() {
                return Err(format!("{path} is listed twice"));
            }
        }
        Op::Children(path, _) => {
            let reply = ChildrenResponse::decode(&mut reader).map_err(bad)?;
            for name in reply.children.iter().flatten().flatten() {
                todo.push_back(Op::Get(format!("{path}/{name}")));
            }
        }
        Op::Acl(path) => {
            let reply = AclResponse::decode(&mut reader).map_err(bad)?;
            let number = acl_number(reply.acl.as_deref().unwrap_or_default()).unwrap_or(255);
            if let Some(there) = seen.get_mut(path) {
                there.acl = Some(number);
            }
        }
        other => panic!("{other:?} reads no subtree"),
    }
    Ok(())
}
