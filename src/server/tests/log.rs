//! How the log is written, by the keys that say so.

use jute::Encode;
use zk_wire::OpCode;
use zk_wire::digest::EMPTY_TREE;
use zk_wire::file::txn_log;
use zk_wire::txn::{Txn, TxnBody, TxnDigest, TxnHeader};

use crate::harness::{TestServer, start, try_start};

/// Twelve transactions after the session's, each in a batch of its own.
fn after_twelve(settings: &[&str]) -> TestServer {
    let server = start(settings);
    let mut client = server.session();
    for i in 0..12 {
        client.create(&format!("/n{i}"), &[7; 700]);
    }
    server
}

#[test]
fn a_file_is_left_after_half_to_all_of_snap_count() {
    let files = after_twelve(&["snapCount=6"]).logs().len();
    assert!((2..=5).contains(&files), "{files} files");
    assert_eq!(after_twelve(&[]).logs(), ["log.1"]);
}

#[test]
fn a_file_is_left_at_the_size_limits() {
    // Each transaction takes some 800 bytes.
    for (setting, least) in [("txnLogSizeLimitInKb=1", 6), ("snapSizeLimitInKb=4", 3)] {
        let files = after_twelve(&[setting]).logs().len();
        assert!((least..=13).contains(&files), "{setting}: {files} files");
    }
}

#[test]
fn without_fsync_everything_is_answered_too() {
    let server = after_twelve(&["forceSync=no", "snapCount=6"]);
    let mut client = server.session();
    assert_eq!(client.get("/n11"), [7; 700]);
}

/// A log of one record, as a server left it that has the tree's digest wrong, or right.
fn one_record(digest: u64) -> tempfile::TempDir {
    let dir = tempfile::tempdir().expect("a folder");
    let logs = dir.path().join("version-2");
    std::fs::create_dir_all(&logs).expect("a folder");
    let txn = Txn {
        header: TxnHeader {
            client_id: 0,
            cxid: 1,
            zxid: 1,
            time: 1,
            op: OpCode::Error.to_i32(),
        },
        body: TxnBody::Error { err: -101 },
        digest: Some(TxnDigest { version: 2, digest }),
    };
    let mut bytes = txn_log::HEADER.to_vec();
    txn_log::encode_txn(&txn, &mut bytes);
    std::fs::write(logs.join("log.1"), &bytes).expect("the log is written");
    dir
}

#[test]
fn a_digest_that_differs_stops_the_start() {
    // The folder of the setting wins over the harness's own.
    let right = one_record(EMPTY_TREE);
    let folder = |dir: &tempfile::TempDir| format!("dataDir={}", dir.path().display());
    start(&[&folder(&right)]).session();
    let wrong = one_record(EMPTY_TREE + 1);
    let refusal = try_start(&[&folder(&wrong)]).err().expect("it is refused");
    for word in ["zxid 0x1", "version-2", "restore both from a backup"] {
        assert!(refusal.message.contains(word), "{}", refusal.message);
    }
}
