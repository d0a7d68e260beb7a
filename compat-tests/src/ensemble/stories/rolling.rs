//! The rolling replacement: followers first, the leader last, one at a time, each on an empty folder;
//! then back the same way.

use super::super::limits::WINDOW;
use super::super::spec::Kind;
use super::super::stage::Stage;
use super::super::tap::kind::SNAP;
use super::Cast;

pub(super) fn play(stage: &mut Stage, cast: &Cast<'_>) -> Result<(), String> {
    stage.birth()?;
    stage.foreigners()?;
    stage.load.start()?;
    stage.load.writes(200)?;
    stage.verify("birth")?;
    let first: Vec<Kind> = cast.seats.iter().map(|seat| seat.kind.clone()).collect();
    if cast.then.is_empty() {
        return roll(stage, &first);
    }
    if cast.then.len() != first.len() {
        return Err("not as many to replace as members".into());
    }
    roll(stage, cast.then)?;
    roll(stage, &first)
}

/// A client has one request under way. The stop of its server costs it this, and so does the election
/// that the stop of the leader brings.
const LOSSES_OF_A_STOP: u32 = 2;

fn roll(stage: &mut Stage, kinds: &[Kind]) -> Result<(), String> {
    let leader = stage.all_serve()?;
    let mut order: Vec<u8> = stage.ids().into_iter().filter(|id| *id != leader).collect();
    order.push(leader);
    for id in order {
        let kind = kinds
            .get(usize::from(id) - 1)
            .ok_or("no kind for a member")?;
        stage.load.mark();
        let (lost, moves) = {
            let journal = stage.load.journal();
            (journal.lost, journal.moves)
        };
        let losses = stage.foreign_losses();
        stage.term(id)?;
        stage.member(id)?.replace(kind)?;
        let sync = stage.start_synced(id, &[SNAP])?;
        stage.load.writes(50)?;
        stage.all_serve()?;
        let (lost, moves) = {
            let journal = stage.load.journal();
            (journal.lost - lost, journal.moves - moves)
        };
        let losses: Vec<(&str, u32)> = stage
            .foreign_losses()
            .iter()
            .zip(&losses)
            .map(|((make, now), (_, then))| (*make, now - then))
            .collect();
        stage.note(format!(
            "{id} is now {kind}: {sync}; {} ms without a write; lost: {lost} in {moves} moves, {losses:?}",
            stage.load.gap().as_millis()
        ));
        // What is not under way on a connection cannot be lost with it.
        if lost > moves * WINDOW as u64 {
            return Err(format!("{lost} writes were lost in {moves} moves"));
        }
        if losses.iter().any(|(_, n)| *n > LOSSES_OF_A_STOP) {
            return Err(format!("more was lost than was under way: {losses:?}"));
        }
        stage.verify("a replacement")?;
    }
    Ok(())
}
