//! What a learner asks its leader, and when its clients hear of it.

use super::*;

#[test]
fn what_is_not_durable_here_is_not_applied_though_it_is_certain() {
    let mut leader = Server::leader(1, 5);
    leader.connect(1);
    let payloads = leader.settle();
    let mut learner = Server::learner(2);
    let (zxid, payload) = payloads[0].clone();
    learner.node.record(zxid, payload).expect("recorded");
    learner.node.committed(zxid, &mut Vec::new());
    assert!(!learner.node.can_apply());
    learner.step(Input::Durable(zxid));
    learner.apply();
    assert!(learner.tree.has_session(leader.session(1)));
}

#[test]
fn a_learners_writes_are_its_leaders_transactions() {
    let (mut leader, mut learner) = (Server::leader(1, 1), Server::learner(2));
    learner.connect(1);
    pump(&mut learner, &mut leader);
    let session = learner.session(1);
    assert_eq!(
        session.0 >> 56,
        2,
        "an id of the server that it connected to"
    );
    learner.request(1, session, 1, OpCode::Create, create("/a", 1));
    learner.request(1, session, 2, OpCode::Create, create("/a", 0));
    learner.request(1, session, 3, OpCode::Delete, delete("/none"));
    assert!(learner.posted.replies.is_empty());
    pump(&mut learner, &mut leader);
    assert_eq!(
        errors(&learner, 1),
        [
            (1, 0),
            (2, Code::NodeExists.to_i32()),
            (3, Code::NoNode.to_i32())
        ]
    );
    assert!(leader.posted.replies.is_empty());
    learner.request(1, session, 4, OpCode::CloseSession, Vec::new());
    pump(&mut learner, &mut leader);
    assert_eq!(errors(&learner, 1)[3], (4, 0));
    assert_eq!(learner.posted.detached, [(session, Some(ConnId(1)))]);
    assert!(!learner.tree.has_session(session) && !learner.exists("/a"));
    assert_eq!(leader.node.tracker().len(), 0);
    assert_eq!(learner.node.outstanding(), 0);
}

#[test]
fn a_body_that_cannot_be_decoded_is_answered_in_its_place_and_never_forwarded() {
    let (mut leader, mut learner) = (Server::leader(1, 1), Server::learner(2));
    learner.connect(1);
    pump(&mut learner, &mut leader);
    let session = learner.session(1);
    let bad = Code::MarshallingError.to_i32();
    learner.request(1, session, 1, OpCode::Create, create("/a", 0));
    learner.request(1, session, 2, OpCode::SetData, Vec::from([0, 0]));
    learner.request(1, session, 3, OpCode::Sync, Vec::new());
    learner.request(1, session, 4, OpCode::Create, create("/b", 0));
    learner.apply();
    assert!(learner.posted.replies.is_empty(), "the first has no answer");
    assert_eq!(learner.out.len(), 2);
    pump(&mut learner, &mut leader);
    assert_eq!(errors(&learner, 1), [(1, 0), (2, bad), (3, bad), (4, 0)]);
    learner.request(1, session, 5, OpCode::Delete, Vec::new());
    assert!(learner.out.is_empty() && learner.node.can_apply());
    learner.apply();
    assert_eq!(errors(&learner, 1)[4], (5, bad));
}

#[test]
fn a_multi_that_is_refused_costs_a_zxid_and_one_without_lists_is_not_forwarded() {
    let mut learner = Server::learner(2);
    let session = SessionId(5);
    let mut refused = Vec::new();
    zk_wire::client::encode_multi(
        &[zk_wire::client::MultiOp::Delete(DeleteRequest {
            path: None,
            version: 0,
        })],
        &mut refused,
    );
    learner.request(1, session, 1, OpCode::Multi, refused);
    assert_eq!(learner.out.len(), 1);
    let mut undecodable = Vec::new();
    let request = CreateRequest {
        path: Some("/a".into()),
        data: None,
        acl: None,
        flags: 0,
    };
    zk_wire::client::encode_multi(
        &[zk_wire::client::MultiOp::Create(OpCode::Create, request)],
        &mut undecodable,
    );
    learner.request(1, session, 2, OpCode::Multi, undecodable);
    assert_eq!(learner.out.len(), 1);
}

#[test]
fn a_transaction_is_a_learners_own_only_at_the_head() {
    let (mut leader, mut learner) = (Server::leader(1, 1), Server::learner(2));
    learner.connect(1);
    pump(&mut learner, &mut leader);
    let session = learner.session(1);
    learner.request(1, session, 1, OpCode::Create, create("/a", 0));
    learner.request(1, session, 2, OpCode::Create, create("/b", 0));
    // Somebody else's for the same session, with the cxid of the second.
    leader.ask(LINK, session, 2, OpCode::Create, create("/else", 0));
    let payloads = leader.settle();
    learner.follow(&payloads);
    assert!(learner.exists("/else"));
    assert!(learner.posted.replies.is_empty());
    pump(&mut learner, &mut leader);
    assert_eq!(errors(&learner, 1), [(1, 0), (2, 0)]);
}

#[test]
fn a_sync_is_answered_behind_what_was_committed_before() {
    let (mut leader, mut learner) = (Server::leader(1, 1), Server::learner(2));
    learner.connect(1);
    leader.connect(9);
    pump(&mut learner, &mut leader);
    let (mine, other) = (learner.session(1), leader.session(9));
    // Nothing is outstanding: at once.
    learner.request(1, mine, 1, OpCode::Sync, sync("/"));
    pump(&mut learner, &mut leader);
    assert_eq!(errors(&learner, 1), [(1, 0)]);
    // Behind a write of somebody else.
    leader.request(9, other, 1, OpCode::Create, create("/late", 0));
    leader.ask(LINK, mine, 2, OpCode::Sync, sync("/"));
    assert!(
        !leader.out.contains(&Effect::SyncReply { link: LINK }),
        "the write is not committed"
    );
    let payloads = leader.settle();
    assert_eq!(leader.out, [Effect::SyncReply { link: LINK }]);
    leader.out.clear();
    learner.request(1, mine, 2, OpCode::Sync, sync("/"));
    learner.out.clear();
    let (zxid, payload) = payloads[0].clone();
    learner.node.record(zxid, payload).expect("recorded");
    learner.node.committed(zxid, &mut Vec::new());
    assert!(learner.node.synced());
    learner.apply();
    assert_eq!(
        errors(&learner, 1).len(),
        1,
        "the write is not durable here"
    );
    learner.step(Input::Durable(zxid));
    learner.apply();
    assert!(learner.exists("/late"));
    assert_eq!(errors(&learner, 1), [(1, 0), (2, 0)]);
    assert!(!learner.node.synced(), "nobody waits");
}

#[test]
fn a_sync_waits_for_what_is_committed_and_still_read_from_the_log() {
    let (mut leader, mut learner) = (Server::leader(1, 1), Server::learner(2));
    learner.connect(1);
    leader.connect(9);
    pump(&mut learner, &mut leader);
    let (mine, other) = (learner.session(1), leader.session(9));
    leader.request(9, other, 1, OpCode::Create, create("/late", 0));
    let (zxid, payload) = leader.settle()[0].clone();
    learner.request(1, mine, 1, OpCode::Sync, sync("/"));
    learner.out.clear();
    // The commit is here, and the record is not yet.
    learner.node.committed(zxid, &mut Vec::new());
    assert!(learner.node.synced());
    learner.apply();
    assert_eq!(errors(&learner, 1), [], "its tree is older");
    learner.node.record(zxid, payload).expect("recorded");
    learner.step(Input::Durable(zxid));
    learner.apply();
    assert!(learner.exists("/late"));
    assert_eq!(errors(&learner, 1), [(1, 0)]);
}

#[test]
fn a_proposal_that_is_not_certain_does_not_hold_a_syncs_answer_up() {
    let (mut leader, mut learner) = (Server::leader(1, 1), Server::learner(2));
    learner.connect(1);
    leader.connect(9);
    pump(&mut learner, &mut leader);
    let (mine, other) = (learner.session(1), leader.session(9));
    learner.request(1, mine, 1, OpCode::Sync, sync("/"));
    learner.out.clear();
    leader.request(9, other, 1, OpCode::Create, create("/proposed", 0));
    let (zxid, payload) = leader.appended()[0].clone();
    learner.node.record(zxid, payload).expect("recorded");
    learner.step(Input::Durable(zxid));
    assert!(learner.node.synced());
    learner.apply();
    assert_eq!(errors(&learner, 1), [(1, 0)]);
    assert!(!learner.exists("/proposed"));
}

#[test]
fn a_session_comes_to_a_learner_when_the_leader_knows_it() {
    let (mut leader, mut learner) = (Server::leader(1, 1), Server::learner(2));
    leader.connect(9);
    pump(&mut learner, &mut leader);
    let session = leader.session(9);
    learner.reattach(1, session);
    learner.reattach(2, SessionId(5));
    assert!(learner.posted.grants.is_empty());
    pump(&mut learner, &mut leader);
    let grant = Grant {
        session,
        timeout_ms: 10_000,
    };
    assert_eq!(
        learner.posted.grants,
        [(ConnId(1), Some(grant)), (ConnId(2), None)]
    );
    assert_eq!(learner.posted.detached, [(session, Some(ConnId(1)))]);
    assert_eq!(
        leader.node.tracker().owner(session),
        Some(Owner::Link(LINK))
    );
    assert!(!learner.node.revalidated(session, true), "nobody asked");
}

#[test]
fn a_session_that_is_not_here_yet_is_waited_for() {
    let (mut leader, mut learner) = (Server::leader(1, 1), Server::learner(2));
    leader.connect(9);
    let payloads = leader.settle();
    let session = leader.session(9);
    learner.reattach(1, session);
    assert!(learner.node.revalidated(session, true));
    learner.apply();
    assert!(learner.posted.grants.is_empty());
    learner.follow(&payloads);
    assert_eq!(learner.session(1), session);
}

#[test]
fn a_learner_tells_whom_it_heard_of_once() {
    let (mut leader, mut learner) = (Server::leader(1, 1), Server::learner(2));
    learner.connect(1);
    pump(&mut learner, &mut leader);
    let session = learner.session(1);
    assert_eq!(
        learner.node.take_touches(),
        [(session.0, 10_000)],
        "it is new"
    );
    assert!(learner.node.take_touches().is_empty());
    learner.step(Input::Touched {
        session,
        at_ms: 5,
        timeout_ms: 7_000,
    });
    let touches = learner.node.take_touches();
    assert_eq!(touches, [(session.0, 7_000)]);
    // It would have expired by 12,000.
    leader.now = at(8_000);
    leader.node.touched(leader.now, session, 7_000);
    leader.now = at(14_000);
    leader.step(Input::Tick);
    assert!(leader.appended().is_empty());
    leader.now = at(18_000);
    leader.step(Input::Tick);
    assert_eq!(leader.appended().len(), 1);
}

#[test]
fn a_learner_loads_what_a_transaction_names() {
    let mut leader = Server::leader(1, 1);
    leader.connect(1);
    leader.settle();
    let session = leader.session(1);
    leader.request(1, session, 1, OpCode::Create, create("/a", 0));
    leader.settle();
    let meta = leader.tree.meta();
    let mut partial = Tree::partial(config(2).extended, 1, meta);
    partial.restore_session(session, 10_000);
    let mut learner = Server::over(partial, 2);
    learner.node.learn(false);
    leader.request(1, session, 2, OpCode::Create, create("/a/b", 0));
    let (zxid, payload) = leader.settle()[0].clone();
    learner.node.record(zxid, payload).expect("fits");
    learner.step(Input::Durable(zxid));
    learner.node.committed(zxid, &mut Vec::new());
    let mut asked = Vec::new();
    while let Some(need) = learner.apply().missing {
        assert!(asked.len() < 10, "asked for {asked:?}");
        let Need::Node(path) = &need else {
            panic!("{need:?}")
        };
        for above in learner.tree.missing_above(path) {
            match leader.tree.find(&above) {
                // The row as it was before.
                Lookup::Found(node) if &*above != "/a/b" => {
                    let mut stat = node.stat();
                    let mut children = node.child_count();
                    if &*above == "/a" {
                        (stat.cversion, stat.pzxid, children) = (0, stat.czxid, 0);
                    }
                    let row = Row {
                        stat,
                        acl: crate::acl::AclId::OPEN,
                        children,
                        crc: node.crc(),
                        data: node.data(),
                    };
                    learner.tree.install(&above, &row).expect("installed");
                }
                _ => learner.tree.install_absent(&above),
            }
        }
        asked.push(need);
    }
    assert!(!asked.is_empty());
    assert!(learner.exists("/a/b"));
    assert_eq!(learner.tree.digest(), leader.tree.digest());
}

#[test]
fn the_tree_of_a_leader_that_went_on_may_be_ahead_of_its_transactions() {
    let mut leader = Server::leader(1, 1);
    leader.connect(1);
    leader.settle();
    let session = leader.session(1);
    leader.request(1, session, 1, OpCode::Create, create("/a", 0));
    leader.request(1, session, 2, OpCode::Create, create("/b", 0));
    leader.request(1, session, 3, OpCode::Delete, delete("/a"));
    let payloads = leader.settle();
    let mut learner = Server::learner(2);
    // It was sent with /b in it already, which the root does not know of yet.
    learner.tree.create_session(session, 10_000);
    let acl = [crate::acl::world(crate::acl::perm::ALL)].into();
    let b = leader.tree.get("/b").expect("resident").expect("a node");
    let stat = b.stat();
    learner
        .tree
        .create("/b", b.data(), &acl, 0, 0, Zxid(stat.czxid), stat.ctime)
        .expect("created");
    let (first, second) = (payloads[0].0, payloads[1].0);
    learner.node.set_fuzzy_until(second);
    for (zxid, payload) in &payloads {
        learner.node.record(*zxid, payload.clone()).expect("fits");
        learner.step(Input::Durable(*zxid));
        learner.node.committed(*zxid, &mut Vec::new());
        // It asserts that no digest differs: from the end of the window on they are compared.
        learner.apply();
        if *zxid == first {
            assert_ne!(learner.tree.digest(), leader.tree.digest());
        }
    }
    assert_eq!(learner.tree.digest(), leader.tree.digest());
}

#[test]
fn the_configuration_is_read_in_the_tree() {
    let mut learner = Server::learner(2);
    let before = learner.tree.digest();
    let text = Bytes::from_static(b"server.1=a:1:2:participant\nversion=100000000");
    learner.node.set_config(text.clone(), 1 << 32, at(7));
    learner.apply();
    let node = learner.tree.get("/zookeeper/config");
    let node = node.expect("resident").expect("a node");
    assert_eq!(node.data(), Some(&text[..]));
    let stat = node.stat();
    assert_eq!((stat.version, stat.mzxid), (-1, 1 << 32));
    assert_eq!(stat.mtime, at(7).wall_ms);
    assert_eq!(learner.tree.digest(), before);
    assert_eq!(learner.tree.last_zxid(), Zxid::ZERO);
}

#[test]
fn rows_of_later_transactions_are_asked_for_along_with_the_first() {
    let mut leader = Server::leader(1, 1);
    leader.connect(1);
    leader.settle();
    let session = leader.session(1);
    leader.request(1, session, 9, OpCode::Create, create("/not-resident", 0));
    leader.settle();
    for cxid in 1..5 {
        let path = alloc::format!("/n{cxid}");
        leader.request(1, session, cxid, OpCode::Create, create(&path, 0));
    }
    let mut partial = Tree::partial(config(2).extended, 1, leader.tree.meta());
    for path in ["", "/zookeeper", "/zookeeper/quota"] {
        let node = leader.tree.get(path).expect("resident").expect("a node");
        let row = Row {
            stat: node.stat(),
            acl: crate::acl::AclId::OPEN,
            children: node.child_count(),
            crc: node.crc(),
            data: node.data(),
        };
        partial.install(path, &row).expect("installed");
    }
    partial.settle_quotas().expect("nothing is below");
    let mut learner = Server::over(partial, 2);
    learner.node.learn(false);
    for (zxid, payload) in leader.settle() {
        learner.node.record(zxid, payload).expect("fits");
        learner.step(Input::Durable(zxid));
        learner.node.committed(zxid, &mut Vec::new());
    }
    let applied = learner.apply();
    assert_eq!(applied.missing, Some(Need::Node("/n1".into())));
    let others = ["/n2", "/n3", "/n4"].map(|path| Need::Node(path.into()));
    assert_eq!(applied.also, others);
    for path in ["/n1", "/n2", "/n3", "/n4"] {
        learner.tree.install_absent(path);
    }
    assert_eq!(learner.apply().entries, 4);
    assert_eq!(learner.tree.digest(), leader.tree.digest());
}
