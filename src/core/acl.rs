//! Access control lists: identities, permissions, and the table that keeps each distinct list once.
//!
//! It does not know the schemes; [`crate::auth`] judges them. Invariants: equal lists (in order)
//! have one id; while all nodes are resident, a list in the table has at least one reference.

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::sync::Arc;
use alloc::vec::Vec;

use crate::hash::Map;

/// Permission bits of an ACL entry.
pub mod perm {
    /// Read data and children.
    pub const READ: i32 = 1;
    /// Set data.
    pub const WRITE: i32 = 2;
    /// Create a child.
    pub const CREATE: i32 = 4;
    /// Delete a child.
    pub const DELETE: i32 = 8;
    /// Set the list itself.
    pub const ADMIN: i32 = 16;
    /// All of them.
    pub const ALL: i32 = 31;
}

/// One identity of a client.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Identity {
    /// The authentication scheme.
    pub scheme: Box<str>,
    /// Who, in the scheme's own form.
    pub id: Box<str>,
}

/// The identities of a connection at one moment.
pub type Ids = Arc<[Identity]>;

/// One entry of an access control list.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Entry {
    /// Permission bits; stored as they came.
    pub perms: i32,
    /// The authentication scheme.
    pub scheme: Box<str>,
    /// The scheme's id. Null is possible in lists that other servers wrote.
    pub id: Option<Box<str>>,
}

/// A whole list, shared.
pub type List = Arc<[Entry]>;

/// A list's number within one tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AclId(pub u32);

impl AclId {
    /// The list `world:anyone:cdrwa`, which is never counted.
    pub const OPEN: AclId = AclId(0);
}

/// The entry `world:anyone` with `perms`.
pub fn world(perms: i32) -> Entry {
    Entry {
        perms,
        scheme: "world".into(),
        id: Some("anyone".into()),
    }
}

/// Each distinct list once, counted.
#[derive(Debug)]
pub struct AclTable {
    open: List,
    /// What the lists take when a tree is sent.
    bytes: u64,
    lists: BTreeMap<AclId, (List, u64)>,
    ids: Map<List, AclId>,
    next: u32,
    dirty: BTreeSet<AclId>,
    /// Nodes that are not resident may refer to lists too: none goes.
    partial: bool,
}

impl Default for AclTable {
    fn default() -> Self {
        AclTable {
            open: Arc::from([world(perm::ALL)]),
            bytes: 0,
            lists: BTreeMap::new(),
            ids: Map::default(),
            next: 1,
            dirty: BTreeSet::new(),
            partial: false,
        }
    }
}

/// A number, a count, and entries with two texts.
fn sent_bytes(list: &List) -> u64 {
    let entry = |entry: &Entry| {
        let id = entry.id.as_ref().map_or(0, |id| id.len());
        4 + 4 + entry.scheme.len() as u64 + 4 + id as u64
    };
    8 + 4 + list.iter().map(entry).sum::<u64>()
}

impl AclTable {
    /// The list behind `id`.
    pub fn get(&self, id: AclId) -> &List {
        if id == AclId::OPEN {
            return &self.open;
        }
        match self.lists.get(&id) {
            Some((list, _)) => list,
            None => panic!(
                "acl {id:?} is not in the table of {} lists",
                self.lists.len()
            ),
        }
    }

    /// Whether `id` names a list.
    pub fn contains(&self, id: AclId) -> bool {
        id == AclId::OPEN || self.lists.contains_key(&id)
    }

    /// Takes a reference to `list`, adding it if it is new.
    pub fn intern(&mut self, list: &List) -> AclId {
        if **list == *self.open {
            return AclId::OPEN;
        }
        if let Some(id) = self.ids.get(list) {
            let id = *id;
            if let Some(slot) = self.lists.get_mut(&id) {
                slot.1 += 1;
            }
            return id;
        }
        let id = AclId(self.next);
        self.next += 1;
        self.bytes += sent_bytes(list);
        self.ids.insert(list.clone(), id);
        self.lists.insert(id, (list.clone(), 1));
        self.dirty.insert(id);
        id
    }

    /// Gives a reference back; the last one removes the list.
    pub fn release(&mut self, id: AclId) {
        if id == AclId::OPEN {
            return;
        }
        let Some(slot) = self.lists.get_mut(&id) else {
            panic!("release of acl {id:?}, which is not in the table");
        };
        slot.1 -= 1;
        if slot.1 == 0 && !self.partial {
            self.forget(id);
        }
    }

    fn forget(&mut self, id: AclId) {
        if let Some((list, _)) = self.lists.remove(&id) {
            self.ids.remove(&list);
            self.bytes -= sent_bytes(&list);
            self.dirty.insert(id);
        }
    }

    /// Puts a stored list back. The nodes that refer to it bring their references as they become
    /// resident ([`AclTable::adopt`]); until [`AclTable::set_complete`] no list goes.
    pub fn restore(&mut self, id: AclId, list: List) {
        self.partial = true;
        self.next = self.next.max(id.0.saturating_add(1));
        self.bytes += sent_bytes(&list);
        self.ids.insert(list.clone(), id);
        if let Some((old, _)) = self.lists.insert(id, (list, 0)) {
            self.bytes -= sent_bytes(&old);
        }
    }

    /// Counts the reference of a node that has become resident.
    pub fn adopt(&mut self, id: AclId) {
        if id == AclId::OPEN {
            return;
        }
        match self.lists.get_mut(&id) {
            Some(slot) => slot.1 += 1,
            None => panic!("a stored node has acl {id:?}, which is not in the table"),
        }
    }

    /// Every node is resident: lists without a reference go.
    pub fn set_complete(&mut self) {
        self.partial = false;
        let unused: Vec<AclId> = self
            .lists
            .iter()
            .filter(|(_, (_, references))| *references == 0)
            .map(|(id, _)| *id)
            .collect();
        for id in unused {
            self.forget(id);
        }
    }

    /// Whether lists were added or removed since [`AclTable::take_dirty`].
    pub fn is_dirty(&self) -> bool {
        !self.dirty.is_empty()
    }

    /// How often resident nodes refer to `id`.
    pub fn references(&self, id: AclId) -> u64 {
        self.lists.get(&id).map_or(0, |slot| slot.1)
    }

    /// Lists added or removed since the last call, with the list or `None` if it is gone.
    pub fn take_dirty(&mut self) -> Vec<(AclId, Option<List>)> {
        core::mem::take(&mut self.dirty)
            .into_iter()
            .map(|id| (id, self.lists.get(&id).map(|slot| slot.0.clone())))
            .collect()
    }

    /// Bytes that the lists take when a tree is sent to another server.
    pub fn sent_bytes(&self) -> u64 {
        self.bytes
    }

    /// How many lists there are beside the open one.
    pub fn len(&self) -> usize {
        self.lists.len()
    }

    /// Whether there is no list beside the open one.
    pub fn is_empty(&self) -> bool {
        self.lists.is_empty()
    }
}
