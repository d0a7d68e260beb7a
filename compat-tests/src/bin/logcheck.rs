//! `logcheck`: one server's log in the other's hands.
//!
//! `logcheck replay DIR...` reads logs that Apache ZooKeeper wrote with this project's reader, applies
//! them to this project's tree, and compares its digest with each transaction's own. A log of a run
//! that makes Java predict wrongly (docs/differences.md) is no input for it.
//!
//! `logcheck trees JAVA OURS` compares the whole trees of two servers that have read one log, which
//! this project's server wrote, and asks Java how many digests it has found wrong.

use std::net::{SocketAddr, ToSocketAddrs};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use clap::{Parser, Subcommand};
use compat_tests::conn::four_letter;
use compat_tests::tree_dump::{delete, differences, dump};
use zk_core::config::Config;
use zk_core::node::{ReplayError, replay};
use zk_core::owner::Extended;
use zk_core::tree::Tree;
use zk_disk::files::{Files, OsFiles};
use zk_disk::log::{Reader, ScanOptions, scan};
use zk_wire::txn::Txn;

/// Differences that are printed in full.
const SHOWN: usize = 10;

#[derive(Debug, Parser)]
#[command(about = "One server's log in the other's hands")]
struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Apply Java's logs to this project's tree; every digest must be equal.
    Replay {
        /// Folders with log.* files.
        #[arg(required = true)]
        folders: Vec<PathBuf>,
        /// A log without this many digests is a failure: it shows nothing.
        #[arg(long, default_value_t = 100)]
        least: u64,
    },
    /// Compare two servers' trees, byte by byte.
    Trees {
        /// Apache ZooKeeper, HOST:PORT.
        java: String,
        /// This project's server, HOST:PORT.
        ours: String,
    },
}

fn main() -> ExitCode {
    let (passed, failed) = match Args::parse().what {
        What::Replay { folders, least } => {
            let good = folders
                .iter()
                .filter(|folder| told(&folder.display().to_string(), replayed(folder, least)))
                .count();
            (good, folders.len() - good)
        }
        What::Trees { java, ours } => {
            let good = told("trees", compared(&java, &ours));
            (usize::from(good), usize::from(!good))
        }
    };
    println!("{passed} passed, {failed} failed");
    if failed == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

fn told(what: &str, result: Result<String, String>) -> bool {
    match &result {
        Ok(text) => println!("{what}: {text}"),
        Err(text) => println!("{what}: FAILED: {text}"),
    }
    result.is_ok()
}

fn replayed(folder: &Path, least: u64) -> Result<String, String> {
    let files: Arc<dyn Files> = Arc::new(OsFiles);
    let log = scan(&*files, folder, ScanOptions::default()).map_err(|e| e.to_string())?;
    let (Some(first), Some(last)) = (log.first_zxid, log.last_zxid) else {
        return Err("no transaction".into());
    };
    if first != 1 {
        return Err(format!("the log begins at zxid {first:#x}"));
    }
    let config = Config {
        extended: Extended {
            enabled: true,
            emulate_353: false,
        },
        ..Config::default()
    };
    let mut tree = Tree::new(config.extended, config.seed);
    let mut reader = Reader::open(files, folder, first, last).map_err(|e| e.to_string())?;
    let (mut records, mut digests, mut wrong) = (0_u64, 0_u64, Vec::new());
    while let Some(record) = reader.next_record().map_err(|e| e.to_string())? {
        let zxid = record.zxid;
        let mut input = jute::Reader::new(record.payload);
        let txn = <Txn<'_> as jute::Decode>::decode(&mut input)
            .map_err(|e| format!("zxid {zxid:#x}: {e}"))?;
        if jute::Encode::to_vec(&txn) != record.payload && !has_surrogate(record.payload) {
            return Err(format!("zxid {zxid:#x} is encoded otherwise here: {txn:?}"));
        }
        let done = replay(&mut tree, &config, record.payload).map_err(|e| match e {
            ReplayError::Undecodable(e) => format!("zxid {zxid:#x}: {e}"),
            ReplayError::Need(need) => format!("zxid {zxid:#x} needs {need:?} of a whole tree"),
        })?;
        records += 1;
        digests += u64::from(txn.digest.is_some());
        if let Some(mismatch) = done.mismatch {
            wrong.push(format!("zxid {zxid:#x}: {mismatch}: {txn:?}"));
        }
    }
    if !wrong.is_empty() {
        let count = wrong.len();
        wrong.truncate(SHOWN);
        return Err(format!(
            "{count} of {digests} digests differ:\n{}",
            wrong.join("\n")
        ));
    }
    if digests < least {
        return Err(format!("only {digests} digests in {records} records"));
    }
    Ok(format!(
        "{records} records, {} left out as doubles, {digests} digests equal, {} nodes at zxid {last:#x}",
        log.duplicates,
        tree.node_count()
    ))
}

/// Whether half a character above U+FFFF is somewhere in these bytes: Java writes such a character of
/// an ACL as two encoded halves, and reads each of them back as U+FFFD, like this project's decoder.
fn has_surrogate(bytes: &[u8]) -> bool {
    bytes
        .windows(2)
        .any(|pair| pair[0] == 0xED && pair[1] >= 0xA0)
}

fn compared(java: &str, ours: &str) -> Result<String, String> {
    let (java, ours) = (resolve(java)?, resolve(ours)?);
    let (java_tree, our_tree) = (dump(java)?, dump(ours)?);
    let mut lines = differences(&java_tree, &our_tree);
    if !lines.is_empty() {
        let count = lines.len();
        lines.truncate(SHOWN);
        return Err(format!("{count} nodes differ:\n{}", lines.join("\n")));
    }
    // Java's mntr breaks off where quota limits do not parse.
    let limits = java_tree
        .keys()
        .filter(|path| path.ends_with("/zookeeper_limits"));
    for addr in [java, ours] {
        delete(addr, limits.clone())?;
    }
    let mntr = four_letter(java, "mntr").map_err(|e| format!("{java}: mntr: {e}"))?;
    let count = mntr
        .lines()
        .find_map(|line| line.strip_prefix("zk_digest_mismatches_count\t"));
    if count != Some("0") {
        return Err(format!("Java's zk_digest_mismatches_count is {count:?}"));
    }
    Ok(format!(
        "{} nodes, all equal, no digest that Java finds wrong",
        java_tree.len()
    ))
}

fn resolve(text: &str) -> Result<SocketAddr, String> {
    text.to_socket_addrs()
        .map_err(|e| format!("{text}: {e}"))?
        .next()
        .ok_or_else(|| format!("{text}: no address"))
}
