//! Log, store, persister and purge together over disks that forget: after every crash the store
//! and the log's tail give exactly the tree as it was after some transaction, none acknowledged
//! missing.

mod common;

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::Arc;

use common::{Dice, payload};
use zk_core::ids::Zxid;
use zk_core::tree;
use zk_disk::directory::{Boot, Layout, open};
use zk_disk::files::Files;
use zk_disk::log::{Options, Reader, Writer, checksum};
use zk_disk::model::{Fault, ModelFiles};
use zk_disk::persist::{self, Persister};
use zk_disk::purge::{self, Window};
use zk_disk::store::{Batch, Meta, ModelStore, Store};

/// Path to the zxid that last set it. A transaction sets or deletes one path, both of which follow
/// from its payload.
type Tree = BTreeMap<String, i64>;

fn apply(tree: &mut Tree, batch: &mut Batch, zxid: i64, payload: &[u8]) {
    let pick = u64::from(checksum(payload));
    let path = format!("/{}", pick % 13);
    if pick.is_multiple_of(5) {
        if tree.remove(&path).is_some() {
            batch.delete_node(&path, 0);
        }
    } else {
        batch.put_node(&path, &common::row(zxid, 0, &payload[32..]));
        tree.insert(path, zxid);
    }
    let tree_meta = tree::Meta {
        zxid: Zxid(zxid),
        node_count: tree.len() as u64,
        ..tree::Meta::default()
    };
    batch.set_meta(Meta {
        tree: tree_meta,
        record: checksum(payload),
    });
}

struct World {
    disk: Arc<ModelFiles>,
    store: ModelStore,
    layout: Layout,
    /// Payloads by zxid - 1, and the tree after each.
    history: Vec<(Vec<u8>, Tree)>,
    acknowledged: usize,
    purged: usize,
    force_sync: bool,
}

impl World {
    fn expected(&self, zxid: usize) -> Tree {
        if zxid == 0 {
            Tree::new()
        } else {
            self.history[zxid - 1].1.clone()
        }
    }

    /// Starts, checks what was found, works for a while. Errors of the model end the life; what a
    /// start finds wrong is returned.
    fn live(&mut self, dice: &mut Dice) -> Result<(), String> {
        let text = |e: zk_disk::Error| e.to_string();
        let files: Arc<dyn Files> = self.disk.clone();
        let store = self.store.clone();
        let opened = open(&files, &self.layout, &mut |_| Ok(store.clone())).map_err(text)?;
        let (mut tree, mut zxid, replay) = match &opened.boot {
            Boot::Fresh => (Tree::new(), 0, None),
            Boot::Rebuild {
                until,
                damaged: None,
            } => (Tree::new(), 0, Some((1, *until))),
            Boot::Rebuild {
                damaged: Some(why), ..
            } => return Err(format!("store damaged: {why}")),
            Boot::Open { meta, replay, .. } => {
                let mut tree = Tree::new();
                opened
                    .store
                    .scan(None, &mut |path, row| {
                        tree.insert(path.to_owned(), row.stat.czxid);
                        ControlFlow::Continue(())
                    })
                    .map_err(text)?;
                if meta.tree.node_count != tree.len() as u64 {
                    return Err(format!("{} nodes in the store, meta {meta:?}", tree.len()));
                }
                (tree, meta.tree.zxid.0, *replay)
            }
        };
        let options = persist::Options {
            write_after_ms: 20,
            write_bytes: 2_000,
            flush_log_bytes: 5_000,
            flush_after_ms: 200,
            dirty_bytes: 10_000,
        };
        let persisted = zxid;
        if tree != self.expected(zxid as usize) {
            return Err(format!("the store at {zxid} is no state of the tree"));
        }
        let mut now = 0;
        let mut replayed = Vec::new();
        if let Some((from, until)) = replay {
            let logs = self.layout.logs();
            let mut reader = Reader::open(files.clone(), &logs, from, until).map_err(text)?;
            while let Some(record) = reader.next_record().map_err(text)? {
                if record.zxid != zxid + 1 {
                    return Err(format!("replayed {} after {zxid}", record.zxid));
                }
                zxid = record.zxid;
                let mut batch = Batch::new();
                apply(&mut tree, &mut batch, zxid, record.payload);
                replayed.push((batch, record.payload.len() as u64));
            }
        }
        let end = opened.log.last_zxid.unwrap_or(0);
        if zxid != end || (end as usize) < self.acknowledged || end as usize > self.history.len() {
            return Err(format!(
                "at {zxid}, log to {end}, acknowledged {}",
                self.acknowledged
            ));
        }
        if tree != self.expected(end as usize) {
            return Err(format!("after replay to {end} the tree is another"));
        }
        self.history.truncate(end as usize);
        self.acknowledged = end as usize;
        let writer_options = Options {
            prealloc: 4_096,
            segment_size: 1_500,
            segment_records: 0,
            force_sync: self.force_sync,
        };
        let logs = self.layout.logs();
        let mut segments = opened.log.segments.clone();
        let writer = Writer::open(files.clone(), &logs, writer_options, &opened.log, zxid);
        let Ok(mut writer) = writer else {
            return Ok(());
        };
        let mut persister = Persister::new(options, persisted, writer.late_sync());
        for (batch, bytes) in replayed {
            persister.take(&batch, bytes, now);
        }
        for _ in 0..dice.below(40) {
            let mut batch = Batch::new();
            let mut bytes = 0;
            for _ in 0..=dice.below(5) {
                zxid += 1;
                let payload = payload(zxid, dice.below(200) as usize, dice.roll());
                if writer.append(zxid, &payload).is_err() {
                    return Ok(());
                }
                bytes += payload.len() as u64;
                apply(&mut tree, &mut batch, zxid, &payload);
                self.history.push((payload, tree.clone()));
            }
            // Only what is durable in the log, or will be made so first, may go to the store.
            if writer.sync().is_err() {
                return Ok(());
            }
            self.acknowledged = zxid as usize;
            persister.take(&batch, bytes, now);
            now += dice.below(30);
            if persister.run(&self.store, now).is_err() {
                return Ok(());
            }
            if persister.flushed() > writer.durable() {
                return Err("the store is ahead of the log".into());
            }
            if dice.chance(4) {
                segments.extend(writer.take_finished());
                let mut all = segments.clone();
                all.extend(writer.segment().cloned());
                let plan = purge::decide(&purge::Facts {
                    segments: &all,
                    persisted: persister.flushed(),
                    window: Window {
                        txns: 10,
                        bytes: u64::MAX,
                    },
                    snapshots: &[],
                    readers: None,
                });
                if purge::execute(&*files, &logs, &plan).is_err() {
                    return Ok(());
                }
                segments.retain(|s| !plan.remove.contains(&s.path));
                self.purged += plan.remove.len();
            }
        }
        if dice.chance(3) {
            persister.stop();
            if persister.run(&self.store, now).is_ok() && persister.flushed() != zxid {
                return Err("a clean stop left rows behind".into());
            }
            let _ = writer.close();
        }
        Ok(())
    }
}

fn run(seed: u64, force_sync: bool) -> Result<usize, String> {
    let mut dice = Dice(seed);
    let mut world = World {
        disk: Arc::new(ModelFiles::new()),
        store: ModelStore::new(),
        layout: Layout::new("/data", "/log"),
        history: Vec::new(),
        acknowledged: 0,
        purged: 0,
        force_sync,
    };
    for _ in 0..8 {
        // Faults come after the start: a start that cannot write is refused, which is no finding.
        let fault = dice.below(8);
        match fault {
            0 => world.disk.fail_after(Fault::Sync, dice.below(30)),
            1 => world.disk.stop_at(dice.below(120)),
            2 => world.store.fail_writes(true),
            3 => world.store.fail_flushes(true),
            _ => {}
        }
        match world.live(&mut dice) {
            Ok(()) => {}
            Err(why) if fault < 2 && why.contains("model disk") => {}
            Err(why) => return Err(why),
        }
        if dice.chance(3) {
            world.disk.kill();
        } else {
            world.disk.crash(&mut || dice.roll());
            if !force_sync {
                // What was acknowledged may be lost. What the store has must not be ahead of the log,
                // which the next start would refuse.
                world.acknowledged = 0;
            }
        }
        world.store.crash(&mut || dice.roll());
    }
    world.live(&mut dice)?;
    Ok(world.purged)
}

#[test]
fn the_store_and_the_tail_are_the_tree() {
    let mut purged = 0;
    for seed in common::seeds(250) {
        purged += run(seed, true).unwrap_or_else(|why| panic!("seed {seed}: {why}"));
    }
    assert!(purged > 100, "only {purged} segments were ever purged");
}

#[test]
fn without_fsync_the_store_is_never_ahead_of_the_log() {
    for seed in common::seeds(250) {
        run(seed, false).unwrap_or_else(|why| panic!("seed {seed}: {why}"));
    }
}
