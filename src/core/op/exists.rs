//! exists. The watch is kept when the node is missing, not when access is refused.

use jute::Encode;
use zk_wire::Code;
use zk_wire::client::{PathWatchRequest, StatResponse};

use super::{Read, Stop, decode, non_null};
use crate::acl::perm;
use crate::watch::Table;

/// Answers an exists. READ is needed where the node exists (ZOOKEEPER-2590).
///
/// # Errors
/// MARSHALLINGERROR, BADARGUMENTS for a NUL, NOAUTH, NONODE.
pub fn read(r: &mut Read<'_>, body: &[u8]) -> Result<(), Stop> {
    let request: PathWatchRequest<'_> = decode(body, r.config.max_field)?;
    let path = non_null(&request.path)?;
    if path.contains('\0') {
        return Err(Code::BadArguments.into());
    }
    let node = r.tree.get(path)?;
    if let Some(node) = &node {
        r.check_acl(node, perm::READ)?;
    }
    if request.watch {
        r.arm(Table::Data, path);
    }
    let stat = node.ok_or(Code::NoNode)?.client_stat();
    StatResponse { stat }.encode(r.out);
    r.count(path, 0);
    Ok(())
}
