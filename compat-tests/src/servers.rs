//! Servers started for one run: a fresh folder, a free port, a config, and a sure end.
//!
//! Owns: the child process and its folder; both go when the value is dropped.
//!
//! Does not know: the protocol, but for the `srvr` word that tells when a server serves.
//!
//! Invariants: only 127.0.0.1; only processes started here are ended; the same settings give both
//! implementations the same behaviour, whatever each needs to be told it.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::conn::four_letter;
use crate::limits::{POLL_PAUSE, START_TIMEOUT, STOP_TIMEOUT};

/// Who wrote the server at an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Apache ZooKeeper.
    Java,
    /// This project's server.
    Zabkeeper,
}

impl Kind {
    /// Asks the server itself, by the version in `srvr`.
    pub fn of(addr: SocketAddr) -> Result<Self, String> {
        let text = four_letter(addr, "srvr").map_err(|e| format!("{addr}: srvr: {e}"))?;
        match text.lines().next() {
            Some(line) if line.contains("zabkeeper") => Ok(Self::Zabkeeper),
            Some(line) if line.starts_with("Zookeeper version:") => Ok(Self::Java),
            _ => Err(format!("{addr}: no version in srvr: {text:?}")),
        }
    }
}

/// Password whose digest the servers know as super: `super:secret`.
pub const SUPER_AUTH: &str = "super:secret";
/// `super:` and base64 of SHA-1 of [`SUPER_AUTH`].
const SUPER_DIGEST: &str = "super:lK75jTNcA+U9vtVEw5vB51mj/w4=";

/// What is the same for all servers of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings {
    /// `zookeeper.extendedTypesEnabled`: TTL nodes.
    pub extended_types: bool,
    /// `zookeeper.enforceQuota`.
    pub enforce_quota: bool,
    /// `reconfigEnabled`: whether a standalone server answers reconfig -6 instead of -123.
    pub reconfig: bool,
    /// `zookeeper.skipACL`.
    pub skip_acl: bool,
    /// `forceSync`: `false` spares both the fsync, for speed.
    pub force_sync: bool,
    /// `tickTime`, ms.
    pub tick_ms: u32,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            extended_types: true,
            enforce_quota: false,
            reconfig: false,
            skip_acl: false,
            force_sync: false,
            tick_ms: 200,
        }
    }
}

impl Settings {
    /// The variant that a seed runs with: every setting varies over eight neighbouring seeds.
    pub fn of_seed(seed: u64) -> Self {
        Self {
            extended_types: seed % 4 != 3,
            enforce_quota: seed % 2 == 1,
            reconfig: seed % 3 == 1,
            skip_acl: seed % 8 == 6,
            ..Self::default()
        }
    }

    /// One line for scripts and messages; [`Settings::parse`] reads it.
    pub fn line(&self) -> String {
        format!(
            "extended_types={} enforce_quota={} reconfig={} skip_acl={} force_sync={} tick_ms={}",
            self.extended_types,
            self.enforce_quota,
            self.reconfig,
            self.skip_acl,
            self.force_sync,
            self.tick_ms
        )
    }

    /// Reads [`Settings::line`].
    pub fn parse(line: &str) -> Result<Self, String> {
        let mut settings = Self::default();
        for word in line.split_whitespace() {
            let bad = || format!("bad setting {word:?}");
            let (key, value) = word.split_once('=').ok_or_else(bad)?;
            let flag = || value.parse::<bool>().map_err(|_| bad());
            match key {
                "extended_types" => settings.extended_types = flag()?,
                "enforce_quota" => settings.enforce_quota = flag()?,
                "reconfig" => settings.reconfig = flag()?,
                "skip_acl" => settings.skip_acl = flag()?,
                "force_sync" => settings.force_sync = flag()?,
                "tick_ms" => settings.tick_ms = value.parse().map_err(|_| bad())?,
                _ => return Err(bad()),
            }
        }
        Ok(settings)
    }

    /// Lines of zoo.cfg.
    fn config(&self, port: u16, data: &Path) -> Vec<String> {
        vec![
            format!("tickTime={}", self.tick_ms),
            format!("dataDir={}", data.display()),
            format!("clientPort={port}"),
            "clientPortAddress=127.0.0.1".into(),
            "maxClientCnxns=0".into(),
            // Long enough that a stalled machine expires nobody; short sessions ask for less.
            "maxSessionTimeout=600000".into(),
            "4lw.commands.whitelist=*".into(),
            "admin.enableServer=false".into(),
            format!("forceSync={}", if self.force_sync { "yes" } else { "no" }),
            // No snapshot during a run: it would only cost time.
            "snapCount=100000000".into(),
            // KiB: the log grows in small steps, so that a kept copy of it is small.
            "preAllocSize=1024".into(),
            format!("reconfigEnabled={}", self.reconfig),
        ]
    }

    /// `-D` properties, the same spelling for both servers.
    fn properties(&self) -> Vec<String> {
        let mut all = vec![
            format!("-Dzookeeper.extendedTypesEnabled={}", self.extended_types),
            format!("-Dzookeeper.enforceQuota={}", self.enforce_quota),
            format!("-Dzookeeper.DigestAuthenticationProvider.superDigest={SUPER_DIGEST}"),
            // Never during a run: the reaper's moment is no part of any request.
            "-Dznode.container.checkIntervalMs=100000000".into(),
        ];
        if self.skip_acl {
            all.push("-Dzookeeper.skipACL=yes".into());
        }
        all
    }
}

/// How to start a server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Launch {
    /// `SCRIPT DIR PORT FLAG-OR-LINE...`, as `scripts/java-server.sh` takes them.
    Java(PathBuf),
    /// `PATH serve`.
    Zabkeeper(PathBuf),
}

/// A running server that this process started.
#[derive(Debug)]
pub struct Server {
    /// Where clients connect.
    pub addr: SocketAddr,
    /// Who wrote it.
    pub kind: Kind,
    child: Child,
    dir: tempfile::TempDir,
}

/// A port that was free a moment ago.
pub fn free_port() -> std::io::Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?
        .local_addr()?
        .port())
}

/// This project's script that starts Apache ZooKeeper.
pub fn java_script() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/java-server.sh")
}

impl Server {
    /// Starts one on fresh data; does not wait until it serves (see [`Server::ready`]).
    pub fn start(launch: &Launch, settings: &Settings) -> Result<Self, String> {
        let dir = tempfile::Builder::new()
            .prefix("zk-differential-")
            .tempdir()
            .map_err(|e| format!("temporary folder: {e}"))?;
        let port = free_port().map_err(|e| format!("free port: {e}"))?;
        let data = dir.path().join("data");
        fs::create_dir_all(&data).map_err(|e| format!("{}: {e}", data.display()))?;
        let config = settings.config(port, &data);
        let mut command = match launch {
            Launch::Java(script) => {
                let mut command = Command::new(script);
                command.arg(dir.path()).arg(port.to_string());
                // Flags that make a short-lived JVM start fast on a shared machine.
                command.args([
                    "-XX:TieredStopAtLevel=1",
                    "-XX:+UseSerialGC",
                    "-Xshare:auto",
                    "-Dzookeeper.log.level=WARN",
                ]);
                command.args(settings.properties()).args(&config);
                command
            }
            Launch::Zabkeeper(path) => {
                let file = dir.path().join("zoo.cfg");
                fs::write(&file, config.join("\n") + "\n")
                    .map_err(|e| format!("{}: {e}", file.display()))?;
                let mut command = Command::new(path);
                command.arg("serve").args(settings.properties()).arg(&file);
                command
            }
        };
        let log = fs::File::create(dir.path().join("server.log"))
            .map_err(|e| format!("server.log: {e}"))?;
        let errors = log.try_clone().map_err(|e| format!("server.log: {e}"))?;
        let child = command
            .stdin(Stdio::null())
            .stdout(log)
            .stderr(errors)
            .spawn()
            .map_err(|e| format!("{launch:?}: {e}"))?;
        let kind = match launch {
            Launch::Java(_) => Kind::Java,
            Launch::Zabkeeper(_) => Kind::Zabkeeper,
        };
        Ok(Self {
            addr: SocketAddr::from((Ipv4Addr::LOCALHOST, port)),
            kind,
            child,
            dir,
        })
    }

    /// Waits until the server serves; its log's tail comes with the error when it does not.
    pub fn ready(&mut self) -> Result<(), String> {
        let deadline = Instant::now() + START_TIMEOUT;
        loop {
            if let Ok(text) = four_letter(self.addr, "srvr")
                && text.contains("Mode:")
            {
                return Ok(());
            }
            if let Ok(Some(status)) = self.child.try_wait() {
                return Err(format!(
                    "{:?} server ended at start ({status}):\n{}",
                    self.kind,
                    self.log_tail()
                ));
            }
            if Instant::now() > deadline {
                return Err(format!(
                    "{:?} server does not serve:\n{}",
                    self.kind,
                    self.log_tail()
                ));
            }
            // Polled: a server that is still starting has nothing to wait on.
            std::thread::sleep(POLL_PAUSE);
        }
    }

    /// Whether the process still runs.
    pub fn alive(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// The folder with the server's data and log; gone when the value is dropped.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// Copies the data folder's files (logs, snapshots) into `to`, which is made.
    pub fn copy_data(&self, to: &Path) -> Result<(), String> {
        let from = self.dir.path().join("data/version-2");
        let failed = |e: std::io::Error| format!("{} to {}: {e}", from.display(), to.display());
        fs::create_dir_all(to).map_err(failed)?;
        for entry in fs::read_dir(&from).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            if entry.file_type().map_err(failed)?.is_file() {
                fs::copy(entry.path(), to.join(entry.file_name())).map_err(failed)?;
            }
        }
        Ok(())
    }

    /// The last lines of the server's own log.
    pub fn log_tail(&self) -> String {
        let text = fs::read(self.dir.path().join("server.log")).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let lines: Vec<_> = text.lines().collect();
        lines[lines.len().saturating_sub(40)..].join("\n")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let deadline = Instant::now() + STOP_TIMEOUT;
        while Instant::now() < deadline {
            match self.child.try_wait() {
                Ok(None) => std::thread::sleep(Duration::from_millis(2)),
                _ => return,
            }
        }
    }
}
