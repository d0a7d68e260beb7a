//! Another server's snapshot takes the place of what was here: all of it or nothing, whatever
//! call the machine is switched off at.

mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use common::{Dice, payload};
use zk_core::acl::{Entry, List, world};
use zk_core::ids::Zxid;
use zk_core::node::replay;
use zk_core::tree::{self, Change, Tree};
use zk_core::{Config, auth};
use zk_disk::directory::{self, Boot, Layout, Opened};
use zk_disk::files::Files;
use zk_disk::install::{self, Complete, Incoming};
use zk_disk::log::{Options, Reader, Staged, Writer};
use zk_disk::model::ModelFiles;
use zk_disk::store::{Base, Batch, Discard, Merged, Meta, ModelStore, Store};
use zk_disk::{Error, Result, snap};
use zk_wire::OpCode;
use zk_wire::client::{Acl, Id};
use zk_wire::quorum::snap::{OPEN_ACL, SnapDecoder, SnapItem, SnapProgress};
use zk_wire::stat::StatPersisted;
use zk_wire::txn::{Txn, TxnBody, TxnHeader};

const SMALL: Options = Options {
    prealloc: 4096,
    segment_size: 900,
    segment_records: 0,
    force_sync: true,
};

/// Zxid of the snapshot.
const SNAP: i64 = 0x2_0000_0005;

fn layout() -> Layout {
    Layout::new("/data", "/log")
}

/// A machine: its disk, and the stores by folder.
#[derive(Clone)]
struct Machine {
    disk: Arc<ModelFiles>,
    stores: Arc<Mutex<BTreeMap<PathBuf, ModelStore>>>,
}

impl Machine {
    /// With a history of its own: a store, a log beyond it, and snapshots of Java.
    fn new() -> Machine {
        let machine = Machine {
            disk: Arc::new(ModelFiles::new()),
            stores: Arc::default(),
        };
        let opened = machine.boot().unwrap();
        let mut batch = Batch::new();
        batch.put_node("", &common::row(1, 0, b"old"));
        batch.set_meta(common::meta(4));
        let mut merged = Merged::new();
        merged.add(&batch);
        opened.store.write(&merged).unwrap();
        opened.store.flush().unwrap();
        let mut writer =
            Writer::open(machine.files(), &layout().logs(), SMALL, &opened.log, 0).unwrap();
        for zxid in 1..=30 {
            let bytes = payload(zxid, 60, 1);
            // The record that the store is at is compared with it only where it is known.
            writer.append(zxid, &bytes).unwrap();
            writer.sync().unwrap();
        }
        writer.close().unwrap();
        for name in ["snapshot.0", "snapshot.3"] {
            let path = layout().snapshots().join(name);
            machine.disk.tamper(&path, |file| file.push(1));
        }
        // Let the store know nothing of the record, as the payloads are made up.
        let mut batch = Batch::new();
        batch.set_meta(Meta {
            record: 0,
            ..common::meta(4)
        });
        let mut merged = Merged::new();
        merged.add(&batch);
        opened.store.write(&merged).unwrap();
        opened.store.flush().unwrap();
        machine.disk.kill();
        machine
    }

    fn files(&self) -> Arc<dyn Files> {
        self.disk.clone()
    }

    fn boot(&self) -> Result<Opened<ModelStore>> {
        directory::open(&self.files(), &layout(), &mut |folder| {
            let mut stores = self.stores.lock().unwrap();
            Ok(stores.entry(folder.to_path_buf()).or_default().clone())
        })
    }

    fn begin(&self) -> Result<Incoming<ModelStore>> {
        Incoming::begin(&*self.disk, &layout(), &mut |folder| {
            // What was there was removed with its folder.
            let store = ModelStore::new();
            let mut stores = self.stores.lock().unwrap();
            stores.insert(folder.to_path_buf(), store.clone());
            Ok(store)
        })
    }

    fn crash(&self, dice: &mut Dice) {
        self.disk.crash(&mut || dice.roll());
        for store in self.stores.lock().unwrap().values() {
            store.crash(&mut || dice.roll());
        }
    }

    fn exists(&self, path: &Path) -> bool {
        self.disk.exists(path).unwrap()
    }
}

/// What a node is, apart from numbers that each server chooses for itself.
type Node = (StatPersisted, Vec<Entry>, u32, u32, Option<Vec<u8>>);

/// The sender's tree, as it is sent and as it should arrive.
struct Sent {
    nodes: BTreeMap<String, Node>,
    sessions: BTreeMap<i64, i32>,
    meta: tree::Meta,
}

fn txn(zxid: i64, body: TxnBody<'_>, client: i64, op: OpCode) -> Vec<u8> {
    let header = TxnHeader {
        client_id: client,
        cxid: 1,
        zxid,
        time: 1_700_000_000_000 + zxid,
        op: op.to_i32(),
    };
    jute::Encode::to_vec(&Txn {
        header,
        body,
        digest: None,
    })
}

fn create<'a>(
    path: &'a str,
    data: Option<&'a [u8]>,
    acl: Vec<Acl<'a>>,
    ephemeral: bool,
) -> TxnBody<'a> {
    TxnBody::Create {
        op: OpCode::Create,
        path: Some(path.into()),
        data,
        acl: Some(acl),
        ephemeral,
        parent_cversion: -1,
    }
}

/// A tree made by transactions: lists, owners, null data, several levels, names that sort badly.
fn sent() -> Sent {
    let config = Config::default();
    let mut tree = Tree::new(config.extended, 7);
    let all: Vec<Entry> = vec![world(31)];
    let read: Vec<Entry> = vec![world(1)];
    let digest = vec![
        Entry {
            perms: 31,
            scheme: "digest".into(),
            id: Some("a:b".into()),
        },
        world(1),
    ];
    let mut zxid = 2 << 32;
    let mut apply = |body: TxnBody<'_>, client: i64, op| {
        zxid += 1;
        replay(&mut tree, &config, &txn(zxid, body, client, op)).unwrap();
    };
    for (id, timeout) in [(7, 4_000), (0x1_0000_0009, 30_000)] {
        apply(
            TxnBody::CreateSession { timeout },
            id,
            OpCode::CreateSession,
        );
    }
    let some = |s: &'static str| Some(s.as_bytes());
    for (path, data, list, ephemeral) in [
        ("/a", some("one"), &all, false),
        ("/a-b", None, &read, false),
        ("/a/x", some(""), &digest, false),
        ("/a/x/y", some("deep"), &digest, false),
        ("/a-b/y", some("other"), &all, true),
        ("/a/e", None, &all, true),
        ("/a/x/y/z", some("deeper"), &read, false),
    ] {
        let acl = auth::wire_list(list);
        apply(create(path, data, acl, ephemeral), 7, OpCode::Create);
    }
    let mut lists: BTreeMap<u32, Vec<Entry>> = BTreeMap::from([(0, vec![world(31)])]);
    let (mut rows, mut sessions) = (BTreeMap::new(), BTreeMap::new());
    let meta = tree.drain_changes(&mut |change| match change {
        Change::Node { path, row } => {
            let data = row.data.map(<[u8]>::to_vec);
            rows.insert(
                path.to_owned(),
                (row.stat, row.acl, row.children, row.crc, data),
            );
        }
        Change::Session { id, timeout } => {
            sessions.insert(id.0, timeout);
        }
        Change::Acl { id, list } => {
            lists.insert(id.0, list.to_vec());
        }
        Change::Gone { .. } | Change::SessionGone { .. } | Change::AclGone { .. } => {}
    });
    let nodes = rows
        .into_iter()
        .map(|(path, (stat, acl, children, crc, data))| {
            (path, (stat, lists[&acl.0].clone(), children, crc, data))
        })
        .collect();
    Sent {
        nodes,
        sessions,
        meta,
    }
}

/// Sends it as a server does: sessions, lists under numbers of its own, nodes in some order.
fn receive(sent: &Sent, incoming: &mut Incoming<ModelStore>) -> Result<()> {
    for (id, timeout) in &sent.sessions {
        incoming.session(*id, *timeout)?;
    }
    let lists: BTreeSet<&Vec<Entry>> = sent.nodes.values().map(|node| &node.1).collect();
    let number = |list: &Vec<Entry>| {
        if *list == [world(31)] {
            OPEN_ACL
        } else {
            lists.iter().position(|l| *l == list).unwrap() as i64 + 100
        }
    };
    for list in lists.iter().filter(|list| number(list) != OPEN_ACL) {
        incoming.acl(number(list), auth::wire_list(list))?;
    }
    for (path, (stat, list, _, _, data)) in &sent.nodes {
        incoming.node(path, data.as_deref(), number(list), *stat)?;
    }
    Ok(())
}

/// The zxids behind the snapshot.
fn window() -> std::ops::RangeInclusive<i64> {
    SNAP + 1..=SNAP + 20
}

fn stage(machine: &Machine, records: bool) -> Result<i64> {
    let mut staged = Staged::begin(machine.files(), &layout(), SMALL, SNAP)?;
    for zxid in window().filter(|_| records) {
        staged.append(zxid, &payload(zxid, 80, 2))?;
        if zxid % 3 == 0 {
            staged.sync()?;
        }
    }
    staged.close()
}

/// Everything up to the end, as a server does it.
fn install(machine: &Machine, sent: &Sent, records: bool) -> Result<Writer> {
    let mut incoming = machine.begin()?;
    receive(sent, &mut incoming)?;
    let end = stage(machine, records)?;
    let complete = incoming.complete()?;
    install::seal(&complete, SNAP, end)?;
    install::switch(&*machine.disk, &layout(), &complete)?;
    let (writer, _) = install::take_over(&machine.files(), &layout(), &complete.store, SMALL)?;
    Ok(writer)
}

fn nodes(store: &dyn Store) -> BTreeMap<String, Node> {
    let mut lists: BTreeMap<u32, List> = BTreeMap::from([(0, [world(31)].into())]);
    store
        .acls(&mut |id, list| {
            assert_eq!(lists.insert(id.0, list), None);
        })
        .unwrap();
    let mut nodes = BTreeMap::new();
    store
        .scan(None, &mut |path, row| {
            let data = row.data.map(<[u8]>::to_vec);
            let list = lists[&row.acl.0].to_vec();
            nodes.insert(
                path.to_owned(),
                (row.stat, list, row.children, row.crc, data),
            );
            ControlFlow::Continue(())
        })
        .unwrap();
    nodes
}

fn check_store(store: &dyn Store, sent: &Sent) {
    assert_eq!(nodes(store), sent.nodes);
    let mut sessions = BTreeMap::new();
    store
        .sessions(&mut |id, timeout| {
            sessions.insert(id.0, timeout);
        })
        .unwrap();
    assert_eq!(sessions, sent.sessions);
    let mut owners = BTreeSet::new();
    store
        .owners(&mut |owner, path| {
            owners.insert((owner, path.to_owned()));
        })
        .unwrap();
    let expected: BTreeSet<(i64, String)> = sent
        .nodes
        .iter()
        .filter(|(_, node)| node.0.ephemeral_owner != 0)
        .map(|(path, node)| (node.0.ephemeral_owner, path.clone()))
        .collect();
    assert_eq!(owners, expected);
    let tree = tree::Meta {
        zxid: Zxid(SNAP),
        ..sent.meta
    };
    assert_eq!(store.meta().unwrap(), Some(Meta { tree, record: 0 }));
}

/// After whatever happened: the old history or the new one. True for the new.
fn check(machine: &Machine, sent: &Sent, records: bool) -> bool {
    let opened = machine.boot().unwrap();
    let Boot::Open { meta, .. } = opened.boot else {
        panic!("{:?}", opened.boot);
    };
    let new = meta.tree.zxid.0 != 4;
    let (range, salt, len): (_, u64, usize) = if new {
        check_store(&opened.store, sent);
        let end = if records { *window().end() } else { SNAP };
        let base = Base {
            fuzzy_until: end,
            base_high: end,
            log_floor: SNAP,
            discard: Discard::Nothing,
            unresolved: 0,
        };
        assert_eq!((opened.base, opened.store.base().unwrap()), (base, base));
        assert_eq!(opened.snapshots, []);
        for name in ["snapshot.0", "snapshot.3"] {
            assert!(machine.exists(&layout().aside().join(name)));
        }
        assert_eq!(opened.committed(), SNAP);
        let contents = opened.log.contents(opened.base.log_floor);
        assert_eq!((contents.floor, contents.end()), (SNAP, end));
        (SNAP + 1..=end, 2, 80)
    } else {
        assert_eq!(nodes(&opened.store).len(), 1);
        assert_eq!(opened.base, Base::default());
        assert_eq!(opened.snapshots, [0, 3]);
        (1..=30, 1, 60)
    };
    let last = (!range.is_empty()).then_some(*range.end());
    assert_eq!(opened.log.last_zxid, last);
    assert_eq!(opened.log.torn, None);
    if let Some(last) = last {
        let mut reader =
            Reader::open(machine.files(), &layout().logs(), *range.start(), last).unwrap();
        for zxid in range {
            let record = reader.next_record().unwrap().unwrap();
            assert_eq!(record.zxid, zxid);
            assert_eq!(record.payload, payload(zxid, len, salt));
        }
    }
    assert!(
        !machine.exists(&layout().incoming_logs()),
        "nothing is left"
    );
    let left = machine.disk.list(&layout().store()).unwrap();
    let folders = left.iter().filter(|name| name.starts_with("rocks")).count();
    assert!(folders <= 1, "{left:?}");
    new
}

#[test]
fn everything_arrives_and_the_log_goes_on() {
    let sent = sent();
    for records in [true, false] {
        let machine = Machine::new();
        let mut writer = install(&machine, &sent, records).unwrap();
        let end = if records { *window().end() } else { SNAP };
        assert_eq!(writer.durable(), end);
        assert!(check(&machine, &sent, records));
        // What the start has swept is the old store; the log is written on.
        writer.append(end + 1, &payload(end + 1, 80, 2)).unwrap();
        writer.sync().unwrap();
        writer.cut(end, SNAP).unwrap();
        writer.close().unwrap();
        assert!(check(&machine, &sent, records));
    }
}

/// The tree behind a SNAP packet, as a server sends it.
fn tree_of(store: &dyn Store) -> Vec<u8> {
    let mut bytes = Vec::new();
    let snapshot = store.snapshot().unwrap();
    let sent = snap::send(&snapshot, &mut |piece| {
        bytes.extend_from_slice(piece);
        ControlFlow::Continue(())
    });
    assert_eq!(sent.unwrap(), ControlFlow::Continue(()));
    bytes
}

/// Takes such a tree, given in pieces, and returns what it did not take.
fn take_tree<'a>(
    mut bytes: &'a [u8],
    incoming: &mut Incoming<ModelStore>,
    dice: &mut Dice,
) -> &'a [u8] {
    let mut decoder = SnapDecoder::new(10_000);
    let mut there = 0;
    loop {
        match decoder.next(&bytes[..there]).unwrap() {
            SnapProgress::Item(item, taken) => {
                let end = item == SnapItem::End;
                incoming.item(item).unwrap();
                (bytes, there) = (&bytes[taken..], there - taken);
                if end {
                    return bytes;
                }
            }
            SnapProgress::More(_) => there = bytes.len().min(there + 1 + dice.below(90) as usize),
            SnapProgress::Done => panic!("done before its end"),
        }
    }
}

#[test]
fn what_one_sends_another_takes() {
    let sent = sent();
    let first = Machine::new();
    install(&first, &sent, false).unwrap();
    let store = first.boot().unwrap().store;
    let mut bytes = tree_of(&store);
    bytes.extend_from_slice(b"what follows");
    for seed in 0..20 {
        let second = Machine::new();
        let mut incoming = second.begin().unwrap();
        let left = take_tree(&bytes, &mut incoming, &mut Dice(seed));
        assert_eq!(left, b"what follows");
        let complete = incoming.complete().unwrap();
        install::seal(&complete, SNAP, SNAP).unwrap();
        check_store(&complete.store, &sent);
        // Every list is told once and in use, so the next one gets the very same.
        assert_eq!(tree_of(&complete.store), bytes[..bytes.len() - 12]);
    }
    // Whoever takes it may have enough.
    let mut pieces = 0;
    let snapshot = store.snapshot().unwrap();
    let given_up = snap::send(&snapshot, &mut |_| {
        pieces += 1;
        ControlFlow::Break(())
    });
    assert_eq!((given_up.unwrap(), pieces), (ControlFlow::Break(()), 1));
}

#[test]
fn a_store_that_lacks_its_window_is_not_sent_on() {
    let machine = Machine::new();
    install(&machine, &sent(), true).unwrap();
    let store = machine.boot().unwrap().store;
    let snapshot = store.snapshot().unwrap();
    let refused = snap::send(&snapshot, &mut |_| panic!("a piece was sent"));
    assert!(matches!(refused, Err(Error::Store { .. })), "{refused:?}");
}

#[test]
fn the_trees_that_java_sends_are_taken() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/quorum/Tree");
    for case in ["new", "history", "half_way"] {
        let bytes = std::fs::read(folder.join(format!("{case}.bin"))).unwrap();
        let machine = Machine::new();
        let mut incoming = machine.begin().unwrap();
        let left = take_tree(&bytes, &mut incoming, &mut Dice(1));
        assert!(left.is_empty());
        let complete = incoming.complete().unwrap();
        assert_eq!(complete.unresolved, 0, "{case}");
        if case == "new" {
            assert_eq!(complete.tree.digest, zk_wire::digest::EMPTY_TREE);
            let tree = Tree::new(Config::default().extended, 7);
            let (count, size) = (tree.node_count(), tree.data_size());
            let found = (complete.tree.node_count, complete.tree.data_size);
            assert_eq!(found, (count, size));
        }
    }
}

#[test]
fn a_crash_at_every_call_leaves_the_old_or_the_new() {
    let sent = sent();
    for records in [true, false] {
        let calls = {
            let machine = Machine::new();
            install(&machine, &sent, records).unwrap();
            machine.disk.calls()
        };
        assert!(calls > 40, "{calls}");
        let mut seen = [0, 0];
        for call in 0..=calls {
            for seed in common::seeds(8) {
                let mut dice = Dice(seed << 32 | call);
                let machine = Machine::new();
                machine.disk.stop_at(call);
                let done = install(&machine, &sent, records).is_ok();
                if dice.chance(4) {
                    // Killed: what was written is there, but for the store.
                    machine.disk.kill();
                    for store in machine.stores.lock().unwrap().values() {
                        store.crash(&mut || dice.roll());
                    }
                } else {
                    machine.crash(&mut dice);
                }
                // Starts that are switched off on the way.
                for _ in 0..dice.below(3) {
                    machine.disk.stop_at(dice.below(30));
                    let _ = machine.boot();
                    machine.crash(&mut dice);
                }
                let new = check(&machine, &sent, records);
                assert!(new || !done, "call {call} seed {seed}");
                seen[usize::from(new)] += 1;
                // And it stays so.
                machine.crash(&mut dice);
                assert_eq!(check(&machine, &sent, records), new);
                if !new {
                    install(&machine, &sent, records).unwrap();
                    assert!(check(&machine, &sent, records));
                }
            }
        }
        assert!(seen[0] > 50 && seen[1] > 50, "{seen:?}");
    }
}

#[test]
fn one_installation_after_another() {
    let sent = sent();
    let machine = Machine::new();
    for _ in 0..3 {
        install(&machine, &sent, true).unwrap();
    }
    assert!(check(&machine, &sent, true));
    let (current, _) = zk_disk::base::current(&*machine.disk, &layout()).unwrap();
    assert_eq!(current, layout().store().join("rocks-4"));
}

#[test]
fn what_cannot_be_made_durable_is_not_switched_to() {
    let sent = sent();
    let machine = Machine::new();
    let mut incoming = machine.begin().unwrap();
    receive(&sent, &mut incoming).unwrap();
    let complete = incoming.complete().unwrap();
    let end = stage(&machine, true).unwrap();
    assert!(matches!(
        install::seal(&complete, SNAP, SNAP - 1),
        Err(Error::Misuse(_))
    ));
    complete.store.fail_flushes(true);
    assert!(install::seal(&complete, SNAP, end).is_err());
    drop(complete);
    install::abandon(&*machine.disk, &layout()).unwrap();
    assert!(!check(&machine, &sent, true));
    install(&machine, &sent, true).unwrap();
    assert!(check(&machine, &sent, true));
}

#[test]
fn a_snapshot_that_is_none_is_refused() {
    let stat = StatPersisted::default();
    let said = |nodes: &[&str]| {
        let machine = Machine::new();
        let mut incoming = machine.begin().unwrap();
        let complete = nodes
            .iter()
            .try_for_each(|path| incoming.node(path, None, OPEN_ACL, stat))
            .and_then(|()| incoming.complete());
        match complete {
            Err(Error::Snapshot(why)) => why,
            other => panic!("{nodes:?}: {other:?}"),
        }
    };
    for (nodes, words) in [
        (&["", "/a/b"][..], "\"/a\" has children and is not there"),
        (&["", "/a", "/a/b/c/d", "/a/b"], "\"/a/b/c\" has children"),
        (&["/a"], "\"\" has children"),
        (&[], "no root"),
        (&["", "/a", "/a"], "3 nodes have only 2 paths"),
        (&["", "a"], "\"a\" is not the path"),
        (&["", "/a/"], "is not the path"),
        (&["", "//a"], "is not the path"),
    ] {
        let why = said(nodes);
        assert!(why.contains(words), "{why}");
    }
    let mut incoming = Machine::new().begin().unwrap();
    assert!(incoming.acl(OPEN_ACL, Vec::new()).is_err());
}

#[test]
fn lists_are_numbered_anew_and_a_missing_one_allows_nobody() {
    let machine = Machine::new();
    let mut incoming = machine.begin().unwrap();
    let entry = |perms, id: &'static str| Acl {
        perms,
        id: Id {
            scheme: Some("digest".into()),
            id: Some(id.into()),
        },
    };
    let list = |id| vec![entry(31, id)];
    incoming.acl(900, list("a:b")).unwrap();
    incoming.acl(12, list("c:d")).unwrap();
    // The same again under another number, the open one under a number, and one told twice.
    incoming.acl(13, list("a:b")).unwrap();
    incoming.acl(14, auth::wire_list(&[world(31)])).unwrap();
    incoming.acl(15, list("a:b")).unwrap();
    incoming.acl(15, list("c:d")).unwrap();
    let stat = StatPersisted::default();
    for (path, number) in [
        ("", OPEN_ACL),
        ("/900", 900),
        ("/12", 12),
        ("/13", 13),
        ("/14", 14),
        ("/15", 15),
        ("/16", 16),
        ("/17", -2),
    ] {
        incoming.node(path, None, number, stat).unwrap();
    }
    let Complete {
        store, unresolved, ..
    } = incoming.complete().unwrap();
    let found = nodes(&store);
    let of = |id: &str| {
        vec![Entry {
            perms: 31,
            scheme: "digest".into(),
            id: Some(id.into()),
        }]
    };
    for (path, list) in [
        ("", vec![world(31)]),
        ("/900", of("a:b")),
        ("/12", of("c:d")),
        ("/13", of("a:b")),
        ("/14", vec![world(31)]),
        ("/15", of("c:d")),
        ("/16", install::unresolved().to_vec()),
        ("/17", install::unresolved().to_vec()),
    ] {
        assert_eq!(found[path].1, list, "{path}");
    }
    let mut numbers = BTreeMap::new();
    store
        .acls(&mut |id, list| {
            numbers.insert(id.0, list);
        })
        .unwrap();
    assert_eq!(numbers.len(), 3);
    assert_eq!(numbers[&unresolved], install::unresolved());
}

#[test]
fn children_are_counted_over_many_parents() {
    let machine = Machine::new();
    let mut incoming = machine.begin().unwrap();
    let stat = StatPersisted::default();
    let mut expected = BTreeMap::from([(String::new(), 0)]);
    incoming.node("", None, OPEN_ACL, stat).unwrap();
    // More parents than are counted at once, children first, and one with very many.
    for n in 0..10_000_u32 {
        let parent = format!("/p{n}");
        let children = if n == 5_000 { 9_000 } else { n % 3 };
        for child in 0..children {
            let path = format!("{parent}/{child}");
            incoming.node(&path, None, OPEN_ACL, stat).unwrap();
            expected.insert(path, 0);
        }
        incoming.node(&parent, Some(b"x"), OPEN_ACL, stat).unwrap();
        expected.insert(parent, children);
        *expected.get_mut("").unwrap() += 1;
    }
    let complete = incoming.complete().unwrap();
    let found: BTreeMap<String, u32> = nodes(&complete.store)
        .into_iter()
        .map(|(path, node)| (path, node.2))
        .collect();
    assert_eq!(complete.tree.node_count, expected.len() as u64);
    assert!(found == expected, "another count");
}
