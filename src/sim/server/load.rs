//! The loader: brings rows that are not resident into the tree, those that are waited for and, in
//! the background, all.
//!
//! A row is read at one event and installed at a later one: in between the tree and the store go
//! on. In the background rows come in any order in which parents come first.
//!
//! The core evicts nothing yet: a tree is partial only while it is being loaded. So "forced
//! eviction" is every start with rows that arrive late and in the worst order, again and again.

use std::collections::{BTreeSet, VecDeque};

use zk_core::tree::{Need, Tree};
use zk_disk::store::{ModelStore, Store, StoredRow};

use crate::dice::Dice;

/// Rows on their way.
#[derive(Debug)]
struct Rows {
    rows: Vec<(String, Option<StoredRow>)>,
    need: Option<Need>,
}

/// See the module.
#[derive(Debug)]
pub struct Loader {
    /// Asked for and not read.
    needs: BTreeSet<Need>,
    /// Asked for, read and not installed.
    reading: BTreeSet<Need>,
    arriving: VecDeque<Rows>,
    /// Paths that the background has not read, in its order.
    left: VecDeque<String>,
    complete: bool,
}

/// Reads the rows that a need names. They are the store's present ones.
///
/// # Errors
/// The store is damaged.
pub(super) fn read(
    store: &ModelStore,
    tree: &Tree,
    need: &Need,
) -> Result<Vec<(String, Option<StoredRow>)>, String> {
    let failed = |e: zk_disk::Error| e.to_string();
    match need {
        Need::Node(path) => {
            let missing = tree.missing_above(path);
            let paths: Vec<&str> = missing.iter().map(|path| &**path).collect();
            let rows = store.nodes(&paths).map_err(failed)?;
            let paths = paths.iter().map(|path| (*path).to_owned());
            Ok(paths.zip(rows).collect())
        }
        Need::Children(path) => {
            let mut paths = Vec::new();
            store
                .children(path, &mut |path, _| {
                    paths.push(path.to_owned());
                    std::ops::ControlFlow::Continue(())
                })
                .map_err(failed)?;
            let names: Vec<&str> = paths.iter().map(String::as_str).collect();
            let rows = store.nodes(&names).map_err(failed)?;
            Ok(paths.into_iter().zip(rows).collect())
        }
        // They are the background's.
        Need::All => Ok(Vec::new()),
    }
}

/// Installs rows; those whose parent is not resident are returned.
///
/// # Errors
/// A row is no row.
pub(super) fn install(
    tree: &mut Tree,
    rows: Vec<(String, Option<StoredRow>)>,
) -> Result<Vec<(String, Option<StoredRow>)>, String> {
    let mut early = Vec::new();
    for (path, row) in rows {
        match &row {
            Some(stored) => {
                let decoded = stored.row().map_err(|e| e.to_string())?;
                if tree.install(&path, &decoded).is_err() {
                    early.push((path, row));
                }
            }
            None => tree.install_absent(&path),
        }
    }
    Ok(early)
}

impl Loader {
    /// A loader for a tree that is complete.
    pub fn idle() -> Loader {
        Loader {
            needs: BTreeSet::new(),
            reading: BTreeSet::new(),
            arriving: VecDeque::new(),
            left: VecDeque::new(),
            complete: true,
        }
    }

    /// A loader for everything in the store, in an order of the dice.
    ///
    /// # Errors
    /// The store is damaged.
    pub fn all(store: &ModelStore, dice: &mut Dice) -> Result<Loader, String> {
        let mut waiting: Vec<String> = Vec::new();
        store
            .scan(None, &mut |path, _| {
                waiting.push(path.to_owned());
                std::ops::ControlFlow::Continue(())
            })
            .map_err(|e| e.to_string())?;
        // The scan has parents first; any of those whose parent is taken may be next.
        let mut taken: BTreeSet<String> = BTreeSet::new();
        let mut left = VecDeque::new();
        while !waiting.is_empty() {
            let ready: Vec<usize> = waiting
                .iter()
                .enumerate()
                .filter(|(_, path)| match path.rfind('/') {
                    Some(at) => taken.contains(&path[..at]),
                    None => true,
                })
                .map(|(at, _)| at)
                .collect();
            if ready.is_empty() {
                return Err(format!("the store has {waiting:?} without their parents"));
            }
            let path = waiting.remove(*dice.pick(&ready));
            taken.insert(path.clone());
            left.push_back(path);
        }
        Ok(Loader {
            needs: BTreeSet::new(),
            reading: BTreeSet::new(),
            arriving: VecDeque::new(),
            left,
            complete: false,
        })
    }

    /// Somebody waits for rows.
    pub fn want(&mut self, need: Need) {
        if !self.reading.contains(&need) {
            self.needs.insert(need);
        }
    }

    /// Whether there is something to read for somebody.
    pub fn has_needs(&self) -> bool {
        !self.needs.is_empty()
    }

    /// Whether rows wait to be installed.
    pub fn has_rows(&self) -> bool {
        !self.arriving.is_empty()
    }

    /// Whether the background has something to read.
    pub fn is_loading(&self) -> bool {
        !self.complete && self.arriving.len() < 4
    }

    /// Whether nobody waits and the tree is complete.
    pub fn is_idle(&self) -> bool {
        self.complete && self.needs.is_empty() && self.arriving.is_empty()
    }

    /// Reads what somebody waits for, a need of the dice's choice.
    ///
    /// # Errors
    /// The store is damaged.
    pub fn read_need(
        &mut self,
        store: &ModelStore,
        tree: &Tree,
        dice: &mut Dice,
    ) -> Result<(), String> {
        let needs: Vec<&Need> = self.needs.iter().collect();
        if needs.is_empty() {
            return Ok(());
        }
        let need = (*dice.pick(&needs)).clone();
        self.needs.remove(&need);
        if need == Need::All {
            self.read_background(store, usize::MAX)?;
        }
        let rows = read(store, tree, &need)?;
        self.reading.insert(need.clone());
        let need = Some(need);
        self.arriving.push_back(Rows { rows, need });
        Ok(())
    }

    /// Reads so many rows in the background.
    ///
    /// # Errors
    /// The store is damaged.
    pub fn read_background(&mut self, store: &ModelStore, rows: usize) -> Result<(), String> {
        let count = rows.min(self.left.len());
        let paths: Vec<String> = self.left.drain(..count).collect();
        let names: Vec<&str> = paths.iter().map(String::as_str).collect();
        let found = store.nodes(&names).map_err(|e| e.to_string())?;
        // What is gone from the store went through the tree, which knows.
        let rows = paths
            .into_iter()
            .zip(found)
            .filter(|(_, row)| row.is_some())
            .collect();
        self.arriving.push_back(Rows { rows, need: None });
        Ok(())
    }

    /// Installs the rows that were read first. True when the tree has become complete.
    ///
    /// # Errors
    /// The store is damaged.
    pub(super) fn install(&mut self, tree: &mut Tree) -> Result<bool, String> {
        if let Some(Rows { rows, need }) = self.arriving.pop_front() {
            if let Some(need) = &need {
                self.reading.remove(need);
            }
            let early = install(tree, rows)?;
            if !early.is_empty() {
                return Err(format!("rows {early:?} came before their parents"));
            }
        }
        if !self.complete && self.left.is_empty() && self.arriving.is_empty() {
            tree.set_complete();
            self.complete = true;
            return Ok(true);
        }
        Ok(false)
    }
}
