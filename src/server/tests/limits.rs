//! Limits as a client meets them, each what Apache ZooKeeper 3.9.5 does.

use std::time::{Duration, Instant};

use jute::Encode;
use zabkeeper::gate::ToCore;
use zk_wire::client::AuthPacket;
use zk_wire::{Code, OpCode};

use crate::harness::{BOUND, Client, Nothing, TestServer, await_that, create, set, start, watch};

/// A ping in a frame of exactly this length: what follows a body is not looked at.
fn padded_ping(client: &mut Client, len: usize) {
    client.send_as(-2, OpCode::Ping.to_i32(), &vec![0; len - 8]);
}

#[test]
fn a_frame_may_be_as_long_as_jute_maxbuffer() {
    for (setting, limit) in [
        ("-Djute.maxbuffer=2000", 2_000),
        ("tickTime=1000", 1_048_575),
    ] {
        let server = start(&[setting]);
        let mut client = server.session();
        padded_ping(&mut client, limit);
        assert_eq!(client.reply(-2).header.err, 0, "{setting}");
        padded_ping(&mut client, limit + 1);
        assert_eq!(client.until_closed(), [], "{setting}");
        // Judged by the length alone, before anything of it has come; also in place of a handshake.
        let mut client = server.connect();
        client.send_raw(&(limit as i32 + 1).to_be_bytes());
        assert_eq!(client.until_closed(), [], "{setting}");
    }
}

#[test]
fn a_reply_may_be_longer_than_jute_maxbuffer() {
    let server = start(&["-Djute.maxbuffer=2000"]);
    let mut client = server.session();
    for child in 0..100 {
        client.create(&format!("/{child:040}"), b"");
    }
    let answer = client.call(OpCode::GetChildren, &watch("/", false));
    assert!(answer.body.len() > 4_000);
}

/// Whether a new connection is closed without a byte.
fn is_refused(server: &TestServer) -> bool {
    server.connect().handshake(10_000).is_none()
}

#[test]
fn connections_of_one_address_are_limited() {
    let server = start(&["maxClientCnxns=3"]);
    let mut held: Vec<Client> = (0..3).map(|_| server.session()).collect();
    assert!(is_refused(&server) && is_refused(&server));
    held.iter_mut().for_each(Client::ping);
    assert_eq!(server.shared().stats.metrics.connection_rejected.get(), 2);
    drop(held.pop());
    await_that("a place is free again", || !is_refused(&server));
    held.iter_mut().for_each(Client::ping);
}

#[test]
fn connections_in_all_are_limited() {
    let server = start(&["maxCnxns=2"]);
    let mut held: Vec<Client> = (0..2).map(|_| server.session()).collect();
    assert!(is_refused(&server));
    // A four-letter word takes a place like any other.
    assert_eq!(server.word("ruok"), "");
    drop(held.pop());
    await_that("a place is free again", || server.word("ruok") == "imok");
    held.iter_mut().for_each(Client::ping);
}

#[test]
fn session_timeouts_are_bounded() {
    let server = start(&["minSessionTimeout=3000", "maxSessionTimeout=5000"]);
    for (asked, granted) in [
        (i32::MIN, 3_000),
        (1, 3_000),
        (3_000, 3_000),
        (4_321, 4_321),
        (5_000, 5_000),
        (5_001, 5_000),
    ] {
        assert_eq!(server.connect().handshake(asked), Some(granted), "{asked}");
    }
    let server = start(&["tickTime=700"]);
    assert_eq!(server.connect().handshake(1), Some(1_400));
    assert_eq!(server.connect().handshake(i32::MAX), Some(14_000));
}

#[test]
fn a_connection_without_a_session_ends() {
    let life = Duration::from_millis(300);
    let server = start(&["-Dzookeeper.nio.sessionlessCnxnTimeout=300"]);
    let mut session = server.session();
    let begun = Instant::now();
    let mut silent = server.connect();
    // Bytes that trickle in do not prolong it.
    let mut slow = server.connect();
    slow.send_raw(&[0, 0]);
    assert_eq!(silent.until_closed(), []);
    assert!(begun.elapsed() >= life, "{:?}", begun.elapsed());
    assert_eq!(slow.until_closed(), []);
    let expired = &server
        .shared()
        .stats
        .metrics
        .sessionless_connections_expired;
    await_that("both are counted", || expired.get() == 2);
    session.ping();
}

#[test]
fn beyond_the_global_limit_only_clients_with_requests_under_way_wait() {
    let server = start(&["globalOutstandingLimit=2"]);
    let mut busy = server.session();
    let mut other = server.session();
    busy.create("/n", b"0");
    let held = server.hold_core();
    let xids: Vec<i32> = (0..50)
        .map(|_| busy.send(OpCode::SetData, &set("/n", b"1")))
        .collect();
    await_that("three are under way", || server.in_process() == 3);
    // Another client's reads are answered, and its first write is taken.
    for _ in 0..20 {
        assert_eq!(other.get("/n"), b"0");
    }
    let write = other.send(OpCode::SetData, &set("/n", b"2"));
    await_that("the fourth is under way", || server.in_process() == 4);
    other.send(OpCode::SetData, &set("/n", b"3"));
    assert_eq!(server.in_process(), 4);
    drop(held);
    for xid in xids {
        assert_eq!(busy.reply(xid).header.err, 0);
    }
    assert_eq!(other.reply(write).header.err, 0);
    assert_eq!(other.reply(write + 1).header.err, 0);
    assert_eq!(server.in_process(), 0);
}

#[test]
fn large_requests_share_a_budget() {
    let server = start(&["largeRequestThreshold=1000", "largeRequestMaxBytes=3000"]);
    let rejected = &server.shared().stats.metrics.large_requests_rejected;
    let mut one = server.session();
    one.create("/n", b"");
    let data = [7; 2_000];
    for _ in 0..5 {
        one.set("/n", &data);
    }
    // Longer than all of the budget: refused by its length alone.
    let mut greedy = server.session();
    greedy.send_raw(&3_500_i32.to_be_bytes());
    assert_eq!(greedy.until_closed(), []);
    assert_eq!(rejected.get(), 1);
    // The budget is held until the reply.
    let mut two = server.session();
    let held = server.hold_core();
    let xid = one.send(OpCode::SetData, &set("/n", &data));
    await_that("the first is under way", || server.in_process() == 1);
    two.send(OpCode::SetData, &set("/n", &data));
    assert_eq!(two.until_closed(), []);
    assert_eq!(rejected.get(), 2);
    drop(held);
    assert_eq!(one.reply(xid).header.err, 0);
    let mut three = server.session();
    three.set("/n", &data);
    // A read is finished at once; small ones do not count.
    assert_eq!(three.get("/n"), data);
    assert_eq!(server.shared().throttles.large.in_processing(), 0);
}

#[test]
fn authentication_is_enforced() {
    let server = start(&[
        "-Dzookeeper.enforce.auth.enabled=true",
        "-Dzookeeper.enforce.auth.schemes=digest",
    ]);
    let refused = Code::SessionClosedRequireSaslAuth.to_i32();
    let exists = watch("/", false).to_vec();
    let made = create("/enforced", b"").to_vec();
    for (xid, op, body) in [
        (-2, OpCode::Ping.to_i32(), &[][..]),
        (1, OpCode::Exists.to_i32(), &exists),
        (2, OpCode::Create.to_i32(), &made),
        (3, OpCode::CloseSession.to_i32(), &[]),
        (4, 4711, &[]),
    ] {
        let mut client = server.session();
        client.send_as(xid, op, body);
        let header = client.reply(xid).header;
        assert_eq!((header.err, header.zxid), (refused, 0), "operation {op}");
        assert_eq!(client.until_closed(), [], "operation {op}");
    }
    let mut client = server.session();
    let digest = AuthPacket {
        kind: 0,
        scheme: Some("digest".into()),
        auth: Some(b"u:p"),
    };
    client.send_as(-4, OpCode::Auth.to_i32(), &digest.to_vec());
    assert_eq!(client.reply(-4).header.err, 0);
    client.ping();
    let answer = client.call(OpCode::Exists, &watch("/enforced", false));
    assert_eq!(answer.header.err, Code::NoNode.to_i32());

    // Every client has an identity of the scheme ip.
    let server = start(&[
        "-Dzookeeper.enforce.auth.enabled=true",
        "-Dzookeeper.enforce.auth.schemes=digest,ip",
    ]);
    let mut client = server.session();
    client.ping();
    let answer = client.call(OpCode::CloseSession, &Nothing);
    assert_eq!(answer.header.err, 0);
}

/// When the session of the only client expires, monotonic milliseconds.
fn expiry(server: &TestServer) -> i64 {
    let (send, receive) = std::sync::mpsc::channel();
    server
        .shared()
        .core
        .push(ToCore::Look(Box::new(move |peer| {
            let _ = send.send(
                peer.node()
                    .tracker()
                    .buckets()
                    .map(|(at_ms, _)| at_ms)
                    .next(),
            );
        })));
    let expiry = receive.recv_timeout(BOUND).expect("the core looks");
    expiry.expect("a session")
}

#[test]
fn a_session_lives_on_from_the_last_frame_of_its_connection() {
    let timeout_ms = 40_000;
    let server = start(&["tickTime=50", "maxSessionTimeout=60000"]);
    let mut client = server.connect().opened(timeout_ms);
    let before = expiry(&server);
    let core = server.hold_core();
    // The grid of expiry has moved on, and nobody has told the core.
    let mut heard_ms = 0;
    await_that("time passes", || {
        heard_ms = server.shared().clock.mono_ms();
        client.ping();
        heard_ms + i64::from(timeout_ms) > before + 100
    });
    drop(client);
    await_that("the connection is gone", || {
        server.shared().registry.is_empty()
    });
    drop(core);
    let after = expiry(&server);
    assert!(
        after > heard_ms + i64::from(timeout_ms),
        "heard of at {heard_ms}, expires at {after}"
    );
}
