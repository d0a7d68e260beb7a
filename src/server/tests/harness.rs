//! A server for one test, and a client that says exactly what it is told to.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use jute::{Decode, Encode, Reader};
use tempfile::TempDir;
use zabkeeper::boot::{Refusal, Server};
use zabkeeper::gate::{Shared, ToCore};
use zk_ops::config::{self, Sources};
use zk_wire::OpCode;
use zk_wire::client::{
    Acl, ConnectRequest, ConnectResponse, CreateRequest, DataResponse, Id, PathWatchRequest,
    ReplyHeader, RequestHeader, SetDataRequest, WatcherEvent,
};

/// Longest wait for anything; whatever takes longer has failed.
pub const BOUND: Duration = Duration::from_secs(60);

/// A server in this process.
pub struct TestServer {
    server: Option<Server>,
    /// Its folder, removed with it.
    dir: TempDir,
}

impl Drop for TestServer {
    fn drop(&mut self) {
        if let Some(server) = self.server.take() {
            server.stop();
        }
    }
}

/// Starts a server with these lines of zoo.cfg, or `-Dname=value`, besides a port and a folder.
pub fn start(settings: &[&str]) -> TestServer {
    try_start(settings).unwrap_or_else(|refusal| panic!("refused: {}", refusal.message))
}

/// Starts a server, or is refused.
pub fn try_start(settings: &[&str]) -> Result<TestServer, Refusal> {
    let dir = tempfile::tempdir().expect("a folder");
    let mut text = format!(
        "clientPort=0\nclientPortAddress=127.0.0.1\n4lw.commands.whitelist=*\nmaxClientCnxns=0\n\
         tickTime=1000\npreAllocSize=64\ndataDir={}\n",
        dir.path().join("data").display()
    );
    let mut sources = Sources::default();
    for setting in settings {
        match setting.strip_prefix("-D") {
            Some(define) => sources.defines.push(define.into()),
            None => {
                text += setting;
                text.push('\n');
            }
        }
    }
    let file = dir.path().join("zoo.cfg");
    std::fs::write(&file, text).expect("zoo.cfg is written");
    sources.arguments.push(file.display().to_string());
    let config = config::load(&sources).unwrap_or_else(|error| panic!("{error}"));
    let server = Some(Server::start(config)?);
    Ok(TestServer { server, dir })
}

impl TestServer {
    /// The server.
    pub fn server(&self) -> &Server {
        self.server.as_ref().expect("it runs")
    }

    /// The files of the log, by name.
    pub fn logs(&self) -> Vec<String> {
        let folder = std::fs::read_dir(self.dir.path().join("data/version-2"));
        let names = folder
            .expect("a folder")
            .map(|entry| entry.expect("a name"));
        let mut logs: Vec<String> = names
            .map(|entry| entry.file_name().to_string_lossy().into_owned())
            .filter(|name| name.starts_with("log."))
            .collect();
        logs.sort();
        logs
    }

    /// Where clients connect.
    pub fn address(&self) -> SocketAddr {
        self.server().address().expect("a listener")
    }

    /// What its threads share.
    pub fn shared(&self) -> &Shared {
        self.server().shared()
    }

    /// A connection without a session.
    pub fn connect(&self) -> Client {
        Client::connect(self.address())
    }

    /// A connection with a new session.
    pub fn session(&self) -> Client {
        self.connect().opened(10_000)
    }

    /// A value of `mntr`.
    pub fn metric(&self, name: &str) -> f64 {
        let text = self.word("mntr");
        let value = text.lines().find_map(|line| {
            let (key, value) = line.split_once('\t')?;
            (key.strip_prefix("zk_")? == name).then_some(value)
        });
        value
            .unwrap_or_else(|| panic!("no {name} in:\n{text}"))
            .parse()
            .unwrap_or_else(|_| panic!("{name} is no number"))
    }

    /// The answer to a four-letter word.
    pub fn word(&self, word: &str) -> String {
        word_at(self.address(), word.as_bytes())
    }

    /// Stops the core's thread until the result is dropped. Whatever it would answer waits.
    pub fn hold_core(&self) -> HeldCore {
        let (entered, wait_entered) = mpsc::channel();
        let (release, wait_release) = mpsc::channel::<()>();
        self.shared().core.push(ToCore::Look(Box::new(move |_| {
            let _ = entered.send(());
            let _ = wait_release.recv();
        })));
        wait_entered
            .recv_timeout(BOUND)
            .expect("the core takes its inputs up");
        HeldCore { _release: release }
    }

    /// Writes and sync requests without an answer, over all connections.
    pub fn in_process(&self) -> usize {
        let in_process = &self.shared().in_process;
        in_process.load(std::sync::atomic::Ordering::Relaxed)
    }
}

/// The core goes on when this is dropped.
pub struct HeldCore {
    _release: mpsc::Sender<()>,
}

/// The answer to a four-letter word, or to any other bytes, up to the end of the connection.
pub fn word_at(address: SocketAddr, word: &[u8]) -> String {
    let mut client = Client::connect(address);
    client.send_raw(word);
    let rest = client.until_closed();
    String::from_utf8(rest).expect("text")
}

/// Waits until `condition` holds, looking at it again and again: there is nothing to be notified
/// by, because the other side does not know that it is watched.
pub fn await_that(what: &str, mut condition: impl FnMut() -> bool) {
    let end = Instant::now() + BOUND;
    while !condition() {
        assert!(Instant::now() < end, "not within {BOUND:?}: {what}");
        std::thread::yield_now();
    }
}

/// A client. Reads wait for at most [`BOUND`].
pub struct Client {
    /// The socket.
    pub stream: TcpStream,
    /// The session; 0 before the handshake.
    pub session_id: i64,
    xid: i32,
}

/// A reply without its header.
#[derive(Debug)]
pub struct Answer {
    /// The header.
    pub header: ReplyHeader,
    /// What follows it.
    pub body: Vec<u8>,
}

impl Answer {
    /// The body, decoded.
    pub fn decode<'a, T: Decode<'a>>(&'a self) -> T {
        assert_eq!(self.header.err, 0, "{:?}", self.header);
        T::decode(&mut Reader::new(&self.body)).expect("a body")
    }
}

impl Client {
    /// Connects, without a handshake.
    pub fn connect(address: SocketAddr) -> Client {
        let stream = TcpStream::connect(address).expect("the server accepts");
        stream.set_read_timeout(Some(BOUND)).expect("a timeout");
        stream.set_write_timeout(Some(BOUND)).expect("a timeout");
        stream.set_nodelay(true).expect("no delay");
        Client {
            stream,
            session_id: 0,
            xid: 0,
        }
    }

    /// Sends bytes as they are. Whether they arrive is not this client's to know.
    pub fn send_raw(&mut self, bytes: &[u8]) {
        let _ = self.stream.write_all(bytes);
    }

    /// Sends one frame.
    pub fn send_frame(&mut self, frame: &[u8]) {
        let mut bytes = (frame.len() as i32).to_be_bytes().to_vec();
        bytes.extend_from_slice(frame);
        self.send_raw(&bytes);
    }

    /// One frame; `None` once the connection has ended.
    pub fn frame(&mut self) -> Option<Vec<u8>> {
        let head = self.exactly(4)?;
        let len = i32::from_be_bytes(head.try_into().expect("four bytes"));
        self.exactly(usize::try_from(len).expect("a length"))
    }

    fn exactly(&mut self, len: usize) -> Option<Vec<u8>> {
        let mut bytes = vec![0; len];
        match self.stream.read_exact(&mut bytes) {
            Ok(()) => Some(bytes),
            Err(error) if is_end(&error) => None,
            Err(error) => panic!("nothing came within {BOUND:?}: {error}"),
        }
    }

    /// Everything up to the end of the connection.
    pub fn until_closed(&mut self) -> Vec<u8> {
        let mut all = Vec::new();
        match self.stream.read_to_end(&mut all) {
            Ok(_) => {}
            Err(error) if is_end(&error) => {}
            Err(error) => panic!("still open after {BOUND:?}: {error}"),
        }
        all
    }

    /// The first frame, as a client sends it for a new session.
    pub fn handshake_frame(timeout_ms: i32) -> Vec<u8> {
        ConnectRequest {
            timeout: timeout_ms,
            passwd: Some(&[0; 16]),
            read_only: Some(false),
            ..ConnectRequest::default()
        }
        .to_vec()
    }

    /// Asks for a session; the timeout granted, or `None` if the connection ended.
    pub fn handshake(&mut self, timeout_ms: i32) -> Option<i32> {
        self.send_frame(&Client::handshake_frame(timeout_ms));
        let frame = self.frame()?;
        let response = ConnectResponse::decode(&mut Reader::new(&frame)).expect("a response");
        self.session_id = response.session_id;
        Some(response.timeout)
    }

    /// With a new session.
    pub fn opened(mut self, timeout_ms: i32) -> Client {
        self.handshake(timeout_ms).expect("a session");
        self
    }

    /// Sends a request and returns its xid.
    pub fn send(&mut self, op: OpCode, body: &dyn Encode) -> i32 {
        self.xid += 1;
        self.send_as(self.xid, op.to_i32(), &body.to_vec());
        self.xid
    }

    /// Sends a request with any xid, operation and body.
    pub fn send_as(&mut self, xid: i32, op: i32, body: &[u8]) {
        let mut frame = RequestHeader { xid, op }.to_vec();
        frame.extend_from_slice(body);
        self.send_frame(&frame);
    }

    /// The next reply or notification; `None` once the connection has ended.
    pub fn answer(&mut self) -> Option<Answer> {
        let frame = self.frame()?;
        let header = ReplyHeader::decode(&mut Reader::new(&frame)).expect("a header");
        let body = frame[header.size()..].to_vec();
        Some(Answer { header, body })
    }

    /// The reply to the request of this xid, which must be the next.
    pub fn reply(&mut self, xid: i32) -> Answer {
        let answer = self.answer().expect("a reply, not the end");
        assert_eq!(answer.header.xid, xid);
        answer
    }

    /// A notification, which must be the next: its kind and path.
    pub fn event(&mut self) -> (i32, String) {
        let answer = self.reply(-1);
        let event: WatcherEvent<'_> = answer.decode();
        (event.kind, event.path.expect("a path").into_owned())
    }

    /// A request and its reply.
    pub fn call(&mut self, op: OpCode, body: &dyn Encode) -> Answer {
        let xid = self.send(op, body);
        self.reply(xid)
    }

    /// A ping and its reply.
    pub fn ping(&mut self) {
        self.send_as(-2, OpCode::Ping.to_i32(), &[]);
        assert_eq!(self.reply(-2).header.err, 0);
    }

    /// Makes a node that anybody may do anything with.
    pub fn create(&mut self, path: &str, data: &[u8]) {
        let answer = self.call(OpCode::Create, &create(path, data));
        assert_eq!(answer.header.err, 0, "create of {path}");
    }

    /// The data of a node.
    pub fn get(&mut self, path: &str) -> Vec<u8> {
        let answer = self.call(OpCode::GetData, &watch(path, false));
        let response: DataResponse<'_> = answer.decode();
        response.data.unwrap_or_default().to_vec()
    }

    /// Sets the data of a node.
    pub fn set(&mut self, path: &str, data: &[u8]) {
        let answer = self.call(OpCode::SetData, &set(path, data));
        assert_eq!(answer.header.err, 0, "setData of {path}");
    }
}

fn is_end(error: &std::io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset | ErrorKind::BrokenPipe
    )
}

/// The body of a create that lets everybody in.
pub fn create<'a>(path: &'a str, data: &'a [u8]) -> CreateRequest<'a> {
    CreateRequest {
        path: Some(path.into()),
        data: Some(data),
        acl: Some(vec![Acl {
            perms: 31,
            id: Id {
                scheme: Some("world".into()),
                id: Some("anyone".into()),
            },
        }]),
        flags: 0,
    }
}

/// The body of a read.
pub fn watch(path: &str, watch: bool) -> PathWatchRequest<'_> {
    PathWatchRequest {
        path: Some(path.into()),
        watch,
    }
}

/// The body of a setData of any version.
pub fn set<'a>(path: &'a str, data: &'a [u8]) -> SetDataRequest<'a> {
    SetDataRequest {
        path: Some(path.into()),
        data: Some(data),
        version: -1,
    }
}

/// No body.
#[derive(Debug)]
pub struct Nothing;

impl Encode for Nothing {
    fn size(&self) -> usize {
        0
    }

    fn encode(&self, _: &mut Vec<u8>) {}
}
