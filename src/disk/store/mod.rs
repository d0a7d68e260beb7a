//! The store: a write-behind copy of the tree, from which a start goes on.
//!
//! Owns the format of keys and rows and what a store promises. Does not know when to write or
//! flush ([`crate::persist`]), nor whether what it holds fits the log ([`crate::directory`]).
//!
//! Invariants:
//! - A write is atomic: a store that is opened again holds, of every batch, all or nothing, and
//!   with it the meta of the last batch that it holds. Batches are never skipped: it holds the
//!   first so many.
//! - A write is durable once a later flush has returned, and not before.
//! - No row is read on the serving path.

mod base;
mod batch;
pub mod key;
mod model;
mod read;
pub mod row;
mod snapshot;

use std::fmt;
use std::ops::ControlFlow;

use zk_core::acl::{AclId, List};
use zk_core::ids::{SessionId, Zxid};
use zk_core::tree::{self, Row};

use crate::error::{Error, Result};

pub use base::{Base, Discard};
pub use batch::{Batch, Merged};
pub use model::ModelStore;
pub use snapshot::{Frozen, Snapshot};

/// Version of everything this module lays down. A store of a newer one is refused, one of an older
/// is brought up to it.
///
/// Version 2 has the rows of [`Base`], and a file beside RocksDB's folder that names it.
pub const FORMAT_VERSION: u32 = 2;

/// The column families.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Family {
    /// Nodes by depth and path.
    Node,
    /// Nodes that have an owner, by owner and path; no values.
    Owner,
    /// Sessions by id.
    Session,
    /// Access control lists by number.
    Acl,
    /// Single values by name.
    Meta,
}

impl Family {
    /// All of them, in the order of a sorted batch.
    pub const ALL: [Family; 5] = [
        Family::Node,
        Family::Owner,
        Family::Session,
        Family::Acl,
        Family::Meta,
    ];

    /// Its name in the store.
    pub fn name(self) -> &'static str {
        match self {
            Family::Node => "node",
            Family::Owner => "owner",
            Family::Session => "session",
            Family::Acl => "acl",
            Family::Meta => "meta",
        }
    }
}

/// One difference that a batch makes to a store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry<'a> {
    /// Where.
    pub family: Family,
    /// The key.
    pub key: &'a [u8],
    /// The new value, or `None` when the key goes.
    pub value: Option<&'a [u8]>,
}

/// The state that a store is at.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Meta {
    /// Last applied zxid, digest and counters of the tree.
    pub tree: tree::Meta,
    /// Adler-32 of the log record of that zxid, to find out that the log is another's; 0 when it
    /// is not known.
    pub record: u32,
}

/// Names in the meta family.
mod name {
    pub const FORMAT: &[u8] = b"format";
    pub const ZXID: &[u8] = b"zxid";
    pub const DIGEST: &[u8] = b"digest";
    pub const NODES: &[u8] = b"nodes";
    pub const BYTES: &[u8] = b"bytes";
    pub const RECORD: &[u8] = b"record";
}

impl Meta {
    /// The rows of the meta family, in key order, as every batch writes them.
    pub fn rows(&self) -> [(&'static [u8], [u8; 8]); 6] {
        let tree = &self.tree;
        [
            (name::BYTES, tree.data_size.to_be_bytes()),
            (name::DIGEST, tree.digest.to_be_bytes()),
            (name::FORMAT, u64::from(FORMAT_VERSION).to_be_bytes()),
            (name::NODES, tree.node_count.to_be_bytes()),
            (name::RECORD, u64::from(self.record).to_be_bytes()),
            (name::ZXID, tree.zxid.0.to_be_bytes()),
        ]
    }

    /// Reads the rows back; `None` when there is not one, as in a store never written.
    ///
    /// # Errors
    /// [`Error::NewerFormat`], [`Error::StoreCorrupt`].
    pub fn from_rows(
        get: &mut dyn FnMut(&'static [u8]) -> Result<Option<Vec<u8>>>,
    ) -> Result<Option<Meta>> {
        let corrupt = |name: &[u8], why: &str| Error::StoreCorrupt {
            what: format!("the meta row {}", name.escape_ascii()),
            why: why.into(),
        };
        let mut long = |name: &'static [u8]| -> Result<Option<u64>> {
            let Some(value) = get(name)? else {
                return Ok(None);
            };
            let value = value
                .try_into()
                .map_err(|_| corrupt(name, "it is not 8 bytes"))?;
            Ok(Some(u64::from_be_bytes(value)))
        };
        let Some(format) = long(name::FORMAT)? else {
            return match long(name::ZXID)? {
                Some(_) => Err(corrupt(name::FORMAT, "it is missing")),
                None => Ok(None),
            };
        };
        if format > FORMAT_VERSION.into() {
            return Err(Error::NewerFormat {
                path: "the store".into(),
                found: format.try_into().unwrap_or(u32::MAX),
                known: FORMAT_VERSION,
            });
        }
        let mut must = |name| long(name)?.ok_or_else(|| corrupt(name, "it is missing"));
        let tree = tree::Meta {
            zxid: Zxid(must(name::ZXID)? as i64),
            digest: must(name::DIGEST)?,
            node_count: must(name::NODES)?,
            data_size: must(name::BYTES)?,
        };
        let record = must(name::RECORD)?
            .try_into()
            .map_err(|_| corrupt(name::RECORD, "it is no checksum"))?;
        Ok(Some(Meta { tree, record }))
    }
}

/// A node's row that a store handed out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredRow {
    bytes: Vec<u8>,
}

impl StoredRow {
    /// Checks the bytes of a row.
    ///
    /// # Errors
    /// [`Error::StoreCorrupt`].
    pub fn new(bytes: Vec<u8>) -> Result<StoredRow> {
        row::node(&bytes)?;
        Ok(StoredRow { bytes })
    }

    /// The row.
    ///
    /// # Errors
    /// None: the bytes were checked.
    pub fn row(&self) -> Result<Row<'_>> {
        row::node(&self.bytes)
    }
}

/// What a range scan is given: key and value; what it returns says whether to go on.
pub type TakePair<'a> = dyn FnMut(&[u8], &[u8]) -> Result<ControlFlow<()>> + 'a;

/// What a scan of nodes is given: path and row.
pub type TakeNode<'a> = dyn FnMut(&str, Row<'_>) -> ControlFlow<()> + 'a;

/// A store. Calls may come from several threads; writes and flushes come from one.
pub trait Store: Send + Sync + fmt::Debug {
    /// Values of some keys, in their order.
    ///
    /// # Errors
    /// [`Error::Store`], [`Error::StoreCorrupt`].
    fn values(&self, family: Family, keys: &[Vec<u8>]) -> Result<Vec<Option<Vec<u8>>>>;

    /// Keys from `from` on, in order, that begin with `prefix`, as they are at the moment of the
    /// call.
    ///
    /// # Errors
    /// [`Error::Store`], [`Error::StoreCorrupt`], and what `take` returns.
    fn range(
        &self,
        family: Family,
        from: &[u8],
        prefix: &[u8],
        take: &mut TakePair<'_>,
    ) -> Result<()>;

    /// Writes everything at once, and [`Merged::meta`] with it. Not durable.
    ///
    /// # Errors
    /// [`Error::Store`]. The store may have it or not.
    fn write(&self, merged: &Merged) -> Result<()>;

    /// Makes all earlier writes durable; returns the zxid that a start would now go on from.
    ///
    /// # Errors
    /// [`Error::Store`]. Nothing may be assumed durable that was not before.
    fn flush(&self) -> Result<i64>;

    /// The store as it is now, to be read while it goes on.
    ///
    /// # Errors
    /// [`Error::Store`].
    fn snapshot(&self) -> Result<Snapshot<'_>>;

    /// The state after the last write; `None` when nothing was ever written.
    ///
    /// # Errors
    /// [`Error::NewerFormat`], [`Error::StoreCorrupt`], [`Error::Store`].
    fn meta(&self) -> Result<Option<Meta>> {
        read::meta(&|family, keys| self.values(family, keys))
    }

    /// Where the store came from. A store never written has no such facts either.
    ///
    /// # Errors
    /// [`Error::StoreCorrupt`], [`Error::Store`].
    fn base(&self) -> Result<Base> {
        read::base(&|family, keys| self.values(family, keys))
    }

    /// Rows of some nodes, in the order of the paths.
    ///
    /// # Errors
    /// [`Error::StoreCorrupt`], [`Error::Store`].
    fn nodes(&self, paths: &[&str]) -> Result<Vec<Option<StoredRow>>> {
        read::nodes(&|family, keys| self.values(family, keys), paths)
    }

    /// Nodes in key order (by depth, then path: parents before children), from a path on or, with
    /// `None`, all. To go on behind a path, append `\0` to it.
    ///
    /// # Errors
    /// [`Error::StoreCorrupt`], [`Error::Store`].
    fn scan(&self, from: Option<&str>, take: &mut TakeNode<'_>) -> Result<()> {
        let range = |family, from: &[u8], prefix: &[u8], take: &mut TakePair<'_>| {
            self.range(family, from, prefix, take)
        };
        read::scan(&range, from, take)
    }

    /// Children of a node, in order of their names, their full paths.
    ///
    /// # Errors
    /// [`Error::StoreCorrupt`], [`Error::Store`].
    fn children(&self, path: &str, take: &mut TakeNode<'_>) -> Result<()> {
        let range = |family, from: &[u8], prefix: &[u8], take: &mut TakePair<'_>| {
            self.range(family, from, prefix, take)
        };
        read::children(&range, path, take)
    }

    /// Every node that has an owner: stored owner and path.
    ///
    /// # Errors
    /// [`Error::StoreCorrupt`], [`Error::Store`].
    fn owners(&self, take: &mut dyn FnMut(i64, &str)) -> Result<()> {
        let range = |family, from: &[u8], prefix: &[u8], take: &mut TakePair<'_>| {
            self.range(family, from, prefix, take)
        };
        read::owners(&range, take)
    }

    /// Every session: id and timeout in milliseconds.
    ///
    /// # Errors
    /// [`Error::StoreCorrupt`], [`Error::Store`].
    fn sessions(&self, take: &mut dyn FnMut(SessionId, i32)) -> Result<()> {
        let range = |family, from: &[u8], prefix: &[u8], take: &mut TakePair<'_>| {
            self.range(family, from, prefix, take)
        };
        read::sessions(&range, take)
    }

    /// Every access control list.
    ///
    /// # Errors
    /// [`Error::StoreCorrupt`], [`Error::Store`].
    fn acls(&self, take: &mut dyn FnMut(AclId, List)) -> Result<()> {
        let range = |family, from: &[u8], prefix: &[u8], take: &mut TakePair<'_>| {
            self.range(family, from, prefix, take)
        };
        read::acls(&range, take)
    }
}
