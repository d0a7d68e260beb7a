//! The task of one client connection: cuts frames, lets the connection take them under the tree's
//! shared lock, hands writes to the core in one go, and sends what the connection has.
//!
//! It takes no decision about requests. A connection that may take no frame is not read, so a
//! client that does not read its replies, or has too much under way, slows only itself.

use std::cell::RefCell;
use std::io::ErrorKind;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::io::Interest;
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep_until};
use zk_core::conn::{Accepted, Progress, View};
use zk_core::io::Input;
use zk_wire::text::four_letter::FourLetterWord;

use crate::gate::{Client, Locked, Shared, ToCore};
use crate::limits::READ_CHUNK;
use crate::ops;
use crate::serving::Serving;

thread_local! {
    static SCRATCH: RefCell<Vec<u8>> = RefCell::new(vec![0; READ_CHUNK]);
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
    word: Option<(FourLetterWord, Vec<u8>)>,
    /// Whether the connection would take another frame.
    takes: bool,
    /// Nothing has happened since the connection was last driven.
    driven: bool,
}

/// Serves one connection until either side ends it.
pub async fn serve(
    shared: &Arc<Shared>,
    serving: &Serving,
    client: &Arc<Client>,
    stream: TcpStream,
) {
    let mut state = State::default();
    let sessionless = Duration::from_millis(u64::from(serving.config.sessionless_timeout_ms));
    let mut deadline = Some(Instant::now() + sessionless);
    loop {
        if !std::mem::take(&mut state.driven) {
            drive(shared, serving, client, &mut state, &[]);
        }
        if let Some((word, rest)) = state.word.take() {
            let text = ops::four_letter::answer(shared, serving, word, &rest).await;
            state.output.extend_from_slice(text.as_bytes());
            state.closing = true;
        }
        if !send(&stream, &mut state) {
            return;
        }
        let sending = state.sent < state.output.len();
        if state.dead || (state.closing && !sending) {
            finish(stream).await;
            return;
        }
        let interest = match (state.takes && !state.closing, sending) {
            (true, true) => Some(Interest::READABLE | Interest::WRITABLE),
            (true, false) => Some(Interest::READABLE),
            (false, true) => Some(Interest::WRITABLE),
            (false, false) => None,
        };
        let ready = async {
            match interest {
                Some(interest) => stream.ready(interest).await,
                None => std::future::pending().await,
            }
        };
        if deadline.is_some() && client.conn.lock().session().is_some() {
            deadline = None;
        }
        tokio::select! {
            ready = ready => match ready {
                Ok(ready) if ready.is_readable() || ready.is_read_closed() => {
                    if !receive(shared, serving, client, &stream, &mut state) {
                        return;
                    }
                }
                Ok(_) => {}
                Err(_) => return,
            },
            () = client.wake.notified() => state.loading = false,
            () = async { match deadline {
                Some(at) => sleep_until(at).await,
                None => std::future::pending().await,
            } } => return,
        }
    }
}

/// Ends a connection such that what was sent arrives: closing a socket with unread input resets it.
async fn finish(stream: TcpStream) {
    let Ok(stream) = stream.into_std() else {
        return;
    };
    let _ = stream.shutdown(std::net::Shutdown::Write);
    let mut waste = [0; 4096];
    for _ in 0..16 {
        match std::io::Read::read(&mut &stream, &mut waste) {
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

/// Reads once, and takes what came. Returns false at the end of the stream.
fn receive(
    shared: &Arc<Shared>,
    serving: &Serving,
    client: &Arc<Client>,
    stream: &TcpStream,
    state: &mut State,
) -> bool {
    SCRATCH.with_borrow_mut(|scratch| match stream.try_read(scratch) {
        Ok(0) => false,
        Ok(n) => {
            drive(shared, serving, client, state, &scratch[..n]);
            state.driven = true;
            true
        }
        Err(error) => error.kind() == ErrorKind::WouldBlock,
    })
}

/// Lets the connection take frames, from what was left and then from `fresh`, and run what it can.
fn drive(
    shared: &Arc<Shared>,
    serving: &Serving,
    client: &Arc<Client>,
    state: &mut State,
    fresh: &[u8],
) {
    if state.dead || state.closing {
        return;
    }
    let left = if state.input.is_empty() {
        None
    } else {
        state.input.extend_from_slice(fresh);
        Some(std::mem::take(&mut state.input))
    };
    let bytes = left.as_deref().unwrap_or(fresh);
    let mut at = 0;
    let mut submits: Vec<ToCore> = Vec::new();
    {
        let mut watches = Locked(&shared.watches);
        let tree = shared.tree.read();
        let mut conn = client.conn.lock();
        let mut view = View {
            tree: &tree,
            config: &shared.config,
            watches: &mut watches,
            tally: &mut zk_core::tally::Tally::default(),
        };
        let mut frames = 0_u64;
        loop {
            if conn.is_runnable() && !state.loading {
                match conn.run(&mut view) {
                    Progress::Done => {}
                    Progress::Missing(need) => {
                        state.loading = true;
                        shared.loads.push((need, Some(client.clone())));
                    }
                }
            }
            if !conn.takes_frames() || throttled(shared, serving, &conn) {
                break;
            }
            let rest = &bytes[at..];
            if conn.is_new()
                && rest.len() >= 4
                && let Some(word) = FourLetterWord::from_bytes([rest[0], rest[1], rest[2], rest[3]])
            {
                state.word = Some((word, rest[4..].to_vec()));
                conn.close();
                at = bytes.len();
                break;
            }
            match cut(rest, shared.config.max_frame) {
                Cut::Frame(len) => {
                    let frame = &rest[4..4 + len];
                    at += 4 + len;
                    frames += 1;
                    match conn.on_frame(frame, &mut view) {
                        Accepted::Here => {}
                        Accepted::Submit(submit) => {
                            if matches!(submit, zk_core::io::Submit::Request { .. }) {
                                shared.in_process.fetch_add(1, Ordering::Relaxed);
                            }
                            submits.push(ToCore::Input(Input::Submit(submit)));
                        }
                        Accepted::Close => {
                            state.dead = true;
                            break;
                        }
                    }
                }
                Cut::More => break,
                Cut::Bad => {
                    state.dead = true;
                    break;
                }
            }
        }
        if frames > 0 {
            shared.stats.received.fetch_add(frames, Ordering::Relaxed);
            client
                .heard_ms
                .store(shared.clock.mono_ms(), Ordering::Release);
            client.touched.store(true, Ordering::Release);
        }
        if conn.has_out() {
            let mut out = conn.take_out();
            if state.sent == state.output.len() {
                state.output = out;
                state.sent = 0;
            } else {
                state.output.append(&mut out);
            }
        }
        state.closing |= conn.is_closing();
        state.takes = conn.takes_frames() && !throttled(shared, serving, &conn);
    }
    shared.core.append(&mut submits);
    if at < bytes.len() && !state.dead && !state.closing {
        state.input = bytes[at..].to_vec();
    }
}

/// `globalOutstandingLimit`: a client with requests under way is not read while there are too many
/// over all.
fn throttled(shared: &Shared, serving: &Serving, conn: &zk_core::Conn) -> bool {
    conn.has_writes()
        && shared.in_process.load(Ordering::Relaxed) as i64
            > i64::from(serving.config.global_outstanding_limit)
}

enum Cut {
    Frame(usize),
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
        Cut::More
    } else {
        Cut::Frame(len as usize)
    }
}
