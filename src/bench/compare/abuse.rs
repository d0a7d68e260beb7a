//! What bad clients do, for as long as it is asked for.
//!
//! Owns: the bytes and connections of each abuse. Does not know: what it does to anyone.
//!
//! Invariants: an abuse goes on when the server closes its connections, and ends within a second
//! or so of being told.

use std::io::{self, Read};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use jute::Encode;
use zk_wire::OpCode;
use zk_wire::client::{
    MultiOp, PathWatchRequest, RequestHeader, SetDataRequest, encode_multi, frame,
};

use crate::client::{Client, create, handshake, request};

const WAIT: Duration = Duration::from_secs(1);
const PAUSE: Duration = Duration::from_millis(10);
/// Connections that an abuse holds open, so that two of them fit the usual limit of open files.
const HELD: usize = 400;
/// Bytes of a frame that stay below the default `jute.maxbuffer`.
const LARGE: usize = 1_000_000;

/// A kind of bad client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Abuse {
    /// Nothing: what the others are compared with.
    Quiet,
    /// Garbage frames, before and after the handshake.
    Garbage,
    /// Connections that say nothing.
    Silent,
    /// Frames sent a byte at a time.
    SlowFrames,
    /// Requests for large data whose replies are never read.
    SlowReaders,
    /// Multis of ten thousand operations.
    BigMultis,
    /// Hundreds of thousands of watches.
    Watches,
    /// Paths of a hundred thousand components.
    DeepPaths,
    /// Writes of a megabyte.
    LargeWrites,
    /// Sessions with a thousand requests in flight.
    Flood,
}

impl Abuse {
    /// All, the mild ones first.
    pub const ALL: &[Abuse] = &[
        Abuse::Quiet,
        Abuse::Garbage,
        Abuse::Silent,
        Abuse::SlowFrames,
        Abuse::DeepPaths,
        Abuse::Flood,
        Abuse::LargeWrites,
        Abuse::BigMultis,
        Abuse::Watches,
        Abuse::SlowReaders,
    ];

    /// Its name in the table.
    pub fn title(self) -> &'static str {
        match self {
            Abuse::Quiet => "none",
            Abuse::Garbage => "garbage frames, 4 clients",
            Abuse::Silent => "400 connections that say nothing, renewed all the time",
            Abuse::SlowFrames => "400 connections that send a byte at a time",
            Abuse::SlowReaders => "32 sessions ask for 200 x 500 KB each and never read",
            Abuse::BigMultis => "2 sessions with multis of 10,000 set",
            Abuse::Watches => "2 sessions leave up to 500,000 watches each",
            Abuse::DeepPaths => "2 sessions ask for paths of 100,000 components",
            Abuse::LargeWrites => "2 sessions set 1 MB",
            Abuse::Flood => "2 sessions with 1,000 get in flight",
        }
    }

    fn clients(self) -> usize {
        match self {
            Abuse::Quiet => 0,
            Abuse::Garbage => 4,
            Abuse::Silent | Abuse::SlowFrames => 1,
            Abuse::SlowReaders => 32,
            Abuse::BigMultis
            | Abuse::Watches
            | Abuse::DeepPaths
            | Abuse::LargeWrites
            | Abuse::Flood => 2,
        }
    }

    fn once(self, address: SocketAddr, client: usize, going: &dyn Fn() -> bool) -> io::Result<()> {
        match self {
            Abuse::Quiet => Ok(()),
            Abuse::Garbage => garbage(address),
            Abuse::Silent => silent(address, going),
            Abuse::SlowFrames => slow_frames(address, going),
            Abuse::SlowReaders => slow_reader(address, client, going),
            Abuse::BigMultis => big_multis(address, client, going),
            Abuse::Watches => watches(address, client, going),
            Abuse::DeepPaths => deep_paths(address, going),
            Abuse::LargeWrites => large_writes(address, client, going),
            Abuse::Flood => flood(address, going),
        }
    }
}

/// An abuse that goes on until it is dropped.
pub struct Running {
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

/// Begins an abuse.
pub fn begin(abuse: Abuse, address: SocketAddr) -> Running {
    let stop = Arc::new(AtomicBool::new(false));
    let threads = (0..abuse.clients()).map(|client| {
        let stop = Arc::clone(&stop);
        thread::spawn(move || {
            let going = || !stop.load(Ordering::Relaxed);
            while going() {
                if abuse.once(address, client, &going).is_err() {
                    // Closed or refused, as it should be: again, but without spinning.
                    thread::sleep(PAUSE);
                }
            }
        })
    });
    Running {
        threads: threads.collect(),
        stop,
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            // A thread that panicked has said so; it does no more harm.
            let _ = thread.join();
        }
    }
}

fn node(client: usize) -> String {
    format!("/abuse-{client}")
}

/// Makes a node of the client's own; one that is there already will do.
fn make(session: &mut Client, client: usize, data: &[u8]) -> io::Result<()> {
    let path = node(client);
    let body = create(&path, data);
    session.ask(OpCode::Create, &body).map(drop)
}

fn read(path: String, watch: bool) -> PathWatchRequest<'static> {
    PathWatchRequest {
        path: Some(path.into()),
        watch,
    }
}

fn garbage(address: SocketAddr) -> io::Result<()> {
    let mut random = fastrand::Rng::new();
    let mut noise = [0; 256];
    random.fill(&mut noise);
    let mut bytes = Vec::new();
    match random.u8(0..6) {
        0 => bytes.extend(noise),
        1 => bytes.extend([0x7f, 0xff, 0xff, 0xff]),
        2 => bytes.extend([0xff, 0xff, 0xff, 0x00]),
        3 => {
            bytes.extend(handshake(10_000));
            let start = frame::begin(&mut bytes);
            bytes.extend(noise);
            frame::finish(&mut bytes, start);
        }
        4 => {
            // A getData whose path claims to be longer than the frame.
            bytes.extend(handshake(10_000));
            let start = frame::begin(&mut bytes);
            RequestHeader {
                xid: 1,
                op: OpCode::GetData.to_i32(),
            }
            .encode(&mut bytes);
            bytes.extend([0x10, 0, 0, 0, b'/']);
            frame::finish(&mut bytes, start);
        }
        _ => {
            let all = handshake(10_000);
            bytes.extend(&all[..random.usize(1..all.len())]);
        }
    }
    let mut socket = TcpStream::connect(address)?;
    socket.set_read_timeout(Some(PAUSE))?;
    io::Write::write_all(&mut socket, &bytes)?;
    let mut answer = [0; 512];
    // Whatever the server says or does not say, the connection ends here.
    let _ = socket.read(&mut answer);
    socket.shutdown(Shutdown::Both)
}

fn silent(address: SocketAddr, going: &dyn Fn() -> bool) -> io::Result<()> {
    let mut held = std::collections::VecDeque::new();
    while going() {
        held.push_back(TcpStream::connect(address)?);
        if held.len() > HELD {
            held.pop_front();
        }
    }
    Ok(())
}

fn slow_frames(address: SocketAddr, going: &dyn Fn() -> bool) -> io::Result<()> {
    let mut bytes = handshake(10_000);
    bytes.extend((LARGE as i32).to_be_bytes());
    bytes.extend([0; 64]);
    let mut held: Vec<Option<(TcpStream, usize)>> = Vec::new();
    held.resize_with(HELD, || None);
    while going() {
        for slot in &mut held {
            let (mut socket, sent) = match slot.take() {
                Some(open) => open,
                None => (TcpStream::connect(address)?, 0),
            };
            let byte = [*bytes.get(sent).unwrap_or(&0)];
            if io::Write::write_all(&mut socket, &byte).is_ok() {
                *slot = Some((socket, sent + 1));
            }
        }
        // The pace of the abuse: 400 bytes every tenth of a second.
        thread::sleep(10 * PAUSE);
    }
    Ok(())
}

fn slow_reader(address: SocketAddr, client: usize, going: &dyn Fn() -> bool) -> io::Result<()> {
    let mut session = Client::open(address, WAIT)?;
    make(&mut session, client, &[b'x'; LARGE / 2])?;
    let mut bytes = Vec::new();
    for xid in 1..=200 {
        bytes.extend(request(xid, OpCode::GetData, &read(node(client), false)));
    }
    session.send(&bytes)?;
    while going() {
        // Nothing is read: that is the abuse.
        thread::sleep(PAUSE);
    }
    Ok(())
}

fn big_multis(address: SocketAddr, client: usize, going: &dyn Fn() -> bool) -> io::Result<()> {
    const OPERATIONS: usize = 10_000;
    let mut session = Client::open(address, 30 * WAIT)?;
    make(&mut session, client, b"")?;
    let path = node(client);
    let operation = MultiOp::SetData(SetDataRequest {
        path: Some(path.as_str().into()),
        data: Some(b"0123456789"),
        version: -1,
    });
    let operations = vec![operation; OPERATIONS];
    let mut bytes = Vec::new();
    let start = frame::begin(&mut bytes);
    RequestHeader {
        xid: 1,
        op: OpCode::Multi.to_i32(),
    }
    .encode(&mut bytes);
    encode_multi(&operations, &mut bytes);
    frame::finish(&mut bytes, start);
    while going() {
        session.send(&bytes)?;
        session.frame()?;
    }
    Ok(())
}

fn watches(address: SocketAddr, client: usize, going: &dyn Fn() -> bool) -> io::Result<()> {
    const BATCH: i32 = 1_000;
    const BATCHES: i32 = 500;
    let mut session = Client::open(address, 30 * WAIT)?;
    let mut batch = 0;
    while going() {
        if batch == BATCHES {
            thread::sleep(PAUSE);
            continue;
        }
        let mut bytes = Vec::new();
        for xid in 1..=BATCH {
            let path = format!("{}/missing/{:08}", node(client), batch * BATCH + xid);
            bytes.extend(request(xid, OpCode::Exists, &read(path, true)));
        }
        session.send(&bytes)?;
        for _ in 0..BATCH {
            session.frame()?;
        }
        batch += 1;
    }
    Ok(())
}

fn deep_paths(address: SocketAddr, going: &dyn Fn() -> bool) -> io::Result<()> {
    let mut session = Client::open(address, 30 * WAIT)?;
    let path = "/a".repeat(100_000);
    let ask = request(1, OpCode::Exists, &read(path, false));
    while going() {
        session.send(&ask)?;
        session.frame()?;
    }
    Ok(())
}

fn large_writes(address: SocketAddr, client: usize, going: &dyn Fn() -> bool) -> io::Result<()> {
    let mut session = Client::open(address, 30 * WAIT)?;
    make(&mut session, client, b"")?;
    let path = node(client);
    let body = SetDataRequest {
        path: Some(path.as_str().into()),
        data: Some(&[b'x'; LARGE]),
        version: -1,
    };
    let ask = request(1, OpCode::SetData, &body);
    while going() {
        session.send(&ask)?;
        session.frame()?;
    }
    Ok(())
}

fn flood(address: SocketAddr, going: &dyn Fn() -> bool) -> io::Result<()> {
    const BATCH: i32 = 1_000;
    let mut session = Client::open(address, 30 * WAIT)?;
    let mut bytes = Vec::new();
    for xid in 1..=BATCH {
        let path = crate::server::ALWAYS_THERE.to_string();
        bytes.extend(request(xid, OpCode::GetData, &read(path, false)));
    }
    // Replies are cut only by count: the first batch says how long all are together.
    session.send(&bytes)?;
    let mut length = 0;
    for _ in 0..BATCH {
        length += 4 + session.frame()?.len();
    }
    let mut replies = vec![0; length];
    while going() {
        session.send(&bytes)?;
        session.socket().read_exact(&mut replies)?;
    }
    Ok(())
}
