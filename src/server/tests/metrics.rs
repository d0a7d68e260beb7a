//! Metrics: what is counted, and the three ways to read it.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};

use zk_wire::client::{AddWatchRequest, AuthPacket};
use zk_wire::{Code, OpCode};

use crate::harness::{BOUND, Nothing, await_that, create, set, start, try_start, watch};

/// The line of zoo.cfg that has metrics served over HTTP.
pub const PROMETHEUS: &str =
    "metricsProvider.className=org.apache.zookeeper.metrics.prometheus.PrometheusMetricsProvider";

/// What comes back over HTTP: head and body.
pub fn http(address: SocketAddr, method: &str, path: &str) -> (String, String) {
    let mut stream = TcpStream::connect(address).expect("it accepts");
    stream.set_read_timeout(Some(BOUND)).expect("a timeout");
    let request = format!(
        "{method} {path} HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).expect("it reads");
    let mut text = String::new();
    stream.read_to_string(&mut text).expect("text");
    let (head, body) = text.split_once("\r\n\r\n").expect("a head");
    (head.to_owned(), body.to_owned())
}

#[test]
fn what_happens_is_counted() {
    let server = start(&["enforceQuota=true", "-Dzookeeper.enforceQuota=true"]);
    let mut client = server.session();
    let mut other = server.session();
    client.create("/app", b"12345");
    for path in [
        "/zookeeper/quota/app",
        "/zookeeper/quota/app/zookeeper_limits",
    ] {
        client.create(path, b"count=9,bytes=-1=;byteHardLimit=20;countHardLimit=3");
    }
    client.create("/zookeeper/quota/app/zookeeper_stats", b"count=1,bytes=5");
    let refused = client.call(OpCode::SetData, &set("/app", &[0; 100]));
    assert_eq!(refused.header.err, Code::QuotaExceeded.to_i32());

    // One data watch, one child watch, and a recursive one.
    assert_eq!(client.get("/app"), b"12345");
    for (op, path) in [(OpCode::GetData, "/app"), (OpCode::GetChildren, "/app")] {
        assert_eq!(other.call(op, &watch(path, true)).header.err, 0);
    }
    let recursive = AddWatchRequest {
        path: Some("/app".into()),
        mode: 1,
    };
    assert_eq!(client.call(OpCode::AddWatch, &recursive).header.err, 0);
    assert_eq!(server.metric("watch_count"), 3.0);
    // An event comes before the reply that shows what it tells of.
    let xid = client.send(OpCode::SetData, &set("/app", b"1234"));
    assert_eq!(client.event(), (3, "/app".into()));
    assert_eq!(client.reply(xid).header.err, 0);
    assert_eq!(other.event(), (3, "/app".into()));
    let xid = other.send(OpCode::Create, &create("/app/child", b"1"));
    assert_eq!(other.event(), (4, "/app".into()));
    assert_eq!(other.reply(xid).header.err, 0);
    assert_eq!(client.event(), (1, "/app/child".into()));

    let metrics = &server.shared().stats.metrics;
    let fired = |summary: &zk_ops::metrics::Summary| {
        let values = summary.values();
        (values.count, values.sum)
    };
    assert_eq!(fired(&metrics.node_changed_watch_count), (1, 2));
    assert_eq!(fired(&metrics.node_created_watch_count), (1, 1));
    assert_eq!(fired(&metrics.node_children_watch_count), (1, 1));
    assert_eq!(fired(&metrics.node_deleted_watch_count), (0, 0));
    for (name, value) in [
        ("num_alive_connections", 3.0),
        ("global_sessions", 2.0),
        ("outstanding_requests", 0.0),
        ("watch_count", 1.0),
        ("ephemerals_count", 0.0),
        ("app_quota_count_limit_per_namespace", 3.0),
        ("app_quota_bytes_limit_per_namespace", 20.0),
        ("app_quota_count_usage_per_namespace", 2.0),
        ("app_quota_bytes_usage_per_namespace", 5.0),
        ("app_quota_exceeded_error_per_namespace", 1.0),
        // Path and data of create, set, and the child's create.
        ("cnt_app_write_per_namespace", 3.0),
        ("sum_app_write_per_namespace", 9.0 + 8.0 + 11.0),
        // Two getData and one getChildren: path, stat, and what is read.
        ("cnt_app_read_per_namespace", 3.0),
        ("sum_app_read_per_namespace", 3.0 * 72.0 + 10.0),
        ("digest_mismatches_count", 0.0),
        ("connection_request_count", 2.0),
        ("connection_revalidate_count", 0.0),
        ("stale_replies", 0.0),
        ("min_client_response_size", 16.0),
    ] {
        assert_eq!(server.metric(name), value, "{name}");
    }
    for name in [
        "bytes_received_count",
        "response_bytes",
        "watch_bytes",
        "packets_sent",
        "cnt_readlatency",
        "cnt_updatelatency",
        "cnt_propagation_latency",
        "cnt_fsynctime",
        "cnt_sync_processor_batch_size",
        "cnt_sync_processor_queue_and_flush_time_ms",
        "cnt_prep_processor_queue_time_ms",
        "cnt_prep_process_time",
        "prep_processor_request_queued",
        "sync_processor_request_queued",
        "cnt_dbinittime",
        "outstanding_changes_queued",
        "approximate_data_size",
        "open_file_descriptor_count",
    ] {
        // The log's thread counts a batch after it has said that it is durable.
        await_that(name, || server.metric(name) > 0.0);
    }
    await_that("every change is applied", || {
        server.metric("outstanding_changes_queued") == server.metric("outstanding_changes_removed")
    });
}

#[test]
fn sessions_and_connections_are_counted() {
    let server = start(&["tickTime=100", "minSessionTimeout=100"]);
    let mut client = server.connect().opened(100);
    // Nobody asks anything of it any more, so it expires.
    let metrics = &server.shared().stats.metrics;
    assert_eq!(client.until_closed(), []);
    assert_eq!(metrics.stale_sessions_expired.get(), 1);
    let mut client = server.session();
    assert_eq!(client.call(OpCode::CloseSession, &Nothing).header.err, 0);
    await_that("its end is counted", || {
        metrics.close_session_prep_time.values().count == 1
    });
    let dropped = metrics.connection_drop_count.get();
    drop(server.session());
    await_that("its end is counted", || {
        metrics.connection_drop_count.get() == dropped + 1
    });
}

#[test]
fn ensemble_names_are_counted() {
    let server = start(&[
        "-Dzookeeper.authProvider.e=org.apache.zookeeper.server.auth.EnsembleAuthenticationProvider",
        "-Dzookeeper.ensembleAuthName=one,two",
    ]);
    let mut client = server.session();
    let auth = |name: &'static [u8]| AuthPacket {
        kind: 0,
        scheme: Some("ensemble".into()),
        auth: Some(name),
    };
    assert_eq!(client.call(OpCode::Auth, &auth(b"one")).header.err, 0);
    assert_eq!(client.call(OpCode::Auth, &auth(b"")).header.err, 0);
    client.send(OpCode::Auth, &auth(b"three"));
    assert_eq!(client.until_closed(), []);
    assert_eq!(server.metric("ensemble_auth_success"), 1.0);
    assert_eq!(server.metric("ensemble_auth_skip"), 1.0);
    assert_eq!(server.metric("ensemble_auth_fail"), 1.0);
}

#[test]
fn srst_resets_what_java_resets() {
    for (provider, metrics_too) in [("", true), (PROMETHEUS, false)] {
        let server = start(&[
            provider,
            "metricsProvider.httpHost=127.0.0.1",
            "metricsProvider.httpPort=0",
        ]);
        let mut client = server.session();
        client.create("/n", b"");
        assert_eq!(server.word("srst"), "Server stats reset.\n");
        let stats = &server.shared().stats;
        // Its own answer is sent after the reset.
        assert_eq!((stats.received.get(), stats.packets_sent()), (0, 1));
        assert_eq!(stats.latency().count, 0);
        let left = stats.metrics.updatelatency.values().count;
        assert_eq!(left == 0, metrics_too, "{provider}: {left}");
    }
}

#[test]
fn prometheus_scrapes_over_http() {
    let server = start(&[
        PROMETHEUS,
        "metricsProvider.httpHost=127.0.0.1",
        "metricsProvider.httpPort=0",
    ]);
    let mut client = server.session();
    client.create("/n", b"");
    let address = server.server().metrics_address().expect("a listener");
    for method in ["GET", "POST"] {
        let (head, body) = http(address, method, "/metrics");
        assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
        assert!(
            head.contains("content-type: text/plain; version=0.0.4; charset=utf-8"),
            "{head}"
        );
        let has = |line: &str| assert!(body.lines().any(|it| it == line), "{line} in:\n{body}");
        has("# TYPE znode_count gauge");
        has("znode_count 6");
        has("# TYPE fsynctime summary");
        has("node_created_watch_count_count 0");
        assert!(body.contains("\nfsynctime_count "), "{body}");
        assert!(body.contains("process_open_fds "), "{body}");
    }
    let (_, body) = http(
        address,
        "GET",
        "/metrics?name[]=znode_count&name[]=watch_count",
    );
    assert_eq!(
        body.lines().filter(|line| !line.starts_with('#')).count(),
        2
    );
    for path in ["/", "/metric", "/metrics/x"] {
        let (head, _) = http(address, "GET", path);
        assert!(head.starts_with("HTTP/1.1 404 "), "{path}: {head}");
    }
    let (head, _) = http(address, "PUT", "/metrics");
    assert!(head.starts_with("HTTP/1.1 405 "), "{head}");
    // mntr has Prometheus' names and numbers beside it.
    let mntr = server.word("mntr");
    assert!(mntr.contains("\nzk_znode_count\t6.0\n"), "{mntr}");
    assert!(
        mntr.contains("\nzk_fsynctime{quantile=\"0.5\"}\t"),
        "{mntr}"
    );
}

#[test]
fn a_port_in_use_refuses_the_start() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = taken.local_addr().expect("an address").port();
    let port_line = format!("metricsProvider.httpPort={port}");
    let settings = [PROMETHEUS, "metricsProvider.httpHost=127.0.0.1", &port_line];
    let refusal = try_start(&settings).err().expect("a refusal");
    assert_eq!(refusal.code, 1);
    assert!(refusal.message.contains(&format!("127.0.0.1:{port}")));
    let refusal = try_start(&[&format!("clientPort={port}")]).err();
    let refusal = refusal.expect("a refusal");
    assert_eq!(refusal.code, 1);
    assert!(!refusal.message.contains('\n'), "{}", refusal.message);
}

#[test]
fn without_a_provider_there_are_no_metrics() {
    let server =
        start(&["metricsProvider.className=org.apache.zookeeper.metrics.impl.NullMetricsProvider"]);
    let mntr = server.word("mntr");
    assert_eq!(mntr.lines().count(), 2, "{mntr}");
    assert!(mntr.ends_with("\nzk_server_state\tstandalone\n"), "{mntr}");
    assert!(server.server().metrics_address().is_none());
    let mut client = server.session();
    assert_eq!(
        client.call(OpCode::Create, &create("/n", b"")).header.err,
        0
    );
}
