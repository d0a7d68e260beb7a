//! A server that does not belong to the ensemble as what it says it is: one with the data of another
//! ensemble, and a second one of an id that is taken. It is told in a line, the ensemble goes on, and
//! nothing acknowledged is lost.

use std::time::Instant;

use super::super::client::{Session, op};
use super::super::limits::{HANDSHAKE, SESSION_MS, SETTLE, TWIN_TIME};
use super::super::spec::Kind;
use super::super::stage::{Setting, Stage};
use super::Cast;
use super::faults::create;

/// Nodes that another ensemble has in each of its epochs.
const FOREIGN: usize = 20;

/// Exit code of a directory that belongs elsewhere, as of any that cannot be used.
const ELSEWHERE: i32 = 3;

pub(super) fn setting() -> Setting {
    Setting {
        plain: true,
        ..Setting::default()
    }
}

pub(super) fn play(stage: &mut Stage, _cast: &Cast<'_>) -> Result<(), String> {
    let first = stage.birth()?;
    stage.load.start()?;
    stage.load.writes(100)?;
    // Another ensemble may then be of an earlier epoch.
    stage.term(first)?;
    let rest: Vec<u8> = stage
        .voters()
        .into_iter()
        .filter(|id| *id != first)
        .collect();
    stage.leader_among(&rest)?;
    stage.load.writes(50)?;
    stage.start(first)?;
    stage.all_serve()?;

    foreign(stage)?;
    twins(stage)
}

/// A server comes with the data of another ensemble, of an epoch that is lower, equal or higher.
fn foreign(stage: &mut Stage) -> Result<(), String> {
    let leader = stage.all_serve()?;
    let voters = stage.voters();
    let follower = voters.iter().copied().find(|id| *id != leader);
    let id = follower.ok_or("no follower")?;
    let epoch = stage.member(leader)?.zxid().unwrap_or(0) >> 32;
    for wanted in [epoch - 1, epoch, epoch + 2] {
        let mut other = stage.hermit(&format!("other-{wanted}"), id, &Kind::Zabkeeper)?;
        for n in 0..wanted {
            stage.start_beside(&mut other)?;
            let mut session = Session::on(other.client, SESSION_MS, SETTLE)?;
            for at in 0..FOREIGN {
                let body = create(&format!("/foreign-{n}-{at}"), "x");
                session.call(op::CREATE, &body.0, HANDSHAKE)?;
            }
            session.close(SETTLE)?;
            other.term()?;
        }
        stage.term(id)?;
        let member = stage.member(id)?;
        member.wipe()?;
        member.take_over(&other)?;
        stage.start(id)?;
        let member = stage.member(id)?;
        let code = member.ends()?;
        let line = member.line(&["the directory of another ensemble", "zabkeeper.members"])?;
        if code != ELSEWHERE {
            return Err(format!("{id} ended with code {code}: {line}"));
        }
        stage.note(format!("data of another ensemble: {line}"));

        // Somebody insists.
        stage.member(id)?.forget_members()?;
        stage.load.mark();
        stage.start(id)?;
        let begun = Instant::now();
        let how = stage.wait_for("it is known for what it is", SETTLE, |stage| {
            let member = stage.member(id)?;
            let alive = member.alive();
            let found = |words: &[&str]| member.line(words).ok();
            if let Some(line) = found(&["This server ends"]).filter(|_| !alive) {
                return Ok(Some(line));
            }
            if let Some(line) = found(&["WARN", "has promised", "a directory of another"]) {
                return Ok(Some(line));
            }
            if !alive {
                return Err(format!("{id} has ended:\n{}", member.log_tail()));
            }
            // Everything was taken over from the others.
            let whole = found(&["SNAP of leader"]).filter(|_| member.mode().is_some());
            Ok(whole)
        })?;
        // Of an earlier epoch it gets what its leader has behind a zxid that both logs have, or
        // everything.
        let expected: &[&str] = match wanted.cmp(&epoch) {
            std::cmp::Ordering::Less => &["This server ends", "SNAP of leader"],
            std::cmp::Ordering::Equal => &["This server ends"],
            std::cmp::Ordering::Greater => &["has promised"],
        };
        stage.note(format!(
            "epoch {wanted} among {epoch}, after {} ms: {how}",
            begun.elapsed().as_millis()
        ));
        if !expected.iter().any(|words| how.contains(words)) {
            return Err(format!("none of {expected:?}"));
        }
        stage.load.writes(100)?;
        let ended = how.contains("This server ends");
        let member = stage.member(id)?;
        if !ended {
            if wanted > epoch && member.mode().is_some() {
                return Err(format!("{id} serves what the others do not have"));
            }
            member.kill()?;
        } else {
            member.ends()?;
        }
        if ended || wanted > epoch {
            stage.member(id)?.wipe()?;
        }
        stage.start(id)?;
        stage.all_serve()?;
        stage.verify("the data of another ensemble")?;
    }
    Ok(())
}

/// A second server of an id that is taken, of the leader and of a follower.
fn twins(stage: &mut Stage) -> Result<(), String> {
    let leader = stage.all_serve()?;
    let voters = stage.voters();
    let follower = voters.iter().copied().find(|id| *id != leader);
    for id in [leader, follower.ok_or("no follower")?] {
        let mut twin = stage.twin(id, &Kind::Zabkeeper)?;
        let joined = |stage: &mut Stage| -> Result<usize, String> {
            Ok(stage.member(id)?.lines(&["following leader"]).len())
        };
        let before = joined(stage)?;
        stage.start_beside(&mut twin)?;
        let begun = Instant::now();
        // Somebody tells of it: the leader of a follower's, everybody of a port that is not that of the
        // configuration.
        let line = stage.wait_for("two servers of one id are told of", SETTLE, |stage| {
            for other in stage.voters() {
                let words = match other == leader && id != leader {
                    true => format!("two servers with id {id}?"),
                    false => format!("says that it is server {id} with the election port"),
                };
                if let Ok(line) = stage.member(other)?.line(&["WARN", &words])
                    && (id == leader || other == leader)
                {
                    return Ok(Some(line));
                }
            }
            Ok(None)
        })?;
        stage.note(line);
        let mut writes = 0;
        while begun.elapsed() < TWIN_TIME {
            stage.load.writes(100)?;
            writes += 100;
        }
        if let Some(mode) = twin.mode() {
            return Err(format!("a second server {id} serves as {mode}"));
        }
        if stage.all_serve()? != leader || joined(stage)? != before {
            return Err(format!("the second server {id} has thrown out the first"));
        }
        let tries = stage.member(leader)?.lines(&["WARN"]).len();
        stage.note(format!(
            "two servers {id} for {} ms: {writes} writes; {tries} warnings of the leader",
            begun.elapsed().as_millis()
        ));
        twin.kill()?;
        twin.wipe()?;
        stage.verify("two servers of one id")?;
    }
    Ok(())
}
