//! The loader: brings rows that are not resident into the tree, and, after a start, all of them in
//! the background.
//!
//! It reads the store on its own thread and hands the core closures that install what it read;
//! the core alone changes the tree. A row that memory knows better is dropped there.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Instant;

use zk_core::tree::{Need, Row, Tree};
use zk_disk::store::{Store, StoredRow};

use crate::gate::{Client, Shared, ToCore};
use crate::limits::INSTALL_ROWS;

/// A row by its path; `None` where the store has none.
type Loaded = (Box<str>, Option<StoredRow>);

fn install(shared: &Shared, rows: Vec<Loaded>, complete: bool, wake: Vec<Arc<Client>>) {
    shared
        .core
        .push(ToCore::Install(Box::new(move |tree: &mut Tree| {
            put(tree, &rows);
            if complete {
                tree.set_complete();
            }
            for client in wake {
                client.wake.notify_one();
            }
        })));
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

/// Reads what one need names. `missing` are the paths to look up.
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
            let names: Vec<&str> = paths.iter().map(|path| &**path).collect();
            let rows = store.nodes(&names)?;
            Ok(paths.into_iter().zip(rows).collect())
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

fn owned(row: &Row<'_>) -> zk_disk::Result<StoredRow> {
    let mut bytes = Vec::new();
    zk_disk::store::row::put_node(&mut bytes, row);
    StoredRow::new(bytes)
}

/// Runs until the queue of needs is closed. First of all needs come those that somebody waits for;
/// in between the whole store is read once, if `partial`.
pub fn run(shared: &Arc<Shared>, store: &Arc<dyn Store>, partial: bool) {
    let mut needs = Vec::new();
    let mut waiting_for_all: Vec<Arc<Client>> = Vec::new();
    if partial {
        let start = Instant::now();
        let mut from: Option<String> = None;
        loop {
            if shared.loads.try_take(&mut needs) {
                serve(shared, &**store, &mut needs, &mut waiting_for_all, false);
            }
            let (rows, next) = match batch(&**store, from.as_deref()) {
                Ok(batch) => batch,
                Err(error) => fatal(&error),
            };
            let done = next.is_none();
            let wake = if done {
                std::mem::take(&mut waiting_for_all)
            } else {
                Vec::new()
            };
            let (sent, installed) = std::sync::mpsc::channel();
            shared
                .core
                .push(ToCore::Install(Box::new(move |tree: &mut Tree| {
                    put(tree, &rows);
                    if done {
                        tree.set_complete();
                    }
                    for client in wake {
                        client.wake.notify_one();
                    }
                    let _ = sent.send(());
                })));
            if done {
                tracing::info!(
                    "the tree is in memory, {} ms after the start",
                    start.elapsed().as_millis()
                );
                break;
            }
            // One batch at a time: the store is read no faster than the tree takes it.
            if installed.recv().is_err() {
                return;
            }
            from = next;
        }
    }
    while shared.loads.take(&mut needs, None).is_some() {
        serve(shared, &**store, &mut needs, &mut waiting_for_all, true);
    }
}

fn serve(
    shared: &Shared,
    store: &dyn Store,
    needs: &mut Vec<(Need, Option<Arc<Client>>)>,
    waiting_for_all: &mut Vec<Arc<Client>>,
    complete: bool,
) {
    for (need, client) in needs.drain(..) {
        if need == Need::All && !complete {
            // The core, too, goes on when the last batch has come.
            waiting_for_all.extend(client);
            continue;
        }
        match read(store, &shared.tree, &need) {
            Ok(rows) => install(shared, rows, false, client.into_iter().collect()),
            Err(error) => fatal(&error),
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

fn fatal(error: &zk_disk::Error) -> ! {
    tracing::error!("the store cannot be read, the log is intact: {error}");
    eprintln!("zabkeeper: the store cannot be read: {error}");
    std::process::exit(1);
}
