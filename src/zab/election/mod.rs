//! Fast leader election: every server tells every voter whom it would follow, takes over what is
//! better, and is done when a quorum says the same.
//!
//! Owns: rounds, votes, the back-off of notifications, and the answers to those who ask while
//! there is a leader. Does not know: connections, epochs' promises, what a leader does.
//!
//! Invariants: the round only grows while the object lives; a decision needs every quorum that
//! holds, or the oracle's leave where there is one; the answer to a voter that looks is the vote that was decided, with its own round.

mod vote;

use alloc::collections::{BTreeMap, BTreeSet};

pub use vote::Vote;
use zk_wire::quorum::notification::{Notification, PeerState, VERSION};

use crate::config::Settings;
use crate::ids::Sid;
use crate::io::{Act, Outbox};
use crate::rules::Rule;
use crate::view::{MyRole, View};

/// The vote of who has none to give.
const NOBODY: i64 = i64::MIN;

/// The zxid of a server that lost its data, or never had any, and must not vote yet.
const NO_VOTE: i64 = -1;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// There is a leader, or nobody looks for one yet.
    Idle,
    /// A leader is looked for.
    Looking,
    /// A quorum agrees; a better vote would still be taken until then.
    Finalizing { until_ms: i64 },
}

/// See the module.
#[derive(Debug)]
pub struct Election {
    me: Sid,
    round: i64,
    phase: Phase,
    /// What I began the round with.
    initial: Vote,
    /// What I would follow.
    proposal: Vote,
    /// What was decided last, or the initial vote.
    current: Vote,
    /// What I am, as the others are told.
    state: PeerState,
    /// Votes of this round, by voter.
    received: BTreeMap<Sid, Vote>,
    /// Votes of servers that have a leader.
    outside: BTreeMap<Sid, Vote>,
    /// Servers to which there is an election connection.
    up: BTreeSet<Sid>,
    backoff_ms: i64,
    next_send_ms: i64,
}

impl Election {
    /// An election that has not begun.
    pub fn new(me: Sid) -> Election {
        let nobody = Vote::looking(Sid(NOBODY), NOBODY, 0, NOBODY);
        Election {
            me,
            round: 0,
            phase: Phase::Idle,
            initial: nobody,
            proposal: nobody,
            current: nobody,
            state: PeerState::Looking,
            received: BTreeMap::new(),
            outside: BTreeMap::new(),
            up: BTreeSet::new(),
            backoff_ms: 0,
            next_send_ms: i64::MAX,
        }
    }

    /// What I am, as the others are told.
    pub fn state(&self) -> PeerState {
        self.state
    }

    /// The vote of now.
    pub fn current(&self) -> &Vote {
        &self.current
    }

    /// The round of now.
    pub fn round(&self) -> i64 {
        self.round
    }

    /// Whether a leader is looked for.
    pub fn is_looking(&self) -> bool {
        self.phase != Phase::Idle
    }

    /// When [`Election::tick`] has something to do, monotonic milliseconds.
    pub fn deadline_ms(&self) -> i64 {
        match self.phase {
            Phase::Idle => i64::MAX,
            Phase::Looking => self.next_send_ms,
            Phase::Finalizing { until_ms } => until_ms.min(self.next_send_ms),
        }
    }

    /// There is no leader any more; the election begins later.
    pub fn leave(&mut self) {
        self.state = PeerState::Looking;
        self.phase = Phase::Idle;
    }

    /// All connections were closed and the configuration is another: rounds are counted anew.
    pub fn restart(&mut self) {
        self.round = 0;
        self.up.clear();
        self.received.clear();
        self.outside.clear();
    }

    /// Begins a round with my own vote: `end` is the last zxid of the log (-1 if I may not vote),
    /// `epoch` the current epoch.
    pub fn begin(
        &mut self,
        view: &View,
        settings: &Settings,
        end: i64,
        epoch: u32,
        now_ms: i64,
        out: &mut Outbox,
    ) -> Option<Vote> {
        self.round += 1;
        let leader = match view.role() {
            MyRole::Voter => self.me,
            MyRole::Observer | MyRole::Outside => Sid(NOBODY),
        };
        // Who proposes nobody must be content with anybody. Java's servers outside of the committed
        // configuration keep their zxid: if they vote in the proposed one and have logged more than
        // the others, no election of both configurations ever ends.
        let (zxid, epoch) = match view.role() {
            MyRole::Voter => (end, i64::from(epoch)),
            MyRole::Outside if end == NO_VOTE => (NO_VOTE, NOBODY),
            MyRole::Observer | MyRole::Outside => (NOBODY, NOBODY),
        };
        self.initial = Vote::looking(leader, zxid, self.round, epoch);
        self.proposal = self.initial;
        self.current = self.initial;
        self.state = PeerState::Looking;
        self.phase = Phase::Looking;
        self.received.clear();
        self.outside.clear();
        self.backoff_ms = settings.notify_min_ms;
        self.broadcast(view, now_ms, out);
        self.judge(view, settings, now_ms)
    }

    /// A leader is given without an election: a reconfiguration has named it.
    pub fn designate(&mut self, vote: Vote) {
        self.current = Vote { version: 0, ..vote };
        self.phase = Phase::Idle;
    }

    /// After a synchronisation all say the same epoch to those who ask (ZOOKEEPER-1732).
    pub fn set_peer_epoch(&mut self, epoch: u32) {
        self.current.peer_epoch = i64::from(epoch);
    }

    /// An election connection is there.
    pub fn up(&mut self, view: &View, sid: Sid, out: &mut Outbox) {
        self.up.insert(sid);
        if self.is_looking() && view.is_voter(sid) {
            self.cast(view, sid, &self.proposal, self.round, out);
        }
    }

    /// It is gone, or could not be made. Returns the vote if that ends the election: nobody is
    /// waited for who cannot be heard.
    pub fn down(
        &mut self,
        view: &View,
        settings: &Settings,
        sid: Sid,
        now_ms: i64,
    ) -> Option<Vote> {
        self.up.remove(&sid);
        self.judge(view, settings, now_ms)
    }

    /// Time has passed. Returns the vote if the election ends.
    pub fn tick(
        &mut self,
        view: &View,
        settings: &Settings,
        now_ms: i64,
        out: &mut Outbox,
    ) -> Option<Vote> {
        if let Phase::Finalizing { until_ms } = self.phase
            && now_ms >= until_ms
        {
            return Some(self.decide(self.proposal));
        }
        if self.is_looking() && now_ms >= self.next_send_ms {
            self.backoff_ms = self
                .backoff_ms
                .saturating_mul(2)
                .min(settings.notify_max_ms);
            self.broadcast(view, now_ms, out);
        }
        None
    }

    /// A notification. Returns the vote if the election ends with it.
    pub fn on_vote(
        &mut self,
        view: &View,
        settings: &Settings,
        from: Sid,
        n: &Notification,
        now_ms: i64,
        out: &mut Outbox,
    ) -> Option<Vote> {
        if !view.is_voter(from) {
            // An observer, or somebody who wants to join.
            self.cast(view, from, &self.current, self.round, out);
            return None;
        }
        if !self.is_looking() {
            if n.state == PeerState::Looking && self.state != PeerState::Looking {
                self.cast(view, from, &self.current, self.current.round, out);
            }
            return None;
        }
        if n.state == PeerState::Looking && n.round < self.round {
            self.cast(view, from, &self.proposal, self.round, out);
        }
        if !view.is_voter(Sid(n.leader)) {
            // Who votes in the proposed configuration alone proposes nobody, and hears only of its
            // own round.
            let is_later = n.leader == NOBODY && n.round > self.round;
            if n.state == PeerState::Looking && is_later && self.phase == Phase::Looking {
                self.round = n.round;
                self.received.clear();
                self.adopt(self.initial);
                self.broadcast(view, now_ms, out);
                return self.judge(view, settings, now_ms);
            }
            return None;
        }
        match n.state {
            PeerState::Looking => self.on_looking(view, settings, from, n, now_ms, out),
            PeerState::Observing => None,
            PeerState::Following | PeerState::Leading => {
                self.on_established(view, settings, from, n)
            }
        }
    }

    fn on_looking(
        &mut self,
        view: &View,
        settings: &Settings,
        from: Sid,
        n: &Notification,
        now_ms: i64,
        out: &mut Outbox,
    ) -> Option<Vote> {
        if n.zxid == NO_VOTE || self.initial.zxid == NO_VOTE {
            return None;
        }
        let vote = Vote::of(n);
        let weight = view.quorum().weight(vote.leader);
        if matches!(self.phase, Phase::Finalizing { .. }) {
            if vote.beats(&self.proposal, weight) {
                self.phase = Phase::Looking;
            } else if n.round != self.round {
                // As in Java, a decision that is about to fall is not put off by a worse vote.
                return None;
            }
        }
        if n.round > self.round {
            self.round = n.round;
            self.received.clear();
            let better = vote.beats(&self.initial, weight);
            self.adopt(if better { vote } else { self.initial });
            self.broadcast(view, now_ms, out);
        } else if n.round < self.round {
            return None;
        } else if vote.beats(&self.proposal, weight) {
            self.adopt(vote);
            self.broadcast(view, now_ms, out);
        }
        self.received.insert(from, vote);
        self.judge(view, settings, now_ms)
    }

    fn on_established(
        &mut self,
        view: &View,
        settings: &Settings,
        from: Sid,
        n: &Notification,
    ) -> Option<Vote> {
        let vote = Vote::of(n);
        // A configuration that is proposed may never be committed, and may be already: whom a quorum
        // of either follows leads, and what it leads is its own to know. (Java wants both, and a
        // server that has noted a configuration which nobody committed may look for ever.)
        let rules = settings.rules;
        let agreed = |votes: &BTreeMap<Sid, Vote>| {
            let follows = |sid| votes.get(&sid).is_some_and(|v| vote.agrees(v, rules));
            view.joint().has_either(follows)
        };
        if n.round == self.round {
            // Java keeps no version here, so that among them only the leader is compared
            // (ZOOKEEPER-1818).
            let version = if rules.hold(Rule::SameRoundByLeader) {
                0
            } else {
                vote.version
            };
            self.received.insert(from, Vote { version, ..vote });
            if agreed(&self.received) && self.is_led(&self.received, &vote) {
                return Some(self.decide(vote));
            }
        }
        self.outside.insert(from, vote);
        if view.asks_oracle() && n.state == PeerState::Leading && vote.leader == from {
            // One of two that leads does so with my help or with the oracle's leave; I have
            // neither to take away.
            self.round = n.round;
            return Some(self.decide(vote));
        }
        if agreed(&self.outside) && self.is_led(&self.outside, &vote) {
            self.round = n.round;
            return Some(self.decide(vote));
        }
        None
    }

    /// Whether the leader itself says that it leads; of myself only my round says it.
    fn is_led(&self, votes: &BTreeMap<Sid, Vote>, vote: &Vote) -> bool {
        if vote.leader == self.me {
            return vote.round == self.round;
        }
        let leader = votes.get(&vote.leader);
        leader.is_some_and(|leader| leader.state == PeerState::Leading)
    }

    fn adopt(&mut self, vote: Vote) {
        self.proposal = Vote::looking(vote.leader, vote.zxid, self.round, vote.peer_epoch);
    }

    /// Looks whether a quorum agrees with me. Then a better vote is waited for, but only while
    /// somebody who could send one has not voted and can be heard.
    pub(crate) fn judge(&mut self, view: &View, settings: &Settings, now_ms: i64) -> Option<Vote> {
        if !self.is_looking() {
            return None;
        }
        let agreed = view.joint().has_quorum(|sid| {
            let vote = self.received.get(&sid);
            vote.is_some_and(|vote| self.proposal.agrees(vote, settings.rules))
        });
        if !agreed {
            // The other of two is given the usual time to send a better vote.
            let alone = view.may_go_alone()
                && self.proposal.leader == self.me
                && self.initial.zxid != NO_VOTE;
            match self.phase {
                Phase::Finalizing { .. } if alone => {}
                _ if alone => {
                    self.phase = Phase::Finalizing {
                        until_ms: now_ms + settings.finalize_ms,
                    };
                }
                _ => self.phase = Phase::Looking,
            }
            return None;
        }
        let silent = |sid: &Sid| !self.received.contains_key(sid) && self.up.contains(sid);
        if !view.voters().iter().any(silent) {
            return Some(self.decide(self.proposal));
        }
        if self.phase == Phase::Looking {
            self.phase = Phase::Finalizing {
                until_ms: now_ms + settings.finalize_ms,
            };
        }
        None
    }

    fn decide(&mut self, vote: Vote) -> Vote {
        self.phase = Phase::Idle;
        self.received.clear();
        self.outside.clear();
        self.current = vote;
        vote
    }

    /// What I am from now on.
    pub fn set_state(&mut self, state: PeerState) {
        self.state = state;
    }

    /// Tells every voter my proposal, myself too.
    fn broadcast(&mut self, view: &View, now_ms: i64, out: &mut Outbox) {
        for sid in view.voters() {
            if sid == self.me {
                self.received.insert(sid, self.proposal);
            } else {
                self.cast(view, sid, &self.proposal, self.round, out);
            }
        }
        self.next_send_ms = now_ms.saturating_add(self.backoff_ms);
    }

    fn cast(&self, view: &View, to: Sid, vote: &Vote, round: i64, out: &mut Outbox) {
        let notification = Notification {
            state: self.state,
            leader: vote.leader.0,
            zxid: vote.zxid,
            round,
            peer_epoch: vote.peer_epoch,
            version: VERSION,
            config: Some(view.text().clone()),
        };
        out.act(Act::Cast(to, notification));
    }
}
