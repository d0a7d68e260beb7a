//! What goes to the store: batches as the tree hands them out, and their merger.
//!
//! A [`Batch`] is written on the serving path, so it only appends encoded rows to one buffer. A
//! [`Merged`] keeps one value per key, the last, until the persister has it written: a hot parent
//! costs one row however often it changed.
//!
//! Invariant: a batch holds all differences of the tree up to the zxid of its meta, so the merger
//! of consecutive batches is the difference up to the last one's.

use std::hash::{BuildHasher, RandomState};

use foldhash::fast::FixedState;
use hashbrown::HashTable;
use zk_core::tree::{Change, Row};

use super::{Base, Entry, Family, Meta, key, row};
use crate::error::Result;

/// One key and its value in a buffer.
#[derive(Debug, Clone, Copy)]
struct Op {
    family: Family,
    /// The value is gone.
    gone: bool,
    at: usize,
    key: usize,
    value: usize,
}

impl Op {
    fn key(self, bytes: &[u8]) -> &[u8] {
        &bytes[self.at..self.at + self.key]
    }

    fn value(self, bytes: &[u8]) -> &[u8] {
        &bytes[self.at + self.key..self.at + self.key + self.value]
    }

    fn entry(self, bytes: &[u8]) -> Entry<'_> {
        let value = (!self.gone).then(|| self.value(bytes));
        Entry {
            family: self.family,
            key: self.key(bytes),
            value,
        }
    }
}

/// Differences between two states of the tree, in the order they are told.
#[derive(Debug, Default)]
pub struct Batch {
    bytes: Vec<u8>,
    ops: Vec<Op>,
    meta: Meta,
}

impl Batch {
    /// An empty batch; without [`Batch::set_meta`] it is up to no zxid.
    pub fn new() -> Batch {
        Batch::default()
    }

    fn put(&mut self, family: Family, write: impl FnOnce(&mut Vec<u8>) -> usize, gone: bool) {
        let at = self.bytes.len();
        let key = write(&mut self.bytes);
        let value = self.bytes.len() - at - key;
        self.ops.push(Op {
            family,
            gone,
            at,
            key,
            value,
        });
    }

    /// The node is as in the row. An owner other than 0 is indexed.
    pub fn put_node(&mut self, path: &str, row: &Row<'_>) {
        self.put(
            Family::Node,
            |out| {
                key::put_node(out, path);
                let key = key::DEPTH + path.len();
                row::put_node(out, row);
                key
            },
            false,
        );
        self.index(row.stat.ephemeral_owner, path, false);
    }

    /// The node is gone; `owner` is the stored owner that it had.
    pub fn delete_node(&mut self, path: &str, owner: i64) {
        self.put(
            Family::Node,
            |out| {
                key::put_node(out, path);
                key::DEPTH + path.len()
            },
            true,
        );
        self.index(owner, path, true);
    }

    fn index(&mut self, owner: i64, path: &str, gone: bool) {
        if owner != 0 {
            let write = |out: &mut Vec<u8>| {
                key::put_owner(out, owner, path);
                key::OWNER + path.len()
            };
            self.put(Family::Owner, write, gone);
        }
    }

    fn put_plain(&mut self, family: Family, key: &[u8], value: Option<&[u8]>) {
        let write = |out: &mut Vec<u8>| {
            out.extend_from_slice(key);
            out.extend_from_slice(value.unwrap_or_default());
            key.len()
        };
        self.put(family, write, value.is_none());
    }

    /// The session exists with this timeout in milliseconds, or is gone.
    ///
    /// # Errors
    /// None in practice; see [`row::put_session`].
    pub fn session(&mut self, id: i64, timeout: Option<i32>) -> Result<()> {
        let value = timeout
            .map(|timeout| row::put_session(row::Session { timeout }))
            .transpose()?;
        self.put_plain(Family::Session, &id.to_be_bytes(), value.as_deref());
        Ok(())
    }

    /// The access control list exists with these entries, or is gone.
    ///
    /// # Errors
    /// None in practice; see [`row::put_acl`].
    pub fn acl(&mut self, id: u32, list: Option<&[zk_core::acl::Entry]>) -> Result<()> {
        let value = list.map(row::put_acl).transpose()?;
        self.put_plain(Family::Acl, &id.to_be_bytes(), value.as_deref());
        Ok(())
    }

    /// Adds one difference as the tree tells it.
    ///
    /// # Errors
    /// None in practice; see [`Batch::session`] and [`Batch::acl`].
    pub fn change(&mut self, change: &Change<'_>) -> Result<()> {
        match change {
            Change::Node { path, row } => self.put_node(path, row),
            Change::Gone { path, owner } => self.delete_node(path, *owner),
            Change::Session { id, timeout } => return self.session(id.0, Some(*timeout)),
            Change::SessionGone { id } => return self.session(id.0, None),
            Change::Acl { id, list } => return self.acl(id.0, Some(list)),
            Change::AclGone { id } => return self.acl(id.0, None),
        }
        Ok(())
    }

    /// Where the store came from. Other batches leave it as it is.
    pub fn set_base(&mut self, base: &Base) {
        for (name, value) in base.rows() {
            self.put_plain(Family::Meta, name, Some(&value));
        }
    }

    /// The state of the tree after this batch.
    pub fn set_meta(&mut self, meta: Meta) {
        self.meta = meta;
    }

    /// The state of the tree after this batch.
    pub fn meta(&self) -> Meta {
        self.meta
    }

    /// Bytes that the batch holds.
    pub fn bytes(&self) -> usize {
        self.bytes.len() + self.ops.len() * size_of::<Op>()
    }

    /// True when nothing has changed.
    pub fn is_empty(&self) -> bool {
        self.ops.is_empty()
    }

    /// Empties the batch and keeps its memory.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.ops.clear();
        self.meta = Meta::default();
    }
}

/// Consecutive batches as one: one value per key, the last.
#[derive(Debug)]
pub struct Merged {
    bytes: Vec<u8>,
    ops: Vec<Op>,
    index: HashTable<usize>,
    hasher: FixedState,
    meta: Meta,
    batches: u64,
}

impl Default for Merged {
    fn default() -> Merged {
        // Clients choose paths; the seed keeps them from choosing ones that collide. The order of
        // the table is never seen.
        let hasher = FixedState::with_seed(RandomState::new().hash_one(0));
        let (bytes, ops, index) = (Vec::new(), Vec::new(), HashTable::new());
        Merged {
            bytes,
            ops,
            index,
            hasher,
            meta: Meta::default(),
            batches: 0,
        }
    }
}

impl Merged {
    /// Nothing.
    pub fn new() -> Merged {
        Merged::default()
    }

    /// Adds a batch behind what is here.
    pub fn add(&mut self, batch: &Batch) {
        for op in &batch.ops {
            self.set(*op, op.key(&batch.bytes), op.value(&batch.bytes));
        }
        self.meta = batch.meta;
        self.batches += 1;
    }

    fn set(&mut self, op: Op, key: &[u8], value: &[u8]) {
        let hash = |family: Family, key: &[u8]| self.hasher.hash_one((family as u8, key));
        let (ops, bytes) = (&mut self.ops, &mut self.bytes);
        let found = self.index.find(hash(op.family, key), |i| {
            let here = ops[*i];
            here.family == op.family && here.key(bytes) == key
        });
        let at = bytes.len();
        let Some(i) = found else {
            self.index
                .insert_unique(hash(op.family, key), ops.len(), |i| {
                    let here = ops[*i];
                    hash(here.family, here.key(bytes))
                });
            bytes.extend_from_slice(key);
            bytes.extend_from_slice(value);
            ops.push(Op { at, ..op });
            return;
        };
        let here = &mut ops[*i];
        here.gone = op.gone;
        if value.len() <= here.value {
            // In place; what is left over stays unused until the next clear.
            here.value = value.len();
            let from = here.at + here.key;
            bytes[from..from + value.len()].copy_from_slice(value);
        } else {
            bytes.extend_from_slice(key);
            bytes.extend_from_slice(value);
            *here = Op { at, ..op };
        }
    }

    /// The state of the tree after the last batch.
    pub fn meta(&self) -> Meta {
        self.meta
    }

    /// Bytes held, replaced values included: what the bound on dirty rows counts.
    pub fn bytes(&self) -> usize {
        self.bytes.len() + self.ops.len() * (size_of::<Op>() + size_of::<usize>())
    }

    /// How many keys differ.
    pub fn len(&self) -> usize {
        self.ops.len()
    }

    /// True when no batch was added. One in which no key differs still moves the meta on.
    pub fn is_empty(&self) -> bool {
        self.batches == 0
    }

    /// Everything, by family and key, the meta included: what a store writes as one batch.
    pub fn sorted(&self) -> Vec<Entry<'_>> {
        let mut entries: Vec<Entry<'_>> = self.ops.iter().map(|op| op.entry(&self.bytes)).collect();
        entries.sort_unstable_by_key(|e| (e.family, e.key));
        entries
    }

    /// Forgets everything and keeps memory for a like amount.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.ops.clear();
        self.index.clear();
        self.meta = Meta::default();
        self.batches = 0;
    }
}
