//! One connection of the quorum port: packets in, packets out.
//!
//! Owns: its socket, what waits to be sent, and how packets are cut from what comes. Does not know:
//! what a packet means, who may send it, when it is late.
//!
//! Invariants: what is sent leaves in the order in which it was given, a stream's part whole before
//! what was given meanwhile. What waits is bounded: a stream waits for room, and a link whose other
//! end lets more pile up is closed. A packet that announces a snapshot is the last that is read
//! until the snapshot is asked for.

use std::collections::VecDeque;
use std::io::IoSlice;
use std::sync::Arc;
use std::time::Instant;

use bytes::{Buf, Bytes, BytesMut};
use parking_lot::{Condvar, Mutex};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::sync::Notify;
use zk_wire::quorum::packet::{Cutter, Packet, PacketKind};
use zk_zab::ids::{LinkId, Zxid};
use zk_zab::io::In;

use super::Sink;
use super::budget::{Budget, Delivery};
use super::install::{self, SnapSinks};
use super::stream::LogRecords;
use crate::limits::{
    HEARD_EVERY, LINK_IN_BYTES, LINK_READ_CHUNK, LINK_READ_LEAST, LINK_WRITE_SLICES, STREAM_WINDOW,
};

/// What is to be sent.
#[derive(Default)]
struct Outgoing {
    /// In order; behind them comes `tail`.
    chunks: VecDeque<Bytes>,
    tail: Vec<u8>,
    /// Bytes given and not sent, those of `held` too.
    bytes: usize,
    /// Whether a stream is under way.
    streaming: bool,
    /// What was given meanwhile, and its bytes.
    held: Vec<Bytes>,
    held_bytes: usize,
    /// Where a stream has stopped that may go on.
    parked: Option<Parked>,
    /// Nothing is sent any more, because of this.
    failed: Option<String>,
    closed: bool,
}

/// A stream between two parts.
pub struct Parked {
    /// Its place in the log.
    pub records: Option<Box<dyn LogRecords>>,
    /// Everything up to here was given to the link.
    pub upto: Zxid,
}

/// The link is closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gone;

/// See the module.
pub struct Link {
    /// Its id.
    pub id: LinkId,
    /// The other end, for log lines.
    pub peer: String,
    /// Whether this server has dialled.
    pub dialled: bool,
    most: usize,
    out: Mutex<Outgoing>,
    /// There is something to send.
    filled: Notify,
    /// There is room for a stream.
    drained: Condvar,
    failed: Notify,
    snap: Mutex<Option<Zxid>>,
    snap_asked: Notify,
}

impl Link {
    /// A link without a socket, on which at most `most` bytes wait to be sent.
    pub fn new(id: LinkId, peer: String, dialled: bool, most: usize) -> Arc<Link> {
        Arc::new(Link {
            id,
            peer,
            dialled,
            most,
            out: Mutex::default(),
            filled: Notify::new(),
            drained: Condvar::new(),
            failed: Notify::new(),
            snap: Mutex::new(None),
            snap_asked: Notify::new(),
        })
    }

    /// Sends a packet.
    pub fn send(&self, packet: &Packet) {
        let out = &mut *self.out.lock();
        if out.streaming {
            let mut bytes = Vec::new();
            packet.encode_into(&mut bytes);
            out.bytes += bytes.len();
            out.hold(bytes.into());
        } else {
            let before = out.tail.len();
            packet.encode_into(&mut out.tail);
            out.bytes += out.tail.len() - before;
        }
        self.given(out);
    }

    /// Sends whole packets, encoded; shared with other links if `share`, else copied.
    pub fn send_bytes(&self, bytes: &Bytes, share: bool) {
        let out = &mut *self.out.lock();
        out.bytes += bytes.len();
        if out.streaming {
            out.hold(bytes.clone());
        } else if share {
            out.push(bytes.clone());
        } else {
            out.tail.extend_from_slice(bytes);
        }
        self.given(out);
    }

    fn given(&self, out: &mut Outgoing) {
        if !out.streaming {
            release(out.parked.take());
        }
        if out.bytes > self.most && out.failed.is_none() {
            let why = format!("it does not read: {} bytes wait to be sent", out.bytes);
            out.failed = Some(why);
            self.failed.notify_one();
        }
        self.filled.notify_one();
    }

    /// A stream begins, or goes on: what is given from now on waits for its end.
    pub fn begin_stream(&self) {
        self.out.lock().streaming = true;
    }

    /// Where the last part of a stream has stopped.
    pub fn take_parked(&self) -> Option<Parked> {
        self.out.lock().parked.take()
    }

    /// Sends a part of a stream; waits for room, on a thread that may block.
    ///
    /// # Errors
    /// The link is closed.
    pub fn stream(&self, bytes: Vec<u8>) -> Result<(), Gone> {
        let mut out = self.out.lock();
        while out.unsent() >= STREAM_WINDOW && !out.closed {
            self.drained.wait(&mut out);
        }
        if out.closed {
            return Err(Gone);
        }
        out.bytes += bytes.len();
        out.push(bytes.into());
        self.filled.notify_one();
        Ok(())
    }

    /// Waits until this time, on a thread that may block.
    ///
    /// # Errors
    /// The link is closed.
    pub fn rest(&self, until: Instant) -> Result<(), Gone> {
        let mut out = self.out.lock();
        while !out.closed {
            if self.drained.wait_until(&mut out, until).timed_out() {
                return Ok(());
            }
        }
        Err(Gone)
    }

    /// A part of a stream has ended; what was given meanwhile follows it.
    ///
    /// # Errors
    /// The link is closed.
    pub fn end_stream(&self, parked: Parked) -> Result<(), Gone> {
        let out = &mut *self.out.lock();
        if out.closed {
            return Err(Gone);
        }
        out.streaming = false;
        let held = std::mem::take(&mut out.held);
        out.held_bytes = 0;
        if held.is_empty() {
            out.parked = Some(parked);
        }
        held.into_iter().for_each(|bytes| out.push(bytes));
        self.filled.notify_one();
        Ok(())
    }

    /// The link cannot go on: it is closed, and says why.
    pub fn fail(&self, why: String) {
        self.out.lock().failed.get_or_insert(why);
        self.failed.notify_one();
    }

    /// What follows the packet that announced it is a snapshot.
    pub fn read_snap(&self, zxid: Zxid) {
        *self.snap.lock() = Some(zxid);
        self.snap_asked.notify_one();
    }

    /// Nothing is sent any more; a stream ends.
    pub fn close(&self) {
        let out = &mut *self.out.lock();
        out.closed = true;
        out.chunks.clear();
        out.tail = Vec::new();
        out.held.clear();
        self.drained.notify_all();
        release(out.parked.take());
    }

    /// Bytes that wait to be sent.
    pub fn waiting(&self) -> usize {
        self.out.lock().bytes
    }

    async fn asked_for_snap(&self) -> Zxid {
        loop {
            if let Some(zxid) = self.snap.lock().take() {
                return zxid;
            }
            self.snap_asked.notified().await;
        }
    }

    async fn why_failed(&self) -> String {
        loop {
            if let Some(why) = &self.out.lock().failed {
                return why.clone();
            }
            self.failed.notified().await;
        }
    }

    /// Takes everything that can be sent.
    fn take(&self, into: &mut VecDeque<Bytes>) {
        let out = &mut *self.out.lock();
        into.append(&mut out.chunks);
        if !out.tail.is_empty() {
            into.push_back(std::mem::take(&mut out.tail).into());
        }
    }

    /// Returns whether a stream is under way.
    fn sent(&self, bytes: usize) -> bool {
        let out = &mut *self.out.lock();
        let before = out.unsent();
        out.bytes -= bytes;
        if before >= STREAM_WINDOW && out.unsent() < STREAM_WINDOW {
            self.drained.notify_all();
        }
        out.streaming
    }
}

impl Outgoing {
    /// Bytes that can be sent: what is held waits for the stream, so that the stream must not wait
    /// for it.
    fn unsent(&self) -> usize {
        self.bytes - self.held_bytes
    }

    fn hold(&mut self, bytes: Bytes) {
        self.held_bytes += bytes.len();
        self.held.push(bytes);
    }

    fn push(&mut self, bytes: Bytes) {
        if !self.tail.is_empty() {
            let tail = std::mem::take(&mut self.tail);
            self.chunks.push_back(tail.into());
        }
        self.chunks.push_back(bytes);
    }
}

/// Lets a place in the log go, which may have to wait for a purge: not on the thread of the sockets.
fn release(parked: Option<Parked>) {
    if let Some(parked) = parked
        && let Ok(runtime) = tokio::runtime::Handle::try_current()
    {
        runtime.spawn_blocking(move || drop(parked));
    }
}

/// Ends a link with its task, however that ends.
struct Open(Arc<Link>);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.close();
    }
}

/// What a link's task needs beside its link.
#[derive(Clone)]
pub struct Ends {
    /// The way to the core.
    pub sink: Sink,
    /// Who takes a snapshot.
    pub installs: Arc<dyn SnapSinks>,
    /// Held while one is taken.
    pub installing: Arc<tokio::sync::Mutex<()>>,
    /// Longest string or buffer, bytes.
    pub max_field: usize,
}

/// Runs a link until it ends. Returns why.
pub async fn run(link: Arc<Link>, mut stream: TcpStream, ends: Ends) -> String {
    let open = Open(link);
    let link = &open.0;
    let (reader, writer) = stream.split();
    tokio::select! {
        why = read(link, reader, &ends) => why,
        why = write(link, writer, &ends.sink) => why,
        why = link.why_failed() => why,
    }
}

/// Makes room for the next read: nothing that a peer only states is reserved.
pub(super) fn reserve(buf: &mut BytesMut) {
    if buf.capacity() - buf.len() < LINK_READ_LEAST {
        buf.reserve(LINK_READ_CHUNK);
    }
}

async fn read(link: &Link, mut reader: ReadHalf<'_>, ends: &Ends) -> String {
    let budget = Budget::new(LINK_IN_BYTES);
    let mut cutter = Cutter::new(ends.max_field);
    let mut buf = BytesMut::new();
    loop {
        let mut inputs = Vec::new();
        let mut bytes = 0;
        let mut snap = false;
        let mut bad = None;
        while !snap {
            match cutter.next(&mut buf) {
                Ok(Some(packet)) => {
                    bytes += packet.size();
                    snap = link.dialled && packet.kind == PacketKind::Snap;
                    inputs.push(In::Packet(link.id, packet));
                }
                Ok(None) => break,
                Err(error) => {
                    bad = Some(error.to_string());
                    break;
                }
            }
        }
        if !inputs.is_empty() {
            (ends.sink)(Delivery::counted(inputs, budget.take(bytes)));
        }
        if let Some(why) = bad {
            return why;
        }
        if snap {
            let zxid = link.asked_for_snap().await;
            if let Err(why) = install::receive(link.id, zxid, &mut reader, &mut buf, ends).await {
                return why;
            }
            continue;
        }
        budget.room().await;
        reserve(&mut buf);
        match reader.read_buf(&mut buf).await {
            Ok(0) if buf.is_empty() => return "it has closed the connection".into(),
            Ok(0) => return "it has closed the connection in the middle of a packet".into(),
            Ok(_) => {}
            Err(error) => return error.to_string(),
        }
    }
}

async fn write(link: &Link, mut writer: WriteHalf<'_>, sink: &Sink) -> String {
    let mut chunks = VecDeque::new();
    let mut heard = Instant::now();
    loop {
        link.take(&mut chunks);
        if chunks.is_empty() {
            link.filled.notified().await;
            continue;
        }
        while !chunks.is_empty() {
            let mut slices = [IoSlice::new(&[]); LINK_WRITE_SLICES];
            let mut used = 0;
            for (slice, chunk) in slices.iter_mut().zip(&chunks) {
                *slice = IoSlice::new(chunk);
                used += 1;
            }
            let sent = match writer.write_vectored(&slices[..used]).await {
                Ok(0) => return "nothing can be written".into(),
                Ok(sent) => sent,
                Err(error) => return error.to_string(),
            };
            let streaming = link.sent(sent);
            advance(&mut chunks, sent);
            if streaming && heard.elapsed() >= HEARD_EVERY {
                heard = Instant::now();
                sink(Delivery::free(vec![In::Heard(link.id)]));
            }
        }
    }
}

/// Drops what was sent from the front.
fn advance(chunks: &mut VecDeque<Bytes>, mut sent: usize) {
    while let Some(first) = chunks.front_mut() {
        if sent < first.len() {
            first.advance(sent);
            return;
        }
        sent -= first.len();
        chunks.pop_front();
    }
}
