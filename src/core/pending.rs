//! The state after everything proposed: what prepare judges by.
//!
//! A record overrides the tree at its path until the transaction that wrote it is applied. The
//! predicted digest belongs to the same state. It does not know operations.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::sync::Arc;
use alloc::vec::Vec;

use zk_wire::digest;
use zk_wire::stat::StatPersisted;

use crate::acl::List;
use crate::hash::Map;
use crate::ids::{SessionId, Zxid};
use crate::owner::Owner;
use crate::tree::{Need, Tree};

/// A node as it will be.
#[derive(Clone, Debug)]
pub struct Record {
    /// The stored stat.
    pub stat: StatPersisted,
    /// Children that will exist.
    pub children: u32,
    /// Its list.
    pub acl: List,
    /// CRC-32 state over path and data.
    pub crc: u32,
    /// Bytes of data.
    pub data_len: usize,
}

impl Record {
    fn digest(&self, path: &str) -> u64 {
        if digest::in_digest(path) {
            digest::finish(self.crc, &self.stat)
        } else {
            0
        }
    }
}

#[derive(Clone, Debug)]
struct Slot {
    zxid: Zxid,
    /// `None`: deleted.
    record: Option<Record>,
    /// The session under which the path stands in `ephemerals`.
    listed: Option<SessionId>,
}

/// A change that can be undone.
type Undo = (Arc<str>, Option<Slot>);

/// Records that override the tree.
#[derive(Debug, Default)]
pub struct Pending {
    slots: Map<Arc<str>, Slot>,
    ephemerals: BTreeMap<SessionId, BTreeSet<Arc<str>>>,
    digest: u64,
    log: Vec<Undo>,
}

/// A place to go back to.
#[derive(Debug)]
pub struct Mark {
    at: usize,
    digest: u64,
}

impl Pending {
    /// Nothing proposed on top of a tree with this digest.
    pub fn new(digest: u64) -> Pending {
        Pending {
            digest,
            ..Pending::default()
        }
    }

    /// The digest after all that is proposed.
    pub fn digest(&self) -> u64 {
        self.digest
    }

    /// Whether nothing is proposed.
    pub fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    /// The node at `path` after all that is proposed. The root's path is empty.
    ///
    /// # Errors
    /// The tree must load it first.
    pub fn get(&self, tree: &Tree, path: &str) -> Result<Option<Record>, Need> {
        if let Some(slot) = self.slots.get(path) {
            return Ok(slot.record.clone());
        }
        Ok(tree.get(path)?.map(|node| Record {
            stat: node.stat(),
            children: node.child_count(),
            acl: node.acl().clone(),
            crc: node.crc(),
            data_len: node.data().map_or(0, <[u8]>::len),
        }))
    }

    /// Replaces `before`, the node as [`Pending::get`] gave it, by `after`.
    pub fn set(
        &mut self,
        tree: &Tree,
        zxid: Zxid,
        path: &str,
        before: Option<&Record>,
        after: Option<Record>,
    ) {
        let minus = before.map_or(0, |record| record.digest(path));
        let plus = after.as_ref().map_or(0, |record| record.digest(path));
        self.digest = self.digest.wrapping_sub(minus).wrapping_add(plus);
        let key: Arc<str> = match self.slots.get_key_value(path) {
            Some((key, _)) => key.clone(),
            None => path.into(),
        };
        let owner = after.as_ref().and_then(|record| {
            match Owner::of(record.stat.ephemeral_owner, tree.extended()) {
                Owner::Session(id) => Some(SessionId(id)),
                Owner::None | Owner::Container | Owner::Ttl(_) => None,
            }
        });
        let before = self.slots.get(path).and_then(|slot| slot.listed);
        if owner.is_some() && owner != before {
            self.unlist(before, path);
            self.list(owner, &key);
        }
        let slot = Slot {
            zxid,
            record: after,
            listed: owner.or(before),
        };
        let old = self.slots.insert(key.clone(), slot);
        self.log.push((key, old));
    }

    fn list(&mut self, session: Option<SessionId>, path: &Arc<str>) {
        if let Some(session) = session {
            self.ephemerals
                .entry(session)
                .or_default()
                .insert(path.clone());
        }
    }

    fn unlist(&mut self, session: Option<SessionId>, path: &str) {
        if let Some(session) = session
            && let Some(paths) = self.ephemerals.get_mut(&session)
        {
            paths.remove(path);
            if paths.is_empty() {
                self.ephemerals.remove(&session);
            }
        }
    }

    /// Where the next change begins.
    pub fn mark(&self) -> Mark {
        Mark {
            at: self.log.len(),
            digest: self.digest,
        }
    }

    /// Undoes every change since `mark`: a multi that failed burns no sequence number.
    pub fn roll_back(&mut self, mark: &Mark) {
        while self.log.len() > mark.at {
            if let Some((key, old)) = self.log.pop() {
                let undone = self.slots.remove(&key);
                self.unlist(undone.and_then(|slot| slot.listed), &key);
                if let Some(slot) = old {
                    self.list(slot.listed, &key);
                    self.slots.insert(key, slot);
                }
            }
        }
        self.digest = mark.digest;
    }

    /// The paths written since the last call: what [`Pending::applied`] wants back.
    pub fn take_touched(&mut self) -> Vec<Arc<str>> {
        self.log.drain(..).map(|(key, _)| key).collect()
    }

    /// Forgets the records of a transaction that is in the tree now.
    pub fn applied(&mut self, zxid: Zxid, touched: &[Arc<str>]) {
        for path in touched {
            if self.slots.get(path).is_some_and(|slot| slot.zxid == zxid)
                && let Some(slot) = self.slots.remove(path)
            {
                self.unlist(slot.listed, path);
            }
        }
    }

    /// Ephemeral nodes that the session will have.
    pub fn ephemerals(&self, tree: &Tree, session: SessionId) -> BTreeSet<Arc<str>> {
        // Deleted meanwhile, a node may be another's by now.
        let owned = |slot: &Slot| {
            let record = slot.record.as_ref();
            record.is_some_and(|record| record.stat.ephemeral_owner == session.0)
        };
        let mut paths: BTreeSet<Arc<str>> = tree
            .ephemerals_of(session)
            .filter(|path| self.slots.get(*path).is_none_or(owned))
            .map(Into::into)
            .collect();
        for path in self.ephemerals.get(&session).into_iter().flatten() {
            if self.slots.get(path).is_some_and(owned) {
                paths.insert(path.clone());
            }
        }
        paths
    }
}
