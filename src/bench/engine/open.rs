//! Sessions are opened, a few at a time.

use std::io;
use std::time::Instant;

use jute::{Decode, Encode, Reader};
use mio::{Events, Interest, Token};
use zk_wire::client::{ConnectRequest, ConnectResponse, frame};

use super::{Engine, Run, Stretch};
use crate::conn::{Conn, State, connect, source, take_frame};
use crate::error::Error;
use crate::limits::{EVENTS, OPEN_TIMEOUT, OPENING, SPARE_FILES, TICK};
use crate::load::Idle;
use crate::meter::Meter;

/// How far a handshake has come.
pub(super) enum Opening {
    /// Something must still come.
    Waiting,
    /// The session is there.
    Open,
    /// There will be none.
    Failed(String),
}

impl Engine {
    /// Allows so many connections, as far as the system lets it.
    ///
    /// # Errors
    /// When they are not allowed.
    pub fn allow_files(sessions: usize) -> Result<(), Error> {
        let wanted = sessions as u64 + SPARE_FILES;
        let (soft, _) = rlimit::Resource::NOFILE
            .get()
            .map_err(|error| Error::Io("getrlimit", error))?;
        if soft >= wanted {
            return Ok(());
        }
        let got = rlimit::increase_nofile_limit(wanted)
            .map_err(|error| Error::Io("raising the limit of open files", error))?;
        if got < wanted {
            return Err(Error::Usage(format!(
                "{sessions} sessions need {wanted} open files, and the system allows {got}: \
                 raise the hard limit (ulimit -Hn)"
            )));
        }
        Ok(())
    }

    /// Opens sessions until there are `count`.
    ///
    /// # Errors
    /// When one cannot be opened.
    pub fn open(&mut self, count: usize) -> Result<(), Error> {
        let mut begun = self.conns.len();
        let mut open = begun;
        let mut deadline = Instant::now() + OPEN_TIMEOUT;
        let mut tick = self.now();
        let mut events = Events::with_capacity(EVENTS);
        // What comes for the sessions that are open already: answers to pings.
        let (mut idle, mut meter) = (Idle, Meter::default());
        let mut run = Run::new(&mut idle, &mut meter, Stretch::all(1), tick);
        while open < count {
            while begun < count && begun - open < OPENING {
                let conn = self.begin(begun, count)?;
                self.conns.push(conn);
                begun += 1;
            }
            self.wait(&mut events, TICK)?;
            for event in &events {
                let session = event.token().0;
                if self.conns[session].state != State::Opening {
                    self.receive(session, event.is_read_closed(), &mut run)?;
                    continue;
                }
                match self.opening(session) {
                    Opening::Waiting => {}
                    Opening::Open => {
                        open += 1;
                        deadline = Instant::now() + OPEN_TIMEOUT;
                    }
                    Opening::Failed(why) => return Err(Error::Open(session, why)),
                }
            }
            if self.now() >= tick {
                tick = self.now() + TICK.as_nanos() as u64;
                self.ping_idle();
            }
            if Instant::now() > deadline {
                return Err(Error::Open(open, "no answer to the handshake".into()));
            }
        }
        if meter.is_clean() {
            Ok(())
        } else {
            Err(Error::Prepare(format!("while opening: {:?}", meter.kinds)))
        }
    }

    /// Begins to connect, with the handshake to be sent as soon as it can be.
    pub(super) fn begin(&mut self, session: usize, total: usize) -> Result<Conn, Error> {
        let failed = |error: io::Error| Error::Open(session, error.to_string());
        let address = self.hosts[session % self.hosts.len()];
        let number = self.connections;
        self.connections += 1;
        let socket = connect(address, source(address, number, total)).map_err(failed)?;
        let mut conn = Conn::new(socket);
        self.poll
            .registry()
            .register(
                &mut conn.socket,
                Token(session),
                Interest::READABLE | Interest::WRITABLE,
            )
            .map_err(failed)?;
        let mut out = Vec::new();
        let begin = frame::begin(&mut out);
        ConnectRequest {
            protocol_version: 0,
            last_zxid_seen: 0,
            timeout: self.timeout_ms,
            session_id: 0,
            passwd: Some(&[0; 16]),
            read_only: Some(false),
        }
        .encode(&mut out);
        frame::finish(&mut out, begin);
        let now = self.now();
        conn.queue(&out, now);
        Ok(conn)
    }

    /// Goes on with a handshake as far as it goes without waiting.
    pub(super) fn opening(&mut self, session: usize) -> Opening {
        let now = self.now();
        let conn = &mut self.conns[session];
        if let Ok(Some(error)) | Err(error) = conn.socket.take_error() {
            return Opening::Failed(error.to_string());
        }
        if conn.socket.peer_addr().is_err() {
            return Opening::Waiting;
        }
        if let Err(error) = conn.flush() {
            return Opening::Failed(error.to_string());
        }
        let (mut rest, _) = match conn.read(&mut self.buffer, false) {
            Ok(read) => read,
            Err(error) => return Opening::Failed(format!("closed during the handshake: {error}")),
        };
        let answer = match take_frame(&mut rest) {
            Err(length) => return Opening::Failed(format!("a frame of {length} bytes")),
            Ok(None) => {
                conn.keep(rest);
                return Opening::Waiting;
            }
            Ok(Some(content)) => ConnectResponse::decode(&mut Reader::new(content)),
        };
        match answer {
            Err(error) => Opening::Failed(format!("the handshake's answer: {error}")),
            Ok(answer) if answer.session_id == 0 || answer.timeout <= 0 => {
                Opening::Failed("the server gave no session".into())
            }
            Ok(answer) => {
                conn.session_id = answer.session_id;
                conn.timeout = answer.timeout;
                conn.state = State::Open;
                conn.sent = now;
                Opening::Open
            }
        }
    }
}
