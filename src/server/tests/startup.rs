//! The command line: what a start prints, and how a refused one ends.

use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

use crate::harness::{Client, await_that, start, word_at};

fn zabkeeper(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_zabkeeper"));
    command
        .args(arguments)
        .env_remove("SERVER_JVMFLAGS")
        .env_remove("JVMFLAGS")
        .env_remove("ZABKEEPER_LOG");
    command
}

fn run(arguments: &[&str]) -> Output {
    zabkeeper(arguments).output().expect("it runs")
}

/// A running server, killed when the test ends before it.
struct Running {
    child: Child,
    /// What it printed.
    lines: Vec<String>,
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Running {
    /// Starts it and reads what it prints up to a line that begins so.
    // Waited for when it is dropped, or before the panic of a start that failed.
    #[allow(clippy::zombie_processes)]
    fn start(cfg: &Path, last: &str) -> Running {
        let mut child = zabkeeper(&["serve", &cfg.display().to_string()])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("it starts");
        let mut out = BufReader::new(child.stdout.take().expect("a pipe"));
        let mut lines = Vec::new();
        loop {
            let mut line = String::new();
            if out.read_line(&mut line).expect("text") == 0 {
                let mut error = String::new();
                let pipe = child.stderr.as_mut().expect("a pipe");
                pipe.read_to_string(&mut error).expect("text");
                let _ = child.wait();
                panic!("it ended after {lines:?}: {error}");
            }
            let done = line.starts_with(last);
            lines.push(line.trim_end().to_owned());
            if done {
                return Running { child, lines };
            }
        }
    }

    fn after(&self, start: &str) -> &str {
        let line = self.lines.iter().find_map(|line| line.strip_prefix(start));
        line.unwrap_or_else(|| panic!("no {start} in {:?}", self.lines))
    }

    /// SIGTERM, and the exit code.
    fn terminate(mut self) -> Option<i32> {
        let pid = self.child.id().to_string();
        let sent = Command::new("kill").arg(&pid).status().expect("kill");
        assert!(sent.success());
        self.child.wait().expect("its end").code()
    }
}

#[test]
fn an_ensemble_without_myid_is_refused_before_anything_is_made() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let cfg = folder.path().join("zoo.cfg");
    let lines = "server.1=127.0.0.1:2:3\nserver.2=127.0.0.1:4:5\nserver.3=127.0.0.1:6:7\n";
    let text = format!(
        "dataDir={}\ninitLimit=5\nsyncLimit=2\n{lines}",
        data.display()
    );
    std::fs::write(&cfg, text).unwrap();
    let output = run(&["serve", &cfg.display().to_string()]);
    assert_eq!(output.status.code(), Some(2));
    let error = refusal(&output);
    assert!(error.contains("holds no file myid"), "{error}");
    assert!(!data.exists());
}

#[test]
fn a_start_says_where_it_is_and_sigterm_ends_it() {
    let dir = tempfile::tempdir().expect("a folder");
    let data = dir.path().join("data");
    let cfg = dir.path().join("zoo.cfg");
    let text = format!(
        "clientPort=0\nclientPortAddress=127.0.0.1\ntickTime=1000\ndataDir={}\n",
        data.display()
    );
    std::fs::write(&cfg, text).expect("zoo.cfg is written");
    for round in 0..2 {
        let server = Running::start(&cfg, "next: ");
        assert!(server.lines[0].starts_with("zabkeeper 3.9.5-zabkeeper-"));
        assert_eq!(server.after("data directory: "), data.display().to_string());
        let address = server
            .after("binding to port ")
            .parse()
            .expect("an address");
        assert!(
            server
                .after("next: ")
                .contains(&format!("zkCli.sh -server {address}"))
        );
        let mut client = Client::connect(address).opened(10_000);
        if round == 0 {
            client.create("/kept", b"1");
        }
        assert_eq!(client.get("/kept"), b"1");
        assert_eq!(server.terminate(), Some(0));
    }
}

#[test]
fn without_a_client_port_it_serves_nobody() {
    let dir = tempfile::tempdir().expect("a folder");
    let cfg = dir.path().join("zoo.cfg");
    let text = format!(
        "tickTime=1000\ndataDir={}\n\
         metricsProvider.className=org.apache.zookeeper.metrics.prometheus.PrometheusMetricsProvider\n\
         metricsProvider.httpHost=127.0.0.1\nmetricsProvider.httpPort=0\n",
        dir.path().join("data").display()
    );
    std::fs::write(&cfg, text).expect("zoo.cfg is written");
    let server = Running::start(&cfg, "no clientPort is set");
    assert!(server.after("metrics: ").starts_with("http://127.0.0.1:"));
    assert_eq!(server.terminate(), Some(0));
}

/// The one line on standard error of a refused start.
fn refusal(output: &Output) -> String {
    let error = String::from_utf8_lossy(&output.stderr);
    let lines: Vec<&str> = error
        .lines()
        .filter(|line| !line.contains(" INFO "))
        .collect();
    assert_eq!(lines.len(), 1, "{error}");
    lines[0].to_owned()
}

#[test]
fn a_refused_start_says_why_in_one_line() {
    let dir = tempfile::tempdir().expect("a folder");
    let cfg = dir.path().join("zoo.cfg").display().to_string();
    let write = |text: &str| std::fs::write(&cfg, text).expect("zoo.cfg is written");
    let data = dir.path().join("data").display().to_string();

    write(&format!("clientPort=twelve\ndataDir={data}\n"));
    let output = run(&["serve", &cfg]);
    assert_eq!(output.status.code(), Some(2));
    let line = refusal(&output);
    assert!(
        line.starts_with("Invalid config, exiting abnormally: "),
        "{line}"
    );
    assert!(line.contains("zoo.cfg:1: clientPort: "), "{line}");

    let output = run(&["serve", "/nowhere/zoo.cfg"]);
    assert_eq!(output.status.code(), Some(2));
    refusal(&output);

    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = taken.local_addr().expect("an address").port();
    write(&format!(
        "clientPort={port}\nclientPortAddress=127.0.0.1\ndataDir={data}\n"
    ));
    let output = run(&["serve", &cfg]);
    assert_eq!(output.status.code(), Some(1));
    assert!(refusal(&output).contains(&format!("127.0.0.1:{port}")));

    // A folder cannot be made where a file is; root may write everywhere else.
    write(&format!("clientPort=0\ndataDir={cfg}/data\n"));
    let output = run(&["serve", &cfg]);
    assert_eq!(output.status.code(), Some(3));
    refusal(&output);

    write(&format!("clientPort=0\ndataDir={data}/missing\n"));
    let output = run(&["serve", "-Dzookeeper.datadir.autocreate=false", &cfg]);
    assert_eq!(output.status.code(), Some(3));
    refusal(&output);

    let logs = dir.path().join("logs");
    std::fs::create_dir_all(logs.join("version-2")).expect("a folder");
    std::fs::write(logs.join("version-2/snapshot.0"), "").expect("a file");
    write(&format!(
        "clientPort=0\ndataDir={data}\ndataLogDir={}\n",
        logs.display()
    ));
    let output = run(&["serve", &cfg]);
    assert_eq!(output.status.code(), Some(3));
    assert!(refusal(&output).contains("holds snapshots"));
}

#[test]
fn without_autocreate_a_new_database_must_be_asked_for() {
    let dir = tempfile::tempdir().expect("a folder");
    let cfg = dir.path().join("zoo.cfg");
    let text = format!(
        "clientPort=0\nclientPortAddress=127.0.0.1\ndb.autocreate=false\ndataDir={}\n",
        dir.path().display()
    );
    std::fs::write(&cfg, text).expect("zoo.cfg is written");
    let output = run(&["serve", &cfg.display().to_string()]);
    assert_eq!(output.status.code(), Some(1));
    assert!(refusal(&output).contains("db.autocreate"));
    let asked = dir.path().join("initialize");
    std::fs::write(&asked, "").expect("it is written");
    for round in 0..2 {
        let server = Running::start(&cfg, "next: ");
        assert!(!asked.exists(), "it counts once");
        let address = server.after("binding to port ").parse();
        let mut client = Client::connect(address.expect("an address")).opened(10_000);
        if round == 0 {
            client.create("/kept", b"1");
        }
        assert_eq!(client.get("/kept"), b"1");
        assert_eq!(server.terminate(), Some(0));
    }
}

#[test]
fn the_version_and_the_load_generator() {
    let output = run(&["version"]);
    assert!(output.status.success());
    let text = String::from_utf8(output.stdout).expect("text");
    assert!(text.starts_with("zabkeeper 3.9.5-zabkeeper-"), "{text}");
    assert!(text.contains(", built on "), "{text}");

    let server = start(&[]);
    let hosts = server.address().to_string();
    let output = run(&[
        "bench",
        "--hosts",
        &hosts,
        "--workload",
        "create",
        "--ops",
        "200",
        "--sessions",
        "2",
    ]);
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}");
    assert!(text.contains("0 failed, 0 lost, 0 wrong"), "{text}");
    let srvr = word_at(server.address(), b"srvr");
    assert!(srvr.contains("Mode: standalone\n"), "{srvr}");
    await_that("its sessions are gone", || {
        server.metric("global_sessions") == 0.0
    });
}
