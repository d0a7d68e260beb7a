//! Two voters of which either may go on alone, if its oracle says so.

use std::fs;

use super::super::stage::Stage;
use super::Cast;

pub(super) fn play(stage: &mut Stage, _cast: &Cast<'_>) -> Result<(), String> {
    for id in stage.ids() {
        let path = stage.member(id)?.data().with_extension("oracle");
        let line = format!("oraclePath={}", path.display());
        stage.member(id)?.configure(vec![line]);
        says(stage, id, id == 2)?;
    }
    let leader = stage.birth()?;
    if leader != 2 {
        return Err(format!("{leader} leads"));
    }
    stage.load.start()?;
    stage.load.writes(200)?;
    stage.verify("birth")?;

    stage.kill(1)?;
    stage.load.writes(200)?;
    stage.note("the leader went on alone");
    stage.start(1)?;
    stage.all_serve()?;
    stage.verify("the follower is back")?;

    stage.kill(2)?;
    stage.idle(1)?;
    says(stage, 2, false)?;
    stage.note("the follower alone does not serve");
    says(stage, 1, true)?;
    stage.leader_among(&[1])?;
    stage.load.writes(200)?;
    stage.note("now it leads alone");
    stage.start(2)?;
    stage.all_serve()?;
    stage.verify("the former leader is back")
}

/// Whether a member may go on alone from now on.
fn says(stage: &mut Stage, id: u8, may: bool) -> Result<(), String> {
    let path = stage.member(id)?.data().with_extension("oracle");
    let word = if may { "1" } else { "0" };
    fs::write(&path, word).map_err(|e| format!("{}: {e}", path.display()))
}
