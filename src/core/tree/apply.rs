//! The changes that transactions make to the tree.
//!
//! The caller has made sure that every node named is resident or absent. Outside a start from a
//! fuzzy snapshot these never fail; the errors are Java's answers for replays that repeat.

use alloc::boxed::Box;
use alloc::string::ToString;
use alloc::vec::Vec;

use zk_wire::Code;
use zk_wire::client::Stat;
use zk_wire::digest;
use zk_wire::stat::StatPersisted;

use super::node::{ROOT, Slot};
use super::{Dirty, Lookup, NodeView, Tree};
use crate::acl::List;
use crate::ids::{SessionId, Zxid};
use crate::quota::{self, Track};

/// What a create leaves for the reply and the watches.
#[derive(Debug)]
pub struct Created {
    /// The stat as a client gets it.
    pub stat: Stat,
    /// The parent's list.
    pub parent_acl: List,
}

/// What a delete leaves for the watches.
#[derive(Debug)]
pub struct Deleted {
    /// The dead node's last list.
    pub acl: List,
    /// The parent's list.
    pub parent_acl: List,
}

/// What a setData or setACL leaves for the reply and the watches.
#[derive(Debug)]
pub struct Modified {
    /// The stat as a client gets it.
    pub stat: Stat,
    /// The node's list.
    pub acl: List,
}

/// Only upwards: guards replays over a newer state, and stops at the largest (see the overflow of
/// the sequence number in docs/differences.md). -1 is the next.
fn raise_cversion(node: &mut super::node::Node, cversion: i32, zxid: Zxid) {
    let mut stat = node.stat();
    let cversion = if cversion == -1 {
        stat.cversion.wrapping_add(1)
    } else {
        cversion
    };
    if cversion > stat.cversion {
        stat.cversion = cversion;
        stat.pzxid = zxid.0;
        node.set_stat(&stat);
    }
}

impl Tree {
    /// Creates `path` with the stored owner `owner`.
    ///
    /// # Errors
    /// NONODE without the parent. NODEEXISTS, in a tree that another server has sent while it went
    /// on serving: the node then takes the list, and the parent the cversion, which may have been
    /// sent before it. Java raises that for plain creates alone.
    #[allow(clippy::too_many_arguments)]
    pub fn create(
        &mut self,
        path: &str,
        data: Option<&[u8]>,
        acl: &List,
        owner: i64,
        parent_cversion: i32,
        zxid: Zxid,
        time_ms: i64,
    ) -> Result<Created, Code> {
        let Some((parent_path, name)) = crate::path::split(path) else {
            return Err(Code::NoNode);
        };
        let Some(parent) = self.slot(parent_path) else {
            return Err(Code::NoNode);
        };
        let parent_acl = self.acls.get(self.arena.get(parent).acl()).clone();
        let acl_id = self.acls.intern(acl);
        if let Some(slot) = self.slot(path) {
            let old = self.arena.get_mut(slot).set_acl(acl_id);
            self.acls.release(old);
            self.mark_dirty(slot);
            self.change(parent_path, parent, |node| {
                raise_cversion(node, parent_cversion, zxid);
            });
            return Err(Code::NodeExists);
        }
        self.change(parent_path, parent, |node| {
            raise_cversion(node, parent_cversion, zxid);
            node.rich_mut().count += 1;
        });
        let stat = StatPersisted {
            czxid: zxid.0,
            mzxid: zxid.0,
            ctime: time_ms,
            mtime: time_ms,
            version: 0,
            cversion: 0,
            aversion: 0,
            ephemeral_owner: owner,
            pzxid: zxid.0,
        };
        let crc = digest::node_crc(path.as_bytes(), data);
        self.known_absent.remove(path);
        if self.asked_absent.remove(path) {
            self.asked_absent_bytes -= path.len();
        }
        let slot = self.attach(path, data, &stat, acl_id, crc);
        self.mark_dirty(slot);
        self.node_count += 1;
        let bytes = data.map_or(0, <[u8]>::len);
        self.data_size += (path.len() + bytes) as u64;
        self.digest = self.digest.wrapping_add(self.node_digest(path, slot));
        let stat = NodeView { tree: self, slot }.client_stat();
        self.quota_created(path, parent_path, name);
        self.quota_usage(path, 1, bytes as i64);
        Ok(Created { stat, parent_acl })
    }

    /// Deletes `path`, which has no children.
    ///
    /// # Errors
    /// NONODE: the parent's pzxid is raised even then, if there is a parent. NOTEMPTY for a node
    /// with children, which no transaction of a correct leader names.
    pub fn delete(&mut self, path: &str, zxid: Zxid) -> Result<Deleted, Code> {
        let Some((parent_path, name)) = crate::path::split(path) else {
            return Err(Code::NoNode);
        };
        let Some(parent) = self.slot(parent_path) else {
            return Err(Code::NoNode);
        };
        let slot = self.slot(path).filter(|slot| *slot != ROOT);
        if slot.is_some_and(|slot| self.arena.get(slot).count() > 0) {
            return Err(Code::NotEmpty);
        }
        self.change(parent_path, parent, |node| {
            let mut stat = node.stat();
            if zxid.0 > stat.pzxid {
                stat.pzxid = zxid.0;
                node.set_stat(&stat);
            }
            if slot.is_some() {
                node.rich_mut().count -= 1;
            }
        });
        let Some(slot) = slot else {
            return Err(Code::NoNode);
        };
        self.digest = self.digest.wrapping_sub(self.node_digest(path, slot));
        let node = self.detach(path, slot);
        let acl = self.acls.get(node.acl()).clone();
        self.acls.release(node.acl());
        let parent_acl = self.acls.get(self.arena.get(parent).acl()).clone();
        self.node_count -= 1;
        self.data_size -= (path.len() + node.data_len()) as u64;
        if !self.complete {
            self.known_absent.insert(path.into());
        }
        self.dirty.push(Dirty::Gone {
            path: path.into(),
            owner: node.owner(),
        });
        // Java tests for a limits node under /zookeeper, not only under /zookeeper/quota.
        if parent_path.starts_with("/zookeeper")
            && name == quota::LIMITS
            && let Some(subject) = quota::subject(parent_path)
        {
            self.quotas.remove(subject);
        }
        self.quota_usage(path, -1, -(node.data_len() as i64));
        Ok(Deleted { acl, parent_acl })
    }

    /// Sets data and version of `path`.
    ///
    /// # Errors
    /// NONODE.
    pub fn set_data(
        &mut self,
        path: &str,
        data: Option<&[u8]>,
        version: i32,
        zxid: Zxid,
        time_ms: i64,
    ) -> Result<Modified, Code> {
        let slot = self.slot(path).ok_or(Code::NoNode)?;
        let path = if path == "/" { "" } else { path };
        let before = self.arena.get(slot).data_len();
        let crc = digest::node_crc(path.as_bytes(), data);
        self.change(path, slot, |node| {
            let mut stat = node.stat();
            stat.mtime = time_ms;
            stat.mzxid = zxid.0;
            stat.version = version;
            node.set_stat(&stat);
            node.set_data(data);
            node.crc = crc;
        });
        let view = NodeView { tree: self, slot };
        let modified = Modified {
            stat: view.client_stat(),
            acl: view.acl().clone(),
        };
        let after = data.map_or(0, <[u8]>::len);
        self.data_size = self.data_size - before as u64 + after as u64;
        self.quota_usage(path, 0, after as i64 - before as i64);
        Ok(modified)
    }

    /// Sets the list and aversion of `path`.
    ///
    /// # Errors
    /// NONODE.
    pub fn set_acl(&mut self, path: &str, acl: &List, aversion: i32) -> Result<Modified, Code> {
        let slot = self.slot(path).ok_or(Code::NoNode)?;
        let path = if path == "/" { "" } else { path };
        let id = self.acls.intern(acl);
        let mut old = id;
        self.change(path, slot, |node| {
            old = node.set_acl(id);
            let mut stat = node.stat();
            stat.aversion = aversion;
            node.set_stat(&stat);
        });
        self.acls.release(old);
        let view = NodeView { tree: self, slot };
        Ok(Modified {
            stat: view.client_stat(),
            acl: view.acl().clone(),
        })
    }

    /// Enters a session in the table.
    pub fn create_session(&mut self, id: SessionId, timeout_ms: i32) {
        self.sessions.insert(id, timeout_ms);
        self.dirty_sessions.insert(id);
    }

    /// Takes a session out of the table. Its nodes are deleted one by one by the caller.
    pub fn close_session(&mut self, id: SessionId) {
        self.sessions.remove(&id);
        self.dirty_sessions.insert(id);
    }

    /// Changes a node and keeps the digest.
    fn change(&mut self, path: &str, slot: Slot, change: impl FnOnce(&mut super::node::Node)) {
        let before = self.node_digest(path, slot);
        change(self.arena.get_mut(slot));
        let after = self.node_digest(path, slot);
        self.digest = self.digest.wrapping_sub(before).wrapping_add(after);
        self.mark_dirty(slot);
    }

    // Quotas. Usage nodes are written in place: no stat but the data's length changes, no watch
    // fires, and being under /zookeeper/ they are outside the digest.

    /// Counts what every quota counts, anew: the tree came from another server, which went on
    /// serving while it sent it. Java does so after every start.
    ///
    /// # Panics
    /// Not every node is resident.
    pub fn recount_quotas(&mut self) {
        assert!(self.complete, "a recount of a tree that is not complete");
        let subjects: Vec<Box<str>> = self.quotas.iter().map(Into::into).collect();
        for subject in subjects {
            let stats = alloc::format!("{}{subject}/{}", quota::QUOTA, quota::STATS);
            self.count_usage(&stats, &subject);
        }
    }

    fn quota_created(&mut self, path: &str, parent_path: &str, name: &str) {
        let Some(subject) = quota::subject(parent_path) else {
            return;
        };
        if name == quota::LIMITS {
            self.quotas.add(subject);
        }
        if name == quota::STATS {
            self.count_usage(path, subject);
        }
    }

    /// Counts the subtree of `subject` into the node `stats`, if there is one.
    fn count_usage(&mut self, stats: &str, subject: &str) {
        let (mut nodes, mut bytes) = (0_i64, 0_i64);
        if let Lookup::Found(view) = self.find(subject) {
            let counted = view.walk(&mut |_, node| {
                nodes += 1;
                bytes += node.data().map_or(0, |data| data.len() as i64);
            });
            assert!(
                counted.is_ok(),
                "recount of {subject} over nodes that are not resident"
            );
        }
        self.write_usage(stats, &Track::usage(nodes, bytes));
    }

    /// Notes the limits of a node that the store brought.
    pub(super) fn quota_installed(&mut self, path: &str) {
        if let Some((parent, quota::LIMITS)) = crate::path::split(path)
            && let Some(subject) = quota::subject(parent)
        {
            self.quotas.add(subject);
        }
    }

    fn quota_usage(&mut self, path: &str, nodes: i64, bytes: i64) {
        let Some(prefix) = self.quotas.deepest(path) else {
            return;
        };
        let stats = alloc::format!("{}{prefix}/{}", quota::QUOTA, quota::STATS);
        let Lookup::Found(view) = self.find(&stats) else {
            return;
        };
        // A text that cannot be read stops Java; here it is left as it is.
        let Some(mut usage) = Track::parse(view.data()) else {
            return;
        };
        usage.add(nodes, bytes);
        self.write_usage(&stats, &usage);
    }

    fn write_usage(&mut self, path: &str, usage: &Track) {
        let Some(slot) = self.slot(path) else { return };
        let text: Box<str> = usage.to_string().into();
        let before = self.arena.get(slot).data_len() as u64;
        let node = self.arena.get_mut(slot);
        node.set_data(Some(text.as_bytes()));
        node.crc = digest::node_crc(path.as_bytes(), Some(text.as_bytes()));
        self.data_size = self.data_size - before + text.len() as u64;
        self.mark_dirty(slot);
    }
}
