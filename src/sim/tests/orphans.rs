//! What a log of another server may hold and no run brings about: ephemeral nodes of a session that
//! is not in the table. They go before anything else is done.

use std::sync::Arc;

use bytes::Bytes;
use jute::Encode;
use zk_core::ids::{Now, Zxid};
use zk_core::io::{Effect, Grant, Input, Post, Reply};
use zk_core::node::replay;
use zk_core::tree::{Lookup, Need, Tree};
use zk_core::watch::{Event, Watches};
use zk_core::{Config, ConnId, Node, SessionId};
use zk_wire::OpCode;
use zk_wire::txn::{Txn, TxnBody, TxnHeader};

struct Nobody;

impl Post for Nobody {
    fn before_write(&mut self, _: &Tree, _: &mut Watches, _: ConnId) -> Result<(), Need> {
        Ok(())
    }
    fn event(&mut self, _: ConnId, _: Zxid, _: Event, _: &str) {}
    fn done(&mut self, _: ConnId, _: i32, _: &Reply<'_>) {}
    fn connected(&mut self, _: ConnId, _: Option<Grant>) {}
    fn detach(&mut self, _: SessionId, _: Option<ConnId>) {}
}

fn create(zxid: i64, session: i64, path: &'static str) -> Vec<u8> {
    Txn {
        header: TxnHeader {
            client_id: session,
            cxid: 1,
            zxid,
            time: 5,
            op: OpCode::Create.to_i32(),
        },
        body: TxnBody::Create {
            op: OpCode::Create,
            path: Some(path.into()),
            data: Some(b""),
            acl: Some(Vec::new()),
            ephemeral: session != 0,
            parent_cversion: zxid as i32,
        },
        digest: None,
    }
    .to_vec()
}

#[test]
fn nodes_of_unknown_sessions_go_first() {
    let config = Arc::new(Config::default());
    let mut tree = Tree::new(config.extended, 7);
    for payload in [
        create(1, 77, "/of-77"),
        create(2, 0, "/stays"),
        create(3, 78, "/of-78"),
    ] {
        replay(&mut tree, &config, &payload).expect("replayed");
    }
    let now = Now {
        mono_ms: 1,
        wall_ms: 1_700_000_000_000,
    };
    let mut effects = Vec::new();
    let mut node = Node::recover(config, &tree, Zxid(0), now, &mut effects);
    let appended: Vec<(Zxid, &Bytes)> = effects
        .iter()
        .map(|effect| match effect {
            Effect::Append { zxid, payload } => (*zxid, payload),
            other => panic!("nothing is missing, and {other:?} is asked for"),
        })
        .collect();
    let zxids: Vec<i64> = appended.iter().map(|(zxid, _)| zxid.0).collect();
    assert_eq!(zxids, [4, 5], "one closeSession for each, at once");
    node.step(&tree, now, Input::Durable(Zxid(5)), &mut Vec::new());
    node.apply(&mut tree, &mut Watches::default(), &mut Nobody, usize::MAX);
    assert!(matches!(tree.find("/of-77"), Lookup::Absent));
    assert!(matches!(tree.find("/of-78"), Lookup::Absent));
    assert!(matches!(tree.find("/stays"), Lookup::Found(_)));
    assert_eq!(tree.ephemeral_count(), 0);
}
