//! From a request's body to its transaction: the one place that knows which operation prepares what.
//!
//! It does not know the queue, and changes only the pending state.

use alloc::string::String;

use jute::Decode;
use zk_wire::client::{
    CreateRequest, CreateTtlRequest, DeleteRequest, ReconfigRequest, SetAclRequest, SetDataRequest,
};
use zk_wire::txn::TxnBody;
use zk_wire::{Code, OpCode};

use crate::config::Config;
use crate::ids::{Now, SessionId, Zxid};
use crate::op::create::{Kind, Mode, Request};
use crate::op::multi::Malformed;
use crate::op::{self, Prep, Stop};
use crate::pending::Pending;
use crate::tree::Tree;

/// Why a request becomes no transaction of its own kind.
pub(super) enum Refusal {
    Stop(Stop),
    Undecodable,
}

impl From<Stop> for Refusal {
    fn from(stop: Stop) -> Refusal {
        Refusal::Stop(stop)
    }
}

/// The surroundings of one preparation.
pub(super) fn prep<'a>(
    config: &'a Config,
    pending: &'a mut Pending,
    tree: &'a Tree,
    zxid: Zxid,
    now: Now,
) -> Prep<'a> {
    Prep {
        tree,
        pending,
        config,
        zxid,
        time_ms: now.wall_ms,
        session: SessionId(0),
        allowed: Ok(()),
        allowed_ephemeral: Ok(()),
        membership: None,
        proposed_config: 0,
        ids: &[],
        exceeded: None,
    }
}

fn parse<'a, T: Decode<'a>>(body: &'a [u8], max_field: usize) -> Result<T, Refusal> {
    op::decode(body, max_field).map_err(|_| Refusal::Undecodable)
}

/// The transaction of a request, noted in the pending state. What of it is not in `body` is put
/// into `text`.
pub(super) fn prepare<'a>(
    p: &mut Prep<'_>,
    op: OpCode,
    body: &'a [u8],
    text: &'a mut String,
    max_field: usize,
) -> Result<TxnBody<'a>, Refusal> {
    Ok(match op {
        OpCode::Create | OpCode::Create2 | OpCode::CreateContainer => {
            op::create::prepare(p, &Request::plain(op, parse(body, max_field)?))?
        }
        OpCode::CreateTtl => op::create::prepare(p, &Request::ttl(parse(body, max_field)?))?,
        OpCode::Delete => op::delete::prepare(p, &parse(body, max_field)?)?,
        OpCode::SetData => op::set_data::prepare(p, &parse(body, max_field)?)?,
        OpCode::SetAcl => op::set_acl::prepare(p, &parse(body, max_field)?)?,
        OpCode::Multi => {
            // Unlike any other body, most bad ones here cost a zxid in Java.
            let ops = op::multi::decode(body, max_field).map_err(|error| match error {
                Malformed::Undecodable => Refusal::Undecodable,
                Malformed::Refused => Refusal::Stop(Stop::Code(Code::MarshallingError)),
            })?;
            op::multi::prepare(p, ops)?
        }
        OpCode::Reconfig => {
            let request: ReconfigRequest<'_> = parse(body, max_field)?;
            op::reconfig::prepare(p, &request, text)?
        }
        OpCode::Exists
        | OpCode::GetData
        | OpCode::GetAcl
        | OpCode::GetChildren
        | OpCode::GetChildren2
        | OpCode::Sync
        | OpCode::Ping
        | OpCode::Check
        | OpCode::CheckWatches
        | OpCode::RemoveWatches
        | OpCode::DeleteContainer
        | OpCode::MultiRead
        | OpCode::Auth
        | OpCode::SetWatches
        | OpCode::SetWatches2
        | OpCode::Sasl
        | OpCode::GetEphemerals
        | OpCode::GetAllChildrenNumber
        | OpCode::AddWatch
        | OpCode::WhoAmI
        | OpCode::CreateSession
        | OpCode::CloseSession
        | OpCode::Error => panic!("{op:?} is not prepared here"),
    })
}

/// Whether a request makes a node that its session will own.
pub(super) fn makes_ephemerals(op: OpCode, body: &[u8], max_field: usize) -> bool {
    if op == OpCode::Multi {
        return op::multi::makes_ephemerals(body, max_field);
    }
    let created = matches!(op, OpCode::Create | OpCode::Create2)
        .then(|| op::decode::<CreateRequest<'_>>(body, max_field).ok())
        .flatten();
    created
        .and_then(|request| Mode::from_flags(request.flags))
        .is_some_and(|mode| mode.kind == Kind::Ephemeral)
}

/// Whether a request's body makes a request, so that a transaction can come of it, be it an error.
/// Java proposes one for a body that does not, but under a zxid that is taken.
pub(super) fn is_decodable(op: OpCode, body: &[u8], max_field: usize) -> bool {
    fn parses<'a, T: Decode<'a>>(body: &'a [u8], max_field: usize) -> bool {
        op::decode::<T>(body, max_field).is_ok()
    }
    match op {
        OpCode::Create | OpCode::Create2 | OpCode::CreateContainer => {
            parses::<CreateRequest<'_>>(body, max_field)
        }
        OpCode::CreateTtl => parses::<CreateTtlRequest<'_>>(body, max_field),
        OpCode::Delete => parses::<DeleteRequest<'_>>(body, max_field),
        OpCode::SetData => parses::<SetDataRequest<'_>>(body, max_field),
        OpCode::SetAcl => parses::<SetAclRequest<'_>>(body, max_field),
        OpCode::Reconfig => parses::<ReconfigRequest<'_>>(body, max_field),
        // What is wrong with it otherwise costs a zxid of its own.
        OpCode::Multi => op::multi::decode(body, max_field) != Err(Malformed::Undecodable),
        OpCode::CloseSession => true,
        OpCode::Exists
        | OpCode::GetData
        | OpCode::GetAcl
        | OpCode::GetChildren
        | OpCode::GetChildren2
        | OpCode::Sync
        | OpCode::Ping
        | OpCode::Check
        | OpCode::CheckWatches
        | OpCode::RemoveWatches
        | OpCode::DeleteContainer
        | OpCode::MultiRead
        | OpCode::Auth
        | OpCode::SetWatches
        | OpCode::SetWatches2
        | OpCode::Sasl
        | OpCode::GetEphemerals
        | OpCode::GetAllChildrenNumber
        | OpCode::AddWatch
        | OpCode::WhoAmI
        | OpCode::CreateSession
        | OpCode::Error => false,
    }
}
