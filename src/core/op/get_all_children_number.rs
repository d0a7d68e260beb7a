//! getAllChildrenNumber: everything below a node.

use jute::Encode;
use zk_wire::client::{CountResponse, PathRequest};

use super::{Read, Stop, decode, non_null};
use crate::acl::perm;
use crate::tree::Need;

/// Answers a getAllChildrenNumber. Of `/` it is every node but itself, `/zookeeper` included. Of the
/// empty path, which is the root too, it is one more: Java counts the keys that begin with `/`, and
/// `/` is one of them.
///
/// # Errors
/// MARSHALLINGERROR, NONODE, NOAUTH.
pub fn read(r: &mut Read<'_>, body: &[u8]) -> Result<(), Stop> {
    let request: PathRequest<'_> = decode(body, r.config.max_field)?;
    let path = non_null(&request.path)?;
    let node = r.node(path)?;
    r.check_acl(&node, perm::READ)?;
    let count = if path == "/" {
        r.tree.node_count() - 1
    } else if path.is_empty() {
        r.tree.node_count()
    } else if r.tree.is_complete() {
        let mut count = 0_u64;
        node.walk(&mut |_, _| count += 1)?;
        count - 1
    } else {
        return Err(Need::All.into());
    };
    CountResponse {
        count: count as i32,
    }
    .encode(r.out);
    Ok(())
}
