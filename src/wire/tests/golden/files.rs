//! Logs and snapshots, the digest of trees, passwords.

use jute::{Decode, Encode, Reader};
use zk_wire::file::FileHeader;
use zk_wire::file::snapshot::{self, Item, Progress, SnapshotError};
use zk_wire::file::txn_log::{self, HEADER_LEN, HeaderError, Record, Scanner};
use zk_wire::stat::StatPersisted;
use zk_wire::{digest, password};

use crate::Rule;
use crate::cases::{Case, case, cases, records};
use crate::show;
use crate::show::{Printer, Show, hex, quote};

show! {
    FileHeader { magic "magic", version "version", dbid "dbid" }
}

// ---- logs

/// The records of a log, and what ends it.
fn scan(file: &[u8]) -> (Vec<Record<'_>>, txn_log::Item<'_>) {
    let mut records = Vec::new();
    let mut scanner = Scanner::new(file).expect("a header");
    for item in &mut scanner {
        match item {
            txn_log::Item::Record(record) => records.push(record),
            end => {
                assert_eq!(scanner.next(), None, "nothing behind the end");
                return (records, end);
            }
        }
    }
    panic!("no end");
}

#[test]
fn every_log() {
    assert_eq!(records("txn_log"), ["file".to_string()].into());
    for Case { name, bin, txt } in cases("txn_log", "file") {
        let (records, end) = scan(&bin);
        let mut printer = Printer::default();
        txn_log::decode_header(&bin).unwrap().show("", &mut printer);
        let mut again = txn_log::HEADER.to_vec();
        for (i, record) in records.iter().enumerate() {
            let txn = record.txn().unwrap_or_else(|e| panic!("{name}: {e}"));
            txn.show(&format!("[{i}]."), &mut printer);
            let start = again.len();
            assert_eq!(start, record.offset, "{name}: record {i}");
            let payload = txn_log::encode_txn(&txn, &mut again);
            assert_eq!(again[payload], *record.payload, "{name}: record {i}");
            assert_eq!(again.len(), record.end, "{name}: record {i}");
            let mut framed = Vec::new();
            txn_log::encode_payload(record.payload, &mut framed);
            assert_eq!(framed, bin[start..record.end], "{name}: record {i}");
        }
        assert_eq!(printer.finish(), txt, "{name}");
        assert_eq!(
            end,
            txn_log::Item::End {
                offset: again.len()
            },
            "{name}"
        );
        let (written, padding) = bin.split_at(again.len());
        assert_eq!(again, written, "{name}: encoded again");
        assert!(padding.iter().all(|&b| b == 0), "{name}: only zeros behind");
    }
}

/// What a crash leaves of a log is the records that are whole, and a torn one or nothing.
#[test]
fn every_log_cut_short() {
    for Case { name, bin, .. } in cases("txn_log", "file") {
        let (whole, _) = scan(&bin);
        for cut in 0..bin.len() {
            let file = &bin[..cut];
            if cut < HEADER_LEN {
                let error = txn_log::decode_header(file).unwrap_err();
                assert_eq!(error, HeaderError::Short { length: cut }, "{name}");
                continue;
            }
            let (records, end) = scan(file);
            let fit = whole.iter().take_while(|record| record.end <= cut).count();
            assert_eq!(records, whole[..fit], "{name} cut at {cut}");
            let tail = records.last().map_or(HEADER_LEN, |record| record.end);
            match end {
                txn_log::Item::End { offset } => {
                    assert_eq!(offset, tail, "{name} cut at {cut}");
                    assert!(file[tail..].iter().all(|&b| b == 0), "{name} cut at {cut}");
                }
                txn_log::Item::Torn { offset, .. } => {
                    assert_eq!(offset, tail, "{name} cut at {cut}");
                }
                end => panic!("{name} cut at {cut}: {end:?}"),
            }
        }
    }
}

/// Any bit that flips in a record is noticed; and whether records follow is told.
#[test]
fn every_bit_of_a_log_counts() {
    for name in ["plain", "padded"] {
        let Case { name, bin, .. } = case("txn_log", "file", name);
        let (whole, _) = scan(&bin);
        for (i, record) in whole.iter().enumerate() {
            for bit in 8 * record.offset..8 * record.end {
                let mut file = bin.clone();
                file[bit / 8] ^= 1 << (bit % 8);
                let (records, end) = scan(&file);
                assert_eq!(records, whole[..i], "{name} bit {bit}");
                match (end, whole.get(i + 1)) {
                    (txn_log::Item::Corrupt { offset, next, .. }, Some(following)) => {
                        assert_eq!(offset, record.offset, "{name} bit {bit}");
                        assert_eq!(next.as_ref(), Some(following), "{name} bit {bit}");
                    }
                    (txn_log::Item::Torn { offset, .. }, None) => {
                        assert_eq!(offset, record.offset, "{name} bit {bit}");
                    }
                    (end, _) => panic!("{name} bit {bit}: {end:?}"),
                }
            }
        }
    }
}

// ---- snapshots

fn items(file: &[u8]) -> Result<Vec<Item<'_>>, SnapshotError> {
    snapshot::items(file).collect()
}

fn print(bin: &[u8], items: &[Item<'_>]) -> String {
    let mut p = Printer::default();
    FileHeader::decode(&mut Reader::new(bin))
        .unwrap()
        .show("", &mut p);
    let sessions = items
        .iter()
        .filter(|item| matches!(item, Item::Session { .. }));
    let acls = items
        .iter()
        .filter(|item| matches!(item, Item::Acl { .. }))
        .count();
    let sessions = sessions.count();
    let mut tree_digest = 0u64;
    p.line("count", sessions);
    for (i, item) in items.iter().enumerate() {
        if i == sessions {
            p.line("map", acls);
        }
        match item {
            Item::Session { id, timeout } => {
                id.show("id", &mut p);
                timeout.show("timeout", &mut p);
            }
            Item::Acl { id, acl } => {
                id.show("long", &mut p);
                Some(acl.clone()).show("acls", &mut p);
            }
            Item::Node {
                path,
                data,
                acl,
                stat,
            } => {
                Some(path.clone()).show("path", &mut p);
                data.show("node.data", &mut p);
                acl.show("node.acl", &mut p);
                stat.show("node.statpersisted", &mut p);
                if digest::in_digest(path) {
                    let crc = digest::node_crc(path.as_bytes(), *data);
                    tree_digest = tree_digest.wrapping_add(digest::finish(crc, stat));
                }
            }
            Item::NodesEnd => p.line("path", quote("/")),
            Item::Digest {
                zxid,
                version,
                digest,
            } => {
                zxid.show("zxid", &mut p);
                version.show("digestVersion", &mut p);
                digest.cast_signed().show("digest", &mut p);
            }
            Item::LastZxid(zxid) => zxid.show("lastZxid", &mut p),
        }
    }
    tree_digest.cast_signed().show("treeDigest", &mut p);
    p.finish()
}

fn encode(items: &[Item<'_>]) -> Vec<u8> {
    let sessions = items
        .iter()
        .filter(|item| matches!(item, Item::Session { .. }))
        .count();
    let acls = items
        .iter()
        .filter(|item| matches!(item, Item::Acl { .. }))
        .count();
    let mut out = Vec::new();
    let mut encoder = snapshot::Encoder::begin(sessions, acls, &mut out);
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
    out
}

#[test]
fn every_snapshot() {
    assert_eq!(records("snapshot"), ["file".to_string()].into());
    for Case { name, bin, txt } in cases("snapshot", "file") {
        let items = items(&bin).unwrap_or_else(|e| panic!("{name}: {e}"));
        assert_eq!(print(&bin, &items), txt, "{name}");
        assert_eq!(encode(&items), bin, "{name}: encoded again");
    }
}

/// The same items come out however the file is cut into pieces.
#[test]
fn every_snapshot_in_pieces() {
    for Case { name, bin, .. } in cases("snapshot", "file") {
        let whole = items(&bin).unwrap();
        for piece in [1, 2, 7, 64, 1000] {
            let mut decoder = snapshot::Decoder::default();
            let mut found = Vec::new();
            let (mut start, mut end) = (0, 0);
            loop {
                assert_eq!(decoder.offset(), start, "{name} in pieces of {piece}");
                match decoder.next(&bin[start..end], end == bin.len()) {
                    Ok(Progress::Item(item, taken)) => {
                        found.push(item);
                        start += taken;
                    }
                    Ok(Progress::More(need)) => {
                        assert!(start + need > end, "{name}: more is asked for, not less");
                        end = (end + piece).min(bin.len());
                    }
                    Ok(Progress::Done) => break,
                    Err(error) => panic!("{name} in pieces of {piece}: {error}"),
                }
            }
            assert_eq!(start, bin.len(), "{name} in pieces of {piece}");
            assert_eq!(found, whole, "{name} in pieces of {piece}");
        }
    }
}

#[test]
fn every_snapshot_cut_short() {
    for Case { name, bin, .. } in cases("snapshot", "file") {
        let whole = items(&bin).unwrap();
        // Where each section ends: the file is whole again with fewer of them.
        let nodes_end = whole
            .iter()
            .position(|item| *item == Item::NodesEnd)
            .unwrap();
        let early: Vec<usize> = (nodes_end + 1..whole.len())
            .map(|count| encode(&whole[..count]).len())
            .collect();
        for cut in 0..bin.len() {
            let result = items(&bin[..cut]);
            if early.contains(&cut) {
                assert!(
                    result.is_ok(),
                    "{name} cut at {cut}: {:?}",
                    Rule::SectionsAbsent
                );
            } else {
                assert!(result.is_err(), "{name} cut at {cut}: {result:?}");
            }
        }
    }
}

#[test]
fn every_bit_of_a_snapshot_counts() {
    for Case { name, bin, .. } in cases("snapshot", "file") {
        for bit in 0..8 * bin.len() {
            let mut file = bin.clone();
            file[bit / 8] ^= 1 << (bit % 8);
            assert!(items(&file).is_err(), "{name} bit {bit}");
        }
        let mut longer = bin.clone();
        longer.push(0);
        assert!(items(&longer).is_err(), "{name} with a byte more");
    }
}

// ---- digests and passwords

jute::record! {
    struct Node<'a> {
        path: jute::Str<'a>,
        data: jute::Buf<'a>,
        stat: StatPersisted,
    }
}

#[test]
fn every_digest() {
    assert_eq!(records("digest"), ["node".to_string()].into());
    for Case { name, bin, txt } in cases("digest", "node") {
        let Node { path, data, stat } = Node::decode(&mut Reader::new(&bin)).unwrap();
        let mut p = Printer::default();
        path.show("path", &mut p);
        data.show("data", &mut p);
        stat.show("stat", &mut p);
        let path = path.unwrap();
        let digest = if digest::in_digest(&path) {
            let path = if path == "/" { "" } else { &*path };
            digest::finish(digest::node_crc(path.as_bytes(), data), &stat)
        } else {
            0
        };
        digest.cast_signed().show("digest", &mut p);
        assert_eq!(p.finish(), txt, "{name}");
    }
    let new = case("snapshot", "file", "new").txt;
    assert!(new.ends_with(&format!("treeDigest = {}\n", digest::EMPTY_TREE)));
}

#[test]
fn every_password() {
    assert_eq!(records("password"), ["session".to_string()].into());
    for Case { name, bin, txt } in cases("password", "session") {
        let mut p = Printer::default();
        for id in bin.as_chunks().0 {
            let id = i64::from_be_bytes(*id);
            p.line(&id.to_string(), hex(&password::derive(id)));
        }
        assert_eq!(p.finish(), txt, "{name}");
    }
}
