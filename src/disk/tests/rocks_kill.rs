//! RocksDB without its log, killed at random moments: reopened, every family is at one and the
//! same write, at or after the last flush that returned. And installations one after another,
//! killed at random moments: the directory holds one of them, whole, with the log that follows it.
//!
//! The process that is killed is this program itself, started with `child`, so this test has no
//! harness.

mod common;

use std::io::{BufRead, BufReader, Lines, Write};
use std::ops::ControlFlow;
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use common::{Dice, Truth, batch_of, payload};
use zk_disk::directory::{self, Boot, Layout, Opened};
use zk_disk::files::{Files, OsFiles};
use zk_disk::install::{self, Incoming};
use zk_disk::log::{self, Reader, Staged};
use zk_disk::rocks::RocksStore;
use zk_disk::store::{Discard, Merged, Store};
use zk_wire::quorum::snap::OPEN_ACL;
use zk_wire::stat::StatPersisted;

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

/// Zxid of the snapshot of an epoch, and how many transactions are behind it.
fn snapshot_of(epoch: i64) -> i64 {
    epoch << 32 | 5
}

const WINDOW: i64 = 20;

fn nodes_of(epoch: i64) -> i64 {
    200 + epoch % 7
}

const OPTIONS: log::Options = log::Options {
    prealloc: 4096,
    segment_size: 900,
    segment_records: 0,
    force_sync: true,
};

fn open(folder: &Path) -> zk_disk::Result<(Layout, Opened<RocksStore>, i64)> {
    let layout = Layout::new(folder.join("data"), folder.join("log"));
    let files: Arc<dyn Files> = Arc::new(OsFiles);
    let opened = directory::open(&files, &layout, &mut RocksStore::open)?;
    let zxid = match &opened.boot {
        Boot::Open { meta, .. } => meta.tree.zxid.0,
        Boot::Fresh | Boot::Rebuild { .. } => 0,
    };
    Ok((layout, opened, zxid >> 32))
}

/// Goes on from where the directory is, taking over one epoch's snapshot after the other, and says
/// which is the last.
fn install_child(folder: &Path) -> Result<(), Box<dyn std::error::Error>> {
    let files: Arc<dyn Files> = Arc::new(OsFiles);
    let (layout, opened, mut epoch) = open(folder)?;
    let mut store = opened.store;
    let mut out = std::io::stdout().lock();
    loop {
        writeln!(out, "{epoch}")?;
        out.flush()?;
        epoch += 1;
        let mut incoming = Incoming::begin(&*files, &layout, &mut RocksStore::open)?;
        let text = epoch.to_string();
        let stat = StatPersisted::default();
        incoming.session(epoch, 1_000)?;
        incoming.node("", None, OPEN_ACL, stat)?;
        for n in 1..nodes_of(epoch) {
            let data = Some(text.as_bytes());
            incoming.node(&format!("/n{n}"), data, OPEN_ACL, stat)?;
        }
        let complete = incoming.complete()?;
        let snapshot = snapshot_of(epoch);
        let mut staged = Staged::begin(files.clone(), &layout, OPTIONS, snapshot)?;
        for zxid in snapshot + 1..=snapshot + WINDOW {
            staged.append(zxid, &payload(zxid, 80, 0))?;
            staged.sync()?;
        }
        install::seal(&complete, snapshot, staged.close()?)?;
        // About to be switched to.
        writeln!(out, "-{epoch}")?;
        out.flush()?;
        install::switch(&*files, &layout, &complete)?;
        let (mut writer, _) = install::take_over(&files, &layout, &complete.store, OPTIONS)?;
        // The old store is closed here, and removed by the next installation.
        store = {
            drop(store);
            complete.store
        };
        let next = writer.durable() + 1;
        writer.append(next, &payload(next, 80, 0))?;
        writer.close()?;
    }
}

/// The directory holds one installation, all of it. Returns its epoch.
fn check_installed(folder: &Path) -> Result<i64, Box<dyn std::error::Error>> {
    let (layout, opened, epoch) = open(folder)?;
    if epoch == 0 {
        return Ok(0);
    }
    let text = epoch.to_string();
    let (mut nodes, mut strange) = (0, Vec::new());
    opened.store.scan(None, &mut |path, row| {
        nodes += 1;
        let root = path.is_empty() && i64::from(row.children) == nodes_of(epoch) - 1;
        if !root && row.data != Some(text.as_bytes()) {
            strange.push(path.to_owned());
        }
        ControlFlow::Continue(())
    })?;
    let mut sessions = Vec::new();
    opened.store.sessions(&mut |id, _| sessions.push(id.0))?;
    let snapshot = snapshot_of(epoch);
    let (floor, end) = (opened.base.log_floor, opened.base.fuzzy_until);
    let sound = nodes == nodes_of(epoch)
        && sessions == [epoch]
        && opened.base.discard == Discard::Nothing
        && (floor, end) == (snapshot, snapshot + WINDOW);
    if !sound || !strange.is_empty() {
        let base = opened.base;
        return Err(format!("epoch {epoch}: {nodes} nodes, {strange:?}, {base:?}").into());
    }
    let last = opened.log.last_zxid.unwrap_or_default();
    if last < end || opened.log.first_zxid != Some(snapshot + 1) {
        return Err(format!("epoch {epoch}: the log ends at {last:#x}").into());
    }
    let mut reader = Reader::open(Arc::new(OsFiles), &layout.logs(), snapshot + 1, last)?;
    while let Some(record) = reader.next_record()? {
        if record.payload != payload(record.zxid, 80, 0) {
            return Err(format!("record {:#x}", record.zxid).into());
        }
    }
    Ok(epoch)
}

fn start(word: &str, folder: &Path) -> (Child, Lines<BufReader<ChildStdout>>) {
    let mut process = Command::new(std::env::current_exe().unwrap())
        .args([word.as_ref(), folder.as_os_str()])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(process.stdout.take().unwrap()).lines();
    (process, lines)
}

/// Lets a few lines come, kills at any moment of so many microseconds behind, and returns the
/// number in the last line.
fn kill(word: &str, folder: &Path, lines: u64, within: u64, dice: &mut Dice) -> i64 {
    let (mut process, mut said) = start(word, folder);
    let mut last = 0;
    for _ in 0..lines {
        last = said.next().unwrap().unwrap().parse().unwrap();
    }
    std::thread::sleep(Duration::from_micros(dice.below(within)));
    process.kill().unwrap();
    process.wait().unwrap();
    said.map_while(Result::ok)
        .filter_map(|line| line.parse().ok())
        .last()
        .unwrap_or(last)
}

fn installations() {
    let folder = tempfile::tempdir().unwrap();
    let mut dice = Dice(11);
    let mut finished = 0;
    for n in 0..KILLS {
        let lines = 1 + dice.below(4);
        let said = match kill("install", folder.path(), lines, 20_000, &mut dice) {
            next @ ..0 => -next - 1,
            epoch => epoch,
        };
        let found = check_installed(folder.path()).unwrap_or_else(|e| panic!("kill {n}: {e}"));
        assert!(
            found == said || found == said + 1,
            "kill {n}: epoch {said} was reached, epoch {found} is there"
        );
        finished += found - said;
        println!("kill {n}: epoch {said} was reached, epoch {found} is there");
    }
    println!("{finished} installations were cut short behind their switch");
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [word, folder] = &arguments[..]
        && (word == "child" || word == "install")
    {
        let folder = Path::new(folder);
        let error = match word.as_str() {
            "child" => child(folder),
            _ => install_child(folder),
        };
        // A pipe that nobody reads any more is the parent's end.
        eprintln!("child: {}", error.unwrap_err());
        std::process::exit(1);
    }
    writes();
    installations();
}

fn writes() {
    let folder = tempfile::tempdir().unwrap();
    let mut dice = Dice(7);
    let (mut lost, mut last) = (0, 0);
    for n in 0..KILLS {
        // A few flushes, then a moment that falls within one among others.
        let lines = 3 + dice.below(10);
        let flushed = kill("child", folder.path(), lines, 20_000, &mut dice);
        let store = RocksStore::open(folder.path()).unwrap();
        let at = store.meta().unwrap().unwrap().tree.zxid.0;
        assert!(
            at >= flushed && at >= last,
            "kill {n}: at {at}, flushed {flushed}, before {last}"
        );
        truth_at(at)
            .0
            .check(&store)
            .unwrap_or_else(|why| panic!("kill {n} at {at}: {why}"));
        lost += i64::from(at == flushed);
        last = at;
        println!("kill {n}: flushed {flushed}, reopened at {at}");
    }
    assert!(lost > 0, "no kill ever cost an unflushed write");
}
