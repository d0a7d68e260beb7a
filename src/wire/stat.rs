//! The stat of a node, as clients see it and as it is stored.

use jute::record;

record! {
    /// What clients see.
    #[derive(Copy)]
    pub struct Stat {
        /// Zxid that created the node.
        pub czxid: i64,
        /// Zxid that last set the data.
        pub mzxid: i64,
        /// Creation, in ms since 1970.
        pub ctime: i64,
        /// Last change of the data, in ms since 1970.
        pub mtime: i64,
        /// Changes of the data.
        pub version: i32,
        /// Changes of the child list (creations and deletions).
        pub cversion: i32,
        /// Changes of the ACL.
        pub aversion: i32,
        /// Session that owns an ephemeral node, else 0 (also for container and TTL nodes).
        pub ephemeral_owner: i64,
        /// Bytes of data.
        pub data_length: i32,
        /// Children.
        pub num_children: i32,
        /// Zxid that last changed the child list.
        pub pzxid: i64,
    }

    /// What is stored: in snapshots in this order; the tree digest has its own.
    #[derive(Copy)]
    pub struct StatPersisted {
        /// Zxid that created the node.
        pub czxid: i64,
        /// Zxid that last set the data.
        pub mzxid: i64,
        /// Creation, in ms since 1970.
        pub ctime: i64,
        /// Last change of the data, in ms since 1970.
        pub mtime: i64,
        /// Changes of the data.
        pub version: i32,
        /// Creations of children so far. Clients are shown `2 * cversion - num_children`.
        pub cversion: i32,
        /// Changes of the ACL.
        pub aversion: i32,
        /// 0, a session id, or the marker of a container or TTL node.
        pub ephemeral_owner: i64,
        /// Zxid that last changed the child list.
        pub pzxid: i64,
    }
}
