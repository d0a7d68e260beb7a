//! A disk in memory that forgets: what the simulator and the crash tests run on.
//!
//! The fault model, as pessimistic as a disk may be within what [`crate::files`] promises:
//! - At [`ModelFiles::crash`] each sector written since the handle's last successful sync ends up
//!   in any one of the states it went through since then, each independently of the others. So do
//!   the file's size and the folder's names, the latter until the folder's sync.
//! - A sync that fails loses the claim to what it should have made durable: later syncs do not
//!   cover it any more, though reads still show it.
//! - A write can be made to fail with part of it done; the disk can fill up; the machine can be
//!   switched off in front of any call.
//!
//! Deterministic: the caller brings the dice.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};

use crate::files::{FileHandle, Files};
use crate::limits::SECTOR;

/// A source of random numbers, each as good as another.
pub type Dice<'a> = dyn FnMut() -> u64 + 'a;

/// What fails next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The next write of file content fails with an IO error after this many bytes.
    Write {
        /// Bytes that get through.
        after: usize,
    },
    /// The next sync of a file fails.
    Sync,
    /// The next sync of a folder fails.
    SyncDir,
}

type Sector = Box<[u8; SECTOR]>;

/// The content of one file.
#[derive(Debug, Default, Clone)]
struct Inode {
    /// As reads see it.
    bytes: Vec<u8>,
    /// Per sector the states since it was last durable, oldest (the durable one) first, without
    /// the present one.
    past: BTreeMap<usize, Vec<Sector>>,
    /// Sectors whose sync failed: no later sync makes their present state durable.
    doomed: BTreeSet<usize>,
    /// The same for the size.
    doomed_size: bool,
    /// Sizes since the last sync, the durable one first, without the present one.
    sizes: Vec<usize>,
}

impl Inode {
    fn sector(&self, n: usize) -> Sector {
        let mut out = Box::new([0; SECTOR]);
        let from = (n * SECTOR).min(self.bytes.len());
        let to = (from + SECTOR).min(self.bytes.len());
        out[..to - from].copy_from_slice(&self.bytes[from..to]);
        out
    }

    fn remember(&mut self, from: usize, to: usize) {
        for n in from / SECTOR..to.div_ceil(SECTOR) {
            let present = self.sector(n);
            self.past.entry(n).or_default().push(present);
            self.doomed.remove(&n);
        }
    }

    fn resize(&mut self, size: usize) {
        if size != self.bytes.len() {
            self.doomed_size = false;
            self.sizes.push(self.bytes.len());
            if size < self.bytes.len() {
                // What is cut off reads as zeros should the file grow again.
                self.remember(size, self.bytes.len());
            }
            self.bytes.resize(size, 0);
        }
    }

    fn write(&mut self, bytes: &[u8], offset: usize) {
        let end = offset + bytes.len();
        if end > self.bytes.len() {
            self.resize(end);
        }
        self.remember(offset, end);
        self.bytes[offset..end].copy_from_slice(bytes);
    }

    fn sync(&mut self) {
        let doomed = &self.doomed;
        self.past.retain(|n, _| doomed.contains(n));
        if !self.doomed_size {
            self.sizes.clear();
        }
    }

    fn fail_sync(&mut self) {
        self.doomed.extend(self.past.keys().copied());
        self.doomed_size = !self.sizes.is_empty();
    }

    fn crash(&mut self, dice: &mut Dice<'_>) {
        let mut size = self.bytes.len();
        if let Some(past) = pick(&self.sizes, dice) {
            size = *past;
        }
        for (n, past) in std::mem::take(&mut self.past) {
            let Some(state) = pick(&past, dice) else {
                continue;
            };
            let from = n * SECTOR;
            if self.bytes.len() < from + SECTOR {
                self.bytes.resize(from + SECTOR, 0);
            }
            self.bytes[from..from + SECTOR].copy_from_slice(&state[..]);
        }
        self.bytes.resize(size, 0);
        self.sizes.clear();
        self.doomed.clear();
        self.doomed_size = false;
    }
}

/// One of the past states, or `None` for the present one.
fn pick<'a, T>(past: &'a [T], dice: &mut Dice<'_>) -> Option<&'a T> {
    past.get((dice() % (past.len() as u64 + 1)) as usize)
}

/// A change of names that its folder's sync has not covered.
#[derive(Debug, Clone)]
enum NameOp {
    Put(PathBuf, usize),
    Remove(PathBuf),
    Rename(PathBuf, PathBuf),
}

impl NameOp {
    fn touches(&self, dir: &Path) -> bool {
        match self {
            NameOp::Put(path, _) | NameOp::Remove(path) => path.parent() == Some(dir),
            NameOp::Rename(from, to) => from.parent() == Some(dir) || to.parent() == Some(dir),
        }
    }

    fn apply(self, names: &mut BTreeMap<PathBuf, usize>) {
        match self {
            NameOp::Put(path, inode) => {
                names.insert(path, inode);
            }
            NameOp::Remove(path) => {
                names.remove(&path);
            }
            NameOp::Rename(from, to) => {
                // A folder takes what is in it along.
                let moved: Vec<PathBuf> = names
                    .keys()
                    .filter(|p| p.starts_with(&from))
                    .cloned()
                    .collect();
                for path in moved {
                    if let (Some(inode), Ok(rest)) = (names.remove(&path), path.strip_prefix(&from))
                    {
                        let target = if rest.as_os_str().is_empty() {
                            to.clone()
                        } else {
                            to.join(rest)
                        };
                        names.insert(target, inode);
                    }
                }
            }
        }
    }
}

#[derive(Debug, Default)]
struct State {
    inodes: Vec<Inode>,
    names: BTreeMap<PathBuf, usize>,
    durable_names: BTreeMap<PathBuf, usize>,
    pending: Vec<NameOp>,
    /// What fails, and how many matching calls get through before.
    fault: Option<(Fault, u64)>,
    capacity: Option<u64>,
    calls: u64,
    stop_at: Option<u64>,
    off: bool,
    boots: u64,
}

/// The folder's inode number, of no meaning.
const DIR: usize = usize::MAX;

/// The disk. Clones are the same disk.
#[derive(Debug, Clone, Default)]
pub struct ModelFiles {
    state: Arc<Mutex<State>>,
}

fn gone(what: &str) -> io::Error {
    io::Error::other(format!("model disk: {what}"))
}

fn not_found() -> io::Error {
    io::Error::from(io::ErrorKind::NotFound)
}

impl ModelFiles {
    /// An empty disk without faults.
    pub fn new() -> ModelFiles {
        ModelFiles::default()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // A panic in a test must not hide behind a poisoned lock.
        self.state
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// Entry of every call that changes something: counts it, and switches off in front of it.
    fn change(&self) -> io::Result<MutexGuard<'_, State>> {
        let mut state = self.lock();
        if state.stop_at == Some(state.calls) {
            state.off = true;
        }
        state.calls += 1;
        if state.off {
            Err(gone("the machine is off"))
        } else {
            Ok(state)
        }
    }

    /// Power cut and reboot: forgets any part of what was not synced, by the dice, and clears
    /// faults. Handles opened before are dead from now on.
    pub fn crash(&self, dice: &mut Dice<'_>) {
        let mut state = self.lock();
        let state = &mut *state;
        let mut names = std::mem::take(&mut state.durable_names);
        let pending = std::mem::take(&mut state.pending);
        // Half of the time as a journal does it, the first so many; half of the time any.
        let in_order = dice().is_multiple_of(2);
        let first = dice() % (pending.len() as u64 + 1);
        for (i, op) in pending.into_iter().enumerate() {
            if if in_order {
                (i as u64) < first
            } else {
                dice().is_multiple_of(2)
            } {
                op.apply(&mut names);
            }
        }
        // What lies in a folder that was lost is lost with it.
        let dirs: BTreeSet<PathBuf> = names
            .iter()
            .filter(|(_, i)| **i == DIR)
            .map(|(p, _)| p.clone())
            .collect();
        names.retain(|path, _| {
            path.ancestors()
                .skip(1)
                .all(|dir| dir.parent().is_none() || dirs.contains(dir))
        });
        let named: BTreeSet<usize> = names.values().copied().collect();
        for (n, inode) in state.inodes.iter_mut().enumerate() {
            if named.contains(&n) {
                inode.crash(dice);
            } else {
                *inode = Inode::default();
            }
        }
        state.names = names.clone();
        state.durable_names = names;
        state.reboot();
    }

    /// The process is killed, the machine goes on: nothing is forgotten, faults are cleared,
    /// handles opened before are dead.
    pub fn kill(&self) {
        self.lock().reboot();
    }

    /// Lets the next matching call fail.
    pub fn fail_next(&self, fault: Fault) {
        self.fail_after(fault, 0);
    }

    /// Lets a matching call fail after so many have got through.
    pub fn fail_after(&self, fault: Fault, calls: u64) {
        self.lock().fault = Some((fault, calls));
    }

    /// Bounds the bytes of all files together; beyond it writes fail as on a full disk, after
    /// what still fits. `None` lifts the bound.
    pub fn set_capacity(&self, bytes: Option<u64>) {
        self.lock().capacity = bytes;
    }

    /// Switches the machine off in front of the changing call number `call` (from 0, as
    /// [`ModelFiles::calls`] counts): it and all later ones fail without effect.
    pub fn stop_at(&self, call: u64) {
        self.lock().stop_at = Some(call);
    }

    /// How many changing calls were made since the last reboot.
    pub fn calls(&self) -> u64 {
        self.lock().calls
    }

    /// The bytes of a file, for checks.
    pub fn bytes(&self, path: &Path) -> Option<Vec<u8>> {
        let state = self.lock();
        let inode = *state.names.get(path)?;
        state.inodes.get(inode).map(|i| i.bytes.clone())
    }

    /// Changes a file behind everybody's back, durably: rot, or an operator's hand. Creates the
    /// file when it is missing.
    pub fn tamper(&self, path: &Path, change: impl FnOnce(&mut Vec<u8>)) {
        let mut state = self.lock();
        let inode = match state.names.get(path) {
            Some(inode) => *inode,
            None => {
                state.inodes.push(Inode::default());
                let inode = state.inodes.len() - 1;
                state.names.insert(path.to_path_buf(), inode);
                state.durable_names.insert(path.to_path_buf(), inode);
                inode
            }
        };
        if let Some(inode) = state.inodes.get_mut(inode) {
            change(&mut inode.bytes);
            inode.past.clear();
            inode.sizes.clear();
        }
    }
}

impl State {
    fn reboot(&mut self) {
        self.fault = None;
        self.stop_at = None;
        self.calls = 0;
        self.off = false;
        self.boots += 1;
    }

    fn take_fault(&mut self, fits: impl Fn(Fault) -> bool) -> Option<Fault> {
        let (fault, left) = self.fault.as_mut().filter(|(f, _)| fits(*f))?;
        let fault = *fault;
        match left.checked_sub(1) {
            Some(fewer) => {
                *left = fewer;
                None
            }
            None => {
                self.fault = None;
                Some(fault)
            }
        }
    }

    /// How many of `want` further bytes fit on the disk.
    fn room(&self, want: u64) -> u64 {
        let Some(capacity) = self.capacity else {
            return want;
        };
        let used: u64 = self
            .names
            .values()
            .filter_map(|i| self.inodes.get(*i))
            .map(|i| i.bytes.len() as u64)
            .sum();
        want.min(capacity.saturating_sub(used))
    }

    fn inode(&self, path: &Path) -> io::Result<usize> {
        self.names
            .get(path)
            .copied()
            .filter(|i| *i != DIR)
            .ok_or_else(not_found)
    }

    fn has_dir(&self, path: &Path) -> bool {
        path.parent().is_none() || self.names.get(path) == Some(&DIR)
    }

    fn op(&mut self, op: NameOp) {
        op.clone().apply(&mut self.names);
        self.pending.push(op);
    }
}

#[derive(Debug)]
struct ModelHandle {
    disk: ModelFiles,
    inode: usize,
    boot: u64,
}

impl ModelHandle {
    fn alive(&self, state: &State) -> io::Result<()> {
        if state.boots == self.boot {
            Ok(())
        } else {
            Err(gone("the handle is from before the reboot"))
        }
    }

    fn change(&self) -> io::Result<MutexGuard<'_, State>> {
        let state = self.disk.change()?;
        self.alive(&state)?;
        Ok(state)
    }
}

fn as_index(n: u64) -> io::Result<usize> {
    usize::try_from(n).map_err(|_| io::Error::from(io::ErrorKind::InvalidInput))
}

impl FileHandle for ModelHandle {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        let state = self.disk.lock();
        self.alive(&state)?;
        let bytes = &state.inodes[self.inode].bytes;
        let from = as_index(offset)?.min(bytes.len());
        let n = buf.len().min(bytes.len() - from);
        buf[..n].copy_from_slice(&bytes[from..from + n]);
        Ok(n)
    }

    fn write_at(&mut self, buf: &[u8], offset: u64) -> io::Result<()> {
        let mut state = self.change()?;
        let offset = as_index(offset)?;
        let size = state.inodes[self.inode].bytes.len();
        let growth = (offset + buf.len()).saturating_sub(size) as u64;
        let missing = growth - state.room(growth);
        let mut through = buf.len().saturating_sub(missing as usize);
        let mut result = if missing > 0 {
            Err(io::Error::from(io::ErrorKind::StorageFull))
        } else {
            Ok(())
        };
        if let Some(Fault::Write { after }) = state.take_fault(|f| matches!(f, Fault::Write { .. }))
        {
            through = through.min(after);
            result = Err(gone("write failed"));
        }
        if through > 0 {
            state.inodes[self.inode].write(&buf[..through], offset);
        }
        result
    }

    fn size(&self) -> io::Result<u64> {
        let state = self.disk.lock();
        self.alive(&state)?;
        Ok(state.inodes[self.inode].bytes.len() as u64)
    }

    fn set_size(&mut self, size: u64) -> io::Result<()> {
        let mut state = self.change()?;
        state.inodes[self.inode].resize(as_index(size)?);
        Ok(())
    }

    fn preallocate(&mut self, size: u64) -> io::Result<()> {
        let mut state = self.change()?;
        let present = state.inodes[self.inode].bytes.len() as u64;
        if size > present {
            if state.room(size - present) < size - present {
                return Err(io::Error::from(io::ErrorKind::StorageFull));
            }
            state.inodes[self.inode].resize(as_index(size)?);
        }
        Ok(())
    }

    fn sync_data(&mut self) -> io::Result<()> {
        let mut state = self.change()?;
        if state.take_fault(|f| f == Fault::Sync).is_some() {
            state.inodes[self.inode].fail_sync();
            return Err(gone("sync failed"));
        }
        state.inodes[self.inode].sync();
        Ok(())
    }
}

impl ModelFiles {
    fn handle(&self, state: &State, inode: usize) -> Box<dyn FileHandle> {
        Box::new(ModelHandle {
            disk: self.clone(),
            inode,
            boot: state.boots,
        })
    }
}

impl Files for ModelFiles {
    fn create(&self, path: &Path) -> io::Result<Box<dyn FileHandle>> {
        let mut state = self.change()?;
        if state.names.contains_key(path) {
            return Err(io::Error::from(io::ErrorKind::AlreadyExists));
        }
        if !path.parent().is_some_and(|dir| state.has_dir(dir)) {
            return Err(not_found());
        }
        state.inodes.push(Inode::default());
        let inode = state.inodes.len() - 1;
        state.op(NameOp::Put(path.to_path_buf(), inode));
        Ok(self.handle(&state, inode))
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn FileHandle>> {
        let state = self.lock();
        let inode = state.inode(path)?;
        Ok(self.handle(&state, inode))
    }

    fn open_read(&self, path: &Path) -> io::Result<Box<dyn FileHandle>> {
        self.open(path)
    }

    fn create_dir(&self, path: &Path) -> io::Result<()> {
        let mut state = self.change()?;
        let mut missing: Vec<&Path> = path.ancestors().filter(|p| !state.has_dir(p)).collect();
        while let Some(dir) = missing.pop() {
            state.op(NameOp::Put(dir.to_path_buf(), DIR));
        }
        Ok(())
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut state = self.change()?;
        if !state.names.contains_key(from) {
            return Err(not_found());
        }
        state.op(NameOp::Rename(from.to_path_buf(), to.to_path_buf()));
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let mut state = self.change()?;
        state.inode(path)?;
        state.op(NameOp::Remove(path.to_path_buf()));
        Ok(())
    }

    fn remove_tree(&self, dir: &Path) -> io::Result<()> {
        let mut state = self.change()?;
        if state.names.get(dir) != Some(&DIR) {
            return Err(not_found());
        }
        let inside: Vec<PathBuf> = state
            .names
            .keys()
            .filter(|path| path.starts_with(dir))
            .cloned()
            .collect();
        for path in inside.into_iter().rev() {
            state.op(NameOp::Remove(path));
        }
        Ok(())
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        let state = self.lock();
        if !state.has_dir(dir) {
            return Err(not_found());
        }
        let mut names: Vec<String> = Vec::new();
        for path in state.names.keys().filter(|p| p.parent() == Some(dir)) {
            names.extend(path.file_name().and_then(|n| n.to_str()).map(str::to_owned));
        }
        names.sort_unstable();
        Ok(names)
    }

    fn exists(&self, path: &Path) -> io::Result<bool> {
        Ok(path.parent().is_none() || self.lock().names.contains_key(path))
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        let mut state = self.change()?;
        if !state.has_dir(dir) {
            return Err(not_found());
        }
        if state.take_fault(|f| f == Fault::SyncDir).is_some() {
            return Err(gone("sync of the folder failed"));
        }
        let (done, left): (Vec<NameOp>, Vec<NameOp>) = std::mem::take(&mut state.pending)
            .into_iter()
            .partition(|op| op.touches(dir));
        state.pending = left;
        for op in done {
            op.apply(&mut state.durable_names);
        }
        Ok(())
    }
}
