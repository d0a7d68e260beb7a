//! getChildren, getChildren2, getEphemerals, getAllChildrenNumber (requests with only a path are in
//! `path`).

use jute::{List, Str, record};

use crate::stat::Stat;

record! {
    /// getEphemerals.
    pub struct PrefixRequest<'a> {
        /// Compared with paths as text; null, blank or `/` means all.
        pub prefix: Str<'a>,
    }

    /// getChildren.
    pub struct ChildrenResponse<'a> {
        /// Names, in no order.
        pub children: List<Str<'a>>,
    }

    /// getChildren2.
    pub struct Children2Response<'a> {
        /// Names, in no order.
        pub children: List<Str<'a>>,
        /// Of the node.
        pub stat: Stat,
    }

    /// getEphemerals.
    pub struct EphemeralsResponse<'a> {
        /// Paths, in no order.
        pub ephemerals: List<Str<'a>>,
    }

    /// getAllChildrenNumber.
    #[derive(Copy)]
    pub struct CountResponse {
        /// Descendants, the node itself not counted.
        pub count: i32,
    }
}
