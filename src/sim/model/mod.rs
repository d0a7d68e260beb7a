//! A plain model of the data tree: what every operation must answer and do, written for a second
//! time and in the simplest way, from what is known of ZooKeeper's behaviour.
//!
//! A [`State`] is a map of paths and is never changed: each transaction makes a new one, so that
//! a read can be judged at any zxid. It does not know connections, order, logs, or anything of
//! the core's tree; it shares with the core only the formats and the digest of a single node.

mod access;
mod path;
mod quota;
mod read;
mod watch;
mod write;

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::rc::Rc;

use zk_wire::client::Stat;
use zk_wire::digest;
use zk_wire::stat::StatPersisted;

pub use access::{AclList, Entry, Identity, Ids, authenticate};
pub use path::{parent, valid};
pub use read::{Answer, read, same};
pub use watch::{Fired, WatchSet};
pub use write::{
    Outcome, Write, close, create_session, fail, owns, plain, reap, reconfigure, write,
};

/// The settings that change what is answered.
#[derive(Debug, Clone)]
pub struct Rules {
    /// TTL nodes exist.
    pub extended: bool,
    /// Hard quotas refuse.
    pub enforce_quota: bool,
    /// `user:password` whose digest makes a super user.
    pub super_user: Option<String>,
    /// reconfig is enabled (and then unimplemented).
    pub reconfig: bool,
    /// Longest string or buffer in a request.
    pub max_field: usize,
    /// Least session timeout, milliseconds.
    pub min_session_ms: i32,
    /// Largest session timeout, milliseconds.
    pub max_session_ms: i32,
}

/// One node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Znode {
    /// Data.
    pub data: Option<Rc<[u8]>>,
    /// Access control list.
    pub acl: AclList,
    /// As stored.
    pub stat: StatPersisted,
}

/// The owner of a container, as stored.
pub const CONTAINER: i64 = i64::MIN;
/// The longest time to live, in milliseconds.
pub const TTL_MAX: i64 = (1 << 40) - 1;
const TTL_MARK: i64 = 0xFF_u64.wrapping_shl(56) as i64;

/// The owner of a node that lives so many milliseconds, as stored.
pub fn ttl_owner(ttl: i64) -> i64 {
    TTL_MARK | ttl
}

/// What a node's stored owner means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Stays.
    Persistent,
    /// Goes with its session.
    Ephemeral(i64),
    /// Goes with its last child.
    Container,
    /// Goes after so many milliseconds.
    Ttl(i64),
}

impl Znode {
    /// What its stored owner means. The simulator makes no nodes of the layout of 3.5.3, and turns
    /// TTL nodes never off again.
    pub fn kind(&self) -> Kind {
        match self.stat.ephemeral_owner {
            0 => Kind::Persistent,
            CONTAINER => Kind::Container,
            owner if owner & TTL_MARK == TTL_MARK => Kind::Ttl(owner & TTL_MAX),
            owner => Kind::Ephemeral(owner),
        }
    }

    /// Length of the data.
    pub fn data_len(&self) -> usize {
        self.data.as_ref().map_or(0, |data| data.len())
    }
}

/// Everything that a server knows for good, after one transaction.
#[derive(Debug, Clone, Default)]
pub struct State {
    /// Nodes by path; the root is `/`.
    pub nodes: BTreeMap<Rc<str>, Rc<Znode>>,
    /// Sessions and their timeouts in milliseconds.
    pub sessions: BTreeMap<i64, i32>,
}

/// The list that says nothing: anyone may do anything.
pub fn open() -> AclList {
    access::world(31)
}

impl State {
    /// A fresh server's.
    pub fn fresh() -> State {
        let mut state = State::default();
        let empty: Rc<[u8]> = Rc::from([]);
        for path in ["/", "/zookeeper", "/zookeeper/quota", "/zookeeper/config"] {
            let config = path == "/zookeeper/config";
            let node = Znode {
                data: Some(empty.clone()),
                acl: access::world(if config { 1 } else { 31 }),
                stat: StatPersisted {
                    aversion: if config { -1 } else { 0 },
                    ..StatPersisted::default()
                },
            };
            state.nodes.insert(path.into(), Rc::new(node));
        }
        state
    }

    /// The node at a path; `""` is the root.
    pub fn get(&self, path: &str) -> Option<&Rc<Znode>> {
        self.nodes.get(if path.is_empty() { "/" } else { path })
    }

    fn put(&mut self, path: &str, node: Znode) {
        let path = if path.is_empty() { "/" } else { path };
        self.nodes.insert(path.into(), Rc::new(node));
    }

    fn take(&mut self, path: &str) -> Option<Rc<Znode>> {
        self.nodes.remove(path)
    }

    /// Names of a node's children, in order.
    pub fn children(&self, path: &str) -> Vec<&str> {
        let prefix = if path == "/" || path.is_empty() {
            String::from("/")
        } else {
            format!("{path}/")
        };
        self.nodes
            .range::<str, _>((Bound::Included(prefix.as_str()), Bound::Unbounded))
            .map(|(path, _)| &**path)
            .take_while(|path| path.starts_with(&prefix))
            .map(|path| &path[prefix.len()..])
            .filter(|name| !name.is_empty() && !name.contains('/'))
            .collect()
    }

    /// Paths of a node and of all below it.
    pub fn subtree(&self, path: &str) -> Vec<&str> {
        let below = format!("{path}/");
        self.nodes
            .keys()
            .map(|at| &**at)
            .filter(|at| *at == path || at.starts_with(&below))
            .collect()
    }

    /// A node's stat as clients see it.
    pub fn client_stat(&self, path: &str, node: &Znode) -> Stat {
        let children = self.children(path).len() as i32;
        let stat = &node.stat;
        Stat {
            czxid: stat.czxid,
            mzxid: stat.mzxid,
            ctime: stat.ctime,
            mtime: stat.mtime,
            version: stat.version,
            cversion: stat.cversion.wrapping_mul(2).wrapping_sub(children),
            aversion: stat.aversion,
            ephemeral_owner: match node.kind() {
                Kind::Ephemeral(session) => session,
                Kind::Persistent | Kind::Container | Kind::Ttl(_) => 0,
            },
            data_length: node.data_len() as i32,
            num_children: children,
            pzxid: stat.pzxid,
        }
    }

    /// A session's ephemeral nodes.
    pub fn ephemerals(&self, session: i64) -> BTreeSet<Rc<str>> {
        self.nodes
            .iter()
            .filter(|(_, node)| node.kind() == Kind::Ephemeral(session))
            .map(|(path, _)| path.clone())
            .collect()
    }

    /// The tree's digest, from nothing but the nodes.
    pub fn digest(&self) -> u64 {
        self.nodes
            .iter()
            .filter(|(path, _)| digest::in_digest(path))
            .map(|(path, node)| {
                let path = if &**path == "/" { "" } else { path };
                let crc = digest::node_crc(path.as_bytes(), node.data.as_deref());
                digest::finish(crc, &node.stat)
            })
            .fold(0, u64::wrapping_add)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fresh_state_is_javas() {
        let state = State::fresh();
        assert_eq!(state.digest(), digest::EMPTY_TREE);
        assert_eq!(state.children("/"), ["zookeeper"]);
        assert_eq!(state.children("/zookeeper"), ["config", "quota"]);
        let root = state.client_stat("/", &state.nodes["/"]);
        assert_eq!((root.cversion, root.num_children), (-1, 1));
    }
}
