//! auth, sasl and whoAmI.

use jute::{Buf, List, Str, record};

record! {
    /// auth.
    pub struct AuthPacket<'a> {
        /// Ignored by servers.
        pub kind: i32,
        /// The authentication scheme.
        pub scheme: Str<'a>,
        /// The credentials, in the form of the scheme.
        pub auth: Buf<'a>,
    }

    /// sasl: a token of the client.
    pub struct SaslRequest<'a> {
        /// Null is refused by closing the connection.
        pub token: Buf<'a>,
    }

    /// sasl: a token of the server; null where the server has no SASL.
    pub struct SaslResponse<'a> {
        /// Opaque.
        pub token: Buf<'a>,
    }

    /// One identity of a connection.
    pub struct ClientInfo<'a> {
        /// The authentication scheme.
        pub scheme: Str<'a>,
        /// The name, without secrets.
        pub user: Str<'a>,
    }

    /// whoAmI.
    pub struct WhoAmIResponse<'a> {
        /// One for each identity.
        pub info: List<ClientInfo<'a>>,
    }
}
