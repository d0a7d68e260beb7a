//! The table of live sessions and the buckets in which they expire.
//!
//! Only the leader's (or a standalone server's) counts. It does not know znodes: closing is a
//! transaction that [`crate::Node`] makes. A session is in one bucket unless it is closing, then
//! in none; a bucket's time is a multiple of the tick.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;

use zk_wire::Code;

use crate::ids::{LinkId, SessionId};

/// Whose client a session is. In an ensemble a server's link is its name: one that comes back has
/// another, and its clients must be validated anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owner {
    /// Nobody's yet: the first that sends a request for it.
    None,
    /// This server's.
    Me,
    /// That of the server at the other end.
    Link(LinkId),
}

#[derive(Debug)]
struct Tracked {
    timeout_ms: i32,
    /// When the client was last heard of.
    heard_ms: i64,
    expiry_ms: i64,
    closing: bool,
    owner: Owner,
}

/// See the module.
#[derive(Debug)]
pub struct Tracker {
    tick_ms: i64,
    sessions: BTreeMap<SessionId, Tracked>,
    buckets: BTreeMap<i64, BTreeSet<SessionId>>,
    next: i64,
}

/// A wished timeout within the bounds; any number may be wished.
pub fn clamp(wished_ms: i32, min_ms: i32, max_ms: i32) -> i32 {
    // Not `clamp`: Java tests the lower bound first and lets the upper one win.
    wished_ms.max(min_ms).min(max_ms)
}

impl Tracker {
    /// An empty table. Ids count up from the server's id and a time in milliseconds, in Java's
    /// layout.
    ///
    /// Java takes the time since the machine's start, which begins anew: an id that was closed,
    /// and with it its password, could come back. So `time_ms` is to be the wall clock's.
    pub fn new(server_id: u8, tick_ms: i64, time_ms: i64) -> Tracker {
        let time = ((time_ms as u64) << 24) >> 8;
        let mut next = (time | (u64::from(server_id) << 56)) as i64;
        if next == crate::owner::CONTAINER {
            next += 1;
        }
        Tracker {
            tick_ms,
            sessions: BTreeMap::new(),
            buckets: BTreeMap::new(),
            next,
        }
    }

    /// Goes on with the ids of `before`, if they are ahead: a clock that was set back must not bring
    /// an id back.
    pub fn continue_ids(&mut self, before: &Tracker) {
        self.next = self.next.max(before.next);
    }

    /// A new session's id; never one in the table.
    pub fn next_id(&mut self) -> SessionId {
        loop {
            let id = SessionId(self.next);
            self.next = self.next.wrapping_add(1);
            if !self.sessions.contains_key(&id) {
                return id;
            }
        }
    }

    /// Begins to track a session, or goes on with one.
    pub fn track(&mut self, id: SessionId, timeout_ms: i32, owner: Owner, mono_ms: i64) {
        let expiry_ms = self.bucket(mono_ms, timeout_ms);
        let tracked = Tracked {
            timeout_ms,
            heard_ms: mono_ms,
            expiry_ms,
            closing: false,
            owner,
        };
        if let Some(old) = self.sessions.insert(id, tracked) {
            self.leave(old.expiry_ms, id);
        }
        self.buckets.entry(expiry_ms).or_default().insert(id);
    }

    /// The first multiple of the tick after a whole timeout: a session dies after more than its
    /// timeout and at most a tick later.
    fn bucket(&self, mono_ms: i64, timeout_ms: i32) -> i64 {
        ((mono_ms + i64::from(timeout_ms)).div_euclid(self.tick_ms) + 1) * self.tick_ms
    }

    fn leave(&mut self, expiry_ms: i64, id: SessionId) {
        if let Some(bucket) = self.buckets.get_mut(&expiry_ms) {
            bucket.remove(&id);
            if bucket.is_empty() {
                self.buckets.remove(&expiry_ms);
            }
        }
    }

    /// A client was heard of. Returns whether its session lives. News that is no newer than what is
    /// known changes nothing: connections are sampled in no order, and the one that a session was
    /// taken from is told of last, with a timeout that holds no more.
    pub fn touch(&mut self, id: SessionId, timeout_ms: i32, mono_ms: i64) -> bool {
        match self.sessions.get(&id) {
            Some(tracked) if !tracked.closing && mono_ms <= tracked.heard_ms => true,
            _ => self.attach(id, timeout_ms, mono_ms),
        }
    }

    /// A session goes on with another connection, and from now on with this timeout. Returns
    /// whether it lives.
    pub fn attach(&mut self, id: SessionId, timeout_ms: i32, mono_ms: i64) -> bool {
        let bucket = self.bucket(mono_ms, timeout_ms);
        let Some(tracked) = self.sessions.get_mut(&id) else {
            return false;
        };
        if tracked.closing {
            return false;
        }
        tracked.heard_ms = mono_ms;
        let old = core::mem::replace(&mut tracked.expiry_ms, bucket);
        if old != bucket {
            self.leave(old, id);
            self.buckets.entry(bucket).or_default().insert(id);
        }
        true
    }

    /// A server says that the session is its client's: it is tracked from now on, if it was not
    /// before, and has that owner.
    ///
    /// # Errors
    /// SESSIONEXPIRED: it is being closed.
    pub fn adopt(
        &mut self,
        id: SessionId,
        timeout_ms: i32,
        owner: Owner,
        mono_ms: i64,
    ) -> Result<(), Code> {
        if !self.sessions.contains_key(&id) {
            self.track(id, timeout_ms, owner, mono_ms);
            return Ok(());
        }
        if !self.attach(id, timeout_ms, mono_ms) {
            return Err(Code::SessionExpired);
        }
        self.set_owner(id, owner);
        Ok(())
    }

    /// Whether `owner` may write for the session. Of a session that is nobody's it becomes the
    /// owner.
    ///
    /// # Errors
    /// SESSIONEXPIRED: it is unknown or being closed. SESSIONMOVED: it is another's.
    pub fn check(&mut self, id: SessionId, owner: Owner) -> Result<(), Code> {
        let Some(tracked) = self
            .sessions
            .get_mut(&id)
            .filter(|tracked| !tracked.closing)
        else {
            return Err(Code::SessionExpired);
        };
        if tracked.owner == Owner::None {
            tracked.owner = owner;
        }
        if tracked.owner == owner {
            Ok(())
        } else {
            Err(Code::SessionMoved)
        }
    }

    /// Says which server's client the session is now.
    pub fn set_owner(&mut self, id: SessionId, owner: Owner) {
        if let Some(tracked) = self.sessions.get_mut(&id) {
            tracked.owner = owner;
        }
    }

    /// Which server's client the session is.
    pub fn owner(&self, id: SessionId) -> Option<Owner> {
        self.sessions.get(&id).map(|tracked| tracked.owner)
    }

    /// Whether the session lives and is not being closed.
    pub fn is_live(&self, id: SessionId) -> bool {
        self.sessions
            .get(&id)
            .is_some_and(|tracked| !tracked.closing)
    }

    /// The timeout with which the session was first tracked, milliseconds.
    pub fn timeout_ms(&self, id: SessionId) -> Option<i32> {
        self.sessions.get(&id).map(|tracked| tracked.timeout_ms)
    }

    /// Marks the session as closing: it is in no bucket from now on.
    pub fn set_closing(&mut self, id: SessionId) {
        let Some(tracked) = self.sessions.get_mut(&id) else {
            return;
        };
        if !tracked.closing {
            tracked.closing = true;
            let expiry_ms = tracked.expiry_ms;
            self.leave(expiry_ms, id);
        }
    }

    /// Forgets the session.
    pub fn remove(&mut self, id: SessionId) {
        if let Some(old) = self.sessions.remove(&id) {
            self.leave(old.expiry_ms, id);
        }
    }

    /// Forgets all sessions. Ids go on.
    pub fn clear(&mut self) {
        self.sessions.clear();
        self.buckets.clear();
    }

    /// Marks every session closing whose time has come, and names them.
    pub fn expire(&mut self, mono_ms: i64) -> Vec<SessionId> {
        let mut expired = Vec::new();
        while let Some(bucket) = self.buckets.first_entry() {
            if *bucket.key() > mono_ms {
                break;
            }
            expired.extend(bucket.remove());
        }
        for id in &expired {
            if let Some(tracked) = self.sessions.get_mut(id) {
                tracked.closing = true;
            }
        }
        expired
    }

    /// When the next bucket is due, by the monotonic clock.
    pub fn next_expiry_ms(&self) -> Option<i64> {
        self.buckets.first_key_value().map(|(time, _)| *time)
    }

    /// The buckets: time by the monotonic clock, and sessions.
    pub fn buckets(&self) -> impl Iterator<Item = (i64, &BTreeSet<SessionId>)> {
        self.buckets.iter().map(|(time, ids)| (*time, ids))
    }

    /// How many sessions are tracked.
    pub fn len(&self) -> usize {
        self.sessions.len()
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        self.sessions.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expiry_is_rounded_up_to_the_next_tick() {
        let mut t = Tracker::new(1, 1000, 5);
        let id = t.next_id();
        t.track(id, 4000, Owner::Me, 0);
        assert!(t.expire(4999).is_empty());
        assert!(t.touch(id, 4000, 1500));
        assert!(t.expire(5999).is_empty());
        assert_eq!(t.expire(6000), [id]);
        assert!(!t.touch(id, 4000, 6001));
        assert!(!t.is_live(id));
    }

    #[test]
    fn old_news_do_not_bring_the_expiry_forward() {
        let mut t = Tracker::new(1, 1000, 5);
        let id = t.next_id();
        t.track(id, 4000, Owner::Me, 0);
        assert!(t.touch(id, 4000, 3000));
        assert!(t.touch(id, 4000, 500));
        assert!(t.expire(7999).is_empty());
        assert_eq!(t.expire(8000), [id]);
    }

    #[test]
    fn the_timeout_of_the_last_connection_holds() {
        let mut t = Tracker::new(1, 1000, 5);
        let id = t.next_id();
        t.track(id, 30_000, Owner::Me, 0);
        assert!(t.attach(id, 4000, 700));
        // Of the connection before, heard of in the same millisecond.
        assert!(t.touch(id, 30_000, 700));
        assert_eq!(t.next_expiry_ms(), Some(5000));
    }

    #[test]
    fn a_session_has_one_owner() {
        let mut t = Tracker::new(1, 1000, 5);
        let (a, b) = (Owner::Link(LinkId(1)), Owner::Link(LinkId(2)));
        let id = t.next_id();
        assert_eq!(t.check(id, a), Err(Code::SessionExpired));
        t.track(id, 4000, Owner::None, 0);
        assert_eq!(t.check(id, a), Ok(()));
        assert_eq!(t.owner(id), Some(a));
        assert_eq!(t.check(id, b), Err(Code::SessionMoved));
        assert_eq!(t.check(id, Owner::Me), Err(Code::SessionMoved));
        assert_eq!(t.adopt(id, 4000, b, 10), Ok(()));
        assert_eq!(t.check(id, a), Err(Code::SessionMoved));
        assert_eq!(t.check(id, b), Ok(()));
        t.set_closing(id);
        assert_eq!(t.check(id, b), Err(Code::SessionExpired));
        assert_eq!(t.adopt(id, 4000, a, 20), Err(Code::SessionExpired));
        assert_eq!(t.owner(id), Some(b));
    }

    #[test]
    fn an_id_in_the_table_is_not_given_again() {
        let mut t = Tracker::new(1, 1000, 5);
        let first = t.next_id();
        t.track(SessionId(first.0 + 1), 4000, Owner::Me, 0);
        assert_eq!(t.next_id(), SessionId(first.0 + 2));
    }

    #[test]
    fn ids_carry_server_and_clock() {
        let mut t = Tracker::new(1, 1000, 0x12_3456_789a);
        assert_eq!(t.next_id().0, 0x0112_3456_789a_0000);
        assert_eq!(t.next_id().0, 0x0112_3456_789a_0001);
    }

    #[test]
    fn negative_timeouts_become_the_least() {
        assert_eq!(clamp(-5, 6000, 60000), 6000);
        assert_eq!(clamp(100_000, 6000, 60000), 60000);
    }
}
