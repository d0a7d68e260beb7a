//! The loader: brings rows that are not resident into the tree, and, after a start, all of them in
//! the background.
//!
//! It reads the store on its own thread and hands the core closures that install what it read;
//! the core alone changes the tree. A row that memory knows better is dropped there.

use std::collections::HashSet;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, channel};
use std::time::Instant;

use zk_core::tree::{Need, Row, Tree};
use zk_disk::store::{Store, StoredRow};

use crate::gate::{Client, Shared, ToCore};
use crate::limits::INSTALL_ROWS;
use crate::pace::Share;

/// A row by its path; `None` where the store has none.
type Loaded = (Box<str>, Option<StoredRow>);

/// The rows that are handed over are the last of all.
#[derive(Clone, Copy)]
struct Last {
    /// The tree came from another server, which went on serving while it sent it: what quotas count
    /// may be of another moment than what they count it of.
    elsewhere: bool,
}

impl Last {
    /// Of the rows of this store.
    fn of(store: &dyn Store) -> Last {
        match store.base() {
            Ok(base) => Last {
                elsewhere: base.base_high > 0,
            },
            Err(error) => fatal(&error),
        }
    }

    fn settle(self, tree: &mut Tree) {
        tree.set_complete();
        if self.elsewhere {
            tree.recount_quotas();
        }
    }
}

/// Hands rows to the core, in holds of a bounded number, and wakes who waits behind the last. What is
/// returned tells when they are in the tree, or fails when the core has ended.
fn install(
    shared: &Arc<Shared>,
    generation: u64,
    rows: Vec<Loaded>,
    wake: Vec<Arc<Client>>,
    last: Option<Last>,
) -> Receiver<()> {
    let (sent, installed) = channel();
    let mut rows = rows.into_iter();
    let mut end = Some((wake, sent));
    while end.is_some() {
        let some: Vec<Loaded> = rows.by_ref().take(INSTALL_ROWS).collect();
        let end = match rows.len() {
            0 => end.take(),
            _ => None,
        };
        let shared_too = shared.clone();
        let hold = move |tree: &mut Tree| {
            // Another tree may be in the place of the one that these rows are of.
            let current = shared_too.generation.load(Ordering::Acquire) == generation;
            if current {
                put(tree, &some);
            }
            let Some((wake, sent)) = end else {
                return false;
            };
            if let Some(last) = last.filter(|_| current) {
                last.settle(tree);
            }
            for client in wake {
                client.wake.ring();
            }
            // Nobody may wait for it.
            let _ = sent.send(());
            true
        };
        shared.core.push(ToCore::Install(Box::new(hold)));
    }
    installed
}

/// Installs rows in order, parents first.
pub fn put(tree: &mut Tree, rows: &[Loaded]) {
    for (path, row) in rows {
        match row {
            Some(row) => match row.row() {
                Ok(row) => {
                    // Without its parent it is gone in memory already.
                    let _ = tree.install(path, &row);
                }
                Err(error) => panic!("a checked row of {path}: {error}"),
            },
            None => tree.install_absent(path),
        }
    }
}

/// Reads what one need names.
///
/// # Errors
/// What the store says.
pub fn read(
    store: &dyn Store,
    tree: &parking_lot::RwLock<Tree>,
    need: &Need,
) -> zk_disk::Result<Vec<Loaded>> {
    match need {
        Need::Node(path) => {
            let paths = tree.read().missing_above(path);
            rows_of(store, paths)
        }
        Need::Children(path) => {
            let mut rows = Vec::new();
            let mut failed = None;
            store.children(path, &mut |child, row| match owned(&row) {
                Ok(row) => {
                    rows.push((child.into(), Some(row)));
                    ControlFlow::Continue(())
                }
                Err(error) => {
                    failed = Some(error);
                    ControlFlow::Break(())
                }
            })?;
            match failed {
                Some(error) => Err(error),
                None => Ok(rows),
            }
        }
        Need::All => Ok(Vec::new()),
    }
}

fn rows_of(store: &dyn Store, paths: Vec<Box<str>>) -> zk_disk::Result<Vec<Loaded>> {
    let names: Vec<&str> = paths.iter().map(|path| &**path).collect();
    let rows = store.nodes(&names)?;
    Ok(paths.into_iter().zip(rows).collect())
}

fn owned(row: &Row<'_>) -> zk_disk::Result<StoredRow> {
    let mut bytes = Vec::new();
    zk_disk::store::row::put_node(&mut bytes, row);
    StoredRow::new(bytes)
}

/// Runs until the queue of needs is closed. First of all needs come those that somebody waits for;
/// in between the whole store is read once, if `partial`, and again if another takes its place: with
/// pauses if it is `paced`, as long as nobody waits for all of it.
pub fn run(shared: &Arc<Shared>, mut partial: bool, paced: bool) {
    let mut needs = Vec::new();
    let mut waiting_for_all: Vec<Arc<Client>> = Vec::new();
    loop {
        let start = Instant::now();
        let (store, generation) = shared.store();
        let mut loader = Loader {
            shared,
            store: &*store,
            generation,
            waiting_for_all: &mut waiting_for_all,
            complete: !partial,
            paced,
        };
        if partial {
            match loader.all(&mut needs) {
                Some(true) => tracing::info!(
                    "the tree is in memory, {} ms after the start",
                    start.elapsed().as_millis()
                ),
                Some(false) => continue,
                None => return,
            }
        }
        loader.complete = true;
        loop {
            if shared.loads.take(&mut needs, None).is_none() {
                return;
            }
            if shared.generation.load(Ordering::Acquire) != generation {
                partial = true;
                // They are looked for in the store of now.
                shared.loads.append(&mut needs);
                break;
            }
            if !loader.serve(&mut needs) {
                return;
            }
        }
    }
}

/// One store's reader.
struct Loader<'a> {
    shared: &'a Arc<Shared>,
    store: &'a dyn Store,
    generation: u64,
    waiting_for_all: &'a mut Vec<Arc<Client>>,
    /// All of it was read.
    complete: bool,
    /// Whoever shares the machine comes first.
    paced: bool,
}

impl Loader<'_> {
    /// Reads the whole store. Returns whether it is still the store at the end; nothing when the
    /// core has ended.
    fn all(&mut self, needs: &mut Vec<(Need, Option<Arc<Client>>)>) -> Option<bool> {
        let mut from: Option<String> = None;
        loop {
            if self.shared.generation.load(Ordering::Acquire) != self.generation {
                return Some(false);
            }
            if self.shared.loads.try_take(needs) && !self.serve(needs) {
                return None;
            }
            let share = Share::begin();
            let (rows, next) = match batch(self.store, from.as_deref()) {
                Ok(batch) => batch,
                Err(error) => fatal(&error),
            };
            let done = next.is_none();
            let wake = if done {
                std::mem::take(self.waiting_for_all)
            } else {
                Vec::new()
            };
            let last = done.then(|| Last::of(self.store));
            let installed = install(self.shared, self.generation, rows, wake, last);
            // One batch at a time: the store is read no faster than the tree takes it. A server that
            // stops takes no more.
            if installed.recv().is_err() {
                return None;
            }
            if done {
                return Some(true);
            }
            from = next;
            let until = Instant::now() + share.pause();
            while self.paced && self.waiting_for_all.is_empty() && Instant::now() < until {
                // Who waits for a row does not wait for the pause.
                if self.shared.loads.take(needs, Some(until)).is_none() || !self.serve(needs) {
                    return None;
                }
            }
        }
    }

    /// Brings what is waited for: single nodes together, up to a hold's worth. Returns false when
    /// the core has ended.
    fn serve(&mut self, needs: &mut Vec<(Need, Option<Arc<Client>>)>) -> bool {
        let mut nodes = Nodes::default();
        for (need, client) in needs.drain(..) {
            match need {
                Need::Node(path) => {
                    nodes.add(&self.shared.tree.read().missing_above(&path), client);
                    if nodes.paths.len() >= INSTALL_ROWS {
                        nodes.bring(self);
                    }
                }
                // The core, too, goes on when the last batch has come.
                Need::All if !self.complete => self.waiting_for_all.extend(client),
                Need::Children(_) | Need::All => {
                    // Another may have waited for the same.
                    let lacks = self.shared.tree.read().lacks(&need);
                    let rows = match lacks.then(|| read(self.store, &self.shared.tree, &need)) {
                        Some(Ok(rows)) => rows,
                        Some(Err(error)) => fatal(&error),
                        None => Vec::new(),
                    };
                    // They may be many: whoever asks for the same meanwhile finds them there.
                    let wake = client.into_iter().collect();
                    let installed = install(self.shared, self.generation, rows, wake, None);
                    if installed.recv().is_err() {
                        return false;
                    }
                }
            }
        }
        nodes.bring(self);
        true
    }
}

/// Single nodes that are waited for.
#[derive(Default)]
struct Nodes {
    paths: Vec<Box<str>>,
    known: HashSet<Box<str>>,
    wake: Vec<Arc<Client>>,
    any: bool,
}

impl Nodes {
    fn add(&mut self, missing: &[Box<str>], client: Option<Arc<Client>>) {
        for path in missing {
            if self.known.insert(path.clone()) {
                self.paths.push(path.clone());
            }
        }
        self.wake.extend(client);
        self.any = true;
    }

    fn bring(&mut self, loader: &Loader<'_>) {
        let Nodes {
            paths, wake, any, ..
        } = std::mem::take(self);
        if any {
            match rows_of(loader.store, paths) {
                // Nobody waits here: the core goes on when it has them.
                Ok(rows) => drop(install(loader.shared, loader.generation, rows, wake, None)),
                Err(error) => fatal(&error),
            }
        }
    }
}

/// Rows as read, and where to go on.
type Batch = (Vec<Loaded>, Option<String>);

fn batch(store: &dyn Store, from: Option<&str>) -> zk_disk::Result<Batch> {
    let mut rows: Vec<Loaded> = Vec::with_capacity(INSTALL_ROWS);
    let mut next = None;
    let mut failed = None;
    store.scan(from, &mut |path, row| {
        if rows.len() == INSTALL_ROWS {
            next = Some(path.to_owned());
            return ControlFlow::Break(());
        }
        match owned(&row) {
            Ok(row) => {
                rows.push((path.into(), Some(row)));
                ControlFlow::Continue(())
            }
            Err(error) => {
                failed = Some(error);
                ControlFlow::Break(())
            }
        }
    })?;
    match failed {
        Some(error) => Err(error),
        None => Ok((rows, next)),
    }
}

/// What to do about a store that was opened and cannot be read.
pub const ADVICE: &str = "; the log is intact and nothing acknowledged is lost. If this is said at the next start too, move the folder zabkeeper-store aside: a log that begins with the first transaction rebuilds it, else restore dataDir and dataLogDir together from a backup";

fn fatal(error: &zk_disk::Error) -> ! {
    tracing::error!("the store cannot be read, the log is intact: {error}");
    eprintln!("zabkeeper: the store cannot be read: {error}{ADVICE}");
    std::process::exit(1);
}

#[cfg(test)]
mod tests {
    use zk_core::Zxid;
    use zk_core::acl::{List, perm, world};
    use zk_core::owner::Extended;
    use zk_core::quota::Track;
    use zk_disk::store::{Base, Batch, Merged, ModelStore};

    use super::*;

    const STATS: &str = "/zookeeper/quota/a/zookeeper_stats";

    /// A tree whose quota counts what is not there.
    fn miscounted() -> Tree {
        let mut tree = Tree::new(Extended::default(), 1);
        let quota = [
            "/a",
            "/zookeeper/quota/a",
            "/zookeeper/quota/a/zookeeper_limits",
            STATS,
        ];
        let open: List = [world(perm::ALL)].into();
        for (path, zxid) in quota.into_iter().zip(1..) {
            let data = Some(&b"count=5,bytes=-1"[..]);
            tree.create(path, data, &open, 0, 1, Zxid(zxid), 1)
                .expect("created");
        }
        tree.set_data(STATS, Some(b"count=77,bytes=3"), 1, Zxid(9), 1)
            .expect("set");
        tree
    }

    #[test]
    fn quotas_of_a_tree_from_elsewhere_are_counted_anew() {
        for (base_high, count) in [(0, 77), (9, 1)] {
            let store = ModelStore::new();
            let mut batch = Batch::new();
            batch.set_base(&Base {
                base_high,
                ..Base::default()
            });
            let mut merged = Merged::new();
            merged.add(&batch);
            store.write(&merged).expect("written");
            let mut tree = miscounted();
            Last::of(&store).settle(&mut tree);
            let node = tree.get(STATS).expect("resident").expect("a node");
            let usage = Track::parse(node.data()).expect("usage");
            assert_eq!(usage.count(), count);
        }
    }
}
