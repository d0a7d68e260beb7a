//! A plain tree with plain watches: what a right server answers, given the order of zxids.
//!
//! Owns: nodes with stats, one connection's watches, replies as bytes with all times zero.
//!
//! Does not know: ACLs, quotas, TTLs, sessions' timeouts: a free run uses none.
//!
//! Invariant: every rule is written down once and simply; speed is no aim.

use std::collections::{BTreeMap, BTreeSet};

use super::history::{Event, Read, Write};
use crate::differential::op::code;
use crate::raw::{Out, text};

/// A node.
#[derive(Debug, Clone, Default)]
struct Node {
    data: Vec<u8>,
    czxid: i64,
    mzxid: i64,
    pzxid: i64,
    version: i32,
    /// Children ever created.
    created: i32,
    owner: i64,
    children: BTreeSet<String>,
}

/// What one connection watches.
#[derive(Debug, Clone, Default)]
pub struct Watches {
    data: BTreeSet<String>,
    child: BTreeSet<String>,
    persistent: BTreeSet<String>,
    recursive: BTreeSet<String>,
}

/// What a transaction did to one node, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// Created.
    Created(String),
    /// Deleted.
    Deleted(String),
    /// Data set.
    Set(String),
}

/// A reply: error code, and the body of a success.
pub type Answer = (i32, Vec<u8>);

const NO_NODE: i32 = -101;
const BAD_VERSION: i32 = -103;
const NO_CHILDREN_FOR_EPHEMERALS: i32 = -108;
const NODE_EXISTS: i32 = -110;
const NOT_EMPTY: i32 = -111;
const RUNTIME_INCONSISTENCY: i32 = -2;

/// The tree.
#[derive(Debug, Clone, Default)]
pub struct Model {
    nodes: BTreeMap<String, Node>,
    /// What nodes were before the write under way touched them, newest last.
    undo: Vec<(String, Option<Node>)>,
}

fn parent(path: &str) -> &str {
    match path.rfind('/') {
        Some(0) | None => "/",
        Some(i) => &path[..i],
    }
}

fn name(path: &str) -> &str {
    &path[path.rfind('/').map_or(0, |i| i + 1)..]
}

/// A result of one part of a multi, before it is known whether all succeed.
struct Part {
    kind: i32,
    body: Vec<u8>,
}

impl Model {
    /// A tree that holds only `root` (and what is above it is nobody's business), created by `zxid`.
    pub fn new(root: &str, zxid: i64) -> Self {
        let node = Node {
            czxid: zxid,
            mzxid: zxid,
            pzxid: zxid,
            ..Node::default()
        };
        Self {
            nodes: BTreeMap::from([(root.to_string(), node)]),
            undo: Vec::new(),
        }
    }

    fn stat(&self, path: &str) -> Vec<u8> {
        let node = &self.nodes[path];
        let count = i32::try_from(node.children.len()).expect("a small tree");
        let mut out = Out::new();
        out.long(node.czxid).long(node.mzxid).long(0).long(0);
        out.int(node.version).int(node.created * 2 - count).int(0);
        out.long(node.owner);
        out.int(i32::try_from(node.data.len()).expect("small data"));
        out.int(count).long(node.pzxid);
        out.0
    }

    /// Applies a write of `session` as transaction `zxid`.
    pub fn write(&mut self, write: &Write, session: i64, zxid: i64) -> (Answer, Vec<Change>) {
        let mut changes = Vec::new();
        self.undo.clear();
        let answer = match write {
            Write::Multi(parts) => (0, self.multi(parts, session, zxid, &mut changes)),
            Write::Close => {
                let mine: Vec<String> = self
                    .nodes
                    .iter()
                    .filter(|(_, n)| n.owner == session)
                    .map(|(p, _)| p.clone())
                    .collect();
                for path in mine {
                    self.remove(&path, zxid);
                    changes.push(Change::Deleted(path));
                }
                (0, Vec::new())
            }
            single => match self.single(single, session, zxid, &mut changes) {
                Ok(part) => (0, part.body),
                Err(err) => (err, Vec::new()),
            },
        };
        (answer, changes)
    }

    fn multi(
        &mut self,
        parts: &[Write],
        session: i64,
        zxid: i64,
        changes: &mut Vec<Change>,
    ) -> Vec<u8> {
        let mut done = Vec::new();
        let mut failure = None;
        for part in parts {
            match self.single(part, session, zxid, changes) {
                Ok(part) => done.push(part),
                Err(err) => {
                    failure = Some(err);
                    break;
                }
            }
        }
        let mut out = Out::new();
        match failure {
            None => {
                for part in done {
                    out.int(part.kind).bool(false).int(0);
                    out.0.extend(part.body);
                }
            }
            Some(err) => {
                while let Some((path, before)) = self.undo.pop() {
                    match before {
                        Some(node) => self.nodes.insert(path, node),
                        None => self.nodes.remove(&path),
                    };
                }
                changes.clear();
                for i in 0..parts.len() {
                    let code = match i.cmp(&done.len()) {
                        std::cmp::Ordering::Less => 0,
                        std::cmp::Ordering::Equal => err,
                        std::cmp::Ordering::Greater => RUNTIME_INCONSISTENCY,
                    };
                    out.int(-1).bool(false).int(code).int(code);
                }
            }
        }
        out.int(-1).bool(true).int(-1);
        out.0
    }

    fn single(
        &mut self,
        write: &Write,
        session: i64,
        zxid: i64,
        changes: &mut Vec<Change>,
    ) -> Result<Part, i32> {
        match write {
            Write::Create {
                op,
                path,
                data,
                flags,
            } => {
                let above = parent(path).to_string();
                let up = self.nodes.get(&above).ok_or(NO_NODE)?;
                let sequential = matches!(flags, 2 | 3);
                let path = if sequential {
                    format!("{path}{:010}", up.created)
                } else {
                    path.clone()
                };
                if self.nodes.contains_key(&path) {
                    return Err(NODE_EXISTS);
                }
                if up.owner != 0 {
                    return Err(NO_CHILDREN_FOR_EPHEMERALS);
                }
                let owner = if matches!(flags, 1 | 3) { session } else { 0 };
                self.touch(&above);
                self.touch(&path);
                let up = self.nodes.get_mut(&above).expect("just looked up");
                up.created += 1;
                up.pzxid = zxid;
                up.children.insert(name(&path).to_string());
                let node = Node {
                    data: data.clone(),
                    czxid: zxid,
                    mzxid: zxid,
                    pzxid: zxid,
                    owner,
                    ..Node::default()
                };
                self.nodes.insert(path.clone(), node);
                let mut out = Out::new();
                out.bytes(&text(&path));
                if *op == code::CREATE2 {
                    out.0.extend(self.stat(&path));
                }
                changes.push(Change::Created(path));
                Ok(Part {
                    kind: *op,
                    body: out.0,
                })
            }
            Write::Delete { path, version } => {
                if !self.nodes.contains_key(parent(path)) {
                    return Err(NO_NODE);
                }
                let node = self.nodes.get(path).ok_or(NO_NODE)?;
                if *version != -1 && *version != node.version {
                    return Err(BAD_VERSION);
                }
                if !node.children.is_empty() {
                    return Err(NOT_EMPTY);
                }
                self.remove(path, zxid);
                changes.push(Change::Deleted(path.clone()));
                Ok(Part {
                    kind: code::DELETE,
                    body: Vec::new(),
                })
            }
            Write::Set {
                path,
                data,
                version,
            } => {
                self.touch(path);
                let node = self.nodes.get_mut(path).ok_or(NO_NODE)?;
                if *version != -1 && *version != node.version {
                    return Err(BAD_VERSION);
                }
                node.data.clone_from(data);
                node.version += 1;
                node.mzxid = zxid;
                changes.push(Change::Set(path.clone()));
                Ok(Part {
                    kind: code::SET_DATA,
                    body: self.stat(path),
                })
            }
            Write::Check { path, version } => {
                let node = self.nodes.get(path).ok_or(NO_NODE)?;
                if *version != -1 && *version != node.version {
                    return Err(BAD_VERSION);
                }
                Ok(Part {
                    kind: code::CHECK,
                    body: Vec::new(),
                })
            }
            Write::Multi(_) | Write::Close => unreachable!("no part of a multi"),
        }
    }

    fn touch(&mut self, path: &str) {
        let before = self.nodes.get(path).cloned();
        self.undo.push((path.to_string(), before));
    }

    fn remove(&mut self, path: &str, zxid: i64) {
        self.touch(path);
        self.touch(parent(path));
        self.nodes.remove(path);
        let up = self
            .nodes
            .get_mut(parent(path))
            .expect("a parent outlives its children");
        up.children.remove(name(path));
        up.pzxid = up.pzxid.max(zxid);
    }

    /// What a read sees now; leaves its watch.
    pub fn read(&self, read: &Read, watches: &mut Watches) -> Answer {
        let mut out = Out::new();
        match read {
            Read::Data { path, watch } => {
                let Some(node) = self.nodes.get(path) else {
                    return (NO_NODE, Vec::new());
                };
                if *watch {
                    watches.data.insert(path.clone());
                }
                out.bytes(&Some(node.data.clone()));
                out.0.extend(self.stat(path));
            }
            Read::Exists { path, watch } => {
                if *watch {
                    watches.data.insert(path.clone());
                }
                if !self.nodes.contains_key(path) {
                    return (NO_NODE, Vec::new());
                }
                out.0.extend(self.stat(path));
            }
            Read::Children { path, watch } => {
                let Some(node) = self.nodes.get(path) else {
                    return (NO_NODE, Vec::new());
                };
                if *watch {
                    watches.child.insert(path.clone());
                }
                out.strings(&Some(node.children.iter().map(|c| text(c)).collect()));
                out.0.extend(self.stat(path));
            }
            Read::Many(paths) => {
                for path in paths {
                    match self.nodes.get(path) {
                        None => {
                            out.int(-1).bool(false).int(NO_NODE).int(NO_NODE);
                        }
                        Some(node) => {
                            out.int(code::GET_DATA)
                                .bool(false)
                                .int(0)
                                .bytes(&Some(node.data.clone()));
                            out.0.extend(self.stat(path));
                        }
                    }
                }
                out.int(-1).bool(true).int(-1);
            }
            Read::Watch { path, recursive } => {
                let set = if *recursive {
                    &mut watches.recursive
                } else {
                    &mut watches.persistent
                };
                set.insert(path.clone());
                out.int(0);
            }
            Read::Sync => {
                out.bytes(&text("/"));
            }
            Read::Ping => {}
        }
        (0, out.0)
    }

    /// Paths of all nodes.
    pub fn paths(&self) -> impl Iterator<Item = &String> {
        self.nodes.keys()
    }
}

impl Watches {
    /// Whether any mode's data-table watch sees `path`; a one-shot watch is used up.
    fn data_hit(&mut self, path: &str) -> bool {
        let one_shot = self.data.remove(path);
        let above = self.recursive.iter().any(|w| {
            w == path
                || w == "/"
                || path
                    .strip_prefix(w.as_str())
                    .is_some_and(|rest| rest.starts_with('/'))
        });
        one_shot || self.persistent.contains(path) || above
    }

    fn child_hit(&mut self, path: &str) -> bool {
        let one_shot = self.child.remove(path);
        one_shot || self.persistent.contains(path)
    }

    /// The events that a change brings to this connection.
    pub fn trigger(&mut self, change: &Change, zxid: i64, out: &mut Vec<Event>) {
        let mut event = |kind, path: &str| {
            out.push(Event {
                zxid,
                kind,
                path: path.to_string(),
            })
        };
        match change {
            Change::Created(path) => {
                if self.data_hit(path) {
                    event(1, path);
                }
                if self.child_hit(parent(path)) {
                    event(4, parent(path));
                }
            }
            Change::Deleted(path) => {
                let data = self.data_hit(path);
                let child = self.child_hit(path);
                if data || child {
                    event(2, path);
                }
                if self.child_hit(parent(path)) {
                    event(4, parent(path));
                }
            }
            Change::Set(path) => {
                if self.data_hit(path) {
                    event(3, path);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn create(path: &str, flags: i32) -> Write {
        Write::Create {
            op: code::CREATE,
            path: path.into(),
            data: vec![],
            flags,
        }
    }

    #[test]
    fn failed_multi_leaves_no_trace() {
        let mut model = Model::new("/r", 1);
        let multi = Write::Multi(vec![
            create("/r/s-", 2),
            Write::Check {
                path: "/r/x".into(),
                version: 0,
            },
            create("/r/y", 0),
        ]);
        let ((err, body), changes) = model.write(&multi, 7, 2);
        assert_eq!(err, 0);
        assert!(changes.is_empty());
        let mut expected = Out::new();
        for code in [0, NO_NODE, RUNTIME_INCONSISTENCY] {
            expected.int(-1).bool(false).int(code).int(code);
        }
        expected.int(-1).bool(true).int(-1);
        assert_eq!(body, expected.0);
        let ((_, path), _) = model.write(&create("/r/s-", 2), 7, 3);
        let mut first = Out::new();
        first.bytes(&text("/r/s-0000000000"));
        assert_eq!(path, first.0);
    }

    #[test]
    fn one_deleted_event_for_data_and_child_watch() {
        let mut model = Model::new("/r", 1);
        let mut watches = Watches::default();
        model.write(&create("/r/x", 0), 7, 2);
        model.read(
            &Read::Data {
                path: "/r/x".into(),
                watch: true,
            },
            &mut watches,
        );
        model.read(
            &Read::Children {
                path: "/r/x".into(),
                watch: true,
            },
            &mut watches,
        );
        model.read(
            &Read::Watch {
                path: "/r".into(),
                recursive: true,
            },
            &mut watches,
        );
        let (_, changes) = model.write(
            &Write::Delete {
                path: "/r/x".into(),
                version: -1,
            },
            7,
            3,
        );
        let mut events = Vec::new();
        changes
            .iter()
            .for_each(|c| watches.trigger(c, 3, &mut events));
        assert_eq!(
            events,
            vec![Event {
                zxid: 3,
                kind: 2,
                path: "/r/x".into()
            }]
        );
    }
}
