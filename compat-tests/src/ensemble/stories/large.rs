//! A tree of some size is sent while writes go on, in both directions: the learner that takes it lags
//! behind by all that was written meanwhile.

use super::super::client::{Got, Session, op};
use super::super::limits::{
    HANDSHAKE, LARGE_BYTES, LARGE_FOLDERS, LARGE_NODES, SESSION_MS, SETTLE, WALK_WINDOW,
};
use super::super::stage::{Setting, Stage};
use super::super::tap::kind::SNAP;
use super::Cast;
use compat_tests::raw::{Out, text};

pub(super) fn setting() -> Setting {
    Setting {
        // Far more than the log: whoever is behind by the tree gets the tree.
        lines: vec!["snapCount=20000".into(), "commitLogCount=100".into()],
        ..Setting::default()
    }
}

pub(super) fn play(stage: &mut Stage, _cast: &Cast<'_>) -> Result<(), String> {
    let leader = stage.birth()?;
    let addr = stage.member(leader)?.client;
    let mut session = Session::on(addr, SESSION_MS, SETTLE)?;
    let mut made = 0;
    let mut under_way = 0;
    let total = LARGE_FOLDERS + LARGE_NODES;
    while made < total || under_way > 0 {
        while made < total && under_way < WALK_WINDOW {
            session.send(op::CREATE, &node(made));
            made += 1;
            under_way += 1;
        }
        match session.receive(HANDSHAKE) {
            Got::Reply { err: 0, .. } => under_way -= 1,
            other => return Err(format!("while the tree is made: {other:?}")),
        }
    }
    session.close(SETTLE)?;
    stage.note(format!("{total} nodes were made"));
    stage.load.start()?;
    stage.load.writes(100)?;

    for round in 0..2 {
        let leader = stage.all_serve()?;
        let learner = *stage
            .voters()
            .iter()
            .find(|id| **id != leader)
            .ok_or("no follower")?;
        stage.load.mark();
        stage.kill(learner)?;
        stage.member(learner)?.wipe()?;
        stage.load.writes(100)?;
        let sync = stage.start_synced(learner, &[SNAP])?;
        stage.note(format!(
            "{learner} with nothing, under load: {sync}; {} ms without a write",
            stage.load.gap().as_millis()
        ));
        if sync.tree < LARGE_NODES * LARGE_BYTES {
            return Err(format!("{sync}: a smaller tree than was made"));
        }
        stage.load.writes(100)?;
        if round == 0 {
            let (next, _) = stage.kill_leader(leader)?;
            stage.member(leader)?.wipe()?;
            let sync = stage.start_synced(leader, &[SNAP])?;
            stage.note(format!("{next} leads; {leader} with nothing: {sync}"));
        }
    }
    stage.verify("three trees were sent")
}

/// The request that makes the so manieth node: folders first.
fn node(number: usize) -> Vec<u8> {
    let path = match number.checked_sub(LARGE_FOLDERS) {
        None => format!("/large-{number}"),
        Some(leaf) => format!("/large-{}/node-{leaf:06}", leaf % LARGE_FOLDERS),
    };
    let data = vec![b'a' + (number % 26) as u8; LARGE_BYTES];
    let mut body = Out::new();
    body.bytes(&text(&path))
        .bytes(&Some(data))
        .int(1)
        .int(31)
        .bytes(&text("world"))
        .bytes(&text("anyone"))
        .int(0);
    body.0
}
