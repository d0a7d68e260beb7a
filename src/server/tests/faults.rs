//! Faults and bad input: whatever one client does, another one's requests go on being answered.
//! Each of those is awaited, without a clock.

use std::collections::BTreeSet;
use std::process::{Command, Stdio};

use jute::Reader;
use zk_core::limits::CONN_OUT_BYTES;
use zk_wire::client::{AddWatchRequest, MultiOp, SetWatches2, decode_multi_results, encode_multi};
use zk_wire::{Code, OpCode};

use crate::harness::{Client, Nothing, TestServer, await_that, create, set, start, watch};

/// A client whose every request must be answered.
struct Witness {
    client: Client,
    count: u32,
}

impl Witness {
    fn new(server: &TestServer) -> Witness {
        let mut client = server.session();
        client.create("/witness", b"0");
        Witness { client, count: 0 }
    }

    /// A write, a read and a ping.
    fn asks(&mut self) {
        self.count += 1;
        let data = self.count.to_be_bytes();
        self.client.set("/witness", &data);
        assert_eq!(self.client.get("/witness"), data);
        self.client.ping();
    }
}

/// Bytes that wait to be sent to the connection that has most of them.
fn most_unsent(server: &TestServer) -> usize {
    let clients = server.shared().registry.all();
    let unsent = clients
        .iter()
        .map(|client| client.line.lock().conn.out_len());
    unsent.max().unwrap_or(0)
}

#[test]
fn a_client_that_never_reads_slows_only_itself() {
    let server = start(&[]);
    let mut witness = Witness::new(&server);
    let data = vec![7; 500_000];
    let mut greedy = server.session();
    greedy.create("/large", &data);
    // Two hundred megabytes of replies.
    let asked = 400;
    let frame = |xid: i32| {
        let mut client = Vec::new();
        let body = jute::Encode::to_vec(&watch("/large", false));
        client.extend_from_slice(&((8 + body.len()) as i32).to_be_bytes());
        client.extend_from_slice(&xid.to_be_bytes());
        client.extend_from_slice(&OpCode::GetData.to_i32().to_be_bytes());
        client.extend_from_slice(&body);
        client
    };
    let all: Vec<u8> = (1..=asked).flat_map(frame).collect();
    greedy.send_raw(&all);
    await_that("it is full", || {
        witness.asks();
        most_unsent(&server) > 0 || server.metric("packets_sent") > 10.0
    });
    for _ in 0..50 {
        witness.asks();
        assert!(most_unsent(&server) <= CONN_OUT_BYTES + data.len() + 100);
    }
    // Nothing of it is lost.
    for xid in 1..=asked {
        assert_eq!(greedy.reply(xid).body.len(), 4 + data.len() + 68);
    }
}

#[test]
fn events_past_the_bound_end_a_client_that_does_not_read() {
    let server = start(&[]);
    let mut witness = Witness::new(&server);
    let mut deaf = server.session();
    let all = AddWatchRequest {
        path: Some("/".into()),
        mode: 1,
    };
    assert_eq!(deaf.call(OpCode::AddWatch, &all).header.err, 0);
    let session = deaf.session_id;
    let is_there = |server: &TestServer| {
        let clients = server.shared().registry.all();
        clients.iter().any(|client| {
            let line = client.line.lock();
            line.conn.session().is_some_and(|id| id.0 == session)
        })
    };
    let path = format!("/{}", "x".repeat(200_000));
    witness.client.create(&path, b"");
    let mut events = 1;
    while is_there(&server) {
        assert!(events < 2_000, "it holds {} bytes", most_unsent(&server));
        witness.client.set(&path, b"");
        witness.asks();
        events += 1;
    }
    assert!(most_unsent(&server) <= 2 * CONN_OUT_BYTES + path.len() + 100);
    // What it was sent before is whole frames.
    while deaf.frame().is_some() {}
    witness.asks();
}

#[test]
fn garbage_ends_only_its_connection() {
    let server = start(&[]);
    let mut witness = Witness::new(&server);
    let mut dice = fastrand::Rng::with_seed(7);
    let truncated = |frame: &[u8], len: usize| {
        let mut bytes = (len as i32).to_be_bytes().to_vec();
        bytes.extend_from_slice(&frame[..len]);
        bytes
    };
    let handshake = Client::handshake_frame(10_000);
    let mut inputs: Vec<Vec<u8>> = vec![
        b"GET / HTTP/1.1\r\n\r\n".to_vec(),
        vec![0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3],
        (-1_i32).to_be_bytes().to_vec(),
        i32::MIN.to_be_bytes().to_vec(),
        i32::MAX.to_be_bytes().to_vec(),
        0_i32.to_be_bytes().to_vec(),
        truncated(&handshake, 7),
        truncated(&handshake, 27),
    ];
    inputs.extend((0..100).map(|_| {
        let len = dice.usize(1..200);
        // No four-letter word begins like that, and every length is too long.
        std::iter::once(0x7f)
            .chain((0..len).map(|_| dice.u8(..)))
            .collect()
    }));
    for input in &inputs {
        let mut client = server.connect();
        client.send_raw(input);
        if input[0] == 0x7f && input.len() < 4 {
            drop(client);
        } else {
            assert_eq!(client.until_closed(), [], "{input:x?}");
        }
        witness.asks();
    }
    // Behind a handshake: bodies of random bytes for every operation.
    for op in -12..110 {
        let mut client = server.session();
        let body: Vec<u8> = (0..dice.usize(0..100)).map(|_| dice.u8(..)).collect();
        client.send_as(1, op, &body);
        client.send_as(2, OpCode::CloseSession.to_i32(), &[]);
        client.until_closed();
        witness.asks();
    }
    for frame in [&[][..], &[0; 3], &[0; 7]] {
        let mut client = server.session();
        client.send_frame(frame);
        assert_eq!(client.until_closed(), []);
        witness.asks();
    }
}

#[test]
fn clients_that_trickle_hold_nobody_up() {
    let server = start(&[]);
    let mut witness = Witness::new(&server);
    let handshake = Client::handshake_frame(10_000);
    let mut slow: Vec<Client> = (0..40)
        .map(|at| {
            if at % 2 == 0 {
                let mut client = server.connect();
                client.send_raw(&(handshake.len() as i32).to_be_bytes());
                client
            } else {
                // The beginning of a frame as long as may be.
                let mut client = server.session();
                client.send_raw(&1_048_575_i32.to_be_bytes());
                client.send_raw(&vec![0; 100_000]);
                client
            }
        })
        .collect();
    for byte in &handshake[..handshake.len() - 1] {
        for client in &mut slow {
            client.send_raw(&[*byte]);
        }
        witness.asks();
    }
    // Those that finish are served.
    for client in slow.iter_mut().step_by(2) {
        client.send_raw(&handshake[handshake.len() - 1..]);
        assert!(client.frame().is_some());
        client.ping();
    }
}

#[test]
fn a_million_watches_of_one_client() {
    let server = start(&[]);
    let mut witness = Witness::new(&server);
    let mut watcher = server.session();
    let (batches, each) = (40, 25_000);
    for batch in 0..batches {
        let paths = (0..each).map(|path| Some(format!("/w{batch}/{path:06}").into()));
        let watches = SetWatches2 {
            relative_zxid: 0,
            data: Some(Vec::new()),
            exist: Some(paths.collect()),
            child: Some(Vec::new()),
            persistent: Some(Vec::new()),
            persistent_recursive: Some(Vec::new()),
        };
        let xid = watcher.send(OpCode::SetWatches2, &watches);
        witness.asks();
        assert_eq!(watcher.reply(xid).header.err, 0);
    }
    assert_eq!(server.metric("watch_count"), f64::from(batches * each));
    witness.client.create("/w7", b"");
    witness.client.create("/w7/000042", b"");
    assert_eq!(watcher.event(), (1, "/w7/000042".into()));
    // They go with their connection.
    drop(watcher);
    await_that("none is left", || {
        witness.asks();
        server.metric("watch_count") == 0.0
    });
}

/// Bytes that are a body already.
struct Encoded(Vec<u8>);

impl jute::Encode for Encoded {
    fn size(&self) -> usize {
        self.0.len()
    }

    fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.0);
    }
}

#[test]
fn a_multi_with_ten_thousand_operations() {
    let server = start(&[]);
    let mut witness = Witness::new(&server);
    let mut client = server.session();
    client.create("/m", b"");
    let paths: Vec<String> = (0..10_000).map(|at| format!("/m/{at}")).collect();
    let mut body = Vec::new();
    let ops: Vec<MultiOp<'_>> = paths
        .iter()
        .map(|path| MultiOp::Create(OpCode::Create, create(path, b"x")))
        .collect();
    encode_multi(&ops, &mut body);
    let xid = client.send(OpCode::Multi, &Encoded(body));
    witness.asks();
    let answer = client.reply(xid);
    assert_eq!(answer.header.err, 0);
    let results = decode_multi_results(&mut Reader::new(&answer.body)).expect("results");
    assert_eq!(results.len(), paths.len());
    assert_eq!(server.metric("znode_count"), f64::from(5 + 2 + 10_000));
    // The same again fails at its first part, as a whole.
    let mut body = Vec::new();
    encode_multi(&ops, &mut body);
    let xid = client.send(OpCode::Multi, &Encoded(body));
    witness.asks();
    let answer = client.reply(xid);
    let results = decode_multi_results(&mut Reader::new(&answer.body)).expect("results");
    let codes: BTreeSet<String> = results.iter().map(|result| format!("{result:?}")).collect();
    assert_eq!((results.len(), codes.len()), (paths.len(), 2));
    witness.asks();
}

#[test]
fn deep_paths() {
    let server = start(&[]);
    let mut witness = Witness::new(&server);
    let mut client = server.session();
    let depth = 1_500;
    let mut path = String::new();
    for level in 0..depth {
        path.push_str("/d");
        client.create(&path, b"");
        if level % 100 == 0 {
            witness.asks();
        }
    }
    let count = client.call(
        OpCode::GetAllChildrenNumber,
        &zk_wire::client::PathRequest {
            path: Some("/d".into()),
        },
    );
    let count: zk_wire::client::CountResponse = count.decode();
    assert_eq!(count.count, depth - 1);
    // As deep as a frame lets a path be; nothing is there.
    let deep = "/d".repeat(500_000);
    for answer in [
        client.call(OpCode::GetData, &watch(&deep, true)),
        client.call(OpCode::Create, &create(&deep, b"")),
        client.call(OpCode::SetData, &set(&deep, b"")),
    ] {
        assert_eq!(answer.header.err, Code::NoNode.to_i32());
    }
    let answer = client.call(OpCode::Exists, &watch(&deep, true));
    assert_eq!(answer.header.err, Code::NoNode.to_i32());
    witness.asks();
    assert_eq!(client.call(OpCode::CloseSession, &Nothing).header.err, 0);
    witness.asks();
}

/// Named in the environment of the process that [`a_panic_of_a_core_thread_ends_the_process`] starts.
const PANIC: &str = "ZABKEEPER_TEST_PANIC";

/// What a child process of this test binary does: a server whose thread panics.
fn panicking_server(thread: &str) -> ! {
    zabkeeper::process::end_on_panic();
    let server = start(&[]);
    let mut client = server.session();
    client.create("/n", b"");
    if thread == "core" {
        let panics = zabkeeper::gate::ToCore::Look(Box::new(|_| panic!("on purpose")));
        server.shared().core.push(panics);
        client.until_closed();
        panic!("the process should have ended");
    }
    // A task of the runtime, as each connection has one.
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .thread_name("client")
        .build()
        .expect("a runtime");
    let task = runtime.spawn(async { panic!("on purpose") });
    assert!(runtime.block_on(task).is_err());
    client.ping();
    drop(server);
    std::process::exit(42);
}

#[test]
fn a_panic_of_a_core_thread_ends_the_process() {
    if let Ok(thread) = std::env::var(PANIC) {
        panicking_server(&thread);
    }
    for (thread, code) in [("core", zabkeeper::process::EXIT_PANIC), ("client", 42)] {
        let name = "faults::a_panic_of_a_core_thread_ends_the_process";
        let status = Command::new(std::env::current_exe().expect("this binary"))
            .args(["--exact", name, "--nocapture"])
            .env(PANIC, thread)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()
            .expect("it starts");
        assert_eq!(status.code(), Some(code), "{thread}");
    }
}
