//! What happens beside the clients while a big tree is loaded: sessions that end or expire with
//! nodes that are not in memory, watches that come back, quotas, the reaper, four-letter words.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use compat_tests::conn::four_letter;
use fastrand::Rng;
use jute::{Decode, Encode, Reader};
use zk_wire::OpCode;
use zk_wire::client::{ReplyHeader, RequestHeader, SetWatches, WatcherEvent, frame};

use super::base::plain;
use super::limits::{EXPIRY, POLL, TICK_MS};
use super::load::Writer;
use super::op::Op;
use super::rounds::set_quota;
use super::seen::{self, Session};

/// The shortest timeout that a server grants, milliseconds: two ticks.
const SHORT_MS: i32 = 2 * TICK_MS;
const KEPT_MS: i32 = 120_000;
/// Ephemeral nodes of each holder.
const EPHEMERALS: u32 = 300;
const WATCHED: usize = 300;
const CONTAINERS: usize = 100;

fn delete(path: &str) -> Op {
    Op::Delete {
        path: path.into(),
        version: -1,
    }
}

/// The nodes that the scenes need, made once.
///
/// # Errors
/// They cannot be made.
pub fn prepare(session: &mut Session) -> Result<(), String> {
    for root in ["/h", "/v", "/c"] {
        session.must(&plain(root, None))?;
    }
    for n in 0..WATCHED {
        session.must(&plain(&format!("/v/n{n}"), Some(b"watched")))?;
    }
    Ok(())
}

/// What becomes of a holder's session after a restart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    /// It is attached again and closed at once.
    Closed,
    /// Nobody attaches it: it expires while the tree is loaded.
    Expires,
    /// It is attached again, and stays.
    Stays,
}

/// Sessions with many ephemeral nodes.
#[derive(Debug, Default)]
pub struct Holders {
    all: Vec<(Writer, Fate)>,
    made: usize,
    alive: Option<(Arc<AtomicBool>, JoinHandle<()>)>,
}

impl Holders {
    /// Makes the holders of one restart, and keeps them alive until [`Holders::release`].
    ///
    /// # Errors
    /// They cannot be made.
    pub fn make(&mut self, addr: SocketAddr, rng: &mut Rng) -> Result<(), String> {
        let mut session = seen::fresh(addr, KEPT_MS)?;
        let mut conns = Vec::new();
        for fate in [Fate::Closed, Fate::Expires, Fate::Stays, Fate::Expires] {
            let root = format!("/h/{}", self.made);
            self.made += 1;
            session.must(&plain(&root, None))?;
            let mut writer = Writer::new(&root, rng.u64(..));
            let timeout = if fate == Fate::Expires {
                SHORT_MS
            } else {
                KEPT_MS
            };
            let mut conn = writer.connect(addr, timeout)?;
            writer.fill(&mut conn, 3, EPHEMERALS / 3, true)?;
            self.all.push((writer, fate));
            conns.push(conn);
        }
        let stop = Arc::new(AtomicBool::new(false));
        let until = stop.clone();
        let thread = std::thread::spawn(move || {
            let mut ping = Vec::new();
            Op::Ping.frame(zk_wire::client::xid::PING, &mut ping);
            while !until.load(Ordering::Relaxed) {
                for conn in &mut conns {
                    conn.send(&ping);
                    // The wait for the answer is the pause between two pings.
                    let _ = conn.frame(Duration::from_millis(20));
                }
                std::thread::sleep(Duration::from_millis(20));
            }
        });
        self.alive = Some((stop, thread));
        Ok(())
    }

    /// The server is gone: nobody need be kept alive.
    pub fn release(&mut self) {
        if let Some((stop, thread)) = self.alive.take() {
            stop.store(true, Ordering::Relaxed);
            // It sends pings and nothing else.
            let _ = thread.join();
        }
    }

    /// Right after a restart: each session meets its fate.
    ///
    /// # Errors
    /// One is refused, or does not own what it should.
    pub fn after_restart(&mut self, addr: SocketAddr) -> Result<(), String> {
        for (writer, fate) in &mut self.all {
            if *fate == Fate::Expires || writer.closed {
                continue;
            }
            // What it owns is asked for there.
            let mut conn = writer.connect(addr, KEPT_MS)?;
            if *fate == Fate::Closed {
                let none = std::sync::atomic::AtomicU64::new(0);
                let mix = super::base::MIX;
                writer.run_after(&mut conn, &mix, vec![Op::CloseSession], 0, &none)?;
            }
        }
        Ok(())
    }

    /// Every subtree is as it must be; forgets those whose session is gone.
    ///
    /// # Errors
    /// One is not, or a session does not expire.
    pub fn verify(&mut self, reader: &mut Session) -> Result<(), String> {
        let deadline = Instant::now() + EXPIRY;
        for (writer, fate) in &mut self.all {
            let expires = *fate == Fate::Expires;
            loop {
                // Its nodes may go between two of the reads.
                let result = reader
                    .subtree(&writer.acked.root, 50)
                    .and_then(|read| writer.settle(&read, expires));
                if result.is_ok() && (!expires || writer.closed) {
                    break;
                }
                if !expires || Instant::now() > deadline {
                    return Err(format!(
                        "{} of a session that {fate:?}: {result:?}",
                        writer.acked.root
                    ));
                }
                // Polled: an expiry is not announced to others.
                std::thread::sleep(10 * POLL);
            }
        }
        self.all.retain(|(_, fate)| *fate == Fate::Stays);
        Ok(())
    }
}

/// A client comes back with its watches: nothing is told that did not change, everything that
/// changes from now on is.
///
/// # Errors
/// An event is missing, or too much.
pub fn watches(addr: SocketAddr) -> Result<(), String> {
    let mut writer = seen::fresh(addr, KEPT_MS)?;
    let since = writer.call(&Op::Sync("/".into()))?.zxid;
    let mut watcher = seen::fresh(addr, KEPT_MS)?;
    let names = |what: &str, range: std::ops::Range<usize>| {
        Some(
            range
                .map(|n| Some(format!("/v/{what}{n}").into()))
                .collect(),
        )
    };
    let mut out = Vec::new();
    let start = frame::begin(&mut out);
    RequestHeader {
        xid: 1,
        op: OpCode::SetWatches.to_i32(),
    }
    .encode(&mut out);
    SetWatches {
        relative_zxid: since,
        data: names("n", 0..100),
        exist: names("none", 0..100),
        child: Some(vec![Some("/v".into())]),
    }
    .encode(&mut out);
    frame::finish(&mut out, start);
    let reply = watcher.raw(&out, 1)?.remove(0);
    let header = ReplyHeader::decode(&mut Reader::new(&reply)).map_err(|e| e.to_string())?;
    if (header.xid, header.err) != (1, 0) {
        return Err(format!("setWatches: {header:?}"));
    }
    writer.must(&Op::Set {
        path: "/v/n42".into(),
        data: Some(b"watched".to_vec()),
        version: -1,
    })?;
    writer.must(&plain("/v/none7", None))?;
    let mut told = Vec::new();
    for event in watcher.raw(&[], 3)? {
        let mut reader = Reader::new(&event);
        let header = ReplyHeader::decode(&mut reader).map_err(|e| e.to_string())?;
        let event = WatcherEvent::decode(&mut reader).map_err(|e| e.to_string())?;
        told.push((
            header.xid,
            event.kind,
            event.path.unwrap_or_default().into_owned(),
        ));
    }
    let want = [(-1, 3, "/v/n42"), (-1, 1, "/v/none7"), (-1, 4, "/v")]
        .map(|(xid, kind, path)| (xid, kind, path.to_owned()));
    if told != want {
        return Err(format!("events {told:?} instead of {want:?}"));
    }
    writer.must(&delete("/v/none7"))?;
    for session in [&mut writer, &mut watcher] {
        // The watcher's remaining watches have fired for /v/none7 already, or not at all.
        session.must_quietly(&Op::CloseSession)?;
    }
    Ok(())
}

/// A quota on the fourth client's subtree: its recount needs every node.
///
/// # Errors
/// It cannot be set.
pub fn quota(addr: SocketAddr) -> Result<(), String> {
    let mut session = seen::fresh(addr, KEPT_MS)?;
    set_quota(&mut session, "/t3")?;
    session.must(&Op::CloseSession).map(drop)
}

/// The quota counts what there is.
///
/// # Errors
/// It does not.
pub fn check_quota(reader: &mut Session, writer: &Writer) -> Result<(), String> {
    let nodes = &writer.acked.nodes;
    let bytes: usize = nodes
        .values()
        .map(|node| node.data.as_ref().map_or(0, Vec::len))
        .sum();
    let want = format!("count={},bytes={bytes}", nodes.len());
    let path = format!("/zookeeper/quota{}/zookeeper_stats", writer.acked.root);
    let seen = reader.subtree(&path, 0)?;
    let got = seen.get(&path).and_then(|node| node.data.clone());
    let got = String::from_utf8_lossy(&got.unwrap_or_default()).into_owned();
    if got == want {
        Ok(())
    } else {
        Err(format!("{path} says {got:?}, there is {want:?}"))
    }
}

/// Takes the quota away.
///
/// # Errors
/// It cannot be deleted.
pub fn remove_quota(session: &mut Session) -> Result<(), String> {
    let folder = "/zookeeper/quota/t3";
    session.must(&delete(&format!("{folder}/zookeeper_stats")))?;
    session.must(&delete(&format!("{folder}/zookeeper_limits")))?;
    session.must(&delete(folder)).map(drop)
}

/// Containers that had a child, and nodes whose time is over: for the next start to reap.
///
/// # Errors
/// They cannot be made.
pub fn make_containers(session: &mut Session) -> Result<(), String> {
    for n in 0..CONTAINERS {
        let path = format!("/c/c{n}");
        let child = format!("{path}/x");
        session.must(&Op::Container(path))?;
        session.must(&plain(&child, None))?;
        session.must(&delete(&child))?;
        session.must(&Op::Ttl(format!("/c/t{n}")))?;
    }
    Ok(())
}

/// The reaper deletes them, though they are not in memory when it first looks.
///
/// # Errors
/// Some stay.
pub fn reaped(addr: SocketAddr) -> Result<(), String> {
    let mut session = seen::fresh(addr, KEPT_MS)?;
    let deadline = Instant::now() + EXPIRY;
    loop {
        // One may go between two of the reads.
        let left = session.subtree("/c", 0).map(|read| read.len());
        if left == Ok(1) {
            return session.must(&Op::CloseSession).map(drop);
        }
        if Instant::now() > deadline {
            return Err(format!("the reaper left {left:?} nodes"));
        }
        // Polled: the reaper has its own time.
        std::thread::sleep(10 * POLL);
    }
}

/// Every four-letter word is answered, again and again.
///
/// # Errors
/// One is not.
pub fn words(addr: SocketAddr, stop: &AtomicBool) -> Result<(), String> {
    const WORDS: [&str; 12] = [
        "ruok", "srvr", "stat", "mntr", "cons", "dump", "wchs", "wchc", "wchp", "envi", "conf",
        "hash",
    ];
    for word in WORDS.iter().cycle() {
        if stop.load(Ordering::Relaxed) {
            return Ok(());
        }
        match four_letter(addr, word) {
            Ok(text) if !text.is_empty() || matches!(*word, "wchc" | "wchp" | "hash") => {}
            Ok(_) | Err(_) if stop.load(Ordering::Relaxed) => return Ok(()),
            other => return Err(format!("{word}: {other:?}")),
        }
        // Not so often that nothing else is done.
        std::thread::sleep(5 * POLL);
    }
    Ok(())
}
