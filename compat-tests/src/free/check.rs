//! The verdict on a free run: all histories together must be those of one tree.
//!
//! Owns: the checks. Does not know: how histories came about.
//!
//! Every write, also a failed one, carries its own zxid in its reply, so the server itself says in
//! which order it did them. The model does them in that order, and every reply, every read (placed
//! after the last transaction that its header names) and every event must be the model's.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::history::{Call, Event, History, Item, Write};
use super::model::{Model, Watches};
use crate::differential::exchange::Header;
use crate::differential::rules::Lens;
use crate::differential::step::Request;
use crate::raw::{In, hex};

/// What a run is checked against.
#[derive(Debug)]
pub struct Frame<'a> {
    /// The node under which all happens, created as transaction `begin`.
    pub root: &'a str,
    /// The root's zxid: the last one before the histories.
    pub begin: i64,
    /// The last zxid of the run.
    pub end: i64,
}

/// How many facts were checked.
#[derive(Debug, Default, Clone, Copy)]
pub struct Checked {
    /// Replies to writes.
    pub writes: usize,
    /// Replies to reads.
    pub reads: usize,
    /// Events.
    pub events: usize,
    /// Sequence numbers.
    pub sequences: usize,
}

struct Reply<'a> {
    history: usize,
    call: &'a Call,
    frame: &'a [u8],
    header: Header,
}

/// Checks everything; the first violation, in words.
pub fn check(histories: &[History], frame: &Frame<'_>) -> Result<Checked, String> {
    let mut checked = Checked::default();
    let mut replies = Vec::new();
    for (i, history) in histories.iter().enumerate() {
        stream(i, history)?;
        for item in &history.items {
            if let Item::Reply { call, frame } = item {
                let header = Header::of(frame).ok_or("short reply")?;
                replies.push(Reply {
                    history: i,
                    call: &history.calls[*call],
                    frame,
                    header,
                });
            }
        }
    }
    checked.sequences = sequences(&replies)?;
    dense(&replies, histories, frame)?;
    // Writes by zxid; reads after the write whose zxid they show, in their own order.
    replies.sort_by_key(|r| (r.header.zxid, matches!(r.call, Call::Read(_))));
    let mut lens = Lens::new();
    for history in histories {
        lens.opened(history.session, history.session.cast_unsigned());
    }
    let mut model = Model::new(frame.root, frame.begin);
    let mut watches: Vec<Watches> = vec![Watches::default(); histories.len()];
    let mut expected: Vec<Vec<Event>> = vec![Vec::new(); histories.len()];
    let mut closes = HashSet::new();
    let last_seen: Vec<i64> = histories.iter().map(last_zxid).collect();
    let first_seen: Vec<i64> = histories.iter().map(first_zxid).collect();
    for reply in &replies {
        let session = histories[reply.history].session;
        let zxid = reply.header.zxid;
        let (err, body) = match reply.call {
            Call::Write(write) => {
                if matches!(write, Write::Close) {
                    closes.insert(zxid);
                }
                let (answer, changes) = model.write(write, session, zxid);
                for (i, watches) in watches.iter_mut().enumerate() {
                    // A connection sees nothing before it was there or after it was gone; what it
                    // watched dies with it.
                    if (first_seen[i]..=last_seen[i]).contains(&zxid) {
                        changes
                            .iter()
                            .for_each(|c| watches.trigger(c, zxid, &mut expected[i]));
                    }
                }
                checked.writes += 1;
                answer
            }
            Call::Read(read) => {
                checked.reads += 1;
                model.read(read, &mut watches[reply.history])
            }
        };
        compare(reply, &mut lens, err, &body)?;
    }
    for (i, history) in histories.iter().enumerate() {
        checked.events += events(i, history, &mut expected[i], &closes)?;
    }
    Ok(checked)
}

fn first_zxid(history: &History) -> i64 {
    history
        .items
        .iter()
        .find_map(|item| match item {
            Item::Reply { frame, .. } => Header::of(frame).map(|h| h.zxid),
            Item::Event(_) => None,
        })
        .unwrap_or(i64::MAX)
}

fn last_zxid(history: &History) -> i64 {
    history
        .items
        .iter()
        .rev()
        .find_map(|item| match item {
            Item::Reply { frame, .. } => Header::of(frame).map(|h| h.zxid),
            Item::Event(_) => None,
        })
        .unwrap_or(0)
}

/// Per connection: replies in the order of calls, zxids never back, no event after a reply that was
/// made when its change was applied already.
fn stream(number: usize, history: &History) -> Result<(), String> {
    let mut next = 0;
    let mut newest = i64::MIN;
    for item in &history.items {
        match item {
            Item::Reply { call, frame } => {
                if *call != next {
                    return Err(format!(
                        "connection {number}: reply to call {call} where {next} is due"
                    ));
                }
                next += 1;
                let zxid = Header::of(frame).map_or(0, |h| h.zxid);
                if zxid < newest {
                    return Err(format!(
                        "connection {number}: reply {call} shows zxid {zxid} after {newest}"
                    ));
                }
                newest = zxid;
            }
            Item::Event(event) => {
                if event.zxid <= newest {
                    return Err(format!(
                        "connection {number}: {event:?} after a reply at zxid {newest}"
                    ));
                }
            }
        }
    }
    if next != history.calls.len() {
        return Err(format!(
            "connection {number}: {} calls, {next} replies",
            history.calls.len()
        ));
    }
    Ok(())
}

/// Every zxid of the run is one write's or one new session's.
fn dense(replies: &[Reply<'_>], histories: &[History], frame: &Frame<'_>) -> Result<(), String> {
    let mut seen = HashMap::new();
    for reply in replies.iter().filter(|r| matches!(r.call, Call::Write(_))) {
        let zxid = reply.header.zxid;
        if zxid <= frame.begin || zxid > frame.end {
            return Err(format!(
                "zxid {zxid} outside {}..={}: {:?}",
                frame.begin + 1,
                frame.end,
                reply.call
            ));
        }
        if let Some(other) = seen.insert(zxid, reply.call) {
            return Err(format!("zxid {zxid} twice: {other:?} and {:?}", reply.call));
        }
    }
    let opened = histories.iter().filter(|h| h.opened).count();
    let used = usize::try_from(frame.end - frame.begin).map_err(|e| e.to_string())?;
    if used != seen.len() + opened {
        return Err(format!(
            "{used} zxids used by {} writes and {opened} new sessions",
            seen.len()
        ));
    }
    Ok(())
}

/// Sequence numbers of one parent: no number twice, and rising with the zxid. Where only sequential
/// creates happen (names ending in `-`), none is left out.
fn sequences(replies: &[Reply<'_>]) -> Result<usize, String> {
    let mut by_prefix: BTreeMap<&str, Vec<(i64, u64)>> = BTreeMap::new();
    for reply in replies {
        let Call::Write(Write::Create {
            path, flags: 2 | 3, ..
        }) = reply.call
        else {
            continue;
        };
        if reply.header.err != 0 {
            continue;
        }
        let made = In::new(&reply.frame[16..])
            .bytes()
            .flatten()
            .unwrap_or_default();
        let made = String::from_utf8_lossy(made);
        let number = made
            .strip_prefix(path.as_str())
            .filter(|digits| digits.len() == 10)
            .and_then(|digits| digits.parse().ok())
            .ok_or_else(|| format!("{made:?} is no sequential name of {path:?}"))?;
        by_prefix
            .entry(path)
            .or_default()
            .push((reply.header.zxid, number));
    }
    let mut count = 0;
    for (path, mut numbers) in by_prefix {
        numbers.sort_unstable();
        count += numbers.len();
        for pair in numbers.windows(2) {
            let dense = !path.ends_with("only-") || pair[1].1 == pair[0].1 + 1;
            if pair[1].1 <= pair[0].1 || !dense {
                return Err(format!(
                    "{path}: number {} (zxid {}) follows {}",
                    pair[1].1, pair[1].0, pair[0].1
                ));
            }
        }
    }
    Ok(count)
}

fn compare(reply: &Reply<'_>, lens: &mut Lens, err: i32, body: &[u8]) -> Result<(), String> {
    let op = reply.call.op();
    let request = Request {
        xid: 0,
        op: op.code(),
        body: Vec::new(),
    };
    let seen = lens.reply(&request, reply.frame)?;
    if reply.header.err == err && seen.get(16..) == Some(body) {
        return Ok(());
    }
    Err(format!(
        "connection {}, zxid {}: {:?}\n  answered err {} {}\n  expected err {err} {}",
        reply.history,
        reply.header.zxid,
        reply.call,
        reply.header.err,
        hex(seen.get(16..).unwrap_or_default()),
        hex(body)
    ))
}

/// The events that came are those that the model says, in its order; within the close of a session
/// in any.
fn events(
    number: usize,
    history: &History,
    expected: &mut [Event],
    closes: &HashSet<i64>,
) -> Result<usize, String> {
    let mut came: Vec<Event> = history
        .items
        .iter()
        .filter_map(|item| match item {
            Item::Event(event) => Some(event.clone()),
            Item::Reply { .. } => None,
        })
        .collect();
    for list in [&mut came[..], &mut *expected] {
        for run in list.chunk_by_mut(|a, b| a.zxid == b.zxid) {
            if closes.contains(&run[0].zxid) {
                run.sort_unstable();
            }
        }
    }
    if came == *expected {
        return Ok(came.len());
    }
    let at = came
        .iter()
        .zip(&*expected)
        .position(|(a, b)| a != b)
        .unwrap_or(came.len().min(expected.len()));
    Err(format!(
        "connection {number}: event {at} is {:?}, expected {:?} ({} came, {} expected)",
        came.get(at),
        expected.get(at),
        came.len(),
        expected.len()
    ))
}
