//! The client protocol: the handshake, the headers, and the bodies of every operation.
//!
//! Owns: the layout of each record. Does not know: which operation has which meaning, in what
//! order things are sent, or any limit.

mod acl;
mod connect;
pub mod frame;
mod header;
mod multi;
mod op;

pub use crate::stat::Stat;
pub use acl::{Acl, Id, perms};
pub use connect::{ConnectRequest, ConnectResponse};
pub use header::{ErrorResponse, ReplyHeader, RequestHeader, xid};
pub use multi::{
    MULTI_END, MultiError, MultiHeader, MultiOp, MultiResult, decode_multi, decode_multi_op,
    decode_multi_results, encode_multi, encode_multi_results,
};
pub use op::*;
