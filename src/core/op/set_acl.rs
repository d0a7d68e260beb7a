//! setACL. It fires no watch and changes no stat but aversion.

use jute::{List as Vector, Str};
use zk_wire::Code;
use zk_wire::client::{Acl, SetAclRequest};
use zk_wire::txn::TxnBody;

use super::{Answer, Apply, Prep, Stop, next_version, txn_acl, valid_path};
use crate::acl::perm;
use crate::auth::list_of;

/// Judges a setACL.
///
/// # Errors
/// In Java's order: SESSIONEXPIRED, BADARGUMENTS, INVALIDACL, NONODE, NOAUTH, BADVERSION against
/// aversion.
pub fn prepare<'a>(p: &mut Prep<'_>, request: &SetAclRequest<'a>) -> Result<TxnBody<'a>, Stop> {
    p.check_session()?;
    let path = valid_path(&request.path)?;
    let list = p.config.providers.fixup(&request.acl, p.ids)?;
    let node = p.record(path)?;
    p.check_acl(&node.acl, perm::ADMIN)?;
    let version = next_version(node.stat.aversion, request.version)?;
    let acl = Some(txn_acl(&list));
    let mut after = node.clone();
    after.stat.aversion = version;
    after.acl = list;
    p.set(path, Some(&node), Some(after));
    Ok(TxnBody::SetAcl {
        path: request.path.clone(),
        acl,
        version,
    })
}

/// Applies a setACL.
pub fn apply<'a>(
    a: &mut Apply<'_>,
    path: &'a Str<'a>,
    acl: &Vector<Acl<'_>>,
    version: i32,
) -> Answer<'a> {
    let Some(path) = path.as_deref() else {
        return Answer::Error(Code::MarshallingError.to_i32());
    };
    a.visits += 1;
    match a.tree.set_acl(path, &list_of(acl), version) {
        Ok(modified) => Answer::Stat(modified.stat),
        Err(code) => Answer::Error(code.to_i32()),
    }
}
