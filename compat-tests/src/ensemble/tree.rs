//! A whole tree as one server shows it.
//!
//! Owns: the walk, with many requests outstanding. Does not know: what ought to be there.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;

use compat_tests::raw::{In, Out, hex, text};

use super::client::{Got, Session, op};
use super::limits::{HANDSHAKE, SESSION_MS, SETTLE, WALK_WINDOW};

/// A node as a client reads it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Shown {
    /// The data.
    pub data: Vec<u8>,
    /// The stat, 68 bytes.
    pub stat: Vec<u8>,
    /// ACL and stat as they came.
    pub acl: Vec<u8>,
    /// Sorted.
    pub children: Vec<String>,
}

impl Shown {
    /// The zxid that created it.
    pub fn czxid(&self) -> i64 {
        In::new(&self.stat).long().unwrap_or(0)
    }

    /// The session that owns it, or what stands in its place.
    pub fn owner(&self) -> i64 {
        let mut input = In::new(&self.stat);
        // czxid, mzxid, ctime, mtime, then three versions.
        input.take(4 * 8 + 3 * 4);
        input.long().unwrap_or(0)
    }

    fn line(&self) -> String {
        format!(
            "data {:?} stat {} acl {} children {:?}",
            String::from_utf8_lossy(&self.data),
            hex(&self.stat),
            hex(&self.acl),
            self.children
        )
    }
}

/// All nodes by path.
pub type Tree = BTreeMap<String, Shown>;

#[derive(Debug, Clone, Copy)]
enum Asked {
    Data,
    Acl,
    Children,
}

/// Reads all nodes of the server at `addr`, after a sync. Nodes below /zookeeper/config are left out:
/// each server writes that one by itself.
///
/// # Errors
/// It does not serve, or answers a read with an error.
pub fn read(addr: SocketAddr) -> Result<Tree, String> {
    let mut session = Session::on(addr, SESSION_MS, SETTLE)?;
    let mut body = Out::new();
    body.bytes(&text("/"));
    let (_, err, _) = session.call(op::SYNC, &body.0, HANDSHAKE)?;
    if err != 0 {
        return Err(format!("{addr}: sync: {err}"));
    }
    let mut tree = Tree::new();
    let mut found = VecDeque::from([String::from("/")]);
    let mut asked: VecDeque<(i32, String, Asked)> = VecDeque::new();
    while !(found.is_empty() && asked.is_empty()) {
        while asked.len() < WALK_WINDOW {
            let Some(path) = found.pop_front() else {
                break;
            };
            let mut plain = Out::new();
            plain.bytes(&text(&path));
            let mut watch = plain.clone();
            watch.bool(false);
            for (op, body, what) in [
                (op::GET_DATA, &watch, Asked::Data),
                (op::GET_ACL, &plain, Asked::Acl),
                (op::GET_CHILDREN2, &watch, Asked::Children),
            ] {
                let xid = session.send(op, &body.0);
                asked.push_back((xid, path.clone(), what));
            }
        }
        let Got::Reply { xid, err, body, .. } = session.receive(HANDSHAKE) else {
            return Err(format!("{addr}: no reply to {:?}", asked.front()));
        };
        let Some((sent, path, what)) = asked.pop_front() else {
            return Err(format!("{addr}: reply {xid} to nothing"));
        };
        if sent != xid || err != 0 {
            return Err(format!(
                "{addr}: {what:?} of {path}: error {err}, xid {xid} for {sent}"
            ));
        }
        take(&mut tree, &mut found, path, what, &body)
            .ok_or_else(|| format!("{addr}: a short reply"))?;
    }
    session.close(HANDSHAKE)?;
    Ok(tree)
}

fn take(
    tree: &mut Tree,
    found: &mut VecDeque<String>,
    path: String,
    what: Asked,
    body: &[u8],
) -> Option<()> {
    let mut input = In::new(body);
    match what {
        Asked::Data => {
            let data = input.bytes()?.unwrap_or_default().to_vec();
            let shown = tree.entry(path).or_default();
            shown.data = data;
            shown.stat = input.rest().to_vec();
        }
        Asked::Acl => tree.entry(path).or_default().acl = body.to_vec(),
        Asked::Children => {
            let mut names = Vec::new();
            for _ in 0..input.int()? {
                names.push(String::from_utf8_lossy(input.bytes()??).into_owned());
            }
            names.sort_unstable();
            let parent = if path == "/" { "" } else { path.as_str() };
            found.extend(
                names
                    .iter()
                    .map(|name| format!("{parent}/{name}"))
                    .filter(|path| path != "/zookeeper/config"),
            );
            tree.entry(path).or_default().children = names;
        }
    }
    Some(())
}

/// The first differences of two trees, a line each.
pub fn differences(left: &Tree, right: &Tree) -> Vec<String> {
    let mut lines = Vec::new();
    let paths: std::collections::BTreeSet<&String> = left.keys().chain(right.keys()).collect();
    for path in paths {
        let shown = |tree: &Tree| tree.get(path).map_or("nothing".to_owned(), Shown::line);
        if left.get(path) != right.get(path) {
            lines.push(format!("{path}\n  {}\n  {}", shown(left), shown(right)));
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_difference_is_a_line() {
        let node = |data: &[u8]| Shown {
            data: data.to_vec(),
            ..Shown::default()
        };
        let tree = |nodes: &[(&str, &[u8])]| -> Tree {
            nodes
                .iter()
                .map(|(path, data)| ((*path).to_owned(), node(data)))
                .collect()
        };
        let left = tree(&[("/", b""), ("/a", b"1"), ("/b", b"2")]);
        let right = tree(&[("/", b""), ("/a", b"9"), ("/c", b"3")]);
        assert!(differences(&left, &left).is_empty());
        assert_eq!(differences(&left, &right).len(), 3);
    }
}
