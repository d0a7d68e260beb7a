//! multi: several writes under one zxid, all or none.

use alloc::vec::Vec;

use jute::Reader;
use zk_wire::client::{MultiError, MultiOp, decode_multi_op};
use zk_wire::txn::{SubTxn, TxnBody};
use zk_wire::{Code, OpCode};

use super::create::{Kind, Mode, Request};
use super::{Answer, Apply, Prep, Stop, apply as apply_one, check, create, delete, set_data};

/// Why a multi is refused as a whole, with MARSHALLINGERROR, before any of it is judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Malformed {
    /// As any other body that cannot be decoded: no zxid is taken.
    Undecodable,
    /// Java foresees it, and takes a zxid.
    Refused,
}

/// Decodes a multi: writes only.
///
/// # Errors
/// See [`decode_any`]; reads and null paths are refused.
pub fn decode(body: &[u8], max_field: usize) -> Result<Vec<MultiOp<'_>>, Malformed> {
    let ops = decode_any(&mut Reader::with_limit(body, max_field))?;
    if ops.iter().any(|op| is_read(op) || !has_path(op)) {
        return Err(Malformed::Refused);
    }
    Ok(ops)
}

/// Decodes a multi or multiRead: reads only or writes only, whichever. Flags are looked at here
/// already.
///
/// # Errors
/// Of what comes first in the body: a null list of a create is undecodable, everything else
/// refused.
pub fn decode_any<'a>(reader: &mut Reader<'a>) -> Result<Vec<MultiOp<'a>>, Malformed> {
    let mut ops: Vec<MultiOp<'a>> = Vec::new();
    let refused = |error: MultiError| match error {
        MultiError::Jute(_) | MultiError::Op(_) => Malformed::Refused,
    };
    while let Some(mut op) = decode_multi_op(reader).map_err(refused)? {
        reform(&mut op)?;
        if ops
            .first()
            .is_some_and(|first| is_read(first) != is_read(&op))
        {
            return Err(Malformed::Refused);
        }
        ops.push(op);
    }
    Ok(ops)
}

/// The paths that a multi names; none of one that is malformed.
pub fn paths(body: &[u8], max_field: usize, take: &mut dyn FnMut(&str)) {
    for op in decode(body, max_field).iter().flatten() {
        let path = match op {
            MultiOp::Create(_, request) => &request.path,
            MultiOp::CreateTtl(request) => &request.path,
            MultiOp::Delete(request) => &request.path,
            MultiOp::SetData(request) => &request.path,
            MultiOp::Check(request) => &request.path,
            MultiOp::GetData(request) | MultiOp::GetChildren(request) => &request.path,
        };
        if let Some(path) = path.as_deref() {
            take(path);
        }
    }
}

/// Whether a multi makes ephemeral nodes; none that is malformed does.
pub fn makes_ephemerals(body: &[u8], max_field: usize) -> bool {
    decode(body, max_field).iter().flatten().any(|op| {
        let MultiOp::Create(OpCode::Create | OpCode::Create2, request) = op else {
            return false;
        };
        Mode::from_flags(request.flags).is_some_and(|mode| mode.kind == Kind::Ephemeral)
    })
}

fn is_read(op: &MultiOp<'_>) -> bool {
    matches!(op, MultiOp::GetData(_) | MultiOp::GetChildren(_))
}

fn has_path(op: &MultiOp<'_>) -> bool {
    match op {
        MultiOp::Create(_, request) => request.path.is_some(),
        MultiOp::CreateTtl(request) => request.path.is_some(),
        MultiOp::Delete(request) => request.path.is_some(),
        MultiOp::SetData(request) => request.path.is_some(),
        MultiOp::Check(request) => request.path.is_some(),
        MultiOp::GetData(request) | MultiOp::GetChildren(request) => request.path.is_some(),
    }
}

/// Inside a multi the flags decide: flag 4 makes a container of create and create2, and a createTTL
/// without a TTL mode, be it an unknown one, is a create.
fn reform(op: &mut MultiOp<'_>) -> Result<(), Malformed> {
    match op {
        MultiOp::Create(code, request) => {
            let mode = Mode::from_flags(request.flags).ok_or(Malformed::Refused)?;
            if request.acl.is_none() {
                return Err(Malformed::Undecodable);
            }
            match mode.kind {
                Kind::Ttl => return Err(Malformed::Refused),
                Kind::Container => *code = OpCode::CreateContainer,
                Kind::Persistent | Kind::Ephemeral => {}
            }
        }
        MultiOp::CreateTtl(request) => {
            let code = match Mode::from_flags(request.flags).map(|mode| mode.kind) {
                Some(Kind::Ttl) => return Ok(()),
                Some(Kind::Container) => OpCode::CreateContainer,
                // Unknown flags are refused one by one, with the operations behind them.
                Some(Kind::Persistent | Kind::Ephemeral) | None => OpCode::Create,
            };
            let plain = zk_wire::client::CreateRequest {
                path: request.path.take(),
                data: request.data.take(),
                acl: request.acl.take(),
                flags: request.flags,
            };
            *op = MultiOp::Create(code, plain);
        }
        MultiOp::Delete(_)
        | MultiOp::SetData(_)
        | MultiOp::Check(_)
        | MultiOp::GetData(_)
        | MultiOp::GetChildren(_) => {}
    }
    Ok(())
}

fn prepare_one<'a>(p: &mut Prep<'_>, op: MultiOp<'a>) -> Result<TxnBody<'a>, Stop> {
    match op {
        MultiOp::Create(code, request) => create::prepare(p, &Request::plain(code, request)),
        MultiOp::CreateTtl(request) => create::prepare(p, &Request::ttl(request)),
        MultiOp::Delete(request) => delete::prepare(p, &request),
        MultiOp::SetData(request) => set_data::prepare(p, &request),
        MultiOp::Check(request) => check::prepare(p, &request),
        MultiOp::GetData(_) | MultiOp::GetChildren(_) => Err(Code::MarshallingError.into()),
    }
}

/// Judges a multi. It always becomes a transaction: one that failed keeps the operations before
/// the failure, then the failure's code, then RUNTIMEINCONSISTENCY for the rest.
///
/// # Errors
/// A row that is not resident, or MARSHALLINGERROR for the whole; nothing is proposed then.
pub fn prepare<'a>(p: &mut Prep<'_>, ops: Vec<MultiOp<'a>>) -> Result<TxnBody<'a>, Stop> {
    let mark = p.pending.mark();
    let mut subs = Vec::with_capacity(ops.len());
    let mut failed = false;
    for op in ops {
        if failed {
            let err = Code::RuntimeInconsistency.to_i32();
            subs.push(SubTxn::new(TxnBody::Error { err }));
            continue;
        }
        match prepare_one(p, op) {
            Ok(body) => subs.push(SubTxn::new(body)),
            // An exception inside Java fails the request as a whole.
            Err(Stop::Code(Code::MarshallingError)) => {
                p.pending.roll_back(&mark);
                return Err(Code::MarshallingError.into());
            }
            Err(Stop::Code(code)) => {
                failed = true;
                p.pending.roll_back(&mark);
                subs.push(SubTxn::new(TxnBody::Error { err: code.to_i32() }));
            }
            Err(need) => {
                p.pending.roll_back(&mark);
                return Err(need);
            }
        }
    }
    Ok(TxnBody::Multi(subs))
}

/// Applies a multi, or answers one that failed.
pub fn apply<'a>(a: &mut Apply<'_>, subs: &'a [SubTxn<'a>]) -> Answer<'a> {
    let failed = subs
        .iter()
        .position(|sub| matches!(sub.body, TxnBody::Error { .. }));
    let answers = subs.iter().enumerate().map(|(at, sub)| match failed {
        None => apply_one(a, &sub.body),
        Some(first) if at < first => Answer::Error(Code::Ok.to_i32()),
        Some(_) => match &sub.body {
            TxnBody::Error { err } => Answer::Error(*err),
            _ => Answer::Error(Code::RuntimeInconsistency.to_i32()),
        },
    });
    Answer::Multi(answers.collect())
}

#[cfg(test)]
mod tests {
    use zk_wire::client::{Acl, CreateRequest, PathWatchRequest, encode_multi};

    use super::*;

    fn create(flags: i32, acl: Option<Vec<Acl<'static>>>) -> MultiOp<'static> {
        let request = CreateRequest {
            path: Some("/a".into()),
            data: None,
            acl,
            flags,
        };
        MultiOp::Create(OpCode::Create, request)
    }

    fn decoded(ops: &[MultiOp<'_>]) -> Result<usize, Malformed> {
        let mut bytes = Vec::new();
        encode_multi(ops, &mut bytes);
        decode(&bytes, 1000).map(|ops| ops.len())
    }

    #[test]
    fn what_is_wrong_first_decides() {
        let list = Some(Vec::new());
        let read = MultiOp::GetData(PathWatchRequest {
            path: Some("/a".into()),
            watch: false,
        });
        assert_eq!(decoded(&[create(0, list.clone())]), Ok(1));
        assert_eq!(decoded(&[create(0, None)]), Err(Malformed::Undecodable));
        assert_eq!(decoded(&[create(5, None)]), Err(Malformed::Undecodable));
        assert_eq!(decoded(&[create(7, None)]), Err(Malformed::Refused));
        assert_eq!(
            decoded(&[create(0, None), create(7, list.clone())]),
            Err(Malformed::Undecodable)
        );
        assert_eq!(
            decoded(&[create(5, list.clone()), create(0, None)]),
            Err(Malformed::Refused)
        );
        assert_eq!(
            decoded(&[create(0, list.clone()), read.clone(), create(0, None)]),
            Err(Malformed::Refused)
        );
        assert_eq!(decoded(&[read]), Err(Malformed::Refused));
    }
}
