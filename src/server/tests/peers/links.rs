//! Links of the quorum port.

use bytes::Bytes;

use super::*;

fn proposal(zxid: i64, bytes: usize) -> Packet {
    Packet::with(PacketKind::Proposal, zxid, vec![zxid as u8; bytes])
}

fn send(link: LinkId, packet: Packet) -> Act {
    Act::Send(link, packet)
}

/// A leader, and a learner that has connected.
fn leader(with: impl FnOnce(&mut Settings)) -> (Server, TcpStream, LinkId) {
    let plan = Plan::of(&[1, 2]);
    let mut settings = settings(1);
    with(&mut settings);
    let mut server = start_with(settings, plan.view(1));
    server.act(Act::Listen(true));
    let stream = connect(plan.quorum(1));
    let (link, address) = server.accepted();
    let local = stream.local_addr().expect("its address");
    assert_eq!(address, local.to_string());
    (server, stream, link)
}

#[test]
fn packets_come_whole_in_any_pieces() {
    let (mut server, mut stream, link) = leader(|_| {});
    let ids = vec![(Some("digest".to_owned()), Some("u:h".to_owned()))];
    let packets = [
        ack(1),
        Packet::with(PacketKind::Ping, -1, Bytes::new()),
        Packet {
            ids: Some(ids),
            ..Packet::with(PacketKind::Request, -1, vec![7; 300])
        },
        proposal(9, 300_000),
        ack(2),
    ];
    let bytes = encoded(&packets);
    for step in [1_000_000, 100_000, 4_096, 100] {
        for piece in bytes.chunks(step) {
            write(&mut stream, piece);
        }
        for packet in &packets {
            assert_eq!(server.packet(), (link, packet.clone()));
        }
    }
    for byte in encoded(&packets[..3]) {
        write(&mut stream, &[byte]);
    }
    for packet in &packets[..3] {
        assert_eq!(server.packet(), (link, packet.clone()));
    }
    drop(stream);
    assert_eq!(server.closed(link), "it has closed the connection");
}

#[test]
fn what_is_sent_comes_in_order() {
    let plan = Plan::of(&[1, 2, 3]);
    let mut server = start(1, &plan);
    server.act(Act::Listen(true));
    let mut streams = [connect(plan.quorum(1)), connect(plan.quorum(1))];
    let mut links = [server.accepted(), server.accepted()].map(|it| it.0);
    links.sort_unstable();
    let both: Arc<[LinkId]> = Arc::new(links);
    let first: Arc<[LinkId]> = Arc::new([links[0]]);
    let gone: Arc<[LinkId]> = Arc::new([links[0], LinkId(999), links[1]]);
    server.acts(vec![
        Act::Broadcast(both.clone(), proposal(1, 10)),
        Act::Broadcast(both.clone(), ack(1)),
        send(links[0], ack(2)),
        Act::Broadcast(both.clone(), proposal(3, 100_000)),
        Act::Broadcast(Arc::new(links), ack(3)),
        Act::Broadcast(first, ack(4)),
        Act::Broadcast(both.clone(), ack(5)),
        send(links[1], ack(6)),
        send(links[1], ack(7)),
        Act::Broadcast(gone, ack(8)),
        send(LinkId(999), ack(9)),
    ]);
    server.acts(vec![Act::Broadcast(both, ack(10))]);
    let common = [proposal(1, 10), ack(1)];
    let large = [proposal(3, 100_000), ack(3)];
    let expected = [
        [
            &common[..],
            &[ack(2)],
            &large,
            &[ack(4), ack(5), ack(8), ack(10)],
        ]
        .concat(),
        [
            &common[..],
            &large,
            &[ack(5), ack(6), ack(7), ack(8), ack(10)],
        ]
        .concat(),
    ];
    for (stream, packets) in streams.iter_mut().zip(expected) {
        let bytes = encoded(&packets);
        assert_eq!(read(stream, bytes.len()), bytes);
    }
    // More than one write takes.
    for zxid in 0..200 {
        server.act(send(links[0], proposal(zxid, 10_000)));
    }
    let many: Vec<Packet> = (0..200).map(|zxid| proposal(zxid, 10_000)).collect();
    let bytes = encoded(&many);
    assert!(read(&mut streams[0], bytes.len()) == bytes);
}

#[test]
fn nothing_is_said_of_a_link_that_was_hung_up() {
    let (mut server, mut stream, link) = leader(|_| {});
    write(&mut stream, &encoded(&[ack(1)]));
    server.packet();
    server.acts(vec![
        send(link, ack(2)),
        Act::Hangup(link),
        Act::Hangup(link),
    ]);
    read_to_end(&mut stream);
    server.act(send(link, ack(3)));
    assert!(server.rest().is_empty());
}

#[test]
fn garbage_ends_a_link() {
    for (bytes, why) in [
        (vec![0, 0, 0, 99], "packet of unknown type 99"),
        (vec![0x16, 3, 1, 2], "packet of unknown type 369295618"),
        (
            [&[0, 0, 0, 1][..], &[0; 8], &[0x7f, 0xff, 0xff, 0xff]].concat(),
            "REQUEST packet with data of unreasonable length 2147483647",
        ),
        (
            vec![0, 0, 0, 3, 0],
            "it has closed the connection in the middle of a packet",
        ),
    ] {
        let (mut server, mut stream, link) = leader(|_| {});
        write(&mut stream, &[&encoded(&[ack(1)])[..], &bytes].concat());
        stream
            .shutdown(std::net::Shutdown::Write)
            .expect("shut down");
        assert_eq!(server.packet(), (link, ack(1)));
        let said = server.closed(link);
        assert!(said.starts_with(why), "{said}");
        read_to_end(&mut stream);
        assert!(server.rest().is_empty());
    }
}

/// A learner that does not read is closed once too much waits for it; others do not notice.
#[test]
fn a_learner_that_does_not_read_is_closed() {
    let most = 1 << 20;
    let (mut server, mut slow, link) = leader(|settings| settings.link_queue = most);
    let port = slow.peer_addr().expect("its address").port();
    let mut quick = connect(port);
    let (other, _) = server.accepted();
    let both: Arc<[LinkId]> = Arc::new([link, other]);
    let packet = proposal(1, 100_000);
    let size = packet.size();
    let mut given = 0;
    let why = loop {
        server.act(Act::Broadcast(both.clone(), packet.clone()));
        read(&mut quick, size);
        given += size;
        assert!(given < 1 << 30, "nobody notices");
        let told = server.seen.pop_front();
        if let Some(In::Closed { link: it, why }) = told {
            assert_eq!(it, link);
            break why;
        }
        while server.receive(Duration::ZERO) {}
    };
    assert!(why.starts_with("it does not read: "), "{why}");
    assert!(given > most);
    read_to_end(&mut slow);
    server.act(Act::Broadcast(both, ack(2)));
    assert_eq!(read(&mut quick, ack(2).size()), encoded(&[ack(2)]));
}

/// What the core has not judged holds its sender up.
#[test]
fn packets_wait_for_the_core() {
    let (mut server, mut stream, link) = leader(|_| {});
    server.behind = Some(Vec::new());
    stream
        .set_write_timeout(Some(Duration::from_millis(300)))
        .expect("an option");
    let bytes = encoded(&[proposal(1, 100_000)]);
    let mut sent = 0;
    while let Ok(count) = stream.write(&bytes[sent % bytes.len()..]) {
        sent += count;
        assert!(sent < 1 << 30, "nothing holds it up");
    }
    let judged = server.rest().len();
    assert!(judged > 100, "{judged}");
    server.behind = None;
    stream.set_write_timeout(Some(BOUND)).expect("an option");
    let writer = std::thread::spawn(move || {
        write(&mut stream, &bytes[sent % bytes.len()..]);
        write(&mut stream, &encoded(&[ack(2)]));
        stream
    });
    server.until(|input| {
        matches!(input, In::Packet(it, packet) if *it == link && *packet == ack(2)).then_some(())
    });
    drop(writer.join().expect("written"));
}

#[test]
fn the_port_is_open_while_it_is_wanted() {
    let plan = Plan::of(&[1, 2]);
    let mut server = start(1, &plan);
    let port = plan.quorum(1);
    for _ in 0..3 {
        server.acts(vec![
            Act::Listen(true),
            Act::Listen(false),
            Act::Listen(true),
        ]);
        let mut stream = connect(port);
        let (link, _) = server.accepted();
        server.act(Act::Listen(false));
        // Links stay.
        server.act(send(link, ack(1)));
        read(&mut stream, 20);
        let end = Instant::now() + BOUND;
        // Nothing tells that a port is closed but a try.
        while TcpStream::connect(("127.0.0.1", port)).is_ok() {
            assert!(Instant::now() < end, "it stays open");
        }
        server.act(Act::Hangup(link));
        server.rest();
    }
}

#[test]
fn a_leader_without_its_port_resigns() {
    let plan = Plan::of(&[1, 2]);
    let mut server = start(1, &plan);
    let taken = listen(plan.quorum(1));
    server.act(Act::Listen(true));
    let why = server.until(|input| match input {
        In::Resign(why) => Some(why.clone()),
        _ => None,
    });
    assert!(why.contains(&plan.quorum(1).to_string()), "{why}");
    server.acts(vec![Act::Listen(true), Act::Listen(false)]);
    assert!(server.rest().is_empty());
    drop(taken);
    server.act(Act::Listen(true));
    connect(plan.quorum(1));
    server.accepted();
}

#[test]
fn a_leader_is_dialled() {
    let plan = Plan::of(&[1, 2]);
    let mut server = start(1, &plan);
    server.act(Act::Dial(Sid(2), 60_000));
    let failed = |input: &In| match input {
        In::DialFailed { sid, why } => Some((sid.0, why.clone())),
        _ => None,
    };
    let (sid, why) = server.until(failed);
    let address = format!("127.0.0.1:{}: ", plan.quorum(2));
    assert!(sid == 2 && why.starts_with(&address), "{why}");
    server.act(Act::Dial(Sid(7), 60_000));
    assert_eq!(server.until(failed), (7, "it has no address".into()));
    let listener = listen(plan.quorum(2));
    server.act(Act::Dial(Sid(2), 60_000));
    let link = server.dialled();
    let mut stream = accept(&listener);
    server.act(send(link, ack(1)));
    assert_eq!(read(&mut stream, 20), encoded(&[ack(1)]));
    write(&mut stream, &encoded(&[ack(2)]));
    assert_eq!(server.packet(), (link, ack(2)));
    drop(stream);
    server.closed(link);
    // An id is not used again.
    server.act(Act::Dial(Sid(2), 60_000));
    assert!(server.dialled() > link);
}

#[test]
fn a_flood_of_links_is_refused() {
    let (mut server, mut stream, link) = leader(|settings| settings.links = 2);
    let port = stream.peer_addr().expect("its address").port();
    let second = connect(port);
    server.accepted();
    for _ in 0..5 {
        assert_eq!(read_to_end(&mut connect(port)), []);
    }
    write(&mut stream, &encoded(&[ack(1)]));
    assert_eq!(server.packet(), (link, ack(1)));
    server.act(Act::Hangup(link));
    read_to_end(&mut stream);
    connect(port);
    server.accepted();
    drop(second);
}
