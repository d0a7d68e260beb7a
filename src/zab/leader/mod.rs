//! The leader: it settles an epoch with a quorum, brings every learner to its own history, and
//! then proposes, counts and commits.
//!
//! Owns: the phases of a leader, its learners, and its proposals. Does not know: the election that
//! made it leader, sockets, the tree.
//!
//! Invariants: nothing is proposed before a quorum has acknowledged NEWLEADER; LEADERINFO leaves
//! behind the durable acceptedEpoch, NEWLEADER behind the durable currentEpoch; every learner gets
//! PROPOSALs and COMMITs in one order without a gap.

mod handler;
pub(crate) mod hello;
mod learners;
pub mod plan;
mod proposals;

use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;

use bytes::Bytes;
pub use handler::{Handler, Kind, Stage};
use jute::{Decode, Reader};
pub(crate) use learners::{base_name, first_packet};
pub use proposals::{Ack, Proposal, Proposals};
use zk_wire::quorum::body::{Activate, InformActivate};
use zk_wire::quorum::packet::{Packet, PacketKind};
use zk_wire::txn::{TxnHeader, reconfig_text};

use crate::common::{Common, Turn};
use crate::ids::{JobId, LinkId, Sid, Zxid};
use crate::io::{Act, Job, Tell};
use crate::limits::HELD_BYTES;
use crate::quorum::Joint;
use crate::rules::Rule;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// A quorum's accepted epochs are gathered.
    Epoch,
    /// The new epoch is written down.
    SavingAccepted(JobId),
    /// A quorum's promises are gathered.
    Promises,
    /// The new epoch becomes the current one.
    SavingCurrent(JobId),
    /// A quorum's acknowledgements of NEWLEADER are gathered.
    NewLeader,
    /// The tree catches up with the history, all of which is committed.
    CatchingUp,
    /// It proposes.
    Broadcast,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Leader {
    phase: Phase,
    epoch: u32,
    /// What I had when I began: whoever has more does not follow me.
    summary: (u32, Zxid),
    /// Where my own epoch's transactions begin.
    base: Zxid,
    /// acceptedEpoch when I began.
    accepted: u32,
    connecting: BTreeSet<Sid>,
    promised: BTreeSet<Sid>,
    /// Whose NEWLEADER acknowledgement is there.
    followed: BTreeSet<Sid>,
    new_leader: Option<Joint>,
    handlers: BTreeMap<LinkId, Handler>,
    proposals: Proposals,
    /// When those were made that are not durable here.
    made_ms: VecDeque<(Zxid, i64)>,
    /// For proposals of now; made anew when a configuration changes.
    joint: Arc<Joint>,
    /// Whether commits may still be decided here: a reconfiguration may have named another leader.
    allowed: bool,
    designated: Option<(Sid, Zxid)>,
    phase_deadline_ms: i64,
    tick: i64,
    half: bool,
    next_half_ms: i64,
    anonymous: i64,
    established_ms: i64,
    began_ms: i64,
    resign: Option<String>,
    /// When it was told last that two servers have one id; of ids that are connected.
    twins: BTreeMap<Sid, i64>,
}

impl Leader {
    /// Begins to lead.
    pub fn new(c: &mut Common) -> Leader {
        let end = c.history.end();
        let joint = Arc::new(c.view.joint());
        let mut leader = Leader {
            phase: Phase::Epoch,
            epoch: 0,
            summary: (c.current, end),
            base: end,
            accepted: c.accepted,
            connecting: BTreeSet::new(),
            promised: BTreeSet::new(),
            followed: BTreeSet::new(),
            new_leader: None,
            handlers: BTreeMap::new(),
            proposals: Proposals::new(end, c.settings.rules),
            made_ms: VecDeque::new(),
            joint,
            allowed: true,
            designated: None,
            phase_deadline_ms: c.now_ms + c.settings.init_ms(),
            tick: 0,
            half: true,
            next_half_ms: i64::MAX,
            anonymous: 0,
            established_ms: 0,
            began_ms: c.now_ms,
            resign: None,
            twins: BTreeMap::new(),
        };
        c.out.act(Act::Listen(true));
        let me = c.me();
        leader.propose_epoch(c, me, c.accepted);
        leader
    }

    /// Whether it proposes.
    pub fn is_established(&self) -> bool {
        self.phase == Phase::Broadcast
    }

    /// The epoch, once it is settled.
    pub fn epoch(&self) -> u32 {
        self.epoch
    }

    /// Proposals.
    pub fn proposals(&self) -> &Proposals {
        &self.proposals
    }

    /// When it was established, monotonic milliseconds.
    pub fn established_ms(&self) -> i64 {
        self.established_ms
    }

    /// A voter looks for a leader while I wait for a quorum: after some time it is not waited for
    /// any longer (ZOOKEEPER-3109).
    pub fn looking(&mut self, c: &mut Common, sid: Sid) {
        let most = c.settings.max_wait_for_epoch_ms;
        let waited = c.now_ms - self.began_ms;
        if self.phase == Phase::Epoch
            && most >= 0
            && waited > most
            && c.view.quorum().voters().contains(&sid)
        {
            c.counts.disloyal += 1;
            self.resign = Some(format!("server {sid} looks for a leader again"));
        }
    }

    /// The followers that are synchronised and can vote with a configuration: for the question
    /// whether a proposed one would have a quorum.
    pub fn synced(&self, me: Sid) -> BTreeSet<Sid> {
        let serving = self.handlers.values();
        let serving = serving.filter(|h| h.stage >= Stage::Live && h.kind == Kind::Follower);
        serving.map(|h| h.sid).chain([me]).collect()
    }

    /// When [`Leader::tick`] has something to do, monotonic milliseconds.
    pub fn deadline_ms(&self, c: &Common) -> i64 {
        if self.resign.is_some() {
            return 0;
        }
        let links = self.handlers.values().map(|h| h.deadline_ms).min();
        let phase = match self.phase {
            Phase::Broadcast => {
                let disk = c.disk_deadline_ms(c.settings.sync_ms());
                self.next_half_ms.min(disk)
            }
            _ => self.phase_deadline_ms,
        };
        phase.min(links.unwrap_or(i64::MAX))
    }

    /// A job is done.
    pub fn done(&mut self, c: &mut Common, job: JobId) -> Turn {
        match self.phase {
            Phase::SavingAccepted(id) if id == job => {
                self.phase = Phase::Promises;
                self.phase_deadline_ms = c.now_ms + c.settings.init_ms();
                let greeted: Vec<LinkId> = self.links(|h| h.stage == Stage::Greeted);
                for link in greeted {
                    self.tell_epoch(c, link);
                }
                let me = c.me();
                self.promised.insert(me);
                self.count_promises(c);
            }
            Phase::SavingCurrent(id) if id == job => {
                self.phase = Phase::NewLeader;
                self.phase_deadline_ms = c.now_ms + c.settings.init_ms();
                self.new_leader = Some(c.view.joint());
                let me = c.me();
                self.followed.insert(me);
                for link in self.links(|h| h.stage == Stage::Accepted) {
                    self.synchronise(c, link);
                }
                return self.count_followers(c);
            }
            _ => {}
        }
        Turn::Stay
    }

    /// Whether I decide by myself: the oracle lets me, and the other voter is not there.
    fn is_alone(&self, c: &Common) -> bool {
        let follows = |h: &Handler| h.stage >= Stage::Live && h.kind == Kind::Follower;
        c.view.may_go_alone() && !self.handlers.values().any(follows)
    }

    /// The oracle says something else than before.
    pub fn oracle(&mut self, c: &mut Common) -> Turn {
        let (me, accepted) = (c.me(), c.accepted);
        self.propose_epoch(c, me, accepted);
        self.count_promises(c);
        match self.count_followers(c) {
            Turn::Stay => self.commit(c),
            turn => turn,
        }
    }

    fn links(&self, filter: impl Fn(&Handler) -> bool) -> Vec<LinkId> {
        let links = self.handlers.iter().filter(|(_, h)| filter(h));
        links.map(|(link, _)| *link).collect()
    }

    /// A server has accepted this epoch before: the new one is later than that of any.
    fn propose_epoch(&mut self, c: &mut Common, sid: Sid, accepted: u32) {
        if self.phase != Phase::Epoch {
            return;
        }
        self.epoch = self.epoch.max(accepted + 1);
        if c.view.quorum().voters().contains(&sid) {
            self.connecting.insert(sid);
        }
        let connecting = &self.connecting;
        let decided = c.view.quorum().has_quorum(|s| connecting.contains(&s)) || self.is_alone(c);
        if connecting.contains(&c.me()) && decided {
            c.accepted = self.epoch;
            let job = c.job(Job::SaveAccepted(self.epoch));
            self.phase = Phase::SavingAccepted(job);
        }
    }

    /// Looks whether enough have promised to follow in this epoch.
    fn count_promises(&mut self, c: &mut Common) {
        if self.phase != Phase::Promises {
            return;
        }
        let promised = &self.promised;
        let decided = c.view.quorum().has_quorum(|sid| promised.contains(&sid)) || self.is_alone(c);
        if !(decided && promised.contains(&c.me())) {
            return;
        }
        let start = Zxid::start_of(self.epoch);
        let version = c.view.committed().version;
        if version == 0 && c.view.last_seen().version == 0 {
            // The first configuration gets a version, that later ones can be told from
            // (ZOOKEEPER-1783).
            let mut first = (**c.view.committed()).clone();
            first.version = start.0;
            c.see(first);
        }
        c.current = self.epoch;
        let job = c.job(Job::SaveCurrent(self.epoch));
        self.phase = Phase::SavingCurrent(job);
    }

    /// Looks whether enough have taken over my history.
    fn count_followers(&mut self, c: &mut Common) -> Turn {
        let Some(joint) = &self.new_leader else {
            return Turn::Stay;
        };
        let followed = &self.followed;
        let decided = joint.has_quorum(|sid| followed.contains(&sid))
            || (self.is_alone(c) && followed.contains(&c.me()));
        if self.phase != Phase::NewLeader || !decided {
            return Turn::Stay;
        }
        self.phase = Phase::CatchingUp;
        self.phase_deadline_ms = c.now_ms + c.settings.tick_ms / 2;
        // A quorum holds my history in my epoch: it is committed, all of it.
        c.commit(self.base);
        self.catch_up(c)
    }

    /// Once the tree is where the history ends, it can be led from.
    fn catch_up(&mut self, c: &mut Common) -> Turn {
        if self.phase != Phase::CatchingUp || c.applied < self.base {
            return Turn::Stay;
        }
        self.establish(c)
    }

    fn establish(&mut self, c: &mut Common) -> Turn {
        self.phase = Phase::Broadcast;
        self.established_ms = c.now_ms;
        self.next_half_ms = c.now_ms + c.settings.tick_ms / 2;
        let start = Zxid::start_of(self.epoch);
        let sids: Vec<i64> = self.followed.iter().map(|sid| sid.0).collect();
        c.info(format!(
            "leading in epoch {}, followed by {sids:?}, from zxid {}",
            self.epoch, self.base
        ));
        c.out.tell(Tell::Lead(self.epoch));
        if c.view.reconfig_enabled() {
            let pending = (**c.view.last_seen()).clone();
            let me = c.me();
            if !self.stays_leader(c, &pending) {
                let voters = crate::quorum::Verifier::of(&pending);
                let followed = self.followed.iter().copied();
                let next = followed
                    .filter(|sid| *sid != me && voters.voters().contains(sid))
                    .min();
                self.allowed = false;
                self.designated = next.map(|sid| (sid, start));
                c.out.tell(Tell::Muted);
            }
            let change = c.activate(pending);
            self.joint = Arc::new(c.view.joint());
            if change.members {
                c.warn("the configuration that was pending holds now".into());
            }
        }
        let waiting = self.links(|h| h.stage == Stage::Synced);
        for link in waiting {
            self.serve(c, link);
        }
        Turn::Stay
    }

    /// Whether I lead on in a configuration: as a voter, under the same address.
    fn stays_leader(&self, c: &Common, next: &zk_wire::quorum::config::QuorumConfig) -> bool {
        let me = c.me();
        let mine = c.view.committed().members.get(&me.0);
        next.members.get(&me.0).is_some_and(|member| {
            member.votes() && mine.is_none_or(|mine| mine.addresses == member.addresses)
        })
    }

    /// The node proposes.
    pub fn propose(&mut self, c: &mut Common, zxid: Zxid, payload: Bytes) -> Turn {
        assert!(
            self.phase == Phase::Broadcast && zxid.epoch() == self.epoch,
            "{zxid} proposed in phase {:?} of epoch {}",
            self.phase,
            self.epoch
        );
        let change = reconfig_text(&payload).map(<[u8]>::to_vec);
        let change = change.and_then(|text| c.parse(&text)).map(Arc::new);
        if let Some(change) = &change {
            c.see((**change).clone());
            self.joint = Arc::new(c.view.joint());
        }
        let time_ms = time_of(&payload);
        self.proposals.push(Proposal {
            zxid,
            payload: payload.clone(),
            joint: self.joint.clone(),
            change,
            time_ms,
        });
        self.made_ms.push_back((zxid, time_ms));
        c.counts.proposed += 1;
        let packet = Packet::with(PacketKind::Proposal, zxid.0, payload.clone());
        let mut links = Vec::new();
        for (link, h) in &mut self.handlers {
            if h.stage >= Stage::Live && h.kind == Kind::Follower {
                if h.stage >= Stage::Synced {
                    h.sent(zxid, c.now_ms);
                }
                links.push(*link);
            }
        }
        if !links.is_empty() {
            c.out.act(Act::Broadcast(links.into(), packet));
        }
        c.append(zxid, payload);
        if !c.settings.rules.hold(Rule::OwnAckAfterFsync) {
            let me = c.me();
            self.proposals.ack(me, zxid);
            return self.commit(c);
        }
        Turn::Stay
    }

    /// My own log is durable up to here.
    pub fn durable(&mut self, c: &mut Common, zxid: Zxid) -> Turn {
        if self.phase != Phase::Broadcast || zxid.epoch() != self.epoch {
            return Turn::Stay;
        }
        let me = c.me();
        while let Some((at, made_ms)) = self.made_ms.front().copied()
            && at <= zxid
        {
            self.made_ms.pop_front();
            c.counts.ack_creation_ms.add_since(made_ms, c.wall_ms);
            c.counts.acked(me, at, made_ms, c.wall_ms);
        }
        self.proposals.ack(me, zxid);
        self.commit(c)
    }

    /// How far the tree is.
    pub fn applied(&mut self, c: &mut Common) -> Turn {
        self.catch_up(c)
    }

    /// Commits what has its quorums.
    fn commit(&mut self, c: &mut Common) -> Turn {
        while self.allowed
            && let Some(proposal) = {
                let alone = self.is_alone(c).then(|| c.me());
                self.proposals.next_committed(alone)
            }
        {
            let zxid = proposal.zxid;
            c.counts.committed += 1;
            c.counts
                .quorum_ack_ms
                .add_since(proposal.time_ms, c.wall_ms);
            let mut leader = None;
            if let Some(change) = &proposal.change {
                let me = c.me();
                let next = if self.stays_leader(c, change) {
                    me
                } else {
                    self.proposals.successor(&proposal, me).unwrap_or(me)
                };
                c.activate((**change).clone());
                self.joint = Arc::new(c.view.joint());
                self.proposals.activate(&self.joint);
                if next != me {
                    c.warn(format!(
                        "server {next} leads in the new configuration, nothing more is committed here"
                    ));
                    self.allowed = false;
                    self.designated = Some((next, zxid));
                }
                leader = Some(next.0);
            }
            let (commit, inform) = decision(&proposal, leader);
            self.announce(c, &commit, &inform);
            c.commit(zxid);
            if !self.allowed {
                c.out.tell(Tell::Muted);
            }
        }
        Turn::Stay
    }

    /// Tells every learner a decision; those that have not got UPTODATE yet hear of it behind that.
    fn announce(&mut self, c: &mut Common, commit: &Packet, inform: &Packet) {
        let mut followers = Vec::new();
        let mut observers = Vec::new();
        let mut full = Vec::new();
        for (link, h) in &mut self.handlers {
            if h.stage < Stage::Live {
                continue;
            }
            let packet = match h.kind {
                Kind::Follower => commit,
                Kind::Observer => inform,
            };
            let tells = h.stage == Stage::Serving || !c.settings.rules.hold(Rule::HoldCommits);
            if tells {
                match h.kind {
                    Kind::Follower => followers.push(*link),
                    Kind::Observer => observers.push(*link),
                }
            } else if !h.hold(packet.clone(), HELD_BYTES) {
                full.push(*link);
            }
        }
        if !followers.is_empty() {
            c.out.act(Act::Broadcast(followers.into(), commit.clone()));
        }
        if !observers.is_empty() {
            c.out.act(Act::Broadcast(observers.into(), inform.clone()));
        }
        for link in full {
            self.drop_link(c, link, "it takes too long to become ready");
        }
    }

    /// Time has passed.
    pub fn tick(&mut self, c: &mut Common) -> Turn {
        if let Some(why) = self.resign.take() {
            return Turn::Leave(why);
        }
        let late: Vec<LinkId> = self.links(|h| c.now_ms >= h.deadline_ms);
        for link in late {
            let why = format!(
                "nothing was heard of it in time ({:?})",
                self.handlers[&link].stage
            );
            self.drop_link(c, link, &why);
        }
        match self.phase {
            Phase::Broadcast => {}
            Phase::CatchingUp => {
                // Learners that wait for UPTODATE hear that there is somebody.
                if c.now_ms >= self.phase_deadline_ms {
                    self.phase_deadline_ms = c.now_ms + c.settings.tick_ms / 2;
                    self.ping(c);
                }
                return Turn::Stay;
            }
            _ => {
                if c.now_ms >= self.phase_deadline_ms {
                    return Turn::Leave(format!("no quorum followed in time ({:?})", self.phase));
                }
                return Turn::Stay;
            }
        }
        if c.is_disk_stuck(c.settings.sync_ms()) {
            return Turn::Leave("the log is not durable in time: the disk is stuck".into());
        }
        if c.now_ms < self.next_half_ms {
            return Turn::Stay;
        }
        self.next_half_ms = c.now_ms + c.settings.tick_ms / 2;
        if !self.half {
            self.tick += 1;
            let me = c.me();
            let tick = self.tick;
            let there: BTreeSet<Sid> = self
                .handlers
                .values()
                .filter(|h| h.deadline_tick >= tick)
                .map(|h| h.sid)
                .chain([me])
                .collect();
            let has_quorum = c.view.joint().has_quorum(|sid| there.contains(&sid));
            if !has_quorum && c.view.may_go_alone() {
                for link in self.links(|h| h.stage >= Stage::Live && h.kind == Kind::Follower) {
                    let why = "it is silent, and the oracle lets this server go on alone";
                    self.drop_link(c, link, why);
                }
                self.half = !self.half;
                self.ping(c);
                return self.commit(c);
            }
            if !has_quorum {
                let sids: Vec<i64> = there.iter().map(|sid| sid.0).collect();
                return self.end(format!("only {sids:?} are there, which is no quorum"));
            }
        }
        self.half = !self.half;
        self.ping(c);
        Turn::Stay
    }

    /// How the role ends: a reconfiguration may have named who leads.
    fn end(&self, why: String) -> Turn {
        match self.designated {
            Some((leader, zxid)) => Turn::Designated { leader, zxid },
            None => Turn::Leave(why),
        }
    }

    fn ping(&mut self, c: &mut Common) {
        let last = self.proposals.proposed().max(Zxid::start_of(self.epoch));
        let packet = Packet::new(PacketKind::Ping, last.0);
        let (now_ms, limit_ms) = (c.now_ms, c.settings.sync_ms());
        for link in self.links(|h| h.is_late(now_ms, limit_ms)) {
            self.drop_link(c, link, "a proposal was not acknowledged in time");
        }
        let links = self.links(|h| h.stage >= Stage::Live);
        if !links.is_empty() {
            c.out.act(Act::Broadcast(links.into(), packet));
        }
    }

    /// Closes a link, for a reason that is told to whoever reads the log.
    pub fn drop_link(&mut self, c: &mut Common, link: LinkId, why: &str) {
        if let Some(line) = self.let_go(c, link, why) {
            c.warn(line);
        }
    }

    /// As [`Leader::drop_link`], because its other end does not keep the protocol.
    pub fn expel(&mut self, c: &mut Common, link: LinkId, why: &str) {
        if let Some(line) = self.let_go(c, link, why) {
            c.blame(line);
        }
    }

    /// Closes a link, if there is one. Returns the line that says so.
    fn let_go(&mut self, c: &mut Common, link: LinkId, why: &str) -> Option<String> {
        let h = self.handlers.remove(&link)?;
        c.out.act(Act::Hangup(link));
        c.out.tell(Tell::LearnerGone(link));
        let Handler { sid, address, .. } = h;
        Some(format!("learner {sid} ({address}) is dropped: {why}"))
    }

    /// No quorum has promised to follow me in my epoch, and I shall not lead in it any more: what I
    /// have promised to myself binds nobody. Kept, it would shut me out from whoever leads in an
    /// earlier epoch for as long as that one does (as it does with Java).
    fn take_back(&mut self, c: &mut Common) {
        match self.phase {
            Phase::SavingAccepted(_) | Phase::Promises => {
                c.accepted = self.accepted;
                c.job(Job::SaveAccepted(self.accepted));
            }
            // Nothing was promised, or a quorum has.
            Phase::Epoch
            | Phase::SavingCurrent(_)
            | Phase::NewLeader
            | Phase::CatchingUp
            | Phase::Broadcast => {}
        }
    }

    /// Ends: every learner is let go.
    pub fn close(&mut self, c: &mut Common) {
        c.out.act(Act::Listen(false));
        self.take_back(c);
        for link in core::mem::take(&mut self.handlers).into_keys() {
            c.out.act(Act::Hangup(link));
        }
    }
}

/// When a transaction was made, by the wall clock of its leader. What is no transaction was made
/// never, and is not counted.
fn time_of(payload: &[u8]) -> i64 {
    let header = TxnHeader::decode(&mut Reader::new(payload));
    header.map_or(i64::MAX, |header| header.time)
}

/// COMMIT and INFORM of a proposal, or of one that names a leader.
fn decision(proposal: &Proposal, leader: Option<i64>) -> (Packet, Packet) {
    let zxid = proposal.zxid.0;
    match leader {
        None => (
            Packet::new(PacketKind::Commit, zxid),
            Packet::with(PacketKind::Inform, zxid, proposal.payload.clone()),
        ),
        Some(leader) => {
            let inform = InformActivate {
                leader,
                payload: proposal.payload.clone(),
            };
            (
                Packet::with(
                    PacketKind::CommitAndActivate,
                    zxid,
                    Activate { leader }.encode(),
                ),
                Packet::with(PacketKind::InformAndActivate, zxid, inform.encode()),
            )
        }
    }
}
