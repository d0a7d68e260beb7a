//! Carries out steps against two servers at once and compares what comes back.
//!
//! Owns: the connections of both servers, kept in step: a slot is connected on both or on neither.
//!
//! Does not know: how steps are chosen, how servers are started.
//!
//! Why nothing waits for quiescence: a server queues an event to its connection before the reply of
//! the request that caused it, so once the writer has its reply, any other connection's next reply
//! comes after its events. Events are therefore collected with the connection's own next request, or
//! by a ping now and then (`Step::Drain`); `eager` pings every connection after every step, to
//! blame the right step.

use std::collections::HashSet;
use std::net::SocketAddr;
use std::time::Instant;

use super::coverage::Coverage;
use super::exchange::{Difference, FrameKind, Header, Outcome, collect, compare, to_end};
use super::op::{Op, code};
use super::rules::{Lens, Rule};
use super::step::{Passwd, Request, Step};
use crate::conn::{Conn, connect_request, connect_response, request};
use crate::limits::{DRAIN_EVERY, EXPIRY_TIMEOUT, POLL_PAUSE, REPLY_TIMEOUT};
use crate::raw::{Bytes, text};
use crate::servers::{Kind, SUPER_AUTH};

/// The slot of the runner's own session: super, without watches.
pub const OBSERVER: usize = 0;
/// Slots of a run, the observer's included.
pub const SLOTS: usize = 7;
/// A session timeout that does not pass during a run, ms.
pub const LONG_TIMEOUT: i32 = 3_000_000;
/// Asked for by an expiring session, ms: the server's minimum takes its place.
const SHORT_TIMEOUT: i32 = 1;

#[derive(Debug, Default)]
struct Slot {
    session: Option<(i64, Vec<u8>)>,
    conn: Option<Conn>,
}

#[derive(Debug)]
struct Side {
    addr: SocketAddr,
    kind: Kind,
    lens: Lens,
    slots: Vec<Slot>,
}

/// A difference, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mismatch {
    /// Index of the step in the script; past the end for the final walk.
    pub step: usize,
    /// The connection.
    pub slot: usize,
    /// What differs.
    pub difference: Difference,
}

/// Two servers and the connections to them.
#[derive(Debug)]
pub struct Runner {
    sides: [Side; 2],
    /// Ping every connection after every step.
    pub eager: bool,
    /// What happened, counted.
    pub coverage: Coverage,
    /// The left server's newest zxid.
    pub zxid: i64,
    ordinal: u64,
    closes: HashSet<i64>,
    undrained: usize,
    step: usize,
}

type Checked<T> = Result<T, Mismatch>;

impl Runner {
    /// Connects the observer to both.
    pub fn start(addrs: [SocketAddr; 2]) -> Result<Self, String> {
        let side = |addr| -> Result<Side, String> {
            Ok(Side {
                addr,
                kind: Kind::of(addr)?,
                lens: Lens::new(),
                slots: (0..SLOTS).map(|_| Slot::default()).collect(),
            })
        };
        let mut runner = Self {
            sides: [side(addrs[0])?, side(addrs[1])?],
            eager: false,
            coverage: Coverage::default(),
            zxid: 0,
            ordinal: 0,
            closes: HashSet::new(),
            undrained: 0,
            step: 0,
        };
        let auth = Op::Auth {
            kind: 0,
            scheme: text("digest"),
            auth: text(SUPER_AUTH),
        };
        let auth = Request {
            xid: -4,
            op: auth.code(),
            body: auth.body(),
        };
        runner
            .open(
                OBSERVER,
                LONG_TIMEOUT,
                Some(false),
                0,
                &Some(vec![0; 16]),
                &[],
            )
            .and_then(|()| runner.send(OBSERVER, &[auth]).map(drop))
            .map_err(|m| format!("at the start: {}", m.difference.text))?;
        Ok(runner)
    }

    /// Who is who.
    pub fn kinds(&self) -> [Kind; 2] {
        [self.sides[0].kind, self.sides[1].kind]
    }

    /// Whether the slot has a connection.
    pub fn connected(&self, slot: usize) -> bool {
        self.sides[0].slots[slot].conn.is_some()
    }

    /// Whether the slot has a session, closed or not, connected or not.
    pub fn has_session(&self, slot: usize) -> bool {
        self.sides[0].slots[slot].session.is_some()
    }

    /// Moves on to the step with this index, for messages.
    pub fn at(&mut self, step: usize) {
        self.step = step;
    }

    fn mismatch(&self, slot: usize, difference: Difference) -> Mismatch {
        Mismatch {
            step: self.step,
            slot,
            difference,
        }
    }

    fn plain(&self, slot: usize, signature: String) -> Mismatch {
        self.mismatch(
            slot,
            Difference {
                text: signature.clone(),
                signature,
            },
        )
    }

    /// Carries out one step; the left server's frames of a `Send` come back.
    pub fn step(&mut self, step: &Step) -> Checked<Option<Outcome>> {
        let mut frames = None;
        match step {
            Step::Open {
                slot,
                timeout,
                read_only,
                last_zxid,
                passwd,
                with,
            } => {
                if !self.connected(*slot) {
                    self.open(*slot, *timeout, *read_only, *last_zxid, passwd, with)?;
                }
            }
            Step::Attach {
                slot,
                timeout,
                read_only,
                passwd,
            } => {
                if self.has_session(*slot) {
                    self.attach(*slot, *timeout, *read_only, *passwd)?;
                }
            }
            Step::Drop { slot } => {
                self.drain(*slot)?;
                self.disconnect(*slot);
            }
            Step::Send { slot, requests } => {
                if self.connected(*slot) {
                    frames = Some(self.send(*slot, requests)?);
                }
            }
            Step::Frame { slot, bytes } => {
                if self.connected(*slot) {
                    self.frame(*slot, bytes)?;
                }
            }
            Step::Expire { slot, drop } => {
                if self.has_session(*slot) {
                    self.expire(*slot, *drop)?;
                }
            }
            Step::Refused { slot, request } => {
                if self.connected(*slot) {
                    self.refused(*slot, request)?;
                }
            }
            Step::Drain => self.drain_all()?,
        }
        self.undrained += step.weight();
        if self.eager || self.undrained >= DRAIN_EVERY {
            self.drain_all()?;
        }
        Ok(frames)
    }

    /// Sends `requests` on both connections and compares all that comes until they are answered.
    pub fn send(&mut self, slot: usize, requests: &[Request]) -> Checked<Outcome> {
        let mut bytes = Vec::new();
        for r in requests {
            bytes.extend(request(r.xid, r.op, &r.body).framed());
        }
        self.write(slot, &bytes);
        self.answers(slot, requests, None)
    }

    fn write(&mut self, slot: usize, bytes: &[u8]) {
        for side in &mut self.sides {
            if let Some(conn) = &mut side.slots[slot].conn {
                conn.send(bytes);
            }
        }
    }

    /// Collects from both sides, compares, keeps the books; the left outcome comes back.
    fn answers(
        &mut self,
        slot: usize,
        requests: &[Request],
        connect: Option<u64>,
    ) -> Checked<Outcome> {
        let outcomes = self.each(slot, |conn| collect(conn, requests, connect));
        self.verdict(slot, requests, &outcomes)?;
        let [outcome, _] = outcomes;
        if outcome.end.is_some() {
            self.disconnect(slot);
        }
        Ok(outcome)
    }

    fn each(&mut self, slot: usize, mut read: impl FnMut(&mut Conn) -> Outcome) -> [Outcome; 2] {
        let [left, right] = &mut self.sides;
        [left, right].map(|side| {
            side.slots[slot]
                .conn
                .as_mut()
                .map(&mut read)
                .unwrap_or_default()
        })
    }

    fn verdict(
        &mut self,
        slot: usize,
        requests: &[Request],
        outcomes: &[Outcome; 2],
    ) -> Checked<()> {
        for frame in &outcomes[0].frames {
            let Some(header) = Header::of(&frame.bytes) else {
                continue;
            };
            if let FrameKind::Reply(i) = frame.kind {
                if requests[i].op == code::CLOSE_SESSION && header.err == 0 {
                    self.closes.insert(header.zxid);
                }
                self.zxid = self.zxid.max(header.zxid);
            }
        }
        self.coverage.record(requests, &outcomes[0]);
        let closes = &self.closes;
        let [left, right] = &mut self.sides;
        compare(
            [&mut left.lens, &mut right.lens],
            requests,
            outcomes,
            &|zxid| closes.contains(&zxid),
        )
        .map_err(|d| self.mismatch(slot, d))
    }

    /// Leaves on both sides. Waits until the servers have noticed: Java would otherwise, when it
    /// finds the old socket closed, forget a newer connection of the same session.
    fn disconnect(&mut self, slot: usize) {
        for side in &mut self.sides {
            if let Some(conn) = side.slots[slot].conn.take() {
                conn.hang_up(REPLY_TIMEOUT);
            }
        }
    }

    /// Collects what the slot's connections have received.
    fn drain(&mut self, slot: usize) -> Checked<()> {
        if self.connected(slot) {
            self.send(
                slot,
                &[Request {
                    xid: -2,
                    op: code::PING,
                    body: vec![],
                }],
            )?;
        }
        Ok(())
    }

    /// Collects from all connections: all pings go out first, then the answers are read.
    pub fn drain_all(&mut self) -> Checked<()> {
        self.undrained = 0;
        let ping = [Request {
            xid: -2,
            op: code::PING,
            body: vec![],
        }];
        let bytes = request(-2, code::PING, &[]).framed();
        let open: Vec<_> = (0..SLOTS).filter(|s| self.connected(*s)).collect();
        for slot in &open {
            self.write(*slot, &bytes);
        }
        for slot in open {
            self.answers(slot, &ping, None)?;
        }
        Ok(())
    }

    fn dial(&self, slot: usize) -> Checked<[Conn; 2]> {
        let dial = |side: &Side| {
            Conn::open(side.addr).map_err(|e| {
                self.plain(
                    slot,
                    format!("{:?} at {}: connect: {e}", side.kind, side.addr),
                )
            })
        };
        Ok([dial(&self.sides[0])?, dial(&self.sides[1])?])
    }

    fn open(
        &mut self,
        slot: usize,
        timeout: i32,
        read_only: Option<bool>,
        last_zxid: i64,
        passwd: &Bytes,
        with: &[Request],
    ) -> Checked<()> {
        let conns = self.dial(slot)?;
        let mut bytes = connect_request(last_zxid, timeout, 0, passwd, read_only).framed();
        for r in with {
            bytes.extend(request(r.xid, r.op, &r.body).framed());
        }
        for (side, mut conn) in self.sides.iter_mut().zip(conns) {
            conn.send(&bytes);
            side.slots[slot] = Slot {
                session: None,
                conn: Some(conn),
            };
        }
        let ordinal = self.ordinal + 1;
        let outcomes = self.each(slot, |conn| collect(conn, with, Some(ordinal)));
        let refused = outcomes[0].frames.is_empty();
        if !refused {
            self.ordinal = ordinal;
        }
        self.verdict(slot, with, &outcomes)?;
        for (side, outcome) in self.sides.iter_mut().zip(&outcomes) {
            let answer = outcome
                .frames
                .first()
                .and_then(|f| connect_response(&f.bytes));
            side.slots[slot].session = answer
                .filter(|a| a.session_id != 0)
                .map(|a| (a.session_id, a.passwd));
        }
        self.coverage.count(if refused {
            "connect: closed"
        } else {
            "connect: new session"
        });
        if outcomes[0].end.is_some() {
            self.disconnect(slot);
        }
        Ok(())
    }

    /// Attaches; whether the servers took the session.
    fn attach(
        &mut self,
        slot: usize,
        timeout: i32,
        read_only: Option<bool>,
        passwd: Passwd,
    ) -> Checked<bool> {
        // What the old connection received is compared while it surely flushes.
        self.drain(slot)?;
        let conns = self.dial(slot)?;
        let mut old = Vec::new();
        for (side, mut conn) in self.sides.iter_mut().zip(conns) {
            let state = &mut side.slots[slot];
            let (id, right) = state.session.clone().unwrap_or_default();
            let offered = match passwd {
                Passwd::Right => Some(right),
                Passwd::Wrong => Some(
                    right
                        .iter()
                        .enumerate()
                        .map(|(i, b)| if i == 0 { !b } else { *b })
                        .collect(),
                ),
                Passwd::Empty => Some(vec![]),
                Passwd::Null => None,
            };
            conn.send(&connect_request(0, timeout, id, &offered, read_only).framed());
            old.push(state.conn.replace(conn));
        }
        let outcomes = self.each(slot, |conn| collect(conn, &[], Some(0)));
        self.verdict(slot, &[], &outcomes)?;
        let taken = outcomes[0].end.is_none();
        if taken {
            let ends: Vec<_> = old
                .iter_mut()
                .map(|c| {
                    c.as_mut()
                        .map(|c| to_end(c, REPLY_TIMEOUT))
                        .unwrap_or_default()
                })
                .collect();
            let ends: [Outcome; 2] = ends.try_into().expect("two sides");
            self.verdict(slot, &[], &ends)?;
            self.coverage.count("connect: attached");
        } else {
            self.sides[0].lens.note(Rule::OldConnectionOnWrongPassword);
            old.into_iter()
                .flatten()
                .for_each(|conn| conn.hang_up(REPLY_TIMEOUT));
            self.disconnect(slot);
            self.coverage.count("connect: attach refused");
        }
        Ok(taken)
    }

    fn frame(&mut self, slot: usize, bytes: &[u8]) -> Checked<()> {
        self.drain(slot)?;
        if !self.connected(slot) {
            return Ok(());
        }
        self.write(slot, bytes);
        let outcomes = self.each(slot, |conn| to_end(conn, REPLY_TIMEOUT));
        self.verdict(slot, &[], &outcomes)?;
        self.coverage.count("frame: closed");
        self.disconnect(slot);
        Ok(())
    }

    fn expire(&mut self, slot: usize, drop: bool) -> Checked<()> {
        self.drain_all()?;
        let before = self.zxid;
        if !self.attach(slot, SHORT_TIMEOUT, Some(false), Passwd::Right)? {
            return Ok(());
        }
        if drop {
            self.disconnect(slot);
        }
        let ping = request(-2, code::PING, &[]).framed();
        for at in 0..2 {
            let deadline = Instant::now() + EXPIRY_TIMEOUT;
            loop {
                let side = &mut self.sides[at];
                let Some(conn) = &mut side.slots[OBSERVER].conn else {
                    return Err(self.plain(OBSERVER, "the observer lost its connection".into()));
                };
                conn.send(&ping);
                let zxid = conn
                    .frame(REPLY_TIMEOUT)
                    .ok()
                    .and_then(|f| Header::of(&f))
                    .map(|h| h.zxid);
                match zxid {
                    Some(zxid) if zxid > before => break,
                    Some(_) if Instant::now() < deadline => {}
                    _ => {
                        return Err(
                            self.plain(slot, format!("no expiry on the {}", ["left", "right"][at]))
                        );
                    }
                }
                // Polled: nobody is told of an expiry but the dead session's own connection.
                std::thread::sleep(POLL_PAUSE);
            }
        }
        self.closes.insert(before + 1);
        self.zxid = before + 1;
        if !drop {
            let ends = self
                .each(slot, |conn| to_end(conn, REPLY_TIMEOUT))
                .map(|o| o.end);
            if ends[0] != ends[1] {
                return Err(self.plain(
                    slot,
                    format!("expired connection: {:?} against {:?}", ends[0], ends[1]),
                ));
            }
            self.sides[0].lens.note(Rule::ExpiredTail);
        }
        self.disconnect(slot);
        self.coverage.count("session: expired");
        self.drain_all()
    }

    /// Sends a request to the servers that refuse it: an error reply or a close, and nothing changed
    /// that the other server has not. Java is spared.
    fn refused(&mut self, slot: usize, request_: &Request) -> Checked<()> {
        if self.kinds() == [Kind::Java, Kind::Java] {
            return Ok(());
        }
        self.drain_all()?;
        if !self.connected(slot) {
            return Ok(());
        }
        let bytes = request(request_.xid, request_.op, &request_.body).framed();
        for at in 0..2 {
            let side = &mut self.sides[at];
            if side.kind == Kind::Java {
                continue;
            }
            side.lens.note(Rule::Refused);
            let Some(conn) = &mut side.slots[slot].conn else {
                continue;
            };
            conn.send(&bytes);
            let outcome = collect(conn, std::slice::from_ref(request_), None);
            let refused = match outcome.frames.as_slice() {
                [] => outcome.end == Some(crate::conn::End::Closed),
                [frame] => Header::of(&frame.bytes)
                    .is_some_and(|h| h.err != 0 || request_.op == code::MULTI),
                _ => false,
            };
            if !refused {
                let text = format!(
                    "not refused: {}\n  {outcome:?}",
                    super::print::request(request_)
                );
                return Err(self.mismatch(
                    slot,
                    Difference {
                        signature: "not refused".into(),
                        text,
                    },
                ));
            }
        }
        self.coverage.count("refused");
        // The connection may be closed on one side only; the session goes on over a new one.
        self.disconnect(slot);
        self.realign()?;
        self.attach(slot, LONG_TIMEOUT, Some(false), Passwd::Right)?;
        Ok(())
    }

    /// Lets the side that is behind consume zxids by deletes that fail.
    fn realign(&mut self) -> Checked<()> {
        let ping = request(-2, code::PING, &[]).framed();
        let nothing = Op::Versioned {
            op: code::DELETE,
            path: text("/no/such/node"),
            version: -1,
        };
        let nothing = request(1, code::DELETE, &nothing.body()).framed();
        let mut zxids = [0i64; 2];
        for (side, zxid) in self.sides.iter_mut().zip(&mut zxids) {
            let Some(conn) = &mut side.slots[OBSERVER].conn else {
                continue;
            };
            conn.send(&ping);
            *zxid = conn
                .frame(REPLY_TIMEOUT)
                .ok()
                .and_then(|f| Header::of(&f))
                .map_or(0, |h| h.zxid);
        }
        let target = zxids[0].max(zxids[1]);
        for (side, zxid) in self.sides.iter_mut().zip(zxids) {
            let Some(conn) = &mut side.slots[OBSERVER].conn else {
                continue;
            };
            for _ in 0..(target - zxid).min(4) {
                conn.send(&nothing);
                let _ = conn.frame(REPLY_TIMEOUT);
            }
        }
        self.zxid = target;
        self.drain(OBSERVER)
    }

    /// Says that both servers have read the same log before the run.
    pub fn set_loaded(&mut self) {
        for side in &mut self.sides {
            side.lens.loaded = true;
        }
    }

    /// How often each rule was applied, on the left.
    pub fn rules_used(&self) -> &std::collections::BTreeMap<Rule, u64> {
        &self.sides[0].lens.used
    }

    /// The clocks' last check: all times lie within `from` and now (ms since 1970).
    pub fn check_clocks(&self, from: i64, now: i64) -> Checked<()> {
        /// Clocks are read before a transaction is shown, in whole milliseconds.
        const SLACK_MS: i64 = 2000;
        for (side, name) in self.sides.iter().zip(["left", "right"]) {
            if let Some((min, max)) = side.lens.time_span()
                && ((min < from - SLACK_MS && !side.lens.loaded) || max > now + SLACK_MS)
            {
                return Err(self.plain(
                    OBSERVER,
                    format!("{name}: times {min}..{max} outside the run {from}..{now}"),
                ));
            }
        }
        Ok(())
    }
}
