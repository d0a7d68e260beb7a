//! setData.

use jute::{Buf, Str};
use zk_wire::client::SetDataRequest;
use zk_wire::digest;
use zk_wire::txn::TxnBody;
use zk_wire::{Code, OpCode};

use super::{Answer, Apply, Prep, Stop, next_version, root_as_empty, valid_path};
use crate::acl::perm;
use crate::quota;
use crate::watch::{Event, Table};

/// Judges a setData.
///
/// # Errors
/// In Java's order: SESSIONEXPIRED, BADARGUMENTS, NONODE, NOAUTH, QUOTAEXCEEDED, BADVERSION.
pub fn prepare<'a>(p: &mut Prep<'_>, request: &SetDataRequest<'a>) -> Result<TxnBody<'a>, Stop> {
    p.check_session()?;
    let path = valid_path(&request.path)?;
    let node = p.record(path)?;
    p.check_acl(&node.acl, perm::WRITE)?;
    let len = request.data.map_or(0, <[u8]>::len);
    p.check_quota(path, len as i64 - node.data_len as i64, 0)?;
    let version = next_version(node.stat.version, request.version)?;
    if usage_node(path) && quota::Track::parse(request.data).is_none() {
        // The next write counted there stops a Java server that replays our log
        // (docs/differences.md).
        return Err(Code::BadArguments.into());
    }
    let mut after = node.clone();
    after.stat.version = version;
    after.stat.mtime = p.time_ms;
    after.stat.mzxid = p.zxid.0;
    after.data_len = len;
    after.crc = digest::node_crc(root_as_empty(path).as_bytes(), request.data);
    p.set(path, Some(&node), Some(after));
    Ok(TxnBody::SetData {
        op: OpCode::SetData,
        path: request.path.clone(),
        data: request.data,
        version,
    })
}

fn usage_node(path: &str) -> bool {
    path.starts_with(quota::QUOTA)
        && crate::path::split(path).is_some_and(|(_, name)| name == quota::STATS)
}

/// Applies a setData, or a reconfig as one.
pub fn apply<'a>(a: &mut Apply<'_>, path: &'a Str<'a>, data: Buf<'a>, version: i32) -> Answer<'a> {
    let Some(path) = path.as_deref() else {
        return Answer::Error(Code::MarshallingError.to_i32());
    };
    a.visits += 1;
    match a.tree.set_data(path, data, version, a.zxid, a.time_ms) {
        Ok(modified) => {
            a.post.wrote(path, data.map_or(0, <[u8]>::len));
            a.fire(Table::Data, Event::DataChanged, path, &modified.acl, &[]);
            Answer::Stat(modified.stat)
        }
        Err(code) => Answer::Error(code.to_i32()),
    }
}
