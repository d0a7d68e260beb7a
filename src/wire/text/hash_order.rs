//! The order in which Java's hash tables give their keys back, which is the order of lines in
//! texts that Java prints from them.
//!
//! Owns: `HashMap` of `Long` and `Properties` (a `ConcurrentHashMap` of `String` since Java 9), as
//! they grow by single insertions from their default size. Does not know what the keys mean.
//!
//! A bin that Java turns into a tree (nine keys of one bin, in a table of 64 or more) keeps its
//! order of insertion here. Java moves the root of such a tree to the front.

use alloc::vec;
use alloc::vec::Vec;

/// Bins of a new table.
const BINS: usize = 16;

/// Keys in a bin above which Java doubles a table smaller than [`TREE_BINS`].
const FULL_BIN: usize = 8;

/// Bins from which Java makes trees instead.
const TREE_BINS: usize = 64;

/// `HashMap<Long, _>`: the keys, each inserted once in the order given, in the order of iteration.
pub fn longs(keys: impl IntoIterator<Item = i64>) -> Vec<i64> {
    let hashed: Vec<(u32, i64)> = keys
        .into_iter()
        .map(|key| {
            let hash = (key ^ (key as u64 >> 32) as i64) as u32;
            (hash ^ (hash >> 16), key)
        })
        .collect();
    // Doubling keeps the order within a bin: only the size that the table ends with counts.
    let mut counts = vec![0_usize; BINS];
    for (index, (hash, _)) in hashed.iter().enumerate() {
        let bin = *hash as usize & (counts.len() - 1);
        counts[bin] += 1;
        if counts[bin] > FULL_BIN && counts.len() < TREE_BINS {
            counts = count(&hashed[..=index], counts.len() * 2);
        }
        if index + 1 > counts.len() / 4 * 3 {
            counts = count(&hashed[..=index], counts.len() * 2);
        }
    }
    let mut order = hashed;
    order.sort_by_key(|(hash, _)| *hash as usize & (counts.len() - 1));
    order.into_iter().map(|(_, key)| key).collect()
}

fn count(hashed: &[(u32, i64)], bins: usize) -> Vec<usize> {
    let mut counts = vec![0; bins];
    for (hash, _) in hashed {
        counts[*hash as usize & (bins - 1)] += 1;
    }
    counts
}

/// `Properties`: the keys, each inserted once in the order given, in the order of iteration.
pub fn properties<T: AsRef<str>>(keys: impl IntoIterator<Item = T>) -> Vec<T> {
    let mut bins: Vec<Vec<(u32, T)>> = Vec::new();
    bins.resize_with(BINS, Vec::new);
    for (index, key) in keys.into_iter().enumerate() {
        let hash = key.as_ref().encode_utf16().fold(0_u32, |hash, unit| {
            hash.wrapping_mul(31).wrapping_add(u32::from(unit))
        });
        let hash = (hash ^ (hash >> 16)) & 0x7fff_ffff;
        let bin = hash as usize & (bins.len() - 1);
        bins[bin].push((hash, key));
        if index + 1 >= bins.len() / 4 * 3 {
            bins = double(bins);
        }
    }
    bins.into_iter().flatten().map(|(_, key)| key).collect()
}

/// A bin falls into two. The longest run at its end that goes to one of them stays as it is; what
/// lies before is put in front of it one by one, so that it comes out reversed.
fn double<T>(bins: Vec<Vec<(u32, T)>>) -> Vec<Vec<(u32, T)>> {
    let bit = bins.len() as u32;
    let mut doubled = Vec::new();
    doubled.resize_with(bins.len() * 2, Vec::new);
    for (index, mut bin) in bins.into_iter().enumerate() {
        let Some(side) = bin.last().map(|(hash, _)| hash & bit) else {
            continue;
        };
        let run = bin
            .iter()
            .rev()
            .take_while(|(hash, _)| hash & bit == side)
            .count();
        let tail = bin.split_off(bin.len() - run);
        let (low, high): (Vec<_>, Vec<_>) =
            bin.into_iter().rev().partition(|(hash, _)| hash & bit == 0);
        let of = |half: u32| index + half as usize;
        doubled[of(0)] = low;
        doubled[of(bit)] = high;
        doubled[of(side)].extend(tail);
    }
    doubled
}
