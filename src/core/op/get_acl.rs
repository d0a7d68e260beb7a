//! getACL.

use alloc::borrow::Cow;
use alloc::format;

use jute::Encode;
use zk_wire::client::{AclResponse, PathRequest};

use super::{Read, Stop, decode, non_null};
use crate::acl::perm;
use crate::auth::wire_list;

/// Answers a getACL. Without ADMIN the hashes of digest ids are hidden.
///
/// # Errors
/// MARSHALLINGERROR, NONODE, NOAUTH.
pub fn read(r: &mut Read<'_>, body: &[u8]) -> Result<(), Stop> {
    let request: PathRequest<'_> = decode(body, r.config.max_field)?;
    let node = r.node(non_null(&request.path)?)?;
    r.check_acl(&node, perm::READ | perm::ADMIN)?;
    let mut acl = wire_list(node.acl());
    if r.check_acl(&node, perm::ADMIN).is_err() {
        for entry in &mut acl {
            if entry.id.scheme.as_deref() != Some("digest") {
                continue;
            }
            if let Some(id) = entry.id.id.as_deref()
                && let Some((user, _)) = id.split_once(':')
            {
                entry.id.id = Some(Cow::Owned(format!("{user}:x")));
            }
        }
    }
    AclResponse {
        acl: Some(acl),
        stat: node.client_stat(),
    }
    .encode(r.out);
    Ok(())
}
