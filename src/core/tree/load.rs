//! What flows between the tree and a store: rows in, changes out.
//!
//! It does not know the store's format. Rules: a row that is installed is the store's current one,
//! or the node is resident or known to be absent already, and then the row is dropped; nothing
//! changes a partial tree before its quota nodes are resident ([`Tree::settle_quotas`]), for
//! every write may have to count there.

use alloc::boxed::Box;

use zk_wire::stat::StatPersisted;

use super::{Dirty, Lookup, Need, Tree};
use crate::acl::{AclId, List};
use crate::ids::{SessionId, Zxid};
use crate::limits::{ABSENT_BYTES, LOAD_DEPTH};
use crate::owner::Extended;

/// A node without its path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Row<'a> {
    /// The stored stat.
    pub stat: StatPersisted,
    /// The number of its list.
    pub acl: AclId,
    /// Children that exist.
    pub children: u32,
    /// CRC-32 state over path and data.
    pub crc: u32,
    /// The data.
    pub data: Option<&'a [u8]>,
}

/// What the store keeps beside rows, true at exactly `zxid`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Meta {
    /// The last transaction in the rows.
    pub zxid: Zxid,
    /// The tree's digest.
    pub digest: u64,
    /// How many nodes exist.
    pub node_count: u64,
    /// Bytes of all paths and data.
    pub data_size: u64,
}

/// One difference between the tree now and at the last call of [`Tree::drain_changes`].
#[derive(Debug)]
pub enum Change<'a> {
    /// The node is as in the row. The root's path is empty.
    Node {
        /// Full path.
        path: &'a str,
        /// All of it.
        row: Row<'a>,
    },
    /// The node is gone; `owner` is the stored owner that it had.
    Gone {
        /// Full path.
        path: &'a str,
        /// Stored owner.
        owner: i64,
    },
    /// The session exists.
    Session {
        /// Whose.
        id: SessionId,
        /// Milliseconds, as first agreed.
        timeout: i32,
    },
    /// The session is gone.
    SessionGone {
        /// Whose.
        id: SessionId,
    },
    /// The list exists.
    Acl {
        /// Its number.
        id: AclId,
        /// Its entries.
        list: &'a List,
    },
    /// The list is gone.
    AclGone {
        /// Its number.
        id: AclId,
    },
}

impl Tree {
    /// A tree whose rows a store holds: nothing is resident yet but what follows here.
    pub fn partial(extended: Extended, seed: u64, meta: Meta) -> Tree {
        let mut tree = Tree::bare(extended, seed);
        tree.digest = meta.digest;
        tree.node_count = meta.node_count;
        tree.data_size = meta.data_size;
        tree.last = meta.zxid;
        tree
    }

    /// Puts a stored session back.
    pub fn restore_session(&mut self, id: SessionId, timeout: i32) {
        self.sessions.insert(id, timeout);
    }

    /// Puts a stored list back. All of them must be there before the first node is.
    pub fn restore_acl(&mut self, id: AclId, list: List) {
        self.acls.restore(id, list);
    }

    /// Puts a stored owner's entry back, whether or not the node is resident.
    pub fn restore_owner(&mut self, path: &str, owner: i64) {
        self.index_owner(path, owner, true);
    }

    /// Makes a stored node resident. Its parent must be. Does nothing if the path is resident or
    /// known to be absent: memory is newer than the store.
    ///
    /// # Errors
    /// The parent is not resident.
    pub fn install(&mut self, path: &str, row: &Row<'_>) -> Result<(), Need> {
        if self.complete || self.slot(path).is_some() || self.known_absent.contains(path) {
            return Ok(());
        }
        if let Some((parent, _)) = crate::path::split(path) {
            if self.known_absent.contains(parent) {
                return Ok(());
            }
            if self.slot(parent).is_none() {
                return Err(Need::Node(parent.into()));
            }
        }
        self.acls.adopt(row.acl);
        let slot = self.attach(path, row.data, &row.stat, row.acl, row.crc);
        if row.children > 0 {
            self.arena.get_mut(slot).rich_mut().count = row.children;
        }
        self.quota_installed(path);
        Ok(())
    }

    /// Notes that the store has no such node. It is remembered for a while only: who asked must
    /// look before much else is loaded, or ask again.
    pub fn install_absent(&mut self, path: &str) {
        if self.complete || self.slot(path).is_some() || self.known_absent.contains(path) {
            return;
        }
        if self.asked_absent_bytes + path.len() > ABSENT_BYTES {
            self.asked_absent = Default::default();
            self.asked_absent_bytes = 0;
        }
        if self.asked_absent.insert(path.into()) {
            self.asked_absent_bytes += path.len();
        }
    }

    /// Notes that every row of the store has been offered to [`Tree::install`].
    pub fn set_complete(&mut self) {
        self.complete = true;
        self.quotas_settled = true;
        self.known_absent = Default::default();
        self.asked_absent = Default::default();
        self.asked_absent_bytes = 0;
        self.acls.set_complete();
    }

    /// Says that the tree may be changed, or what must be resident before: everything from
    /// `/zookeeper/quota` down. To be repeated after each load until it says so; once it has, it
    /// costs nothing.
    ///
    /// # Errors
    /// A row that is not resident.
    pub fn settle_quotas(&mut self) -> Result<(), Need> {
        if !self.quotas_settled {
            if let Some(quota) = self.get(crate::quota::QUOTA)? {
                quota.walk(&mut |_, _| {})?;
            }
            self.quotas_settled = true;
        }
        Ok(())
    }

    /// Whether [`Tree::settle_quotas`] has said that the tree may be changed.
    pub fn are_quotas_settled(&self) -> bool {
        self.quotas_settled
    }

    /// Hands over each difference since the last call, in the order nodes gone, nodes, sessions,
    /// lists, and forgets them. With the returned meta they are one atomic batch.
    pub fn drain_changes(&mut self, take: &mut dyn FnMut(Change<'_>)) -> Meta {
        let dirty = core::mem::take(&mut self.dirty);
        for entry in &dirty {
            if let Dirty::Gone { path, owner } = entry {
                take(Change::Gone {
                    path,
                    owner: *owner,
                });
            }
        }
        for entry in &dirty {
            let Dirty::Node(slot) = entry else { continue };
            // The node may have gone since, and the slot may be another's by now.
            if self.arena.try_get(*slot).is_none_or(|node| !node.dirty()) {
                continue;
            }
            let path = self.path_of(*slot);
            let node = self.arena.get_mut(*slot);
            node.set_dirty(false);
            take(Change::Node {
                path: &path,
                row: Row {
                    stat: node.stat(),
                    acl: node.acl(),
                    children: node.count(),
                    crc: node.crc,
                    data: node.data(),
                },
            });
        }
        for id in core::mem::take(&mut self.dirty_sessions) {
            take(match self.sessions.get(&id) {
                Some(timeout) => Change::Session {
                    id,
                    timeout: *timeout,
                },
                None => Change::SessionGone { id },
            });
        }
        for (id, list) in self.acls.take_dirty() {
            take(match &list {
                Some(list) => Change::Acl { id, list },
                None => Change::AclGone { id },
            });
        }
        self.meta()
    }

    /// Whether [`Tree::drain_changes`] has anything to say.
    pub fn is_dirty(&self) -> bool {
        !self.dirty.is_empty() || !self.dirty_sessions.is_empty() || self.acls.is_dirty()
    }

    /// The counters at this moment.
    pub fn meta(&self) -> Meta {
        Meta {
            zxid: self.last,
            digest: self.digest,
            node_count: self.node_count,
            data_size: self.data_size,
        }
    }

    /// Whether what is needed is still to come.
    pub fn lacks(&self, need: &Need) -> bool {
        match need {
            Need::Node(path) => matches!(self.find(path), Lookup::Unknown),
            Need::Children(path) => match self.find(path) {
                Lookup::Found(node) => node.children().is_err(),
                Lookup::Absent => false,
                Lookup::Unknown => true,
            },
            Need::All => !self.complete,
        }
    }

    /// Paths that `path` needs in memory to be judged: those on the way to it that are not resident
    /// and itself, topmost first, but no more than [`LOAD_DEPTH`] of them. The first that the store
    /// does not have decides; with all of them resident and `path` still unknown there are more.
    pub fn missing_above(&self, path: &str) -> alloc::vec::Vec<Box<str>> {
        let path = if path == "/" { "" } else { path };
        super::prefixes(path)
            .skip_while(|prefix| self.slot(prefix).is_some())
            .take(LOAD_DEPTH)
            .map(Into::into)
            .collect()
    }
}
