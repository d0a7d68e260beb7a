//! Rules of the protocol that have a history: each was once broken by somebody, with a bug that
//! lost or forked data. A build with the feature `mutations`, which only the simulator has, can
//! switch one off and see the bug come back. Everywhere else they hold, and the compiler knows.

/// A rule. The number is Apache ZooKeeper's issue.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rule {
    /// 1277: a leader whose counter is used up steps down.
    StepDownAtRollover,
    /// 1732: after a synchronisation the vote carries the new epoch.
    UpdatePeerEpoch,
    /// 1805: votes of an established leader are compared by leader and epoch only.
    CompareEstablishedByLeader,
    /// 2418, 4925: a history with a hole is never served as a difference.
    ContiguousLog,
    /// 2845, 4541, 4712: what is on its way to the log is durable before a vote is cast.
    DrainBeforeVote,
    /// 2846: the log from before a snapshot of another server is not served.
    DiscardLogAfterSnap,
    /// 3104: NEWLEADER goes out behind the transactions that a snapshot may lack.
    NewLeaderAfterWindow,
    /// 3023, 3911, 4646: what was received is durable before NEWLEADER is acknowledged.
    FlushBeforeNewLeaderAck,
    /// 4643, 4785: the data is durable before the epoch that vouches for it.
    EpochAfterData,
    /// 4685: a learner acknowledges NEWLEADER before any transaction.
    NewLeaderAckFirst,
    /// 4685: a leader counts acknowledgements that come before that of NEWLEADER.
    TolerateEarlyAcks,
    /// 4394: a learner keeps proposals that were not committed by NEWLEADER.
    KeepUncommitted,
    /// 5094: what is committed only in a leader's own history is not applied before UPTODATE.
    ApplyFromUpToDate,
    /// An own record counts for a commit once it is durable here.
    OwnAckAfterFsync,
    /// Acknowledgements of servers that do not vote are not counted.
    OnlyVotersCount,
    /// A promise of an epoch is durable before it is given.
    AcceptedEpochBeforeAck,
    /// An established leader synchronises others up to what is committed, not up to its log's end.
    SyncUpToCommitted,
    /// Of two records with one zxid the second is dropped.
    OneZxidOneTxn,
}

impl Rule {
    /// All of them.
    pub const ALL: [Rule; 18] = [
        Rule::StepDownAtRollover,
        Rule::UpdatePeerEpoch,
        Rule::CompareEstablishedByLeader,
        Rule::ContiguousLog,
        Rule::DrainBeforeVote,
        Rule::DiscardLogAfterSnap,
        Rule::NewLeaderAfterWindow,
        Rule::FlushBeforeNewLeaderAck,
        Rule::EpochAfterData,
        Rule::NewLeaderAckFirst,
        Rule::TolerateEarlyAcks,
        Rule::KeepUncommitted,
        Rule::ApplyFromUpToDate,
        Rule::OwnAckAfterFsync,
        Rule::OnlyVotersCount,
        Rule::AcceptedEpochBeforeAck,
        Rule::SyncUpToCommitted,
        Rule::OneZxidOneTxn,
    ];
}

/// Which rules hold: all of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rules {
    /// The one that does not.
    #[cfg(feature = "mutations")]
    pub off: Option<Rule>,
}

/// Whether this build can switch rules off.
pub const MUTATIONS: bool = cfg!(feature = "mutations");

impl Rules {
    /// Whether a rule holds.
    #[cfg(not(feature = "mutations"))]
    pub const fn hold(self, _rule: Rule) -> bool {
        true
    }

    /// Whether a rule holds.
    #[cfg(feature = "mutations")]
    pub fn hold(self, rule: Rule) -> bool {
        self.off != Some(rule)
    }
}
