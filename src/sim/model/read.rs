//! Reads, and the operations that only concern a connection's watches.

use jute::{Decode, Encode, Reader};
use zk_wire::OpCode;
use zk_wire::client::{
    Acl, AclResponse, AddWatchRequest, Children2Response, ChildrenResponse, ClientInfo,
    CountResponse, DataResponse, EphemeralsResponse, ErrorResponse, Id, MultiOp, MultiResult,
    PathRequest, PathWatchRequest, PrefixRequest, SetWatches, SetWatches2, StatResponse,
    WatchesRequest, WhoAmIResponse, decode_multi, decode_multi_results, encode_multi_results,
};

use super::access::{ADMIN, Identity, READ, allows};
use super::watch::{Event, WatchSet};
use super::{Rules, State, Znode};

/// What a read is answered.
#[derive(Debug, Default)]
pub struct Answer {
    /// The reply's error.
    pub err: i32,
    /// The reply's body; empty with an error, but for a multiRead's.
    pub body: Vec<u8>,
    /// Events that precede it, of zxid -1.
    pub events: Vec<Event>,
}

struct Reading<'a> {
    state: &'a State,
    max_field: usize,
    session: i64,
    ids: &'a [Identity],
    watches: &'a mut WatchSet,
    events: Vec<Event>,
    /// The body of a failure.
    partial: Vec<u8>,
}

/// Answers a read at a state, and arms what it arms.
pub fn read(
    state: &State,
    rules: &Rules,
    session: i64,
    ids: &[Identity],
    watches: &mut WatchSet,
    op: OpCode,
    body: &[u8],
) -> Answer {
    let mut reading = Reading {
        state,
        max_field: rules.max_field,
        session,
        ids,
        watches,
        events: Vec::new(),
        partial: Vec::new(),
    };
    match reading.answer(op, body) {
        Ok(body) => Answer {
            err: 0,
            body,
            events: reading.events,
        },
        Err(err) => Answer {
            err,
            body: reading.partial,
            events: reading.events,
        },
    }
}

fn decode<'a, T: Decode<'a>>(max_field: usize, body: &'a [u8]) -> Result<T, i32> {
    T::decode(&mut Reader::with_limit(body, max_field)).map_err(|_| -5)
}

fn names(state: &State, path: &str) -> jute::List<jute::Str<'static>> {
    let names = state.children(path);
    Some(
        names
            .iter()
            .map(|name| Some(String::from(*name).into()))
            .collect(),
    )
}

fn texts<'a>(
    list: &'a jute::List<jute::Str<'_>>,
) -> Result<impl Iterator<Item = Option<&'a str>>, i32> {
    let list = list.as_ref().ok_or(-5)?;
    Ok(list.iter().map(|text| text.as_deref()))
}

/// What a null path is watched as.
const NULL: &str = "null";

impl Reading<'_> {
    fn node(&self, path: &str) -> Result<&Znode, i32> {
        let node = self.state.get(path).ok_or(-101)?;
        if allows(&node.acl, READ, self.ids) {
            Ok(node)
        } else {
            Err(-102)
        }
    }

    fn answer(&mut self, op: OpCode, body: &[u8]) -> Result<Vec<u8>, i32> {
        let state = self.state;
        let max_field = self.max_field;
        match op {
            OpCode::Ping => Ok(Vec::new()),
            OpCode::Exists => {
                let request: PathWatchRequest<'_> = decode(max_field, body)?;
                let path = request.path.as_deref().ok_or(-5)?;
                if path.contains('\0') {
                    return Err(-8);
                }
                let found = self.node(path).map(|node| state.client_stat(path, node));
                if request.watch && matches!(found, Ok(_) | Err(-101)) {
                    self.watches.arm_data(path);
                }
                Ok(StatResponse { stat: found? }.to_vec())
            }
            OpCode::GetData => {
                let request: PathWatchRequest<'_> = decode(max_field, body)?;
                let path = request.path.as_deref().ok_or(-5)?;
                let node = self.node(path)?;
                let reply = DataResponse {
                    data: node.data.as_deref(),
                    stat: state.client_stat(path, node),
                }
                .to_vec();
                if request.watch {
                    self.watches.arm_data(path);
                }
                Ok(reply)
            }
            OpCode::GetChildren | OpCode::GetChildren2 => {
                let request: PathWatchRequest<'_> = decode(max_field, body)?;
                let path = request.path.as_deref().ok_or(-5)?;
                let stat = state.client_stat(path, self.node(path)?);
                if request.watch {
                    self.watches.arm_child(path);
                }
                let children = names(state, path);
                Ok(if op == OpCode::GetChildren {
                    ChildrenResponse { children }.to_vec()
                } else {
                    Children2Response { children, stat }.to_vec()
                })
            }
            OpCode::GetAcl => self.get_acl(body),
            OpCode::GetAllChildrenNumber => {
                let request: PathRequest<'_> = decode(max_field, body)?;
                let path = request.path.as_deref().ok_or(-5)?;
                self.node(path)?;
                // All but itself; of the empty path, which names the root too, one more.
                let count = match path {
                    "" => state.nodes.len(),
                    "/" => state.nodes.len() - 1,
                    _ => state.subtree(path).len() - 1,
                };
                let count = count as i32;
                Ok(CountResponse { count }.to_vec())
            }
            OpCode::GetEphemerals => {
                let request: PrefixRequest<'_> = decode(max_field, body)?;
                let prefix = request.prefix.as_deref().unwrap_or_default();
                let blank = matches!(prefix.trim_matches(|c| c <= ' '), "" | "/");
                let paths = state.ephemerals(self.session);
                let ephemerals = paths
                    .iter()
                    .filter(|path| blank || path.starts_with(prefix))
                    .map(|path| Some(String::from(&**path).into()))
                    .collect();
                Ok(EphemeralsResponse {
                    ephemerals: Some(ephemerals),
                }
                .to_vec())
            }
            OpCode::WhoAmI => {
                let info = self
                    .ids
                    .iter()
                    .map(|(scheme, id)| ClientInfo {
                        scheme: Some(scheme.as_str().into()),
                        user: Some(match scheme.as_str() {
                            "digest" => id.split(':').next().unwrap_or_default().into(),
                            "ip" => id.as_str().into(),
                            _ => "".into(),
                        }),
                    })
                    .collect();
                Ok(WhoAmIResponse { info: Some(info) }.to_vec())
            }
            OpCode::MultiRead => self.multi_read(body),
            OpCode::AddWatch => {
                let request: AddWatchRequest<'_> = decode(max_field, body)?;
                let recursive = match request.mode {
                    0 => false,
                    1 => true,
                    _ => return Err(-5),
                };
                self.watches
                    .add(request.path.as_deref().unwrap_or(NULL), recursive);
                Ok(ErrorResponse { err: 0 }.to_vec())
            }
            OpCode::CheckWatches | OpCode::RemoveWatches => {
                let request: WatchesRequest<'_> = decode(max_field, body)?;
                let path = request.path.as_deref();
                let remove = op == OpCode::RemoveWatches;
                if !(1..=5).contains(&request.kind) {
                    return Err(-5);
                }
                match self
                    .watches
                    .check(path.unwrap_or(NULL), request.kind, remove)
                {
                    Some(true) => Ok(Vec::new()),
                    Some(false) => Err(-121),
                    None => Err(-5),
                }
            }
            OpCode::SetWatches => {
                let request: SetWatches<'_> = decode(max_field, body)?;
                self.set_watches(SetWatches2 {
                    relative_zxid: request.relative_zxid,
                    data: request.data,
                    exist: request.exist,
                    child: request.child,
                    persistent: Some(Vec::new()),
                    persistent_recursive: Some(Vec::new()),
                })
            }
            OpCode::SetWatches2 => self.set_watches(decode(max_field, body)?),
            OpCode::Create
            | OpCode::Create2
            | OpCode::CreateContainer
            | OpCode::CreateTtl
            | OpCode::Delete
            | OpCode::DeleteContainer
            | OpCode::SetData
            | OpCode::SetAcl
            | OpCode::Multi
            | OpCode::Reconfig
            | OpCode::Sync
            | OpCode::Check
            | OpCode::Auth
            | OpCode::Sasl
            | OpCode::CreateSession
            | OpCode::CloseSession
            | OpCode::Error => panic!("the model was asked to read a {op}"),
        }
    }

    fn get_acl(&self, body: &[u8]) -> Result<Vec<u8>, i32> {
        let request: PathRequest<'_> = decode(self.max_field, body)?;
        let path = request.path.as_deref().ok_or(-5)?;
        let node = self.state.get(path).ok_or(-101)?;
        if !allows(&node.acl, READ | ADMIN, self.ids) {
            return Err(-102);
        }
        let open = allows(&node.acl, ADMIN, self.ids);
        let acl = node
            .acl
            .iter()
            .map(|entry| {
                let hidden = !open && entry.scheme == "digest";
                let user = entry.id.split(':').next().unwrap_or_default();
                Acl {
                    perms: entry.perms,
                    id: Id {
                        scheme: Some(entry.scheme.as_str().into()),
                        id: Some(if hidden {
                            format!("{user}:x").into()
                        } else {
                            entry.id.as_str().into()
                        }),
                    },
                }
            })
            .collect();
        Ok(AclResponse {
            acl: Some(acl),
            stat: self.state.client_stat(path, node),
        }
        .to_vec())
    }

    fn multi_read(&mut self, body: &[u8]) -> Result<Vec<u8>, i32> {
        let mut reader = Reader::with_limit(body, self.max_field);
        let ops = decode_multi(&mut reader).map_err(|_| -5)?;
        let read = |op: &MultiOp<'_>| matches!(op, MultiOp::GetData(_) | MultiOp::GetChildren(_));
        let mixed = ops.iter().any(|op| read(op) != read(&ops[0]));
        let odd_create = ops.iter().any(|op| match op {
            MultiOp::Create(_, request) => {
                !(0..=4).contains(&request.flags) || request.acl.is_none()
            }
            _ => false,
        });
        if mixed || odd_create {
            return Err(-5);
        }
        let mut results = Vec::new();
        let mut whole = true;
        for op in &ops {
            let (path, list) = match op {
                MultiOp::GetData(request) => (request.path.as_deref(), false),
                MultiOp::GetChildren(request) => (request.path.as_deref(), true),
                MultiOp::Create(..)
                | MultiOp::CreateTtl(_)
                | MultiOp::Delete(_)
                | MultiOp::SetData(_)
                | MultiOp::Check(_) => (None, false),
            };
            let Some(path) = path else {
                whole = false;
                break;
            };
            results.push(match self.node(path) {
                Err(code) => MultiResult::Error(code),
                Ok(_) if list => MultiResult::GetChildren(ChildrenResponse {
                    children: names(self.state, path),
                }),
                Ok(node) => MultiResult::GetData(DataResponse {
                    data: node.data.as_deref(),
                    stat: self.state.client_stat(path, node),
                }),
            });
        }
        let mut out = Vec::new();
        encode_multi_results(&results, &mut out);
        if whole {
            return Ok(out);
        }
        self.partial = out;
        Err(-5)
    }

    fn set_watches(&mut self, request: SetWatches2<'_>) -> Result<Vec<u8>, i32> {
        let since = request.relative_zxid;
        for path in texts(&request.data)? {
            let path = path.ok_or(-5)?;
            match self.state.get(path) {
                None => self.events.push((2, path.into())),
                Some(node) if node.stat.mzxid > since => self.events.push((3, path.into())),
                Some(_) => self.watches.arm_data(path),
            }
        }
        for path in texts(&request.exist)? {
            let path = path.ok_or(-5)?;
            match self.state.get(path) {
                None => self.watches.arm_data(path),
                Some(_) => self.events.push((1, path.into())),
            }
        }
        for path in texts(&request.child)? {
            let path = path.ok_or(-5)?;
            match self.state.get(path) {
                None => self.events.push((2, path.into())),
                Some(node) if node.stat.pzxid > since => self.events.push((4, path.into())),
                Some(_) => self.watches.arm_child(path),
            }
        }
        for path in texts(&request.persistent)? {
            self.watches.add(path.unwrap_or(NULL), false);
        }
        for path in texts(&request.persistent_recursive)? {
            self.watches.add(path.unwrap_or(NULL), true);
        }
        Ok(Vec::new())
    }
}

/// Whether two bodies of replies say the same: lists that have no order are compared without.
pub fn same(op: OpCode, a: &[u8], b: &[u8]) -> bool {
    a == b || sorted(op, a).is_some_and(|a| sorted(op, b) == Some(a))
}

/// A body with its unordered lists sorted; `None` when it is none, or has none.
fn sorted(op: OpCode, body: &[u8]) -> Option<Vec<u8>> {
    let mut r = Reader::new(body);
    let out = match op {
        OpCode::GetChildren => {
            let mut reply = ChildrenResponse::decode(&mut r).ok()?;
            reply.children.as_mut()?.sort();
            reply.to_vec()
        }
        OpCode::GetChildren2 => {
            let mut reply = Children2Response::decode(&mut r).ok()?;
            reply.children.as_mut()?.sort();
            reply.to_vec()
        }
        OpCode::GetEphemerals => {
            let mut reply = EphemeralsResponse::decode(&mut r).ok()?;
            reply.ephemerals.as_mut()?.sort();
            reply.to_vec()
        }
        OpCode::WhoAmI => {
            let mut reply = WhoAmIResponse::decode(&mut r).ok()?;
            reply
                .info
                .as_mut()?
                .sort_by_key(|info| (info.scheme.clone(), info.user.clone()));
            reply.to_vec()
        }
        OpCode::GetAcl => {
            let mut reply = AclResponse::decode(&mut r).ok()?;
            reply
                .acl
                .as_mut()?
                .sort_by_key(|acl| (acl.id.scheme.clone(), acl.id.id.clone(), acl.perms));
            reply.to_vec()
        }
        OpCode::MultiRead => {
            let mut results = decode_multi_results(&mut r).ok()?;
            for result in &mut results {
                if let MultiResult::GetChildren(reply) = result {
                    reply.children.as_mut()?.sort();
                }
            }
            let mut out = Vec::new();
            encode_multi_results(&results, &mut out);
            out
        }
        OpCode::Create
        | OpCode::Create2
        | OpCode::CreateContainer
        | OpCode::CreateTtl
        | OpCode::Delete
        | OpCode::DeleteContainer
        | OpCode::Exists
        | OpCode::GetData
        | OpCode::SetData
        | OpCode::SetAcl
        | OpCode::Sync
        | OpCode::Ping
        | OpCode::Check
        | OpCode::Multi
        | OpCode::Reconfig
        | OpCode::CheckWatches
        | OpCode::RemoveWatches
        | OpCode::Auth
        | OpCode::SetWatches
        | OpCode::SetWatches2
        | OpCode::Sasl
        | OpCode::GetAllChildrenNumber
        | OpCode::AddWatch
        | OpCode::CreateSession
        | OpCode::CloseSession
        | OpCode::Error => return None,
    };
    // What is behind the record counts too.
    (r.remaining() == 0).then_some(out)
}
