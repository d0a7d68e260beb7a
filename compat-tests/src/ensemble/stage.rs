//! The stage on which a story plays: an ensemble with its load, and the acts that all stories share.
//!
//! Owns: the members, the network, the taps, the load, and the folder that holds everything (kept when
//! a story fails). Does not know: the order of acts, which is a story's own.

mod apart;
mod equal;

use std::collections::BTreeSet;
use std::fs;
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use compat_tests::raw::{Out, text};

use super::client::{Session, op};
use super::foreign::{self, Foreign, MAKES};
use super::limits::{
    DIAL, HANDSHAKE, INIT_LIMIT, POLL, SESSION_MS, SETTLE, SETTLE_WRITES, SYNC_LIMIT, SYNC_TIME,
    TICK_MS,
};
use super::load::Load;
use super::net::{CLIENT_PORT, ELECTION_PORT, Net, QUORUM_PORT};
use super::process::{Member, Programs};
use super::spec::{Kind, Seat};
use super::tap::{Sync, Taps, kind};

pub use apart::Disk;

/// What may be different from one story to another.
#[derive(Debug, Clone, Default)]
pub struct Setting {
    /// Members in network namespaces, which can be cut; without taps. Where the process may not make
    /// namespaces, taps before both ports cut.
    pub cuts: bool,
    /// Members are configured by the story, one after another, and by reconfig; without taps, since all
    /// have to hold the same text.
    pub grows: bool,
    /// Members reach each other without taps: the offered addresses are the real ones.
    pub plain: bool,
    /// Every member has two addresses; without taps.
    pub two_addresses: bool,
    /// `initLimit`, ticks, if not the usual one.
    pub init_limit: Option<u32>,
    /// Further lines of every zoo.cfg.
    pub lines: Vec<String>,
}

/// An ensemble and its load.
#[derive(Debug)]
pub struct Stage {
    /// The load.
    pub load: Load,
    /// Clients of other makes; none before [`Stage::foreigners`].
    pub foreign: Vec<Foreign>,
    members: Vec<Member>,
    taps: Option<Taps>,
    net: Net,
    programs: Programs,
    dir: PathBuf,
    begun: Instant,
}

/// Where the tap of a pair listens: on the address of the one who is dialled, on a port of the dialler's.
fn tap_port(port: u16, dialler: u8) -> u16 {
    port + 1 + u16::from(dialler)
}

/// Whether this is a server from before 3.9.3, which forgets at NEWLEADER what has no COMMIT yet.
fn is_old(kind: &Kind) -> bool {
    const OLD: [&str; 3] = ["3.9.0", "3.9.1", "3.9.2"];
    matches!(kind, Kind::Java(version)
        if version.starts_with("3.8.") || OLD.contains(&version.as_str()))
}

impl Stage {
    /// Sets everything up; starts nothing.
    ///
    /// # Errors
    /// No network, no folder.
    pub fn new(
        seats: &[Seat],
        programs: &Programs,
        dir: PathBuf,
        setting: &Setting,
    ) -> Result<Stage, String> {
        let ids: Vec<u8> = seats.iter().map(|seat| seat.id).collect();
        let net = match setting.cuts {
            true => Net::namespaces(&ids).or_else(|why| {
                println!("  without namespaces ({why}): taps cut");
                Net::loopback()
            })?,
            false => Net::loopback()?,
        };
        let at = |id: u8, port: u16| SocketAddr::from((net.address(id), port));
        let plain = setting.plain || setting.two_addresses;
        let mut taps = match net.can_cut() || setting.grows || plain {
            true => None,
            false => Some(Taps::new(
                &ids,
                |learner, leader| at(leader, tap_port(QUORUM_PORT, learner)),
                |leader| at(leader, QUORUM_PORT),
            )?),
        };
        let mut votes_tapped = false;
        if let Some(taps) = taps.as_mut().filter(|_| setting.cuts) {
            votes_tapped = true;
            taps.add_election(
                &ids,
                |from, to| at(to, tap_port(ELECTION_PORT, from)),
                |to| at(to, ELECTION_PORT),
            )?;
        }
        let mut members = Vec::new();
        for seat in seats {
            let mut lines = vec![
                format!("tickTime={TICK_MS}"),
                format!("initLimit={}", setting.init_limit.unwrap_or(INIT_LIMIT)),
                format!("syncLimit={SYNC_LIMIT}"),
                "maxClientCnxns=0".into(),
                "maxSessionTimeout=60000".into(),
                "4lw.commands.whitelist=*".into(),
                "admin.enableServer=false".into(),
                // KiB: the log grows in small steps.
                "preAllocSize=1024".into(),
            ];
            let mut properties = vec!["-Dzookeeper.extendedTypesEnabled=true".to_owned()];
            if setting.two_addresses {
                // The key in zoo.cfg turns the handshake on, this the reading of such lines.
                properties.push("-Dzookeeper.multiAddress.enabled=true".into());
            }
            if setting.grows {
                lines.push("reconfigEnabled=true".into());
                lines.push("standaloneEnabled=false".into());
                properties.push("-Dzookeeper.skipACL=yes".into());
            } else {
                lines.push(format!("clientPort={CLIENT_PORT}"));
                lines.push(format!("clientPortAddress={}", net.address(seat.id)));
                if seat.observer {
                    lines.push("peerType=observer".into());
                }
            }
            for other in seats.iter().filter(|_| !setting.grows) {
                // Each reaches the others by its own taps; itself it binds.
                let port = |tapped: bool, port: u16| match tapped && other.id != seat.id {
                    true => tap_port(port, seat.id),
                    false => port,
                };
                let quorum = port(taps.is_some(), QUORUM_PORT);
                let election = port(votes_tapped, ELECTION_PORT);
                let role = if other.observer { ":observer" } else { "" };
                let second = match setting.two_addresses {
                    true => {
                        let address = net.second_address(other.id);
                        format!("|{address}:{quorum}:{election}")
                    }
                    false => String::new(),
                };
                lines.push(format!(
                    "server.{}={}:{quorum}:{election}{second}{role}",
                    other.id,
                    net.address(other.id)
                ));
            }
            lines.extend(setting.lines.iter().cloned());
            members.push(Member::new(
                seat.clone(),
                net.client(seat.id),
                dir.join(seat.id.to_string()),
                lines,
                properties,
            )?);
        }
        let servers: Vec<SocketAddr> = seats.iter().map(|seat| net.client(seat.id)).collect();
        Ok(Stage {
            load: Load::new(&servers),
            foreign: Vec::new(),
            members,
            taps,
            net,
            programs: programs.clone(),
            dir,
            begun: Instant::now(),
        })
    }

    /// Prints a line with the time since the beginning.
    pub fn note(&self, line: impl AsRef<str>) {
        println!(
            "  {:6.1} s  {}",
            self.begun.elapsed().as_secs_f64(),
            line.as_ref()
        );
    }

    /// The folder of the run.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// How long the story has run.
    pub fn elapsed(&self) -> Duration {
        self.begun.elapsed()
    }

    /// Where a member's quorum port is, or would be.
    pub fn quorum(&self, id: u8) -> SocketAddr {
        SocketAddr::from((self.net.address(id), QUORUM_PORT))
    }

    /// Where a member's election port is, or would be.
    pub fn election(&self, id: u8) -> SocketAddr {
        SocketAddr::from((self.net.address(id), ELECTION_PORT))
    }

    /// A member's line in a configuration that all share.
    ///
    /// # Errors
    /// There is none of this id.
    pub fn server_line(&mut self, id: u8) -> Result<String, String> {
        let address = self.net.address(id);
        let role = if self.member(id)?.seat.observer {
            "observer"
        } else {
            "participant"
        };
        Ok(format!(
            "server.{id}={address}:{QUORUM_PORT}:{ELECTION_PORT}:{role};{address}:{CLIENT_PORT}"
        ))
    }

    /// Starts a member whose configuration names `with` and itself; from then on the configuration is
    /// the server's own.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn start_among(&mut self, id: u8, with: &[u8]) -> Result<(), String> {
        let mut lines = Vec::new();
        for other in with.iter().filter(|other| **other != id) {
            lines.push(self.server_line(*other)?);
        }
        lines.push(self.server_line(id)?);
        self.member(id)?.configure(lines);
        self.start(id)
    }

    /// Changes the configuration, by the leader; waits until every member has the role it then has.
    ///
    /// # Errors
    /// It is refused for another reason than that a newcomer is not connected yet.
    pub fn reconfig(&mut self, joining: &[u8], leaving: &[u8]) -> Result<(), String> {
        /// The new configuration's quorum is not connected yet; another change is under way.
        const NOT_YET: [i32; 2] = [-13, -14];
        let mut lines = Vec::new();
        for id in joining {
            lines.push(self.server_line(*id)?);
        }
        let leaving: Vec<String> = leaving.iter().map(ToString::to_string).collect();
        let list = |items: &[String]| (!items.is_empty()).then(|| items.join(",").into_bytes());
        let mut body = Out::new();
        body.bytes(&list(&lines))
            .bytes(&list(&leaving))
            .bytes(&None)
            .long(-1);
        let leader = self.leader_among(&self.ids())?;
        let addr = self.member(leader)?.client;
        let mut session = Session::on(addr, SESSION_MS, SETTLE)?;
        self.wait("the change is taken", |_| {
            match session.call(op::RECONFIG, &body.0, SETTLE)? {
                (_, 0, _) => Ok(Some(())),
                (_, err, _) if NOT_YET.contains(&err) => Ok(None),
                (_, err, _) => Err(format!("reconfig: {err}")),
            }
        })?;
        // Its server may be leaving, and with it the connection: then the session runs out.
        if session.call(op::CLOSE_SESSION, &[], HANDSHAKE).is_err() {
            self.note("the session of the change is left behind");
        }
        Ok(())
    }

    /// All ids.
    pub fn ids(&self) -> Vec<u8> {
        self.members.iter().map(Member::id).collect()
    }

    /// The ids of voters, ascending.
    pub fn voters(&self) -> Vec<u8> {
        let voter = |member: &&Member| !member.seat.observer;
        self.members.iter().filter(voter).map(Member::id).collect()
    }

    /// The ids of observers.
    pub fn observers(&self) -> Vec<u8> {
        let voters = self.voters();
        let mut ids = self.ids();
        ids.retain(|id| !voters.contains(id));
        ids
    }

    /// A member.
    ///
    /// # Errors
    /// There is none of this id.
    pub fn member(&mut self, id: u8) -> Result<&mut Member, String> {
        self.members
            .iter_mut()
            .find(|member| member.id() == id)
            .ok_or_else(|| format!("no member {id}"))
    }

    /// The taps.
    ///
    /// # Errors
    /// The story is played with cuts instead.
    pub fn taps(&self) -> Result<&Taps, String> {
        self.taps.as_ref().ok_or_else(|| "no taps".into())
    }

    /// Starts a member; waits for nothing.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn start(&mut self, id: u8) -> Result<(), String> {
        let member = self
            .members
            .iter_mut()
            .find(|member| member.id() == id)
            .ok_or("no such member")?;
        member.start(&self.net, &self.programs)
    }

    /// Starts all and waits until each has its role. The voter with the largest id comes first, with
    /// no more others than it needs: where all histories are equal it wins, and a JVM that is slow to
    /// take part is waited for. Its id.
    ///
    /// # Errors
    /// They do not get there, or another leads.
    pub fn birth(&mut self) -> Result<u8, String> {
        let first = self.voters().into_iter().max().ok_or("no voters")?;
        let votes = SocketAddr::from((self.net.address(first), ELECTION_PORT));
        self.start(first)?;
        self.wait("it listens for votes", |_| {
            Ok(TcpStream::connect_timeout(&votes, DIAL).ok().map(|_| ()))
        })?;
        let voters = self.voters();
        let mut needed = voters.clone();
        needed.truncate(voters.len() / 2);
        for id in &needed {
            self.start(*id)?;
        }
        needed.push(first);
        self.leader_among(&needed)?;
        for id in self.ids().into_iter().filter(|id| !needed.contains(id)) {
            self.start(id)?;
        }
        let leader = self.all_serve()?;
        if leader != first {
            return Err(format!("{leader} leads at birth instead of {first}"));
        }
        self.note(format!("{leader} leads"));
        Ok(leader)
    }

    /// Starts a client of each other make, on all servers.
    ///
    /// # Errors
    /// One does not begin.
    pub fn foreigners(&mut self) -> Result<(), String> {
        foreign::setup()?;
        let servers: Vec<SocketAddr> = self.members.iter().map(|member| member.client).collect();
        for make in MAKES {
            self.foreign.push(Foreign::start(make, &servers)?);
        }
        Ok(())
    }

    /// What each client of another make has lost so far.
    pub fn foreign_losses(&self) -> Vec<(&'static str, u32)> {
        self.foreign
            .iter()
            .map(|client| (client.make, client.said().losses))
            .collect()
    }

    /// Waits for a condition of the whole.
    ///
    /// # Errors
    /// It does not come true in time, or a member ended by itself.
    pub fn wait<T>(
        &mut self,
        what: &str,
        mut done: impl FnMut(&mut Stage) -> Result<Option<T>, String>,
    ) -> Result<T, String> {
        self.wait_for(what, SETTLE, |stage| {
            let value = done(stage)?;
            if value.is_some() {
                return Ok(value);
            }
            let gone = |member: &mut &mut Member| member.wanted() && !member.alive();
            match stage
                .members
                .iter_mut()
                .find_map(|mut it| gone(&mut it).then_some(it))
            {
                Some(member) => Err(format!(
                    "{} ended by itself:\n{}",
                    member.id(),
                    member.log_tail()
                )),
                None => Ok(None),
            }
        })
    }

    /// Waits for a condition of the whole, which may be that a member ends.
    ///
    /// # Errors
    /// It does not come true within `limit`.
    pub fn wait_for<T>(
        &mut self,
        what: &str,
        limit: Duration,
        mut done: impl FnMut(&mut Stage) -> Result<Option<T>, String>,
    ) -> Result<T, String> {
        let deadline = Instant::now() + limit;
        loop {
            if let Some(value) = done(self)? {
                return Ok(value);
            }
            if Instant::now() > deadline {
                let modes: Vec<_> = self
                    .members
                    .iter()
                    .map(|member| (member.id(), member.mode(), member.zxid()))
                    .collect();
                return Err(format!(
                    "not within {} s: {what}; modes {modes:x?}",
                    limit.as_secs()
                ));
            }
            // Polled: four-letter words announce nothing.
            std::thread::sleep(POLL);
        }
    }

    /// Waits until every member that runs serves, exactly one of them as leader: its id.
    ///
    /// # Errors
    /// That does not come.
    pub fn all_serve(&mut self) -> Result<u8, String> {
        self.wait("every member serves", |stage| {
            let mut leaders = Vec::new();
            for member in &stage.members {
                if !member.expected() {
                    continue;
                }
                let wanted = if member.seat.observer {
                    "observer"
                } else {
                    "follower"
                };
                match member.mode().as_deref() {
                    Some("leader") => leaders.push(member.id()),
                    Some(mode) if mode == wanted => {}
                    _ => return Ok(None),
                }
            }
            match leaders[..] {
                [leader] => Ok(Some(leader)),
                _ => Ok(None),
            }
        })
    }

    /// Waits until one of `among` leads.
    ///
    /// # Errors
    /// None does in time.
    pub fn leader_among(&mut self, among: &[u8]) -> Result<u8, String> {
        self.wait("there is a leader", |stage| {
            Ok(stage
                .members
                .iter()
                .filter(|member| among.contains(&member.id()) && member.expected())
                .find(|member| member.mode().as_deref() == Some("leader"))
                .map(Member::id))
        })
    }

    /// Waits until a member does not serve.
    ///
    /// # Errors
    /// It goes on serving.
    pub fn idle(&mut self, id: u8) -> Result<(), String> {
        self.wait("it no longer serves", |stage| {
            Ok(stage.member(id)?.mode().is_none().then_some(()))
        })
    }

    /// Stops a member in an orderly way.
    ///
    /// # Errors
    /// It does not stop.
    pub fn term(&mut self, id: u8) -> Result<(), String> {
        self.member(id)?.term()
    }

    /// kill -9.
    ///
    /// # Errors
    /// It had ended before.
    pub fn kill(&mut self, id: u8) -> Result<(), String> {
        self.member(id)?.kill()
    }

    /// Starts a member and waits for its synchronisation, of one of these kinds, by the packets.
    ///
    /// # Errors
    /// It does not come in, or otherwise.
    pub fn start_synced(&mut self, id: u8, kinds: &[i32]) -> Result<Sync, String> {
        let since = Instant::now();
        self.start(id)?;
        self.synced(id, since, kinds)
    }

    /// Waits for the synchronisation of a member after `since`.
    ///
    /// # Errors
    /// It does not come in, or otherwise.
    pub fn synced(&mut self, id: u8, since: Instant, kinds: &[i32]) -> Result<Sync, String> {
        let syncs = self.wait("it is synchronised", |stage| {
            let syncs = stage.taps()?.syncs(id, since);
            Ok(syncs.last().is_some_and(|sync| sync.done).then_some(syncs))
        })?;
        let packets = |stage: &Stage, what: String| -> Result<Sync, String> {
            let seen = stage.taps()?.seen(id, syncs[0].leader, since)?;
            let all: Vec<String> = seen.iter().take(60).map(ToString::to_string).collect();
            Err(format!("{id}: {what}:\n{}\n{what}", all.join("\n")))
        };
        let sync = syncs[0].clone();
        if !kinds.contains(&sync.kind) {
            let names: Vec<_> = kinds.iter().map(|kind| kind::name(*kind)).collect();
            return packets(self, format!("{sync} instead of {names:?}"));
        }
        if let Some(again) = syncs
            .windows(2)
            .find(|two| two[0].leader == two[1].leader && two[0].epoch == two[1].epoch)
        {
            let what = format!("{} was begun and then {}", again[0], again[1]);
            if self.may_retry(id, sync.leader)? {
                self.note(format!("{id}, an old Java under a Java leader: {what}"));
            } else {
                return packets(self, what);
            }
        }
        self.wait("it serves", |stage| {
            Ok(stage.member(id)?.mode().map(|_| ()))
        })?;
        Ok(sync)
    }

    /// Servers before 3.9.3 leave a leader whose COMMIT comes after NEWLEADER while its PROPOSAL came before
    /// (ZOOKEEPER-4394), which a Java leader does not avoid.
    fn may_retry(&mut self, learner: u8, leader: u8) -> Result<bool, String> {
        let java = |kind: &Kind| matches!(kind, Kind::Java(_));
        Ok(is_old(&self.member(learner)?.seat.kind) && java(&self.member(leader)?.seat.kind))
    }

    /// Kills the leader, waits for the next one among the others and for writes: the new leader and the
    /// longest time without a write.
    ///
    /// # Errors
    /// The others do not go on.
    pub fn kill_leader(&mut self, leader: u8) -> Result<(u8, Duration), String> {
        self.load.mark();
        self.kill(leader)?;
        let others: Vec<u8> = self
            .voters()
            .into_iter()
            .filter(|id| *id != leader)
            .collect();
        let next = self.leader_among(&others)?;
        self.load.writes(200)?;
        Ok((next, self.load.gap()))
    }

    /// Brings the whole to rest: no request under way, all at one zxid, which is the second result. A
    /// multiple of 128 lies between it and the first, which every server had passed before.
    ///
    /// # Errors
    /// It does not come to rest.
    pub fn rest(&mut self) -> Result<(i64, i64), String> {
        self.load.pause()?;
        let leader = self.all_serve()?;
        // A leader without a transaction of its epoch shows the epoch's beginning, its followers do not.
        let from = self
            .members
            .iter()
            .filter(|member| member.expected())
            .filter_map(Member::zxid)
            .max()
            .ok_or("nobody shows a zxid")?;
        let addr = self.member(leader)?.client;
        let mut session = Session::on(addr, SESSION_MS, SETTLE)?;
        let mut body = Out::new();
        body.bytes(&text("/settle")).bytes(&text("x"));
        let mut create = body.clone();
        create
            .int(1)
            .int(31)
            .bytes(&text("world"))
            .bytes(&text("anyone"))
            .int(0);
        body.int(-1);
        session.call(op::CREATE, &create.0, HANDSHAKE)?;
        for _ in 0..SETTLE_WRITES {
            session.send(op::SET_DATA, &body.0);
        }
        // Replies come in order; the close's own comes last.
        for _ in 0..SETTLE_WRITES {
            match session.receive(HANDSHAKE) {
                super::client::Got::Reply { err: 0, .. } => {}
                other => return Err(format!("a write to {addr} at rest: {other:?}")),
            }
        }
        session.close(SETTLE)?;
        Ok((from, self.same_zxid()?))
    }

    /// Waits until all that run show one zxid.
    ///
    /// # Errors
    /// They do not.
    pub fn same_zxid(&mut self) -> Result<i64, String> {
        self.wait("all are at one zxid", |stage| {
            let zxids: BTreeSet<Option<i64>> = stage
                .members
                .iter()
                .filter(|member| member.expected())
                .map(Member::zxid)
                .collect();
            match zxids.iter().collect::<Vec<_>>()[..] {
                [Some(zxid)] => Ok(Some(*zxid)),
                _ => Ok(None),
            }
        })
    }

    /// A write at `leader` that no follower gets: holds its links, asks it for a session, and waits
    /// until the session's transaction is in its log. The load must be stopped, all at one zxid. The
    /// transaction's zxid.
    ///
    /// # Errors
    /// The transaction does not come.
    pub fn strand(&mut self, leader: u8, followers: &[u8]) -> Result<i64, String> {
        let since = Instant::now();
        for follower in followers {
            self.taps()?.hold(*follower, leader)?;
        }
        let addr = self.member(leader)?.client;
        let mut conn = compat_tests::conn::Conn::open(addr).map_err(|e| format!("{addr}: {e}"))?;
        let hello =
            compat_tests::conn::connect_request(0, SESSION_MS, 0, &Some(vec![0; 16]), Some(false));
        conn.send(&hello.framed());
        let zxid = self.wait("the leader proposes", |stage| {
            let mut all = Vec::new();
            for follower in followers {
                all.extend(stage.taps()?.seen(*follower, leader, since)?);
            }
            Ok(all
                .iter()
                .find(|seen| seen.kind == kind::PROPOSAL)
                .map(|seen| seen.zxid))
        })?;
        self.wait("the leader has logged it", |stage| {
            Ok(stage.member(leader)?.logged(zxid).then_some(()))
        })?;
        if since.elapsed() > SYNC_TIME {
            return Err("the machine is too slow: the followers have left meanwhile".into());
        }
        Ok(zxid)
    }

    /// Nothing that `from` sends reaches `to`.
    ///
    /// # Errors
    /// Nothing can be cut here.
    pub fn cut(&self, from: u8, to: u8) -> Result<(), String> {
        match &self.taps {
            Some(taps) => taps.one_way(from, to, true),
            None => self.net.cut(from, to),
        }
    }

    /// Undoes [`Stage::cut`].
    ///
    /// # Errors
    /// It was not cut.
    pub fn join(&self, from: u8, to: u8) -> Result<(), String> {
        match &self.taps {
            Some(taps) => taps.one_way(from, to, false),
            None => self.net.join(from, to),
        }
    }

    /// Cuts a member off from all others, both ways; clients still reach it.
    ///
    /// # Errors
    /// Nothing can be cut here.
    pub fn isolate(&self, id: u8) -> Result<(), String> {
        self.pairs(id, |from, to| self.cut(from, to))
    }

    /// Undoes [`Stage::isolate`].
    ///
    /// # Errors
    /// It was not isolated.
    pub fn rejoin(&self, id: u8) -> Result<(), String> {
        self.pairs(id, |from, to| self.join(from, to))
    }

    fn pairs(&self, id: u8, act: impl Fn(u8, u8) -> Result<(), String>) -> Result<(), String> {
        for other in self.ids().into_iter().filter(|other| *other != id) {
            act(id, other)?;
            act(other, id)?;
        }
        Ok(())
    }

    /// The end of every member's output, for a story that failed.
    pub fn tails(&mut self) -> String {
        let mut out = String::new();
        for member in &mut self.members {
            let state = if member.alive() { "runs" } else { "down" };
            out.push_str(&format!(
                "--- {} ({}, {state})\n{}\n",
                member.id(),
                member.seat.kind,
                member.log_tail()
            ));
        }
        out.push_str(&format!("--- everything is in {}\n", self.dir.display()));
        out
    }

    /// Ends all, and removes the folder.
    ///
    /// # Errors
    /// The load does not end, or the folder stays.
    pub fn finish(mut self) -> Result<(), String> {
        self.load.stop()?;
        for client in &mut self.foreign {
            client.stop()?;
        }
        for client in &self.foreign {
            let said = client.said();
            self.note(format!(
                "{}: {} nodes, {} changes, {} events, {} losses",
                client.make,
                said.nodes.len(),
                said.sets,
                said.events,
                said.losses
            ));
        }
        if let Some(taps) = &self.taps {
            self.note(format!("packets: {}", taps.counts()));
        }
        let events = self.load.journal().events;
        self.note(format!("events of watches: {events}"));
        let dir = self.dir.clone();
        drop(self);
        fs::remove_dir_all(&dir).map_err(|e| format!("{}: {e}", dir.display()))
    }
}
