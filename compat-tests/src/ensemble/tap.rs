//! What passes between learners and leaders: a proxy before the quorum port of each member for each
//! other member; and before the election port, where a story cuts and there are no namespaces.
//!
//! Owns: the listening taps, their connections, the packets seen, and the order to hold a pair. The packets are read by hand (`raw`), not by the codec under test.
//!
//! Does not know: votes, processes. Invariants: bytes pass unchanged (but for the port of a dialler's
//! own address in its first election message, so that it is dialled back by way of a tap) and in order; a packet is
//! noted before its last byte is passed on; nothing waits without a bound but a pump for its socket.

use std::fmt;
use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Instant;

use compat_tests::raw::In;

use super::limits::{POLL, TAP_DIAL, TAP_FIELD, TAP_POLL};

/// Kinds of packets, by their number on the wire.
pub mod kind {
    /// A learner's request.
    pub const REQUEST: i32 = 1;
    /// A transaction, not committed.
    pub const PROPOSAL: i32 = 2;
    /// Of a transaction, of NEWLEADER, of UPTODATE.
    pub const ACK: i32 = 3;
    /// Of a transaction.
    pub const COMMIT: i32 = 4;
    /// In both directions.
    pub const PING: i32 = 5;
    /// End of the synchronisation.
    pub const NEW_LEADER: i32 = 10;
    /// A follower's first word.
    pub const FOLLOWER_INFO: i32 = 11;
    /// The learner may serve.
    pub const UP_TO_DATE: i32 = 12;
    /// Transactions follow.
    pub const DIFF: i32 = 13;
    /// The learner's log is cut.
    pub const TRUNC: i32 = 14;
    /// The tree follows.
    pub const SNAP: i32 = 15;
    /// An observer's first word.
    pub const OBSERVER_INFO: i32 = 16;
    /// The epoch that a leader begins.
    pub const LEADER_INFO: i32 = 17;
    /// The learner's last zxid and epoch.
    pub const ACK_EPOCH: i32 = 18;
    /// Not on the wire: the end of the tree after SNAP.
    pub const SNAP_END: i32 = -15;

    /// The reference's name.
    pub fn name(kind: i32) -> &'static str {
        match kind {
            REQUEST => "REQUEST",
            PROPOSAL => "PROPOSAL",
            ACK => "ACK",
            COMMIT => "COMMIT",
            PING => "PING",
            6 => "REVALIDATE",
            7 => "SYNC",
            8 => "INFORM",
            9 => "COMMITANDACTIVATE",
            NEW_LEADER => "NEWLEADER",
            FOLLOWER_INFO => "FOLLOWERINFO",
            UP_TO_DATE => "UPTODATE",
            DIFF => "DIFF",
            TRUNC => "TRUNC",
            SNAP => "SNAP",
            OBSERVER_INFO => "OBSERVERINFO",
            LEADER_INFO => "LEADERINFO",
            ACK_EPOCH => "ACKEPOCH",
            19 => "INFORMANDACTIVATE",
            SNAP_END => "(end of SNAP)",
            _ => "(unknown)",
        }
    }
}

/// Which way a packet went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum To {
    /// From the learner.
    Leader,
    /// From the leader.
    Learner,
}

/// A packet that passed.
#[derive(Debug, Clone)]
pub struct Seen {
    /// Number of the connection, unique among all taps of a run.
    pub conn: u32,
    /// When its last byte had come.
    pub at: Instant,
    /// Which way.
    pub to: To,
    /// See [`kind`].
    pub kind: i32,
    /// The packet's zxid.
    pub zxid: i64,
    /// Length of its data; `None` for null. Of [`kind::SNAP_END`], the bytes of the tree.
    pub len: Option<usize>,
}

impl fmt::Display for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let way = match self.to {
            To::Leader => "->",
            To::Learner => "<-",
        };
        write!(
            f,
            "#{} {way} {} {:#x}",
            self.conn,
            kind::name(self.kind),
            self.zxid
        )?;
        match self.len {
            Some(len) => write!(f, " [{len}]"),
            None => Ok(()),
        }
    }
}

/// Cuts a byte stream into packets; between SNAP and its signature it only counts.
#[derive(Debug, Default)]
struct Cutter {
    buf: Vec<u8>,
    /// Bytes of the tree so far, while one is passing.
    tree: Option<usize>,
    broken: bool,
}

/// How the tree after SNAP ends: the path "/" that ends the nodes, then the signature.
pub const TREE_END: &[u8] = b"\0\0\0\x01/\0\0\0\x0aBenWasHere";

/// kind, zxid, length of the data.
type Cut = (i32, i64, Option<usize>);

impl Cutter {
    /// Takes bytes in and hands out what is complete. Returns false at bytes that are no packet.
    fn feed(&mut self, bytes: &[u8], mut out: impl FnMut(Cut)) -> bool {
        if self.broken {
            return false;
        }
        self.buf.extend_from_slice(bytes);
        let mut used = 0;
        loop {
            let rest = &self.buf[used..];
            if let Some(counted) = self.tree {
                let end = rest.windows(TREE_END.len()).position(|at| at == TREE_END);
                let Some(at) = end else {
                    // The last bytes may be the beginning of the end.
                    let gone = rest.len().saturating_sub(TREE_END.len() - 1);
                    self.tree = Some(counted + gone);
                    used += gone;
                    break;
                };
                used += at + TREE_END.len();
                self.tree = None;
                let total = counted + at + TREE_END.len();
                out((kind::SNAP_END, 0, Some(total)));
                continue;
            }
            let mut input = In::new(rest);
            match packet(&mut input) {
                Err(()) => {
                    self.broken = true;
                    break;
                }
                Ok(None) => break,
                Ok(Some(cut)) => {
                    used += input.position();
                    if cut.0 == kind::SNAP {
                        self.tree = Some(0);
                    }
                    out(cut);
                }
            }
        }
        self.buf.drain(..used);
        !self.broken
    }
}

fn field<'a>(input: &mut In<'a>) -> Result<Option<Option<&'a [u8]>>, ()> {
    let mut peek = input.clone();
    match peek.int() {
        None => Ok(None),
        Some(n) if n > TAP_FIELD => Err(()),
        Some(_) => Ok(input.bytes()),
    }
}

/// One packet, or nothing when it is not whole.
fn packet(input: &mut In<'_>) -> Result<Option<Cut>, ()> {
    let (Some(kind), Some(zxid)) = (input.int(), input.long()) else {
        return Ok(None);
    };
    if !(1..=19).contains(&kind) {
        return Err(());
    }
    let Some(data) = field(input)? else {
        return Ok(None);
    };
    let Some(ids) = input.int() else {
        return Ok(None);
    };
    for _ in 0..ids.max(0) {
        for _ in 0..2 {
            if field(input)?.is_none() {
                return Ok(None);
            }
        }
    }
    Ok(Some((kind, zxid, data.map(<[u8]>::len))))
}

#[derive(Debug, Default)]
struct Orders {
    /// To the leader, to the learner.
    hold: [AtomicBool; 2],
    end: AtomicBool,
}

#[derive(Debug)]
struct Shared {
    orders: Orders,
    seen: Mutex<Vec<Seen>>,
    conns: Arc<AtomicU32>,
    target: SocketAddr,
    /// Before an election port: the port that dialled members are to see in the place of the dialler's.
    advertise: Option<u16>,
}

impl Shared {
    fn seen(&self) -> MutexGuard<'_, Vec<Seen>> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn closed(&self) -> bool {
        self.orders.end.load(Ordering::Relaxed)
    }
}

/// One tap: the way of one learner to one leader.
#[derive(Debug)]
struct Tap {
    learner: u8,
    leader: u8,
    addr: SocketAddr,
    shared: Arc<Shared>,
    listener: Option<JoinHandle<()>>,
}

impl Tap {
    fn new(
        (learner, leader): (u8, u8),
        addr: SocketAddr,
        target: SocketAddr,
        advertise: Option<u16>,
        conns: Arc<AtomicU32>,
    ) -> Result<Tap, String> {
        let listener = TcpListener::bind(addr).map_err(|e| format!("tap at {addr}: {e}"))?;
        let shared = Arc::new(Shared {
            orders: Orders::default(),
            seen: Mutex::new(Vec::new()),
            conns,
            target,
            advertise,
        });
        let for_thread = Arc::clone(&shared);
        let thread = std::thread::spawn(move || accept(&listener, &for_thread));
        Ok(Tap {
            learner,
            leader,
            addr,
            shared,
            listener: Some(thread),
        })
    }
}

impl Drop for Tap {
    fn drop(&mut self) {
        self.shared.orders.end.store(true, Ordering::Relaxed);
        // Wakes the thread up; it fails only when the thread has ended.
        let _ = TcpStream::connect(self.addr);
        if let Some(thread) = self.listener.take() {
            // A panic of the thread was printed by it.
            let _ = thread.join();
        }
    }
}

fn accept(listener: &TcpListener, shared: &Arc<Shared>) {
    let mut pumps = Vec::new();
    while let Ok((learner, _)) = listener.accept() {
        if shared.closed() {
            break;
        }
        let shared = Arc::clone(shared);
        pumps.push(std::thread::spawn(move || {
            if let Some(leader) = dial(&shared) {
                connect(learner, leader, &shared);
            }
        }));
    }
    for pump in pumps {
        // A panic of the thread was printed by it.
        let _ = pump.join();
    }
}

/// The leader's port, which it may be about to open.
fn dial(shared: &Shared) -> Option<TcpStream> {
    let deadline = Instant::now() + TAP_DIAL;
    loop {
        match TcpStream::connect_timeout(&shared.target, TAP_DIAL) {
            Ok(stream) => return Some(stream),
            Err(_) if shared.closed() || Instant::now() > deadline => return None,
            // Polled: a port that is not open has nothing to wait on.
            Err(_) => std::thread::sleep(POLL),
        }
    }
}

fn connect(learner: TcpStream, leader: TcpStream, shared: &Arc<Shared>) {
    let conn = shared.conns.fetch_add(1, Ordering::Relaxed) + 1;
    let (Ok(learner2), Ok(leader2)) = (learner.try_clone(), leader.try_clone()) else {
        return;
    };
    let up = {
        let shared = Arc::clone(shared);
        std::thread::spawn(move || pump(learner2, leader2, &shared, conn, To::Leader))
    };
    pump(leader, learner, shared, conn, To::Learner);
    // A panic of the thread was printed by it.
    let _ = up.join();
}

fn pump(mut from: TcpStream, mut into: TcpStream, shared: &Shared, conn: u32, to: To) {
    let mut cutter = Cutter::default();
    let mut held: Vec<u8> = Vec::new();
    let mut chunk = vec![0u8; 64 * 1024];
    let mut first = to == To::Leader;
    let ready = from.set_read_timeout(Some(TAP_POLL)).is_ok() && into.set_nodelay(true).is_ok();
    while ready && !shared.closed() {
        let holds = || shared.orders.hold[to as usize].load(Ordering::SeqCst);
        if !held.is_empty() && !holds() {
            if into.write_all(&held).is_err() {
                break;
            }
            held.clear();
        }
        match from.read(&mut chunk) {
            Ok(0) => break,
            Ok(n) => {
                if let Some(port) = shared.advertise {
                    if std::mem::take(&mut first) {
                        readdress(&mut chunk[..n], port);
                    }
                    if holds() || !held.is_empty() {
                        held.extend_from_slice(&chunk[..n]);
                    } else if into.write_all(&chunk[..n]).is_err() {
                        break;
                    }
                    continue;
                }
                let sane = cutter.feed(&chunk[..n], |(kind, zxid, len)| {
                    shared.seen().push(Seen {
                        conn,
                        at: Instant::now(),
                        to,
                        kind,
                        zxid,
                        len,
                    });
                });
                if !sane {
                    eprintln!("tap: connection {conn}: bytes that are no packet pass unread");
                }
                // Asked after the read: what came after the order was given is never passed on.
                if holds() || !held.is_empty() {
                    held.extend_from_slice(&chunk[..n]);
                } else if into.write_all(&chunk[..n]).is_err() {
                    break;
                }
            }
            Err(e)
                if matches!(
                    e.kind(),
                    ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted
                ) => {}
            Err(_) => break,
        }
    }
    // Both fail only when they are closed already.
    let _ = from.shutdown(Shutdown::Both);
    let _ = into.shutdown(Shutdown::Both);
}

/// Puts `port` into a first election message: version, sid, length, `host:port`. It comes in one piece,
/// as it was written in one; the port has as many digits as the one it replaces.
fn readdress(message: &mut [u8], port: u16) {
    const HEAD: usize = 20;
    let digits = port.to_string();
    let Some(length) = In::new(message).take(HEAD).and_then(|head| {
        let (_, length) = head.split_last_chunk::<4>()?;
        usize::try_from(i32::from_be_bytes(*length)).ok()
    }) else {
        return;
    };
    if let Some(address) = message.get_mut(HEAD..HEAD + length)
        && let Some(colon) = address.iter().rposition(|byte| *byte == b':')
        && address.len() - colon - 1 == digits.len()
    {
        address[colon + 1..].copy_from_slice(digits.as_bytes());
    }
}

/// How a learner came into an epoch, by the packets.
#[derive(Debug, Clone)]
pub struct Sync {
    /// Who led.
    pub leader: u8,
    /// The epoch, from NEWLEADER or LEADERINFO: as a zxid.
    pub epoch: i64,
    /// Whether UPTODATE came.
    pub done: bool,
    /// DIFF, TRUNC or SNAP.
    pub kind: i32,
    /// Its zxid.
    pub zxid: i64,
    /// The zxid in ACKEPOCH.
    pub offered: i64,
    /// PROPOSALs between it and NEWLEADER.
    pub proposals: usize,
    /// Bytes of the tree.
    pub tree: usize,
}

impl fmt::Display for Sync {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} {:#x} from {} for {:#x}, {} proposals",
            kind::name(self.kind),
            self.zxid,
            self.leader,
            self.offered,
            self.proposals
        )?;
        match self.tree {
            0 => Ok(()),
            n => write!(f, ", tree of {n} bytes"),
        }
    }
}

/// All taps of a run.
#[derive(Debug)]
pub struct Taps {
    taps: Vec<Tap>,
    /// Before the election ports: the dialler in the learner's place, the dialled in the leader's.
    election: Vec<Tap>,
}

impl Taps {
    /// A tap for each ordered pair of members; `tap` is where it listens, `quorum` where it leads to.
    ///
    /// # Errors
    /// An address is taken.
    pub fn new(
        ids: &[u8],
        tap: impl Fn(u8, u8) -> SocketAddr,
        quorum: impl Fn(u8) -> SocketAddr,
    ) -> Result<Taps, String> {
        let conns = Arc::new(AtomicU32::new(0));
        let mut taps = Vec::new();
        for learner in ids {
            for leader in ids.iter().filter(|leader| *leader != learner) {
                taps.push(Tap::new(
                    (*learner, *leader),
                    tap(*learner, *leader),
                    quorum(*leader),
                    None,
                    Arc::clone(&conns),
                )?);
            }
        }
        Ok(Taps {
            taps,
            election: Vec::new(),
        })
    }

    /// Adds taps before the election ports: `tap` is where one listens, of the dialler and the dialled.
    ///
    /// # Errors
    /// An address is taken.
    pub fn add_election(
        &mut self,
        ids: &[u8],
        tap: impl Fn(u8, u8) -> SocketAddr,
        election: impl Fn(u8) -> SocketAddr,
    ) -> Result<(), String> {
        let conns = Arc::new(AtomicU32::new(0));
        for from in ids {
            for to in ids.iter().filter(|to| *to != from) {
                self.election.push(Tap::new(
                    (*from, *to),
                    tap(*from, *to),
                    election(*to),
                    Some(tap(*to, *from).port()),
                    Arc::clone(&conns),
                )?);
            }
        }
        Ok(())
    }

    fn tap(&self, learner: u8, leader: u8) -> Result<&Tap, String> {
        self.taps
            .iter()
            .find(|tap| tap.learner == learner && tap.leader == leader)
            .ok_or_else(|| format!("no tap from {learner} to {leader}"))
    }

    /// Takes bytes and passes none on, in both directions, until [`Taps::free`]; they are still noted.
    ///
    /// # Errors
    /// There is no such pair.
    pub fn hold(&self, learner: u8, leader: u8) -> Result<(), String> {
        self.order(learner, leader, &[To::Leader, To::Learner], true)
    }

    /// Undoes [`Taps::hold`]; what was held is passed on if its connection lives.
    ///
    /// # Errors
    /// There is no such pair.
    pub fn free(&self, learner: u8, leader: u8) -> Result<(), String> {
        self.order(learner, leader, &[To::Leader, To::Learner], false)
    }

    /// Holds, or frees, what `from` sends to `to`, whoever of them leads.
    ///
    /// # Errors
    /// There is no such pair.
    pub fn one_way(&self, from: u8, to: u8, hold: bool) -> Result<(), String> {
        self.order(from, to, &[To::Leader], hold)?;
        self.order(to, from, &[To::Learner], hold)
    }

    fn order(&self, learner: u8, leader: u8, ways: &[To], hold: bool) -> Result<(), String> {
        let tap = self.tap(learner, leader)?;
        let election = self
            .election
            .iter()
            .find(|tap| tap.learner == learner && tap.leader == leader);
        for tap in std::iter::once(tap).chain(election) {
            for way in ways {
                tap.shared.orders.hold[*way as usize].store(hold, Ordering::SeqCst);
            }
        }
        Ok(())
    }

    /// Everything seen of a pair since `since`.
    ///
    /// # Errors
    /// There is no such pair.
    pub fn seen(&self, learner: u8, leader: u8, since: Instant) -> Result<Vec<Seen>, String> {
        let tap = self.tap(learner, leader)?;
        let seen = tap.shared.seen();
        let from = seen.partition_point(|seen| seen.at < since);
        Ok(seen[from..].to_vec())
    }

    /// The learner's synchronisations that began after `since`, in their order; the last may be under
    /// way.
    pub fn syncs(&self, learner: u8, since: Instant) -> Vec<Sync> {
        let mut all: Vec<(Instant, Sync)> = self
            .taps
            .iter()
            .filter(|tap| tap.learner == learner)
            .flat_map(|tap| syncs(tap.leader, &tap.shared.seen(), since))
            .collect();
        all.sort_by_key(|(at, _)| *at);
        all.into_iter().map(|(_, sync)| sync).collect()
    }

    /// What the rules of the protocol forbid and any tap has seen, a line each.
    pub fn offences(&self) -> Vec<String> {
        let mut lines = Vec::new();
        for tap in &self.taps {
            let seen = tap.shared.seen();
            let mut conns: Vec<u32> = seen.iter().map(|seen| seen.conn).collect();
            conns.sort_unstable();
            conns.dedup();
            for conn in conns {
                let all: Vec<&Seen> = seen.iter().filter(|seen| seen.conn == conn).collect();
                for line in offences(&all) {
                    lines.push(format!("{} to {}: {line}", tap.learner, tap.leader));
                }
            }
        }
        lines
    }

    /// How many packets of each kind passed, for the report of a story.
    pub fn counts(&self) -> String {
        let mut counts = std::collections::BTreeMap::new();
        for tap in &self.taps {
            for seen in tap.shared.seen().iter() {
                *counts.entry(seen.kind).or_insert(0usize) += 1;
            }
        }
        counts
            .iter()
            .filter(|(kind, _)| **kind > 0)
            .map(|(kind, n)| format!("{} {n}", kind::name(*kind)))
            .collect::<Vec<_>>()
            .join(", ")
    }
}

fn syncs(leader: u8, seen: &[Seen], since: Instant) -> Vec<(Instant, Sync)> {
    let first = seen.partition_point(|seen| seen.at < since);
    let mut found: Vec<(Instant, u32, Sync)> = Vec::new();
    let (mut offered, mut epoch) = (0, 0);
    for seen in &seen[first..] {
        // The two packets before the base come on the same connection, one after the other.
        match seen.kind {
            kind::LEADER_INFO => epoch = seen.zxid,
            kind::ACK_EPOCH => offered = seen.zxid,
            kind::DIFF | kind::TRUNC | kind::SNAP => {
                let sync = Sync {
                    leader,
                    epoch,
                    done: false,
                    kind: seen.kind,
                    zxid: seen.zxid,
                    offered,
                    proposals: 0,
                    tree: 0,
                };
                found.push((seen.at, seen.conn, sync));
            }
            _ => {}
        }
    }
    for (_, conn, sync) in &mut found {
        let all = seen[first..].iter().filter(|seen| seen.conn == *conn);
        for seen in all {
            match seen.kind {
                kind::PROPOSAL => sync.proposals += 1,
                kind::SNAP_END => sync.tree = seen.len.unwrap_or(0),
                kind::NEW_LEADER => break,
                _ => {}
            }
        }
        sync.done = seen[first..]
            .iter()
            .any(|seen| seen.conn == *conn && seen.kind == kind::UP_TO_DATE);
    }
    found.into_iter().map(|(at, _, sync)| (at, sync)).collect()
}

/// Low half of a zxid.
fn counter(zxid: i64) -> i64 {
    zxid & 0xffff_ffff
}

/// The rules that hold on every connection, whoever wrote the two ends.
fn offences(all: &[&Seen]) -> Vec<String> {
    let mut lines = Vec::new();
    let (mut proposed, mut committed) = (i64::MIN, i64::MIN);
    let mut offered = std::collections::BTreeSet::new();
    let mut told = 0usize;
    for (i, seen) in all.iter().enumerate() {
        let mut bad = |what: &str| lines.push(format!("{seen}: {what}"));
        match (seen.to, seen.kind) {
            (To::Learner, kind::PROPOSAL) => {
                if seen.zxid <= proposed {
                    bad("not after the one before");
                }
                proposed = seen.zxid;
                offered.insert(seen.zxid);
            }
            (To::Learner, kind::COMMIT) => {
                if seen.zxid <= committed {
                    bad("not after the one before");
                }
                if !offered.contains(&seen.zxid) {
                    bad("was not proposed here");
                }
                committed = seen.zxid;
            }
            (To::Learner, kind::NEW_LEADER | kind::UP_TO_DATE) => told += 1,
            (To::Leader, kind::ACK) if counter(seen.zxid) == 0 => match told.checked_sub(1) {
                Some(left) => told = left,
                None => bad("acknowledges what was not said"),
            },
            (To::Leader, kind::ACK) if !offered.contains(&seen.zxid) => {
                bad("was not proposed here")
            }
            (To::Leader, kind::PING) if seen.len.is_none() => bad("its data is null"),
            (To::Leader, kind::FOLLOWER_INFO | kind::OBSERVER_INFO) if i != 0 => {
                bad("not the first word");
            }
            _ => {}
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use compat_tests::raw::Out;

    fn bytes(kind: i32, zxid: i64, data: Option<&[u8]>) -> Vec<u8> {
        let mut out = Out::new();
        out.int(kind)
            .long(zxid)
            .bytes(&data.map(<[u8]>::to_vec))
            .int(-1);
        out.0
    }

    #[test]
    fn packets_are_cut_wherever_the_stream_is_split() {
        let mut stream = bytes(17, 1 << 32, Some(&[0, 1, 0, 0]));
        stream.extend(bytes(kind::SNAP, 7, None));
        stream.extend(b"a tree with BenWasHere in it");
        stream.extend(TREE_END);
        stream.extend(bytes(kind::PING, 9, Some(&[])));
        let mut reference = None;
        for size in 1..=stream.len() {
            let mut cutter = Cutter::default();
            let mut all = Vec::new();
            for piece in stream.chunks(size) {
                assert!(cutter.feed(piece, |cut| all.push(cut)));
            }
            let kinds: Vec<i32> = all.iter().map(|cut| cut.0).collect();
            assert_eq!(kinds, [17, kind::SNAP, kind::SNAP_END, kind::PING]);
            assert_eq!(all[2].2, Some(28 + TREE_END.len()));
            assert_eq!(all[3].2, Some(0));
            assert_eq!(reference.get_or_insert_with(|| all.clone()), &all);
        }
        let mut cutter = Cutter::default();
        assert!(!cutter.feed(&bytes(0, 0, None), |_| ()));
        assert!(!cutter.feed(&bytes(kind::PING, 0, None), |_| ()));
    }

    #[test]
    fn a_dialler_is_dialled_back_by_way_of_a_tap() {
        let message = |address: &str| {
            let mut out = Out::new();
            out.long(-65536)
                .long(2)
                .bytes(&compat_tests::raw::text(address));
            out.0
        };
        let mut bytes = message("127.88.1.2:3888");
        readdress(&mut bytes, 3891);
        assert_eq!(bytes, message("127.88.1.2:3891"));
        let mut short = bytes[..19].to_vec();
        readdress(&mut short, 3892);
        assert_eq!(short, bytes[..19]);
        let mut bare = message("x");
        readdress(&mut bare, 3892);
        assert_eq!(bare, message("x"));
    }

    #[test]
    fn offences_are_found() {
        let at = Instant::now();
        let seen = |to, kind, zxid, len| Seen {
            conn: 1,
            at,
            to,
            kind,
            zxid,
            len,
        };
        let found = |all: &[Seen]| offences(&all.iter().collect::<Vec<_>>()).len();
        let good = [
            seen(To::Leader, kind::FOLLOWER_INFO, 0, Some(20)),
            seen(To::Learner, kind::PROPOSAL, 5, Some(40)),
            seen(To::Learner, kind::COMMIT, 5, None),
            seen(To::Learner, kind::NEW_LEADER, 1 << 32, None),
            seen(To::Leader, kind::ACK, 1 << 32, None),
            seen(To::Leader, kind::ACK, 5, None),
            seen(To::Leader, kind::PING, 5, Some(0)),
        ];
        assert_eq!(found(&good), 0);
        assert_eq!(found(&[seen(To::Leader, kind::PING, 5, None)]), 1);
        assert_eq!(found(&[seen(To::Leader, kind::ACK, 5, None)]), 1);
        assert_eq!(found(&[seen(To::Leader, kind::ACK, 1 << 32, None)]), 1);
        assert_eq!(found(&[seen(To::Learner, kind::COMMIT, 5, None)]), 1);
        let twice = [good[1].clone(), good[1].clone()];
        assert_eq!(found(&twice), 1);
        assert_eq!(found(&[good[1].clone(), good[0].clone()]), 1);
    }
}
