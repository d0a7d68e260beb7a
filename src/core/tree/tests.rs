use super::*;
use zk_wire::digest::EMPTY_TREE;

fn tree() -> Tree {
    Tree::new(Extended::default(), 7)
}

fn open() -> List {
    AclTable::default().get(AclId::OPEN).clone()
}

#[test]
fn a_fresh_tree_is_javas() {
    let t = tree();
    assert_eq!(t.digest(), EMPTY_TREE);
    assert_eq!(t.node_count(), 4);
    let Lookup::Found(root) = t.find("/") else {
        panic!("no root")
    };
    assert_eq!(
        (root.client_stat().cversion, root.client_stat().num_children),
        (-1, 1)
    );
    let Lookup::Found(zk) = t.find("/zookeeper") else {
        panic!("no /zookeeper")
    };
    assert_eq!(zk.client_stat().cversion, -2);
    let Lookup::Found(config) = t.find("/zookeeper/config") else {
        panic!("no config")
    };
    assert_eq!(config.client_stat().aversion, -1);
}

#[test]
fn counts_and_digest_return_after_a_delete() {
    let mut t = tree();
    let before = (t.node_count(), t.data_size());
    let made = t
        .create("/a", Some(b"xyz"), &open(), 0, 1, Zxid(1), 100)
        .expect("created");
    assert_eq!(made.stat.czxid, 1);
    assert_eq!(t.recompute_digest(), t.digest());
    t.set_data("/a", None, 1, Zxid(2), 101).expect("set");
    assert_eq!(t.recompute_digest(), t.digest());
    t.set_data("/", Some(b"root"), 1, Zxid(3), 101)
        .expect("set");
    assert_eq!(t.recompute_digest(), t.digest());
    t.delete("/a", Zxid(4)).expect("deleted");
    assert_eq!(t.recompute_digest(), t.digest());
    assert_eq!((t.node_count(), t.data_size()), (before.0, before.1 + 4));
    assert_eq!(t.delete("/a", Zxid(5)).err(), Some(zk_wire::Code::NoNode));
}

#[test]
fn changes_rebuild_an_equal_tree() {
    let mut t = tree();
    for i in 0..200_i64 {
        let path = alloc::format!("/n{}", i % 50);
        if t.create(&path, Some(b"d"), &open(), 0, -1, Zxid(i + 1), i)
            .is_err()
        {
            t.delete(&path, Zxid(i + 1)).expect("there");
        }
        t.set_last_zxid(Zxid(i + 1));
    }
    let mut rows = BTreeMap::new();
    let meta = t.drain_changes(&mut |change| match change {
        Change::Node { path, row } => {
            let data = row.data.map(<[u8]>::to_vec);
            rows.insert(
                (path.matches('/').count(), alloc::string::String::from(path)),
                (row.stat, row.acl, row.children, row.crc, data),
            );
        }
        Change::Gone { path, .. } => {
            rows.remove(&(path.matches('/').count(), path.into()));
        }
        _ => {}
    });
    assert!(!t.is_dirty());
    let mut back = Tree::partial(Extended::default(), 9, meta);
    back.restore_acl(AclId(1), [crate::acl::world(1)].into());
    assert!(matches!(back.find("/n1"), Lookup::Unknown));
    for ((_, path), (stat, acl, children, crc, data)) in &rows {
        let row = Row {
            stat: *stat,
            acl: *acl,
            children: *children,
            crc: *crc,
            data: data.as_deref(),
        };
        back.install(path, &row).expect("parents come first");
    }
    back.set_complete();
    assert_eq!(back.recompute_digest(), t.digest());
    assert_eq!(back.node_count(), rows.len() as u64);
}

#[test]
fn absent_paths_that_were_asked_for_are_not_remembered_without_bound() {
    let mut t = Tree::partial(Extended::default(), 7, Meta::default());
    let long = "x".repeat(100_000);
    for i in 0..400 {
        t.install_absent(&alloc::format!("/{long}{i}"));
        assert!(t.asked_absent_bytes <= crate::limits::ABSENT_BYTES);
    }
    assert!(t.asked_absent.len() < 400);
}

#[test]
fn a_path_of_very_many_elements_costs_no_more_than_its_length() {
    let mut t = Tree::partial(Extended::default(), 7, Meta::default());
    let deep = "/x".repeat(400_000);
    assert!(matches!(t.find(&deep), Lookup::Unknown));
    let missing = t.missing_above(&deep);
    assert_eq!(missing.len(), crate::limits::LOAD_DEPTH);
    assert_eq!(
        (&*missing[0], &*missing[1], &*missing[2]),
        ("", "/x", "/x/x")
    );
    let root = Row {
        stat: StatPersisted::default(),
        acl: AclId::OPEN,
        children: 1,
        crc: 0,
        data: None,
    };
    t.install("", &root).expect("the root");
    assert_eq!(&*t.missing_above(&deep)[0], "/x");
    t.install_absent("/x");
    assert!(matches!(t.find(&deep), Lookup::Absent));
    assert!(matches!(t.find("/y"), Lookup::Unknown));
    assert!(matches!(t.find("relative"), Lookup::Absent));
    assert!(matches!(tree().find(&deep), Lookup::Absent));
}

#[test]
fn what_it_takes_to_be_sent_is_counted() {
    use zk_wire::quorum::snap::SnapEncoder;
    let mut t = tree();
    let own: List = [crate::acl::world(1), crate::acl::world(31)].into();
    t.create("/a", Some(b"xyz"), &own, 0, 1, Zxid(1), 100)
        .expect("created");
    t.create("/a/b", None, &own, 0, 1, Zxid(2), 100)
        .expect("created");
    t.set_data("/a", Some(b"longer"), 1, Zxid(3), 5)
        .expect("set");
    t.create_session(SessionId(5), 4_000);
    t.delete("/a/b", Zxid(4)).expect("deleted");
    let sent = |t: &Tree| {
        let mut out = Vec::new();
        let lists: BTreeMap<AclId, List> = [2, 1]
            .map(AclId)
            .into_iter()
            .filter(|id| t.acls().contains(*id))
            .map(|id| (id, t.acls().get(id).clone()))
            .collect();
        let mut snap = SnapEncoder::begin(t.session_count(), lists.len(), &mut out);
        for (id, timeout) in t.sessions() {
            snap.session(id.0, timeout, &mut out);
        }
        for (id, list) in &lists {
            snap.acl(i64::from(id.0), &crate::op::txn_acl(list), &mut out);
        }
        let root = t.get("").expect("resident").expect("a root");
        root.walk(&mut |path, node| {
            let stat = node.stat();
            snap.node(path, node.data(), -1, &stat, &mut out);
        })
        .expect("resident");
        snap.end(&mut out);
        // Two counts, the path that ends the nodes, the signature.
        out.len() as u64 - (4 + 4) - 5 - 14
    };
    assert_eq!(t.acls().len(), 2);
    assert_eq!(t.sent_bytes(), sent(&t));
    t.delete("/a", Zxid(5)).expect("deleted");
    assert_eq!(t.acls().len(), 1);
    assert_eq!(t.sent_bytes(), sent(&t));
}

#[test]
fn a_create_over_a_node_that_was_sent_already_raises_what_its_parent_lacks() {
    let mut t = tree();
    t.create("/p", None, &open(), 0, 1, Zxid(1), 100)
        .expect("created");
    t.create("/p/a", Some(b"new"), &open(), 0, 7, Zxid(8), 100)
        .expect("created");
    let (count, size) = (t.node_count(), t.data_size());
    // Sent before its child was made, the parent has seen less than the child's transaction.
    for (cversion, zxid, after) in [(9, 10, (9, 10)), (8, 12, (9, 10)), (-1, 11, (10, 11))] {
        let again = t.create("/p/a", Some(b"old"), &open(), 0, cversion, Zxid(zxid), 1);
        assert_eq!(again.err(), Some(zk_wire::Code::NodeExists));
        let parent = t.get("/p").expect("resident").expect("a node").stat();
        assert_eq!((parent.cversion, parent.pzxid), after);
        assert_eq!(t.recompute_digest(), t.digest());
    }
    assert_eq!((t.node_count(), t.data_size()), (count, size));
    let kept = t.get("/p/a").expect("resident").expect("a node");
    assert_eq!(kept.data(), Some(&b"new"[..]));
}

#[test]
fn quotas_are_counted_anew() {
    let mut t = tree();
    let usage = |t: &Tree| {
        let stats = "/zookeeper/quota/a/zookeeper_stats";
        let node = t.get(stats).expect("resident").expect("a node");
        crate::quota::Track::parse(node.data()).expect("usage")
    };
    for (at, path) in [
        "/a",
        "/zookeeper/quota/a",
        "/zookeeper/quota/a/zookeeper_limits",
        "/zookeeper/quota/a/zookeeper_stats",
    ]
    .into_iter()
    .enumerate()
    {
        let zxid = Zxid(at as i64 + 1);
        t.create(path, Some(b"count=5,bytes=-1"), &open(), 0, 1, zxid, 1)
            .expect("created");
    }
    let right = usage(&t);
    let stats = "/zookeeper/quota/a/zookeeper_stats";
    t.set_data(stats, Some(b"count=77,bytes=3"), 1, Zxid(6), 1)
        .expect("set");
    assert_eq!(usage(&t).count(), 77);
    t.recount_quotas();
    assert_eq!(usage(&t), right);
}
