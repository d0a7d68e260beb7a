//! delete, and the reaper's deleteContainer.

use alloc::borrow::Cow;

use jute::Str;
use zk_wire::client::DeleteRequest;
use zk_wire::txn::TxnBody;
use zk_wire::{Code, OpCode};

use super::{Answer, Apply, Prep, Stop, next_version, non_null};
use crate::acl::perm;
use crate::owner::Owner;
use crate::path;
use crate::pending::Record;
use crate::quota;
use crate::watch::{Event, Table};

fn parent_of(path: &str) -> Result<&str, Stop> {
    match path::split(path) {
        Some((parent, name)) if !path.contains('\0') && !path::special(path) => {
            // Java fails on these when it applies the transaction (docs/differences.md).
            if name == quota::LIMITS && parent.starts_with("/zookeeper") && parent.len() <= 16 {
                return Err(Code::BadArguments.into());
            }
            Ok(parent)
        }
        _ => Err(Code::BadArguments.into()),
    }
}

fn remove(p: &mut Prep<'_>, parent_path: &str, parent: &Record, path: &str, node: &Record) {
    let mut after = parent.clone();
    after.children -= 1;
    after.stat.pzxid = after.stat.pzxid.max(p.zxid.0);
    p.set(parent_path, Some(parent), Some(after));
    p.set(path, Some(node), None);
}

/// Judges a delete: the access check is the parent's, and comes before the node's existence.
///
/// # Errors
/// In Java's order: SESSIONEXPIRED, BADARGUMENTS, NONODE of the parent, NOAUTH, NONODE,
/// BADVERSION, NOTEMPTY.
pub fn prepare<'a>(p: &mut Prep<'_>, request: &DeleteRequest<'a>) -> Result<TxnBody<'a>, Stop> {
    p.check_session()?;
    let path = non_null(&request.path)?;
    let parent_path = parent_of(path)?;
    let parent = p.record(parent_path)?;
    p.check_acl(&parent.acl, perm::DELETE)?;
    let node = p.record(path)?;
    next_version(node.stat.version, request.version)?;
    if node.children > 0 {
        return Err(Code::NotEmpty.into());
    }
    remove(p, parent_path, &parent, path, &node);
    Ok(TxnBody::Delete {
        op: OpCode::Delete,
        path: request.path.clone(),
    })
}

/// Judges the reaper's deletion of a container or TTL node: empty still, and no session's.
///
/// # Errors
/// BADARGUMENTS, NONODE, NOTEMPTY, BADVERSION.
pub fn prepare_container(p: &mut Prep<'_>, path: &str) -> Result<TxnBody<'static>, Stop> {
    let parent_path = parent_of(path)?;
    let node = p.record(path)?;
    if node.children > 0 {
        return Err(Code::NotEmpty.into());
    }
    if Owner::of(node.stat.ephemeral_owner, p.config.extended).is_session() {
        return Err(Code::BadVersion.into());
    }
    let parent = p.record(parent_path)?;
    remove(p, parent_path, &parent, path, &node);
    Ok(TxnBody::Delete {
        op: OpCode::DeleteContainer,
        path: Some(Cow::Owned(path.into())),
    })
}

/// Applies a delete.
pub fn apply<'a>(a: &mut Apply<'_>, path: &'a Str<'a>) -> Answer<'a> {
    match path.as_deref() {
        Some(path) => match delete(a, path) {
            Ok(()) => Answer::Nothing,
            Err(code) => Answer::Error(code.to_i32()),
        },
        None => Answer::Error(Code::MarshallingError.to_i32()),
    }
}

/// Deletes one node and fires its watches: one NodeDeleted for a connection, whichever tables it
/// is in, then the parent's.
pub(super) fn delete(a: &mut Apply<'_>, path: &str) -> Result<(), Code> {
    a.visits += 2;
    let deleted = a.tree.delete(path, a.zxid)?;
    a.post.wrote(path, 0);
    let told = a.fire(Table::Data, Event::Deleted, path, &deleted.acl, &[]);
    a.fire(Table::Child, Event::Deleted, path, &deleted.acl, &told);
    let parent = path::ancestors(path).next().unwrap_or("/");
    a.fire(
        Table::Child,
        Event::ChildrenChanged,
        parent,
        &deleted.parent_acl,
        &[],
    );
    Ok(())
}
