//! Where apply's replies and events go: into the connections.

use std::collections::{BTreeMap, BTreeSet};

use zk_core::conn::{Progress, ServeMode, View};
use zk_core::io::{Grant, Post, Reply};
use zk_core::tally::Tally;
use zk_core::tree::{Need, Tree};
use zk_core::watch::{Event, Watches};
use zk_core::{Config, ConnId, SessionId, Zxid};

use super::Socket;

/// What the judge hears of a hold when it is over.
#[derive(Debug)]
pub(super) enum Note {
    Done,
    Connected(ConnId, Option<Grant>),
    Detached(SessionId, Option<ConnId>),
}

/// See the module.
pub(super) struct Poster<'a> {
    config: &'a Config,
    sockets: &'a mut BTreeMap<ConnId, Socket>,
    attached: &'a mut BTreeMap<SessionId, ConnId>,
    notes: Vec<Note>,
    woken: BTreeSet<ConnId>,
}

impl<'a> Poster<'a> {
    pub fn new(
        config: &'a Config,
        sockets: &'a mut BTreeMap<ConnId, Socket>,
        attached: &'a mut BTreeMap<SessionId, ConnId>,
    ) -> Poster<'a> {
        Poster {
            config,
            sockets,
            attached,
            notes: Vec::new(),
            woken: BTreeSet::new(),
        }
    }

    pub fn finish(self) -> (Vec<Note>, BTreeSet<ConnId>) {
        (self.notes, self.woken)
    }

    fn socket(&mut self, conn: ConnId) -> Option<&mut Socket> {
        let socket = self.sockets.get_mut(&conn)?;
        self.woken.insert(conn);
        Some(socket)
    }
}

impl Post for Poster<'_> {
    fn before_write(
        &mut self,
        tree: &Tree,
        watches: &mut Watches,
        conn: ConnId,
    ) -> Result<(), Need> {
        let config = self.config;
        let Some(socket) = self.socket(conn) else {
            return Ok(());
        };
        let mut view = View {
            tree,
            config,
            serve: ServeMode::Full,
            watches,
            tally: &mut Tally::default(),
        };
        match socket.conn.run(&mut view) {
            Progress::Done => Ok(()),
            Progress::Missing(need) => Err(need),
        }
    }

    fn event(&mut self, conn: ConnId, zxid: Zxid, event: Event, path: &str) {
        if let Some(socket) = self.socket(conn) {
            socket.conn.event(zxid, event, path);
        }
    }

    fn done(&mut self, conn: ConnId, cxid: i32, reply: &Reply<'_>) {
        self.notes.push(Note::Done);
        if let Some(socket) = self.socket(conn) {
            socket.conn.done(cxid, reply);
        }
    }

    fn connected(&mut self, conn: ConnId, grant: Option<Grant>) {
        self.notes.push(Note::Connected(conn, grant));
        if let Some(socket) = self.socket(conn) {
            socket.conn.connected(grant);
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
            && let Some(socket) = self.socket(old)
        {
            socket.conn.close();
        }
    }
}
