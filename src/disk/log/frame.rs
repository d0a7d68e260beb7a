//! What the log needs of Java's framing beyond [`zk_wire::file::txn_log`], which owns it.

use jute::Decode;
use zk_wire::file::txn_log;
use zk_wire::txn::TxnHeader;

pub use txn_log::{OVERHEAD, PREFIX, checksum};

/// Bytes before the first record.
pub const FILE_HEADER: usize = txn_log::HEADER_LEN;

/// The first bytes of every segment.
pub fn file_header() -> Vec<u8> {
    jute::Encode::to_vec(&txn_log::HEADER)
}

/// The zxid of a payload; `None` when it is too short to hold a transaction header.
pub fn zxid(payload: &[u8]) -> Option<i64> {
    TxnHeader::decode(&mut jute::Reader::new(payload))
        .ok()
        .map(|header| header.zxid)
}

/// Checksum and length at the start of a frame, unproven.
pub fn prefix(bytes: &[u8]) -> Option<(u64, i32)> {
    let [a, b, c, d, e, f, g, h, i, j, k, l] = *bytes.first_chunk::<PREFIX>()?;
    Some((
        u64::from_be_bytes([a, b, c, d, e, f, g, h]),
        i32::from_be_bytes([i, j, k, l]),
    ))
}

/// True when `next` may stand behind `last` in a log: the next counter of the same epoch, or the
/// first of a later epoch.
pub fn follows(last: i64, next: i64) -> bool {
    last.checked_add(1) == Some(next) || (next >> 32 > last >> 32 && next & 0xffff_ffff == 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn successors() {
        assert!(follows(0, 1));
        assert!(follows(7, 8));
        assert!(!follows(7, 9));
        assert!(!follows(7, 7));
        assert!(!follows(7, 6));
        assert!(follows(7, (1 << 32) | 1));
        assert!(follows((1 << 32) | 9, (5 << 32) | 1));
        assert!(!follows((1 << 32) | 9, (5 << 32) | 2));
        assert!(!follows((5 << 32) | 9, (1 << 32) | 1));
        assert!(follows(0xffff_ffff, 1 << 32));
        assert!(!follows(i64::MAX, i64::MIN));
    }
}
