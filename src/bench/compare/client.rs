//! A plain client: one session, one request at a time, blocking.
//!
//! Does not know: watches, pipelining, sessions that go on after their connection.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use jute::{Decode, Encode, Reader};
use zk_wire::OpCode;
use zk_wire::client::{
    Acl, ConnectRequest, ConnectResponse, CreateRequest, Id, PathWatchRequest, RequestHeader,
    frame, perms,
};

/// The longest reply taken.
pub const MAX_REPLY: usize = 16 << 20;

/// One request in its frame.
pub fn request(xid: i32, op: OpCode, body: &dyn Encode) -> Vec<u8> {
    let mut out = Vec::new();
    let start = frame::begin(&mut out);
    RequestHeader {
        xid,
        op: op.to_i32(),
    }
    .encode(&mut out);
    body.encode(&mut out);
    frame::finish(&mut out, start);
    out
}

/// A persistent node that everybody may do everything with.
pub fn create<'a>(path: &'a str, data: &'a [u8]) -> CreateRequest<'a> {
    CreateRequest {
        path: Some(path.into()),
        data: Some(data),
        acl: Some(vec![Acl {
            perms: perms::ALL,
            id: Id {
                scheme: Some("world".into()),
                id: Some("anyone".into()),
            },
        }]),
        flags: 0,
    }
}

/// What goes on from one connection of a session to the next.
#[derive(Debug, Clone, Copy, Default)]
pub struct Session {
    /// Its id; 0 for one that is not there yet.
    pub id: i64,
    /// What shows that it is the client's.
    pub passwd: [u8; 16],
    /// The newest transaction that the client has seen.
    pub zxid: i64,
}

/// The frame that asks for a new session.
pub fn handshake(timeout_ms: i32) -> Vec<u8> {
    resume(&Session::default(), timeout_ms)
}

/// The frame that asks for a session to go on, or for a new one.
pub fn resume(session: &Session, timeout_ms: i32) -> Vec<u8> {
    let mut out = Vec::new();
    let start = frame::begin(&mut out);
    ConnectRequest {
        protocol_version: 0,
        last_zxid_seen: session.zxid,
        timeout: timeout_ms,
        session_id: session.id,
        passwd: Some(&session.passwd),
        read_only: Some(false),
    }
    .encode(&mut out);
    frame::finish(&mut out, start);
    out
}

/// One session.
pub struct Client {
    socket: TcpStream,
}

impl Client {
    /// Opens a session; every read and write of the socket may take `wait`.
    ///
    /// # Errors
    /// When there is no server, or none that gives a session.
    pub fn open(address: SocketAddr, wait: Duration) -> io::Result<Self> {
        let socket = TcpStream::connect(address)?;
        socket.set_nodelay(true)?;
        socket.set_read_timeout(Some(wait))?;
        socket.set_write_timeout(Some(wait))?;
        let mut client = Self { socket };
        client.send(&handshake(30_000))?;
        let answer = client.frame()?;
        let answer = ConnectResponse::decode(&mut Reader::new(&answer)).map_err(invalid)?;
        if answer.session_id == 0 {
            return Err(invalid("no session given"));
        }
        Ok(client)
    }

    /// Writes bytes as they are.
    ///
    /// # Errors
    /// When the connection is gone or the server takes nothing.
    pub fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.socket.write_all(bytes)
    }

    /// The socket.
    pub fn socket(&self) -> &TcpStream {
        &self.socket
    }

    /// The next frame's content.
    ///
    /// # Errors
    /// When none comes.
    pub fn frame(&mut self) -> io::Result<Vec<u8>> {
        let mut length = [0; 4];
        self.socket.read_exact(&mut length)?;
        let length = usize::try_from(i32::from_be_bytes(length)).map_err(invalid)?;
        if length > MAX_REPLY {
            return Err(invalid("a frame that is too long"));
        }
        let mut content = vec![0; length];
        self.socket.read_exact(&mut content)?;
        Ok(content)
    }

    /// One request and its reply's error code.
    ///
    /// # Errors
    /// When no reply comes.
    pub fn ask(&mut self, op: OpCode, body: &dyn Encode) -> io::Result<i32> {
        self.send(&request(1, op, body))?;
        let reply = self.frame()?;
        let code = reply.get(12..16).and_then(|bytes| bytes.first_chunk::<4>());
        code.map(|bytes| i32::from_be_bytes(*bytes))
            .ok_or_else(|| invalid("a reply without a header"))
    }
}

fn invalid(why: impl ToString) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, why.to_string())
}

/// Reads a node in a new session, again and again until it is answered with success. Gives when.
/// An attempt that hangs does not hold up the next one: a starting Java server may take a
/// connection and never answer on it.
///
/// # Errors
/// When it was not answered before the bound, or `alive` says that there is no use in waiting.
pub fn first_read(
    address: SocketAddr,
    path: &str,
    bound: Duration,
    mut alive: impl FnMut() -> bool,
) -> Result<Instant, String> {
    /// Between two attempts, so that the server has the CPU.
    const PAUSE: Duration = Duration::from_millis(5);
    /// An attempt without an answer for so long gets company.
    const PATIENCE: Duration = Duration::from_millis(50);
    /// The longest life of an attempt; by it the number of attempts at a time is bounded too.
    const ATTEMPT: Duration = Duration::from_secs(5);
    let begin = Instant::now();
    let (send, results) = mpsc::channel();
    loop {
        let (send, node) = (send.clone(), path.to_string());
        thread::spawn(move || {
            let body = PathWatchRequest {
                path: Some(node.into()),
                watch: false,
            };
            let result = Client::open(address, ATTEMPT)
                .and_then(|mut client| client.ask(OpCode::GetData, &body))
                .map(|code| (code, Instant::now()));
            // Nobody listens when an earlier attempt has succeeded.
            let _ = send.send(result);
        });
        let why = match results.recv_timeout(PATIENCE) {
            Ok(Ok((0, at))) => return Ok(at),
            Ok(Ok((code, _))) => format!("code {code}"),
            Ok(Err(error)) => error.to_string(),
            Err(_) => "no answer".into(),
        };
        if begin.elapsed() > bound || !alive() {
            return Err(format!("{path} could not be read: {why}"));
        }
        // A server that is starting has nothing to wait on.
        thread::sleep(PAUSE);
    }
}
