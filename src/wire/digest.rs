//! The tree digest, version 2: a wrapping 64-bit sum, over the nodes, of a CRC-32.
//!
//! Owns: the digest of one node, and which nodes count. Does not know: the tree; whoever changes
//! a node subtracts its old digest from the sum and adds the new one. ACLs are not covered.

use crc32fast::Hasher;

use crate::stat::StatPersisted;

/// The version of the method, as written beside each digest.
pub const VERSION: i32 = 2;

/// The digest of a tree as a new server makes it, with nothing but its system nodes.
pub const EMPTY_TREE: u64 = 1_371_985_504;

/// Whether a node counts. Nodes below `/zookeeper` do not (quotas there are changed by each
/// server for itself); `/zookeeper` does.
pub fn in_digest(path: &str) -> bool {
    !path.starts_with("/zookeeper/")
}

/// The part of a node's digest that does not change while only its stat does: the CRC-32 of its
/// path and data. The path of the root is empty. Null data counts as empty.
pub fn node_crc(path: &[u8], data: Option<&[u8]>) -> u32 {
    let mut crc = Hasher::new();
    crc.update(path);
    crc.update(data.unwrap_or_default());
    crc.finalize()
}

/// Goes on from [`node_crc`] with the stat, in the digest's own field order, to the digest of
/// the node.
pub fn finish(crc: u32, stat: &StatPersisted) -> u64 {
    let mut bytes = [0; 60];
    let (longs, rest) = bytes.split_at_mut(40);
    let zxids_and_times = [stat.czxid, stat.mzxid, stat.pzxid, stat.ctime, stat.mtime];
    for (slot, value) in longs.chunks_exact_mut(8).zip(zxids_and_times) {
        slot.copy_from_slice(&value.to_be_bytes());
    }
    let (ints, owner) = rest.split_at_mut(12);
    for (slot, value) in ints
        .chunks_exact_mut(4)
        .zip([stat.version, stat.cversion, stat.aversion])
    {
        slot.copy_from_slice(&value.to_be_bytes());
    }
    owner.copy_from_slice(&stat.ephemeral_owner.to_be_bytes());
    let mut crc = Hasher::new_with_initial(crc);
    crc.update(&bytes);
    u64::from(crc.finalize())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The root and `/zookeeper` of a new tree; its other nodes do not count.
    #[test]
    fn the_digest_of_a_new_tree() {
        let root = StatPersisted::default();
        let digest = finish(node_crc(b"", Some(&[])), &root);
        let zookeeper = finish(node_crc(b"/zookeeper", Some(&[])), &root);
        assert_eq!(digest.wrapping_add(zookeeper), EMPTY_TREE);
    }

    #[test]
    fn only_what_is_below_zookeeper_does_not_count() {
        assert!(in_digest("") && in_digest("/zookeeper") && in_digest("/zookeeperx/a"));
        assert!(!in_digest("/zookeeper/quota"));
    }
}
