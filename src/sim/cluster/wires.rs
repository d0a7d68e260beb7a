//! What goes between servers: packets over links, votes, dials, and the streams that bring a
//! learner to the leader's state.
//!
//! Owns: when what arrives. Checked here, because only the wire shows it: a server has on its disk
//! what it says that it has.

use zk_wire::quorum::body::AckEpoch;
use zk_wire::quorum::notification::{Notification, PeerState};
use zk_wire::quorum::packet::{Packet, PacketKind};
use zk_wire::txn::header_of;
use zk_zab::io::{Base, In};
use zk_zab::{LinkId, Sid, Zxid};

use super::coverage;
use super::net::{LEADER, LEARNER, Link, Place, Wire, pair};
use super::world::{Event, World};

impl World {
    pub(super) fn place_of(&self, sid: Sid) -> Option<Place> {
        self.machines
            .iter()
            .position(|machine| machine.sid == sid.0)
    }

    /// A server sends a packet.
    pub(super) fn send(&mut self, place: Place, id: LinkId, packet: Packet) -> Result<(), String> {
        let sid = self.machines[place].sid;
        let zxid = Zxid(packet.zxid);
        self.line(format_args!("{sid} sends {} {zxid} on {id}", packet.kind));
        let Some(link) = self.net.links.get(&id) else {
            return Ok(());
        };
        let Some(end) = self.end_of(link, place) else {
            return Ok(());
        };
        let said = if end == LEARNER {
            self.learner_says(place, id, &packet)
        } else {
            self.leader_says(place, &packet)
        };
        said.map_err(|what| {
            format!(
                "server {sid} says {} {zxid}, but {what}",
                packet.kind.name()
            )
        })?;
        if packet.kind == PacketKind::NewLeader
            && let Some(process) = &mut self.machines[place].process
        {
            // The stream has ended: the rest comes from memory.
            process.streams.remove(&id);
        }
        if end == LEARNER && packet.kind == PacketKind::Request {
            self.coverage.note(coverage::FORWARDED);
        }
        self.carry(id, 1 - end, Wire::Packet(packet));
        Ok(())
    }

    fn end_of(&self, link: &Link, place: Place) -> Option<usize> {
        let me = (place, self.machines[place].life);
        (0..2).find(|end| link.ends[*end] == me)
    }

    /// Puts something on its way to an end.
    fn carry(&mut self, id: LinkId, to: usize, wire: Wire) {
        let delay = self.plan.net.draw(&mut self.dice);
        let now_us = self.now_us;
        let Some(link) = self.net.links.get_mut(&id) else {
            return;
        };
        if !link.open[1 - to] || link.lost {
            return;
        }
        let pipe = &mut link.pipes[to];
        let at_us = (now_us + delay).max(pipe.last_us);
        pipe.last_us = at_us;
        pipe.queue.push_back((at_us, wire));
        if !pipe.planned {
            pipe.planned = true;
            self.at(at_us, Event::Arrive(id, to));
        }
    }

    fn learner_says(&mut self, place: Place, id: LinkId, packet: &Packet) -> Result<(), String> {
        let Some(link) = self.net.links.get_mut(&id) else {
            return Ok(());
        };
        let disk = &self.machines[place].disk;
        match packet.kind {
            PacketKind::AckEpoch => {
                let told = link.told.ok_or("no epoch was told")?;
                if disk.accepted != told {
                    return Err(format!(
                        "epoch {told} was told, acceptedEpoch is {}",
                        disk.accepted
                    ));
                }
                let epoch = AckEpoch::decode(packet.body()).map_err(|e| e.to_string())?;
                if epoch.epoch != -1 && epoch.epoch as u32 != disk.current {
                    return Err(format!("currentEpoch is {}", disk.current));
                }
                if packet.zxid != -1 && packet.zxid != disk.synced_end().0 {
                    return Err(format!("durable is {}", disk.synced_end()));
                }
                Ok(())
            }
            PacketKind::Ack if Zxid(packet.zxid).counter() == 0 => {
                if std::mem::replace(&mut link.acknowledged, true) {
                    return Ok(());
                }
                if disk.current != Zxid(packet.zxid).epoch() {
                    return Err(format!("currentEpoch is {}", disk.current));
                }
                if link
                    .before_new_leader
                    .is_some_and(|zxid| zxid > disk.synced_end())
                {
                    return Err(format!("durable is {}", disk.synced_end()));
                }
                Ok(())
            }
            PacketKind::Ack => {
                if !link.acknowledged {
                    return Err("NEWLEADER is not acknowledged yet".into());
                }
                if packet.zxid > disk.synced_end().0 {
                    return Err(format!("durable is {}", disk.synced_end()));
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn leader_says(&mut self, place: Place, packet: &Packet) -> Result<(), String> {
        let disk = &self.machines[place].disk;
        let epoch = Zxid(packet.zxid).epoch();
        match packet.kind {
            PacketKind::LeaderInfo if disk.accepted < epoch => {
                Err(format!("acceptedEpoch is {}", disk.accepted))
            }
            PacketKind::NewLeader if disk.current != epoch => {
                Err(format!("currentEpoch is {}", disk.current))
            }
            _ => Ok(()),
        }
    }

    /// Something arrives at an end of a link, if the way is free.
    pub(super) fn arrive(&mut self, id: LinkId, end: usize) -> Result<(), String> {
        let retry = 1 + self.plan.net.draw(&mut self.dice);
        let Some(link) = self.net.links.get_mut(&id) else {
            return Ok(());
        };
        let (place, life) = link.ends[end];
        let from = link.ends[1 - end].0;
        let pipe = &mut link.pipes[end];
        if self.net.blocked.contains(&(from, place)) {
            self.after(retry, Event::Arrive(id, end));
            return Ok(());
        }
        pipe.planned = false;
        let Some((_, wire)) = pipe.queue.pop_front() else {
            return Ok(());
        };
        let next = pipe.queue.front().map(|(at_us, _)| *at_us);
        if let Some(at_us) = next {
            pipe.planned = true;
            self.at(at_us, Event::Arrive(id, end));
        }
        if self.process(place, life).is_none() {
            self.gone(id, end);
            return Ok(());
        }
        let Some(link) = self.net.links.get_mut(&id) else {
            return Ok(());
        };
        match wire {
            Wire::Open => {
                let other = link.ends[1 - end].0;
                link.open[end] = true;
                let sid = Sid(self.machines[other].sid);
                if end == LEADER {
                    let master = link.master;
                    let listening = self.process(place, life).is_some_and(|process| {
                        if master {
                            process.listening_master
                        } else {
                            process.listening
                        }
                    });
                    if !listening {
                        self.hang_up(place, id);
                        return Ok(());
                    }
                    let address = format!("server {sid}");
                    self.input(place, In::Accepted { link: id, address })
                } else {
                    self.input(place, In::Dialled { link: id, sid })
                }
            }
            _ if !link.open[end] => Ok(()),
            Wire::Packet(packet) => {
                if end == LEARNER {
                    match packet.kind {
                        PacketKind::LeaderInfo => link.told = Some(Zxid(packet.zxid).epoch()),
                        PacketKind::Proposal if !link.new_leader => {
                            let zxid = header_of(packet.body()).map_or(0, |h| h.zxid);
                            link.before_new_leader = link.before_new_leader.max(Some(Zxid(zxid)));
                        }
                        PacketKind::NewLeader => link.new_leader = true,
                        _ => {}
                    }
                    if packet.kind == PacketKind::Proposal && !link.new_leader {
                        self.coverage.note(coverage::DIFF);
                    }
                }
                let sid = self.machines[place].sid;
                self.line(format_args!(
                    "{sid} hears {} {} on {id}",
                    packet.kind,
                    Zxid(packet.zxid)
                ));
                self.input(place, In::Packet(id, packet))
            }
            Wire::Snap(part) => {
                let sid = self.machines[place].sid;
                let Some(process) = self.process(place, life) else {
                    return Ok(());
                };
                if process.installing != Some(id) {
                    return Err(format!(
                        "server {sid} gets a snapshot that it did not ask for"
                    ));
                }
                let Some(tree) = part else {
                    return self.input(place, In::Heard(id));
                };
                process.installing = None;
                process.log.incoming = Some(tree);
                self.input(place, In::SnapRead(id))
            }
            Wire::End(why) => {
                link.open[end] = false;
                self.ended(place, id);
                let why = why.to_owned();
                self.input(place, In::Closed { link: id, why })
            }
        }
    }

    /// A link that was reset, or whose other end died, is noticed.
    pub(super) fn notice(&mut self, id: LinkId, end: usize) -> Result<(), String> {
        let Some(link) = self.net.links.get_mut(&id) else {
            return Ok(());
        };
        let (place, life) = link.ends[end];
        if self.process(place, life).is_none() {
            self.gone(id, end);
            return Ok(());
        }
        let Some(link) = self.net.links.get_mut(&id) else {
            return Ok(());
        };
        link.pipes[end].queue.clear();
        if !std::mem::replace(&mut link.open[end], false) {
            return Ok(());
        }
        self.ended(place, id);
        let why = "reset".to_owned();
        self.input(place, In::Closed { link: id, why })
    }

    /// What a server had to do with a link ends with it.
    fn ended(&mut self, place: Place, id: LinkId) {
        if let Some(process) = &mut self.machines[place].process {
            process.streams.remove(&id);
            if process.installing == Some(id) {
                process.installing = None;
            }
        }
    }

    /// An end has no server any more; without both, nothing is left.
    fn gone(&mut self, id: LinkId, end: usize) {
        let Some(link) = self.net.links.get_mut(&id) else {
            return;
        };
        link.open[end] = false;
        link.pipes[end].queue.clear();
        if link.open == [false, false] && link.pipes.iter().all(|pipe| !pipe.planned) {
            self.net.links.remove(&id);
        }
    }

    /// A server closes a link; what it had sent still arrives.
    pub(super) fn hang_up(&mut self, place: Place, id: LinkId) {
        self.ended(place, id);
        let Some(link) = self.net.links.get(&id) else {
            return;
        };
        let Some(end) = self.end_of(link, place) else {
            return;
        };
        self.carry(id, 1 - end, Wire::End("closed"));
        if let Some(link) = self.net.links.get_mut(&id) {
            link.open[end] = false;
            link.pipes[end].queue.clear();
        }
    }

    /// A link is lost: of what is under way some of the first arrives, and each end notices by
    /// itself. (After the death of a server the other end may notice late.)
    pub(super) fn reset(&mut self, id: LinkId, late_us: i64) {
        for end in 0..2 {
            let Some(link) = self.net.links.get_mut(&id) else {
                return;
            };
            link.lost = true;
            let queue = &mut link.pipes[end].queue;
            let keep = self.dice.below(queue.len() + 1);
            queue.truncate(keep);
            let last_us = queue.back().map_or(0, |(at_us, _)| *at_us);
            let delay = self.dice.within(1..=late_us.max(1));
            let at_us = last_us.max(self.now_us + delay);
            self.at(at_us + 1, Event::Notice(id, end));
        }
    }

    /// A server dials another.
    pub(super) fn dial(
        &mut self,
        place: Place,
        life: u64,
        sid: Sid,
        until_us: i64,
        master: bool,
    ) -> Result<(), String> {
        if self.process(place, life).is_none() {
            return Ok(());
        }
        let Some(other) = self.place_of(sid) else {
            let why = "nobody has this id".to_owned();
            return self.input(place, In::DialFailed { sid, why });
        };
        let listens = self.machines[other]
            .process
            .as_ref()
            .is_some_and(|process| {
                if master {
                    process.listening_master
                } else {
                    process.listening
                }
            });
        if !self.net.is_whole(place, other) || self.machines[other].paused_us > self.now_us {
            // Nothing comes back: it is tried until the time is over.
            if self.now_us < until_us {
                let delay = 1 + self.plan.net.draw(&mut self.dice) * 4;
                self.after(delay, Event::Dial(place, life, sid, until_us, master));
                return Ok(());
            }
            let why = "no answer".to_owned();
            return self.input(place, In::DialFailed { sid, why });
        }
        if !listens {
            let why = "refused".to_owned();
            return self.input(place, In::DialFailed { sid, why });
        }
        self.net.made += 1;
        let id = LinkId(self.net.made);
        let mut link = Link::new((place, life), (other, self.machines[other].life));
        link.master = master;
        if master {
            self.coverage.note(coverage::MASTER);
        }
        self.net.links.insert(id, link);
        for end in 0..2 {
            // Both ends have the connection once the other may hear of it.
            if let Some(link) = self.net.links.get_mut(&id) {
                link.open[1 - end] = true;
            }
            self.carry(id, end, Wire::Open);
        }
        Ok(())
    }

    /// Lets a stream go on.
    pub(super) fn stream_on(&mut self, place: Place, life: u64, id: LinkId) {
        let delay = self.plan.read.draw(&mut self.dice);
        if let Some(process) = self.process(place, life)
            && let Some(stream) = process.streams.get_mut(&id)
            && !std::mem::replace(&mut stream.planned, true)
        {
            self.after(delay, Event::Stream(place, life, id));
        }
    }

    /// One step of a stream.
    pub(super) fn stream(&mut self, place: Place, life: u64, id: LinkId) -> Result<(), String> {
        let parts = self.dice.below(16);
        let window = self.dice.below(self.plan.window + 1);
        if self.process(place, life).is_none() {
            return Ok(());
        }
        let machine = &mut self.machines[place];
        let Some(process) = &mut machine.process else {
            return Ok(());
        };
        let Some(stream) = process.streams.get_mut(&id) else {
            return Ok(());
        };
        stream.planned = false;
        let disk = &machine.disk;
        let mut packets = Vec::new();
        let mut snap = None;
        match stream.first.take() {
            Some(Base::Diff(zxid)) => packets.push(Packet::new(PacketKind::Diff, zxid.0)),
            Some(Base::Trunc(zxid)) => packets.push(Packet::new(PacketKind::Trunc, zxid.0)),
            Some(Base::Snap) => {
                let at = disk.persisted();
                stream.tree = Some((at, disk.store.as_slice().into()));
                stream.parts = parts;
                let log = &disk.log[..disk.synced];
                let first = log.partition_point(|(zxid, _)| *zxid <= at);
                stream.after = match first.saturating_sub(window) {
                    _ if window == 0 => at,
                    0 => disk.base,
                    before => log[before - 1].0,
                };
                packets.push(Packet::new(PacketKind::Snap, at.0));
            }
            None if stream.tree.is_some() => {
                snap = Some(if stream.parts == 0 {
                    stream.tree.take()
                } else {
                    stream.parts -= 1;
                    None
                });
            }
            None => {
                let log = &disk.log[..disk.synced];
                let next = log.partition_point(|(zxid, _)| *zxid <= stream.after);
                match log.get(next).filter(|(zxid, _)| *zxid <= stream.until) {
                    Some((zxid, payload)) => {
                        stream.after = *zxid;
                        let proposal = Packet::with(PacketKind::Proposal, zxid.0, payload.clone());
                        packets.push(proposal);
                        packets.push(Packet::new(PacketKind::Commit, zxid.0));
                    }
                    None => {
                        let upto = stream.after.max(stream.until);
                        return self.input(place, In::Streamed(id, upto));
                    }
                }
            }
        }
        let moves = !packets.is_empty();
        for packet in packets {
            self.send(place, id, packet)?;
        }
        if moves {
            self.input(place, In::Heard(id))?;
        }
        if let Some(part) = snap {
            self.carry(id, LEARNER, Wire::Snap(part));
            self.input(place, In::Heard(id))?;
        }
        self.stream_on(place, life, id);
        Ok(())
    }

    /// A server gives a vote to be sent; it takes the place of one that still waits.
    pub(super) fn say_vote(
        &mut self,
        place: Place,
        to: Sid,
        n: Notification,
    ) -> Result<(), String> {
        let sid = self.machines[place].sid;
        self.line(format_args!(
            "{sid} votes to {to}: {} for {} at {} epoch {} round {}",
            n.state,
            n.leader,
            Zxid(n.zxid),
            n.peer_epoch,
            n.round
        ));
        let machine = &self.machines[place];
        if n.state == PeerState::Looking
            && let Some(process) = &machine.process
            && process.core.zab().view().is_voter(to)
            && !process.log.is_idle(&machine.disk)
        {
            return Err(format!(
                "server {sid} votes with a log that is durable up to {} only",
                machine.disk.synced_end()
            ));
        }
        let Some(other) = self.place_of(to) else {
            return Ok(());
        };
        let votes = self.net.votes.entry((place, other)).or_default();
        votes.slot = Some(n);
        let connection = self.net.pairs.entry(pair(place, other)).or_default();
        if connection.up {
            if !std::mem::replace(&mut votes.sending, true) {
                let delay = self.dice.within(1..=200);
                self.after(delay, Event::Cast(place, other));
            }
        } else if !std::mem::replace(&mut connection.connecting, true) {
            let delay = self.plan.net.draw(&mut self.dice);
            self.after(delay, Event::Connect(place, other));
        }
        Ok(())
    }

    /// What waits for a connection is sent.
    pub(super) fn cast(&mut self, from: Place, to: Place) {
        let delay = self.plan.net.draw(&mut self.dice);
        let up = self.net.pairs.get(&pair(from, to)).is_some_and(|c| c.up);
        let now_us = self.now_us;
        let votes = self.net.votes.entry((from, to)).or_default();
        votes.sending = false;
        if !up {
            return;
        }
        let Some(n) = votes.slot.take() else {
            return;
        };
        votes.last = Some(n.clone());
        let last_us = votes.queue.back().map_or(0, |(at_us, _)| *at_us);
        let at_us = last_us.max(now_us + delay);
        votes.queue.push_back((at_us, n));
        if !std::mem::replace(&mut votes.planned, true) {
            self.at(at_us, Event::Vote(from, to));
        }
    }

    /// A vote arrives.
    pub(super) fn vote(&mut self, from: Place, to: Place) -> Result<(), String> {
        let retry = 1 + self.plan.net.draw(&mut self.dice);
        if self.net.blocked.contains(&(from, to)) {
            self.after(retry, Event::Vote(from, to));
            return Ok(());
        }
        let Some(votes) = self.net.votes.get_mut(&(from, to)) else {
            return Ok(());
        };
        votes.planned = false;
        let Some((_, notification)) = votes.queue.pop_front() else {
            return Ok(());
        };
        if let Some((at_us, _)) = votes.queue.front() {
            votes.planned = true;
            let at_us = *at_us;
            self.at(at_us, Event::Vote(from, to));
        }
        let from = self.machines[from].sid;
        self.input(
            to,
            In::Vote {
                from: Sid(from),
                notification,
            },
        )
    }

    /// An election connection is tried.
    pub(super) fn connect(&mut self, from: Place, to: Place) {
        let whole = self.net.is_whole(from, to);
        let there = |place: Place| {
            let machine = &self.machines[place];
            machine.process.is_some() && machine.paused_us <= self.now_us
        };
        let works = whole && there(from) && there(to);
        let connection = self.net.pairs.entry(pair(from, to)).or_default();
        connection.connecting = false;
        if connection.up {
            return;
        }
        if !works {
            self.tell(from, to, false);
            return;
        }
        connection.up = true;
        connection.number += 1;
        for (a, b) in [(from, to), (to, from)] {
            let heard_us = self.tell(a, b, true);
            let votes = self.net.votes.entry((a, b)).or_default();
            // A new connection begins with what was sent last, unless something newer waits.
            if votes.slot.is_none() {
                votes.slot = votes.last.clone();
            }
            if votes.slot.is_some() && !std::mem::replace(&mut votes.sending, true) {
                self.at(heard_us + 1, Event::Cast(a, b));
            }
        }
    }

    /// A server hears of its connection to another. Returns when.
    fn tell(&mut self, place: Place, other: Place, up: bool) -> i64 {
        let delay = self.plan.net.draw(&mut self.dice);
        let life = self.machines[place].life;
        let now_us = self.now_us;
        let heard = self.net.heard_us.entry((place, other)).or_default();
        *heard = (now_us + delay).max(*heard);
        let at_us = *heard;
        self.at(at_us, Event::Heard(place, life, other, up));
        at_us
    }

    /// An election connection ends.
    pub(super) fn unvote(&mut self, a: Place, b: Place) {
        let Some(connection) = self.net.pairs.get_mut(&pair(a, b)) else {
            return;
        };
        if !std::mem::replace(&mut connection.up, false) {
            return;
        }
        for (from, to) in [(a, b), (b, a)] {
            if let Some(votes) = self.net.votes.get_mut(&(from, to)) {
                votes.queue.clear();
            }
            self.tell(from, to, false);
        }
    }
}
