//! delete.

use jute::{Str, record};

record! {
    /// delete.
    pub struct DeleteRequest<'a> {
        /// The node.
        pub path: Str<'a>,
        /// The version expected; -1 for any.
        pub version: i32,
    }
}
