//! Where apply's replies and events go: into the connections.

use std::collections::{BTreeMap, BTreeSet};

use zk_core::conn::{Progress, ServeMode, View};
use zk_core::io::{Grant, Post, Reply};
use zk_core::tally::Tally;
use zk_core::tree::{Need, Tree};
use zk_core::watch::{Event, Watches};
use zk_core::{Config, Conn, ConnId, SessionId, Zxid};

/// What the judge hears of a hold when it is over.
#[derive(Debug)]
pub(crate) enum Note {
    /// A request is answered: its connection, its xid, the reply's zxid and error.
    Done(ConnId, i32, Zxid, i32),
    /// A handshake is.
    Connected(ConnId, Option<Grant>),
    /// A session is another connection's, or nobody's.
    Detached(SessionId, Option<ConnId>),
    /// A transaction is applied.
    Applied(Zxid),
}

/// See the module.
pub(crate) struct Poster<'a, S> {
    config: &'a Config,
    sockets: &'a mut BTreeMap<ConnId, S>,
    attached: &'a mut BTreeMap<SessionId, ConnId>,
    notes: Vec<Note>,
    woken: BTreeSet<ConnId>,
}

impl<'a, S: AsMut<Conn>> Poster<'a, S> {
    /// For these sockets, and whose session is whose connection's.
    pub fn new(
        config: &'a Config,
        sockets: &'a mut BTreeMap<ConnId, S>,
        attached: &'a mut BTreeMap<SessionId, ConnId>,
    ) -> Poster<'a, S> {
        Poster {
            config,
            sockets,
            attached,
            notes: Vec::new(),
            woken: BTreeSet::new(),
        }
    }

    /// What was noted, and connections that have something to do.
    pub fn finish(self) -> (Vec<Note>, BTreeSet<ConnId>) {
        (self.notes, self.woken)
    }

    fn conn(&mut self, conn: ConnId) -> Option<&mut Conn> {
        let socket = self.sockets.get_mut(&conn)?;
        self.woken.insert(conn);
        Some(socket.as_mut())
    }
}

impl<S: AsMut<Conn>> Post for Poster<'_, S> {
    fn before_write(
        &mut self,
        tree: &Tree,
        watches: &mut Watches,
        conn: ConnId,
    ) -> Result<(), Need> {
        let config = self.config;
        let Some(conn) = self.conn(conn) else {
            return Ok(());
        };
        let mut view = View {
            tree,
            config,
            serve: ServeMode::Full,
            watches,
            tally: &mut Tally::default(),
        };
        match conn.run(&mut view) {
            Progress::Done => Ok(()),
            Progress::Missing(need) => Err(need),
        }
    }

    fn event(&mut self, conn: ConnId, zxid: Zxid, event: Event, path: &str) {
        if let Some(conn) = self.conn(conn) {
            conn.event(zxid, event, path);
        }
    }

    fn done(&mut self, conn: ConnId, cxid: i32, reply: &Reply<'_>) {
        self.notes
            .push(Note::Done(conn, cxid, reply.zxid, reply.err));
        if let Some(conn) = self.conn(conn) {
            conn.done(cxid, reply);
        }
    }

    fn connected(&mut self, conn: ConnId, grant: Option<Grant>) {
        self.notes.push(Note::Connected(conn, grant));
        if let Some(open) = self.conn(conn) {
            open.connected(grant);
            if let Some(grant) = grant {
                self.attached.insert(grant.session, conn);
            }
        }
    }

    fn detach(&mut self, session: SessionId, now: Option<ConnId>) {
        self.notes.push(Note::Detached(session, now));
        let Some(old) = self.attached.get(&session).copied() else {
            return;
        };
        if Some(old) != now
            && let Some(conn) = self.conn(old)
        {
            conn.close();
        }
    }

    fn applied(&mut self, zxid: Zxid, _time_ms: i64) {
        self.notes.push(Note::Applied(zxid));
    }
}
