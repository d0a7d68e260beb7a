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
    /// 1818: of servers that have decided in the same round only the leader is compared.
    SameRoundByLeader,
    /// 2355: a server says that it has what is in its log, not what DIFF is going to bring.
    ClaimOnlyLogged,
    /// 2418: a history with a hole is never served as a difference.
    ContiguousLog,
    /// 2623: a check that stands alone becomes no transaction.
    NoBareCheck,
    /// 2845, 4541, 4712: what is on its way to the log is durable before a vote is cast.
    DrainBeforeVote,
    /// 2846: the log from before a snapshot of another server is not served.
    DiscardLogAfterSnap,
    /// 3104: NEWLEADER goes out behind the transactions that a snapshot may lack.
    NewLeaderAfterWindow,
    /// 3642: nothing stays of a snapshot that did not come whole.
    DropHalfSnap,
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
    /// 4394: a leader tells of no commit between NEWLEADER and UPTODATE.
    HoldCommits,
    /// 4925: a leader hands over from memory only what follows what the learner has.
    ContiguousWindow,
    /// 4925: a learner takes no transaction behind a gap.
    RefuseGaps,
    /// 5094: a learner that is told to cut its log has no longer one from that moment on.
    CutAtOnce,
    /// 5094: what is committed only in a leader's own history is not applied before UPTODATE.
    ApplyFromUpToDate,
    /// What is committed is never cut off: a leader that wants it cut is asked for a snapshot.
    NeverCutCommitted,
    /// The zxid at the start of an epoch is no transaction that could be cut off.
    EpochStartIsNoTxn,
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
    pub const ALL: [Rule; 28] = [
        Rule::StepDownAtRollover,
        Rule::UpdatePeerEpoch,
        Rule::CompareEstablishedByLeader,
        Rule::SameRoundByLeader,
        Rule::ClaimOnlyLogged,
        Rule::ContiguousLog,
        Rule::NoBareCheck,
        Rule::DrainBeforeVote,
        Rule::DiscardLogAfterSnap,
        Rule::NewLeaderAfterWindow,
        Rule::DropHalfSnap,
        Rule::FlushBeforeNewLeaderAck,
        Rule::EpochAfterData,
        Rule::NewLeaderAckFirst,
        Rule::TolerateEarlyAcks,
        Rule::KeepUncommitted,
        Rule::HoldCommits,
        Rule::ContiguousWindow,
        Rule::RefuseGaps,
        Rule::CutAtOnce,
        Rule::ApplyFromUpToDate,
        Rule::NeverCutCommitted,
        Rule::EpochStartIsNoTxn,
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
