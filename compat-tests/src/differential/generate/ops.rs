//! One operation of each kind, with values from the universe.
//!
//! Owns: what a request of a kind looks like, good or bad, and which ones Java's own digest or
//! rollback cannot follow.
//!
//! Does not know: sessions, steps, order.

use fastrand::Rng;

use super::super::op::{Acl, Acls, Op, code};
use super::super::universe::{chance, pick, word};
use super::{Generator, Kind, View};
use crate::raw::text;

impl Generator {
    pub(super) fn op(&mut self, kind: Kind, view: &View) -> Op {
        use code::*;
        let u = &self.universe;
        let rng = &mut self.rng;
        match kind {
            Kind::Create | Kind::Create2 | Kind::Container | Kind::Ttl => self.create(kind),
            Kind::Delete => Op::Versioned {
                op: DELETE,
                path: u.path(rng),
                version: u.version(rng),
            },
            Kind::Exists => Op::Watching {
                op: EXISTS,
                path: u.path(rng),
                watch: rng.bool(),
            },
            Kind::GetData => Op::Watching {
                op: GET_DATA,
                path: u.path(rng),
                watch: rng.bool(),
            },
            Kind::GetChildren => Op::Watching {
                op: GET_CHILDREN,
                path: u.path(rng),
                watch: rng.bool(),
            },
            Kind::GetChildren2 => Op::Watching {
                op: GET_CHILDREN2,
                path: u.path(rng),
                watch: rng.bool(),
            },
            Kind::SetData => Op::SetData {
                path: u.path(rng),
                data: u.data(rng),
                version: u.version(rng),
            },
            Kind::GetAcl => Op::OnePath {
                op: GET_ACL,
                path: u.path(rng),
            },
            Kind::SetAcl => Op::SetAcl {
                path: u.path(rng),
                acl: u.acl(rng),
                version: u.version(rng),
            },
            Kind::Sync => Op::OnePath {
                op: SYNC,
                path: u.path(rng),
            },
            Kind::Ping => Op::Bare { op: PING },
            Kind::Multi => self.multi(view),
            Kind::MultiRead => self.multi_read(view),
            Kind::Auth => {
                let (scheme, auth) = u.credentials(rng, false);
                Op::Auth {
                    kind: *pick(rng, &[0, 0, 0, 7, -1]),
                    scheme,
                    auth,
                }
            }
            Kind::SetWatches => self.set_watches(SET_WATCHES, view),
            Kind::SetWatches2 => self.set_watches(SET_WATCHES2, view),
            Kind::AddWatch => {
                let path = if chance(rng, 10.0) {
                    text("/")
                } else {
                    u.path(rng)
                };
                Op::PathKind {
                    op: ADD_WATCH,
                    path,
                    kind: *pick(rng, &[0, 0, 0, 0, 1, 1, 1, 1, 1, 2, -1]),
                }
            }
            Kind::CheckWatches | Kind::RemoveWatches => {
                let op = if kind == Kind::CheckWatches {
                    CHECK_WATCHES
                } else {
                    REMOVE_WATCHES
                };
                let path = if chance(rng, 10.0) {
                    text("/")
                } else {
                    u.path(rng)
                };
                Op::PathKind {
                    op,
                    path,
                    kind: *pick(rng, &[1, 1, 2, 2, 3, 3, 3, 4, 4, 5, 5, 0, 6, -1]),
                }
            }
            Kind::Ephemerals => {
                let prefix = match rng.u32(..8) {
                    0 => None,
                    1 => text(word(rng, &["", "  ", "/", " / ", "/a/e", "x"])),
                    2..=4 => text("/"),
                    _ => u.path(rng),
                };
                Op::OnePath {
                    op: GET_EPHEMERALS,
                    path: prefix,
                }
            }
            Kind::CountChildren => {
                let path = if chance(rng, 25.0) {
                    text("/")
                } else {
                    u.path(rng)
                };
                Op::OnePath {
                    op: GET_ALL_CHILDREN_NUMBER,
                    path,
                }
            }
            Kind::WhoAmI => Op::Bare { op: WHO_AM_I },
            Kind::Reconfig => {
                let some = |rng: &mut Rng| {
                    pick(
                        rng,
                        &[None, text(""), text("server.1=127.0.0.1:1:2;3"), text("x")],
                    )
                    .clone()
                };
                Op::Reconfig {
                    joining: some(rng),
                    leaving: some(rng),
                    members: some(rng),
                    config: *pick(rng, &[-1, 0, 7]),
                }
            }
            Kind::Sasl => Op::Sasl {
                token: pick(rng, &[None, text(""), text("x"), Some(vec![0, 255])]).clone(),
            },
            Kind::Quota => self.quota(),
            Kind::Close => Op::Bare { op: CLOSE_SESSION },
            Kind::Unknown => {
                let op = *pick(
                    rng,
                    &[
                        -1,
                        0,
                        10,
                        23,
                        99,
                        108,
                        1000,
                        -12,
                        i32::MAX,
                        i32::MIN,
                        CHECK,
                        CHECK,
                    ],
                );
                if op == CHECK {
                    Op::Versioned {
                        op,
                        path: u.path(rng),
                        version: -1,
                    }
                } else {
                    Op::Bare { op }
                }
            }
        }
    }

    fn create(&mut self, kind: Kind) -> Op {
        let u = &self.universe;
        let rng = &mut self.rng;
        let odd = chance(rng, 4.0);
        let flags = match kind {
            _ if odd => *pick(rng, &[-1, 0, 1, 2, 3, 4, 5, 6, 7, 100, i32::MIN]),
            Kind::Container => 4,
            Kind::Ttl => *pick(rng, &[5, 5, 6]),
            _ => *pick(rng, &[0, 0, 0, 0, 0, 1, 1, 1, 2, 2, 3]),
        };
        let (path, data, acl) = (u.new_path(rng, flags), u.data(rng), u.acl(rng));
        match kind {
            Kind::Ttl => {
                let ttl = match rng.u32(..20) {
                    0 => *pick(rng, &[0, -1, i64::MIN, 1 << 40, i64::MAX]),
                    1 => (1 << 40) - 1,
                    // Nothing is reaped during a run, so any length will do.
                    _ => rng.i64(1..10_000_000),
                };
                Op::CreateTtl {
                    path,
                    data,
                    acl,
                    flags,
                    ttl,
                }
            }
            Kind::Create2 => Op::Create {
                op: code::CREATE2,
                path,
                data,
                acl,
                flags,
            },
            Kind::Container => Op::Create {
                op: code::CREATE_CONTAINER,
                path,
                data,
                acl,
                flags,
            },
            _ => Op::Create {
                op: code::CREATE,
                path,
                data,
                acl,
                flags,
            },
        }
    }

    fn multi(&mut self, view: &View) -> Op {
        let n = *pick(&mut self.rng, &[0, 1, 2, 2, 3, 3, 4, 5, 6, 12]);
        let mut ops: Vec<Op> = (0..n)
            .map(|_| {
                let kind = *pick(
                    &mut self.rng,
                    &[
                        Kind::Create,
                        Kind::Create,
                        Kind::Create2,
                        Kind::Container,
                        Kind::Ttl,
                        Kind::Delete,
                        Kind::Delete,
                        Kind::SetData,
                        Kind::SetData,
                        Kind::Quota,
                    ],
                );
                if chance(&mut self.rng, 20.0) {
                    let (path, version) = (
                        self.universe.path(&mut self.rng),
                        self.universe.version(&mut self.rng),
                    );
                    return Op::Versioned {
                        op: code::CHECK,
                        path,
                        version,
                    };
                }
                self.op(kind, view)
            })
            .collect();
        if n > 0 && chance(&mut self.rng, 5.0) {
            let at = self.rng.usize(..=n);
            let stray = *pick(
                &mut self.rng,
                &[
                    Kind::GetData,
                    Kind::GetChildren,
                    Kind::SetAcl,
                    Kind::Exists,
                    Kind::Ping,
                    Kind::Unknown,
                    Kind::Sync,
                ],
            );
            let op = self.op(stray, view);
            ops.insert(at, op);
        }
        Op::Multi {
            op: code::MULTI,
            ops,
        }
    }

    fn multi_read(&mut self, view: &View) -> Op {
        let n = self.rng.usize(..6);
        let mut ops: Vec<Op> = (0..n)
            .map(|_| {
                let kind = if self.rng.bool() {
                    Kind::GetData
                } else {
                    Kind::GetChildren
                };
                self.op(kind, view)
            })
            .collect();
        if chance(&mut self.rng, 6.0) {
            let stray = *pick(
                &mut self.rng,
                &[
                    Kind::Exists,
                    Kind::GetChildren2,
                    Kind::SetData,
                    Kind::Create,
                    Kind::Delete,
                ],
            );
            let at = self.rng.usize(..=n);
            let op = self.op(stray, view);
            ops.insert(at, op);
        }
        Op::Multi {
            op: code::MULTI_READ,
            ops,
        }
    }

    fn set_watches(&mut self, op: i32, view: &View) -> Op {
        let u = &self.universe;
        let rng = &mut self.rng;
        let back = rng.i64(0..60);
        let zxid = *pick(
            rng,
            &[
                0,
                -1,
                view.zxid,
                view.zxid - back,
                view.zxid - back,
                i64::MAX,
            ],
        );
        let count = if op == code::SET_WATCHES { 3 } else { 5 };
        let lists = (0..count)
            .map(|_| {
                if chance(rng, 1.0) {
                    return None;
                }
                let n = rng.usize(..4);
                Some((0..n).map(|_| u.path(rng)).collect())
            })
            .collect();
        Op::SetWatches { op, zxid, lists }
    }

    fn quota(&mut self) -> Op {
        let (path, data) = self.universe.quota(&mut self.rng);
        let rng = &mut self.rng;
        let acl = Some(vec![Acl {
            perms: 31,
            scheme: text("world"),
            id: text("anyone"),
        }]);
        match rng.u32(..10) {
            0..=5 => Op::Create {
                op: code::CREATE,
                path,
                data,
                acl,
                flags: 0,
            },
            6 | 7 => Op::SetData {
                path,
                data,
                version: -1,
            },
            8 => Op::Watching {
                op: code::GET_DATA,
                path,
                watch: rng.bool(),
            },
            _ => Op::Versioned {
                op: code::DELETE,
                path,
                version: -1,
            },
        }
    }
}

/// Whether Java answers by an exception that is no error code: nulls where it expects values, and
/// foreign operations in a multiRead. The answer is -5; a multi is then not rolled back.
pub(super) fn throws(op: &Op) -> bool {
    let acl_throws = |acl: &Acls| {
        acl.iter()
            .flatten()
            .any(|e| e.scheme.is_none() || e.id.is_none())
    };
    match op {
        Op::Create { path, acl, .. } | Op::CreateTtl { path, acl, .. } => {
            path.is_none() || acl_throws(acl)
        }
        Op::SetAcl { path, acl, .. } => path.is_none() || acl_throws(acl),
        Op::Versioned { path, .. }
        | Op::SetData { path, .. }
        | Op::Watching { path, .. }
        | Op::PathKind { path, .. } => path.is_none(),
        Op::Multi {
            op: code::MULTI_READ,
            ops,
        } => ops
            .iter()
            .any(|op| throws(op) || !matches!(op.code(), code::GET_DATA | code::GET_CHILDREN)),
        Op::Multi { ops, .. } => ops
            .iter()
            .any(|op| throws(op) || matches!(op, Op::Create { acl: None, .. })),
        Op::SetWatches { lists, .. } => lists
            .iter()
            .any(|list| list.as_ref().is_none_or(|l| l.iter().any(Option::is_none))),
        _ => false,
    }
}

/// Whether Java's own prediction of the tree digest is wrong for this request (and its counter
/// of mismatches says so): the flag disagrees with the op code, one multi touches `/` both as a
/// node and as a parent, or a multi ends by an exception.
pub(super) fn mispredicted(op: &Op) -> bool {
    match op {
        Op::Create { op: code::CREATE_CONTAINER, flags, .. } => *flags != 4,
        Op::Create { flags, .. } => *flags == 4,
        Op::CreateTtl { flags, .. } => !matches!(flags, 5 | 6),
        Op::Multi { ops, .. } => {
            ops.iter().any(|op| mispredicted(op) || throws(op))
                || ops.iter().any(|op| matches!(op, Op::SetData { path, .. } if matches!(path.as_deref(), Some(b"/" | b""))))
        }
        _ => false,
    }
}
