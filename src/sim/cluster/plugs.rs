//! The sockets of a whole server's clients, which bring frames and take bytes without delay.
//!
//! Owns the connections and whose session is whose. Does not know: clients, what is right.

use std::collections::BTreeMap;

use zk_core::conn::{Accepted, ServeMode, View};
use zk_core::io::{Input, Submit};
use zk_core::tally::Tally;
use zk_core::tree::Tree;
use zk_core::watch::Watches;
use zk_core::{Config, Conn, ConnId, Now, SessionId};

use super::node::Effect;
use crate::post::Poster;

/// One of them.
#[derive(Debug)]
pub struct Plug(Conn);

impl AsMut<Conn> for Plug {
    fn as_mut(&mut self) -> &mut Conn {
        &mut self.0
    }
}

/// See the module.
#[derive(Debug, Default)]
pub struct Plugs {
    all: BTreeMap<ConnId, Plug>,
    attached: BTreeMap<SessionId, ConnId>,
}

/// What a frame is given to, and what runs the reads.
pub struct Sight<'a> {
    /// Settings.
    pub config: &'a Config,
    /// The tree.
    pub tree: &'a Tree,
    /// Watches.
    pub watches: &'a mut Watches,
    /// Whom the server serves.
    pub serve: ServeMode,
}

impl Sight<'_> {
    fn with<T>(&mut self, f: impl FnOnce(&mut View<'_>) -> T) -> T {
        f(&mut View {
            tree: self.tree,
            config: self.config,
            serve: self.serve,
            watches: self.watches,
            tally: &mut Tally::default(),
        })
    }
}

impl Plugs {
    /// A client's connection is accepted, from this address.
    pub fn open(&mut self, conn: u64, address: &str) {
        let id = ConnId(conn);
        self.all.insert(id, Plug(Conn::new(id, address)));
    }

    /// Whether there is such a connection.
    pub fn has(&self, conn: u64) -> bool {
        self.all.contains_key(&ConnId(conn))
    }

    /// Whether it takes a frame now.
    pub fn takes_frames(&self, conn: u64) -> bool {
        let plug = self.all.get(&ConnId(conn));
        plug.is_some_and(|Plug(conn)| conn.takes_frames())
    }

    /// Where apply's replies and events go.
    pub fn poster<'a>(&'a mut self, config: &'a Config) -> Poster<'a, Plug> {
        Poster::new(config, &mut self.all, &mut self.attached)
    }

    /// A frame arrives, without its length. What the core must hear of it.
    pub fn frame(&mut self, conn: u64, frame: &[u8], now: Now, sight: &mut Sight<'_>) -> Heard {
        let mut heard = Heard::default();
        let Some(Plug(conn)) = self.all.get_mut(&ConnId(conn)) else {
            return heard;
        };
        if !conn.takes_frames() {
            return heard;
        }
        if let Some(session) = conn.session() {
            heard.touch = Some(Input::Touched {
                session,
                at_ms: now.mono_ms,
                timeout_ms: conn.timeout_ms(),
            });
        }
        match sight.with(|view| conn.on_frame(frame, view)) {
            Accepted::Here => {}
            Accepted::Submit(submit) => heard.submit = Some(submit),
            Accepted::Close => conn.close(),
        }
        heard
    }

    /// What can be run is run, and what is to be sent is sent.
    pub fn flush(&mut self, sight: &mut Sight<'_>, out: &mut Vec<Effect>) {
        let mut gone = Vec::new();
        for (id, Plug(conn)) in &mut self.all {
            if conn.is_runnable() {
                sight.with(|view| conn.run(view));
            }
            let closing = conn.is_closing();
            if closing || conn.has_out() {
                let bytes = conn.take_out();
                out.push(Effect::Sent(id.0, bytes, closing));
            }
            if closing {
                gone.push(*id);
            }
        }
        for id in gone {
            self.hang_up(id.0, sight.watches);
        }
    }

    /// A connection is gone.
    pub fn hang_up(&mut self, conn: u64, watches: &mut Watches) {
        let id = ConnId(conn);
        watches.unregister(id);
        self.all.remove(&id);
        self.attached.retain(|_, conn| *conn != id);
    }

    /// All are gone.
    pub fn clear(&mut self, watches: &mut Watches) {
        for id in std::mem::take(&mut self.all).into_keys() {
            watches.unregister(id);
        }
        self.attached.clear();
    }
}

/// What came of a frame.
#[derive(Debug, Default)]
pub struct Heard {
    /// The client was heard of.
    pub touch: Option<Input>,
    /// It asks for something.
    pub submit: Option<Submit>,
}
