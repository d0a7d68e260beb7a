//! Transactions. A proposal's body and a log record's payload are these same bytes: a header, a
//! body that the header's type selects, and perhaps the digest of the tree that results.
//!
//! Owns: the layouts, including two of older servers: a create without `parentCVersion` (before
//! ZOOKEEPER-1046) and a closeSession without paths (before 3.6, ZOOKEEPER-3145). Does not
//! know: what a transaction does to the tree.
//!
//! A part of a failed multi can be an error with bytes behind it: Java's leader, once it applied
//! such a multi, gives it to learners with the types of the parts changed to -1 but their bodies
//! as they were. What is behind the error (or behind any part) is ignored, as Java does.
//!
//! Invariants: the body fits the header's type (encoding asserts it); a sub-transaction of a
//! multi is never a multi.

use alloc::vec::Vec;

use jute::{Buf, Decode, Encode, Error, List, Reader, Str, encode_len, record};

use crate::OpCode;
use crate::client::Acl;

record! {
    /// Opens every transaction.
    #[derive(Copy)]
    pub struct TxnHeader {
        /// The session that asked.
        pub client_id: i64,
        /// Its xid.
        pub cxid: i32,
        /// The transaction's id.
        pub zxid: i64,
        /// When the leader prepared it, ms since 1970.
        pub time: i64,
        /// What it does; selects the body.
        pub op: i32,
    }
}

/// Bytes of a part of a multi, at the least: its type and its body's length.
const SUB_TXN_MIN: usize = 8;

/// The digest of the whole tree after a transaction, as the leader predicts it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TxnDigest {
    /// Of the method; [`digest::VERSION`](crate::digest::VERSION).
    pub version: i32,
    /// The digest.
    pub digest: u64,
}

impl Decode<'_> for TxnDigest {
    const MIN: usize = 12;
    fn decode(r: &mut Reader<'_>) -> Result<Self, Error> {
        Ok(TxnDigest {
            version: i32::decode(r)?,
            digest: u64::from_be_bytes(r.array()?),
        })
    }
}

impl Encode for TxnDigest {
    fn size(&self) -> usize {
        Self::MIN
    }
    fn encode(&self, out: &mut Vec<u8>) {
        self.version.encode(out);
        out.extend_from_slice(&self.digest.to_be_bytes());
    }
}

/// What a transaction does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TxnBody<'a> {
    /// A session begins.
    CreateSession {
        /// The session's timeout, ms.
        timeout: i32,
    },
    /// A session ends.
    CloseSession {
        /// The ephemeral nodes that go with it. `None` where the transaction does not say (a
        /// server before 3.6): then it is those that the tree knows.
        paths: List<Str<'a>>,
    },
    /// A write failed. It changes nothing, but has a zxid.
    Error {
        /// The code of the reply.
        err: i32,
    },
    /// create or create2.
    Create {
        /// [`OpCode::Create`] or [`OpCode::Create2`].
        op: OpCode,
        /// The node, suffix included.
        path: Str<'a>,
        /// Its data.
        data: Buf<'a>,
        /// Its ACL.
        acl: List<Acl<'a>>,
        /// Whether the session owns it.
        ephemeral: bool,
        /// The parent's stored cversion afterwards; -1 where an old server did not say.
        parent_cversion: i32,
    },
    /// createContainer.
    CreateContainer {
        /// The node.
        path: Str<'a>,
        /// Its data.
        data: Buf<'a>,
        /// Its ACL.
        acl: List<Acl<'a>>,
        /// The parent's stored cversion afterwards.
        parent_cversion: i32,
    },
    /// createTTL.
    CreateTtl {
        /// The node, suffix included.
        path: Str<'a>,
        /// Its data.
        data: Buf<'a>,
        /// Its ACL.
        acl: List<Acl<'a>>,
        /// The parent's stored cversion afterwards.
        parent_cversion: i32,
        /// Milliseconds.
        ttl: i64,
    },
    /// delete or deleteContainer.
    Delete {
        /// [`OpCode::Delete`] or [`OpCode::DeleteContainer`].
        op: OpCode,
        /// The node.
        path: Str<'a>,
    },
    /// setData, or reconfig as a setData of the configuration node.
    SetData {
        /// [`OpCode::SetData`] or [`OpCode::Reconfig`].
        op: OpCode,
        /// The node.
        path: Str<'a>,
        /// The new data.
        data: Buf<'a>,
        /// The new version.
        version: i32,
    },
    /// setACL.
    SetAcl {
        /// The node.
        path: Str<'a>,
        /// The new ACL.
        acl: List<Acl<'a>>,
        /// The new ACL version.
        version: i32,
    },
    /// check; inside multi only. It was checked when the transaction was made.
    Check {
        /// The node.
        path: Str<'a>,
        /// The version expected.
        version: i32,
    },
    /// multi. If any part is an error the multi failed and none is applied, though those before
    /// the error are kept.
    Multi(Vec<SubTxn<'a>>),
}

/// A part of a multi.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SubTxn<'a> {
    /// What it does; -1 for an error.
    pub op: i32,
    /// The same in full.
    pub body: TxnBody<'a>,
}

impl<'a> SubTxn<'a> {
    /// The part of a multi that does `body`.
    pub fn new(body: TxnBody<'a>) -> Self {
        SubTxn {
            op: body.op().to_i32(),
            body,
        }
    }
}

/// A whole transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Txn<'a> {
    /// Who, when, what.
    pub header: TxnHeader,
    /// What exactly.
    pub body: TxnBody<'a>,
    /// The digest of the tree afterwards. Errors have none.
    pub digest: Option<TxnDigest>,
}

/// Where a body stands: old layouts occur outside multis only, a check inside only.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Top,
    Multi,
}

impl<'a> TxnBody<'a> {
    /// The type that this body has in a header.
    pub fn op(&self) -> OpCode {
        match self {
            TxnBody::CreateSession { .. } => OpCode::CreateSession,
            TxnBody::CloseSession { .. } => OpCode::CloseSession,
            TxnBody::Error { .. } => OpCode::Error,
            TxnBody::Create { op, .. }
            | TxnBody::Delete { op, .. }
            | TxnBody::SetData { op, .. } => *op,
            TxnBody::CreateContainer { .. } => OpCode::CreateContainer,
            TxnBody::CreateTtl { .. } => OpCode::CreateTtl,
            TxnBody::SetAcl { .. } => OpCode::SetAcl,
            TxnBody::Check { .. } => OpCode::Check,
            TxnBody::Multi(_) => OpCode::Multi,
        }
    }

    fn decode(r: &mut Reader<'a>, number: i32, at: usize, place: Place) -> Result<Self, Error> {
        let unknown = Error::Value { at, value: number };
        let op = OpCode::from_i32(number).ok_or(unknown)?;
        match op {
            OpCode::Create | OpCode::Create2 => Ok(TxnBody::Create {
                op,
                path: r.string()?,
                data: r.buffer()?,
                acl: r.list()?,
                ephemeral: bool::decode(r)?,
                parent_cversion: if op == OpCode::Create
                    && place == Place::Top
                    && r.remaining() == 0
                {
                    -1
                } else {
                    i32::decode(r)?
                },
            }),
            OpCode::CreateContainer => Ok(TxnBody::CreateContainer {
                path: r.string()?,
                data: r.buffer()?,
                acl: r.list()?,
                parent_cversion: i32::decode(r)?,
            }),
            OpCode::CreateTtl => Ok(TxnBody::CreateTtl {
                path: r.string()?,
                data: r.buffer()?,
                acl: r.list()?,
                parent_cversion: i32::decode(r)?,
                ttl: i64::decode(r)?,
            }),
            OpCode::Delete | OpCode::DeleteContainer => Ok(TxnBody::Delete {
                op,
                path: r.string()?,
            }),
            OpCode::SetData => Ok(TxnBody::SetData {
                op,
                path: r.string()?,
                data: r.buffer()?,
                version: i32::decode(r)?,
            }),
            OpCode::Error => Ok(TxnBody::Error {
                err: i32::decode(r)?,
            }),
            OpCode::Reconfig if place == Place::Top => Ok(TxnBody::SetData {
                op,
                path: r.string()?,
                data: r.buffer()?,
                version: i32::decode(r)?,
            }),
            OpCode::SetAcl if place == Place::Top => Ok(TxnBody::SetAcl {
                path: r.string()?,
                acl: r.list()?,
                version: i32::decode(r)?,
            }),
            OpCode::CreateSession if place == Place::Top => Ok(TxnBody::CreateSession {
                timeout: i32::decode(r)?,
            }),
            OpCode::CloseSession if place == Place::Top => {
                if close_session_is_bare(r.rest()) {
                    return Ok(TxnBody::CloseSession { paths: None });
                }
                // Java writes no null vector here and fails on one when it applies it.
                let null = Error::Length {
                    at: r.position(),
                    length: -1,
                };
                Ok(TxnBody::CloseSession {
                    paths: Some(r.list()?.ok_or(null)?),
                })
            }
            OpCode::Check if place == Place::Multi => Ok(TxnBody::Check {
                path: r.string()?,
                version: i32::decode(r)?,
            }),
            OpCode::Multi if place == Place::Top => {
                let count = i32::decode(r)?;
                let count = usize::try_from(count).unwrap_or(0);
                // Bounded by the bytes: a part takes eight at the least.
                let mut subs = Vec::with_capacity(count.min(r.remaining() / SUB_TXN_MIN));
                for _ in 0..count {
                    let at = r.position();
                    let op = i32::decode(r)?;
                    // A null body is a length of -1 where bytes are needed.
                    let null = Error::Length {
                        at: r.position(),
                        length: -1,
                    };
                    let mut inner = r.nested()?.ok_or(null)?;
                    let body = TxnBody::decode(&mut inner, op, at, Place::Multi)?;
                    subs.push(SubTxn { op, body });
                }
                Ok(TxnBody::Multi(subs))
            }
            OpCode::Reconfig
            | OpCode::SetAcl
            | OpCode::CreateSession
            | OpCode::CloseSession
            | OpCode::Check
            | OpCode::Multi
            | OpCode::Exists
            | OpCode::GetData
            | OpCode::GetAcl
            | OpCode::GetChildren
            | OpCode::Sync
            | OpCode::Ping
            | OpCode::GetChildren2
            | OpCode::CheckWatches
            | OpCode::RemoveWatches
            | OpCode::MultiRead
            | OpCode::Auth
            | OpCode::SetWatches
            | OpCode::Sasl
            | OpCode::GetEphemerals
            | OpCode::GetAllChildrenNumber
            | OpCode::SetWatches2
            | OpCode::AddWatch
            | OpCode::WhoAmI => Err(unknown),
        }
    }
}

/// Whether a closeSession ends here, or only a digest follows: nothing is left, or exactly a
/// digest, which begins with its version 2 (two paths cannot fit the other 8 bytes).
fn close_session_is_bare(rest: &[u8]) -> bool {
    rest.is_empty() || (rest.len() == TxnDigest::MIN && rest.starts_with(&[0, 0, 0, 2]))
}

impl Encode for TxnBody<'_> {
    fn size(&self) -> usize {
        match self {
            TxnBody::CreateSession { timeout } => timeout.size(),
            TxnBody::CloseSession { paths } => match paths {
                Some(_) => paths.size(),
                None => 0,
            },
            TxnBody::Error { err } => err.size(),
            TxnBody::Create {
                op: _,
                path,
                data,
                acl,
                ephemeral,
                parent_cversion,
            } => path.size() + data.size() + acl.size() + ephemeral.size() + parent_cversion.size(),
            TxnBody::CreateContainer {
                path,
                data,
                acl,
                parent_cversion,
            } => path.size() + data.size() + acl.size() + parent_cversion.size(),
            TxnBody::CreateTtl {
                path,
                data,
                acl,
                parent_cversion,
                ttl,
            } => path.size() + data.size() + acl.size() + parent_cversion.size() + ttl.size(),
            TxnBody::Delete { op: _, path } => path.size(),
            TxnBody::SetData {
                op: _,
                path,
                data,
                version,
            } => path.size() + data.size() + version.size(),
            TxnBody::SetAcl { path, acl, version } => path.size() + acl.size() + version.size(),
            TxnBody::Check { path, version } => path.size() + version.size(),
            TxnBody::Multi(subs) => {
                4 + subs
                    .iter()
                    .map(|sub| sub.op.size() + 4 + sub.body.size())
                    .sum::<usize>()
            }
        }
    }

    fn encode(&self, out: &mut Vec<u8>) {
        match self {
            TxnBody::CreateSession { timeout } => timeout.encode(out),
            TxnBody::CloseSession { paths } => {
                if paths.is_some() {
                    paths.encode(out);
                }
            }
            TxnBody::Error { err } => err.encode(out),
            TxnBody::Create {
                op: _,
                path,
                data,
                acl,
                ephemeral,
                parent_cversion,
            } => {
                path.encode(out);
                data.encode(out);
                acl.encode(out);
                ephemeral.encode(out);
                parent_cversion.encode(out);
            }
            TxnBody::CreateContainer {
                path,
                data,
                acl,
                parent_cversion,
            } => {
                path.encode(out);
                data.encode(out);
                acl.encode(out);
                parent_cversion.encode(out);
            }
            TxnBody::CreateTtl {
                path,
                data,
                acl,
                parent_cversion,
                ttl,
            } => {
                path.encode(out);
                data.encode(out);
                acl.encode(out);
                parent_cversion.encode(out);
                ttl.encode(out);
            }
            TxnBody::Delete { op: _, path } => path.encode(out),
            TxnBody::SetData {
                op: _,
                path,
                data,
                version,
            } => {
                path.encode(out);
                data.encode(out);
                version.encode(out);
            }
            TxnBody::SetAcl { path, acl, version } => {
                path.encode(out);
                acl.encode(out);
                version.encode(out);
            }
            TxnBody::Check { path, version } => {
                path.encode(out);
                version.encode(out);
            }
            TxnBody::Multi(subs) => {
                encode_len(subs.len(), out);
                for sub in subs {
                    assert_eq!(
                        sub.op,
                        sub.body.op().to_i32(),
                        "a part of a multi fits its type"
                    );
                    sub.op.encode(out);
                    encode_len(sub.body.size(), out);
                    sub.body.encode(out);
                }
            }
        }
    }
}

impl<'a> Decode<'a> for Txn<'a> {
    const MIN: usize = TxnHeader::MIN;

    /// Reads a transaction that ends where the reader does: whether an old layout or a digest is
    /// there can only be told from what is left.
    fn decode(r: &mut Reader<'a>) -> Result<Self, Error> {
        let header = TxnHeader::decode(r)?;
        let at = r.position() - size_of::<i32>();
        let body = TxnBody::decode(r, header.op, at, Place::Top)?;
        let digest = if r.remaining() == 0 {
            None
        } else {
            Some(TxnDigest::decode(r)?)
        };
        Ok(Txn {
            header,
            body,
            digest,
        })
    }
}

impl Encode for Txn<'_> {
    fn size(&self) -> usize {
        self.header.size() + self.body.size() + self.digest.map_or(0, |digest| digest.size())
    }

    fn encode(&self, out: &mut Vec<u8>) {
        assert_eq!(
            self.header.op,
            self.body.op().to_i32(),
            "a body fits its header"
        );
        self.header.encode(out);
        self.body.encode(out);
        if let Some(digest) = self.digest {
            digest.encode(out);
        }
    }
}

/// The header of a transaction.
///
/// # Errors
/// [`Error::Eof`] for less than a header.
pub fn header_of(payload: &[u8]) -> Result<TxnHeader, Error> {
    TxnHeader::decode(&mut Reader::new(payload))
}

/// The configuration that a transaction proposes: the new content of the configuration node, as
/// text. `None` for any transaction but a whole reconfig.
pub fn reconfig_text(payload: &[u8]) -> Option<&[u8]> {
    let mut r = Reader::new(payload);
    if TxnHeader::decode(&mut r).ok()?.op != OpCode::Reconfig.to_i32() {
        return None;
    }
    let _path = r.buffer().ok()?;
    let data = r.buffer().ok()?;
    let _version = i32::decode(&mut r).ok()?;
    data
}

#[cfg(test)]
mod tests {
    use alloc::vec;

    use super::*;

    fn header(op: i32) -> TxnHeader {
        TxnHeader {
            client_id: 1,
            cxid: 2,
            zxid: 3,
            time: 4,
            op,
        }
    }

    #[test]
    fn other_types_are_refused() {
        // A check is a part of a multi only; 13 stands where the type does.
        for op in [
            0,
            3,
            4,
            6,
            8,
            9,
            10,
            11,
            12,
            13,
            17,
            18,
            22,
            100,
            107,
            i32::MAX,
        ] {
            let mut bytes = header(op).to_vec();
            bytes.extend([0; 64]);
            let error = Txn::decode(&mut Reader::new(&bytes)).unwrap_err();
            assert_eq!(error, Error::Value { at: 28, value: op });
        }
    }

    #[test]
    fn other_parts_are_refused() {
        for op in [0, 7, 14, 16, -10, -11, 9] {
            let mut bytes = header(OpCode::Multi.to_i32()).to_vec();
            encode_len(1, &mut bytes);
            op.encode(&mut bytes);
            jute::encode_buffer(&[0; 64], &mut bytes);
            let error = Txn::decode(&mut Reader::new(&bytes)).unwrap_err();
            assert_eq!(error, Error::Value { at: 36, value: op });
        }
    }

    #[test]
    fn a_part_has_a_body() {
        let mut bytes = header(OpCode::Multi.to_i32()).to_vec();
        encode_len(1, &mut bytes);
        OpCode::Delete.to_i32().encode(&mut bytes);
        Buf::None.encode(&mut bytes);
        let error = Txn::decode(&mut Reader::new(&bytes)).unwrap_err();
        assert_eq!(error, Error::Length { at: 40, length: -1 });
    }

    #[test]
    fn a_configuration_is_found_in_a_reconfig_only() {
        let text = &b"version=1"[..];
        for op in [OpCode::Reconfig, OpCode::SetData] {
            for data in [None, Some(text)] {
                let txn = Txn {
                    header: header(op.to_i32()),
                    body: TxnBody::SetData {
                        op,
                        path: Some("/zookeeper/config".into()),
                        data,
                        version: -1,
                    },
                    digest: None,
                };
                let bytes = txn.to_vec();
                let expected = data.filter(|_| op == OpCode::Reconfig);
                assert_eq!(reconfig_text(&bytes), expected);
                assert_eq!(header_of(&bytes), Ok(txn.header));
                for end in 0..bytes.len() {
                    assert_eq!(reconfig_text(&bytes[..end]), None);
                    assert_eq!(header_of(&bytes[..end]).is_ok(), end >= TxnHeader::MIN);
                }
                let digest = TxnDigest::default().to_vec();
                assert_eq!(reconfig_text(&[bytes, digest].concat()), expected);
            }
        }
    }

    #[test]
    fn a_part_takes_its_type_from_its_body() {
        let part = SubTxn::new(TxnBody::Error { err: -110 });
        assert_eq!(part.op, -1);
        let txn = Txn {
            header: header(OpCode::Multi.to_i32()),
            body: TxnBody::Multi(vec![part]),
            digest: None,
        };
        assert_eq!(Txn::decode(&mut Reader::new(&txn.to_vec())), Ok(txn));
    }

    #[test]
    #[should_panic(expected = "a body fits its header")]
    fn a_body_of_another_type_is_not_written() {
        let txn = Txn {
            header: header(1),
            body: TxnBody::Error { err: 0 },
            digest: None,
        };
        txn.to_vec();
    }
}
