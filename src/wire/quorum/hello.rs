//! The first message of an election connection: who dials, and where that server listens.
//!
//! Owns: the three layouts. Does not know: which of two connections stays, or names and their
//! addresses.
//!
//! Invariants: what is written is one buffer, to be sent in one write: Java takes whatever its
//! first read of the addresses gives for all of them. An address that everybody has (`0.0.0.0`,
//! `::`) is of no use to another server and is left out (ZOOKEEPER-2164).

use alloc::borrow::ToOwned;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use core::net::IpAddr;

use jute::{Encode, decode_text, encode_buffer};

use crate::limits::HELLO_ADDRESSES_MAX;

/// Opens a message with one address.
const V1: i64 = -65536;

/// Opens a message with any number of addresses.
const V2: i64 = -65535;

/// Bytes in front of the addresses: version, server id, length.
const HEAD: usize = 8 + 8 + 4;

/// Between addresses.
const SEPARATOR: char = '|';

/// The layout of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HelloVersion {
    /// A server id alone; before 3.5.
    Bare,
    /// With an address.
    V1,
    /// With any number of them; sent where `multiAddress.enabled` is set.
    V2,
}

/// Who dials.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hello {
    /// Its id; [`i64::MAX`] of a server that has none.
    pub sid: i64,
    /// Where its election port is: hosts (an IPv6 address without brackets) and ports.
    pub addresses: Vec<(String, u16)>,
    /// The layout.
    pub version: HelloVersion,
}

/// Why bytes are no first message. The connection is then to be closed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HelloError {
    /// No layout has this number.
    Version(i64),
    /// The addresses have a length below 1 or above [`HELLO_ADDRESSES_MAX`].
    Length(i32),
    /// This is not a host and a port.
    Address(String),
}

impl fmt::Display for HelloError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            HelloError::Version(version) => {
                write!(f, "first message of unknown version {version}")
            }
            HelloError::Length(length) => {
                write!(f, "first message with addresses of {length} bytes")
            }
            HelloError::Address(address) => {
                write!(f, "first message with address {address:?}, not host:port")
            }
        }
    }
}

impl core::error::Error for HelloError {}

impl Hello {
    /// Reads a message from the front of what was received so far, and how many bytes it took;
    /// `None` when not all of it is there.
    ///
    /// # Errors
    /// See [`HelloError`].
    pub fn decode(input: &[u8]) -> Result<Option<(Hello, usize)>, HelloError> {
        let Some(first) = input.first_chunk::<8>().copied().map(i64::from_be_bytes) else {
            return Ok(None);
        };
        let version = match first {
            0.. => {
                let hello = Hello {
                    sid: first,
                    addresses: Vec::new(),
                    version: HelloVersion::Bare,
                };
                return Ok(Some((hello, 8)));
            }
            V1 => HelloVersion::V1,
            V2 => HelloVersion::V2,
            _ => return Err(HelloError::Version(first)),
        };
        let Some((head, rest)) = input.split_first_chunk::<HEAD>() else {
            return Ok(None);
        };
        let [_, _, _, _, _, _, _, _, sid @ .., a, b, c, d] = *head;
        let stated = i32::from_be_bytes([a, b, c, d]);
        let length = match usize::try_from(stated) {
            Ok(length @ 1..=HELLO_ADDRESSES_MAX) => length,
            _ => return Err(HelloError::Length(stated)),
        };
        let Some(text) = rest.get(..length) else {
            return Ok(None);
        };
        let hello = Hello {
            sid: i64::from_be_bytes(sid),
            addresses: addresses(&decode_text(text))?,
            version,
        };
        Ok(Some((hello, HEAD + length)))
    }
}

/// The message of server `sid`: with all its addresses if `multi`, else with the first. A host
/// is a name or an IP address, without brackets.
///
/// # Panics
/// When the addresses are above 2^31-1 bytes. (Above [`HELLO_ADDRESSES_MAX`], or none, they are
/// refused by who reads them.)
pub fn encode<H: AsRef<str>>(sid: i64, addresses: &[(H, u16)], multi: bool) -> Vec<u8> {
    let (version, count) = if multi {
        (V2, addresses.len())
    } else {
        (V1, 1)
    };
    let mut text = String::new();
    for (host, port) in addresses.iter().take(count) {
        if !text.is_empty() {
            text.push(SEPARATOR);
        }
        let host = host.as_ref();
        text += &if host.contains(':') {
            format!("[{host}]:{port}")
        } else {
            format!("{host}:{port}")
        };
    }
    let mut out = Vec::with_capacity(HEAD + text.len());
    version.encode(&mut out);
    sid.encode(&mut out);
    encode_buffer(text.as_bytes(), &mut out);
    out
}

/// The addresses of a message, but for those that everybody has. As in Java, separators at the
/// end are ignored.
fn addresses(text: &str) -> Result<Vec<(String, u16)>, HelloError> {
    let text = text.trim_end_matches(SEPARATOR);
    if text.is_empty() {
        return Ok(Vec::new());
    }
    let mut found = Vec::new();
    for address in text.split(SEPARATOR) {
        let (host, port) =
            host_and_port(address).ok_or_else(|| HelloError::Address(address.to_owned()))?;
        if !is_wildcard(host) {
            found.push((host.to_owned(), port));
        }
    }
    Ok(found)
}

fn host_and_port(address: &str) -> Option<(&str, u16)> {
    let (host, port) = match address.strip_prefix('[') {
        Some(rest) => rest.split_once("]:")?,
        None => address.split_once(':')?,
    };
    // No sign, which this parser would take.
    let digits = port.bytes().all(|b| b.is_ascii_digit());
    digits.then(|| port.parse().ok().map(|port| (host, port)))?
}

fn is_wildcard(host: &str) -> bool {
    host.parse::<IpAddr>()
        .is_ok_and(|ip| ip.to_canonical().is_unspecified())
}

#[cfg(test)]
mod tests {
    use alloc::vec;

    use super::*;

    fn message(version: i64, sid: i64, text: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        version.encode(&mut out);
        sid.encode(&mut out);
        encode_buffer(text, &mut out);
        out
    }

    fn read(text: &str) -> Result<Vec<(String, u16)>, HelloError> {
        let bytes = message(V2, 7, text.as_bytes());
        let (hello, taken) = Hello::decode(&bytes)?.expect("all of it is there");
        assert_eq!((hello.sid, taken), (7, bytes.len()));
        Ok(hello.addresses)
    }

    #[test]
    fn what_is_written_is_read() {
        let hosts = [("zk-1.example", 3888), ("::1", 1), ("10.0.0.1", 65535)];
        for (multi, version, count) in [(false, HelloVersion::V1, 1), (true, HelloVersion::V2, 3)] {
            let bytes = encode(5, &hosts, multi);
            let expected = Hello {
                sid: 5,
                addresses: hosts[..count]
                    .iter()
                    .map(|(host, port)| ((*host).to_owned(), *port))
                    .collect(),
                version,
            };
            for end in 0..bytes.len() {
                assert_eq!(Hello::decode(&bytes[..end]), Ok(None), "{end}");
            }
            let longer = [&bytes[..], &[1, 2, 3]].concat();
            assert_eq!(Hello::decode(&longer), Ok(Some((expected, bytes.len()))));
        }
        assert_eq!(
            encode(1, &[("a", 2)], false),
            [
                0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 3, b'a',
                b':', b'2'
            ]
        );
    }

    #[test]
    fn a_number_alone_is_an_id() {
        for sid in [0, 1, i64::MAX] {
            let hello = Hello {
                sid,
                addresses: Vec::new(),
                version: HelloVersion::Bare,
            };
            let bytes = [&sid.to_be_bytes()[..], &[9]].concat();
            assert_eq!(Hello::decode(&bytes), Ok(Some((hello, 8))));
            assert_eq!(Hello::decode(&bytes[..7]), Ok(None));
        }
        for version in [-1, -65534, -65537, i64::MIN] {
            let error = Err(HelloError::Version(version));
            assert_eq!(Hello::decode(&version.to_be_bytes()), error);
        }
    }

    #[test]
    fn lengths_are_judged_before_the_bytes_come() {
        for length in [0, -1, 2049, i32::MAX, i32::MIN] {
            let mut bytes = message(V1, 1, b"");
            bytes.truncate(16);
            length.encode(&mut bytes);
            assert_eq!(Hello::decode(&bytes), Err(HelloError::Length(length)));
        }
        let longest = vec![b'a'; 2046];
        let text = [&longest[..], b":1"].concat();
        let hello = Hello::decode(&message(V1, 1, &text)).unwrap().unwrap().0;
        assert_eq!(hello.addresses[0].0.len(), 2046);
    }

    #[test]
    fn addresses_that_everybody_has_are_left_out() {
        for text in [
            "0.0.0.0:1",
            "[::]:1",
            "[0:0:0:0:0:0:0:0]:1",
            "[::ffff:0.0.0.0]:1",
            "|",
        ] {
            assert_eq!(read(text), Ok(vec![]), "{text}");
        }
        let a = vec![("a".to_owned(), 1)];
        assert_eq!(read("0.0.0.0:1|a:1|[::]:1"), Ok(a.clone()));
        assert_eq!(read("a:1||"), Ok(a));
        let ip = vec![("::1".to_owned(), 2)];
        assert_eq!(read("[::1]:2"), Ok(ip));
    }

    #[test]
    fn other_addresses_are_refused() {
        for text in [
            "a", "a:", "a:x", "a:1:2", "::1:3888", "[::1]", "[::1]3", "[::1]:", "[::1:3",
            "a:65536", "a:-1", "a:+1", "a: 1",
        ] {
            let error = Err(HelloError::Address(text.to_owned()));
            assert_eq!(read(text), error, "{text}");
        }
        assert_eq!(read("|a:1"), Err(HelloError::Address(String::new())));
        // What is no UTF-8 is a name that nobody has.
        let bytes = message(V1, 1, b"\xff:1");
        let (hello, _) = Hello::decode(&bytes).unwrap().unwrap();
        assert_eq!(hello.addresses, [("\u{fffd}".to_owned(), 1)]);
    }
}
