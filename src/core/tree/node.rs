//! One znode in memory, small: what most nodes share with their creation is not stored.
//!
//! A node that was created and never touched since keeps 64 bytes plus one allocation with its
//! name and data; the rest of the stat sits in [`More`], which the first change adds.

use alloc::boxed::Box;
use alloc::vec::Vec;

use zk_wire::stat::StatPersisted;

use crate::acl::AclId;

/// A node's place in the arena.
pub(super) type Slot = u32;

pub(super) const ROOT: Slot = 0;
pub(super) const NO_PARENT: Slot = u32::MAX;

const NULL: u32 = 1 << 31;
const DIRTY: u32 = 1 << 30;
const NAME_LEN: u32 = DIRTY - 1;

#[derive(Debug)]
pub(super) struct Node {
    czxid: i64,
    ctime: i64,
    pub(super) parent: Slot,
    /// Index in the parent's list of children.
    pub(super) at: u32,
    pub(super) acl: AclId,
    /// CRC-32 state over path and data, which the digest continues.
    pub(super) crc: u32,
    /// Upper half of the path's hash.
    pub(super) hash: u32,
    name_len_and_flags: u32,
    /// Name, then data.
    blob: Box<[u8]>,
    more: Option<Box<More>>,
}

/// What a node needs once it is more than a fresh leaf.
#[derive(Debug)]
pub(super) struct More {
    mzxid: i64,
    pzxid: i64,
    mtime: i64,
    owner: i64,
    version: i32,
    cversion: i32,
    aversion: i32,
    /// Children that exist; more than `children` while some are not resident.
    pub(super) count: u32,
    pub(super) children: Vec<Slot>,
}

impl Node {
    pub(super) fn new(
        parent: Slot,
        name: &str,
        data: Option<&[u8]>,
        stat: &StatPersisted,
        acl: AclId,
        crc: u32,
        hash: u32,
    ) -> Node {
        let mut node = Node {
            czxid: stat.czxid,
            ctime: stat.ctime,
            parent,
            at: 0,
            acl,
            crc,
            hash,
            name_len_and_flags: name.len() as u32,
            blob: Box::default(),
            more: None,
        };
        assert!(
            name.len() < NAME_LEN as usize,
            "name of {} bytes",
            name.len()
        );
        node.fill(name.as_bytes(), data);
        if node.stat() != *stat {
            node.set_stat(stat);
        }
        node
    }

    fn fill(&mut self, name: &[u8], data: Option<&[u8]>) {
        let bytes = data.unwrap_or_default();
        let mut blob = Vec::with_capacity(name.len() + bytes.len());
        blob.extend_from_slice(name);
        blob.extend_from_slice(bytes);
        self.blob = blob.into_boxed_slice();
        if data.is_none() {
            self.name_len_and_flags |= NULL;
        } else {
            self.name_len_and_flags &= !NULL;
        }
    }

    fn name_len(&self) -> usize {
        (self.name_len_and_flags & NAME_LEN) as usize
    }

    pub(super) fn name_bytes(&self) -> &[u8] {
        &self.blob[..self.name_len()]
    }

    pub(super) fn name(&self) -> &str {
        match core::str::from_utf8(self.name_bytes()) {
            Ok(name) => name,
            Err(error) => panic!("a name that was text is not: {error}"),
        }
    }

    pub(super) fn data(&self) -> Option<&[u8]> {
        if self.name_len_and_flags & NULL != 0 {
            None
        } else {
            Some(&self.blob[self.name_len()..])
        }
    }

    pub(super) fn data_len(&self) -> usize {
        self.blob.len() - self.name_len()
    }

    pub(super) fn set_data(&mut self, data: Option<&[u8]>) {
        let old = core::mem::take(&mut self.blob);
        let name = self.name_len();
        self.fill(&old[..name], data);
    }

    pub(super) fn dirty(&self) -> bool {
        self.name_len_and_flags & DIRTY != 0
    }

    pub(super) fn set_dirty(&mut self, dirty: bool) {
        if dirty {
            self.name_len_and_flags |= DIRTY;
        } else {
            self.name_len_and_flags &= !DIRTY;
        }
    }

    pub(super) fn stat(&self) -> StatPersisted {
        match &self.more {
            None => StatPersisted {
                czxid: self.czxid,
                mzxid: self.czxid,
                ctime: self.ctime,
                mtime: self.ctime,
                version: 0,
                cversion: 0,
                aversion: 0,
                ephemeral_owner: 0,
                pzxid: self.czxid,
            },
            Some(more) => StatPersisted {
                czxid: self.czxid,
                mzxid: more.mzxid,
                ctime: self.ctime,
                mtime: more.mtime,
                version: more.version,
                cversion: more.cversion,
                aversion: more.aversion,
                ephemeral_owner: more.owner,
                pzxid: more.pzxid,
            },
        }
    }

    pub(super) fn set_stat(&mut self, stat: &StatPersisted) {
        self.czxid = stat.czxid;
        self.ctime = stat.ctime;
        let more = self.more_mut();
        more.mzxid = stat.mzxid;
        more.pzxid = stat.pzxid;
        more.mtime = stat.mtime;
        more.owner = stat.ephemeral_owner;
        more.version = stat.version;
        more.cversion = stat.cversion;
        more.aversion = stat.aversion;
    }

    pub(super) fn owner(&self) -> i64 {
        self.more.as_ref().map_or(0, |more| more.owner)
    }

    pub(super) fn count(&self) -> u32 {
        self.more.as_ref().map_or(0, |more| more.count)
    }

    pub(super) fn children(&self) -> &[Slot] {
        self.more.as_ref().map_or(&[], |more| &more.children)
    }

    /// Whether each existing child is resident.
    pub(super) fn complete(&self) -> bool {
        self.children().len() == self.count() as usize
    }

    pub(super) fn more_mut(&mut self) -> &mut More {
        let (czxid, ctime) = (self.czxid, self.ctime);
        self.more.get_or_insert_with(|| {
            Box::new(More {
                mzxid: czxid,
                pzxid: czxid,
                mtime: ctime,
                owner: 0,
                version: 0,
                cversion: 0,
                aversion: 0,
                count: 0,
                children: Vec::new(),
            })
        })
    }
}

const _: () = assert!(size_of::<Option<Node>>() <= 64);

/// Nodes by slot, in chunks that never move, so that growth copies nothing.
#[derive(Debug, Default)]
pub(super) struct Arena {
    chunks: Vec<Vec<Option<Node>>>,
    free: Vec<Slot>,
    len: usize,
}

const CHUNK: usize = 1024;

impl Arena {
    pub(super) fn insert(&mut self, node: Node) -> Slot {
        self.len += 1;
        if let Some(slot) = self.free.pop() {
            let (chunk, at) = (slot as usize / CHUNK, slot as usize % CHUNK);
            self.chunks[chunk][at] = Some(node);
            return slot;
        }
        if self.chunks.last().is_none_or(|chunk| chunk.len() == CHUNK) {
            self.chunks.push(Vec::with_capacity(CHUNK));
        }
        let chunk = self.chunks.len() - 1;
        self.chunks[chunk].push(Some(node));
        let slot = chunk * CHUNK + self.chunks[chunk].len() - 1;
        assert!(
            slot < NO_PARENT as usize,
            "more than {NO_PARENT} resident nodes"
        );
        slot as Slot
    }

    pub(super) fn remove(&mut self, slot: Slot) -> Node {
        let node = self.chunks[slot as usize / CHUNK][slot as usize % CHUNK].take();
        self.free.push(slot);
        self.len -= 1;
        match node {
            Some(node) => node,
            None => panic!("removal of free slot {slot}"),
        }
    }

    pub(super) fn try_get(&self, slot: Slot) -> Option<&Node> {
        self.chunks
            .get(slot as usize / CHUNK)?
            .get(slot as usize % CHUNK)?
            .as_ref()
    }

    pub(super) fn get(&self, slot: Slot) -> &Node {
        match self.try_get(slot) {
            Some(node) => node,
            None => panic!("slot {slot} is free"),
        }
    }

    pub(super) fn get_mut(&mut self, slot: Slot) -> &mut Node {
        match &mut self.chunks[slot as usize / CHUNK][slot as usize % CHUNK] {
            Some(node) => node,
            None => panic!("slot {slot} is free"),
        }
    }
}
