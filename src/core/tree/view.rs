//! A node as readers see it.

use alloc::boxed::Box;

use zk_wire::client::Stat;
use zk_wire::stat::StatPersisted;

use super::node::{Node, Slot};
use super::{Need, Tree};
use crate::acl::{AclId, List};
use crate::owner::Owner;

/// A resident node.
#[derive(Clone, Copy, Debug)]
pub struct NodeView<'a> {
    pub(super) tree: &'a Tree,
    pub(super) slot: Slot,
}

impl<'a> NodeView<'a> {
    fn node(&self) -> &'a Node {
        self.tree.arena.get(self.slot)
    }

    /// The last element of the path; empty for the root.
    pub fn name(&self) -> &'a str {
        self.node().name()
    }

    /// The full path; empty for the root.
    pub fn path(&self) -> Box<str> {
        self.tree.path_of(self.slot)
    }

    /// The data, null distinct from empty.
    pub fn data(&self) -> Option<&'a [u8]> {
        self.node().data()
    }

    /// The stored stat.
    pub fn stat(&self) -> StatPersisted {
        self.node().stat()
    }

    /// The stat in the form that clients get: the visible cversion counts deletions too, and
    /// containers and TTL nodes have no owner.
    pub fn client_stat(&self) -> Stat {
        let node = self.node();
        client_stat(&node.stat(), node.data_len(), node.count(), self.owner())
    }

    /// What the stored owner means.
    pub fn owner(&self) -> Owner {
        Owner::of(self.node().owner(), self.tree.extended)
    }

    /// The number of the node's list.
    pub fn acl_id(&self) -> AclId {
        self.node().acl()
    }

    /// The node's list.
    pub fn acl(&self) -> &'a List {
        self.tree.acls.get(self.node().acl())
    }

    /// How many children exist.
    pub fn child_count(&self) -> u32 {
        self.node().count()
    }

    /// CRC-32 state over path and data.
    pub fn crc(&self) -> u32 {
        self.node().crc
    }

    /// The node's share of the tree's digest.
    pub fn digest(&self) -> u64 {
        self.tree.node_digest(&self.path(), self.slot)
    }

    /// The children, in no particular order.
    ///
    /// # Errors
    /// Some are not resident.
    pub fn children(&self) -> Result<impl ExactSizeIterator<Item = NodeView<'a>> + use<'a>, Need> {
        let node = self.node();
        if !node.complete() {
            return Err(Need::Children(self.path()));
        }
        let tree = self.tree;
        Ok(node
            .children()
            .iter()
            .map(move |slot| NodeView { tree, slot: *slot }))
    }

    /// Visits the node and all below it, parents first, with the full path.
    ///
    /// # Errors
    /// Some are not resident.
    pub fn walk(&self, visit: &mut dyn FnMut(&str, NodeView<'a>)) -> Result<(), Need> {
        let mut todo = alloc::vec::Vec::from([(self.path(), *self)]);
        while let Some((path, view)) = todo.pop() {
            visit(&path, view);
            for child in view.children()? {
                todo.push((
                    alloc::format!("{path}/{}", child.name()).into_boxed_str(),
                    child,
                ));
            }
        }
        Ok(())
    }
}

/// A stored stat in the form that clients get.
pub fn client_stat(stat: &StatPersisted, data_len: usize, children: u32, owner: Owner) -> Stat {
    Stat {
        czxid: stat.czxid,
        mzxid: stat.mzxid,
        ctime: stat.ctime,
        mtime: stat.mtime,
        version: stat.version,
        cversion: stat.cversion.wrapping_mul(2).wrapping_sub(children as i32),
        aversion: stat.aversion,
        ephemeral_owner: owner.shown(),
        data_length: data_len as i32,
        num_children: children as i32,
        pzxid: stat.pzxid,
    }
}
