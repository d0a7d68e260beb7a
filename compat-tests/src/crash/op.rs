//! The requests of a writer: how they are sent, and whether a reply is the one that the model
//! expects.

use std::borrow::Cow;

use jute::{Decode, Encode, Reader};
use zk_wire::client::{
    Acl, AclResponse, CheckRequest, Children2Response, ChildrenResponse, CountResponse,
    Create2Response, CreateRequest, CreateTtlRequest, DataResponse, DeleteRequest,
    EphemeralsResponse, Id, MultiOp, MultiResult, PathRequest, PathResponse, PathWatchRequest,
    PrefixRequest, RequestHeader, SetAclRequest, SetDataRequest, Stat, StatResponse,
    decode_multi_results, encode_multi,
};
use zk_wire::{Code, OpCode};

use super::model::{Model, Node, Outcome, same_stat};

/// A request.
#[derive(Debug, Clone)]
pub enum Op {
    /// create, or with `stat` create2.
    Create {
        path: String,
        data: Option<Vec<u8>>,
        acl: u8,
        ephemeral: bool,
        sequential: bool,
        stat: bool,
    },
    Delete {
        path: String,
        version: i32,
    },
    Set {
        path: String,
        data: Option<Vec<u8>>,
        version: i32,
    },
    SetAcl {
        path: String,
        acl: u8,
        version: i32,
    },
    /// createContainer, of which models know nothing: a reaper deletes it.
    Container(String),
    /// createTTL with a millisecond to live, likewise.
    Ttl(String),
    /// Inside a multi only.
    Check {
        path: String,
        version: i32,
    },
    Multi(Vec<Op>),
    CloseSession,
    Sync(String),
    Ping,
    Get(String),
    Exists(String),
    /// getChildren, or with `true` getChildren2.
    Children(String, bool),
    Acl(String),
    Count(String),
    Ephemerals,
    /// getData, or with `true` getChildren, of several nodes.
    MultiRead(Vec<(bool, String)>),
}

/// How many ACLs there are to choose from; the first is the open one.
pub const ACLS: u8 = 5;

/// An ACL by its number. Each lets everybody in this run do everything.
pub fn acl(number: u8) -> Vec<Acl<'static>> {
    let entry = |perms, scheme: &'static str, id: Cow<'static, str>| Acl {
        perms,
        id: Id {
            scheme: Some(scheme.into()),
            id: Some(id),
        },
    };
    let open = || entry(31, "world", "anyone".into());
    let here = || entry(31, "ip", "127.0.0.1".into());
    match number {
        0 => vec![open()],
        1 => vec![open(), here()],
        2 => vec![here()],
        3 => vec![
            open(),
            entry(1, "digest", "u:lK75jTNcA+U9vtVEw5vB51mj/w4=".into()),
        ],
        _ => {
            let many = (0..20).map(|n| entry(7, "digest", format!("u{n}:x").into()));
            std::iter::once(here()).chain(many).collect()
        }
    }
}

/// The number of an ACL that a server returned.
pub fn acl_number(list: &[Acl<'_>]) -> Option<u8> {
    (0..ACLS).find(|number| acl(*number) == list)
}

fn watchless(path: &str) -> PathWatchRequest<'_> {
    PathWatchRequest {
        path: Some(path.into()),
        watch: false,
    }
}

impl Op {
    /// The operation code.
    pub fn code(&self) -> OpCode {
        match self {
            Op::Create { stat: false, .. } => OpCode::Create,
            Op::Create { stat: true, .. } => OpCode::Create2,
            Op::Delete { .. } => OpCode::Delete,
            Op::Set { .. } => OpCode::SetData,
            Op::SetAcl { .. } => OpCode::SetAcl,
            Op::Container(_) => OpCode::CreateContainer,
            Op::Ttl(_) => OpCode::CreateTtl,
            Op::Check { .. } => OpCode::Check,
            Op::Multi(_) => OpCode::Multi,
            Op::CloseSession => OpCode::CloseSession,
            Op::Sync(_) => OpCode::Sync,
            Op::Ping => OpCode::Ping,
            Op::Get(_) => OpCode::GetData,
            Op::Exists(_) => OpCode::Exists,
            Op::Children(_, false) => OpCode::GetChildren,
            Op::Children(_, true) => OpCode::GetChildren2,
            Op::Acl(_) => OpCode::GetAcl,
            Op::Count(_) => OpCode::GetAllChildrenNumber,
            Op::Ephemerals => OpCode::GetEphemerals,
            Op::MultiRead(_) => OpCode::MultiRead,
        }
    }

    /// Whether it makes a transaction.
    pub fn is_write(&self) -> bool {
        match self {
            Op::Create { .. }
            | Op::Delete { .. }
            | Op::Set { .. }
            | Op::SetAcl { .. }
            | Op::Container(_)
            | Op::Ttl(_)
            | Op::Check { .. }
            | Op::Multi(_)
            | Op::CloseSession => true,
            Op::Sync(_)
            | Op::Ping
            | Op::Get(_)
            | Op::Exists(_)
            | Op::Children(..)
            | Op::Acl(_)
            | Op::Count(_)
            | Op::Ephemerals
            | Op::MultiRead(_) => false,
        }
    }

    /// The path that one part of a multi names.
    pub fn paths(&self) -> impl Iterator<Item = &str> {
        match self {
            Op::Create { path, .. }
            | Op::Delete { path, .. }
            | Op::Set { path, .. }
            | Op::SetAcl { path, .. }
            | Op::Check { path, .. } => Some(path.as_str()),
            _ => None,
        }
        .into_iter()
    }

    fn create_request(&self) -> Option<CreateRequest<'_>> {
        match self {
            Op::Create {
                path,
                data,
                acl: number,
                ephemeral,
                sequential,
                stat: _,
            } => Some(CreateRequest {
                path: Some(path.into()),
                data: data.as_deref(),
                acl: Some(acl(*number)),
                flags: i32::from(*ephemeral) + 2 * i32::from(*sequential),
            }),
            _ => None,
        }
    }

    fn part(&self) -> MultiOp<'_> {
        match self {
            Op::Create { .. } => match self.create_request() {
                Some(request) => MultiOp::Create(self.code(), request),
                None => panic!("a create is a create"),
            },
            Op::Delete { path, version } => MultiOp::Delete(DeleteRequest {
                path: Some(path.into()),
                version: *version,
            }),
            Op::Set {
                path,
                data,
                version,
            } => MultiOp::SetData(SetDataRequest {
                path: Some(path.into()),
                data: data.as_deref(),
                version: *version,
            }),
            Op::Check { path, version } => MultiOp::Check(CheckRequest {
                path: Some(path.into()),
                version: *version,
            }),
            other => panic!("{other:?} inside a multi"),
        }
    }

    fn body(&self, out: &mut Vec<u8>) {
        match self {
            Op::Create { .. } => {
                if let Some(request) = self.create_request() {
                    request.encode(out);
                }
            }
            Op::Delete { path, version } => DeleteRequest {
                path: Some(path.into()),
                version: *version,
            }
            .encode(out),
            Op::Set {
                path,
                data,
                version,
            } => SetDataRequest {
                path: Some(path.into()),
                data: data.as_deref(),
                version: *version,
            }
            .encode(out),
            Op::SetAcl {
                path,
                acl: number,
                version,
            } => SetAclRequest {
                path: Some(path.into()),
                acl: Some(acl(*number)),
                version: *version,
            }
            .encode(out),
            Op::Check { path, version } => CheckRequest {
                path: Some(path.into()),
                version: *version,
            }
            .encode(out),
            Op::Container(path) => CreateRequest {
                path: Some(path.into()),
                data: None,
                acl: Some(acl(0)),
                flags: 4,
            }
            .encode(out),
            Op::Ttl(path) => CreateTtlRequest {
                path: Some(path.into()),
                data: None,
                acl: Some(acl(0)),
                flags: 5,
                ttl: 1,
            }
            .encode(out),
            Op::Multi(ops) => {
                let parts: Vec<_> = ops.iter().map(Op::part).collect();
                encode_multi(&parts, out);
            }
            Op::CloseSession | Op::Ping => {}
            Op::Sync(path) | Op::Count(path) => PathRequest {
                path: Some(path.into()),
            }
            .encode(out),
            Op::Acl(path) => PathRequest {
                path: Some(path.into()),
            }
            .encode(out),
            Op::Get(path) | Op::Exists(path) | Op::Children(path, _) => {
                watchless(path).encode(out);
            }
            Op::Ephemerals => PrefixRequest {
                prefix: Some("/".into()),
            }
            .encode(out),
            Op::MultiRead(reads) => {
                let parts: Vec<_> = reads
                    .iter()
                    .map(|(children, path)| match children {
                        true => MultiOp::GetChildren(watchless(path)),
                        false => MultiOp::GetData(watchless(path)),
                    })
                    .collect();
                encode_multi(&parts, out);
            }
        }
    }

    /// Appends the whole frame.
    pub fn frame(&self, xid: i32, out: &mut Vec<u8>) {
        let start = zk_wire::client::frame::begin(out);
        RequestHeader {
            xid,
            op: self.code().to_i32(),
        }
        .encode(out);
        self.body(out);
        zk_wire::client::frame::finish(out, start);
    }
}

fn decode<'a, T: Decode<'a>>(body: &'a [u8]) -> Result<T, String> {
    let mut reader = Reader::new(body);
    let value = T::decode(&mut reader).map_err(|e| format!("the reply cannot be read: {e}"))?;
    match reader.remaining() {
        0 => Ok(value),
        n => Err(format!("{n} bytes behind the reply")),
    }
}

fn names(list: &jute::List<jute::Str<'_>>) -> Vec<String> {
    let mut names: Vec<String> = list
        .iter()
        .flatten()
        .map(|name| name.as_deref().unwrap_or("<null>").into())
        .collect();
    names.sort();
    names
}

fn same_names(want: impl Iterator<Item = String>, got: Vec<String>) -> Result<(), String> {
    let want: Vec<String> = want.collect();
    if want == got {
        return Ok(());
    }
    let missing = want.iter().find(|name| !got.contains(name));
    let extra = got.iter().find(|name| !want.contains(name));
    Err(format!(
        "{} names instead of {}, missing for example {missing:?}, too much {extra:?}",
        got.len(),
        want.len()
    ))
}

fn same_code(want: Code, got: i32) -> Result<(), String> {
    if want.to_i32() == got {
        Ok(())
    } else {
        Err(format!("error {got}, not {want}"))
    }
}

fn same_path(want: &str, got: &jute::Str<'_>) -> Result<(), String> {
    if got.as_deref() == Some(want) {
        Ok(())
    } else {
        Err(format!("path {got:?}, not {want:?}"))
    }
}

fn same_data(want: &Node, got: jute::Buf<'_>) -> Result<(), String> {
    if want.data.as_deref() == got {
        Ok(())
    } else {
        Err(format!(
            "data of {:?} bytes, not {:?}",
            got.map(<[u8]>::len),
            want.data.as_ref().map(Vec::len)
        ))
    }
}

/// Checks the reply to a write against what the model says it comes to.
///
/// # Errors
/// What is wrong.
pub fn check_write(
    model: &mut Model,
    outcome: &Outcome,
    err: i32,
    body: &[u8],
) -> Result<(), String> {
    let code = match outcome {
        Outcome::Failed(code) => *code,
        _ => Code::Ok,
    };
    same_code(code, err)?;
    match outcome {
        Outcome::Failed(_) | Outcome::Nothing => {
            if body.is_empty() {
                Ok(())
            } else {
                Err(format!("a body of {} bytes", body.len()))
            }
        }
        Outcome::Path(path) => same_path(path, &decode::<PathResponse<'_>>(body)?.path),
        Outcome::PathStat(path, stat) => {
            let reply: Create2Response<'_> = decode(body)?;
            same_path(path, &reply.path)?;
            told(model, path, stat, &reply.stat)
        }
        Outcome::Stat(path, stat) => {
            let reply: StatResponse = decode(body)?;
            told(model, path, stat, &reply.stat)
        }
        Outcome::Multi(parts) => {
            let mut reader = Reader::new(body);
            let results = decode_multi_results(&mut reader).map_err(|e| e.to_string())?;
            if results.len() != parts.len() {
                return Err(format!(
                    "{} results of {} parts",
                    results.len(),
                    parts.len()
                ));
            }
            for (at, (part, result)) in parts.iter().zip(&results).enumerate() {
                check_part(model, part, result).map_err(|why| format!("part {at}: {why}"))?;
            }
            Ok(())
        }
    }
}

fn told(model: &mut Model, path: &str, want: &Stat, got: &Stat) -> Result<(), String> {
    same_stat(want, got)?;
    model.learn(path, got);
    Ok(())
}

fn check_part(model: &mut Model, part: &Outcome, result: &MultiResult<'_>) -> Result<(), String> {
    match (part, result) {
        (Outcome::Nothing, MultiResult::Delete | MultiResult::Check) => Ok(()),
        (Outcome::Path(path), MultiResult::Create(reply)) => same_path(path, &reply.path),
        (Outcome::PathStat(path, stat), MultiResult::Create2(reply)) => {
            same_path(path, &reply.path)?;
            told(model, path, stat, &reply.stat)
        }
        (Outcome::Stat(path, stat), MultiResult::SetData(reply)) => {
            told(model, path, stat, &reply.stat)
        }
        (Outcome::Failed(code), MultiResult::Error(err)) => same_code(*code, *err),
        (part, result) => Err(format!("{result:?} instead of {part:?}")),
    }
}

/// Checks the reply to a read against the model.
///
/// # Errors
/// What is wrong.
pub fn check_read(
    model: &mut Model,
    op: &Op,
    session: i64,
    err: i32,
    body: &[u8],
) -> Result<(), String> {
    let path = match op {
        Op::Get(path)
        | Op::Exists(path)
        | Op::Children(path, _)
        | Op::Acl(path)
        | Op::Count(path) => path,
        Op::Ping => return same_code(Code::Ok, err),
        Op::Sync(path) => {
            same_code(Code::Ok, err)?;
            return same_path(path, &decode::<PathResponse<'_>>(body)?.path);
        }
        Op::Ephemerals => {
            same_code(Code::Ok, err)?;
            let reply: EphemeralsResponse<'_> = decode(body)?;
            return same_names(
                model.ephemerals(session).into_iter(),
                names(&reply.ephemerals),
            );
        }
        Op::MultiRead(reads) => {
            same_code(Code::Ok, err)?;
            return check_multi_read(model, reads, body);
        }
        other => panic!("{other:?} is no read"),
    };
    let Some(node) = model.nodes.get(path) else {
        return same_code(Code::NoNode, err);
    };
    same_code(Code::Ok, err)?;
    let stat = match op {
        Op::Get(_) => {
            let reply: DataResponse<'_> = decode(body)?;
            same_data(node, reply.data)?;
            reply.stat
        }
        Op::Exists(_) => decode::<StatResponse>(body)?.stat,
        Op::Children(_, false) => {
            let reply: ChildrenResponse<'_> = decode(body)?;
            return same_names(node.children.iter().cloned(), names(&reply.children));
        }
        Op::Children(_, true) => {
            let reply: Children2Response<'_> = decode(body)?;
            same_names(node.children.iter().cloned(), names(&reply.children))?;
            reply.stat
        }
        Op::Acl(_) => {
            let reply: AclResponse<'_> = decode(body)?;
            let got = acl_number(reply.acl.as_deref().unwrap_or_default());
            if got != Some(node.acl) {
                return Err(format!("ACL {:?}, not {}", reply.acl, node.acl));
            }
            reply.stat
        }
        Op::Count(_) => {
            let got = decode::<CountResponse>(body)?.count;
            let want = model.count(path);
            return if i64::from(got) == want as i64 {
                Ok(())
            } else {
                Err(format!("{got} nodes below it, not {want}"))
            };
        }
        other => panic!("{other:?} has no stat"),
    };
    same_stat(&node.stat(), &stat)?;
    model.learn(path, &stat);
    Ok(())
}

fn check_multi_read(model: &Model, reads: &[(bool, String)], body: &[u8]) -> Result<(), String> {
    let mut reader = Reader::new(body);
    let results = decode_multi_results(&mut reader).map_err(|e| e.to_string())?;
    if results.len() != reads.len() {
        return Err(format!(
            "{} results of {} reads",
            results.len(),
            reads.len()
        ));
    }
    for ((_, path), result) in reads.iter().zip(&results) {
        let checked = match (model.nodes.get(path), result) {
            (None, MultiResult::Error(err)) => same_code(Code::NoNode, *err),
            (Some(node), MultiResult::GetData(reply)) => {
                same_data(node, reply.data).and_then(|()| same_stat(&node.stat(), &reply.stat))
            }
            (Some(node), MultiResult::GetChildren(reply)) => {
                same_names(node.children.iter().cloned(), names(&reply.children))
            }
            (_, result) => Err(format!("{result:?}")),
        };
        checked.map_err(|why| format!("{path}: {why}"))?;
    }
    Ok(())
}
