//! The ip scheme: an address, or a prefix `address/bits`.

use alloc::vec::Vec;

/// An address as Java's provider reads it, which is not how Java's own `InetAddress` or anybody
/// else does: leading zeros and signs pass in each number, an IPv4 tail in IPv6 does not.
fn bytes(text: &str) -> Option<Vec<u8>> {
    if text.contains(':') {
        v6(text)
    } else {
        v4(text)
    }
}

fn v4(text: &str) -> Option<Vec<u8>> {
    let bytes: Option<Vec<u8>> = text
        .split('.')
        .map(|part| u8::try_from(part.parse::<i32>().ok()?).ok())
        .collect();
    bytes.filter(|bytes| bytes.len() == 4)
}

fn v6(text: &str) -> Option<Vec<u8>> {
    let segments = |text: &str| -> Option<Vec<u8>> {
        if text.is_empty() {
            return Some(Vec::new());
        }
        let mut bytes = Vec::new();
        for segment in text.split(':') {
            let value = i32::from_str_radix(segment, 16).ok()?;
            if segment.len() > 4 {
                return None;
            }
            bytes.extend_from_slice(&(value as u16).to_be_bytes());
        }
        Some(bytes)
    };
    let Some((front, back)) = text.split_once("::") else {
        return segments(text).filter(|bytes| bytes.len() == 16);
    };
    let (mut bytes, back) = (segments(front)?, segments(back)?);
    if bytes.len() + back.len() >= 16 {
        return None;
    }
    bytes.resize(16 - back.len(), 0);
    bytes.extend_from_slice(&back);
    Some(bytes)
}

fn expression(text: &str) -> Option<(Vec<u8>, usize)> {
    let (address, bits) = match text.split_once('/') {
        Some((address, bits)) => (bytes(address)?, Some(bits.parse::<i32>().ok()?)),
        None => (bytes(text)?, None),
    };
    let width = address.len() * 8;
    let bits = bits.map_or(Some(width), |bits| usize::try_from(bits).ok())?;
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
        assert!(matches("10.1.2.3", "010.01.+2.3") && matches("0:0:0:0:0:0:0:1", "::1"));
    }

    #[test]
    fn the_form_is_that_of_java() {
        assert!(valid("1.2.3.-0") && valid("1.2.3.4/+8") && valid("::") && valid("1::-1"));
        assert!(!valid("::ffff:1.2.3.4") && !valid("1:2:3:4:5:6:7::8") && !valid("1::2::3"));
        assert!(!valid("1.2.3.4.") && !valid("1.2.3.256") && !valid("::00001") && !valid("1::/"));
        assert!(!valid(":1::2") && !valid("1:2:3:4:5:6:7") && !valid("1.2.3.4/8/8"));
    }
}
