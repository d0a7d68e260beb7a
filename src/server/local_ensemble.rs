//! Several servers on this machine, for whoever wants to see an ensemble at work.
//!
//! Owns: their folders and `zoo.cfg`s, which ports they take, their processes, and that their lines
//! are told apart. Does not know: how a server serves; each is a `zabkeeper serve` of its own.
//!
//! Invariants: a folder keeps its ports and data from one start to the next, and what stands in its
//! files is not written over; no process that was started here is left when this ends.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::time::{Instant, sleep_until};

use crate::limits::{ENSEMBLE_LINE_BYTES, ENSEMBLE_STOP};

/// Client ports begin here unless something else is said, as in every example of a `zoo.cfg`.
pub const FIRST_PORT: u16 = 2_181;

/// From a client port to the quorum port, and to the election port: 2888 and 3888.
const TO_QUORUM: u16 = 707;
const TO_ELECTION: u16 = 1_707;

/// What is wanted.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// How many servers.
    pub servers: u16,
    /// Where their folders are.
    pub dir: PathBuf,
    /// Where client ports begin.
    pub first_port: u16,
}

/// One server's files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// Its id.
    pub id: u16,
    /// Its zoo.cfg.
    pub config: PathBuf,
    /// Where its clients connect.
    pub client: SocketAddr,
}

fn folder(dir: &Path, id: u16) -> PathBuf {
    dir.join(format!("server-{id}"))
}

/// Makes the files of the servers, or finds those of the last time.
///
/// # Errors
/// The folder holds another ensemble, there are no ports, or a file cannot be written. What to do
/// is said with it.
pub fn prepare(wanted: &Wanted) -> Result<Vec<Place>, String> {
    let dir = std::path::absolute(&wanted.dir).map_err(|e| failed(&wanted.dir, &e))?;
    let there = (1..)
        .take_while(|id| folder(&dir, *id).join("zoo.cfg").exists())
        .count();
    if there > 0 && there != usize::from(wanted.servers) {
        return Err(format!(
            "{} holds an ensemble of {there}: say {there}, name another folder, or remove this one",
            dir.display()
        ));
    }
    if there == 0 {
        make(&dir, wanted)?;
    }
    (1..=wanted.servers)
        .map(|id| {
            let config = folder(&dir, id).join("zoo.cfg");
            let text = std::fs::read_to_string(&config).map_err(|e| failed(&config, &e))?;
            let port = text
                .lines()
                .find_map(|line| line.strip_prefix("clientPort="))
                .and_then(|port| port.trim().parse().ok());
            let Some(port) = port else {
                return Err(format!("{}: no clientPort", config.display()));
            };
            let client = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
            Ok(Place { id, config, client })
        })
        .collect()
}

fn failed(path: &Path, error: &io::Error) -> String {
    format!("{}: {error}", path.display())
}

fn make(dir: &Path, wanted: &Wanted) -> Result<(), String> {
    let ports = |first: u16| free_ports(first, wanted.servers);
    let far = |by: u16| wanted.first_port.checked_add(by).ok_or("no port is left");
    let clients = ports(wanted.first_port)?;
    let quorum = ports(far(TO_QUORUM)?)?;
    let election = ports(far(TO_ELECTION)?)?;
    let members: String = (1..=wanted.servers)
        .zip(quorum.iter().zip(&election))
        .map(|(id, (quorum, election))| format!("server.{id}=127.0.0.1:{quorum}:{election}\n"))
        .collect();
    // The first one last: a folder without it is begun anew.
    for (id, client) in (1..=wanted.servers).zip(&clients).rev() {
        let folder = folder(dir, id);
        let data = folder.join("data");
        std::fs::create_dir_all(&data).map_err(|e| failed(&data, &e))?;
        let myid = data.join("myid");
        std::fs::write(&myid, format!("{id}\n")).map_err(|e| failed(&myid, &e))?;
        let config = folder.join("zoo.cfg");
        let text = format!(
            "# Server {id} of `zabkeeper ensemble`. It is read at each start and never written over.\n\
             tickTime=2000\n\
             initLimit=10\n\
             syncLimit=5\n\
             dataDir={}\n\
             clientPort={client}\n\
             clientPortAddress=127.0.0.1\n\
             4lw.commands.whitelist=conf,isro,mntr,ruok,srvr,stat\n\
             {members}",
            escaped(&data.display().to_string())
        );
        std::fs::write(&config, text).map_err(|e| failed(&config, &e))?;
    }
    Ok(())
}

/// A value of a properties file.
fn escaped(value: &str) -> String {
    value.replace('\\', "\\\\")
}

/// So many ports from `first` on that nobody listens on.
fn free_ports(first: u16, count: u16) -> Result<Vec<u16>, String> {
    let free: Vec<u16> = (first..=u16::MAX)
        .filter(|port| TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok())
        .take(usize::from(count))
        .collect();
    if free.len() < usize::from(count) {
        return Err(format!("no {count} ports are free from {first} on"));
    }
    Ok(free)
}

struct Running {
    place: Place,
    child: Option<Child>,
}

/// Starts the servers and stays until they have ended: by a signal to this process, or each by
/// itself. Returns whether it was by a signal.
///
/// # Errors
/// A server cannot be started, or no signal can be caught. Those that were started have ended.
pub fn run(places: Vec<Place>) -> Result<bool, String> {
    let program = std::env::current_exe().map_err(|e| format!("where is this program? {e}"))?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|e| format!("cannot start the runtime: {e}"))?;
    let (ended, ends) = unbounded_channel();
    let mut servers = Servers(Vec::new());
    runtime.block_on(async {
        use tokio::signal::unix::{SignalKind, signal};
        // Before there is anything that a signal could leave behind.
        let catch = |kind| signal(kind).map_err(|e| format!("signals cannot be caught: {e}"));
        let signals = (
            catch(SignalKind::interrupt())?,
            catch(SignalKind::terminate())?,
        );
        for place in places {
            servers.start(&program, place, &ended)?;
        }
        drop(ended);
        say(&servers.greeting());
        Ok(servers.watch(ends, signals).await)
    })
}

struct Servers(Vec<Running>);

impl Drop for Servers {
    fn drop(&mut self) {
        for server in &mut self.0 {
            if let Some(child) = &mut server.child {
                // It has ended by itself then.
                let _ = child.kill();
                let _ = child.wait();
            }
        }
    }
}

type Signals = (tokio::signal::unix::Signal, tokio::signal::unix::Signal);

impl Servers {
    fn start(
        &mut self,
        program: &Path,
        place: Place,
        ended: &UnboundedSender<u16>,
    ) -> Result<(), String> {
        let id = place.id;
        let mut child = Command::new(program)
            .arg("serve")
            .arg(&place.config)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|e| format!("server {id} cannot be started: {e}"))?;
        let pipes = (child.stdout.take(), child.stderr.take());
        self.0.push(Running {
            place,
            child: Some(child),
        });
        let (Some(out), Some(err)) = pipes else {
            return Err(format!("server {id} has no pipes"));
        };
        let thread = |pipe: Box<dyn Read + Send>| {
            let ended = ended.clone();
            std::thread::Builder::new()
                .name(format!("lines of {id}"))
                .spawn(move || {
                    pass_on(id, pipe);
                    // Nobody listens any more when all have been seen to end.
                    let _ = ended.send(id);
                })
                .map_err(|e| format!("cannot start a thread: {e}"))
        };
        thread(Box::new(out))?;
        thread(Box::new(err))?;
        Ok(())
    }

    fn greeting(&self) -> String {
        let mut text = String::new();
        for server in &self.0 {
            let pid = server.child.as_ref().map_or(0, Child::id);
            let Place { id, config, client } = &server.place;
            text += &format!(
                "server {id}: clients on {client}, process {pid}, {}\n",
                config.display()
            );
        }
        let addresses: Vec<String> = self.0.iter().map(|s| s.place.client.to_string()).collect();
        text += &format!("connect to {}\n", addresses.join(","));
        if let Some(first) = self.0.first() {
            let (ip, port) = (first.place.client.ip(), first.place.client.port());
            text += &format!("who leads: echo srvr | nc {ip} {port}\n");
        }
        text += "Ctrl-C ends all of them\n";
        text
    }

    /// Until none is left. Whether a signal was why.
    async fn watch(&mut self, mut ends: UnboundedReceiver<u16>, signals: Signals) -> bool {
        let (mut int, mut term) = signals;
        let mut kill_at = None;
        while self.0.iter().any(|server| server.child.is_some()) {
            let late = async {
                match kill_at {
                    Some(at) => sleep_until(at).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                end = ends.recv() => match end {
                    Some(id) => self.ended(id, kill_at.is_some()),
                    // Every pipe is closed, and every process waited for.
                    None => break,
                },
                _ = int.recv() => self.terminate(&mut kill_at),
                _ = term.recv() => self.terminate(&mut kill_at),
                () = late => break,
            }
        }
        kill_at.is_some()
    }

    /// One of its pipes is closed: with the second one it is gone.
    fn ended(&mut self, id: u16, signalled: bool) {
        let Some(server) = self.0.iter_mut().find(|server| server.place.id == id) else {
            return;
        };
        let status = match server.child.as_mut().map(Child::wait) {
            Some(Ok(status)) => how(status),
            Some(Err(error)) => error.to_string(),
            None => return,
        };
        server.child = None;
        let again = if signalled {
            String::new()
        } else {
            format!(
                "; to start it again: zabkeeper serve {}",
                server.place.config.display()
            )
        };
        say(&format!("server {id} has ended, {status}{again}\n"));
    }

    /// Asks all of them to end, and waits for that until `kill_at`; asked a second time it does
    /// not.
    fn terminate(&mut self, kill_at: &mut Option<Instant>) {
        let now = Instant::now();
        *kill_at = Some(match kill_at {
            Some(_) => now,
            None => now + ENSEMBLE_STOP,
        });
        for child in self.0.iter().filter_map(|server| server.child.as_ref()) {
            if let Some(pid) = Pid::from_raw(child.id().cast_signed()) {
                // A process that is gone cannot be asked, and is seen to be gone.
                let _ = kill_process(pid, Signal::TERM);
            }
        }
    }
}

fn how(status: ExitStatus) -> String {
    use std::os::unix::process::ExitStatusExt;
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("exit code {code}"),
        (None, Some(signal)) => format!("by signal {signal}"),
        (None, None) => status.to_string(),
    }
}

/// Passes a server's lines on, each with its number, until it has closed the pipe.
fn pass_on(id: u16, pipe: Box<dyn Read + Send>) {
    let mut pipe = BufReader::new(pipe);
    let mut line = Vec::new();
    loop {
        line.clear();
        // A line without an end is passed on in pieces.
        let mut piece = (&mut pipe).take(ENSEMBLE_LINE_BYTES);
        match piece.read_until(b'\n', &mut line) {
            Ok(0) | Err(_) => return,
            Ok(_) => {}
        }
        let text = String::from_utf8_lossy(&line);
        say(&format!("[{id}] {}\n", text.trim_end_matches(['\r', '\n'])));
    }
}

/// Prints, or does not where nobody listens any more.
fn say(text: &str) {
    let mut out = io::stdout().lock();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted(dir: &Path, servers: u16) -> Wanted {
        Wanted {
            servers,
            dir: dir.join("ensemble"),
            first_port: 20_000,
        }
    }

    #[test]
    fn a_folder_keeps_its_servers() {
        let dir = tempfile::tempdir().expect("a folder");
        let places = prepare(&wanted(dir.path(), 3)).expect("made");
        assert_eq!(places.iter().map(|p| p.id).collect::<Vec<_>>(), [1, 2, 3]);
        let texts: Vec<String> = places
            .iter()
            .map(|place| std::fs::read_to_string(&place.config).expect("zoo.cfg"))
            .collect();
        for (place, text) in places.iter().zip(&texts) {
            let sources = zk_ops::config::Sources {
                arguments: vec![place.config.display().to_string()],
                ..Default::default()
            };
            let config = zk_ops::config::load(&sources).unwrap_or_else(|e| panic!("{e}: {text}"));
            let ensemble = config.ensemble.expect("an ensemble");
            assert_eq!(ensemble.my_id, i64::from(place.id));
            assert_eq!(ensemble.members.voters().count(), 3);
            assert_eq!(config.client.expect("a port").port, place.client.port());
        }
        // Though the ports are in use, as they are by servers that run.
        let _taken = TcpListener::bind(places[0].client).expect("free");
        assert_eq!(prepare(&wanted(dir.path(), 3)).expect("found"), places);
        let other = prepare(&wanted(dir.path(), 5)).expect_err("three");
        assert!(other.contains("holds an ensemble of 3"), "{other}");
    }

    #[test]
    fn ports_in_use_are_passed_over() {
        let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
        let port = taken.local_addr().expect("an address").port();
        let free = free_ports(port, 2).unwrap_or_default();
        assert!(!free.contains(&port));
        assert!(free_ports(u16::MAX, 2).is_err());
    }
}
