//! The handshake. The trailing `readOnly` byte came with ZooKeeper 3.4: a client that does not
//! send it gets a reply without it, so its presence is part of the value.

use alloc::vec::Vec;

use jute::{Buf, Decode, Encode, Error, Reader};

/// The first frame of a client.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ConnectRequest<'a> {
    /// 0; servers do not look.
    pub protocol_version: i32,
    /// A server that is behind this zxid closes the connection.
    pub last_zxid_seen: i64,
    /// The session timeout wished for, ms.
    pub timeout: i32,
    /// The session to go on with; 0 for a new one.
    pub session_id: i64,
    /// The password of the session to go on with.
    pub passwd: Buf<'a>,
    /// Whether a read-only server will do; `None` where the client did not send the byte.
    pub read_only: Option<bool>,
}

/// The first frame of a server.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ConnectResponse<'a> {
    /// 0.
    pub protocol_version: i32,
    /// The session timeout granted, ms; 0 when the session is gone or the password wrong.
    pub timeout: i32,
    /// The session; 0 as above.
    pub session_id: i64,
    /// The password of the session; 16 zero bytes as above.
    pub passwd: Buf<'a>,
    /// Whether the server is read-only; `None` to leave the byte out, as the request did.
    pub read_only: Option<bool>,
}

fn decode_tail(r: &mut Reader<'_>) -> Result<Option<bool>, Error> {
    if r.remaining() == 0 {
        Ok(None)
    } else {
        bool::decode(r).map(Some)
    }
}

impl<'a> Decode<'a> for ConnectRequest<'a> {
    const MIN: usize = 28;
    fn decode(r: &mut Reader<'a>) -> Result<Self, Error> {
        Ok(ConnectRequest {
            protocol_version: i32::decode(r)?,
            last_zxid_seen: i64::decode(r)?,
            timeout: i32::decode(r)?,
            session_id: i64::decode(r)?,
            passwd: r.buffer()?,
            read_only: decode_tail(r)?,
        })
    }
}

impl Encode for ConnectRequest<'_> {
    fn size(&self) -> usize {
        24 + self.passwd.size() + usize::from(self.read_only.is_some())
    }
    fn encode(&self, out: &mut Vec<u8>) {
        self.protocol_version.encode(out);
        self.last_zxid_seen.encode(out);
        self.timeout.encode(out);
        self.session_id.encode(out);
        self.passwd.encode(out);
        out.extend(self.read_only.map(u8::from));
    }
}

impl<'a> Decode<'a> for ConnectResponse<'a> {
    const MIN: usize = 20;
    fn decode(r: &mut Reader<'a>) -> Result<Self, Error> {
        Ok(ConnectResponse {
            protocol_version: i32::decode(r)?,
            timeout: i32::decode(r)?,
            session_id: i64::decode(r)?,
            passwd: r.buffer()?,
            read_only: decode_tail(r)?,
        })
    }
}

impl Encode for ConnectResponse<'_> {
    fn size(&self) -> usize {
        16 + self.passwd.size() + usize::from(self.read_only.is_some())
    }
    fn encode(&self, out: &mut Vec<u8>) {
        self.protocol_version.encode(out);
        self.timeout.encode(out);
        self.session_id.encode(out);
        self.passwd.encode(out);
        out.extend(self.read_only.map(u8::from));
    }
}
