//! Members with two addresses each, which their election connections name.

use super::super::stage::{Setting, Stage};
use super::Cast;

pub(super) fn setting() -> Setting {
    Setting {
        two_addresses: true,
        lines: vec!["multiAddress.enabled=true".into()],
        ..Setting::default()
    }
}

pub(super) fn play(stage: &mut Stage, _cast: &Cast<'_>) -> Result<(), String> {
    let leader = stage.birth()?;
    stage.load.start()?;
    stage.load.writes(200)?;
    stage.verify("birth")?;
    let (next, gap) = stage.kill_leader(leader)?;
    stage.note(format!(
        "{next} leads after kill -9 of {leader}; {} ms without a write",
        gap.as_millis()
    ));
    stage.start(leader)?;
    stage.all_serve()?;
    stage.verify("kill -9 of the leader")?;
    stage.kill(next)?;
    stage.start(next)?;
    stage.all_serve()?;
    stage.verify("kill -9 of the next one")
}
