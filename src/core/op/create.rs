//! create, create2, createContainer, createTTL.

use alloc::borrow::Cow;
use alloc::format;

use jute::{Buf, List as Vector, Str};
use zk_wire::client::{Acl, CreateRequest, CreateTtlRequest};
use zk_wire::digest;
use zk_wire::stat::StatPersisted;
use zk_wire::txn::TxnBody;
use zk_wire::{Code, OpCode};

use super::{Answer, Apply, Prep, Stop, non_null, txn_acl};
use crate::acl::perm;
use crate::auth::list_of;
use crate::limits::TTL_MAX_MS;
use crate::owner::{self, Owner};
use crate::path;
use crate::pending::Record;
use crate::quota;
use crate::watch::{Event, Table};

/// What the flags of a create say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mode {
    /// The server appends a number.
    pub sequential: bool,
    /// What the owner will be.
    pub kind: Kind,
}

/// The kind that the flags name. Outside a multi only the opcode makes a container.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Stays.
    Persistent,
    /// Goes with its session.
    Ephemeral,
    /// Flag 4.
    Container,
    /// Flags 5 and 6.
    Ttl,
}

impl Mode {
    /// The mode of a request's flags, 0 to 6.
    pub fn from_flags(flags: i32) -> Option<Mode> {
        let (sequential, kind) = match flags {
            0 => (false, Kind::Persistent),
            1 => (false, Kind::Ephemeral),
            2 => (true, Kind::Persistent),
            3 => (true, Kind::Ephemeral),
            4 => (false, Kind::Container),
            5 => (false, Kind::Ttl),
            6 => (true, Kind::Ttl),
            _ => return None,
        };
        Some(Mode { sequential, kind })
    }
}

/// A create of any opcode.
#[derive(Debug)]
pub struct Request<'a> {
    /// 1, 15, 19 or 21.
    pub op: OpCode,
    /// Where.
    pub path: Str<'a>,
    /// Data.
    pub data: Buf<'a>,
    /// List.
    pub acl: Vector<Acl<'a>>,
    /// Flags.
    pub flags: i32,
    /// Milliseconds; -1 for opcodes without one.
    pub ttl: i64,
}

impl<'a> Request<'a> {
    /// From create, create2 or createContainer.
    pub fn plain(op: OpCode, request: CreateRequest<'a>) -> Request<'a> {
        let CreateRequest {
            path,
            data,
            acl,
            flags,
        } = request;
        Request {
            op,
            path,
            data,
            acl,
            flags,
            ttl: -1,
        }
    }

    /// From createTTL.
    pub fn ttl(request: CreateTtlRequest<'a>) -> Request<'a> {
        let CreateTtlRequest {
            path,
            data,
            acl,
            flags,
            ttl,
        } = request;
        Request {
            op: OpCode::CreateTtl,
            path,
            data,
            acl,
            flags,
            ttl,
        }
    }
}

/// Judges a create.
///
/// # Errors
/// In Java's order: BADARGUMENTS, UNIMPLEMENTED, SESSIONEXPIRED, INVALIDACL, NONODE, NOAUTH,
/// BADARGUMENTS of the full path, NODEEXISTS, NOCHILDRENFOREPHEMERALS, QUOTAEXCEEDED.
pub fn prepare<'a>(p: &mut Prep<'_>, request: &Request<'a>) -> Result<TxnBody<'a>, Stop> {
    let mode = Mode::from_flags(request.flags).ok_or(Code::BadArguments)?;
    let ttl = request.ttl;
    if mode.kind == Kind::Ttl {
        if !p.config.extended.enabled {
            return Err(Code::Unimplemented.into());
        }
        if ttl <= 0 || ttl > TTL_MAX_MS {
            return Err(Code::BadArguments.into());
        }
    } else if ttl >= 0 || request.op == OpCode::CreateTtl {
        // A createTTL without a TTL mode and with a negative time passes Java's check and then
        // stops the server (docs/differences.md).
        return Err(Code::BadArguments.into());
    }
    p.check_session()?;
    if mode.kind == Kind::Ephemeral {
        p.allowed_ephemeral?;
    }
    let base = non_null(&request.path)?;
    let Some((parent_path, name)) = path::split(base).filter(|_| !base.contains('\0')) else {
        return Err(Code::BadArguments.into());
    };
    if poison(parent_path, name) {
        return Err(Code::BadArguments.into());
    }
    let list = p.config.providers.fixup(&request.acl, p.ids)?;
    let parent = p.record(parent_path)?;
    p.check_acl(&parent.acl, perm::CREATE)?;
    let cversion = parent.stat.cversion;
    let full: Cow<'a, str> = if mode.sequential {
        Cow::Owned(format!("{base}{cversion:010}"))
    } else {
        match &request.path {
            Some(Cow::Borrowed(path)) => Cow::Borrowed(*path),
            _ => Cow::Owned(base.into()),
        }
    };
    if !path::valid(&full) {
        return Err(Code::BadArguments.into());
    }
    if p.find(&full)?.is_some() {
        return Err(Code::NodeExists.into());
    }
    if Owner::of(parent.stat.ephemeral_owner, p.config.extended).is_session() {
        return Err(Code::NoChildrenForEphemerals.into());
    }
    let parent_cversion = cversion.wrapping_add(1);
    p.check_quota(&full, request.data.map_or(0, |data| data.len() as i64), 1)?;
    if let Some((parent, quota::STATS)) = path::split(&full)
        && parent.starts_with(quota::QUOTA)
        && !p.tree.is_complete()
    {
        // The recount reads the whole subtree.
        return Err(Stop::Need(crate::tree::Need::All));
    }

    let acl = Some(txn_acl(&list));
    let data = request.data;
    let path = Some(full.clone());
    let (body, owner) = match request.op {
        OpCode::CreateContainer => (
            TxnBody::CreateContainer {
                path,
                data,
                acl,
                parent_cversion,
            },
            owner::CONTAINER,
        ),
        OpCode::CreateTtl => (
            TxnBody::CreateTtl {
                path,
                data,
                acl,
                parent_cversion,
                ttl,
            },
            owner::ttl(ttl),
        ),
        op => {
            assert!(
                matches!(op, OpCode::Create | OpCode::Create2),
                "create of {op:?}"
            );
            let ephemeral = mode.kind == Kind::Ephemeral;
            let body = TxnBody::Create {
                op,
                path,
                data,
                acl,
                ephemeral,
                parent_cversion,
            };
            (body, if ephemeral { p.session.0 } else { 0 })
        }
    };

    let mut after = parent.clone();
    after.children += 1;
    if parent_cversion > cversion {
        after.stat.cversion = parent_cversion;
        after.stat.pzxid = p.zxid.0;
    }
    p.set(parent_path, Some(&parent), Some(after));
    let node = Record {
        stat: StatPersisted {
            czxid: p.zxid.0,
            mzxid: p.zxid.0,
            ctime: p.time_ms,
            mtime: p.time_ms,
            version: 0,
            cversion: 0,
            aversion: 0,
            ephemeral_owner: owner,
            pzxid: p.zxid.0,
        },
        children: 0,
        acl: list,
        crc: digest::node_crc(full.as_bytes(), data),
        data_len: data.map_or(0, <[u8]>::len),
    };
    p.set(&full, None, Some(node));
    Ok(body)
}

/// Names whose creation or later deletion stops a Java server that replays our log: a limits node
/// of the empty subtree, and one so close to the root that Java cannot cut its subject.
fn poison(parent_path: &str, name: &str) -> bool {
    name == quota::LIMITS && parent_path.starts_with("/zookeeper") && parent_path.len() <= 16
}

/// Applies a create.
pub fn apply<'a>(a: &mut Apply<'_>, body: &'a TxnBody<'a>) -> Answer<'a> {
    let (path, data, acl, owner, parent_cversion, with_stat) = match body {
        TxnBody::Create {
            op,
            path,
            data,
            acl,
            ephemeral,
            parent_cversion,
        } => {
            let owner = if *ephemeral { a.session.0 } else { 0 };
            (
                path,
                data,
                acl,
                owner,
                *parent_cversion,
                *op == OpCode::Create2,
            )
        }
        TxnBody::CreateContainer {
            path,
            data,
            acl,
            parent_cversion,
        } => (path, data, acl, owner::CONTAINER, *parent_cversion, true),
        TxnBody::CreateTtl {
            path,
            data,
            acl,
            parent_cversion,
            ttl,
        } => (path, data, acl, owner::ttl(*ttl), *parent_cversion, true),
        other => panic!("create::apply of {other:?}"),
    };
    let Some(path) = path.as_deref() else {
        return Answer::Error(Code::MarshallingError.to_i32());
    };
    a.visits += 2;
    let list = list_of(acl);
    match a.tree.create(
        path,
        *data,
        &list,
        owner,
        parent_cversion,
        a.zxid,
        a.time_ms,
    ) {
        Ok(created) => {
            a.post.wrote(path, data.map_or(0, <[u8]>::len));
            a.fire(Table::Data, Event::Created, path, &list, &[]);
            let parent = path::ancestors(path).next().unwrap_or("/");
            a.fire(
                Table::Child,
                Event::ChildrenChanged,
                parent,
                &created.parent_acl,
                &[],
            );
            if with_stat {
                Answer::PathStat(path, created.stat)
            } else {
                Answer::Path(path)
            }
        }
        Err(code) => Answer::Error(code.to_i32()),
    }
}
