//! A follower or an observer: it finds its leader, promises the epoch, takes over the leader's
//! history, and then logs, acknowledges and commits as it is told.
//!
//! Owns: the phases of a learner, and the proposals that wait for their commit. Does not know: the
//! election that named the leader, the tree.
//!
//! Invariants: a promise is durable before ACKEPOCH, what was received is durable before the
//! epoch, and the epoch before NEWLEADER is acknowledged; nothing is committed here before
//! UPTODATE; a commit out of order ends the link, never the process.

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use bytes::Bytes;
use jute::{Decode, Reader};
use zk_wire::quorum::body::{AckEpoch, Activate, InformActivate, LearnerInfo, PROTOCOL};
use zk_wire::quorum::config::QuorumConfig;
use zk_wire::quorum::packet::{Packet, PacketKind};
use zk_wire::txn::{Txn, reconfig_text};

use crate::common::{Common, Turn};
use crate::feed::Feed;
use crate::history::History;
use crate::ids::{JobId, LinkId, Sid, Zxid};
use crate::io::{Act, Job, Tell};
use crate::limits::{DIAL_FIRST_PAUSE_MS, DIAL_TRIES, EPOCH_MAX};
use crate::observer_master::ObserverMaster;
use crate::rules::Rule;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// The leader is being dialled.
    Dialling { tries: u32 },
    /// It did not answer; it is dialled again at this time.
    Pausing { tries: u32, until_ms: i64 },
    /// It was told who I am.
    Greeted,
    /// Its epoch is written down.
    Promising(JobId),
    /// It was promised.
    Promised,
    /// A snapshot is being received.
    Loading,
    /// What follows is logged.
    Syncing,
    /// NEWLEADER: what was received becomes durable, and in force.
    Persisting(JobId),
    /// Then the epoch is written down.
    SavingCurrent(JobId),
    /// NEWLEADER is acknowledged.
    Acknowledged,
    /// UPTODATE.
    Broadcast,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    Diff,
    Trunc,
    Snap,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Learner {
    leader: Sid,
    /// Whom it is connected to: the leader, or an observer master.
    master: Sid,
    /// Observers of its own.
    observers: Option<Box<ObserverMaster>>,
    observer: bool,
    phase: Phase,
    link: Option<LinkId>,
    epoch: u32,
    mode: Mode,
    /// Where a snapshot stands.
    snap: Zxid,
    /// What is staged behind it.
    staged: History,
    /// What the leader has told to be committed before UPTODATE, and what I share with it.
    told: Zxid,
    /// Proposals up to here are not known any more to wait for a commit. None are, but without
    /// [`Rule::KeepUncommitted`].
    forgotten: Zxid,
    /// A commit that came with the name of a leader before UPTODATE.
    designated: Option<(Sid, Zxid)>,
    /// The configuration that came with NEWLEADER.
    config: Option<QuorumConfig>,
    /// Proposals that are logged and not committed, of this leader's link.
    pending: VecDeque<Zxid>,
    /// When those were made that came behind UPTODATE and are not both durable and committed.
    made_ms: VecDeque<(Zxid, i64)>,
    /// When the leader's epoch was known, monotonic milliseconds.
    sync_began_ms: i64,
    /// Proposals to acknowledge once they are durable.
    unacked: VecDeque<Zxid>,
    /// Configurations among the pending.
    changes: VecDeque<(Zxid, QuorumConfig)>,
    deadline_ms: i64,
    give_up_ms: i64,
    /// The pause behind the next dial that fails, while that is shorter than the usual one.
    quick_ms: i64,
}

impl Learner {
    /// Begins to follow, or to observe.
    pub fn new(c: &mut Common, leader: Sid, observer: bool) -> Learner {
        let (master, pause_ms) = if observer {
            master(c, leader)
        } else {
            (leader, 0)
        };
        let mut learner = Learner {
            leader,
            master,
            observers: (c.settings.observer_master && !observer)
                .then(|| Box::new(ObserverMaster::new())),
            observer,
            phase: Phase::Dialling { tries: 1 },
            link: None,
            epoch: 0,
            mode: Mode::Diff,
            snap: Zxid::ZERO,
            staged: History::default(),
            told: Zxid::ZERO,
            forgotten: Zxid::ZERO,
            designated: None,
            config: None,
            pending: VecDeque::new(),
            made_ms: VecDeque::new(),
            sync_began_ms: 0,
            unacked: VecDeque::new(),
            changes: VecDeque::new(),
            deadline_ms: i64::MAX,
            give_up_ms: c.now_ms + c.settings.connect_ms(),
            quick_ms: DIAL_FIRST_PAUSE_MS,
        };
        if pause_ms > 0 {
            learner.give_up_ms += pause_ms;
            learner.phase = Phase::Pausing {
                tries: 0,
                until_ms: c.now_ms + pause_ms,
            };
        } else {
            learner.dial(c);
        }
        learner
    }

    /// Its observers.
    pub fn observers(&mut self) -> Option<&mut ObserverMaster> {
        self.observers.as_deref_mut()
    }

    /// Links of observers, and those that are served.
    pub fn counts(&self) -> (usize, usize) {
        let observers = self.observers.as_ref();
        observers.map_or((0, 0), |observers| observers.counts())
    }

    /// The node asks the leader.
    pub fn ask(&mut self, c: &mut Common, packet: Packet) {
        if let Some(link) = self.link {
            if let Some(observers) = &mut self.observers {
                observers.asks(&packet);
            }
            c.out.send(link, packet);
        }
    }

    /// Whether it has UPTODATE.
    pub fn is_established(&self) -> bool {
        self.phase == Phase::Broadcast
    }

    /// Whom it follows.
    pub fn leader(&self) -> Sid {
        self.leader
    }

    /// The link to the leader.
    pub fn link(&self) -> Option<LinkId> {
        self.link
    }

    /// When [`Learner::tick`] has something to do, monotonic milliseconds.
    pub fn deadline_ms(&self, c: &Common) -> i64 {
        let disk = c.disk_deadline_ms(self.disk_limit_ms(c));
        match self.phase {
            Phase::Pausing { until_ms, .. } => until_ms,
            _ => {
                let observers = self.observers.as_ref();
                let observers = observers.map_or(i64::MAX, |observers| observers.deadline_ms());
                let own = self.deadline_ms.min(self.give_up_ms);
                own.min(observers).min(disk)
            }
        }
    }

    /// How long the disk may hold an append up: while everything is taken over it has more to do.
    fn disk_limit_ms(&self, c: &Common) -> i64 {
        match self.phase {
            Phase::Broadcast => c.settings.sync_ms(),
            _ => c.settings.init_ms(),
        }
    }

    fn dial(&self, c: &mut Common) {
        let left = (self.give_up_ms - c.now_ms).max(1);
        let act = if self.observer && c.settings.observer_master {
            Act::DialMaster(self.master, left)
        } else {
            Act::Dial(self.master, left)
        };
        c.out.act(act);
    }

    /// The leader cannot be reached.
    pub fn dial_failed(&mut self, c: &mut Common, sid: Sid, why: &str) -> Turn {
        let Phase::Dialling { tries } = self.phase else {
            return Turn::Stay;
        };
        if sid != self.master {
            return Turn::Stay;
        }
        if tries >= DIAL_TRIES {
            return Turn::Leave(format!("leader {sid} cannot be reached: {why}"));
        }
        // Both have just been elected, and the leader is about to listen: it is tried again soon.
        // These tries do not count: a leader gets no less time than from Java's learners.
        let usual = c.settings.dial_pause_ms;
        let (pause, tries) = if self.quick_ms < usual {
            (self.quick_ms, tries - 1)
        } else {
            c.warn(format!("leader {sid} cannot be reached yet: {why}"));
            (usual, tries)
        };
        self.quick_ms = self.quick_ms.saturating_mul(2);
        self.phase = Phase::Pausing {
            tries,
            until_ms: c.now_ms + pause,
        };
        Turn::Stay
    }

    /// The leader is reached: it is told who I am.
    pub fn dialled(&mut self, c: &mut Common, link: LinkId, sid: Sid) {
        let expected = matches!(self.phase, Phase::Dialling { .. }) && sid == self.master;
        if !expected {
            c.out.act(Act::Hangup(link));
            return;
        }
        self.link = Some(link);
        self.phase = Phase::Greeted;
        self.give_up_ms = i64::MAX;
        self.deadline_ms = c.now_ms + c.settings.init_ms();
        let info = LearnerInfo {
            sid: c.me().0,
            protocol: PROTOCOL,
            config_version: c.view.committed().version,
        };
        let kind = if self.observer {
            PacketKind::ObserverInfo
        } else {
            PacketKind::FollowerInfo
        };
        let zxid = Zxid::start_of(c.accepted).0;
        c.out.send(link, Packet::with(kind, zxid, info.encode()));
    }

    /// A link has ended.
    pub fn closed(&mut self, c: &mut Common, link: LinkId, why: &str) -> Turn {
        if let Some(observers) = &mut self.observers {
            observers.closed(c, link, why);
        }
        if self.link == Some(link) {
            self.link = None;
            Turn::Leave(format!(
                "the link to leader {} has ended: {why}",
                self.leader
            ))
        } else {
            Turn::Stay
        }
    }

    /// Bytes of a snapshot have come.
    pub fn heard(&mut self, c: &Common, link: LinkId) {
        if let Some(observers) = &mut self.observers {
            observers.heard(c, link);
        }
        if self.link == Some(link) && self.phase == Phase::Loading {
            self.deadline_ms = c.now_ms + c.settings.init_ms();
        }
    }

    /// Time has passed.
    pub fn tick(&mut self, c: &mut Common) -> Turn {
        if c.now_ms >= self.give_up_ms {
            return Turn::Leave(format!("leader {} was not reached in time", self.leader));
        }
        if let Phase::Pausing { tries, until_ms } = self.phase
            && c.now_ms >= until_ms
        {
            self.phase = Phase::Dialling { tries: tries + 1 };
            self.dial(c);
        }
        if c.now_ms >= self.deadline_ms {
            return Turn::Leave(format!(
                "nothing was heard of leader {} in time ({:?})",
                self.leader, self.phase
            ));
        }
        if let Some(observers) = &mut self.observers {
            observers.tick(c);
        }
        if c.is_disk_stuck(self.disk_limit_ms(c)) {
            return Turn::Leave("the log is not durable in time: the disk is stuck".into());
        }
        Turn::Stay
    }

    /// A packet of the leader.
    pub fn packet(
        &mut self,
        c: &mut Common,
        feed: &mut Feed,
        link: LinkId,
        packet: Packet,
    ) -> Turn {
        if self.link != Some(link) {
            if let (Some(observers), Some(leader)) = (&mut self.observers, self.link) {
                observers.packet(c, link, packet, leader);
            }
            return Turn::Stay;
        }
        let limit = match self.phase {
            Phase::Acknowledged | Phase::Broadcast => c.settings.sync_ms(),
            _ => c.settings.init_ms(),
        };
        self.deadline_ms = c.now_ms + limit;
        match self.one(c, feed, packet) {
            Ok(turn) => turn,
            Err(why) => Turn::Leave(format!("leader {}: {why}", self.leader)),
        }
    }

    fn one(&mut self, c: &mut Common, feed: &mut Feed, packet: Packet) -> Result<Turn, String> {
        match self.phase {
            Phase::Greeted => self.told_epoch(c, &packet),
            Phase::Promised => self.base(c, &packet),
            Phase::Syncing
            | Phase::Persisting(_)
            | Phase::SavingCurrent(_)
            | Phase::Acknowledged => self.sync(c, feed, packet),
            Phase::Broadcast => self.broadcast(c, feed, packet),
            Phase::Dialling { .. }
            | Phase::Pausing { .. }
            | Phase::Promising(_)
            | Phase::Loading => Err(format!("{} in phase {:?}", packet.kind, self.phase)),
        }
    }

    /// A job is done.
    pub fn done(&mut self, c: &mut Common, job: JobId) {
        match self.phase {
            Phase::Promising(id) if id == job => self.promise(c, c.current as i32),
            Phase::Persisting(id) if id == job => {
                if c.settings.rules.hold(Rule::EpochAfterData) {
                    c.current = self.epoch;
                    let job = c.job(Job::SaveCurrent(self.epoch));
                    self.phase = Phase::SavingCurrent(job);
                } else {
                    self.acknowledge(c);
                }
            }
            Phase::SavingCurrent(id) if id == job => self.acknowledge(c),
            _ => {}
        }
    }

    fn send(&self, c: &mut Common, packet: Packet) {
        if let Some(link) = self.link {
            c.out.send(link, packet);
        }
    }

    /// LEADERINFO.
    fn told_epoch(&mut self, c: &mut Common, packet: &Packet) -> Result<Turn, String> {
        if packet.kind != PacketKind::LeaderInfo {
            return Err(format!("{} instead of LEADERINFO", packet.kind));
        }
        let epoch = Zxid(packet.zxid).epoch();
        if epoch < c.accepted {
            return Err(format!(
                "it leads epoch {epoch}, and this server has promised {} (in acceptedEpoch): a directory of another ensemble?",
                c.accepted
            ));
        }
        if epoch > EPOCH_MAX {
            return Err(format!("it leads epoch {epoch}"));
        }
        self.epoch = epoch;
        if epoch == c.accepted {
            // A promise that was given before does not count twice.
            self.promise(c, -1);
        } else {
            c.accepted = epoch;
            let job = c.job(Job::SaveAccepted(epoch));
            if c.settings.rules.hold(Rule::AcceptedEpochBeforeAck) {
                self.phase = Phase::Promising(job);
            } else {
                let current = c.current as i32;
                self.promise(c, current);
            }
        }
        Ok(Turn::Stay)
    }

    /// ACKEPOCH.
    fn promise(&mut self, c: &mut Common, epoch: i32) {
        self.phase = Phase::Promised;
        self.sync_began_ms = c.now_ms;
        let zxid = if c.resync { -1 } else { c.history.end().0 };
        let body = AckEpoch { epoch }.encode();
        self.send(c, Packet::with(PacketKind::AckEpoch, zxid, body));
    }

    /// DIFF, TRUNC or SNAP.
    fn base(&mut self, c: &mut Common, packet: &Packet) -> Result<Turn, String> {
        let zxid = Zxid(packet.zxid);
        match packet.kind {
            PacketKind::Diff => {
                c.info(format!("DIFF of leader {} up to {zxid}", self.leader));
                self.mode = Mode::Diff;
                self.told = c.history.end();
                self.phase = Phase::Syncing;
            }
            PacketKind::Trunc => {
                c.warn(format!("TRUNC of leader {} to {zxid}", self.leader));
                self.mode = Mode::Trunc;
                let Some(to) = c.history.at_or_below(zxid) else {
                    c.resync = true;
                    return Err(format!("TRUNC to {zxid}, which the log does not reach"));
                };
                if to < c.applied.max(c.committed) {
                    c.resync = true;
                    return Err(format!(
                        "TRUNC to {zxid}, but {} is committed here; a snapshot is asked for",
                        c.applied.max(c.committed)
                    ));
                }
                c.history.cut(to);
                c.reset_durable();
                self.told = to;
                // What follows is appended behind the cut: the log keeps the order of jobs.
                c.job(Job::Cut(to));
                self.phase = Phase::Syncing;
            }
            PacketKind::Snap => {
                c.info(format!("SNAP of leader {} at {zxid}", self.leader));
                self.mode = Mode::Snap;
                self.snap = zxid;
                self.staged = History::new(zxid, Vec::new(), Vec::new());
                self.told = zxid;
                self.phase = Phase::Loading;
                if let Some(link) = self.link {
                    c.out.act(Act::ReadSnap(link, zxid));
                }
            }
            other => return Err(format!("{other} instead of DIFF, TRUNC or SNAP")),
        }
        Ok(Turn::Stay)
    }

    /// A snapshot was received whole.
    pub fn snap_read(&mut self, link: LinkId) -> Turn {
        if self.link == Some(link) && self.phase == Phase::Loading {
            self.phase = Phase::Syncing;
        }
        Turn::Stay
    }

    /// Between DIFF, TRUNC or SNAP and UPTODATE.
    fn sync(&mut self, c: &mut Common, feed: &mut Feed, packet: Packet) -> Result<Turn, String> {
        let zxid = Zxid(packet.zxid);
        match packet.kind {
            PacketKind::Proposal => {
                self.log(c, feed, packet.data.unwrap_or_default())?;
            }
            PacketKind::Inform => {
                self.log(c, feed, packet.data.unwrap_or_default())?;
                self.told = self.told.max(zxid);
            }
            PacketKind::Commit => {
                self.tell_committed(c, zxid)?;
                if !c.settings.rules.hold(Rule::ApplyFromUpToDate) && self.mode != Mode::Snap {
                    feed.start(&c.history, c.durable, &mut c.out);
                    c.commit(zxid);
                }
            }
            PacketKind::CommitAndActivate => {
                let leader = Activate::decode(packet.body())
                    .map_err(|error| format!("COMMITANDACTIVATE: {error}"))?
                    .leader;
                self.tell_committed(c, zxid)?;
                self.designated = Some((Sid(leader), zxid));
            }
            PacketKind::InformAndActivate => {
                let inform = InformActivate::decode(&packet.data.unwrap_or_default())
                    .map_err(|error| format!("INFORMANDACTIVATE: {error}"))?;
                self.log(c, feed, inform.payload)?;
                self.told = self.told.max(zxid);
                self.designated = Some((Sid(inform.leader), zxid));
            }
            PacketKind::NewLeader => {
                if self.phase != Phase::Syncing {
                    return Err("a second NEWLEADER".into());
                }
                if zxid.epoch() != self.epoch {
                    return Err(format!("NEWLEADER of epoch {}", zxid.epoch()));
                }
                if packet.body().len() > 1
                    && let Some(config) = c.parse(packet.body())
                {
                    c.see(config.clone());
                    self.config = Some(config);
                }
                if !c.settings.rules.hold(Rule::KeepUncommitted) {
                    self.forgotten = self.end(c);
                }
                if !c.settings.rules.hold(Rule::EpochAfterData) {
                    c.current = self.epoch;
                    c.job(Job::SaveCurrent(self.epoch));
                }
                let job = match self.mode {
                    Mode::Diff | Mode::Trunc => c.job(Job::Flush),
                    Mode::Snap => self.switch(c, feed),
                };
                self.phase = Phase::Persisting(job);
                if !c.settings.rules.hold(Rule::FlushBeforeNewLeaderAck) && self.mode != Mode::Snap
                {
                    c.current = self.epoch;
                    c.job(Job::SaveCurrent(self.epoch));
                    self.acknowledge(c);
                }
            }
            PacketKind::UpToDate => {
                if self.phase != Phase::Acknowledged {
                    return Err("UPTODATE before NEWLEADER".into());
                }
                return self.up_to_date(c, feed);
            }
            PacketKind::Ping | PacketKind::Sync | PacketKind::Revalidate => {}
            other => return Err(format!("{other} before UPTODATE")),
        }
        Ok(Turn::Stay)
    }

    /// Puts the snapshot in force, with what is staged behind it. What follows is logged behind
    /// that.
    fn switch(&mut self, c: &mut Common, feed: &mut Feed) -> JobId {
        let fuzzy_until = self.staged.end();
        let job = c.job(Job::Switch {
            zxid: self.snap,
            fuzzy_until,
        });
        let staged = core::mem::take(&mut self.staged);
        if c.settings.rules.hold(Rule::DiscardLogAfterSnap) {
            c.history = staged;
        } else {
            c.history.keep_under(staged);
        }
        c.reset_durable();
        c.switching = Some((job, self.snap, fuzzy_until));
        feed.stop(self.snap);
        job
    }

    fn tell_committed(&mut self, c: &Common, zxid: Zxid) -> Result<(), String> {
        if zxid > self.end(c) {
            return Err(format!(
                "COMMIT of {zxid}, which is not in the log; that ends at {}",
                self.end(c)
            ));
        }
        self.told = self.told.max(zxid);
        if let Some(observers) = &mut self.observers {
            observers.forget(self.told);
        }
        Ok(())
    }

    /// Whether what is received goes behind a snapshot that is not in force yet.
    fn is_staging(&self) -> bool {
        self.mode == Mode::Snap && matches!(self.phase, Phase::Loading | Phase::Syncing)
    }

    /// The end of what was received.
    fn end(&self, c: &Common) -> Zxid {
        if self.is_staging() {
            self.staged.end()
        } else {
            c.history.end()
        }
    }

    /// Logs a proposal. One that is there already, or whose zxid was taken by another, is dropped:
    /// a snapshot's zxid is read after its window was begun, and Java's leader may log one zxid
    /// twice.
    fn log(
        &mut self,
        c: &mut Common,
        feed: &mut Feed,
        payload: Bytes,
    ) -> Result<Option<Zxid>, String> {
        // All of it is read: what is in the log is applied, here and after a restart.
        let txn = Txn::decode(&mut Reader::new(&payload));
        let txn = txn.map_err(|error| format!("a transaction that cannot be read: {error}"))?;
        let zxid = Zxid(txn.header.zxid);
        let made_ms = txn.header.time;
        let end = self.end(c);
        if zxid <= end && c.settings.rules.hold(Rule::OneZxidOneTxn) {
            return Ok(None);
        }
        if !zxid.follows(end) {
            return Err(format!("transaction {zxid} behind {end}: some are missing"));
        }
        if let Some(config) = reconfig_text(&payload).and_then(|text| c.parse(text)) {
            c.see(config.clone());
            self.changes.push_back((zxid, config));
        }
        if let Some(observers) = &mut self.observers {
            observers.proposed(zxid, payload.clone());
        }
        if self.phase == Phase::Broadcast {
            self.made_ms.push_back((zxid, made_ms));
            if !self.observer {
                c.counts.proposal_latency_ms.add_since(made_ms, c.wall_ms);
            }
        }
        if self.is_staging() {
            self.staged.append(zxid, payload.len());
            c.out.act(Act::Stage(zxid, payload));
        } else {
            let before = c.history.end();
            c.append(zxid, payload.clone());
            feed.push(zxid, payload, before, &mut c.out);
        }
        // Of what came before UPTODATE the leader waits for those that are not committed yet: they
        // are told apart by then.
        if !self.observer {
            self.unacked.push_back(zxid);
        }
        Ok(Some(zxid))
    }

    /// Everything received is durable, and so is the epoch: the leader is told.
    fn acknowledge(&mut self, c: &mut Common) {
        self.phase = Phase::Acknowledged;
        self.deadline_ms = c.now_ms + c.settings.sync_ms();
        let zxid = Zxid::start_of(self.epoch).0;
        if !c.settings.rules.hold(Rule::NewLeaderAckFirst) {
            self.ack_durable(c);
        }
        self.send(c, Packet::new(PacketKind::Ack, zxid));
    }

    fn up_to_date(&mut self, c: &mut Common, feed: &mut Feed) -> Result<Turn, String> {
        let old_leader = c.view.member(self.leader).map(|m| m.addresses.clone());
        if let Some(config) = self.config.take() {
            let leader_moves = match config.members.get(&self.leader.0) {
                Some(member) => !member.votes() || Some(&member.addresses) != old_leader.as_ref(),
                None => true,
            };
            let change = c.activate(config);
            if change.members && (change.my_role || leader_moves) {
                return Ok(Turn::Leave(
                    "the configuration of now gives me or the leader another place".into(),
                ));
            }
        }
        self.phase = Phase::Broadcast;
        let took = c.now_ms - self.sync_began_ms;
        if self.observer {
            c.counts.observer_syncs_ms.add(took);
        } else {
            c.counts.follower_syncs_ms.add(took);
        }
        self.deadline_ms = c.now_ms + c.settings.sync_ms();
        c.resync = false;
        // Records that have no COMMIT yet wait for it.
        let end = c.history.end();
        let told = self.told;
        self.pending = c.history.after(told.max(self.forgotten)).collect();
        self.unacked.retain(|zxid| *zxid > told);
        c.info(format!(
            "following leader {} in epoch {}: the log ends at {end}, committed is {told}",
            self.leader, self.epoch
        ));
        feed.start(&c.history, c.durable, &mut c.out);
        c.out.tell(Tell::Learn {
            observer: self.observer,
            serve_from: told,
        });
        c.commit(told);
        let zxid = Zxid::start_of(self.epoch).0;
        self.send(c, Packet::new(PacketKind::Ack, zxid));
        self.ack_durable(c);
        if let Some(observers) = &mut self.observers {
            observers.open(c, self.epoch, told);
        }
        if let Some((leader, zxid)) = self.designated.take()
            && leader != self.leader
        {
            return Ok(Turn::Designated { leader, zxid });
        }
        Ok(Turn::Stay)
    }

    /// Acknowledges what is durable, one by one: Java's leader counts each.
    fn ack_durable(&mut self, c: &mut Common) {
        while self.unacked.front().is_some_and(|zxid| *zxid <= c.durable)
            && let Some(zxid) = self.unacked.pop_front()
        {
            if let Some(made_ms) = self.time_of(zxid) {
                c.counts.ack_creation_ms.add_since(made_ms, c.wall_ms);
            }
            self.send(c, Packet::new(PacketKind::Ack, zxid.0));
        }
        self.forget_times(c);
    }

    /// When a proposal was made that waits for its commit, or for the disk.
    fn time_of(&self, zxid: Zxid) -> Option<i64> {
        let (first, _) = self.made_ms.front()?;
        let at = usize::try_from(zxid.0.checked_sub(first.0)?).ok()?;
        let (at, made_ms) = self.made_ms.get(at)?;
        (*at == zxid).then_some(*made_ms)
    }

    /// A decision has come: its transaction and all before it are committed.
    fn decided(&mut self, c: &mut Common, zxid: Zxid) {
        c.counts.commits_received += 1;
        if let Some(made_ms) = self.time_of(zxid) {
            c.counts.commit_latency_ms.add_since(made_ms, c.wall_ms);
        }
        self.forget_times(c);
    }

    /// Of what is committed and durable nothing is timed any more.
    fn forget_times(&mut self, c: &Common) {
        let settled = c.committed.min(c.durable);
        while self.made_ms.front().is_some_and(|(at, _)| *at <= settled) {
            self.made_ms.pop_front();
        }
    }

    /// The log is durable up to here.
    pub fn durable(&mut self, c: &mut Common) {
        let early = !c.settings.rules.hold(Rule::NewLeaderAckFirst);
        let has_new_leader = matches!(self.phase, Phase::Persisting(_) | Phase::SavingCurrent(_));
        if self.phase == Phase::Broadcast || (early && has_new_leader) {
            self.ack_durable(c);
        }
        if let Some(observers) = &mut self.observers {
            observers.durable(c);
        }
    }

    /// What the leader says once it is followed.
    fn broadcast(
        &mut self,
        c: &mut Common,
        feed: &mut Feed,
        packet: Packet,
    ) -> Result<Turn, String> {
        let zxid = Zxid(packet.zxid);
        match packet.kind {
            PacketKind::Proposal => {
                c.counts.proposals_received += 1;
                if let Some(zxid) = self.log(c, feed, packet.data.unwrap_or_default())? {
                    self.pending.push_back(zxid);
                }
            }
            PacketKind::Commit => self.commit(c, zxid, None)?,
            PacketKind::CommitAndActivate => {
                let leader = Activate::decode(packet.body())
                    .map_err(|error| format!("COMMITANDACTIVATE: {error}"))?
                    .leader;
                let config = self.change_of(zxid);
                self.commit(c, zxid, Some(Sid(leader)))?;
                return Ok(self.activate(c, config, Sid(leader), zxid));
            }
            PacketKind::Inform => {
                self.log(c, feed, packet.data.unwrap_or_default())?;
                self.inform(c, zxid)?;
            }
            PacketKind::InformAndActivate => {
                let inform = InformActivate::decode(&packet.data.unwrap_or_default())
                    .map_err(|error| format!("INFORMANDACTIVATE: {error}"))?;
                self.log(c, feed, inform.payload)?;
                let config = self.change_of(zxid);
                self.inform(c, zxid)?;
                return Ok(self.activate(c, config, Sid(inform.leader), zxid));
            }
            PacketKind::Ping => c.out.tell(Tell::Ping(packet)),
            PacketKind::Sync => {
                let observers = self.observers.as_mut();
                if !observers.is_some_and(|observers| observers.synced(c)) {
                    c.out.tell(Tell::SyncDone);
                }
            }
            PacketKind::Revalidate => {
                let observers = self.observers.as_mut();
                if !observers.is_some_and(|observers| observers.revalidated(c, &packet)) {
                    c.out.tell(Tell::Revalidated(packet));
                }
            }
            PacketKind::UpToDate => c.warn("UPTODATE a second time".into()),
            other => return Err(format!("{other} behind UPTODATE")),
        }
        Ok(Turn::Stay)
    }

    /// The commit of the oldest proposal.
    fn commit(&mut self, c: &mut Common, zxid: Zxid, leader: Option<Sid>) -> Result<(), String> {
        self.decided(c, zxid);
        match self.pending.front() {
            Some(head) if *head == zxid => {
                self.pending.pop_front();
                c.commit(zxid);
                if let Some(observers) = &mut self.observers {
                    observers.committed(c, zxid, leader);
                }
                Ok(())
            }
            // Told before UPTODATE already.
            _ if zxid <= c.committed => Ok(()),
            Some(head) => Err(format!("COMMIT of {zxid}, but {head} is next")),
            None => Err(format!("COMMIT of {zxid}, which was not proposed")),
        }
    }

    fn inform(&mut self, c: &mut Common, zxid: Zxid) -> Result<(), String> {
        self.decided(c, zxid);
        if zxid > c.history.end() {
            return Err(format!("INFORM of {zxid} with another transaction"));
        }
        // Proposals that an observer got while it was synchronised are decided with it.
        while self.pending.front().is_some_and(|head| *head <= zxid) {
            self.pending.pop_front();
        }
        c.commit(zxid);
        Ok(())
    }

    fn change_of(&mut self, zxid: Zxid) -> Option<QuorumConfig> {
        while let Some((at, config)) = self.changes.pop_front() {
            if at == zxid {
                return Some(config);
            }
        }
        None
    }

    /// A committed reconfiguration, with the leader that it names.
    fn activate(
        &mut self,
        c: &mut Common,
        config: Option<QuorumConfig>,
        leader: Sid,
        zxid: Zxid,
    ) -> Turn {
        let Some(config) = config else {
            return Turn::Stay;
        };
        if !c.view.reconfig_enabled() {
            return Turn::Stay;
        }
        let change = c.activate(config);
        if change.members && (change.my_role || leader != self.leader) {
            Turn::Designated { leader, zxid }
        } else {
            Turn::Stay
        }
    }

    /// Ends: the link is closed.
    pub fn close(&mut self, c: &mut Common) {
        if let Some(observers) = &mut self.observers {
            observers.close(c);
        }
        if let Some(link) = self.link.take() {
            c.out.act(Act::Hangup(link));
        }
        if self.is_staging() {
            c.out.act(Act::Abandon);
        }
    }
}

/// Whom an observer connects to, and how long it waits before: the leader, or one voter after the
/// other where they serve observers (the leader does not, and is passed over by failing).
fn master(c: &mut Common, leader: Sid) -> (Sid, i64) {
    let voters = c.view.quorum().voters();
    let count = voters.len();
    if !c.settings.observer_master || count == 0 {
        return (leader, c.draw(c.settings.observer_reconnect_ms));
    }
    // Observers begin at different ones.
    let first = c.next_master.is_none();
    let at = match c.next_master {
        Some(at) => at,
        None => c.draw(count as i64) as usize,
    };
    let wraps = !first && at >= count;
    let at = at % count;
    c.next_master = Some(at + 1);
    let master = c.view.quorum().voters().iter().nth(at).copied();
    let pause_ms = if wraps {
        c.draw(c.settings.observer_reconnect_ms)
    } else {
        0
    };
    (master.unwrap_or(leader), pause_ms)
}
