//! Cutting a log that is in use, what a log holds, and readers that purge must wait for.

mod common;

use std::sync::Arc;

use common::{Dice, dir, disk, payload};
use zk_disk::Error;
use zk_disk::files::Files;
use zk_disk::log::{
    LogContents, Mark, Options, PinnedReader, Pins, Reader, Recovered, ScanOptions, Segment,
    Writer, repair, scan,
};
use zk_disk::model::ModelFiles;
use zk_disk::purge::{self, Window};

const SMALL: Options = Options {
    prealloc: 4096,
    segment_size: 500,
    segment_records: 0,
    force_sync: true,
};

/// A log behind the zxid 0x1_0000_0009: the rest of that epoch and two more, in several segments.
const BASE: i64 = 0x1_0000_0009;

fn zxids() -> Vec<i64> {
    let epoch = |epoch: i64, from: i64, to: i64| (from..=to).map(move |n| epoch << 32 | n);
    let all = epoch(1, 10, 15).chain(epoch(2, 1, 8)).chain(epoch(5, 1, 7));
    all.collect()
}

fn look(disk: &Arc<ModelFiles>) -> Recovered {
    let files: &dyn Files = &**disk;
    let found = scan(files, &dir(), ScanOptions::default()).unwrap();
    repair(files, &dir(), &found).unwrap();
    scan(files, &dir(), ScanOptions::default()).unwrap()
}

fn open(disk: &Arc<ModelFiles>, options: Options) -> Writer {
    let found = look(disk);
    let base = found.last_zxid.unwrap_or(BASE);
    Writer::open(disk.clone(), &dir(), options, &found, base).unwrap()
}

fn fill(writer: &mut Writer, zxids: &[i64]) {
    for zxid in zxids {
        writer.append(*zxid, &payload(*zxid, 90, 0)).unwrap();
        writer.sync().unwrap();
    }
}

fn all(disk: &Arc<ModelFiles>) -> Vec<i64> {
    let found = look(disk);
    let Some((first, last)) = found.first_zxid.zip(found.last_zxid) else {
        return Vec::new();
    };
    let mut reader = Reader::open(disk.clone(), &dir(), first, last).unwrap();
    let mut read = Vec::new();
    while let Some(record) = reader.next_record().unwrap() {
        read.push(record.zxid);
    }
    read
}

#[test]
fn a_writer_goes_on_behind_a_cut() {
    for force_sync in [true, false] {
        let options = Options {
            force_sync,
            ..SMALL
        };
        let mut cuts = zxids();
        cuts.push(BASE);
        for zxid in cuts {
            let disk = disk();
            let mut writer = open(&disk, options);
            fill(&mut writer, &zxids());
            let mut segments = writer.take_finished();
            let cut = writer.cut(zxid, BASE).unwrap();
            assert_eq!(
                (cut.end, writer.durable(), writer.appended()),
                (zxid, zxid, zxid)
            );
            segments.extend(writer.take_finished());
            cut.apply(&mut segments);
            assert_eq!(segments.last().map_or(BASE, |s| s.last), zxid);
            let mut kept: Vec<i64> = zxids().into_iter().filter(|z| *z <= zxid).collect();
            assert_eq!(all(&disk), kept);
            let found: Vec<Segment> = look(&disk).segments;
            assert_eq!(segments, found);
            // The same zxid once more, with other contents, and a later epoch.
            let more = [zxid + 1, zxid + 2, 0x9_0000_0001];
            fill(&mut writer, &more);
            kept.extend(more);
            assert_eq!(all(&disk), kept);
            writer.close().unwrap();
            assert_eq!(look(&disk).last_zxid, Some(0x9_0000_0001));
        }
    }
}

#[test]
fn the_start_of_an_epoch_is_the_end_of_what_was_before_it() {
    for (zxid, end) in [
        (5_i64 << 32, 0x2_0000_0008),
        (4 << 32, 0x2_0000_0008),
        (2 << 32, 0x1_0000_000f),
        (7 << 32, 0x5_0000_0007),
    ] {
        let disk = disk();
        let mut writer = open(&disk, SMALL);
        fill(&mut writer, &zxids());
        assert_eq!(writer.cut(zxid, BASE).unwrap().end, end);
        assert_eq!(all(&disk).last(), Some(&end));
        fill(&mut writer, &[zxid | 1]);
    }
    // Nothing was written yet behind the base, or only of a later epoch.
    let disk = disk();
    let mut writer = open(&disk, SMALL);
    assert_eq!(writer.cut(2 << 32, BASE).unwrap().end, BASE);
    fill(&mut writer, &[0x2_0000_0001]);
    assert_eq!(writer.cut(2 << 32, BASE).unwrap().end, BASE);
    assert_eq!(all(&disk), []);
    fill(&mut writer, &[0x2_0000_0001]);
}

#[test]
fn what_the_log_does_not_hold_is_refused_and_changes_nothing() {
    let disk = disk();
    let mut writer = open(&disk, SMALL);
    fill(&mut writer, &zxids());
    for zxid in [
        0,
        1,
        BASE - 1,
        1 << 32,
        0x1_0000_0010,
        0x2_0000_0009,
        0x5_0000_0008,
        0x6_0000_0001,
    ] {
        let refused = writer.cut(zxid, BASE);
        assert!(
            matches!(refused, Err(Error::Refused { .. })),
            "{zxid:#x}: {refused:?}"
        );
        assert_eq!(all(&disk), zxids());
    }
    fill(&mut writer, &[0x5_0000_0008]);
    assert_eq!(all(&disk).len(), zxids().len() + 1);
    // Beside nothing but a store nothing before it can be cut to.
    let disk = common::disk();
    let mut writer = open(&disk, SMALL);
    assert!(matches!(
        writer.cut(BASE - 1, BASE),
        Err(Error::Refused { .. })
    ));
    // A log that was purged does not follow its base any more.
    fill(&mut writer, &zxids());
    disk.remove(&dir().join(format!("log.{:x}", zxids()[0])))
        .unwrap();
    assert!(writer.cut(BASE, BASE).is_err());
}

#[test]
fn a_crash_at_every_call_of_a_cut_leaves_a_prefix_that_holds_what_is_kept() {
    for zxid in [BASE, 0x1_0000_000b, 0x2_0000_0002, 0x5_0000_0007] {
        let life = |stop: Option<u64>| {
            let disk = disk();
            let mut writer = open(&disk, SMALL);
            fill(&mut writer, &zxids());
            let before = disk.calls();
            if let Some(stop) = stop {
                disk.stop_at(before + stop);
            }
            let done = writer.cut(zxid, BASE).is_ok();
            (disk.clone(), done, disk.calls() - before)
        };
        let (_, done, calls) = life(None);
        assert!(done && calls > 2);
        for stop in 0..=calls {
            for seed in 0..20 {
                let (disk, done, _) = life(Some(stop));
                let mut dice = Dice(seed);
                disk.crash(&mut || dice.roll());
                let left = all(&disk);
                assert_eq!(left, zxids()[..left.len()], "no hole");
                let end = left.last().copied().unwrap_or(BASE);
                assert!(end >= zxid && (!done || end == zxid), "{stop} {seed}");
                let mut writer = open(&disk, SMALL);
                writer.cut(zxid, BASE).unwrap();
                fill(&mut writer, &[zxid + 1]);
                assert_eq!(all(&disk).last(), Some(&(zxid + 1)));
            }
        }
    }
}

#[test]
fn the_mark_tells_what_is_committed_and_never_more_than_is_there() {
    let disk = disk();
    let committed = || Mark::read(&*disk, &dir()).unwrap().unwrap().committed;
    let mut writer = open(&disk, SMALL);
    let all = zxids();
    fill(&mut writer, &all[..3]);
    assert_eq!(committed(), 0);
    writer.set_committed(all[1]);
    assert_eq!(committed(), 0, "with the next sync");
    fill(&mut writer, &all[3..5]);
    assert_eq!(committed(), all[1]);
    // Others have committed what this log does not have yet.
    writer.set_committed(all[12]);
    writer.set_committed(all[1]);
    fill(&mut writer, &all[5..6]);
    assert_eq!(committed(), all[5]);
    writer.cut(all[4], BASE).unwrap();
    assert_eq!(committed(), all[4]);
    fill(&mut writer, &all[5..6]);
    writer.set_committed(all[5]);
    writer.close().unwrap();
    assert_eq!(committed(), all[5], "closed in order");
    let writer = open(&disk, SMALL);
    assert_eq!(committed(), all[5]);
    drop(writer);
    zk_disk::log::truncate(&*disk, &dir(), all[0], BASE).unwrap();
    assert_eq!(committed(), all[0]);
}

#[test]
fn a_log_is_told_in_ranges() {
    let disk = disk();
    let empty = LogContents {
        floor: BASE,
        ..LogContents::default()
    };
    assert_eq!(look(&disk).contents(BASE), empty);
    assert_eq!(empty.end(), BASE);
    let mut writer = open(&disk, SMALL);
    fill(&mut writer, &zxids());
    writer.close().unwrap();
    let contents = look(&disk).contents(BASE);
    assert_eq!(contents.floor, BASE);
    let ranges = [
        (1, 0x1_0000_000a, 0x1_0000_000f),
        (2, 0x2_0000_0001, 0x2_0000_0008),
        (5, 0x5_0000_0001, 0x5_0000_0007),
    ];
    assert_eq!(contents.ranges, ranges);
    assert_eq!(contents.end(), 0x5_0000_0007);
    let bytes = |first: i64| {
        let path = dir().join(format!("log.{first:x}"));
        disk.bytes(&path).unwrap().len() as u64
    };
    assert!(contents.segments.len() > 3);
    for (first, end) in &contents.segments {
        assert_eq!(bytes(*first), *end);
    }
    // Purged, the floor is the zxid before.
    let path = dir().join(format!("log.{:x}", zxids()[0]));
    disk.remove(&path).unwrap();
    let contents = look(&disk).contents(BASE);
    assert_eq!(contents.floor, contents.segments[0].0 - 1);
    assert_eq!(contents.ranges[0].1, contents.segments[0].0);
    // A log that begins with an epoch follows whatever was before it.
    for (base, floor) in [(BASE, BASE), (0x2_0000_0003, 2 << 32)] {
        let mut found = look(&disk);
        found.first_zxid = Some(0x2_0000_0001);
        assert_eq!(found.contents(base).floor, floor);
    }
}

#[test]
fn purge_waits_for_readers() {
    let disk = disk();
    let mut writer = open(&disk, SMALL);
    fill(&mut writer, &zxids());
    let end = writer.durable();
    writer.close().unwrap();
    let pins = Pins::new();
    let purge = |pins: &Pins| {
        let segments = look(&disk).segments;
        pins.during(|readers| {
            let plan = purge::decide(&purge::Facts {
                segments: &segments,
                persisted: end,
                window: Window { txns: 0, bytes: 0 },
                snapshots: &[],
                readers,
            });
            purge::execute(&*disk, &dir(), &plan).unwrap();
            plan.remove.len()
        })
    };
    let first = zxids()[0];
    let open = |from| PinnedReader::open(disk.clone(), &dir(), &pins, from, end);
    let mut reader = open(first).unwrap();
    assert_eq!(pins.lowest(), Some(first));
    assert_eq!(purge(&pins), 0);
    let (mut read, mut purged) = (Vec::new(), 0);
    while let Some(record) = reader.next_record().unwrap() {
        read.push(record.zxid);
        // Whatever is purged between, nothing that is still to come.
        purged += purge(&pins);
    }
    assert_eq!(read, zxids());
    assert!(purged > 2, "the reader gives back what it has passed");
    drop(reader);
    assert_eq!(pins.lowest(), None);
    purge(&pins);
    assert_eq!(look(&disk).segments.len(), 1);
    assert!(matches!(open(first), Err(Error::Hole { .. })));
    assert_eq!(
        pins.lowest(),
        None,
        "a reader that was refused pins nothing"
    );
}
