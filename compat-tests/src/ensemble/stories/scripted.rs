//! One member and a peer that follows a script: packets that a server of another make may send, in
//! orders that no Java server sends them.
//!
//! The scripted peer has the largest id. Member 1 hears its vote only, follows it, and is then read by
//! a client; the scripted leader commits the client's sessions.

use std::collections::BTreeSet;

use super::super::actor::{Link, Port, Reign, Voice, create_txn, tree};
use super::super::spec::Kind;
use super::super::stage::Stage;
use super::super::tap::kind::{ACK, COMMIT, DIFF, NEW_LEADER, PROPOSAL, SNAP, TRUNC, UP_TO_DATE};
use super::super::tree;
use super::Cast;

/// The member under test.
const ME: u8 = 1;
/// The scripted peer.
const ACTOR: u8 = 3;

/// Links of a stopped member that may wait at a scripted leader's port, and one that does not.
const STALE_LINKS: usize = 3;

/// A leader that is only a script.
struct Leader {
    port: Port,
    _voice: Voice,
}

impl Leader {
    fn new(stage: &Stage) -> Result<Leader, String> {
        Ok(Leader {
            port: Port::new(stage.quorum(ACTOR))?,
            // A vote that is better than any history of these scripts.
            _voice: Voice::new(
                stage.election(ACTOR),
                ACTOR,
                stage.election(ME),
                1 << 20,
                1 << 60,
            ),
        })
    }

    /// The learner up to its ACKEPOCH in `epoch`: the link, and its last zxid.
    fn meet(&self, epoch: i64) -> Result<(Link, i64), String> {
        // A member that was stopped may have dialled before: that link has ended, the next is of now.
        let mut why = String::new();
        for _ in 0..STALE_LINKS {
            let mut link = self.port.accept()?;
            match link.lead(epoch) {
                Ok((offered, _)) => return Ok((link, offered)),
                Err(error) => why = error,
            }
        }
        Err(why)
    }
}

/// NEWLEADER and UPTODATE with nothing between them; the learner's two words.
fn finish(link: &mut Link, epoch: i64) -> Result<(), String> {
    link.send(NEW_LEADER, epoch << 32, None)?;
    acks(link, &[epoch << 32])?;
    link.send(UP_TO_DATE, -1, None)?;
    acks(link, &[epoch << 32])
}

/// Waits for ACKs of just these zxids, in any order.
fn acks(link: &mut Link, zxids: &[i64]) -> Result<(), String> {
    let mut open: Vec<i64> = zxids.to_vec();
    while !open.is_empty() {
        let ack = link.expect(&[ACK])?;
        let at = open.iter().position(|zxid| *zxid == ack.zxid);
        open.remove(at.ok_or_else(|| format!("ACK {:#x}, open {open:x?}", ack.zxid))?);
    }
    Ok(())
}

/// The paths that member 1 shows, after its leader has committed a client's session. The link ends.
fn shown(stage: &mut Stage, link: Link, last: i64) -> Result<(BTreeSet<String>, i64), String> {
    let addr = stage.member(ME)?.client;
    let reign = Reign::new(link, last);
    let read = tree::read(addr);
    let (_, last) = reign.stop()?;
    let mut paths: BTreeSet<String> = read?.into_keys().collect();
    paths.retain(|path| !path.starts_with("/zookeeper"));
    Ok((paths, last))
}

fn must(what: &str, paths: &BTreeSet<String>, wanted: &[&str]) -> Result<(), String> {
    let wanted: BTreeSet<String> = wanted.iter().map(|path| (*path).to_owned()).collect();
    if *paths == wanted {
        return Ok(());
    }
    Err(format!("{what}: {paths:?} instead of {wanted:?}"))
}

/// Zxid `n` of an epoch.
fn zxid(epoch: i64, n: i64) -> i64 {
    epoch << 32 | n
}

pub(super) fn play(stage: &mut Stage, _cast: &Cast<'_>) -> Result<(), String> {
    let leader = Leader::new(stage)?;
    stage.start(ME)?;

    // A tree in the order of depth, and transactions behind it.
    let (mut link, offered) = leader.meet(5)?;
    let base = zxid(4, 10);
    link.send(SNAP, base, None)?;
    link.raw(&tree(&[
        ("", "", 0),
        ("/a", "1", zxid(4, 1)),
        ("/b", "2", zxid(4, 2)),
        ("/zookeeper", "", 0),
        ("/a/x", "3", zxid(4, 3)),
        ("/a/y", "4", zxid(4, 4)),
        ("/b/z", "5", zxid(4, 5)),
        ("/zookeeper/config", "", 0),
        ("/zookeeper/quota", "", 0),
    ]))?;
    link.send(
        PROPOSAL,
        base + 1,
        Some(&create_txn(base + 1, "/a/late", "6", 1)),
    )?;
    link.send(COMMIT, base + 1, None)?;
    finish(&mut link, 5)?;
    let (paths, last) = shown(stage, link, zxid(5, 0))?;
    must(
        "a tree by depth",
        &paths,
        &["/", "/a", "/b", "/a/x", "/a/y", "/b/z", "/a/late"],
    )?;
    stage.note(format!(
        "SNAP by depth for {offered:#x}, then PROPOSAL and COMMIT: taken"
    ));

    // COMMITs held back from NEWLEADER until behind UPTODATE.
    let (mut link, offered) = leader.meet(6)?;
    if offered != last {
        return Err(format!("{ME} offers {offered:#x} instead of {last:#x}"));
    }
    link.send(DIFF, last + 2, None)?;
    let (told, open, new) = (last + 1, last + 2, zxid(6, 1));
    link.send(PROPOSAL, told, Some(&create_txn(told, "/c1", "", 1)))?;
    link.send(COMMIT, told, None)?;
    link.send(PROPOSAL, open, Some(&create_txn(open, "/c2", "", 2)))?;
    link.send(NEW_LEADER, zxid(6, 0), None)?;
    link.send(PROPOSAL, new, Some(&create_txn(new, "/c3", "", 3)))?;
    let mut words = vec![zxid(6, 0), zxid(6, 0), open, new];
    let mut order = Vec::new();
    // An old server acknowledges transactions before NEWLEADER.
    while words.contains(&zxid(6, 0)) && order.iter().all(|word| *word != zxid(6, 0)) {
        let ack = link.expect(&[ACK])?;
        order.push(ack.zxid);
        words.retain({
            let mut once = true;
            move |word| *word != ack.zxid || !std::mem::take(&mut once)
        });
    }
    link.send(UP_TO_DATE, -1, None)?;
    link.send(COMMIT, open, None)?;
    link.send(COMMIT, new, None)?;
    while !words.is_empty() {
        let ack = link.expect(&[ACK])?;
        // One that is told twice: the committed one of the synchronisation, by an old server.
        if let Some(at) = words.iter().position(|word| *word == ack.zxid) {
            words.remove(at);
        }
        order.push(ack.zxid);
    }
    let (paths, last) = shown(stage, link, new)?;
    for path in ["/c1", "/c2", "/c3"] {
        if !paths.contains(path) {
            return Err(format!("held COMMITs: no {path} in {paths:?}"));
        }
    }
    stage.note(format!(
        "COMMITs held until behind UPTODATE: taken; ACKs {order:x?}"
    ));

    // A cut that goes back over the beginning of an epoch: of what nobody has committed.
    let (mut link, offered) = leader.meet(7)?;
    if offered != last {
        return Err(format!("{ME} offers {offered:#x} instead of {last:#x}"));
    }
    link.send(DIFF, offered, None)?;
    finish(&mut link, 7)?;
    let lost = zxid(7, 1);
    link.send(PROPOSAL, lost, Some(&create_txn(lost, "/c4", "", 4)))?;
    acks(&mut link, &[lost])?;
    drop(link);
    let (mut link, offered) = leader.meet(8)?;
    if offered != lost {
        return Err(format!("{ME} offers {offered:#x} instead of {lost:#x}"));
    }
    link.send(TRUNC, last, None)?;
    finish(&mut link, 8)?;
    let (paths, _) = shown(stage, link, zxid(8, 0))?;
    let across = !paths.contains("/c4") && paths.contains("/c3");
    stage.note(format!(
        "TRUNC from {offered:#x} to {last:#x} of an older epoch: {}",
        if across { "cut" } else { "NOT cut" }
    ));
    if !across {
        return Err(format!("TRUNC over an epoch's beginning: {paths:?}"));
    }
    // What was cut must not come back from the files.
    stage.term(ME)?;
    stage.start(ME)?;
    let (mut link, offered) = leader.meet(9)?;
    link.send(DIFF, offered, None)?;
    finish(&mut link, 9)?;
    let (paths, last) = shown(stage, link, zxid(9, 0))?;
    if paths.contains("/c4") {
        return Err(format!(
            "TRUNC over an epoch's beginning, restarted: {paths:?}"
        ));
    }
    stage.note("the cut stays after a restart");
    if matches!(stage.member(ME)?.seat.kind, Kind::Zabkeeper) {
        beneath_a_commit(stage, &leader, zxid(6, 1), last)?;
    }
    stage.term(ME)?;

    exact_snapshot(stage, &leader)?;
    drop(leader);
    learners(stage)
}

/// A cut of what was committed, which no leader with a quorum's history asks for: it is not followed,
/// and the member asks for a tree instead. (Java follows it, and forgets what clients have read.)
fn beneath_a_commit(stage: &mut Stage, leader: &Leader, to: i64, last: i64) -> Result<(), String> {
    let (mut link, offered) = leader.meet(10)?;
    if offered != last {
        return Err(format!("{ME} offers {offered:#x} instead of {last:#x}"));
    }
    link.send(TRUNC, to, None)?;
    let (mut link, offered) = leader.meet(11)?;
    if offered != -1 {
        return Err(format!("{ME} offers {offered:#x} for a tree"));
    }
    let base = zxid(10, 1);
    link.send(SNAP, base, None)?;
    link.raw(&tree(&[
        ("", "", 0),
        ("/other", "", zxid(4, 1)),
        ("/zookeeper", "", 0),
        ("/zookeeper/config", "", 0),
        ("/zookeeper/quota", "", 0),
    ]))?;
    finish(&mut link, 11)?;
    let (paths, _) = shown(stage, link, zxid(11, 0))?;
    must("a tree instead of a cut", &paths, &["/", "/other"])?;
    stage.note(format!(
        "TRUNC of what is committed, to {to:#x}: a tree is asked for"
    ));
    Ok(())
}

/// A cut to just the zxid of the learner's snapshot, with a log that begins behind it.
fn exact_snapshot(stage: &mut Stage, leader: &Leader) -> Result<(), String> {
    stage.member(ME)?.wipe()?;
    stage.start(ME)?;
    let (mut link, _) = leader.meet(5)?;
    let base = zxid(4, 10);
    link.send(SNAP, base, None)?;
    link.raw(&tree(&[
        ("", "", 0),
        ("/zookeeper", "", 0),
        ("/zookeeper/config", "", 0),
        ("/zookeeper/quota", "", 0),
    ]))?;
    finish(&mut link, 5)?;
    let stray = zxid(5, 1);
    link.send(PROPOSAL, stray, Some(&create_txn(stray, "/stray", "", 1)))?;
    acks(&mut link, &[stray])?;
    drop(link);
    let (mut link, offered) = leader.meet(6)?;
    if offered != stray {
        return Err(format!("{ME} offers {offered:#x} instead of {stray:#x}"));
    }
    link.send(TRUNC, base, None)?;
    finish(&mut link, 6)?;
    let (paths, _) = shown(stage, link, zxid(6, 0))?;
    // Java cuts behind the first record that is not before the zxid, which here is the stray one.
    let java = matches!(stage.member(ME)?.seat.kind, Kind::Java(_));
    if paths.contains("/stray") != java {
        return Err(format!("TRUNC to the snapshot's own zxid: {paths:?}"));
    }
    stage.note(format!(
        "TRUNC to the snapshot's own zxid: the record behind it {}",
        if java {
            "stays, as Java has it"
        } else {
            "is gone"
        }
    ));
    stage.term(ME)
}

/// Learners that say what no Java learner says, at a leader of two members.
fn learners(stage: &mut Stage) -> Result<(), String> {
    const LEADER: u8 = 2;
    stage.member(ME)?.wipe()?;
    for id in [ME, LEADER] {
        stage.start(id)?;
    }
    // Which of them leads does not matter.
    let leader = stage.all_serve()?;
    let addr = stage.quorum(leader);
    stage.rest()?;

    // Ids in FOLLOWERINFO.
    let mut link = Link::dial(addr)?;
    let epoch = link.follow(ACTOR, 0, 0, 0, &[("zabkeeper", "1")])?;
    let base = join(&mut link, epoch, &[SNAP, DIFF])?;
    stage.note(format!("authinfo in FOLLOWERINFO: ignored, {base}"));
    drop(link);

    // A last zxid that is the last transaction of an older epoch, while the leader is at its own begin.
    let transactions = stage.rest()?.1;
    let other = if leader == ME { LEADER } else { ME };
    stage.term(leader)?;
    stage.start(leader)?;
    let leader = stage.all_serve()?;
    let addr = stage.quorum(leader);
    let mut link = Link::dial(addr)?;
    let now = stage.member(leader)?.zxid().ok_or("no zxid")?;
    let current = i32::try_from(transactions >> 32).unwrap_or(0);
    let epoch = link.follow(ACTOR, 0, current, transactions, &[])?;
    let base = join(&mut link, epoch, &[DIFF])?;
    stage.note(format!(
        "{transactions:#x} at {leader} (before {other}) that shows {now:#x} in epoch {:#x}: {base}",
        epoch >> 32
    ));
    drop(link);

    // A truthful word, and then none.
    let mut link = Link::dial(addr)?;
    link.follow(ACTOR, epoch >> 32, current, transactions, &[])?;
    link.expect(&[DIFF, SNAP, TRUNC])?;
    drop(link);
    let mut link = Link::dial(addr)?;
    let current = i32::try_from(epoch >> 32).unwrap_or(0);
    link.follow(ACTOR, epoch >> 32, current, -1, &[])?;
    let base = join(&mut link, epoch, &[SNAP])?;
    if stage.all_serve()? != leader {
        return Err("the leader has changed".into());
    }
    stage.note(format!(
        "zxid -1 after a truthful one: {base}, {leader} still leads"
    ));
    drop(link);
    stage.verify("scripted learners")
}

/// From the base to UPTODATE, with both words.
fn join(link: &mut Link, epoch: i64, kinds: &[i32]) -> Result<String, String> {
    let base = link.expect(kinds)?;
    let mut text = format!(
        "{} {:#x}",
        super::super::tap::kind::name(base.kind),
        base.zxid
    );
    if base.kind == SNAP {
        let bytes = link.skip_tree()?;
        text.push_str(&format!(" of {bytes} bytes"));
    }
    let mut proposals = 0;
    loop {
        let packet = link.expect(&[PROPOSAL, COMMIT, NEW_LEADER])?;
        match packet.kind {
            NEW_LEADER => break,
            PROPOSAL => proposals += 1,
            _ => {}
        }
    }
    link.send(ACK, epoch, None)?;
    link.expect(&[UP_TO_DATE])?;
    link.send(ACK, epoch, None)?;
    text.push_str(&format!(", {proposals} proposals, UPTODATE"));
    Ok(text)
}
