//! The rolling replacement: followers first, the leader last, one at a time, each on an empty folder;
//! then back the same way.

use super::super::spec::Kind;
use super::super::stage::Stage;
use super::super::tap::kind::SNAP;
use super::Cast;

pub(super) fn play(stage: &mut Stage, cast: &Cast<'_>) -> Result<(), String> {
    stage.birth()?;
    stage.load.start()?;
    stage.load.writes(200)?;
    stage.verify("birth")?;
    let first: Vec<Kind> = cast.seats.iter().map(|seat| seat.kind.clone()).collect();
    let then = if cast.then.is_empty() {
        &first
    } else {
        cast.then
    };
    if then.len() != first.len() {
        return Err("not as many to replace as members".into());
    }
    roll(stage, then)?;
    roll(stage, &first)
}

fn roll(stage: &mut Stage, kinds: &[Kind]) -> Result<(), String> {
    let leader = stage.all_serve()?;
    let mut order: Vec<u8> = stage.ids().into_iter().filter(|id| *id != leader).collect();
    order.push(leader);
    for id in order {
        let kind = kinds
            .get(usize::from(id) - 1)
            .ok_or("no kind for a member")?;
        stage.load.mark();
        let before = stage.load.journal().lost;
        stage.term(id)?;
        stage.member(id)?.replace(kind)?;
        let sync = stage.start_synced(id, &[SNAP])?;
        stage.load.writes(50)?;
        let lost = stage.load.journal().lost - before;
        stage.note(format!(
            "{id} is now {kind}: {sync}; {} ms without a write, {lost} writes lost on the way",
            stage.load.gap().as_millis()
        ));
        stage.all_serve()?;
        stage.verify("a replacement")?;
    }
    Ok(())
}
