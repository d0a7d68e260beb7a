//! What an operator or a machine does wrong to one server of a living ensemble: no id or an unknown one,
//! a full disk, a leader that stands still. Each is told in a line, the ensemble goes on, and nothing
//! acknowledged is lost.

use std::time::Instant;

use compat_tests::raw::{Out, text};

use super::super::client::{Got, Session, op};
use super::super::limits::{HANDSHAKE, SESSION_MS, SETTLE, SYNC_TIME};
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

/// A leader stands still for longer than its followers wait, and goes on with what its own clients have
/// sent meanwhile.
fn standing(stage: &mut Stage) -> Result<(), String> {
    let leader = stage.all_serve()?;
    let addr = stage.member(leader)?.client;
    let mut own = Session::on(addr, SESSION_MS, SETTLE)?;
    own.call(op::CREATE, &create("/standing", "x").0, HANDSHAKE)?;
    stage.load.mark();
    stage.member(leader)?.pause()?;
    let since = Instant::now();
    let sent: Vec<(i32, String)> = (0..LATE)
        .map(|n| {
            let path = format!("/standing/{n}");
            (own.send(op::CREATE, &create(&path, "late").0), path)
        })
        .collect();
    let rest: Vec<u8> = stage
        .voters()
        .into_iter()
        .filter(|o| *o != leader)
        .collect();
    let next = stage.leader_among(&rest)?;
    stage.load.writes(50)?;
    if since.elapsed() < SYNC_TIME {
        stage.note(format!(
            "{next} leads after {} ms",
            since.elapsed().as_millis()
        ));
    }
    let gap = stage.load.gap();
    stage.member(leader)?.resume()?;
    let mut promised = Vec::new();
    loop {
        match own.receive(HANDSHAKE) {
            Got::Reply { xid, err: 0, .. } => promised.push(xid),
            Got::Reply { .. } | Got::Event { .. } => {}
            Got::Nothing | Got::Lost => break,
        }
    }
    stage.all_serve()?;
    let now = stage.leader_among(&stage.voters())?;
    let addr = stage.member(now)?.client;
    let mut reader = Session::on(addr, SESSION_MS, SETTLE)?;
    for (xid, path) in sent {
        let mut body = Out::new();
        body.bytes(&text(&path)).bool(false);
        let (_, err, _) = reader.call(op::GET_DATA, &body.0, HANDSHAKE)?;
        if promised.contains(&xid) && err != 0 {
            return Err(format!(
                "{path} was promised by {leader}, and reading it gives {err}"
            ));
        }
    }
    reader.close(SETTLE)?;
    stage.note(format!(
        "{leader} stood still for {} ms, {now} leads; {} of {LATE} late writes answered; {} ms without a write",
        since.elapsed().as_millis(), promised.len(), gap.as_millis()
    ));
    stage.verify("a leader that stood still")
}
