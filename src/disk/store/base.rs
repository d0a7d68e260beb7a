//! What a store knows of where it came from: facts beside its state that batches leave alone.
//!
//! A store that was begun here, with the first transaction, has nothing of this: all of it is 0.
//! One that was installed from another server's snapshot says what the log must hold, and whether
//! its installation is finished.

use crate::error::{Error, Result};

/// How far the switch to an installed store has come.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Discard {
    /// Finished, or there was none.
    #[default]
    Nothing,
    /// The log beside the store is of the history before: it goes.
    Log,
    /// The log of the history before is gone; the one that follows the store takes its place.
    Staged,
}

/// The facts. See the module's text.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Base {
    /// Rows may be of any state up to this zxid, not only of the store's: transactions up to it
    /// find things already done, or already gone, and that is no error.
    pub fuzzy_until: i64,
    /// No row is of a later state than this zxid; what is above it can be cut off the log.
    pub base_high: i64,
    /// The zxid that the log followed when it was begun beside this store.
    pub log_floor: i64,
    /// How far the switch to this store has come.
    pub discard: Discard,
    /// Number of the list that stands for those which nodes refer to and nobody has told. It
    /// allows nobody, and nodes that have it get their own by a transaction up to `fuzzy_until`.
    /// 0 when there is none.
    pub unresolved: u32,
}

/// Names in the meta family.
mod name {
    pub const BASE_HIGH: &[u8] = b"base_high";
    pub const DISCARD: &[u8] = b"discard_log";
    pub const FUZZY: &[u8] = b"fuzzy_until";
    pub const FLOOR: &[u8] = b"log_floor";
    pub const UNRESOLVED: &[u8] = b"unresolved";
}

impl Base {
    /// The rows of the meta family.
    pub fn rows(&self) -> [(&'static [u8], [u8; 8]); 5] {
        let discard: u64 = match self.discard {
            Discard::Nothing => 0,
            Discard::Log => 1,
            Discard::Staged => 2,
        };
        [
            (name::BASE_HIGH, self.base_high.to_be_bytes()),
            (name::DISCARD, discard.to_be_bytes()),
            (name::FUZZY, self.fuzzy_until.to_be_bytes()),
            (name::FLOOR, self.log_floor.to_be_bytes()),
            (name::UNRESOLVED, u64::from(self.unresolved).to_be_bytes()),
        ]
    }

    /// Reads the rows back; a missing one is 0.
    ///
    /// # Errors
    /// [`Error::StoreCorrupt`], and what `get` returns.
    pub fn from_rows(
        get: &mut dyn FnMut(&'static [u8]) -> Result<Option<Vec<u8>>>,
    ) -> Result<Base> {
        let corrupt = |name: &[u8], why: &str| Error::StoreCorrupt {
            what: format!("the meta row {}", name.escape_ascii()),
            why: why.into(),
        };
        let mut long = |name: &'static [u8]| -> Result<u64> {
            let Some(value) = get(name)? else {
                return Ok(0);
            };
            let value = value
                .try_into()
                .map_err(|_| corrupt(name, "it is not 8 bytes"))?;
            Ok(u64::from_be_bytes(value))
        };
        Ok(Base {
            fuzzy_until: long(name::FUZZY)? as i64,
            base_high: long(name::BASE_HIGH)? as i64,
            log_floor: long(name::FLOOR)? as i64,
            discard: match long(name::DISCARD)? {
                0 => Discard::Nothing,
                1 => Discard::Log,
                2 => Discard::Staged,
                _ => return Err(corrupt(name::DISCARD, "it is no such state")),
            },
            unresolved: long(name::UNRESOLVED)?
                .try_into()
                .map_err(|_| corrupt(name::UNRESOLVED, "it is no list's number"))?,
        })
    }
}
