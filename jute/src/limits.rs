//! The one limit of this crate. Bounds that depend on configuration (`jute.maxbuffer`) are given
//! to [`Reader::with_limit`](crate::Reader::with_limit) by the caller.

/// The greatest length, in bytes, that a string or buffer field can state: lengths are signed
/// 32-bit integers.
pub const MAX_LENGTH: usize = i32::MAX as usize;
