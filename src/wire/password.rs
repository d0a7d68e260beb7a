//! The password of a session. It is computed from the session id alone, so that any server can
//! check it; nothing is stored and nothing is secret.

/// What the id is mixed with. Part of the protocol: other servers of the ensemble use the same.
const SECRET: i64 = 0xB341_5C00;

/// The generator of `java.util.Random`: multiplier, increment and the width of its state.
const MULTIPLIER: u64 = 0x5_DEEC_E66D;
const INCREMENT: u64 = 0xB;
const STATE: u64 = (1 << 48) - 1;

/// The 16 bytes that `java.util.Random(session_id ^ SECRET).nextBytes` makes. Only the low 48 bits
/// of the id count. (Id 0 is never to be accepted, whatever its password.)
pub fn derive(session_id: i64) -> [u8; 16] {
    let mut state = ((session_id ^ SECRET) as u64 ^ MULTIPLIER) & STATE;
    let mut password = [0; 16];
    for chunk in password.chunks_exact_mut(4) {
        state = (state.wrapping_mul(MULTIPLIER) + INCREMENT) & STATE;
        chunk.copy_from_slice(&((state >> 16) as u32).to_le_bytes());
    }
    password
}

#[cfg(test)]
mod tests {
    use super::derive;

    fn hex(id: i64) -> alloc::string::String {
        derive(id)
            .iter()
            .map(|b| alloc::format!("{b:02x}"))
            .collect()
    }

    #[test]
    fn known_passwords() {
        assert_eq!(hex(1), "054cc74a37327db215e702e20c73f005");
        assert_eq!(
            hex(0x0100_abcd_ef12_0000),
            "9c4f63baf93e340eda515fa06afeb902"
        );
    }

    #[test]
    fn only_48_bits_count() {
        assert_eq!(derive(5), derive(5 | 1 << 48));
        assert_ne!(derive(5), derive(5 | 1 << 47));
    }
}
