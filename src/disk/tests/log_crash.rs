//! The log over a disk that forgets: whatever is lost, a start finds a prefix of what was
//! appended that holds everything acknowledged, and nothing else.

mod common;

use std::sync::Arc;

use common::{Dice, dir, disk, payload};
use zk_disk::files::Files;
use zk_disk::log::{Options, Reader, Recovered, ScanOptions, Writer, repair, scan};
use zk_disk::model::{Fault, ModelFiles};

/// What one life of the server did.
struct World {
    disk: Arc<ModelFiles>,
    /// Payloads by zxid - 1, as far as any of them may be found.
    history: Vec<Vec<u8>>,
    acknowledged: usize,
}

fn small(dice: &mut Dice) -> Options {
    Options {
        prealloc: [0, 4096, 16_384][dice.below(3) as usize],
        segment_size: 2_000 + dice.below(20_000),
        segment_records: if dice.chance(3) { 20 } else { 0 },
        force_sync: true,
    }
}

fn recover(world: &mut World) -> Result<Recovered, String> {
    let files: &dyn Files = &*world.disk;
    let found = scan(files, &dir(), ScanOptions::default()).map_err(|e| e.to_string())?;
    let last = found.last_zxid.unwrap_or(0) as usize;
    if last < world.acknowledged {
        return Err(format!(
            "{} was acknowledged, the log ends at {last}: {found:?}",
            world.acknowledged
        ));
    }
    if last > world.history.len() {
        return Err(format!(
            "only {} were appended, the log ends at {last}",
            world.history.len()
        ));
    }
    if let Some(torn) = &found.torn
        && torn.was_durable
    {
        return Err(format!("nothing durable was damaged, yet {torn:?}"));
    }
    world.history.truncate(last);
    world.acknowledged = last;
    repair(files, &dir(), &found).map_err(|e| e.to_string())?;
    let again = scan(files, &dir(), ScanOptions::default()).map_err(|e| e.to_string())?;
    if again.torn.is_some() || !again.empty.is_empty() || again.segments != found.segments {
        return Err(format!("repair did not settle: {found:?} then {again:?}"));
    }
    Ok(again)
}

fn check_reader(world: &World, from: i64) -> Result<(), String> {
    let until = world.history.len() as i64;
    let mut reader =
        Reader::open(world.disk.clone(), &dir(), from, until).map_err(|e| e.to_string())?;
    let mut want = from;
    while let Some(record) = reader.next_record().map_err(|e| e.to_string())? {
        if record.zxid != want || record.payload != world.history[want as usize - 1] {
            return Err(format!("read {:#x} instead of {want:#x}", record.zxid));
        }
        want += 1;
    }
    if want > until {
        Ok(())
    } else {
        Err(format!("the reader ended before {want:#x}"))
    }
}

/// One life: opens, appends and syncs until something fails or time is up.
fn live(
    world: &mut World,
    found: &Recovered,
    dice: &mut Dice,
    options: Options,
) -> Result<(), zk_disk::Error> {
    let base = found.last_zxid.unwrap_or(0);
    let mut writer = Writer::open(world.disk.clone(), &dir(), options, found, base)?;
    for _ in 0..dice.below(12) {
        for _ in 0..=dice.below(12) {
            let zxid = world.history.len() as i64 + 1;
            let len = if dice.chance(20) {
                3_000
            } else {
                dice.below(300)
            } as usize;
            let bytes = payload(zxid, len, dice.roll());
            writer.append(zxid, &bytes)?;
            world.history.push(bytes);
        }
        if dice.chance(15) {
            writer.roll();
        }
        world.acknowledged = writer.sync()? as usize;
        assert_eq!(world.acknowledged, world.history.len());
    }
    if dice.chance(4) {
        writer.close()?;
    }
    Ok(())
}

fn run(seed: u64, force_sync: bool) -> Result<(), String> {
    let mut dice = Dice(seed);
    let mut world = World {
        disk: disk(),
        history: Vec::new(),
        acknowledged: 0,
    };
    for _ in 0..6 {
        let found = recover(&mut world)?;
        if !world.history.is_empty() {
            let from = 1 + dice.below(world.history.len() as u64) as i64;
            check_reader(&world, from)?;
        }
        match dice.below(8) {
            0 => world.disk.fail_after(Fault::Sync, dice.below(12)),
            1 => world.disk.fail_after(Fault::SyncDir, dice.below(4)),
            2 => world.disk.fail_next(Fault::Write {
                after: dice.below(2_000) as usize,
            }),
            3 => world.disk.set_capacity(Some(dice.below(60_000))),
            4 | 5 => world.disk.stop_at(dice.below(40)),
            _ => {}
        }
        let options = Options {
            force_sync,
            ..small(&mut dice)
        };
        // An error ends this life, as it ends the process.
        let _ = live(&mut world, &found, &mut dice, options);
        world.disk.set_capacity(None);
        if dice.chance(4) {
            world.disk.kill();
        } else {
            world.disk.crash(&mut || dice.roll());
        }
    }
    recover(&mut world).map(|_| ())
}

#[test]
fn nothing_acknowledged_is_lost() {
    for seed in common::seeds(500) {
        if let Err(why) = run(seed, true) {
            panic!("seed {seed}: {why}");
        }
    }
}

#[test]
fn without_fsync_the_check_fails() {
    let failed = (0..200).filter(|seed| run(*seed, false).is_err()).count();
    assert!(
        failed > 20,
        "a log that is never synced passed all but {failed} of 200 seeds"
    );
}

#[test]
fn every_kill_point_of_one_history() {
    // Enough to roll twice; then the machine is switched off in front of each call in turn.
    let options = Options {
        prealloc: 4096,
        segment_size: 3_000,
        segment_records: 0,
        force_sync: true,
    };
    let history = |world: &mut World, found: &Recovered| -> Result<(), zk_disk::Error> {
        let mut writer = Writer::open(world.disk.clone(), &dir(), options, found, 0)?;
        for batch in 0..12 {
            for _ in 0..=batch % 4 {
                let zxid = world.history.len() as i64 + 1;
                let bytes = payload(zxid, 300, 1);
                writer.append(zxid, &bytes)?;
                world.history.push(bytes);
            }
            world.acknowledged = writer.sync()? as usize;
        }
        Ok(())
    };
    let new = || World {
        disk: disk(),
        history: Vec::new(),
        acknowledged: 0,
    };
    let mut world = new();
    let found = recover(&mut world).unwrap();
    world.disk.kill();
    history(&mut world, &found).unwrap();
    let calls = world.disk.calls();
    assert!(calls > 40, "{calls}");
    for call in 0..=calls {
        for seed in 0..20 {
            let mut dice = Dice(seed);
            let mut world = new();
            let found = recover(&mut world).unwrap();
            world.disk.kill();
            world.disk.stop_at(call);
            // The very last call only moves the mark, whose failure is no harm.
            assert_eq!(history(&mut world, &found).is_ok(), call + 1 >= calls);
            world.disk.crash(&mut || dice.roll());
            if let Err(why) = recover(&mut world) {
                panic!("call {call} seed {seed}: {why}");
            }
        }
    }
}

#[test]
fn kill_points_of_repair_and_truncate() {
    for seed in common::seeds(300) {
        let mut dice = Dice(seed);
        let mut world = World {
            disk: disk(),
            history: Vec::new(),
            acknowledged: 0,
        };
        let found = recover(&mut world).unwrap();
        let options = Options {
            segment_size: 2_000,
            ..small(&mut dice)
        };
        live(&mut world, &found, &mut dice, options).unwrap();
        if world.history.is_empty() {
            continue;
        }
        let cut = dice.below(world.history.len() as u64 + 1) as i64;
        world.disk.kill();
        world.disk.stop_at(dice.below(12));
        let done = zk_disk::log::truncate(&*world.disk, &dir(), cut, 0).is_ok();
        world.disk.crash(&mut || dice.roll());
        world.acknowledged = cut as usize;
        if done {
            world.history.truncate(cut as usize);
        }
        let found = recover(&mut world).unwrap_or_else(|why| panic!("seed {seed}: {why}"));
        // A start that is switched off while it repairs.
        world.disk.kill();
        world.disk.stop_at(dice.below(4));
        let _ = live(&mut world, &found, &mut dice, options);
        world.disk.crash(&mut || dice.roll());
        let half = scan(&*world.disk, &dir(), ScanOptions::default()).unwrap();
        world.disk.stop_at(dice.below(3));
        let _ = repair(&*world.disk, &dir(), &half);
        world.disk.crash(&mut || dice.roll());
        recover(&mut world).unwrap_or_else(|why| panic!("seed {seed}: {why}"));
    }
}
