//! The election port.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use zabkeeper::limits::{HANDSHAKES, OUTSIDERS};
use zabkeeper::peer::address::Resolver;
use zk_wire::quorum::hello::{self, Hello, HelloVersion};
use zk_zab::io::{Act, In};

use super::*;

fn hello_of(sid: i64, port: u16) -> Vec<u8> {
    hello::encode(sid, &[("127.0.0.1", port)], false)
}

/// Reads a first message. All of it has to be there at the first look, for Java looks once.
fn read_hello(stream: &mut TcpStream) -> Hello {
    let mut bytes = [0; 4096];
    let count = stream.peek(&mut bytes).expect("bytes");
    let seen = Hello::decode(&bytes[..count]).expect("a first message");
    let (hello, taken) = seen.expect("all of it at once");
    read(stream, taken);
    hello
}

/// Whoever dials, the connection that stays is that of the larger id, and both learn of it.
#[test]
fn whoever_dials_first_one_connection_stays() {
    for (first, second) in [(1, 2), (2, 1)] {
        let plan = Plan::of(&[1, 2]);
        let mut one = start(first, &plan);
        let mut two = start(second, &plan);
        one.act(cast(second, 11));
        one.up(second);
        assert_eq!(two.vote(), (first, vote(11)));
        two.act(cast(first, 22));
        assert_eq!(one.vote(), (second, vote(22)));
        let told = [one.rest(), two.rest()].concat();
        assert!(
            !told.iter().any(|it| matches!(it, In::PeerDown(_))),
            "{told:?}"
        );
        two.stop();
        one.down(second);
    }
}

#[test]
fn both_may_dial_at_once() {
    let plan = Plan::of(&[1, 2, 3]);
    let mut servers: Vec<Server> = (1..=3).map(|sid| start(sid, &plan)).collect();
    for (server, sid) in servers.iter().zip(1..) {
        let others = (1..=3).filter(|other| *other != sid);
        server.acts(others.map(|other| cast(other, sid)).collect());
    }
    for (server, sid) in servers.iter_mut().zip(1..) {
        let mut missing: Vec<i64> = (1..=3).filter(|other| *other != sid).collect();
        while !missing.is_empty() {
            let (from, vote) = server.vote();
            assert_eq!(vote.round, from);
            missing.retain(|it| *it != from);
        }
    }
}

/// The first message and a vote in one write, and both again in single bytes.
#[test]
fn a_larger_server_is_taken_as_it_comes() {
    let plan = Plan::of(&[2, 3]);
    let mut server = start(2, &plan);
    let bytes = [hello_of(3, plan.election(3)), frame(5), frame(6)].concat();
    let mut first = connect(plan.election(2));
    write(&mut first, &bytes);
    server.up(3);
    assert_eq!(server.vote(), (3, vote(5)));
    assert_eq!(server.vote(), (3, vote(6)));
    server.act(cast(3, 100));
    assert_eq!(read_round(&mut first), 100);
    // A new connection takes the place of that, and gets the last word again.
    let mut second = connect(plan.election(2));
    for byte in &bytes {
        write(&mut second, std::slice::from_ref(byte));
    }
    server.up(3);
    assert_eq!(server.vote(), (3, vote(5)));
    assert_eq!(read_round(&mut second), 100);
    assert_eq!(read_to_end(&mut first), []);
    server.act(cast(3, 101));
    assert_eq!(read_round(&mut second), 101);
    drop(second);
    server.down(3);
    // What was not sent takes the place of what was.
    let third = listen(plan.election(3));
    server.act(cast(3, 102));
    let mut dialled = accept(&third);
    let hello = read_hello(&mut dialled);
    assert_eq!((hello.sid, hello.version), (2, HelloVersion::V1));
    assert_eq!(read_to_end(&mut dialled), []);
    let mut back = connect(plan.election(2));
    write(&mut back, &hello_of(3, plan.election(3)));
    assert_eq!(read_round(&mut back), 102);
    server.up(3);
    assert!(!server.rest().iter().any(|it| matches!(it, In::PeerDown(_))));
}

/// A smaller id is closed and called back: where it says, or where the configuration says.
#[test]
fn a_smaller_server_is_called_back() {
    let plan = Plan::of(&[1, 2]);
    let elsewhere = free_port();
    let wildcard = hello::encode(1, &[("0.0.0.0", elsewhere)], false);
    let both = hello::encode(1, &[("::", 1), ("127.0.0.1", elsewhere)], true);
    for (bytes, port) in [
        (1i64.to_be_bytes().to_vec(), plan.election(1)),
        (wildcard, plan.election(1)),
        (hello_of(1, elsewhere), elsewhere),
        (both, elsewhere),
    ] {
        let mut server = start(2, &plan);
        let listener = listen(port);
        let mut stream = connect(plan.election(2));
        write(&mut stream, &bytes);
        assert_eq!(read_to_end(&mut stream), []);
        let mut back = accept(&listener);
        let hello = read_hello(&mut back);
        assert_eq!(hello.sid, 2);
        assert_eq!(hello.addresses, [("127.0.0.1".into(), plan.election(2))]);
        server.up(1);
        write(&mut back, &frame(9));
        assert_eq!(server.vote(), (1, vote(9)));
        server.act(cast(1, 10));
        assert_eq!(read_round(&mut back), 10);
        // It asks again: what there was is dropped, since it does not seem to have it.
        let mut stream = connect(plan.election(2));
        write(&mut stream, &bytes);
        server.down(1);
        assert_eq!(read_to_end(&mut back), []);
        let mut back = accept(&listener);
        assert_eq!(read_hello(&mut back).sid, 2);
        assert_eq!(read_round(&mut back), 10);
        server.up(1);
    }
}

/// A server that joins is in no configuration yet, and one without an id never is.
#[test]
fn servers_outside_the_configuration_are_heard() {
    let plan = Plan::of(&[2, 3]);
    let mut server = start(2, &plan);
    let listener = listen(free_port());
    let port = listener.local_addr().expect("its address").port();
    for (said, known_as) in [(1, 1), (i64::MAX, -1), (i64::MAX, -2)] {
        let mut stream = connect(plan.election(2));
        write(&mut stream, &hello_of(said, port));
        let mut back = accept(&listener);
        assert_eq!(read_hello(&mut back).sid, 2);
        server.up(known_as);
        write(&mut back, &frame(4));
        assert_eq!(server.vote().0, known_as);
        server.act(cast(known_as, 6));
        assert_eq!(read_round(&mut back), 6);
        drop(back);
        server.down(known_as);
        // Nothing is kept of it.
        server.act(cast(known_as, 7));
        server.down(known_as);
    }
    let mut larger = connect(plan.election(2));
    write(&mut larger, &hello_of(9, port));
    server.up(9);
    server.act(cast(9, 8));
    assert_eq!(read_round(&mut larger), 8);
    // But not of any number of them.
    let mut many: Vec<TcpStream> = Vec::new();
    for sid in 10..10 + OUTSIDERS as i64 - 1 {
        let mut stream = connect(plan.election(2));
        write(&mut stream, &hello_of(sid, port));
        server.up(sid);
        many.push(stream);
    }
    let mut one_more = connect(plan.election(2));
    write(&mut one_more, &hello_of(1_000, port));
    assert_eq!(read_to_end(&mut one_more), []);
    let mut member = connect(plan.election(2));
    write(&mut member, &hello_of(3, plan.election(3)));
    server.up(3);
}

#[test]
fn two_servers_with_one_id_do_not_talk() {
    let plan = Plan::of(&[1, 2]);
    let mut server = start(2, &plan);
    let mut stream = connect(plan.election(2));
    write(&mut stream, &hello_of(2, plan.election(2)));
    assert_eq!(read_to_end(&mut stream), []);
    assert!(server.rest().is_empty());
}

#[test]
fn garbage_ends_a_connection_and_nothing_else() {
    let plan = Plan::of(&[1, 2, 3]);
    let mut server = start(1, &plan);
    for bytes in [
        &(-65534i64).to_be_bytes()[..],
        b"\xff\xff\xff\xff\xff\xff\x00\x00\0\0\0\0\0\0\0\x02\0\0\x08\x01",
        b"\xff\xff\xff\xff\xff\xff\x00\x00\0\0\0\0\0\0\0\x02\0\0\0\x03a:x",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"GET / HTTP/1.1\r\n\r\n",
    ] {
        // Some of these are the number of a server that has a larger id than any.
        let mut stream = connect(plan.election(1));
        write(&mut stream, bytes);
        stream
            .shutdown(std::net::Shutdown::Write)
            .expect("shut down");
        assert_eq!(read_to_end(&mut stream), []);
    }
    server.rest();
    let mut stream = connect(plan.election(1));
    write(&mut stream, &hello_of(2, 1));
    server.up(2);
    // Messages that are no notification are passed over.
    let mut state = frame(3);
    state[7] = 9;
    let short = [0, 0, 0, 2, 1, 1];
    write(&mut stream, &[&short[..], &state, &frame(4)].concat());
    assert_eq!(server.vote(), (2, vote(4)));
    // A frame that cannot be one is the end.
    write(
        &mut stream,
        &[&frame(5)[..], &[0, 8, 0, 1], &frame(6)].concat(),
    );
    assert_eq!(server.vote(), (2, vote(5)));
    server.down(2);
    assert_eq!(read_to_end(&mut stream), []);
    assert!(!server.rest().iter().any(|it| matches!(it, In::Vote { .. })));
}

#[test]
fn who_says_nothing_holds_nobody_up() {
    let plan = Plan::of(&[1, 2, 3]);
    let mut server = start(1, &plan);
    let mut silent: Vec<TcpStream> = (0..HANDSHAKES).map(|_| connect(plan.election(1))).collect();
    let mut half = hello_of(2, 1);
    let rest = half.split_off(9);
    write(&mut silent[1], &half);
    let mut peer = connect(plan.election(1));
    write(&mut peer, &hello_of(3, 1));
    server.up(3);
    // It took the place of the oldest, and no other's.
    assert_eq!(read_to_end(&mut silent[0]), []);
    write(&mut silent[1], &rest);
    server.up(2);
}

#[test]
fn who_says_nothing_for_long_is_closed() {
    let plan = Plan::of(&[1, 2]);
    let brief = Settings::new(Sid(1), Duration::from_millis(50));
    let server = start_with(brief, plan.view(1));
    let mut silent = connect(plan.election(1));
    write(&mut silent, &[0xff; 3]);
    assert_eq!(read_to_end(&mut silent), []);
    server.stop();
}

/// Of what could not be sent only the newest is.
#[test]
fn a_newer_message_takes_the_place_of_an_older_one() {
    let plan = Plan::of(&[1, 2]);
    let mut server = start(2, &plan);
    server.acts((1..=5).map(|round| cast(1, round)).collect());
    server.down(1);
    let listener = listen(plan.election(1));
    server.act(cast(1, 6));
    let mut stream = accept(&listener);
    read_hello(&mut stream);
    assert_eq!(read_round(&mut stream), 6);
    server.up(1);
    server.act(cast(1, 7));
    assert_eq!(read_round(&mut stream), 7);
}

/// One that takes a connection and does not open its own is not there.
#[test]
fn a_larger_server_that_does_not_call_back_is_down() {
    let plan = Plan::of(&[1, 2]);
    let mut server = start(1, &plan);
    let listener = listen(plan.election(2));
    server.act(cast(2, 1));
    let mut stream = accept(&listener);
    assert_eq!(read_hello(&mut stream).sid, 1);
    assert_eq!(read_to_end(&mut stream), []);
    server.down(2);
}

#[test]
fn a_name_may_get_its_address_later() {
    let mut plan = Plan::of(&[1, 2]);
    plan.0[0].1 = "later.invalid".into();
    let known = Arc::new(AtomicBool::new(false));
    let resolver = {
        let known = known.clone();
        Resolver::new(move |host| {
            assert_eq!(host, "later.invalid");
            if known.load(Ordering::Relaxed) {
                Ok(vec![IpAddr::from([127, 0, 0, 1])])
            } else {
                Err(io::Error::other("Name or service not known"))
            }
        })
    };
    let with = Settings {
        resolver,
        ..settings(2)
    };
    let mut server = start_with(with, plan.view(2));
    let listener = listen(plan.election(1));
    for round in 0..3 {
        server.act(cast(1, round));
        server.down(1);
    }
    known.store(true, Ordering::Relaxed);
    server.act(cast(1, 3));
    let mut stream = accept(&listener);
    assert_eq!(read_hello(&mut stream).sid, 2);
    assert_eq!(read_round(&mut stream), 3);
    server.up(1);
    // A learner's dial is the same.
    known.store(false, Ordering::Relaxed);
    let leader = listen(plan.quorum(1));
    server.act(Act::Dial(Sid(1), 60_000));
    let why = server.until(|input| match input {
        In::DialFailed { sid, why } => Some((sid.0, why.clone())),
        _ => None,
    });
    let port = plan.quorum(1);
    let expected = format!("later.invalid:{port}: Name or service not known");
    assert_eq!(why, (1, expected));
    known.store(true, Ordering::Relaxed);
    server.act(Act::Dial(Sid(1), 60_000));
    server.dialled();
    accept(&leader);
}

#[test]
fn a_restart_closes_everything_and_listens_anew() {
    let mut plan = Plan::of(&[1, 2, 3]);
    let mut server = start(1, &plan);
    let mut streams = Vec::new();
    for sid in [2, 3] {
        let mut stream = connect(plan.election(1));
        write(&mut stream, &hello_of(sid, 1));
        server.up(sid);
        server.act(cast(sid, 7));
        assert_eq!(read_round(&mut stream), 7);
        streams.push(stream);
    }
    let silent = connect(plan.election(1));
    let before = plan.election(1);
    for moved in [false, true] {
        if moved {
            plan.0[0].3 = free_port();
        }
        server.acts(vec![Act::View(plan.view(1)), Act::RestartElection]);
        for stream in &mut streams {
            assert_eq!(read_to_end(stream), []);
        }
        if !moved {
            let mut down = [server.next(), server.next()].map(|it| match it {
                In::PeerDown(sid) => sid.0,
                other => panic!("{other:?}"),
            });
            down.sort_unstable();
            assert_eq!(down, [2, 3]);
        }
        // The first try may meet the port as it was before.
        let end = Instant::now() + BOUND;
        let mut stream = loop {
            assert!(Instant::now() < end, "it does not listen");
            let mut stream = connect(plan.election(1));
            let said = stream.write_all(&[hello_of(2, 1), frame(8)].concat());
            let told = server.rest();
            if said.is_ok() && told.iter().any(|it| matches!(it, In::Vote { .. })) {
                break stream;
            }
        };
        // The last word of before is forgotten.
        server.act(cast(2, 9));
        assert_eq!(read_round(&mut stream), 9);
        streams = vec![stream];
    }
    TcpStream::connect(("127.0.0.1", before)).expect_err("it is closed");
    drop(silent);
}

#[test]
fn a_port_that_is_taken_is_tried_again_and_then_given_up() {
    let plan = Plan::of(&[1, 2]);
    let taken = listen(plan.election(1));
    let once = Settings {
        bind_tries: 1,
        ..settings(1)
    };
    let server = start_with(once.clone(), plan.view(1));
    let line = server.unable.recv_timeout(BOUND).expect("a line");
    assert!(line.contains("zookeeper.electionPortBindRetry"), "{line}");
    assert!(line.contains(&plan.election(1).to_string()), "{line}");
    let again = Settings {
        bind_tries: 0,
        ..once
    };
    let mut server = start_with(again, plan.view(1));
    drop(taken);
    let mut stream = connect(plan.election(1));
    write(&mut stream, &hello_of(2, 1));
    server.up(2);
    server.unable.try_recv().expect_err("it listens");
}

/// On every address of the machine, whatever the configuration calls it.
#[test]
fn it_listens_everywhere_if_it_is_told_to() {
    let mut plan = Plan::of(&[1, 2]);
    plan.0[0].1 = "no.such.host.invalid".into();
    let with = Settings {
        listen_everywhere: true,
        ..settings(1)
    };
    let mut server = start_with(with, plan.view(1));
    let mut stream = connect(plan.election(1));
    write(&mut stream, &hello_of(2, 1));
    server.up(2);
    server.act(Act::Listen(true));
    connect(plan.quorum(1));
    server.accepted();
}

/// What the core has not judged holds its sender up.
#[test]
fn votes_wait_for_the_core() {
    let plan = Plan::of(&[1, 2]);
    let mut server = start(1, &plan);
    server.behind = Some(Vec::new());
    let mut stream = connect(plan.election(1));
    write(&mut stream, &hello_of(2, 1));
    server.up(2);
    stream
        .set_write_timeout(Some(Duration::from_millis(200)))
        .expect("an option");
    let frames = frame(1).repeat(1_000);
    let mut sent = 0;
    while let Ok(count) = stream.write(&frames[sent % frames.len()..]) {
        sent += count;
        assert!(sent < 1 << 30, "nothing holds it up");
    }
    server.rest();
    server.behind = None;
    // The rest of the frame that was cut, and one more.
    let cut = sent % frame(1).len();
    stream.set_write_timeout(Some(BOUND)).expect("an option");
    let writer = std::thread::spawn(move || {
        write(&mut stream, &frame(1)[cut..]);
        write(&mut stream, &frame(2));
        stream
    });
    server.until(|input| {
        matches!(input, In::Vote { notification, .. } if notification.round == 2).then_some(())
    });
    drop(writer.join().expect("written"));
}

/// A server whose own name has no address yet waits for it, however few tries it has.
#[test]
fn its_own_name_may_get_its_address_later() {
    let mut plan = Plan::of(&[1, 2]);
    plan.0[0].1 = "later.invalid".into();
    let asked = Arc::new(AtomicBool::new(false));
    let resolver = {
        let asked = asked.clone();
        Resolver::new(move |_| {
            if asked.swap(true, Ordering::Relaxed) {
                Ok(vec![IpAddr::from([127, 0, 0, 1])])
            } else {
                Err(io::Error::other("Name or service not known"))
            }
        })
    };
    let with = Settings {
        bind_tries: 1,
        resolver,
        ..settings(1)
    };
    let mut server = start_with(with, plan.view(1));
    let mut stream = connect(plan.election(1));
    write(&mut stream, &hello_of(2, 1));
    server.up(2);
    server.unable.try_recv().expect_err("it listens");
}
