//! The task of one client connection: cuts frames, lets the connection take them under the tree's
//! shared lock, hands writes to the core in one go, and sends what the connection has.
//!
//! It takes no decision about requests. A connection that may take no frame is not read, so a
//! client that does not read its replies, or has too much under way, slows only itself.

use std::cell::RefCell;
use std::future::{Future, poll_fn};
use std::io::ErrorKind;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};
use std::time::Duration;

use jute::{Decode, Reader};
use tokio::io::Interest;
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep, sleep_until};
use zk_core::Zxid;
use zk_core::conn::{Accepted, Progress, View};
use zk_core::io::{Input, Submit};
use zk_core::limits::CONN_OUT_BYTES;
use zk_core::tally::Tally;
use zk_wire::OpCode;
use zk_wire::client::{ConnectRequest, RequestHeader};
use zk_wire::text::four_letter::FourLetterWord;

use super::line::{Latencies, Line, Waiting};
use super::listener::Entered;
use super::throttle::{Candidate, Turn};
use crate::gate::{Client, Locked, Shared, ToCore};
use crate::limits::READ_CHUNK;
use crate::ops;
use crate::serving::Serving;
use crate::stats::Runs;

/// What one wake-up counts, and memory that it can use again.
#[derive(Default)]
struct Scratch {
    tally: Tally,
    latencies: Latencies,
    /// How long requests waited in the throttle.
    throttled: Runs,
    submits: Vec<ToCore>,
}

thread_local! {
    static CHUNK: RefCell<Vec<u8>> = RefCell::new(vec![0; READ_CHUNK]);
    static SCRATCH: RefCell<Scratch> = RefCell::default();
}

/// What is known of a socket between two wake-ups.
#[derive(Default)]
struct State {
    /// Received, not yet taken.
    input: Vec<u8>,
    /// To be sent, from `sent` on.
    output: Vec<u8>,
    sent: usize,
    /// The connection ends once `output` is sent.
    closing: bool,
    /// The connection ends now.
    dead: bool,
    /// A row was asked for and has not come.
    loading: bool,
    /// A four-letter word.
    word: Option<Box<(FourLetterWord, Vec<u8>)>>,
    /// Whether the connection would take another frame.
    takes: bool,
    /// There is more to do as soon as `output` is sent.
    refill: bool,
    /// Nothing has happened since the connection was last driven.
    driven: bool,
    /// The throttle holds back what is in `input`, received at this time.
    held: Option<i64>,
    /// While held: the client has hung up.
    hung_up: bool,
}

impl State {
    fn unsent(&self) -> usize {
        self.output.len() - self.sent
    }

    /// Whether the socket is read.
    fn reads(&self) -> bool {
        self.takes && !self.closing
    }
}

/// One connection's surroundings.
struct Task<'a> {
    shared: &'a Shared,
    serving: &'a Serving,
    client: &'a Arc<Client>,
}

/// Why the task of a connection goes on.
#[derive(Clone, Copy, Default)]
struct Woken {
    /// There is something to be read, or the end of it.
    readable: bool,
    /// There is room to send.
    writable: bool,
    /// The bell rang.
    rung: bool,
    /// The deadline is over.
    late: bool,
    /// The socket has failed.
    failed: bool,
}

impl Woken {
    fn note(&mut self, ready: Poll<std::io::Result<()>>) -> bool {
        self.failed |= matches!(ready, Poll::Ready(Err(_)));
        ready.is_ready()
    }

    fn any(self) -> bool {
        self.readable || self.writable || self.rung || self.late || self.failed
    }
}

/// A moment until which something must have happened. Boxed, like every state that an idle
/// connection is never in.
type Deadline = Option<Pin<Box<Sleep>>>;

/// Serves one connection until either side ends it.
///
/// What waits here is a part of each idle connection: it is written such that nothing is kept twice
/// (no argument of an `async fn`, no future with a state of its own).
pub fn serve(
    entered: Entered,
    serving: Arc<Serving>,
    stream: TcpStream,
) -> impl Future<Output = ()> + Send {
    let mut state = State::default();
    // A connection without a session, or one that ends but does not take what is left, has until
    // here. Only the handshake counts: bytes that trickle in win no time (docs/differences.md).
    let task = Task::of(&entered, &serving);
    let mut deadline: Deadline = Some(task.deadline());
    async move {
        loop {
            let step = step(&entered, &serving, &stream, &mut state, &mut deadline);
            match step {
                Step::End => return,
                Step::Again => {}
                Step::Answer => {
                    let answer = answer(&entered.shared, &serving, &mut state);
                    Box::pin(answer).await;
                }
                Step::Stall => {
                    let task = Task::of(&entered, &serving);
                    let stalled = Box::pin(task.stall(&stream, &mut state));
                    if !stalled.await {
                        return;
                    }
                }
                Step::Wait => {
                    let woken = poll_fn(|context| {
                        wait(&entered.client, &stream, &state, &mut deadline, context)
                    })
                    .await;
                    let task = Task::of(&entered, &serving);
                    if !task.woken(&stream, &mut state, woken) {
                        return;
                    }
                }
            }
        }
    }
}

/// What is to be done with a connection next.
enum Step {
    /// Nothing more.
    End,
    /// Look again.
    Again,
    /// A four-letter word is to be answered.
    Answer,
    /// The throttle holds it back.
    Stall,
    /// Nothing before something happens.
    Wait,
}

/// Drives a connection as far as it goes.
fn step(
    entered: &Entered,
    serving: &Serving,
    stream: &TcpStream,
    state: &mut State,
    deadline: &mut Deadline,
) -> Step {
    let task = Task::of(entered, serving);
    if !std::mem::take(&mut state.driven) {
        task.drive(state, &[]);
    }
    if state.word.is_some() {
        return Step::Answer;
    }
    if !send(stream, state) {
        return Step::End;
    }
    let sending = state.unsent() > 0;
    if state.dead || (state.closing && !sending) {
        finish(stream);
        return Step::End;
    }
    if !sending && std::mem::take(&mut state.refill) {
        return Step::Again;
    }
    if state.closing {
        deadline.get_or_insert_with(|| task.deadline());
    } else if deadline.is_some() && !entered.client.line.lock().conn.is_new() {
        *deadline = None;
    }
    match state.held {
        Some(_) => Step::Stall,
        None => Step::Wait,
    }
}

/// Answers a four-letter word, after which the connection ends.
async fn answer(shared: &Arc<Shared>, serving: &Arc<Serving>, state: &mut State) {
    if let Some(word) = state.word.take() {
        let (word, rest) = *word;
        let text = ops::four_letter::answer(shared, serving, word, &rest).await;
        shared.stats.sent_text(text.len());
        state.output.extend_from_slice(text.as_bytes());
        state.closing = true;
        state.driven = true;
    }
}

/// Waits for whatever may let a connection go on.
fn wait(
    client: &Client,
    stream: &TcpStream,
    state: &State,
    deadline: &mut Deadline,
    context: &mut Context<'_>,
) -> Poll<Woken> {
    let mut woken = Woken {
        rung: client.wake.poll_rung(context).is_ready(),
        ..Woken::default()
    };
    if state.reads() {
        woken.readable = woken.note(stream.poll_read_ready(context));
    }
    if state.unsent() > 0 {
        woken.writable = woken.note(stream.poll_write_ready(context));
    }
    if let Some(deadline) = deadline {
        woken.late = deadline.as_mut().poll(context).is_ready();
    }
    if woken.any() {
        Poll::Ready(woken)
    } else {
        Poll::Pending
    }
}

/// Whether the client has closed its side, as far as the system has said.
async fn hung_up(stream: &TcpStream) -> bool {
    let mut ready = std::pin::pin!(stream.ready(Interest::READABLE));
    poll_fn(|context| {
        Poll::Ready(match ready.as_mut().poll(context) {
            Poll::Ready(Ok(ready)) => ready.is_read_closed(),
            Poll::Ready(Err(_)) => true,
            Poll::Pending => false,
        })
    })
    .await
}

/// Ends a connection such that what was sent arrives: closing a socket with unread input resets it.
pub fn finish(stream: &TcpStream) {
    let _ = socket2::SockRef::from(stream).shutdown(std::net::Shutdown::Write);
    let mut waste = [0; 4096];
    for _ in 0..16 {
        match stream.try_read(&mut waste) {
            Ok(n) if n > 0 => {}
            _ => break,
        }
    }
}

fn send(stream: &TcpStream, state: &mut State) -> bool {
    while state.sent < state.output.len() {
        match stream.try_write(&state.output[state.sent..]) {
            Ok(0) => return false,
            Ok(n) => state.sent += n,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return true,
            Err(_) => return false,
        }
    }
    state.output = Vec::new();
    state.sent = 0;
    true
}

impl<'a> Task<'a> {
    fn of(entered: &'a Entered, serving: &'a Serving) -> Task<'a> {
        Task {
            shared: &entered.shared,
            serving,
            client: &entered.client,
        }
    }

    /// Goes on after a wait. Returns false where the connection ends.
    fn woken(&self, stream: &TcpStream, state: &mut State, woken: Woken) -> bool {
        let metrics = &self.shared.stats.metrics;
        if woken.failed {
            return false;
        }
        if woken.rung {
            state.loading = false;
        }
        let closing = state.closing;
        if woken.readable && !self.receive(stream, state) {
            metrics.connection_drop_count.increment();
            return false;
        }
        // What has just come may be the handshake, or what closes it.
        if woken.late && !closing && !state.closing && self.client.line.lock().conn.is_new() {
            metrics.sessionless_connections_expired.increment();
            return false;
        }
        !(woken.late && closing)
    }

    /// One wait in the throttle of requests. Returns false where the connection has failed.
    async fn stall(&self, stream: &TcpStream, state: &mut State) -> bool {
        let throttles = &self.shared.throttles;
        let metrics = &self.shared.stats.metrics;
        metrics.request_throttle_wait_count.increment();
        let stall = Duration::from_millis(throttles.request.stall_time_ms.max(1) as u64);
        let writable = async {
            if state.unsent() > 0 {
                stream.ready(Interest::WRITABLE).await.is_ok()
            } else {
                std::future::pending().await
            }
        };
        let went_well = tokio::select! {
            went_well = writable => went_well,
            () = throttles.released.notified() => true,
            () = self.client.wake.rung() => {
                state.loading = false;
                true
            }
            () = tokio::time::sleep(stall) => true,
        };
        state.hung_up = hung_up(stream).await;
        went_well
    }

    /// The first point of the grid after the life of a connection without a session, as in Java:
    /// the grid's width is that life.
    fn deadline(&self) -> Pin<Box<Sleep>> {
        let life = i64::from(self.serving.config.sessionless_timeout_ms);
        let now_ms = self.shared.clock.mono_ms();
        let until_ms = ((now_ms + life) / life + 1) * life;
        let life = Duration::from_millis((until_ms - now_ms) as u64);
        Box::pin(sleep_until(Instant::now() + life))
    }

    /// Reads once, and takes what came. Returns false at the end of the stream.
    fn receive(&self, stream: &TcpStream, state: &mut State) -> bool {
        CHUNK.with_borrow_mut(|chunk| match stream.try_read(chunk) {
            Ok(0) => false,
            Ok(n) => {
                self.drive(state, &chunk[..n]);
                state.driven = true;
                true
            }
            Err(error) => error.kind() == ErrorKind::WouldBlock,
        })
    }

    /// Lets the connection take frames, from what was left and then from `fresh`, and run what it
    /// can.
    fn drive(&self, state: &mut State, fresh: &[u8]) {
        if state.dead || state.closing {
            return;
        }
        let mut left = std::mem::take(&mut state.input);
        let bytes = if left.is_empty() {
            fresh
        } else {
            left.extend_from_slice(fresh);
            &left
        };
        let at = SCRATCH.with_borrow_mut(|scratch| {
            let at = self.take_frames(state, bytes, scratch);
            self.shared.core.append(&mut scratch.submits);
            let stats = &self.shared.stats;
            stats.take(&mut scratch.tally);
            stats.take_reads(&mut scratch.latencies.reads);
            stats.take_updates(&mut scratch.latencies.updates);
            for (ms, times) in scratch.throttled.drain() {
                let summary = &stats.metrics.request_throttle_queue_time_ms;
                summary.record_many(ms, times);
            }
            at
        });
        if at < bytes.len() && !state.dead && !state.closing {
            if left.is_empty() {
                left = fresh[at..].to_vec();
            } else {
                // A long frame that comes in small pieces is not copied for each of them.
                left.drain(..at);
            }
            state.input = left;
        }
    }

    /// One hold of tree and connection. Returns how many of `bytes` were taken.
    fn take_frames(&self, state: &mut State, bytes: &[u8], scratch: &mut Scratch) -> usize {
        let (shared, client) = (self.shared, self.client);
        let large = &shared.throttles.large;
        let now_ms = shared.clock.mono_ms();
        let mut at = 0;
        let mut frames = 0_u64;
        let mut requests = 0_u64;
        let mut at_once = 0_u64;
        let mut touches = false;
        let throttled = shared.throttles.is_on();
        let mut held = None;
        let received_ms = state.held.unwrap_or(now_ms);
        let mut watches = Locked(&shared.watches);
        let tree = shared.tree.read();
        let line = &mut *client.line.lock();
        let mut view = View {
            tree: &tree,
            config: &shared.config,
            serve: shared.mode(),
            watches: &mut watches,
            tally: &mut scratch.tally,
        };
        loop {
            if line.conn.is_runnable() && !state.loading {
                match line.conn.run(&mut view) {
                    Progress::Done => {}
                    Progress::Missing(need) => {
                        state.loading = true;
                        shared.loads.push((need, Some(client.clone())));
                    }
                }
                line.settle(now_ms, &mut scratch.latencies, large);
            }
            if !self.takes(line, state) {
                break;
            }
            let rest = &bytes[at..];
            if line.conn.is_new()
                && rest.len() >= 4
                && let Some(word) = FourLetterWord::from_bytes([rest[0], rest[1], rest[2], rest[3]])
            {
                state.word = Some(Box::new((word, rest[4..].to_vec())));
                line.conn.close();
                line.by_word = true;
                shared.stats.received.increment();
                shared.stats.metrics.bytes_received_count.add(4);
                return bytes.len();
            }
            let (len, whole) = match cut(rest, shared.config.max_frame) {
                Cut::More => break,
                Cut::Part(len) => (len, false),
                Cut::Frame(len) => (len, true),
                Cut::Bad => {
                    state.dead = true;
                    break;
                }
            };
            if large.check(len as u32).is_err() {
                shared.stats.metrics.large_requests_rejected.increment();
                state.dead = true;
                break;
            }
            if !whole {
                break;
            }
            let frame = &rest[4..4 + len];
            let turn = if throttled {
                self.turn(line, state, frame, now_ms, &mut scratch.throttled)
            } else {
                Turn::Now
            };
            match turn {
                Turn::Now | Turn::Refused => {}
                Turn::Later => {
                    held = Some(received_ms);
                    break;
                }
                Turn::Dropped => {
                    shared.stats.metrics.stale_requests_dropped.increment();
                    state.dead = true;
                    break;
                }
            }
            at += 4 + len;
            frames += 1;
            touches |= keeps_session(frame);
            requests += u64::from(!line.conn.is_new());
            let Ok(taken) = self.admit(line, frame, now_ms, tree.last_zxid()) else {
                state.dead = true;
                break;
            };
            let waiting = line.conn.outstanding();
            let answered = view.tally.answered;
            let accepted = if turn == Turn::Refused {
                shared.stats.metrics.throttled_ops.increment();
                line.conn.on_throttled(frame, &mut view)
            } else {
                line.conn.on_frame(frame, &mut view)
            };
            let mut request = Waiting {
                at_ms: received_ms,
                bytes: len as u32,
                large: taken,
                write: false,
            };
            match accepted {
                Accepted::Here if line.conn.outstanding() > waiting => line.wait(request),
                Accepted::Here => {
                    at_once += view.tally.answered - answered;
                    large.finish(taken);
                }
                Accepted::Submit(submit) => {
                    match &submit {
                        Submit::Request { op, .. } => {
                            shared.in_process.fetch_add(1, Ordering::Relaxed);
                            request.write = *op != OpCode::Sync;
                            line.wait(request);
                        }
                        Submit::Connect { .. } => {
                            requests += 1;
                            request.write = true;
                            line.wait(request);
                        }
                        Submit::Reattach { .. } => {}
                    }
                    scratch.submits.push(ToCore::Input(Input::Submit(submit)));
                }
                Accepted::Close => {
                    large.finish(taken);
                    state.dead = true;
                    break;
                }
            }
        }
        if at_once > 0 {
            let ms = now_ms - received_ms;
            line.answered_at_once(at_once, ms, now_ms);
            scratch.latencies.reads.add_many(ms, at_once);
        }
        if frames > 0 {
            if !throttled {
                scratch.throttled.add_many(0, requests);
            }
            shared.stats.received.add(frames);
            shared.stats.metrics.bytes_received_count.add(at as u64);
            client.heard_ms.store(now_ms, Ordering::Release);
        }
        if touches {
            client.touched_ms.store(now_ms, Ordering::Release);
            client.touched.store(true, Ordering::Release);
        }
        if frames > 0 && line.conn.last_op() == Some(OpCode::Ping) {
            line.rest();
        }
        state.held = held;
        let closing = line.conn.is_closing();
        if line.conn.has_out() && (closing || state.unsent() == 0) {
            if closing && line.conn.is_overfull() {
                // It does not read: nobody waits for what is left.
                state.dead = true;
            }
            let mut out = line.conn.take_out();
            if state.unsent() == 0 {
                state.output = out;
                state.sent = 0;
            } else {
                state.output.append(&mut out);
            }
        }
        if closing || state.dead {
            line.forget(large);
        }
        state.closing |= closing;
        state.takes = held.is_none() && self.takes(line, state);
        state.refill = !closing && (line.conn.has_out() || state.unsent() >= CONN_OUT_BYTES);
        at
    }

    /// Whether the next frame may be taken.
    fn takes(&self, line: &Line, state: &State) -> bool {
        line.takes_frames()
            && state.unsent() < CONN_OUT_BYTES
            // `globalOutstandingLimit`: a client with requests under way is not read while there
            // are too many over all.
            && !(line.conn.has_writes()
                && self.shared.throttles.is_over(self.shared.in_process.load(Ordering::Relaxed)))
    }

    /// Whether the throttle of requests lets a frame through.
    fn turn(
        &self,
        line: &Line,
        state: &State,
        frame: &[u8],
        now_ms: i64,
        waits: &mut Runs,
    ) -> Turn {
        let throttles = &self.shared.throttles;
        let header = RequestHeader::decode(&mut Reader::new(frame));
        let candidate = Candidate {
            op: header
                .ok()
                .filter(|_| !line.conn.is_new())
                .map(|header| header.op),
            waited_ms: now_ms - state.held.unwrap_or(now_ms),
            hung_up: state.hung_up,
            timeout_ms: line.conn.timeout_ms(),
        };
        let in_process = self.shared.in_process.load(Ordering::Relaxed);
        let turn = throttles.turn(&candidate, in_process);
        match turn {
            Turn::Now | Turn::Refused => waits.add(candidate.waited_ms),
            Turn::Later | Turn::Dropped => {}
        }
        turn
    }

    /// The limits that a whole frame meets. Returns what it takes of the budget of large requests.
    fn admit(&self, line: &Line, frame: &[u8], now_ms: i64, last_zxid: Zxid) -> Result<u32, ()> {
        let shared = self.shared;
        let metrics = &shared.stats.metrics;
        if line.conn.is_new() {
            let mut reader = Reader::with_limit(frame, shared.config.max_field);
            // What cannot be decoded is the connection's to refuse.
            if let Ok(request) = ConnectRequest::decode(&mut reader) {
                if !shared.throttles.admit(request.session_id, now_ms, metrics) {
                    return Err(());
                }
                if request.session_id != 0 && request.last_zxid_seen <= last_zxid.0 {
                    metrics.connection_revalidate_count.increment();
                }
            }
            return Ok(0);
        }
        let body = frame.len().saturating_sub(RequestHeader::MIN) as u32;
        shared.throttles.large.take(body).map_err(|_| {
            metrics.large_requests_rejected.increment();
        })
    }
}

/// Whether a request prolongs its session's life: auth and sasl are answered before Java looks at
/// the session.
fn keeps_session(frame: &[u8]) -> bool {
    let op = frame.get(4..8).and_then(|op| op.try_into().ok());
    !matches!(
        op.map(i32::from_be_bytes).and_then(OpCode::from_i32),
        Some(OpCode::Auth | OpCode::Sasl)
    )
}

enum Cut {
    /// A whole frame, of so many bytes behind its length.
    Frame(usize),
    /// The beginning of one.
    Part(usize),
    More,
    Bad,
}

/// The next frame. Its length is judged before its bytes are waited for.
fn cut(bytes: &[u8], max: usize) -> Cut {
    let Some(head) = bytes.first_chunk::<4>() else {
        return Cut::More;
    };
    let len = i32::from_be_bytes(*head);
    if len <= 0 || len as usize > max {
        return Cut::Bad;
    }
    if bytes.len() - 4 < len as usize {
        Cut::Part(len as usize)
    } else {
        Cut::Frame(len as usize)
    }
}
