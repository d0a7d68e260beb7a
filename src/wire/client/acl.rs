//! Identities and access control lists.

use alloc::borrow::Cow;

use jute::{Str, record};

record! {
    /// Somebody, in the terms of an authentication scheme.
    pub struct Id<'a> {
        /// The scheme: `world`, `auth`, `digest`, `ip`, `x509`, `sasl` and so on.
        pub scheme: Str<'a>,
        /// Who, in the form that the scheme gives it.
        pub id: Str<'a>,
    }

    /// Rights of one identity. A list of these is the ACL of a node.
    pub struct Acl<'a> {
        /// Bits of [`perms`]; stored unvalidated.
        pub perms: i32,
        /// Whose rights.
        pub id: Id<'a>,
    }
}

impl Id<'_> {
    /// A copy that owns its text.
    pub fn into_owned(self) -> Id<'static> {
        Id {
            scheme: self.scheme.map(owned),
            id: self.id.map(owned),
        }
    }
}

impl Acl<'_> {
    /// A copy that owns its text.
    pub fn into_owned(self) -> Acl<'static> {
        Acl {
            perms: self.perms,
            id: self.id.into_owned(),
        }
    }
}

fn owned(text: Cow<'_, str>) -> Cow<'static, str> {
    Cow::Owned(text.into_owned())
}

/// The bits of [`Acl::perms`].
pub mod perms {
    /// Read data and list children.
    pub const READ: i32 = 1;
    /// Set data.
    pub const WRITE: i32 = 2;
    /// Create children.
    pub const CREATE: i32 = 4;
    /// Delete children.
    pub const DELETE: i32 = 8;
    /// Set the ACL.
    pub const ADMIN: i32 = 16;
    /// All of them.
    pub const ALL: i32 = READ | WRITE | CREATE | DELETE | ADMIN;
}
