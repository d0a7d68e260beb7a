//! Growth and shrinkage under load: no session may expire, and clients may see nothing but lost
//! connections.

use std::collections::BTreeSet;

use super::super::client::{Session, op};
use super::super::limits::{HANDSHAKE, SESSION_MS, SETTLE};
use super::super::stage::{Setting, Stage};
use super::Cast;
use compat_tests::raw::{In, Out, text};

pub(super) fn setting() -> Setting {
    Setting {
        grows: true,
        ..Setting::default()
    }
}

pub(super) fn play(stage: &mut Stage, _cast: &Cast<'_>) -> Result<(), String> {
    let observers = stage.observers();
    if stage.voters() != [1, 2, 3, 4, 5] || observers != [6, 7] {
        return Err("it needs five voters, then two observers".into());
    }
    let mut members: Vec<u8> = vec![1];
    stage.start_among(1, &[])?;
    stage.all_serve()?;
    stage.load.start()?;
    stage.load.writes(100)?;
    stage.verify("one server")?;

    for id in [2, 3] {
        join(stage, &mut members, &[id])?;
    }
    stage.verify("one to three")?;
    join(stage, &mut members, &[4, 5])?;
    stage.verify("three to five")?;
    join(stage, &mut members, &observers)?;
    stage.verify("five to seven, two of them observers")?;

    for observer in [true, false] {
        stage.load.mark();
        stage.member(2)?.seat.observer = observer;
        stage.reconfig(&[2], &[])?;
        settled(stage, &members)?;
        stage.verify(if observer {
            "a voter became an observer"
        } else {
            "the observer is a voter again"
        })?;
    }

    let leader = stage.all_serve()?;
    leave(stage, &mut members, &[leader])?;
    stage.verify("the leader left")?;
    leave(stage, &mut members, &observers)?;
    let leader = stage.all_serve()?;
    let follower = *members
        .iter()
        .find(|id| **id != leader)
        .ok_or("no follower")?;
    leave(stage, &mut members, &[follower])?;
    stage.verify("seven to three")?;

    // The files that the servers have written are what they start from.
    let leader = stage.all_serve()?;
    let (next, gap) = {
        stage.load.mark();
        stage.kill(leader)?;
        let others: Vec<u8> = members.iter().copied().filter(|id| *id != leader).collect();
        let next = stage.leader_among(&others)?;
        stage.load.writes(100)?;
        (next, stage.load.gap())
    };
    stage.start(leader)?;
    settled(stage, &members)?;
    stage.note(format!(
        "{next} leads after kill -9 of {leader}; {} ms without a write",
        gap.as_millis()
    ));
    stage.verify("kill -9 of the leader of three")
}

fn join(stage: &mut Stage, members: &mut Vec<u8>, ids: &[u8]) -> Result<(), String> {
    stage.load.mark();
    for id in ids {
        stage.start_among(*id, members)?;
    }
    stage.reconfig(ids, &[])?;
    members.extend_from_slice(ids);
    settled(stage, members)?;
    stage.note(format!(
        "{ids:?} joined; {} ms without a write",
        stage.load.gap().as_millis()
    ));
    Ok(())
}

fn leave(stage: &mut Stage, members: &mut Vec<u8>, ids: &[u8]) -> Result<(), String> {
    stage.load.mark();
    stage.reconfig(&[], ids)?;
    members.retain(|id| !ids.contains(id));
    for id in ids {
        stage.term(*id)?;
    }
    settled(stage, members)?;
    stage.load.writes(50)?;
    stage.note(format!(
        "{ids:?} left; {} ms without a write",
        stage.load.gap().as_millis()
    ));
    Ok(())
}

/// Waits until all have their roles, and one configuration, which names just these.
fn settled(stage: &mut Stage, members: &[u8]) -> Result<(), String> {
    stage.all_serve()?;
    let mut wanted = Vec::new();
    for id in members {
        wanted.push(stage.server_line(*id)?);
    }
    wanted.sort();
    for id in members {
        let addr = stage.member(*id)?.client;
        stage.wait("it has the new configuration", |_| {
            let mut lines: Vec<String> = config(addr)?
                .lines()
                .filter(|line| line.starts_with("server."))
                .map(ToOwned::to_owned)
                .collect();
            lines.sort();
            Ok((lines == wanted).then_some(()))
        })?;
    }
    // Java's and ours alike: the version in its name, and every byte.
    stage.wait("all have written the same dynamic file", |stage| {
        let mut files = BTreeSet::new();
        for id in members {
            files.insert(stage.member(*id)?.dynamic().unwrap_or_default());
        }
        Ok((files.len() == 1 && !files.contains(&None)).then_some(()))
    })
}

/// The text of the configuration's node on one server.
fn config(addr: std::net::SocketAddr) -> Result<String, String> {
    let mut session = Session::on(addr, SESSION_MS, SETTLE)?;
    let mut body = Out::new();
    body.bytes(&text("/zookeeper/config")).bool(false);
    let answer = session.call(op::GET_DATA, &body.0, HANDSHAKE);
    let closed = session.call(op::CLOSE_SESSION, &[], HANDSHAKE);
    // A server that takes a new role drops its clients: asked again.
    let (Ok((_, 0, data)), Ok(_)) = (answer, closed) else {
        return Ok(String::new());
    };
    let data = In::new(&data).bytes().flatten().unwrap_or_default();
    Ok(String::from_utf8_lossy(data).into_owned())
}
