//! What a start finds must be what was there, up to some zxid that nobody was told of being behind.

use std::collections::{BTreeMap, BTreeSet};

use zk_core::ids::Now;
use zk_core::tree::{Lookup, Tree};
use zk_wire::stat::StatPersisted;

use super::sessions::Sessions;
use super::{Judge, Verdict, ensure};
use crate::coverage::Seen;
use crate::model::{Entry, Kind, State};

impl Judge {
    /// A start has found the log to end at `end`: what was issued behind it never was, and every
    /// connection is gone.
    ///
    /// # Errors
    /// Something that a client was told of is lost.
    pub fn restarted(&mut self, end: i64, tick_ms: i64, now: Now) -> Verdict {
        ensure!(
            end >= self.acknowledged,
            "the log ends at {end:#x}, a client was told of {:#x}",
            self.acknowledged
        );
        ensure!(
            end <= self.issued(),
            "the log ends at {end:#x}, issued was {:#x}",
            self.issued()
        );
        if end < self.issued() {
            self.coverage.note(Seen::LostUnsynced);
        }
        self.history.truncate(end as usize);
        self.jobs.clear();
        self.accepted.clear();
        self.streams.clear();
        self.connecting.clear();
        self.made.retain(|_, zxid| *zxid <= end);
        self.applied = end;
        self.durable = end;
        self.requests = 0;
        self.answers = 0;
        self.new_clock = now.wall_ms > self.booted_wall_ms;
        self.booted_wall_ms = self.booted_wall_ms.max(now.wall_ms);
        self.sessions = Sessions::new(tick_ms);
        for (session, timeout) in &self.state(end).clone().sessions {
            self.sessions.track(*session, *timeout, now.mono_ms);
        }
        Ok(())
    }
}

type Flat = (Option<Vec<u8>>, StatPersisted, Vec<Entry>, usize);

/// The order in which `auth` expands is that of Java's hash set, which is tested elsewhere.
fn sorted(mut acl: Vec<Entry>) -> Vec<Entry> {
    acl.sort();
    acl
}

/// Whether a complete tree is what the model says, to the last field and counter.
///
/// # Errors
/// The first difference.
pub fn compare(tree: &Tree, state: &State) -> Verdict {
    let mut found: BTreeMap<String, Flat> = BTreeMap::new();
    let Lookup::Found(root) = tree.find("") else {
        return Err("the tree has no root".into());
    };
    root.walk(&mut |path, view| {
        let acl = view.acl().iter().map(|entry| Entry {
            scheme: entry.scheme.to_string(),
            id: entry.id.as_deref().unwrap_or("(null)").to_owned(),
            perms: entry.perms,
        });
        let node = (
            view.data().map(<[u8]>::to_vec),
            view.stat(),
            sorted(acl.collect()),
            view.child_count() as usize,
        );
        let path = if path.is_empty() { "/" } else { path };
        found.insert(path.to_owned(), node);
    })
    .map_err(|need| format!("the tree is not complete: {need:?}"))?;
    for (path, node) in &state.nodes {
        let expected: Flat = (
            node.data.as_ref().map(|data| data.to_vec()),
            node.stat,
            sorted(node.acl.to_vec()),
            state.children(path).len(),
        );
        let got = found.remove(&**path);
        ensure!(
            got.as_ref() == Some(&expected),
            "{path} is {got:?}, expected {expected:?}"
        );
    }
    ensure!(found.is_empty(), "nodes {found:?} should not be");

    let sessions: BTreeMap<i64, i32> = tree.sessions().map(|(id, t)| (id.0, t)).collect();
    ensure!(
        sessions == state.sessions,
        "sessions {sessions:?}, expected {:?}",
        state.sessions
    );
    let indexed: BTreeSet<(i64, &str)> = tree
        .ephemerals()
        .flat_map(|(id, paths)| paths.iter().map(move |path| (id.0, &**path)))
        .collect();
    let of_kind = |want: fn(Kind) -> Option<i64>| -> BTreeSet<(i64, &str)> {
        let nodes = state.nodes.iter();
        nodes
            .filter_map(|(path, node)| Some((want(node.kind())?, &**path)))
            .collect()
    };
    let owned = of_kind(|kind| match kind {
        Kind::Ephemeral(session) => Some(session),
        Kind::Persistent | Kind::Container | Kind::Ttl(_) => None,
    });
    ensure!(
        indexed == owned && tree.ephemeral_count() == owned.len(),
        "ephemerals {indexed:?}, expected {owned:?}"
    );
    let containers = of_kind(|kind| (kind == Kind::Container).then_some(0));
    ensure!(
        tree.containers()
            .map(|path| (0, path))
            .collect::<BTreeSet<_>>()
            == containers,
        "containers {:?}, expected {containers:?}",
        tree.containers().collect::<Vec<_>>()
    );
    let ttls = of_kind(|kind| match kind {
        Kind::Ttl(_) => Some(0),
        Kind::Persistent | Kind::Container | Kind::Ephemeral(_) => None,
    });
    ensure!(
        tree.ttls().map(|path| (0, path)).collect::<BTreeSet<_>>() == ttls,
        "TTL nodes {:?}, expected {ttls:?}",
        tree.ttls().collect::<Vec<_>>()
    );
    ensure!(
        tree.node_count() == state.nodes.len() as u64,
        "{} nodes, expected {}",
        tree.node_count(),
        state.nodes.len()
    );
    let size = |(path, node): (&std::rc::Rc<str>, &std::rc::Rc<crate::model::Znode>)| {
        let path = if &**path == "/" { 0 } else { path.len() };
        (path + node.data_len()) as u64
    };
    let bytes: u64 = state.nodes.iter().map(size).sum();
    ensure!(
        tree.data_size() == bytes,
        "{} bytes, expected {bytes}",
        tree.data_size()
    );
    ensure!(
        tree.digest() == state.digest(),
        "digest {}, expected {}",
        tree.digest(),
        state.digest()
    );
    let lists: BTreeSet<&[Entry]> = state
        .nodes
        .values()
        .map(|node| &*node.acl)
        .filter(|acl| **acl != *crate::model::open())
        .collect();
    // One list in two orders may be two lists.
    ensure!(
        tree.acls().len()
            >= lists
                .iter()
                .map(|l| sorted(l.to_vec()))
                .collect::<BTreeSet<_>>()
                .len()
            && tree.acls().len() <= 2 * lists.len(),
        "{} access control lists, expected {lists:?}",
        tree.acls().len()
    );
    Ok(())
}
