//! The tree made anew, from the store alone and from the log alone: both must be what the model
//! says.

use std::ops::ControlFlow;

use zk_core::Config;
use zk_core::tree::Tree;
use zk_disk::log::{Reader, ScanOptions, scan};
use zk_disk::store::Store;

use super::Disks;
use super::boot::{partial, replay_record};
use super::load;
use crate::check::{Judge, Verdict, compare};
use crate::plan::Syncs;

/// Makes both and compares them.
///
/// # Errors
/// What differs.
pub fn rebuild(disks: &Disks, config: &Config, judge: &Judge) -> Verdict {
    from_store(disks, config, judge).map_err(|what| format!("tree from the store: {what}"))?;
    from_log(disks, config, judge).map_err(|what| format!("tree from the log: {what}"))
}

fn from_store(disks: &Disks, config: &Config, judge: &Judge) -> Verdict {
    let store = &disks.store;
    let Some(meta) = store.meta().map_err(|e| e.to_string())? else {
        return Ok(());
    };
    let mut tree = partial(config, store, meta.tree).map_err(|e| e.to_string())?;
    let mut paths = Vec::new();
    let scan = store.scan(None, &mut |path, _| {
        paths.push(path.to_owned());
        ControlFlow::Continue(())
    });
    scan.map_err(|e| e.to_string())?;
    let names: Vec<&str> = paths.iter().map(String::as_str).collect();
    let rows = store.nodes(&names).map_err(|e| e.to_string())?;
    let early = load::install(&mut tree, paths.into_iter().zip(rows).collect())?;
    if !early.is_empty() {
        return Err(format!("rows without parents: {early:?}"));
    }
    let stored = tree.acls().len();
    tree.set_complete();
    if tree.acls().len() > stored {
        return Err("lists came out of nothing".into());
    }
    compare(&tree, judge.state(meta.tree.zxid.0))
}

fn from_log(disks: &Disks, config: &Config, judge: &Judge) -> Verdict {
    let files = disks.files(Syncs::All);
    let dir = Disks::layout().logs();
    let found = scan(&*files, &dir, ScanOptions::default()).map_err(|e| e.to_string())?;
    // Of a log that was purged, the store is the beginning.
    let (Some(1), Some(last)) = (found.first_zxid, found.last_zxid) else {
        return Ok(());
    };
    let mut tree = Tree::new(config.extended, config.seed);
    let mut reader = Reader::open(files, &dir, 1, last).map_err(|e| e.to_string())?;
    while let Some(record) = reader.next_record().map_err(|e| e.to_string())? {
        replay_record(&mut tree, config, &disks.store, record.payload)?;
    }
    compare(&tree, judge.state(last))
}
