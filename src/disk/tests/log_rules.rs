//! What a start makes of each kind of damage, and what the writer, reader and truncation promise.

mod common;

use std::path::PathBuf;
use std::sync::Arc;

use common::{dir, disk, payload};
use zk_disk::Error;
use zk_disk::files::Files;
use zk_disk::log::{Options, Reader, Recovered, ScanOptions, Writer, repair, scan, truncate};
use zk_disk::model::{Fault, ModelFiles};
use zk_wire::file::txn_log;

const NO_PADDING: Options = Options {
    prealloc: 0,
    segment_size: u64::MAX,
    segment_records: 0,
    force_sync: true,
};

fn look(disk: &ModelFiles) -> zk_disk::Result<Recovered> {
    scan(disk, &dir(), ScanOptions::default())
}

fn start(disk: &Arc<ModelFiles>, options: Options) -> Writer {
    let found = look(disk).unwrap();
    repair(&**disk, &dir(), &found).unwrap();
    let base = found.last_zxid.unwrap_or(0);
    Writer::open(disk.clone(), &dir(), options, &found, base).unwrap()
}

/// Appends zxids one by one, each in its own batch, `len` bytes behind the header.
fn fill(writer: &mut Writer, zxids: impl IntoIterator<Item = i64>, len: usize) {
    for zxid in zxids {
        writer.append(zxid, &payload(zxid, len, 0)).unwrap();
        assert_eq!(writer.sync().unwrap(), zxid);
    }
}

/// A log of `n` records of 100 bytes of frame, in one file.
fn written(n: i64) -> (Arc<ModelFiles>, PathBuf) {
    let disk = disk();
    let mut writer = start(&disk, NO_PADDING);
    fill(&mut writer, 1..=n, 100 - 32 - txn_log::OVERHEAD);
    (disk, dir().join("log.1"))
}

/// A log by hand, as another server may have left it: no mark beside it.
fn foreign(segments: &[(i64, &[i64])]) -> Arc<ModelFiles> {
    let disk = disk();
    for (name, zxids) in segments {
        disk.tamper(&dir().join(format!("log.{name:x}")), |bytes| {
            bytes.extend_from_slice(&jute::Encode::to_vec(&txn_log::HEADER));
            for zxid in *zxids {
                txn_log::encode_payload(&payload(*zxid, 40, 0), bytes);
            }
        });
    }
    disk
}

fn read_all(disk: &Arc<ModelFiles>, from: i64, until: i64) -> zk_disk::Result<Vec<i64>> {
    let mut reader = Reader::open(disk.clone(), &dir(), from, until)?;
    let mut zxids = Vec::new();
    while let Some(record) = reader.next_record()? {
        assert_eq!(txn_log::checksum(record.payload), record.checksum);
        zxids.push(record.zxid);
    }
    Ok(zxids)
}

fn corrupt(result: zk_disk::Result<Recovered>) -> zk_disk::Corrupt {
    match result {
        Err(Error::Corrupt(corrupt)) => corrupt,
        other => panic!("not refused as corrupt: {other:?}"),
    }
}

#[test]
fn bytes_are_those_of_java() {
    let (disk, path) = written(2);
    let bytes = disk.bytes(&path).unwrap();
    assert_eq!(bytes.len(), 16 + 200);
    assert_eq!(&bytes[..16], b"ZKLG\0\0\0\x02\0\0\0\0\0\0\0\0");
    let items: Vec<_> = txn_log::Scanner::new(&bytes).unwrap().collect();
    assert_eq!(items.len(), 3, "{items:?}");
}

#[test]
fn a_fresh_folder_is_an_empty_log() {
    let disk = ModelFiles::new();
    assert_eq!(look(&disk).unwrap(), Recovered::default());
}

#[test]
fn every_truncation_of_the_tail_is_cut_off() {
    let (disk, path) = written(5);
    let whole = disk.bytes(&path).unwrap();
    for size in 0..whole.len() {
        disk.tamper(&path, |bytes| {
            *bytes = whole.clone();
            bytes.truncate(size);
        });
        let found = look(&disk).unwrap();
        let records = size.saturating_sub(16) as i64 / 100;
        assert_eq!(
            found.last_zxid,
            (records > 0).then_some(records),
            "size {size}"
        );
        // A frame begins with four zeros, which are no sign of a record.
        let clean = size == 0 || (size >= 16 && (size - 16) % 100 <= 4);
        assert_eq!(found.torn.is_none(), clean, "size {size}: {found:?}");
        if let Some(torn) = &found.torn {
            assert_eq!(
                (torn.first_zxid, torn.last_zxid),
                (records + 1, records + 1)
            );
            assert!(torn.was_durable, "all five were synced");
        }
        repair(&*disk, &dir(), &found).unwrap();
        let settled = look(&disk).unwrap();
        assert!(settled.torn.is_none() && settled.empty.is_empty());
        assert_eq!(settled.last_zxid, found.last_zxid);
        assert_eq!(
            disk.bytes(&path).is_some(),
            records > 0,
            "a file without a record goes"
        );
    }
}

#[test]
fn a_damaged_last_record_is_cut_off_and_named() {
    let (disk, path) = written(5);
    let whole = disk.bytes(&path).unwrap();
    for at in 416..516 {
        disk.tamper(&path, |bytes| {
            *bytes = whole.clone();
            bytes[at] ^= 0x55;
        });
        let found = look(&disk).unwrap();
        assert_eq!(found.last_zxid, Some(4), "byte {at}");
        let torn = found.torn.unwrap();
        assert_eq!((torn.offset, torn.first_zxid, torn.bytes), (416, 5, 100));
        assert_eq!(torn.file, path);
    }
}

#[test]
fn a_damaged_record_in_the_middle_stops_the_start() {
    let (disk, path) = written(5);
    let whole = disk.bytes(&path).unwrap();
    for at in 216..316 {
        disk.tamper(&path, |bytes| {
            *bytes = whole.clone();
            bytes[at] ^= 0x55;
        });
        let why = corrupt(look(&disk));
        assert_eq!(
            (why.offset, why.after, why.before),
            (216, Some(2), Some(4)),
            "byte {at}"
        );
        assert_eq!(why.file, path);
        let text = Error::Corrupt(why).to_string();
        assert!(
            text.contains("log.1 offset 216") && text.contains("0x2") && text.contains("0x4"),
            "{text}"
        );
    }
    // The header too.
    disk.tamper(&path, |bytes| {
        *bytes = whole.clone();
        bytes[0] = 0;
    });
    let why = corrupt(look(&disk));
    assert_eq!((why.offset, why.after, why.before), (0, None, Some(1)));
}

#[test]
fn durable_records_turned_to_zeros_stop_the_start() {
    // A lost sector looks like an unfinished write, but the mark knows better.
    let disk = disk();
    let mut writer = start(
        &disk,
        Options {
            prealloc: 65_536,
            ..NO_PADDING
        },
    );
    fill(&mut writer, 1..=40, 100 - 32 - txn_log::OVERHEAD);
    let path = dir().join("log.1");
    disk.tamper(&path, |bytes| bytes[1024..1536].fill(0));
    let why = corrupt(look(&disk));
    assert_eq!((why.after, why.before), (Some(10), Some(17)));
    // Without the mark as well: another's log is only judged by what it shows.
    disk.remove(&dir().join("zabkeeper.mark")).unwrap();
    assert_eq!(corrupt(look(&disk)), why);
}

#[test]
fn an_unfinished_batch_is_cut_off_whatever_of_it_arrived() {
    let disk = disk();
    let mut writer = start(
        &disk,
        Options {
            prealloc: 65_536,
            ..NO_PADDING
        },
    );
    fill(&mut writer, 1..=3, 100);
    for zxid in 4..=40 {
        writer.append(zxid, &payload(zxid, 100, 0)).unwrap();
    }
    disk.fail_next(Fault::Sync);
    assert!(matches!(
        writer.sync(),
        Err(Error::Io {
            action: "fsync",
            ..
        })
    ));
    let path = dir().join("log.1");
    // One sector in the middle of the batch never made it.
    disk.tamper(&path, |bytes| bytes[2048..2560].fill(0));
    let found = look(&disk).unwrap();
    let torn = found.torn.clone().unwrap();
    assert!(!torn.was_durable && torn.first_zxid > 3, "{torn:?}");
    assert_eq!(torn.last_zxid, 40);
    repair(&*disk, &dir(), &found).unwrap();
    assert_eq!(look(&disk).unwrap().last_zxid, Some(torn.first_zxid - 1));
    // Garbage in its place is no lost sector.
    disk.tamper(&path, |bytes| {
        bytes.truncate(16);
        for zxid in 1..=40 {
            txn_log::encode_payload(&payload(zxid, 100, 0), bytes);
        }
        bytes[2048..2560].fill(0x77);
    });
    corrupt(look(&disk));
}

#[test]
fn a_damaged_earlier_segment_stops_the_start() {
    let disk = foreign(&[(1, &[1, 2, 3]), (4, &[4, 5])]);
    assert_eq!(look(&disk).unwrap().last_zxid, Some(5));
    let first = dir().join("log.1");
    let whole = disk.bytes(&first).unwrap();
    for at in 0..whole.len() {
        // The database id is not looked at, as in Java.
        if (8..16).contains(&at) {
            continue;
        }
        disk.tamper(&first, |bytes| {
            *bytes = whole.clone();
            bytes[at] ^= 0x55;
        });
        let why = corrupt(look(&disk));
        assert_eq!(why.file, first, "byte {at}");
        assert_eq!(why.before, Some(4), "byte {at}");
    }
    for size in 0..whole.len() {
        disk.tamper(&first, |bytes| {
            *bytes = whole.clone();
            bytes.truncate(size);
        });
        assert!(look(&disk).is_err(), "cut to {size}");
    }
}

#[test]
fn holes_are_refused_with_file_and_offset() {
    let disk = foreign(&[(1, &[1, 2, 4, 5])]);
    match look(&disk) {
        Err(Error::Hole {
            file,
            offset,
            after: 2,
            found: 4,
        }) => {
            assert_eq!((file, offset), (dir().join("log.1"), 16 + 2 * 85));
        }
        other => panic!("{other:?}"),
    }
    for segments in [
        &[(1, &[1, 2][..]), (4, &[4][..])][..],
        &[(1, &[]), (2, &[2])],
    ] {
        let disk = foreign(segments);
        assert!(
            matches!(look(&disk), Err(Error::Hole { .. })),
            "{:?}",
            look(&disk)
        );
    }
    let backward = foreign(&[(1, &[1, 2, 3, 2])]);
    assert_eq!(corrupt(look(&backward)).why, "a zxid goes backward");
    let renamed = foreign(&[(2, &[1, 2])]);
    assert_eq!(corrupt(look(&renamed)).before, Some(1));
}

#[test]
fn an_equal_zxid_is_dropped() {
    let disk = foreign(&[(1, &[1, 2, 2, 3]), (3, &[3, 4])]);
    let found = look(&disk).unwrap();
    assert_eq!((found.last_zxid, found.duplicates), (Some(4), 2));
    assert_eq!(read_all(&disk, 1, 4).unwrap(), [1, 2, 3, 4]);
}

#[test]
fn a_new_epoch_is_no_hole() {
    let epoch = |e: i64, n: i64| (e << 32) | n;
    let disk = foreign(&[
        (1, &[1, 2]),
        (epoch(1, 1), &[epoch(1, 1), epoch(1, 2), epoch(3, 1)]),
    ]);
    let found = look(&disk).unwrap();
    assert_eq!(found.last_zxid, Some(epoch(3, 1)));
    let all = [1, 2, epoch(1, 1), epoch(1, 2), epoch(3, 1)];
    assert_eq!(read_all(&disk, 1, epoch(3, 1)).unwrap(), all);
    assert_eq!(read_all(&disk, 3, epoch(3, 1)).unwrap(), all[2..]);
    let disk = foreign(&[(1, &[1, 2, epoch(2, 2)])]);
    assert!(matches!(look(&disk), Err(Error::Hole { .. })));
}

#[test]
fn what_java_leaves_of_a_torn_tail_is_no_damage() {
    // Java went on after zxid 2 in a new file and left its torn record where it was.
    let disk = foreign(&[(1, &[1, 2, 3]), (3, &[3, 4])]);
    disk.tamper(&dir().join("log.1"), |bytes| {
        bytes.truncate(bytes.len() - 7)
    });
    let found = look(&disk).unwrap();
    assert_eq!((found.last_zxid, found.torn), (Some(4), None));
    assert_eq!(read_all(&disk, 1, 4).unwrap(), [1, 2, 3, 4]);
}

#[test]
fn a_torn_tail_before_an_empty_last_file_goes_with_it() {
    // Java began log.3 over the torn record and was stopped before it held one.
    let disk = foreign(&[(1, &[1, 2, 3, 4])]);
    disk.tamper(&dir().join("log.1"), |bytes| bytes[16 + 2 * 85 + 20] ^= 1);
    disk.tamper(&dir().join("log.3"), |_| ());
    let found = look(&disk).unwrap();
    assert_eq!(found.last_zxid, Some(2));
    repair(&*disk, &dir(), &found).unwrap();
    let again = look(&disk).unwrap();
    assert_eq!(
        (again.last_zxid, again.torn, again.empty.len()),
        (Some(2), None, 0)
    );
}

#[test]
fn an_empty_last_file_goes_and_an_empty_earlier_one_stops_the_start() {
    let disk = foreign(&[(1, &[1, 2])]);
    disk.tamper(&dir().join("log.3"), |_| ());
    let found = look(&disk).unwrap();
    assert_eq!(found.empty, [dir().join("log.3")]);
    repair(&*disk, &dir(), &found).unwrap();
    assert_eq!(disk.bytes(&dir().join("log.3")), None);
    disk.tamper(&dir().join("log.2"), |_| ());
    disk.tamper(&dir().join("log.3"), |bytes| {
        bytes.extend_from_slice(&jute::Encode::to_vec(&txn_log::HEADER));
        txn_log::encode_payload(&payload(3, 40, 0), bytes);
    });
    assert!(look(&disk).is_err());
}

#[test]
fn a_record_inside_data_is_none_of_the_log() {
    // The damaged last record carries, as its data, a whole record of an earlier zxid.
    let disk = foreign(&[(1, &[1, 2, 3])]);
    let path = dir().join("log.1");
    disk.tamper(&path, |bytes| {
        let mut data = payload(4, 0, 0);
        txn_log::encode_payload(&payload(2, 10, 0), &mut data);
        txn_log::encode_payload(&payload(900, 10, 0), &mut data);
        txn_log::encode_payload(&data, bytes);
        let last = bytes.len() - 1;
        bytes[last] = 0;
    });
    let found = look(&disk).unwrap();
    assert_eq!(found.last_zxid, Some(3));
    assert_eq!(found.torn.unwrap().first_zxid, 4);
}

#[test]
fn the_probe_is_found() {
    let (disk, _) = written(5);
    let found = scan(&*disk, &dir(), ScanOptions { probe: Some(3) }).unwrap();
    let probe = found.probe.unwrap();
    assert_eq!(
        (probe.zxid, probe.payload),
        (3, payload(3, 100 - 32 - txn_log::OVERHEAD, 0))
    );
    assert_eq!(probe.checksum, txn_log::checksum(&payload(3, 55, 0)));
    let found = scan(&*disk, &dir(), ScanOptions { probe: Some(6) }).unwrap();
    assert_eq!(found.probe, None);
}

#[test]
fn rolling_and_padding() {
    let disk = disk();
    let options = Options {
        prealloc: 8_192,
        segment_size: 1_000,
        segment_records: 0,
        force_sync: true,
    };
    let mut writer = start(&disk, options);
    fill(&mut writer, 1..=25, 55);
    // The segment being written is grown ahead with zeros, finished ones end with their records.
    let open = writer.segment().unwrap().clone();
    assert_eq!(disk.bytes(&open.path).unwrap().len(), 8_192);
    let finished = writer.take_finished();
    assert_eq!(finished.len(), 2);
    for segment in &finished {
        assert_eq!(disk.bytes(&segment.path).unwrap().len() as u64, segment.end);
        assert_eq!(segment.records, 10);
    }
    let found = look(&disk).unwrap();
    let mut all = finished;
    all.push(open);
    assert_eq!(found.segments, all);
    assert_eq!(found.torn, None, "padding is no damage");
    writer.close().unwrap();
    assert_eq!(look(&disk).unwrap().segments, all);
    assert_eq!(disk.bytes(&all[2].path).unwrap().len() as u64, all[2].end);
    for from in 1..=25 {
        assert_eq!(
            read_all(&disk, from, 25).unwrap(),
            (from..=25).collect::<Vec<_>>()
        );
    }
    assert_eq!(read_all(&disk, 26, 25).unwrap(), []);
    assert_eq!(
        read_all(&disk, 4, 12).unwrap(),
        (4..=12).collect::<Vec<_>>()
    );
}

#[test]
fn the_reader_follows_a_growing_log() {
    let disk = disk();
    let options = Options {
        prealloc: 8_192,
        segment_size: 1_000,
        segment_records: 0,
        force_sync: true,
    };
    let mut writer = start(&disk, options);
    fill(&mut writer, 1..=3, 55);
    let mut reader = Reader::open(disk.clone(), &dir(), 2, writer.durable()).unwrap();
    let mut seen = Vec::new();
    for batch in 0..8 {
        while let Some(record) = reader.next_record().unwrap() {
            seen.push(record.zxid);
        }
        fill(&mut writer, 4 + batch * 3..7 + batch * 3, 55);
        reader.extend(writer.durable()).unwrap();
    }
    while let Some(record) = reader.next_record().unwrap() {
        seen.push(record.zxid);
    }
    assert_eq!(seen, (2..=27).collect::<Vec<_>>());
}

#[test]
fn the_reader_refuses_what_is_not_there() {
    let disk = foreign(&[(5, &[5, 6])]);
    assert!(matches!(
        read_all(&disk, 4, 6),
        Err(Error::Hole {
            after: 3,
            found: 5,
            ..
        })
    ));
    assert!(matches!(read_all(&disk, 5, 7), Err(Error::Corrupt(_))));
    assert!(matches!(
        read_all(&ModelFiles::new().into(), 1, 1),
        Err(Error::Hole { .. })
    ));
}

#[test]
fn truncate_cuts_right_after_the_zxid() {
    for cut in 0..=25 {
        let disk = disk();
        let options = Options {
            prealloc: 8_192,
            segment_size: 1_000,
            segment_records: 0,
            force_sync: true,
        };
        let mut writer = start(&disk, options);
        fill(&mut writer, 1..=25, 55);
        truncate(&*disk, &dir(), cut, 0).unwrap();
        let found = look(&disk).unwrap();
        assert_eq!(found.last_zxid, (cut > 0).then_some(cut));
        assert_eq!(found.torn, None);
        let mut writer = start(&disk, options);
        fill(&mut writer, cut + 1..=cut + 3, 55);
        assert_eq!(read_all(&disk, 1, cut + 3).unwrap().len() as i64, cut + 3);
    }
    let disk = foreign(&[(5, &[5, 6])]);
    assert!(matches!(
        truncate(&*disk, &dir(), 4, 0),
        Err(Error::Refused { .. })
    ));
    truncate(&*disk, &dir(), 9, 0).unwrap();
    assert_eq!(look(&disk).unwrap().last_zxid, Some(6));
}

#[test]
fn a_failed_write_or_sync_closes_the_log_for_good() {
    for fault in [Fault::Write { after: 10 }, Fault::Sync, Fault::SyncDir] {
        let disk = disk();
        let mut writer = start(&disk, NO_PADDING);
        writer.append(1, &payload(1, 10, 0)).unwrap();
        disk.fail_next(fault);
        assert!(matches!(writer.sync(), Err(Error::Io { .. })), "{fault:?}");
        assert!(writer.is_poisoned());
        let calls = disk.calls();
        assert!(matches!(writer.sync(), Err(Error::Poisoned)));
        assert!(matches!(
            writer.append(2, &payload(2, 10, 0)),
            Err(Error::Poisoned)
        ));
        assert_eq!(disk.calls(), calls, "nothing is tried again");
        assert_eq!(writer.durable(), 0);
    }
}

#[test]
fn a_late_sync_that_failed_is_not_tried_again() {
    let disk = disk();
    let mut writer = start(
        &disk,
        Options {
            force_sync: false,
            segment_records: 3,
            ..NO_PADDING
        },
    );
    let late = writer.late_sync().expect("without fsync there is one");
    late.sync().expect("nothing to do");
    fill(&mut writer, 1..=2, 20);
    disk.fail_next(Fault::Sync);
    assert!(late.sync().unwrap_err().to_string().contains("log.1"));
    assert!(matches!(late.sync(), Err(Error::Poisoned)));
    // The writer, too, stops where it relies on it: at the end of the segment.
    fill(&mut writer, 3..=3, 20);
    writer.append(4, &payload(4, 20, 0)).unwrap();
    assert!(matches!(writer.sync(), Err(Error::Poisoned)));
    assert!(writer.is_poisoned());
    assert!(
        start(&common::disk(), NO_PADDING).late_sync().is_none(),
        "with fsync there is none"
    );
}

#[test]
fn a_full_disk_is_named_and_loses_nothing_acknowledged() {
    let disk = disk();
    let mut writer = start(
        &disk,
        Options {
            prealloc: 65_536,
            ..NO_PADDING
        },
    );
    disk.set_capacity(Some(2_000));
    let mut durable = 0;
    let error = loop {
        writer
            .append(durable + 1, &payload(durable + 1, 55, 0))
            .unwrap();
        match writer.sync() {
            Ok(zxid) => durable = zxid,
            Err(e) => break e,
        }
    };
    assert!(error.is_disk_full(), "{error}");
    assert!(
        durable > 15,
        "records still go where growing ahead does not fit: {durable}"
    );
    let found = look(&disk).unwrap();
    assert_eq!(found.last_zxid, Some(durable));
    assert_eq!(
        found.torn.as_ref().map(|t| (t.first_zxid, t.was_durable)),
        Some((durable + 1, false))
    );
    repair(&*disk, &dir(), &found).unwrap();
}

#[test]
fn misuse_is_refused_before_anything_is_written() {
    let disk = disk();
    let mut writer = start(&disk, NO_PADDING);
    for (zxid, bytes) in [
        (2, payload(2, 0, 0)),
        (1, payload(2, 0, 0)),
        (1, vec![0; 31]),
    ] {
        assert!(matches!(writer.append(zxid, &bytes), Err(Error::Misuse(_))));
    }
    writer.append(1, &payload(1, 0, 0)).unwrap();
    assert_eq!(writer.sync().unwrap(), 1);
    let found = look(&disk).unwrap();
    assert!(matches!(
        Writer::open(disk.clone(), &dir(), NO_PADDING, &found, 0),
        Err(Error::Misuse(_))
    ));
}

#[test]
fn what_a_failed_sync_left_in_memory_is_durable_after_the_next_start() {
    // The first sync of a segment and a later one; whatever the disk then forgets.
    for failing in [1, 2] {
        for seed in 0..40 {
            let disk = disk();
            let mut writer = start(&disk, NO_PADDING);
            fill(&mut writer, 1..failing, 600);
            for zxid in failing..failing + 4 {
                writer.append(zxid, &payload(zxid, 600, 0)).unwrap();
            }
            disk.fail_next(Fault::Sync);
            assert!(writer.sync().is_err());
            disk.kill();
            // They are read back, so clients are shown them from now on.
            let mut writer = start(&disk, NO_PADDING);
            assert_eq!(writer.durable(), failing + 3);
            fill(&mut writer, [failing + 4], 600);
            let mut dice = common::Dice(seed);
            disk.crash(&mut || dice.roll());
            let found = look(&disk).unwrap();
            assert_eq!(found.last_zxid, Some(failing + 4), "seed {seed}");
        }
    }
}
