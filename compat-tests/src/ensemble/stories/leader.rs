//! The voter with the largest id leads, brings the others up to date, loses its own unheard writes.

use std::time::Instant;

use super::super::stage::{Setting, Stage};
use super::super::tap::kind::{DIFF, SNAP, TRUNC};
use super::Cast;

/// Transactions that a leader keeps in memory: more than are written while a member starts, so that
/// none needs a tree whose log is short enough.
const KEPT: u64 = 20_000;

pub(super) fn setting() -> Setting {
    Setting {
        lines: vec![format!("commitLogCount={KEPT}")],
        ..Setting::default()
    }
}

/// The two voters with the smallest ids, and the one with the largest.
fn seats(stage: &Stage) -> Result<(u8, u8, u8), String> {
    match stage.voters()[..] {
        [small, middle, large] => Ok((small, middle, large)),
        _ => Err("not three voters".into()),
    }
}

pub(super) fn play(stage: &mut Stage, _cast: &Cast<'_>) -> Result<(), String> {
    let (small, middle, large) = seats(stage)?;
    stage.birth()?;
    stage.load.start()?;
    stage.load.writes(300)?;
    stage.verify("birth")?;

    stage.term(small)?;
    stage.load.writes(50)?;
    let sync = stage.start_synced(small, &[DIFF])?;
    stage.note(format!("restart of {small}: {sync}"));

    stage.kill(middle)?;
    stage.member(middle)?.wipe()?;
    stage.load.writes(50)?;
    let sync = stage.start_synced(middle, &[SNAP])?;
    stage.note(format!("{middle} with nothing: {sync}"));
    stage.verify("DIFF and SNAP from the leader")?;

    // The middle one leads while the large one follows, all at one zxid of one epoch.
    let (next, gap) = stage.kill_leader(large)?;
    stage.note(format!(
        "{next} leads after kill -9 of {large}; {} ms without a write",
        gap.as_millis()
    ));
    let sync = stage.start_synced(large, &[DIFF, SNAP])?;
    stage.note(format!("return of {large}: {sync}"));
    stage.load.writes(50)?;
    stage.verify("kill -9 of the leader")?;
    let follower = if next == middle { small } else { middle };

    truncated(stage, next, follower, large, true)?;
    stage.verify("TRUNC from the largest")?;

    // The other way round: the large one leads and has written what nobody heard.
    truncated(stage, large, small, middle, true)?;
    stage.verify("TRUNC to the largest")?;

    // When the new epoch has a transaction, the old one's rest cannot be cut any more.
    let old = stage.all_serve()?;
    let others: Vec<u8> = stage.voters().into_iter().filter(|id| *id != old).collect();
    let [follower, absent] = others[..] else {
        return Err("not three voters".into());
    };
    truncated(stage, old, follower, absent, false)?;
    stage.verify("SNAP instead of TRUNC")
}

/// `old` leads and writes what neither `follower` nor `absent` gets; it is killed, `absent` comes back
/// and leads `follower`, then `old` returns: before the new epoch has a transaction (`cut`), or after.
fn truncated(
    stage: &mut Stage,
    old: u8,
    follower: u8,
    absent: u8,
    cut: bool,
) -> Result<(), String> {
    // No session may be left whose end would be a transaction of the new epoch.
    stage.load.stop()?;
    let leader = stage.all_serve()?;
    if leader != old {
        return Err(format!("{leader} leads instead of {old}"));
    }
    let common = stage.same_zxid()?;
    stage.term(absent)?;
    let stranded = stage.strand(old, &[follower])?;
    if stranded <= common {
        return Err(format!("{stranded:#x} is not after {common:#x}"));
    }
    stage.kill(old)?;
    // What was held is gone with its connection.
    stage.idle(follower)?;
    stage.taps()?.free(follower, old)?;
    let since = Instant::now();
    stage.start(absent)?;
    let next = stage.leader_among(&[absent, follower])?;
    stage.synced(
        if next == absent { follower } else { absent },
        since,
        &[DIFF],
    )?;
    if next != absent {
        return Err(format!("{next} leads instead of {absent}"));
    }
    if !cut {
        stage.load.start()?;
        stage.load.writes(20)?;
    }
    let kinds = if cut { [TRUNC] } else { [SNAP] };
    let sync = stage.start_synced(old, &kinds)?;
    if sync.offered != stranded {
        return Err(format!("{sync}: it offers another than {stranded:#x}"));
    }
    if cut && sync.zxid != common {
        return Err(format!("{sync}: not to {common:#x}"));
    }
    stage.note(format!("{old} returns with an unheard write: {sync}"));
    if cut {
        stage.load.start()?;
        stage.load.writes(20)?;
    }
    Ok(())
}
