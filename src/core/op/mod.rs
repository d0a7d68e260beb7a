//! The operations, a file each: what a write is judged by and becomes, what it does to the tree
//! and answers; what a read answers.
//!
//! They do not know connections, queues or the order of things; [`crate::Node`] and
//! [`crate::Conn`] call them at the right time.

pub mod check;
pub mod create;
pub mod delete;
pub mod exists;
pub mod get_acl;
pub mod get_all_children_number;
pub mod get_children;
pub mod get_data;
pub mod get_ephemerals;
pub mod multi;
pub mod multi_read;
pub mod reconfig;
pub mod session;
pub mod set_acl;
pub mod set_data;
pub mod sync;
pub mod watches;
pub mod who_am_i;

use alloc::boxed::Box;
use alloc::vec::Vec;

use jute::{Decode, Reader};
use zk_wire::Code;
use zk_wire::txn::TxnBody;

use crate::acl::{Identity, Ids, List};
use crate::config::Config;
use crate::ids::{ConnId, SessionId, Zxid};
use crate::io::Post;
use crate::path;
use crate::pending::{Pending, Record};
use crate::tally::{STAT_BYTES, Tally};
use crate::tree::{Need, NodeView, Tree};
use crate::watch::{Event, Table, Watches};

/// Why an operation did not go through.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stop {
    /// It is refused with this code.
    Code(Code),
    /// A row is not resident; it can be tried again once it is.
    Need(Need),
}

impl From<Code> for Stop {
    fn from(code: Code) -> Stop {
        Stop::Code(code)
    }
}

impl From<Need> for Stop {
    fn from(need: Need) -> Stop {
        Stop::Need(need)
    }
}

impl From<jute::Error> for Stop {
    fn from(_: jute::Error) -> Stop {
        Stop::Code(Code::MarshallingError)
    }
}

/// Decodes a request's body. What follows it is ignored, as Java ignores it.
///
/// # Errors
/// MARSHALLINGERROR.
pub fn decode<'a, T: Decode<'a>>(body: &'a [u8], max_field: usize) -> Result<T, Stop> {
    Ok(T::decode(&mut Reader::with_limit(body, max_field))?)
}

/// Everything that a write is judged by.
pub struct Prep<'a> {
    /// The tree as applied.
    pub tree: &'a Tree,
    /// What is proposed on top of it.
    pub pending: &'a mut Pending,
    /// Settings.
    pub config: &'a Config,
    /// The zxid that the transaction will have.
    pub zxid: Zxid,
    /// Its time, wall clock milliseconds.
    pub time_ms: i64,
    /// Who asks.
    pub session: SessionId,
    /// What the session may do: nothing if it is gone, or another server's client by now.
    pub allowed: Result<(), Code>,
    /// Whether it may own nodes: only a session that all servers know may.
    pub allowed_ephemeral: Result<(), Code>,
    /// The ensemble, on a leader.
    pub membership: Option<&'a reconfig::Membership>,
    /// Version of the configuration that was proposed last here; 0 for none.
    pub proposed_config: i64,
    /// Identities at the request's receipt.
    pub ids: &'a [Identity],
    /// A path that a hard quota has refused.
    pub exceeded: Option<Box<str>>,
}

impl Prep<'_> {
    /// The session's check that opens every write.
    ///
    /// # Errors
    /// SESSIONEXPIRED, SESSIONMOVED.
    pub fn check_session(&self) -> Result<(), Stop> {
        Ok(self.allowed?)
    }

    /// The node at `path` as it will be, or NONODE.
    ///
    /// # Errors
    /// NONODE, or a row that is not resident.
    pub fn record(&self, path: &str) -> Result<Record, Stop> {
        self.find(path)?.ok_or(Stop::Code(Code::NoNode))
    }

    /// The node at `path` as it will be.
    ///
    /// # Errors
    /// A row that is not resident.
    pub fn find(&self, path: &str) -> Result<Option<Record>, Stop> {
        Ok(self.pending.get(self.tree, root_as_empty(path))?)
    }

    /// Access control.
    ///
    /// # Errors
    /// NOAUTH.
    pub fn check_acl(&self, list: &List, wanted: i32) -> Result<(), Stop> {
        if self.config.providers.allows(list, wanted, self.ids) {
            Ok(())
        } else {
            Err(Code::NoAuth.into())
        }
    }

    /// Notes how a node will be.
    pub fn set(&mut self, path: &str, before: Option<&Record>, after: Option<Record>) {
        self.pending
            .set(self.tree, self.zxid, root_as_empty(path), before, after);
    }

    /// Hard quotas, by the usage as applied.
    ///
    /// # Errors
    /// QUOTAEXCEEDED; MARSHALLINGERROR where the texts cannot be read, as in Java.
    pub fn check_quota(&mut self, path: &str, bytes: i64, nodes: i64) -> Result<(), Stop> {
        use crate::quota::{LIMITS, QUOTA, STATS, Track, exceeded};
        if !self.config.enforce_quota {
            return Ok(());
        }
        let Some(prefix) = self.tree.quotas().deepest(path) else {
            return Ok(());
        };
        let read = |name: &str| -> Result<Option<Track>, Stop> {
            let path = alloc::format!("{QUOTA}{prefix}/{name}");
            match self.tree.get(&path)? {
                Some(node) => match Track::parse(node.data()) {
                    Some(track) => Ok(Some(track)),
                    None => Err(Code::MarshallingError.into()),
                },
                None => Ok(None),
            }
        };
        let Some(limits) = read(LIMITS)? else {
            return Ok(());
        };
        let nodes_limited = nodes != 0 && (limits.count() > -1 || limits.count_hard() > -1);
        let bytes_limited = bytes != 0 && (limits.bytes() > -1 || limits.bytes_hard() > -1);
        if !nodes_limited && !bytes_limited {
            return Ok(());
        }
        let Some(usage) = read(STATS)? else {
            return Ok(());
        };
        if exceeded(&limits, &usage, bytes, nodes) {
            self.exceeded = Some(path.into());
            return Err(Code::QuotaExceeded.into());
        }
        Ok(())
    }
}

/// `/` and `""` are one node; records go under `""`.
pub fn root_as_empty(path: &str) -> &str {
    if path == "/" { "" } else { path }
}

/// The version after a compare-and-set; -1 matches any.
///
/// # Errors
/// BADVERSION.
pub fn next_version(current: i32, expected: i32) -> Result<i32, Stop> {
    if expected != -1 && expected != current {
        return Err(Code::BadVersion.into());
    }
    Ok(current.wrapping_add(1))
}

/// A path that must be legal in full. Null is an illegal one.
///
/// # Errors
/// BADARGUMENTS.
pub fn valid_path<'a>(path: &'a jute::Str<'_>) -> Result<&'a str, Stop> {
    match path.as_deref() {
        Some(path) if path::valid(path) => Ok(path),
        _ => Err(Code::BadArguments.into()),
    }
}

/// A path that Java dereferences before it looks at it.
///
/// # Errors
/// MARSHALLINGERROR for null.
pub fn non_null<'a>(path: &'a jute::Str<'_>) -> Result<&'a str, Stop> {
    path.as_deref().ok_or(Stop::Code(Code::MarshallingError))
}

/// The list of a transaction: the open one without allocations.
pub fn txn_acl(list: &List) -> Vec<zk_wire::client::Acl<'static>> {
    use alloc::borrow::Cow;
    list.iter()
        .map(|entry| {
            let world = &*entry.scheme == "world" && entry.id.as_deref() == Some("anyone");
            let (scheme, id) = if world {
                (Cow::Borrowed("world"), Some(Cow::Borrowed("anyone")))
            } else {
                (
                    Cow::Owned(entry.scheme.as_ref().into()),
                    entry.id.as_deref().map(|id| Cow::Owned(id.into())),
                )
            };
            zk_wire::client::Acl {
                perms: entry.perms,
                id: zk_wire::client::Id {
                    scheme: Some(scheme),
                    id,
                },
            }
        })
        .collect()
}

/// Everything that a transaction is applied with.
pub struct Apply<'a> {
    /// The tree.
    pub tree: &'a mut Tree,
    /// Watches.
    pub watches: &'a mut Watches,
    /// Where events go.
    pub post: &'a mut dyn Post,
    /// Settings.
    pub config: &'a Config,
    /// The transaction's zxid.
    pub zxid: Zxid,
    /// Its time, wall clock milliseconds.
    pub time_ms: i64,
    /// The session that asked.
    pub session: SessionId,
    /// Nodes visited so far, against the budget.
    pub visits: usize,
}

impl Apply<'_> {
    /// Fires the watches of one path in one table. A connection that may not read under `acl`
    /// hears nothing; its one-shot watch is spent all the same.
    pub fn fire(
        &mut self,
        table: Table,
        event: Event,
        path: &str,
        acl: &List,
        except: &[ConnId],
    ) -> Vec<ConnId> {
        let hit = self.watches.trigger(table, path, except);
        if !hit.is_empty() {
            self.post.fired(event, hit.len());
        }
        for conn in &hit {
            let Some(ids) = self.watches.ids(*conn) else {
                continue;
            };
            if self
                .config
                .providers
                .allows(acl, crate::acl::perm::READ, ids)
            {
                self.post.event(*conn, self.zxid, event, path);
            }
        }
        hit
    }
}

/// The answer to a client from one applied transaction or part of a multi.
#[derive(Debug, PartialEq, Eq)]
pub enum Answer<'a> {
    /// Nothing but the header.
    Nothing,
    /// create.
    Path(&'a str),
    /// create2, createContainer, createTTL.
    PathStat(&'a str, zk_wire::client::Stat),
    /// setData, setACL.
    Stat(zk_wire::client::Stat),
    /// A failure.
    Error(i32),
    /// multi.
    Multi(Vec<Answer<'a>>),
}

/// Applies a transaction and says what to answer.
pub fn apply<'a>(a: &mut Apply<'_>, body: &'a TxnBody<'a>) -> Answer<'a> {
    match body {
        TxnBody::CreateSession { timeout } => {
            a.tree.create_session(a.session, *timeout);
            Answer::Nothing
        }
        TxnBody::CloseSession { paths } => session::apply_close(a, paths),
        TxnBody::Error { err } => Answer::Error(*err),
        TxnBody::Create { .. } | TxnBody::CreateContainer { .. } | TxnBody::CreateTtl { .. } => {
            create::apply(a, body)
        }
        TxnBody::Delete { op: _, path } => delete::apply(a, path),
        TxnBody::SetData {
            op: _,
            path,
            data,
            version,
        } => set_data::apply(a, path, *data, *version),
        TxnBody::SetAcl { path, acl, version } => set_acl::apply(a, path, acl, *version),
        TxnBody::Check { .. } => Answer::Nothing,
        TxnBody::Multi(subs) => multi::apply(a, subs),
    }
}

/// Everything that a read is answered with.
pub struct Read<'a> {
    /// The tree.
    pub tree: &'a Tree,
    /// Settings.
    pub config: &'a Config,
    /// Watches, locked when asked for.
    pub watches: &'a mut dyn WatchAccess,
    /// Who asks.
    pub conn: ConnId,
    /// The session.
    pub session: SessionId,
    /// Identities at the request's receipt.
    pub ids: &'a Ids,
    /// Where the reply's body goes.
    pub out: &'a mut Vec<u8>,
    /// Whole frames that precede the reply.
    pub events: &'a mut Vec<u8>,
    /// What is read is counted here.
    pub tally: &'a mut Tally,
}

/// A way to the watches: directly while transactions are applied, else through a lock.
pub trait WatchAccess {
    /// Calls `f` with the watches.
    fn with(&mut self, f: &mut dyn FnMut(&mut Watches));
}

impl WatchAccess for Watches {
    fn with(&mut self, f: &mut dyn FnMut(&mut Watches)) {
        f(self);
    }
}

impl<'a> Read<'a> {
    /// The node at `path`.
    ///
    /// # Errors
    /// NONODE, or a row that is not resident.
    pub fn node(&self, path: &str) -> Result<NodeView<'a>, Stop> {
        self.tree.get(path)?.ok_or(Stop::Code(Code::NoNode))
    }

    /// Access control.
    ///
    /// # Errors
    /// NOAUTH.
    pub fn check_acl(&self, node: &NodeView<'_>, wanted: i32) -> Result<(), Stop> {
        if self.config.providers.allows(node.acl(), wanted, self.ids) {
            Ok(())
        } else {
            Err(Code::NoAuth.into())
        }
    }

    /// Counts what a read of `path` took out of the tree, as Java does: path, stat and `bytes`.
    pub fn count(&mut self, path: &str, bytes: usize) {
        self.tally.reads.add(path, path.len() + bytes + STAT_BYTES);
    }

    /// Sets a standard watch.
    pub fn arm(&mut self, table: Table, path: &str) {
        let conn = self.conn;
        self.watches.with(&mut |watches| {
            watches.arm(conn, table, path, crate::watch::Mode::Standard);
        });
    }
}
