//! How the log is written, by the keys that say so.

use crate::harness::{TestServer, start};

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
