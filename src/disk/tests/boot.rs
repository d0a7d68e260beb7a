//! The boot decision: every combination of store, log and snapshots that a start may meet, and
//! that a refused start changes nothing.

mod common;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use common::{Truth, batch_of, disk, meta, payload};
use zk_disk::Error;
use zk_disk::directory::{Boot, Facts, Layout, Lock, Opened, StoreFound, decide, open};
use zk_disk::files::Files;
use zk_disk::log::{Recovered, Segment, checksum};
use zk_disk::model::ModelFiles;
use zk_disk::store::{Base, Family, Merged, Meta, ModelStore, Store};
use zk_wire::file::txn_log;

fn layout() -> Layout {
    Layout::new("/data", "/log")
}

/// A log from one zxid to another, with the record that a store at `probe` compares.
fn log(first: i64, last: i64, probe: Option<i64>) -> Recovered {
    if last < first {
        return Recovered::default();
    }
    let segment = Segment {
        path: PathBuf::from(format!("/log/version-2/log.{first:x}")),
        first,
        last,
        records: 1,
        end: 99,
    };
    Recovered {
        segments: vec![segment],
        first_zxid: Some(first),
        last_zxid: Some(last),
        probe: probe
            .filter(|z| (first..=last).contains(z))
            .map(|zxid| zk_disk::log::Probe {
                zxid,
                checksum: zxid as u32,
                payload: Vec::new(),
            }),
        ..Recovered::default()
    }
}

const NO_LOG: (i64, i64) = (1, 0);

fn judge(store: StoreFound, (first, last): (i64, i64), snapshots: &[i64]) -> Result<Boot, String> {
    let probe = match &store {
        StoreFound::Present(meta) => Some(meta.tree.zxid.0),
        StoreFound::Missing | StoreFound::Damaged(_) => None,
    };
    let log = log(first, last, probe);
    let facts = Facts {
        layout: &layout(),
        store: &store,
        base: Base::default(),
        installed: false,
        log: &log,
        snapshots,
    };
    decide(&facts).map_err(|e| {
        let text = e.to_string();
        assert!(matches!(e, Error::Refused { .. }), "{text}");
        text
    })
}

fn refused(store: StoreFound, log: (i64, i64), snapshots: &[i64], words: &[&str]) {
    let text = judge(store, log, snapshots).expect_err("must be refused");
    for word in words {
        assert!(text.contains(word), "no {word:?} in: {text}");
    }
}

#[test]
fn nothing_there_is_a_fresh_start() {
    assert_eq!(judge(StoreFound::Missing, NO_LOG, &[]), Ok(Boot::Fresh));
}

#[test]
fn without_a_store_only_a_complete_log_will_do() {
    let rebuild = |until, damaged| Ok(Boot::Rebuild { until, damaged });
    assert_eq!(judge(StoreFound::Missing, (1, 9), &[]), rebuild(9, None));
    let damaged = || StoreFound::Damaged("rot".into());
    assert_eq!(
        judge(damaged(), (1, 9), &[]),
        rebuild(9, Some("rot".into()))
    );
    refused(
        StoreFound::Missing,
        (2, 9),
        &[],
        &["0x2", "0x9", "no store /data/zabkeeper-store", "Restore"],
    );
    refused(
        StoreFound::Missing,
        (0x1_0000_0001, 0x1_0000_0004),
        &[],
        &["0x100000001"],
    );
    refused(damaged(), (2, 9), &[], &["damaged (rot)", "0x2"]);
    refused(
        damaged(),
        NO_LOG,
        &[],
        &["damaged (rot)", "no log in /log/version-2"],
    );
}

#[test]
fn a_snapshot_of_java_without_our_store_is_refused() {
    for log in [NO_LOG, (1, 9), (5, 9)] {
        for store in [StoreFound::Missing, StoreFound::Damaged("rot".into())] {
            refused(
                store,
                log,
                &[0, 7],
                &["snapshot.7", "/data/version-2", "cannot be taken over"],
            );
        }
    }
}

#[test]
fn the_log_must_continue_the_store() {
    let at = |zxid| StoreFound::Present(meta(zxid));
    let opened = |zxid, replay| {
        Ok(Boot::Open {
            meta: meta(zxid),
            replay,
            stranded: vec![],
        })
    };
    assert_eq!(judge(at(0), NO_LOG, &[]), opened(0, None));
    assert_eq!(judge(at(0), (1, 9), &[]), opened(0, Some((1, 9))));
    assert_eq!(judge(at(5), (1, 9), &[]), opened(5, Some((6, 9))));
    assert_eq!(judge(at(9), (1, 9), &[]), opened(9, None));
    assert_eq!(judge(at(5), (5, 9), &[]), opened(5, Some((6, 9))));
    assert_eq!(judge(at(5), (6, 9), &[]), opened(5, Some((6, 9))));
    // A new epoch goes on from any zxid of an earlier one.
    let epoch = 0x1_0000_0001;
    assert_eq!(
        judge(at(5), (epoch, epoch + 2), &[]),
        opened(5, Some((epoch, epoch + 2)))
    );
    refused(
        at(5),
        (7, 9),
        &[],
        &["zxid 0x5", "begins with 0x7", "missing"],
    );
    refused(at(5), (epoch + 1, epoch + 2), &[], &["missing"]);
    refused(at(5), (1, 4), &[], &["ends at zxid 0x4", "at 0x5"]);
    refused(
        at(5),
        NO_LOG,
        &[],
        &["zxid 0x5", "no log in /log/version-2", "dataLogDir"],
    );
}

#[test]
fn a_log_without_records_must_not_have_been_begun_later() {
    for (name, fresh) in [("log.1", true), ("log.5", false), ("log.100000001", false)] {
        for bytes in [&b""[..], &jute::Encode::to_vec(&txn_log::HEADER)] {
            let mut machine = Machine::new();
            let path = layout().logs().join(name);
            machine.disk.create_dir(&layout().logs()).unwrap();
            machine.disk.tamper(&path, |file| *file = bytes.to_vec());
            match machine.open().map(|opened| opened.boot) {
                Ok(boot) => assert_eq!((boot, fresh), (Boot::Fresh, true), "{name}"),
                Err(error) => {
                    let text = error.to_string();
                    assert!(!fresh && text.contains(name), "{text}");
                    assert!(machine.disk.exists(&path).unwrap());
                }
            }
        }
    }
}

#[test]
fn the_log_must_be_of_the_stores_history() {
    let other = |record| StoreFound::Present(Meta { record, ..meta(5) });
    refused(other(77), (1, 9), &[], &["not of one history", "0x5"]);
    assert!(judge(other(0), (1, 9), &[]).is_ok(), "no checksum is known");
    // The log has a zxid below and one above, but not this one.
    let store = StoreFound::Present(meta(5));
    let gap = log(1, 9, None);
    let facts = Facts {
        layout: &layout(),
        store: &store,
        base: Base::default(),
        installed: false,
        log: &gap,
        snapshots: &[],
    };
    assert!(
        decide(&facts)
            .unwrap_err()
            .to_string()
            .contains("no transaction with the zxid 0x5")
    );
}

#[test]
fn a_snapshot_beside_our_store() {
    let at = |zxid| StoreFound::Present(meta(zxid));
    for snapshots in [&[0_i64][..], &[3, 9]] {
        assert!(judge(at(5), (1, 9), snapshots).is_ok());
    }
    let Ok(Boot::Open { stranded, .. }) = judge(at(5), (3, 9), &[0, 1, 2]) else {
        panic!()
    };
    assert_eq!(stranded, [0, 1], "2 is continued by 3");
    refused(
        at(5),
        (1, 9),
        &[10],
        &["snapshot.a", "newer than the last zxid 0x9"],
    );
    refused(at(0), NO_LOG, &[0], &["snapshot.0"]);
}

/// A model disk and store, opened as a server does.
struct Machine {
    disk: Arc<ModelFiles>,
    store: ModelStore,
    opens: usize,
}

impl Machine {
    fn new() -> Machine {
        Machine {
            disk: Arc::new(ModelFiles::new()),
            store: ModelStore::new(),
            opens: 0,
        }
    }

    fn open(&mut self) -> zk_disk::Result<Opened<ModelStore>> {
        let files: Arc<dyn Files> = self.disk.clone();
        let (store, opens) = (&self.store, &mut self.opens);
        open(&files, &layout(), &mut |folder| {
            assert_eq!(folder, Path::new("/data/zabkeeper-store/rocks"));
            *opens += 1;
            Ok(store.clone())
        })
    }

    fn write_log(&self, first: i64, last: i64) {
        let path = layout().logs().join(format!("log.{first:x}"));
        self.disk.tamper(&path, |bytes| {
            bytes.extend_from_slice(&jute::Encode::to_vec(&txn_log::HEADER));
            for zxid in first..=last {
                txn_log::encode_payload(&payload(zxid, 9, 0), bytes);
            }
        });
    }

    fn write_store(&self, zxid: i64, record: u32) {
        let mut truth = Truth {
            zxid: zxid - 1,
            ..Truth::default()
        };
        let mut batch = batch_of(&mut truth, &mut common::Dice(3));
        batch.set_meta(Meta {
            record,
            ..meta(zxid)
        });
        let mut merged = Merged::new();
        merged.add(&batch);
        self.store.write(&merged).unwrap();
        self.store.flush().unwrap();
    }
}

#[test]
fn a_fresh_start_makes_the_layout_and_is_found_again() {
    let mut machine = Machine::new();
    let opened = machine.open().unwrap();
    assert_eq!(opened.boot, Boot::Fresh);
    for dir in ["/data/version-2", "/log/version-2", "/data/zabkeeper-store"] {
        assert!(machine.disk.exists(Path::new(dir)).unwrap(), "{dir}");
    }
    let format = machine
        .disk
        .bytes(Path::new("/data/zabkeeper-store/FORMAT"))
        .unwrap();
    assert_eq!(format, b"zabkeeper-store 2\n");
    assert_eq!(
        machine.open().unwrap().boot,
        Boot::Fresh,
        "nothing was written yet"
    );
    machine.write_store(4, checksum(&payload(4, 9, 0)));
    machine.write_log(1, 6);
    let opened = machine.open().unwrap();
    assert_eq!(
        opened.boot,
        Boot::Open {
            meta: Meta {
                record: checksum(&payload(4, 9, 0)),
                ..meta(4)
            },
            replay: Some((5, 6)),
            stranded: vec![]
        }
    );
    assert_eq!(opened.log.last_zxid, Some(6));
    // A store of another log at the same zxid.
    machine.write_store(4, 1);
    assert!(matches!(machine.open(), Err(Error::Refused { .. })));
}

#[test]
fn every_kill_point_of_a_fresh_start_leads_to_a_fresh_start() {
    let mut machine = Machine::new();
    machine.open().unwrap();
    let calls = machine.disk.calls();
    assert!(calls > 10, "{calls}");
    for call in 0..calls {
        for seed in 0..30 {
            let mut dice = common::Dice(seed);
            let mut machine = Machine::new();
            machine.disk.stop_at(call);
            assert!(machine.open().is_err());
            machine.disk.crash(&mut || dice.roll());
            let opened = machine
                .open()
                .unwrap_or_else(|e| panic!("call {call} seed {seed}: {e}"));
            assert_eq!(opened.boot, Boot::Fresh);
        }
    }
}

#[test]
fn what_a_killed_start_made_is_made_durable_by_the_next() {
    let mut machine = Machine::new();
    machine.open().unwrap();
    let calls = machine.disk.calls();
    for call in 0..calls {
        for seed in 0..20 {
            let mut dice = common::Dice(seed);
            let mut machine = Machine::new();
            machine.disk.stop_at(call);
            assert!(machine.open().is_err());
            machine.disk.kill();
            let opened = machine.open().unwrap();
            let files: Arc<dyn Files> = machine.disk.clone();
            let options = zk_disk::log::Options {
                prealloc: 0,
                ..Default::default()
            };
            let logs = layout().logs();
            let mut writer =
                zk_disk::log::Writer::open(files, &logs, options, &opened.log, 0).unwrap();
            writer.append(1, &payload(1, 9, 0)).unwrap();
            assert_eq!(writer.sync().unwrap(), 1);
            machine.disk.crash(&mut || dice.roll());
            let opened = machine.open().unwrap();
            assert_eq!(
                opened.boot,
                Boot::Rebuild {
                    until: 1,
                    damaged: None
                },
                "call {call} seed {seed}"
            );
        }
    }
}

#[test]
fn a_newer_format_is_refused_before_the_store_is_touched() {
    let mut machine = Machine::new();
    machine.open().unwrap();
    let format = PathBuf::from("/data/zabkeeper-store/FORMAT");
    machine
        .disk
        .tamper(&format, |bytes| *bytes = b"zabkeeper-store 3\n".to_vec());
    let opens = machine.opens;
    let refused = machine.open().map(|_| ());
    assert!(
        matches!(
            refused,
            Err(Error::NewerFormat {
                found: 3,
                known: 2,
                ..
            })
        ),
        "{refused:?}"
    );
    assert_eq!(machine.opens, opens);
    machine
        .disk
        .tamper(&format, |bytes| *bytes = b"something else".to_vec());
    machine.write_log(2, 3);
    let text = machine.open().map(|_| ()).unwrap_err().to_string();
    assert!(text.contains("not a format file"), "{text}");
}

#[test]
fn a_store_of_the_first_version_is_opened_and_brought_up_to_date() {
    let mut machine = Machine::new();
    machine.open().unwrap();
    machine.write_store(4, 0);
    machine.write_log(1, 6);
    let format = PathBuf::from("/data/zabkeeper-store/FORMAT");
    let age = |machine: &Machine| {
        let (disk, store) = (&machine.disk, &machine.store);
        disk.tamper(&format, |bytes| *bytes = b"zabkeeper-store 1\n".to_vec());
        store.tamper(Family::Meta, b"format", Some(&1_u64.to_be_bytes()));
        disk.kill();
    };
    age(&machine);
    let opened = machine.open().unwrap();
    assert!(
        matches!(opened.boot, Boot::Open { .. }),
        "{:?}",
        opened.boot
    );
    assert_eq!(opened.base, Base::default());
    assert_eq!(machine.disk.bytes(&format).unwrap(), b"zabkeeper-store 2\n");
    let calls = machine.disk.calls();
    for call in 0..calls {
        age(&machine);
        machine.disk.stop_at(call);
        let _ = machine.open();
        let mut dice = common::Dice(call);
        machine.disk.crash(&mut || dice.roll());
        machine.open().unwrap();
        assert_eq!(machine.disk.bytes(&format).unwrap(), b"zabkeeper-store 2\n");
    }
}

#[test]
fn beside_a_store_that_was_installed_the_log_may_be_empty_and_never_rebuilds_it() {
    let base = Base {
        log_floor: 5,
        ..Base::default()
    };
    let judge = |store: StoreFound, (first, last): (i64, i64)| {
        let log = log(first, last, Some(5));
        decide(&Facts {
            layout: &layout(),
            store: &store,
            base,
            installed: true,
            log: &log,
            snapshots: &[],
        })
    };
    let open = |zxid, replay| Boot::Open {
        meta: meta(zxid),
        replay,
        stranded: vec![],
    };
    let at = |zxid| StoreFound::Present(meta(zxid));
    assert_eq!(judge(at(5), NO_LOG).unwrap(), open(5, None));
    assert_eq!(judge(at(5), (6, 9)).unwrap(), open(5, Some((6, 9))));
    assert!(judge(at(6), NO_LOG).is_err(), "the log of 6 is gone");
    for store in [StoreFound::Missing, StoreFound::Damaged("rot".into())] {
        for log in [NO_LOG, (1, 9), (6, 9)] {
            let said = judge(store.clone(), log).unwrap_err().to_string();
            assert!(said.contains("taken over from another server"), "{said}");
        }
    }
}

#[test]
fn the_pointed_folder_is_opened_and_the_others_go() {
    let mut machine = Machine::new();
    machine.open().unwrap();
    machine.write_store(4, 0);
    machine.write_log(1, 6);
    let folder = |name: &str| layout().store().join(name);
    for name in ["rocks", "rocks-2", "rocks-3"] {
        machine.disk.create_dir(&folder(name)).unwrap();
    }
    machine.disk.tamper(&layout().base_pointer(), |file| {
        *file = b"rocks-2\n".to_vec()
    });
    let files: Arc<dyn Files> = machine.disk.clone();
    let mut opened = Vec::new();
    open(&files, &layout(), &mut |folder| {
        opened.push(folder.to_path_buf());
        Ok(machine.store.clone())
    })
    .unwrap();
    assert_eq!(opened, [folder("rocks-2")]);
    let left = machine.disk.list(&layout().store()).unwrap();
    assert_eq!(left, ["FORMAT", "base", "rocks-2"]);
    // What the pointer names has nothing in it: the store was taken away.
    let refused = open(&files, &layout(), &mut |_| Ok(ModelStore::new()));
    assert!(matches!(refused, Err(Error::Refused { .. })));
}

#[test]
fn what_is_known_to_be_committed_is_told() {
    let mut machine = Machine::new();
    assert_eq!(machine.open().unwrap().committed(), 0);
    machine.write_store(4, 0);
    machine.write_log(1, 9);
    assert_eq!(machine.open().unwrap().committed(), 4);
    let opened = machine.open().unwrap();
    let files: Arc<dyn Files> = machine.disk.clone();
    let options = zk_disk::log::Options::default();
    let logs = layout().logs();
    let mut writer = zk_disk::log::Writer::open(files, &logs, options, &opened.log, 9).unwrap();
    writer.set_committed(7);
    writer.append(10, &payload(10, 9, 0)).unwrap();
    writer.sync().unwrap();
    assert_eq!(machine.open().unwrap().committed(), 7);
}

#[test]
fn a_damaged_store_beside_a_complete_log_is_moved_aside_and_rebuilt() {
    let mut machine = Machine::new();
    machine.open().unwrap();
    machine.write_store(4, 0);
    machine.write_log(1, 6);
    machine
        .store
        .tamper(zk_disk::store::Family::Meta, b"digest", None);
    let files: Arc<dyn Files> = machine.disk.clone();
    let (damaged, fresh) = (machine.store.clone(), ModelStore::new());
    let mut opens = 0;
    let opened = open(&files, &layout(), &mut |_| {
        opens += 1;
        Ok(if opens == 1 {
            damaged.clone()
        } else {
            fresh.clone()
        })
    })
    .unwrap();
    assert!(
        matches!(&opened.boot, Boot::Rebuild { until: 6, damaged: Some(why) } if why.contains("digest"))
    );
    assert_eq!(
        opened.set_aside,
        Some(PathBuf::from("/data/zabkeeper-store.damaged-1"))
    );
    assert!(
        machine
            .disk
            .exists(Path::new("/data/zabkeeper-store.damaged-1/FORMAT"))
            .unwrap()
    );
    assert_eq!(opened.store.meta().unwrap(), None);
}

#[test]
fn a_refused_start_changes_nothing() {
    let mut machine = Machine::new();
    machine.open().unwrap();
    machine.write_store(4, 0);
    machine.write_log(1, 9);
    let log = layout().logs().join("log.1");
    // A torn tail that would be cut, beside a snapshot that is too new.
    machine
        .disk
        .tamper(&log, |bytes| bytes.truncate(bytes.len() - 3));
    machine
        .disk
        .tamper(&layout().snapshots().join("snapshot.20"), |_| ());
    let before = machine.disk.bytes(&log);
    machine.disk.kill();
    assert!(matches!(machine.open(), Err(Error::Refused { .. })));
    assert_eq!(machine.disk.calls(), 0);
    assert_eq!(machine.disk.bytes(&log), before);
    // A hole in the log.
    machine
        .disk
        .tamper(&layout().logs().join("log.c"), |bytes| {
            bytes.extend_from_slice(&jute::Encode::to_vec(&txn_log::HEADER));
            txn_log::encode_payload(&payload(12, 9, 0), bytes);
        });
    assert!(machine.open().is_err());
    assert_eq!(machine.disk.calls(), 0);
}

#[test]
fn names_of_other_files_do_not_matter() {
    let disk = disk();
    for name in [
        "myid",
        "acceptedEpoch",
        "snapshot",
        "snapshot.x",
        "log.zz",
        "zabkeeper.mark",
    ] {
        disk.tamper(&Path::new("/log/version-2").join(name), |_| ());
    }
    let found = zk_disk::directory::snapshots(&*disk, Path::new("/log/version-2")).unwrap();
    assert_eq!(found, []);
    disk.tamper(Path::new("/log/version-2/snapshot.a.gz"), |_| ());
    disk.tamper(Path::new("/log/version-2/snapshot.2"), |_| ());
    let found = zk_disk::directory::snapshots(&*disk, Path::new("/log/version-2")).unwrap();
    assert_eq!(found, [2, 10]);
}

#[test]
fn the_lock_is_exclusive_and_ends_with_its_holder() {
    let folder = tempfile::tempdir().unwrap();
    let (data, log) = (folder.path().join("data"), folder.path().join("log"));
    let held = Lock::take(&Layout::new(&data, &log)).unwrap();
    for other in [
        Layout::new(&data, &log),
        Layout::new(folder.path().join("x"), &log),
        Layout::new(&data, &data),
    ] {
        let refused = Lock::take(&other);
        assert!(
            matches!(refused, Err(Error::Locked { .. })),
            "{other:?}: {refused:?}"
        );
    }
    drop(held);
    // One folder for both, once through a link.
    std::os::unix::fs::symlink(&data, folder.path().join("link")).unwrap();
    let _held = Lock::take(&Layout::new(&data, folder.path().join("link"))).unwrap();
}
