//! What every store promises, checked on the model and, with the feature, on RocksDB.

mod common;

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use common::{Dice, Truth, batch_of};
use zk_core::acl::{AclId, Entry};
use zk_core::ids::{SessionId, Zxid};
use zk_disk::Error;
use zk_disk::store::{Base, Batch, Discard, Family, Merged, ModelStore, Store, key};

fn merged(batches: &[Batch]) -> Merged {
    let mut merged = Merged::new();
    for batch in batches {
        merged.add(batch);
    }
    merged
}

/// Random batches, merged at random, against a plain map.
fn random_batches(store: &dyn Store, seed: u64) {
    let mut dice = Dice(seed);
    let mut truth = Truth::default();
    truth.check(store).unwrap();
    let mut merged = Merged::new();
    let mut held = Vec::new();
    for _ in 0..60 {
        let batch = batch_of(&mut truth, &mut dice);
        merged.add(&batch);
        assert_eq!(merged.meta(), batch.meta());
        if dice.chance(3) {
            let sorted = merged.sorted();
            let in_order =
                |w: &[zk_disk::store::Entry<'_>]| (w[0].family, w[0].key) < (w[1].family, w[1].key);
            assert!(
                sorted.windows(2).all(in_order),
                "one value per key, in order"
            );
            store.write(&merged).unwrap();
            merged.clear();
            truth.check(store).unwrap();
            if dice.chance(4) {
                held.push((truth.clone(), store.snapshot().unwrap()));
            }
        }
        if dice.chance(10) && merged.is_empty() {
            assert_eq!(store.flush().unwrap(), truth.zxid);
        }
    }
    for (then, snapshot) in held {
        then.check_snapshot(&snapshot).unwrap();
    }
}

/// Where a store came from stays as it is while batches go by, and is of the state that is held.
fn origins(store: &dyn Store) {
    assert_eq!(store.base().unwrap(), Base::default());
    let base = Base {
        fuzzy_until: 9,
        base_high: 10,
        log_floor: 5,
        discard: Discard::Log,
        unresolved: 3,
    };
    let mut batch = Batch::new();
    batch.set_base(&base);
    batch.put_node("", &common::row(1, 0, b""));
    batch.put_node("/a", &common::row(1, 0, b"then"));
    batch.set_meta(common::meta(5));
    store.write(&merged(&[batch])).unwrap();
    let snapshot = store.snapshot().unwrap();
    let mut batch = Batch::new();
    batch.put_node("/a", &common::row(1, 0, b"now"));
    batch.put_node("/b", &common::row(1, 0, b"new"));
    batch.set_meta(common::meta(6));
    store.write(&merged(&[batch])).unwrap();
    assert_eq!(store.base().unwrap(), base);
    assert_eq!(store.meta().unwrap(), Some(common::meta(6)));
    let mut batch = Batch::new();
    batch.set_base(&Base::default());
    batch.set_meta(common::meta(6));
    store.write(&merged(&[batch])).unwrap();
    store.flush().unwrap();
    assert_eq!(store.base().unwrap(), Base::default());
    assert_eq!(snapshot.base().unwrap(), base);
    assert_eq!(snapshot.meta().unwrap(), Some(common::meta(5)));
    assert!(!snapshot.is_exact().unwrap(), "5 is before 9");
    assert!(store.snapshot().unwrap().is_exact().unwrap());
    let mut paths = Vec::new();
    let take = &mut |path: &str, _: zk_core::tree::Row<'_>| {
        paths.push(path.to_owned());
        ControlFlow::Continue(())
    };
    snapshot.scan(Some("/a"), take).unwrap();
    assert_eq!(paths, ["/a"]);
    let rows = snapshot.nodes(&["/b", "/a"]).unwrap();
    assert_eq!(rows[0], None);
    assert_eq!(
        rows[1].as_ref().unwrap().row().unwrap().data,
        Some(&b"then"[..])
    );
}

fn lookups(store: &dyn Store) {
    let mut batch = Batch::new();
    for path in ["", "/a", "/a/x", "/a/y", "/ab", "/ab/z", "/a/x/deep"] {
        batch.put_node(path, &common::row(path.len() as i64, 0, path.as_bytes()));
    }
    batch.put_node("/a/owned", &common::row(9, 77, b"o"));
    batch.session(5, Some(4_000)).unwrap();
    let entry = Entry {
        perms: 3,
        scheme: "ip".into(),
        id: None,
    };
    batch.acl(8, Some(std::slice::from_ref(&entry))).unwrap();
    batch.set_meta(common::meta(12));
    store.write(&merged(&[batch])).unwrap();
    assert_eq!(store.meta().unwrap(), Some(common::meta(12)));
    let rows = store.nodes(&["/ab", "/no", "", "/a/x", "/ab"]).unwrap();
    let data: Vec<Option<Vec<u8>>> = rows
        .iter()
        .map(|r| {
            r.as_ref()
                .map(|r| r.row().unwrap().data.unwrap_or_default().to_vec())
        })
        .collect();
    let some = |s: &str| Some(s.as_bytes().to_vec());
    assert_eq!(
        data,
        [some("/ab"), None, some(""), some("/a/x"), some("/ab")]
    );
    let children = |path: &str| {
        let mut found = Vec::new();
        store
            .children(path, &mut |p, _| {
                found.push(p.to_owned());
                ControlFlow::Continue(())
            })
            .unwrap();
        found
    };
    assert_eq!(children("/a"), ["/a/owned", "/a/x", "/a/y"]);
    assert_eq!(children(""), ["/a", "/ab"]);
    assert_eq!(children("/ab/z"), [""; 0]);
    // A scan in steps of two, each going on behind the last.
    let (mut all, mut from) = (Vec::new(), None::<String>);
    loop {
        let mut step = Vec::new();
        store
            .scan(from.as_deref(), &mut |p, _| {
                step.push(p.to_owned());
                if step.len() < 2 {
                    ControlFlow::Continue(())
                } else {
                    ControlFlow::Break(())
                }
            })
            .unwrap();
        let Some(last) = step.last() else { break };
        from = Some(format!("{last}\0"));
        all.extend(step);
    }
    assert_eq!(
        all,
        [
            "",
            "/a",
            "/ab",
            "/a/owned",
            "/a/x",
            "/a/y",
            "/ab/z",
            "/a/x/deep"
        ]
    );
    let mut owners = Vec::new();
    store
        .owners(&mut |owner, path| owners.push((owner, path.to_owned())))
        .unwrap();
    assert_eq!(owners, [(77, "/a/owned".to_owned())]);
    let mut sessions = Vec::new();
    store
        .sessions(&mut |id, timeout| sessions.push((id, timeout)))
        .unwrap();
    assert_eq!(sessions, [(SessionId(5), 4_000)]);
    let mut acls = Vec::new();
    store.acls(&mut |id, list| acls.push((id, list))).unwrap();
    assert_eq!(acls, [(AclId(8), [entry].into())]);
    // Gone again, within one merger: the last word counts.
    let mut gone = Batch::new();
    gone.put_node("/a/owned", &common::row(10, 78, b"new owner"));
    gone.delete_node("/a/owned", 78);
    gone.delete_node("/a/owned", 77);
    gone.session(5, None).unwrap();
    gone.acl(8, None).unwrap();
    gone.set_meta(common::meta(13));
    store.write(&merged(&[gone])).unwrap();
    let mut count = 0;
    store.owners(&mut |_, _| count += 1).unwrap();
    store.sessions(&mut |_, _| count += 1).unwrap();
    store.acls(&mut |_, _| count += 1).unwrap();
    assert_eq!(count, 0);
    assert_eq!(children("/a"), ["/a/x", "/a/y"]);
}

#[test]
fn the_model_keeps_the_promises() {
    lookups(&ModelStore::new());
    origins(&ModelStore::new());
    for seed in 0..200 {
        random_batches(&ModelStore::new(), seed);
    }
}

#[test]
fn the_model_forgets_what_was_not_flushed() {
    let mut at = BTreeMap::new();
    for seed in 0..200 {
        let store = ModelStore::new();
        let mut dice = Dice(seed);
        let mut truth = Truth::default();
        let mut states = vec![truth.clone()];
        for n in 0..10 {
            let batch = batch_of(&mut truth, &mut dice);
            store.write(&merged(&[batch])).unwrap();
            states.push(truth.clone());
            if n == 4 {
                store.flush().unwrap();
            }
        }
        store.crash(&mut || dice.roll());
        let zxid = store.meta().unwrap().unwrap().tree.zxid.0;
        let state = states.iter().position(|s| s.zxid == zxid).unwrap();
        states[state].check(&store).unwrap();
        *at.entry(state).or_insert(0) += 1;
    }
    assert_eq!(at.keys().copied().collect::<Vec<_>>(), [5, 6, 7, 8, 9, 10]);
}

#[test]
fn damage_is_named() {
    let store = ModelStore::new();
    lookups(&store);
    store.tamper(Family::Node, &key::node("/a"), Some(b"\xff"));
    assert!(matches!(
        store.nodes(&["/a"]),
        Err(Error::StoreCorrupt { .. })
    ));
    let scanned = store.scan(None, &mut |_, _| ControlFlow::Continue(()));
    assert!(matches!(scanned, Err(Error::StoreCorrupt { .. })));
    store.tamper(Family::Meta, b"digest", None);
    assert!(matches!(store.meta(), Err(Error::StoreCorrupt { .. })));
    store.tamper(Family::Meta, b"format", Some(&3_u64.to_be_bytes()));
    assert!(matches!(
        store.meta(),
        Err(Error::NewerFormat { found: 3, .. })
    ));
    store.tamper(Family::Session, b"short", Some(b"\x91\x01"));
    assert!(store.sessions(&mut |_, _| ()).is_err());
}

#[test]
fn a_merger_in_place_and_anew() {
    // Shorter, equal and longer values, and gone in between.
    let mut merged = Merged::new();
    let mut zxid = 0;
    for len in [10_usize, 5, 10, 40, 0, 41, 3] {
        zxid += 1;
        let mut batch = Batch::new();
        if len == 0 {
            batch.delete_node("/n", 0);
        } else {
            batch.put_node("/n", &common::row(zxid, 0, &vec![b'x'; len]));
        }
        batch.set_meta(common::meta(zxid));
        merged.add(&batch);
        assert_eq!(merged.len(), 1);
        let sorted = merged.sorted();
        let data = sorted[0]
            .value
            .map(|v| zk_disk::store::row::node(v).unwrap().data.unwrap().len());
        assert_eq!(data, (len > 0).then_some(len));
    }
    assert_eq!(merged.meta().tree.zxid, Zxid(7));
}

#[cfg(feature = "rocksdb")]
mod rocks {
    use std::path::Path;

    use zk_disk::rocks::RocksStore;

    use super::*;

    #[test]
    fn rocksdb_keeps_the_promises() {
        let folder = tempfile::tempdir().unwrap();
        lookups(&RocksStore::open(&folder.path().join("lookups")).unwrap());
        origins(&RocksStore::open(&folder.path().join("origins")).unwrap());
        for seed in 0..5 {
            let folder = folder.path().join(seed.to_string());
            random_batches(&RocksStore::open(&folder).unwrap(), seed);
        }
    }

    #[test]
    fn a_closed_store_is_found_again() {
        let folder = tempfile::tempdir().unwrap();
        let mut truth = Truth::default();
        let mut dice = Dice(1);
        for round in 0..4 {
            let store = RocksStore::open(folder.path()).unwrap();
            assert_eq!(store.meta().unwrap().is_some(), round > 0);
            truth.check(&store).unwrap();
            for _ in 0..5 {
                store
                    .write(&merged(&[batch_of(&mut truth, &mut dice)]))
                    .unwrap();
            }
            assert_eq!(store.flush().unwrap(), truth.zxid);
            assert!(store.memory().unwrap() > 0);
        }
    }

    #[test]
    fn a_held_store_is_an_error_and_no_damage() {
        let folder = tempfile::tempdir().unwrap();
        let held = RocksStore::open(folder.path()).unwrap();
        assert!(matches!(
            RocksStore::open(folder.path()),
            Err(Error::Store { .. })
        ));
        drop(held);
        RocksStore::open(folder.path()).unwrap();
    }

    fn tables(folder: &Path) -> Vec<std::path::PathBuf> {
        let mut found: Vec<_> = std::fs::read_dir(folder)
            .unwrap()
            .map(|e| e.unwrap().path())
            .filter(|p| p.extension().is_some_and(|e| e == "sst"))
            .collect();
        found.sort();
        found
    }

    #[test]
    fn damage_on_disk_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let mut truth = Truth::default();
        let mut dice = Dice(1);
        {
            let store = RocksStore::open(folder.path()).unwrap();
            for _ in 0..20 {
                store
                    .write(&merged(&[batch_of(&mut truth, &mut dice)]))
                    .unwrap();
            }
            store.flush().unwrap();
        }
        let read = || -> zk_disk::Result<()> {
            let store = RocksStore::open(folder.path())?;
            store.meta()?;
            store.scan(None, &mut |_, _| ControlFlow::Continue(()))?;
            store.owners(&mut |_, _| ())?;
            store.sessions(&mut |_, _| ())?;
            store.acls(&mut |_, _| ())
        };
        read().unwrap();
        for table in tables(folder.path()) {
            let whole = std::fs::read(&table).unwrap();
            let mut bad = whole.clone();
            bad[5] ^= 0xff;
            std::fs::write(&table, &bad).unwrap();
            let found = read();
            assert!(
                matches!(found, Err(Error::StoreCorrupt { .. })),
                "{table:?}: {found:?}"
            );
            std::fs::remove_file(&table).unwrap();
            let found = read();
            assert!(
                matches!(found, Err(Error::StoreCorrupt { .. })),
                "{table:?} gone: {found:?}"
            );
            std::fs::write(&table, &whole).unwrap();
        }
        read().unwrap();
    }
}
