//! Every bound of this crate. Bounds that an operator can set (`jute.maxbuffer`) come from the
//! caller.

use jute::Decode;

use crate::txn::TxnHeader;

/// How far a search for a valid record behind a damaged one goes on checking sums, in multiples
/// of the bytes searched. Without a bound, data made to look like the beginnings of records would
/// make the search quadratic.
pub const SEARCH_FACTOR: usize = 64;

/// What such a search may check in any case, in bytes.
pub const SEARCH_FLOOR: usize = 16 << 20;

/// The least payload of a log record: a transaction's header.
pub const MIN_PAYLOAD: usize = TxnHeader::MIN;

/// What [`file::snapshot`](crate::file::snapshot) can find behind the first seal, at the most: a
/// digest in its old form with the 16 digits of a number, a last zxid, and a seal each.
pub const MAX_SNAPSHOT_TAIL: usize = (8 + 4 + 4 + 16 + SNAPSHOT_SEAL) + (8 + SNAPSHOT_SEAL);

/// A seal of a snapshot, in bytes: a checksum and the string `/`.
pub const SNAPSHOT_SEAL: usize = 8 + 4 + 1;

const _: () = assert!(MIN_PAYLOAD == 32);
const _: () = assert!(MAX_SNAPSHOT_TAIL == 66);
