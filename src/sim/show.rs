//! Requests, replies and events as one line each, for traces and complaints.

use std::fmt::Write as _;

use jute::{Decode, Reader};
use zk_wire::client::{
    AclResponse, AddWatchRequest, AuthPacket, Children2Response, ChildrenResponse, CountResponse,
    Create2Response, CreateRequest, CreateTtlRequest, DataResponse, DeleteRequest,
    EphemeralsResponse, MultiOp, MultiResult, PathRequest, PathResponse, PathWatchRequest,
    PrefixRequest, ReplyHeader, SetAclRequest, SetDataRequest, SetWatches, SetWatches2, Stat,
    StatResponse, WatcherEvent, WatchesRequest, WhoAmIResponse, decode_multi, decode_multi_results,
};
use zk_wire::txn::{Txn, TxnBody};
use zk_wire::{Code, OpCode};

fn text(text: &jute::Str<'_>) -> String {
    match text.as_deref() {
        None => "null".into(),
        Some(text) if text.is_empty() || text.contains(|c: char| c <= ' ' || c > '~') => {
            format!("{text:?}")
        }
        Some(text) => text.into(),
    }
}

fn bytes(data: jute::Buf<'_>) -> String {
    match data {
        None => "null".into(),
        Some(data) if data.len() > 24 => format!("{} bytes", data.len()),
        Some(data) => format!("\"{}\"", data.escape_ascii()),
    }
}

fn list(list: &jute::List<jute::Str<'_>>) -> String {
    match list {
        None => "null".into(),
        Some(items) => {
            let mut items: Vec<String> = items.iter().map(text).collect();
            items.sort();
            format!("[{}]", items.join(" "))
        }
    }
}

fn acl(acl: &jute::List<zk_wire::client::Acl<'_>>) -> String {
    let Some(entries) = acl else {
        return "null".into();
    };
    let entries: Vec<String> = entries
        .iter()
        .map(|e| format!("{}:{}:{}", text(&e.id.scheme), text(&e.id.id), e.perms))
        .collect();
    if entries == ["world:anyone:31"] {
        return "open".into();
    }
    entries.join(",")
}

fn stat(stat: &Stat) -> String {
    let mut out = format!(
        "c={:#x} m={:#x} p={:#x} v={}/{}/{} len={} kids={}",
        stat.czxid,
        stat.mzxid,
        stat.pzxid,
        stat.version,
        stat.cversion,
        stat.aversion,
        stat.data_length,
        stat.num_children
    );
    if stat.ephemeral_owner != 0 {
        let _ = write!(out, " owner={:#x}", stat.ephemeral_owner);
    }
    out
}

fn create(request: &CreateRequest<'_>) -> String {
    format!(
        "{} {} flags={} {}",
        text(&request.path),
        bytes(request.data),
        request.flags,
        acl(&request.acl)
    )
}

fn create_ttl(request: &CreateTtlRequest<'_>) -> String {
    format!(
        "{} {} flags={} ttl={} {}",
        text(&request.path),
        bytes(request.data),
        request.flags,
        request.ttl,
        acl(&request.acl)
    )
}

fn multi(ops: &[MultiOp<'_>]) -> String {
    let ops: Vec<String> = ops
        .iter()
        .map(|op| {
            let body = match op {
                MultiOp::Create(_, request) => create(request),
                MultiOp::CreateTtl(request) => create_ttl(request),
                MultiOp::Delete(request) => {
                    format!("{} v={}", text(&request.path), request.version)
                }
                MultiOp::SetData(request) => set_data(request),
                MultiOp::Check(request) => format!("{} v={}", text(&request.path), request.version),
                MultiOp::GetData(request) | MultiOp::GetChildren(request) => text(&request.path),
            };
            format!("{} {body}", op.op())
        })
        .collect();
    format!("{{{}}}", ops.join("; "))
}

fn set_data(request: &SetDataRequest<'_>) -> String {
    format!(
        "{} {} v={}",
        text(&request.path),
        bytes(request.data),
        request.version
    )
}

/// A request without its header.
pub fn request(op: OpCode, body: &[u8]) -> String {
    let shown = request_body(op, &mut Reader::new(body));
    let body = shown.unwrap_or_else(|_| format!("undecodable {}", bytes(Some(body))));
    if body.is_empty() {
        op.name().into()
    } else {
        format!("{op} {body}")
    }
}

fn request_body(op: OpCode, r: &mut Reader<'_>) -> Result<String, jute::Error> {
    Ok(match op {
        OpCode::Create | OpCode::Create2 | OpCode::CreateContainer => {
            create(&CreateRequest::decode(r)?)
        }
        OpCode::CreateTtl => create_ttl(&CreateTtlRequest::decode(r)?),
        OpCode::Delete => {
            let request = DeleteRequest::decode(r)?;
            format!("{} v={}", text(&request.path), request.version)
        }
        OpCode::SetData => set_data(&SetDataRequest::decode(r)?),
        OpCode::SetAcl => {
            let request = SetAclRequest::decode(r)?;
            format!(
                "{} {} v={}",
                text(&request.path),
                acl(&request.acl),
                request.version
            )
        }
        OpCode::Exists | OpCode::GetData | OpCode::GetChildren | OpCode::GetChildren2 => {
            let request = PathWatchRequest::decode(r)?;
            let watch = if request.watch { " watch" } else { "" };
            format!("{}{watch}", text(&request.path))
        }
        OpCode::GetAcl | OpCode::Sync | OpCode::GetAllChildrenNumber => {
            text(&PathRequest::decode(r)?.path)
        }
        OpCode::GetEphemerals => text(&PrefixRequest::decode(r)?.prefix),
        OpCode::Multi | OpCode::MultiRead => match decode_multi(r) {
            Ok(ops) => multi(&ops),
            Err(error) => format!("undecodable: {error}"),
        },
        OpCode::AddWatch => {
            let request = AddWatchRequest::decode(r)?;
            format!("{} mode={}", text(&request.path), request.mode)
        }
        OpCode::CheckWatches | OpCode::RemoveWatches => {
            let request = WatchesRequest::decode(r)?;
            format!("{} kind={}", text(&request.path), request.kind)
        }
        OpCode::SetWatches => {
            let request = SetWatches::decode(r)?;
            format!(
                "since={:#x} data={} exist={} child={}",
                request.relative_zxid,
                list(&request.data),
                list(&request.exist),
                list(&request.child)
            )
        }
        OpCode::SetWatches2 => {
            let request = SetWatches2::decode(r)?;
            format!(
                "since={:#x} data={} exist={} child={} persistent={} recursive={}",
                request.relative_zxid,
                list(&request.data),
                list(&request.exist),
                list(&request.child),
                list(&request.persistent),
                list(&request.persistent_recursive)
            )
        }
        OpCode::Auth => {
            let packet = AuthPacket::decode(r)?;
            format!("{} {}", text(&packet.scheme), bytes(packet.auth))
        }
        OpCode::Ping
        | OpCode::WhoAmI
        | OpCode::CloseSession
        | OpCode::Sasl
        | OpCode::Reconfig
        | OpCode::DeleteContainer
        | OpCode::CreateSession
        | OpCode::Check
        | OpCode::Error => String::new(),
    })
}

/// A transaction.
pub fn txn(payload: &[u8]) -> String {
    match Txn::decode(&mut Reader::new(payload)) {
        Ok(txn) => txn_body(&txn.body),
        Err(error) => format!("undecodable: {error}"),
    }
}

fn txn_body(body: &TxnBody<'_>) -> String {
    let name = body.op().name();
    match body {
        TxnBody::CreateSession { timeout } => format!("{name} {timeout} ms"),
        TxnBody::CloseSession { paths } => format!("{name} {}", list(paths)),
        TxnBody::Error { err } => match Code::from_i32(*err) {
            Some(code) => format!("{name} {code}"),
            None => format!("{name} {err}"),
        },
        TxnBody::Create {
            path,
            parent_cversion,
            ..
        }
        | TxnBody::CreateContainer {
            path,
            parent_cversion,
            ..
        }
        | TxnBody::CreateTtl {
            path,
            parent_cversion,
            ..
        } => format!("{name} {} of {parent_cversion}", text(path)),
        TxnBody::Delete { path, .. } => format!("{name} {}", text(path)),
        TxnBody::SetData { path, version, .. }
        | TxnBody::SetAcl { path, version, .. }
        | TxnBody::Check { path, version } => format!("{name} {} to v={version}", text(path)),
        TxnBody::Multi(parts) => {
            let parts: Vec<String> = parts.iter().map(|part| txn_body(&part.body)).collect();
            format!("{name} {{{}}}", parts.join("; "))
        }
    }
}

/// A notification without its header.
pub fn event(zxid: i64, body: &[u8]) -> String {
    match WatcherEvent::decode(&mut Reader::new(body)) {
        Ok(event) => {
            let kind = match event.kind {
                1 => "created",
                2 => "deleted",
                3 => "changed",
                4 => "children",
                _ => "unknown",
            };
            let zxid = if zxid == -1 {
                "-1".into()
            } else {
                format!("{zxid:#x}")
            };
            format!("{kind} {} at {zxid}", text(&event.path))
        }
        Err(error) => format!("undecodable: {error}"),
    }
}

/// A reply.
pub fn reply(op: Option<OpCode>, header: &ReplyHeader, body: &[u8]) -> String {
    let err = match Code::from_i32(header.err) {
        Some(code) => code.name().to_owned(),
        None => header.err.to_string(),
    };
    let zxid = match header.zxid {
        -1 => "-1".into(),
        zxid => format!("{zxid:#x}"),
    };
    let name = op.map_or("unknown", OpCode::name);
    let mut out = format!("#{} {name} at {zxid} {err}", header.xid);
    if !body.is_empty() {
        let shown = op.map_or(Ok(bytes(Some(body))), |op| reply_body(op, body));
        match shown {
            Ok(shown) => {
                out.push(' ');
                out.push_str(&shown);
            }
            Err(error) => {
                let _ = write!(out, " undecodable ({error}) {}", bytes(Some(body)));
            }
        }
    }
    out
}

fn reply_body(op: OpCode, body: &[u8]) -> Result<String, jute::Error> {
    let r = &mut Reader::new(body);
    Ok(match op {
        OpCode::Create | OpCode::Sync => text(&PathResponse::decode(r)?.path),
        OpCode::Create2 | OpCode::CreateContainer | OpCode::CreateTtl => {
            let reply = Create2Response::decode(r)?;
            format!("{} {}", text(&reply.path), stat(&reply.stat))
        }
        OpCode::Exists | OpCode::SetData | OpCode::SetAcl => stat(&StatResponse::decode(r)?.stat),
        OpCode::GetData => {
            let reply = DataResponse::decode(r)?;
            format!("{} {}", bytes(reply.data), stat(&reply.stat))
        }
        OpCode::GetAcl => {
            let reply = AclResponse::decode(r)?;
            format!("{} {}", acl(&reply.acl), stat(&reply.stat))
        }
        OpCode::GetChildren => list(&ChildrenResponse::decode(r)?.children),
        OpCode::GetChildren2 => {
            let reply = Children2Response::decode(r)?;
            format!("{} {}", list(&reply.children), stat(&reply.stat))
        }
        OpCode::GetEphemerals => list(&EphemeralsResponse::decode(r)?.ephemerals),
        OpCode::GetAllChildrenNumber => CountResponse::decode(r)?.count.to_string(),
        OpCode::WhoAmI => {
            let reply = WhoAmIResponse::decode(r)?;
            let ids: Vec<String> = reply
                .info
                .iter()
                .flatten()
                .map(|info| format!("{}:{}", text(&info.scheme), text(&info.user)))
                .collect();
            ids.join(" ")
        }
        OpCode::Multi | OpCode::MultiRead => match decode_multi_results(r) {
            Ok(results) => {
                let results: Vec<String> = results.iter().map(result).collect();
                format!("{{{}}}", results.join("; "))
            }
            Err(error) => format!("undecodable: {error}"),
        },
        OpCode::Delete
        | OpCode::DeleteContainer
        | OpCode::Ping
        | OpCode::Check
        | OpCode::Reconfig
        | OpCode::CheckWatches
        | OpCode::RemoveWatches
        | OpCode::Auth
        | OpCode::SetWatches
        | OpCode::SetWatches2
        | OpCode::Sasl
        | OpCode::AddWatch
        | OpCode::CreateSession
        | OpCode::CloseSession
        | OpCode::Error => bytes(Some(body)),
    })
}

fn result(result: &MultiResult<'_>) -> String {
    match result {
        MultiResult::Create(reply) => format!("create {}", text(&reply.path)),
        MultiResult::Create2(reply) => {
            format!("create2 {} {}", text(&reply.path), stat(&reply.stat))
        }
        MultiResult::Delete => "delete".into(),
        MultiResult::SetData(reply) => format!("setData {}", stat(&reply.stat)),
        MultiResult::Check => "check".into(),
        MultiResult::GetData(reply) => {
            format!("getData {} {}", bytes(reply.data), stat(&reply.stat))
        }
        MultiResult::GetChildren(reply) => format!("getChildren {}", list(&reply.children)),
        MultiResult::Error(err) => format!("error {err}"),
    }
}
