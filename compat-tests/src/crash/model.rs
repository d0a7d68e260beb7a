//! A subtree as one writer's requests make it.
//!
//! Owns: what each request does to nodes and stats, and what it is answered. Does not know:
//! connections, ACL checks (every list here lets everybody in the run do everything), the rest
//! of the tree.
//!
//! Invariant: a number that no reply has told yet is [`UNKNOWN`] and equals any.

use std::collections::{BTreeMap, BTreeSet};

use zk_wire::Code;
use zk_wire::client::Stat;

use super::op::Op;
use super::seen::Seen;

/// A zxid or time that is not known.
pub const UNKNOWN: i64 = -1;

/// A node.
#[derive(Debug, Clone)]
pub struct Node {
    pub data: Option<Vec<u8>>,
    pub acl: u8,
    pub owner: i64,
    pub version: i32,
    /// How many children were ever created: the stored cversion, and the next sequence number.
    pub creates: i32,
    pub aversion: i32,
    pub czxid: i64,
    pub mzxid: i64,
    pub pzxid: i64,
    pub ctime: i64,
    pub mtime: i64,
    pub children: BTreeSet<String>,
}

impl Node {
    /// A node just created.
    pub fn new(data: Option<Vec<u8>>, acl: u8, owner: i64, zxid: i64) -> Node {
        Node {
            data,
            acl,
            owner,
            version: 0,
            creates: 0,
            aversion: 0,
            czxid: zxid,
            mzxid: zxid,
            pzxid: zxid,
            ctime: UNKNOWN,
            mtime: UNKNOWN,
            children: BTreeSet::new(),
        }
    }

    /// The stat that a client gets.
    pub fn stat(&self) -> Stat {
        let children = self.children.len() as i32;
        Stat {
            czxid: self.czxid,
            mzxid: self.mzxid,
            ctime: self.ctime,
            mtime: self.mtime,
            version: self.version,
            cversion: self.creates * 2 - children,
            aversion: self.aversion,
            ephemeral_owner: self.owner,
            data_length: self.data.as_ref().map_or(0, Vec::len) as i32,
            num_children: children,
            pzxid: self.pzxid,
        }
    }
}

/// What a write comes to.
#[derive(Debug, Clone)]
pub enum Outcome {
    /// delete, check, closeSession.
    Nothing,
    /// create.
    Path(String),
    /// create2.
    PathStat(String, Stat),
    /// setData, setACL, with the path.
    Stat(String, Stat),
    /// One that failed.
    Failed(Code),
    /// A multi's parts.
    Multi(Vec<Outcome>),
}

/// Parent and name of a path that is not the root.
pub fn split(path: &str) -> (&str, &str) {
    path.rsplit_once('/').unwrap_or(("", path))
}

/// The subtree.
#[derive(Debug, Clone)]
pub struct Model {
    /// Where it is.
    pub root: String,
    /// Its nodes by full path.
    pub nodes: BTreeMap<String, Node>,
}

impl Model {
    /// Nothing but the root, which has no data.
    pub fn new(root: &str) -> Model {
        let node = Node::new(None, 0, 0, UNKNOWN);
        Model {
            root: root.into(),
            nodes: [(root.to_owned(), node)].into(),
        }
    }

    fn create(
        &mut self,
        path: &str,
        node: Node,
        sequential: bool,
        zxid: i64,
    ) -> Result<String, Code> {
        let (parent_path, _) = split(path);
        let Some(parent) = self.nodes.get(parent_path) else {
            return Err(Code::NoNode);
        };
        let path = if sequential {
            format!("{path}{:010}", parent.creates)
        } else {
            path.to_owned()
        };
        if self.nodes.contains_key(&path) {
            return Err(Code::NodeExists);
        }
        if parent.owner != 0 {
            return Err(Code::NoChildrenForEphemerals);
        }
        let (parent_path, name) = split(&path);
        if let Some(parent) = self.nodes.get_mut(parent_path) {
            parent.creates += 1;
            parent.pzxid = zxid;
            parent.children.insert(name.into());
        }
        self.nodes.insert(path.clone(), node);
        Ok(path)
    }

    fn delete(&mut self, path: &str, version: i32, zxid: i64) -> Result<(), Code> {
        let node = self.nodes.get(path).ok_or(Code::NoNode)?;
        check_version(node.version, version)?;
        if !node.children.is_empty() {
            return Err(Code::NotEmpty);
        }
        self.nodes.remove(path);
        let (parent, name) = split(path);
        if let Some(parent) = self.nodes.get_mut(parent) {
            parent.children.remove(name);
            parent.pzxid = zxid;
        }
        Ok(())
    }

    fn one(&mut self, op: &Op, zxid: i64, session: i64) -> Result<Outcome, Code> {
        match op {
            Op::Create {
                path,
                data,
                acl,
                ephemeral,
                sequential,
                stat,
            } => {
                let owner = if *ephemeral { session } else { 0 };
                let node = Node::new(data.clone(), *acl, owner, zxid);
                let answer = node.stat();
                let path = self.create(path, node, *sequential, zxid)?;
                Ok(if *stat {
                    Outcome::PathStat(path, answer)
                } else {
                    Outcome::Path(path)
                })
            }
            Op::Delete { path, version } => {
                self.delete(path, *version, zxid)?;
                Ok(Outcome::Nothing)
            }
            Op::Set {
                path,
                data,
                version,
            } => {
                let node = self.nodes.get_mut(path).ok_or(Code::NoNode)?;
                check_version(node.version, *version)?;
                node.version += 1;
                node.data.clone_from(data);
                node.mzxid = zxid;
                node.mtime = UNKNOWN;
                Ok(Outcome::Stat(path.clone(), node.stat()))
            }
            Op::SetAcl { path, acl, version } => {
                let node = self.nodes.get_mut(path).ok_or(Code::NoNode)?;
                check_version(node.aversion, *version)?;
                node.aversion += 1;
                node.acl = *acl;
                Ok(Outcome::Stat(path.clone(), node.stat()))
            }
            Op::Check { path, version } => {
                let node = self.nodes.get(path).ok_or(Code::NoNode)?;
                check_version(node.version, *version)?;
                Ok(Outcome::Nothing)
            }
            Op::CloseSession => {
                self.close(session, zxid);
                Ok(Outcome::Nothing)
            }
            other => panic!("{other:?} is no write"),
        }
    }

    /// What a write does and is answered, under this zxid.
    pub fn write(&mut self, op: &Op, zxid: i64, session: i64) -> Outcome {
        let Op::Multi(ops) = op else {
            return match self.one(op, zxid, session) {
                Ok(outcome) => outcome,
                Err(code) => Outcome::Failed(code),
            };
        };
        // All or nothing: what the parts have touched is put back when one fails.
        let mut undo: Vec<(String, Option<Node>)> = Vec::new();
        let mut outcomes = Vec::new();
        for (at, op) in ops.iter().enumerate() {
            let created = self.created_path(op);
            for path in op.paths().chain(created.as_deref()) {
                for path in [path, split(path).0] {
                    undo.push((path.into(), self.nodes.get(path).cloned()));
                }
            }
            match self.one(op, zxid, session) {
                Ok(outcome) => outcomes.push(outcome),
                Err(code) => {
                    for (path, node) in undo.into_iter().rev() {
                        match node {
                            Some(node) => drop(self.nodes.insert(path, node)),
                            None => drop(self.nodes.remove(&path)),
                        }
                    }
                    let failed = |i: usize| match i.cmp(&at) {
                        std::cmp::Ordering::Less => Outcome::Failed(Code::Ok),
                        std::cmp::Ordering::Equal => Outcome::Failed(code),
                        std::cmp::Ordering::Greater => Outcome::Failed(Code::RuntimeInconsistency),
                    };
                    return Outcome::Multi((0..ops.len()).map(failed).collect());
                }
            }
        }
        Outcome::Multi(outcomes)
    }

    /// The path that a sequential create would get now.
    fn created_path(&self, op: &Op) -> Option<String> {
        match op {
            Op::Create {
                path,
                sequential: true,
                ..
            } => {
                let parent = self.nodes.get(split(path).0)?;
                Some(format!("{path}{:010}", parent.creates))
            }
            _ => None,
        }
    }

    /// The session's ephemeral nodes.
    pub fn ephemerals(&self, session: i64) -> BTreeSet<String> {
        let owned = self.nodes.iter().filter(|(_, node)| node.owner == session);
        owned.map(|(path, _)| path.clone()).collect()
    }

    /// Closes a session.
    pub fn close(&mut self, session: i64, zxid: i64) {
        for path in self.ephemerals(session) {
            // A node of a session has no children and needs no version.
            let _ = self.delete(&path, -1, zxid);
        }
    }

    /// Everything below a path.
    pub fn count(&self, path: &str) -> usize {
        let from = format!("{path}/");
        let below = self.nodes.range(from.clone()..);
        below.take_while(|(at, _)| at.starts_with(&from)).count()
    }

    /// Takes over what a stat tells and the model did not know.
    pub fn learn(&mut self, path: &str, stat: &Stat) {
        let Some(node) = self.nodes.get_mut(path) else {
            return;
        };
        // What a multi's earlier part tells of a node that a later one has made anew.
        if node.czxid != UNKNOWN && node.czxid != stat.czxid {
            return;
        }
        let fill = |known: &mut i64, told: i64| {
            if *known == UNKNOWN {
                *known = told;
            }
        };
        fill(&mut node.czxid, stat.czxid);
        fill(&mut node.ctime, stat.ctime);
        if node.version == stat.version {
            fill(&mut node.mzxid, stat.mzxid);
            fill(&mut node.mtime, stat.mtime);
        }
    }

    /// How what was read differs from the model, if it does: the first place.
    pub fn differs(&self, seen: &BTreeMap<String, Seen>) -> Option<String> {
        for (path, node) in &self.nodes {
            let Some(there) = seen.get(path) else {
                return Some(format!("{path} is missing"));
            };
            if there.data != node.data {
                return Some(format!(
                    "{path} has {}, not {}",
                    short(&there.data),
                    short(&node.data)
                ));
            }
            if let Err(why) = same_stat(&node.stat(), &there.stat) {
                return Some(format!("{path}: {why}"));
            }
            if there.acl.is_some_and(|acl| acl != node.acl) {
                return Some(format!("{path} has ACL {:?}, not {}", there.acl, node.acl));
            }
        }
        let extra = seen.keys().find(|path| !self.nodes.contains_key(*path));
        extra.map(|path| format!("{path} should not exist"))
    }

    /// Takes over everything that was read, which equals the model.
    pub fn settle(&mut self, seen: &BTreeMap<String, Seen>) {
        for (path, there) in seen {
            if let Some(node) = self.nodes.get_mut(path) {
                node.czxid = there.stat.czxid;
                node.mzxid = there.stat.mzxid;
                node.pzxid = there.stat.pzxid;
                node.ctime = there.stat.ctime;
                node.mtime = there.stat.mtime;
            }
        }
    }
}

fn check_version(current: i32, expected: i32) -> Result<(), Code> {
    if expected == -1 || expected == current {
        Ok(())
    } else {
        Err(Code::BadVersion)
    }
}

/// Compares two stats; what is not known equals anything.
///
/// # Errors
/// The first field that differs.
pub fn same_stat(want: &Stat, got: &Stat) -> Result<(), String> {
    let fields = [
        ("czxid", want.czxid, got.czxid),
        ("mzxid", want.mzxid, got.mzxid),
        ("pzxid", want.pzxid, got.pzxid),
        ("ctime", want.ctime, got.ctime),
        ("mtime", want.mtime, got.mtime),
    ];
    for (name, want, got) in fields {
        if want != UNKNOWN && want != got {
            return Err(format!("{name} is {got:#x}, not {want:#x}"));
        }
    }
    let fields = [
        ("version", want.version.into(), got.version.into()),
        ("cversion", want.cversion.into(), got.cversion.into()),
        ("aversion", want.aversion.into(), got.aversion.into()),
        ("ephemeralOwner", want.ephemeral_owner, got.ephemeral_owner),
        (
            "dataLength",
            want.data_length.into(),
            got.data_length.into(),
        ),
        (
            "numChildren",
            want.num_children.into(),
            got.num_children.into(),
        ),
    ];
    for (name, want, got) in fields {
        let (want, got): (i64, i64) = (want, got);
        if want != got {
            return Err(format!("{name} is {got}, not {want}"));
        }
    }
    Ok(())
}

fn short(data: &Option<Vec<u8>>) -> String {
    match data {
        None => "no data".into(),
        Some(data) => format!("{} bytes {:02x?}", data.len(), &data[..data.len().min(12)]),
    }
}
