//! How fast containers go: `znode.container.maxPerMinute`, with the values at which Java's division
//! stops to be a pause.

use std::sync::Arc;

use jute::Encode;
use zk_core::ids::{Now, Zxid};
use zk_core::io::{Effect, Input};
use zk_core::node::replay;
use zk_core::tree::Tree;
use zk_core::{Config, Node};
use zk_wire::OpCode;
use zk_wire::txn::{Txn, TxnBody, TxnHeader};

const CONTAINERS: i64 = 5;

fn container(zxid: i64, path: &str) -> Vec<u8> {
    Txn {
        header: TxnHeader {
            client_id: 0,
            cxid: 1,
            zxid,
            time: 5,
            op: OpCode::CreateContainer.to_i32(),
        },
        body: TxnBody::CreateContainer {
            path: Some(path.into()),
            data: Some(b""),
            acl: Some(Vec::new()),
            parent_cversion: zxid as i32,
        },
        digest: None,
    }
    .to_vec()
}

/// How many containers are deleted at the first check, and how many 1 ms, 6 ms and a second later.
fn deleted(per_minute: i64) -> Vec<usize> {
    let config = Arc::new(Config {
        container_max_per_minute: per_minute,
        container_check_ms: 60_000,
        container_never_used_ms: 1,
        ..Config::default()
    });
    let mut tree = Tree::new(config.extended, 7);
    for zxid in 1..=CONTAINERS {
        let payload = container(zxid, &format!("/c{zxid}"));
        replay(&mut tree, &config, &payload).expect("replayed");
    }
    let at = |mono_ms| Now {
        mono_ms,
        wall_ms: 1_700_000_000_000,
    };
    let mut node = Node::recover(config, &tree, Zxid(0), at(0), &mut Vec::new());
    let mut counts = Vec::new();
    for mono_ms in [60_000, 60_001, 60_006, 61_000] {
        let mut effects = Vec::new();
        node.step(&tree, at(mono_ms), Input::Tick, &mut effects);
        let appended = effects
            .iter()
            .filter(|e| matches!(e, Effect::Append { .. }));
        counts.push(appended.count());
    }
    counts
}

#[test]
fn deletions_keep_their_pace() {
    let all = CONTAINERS as usize;
    assert_eq!(deleted(10_000), [1, 0, 1, 1], "6 ms apart");
    assert_eq!(deleted(60), [1, 0, 0, 1], "a second apart");
    assert_eq!(
        deleted(60_001),
        [all, 0, 0, 0],
        "less than a millisecond apart"
    );
    assert_eq!(deleted(-1), [all, 0, 0, 0], "no pause");
    assert_eq!(deleted(0), [0, 0, 0, 0], "none ever");
}
