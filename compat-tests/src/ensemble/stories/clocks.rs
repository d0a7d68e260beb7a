//! Members whose wall clocks are hours apart: who leads says what time it is, and nothing else hangs on
//! it. Sessions live by clocks that only go forward.
//!
//! A clock that is off is made by a library of ours that is loaded before the C library, so that `cc` is
//! needed.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use compat_tests::raw::{In, Out, text};

use super::super::client::{Session, op};
use super::super::limits::{CLOCK_ERROR, HANDSHAKE, SESSION_MS, SETTLE, SYNC_TIME};
use super::super::stage::{Setting, Stage};
use super::Cast;
use super::faults::create;

/// How far each member's clock is off, seconds; by id.
const OFFSETS: [i64; 3] = [5 * 3600 + 17, -26 * 3600, 3 * 3600];

pub(super) fn setting() -> Setting {
    Setting {
        plain: true,
        ..Setting::default()
    }
}

fn offset(id: u8) -> Result<i64, String> {
    let at = usize::from(id).checked_sub(1);
    let found = at.and_then(|at| OFFSETS.get(at));
    found.copied().ok_or_else(|| format!("no clock for {id}"))
}

/// Builds the library.
fn library(dir: &Path) -> Result<PathBuf, String> {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("clock/clock.c");
    let library = dir.join("clock.so");
    let output = Command::new("cc")
        .args(["-O1", "-Wall", "-shared", "-fPIC", "-o"])
        .args([&library, &source])
        .output()
        .map_err(|e| format!("cc: {e}"))?;
    if !output.status.success() {
        return Err(format!("cc: {}", String::from_utf8_lossy(&output.stderr)));
    }
    Ok(library)
}

pub(super) fn play(stage: &mut Stage, _cast: &Cast<'_>) -> Result<(), String> {
    let library = library(stage.dir())?;
    for id in stage.ids() {
        let off = offset(id)?;
        stage.member(id)?.environment(vec![
            ("LD_PRELOAD".into(), library.display().to_string()),
            ("CLOCK_OFFSET_S".into(), off.to_string()),
        ]);
    }
    let first = stage.birth()?;
    stage.load.start()?;
    stage.load.writes(100)?;
    times(stage, first)?;
    for id in stage.voters() {
        if id != first {
            let line = stage
                .member(id)?
                .line(&["WARN", "the clocks are far apart"])?;
            stage.note(line);
        }
    }
    stage.verify("clocks that are hours apart")?;

    // Time goes back for those who read it, and for nobody else.
    let (next, gap) = stage.kill_leader(first)?;
    times(stage, next)?;
    stage.start(first)?;
    stage.all_serve()?;
    stage.note(format!(
        "{next} leads, {} s from {first}: {} ms without a write",
        offset(next)? - offset(first)?,
        gap.as_millis()
    ));
    // A session that lived by the wall clock would have ended at once.
    let begun = Instant::now();
    while begun.elapsed() < SYNC_TIME {
        stage.load.writes(100)?;
    }
    stage.verify("another leader's clock")
}

/// A node that is made at each member has the time of the leader.
fn times(stage: &mut Stage, leader: u8) -> Result<(), String> {
    for id in stage.ids() {
        let member = stage.member(id)?;
        if !member.expected() {
            continue;
        }
        let mut session = Session::on(member.client, SESSION_MS, SETTLE)?;
        let path = format!("/time-{leader}-{id}");
        let (_, err, _) = session.call(op::CREATE, &create(&path, "x").0, HANDSHAKE)?;
        if err != 0 {
            return Err(format!("{path}: {err}"));
        }
        let mut body = Out::new();
        body.bytes(&text(&path)).bool(false);
        let (_, err, reply) = session.call(op::GET_DATA, &body.0, HANDSHAKE)?;
        let mut reply = In::new(&reply);
        let _data = reply.bytes();
        let (_, _, ctime) = (reply.long(), reply.long(), reply.long());
        session.close(SETTLE)?;
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        let now = now.map_or(0, |since| since.as_millis() as i64);
        let expected = now + offset(leader)? * 1000;
        match ctime.filter(|_| err == 0) {
            Some(ctime) if (ctime - expected).abs() < CLOCK_ERROR.as_millis() as i64 => {}
            other => {
                return Err(format!(
                    "{path} was made at {other:?}, by the leader's clock it was {expected}"
                ));
            }
        }
    }
    Ok(())
}
