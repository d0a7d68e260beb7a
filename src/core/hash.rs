//! Hash maps without a random source: the seed is given, so that runs repeat.

use foldhash::fast::FixedState;

/// A hash map with a fixed hasher.
pub type Map<K, V> = hashbrown::HashMap<K, V, FixedState>;

/// A hash set with a fixed hasher.
pub type Set<K> = hashbrown::HashSet<K, FixedState>;
