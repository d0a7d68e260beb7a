//! A sound log, damaged as the input says: what recovery accepts is a prefix of what was written,
//! and one that is not whole was said to be torn.
#![no_main]

use std::path::Path;
use std::sync::Arc;

use libfuzzer_sys::fuzz_target;
use zk_disk::files::Files;
use zk_disk::log::{Options, Reader, Recovered, ScanOptions, Writer, scan};
use zk_disk::model::ModelFiles;

const RECORDS: i64 = 30;

fn payload(zxid: i64) -> Vec<u8> {
    let mut out = vec![zxid as u8; 40 + (zxid as usize * 37) % 200];
    out[12..20].copy_from_slice(&zxid.to_be_bytes());
    out
}

// Each damage takes 5 bytes: which file, where (2), how, with what.
fuzz_target!(|data: &[u8]| {
    let disk = Arc::new(ModelFiles::new());
    let dir = Path::new("/log");
    disk.create_dir(dir).expect("a folder");
    let options = Options {
        prealloc: 4096,
        segment_size: 1500,
        segment_records: 0,
        force_sync: true,
    };
    let files: Arc<dyn Files> = disk.clone();
    let mut writer =
        Writer::open(files.clone(), dir, options, &Recovered::default(), 0).expect("an empty log");
    for zxid in 1..=RECORDS {
        writer.append(zxid, &payload(zxid)).expect("it follows");
        if zxid % 4 == 0 {
            writer.sync().expect("nothing fails on this disk");
        }
    }
    writer.sync().expect("nothing fails on this disk");
    let sound = scan(&*disk, dir, ScanOptions::default()).expect("a sound log");
    for damage in data.chunks_exact(5).take(8) {
        let [file, high, low, how, with] = *damage else {
            continue;
        };
        let segment = &sound.segments[usize::from(file) % sound.segments.len()];
        disk.tamper(&segment.path, |bytes| {
            let at = usize::from(u16::from_be_bytes([high, low])) % bytes.len().max(1);
            match how % 4 {
                0 => bytes.truncate(at),
                1 => bytes[at..]
                    .iter_mut()
                    .take(usize::from(with))
                    .for_each(|b| *b = 0),
                2 => bytes[at..].iter_mut().take(1).for_each(|b| *b ^= with),
                _ => {
                    let sector = at / 512 * 512;
                    bytes[sector..].iter_mut().take(512).for_each(|b| *b = with);
                }
            }
        });
    }
    let Ok(found) = scan(&*disk, dir, ScanOptions::default()) else {
        return;
    };
    let last = found.last_zxid.unwrap_or(0);
    assert!(last <= RECORDS);
    if found.segments.is_empty() {
        return;
    }
    assert_eq!(
        found.first_zxid,
        Some(1),
        "earlier segments are whole or refused"
    );
    let mut reader = Reader::open(files, dir, 1, last).expect("it begins there");
    let mut zxid = 0;
    while let Some(record) = reader.next_record().expect("it was scanned") {
        zxid += 1;
        assert_eq!((record.zxid, record.payload), (zxid, &payload(zxid)[..]));
    }
    assert_eq!(zxid, last);
    // Only the tail of the last segment may be missing.
    assert!(last + 1 >= sound.segments.last().map_or(0, |s| s.first));
});
