//! Many sessions on one thread: waits for sockets, cuts replies, keeps every session full.
//!
//! Owns: the connections, the clock, pings, and when a stretch begins and ends.
//!
//! Does not know: what is asked for; see [`load`](crate::load).
//!
//! Invariants: for each wakeup of a session one read, one look at the clock and one write, however
//! many replies it brings; nothing is allocated for an operation once buffers have grown; a
//! stretch ends with nothing in flight.

mod churn;
mod open;

use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use jute::Encode;
use mio::{Events, Poll};
use zk_wire::OpCode;
use zk_wire::client::{RequestHeader, frame, xid};

use crate::conn::{Conn, Pending, State, take_frame};
use crate::error::Error;
use crate::limits::{DRAIN_TIMEOUT, EVENTS, TICK};
use crate::load::{Class, CloseSessions, Idle, Load, Notice, Outcome, Reply, Wake};
use crate::meter::Meter;

/// How long and how hard to run a load.
#[derive(Debug, Clone, Copy)]
pub struct Stretch {
    /// Stop asking after this time; what is in flight is still waited for.
    pub time: Option<Duration>,
    /// Stop asking after this many requests.
    pub requests: u64,
    /// Requests in flight for each session.
    pub outstanding: usize,
    /// Requests a second over all sessions; without it, as many as the outstanding ones allow.
    pub rate: Option<f64>,
    /// Stay to the end of the time even when nothing is in flight.
    pub hold: bool,
}

impl Stretch {
    /// All that the load has, with so many in flight for each session.
    pub fn all(outstanding: usize) -> Self {
        Self {
            time: None,
            requests: u64::MAX,
            outstanding: outstanding.max(1),
            rate: None,
            hold: false,
        }
    }

    /// So long, with so many in flight for each session.
    pub fn time(time: Duration, outstanding: usize) -> Self {
        Self {
            time: Some(time),
            ..Self::all(outstanding)
        }
    }
}

/// What a stretch keeps while it runs.
struct Run<'a, L> {
    load: &'a mut L,
    meter: &'a mut Meter,
    wake: Wake,
    stretch: Stretch,
    start: u64,
    /// Nothing is asked for after this.
    end: u64,
    asking: bool,
    asked: u64,
    in_flight: usize,
    /// When the last operation succeeded.
    last: u64,
    /// When anything last came.
    heard: u64,
    /// Servers closing connections is what is wanted.
    closing: bool,
}

impl<'a, L: Load> Run<'a, L> {
    fn new(load: &'a mut L, meter: &'a mut Meter, stretch: Stretch, start: u64) -> Self {
        let time = stretch.time.map(|time| time.as_nanos() as u64);
        Self {
            load,
            meter,
            wake: Wake::default(),
            stretch,
            start,
            end: time.map_or(u64::MAX, |time| start.saturating_add(time)),
            asking: true,
            asked: 0,
            in_flight: 0,
            last: start,
            heard: start,
            closing: false,
        }
    }

    fn may_ask(&self) -> bool {
        self.asking && self.asked < self.stretch.requests
    }

    /// Nothing is in flight, and nothing more will be.
    fn is_over(&self) -> bool {
        if self.in_flight > 0 || !self.load.is_quiet() {
            return false;
        }
        let paced = self.stretch.rate.is_some() && self.may_ask();
        !(paced || self.stretch.hold && self.asking)
    }
}

/// When paced requests are due.
struct Pace {
    interval: f64,
    due: f64,
    /// The request that is due could not be sent in time, since no session was free.
    late: bool,
    session: usize,
}

/// The sessions.
#[derive(Debug)]
pub struct Engine {
    poll: Poll,
    conns: Vec<Conn>,
    hosts: Vec<SocketAddr>,
    timeout_ms: i32,
    start: Instant,
    buffer: Vec<u8>,
    out: Vec<u8>,
    ping: Vec<u8>,
    /// Connections begun so far, from which the source address follows.
    connections: usize,
}

impl Engine {
    /// An engine without sessions; they will ask for this session timeout.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn new(hosts: Vec<SocketAddr>, timeout_ms: i32) -> Result<Self, Error> {
        let mut ping = Vec::new();
        let begin = frame::begin(&mut ping);
        RequestHeader {
            xid: xid::PING,
            op: OpCode::Ping.to_i32(),
        }
        .encode(&mut ping);
        frame::finish(&mut ping, begin);
        Ok(Self {
            poll: Poll::new().map_err(|error| Error::Io("epoll", error))?,
            conns: Vec::new(),
            hosts,
            timeout_ms,
            start: Instant::now(),
            buffer: Vec::new(),
            out: Vec::new(),
            ping,
            connections: 0,
        })
    }

    /// The number of sessions opened.
    pub fn sessions(&self) -> usize {
        self.conns.len()
    }

    /// The number of servers that sessions go to.
    pub fn hosts(&self) -> usize {
        self.hosts.len()
    }

    /// The id of a session.
    pub fn session_id(&self, session: usize) -> i64 {
        self.conns[session].session_id
    }

    fn now(&self) -> u64 {
        self.start.elapsed().as_nanos() as u64
    }

    fn wait(&mut self, events: &mut Events, timeout: Duration) -> Result<(), Error> {
        match self.poll.poll(events, Some(timeout)) {
            Err(error) if error.kind() != io::ErrorKind::Interrupted => {
                Err(Error::Io("epoll", error))
            }
            _ => Ok(()),
        }
    }

    /// Runs a load over all sessions; gives the time that it took, without the drain when it was
    /// ended by time.
    ///
    /// # Errors
    /// When the server breaks the protocol, goes silent, or closes every connection.
    pub fn drive(
        &mut self,
        load: &mut impl Load,
        stretch: Stretch,
        meter: &mut Meter,
    ) -> Result<Duration, Error> {
        let start = self.now();
        self.run(&mut Run::new(load, meter, stretch, start))
    }

    fn run(&mut self, run: &mut Run<'_, impl Load>) -> Result<Duration, Error> {
        let patience = DRAIN_TIMEOUT.as_nanos() as u64;
        let mut pace = run.stretch.rate.map(|rate| Pace {
            interval: 1e9 / rate,
            due: run.start as f64,
            late: false,
            session: 0,
        });
        if pace.is_none() {
            for session in 0..self.conns.len() {
                self.fill(session, run.start, run)?;
            }
        }
        let mut tick = run.start;
        let mut events = Events::with_capacity(EVENTS);
        loop {
            let now = self.now();
            if now >= run.end {
                run.asking = false;
            }
            if run.is_over() {
                break;
            }
            if run.in_flight > 0 && now.saturating_sub(run.heard) > patience
                || !run.asking && now.saturating_sub(run.end) > patience
            {
                return Err(Error::Stuck(run.in_flight));
            }
            if now >= tick {
                tick = now + TICK.as_nanos() as u64;
                self.ping_idle();
            }
            let mut until = if run.asking { tick.min(run.end) } else { tick };
            if let Some(pace) = &mut pace {
                self.paced(pace, now, run)?;
                if run.may_ask() && !pace.late {
                    until = until.min(pace.due as u64);
                }
            }
            let pause = Duration::from_nanos(until.saturating_sub(self.now()));
            self.wait(&mut events, pause)?;
            for event in &events {
                let session = event.token().0;
                if event.is_writable()
                    && let Err(error) = self.conns[session].flush()
                {
                    self.lose(session, &error.to_string(), run)?;
                }
                if event.is_readable() || event.is_read_closed() {
                    self.receive(session, event.is_read_closed(), run)?;
                    if pace.is_none() {
                        self.fill(session, run.heard, run)?;
                    }
                }
                while let Some(session) = run.wake.take() {
                    let now = self.now();
                    self.fill(session, now, run)?;
                }
            }
        }
        let until = if run.asking { run.last } else { run.end };
        Ok(Duration::from_nanos(until.saturating_sub(run.start)))
    }

    /// Fills a session with requests, and sends them with one write.
    fn fill(
        &mut self,
        session: usize,
        now: u64,
        run: &mut Run<'_, impl Load>,
    ) -> Result<(), Error> {
        let conn = &mut self.conns[session];
        if conn.state != State::Open {
            return Ok(());
        }
        self.out.clear();
        while run.may_ask() && conn.pending.len() < run.stretch.outstanding {
            let xid = conn.next_xid();
            let Some(tag) = run.load.next(session, xid, now, &mut self.out) else {
                break;
            };
            let start = now;
            conn.pending.push_back(Pending { start, xid, tag });
            run.in_flight += 1;
            run.asked += 1;
        }
        if self.out.is_empty() {
            return Ok(());
        }
        match conn.send(&self.out, now) {
            Ok(()) => Ok(()),
            Err(error) => self.lose(session, &error.to_string(), run),
        }
    }

    /// Sends what is due by now. A request for which a session was free counts from its sending;
    /// one that had to wait for a session counts from the time it was due.
    fn paced(
        &mut self,
        pace: &mut Pace,
        now: u64,
        run: &mut Run<'_, impl Load>,
    ) -> Result<(), Error> {
        while run.may_ask() && pace.due <= now as f64 {
            let free = (0..self.conns.len())
                .map(|step| (pace.session + step) % self.conns.len())
                .find(|&session| {
                    let conn = &self.conns[session];
                    conn.state == State::Open && conn.pending.len() < run.stretch.outstanding
                });
            let Some(session) = free else {
                pace.late = true;
                return Ok(());
            };
            let start = if pace.late { pace.due as u64 } else { now };
            pace.session = session + 1;
            pace.due += pace.interval;
            let conn = &mut self.conns[session];
            self.out.clear();
            let xid = conn.next_xid();
            let Some(tag) = run.load.next(session, xid, now, &mut self.out) else {
                return Ok(());
            };
            conn.pending.push_back(Pending { start, xid, tag });
            run.in_flight += 1;
            run.asked += 1;
            if let Err(error) = conn.send(&self.out, now) {
                self.lose(session, &error.to_string(), run)?;
            }
        }
        pace.late = false;
        Ok(())
    }

    /// Reads what has come for a session, and matches it with what waits for it.
    fn receive(
        &mut self,
        session: usize,
        to_end: bool,
        run: &mut Run<'_, impl Load>,
    ) -> Result<(), Error> {
        if self.conns[session].state != State::Open {
            return Ok(());
        }
        let mut buffer = std::mem::take(&mut self.buffer);
        let outcome = self.receive_into(session, to_end, &mut buffer, run);
        self.buffer = buffer;
        match outcome? {
            Some(why) => self.lose(session, &why, run),
            None => Ok(()),
        }
    }

    /// Gives why the connection is gone, if it is.
    fn receive_into(
        &mut self,
        session: usize,
        to_end: bool,
        buffer: &mut Vec<u8>,
        run: &mut Run<'_, impl Load>,
    ) -> Result<Option<String>, Error> {
        loop {
            let (mut bytes, more) = match self.conns[session].read(buffer, to_end) {
                Ok(read) => read,
                Err(error) => return Ok(Some(error.to_string())),
            };
            let now = self.now();
            run.heard = now;
            let conn = &mut self.conns[session];
            loop {
                match take_frame(&mut bytes) {
                    Ok(Some(content)) => reply(session, conn, content, now, run)?,
                    Ok(None) => break,
                    Err(length) => {
                        let what = format!("a frame of {length} bytes");
                        return Err(Error::Protocol(session, what));
                    }
                }
            }
            if !bytes.is_empty() {
                conn.keep(bytes);
            }
            if !more {
                return Ok(None);
            }
        }
    }

    fn lose(
        &mut self,
        session: usize,
        why: &str,
        run: &mut Run<'_, impl Load>,
    ) -> Result<(), Error> {
        let conn = &mut self.conns[session];
        if conn.state == State::Closed {
            return Ok(());
        }
        conn.state = State::Closed;
        let in_flight = conn.pending.len();
        conn.pending.clear();
        run.in_flight -= in_flight;
        // A socket that is gone need not be asked whether it can be forgotten.
        let _ = self.poll.registry().deregister(&mut conn.socket);
        if run.closing && in_flight == 0 {
            return Ok(());
        }
        run.meter.lost(in_flight, format!("connection: {why}"));
        if self.conns.iter().any(|conn| conn.state == State::Open) {
            Ok(())
        } else {
            Err(Error::Lost(why.to_string()))
        }
    }

    /// Pings for sessions that have been silent for a third of their timeout.
    fn ping_idle(&mut self) {
        let now = self.now();
        for conn in &mut self.conns {
            if conn.state != State::Open || conn.ping != 0 {
                continue;
            }
            let third = conn.timeout as u64 * 1_000_000 / 3;
            if now.saturating_sub(conn.sent) >= third {
                conn.ping = now;
                // A connection that is gone is noticed at its next read.
                let _ = conn.send(&self.ping, now);
            }
        }
    }

    /// Lets the sessions be for a time; what comes is only read.
    ///
    /// # Errors
    /// As [`drive`](Self::drive).
    pub fn rest(&mut self, time: Duration, meter: &mut Meter) -> Result<(), Error> {
        let stretch = Stretch {
            hold: true,
            ..Stretch::time(time, 1)
        };
        self.drive(&mut Idle, stretch, meter).map(drop)
    }

    /// Closes every session and forgets it.
    ///
    /// # Errors
    /// When a server does not acknowledge it.
    pub fn close(&mut self) -> Result<(), Error> {
        let mut meter = Meter::default();
        let mut load = CloseSessions::new(self.conns.len());
        let start = self.now();
        let mut run = Run::new(&mut load, &mut meter, Stretch::all(1), start);
        run.closing = true;
        self.run(&mut run)?;
        self.conns.clear();
        if meter.is_clean() {
            Ok(())
        } else {
            Err(Error::Prepare(format!(
                "closing sessions: {:?}",
                meter.kinds
            )))
        }
    }
}

/// Matches one frame with what waits for it.
#[inline]
fn reply(
    session: usize,
    conn: &mut Conn,
    content: &[u8],
    now: u64,
    run: &mut Run<'_, impl Load>,
) -> Result<(), Error> {
    const HEADER: usize = 4 + 8 + 4;
    let broken = |what: String| Err(Error::Protocol(session, what));
    let Some((header, body)) = content.split_first_chunk::<HEADER>() else {
        return broken("a reply shorter than its header".into());
    };
    let number = i32::from_be_bytes([header[0], header[1], header[2], header[3]]);
    let err = i32::from_be_bytes([header[12], header[13], header[14], header[15]]);
    match number {
        xid::PING => {
            if conn.ping == 0 {
                return broken("an answer to no ping".into());
            }
            run.meter.ping(now - conn.ping);
            conn.ping = 0;
        }
        xid::NOTIFICATION => {
            // Kind, state and the path's length come before the path.
            let path = body.get(12..).unwrap_or_default();
            match run.load.notice(session, path, &mut run.wake) {
                Notice::Done(start) => {
                    run.last = now;
                    run.meter
                        .done(Class::Read, now.saturating_sub(start), now <= run.end);
                }
                Notice::Aside => {}
                Notice::Unexpected => run.meter.wrong("a notification that was not expected"),
            }
        }
        _ => {
            let Some(pending) = conn.pending.pop_front() else {
                return broken("a reply to no request".into());
            };
            if pending.xid != number {
                return broken(format!(
                    "a reply to request {number} instead of {}",
                    pending.xid
                ));
            }
            run.in_flight -= 1;
            let reply = Reply { err, body };
            match run.load.reply(session, pending.tag, &reply, &mut run.wake) {
                Outcome::Done(class) => {
                    run.last = now;
                    run.meter
                        .done(class, now.saturating_sub(pending.start), now <= run.end);
                }
                Outcome::Aside => run.last = now,
                Outcome::Failed(code) => run.meter.failed(code),
                Outcome::Wrong(what) => run.meter.wrong(what),
            }
        }
    }
    Ok(())
}
