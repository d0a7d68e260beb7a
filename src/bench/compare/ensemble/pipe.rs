//! A connection with many requests in flight, blocking: a session that can go on at another server.
//!
//! Owns: the socket and the bytes of frames that have not come whole.
//!
//! Does not know: what is asked for, or when to try again.

use std::fmt;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use jute::{Decode, Reader};
use zk_wire::client::frame::{Cut, cut};
use zk_wire::client::{ConnectResponse, ReplyHeader};

use crate::client::{MAX_REPLY, Session, resume};

/// The session timeout asked for, ms.
const TIMEOUT_MS: i32 = 30_000;
/// A server that has not answered a handshake for so long is left for the next one.
const PATIENCE: Duration = Duration::from_millis(500);
/// The longest wait of [`Pipe::receive`].
const SLICE: Duration = Duration::from_millis(100);
/// Bytes read at once.
const CHUNK: usize = 64 * 1024;
/// Bytes of a reply before its body.
const HEADER: usize = 4 + 8 + 4;

/// Why there is no connection.
#[derive(Debug)]
pub enum Refusal {
    /// The server is not there, or serves nobody now.
    Away(io::Error),
    /// The server says that the session is no more.
    Expired,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Refusal::Away(error) => write!(f, "not served: {error}"),
            Refusal::Expired => f.write_str("the session has expired"),
        }
    }
}

/// One reply.
#[derive(Debug)]
pub struct Reply<'a> {
    /// Its header.
    pub header: ReplyHeader,
    /// What follows it.
    pub body: &'a [u8],
}

impl Reply<'_> {
    /// The data of a getData reply.
    pub fn data(&self) -> Option<&[u8]> {
        let (length, rest) = self.body.split_first_chunk::<4>()?;
        rest.get(..usize::try_from(i32::from_be_bytes(*length)).ok()?)
    }
}

/// One connection of a session.
#[derive(Debug)]
pub struct Pipe {
    socket: TcpStream,
    unread: Vec<u8>,
    chunk: Vec<u8>,
}

impl Pipe {
    /// Connects, and goes on with the session, or begins one.
    ///
    /// # Errors
    /// When the server does not take it.
    pub fn open(address: SocketAddr, session: &mut Session) -> Result<Self, Refusal> {
        let connect = || -> io::Result<Self> {
            let mut socket = TcpStream::connect_timeout(&address, PATIENCE)?;
            socket.set_nodelay(true)?;
            socket.set_read_timeout(Some(PATIENCE))?;
            socket.set_write_timeout(Some(PATIENCE))?;
            socket.write_all(&resume(session, TIMEOUT_MS))?;
            Ok(Self {
                socket,
                unread: Vec::new(),
                chunk: vec![0; CHUNK],
            })
        };
        let mut pipe = connect().map_err(Refusal::Away)?;
        let mut granted = None;
        while granted.is_none() {
            let more = pipe.receive_frames(|content| {
                let answer = ConnectResponse::decode(&mut Reader::new(content));
                let answer = answer.map_err(|error| invalid(&error.to_string()))?;
                let passwd = answer.passwd.and_then(|bytes| bytes.first_chunk::<16>());
                granted = Some((answer.session_id, answer.timeout, passwd.copied()));
                Ok(())
            });
            match more {
                Ok(true) => {}
                Ok(false) => return Err(Refusal::Away(ErrorKind::TimedOut.into())),
                Err(error) => return Err(Refusal::Away(error)),
            }
        }
        match granted {
            Some((id, timeout, Some(passwd))) if id != 0 && timeout > 0 => {
                session.id = id;
                session.passwd = passwd;
                let slice = pipe.socket.set_read_timeout(Some(SLICE));
                slice.map(|()| pipe).map_err(Refusal::Away)
            }
            _ => Err(Refusal::Expired),
        }
    }

    /// Another handle for writing.
    ///
    /// # Errors
    /// When the system has none.
    pub fn writer(&self) -> io::Result<TcpStream> {
        self.socket.try_clone()
    }

    /// Writes requests.
    ///
    /// # Errors
    /// When the connection is gone or the server takes nothing.
    pub fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.socket.write_all(bytes)
    }

    /// Waits a short time for replies and gives each to `each`. False when nothing came.
    ///
    /// # Errors
    /// When the connection is gone, and those of `each`.
    pub fn receive(
        &mut self,
        mut each: impl FnMut(Reply<'_>) -> io::Result<()>,
    ) -> io::Result<bool> {
        self.receive_frames(|content| {
            let header = ReplyHeader::decode(&mut Reader::new(content));
            let header = header.map_err(|error| invalid(&error.to_string()))?;
            let body = content.get(HEADER..).unwrap_or_default();
            each(Reply { header, body })
        })
    }

    fn receive_frames(
        &mut self,
        mut each: impl FnMut(&[u8]) -> io::Result<()>,
    ) -> io::Result<bool> {
        match self.socket.read(&mut self.chunk) {
            Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
            Ok(count) => self.unread.extend_from_slice(&self.chunk[..count]),
            Err(error)
                if matches!(
                    error.kind(),
                    ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted
                ) =>
            {
                return Ok(false);
            }
            Err(error) => return Err(error),
        }
        let mut rest = self.unread.as_slice();
        loop {
            match cut(rest, MAX_REPLY) {
                Cut::Incomplete(_) => break,
                Cut::Frame(range) => {
                    each(&rest[range.clone()])?;
                    rest = &rest[range.end..];
                }
                Cut::Bad(length) => return Err(invalid(&format!("a frame of {length} bytes"))),
            }
        }
        let done = self.unread.len() - rest.len();
        self.unread.drain(..done);
        Ok(true)
    }
}

/// An answer that cannot be right.
pub fn invalid(why: &str) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, why)
}
