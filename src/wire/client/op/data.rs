//! exists, getData and setData (the requests of the first two are in `path`).

use jute::{Buf, Str, record};

use crate::stat::Stat;

record! {
    /// setData.
    pub struct SetDataRequest<'a> {
        /// The node.
        pub path: Str<'a>,
        /// The data; null is not empty.
        pub data: Buf<'a>,
        /// The version expected; -1 for any.
        pub version: i32,
    }

    /// getData.
    pub struct DataResponse<'a> {
        /// The data; null is not empty.
        pub data: Buf<'a>,
        /// Of the node.
        pub stat: Stat,
    }

    /// exists, setData and setACL.
    #[derive(Copy)]
    pub struct StatResponse {
        /// Of the node.
        pub stat: Stat,
    }
}
