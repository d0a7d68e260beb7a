//! Sessions are opened and closed again and again.

use std::time::Duration;

use mio::Events;

use super::open::Opening;
use super::{Engine, Stretch};
use crate::conn::{State, take_frame};
use crate::error::Error;
use crate::limits::{DRAIN_TIMEOUT, EVENTS, TICK};
use crate::load::{Class, CloseSessions};
use crate::meter::Meter;

/// One address's ports would not be enough, however few sessions are open at a time.
const SPREAD: usize = usize::MAX;

impl Engine {
    /// Opens and closes sessions again and again, `slots` at a time. An operation is a session,
    /// its latency is from the connection's begin to the handshake's answer; its close is waited
    /// for before the next one is opened.
    ///
    /// # Errors
    /// When a connection fails.
    pub fn churn(
        &mut self,
        slots: usize,
        stretch: Stretch,
        meter: &mut Meter,
    ) -> Result<Duration, Error> {
        assert!(self.conns.is_empty(), "churn begins without sessions");
        let start = self.now();
        let end = stretch.time.map_or(u64::MAX, |time| {
            start.saturating_add(time.as_nanos() as u64)
        });
        let mut close = Vec::new();
        CloseSessions::append(1, &mut close);
        let mut begun = Vec::with_capacity(slots);
        while self.conns.len() < slots && (begun.len() as u64) < stretch.requests {
            begun.push(self.now());
            let conn = self.begin(self.conns.len(), SPREAD)?;
            self.conns.push(conn);
        }
        let mut asked = begun.len() as u64;
        let mut live = self.conns.len();
        let (mut last, mut heard) = (start, start);
        let mut events = Events::with_capacity(EVENTS);
        while live > 0 {
            if self.now() - heard > DRAIN_TIMEOUT.as_nanos() as u64 {
                return Err(Error::Stuck(live));
            }
            self.wait(&mut events, TICK)?;
            for event in &events {
                let session = event.token().0;
                let now = self.now();
                heard = now;
                match self.conns[session].state {
                    State::Closed => {}
                    State::Opening => match self.opening(session) {
                        Opening::Waiting => {}
                        Opening::Failed(why) => return Err(Error::Open(session, why)),
                        Opening::Open => {
                            meter.done(Class::Write, now - begun[session], now <= end);
                            last = now;
                            self.conns[session]
                                .send(&close, now)
                                .map_err(|error| Error::Open(session, error.to_string()))?;
                        }
                    },
                    State::Open => {
                        if !self.is_closed(session)? {
                            continue;
                        }
                        if now < end && asked < stretch.requests {
                            begun[session] = now;
                            asked += 1;
                            self.conns[session] = self.begin(session, SPREAD)?;
                        } else {
                            self.conns[session].state = State::Closed;
                            live -= 1;
                        }
                    }
                }
            }
        }
        self.conns.clear();
        Ok(Duration::from_nanos(last.min(end) - start))
    }

    /// Whether the close of a session has been answered.
    fn is_closed(&mut self, session: usize) -> Result<bool, Error> {
        let conn = &mut self.conns[session];
        let (mut bytes, _) = conn
            .read(&mut self.buffer, false)
            .map_err(|error| Error::Open(session, format!("while closing: {error}")))?;
        match take_frame(&mut bytes) {
            Ok(Some(_)) => Ok(true),
            Ok(None) => {
                conn.keep(bytes);
                Ok(false)
            }
            Err(length) => Err(Error::Protocol(
                session,
                format!("a frame of {length} bytes"),
            )),
        }
    }
}
