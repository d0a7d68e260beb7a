//! Three servers of one kind as an ensemble on this machine.
//!
//! Owns: their folders and ports, which of them run, and what their logs say of how they were
//! brought up to date.
//!
//! Does not know: what is measured.
//!
//! Invariants: every wait has a bound; a member keeps its ports and its folder over all its starts.

use std::fs;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::facts::four_letters;
use crate::server::{Kind, Programs, Server};

/// Servers of an ensemble.
pub const MEMBERS: usize = 3;
/// How long three servers, or one of them, may take until all serve.
const SERVE_BOUND: Duration = Duration::from_secs(120);
/// Between two looks at a member's mode.
const PAUSE: Duration = Duration::from_millis(10);
/// Ports are taken from here: below those that the system gives to outgoing connections, so that a
/// server that was killed finds its own free again.
const PORTS: std::ops::Range<u16> = 16_000..32_000;

/// What a member is now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// The leader, serving.
    Leader,
    /// A follower, serving.
    Follower,
}

/// How a leader brings a follower up to date.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sync {
    /// By the transactions that it has missed.
    Diff,
    /// By the whole tree.
    Snap,
}

#[derive(Debug)]
struct Member {
    dir: PathBuf,
    address: SocketAddr,
    server: Option<Server>,
    /// Where in its log the last start begins.
    log_from: usize,
}

impl Member {
    fn log(&self) -> String {
        let bytes = fs::read(self.dir.join("log")).unwrap_or_default();
        String::from_utf8_lossy(bytes.get(self.log_from..).unwrap_or_default()).into_owned()
    }

    fn mode(&self) -> Option<Mode> {
        self.server.as_ref()?;
        // One that does not answer has no mode.
        let text = four_letters(self.address, "srvr").ok()?;
        let mode = text.lines().find_map(|line| line.strip_prefix("Mode: "))?;
        match mode.trim() {
            "leader" => Some(Mode::Leader),
            "follower" => Some(Mode::Follower),
            _ => None,
        }
    }
}

/// Three servers.
#[derive(Debug)]
pub struct Ensemble {
    programs: Programs,
    kind: Kind,
    lines: String,
    members: Vec<Member>,
}

impl Ensemble {
    /// Starts three servers in a folder and waits until all serve.
    ///
    /// # Errors
    /// When they do not.
    pub fn start(programs: &Programs, kind: Kind, dir: &Path) -> Result<Self, String> {
        let ports = free_ports(MEMBERS * 3).map_err(|error| format!("free ports: {error}"))?;
        // Without the factor Java compares its preallocated files, 64 MiB each whatever is in them,
        // with its snapshot, and which of DIFF and SNAP is measured would hang on that.
        let mut lines = String::from("initLimit=10\nsyncLimit=5\nsnapshotSizeFactor=0\n");
        for (at, ports) in ports.chunks_exact(3).enumerate() {
            let id = at + 1;
            lines.push_str(&format!(
                "server.{id}=127.0.0.1:{}:{}\n",
                ports[1], ports[2]
            ));
        }
        let member = |at: usize| Member {
            dir: dir.join((at + 1).to_string()),
            address: SocketAddr::from(([127, 0, 0, 1], ports[at * 3])),
            server: None,
            log_from: 0,
        };
        let mut ensemble = Self {
            programs: programs.clone(),
            kind,
            lines,
            members: (0..MEMBERS).map(member).collect(),
        };
        for at in 0..MEMBERS {
            ensemble.empty(at)?;
            ensemble.start_member(at)?;
        }
        ensemble.wait_whole()?;
        Ok(ensemble)
    }

    /// Where their clients connect.
    pub fn hosts(&self) -> Vec<SocketAddr> {
        self.members.iter().map(|member| member.address).collect()
    }

    /// The processes of those that run.
    pub fn pids(&self) -> Vec<u32> {
        let servers = self.members.iter().flat_map(|member| &member.server);
        servers.map(Server::pid).collect()
    }

    /// Makes a member's folder anew: nothing but its id.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn empty(&mut self, at: usize) -> Result<(), String> {
        let data = self.members[at].dir.join("data");
        let remake = || -> io::Result<()> {
            if data.exists() {
                fs::remove_dir_all(&data)?;
            }
            fs::create_dir_all(&data)?;
            fs::write(data.join("myid"), format!("{}\n", at + 1))
        };
        remake().map_err(|error| format!("{}: {error}", data.display()))
    }

    /// Starts a member; does not wait for it.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start_member(&mut self, at: usize) -> Result<(), String> {
        let member = &mut self.members[at];
        member.log_from =
            fs::metadata(member.dir.join("log")).map_or(0, |file| file.len() as usize);
        let (dir, address) = (&member.dir, member.address);
        let server = Server::spawn_with(&self.programs, self.kind, dir, address, &self.lines)?;
        member.server = Some(server);
        Ok(())
    }

    /// kill -9 of a member; gives when it was sent. Its end is waited for.
    ///
    /// # Errors
    /// When it had ended before.
    pub fn kill(&mut self, at: usize) -> Result<Instant, String> {
        let mut server = self.members[at].server.take().ok_or("does not run")?;
        let when = server.kill()?;
        // Waits for the end of the process.
        drop(server);
        Ok(when)
    }

    /// Waits until every member is the leader or a follower; gives the leader.
    ///
    /// # Errors
    /// When they are not in time, or one has ended.
    pub fn wait_whole(&mut self) -> Result<usize, String> {
        let begin = Instant::now();
        loop {
            let modes: Vec<_> = self.members.iter().map(Member::mode).collect();
            let mut leaders = (0..MEMBERS).filter(|at| modes[*at] == Some(Mode::Leader));
            if let (Some(leader), None) = (leaders.next(), leaders.next())
                && modes.iter().all(Option::is_some)
            {
                return Ok(leader);
            }
            self.check()?;
            if begin.elapsed() > SERVE_BOUND {
                return Err(format!("the ensemble is not whole: {modes:?}"));
            }
            // A server that is starting has nothing to wait on.
            std::thread::sleep(PAUSE);
        }
    }

    /// Waits until a member serves as a follower.
    ///
    /// # Errors
    /// When it does not in time, or one has ended.
    pub fn wait_follower(&mut self, at: usize) -> Result<Instant, String> {
        let begin = Instant::now();
        while self.members[at].mode() != Some(Mode::Follower) {
            self.check()?;
            if begin.elapsed() > SERVE_BOUND {
                return Err(format!("server {} does not become a follower", at + 1));
            }
            // As above.
            std::thread::sleep(PAUSE);
        }
        Ok(Instant::now())
    }

    /// Whether all that were started still run.
    ///
    /// # Errors
    /// When one has ended.
    pub fn check(&mut self) -> Result<(), String> {
        for member in &mut self.members {
            if let Some(server) = &mut member.server
                && !server.is_alive()
            {
                let log = member.log();
                let tail: Vec<_> = log.lines().rev().take(5).collect();
                return Err(format!("{} has ended: {tail:?}", member.dir.display()));
            }
        }
        Ok(())
    }

    /// How a member was brought up to date since its last start, by its own log.
    pub fn synced_by(&self, at: usize) -> Option<Sync> {
        let (diff, snap) = match self.kind {
            Kind::Java => (
                "Getting a diff from the leader",
                "Getting a snapshot from leader",
            ),
            Kind::Zabkeeper => ("DIFF of leader", "SNAP of leader"),
        };
        let log = self.members[at].log();
        log.lines().rev().find_map(|line| {
            if line.contains(diff) {
                Some(Sync::Diff)
            } else if line.contains(snap) {
                Some(Sync::Snap)
            } else {
                None
            }
        })
    }

    /// Ends all as an operator does.
    ///
    /// # Errors
    /// When one does not end.
    pub fn stop(mut self) -> Result<(), String> {
        for member in &mut self.members {
            if let Some(server) = member.server.take() {
                server.stop()?;
            }
        }
        Ok(())
    }
}

fn free_ports(count: usize) -> io::Result<Vec<u16>> {
    // Held together, so that none is given twice.
    let mut held = Vec::new();
    const TRIES: usize = 1_000;
    for _ in 0..TRIES {
        if held.len() == count {
            break;
        }
        // One that is taken is no error; another is tried.
        held.extend(TcpListener::bind(("127.0.0.1", fastrand::u16(PORTS))));
    }
    if held.len() < count {
        return Err(io::ErrorKind::AddrInUse.into());
    }
    held.iter()
        .map(|listener| Ok(listener.local_addr()?.port()))
        .collect()
}
