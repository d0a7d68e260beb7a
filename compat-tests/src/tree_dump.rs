//! A server's whole tree as text, to be compared with another server's that has read the same log.
//!
//! Owns: the walk, as a client whom every ACL lets pass. Does not know: how the two came to hold the
//! same tree, nor any difference that would be in order; there is none: times, owners and session ids
//! are in the log.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use crate::conn::{Conn, connect_request, connect_response, request};
use crate::differential::op::code;
use crate::limits::REPLY_TIMEOUT;
use crate::raw::{In, Out, hex, text};
use crate::servers::SUPER_AUTH;

/// Every node by its path: data, ACL, stat and children, each as it came, but for the children's
/// order.
pub type Dump = BTreeMap<String, String>;

struct Client {
    conn: Conn,
    xid: i32,
}

impl Client {
    fn open(addr: SocketAddr) -> Result<Self, String> {
        let mut conn = Conn::open(addr).map_err(|e| format!("{addr}: {e}"))?;
        conn.send(&connect_request(0, 30_000, 0, &Some(vec![0; 16]), None).framed());
        let frame = conn
            .frame(REPLY_TIMEOUT)
            .map_err(|e| format!("{addr}: no handshake: {e:?}"))?;
        if connect_response(&frame).is_none_or(|answer| answer.session_id == 0) {
            return Err(format!("{addr} gives no session: {}", hex(&frame)));
        }
        let mut client = Self { conn, xid: 0 };
        let mut auth = Out::new();
        auth.int(0).bytes(&text("digest")).bytes(&text(SUPER_AUTH));
        client.call(code::AUTH, &auth.0)?;
        Ok(client)
    }

    /// The reply's body.
    fn call(&mut self, op: i32, body: &[u8]) -> Result<Vec<u8>, String> {
        self.xid += 1;
        self.conn.send(&request(self.xid, op, body).framed());
        let frame = self
            .conn
            .frame(REPLY_TIMEOUT)
            .map_err(|e| format!("op {op}: no reply: {e:?}"))?;
        let mut input = In::new(&frame);
        let header = (input.int(), input.long(), input.int());
        match header {
            (Some(xid), Some(_), Some(0)) if xid == self.xid => Ok(input.rest().to_vec()),
            _ => Err(format!("op {op} of xid {}: {header:?}", self.xid)),
        }
    }
}

/// Reads the whole tree of the server at `addr`, which must know the super user of the tests.
///
/// # Errors
/// What it answered otherwise.
pub fn dump(addr: SocketAddr) -> Result<Dump, String> {
    let mut client = Client::open(addr)?;
    let mut nodes = Dump::new();
    let mut queue = vec![String::from("/")];
    while let Some(path) = queue.pop() {
        let mut body = Out::new();
        body.bytes(&text(&path));
        let acl = client.call(code::GET_ACL, &body.0)?;
        body.bool(false);
        let data = client.call(code::GET_DATA, &body.0)?;
        let children = client.call(code::GET_CHILDREN2, &body.0)?;
        let mut input = In::new(&children);
        let mut names = Vec::new();
        for _ in 0..input.int().unwrap_or(0) {
            let name = input.bytes().flatten().ok_or("a short child list")?;
            names.push(String::from_utf8_lossy(name).into_owned());
        }
        names.sort_unstable();
        let parent = if path == "/" { "" } else { &path };
        queue.extend(names.iter().map(|name| format!("{parent}/{name}")));
        let node = format!(
            "data and stat {}, acl and stat {}, children {names:?}, stat {}",
            hex(&data),
            hex(&acl),
            hex(input.rest())
        );
        nodes.insert(path, node);
    }
    Ok(nodes)
}

/// Deletes nodes of the server at `addr`, whatever their ACL.
///
/// # Errors
/// What it answered otherwise.
pub fn delete<'a>(addr: SocketAddr, paths: impl Iterator<Item = &'a String>) -> Result<(), String> {
    let mut client = Client::open(addr)?;
    for path in paths {
        let mut body = Out::new();
        body.bytes(&text(path)).int(-1);
        client.call(code::DELETE, &body.0)?;
    }
    Ok(())
}

/// The differences of two trees, a line each.
pub fn differences(left: &Dump, right: &Dump) -> Vec<String> {
    let mut lines = Vec::new();
    for (path, node) in left {
        match right.get(path) {
            None => lines.push(format!("{path:?} is on the left only: {node}")),
            Some(other) if other != node => {
                lines.push(format!("{path:?}\n  left:  {node}\n  right: {other}"));
            }
            Some(_) => {}
        }
    }
    for (path, node) in right {
        if !left.contains_key(path) {
            lines.push(format!("{path:?} is on the right only: {node}"));
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_of_difference_is_found() {
        let tree = |nodes: &[(&str, &str)]| -> Dump {
            nodes
                .iter()
                .map(|(path, node)| ((*path).into(), (*node).into()))
                .collect()
        };
        let left = tree(&[("/", "x"), ("/a", "1"), ("/b", "2")]);
        assert!(differences(&left, &left).is_empty());
        let right = tree(&[("/", "x"), ("/a", "9"), ("/c", "3")]);
        assert_eq!(differences(&left, &right).len(), 3);
    }
}
