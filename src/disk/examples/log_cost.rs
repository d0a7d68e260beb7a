//! What the log costs: processor time per record appended and synced, and how fast a start reads
//! it back.
//!
//! `log_cost <folder> [records] [records per sync]`
//!
//! Records are creates of 100 bytes of data: 210 bytes of payload.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use zk_disk::files::{Files, OsFiles};
use zk_disk::log::{Options, Reader, ScanOptions, Writer, repair, scan};

/// User and system time of this process.
fn cpu() -> (f64, f64) {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields: Vec<&str> = stat
        .rsplit(')')
        .next()
        .unwrap_or_default()
        .split_whitespace()
        .collect();
    let ticks = |i: usize| fields.get(i).and_then(|f| f.parse::<u64>().ok());
    // A tick is 10 ms on every Linux that matters here.
    let seconds = |i: usize| ticks(i).unwrap_or(0) as f64 / 100.0;
    (seconds(11), seconds(12))
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let folder = arguments.next().ok_or("a folder is needed")?;
    let records: i64 = arguments.next().map_or(Ok(1_000_000), |n| n.parse())?;
    let per_sync: i64 = arguments.next().map_or(Ok(500), |n| n.parse())?;
    let dir = Path::new(&folder);
    let files: Arc<dyn Files> = Arc::new(OsFiles);
    files.create_dir(dir)?;
    let found = scan(&*files, dir, ScanOptions::default())?;
    repair(&*files, dir, &found)?;
    let base = found.last_zxid.unwrap_or(0);
    let mut writer = Writer::open(files.clone(), dir, Options::default(), &found, base)?;
    let mut payload = [0x5a; 210];
    let (user, system) = cpu();
    let mut waited = Duration::ZERO;
    for zxid in base + 1..=base + records {
        payload[12..20].copy_from_slice(&zxid.to_be_bytes());
        writer.append(zxid, &payload)?;
        if zxid % per_sync == 0 {
            let began = Instant::now();
            writer.sync()?;
            waited += began.elapsed();
        }
    }
    writer.close()?;
    let (user_then, system_then) = cpu();
    println!(
        "write: {:.2} us user and {:.2} us system a record, {:.2} ms a sync of {per_sync}",
        (user_then - user) * 1e6 / records as f64,
        (system_then - system) * 1e6 / records as f64,
        waited.as_secs_f64() * 1e3 * per_sync as f64 / records as f64,
    );
    let began = Instant::now();
    let found = scan(&*files, dir, ScanOptions::default())?;
    let bytes: u64 = found.segments.iter().map(|s| s.end).sum();
    println!("scan: {} MiB in {:?}", bytes >> 20, began.elapsed());
    let began = Instant::now();
    let (first, last) = (found.first_zxid.unwrap_or(1), found.last_zxid.unwrap_or(0));
    let mut reader = Reader::open(files, dir, first, last)?;
    let mut count = 0_u64;
    while reader.next_record()?.is_some() {
        count += 1;
    }
    println!("read: {count} records in {:?}", began.elapsed());
    Ok(())
}
