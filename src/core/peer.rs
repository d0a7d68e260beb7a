//! One server: the node that owns the tree, and, in an ensemble, the quorum layer that tells it
//! what is certain.
//!
//! Owns both, and the translation between them: what the node asks of other servers becomes
//! packets, and what they say becomes calls. It does not know elections, quorums, trees, sockets.
//!
//! A driver steps it with [`Event`]s, carries out [`Deed`]s in order, and applies with the tree to
//! itself, as with the node alone.
//!
//! Invariants: the node hears of a transaction only after the log was asked to hold it; a packet
//! that rests on a durable act leaves after it; clients are served only in a role, and on a learner
//! only once the tree is where the leader was when it said UPTODATE; without a leader they may read
//! what is committed, where that is configured, and only until there is one.

use alloc::collections::VecDeque;
use alloc::format;
use alloc::string::ToString;
use alloc::sync::Arc;
use alloc::vec::Vec;

use zk_wire::OpCode;
use zk_wire::quorum::body::{self, Request, Revalidate, Revalidated};
use zk_wire::quorum::config::QuorumConfig;
use zk_wire::quorum::notification::PeerState;
use zk_wire::quorum::packet::{AuthId, Packet, PacketKind};
use zk_zab::io::{Act, In, Job, Out, Tell};
use zk_zab::{Status, Zab};

use crate::acl::{Identity, Ids};
use crate::conn::ServeMode;
use crate::ids::{LinkId, Marks, Now, SessionId, Zxid};
use crate::io::{Applied, Effect, Foreign, Input, Post, Submit};
use crate::limits::FOREIGN_TXNS;
use crate::node::{Node, Role};
use crate::op::reconfig::Membership;
use crate::tree::{Need, Tree};
use crate::watch::Watches;

/// What may happen to a server.
#[derive(Clone, Debug)]
pub enum Event {
    /// To the node. `Tick` and `Durable` reach the quorum layer too. On a learner the clients that
    /// were heard of are told before each PING of the leader.
    Node(Input),
    /// To the quorum layer. The tree of another server is in its place before `Done` of the job
    /// that switches to it.
    Peer(In),
}

/// What is to be done.
#[derive(Clone, Debug)]
pub enum Deed {
    /// On disk or to other servers. A standalone server only ever appends.
    Act(Act),
    /// Bring rows into the tree, then say `Loaded`.
    Load(Need),
    /// Whom the server serves from now on. All others are ended.
    Serve(ServeMode),
    /// This configuration holds.
    Config(Arc<QuorumConfig>),
}

/// What a standalone node wanted done when it was recovered; nothing for what only a member of an
/// ensemble wants.
pub fn begun(effect: Effect) -> Option<Deed> {
    match effect {
        Effect::Append { zxid, payload } => Some(Deed::Act(Act::Append(zxid, payload))),
        Effect::Load(need) => Some(Deed::Load(need)),
        Effect::Forward { .. }
        | Effect::Revalidate { .. }
        | Effect::SyncReply { .. }
        | Effect::Resign => None,
    }
}

/// See the module.
#[derive(Debug)]
pub struct Peer {
    node: Node,
    zab: Option<Zab>,
    outs: VecDeque<Out>,
    effects: Vec<Effect>,
    /// Clients are served once the tree is here.
    serve_from: Option<Zxid>,
    serving: ServeMode,
    /// Since when no leader is known, monotonic milliseconds.
    leaderless: Option<i64>,
    muted: bool,
    /// Where my part of the log ended when a leader's began, until one of its transactions has shown
    /// that the trees are one. Behind a snapshot there is nothing to be shown.
    joined: Option<Zxid>,
    /// Transactions of that leader that found another tree, and none that did not.
    strange: usize,
}

impl Peer {
    /// A server that stands alone.
    pub fn standalone(node: Node) -> Peer {
        Peer {
            node,
            zab: None,
            outs: VecDeque::new(),
            effects: Vec::new(),
            serve_from: None,
            serving: ServeMode::Full,
            leaderless: None,
            muted: false,
            joined: None,
            strange: 0,
        }
    }

    /// A member of an ensemble; the node rests.
    pub fn ensemble(node: Node, zab: Zab) -> Peer {
        Peer {
            zab: Some(zab),
            serving: ServeMode::Closed,
            ..Peer::standalone(node)
        }
    }

    /// The node.
    pub fn node(&self) -> &Node {
        &self.node
    }

    /// The node, for what only looks like a change: counters that are taken.
    pub fn node_mut(&mut self) -> &mut Node {
        &mut self.node
    }

    /// The quorum layer.
    pub fn zab(&self) -> Option<&Zab> {
        self.zab.as_ref()
    }

    /// What it is doing in its ensemble.
    pub fn status(&self) -> Option<Status> {
        self.zab.as_ref().map(Zab::status)
    }

    /// What the quorum layer has done since the last call, for metrics.
    pub fn take_quorum_counts(&mut self) -> Option<zk_zab::Counts> {
        self.zab.as_mut().map(Zab::take_counts)
    }

    /// The five zxids.
    pub fn marks(&self) -> Marks {
        self.node.marks()
    }

    /// Whom it serves.
    pub fn mode(&self) -> ServeMode {
        self.serving
    }

    /// Whether all clients are served.
    pub fn is_serving(&self) -> bool {
        self.serving == ServeMode::Full
    }

    /// When a `Tick` is needed next at the latest, monotonic milliseconds.
    pub fn deadline_ms(&self) -> i64 {
        let zab = self.zab.as_ref().map_or(i64::MAX, Zab::deadline_ms);
        let read_only = self.read_only_ms().unwrap_or(i64::MAX);
        self.node.deadline_ms().min(zab).min(read_only)
    }

    /// Takes one event. What is to be done comes in the order in which it must be done.
    pub fn step(&mut self, tree: &Tree, now: Now, event: Event, out: &mut Vec<Deed>) {
        match event {
            Event::Node(Input::Durable(zxid)) => match &mut self.zab {
                None => self.node_step(tree, now, Input::Durable(zxid)),
                Some(_) => {
                    self.node_durable(tree, now, zxid);
                    // What the node proposes comes before a step that may end the role.
                    self.settle(tree, now, out);
                    self.zab_step(now, In::Durable(zxid));
                }
            },
            Event::Node(Input::Tick) => {
                self.node_step(tree, now, Input::Tick);
                self.settle(tree, now, out);
                self.zab_step(now, In::Tick);
            }
            Event::Node(input) => {
                if let Input::Submit(Submit::Request { op, .. }) = &input {
                    self.before_request(*op);
                }
                self.node_step(tree, now, input);
            }
            Event::Peer(input) => self.zab_step(now, input),
        }
        self.settle(tree, now, out);
    }

    /// Applies what is durable and certain, until `budget` nodes have been visited.
    pub fn apply(
        &mut self,
        tree: &mut Tree,
        watches: &mut Watches,
        post: &mut dyn Post,
        budget: usize,
        now: Now,
        out: &mut Vec<Deed>,
    ) -> Applied {
        let mut applied = self.node.apply(tree, watches, post, budget);
        applied.foreign = self.compare(&applied);
        let at = self.node.marks().applied.0;
        self.zab_step(now, In::Applied(at));
        self.settle(tree, now, out);
        applied
    }

    /// Looks whether the first transactions of a leader find the leader's tree. One that does not
    /// may have been predicted wrongly, as Java does now and then; in another tree none ever does.
    fn compare(&mut self, applied: &Applied) -> Option<Foreign> {
        let own = self.joined?;
        if applied.same.is_some_and(|zxid| zxid > own) {
            self.joined = None;
            return None;
        }
        let wrong = applied.mismatches.iter().map(|(zxid, _)| *zxid);
        let wrong: Vec<Zxid> = wrong.filter(|zxid| *zxid > own).collect();
        self.strange += wrong.len();
        let zxid = *wrong.last()?;
        if self.strange < FOREIGN_TXNS {
            return None;
        }
        self.joined = None;
        Some(Foreign {
            leader: self.status()?.leader?.0,
            own,
            zxid,
        })
    }

    /// Whether [`Peer::apply`] has something to do.
    pub fn can_apply(&self) -> bool {
        self.node.can_apply()
    }

    /// Ends what it says to other servers: they need not wait until they miss it.
    pub fn stop(&mut self, tree: &Tree, now: Now, out: &mut Vec<Deed>) {
        if let Some(zab) = &mut self.zab {
            let mut outs = Vec::new();
            zab.stop(&mut outs);
            self.outs.extend(outs);
        }
        self.settle(tree, now, out);
    }

    /// A reconfiguration is judged by what holds now.
    fn before_request(&mut self, op: OpCode) {
        if op != OpCode::Reconfig {
            return;
        }
        let membership = self.zab.as_ref().and_then(|zab| {
            Some(Membership {
                committed: zab.view().committed().version,
                last_seen: zab.view().last_seen().clone(),
                synced: zab.synced()?.into_iter().map(|sid| sid.0).collect(),
                standalone_enabled: zab.settings().standalone_enabled,
                multi_address: zab.settings().multi_address,
            })
        });
        self.node.set_membership(membership);
    }

    fn node_step(&mut self, tree: &Tree, now: Now, input: Input) {
        self.node.step(tree, now, input, &mut self.effects);
    }

    /// The log is durable up to here, unless that is of records that were cut off since.
    fn node_durable(&mut self, tree: &Tree, now: Now, zxid: Zxid) {
        let end = self.zab.as_ref().map(|zab| zab.history().end());
        if zxid > self.node.marks().history_end.0 && end.is_some_and(|end| zxid <= end) {
            self.node_step(tree, now, Input::Durable(zxid));
        }
    }

    fn zab_step(&mut self, now: Now, input: In) {
        if let Some(zab) = &mut self.zab {
            let mut outs = Vec::new();
            zab.step(now, input, &mut outs);
            self.outs.extend(outs);
        }
    }

    /// Carries what each says to the other, until both are done.
    fn settle(&mut self, tree: &Tree, now: Now, out: &mut Vec<Deed>) {
        loop {
            let effects = core::mem::take(&mut self.effects);
            if effects.is_empty() && self.outs.is_empty() {
                break;
            }
            for effect in effects {
                self.effect(now, effect, out);
            }
            while let Some(next) = self.outs.pop_front() {
                // What comes of it leaves before what the quorum layer said behind it: the answer
                // to a sync lies between the commits of what was asked before and after.
                let mut rest = core::mem::take(&mut self.outs);
                match next {
                    Out::Act(act) => self.act(act, out),
                    Out::Tell(tell) => self.tell(tree, now, tell, out),
                }
                let effects = core::mem::take(&mut self.effects);
                for effect in effects {
                    self.effect(now, effect, out);
                }
                if self.outs.is_empty() {
                    self.outs = rest;
                } else {
                    self.outs.append(&mut rest);
                }
            }
        }
        if let Some(from) = self.serve_from
            && self.node.marks().applied.0 >= from
        {
            self.serve_from = None;
            self.serve(ServeMode::Full, out);
        }
        self.without_leader(now, out);
    }

    fn serve(&mut self, mode: ServeMode, out: &mut Vec<Deed>) {
        if self.serving != mode {
            self.serving = mode;
            out.push(Deed::Serve(mode));
        }
    }

    /// When clients may read without a leader, if that is still to come.
    fn read_only_ms(&self) -> Option<i64> {
        let after_ms = self.node.config().read_only_after_ms?;
        let since_ms = self.leaderless?;
        // A tree that is about to be another is shown to nobody.
        let stays = !self.zab.as_ref().is_some_and(Zab::is_switching);
        (stays && self.node.role() == Role::Resting).then(|| since_ms.saturating_add(after_ms))
    }

    /// Who looks for a leader for long lets clients read meanwhile. That ends with any other part
    /// in the ensemble, before anything comes of it.
    fn without_leader(&mut self, now: Now, out: &mut Vec<Deed>) {
        let looks = self
            .status()
            .is_some_and(|status| status.state == PeerState::Looking);
        if !looks {
            self.leaderless = None;
            if self.node.role() == Role::ReadOnly {
                self.serve(ServeMode::Closed, out);
                self.node.rest();
            }
            return;
        }
        self.leaderless.get_or_insert(now.mono_ms);
        if self.read_only_ms().is_some_and(|at| now.mono_ms >= at) {
            self.node.read_only();
            self.serve(ServeMode::ReadOnly, out);
        }
    }

    fn act(&mut self, act: Act, out: &mut Vec<Deed>) {
        if let Act::Job(_, Job::Cut(zxid)) = &act {
            self.node.cut(*zxid);
        }
        out.push(Deed::Act(act));
    }

    /// What the node wants done.
    fn effect(&mut self, now: Now, effect: Effect, out: &mut Vec<Deed>) {
        match effect {
            Effect::Append { zxid, payload } => {
                if self.zab.is_none() {
                    out.push(Deed::Act(Act::Append(zxid, payload)));
                } else {
                    self.zab_step(now, In::Propose { zxid, payload });
                }
            }
            Effect::Load(need) => out.push(Deed::Load(need)),
            Effect::Forward {
                session,
                cxid,
                op,
                body,
                ids,
            } => {
                let request = Request {
                    session: session.0,
                    cxid,
                    op: op.to_i32(),
                    body,
                };
                let mut packet = Packet::with(PacketKind::Request, -1, request.encode());
                packet.ids = Some(ids.iter().map(auth_id).collect());
                self.zab_step(now, In::ToLeader(packet));
            }
            Effect::Revalidate {
                session,
                timeout_ms,
            } => {
                let body = Revalidate {
                    session: session.0,
                    timeout_ms,
                };
                let packet = Packet::with(PacketKind::Revalidate, -1, body.encode());
                self.zab_step(now, In::ToLeader(packet));
            }
            Effect::SyncReply { link } => {
                let packet = Packet::new(PacketKind::Sync, 0);
                self.zab_step(now, In::ToLearner(link, packet));
            }
            Effect::Resign => {
                let why = "the epoch's counter is used up: a new epoch begins";
                self.zab_step(now, In::Resign(why.into()));
            }
        }
    }

    /// What the quorum layer tells the node.
    fn tell(&mut self, tree: &Tree, now: Now, tell: Tell, out: &mut Vec<Deed>) {
        match tell {
            Tell::Rest => {
                self.serve_from = None;
                self.muted = false;
                self.joined = None;
                self.leaderless = None;
                self.serve(ServeMode::Closed, out);
                self.node.rest();
            }
            Tell::Reloaded { zxid, fuzzy_until } => {
                assert!(
                    tree.last_zxid() == zxid,
                    "the tree of {zxid} was to be put in place, this is one of {}",
                    tree.last_zxid()
                );
                let end = self.zab.as_ref().map_or(zxid, Zab::durable_end);
                self.node.replaced(tree, end, zxid, now);
                self.node.set_fuzzy_until(fuzzy_until);
            }
            Tell::Record(zxid, payload) => {
                if let Err(unfit) = self.node.record(zxid, payload) {
                    panic!("transaction {zxid} of the log: {unfit}");
                }
            }
            Tell::Committed(zxid) => self.node.committed(zxid, &mut self.effects),
            Tell::Lead(epoch) => {
                self.show_config(now);
                self.node.lead(tree, epoch, now, &mut self.effects);
                self.serve_from = self.node.config().leader_serves.then_some(Zxid::ZERO);
            }
            Tell::Learn {
                observer,
                serve_from,
                own,
            } => {
                self.show_config(now);
                self.joined = own.filter(|_| self.node.config().digest);
                self.strange = 0;
                self.node.learn(observer);
                self.serve_from = Some(serve_from);
            }
            Tell::Muted => self.muted = true,
            Tell::Request(link, packet) => self.requested(tree, now, link, packet),
            Tell::Revalidate(link, packet) => self.revalidate(now, link, &packet),
            Tell::Touched(link, packet) => match body::decode_touches(packet.body()) {
                Ok(touches) => {
                    for (session, timeout_ms) in touches {
                        self.node.touched(now, SessionId(session), timeout_ms);
                    }
                }
                Err(error) => self.drop_link(now, link, &error.to_string()),
            },
            Tell::Ping(packet) => {
                let touches = self.node.take_touches();
                let mut reply = Packet::with(
                    PacketKind::Ping,
                    packet.zxid,
                    body::encode_touches(&touches),
                );
                reply.ids = packet.ids;
                self.zab_step(now, In::ToLeader(reply));
            }
            Tell::Revalidated(packet) => {
                if let Ok(answer) = Revalidated::decode(packet.body()) {
                    self.node
                        .revalidated(SessionId(answer.session), answer.valid);
                }
            }
            Tell::SyncDone => {
                self.node.synced();
            }
            Tell::LearnerGone(link) => self.node.unlinked(link),
            Tell::Config(config) => {
                self.show_config(now);
                out.push(Deed::Config(config));
            }
        }
    }

    /// Clients read the configuration from a node that no transaction writes when it comes from a
    /// file or from the leader.
    fn show_config(&mut self, now: Now) {
        if let Some(zab) = &self.zab {
            let view = zab.view();
            let version = view.committed().version;
            self.node.set_config(view.text().clone(), version, now);
        }
    }

    fn drop_link(&mut self, now: Now, link: LinkId, why: &str) {
        self.zab_step(now, In::Drop(link, why.into()));
    }

    /// A learner forwards what a client asks.
    fn requested(&mut self, tree: &Tree, now: Now, link: LinkId, packet: Packet) {
        if self.muted {
            // Another leads by now, and the learner is on its way there.
            return;
        }
        let data = packet.data.unwrap_or_default();
        let request = match Request::decode(&data) {
            Ok(request) => request,
            Err(error) => return self.drop_link(now, link, &format!("a REQUEST: {error}")),
        };
        let Some(op) = OpCode::from_i32(request.op) else {
            let why = format!("a REQUEST of operation {}", request.op);
            return self.drop_link(now, link, &why);
        };
        let ids: Ids = packet
            .ids
            .unwrap_or_default()
            .iter()
            .map(identity)
            .collect();
        let from = (SessionId(request.session), request.cxid);
        self.before_request(op);
        let taken = self.node.request_from(
            tree,
            now,
            link,
            from,
            op,
            request.body,
            ids,
            &mut self.effects,
        );
        if !taken {
            self.drop_link(now, link, &format!("a REQUEST of {op:?}"));
        }
    }

    fn revalidate(&mut self, now: Now, link: LinkId, packet: &Packet) {
        match Revalidate::decode(packet.body()) {
            Ok(asked) => {
                let session = SessionId(asked.session);
                let valid = self.node.revalidate(now, link, session, asked.timeout_ms);
                let body = Revalidated {
                    session: asked.session,
                    valid,
                };
                let reply = Packet::with(PacketKind::Revalidate, packet.zxid, body.encode());
                self.zab_step(now, In::ToLearner(link, reply));
            }
            Err(error) => self.drop_link(now, link, &format!("REVALIDATE: {error}")),
        }
    }
}

fn auth_id(identity: &Identity) -> AuthId {
    (
        Some(identity.scheme.to_string()),
        Some(identity.id.to_string()),
    )
}

fn identity(id: &AuthId) -> Identity {
    Identity {
        scheme: id.0.as_deref().unwrap_or_default().into(),
        id: id.1.as_deref().unwrap_or_default().into(),
    }
}

#[cfg(test)]
mod tests;
