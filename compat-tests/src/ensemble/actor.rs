//! A peer that says what a script tells it: the other side of quorum and election ports, to see what a
//! server does with it.
//!
//! Owns: the packets by hand, an election voice that always offers the same vote, a leader's listening
//! port, and a leader that commits whatever it is asked. Does not know: any state; a script is its own
//! history. It shares no code with the codec under test.
//!
//! Invariant: no wait is unbounded.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use compat_tests::raw::{In, Out, text};

use super::client::op;
use super::limits::{DIAL, HANDSHAKE, POLL, SETTLE, TAP_POLL};
use super::tap::{TREE_END, kind};

/// Protocol version in LEADERINFO and LearnerInfo.
const PROTOCOL: i32 = 0x1_0000;
/// Version of a first election message with one address.
const HELLO_V1: i64 = -65536;
/// Type of a transaction that makes a session.
const CREATE_SESSION: i32 = -10;

/// A packet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Packet {
    /// See [`kind`].
    pub kind: i32,
    /// Its zxid.
    pub zxid: i64,
    /// Its data; `None` for null.
    pub data: Option<Vec<u8>>,
}

/// One connection of a quorum port.
#[derive(Debug)]
pub struct Link {
    stream: TcpStream,
    buf: Vec<u8>,
}

impl Link {
    fn new(stream: TcpStream) -> Result<Link, String> {
        let failed = |e: std::io::Error| format!("a link's socket: {e}");
        stream.set_nodelay(true).map_err(failed)?;
        stream.set_read_timeout(Some(TAP_POLL)).map_err(failed)?;
        Ok(Link {
            stream,
            buf: Vec::new(),
        })
    }

    /// Dials a leader.
    ///
    /// # Errors
    /// It does not take the connection.
    pub fn dial(leader: SocketAddr) -> Result<Link, String> {
        let stream =
            TcpStream::connect_timeout(&leader, DIAL).map_err(|e| format!("{leader}: {e}"))?;
        Link::new(stream)
    }

    /// Writes a packet without authinfo.
    ///
    /// # Errors
    /// The other side has gone.
    pub fn send(&mut self, kind: i32, zxid: i64, data: Option<&[u8]>) -> Result<(), String> {
        let mut out = Out::new();
        out.int(kind).long(zxid).bytes(&data.map(<[u8]>::to_vec));
        out.int(-1);
        self.raw(&out.0)
    }

    /// Writes bytes.
    ///
    /// # Errors
    /// The other side has gone.
    pub fn raw(&mut self, bytes: &[u8]) -> Result<(), String> {
        self.stream
            .write_all(bytes)
            .map_err(|e| format!("the link is gone: {e}"))
    }

    /// The next packet; nothing when none comes within `wait`.
    ///
    /// # Errors
    /// The other side has gone.
    pub fn next(&mut self, wait: Duration) -> Result<Option<Packet>, String> {
        let deadline = Instant::now() + wait;
        let mut chunk = [0u8; 16 * 1024];
        loop {
            let mut input = In::new(&self.buf);
            if let Some(packet) = whole(&mut input) {
                let used = input.position();
                self.buf.drain(..used);
                return Ok(Some(packet));
            }
            if Instant::now() > deadline {
                return Ok(None);
            }
            match self.stream.read(&mut chunk) {
                Ok(0) => return Err("the link was closed".into()),
                Ok(n) => self.buf.extend_from_slice(&chunk[..n]),
                Err(e)
                    if matches!(
                        e.kind(),
                        ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted
                    ) => {}
                Err(e) => return Err(format!("the link is gone: {e}")),
            }
        }
    }

    /// The next packet of one of these kinds; PINGs before it are passed over.
    ///
    /// # Errors
    /// Another comes, none comes, the other side has gone.
    pub fn expect(&mut self, kinds: &[i32]) -> Result<Packet, String> {
        let names: Vec<_> = kinds.iter().map(|kind| kind::name(*kind)).collect();
        loop {
            match self.next(SETTLE)? {
                Some(packet) if kinds.contains(&packet.kind) => return Ok(packet),
                Some(packet) if packet.kind == kind::PING => {}
                Some(other) => {
                    return Err(format!(
                        "{} {:#x} instead of {names:?}",
                        kind::name(other.kind),
                        other.zxid
                    ));
                }
                None => return Err(format!("no {names:?}")),
            }
        }
    }

    /// Passes over the tree after SNAP: its bytes.
    ///
    /// # Errors
    /// It does not end.
    pub fn skip_tree(&mut self) -> Result<usize, String> {
        let deadline = Instant::now() + SETTLE;
        let mut chunk = [0u8; 16 * 1024];
        loop {
            let end = self
                .buf
                .windows(TREE_END.len())
                .position(|at| at == TREE_END);
            if let Some(at) = end {
                let used = at + TREE_END.len();
                self.buf.drain(..used);
                return Ok(used);
            }
            match self.stream.read(&mut chunk) {
                Ok(n) if n > 0 => self.buf.extend_from_slice(&chunk[..n]),
                _ if Instant::now() > deadline => return Err("the tree does not end".into()),
                Ok(_) => return Err("the link was closed in the tree".into()),
                Err(_) => {}
            }
        }
    }

    /// A learner's part up to ACKEPOCH, with what it has accepted, its current epoch (-1: not counted)
    /// and its last zxid; the epoch that the leader told.
    ///
    /// # Errors
    /// The leader does not play its part.
    pub fn follow(
        &mut self,
        sid: u8,
        accepted: i64,
        current: i32,
        last: i64,
        ids: &[(&str, &str)],
    ) -> Result<i64, String> {
        let mut info = Out::new();
        info.long(i64::from(sid)).int(PROTOCOL).long(0);
        let mut out = Out::new();
        out.int(kind::FOLLOWER_INFO)
            .long(accepted << 32)
            .bytes(&Some(info.0));
        match ids {
            [] => {
                out.int(-1);
            }
            ids => {
                out.int(i32::try_from(ids.len()).unwrap_or(0));
                for (scheme, id) in ids {
                    out.bytes(&text(scheme)).bytes(&text(id));
                }
            }
        }
        self.raw(&out.0)?;
        let told = self.expect(&[kind::LEADER_INFO])?;
        self.send(kind::ACK_EPOCH, last, Some(&current.to_be_bytes()))?;
        Ok(told.zxid)
    }

    /// A leader's part up to ACKEPOCH: the learner's last zxid and its current epoch.
    ///
    /// # Errors
    /// The learner does not play its part.
    pub fn lead(&mut self, epoch: i64) -> Result<(i64, i32), String> {
        self.expect(&[kind::FOLLOWER_INFO, kind::OBSERVER_INFO])?;
        self.send(
            kind::LEADER_INFO,
            epoch << 32,
            Some(&PROTOCOL.to_be_bytes()),
        )?;
        let answer = self.expect(&[kind::ACK_EPOCH])?;
        let data = answer.data.unwrap_or_default();
        let current = In::new(&data).int().ok_or("a short ACKEPOCH")?;
        Ok((answer.zxid, current))
    }
}

fn whole(input: &mut In<'_>) -> Option<Packet> {
    let kind = input.int()?;
    let zxid = input.long()?;
    let data = input.bytes()?.map(<[u8]>::to_vec);
    for _ in 0..input.int()?.max(0) {
        input.bytes()?;
        input.bytes()?;
    }
    Some(Packet { kind, zxid, data })
}

/// A voter that offers one vote, for itself, in whatever round it is asked.
#[derive(Debug)]
pub struct Voice {
    end: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Voice {
    /// Speaks to the voter at `peer`, whose id must be smaller, as `sid` at `me`; the vote has this zxid
    /// and the epoch of it.
    pub fn new(me: SocketAddr, sid: u8, peer: SocketAddr, epoch: i64, zxid: i64) -> Voice {
        let end = Arc::new(AtomicBool::new(false));
        let ended = Arc::clone(&end);
        let thread = std::thread::spawn(move || {
            while !ended.load(Ordering::Relaxed) {
                // Polled: a peer that is not up has nothing to wait on.
                if vote(me, sid, peer, epoch, zxid, &ended).is_none() {
                    std::thread::sleep(POLL);
                }
            }
        });
        Voice {
            end,
            thread: Some(thread),
        }
    }
}

impl Drop for Voice {
    fn drop(&mut self) {
        self.end.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // A panic of the thread was printed by it.
            let _ = thread.join();
        }
    }
}

/// One connection: answers each LOOKING with the vote. Ends when the peer goes.
fn vote(
    me: SocketAddr,
    sid: u8,
    peer: SocketAddr,
    epoch: i64,
    zxid: i64,
    end: &AtomicBool,
) -> Option<()> {
    let mut stream = TcpStream::connect_timeout(&peer, DIAL).ok()?;
    stream.set_read_timeout(Some(TAP_POLL)).ok()?;
    let mut hello = Out::new();
    hello
        .long(HELLO_V1)
        .long(i64::from(sid))
        .bytes(&text(&me.to_string()));
    stream.write_all(&hello.0).ok()?;
    let mut buf = Vec::new();
    let mut chunk = [0u8; 4096];
    while !end.load(Ordering::Relaxed) {
        let mut input = In::new(&buf);
        if let Some(Some(message)) = input.bytes() {
            let mut fields = In::new(message);
            let (state, _leader, _zxid, round) = (
                fields.int()?,
                fields.long()?,
                fields.long()?,
                fields.long()?,
            );
            let used = input.position();
            buf.drain(..used);
            if state == 0 {
                let mut answer = Out::new();
                answer
                    .int(0)
                    .long(i64::from(sid))
                    .long(zxid)
                    .long(round)
                    .long(epoch)
                    // Forty bytes: the oldest form that has an epoch.
                    .int(0);
                stream.write_all(&answer.framed()).ok()?;
            }
            continue;
        }
        match stream.read(&mut chunk) {
            Ok(0) => return None,
            Ok(n) => buf.extend_from_slice(&chunk[..n]),
            Err(e)
                if matches!(
                    e.kind(),
                    ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted
                ) => {}
            Err(_) => return None,
        }
    }
    Some(())
}

/// A leader's quorum port.
#[derive(Debug)]
pub struct Port {
    listener: TcpListener,
}

impl Port {
    /// Listens.
    ///
    /// # Errors
    /// The address is taken.
    pub fn new(addr: SocketAddr) -> Result<Port, String> {
        let listener = TcpListener::bind(addr).map_err(|e| format!("{addr}: {e}"))?;
        listener
            .set_nonblocking(true)
            .map_err(|e| format!("{addr}: {e}"))?;
        Ok(Port { listener })
    }

    /// The next learner.
    ///
    /// # Errors
    /// None comes.
    pub fn accept(&self) -> Result<Link, String> {
        let deadline = Instant::now() + SETTLE;
        loop {
            match self.listener.accept() {
                Ok((stream, _)) => {
                    stream
                        .set_nonblocking(false)
                        .map_err(|e| format!("a link's socket: {e}"))?;
                    return Link::new(stream);
                }
                Err(_) if Instant::now() > deadline => return Err("no learner comes".into()),
                // Polled: std has no accept with a deadline.
                Err(_) => std::thread::sleep(POLL),
            }
        }
    }
}

/// The head of a transaction.
pub fn txn(session: i64, cxid: i32, zxid: i64, op: i32) -> Out {
    let mut out = Out::new();
    // Any time will do; it is the same on all servers.
    out.long(session)
        .int(cxid)
        .long(zxid)
        .long(1_700_000_000_000)
        .int(op);
    out
}

/// A transaction that creates a node for everybody.
pub fn create_txn(zxid: i64, path: &str, data: &str, parent_cversion: i32) -> Vec<u8> {
    let mut out = txn(0x77, 1, zxid, op::CREATE);
    out.bytes(&text(path)).bytes(&text(data));
    out.int(1)
        .int(31)
        .bytes(&text("world"))
        .bytes(&text("anyone"));
    out.bool(false).int(parent_cversion);
    out.0
}

/// A tree as it follows SNAP: no sessions, no ACLs but the open one, these nodes in this order.
pub fn tree(nodes: &[(&str, &str, i64)]) -> Vec<u8> {
    let mut out = Out::new();
    out.int(0).int(0);
    for (path, data, zxid) in nodes {
        out.bytes(&text(path)).bytes(&text(data)).long(-1);
        out.long(*zxid).long(*zxid).long(1).long(1);
        out.int(0).int(0).int(0).long(0).long(*zxid);
    }
    out.bytes(&text("/")).bytes(&text("BenWasHere"));
    out.0
}

/// A leader that commits what it is asked at once, until it is stopped or its learner goes.
#[derive(Debug)]
pub struct Reign {
    end: Arc<AtomicBool>,
    thread: JoinHandle<Result<(Link, i64), String>>,
}

impl Reign {
    /// Serves a learner that is up to date, beginning after `last`.
    pub fn new(link: Link, last: i64) -> Reign {
        let end = Arc::new(AtomicBool::new(false));
        let ended = Arc::clone(&end);
        Reign {
            end,
            thread: std::thread::spawn(move || reign(link, last, &ended)),
        }
    }

    /// Stops it: the link, and the last zxid given.
    ///
    /// # Errors
    /// The learner had gone.
    pub fn stop(self) -> Result<(Link, i64), String> {
        self.end.store(true, Ordering::Relaxed);
        self.thread.join().map_err(|_| "the actor panicked")?
    }
}

fn reign(mut link: Link, mut last: i64, end: &AtomicBool) -> Result<(Link, i64), String> {
    let mut pinged = Instant::now();
    while !end.load(Ordering::Relaxed) {
        if pinged.elapsed() > HANDSHAKE / 10 {
            pinged = Instant::now();
            link.send(kind::PING, last, None)?;
        }
        let Some(packet) = link.next(TAP_POLL)? else {
            continue;
        };
        if packet.kind != kind::REQUEST {
            continue;
        }
        let data = packet.data.unwrap_or_default();
        let mut input = In::new(&data);
        let (Some(session), Some(cxid), Some(op)) = (input.long(), input.int(), input.int()) else {
            return Err("a short REQUEST".into());
        };
        if op == op::SYNC {
            link.send(7, 0, None)?;
            continue;
        }
        last += 1;
        let mut body = txn(session, cxid, last, op);
        match op {
            CREATE_SESSION => body.0.extend_from_slice(input.rest()),
            op::CLOSE_SESSION => {
                body.int(0);
            }
            other => return Err(format!("the actor commits no {other}")),
        }
        link.send(kind::PROPOSAL, last, Some(&body.0))?;
        link.send(kind::COMMIT, last, None)?;
    }
    Ok((link, last))
}
