//! A server that stood alone becomes the first member of an ensemble when lines for servers are added to
//! its configuration: everything that it had is at all members then.

use compat_tests::raw::{Out, text};

use super::super::client::{Session, op};
use super::super::limits::{HANDSHAKE, SESSION_MS, SETTLE};
use super::super::stage::{Setting, Stage};
use super::Cast;
use super::faults::create;

/// The member that stood alone.
const FIRST: u8 = 1;

/// Nodes that it has then.
const NODES: usize = 300;

pub(super) fn setting() -> Setting {
    Setting {
        plain: true,
        ..Setting::default()
    }
}

pub(super) fn play(stage: &mut Stage, _cast: &Cast<'_>) -> Result<(), String> {
    let kind = stage.member(FIRST)?.seat.kind.clone();
    let mut alone = stage.alone("alone", FIRST, &kind)?;
    // Twice, so that the store and a log behind it are there.
    for part in 0..2 {
        stage.start_beside(&mut alone)?;
        let mut session = Session::on(alone.client, SESSION_MS, SETTLE)?;
        for at in (0..NODES).filter(|at| at % 2 == part) {
            let (_, err, _) = session.call(op::CREATE, &create(&path(at), "x").0, HANDSHAKE)?;
            if err != 0 {
                return Err(format!("{}: {err}", path(at)));
            }
        }
        session.close(SETTLE)?;
        if alone.mode().as_deref() != Some("standalone") {
            return Err(format!("it is not alone: {:?}", alone.mode()));
        }
        match part {
            0 => alone.kill()?,
            _ => alone.term()?,
        }
    }
    stage.member(FIRST)?.take_over(&alone)?;

    // Two that are empty would be a quorum without it: it comes with one of them first.
    let rest: Vec<u8> = stage.ids().into_iter().filter(|id| *id != FIRST).collect();
    let (second, later) = rest.split_first().ok_or("it is alone")?;
    stage.start(FIRST)?;
    stage.start(*second)?;
    let leader = stage.leader_among(&[FIRST, *second])?;
    if leader != FIRST {
        return Err(format!("{leader} leads, which has nothing"));
    }
    for id in later {
        stage.start(*id)?;
    }
    stage.all_serve()?;
    for id in stage.ids() {
        let mut session = Session::on(stage.member(id)?.client, SESSION_MS, SETTLE)?;
        for at in 0..NODES {
            let mut body = Out::new();
            body.bytes(&text(&path(at))).bool(false);
            let (_, err, _) = session.call(op::GET_DATA, &body.0, HANDSHAKE)?;
            if err != 0 {
                return Err(format!("{} at {id}: {err}", path(at)));
            }
        }
        session.close(SETTLE)?;
    }
    stage.note(format!("{FIRST} leads, and all have its {NODES} nodes"));
    stage.load.start()?;
    stage.load.writes(200)?;
    stage.verify("one that was alone and others")?;
    let (next, gap) = stage.kill_leader(FIRST)?;
    stage.start(FIRST)?;
    stage.all_serve()?;
    stage.note(format!(
        "{next} leads, {} ms without a write",
        gap.as_millis()
    ));
    stage.verify("another leader")
}

fn path(at: usize) -> String {
    format!("/alone-{at}")
}
