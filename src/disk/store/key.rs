//! Keys of the store.
//!
//! A node's key is its depth (u32, big-endian) and its path, so that the children of one node are
//! one range and a forward scan yields parents before children. The root is depth 0 and the empty
//! path. An owner's key is the stored owner (8 bytes, big-endian) and the path.

use crate::error::{Error, Result};

/// Bytes in front of the path in a node's key.
pub const DEPTH: usize = 4;

/// Bytes in front of the path in an owner's key.
pub const OWNER: usize = 8;

/// Depth of a node: 0 for the root, whose path is empty.
pub fn depth(path: &str) -> u32 {
    path.bytes().filter(|b| *b == b'/').count() as u32
}

/// Appends a node's key.
pub fn put_node(out: &mut Vec<u8>, path: &str) {
    out.extend_from_slice(&depth(path).to_be_bytes());
    out.extend_from_slice(path.as_bytes());
}

/// A node's key.
pub fn node(path: &str) -> Vec<u8> {
    let mut out = Vec::with_capacity(DEPTH + path.len());
    put_node(&mut out, path);
    out
}

/// What all children of a node have in front of their names.
pub fn children(path: &str) -> Vec<u8> {
    let mut out = Vec::with_capacity(DEPTH + path.len() + 1);
    out.extend_from_slice(&(depth(path) + 1).to_be_bytes());
    out.extend_from_slice(path.as_bytes());
    out.push(b'/');
    out
}

/// Appends an owner's key.
pub fn put_owner(out: &mut Vec<u8>, owner: i64, path: &str) {
    out.extend_from_slice(&owner.to_be_bytes());
    out.extend_from_slice(path.as_bytes());
}

fn bad(family: &str, key: &[u8]) -> Error {
    Error::StoreCorrupt {
        what: format!("{family} key {}", key.escape_ascii()),
        why: "not a key of this format".into(),
    }
}

/// The path in a node's key.
///
/// # Errors
/// [`Error::StoreCorrupt`] when the key is none, its depth wrong among the reasons.
pub fn node_path(key: &[u8]) -> Result<&str> {
    let parts = key.split_first_chunk::<DEPTH>();
    let Some((depth_bytes, path)) = parts else {
        return Err(bad("node", key));
    };
    let path = std::str::from_utf8(path).map_err(|_| bad("node", key))?;
    if u32::from_be_bytes(*depth_bytes) == depth(path) {
        Ok(path)
    } else {
        Err(bad("node", key))
    }
}

/// Owner and path in an owner's key.
///
/// # Errors
/// [`Error::StoreCorrupt`].
pub fn owner_path(key: &[u8]) -> Result<(i64, &str)> {
    let parts = key.split_first_chunk::<OWNER>();
    let Some((owner, path)) = parts else {
        return Err(bad("owner", key));
    };
    let path = std::str::from_utf8(path).map_err(|_| bad("owner", key))?;
    Ok((i64::from_be_bytes(*owner), path))
}

/// The number that is a whole key: a session's or a list's.
///
/// # Errors
/// [`Error::StoreCorrupt`].
pub fn number<const N: usize>(family: &'static str, key: &[u8]) -> Result<[u8; N]> {
    key.try_into().map_err(|_| bad(family, key))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn children_are_one_range_and_parents_come_first() {
        let mut keys: Vec<Vec<u8>> = ["/b", "/a/x", "", "/a-b", "/a", "/a/x/y", "/a/b", "/ab/c"]
            .map(node)
            .into();
        keys.sort();
        let paths: Vec<&str> = keys.iter().map(|k| node_path(k).unwrap()).collect();
        assert_eq!(
            paths,
            ["", "/a", "/a-b", "/b", "/a/b", "/a/x", "/ab/c", "/a/x/y"]
        );
        let prefix = children("/a");
        let of_a: Vec<&str> = keys
            .iter()
            .filter(|k| k.starts_with(&prefix))
            .map(|k| node_path(k).unwrap())
            .collect();
        assert_eq!(of_a, ["/a/b", "/a/x"]);
        assert!(node("/a").starts_with(&children("")));
    }

    #[test]
    fn keys_of_another_shape_are_refused() {
        for bad in [&b""[..], b"\0\0\0", b"\0\0\0\x02/a", b"\0\0\0\x01/\xff"] {
            assert!(node_path(bad).is_err(), "{bad:?}");
        }
        assert!(owner_path(b"1234567").is_err());
        assert_eq!(owner_path(b"\0\0\0\0\0\0\0\x07/a").unwrap(), (7, "/a"));
        assert!(number::<8>("session", b"1234567").is_err());
    }
}
