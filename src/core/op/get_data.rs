//! getData.

use jute::Encode;
use zk_wire::client::{DataResponse, PathWatchRequest};

use super::{Read, Stop, decode, non_null};
use crate::acl::perm;
use crate::watch::Table;

/// Answers a getData. The watch is set on success only.
///
/// # Errors
/// MARSHALLINGERROR, NONODE, NOAUTH.
pub fn read(r: &mut Read<'_>, body: &[u8]) -> Result<(), Stop> {
    let request: PathWatchRequest<'_> = decode(body, r.config.max_field)?;
    let path = non_null(&request.path)?;
    let node = r.node(path)?;
    r.check_acl(&node, perm::READ)?;
    if request.watch {
        r.arm(Table::Data, path);
    }
    DataResponse {
        data: node.data(),
        stat: node.client_stat(),
    }
    .encode(r.out);
    r.count(path, node.data().map_or(0, <[u8]>::len));
    Ok(())
}
