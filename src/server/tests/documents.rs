//! docs/architecture.md says what bounds memory: the figures are those of the code.

use zabkeeper::limits as server;
use zk_core::limits as core;
use zk_disk::limits as disk;
use zk_ops::limits as ops;
use zk_zab::limits as zab;

/// As the document writes it.
fn bytes(n: usize) -> String {
    match n {
        n if n >= 1 << 20 => format!("{} MiB", n >> 20),
        n => format!("{} KiB", n >> 10),
    }
}

fn count(n: usize) -> String {
    match n {
        n if n >= 1_000 => format!("{},{:03}", n / 1_000, n % 1_000),
        n => n.to_string(),
    }
}

#[test]
fn the_table_of_bounds_is_that_of_the_code() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/architecture.md");
    let document = std::fs::read_to_string(path).expect("docs/architecture.md");
    let bounds = [
        (
            "zk_core::limits::FRAME_BYTES_DEFAULT",
            bytes(core::FRAME_BYTES_DEFAULT + 1),
        ),
        ("zabkeeper::limits::READ_CHUNK", bytes(server::READ_CHUNK)),
        ("zk_core::limits::CONN_SLOTS", count(core::CONN_SLOTS)),
        (
            "zabkeeper::limits::CONN_IN_BYTES",
            bytes(server::CONN_IN_BYTES),
        ),
        (
            "zk_core::limits::CONN_OUT_BYTES",
            bytes(core::CONN_OUT_BYTES),
        ),
        (
            "zk_core::limits::MISSING_AT_ONCE",
            count(core::MISSING_AT_ONCE),
        ),
        ("zk_core::limits::LOAD_DEPTH", count(core::LOAD_DEPTH)),
        ("zk_disk::limits::MAX_BATCH", bytes(disk::MAX_BATCH)),
        ("zabkeeper::limits::DIRTY_BYTES", bytes(server::DIRTY_BYTES)),
        ("zk_disk::limits::WRITE_BYTES", bytes(disk::WRITE_BYTES)),
        (
            "zabkeeper::limits::SPARE_BATCHES",
            count(server::SPARE_BATCHES),
        ),
        ("zabkeeper::limits::KEEP_BATCH", bytes(server::KEEP_BATCH)),
        (
            "zk_disk::limits::ALL_WRITE_BUFFERS",
            bytes(disk::ALL_WRITE_BUFFERS),
        ),
        ("zk_disk::limits::BLOCK_CACHE", bytes(disk::BLOCK_CACHE)),
        (
            "zk_disk::limits::OPEN_TABLES",
            count(disk::OPEN_TABLES as usize),
        ),
        (
            "zabkeeper::limits::INSTALL_ROWS",
            count(server::INSTALL_ROWS),
        ),
        ("zk_core::limits::ABSENT_BYTES", bytes(core::ABSENT_BYTES)),
        ("zk_ops::limits::SET_KEYS_MAX", count(ops::SET_KEYS_MAX)),
        (
            "zk_core::limits::DIGEST_LOG_ENTRIES",
            count(core::DIGEST_LOG_ENTRIES),
        ),
        (
            "zabkeeper::limits::LINK_QUEUE_BYTES",
            bytes(server::LINK_QUEUE_BYTES),
        ),
        (
            "zabkeeper::limits::LINK_IN_BYTES",
            bytes(server::LINK_IN_BYTES),
        ),
        ("zk_zab::limits::HELD_BYTES", bytes(zab::HELD_BYTES)),
        ("zk_zab::limits::WINDOW_BYTES", bytes(zab::WINDOW_BYTES)),
        ("zk_zab::limits::FEED_BYTES", bytes(zab::FEED_BYTES)),
        (
            "zabkeeper::limits::STREAM_WINDOW",
            bytes(server::STREAM_WINDOW),
        ),
        (
            "zabkeeper::limits::STREAM_THREADS",
            count(server::STREAM_THREADS),
        ),
        (
            "zabkeeper::limits::INSTALL_BLOCKS",
            count(server::INSTALL_BLOCKS),
        ),
        (
            "zabkeeper::limits::LINK_READ_CHUNK",
            bytes(server::LINK_READ_CHUNK),
        ),
        (
            "zabkeeper::limits::ELECTION_IN_BYTES",
            bytes(server::ELECTION_IN_BYTES),
        ),
        ("zk_zab::limits::LEARNERS_MAX", count(zab::LEARNERS_MAX)),
        (
            "zabkeeper::limits::QUORUM_LINKS",
            count(server::QUORUM_LINKS),
        ),
    ];
    for (name, bound) in &bounds {
        let named = format!("`{name}`");
        let rows: Vec<&str> = document
            .lines()
            .filter(|line| line.contains(&named))
            .collect();
        assert!(!rows.is_empty(), "{name} is not named");
        for row in rows {
            assert!(row.contains(bound), "{name} is {bound}, not as in: {row}");
        }
    }
    // The other way round: nothing is named that is not held here.
    let named = document
        .split('`')
        .filter(|word| word.contains("::limits::"));
    for name in named {
        assert!(bounds.iter().any(|(known, _)| *known == name), "{name}");
    }
}
