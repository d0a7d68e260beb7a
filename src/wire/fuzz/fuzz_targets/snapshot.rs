//! Snapshots: whole, and in pieces.
#![no_main]

use jute_fuzz::bounded;
use libfuzzer_sys::fuzz_target;
use zk_wire::file::snapshot::{self, Decoder, Encoder, Item, OPEN_ACL, Progress, SnapshotError};

/// Seals that a snapshot can have.
const SEALS: usize = 3;

fuzz_target!(|data: &[u8]| {
    // Seals are hard to guess, so they are put right, one after the other.
    let mut file = data.to_vec();
    for _ in 0..=SEALS {
        match read(&file) {
            Ok(items) => return check(&file, &items),
            Err(SnapshotError::Seal { at, computed, .. }) => {
                file[at..at + 8].copy_from_slice(&u64::from(computed).to_be_bytes());
            }
            Err(_) => return,
        }
    }
    panic!("a seal is wrong though it was put right");
});

fn read(file: &[u8]) -> Result<Vec<Item<'_>>, SnapshotError> {
    bounded(file.len(), || snapshot::items(file).collect())
}

fn check(file: &[u8], items: &[Item<'_>]) {
    in_pieces(file, items);

    let sessions = items
        .iter()
        .filter(|item| matches!(item, Item::Session { .. }))
        .count();
    let acls = items
        .iter()
        .filter(|item| matches!(item, Item::Acl { .. }))
        .count();
    let reserved = |item: &Item<'_>| matches!(item, Item::Acl { id: OPEN_ACL, .. });
    if items.iter().any(reserved) || items.iter().any(has_astral) {
        return; // What no server writes, or Java cannot read back.
    }
    let mut out = Vec::new();
    let mut encoder = Encoder::begin(sessions, acls, &mut out);
    for item in items {
        match item {
            Item::Session { id, timeout } => encoder.session(*id, *timeout, &mut out),
            Item::Acl { id, acl } => encoder.acl(*id, acl, &mut out),
            Item::Node {
                path,
                data,
                acl,
                stat,
            } => {
                encoder.node(path, *data, *acl, stat, &mut out);
            }
            Item::NodesEnd => encoder.end_nodes(&mut out),
            Item::Digest {
                zxid,
                version,
                digest,
            } => {
                encoder.digest(*zxid, *version, *digest, &mut out);
            }
            Item::LastZxid(zxid) => encoder.last_zxid(*zxid, &mut out),
        }
    }
    assert_eq!(
        snapshot::items(&out)
            .collect::<Result<Vec<_>, _>>()
            .as_deref(),
        Ok(items)
    );
}

fn has_astral(item: &Item<'_>) -> bool {
    let astral = |text: &str| text.chars().any(|c| c > '\u{ffff}');
    match item {
        Item::Acl { acl, .. } => acl.iter().any(|acl| {
            [&acl.id.scheme, &acl.id.id]
                .into_iter()
                .flatten()
                .any(|text| astral(text))
        }),
        Item::Node { path, .. } => astral(path),
        Item::Session { .. } | Item::NodesEnd | Item::Digest { .. } | Item::LastZxid(_) => false,
    }
}

/// The same items come out when the file comes in two pieces.
fn in_pieces(file: &[u8], items: &[Item<'_>]) {
    let middle = usize::from(file.last().copied().unwrap_or_default()) % (file.len() + 1);
    let mut decoder = Decoder::default();
    let mut found = Vec::new();
    let (mut start, mut end) = (0, middle);
    loop {
        match decoder
            .next(&file[start..end], end == file.len())
            .expect("as a whole")
        {
            Progress::Item(item, taken) => {
                found.push(item);
                start += taken;
            }
            Progress::More(need) => {
                assert!(start + need > end, "more is asked for, not less");
                end = file.len();
            }
            Progress::Done => break,
        }
    }
    assert_eq!(found, items);
}
