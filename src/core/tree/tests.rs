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
