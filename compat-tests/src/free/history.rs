//! What one client connection of a free run did and saw.
//!
//! Owns: calls as the model understands them, their bytes, and the order of what came back.
//!
//! Does not know: sockets, other connections, verdicts.

use crate::differential::op::{Acl, Op, code};
use crate::raw::text;

/// A call that takes a zxid.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Write {
    /// create or create2.
    Create {
        /// Op code: 1 or 15.
        op: i32,
        /// Path, a prefix when sequential.
        path: String,
        /// Data.
        data: Vec<u8>,
        /// 0..=3.
        flags: i32,
    },
    /// delete.
    Delete {
        /// Path.
        path: String,
        /// Expected version.
        version: i32,
    },
    /// setData.
    Set {
        /// Path.
        path: String,
        /// Data.
        data: Vec<u8>,
        /// Expected version.
        version: i32,
    },
    /// check; inside multis only.
    Check {
        /// Path.
        path: String,
        /// Expected version.
        version: i32,
    },
    /// multi.
    Multi(Vec<Write>),
    /// closeSession.
    Close,
}

/// A call that takes none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Read {
    /// getData.
    Data {
        /// Path.
        path: String,
        /// Leave a watch.
        watch: bool,
    },
    /// exists.
    Exists {
        /// Path.
        path: String,
        /// Leave a watch.
        watch: bool,
    },
    /// getChildren2.
    Children {
        /// Path.
        path: String,
        /// Leave a watch.
        watch: bool,
    },
    /// multiRead of getData.
    Many(Vec<String>),
    /// addWatch.
    Watch {
        /// Path.
        path: String,
        /// Persistent-recursive instead of persistent.
        recursive: bool,
    },
    /// sync.
    Sync,
    /// ping.
    Ping,
}

/// A call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Call {
    /// Takes a zxid, also when it fails.
    Write(Write),
    /// Takes none.
    Read(Read),
}

impl Write {
    fn op(&self) -> Op {
        let acl = Some(vec![Acl {
            perms: 31,
            scheme: text("world"),
            id: text("anyone"),
        }]);
        match self {
            Write::Create {
                op,
                path,
                data,
                flags,
            } => Op::Create {
                op: *op,
                path: text(path),
                data: Some(data.clone()),
                acl,
                flags: *flags,
            },
            Write::Delete { path, version } => Op::Versioned {
                op: code::DELETE,
                path: text(path),
                version: *version,
            },
            Write::Set {
                path,
                data,
                version,
            } => Op::SetData {
                path: text(path),
                data: Some(data.clone()),
                version: *version,
            },
            Write::Check { path, version } => Op::Versioned {
                op: code::CHECK,
                path: text(path),
                version: *version,
            },
            Write::Multi(parts) => Op::Multi {
                op: code::MULTI,
                ops: parts.iter().map(Write::op).collect(),
            },
            Write::Close => Op::Bare {
                op: code::CLOSE_SESSION,
            },
        }
    }
}

impl Call {
    /// The request it is.
    pub fn op(&self) -> Op {
        let watching = |op, path: &str, watch: bool| Op::Watching {
            op,
            path: text(path),
            watch,
        };
        match self {
            Call::Write(write) => write.op(),
            Call::Read(read) => match read {
                Read::Data { path, watch } => watching(code::GET_DATA, path, *watch),
                Read::Exists { path, watch } => watching(code::EXISTS, path, *watch),
                Read::Children { path, watch } => watching(code::GET_CHILDREN2, path, *watch),
                Read::Many(paths) => Op::Multi {
                    op: code::MULTI_READ,
                    ops: paths
                        .iter()
                        .map(|p| watching(code::GET_DATA, p, false))
                        .collect(),
                },
                Read::Watch { path, recursive } => Op::PathKind {
                    op: code::ADD_WATCH,
                    path: text(path),
                    kind: i32::from(*recursive),
                },
                Read::Sync => Op::OnePath {
                    op: code::SYNC,
                    path: text("/"),
                },
                Read::Ping => Op::Bare { op: code::PING },
            },
        }
    }
}

/// A watch event.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Event {
    /// Header zxid.
    pub zxid: i64,
    /// 1 created, 2 deleted, 3 data changed, 4 children changed.
    pub kind: i32,
    /// Path.
    pub path: String,
}

/// Something that came, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Item {
    /// The answer to the call with this index.
    Reply {
        /// Index into `calls`.
        call: usize,
        /// The whole frame.
        frame: Vec<u8>,
    },
    /// An event.
    Event(Event),
}

/// One connection's history.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct History {
    /// The session it served.
    pub session: i64,
    /// The connection was a new session's, so that one more zxid was used.
    pub opened: bool,
    /// Calls in order.
    pub calls: Vec<Call>,
    /// Answers and events in order.
    pub items: Vec<Item>,
}
