//! A store at one moment, held while it goes on: what is sent to a learner that needs everything.
//!
//! Does not know how a store holds a state ([`Frozen`]), nor what the state is wanted for.
//!
//! Invariant: everything read through one [`Snapshot`], at whatever time, is of one and the same
//! write: that of [`Snapshot::meta`].

use std::fmt;

use zk_core::acl::{AclId, List};
use zk_core::ids::SessionId;

use super::{Base, Family, Meta, StoredRow, TakeNode, TakePair, read};
use crate::error::Result;

/// What a store gives to read at one state.
pub trait Frozen: Send + fmt::Debug {
    /// As [`super::Store::values`], at that state.
    ///
    /// # Errors
    /// As [`super::Store::values`].
    fn values(&self, family: Family, keys: &[Vec<u8>]) -> Result<Vec<Option<Vec<u8>>>>;

    /// As [`super::Store::range`], at that state.
    ///
    /// # Errors
    /// As [`super::Store::range`].
    fn range(
        &self,
        family: Family,
        from: &[u8],
        prefix: &[u8],
        take: &mut TakePair<'_>,
    ) -> Result<()>;
}

/// A state of a store. See the module's text. What it needs on disk is given back when it is
/// dropped.
#[derive(Debug)]
pub struct Snapshot<'a> {
    frozen: Box<dyn Frozen + 'a>,
}

impl<'a> Snapshot<'a> {
    /// For stores.
    pub fn new(frozen: impl Frozen + 'a) -> Snapshot<'a> {
        Snapshot {
            frozen: Box::new(frozen),
        }
    }

    /// As [`super::Store::meta`].
    ///
    /// # Errors
    /// As [`super::Store::meta`].
    pub fn meta(&self) -> Result<Option<Meta>> {
        read::meta(&|family, keys| self.frozen.values(family, keys))
    }

    /// As [`super::Store::base`].
    ///
    /// # Errors
    /// As [`super::Store::base`].
    pub fn base(&self) -> Result<Base> {
        read::base(&|family, keys| self.frozen.values(family, keys))
    }

    /// Whether every row is of the state that [`Snapshot::meta`] names. In a store that was taken
    /// over from a server that went on meanwhile, that is so once the transactions it had then
    /// are written. What is sent on before may refer to lists that nobody has told.
    ///
    /// # Errors
    /// As [`super::Store::meta`].
    pub fn is_exact(&self) -> Result<bool> {
        let at = self.meta()?.map_or(0, |meta| meta.tree.zxid.0);
        Ok(at >= self.base()?.fuzzy_until)
    }

    /// As [`super::Store::nodes`].
    ///
    /// # Errors
    /// As [`super::Store::nodes`].
    pub fn nodes(&self, paths: &[&str]) -> Result<Vec<Option<StoredRow>>> {
        read::nodes(&|family, keys| self.frozen.values(family, keys), paths)
    }

    /// As [`super::Store::scan`].
    ///
    /// # Errors
    /// As [`super::Store::scan`].
    pub fn scan(&self, from: Option<&str>, take: &mut TakeNode<'_>) -> Result<()> {
        let range = |family, from: &[u8], prefix: &[u8], take: &mut TakePair<'_>| {
            self.frozen.range(family, from, prefix, take)
        };
        read::scan(&range, from, take)
    }

    /// As [`super::Store::owners`].
    ///
    /// # Errors
    /// As [`super::Store::owners`].
    pub fn owners(&self, take: &mut dyn FnMut(i64, &str)) -> Result<()> {
        let range = |family, from: &[u8], prefix: &[u8], take: &mut TakePair<'_>| {
            self.frozen.range(family, from, prefix, take)
        };
        read::owners(&range, take)
    }

    /// As [`super::Store::sessions`].
    ///
    /// # Errors
    /// As [`super::Store::sessions`].
    pub fn sessions(&self, take: &mut dyn FnMut(SessionId, i32)) -> Result<()> {
        let range = |family, from: &[u8], prefix: &[u8], take: &mut TakePair<'_>| {
            self.frozen.range(family, from, prefix, take)
        };
        read::sessions(&range, take)
    }

    /// As [`super::Store::acls`].
    ///
    /// # Errors
    /// As [`super::Store::acls`].
    pub fn acls(&self, take: &mut dyn FnMut(AclId, List)) -> Result<()> {
        let range = |family, from: &[u8], prefix: &[u8], take: &mut TakePair<'_>| {
            self.frozen.range(family, from, prefix, take)
        };
        read::acls(&range, take)
    }
}
