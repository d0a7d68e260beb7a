//! One blocking client connection: frames out, frames in, handshake, four-letter words.
//!
//! Owns: a socket with its read buffer, and the distinction between a frame, a close and silence.
//!
//! Does not know: operations, sessions, which server is at the other end.
//!
//! Invariants: no wait is unbounded (`limits`); a reset and an orderly close are one and the same
//! [`End::Closed`], since which of them a client sees after a server closed is a race in TCP itself.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use crate::limits::{CONNECT_TIMEOUT, FOUR_LETTER_TIMEOUT, MAX_REPLY};
use crate::raw::{In, Out};

/// Why no frame came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// The server closed the connection (FIN or RST).
    Closed,
    /// Nothing came in time.
    Silent,
    /// A frame length that no server may send.
    BadLength(i32),
}

/// What the handshake answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Connected {
    /// Negotiated timeout, ms; 0 when the session was refused.
    pub timeout: i32,
    /// Session id; 0 when refused.
    pub session_id: i64,
    /// Password for the next attach.
    pub passwd: Vec<u8>,
}

/// A client connection.
#[derive(Debug)]
pub struct Conn {
    stream: TcpStream,
    buf: Vec<u8>,
    start: usize,
    ended: Option<End>,
}

impl Conn {
    /// Connects; Nagle off.
    pub fn open(addr: SocketAddr) -> std::io::Result<Self> {
        let stream = TcpStream::connect_timeout(&addr, CONNECT_TIMEOUT)?;
        stream.set_nodelay(true)?;
        Ok(Self {
            stream,
            buf: Vec::new(),
            start: 0,
            ended: None,
        })
    }

    /// Writes all of `bytes`. A connection that the server has closed takes them silently: the
    /// close shows at the next read, after the frames that came before it.
    pub fn send(&mut self, bytes: &[u8]) {
        // The write's own error says no more than "closed", which the read side reports in order.
        let _ = self.stream.write_all(bytes);
    }

    /// The next frame's payload, or why there is none within `wait`.
    pub fn frame(&mut self, wait: Duration) -> Result<Vec<u8>, End> {
        let deadline = Instant::now() + wait;
        loop {
            if let Some(frame) = self.buffered()? {
                return Ok(frame);
            }
            if let Some(end) = self.ended {
                return Err(end);
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(End::Silent);
            }
            // A zero timeout means "for ever" to the socket, hence the check above.
            if self
                .stream
                .set_read_timeout(Some(left.max(Duration::from_millis(1))))
                .is_err()
            {
                self.ended = Some(End::Closed);
                continue;
            }
            self.fill();
        }
    }

    /// Leaves, and waits until the server has noticed: it closes its side after it has forgotten the
    /// connection. What still comes is thrown away.
    pub fn hang_up(mut self, wait: Duration) {
        // Fails only when the server has closed already.
        let _ = self.stream.shutdown(Shutdown::Write);
        while self.frame(wait).is_ok() {}
    }

    fn buffered(&mut self) -> Result<Option<Vec<u8>>, End> {
        let pending = &self.buf[self.start..];
        let Some(n) = In::new(pending).int() else {
            return Ok(None);
        };
        let len = match usize::try_from(n) {
            Ok(len) if len <= MAX_REPLY => len,
            _ => return Err(End::BadLength(n)),
        };
        if pending.len() < 4 + len {
            return Ok(None);
        }
        let frame = pending[4..4 + len].to_vec();
        self.start += 4 + len;
        if self.start == self.buf.len() {
            self.buf.clear();
            self.start = 0;
        }
        Ok(Some(frame))
    }

    fn fill(&mut self) {
        let mut chunk = [0u8; 16 * 1024];
        match self.stream.read(&mut chunk) {
            Ok(0) => self.ended = Some(End::Closed),
            Ok(n) => {
                if self.start > 0 {
                    self.buf.drain(..self.start);
                    self.start = 0;
                }
                self.buf.extend_from_slice(&chunk[..n]);
            }
            Err(e)
                if matches!(
                    e.kind(),
                    ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted
                ) => {}
            Err(_) => self.ended = Some(End::Closed),
        }
    }
}

/// A ConnectRequest's payload. `read_only` `None` leaves the last byte out, as old clients do.
pub fn connect_request(
    last_zxid: i64,
    timeout: i32,
    session_id: i64,
    passwd: &crate::raw::Bytes,
    read_only: Option<bool>,
) -> Out {
    let mut out = Out::new();
    out.int(0)
        .long(last_zxid)
        .int(timeout)
        .long(session_id)
        .bytes(passwd);
    if let Some(flag) = read_only {
        out.bool(flag);
    }
    out
}

/// Reads a ConnectResponse's fields; the read-only byte may be absent.
pub fn connect_response(frame: &[u8]) -> Option<Connected> {
    let mut input = In::new(frame);
    let _version = input.int()?;
    let timeout = input.int()?;
    let session_id = input.long()?;
    let passwd = input.bytes()??.to_vec();
    Some(Connected {
        timeout,
        session_id,
        passwd,
    })
}

/// A request's payload: header, then body.
pub fn request(xid: i32, op: i32, body: &[u8]) -> Out {
    let mut out = Out::new();
    out.int(xid).int(op);
    out.0.extend_from_slice(body);
    out
}

/// The whole answer to a four-letter word.
pub fn four_letter(addr: SocketAddr, word: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect_timeout(&addr, CONNECT_TIMEOUT)?;
    stream.set_read_timeout(Some(FOUR_LETTER_TIMEOUT))?;
    stream.write_all(word.as_bytes())?;
    let mut text = Vec::new();
    let mut chunk = [0u8; 4096];
    loop {
        match stream.read(&mut chunk) {
            Ok(0) => break,
            Ok(n) => text.extend_from_slice(&chunk[..n]),
            // Java resets when its close finds unread input; what came before is the answer.
            Err(e) if e.kind() == ErrorKind::ConnectionReset && !text.is_empty() => break,
            Err(e) => return Err(e),
        }
    }
    Ok(String::from_utf8_lossy(&text).into_owned())
}
