//! One znode in memory, small: what most nodes share with their creation is not stored, and what
//! has few values takes few bytes.
//!
//! A node that was created and never touched since keeps 48 bytes plus one allocation with its
//! name and data. The rest of the stat sits in [`Rich`], which the first change adds, and what is
//! too large for its bytes in [`Wide`].

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::num::NonZeroU32;

use zk_wire::stat::StatPersisted;

use crate::acl::AclId;

/// A node's place in the arena.
pub(super) type Slot = u32;

pub(super) const ROOT: Slot = 0;

const NULL: u16 = 1 << 15;
const DIRTY: u16 = 1 << 14;
const ACL: u16 = DIRTY - 1;

const CZXID: usize = 7;
const CTIME: usize = 6;

#[derive(Debug)]
pub(super) struct Node {
    czxid: [u8; CZXID],
    name_len: u8,
    ctime: [u8; CTIME],
    acl_and_flags: u16,
    parent: Parent,
    /// Index in the parent's list of children.
    pub(super) at: u32,
    /// CRC-32 state over path and data, which the digest continues.
    pub(super) crc: u32,
    /// Upper half of the path's hash.
    pub(super) hash: u32,
    body: Body,
}

/// The parent's slot, inverted; [`NO_SLOT`] has none. Never zero, so that a free slot of the arena
/// needs no byte more.
#[derive(Clone, Copy, Debug)]
struct Parent(NonZeroU32);

/// Slots are below.
const NO_SLOT: Slot = u32::MAX - 1;

impl Parent {
    fn new(slot: Option<Slot>) -> Parent {
        match NonZeroU32::new(!slot.unwrap_or(NO_SLOT)) {
            Some(inverted) => Parent(inverted),
            None => panic!("slot {slot:?} is out of range"),
        }
    }

    fn slot(self) -> Option<Slot> {
        let slot = !self.0.get();
        (slot != NO_SLOT).then_some(slot)
    }
}

#[derive(Debug)]
enum Body {
    /// Name, then data, of a fresh leaf.
    Plain(Box<[u8]>),
    /// Of any node.
    Rich(Box<Rich>),
}

/// What a node needs once it is more than a fresh leaf.
#[derive(Debug)]
pub(super) struct Rich {
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
    /// Name, then data.
    blob: Box<[u8]>,
    wide: Option<Box<Wide>>,
}

/// What a node has from its creation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Wide {
    czxid: i64,
    ctime: i64,
    name_len: u32,
    acl: AclId,
}

impl Wide {
    /// Whether all of it fits its bytes in the node. A year beyond 10,000, epochs from 2^24 on,
    /// names of more than 255 bytes and more than 2^14 lists are rare.
    fn fits(&self) -> bool {
        self.czxid >> (8 * CZXID) == 0
            && self.ctime >> (8 * CTIME) == 0
            && self.name_len <= u8::MAX.into()
            && self.acl.0 <= ACL.into()
    }
}

fn narrow<const N: usize>(long: i64) -> [u8; N] {
    let bytes = long.to_le_bytes();
    core::array::from_fn(|i| bytes[i])
}

fn widen<const N: usize>(bytes: [u8; N]) -> i64 {
    let mut long = [0; 8];
    long[..N].copy_from_slice(&bytes);
    i64::from_le_bytes(long)
}

impl Node {
    pub(super) fn new(
        parent: Option<Slot>,
        name: &str,
        data: Option<&[u8]>,
        stat: &StatPersisted,
        acl: AclId,
        crc: u32,
        hash: u32,
    ) -> Node {
        let mut node = Node {
            czxid: Default::default(),
            name_len: 0,
            ctime: Default::default(),
            acl_and_flags: 0,
            parent: Parent::new(parent),
            at: 0,
            crc,
            hash,
            body: Body::Plain(Box::default()),
        };
        node.set_wide(Wide {
            czxid: stat.czxid,
            ctime: stat.ctime,
            name_len: name.len() as u32,
            acl,
        });
        node.fill(name.as_bytes(), data);
        if node.stat() != *stat {
            node.set_stat(stat);
        }
        node
    }

    fn wide(&self) -> Wide {
        if let Body::Rich(rich) = &self.body
            && let Some(wide) = &rich.wide
        {
            return **wide;
        }
        Wide {
            czxid: widen(self.czxid),
            ctime: widen(self.ctime),
            name_len: self.name_len.into(),
            acl: AclId((self.acl_and_flags & ACL).into()),
        }
    }

    fn set_wide(&mut self, wide: Wide) {
        if wide.fits() {
            self.czxid = narrow(wide.czxid);
            self.ctime = narrow(wide.ctime);
            self.name_len = wide.name_len as u8;
            self.acl_and_flags = self.acl_and_flags & !ACL | wide.acl.0 as u16;
            if let Body::Rich(rich) = &mut self.body {
                rich.wide = None;
            }
        } else {
            self.rich_mut().wide = Some(Box::new(wide));
        }
    }

    fn fill(&mut self, name: &[u8], data: Option<&[u8]>) {
        let bytes = data.unwrap_or_default();
        let mut blob = Vec::with_capacity(name.len() + bytes.len());
        blob.extend_from_slice(name);
        blob.extend_from_slice(bytes);
        *self.blob_mut() = blob.into_boxed_slice();
        if data.is_none() {
            self.acl_and_flags |= NULL;
        } else {
            self.acl_and_flags &= !NULL;
        }
    }

    fn blob(&self) -> &[u8] {
        match &self.body {
            Body::Plain(blob) => blob,
            Body::Rich(rich) => &rich.blob,
        }
    }

    fn blob_mut(&mut self) -> &mut Box<[u8]> {
        match &mut self.body {
            Body::Plain(blob) => blob,
            Body::Rich(rich) => &mut rich.blob,
        }
    }

    fn name_len(&self) -> usize {
        match &self.body {
            Body::Rich(rich) => match &rich.wide {
                Some(wide) => wide.name_len as usize,
                None => self.name_len.into(),
            },
            Body::Plain(_) => self.name_len.into(),
        }
    }

    /// The parent's slot; none of the root.
    pub(super) fn parent(&self) -> Option<Slot> {
        self.parent.slot()
    }

    pub(super) fn acl(&self) -> AclId {
        self.wide().acl
    }

    /// Sets the list; returns the one before.
    pub(super) fn set_acl(&mut self, acl: AclId) -> AclId {
        let wide = self.wide();
        self.set_wide(Wide { acl, ..wide });
        wide.acl
    }

    pub(super) fn name_bytes(&self) -> &[u8] {
        &self.blob()[..self.name_len()]
    }

    pub(super) fn name(&self) -> &str {
        match core::str::from_utf8(self.name_bytes()) {
            Ok(name) => name,
            Err(error) => panic!("a name that was text is not: {error}"),
        }
    }

    pub(super) fn data(&self) -> Option<&[u8]> {
        if self.acl_and_flags & NULL != 0 {
            None
        } else {
            Some(&self.blob()[self.name_len()..])
        }
    }

    pub(super) fn data_len(&self) -> usize {
        self.blob().len() - self.name_len()
    }

    pub(super) fn set_data(&mut self, data: Option<&[u8]>) {
        let old = core::mem::take(self.blob_mut());
        let name = self.name_len();
        self.fill(&old[..name], data);
    }

    pub(super) fn dirty(&self) -> bool {
        self.acl_and_flags & DIRTY != 0
    }

    pub(super) fn set_dirty(&mut self, dirty: bool) {
        if dirty {
            self.acl_and_flags |= DIRTY;
        } else {
            self.acl_and_flags &= !DIRTY;
        }
    }

    pub(super) fn stat(&self) -> StatPersisted {
        let Wide { czxid, ctime, .. } = self.wide();
        match &self.body {
            Body::Plain(_) => StatPersisted {
                czxid,
                mzxid: czxid,
                ctime,
                mtime: ctime,
                version: 0,
                cversion: 0,
                aversion: 0,
                ephemeral_owner: 0,
                pzxid: czxid,
            },
            Body::Rich(rich) => StatPersisted {
                czxid,
                mzxid: rich.mzxid,
                ctime,
                mtime: rich.mtime,
                version: rich.version,
                cversion: rich.cversion,
                aversion: rich.aversion,
                ephemeral_owner: rich.owner,
                pzxid: rich.pzxid,
            },
        }
    }

    pub(super) fn set_stat(&mut self, stat: &StatPersisted) {
        let wide = self.wide();
        if (wide.czxid, wide.ctime) != (stat.czxid, stat.ctime) {
            self.set_wide(Wide {
                czxid: stat.czxid,
                ctime: stat.ctime,
                ..wide
            });
        }
        let rich = self.rich_mut();
        rich.mzxid = stat.mzxid;
        rich.pzxid = stat.pzxid;
        rich.mtime = stat.mtime;
        rich.owner = stat.ephemeral_owner;
        rich.version = stat.version;
        rich.cversion = stat.cversion;
        rich.aversion = stat.aversion;
    }

    fn rich(&self) -> Option<&Rich> {
        match &self.body {
            Body::Plain(_) => None,
            Body::Rich(rich) => Some(rich),
        }
    }

    pub(super) fn owner(&self) -> i64 {
        self.rich().map_or(0, |rich| rich.owner)
    }

    pub(super) fn count(&self) -> u32 {
        self.rich().map_or(0, |rich| rich.count)
    }

    pub(super) fn children(&self) -> &[Slot] {
        self.rich().map_or(&[], |rich| &rich.children)
    }

    /// Whether each existing child is resident.
    pub(super) fn complete(&self) -> bool {
        self.children().len() == self.count() as usize
    }

    pub(super) fn rich_mut(&mut self) -> &mut Rich {
        if let Body::Plain(blob) = &mut self.body {
            let (czxid, ctime) = (widen(self.czxid), widen(self.ctime));
            let rich = Rich {
                mzxid: czxid,
                pzxid: czxid,
                mtime: ctime,
                owner: 0,
                version: 0,
                cversion: 0,
                aversion: 0,
                count: 0,
                children: Vec::new(),
                blob: core::mem::take(blob),
                wide: None,
            };
            self.body = Body::Rich(Box::new(rich));
        }
        match &mut self.body {
            Body::Rich(rich) => rich,
            Body::Plain(_) => unreachable!("it was made rich"),
        }
    }
}

const _: () = assert!(size_of::<Option<Node>>() <= 48);

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
            slot < NO_SLOT as usize,
            "more than {NO_SLOT} resident nodes"
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

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: StatPersisted = StatPersisted {
        czxid: 0xff_ffff_ffff_ffff,
        mzxid: 0xff_ffff_ffff_ffff,
        ctime: 0xffff_ffff_ffff,
        mtime: 0xffff_ffff_ffff,
        version: 0,
        cversion: 0,
        aversion: 0,
        ephemeral_owner: 0,
        pzxid: 0xff_ffff_ffff_ffff,
    };

    fn node(name: &str, data: Option<&[u8]>, stat: &StatPersisted, acl: u32) -> Node {
        Node::new(Some(7), name, data, stat, AclId(acl), 5, 6)
    }

    fn is(node: &Node, name: &str, data: Option<&[u8]>, stat: &StatPersisted, acl: u32) {
        assert_eq!(node.parent(), Some(7));
        assert_eq!(node.name(), name);
        assert_eq!(node.data(), data);
        assert_eq!(node.data_len(), data.map_or(0, <[u8]>::len));
        assert_eq!(node.stat(), *stat);
        assert_eq!(node.acl(), AclId(acl));
    }

    #[test]
    fn the_root_has_no_parent() {
        let root = Node::new(None, "", None, &StatPersisted::default(), AclId::OPEN, 0, 0);
        assert_eq!(root.parent(), None);
        assert_eq!((root.name(), root.data()), ("", None));
    }

    #[test]
    fn what_fits_is_plain_and_what_does_not_is_kept_all_the_same() {
        let long = "n".repeat(256);
        let least = StatPersisted::default();
        let negative = |czxid, ctime| StatPersisted {
            czxid,
            ctime,
            ..PLAIN
        };
        let stats = [
            (least, true),
            (PLAIN, true),
            (negative(1 << 56, 0), false),
            (negative(-1, 0), false),
            (negative(0, 1 << 48), false),
            (negative(0, -1), false),
            (negative(i64::MIN, i64::MAX), false),
        ];
        for (stat, fits) in &stats {
            for (name, short) in [("", true), (&long[..255], true), (&long[..], false)] {
                for (acl, few) in [
                    (0, true),
                    (0x3fff, true),
                    (0x4000, false),
                    (u32::MAX, false),
                ] {
                    for data in [None, Some(&b""[..]), Some(b"data")] {
                        let node = node(name, data, stat, acl);
                        is(&node, name, data, stat, acl);
                        let plain = matches!(node.body, Body::Plain(_));
                        assert_eq!(plain, *fits && short && few, "{stat:?} {acl} {name}");
                    }
                }
            }
        }
    }

    #[test]
    fn changes_go_to_and_fro_between_the_forms() {
        let mut node = node("name", Some(b"data"), &PLAIN, 1);
        node.set_dirty(true);
        for acl in [0x4000, 2, u32::MAX, 3] {
            let before = node.acl();
            assert_eq!(node.set_acl(AclId(acl)), before);
            is(&node, "name", Some(b"data"), &PLAIN, acl);
            assert!(node.dirty());
        }
        let later = StatPersisted {
            mzxid: 9,
            version: 1,
            czxid: -5,
            ..PLAIN
        };
        node.set_stat(&later);
        node.set_data(None);
        is(&node, "name", None, &later, 3);
        node.set_stat(&PLAIN);
        node.set_data(Some(b"more data"));
        is(&node, "name", Some(b"more data"), &PLAIN, 3);
        assert!(node.dirty());
        node.set_dirty(false);
        is(&node, "name", Some(b"more data"), &PLAIN, 3);
        node.rich_mut().count = 2;
        assert!(!node.complete() && !node.dirty());
    }
}
