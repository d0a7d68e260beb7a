//! What must be true of an ensemble at rest.
//!
//! Owns: the comparison of every server with the journal of the load, of the servers' trees with each
//! other, of their digests, and the counters that must be zero. Does not know: how it came to rest.

use std::collections::BTreeMap;

use super::foreign::Said;
use super::load::{Deleted, Journal, ROOT};
use super::tree::{Tree, differences};

/// Differences shown of one comparison.
const SHOWN: usize = 5;

/// The counter of `mntr` that stays zero while all goes well. Not `zk_unrecoverable_error_count`: a
/// Java follower whose leader dies under a forwarded request counts one, and goes on.
const MISMATCHES: &str = "zk_digest_mismatches_count";

/// The `hash` word's lines after `from`: zxid to digest. Those before say nothing: a server that has
/// taken a tree which changed while it was sent shows, for the time of that, digests of its own.
pub fn digests(text: &str, from: i64) -> BTreeMap<i64, String> {
    text.lines()
        .filter_map(|line| line.split_once(": "))
        .filter_map(|(zxid, digest)| {
            let zxid = i64::from_str_radix(zxid.trim_start_matches("0x"), 16).ok()?;
            Some((zxid, digest.trim().to_owned()))
        })
        .filter(|(zxid, _)| *zxid > from)
        .collect()
}

/// Compares the digests of servers at the zxids that they have in common, and how many these are.
///
/// # Errors
/// They differ, or no two servers have one in common.
pub fn same_digests(servers: &[(u8, BTreeMap<i64, String>)]) -> Result<usize, String> {
    let mut compared = 0;
    let mut known: BTreeMap<i64, (u8, &String)> = BTreeMap::new();
    for (id, digests) in servers {
        let before = compared;
        for (zxid, digest) in digests {
            match known.get(zxid) {
                None => {
                    known.insert(*zxid, (*id, digest));
                }
                Some((other, theirs)) if *theirs != digest => {
                    return Err(format!(
                        "at {zxid:#x} the tree's digest is {theirs} on {other}, {digest} on {id}"
                    ));
                }
                Some(_) => compared += 1,
            }
        }
        if *id != servers[0].0 && compared == before {
            return Err(format!("no digest of {id} can be compared: {digests:?}"));
        }
    }
    Ok(compared)
}

/// How many transactions left another tree than their digest says.
///
/// # Errors
/// The counter is not there.
pub fn mismatches(mntr: &str) -> Result<u64, String> {
    mntr.lines()
        .find_map(|line| line.strip_prefix(MISMATCHES))
        .and_then(|value| value.trim().parse().ok())
        .ok_or_else(|| format!("no {MISMATCHES}"))
}

/// What a tree lacks of the journal, or has against it.
pub fn against_journal(journal: &Journal, tree: &Tree) -> Vec<String> {
    let mut lines = Vec::new();
    for (path, node) in &journal.nodes {
        match (tree.get(path), node.deleted) {
            (None, Deleted::No) => lines.push(format!("{path} was acknowledged and is gone")),
            (Some(_), Deleted::Yes) => lines.push(format!("{path} is there after its delete")),
            (Some(shown), _) if shown.data != node.data || shown.czxid() != node.created => lines
                .push(format!(
                    "{path} was created at {:#x} with {:?}, is of {:#x} with {:?}",
                    node.created,
                    String::from_utf8_lossy(&node.data),
                    shown.czxid(),
                    String::from_utf8_lossy(&shown.data)
                )),
            _ => {}
        }
    }
    for (path, (acknowledged, sent)) in &journal.counters {
        let value = tree
            .get(path)
            .and_then(|shown| String::from_utf8_lossy(&shown.data).parse::<u64>().ok());
        if value.is_none_or(|value| !(*acknowledged..=*sent).contains(&value)) {
            lines.push(format!(
                "{path} is {value:?}; acknowledged was {acknowledged}, sent {sent}"
            ));
        }
    }
    for (path, session) in &journal.ephemerals {
        match tree.get(path) {
            Some(shown) if shown.owner() == *session => {}
            Some(shown) => lines.push(format!(
                "{path} belongs to {:#x} instead of {session:#x}",
                shown.owner()
            )),
            None => lines.push(format!("{path} is gone, its session {session:#x} is not")),
        }
    }
    // An ephemeral node whose session has been closed must be gone too.
    for (path, shown) in tree {
        let ephemeral = path.starts_with(ROOT) && path.ends_with("/here") && shown.owner() != 0;
        if ephemeral && !journal.ephemerals.contains_key(path) {
            lines.push(format!("{path} is there, its session is not"));
        }
    }
    lines.truncate(SHOWN);
    lines
}

/// What a tree lacks of what a client of another make was told.
pub fn against_words(said: &Said, tree: &Tree) -> Vec<String> {
    let mut lines: Vec<String> = said
        .nodes
        .iter()
        .filter(|(path, data)| {
            tree.get(path)
                .is_none_or(|shown| shown.data != data.as_bytes())
        })
        .map(|(path, _)| format!("{path} was acknowledged and is gone"))
        .collect();
    if let Some((path, session)) = &said.ephemeral
        && tree.get(path).is_none_or(|shown| shown.owner() != *session)
    {
        lines.push(format!("{path} is gone, its session {session:#x} is not"));
    }
    lines.truncate(SHOWN);
    lines
}

/// Differences between the first tree and the others.
pub fn same_trees(trees: &[(u8, Tree)]) -> Vec<String> {
    let mut lines = Vec::new();
    if let Some(((first, reference), others)) = trees.split_first() {
        for (id, tree) in others {
            for line in differences(reference, tree).into_iter().take(SHOWN) {
                lines.push(format!("{first} and {id} differ at {line}"));
            }
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::super::load::Node;
    use super::super::tree::Shown;
    use super::*;

    #[test]
    fn digests_are_compared_where_they_meet() {
        let of = |text: &str| digests(text, 0x80);
        let one = (1, of("80: 5\n100: -7\n180: 8\n"));
        let two = (2, of("80: 4\n100: -7\n200: 9\n"));
        assert_eq!(same_digests(&[one.clone(), two.clone()]), Ok(1));
        assert!(same_digests(&[one.clone(), (3, of("100: 7\n"))]).is_err());
        assert!(same_digests(&[one, (3, of("300: 7\n"))]).is_err());
    }

    #[test]
    fn the_counter_must_be_there() {
        assert_eq!(mismatches("a\t1\nzk_digest_mismatches_count\t12\n"), Ok(12));
        assert!(mismatches("a\t1\n").is_err());
    }

    #[test]
    fn the_journal_finds_what_is_lost_and_what_came_back() {
        let mut journal = Journal::default();
        let node = |deleted| Node {
            data: b"x".to_vec(),
            created: 5,
            deleted,
        };
        journal.nodes.insert("/a".into(), node(Deleted::No));
        journal.nodes.insert("/b".into(), node(Deleted::Yes));
        journal.nodes.insert("/c".into(), node(Deleted::Maybe));
        journal.counters.insert("/n".into(), (3, 5));
        journal.ephemerals.insert("/load/c1/here".into(), 9);
        let mut stat = 5i64.to_be_bytes().to_vec();
        stat.resize(68, 0);
        let shown = |data: &[u8]| Shown {
            data: data.to_vec(),
            stat: stat.clone(),
            ..Shown::default()
        };
        let mut owned = shown(b"");
        owned.stat[44..52].copy_from_slice(&9i64.to_be_bytes());
        let mut tree = Tree::new();
        tree.insert("/a".into(), shown(b"x"));
        tree.insert("/n".into(), shown(b"4"));
        tree.insert("/load/c1/here".into(), owned.clone());
        assert!(against_journal(&journal, &tree).is_empty());
        tree.insert("/load/c2/here".into(), owned);
        tree.insert("/b".into(), shown(b"x"));
        tree.insert("/n".into(), shown(b"2"));
        tree.insert("/a".into(), shown(b"y"));
        assert_eq!(against_journal(&journal, &tree).len(), 4);
        assert_eq!(against_journal(&journal, &Tree::new()).len(), 3);
    }
}
