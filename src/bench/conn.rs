//! One connection: bytes out, frames in.
//!
//! Owns: the socket, what could not be written yet, the beginning of a frame that has not come
//! whole, and the order of the requests in flight.
//!
//! Does not know: what any request means.
//!
//! Invariants: replies are matched with requests in the order of sending; a reply with another xid
//! is an error, never skipped.

use std::collections::VecDeque;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use mio::net::TcpStream;
use socket2::{Domain, Protocol, Socket, Type};
use zk_wire::client::frame::{Cut, cut};

use crate::limits::{MAX_FRAME, SESSIONS_PER_SOURCE};
use crate::load::Tag;

/// A request that waits for its reply.
#[derive(Debug, Clone, Copy)]
pub struct Pending {
    /// When it was sent, or was due, in the engine's nanoseconds.
    pub start: u64,
    /// Its xid.
    pub xid: i32,
    /// What the load remembers of it.
    pub tag: Tag,
}

/// How far a connection has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// The handshake has been asked for.
    Opening,
    /// A session.
    Open,
    /// No more.
    Closed,
}

/// One connection.
#[derive(Debug)]
pub struct Conn {
    /// The socket, non-blocking.
    pub socket: TcpStream,
    /// How far it has come.
    pub state: State,
    /// Requests in flight.
    pub pending: VecDeque<Pending>,
    /// The session, once open.
    pub session_id: i64,
    /// The session timeout granted, ms.
    pub timeout: i32,
    /// When something was last sent.
    pub sent: u64,
    /// When the ping in flight was sent; 0 for none.
    pub ping: u64,
    xid: i32,
    unsent: Vec<u8>,
    partial: Vec<u8>,
}

/// Begins a connection to `address`, from this source address if given.
///
/// # Errors
/// Those of the socket calls.
pub fn connect(address: SocketAddr, source: Option<Ipv4Addr>) -> io::Result<TcpStream> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::STREAM,
        Some(Protocol::TCP),
    )?;
    socket.set_nonblocking(true)?;
    socket.set_tcp_nodelay(true)?;
    if let Some(source) = source {
        socket.bind(&SocketAddr::from((source, 0)).into())?;
    }
    match socket.connect(&address.into()) {
        Ok(()) => {}
        Err(error)
            if error.raw_os_error() == Some(rustix::io::Errno::INPROGRESS.raw_os_error()) => {}
        Err(error) => return Err(error),
    }
    Ok(TcpStream::from_std(socket.into()))
}

/// The source address of the `number`th connection of `total`: many connections to the loopback
/// interface come from several of its addresses, since servers limit connections by address and
/// each address has only some 28,000 ports.
pub fn source(address: SocketAddr, number: usize, total: usize) -> Option<Ipv4Addr> {
    let IpAddr::V4(target) = address.ip() else {
        return None;
    };
    if !target.is_loopback() || total <= SESSIONS_PER_SOURCE {
        return None;
    }
    const LAST_BYTES: usize = 250;
    let group = number / SESSIONS_PER_SOURCE % (LAST_BYTES * LAST_BYTES);
    let [third, fourth] = [group / LAST_BYTES, group % LAST_BYTES];
    Some(Ipv4Addr::new(127, 0, 1 + third as u8, 1 + fourth as u8))
}

impl Conn {
    /// A connection that has nothing in flight.
    pub fn new(socket: TcpStream) -> Self {
        Self {
            socket,
            state: State::Opening,
            pending: VecDeque::new(),
            session_id: 0,
            timeout: 0,
            sent: 0,
            ping: 0,
            xid: 0,
            unsent: Vec::new(),
            partial: Vec::new(),
        }
    }

    /// The xid of the next request: 1 and up, then 1 again.
    #[inline]
    pub fn next_xid(&mut self) -> i32 {
        self.xid = self.xid.checked_add(1).unwrap_or(1);
        self.xid
    }

    /// Writes what it can of what is left and of `bytes`, keeps the rest.
    ///
    /// # Errors
    /// When the connection is gone.
    pub fn send(&mut self, bytes: &[u8], now: u64) -> io::Result<()> {
        self.sent = now;
        if !self.unsent.is_empty() {
            self.unsent.extend_from_slice(bytes);
            return self.flush();
        }
        let written = write(&mut self.socket, bytes)?;
        self.unsent.extend_from_slice(&bytes[written..]);
        Ok(())
    }

    /// Keeps bytes to be written once the connection stands.
    pub fn queue(&mut self, bytes: &[u8], now: u64) {
        self.sent = now;
        self.unsent.extend_from_slice(bytes);
    }

    /// Writes what it can of what is left.
    ///
    /// # Errors
    /// When the connection is gone.
    pub fn flush(&mut self) -> io::Result<()> {
        if self.unsent.is_empty() {
            return Ok(());
        }
        let written = write(&mut self.socket, &self.unsent)?;
        if written == self.unsent.len() {
            self.unsent.clear();
        } else {
            self.unsent.drain(..written);
        }
        Ok(())
    }

    /// Reads once into `buffer`, behind what is left of the time before. Gives the bytes to be cut
    /// into frames, and whether there may be more to read.
    ///
    /// # Errors
    /// When the connection is gone.
    pub fn read<'b>(
        &mut self,
        buffer: &'b mut Vec<u8>,
        to_end: bool,
    ) -> io::Result<(&'b [u8], bool)> {
        let kept = self.partial.len();
        if buffer.len() < kept + crate::limits::READ_CHUNK {
            buffer.resize(kept + crate::limits::READ_CHUNK, 0);
        }
        buffer[..kept].copy_from_slice(&self.partial);
        loop {
            return match self.socket.read(&mut buffer[kept..]) {
                Ok(0) => Err(ErrorKind::UnexpectedEof.into()),
                Ok(count) => {
                    // Less than asked for: the socket is empty, and will say so when it is not.
                    let more = to_end || kept + count == buffer.len();
                    self.partial.clear();
                    Ok((&buffer[..kept + count], more))
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) if error.kind() == ErrorKind::WouldBlock => Ok((&[], false)),
                Err(error) => Err(error),
            };
        }
    }

    /// Keeps the beginning of a frame for the next read.
    pub fn keep(&mut self, rest: &[u8]) {
        self.partial.extend_from_slice(rest);
    }
}

fn write(socket: &mut TcpStream, bytes: &[u8]) -> io::Result<usize> {
    let mut written = 0;
    while written < bytes.len() {
        match socket.write(&bytes[written..]) {
            Ok(0) => return Err(ErrorKind::WriteZero.into()),
            Ok(count) => written += count,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => break,
            Err(error) => return Err(error),
        }
    }
    Ok(written)
}

/// Takes the first frame off `bytes`.
///
/// # Errors
/// The length when no frame can be so long.
#[inline]
pub fn take_frame<'b>(bytes: &mut &'b [u8]) -> Result<Option<&'b [u8]>, i32> {
    match cut(bytes, MAX_FRAME) {
        Cut::Incomplete(_) => Ok(None),
        Cut::Frame(range) => {
            let content = &bytes[range.clone()];
            *bytes = &bytes[range.end..];
            Ok(Some(content))
        }
        Cut::Bad(length) => Err(length),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_connections_come_from_many_addresses() {
        let local = SocketAddr::from(([127, 0, 0, 1], 2181));
        assert_eq!(source(local, 7, 50), None);
        assert_eq!(source(local, 49, 51), Some(Ipv4Addr::new(127, 0, 1, 1)));
        assert_eq!(source(local, 50, 51), Some(Ipv4Addr::new(127, 0, 1, 2)));
        assert_eq!(
            source(local, 12_500, 20_000),
            Some(Ipv4Addr::new(127, 0, 2, 1))
        );
        let far = SocketAddr::from(([10, 0, 0, 1], 2181));
        assert_eq!(source(far, 0, 10_000), None);
    }
}
