//! One request as the generator thinks of it, and its bytes.
//!
//! Owns: the shape of every operation's request body, with room for what is wrong on purpose, and
//! the list of inputs that stop or bypass a Java server.
//!
//! Does not know: connections, replies, chance.

use crate::raw::{Bytes, Out};

/// Operation codes as plain numbers: the runner must be able to send any.
pub mod code {
    #![allow(missing_docs)]
    pub const CREATE: i32 = 1;
    pub const DELETE: i32 = 2;
    pub const EXISTS: i32 = 3;
    pub const GET_DATA: i32 = 4;
    pub const SET_DATA: i32 = 5;
    pub const GET_ACL: i32 = 6;
    pub const SET_ACL: i32 = 7;
    pub const GET_CHILDREN: i32 = 8;
    pub const SYNC: i32 = 9;
    pub const PING: i32 = 11;
    pub const GET_CHILDREN2: i32 = 12;
    pub const CHECK: i32 = 13;
    pub const MULTI: i32 = 14;
    pub const CREATE2: i32 = 15;
    pub const RECONFIG: i32 = 16;
    pub const CHECK_WATCHES: i32 = 17;
    pub const REMOVE_WATCHES: i32 = 18;
    pub const CREATE_CONTAINER: i32 = 19;
    pub const DELETE_CONTAINER: i32 = 20;
    pub const CREATE_TTL: i32 = 21;
    pub const MULTI_READ: i32 = 22;
    pub const AUTH: i32 = 100;
    pub const SET_WATCHES: i32 = 101;
    pub const SASL: i32 = 102;
    pub const GET_EPHEMERALS: i32 = 103;
    pub const GET_ALL_CHILDREN_NUMBER: i32 = 104;
    pub const SET_WATCHES2: i32 = 105;
    pub const ADD_WATCH: i32 = 106;
    pub const WHO_AM_I: i32 = 107;
    pub const CREATE_SESSION: i32 = -10;
    pub const CLOSE_SESSION: i32 = -11;
}

/// One entry of an ACL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Acl {
    /// Permission bits, unchecked.
    pub perms: i32,
    /// Scheme.
    pub scheme: Bytes,
    /// Id text.
    pub id: Bytes,
}

/// A list of entries; `None` is null.
pub type Acls = Option<Vec<Acl>>;

/// A request.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Op {
    /// 1, 15, 19.
    Create {
        op: i32,
        path: Bytes,
        data: Bytes,
        acl: Acls,
        flags: i32,
    },
    /// 21.
    CreateTtl {
        path: Bytes,
        data: Bytes,
        acl: Acls,
        flags: i32,
        ttl: i64,
    },
    /// 2, 13, and inside multis only.
    Versioned { op: i32, path: Bytes, version: i32 },
    /// 3, 4, 8, 12.
    Watching { op: i32, path: Bytes, watch: bool },
    /// 5.
    SetData {
        path: Bytes,
        data: Bytes,
        version: i32,
    },
    /// 6, 9, 20, 103, 104: one string.
    OnePath { op: i32, path: Bytes },
    /// 7.
    SetAcl {
        path: Bytes,
        acl: Acls,
        version: i32,
    },
    /// 14, 22.
    Multi { op: i32, ops: Vec<Op> },
    /// 16.
    Reconfig {
        joining: Bytes,
        leaving: Bytes,
        members: Bytes,
        config: i64,
    },
    /// 17, 18, 106: a path and a number.
    PathKind { op: i32, path: Bytes, kind: i32 },
    /// 100.
    Auth {
        kind: i32,
        scheme: Bytes,
        auth: Bytes,
    },
    /// 101, 105.
    SetWatches {
        op: i32,
        zxid: i64,
        lists: Vec<Option<Vec<Bytes>>>,
    },
    /// 102.
    Sasl { token: Bytes },
    /// An op code with an empty body: 11, 107, -11, unknown ones.
    Bare { op: i32 },
}

impl Op {
    /// The number in the request header, or in the multi header of a sub-operation.
    pub fn code(&self) -> i32 {
        match self {
            Op::Create { op, .. }
            | Op::Versioned { op, .. }
            | Op::Watching { op, .. }
            | Op::OnePath { op, .. }
            | Op::Multi { op, .. }
            | Op::PathKind { op, .. }
            | Op::SetWatches { op, .. }
            | Op::Bare { op } => *op,
            Op::CreateTtl { .. } => code::CREATE_TTL,
            Op::SetData { .. } => code::SET_DATA,
            Op::SetAcl { .. } => code::SET_ACL,
            Op::Reconfig { .. } => code::RECONFIG,
            Op::Auth { .. } => code::AUTH,
            Op::Sasl { .. } => code::SASL,
        }
    }

    /// The request body.
    pub fn body(&self) -> Vec<u8> {
        let mut out = Out::new();
        self.write(&mut out);
        out.0
    }

    fn write(&self, out: &mut Out) {
        match self {
            Op::Create {
                path,
                data,
                acl,
                flags,
                ..
            } => {
                out.bytes(path).bytes(data);
                write_acl(out, acl);
                out.int(*flags);
            }
            Op::CreateTtl {
                path,
                data,
                acl,
                flags,
                ttl,
            } => {
                out.bytes(path).bytes(data);
                write_acl(out, acl);
                out.int(*flags).long(*ttl);
            }
            Op::Versioned { path, version, .. } => {
                out.bytes(path).int(*version);
            }
            Op::Watching { path, watch, .. } => {
                out.bytes(path).bool(*watch);
            }
            Op::SetData {
                path,
                data,
                version,
            } => {
                out.bytes(path).bytes(data).int(*version);
            }
            Op::OnePath { path, .. } => {
                out.bytes(path);
            }
            Op::SetAcl { path, acl, version } => {
                out.bytes(path);
                write_acl(out, acl);
                out.int(*version);
            }
            Op::Multi { ops, .. } => {
                for op in ops {
                    out.int(op.code()).bool(false).int(-1);
                    op.write(out);
                }
                out.int(-1).bool(true).int(-1);
            }
            Op::Reconfig {
                joining,
                leaving,
                members,
                config,
            } => {
                out.bytes(joining)
                    .bytes(leaving)
                    .bytes(members)
                    .long(*config);
            }
            Op::PathKind { path, kind, .. } => {
                out.bytes(path).int(*kind);
            }
            Op::Auth { kind, scheme, auth } => {
                out.int(*kind).bytes(scheme).bytes(auth);
            }
            Op::SetWatches { zxid, lists, .. } => {
                out.long(*zxid);
                for list in lists {
                    out.strings(list);
                }
            }
            Op::Sasl { token } => {
                out.bytes(token);
            }
            Op::Bare { .. } => {}
        }
    }

    /// Whether the request takes effect as a transaction.
    pub fn is_write(&self) -> bool {
        use code::*;
        matches!(
            self.code(),
            CREATE
                | CREATE2
                | CREATE_CONTAINER
                | CREATE_TTL
                | DELETE
                | SET_DATA
                | SET_ACL
                | MULTI
                | RECONFIG
        )
    }

    /// Whether a Java server would stop at this input, now or at a later write, or obey where it
    /// must not (server-side facts, see `docs/differences.md`). Such a request may go only to a
    /// server that refuses it.
    pub fn is_poison(&self) -> bool {
        self.poison(false)
    }

    fn poison(&self, in_multi: bool) -> bool {
        match self {
            Op::CreateTtl {
                path, flags, ttl, ..
            } => (!in_multi && (0..=4).contains(flags) && *ttl < 0) || poison_create(path),
            Op::Create { path, .. } => poison_create(path),
            Op::Versioned {
                op: code::DELETE,
                path,
                ..
            } => poison_delete(path),
            Op::SetData { path, data, .. } => is_stats(path) && !is_stats_text(data),
            Op::Multi { ops, .. } => ops.iter().any(|op| op.poison(true)),
            Op::OnePath { op, .. } | Op::Bare { op } => {
                matches!(*op, code::CREATE_SESSION | code::DELETE_CONTAINER)
            }
            _ => false,
        }
    }
}

fn write_acl(out: &mut Out, acl: &Acls) {
    match acl {
        None => {
            out.int(-1);
        }
        Some(entries) => {
            out.int(i32::try_from(entries.len()).expect("a short list"));
            for entry in entries {
                out.int(entry.perms).bytes(&entry.scheme).bytes(&entry.id);
            }
        }
    }
}

/// Splits at the last slash: parent and name.
fn split(path: &[u8]) -> (&[u8], &[u8]) {
    match path.iter().rposition(|b| *b == b'/') {
        Some(i) => (&path[..i], &path[i + 1..]),
        None => (&[], path),
    }
}

/// `zookeeper_limits` directly under `/zookeeper/quota`: an empty quota path ends Java.
fn poison_create(path: &Bytes) -> bool {
    let Some(path) = path.as_deref() else {
        return false;
    };
    let (parent, name) = split(path);
    parent == b"/zookeeper/quota" && name == b"zookeeper_limits"
}

/// `zookeeper_limits` under a short parent below `/zookeeper`.
fn poison_delete(path: &Bytes) -> bool {
    let Some(path) = path.as_deref() else {
        return false;
    };
    let (parent, name) = split(path);
    name == b"zookeeper_limits" && parent.starts_with(b"/zookeeper") && parent.len() <= 16
}

fn is_stats(path: &Bytes) -> bool {
    path.as_deref()
        .is_some_and(|p| split(p).1 == b"zookeeper_stats")
}

/// Text that Java's parser takes: `key=long` pairs.
fn is_stats_text(data: &Bytes) -> bool {
    let Some(data) = data.as_deref() else {
        return false;
    };
    let Ok(text) = std::str::from_utf8(data) else {
        return false;
    };
    text.split([',', ';']).all(|pair| {
        pair.split_once('=')
            .is_some_and(|(_, v)| v.trim_end_matches('=').parse::<i64>().is_ok())
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::raw::{hex, text};

    #[test]
    fn multi_bytes() {
        let op = Op::Multi {
            op: code::MULTI,
            ops: vec![Op::Versioned {
                op: code::DELETE,
                path: text("/a"),
                version: -1,
            }],
        };
        assert_eq!(
            hex(&op.body()),
            "0000000200ffffffff000000022f61ffffffffffffffff01ffffffff"
        );
    }

    #[test]
    fn poison_is_known() {
        let ttl = |flags, ttl| Op::CreateTtl {
            path: text("/a"),
            data: None,
            acl: None,
            flags,
            ttl,
        };
        assert!(ttl(0, -1).is_poison());
        assert!(!ttl(0, 1).is_poison());
        assert!(!ttl(5, -1).is_poison());
        let set = |data| Op::SetData {
            path: text("/zookeeper/quota/q/zookeeper_stats"),
            data,
            version: -1,
        };
        assert!(set(None).is_poison());
        assert!(set(text("count=")).is_poison());
        assert!(!set(text("count=1,bytes=5=;byteHardLimit=9")).is_poison());
        let delete = |p| Op::Versioned {
            op: code::DELETE,
            path: text(p),
            version: -1,
        };
        assert!(delete("/zookeeper/quota/zookeeper_limits").is_poison());
        assert!(!delete("/zookeeper/quota/q/zookeeper_limits").is_poison());
    }

    /// Two hands wrote the layouts, here and in zk-wire: they must agree.
    #[test]
    fn the_codec_reads_the_same_layouts() {
        use jute::{Decode, Encode, Reader};
        use zk_wire::client;

        fn same<'a, T: Decode<'a> + Encode>(body: &'a [u8]) {
            let mut reader = Reader::new(body);
            let value = T::decode(&mut reader).expect("decodes");
            assert_eq!(reader.remaining(), 0);
            assert_eq!(value.to_vec(), body);
        }
        let path = || text("/a");
        let acl = || {
            Some(vec![Acl {
                perms: 31,
                scheme: text("world"),
                id: text("anyone"),
            }])
        };
        let create = Op::Create {
            op: code::CREATE,
            path: path(),
            data: None,
            acl: acl(),
            flags: 2,
        };
        let delete = Op::Versioned {
            op: code::DELETE,
            path: path(),
            version: 3,
        };
        let multi = Op::Multi {
            op: code::MULTI,
            ops: vec![create.clone(), delete.clone()],
        };
        let lists = |n| vec![Some(vec![path(), None]); n];
        same::<client::CreateRequest<'_>>(&create.body());
        same::<client::DeleteRequest<'_>>(&delete.body());
        same::<client::CreateTtlRequest<'_>>(
            &Op::CreateTtl {
                path: path(),
                data: text(""),
                acl: None,
                flags: 5,
                ttl: 9,
            }
            .body(),
        );
        same::<client::PathWatchRequest<'_>>(
            &Op::Watching {
                op: code::EXISTS,
                path: path(),
                watch: true,
            }
            .body(),
        );
        same::<client::SetDataRequest<'_>>(
            &Op::SetData {
                path: path(),
                data: text("d"),
                version: -1,
            }
            .body(),
        );
        same::<client::SetAclRequest<'_>>(
            &Op::SetAcl {
                path: path(),
                acl: acl(),
                version: 1,
            }
            .body(),
        );
        same::<client::ReconfigRequest<'_>>(
            &Op::Reconfig {
                joining: None,
                leaving: path(),
                members: None,
                config: -1,
            }
            .body(),
        );
        same::<client::WatchesRequest<'_>>(
            &Op::PathKind {
                op: code::CHECK_WATCHES,
                path: path(),
                kind: 3,
            }
            .body(),
        );
        same::<client::AuthPacket<'_>>(
            &Op::Auth {
                kind: 0,
                scheme: text("digest"),
                auth: text("a:b"),
            }
            .body(),
        );
        let watches = |op, n| Op::SetWatches {
            op,
            zxid: 7,
            lists: lists(n),
        };
        same::<client::SetWatches<'_>>(&watches(code::SET_WATCHES, 3).body());
        same::<client::SetWatches2<'_>>(&watches(code::SET_WATCHES2, 5).body());
        let body = multi.body();
        let mut reader = Reader::new(&body);
        let ops = client::decode_multi(&mut reader).expect("decodes");
        assert!(matches!(
            ops.as_slice(),
            [client::MultiOp::Create(..), client::MultiOp::Delete(..)]
        ));
        assert_eq!(reader.remaining(), 0);
    }
}
