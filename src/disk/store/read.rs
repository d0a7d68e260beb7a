//! Reads over rows, whatever they come from: a store as it is now or a state of it that is held.
//!
//! Knows the keys and rows; does not know where they are.

use std::ops::ControlFlow;

use zk_core::acl::{AclId, List};
use zk_core::ids::SessionId;

use super::{Base, Family, Meta, StoredRow, TakeNode, TakePair, key, row};
use crate::error::Result;

/// Values of some keys of a family, in their order.
pub(super) type Values<'a> = dyn Fn(Family, &[Vec<u8>]) -> Result<Vec<Option<Vec<u8>>>> + 'a;

/// Keys of a family from one on that begin with a prefix.
pub(super) type Range<'a> = dyn Fn(Family, &[u8], &[u8], &mut TakePair<'_>) -> Result<()> + 'a;

pub(super) fn meta(values: &Values<'_>) -> Result<Option<Meta>> {
    Meta::from_rows(&mut |name| Ok(values(Family::Meta, &[name.to_vec()])?.pop().flatten()))
}

pub(super) fn base(values: &Values<'_>) -> Result<Base> {
    Base::from_rows(&mut |name| Ok(values(Family::Meta, &[name.to_vec()])?.pop().flatten()))
}

pub(super) fn nodes(values: &Values<'_>, paths: &[&str]) -> Result<Vec<Option<StoredRow>>> {
    let keys: Vec<Vec<u8>> = paths.iter().map(|p| key::node(p)).collect();
    let values = values(Family::Node, &keys)?;
    values
        .into_iter()
        .map(|v| v.map(StoredRow::new).transpose())
        .collect()
}

pub(super) fn scan(range: &Range<'_>, from: Option<&str>, take: &mut TakeNode<'_>) -> Result<()> {
    let from = from.map(key::node).unwrap_or_default();
    range(Family::Node, &from, b"", &mut |key, value| {
        Ok(take(key::node_path(key)?, row::node(value)?))
    })
}

pub(super) fn children(range: &Range<'_>, path: &str, take: &mut TakeNode<'_>) -> Result<()> {
    let prefix = key::children(path);
    range(Family::Node, &prefix, &prefix, &mut |key, value| {
        Ok(take(key::node_path(key)?, row::node(value)?))
    })
}

pub(super) fn owners(range: &Range<'_>, take: &mut dyn FnMut(i64, &str)) -> Result<()> {
    range(Family::Owner, b"", b"", &mut |key, _| {
        let (owner, path) = key::owner_path(key)?;
        take(owner, path);
        Ok(ControlFlow::Continue(()))
    })
}

pub(super) fn sessions(range: &Range<'_>, take: &mut dyn FnMut(SessionId, i32)) -> Result<()> {
    range(Family::Session, b"", b"", &mut |key, value| {
        let id = i64::from_be_bytes(key::number("session", key)?);
        take(SessionId(id), row::session(value)?.timeout);
        Ok(ControlFlow::Continue(()))
    })
}

pub(super) fn acls(range: &Range<'_>, take: &mut dyn FnMut(AclId, List)) -> Result<()> {
    range(Family::Acl, b"", b"", &mut |key, value| {
        let id = u32::from_be_bytes(key::number("acl", key)?);
        take(AclId(id), row::acl(value)?);
        Ok(ControlFlow::Continue(()))
    })
}
