//! multiRead: several getData and getChildren in one, each with its own error.

use alloc::borrow::Cow;
use alloc::vec::Vec;

use jute::Reader;
use zk_wire::client::{ChildrenResponse, DataResponse, MultiOp, MultiResult, encode_multi_results};
use zk_wire::{Code, OpCode};

use super::{Read, Stop, multi};
use crate::acl::perm;

/// Answers a multiRead. Watch flags are ignored, as in Java.
///
/// # Errors
/// MARSHALLINGERROR for another operation inside, or a null path: it alone of all errors comes with
/// a body, the results before that operation.
pub fn read(r: &mut Read<'_>, body: &[u8]) -> Result<(), Stop> {
    let mut reader = Reader::with_limit(body, r.config.max_field);
    let ops = multi::decode_any(&mut reader).map_err(|_| Code::MarshallingError)?;
    let mut results = Vec::with_capacity(ops.len());
    let mut malformed = false;
    for op in &ops {
        let (code, request) = match op {
            MultiOp::GetData(request) => (OpCode::GetData, request),
            MultiOp::GetChildren(request) => (OpCode::GetChildren, request),
            MultiOp::Create(..)
            | MultiOp::CreateTtl(_)
            | MultiOp::Delete(_)
            | MultiOp::SetData(_)
            | MultiOp::Check(_) => {
                malformed = true;
                break;
            }
        };
        let Some(path) = request.path.as_deref() else {
            malformed = true;
            break;
        };
        results.push(match one(r, code, path) {
            Ok(result) => result,
            Err(Stop::Code(code)) => MultiResult::Error(code.to_i32()),
            Err(need) => return Err(need),
        });
    }
    let mut encoded = Vec::new();
    encode_multi_results(&results, &mut encoded);
    r.out.append(&mut encoded);
    if malformed {
        return Err(Code::MarshallingError.into());
    }
    Ok(())
}

fn one<'t>(r: &mut Read<'t>, code: OpCode, path: &str) -> Result<MultiResult<'t>, Stop> {
    let node = r.node(path)?;
    r.check_acl(&node, perm::READ)?;
    if code == OpCode::GetData {
        let (data, stat) = (node.data(), node.client_stat());
        r.count(path, data.map_or(0, <[u8]>::len));
        return Ok(MultiResult::GetData(DataResponse { data, stat }));
    }
    let mut bytes = 0;
    let names = node
        .children()?
        .map(|child| {
            bytes += child.name().len();
            Some(Cow::Borrowed(child.name()))
        })
        .collect();
    r.count(path, bytes);
    Ok(MultiResult::GetChildren(ChildrenResponse {
        children: Some(names),
    }))
}
