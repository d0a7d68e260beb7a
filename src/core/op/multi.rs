//! multi: several writes under one zxid, all or none.

use alloc::vec::Vec;

use jute::Reader;
use zk_wire::client::{MultiError, MultiOp, decode_multi};
use zk_wire::txn::{SubTxn, TxnBody};
use zk_wire::{Code, OpCode};

use super::create::{Kind, Mode, Request};
use super::{Answer, Apply, Prep, Stop, apply as apply_one, check, create, delete, set_data};

/// Decodes a multi. Only writes of one kind are allowed, and flags are looked at here already.
///
/// # Errors
/// MARSHALLINGERROR, for the whole.
pub fn decode(body: &[u8], max_field: usize) -> Result<Vec<MultiOp<'_>>, Code> {
    let bad = |error: MultiError| match error {
        MultiError::Jute(_) | MultiError::Op(_) => Code::MarshallingError,
    };
    let mut ops = decode_multi(&mut Reader::with_limit(body, max_field)).map_err(bad)?;
    for op in &mut ops {
        reform(op)?;
    }
    Ok(ops)
}

/// Inside a multi the flags decide: flag 4 makes a container of create and create2, and a createTTL
/// without a TTL mode, be it an unknown one, is a create.
fn reform(op: &mut MultiOp<'_>) -> Result<(), Code> {
    match op {
        MultiOp::Create(code, request) => {
            let mode = Mode::from_flags(request.flags).ok_or(Code::MarshallingError)?;
            if request.path.is_none() {
                return Err(Code::MarshallingError);
            }
            match mode.kind {
                Kind::Ttl => return Err(Code::MarshallingError),
                Kind::Container => *code = OpCode::CreateContainer,
                Kind::Persistent | Kind::Ephemeral => {}
            }
        }
        MultiOp::CreateTtl(request) => {
            if request.path.is_none() {
                return Err(Code::MarshallingError);
            }
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
        MultiOp::Delete(request) if request.path.is_none() => return Err(Code::MarshallingError),
        MultiOp::SetData(request) if request.path.is_none() => return Err(Code::MarshallingError),
        MultiOp::Check(request) if request.path.is_none() => return Err(Code::MarshallingError),
        MultiOp::Delete(_) | MultiOp::SetData(_) | MultiOp::Check(_) => {}
        MultiOp::GetData(_) | MultiOp::GetChildren(_) => return Err(Code::MarshallingError),
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
