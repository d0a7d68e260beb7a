//! Sessions that only their own server knows.

use super::*;

pub(super) fn with_local(mut server: Server, upgrade: bool) -> Server {
    let config = Config {
        local_sessions: true,
        local_upgrade: upgrade,
        ..(**server.node.config()).clone()
    };
    server.node.config = Arc::new(config);
    server
}

fn pair(upgrade: bool) -> (Server, Server) {
    let mut leader = with_local(Server::resting(1), upgrade);
    leader.lead(1);
    (leader, with_local(Server::learner(2), upgrade))
}

fn opened(server: &mut Server, conn: u64) -> SessionId {
    server.connect(conn);
    server.apply();
    server.session(conn)
}

#[test]
fn a_new_session_is_local_and_costs_no_transaction() {
    let (mut leader, mut learner) = pair(true);
    for server in [&mut leader, &mut learner] {
        let session = opened(server, 1);
        assert!(server.out.is_empty());
        assert!(server.tree.has_session(session) && !server.tree.has_global_session(session));
        server.request(1, session, 1, OpCode::CloseSession, Vec::new());
        server.apply();
        assert_eq!(errors(server, 1), [(1, 0)]);
        assert!(!server.tree.has_session(session));
        assert_eq!(server.posted.detached, [(session, Some(ConnId(1)))]);
        assert!(server.node.local_tracker().is_empty());
    }
}

#[test]
fn a_local_session_may_write() {
    let (mut leader, mut learner) = pair(true);
    let session = opened(&mut learner, 1);
    learner.request(1, session, 1, OpCode::Create, create("/a", 0));
    learner.request(1, session, 2, OpCode::CloseSession, Vec::new());
    learner.apply();
    assert!(learner.posted.replies.is_empty(), "the write is first");
    pump(&mut learner, &mut leader);
    assert_eq!(errors(&learner, 1), [(1, 0), (2, 0)]);
    assert!(leader.exists("/a"));
    let own = opened(&mut leader, 1);
    leader.request(1, own, 1, OpCode::Create, create("/b", 0));
    leader.settle();
    assert_eq!(errors(&leader, 1), [(1, 0)]);
}

#[test]
fn the_first_ephemeral_node_makes_it_everybodys() {
    let (mut leader, mut learner) = pair(true);
    let session = opened(&mut learner, 1);
    learner.request(1, session, 1, OpCode::Create, create("/a", 1));
    learner.request(1, session, 2, OpCode::Create, create("/b", 1));
    assert_eq!(learner.out.len(), 3, "one createSession");
    assert!(learner.tree.has_session(session));
    pump(&mut learner, &mut leader);
    assert_eq!(errors(&learner, 1), [(1, 0), (2, 0)]);
    for server in [&leader, &learner] {
        assert!(server.tree.has_global_session(session) && server.exists("/a"));
    }
    assert!(learner.node.local_tracker().is_empty());
    assert_eq!(learner.node.take_touches(), [(session.0, 10_000)]);
    // On the leader as well.
    let own = opened(&mut leader, 1);
    let mut multi = Vec::new();
    let request = CreateRequest {
        path: Some("/c".into()),
        data: None,
        acl: Some(crate::op::txn_acl(
            &[crate::acl::world(crate::acl::perm::ALL)].into(),
        )),
        flags: 1,
    };
    zk_wire::client::encode_multi(
        &[zk_wire::client::MultiOp::Create(OpCode::Create, request)],
        &mut multi,
    );
    leader.request(1, own, 1, OpCode::Multi, multi);
    let payloads = leader.settle();
    assert_eq!(payloads.len(), 2);
    assert_eq!(
        body(&payloads[0].1),
        TxnBody::CreateSession { timeout: 10_000 }
    );
    assert_eq!(from(&payloads[0].1), (own, 0));
    assert_eq!(errors(&leader, 1), [(1, 0)]);
    assert!(leader.tree.has_global_session(own));
    assert_eq!(leader.node.tracker().owner(own), Some(Owner::Me));
}

#[test]
fn without_upgrade_it_may_own_nothing() {
    let refused = Code::EphemeralOnLocalSession.to_i32();
    let (mut leader, mut learner) = pair(false);
    let session = opened(&mut learner, 1);
    learner.request(1, session, 1, OpCode::Create, create("/a", 1));
    assert!(learner.out.is_empty());
    learner.apply();
    assert_eq!(errors(&learner, 1), [(1, refused)]);
    let own = opened(&mut leader, 1);
    leader.request(1, own, 1, OpCode::Create, create("/a", 1));
    leader.settle();
    assert_eq!(errors(&leader, 1), [(1, refused)]);
    assert!(!leader.exists("/a"));
    // And what a leader is asked for one of another server.
    leader.ask(LINK, session, 2, OpCode::Create, create("/a", 1));
    let expired = TxnBody::Error {
        err: Code::SessionExpired.to_i32(),
    };
    assert_eq!(body(&leader.settle()[0].1), expired);
    // One with an id of the leader's own is no other server's.
    let of_leader = SessionId(1 << 56);
    leader.ask(LINK, of_leader, 2, OpCode::Create, create("/a", 0));
    assert_eq!(body(&leader.settle()[0].1), expired);
}

#[test]
fn its_own_server_expires_it() {
    let (_, mut learner) = pair(true);
    let session = opened(&mut learner, 1);
    learner.step(Input::Touched {
        session,
        at_ms: 5_000,
        timeout_ms: 10_000,
    });
    assert!(learner.node.take_touches().is_empty(), "no leader knows it");
    learner.now = at(14_000);
    learner.step(Input::Tick);
    assert!(!learner.node.can_apply());
    assert_eq!(learner.node.deadline_ms(), 18_000);
    learner.now = at(18_000);
    learner.step(Input::Tick);
    learner.apply();
    assert!(!learner.tree.has_session(session));
    assert_eq!(learner.posted.detached, [(session, None)]);
    assert!(learner.out.is_empty());
    // Heard of late, it is not the leader's either.
    learner.step(Input::Touched {
        session,
        at_ms: 17_000,
        timeout_ms: 10_000,
    });
    assert!(learner.node.take_touches().is_empty());
}

#[test]
fn it_may_change_its_connection_and_not_its_server() {
    let (mut leader, mut learner) = pair(true);
    let session = opened(&mut learner, 1);
    learner.reattach(2, session);
    learner.apply();
    assert_eq!(learner.session(2), session);
    assert_eq!(learner.posted.detached, [(session, Some(ConnId(2)))]);
    leader.reattach(3, session);
    leader.settle();
    assert_eq!(leader.posted.grants, [(ConnId(3), None)]);
    let own = opened(&mut leader, 4);
    leader.reattach(5, own);
    leader.settle();
    assert_eq!(leader.session(5), own);
    assert!(!leader.node.revalidate(leader.now, LINK, own, 10_000));
}

#[test]
fn it_ends_with_the_role() {
    let (_, mut learner) = pair(true);
    let session = opened(&mut learner, 1);
    learner.node.rest();
    learner.apply();
    assert!(!learner.tree.has_session(session));
    assert_eq!(learner.node.deadline_ms(), i64::MAX);
}

#[test]
fn a_read_only_server_has_nothing_else() {
    let mut server = with_local(Server::resting(3), false);
    server.node.read_only();
    let session = opened(&mut server, 1);
    assert_eq!(session.0 >> 56, 3);
    server.request(1, session, 1, OpCode::Create, create("/a", 0));
    server.apply();
    assert_eq!(errors(&server, 1), [(1, Code::NotReadOnly.to_i32())]);
    server.reattach(2, session);
    server.reattach(3, SessionId(9));
    server.apply();
    assert_eq!(server.session(2), session);
    assert_eq!(server.posted.grants[2], (ConnId(3), None));
    // One of everybody's goes on.
    let global = SessionId(0x0500_0000_0000_0001);
    server.tree.create_session(global, 10_000);
    server.reattach(4, global);
    server.apply();
    assert_eq!(server.session(4), global);
    server.request(2, session, 2, OpCode::CloseSession, Vec::new());
    server.apply();
    assert_eq!(errors(&server, 2), [(2, 0)]);
    assert!(server.out.is_empty() && !server.tree.has_session(session));
}

#[test]
fn a_read_only_server_ends_no_session_that_it_does_not_know() {
    let mut server = Server::resting(3);
    server.node.read_only();
    server.reattach(1, SessionId(0x0500_0000_0000_0001));
    server.apply();
    assert_eq!(
        server.posted.grants,
        [],
        "it may lag behind the one that made it"
    );
}
