//! A queue between threads: many push, one takes everything at once.

use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

/// See the module.
#[derive(Debug)]
pub struct Queue<T> {
    items: Mutex<Inner<T>>,
    filled: Condvar,
}

#[derive(Debug)]
struct Inner<T> {
    items: Vec<T>,
    /// When the first of them came.
    since: Option<Instant>,
    closed: bool,
    /// Nobody takes any more.
    ended: bool,
}

impl<T> Default for Queue<T> {
    fn default() -> Self {
        let inner = Inner {
            items: Vec::new(),
            since: None,
            closed: false,
            ended: false,
        };
        Queue {
            items: Mutex::new(inner),
            filled: Condvar::new(),
        }
    }
}

impl<T> Queue<T> {
    /// Adds one item.
    pub fn push(&self, item: T) {
        let mut inner = self.items.lock();
        if inner.ended {
            drop(inner);
            return;
        }
        inner.items.push(item);
        if inner.items.len() == 1 {
            inner.since = Some(Instant::now());
            self.filled.notify_one();
        }
    }

    /// Adds all items of `items`, which is left empty.
    pub fn append(&self, items: &mut Vec<T>) {
        if items.is_empty() {
            return;
        }
        let mut inner = self.items.lock();
        if inner.ended {
            drop(inner);
            items.clear();
            return;
        }
        let first = inner.items.is_empty();
        inner.items.append(items);
        if first {
            inner.since = Some(Instant::now());
            self.filled.notify_one();
        }
    }

    /// Lets the taker see the end once it has taken everything.
    pub fn close(&self) {
        self.items.lock().closed = true;
        self.filled.notify_all();
    }

    /// Whether nothing more is coming.
    pub fn is_closed(&self) -> bool {
        self.items.lock().closed
    }

    /// Drops what there is and what will come: the taker has ended.
    pub fn end(&self) {
        let mut inner = self.items.lock();
        inner.ended = true;
        let rest = std::mem::take(&mut inner.items);
        // What an item does when it is dropped must not meet the lock.
        drop(inner);
        drop(rest);
    }

    /// Swaps what there is into `into`, which is empty, without waiting. Returns whether there was
    /// anything.
    pub fn try_take(&self, into: &mut Vec<T>) -> bool {
        let mut inner = self.items.lock();
        std::mem::swap(&mut inner.items, into);
        !into.is_empty()
    }

    /// Waits until there is something, or the deadline, and swaps it into `into`, which is empty.
    /// Returns how long the first item has waited; `None` once the queue is closed and empty.
    pub fn take(&self, into: &mut Vec<T>, deadline: Option<Instant>) -> Option<Duration> {
        let mut inner = self.items.lock();
        while inner.items.is_empty() {
            if inner.closed {
                return None;
            }
            match deadline {
                Some(deadline) => {
                    if self.filled.wait_until(&mut inner, deadline).timed_out() {
                        break;
                    }
                }
                None => self.filled.wait(&mut inner),
            }
        }
        std::mem::swap(&mut inner.items, into);
        let since = inner.since.take();
        Some(since.map_or(Duration::ZERO, |since| since.elapsed()))
    }
}
