//! Watches: adding, checking, removing, setting again; and the notification.

use jute::{List, Str, record};

record! {
    /// checkWatches and removeWatches.
    pub struct WatchesRequest<'a> {
        /// The node.
        pub path: Str<'a>,
        /// 1 children, 2 data, 3 any, 4 persistent, 5 persistent and recursive.
        pub kind: i32,
    }

    /// addWatch.
    pub struct AddWatchRequest<'a> {
        /// The node.
        pub path: Str<'a>,
        /// 0 persistent, 1 persistent and recursive.
        pub mode: i32,
    }

    /// setWatches.
    pub struct SetWatches<'a> {
        /// The last zxid that the client saw.
        pub relative_zxid: i64,
        /// Paths with data watches.
        pub data: List<Str<'a>>,
        /// Paths watched for creation.
        pub exist: List<Str<'a>>,
        /// Paths with child watches.
        pub child: List<Str<'a>>,
    }

    /// setWatches2.
    pub struct SetWatches2<'a> {
        /// The last zxid that the client saw.
        pub relative_zxid: i64,
        /// Paths with data watches.
        pub data: List<Str<'a>>,
        /// Paths watched for creation.
        pub exist: List<Str<'a>>,
        /// Paths with child watches.
        pub child: List<Str<'a>>,
        /// Paths with persistent watches.
        pub persistent: List<Str<'a>>,
        /// Paths with persistent recursive watches.
        pub persistent_recursive: List<Str<'a>>,
    }

    /// The body of a notification.
    pub struct WatcherEvent<'a> {
        /// A value of [`event`].
        pub kind: i32,
        /// The client state; servers send [`SYNC_CONNECTED`] only.
        pub state: i32,
        /// The node concerned.
        pub path: Str<'a>,
    }
}

/// [`WatcherEvent::state`] as servers send it.
pub const SYNC_CONNECTED: i32 = 3;

/// The values of [`WatcherEvent::kind`] that a server sends.
pub mod event {
    /// The node was created.
    pub const NODE_CREATED: i32 = 1;
    /// The node was deleted.
    pub const NODE_DELETED: i32 = 2;
    /// The data was set.
    pub const NODE_DATA_CHANGED: i32 = 3;
    /// A child was created or deleted.
    pub const NODE_CHILDREN_CHANGED: i32 = 4;
}
