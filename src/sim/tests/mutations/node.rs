//! What becomes of a request.

use std::sync::Arc;

use jute::Encode;
use zk_core::io::Effect;
use zk_core::node::Unfit;
use zk_core::tree::Tree;
use zk_core::{Config, Node, SessionId};
use zk_wire::OpCode;
use zk_wire::client::CheckRequest;
use zk_zab::rules::Rule;
use zk_zab::{LinkId, Now, Zxid};

use super::rules;

/// What a server can do with the transaction that its leader makes of a check that stands alone.
fn proposed(off: Option<Rule>) -> Result<(SessionId, i32), Unfit> {
    let config = Arc::new(Config {
        rules: rules(off),
        ..Config::default()
    });
    let mut tree = Tree::new(config.extended, 0);
    tree.settle_quotas().expect("a whole tree");
    let now = Now::default();
    let mut node = Node::resting(config, &tree, Zxid::ZERO, Zxid::ZERO, now);
    let mut effects = Vec::new();
    node.lead(&tree, 1, now, &mut effects);
    let request = CheckRequest {
        path: Some("/".into()),
        version: 0,
    };
    let taken = node.request_from(
        &tree,
        now,
        LinkId(1),
        (SessionId(7), 3),
        OpCode::Check,
        request.to_vec().into(),
        [].into(),
        &mut effects,
    );
    assert!(taken);
    match effects.as_slice() {
        [Effect::Append { zxid, payload }] => Node::judge_payload(*zxid, payload),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_check_that_stands_alone() {
    assert_eq!(proposed(None), Ok((SessionId(7), 3)));
    let without = proposed(Some(Rule::NoBareCheck));
    assert!(matches!(without, Err(Unfit::Undecodable(_))), "{without:?}");
}
