//! A store in memory that forgets what was not flushed: for the simulator and tests.
//!
//! The fault model is RocksDB's without its write-ahead log: at a crash (a kill of the process is
//! one) the writes since the last flush are gone, or all but the first so many, for RocksDB may
//! flush on its own at any time. Writes and flushes can be made to fail.

use std::collections::BTreeMap;
use std::ops::{Bound, ControlFlow};
use std::sync::{Arc, Mutex, MutexGuard};

use super::{Family, Frozen, Merged, Meta, Snapshot, Store, TakePair};
use crate::error::{Error, Result};
use crate::model::Dice;

type Rows = BTreeMap<(Family, Vec<u8>), Vec<u8>>;

/// One write, kept until a flush makes it durable.
type Write = Vec<(Family, Vec<u8>, Option<Vec<u8>>)>;

#[derive(Debug, Default)]
struct State {
    rows: Rows,
    durable: Rows,
    unflushed: Vec<Write>,
    fail_writes: bool,
    fail_flushes: bool,
}

/// The store. Clones are the same store.
#[derive(Debug, Clone, Default)]
pub struct ModelStore {
    state: Arc<Mutex<State>>,
}

fn apply(rows: &mut Rows, write: &Write) {
    for (family, key, value) in write {
        match value {
            Some(value) => rows.insert((*family, key.clone()), value.clone()),
            None => rows.remove(&(*family, key.clone())),
        };
    }
}

impl ModelStore {
    /// An empty store without faults.
    pub fn new() -> ModelStore {
        ModelStore::default()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// Forgets what was not flushed, or all but the first so many writes of it, by the dice, and
    /// clears faults.
    pub fn crash(&self, dice: &mut Dice<'_>) {
        let mut state = self.lock();
        let state = &mut *state;
        let kept = dice() % (state.unflushed.len() as u64 + 1);
        for write in state.unflushed.iter().take(kept as usize) {
            apply(&mut state.durable, write);
        }
        state.unflushed.clear();
        state.rows = state.durable.clone();
        state.fail_writes = false;
        state.fail_flushes = false;
    }

    /// Lets writes fail from now on, or no longer.
    pub fn fail_writes(&self, fail: bool) {
        self.lock().fail_writes = fail;
    }

    /// Lets flushes fail from now on, or no longer.
    pub fn fail_flushes(&self, fail: bool) {
        self.lock().fail_flushes = fail;
    }

    /// Changes a value behind everybody's back, durably; `None` removes it.
    pub fn tamper(&self, family: Family, key: &[u8], value: Option<&[u8]>) {
        let mut state = self.lock();
        let write = vec![(family, key.to_vec(), value.map(<[u8]>::to_vec))];
        apply(&mut state.rows, &write);
        apply(&mut state.durable, &write);
    }
}

fn values(rows: &Rows, family: Family, keys: &[Vec<u8>]) -> Vec<Option<Vec<u8>>> {
    keys.iter()
        .map(|key| rows.get(&(family, key.clone())).cloned())
        .collect()
}

fn range(
    rows: &Rows,
    family: Family,
    from: &[u8],
    prefix: &[u8],
    take: &mut TakePair<'_>,
) -> Result<()> {
    let from = Bound::Included((family, from.to_vec()));
    for ((here, key), value) in rows.range((from, Bound::Unbounded)) {
        if *here != family
            || !key.starts_with(prefix)
            || take(key, value)? == ControlFlow::Break(())
        {
            break;
        }
    }
    Ok(())
}

/// The rows of one moment.
#[derive(Debug)]
struct Held(Rows);

impl Frozen for Held {
    fn values(&self, family: Family, keys: &[Vec<u8>]) -> Result<Vec<Option<Vec<u8>>>> {
        Ok(values(&self.0, family, keys))
    }

    fn range(
        &self,
        family: Family,
        from: &[u8],
        prefix: &[u8],
        take: &mut TakePair<'_>,
    ) -> Result<()> {
        range(&self.0, family, from, prefix, take)
    }
}

fn failed(action: &'static str) -> Error {
    Error::Store {
        action,
        why: "model store: made to fail".into(),
    }
}

impl Store for ModelStore {
    fn values(&self, family: Family, keys: &[Vec<u8>]) -> Result<Vec<Option<Vec<u8>>>> {
        Ok(values(&self.lock().rows, family, keys))
    }

    fn range(
        &self,
        family: Family,
        from: &[u8],
        prefix: &[u8],
        take: &mut TakePair<'_>,
    ) -> Result<()> {
        range(&self.lock().rows, family, from, prefix, take)
    }

    fn write(&self, merged: &Merged) -> Result<()> {
        let mut state = self.lock();
        if state.fail_writes {
            return Err(failed("write"));
        }
        let mut write: Write = merged
            .sorted()
            .iter()
            .map(|e| (e.family, e.key.to_vec(), e.value.map(<[u8]>::to_vec)))
            .collect();
        for (name, value) in merged.meta().rows() {
            write.push((Family::Meta, name.to_vec(), Some(value.to_vec())));
        }
        apply(&mut state.rows, &write);
        state.unflushed.push(write);
        Ok(())
    }

    fn flush(&self) -> Result<i64> {
        let mut state = self.lock();
        if state.fail_flushes {
            return Err(failed("flush"));
        }
        state.durable = state.rows.clone();
        state.unflushed.clear();
        drop(state);
        Ok(self.meta()?.map_or(0, |meta: Meta| meta.tree.zxid.0))
    }

    fn snapshot(&self) -> Result<Snapshot<'_>> {
        Ok(Snapshot::new(Held(self.lock().rows.clone())))
    }
}
