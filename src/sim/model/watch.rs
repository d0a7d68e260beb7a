//! One connection's watches, and what it hears of a change.

use std::collections::BTreeMap;
use std::rc::Rc;

use super::access::{READ, allows};
use super::{AclList, Identity};

/// A change that watches may hear of.
#[derive(Debug, Clone)]
pub enum Fired {
    /// A node came.
    Created {
        /// Where.
        path: Rc<str>,
        /// Its list.
        acl: AclList,
        /// Its parent's list.
        parent_acl: AclList,
    },
    /// A node went.
    Deleted {
        /// Where.
        path: Rc<str>,
        /// Its last list.
        acl: AclList,
        /// Its parent's list.
        parent_acl: AclList,
    },
    /// Data was set.
    Changed {
        /// Where.
        path: Rc<str>,
        /// Its list.
        acl: AclList,
    },
}

const STANDARD: u8 = 1;
const PERSISTENT: u8 = 2;
const RECURSIVE: u8 = 4;

type Table = BTreeMap<String, u8>;

/// One connection's watches.
#[derive(Debug, Default)]
pub struct WatchSet {
    data: Table,
    child: Table,
}

/// Type and path of an event.
pub type Event = (i32, String);

const CREATED: i32 = 1;
const DELETED: i32 = 2;
const CHANGED: i32 = 3;
const CHILDREN: i32 = 4;

fn add(table: &mut Table, path: &str, mode: u8) {
    *table.entry(path.into()).or_default() |= mode;
}

fn take(table: &mut Table, path: &str, mode: u8) -> bool {
    let Some(modes) = table.get_mut(path) else {
        return false;
    };
    let had = *modes & mode != 0;
    *modes &= !mode;
    if *modes == 0 {
        table.remove(path);
    }
    had
}

/// Whether the table has something at `path`; its standard watch is spent.
fn hit(table: &mut Table, path: &str) -> bool {
    let there = table.contains_key(path);
    take(table, path, STANDARD);
    there
}

impl WatchSet {
    /// Whether nothing can be heard.
    pub fn is_empty(&self) -> bool {
        self.data.is_empty() && self.child.is_empty()
    }

    /// Paths of standard data watches, of standard child watches, of persistent ones and of
    /// recursive ones.
    pub fn paths(&self) -> [Vec<&str>; 4] {
        fn of(table: &Table, mode: u8) -> Vec<&str> {
            let there = table.iter().filter(|(_, modes)| *modes & mode != 0);
            there.map(|(path, _)| path.as_str()).collect()
        }
        [
            of(&self.data, STANDARD),
            of(&self.child, STANDARD),
            of(&self.data, PERSISTENT),
            of(&self.data, RECURSIVE),
        ]
    }

    /// A standard watch of exists and getData.
    pub fn arm_data(&mut self, path: &str) {
        add(&mut self.data, path, STANDARD);
    }

    /// A standard watch of getChildren.
    pub fn arm_child(&mut self, path: &str) {
        add(&mut self.child, path, STANDARD);
    }

    /// addWatch.
    pub fn add(&mut self, path: &str, recursive: bool) {
        if recursive {
            add(&mut self.data, path, RECURSIVE);
        } else {
            add(&mut self.data, path, PERSISTENT);
            add(&mut self.child, path, PERSISTENT);
        }
    }

    /// checkWatches or, with `remove`, removeWatches: whether there is one of the kind. `None` for
    /// an unknown kind.
    pub fn check(&mut self, path: &str, kind: i32, remove: bool) -> Option<bool> {
        let of = |table: &Table| table.get(path).copied().unwrap_or_default();
        let (data, child) = (of(&self.data), of(&self.child));
        let (found, from_data, from_child) = match kind {
            1 => (child & STANDARD != 0, 0, STANDARD),
            2 => (data & STANDARD != 0, STANDARD, 0),
            3 => (data | child != 0, u8::MAX, u8::MAX),
            4 => (data & PERSISTENT != 0, PERSISTENT, PERSISTENT),
            5 => (data & RECURSIVE != 0, RECURSIVE, 0),
            _ => return None,
        };
        if remove {
            take(&mut self.data, path, from_data);
            take(&mut self.child, path, from_child);
        }
        Some(found)
    }

    /// Whether the data table hears of `path`.
    fn hit_data(&mut self, path: &str) -> bool {
        let mut heard = hit(&mut self.data, path);
        let mut at = path;
        while at.len() > 1 {
            let Some(above) = super::parent(at) else {
                break;
            };
            heard |= self.data.get(above).is_some_and(|m| m & RECURSIVE != 0);
            at = above;
        }
        heard
    }

    /// What the connection hears of a change, with these identities, in order.
    pub fn fire(&mut self, fired: &Fired, ids: &[Identity]) -> Vec<Event> {
        let mut events = Vec::new();
        let mut tell = |kind: i32, path: &str, acl: &AclList| {
            if allows(acl, READ, ids) {
                events.push((kind, path.into()));
            }
        };
        match fired {
            Fired::Created {
                path,
                acl,
                parent_acl,
            } => {
                if self.hit_data(path) {
                    tell(CREATED, path, acl);
                }
                self.children_changed(path, parent_acl, &mut tell);
            }
            Fired::Deleted {
                path,
                acl,
                parent_acl,
            } => {
                let by_data = self.hit_data(path);
                let by_child = hit(&mut self.child, path);
                if by_data || by_child {
                    tell(DELETED, path, acl);
                }
                self.children_changed(path, parent_acl, &mut tell);
            }
            Fired::Changed { path, acl } => {
                if self.hit_data(path) {
                    tell(CHANGED, path, acl);
                }
            }
        }
        events
    }

    fn children_changed(
        &mut self,
        path: &str,
        acl: &AclList,
        tell: &mut dyn FnMut(i32, &str, &AclList),
    ) {
        if let Some(parent) = super::parent(path)
            && hit(&mut self.child, parent)
        {
            tell(CHILDREN, parent, acl);
        }
    }
}
