//! Slots by the hash of their path.
//!
//! One table would double at once: with a million nodes it is half empty, and while it grows nobody
//! gets at the tree. So there are several, of unequal shares, which double one after the other.
//! It does not know paths; the caller compares.

use hashbrown::HashTable;

use super::node::Slot;

/// How many tables there are.
const TABLES: usize = 8;

/// Where each table's share of the 256 values of a hash's byte ends: the shares grow by the eighth
/// root of 2, so that over one doubling of the tree the tables double at even distances.
const ENDS: [u8; TABLES - 1] = [23, 48, 76, 106, 139, 175, 214];

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Index {
    tables: [HashTable<Slot>; TABLES],
}

/// The table of a hash. Its byte depends on all bits of the lower half, so that within a table the
/// bits that choose bucket and tag are as they would be without it.
fn table(hash: u64) -> usize {
    let byte = ((hash as u32).wrapping_mul(0x85EB_CA6B) >> 24) as u8;
    ENDS.iter().filter(|end| byte >= **end).count()
}

impl Index {
    /// The slot of that hash for which `is` says so.
    #[inline]
    pub(super) fn find(&self, hash: u64, is: impl FnMut(&Slot) -> bool) -> Option<&Slot> {
        self.tables[table(hash)].find(hash, is)
    }

    /// Adds a slot that is not there; `rehash` gives the hashes of those that are.
    pub(super) fn insert(&mut self, hash: u64, slot: Slot, rehash: impl Fn(&Slot) -> u64) {
        self.tables[table(hash)].insert_unique(hash, slot, rehash);
    }

    /// Removes a slot; whether it was there.
    pub(super) fn remove(&mut self, hash: u64, slot: Slot) -> bool {
        match self.tables[table(hash)].find_entry(hash, |at| *at == slot) {
            Ok(entry) => {
                entry.remove();
                true
            }
            Err(_) => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::spread;
    use super::*;

    #[test]
    fn shares_are_as_said_and_slots_are_found_until_they_are_removed() {
        let mut index = Index::default();
        let hash = |slot: Slot| spread(slot.wrapping_mul(0x9E37_79B1) ^ (slot << 7));
        let slots = 100_000;
        for slot in 0..slots {
            index.insert(hash(slot), slot, |slot| hash(*slot));
        }
        let mut begin = 0;
        for (table, end) in index.tables.iter().zip(ENDS.iter().chain([&u8::MAX])) {
            let share = f64::from(end - begin) / 256.0 * f64::from(slots);
            let share = table.len() as f64 / share;
            assert!((0.9..1.1).contains(&share), "{share} of table up to {end}");
            begin = *end;
        }
        for slot in 0..slots {
            assert_eq!(index.find(hash(slot), |at| *at == slot), Some(&slot));
        }
        for slot in (0..slots).step_by(2) {
            assert!(index.remove(hash(slot), slot));
            assert!(!index.remove(hash(slot), slot));
        }
        for slot in 0..slots {
            let found = index.find(hash(slot), |at| *at == slot).is_some();
            assert_eq!(found, slot % 2 == 1);
        }
    }
}
