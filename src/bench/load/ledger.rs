//! What was written: for each key how often it was, and how often that was acknowledged.

/// Which keys a session writes: those whose number leaves the session's when divided by the number
/// of sessions. So the order of the writes to a key is known.
#[derive(Debug, Clone, Copy)]
pub struct Sharing {
    /// All sessions.
    pub sessions: u32,
    /// All keys.
    pub keys: u32,
}

impl Sharing {
    /// The number of keys of a session.
    #[inline]
    pub fn count(self, session: usize) -> u32 {
        let session = session as u32;
        self.keys / self.sessions + u32::from(session < self.keys % self.sessions)
    }

    /// A key of a session.
    #[inline]
    pub fn key(self, session: usize, index: u32) -> u32 {
        index * self.sessions + session as u32
    }

    /// Whether a session writes a key.
    #[inline]
    pub fn owns(self, session: usize, key: u32) -> bool {
        key % self.sessions == session as u32
    }
}

/// For each key the number of writes asked for and acknowledged. The create is the first write.
#[derive(Debug, Clone, Default)]
pub struct Ledger {
    issued: Vec<u32>,
    acked: Vec<u32>,
}

impl Ledger {
    /// `keys` keys, each created once.
    pub fn created(keys: u32) -> Self {
        Self {
            issued: vec![1; keys as usize],
            acked: vec![1; keys as usize],
        }
    }

    /// The number of keys.
    pub fn keys(&self) -> u32 {
        self.issued.len() as u32
    }

    /// Begins a new key; its create is asked for now.
    #[inline]
    pub fn create(&mut self) -> u32 {
        let key = self.keys();
        self.issued.push(1);
        self.acked.push(0);
        key
    }

    /// The next write of a key is asked for now; gives its number.
    #[inline]
    pub fn issue(&mut self, key: u32) -> u32 {
        let issued = &mut self.issued[key as usize];
        *issued += 1;
        *issued
    }

    /// A write was acknowledged.
    #[inline]
    pub fn ack(&mut self, key: u32, write: u32) {
        self.acked[key as usize] = write;
    }

    /// The last write asked for.
    #[inline]
    pub fn issued(&self, key: u32) -> u32 {
        self.issued[key as usize]
    }

    /// The last write acknowledged; 0 for none.
    #[inline]
    pub fn acked(&self, key: u32) -> u32 {
        self.acked[key as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_has_one_session() {
        let sharing = Sharing {
            sessions: 3,
            keys: 11,
        };
        let mut seen = vec![0; 11];
        for session in 0..3 {
            for index in 0..sharing.count(session) {
                let key = sharing.key(session, index);
                assert!(sharing.owns(session, key));
                seen[key as usize] += 1;
            }
        }
        assert_eq!(seen, [1; 11]);
    }
}
