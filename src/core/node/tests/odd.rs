//! Transactions that no leader of sound mind proposes: they do not bring a server down.

use alloc::borrow::Cow;

use jute::Str;
use zk_wire::txn::{SubTxn, TxnHeader};

use super::*;

const PATHS: [Option<&str>; 14] = [
    None,
    Some(""),
    Some("/"),
    Some("//"),
    Some("a"),
    Some("a/b"),
    Some("/a"),
    Some("/a/"),
    Some("/a/b/c"),
    Some("/a\0"),
    Some("/zookeeper"),
    Some("/zookeeper/quota"),
    Some("/zookeeper/quota/zookeeper_limits"),
    Some("/zookeeper/quota/a/zookeeper_stats"),
];

fn bodies(path: Option<&'static str>) -> Vec<TxnBody<'static>> {
    let path: Str<'static> = path.map(Cow::Borrowed);
    let mut bodies = Vec::new();
    for ephemeral in [true, false] {
        for parent_cversion in [i32::MIN, -1, 0, i32::MAX] {
            bodies.push(TxnBody::Create {
                op: OpCode::Create,
                path: path.clone(),
                data: None,
                acl: if ephemeral { None } else { Some(Vec::new()) },
                ephemeral,
                parent_cversion,
            });
        }
    }
    bodies.extend([
        TxnBody::CreateContainer {
            path: path.clone(),
            data: Some(b"x"),
            acl: None,
            parent_cversion: 5,
        },
        TxnBody::CreateTtl {
            path: path.clone(),
            data: None,
            acl: None,
            parent_cversion: -2,
            ttl: i64::MIN,
        },
        TxnBody::SetData {
            op: OpCode::SetData,
            path: path.clone(),
            data: None,
            version: i32::MIN,
        },
        TxnBody::SetData {
            op: OpCode::Reconfig,
            path: path.clone(),
            data: Some(b"count=1,bytes=1"),
            version: -1,
        },
        TxnBody::SetAcl {
            path: path.clone(),
            acl: None,
            version: -7,
        },
        TxnBody::Check {
            path: path.clone(),
            version: 3,
        },
        TxnBody::CloseSession {
            paths: Some(Vec::from([path.clone(), None, path.clone()])),
        },
        TxnBody::CloseSession { paths: None },
        TxnBody::CreateSession { timeout: i32::MIN },
        TxnBody::Error { err: 12_345 },
        TxnBody::Delete {
            op: OpCode::Delete,
            path: path.clone(),
        },
        TxnBody::Delete {
            op: OpCode::DeleteContainer,
            path,
        },
    ]);
    bodies
}

fn payload(zxid: i64, body: TxnBody<'static>) -> Bytes {
    let header = TxnHeader {
        client_id: zxid % 3,
        cxid: 1,
        zxid,
        time: i64::MIN,
        op: body.op().to_i32(),
    };
    let txn = Txn {
        header,
        body,
        digest: None,
    };
    txn.to_vec().into()
}

/// All of them, in an order of the seed, alone and in a multi.
fn odd(seed: usize) -> Vec<TxnBody<'static>> {
    let mut all = Vec::new();
    for at in 0..PATHS.len() {
        let bodies = bodies(PATHS[(at * 5 + seed) % PATHS.len()]);
        let count = bodies.len();
        for at in 0..count {
            all.push(bodies[(at * 7 + seed) % count].clone());
        }
        let subs = bodies.into_iter().filter(|body| {
            !matches!(
                body,
                TxnBody::CloseSession { .. }
                    | TxnBody::CreateSession { .. }
                    | TxnBody::Error { .. }
            )
        });
        all.push(TxnBody::Multi(subs.map(SubTxn::new).collect()));
    }
    all
}

#[test]
fn odd_transactions_are_applied_in_some_way() {
    for seed in 0..20 {
        let mut learner = Server::learner(2);
        // Its own request, whose transaction turns out to be anything.
        let mut zxid = 1 << 32;
        let mut applied = 0;
        for body in odd(seed) {
            zxid += 1;
            let payload = payload(zxid, body);
            match Node::judge_payload(Zxid(zxid), &payload) {
                Ok((session, cxid)) => {
                    learner.request(1, session, cxid, OpCode::Create, create("/mine", 0));
                    learner.out.clear();
                    learner.node.record(Zxid(zxid), payload).expect("fits");
                    learner.step(Input::Durable(Zxid(zxid)));
                    learner.node.committed(Zxid(zxid), &mut Vec::new());
                    learner.apply();
                    assert_eq!(learner.tree.last_zxid(), Zxid(zxid));
                    applied += 1;
                }
                Err(Unfit::Undecodable(_)) => {}
                Err(other) => panic!("{other}"),
            }
        }
        assert!(applied > 250, "{applied}");
        assert_eq!(learner.posted.replies.len(), applied, "each was answered");
    }
}

#[test]
fn odd_transactions_find_their_rows_absent() {
    for seed in 0..20 {
        let whole = Server::learner(1).tree;
        let mut tree = Tree::partial(config(2).extended, 1, whole.meta());
        for path in ["", "/zookeeper"] {
            let node = whole.get(path).expect("resident").expect("a node");
            let row = Row {
                stat: node.stat(),
                acl: crate::acl::AclId::OPEN,
                children: node.child_count() + 1,
                crc: node.crc(),
                data: None,
            };
            tree.install(path, &row).expect("installed");
        }
        let mut learner = Server::over(tree, 2);
        learner.node.learn(false);
        let mut zxid = 1 << 32;
        for body in odd(seed) {
            zxid += 1;
            if learner.node.record(Zxid(zxid), payload(zxid, body)).is_ok() {
                learner.step(Input::Durable(Zxid(zxid)));
                learner.node.committed(Zxid(zxid), &mut Vec::new());
            }
        }
        let end = learner.node.recorded();
        let mut rounds = 0;
        loop {
            let applied = learner.apply();
            let Some(need) = applied.missing else { break };
            for need in applied.also.into_iter().chain([need]) {
                match need {
                    Need::Node(path) | Need::Children(path) => {
                        learner.tree.install_absent(&path);
                        for above in learner.tree.missing_above(&path) {
                            learner.tree.install_absent(&above);
                        }
                    }
                    Need::All => learner.tree.set_complete(),
                }
            }
            rounds += 1;
            assert!(rounds < 10_000, "it goes round and round");
        }
        assert_eq!(learner.tree.last_zxid(), end);
    }
}
