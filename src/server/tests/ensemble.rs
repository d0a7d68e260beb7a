//! Members of an ensemble in this process: what each role says to operators, held against what
//! Java printed (`fixtures/four_letter`), and what becomes of clients and of the others when a
//! member goes and comes back.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use jute::{Decode, Encode, Reader};
use tempfile::TempDir;
use zabkeeper::boot::Server;
use zk_ops::config::{self, Sources};
use zk_wire::OpCode;
use zk_wire::client::{
    ConnectRequest, ConnectResponse, CreateRequest, PathRequest, ReconfigRequest,
};
use zk_wire::password;

use crate::harness::{BOUND, Client, create, watch, word_at};

/// A look at a server costs a connection, and nobody says when it is worth one.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Waits until `look` finds something.
fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + BOUND;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < end, "not within {BOUND:?}: {what}");
        std::thread::sleep(LOOK_EVERY);
    }
}

/// Waits until ours is theirs: the connection of the word before may still be counted, and what
/// comes of an fsync too is counted a little later.
fn agree<T: PartialEq + std::fmt::Debug>(what: &str, theirs: &T, mut ours: impl FnMut() -> T) {
    let end = Instant::now() + BOUND;
    loop {
        let ours = ours();
        if ours == *theirs {
            return;
        }
        assert!(
            Instant::now() < end,
            "{what}: ours {ours:#?}, theirs {theirs:#?}"
        );
        std::thread::sleep(LOOK_EVERY);
    }
}

/// Ports that nobody listens on now.
fn free_ports<const N: usize>() -> [u16; N] {
    let held = [(); N].map(|()| TcpListener::bind("127.0.0.1:0").expect("a port"));
    held.each_ref()
        .map(|socket| socket.local_addr().expect("an address").port())
}

/// An ensemble; all of it ends with this.
struct Ensemble {
    dir: TempDir,
    running: BTreeMap<i64, Server>,
    /// Lines of `server.N`.
    members: Vec<String>,
    settings: Vec<String>,
}

impl Drop for Ensemble {
    fn drop(&mut self) {
        for (_, server) in std::mem::take(&mut self.running) {
            server.stop();
        }
    }
}

impl Ensemble {
    /// Starts servers with these roles, with these lines of zoo.cfg, or `-Dname=value`.
    fn start(roles: &[&str], settings: &[&str]) -> Ensemble {
        let members = (1..).zip(roles).map(|(sid, role)| {
            let [quorum, election] = free_ports();
            format!("server.{sid}=127.0.0.1:{quorum}:{election}:{role}")
        });
        let mut ensemble = Ensemble {
            dir: tempfile::tempdir().expect("a folder"),
            running: BTreeMap::new(),
            members: members.collect(),
            settings: settings.iter().map(|&setting| setting.into()).collect(),
        };
        for sid in 1..=roles.len() as i64 {
            let home = ensemble.home(sid);
            std::fs::create_dir_all(home.join("data")).expect("a folder");
            std::fs::write(home.join("data/myid"), format!("{sid}\n")).expect("a file");
            let mut text = format!(
                "clientPort=0\nclientPortAddress=127.0.0.1\n4lw.commands.whitelist=*\n\
                 tickTime=1000\ninitLimit=10\nsyncLimit=5\npreAllocSize=64\ndataDir={}\n",
                home.join("data").display()
            );
            let lines = ensemble.settings.iter().filter(|s| !s.starts_with("-D"));
            for line in lines.chain(&ensemble.members) {
                text += line;
                text.push('\n');
            }
            std::fs::write(ensemble.cfg(sid), text).expect("zoo.cfg is written");
        }
        for sid in 1..=roles.len() as i64 {
            ensemble.run(sid);
        }
        ensemble
    }

    fn home(&self, sid: i64) -> PathBuf {
        self.dir.path().join(sid.to_string())
    }

    fn cfg(&self, sid: i64) -> PathBuf {
        self.home(sid).join("zoo.cfg")
    }

    /// Starts a member that does not run.
    fn run(&mut self, sid: i64) {
        let defines = self.settings.iter().filter_map(|s| s.strip_prefix("-D"));
        let sources = Sources {
            arguments: vec![self.cfg(sid).display().to_string()],
            defines: defines.map(Into::into).collect(),
            ..Sources::default()
        };
        let config = config::load(&sources).unwrap_or_else(|error| panic!("{error}"));
        let server = Server::start(config)
            .unwrap_or_else(|refusal| panic!("server {sid}: {}", refusal.message));
        self.running.insert(sid, server);
    }

    fn stop(&mut self, sid: i64) {
        let server = self.running.remove(&sid).expect("it runs");
        server.stop();
    }

    fn address(&self, sid: i64) -> SocketAddr {
        self.running[&sid].address().expect("a listener")
    }

    fn word(&self, sid: i64, word: &str) -> String {
        word_at(self.address(sid), word.as_bytes())
    }

    fn mode(&self, sid: i64) -> Option<String> {
        let text = self.word(sid, "srvr");
        let mode = text.lines().find_map(|line| line.strip_prefix("Mode: "));
        mode.map(Into::into)
    }

    /// Waits until every member that runs serves; who has which role.
    fn roles(&self) -> BTreeMap<String, i64> {
        until("all serve", || {
            self.running
                .keys()
                .map(|sid| Some((self.mode(*sid)?, *sid)))
                .collect()
        })
    }

    /// A value of `mntr`.
    fn metric(&self, sid: i64, name: &str) -> Option<i64> {
        number(&self.word(sid, "mntr"), name)
    }

    /// A client with a session of 12 s.
    fn client(&self, sid: i64) -> Client {
        Client::connect(self.address(sid)).opened(12_000)
    }
}

fn number(mntr: &str, name: &str) -> Option<i64> {
    let value = mntr.lines().find_map(|line| {
        let (key, value) = line.split_once('\t')?;
        (key.strip_prefix("zk_")? == name).then_some(value)
    })?;
    value.parse().ok()
}

fn fixture(word: &str, role: &str) -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let path = root.join(format!("fixtures/four_letter/{word}/{role}.txt"));
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// A text without what differs from run to run: numbers, times, folders, the own version. Lines
/// are sorted, for Java's sets have no order.
fn shape(text: &str) -> Vec<String> {
    let line = |line: &str| {
        if line.starts_with("Zookeeper version: 3.9.5-") {
            return "Zookeeper version".into();
        }
        if let Some((key, _)) = line.split_once("=/") {
            return format!("{key}=/");
        }
        let mut out = String::new();
        let mut before = ' ';
        for c in line.chars() {
            // Of 0x, and of what stands behind it.
            let is_number = c.is_ascii_digit()
                || (before == '#' && (c == 'x' || c == '.' || c.is_ascii_hexdigit()));
            let next = if is_number { '#' } else { c };
            if next != '#' || before != '#' {
                out.push(next);
            }
            before = next;
        }
        out
    };
    // What expires in one tick depends on when it was asked last.
    let lines = text.lines().filter(|line| !line.contains(" expire at "));
    let mut lines: Vec<String> = lines.map(line).collect();
    lines.sort();
    lines
}

/// The names in `mntr`, without those of queues that only Java has.
fn names(text: &str) -> BTreeSet<&str> {
    let names = text.lines().filter_map(|line| line.split('\t').next());
    names
        .filter(|name| !name.contains("_learner_handler_qp_"))
        .collect()
}

fn ephemeral(path: &str) -> CreateRequest<'_> {
    let mut request = create(path, b"x");
    request.flags = 1;
    request
}

/// Asks what the recorded ensemble was asked.
fn filled(ensemble: &Ensemble, roles: &BTreeMap<String, i64>) -> Vec<Client> {
    let mut clients = Vec::new();
    for (role, sid) in roles {
        let mut client = ensemble.client(*sid);
        client.create(&format!("/{role}"), b"x");
        let path = format!("/{role}/eph");
        let made = client.call(OpCode::Create, &ephemeral(&path));
        assert_eq!(made.header.err, 0, "{path}");
        let read = client.call(OpCode::GetData, &watch(&format!("/{role}"), true));
        assert_eq!(read.header.err, 0);
        client.ping();
        clients.push(client);
    }
    for sid in roles.values() {
        until("everything is there", || {
            (ensemble.metric(*sid, "ephemerals_count") == Some(3)).then_some(())
        });
    }
    clients
}

/// As recorded: three voters and an observer.
const RECORDED: [&str; 4] = ["participant", "participant", "participant", "observer"];

#[test]
fn every_role_says_what_javas_says() {
    let ensemble = Ensemble::start(&RECORDED, &[]);
    let roles = ensemble.roles();
    assert_eq!(roles["observer"], 4);
    let leader = roles["leader"];
    until("all are learners", || {
        (ensemble.metric(leader, "synced_followers") == Some(2)
            && ensemble.metric(leader, "synced_observers") == Some(1))
        .then_some(())
    });

    let _clients = filled(&ensemble, &roles);
    for (role, sid) in &roles {
        for word in ["srvr", "stat", "conf", "dump", "isro"] {
            let theirs = shape(&fixture(word, role));
            agree(word, &theirs, || shape(&ensemble.word(*sid, word)));
        }
        let told = |srvr: &str| -> Vec<String> {
            let known = [
                "Zxid",
                "Mode",
                "Node count",
                "Connections",
                "Proposal sizes",
            ];
            let lines = srvr.lines();
            let lines = lines.filter(|line| known.iter().any(|what| line.starts_with(what)));
            lines.map(Into::into).collect()
        };
        let theirs = told(&fixture("srvr", role));
        agree(role, &theirs, || told(&ensemble.word(*sid, "srvr")));

        let ours = ensemble.word(*sid, "mntr");
        let theirs = fixture("mntr", role);
        let differ: Vec<&str> = names(&ours)
            .symmetric_difference(&names(&theirs))
            .copied()
            .collect();
        assert!(differ.is_empty(), "{role}: {differ:?}");
        let told = [
            "quorum_size",
            "learners",
            "synced_followers",
            "synced_non_voting_followers",
            "synced_observers",
            "pending_syncs",
            "last_proposal_size",
            "max_proposal_size",
            "min_proposal_size",
            "global_sessions",
            "proposal_count",
            "commit_count",
            "learner_proposal_received_count",
            "learner_commit_received_count",
            "diff_count",
            "snap_count",
            "cnt_election_time",
            "cnt_follower_sync_time",
            "cnt_observer_sync_time",
            "cnt_quorum_ack_latency",
            "cnt_commit_propagation_latency",
            "cnt_proposal_latency",
            "cnt_propagation_latency",
        ];
        let numbers = |mntr: &str| told.map(|name| (name, number(mntr, name)));
        agree(role, &numbers(&theirs), || {
            numbers(&ensemble.word(*sid, "mntr"))
        });
        assert!(number(&ours, "looking_count") >= Some(1), "{ours}");
        let states = |text: &str| -> Vec<String> {
            let states = text.lines().filter(|line| line.contains("_state\t"));
            states.map(Into::into).collect()
        };
        assert_eq!(states(&ours), states(&theirs));
    }
    let master = ensemble.metric(4, "observer_master_id");
    assert_eq!(master, Some(leader));
    let conf = ensemble.word(leader, "conf");
    let membership = format!("membership: \n{}\nversion=0", ensemble.members.join("\n"));
    assert!(conf.ends_with(&membership), "{conf}");

    assert_eq!(ensemble.word(leader, "srst"), "Server stats reset.\n");
    let srvr = ensemble.word(leader, "srvr");
    assert!(
        srvr.ends_with("Proposal sizes last/min/max: -1/-1/-1\n"),
        "{srvr}"
    );
}

#[test]
fn a_member_without_a_quorum_says_that_it_does_not_serve() {
    let mut ensemble = Ensemble::start(&["participant"; 3], &[]);
    let roles = ensemble.roles();
    let stays = roles["follower"];
    let mut client = ensemble.client(stays);
    for sid in [1, 2, 3] {
        if sid != stays {
            ensemble.stop(sid);
        }
    }
    until("it looks for a leader", || {
        (ensemble.word(stays, "isro") == "null").then_some(())
    });
    for word in [
        "ruok", "isro", "srvr", "stat", "cons", "conf", "dump", "mntr", "crst", "srst", "dirs",
        "hash", "wchs", "wchc", "wchp", "gtmk",
    ] {
        assert_eq!(
            ensemble.word(stays, word),
            fixture(word, "looking"),
            "{word}"
        );
    }
    assert!(ensemble.word(stays, "envi").starts_with("Environment:\n"));
    // Its clients have been let go.
    client.until_closed();
}

#[test]
fn a_read_only_member_says_what_javas_says() {
    let mut ensemble = Ensemble::start(&RECORDED, &["-Dreadonlymode.enabled=true"]);
    let roles = ensemble.roles();
    drop(filled(&ensemble, &roles));
    let stays = roles["follower"];
    for sid in [1, 2, 3] {
        if sid != stays {
            ensemble.stop(sid);
        }
    }
    until("it serves read-only", || {
        (ensemble.mode(stays)? == "read-only").then_some(())
    });
    let srvr = ensemble.word(stays, "srvr");
    assert!(srvr.contains("Latency min/avg/max: 0/0.0/0\n"), "{srvr}");
    for word in ["srvr", "stat", "conf", "dump", "isro"] {
        let theirs = shape(&fixture(word, "read_only"));
        agree(word, &theirs, || shape(&ensemble.word(stays, word)));
    }
    let ours = ensemble.word(stays, "mntr");
    let theirs = fixture("mntr", "read_only");
    let differ: Vec<&str> = names(&ours)
        .symmetric_difference(&names(&theirs))
        .copied()
        .collect();
    assert!(differ.is_empty(), "{differ:?}");
    assert!(ours.contains("zk_server_state\tread-only\n"), "{ours}");
}

/// Comes back with a session.
fn reconnect(address: SocketAddr, session_id: i64) -> Option<Client> {
    let stream = TcpStream::connect(address).ok()?;
    drop(stream);
    let mut client = Client::connect(address);
    let password = password::derive(session_id);
    let request = ConnectRequest {
        timeout: 12_000,
        session_id,
        passwd: Some(&password),
        read_only: Some(false),
        ..ConnectRequest::default()
    };
    client.send_frame(&request.to_vec());
    let frame = client.frame()?;
    let response = ConnectResponse::decode(&mut Reader::new(&frame)).expect("a response");
    assert_eq!(response.session_id, session_id, "the session has expired");
    client.session_id = session_id;
    Some(client)
}

#[test]
fn the_leader_goes_and_a_session_goes_on() {
    let mut ensemble = Ensemble::start(&["participant"; 3], &[]);
    let roles = ensemble.roles();
    let (leader, follower) = (roles["leader"], roles["follower"]);
    let mut client = ensemble.client(follower);
    let session = client.session_id;
    client.create("/kept", b"1");
    let answer = client.call(OpCode::Create, &ephemeral("/mine"));
    assert_eq!(answer.header.err, 0);
    ensemble.stop(leader);
    client.until_closed();

    let mut client = until("the session goes on", || {
        ensemble.mode(follower)?;
        reconnect(ensemble.address(follower), session)
    });
    assert_eq!(client.get("/kept"), b"1");
    client.create("/later", b"2");
    let path = PathRequest {
        path: Some("/".into()),
    };
    assert_eq!(client.call(OpCode::Sync, &path).header.err, 0);
    let second = ensemble.roles();
    assert_eq!(second.len(), 2, "{second:?}");
    let next = second["leader"];
    let dump = ensemble.word(next, "dump");
    assert!(
        dump.contains(&format!("0x{session:x}:\n\t/mine\n")),
        "{dump}"
    );

    // The one that went comes back, and has what it missed.
    ensemble.run(leader);
    let mut other = until("it is back", || {
        ensemble.mode(leader)?;
        Some(ensemble.client(leader))
    });
    assert_eq!(other.get("/later"), b"2");
    assert_eq!(other.get("/mine"), b"x");
}

#[test]
fn who_lags_gets_a_diff_and_who_is_empty_a_snapshot() {
    // Without a part of the log beyond the last 500 transactions.
    let mut ensemble = Ensemble::start(&["participant"; 3], &["-Dzookeeper.snapshotSizeFactor=-1"]);
    let roles = ensemble.roles();
    let (leader, follower) = (roles["leader"], roles["follower"]);
    until("all follow", || {
        (ensemble.metric(leader, "synced_followers") == Some(2)).then_some(())
    });
    let syncs = |ensemble: &Ensemble| {
        let mntr = ensemble.word(leader, "mntr");
        ["diff_count", "snap_count"].map(|name| number(&mntr, name).expect("a number"))
    };
    let [diffs, snaps] = syncs(&ensemble);
    let mut client = ensemble.client(leader);
    let mut last = 0;
    for at in 0..600 {
        last = client.send(OpCode::Create, &create(&format!("/n{at}"), b"x"));
    }
    for xid in last - 599..=last {
        client.reply(xid);
    }
    ensemble.stop(follower);
    client.create("/missed", b"1");
    ensemble.run(follower);
    let has = |ensemble: &Ensemble, path: &str| {
        until("it is back", || ensemble.mode(follower));
        let answer = ensemble
            .client(follower)
            .call(OpCode::GetData, &watch(path, false));
        assert_eq!(answer.header.err, 0, "{path}");
    };
    has(&ensemble, "/missed");
    assert_eq!(syncs(&ensemble), [diffs + 1, snaps]);

    ensemble.stop(follower);
    client.create("/more", b"1");
    let data = ensemble.home(follower).join("data");
    std::fs::remove_dir_all(&data).expect("its data goes");
    std::fs::create_dir(&data).expect("a folder");
    std::fs::write(data.join("myid"), follower.to_string()).expect("a file");
    ensemble.run(follower);
    has(&ensemble, "/n0");
    has(&ensemble, "/more");
    assert_eq!(syncs(&ensemble), [diffs + 1, snaps + 1]);
    let hash = |sid: i64| ensemble.word(sid, "hash");
    assert!(hash(leader).lines().count() >= 4, "{}", hash(leader));
    assert_eq!(
        ensemble.metric(follower, "digest_mismatches_count"),
        Some(0)
    );
    // A node count is what a tree that is not the same would most likely differ in.
    let count = |sid: i64| ensemble.metric(sid, "znode_count");
    until("the trees are equal", || {
        (count(leader) == count(follower)).then_some(())
    });
}

#[test]
fn a_reconfiguration_moves_the_client_port() {
    let ensemble = Ensemble::start(
        &["participant"; 3],
        &["reconfigEnabled=true", "-Dzookeeper.skipACL=yes"],
    );
    // The file is kept as it was before anything rewrote it.
    let kept = std::fs::read_to_string(ensemble.home(1).join("zoo.cfg.bak"));
    let kept = kept.expect("a copy");
    assert!(kept.contains("clientPort=0\n") && kept.contains(&ensemble.members[0]));

    let roles = ensemble.roles();
    let leader = roles["leader"];
    until("all follow", || {
        (ensemble.metric(leader, "synced_followers") == Some(2)).then_some(())
    });
    let mover = roles["follower"];
    let before = ensemble.address(mover);
    let mut stays = ensemble.client(mover);
    let mut client = ensemble.client(leader);
    let [port] = free_ports();
    let line = format!("{};127.0.0.1:{port}", ensemble.members[mover as usize - 1]);
    let request = ReconfigRequest {
        joining: Some(line.as_str().into()),
        leaving: None,
        new_members: None,
        config_id: -1,
    };
    let answer = client.call(OpCode::Reconfig, &request);
    assert_eq!(answer.header.err, 0);
    let after = SocketAddr::new(before.ip(), port);
    until("the new port answers", || {
        (ensemble.address(mover) == after).then_some(())
    });
    until("it serves there", || ensemble.mode(mover));
    assert!(
        TcpStream::connect(before).is_err(),
        "{before} is still open"
    );
    // Whoever was connected is so still.
    stays.ping();
    let conf = ensemble.word(mover, "conf");
    assert!(conf.starts_with(&format!("clientPort={port}\n")), "{conf}");
    assert!(conf.contains(&line), "{conf}");
}
