//! The administrator: a client that changes the configuration while the others work and servers
//! fail.
//!
//! Owns: its session, and what each of its requests is to come to. Does not know: who leads when a
//! request arrives; it goes by what it sees when it asks.
//!
//! Checked: a reconfiguration that is answered without an error is on the committed path, and makes
//! the members that were asked for; one that makes no sense is refused, and for the right reason.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use jute::Encode;
use zk_wire::client::ReconfigRequest;
use zk_wire::quorum::config::{MemberRole, QuorumConfig};
use zk_wire::{Code, OpCode};
use zk_zab::Zxid;

use super::coverage;
use super::net::Place;
use super::node::{Ask, Session};
use super::plan::{groups, member};
use super::world::{Event, Phase, World, members_of};

/// What a request asks for.
#[derive(Clone, Debug, Default)]
struct Wish {
    joining: String,
    leaving: String,
    whole: Option<String>,
    version: i64,
    /// The members that it makes, if it makes sense.
    makes: Option<QuorumConfig>,
    /// Why else it may, or must, be refused.
    refused: Vec<Code>,
}

/// A request under way.
#[derive(Clone, Debug)]
struct UnderWay {
    wish: Wish,
    /// The largest zxid that anybody had been told when it began.
    begun: Zxid,
}

/// See the module.
#[derive(Debug)]
pub struct Admin {
    /// 0 is none.
    session: i64,
    at: Option<(Place, u64)>,
    conn: u64,
    connecting: bool,
    next: i32,
    under_way: BTreeMap<i32, UnderWay>,
    /// Requests that are still to be made.
    left: usize,
}

impl Admin {
    /// One who will ask so many times.
    pub fn new(left: usize) -> Admin {
        Admin {
            session: 0,
            at: None,
            conn: 0,
            connecting: false,
            next: 1,
            under_way: BTreeMap::new(),
            left,
        }
    }

    /// Whether this is its connection.
    pub fn is_at(&self, conn: u64) -> bool {
        self.at.is_some() && self.conn == conn
    }

    /// It has its session, or none any more.
    pub fn connected(&mut self, session: Option<(i64, i32)>) {
        self.connecting = false;
        match session {
            Some((id, _)) => self.session = id,
            None => self.over(),
        }
    }

    /// Its session is at another connection of a server, or nowhere.
    pub fn detached(&mut self, place: Place, session: i64, now: Option<u64>) {
        let here = self.at.is_some_and(|(at, _)| at == place);
        if !here || self.session != session || self.connecting {
            return;
        }
        match now {
            None => self.over(),
            Some(conn) if conn != self.conn => self.give_up(),
            Some(_) => {}
        }
    }

    /// A server has ended all its clients.
    pub fn disconnected(&mut self, place: Place) {
        if self.at.is_some_and(|(at, _)| at == place) {
            self.give_up();
        }
    }

    fn over(&mut self) {
        self.give_up();
        self.session = 0;
    }

    /// What was under way may be done or not.
    fn give_up(&mut self) {
        self.at = None;
        self.connecting = false;
        self.under_way.clear();
    }
}

impl World {
    /// The administrator does something.
    pub(super) fn administer(&mut self) -> Result<(), String> {
        let delay = 1 + self.plan.admin.draw(&mut self.dice);
        self.after(delay, Event::Admin);
        if self.phase != Phase::Faults || self.admin.left == 0 {
            return Ok(());
        }
        let here = self.admin.at.filter(|(place, life)| {
            let machine = &self.machines[*place];
            let process = machine.process.as_ref();
            machine.life == *life && process.is_some_and(|process| process.core.is_serving())
        });
        let Some((place, _)) = here else {
            return self.connect_admin();
        };
        if self.admin.connecting || self.machines[place].paused_us > self.now_us {
            return Ok(());
        }
        let now = self.clock(place);
        let session = Session {
            id: self.admin.session,
            timeout_ms: self.plan.session_ms,
        };
        let mut effects = Vec::new();
        if let Some(process) = &mut self.machines[place].process {
            process.core.touch(now, session, &mut effects);
        }
        self.carry_out(place, effects)?;
        // Two in a row: the second comes while the first is under way.
        let times = if self.dice.once_in(4) { 2 } else { 1 };
        for _ in 0..times {
            if self.admin.at.is_none()
                || self.admin.left == 0
                || self.admin.under_way.len() >= times
            {
                return Ok(());
            }
            self.ask_for_change(place)?;
        }
        Ok(())
    }

    fn connect_admin(&mut self) -> Result<(), String> {
        self.admin.give_up();
        let fit: Vec<(Place, u64)> = self
            .machines
            .iter()
            .enumerate()
            .filter(|(_, machine)| {
                let process = machine.process.as_ref();
                machine.paused_us <= self.now_us
                    && process.is_some_and(|process| process.core.is_serving())
            })
            .map(|(place, machine)| (place, machine.life))
            .collect();
        if fit.is_empty() {
            return Ok(());
        }
        let at = *self.dice.pick(&fit);
        self.conns += 1;
        self.admin.at = Some(at);
        self.admin.conn = self.conns;
        self.admin.connecting = true;
        let session = Session {
            id: self.admin.session,
            timeout_ms: self.plan.session_ms,
        };
        let now = self.clock(at.0);
        let conn = self.conns;
        let known = (session.id != 0).then_some(session.id);
        self.users.truth.claims(conn, known, session.timeout_ms);
        let mut effects = Vec::new();
        if let Some(process) = &mut self.machines[at.0].process {
            process.core.connect(now, conn, session, &mut effects);
        }
        self.carry_out(at.0, effects)
    }

    fn ask_for_change(&mut self, place: Place) -> Result<(), String> {
        let wish = self.wish();
        let part = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        let (joining, leaving) = (part(&wish.joining), part(&wish.leaving));
        let request = ReconfigRequest {
            joining: joining.as_deref().map(Into::into),
            leaving: leaving.as_deref().map(Into::into),
            new_members: wish.whole.as_deref().map(Into::into),
            config_id: wish.version,
        };
        let body = Bytes::from(request.to_vec());
        self.admin.left -= 1;
        let ask = Ask {
            conn: self.admin.conn,
            session: self.admin.session,
            cxid: self.admin.next,
            op: OpCode::Reconfig,
            body,
        };
        self.admin.next += 1;
        self.act_of_god(format_args!(
            "{}: the administrator asks: joining {:?}, leaving {:?}, all {:?}, from 0x{:x}",
            ask.cxid, wish.joining, wish.leaving, wish.whole, wish.version
        ));
        let begun = self.judge.told;
        let under_way = UnderWay { wish, begun };
        self.admin.under_way.insert(ask.cxid, under_way);
        if self.dice.once_in(3) {
            // Something goes wrong while it is under way.
            let soon = self.plan.net.most + self.plan.disk.most;
            let soon = 1 + self.dice.within(0..=4 * soon);
            self.after(soon, Event::Strike);
        }
        self.users.truth.administers((ask.session, ask.cxid));
        let now = self.clock(place);
        let mut effects = Vec::new();
        if let Some(process) = &mut self.machines[place].process {
            process.core.request(now, ask, &mut effects);
        }
        self.carry_out(place, effects)
    }

    /// The configuration that is seen now: of the leader if there is one.
    fn config_of_now(&self) -> (Option<i64>, QuorumConfig) {
        let processes = self.machines.iter();
        let mut leading = processes.filter_map(|machine| {
            let process = machine.process.as_ref()?;
            process.core.leads()?;
            Some((machine.sid, process))
        });
        match leading.next() {
            Some((sid, process)) => {
                let config = process.core.zab().view().last_seen();
                (Some(sid), (**config).clone())
            }
            None => (None, self.judge.config().clone()),
        }
    }

    /// What to ask for.
    fn wish(&mut self) -> Wish {
        let (leader, now) = self.config_of_now();
        let outside: Vec<i64> = self
            .machines
            .iter()
            .map(|machine| machine.sid)
            .filter(|sid| !now.members.contains_key(sid))
            .collect();
        let inside: Vec<i64> = now.members.keys().copied().collect();
        let mut next = now.clone();
        let mut wish = Wish {
            version: -1,
            ..Wish::default()
        };
        let role = |observes: bool| {
            if observes {
                MemberRole::Observer
            } else {
                MemberRole::Participant
            }
        };
        let mut joining: Vec<i64> = Vec::new();
        let mut leaving: Vec<i64> = Vec::new();
        let kind = self.dice.weighted(&[6, 4, 4, 3, 3, 3, 3]);
        match kind.unwrap_or_default() {
            0 => joining.extend(outside.first()),
            1 => leaving.push(*self.dice.pick(&inside)),
            2 => {
                // A member gets the other role.
                let sid = *self.dice.pick(&inside);
                let votes = next.members[&sid].votes();
                next.members.insert(sid, member(sid, role(votes)));
                joining.push(sid);
            }
            3 => leaving.extend(leader),
            4 => {
                joining.extend(outside.last());
                leaving.push(*self.dice.pick(&inside));
            }
            5 => return self.whole(),
            _ => return self.nonsense(&now),
        }
        for sid in &leaving {
            next.members.remove(sid);
        }
        for sid in &joining {
            if !next.members.contains_key(sid) {
                let observes = self.dice.once_in(3);
                next.members.insert(*sid, member(*sid, role(observes)));
            }
        }
        let line = |sid: &i64| format!("server.{sid}={}", next.members[sid]);
        wish.joining = joining.iter().map(line).collect::<Vec<_>>().join(",");
        let numbers = leaving.iter().map(ToString::to_string);
        wish.leaving = numbers.collect::<Vec<_>>().join(",");
        if self.dice.once_in(3) {
            wish.version = now.version;
        }
        if now.is_hierarchical() {
            // These are changed as a whole only.
            wish.refused.push(Code::BadArguments);
        }
        let least = if self.plan.settings.standalone_enabled {
            2
        } else {
            1
        };
        if next.voters().count() < least {
            wish.refused.push(Code::BadArguments);
        }
        (next.groups, next.weights) = Default::default();
        wish.makes = Some(next);
        wish
    }

    /// A whole new list, perhaps with groups.
    fn whole(&mut self) -> Wish {
        let sids: Vec<i64> = self.machines.iter().map(|machine| machine.sid).collect();
        let mut next = QuorumConfig::default();
        for sid in &sids {
            if self.dice.percent(70) {
                let role = if self.dice.once_in(4) {
                    MemberRole::Observer
                } else {
                    MemberRole::Participant
                };
                next.members.insert(*sid, member(*sid, role));
            }
        }
        let mut refused = Vec::new();
        let voters = next.voters().count();
        if voters < 2 {
            refused.extend([Code::BadArguments, Code::MarshallingError]);
        }
        if voters >= 3 && self.dice.once_in(2) {
            groups(&mut next, &mut self.dice);
        }
        let text = next.text();
        let lines: Vec<&str> = text
            .lines()
            .filter(|it| !it.starts_with("version"))
            .collect();
        Wish {
            whole: Some(lines.join(",")),
            version: -1,
            makes: Some(next.clone()),
            refused,
            ..Wish::default()
        }
    }

    /// Something that cannot be.
    fn nonsense(&mut self, now: &QuorumConfig) -> Wish {
        let mut wish = Wish {
            version: -1,
            ..Wish::default()
        };
        let code = match self.dice.below(4) {
            0 => {
                // Nobody answers there.
                let ghosts: BTreeSet<i64> = [201, 202, 203].into();
                let line =
                    |sid: &i64| format!("server.{sid}={}", member(*sid, MemberRole::Participant));
                let lines: Vec<String> = ghosts.iter().map(line).collect();
                wish.whole = Some(lines.join(","));
                Code::NewConfigNoQuorum
            }
            1 => {
                wish.version = now.version + 1;
                wish.leaving = "1".into();
                Code::BadVersion
            }
            2 => {
                wish.joining = "server.9=host9:2888".into();
                Code::BadArguments
            }
            _ => {
                wish.leaving = "one".into();
                if now.is_hierarchical() {
                    Code::BadArguments
                } else {
                    Code::MarshallingError
                }
            }
        };
        wish.refused.push(code);
        wish
    }

    /// The administrator is answered.
    pub(super) fn admin_answered(&mut self, cxid: i32, zxid: Zxid, err: i32) -> Result<(), String> {
        let Some(UnderWay { wish, begun }) = self.admin.under_way.remove(&cxid) else {
            return Err(format!("{cxid} of the administrator was not under way"));
        };
        let code = Code::from_i32(err);
        self.act_of_god(format_args!(
            "{cxid}: the administrator is answered at {zxid}: {code:?}"
        ));
        match code {
            Some(Code::Ok) => {}
            Some(Code::SessionExpired) => {
                self.admin.over();
                return Ok(());
            }
            Some(Code::SessionMoved) => {
                self.admin.give_up();
                return Ok(());
            }
            Some(code) => {
                self.coverage.note(coverage::RECONFIG_REFUSED);
                let session = self.admin.session;
                self.judge.answers((session, cxid), zxid, begun)?;
                // The configuration may be another one by the time that the leader judges, a pending
                // one or one of groups.
                let moves = [
                    Code::ReconfigInProgress,
                    Code::NewConfigNoQuorum,
                    Code::BadVersion,
                    Code::BadArguments,
                ];
                let expected = if wish.makes.is_some() || code == Code::ReconfigInProgress {
                    moves.contains(&code)
                } else {
                    false
                };
                if !expected && !wish.refused.contains(&code) {
                    return Err(format!("{wish:?} is refused as {code:?}"));
                }
                return Ok(());
            }
            None => return Err(format!("the administrator is answered {err}")),
        }
        let Some(makes) = &wish.makes else {
            return Err(format!("{wish:?} is not refused"));
        };
        let session = self.admin.session;
        self.judge.answers((session, cxid), zxid, begun)?;
        let entry = self.judge.entry(zxid);
        let text = entry.and_then(|entry| self.archived(entry));
        let text = text.unwrap_or_default();
        let text = zk_wire::txn::reconfig_text(&text).unwrap_or_default();
        let made = QuorumConfig::parse(&String::from_utf8_lossy(text), true);
        let made = made.map_err(|error| format!("the configuration of {zxid}: {error}"))?;
        let asked = |sid: &i64| makes.members.get(sid);
        // What another one did meanwhile is there as well, unless this named all.
        let wrong = if wish.whole.is_some() {
            !made.same_members(makes)
        } else {
            let joined = made.members.iter();
            let mut joined = joined.filter(|(sid, _)| wish.joining.contains(&format!(".{sid}=")));
            joined.any(|(sid, member)| asked(sid).is_none_or(|asked| !asked.same(member)))
        };
        if wrong {
            return Err(format!("{wish:?} makes {}", members_of(&made).join(" ")));
        }
        Ok(())
    }
}
