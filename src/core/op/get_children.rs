//! getChildren and getChildren2.

use alloc::borrow::Cow;

use jute::Encode;
use zk_wire::client::PathWatchRequest;

use super::{Read, Stop, decode, non_null};
use crate::acl::perm;
use crate::tree::NodeView;
use crate::watch::Table;

/// Answers a getChildren, or with `stat` a getChildren2. The watch is set on success only; the
/// names are in no order.
///
/// # Errors
/// MARSHALLINGERROR, NONODE, NOAUTH.
pub fn read(r: &mut Read<'_>, body: &[u8], stat: bool) -> Result<(), Stop> {
    let request: PathWatchRequest<'_> = decode(body, r.config.max_field)?;
    let path = non_null(&request.path)?;
    let node = r.node(path)?;
    r.check_acl(&node, perm::READ)?;
    let names = encode_names(&node, r.out)?;
    r.count(path, names);
    if request.watch {
        r.arm(Table::Child, path);
    }
    if stat {
        node.client_stat().encode(r.out);
    }
    Ok(())
}

/// Appends the vector of names straight from the nodes; returns how many bytes of names.
pub(super) fn encode_names(
    node: &NodeView<'_>,
    out: &mut alloc::vec::Vec<u8>,
) -> Result<usize, Stop> {
    let children = node.children()?;
    jute::encode_len(children.len(), out);
    let mut bytes = 0;
    for child in children {
        bytes += child.name().len();
        Some(Cow::Borrowed(child.name())).encode(out);
    }
    Ok(bytes)
}
