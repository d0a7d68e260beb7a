//! The read-back check: everything acknowledged is there, with the right data and version.

use serde::{Deserialize, Serialize};
use zk_wire::{Code, OpCode};

use super::{Ledger, Load, Outcome, Reply, Tag, Wake};
use crate::template::{self, Data, Names, STAMP, Template};

/// What a read-back check found.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checked {
    /// Keys looked at.
    pub keys: u64,
    /// Acknowledged, but not there.
    pub missing: u64,
    /// There, but older than what was acknowledged, newer than anything asked for, or not data of
    /// the key at all.
    pub data: u64,
    /// There with the right data and another version.
    pub version: u64,
    /// Could not be read.
    pub unreadable: u64,
}

impl Checked {
    /// Nothing was found wrong.
    pub fn is_good(&self) -> bool {
        self.missing + self.data + self.version + self.unreadable == 0
    }
}

/// Syncs every session, then reads every key of a ledger.
#[derive(Debug)]
pub struct Verify<'a> {
    template: Template,
    sync: Vec<u8>,
    data: &'a Data,
    ledger: &'a Ledger,
    synced: Vec<bool>,
    next: u32,
    /// Whether the versions are known: no write has failed.
    versions: bool,
    /// What was found.
    pub checked: Checked,
}

/// In [`Tag::write`]: a sync.
const SYNC: u32 = 1;

impl<'a> Verify<'a> {
    /// A check of `ledger`. After failed writes the versions cannot be known, only bounds of the
    /// data: then `versions` is false.
    pub fn new(
        names: &Names,
        data: &'a Data,
        ledger: &'a Ledger,
        sessions: usize,
        versions: bool,
    ) -> Self {
        let root = zk_wire::client::PathRequest {
            path: Some(names.root().into()),
        };
        Self {
            template: Template::read(names, OpCode::GetData, false),
            sync: template::request(OpCode::Sync, &root),
            data,
            ledger,
            synced: vec![false; sessions],
            next: 0,
            versions,
            checked: Checked::default(),
        }
    }

    fn check(&mut self, key: u32, reply: &Reply<'_>) {
        let (acked, issued) = (self.ledger.acked(key), self.ledger.issued(key));
        self.checked.keys += 1;
        if reply.is(Code::NoNode) {
            self.checked.missing += u64::from(acked > 0);
            return;
        }
        if !reply.is_ok() {
            self.checked.unreadable += 1;
            return;
        }
        let Some((data, version)) = reply.data() else {
            self.checked.unreadable += 1;
            return;
        };
        match self.data.write_of(key, data) {
            None => self.checked.data += 1,
            Some(_) if data.len() < STAMP => {
                let known = self.versions && acked == issued;
                if known && i64::from(version) != i64::from(acked) - 1 {
                    self.checked.version += 1;
                }
            }
            Some(write) if write < acked.max(1) || write > issued => self.checked.data += 1,
            Some(write) => {
                if self.versions && i64::from(version) != i64::from(write) - 1 {
                    self.checked.version += 1;
                }
            }
        }
    }
}

impl Load for Verify<'_> {
    fn next(&mut self, session: usize, xid: i32, _: u64, out: &mut Vec<u8>) -> Option<Tag> {
        if !std::mem::replace(&mut self.synced[session], true) {
            template::emit(&self.sync, xid, out);
            return Some(Tag {
                key: 0,
                write: SYNC,
            });
        }
        let key = self.next;
        if key == self.ledger.keys() {
            return None;
        }
        self.next += 1;
        self.template.emit(xid, key, out);
        Some(Tag { key, write: 0 })
    }

    fn reply(&mut self, _: usize, tag: Tag, reply: &Reply<'_>, _: &mut Wake) -> Outcome {
        if tag.write != SYNC {
            self.check(tag.key, reply);
        }
        Outcome::Aside
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use jute::Encode;
    use zk_wire::client::{DataResponse, Stat};

    fn found(acked: u32, issued: u32, write: Option<u32>, version: i32) -> Checked {
        let names = Names::new("/r".into(), 0);
        let data = Data::new(20);
        let mut ledger = Ledger::created(1);
        for _ in 1..issued {
            ledger.issue(0);
        }
        ledger.ack(0, acked);
        let mut verify = Verify::new(&names, &data, &ledger, 1, true);
        let mut bytes = vec![0; 20];
        data.put(0, write.unwrap_or(0), &mut bytes);
        let body = DataResponse {
            data: Some(&bytes),
            stat: Stat {
                version,
                ..Stat::default()
            },
        }
        .to_vec();
        let reply = match write {
            Some(_) => Reply {
                err: 0,
                body: &body,
            },
            None => Reply {
                err: Code::NoNode as i32,
                body: &[],
            },
        };
        verify.check(0, &reply);
        verify.checked
    }

    #[test]
    fn what_was_acknowledged_must_be_there() {
        assert!(found(3, 3, Some(3), 2).is_good());
        // Written after the last reply that came: may be there or not.
        assert!(found(3, 5, Some(5), 4).is_good());
        assert!(found(3, 5, Some(4), 3).is_good());
        assert!(found(0, 1, None, 0).is_good());
        assert_eq!(found(3, 3, None, 0).missing, 1);
        assert_eq!(found(3, 3, Some(2), 1).data, 1);
        assert_eq!(found(3, 3, Some(4), 3).data, 1);
        assert_eq!(found(3, 3, Some(3), 3).version, 1);
    }
}
