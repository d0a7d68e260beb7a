//! Members of an ensemble in this process: whom they serve in which part, and `zabkeeper ensemble`.

use std::io::{BufRead, BufReader};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};

use jute::{Decode, Encode, Reader};
use zabkeeper::boot::Server;
use zk_core::SessionId;
use zk_ops::config::{self, Sources};
use zk_wire::client::{ConnectRequest, ConnectResponse};
use zk_wire::quorum::notification::PeerState;
use zk_wire::{Code, OpCode};

use crate::harness::{Client, await_that, create, word_at};
use crate::metrics::{PROMETHEUS, http};

/// Ports that nobody listens on at this moment, all different.
fn ports<const N: usize>() -> [u16; N] {
    let held: Vec<TcpListener> = (0..N)
        .map(|_| TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port"))
        .collect();
    std::array::from_fn(|i| held[i].local_addr().expect("an address").port())
}

/// Servers of one ensemble, some of which run.
struct Ensemble {
    servers: Vec<Option<Server>>,
    dir: tempfile::TempDir,
}

impl Drop for Ensemble {
    fn drop(&mut self) {
        for server in self.servers.iter_mut().filter_map(Option::take) {
            server.stop();
        }
    }
}

impl Ensemble {
    /// Of the members of these lines, the files only. `settings` are lines of zoo.cfg, or
    /// `-Dname=value`.
    fn of(members: &[String]) -> Ensemble {
        let dir = tempfile::tempdir().expect("a folder");
        for id in 1..=members.len() {
            let data = dir.path().join(format!("{id}/data"));
            std::fs::create_dir_all(&data).expect("a folder");
            std::fs::write(data.join("myid"), format!("{id}\n")).expect("myid");
        }
        std::fs::write(dir.path().join("members"), members.concat()).expect("members");
        Ensemble {
            servers: members.iter().map(|_| None).collect(),
            dir,
        }
    }

    /// Voters on free ports.
    fn voters<const N: usize>() -> Ensemble {
        let (quorum, election) = (ports::<N>(), ports::<N>());
        let lines: Vec<String> = (0..N)
            .map(|i| {
                let (id, quorum, election) = (i + 1, quorum[i], election[i]);
                format!("server.{id}=127.0.0.1:{quorum}:{election}\n")
            })
            .collect();
        Ensemble::of(&lines)
    }

    fn start(&mut self, id: usize, settings: &[&str]) {
        let dir = self.dir.path().join(id.to_string());
        let members = self.dir.path().join("members");
        let members = std::fs::read_to_string(members).expect("members");
        let mut text = format!(
            "clientPort=0\nclientPortAddress=127.0.0.1\n4lw.commands.whitelist=*\n\
             tickTime=200\ninitLimit=20\nsyncLimit=10\npreAllocSize=64\ndataDir={}\n{members}",
            dir.join("data").display()
        );
        let mut sources = Sources::default();
        for setting in settings {
            match setting.strip_prefix("-D") {
                Some(define) => sources.defines.push(define.into()),
                None => {
                    text += setting;
                    text.push('\n');
                }
            }
        }
        let file = dir.join("zoo.cfg");
        std::fs::write(&file, text).expect("zoo.cfg is written");
        sources.arguments.push(file.display().to_string());
        let config = config::load(&sources).unwrap_or_else(|error| panic!("{error}"));
        let server = Server::start(config);
        self.servers[id - 1] = Some(server.unwrap_or_else(|refusal| panic!("{refusal:?}")));
    }

    fn stop(&mut self, id: usize) {
        self.servers[id - 1].take().expect("it runs").stop();
    }

    fn server(&self, id: usize) -> &Server {
        self.servers[id - 1].as_ref().expect("it runs")
    }

    fn address(&self, id: usize) -> SocketAddr {
        self.server(id).address().expect("a listener")
    }

    /// The answer to `isro`: `rw`, `ro`, or `null` from a server that serves nobody.
    fn isro(&self, id: usize) -> String {
        word_at(self.address(id), b"isro")
    }

    fn await_isro(&self, id: usize, answer: &str) {
        await_that(&format!("server {id} says {answer}"), || {
            self.isro(id) == answer
        });
    }

    fn session(&self, id: usize) -> Client {
        Client::connect(self.address(id)).opened(10_000)
    }
}

/// Asks for a session with which reading is enough. Whether it got one that may only read.
fn content_with_reading(client: &mut Client) -> Option<bool> {
    client.send_frame(
        &ConnectRequest {
            timeout: 10_000,
            passwd: Some(&[0; 16]),
            read_only: Some(true),
            ..ConnectRequest::default()
        }
        .to_vec(),
    );
    let frame = client.frame()?;
    let response = ConnectResponse::decode(&mut Reader::new(&frame)).expect("a response");
    response.read_only
}

#[test]
fn without_a_quorum_clients_may_read() {
    let mut ensemble = Ensemble::voters::<2>();
    // Who may only read has a local session.
    let settings = ["-Dreadonlymode.enabled=true", "localSessionsEnabled=true"];
    for id in [1, 2] {
        ensemble.start(id, &settings);
    }
    for id in [1, 2] {
        ensemble.await_isro(id, "rw");
    }
    ensemble.session(1).create("/a", b"kept");
    ensemble.stop(2);
    ensemble.await_isro(1, "null");
    ensemble.await_isro(1, "ro");
    assert_eq!(
        Client::connect(ensemble.address(1)).handshake(10_000),
        None,
        "this client wants to write"
    );
    let mut reader = Client::connect(ensemble.address(1));
    assert_eq!(content_with_reading(&mut reader), Some(true));
    assert_eq!(reader.get("/a"), b"kept");
    let answer = reader.call(OpCode::Create, &create("/b", b""));
    assert_eq!(answer.header.err, Code::NotReadOnly.to_i32());
    ensemble.start(2, &settings);
    ensemble.await_isro(1, "rw");
    assert_eq!(reader.until_closed(), b"");
    ensemble.session(1).create("/b", b"");
}

#[test]
fn a_leader_that_serves_nobody_leads() {
    let mut ensemble = Ensemble::voters::<3>();
    for id in 1..=3 {
        let settings = [
            "leaderServes=no",
            PROMETHEUS,
            "metricsProvider.httpHost=127.0.0.1",
            "metricsProvider.httpPort=0",
        ];
        ensemble.start(id, &settings);
    }
    let serving = |ensemble: &Ensemble| -> Vec<usize> {
        (1..=3).filter(|id| ensemble.isro(*id) == "rw").collect()
    };
    await_that("two serve", || serving(&ensemble).len() == 2);
    let [one, other] = serving(&ensemble)[..] else {
        panic!("more than two serve");
    };
    let leader = 6 - one - other;
    assert_eq!(
        Client::connect(ensemble.address(leader)).handshake(10_000),
        None
    );
    let mut client = ensemble.session(one);
    client.create("/a", b"1");
    let mut client = ensemble.session(other);
    client.call(
        OpCode::Sync,
        &zk_wire::client::PathRequest {
            path: Some("/a".into()),
        },
    );
    assert_eq!(client.get("/a"), b"1");
    assert_eq!(ensemble.isro(leader), "null");
    let address = ensemble.server(leader).metrics_address();
    let (_, body) = http(address.expect("a listener"), "GET", "/metrics");
    let value = |name: &str| body.lines().find_map(|line| line.strip_prefix(name));
    assert_eq!(value("synced_followers "), Some("2"), "{body}");
    assert_eq!(value("num_alive_connections "), Some("0"), "{body}");
}

#[test]
fn a_session_is_local_until_it_owns_a_node() {
    let mut ensemble = Ensemble::voters::<3>();
    let settings = [
        "localSessionsEnabled=true",
        "localSessionsUpgradingEnabled=true",
    ];
    for id in 1..=3 {
        ensemble.start(id, &settings);
    }
    for id in 1..=3 {
        ensemble.await_isro(id, "rw");
    }
    for id in 1..=3 {
        let mut client = ensemble.session(id);
        let session = SessionId(client.session_id);
        let knows = |of: usize| {
            let tree = ensemble.server(of).shared().tree.read();
            tree.has_global_session(session)
        };
        client.create(&format!("/lasting-{id}"), b"");
        assert!(!knows(id), "no transaction has made it");
        let path = format!("/fleeting-{id}");
        let mut ephemeral = create(&path, b"");
        ephemeral.flags = 1;
        assert_eq!(client.call(OpCode::Create, &ephemeral).header.err, 0);
        for of in 1..=3 {
            await_that("everybody knows it", || knows(of));
        }
    }
}

#[test]
fn one_of_two_goes_on_if_the_oracle_says_so() {
    let mut ensemble = Ensemble::voters::<2>();
    let oracle = |id: usize| ensemble.dir.path().join(format!("oracle-{id}"));
    let oracles = [oracle(1), oracle(2)];
    let settings = oracles
        .each_ref()
        .map(|path| format!("oraclePath={}", path.display()));
    for id in [1, 2] {
        ensemble.start(id, &[&settings[id - 1]]);
    }
    for id in [1, 2] {
        ensemble.await_isro(id, "rw");
    }
    ensemble.session(2).create("/both", b"");
    ensemble.stop(2);
    ensemble.await_isro(1, "null");
    std::fs::write(&oracles[0], "1\n").expect("an oracle");
    ensemble.await_isro(1, "rw");
    ensemble.session(1).create("/alone", b"");
    // The other comes back and follows, with or without a word of its own oracle.
    ensemble.start(2, &[&settings[1]]);
    ensemble.await_isro(2, "rw");
    let mut client = ensemble.session(2);
    assert_eq!(client.get("/alone"), b"");
    client.create("/again", b"");
    // A leader that is alone with the oracle's leave goes when that is taken back.
    drop(client);
    ensemble.stop(2);
    await_that("it leads alone", || {
        let mut client = Client::connect(ensemble.address(1));
        client.handshake(10_000).is_some() && {
            let xid = client.send(OpCode::Exists, &crate::harness::watch("/again", false));
            client
                .answer()
                .is_some_and(|answer| answer.header.xid == xid)
        }
    });
    std::fs::write(&oracles[0], "0\n").expect("an oracle");
    ensemble.await_isro(1, "null");
}

#[test]
fn a_follower_serves_observers() {
    let (quorum, election, [master]) = (ports::<3>(), ports::<3>(), ports());
    // Each on an address of its own, for the port of observer masters is the same on all.
    let lines: Vec<String> = (0..3)
        .map(|i| {
            let (id, quorum, election) = (i + 1, quorum[i], election[i]);
            let role = if id == 3 { "observer" } else { "participant" };
            format!("server.{id}=127.0.0.{id}:{quorum}:{election}:{role}\n")
        })
        .collect();
    let mut ensemble = Ensemble::of(&lines);
    let port = format!("observerMasterPort={master}");
    for id in [1, 2] {
        ensemble.start(id, &[&port]);
    }
    for id in [1, 2] {
        ensemble.await_isro(id, "rw");
    }
    let mut client = ensemble.session(1);
    for i in 0..20 {
        client.create(&format!("/before-{i}"), b"1");
    }
    ensemble.start(3, &[&port]);
    ensemble.await_isro(3, "rw");
    let mut observed = ensemble.session(3);
    let sync = |client: &mut Client| {
        let path = zk_wire::client::PathRequest {
            path: Some("/".into()),
        };
        assert_eq!(client.call(OpCode::Sync, &path).header.err, 0);
    };
    sync(&mut observed);
    assert_eq!(observed.get("/before-19"), b"1");
    // A write of an observer's client, a sync, and what others write.
    observed.create("/observed", b"2");
    client.set("/observed", b"3");
    sync(&mut observed);
    assert_eq!(observed.get("/observed"), b"3");
    let status = |ensemble: &Ensemble, id: usize| {
        let (send, receive) = std::sync::mpsc::channel();
        let look = Box::new(move |peer: &zk_core::Peer| {
            let _ = send.send(peer.status().expect("a member"));
        });
        let shared = ensemble.server(id).shared();
        shared.core.push(zabkeeper::gate::ToCore::Look(look));
        receive.recv().expect("a look")
    };
    let leads = |id: &usize| status(&ensemble, *id).state == PeerState::Leading;
    let leader = [1, 2].into_iter().find(leads).expect("a leader");
    let follower = 3 - leader;
    let learners = status(&ensemble, leader).learners;
    assert_eq!(
        (learners.followers, learners.observers),
        (1, 0),
        "the leader is spared"
    );
    let learners = status(&ensemble, follower).learners;
    assert_eq!((learners.followers, learners.observers), (0, 1));
    // The follower goes, and nobody leads any more; when it is back so is everybody.
    drop((client, observed));
    ensemble.stop(follower);
    ensemble.await_isro(3, "null");
    ensemble.start(follower, &[&port]);
    ensemble.await_isro(3, "rw");
    ensemble.session(3).create("/later", b"");
}

/// `zabkeeper ensemble`, ended with the test.
struct Launched {
    child: Child,
    out: BufReader<ChildStdout>,
}

impl Drop for Launched {
    fn drop(&mut self) {
        signal("TERM", self.child.id());
        let _ = self.child.wait();
    }
}

fn signal(name: &str, pid: u32) {
    let _ = Command::new("kill")
        .args([format!("-{name}"), pid.to_string()])
        .status();
}

impl Launched {
    fn start(dir: &Path) -> Launched {
        let [port] = ports();
        let mut child = Command::new(env!("CARGO_BIN_EXE_zabkeeper"))
            .args(["ensemble", "3", &dir.display().to_string()])
            // So that it has ports behind it.
            .args(["--port", &(20_000 + port % 10_000).to_string()])
            .env_remove("SERVER_JVMFLAGS")
            .env_remove("JVMFLAGS")
            .stdout(Stdio::piped())
            .spawn()
            .expect("it starts");
        let out = BufReader::new(child.stdout.take().expect("a pipe"));
        Launched { child, out }
    }

    /// The next line that holds this.
    fn line(&mut self, with: &str) -> String {
        loop {
            let mut line = String::new();
            let read = self.out.read_line(&mut line).expect("text");
            assert_ne!(read, 0, "it ended before {with:?}");
            if line.contains(with) {
                return line;
            }
        }
    }
}

#[test]
fn three_servers_go_on_when_one_is_killed() {
    let dir = tempfile::tempdir().expect("a folder");
    let mut launched = Launched::start(&dir.path().join("ensemble"));
    let servers: Vec<(SocketAddr, u32)> = (1..=3)
        .map(|id| {
            let line = launched.line(&format!("server {id}: clients on "));
            let mut parts = line.split(", ").flat_map(|part| part.rsplit(' ').next());
            let address = parts.next().expect("an address").parse();
            let pid = parts.next().expect("a process").parse();
            (address.expect("an address"), pid.expect("a process"))
        })
        .collect();
    launched.line("connect to ");
    let says = |address: SocketAddr, word: &[u8], answer: &str| {
        // It may not listen yet, or no more.
        std::net::TcpStream::connect(address).is_ok() && word_at(address, word).contains(answer)
    };
    await_that("all serve", || {
        servers
            .iter()
            .all(|(address, _)| says(*address, b"isro", "rw"))
    });
    Client::connect(servers[0].0)
        .opened(10_000)
        .create("/a", b"1");
    signal("KILL", servers[2].1);
    launched.line("server 3 has ended, by signal 9; to start it again: zabkeeper serve ");
    for (address, _) in &servers[..2] {
        await_that("it serves", || says(*address, b"isro", "rw"));
    }
    await_that("writes go on", || {
        let mut client = Client::connect(servers[1].0);
        if client.handshake(10_000).is_none() {
            return false;
        }
        let xid = client.send(OpCode::Create, &create("/b", b"2"));
        client
            .answer()
            .is_some_and(|answer| answer.header.xid == xid && answer.header.err == 0)
    });
    signal("TERM", launched.child.id());
    assert_eq!(launched.child.wait().expect("its end").code(), Some(0));
    for (address, _) in servers {
        assert!(std::net::TcpStream::connect(address).is_err());
    }
}
