//! Observers behind followers: the leader serves none where `observerMasterPort` is set, and an observer
//! whose follower dies goes to the next one, whoever made it.

use super::super::stage::{Setting, Stage};
use super::Cast;

pub(super) fn setting() -> Setting {
    Setting {
        // An observer reaches the port at the address that the configuration has.
        plain: true,
        lines: vec!["observerMasterPort=12191".into()],
        ..Setting::default()
    }
}

pub(super) fn play(stage: &mut Stage, _cast: &Cast<'_>) -> Result<(), String> {
    let leader = stage.birth()?;
    stage.load.start()?;
    stage.load.writes(200)?;
    shared(stage, leader)?;
    stage.verify("birth")?;

    let followers: Vec<u8> = stage
        .voters()
        .into_iter()
        .filter(|id| *id != leader)
        .collect();
    for gone in followers {
        stage.kill(gone)?;
        stage.load.writes(100)?;
        shared(stage, leader)?;
        stage.load.writes(100)?;
        stage.start(gone)?;
        stage.verify("kill -9 of a follower that may have had observers")?;
    }
    let (next, _) = stage.kill_leader(leader)?;
    stage.start(leader)?;
    stage.all_serve()?;
    shared(stage, next)?;
    stage.verify("another leader")
}

/// Waits until the followers that run have all observers between them, and the leader has none.
fn shared(stage: &mut Stage, leader: u8) -> Result<(), String> {
    let observers = stage.observers().len() as u64;
    let voters = stage.voters();
    let has = stage.wait("followers have all observers", |stage| {
        let mut has = Vec::new();
        for id in &voters {
            let member = stage.member(*id)?;
            if !member.expected() {
                continue;
            }
            let Some(served) = member.word("mntr").as_deref().and_then(served) else {
                return Ok(None);
            };
            has.push((*id, served));
        }
        let at = |leads: bool| {
            let these = has.iter().filter(|(id, _)| (*id == leader) == leads);
            these.map(|(_, served)| served).sum::<u64>()
        };
        Ok((at(true) == 0 && at(false) == observers).then_some(has))
    })?;
    let has: Vec<String> = has
        .iter()
        .map(|(id, served)| format!("{served} at {id}"))
        .collect();
    stage.note(format!("observers: {}", has.join(", ")));
    Ok(())
}

/// The observers of a server that says so.
fn served(mntr: &str) -> Option<u64> {
    let mut lines = mntr.lines();
    let line = lines.find_map(|line| line.strip_prefix("zk_synced_observers"))?;
    line.trim().parse().ok()
}
