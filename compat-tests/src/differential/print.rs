//! Requests, replies and events for people to read.
//!
//! Owns: a forgiving decoder: what cannot be decoded is shown as hex.
//!
//! Does not know: what is right. Nothing here takes part in a comparison.

use zk_wire::code::Code;
use zk_wire::op::OpCode;

use super::exchange::{Frame, FrameKind, Header};
use super::op::code;
use super::step::{Request, Step};
use crate::limits::MAX_DUMP;
use crate::raw::{In, hex};

/// An operation's name, or its number.
pub fn op_name(op: i32) -> String {
    OpCode::from_i32(op).map_or_else(|| format!("op{op}"), |op| op.name().to_string())
}

/// An error's name with its number.
pub fn err_name(err: i32) -> String {
    Code::from_i32(err).map_or_else(|| format!("{err}"), |code| format!("{code}({err})"))
}

fn dump(bytes: &[u8]) -> String {
    if bytes.len() > MAX_DUMP {
        format!("{}...({} bytes)", hex(&bytes[..MAX_DUMP]), bytes.len())
    } else {
        hex(bytes)
    }
}

fn string(bytes: Option<&[u8]>) -> String {
    match bytes {
        None => "null".into(),
        Some(b) => {
            let shown = &b[..b.len().min(80)];
            let tail = if b.len() > 80 {
                format!("...({} bytes)", b.len())
            } else {
                String::new()
            };
            match std::str::from_utf8(shown) {
                Ok(text) => format!("{text:?}{tail}"),
                Err(_) => format!("0x{}{tail}", hex(shown)),
            }
        }
    }
}

/// A request in one line.
pub fn request(request: &Request) -> String {
    let mut input = In::new(&request.body);
    let body = request_body(request.op, &mut input);
    let rest = input.rest();
    let tail = match (&body, rest) {
        (Some(_), []) => String::new(),
        (Some(_), rest) => format!(" +{}", dump(rest)),
        (None, _) => format!(" UNDECODABLE {}", dump(&request.body)),
    };
    format!(
        "xid {} {}{}{tail}",
        request.xid,
        op_name(request.op),
        body.unwrap_or_default()
    )
}

fn request_body(op: i32, i: &mut In<'_>) -> Option<String> {
    use code::*;
    Some(match op {
        CREATE | CREATE2 | CREATE_CONTAINER | CREATE_TTL => {
            let mut s = format!(" {} data {}", string(i.bytes()?), string(i.bytes()?));
            s += &acl(i)?;
            s += &format!(" flags {}", i.int()?);
            if op == CREATE_TTL {
                s += &format!(" ttl {}", i.long()?);
            }
            s
        }
        DELETE | CHECK => format!(" {} version {}", string(i.bytes()?), i.int()?),
        EXISTS | GET_DATA | GET_CHILDREN | GET_CHILDREN2 => {
            format!(" {} watch {}", string(i.bytes()?), i.bool()?)
        }
        SET_DATA => format!(
            " {} data {} version {}",
            string(i.bytes()?),
            string(i.bytes()?),
            i.int()?
        ),
        GET_ACL | SYNC | GET_EPHEMERALS | GET_ALL_CHILDREN_NUMBER | DELETE_CONTAINER => {
            format!(" {}", string(i.bytes()?))
        }
        SET_ACL => format!(" {}{} version {}", string(i.bytes()?), acl(i)?, i.int()?),
        MULTI | MULTI_READ => {
            let mut s = String::from(" [");
            loop {
                let (op, done, err) = (i.int()?, i.bool()?, i.int()?);
                if done {
                    break format!("{s} ]");
                }
                if err != -1 {
                    s += &format!(" err {err}");
                }
                s += &format!(" {}{};", op_name(op), request_body(op, i)?);
            }
        }
        RECONFIG => format!(
            " joining {} leaving {} members {} config {}",
            string(i.bytes()?),
            string(i.bytes()?),
            string(i.bytes()?),
            i.long()?
        ),
        CHECK_WATCHES | REMOVE_WATCHES => format!(" {} type {}", string(i.bytes()?), i.int()?),
        ADD_WATCH => format!(" {} mode {}", string(i.bytes()?), i.int()?),
        AUTH => format!(
            " type {} scheme {} auth {}",
            i.int()?,
            string(i.bytes()?),
            string(i.bytes()?)
        ),
        SET_WATCHES | SET_WATCHES2 => {
            let mut s = format!(" zxid {}", i.long()?);
            let names: &[&str] = &["data", "exist", "child", "persistent", "recursive"];
            for name in &names[..if op == SET_WATCHES { 3 } else { 5 }] {
                s += &format!(" {name} {}", strings(i)?);
            }
            s
        }
        SASL => format!(" token {}", string(i.bytes()?)),
        _ => String::new(),
    })
}

fn strings(i: &mut In<'_>) -> Option<String> {
    let n = i.int()?;
    if n < 0 {
        return Some(format!("null({n})"));
    }
    let mut items = Vec::new();
    for _ in 0..n {
        items.push(string(i.bytes()?));
    }
    Some(format!("[{}]", items.join(", ")))
}

fn acl(i: &mut In<'_>) -> Option<String> {
    let n = i.int()?;
    if n < 0 {
        return Some(format!(" acl null({n})"));
    }
    let mut items = Vec::new();
    for _ in 0..n {
        items.push(format!(
            "{}:{}:{}",
            i.int()?,
            string(i.bytes()?),
            string(i.bytes()?)
        ));
    }
    Some(format!(" acl [{}]", items.join(", ")))
}

fn stat(i: &mut In<'_>) -> Option<String> {
    Some(format!(
        " stat(czxid {} mzxid {} ctime {} mtime {} version {} cversion {} aversion {} owner {:#x} dataLength {} numChildren {} pzxid {})",
        i.long()?,
        i.long()?,
        i.long()?,
        i.long()?,
        i.int()?,
        i.int()?,
        i.int()?,
        i.long()?,
        i.int()?,
        i.int()?,
        i.long()?
    ))
}

fn reply_body(op: i32, i: &mut In<'_>) -> Option<String> {
    use code::*;
    Some(match op {
        CREATE | SYNC => format!(" {}", string(i.bytes()?)),
        CREATE2 | CREATE_CONTAINER | CREATE_TTL | GET_DATA | RECONFIG => {
            format!(" {}{}", string(i.bytes()?), stat(i)?)
        }
        EXISTS | SET_DATA | SET_ACL => stat(i)?,
        GET_ACL => format!("{}{}", acl(i)?, stat(i)?),
        GET_CHILDREN | GET_EPHEMERALS => format!(" {}", strings(i)?),
        GET_CHILDREN2 => format!(" {}{}", strings(i)?, stat(i)?),
        GET_ALL_CHILDREN_NUMBER | ADD_WATCH => format!(" {}", i.int()?),
        WHO_AM_I => {
            let n = i.int()?;
            let mut s = String::new();
            for _ in 0..n {
                s += &format!(" {}:{}", string(i.bytes()?), string(i.bytes()?));
            }
            s
        }
        SASL => format!(" token {}", string(i.bytes()?)),
        MULTI | MULTI_READ => {
            let mut s = String::from(" [");
            loop {
                let (kind, done, err) = (i.int()?, i.bool()?, i.int()?);
                if done {
                    break format!("{s} ]");
                }
                s += &format!(" type {kind} err {err}");
                s += &match kind {
                    -1 => format!(" {}", err_name(i.int()?)),
                    DELETE | CHECK => String::new(),
                    kind => reply_body(kind, i)?,
                };
                s.push(';');
            }
        }
        _ => String::new(),
    })
}

/// A received frame in one line, with its bytes.
pub fn frame(requests: &[Request], frame: &Frame) -> String {
    let bytes = &frame.bytes;
    let text = match (frame.kind, Header::of(bytes)) {
        (FrameKind::Connect(_), _) => match crate::conn::connect_response(bytes) {
            Some(c) => format!(
                "connected timeout {} session {:#x} passwd {}",
                c.timeout,
                c.session_id,
                hex(&c.passwd)
            ),
            None => "short connect response".into(),
        },
        (_, None) => "short frame".into(),
        (kind, Some(header)) => {
            let mut input = In::new(&bytes[16..]);
            let head = format!(
                "xid {} zxid {} err {}",
                header.xid,
                header.zxid,
                err_name(header.err)
            );
            match kind {
                FrameKind::Event => {
                    format!("event {head} {}", event(&mut input).unwrap_or_default())
                }
                FrameKind::Reply(n) => {
                    let op = requests[n].op;
                    let body = if header.err == 0 {
                        reply_body(op, &mut input).unwrap_or_default()
                    } else {
                        String::new()
                    };
                    format!("reply to {} {head}{body}", op_name(op))
                }
                _ => format!("stray {head}"),
            }
        }
    };
    format!("{text}\n        {}", dump(bytes))
}

fn event(i: &mut In<'_>) -> Option<String> {
    Some(format!(
        "type {} state {} path {}",
        i.int()?,
        i.int()?,
        string(i.bytes()?)
    ))
}

/// What a step means, one line a request.
pub fn meaning(step: &Step) -> Vec<String> {
    match step {
        Step::Send { requests, .. } | Step::Open { with: requests, .. } => {
            requests.iter().map(request).collect()
        }
        Step::Refused { request: r, .. } => vec![request(r)],
        _ => Vec::new(),
    }
}
