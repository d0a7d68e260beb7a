//! Bodies of requests.

use jute::Encode;
use zk_core::auth::digest::{Algorithm, generate};
use zk_wire::OpCode;
use zk_wire::client::{
    Acl, AddWatchRequest, AuthPacket, CheckRequest, CreateRequest, CreateTtlRequest, DeleteRequest,
    Id, MultiOp, PathRequest, PathWatchRequest, PrefixRequest, ReconfigRequest, SaslRequest,
    SetAclRequest, SetDataRequest, SetWatches, SetWatches2, WatchesRequest, encode_multi,
};

use super::{Maker, USERS};
use crate::dice::Dice;

/// Anyone may do anything.
pub fn open_acl() -> jute::List<Acl<'static>> {
    Some(vec![entry("world", "anyone", 31)])
}

fn entry(scheme: &str, id: &str, perms: i32) -> Acl<'static> {
    Acl {
        perms,
        id: Id {
            scheme: Some(scheme.to_owned().into()),
            id: Some(id.to_owned().into()),
        },
    }
}

pub(super) fn data(dice: &mut Dice) -> Option<Vec<u8>> {
    let length = match dice.below(20) {
        0 => return None,
        1 => 0,
        2 => 600 + dice.below(2_000),
        _ => dice.below(24),
    };
    let byte = b'a' + dice.below(26) as u8;
    Some(vec![byte; length])
}

pub(super) fn version(dice: &mut Dice) -> i32 {
    match dice.below(10) {
        0 => 0,
        1 => dice.below(4) as i32,
        2 => *dice.pick(&[-2, 7, i32::MAX, i32::MIN]),
        _ => -1,
    }
}

pub(super) fn acl(dice: &mut Dice, malformed: usize) -> jute::List<Acl<'static>> {
    if dice.percent(malformed) {
        return match dice.below(6) {
            0 => None,
            1 => Some(Vec::new()),
            2 => Some(vec![Acl {
                perms: 31,
                id: Id {
                    scheme: Some("world".into()),
                    id: None,
                },
            }]),
            3 => Some(vec![entry("world", "nobody", 31)]),
            4 => Some(vec![entry("digest", "nohash", 31)]),
            _ => Some(vec![entry("ip", "10.0.0.300", 31)]),
        };
    }
    match dice.below(10) {
        0 => Some(vec![entry("auth", "", 31)]),
        1 => Some(vec![
            entry("auth", "", 31),
            entry("world", "anyone", dice.below(32) as i32),
        ]),
        2 => Some(vec![entry("world", "anyone", dice.below(32) as i32)]),
        3 => {
            let user = generate(Algorithm::Sha1, USERS[dice.below(2)]);
            Some(vec![
                entry("digest", &user, 31),
                entry(
                    "ip",
                    if dice.once_in(2) {
                        "10.0.0.1"
                    } else {
                        "10.0.0.0/30"
                    },
                    31,
                ),
                entry("world", "anyone", 1),
            ])
        }
        _ => open_acl(),
    }
}

fn texts(make: &mut Maker<'_>) -> jute::List<jute::Str<'static>> {
    if make.dice.percent(make.plan.malformed) && make.dice.once_in(4) {
        return None;
    }
    let count = make.dice.below(4);
    Some((0..count).map(|_| make.path()).collect())
}

/// A zxid that a client may have seen last.
fn since(make: &mut Maker<'_>) -> i64 {
    let last = make.client.last_zxid;
    match make.dice.below(4) {
        0 => 0,
        1 => last,
        _ => (last - make.dice.within(0..=20)).max(0),
    }
}

fn create(make: &mut Maker<'_>, op: OpCode, out: &mut Vec<u8>) {
    let path = make.path();
    let data = make.data_for(&path);
    let (acl, flags) = (make.acl(), make.flags(op));
    if op == OpCode::CreateTtl {
        CreateTtlRequest {
            path,
            data: data.as_deref(),
            acl,
            flags,
            ttl: make.ttl(),
        }
        .encode(out);
    } else {
        CreateRequest {
            path,
            data: data.as_deref(),
            acl,
            flags,
        }
        .encode(out);
    }
}

fn multi(make: &mut Maker<'_>, out: &mut Vec<u8>) {
    let count = make.dice.below(5);
    let datas: Vec<Option<Vec<u8>>> = (0..count).map(|_| data(make.dice)).collect();
    let ops: Vec<MultiOp<'_>> = datas
        .iter()
        .map(|data| {
            let path = make.path();
            let data = data.as_deref();
            match make.dice.below(12) {
                0..=4 => {
                    let ops = [OpCode::Create, OpCode::Create2, OpCode::CreateContainer];
                    let op = *make.dice.pick(&ops);
                    let (acl, flags) = (make.acl(), make.flags(op));
                    MultiOp::Create(
                        op,
                        CreateRequest {
                            path,
                            data,
                            acl,
                            flags,
                        },
                    )
                }
                5 => MultiOp::CreateTtl(CreateTtlRequest {
                    path,
                    data,
                    acl: make.acl(),
                    flags: make.flags(OpCode::CreateTtl),
                    ttl: make.ttl(),
                }),
                6 | 7 => MultiOp::Delete(DeleteRequest {
                    path,
                    version: make.version(),
                }),
                8 | 9 => MultiOp::SetData(SetDataRequest {
                    path,
                    data,
                    version: make.version(),
                }),
                10 if make.dice.percent(make.plan.malformed) => {
                    MultiOp::GetData(PathWatchRequest { path, watch: false })
                }
                _ => MultiOp::Check(CheckRequest {
                    path,
                    version: make.version(),
                }),
            }
        })
        .collect();
    encode_multi(&ops, out);
}

fn multi_read(make: &mut Maker<'_>, out: &mut Vec<u8>) {
    let count = make.dice.below(5);
    let ops: Vec<MultiOp<'_>> = (0..count)
        .map(|_| {
            let request = PathWatchRequest {
                path: make.path(),
                watch: make.watch(),
            };
            if make.dice.once_in(2) {
                MultiOp::GetData(request)
            } else {
                MultiOp::GetChildren(request)
            }
        })
        .collect();
    encode_multi(&ops, out);
}

/// The body of a request.
pub(super) fn body(make: &mut Maker<'_>, op: OpCode) -> Vec<u8> {
    let mut out = Vec::new();
    match op {
        OpCode::Create | OpCode::Create2 | OpCode::CreateContainer | OpCode::CreateTtl => {
            create(make, op, &mut out);
        }
        OpCode::Delete => DeleteRequest {
            path: make.path(),
            version: make.version(),
        }
        .encode(&mut out),
        OpCode::SetData => {
            let path = make.path();
            let data = make.data_for(&path);
            SetDataRequest {
                path,
                data: data.as_deref(),
                version: make.version(),
            }
            .encode(&mut out);
        }
        OpCode::SetAcl => SetAclRequest {
            path: make.path(),
            acl: make.acl(),
            version: make.version(),
        }
        .encode(&mut out),
        OpCode::Multi => multi(make, &mut out),
        OpCode::MultiRead => multi_read(make, &mut out),
        OpCode::Exists | OpCode::GetData | OpCode::GetChildren | OpCode::GetChildren2 => {
            PathWatchRequest {
                path: make.path(),
                watch: make.watch(),
            }
            .encode(&mut out);
        }
        OpCode::GetAcl | OpCode::Sync | OpCode::GetAllChildrenNumber => {
            PathRequest { path: make.path() }.encode(&mut out);
        }
        OpCode::GetEphemerals => {
            let prefixes = [
                None,
                Some(""),
                Some("/"),
                Some(" /"),
                Some("/e"),
                Some("/a/"),
            ];
            let prefix = make.dice.pick(&prefixes).map(Into::into);
            PrefixRequest { prefix }.encode(&mut out);
        }
        OpCode::AddWatch => {
            let wrong = make.dice.percent(make.plan.malformed);
            AddWatchRequest {
                path: make.path(),
                mode: if wrong { 2 } else { make.dice.below(2) as i32 },
            }
            .encode(&mut out);
        }
        OpCode::CheckWatches | OpCode::RemoveWatches => {
            let wrong = make.dice.percent(make.plan.malformed);
            WatchesRequest {
                path: make.path(),
                kind: if wrong {
                    6
                } else {
                    1 + make.dice.below(5) as i32
                },
            }
            .encode(&mut out);
        }
        OpCode::SetWatches => SetWatches {
            relative_zxid: since(make),
            data: texts(make),
            exist: texts(make),
            child: texts(make),
        }
        .encode(&mut out),
        OpCode::SetWatches2 => SetWatches2 {
            relative_zxid: since(make),
            data: texts(make),
            exist: texts(make),
            child: texts(make),
            persistent: texts(make),
            persistent_recursive: texts(make),
        }
        .encode(&mut out),
        OpCode::Auth => {
            let wrong = make.dice.percent(make.plan.malformed);
            AuthPacket {
                kind: 0,
                scheme: Some(if wrong { "world" } else { "digest" }.into()),
                auth: Some(make.dice.pick(USERS).as_bytes()),
            }
            .encode(&mut out);
        }
        OpCode::Sasl => SaslRequest { token: Some(b"") }.encode(&mut out),
        OpCode::Reconfig => ReconfigRequest {
            joining: None,
            leaving: None,
            new_members: None,
            config_id: -1,
        }
        .encode(&mut out),
        OpCode::Ping
        | OpCode::WhoAmI
        | OpCode::CloseSession
        | OpCode::Check
        | OpCode::DeleteContainer
        | OpCode::CreateSession
        | OpCode::Error => {}
    }
    out
}
