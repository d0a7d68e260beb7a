//! Disks that fill up, and files that may not grow.
//!
//! Owns: a small disk in memory, mounted where the machine permits it, and unmounted when the
//! value is dropped. The cases with a limit on file sizes need no permission.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::AtomicU64;

use super::base::plain;
use super::limits::FULL;
use super::load::{Ended, Mix, Writer};
use super::op::Op;
use super::seen;
use super::server::Setup;
use super::{Case, Context};

/// The cases.
pub fn cases() -> Vec<Case> {
    let case = |name, run| Case { name, run };
    vec![
        case("log-disk-full", log_disk),
        case("store-disk-full", store_disk),
        case("log-file-limit", log_limit),
        case("store-file-limit", store_limit),
    ]
}

/// Grows without end.
const MIX: Mix = Mix {
    window: 32,
    reads: 10,
    nodes: usize::MAX,
    count: false,
    close_after: None,
    names: (50, 5_000),
};

const WRITERS: usize = 3;

/// A disk in memory.
struct Disk {
    path: PathBuf,
}

fn run(command: &mut Command) -> Result<(), String> {
    let output = command.output().map_err(|e| format!("{command:?}: {e}"))?;
    if output.status.success() {
        Ok(())
    } else {
        let text = String::from_utf8_lossy(&output.stderr);
        Err(format!("{command:?}: {}", text.trim()))
    }
}

impl Disk {
    fn mount(path: &Path, kib: u32) -> Result<Disk, String> {
        std::fs::create_dir_all(path).map_err(super::files::at(path))?;
        run(Command::new("mount")
            .args(["-t", "tmpfs", "-o", &format!("size={kib}k"), "tmpfs"])
            .arg(path))?;
        Ok(Disk { path: path.into() })
    }

    fn grow(&self, kib: u32) -> Result<(), String> {
        run(Command::new("mount")
            .args(["-o", &format!("remount,size={kib}k")])
            .arg(&self.path))
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        if let Err(why) = run(Command::new("umount").arg(&self.path)) {
            eprintln!("{why}");
        }
    }
}

/// Writes until the server ends by itself; it must say why and lose nothing.
fn fill(setup: &Setup, seed: u64, words: &[&str]) -> Result<(Vec<Writer>, String), String> {
    let mut server = setup.start()?;
    let mut reader = seen::fresh(server.addr, 60_000)?;
    let mut writers = Vec::new();
    for at in 0..WRITERS {
        let root = format!("/f{at}");
        reader.must(&plain(&root, None))?;
        writers.push(Writer::new(&root, seed + at as u64));
    }
    let addr = server.addr;
    let done = AtomicU64::new(0);
    let ended = std::thread::scope(|scope| {
        let threads: Vec<_> = writers
            .iter_mut()
            .map(|writer| {
                let done = &done;
                scope.spawn(move || {
                    let mut conn = writer.connect(addr, 60_000)?;
                    writer.run(&mut conn, &MIX, u64::MAX, done)
                })
            })
            .collect();
        let status = server.wait(FULL);
        let output = server.output();
        // If it has not ended the writers go on: they must see an end.
        drop(server);
        for thread in threads {
            match thread.join() {
                Ok(Ok(Ended::Closed | Ended::Done)) => {}
                Ok(Err(why)) => return Err(why),
                Err(_) => return Err("a writer panicked".into()),
            }
        }
        match status?.map(|status| status.code()) {
            None => Err(format!("it never ended:\n{output}")),
            Some(Some(code)) if code != 0 && !output.contains("panicked") => Ok(output),
            Some(code) => Err(format!("it ended with code {code:?}:\n{output}")),
        }
    })?;
    let line = ended
        .lines()
        .find(|line| words.iter().all(|word| line.contains(word)));
    match line {
        Some(line) => Ok((writers, line.to_owned())),
        None => Err(format!("no line says {words:?}:\n{ended}")),
    }
}

/// Everything acknowledged is there, and writes are taken again.
fn recovered(setup: &Setup, writers: &mut [Writer]) -> Result<String, String> {
    let mut server = setup.start()?;
    let mut reader = seen::fresh(server.addr, 60_000)?;
    let (mut kept, mut sent, mut replies) = (0, 0, 0);
    for writer in writers.iter_mut() {
        let read = reader.subtree(&writer.acked.root, 50)?;
        let (some, of) = writer.settle(&read, false)?;
        (kept, sent, replies) = (kept + some, sent + of, replies + writer.replies);
    }
    reader.must(&plain("/after", None))?;
    reader.must(&Op::Delete {
        path: "/after".into(),
        version: -1,
    })?;
    reader.must(&Op::CloseSession)?;
    server.faultless()?;
    server.term()?;
    Ok(format!(
        "{replies} replies, {kept} of {sent} unanswered writes kept"
    ))
}

/// A start on the disk that is still full: refused, or it serves what there is.
fn still_full(setup: &Setup, writers: &mut [Writer]) -> Result<&'static str, String> {
    let mut server = setup.spawn()?;
    if server.ready().is_err() {
        return match server.ended().map(|status| status.code()) {
            Some(Some(code)) if code != 0 => Ok("refused while it is full"),
            other => Err(format!("{other:?} while it is full:\n{}", server.output())),
        };
    }
    // Also a session is a write. Whatever is answered must be right.
    if let Ok(mut reader) = seen::fresh(server.addr, 60_000) {
        for writer in writers.iter_mut() {
            if let Ok(read) = reader.subtree(&writer.acked.root, 0) {
                writer.settle(&read, false)?;
            }
        }
    }
    Ok("served while it is full")
}

fn log_disk(context: &Context) -> Result<String, String> {
    let disk = match Disk::mount(&context.work.join("disk"), 4 << 10) {
        Ok(disk) => disk,
        Err(why) => return Ok(format!("left to log-file-limit, no disk in memory: {why}")),
    };
    let mut setup = Setup::new(&context.binary, &context.work)
        .with("preAllocSize=64")
        .with("txnLogSizeLimitInKb=512");
    setup.logs = disk.path.clone();
    let (mut writers, line) = fill(&setup, context.seed, &["ERROR", "disk is full"])?;
    let again = still_full(&setup, &mut writers)?;
    disk.grow(64 << 10)?;
    let done = recovered(&setup, &mut writers)?;
    Ok(format!("{done}, {again}: {line}"))
}

fn store_disk(context: &Context) -> Result<String, String> {
    let disk = match Disk::mount(&context.work.join("disk"), 6 << 10) {
        Ok(disk) => disk,
        Err(why) => {
            return Ok(format!(
                "left to store-file-limit, no disk in memory: {why}"
            ));
        }
    };
    let mut setup = Setup::new(&context.binary, &context.work);
    setup.data = disk.path.clone();
    let words = ["ERROR", "the store failed", "log is intact"];
    let (mut writers, line) = fill(&setup, context.seed, &words)?;
    let again = still_full(&setup, &mut writers)?;
    disk.grow(256 << 10)?;
    let done = recovered(&setup, &mut writers)?;
    Ok(format!("{done}, {again}: {line}"))
}

/// The server may write no file larger than this.
fn limited(setup: &Setup, bytes: u32) -> Setup {
    let mut setup = setup.clone();
    // Without the trap the signal would end it before it sees the error.
    let script = format!("trap '' XFSZ; exec prlimit --fsize={bytes} -- \"$0\" \"$@\"");
    setup.wrapper = vec!["sh".into(), "-c".into(), script];
    setup
}

fn log_limit(context: &Context) -> Result<String, String> {
    let setup = Setup::new(&context.binary, &context.work).with("preAllocSize=64");
    let words = ["ERROR", "the log", "nothing more is acknowledged"];
    let (mut writers, line) = fill(&limited(&setup, 3 << 20), context.seed, &words)?;
    let done = recovered(&setup, &mut writers)?;
    Ok(format!("{done}: {line}"))
}

fn store_limit(context: &Context) -> Result<String, String> {
    let setup = Setup::new(&context.binary, &context.work)
        .with("preAllocSize=64")
        .with("txnLogSizeLimitInKb=256");
    let words = ["ERROR", "the store failed", "log is intact"];
    let (mut writers, line) = fill(&limited(&setup, 1 << 20), context.seed, &words)?;
    let done = recovered(&setup, &mut writers)?;
    Ok(format!("{done}: {line}"))
}
