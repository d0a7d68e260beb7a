//! Damaged and inconsistent directories: what is repaired, what is refused, and with which words.
//!
//! Each case copies the base, damages the copy, starts the server on it, and where the start is
//! refused undoes the damage and finds everything in place.

use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use zk_wire::file::{name, txn_log};
use zk_wire::txn::{Txn, TxnBody, TxnHeader};
use zk_wire::{Code, OpCode};

use super::base::{Base, MIX, plain};
use super::files::{at, changed, contents, copy, records, segments};
use super::limits::{REFUSAL, STOP};
use super::load::{Ended, Mix, Writer};
use super::op::Op;
use super::seen;
use super::{Case, Context};

/// The cases.
pub fn cases() -> Vec<Case> {
    let case = |name, run| Case { name, run };
    vec![
        case("torn-record", torn_record),
        case("torn-garbage", torn_garbage),
        case("torn-first-record", torn_first_record),
        case("truncated-record", truncated_record),
        case("corrupt-last-segment", corrupt_last),
        case("corrupt-earlier-segment", corrupt_earlier),
        case("missing-segment", missing_segment),
        case("store-gone", store_gone),
        case("store-gone-log-purged", store_gone_log_purged),
        case("store-damaged", store_damaged),
        case("store-damaged-log-purged", store_damaged_log_purged),
        case("store-damaged-rows", store_damaged_rows),
        case("java-snapshot", java_snapshot),
        case("store-newer-than-log", store_newer),
        case("log-gone", log_gone),
        case("other-log", other_log),
        case("second-process", second_process),
        case("newer-format", newer_format),
        case("sigterm", sigterm),
        case("sigterm-idle", sigterm_idle),
    ]
}

/// The frame of a transaction that changes nothing.
fn frame(zxid: i64) -> Vec<u8> {
    let txn = Txn {
        header: TxnHeader {
            client_id: 7,
            cxid: 1,
            zxid,
            time: 1_700_000_000_000,
            op: OpCode::Error.to_i32(),
        },
        body: TxnBody::Error {
            err: Code::NoNode.to_i32(),
        },
        digest: None,
    };
    let mut out = Vec::new();
    txn_log::encode_txn(&txn, &mut out);
    out
}

fn append(path: &Path, bytes: &[u8]) -> Result<(), String> {
    let mut file = OpenOptions::new()
        .append(true)
        .open(path)
        .map_err(at(path))?;
    file.write_all(bytes).map_err(at(path))
}

fn cut(path: &Path, len: usize) -> Result<(), String> {
    let file = OpenOptions::new()
        .write(true)
        .open(path)
        .map_err(at(path))?;
    file.set_len(len as u64).map_err(at(path))
}

fn length(path: &Path) -> Result<usize, String> {
    Ok(fs::metadata(path).map_err(at(path))?.len() as usize)
}

/// Flips one bit; twice is never.
fn flip(path: &Path, offset: usize) -> Result<(), String> {
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .open(path)
        .map_err(at(path))?;
    let mut byte = [0];
    file.read_exact_at(&mut byte, offset as u64)
        .map_err(at(path))?;
    byte[0] ^= 0x20;
    file.write_all_at(&byte, offset as u64).map_err(at(path))
}

fn says(output: &str, words: &[String]) -> Result<String, String> {
    let line = output
        .lines()
        .find(|line| words.iter().all(|word| line.contains(word.as_str())));
    line.map(Into::into)
        .ok_or_else(|| format!("no line says {words:?}:\n{output}"))
}

/// Behind the last record lies what a write left that was not finished: it is cut off.
fn torn(context: &Context, tail: &dyn Fn(i64) -> Vec<u8>, last: i64) -> Result<String, String> {
    let base = Base::copy(context)?;
    let (path, places) = base.last()?;
    let end = places[places.len() - 1].end;
    if places[places.len() - 1].zxid != base.zxid {
        return Err(format!("the log does not end at {:#x}", base.zxid));
    }
    cut(&path, end)?;
    append(&path, &tail(base.zxid))?;
    let server = base.starts()?;
    let line = says(
        &server.output(),
        &[
            "WARN".into(),
            path.display().to_string(),
            format!("offset {end}"),
            format!("0x{:x} to 0x{:x}", base.zxid + 1, base.zxid + last),
        ],
    )?;
    server.faultless()?;
    if length(&path)? != end {
        return Err(format!("{} was not cut", path.display()));
    }
    Ok(line)
}

fn torn_record(context: &Context) -> Result<String, String> {
    let tail = |zxid| {
        let mut bytes = frame(zxid + 1);
        bytes.truncate(bytes.len() - 9);
        bytes
    };
    torn(context, &tail, 1)
}

fn torn_garbage(context: &Context) -> Result<String, String> {
    let seed = context.seed;
    let tail = |_| {
        let mut rng = fastrand::Rng::with_seed(seed);
        // Padding behind it, as a file that was grown ahead has.
        let mut bytes: Vec<u8> = (0..700).map(|_| rng.u8(1..)).collect();
        bytes.resize(16 << 10, 0);
        bytes
    };
    torn(context, &tail, 1)
}

/// The last file holds its header and a part of its first record.
fn torn_first_record(context: &Context) -> Result<String, String> {
    let base = Base::copy(context)?;
    let (path, _) = base.last()?;
    let header = fs::read(&path).map_err(at(&path))?[..txn_log::HEADER_LEN].to_vec();
    let next = base.setup.log_folder().join(name::log(base.zxid + 1));
    let mut bytes = header;
    bytes.extend_from_slice(&frame(base.zxid + 1));
    bytes.truncate(bytes.len() - 3);
    fs::write(&next, &bytes).map_err(at(&next))?;
    let server = base.starts()?;
    let line = says(
        &server.output(),
        &[
            next.display().to_string(),
            format!("0x{0:x} to 0x{0:x}", base.zxid + 1),
        ],
    )?;
    server.faultless()?;
    // The write of the check has begun a file of that name anew.
    let places = records(&next)?;
    if places.first().map(|place| place.zxid) != Some(base.zxid + 1) {
        return Err(format!("{} begins with {places:?}", next.display()));
    }
    Ok(line)
}

/// The last record is cut in half though it was acknowledged: the start says that it is lost.
fn truncated_record(context: &Context) -> Result<String, String> {
    let mut refused = String::new();
    // On a slow machine the store may have the record already; then the start is refused.
    for attempt in 0..5 {
        let context = Context {
            work: context.work.join(format!("attempt-{attempt}")),
            ..context.clone()
        };
        let base = Base::copy(&context)?;
        let mut server = base.setup.start()?;
        let mut session = seen::fresh(server.addr, 60_000)?;
        let mut zxid = 0;
        for path in ["/b0/x", "/b0/y", "/b0/z"] {
            zxid = session.must(&plain(path, Some(b"acknowledged")))?;
        }
        server.kill()?;
        let (path, places) = base.last()?;
        let last = places[places.len() - 1];
        if last.zxid != zxid {
            return Err(format!("the log ends at {:#x}, not {zxid:#x}", last.zxid));
        }
        cut(&path, last.end - 7)?;
        let mut server = base.setup.spawn()?;
        if let Err(why) = server.ready() {
            if !why.contains("before the store") {
                return Err(why);
            }
            refused = why;
            continue;
        }
        let output = server.output();
        let line = says(
            &output,
            &["ERROR".into(), "acknowledged transactions are lost".into()],
        )?;
        says(
            &output,
            &[
                format!("offset {}", last.offset),
                format!("0x{zxid:x} to 0x{zxid:x}"),
            ],
        )?;
        let mut session = seen::fresh(server.addr, 60_000)?;
        for (path, want) in [("/b0/x", 0), ("/b0/y", 0), ("/b0/z", Code::NoNode.to_i32())] {
            let got = session.call(&Op::Exists(path.into()))?.err;
            if got != want {
                return Err(format!("{path}: {got} instead of {want}"));
            }
        }
        return Ok(line);
    }
    Err(format!("the store was always faster: {refused}"))
}

/// A flipped bit in a record with valid ones behind it.
fn corrupt(base: &Base, path: &Path, middle: usize) -> Result<String, String> {
    let places = records(path)?;
    let place = places[middle];
    let inside = place.offset + (place.end - place.offset) / 2;
    flip(path, inside)?;
    let line = base.refuses(&[
        path.display().to_string(),
        format!("offset {}", place.offset),
        format!("zxid 0x{:x}", places[middle - 1].zxid),
        "restore".into(),
    ])?;
    flip(path, inside)?;
    base.starts()?.faultless()?;
    Ok(line)
}

fn corrupt_last(context: &Context) -> Result<String, String> {
    let mut base = Base::copy(context)?;
    // Each start begins a file, and its writes fill it.
    base.starts()?.term()?;
    let (path, places) = base.last()?;
    base.zxid = places[places.len() - 1].zxid;
    if places.len() < 3 {
        return Err(format!("{} has {} records", path.display(), places.len()));
    }
    corrupt(&base, &path, places.len() / 2)
}

fn corrupt_earlier(context: &Context) -> Result<String, String> {
    let base = Base::copy(context)?;
    let all = base.segments();
    let path = &all[all.len() / 2];
    let count = records(path)?.len();
    // In the middle, and at the very end, where only the next file proves it.
    corrupt(&base, path, count / 2)?;
    corrupt(&base, path, count - 1)
}

fn missing_segment(context: &Context) -> Result<String, String> {
    let base = Base::copy(context)?;
    let all = segments(&base.setup.log_folder());
    let middle = all.len() / 2;
    let (first, path) = &all[middle];
    let aside = context.work.join("aside");
    fs::rename(path, &aside).map_err(at(path))?;
    let line = base.refuses(&[
        "missing".into(),
        format!("0x{:x} is followed by 0x{:x}", first - 1, all[middle + 1].0),
        all[middle + 1].1.display().to_string(),
    ])?;
    fs::rename(&aside, path).map_err(at(path))?;
    base.starts()?.faultless()?;
    Ok(line)
}

/// Without the store a complete log makes the same tree.
fn store_gone(context: &Context) -> Result<String, String> {
    let base = Base::copy(context)?;
    let store = base.setup.store();
    fs::remove_dir_all(&store).map_err(at(&store))?;
    let mut server = base.starts()?;
    server.faultless()?;
    let line = says(
        &server.output(),
        &["replayed from the first transaction".into()],
    )?;
    server.term()?;
    // And the new store holds it.
    let server = base.setup.start()?;
    base.same(&mut seen::fresh(server.addr, 60_000)?)?;
    says(&server.output(), &["to be replayed: None".into()])?;
    Ok(line)
}

fn remove_first(base: &Base) -> Result<(), String> {
    for path in &base.segments()[..2] {
        fs::remove_file(path).map_err(at(path))?;
    }
    Ok(())
}

/// The first files of the log are gone, as after a purge: with the store that is in order,
/// without it nothing can be known.
fn store_gone_log_purged(context: &Context) -> Result<String, String> {
    let base = Base::copy(context)?;
    remove_first(&base)?;
    base.starts()?.term()?;
    let aside = context.work.join("aside");
    let store = base.setup.store();
    fs::rename(&store, &aside).map_err(at(&store))?;
    let first = segments(&base.setup.log_folder())[0].0;
    let line = base.refuses(&[
        store.display().to_string(),
        format!("zxid 0x{first:x}"),
        "backup".into(),
    ])?;
    if store.exists() {
        return Err("the refused start made a store".into());
    }
    fs::rename(&aside, &store).map_err(at(&store))?;
    base.starts()?.faultless()?;
    Ok(line)
}

/// Makes the store unreadable.
fn break_store(base: &Base) -> Result<(), String> {
    let current = base.setup.store().join("rocks/CURRENT");
    fs::write(&current, b"MANIFEST-777777\n").map_err(at(&current))
}

fn store_damaged(context: &Context) -> Result<String, String> {
    let base = Base::copy(context)?;
    break_store(&base)?;
    let server = base.starts()?;
    let aside = base.setup.data.join("zabkeeper-store.damaged-1");
    let line = says(
        &server.output(),
        &["WARN".into(), aside.display().to_string()],
    )?;
    if !aside.is_dir() {
        return Err(format!("{} is missing", aside.display()));
    }
    Ok(line)
}

fn store_damaged_log_purged(context: &Context) -> Result<String, String> {
    let base = Base::copy(context)?;
    let kept = context.work.join("kept");
    remove_first(&base)?;
    copy(&base.setup.store(), &kept)?;
    break_store(&base)?;
    let line = base.refuses(&["damaged".into(), "backup".into()])?;
    let store = base.setup.store();
    fs::remove_dir_all(&store).map_err(at(&store))?;
    fs::rename(&kept, &store).map_err(at(&store))?;
    base.starts()?.faultless()?;
    Ok(line)
}

/// Bits of the rows have flipped: whenever that is noticed nothing wrong is served, and the log
/// is as it was.
fn store_damaged_rows(context: &Context) -> Result<String, String> {
    let base = Base::copy(context)?;
    let rocks = base.setup.store().join("rocks");
    let mut tables = 0;
    for entry in fs::read_dir(&rocks).map_err(at(&rocks))?.flatten() {
        let path = entry.path();
        // The largest hold the nodes; what is not in a block is not checked.
        if path.extension().is_some_and(|e| e == "sst") && length(&path)? > 4_000 {
            for part in 1..5 {
                flip(&path, length(&path)? * part / 8)?;
            }
            tables += 1;
        }
    }
    if tables == 0 {
        return Err(format!("no table in {}", rocks.display()));
    }
    let logs = contents(&base.setup.log_folder())?;
    let mut server = base.setup.listening()?;
    let status = server.wait(REFUSAL)?;
    let output = server.output();
    if status.is_none_or(|status| status.success()) {
        return Err(format!(
            "it serves from a damaged store: {status:?}\n{output}"
        ));
    }
    let after = contents(&base.setup.log_folder())?;
    let spoilt: Vec<_> = changed(&logs, &after)
        .into_iter()
        .filter(|path| logs.contains_key(path) && path.extension().is_some())
        .filter(|path| !path.ends_with("zabkeeper.mark"))
        .collect();
    if !spoilt.is_empty() {
        return Err(format!("{spoilt:?} changed"));
    }
    let line = says(&output, &["store".into(), "aside".into()])?;
    let store = base.setup.store();
    fs::rename(&store, context.work.join("aside")).map_err(at(&store))?;
    base.starts()?.faultless()?;
    Ok(line)
}

fn snapshot(folder: &Path, zxid: i64) -> Result<(), String> {
    let mut bytes = Vec::new();
    let mut encoder = zk_wire::file::snapshot::Encoder::begin(0, 0, &mut bytes);
    encoder.end_nodes(&mut bytes);
    fs::create_dir_all(folder).map_err(at(folder))?;
    let path = folder.join(name::snapshot(zxid));
    fs::write(&path, bytes).map_err(at(&path))
}

/// A snapshot of Apache ZooKeeper: without our store, with a log or without, and with a store
/// that is older.
fn java_snapshot(context: &Context) -> Result<String, String> {
    let words = |zxid: i64| vec![format!("snapshot.{zxid:x}"), "Apache ZooKeeper".into()];
    let base = Base::copy(context)?;
    let folder = base.setup.log_folder();
    snapshot(&folder, 5)?;
    let store = base.setup.store();
    let aside = context.work.join("aside");
    fs::rename(&store, &aside).map_err(at(&store))?;
    base.refuses(&words(5))?;
    let logs = context.work.join("logs");
    fs::create_dir_all(&logs).map_err(at(&logs))?;
    for (_, path) in segments(&folder) {
        fs::rename(&path, logs.join(path.file_name().unwrap_or_default())).map_err(at(&path))?;
    }
    let line = base.refuses(&words(5))?;
    for (_, path) in segments(&logs) {
        fs::rename(&path, folder.join(path.file_name().unwrap_or_default())).map_err(at(&path))?;
    }
    fs::rename(&aside, &store).map_err(at(&store))?;
    // Beside store and log it is a leftover that the log continues.
    base.starts()?.term()?;
    let newer = base.zxid + 1_000;
    snapshot(&folder, newer)?;
    base.refuses(&[format!("snapshot.{newer:x}"), "newer".into()])?;
    Ok(line)
}

fn store_newer(context: &Context) -> Result<String, String> {
    let base = Base::copy(context)?;
    let all = segments(&base.setup.log_folder());
    let (first, path) = &all[all.len() - 1];
    let aside = context.work.join("aside");
    fs::rename(path, &aside).map_err(at(path))?;
    let line = base.refuses(&[
        format!("ends at zxid 0x{:x}", first - 1),
        format!("at 0x{:x}", base.zxid),
        "backup".into(),
    ])?;
    fs::rename(&aside, path).map_err(at(path))?;
    base.starts()?.faultless()?;
    Ok(line)
}

/// `dataLogDir` points somewhere else; then the log is gone from where it was, too.
fn log_gone(context: &Context) -> Result<String, String> {
    let base = Base::copy(context)?;
    let mut elsewhere = base.clone();
    elsewhere.setup.logs = context.work.join("elsewhere");
    elsewhere.refuses(&["holds logs".into(), "dataLogDir".into()])?;
    let folder = base.setup.log_folder();
    let aside = context.work.join("aside");
    fs::create_dir_all(&aside).map_err(at(&aside))?;
    for (_, path) in segments(&folder) {
        fs::rename(&path, aside.join(path.file_name().unwrap_or_default())).map_err(at(&path))?;
    }
    let words = [format!("zxid 0x{:x}", base.zxid), "dataLogDir".into()];
    let line = base.refuses(&words)?;
    elsewhere.refuses(&words)?;
    for (_, path) in segments(&aside) {
        fs::rename(&path, folder.join(path.file_name().unwrap_or_default())).map_err(at(&path))?;
    }
    base.starts()?.faultless()?;
    Ok(line)
}

/// A log of another history, with the same zxids.
fn other_log(context: &Context) -> Result<String, String> {
    let base = Base::copy(context)?;
    let (path, places) = base.last()?;
    let last = places[places.len() - 1];
    let before = fs::read(&path).map_err(at(&path))?;
    let mut bytes = before[..last.offset].to_vec();
    bytes.extend_from_slice(&frame(last.zxid));
    fs::write(&path, bytes).map_err(at(&path))?;
    let line = base.refuses(&[format!("zxid 0x{:x}", last.zxid), "history".into()])?;
    fs::write(&path, before).map_err(at(&path))?;
    base.starts()?.faultless()?;
    Ok(line)
}

fn second_process(context: &Context) -> Result<String, String> {
    let base = Base::copy(context)?;
    let mut first = base.starts()?;
    let output = base.setup.refused()?;
    let line = says(
        &output,
        &["another process holds".into(), "zabkeeper.lock".into()],
    )?;
    // Nor may another dataDir share its log.
    let mut other = base.setup.clone();
    other.data = context.work.join("other");
    says(&other.refused()?, &["another process holds".into()])?;
    base.same(&mut seen::fresh(first.addr, 60_000)?)?;
    first.faultless()?;
    first.kill()?;
    base.starts()?.faultless()?;
    Ok(line)
}

fn newer_format(context: &Context) -> Result<String, String> {
    let base = Base::copy(context)?;
    let format = base.setup.store().join("FORMAT");
    let before = fs::read(&format).map_err(at(&format))?;
    fs::write(&format, "zabkeeper-store 99\n").map_err(at(&format))?;
    let line = base.refuses(&["format version 99".into(), "newer program".into()])?;
    fs::write(&format, before).map_err(at(&format))?;
    base.starts()?.faultless()?;
    Ok(line)
}

/// SIGTERM under load: what was acknowledged is there, and nothing is replayed.
fn sigterm(context: &Context) -> Result<String, String> {
    let base = Base::copy(context)?;
    let mut slowest = std::time::Duration::ZERO;
    for round in 0..3 {
        let mut server = base.setup.start()?;
        let mut writers = Vec::new();
        let mut setup = seen::fresh(server.addr, 60_000)?;
        for at in 0..4 {
            let root = format!("/s{round}-{at}");
            setup.must(&plain(&root, None))?;
            writers.push(Writer::new(&root, context.seed + at));
        }
        let mix = Mix {
            close_after: None,
            window: 64,
            ..MIX
        };
        let done = AtomicU64::new(0);
        let stopping = AtomicBool::new(false);
        let addr = server.addr;
        let took = std::thread::scope(|scope| {
            let threads: Vec<_> = writers
                .iter_mut()
                .map(|writer| {
                    let (done, mix, stopping) = (&done, &mix, &stopping);
                    scope.spawn(move || {
                        let mut conn = writer.connect(addr, 60_000)?;
                        let ended = writer.run(&mut conn, mix, u64::MAX, done)?;
                        match ended {
                            Ended::Closed if stopping.load(Ordering::Relaxed) => Ok(()),
                            other => Err(format!("{other:?} before the stop")),
                        }
                    })
                })
                .collect();
            while done.load(Ordering::Relaxed) < 3_000 && !threads.iter().any(|t| t.is_finished()) {
                // Polled: nothing announces what others write.
                std::thread::sleep(super::limits::POLL);
            }
            stopping.store(true, Ordering::Relaxed);
            let took = server.term();
            // Whatever came of it, the threads must see an end.
            drop(server);
            for thread in threads {
                match thread.join() {
                    Ok(result) => result?,
                    Err(_) => return Err("a writer panicked".into()),
                }
            }
            took
        })?;
        slowest = slowest.max(took);
        let server = base.setup.start()?;
        says(&server.output(), &["to be replayed: None".into()])?;
        server.faultless()?;
        let mut reader = seen::fresh(server.addr, 60_000)?;
        base.same(&mut reader)?;
        for writer in &mut writers {
            let read = reader.subtree(&writer.acked.root, 1)?;
            writer.settle(&read, false)?;
        }
    }
    if slowest > STOP / 2 {
        return Err(format!("a stop took {slowest:?}"));
    }
    Ok(format!("slowest stop {} ms", slowest.as_millis()))
}

/// SIGTERM with idle connections, and right after a start.
fn sigterm_idle(context: &Context) -> Result<String, String> {
    let base = Base::copy(context)?;
    let mut server = base.setup.start()?;
    let _session = seen::fresh(server.addr, 60_000)?;
    let silent = std::net::TcpStream::connect(server.addr).map_err(|e| e.to_string())?;
    let took = server.term()?;
    drop(silent);
    let mut server = base.setup.start()?;
    says(&server.output(), &["to be replayed: None".into()])?;
    server.term()?;
    base.starts()?.faultless()?;
    Ok(format!("{} ms", took.as_millis()))
}
