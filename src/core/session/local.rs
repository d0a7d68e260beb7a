//! Sessions that only this server knows, and those of them that are becoming everybody's.
//!
//! It does not know who asks for what. Invariant: a session is local, or on its way, or neither.

use alloc::collections::BTreeSet;
use alloc::vec::Vec;

use super::{Owner, Tracker};
use crate::ids::SessionId;

/// See the module.
#[derive(Debug)]
pub struct Local {
    tracker: Tracker,
    /// Their createSession is asked for.
    upgrading: BTreeSet<SessionId>,
}

impl Local {
    /// None.
    pub fn new(tick_ms: i64) -> Local {
        Local {
            // No id comes from here.
            tracker: Tracker::new(0, tick_ms, 0),
            upgrading: BTreeSet::new(),
        }
    }

    /// A new one.
    pub fn open(&mut self, id: SessionId, timeout_ms: i32, mono_ms: i64) {
        self.tracker.track(id, timeout_ms, Owner::Me, mono_ms);
    }

    /// Whether it is one, though it may be about to be closed.
    pub fn contains(&self, id: SessionId) -> bool {
        self.tracker.owner(id).is_some()
    }

    /// Whether it is one, and lives.
    pub fn is_live(&self, id: SessionId) -> bool {
        self.tracker.is_live(id)
    }

    /// Its client was heard of. Returns whether it is one, and lives.
    pub fn touch(&mut self, id: SessionId, timeout_ms: i32, mono_ms: i64) -> bool {
        self.tracker.touch(id, timeout_ms, mono_ms)
    }

    /// Its client comes with another connection. Returns whether it is one, and lives.
    pub fn attach(&mut self, id: SessionId, timeout_ms: i32, mono_ms: i64) -> bool {
        self.tracker.attach(id, timeout_ms, mono_ms)
    }

    /// It shall be everybody's. Returns the timeout for its createSession, or nothing if it is not
    /// one that lives.
    pub fn upgrade(&mut self, id: SessionId) -> Option<i32> {
        let timeout_ms = self.tracker.timeout_ms(id).filter(|_| self.is_live(id))?;
        self.tracker.remove(id);
        self.upgrading.insert(id);
        Some(timeout_ms)
    }

    /// Whether its createSession is asked for.
    pub fn is_upgrading(&self, id: SessionId) -> bool {
        self.upgrading.contains(&id)
    }

    /// It is being closed.
    pub fn set_closing(&mut self, id: SessionId) {
        self.tracker.set_closing(id);
    }

    /// It is gone, or everybody's.
    pub fn remove(&mut self, id: SessionId) {
        self.tracker.remove(id);
        self.upgrading.remove(&id);
    }

    /// Those whose time has come, which are closing from now on.
    pub fn expire(&mut self, mono_ms: i64) -> Vec<SessionId> {
        self.tracker.expire(mono_ms)
    }

    /// Them and their buckets.
    pub fn tracker(&self) -> &Tracker {
        &self.tracker
    }
}
