//! Recovery of a log folder that holds anything: judged without a panic, and what is accepted is
//! settled by the repair, read back whole and written on.
#![no_main]

use std::path::Path;
use std::sync::Arc;

use libfuzzer_sys::fuzz_target;
use zk_disk::files::Files;
use zk_disk::log::{Options, Reader, ScanOptions, Writer, repair, scan, truncate};
use zk_disk::model::ModelFiles;
use zk_wire::file::txn_log::{END_MARK, HEADER_LEN, OVERHEAD, PREFIX, checksum};

const DIR: &str = "/log";

fuzz_target!(|data: &[u8]| {
    recover(&[data]);
    // Checksums are hard to guess, so the same once more with right ones, and in two files.
    let mut file = data.to_vec();
    let ends = mend(&mut file);
    recover(&[&file]);
    if let Some(middle) = ends.get(ends.len() / 2) {
        let (first, second) = file.split_at(*middle);
        let second = [&file[..HEADER_LEN], second].concat();
        recover(&[first, &second]);
    }
});

/// Gives what looks like a record a right end mark and checksum, as far as they follow each
/// other, and says where they end.
fn mend(file: &mut [u8]) -> Vec<usize> {
    let mut ends = Vec::new();
    let mut offset = HEADER_LEN;
    while let Some(prefix) = file
        .get(offset..)
        .and_then(|rest| rest.first_chunk::<PREFIX>())
    {
        let [.., a, b, c, d] = *prefix;
        let length = usize::try_from(i32::from_be_bytes([a, b, c, d])).unwrap_or(0);
        let end = offset + OVERHEAD + length;
        if length == 0 || end > file.len() {
            break;
        }
        let sum = u64::from(checksum(&file[offset + PREFIX..end - 1]));
        file[offset..offset + 8].copy_from_slice(&sum.to_be_bytes());
        file[end - 1] = END_MARK;
        offset = end;
        ends.push(end);
    }
    ends
}

/// The zxid of the first record, for the file's name.
fn first_zxid(file: &[u8]) -> i64 {
    let at = HEADER_LEN + PREFIX + 12;
    let bytes = file.get(at..at + 8).and_then(|b| b.try_into().ok());
    bytes.map_or(1, i64::from_be_bytes).max(0)
}

fn recover(contents: &[&[u8]]) {
    let disk = Arc::new(ModelFiles::new());
    let dir = Path::new(DIR);
    disk.create_dir(dir).expect("a folder");
    for content in contents {
        let path = dir.join(format!("log.{:x}", first_zxid(content)));
        disk.tamper(&path, |bytes| *bytes = content.to_vec());
    }
    let Ok(found) = scan(&*disk, dir, ScanOptions::default()) else {
        return;
    };
    repair(&*disk, dir, &found).expect("nothing fails on this disk");
    let again = scan(&*disk, dir, ScanOptions::default()).expect("accepted before");
    assert_eq!(again.segments, found.segments, "the repair settles it");
    assert!(again.torn.is_none() && again.empty.is_empty(), "{again:?}");
    let (Some(first), Some(last)) = (found.first_zxid, found.last_zxid) else {
        return;
    };
    let files: Arc<dyn Files> = disk.clone();
    let mut reader = Reader::open(files.clone(), dir, first, last).expect("it begins there");
    let mut records = 0;
    let mut end = None;
    while let Some(record) = reader.next_record().expect("it was scanned") {
        records += 1;
        end = Some(record.zxid);
    }
    assert_eq!(end, Some(last));
    let scanned: u64 = found.segments.iter().map(|s| s.records).sum();
    assert_eq!(records, scanned - found.duplicates);
    let mut writer = Writer::open(
        files,
        dir,
        Options {
            prealloc: 0,
            ..Options::default()
        },
        &again,
        last,
    )
    .expect("its end is known");
    if let Some(next) = last.checked_add(1) {
        let mut payload = vec![0; 40];
        payload[12..20].copy_from_slice(&next.to_be_bytes());
        writer.append(next, &payload).expect("it follows");
        assert_eq!(writer.sync().expect("nothing fails on this disk"), next);
        let grown = scan(&*disk, dir, ScanOptions::default()).expect("a sound log");
        assert_eq!(grown.last_zxid, Some(next));
    }
    // A cut after 0 is one of everything.
    if first == 0 {
        return;
    }
    truncate(&*disk, dir, first, 0).expect("it is in the log");
    let cut = scan(&*disk, dir, ScanOptions::default()).expect("a sound log");
    assert_eq!(cut.last_zxid, Some(first));
}
