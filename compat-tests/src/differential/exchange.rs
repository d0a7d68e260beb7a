//! What one connection of one server received, and the comparison of two of them.
//!
//! Owns: matching replies to requests, and the verdict "equal" or the first difference.
//!
//! Does not know: steps, sessions, how connections come and go.

use std::time::Duration;

use super::op::code;
use super::print;
use super::rules::{Lens, Rule, overtakes};
use super::step::Request;
use crate::conn::{Conn, End};
use crate::limits::REPLY_TIMEOUT;
use crate::raw::In;

/// What a frame is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FrameKind {
    /// The answer to a ConnectRequest; the number is the session's in order of opening.
    Connect(u64),
    /// A watch event.
    Event,
    /// The reply to the request with this index.
    Reply(usize),
    /// A reply that belongs to no request.
    Stray,
}

/// A received frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// What it is.
    pub kind: FrameKind,
    /// Its payload as it came.
    pub bytes: Vec<u8>,
}

/// All that came on one connection during an exchange.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Outcome {
    /// Frames in order.
    pub frames: Vec<Frame>,
    /// How the connection ended, if it did.
    pub end: Option<End>,
}

/// The header of a reply or event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// xid: -1 for an event.
    pub xid: i32,
    /// zxid.
    pub zxid: i64,
    /// Error code.
    pub err: i32,
}

impl Header {
    /// Reads it from a frame.
    pub fn of(frame: &[u8]) -> Option<Self> {
        let mut input = In::new(frame);
        Some(Self {
            xid: input.int()?,
            zxid: input.long()?,
            err: input.int()?,
        })
    }
}

/// The xid that the reply to a request carries.
fn reply_xid(request: &Request) -> i32 {
    if request.op == code::PING {
        -2
    } else {
        request.xid
    }
}

/// Whether a server closes the connection after this reply.
pub fn closes(request: &Request, header: Header) -> bool {
    request.op == code::CLOSE_SESSION
        || (header.err == -6 && header.zxid == -1)
        || matches!(header.err, -115 | -124)
}

/// Reads until every request is answered or the connection ends; after a reply that closes, until
/// the end.
pub fn collect(conn: &mut Conn, requests: &[Request], connect: Option<u64>) -> Outcome {
    let mut out = Outcome::default();
    let mut open: Vec<usize> = (0..requests.len()).collect();
    let mut closing = false;
    if let Some(ordinal) = connect {
        match conn.frame(REPLY_TIMEOUT) {
            Ok(bytes) => {
                closing = crate::conn::connect_response(&bytes).is_none_or(|c| c.session_id == 0);
                out.frames.push(Frame {
                    kind: FrameKind::Connect(ordinal),
                    bytes,
                });
            }
            Err(end) => {
                out.end = Some(end);
                return out;
            }
        }
    }
    while closing || !open.is_empty() {
        match conn.frame(REPLY_TIMEOUT) {
            Ok(bytes) => {
                let header = Header::of(&bytes);
                let kind = match header {
                    Some(Header { xid: -1, .. }) => FrameKind::Event,
                    Some(header) => {
                        match open
                            .iter()
                            .position(|i| reply_xid(&requests[*i]) == header.xid)
                        {
                            Some(at) => {
                                let i = open.remove(at);
                                closing |= closes(&requests[i], header);
                                FrameKind::Reply(i)
                            }
                            None => FrameKind::Stray,
                        }
                    }
                    None => FrameKind::Stray,
                };
                out.frames.push(Frame { kind, bytes });
            }
            Err(end) => {
                out.end = Some(end);
                break;
            }
        }
    }
    out
}

/// Reads until the connection ends or `wait` is over.
pub fn to_end(conn: &mut Conn, wait: Duration) -> Outcome {
    let mut out = Outcome::default();
    loop {
        match conn.frame(wait) {
            Ok(bytes) => {
                let event = Header::of(&bytes).is_some_and(|h| h.xid == -1);
                out.frames.push(Frame {
                    kind: if event {
                        FrameKind::Event
                    } else {
                        FrameKind::Stray
                    },
                    bytes,
                });
            }
            Err(end) => {
                out.end = Some(end);
                return out;
            }
        }
    }
}

/// Where two outcomes differ.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// What kind of difference, for recognising it again in a shorter run.
    pub signature: String,
    /// Both sides, decoded and hex.
    pub text: String,
}

/// Canonical frames of one side.
#[derive(Debug, Default)]
struct Canonical {
    /// Those whose order counts.
    ordered: Vec<Vec<u8>>,
    /// Which frame of the outcome each of them is.
    frames: Vec<usize>,
    /// Those that may overtake.
    loose: Vec<Vec<u8>>,
}

fn canonical(
    lens: &mut Lens,
    requests: &[Request],
    outcome: &Outcome,
    is_close: &dyn Fn(i64) -> bool,
) -> Result<Canonical, String> {
    let mut out = Canonical::default();
    for (number, frame) in outcome.frames.iter().enumerate() {
        let bytes = match frame.kind {
            FrameKind::Connect(ordinal) => lens.connect(&frame.bytes, ordinal)?,
            FrameKind::Event | FrameKind::Stray => frame.bytes.clone(),
            FrameKind::Reply(i) => {
                let bytes = lens.reply(&requests[i], &frame.bytes)?;
                if requests.len() > 1 && overtakes(requests[i].op) {
                    lens.note(Rule::AuthReplyOrder);
                    out.loose.push(bytes);
                    continue;
                }
                bytes
            }
        };
        out.ordered.push(bytes);
        out.frames.push(number);
    }
    lens.order_closes(&mut out.ordered, is_close);
    Ok(out)
}

/// Compares what both servers' connections received for the same requests.
pub fn compare(
    lenses: [&mut Lens; 2],
    requests: &[Request],
    outcomes: &[Outcome; 2],
    is_close: &dyn Fn(i64) -> bool,
) -> Result<(), Difference> {
    let [left, right] = lenses;
    let broken = |side: &str, why: String| Difference {
        signature: format!("{side} contradicts itself"),
        text: format!(
            "{side} contradicts itself: {why}\n{}",
            both(requests, outcomes, [None; 2])
        ),
    };
    let a = canonical(left, requests, &outcomes[0], is_close).map_err(|e| broken("left", e))?;
    let b = canonical(right, requests, &outcomes[1], is_close).map_err(|e| broken("right", e))?;
    let same = a.ordered == b.ordered && a.loose == b.loose;
    let silent = outcomes[0].end == Some(End::Silent);
    if same && outcomes[0].end == outcomes[1].end && !silent {
        return Ok(());
    }
    let at = a
        .ordered
        .iter()
        .zip(&b.ordered)
        .position(|(x, y)| x != y)
        .unwrap_or(a.ordered.len().min(b.ordered.len()));
    let first = [&a, &b].map(|side| side.frames.get(at).copied());
    let names = [0, 1].map(|side| name(requests, &outcomes[side], first[side]));
    let signature = format!("{} against {}", names[0], names[1]);
    Err(Difference {
        text: format!("{signature}\n{}", both(requests, outcomes, first)),
        signature,
    })
}

/// Names the first frame that differs: stable enough to recognise the difference in a shorter run.
fn name(requests: &[Request], outcome: &Outcome, at: Option<usize>) -> String {
    let Some(frame) = at.map(|at| &outcome.frames[at]) else {
        return outcome
            .end
            .map_or_else(|| "nothing".into(), |end| format!("{end:?}"));
    };
    let err = Header::of(&frame.bytes).map_or(0, |h| h.err);
    match frame.kind {
        FrameKind::Connect(_) => "connect".into(),
        FrameKind::Event => "event".into(),
        FrameKind::Reply(i) => format!("reply to {} err {err}", print::op_name(requests[i].op)),
        FrameKind::Stray => format!("stray reply err {err}"),
    }
}

/// Requests and both sides' frames for people; `>>` marks where the sides part.
fn both(requests: &[Request], outcomes: &[Outcome; 2], first: [Option<usize>; 2]) -> String {
    let mut text = String::new();
    for request in requests {
        text += &format!("  request {}\n", print::request(request));
    }
    for (side, outcome) in outcomes.iter().enumerate() {
        text += ["  left:\n", "  right:\n"][side];
        for (number, frame) in outcome.frames.iter().enumerate() {
            let mark = if first[side] == Some(number) {
                ">>"
            } else {
                "  "
            };
            text += &format!("  {mark}{}\n", print::frame(requests, frame));
        }
        match outcome.end {
            None => {}
            Some(End::Closed) => text += "    connection closed\n",
            Some(End::Silent) => text += "    no answer\n",
            Some(End::BadLength(n)) => text += &format!("    frame length {n}\n"),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::super::rules::password;
    use super::*;
    use crate::raw::{Out, text};

    const SESSION: i64 = 0x0100_0000_0000_0007;

    fn header(xid: i32) -> Out {
        let mut out = Out::new();
        out.int(xid).long(9).int(0);
        out
    }

    /// Offsets of what the rules forgive: ctime and mtime.
    fn stat(out: &mut Out) -> Vec<usize> {
        let at = out.0.len();
        out.long(3)
            .long(4)
            .long(1000)
            .long(2000)
            .int(1)
            .int(2)
            .int(0);
        out.long(SESSION).int(5).int(0).long(3);
        (at + 16..at + 32).collect()
    }

    fn verdict(
        requests: &[Request],
        left: Vec<Frame>,
        right: Vec<Frame>,
    ) -> Result<(), Difference> {
        let (mut a, mut b) = (Lens::new(), Lens::new());
        a.opened(SESSION, 1);
        b.opened(SESSION, 1);
        let outcomes = [left, right].map(|frames| Outcome { frames, end: None });
        compare([&mut a, &mut b], requests, &outcomes, &|_| false)
    }

    /// Every byte counts but for those named: a change to any other is a difference.
    fn every_byte(op: i32, kind: FrameKind, bytes: &[u8], free: &[usize]) {
        let requests = [Request {
            xid: 1,
            op,
            body: vec![],
        }];
        let frame = |bytes: Vec<u8>| vec![Frame { kind, bytes }];
        assert_eq!(
            verdict(&requests, frame(bytes.to_vec()), frame(bytes.to_vec())),
            Ok(())
        );
        for at in 0..bytes.len() {
            let mut other = bytes.to_vec();
            other[at] ^= 1;
            let same = verdict(&requests, frame(bytes.to_vec()), frame(other)).is_ok();
            assert_eq!(same, free.contains(&at), "op {op}, byte {at}");
        }
        let longer = [bytes, &[0]].concat();
        assert!(verdict(&requests, frame(bytes.to_vec()), frame(longer)).is_err());
        assert!(verdict(&requests, frame(bytes.to_vec()), vec![]).is_err());
    }

    #[test]
    fn no_byte_is_overlooked() {
        let reply = FrameKind::Reply(0);
        let mut out = header(1);
        out.bytes(&text("data"));
        let free = stat(&mut out);
        every_byte(code::GET_DATA, reply, &out.0, &free);
        every_byte(code::CREATE2, reply, &out.0, &free);

        let mut out = header(1);
        let free = stat(&mut out);
        every_byte(code::EXISTS, reply, &out.0, &free);

        let mut out = header(1);
        out.strings(&Some(vec![text("x"), text("yy")]));
        every_byte(code::GET_EPHEMERALS, reply, &out.0, &[]);
        let free = stat(&mut out);
        every_byte(code::GET_CHILDREN2, reply, &out.0, &free);

        let mut out = header(1);
        out.int(1)
            .int(31)
            .bytes(&text("world"))
            .bytes(&text("anyone"));
        let free = stat(&mut out);
        every_byte(code::GET_ACL, reply, &out.0, &free);

        let mut out = header(1);
        out.int(code::CREATE).bool(false).int(0).bytes(&text("/a"));
        out.int(code::SET_DATA).bool(false).int(0);
        let free = stat(&mut out);
        out.int(-1).bool(false).int(-2).int(-2);
        out.int(-1).bool(true).int(-1);
        every_byte(code::MULTI, reply, &out.0, &free);

        let mut out = header(-1);
        out.int(3).int(3).bytes(&text("/a"));
        every_byte(code::PING, FrameKind::Event, &out.0, &[]);

        // The password follows from the id's lower six bytes; the byte above is clock as well.
        let mut out = Out::new();
        out.int(0)
            .int(4000)
            .long(SESSION)
            .bytes(&Some(password(SESSION).to_vec()))
            .bool(false);
        every_byte(code::PING, FrameKind::Connect(1), &out.0, &[9]);
    }

    #[test]
    fn only_auth_may_overtake() {
        let request = |xid, op| Request {
            xid,
            op,
            body: vec![],
        };
        let requests = [
            request(1, code::SYNC),
            request(-4, code::AUTH),
            request(2, code::SYNC),
        ];
        let frame = |i: usize| Frame {
            kind: FrameKind::Reply(i),
            bytes: header(requests[i].xid).0,
        };
        let in_order = || vec![frame(0), frame(1), frame(2)];
        assert_eq!(
            verdict(&requests, in_order(), vec![frame(1), frame(0), frame(2)]),
            Ok(())
        );
        assert!(verdict(&requests, in_order(), vec![frame(2), frame(1), frame(0)]).is_err());
    }
}
