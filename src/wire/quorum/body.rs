//! What is in the data of a packet, where that is no transaction and no text.
//!
//! Owns: the layouts. Does not know: which kind of packet has which; each says it below.
//!
//! Invariants: as in Java, bytes behind what a body needs are ignored. No body is written as null.

use alloc::vec::Vec;

use bytes::Bytes;
use jute::{Decode, Encode, Error, Reader};

/// The version of this protocol, that both sides state.
pub const PROTOCOL: i32 = 0x10000;

/// The version that a learner has that states none.
const PROTOCOL_UNSTATED: i32 = 1;

/// FOLLOWERINFO and OBSERVERINFO: who a learner is. (A null there is a server without an id.)
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LearnerInfo {
    /// Its id.
    pub sid: i64,
    /// The version of the protocol, [`PROTOCOL`]; 1 where it does not say.
    pub protocol: i32,
    /// The version of its committed configuration; 0 where it does not say.
    pub config_version: i64,
}

impl LearnerInfo {
    /// Reads it, in its form of 20 bytes or one of the older ones of 12 and 8.
    ///
    /// # Errors
    /// [`Error::Eof`] for less.
    pub fn decode(data: &[u8]) -> Result<Self, Error> {
        let mut r = Reader::new(data);
        let mut info = LearnerInfo {
            sid: i64::decode(&mut r)?,
            protocol: PROTOCOL_UNSTATED,
            config_version: 0,
        };
        if r.remaining() >= 4 {
            info.protocol = i32::decode(&mut r)?;
        }
        if r.remaining() >= 8 {
            info.config_version = i64::decode(&mut r)?;
        }
        Ok(info)
    }

    /// Its 20 bytes.
    pub fn encode(&self) -> Bytes {
        let mut out = Vec::with_capacity(20);
        self.sid.encode(&mut out);
        self.protocol.encode(&mut out);
        self.config_version.encode(&mut out);
        out.into()
    }
}

/// REQUEST: a client's write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// The client's session.
    pub session: i64,
    /// Its xid.
    pub cxid: i32,
    /// The operation.
    pub op: i32,
    /// What the client sent behind its header.
    pub body: Bytes,
}

impl Request {
    /// Bytes in front of the body.
    const HEAD: usize = 8 + 4 + 4;

    /// Reads it; the body is not copied.
    ///
    /// # Errors
    /// [`Error::Eof`].
    pub fn decode(data: &Bytes) -> Result<Self, Error> {
        let mut r = Reader::new(data);
        Ok(Request {
            session: i64::decode(&mut r)?,
            cxid: i32::decode(&mut r)?,
            op: i32::decode(&mut r)?,
            body: data.slice(Self::HEAD..),
        })
    }

    /// Its bytes.
    pub fn encode(&self) -> Bytes {
        let mut out = Vec::with_capacity(Self::HEAD + self.body.len());
        self.session.encode(&mut out);
        self.cxid.encode(&mut out);
        self.op.encode(&mut out);
        out.extend_from_slice(&self.body);
        out.into()
    }
}

/// Bytes of a session and its timeout.
const TOUCH: usize = 8 + 4;

/// PING's answer: the sessions that were alive, with their timeouts in ms. None are an empty
/// buffer, on which Java insists: a null makes it drop the connection.
pub fn encode_touches(touches: &[(i64, i32)]) -> Bytes {
    let mut out = Vec::with_capacity(TOUCH * touches.len());
    for (session, timeout_ms) in touches {
        session.encode(&mut out);
        timeout_ms.encode(&mut out);
    }
    out.into()
}

/// Reads the sessions of a PING's answer, with their timeouts in ms.
///
/// # Errors
/// [`Error::Eof`] when the last is not whole; Java then closes the connection.
pub fn decode_touches(data: &[u8]) -> Result<Vec<(i64, i32)>, Error> {
    let mut r = Reader::new(data);
    let mut touches = Vec::with_capacity(data.len() / TOUCH);
    while r.remaining() > 0 {
        touches.push((i64::decode(&mut r)?, i32::decode(&mut r)?));
    }
    Ok(touches)
}

macro_rules! bodies {
    ($(
        $(#[$meta:meta])*
        $name:ident { $($(#[$fmeta:meta])* $field:ident : $ty:ty),* }
    )*) => {$(
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub struct $name {
            $($(#[$fmeta])* pub $field: $ty,)*
        }

        impl $name {
            /// Reads it.
            ///
            /// # Errors
            /// [`Error::Eof`].
            pub fn decode(data: &[u8]) -> Result<Self, Error> {
                let mut r = Reader::new(data);
                Ok($name { $($field: <$ty>::decode(&mut r)?,)* })
            }

            /// Its bytes.
            pub fn encode(&self) -> Bytes {
                let mut out = Vec::with_capacity(0 $(+ <$ty as Decode<'_>>::MIN)*);
                $(self.$field.encode(&mut out);)*
                out.into()
            }
        }
    )*};
}

bodies! {
    /// REVALIDATE of a learner: a client asks to go on with its session here.
    Revalidate {
        /// The session.
        session: i64,
        /// Its timeout, ms.
        timeout_ms: i32
    }

    /// REVALIDATE of the leader: the answer.
    Revalidated {
        /// The session.
        session: i64,
        /// Whether it is there.
        valid: bool
    }

    /// ACKEPOCH: the epoch that the learner was in, or -1 if it had accepted the new one before:
    /// then this is no vote for it.
    AckEpoch {
        /// The epoch.
        epoch: i32
    }

    /// LEADERINFO; the new epoch is in the zxid.
    LeaderInfo {
        /// The version of the protocol, [`PROTOCOL`].
        protocol: i32
    }

    /// COMMITANDACTIVATE: who is to lead the new configuration.
    Activate {
        /// Its id.
        leader: i64
    }
}

/// INFORMANDACTIVATE: who is to lead the new configuration, and the transaction with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InformActivate {
    /// Its id.
    pub leader: i64,
    /// The transaction.
    pub payload: Bytes,
}

impl InformActivate {
    /// Reads it; the transaction is not copied.
    ///
    /// # Errors
    /// [`Error::Eof`].
    pub fn decode(data: &Bytes) -> Result<Self, Error> {
        let leader = i64::decode(&mut Reader::new(data))?;
        Ok(InformActivate {
            leader,
            payload: data.slice(size_of::<i64>()..),
        })
    }

    /// Its bytes.
    pub fn encode(&self) -> Bytes {
        let mut out = Vec::with_capacity(8 + self.payload.len());
        self.leader.encode(&mut out);
        out.extend_from_slice(&self.payload);
        out.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_learner_says_less_in_older_forms() {
        let info = LearnerInfo {
            sid: 3,
            protocol: PROTOCOL,
            config_version: 0x1_0000_0001,
        };
        let bytes = info.encode();
        assert_eq!(
            bytes[..],
            [0, 0, 0, 0, 0, 0, 0, 3, 0, 1, 0, 0, 0, 0, 0, 1, 0, 0, 0, 1]
        );
        for end in 0..bytes.len() {
            let read = LearnerInfo::decode(&bytes[..end]);
            let (protocol, config_version) = match end {
                0..8 => {
                    assert!(matches!(read, Err(Error::Eof { .. })), "{end}");
                    continue;
                }
                8..12 => (1, 0),
                _ => (PROTOCOL, 0),
            };
            let older = LearnerInfo {
                sid: 3,
                protocol,
                config_version,
            };
            assert_eq!(read, Ok(older), "{end}");
        }
        assert_eq!(LearnerInfo::decode(&bytes), Ok(info));
        assert_eq!(LearnerInfo::decode(&[&bytes[..], &[1]].concat()), Ok(info));
    }

    #[test]
    fn requests() {
        for body in [&b""[..], b"body"] {
            let request = Request {
                session: 0x0100_0000_0000_0001,
                cxid: 7,
                op: -10,
                body: Bytes::copy_from_slice(body),
            };
            let bytes = request.encode();
            assert_eq!(bytes.len(), 16 + body.len());
            assert_eq!(Request::decode(&bytes), Ok(request));
            for end in 0..16 {
                assert!(Request::decode(&bytes.slice(..end)).is_err(), "{end}");
            }
        }
    }

    #[test]
    fn no_touches_are_an_empty_buffer() {
        assert_eq!(encode_touches(&[]), Bytes::new());
        assert_eq!(decode_touches(&[]), Ok(Vec::new()));
        let touches = [(1, 4000), (-2, i32::MAX), (i64::MIN, -1)];
        let bytes = encode_touches(&touches);
        assert_eq!(bytes.len(), 36);
        for end in 0..=bytes.len() {
            let read = decode_touches(&bytes[..end]);
            if end % TOUCH == 0 {
                assert_eq!(read.as_deref(), Ok(&touches[..end / TOUCH]));
            } else {
                assert!(matches!(read, Err(Error::Eof { .. })), "{end}");
            }
        }
    }

    #[test]
    fn fixed_bodies() {
        macro_rules! check {
            ($value:expr, $type:ident, $bytes:expr) => {
                let bytes = $value.encode();
                assert_eq!(bytes[..], $bytes);
                for end in 0..bytes.len() {
                    assert!($type::decode(&bytes[..end]).is_err());
                }
                assert_eq!($type::decode(&bytes), Ok($value));
                assert_eq!($type::decode(&[&bytes[..], &[9]].concat()), Ok($value));
            };
        }
        let (session, timeout_ms) = (1, 2);
        check!(
            Revalidate {
                session,
                timeout_ms
            },
            Revalidate,
            [0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 2]
        );
        for valid in [false, true] {
            check!(
                Revalidated { session, valid },
                Revalidated,
                [0, 0, 0, 0, 0, 0, 0, 1, u8::from(valid)]
            );
        }
        check!(AckEpoch { epoch: -1 }, AckEpoch, [0xff; 4]);
        check!(LeaderInfo { protocol: PROTOCOL }, LeaderInfo, [0, 1, 0, 0]);
        check!(Activate { leader: 3 }, Activate, [0, 0, 0, 0, 0, 0, 0, 3]);
    }

    #[test]
    fn inform_and_activate() {
        let inform = InformActivate {
            leader: 2,
            payload: Bytes::from_static(b"txn"),
        };
        let bytes = inform.encode();
        assert_eq!(bytes[..], [0, 0, 0, 0, 0, 0, 0, 2, b't', b'x', b'n']);
        assert_eq!(InformActivate::decode(&bytes), Ok(inform));
        assert!(InformActivate::decode(&bytes.slice(..7)).is_err());
    }
}
