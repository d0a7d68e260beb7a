//! How a learner takes over the leader's history: the promise of the epoch, DIFF, TRUNC or SNAP,
//! what follows them, NEWLEADER and UPTODATE.
//!
//! Owns: the phases from LEADERINFO to UPTODATE. Does not know: how the leader was reached, what is
//! said once it is followed.
//!
//! Invariants: a promise is durable before ACKEPOCH, what was received is durable before the epoch,
//! and the epoch before NEWLEADER is acknowledged; nothing is committed here before UPTODATE.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use zk_wire::quorum::body::{AckEpoch, Activate, InformActivate};
use zk_wire::quorum::config::QuorumConfig;
use zk_wire::quorum::packet::{Packet, PacketKind};

use super::{Learner, Mode, Phase};
use crate::common::{Common, Turn};
use crate::feed::Feed;
use crate::history::History;
use crate::ids::{JobId, LinkId, Sid, Zxid};
use crate::io::{Act, Job, Tell};
use crate::limits::EPOCH_MAX;
use crate::rules::Rule;

impl Learner {
    /// LEADERINFO.
    pub(super) fn told_epoch(&mut self, c: &mut Common, packet: &Packet) -> Result<Turn, String> {
        if packet.kind != PacketKind::LeaderInfo {
            return Err(format!("{} instead of LEADERINFO", packet.kind));
        }
        let epoch = Zxid(packet.zxid).epoch();
        if epoch < c.accepted {
            return Ok(Turn::Leave(format!(
                "leader {}: it leads epoch {epoch}, and this server has promised {} (in acceptedEpoch): a directory of another ensemble?",
                self.leader, c.accepted
            )));
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
    pub(super) fn promise(&mut self, c: &mut Common, epoch: i32) {
        self.phase = Phase::Promised;
        self.sync_began_ms = c.now_ms;
        let zxid = if c.resync { -1 } else { c.told_end().0 };
        let body = AckEpoch { epoch }.encode();
        self.send(c, Packet::with(PacketKind::AckEpoch, zxid, body));
    }

    /// DIFF, TRUNC or SNAP.
    pub(super) fn base(&mut self, c: &mut Common, packet: &Packet) -> Result<Turn, String> {
        let zxid = Zxid(packet.zxid);
        match packet.kind {
            PacketKind::Diff => {
                c.info(format!("DIFF of leader {} up to {zxid}", self.leader));
                self.mode = Mode::Diff;
                self.told = c.history.end();
                self.own = Some(self.told);
                if !c.settings.rules.hold(Rule::ClaimOnlyLogged) {
                    c.claimed = zxid;
                }
                self.phase = Phase::Syncing;
            }
            PacketKind::Trunc => {
                c.warn(format!("TRUNC of leader {} to {zxid}", self.leader));
                self.mode = Mode::Trunc;
                let Some(to) = c.history.at_or_below(zxid) else {
                    c.resync = true;
                    return Err(format!("TRUNC to {zxid}, which the log does not reach"));
                };
                if to < c.applied.max(c.committed) && c.settings.rules.hold(Rule::NeverCutCommitted)
                {
                    c.resync = true;
                    return Err(format!(
                        "TRUNC to {zxid}, but {} is committed here; a snapshot is asked for",
                        c.applied.max(c.committed)
                    ));
                }
                if !c.settings.rules.hold(Rule::CutAtOnce) {
                    c.claimed = c.history.end();
                }
                c.history.cut(to);
                c.reset_durable();
                self.told = to;
                self.own = Some(to);
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
    pub(super) fn sync(
        &mut self,
        c: &mut Common,
        feed: &mut Feed,
        packet: Packet,
    ) -> Result<Turn, String> {
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
                self.config = self.change_of(zxid).or(self.config.take());
                self.designated = Some((Sid(leader), zxid));
            }
            PacketKind::InformAndActivate => {
                let inform = InformActivate::decode(&packet.data.unwrap_or_default())
                    .map_err(|error| format!("INFORMANDACTIVATE: {error}"))?;
                self.log(c, feed, inform.payload)?;
                self.told = self.told.max(zxid);
                self.config = self.change_of(zxid).or(self.config.take());
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
                    Mode::Snap => {
                        feed.stop(self.snap);
                        self.switch(c)
                    }
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
    pub(super) fn switch(&mut self, c: &mut Common) -> JobId {
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
        job
    }

    pub(super) fn tell_committed(&mut self, c: &Common, zxid: Zxid) -> Result<(), String> {
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

    /// Everything received is durable, and so is the epoch: the leader is told.
    pub(super) fn acknowledge(&mut self, c: &mut Common) {
        self.phase = Phase::Acknowledged;
        self.deadline_ms = c.now_ms + c.settings.sync_ms();
        let zxid = Zxid::start_of(self.epoch).0;
        if !c.settings.rules.hold(Rule::NewLeaderAckFirst) {
            self.ack_durable(c);
        }
        self.send(c, Packet::new(PacketKind::Ack, zxid));
    }

    /// Whether the leader has proposed a configuration and not committed it: Java's leaders tell it
    /// with NEWLEADER all the same. It may never be; if it is, that is told behind UPTODATE.
    fn is_pending(&self, config: &QuorumConfig) -> bool {
        let zxid = Zxid(config.version);
        zxid.epoch() == self.epoch && zxid.counter() > 0 && zxid > self.told
    }

    /// A configuration that an earlier leader has proposed is in this one's history, or was never
    /// committed and never will be: then no election needs its quorums any more.
    fn forget_pending(&self, c: &mut Common) {
        let zxid = Zxid(c.view.last_seen().version);
        let waits = c.history.has(zxid) && zxid > self.told;
        if c.view.is_pending() && zxid.epoch() < self.epoch && !waits {
            c.warn(format!(
                "the configuration 0x{:x} was proposed and never committed: it is forgotten",
                zxid.0
            ));
            c.forget_pending();
        }
    }

    pub(super) fn up_to_date(&mut self, c: &mut Common, feed: &mut Feed) -> Result<Turn, String> {
        let old_leader = c.view.member(self.leader).map(|m| m.addresses.clone());
        let told = self.told;
        if let Some(config) = self.config.take()
            && !self.is_pending(&config)
        {
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
        self.forget_pending(c);
        self.phase = Phase::Broadcast;
        let took = c.now_ms - self.sync_began_ms;
        if self.observer {
            c.counts.observer_syncs_ms.add(took);
        } else {
            c.counts.follower_syncs_ms.add(took);
        }
        self.deadline_ms = c.now_ms + c.settings.sync_ms();
        c.resync = false;
        c.claimed = Zxid::ZERO;
        // Records that have no COMMIT yet wait for it.
        let end = c.history.end();
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
            own: self.own,
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
}
