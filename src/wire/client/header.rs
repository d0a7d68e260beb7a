//! What opens every request and every reply after the handshake, and the body of a bare error.

use jute::record;

record! {
    /// Opens every request but the first.
    #[derive(Copy)]
    pub struct RequestHeader {
        /// Chosen by the client and echoed; see [`xid`].
        pub xid: i32,
        /// The operation; an [`OpCode`](crate::OpCode) if the server knows it.
        pub op: i32,
    }

    /// Opens every reply but the first, and every notification.
    #[derive(Copy)]
    pub struct ReplyHeader {
        /// That of the request; [`xid::PING`] and [`xid::NOTIFICATION`] are fixed.
        pub xid: i32,
        /// Of the transaction, or of the last one applied.
        pub zxid: i64,
        /// A [`Code`](crate::Code). Unless zero, no body follows (with the exceptions of sasl and multiRead).
        pub err: i32,
    }

    /// A code as a body: the reply of addWatch, and of each operation in a failed multi.
    #[derive(Copy)]
    pub struct ErrorResponse {
        /// A [`Code`](crate::Code).
        pub err: i32,
    }
}

/// The values of `xid` that mean something by themselves.
pub mod xid {
    /// A notification of a watch (server to client only).
    pub const NOTIFICATION: i32 = -1;
    /// The reply to a ping, whatever xid the ping had.
    pub const PING: i32 = -2;
    /// An auth packet of most clients; others use ordinary xids.
    pub const AUTH: i32 = -4;
    /// A setWatches request of some clients; others use ordinary xids.
    pub const SET_WATCHES: i32 = -8;
}
