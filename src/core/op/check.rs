//! check, which exists inside multi only.

use zk_wire::client::CheckRequest;
use zk_wire::txn::TxnBody;

use super::{Prep, Stop, next_version, valid_path};
use crate::acl::perm;

/// Judges a check.
///
/// # Errors
/// In Java's order: SESSIONEXPIRED, BADARGUMENTS, NONODE, NOAUTH, BADVERSION.
pub fn prepare<'a>(p: &mut Prep<'_>, request: &CheckRequest<'a>) -> Result<TxnBody<'a>, Stop> {
    p.check_session()?;
    let path = valid_path(&request.path)?;
    let node = p.record(path)?;
    p.check_acl(&node.acl, perm::READ)?;
    let version = next_version(node.stat.version, request.version)?;
    Ok(TxnBody::Check {
        path: request.path.clone(),
        version,
    })
}
