//! A follower or an observer: it finds its leader, promises the epoch, takes over the leader's
//! history, and then logs, acknowledges and commits as it is told.
//!
//! Owns: the phases of a learner, and the proposals that wait for their commit. Does not know: the
//! election that named the leader, the tree.
//!
//! Invariants: a promise is durable before ACKEPOCH, what was received is durable before the
//! epoch, and the epoch before NEWLEADER is acknowledged; nothing is committed here before
//! UPTODATE; a commit out of order ends the link, never the process.

mod broadcast;
mod sync;

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::format;
use alloc::string::String;

use zk_wire::quorum::body::{LearnerInfo, PROTOCOL};
use zk_wire::quorum::config::QuorumConfig;
use zk_wire::quorum::packet::{Packet, PacketKind};

use crate::common::{Common, Turn};
use crate::feed::Feed;
use crate::history::History;
use crate::ids::{JobId, LinkId, Sid, Zxid};
use crate::io::{Act, Job};
use crate::limits::{DIAL_FIRST_PAUSE_MS, DIAL_TRIES};
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
    /// Where my log ended before the leader sent anything, if anything of it is left.
    own: Option<Zxid>,
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
    /// Whether it was told that the leader's clock is another.
    clocks_told: bool,
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
            own: None,
            snap: Zxid::ZERO,
            staged: History::default(),
            told: Zxid::ZERO,
            forgotten: Zxid::ZERO,
            designated: None,
            config: None,
            pending: VecDeque::new(),
            made_ms: VecDeque::new(),
            clocks_told: false,
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
            Err(why) => Turn::Forsake(format!("leader {}: {why}", self.leader)),
        }
    }

    /// An error is what no leader says.
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

    /// Ends: the link is closed.
    pub fn close(&mut self, c: &mut Common) {
        if let Some(observers) = &mut self.observers {
            observers.close(c);
        }
        if let Some(link) = self.link.take() {
            c.out.act(Act::Hangup(link));
        }
        if self.is_staging() {
            if c.settings.rules.hold(Rule::DropHalfSnap) {
                c.out.act(Act::Abandon);
            } else {
                self.switch(c);
            }
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
