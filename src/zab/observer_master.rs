//! A follower that serves observers, so that the leader need not: it synchronises them from its own
//! log and tree, tells them what is committed, and passes on what they ask.
//!
//! Owns: their links, the committed transactions that are kept for observers that catch up, and
//! which answers of the leader are whose. Does not know: the follower's own part, sockets, the tree.
//!
//! Invariants: an observer is told only what is committed, in order and without a gap; one that has
//! more than this server knows to be committed waits, and is not made to cut it off; what comes from
//! one observer goes to the leader in the order in which it came.

use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use bytes::Bytes;
use zk_wire::OpCode;
use zk_wire::quorum::body::{
    AckEpoch, InformActivate, LeaderInfo, PROTOCOL, Request, Revalidate, Revalidated,
    encode_touches,
};
use zk_wire::quorum::packet::{Packet, PacketKind};

use crate::common::Common;
use crate::ids::{LinkId, Sid, Zxid};
use crate::io::{Act, Base, StreamPlan, Tell};
use crate::leader::hello::Hello;
use crate::leader::plan::{Facts, Row, plan};
use crate::leader::{Handler, Kind, Stage, base_name, first_packet};
use crate::limits::{HELD_BYTES, LEARNERS_MAX, RELAYED_MAX};

/// Whose an answer of the leader is: of an observer behind this link, or this server's own.
type Whose = Option<LinkId>;

/// See the module.
#[derive(Debug)]
pub(crate) struct ObserverMaster {
    epoch: u32,
    is_open: bool,
    handlers: BTreeMap<LinkId, Handler>,
    /// Observers that wait until more of the log is durable.
    waiting: BTreeSet<LinkId>,
    /// What the leader has proposed and not committed.
    proposed: VecDeque<(Zxid, Bytes)>,
    /// What was committed lately: everything behind `ring_base`.
    ring: VecDeque<(Zxid, Bytes)>,
    ring_base: Zxid,
    ring_bytes: u64,
    /// What the leader was asked and has not answered: it answers in order.
    syncs: VecDeque<Whose>,
    revalidations: VecDeque<(Revalidate, Whose)>,
    next_ping_ms: i64,
    anonymous: i64,
}

impl ObserverMaster {
    /// Nobody is served yet, but proposals are taken note of.
    pub fn new() -> ObserverMaster {
        ObserverMaster {
            epoch: 0,
            is_open: false,
            handlers: BTreeMap::new(),
            waiting: BTreeSet::new(),
            proposed: VecDeque::new(),
            ring: VecDeque::new(),
            ring_base: Zxid::ZERO,
            ring_bytes: 0,
            syncs: VecDeque::new(),
            revalidations: VecDeque::new(),
            next_ping_ms: i64::MAX,
            anonymous: 0,
        }
    }

    /// The follower is synchronised, and everything up to `told` is committed.
    pub fn open(&mut self, c: &mut Common, epoch: u32, told: Zxid) {
        self.forget(told);
        self.epoch = epoch;
        self.is_open = true;
        self.ring_base = told;
        self.next_ping_ms = c.now_ms + c.settings.tick_ms / 2;
        c.out.act(Act::ListenMaster(true));
    }

    /// Ends: every observer is let go.
    pub fn close(&mut self, c: &mut Common) {
        if self.is_open {
            c.out.act(Act::ListenMaster(false));
        }
        for link in core::mem::take(&mut self.handlers).into_keys() {
            c.out.act(Act::Hangup(link));
        }
    }

    /// Whether this link is an observer's.
    pub fn has(&self, link: LinkId) -> bool {
        self.handlers.contains_key(&link)
    }

    /// Links, and observers that are served.
    pub fn counts(&self) -> (usize, usize) {
        let served = self.handlers.values().filter(|h| h.stage >= Stage::Live);
        (self.handlers.len(), served.count())
    }

    /// When [`ObserverMaster::tick`] has something to do, monotonic milliseconds.
    pub fn deadline_ms(&self) -> i64 {
        let links = self.handlers.values().map(|h| h.deadline_ms).min();
        match links {
            Some(links) => self.next_ping_ms.min(links),
            // Nobody is there to be pinged.
            None => i64::MAX,
        }
    }

    /// Time has passed.
    pub fn tick(&mut self, c: &mut Common) {
        let late = self.links(|h| c.now_ms >= h.deadline_ms);
        for link in late {
            let stage = self.handlers[&link].stage;
            let why = format!("nothing was heard of it in time ({stage:?})");
            self.drop_link(c, link, &why);
        }
        if c.now_ms >= self.next_ping_ms {
            self.next_ping_ms = c.now_ms + c.settings.tick_ms / 2;
            let live = self.links(|h| h.stage >= Stage::Live);
            if !live.is_empty() {
                let ping = Packet::new(PacketKind::Ping, c.committed.0);
                c.out.act(Act::Broadcast(live.into(), ping));
            }
        }
    }

    fn links(&self, filter: impl Fn(&Handler) -> bool) -> Vec<LinkId> {
        let links = self.handlers.iter().filter(|(_, h)| filter(h));
        links.map(|(link, _)| *link).collect()
    }

    /// Closes a link, for a reason that is told to whoever reads the log.
    pub fn drop_link(&mut self, c: &mut Common, link: LinkId, why: &str) {
        if let Some(line) = self.let_go(c, link, why) {
            c.warn(line);
        }
    }

    /// As [`ObserverMaster::drop_link`], because its other end does not keep the protocol.
    pub fn expel(&mut self, c: &mut Common, link: LinkId, why: &str) {
        if let Some(line) = self.let_go(c, link, why) {
            c.blame(line);
        }
    }

    /// Closes a link, if there is one. Returns the line that says so.
    fn let_go(&mut self, c: &mut Common, link: LinkId, why: &str) -> Option<String> {
        self.waiting.remove(&link);
        let h = self.handlers.remove(&link)?;
        c.out.act(Act::Hangup(link));
        let Handler { sid, address, .. } = h;
        Some(format!("observer {sid} ({address}) is dropped: {why}"))
    }

    /// A link has ended.
    pub fn closed(&mut self, c: &mut Common, link: LinkId, why: &str) {
        if let Some(h) = self.handlers.remove(&link) {
            c.warn(format!("observer {} ({}) is gone: {why}", h.sid, h.address));
        }
        self.waiting.remove(&link);
    }

    /// Bytes have moved on a link that is in the middle of a snapshot.
    pub fn heard(&mut self, c: &Common, link: LinkId) {
        if let Some(h) = self.handlers.get_mut(&link)
            && matches!(h.stage, Stage::Streaming | Stage::Live)
        {
            h.deadline_ms = c.now_ms + c.settings.init_ms();
        }
    }

    /// Somebody has connected.
    pub fn accepted(&mut self, c: &mut Common, link: LinkId, address: String) {
        if !self.is_open || self.handlers.len() >= LEARNERS_MAX {
            c.warn(format!("{address} is not served as an observer"));
            c.out.act(Act::Hangup(link));
            return;
        }
        let handler = Handler::new(address, c.now_ms + c.settings.init_ms(), i64::MAX);
        self.handlers.insert(link, handler);
    }

    // What the leader says.

    /// It has proposed.
    pub fn proposed(&mut self, zxid: Zxid, payload: Bytes) {
        self.proposed.push_back((zxid, payload));
    }

    /// Everything up to here is committed, and told to nobody.
    pub fn forget(&mut self, zxid: Zxid) {
        while self.proposed.front().is_some_and(|(z, _)| *z <= zxid) {
            self.proposed.pop_front();
        }
    }

    /// It has committed, perhaps with the name of a leader.
    pub fn committed(&mut self, c: &mut Common, zxid: Zxid, leader: Option<Sid>) {
        let payload = match self.proposed.front() {
            Some((head, _)) if *head == zxid => self.proposed.pop_front().map(|(_, it)| it),
            _ => None,
        };
        self.forget(zxid);
        let Some(payload) = payload else {
            // It was proposed before this link to the leader: whoever has come since lacks it.
            for link in self.links(|h| h.stage >= Stage::Live) {
                self.drop_link(c, link, "this server cannot tell it the next transaction");
            }
            self.ring.clear();
            (self.ring_bytes, self.ring_base) = (0, zxid);
            return;
        };
        self.keep(zxid, payload.clone(), c.settings.observer_master_bytes);
        let packet = match leader {
            None => Packet::with(PacketKind::Inform, zxid.0, payload),
            Some(leader) => {
                let body = InformActivate {
                    leader: leader.0,
                    payload,
                };
                Packet::with(PacketKind::InformAndActivate, zxid.0, body.encode())
            }
        };
        let (mut serving, mut full) = (Vec::new(), Vec::new());
        for (link, h) in &mut self.handlers {
            if h.stage == Stage::Serving {
                serving.push(*link);
            } else if h.stage >= Stage::Live && !h.hold(packet.clone(), HELD_BYTES) {
                full.push(*link);
            }
        }
        if !serving.is_empty() {
            c.out.act(Act::Broadcast(serving.into(), packet));
        }
        for link in full {
            self.drop_link(c, link, "it takes too long to become ready");
        }
        self.synchronise_ahead(c);
    }

    fn keep(&mut self, zxid: Zxid, payload: Bytes, bound: u64) {
        self.ring_bytes += payload.len() as u64;
        self.ring.push_back((zxid, payload));
        while self.ring_bytes > bound
            && let Some((zxid, payload)) = self.ring.pop_front()
        {
            self.ring_bytes -= payload.len() as u64;
            self.ring_base = zxid;
        }
    }

    /// The log is durable further than before.
    pub fn durable(&mut self, c: &mut Common) {
        for link in core::mem::take(&mut self.waiting) {
            if let Some(h) = self.handlers.get(&link) {
                let upto = h.streamed;
                self.streamed(c, link, upto);
            }
        }
    }

    /// It has answered a sync. Whether that was an observer's.
    pub fn synced(&mut self, c: &mut Common) -> bool {
        match self.syncs.pop_front() {
            Some(Some(link)) => {
                if self.has(link) {
                    c.out.send(link, Packet::new(PacketKind::Sync, 0));
                }
                true
            }
            Some(None) | None => false,
        }
    }

    /// It has said whether a session lives. Whether an observer had asked.
    pub fn revalidated(&mut self, c: &mut Common, packet: &Packet) -> bool {
        let Ok(answer) = Revalidated::decode(packet.body()) else {
            return false;
        };
        let of = |(asked, _): &(Revalidate, Whose)| asked.session == answer.session;
        let at = self.revalidations.iter().position(of);
        let Some((asked, Some(link))) = at.and_then(|at| self.revalidations.remove(at)) else {
            return false;
        };
        if self.has(link) {
            c.out.send(link, packet.clone());
            if answer.valid {
                let touches = encode_touches(&[(asked.session, asked.timeout_ms)]);
                let packet = Packet::with(PacketKind::Ping, -1, touches);
                c.out.tell(Tell::Touched(link, packet));
            }
        }
        true
    }

    /// This server's own node asks the leader.
    pub fn asks(&mut self, packet: &Packet) {
        // What cannot be read is not of this server's node.
        let _ = self.note(packet, None);
    }

    /// Takes note of what will be answered. Why it cannot be passed on.
    fn note(&mut self, packet: &Packet, whose: Whose) -> Result<(), String> {
        match packet.kind {
            PacketKind::Revalidate => {
                let asked = Revalidate::decode(packet.body())
                    .map_err(|error| format!("REVALIDATE: {error}"))?;
                self.revalidations.push_back((asked, whose));
            }
            PacketKind::Request => {
                let data = packet.data.clone().unwrap_or_default();
                let request =
                    Request::decode(&data).map_err(|error| format!("a REQUEST: {error}"))?;
                if request.op == OpCode::Sync.to_i32() {
                    self.syncs.push_back(whose);
                }
            }
            _ => {}
        }
        Ok(())
    }

    // What an observer says.

    /// A packet of an observer; `leader` is the link to the leader.
    pub fn packet(&mut self, c: &mut Common, link: LinkId, packet: Packet, leader: LinkId) {
        let Some(h) = self.handlers.get(&link) else {
            return;
        };
        let said = match h.stage {
            Stage::Connected => self.greeted(c, link, &packet),
            Stage::Told => self.promised(c, link, &packet),
            Stage::Live => self.acknowledged(c, link, &packet),
            Stage::Synced | Stage::Serving => self.served(c, link, packet, leader),
            Stage::Greeted | Stage::Accepted | Stage::Streaming => {
                Err(format!("{} in stage {:?}", packet.kind, h.stage))
            }
        };
        // What no observer says.
        if let Err(why) = said {
            self.expel(c, link, &why);
        }
    }

    /// OBSERVERINFO. The epoch is settled already.
    fn greeted(&mut self, c: &mut Common, link: LinkId, packet: &Packet) -> Result<(), String> {
        let hello = Hello::read(c, packet, &mut self.anonymous)?;
        if let Some(why) = hello.is_ahead(c) {
            self.drop_link(c, link, &why);
            return Ok(());
        }
        let Hello { kind, sid, .. } = hello;
        if kind != Kind::Observer {
            return Err("only observers are served here".into());
        }
        for old in self.links(|h| h.stage > Stage::Connected && h.sid == sid) {
            let why = format!("server {sid} has connected again");
            self.drop_link(c, old, &why);
        }
        let Some(h) = self.handlers.get_mut(&link) else {
            return Ok(());
        };
        h.sid = sid;
        h.kind = kind;
        h.stage = Stage::Told;
        h.deadline_ms = c.now_ms + c.settings.init_ms();
        let body = LeaderInfo { protocol: PROTOCOL };
        let zxid = Zxid::start_of(self.epoch).0;
        let packet = Packet::with(PacketKind::LeaderInfo, zxid, body.encode());
        c.out.send(link, packet);
        Ok(())
    }

    /// ACKEPOCH.
    fn promised(&mut self, c: &mut Common, link: LinkId, packet: &Packet) -> Result<(), String> {
        if packet.kind != PacketKind::AckEpoch {
            return Err(format!("{} instead of ACKEPOCH", packet.kind));
        }
        AckEpoch::decode(packet.body()).map_err(|error| format!("ACKEPOCH: {error}"))?;
        if let Some(h) = self.handlers.get_mut(&link) {
            h.peer = Zxid(packet.zxid);
            h.stage = Stage::Accepted;
            h.deadline_ms = c.now_ms + c.settings.init_ms();
        }
        self.synchronise_ahead(c);
        Ok(())
    }

    /// Begins with those that have no more than this server knows to be committed. What an observer
    /// has of this epoch is committed: whoever is ahead waits until this server knows so.
    fn synchronise_ahead(&mut self, c: &mut Common) {
        let (end, epoch) = (c.committed, self.epoch);
        let ready = self.links(|h| {
            let is_ahead = h.peer > end && h.peer.epoch() == epoch && h.peer.counter() > 0;
            h.stage == Stage::Accepted && !is_ahead
        });
        for link in ready {
            self.synchronise(c, link);
        }
    }

    fn synchronise(&mut self, c: &mut Common, link: LinkId) {
        let end = c.committed;
        let Some(h) = self.handlers.get(&link) else {
            return;
        };
        let plan = plan(&Facts {
            history: &c.history,
            end,
            epoch: self.epoch,
            peer: h.peer,
            tree_bytes: c.tree_bytes,
            factor: c.settings.snap_factor,
            window: c.settings.commit_log_count,
            force_snap: c.settings.force_snap,
            rules: c.settings.rules,
        });
        let is_snap = plan.base == Base::Snap;
        let under_way = self.handlers.values().filter(|other| {
            other.stage == Stage::Streaming && other.row.is_some_and(Row::is_snap) == is_snap
        });
        let most = if is_snap {
            c.settings.max_snap_syncs
        } else {
            c.settings.max_diff_syncs
        };
        if under_way.count() >= most {
            self.drop_link(c, link, "too many others are synchronised already");
            return;
        }
        c.info(format!(
            "observer {} is at {}, I am at {end}: {} ({:?})",
            h.sid,
            h.peer,
            base_name(plan.base),
            plan.row
        ));
        let Some(h) = self.handlers.get_mut(&link) else {
            return;
        };
        h.stage = Stage::Streaming;
        h.row = Some(plan.row);
        h.deadline_ms = c.now_ms + c.settings.init_ms();
        let until = end.min(c.durable);
        if plan.base != Base::Snap && plan.after >= until {
            c.out.send(link, first_packet(plan.base));
            self.streamed(c, link, plan.after);
        } else {
            let plan = StreamPlan {
                base: plan.base,
                after: plan.after,
                until,
            };
            c.out.act(Act::Stream(link, plan));
        }
    }

    /// Its stream has sent everything up to here: it goes on, or the rest is in memory.
    pub fn streamed(&mut self, c: &mut Common, link: LinkId, upto: Zxid) {
        let target = c.committed;
        let readable = target.min(c.durable);
        let Some(h) = self.handlers.get_mut(&link) else {
            return;
        };
        if h.stage != Stage::Streaming {
            return;
        }
        h.streamed = upto;
        h.deadline_ms = c.now_ms + c.settings.init_ms();
        if upto < target && upto < self.ring_base {
            if readable > upto {
                c.out.act(Act::StreamMore(link, readable));
            } else {
                self.waiting.insert(link);
            }
            return;
        }
        h.stage = Stage::Live;
        let from = self.ring.partition_point(|(zxid, _)| *zxid <= upto);
        for (zxid, payload) in self.ring.range(from..) {
            let proposal = Packet::with(PacketKind::Proposal, zxid.0, payload.clone());
            c.out.send(link, proposal);
            c.out.send(link, Packet::new(PacketKind::Commit, zxid.0));
        }
        // One that is proposed and not committed is no observer's business yet.
        let text = c.view.committed().text();
        let zxid = Zxid::start_of(self.epoch).0;
        let packet = Packet::with(PacketKind::NewLeader, zxid, text);
        c.out.send(link, packet);
    }

    /// The acknowledgement of NEWLEADER is answered with UPTODATE at once, and with what was held
    /// back until then.
    fn acknowledged(
        &mut self,
        c: &mut Common,
        link: LinkId,
        packet: &Packet,
    ) -> Result<(), String> {
        let zxid = Zxid(packet.zxid);
        if packet.kind != PacketKind::Ack || zxid != Zxid::start_of(self.epoch) {
            return Err(format!(
                "{} {zxid} instead of ACK of NEWLEADER",
                packet.kind
            ));
        }
        let deadline_ms = c.now_ms + c.settings.sync_ms();
        if let Some(h) = self.handlers.get_mut(&link) {
            h.stage = Stage::Serving;
            h.deadline_ms = deadline_ms;
            c.out.send(link, Packet::new(PacketKind::UpToDate, -1));
            for packet in h.take_held() {
                c.out.send(link, packet);
            }
        }
        Ok(())
    }

    fn served(
        &mut self,
        c: &mut Common,
        link: LinkId,
        packet: Packet,
        leader: LinkId,
    ) -> Result<(), String> {
        let sync_ms = c.settings.sync_ms();
        let Some(h) = self.handlers.get_mut(&link) else {
            return Ok(());
        };
        h.deadline_ms = c.now_ms + sync_ms;
        match packet.kind {
            // Of UPTODATE.
            PacketKind::Ack if Zxid(packet.zxid).counter() == 0 => {}
            PacketKind::Ack => {
                return Err(format!("an observer acknowledges {}", Zxid(packet.zxid)));
            }
            PacketKind::Ping => c.out.tell(Tell::Touched(link, packet)),
            PacketKind::Revalidate | PacketKind::Request => {
                if self.syncs.len() + self.revalidations.len() >= RELAYED_MAX {
                    self.drop_link(c, link, "the leader leaves too much of it unanswered");
                    return Ok(());
                }
                self.note(&packet, Some(link))?;
                c.out.send(leader, packet);
            }
            other => {
                // As in Java: it is said, and nothing follows from it.
                c.blame(format!("observer {} sends {other}", h.sid));
            }
        }
        Ok(())
    }
}
