//! What a learner does with transactions: it logs them, acknowledges what is durable, and commits
//! as it is told.
//!
//! Owns: the proposals that wait for the disk or for their commit. Does not know: how the leader's
//! history was taken over.
//!
//! Invariants: what is acknowledged is durable; commits come in the order of the proposals, and one
//! out of order ends the link.

use alloc::format;
use alloc::string::String;

use bytes::Bytes;
use jute::{Decode, Reader};
use zk_wire::quorum::body::{Activate, InformActivate};
use zk_wire::quorum::config::QuorumConfig;
use zk_wire::quorum::packet::{Packet, PacketKind};
use zk_wire::txn::{Txn, reconfig_text};

use super::Learner;
use super::Phase;
use crate::common::{Common, Turn};
use crate::feed::Feed;
use crate::ids::{Sid, Zxid};
use crate::io::{Act, Tell};
use crate::limits::CLOCKS_APART_MS;
use crate::rules::Rule;

impl Learner {
    /// Tells, once for a leader, that its wall clock is far from this server's. Nothing here hangs on
    /// it, but the times of nodes come from there, and go back and forth with the leader.
    fn compare_clocks(&mut self, c: &mut Common, made_ms: i64) {
        let apart_ms = made_ms.saturating_sub(c.wall_ms);
        if self.clocks_told
            || apart_ms.saturating_abs() < CLOCKS_APART_MS.saturating_add(c.settings.sync_ms())
        {
            return;
        }
        self.clocks_told = true;
        let way = if apart_ms > 0 { "ahead of" } else { "behind" };
        c.warn(format!(
            "the clocks are far apart: that of leader {}, which gives nodes their times, is {} s {way} this server's",
            self.leader,
            apart_ms.saturating_abs() / 1_000
        ));
    }

    /// Logs a proposal. One that is there already, or whose zxid was taken by another, is dropped:
    /// a snapshot's zxid is read after its window was begun, and Java's leader may log one zxid
    /// twice.
    pub(super) fn log(
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
        if !zxid.follows(end) && c.settings.rules.hold(Rule::RefuseGaps) {
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
            self.compare_clocks(c, made_ms);
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

    /// Acknowledges what is durable, one by one: Java's leader counts each.
    pub(super) fn ack_durable(&mut self, c: &mut Common) {
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
    pub(super) fn time_of(&self, zxid: Zxid) -> Option<i64> {
        let (first, _) = self.made_ms.front()?;
        let at = usize::try_from(zxid.0.checked_sub(first.0)?).ok()?;
        let (at, made_ms) = self.made_ms.get(at)?;
        (*at == zxid).then_some(*made_ms)
    }

    /// A decision has come: its transaction and all before it are committed.
    pub(super) fn decided(&mut self, c: &mut Common, zxid: Zxid) {
        c.counts.commits_received += 1;
        if let Some(made_ms) = self.time_of(zxid) {
            c.counts.commit_latency_ms.add_since(made_ms, c.wall_ms);
        }
        self.forget_times(c);
    }

    /// Of what is committed and durable nothing is timed any more.
    pub(super) fn forget_times(&mut self, c: &Common) {
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
    pub(super) fn broadcast(
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
            PacketKind::UpToDate => c.blame("UPTODATE a second time".into()),
            other => return Err(format!("{other} behind UPTODATE")),
        }
        Ok(Turn::Stay)
    }

    /// The commit of the oldest proposal.
    pub(super) fn commit(
        &mut self,
        c: &mut Common,
        zxid: Zxid,
        leader: Option<Sid>,
    ) -> Result<(), String> {
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

    pub(super) fn inform(&mut self, c: &mut Common, zxid: Zxid) -> Result<(), String> {
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

    pub(super) fn change_of(&mut self, zxid: Zxid) -> Option<QuorumConfig> {
        while let Some((at, config)) = self.changes.pop_front() {
            if at == zxid {
                return Some(config);
            }
        }
        None
    }

    /// A committed reconfiguration, with the leader that it names.
    pub(super) fn activate(
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
}
