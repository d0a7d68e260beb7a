//! A server process whose directory outlives it.
//!
//! Owns: the child process (ended when the value is dropped), its configuration, the file that
//! its output goes to. Does not know: what is in the directory.

use std::fs::{self, File};
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use compat_tests::conn::four_letter;
use compat_tests::servers::free_port;

use super::limits::{POLL, PORTS, REFUSAL, START, STOP, TICK_MS};

/// How a server is started.
#[derive(Debug, Clone)]
pub struct Setup {
    /// The binary.
    pub binary: PathBuf,
    /// Where the configuration and the output go.
    pub work: PathBuf,
    /// `dataDir`.
    pub data: PathBuf,
    /// `dataLogDir`.
    pub logs: PathBuf,
    /// Further lines of zoo.cfg.
    pub lines: Vec<String>,
    /// `-D` properties.
    pub properties: Vec<String>,
    /// A command line that the binary and its arguments are appended to.
    pub wrapper: Vec<String>,
}

static STARTS: AtomicU32 = AtomicU32::new(0);

impl Setup {
    /// With both directories in `work`.
    pub fn new(binary: &Path, work: &Path) -> Setup {
        Setup {
            binary: binary.into(),
            work: work.into(),
            data: work.join("data"),
            logs: work.join("data"),
            lines: Vec::new(),
            properties: Vec::new(),
            wrapper: Vec::new(),
        }
    }

    /// The same with one more line of zoo.cfg.
    #[must_use]
    pub fn with(mut self, line: impl Into<String>) -> Setup {
        self.lines.push(line.into());
        self
    }

    /// `dataLogDir/version-2`.
    pub fn log_folder(&self) -> PathBuf {
        self.logs.join("version-2")
    }

    /// The store's folder.
    pub fn store(&self) -> PathBuf {
        self.data.join("zabkeeper-store")
    }

    /// Starts a process; does not wait for anything.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn spawn(&self) -> Result<Running, String> {
        let number = STARTS.fetch_add(1, Ordering::Relaxed);
        let port = free_port().map_err(|e| format!("free port: {e}"))?;
        let mut lines = vec![
            format!("tickTime={TICK_MS}"),
            format!("dataDir={}", self.data.display()),
            format!("dataLogDir={}", self.logs.display()),
            format!("clientPort={port}"),
            "clientPortAddress=127.0.0.1".into(),
            "maxClientCnxns=0".into(),
            "maxSessionTimeout=600000".into(),
            "admin.enableServer=false".into(),
            "4lw.commands.whitelist=*".into(),
        ];
        lines.extend(self.lines.iter().cloned());
        let failed = |what: &Path, e: std::io::Error| format!("{}: {e}", what.display());
        fs::create_dir_all(&self.work).map_err(|e| failed(&self.work, e))?;
        let config = self.work.join(format!("zoo-{number}.cfg"));
        fs::write(&config, lines.join("\n") + "\n").map_err(|e| failed(&config, e))?;
        let output = self.work.join(format!("server-{number}.log"));
        let file = File::create(&output).map_err(|e| failed(&output, e))?;
        let errors = file.try_clone().map_err(|e| failed(&output, e))?;
        let mut words: Vec<std::ffi::OsString> = self.wrapper.iter().map(Into::into).collect();
        words.push(self.binary.clone().into());
        let child = Command::new(&words[0])
            .args(&words[1..])
            .arg("serve")
            .args(&self.properties)
            .arg(&config)
            .env("NO_COLOR", "1")
            .stdin(Stdio::null())
            .stdout(file)
            .stderr(errors)
            .spawn()
            .map_err(|e| format!("{words:?}: {e}"))?;
        Ok(Running {
            child,
            addr: SocketAddr::from((Ipv4Addr::LOCALHOST, port)),
            output,
            started: Instant::now(),
        })
    }

    /// Starts a server and waits until it serves.
    ///
    /// # Errors
    /// It ends, or does not serve in time; its output comes along.
    pub fn start(&self) -> Result<Running, String> {
        for _ in 0..PORTS {
            let mut running = self.spawn()?;
            match running.ready() {
                Ok(()) => return Ok(running),
                // The port was free a moment ago.
                Err(why) if why.contains("cannot bind") => {}
                Err(why) => return Err(why),
            }
        }
        Err("no free port".into())
    }

    /// Starts a server and waits no longer than until connections are accepted: that it serves
    /// them comes later.
    ///
    /// # Errors
    /// It ends, or does not listen in time.
    pub fn listening(&self) -> Result<Running, String> {
        for _ in 0..PORTS {
            let mut running = self.spawn()?;
            match running.listens() {
                Ok(()) => return Ok(running),
                // The port was free a moment ago.
                Err(why) if why.contains("cannot bind") => {}
                Err(why) => return Err(why),
            }
        }
        Err("no free port".into())
    }

    /// Starts a server that must refuse, and returns its output.
    ///
    /// # Errors
    /// It serves, hangs, ends well, or is ended by a signal.
    pub fn refused(&self) -> Result<String, String> {
        let mut running = self.spawn()?;
        let status = running.wait(REFUSAL)?;
        let output = running.output();
        let Some(status) = status else {
            return Err(format!("the start was not refused:\n{output}"));
        };
        match status.code() {
            Some(code) if code != 0 && !output.contains("panicked") => Ok(output),
            Some(code) => Err(format!("refused with exit code {code}:\n{output}")),
            None => Err(format!(
                "ended by signal {:?} instead of refusing:\n{output}",
                status.signal()
            )),
        }
    }
}

/// A process.
#[derive(Debug)]
pub struct Running {
    child: Child,
    /// Where clients connect.
    pub addr: SocketAddr,
    output: PathBuf,
    /// When it was spawned.
    pub started: Instant,
}

impl Running {
    /// Waits until it serves.
    ///
    /// # Errors
    /// It ends, or does not serve in time.
    pub fn ready(&mut self) -> Result<(), String> {
        let deadline = Instant::now() + START;
        loop {
            if let Ok(text) = four_letter(self.addr, "srvr")
                && text.contains("Mode:")
            {
                return Ok(());
            }
            if let Some(status) = self.ended() {
                return Err(format!("ended at its start ({status}):\n{}", self.output()));
            }
            if Instant::now() > deadline {
                return Err(format!("does not serve:\n{}", self.output()));
            }
            // Polled: a server that is still starting has nothing to wait on.
            std::thread::sleep(POLL);
        }
    }

    fn listens(&mut self) -> Result<(), String> {
        let deadline = Instant::now() + START;
        while std::net::TcpStream::connect(self.addr).is_err() {
            if let Some(status) = self.ended() {
                return Err(format!("ended at its start ({status}):\n{}", self.output()));
            }
            if Instant::now() > deadline {
                return Err(format!("does not listen:\n{}", self.output()));
            }
            // Polled: a port that is not open has nothing to wait on.
            std::thread::sleep(POLL);
        }
        Ok(())
    }

    /// How it ended, if it has.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().ok().flatten()
    }

    /// Waits for its end. `None` when it still runs after that time.
    ///
    /// # Errors
    /// The system does not say.
    pub fn wait(&mut self, longest: Duration) -> Result<Option<ExitStatus>, String> {
        let deadline = Instant::now() + longest;
        loop {
            let status = self.child.try_wait().map_err(|e| format!("wait: {e}"))?;
            if status.is_some() || Instant::now() > deadline {
                return Ok(status);
            }
            // Polled: std has no wait with a deadline.
            std::thread::sleep(POLL);
        }
    }

    /// kill -9.
    ///
    /// # Errors
    /// It had ended before, by itself.
    pub fn kill(&mut self) -> Result<(), String> {
        if let Some(status) = self.ended() {
            return Err(format!(
                "ended by itself ({status}), before it was killed:\n{}",
                self.output()
            ));
        }
        self.child.kill().map_err(|e| format!("kill: {e}"))?;
        self.child.wait().map_err(|e| format!("wait: {e}"))?;
        Ok(())
    }

    /// SIGTERM; returns how long the stop took.
    ///
    /// # Errors
    /// It does not stop in time, or not with exit code 0.
    pub fn term(&mut self) -> Result<Duration, String> {
        let begun = Instant::now();
        let sent = Command::new("kill")
            .args(["-TERM", &self.child.id().to_string()])
            .status()
            .map_err(|e| format!("kill -TERM: {e}"))?;
        if !sent.success() {
            return Err(format!("kill -TERM: {sent}"));
        }
        match self.wait(STOP)? {
            Some(status) if status.success() => Ok(begun.elapsed()),
            // Before it serves it has nothing to finish.
            Some(status) if status.signal() == Some(15) && !self.output().contains("binding") => {
                Ok(begun.elapsed())
            }
            Some(status) => Err(format!("SIGTERM ended in {status}:\n{}", self.output())),
            None => Err(format!(
                "still runs {} s after SIGTERM:\n{}",
                STOP.as_secs(),
                self.output()
            )),
        }
    }

    /// Everything that it has printed.
    pub fn output(&self) -> String {
        let bytes = fs::read(&self.output).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// The zxid that `srvr` shows.
    ///
    /// # Errors
    /// There is none.
    pub fn zxid(&self) -> Result<i64, String> {
        let text = four_letter(self.addr, "srvr").map_err(|e| format!("srvr: {e}"))?;
        text.lines()
            .find_map(|line| line.strip_prefix("Zxid: 0x"))
            .and_then(|hex| i64::from_str_radix(hex, 16).ok())
            .ok_or_else(|| format!("no zxid in {text:?}"))
    }

    /// Whether its output has any line that speaks of a fault.
    ///
    /// # Errors
    /// That line.
    pub fn faultless(&self) -> Result<(), String> {
        let output = self.output();
        let bad = output
            .lines()
            .find(|line| line.contains("ERROR") || line.contains("panicked"));
        match bad {
            Some(line) => Err(format!("the server's log says: {line}")),
            None => Ok(()),
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Both fail only when it has ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
