//! What it costs to take another server's tree over, and to send a held state of it on: time, processor time and memory.
//!
//! `install_cost <folder> [rows]`
//!
//! Rows are znodes of 100 bytes of data under 1,000 parents, in the order that Java sends them.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use zk_disk::directory::{self, Layout};
use zk_disk::files::{Files, OsFiles};
use zk_disk::install::{self, Incoming};
use zk_disk::log::Options;
use zk_disk::rocks::RocksStore;
use zk_disk::snap;
use zk_disk::store::Store;
use zk_wire::quorum::snap::OPEN_ACL;
use zk_wire::stat::StatPersisted;

/// Processor time of this process, and its resident memory in KiB.
fn usage() -> (Duration, u64) {
    let read = |path| std::fs::read_to_string(path).unwrap_or_default();
    let stat = read("/proc/self/stat");
    let fields: Vec<&str> = stat
        .rsplit(')')
        .next()
        .unwrap_or_default()
        .split_whitespace()
        .collect();
    let ticks = |i: usize| fields.get(i).and_then(|f| f.parse().ok()).unwrap_or(0_u64);
    let status = read("/proc/self/status");
    let rss = status.lines().find_map(|line| {
        let rest = line.strip_prefix("VmRSS:")?.trim();
        rest.split(' ').next()?.parse().ok()
    });
    // A tick is 10 ms on every Linux that matters here.
    let time = Duration::from_millis((ticks(11) + ticks(12)) * 10);
    (time, rss.unwrap_or(0))
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let folder: PathBuf = arguments.next().ok_or("a folder is needed")?.into();
    let rows: u64 = arguments.next().map_or(Ok(1_000_000), |n| n.parse())?;
    let layout = Layout::new(folder.join("data"), folder.join("log"));
    let files: Arc<dyn Files> = Arc::new(OsFiles);
    directory::open(&files, &layout, &mut RocksStore::open)?;
    let (mut at, mut used) = (Instant::now(), usage().0);
    let mut say = |what: &str| {
        let (now, rss) = usage();
        println!(
            "{what}: {:.2} s, {:.2} s of processor, {} MiB resident",
            at.elapsed().as_secs_f64(),
            now.saturating_sub(used).as_secs_f64(),
            rss / 1024
        );
        (at, used) = (Instant::now(), now);
    };
    let mut incoming = Incoming::begin(&*files, &layout, &mut |folder: &Path| {
        RocksStore::open(folder)
    })?;
    let (data, stat) = ([7; 100], StatPersisted::default());
    incoming.node("", Some(&[]), OPEN_ACL, stat)?;
    for parent in 0..1_000 {
        let path = format!("/parent-{parent:04}");
        incoming.node(&path, Some(&data), OPEN_ACL, stat)?;
        for n in 0..rows / 1_000 {
            let path = format!("{path}/node-{n:010}");
            incoming.node(&path, Some(&data), OPEN_ACL, stat)?;
        }
    }
    say("rows");
    let complete = incoming.complete()?;
    say("children");
    let zxid = 0x1_0000_0001;
    install::seal(&complete, zxid, zxid)?;
    install::switch(&*files, &layout, &complete)?;
    install::take_over(&files, &layout, &complete.store, Options::default())?;
    say("switch");
    let snapshot = complete.store.snapshot()?;
    let mut bytes = 0_u64;
    let sent = snap::send(&snapshot, &mut |piece| {
        bytes += piece.len() as u64;
        ControlFlow::Continue(())
    })?;
    say("sending");
    println!(
        "{} nodes, {bytes} bytes sent, {sent:?}",
        complete.tree.node_count
    );
    Ok(())
}
