//! What a leader says to one learner, and hears from it: from the first packet to UPTODATE, and
//! what comes after.

use alloc::format;
use alloc::string::String;

use zk_wire::quorum::body::{AckEpoch, LeaderInfo, PROTOCOL};
use zk_wire::quorum::packet::{Packet, PacketKind};

use super::hello::Hello;
use super::plan::{Facts, Row, plan};
use super::{Ack, Handler, Kind, Leader, Phase, Stage};
use crate::common::{Common, Turn};
use crate::ids::{LinkId, Sid, Zxid};
use crate::io::{Act, Base, StreamPlan, Tell};
use crate::limits::{EPOCH_MAX, HANDOFF_TXNS, LEARNERS_MAX, TWIN_TOLD_MS};
use crate::rules::Rule;
use crate::zab::Learners;

impl Leader {
    /// Somebody has connected.
    pub fn accepted(&mut self, c: &mut Common, link: LinkId, address: String) {
        if self.handlers.len() >= LEARNERS_MAX {
            c.warn(format!("{address} is one learner too many"));
            c.out.act(Act::Hangup(link));
            return;
        }
        let deadline_ms = c.now_ms + c.settings.init_ms();
        let deadline_tick = self.tick + c.settings.init_limit + c.settings.sync_limit;
        let handler = Handler::new(address, deadline_ms, deadline_tick);
        self.handlers.insert(link, handler);
    }

    /// A link has ended.
    pub fn closed(&mut self, c: &mut Common, link: LinkId, why: &str) -> Turn {
        if let Some(h) = self.handlers.remove(&link) {
            c.warn(format!("learner {} ({}) is gone: {why}", h.sid, h.address));
            c.out.tell(Tell::LearnerGone(link));
        }
        Turn::Stay
    }

    /// Bytes have moved on a link that is in the middle of a snapshot.
    pub fn heard(&mut self, c: &Common, link: LinkId) {
        if let Some(h) = self.handlers.get_mut(&link)
            && matches!(h.stage, Stage::Streaming | Stage::Live)
        {
            h.deadline_ms = c.now_ms + c.settings.init_ms();
        }
    }

    /// A packet of a learner.
    pub fn packet(&mut self, c: &mut Common, link: LinkId, packet: Packet) -> Turn {
        let Some(h) = self.handlers.get_mut(&link) else {
            return Turn::Stay;
        };
        h.heard_ms = c.now_ms;
        let said = match h.stage {
            Stage::Connected => self.greeted(c, link, &packet),
            Stage::Told => self.promised(c, link, &packet),
            Stage::Live => self.acknowledged(c, link, packet),
            Stage::Synced | Stage::Serving => self.served(c, link, packet),
            Stage::Greeted | Stage::Accepted | Stage::Streaming => {
                Err(format!("{} in stage {:?}", packet.kind, h.stage))
            }
        };
        match said {
            Ok(turn) => turn,
            // What no learner says.
            Err(why) => {
                self.expel(c, link, &why);
                Turn::Stay
            }
        }
    }

    /// FOLLOWERINFO or OBSERVERINFO.
    fn greeted(&mut self, c: &mut Common, link: LinkId, packet: &Packet) -> Result<Turn, String> {
        let hello = Hello::read(c, packet, &mut self.anonymous)?;
        if let Some(why) = hello.is_ahead(c) {
            self.drop_link(c, link, &why);
            return Ok(Turn::Stay);
        }
        let Hello {
            kind,
            sid,
            accepted,
            ..
        } = hello;
        if accepted >= EPOCH_MAX {
            return Err(format!("it has accepted epoch {accepted}"));
        }
        if self.is_taken(c, link, sid) {
            return Ok(Turn::Stay);
        }
        let before = self.links(|h| h.stage > Stage::Connected && h.sid == sid);
        for old in before {
            let new = &self.handlers[&link].address;
            let why = format!("server {sid} has connected again, from {new}");
            self.drop_link(c, old, &why);
        }
        let Some(h) = self.handlers.get_mut(&link) else {
            return Ok(Turn::Stay);
        };
        h.sid = sid;
        h.kind = kind;
        h.stage = Stage::Greeted;
        h.deadline_ms = c.now_ms + c.settings.init_ms();
        self.propose_epoch(c, sid, accepted);
        if !matches!(self.phase, Phase::Epoch | Phase::SavingAccepted(_)) {
            self.tell_epoch(c, link);
        }
        Ok(Turn::Stay)
    }

    /// Whether a server of this id is here and alive: then another one says that it is that server
    /// too, and goes. What one of them acknowledges the other need not have, so that there is one
    /// link of an id only; and it stays with the one that has it, lest they throw each other out.
    /// A server that has come back comes when its old link has ended, or has been silent.
    fn is_taken(&mut self, c: &mut Common, link: LinkId, sid: Sid) -> bool {
        let since = c.now_ms - c.settings.tick_ms;
        let live = |h: &&Handler| h.stage >= Stage::Synced && h.sid == sid && h.heard_ms > since;
        let Some(there) = self.handlers.values().find(live) else {
            return false;
        };
        let there = there.address.clone();
        if let Some(new) = self.handlers.remove(&link) {
            let due = |told: &i64| c.now_ms - told >= TWIN_TOLD_MS;
            if self.twins.get(&sid).is_none_or(due) {
                self.twins.insert(sid, c.now_ms);
                c.warn(format!(
                    "two servers with id {sid}? One is connected from {there}, and {} says that it is that server too: it is sent away",
                    new.address
                ));
            }
            c.out.act(Act::Hangup(link));
            c.out.tell(Tell::LearnerGone(link));
        }
        true
    }

    /// LEADERINFO: the epoch is settled, and written down.
    pub(super) fn tell_epoch(&mut self, c: &mut Common, link: LinkId) {
        let Some(h) = self.handlers.get_mut(&link) else {
            return;
        };
        h.stage = Stage::Told;
        h.deadline_ms = c.now_ms + c.settings.init_ms();
        let body = LeaderInfo { protocol: PROTOCOL };
        let zxid = Zxid::start_of(self.epoch).0;
        let packet = Packet::with(PacketKind::LeaderInfo, zxid, body.encode());
        c.out.send(link, packet);
    }

    /// ACKEPOCH.
    fn promised(&mut self, c: &mut Common, link: LinkId, packet: &Packet) -> Result<Turn, String> {
        if packet.kind != PacketKind::AckEpoch {
            return Err(format!("{} instead of ACKEPOCH", packet.kind));
        }
        let epoch = AckEpoch::decode(packet.body())
            .map_err(|error| format!("ACKEPOCH: {error}"))?
            .epoch;
        let Some(h) = self.handlers.get_mut(&link) else {
            return Ok(Turn::Stay);
        };
        h.peer = Zxid(packet.zxid);
        h.stage = Stage::Accepted;
        h.deadline_ms = c.now_ms + c.settings.init_ms();
        let sid = h.sid;
        // Once enough have promised, whoever comes later is made equal, with more or with less.
        if self.phase == Phase::Promises && epoch != -1 {
            let theirs = (i64::from(epoch), h.peer);
            let mine = (i64::from(self.summary.0), self.summary.1);
            if is_more_recent(theirs, mine) {
                let why = format!(
                    "it has epoch {} and zxid {}, more than my epoch {} and zxid {}",
                    theirs.0, theirs.1, mine.0, mine.1
                );
                self.drop_link(c, link, &why);
                return Ok(Turn::Stay);
            }
            if h.peer.0 != -1 && c.view.quorum().voters().contains(&sid) {
                self.promised.insert(sid);
                self.count_promises(c);
            }
        }
        if matches!(
            self.phase,
            Phase::NewLeader | Phase::CatchingUp | Phase::Broadcast
        ) {
            self.synchronise(c, link);
        }
        Ok(Turn::Stay)
    }

    /// Where learners are brought to.
    fn target(&self, c: &Common) -> Zxid {
        if self.phase == Phase::Broadcast && c.settings.rules.hold(Rule::SyncUpToCommitted) {
            self.proposals.committed()
        } else {
            c.history.end()
        }
    }

    /// Begins to send what the learner lacks.
    pub(super) fn synchronise(&mut self, c: &mut Common, link: LinkId) {
        let end = self.target(c);
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
        if h.kind == Kind::Observer {
            // Observers only: those who vote are needed.
            let is_snap = plan.base == Base::Snap;
            let under_way = self.handlers.values().filter(|other| {
                other.kind == Kind::Observer
                    && other.stage == Stage::Streaming
                    && other.row.is_some_and(Row::is_snap) == is_snap
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
        }
        let (sid, peer) = (h.sid, h.peer);
        c.info(format!(
            "learner {sid} is at {peer}, I am at {end}: {} ({:?})",
            base_name(plan.base),
            plan.row
        ));
        let is_snap = plan.base == Base::Snap;
        if is_snap {
            c.counts.snaps += 1;
        } else {
            c.counts.diffs += 1;
        }
        c.counts.at_once(is_snap, self.streaming(is_snap) + 1);
        if plan.base != Base::Diff(end) || plan.row != Row::Equal {
            // What it has acknowledged and is to cut off does not count any more.
            self.proposals.forget(sid, plan.after);
        }
        let Some(h) = self.handlers.get_mut(&link) else {
            return;
        };
        h.stage = Stage::Streaming;
        h.row = Some(plan.row);
        h.deadline_ms = c.now_ms + c.settings.init_ms();
        // What is durable can be read; the rest is in memory.
        let until = end.min(c.durable);
        if plan.base != Base::Snap && plan.after >= until {
            c.out.send(link, first_packet(plan.base));
            h.streamed = plan.after;
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

    /// How many are being brought to here in this way.
    fn streaming(&self, is_snap: bool) -> usize {
        let under_way = self
            .handlers
            .values()
            .filter(|h| h.stage == Stage::Streaming && h.row.is_some_and(Row::is_snap) == is_snap);
        under_way.count()
    }

    /// Its stream has sent everything up to here: either it goes on, or the learner joins those
    /// that get everything as it comes.
    pub fn streamed(&mut self, c: &mut Common, link: LinkId, upto: Zxid) {
        let target = self.target(c);
        let committed = self.proposals.committed();
        let base = self.base;
        let readable = target.min(c.durable);
        let rest = c.history.count(upto, readable);
        let Some(h) = self.handlers.get_mut(&link) else {
            return;
        };
        if h.stage != Stage::Streaming {
            return;
        }
        h.streamed = upto;
        let window = self.proposals.window(upto, base);
        let whole = upto >= target || (window.is_some() && rest <= HANDOFF_TXNS);
        if !whole {
            h.deadline_ms = c.now_ms + c.settings.init_ms();
            c.out.act(Act::StreamMore(link, readable));
            return;
        }
        for (zxid, payload) in window.into_iter().flatten() {
            c.out.send(
                link,
                Packet::with(PacketKind::Proposal, zxid.0, payload.clone()),
            );
            c.out.send(link, Packet::new(PacketKind::Commit, zxid.0));
        }
        let window_rule = c.settings.rules.hold(Rule::NewLeaderAfterWindow);
        if h.kind == Kind::Follower && window_rule {
            for proposal in self.proposals.outstanding() {
                if proposal.zxid > committed {
                    c.out.send(
                        link,
                        Packet::with(
                            PacketKind::Proposal,
                            proposal.zxid.0,
                            proposal.payload.clone(),
                        ),
                    );
                }
            }
        }
        h.stage = Stage::Live;
        h.deadline_ms = c.now_ms + c.settings.init_ms();
        let is_snap = h.row.is_some_and(Row::is_snap);
        c.counts.at_once(is_snap, self.streaming(is_snap));
        // Who is told a configuration here takes it for committed with UPTODATE. One that was pending
        // when this leader began is committed by then; one that it has proposed itself may never be.
        let text = match self.phase {
            Phase::Broadcast => c.view.committed().text(),
            _ => c.view.last_seen().text(),
        };
        let zxid = Zxid::start_of(self.epoch).0;
        let packet = Packet::with(PacketKind::NewLeader, zxid, text);
        c.out.send(link, packet);
    }

    /// The first word behind NEWLEADER is its acknowledgement; followers before 3.8.5 and 3.9.2
    /// may acknowledge transactions in front of it (ZOOKEEPER-4685).
    fn acknowledged(
        &mut self,
        c: &mut Common,
        link: LinkId,
        packet: Packet,
    ) -> Result<Turn, String> {
        if packet.kind != PacketKind::Ack {
            return Err(format!("{} instead of ACK of NEWLEADER", packet.kind));
        }
        let zxid = Zxid(packet.zxid);
        if zxid != Zxid::start_of(self.epoch) {
            if c.settings.rules.hold(Rule::TolerateEarlyAcks) {
                return self.served(c, link, packet);
            }
            return Ok(Turn::Stay);
        }
        let sync_ms = c.settings.sync_ms();
        let Some(h) = self.handlers.get_mut(&link) else {
            return Ok(Turn::Stay);
        };
        h.stage = Stage::Synced;
        h.deadline_ms = c.now_ms + sync_ms.max(c.settings.init_ms());
        let (sid, kind) = (h.sid, h.kind);
        if kind == Kind::Follower {
            self.followed.insert(sid);
        }
        if self.phase == Phase::Broadcast {
            self.serve(c, link);
            return Ok(Turn::Stay);
        }
        Ok(self.count_followers(c))
    }

    /// UPTODATE, and what was held back until now.
    pub(super) fn serve(&mut self, c: &mut Common, link: LinkId) {
        let deadline_ms = c.now_ms + c.settings.sync_ms();
        let Some(h) = self.handlers.get_mut(&link) else {
            return;
        };
        h.stage = Stage::Serving;
        h.deadline_ms = deadline_ms;
        c.out.send(link, Packet::new(PacketKind::UpToDate, -1));
        for packet in h.take_held() {
            c.out.send(link, packet);
        }
    }

    /// What a learner says that is synchronised.
    fn served(&mut self, c: &mut Common, link: LinkId, packet: Packet) -> Result<Turn, String> {
        let tick = self.tick + c.settings.sync_limit;
        let Some(h) = self.handlers.get_mut(&link) else {
            return Ok(Turn::Stay);
        };
        h.deadline_tick = tick;
        if h.stage == Stage::Serving {
            h.deadline_ms = c.now_ms + c.settings.sync_ms();
        }
        match packet.kind {
            PacketKind::Ack => {
                let zxid = Zxid(packet.zxid);
                if zxid.counter() == 0 {
                    // Of UPTODATE.
                    return Ok(Turn::Stay);
                }
                h.acked(zxid);
                let sid = h.sid;
                if let Some(made_ms) = self.proposals.time_of(zxid) {
                    c.counts.acked(sid, zxid, made_ms, c.wall_ms);
                }
                if h.kind == Kind::Observer {
                    return Ok(Turn::Stay);
                }
                let (sid, warned) = (h.sid, h.warned);
                if self.proposals.ack(sid, zxid) == Ack::Unknown {
                    if zxid.epoch() == self.epoch {
                        return Err(format!("it acknowledges {zxid}, which nobody proposed"));
                    }
                    if !warned {
                        c.warn(format!(
                            "learner {sid} acknowledges {zxid} of another epoch"
                        ));
                    }
                    if let Some(h) = self.handlers.get_mut(&link) {
                        h.warned = true;
                    }
                    return Ok(Turn::Stay);
                }
                Ok(self.commit(c))
            }
            PacketKind::Ping => {
                c.out.tell(Tell::Touched(link, packet));
                Ok(Turn::Stay)
            }
            PacketKind::Revalidate => {
                c.counts.revalidated += 1;
                c.out.tell(Tell::Revalidate(link, packet));
                Ok(Turn::Stay)
            }
            PacketKind::Request => {
                if self.phase != Phase::Broadcast {
                    return Err("it forwards a request before UPTODATE".into());
                }
                c.out.tell(Tell::Request(link, packet));
                Ok(Turn::Stay)
            }
            other => {
                // As in Java: it is said, and nothing follows from it.
                c.blame(format!("learner {} sends {other}", h.sid));
                Ok(Turn::Stay)
            }
        }
    }

    /// A packet of the node for a learner.
    pub fn relay(&mut self, c: &mut Common, link: LinkId, packet: Packet) {
        let served = self.handlers.get(&link);
        if served.is_some_and(|h| h.stage >= Stage::Synced) {
            c.out.send(link, packet);
        }
    }

    /// How many learners there are.
    pub fn counts(&self, c: &Common) -> Learners {
        let mut learners = Learners {
            links: self.handlers.len(),
            ..Learners::default()
        };
        for h in self.handlers.values().filter(|h| h.stage >= Stage::Live) {
            match h.kind {
                Kind::Observer => learners.observers += 1,
                Kind::Follower => {
                    learners.followers += 1;
                    learners.non_voting += usize::from(!c.view.is_voter(h.sid));
                }
            }
        }
        learners
    }
}

/// Whether a server's epoch and zxid are later than another's. The zxid at the start of an epoch
/// is no transaction: in the same epoch it says no more than the last one before it.
fn is_more_recent(theirs: (i64, Zxid), mine: (i64, Zxid)) -> bool {
    if theirs.0 != mine.0 {
        return theirs.0 > mine.0;
    }
    let is_start = theirs.1.counter() == 0 && i64::from(theirs.1.epoch()) == theirs.0;
    theirs.1 > mine.1 && !(is_start && mine.1.epoch() < theirs.1.epoch())
}

pub(crate) fn first_packet(base: Base) -> Packet {
    match base {
        Base::Diff(zxid) => Packet::new(PacketKind::Diff, zxid.0),
        Base::Trunc(zxid) => Packet::new(PacketKind::Trunc, zxid.0),
        Base::Snap => unreachable!("a snapshot is sent by a stream"),
    }
}

pub(crate) fn base_name(base: Base) -> &'static str {
    match base {
        Base::Diff(_) => "DIFF",
        Base::Trunc(_) => "TRUNC",
        Base::Snap => "SNAP",
    }
}
