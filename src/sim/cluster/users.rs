//! Clients of whole servers: frames go to a real connection, and each byte that comes back is
//! judged.
//!
//! Owns the connections, given up or not, and each client's choices. Does not know: what is right;
//! [`Truth`] has the model's history, and a [`Stream`] for each connection holds against it what
//! that is sent: replies in order and equal to the model's to the byte, reads at the state of
//! their header's zxid, no zxid less than before, events before any reply that shows what they
//! tell and at once when they are applied.
//!
//! A client may leave its server for another at any time, with or without a word, and what it had
//! asked for goes on without it.

use std::collections::{BTreeMap, VecDeque};

use jute::{Decode, Encode, Reader};
use zk_core::auth::digest::{Algorithm, generate};
use zk_core::io::Grant;
use zk_core::{Config, ConnId, SessionId};
use zk_wire::OpCode;
use zk_wire::client::frame::{Cut, cut};
use zk_wire::client::{AuthPacket, CreateRequest, PathRequest, ReplyHeader, SetWatches2, xid};
use zk_wire::txn::header_of;
use zk_zab::Zxid;

use super::clients::Last;
use super::coverage;
use super::net::Place;
use super::plan::Plan;
use super::truth::{At, Truth};
use super::world::{Machine, Phase, World};
use crate::check::ensure;
use crate::check::stream::{History, NOT_READ_ONLY, Stream};
use crate::client::{self, Held, handshake};
use crate::dice::Dice;
use crate::model::Rules;
use crate::plan::SUPER;
use crate::workload::{Maker, USERS, open_acl};

/// A client leaves its server once in so many turns.
const LEAVES: usize = 60;

/// It ends its session.
const ENDS: usize = 80;

/// Signs of life of a client that are remembered.
const HEARD: usize = 200;

/// Ticks within which a leader hears of a client of another server, when all is well.
const WORD_TICKS: i64 = 3;

/// It forgets its password, at a handshake.
const FORGETS: usize = 40;

/// One client's own memory.
#[derive(Debug)]
pub struct User {
    /// What it holds, and what it was told.
    pub client: client::Client,
    /// What it says who it is, on each connection.
    token: Option<&'static str>,
    /// The connection is new.
    fresh: bool,
    /// The request that ends its session.
    ending: Option<i32>,
    /// When it was last sent something.
    heard_us: i64,
    /// A connection that it left without a word, on which something is still on its way.
    ghost: Option<(Place, u64)>,
    /// The watches that it had when its last connection ended: data and exist, child, persistent,
    /// recursive.
    watches: [Vec<String>; 4],
}

impl User {
    /// The one of this number.
    pub fn new(number: usize) -> User {
        User {
            client: client::Client::new(format!("10.0.0.{}", number + 1)),
            token: (!number.is_multiple_of(3)).then(|| USERS[number % 2]),
            fresh: false,
            ending: None,
            heard_us: 0,
            ghost: None,
            watches: Default::default(),
        }
    }
}

/// A connection.
#[derive(Debug)]
struct Link {
    place: Place,
    /// Whose, unless it was given up.
    user: Option<usize>,
    stream: Stream,
}

/// See the module.
#[derive(Debug)]
pub struct Users {
    /// What is true.
    pub truth: Truth,
    links: BTreeMap<u64, Link>,
    workload: crate::plan::Plan,
    peace: Peace,
}

/// What must be quiet for a session to live as long as its client is heard of.
#[derive(Debug, Default)]
struct Peace {
    /// Since when it is, or from when on it may be.
    since_us: i64,
    faults: usize,
    paused_us: i64,
    leader: Option<(Place, u32)>,
    /// When the client of each session was heard of on its present connection.
    heard: BTreeMap<i64, VecDeque<i64>>,
}

/// Settings of every server that concern what clients are answered.
pub fn settle(config: Config, seed: u64) -> Config {
    let dice = &mut Dice::new(seed ^ 0x7573_6572_7300_0000);
    let mut config = config;
    config.extended.enabled = !dice.once_in(4);
    config.close_session_txn = !dice.once_in(4);
    config.providers.super_digest = Some(generate(Algorithm::Sha1, SUPER).into());
    config.local_sessions = dice.once_in(4);
    config.read_only_after_ms =
        (config.local_sessions && dice.percent(60)).then(|| config.tick_ms * dice.within(1..=6));
    config.local_upgrade = !dice.once_in(4);
    config.container_check_ms = config.tick_ms * dice.within(1..=10);
    config.container_never_used_ms = if dice.once_in(3) {
        5 * config.tick_ms
    } else {
        0
    };
    config
}

impl Users {
    /// None has done anything.
    pub fn new(plan: &Plan) -> Users {
        let dice = &mut Dice::new(plan.seed ^ 0x776f_726b_0000_0000);
        let config = plan.config_of(1);
        let rules = Rules {
            extended: config.extended.enabled,
            enforce_quota: config.enforce_quota,
            super_user: Some(SUPER.into()),
            reconfig: config.reconfig_enabled,
            max_field: config.max_field,
            min_session_ms: config.min_session_ms,
            max_session_ms: config.max_session_ms,
        };
        let truth = Truth::new(rules.clone(), &config, plan.settings.observer_master);
        let workload = crate::plan::Plan {
            rules,
            config: config.into(),
            writes: plan.writes,
            malformed: *dice.pick(&[0, 0, 2]),
            watch: *dice.pick(&[0, 30, 80]),
            paths: *dice.pick(&[4, 8, 11]),
            ..crate::plan::Plan::by_hand()
        };
        Users {
            truth,
            links: BTreeMap::new(),
            workload,
            peace: Peace::default(),
        }
    }

    fn waiting(&self, conn: u64) -> usize {
        let link = self.links.get(&conn);
        link.map_or(0, |link| link.stream.waiting())
    }

    /// Whether nothing of a client is under way.
    pub fn is_idle(&self, user: &User) -> bool {
        user.client
            .conn
            .is_none_or(|conn| self.waiting(conn.0) == 0)
    }
}

impl World {
    /// A client of a whole server does something.
    pub(super) fn user(&mut self, number: usize) -> Result<(), String> {
        self.look_around();
        let client = &self.clients[number];
        let here = client.at.filter(|(place, life)| {
            let machine = &self.machines[*place];
            machine.life == *life && machine.process.is_some()
        });
        let Some((place, _)) = here else {
            return self.connect_user(number);
        };
        let user = &client.user;
        let Some(ConnId(conn)) = user.client.conn else {
            return self.connect_user(number);
        };
        let patience_us = i64::from(self.plan.session_ms) * 667;
        if self.now_us - user.heard_us > patience_us && self.users.waiting(conn) > 0 {
            return self.leave(number);
        }
        let takes = |world: &World| {
            let process = world.machines[place].process.as_ref();
            process.is_some_and(|process| process.core.takes_frames(conn))
        };
        if user.ending.is_some()
            || !user.client.open
            || self.machines[place].paused_us > self.now_us
            || !takes(self)
        {
            return Ok(());
        }
        if user.fresh {
            self.greet(number, place, conn)?;
            if !takes(self) {
                return Ok(());
            }
        }
        let working = self.clients[number].last == Last::Working;
        if working
            && let Some((place, conn)) = self.clients[number].user.ghost.take()
            && self.dice.percent(50)
        {
            // Something that was on its way for long.
            let process = self.machines[place].process.as_ref();
            if process.is_some_and(|process| process.core.takes_frames(conn))
                && self.machines[place].paused_us <= self.now_us
            {
                let (op, body) = self.last_request(number);
                self.clients[number].last = Last::Working;
                self.ask(number, place, conn, op, &body)?;
            }
            return Ok(());
        }
        if working && self.dice.once_in(LEAVES) {
            return self.leave(number);
        }
        let full = self.users.waiting(conn) >= self.plan.outstanding;
        let (op, body) = match self.clients[number].last {
            Last::Working if !full => {
                if self.phase == Phase::Faults {
                    self.ops += 1;
                }
                self.choose(number)
            }
            Last::Wanted if !full => self.last_request(number),
            Last::Working | Last::Wanted | Last::UnderWay(_) | Last::Done => {
                (OpCode::Ping.to_i32(), Vec::new())
            }
        };
        self.ask(number, place, conn, op, &body)
    }

    fn choose(&mut self, number: usize) -> (i32, Vec<u8>) {
        if self.dice.once_in(ENDS) {
            return (OpCode::CloseSession.to_i32(), Vec::new());
        }
        let request = Maker {
            dice: &mut self.dice,
            plan: &self.users.workload,
            client: &self.clients[number].user.client,
        }
        .request();
        if self.dice.once_in(12) || request.0 == OpCode::Reconfig.to_i32() {
            let path = Some("/".into());
            return (OpCode::Sync.to_i32(), PathRequest { path }.to_vec());
        }
        request
    }

    fn last_request(&mut self, number: usize) -> (i32, Vec<u8>) {
        let client = &mut self.clients[number];
        let xid = client.user.client.xid + 1;
        client.last = Last::UnderWay(xid);
        let request = CreateRequest {
            path: Some(format!("/last{number}-{xid}").into()),
            data: Some(b"last"),
            acl: open_acl(),
            flags: 0,
        };
        (OpCode::Create.to_i32(), request.to_vec())
    }

    /// On a new connection it says who it is, and which watches it had.
    fn greet(&mut self, number: usize, place: Place, conn: u64) -> Result<(), String> {
        let user = &mut self.clients[number].user;
        user.fresh = false;
        user.ending = None;
        if let Some(token) = user.token {
            let packet = AuthPacket {
                kind: 0,
                scheme: Some("digest".into()),
                auth: Some(token.as_bytes()),
            };
            self.ask(number, place, conn, OpCode::Auth.to_i32(), &packet.to_vec())?;
        }
        let user = &mut self.clients[number].user;
        let [data, child, persistent, recursive] = std::mem::take(&mut user.watches);
        if data.len() + child.len() + persistent.len() + recursive.len() == 0 {
            return Ok(());
        }
        // What it had not seen it waits for.
        let state = self.users.truth.state(user.client.last_zxid);
        let (data, exist) = data.into_iter().partition(|path| state.get(path).is_some());
        let list = |paths: Vec<String>| {
            let paths = paths.into_iter().map(|path| Some(path.into()));
            Some(paths.collect())
        };
        let request = SetWatches2 {
            relative_zxid: user.client.last_zxid,
            data: list(data),
            exist: list(exist),
            child: list(child),
            persistent: list(persistent),
            persistent_recursive: list(recursive),
        };
        self.coverage.note(coverage::SET_WATCHES);
        let op = OpCode::SetWatches2.to_i32();
        self.ask(number, place, conn, op, &request.to_vec())
    }

    fn ask(
        &mut self,
        number: usize,
        place: Place,
        conn: u64,
        op: i32,
        body: &[u8],
    ) -> Result<(), String> {
        let client = &mut self.clients[number].user.client;
        let xid = match OpCode::from_i32(op) {
            Some(OpCode::Ping) => xid::PING,
            Some(OpCode::Auth) => xid::AUTH,
            _ => client.next_xid(),
        };
        let frame = client::request(xid, op, body);
        if op == OpCode::CloseSession.to_i32() {
            self.clients[number].user.ending = Some(xid);
        }
        if op != OpCode::Ping.to_i32() {
            self.line(format_args!(
                "conn {conn} > {xid}: {}",
                OpCode::from_i32(op).map_or_else(|| op.to_string(), |op| op.to_string())
            ));
        }
        self.bring(place, conn, &frame)
    }

    /// A frame, with its length, reaches a server.
    fn bring(&mut self, place: Place, conn: u64, frame: &[u8]) -> Result<(), String> {
        let now = self.clock(place);
        let Some(process) = &mut self.machines[place].process else {
            return Ok(());
        };
        let users = &mut self.users;
        let Some(link) = users.links.get_mut(&conn) else {
            return Ok(());
        };
        let frame = &frame[4..];
        let served = process.core.served().0;
        let at = At {
            place,
            epoch: process.core.zab().status().epoch,
            leads: process.core.leads().is_some(),
        };
        let truth = &users.truth;
        let lives = |session| truth.lives(session, place, served);
        let was_new = link.stream.connecting().is_none();
        let rules = users.truth.rules().clone();
        let taken = link.stream.frame(frame, &rules, &lives, served)?;
        if was_new && let Some((session, timeout)) = link.stream.connecting() {
            users.truth.claims(conn, session, timeout);
            users.peace.heard.remove(&session.unwrap_or_default());
        }
        if let Some((session, _)) = link.stream.open()
            && link.user.is_some()
        {
            let heard = users.peace.heard.entry(session).or_default();
            heard.truncate(HEARD);
            heard.push_front(self.now_us);
        }
        if let Some(request) = taken
            && let Some((_, xid, expected)) = users.truth.submits(request, at)
        {
            link.stream.expect_of(xid, expected);
        }
        let mut effects = Vec::new();
        process.core.frame(now, conn, frame, &mut effects);
        self.carry_out(place, effects)
    }

    fn connect_user(&mut self, number: usize) -> Result<(), String> {
        self.lost(number);
        let fit: Vec<(Place, u64)> = self
            .machines
            .iter()
            .enumerate()
            .filter(|(_, machine)| {
                let process = machine.process.as_ref();
                machine.paused_us <= self.now_us
                    && process.is_some_and(|process| {
                        process.core.is_serving() || process.core.only_reads()
                    })
            })
            .map(|(place, machine)| (place, machine.life))
            .collect();
        if fit.is_empty() {
            return Ok(());
        }
        let at = *self.dice.pick(&fit);
        self.conns += 1;
        let conn = self.conns;
        let forgets = self.clients[number].last == Last::Working && self.dice.once_in(FORGETS);
        let read_only = *self.dice.pick(&[None, Some(false), Some(true), Some(true)]);
        let Some(process) = &mut self.machines[at.0].process else {
            return Ok(());
        };
        let client = &mut self.clients[number];
        client.at = Some(at);
        let user = &mut client.user;
        user.heard_us = self.now_us;
        user.ending = None;
        user.client.connecting(ConnId(conn));
        let session = user.client.session.map(|held| Held {
            password: if forgets { [7; 16] } else { held.password },
            ..held
        });
        let address = user.client.address.clone();
        let timeout_ms = self.plan.session_ms;
        let last_zxid = user.client.last_zxid;
        let mut stream = Stream::new(ConnId(conn), &address);
        if process.core.only_reads() {
            let state = self.users.truth.state(process.core.served().0);
            let global = session.is_some_and(|held| state.sessions.contains_key(&held.id));
            stream.only_reads(global);
        }
        let link = Link {
            place: at.0,
            user: Some(number),
            stream,
        };
        self.users.links.insert(conn, link);
        process.core.open(conn, &address);
        let id = session.map_or(0, |held| held.id);
        self.line(format_args!(
            "client {number} connects as {conn}, session 0x{id:x}, has seen 0x{last_zxid:x}"
        ));
        self.bring(
            at.0,
            conn,
            &handshake(session, timeout_ms, last_zxid, read_only),
        )
    }

    /// A client gives its connection up; the server hears of it, or not.
    fn leave(&mut self, number: usize) -> Result<(), String> {
        let client = &self.clients[number];
        let (Some((place, _)), Some(ConnId(conn))) = (client.at, client.user.client.conn) else {
            return Ok(());
        };
        self.line(format_args!("client {number} leaves {conn}"));
        self.coverage.note(coverage::LEFT);
        let heard = self.dice.percent(50);
        self.lost(number);
        if !heard {
            self.clients[number].user.ghost = Some((place, conn));
        } else {
            self.users.links.remove(&conn);
            if let Some(process) = &mut self.machines[place].process {
                process.core.hang_up(conn);
            }
        }
        Ok(())
    }

    /// A client has no connection any more. What was under way may be done or not.
    fn lost(&mut self, number: usize) {
        let client = &mut self.clients[number];
        client.at = None;
        if let Last::UnderWay(_) = client.last {
            client.last = Last::Wanted;
        }
        let Some(ConnId(conn)) = client.user.client.conn else {
            return;
        };
        client.user.client.lost();
        if let Some(link) = self.users.links.get_mut(&conn) {
            link.user = None;
            if client.user.client.session.is_some() {
                let own = |paths: Vec<&str>| paths.into_iter().map(Into::into).collect();
                client.user.watches = link.stream.watches().paths().map(own);
            }
            if link.stream.waits_for_writes() {
                self.coverage.note(coverage::MAYBE);
            }
        }
    }

    // What servers do.

    /// A server has applied something: the truth goes on along the committed path.
    pub(super) fn follow(&mut self) -> Result<(), String> {
        while let Some(entry) = self.judge.path.get(self.users.truth.known()) {
            let (entry, zxid) = (*entry, entry.0);
            let payload = self.archived(entry).unwrap_or_default();
            let answer = self.users.truth.commits(zxid, &payload)?;
            if let Some((conn, xid, expected)) = answer
                && let Some(link) = self.users.links.get_mut(&conn)
            {
                link.stream.expect_of(xid, expected);
            }
            self.note_seen();
        }
        Ok(())
    }

    fn note_seen(&mut self) {
        for seen in self.users.truth.seen.drain(..) {
            self.coverage.note(seen);
        }
    }

    /// A leader of whole servers proposes.
    pub(super) fn proposes(&mut self, payload: &[u8]) -> Result<(), String> {
        let Ok(header) = header_of(payload) else {
            return Ok(());
        };
        self.users.truth.proposes(&header);
        if header.op == OpCode::CloseSession.to_i32() && header.cxid == 0 {
            self.expires(header.client_id)?;
        }
        Ok(())
    }

    /// A leader ends a session. When nothing has gone wrong for long, its client was not heard of
    /// within its timeout, by the quickest clock; but for the last of it, which may not have come
    /// to the leader.
    fn expires(&mut self, session: i64) -> Result<(), String> {
        self.look_around();
        let now_us = self.now_us;
        let timeout_us = self.least_us();
        let word_us = WORD_TICKS * self.plan.settings.tick_ms * 1_000;
        let peace = &self.users.peace;
        let since_us = peace.since_us.max(now_us - timeout_us + 1);
        let heard = peace.heard.get(&session);
        let mut heard = heard.into_iter().flatten();
        if now_us > peace.since_us {
            self.coverage.note(coverage::EXPIRED_IN_PEACE);
        }
        if let Some(at_us) = heard.find(|at| (since_us..=now_us - word_us).contains(*at)) {
            return Err(format!(
                "session 0x{session:x} of {} ms is ended, whose client was heard of {} us ago",
                self.plan.session_ms,
                now_us - at_us
            ));
        }
        Ok(())
    }

    /// A session's timeout by the quickest clock.
    fn least_us(&self) -> i64 {
        i64::from(self.plan.session_ms) * 1_000 * 1_000 / (1_000 + self.plan.drift)
    }

    /// Whether something goes wrong that may keep a leader from hearing of clients. What it does
    /// to links is seen some ticks later.
    fn look_around(&mut self) {
        let leads = |machine: &Machine| machine.process.as_ref()?.core.leads();
        let leaders = self.machines.iter().enumerate();
        let leader = leaders.filter_map(|(place, machine)| Some((place, leads(machine)?)));
        let leader = leader.max_by_key(|(_, epoch)| *epoch);
        let paused_us = self.machines.iter().map(|machine| machine.paused_us).max();
        let peace = &mut self.users.peace;
        // What waits for a server that was paused waits on when the pause is cut short.
        peace.paused_us = peace.paused_us.max(paused_us.unwrap_or_default());
        let trouble = peace.paused_us > self.now_us
            || !self.net.blocked.is_empty()
            || peace.faults != self.faults
            || peace.leader != leader;
        if trouble {
            (peace.faults, peace.leader) = (self.faults, leader);
            let ticks = self.plan.settings.sync_limit + 2;
            peace.since_us = self.now_us + ticks * self.plan.settings.tick_ms * 1_000;
        }
    }

    fn served_by(&self, place: Place) -> Zxid {
        let process = self.machines[place].process.as_ref();
        process.map_or(Zxid::ZERO, |process| process.core.served())
    }

    /// A connection's handshake is answered. Returns whether it is one.
    pub(super) fn granted(
        &mut self,
        conn: u64,
        session: Option<(i64, i32)>,
    ) -> Result<bool, String> {
        let Some(place) = self.users.links.get(&conn).map(|link| link.place) else {
            return Ok(false);
        };
        let served = self.served_by(place).0;
        let users = &mut self.users;
        users.truth.applied = served;
        if let Some(link) = users.links.get_mut(&conn) {
            if let Some(asked) = link.stream.connecting() {
                let only_reads = link.stream.has_only_reads();
                users
                    .truth
                    .grants(conn, place, asked, session, only_reads)?;
                if session.is_some() && only_reads {
                    self.coverage.note(coverage::ONLY_READS);
                }
            }
            let grant = session.map(|(session, timeout_ms)| Grant {
                session: SessionId(session),
                timeout_ms,
            });
            link.stream.connected(grant, served)?;
        }
        self.note_seen();
        Ok(true)
    }

    /// A session is at another connection of a server, or nowhere.
    pub(super) fn let_go(
        &mut self,
        place: Place,
        session: i64,
        now: Option<u64>,
    ) -> Result<(), String> {
        let state = self.users.truth.state(self.served_by(place).0);
        let lives = state.sessions.contains_key(&session);
        if now.is_none() && self.users.truth.is_local_at(session, place) {
            self.look_around();
            let since_us = self
                .users
                .peace
                .since_us
                .max(self.now_us - self.least_us() + 1);
            let heard = self.users.peace.heard.get(&session);
            let last_us = heard.and_then(|heard| heard.front()).copied();
            let ends = self.clients.iter().any(|client| {
                let user = &client.user;
                user.ending.is_some() && user.client.session.is_some_and(|it| it.id == session)
            });
            ensure!(
                ends || last_us.is_none_or(|last_us| last_us < since_us),
                "the local session 0x{session:x} is ended, whose client was heard of at {last_us:?}"
            );
        }
        if !lives && now.is_none() {
            self.users.truth.forgets(session);
        }
        let truth = &self.users.truth;
        for (conn, link) in &mut self.users.links {
            if link.place == place && link.stream.is_of(session) && Some(*conn) != now {
                ensure!(
                    !lives || truth.is_contested(session, *conn),
                    "conn {conn} loses session {session:#x}, which nobody else has"
                );
                link.stream
                    .must_close("the session has another connection or is gone");
            }
        }
        Ok(())
    }

    /// A server has no clients any more.
    pub(super) fn all_gone(&mut self, place: Place) {
        for number in 0..self.clients.len() {
            if self.clients[number].at.is_some_and(|(at, _)| at == place) {
                self.lost(number);
            }
        }
        self.users.truth.forgets_all(place);
        let peace = &mut self.users.peace;
        self.users.links.retain(|_, link| {
            let stays = link.place != place;
            if !stays && let Some((session, _)) = link.stream.open() {
                peace.heard.remove(&session);
            }
            stays
        });
    }

    /// A connection has sent these bytes, and ends behind them, or not.
    pub(super) fn sent(&mut self, conn: u64, bytes: &[u8], closing: bool) -> Result<(), String> {
        self.trace.mix(bytes);
        let Some(mut link) = self.users.links.remove(&conn) else {
            return Err(format!("conn {conn} is gone, and sent {bytes:?}"));
        };
        let (now_us, trace) = (self.now_us, &mut self.trace);
        let (ms, us) = (now_us / 1_000, now_us % 1_000);
        let mut tell = |line: std::fmt::Arguments<'_>| {
            trace.line(format_args!("{ms:5}.{us:03} {line}"));
        };
        let process = self.machines[link.place].process.as_ref();
        let served = process
            .map_or(Zxid::ZERO, |process| process.core.served())
            .0;
        let truth = &mut self.users.truth;
        truth.applied = served;
        link.stream.output(bytes, truth, &mut tell)?;
        if link.stream.must_end().is_some() || !closing {
            link.stream.check_close(closing)?;
        } else {
            tell(format_args!("conn {conn} is ended"));
            let session = link.stream.open().map(|(session, _)| session);
            let gone = session.is_some_and(|session| {
                truth.is_contested(session, conn) || !truth.lives(session, link.place, served)
            });
            ensure!(gone, "conn {conn} is ended for no reason");
        }
        let user = link.user;
        self.users.links.insert(conn, link);
        self.note_seen();
        if let Some(number) = user {
            self.hears(number, bytes)?;
        }
        if closing {
            if let Some(number) = user {
                self.lost(number);
            }
            self.users.links.remove(&conn);
        }
        Ok(())
    }

    /// A client is sent whole frames.
    fn hears(&mut self, number: usize, bytes: &[u8]) -> Result<(), String> {
        let now_us = self.now_us;
        let client = &mut self.clients[number];
        client.user.heard_us = now_us;
        let was_open = client.user.client.open;
        let mut rest = bytes;
        while was_open && let Cut::Frame(range) = cut(rest, usize::MAX) {
            let end = range.end;
            let header = ReplyHeader::decode(&mut Reader::new(&rest[range]));
            let header = header.map_err(|error| error.to_string())?;
            let seen = client.user.client.last_zxid;
            ensure!(
                header.zxid <= 0 || header.zxid >= seen,
                "client {number} is told {:#x}, has seen {seen:#x}",
                header.zxid
            );
            if client.user.ending == Some(header.xid) {
                client.user.client.session = None;
            }
            if client.last == Last::UnderWay(header.xid) {
                client.last = match header.err {
                    NOT_READ_ONLY => Last::Wanted,
                    _ => Last::Done,
                };
            }
            rest = &rest[end..];
        }
        let had = client.user.client.session.is_some();
        client.user.client.receive(bytes);
        if !was_open && client.user.client.open {
            client.user.fresh = true;
            if !had {
                // Nothing of an earlier session goes on.
                client.user.watches = Default::default();
            }
        }
        Ok(())
    }

    /// Everything that a server has applied has been told to its clients.
    pub(super) fn all_told(&mut self, place: Place) -> Result<(), String> {
        self.users.truth.applied = self.served_by(place).0;
        let truth = &self.users.truth;
        for (conn, link) in &mut self.users.links {
            if link.place == place {
                let told = link.stream.all_told(truth);
                told.map_err(|what| format!("conn {conn}: {what}"))?;
            }
        }
        Ok(())
    }

    /// Nobody waits for anything.
    pub(super) fn all_answered(&mut self) -> Result<(), String> {
        for place in 0..self.machines.len() {
            self.users.truth.applied = self.served_by(place).0;
            let truth = &self.users.truth;
            for (conn, link) in &mut self.users.links {
                if link.place == place {
                    let rest = link.stream.at_rest(truth);
                    rest.map_err(|what| format!("conn {conn} waits at rest: {what}"))?;
                }
            }
        }
        Ok(())
    }
}
