//! A server as it is: the quorum layer with the node and the tree above it.
//!
//! Owns: the tree in memory, made anew from the records of the log and the store at a start and
//! when another server's takes its place, and its clients' connections. Does not know: sockets.

use std::sync::Arc;

use bytes::Bytes;
use zk_core::acl::{Identity, Ids};
use zk_core::conn::ServeMode;
use zk_core::io::{Input, Origin, Submit};
use zk_core::node::replay;
use zk_core::peer::{Deed, Event};
use zk_core::tree::Tree;
use zk_core::watch::Watches;
use zk_core::{Config, ConnId, Node, Peer, SessionId};
use zk_wire::OpCode;
use zk_wire::quorum::notification::PeerState;
use zk_wire::txn::header_of;
use zk_zab::io::{Act, In};
use zk_zab::{JobId, Now, Zab, Zxid};

use super::disk::Disk;
use super::node::{Ask, Core, Effect, Entry, Session, hash};
use super::plugs::{Plugs, Sight};
use crate::post::Note;

/// Nodes that one turn of apply visits at most, for each record of its budget.
const VISITS: usize = 4;

/// See the module.
#[derive(Debug)]
pub struct Member {
    peer: Peer,
    tree: Tree,
    watches: Watches,
    plugs: Plugs,
    serve: ServeMode,
    config: Arc<Config>,
    applied: Vec<Entry>,
    /// The job that puts another server's tree in force.
    switch: Option<JobId>,
}

/// A durable transaction. While another server's tree is put in the place of this one's, the log
/// has begun behind that already, and the old tree still applies what it had.
fn payload_of(disk: &Disk, zxid: Zxid) -> Option<Bytes> {
    let log = &disk.log[..disk.synced];
    if let Ok(at) = log.binary_search_by_key(&zxid, |(zxid, _)| *zxid) {
        return Some(log[at].1.clone());
    }
    if zxid > disk.base {
        return None;
    }
    let archive = disk.archive.borrow();
    let mut found = archive.range((zxid, 0)..=(zxid, u64::MAX));
    found.next().map(|(_, payload)| payload.clone())
}

/// The tree of what was applied to it.
fn rebuild(config: &Config, disk: &Disk, applied: &[Entry]) -> Result<Tree, String> {
    let mut tree = Tree::new(config.extended, config.seed);
    let archive = disk.archive.borrow();
    for entry in applied {
        let payload = archive
            .get(entry)
            .ok_or_else(|| format!("nobody has appended {}", entry.0))?;
        let done = replay(&mut tree, config, payload);
        let done = done.map_err(|error| format!("replay of {}: {error:?}", entry.0))?;
        if let Some(what) = done.mismatch {
            return Err(format!("replay of {}: {what}", entry.0));
        }
    }
    tree.settle_quotas()
        .map_err(|need| format!("a whole tree needs {need:?}"))?;
    Ok(tree)
}

impl Member {
    /// A server that has just started, with the tree that its disk gives.
    ///
    /// # Errors
    /// The disk gives none.
    pub fn new(
        zab: Zab,
        config: Config,
        disk: &Disk,
        applied: Vec<Entry>,
        now: Now,
    ) -> Result<Member, String> {
        let tree = rebuild(&config, disk, &applied)?;
        let config = Arc::new(config);
        let end = zab.history().end();
        let persisted = disk.persisted();
        let node = Node::resting(config.clone(), &tree, end, persisted, now);
        Ok(Member {
            peer: Peer::ensemble(node, zab),
            tree,
            watches: Watches::default(),
            plugs: Plugs::default(),
            serve: ServeMode::Closed,
            config,
            applied,
            switch: None,
        })
    }

    fn flush(&mut self, out: &mut Vec<Effect>) {
        let mut sight = Sight {
            config: &self.config,
            tree: &self.tree,
            watches: &mut self.watches,
            serve: self.serve,
        };
        self.plugs.flush(&mut sight, out);
    }

    fn note(&mut self, note: Note, disk: &Disk, out: &mut Vec<Effect>) {
        match note {
            Note::Done(conn, cxid, zxid, err) => {
                // A connection has sent it; who hands over values gets one.
                if !self.plugs.has(conn.0) {
                    out.push(Effect::Answered(conn.0, cxid, zxid, err));
                }
            }
            Note::Connected(conn, grant) => {
                let session = grant.map(|grant| (grant.session.0, grant.timeout_ms));
                out.push(Effect::Connected(conn.0, session));
            }
            Note::Detached(session, now) => {
                let now = now.map(|conn| conn.0);
                out.push(Effect::Detached(session.0, now));
            }
            Note::Applied(zxid) => self.has_applied(zxid, disk, out),
        }
    }

    fn has_applied(&mut self, zxid: Zxid, disk: &Disk, out: &mut Vec<Effect>) {
        let Some(payload) = payload_of(disk, zxid) else {
            out.push(Effect::Wrong(format!("{zxid} is applied and not durable")));
            return;
        };
        let entry = (zxid, hash(&payload));
        if !zxid.follows(self.end()) {
            let end = self.end();
            out.push(Effect::Wrong(format!("{zxid} is applied behind {end}")));
        }
        self.applied.push(entry);
        let at = self.applied.len() - 1;
        let asked = header_of(&payload).map_or((0, 0), |h| (h.client_id, h.cxid));
        out.push(Effect::Applied { at, entry, asked });
    }

    fn event(&mut self, now: Now, event: Event, out: &mut Vec<Effect>) {
        let was = self.leads();
        let mut deeds = Vec::new();
        self.peer.step(&self.tree, now, event, &mut deeds);
        self.carry_out(was, deeds, out);
    }

    fn carry_out(&mut self, was: Option<u32>, deeds: Vec<Deed>, out: &mut Vec<Effect>) {
        let now = self.leads();
        if was != now
            && let Some(epoch) = now
        {
            out.push(Effect::Lead(epoch));
        }
        for deed in deeds {
            match deed {
                Deed::Act(act) => {
                    match &act {
                        Act::Append(zxid, payload) if now.is_some() || was.is_some() => {
                            out.push(Effect::Proposed(*zxid, payload.clone()));
                        }
                        Act::Job(id, zk_zab::io::Job::Switch { .. }) => self.switch = Some(*id),
                        _ => {}
                    }
                    out.push(Effect::Act(act));
                }
                Deed::Load(need) => {
                    out.push(Effect::Wrong(format!("a whole tree misses {need:?}")))
                }
                Deed::Serve(mode) => {
                    self.flush(out);
                    self.plugs.clear(&mut self.watches);
                    self.serve = mode;
                    out.push(match mode {
                        ServeMode::Full => Effect::Serving,
                        ServeMode::ReadOnly => Effect::Reading,
                        ServeMode::Closed => Effect::Rest,
                    });
                }
                Deed::Config(_) => {}
            }
        }
    }
}

impl Core for Member {
    fn step(&mut self, now: Now, input: In, disk: &Disk, out: &mut Vec<Effect>) {
        if let In::Done(id) = &input
            && self.switch == Some(*id)
        {
            // The other server's tree is in its place.
            self.switch = None;
            match rebuild(&self.config, disk, &disk.store) {
                Ok(tree) => {
                    self.tree = tree;
                    self.plugs.clear(&mut self.watches);
                    self.applied.clone_from(&disk.store);
                }
                Err(what) => out.push(Effect::Wrong(what)),
            }
        }
        let event = match input {
            In::Tick => Event::Node(Input::Tick),
            In::Durable(zxid) => Event::Node(Input::Durable(zxid)),
            input => Event::Peer(input),
        };
        self.event(now, event, out);
    }

    fn connect(&mut self, now: Now, conn: u64, session: Session, out: &mut Vec<Effect>) {
        let conn = ConnId(conn);
        let timeout_ms = session.timeout_ms;
        let submit = match session.id {
            0 => Submit::Connect { conn, timeout_ms },
            id => Submit::Reattach {
                conn,
                session: SessionId(id),
                timeout_ms,
            },
        };
        self.event(now, Event::Node(Input::Submit(submit)), out);
    }

    fn request(&mut self, now: Now, ask: Ask, out: &mut Vec<Effect>) {
        // Nobody but an administrator may change the configuration.
        let ids: Ids = match ask.op {
            OpCode::Reconfig => [Identity {
                scheme: "super".into(),
                id: "".into(),
            }]
            .into(),
            _ => Ids::default(),
        };
        let submit = Submit::Request {
            origin: Origin {
                conn: ConnId(ask.conn),
                session: SessionId(ask.session),
                cxid: ask.cxid,
                ids,
            },
            op: ask.op,
            body: ask.body,
        };
        self.event(now, Event::Node(Input::Submit(submit)), out);
    }

    fn open(&mut self, conn: u64, address: &str) {
        self.plugs.open(conn, address);
    }

    fn frame(&mut self, now: Now, conn: u64, frame: &[u8], out: &mut Vec<Effect>) {
        let mut sight = Sight {
            config: &self.config,
            tree: &self.tree,
            watches: &mut self.watches,
            serve: self.serve,
        };
        let heard = self.plugs.frame(conn, frame, now, &mut sight);
        if let Some(touch) = heard.touch {
            self.event(now, Event::Node(touch), out);
        }
        if let Some(submit) = heard.submit {
            self.event(now, Event::Node(Input::Submit(submit)), out);
        }
        self.flush(out);
    }

    fn takes_frames(&self, conn: u64) -> bool {
        self.plugs.takes_frames(conn)
    }

    fn hang_up(&mut self, conn: u64) {
        self.plugs.hang_up(conn, &mut self.watches);
    }

    fn only_reads(&self) -> bool {
        self.serve == ServeMode::ReadOnly
    }

    fn served(&self) -> Zxid {
        self.tree.served_zxid()
    }

    fn touch(&mut self, now: Now, session: Session, out: &mut Vec<Effect>) {
        let touched = Input::Touched {
            session: SessionId(session.id),
            at_ms: now.mono_ms,
            timeout_ms: session.timeout_ms,
        };
        self.event(now, Event::Node(touched), out);
    }

    fn apply(&mut self, now: Now, most: usize, disk: &Disk, out: &mut Vec<Effect>) {
        let was = self.leads();
        let mut poster = self.plugs.poster(&self.config);
        let mut deeds = Vec::new();
        let done = self.peer.apply(
            &mut self.tree,
            &mut self.watches,
            &mut poster,
            most * VISITS,
            now,
            &mut deeds,
        );
        let (notes, _) = poster.finish();
        for note in notes {
            self.note(note, disk, out);
        }
        if self.tree.last_zxid() != self.end() {
            let (tree, end) = (self.tree.last_zxid(), self.end());
            out.push(Effect::Wrong(format!(
                "the tree is at {tree}, applied was {end}"
            )));
        }
        out.push(Effect::Digest(self.end(), self.tree.digest()));
        if let Some((zxid, what)) = done.mismatches.first() {
            out.push(Effect::Wrong(format!("digest at {zxid}: {what}")));
        }
        if let Some(need) = done.missing {
            out.push(Effect::Wrong(format!("a whole tree misses {need:?}")));
        }
        self.flush(out);
        out.push(Effect::Told);
        self.carry_out(was, deeds, out);
    }

    fn persisted(&mut self, now: Now, zxid: Zxid, out: &mut Vec<Effect>) {
        self.event(now, Event::Node(Input::Persisted(zxid)), out);
    }

    fn is_ready(&self) -> bool {
        self.peer.can_apply()
    }

    fn is_serving(&self) -> bool {
        self.peer.is_serving()
    }

    fn leads(&self) -> Option<u32> {
        let status = self.peer.status()?;
        let leads = status.state == PeerState::Leading && status.established;
        leads.then_some(status.epoch)
    }

    fn applied(&self) -> &[Entry] {
        &self.applied
    }

    fn deadline_ms(&self) -> i64 {
        self.peer.deadline_ms()
    }

    fn zab(&self) -> &Zab {
        match self.peer.zab() {
            Some(zab) => zab,
            None => unreachable!("a member has a quorum layer"),
        }
    }
}
