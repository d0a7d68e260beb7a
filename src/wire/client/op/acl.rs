//! getACL and setACL (the request of the first is in `path`).

use jute::{List, Str, record};

use crate::client::Acl;
use crate::stat::Stat;

record! {
    /// setACL.
    pub struct SetAclRequest<'a> {
        /// The node.
        pub path: Str<'a>,
        /// The ACL; null and empty are both refused later.
        pub acl: List<Acl<'a>>,
        /// The ACL version expected; -1 for any.
        pub version: i32,
    }

    /// getACL.
    pub struct AclResponse<'a> {
        /// The ACL.
        pub acl: List<Acl<'a>>,
        /// Of the node.
        pub stat: Stat,
    }
}
