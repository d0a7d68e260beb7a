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

/// The identities of a client that a quorum packet carries, in bytes. Java has no bound here but
/// for each of the strings.
pub const PACKET_IDS_MAX: usize = 16 << 20;

/// The least frame between election ports, in bytes behind its length.
pub const ELECTION_FRAME_MIN: usize = 1;

/// The greatest frame between election ports, in bytes behind its length.
pub const ELECTION_FRAME_MAX: usize = 512 << 10;

/// The addresses in the first message of an election connection, in bytes.
pub const HELLO_ADDRESSES_MAX: usize = 2048;

const _: () = assert!(MIN_PAYLOAD == 32);
const _: () = assert!(MAX_SNAPSHOT_TAIL == 66);
