//! What each role does with what comes from clients and from other servers.

use alloc::vec::Vec;

use jute::Encode;
use zk_wire::client::{CreateRequest, DeleteRequest, PathRequest, SetDataRequest};
use zk_wire::txn::TxnBody;
use zk_wire::{Code, OpCode};

use super::*;
use crate::ids::ConnId;
use crate::io::{Grant, Reply};
use crate::tree::{Lookup, Need, Row};
use crate::watch::Event;

mod leader;
mod learner;
mod local;
mod odd;
mod walk;

const LINK: LinkId = LinkId(7);
const OTHER: LinkId = LinkId(8);

#[derive(Debug, Default)]
struct Posted {
    replies: Vec<(ConnId, i32, i32)>,
    grants: Vec<(ConnId, Option<Grant>)>,
    detached: Vec<(SessionId, Option<ConnId>)>,
}

impl Post for Posted {
    fn before_write(&mut self, _: &Tree, _: &mut Watches, _: ConnId) -> Result<(), Need> {
        Ok(())
    }
    fn event(&mut self, _: ConnId, _: Zxid, _: Event, _: &str) {}
    fn done(&mut self, conn: ConnId, cxid: i32, reply: &Reply<'_>) {
        self.replies.push((conn, cxid, reply.err));
    }
    fn connected(&mut self, conn: ConnId, grant: Option<Grant>) {
        self.grants.push((conn, grant));
    }
    fn detach(&mut self, session: SessionId, now: Option<ConnId>) {
        self.detached.push((session, now));
    }
}

struct Server {
    node: Node,
    tree: Tree,
    watches: Watches,
    posted: Posted,
    out: Vec<Effect>,
    now: Now,
}

fn at(mono_ms: i64) -> Now {
    Now {
        mono_ms,
        wall_ms: 1_700_000_000_000 + mono_ms,
    }
}

fn config(server_id: u8) -> Arc<Config> {
    Arc::new(Config {
        server_id,
        ..Config::default()
    })
}

impl Server {
    fn resting(server_id: u8) -> Server {
        let config = config(server_id);
        Server::over(Tree::new(config.extended, 1), server_id)
    }

    fn over(tree: Tree, server_id: u8) -> Server {
        let last = tree.last_zxid();
        Server {
            node: Node::resting(config(server_id), &tree, last, last, at(0)),
            tree,
            watches: Watches::default(),
            posted: Posted::default(),
            out: Vec::new(),
            now: at(0),
        }
    }

    fn learner(server_id: u8) -> Server {
        let mut server = Server::resting(server_id);
        server.node.learn(false);
        server
    }

    fn leader(server_id: u8, epoch: u32) -> Server {
        let mut server = Server::resting(server_id);
        server.lead(epoch);
        server
    }

    fn lead(&mut self, epoch: u32) {
        self.node.lead(&self.tree, epoch, self.now, &mut self.out);
        self.apply();
    }

    fn step(&mut self, input: Input) {
        self.node.step(&self.tree, self.now, input, &mut self.out);
    }

    fn apply(&mut self) -> Applied {
        let applied = self.node.apply(
            &mut self.tree,
            &mut self.watches,
            &mut self.posted,
            usize::MAX,
        );
        assert!(applied.mismatches.is_empty(), "{applied:?}");
        applied
    }

    fn request(&mut self, conn: u64, session: SessionId, cxid: i32, op: OpCode, body: Vec<u8>) {
        self.step(Input::Submit(Submit::Request {
            origin: Origin {
                conn: ConnId(conn),
                session,
                cxid,
                ids: [].into(),
            },
            op,
            body: body.into(),
        }));
    }

    fn connect(&mut self, conn: u64) {
        self.step(Input::Submit(Submit::Connect {
            conn: ConnId(conn),
            timeout_ms: 10_000,
        }));
    }

    fn reattach(&mut self, conn: u64, session: SessionId) {
        self.step(Input::Submit(Submit::Reattach {
            conn: ConnId(conn),
            session,
            timeout_ms: 10_000,
        }));
    }

    /// What another server asks; on a leader.
    fn ask(&mut self, link: LinkId, session: SessionId, cxid: i32, op: OpCode, body: Vec<u8>) {
        let ids: Ids = [].into();
        let taken = self.node.request_from(
            &self.tree,
            self.now,
            link,
            (session, cxid),
            op,
            body.into(),
            ids,
            &mut self.out,
        );
        assert!(taken, "{op:?} is not taken");
    }

    fn appended(&mut self) -> Vec<(Zxid, Bytes)> {
        let mut appended = Vec::new();
        self.out.retain(|effect| match effect {
            Effect::Append { zxid, payload } => {
                appended.push((*zxid, payload.clone()));
                false
            }
            _ => true,
        });
        appended
    }

    /// Everything issued is durable, certain and applied. Returns it.
    fn settle(&mut self) -> Vec<(Zxid, Bytes)> {
        let appended = self.appended();
        if let Some((zxid, _)) = appended.last() {
            self.step(Input::Durable(*zxid));
            self.node.committed(*zxid, &mut self.out);
        }
        self.apply();
        appended
    }

    /// Transactions of a leader, durable and certain here.
    fn follow(&mut self, payloads: &[(Zxid, Bytes)]) {
        for (zxid, payload) in payloads {
            self.node.record(*zxid, payload.clone()).expect("recorded");
            self.step(Input::Durable(*zxid));
            self.node.committed(*zxid, &mut self.out);
        }
        self.apply();
    }

    fn exists(&self, path: &str) -> bool {
        matches!(self.tree.find(path), Lookup::Found(_))
    }

    fn session(&self, conn: u64) -> SessionId {
        let granted = |(of, grant): &(ConnId, Option<Grant>)| {
            grant.filter(|_| *of == ConnId(conn)).map(|g| g.session)
        };
        self.posted
            .grants
            .iter()
            .find_map(granted)
            .expect("a grant")
    }
}

fn create(path: &str, flags: i32) -> Vec<u8> {
    CreateRequest {
        path: Some(path.into()),
        data: Some(b"x"),
        acl: Some(crate::op::txn_acl(
            &[crate::acl::world(crate::acl::perm::ALL)].into(),
        )),
        flags,
    }
    .to_vec()
}

fn delete(path: &str) -> Vec<u8> {
    DeleteRequest {
        path: Some(path.into()),
        version: -1,
    }
    .to_vec()
}

fn sync(path: &str) -> Vec<u8> {
    PathRequest {
        path: Some(path.into()),
    }
    .to_vec()
}

fn body(payload: &[u8]) -> TxnBody<'_> {
    Txn::decode(&mut Reader::new(payload))
        .expect("a transaction")
        .body
}

fn from(payload: &[u8]) -> (SessionId, i32) {
    let txn = Txn::decode(&mut Reader::new(payload)).expect("a transaction");
    (SessionId(txn.header.client_id), txn.header.cxid)
}

/// Hands what a learner asks to its leader, and the answers back.
fn pump(learner: &mut Server, leader: &mut Server) {
    for effect in core::mem::take(&mut learner.out) {
        match effect {
            Effect::Forward {
                session,
                cxid,
                op,
                body,
                ..
            } => leader.ask(LINK, session, cxid, op, body.to_vec()),
            Effect::Revalidate {
                session,
                timeout_ms,
            } => {
                let valid = leader
                    .node
                    .revalidate(leader.now, LINK, session, timeout_ms);
                learner.node.revalidated(session, valid);
            }
            other => panic!("{other:?} of a learner"),
        }
    }
    let payloads = leader.settle();
    learner.follow(&payloads);
    for effect in core::mem::take(&mut leader.out) {
        match effect {
            Effect::SyncReply { link } => {
                assert_eq!(link, LINK);
                assert!(learner.node.synced());
            }
            other => panic!("{other:?} of a leader"),
        }
    }
    learner.apply();
    assert_eq!(learner.tree.digest(), leader.tree.digest());
}

fn errors(server: &Server, conn: u64) -> Vec<(i32, i32)> {
    let of = |(of, cxid, err): &(ConnId, i32, i32)| (*of == ConnId(conn)).then_some((*cxid, *err));
    server.posted.replies.iter().filter_map(of).collect()
}

#[test]
fn rest_keeps_what_is_certain_and_loses_who_asked() {
    let (mut leader, mut learner) = (Server::leader(1, 1), Server::learner(2));
    learner.connect(1);
    leader.connect(9);
    pump(&mut learner, &mut leader);
    let (mine, other) = (learner.session(1), leader.session(9));
    learner.request(1, mine, 1, OpCode::Create, create("/certain", 0));
    learner.request(1, mine, 2, OpCode::Create, create("/proposed", 0));
    learner.request(1, mine, 3, OpCode::Sync, sync("/"));
    for effect in core::mem::take(&mut learner.out) {
        if let Effect::Forward {
            session,
            cxid,
            op,
            body,
            ..
        } = effect
        {
            leader.ask(LINK, session, cxid, op, body.to_vec());
        }
    }
    leader.request(9, other, 1, OpCode::Create, create("/mine", 0));
    let payloads = leader.appended();
    let certain = payloads[0].0;
    let end = payloads[2].0;
    leader.step(Input::Durable(end));
    leader.node.committed(certain, &mut leader.out);
    for (zxid, payload) in &payloads {
        learner.node.record(*zxid, payload.clone()).expect("fits");
    }
    learner.node.committed(certain, &mut learner.out);
    let lost = Code::ConnectionLoss.to_i32();
    for server in [&mut leader, &mut learner] {
        server.node.rest();
        server.apply();
    }
    assert_eq!(errors(&leader, 9), [(1, lost)]);
    assert!(leader.exists("/certain") && !leader.exists("/proposed"));
    // Not durable yet on the learner; and what comes late is lost as well.
    assert!(!learner.exists("/certain"));
    learner.request(1, mine, 4, OpCode::Create, create("/late", 0));
    learner.step(Input::Durable(end));
    learner.apply();
    assert!(learner.exists("/certain") && !learner.exists("/proposed"));
    let mut told = errors(&learner, 1);
    told.sort_unstable();
    assert_eq!(told, [(1, lost), (2, lost), (3, lost), (4, lost)]);
    // The log has the rest: it comes back, and the next leader is this one.
    for (zxid, payload) in &payloads[1..] {
        learner.node.record(*zxid, payload.clone()).expect("fits");
    }
    learner.node.committed(end, &mut learner.out);
    learner.apply();
    assert!(learner.exists("/proposed") && learner.exists("/mine"));
    learner.lead(2);
    assert_eq!(learner.node.issued(), Zxid(2 << 32));
}

#[test]
fn what_was_cut_is_gone() {
    let mut leader = Server::leader(1, 1);
    leader.connect(1);
    leader.connect(2);
    let payloads = leader.appended();
    let mut learner = Server::learner(2);
    for (zxid, payload) in &payloads {
        learner.node.record(*zxid, payload.clone()).expect("fits");
    }
    learner.step(Input::Durable(payloads[1].0));
    learner.node.committed(payloads[0].0, &mut Vec::new());
    learner.node.rest();
    learner.node.cut(payloads[0].0);
    assert_eq!(learner.node.marks().history_end.0, payloads[0].0);
    learner.apply();
    assert_eq!(learner.tree.last_zxid(), payloads[0].0);
}

#[test]
fn bytes_that_are_no_transaction_are_not_recorded() {
    let mut leader = Server::leader(1, 1);
    leader.connect(1);
    let (zxid, payload) = leader.appended()[0].clone();
    let mut learner = Server::learner(2);
    for cut in 0..payload.len() - 17 {
        let result = learner.node.record(zxid, payload.slice(..cut));
        assert!(matches!(result, Err(Unfit::Undecodable(_))), "{cut}");
    }
    let wrong = Zxid(zxid.0 + 1);
    let result = learner.node.record(wrong, payload.clone());
    assert_eq!(result, Err(Unfit::Zxid(zxid)));
    assert_eq!(learner.node.record(zxid, payload.clone()), Ok(()));
    assert_eq!(learner.node.record(zxid, payload), Err(Unfit::Order(zxid)));
}

#[test]
fn a_tree_that_was_replaced_begins_anew() {
    let (mut leader, mut learner) = (Server::leader(1, 1), Server::learner(2));
    leader.connect(9);
    let payloads = leader.settle();
    learner.connect(1);
    learner.node.rest();
    learner
        .node
        .record(payloads[0].0, payloads[0].1.clone())
        .expect("fits");
    let end = leader.tree.last_zxid();
    learner.tree = Tree::new(config(2).extended, 3);
    learner.tree.set_last_zxid(end);
    learner.node.replaced(&learner.tree, end, end, at(1));
    let marks = learner.node.marks();
    assert_eq!((marks.applied.0, marks.history_end.0), (end, end));
    assert_eq!(learner.node.recorded(), end);
    assert!(!learner.node.can_apply());
}
