//! create, create2, createContainer, createTTL.

use jute::{Buf, List, Str, record};

use crate::client::Acl;
use crate::stat::Stat;

record! {
    /// create, create2 and createContainer: the operation code tells them apart.
    pub struct CreateRequest<'a> {
        /// The node.
        pub path: Str<'a>,
        /// The data; null is not empty.
        pub data: Buf<'a>,
        /// The ACL; null and empty are both refused later.
        pub acl: List<Acl<'a>>,
        /// The create mode, 0 to 6.
        pub flags: i32,
    }

    /// createTTL.
    pub struct CreateTtlRequest<'a> {
        /// The node.
        pub path: Str<'a>,
        /// The data; null is not empty.
        pub data: Buf<'a>,
        /// The ACL; null and empty are both refused later.
        pub acl: List<Acl<'a>>,
        /// The create mode, 5 or 6.
        pub flags: i32,
        /// Milliseconds.
        pub ttl: i64,
    }

    /// create2, createContainer and createTTL.
    pub struct Create2Response<'a> {
        /// The path created, with its sequence suffix.
        pub path: Str<'a>,
        /// Of the new node.
        pub stat: Stat,
    }
}
