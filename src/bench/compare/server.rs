//! Servers started for one comparison: the same zoo.cfg, a folder of their own, a sure end.
//!
//! Owns: the child process. Does not know: what is measured.
//!
//! Invariants: only 127.0.0.1; only processes started here are ended; Java gets the heap that
//! zkServer.sh gives it.

use std::fs::{self, File};
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use zk_bench::process::{Process, settle};

use crate::client::first_read;

/// How long a start may take.
const START_BOUND: Duration = Duration::from_secs(180);
/// How long a stop may take before the process is killed.
const STOP_BOUND: Duration = Duration::from_secs(60);
/// How long a server without load may take to go idle.
const IDLE_BOUND: Duration = Duration::from_secs(60);
/// Without CPU use for so long, a server is idle: longer than the time between two flushes of a
/// write-behind store.
const IDLE_WINDOW: Duration = Duration::from_secs(3);
/// A node that every server has.
pub const ALWAYS_THERE: &str = "/zookeeper";

/// Who wrote the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// Apache ZooKeeper.
    Java,
    /// This project's server.
    Zabkeeper,
}

/// How to start each server.
#[derive(Debug, Clone)]
pub struct Programs {
    /// Class path of Apache ZooKeeper.
    pub classpath: String,
    /// This project's binary; without it only Java runs.
    pub zabkeeper: Option<PathBuf>,
}

impl Programs {
    /// Finds Java's class path by the scripts of the compatibility tests, which install it.
    ///
    /// # Errors
    /// When they fail.
    pub fn find(scripts: &Path, zabkeeper: Option<PathBuf>) -> Result<Self, String> {
        let output = Command::new("bash")
            .arg("-c")
            .arg(". \"$0\"; java_classpath")
            .arg(scripts.join("lib.sh"))
            .stderr(Stdio::inherit())
            .output()
            .map_err(|error| format!("bash: {error}"))?;
        let text = String::from_utf8_lossy(&output.stdout);
        let classpath = text.lines().last().unwrap_or_default().to_string();
        if !output.status.success() || classpath.is_empty() {
            return Err(format!(
                "{} gives no class path of Apache ZooKeeper",
                scripts.display()
            ));
        }
        if let Some(path) = &zabkeeper
            && !path.is_file()
        {
            return Err(format!("{} is not a file", path.display()));
        }
        Ok(Self {
            classpath,
            zabkeeper,
        })
    }

    /// The servers to be compared.
    pub fn kinds(&self) -> Vec<Kind> {
        match self.zabkeeper {
            Some(_) => vec![Kind::Java, Kind::Zabkeeper],
            None => vec![Kind::Java],
        }
    }

    fn command(&self, kind: Kind) -> Command {
        match (kind, &self.zabkeeper) {
            (Kind::Zabkeeper, Some(path)) => {
                let mut command = Command::new(path);
                command.arg("serve");
                command
            }
            (Kind::Zabkeeper, None) => unreachable!("is not among the kinds"),
            (Kind::Java, _) => {
                let mut command = Command::new("java");
                command
                    .args(["-Xmx1000m", "-XX:OnOutOfMemoryError=kill -9 %p", "-cp"])
                    .arg(&self.classpath)
                    .arg("org.apache.zookeeper.server.quorum.QuorumPeerMain");
                command
            }
        }
    }
}

/// A running server.
#[derive(Debug)]
pub struct Server {
    child: Child,
    /// Where it listens.
    pub address: SocketAddr,
    /// When its process was started.
    pub started: Instant,
    dir: PathBuf,
}

impl Server {
    /// Starts a server in a folder, on what the folder holds already; does not wait for it.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn spawn(programs: &Programs, kind: Kind, dir: &Path) -> Result<Self, String> {
        let address = free_address().map_err(|error| format!("a free port: {error}"))?;
        Self::spawn_with(programs, kind, dir, address, "")
    }

    /// Starts a server that listens for its clients at `address`, with lines added to its
    /// configuration; does not wait for it.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn spawn_with(
        programs: &Programs,
        kind: Kind,
        dir: &Path,
        address: SocketAddr,
        lines: &str,
    ) -> Result<Self, String> {
        let failed = |what: &str, error: std::io::Error| format!("{what}: {error}");
        let data = dir.join("data");
        fs::create_dir_all(&data).map_err(|e| failed("the server's folder", e))?;
        let config = dir.join("zoo.cfg");
        let text = format!(
            "tickTime=2000\ndataDir={}\nclientPort={}\nclientPortAddress=127.0.0.1\n\
             maxClientCnxns=0\n4lw.commands.whitelist=*\nadmin.enableServer=false\n{lines}",
            data.display(),
            address.port()
        );
        fs::write(&config, text).map_err(|e| failed("zoo.cfg", e))?;
        let log = File::options()
            .create(true)
            .append(true)
            .open(dir.join("log"))
            .map_err(|e| failed("the server's log", e))?;
        let err = log.try_clone().map_err(|e| failed("the log", e))?;
        let mut command = programs.command(kind);
        command
            .arg(&config)
            .current_dir(dir)
            .stdin(Stdio::null())
            .stdout(log)
            .stderr(err);
        let started = Instant::now();
        let child = command.spawn().map_err(|e| failed("the server", e))?;
        Ok(Self {
            child,
            address,
            started,
            dir: dir.to_path_buf(),
        })
    }

    /// Starts a server and waits until it serves.
    ///
    /// # Errors
    /// When it does not serve.
    pub fn start(programs: &Programs, kind: Kind, dir: &Path) -> Result<Self, String> {
        let mut server = Self::spawn(programs, kind, dir)?;
        server.first_read(ALWAYS_THERE)?;
        Ok(server)
    }

    /// Waits until a node can be read; gives the time since the process's start.
    ///
    /// # Errors
    /// When it cannot be read in time, or the process has ended.
    pub fn first_read(&mut self, path: &str) -> Result<Duration, String> {
        let address = self.address;
        let child = &mut self.child;
        let alive = || matches!(child.try_wait(), Ok(None));
        let at = first_read(address, path, START_BOUND, alive)
            .map_err(|why| format!("{why}; the server's folder is {}", self.dir.display()))?;
        Ok(at - self.started)
    }

    /// Whether its process still runs.
    pub fn is_alive(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Its process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Its process, to be looked at.
    ///
    /// # Errors
    /// When it is gone.
    pub fn process(&self) -> Result<Process, String> {
        Process::new(self.pid()).map_err(|error| error.to_string())
    }

    /// KiB resident once it has gone idle.
    ///
    /// # Errors
    /// When it is gone.
    pub fn resident_when_idle(&self) -> Result<u64, String> {
        let process = self.process()?;
        settle(&[process], IDLE_WINDOW, IDLE_BOUND, |time| {
            std::thread::sleep(time);
            Ok(())
        })
        .and_then(|_| process.memory())
        .map(|memory| memory.resident)
        .map_err(|error| error.to_string())
    }

    /// kill -9, without waiting for its end; gives when it was sent.
    ///
    /// # Errors
    /// When it is gone already.
    pub fn kill(&mut self) -> Result<Instant, String> {
        if !self.is_alive() {
            return Err(format!(
                "the server has ended by itself; its folder is {}",
                self.dir.display()
            ));
        }
        self.child
            .kill()
            .map_err(|error| format!("kill -9: {error}"))?;
        Ok(Instant::now())
    }

    /// Ends it as an operator does, and waits for it; gives how long that took.
    ///
    /// # Errors
    /// When it does not end.
    pub fn stop(mut self) -> Result<Duration, String> {
        let begin = Instant::now();
        let pid = Pid::from_child(&self.child);
        // A process that has ended already is waited for below.
        let _ = kill_process(pid, Signal::TERM);
        while begin.elapsed() < STOP_BOUND {
            if self.child.try_wait().is_ok_and(|status| status.is_some()) {
                return Ok(begin.elapsed());
            }
            // The end of a child can be waited for only without a bound.
            std::thread::sleep(Duration::from_millis(10));
        }
        Err(format!(
            "the server does not stop; its folder is {}",
            self.dir.display()
        ))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Both fail only for a process that is gone.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn free_address() -> std::io::Result<SocketAddr> {
    TcpListener::bind(("127.0.0.1", 0))?.local_addr()
}
