//! Sessions as the rule has them: one dies after more than its timeout since it was last heard of,
//! at a multiple of the tick, and then for good.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::ensure;

#[derive(Debug)]
struct Session {
    /// As agreed last.
    timeout: i32,
    heard_ms: i64,
    expiry_ms: i64,
    /// By what the connections took, whether or not the core was told.
    taken_expiry_ms: i64,
    closing: bool,
}

/// The sessions of one life of the server.
#[derive(Debug)]
pub(super) struct Sessions {
    tick_ms: i64,
    all: BTreeMap<i64, Session>,
    /// Re-attachments that the core has not come to: session and timeout.
    reattaching: VecDeque<(i64, i32)>,
}

impl Sessions {
    pub fn new(tick_ms: i64) -> Sessions {
        Sessions {
            tick_ms,
            all: BTreeMap::new(),
            reattaching: VecDeque::new(),
        }
    }

    fn expiry(&self, heard_ms: i64, timeout: i32) -> i64 {
        ((heard_ms + i64::from(timeout)).div_euclid(self.tick_ms) + 1) * self.tick_ms
    }

    /// A session begins, or is found at a start.
    pub fn track(&mut self, session: i64, timeout: i32, now_ms: i64) {
        let expiry_ms = self.expiry(now_ms, timeout);
        self.all.insert(
            session,
            Session {
                timeout,
                heard_ms: now_ms,
                expiry_ms,
                taken_expiry_ms: i64::MIN,
                closing: false,
            },
        );
    }

    /// Its client was heard of: only what is newer than all that is known counts.
    pub fn touch(&mut self, session: i64, timeout: i32, at_ms: i64) {
        if self.all.get(&session).is_some_and(|s| at_ms > s.heard_ms) {
            self.attach(session, timeout, at_ms);
        }
    }

    /// It goes on with another connection.
    fn attach(&mut self, session: i64, timeout: i32, at_ms: i64) {
        let expiry_ms = self.expiry(at_ms, timeout);
        if let Some(session) = self.all.get_mut(&session)
            && !session.closing
        {
            session.heard_ms = at_ms;
            session.expiry_ms = expiry_ms;
        }
    }

    /// A connection has taken a frame of its client. Of two connections the lesser timeout is
    /// sure to hold.
    pub fn heard(&mut self, session: i64, timeout: i32, now_ms: i64) {
        let Some(known) = self.all.get(&session) else {
            return;
        };
        let expiry_ms = self.expiry(now_ms, timeout.min(known.timeout));
        if let Some(session) = self.all.get_mut(&session) {
            session.taken_expiry_ms = expiry_ms;
        }
    }

    pub fn queue_reattach(&mut self, session: i64, timeout: i32) {
        self.reattaching.push_back((session, timeout));
    }

    /// The core has come to the oldest re-attachment.
    pub fn reattached(&mut self, now_ms: i64) {
        if let Some((session, timeout)) = self.reattaching.pop_front() {
            self.attach(session, timeout, now_ms);
            if let Some(session) = self.all.get_mut(&session) {
                session.timeout = timeout;
                session.taken_expiry_ms = i64::MIN;
            }
        }
    }

    pub fn is_live(&self, session: i64) -> bool {
        self.all
            .get(&session)
            .is_some_and(|session| !session.closing)
    }

    /// Time has come to this; returns the sessions that die of it.
    pub fn tick(&mut self, now_ms: i64) -> Result<BTreeSet<i64>, String> {
        let mut due = BTreeSet::new();
        for (id, session) in &mut self.all {
            if !session.closing && session.expiry_ms <= now_ms {
                ensure!(
                    session.taken_expiry_ms <= now_ms,
                    "session {id:#x} is due at {now_ms} though its client was heard of: {session:?}"
                );
                session.closing = true;
                due.insert(*id);
            }
        }
        Ok(due)
    }

    /// Its client closes it.
    pub fn closing(&mut self, session: i64) {
        if let Some(session) = self.all.get_mut(&session) {
            session.closing = true;
        }
    }
}
