//! The ip scheme: an address, or a prefix `address/bits`.

use alloc::vec::Vec;
use core::net::IpAddr;

fn bytes(text: &str) -> Option<Vec<u8>> {
    match text.parse::<IpAddr>().ok()? {
        IpAddr::V4(v4) => Some(v4.octets().to_vec()),
        IpAddr::V6(v6) => Some(v6.octets().to_vec()),
    }
}

fn expression(text: &str) -> Option<(Vec<u8>, usize)> {
    let (address, bits) = match text.split_once('/') {
        Some((address, bits)) => (bytes(address)?, Some(bits.parse::<usize>().ok()?)),
        None => (bytes(text)?, None),
    };
    let width = address.len() * 8;
    let bits = bits.unwrap_or(width);
    (bits <= width).then_some((address, bits))
}

/// Whether an expression may stand in a list.
pub fn valid(id: &str) -> bool {
    expression(id).is_some()
}

/// Whether the client's address `id` lies within `acl`.
pub fn matches(id: &str, acl: &str) -> bool {
    let (Some(client), Some((network, bits))) = (bytes(id), expression(acl)) else {
        return false;
    };
    client.len() == network.len()
        && client.iter().zip(&network).enumerate().all(|(at, (a, b))| {
            let left = bits.saturating_sub(at * 8).min(8);
            let mask = if left == 0 { 0 } else { 0xff_u8 << (8 - left) };
            a & mask == b & mask
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefixes() {
        assert!(valid("10.0.0.1") && valid("10.0.0.0/8") && valid("::1") && valid("fe80::/10"));
        assert!(!valid("10.0.0.0/33") && !valid("10.0.0") && !valid("") && !valid("10.0.0.0/-1"));
        assert!(matches("10.1.2.3", "10.0.0.0/8") && matches("10.1.2.3", "1.2.3.4/0"));
        assert!(!matches("11.1.2.3", "10.0.0.0/8") && !matches("::1", "10.0.0.0/0"));
        assert!(matches("127.0.0.1", "127.0.0.1"));
    }
}
