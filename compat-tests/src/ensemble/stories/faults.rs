//! What an operator or a machine does wrong to one server of a living ensemble: no id or an unknown one,
//! a full disk, a leader that stands still. Each is told in a line, the ensemble goes on, and nothing
//! acknowledged is lost.

use std::time::Instant;

use compat_tests::raw::{Out, text};

use super::super::client::{Got, Session, op};
use super::super::limits::{HANDSHAKE, SESSION_MS, SETTLE};
use super::super::spec::Kind;
use super::super::stage::{Setting, Stage};
use super::Cast;

/// Writes that a leader gets while it stands still.
const LATE: usize = 20;

pub(super) fn setting() -> Setting {
    Setting {
        plain: true,
        // KiB: a full disk is felt at once.
        lines: vec!["preAllocSize=64".into()],
        ..Setting::default()
    }
}

pub(super) fn create(path: &str, data: &str) -> Out {
    let mut body = Out::new();
    body.bytes(&text(path))
        .bytes(&text(data))
        .int(1)
        .int(31)
        .bytes(&text("world"))
        .bytes(&text("anyone"))
        .int(0);
    body
}

pub(super) fn play(stage: &mut Stage, cast: &Cast<'_>) -> Result<(), String> {
    // Before anything is stored there.
    let mut disks = Vec::new();
    for seat in cast.seats.iter().filter(|s| s.kind == Kind::Zabkeeper) {
        match stage.small_disk(seat.id) {
            Ok(disk) => disks.push((seat.id, disk)),
            Err(why) => stage.note(format!("no full disks, none can be mounted: {why}")),
        }
    }
    stage.birth()?;
    stage.load.start()?;
    stage.load.writes(100)?;

    full_disks(stage, &disks)?;
    ids(stage, cast)?;
    standing(stage)
}

/// A member's disk is full, a follower's and then the leader's.
fn full_disks(stage: &mut Stage, disks: &[(u8, super::super::stage::Disk)]) -> Result<(), String> {
    let leader = stage.all_serve()?;
    let follower = disks.iter().find(|(id, _)| *id != leader);
    let first = disks.iter().find(|(id, _)| *id == leader);
    for (id, disk) in follower.into_iter().chain(first) {
        disk.fill()?;
        let code = stage.member(*id)?.ends()?;
        let line = stage
            .member(*id)?
            .line(&["ERROR", "No space left on device"])?;
        if code == 0 {
            return Err(format!("{id} ended with code {code}: {line}"));
        }
        let rest: Vec<u8> = stage.voters().into_iter().filter(|o| o != id).collect();
        let now = stage.leader_among(&rest)?;
        stage.load.writes(50)?;
        let role = if *id == leader { "leader" } else { "follower" };
        stage.note(format!("the {role}'s disk is full, {now} leads on: {line}"));
        disk.free()?;
        stage.start(*id)?;
        stage.all_serve()?;
        stage.verify("a full disk")?;
    }
    Ok(())
}

/// A server without an id, and one whose id nobody has.
fn ids(stage: &mut Stage, cast: &Cast<'_>) -> Result<(), String> {
    for (claim, words) in [
        (None, ["Invalid config", "myid"]),
        (Some("77\n"), ["myid", "77"]),
        (Some("one\n"), ["myid", "one"]),
    ] {
        let mut codes = Vec::new();
        let mut kinds = vec![Kind::Zabkeeper];
        kinds.extend(
            cast.seats
                .iter()
                .map(|seat| seat.kind.clone())
                .find(|kind| *kind != Kind::Zabkeeper),
        );
        for kind in kinds {
            let mut server = stage.twin(1, &kind)?;
            server.claim(claim);
            stage.start_beside(&mut server)?;
            let code = server.ends()?;
            if kind == Kind::Zabkeeper {
                let line = server.line(&words)?;
                stage.note(format!("myid {claim:?}: code {code}: {line}"));
            }
            codes.push(code);
            server.wipe()?;
        }
        if codes[0] == 0 || codes.iter().any(|code| *code != codes[0]) {
            return Err(format!("myid {claim:?}: exit codes {codes:?}"));
        }
    }
    Ok(())
}

/// A leader stands still, and goes on with what its own clients have sent meanwhile: first before its
/// followers give it up, then behind that.
fn standing(stage: &mut Stage) -> Result<(), String> {
    let leader = stage.all_serve()?;
    let addr = stage.member(leader)?.client;
    let mut own = Session::on(addr, SESSION_MS, SETTLE)?;
    own.call(op::CREATE, &create("/standing", "x").0, HANDSHAKE)?;
    stage.member(leader)?.pause()?;
    let sent = late(&mut own, "short");
    stage.member(leader)?.resume()?;
    let promised = answered(&mut own, sent.len());
    if promised.len() != sent.len() || stage.all_serve()? != leader {
        return Err(format!(
            "{leader} stood still for a moment, and of {LATE} late writes {} were answered",
            promised.len()
        ));
    }
    kept(stage, leader, &sent, &promised)?;

    stage.load.mark();
    stage.member(leader)?.pause()?;
    let since = Instant::now();
    let sent = late(&mut own, "long");
    let voters = stage.voters();
    let rest: Vec<u8> = voters.into_iter().filter(|o| *o != leader).collect();
    stage.leader_among(&rest)?;
    stage.load.writes(50)?;
    let gap = stage.load.gap();
    stage.member(leader)?.resume()?;
    let promised = answered(&mut own, sent.len());
    let line = stage.wait_for("it says that it leads no more", SETTLE, |stage| {
        let line = stage.member(leader)?.line(&["WARN", "which is no quorum"]);
        Ok(line.ok())
    })?;
    stage.note(line);
    stage.all_serve()?;
    let now = stage.leader_among(&stage.voters())?;
    kept(stage, now, &sent, &promised)?;
    stage.note(format!(
        "{leader} stood still for {} ms, {now} leads; {} of {LATE} late writes answered; {} ms without a write",
        since.elapsed().as_millis(),
        promised.len(),
        gap.as_millis()
    ));
    stage.verify("a leader that stood still")
}

/// Writes of a client to a server that stands still.
fn late(own: &mut Session, name: &str) -> Vec<(i32, String)> {
    let paths = (0..LATE).map(|n| format!("/standing/{name}-{n}"));
    paths
        .map(|path| (own.send(op::CREATE, &create(&path, "late").0), path))
        .collect()
}

/// Those of them that are answered with success, until the connection ends or nothing more comes.
fn answered(own: &mut Session, wanted: usize) -> Vec<i32> {
    let mut promised = Vec::new();
    while promised.len() < wanted {
        match own.receive(HANDSHAKE) {
            Got::Reply { xid, err: 0, .. } => promised.push(xid),
            Got::Reply { .. } | Got::Event { .. } => {}
            Got::Nothing | Got::Lost => break,
        }
    }
    promised
}

/// What was answered with success is there.
fn kept(stage: &mut Stage, at: u8, sent: &[(i32, String)], promised: &[i32]) -> Result<(), String> {
    let addr = stage.member(at)?.client;
    let mut reader = Session::on(addr, SESSION_MS, SETTLE)?;
    for (_, path) in sent.iter().filter(|(xid, _)| promised.contains(xid)) {
        let mut body = Out::new();
        body.bytes(&text(path)).bool(false);
        let (_, err, _) = reader.call(op::GET_DATA, &body.0, HANDSHAKE)?;
        if err != 0 {
            return Err(format!(
                "{path} was promised, and reading it at {at} gives {err}"
            ));
        }
    }
    reader.close(SETTLE)
}
