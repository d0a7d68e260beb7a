//! Member 1, whose id is the smallest, never leads while the others have the same history.

use super::super::stage::{Setting, Stage};
use super::super::tap::kind::{DIFF, SNAP};
use super::Cast;

/// Transactions that a leader keeps in memory (`commitLogCount`); more than these come from its log.
const KEPT: u64 = 500;

pub(super) fn setting() -> Setting {
    Setting {
        // 0: the log may be as long as it likes beside a small snapshot; else a leader sends the tree.
        lines: vec![
            "snapshotSizeFactor=0".into(),
            format!("commitLogCount={KEPT}"),
        ],
        ..Setting::default()
    }
}

pub(super) fn play(stage: &mut Stage, _cast: &Cast<'_>) -> Result<(), String> {
    const ME: u8 = 1;
    let leader = stage.birth()?;
    stage.load.start()?;
    stage.load.writes(300)?;
    stage.verify("birth")?;

    stage.term(ME)?;
    stage.load.writes(100)?;
    let sync = stage.start_synced(ME, &[DIFF])?;
    if sync.proposals == 0 {
        return Err(format!("{sync}: but 100 writes were missed"));
    }
    stage.note(format!("restart under load: {sync}"));
    stage.verify("a restart")?;

    stage.kill(ME)?;
    stage.member(ME)?.wipe()?;
    stage.load.writes(50)?;
    let sync = stage.start_synced(ME, &[SNAP])?;
    stage.note(format!("empty, under load: {sync}"));
    stage.load.writes(50)?;
    stage.verify("a start with nothing")?;

    stage.term(ME)?;
    stage.load.writes(KEPT + 300)?;
    let sync = stage.start_synced(ME, &[DIFF])?;
    if sync.proposals <= usize::try_from(KEPT).unwrap_or(0) {
        return Err(format!("{sync}: not from the log"));
    }
    stage.note(format!("from the leader's log: {sync}"));
    stage.verify("a long absence")?;

    for observer in stage.observers() {
        stage.kill(observer)?;
        stage.load.writes(50)?;
        let sync = stage.start_synced(observer, &[DIFF, SNAP])?;
        stage.note(format!("observer {observer}: {sync}"));
        stage.verify("kill -9 of the observer")?;
    }

    let (next, gap) = stage.kill_leader(leader)?;
    stage.note(format!(
        "{next} leads after kill -9 of {leader}; {} ms without a write",
        gap.as_millis()
    ));
    let sync = stage.start_synced(leader, &[DIFF, SNAP])?;
    stage.note(format!("the former leader: {sync}"));
    stage.verify("kill -9 of the leader")?;

    stage.load.mark();
    stage.kill(ME)?;
    stage.load.writes(100)?;
    let gap = stage.load.gap();
    let sync = stage.start_synced(ME, &[DIFF, SNAP])?;
    stage.note(format!(
        "{} ms without a write after kill -9 of {ME}; {sync}",
        gap.as_millis()
    ));
    stage.verify("kill -9 of the follower")
}
