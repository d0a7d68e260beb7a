//! Streams to learners, and snapshots from a leader.

use parking_lot::{Condvar, Mutex};
use zabkeeper::limits::{LOAD_QUIET, PACE_FLOOR, STREAM_WINDOW};
use zk_wire::quorum::snap::{OPEN_ACL, SnapEncoder, SnapItem};
use zk_wire::stat::StatPersisted;
use zk_zab::io::{Base, StreamPlan};

use super::*;

/// A log of these transactions, each of so many bytes.
struct Log {
    last: i64,
    bytes: usize,
    holds: Holds,
}

/// How many places of a log are held.
#[derive(Clone, Default)]
struct Holds(Arc<(Mutex<usize>, Condvar)>);

impl Holds {
    fn add(&self) -> Holds {
        *self.0.0.lock() += 1;
        self.clone()
    }

    fn count(&self) -> usize {
        *self.0.0.lock()
    }

    /// Waits until none is.
    fn let_go(&self) {
        let mut held = self.0.0.lock();
        let end = Instant::now() + BOUND;
        while *held > 0 {
            let late = self.0.1.wait_until(&mut held, end).timed_out();
            assert!(!late, "{held} are still held");
        }
    }
}

struct Records {
    next: i64,
    until: i64,
    payload: Vec<u8>,
    holds: Holds,
}

impl Drop for Records {
    fn drop(&mut self) {
        *self.holds.0.0.lock() -= 1;
        self.holds.0.1.notify_all();
    }
}

fn payload(zxid: i64, bytes: usize) -> Vec<u8> {
    let mut payload = vec![zxid as u8; bytes];
    payload[..8].copy_from_slice(&zxid.to_be_bytes());
    payload
}

impl LogSource for Log {
    fn open(&self, after: Zxid, until: Zxid) -> Result<Box<dyn LogRecords>, String> {
        if until.0 > self.last {
            return Err(format!("the log ends at {}", Zxid(self.last)));
        }
        Ok(Box::new(Records {
            next: after.0 + 1,
            until: until.0,
            payload: vec![0; self.bytes],
            holds: self.holds.add(),
        }))
    }
}

impl LogRecords for Records {
    fn next(&mut self) -> Result<Option<(Zxid, &[u8])>, String> {
        if self.next > self.until {
            return Ok(None);
        }
        let zxid = self.next;
        self.next += 1;
        self.payload = payload(zxid, self.payload.len());
        Ok(Some((Zxid(zxid), &self.payload)))
    }

    fn extend(&mut self, until: Zxid) -> Result<(), String> {
        self.until = until.0;
        Ok(())
    }
}

/// A tree at a zxid, as its bytes.
struct Tree(Zxid, Vec<u8>);

impl SnapSource for Tree {
    fn send(
        &self,
        begin: &mut dyn FnMut(Zxid) -> Result<(), Broken>,
        take: &mut dyn FnMut(Vec<u8>) -> Result<(), Broken>,
    ) -> Result<(), Broken> {
        begin(self.0)?;
        self.1.chunks(100_000).try_for_each(|it| take(it.to_vec()))
    }
}

fn tree(nodes: usize, bytes: usize) -> Vec<u8> {
    let mut out = Vec::new();
    let mut encoder = SnapEncoder::begin(1, 0, &mut out);
    encoder.session(7, 8_000, &mut out);
    let stat = StatPersisted::default();
    encoder.node("", None, OPEN_ACL, &stat, &mut out);
    for number in 0..nodes {
        let data = vec![number as u8; bytes];
        let path = format!("/{number}");
        encoder.node(&path, Some(&data), OPEN_ACL, &stat, &mut out);
    }
    encoder.end(&mut out);
    out
}

/// Keeps the paths of what it is given; waits while it is held.
#[derive(Clone, Default)]
struct Taken(Arc<(Mutex<Kept>, Condvar)>);

#[derive(Default)]
struct Kept {
    begun: Vec<Zxid>,
    items: Vec<String>,
    finished: usize,
    dropped: usize,
    held: bool,
    refuses: Option<&'static str>,
}

struct Taking(Taken);

impl SnapSinks for Taken {
    fn begin(&self, zxid: Zxid) -> Result<Box<dyn SnapSink>, String> {
        self.0.0.lock().begun.push(zxid);
        Ok(Box::new(Taking(self.clone())))
    }
}

impl SnapSink for Taking {
    fn take(&mut self, item: SnapItem<'_>) -> Result<(), String> {
        let (kept, released) = &*self.0.0;
        let mut kept = kept.lock();
        while kept.held {
            released.wait(&mut kept);
        }
        if let Some(why) = kept.refuses {
            return Err(why.into());
        }
        kept.items.push(match item {
            SnapItem::Session { id, .. } => format!("session {id}"),
            SnapItem::Acl { id, .. } => format!("list {id}"),
            SnapItem::Node { path, .. } => path.into_owned(),
            SnapItem::End => panic!("the end is no item"),
        });
        Ok(())
    }

    fn finish(self: Box<Self>) -> Result<(), String> {
        self.0.0.0.lock().finished += 1;
        Ok(())
    }
}

impl Drop for Taking {
    fn drop(&mut self) {
        self.0.0.0.lock().dropped += 1;
        self.0.0.1.notify_all();
    }
}

impl Taken {
    /// Waits until a sink was dropped.
    fn dropped(&self, times: usize) {
        let mut kept = self.0.0.lock();
        let end = Instant::now() + BOUND;
        while kept.dropped < times {
            let late = self.0.1.wait_until(&mut kept, end).timed_out();
            assert!(!late, "it is still held");
        }
    }

    fn hold(&self, held: bool) {
        self.0.0.lock().held = held;
        self.0.1.notify_all();
    }
}

/// A leader with a log and a tree, and a learner that has connected.
fn leader(log: Log, tree: Tree) -> (Server, TcpStream, LinkId) {
    let plan = Plan::of(&[1, 2]);
    let nothing = Arc::new(Nothing);
    let mut server = start_wired(
        settings(1),
        plan.view(1),
        Arc::new(log),
        Arc::new(tree),
        nothing,
    );
    server.act(Act::Listen(true));
    let stream = connect(plan.quorum(1));
    let (link, _) = server.accepted();
    (server, stream, link)
}

fn no_tree() -> Tree {
    Tree(Zxid::ZERO, Vec::new())
}

fn diff(after: i64, until: i64) -> StreamPlan {
    StreamPlan {
        base: Base::Diff(Zxid(until)),
        after: Zxid(after),
        until: Zxid(until),
    }
}

/// The records behind one zxid up to another, as they are to come.
fn records(after: i64, until: i64, bytes: usize) -> Vec<u8> {
    let mut packets = Vec::new();
    for zxid in after + 1..=until {
        let data = payload(zxid, bytes);
        packets.push(Packet::with(PacketKind::Proposal, zxid, data));
        packets.push(Packet::new(PacketKind::Commit, zxid));
    }
    encoded(&packets)
}

fn streamed(server: &mut Server, link: LinkId) -> i64 {
    server.until(|input| match input {
        In::Streamed(it, zxid) if *it == link => Some(zxid.0),
        In::Closed { why, .. } => panic!("closed: {why}"),
        _ => None,
    })
}

#[test]
fn a_learner_gets_what_it_lacks_and_then_the_rest() {
    let log = Log {
        last: 1_000,
        bytes: 100,
        holds: Holds::default(),
    };
    let (mut server, mut stream, link) = leader(log, no_tree());
    let news = Packet::new(PacketKind::NewLeader, 5);
    let large = Packet::with(PacketKind::Proposal, 1, vec![1; 2 * STREAM_WINDOW]);
    server.acts(vec![
        Act::Stream(link, diff(10, 500)),
        // What is given meanwhile follows, even more than a stream lets wait.
        Act::Send(link, large.clone()),
        Act::Broadcast(Arc::new([link]), ack(2)),
    ]);
    assert_eq!(streamed(&mut server, link), 500);
    server.act(Act::Send(link, news.clone()));
    let base = encoded(&[Packet::new(PacketKind::Diff, 500)]);
    let behind = encoded(&[large, ack(2), news]);
    let expected = [base, records(10, 500, 100), behind].concat();
    assert!(read(&mut stream, expected.len()) == expected);
}

#[test]
fn a_stream_goes_on_where_it_stopped() {
    let log = Log {
        last: 1_000,
        bytes: 100,
        holds: Holds::default(),
    };
    let (mut server, mut stream, link) = leader(log, no_tree());
    let plan = StreamPlan {
        base: Base::Trunc(Zxid(20)),
        after: Zxid(20),
        until: Zxid(30),
    };
    server.act(Act::Stream(link, plan));
    for until in [30, 700, 1_000] {
        assert_eq!(streamed(&mut server, link), until);
        if until < 1_000 {
            let next = if until == 30 { 700 } else { 1_000 };
            server.act(Act::StreamMore(link, Zxid(next)));
        }
    }
    let base = encoded(&[Packet::new(PacketKind::Trunc, 20)]);
    let expected = [base, records(20, 1_000, 100)].concat();
    assert!(read(&mut stream, expected.len()) == expected);
}

/// Far more than may wait: the stream waits for its reader, is heard of meanwhile, and another
/// learner is not held up.
#[test]
fn a_stream_waits_for_its_learner() {
    let log = Log {
        last: 1_000,
        bytes: 100_000,
        holds: Holds::default(),
    };
    let (mut server, mut slow, link) = leader(log, no_tree());
    server.act(Act::Stream(link, diff(0, 1_000)));
    let port = slow.peer_addr().expect("its address").port();
    let mut quick = connect(port);
    let (other, _) = server.accepted();
    server.act(Act::Stream(other, diff(0, 3)));
    assert_eq!(streamed(&mut server, other), 3);
    let few = records(0, 3, 100_000);
    read(&mut quick, 20);
    assert!(read(&mut quick, few.len()) == few);
    let told = server.rest();
    assert!(
        !told
            .iter()
            .any(|it| matches!(it, In::Streamed(..) | In::Closed { .. }))
    );
    let base = encoded(&[Packet::new(PacketKind::Diff, 1_000)]);
    assert_eq!(read(&mut slow, base.len()), base);
    let expected = records(0, 1_000, 100_000);
    let mut at = 0;
    let mut heard = false;
    // Slow enough for it to be told that bytes move.
    while at < expected.len() {
        let count = (expected.len() - at).min(8 << 20);
        assert!(read(&mut slow, count) == expected[at..at + count]);
        at += count;
        heard |= server
            .rest()
            .iter()
            .any(|it| matches!(it, In::Heard(it) if *it == link));
    }
    assert!(heard);
}

/// While the server takes writes a stream goes at the pace that it is given, and one that rests sees
/// that its link has gone.
#[test]
fn a_stream_lets_writes_go_first() {
    let count = 320;
    let log = Log {
        last: count,
        bytes: 100_000,
        holds: Holds::default(),
    };
    let (mut server, mut stream, link) = leader(log, no_tree());
    let begin = Instant::now();
    // One write: the server counts as busy for a second.
    server.load.add(1, begin);
    server.act(Act::Stream(link, diff(0, count)));
    let rest = records(0, count, 100_000);
    assert!(rest.len() as u64 > 3 * PACE_FLOOR / 2);
    read(&mut stream, 20);
    assert!(read(&mut stream, rest.len()) == rest);
    let took = begin.elapsed();
    assert!(took >= LOAD_QUIET * 9 / 10, "{took:?}");
    assert_eq!(streamed(&mut server, link), count);
    server.load.add(1, Instant::now());
    server.act(Act::Stream(link, diff(0, count)));
    read(&mut stream, 20);
    server.act(Act::Hangup(link));
    server.stop();
}

#[test]
fn a_stream_whose_learner_goes_gives_its_thread_back() {
    let log = Log {
        last: 1_000,
        bytes: 100_000,
        holds: Holds::default(),
    };
    let (mut server, stream, link) = leader(log, no_tree());
    let port = stream.peer_addr().expect("its address").port();
    let mut streams = vec![stream];
    server.act(Act::Stream(link, diff(0, 1_000)));
    // All of these want more than fits; the last ones wait for a thread.
    let mut links = vec![link];
    for _ in 0..5 {
        streams.push(connect(port));
        let (link, _) = server.accepted();
        server.act(Act::Stream(link, diff(0, 1_000)));
        links.push(link);
    }
    let mut last = connect(port);
    let (link, _) = server.accepted();
    server.act(Act::Stream(link, diff(0, 2)));
    for (index, it) in links.iter().enumerate() {
        if index % 2 == 0 {
            server.act(Act::Hangup(*it));
        } else {
            drop(streams.remove(streams.len() - 1));
        }
    }
    drop(streams);
    assert_eq!(
        server.until(|input| match input {
            In::Streamed(it, zxid) if *it == link => Some(zxid.0),
            _ => None,
        }),
        2
    );
    let few = records(0, 2, 100_000);
    read(&mut last, 20);
    assert!(read(&mut last, few.len()) == few);
    // With a stream that waits, too.
    server.act(Act::StreamMore(link, Zxid(1_000)));
    server.stop();
}

/// What a stream reads is held back from purge between its parts, and no longer than it may go on:
/// not behind the first packet that follows it, nor behind the end of its link.
#[test]
fn a_stream_that_has_ended_holds_nothing() {
    let holds = Holds::default();
    let begun = || {
        let log = Log {
            last: 1_000,
            bytes: 100,
            holds: holds.clone(),
        };
        let (mut server, stream, link) = leader(log, no_tree());
        server.act(Act::Stream(link, diff(0, 10)));
        assert_eq!(streamed(&mut server, link), 10);
        assert_eq!(holds.count(), 1, "it may go on");
        (server, stream, link)
    };
    let (server, _stream, link) = begun();
    let news = Packet::new(PacketKind::NewLeader, 5);
    server.act(Act::Send(link, news));
    holds.let_go();
    let (server, _stream, link) = begun();
    server.act(Act::Broadcast(Arc::new([link]), ack(2)));
    holds.let_go();
    let (server, _stream, link) = begun();
    server.act(Act::Hangup(link));
    holds.let_go();
    let (_server, stream, _) = begun();
    drop(stream);
    holds.let_go();
    let (server, _stream, _) = begun();
    server.stop();
    holds.let_go();
}

#[test]
fn a_log_that_cannot_be_read_ends_the_link() {
    let log = Log {
        last: 10,
        bytes: 100,
        holds: Holds::default(),
    };
    let (mut server, mut stream, link) = leader(log, no_tree());
    server.act(Act::Stream(link, diff(0, 11)));
    assert_eq!(server.closed(link), "the log ends at 0xa");
    assert_eq!(read_to_end(&mut stream), []);
}

/// A snapshot from one server's sockets to another's, with records behind it.
#[test]
fn a_snapshot_arrives_whole_and_packets_go_on_behind_it() {
    let plan = Plan::of(&[1, 2]);
    let nothing = Arc::new(Nothing);
    let bytes = tree(2_000, 5_000);
    let log = Log {
        last: 60,
        bytes: 100,
        holds: Holds::default(),
    };
    let mut leader = start_wired(
        settings(1),
        plan.view(1),
        Arc::new(log),
        Arc::new(Tree(Zxid(50), bytes)),
        nothing.clone(),
    );
    let taken = Taken::default();
    let mut learner = start_wired(
        settings(2),
        plan.view(2),
        nothing.clone(),
        nothing,
        Arc::new(taken.clone()),
    );
    leader.act(Act::Listen(true));
    let there = loop {
        learner.act(Act::Dial(Sid(1), 60_000));
        let link = learner.until(|input| match input {
            In::Dialled { link, .. } => Some(Some(*link)),
            In::DialFailed { .. } => Some(None),
            _ => None,
        });
        if let Some(link) = link {
            break link;
        }
    };
    let (here, _) = leader.accepted();
    leader.act(Act::Stream(
        here,
        StreamPlan {
            base: Base::Snap,
            after: Zxid::ZERO,
            until: Zxid(60),
        },
    ));
    assert_eq!(learner.packet(), (there, Packet::new(PacketKind::Snap, 50)));
    taken.hold(true);
    learner.act(Act::ReadSnap(there, Zxid(50)));
    // The sink holds the leader up.
    assert!(
        !leader
            .rest()
            .iter()
            .any(|it| matches!(it, In::Streamed(..)))
    );
    assert!(
        !learner
            .rest()
            .iter()
            .any(|it| matches!(it, In::SnapRead(_)))
    );
    taken.hold(false);
    assert_eq!(streamed(&mut leader, here), 60);
    leader.act(Act::Send(here, ack(77)));
    let mut heard = false;
    learner.until(|input| {
        heard |= matches!(input, In::Heard(it) if *it == there);
        matches!(input, In::SnapRead(it) if *it == there).then_some(())
    });
    assert!(heard);
    for zxid in 51..=60 {
        let data = payload(zxid, 100);
        let proposal = Packet::with(PacketKind::Proposal, zxid, data);
        assert_eq!(learner.packet(), (there, proposal));
        let commit = Packet::new(PacketKind::Commit, zxid);
        assert_eq!(learner.packet(), (there, commit));
    }
    assert_eq!(learner.packet(), (there, ack(77)));
    let kept = taken.0.0.lock();
    assert_eq!((kept.begun.as_slice(), kept.finished), (&[Zxid(50)][..], 1));
    assert_eq!(kept.items.len(), 2_002);
    assert_eq!(kept.items[..3], ["session 7", "", "/0"]);
}

/// A learner, and a scripted leader that has been dialled.
fn learner(taken: &Taken) -> (Server, TcpStream, LinkId) {
    let plan = Plan::of(&[1, 2]);
    let nothing = Arc::new(Nothing);
    let installs = Arc::new(taken.clone());
    let mut server = start_wired(
        settings(2),
        plan.view(2),
        nothing.clone(),
        nothing,
        installs,
    );
    let listener = listen(plan.quorum(1));
    server.act(Act::Dial(Sid(1), 60_000));
    let stream = accept(&listener);
    let link = server.dialled();
    (server, stream, link)
}

#[test]
fn a_snapshot_may_come_in_any_pieces() {
    let taken = Taken::default();
    let whole = tree(5, 30);
    let snap = Packet::new(PacketKind::Snap, 8);
    let bytes = [
        &encoded(std::slice::from_ref(&snap))[..],
        &whole,
        &encoded(&[ack(9), ack(10)]),
    ]
    .concat();
    for step in [1, 7, 100, bytes.len()] {
        let (mut server, mut stream, link) = learner(&taken);
        let (first, rest) = bytes.split_at(step.min(bytes.len()));
        write(&mut stream, first);
        let rest = rest.to_vec();
        let writer = std::thread::spawn(move || {
            rest.chunks(step)
                .for_each(|piece| write(&mut stream, piece));
            stream
        });
        assert_eq!(server.packet(), (link, snap.clone()));
        server.act(Act::ReadSnap(link, Zxid(8)));
        server.until(|input| matches!(input, In::SnapRead(it) if *it == link).then_some(()));
        assert_eq!(server.packet(), (link, ack(9)));
        assert_eq!(server.packet(), (link, ack(10)));
        drop(writer.join().expect("written"));
        server.closed(link);
    }
    assert_eq!(taken.0.0.lock().finished, 4);
}

#[test]
fn a_snapshot_that_is_none_ends_the_link() {
    let snap = encoded(&[Packet::new(PacketKind::Snap, 8)]);
    let mut unsigned = tree(5, 30);
    let end = unsigned.len() - 1;
    unsigned[end] = b'!';
    let huge = [&[0; 8][..], &[0x7f, 0xff, 0xff, 0xff], b"/"].concat();
    let mut cut = tree(5, 30);
    cut.truncate(100);
    for (bytes, why) in [
        (unsigned, "tree: no signature"),
        (huge, "tree: "),
        (
            cut,
            "it has closed the connection in the middle of a snapshot",
        ),
    ] {
        let taken = Taken::default();
        let (mut server, mut stream, link) = learner(&taken);
        write(&mut stream, &[&snap[..], &bytes].concat());
        stream
            .shutdown(std::net::Shutdown::Write)
            .expect("shut down");
        server.packet();
        server.act(Act::ReadSnap(link, Zxid(8)));
        let said = server.closed(link);
        assert!(said.starts_with(why), "{said}");
        taken.dropped(1);
        assert_eq!(taken.0.0.lock().finished, 0);
    }
}

#[test]
fn a_snapshot_that_cannot_be_kept_ends_the_link() {
    let taken = Taken::default();
    taken.0.0.lock().refuses = Some("No space left on device");
    let (mut server, mut stream, link) = learner(&taken);
    let bytes = tree(2, 1_000);
    write(&mut stream, &encoded(&[Packet::new(PacketKind::Snap, 8)]));
    write(&mut stream, &bytes);
    server.packet();
    server.act(Act::ReadSnap(link, Zxid(8)));
    assert_eq!(server.closed(link), "No space left on device");
    read_to_end(&mut stream);
    taken.dropped(1);
}

/// Whether it is asked for or not, a learner that gives up leaves nothing behind.
#[test]
fn a_snapshot_can_be_given_up() {
    for asked in [false, true] {
        let taken = Taken::default();
        let (mut server, mut stream, link) = learner(&taken);
        let bytes = tree(100, 1_000);
        write(&mut stream, &encoded(&[Packet::new(PacketKind::Snap, 8)]));
        write(&mut stream, &bytes[..50_000]);
        server.packet();
        if asked {
            server.act(Act::ReadSnap(link, Zxid(8)));
            let end = Instant::now() + BOUND;
            while taken.0.0.lock().items.len() < 3 {
                assert!(Instant::now() < end, "nothing is taken");
                std::thread::yield_now();
            }
        }
        server.act(Act::Hangup(link));
        read_to_end(&mut stream);
        if asked {
            taken.dropped(1);
        }
        let told = server.rest();
        assert!(
            !told
                .iter()
                .any(|it| matches!(it, In::Closed { .. } | In::SnapRead(_)))
        );
    }
}

/// What was begun on a link that is gone is over before the next is begun.
#[test]
fn one_snapshot_is_taken_at_a_time() {
    let plan = Plan::of(&[1, 2]);
    let nothing = Arc::new(Nothing);
    let taken = Taken::default();
    taken.hold(true);
    let mut server = start_wired(
        settings(2),
        plan.view(2),
        nothing.clone(),
        nothing,
        Arc::new(taken.clone()),
    );
    let listener = listen(plan.quorum(1));
    let bytes = [
        &encoded(&[Packet::new(PacketKind::Snap, 8)])[..],
        &tree(3, 10),
    ]
    .concat();
    let begin = |server: &mut Server, zxid: i64| {
        server.act(Act::Dial(Sid(1), 60_000));
        let mut stream = accept(&listener);
        let link = server.dialled();
        write(&mut stream, &bytes);
        server.packet();
        server.act(Act::ReadSnap(link, Zxid(zxid)));
        (stream, link)
    };
    let (mut first, link) = begin(&mut server, 8);
    let end = Instant::now() + BOUND;
    while taken.0.0.lock().begun.is_empty() {
        assert!(Instant::now() < end, "nothing is begun");
        std::thread::yield_now();
    }
    server.act(Act::Hangup(link));
    read_to_end(&mut first);
    let (_second, link) = begin(&mut server, 9);
    assert!(server.rest().is_empty());
    assert_eq!(taken.0.0.lock().begun, [Zxid(8)]);
    taken.hold(false);
    server.until(|input| matches!(input, In::SnapRead(it) if *it == link).then_some(()));
    let kept = taken.0.0.lock();
    assert_eq!(kept.begun, [Zxid(8), Zxid(9)]);
    // The first ended in the middle, or whole before it was known that nobody wants it.
    assert_eq!(kept.dropped, 2);
}
