//! What the core has been given and has not judged yet, in bytes: a peer is not read while there
//! is too much of it.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::Notify;
use zk_zab::io::In;

/// Bytes under way to the core from one connection.
#[derive(Debug)]
pub struct Budget {
    used: AtomicUsize,
    most: usize,
    freed: Notify,
}

impl Budget {
    /// Nothing under way, and `most` bytes at the most but for what one read adds.
    pub fn new(most: usize) -> Arc<Budget> {
        Arc::new(Budget {
            used: AtomicUsize::new(0),
            most,
            freed: Notify::new(),
        })
    }

    /// Counts bytes until the room is dropped.
    pub fn take(self: &Arc<Budget>, bytes: usize) -> Room {
        self.used.fetch_add(bytes, Ordering::AcqRel);
        Room {
            budget: self.clone(),
            bytes,
        }
    }

    /// Waits until there is room. Only one task may wait.
    pub async fn room(&self) {
        while self.used.load(Ordering::Acquire) >= self.most {
            self.freed.notified().await;
        }
    }
}

/// Bytes that count until this is dropped.
#[derive(Debug)]
pub struct Room {
    budget: Arc<Budget>,
    bytes: usize,
}

impl Drop for Room {
    fn drop(&mut self) {
        let before = self.budget.used.fetch_sub(self.bytes, Ordering::AcqRel);
        if before >= self.budget.most {
            // Kept for a waiter that is about to wait.
            self.budget.freed.notify_one();
        }
    }
}

/// Inputs for the core, in order. It is to be kept until they are judged: then its connection is
/// read again.
#[derive(Debug)]
pub struct Delivery {
    /// What has happened.
    pub inputs: Vec<In>,
    /// Where it counts.
    room: Option<Room>,
}

impl Delivery {
    /// Inputs that do not count.
    pub fn free(inputs: Vec<In>) -> Delivery {
        Delivery { inputs, room: None }
    }

    /// Inputs that count.
    pub fn counted(inputs: Vec<In>, room: Room) -> Delivery {
        let room = Some(room);
        Delivery { inputs, room }
    }

    /// Whether it counts.
    pub fn is_counted(&self) -> bool {
        self.room.is_some()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test]
    async fn a_full_budget_waits_until_something_is_judged() {
        let budget = Budget::new(100);
        let small = budget.take(99);
        budget.room().await;
        let large = budget.take(1_000);
        let brief = Duration::from_millis(20);
        let wait = tokio::time::timeout(brief, budget.room()).await;
        assert!(wait.is_err(), "there is no room");
        drop(small);
        let wait = tokio::time::timeout(brief, budget.room()).await;
        assert!(wait.is_err(), "there is still no room");
        let waiting = {
            let budget = budget.clone();
            tokio::spawn(async move { budget.room().await })
        };
        drop(large);
        waiting.await.expect("there is room");
    }
}
