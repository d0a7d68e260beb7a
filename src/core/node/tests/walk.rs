//! Three servers that do things in any order: clients ask and move, logs are synced late, leaders
//! come and go. What they agree on stays agreed, and nobody is answered twice or not at all.

use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::format;

use super::*;

const SERVERS: usize = 3;

/// A small generator, for the order of things must follow from a seed.
struct Dice(u64);

impl Dice {
    fn below(&mut self, n: usize) -> usize {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % n
    }
}

#[derive(Debug)]
enum Message {
    Proposal(Zxid, Bytes),
    Commit(Zxid),
    Synced,
    Validated(SessionId, bool),
    Ping,
}

#[derive(Debug)]
struct Client {
    server: usize,
    conn: ConnId,
    session: Option<SessionId>,
    cxid: i32,
}

struct World {
    dice: Dice,
    servers: Vec<Server>,
    logs: Vec<Vec<(Zxid, Bytes)>>,
    durable: Vec<Zxid>,
    leader: usize,
    epoch: u32,
    links: u64,
    /// What the leader says to each, and what each asks it.
    down: Vec<VecDeque<Message>>,
    up: Vec<VecDeque<Effect>>,
    link: Vec<LinkId>,
    clients: Vec<Client>,
    sessions: BTreeSet<SessionId>,
    conns: u64,
    asked: Vec<BTreeSet<(ConnId, i32)>>,
    acknowledged: BTreeMap<Zxid, Bytes>,
    seen: Vec<usize>,
    now: Now,
    writes: usize,
    moves: usize,
    lost: usize,
}

impl World {
    fn new(seed: u64) -> World {
        let local = seed % 3 == 2;
        let start = |id| match local {
            true => super::local::with_local(Server::resting(id), true),
            false => Server::resting(id),
        };
        let servers: Vec<Server> = (1..=SERVERS as u8).map(start).collect();
        let mut world = World {
            dice: Dice(seed),
            logs: servers.iter().map(|_| Vec::new()).collect(),
            durable: servers.iter().map(|_| Zxid::ZERO).collect(),
            down: servers.iter().map(|_| VecDeque::new()).collect(),
            up: servers.iter().map(|_| VecDeque::new()).collect(),
            link: servers.iter().map(|_| LinkId(0)).collect(),
            asked: servers.iter().map(|_| BTreeSet::new()).collect(),
            seen: servers.iter().map(|_| 0).collect(),
            servers,
            leader: 0,
            epoch: 0,
            links: 0,
            clients: Vec::new(),
            sessions: BTreeSet::new(),
            conns: 0,
            acknowledged: BTreeMap::new(),
            now: at(0),
            writes: 0,
            moves: 0,
            lost: 0,
        };
        world.elect();
        world
    }

    fn end(&self, at: usize) -> Zxid {
        self.logs[at].last().map_or(Zxid::ZERO, |(zxid, _)| *zxid)
    }

    /// All rest; the one with the longest log leads, and the others take its log over.
    fn elect(&mut self) {
        for server in 0..SERVERS {
            self.servers[server].node.rest();
            self.servers[server].out.clear();
            self.down[server].clear();
            self.up[server].clear();
            self.sync_log(server);
            self.apply(server, usize::MAX);
        }
        self.clients.clear();
        self.epoch += 1;
        let longest = (0..SERVERS).max_by_key(|at| (self.end(*at), *at));
        self.leader = longest.expect("a server");
        let history = self.logs[self.leader].clone();
        let end = self.end(self.leader);
        for at in 0..SERVERS {
            let common = self.logs[at]
                .iter()
                .zip(&history)
                .take_while(|(mine, its)| mine == its)
                .count();
            if common < self.logs[at].len() {
                self.logs[at].truncate(common);
                let cut = self.end(at);
                self.servers[at].node.cut(cut);
                self.durable[at] = cut;
            }
            self.logs[at] = history.clone();
            let known = self.servers[at].node.recorded();
            for (zxid, payload) in &history {
                if *zxid > known {
                    let recorded = self.servers[at].node.record(*zxid, payload.clone());
                    recorded.expect("a leader's history fits");
                }
            }
            self.sync_log(at);
            let server = &mut self.servers[at];
            server.node.committed(end, &mut server.out);
            self.apply(at, usize::MAX);
            let server = &mut self.servers[at];
            server.now = self.now;
            if at == self.leader {
                server.lead(self.epoch);
            } else {
                server.node.learn(false);
                self.links += 1;
                self.link[at] = LinkId(self.links);
            }
        }
        self.carry_out();
    }

    fn sync_log(&mut self, at: usize) {
        let end = self.end(at);
        if end > self.durable[at] {
            self.durable[at] = end;
            self.servers[at].step(Input::Durable(end));
        }
    }

    /// What is durable on most becomes certain.
    fn commit(&mut self) {
        let mut durable = self.durable.clone();
        durable.sort_unstable();
        let certain = durable[SERVERS / 2].min(self.durable[self.leader]);
        // One after the other: a sync's answer lies between two commits.
        while let Some(zxid) = self.uncommitted(certain) {
            for down in &mut self.down {
                down.push_back(Message::Commit(zxid));
            }
            let leader = &mut self.servers[self.leader];
            leader.node.committed(zxid, &mut leader.out);
            self.carry_out();
        }
    }

    fn uncommitted(&self, certain: Zxid) -> Option<Zxid> {
        let committed = self.servers[self.leader].node.marks().committed.0;
        let mut zxids = self.logs[self.leader].iter().map(|(zxid, _)| *zxid);
        zxids
            .find(|zxid| *zxid > committed)
            .filter(|zxid| *zxid <= certain)
    }

    fn carry_out(&mut self) {
        for at in 0..SERVERS {
            for effect in core::mem::take(&mut self.servers[at].out) {
                match effect {
                    Effect::Append { zxid, payload } => {
                        assert_eq!(at, self.leader);
                        self.logs[at].push((zxid, payload.clone()));
                        for down in &mut self.down {
                            down.push_back(Message::Proposal(zxid, payload.clone()));
                        }
                    }
                    Effect::SyncReply { link } => {
                        let to = self.link.iter().position(|of| *of == link);
                        self.down[to.expect("a link")].push_back(Message::Synced);
                    }
                    Effect::Forward { .. } | Effect::Revalidate { .. } => {
                        assert_ne!(at, self.leader);
                        self.up[at].push_back(effect);
                    }
                    Effect::Load(_) | Effect::Resign => panic!("{effect:?}"),
                }
            }
        }
        self.down[self.leader].clear();
    }

    fn hear(&mut self, at: usize) {
        let Some(message) = self.down[at].pop_front() else {
            return;
        };
        match message {
            Message::Proposal(zxid, payload) => {
                self.logs[at].push((zxid, payload.clone()));
                let recorded = self.servers[at].node.record(zxid, payload);
                recorded.expect("a proposal fits");
            }
            Message::Commit(zxid) => {
                let server = &mut self.servers[at];
                server.node.committed(zxid, &mut server.out);
            }
            Message::Synced => assert!(self.servers[at].node.synced()),
            Message::Validated(session, valid) => {
                assert!(self.servers[at].node.revalidated(session, valid));
            }
            Message::Ping => {
                let touches = self.servers[at].node.take_touches();
                let leader = &mut self.servers[self.leader];
                for (session, timeout_ms) in touches {
                    leader
                        .node
                        .touched(self.now, SessionId(session), timeout_ms);
                }
            }
        }
        self.carry_out();
    }

    fn ask(&mut self, at: usize) {
        let Some(effect) = self.up[at].pop_front() else {
            return;
        };
        let (link, now) = (self.link[at], self.now);
        let leader = &mut self.servers[self.leader];
        leader.now = now;
        match effect {
            Effect::Forward {
                session,
                cxid,
                op,
                body,
                ..
            } => leader.ask(link, session, cxid, op, body.to_vec()),
            Effect::Revalidate {
                session,
                timeout_ms,
            } => {
                let valid = leader.node.revalidate(now, link, session, timeout_ms);
                self.down[at].push_back(Message::Validated(session, valid));
            }
            other => panic!("{other:?}"),
        }
        self.carry_out();
    }

    fn apply(&mut self, at: usize, budget: usize) {
        let server = &mut self.servers[at];
        let before = server.tree.last_zxid();
        let applied = server.node.apply(
            &mut server.tree,
            &mut server.watches,
            &mut server.posted,
            budget,
        );
        assert!(applied.mismatches.is_empty(), "{applied:?}");
        assert!(applied.missing.is_none());
        let after = server.tree.last_zxid();
        for (zxid, payload) in &self.logs[at] {
            if *zxid > before && *zxid <= after {
                let agreed = self.acknowledged.entry(*zxid).or_insert(payload.clone());
                assert_eq!(agreed, payload, "two transactions {zxid} were applied");
            }
        }
        // Who was answered.
        for (conn, cxid, err) in &server.posted.replies[self.seen[at]..] {
            let awaited = self.asked[at].remove(&(*conn, *cxid));
            assert!(awaited, "{conn:?} hears of {cxid} again");
            let gone = [Code::ConnectionLoss, Code::SessionMoved].map(Code::to_i32);
            if gone.contains(err) {
                self.clients.retain(|client| client.conn != *conn);
                self.lost += 1;
                continue;
            }
            let earlier = self.asked[at].range((*conn, i32::MIN)..(*conn, *cxid));
            assert_eq!(earlier.count(), 0, "{conn:?} hears of {cxid} too early");
        }
        self.seen[at] = server.posted.replies.len();
        for (conn, grant) in server.posted.grants.drain(..) {
            let of = self.clients.iter().position(|client| client.conn == conn);
            match (of, grant) {
                (Some(of), Some(grant)) => {
                    self.clients[of].session = Some(grant.session);
                    self.sessions.insert(grant.session);
                }
                (Some(of), None) => drop(self.clients.swap_remove(of)),
                (None, _) => {}
            }
        }
        for (session, now) in server.posted.detached.drain(..) {
            self.clients.retain(|client| {
                client.server != at || client.session != Some(session) || now == Some(client.conn)
            });
        }
    }

    fn open(&mut self) {
        let server = self.dice.below(SERVERS);
        self.conns += 1;
        let conn = self.conns;
        let sessions: Vec<SessionId> = self.sessions.iter().copied().collect();
        self.servers[server].now = self.now;
        if sessions.is_empty() || self.dice.below(3) == 0 {
            self.servers[server].connect(conn);
        } else {
            let session = sessions[self.dice.below(sessions.len())];
            self.servers[server].reattach(conn, session);
            self.moves += 1;
        }
        self.clients.push(Client {
            server,
            conn: ConnId(conn),
            session: None,
            cxid: 0,
        });
        self.carry_out();
    }

    fn write(&mut self) {
        if self.clients.is_empty() {
            return;
        }
        let at = self.dice.below(self.clients.len());
        let path = format!("/n{}", self.dice.below(6));
        let flags = self.dice.below(4) as i32;
        let (op, body) = match self.dice.below(12) {
            0..4 => (OpCode::Create, create(&path, flags)),
            4..6 => (OpCode::Delete, delete(&path)),
            6..8 => {
                let request = SetDataRequest {
                    path: Some(path.into()),
                    data: Some(b"other"),
                    version: -1,
                };
                (OpCode::SetData, request.to_vec())
            }
            8 => (OpCode::SetData, Vec::from([1, 2])),
            9..11 => (OpCode::Sync, sync(&path)),
            _ => (OpCode::CloseSession, Vec::new()),
        };
        let client = &mut self.clients[at];
        let Some(session) = client.session else {
            return;
        };
        client.cxid += 1;
        let (server, conn, cxid) = (client.server, client.conn, client.cxid);
        self.asked[server].insert((conn, cxid));
        self.writes += 1;
        self.servers[server].now = self.now;
        self.servers[server].request(conn.0, session, cxid, op, body);
        if self.dice.below(3) == 0 {
            self.servers[server].step(Input::Touched {
                session,
                at_ms: self.now.mono_ms,
                timeout_ms: 10_000,
            });
        }
        self.carry_out();
    }

    fn go(&mut self) {
        let at = self.dice.below(SERVERS);
        match self.dice.below(40) {
            0..3 => self.open(),
            3..13 => self.write(),
            13..20 => self.hear(at),
            20..26 => self.ask(at),
            26..30 => self.sync_log(at),
            30..33 => self.commit(),
            33..38 => {
                let budget = 1 + self.dice.below(5);
                self.apply(at, budget);
            }
            38 => {
                self.now = at_ms(self.now.mono_ms + self.dice.below(800) as i64);
                let (leader, now) = (self.leader, self.now);
                for (at, down) in self.down.iter_mut().enumerate() {
                    if at != leader {
                        down.push_back(Message::Ping);
                    }
                }
                self.servers[leader].now = now;
                self.servers[leader].step(Input::Tick);
                self.carry_out();
            }
            _ => {
                if self.dice.below(30) == 0 {
                    self.elect();
                }
            }
        }
    }

    /// Until nothing is under way.
    fn settle(&mut self) {
        for _ in 0..10_000 {
            let idle = (0..SERVERS).all(|at| {
                self.down[at].is_empty()
                    && self.up[at].is_empty()
                    && self.durable[at] == self.end(at)
                    && self.servers[at].node.outstanding() == 0
            });
            if idle {
                return;
            }
            for at in 0..SERVERS {
                self.hear(at);
                self.ask(at);
                self.sync_log(at);
                self.commit();
                self.apply(at, usize::MAX);
            }
        }
        panic!("it does not come to rest");
    }

    fn compare(&self) {
        for server in &self.servers {
            let first = &self.servers[0].tree;
            assert_eq!(server.tree.digest(), first.digest());
            assert_eq!(server.tree.last_zxid(), first.last_zxid());
            assert!(server.tree.sessions().eq(first.sessions()));
        }
        for asked in &self.asked {
            assert!(asked.is_empty(), "never answered: {asked:?}");
        }
    }
}

fn at_ms(mono_ms: i64) -> Now {
    super::at(mono_ms)
}

#[test]
fn whatever_the_order_all_agree_and_everybody_is_answered_once() {
    let (mut writes, mut moves, mut lost, mut elections, mut agreed) = (0, 0, 0, 0, 0);
    for seed in 0..80 {
        let mut world = World::new(seed);
        for _ in 0..3_000 {
            world.go();
        }
        world.settle();
        world.compare();
        writes += world.writes;
        moves += world.moves;
        lost += world.lost;
        elections += world.epoch;
        agreed += world.acknowledged.len();
    }
    // Else little would be shown.
    assert!(writes > 10_000, "{writes} writes");
    assert!(moves > 1_000, "{moves} moves");
    assert!(lost > 100, "{lost} lost");
    assert!(elections > 120, "{elections} elections");
    assert!(agreed > 10_000, "{agreed} transactions");
}
