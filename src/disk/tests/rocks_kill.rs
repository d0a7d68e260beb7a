//! RocksDB without its log, killed at random moments: reopened, every family is at one and the
//! same write, at or after the last flush that returned.
//!
//! The process that is killed is this program itself, started with `child`, so this test has no
//! harness.

mod common;

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use common::{Dice, Truth, batch_of};
use zk_disk::rocks::RocksStore;
use zk_disk::store::{Merged, Store};

const KILLS: u64 = 12;

/// The truth after so many transactions: the same in every process.
fn truth_at(zxid: i64) -> (Truth, Dice) {
    let (mut truth, mut dice) = (Truth::default(), Dice(42));
    while truth.zxid < zxid {
        batch_of(&mut truth, &mut dice);
    }
    (truth, dice)
}

/// Goes on from where the store is, writing and flushing without end, and says what is durable.
fn child(folder: &Path) -> Result<(), Box<dyn std::error::Error>> {
    let store = RocksStore::open(folder)?;
    let at = store.meta()?.map_or(0, |m| m.tree.zxid.0);
    let (mut truth, mut dice) = truth_at(at);
    let mut own = Dice(at as u64);
    let mut out = std::io::stdout().lock();
    writeln!(out, "{at}")?;
    loop {
        let mut merged = Merged::new();
        for _ in 0..=own.below(20) {
            merged.add(&batch_of(&mut truth, &mut dice));
        }
        store.write(&merged)?;
        if own.chance(5) {
            writeln!(out, "{}", store.flush()?)?;
            out.flush()?;
        }
    }
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [word, folder] = &arguments[..]
        && word == "child"
    {
        let error = child(Path::new(folder)).unwrap_err();
        // A pipe that nobody reads any more is the parent's end.
        eprintln!("child: {error}");
        std::process::exit(1);
    }
    let folder = tempfile::tempdir().unwrap();
    let mut dice = Dice(7);
    let (mut lost, mut last) = (0, 0);
    for kill in 0..KILLS {
        let mut process = Command::new(std::env::current_exe().unwrap())
            .args(["child".as_ref(), folder.path().as_os_str()])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
        // A few flushes, then a moment that falls anywhere, within a flush among others.
        let mut flushed = 0;
        for _ in 0..3 + dice.below(10) {
            flushed = lines.next().unwrap().unwrap().parse().unwrap();
        }
        std::thread::sleep(Duration::from_micros(dice.below(20_000)));
        process.kill().unwrap();
        process.wait().unwrap();
        let flushed = lines
            .map_while(Result::ok)
            .filter_map(|l| l.parse().ok())
            .last()
            .unwrap_or(flushed);
        let store = RocksStore::open(folder.path()).unwrap();
        let at = store.meta().unwrap().unwrap().tree.zxid.0;
        assert!(
            at >= flushed && at >= last,
            "kill {kill}: at {at}, flushed {flushed}, before {last}"
        );
        truth_at(at)
            .0
            .check(&store)
            .unwrap_or_else(|why| panic!("kill {kill} at {at}: {why}"));
        lost += i64::from(at == flushed);
        last = at;
        println!("kill {kill}: flushed {flushed}, reopened at {at}");
    }
    assert!(lost > 0, "no kill ever cost an unflushed write");
}
