//! What write-behind costs: processor time per row of a store in RocksDB, its memory, and how long
//! it takes to open and to read back.
//!
//! `store_cost <folder> [rows] [random|sequential|set] [rows per batch]`
//!
//! Rows are znodes of 100 bytes of data with a path of 24 bytes under 1,000 parents, merged and
//! written as the persister does, flushed every 32 MiB of log. Processor time is that of the whole
//! process, background threads included, until everything is flushed and compaction is idle.

use std::ops::ControlFlow;
use std::path::Path;
use std::time::{Duration, Instant};

use zk_core::acl::AclId;
use zk_core::ids::Zxid;
use zk_core::tree::{self, Row};
use zk_disk::rocks::RocksStore;
use zk_disk::store::{Batch, Merged, Meta, Store};
use zk_wire::stat::StatPersisted;

/// User and system time of this process, and its resident memory in KiB.
fn usage() -> (Duration, u64) {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields: Vec<&str> = stat
        .rsplit(')')
        .next()
        .unwrap_or_default()
        .split_whitespace()
        .collect();
    let ticks = |i: usize| {
        fields
            .get(i)
            .and_then(|f| f.parse::<u64>().ok())
            .unwrap_or(0)
    };
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let rss = status
        .lines()
        .find_map(|line| {
            line.strip_prefix("VmRSS:")?
                .trim()
                .split(' ')
                .next()?
                .parse()
                .ok()
        })
        .unwrap_or(0);
    // A tick is 10 ms on every Linux that matters here.
    (Duration::from_millis((ticks(11) + ticks(12)) * 10), rss)
}

fn mix(n: u64) -> u64 {
    let mut z = n.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z ^ (z >> 31)
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let folder = arguments.next().ok_or("a folder is needed")?;
    let rows: u64 = arguments.next().map_or(Ok(1_000_000), |n| n.parse())?;
    let kind = arguments.next().unwrap_or_else(|| "random".into());
    let per_batch: u64 = arguments.next().map_or(Ok(10_000), |n| n.parse())?;
    let folder = Path::new(&folder);
    let (_, empty) = usage();
    let store = RocksStore::open(folder)?;
    let began = Instant::now();
    let (cpu, _) = usage();
    let mut data = [0_u8; 100];
    let mut merged = Merged::new();
    let mut since_flush = 0;
    let mut encode = Duration::ZERO;
    for first in (0..rows).step_by(per_batch as usize) {
        let mut batch = Batch::new();
        let part = Instant::now();
        for n in first..(first + per_batch).min(rows) {
            let id = match kind.as_str() {
                "random" => mix(n),
                "set" => mix(n % 100_000),
                _ => n,
            };
            let path = format!(
                "/bench{:03}/{:014x}",
                id % 1_000,
                (id / 1_000) & 0xff_ffff_ffff_ffff
            );
            for chunk in data.chunks_mut(8) {
                let noise = mix(id ^ chunk.len() as u64).to_le_bytes();
                chunk.copy_from_slice(&noise[..chunk.len()]);
            }
            let zxid = n as i64 + 1;
            let time = 1_700_000_000_000 + n as i64 / 50;
            let stat = StatPersisted {
                czxid: zxid,
                mzxid: zxid,
                pzxid: zxid,
                ctime: time,
                mtime: time,
                ..StatPersisted::default()
            };
            let row = Row {
                stat,
                acl: AclId::OPEN,
                children: 0,
                crc: id as u32,
                data: Some(&data),
            };
            batch.put_node(&path, &row);
            // Its parent changes too.
            let stat = StatPersisted {
                pzxid: zxid,
                cversion: n as i32,
                ..StatPersisted::default()
            };
            let row = Row {
                stat,
                acl: AclId::OPEN,
                children: 7,
                crc: 1,
                data: None,
            };
            batch.put_node(&path[..9], &row);
        }
        let zxid = Zxid((first + per_batch).min(rows) as i64);
        batch.set_meta(Meta {
            tree: tree::Meta {
                zxid,
                ..Default::default()
            },
            record: 0,
        });
        merged.add(&batch);
        encode += part.elapsed();
        store.write(&merged)?;
        merged.clear();
        since_flush += per_batch * 230;
        if since_flush >= 32 << 20 {
            since_flush = 0;
            store.flush()?;
        }
    }
    store.flush()?;
    let wall = began.elapsed();
    let settled = store.wait_for_compaction(Duration::from_secs(120));
    let (after, rss) = usage();
    println!(
        "{kind}: {rows} rows, {per_batch} a batch: {:.2} us of processor a row (of it encode and merge {:.2}), {:.2} us wall, settled {settled}",
        (after - cpu).as_secs_f64() * 1e6 / rows as f64,
        encode.as_secs_f64() * 1e6 / rows as f64,
        wall.as_secs_f64() * 1e6 / rows as f64,
    );
    println!(
        "resident: {empty} KiB before, {rss} KiB now; RocksDB says {} KiB",
        store.memory()? / 1024
    );
    drop(store);
    let (cpu, _) = usage();
    let began = Instant::now();
    let store = RocksStore::open(folder)?;
    println!("open: {:?}", began.elapsed());
    let began = Instant::now();
    let mut count = 0_u64;
    store.scan(None, &mut |_, row| {
        count += u64::from(row.data.is_some());
        ControlFlow::Continue(())
    })?;
    let (after, rss) = usage();
    println!(
        "scan: {count} rows in {:?}, {:?} of processor; resident {rss} KiB",
        began.elapsed(),
        after - cpu
    );
    let size: u64 = std::fs::read_dir(folder)?
        .filter_map(|e| e.ok()?.metadata().ok())
        .map(|m| m.len())
        .sum();
    println!("on disk: {} MiB", size >> 20);
    Ok(())
}
