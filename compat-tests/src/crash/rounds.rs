//! Rounds of kill -9 under load, on one directory.
//!
//! Owns: the moments of the kills, the variation of the settings, the fate of sessions, and what
//! must hold over all rounds. See the module above for why the check is exact.

use std::collections::HashSet;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use fastrand::Rng;

use super::Context;
use super::files::segments;
use super::limits::{EXPIRY, KILL_MOMENT, POLL};
use super::load::{Ended, Kept, Mix, Writer, brief};
use super::op::Op;
use super::seen::{self, Session};
use super::server::{Running, Setup};

const WRITERS: usize = 6;
/// Of them, those whose sessions are left to expire.
const LEFT: usize = 2;
/// Timeout of sessions that are attached again, milliseconds: longer than any verification.
const KEPT_MS: i32 = 60_000;
/// Timeout of sessions that are left to expire.
const LEFT_MS: i32 = 3_000;

/// When the server dies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Moment {
    /// After so many replies.
    Replies(u64),
    /// When the log goes on in a new file.
    Roll,
    /// When the store has written a table.
    Table,
    /// When a file of the log has been removed.
    Purge,
}

/// A writer with what becomes of its session.
#[derive(Debug)]
struct Active {
    writer: Writer,
    left: bool,
}

#[derive(Debug, Default)]
struct Tally {
    replies: u64,
    kept: usize,
    unanswered: usize,
    reattached: usize,
    expired: usize,
    closed: usize,
    double: usize,
    purged: usize,
    rolled: usize,
    slowest_start: Duration,
}

struct Rounds<'a> {
    context: &'a Context,
    rng: Rng,
    active: Vec<Active>,
    /// Sessions that nobody attaches again, with their subtrees.
    leaving: Vec<Writer>,
    /// Subtrees that nobody changes any more.
    retired: Vec<Writer>,
    closed: Vec<Kept>,
    roots: usize,
    highest: i64,
    tally: Tally,
}

/// Runs them.
///
/// # Errors
/// What is wrong, with the round.
pub fn run(context: &Context) -> Result<String, String> {
    let mut all = Rounds {
        context,
        rng: Rng::with_seed(context.seed),
        active: Vec::new(),
        leaving: Vec::new(),
        retired: Vec::new(),
        closed: Vec::new(),
        roots: 0,
        highest: 0,
        tally: Tally::default(),
    };
    for round in 0..context.rounds {
        all.round(round)
            .map_err(|why| format!("round {round} of seed {}: {why}", context.seed))?;
    }
    all.finish()?;
    if context.rounds >= 10 && (all.tally.purged == 0 || all.tally.rolled == 0) {
        return Err("no file of the log was ever finished, or none removed".into());
    }
    Ok(format!("{:?}", all.tally))
}

impl Rounds<'_> {
    fn setup(&mut self, moment: Option<Moment>) -> Setup {
        let short = matches!(moment, Some(Moment::Roll | Moment::Purge));
        let mut setup = Setup::new(&self.context.binary, &self.context.work)
            .with("forceSync=yes")
            .with(format!(
                "preAllocSize={}",
                self.rng.choice([16, 64, 1024, 65_536]).unwrap_or(64)
            ));
        if short || self.rng.bool() {
            setup = setup.with(format!(
                "txnLogSizeLimitInKb={}",
                self.rng.choice([16, 64, 512]).unwrap_or(64)
            ));
        }
        if moment == Some(Moment::Purge) || self.rng.bool() {
            setup = setup
                .with("zabkeeper.diffWindowTxns=500")
                .with("zabkeeper.diffWindowMiB=1");
        }
        setup
    }

    fn round(&mut self, round: u32) -> Result<(), String> {
        let moment = match self.rng.u32(0..10) {
            0..5 => Moment::Replies(1 << self.rng.u32(0..16)),
            5..7 => Moment::Roll,
            7 => Moment::Table,
            _ => Moment::Purge,
        };
        let setup = self.setup(Some(moment));
        if self.rng.u32(0..3) == 0 {
            // Dies while it opens the store, replays, or loads the tree.
            let mut first = setup.spawn()?;
            // No condition is awaited here: any moment will do.
            std::thread::sleep(Duration::from_micros(self.rng.u64(0..120_000)));
            if first.kill().is_ok() {
                self.tally.double += 1;
            }
        }
        let mut server = setup.start()?;
        self.tally.slowest_start = self.tally.slowest_start.max(server.started.elapsed());
        self.verify(&server)?;
        let last = round + 1 == self.context.rounds;
        // Beside the load: what expires does so while others write.
        let expire = round % 4 == 3 || last;
        self.load(&mut server, &setup, moment, expire)
    }

    /// What the log kept is what was acknowledged and perhaps a little more.
    fn verify(&mut self, server: &Running) -> Result<(), String> {
        let zxid = server.zxid()?;
        if zxid < self.highest {
            return Err(format!(
                "srvr shows zxid {zxid:#x}, {:#x} was acknowledged",
                self.highest
            ));
        }
        self.highest = zxid;
        let mut reader = seen::fresh(server.addr, KEPT_MS)?;
        for active in &mut self.active {
            let read = reader.subtree(&active.writer.acked.root, 1)?;
            let (kept, sent) = active.writer.settle(&read, active.left)?;
            self.tally.kept += kept;
            self.tally.unanswered += sent;
        }
        for writer in &mut self.leaving {
            settle_leaving(&mut reader, writer)?;
        }
        self.quota(&mut reader)?;
        for kept in self.closed.iter().rev().take(3) {
            if seen::attach(server.addr, kept.timeout, kept.id, &kept.passwd)?.is_some() {
                return Err(format!("session {:#x} was closed, and is back", kept.id));
            }
        }
        for active in std::mem::take(&mut self.active) {
            self.sort(server, active)?;
        }
        while self.active.len() < WRITERS {
            let root = format!("/w{}", self.roots);
            reader.must(&create(&root))?;
            let seed = self.rng.u64(..);
            let mut writer = Writer::new(&root, seed);
            let read = reader.subtree(&root, 1)?;
            writer.settle(&read, false)?;
            let left = self.active.iter().filter(|active| active.left).count() < LEFT;
            self.active.push(Active { writer, left });
            if self.roots == 0 {
                set_quota(&mut reader, &root)?;
            }
            self.roots += 1;
        }
        self.highest = self.highest.max(server.zxid()?);
        reader.must(&Op::CloseSession)?;
        Ok(())
    }

    /// Whose session goes on, whose is left, whose is gone.
    fn sort(&mut self, server: &Running, mut active: Active) -> Result<(), String> {
        let Some(kept) = active.writer.session.clone() else {
            self.active.push(active);
            return Ok(());
        };
        if active.writer.closed {
            active.writer.session = None;
            self.tally.closed += 1;
            self.closed.push(kept);
            self.active.push(active);
            return Ok(());
        }
        if active.left {
            // Its replacement begins below a root of its own.
            self.leaving.push(active.writer);
            return Ok(());
        }
        let mut wrong = kept.passwd.clone();
        wrong[3] ^= 1;
        if seen::attach(server.addr, kept.timeout, kept.id, &wrong)?.is_some() {
            return Err(format!("session {:#x} takes a wrong password", kept.id));
        }
        // Attached again by the writer itself.
        self.tally.reattached += 1;
        self.active.push(active);
        Ok(())
    }

    fn quota(&mut self, reader: &mut Session) -> Result<(), String> {
        let first = self.active.iter().map(|active| &active.writer);
        let mut all = first.chain(&self.leaving).chain(&self.retired);
        let Some(writer) = all.find(|writer| writer.acked.root == "/w0") else {
            return Ok(());
        };
        let bytes: usize = writer
            .acked
            .nodes
            .values()
            .map(|node| node.data.as_ref().map_or(0, Vec::len))
            .sum();
        let want = format!("count={},bytes={bytes}", writer.acked.nodes.len());
        let path = "/zookeeper/quota/w0/zookeeper_stats";
        let seen = reader.subtree(path, 0)?;
        let got = seen.get(path).and_then(|node| node.data.clone());
        let got = String::from_utf8_lossy(&got.unwrap_or_default()).into_owned();
        if got == want {
            Ok(())
        } else {
            Err(format!(
                "the quota of /w0 counts {got:?}, there is {want:?}"
            ))
        }
    }

    /// Writes until the moment of the kill.
    fn load(
        &mut self,
        server: &mut Running,
        setup: &Setup,
        moment: Moment,
        expire: bool,
    ) -> Result<(), String> {
        let mixes: Vec<Mix> = (0..self.active.len())
            .map(|_| Mix {
                window: self.rng.choice([1, 4, 16, 64]).unwrap_or(1),
                reads: self.rng.choice([0, 20, 50]).unwrap_or(0),
                nodes: 150,
                count: true,
                close_after: (self.rng.u32(0..4) == 0).then(|| self.rng.u64(1..400)),
                names: (8, 30),
            })
            .collect();
        let start = server.zxid()?;
        let addr = server.addr;
        let killed = AtomicBool::new(false);
        let failed = AtomicBool::new(false);
        let done = AtomicU64::new(0);
        let (mut active, mut leaving) = (
            std::mem::take(&mut self.active),
            std::mem::take(&mut self.leaving),
        );
        let folder = setup.log_folder();
        let store = setup.store();
        let before = segments(&folder);
        let tables = tables(&store);
        let (result, expired, closed) = std::thread::scope(|scope| {
            let threads: Vec<_> = active
                .iter_mut()
                .zip(&mixes)
                .map(|(active, mix)| {
                    let (killed, failed, done) = (&killed, &failed, &done);
                    scope.spawn(move || {
                        let closed = write(active, mix, addr, killed, done);
                        if closed.is_err() {
                            failed.store(true, Ordering::Relaxed);
                        }
                        closed
                    })
                })
                .collect();
            let mut expired = Ok(0);
            if expire {
                expired = expire_all(addr, &mut leaving, &failed);
            }
            let deadline = Instant::now() + KILL_MOMENT;
            let due = || match moment {
                Moment::Replies(n) => done.load(Ordering::Relaxed) >= n,
                // The first file of this run comes with the first write.
                Moment::Roll => {
                    let now = segments(&folder);
                    now.iter().filter(|one| !before.contains(one)).count() > 1
                }
                Moment::Table => self::tables(&store) > tables,
                Moment::Purge => before.first().is_some_and(|(_, path)| !path.exists()),
            };
            while !due() && Instant::now() < deadline && !failed.load(Ordering::Relaxed) {
                // Polled: nothing announces what others write.
                std::thread::sleep(POLL);
            }
            let faultless = server.faultless();
            killed.store(true, Ordering::Relaxed);
            let mut result = server.kill().and(faultless);
            let mut closed = Vec::new();
            for thread in threads {
                match thread.join() {
                    Ok(Ok(more)) => closed.extend(more),
                    Ok(Err(why)) => result = Err(why),
                    Err(_) => result = Err("a writer panicked".into()),
                }
            }
            (result, expired, closed)
        });
        self.closed.extend(closed);
        result.map_err(|why| format!("{why} (the kill was to be at {moment:?})"))?;
        self.tally.expired += expired?;
        self.tally.replies += done.load(Ordering::Relaxed);
        let output = server.output();
        self.tally.purged += usize::from(output.contains("removed"));
        let rolled = segments(&folder)
            .iter()
            .filter(|s| !before.contains(s))
            .count()
            > 1;
        self.tally.rolled += usize::from(rolled);
        // Every transaction of this run lies behind everything that there was before it.
        let mut zxids = HashSet::new();
        for active in &active {
            for zxid in &active.writer.zxids {
                if *zxid <= start || !zxids.insert(*zxid) {
                    return Err(format!("zxid {zxid:#x} was given twice"));
                }
            }
        }
        let highest = zxids.into_iter().max();
        self.highest = self.highest.max(highest.unwrap_or(0));
        self.active = active;
        let (gone, still): (Vec<_>, Vec<_>) = leaving.into_iter().partition(|w| w.closed);
        self.retired.extend(gone);
        self.leaving = still;
        Ok(())
    }

    /// The last start: everything is there, what was left expires, and after a stop nothing is
    /// replayed.
    fn finish(&mut self) -> Result<(), String> {
        let setup = self.setup(None);
        let mut server = setup.start()?;
        self.verify(&server)?;
        self.tally.expired += expire_all(server.addr, &mut self.leaving, &AtomicBool::new(false))?;
        server.faultless()?;
        let took = server.term()?;
        let server = setup.start()?;
        let output = server.output();
        if !output.contains("to be replayed: None") {
            return Err(format!("a stop of {took:?} left a replay:\n{output}"));
        }
        let mut reader = seen::fresh(server.addr, KEPT_MS)?;
        let active = self.active.iter_mut().map(|active| &mut active.writer);
        for writer in active.chain(&mut self.leaving).chain(&mut self.retired) {
            let read = reader.subtree(&writer.acked.root, 1)?;
            if let Some(differs) = writer.acked.differs(&read) {
                return Err(format!("after the last restart {differs}"));
            }
        }
        Ok(())
    }
}

/// One writer until the server dies: sessions one after the other.
fn write(
    active: &mut Active,
    mix: &Mix,
    addr: std::net::SocketAddr,
    killed: &AtomicBool,
    done: &AtomicU64,
) -> Result<Vec<Kept>, String> {
    let timeout = if active.left { LEFT_MS } else { KEPT_MS };
    let mut closed = Vec::new();
    loop {
        let mut conn = match active.writer.connect(addr, timeout) {
            Ok(conn) => conn,
            Err(_) if killed.load(Ordering::Relaxed) => return Ok(closed),
            Err(why) => return Err(why),
        };
        let ended = active.writer.run(&mut conn, mix, u64::MAX, done)?;
        match ended {
            // Its session is closed; the next one begins.
            Ended::Done => {
                closed.extend(active.writer.session.take());
                active.writer.closed = false;
            }
            Ended::Closed => {
                // The kill is announced before it is done.
                if killed.load(Ordering::Relaxed) {
                    return Ok(closed);
                }
                return Err(format!(
                    "the connection of session {:x?} was closed, the server lives; not answered: {:?}",
                    active.writer.session.as_ref().map(|kept| kept.id),
                    active.writer.flying.front().map(|(_, op)| brief(op))
                ));
            }
        }
    }
}

/// Waits until each session that was left is gone with its ephemerals; returns how many.
fn expire_all(
    addr: std::net::SocketAddr,
    leaving: &mut [Writer],
    failed: &AtomicBool,
) -> Result<usize, String> {
    let deadline = Instant::now() + Duration::from_millis(LEFT_MS as u64) + EXPIRY;
    let mut reader = seen::fresh(addr, KEPT_MS)?;
    let mut count = 0;
    for writer in leaving {
        while !writer.closed && !failed.load(Ordering::Relaxed) {
            settle_leaving(&mut reader, writer)?;
            let session = writer.session.as_ref().map_or(0, |kept| kept.id);
            if writer.acked.ephemerals(session).is_empty() {
                // Nothing shows when a session without nodes goes, and asking for it would
                // prolong it.
                writer.closed = true;
            }
            if Instant::now() > deadline {
                return Err(format!("session {session:#x} does not expire"));
            }
            if !writer.closed {
                // Polled: an expiry is not announced to others.
                std::thread::sleep(10 * POLL);
            }
        }
        count += 1;
    }
    reader.must(&Op::CloseSession)?;
    Ok(count)
}

fn settle_leaving(reader: &mut Session, writer: &mut Writer) -> Result<(), String> {
    let mut last = String::new();
    // It may expire between two of the reads.
    for _ in 0..3 {
        let read = match reader.subtree(&writer.acked.root, 1) {
            Ok(read) => read,
            Err(why) => {
                last = why;
                continue;
            }
        };
        match writer.settle(&read, true) {
            Ok(_) => return Ok(()),
            Err(why) => last = why,
        }
    }
    Err(last)
}

fn create(path: &str) -> Op {
    Op::Create {
        path: path.into(),
        data: None,
        acl: 0,
        ephemeral: false,
        sequential: false,
        stat: false,
    }
}

/// Limits that nothing reaches: their usage is counted with every write.
pub fn set_quota(session: &mut Session, root: &str) -> Result<(), String> {
    let folder = format!("/zookeeper/quota{root}");
    for (path, data) in [
        (folder.clone(), ""),
        (
            format!("{folder}/zookeeper_limits"),
            "count=1000000,bytes=-1",
        ),
        (format!("{folder}/zookeeper_stats"), "count=0,bytes=0"),
    ] {
        session.must(&Op::Create {
            path,
            data: Some(data.as_bytes().to_vec()),
            acl: 0,
            ephemeral: false,
            sequential: false,
            stat: false,
        })?;
    }
    Ok(())
}

fn tables(store: &Path) -> usize {
    let Ok(entries) = std::fs::read_dir(store.join("rocks")) else {
        return 0;
    };
    let names = entries
        .flatten()
        .filter_map(|e| e.file_name().into_string().ok());
    names
        .filter_map(|name| name.strip_suffix(".sst")?.parse().ok())
        .max()
        .unwrap_or(0)
}
