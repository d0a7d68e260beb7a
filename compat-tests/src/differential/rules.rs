//! What may differ between two servers that are both right, each as a named rule.
//!
//! Owns: the canonical form of every frame. Two frames agree when their canonical bytes are equal;
//! whatever no rule covers is compared as it came, byte for byte.
//!
//! Does not know: who is left or right, or how frames were got.
//!
//! Invariants: a rule forgives as little as it can. Where a value may differ, its own server must
//! still be consistent about it: a time belongs to a zxid, an owner is a session that was opened, a
//! password follows from the session id.

use std::collections::{BTreeMap, HashMap};

use super::op::code;
use super::step::Request;
use crate::raw::In;

/// A named exception from "every byte equal".
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rule {
    /// ctime and mtime: two machines' clocks. Still checked: within the run, and on each server one
    /// time per zxid, whichever node shows it.
    Clocks,
    /// Session ids start from the server's clock. Still checked: the top byte, and that an
    /// ephemeralOwner on both sides is the same session in order of opening.
    SessionIds,
    /// A password follows from the session id. Still checked: it is exactly the one that Java derives
    /// from the id, on both sides.
    Passwords,
    /// Child lists come from a hash set in Java. Still checked: the same names.
    ChildOrder,
    /// getEphemerals: a hash set too. Still checked: the same paths.
    EphemeralsOrder,
    /// A connection's identities are a hash set in Java: whoAmI and what the `auth` scheme expands to
    /// come in its order. Still checked: the same entries; entries of other schemes keep their place.
    IdentityOrder,
    /// Characters above U+FFFF in an ACL's id: Java shows them until it reads its own log or
    /// proposal, which cannot hold them, and then as two U+FFFD; zabkeeper shows those at once (see
    /// docs/differences.md). Still checked: everything else of the id.
    AstralIds,
    /// Java deletes a closed session's ephemerals in a hash set's order, so events of that one
    /// zxid come in any order. Still checked: the same events.
    CloseOrder,
    /// Java answers auth and sasl when they arrive, past requests that are still queued. Still
    /// checked: all other replies in order, and the auth replies among themselves.
    AuthReplyOrder,
    /// What an expired session's own connection still receives before the server closes it: Java
    /// closes without flushing. Still checked: it is closed.
    ExpiredTail,
    /// Java closes the session's old connection before it checks the new one's password; zabkeeper
    /// keeps it (see docs/differences.md). Neither side's old connection is used afterwards.
    OldConnectionOnWrongPassword,
    /// Requests that stop a Java server, or that it obeys although no client may send them, go to the
    /// other server only, which must refuse them (see docs/differences.md).
    Refused,
}

/// All rules, with the reason in short, for the report.
pub const RULES: &[(Rule, &str)] = &[
    (Rule::Clocks, "ctime and mtime are the server's clock"),
    (
        Rule::SessionIds,
        "session ids are seeded by the clock; ephemeralOwner compared through a map",
    ),
    (
        Rule::Passwords,
        "passwords follow from the id; each checked against the derivation",
    ),
    (Rule::ChildOrder, "child lists are hash sets"),
    (Rule::EphemeralsOrder, "getEphemerals is a hash set"),
    (
        Rule::IdentityOrder,
        "identities of a connection are a hash set",
    ),
    (Rule::CloseOrder, "deletions within one session's close"),
    (
        Rule::AuthReplyOrder,
        "auth and sasl replies may overtake queued requests",
    ),
    (
        Rule::ExpiredTail,
        "an expired session's connection is closed without flushing",
    ),
    (
        Rule::OldConnectionOnWrongPassword,
        "deliberate: a wrong password closes nobody's connection",
    ),
    (
        Rule::Refused,
        "deliberate: inputs that stop or bypass Java are refused",
    ),
];

/// The password that every server derives from a session id (`java.util.Random`, 48-bit generator).
pub fn password(session_id: i64) -> [u8; 16] {
    const MASK: u64 = (1 << 48) - 1;
    let mut s = (session_id.cast_unsigned() ^ 0xB341_5C00 ^ 0x5_DEEC_E66D) & MASK;
    let mut out = [0; 16];
    for chunk in out.chunks_exact_mut(4) {
        s = (s.wrapping_mul(0x5_DEEC_E66D).wrapping_add(0xB)) & MASK;
        let word = u32::try_from(s >> 16).expect("48 - 16 bits");
        chunk.copy_from_slice(&word.to_le_bytes());
    }
    out
}

/// One server's view: what its free values have meant so far.
#[derive(Debug, Default)]
pub struct Lens {
    sessions: HashMap<i64, u64>,
    times: HashMap<i64, i64>,
    /// The server has read a log before, the same one as the other server: what it holds has the
    /// owners of that log, which are compared as they are.
    pub loaded: bool,
    /// How often each rule was applied.
    pub used: BTreeMap<Rule, u64>,
}

/// A server contradicted itself where a rule lets it choose.
pub type Broken = String;

impl Lens {
    /// A server at its first transaction: zxid 0 is the time 0.
    pub fn new() -> Self {
        Self {
            times: HashMap::from([(0, 0)]),
            ..Self::default()
        }
    }

    /// Names the `ordinal`th session opened.
    pub fn opened(&mut self, session_id: i64, ordinal: u64) {
        self.sessions.insert(session_id, ordinal);
    }

    fn apply(&mut self, rule: Rule) {
        *self.used.entry(rule).or_default() += 1;
    }

    /// Counts a rule that was applied outside this file.
    pub fn note(&mut self, rule: Rule) {
        self.apply(rule);
    }

    /// Canonical ConnectResponse; `ordinal` is the session's number if this one is new.
    pub fn connect(&mut self, frame: &[u8], ordinal: u64) -> Result<Vec<u8>, Broken> {
        let Some(answer) = crate::conn::connect_response(frame) else {
            return Ok(frame.to_vec());
        };
        if answer.session_id == 0 {
            return Ok(frame.to_vec());
        }
        self.apply(Rule::Passwords);
        let right = password(answer.session_id);
        if answer.passwd != right {
            return Err(format!(
                "password of session {:#x} is {}, derived {}",
                answer.session_id,
                crate::raw::hex(&answer.passwd),
                crate::raw::hex(&right)
            ));
        }
        self.apply(Rule::SessionIds);
        let number = *self.sessions.entry(answer.session_id).or_insert(ordinal);
        let mut out = frame.to_vec();
        // The top byte is the server's own id, and stays.
        out[9..16].copy_from_slice(&number.to_be_bytes()[1..]);
        out[20..36].fill(0);
        Ok(out)
    }

    /// Canonical reply to `request`.
    pub fn reply(&mut self, request: &Request, frame: &[u8]) -> Result<Vec<u8>, Broken> {
        let mut input = In::new(frame);
        let Some(header) = input.take(16) else {
            return Ok(frame.to_vec());
        };
        let mut out = header.to_vec();
        // A failed reply has no body, but for a multiRead that holds another kind of operation: it
        // brings the results made until then.
        let failed = header[12..16] != [0; 4] && request.op != code::MULTI_READ;
        let whole = if failed {
            None
        } else {
            self.body(request.op, &mut input, &mut out)?
        };
        match whole {
            // A body that is not laid out as its op says is compared as it came.
            None => Ok(frame.to_vec()),
            Some(()) => {
                out.extend_from_slice(input.rest());
                Ok(out)
            }
        }
    }

    fn body(
        &mut self,
        op: i32,
        input: &mut In<'_>,
        out: &mut Vec<u8>,
    ) -> Result<Option<()>, Broken> {
        use code::*;
        Ok(match op {
            CREATE2 | CREATE_CONTAINER | CREATE_TTL | GET_DATA | RECONFIG => {
                match copy_bytes(input, out) {
                    None => None,
                    Some(()) => self.stat(input, out)?,
                }
            }
            EXISTS | SET_DATA | SET_ACL => self.stat(input, out)?,
            GET_ACL => match self.acl(input, out) {
                None => None,
                Some(()) => self.stat(input, out)?,
            },
            GET_CHILDREN => self.sorted(Rule::ChildOrder, input, out),
            GET_CHILDREN2 => match self.sorted(Rule::ChildOrder, input, out) {
                None => None,
                Some(()) => self.stat(input, out)?,
            },
            GET_EPHEMERALS => self.sorted(Rule::EphemeralsOrder, input, out),
            WHO_AM_I => self.identities(input, out),
            MULTI | MULTI_READ => self.multi(input, out)?,
            // Everything else has no free value.
            _ => Some(()),
        })
    }

    /// Stat: czxid mzxid ctime mtime version cversion aversion owner dataLength numChildren pzxid.
    fn stat(&mut self, input: &mut In<'_>, out: &mut Vec<u8>) -> Result<Option<()>, Broken> {
        let Some(stat) = input.take(68) else {
            return Ok(None);
        };
        let long =
            |at: usize| i64::from_be_bytes(stat[at..at + 8].try_into().expect("eight bytes"));
        self.apply(Rule::Clocks);
        self.time(long(0), long(16), "ctime")?;
        self.time(long(8), long(24), "mtime")?;
        let owner = long(44);
        let owner = if owner == 0 {
            0
        } else {
            self.apply(Rule::SessionIds);
            match self.sessions.get(&owner) {
                Some(number) => *number,
                None if self.loaded => owner.cast_unsigned(),
                None => {
                    return Err(format!(
                        "ephemeralOwner {owner:#x} is no session of this run"
                    ));
                }
            }
        };
        out.extend_from_slice(&stat[..16]);
        out.extend_from_slice(&[0; 16]);
        out.extend_from_slice(&stat[32..44]);
        out.extend_from_slice(&owner.to_be_bytes());
        out.extend_from_slice(&stat[52..]);
        Ok(Some(()))
    }

    fn time(&mut self, zxid: i64, time: i64, what: &str) -> Result<(), Broken> {
        let known = *self.times.entry(zxid).or_insert(time);
        if known == time {
            Ok(())
        } else {
            Err(format!(
                "{what} {time} for zxid {zxid}, but {known} elsewhere"
            ))
        }
    }

    /// The earliest and latest time seen but for zxid 0.
    pub fn time_span(&self) -> Option<(i64, i64)> {
        let times = || {
            self.times
                .iter()
                .filter(|(zxid, _)| **zxid != 0)
                .map(|(_, t)| *t)
        };
        Some((times().min()?, times().max()?))
    }

    fn sorted(&mut self, rule: Rule, input: &mut In<'_>, out: &mut Vec<u8>) -> Option<()> {
        let mut probe = input.clone();
        let count = probe.int()?;
        let mut names = Vec::new();
        for _ in 0..count {
            names.push(probe.bytes()?);
        }
        if names.len() > 1 {
            self.apply(rule);
            names.sort_unstable();
        }
        out.extend_from_slice(&count.to_be_bytes());
        names.into_iter().for_each(|n| put_bytes(out, n));
        *input = probe;
        Some(())
    }

    fn identities(&mut self, input: &mut In<'_>, out: &mut Vec<u8>) -> Option<()> {
        let mut probe = input.clone();
        let count = probe.int()?;
        let mut ids = Vec::new();
        for _ in 0..count {
            ids.push((probe.bytes()?, probe.bytes()?));
        }
        if ids.len() > 1 {
            self.apply(Rule::IdentityOrder);
            ids.sort_unstable();
        }
        out.extend_from_slice(&count.to_be_bytes());
        for (scheme, user) in ids {
            put_bytes(out, scheme);
            put_bytes(out, user);
        }
        *input = probe;
        Some(())
    }

    /// Sorts neighbours that can come from one `auth` entry: digest ids with the same perms.
    fn acl(&mut self, input: &mut In<'_>, out: &mut Vec<u8>) -> Option<()> {
        let mut probe = input.clone();
        let count = probe.int()?;
        let mut entries = Vec::new();
        for _ in 0..count {
            entries.push((probe.int()?, probe.bytes()?, probe.bytes()?));
        }
        for run in
            entries.chunk_by_mut(|a, b| a.0 == b.0 && a.1 == b.1 && a.1 == Some(&b"digest"[..]))
        {
            if run.len() > 1 {
                self.apply(Rule::IdentityOrder);
                run.sort_unstable();
            }
        }
        out.extend_from_slice(&count.to_be_bytes());
        for (perms, scheme, id) in entries {
            out.extend_from_slice(&perms.to_be_bytes());
            put_bytes(out, scheme);
            let replaced = id.and_then(without_astral);
            if replaced.is_some() {
                self.apply(Rule::AstralIds);
            }
            put_bytes(out, replaced.as_deref().or(id));
        }
        *input = probe;
        Some(())
    }

    fn multi(&mut self, input: &mut In<'_>, out: &mut Vec<u8>) -> Result<Option<()>, Broken> {
        loop {
            let Some(header) = input.take(9) else {
                return Ok(None);
            };
            out.extend_from_slice(header);
            let kind = i32::from_be_bytes(header[..4].try_into().expect("four bytes"));
            if header[4] != 0 {
                return Ok(Some(()));
            }
            let part = match kind {
                -1 => input.take(4).map(|b| out.extend_from_slice(b)),
                code::CREATE => copy_bytes(input, out),
                code::DELETE | code::CHECK => Some(()),
                code::SET_DATA => self.stat(input, out)?,
                code::GET_CHILDREN => self.sorted(Rule::ChildOrder, input, out),
                code::CREATE2 | code::GET_DATA => match copy_bytes(input, out) {
                    None => None,
                    Some(()) => self.stat(input, out)?,
                },
                _ => None,
            };
            if part.is_none() {
                return Ok(None);
            }
        }
    }

    /// Brings the events of one session's close into one order. `frames` are all of one connection,
    /// canonical, replies and events; `is_close` tells the zxids of closes.
    pub fn order_closes(&mut self, frames: &mut [Vec<u8>], is_close: impl Fn(i64) -> bool) {
        let closing = |frame: &[u8]| {
            let mut input = In::new(frame);
            (input.int() == Some(-1))
                .then(|| input.long())
                .flatten()
                .filter(|zxid| is_close(*zxid))
        };
        for run in frames.chunk_by_mut(|a, b| closing(a).is_some() && closing(a) == closing(b)) {
            if run.len() > 1 {
                self.apply(Rule::CloseOrder);
                run.sort_unstable();
            }
        }
    }
}

/// Whether a reply to this op may come out of order (see [`Rule::AuthReplyOrder`]).
pub fn overtakes(op: i32) -> bool {
    matches!(op, code::AUTH | code::SASL)
}

/// The text with each pair of encoded surrogates as two U+FFFD; `None` when there is no pair.
fn without_astral(text: &[u8]) -> Option<Vec<u8>> {
    const REPLACED: &[u8] = "\u{fffd}\u{fffd}".as_bytes();
    let pair = |w: &[u8]| {
        w[0] == 0xed && (0xa0..0xb0).contains(&w[1]) && w[3] == 0xed && (0xb0..0xc0).contains(&w[4])
    };
    let mut out = text.to_vec();
    for at in 0..text.len().saturating_sub(5) {
        if pair(&text[at..at + 6]) {
            out[at..at + 6].copy_from_slice(REPLACED);
        }
    }
    (out != text).then_some(out)
}

fn put_bytes(out: &mut Vec<u8>, bytes: Option<&[u8]>) {
    match bytes {
        None => out.extend_from_slice(&(-1i32).to_be_bytes()),
        Some(b) => {
            let n = i32::try_from(b.len()).expect("was read with an int length");
            out.extend_from_slice(&n.to_be_bytes());
            out.extend_from_slice(b);
        }
    }
}

fn copy_bytes(input: &mut In<'_>, out: &mut Vec<u8>) -> Option<()> {
    put_bytes(out, input.bytes()?);
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::raw::{Out, hex, text};

    fn stat(czxid: i64, ctime: i64, owner: i64) -> Vec<u8> {
        let mut out = Out::new();
        out.long(czxid)
            .long(czxid)
            .long(ctime)
            .long(ctime)
            .int(0)
            .int(0)
            .int(0)
            .long(owner)
            .int(1)
            .int(0)
            .long(czxid);
        out.0
    }

    fn reply(op: i32, body: &[u8]) -> (Request, Vec<u8>) {
        let mut out = Out::new();
        out.int(1).long(5).int(0);
        out.0.extend_from_slice(body);
        (
            Request {
                xid: 1,
                op,
                body: vec![],
            },
            out.0,
        )
    }

    #[test]
    fn derived_passwords() {
        assert_eq!(hex(&password(1)), "054cc74a37327db215e702e20c73f005");
        assert_eq!(
            hex(&password(0x0100_abcd_ef12_0000)),
            "9c4f63baf93e340eda515fa06afeb902"
        );
    }

    #[test]
    fn clocks_and_owners_are_free_but_consistent() {
        let (mut left, mut right) = (Lens::new(), Lens::new());
        left.opened(100, 1);
        right.opened(900, 1);
        let (request, a) = reply(code::EXISTS, &stat(3, 1000, 100));
        let (_, b) = reply(code::EXISTS, &stat(3, 2000, 900));
        assert_eq!(left.reply(&request, &a), right.reply(&request, &b));
        let (_, again) = reply(code::EXISTS, &stat(3, 1001, 100));
        assert!(left.reply(&request, &again).is_err());
        let (_, stranger) = reply(code::EXISTS, &stat(3, 1000, 101));
        assert!(left.reply(&request, &stranger).is_err());
        let (_, other) = reply(code::EXISTS, &stat(4, 2000, 900));
        assert_ne!(left.reply(&request, &a), right.reply(&request, &other));
    }

    #[test]
    fn child_order_is_free_names_are_not() {
        let list = |names: &[&str]| {
            let mut out = Out::new();
            out.strings(&Some(names.iter().map(|n| text(n)).collect()));
            reply(code::GET_CHILDREN, &out.0)
        };
        let mut lens = Lens::new();
        let (request, a) = list(&["x", "y"]);
        let canonical = lens.reply(&request, &a);
        assert_eq!(canonical, lens.reply(&request, &list(&["y", "x"]).1));
        assert_ne!(canonical, lens.reply(&request, &list(&["y", "z"]).1));
    }

    #[test]
    fn astral_characters_in_ids() {
        let seen = b"\xed\xa0\xbd\xed\xb8\x80:x";
        assert_eq!(
            without_astral(seen).as_deref(),
            Some("\u{fffd}\u{fffd}:x".as_bytes())
        );
        assert_eq!(without_astral("\u{fffd}\u{fffd}:x".as_bytes()), None);
        assert_eq!(without_astral(b"x"), None);
    }

    #[test]
    fn only_closes_are_reordered() {
        let event = |zxid: i64, path: &str| {
            let mut out = Out::new();
            out.int(-1)
                .long(zxid)
                .int(0)
                .int(2)
                .int(3)
                .bytes(&text(path));
            out.0
        };
        let mut lens = Lens::new();
        let mut a = vec![
            event(7, "/b"),
            event(7, "/a"),
            event(8, "/b"),
            event(8, "/a"),
        ];
        let untouched = a[2..].to_vec();
        lens.order_closes(&mut a, |z| z == 7);
        assert_eq!(a[..2], [event(7, "/a"), event(7, "/b")]);
        assert_eq!(a[2..], untouched);
    }
}
