//! A start: what the disks hold becomes a server, or is refused.

use std::ops::ControlFlow;
use std::sync::Arc;

use zk_core::ids::Now;
use zk_core::node::{ReplayError, replay};
use zk_core::tree::{Need, Tree};
use zk_core::watch::Watches;
use zk_core::{Config, Node, Zxid};
use zk_disk::directory::{self, Boot, Layout};
use zk_disk::files::Files;
use zk_disk::log::{Reader, Writer};
use zk_disk::model::ModelFiles;
use zk_disk::persist::Persister;
use zk_disk::store::{ModelStore, Store};

use super::unsynced::Unsynced;
use super::{Loader, LogThread, Server, StoreThread, load};
use crate::check::{Judge, compare};
use crate::coverage::Seen;
use crate::dice::Dice;
use crate::plan::{Plan, Syncs};
use crate::trace::Trace;

/// What outlives the process.
#[derive(Debug, Default)]
pub struct Disks {
    /// The disk of log and folders.
    pub files: ModelFiles,
    /// The store.
    pub store: ModelStore,
}

/// Why there is no server.
#[derive(Debug)]
pub enum NoStart {
    /// It was refused, or a disk failed.
    Refused(zk_disk::Error),
    /// It did what it may not.
    Wrong(String),
}

impl From<zk_disk::Error> for NoStart {
    fn from(error: zk_disk::Error) -> NoStart {
        NoStart::Refused(error)
    }
}

impl From<String> for NoStart {
    fn from(what: String) -> NoStart {
        NoStart::Wrong(what)
    }
}

impl Disks {
    pub(super) fn layout() -> Layout {
        Layout::new("/data", "/log")
    }

    pub(super) fn files(&self, syncs: Syncs) -> Arc<dyn Files> {
        let disk = self.files.clone();
        if syncs == Syncs::All {
            Arc::new(disk)
        } else {
            Arc::new(Unsynced { disk, syncs })
        }
    }
}

/// A partial tree with everything that must be there before its rows.
pub(super) fn partial(
    config: &Config,
    store: &ModelStore,
    meta: zk_core::tree::Meta,
) -> Result<Tree, zk_disk::Error> {
    let mut tree = Tree::partial(config.extended, config.seed, meta);
    store.sessions(&mut |id, timeout| tree.restore_session(id, timeout))?;
    store.acls(&mut |id, list| tree.restore_acl(id, list))?;
    store.owners(&mut |owner, path| tree.restore_owner(path, owner))?;
    Ok(tree)
}

/// Brings the rows of a need into the tree at once.
fn load_now(tree: &mut Tree, store: &ModelStore, need: &Need) -> Result<(), String> {
    if *need == Need::All {
        let mut paths = Vec::new();
        let scan = store.scan(None, &mut |path, _| {
            paths.push(path.to_owned());
            ControlFlow::Continue(())
        });
        scan.map_err(|e| e.to_string())?;
        let names: Vec<&str> = paths.iter().map(String::as_str).collect();
        let rows = store.nodes(&names).map_err(|e| e.to_string())?;
        load::install(tree, paths.into_iter().zip(rows).collect())?;
        tree.set_complete();
        return Ok(());
    }
    let rows = load::read(store, tree, need)?;
    let early = load::install(tree, rows)?;
    if early.is_empty() {
        Ok(())
    } else {
        Err(format!("{need:?} brought {early:?} before their parents"))
    }
}

/// Replays one record, bringing in what it misses.
pub(super) fn replay_record(
    tree: &mut Tree,
    config: &Config,
    store: &ModelStore,
    payload: &[u8],
) -> Result<u32, String> {
    let mut missed = 0;
    loop {
        match replay(tree, config, payload) {
            Ok(done) => {
                return match done.mismatch {
                    Some(what) => Err(format!("replay of {}: {what}", done.zxid)),
                    None => Ok(missed),
                };
            }
            Err(ReplayError::Need(need)) => {
                missed += 1;
                load_now(tree, store, &need)?;
            }
            Err(ReplayError::Undecodable(error)) => {
                return Err(format!("a record of the log is no transaction: {error}"));
            }
        }
    }
}

impl Server {
    /// Starts on what the disks hold.
    ///
    /// # Errors
    /// See [`NoStart`].
    pub fn start(
        plan: &Plan,
        disks: &Disks,
        now: Now,
        dice: &mut Dice,
        judge: &mut Judge,
        trace: &mut Trace,
    ) -> Result<Server, NoStart> {
        let config = plan.config.clone();
        let layout = Disks::layout();
        let files = disks.files(plan.syncs);
        let store = disks.store.clone();
        for dir in [layout.logs(), layout.data_dir.clone()] {
            let names = files.list(&dir).unwrap_or_default();
            let sizes: Vec<String> = names
                .iter()
                .map(|name| {
                    let size = disks.files.bytes(&dir.join(name)).map_or(0, |b| b.len());
                    format!("{name}={size}")
                })
                .collect();
            trace.line(format_args!(
                "start: {}: {}",
                dir.display(),
                sizes.join(" ")
            ));
        }
        let opened = directory::open(&files, &layout, &mut |_| Ok(store.clone()))?;
        trace.line(format_args!(
            "start: {:?}, log {:?} to {:?}",
            opened.boot, opened.log.first_zxid, opened.log.last_zxid
        ));
        if let Some(torn) = &opened.log.torn {
            judge.coverage.note(Seen::TornTail);
            if torn.was_durable {
                return Err(NoStart::Wrong(format!("a durable tail was torn: {torn:?}")));
            }
        }
        let (mut tree, persisted, range) = match &opened.boot {
            Boot::Fresh => (Tree::new(config.extended, config.seed), 0, None),
            Boot::Rebuild { until, .. } => {
                let tree = Tree::new(config.extended, config.seed);
                (tree, 0, Some((1, *until)))
            }
            Boot::Open { meta, replay, .. } => {
                let tree = partial(&config, &store, meta.tree)?;
                (tree, meta.tree.zxid.0, *replay)
            }
        };
        if let Some((from, until)) = range {
            let mut reader = Reader::open(files.clone(), &layout.logs(), from, until)?;
            let mut missed = 0;
            while let Some(record) = reader.next_record()? {
                if judge.payload(record.zxid).map(|p| &p[..]) != Some(record.payload) {
                    let zxid = record.zxid;
                    return Err(NoStart::Wrong(format!(
                        "record {zxid:#x} of the log is not what was appended"
                    )));
                }
                missed += replay_record(&mut tree, &config, &store, record.payload)?;
            }
            judge.coverage.note(Seen::Replayed);
            if missed > 0 {
                judge.coverage.note(Seen::MissedReplay);
            }
        }
        while let Err(need) = tree.settle_quotas() {
            load_now(&mut tree, &store, &need)?;
        }
        let end = tree.last_zxid();
        let writer = Writer::open(files.clone(), &layout.logs(), plan.log, &opened.log, end.0)?;
        judge.restarted(end.0, config.tick_ms, now)?;
        let expected = judge.state(end.0).digest();
        if tree.digest() != expected {
            return Err(NoStart::Wrong(format!(
                "the digest after the start is {}, expected {expected}",
                tree.digest()
            )));
        }
        let loader = if tree.is_complete() {
            compare(&tree, judge.state(end.0))?;
            Loader::idle()
        } else {
            Loader::all(&store, dice)?
        };
        let late_sync = writer.late_sync();
        let mut effects = Vec::new();
        let node = Node::recover(config.clone(), &tree, Zxid(persisted), now, &mut effects);
        let mut server = Server {
            node,
            tree,
            watches: Watches::default(),
            sockets: Default::default(),
            attached: Default::default(),
            inbox: Default::default(),
            log: LogThread {
                files,
                dir: layout.logs(),
                writer,
                queue: Default::default(),
                done: None,
                segments: opened.log.segments,
            },
            store: StoreThread {
                store,
                persister: Persister::new(plan.persist, persisted, late_sync),
                flushed: None,
                stopping: false,
            },
            loader,
            woken: Default::default(),
            stalled: false,
            config,
        };
        server.carry_out(effects, now, judge, trace)?;
        // What the replay changed is not in the store.
        server.store.take(&mut server.tree, judge, now);
        Ok(server)
    }

    /// Stops in order: everything that was proposed is durable, applied and in the store. Nothing
    /// more may be taken from clients.
    ///
    /// # Errors
    /// A disk failed.
    pub fn stop(mut self, now: Now) -> Result<(), zk_disk::Error> {
        self.store.stop();
        while self.store.is_due(now) {
            self.store.work(now)?;
        }
        self.log.writer.close().map(|_| ())
    }
}
