//! The data tree: nodes, access control lists, session table, indexes of ephemeral, container and
//! TTL nodes, and the digest over all of it.
//!
//! It does not know prepare, watches, connections or where rows come from. It may hold only a
//! part of the nodes while a store is still being read: then a path is found, absent or unknown,
//! and whoever meets an unknown one waits for [`Tree::install`].
//!
//! Invariants: a resident node's parent is resident. `digest` is the sum over every existing
//! node, resident or not. What is dirty is resident or noted as gone. In a complete tree every
//! node is resident.

mod apply;
mod index;
mod load;
mod node;
mod view;

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::vec::Vec;
use core::hash::{BuildHasher, Hasher};

use foldhash::fast::FixedState;
use zk_wire::digest;
use zk_wire::stat::StatPersisted;

use crate::acl::{AclId, AclTable, List};
use crate::hash::Set;
use crate::ids::{SessionId, Zxid};
use crate::limits::{DIGEST_LOG_ENTRIES, DIGEST_LOG_INTERVAL};
use crate::owner::Extended;
use crate::quota::Quotas;

pub use apply::{Created, Deleted, Modified};
pub use load::{Change, Meta, Row};
pub use view::NodeView;

use index::Index;
use node::{Arena, Node, ROOT, Slot};

/// What a lookup finds.
#[derive(Debug)]
pub enum Lookup<'a> {
    /// The node.
    Found(NodeView<'a>),
    /// There is no such node.
    Absent,
    /// Not resident: the store knows.
    Unknown,
}

/// Rows that an operation needs before it can go on.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Need {
    /// This node, and the nodes above it that are not resident.
    Node(Box<str>),
    /// All children of this node.
    Children(Box<str>),
    /// Every node.
    All,
}

/// A node that has changed since the store was last told.
#[derive(Debug)]
enum Dirty {
    Node(Slot),
    Gone { path: Box<str>, owner: i64 },
}

/// The tree. See the module's documentation.
#[derive(Debug)]
pub struct Tree {
    arena: Arena,
    index: Index,
    hasher: FixedState,
    extended: Extended,
    acls: AclTable,
    sessions: BTreeMap<SessionId, i32>,
    /// Sessions that only this server knows: in no store, and in no digest.
    local: BTreeSet<SessionId>,
    ephemerals: BTreeMap<SessionId, BTreeSet<Box<str>>>,
    ephemeral_count: usize,
    containers: BTreeSet<Box<str>>,
    ttls: BTreeSet<Box<str>>,
    quotas: Quotas,
    quotas_settled: bool,
    digest: u64,
    node_count: u64,
    data_size: u64,
    last: Zxid,
    /// Clients see no earlier zxid than this.
    served: Zxid,
    digest_log: VecDeque<(Zxid, u64)>,
    complete: bool,
    /// Deleted while the tree is partial: the store may still have them.
    known_absent: Set<Box<str>>,
    /// Asked for and not in the store. May be forgotten.
    asked_absent: Set<Box<str>>,
    asked_absent_bytes: usize,
    dirty: Vec<Dirty>,
    dirty_sessions: BTreeSet<SessionId>,
}

impl Tree {
    /// The tree of a fresh server: `/`, `/zookeeper`, `/zookeeper/quota`, `/zookeeper/config`.
    ///
    /// `seed` keeps clients from choosing paths that collide; any value gives the same tree.
    pub fn new(extended: Extended, seed: u64) -> Tree {
        let mut tree = Tree::bare(extended, seed);
        tree.complete = true;
        tree.quotas_settled = true;
        // Every stat field is 0, but for the configuration node's aversion.
        let fresh = StatPersisted::default();
        let read_only: List = [crate::acl::world(crate::acl::perm::READ)].into();
        let config_acl = tree.acls.intern(&read_only);
        tree.add_initial("", fresh, AclId::OPEN);
        tree.add_initial("/zookeeper", fresh, AclId::OPEN);
        tree.add_initial("/zookeeper/quota", fresh, AclId::OPEN);
        tree.add_initial(
            "/zookeeper/config",
            StatPersisted {
                aversion: -1,
                ..fresh
            },
            config_acl,
        );
        tree.digest = tree.recompute_digest();
        tree
    }

    fn bare(extended: Extended, seed: u64) -> Tree {
        Tree {
            arena: Arena::default(),
            index: Index::default(),
            hasher: FixedState::with_seed(seed),
            extended,
            acls: AclTable::default(),
            sessions: BTreeMap::new(),
            local: BTreeSet::new(),
            ephemerals: BTreeMap::new(),
            ephemeral_count: 0,
            containers: BTreeSet::new(),
            ttls: BTreeSet::new(),
            quotas: Quotas::default(),
            quotas_settled: false,
            digest: 0,
            node_count: 0,
            data_size: 0,
            last: Zxid::ZERO,
            served: Zxid::ZERO,
            digest_log: VecDeque::new(),
            complete: false,
            known_absent: Set::default(),
            asked_absent: Set::default(),
            asked_absent_bytes: 0,
            dirty: Vec::new(),
            dirty_sessions: BTreeSet::new(),
        }
    }

    fn add_initial(&mut self, path: &str, stat: StatPersisted, acl: AclId) {
        let crc = digest::node_crc(path.as_bytes(), Some(b""));
        let slot = self.attach(path, Some(b""), &stat, acl, crc);
        self.node_count += 1;
        self.data_size += path.len() as u64;
        if let Some((parent, _)) = crate::path::split(path)
            && let Some(parent) = self.slot(parent)
        {
            self.arena.get_mut(parent).rich_mut().count += 1;
        }
        self.mark_dirty(slot);
    }

    // Lookup.

    fn hash(&self, path: &str) -> u64 {
        let mut hasher = self.hasher.build_hasher();
        hasher.write(path.as_bytes());
        // The table needs 64 bits, a node keeps 32: spread those again.
        spread((hasher.finish() >> 32) as u32)
    }

    fn is_path(&self, slot: Slot, path: &str) -> bool {
        let (mut slot, mut rest) = (slot, path.as_bytes());
        loop {
            let node = self.arena.get(slot);
            let Some(parent) = node.parent() else {
                return rest.is_empty();
            };
            let name = node.name_bytes();
            let Some(above) = rest
                .strip_suffix(name)
                .and_then(|rest| rest.strip_suffix(b"/"))
            else {
                return false;
            };
            (slot, rest) = (parent, above);
        }
    }

    fn slot(&self, path: &str) -> Option<Slot> {
        let path = if path == "/" { "" } else { path };
        let hash = self.hash(path);
        let short = (hash >> 32) as u32;
        self.index
            .find(hash, |slot| {
                self.arena.get(*slot).hash == short && self.is_path(*slot, path)
            })
            .copied()
    }

    /// Looks a path up. `""` is the root, as in Java.
    pub fn find(&self, path: &str) -> Lookup<'_> {
        match self.slot(path) {
            Some(slot) => Lookup::Found(NodeView { tree: self, slot }),
            None if self.absent(path) => Lookup::Absent,
            None => Lookup::Unknown,
        }
    }

    /// Whether `path`, which is not resident, is known not to exist: it is of a form that no node
    /// has, or the topmost node on the way that is not resident is known not to exist.
    fn absent(&self, path: &str) -> bool {
        if self.complete || (!path.is_empty() && !path.starts_with('/')) {
            return true;
        }
        let (above, missing) = self.way(path);
        let Some(missing) = missing else {
            return false;
        };
        self.known_absent.contains(missing)
            || self.asked_absent.contains(missing)
            || above.is_some_and(|above| self.arena.get(above).complete())
    }

    /// Goes down to `path` as far as nodes are resident: the last of them, and the path of the
    /// first that is not. From the top, for a client may name a path of half a million elements,
    /// of which most certainly do not exist.
    fn way<'p>(&self, path: &'p str) -> (Option<Slot>, Option<&'p str>) {
        let path = if path == "/" { "" } else { path };
        let mut above = None;
        for prefix in prefixes(path) {
            match self.slot(prefix) {
                Some(slot) => above = Some(slot),
                None => return (above, Some(prefix)),
            }
        }
        (above, None)
    }

    /// The node at `path`, or `None` if it does not exist, or what must be loaded first.
    ///
    /// # Errors
    /// The row that is not resident.
    pub fn get(&self, path: &str) -> Result<Option<NodeView<'_>>, Need> {
        match self.find(path) {
            Lookup::Found(node) => Ok(Some(node)),
            Lookup::Absent => Ok(None),
            Lookup::Unknown => Err(Need::Node(path.into())),
        }
    }

    fn path_of(&self, slot: Slot) -> Box<str> {
        let mut names = Vec::new();
        let mut at = slot;
        loop {
            let node = self.arena.get(at);
            let Some(parent) = node.parent() else {
                break;
            };
            names.push(node.name());
            at = parent;
        }
        let mut path = alloc::string::String::new();
        for name in names.iter().rev() {
            path.push('/');
            path.push_str(name);
        }
        path.into_boxed_str()
    }

    // Structure.

    /// Links a node below its resident parent and into the indexes. Does not count it.
    fn attach(
        &mut self,
        path: &str,
        data: Option<&[u8]>,
        stat: &StatPersisted,
        acl: AclId,
        crc: u32,
    ) -> Slot {
        let (parent, name) = match crate::path::split(path) {
            None => (None, ""),
            Some((parent, name)) => match self.slot(parent) {
                Some(parent) => (Some(parent), name),
                None => panic!("attach of {path:?} without its parent"),
            },
        };
        let hash = self.hash(path);
        let node = Node::new(parent, name, data, stat, acl, crc, (hash >> 32) as u32);
        let slot = self.arena.insert(node);
        match parent {
            None => assert!(slot == ROOT, "a second root in slot {slot}"),
            Some(parent) => {
                let children = &mut self.arena.get_mut(parent).rich_mut().children;
                let at = children.len() as u32;
                children.push(slot);
                self.arena.get_mut(slot).at = at;
            }
        }
        let arena = &self.arena;
        self.index
            .insert(hash, slot, |slot| spread(arena.get(*slot).hash));
        self.index_owner(path, stat.ephemeral_owner, true);
        slot
    }

    /// Unlinks a childless node.
    fn detach(&mut self, path: &str, slot: Slot) -> Node {
        let hash = self.hash(path);
        let known = self.index.remove(hash, slot);
        assert!(known, "{path:?} in slot {slot} is not in the index");
        let node = self.arena.remove(slot);
        assert!(
            node.count() == 0,
            "detach of {path:?} with {} children",
            node.count()
        );
        if let Some(parent) = node.parent() {
            let children = &mut self.arena.get_mut(parent).rich_mut().children;
            let at = node.at as usize;
            children.swap_remove(at);
            if children.is_empty() {
                *children = Vec::new();
            }
            if let Some(moved) = children.get(at).copied() {
                self.arena.get_mut(moved).at = node.at;
            }
        }
        self.index_owner(path, node.owner(), false);
        node
    }

    fn index_owner(&mut self, path: &str, owner: i64, add: bool) {
        use crate::owner::Owner;
        if owner == 0 {
            return;
        }
        match Owner::of(owner, self.extended) {
            Owner::None => {}
            Owner::Container if add => drop(self.containers.insert(path.into())),
            Owner::Container => drop(self.containers.remove(path)),
            Owner::Ttl(_) if add => drop(self.ttls.insert(path.into())),
            Owner::Ttl(_) => drop(self.ttls.remove(path)),
            Owner::Session(id) if add => {
                if self
                    .ephemerals
                    .entry(SessionId(id))
                    .or_default()
                    .insert(path.into())
                {
                    self.ephemeral_count += 1;
                }
            }
            Owner::Session(id) => {
                if let Some(paths) = self.ephemerals.get_mut(&SessionId(id)) {
                    if paths.remove(path) {
                        self.ephemeral_count -= 1;
                    }
                    if paths.is_empty() {
                        self.ephemerals.remove(&SessionId(id));
                    }
                }
            }
        }
    }

    fn mark_dirty(&mut self, slot: Slot) {
        let node = self.arena.get_mut(slot);
        if !node.dirty() {
            node.set_dirty(true);
            self.dirty.push(Dirty::Node(slot));
        }
    }

    fn node_digest(&self, path: &str, slot: Slot) -> u64 {
        if !digest::in_digest(path) {
            return 0;
        }
        let node = self.arena.get(slot);
        digest::finish(node.crc, &node.stat())
    }

    fn recompute_digest(&self) -> u64 {
        let mut sum = 0_u64;
        let mut todo = Vec::from([ROOT]);
        while let Some(slot) = todo.pop() {
            let node = self.arena.get(slot);
            todo.extend_from_slice(node.children());
            sum = sum.wrapping_add(self.node_digest(&self.path_of(slot), slot));
        }
        sum
    }

    // What the tree is.

    /// The zxid of the last applied transaction.
    pub fn last_zxid(&self) -> Zxid {
        self.last
    }

    /// Notes that everything up to `zxid` is in the tree.
    pub fn set_last_zxid(&mut self, zxid: Zxid) {
        assert!(
            zxid >= self.last,
            "the tree went from {} back to {zxid}",
            self.last
        );
        self.last = zxid;
        if zxid.0 % DIGEST_LOG_INTERVAL == 0 {
            if self.digest_log.len() == DIGEST_LOG_ENTRIES {
                self.digest_log.pop_front();
            }
            self.digest_log.push_back((zxid, self.digest));
        }
    }

    /// The zxid that clients are shown and compared with: that of the last applied transaction, but
    /// for an established leader's that has none of its epoch.
    #[inline]
    pub fn served_zxid(&self) -> Zxid {
        self.last.max(self.served)
    }

    /// Clients see at least `zxid` from now on.
    pub fn serve_from(&mut self, zxid: Zxid) {
        self.served = self.served.max(zxid);
    }

    /// The tree's digest, version 2.
    pub fn digest(&self) -> u64 {
        self.digest
    }

    /// Digests at the last zxids divisible by 128, oldest first.
    pub fn digest_log(&self) -> impl Iterator<Item = (Zxid, u64)> + '_ {
        self.digest_log.iter().copied()
    }

    /// How many nodes exist, each once.
    pub fn node_count(&self) -> u64 {
        self.node_count
    }

    /// Bytes of all paths and data.
    pub fn data_size(&self) -> u64 {
        self.data_size
    }

    /// Bytes that the tree takes when it is sent to another server: what decides whether that is
    /// cheaper than the transactions that it lacks.
    pub fn sent_bytes(&self) -> u64 {
        // A node's two lengths, list and stat; a session's id and timeout.
        const NODE: u64 = 4 + 4 + 8 + 60;
        const SESSION: u64 = 8 + 4;
        self.data_size
            + NODE * self.node_count
            + SESSION * self.sessions.len() as u64
            + self.acls.sent_bytes()
    }

    /// How many ephemeral nodes exist.
    pub fn ephemeral_count(&self) -> usize {
        self.ephemeral_count
    }

    /// Sessions with ephemeral nodes, and these.
    pub fn ephemerals(&self) -> impl Iterator<Item = (SessionId, &BTreeSet<Box<str>>)> {
        self.ephemerals.iter().map(|(id, paths)| (*id, paths))
    }

    /// A session's ephemeral nodes.
    pub fn ephemerals_of(&self, session: SessionId) -> impl Iterator<Item = &str> {
        self.ephemerals
            .get(&session)
            .into_iter()
            .flatten()
            .map(|path| &**path)
    }

    /// Paths of container nodes.
    pub fn containers(&self) -> impl Iterator<Item = &str> {
        self.containers.iter().map(|path| &**path)
    }

    /// Paths of nodes with a time to live.
    pub fn ttls(&self) -> impl Iterator<Item = &str> {
        self.ttls.iter().map(|path| &**path)
    }

    /// The session table: timeouts in milliseconds as they were first agreed.
    pub fn sessions(&self) -> impl Iterator<Item = (SessionId, i32)> + '_ {
        self.sessions.iter().map(|(id, timeout)| (*id, *timeout))
    }

    /// Whether a session exists, for all servers or for this one.
    #[inline]
    pub fn has_session(&self, id: SessionId) -> bool {
        self.sessions.contains_key(&id) || (!self.local.is_empty() && self.local.contains(&id))
    }

    /// Whether a session exists for all servers.
    pub fn has_global_session(&self, id: SessionId) -> bool {
        self.sessions.contains_key(&id)
    }

    /// Enters a session that only this server knows.
    pub fn open_local_session(&mut self, id: SessionId) {
        self.local.insert(id);
    }

    /// Such a session is gone, or everybody's.
    pub fn close_local_session(&mut self, id: SessionId) {
        self.local.remove(&id);
    }

    /// All such sessions are gone.
    pub fn close_local_sessions(&mut self) {
        self.local = BTreeSet::new();
    }

    /// How many sessions there are.
    pub fn session_count(&self) -> usize {
        self.sessions.len()
    }

    /// The access control lists.
    pub fn acls(&self) -> &AclTable {
        &self.acls
    }

    /// The quotas.
    pub fn quotas(&self) -> &Quotas {
        &self.quotas
    }

    /// Whether every node is resident.
    pub fn is_complete(&self) -> bool {
        self.complete
    }

    /// What negative owners mean here.
    pub fn extended(&self) -> Extended {
        self.extended
    }
}

/// The paths of the root, of every node on the way to `path`, and of itself.
fn prefixes(path: &str) -> impl Iterator<Item = &str> {
    let slashes = path.match_indices('/').map(|(at, _)| at);
    slashes.map(|at| &path[..at]).chain(core::iter::once(path))
}

fn spread(short: u32) -> u64 {
    // The table takes its bucket from the low and its tag from the high bits.
    (u64::from(short) << 32) | u64::from(short.wrapping_mul(0x9E37_79B1))
}

#[cfg(test)]
mod tests;
