//! What servers of one ensemble say to each other: on the election port frames with a length, on
//! the quorum port packets without one, and in between, after a SNAP, a tree.
//!
//! Owns: the layouts. Does not know: sockets, who may say what when, what a vote or a proposal
//! means.
//!
//! Invariants: nothing here panics on what a peer sends, or allocates more than it sent. What a
//! peer cannot be told apart by (null and empty) is kept apart.

pub mod body;
pub mod config;
pub mod hello;
pub mod notification;
pub mod packet;
mod scan;
pub mod snap;

/// What a SASL exchange between servers begins with, on either port: Java's
/// `QUORUM_AUTH_MAGIC_NUMBER`, which is written there as a negative number but is none.
pub const AUTH_MAGIC: i64 = 0x5F24_3501_3501_EDCC;

/// What a peer probably speaks whose bytes make no sense here, by the first four of them: for the
/// text of an error, nothing else.
pub fn other_protocol(first: [u8; 4]) -> Option<&'static str> {
    let [a, b, c, d, ..] = AUTH_MAGIC.to_be_bytes();
    if first == [a, b, c, d] {
        return Some("SASL between servers (quorum.auth.enableSasl)");
    }
    // A handshake in any version of TLS.
    first.starts_with(&[0x16, 3]).then_some("TLS (sslQuorum)")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_protocols_are_known_by_their_beginnings() {
        assert!(other_protocol([0x5f, 0x24, 0x35, 0x01]).is_some_and(|text| text.contains("SASL")));
        assert!(other_protocol([0x16, 3, 1, 2]).is_some_and(|text| text.contains("TLS")));
        assert_eq!(other_protocol([0, 0, 0, 20]), None);
        assert_eq!(other_protocol([0x5f, 0x24, 0x35, 0x02]), None);
    }
}
