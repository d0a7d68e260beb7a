//! The tree of a start: the store's rows that every start needs, and the log behind them.
//!
//! Owns the order in which they are read. Does not know roles, threads or sockets.

use std::sync::Arc;
use std::time::Instant;

use parking_lot::RwLock;
use zk_core::Config;
use zk_core::node::{self, ReplayError};
use zk_core::tree::{Need, Tree};
use zk_disk::directory::{Boot, Layout};
use zk_disk::files::Files;
use zk_disk::log::{Reader, checksum};
use zk_disk::store::{Batch, Merged, Meta, Store};
use zk_ops::metrics::Metrics;

use crate::boot::Refusal;
use crate::loads;

/// A tree, and what it was read from.
#[derive(Debug)]
pub struct Recovered {
    /// The tree.
    pub tree: Tree,
    /// Zxid of the store.
    pub persisted: i64,
    /// Checksum of the last record that was replayed, or that the store is at.
    pub record: u32,
}

/// The tree as of the end of the log, or of `bound`, if that is earlier: what lies behind it may
/// never have been committed.
#[allow(clippy::too_many_arguments)]
pub fn recover_tree(
    core: &Config,
    files: &Arc<dyn Files>,
    layout: &Layout,
    store: &dyn Store,
    boot: &Boot,
    may_be_new: bool,
    bound: i64,
    metrics: &Metrics,
) -> Result<Recovered, Refusal> {
    let start = Instant::now();
    match boot {
        Boot::Fresh => {
            if !may_be_new {
                return Err(Refusal::new(
                    "there is no database and zookeeper.db.autocreate is off",
                ));
            }
            metrics.startup_snap_load_time.record(0);
            Ok(Recovered {
                tree: Tree::new(core.extended, core.seed),
                persisted: 0,
                record: 0,
            })
        }
        Boot::Rebuild { until, .. } => {
            let mut tree = Tree::new(core.extended, core.seed);
            let until = bound.min(*until);
            let record = replay(core, files, layout, store, &mut tree, 1, until, metrics)?;
            Ok(Recovered {
                tree,
                persisted: 0,
                record,
            })
        }
        Boot::Open {
            meta, replay: tail, ..
        } => {
            let mut tree = open_tree(core, store, meta)?;
            let mut record = meta.record;
            let took = start.elapsed().as_millis() as i64;
            metrics.startup_snap_load_time.record(took);
            if let Some((from, until)) = *tail
                && from <= bound.min(until)
            {
                let until = bound.min(until);
                record = replay(core, files, layout, store, &mut tree, from, until, metrics)?;
            }
            Ok(Recovered {
                tree,
                persisted: meta.tree.zxid.0,
                record,
            })
        }
    }
}

/// The tree of a store: sessions, lists, owners, quotas and the root are there, the other nodes
/// come when they are asked for.
pub fn open_tree(core: &Config, store: &dyn Store, meta: &Meta) -> Result<Tree, Refusal> {
    let mut tree = Tree::partial(core.extended, core.seed, meta.tree);
    store.sessions(&mut |id, timeout| tree.restore_session(id, timeout))?;
    store.acls(&mut |id, list| tree.restore_acl(id, list))?;
    store.owners(&mut |owner, path| tree.restore_owner(path, owner))?;
    let tree = RwLock::new(tree);
    load(store, &tree, &Need::Node("".into()))?;
    load_quotas(store, &tree)?;
    Ok(tree.into_inner())
}

/// Writes the tree as it is to its store, durably.
///
/// # Errors
/// What the store says.
pub fn flush_now(store: &dyn Store, tree: &mut Tree, record: u32) -> Result<(), Refusal> {
    let mut batch = Batch::new();
    let mut failed = None;
    let meta = tree.drain_changes(&mut |change| {
        if let Err(error) = batch.change(&change) {
            failed = Some(error);
        }
    });
    if let Some(error) = failed {
        return Err(error.into());
    }
    batch.set_meta(Meta { tree: meta, record });
    let mut merged = Merged::new();
    merged.add(&batch);
    store.write(&merged)?;
    store.flush()?;
    Ok(())
}

fn load(store: &dyn Store, tree: &RwLock<Tree>, need: &Need) -> Result<(), Refusal> {
    let rows = loads::read(store, tree, need)?;
    loads::put(&mut tree.write(), &rows);
    Ok(())
}

/// Everything below `/zookeeper/quota` is resident before anything is judged.
fn load_quotas(store: &dyn Store, tree: &RwLock<Tree>) -> Result<(), Refusal> {
    loop {
        let settled = tree.write().settle_quotas();
        match settled {
            Ok(()) => return Ok(()),
            Err(need) => load(store, tree, &need)?,
        }
    }
}

/// Replays a part of the log; returns the checksum of its last record.
#[allow(clippy::too_many_arguments)]
fn replay(
    core: &Config,
    files: &Arc<dyn Files>,
    layout: &Layout,
    store: &dyn Store,
    tree: &mut Tree,
    from: i64,
    until: i64,
    metrics: &Metrics,
) -> Result<u32, Refusal> {
    let mut reader = Reader::open(files.clone(), &layout.logs(), from, until)?;
    let start = Instant::now();
    let mut count = 0_u64;
    let mut last = 0;
    let held = RwLock::new(std::mem::replace(tree, Tree::new(core.extended, core.seed)));
    while let Some(record) = reader.next_record()? {
        loop {
            let done = node::replay(&mut held.write(), core, record.payload);
            match done {
                Ok(done) => {
                    if let Some(wrong) = done.mismatch {
                        return Err(Refusal::new(format!(
                            "after the transaction with zxid {} of the log in {}: {wrong}. Store and log are not of one history, or one of them is damaged: restore both from a backup",
                            done.zxid,
                            layout.logs().display()
                        )));
                    }
                    break;
                }
                Err(ReplayError::Need(Need::All)) => {
                    load_all(store, &held)?;
                }
                Err(ReplayError::Need(need)) => load(store, &held, &need)?,
                Err(ReplayError::Undecodable(error)) => {
                    return Err(Refusal::new(format!(
                        "a record of the log in {} is no transaction ({error}): restore the directory from a backup",
                        layout.logs().display()
                    )));
                }
            }
        }
        count += 1;
        last = checksum(record.payload);
    }
    *tree = held.into_inner();
    let took = start.elapsed().as_millis() as i64;
    metrics.startup_txns_loaded.record(count as i64);
    metrics.startup_txns_load_time.record(took);
    tracing::info!("replayed {count} transactions in {took} ms");
    Ok(last)
}

fn load_all(store: &dyn Store, tree: &RwLock<Tree>) -> Result<(), Refusal> {
    let mut failed = None;
    store.scan(None, &mut |path, row| {
        // A node whose parent is gone in memory is gone too.
        if tree.write().install(path, &row).is_err() {
            failed.get_or_insert_with(|| path.to_owned());
        }
        std::ops::ControlFlow::Continue(())
    })?;
    if let Some(path) = failed {
        tracing::debug!("{path} was skipped: its parent is gone");
    }
    tree.write().set_complete();
    Ok(())
}
