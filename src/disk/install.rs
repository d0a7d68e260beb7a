//! Taking over everything from another server: a store and its log come beside the present ones
//! and take their place by one switch.
//!
//! Owns the steps and their order. Does not know sockets, packets or threads, nor which of the
//! transactions behind the snapshot are committed.
//!
//! The steps, each one function:
//! 1. [`Incoming`] takes the rows as they come, in a RocksDB folder of its own. Meanwhile the
//!    transactions behind the snapshot go to a [`log::Staged`] log.
//! 2. [`Incoming::complete`] counts children, which a snapshot does not tell, and sums the tree up.
//! 3. [`log::Staged::close`], then [`seal`]: the new store and log are durable, and the store says of
//!    itself what it is.
//! 4. [`switch`]: the pointer. From here on the new store is the store.
//! 5. [`finish`]: the log of the history before goes, with the snapshots of Java that it
//!    continued; the staged one takes its place. After a crash the next start does this.
//!
//! Invariants: a crash before the switch leaves the old store and log whole, one after it leads
//! to the new ones; nothing of one is ever read with the other. Memory is bounded by one batch of
//! rows, the distinct access control lists and one row.

use std::collections::HashMap;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use zk_core::acl::{AclId, Entry, List, perm, world};
use zk_core::auth::list_of;
use zk_core::ids::Zxid;
use zk_core::tree::{self, Row};
use zk_wire::client::Acl;
use zk_wire::digest;
use zk_wire::file::name::{self, Named};
use zk_wire::quorum::snap::{OPEN_ACL, SnapItem};
use zk_wire::stat::StatPersisted;

use crate::base;
use crate::directory::{Layout, create_dir};
use crate::error::{Error, Result};
use crate::files::Files;
use crate::limits::{INSTALL_BATCH, INSTALL_PARENTS, INSTALL_STEP};
use crate::log::{self, Recovered, ScanOptions, staged};
use crate::small;
use crate::store::{Base, Batch, Discard, Merged, Meta, Store};

/// Scheme of the one entry of the list that stands for a list that nobody has told. No client can
/// set it, and no identity has it.
pub const UNRESOLVED: &str = "zabkeeper.unresolved";

/// The list that stands for one that a node refers to and the snapshot does not have. It allows
/// nobody anything.
///
/// Java writes its lists before its nodes while transactions go on, so a node may refer to a list
/// that came too late. The transaction that brought it is behind the snapshot.
pub fn unresolved() -> List {
    let entry = Entry {
        perms: 0,
        scheme: UNRESOLVED.into(),
        id: None,
    };
    [entry].into()
}

fn refused<T>(why: String) -> Result<T> {
    Err(Error::Snapshot(why))
}

/// The rows of another server's snapshot on their way into a store of their own.
#[derive(Debug)]
pub struct Incoming<S> {
    store: S,
    folder: PathBuf,
    batch: Batch,
    merged: Merged,
    /// The sender's numbers.
    numbers: HashMap<i64, AclId>,
    lists: HashMap<List, AclId>,
    unresolved: AclId,
    nodes: u64,
}

/// A store that has all rows and is nobody's store yet.
#[derive(Debug)]
pub struct Complete<S> {
    /// The store.
    pub store: S,
    /// Its folder.
    pub folder: PathBuf,
    /// Digest and counters of its tree; no zxid.
    pub tree: tree::Meta,
    /// Number of the list [`unresolved`], 0 when no node refers to it.
    pub unresolved: u32,
}

impl<S: Store> Incoming<S> {
    /// Begins: removes what an earlier installation left behind, makes a folder and opens a store
    /// there with `open`. No store but the current one may be open.
    ///
    /// # Errors
    /// [`Error::Io`], what `open` returns, and [`Error::Misuse`] when the store is not empty.
    pub fn begin(
        files: &dyn Files,
        layout: &Layout,
        open: &mut dyn FnMut(&Path) -> Result<S>,
    ) -> Result<Incoming<S>> {
        base::sweep(files, layout)?;
        let folder = base::next(files, layout)?;
        create_dir(files, &folder)?;
        let store = open(&folder)?;
        if store.meta()?.is_some() {
            let folder = folder.display();
            return Err(Error::Misuse(format!("the store in {folder} is not empty")));
        }
        let mut lists = HashMap::new();
        let open_list: List = [world(perm::ALL)].into();
        lists.insert(open_list, AclId::OPEN);
        let mut numbers = HashMap::new();
        numbers.insert(OPEN_ACL, AclId::OPEN);
        Ok(Incoming {
            store,
            folder,
            batch: Batch::new(),
            merged: Merged::new(),
            numbers,
            lists,
            unresolved: AclId::OPEN,
            nodes: 0,
        })
    }

    /// Takes an item of the tree behind a SNAP packet. [`SnapItem::End`] says that all have come:
    /// then it is time for [`Incoming::complete`].
    ///
    /// # Errors
    /// As the call for each.
    pub fn item(&mut self, item: SnapItem<'_>) -> Result<()> {
        match item {
            SnapItem::Session { id, timeout } => self.session(id, timeout),
            SnapItem::Acl { id, acl } => self.acl(id, acl),
            SnapItem::Node {
                path,
                data,
                acl,
                stat,
            } => self.node(&path, data, acl, stat),
            SnapItem::End => Ok(()),
        }
    }

    /// Takes a session: its id and its timeout in milliseconds.
    ///
    /// # Errors
    /// What the store says.
    pub fn session(&mut self, id: i64, timeout: i32) -> Result<()> {
        self.batch.session(id, Some(timeout))?;
        self.write_if_due()
    }

    /// Takes a list under the sender's number.
    ///
    /// # Errors
    /// [`Error::Snapshot`] when there are more than can be numbered; what the store says.
    pub fn acl(&mut self, number: i64, acl: Vec<Acl<'_>>) -> Result<()> {
        if number == OPEN_ACL {
            return refused(format!("a list has the number {OPEN_ACL}"));
        }
        let id = self.list(list_of(&Some(acl)))?;
        self.numbers.insert(number, id);
        self.write_if_due()
    }

    /// Our number of a list, each distinct one once.
    fn list(&mut self, list: List) -> Result<AclId> {
        if let Some(id) = self.lists.get(&list) {
            return Ok(*id);
        }
        let Ok(number) = u32::try_from(self.lists.len()) else {
            return refused("there are too many access control lists".into());
        };
        let id = AclId(number);
        self.batch.acl(number, Some(&list))?;
        self.lists.insert(list, id);
        Ok(id)
    }

    /// Takes a node: its path (empty for the root), data, the sender's number of its list, and its
    /// stat. Lists come before nodes. The order of nodes does not matter.
    ///
    /// # Errors
    /// [`Error::Snapshot`] when there is no such path; what the store says.
    pub fn node(
        &mut self,
        path: &str,
        data: Option<&[u8]>,
        acl: i64,
        stat: StatPersisted,
    ) -> Result<()> {
        let sound = path.is_empty()
            || (path.starts_with('/') && !path.ends_with('/') && !path.contains("//"));
        if !sound {
            let path = path.escape_debug();
            return refused(format!("\"{path}\" is not the path of a node"));
        }
        let id = match self.numbers.get(&acl) {
            Some(id) => *id,
            None => {
                self.unresolved = self.list(unresolved())?;
                self.unresolved
            }
        };
        let row = Row {
            stat,
            acl: id,
            children: 0,
            crc: digest::node_crc(path.as_bytes(), data),
            data,
        };
        self.batch.put_node(path, &row);
        self.nodes += 1;
        self.write_if_due()
    }

    fn write_if_due(&mut self) -> Result<()> {
        if self.batch.bytes() < INSTALL_BATCH {
            return Ok(());
        }
        self.write()
    }

    fn write(&mut self) -> Result<()> {
        self.merged.add(&self.batch);
        self.store.write(&self.merged)?;
        self.merged.clear();
        self.batch.clear();
        Ok(())
    }

    /// All nodes have come: every parent gets its count of children, and the tree is summed up.
    ///
    /// In the order of keys the children of one node lie together, so a count takes no memory for
    /// each node.
    ///
    /// # Errors
    /// [`Error::Snapshot`] when a node has no parent, a path came twice, or there is no root; what
    /// the store says.
    pub fn complete(self) -> Result<Complete<S>> {
        self.complete_with(&mut || ())
    }

    /// As [`Incoming::complete`]; calls `between` between two short pieces of work, for whoever lets
    /// others go first.
    ///
    /// # Errors
    /// As [`Incoming::complete`].
    pub fn complete_with(mut self, between: &mut dyn FnMut()) -> Result<Complete<S>> {
        self.write()?;
        let mut tree = tree::Meta::default();
        let mut from: Option<String> = None;
        // The parent whose children the scan is in, and how many it has seen.
        let mut present: Option<(String, u32)> = None;
        loop {
            let mut done: Vec<(String, u32)> = Vec::new();
            let mut last = None;
            self.store.scan(from.as_deref(), &mut |path, row| {
                tree.node_count += 1;
                if tree.node_count.is_multiple_of(INSTALL_STEP) {
                    between();
                }
                tree.data_size += (path.len() + row.data.map_or(0, <[u8]>::len)) as u64;
                if digest::in_digest(path) {
                    let node = digest::finish(row.crc, &row.stat);
                    tree.digest = tree.digest.wrapping_add(node);
                }
                if let Some((parent, _)) = zk_core::path::split(path) {
                    match &mut present {
                        Some((here, count)) if here == parent => *count += 1,
                        Some(_) | None => done.extend(present.replace((parent.to_owned(), 1))),
                    }
                }
                if done.len() < INSTALL_PARENTS {
                    return ControlFlow::Continue(());
                }
                last = Some(format!("{path}\0"));
                ControlFlow::Break(())
            })?;
            if last.is_none() {
                done.extend(present.take());
            }
            for (parent, children) in &done {
                self.count(parent, *children)?;
            }
            self.write()?;
            match last {
                Some(next) => from = Some(next),
                None => break,
            }
        }
        if tree.node_count != self.nodes {
            return refused(format!(
                "{} nodes have only {} paths",
                self.nodes, tree.node_count
            ));
        }
        if self.store.nodes(&[""])?.pop().flatten().is_none() {
            return refused("there is no root".into());
        }
        Ok(Complete {
            store: self.store,
            folder: self.folder,
            tree,
            unresolved: self.unresolved.0,
        })
    }

    fn count(&mut self, parent: &str, children: u32) -> Result<()> {
        let Some(stored) = self.store.nodes(&[parent])?.pop().flatten() else {
            let parent = parent.escape_debug();
            return refused(format!("\"{parent}\" has children and is not there"));
        };
        let row = Row {
            children,
            ..stored.row()?
        };
        self.batch.put_node(parent, &row);
        self.write_if_due()
    }
}

/// Makes the new store durable and lets it say what it is. `zxid` is the snapshot's, `log_end` the
/// last zxid of the staged log, which must be closed, or `zxid` when nothing was staged.
///
/// # Errors
/// [`Error::Misuse`] when the log ends before the store; what the store says. Then the switch must
/// not be made.
pub fn seal<S: Store>(complete: &Complete<S>, zxid: i64, log_end: i64) -> Result<()> {
    if log_end < zxid {
        return Err(Error::Misuse(format!(
            "a store at zxid {zxid:#x} and its log up to {log_end:#x}"
        )));
    }
    let base = Base {
        fuzzy_until: log_end,
        base_high: log_end,
        log_floor: zxid,
        discard: Discard::Log,
        unresolved: complete.unresolved,
    };
    let tree = tree::Meta {
        zxid: Zxid(zxid),
        ..complete.tree
    };
    put(&complete.store, base, Meta { tree, record: 0 })
}

fn put(store: &dyn Store, base: Base, meta: Meta) -> Result<()> {
    let mut batch = Batch::new();
    batch.set_base(&base);
    batch.set_meta(meta);
    let mut merged = Merged::new();
    merged.add(&batch);
    store.write(&merged)?;
    store.flush().map(|_| ())
}

/// The switch: after [`seal`], the folder of the new store becomes the current one.
///
/// # Errors
/// [`Error::Io`]: whether the switch was made is then unknown, and only a new start can tell.
pub fn switch<S>(files: &dyn Files, layout: &Layout, complete: &Complete<S>) -> Result<()> {
    let folder = &complete.folder;
    files
        .sync_dir(folder)
        .map_err(|e| Error::io("fsync", folder, e))?;
    small::sync_folder(files, folder)?;
    base::point(files, layout, &complete.folder)
}

/// Brings log and snapshots in line with the current store, `store`; a start does it too, in
/// [`crate::directory::open`]. Nobody may write or read the log. Doing it again is no harm.
///
/// # Errors
/// [`Error::Io`], what the store says. It is to be finished before anything else is done with the
/// directory.
pub fn finish(files: &dyn Files, layout: &Layout, store: &dyn Store) -> Result<()> {
    let Some(meta) = store.meta()? else {
        return Err(Error::Misuse("the current store is empty".into()));
    };
    let mut base = store.base()?;
    if base.discard != Discard::Nothing {
        // That the pointer is seen does not make it durable: the switch may have been cut short.
        small::sync_folder(files, &layout.base_pointer())?;
    }
    if base.discard == Discard::Log {
        create_dir(files, &layout.logs())?;
        // First the snapshots: without one no Java server starts on half of a log.
        set_snapshots_aside(files, layout)?;
        staged::discard_log(files, layout, base.log_floor)?;
        base.discard = Discard::Staged;
        put(store, base, meta)?;
    }
    if base.discard == Discard::Staged {
        staged::take_place(files, layout)?;
        base.discard = Discard::Nothing;
        put(store, base, meta)?;
    }
    staged::remove(files, layout)
}

/// What was installed is to be opened: judges the log that has taken its place, for
/// [`crate::log::Writer::open`], whose base is then [`Recovered::last_zxid`] or the store's zxid.
///
/// # Errors
/// As [`log::scan`].
pub fn look(files: &dyn Files, layout: &Layout) -> Result<Recovered> {
    log::scan(files, &layout.logs(), ScanOptions::default())
}

/// Gives an installation up: its rows and its log go. Its store must be closed, and no other but
/// the current one be open.
///
/// # Errors
/// [`Error::Io`]. What is left goes at the next start.
pub fn abandon(files: &dyn Files, layout: &Layout) -> Result<()> {
    staged::remove(files, layout)?;
    base::sweep(files, layout)
}

/// Moves Java's snapshots, which the log will not continue, out of its sight.
fn set_snapshots_aside(files: &dyn Files, layout: &Layout) -> Result<()> {
    let dir = layout.snapshots();
    if !small::exists(files, &dir)? {
        return Ok(());
    }
    let names = files.list(&dir).map_err(|e| Error::io("list", &dir, e))?;
    let snapshots: Vec<&String> = names
        .iter()
        .filter(|file| matches!(name::parse(file), Some(Named::Snapshot { .. })))
        .collect();
    let aside = layout.aside();
    if !snapshots.is_empty() {
        create_dir(files, &aside)?;
    }
    for file in snapshots {
        let mut n = 0_u32;
        let target = loop {
            let target = match n {
                0 => aside.join(file),
                n => aside.join(format!("{file}.{n}")),
            };
            if !small::exists(files, &target)? {
                break target;
            }
            n += 1;
        };
        let path = dir.join(file);
        files
            .rename(&path, &target)
            .map_err(|e| Error::io("rename", &path, e))?;
    }
    // Also when nothing was moved: an earlier run may have ended before its moves were durable.
    for dir in [&aside, &dir] {
        if small::exists(files, dir)? {
            files
                .sync_dir(dir)
                .map_err(|e| Error::io("fsync", dir, e))?;
        }
    }
    Ok(())
}

/// Everything behind the switch in one: finishes, and opens the log for writing. The writer of the
/// log before must be gone.
///
/// # Errors
/// As [`finish`], [`look`] and [`log::Writer::open`].
pub fn take_over(
    files: &Arc<dyn Files>,
    layout: &Layout,
    store: &dyn Store,
    options: log::Options,
) -> Result<(log::Writer, Recovered)> {
    finish(&**files, layout, store)?;
    let found = look(&**files, layout)?;
    let at = store.meta()?.map_or(0, |meta| meta.tree.zxid.0);
    let end = found.last_zxid.unwrap_or(at);
    let writer = log::Writer::open(files.clone(), &layout.logs(), options, &found, end)?;
    Ok((writer, found))
}
