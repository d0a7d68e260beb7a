//! One server's part in the ensemble: it looks for a leader, then leads or follows, and looks
//! again.
//!
//! Owns: which role it has, and how it changes. Does not know: the tree, sockets, files.
//!
//! Invariants: before a vote is cast everything that was appended is durable and no role's links
//! are open; at most one role at a time; what was given to the node is dropped with the role, but
//! for what is committed.

use alloc::boxed::Box;
use alloc::collections::BTreeSet;
use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;

use zk_wire::quorum::notification::{Notification, PeerState};

use crate::common::{Common, Turn};
use crate::config::Settings;
use crate::counts::Counts;
use crate::election::{Election, Vote};
use crate::feed::Feed;
use crate::history::History;
use crate::ids::{JobId, Now, Sid, Zxid};
use crate::io::{Act, In, Job, Out, Tell};
use crate::leader::Leader;
use crate::learner::Learner;
use crate::limits::{AT_ONCE_LONGEST_MS, AT_ONCE_MAX, AT_ONCE_MS, AT_ONCE_PAUSE_MS};
use crate::rules::Rule;
use crate::view::{MyRole, View};

#[derive(Debug)]
enum Role {
    /// What is on its way to the disk is awaited; then this vote holds, or one is sought.
    Draining {
        job: Option<JobId>,
        vote: Option<Vote>,
    },
    /// An observer waits a moment, lest all of them ask at once; and whoever its leader sends away
    /// again and again.
    Waiting {
        until_ms: i64,
    },
    /// A leader is looked for.
    Looking,
    Leading(Box<Leader>),
    Learning(Box<Learner>),
}

/// Nothing is under way; the next tick begins an election.
const IDLE: Role = Role::Draining {
    job: None,
    vote: None,
};

/// How many learners a leader has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Learners {
    /// Connections, from the first moment on.
    pub links: usize,
    /// Followers that get what is new.
    pub followers: usize,
    /// Of them those that do not vote.
    pub non_voting: usize,
    /// Observers that get what is new.
    pub observers: usize,
}

/// What a server is doing, for whoever asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Status {
    /// Its state in the ensemble.
    pub state: PeerState,
    /// Whether it may serve clients: established as leader, or with UPTODATE.
    pub established: bool,
    /// The leader it follows.
    pub leader: Option<Sid>,
    /// currentEpoch.
    pub epoch: u32,
    /// Learners of a leader, or of a follower that serves observers.
    pub learners: Learners,
    /// Proposals that are not committed.
    pub outstanding: usize,
    /// When the leader was established, monotonic milliseconds.
    pub established_ms: i64,
}

/// See the module.
#[derive(Debug)]
pub struct Zab {
    c: Common,
    election: Election,
    role: Role,
    feed: Feed,
    /// Whether my log says what I have: not on a server that came up empty without leave.
    may_vote: bool,
    last_round_ms: i64,
    /// How often in a row a leader was found and left at once, before it had brought this server up
    /// to date.
    at_once: u32,
}

/// What a start has found.
#[derive(Clone, Debug)]
pub struct Recovered {
    /// What the log holds.
    pub history: History,
    /// acceptedEpoch.
    pub accepted: u32,
    /// currentEpoch.
    pub current: u32,
    /// How far the tree is; everything up to there is committed.
    pub applied: Zxid,
    /// Whether the log says what this server has: not if it came up empty without leave, because
    /// it may have lost what it had promised.
    pub may_vote: bool,
}

impl Zab {
    /// A server that has just started. It begins to look for a leader with the first
    /// [`In::Tick`].
    pub fn recover(settings: Settings, view: View, past: Recovered) -> Zab {
        let me = settings.me;
        let epochs = (past.accepted, past.current);
        let mut c = Common::new(settings, view, past.history, epochs, past.applied);
        // What a lost disk has promised is not known: its word counts once a leader has sent it
        // everything.
        c.resync = !past.may_vote;
        Zab {
            c,
            election: Election::new(me),
            role: IDLE,
            feed: Feed::new(past.applied),
            may_vote: past.may_vote,
            last_round_ms: 0,
            at_once: 0,
        }
    }

    /// Settings.
    pub fn settings(&self) -> &Settings {
        &self.c.settings
    }

    /// The configurations.
    pub fn view(&self) -> &View {
        &self.c.view
    }

    /// What the log holds.
    pub fn history(&self) -> &History {
        &self.c.history
    }

    /// Everything up to here is committed.
    pub fn committed(&self) -> Zxid {
        self.c.committed
    }

    /// The log is durable up to here.
    pub fn durable_end(&self) -> Zxid {
        self.c.durable
    }

    /// Accepted and current epoch.
    pub fn epochs(&self) -> (u32, u32) {
        (self.c.accepted, self.c.current)
    }

    /// The election, for whoever asks.
    pub fn election(&self) -> &Election {
        &self.election
    }

    /// The servers that could vote for a proposed configuration now, on a leader.
    pub fn synced(&self) -> Option<BTreeSet<Sid>> {
        match &self.role {
            Role::Leading(leader) => Some(leader.synced(self.c.me())),
            Role::Draining { .. } | Role::Waiting { .. } | Role::Looking | Role::Learning(_) => {
                None
            }
        }
    }

    /// What it is doing.
    pub fn status(&self) -> Status {
        let mut status = Status {
            state: PeerState::Looking,
            established: false,
            leader: None,
            epoch: self.c.current,
            learners: Learners::default(),
            outstanding: 0,
            established_ms: 0,
        };
        match &self.role {
            Role::Draining { .. } | Role::Waiting { .. } | Role::Looking => {}
            Role::Leading(leader) => {
                status.state = PeerState::Leading;
                status.established = leader.is_established();
                status.leader = Some(self.c.me());
                status.learners = leader.counts(&self.c);
                status.outstanding = leader.proposals().outstanding().len();
                status.established_ms = leader.established_ms();
            }
            Role::Learning(learner) => {
                status.state = self.election.state();
                status.established = learner.is_established();
                status.leader = Some(learner.leader());
                let (links, observers) = learner.counts();
                status.learners.links = links;
                status.learners.observers = observers;
            }
        }
        status
    }

    /// When [`In::Tick`] is needed next at the latest, monotonic milliseconds.
    pub fn deadline_ms(&self) -> i64 {
        match &self.role {
            Role::Draining { job: Some(_), .. } => i64::MAX,
            Role::Draining { job: None, .. } => 0,
            Role::Waiting { until_ms } => *until_ms,
            Role::Looking => self.election.deadline_ms(),
            Role::Leading(leader) => leader.deadline_ms(&self.c),
            Role::Learning(learner) => learner.deadline_ms(&self.c),
        }
    }

    /// Takes one input. What is to be done comes in the order in which it must be done.
    pub fn step(&mut self, now: Now, input: In, out: &mut Vec<Out>) {
        self.c.now_ms = now.mono_ms;
        self.c.wall_ms = now.wall_ms;
        let turn = self.turn(input);
        self.follow_up(turn);
        out.append(&mut self.c.out.0);
    }

    fn follow_up(&mut self, turn: Turn) {
        match turn {
            Turn::Stay => {}
            Turn::Leave(why) => {
                self.c.warn(why);
                self.leave(None);
            }
            Turn::Forsake(why) => {
                self.c.blame(why);
                self.leave(None);
            }
            Turn::Designated { leader, zxid } => {
                self.c.warn(format!(
                    "a reconfiguration makes server {leader} the leader"
                ));
                self.leave(Some(Vote::looking(leader, zxid.0, -1, -1)));
            }
        }
    }

    /// Ends the role, and nothing of it stays but the log.
    fn end_role(&mut self) {
        // The node keeps what it was given and is committed.
        let given = match &self.role {
            Role::Leading(leader) if leader.is_established() => self.c.history.end(),
            _ => self.feed.given(),
        };
        match &mut self.role {
            Role::Leading(leader) => leader.close(&mut self.c),
            Role::Learning(learner) => learner.close(&mut self.c),
            Role::Draining { .. } | Role::Waiting { .. } | Role::Looking => {}
        }
        self.c.out.tell(Tell::Rest);
        self.feed.stop(given.min(self.c.committed));
        self.c.unavailable_since.get_or_insert(self.c.now_ms);
    }

    /// What was done since the last call, for metrics.
    pub fn take_counts(&mut self) -> Counts {
        core::mem::take(&mut self.c.counts)
    }

    /// Ends the role. Once everything appended is durable the server follows `vote`, or looks for
    /// a leader anew.
    fn leave(&mut self, vote: Option<Vote>) {
        let failed = matches!(&self.role, Role::Learning(learner) if !learner.is_established());
        let is_short = self.c.now_ms - self.last_round_ms < AT_ONCE_MS;
        self.at_once = match failed && is_short && vote.is_none() {
            true => self.at_once.saturating_add(1),
            false => 0,
        };
        self.end_role();
        self.election.leave();
        let job = if self.c.settings.rules.hold(Rule::DrainBeforeVote) {
            Some(self.c.job(Job::Flush))
        } else {
            None
        };
        self.role = Role::Draining { job, vote };
        if job.is_none() {
            self.drained();
        }
    }

    fn drained(&mut self) {
        if let Role::Draining {
            vote: Some(vote), ..
        } = self.role
        {
            self.election.designate(vote);
            self.take_role(vote);
            return;
        }
        if self.c.view.role() == MyRole::Observer {
            let delay = self.c.draw(self.c.settings.observer_delay_ms);
            if self.last_round_ms != 0 && delay > 0 {
                self.role = Role::Waiting {
                    until_ms: self.c.now_ms + delay,
                };
                return;
            }
        }
        if self.at_once > AT_ONCE_MAX {
            // Its leader does not take it, and would be asked again in a millisecond.
            let times = (self.at_once - AT_ONCE_MAX - 1).min(16);
            let pause_ms = (AT_ONCE_PAUSE_MS << times).min(AT_ONCE_LONGEST_MS);
            self.role = Role::Waiting {
                until_ms: self.c.now_ms + pause_ms,
            };
            return;
        }
        self.look();
    }

    fn look(&mut self) {
        self.role = Role::Looking;
        self.c.counts.looked += 1;
        self.c.unavailable_since.get_or_insert(self.c.now_ms);
        self.last_round_ms = self.c.now_ms;
        let end = if self.may_vote {
            self.c.told_end().0
        } else {
            -1
        };
        let vote = self.election.begin(
            &self.c.view,
            &self.c.settings,
            end,
            self.c.current,
            self.c.now_ms,
            &mut self.c.out,
        );
        self.decided(vote);
    }

    fn decided(&mut self, vote: Option<Vote>) {
        if let Some(vote) = vote {
            self.take_role(vote);
        }
    }

    fn take_role(&mut self, vote: Vote) {
        if matches!(self.role, Role::Looking) && !self.c.is_observer() {
            let took = self.c.now_ms - self.last_round_ms;
            self.c.counts.elections_ms.add(took);
        }
        let me = self.c.me();
        if vote.leader == me {
            self.election.set_state(PeerState::Leading);
            let leader = Leader::new(&mut self.c);
            self.role = Role::Leading(Box::new(leader));
        } else {
            let observer = self.c.is_observer();
            let state = if observer {
                PeerState::Observing
            } else {
                PeerState::Following
            };
            self.election.set_state(state);
            let learner = Learner::new(&mut self.c, vote.leader, observer);
            self.role = Role::Learning(Box::new(learner));
        }
    }

    fn turn(&mut self, input: In) -> Turn {
        match input {
            In::Tick => self.tick(),
            In::Vote { from, notification } => {
                self.vote(from, &notification);
                Turn::Stay
            }
            In::PeerUp(sid) => {
                self.election.up(&self.c.view, sid, &mut self.c.out);
                Turn::Stay
            }
            In::PeerDown(sid) => {
                let vote = self
                    .election
                    .down(&self.c.view, &self.c.settings, sid, self.c.now_ms);
                self.decided(vote);
                Turn::Stay
            }
            In::Accepted { link, address } => {
                match &mut self.role {
                    Role::Leading(leader) => leader.accepted(&mut self.c, link, address),
                    Role::Learning(learner) => match learner.observers() {
                        Some(observers) => observers.accepted(&mut self.c, link, address),
                        None => self.c.out.act(Act::Hangup(link)),
                    },
                    _ => self.c.out.act(Act::Hangup(link)),
                }
                Turn::Stay
            }
            In::Dialled { link, sid } => {
                match &mut self.role {
                    Role::Learning(learner) => learner.dialled(&mut self.c, link, sid),
                    _ => self.c.out.act(Act::Hangup(link)),
                }
                Turn::Stay
            }
            In::DialFailed { sid, why } => match &mut self.role {
                Role::Learning(learner) => learner.dial_failed(&mut self.c, sid, &why),
                _ => Turn::Stay,
            },
            In::Packet(link, packet) => match &mut self.role {
                Role::Leading(leader) => {
                    let was = leader.is_established();
                    let turn = leader.packet(&mut self.c, link, packet);
                    self.established(was);
                    self.feed_leader();
                    turn
                }
                Role::Learning(learner) => {
                    let was = learner.is_established();
                    let turn = learner.packet(&mut self.c, &mut self.feed, link, packet);
                    self.established(was);
                    turn
                }
                _ => Turn::Stay,
            },
            In::Heard(link) => {
                match &mut self.role {
                    Role::Leading(leader) => leader.heard(&self.c, link),
                    Role::Learning(learner) => learner.heard(&self.c, link),
                    _ => {}
                }
                Turn::Stay
            }
            In::Closed { link, why } => match &mut self.role {
                Role::Leading(leader) => leader.closed(&mut self.c, link, &why),
                Role::Learning(learner) => learner.closed(&mut self.c, link, &why),
                _ => Turn::Stay,
            },
            In::Durable(zxid) => self.durable(zxid),
            In::Done(job) => self.done(job),
            In::Files(segments) => {
                self.c.history.set_files(segments);
                Turn::Stay
            }
            In::Purged(base) => {
                self.c.history.purge(base);
                Turn::Stay
            }
            In::Streamed(link, zxid) => {
                match &mut self.role {
                    Role::Leading(leader) => leader.streamed(&mut self.c, link, zxid),
                    Role::Learning(learner) => {
                        if let Some(observers) = learner.observers() {
                            observers.streamed(&mut self.c, link, zxid);
                        }
                    }
                    Role::Draining { .. } | Role::Waiting { .. } | Role::Looking => {}
                }
                Turn::Stay
            }
            In::SnapRead(link) => match &mut self.role {
                Role::Learning(learner) => learner.snap_read(link),
                _ => Turn::Stay,
            },
            In::LogRecord(zxid, payload) => {
                self.feed.record(zxid, payload, &mut self.c.out);
                Turn::Stay
            }
            In::LogRead(_) => {
                self.feed.read();
                self.feed
                    .go_on(&self.c.history, self.c.durable, &mut self.c.out);
                Turn::Stay
            }
            In::TreeBytes(bytes) => {
                self.c.tree_bytes = bytes;
                Turn::Stay
            }
            In::Applied(zxid) => {
                self.c.applied = zxid;
                match &mut self.role {
                    Role::Leading(leader) => {
                        let was = leader.is_established();
                        let turn = leader.applied(&mut self.c);
                        self.established(was);
                        turn
                    }
                    _ => Turn::Stay,
                }
            }
            In::Propose { zxid, payload } => match &mut self.role {
                Role::Leading(leader) if leader.is_established() => {
                    leader.propose(&mut self.c, zxid, payload)
                }
                _ => panic!("{zxid} is proposed by a server that does not lead"),
            },
            In::ToLeader(packet) => {
                if let Role::Learning(learner) = &mut self.role {
                    learner.ask(&mut self.c, packet);
                }
                Turn::Stay
            }
            In::ToLearner(link, packet) => {
                if let Role::Leading(leader) = &mut self.role {
                    leader.relay(&mut self.c, link, packet);
                }
                Turn::Stay
            }
            In::Drop(link, why) => match &mut self.role {
                Role::Leading(leader) => {
                    leader.expel(&mut self.c, link, &why);
                    Turn::Stay
                }
                Role::Learning(learner) if learner.link() == Some(link) => Turn::Forsake(why),
                Role::Learning(learner) => {
                    if let Some(observers) = learner.observers() {
                        observers.expel(&mut self.c, link, &why);
                    }
                    Turn::Stay
                }
                _ => Turn::Stay,
            },
            In::Oracle(alone) => self.oracle(alone),
            In::Resign(why) => match &self.role {
                Role::Leading(_) | Role::Learning(_) => Turn::Leave(why),
                Role::Draining { .. } | Role::Waiting { .. } | Role::Looking => Turn::Stay,
            },
        }
    }

    /// The oracle says something else than before.
    fn oracle(&mut self, alone: bool) -> Turn {
        if !self.c.view.heed(alone) {
            return Turn::Stay;
        }
        let may = if alone { "may" } else { "may not" };
        self.c.info(format!(
            "the oracle: this server {may} go on without the other"
        ));
        match &mut self.role {
            Role::Looking => {
                let vote = self
                    .election
                    .judge(&self.c.view, &self.c.settings, self.c.now_ms);
                self.decided(vote);
                Turn::Stay
            }
            Role::Leading(leader) => {
                let was = leader.is_established();
                let turn = leader.oracle(&mut self.c);
                self.established(was);
                turn
            }
            Role::Draining { .. } | Role::Waiting { .. } | Role::Learning(_) => Turn::Stay,
        }
    }

    /// What changes with the moment in which a role is established.
    fn established(&mut self, was: bool) {
        let epoch = match &self.role {
            Role::Leading(leader) if leader.is_established() => leader.epoch(),
            Role::Learning(learner) if learner.is_established() => self.c.current,
            _ => return,
        };
        if !was {
            self.may_vote = true;
            if let Some(since) = self.c.unavailable_since.take() {
                let ms = self.c.now_ms - since;
                self.c.counts.unavailable_ms.add(ms);
                if matches!(self.role, Role::Leading(_)) {
                    self.c.counts.leader_unavailable_ms.add(ms);
                }
            }
            if matches!(self.role, Role::Leading(_)) {
                // From now on the node proposes what it applies.
                self.feed.stop(self.c.applied);
            }
            if self.c.settings.rules.hold(Rule::UpdatePeerEpoch) {
                self.election.set_peer_epoch(epoch);
            }
        }
    }

    /// A leader whose history is committed applies the rest of it. Once it proposes, its node has
    /// what it proposes from itself.
    fn feed_leader(&mut self) {
        if let Role::Leading(leader) = &self.role
            && !leader.is_established()
            && self.c.applied < self.c.committed
        {
            self.feed
                .start(&self.c.history, self.c.durable, &mut self.c.out);
        }
    }

    fn tick(&mut self) -> Turn {
        match &mut self.role {
            Role::Draining { job: None, .. } => {
                self.drained();
                Turn::Stay
            }
            Role::Draining { job: Some(_), .. } => Turn::Stay,
            Role::Waiting { until_ms } => {
                if self.c.now_ms >= *until_ms {
                    self.look();
                }
                Turn::Stay
            }
            Role::Looking => {
                let vote = self.election.tick(
                    &self.c.view,
                    &self.c.settings,
                    self.c.now_ms,
                    &mut self.c.out,
                );
                self.decided(vote);
                Turn::Stay
            }
            Role::Leading(leader) => leader.tick(&mut self.c),
            Role::Learning(learner) => learner.tick(&mut self.c),
        }
    }

    fn durable(&mut self, zxid: Zxid) -> Turn {
        if zxid <= self.c.durable || zxid > self.c.history.end() {
            // Of what was cut off or replaced since.
            return Turn::Stay;
        }
        self.c.set_durable(zxid);
        self.feed
            .go_on(&self.c.history, self.c.durable, &mut self.c.out);
        match &mut self.role {
            Role::Leading(leader) => leader.durable(&mut self.c, zxid),
            Role::Learning(learner) => {
                learner.durable(&mut self.c);
                Turn::Stay
            }
            Role::Draining { .. } | Role::Waiting { .. } | Role::Looking => Turn::Stay,
        }
    }

    /// Whether another server's tree is being put in the place of this one's.
    pub fn is_switching(&self) -> bool {
        self.c.switching.is_some()
    }

    fn done(&mut self, job: JobId) -> Turn {
        if let Some((switch, zxid, fuzzy_until)) = self.c.switching
            && switch == job
        {
            self.c.switching = None;
            self.c.committed = zxid;
            self.c.applied = zxid;
            self.feed.stop(zxid);
            self.c.out.tell(Tell::Reloaded { zxid, fuzzy_until });
        }
        match &mut self.role {
            Role::Draining { job: Some(id), .. } if *id == job => {
                self.drained();
                Turn::Stay
            }
            Role::Draining { .. } | Role::Waiting { .. } | Role::Looking => Turn::Stay,
            Role::Leading(leader) => {
                let was = leader.is_established();
                let turn = leader.done(&mut self.c, job);
                self.established(was);
                self.feed_leader();
                turn
            }
            Role::Learning(learner) => {
                learner.done(&mut self.c, job);
                Turn::Stay
            }
        }
    }

    /// A notification. A newer configuration in it is taken over while I look (a leader may have
    /// committed it and gone), and the election begins anew if it has other members.
    fn vote(&mut self, from: Sid, notification: &Notification) {
        let looking = matches!(
            self.role,
            Role::Draining { .. } | Role::Waiting { .. } | Role::Looking
        );
        if looking
            && let Some(text) = &notification.config
            && *text != *self.c.view.text()
            && let Some(config) = self.c.parse(text)
            && config.version > self.c.view.committed().version
        {
            let change = self.c.activate(config);
            if change.members {
                self.election.restart();
                if matches!(self.role, Role::Looking) {
                    self.look();
                }
                return;
            }
        }
        if let Role::Leading(leader) = &mut self.role
            && notification.state == PeerState::Looking
        {
            leader.looking(&mut self.c, from);
        }
        let vote = self.election.on_vote(
            &self.c.view,
            &self.c.settings,
            from,
            notification,
            self.c.now_ms,
            &mut self.c.out,
        );
        self.decided(vote);
    }

    /// Why a server ends its part: nothing more is said.
    pub fn stop(&mut self, out: &mut Vec<Out>) {
        self.end_role();
        self.election.leave();
        self.role = IDLE;
        out.append(&mut self.c.out.0);
    }

    /// The configurations, for the driver that dials.
    pub fn shared_view(&self) -> Arc<View> {
        Arc::new(self.c.view.clone())
    }

    /// Says why this server looks like it does, for a line of the log.
    pub fn describe(&self) -> String {
        let status = self.status();
        format!(
            "{} in epoch {}, log to {}, committed {}",
            status.state,
            status.epoch,
            self.c.history.end(),
            self.c.committed
        )
    }
}
