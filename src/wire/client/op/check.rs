//! check, which exists inside multi only.

use jute::{Str, record};

record! {
    /// check.
    pub struct CheckRequest<'a> {
        /// The node.
        pub path: Str<'a>,
        /// The version expected; -1 for any.
        pub version: i32,
    }
}
