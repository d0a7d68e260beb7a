//! watch-fanout: one session sets znodes that all the others watch; each notification counts, from
//! the set's sending to the notification's arrival.

use std::collections::VecDeque;

use zk_wire::OpCode;

use super::{Ledger, Load, Notice, Outcome, Reply, Tag, Wake};
use crate::template::{Data, Names, Template};

const SETTER: usize = 0;

#[derive(Debug, Clone, Default)]
struct Node {
    /// Watchers that have a watch on the last write.
    armed: u32,
    /// The last set has been acknowledged.
    settled: bool,
    /// When the last set was sent.
    sent: u64,
}

/// Session 0 sets, the others keep one-time data watches by reading again after each notification.
/// A node is set again when all watches are there again.
#[derive(Debug)]
pub struct WatchFanout {
    set: Template,
    read: Template,
    data: Data,
    watchers: u32,
    nodes: Vec<Node>,
    ready: VecDeque<u32>,
    to_read: Vec<VecDeque<u32>>,
    /// Notifications that must still come: one for each watcher of each set.
    expected: u64,
    /// What was written.
    pub ledger: Ledger,
}

impl WatchFanout {
    /// `nodes` znodes, watched by `sessions` - 1 sessions.
    pub fn new(names: &Names, data: &Data, sessions: usize, nodes: u32) -> Self {
        let mut to_read = vec![VecDeque::with_capacity(nodes as usize); sessions];
        for queue in &mut to_read[SETTER + 1..] {
            queue.extend(0..nodes);
        }
        let node = Node {
            settled: true,
            ..Node::default()
        };
        Self {
            set: Template::set(names, data),
            read: Template::read(names, OpCode::GetData, true),
            data: data.clone(),
            watchers: sessions as u32 - 1,
            nodes: vec![node; nodes as usize],
            ready: VecDeque::with_capacity(nodes as usize),
            to_read,
            expected: 0,
            ledger: Ledger::created(nodes),
        }
    }

    fn ready_when_complete(&mut self, key: u32, wake: &mut Wake) {
        let node = &self.nodes[key as usize];
        if node.settled && node.armed == self.watchers {
            self.ready.push_back(key);
            wake.session(SETTER);
        }
    }
}

impl Load for WatchFanout {
    fn next(&mut self, session: usize, xid: i32, now: u64, out: &mut Vec<u8>) -> Option<Tag> {
        if session == SETTER {
            let key = self.ready.pop_front()?;
            let write = self.ledger.issue(key);
            self.nodes[key as usize] = Node {
                armed: 0,
                settled: false,
                sent: now,
            };
            self.expected += u64::from(self.watchers);
            self.set.emit_data(xid, key, &self.data, write, out);
            return Some(Tag { key, write });
        }
        let key = self.to_read[session].pop_front()?;
        self.read.emit(xid, key, out);
        Some(Tag {
            key,
            write: self.ledger.issued(key),
        })
    }

    fn reply(&mut self, session: usize, tag: Tag, reply: &Reply<'_>, wake: &mut Wake) -> Outcome {
        if !reply.is_ok() {
            return Outcome::Failed(reply.err);
        }
        if session == SETTER {
            self.ledger.ack(tag.key, tag.write);
            self.nodes[tag.key as usize].settled = true;
            self.ready_when_complete(tag.key, wake);
            return Outcome::Aside;
        }
        let found = reply
            .data()
            .and_then(|(data, _)| self.data.write_of(tag.key, data));
        match found {
            None => return Outcome::Wrong("not data of the key"),
            // The notification of a write must not come before the write can be read.
            Some(write) if self.data.size() >= crate::template::STAMP && write < tag.write => {
                return Outcome::Wrong("a read older than the notification before it");
            }
            Some(_) => {}
        }
        self.nodes[tag.key as usize].armed += 1;
        self.ready_when_complete(tag.key, wake);
        Outcome::Aside
    }

    fn notice(&mut self, session: usize, path: &[u8], _: &mut Wake) -> Notice {
        let Some(key) = Names::key_of(path).filter(|key| (*key as usize) < self.nodes.len()) else {
            return Notice::Unexpected;
        };
        if session == SETTER {
            return Notice::Unexpected;
        }
        if self.expected == 0 {
            return Notice::Unexpected;
        }
        self.expected -= 1;
        self.to_read[session].push_back(key);
        Notice::Done(self.nodes[key as usize].sent)
    }

    fn is_quiet(&self) -> bool {
        self.expected == 0
    }
}
