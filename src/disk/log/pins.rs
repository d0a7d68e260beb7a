//! Readers of a log that is being purged: who reads pins what he still needs.
//!
//! Owns the pins and the order of a pin and a purge. Does not know who reads, nor what may be
//! purged for other reasons.
//!
//! Invariant: while a purge decides and removes, no pin is added or moved. So a pin is either seen
//! by it or set afterwards, and then the reader finds at once whether its place is still there.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::reader::{Reader, Record};
use crate::error::Result;
use crate::files::Files;

#[derive(Debug, Default)]
struct State {
    /// Lowest zxid that each reader still needs.
    pins: BTreeMap<u64, i64>,
    next: u64,
}

/// The pins of one log. Clones are the same.
#[derive(Debug, Clone, Default)]
pub struct Pins {
    state: Arc<Mutex<State>>,
}

impl Pins {
    /// None.
    pub fn new() -> Pins {
        Pins::default()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Holds back every segment with this zxid or a later one until the pin is dropped. Waits for
    /// a purge that is under way: not for a thread that must not.
    pub fn pin(&self, zxid: i64) -> Pin {
        let mut state = self.lock();
        let id = state.next;
        state.next += 1;
        state.pins.insert(id, zxid);
        Pin {
            pins: self.clone(),
            id,
        }
    }

    /// The lowest zxid that any reader needs.
    pub fn lowest(&self) -> Option<i64> {
        self.lock().pins.values().copied().min()
    }

    /// Runs a purge: `purge` is given the lowest zxid that any reader needs, for
    /// [`crate::purge::Facts::readers`], and must have removed what it removes when it returns.
    pub fn during<T>(&self, purge: impl FnOnce(Option<i64>) -> T) -> T {
        let state = self.lock();
        purge(state.pins.values().copied().min())
    }
}

/// Holds segments back until it is dropped.
#[derive(Debug)]
pub struct Pin {
    pins: Pins,
    id: u64,
}

impl Pin {
    /// The reader has come this far: only this zxid and later ones are still needed.
    pub fn advance(&self, zxid: i64) {
        if let Some(mine) = self.pins.lock().pins.get_mut(&self.id) {
            *mine = (*mine).max(zxid);
        }
    }
}

impl Drop for Pin {
    fn drop(&mut self) {
        self.pins.lock().pins.remove(&self.id);
    }
}

/// A [`Reader`] whose place is held back from purge.
#[derive(Debug)]
pub struct PinnedReader {
    reader: Reader,
    pin: Pin,
    /// The segment that was read last.
    segment: i64,
}

impl PinnedReader {
    /// As [`Reader::open`], with `pins` of the same log.
    ///
    /// # Errors
    /// As [`Reader::open`]; [`crate::Error::Hole`] also when purge was faster.
    pub fn open(
        files: Arc<dyn Files>,
        dir: &Path,
        pins: &Pins,
        from: i64,
        until: i64,
    ) -> Result<PinnedReader> {
        let pin = pins.pin(from);
        let reader = Reader::open(files, dir, from, until)?;
        let segment = reader.segment();
        Ok(PinnedReader {
            reader,
            pin,
            segment,
        })
    }

    /// As [`Reader::extend`].
    ///
    /// # Errors
    /// As [`Reader::extend`].
    pub fn extend(&mut self, until: i64) -> Result<()> {
        self.reader.extend(until)
    }

    /// As [`Reader::next_record`].
    ///
    /// # Errors
    /// As [`Reader::next_record`].
    pub fn next_record(&mut self) -> Result<Option<Record<'_>>> {
        if self.reader.segment() != self.segment {
            // The record given away last was in this segment, so those before may go.
            self.segment = self.reader.segment();
            self.pin.advance(self.segment);
        }
        self.reader.next_record()
    }
}
