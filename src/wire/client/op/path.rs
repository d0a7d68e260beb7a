//! Shapes that several operations share: a path, with or without a watch flag.

use jute::{Str, record};

record! {
    /// getACL, sync, getAllChildrenNumber; also the delete of a container.
    pub struct PathRequest<'a> {
        /// The node.
        pub path: Str<'a>,
    }

    /// exists, getData, getChildren, getChildren2.
    pub struct PathWatchRequest<'a> {
        /// The node.
        pub path: Str<'a>,
        /// Leave a watch.
        pub watch: bool,
    }

    /// create (the path created, with its sequence suffix) and sync (the path asked for).
    pub struct PathResponse<'a> {
        /// The path.
        pub path: Str<'a>,
    }
}
