//! Of five voters any two may be down.

use super::super::stage::Stage;
use super::super::tap::kind::{DIFF, SNAP, TRUNC};
use super::Cast;

pub(super) fn play(stage: &mut Stage, _cast: &Cast<'_>) -> Result<(), String> {
    stage.birth()?;
    stage.load.start()?;
    stage.load.writes(200)?;
    stage.verify("birth")?;

    for round in 0..3usize {
        let leader = stage.all_serve()?;
        let followers: Vec<u8> = stage
            .voters()
            .into_iter()
            .filter(|id| *id != leader)
            .collect();
        let follower = followers[round % followers.len()];
        stage.load.mark();
        stage.kill(follower)?;
        let (next, gap) = stage.kill_leader(leader)?;
        stage.note(format!(
            "{next} leads after kill -9 of {leader} and {follower}; {} ms without a write",
            gap.as_millis()
        ));
        for id in [leader, follower] {
            let sync = stage.start_synced(id, &[DIFF, SNAP, TRUNC])?;
            stage.note(format!("{id}: {sync}"));
        }
        stage.verify("kill -9 of two")?;
    }
    for observer in stage.observers() {
        stage.kill(observer)?;
        stage.member(observer)?.wipe()?;
        let sync = stage.start_synced(observer, &[SNAP])?;
        stage.note(format!("observer {observer} with nothing: {sync}"));
        stage.verify("an observer with nothing")?;
    }
    Ok(())
}
