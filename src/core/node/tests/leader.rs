//! What a leader does for its own clients and for those of other servers.

use super::*;

#[test]
fn what_a_leader_has_not_committed_is_not_applied() {
    let mut leader = Server::leader(1, 5);
    leader.connect(1);
    let (zxid, _) = leader.appended()[0].clone();
    assert_eq!(zxid, Zxid((5 << 32) + 1));
    leader.step(Input::Durable(zxid));
    assert!(!leader.node.can_apply(), "durable, and not certain");
    leader.node.committed(zxid, &mut leader.out);
    leader.apply();
    assert_eq!(leader.tree.last_zxid(), zxid);
    assert_eq!(leader.posted.grants.len(), 1);
}

#[test]
fn an_established_leader_shows_its_epoch_before_any_transaction() {
    let leader = Server::leader(1, 5);
    assert_eq!(leader.tree.served_zxid(), Zxid(5 << 32));
    assert_eq!(leader.tree.last_zxid(), Zxid::ZERO);
    assert_eq!(leader.node.marks().served.0, Zxid(5 << 32));
    assert_eq!(leader.node.marks().applied.0, Zxid::ZERO);
}

#[test]
fn a_new_leader_closes_orphans_and_lets_sessions_live_their_timeout() {
    let mut old = Server::leader(1, 1);
    old.connect(1);
    old.settle();
    let session = old.session(1);
    old.request(1, session, 1, OpCode::Create, create("/e", 1));
    old.settle();
    old.node.rest();
    old.tree.create_session(SessionId(99), 4_000);
    old.tree.close_session(session);
    old.now = at(50_000);
    old.lead(2);
    let closed = old.settle();
    assert_eq!(closed.len(), 1);
    assert_eq!(from(&closed[0].1), (session, 0));
    assert!(!old.exists("/e"));
    // The other one lives from now on, whosever client it is.
    assert_eq!(old.node.tracker().owner(SessionId(99)), Some(Owner::None));
    old.now = at(54_000);
    old.step(Input::Tick);
    assert!(old.appended().is_empty());
    old.now = at(57_000);
    old.step(Input::Tick);
    assert_eq!(from(&old.appended()[0].1), (SessionId(99), 0));
}

#[test]
fn a_link_that_is_gone_is_answered_no_sync() {
    let mut leader = Server::leader(1, 1);
    leader.connect(1);
    leader.ask(LINK, SessionId(1), 1, OpCode::Sync, sync("/"));
    leader.ask(OTHER, SessionId(2), 1, OpCode::Sync, sync("/"));
    leader.node.unlinked(LINK);
    leader.settle();
    assert_eq!(leader.out, [Effect::SyncReply { link: OTHER }]);
}

#[test]
fn every_request_of_another_server_becomes_one_transaction() {
    let mut leader = Server::leader(1, 1);
    let session = SessionId(0x0200_0000_0000_0001);
    let timeout = 8_000_i32.to_vec();
    leader.ask(LINK, session, 0, OpCode::CreateSession, timeout);
    leader.ask(LINK, session, 1, OpCode::Create, create("/a", 1));
    leader.ask(LINK, session, 2, OpCode::SetData, Vec::from([1]));
    leader.ask(LINK, session, 3, OpCode::Check, sync("/a"));
    leader.ask(LINK, session, 4, OpCode::DeleteContainer, sync("/a"));
    leader.ask(LINK, session, 5, OpCode::CreateSession, Vec::new());
    leader.ask(LINK, SessionId(77), 1, OpCode::Create, create("/b", 0));
    leader.ask(LINK, session, 6, OpCode::CloseSession, Vec::new());
    leader.ask(LINK, session, 7, OpCode::Create, create("/c", 0));
    leader.ask(LINK, session, 0, OpCode::CreateSession, 8_000_i32.to_vec());
    let payloads = leader.settle();
    let error = |code: Code| TxnBody::Error { err: code.to_i32() };
    let froms: Vec<_> = payloads.iter().map(|(_, payload)| from(payload)).collect();
    let mut expected: Vec<_> = [0, 1, 2, 3, 4, 5].map(|cxid| (session, cxid)).into();
    expected.push((SessionId(77), 1));
    expected.extend([(session, 6), (session, 7), (session, 0)]);
    assert_eq!(froms, expected);
    let bodies: Vec<_> = payloads.iter().map(|(_, payload)| body(payload)).collect();
    assert_eq!(bodies[0], TxnBody::CreateSession { timeout: 8_000 });
    assert!(matches!(&bodies[1], TxnBody::Create { path: Some(path), .. } if path == "/a"));
    assert_eq!(bodies[2], error(Code::MarshallingError));
    assert_eq!(bodies[3], error(Code::Unimplemented));
    assert_eq!(bodies[4], error(Code::Unimplemented));
    assert_eq!(bodies[5], error(Code::MarshallingError));
    assert_eq!(bodies[6], error(Code::SessionExpired));
    assert!(matches!(&bodies[7], TxnBody::CloseSession { .. }));
    assert_eq!(bodies[8], error(Code::SessionExpired));
    assert_eq!(bodies[9], error(Code::SessionExpired), "it is being closed");
    let zxids: Vec<_> = payloads.iter().map(|(zxid, _)| zxid.0 & 0xFFFF).collect();
    assert_eq!(zxids, (1..=10).collect::<Vec<_>>());
}

#[test]
fn what_no_server_asks_is_not_taken() {
    let mut leader = Server::leader(1, 1);
    let mut learner = Server::learner(2);
    for (leads, op) in [
        (true, OpCode::GetData),
        (true, OpCode::Error),
        (false, OpCode::Create),
    ] {
        let server = if leads { &mut leader } else { &mut learner };
        let taken = server.node.request_from(
            &server.tree,
            at(0),
            LINK,
            (SessionId(1), 1),
            op,
            Bytes::new(),
            [].into(),
            &mut server.out,
        );
        assert!(!taken && server.out.is_empty());
    }
}

#[test]
fn a_session_that_moved_is_refused_where_it_was() {
    let moved = Code::SessionMoved.to_i32();
    let mut leader = Server::leader(1, 1);
    leader.connect(1);
    leader.settle();
    let session = leader.session(1);
    assert!(leader.node.revalidate(leader.now, LINK, session, 9_000));
    leader.apply();
    assert_eq!(leader.posted.detached, [(session, None)]);
    leader.request(1, session, 1, OpCode::Create, create("/a", 0));
    leader.ask(OTHER, session, 2, OpCode::Create, create("/b", 0));
    leader.ask(LINK, session, 3, OpCode::Create, create("/c", 0));
    // Back to the leader.
    leader.reattach(2, session);
    leader.ask(LINK, session, 4, OpCode::Create, create("/d", 0));
    leader.request(2, session, 5, OpCode::Create, create("/e", 0));
    // Whose it is does not matter to the end.
    leader.ask(OTHER, session, 6, OpCode::CloseSession, Vec::new());
    let payloads = leader.settle();
    let errors: Vec<_> = payloads
        .iter()
        .map(|(_, payload)| match body(payload) {
            TxnBody::Error { err } => err,
            _ => 0,
        })
        .collect();
    assert_eq!(errors, [moved, moved, 0, moved, 0, 0]);
    assert!(!leader.tree.has_session(session));
    assert!(!leader.node.revalidate(leader.now, LINK, session, 9_000));
    assert_eq!(leader.posted.replies[0], (ConnId(1), 1, moved));
}

#[test]
fn a_multi_of_a_session_that_moved_is_refused_as_a_whole() {
    let mut leader = Server::leader(1, 1);
    leader.connect(1);
    leader.settle();
    let session = leader.session(1);
    leader.node.revalidate(leader.now, LINK, session, 9_000);
    let mut multi = Vec::new();
    zk_wire::client::encode_multi(
        &[zk_wire::client::MultiOp::SetData(SetDataRequest {
            path: Some("/".into()),
            data: None,
            version: -1,
        })],
        &mut multi,
    );
    leader.request(1, session, 1, OpCode::Multi, multi);
    leader.settle();
    assert_eq!(errors(&leader, 1), [(1, Code::SessionMoved.to_i32())]);
}

/// However little may be done at once, nobody finds the tree or what goes to the store with a part
/// of a multi, or with its zxid without all of it (ZOOKEEPER-3127).
#[test]
fn a_multi_is_applied_in_one_piece() {
    let mut leader = Server::leader(1, 1);
    leader.connect(1);
    leader.settle();
    let session = leader.session(1);
    let paths = ["/a", "/b", "/c"];
    let ops: Vec<zk_wire::client::MultiOp<'_>> = paths
        .iter()
        .map(|path| {
            let request = CreateRequest {
                path: Some((*path).into()),
                data: None,
                acl: Some(crate::op::txn_acl(
                    &[crate::acl::world(crate::acl::perm::ALL)].into(),
                )),
                flags: 0,
            };
            zk_wire::client::MultiOp::Create(OpCode::Create, request)
        })
        .collect();
    let mut multi = Vec::new();
    zk_wire::client::encode_multi(&ops, &mut multi);
    leader.request(1, session, 1, OpCode::Multi, multi);
    let zxid = leader.appended()[0].0;
    leader.step(Input::Durable(zxid));
    leader.node.committed(zxid, &mut leader.out);
    leader.tree.drain_changes(&mut |_| {});
    let before = leader.tree.last_zxid();
    let mut turns = 0;
    while leader.node.can_apply() {
        let there = paths.iter().filter(|path| leader.exists(path)).count();
        assert_eq!((there, leader.tree.last_zxid()), (0, before));
        leader
            .node
            .apply(&mut leader.tree, &mut leader.watches, &mut leader.posted, 1);
        turns += 1;
    }
    assert_eq!(turns, 1);
    let mut changes = 0;
    let meta = leader.tree.drain_changes(&mut |_| changes += 1);
    assert_eq!(meta.zxid, zxid);
    assert!(
        changes > paths.len(),
        "the nodes and their parent: {changes}"
    );
}

#[test]
fn only_a_leader_expires_sessions() {
    let (mut leader, mut learner) = (Server::leader(1, 1), Server::learner(2));
    learner.connect(1);
    pump(&mut learner, &mut leader);
    learner.now = at(1_000_000);
    learner.step(Input::Tick);
    assert!(learner.out.is_empty());
    assert_eq!(learner.node.deadline_ms(), i64::MAX);
}

#[test]
fn a_leader_whose_counter_is_used_up_proposes_nothing_more() {
    let mut leader = Server::resting(1);
    leader.lead(1);
    leader.node.judge.issued = Zxid((1 << 32) + 0xFFFF_FFFD);
    leader.connect(1);
    assert_eq!(leader.appended()[0].0, Zxid((1 << 32) + 0xFFFF_FFFE));
    leader.connect(2);
    leader.connect(3);
    assert_eq!(leader.out, [Effect::Resign], "once, and nothing else");
}

#[test]
fn a_reconfiguration_is_a_write_of_the_configuration_node() {
    use zk_wire::quorum::config::QuorumConfig;
    let mut leader = Server::resting(1);
    let enabled = Config {
        reconfig_enabled: true,
        ..(**leader.node.config()).clone()
    };
    leader.node.config = Arc::new(enabled);
    leader.lead(1);
    leader.connect(1);
    leader.settle();
    let session = leader.session(1);
    let request = zk_wire::client::ReconfigRequest {
        joining: Some("server.3=c:1:2;5".into()),
        leaving: None,
        new_members: None,
        config_id: -1,
    };
    leader.request(1, session, 1, OpCode::Reconfig, request.to_vec());
    let lines = "server.1=a:1:2;5\nserver.2=b:1:2;5\nversion=7";
    let config = QuorumConfig::parse(lines, false).expect("a configuration");
    let membership = Membership {
        committed: 7,
        last_seen: Arc::new(config),
        synced: [1, 2].into(),
        standalone_enabled: true,
        multi_address: false,
    };
    leader.node.set_membership(Some(membership.clone()));
    // Nobody but an administrator may write the node.
    leader.request(1, session, 2, OpCode::Reconfig, request.to_vec());
    let open = [crate::acl::world(crate::acl::perm::ALL)].into();
    let config = "/zookeeper/config";
    leader.tree.set_acl(config, &open, 0).expect("set");
    leader.settle();
    leader.request(1, session, 3, OpCode::Reconfig, request.to_vec());
    // At once, before anybody could tell the membership.
    leader.request(1, session, 4, OpCode::Reconfig, request.to_vec());
    let payloads = leader.settle();
    let under_way = Code::ReconfigInProgress.to_i32();
    let refused = [Code::Unimplemented, Code::NoAuth].map(Code::to_i32);
    assert_eq!(
        errors(&leader, 1),
        [(1, refused[0]), (2, refused[1]), (3, 0), (4, under_way)]
    );
    let zxid = payloads[0].0;
    let text = zk_wire::txn::reconfig_text(&payloads[0].1).expect("a reconfiguration");
    let node = leader.tree.get(config).expect("resident").expect("a node");
    assert_eq!(node.data(), Some(text));
    let stat = node.stat();
    assert_eq!((stat.version, stat.mzxid), (-1, zxid.0));
    let text = core::str::from_utf8(text).expect("text");
    let next = QuorumConfig::parse(text, false).expect("a configuration");
    assert_eq!((next.version, next.members.len()), (zxid.0, 3));
    // Under way until it is in force.
    let last_seen = Arc::new(next);
    leader.node.set_membership(Some(Membership {
        last_seen,
        ..membership
    }));
    leader.request(1, session, 5, OpCode::Reconfig, request.to_vec());
    leader.settle();
    assert_eq!(errors(&leader, 1)[4], (5, under_way));
}
