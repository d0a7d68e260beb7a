//! Cuts between members that go on running: nobody may lose what was acknowledged, nor his session.

use std::time::Duration;

use super::super::limits::{SYNC_TIME, TICK_MS};
use super::super::stage::{Setting, Stage};
use super::Cast;

/// `initLimit`: how long followers try to reach a leader whom they have elected in vain.
const INIT_TICKS: u32 = 20;

pub(super) fn setting() -> Setting {
    Setting {
        cuts: true,
        init_limit: Some(INIT_TICKS),
        ..Setting::default()
    }
}

fn others(stage: &Stage, id: u8) -> Vec<u8> {
    stage
        .voters()
        .into_iter()
        .filter(|other| *other != id)
        .collect()
}

pub(super) fn play(stage: &mut Stage, _cast: &Cast<'_>) -> Result<(), String> {
    let leader = stage.birth()?;
    stage.load.start()?;
    stage.load.writes(200)?;
    stage.verify("birth")?;

    let rest = others(stage, leader);
    stage.load.mark();
    stage.isolate(leader)?;
    let next = stage.leader_among(&rest)?;
    stage.idle(leader)?;
    stage.load.writes(100)?;
    stage.note(format!(
        "{next} leads, {leader} is alone and serves nobody; {} ms without a write",
        stage.load.gap().as_millis()
    ));
    stage.rejoin(leader)?;
    stage.all_serve()?;
    stage.verify("an isolated leader")?;

    let leader = stage.all_serve()?;
    let follower = *others(stage, leader).first().ok_or("no follower")?;
    stage.load.mark();
    stage.isolate(follower)?;
    stage.idle(follower)?;
    stage.load.writes(100)?;
    let now = stage.leader_among(&stage.voters())?;
    if now != leader {
        return Err(format!("{now} leads instead of {leader}"));
    }
    stage.note(format!(
        "{follower} is alone, {leader} still leads; {} ms without a write",
        stage.load.gap().as_millis()
    ));
    stage.rejoin(follower)?;
    stage.all_serve()?;
    stage.verify("an isolated follower")?;

    // The leader's words do not reach one follower, whose own do.
    let leader = stage.all_serve()?;
    let follower = *others(stage, leader).first().ok_or("no follower")?;
    stage.load.mark();
    stage.cut(leader, follower)?;
    stage.idle(follower)?;
    stage.load.writes(100)?;
    stage.note(format!(
        "{leader} does not reach {follower}; {} ms without a write",
        stage.load.gap().as_millis()
    ));
    stage.join(leader, follower)?;
    stage.all_serve()?;
    stage.verify("a cut from the leader")?;

    // Nothing of the followers reaches the leader, which they hear: it must step down by its clock. It
    // has logged more than they, and they hear its vote, so they may elect it once more and try in vain
    // to reach it until initLimit is over.
    let leader = stage.all_serve()?;
    let rest = others(stage, leader);
    stage.load.mark();
    for follower in &rest {
        stage.cut(*follower, leader)?;
    }
    let next = stage.leader_among(&rest)?;
    stage.idle(leader)?;
    stage.load.writes(100)?;
    let gap = stage.load.gap();
    stage.note(format!(
        "{next} leads, {leader} hears nobody; {} ms without a write",
        gap.as_millis()
    ));
    let init = Duration::from_millis(u64::from(TICK_MS * INIT_TICKS));
    if gap > (SYNC_TIME + init) * 2 {
        return Err(format!("{} ms without a write", gap.as_millis()));
    }
    for follower in &rest {
        stage.join(*follower, leader)?;
    }
    stage.all_serve()?;
    stage.verify("a deaf leader")?;

    // A process that stands still has not stepped down when it goes on: it must not answer as leader
    // what the others' leader has overtaken.
    let leader = stage.all_serve()?;
    let rest = others(stage, leader);
    stage.load.mark();
    stage.member(leader)?.pause()?;
    let next = stage.leader_among(&rest)?;
    stage.load.writes(100)?;
    stage.note(format!(
        "{next} leads while {leader} is paused; {} ms without a write",
        stage.load.gap().as_millis()
    ));
    stage.member(leader)?.resume()?;
    stage.all_serve()?;
    stage.verify("a paused leader")
}
