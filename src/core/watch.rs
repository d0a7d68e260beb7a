//! Watches: who wants to hear of which path, in two tables as Java keeps them.
//!
//! The data table serves exists, getData and both kinds of addWatch; the child table getChildren
//! and persistent watches. Watches belong to a connection and go with it. It does not know how an
//! event reaches a client, nor access control: it names the connections, the caller filters.
//!
//! Invariants: an entry has at least one mode; a path is listed in a connection's paths if and
//! only if the connection has an entry on it in either table; recursive entries exist in the data
//! table only, and `recursive` counts them.

use alloc::boxed::Box;
use alloc::collections::BTreeSet;
use alloc::vec::Vec;

use crate::acl::Ids;
use crate::hash::Map;
use crate::ids::{ConnId, SessionId};

/// Types of events, as on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// NodeCreated.
    Created = 1,
    /// NodeDeleted.
    Deleted = 2,
    /// NodeDataChanged.
    DataChanged = 3,
    /// NodeChildrenChanged.
    ChildrenChanged = 4,
}

/// Kinds of watches, bits of one set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Fires once.
    Standard = 1,
    /// Stays.
    Persistent = 2,
    /// Stays, and hears of everything below.
    Recursive = 4,
}

/// Which watches checkWatches and removeWatches mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Standard ones of the child table.
    Children,
    /// Standard ones of the data table.
    Data,
    /// Any.
    Any,
    /// Persistent.
    Persistent,
    /// Persistent and recursive.
    Recursive,
}

impl Kind {
    /// The kind of a request's number.
    pub fn from_i32(kind: i32) -> Option<Kind> {
        Some(match kind {
            1 => Kind::Children,
            2 => Kind::Data,
            3 => Kind::Any,
            4 => Kind::Persistent,
            5 => Kind::Recursive,
            _ => return None,
        })
    }
}

/// The two tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Table {
    /// exists, getData, addWatch.
    Data,
    /// getChildren, persistent addWatch.
    Child,
}

/// Entries of one path, sorted by connection: later connections have larger ids, so that most
/// additions are at the end.
#[derive(Debug, Default)]
struct Entries(Vec<(ConnId, u8)>);

impl Entries {
    fn get(&self, conn: ConnId) -> u8 {
        self.0
            .binary_search_by_key(&conn, |e| e.0)
            .map_or(0, |at| self.0[at].1)
    }

    /// Adds bits; returns whether they are new.
    fn add(&mut self, conn: ConnId, bits: u8) -> bool {
        match self.0.binary_search_by_key(&conn, |e| e.0) {
            Ok(at) => {
                let new = self.0[at].1 & bits != bits;
                self.0[at].1 |= bits;
                new
            }
            Err(at) => {
                self.0.insert(at, (conn, bits));
                true
            }
        }
    }

    /// Takes bits away; returns those that were there.
    fn take(&mut self, conn: ConnId, bits: u8) -> u8 {
        let Ok(at) = self.0.binary_search_by_key(&conn, |e| e.0) else {
            return 0;
        };
        let taken = self.0[at].1 & bits;
        self.0[at].1 &= !bits;
        if self.0[at].1 == 0 {
            self.0.remove(at);
        }
        taken
    }
}

#[derive(Debug)]
struct Path {
    name: Box<str>,
    data: Entries,
    child: Entries,
}

impl Path {
    fn of(&mut self, table: Table) -> &mut Entries {
        match table {
            Table::Data => &mut self.data,
            Table::Child => &mut self.child,
        }
    }

    fn has(&self, conn: ConnId) -> bool {
        self.data.get(conn) != 0 || self.child.get(conn) != 0
    }
}

#[derive(Debug)]
struct Watcher {
    session: SessionId,
    ids: Ids,
    paths: BTreeSet<u32>,
    /// Java lists a connection in wchs until it closes or removes its last data watch.
    listed: bool,
}

/// All watches of one server.
#[derive(Debug, Default)]
pub struct Watches {
    names: Map<Box<str>, u32>,
    paths: Vec<Option<Path>>,
    free: Vec<u32>,
    conns: Map<ConnId, Watcher>,
    recursive: usize,
    count: usize,
}

const STANDARD: u8 = Mode::Standard as u8;
const PERSISTENT: u8 = Mode::Persistent as u8;
const RECURSIVE: u8 = Mode::Recursive as u8;
const ALL: u8 = STANDARD | PERSISTENT | RECURSIVE;

impl Watches {
    /// Enters a connection, or replaces what is known of it.
    pub fn register(&mut self, conn: ConnId, session: SessionId, ids: Ids) {
        match self.conns.get_mut(&conn) {
            Some(watcher) => {
                watcher.session = session;
                watcher.ids = ids;
            }
            None => {
                let watcher = Watcher {
                    session,
                    ids,
                    paths: BTreeSet::new(),
                    listed: false,
                };
                self.conns.insert(conn, watcher);
            }
        }
    }

    /// Current identities of a connection.
    pub fn ids(&self, conn: ConnId) -> Option<&Ids> {
        self.conns.get(&conn).map(|watcher| &watcher.ids)
    }

    /// Removes a connection and its watches.
    pub fn unregister(&mut self, conn: ConnId) {
        let Some(watcher) = self.conns.remove(&conn) else {
            return;
        };
        for id in watcher.paths {
            let Some(path) = &mut self.paths[id as usize] else {
                continue;
            };
            let data = path.data.take(conn, ALL);
            let child = path.child.take(conn, ALL);
            self.recursive -= usize::from(data & RECURSIVE != 0);
            self.count -= usize::from(data != 0) + usize::from(child != 0);
            self.drop_if_unused(id);
        }
    }

    fn id(&self, path: &str) -> Option<u32> {
        self.names.get(path).copied()
    }

    fn drop_if_unused(&mut self, id: u32) {
        let slot = &mut self.paths[id as usize];
        if slot
            .as_ref()
            .is_some_and(|path| path.data.0.is_empty() && path.child.0.is_empty())
            && let Some(path) = slot.take()
        {
            self.names.remove(&path.name);
            self.free.push(id);
        }
    }

    /// Adds a watch in one table. Ignored for a connection that is gone.
    pub fn arm(&mut self, conn: ConnId, table: Table, path: &str, mode: Mode) {
        let Some(watcher) = self.conns.get_mut(&conn) else {
            return;
        };
        let id = match self.names.get(path) {
            Some(id) => *id,
            None => {
                let entry = Path {
                    name: path.into(),
                    data: Entries::default(),
                    child: Entries::default(),
                };
                let id = match self.free.pop() {
                    Some(id) => {
                        self.paths[id as usize] = Some(entry);
                        id
                    }
                    None => {
                        self.paths.push(Some(entry));
                        (self.paths.len() - 1) as u32
                    }
                };
                self.names.insert(path.into(), id);
                id
            }
        };
        watcher.paths.insert(id);
        if table == Table::Data {
            watcher.listed = true;
        }
        let Some(entry) = &mut self.paths[id as usize] else {
            return;
        };
        let entries = entry.of(table);
        let fresh = entries.get(conn) == 0;
        if entries.add(conn, mode as u8) && mode == Mode::Recursive {
            self.recursive += 1;
        }
        self.count += usize::from(fresh);
    }

    /// addWatch: a persistent watch stands in both tables, a recursive one in the data table.
    pub fn add_watch(&mut self, conn: ConnId, path: &str, recursive: bool) {
        if recursive {
            self.arm(conn, Table::Data, path, Mode::Recursive);
        } else {
            self.arm(conn, Table::Data, path, Mode::Persistent);
            self.arm(conn, Table::Child, path, Mode::Persistent);
        }
    }

    /// Who hears of a change at `path`: connections on exactly it, whose standard watch is spent,
    /// and, in the data table, those recursive on it or above. Each once, in ascending order,
    /// without those in `except` (whose standard watches are spent all the same).
    pub fn trigger(&mut self, table: Table, path: &str, except: &[ConnId]) -> Vec<ConnId> {
        let mut hit = Vec::new();
        if self.count == 0 {
            return hit;
        }
        if let Some(id) = self.id(path)
            && let Some(entry) = &mut self.paths[id as usize]
        {
            let entries = entry.of(table);
            hit.extend(entries.0.iter().map(|e| e.0));
            let mut gone = Vec::new();
            entries.0.retain_mut(|(conn, bits)| {
                *bits &= !STANDARD;
                if *bits == 0 {
                    gone.push(*conn);
                }
                *bits != 0
            });
            self.count -= gone.len();
            for conn in gone {
                if !entry.has(conn)
                    && let Some(watcher) = self.conns.get_mut(&conn)
                {
                    watcher.paths.remove(&id);
                }
            }
            self.drop_if_unused(id);
        }
        if table == Table::Data && self.recursive > 0 {
            let exact = hit.len();
            for above in crate::path::ancestors(path) {
                let Some(id) = self.id(above) else { continue };
                let Some(entry) = &self.paths[id as usize] else {
                    continue;
                };
                hit.extend(
                    entry
                        .data
                        .0
                        .iter()
                        .filter(|e| e.1 & RECURSIVE != 0)
                        .map(|e| e.0),
                );
            }
            if hit.len() > exact {
                hit.sort_unstable();
                hit.dedup();
            }
        }
        if !except.is_empty() {
            hit.retain(|conn| !except.contains(conn));
        }
        hit
    }

    /// Whether a connection has a watch of a kind on `path`.
    pub fn contains(&self, conn: ConnId, path: &str, kind: Kind) -> bool {
        let Some(entry) = self
            .id(path)
            .and_then(|id| self.paths[id as usize].as_ref())
        else {
            return false;
        };
        let (data, child) = (entry.data.get(conn), entry.child.get(conn));
        match kind {
            Kind::Children => child & STANDARD != 0,
            Kind::Data => data & STANDARD != 0,
            Kind::Any => data | child != 0,
            Kind::Persistent => data & PERSISTENT != 0,
            Kind::Recursive => data & RECURSIVE != 0,
        }
    }

    /// Removes a connection's watches of a kind on `path`; whether there was one.
    pub fn remove(&mut self, conn: ConnId, path: &str, kind: Kind) -> bool {
        let Some(id) = self.id(path) else {
            return false;
        };
        let Some(entry) = &mut self.paths[id as usize] else {
            return false;
        };
        let (data, child) = match kind {
            Kind::Children => (0, STANDARD),
            Kind::Data => (STANDARD, 0),
            Kind::Any => (ALL, ALL),
            Kind::Persistent => (PERSISTENT, PERSISTENT),
            Kind::Recursive => (RECURSIVE, 0),
        };
        let before = (entry.data.get(conn), entry.child.get(conn));
        let taken = (entry.data.take(conn, data), entry.child.take(conn, child));
        self.recursive -= usize::from(taken.0 & RECURSIVE != 0);
        self.count -= usize::from(before.0 != 0 && entry.data.get(conn) == 0)
            + usize::from(before.1 != 0 && entry.child.get(conn) == 0);
        let gone = !entry.has(conn);
        if gone && let Some(watcher) = self.conns.get_mut(&conn) {
            watcher.paths.remove(&id);
            if watcher.paths.is_empty() {
                watcher.listed = false;
            }
        }
        self.drop_if_unused(id);
        taken != (0, 0)
    }

    /// Pairs of connection and path over both tables: the metric `watch_count`.
    pub fn count(&self) -> usize {
        self.count
    }

    /// `wchs`: connections that have had data watches, paths in the data table, watches in it.
    pub fn summary(&self) -> (usize, usize, usize) {
        let conns = self.conns.values().filter(|watcher| watcher.listed).count();
        let data = self
            .paths
            .iter()
            .flatten()
            .map(|path| path.data.0.len())
            .filter(|n| *n > 0);
        data.fold((conns, 0, 0), |(c, paths, watches), n| {
            (c, paths + 1, watches + n)
        })
    }

    /// `wchc`: sessions and the paths of their data watches.
    pub fn by_session(&self) -> Vec<(SessionId, Vec<&str>)> {
        let mut all: Vec<_> = self
            .conns
            .iter()
            .filter(|(_, watcher)| watcher.listed)
            .map(|(conn, watcher)| {
                let paths = watcher
                    .paths
                    .iter()
                    .filter_map(|id| self.paths[*id as usize].as_ref())
                    .filter(|path| path.data.get(*conn) != 0)
                    .map(|path| &*path.name)
                    .collect();
                (watcher.session, paths)
            })
            .collect();
        all.sort();
        all
    }

    /// `wchp`: paths of data watches and the sessions that hold them.
    pub fn by_path(&self) -> Vec<(&str, Vec<SessionId>)> {
        let mut all: Vec<_> = self
            .paths
            .iter()
            .flatten()
            .filter(|path| !path.data.0.is_empty())
            .map(|path| {
                let sessions = path.data.0.iter().filter_map(|e| self.conns.get(&e.0));
                (
                    &*path.name,
                    sessions.map(|watcher| watcher.session).collect(),
                )
            })
            .collect();
        all.sort();
        all
    }
}
