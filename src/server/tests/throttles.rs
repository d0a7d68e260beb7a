//! The throttles of connect requests and of requests. Requests are kept in processing by stopping
//! the core.

use zk_wire::{Code, OpCode};

use crate::harness::{Client, HeldCore, Nothing, TestServer, await_that, set, start, watch};

#[test]
fn connect_requests_cost_tokens() {
    let server = start(&[
        "connection_throttle_tokens=2",
        "connection_throttle_fill_time=600000",
    ]);
    let mut held = [server.session(), server.session()];
    let mut third = server.connect();
    // Accepted, and closed without a reply when it asks for a session.
    third.send_frame(&Client::handshake_frame(10_000));
    assert_eq!(third.until_closed(), []);
    held.iter_mut().for_each(Client::ping);
    assert_eq!(server.word("ruok"), "imok");
    assert_eq!(server.metric("connection_rejected"), 1.0);
    assert_eq!(server.metric("connection_request_count"), 2.0);
    assert_eq!(server.metric("max_connection_token_deficit"), 2.0);
}

#[test]
fn connect_requests_cost_by_kind() {
    let server = start(&[
        "connection_throttle_tokens=1",
        "connection_throttle_fill_time=600000",
        "connection_throttle_weight_enabled=true",
        "connection_throttle_global_session_weight=3",
        "connection_throttle_renew_session_weight=2",
    ]);
    // A bucket of one new session: three tokens, all of which it takes.
    let mut client = server.session();
    let mut second = server.connect();
    assert_eq!(second.handshake(10_000), None);
    client.ping();
}

/// The limit is looked at again after two milliseconds.
const STALL: &str = "request_throttle_stall_time=2";
/// Looks after which a request has waited for more than a millisecond.
const LOOKS: u64 = 4;
/// The session timeout of the client that waits. It expires at a multiple of a long tick only.
const LEAST_MS: i32 = 5;

/// A server that takes one request at a time, with one in processing that the core does not answer,
/// and a second client whose request waits in the throttle.
struct Stalled {
    core: HeldCore,
    busy: Client,
    waiting: Client,
    server: TestServer,
}

/// The state after so many looks at the limit, in which nothing was taken.
fn stalled(settings: &[&str], looks: u64, request: impl Fn(&mut Client)) -> Stalled {
    let mut all = vec![
        "request_throttle_max_requests=1",
        STALL,
        "minSessionTimeout=5",
        "tickTime=600000",
    ];
    all.extend_from_slice(settings);
    let server = start(&all);
    let mut busy = server.session();
    busy.create("/n", b"0");
    let mut waiting = server.connect().opened(LEAST_MS);
    let core = server.hold_core();
    busy.send(OpCode::SetData, &set("/n", b"busy"));
    await_that("one is in processing", || server.in_process() == 1);
    request(&mut waiting);
    let stalls = &server.shared().stats.metrics.request_throttle_wait_count;
    await_that("it has waited", || stalls.get() >= looks);
    assert_eq!(server.in_process(), 1);
    Stalled {
        core,
        busy,
        waiting,
        server,
    }
}

#[test]
fn requests_wait_while_too_many_are_in_processing() {
    let mut stalled = stalled(&[], LOOKS, |client| {
        client.send(OpCode::GetData, &watch("/n", false));
        client.send(OpCode::SetData, &set("/n", b"waited"));
    });
    drop(stalled.core);
    let read = stalled.waiting.reply(1);
    assert_eq!(read.header.err, 0);
    assert_eq!(stalled.waiting.reply(2).header.err, 0);
    assert_eq!(stalled.busy.reply(2).header.err, 0);
    assert_eq!(stalled.waiting.get("/n"), b"waited");
    let metrics = &stalled.server.shared().stats.metrics;
    let waits = &metrics.request_throttle_queue_time_ms;
    await_that("its wait is counted", || waits.values().max > 0);
    assert_eq!(metrics.throttled_ops.get(), 0);
}

#[test]
fn a_request_that_waited_too_long_is_not_carried_out() {
    let mut stalled = stalled(&["throttled_op_wait_time=1"], LOOKS, |client| {
        client.send(OpCode::SetData, &set("/n", b"never"));
        client.send_as(-2, OpCode::Ping.to_i32(), &[]);
        client.send(OpCode::CloseSession, &Nothing);
    });
    drop(stalled.core);
    assert_eq!(stalled.busy.reply(2).header.err, 0);
    let header = stalled.waiting.reply(1).header;
    assert_eq!(header.err, Code::ThrottledOp.to_i32());
    assert!(header.zxid > 0);
    // Neither pings nor the end of a session.
    assert_eq!(stalled.waiting.reply(-2).header.err, 0);
    assert_eq!(stalled.waiting.reply(2).header.err, 0);
    assert_eq!(stalled.waiting.until_closed(), []);
    assert_eq!(stalled.busy.get("/n"), b"busy");
    assert_eq!(stalled.server.metric("throttled_ops"), 1.0);
}

#[test]
fn a_request_older_than_its_session_may_be_ends_the_connection() {
    let settings = ["request_stale_latency_check=true"];
    let mut stalled = stalled(&settings, 1, |client| {
        client.send(OpCode::SetData, &set("/n", b"never"));
    });
    // While the core still stands.
    assert_eq!(stalled.waiting.until_closed(), []);
    let dropped = &stalled.server.shared().stats.metrics.stale_requests_dropped;
    assert_eq!(dropped.get(), 1);
    drop(stalled.core);
    assert_eq!(stalled.busy.reply(2).header.err, 0);
    assert_eq!(stalled.busy.get("/n"), b"busy");
}

#[test]
fn a_request_whose_client_has_gone_is_dropped() {
    let mut stalled = stalled(&[], LOOKS, |client| {
        client.send(OpCode::SetData, &set("/n", b"never"));
    });
    drop(stalled.waiting);
    let dropped = &stalled.server.shared().stats.metrics.stale_requests_dropped;
    await_that("it is dropped", || dropped.get() == 1);
    drop(stalled.core);
    assert_eq!(stalled.busy.reply(2).header.err, 0);
    assert_eq!(stalled.busy.get("/n"), b"busy");
}

#[test]
fn a_request_whose_client_has_gone_is_carried_out_where_stale_ones_are_kept() {
    let mut stalled = stalled(&["request_throttle_drop_stale=false"], LOOKS, |client| {
        client.send(OpCode::SetData, &set("/n", b"kept"));
    });
    drop(stalled.waiting);
    drop(stalled.core);
    assert_eq!(stalled.busy.reply(2).header.err, 0);
    let busy = &mut stalled.busy;
    await_that("it is carried out", || busy.get("/n") == b"kept");
    assert_eq!(stalled.server.metric("stale_requests_dropped"), 0.0);
}
