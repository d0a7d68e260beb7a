//! Four-letter words: what `zk_ops` cannot show, because it depends on connections.

use std::sync::Arc;

use zabkeeper::client::listener;
use zabkeeper::clock::Clock;
use zabkeeper::serving::Serving;
use zabkeeper::stats::Stats;
use zk_ops::config::{self, Sources};
use zk_wire::OpCode;
use zk_wire::client::AuthPacket;

use crate::harness::{Client, await_that, create, set, start, watch, word_at};

const TELNET_CLOSE: &[u8] = &[0xff, 0xf4, 0xff, 0xfd];

/// The values of one session's line in `cons`.
fn cons(text: &str) -> impl Fn(&str) -> String + '_ {
    move |key: &str| {
        let line = text.lines().find(|line| line.contains("sid=0x"));
        let line = line.unwrap_or_else(|| panic!("no session in:\n{text}"));
        let inner = line.split_once('(').expect("a bracket").1;
        let inner = inner.trim_end_matches(')');
        let value = inner.split(',').find_map(|pair| {
            let (name, value) = pair.split_once('=')?;
            (name == key).then_some(value)
        });
        value.unwrap_or("absent").to_owned()
    }
}

#[test]
fn cons_shows_the_last_request_and_crst_forgets_it() {
    let server = start(&[]);
    let mut client = server.session();
    let text = server.word("cons");
    let shown = cons(&text);
    assert_eq!(shown("sid"), format!("0x{:x}", client.session_id));
    assert_eq!(
        (shown("lop"), shown("lcxid")),
        ("SESS".into(), "0x0".into())
    );
    assert_eq!(
        (shown("lzxid"), shown("to")),
        ("0x1".into(), "10000".into())
    );
    assert_eq!((shown("recved"), shown("sent")), ("1".into(), "1".into()));

    client.create("/n", b"");
    client.set("/n", b"1");
    client.ping();
    let text = server.word("cons");
    let shown = cons(&text);
    assert_eq!(
        (shown("lop"), shown("lcxid")),
        ("PING".into(), "0x2".into())
    );
    assert_eq!((shown("recved"), shown("sent")), ("4".into(), "4".into()));
    assert_eq!(
        (shown("lzxid"), shown("minlat")),
        ("0x3".into(), "0".into())
    );
    assert_ne!(shown("lresp"), "0");
    // Of a write that failed only the xid is known, of auth nothing.
    let mut again = create("/n", b"");
    again.flags = 1;
    assert_eq!(client.call(OpCode::Create, &again).header.err, -110);
    let packet = AuthPacket {
        kind: 0,
        scheme: Some("digest".into()),
        auth: Some(b"a:b"),
    };
    assert_eq!(client.call(OpCode::Auth, &packet).header.err, 0);
    let now = server.word("cons");
    let shown = cons(&now);
    assert_eq!((shown("lop"), shown("lcxid")), ("NA".into(), "0x3".into()));
    // The connection that asks is shown, too, without a session.
    assert!(text.contains("[0](queued=0,recved=1,sent=0)\n"), "{text}");

    assert_eq!(server.word("crst"), "Connection stats reset.\n");
    let text = server.word("cons");
    let shown = cons(&text);
    for (key, value) in [
        ("recved", "0"),
        ("sent", "0"),
        ("lop", "NA"),
        ("lcxid", "absent"),
        ("lzxid", "0xffffffffffffffff"),
        ("lresp", "0"),
        ("llat", "0"),
        ("minlat", "0"),
        ("avglat", "0"),
        ("maxlat", "0"),
    ] {
        assert_eq!(shown(key), value, "{key}");
    }
    assert_ne!(shown("est"), "0");
}

#[test]
fn latency_runs_from_receipt_to_reply() {
    let server = start(&[]);
    let mut client = server.session();
    client.create("/n", b"");
    server.word("srst");
    server.word("crst");
    let core = server.hold_core();
    let write = client.send(OpCode::SetData, &set("/n", b"1"));
    let read = client.send(OpCode::GetData, &watch("/n", false));
    await_that("the write is under way", || server.in_process() == 1);
    let begun = std::time::Instant::now();
    await_that("some time has passed", || begun.elapsed().as_millis() >= 20);
    drop(core);
    client.reply(write);
    client.reply(read);
    let metrics = &server.shared().stats.metrics;
    let values = metrics.updatelatency.values();
    assert_eq!(values.count, 1);
    assert!(values.min >= 20, "{values:?}");
    // The read waited behind it.
    await_that("the read is counted", || {
        metrics.readlatency.values().count == 1
    });
    assert!(metrics.readlatency.values().min >= 20);
    let text = server.word("cons");
    let shown = cons(&text);
    let ms = |key: &str| shown(key).parse::<i64>().expect("a number");
    assert!(ms("minlat") >= 20 && ms("maxlat") >= ms("avglat"), "{text}");
    let srvr = server.word("srvr");
    let line = srvr
        .lines()
        .find(|line| line.starts_with("Latency min/avg/max: "));
    assert_ne!(line, Some("Latency min/avg/max: 0/0.0/0"), "{srvr}");
}

#[test]
fn words_off_the_whitelist_are_refused() {
    let server = start(&["4lw.commands.whitelist=srvr, ruok"]);
    assert_eq!(server.word("ruok"), "imok");
    let refusal = " is not executed because it is not in the whitelist.\n";
    for word in ["stat", "mntr", "cons", "stmk"] {
        assert_eq!(server.word(word), format!("{word}{refusal}"));
    }
    let mut client = server.connect();
    client.send_raw(TELNET_CLOSE);
    assert!(client.until_closed().ends_with(refusal.as_bytes()));
}

#[test]
fn trace_masks_and_telnet() {
    let server = start(&[]);
    assert_eq!(server.word("gtmk"), "306");
    // Without its eight bytes.
    assert_eq!(server.word("stmk"), "");
    assert_eq!(server.word("gtmk"), "306");
    let mut client = server.connect();
    client.send_raw(b"stmk\0\0\0\0\0\0\0\x07\n");
    assert_eq!(client.until_closed(), b"7");
    assert_eq!(server.word("gtmk"), "7");
    let mut client = server.connect();
    client.send_raw(TELNET_CLOSE);
    assert_eq!(client.until_closed(), []);
    // A word is one only in the first four bytes of a connection, whatever follows.
    assert_eq!(word_at(server.address(), b"ruok\n"), "imok");
    assert_eq!(word_at(server.address(), b"ruokruok"), "imok");
    let mut client = server.session();
    client.send_raw(b"ruok");
    assert_eq!(client.until_closed(), []);
}

#[test]
fn words_are_answered_while_the_data_is_loaded() {
    let sources = Sources {
        arguments: vec!["0".into(), "/nowhere".into()],
        defines: vec!["zookeeper.4lw.commands.whitelist=*".into()],
        ..Sources::default()
    };
    let config = config::load(&sources).unwrap_or_else(|error| panic!("{error}"));
    let stats = Arc::new(Stats::new(&config.metrics));
    let paths = [config.data_dir.clone(), config.data_log_dir.clone()];
    let serving = Arc::new(Serving::new(config, paths, None, stats, Clock::new()));
    let socket = listener::bind("127.0.0.1:0".parse().expect("an address"), 50);
    let socket = socket.expect("a port");
    let address = socket.local_addr().expect("an address");
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .expect("a runtime");
    let enter = runtime.enter();
    let socket = tokio::net::TcpListener::from_std(socket).expect("a listener");
    drop(enter);
    runtime.spawn(listener::run(serving, Some(socket)));

    let not_serving = "This ZooKeeper instance is not currently serving requests\n";
    for (word, answer) in [
        ("ruok", "imok"),
        ("isro", "null"),
        ("gtmk", "306"),
        ("srvr", not_serving),
        ("mntr", not_serving),
        ("hash", not_serving.trim_end()),
    ] {
        assert_eq!(word_at(address, word.as_bytes()), answer, "{word}");
    }
    assert!(word_at(address, b"envi").starts_with("Environment:\n"));
    // A client waits: nothing comes, and the connection stays.
    let mut client = Client::connect(address);
    client.send_frame(&Client::handshake_frame(10_000));
    assert_eq!(word_at(address, b"ruok"), "imok");
    client.stream.set_nonblocking(true).expect("a flag");
    let read = std::io::Read::read(&mut client.stream, &mut [0; 1]);
    assert_eq!(
        read.expect_err("nothing").kind(),
        std::io::ErrorKind::WouldBlock
    );
}
