//! Values of the store: what stands behind each key, byte for byte.
//!
//! A node's row is one byte of flags and only those fields that are not what they usually are:
//! most nodes were never changed since their creation, have no owner and no children. Numbers
//! are variable-length (7 bits a byte, the low ones first, signed ones zigzag); zxids and times
//! are differences to the ones of the creation.
//!
//! Golden rows in `fixtures/store` keep this format; a change of it needs a new
//! [`super::FORMAT_VERSION`].

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use zk_core::acl::{AclId, Entry, List};
use zk_core::tree::Row;
use zk_wire::stat::StatPersisted;

use crate::error::{Error, Result};

/// The node has data (possibly none of it, but not null).
const DATA: u8 = 1;
/// The stored owner is not 0.
const OWNER: u8 = 1 << 1;
/// The data was set since the creation: mzxid or mtime differ from czxid or ctime.
const MODIFIED: u8 = 1 << 2;
/// pzxid differs from czxid.
const CHILDREN_CHANGED: u8 = 1 << 3;
/// A version is not 0.
const VERSIONS: u8 = 1 << 4;
/// There are children.
const CHILDREN: u8 = 1 << 5;
/// The list is another than `world:anyone:cdrwa`.
const ACL: u8 = 1 << 6;
/// All flags that this version knows.
const KNOWN: u8 = DATA | OWNER | MODIFIED | CHILDREN_CHANGED | VERSIONS | CHILDREN | ACL;

fn put_unsigned(out: &mut Vec<u8>, mut n: u64) {
    while n >= 0x80 {
        out.push(n as u8 | 0x80);
        n >>= 7;
    }
    out.push(n as u8);
}

fn put_signed(out: &mut Vec<u8>, n: i64) {
    put_unsigned(out, ((n << 1) ^ (n >> 63)) as u64);
}

/// Appends a node's row.
pub fn put_node(out: &mut Vec<u8>, row: &Row<'_>) {
    let stat = &row.stat;
    let modified = stat.mzxid != stat.czxid || stat.mtime != stat.ctime;
    let versions = stat.version != 0 || stat.cversion != 0 || stat.aversion != 0;
    let flag = |set: bool, bit: u8| if set { bit } else { 0 };
    out.push(
        flag(row.data.is_some(), DATA)
            | flag(stat.ephemeral_owner != 0, OWNER)
            | flag(modified, MODIFIED)
            | flag(stat.pzxid != stat.czxid, CHILDREN_CHANGED)
            | flag(versions, VERSIONS)
            | flag(row.children != 0, CHILDREN)
            | flag(row.acl != AclId::OPEN, ACL),
    );
    out.extend_from_slice(&row.crc.to_be_bytes());
    put_signed(out, stat.czxid);
    put_signed(out, stat.ctime);
    if stat.ephemeral_owner != 0 {
        out.extend_from_slice(&stat.ephemeral_owner.to_be_bytes());
    }
    if modified {
        put_signed(out, stat.mzxid.wrapping_sub(stat.czxid));
        put_signed(out, stat.mtime.wrapping_sub(stat.ctime));
    }
    if stat.pzxid != stat.czxid {
        put_signed(out, stat.pzxid.wrapping_sub(stat.czxid));
    }
    if versions {
        put_signed(out, stat.version.into());
        put_signed(out, stat.cversion.into());
        put_signed(out, stat.aversion.into());
    }
    if row.children != 0 {
        put_unsigned(out, row.children.into());
    }
    if row.acl != AclId::OPEN {
        put_unsigned(out, row.acl.0.into());
    }
    if let Some(data) = row.data {
        put_unsigned(out, data.len() as u64);
        out.extend_from_slice(data);
    }
}

struct Input<'a> {
    rest: &'a [u8],
}

impl<'a> Input<'a> {
    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (first, rest) = self.rest.split_first_chunk::<N>()?;
        self.rest = rest;
        Some(*first)
    }

    fn unsigned(&mut self) -> Option<u64> {
        let mut n = 0_u64;
        for shift in (0..64).step_by(7) {
            let [byte] = self.take()?;
            let bits = u64::from(byte & 0x7f);
            n |= bits << shift;
            // The tenth byte has one bit left; a last byte of 0 is a longer form of a number.
            if byte < 0x80 {
                let shortest = byte != 0 || shift == 0;
                return (shortest && bits << shift >> shift == bits).then_some(n);
            }
        }
        None
    }

    fn signed(&mut self) -> Option<i64> {
        let n = self.unsigned()?;
        Some((n >> 1) as i64 ^ -((n & 1) as i64))
    }

    fn node(&mut self) -> Option<Row<'a>> {
        let [flags] = self.take()?;
        if flags & !KNOWN != 0 {
            return None;
        }
        let has = |bit: u8| flags & bit != 0;
        let crc = u32::from_be_bytes(self.take()?);
        let (czxid, ctime) = (self.signed()?, self.signed()?);
        let mut stat = StatPersisted {
            czxid,
            mzxid: czxid,
            pzxid: czxid,
            ctime,
            mtime: ctime,
            ..StatPersisted::default()
        };
        if has(OWNER) {
            stat.ephemeral_owner = i64::from_be_bytes(self.take()?);
        }
        if has(MODIFIED) {
            stat.mzxid = czxid.wrapping_add(self.signed()?);
            stat.mtime = ctime.wrapping_add(self.signed()?);
        }
        if has(CHILDREN_CHANGED) {
            stat.pzxid = czxid.wrapping_add(self.signed()?);
        }
        if has(VERSIONS) {
            stat.version = self.signed()?.try_into().ok()?;
            stat.cversion = self.signed()?.try_into().ok()?;
            stat.aversion = self.signed()?.try_into().ok()?;
        }
        let children = if has(CHILDREN) {
            self.unsigned()?.try_into().ok()?
        } else {
            0
        };
        let acl = AclId(if has(ACL) {
            self.unsigned()?.try_into().ok()?
        } else {
            AclId::OPEN.0
        });
        let data = if has(DATA) {
            let len = usize::try_from(self.unsigned()?).ok()?;
            let (data, rest) = self.rest.split_at_checked(len)?;
            self.rest = rest;
            Some(data)
        } else {
            None
        };
        self.rest.is_empty().then_some(Row {
            stat,
            acl,
            children,
            crc,
            data,
        })
    }
}

/// Reads a node's row; the data is borrowed.
///
/// # Errors
/// [`Error::StoreCorrupt`] when the bytes are none, bytes left over among the reasons.
pub fn node(bytes: &[u8]) -> Result<Row<'_>> {
    Input { rest: bytes }
        .node()
        .ok_or_else(|| Error::StoreCorrupt {
            what: format!("a node's row of {} bytes", bytes.len()),
            why: "not a row of this format".into(),
        })
}

/// What is kept of a session beside its id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Session {
    /// Milliseconds, as first agreed.
    pub timeout: i32,
}

#[derive(Serialize, Deserialize)]
struct AclEntry {
    perms: i32,
    scheme: Box<str>,
    id: Option<Box<str>>,
}

fn encode<T: Serialize>(value: &T, what: &'static str) -> Result<Vec<u8>> {
    rmp_serde::to_vec(value).map_err(|e| Error::Store {
        action: what,
        why: e.to_string(),
    })
}

fn decode<T: DeserializeOwned>(bytes: &[u8], what: &'static str) -> Result<T> {
    let corrupt = |why: String| Error::StoreCorrupt {
        what: what.into(),
        why,
    };
    let mut rest = bytes;
    let value = rmp_serde::from_read(&mut rest).map_err(|e| corrupt(e.to_string()))?;
    if rest.is_empty() {
        Ok(value)
    } else {
        Err(corrupt(format!("{} bytes are left over", rest.len())))
    }
}

/// A session's row.
///
/// # Errors
/// None with a session that fits in memory.
pub fn put_session(session: Session) -> Result<Vec<u8>> {
    encode(&session, "encode a session")
}

/// Reads a session's row.
///
/// # Errors
/// [`Error::StoreCorrupt`].
pub fn session(bytes: &[u8]) -> Result<Session> {
    decode(bytes, "a session's row")
}

/// The row of an access control list.
///
/// # Errors
/// None with a list that fits in memory.
pub fn put_acl(list: &[Entry]) -> Result<Vec<u8>> {
    let entries: Vec<AclEntry> = list
        .iter()
        .map(|e| AclEntry {
            perms: e.perms,
            scheme: e.scheme.clone(),
            id: e.id.clone(),
        })
        .collect();
    encode(&entries, "encode an access control list")
}

/// Reads the row of an access control list.
///
/// # Errors
/// [`Error::StoreCorrupt`].
pub fn acl(bytes: &[u8]) -> Result<List> {
    let entries: Vec<AclEntry> = decode(bytes, "the row of an access control list")?;
    Ok(entries
        .into_iter()
        .map(|e| Entry {
            perms: e.perms,
            scheme: e.scheme,
            id: e.id,
        })
        .collect())
}
