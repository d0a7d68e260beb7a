//! Which configuration holds: the committed one, and the one that was last seen proposed.
//!
//! Owns: both configurations and their quorums, and my role in them. Does not know: the znode and
//! the files that show them.
//!
//! Invariants: the committed version only grows, the last seen one falls back to that only; the last seen version is never below the committed one.

use alloc::collections::BTreeSet;
use alloc::sync::Arc;

use bytes::Bytes;
use zk_wire::quorum::config::{Member, MemberRole, QuorumConfig};

use crate::ids::Sid;
use crate::quorum::{Joint, Verifier};

/// What a server is to a configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MyRole {
    /// It votes.
    Voter,
    /// It is an observer in it.
    Observer,
    /// It is not in it: it follows, but its word does not count.
    Outside,
}

/// See the module.
#[derive(Clone, Debug)]
pub struct View {
    me: Sid,
    reconfig_enabled: bool,
    committed: Arc<QuorumConfig>,
    quorum: Arc<Verifier>,
    text: Bytes,
    last_seen: Arc<QuorumConfig>,
    pending: Option<Arc<Verifier>>,
    /// Whether an oracle is asked, and what it has said last.
    oracle: Option<bool>,
}

/// What a newly committed configuration changes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Change {
    /// The members, their roles or addresses differ from those before.
    pub members: bool,
    /// My own role differs.
    pub my_role: bool,
}

impl View {
    /// Of server `me`, with what the files say.
    pub fn new(
        me: Sid,
        reconfig_enabled: bool,
        committed: QuorumConfig,
        last_seen: Option<QuorumConfig>,
    ) -> View {
        let committed = Arc::new(committed);
        let mut view = View {
            me,
            reconfig_enabled,
            quorum: Arc::new(Verifier::of(&committed)),
            text: committed.text().into(),
            last_seen: committed.clone(),
            committed,
            pending: None,
            oracle: None,
        };
        if let Some(last_seen) = last_seen {
            view.see(last_seen);
        }
        view
    }

    /// With an oracle (`oraclePath`): of two voters one may go on alone if it says so. Until it
    /// has said something, it says no.
    pub fn with_oracle(mut self) -> View {
        self.oracle = Some(false);
        self
    }

    /// What the oracle says from now on; nothing without one. Returns whether that is news.
    pub fn heed(&mut self, oracle: bool) -> bool {
        let news = self.oracle.is_some_and(|before| before != oracle);
        self.oracle = self.oracle.map(|_| oracle);
        news
    }

    /// Whether an oracle decides between the voters: there are two of them.
    pub fn asks_oracle(&self) -> bool {
        self.oracle.is_some() && self.pending.is_none() && self.quorum.voters().len() == 2
    }

    /// Whether I may decide without the other voter, if that one is not there.
    pub fn may_go_alone(&self) -> bool {
        self.asks_oracle() && self.oracle == Some(true) && self.is_voter(self.me)
    }

    /// My id.
    pub fn me(&self) -> Sid {
        self.me
    }

    /// Whether configurations may change at all.
    pub fn reconfig_enabled(&self) -> bool {
        self.reconfig_enabled
    }

    /// The configuration that holds.
    pub fn committed(&self) -> &Arc<QuorumConfig> {
        &self.committed
    }

    /// The newest one that was proposed.
    pub fn last_seen(&self) -> &Arc<QuorumConfig> {
        &self.last_seen
    }

    /// The text of the committed configuration.
    pub fn text(&self) -> &Bytes {
        &self.text
    }

    /// Quorums of the committed configuration.
    pub fn quorum(&self) -> &Arc<Verifier> {
        &self.quorum
    }

    /// Quorums that a decision needs now.
    pub fn joint(&self) -> Joint {
        Joint::new(self.quorum.clone(), self.pending.clone())
    }

    /// Whether a proposed configuration is not committed yet.
    pub fn is_pending(&self) -> bool {
        self.pending.is_some()
    }

    /// Voters of both configurations: those whose word counts in an election.
    pub fn voters(&self) -> BTreeSet<Sid> {
        self.joint().voters()
    }

    /// Whether a server votes in either configuration.
    pub fn is_voter(&self, sid: Sid) -> bool {
        self.quorum.voters().contains(&sid)
            || self
                .pending
                .as_ref()
                .is_some_and(|pending| pending.voters().contains(&sid))
    }

    /// What I am to the committed configuration.
    pub fn role(&self) -> MyRole {
        role_in(&self.committed, self.me)
    }

    /// A member of the committed configuration, or of the last seen one.
    pub fn member(&self, sid: Sid) -> Option<&Member> {
        let committed = self.committed.members.get(&sid.0);
        committed.or_else(|| self.last_seen.members.get(&sid.0))
    }

    /// A configuration was proposed. Returns whether it is news.
    pub fn see(&mut self, config: QuorumConfig) -> bool {
        if !self.reconfig_enabled || config.version <= self.last_seen.version {
            return false;
        }
        self.last_seen = Arc::new(config);
        self.settle();
        true
    }

    /// A configuration is committed. Returns what it changes; nothing if it is not newer, or may
    /// not change anything here.
    pub fn commit(&mut self, config: QuorumConfig) -> Option<Change> {
        if !self.reconfig_enabled || config.version <= self.committed.version {
            return None;
        }
        let change = Change {
            members: !self.committed.same_members(&config),
            my_role: self.role() != role_in(&config, self.me),
        };
        self.committed = Arc::new(config);
        self.quorum = Arc::new(Verifier::of(&self.committed));
        self.text = self.committed.text().into();
        if self.last_seen.version <= self.committed.version {
            self.last_seen = self.committed.clone();
        }
        self.settle();
        Some(change)
    }

    /// What was proposed will never be committed.
    pub fn forget(&mut self) {
        self.last_seen = self.committed.clone();
        self.settle();
    }

    fn settle(&mut self) {
        self.pending = (self.last_seen.version > self.committed.version)
            .then(|| Arc::new(Verifier::of(&self.last_seen)));
    }
}

fn role_in(config: &QuorumConfig, me: Sid) -> MyRole {
    match config.members.get(&me.0).map(|member| member.role) {
        Some(MemberRole::Participant) => MyRole::Voter,
        Some(MemberRole::Observer) => MyRole::Observer,
        None => MyRole::Outside,
    }
}
