//! What no peer and no client sends, at the ports of every member, under load: the link is dropped, the
//! ensemble goes on under the same leader.

use std::io::Write as _;
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use compat_tests::conn::{Conn, End, connect_request, request};
use compat_tests::raw::{Out, text};

use super::super::actor::Link;
use super::super::client::op;
use super::super::limits::{DIAL, HANDSHAKE, SESSION_MS, SYNC_TIME};
use super::super::spec::Kind;
use super::super::stage::Stage;
use super::super::tap::kind;
use super::Cast;

/// A learner that no configuration knows; such a one may follow without a vote.
const STRANGER: u8 = 9;

/// First words at an election port.
fn election_words() -> Vec<(&'static str, Vec<u8>)> {
    let hello = |version: i64, sid: i64, length: i32, address: &str| {
        let mut out = Out::new();
        out.long(version).long(sid).int(length);
        out.0.extend_from_slice(address.as_bytes());
        out.0
    };
    vec![
        ("text", b"GET / HTTP/1.1\r\nHost: x\r\n\r\n".to_vec()),
        ("zeros", vec![0; 64]),
        ("an unknown version", hello(-65000, 9, 3, "x:1")),
        ("a length of nothing", hello(-65536, 9, 0, "")),
        ("a negative length", hello(-65536, 9, -1, "")),
        ("a huge length", hello(-65536, 9, i32::MAX, "x")),
        ("an address that is none", hello(-65536, 9, 3, "???")),
    ]
}

/// First words at a quorum port.
fn quorum_words() -> Vec<(&'static str, Vec<u8>)> {
    let packet = |kind: i32, zxid: i64, length: i32, data: &[u8]| {
        let mut out = Out::new();
        out.int(kind).long(zxid).int(length);
        out.0.extend_from_slice(data);
        out.int(-1);
        out.0
    };
    vec![
        ("text", b"GET / HTTP/1.1\r\nHost: x\r\n\r\n".to_vec()),
        ("an unknown kind", packet(77, 0, -1, &[])),
        ("an ACK first", packet(kind::ACK, 0, -1, &[])),
        (
            "a huge length",
            packet(kind::FOLLOWER_INFO, 0, i32::MAX, &[]),
        ),
        ("a configuration of the future", {
            let mut info = Out::new();
            info.long(i64::from(STRANGER)).int(0x1_0000).long(i64::MAX);
            packet(kind::FOLLOWER_INFO, 0, 20, &info.0)
        }),
    ]
}

fn open(addr: SocketAddr) -> Result<TcpStream, String> {
    TcpStream::connect_timeout(&addr, DIAL).map_err(|e| format!("{addr}: {e}"))
}

pub(super) fn play(stage: &mut Stage, _cast: &Cast<'_>) -> Result<(), String> {
    let leader = stage.birth()?;
    stage.load.start()?;
    stage.load.writes(100)?;

    // Kept open until the end: one that never speaks must keep nobody out.
    let mut silent = Vec::new();
    for id in stage.ids() {
        silent.push(open(stage.election(id))?);
        for (what, bytes) in election_words() {
            let mut stream = open(stage.election(id))?;
            stream
                .write_all(&bytes)
                .map_err(|e| format!("{what} at the election port of {id}: {e}"))?;
        }
    }
    silent.push(open(stage.quorum(leader))?);
    for (what, bytes) in quorum_words() {
        let mut link = Link::dial(stage.quorum(leader))?;
        link.raw(&bytes)?;
        // The end of the link is the answer; until then there may be packets.
        let deadline = Instant::now() + SYNC_TIME + HANDSHAKE;
        while link.next(HANDSHAKE / 10).is_ok() {
            if Instant::now() > deadline {
                return Err(format!("{what}: the link lives on"));
            }
        }
    }
    foreign_epochs(stage, leader)?;
    stage.load.writes(100)?;
    if stage.all_serve()? != leader {
        return Err("the leader has changed".into());
    }
    stage.note("words at the ports: the same leader goes on");
    stage.verify("words at the ports")?;

    // A member that starts now has to find the others past the silent ones.
    let follower = *stage
        .voters()
        .iter()
        .find(|id| **id != leader)
        .ok_or("no follower")?;
    stage.kill(follower)?;
    let begun = Instant::now();
    stage.start_synced(follower, &[kind::DIFF, kind::SNAP])?;
    stage.note(format!(
        "{follower} came back past the silent ones in {} ms",
        begun.elapsed().as_millis()
    ));
    drop(silent);

    undecodable(stage)?;
    stage.verify("requests that cannot be decoded")
}

/// Learners that claim a history of a later epoch than the leader's, and accept one far ahead.
fn foreign_epochs(stage: &mut Stage, leader: u8) -> Result<(), String> {
    let addr = stage.quorum(leader);
    let mut link = Link::dial(addr)?;
    let told = link.follow(STRANGER, 0, i32::MAX, i64::MAX, &[])?;
    while let Ok(Some(packet)) = link.next(HANDSHAKE) {
        if packet.kind == kind::UP_TO_DATE {
            return Err("a learner of a later epoch was brought up to date".into());
        }
    }
    let mut link = Link::dial(addr)?;
    let again = link.follow(STRANGER, 1 << 20, 0, 0, &[])?;
    if again != told {
        return Err(format!("the epoch was {told:#x} and then {again:#x}"));
    }
    Ok(())
}

/// A create whose body ends in its path, from a client of each member where no Java server would have
/// to judge it as leader: that one would propose a zxid twice and never commit again.
fn undecodable(stage: &mut Stage) -> Result<(), String> {
    let leader = stage.all_serve()?;
    if stage.member(leader)?.seat.kind != Kind::Zabkeeper {
        // Its own clients and those of Java followers must be spared; ours answers by itself.
        let ours: Vec<u8> = stage.ids();
        for id in ours {
            if stage.member(id)?.seat.kind == Kind::Zabkeeper {
                refused(stage, id)?;
            }
        }
        return Ok(());
    }
    for id in stage.ids() {
        refused(stage, id)?;
    }
    Ok(())
}

fn refused(stage: &mut Stage, id: u8) -> Result<(), String> {
    let addr = stage.member(id)?.client;
    let mut conn = Conn::open(addr).map_err(|e| format!("{addr}: {e}"))?;
    conn.send(&connect_request(0, SESSION_MS, 0, &Some(vec![0; 16]), Some(false)).framed());
    conn.frame(HANDSHAKE)
        .map_err(|e| format!("{id}: no handshake: {e:?}"))?;
    let mut body = Out::new();
    body.bytes(&text("/poison")).int(i32::MAX);
    conn.send(&request(1, op::CREATE, &body.0).framed());
    // An error or a close; silence would be a request that nobody answers.
    match conn.frame(HANDSHAKE) {
        Ok(_) | Err(End::Closed) => {}
        Err(end) => return Err(format!("{id}: an undecodable create: {end:?}")),
    }
    conn.send(&request(2, op::CLOSE_SESSION, &[]).framed());
    conn.hang_up(Duration::from_secs(1));
    stage.note(format!("an undecodable create at {id}: answered"));
    Ok(())
}
