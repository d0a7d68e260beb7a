//! A member as a process whose folder outlives it.
//!
//! Owns: the child (ended when the value is dropped), its folder with `zoo.cfg`, `myid`, data and the
//! output of every start. Does not know: which others there are, but for the lines it is given.
//!
//! Invariant: only processes started here get a signal, by their pid.

use std::ffi::OsString;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Instant;

use compat_tests::conn::four_letter;
use rustix::process::{Pid, Signal, kill_process};

use super::limits::{LOG_TAIL, POLL, STOP};
use super::net::Net;
use super::spec::{JAVA, Kind, Seat};

/// Where programs are.
#[derive(Debug, Clone)]
pub struct Programs {
    /// The binary under test, if a story needs it.
    pub zabkeeper: Option<PathBuf>,
    cache: PathBuf,
}

/// Flags of a JVM that shares two cores with its peers.
const JVM: [&str; 4] = [
    "-XX:TieredStopAtLevel=1",
    "-XX:+UseSerialGC",
    "-Xshare:auto",
    "-Xmx160m",
];

fn scripts() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts")
}

impl Programs {
    /// Resolves the class paths that `seats` need.
    ///
    /// # Errors
    /// The script that resolves them failed, or a seat needs a binary that was not named.
    pub fn of<'a>(
        zabkeeper: Option<PathBuf>,
        kinds: impl Iterator<Item = &'a Kind>,
    ) -> Result<Programs, String> {
        let mut versions: Vec<&str> = Vec::new();
        let mut java = false;
        for kind in kinds {
            match kind {
                Kind::Java(version) => {
                    java = true;
                    if version != JAVA && !versions.contains(&version.as_str()) {
                        versions.push(version);
                    }
                }
                Kind::Zabkeeper if zabkeeper.is_none() => {
                    return Err("--zabkeeper BINARY is missing".into());
                }
                Kind::Zabkeeper => {}
            }
        }
        if java {
            let status = Command::new(scripts().join("java-setup.sh"))
                .args(&versions)
                .status()
                .map_err(|e| format!("java-setup.sh: {e}"))?;
            if !status.success() {
                return Err(format!("java-setup.sh: {status}"));
            }
        }
        let home = |name: &str| std::env::var_os(name).map(PathBuf::from);
        let cache = home("ZABKEEPER_CACHE")
            .or_else(|| home("XDG_CACHE_HOME").map(|path| path.join("zabkeeper")))
            .or_else(|| home("HOME").map(|path| path.join(".cache/zabkeeper")))
            .ok_or("neither ZABKEEPER_CACHE nor HOME is set")?;
        Ok(Programs { zabkeeper, cache })
    }

    /// The program and the arguments before the configuration file.
    fn words(&self, kind: &Kind, properties: &[String]) -> Result<Vec<OsString>, String> {
        let mut words: Vec<OsString> = Vec::new();
        match kind {
            Kind::Zabkeeper => {
                let binary = self.zabkeeper.as_ref().ok_or("no binary")?;
                words.push(binary.into());
                words.push("serve".into());
                words.extend(properties.iter().map(Into::into));
            }
            Kind::Java(version) => {
                let name = match version.as_str() {
                    JAVA => "classpath".to_owned(),
                    other => format!("classpath-{other}"),
                };
                let path = self.cache.join("java").join(name);
                let jars =
                    fs::read_to_string(&path).map_err(|e| format!("{}: {e}", path.display()))?;
                let resources = Path::new(env!("CARGO_MANIFEST_DIR"))
                    .join("java/src/main/resources")
                    .display()
                    .to_string();
                words.push("java".into());
                words.extend(JVM.iter().map(Into::into));
                words.extend(properties.iter().map(Into::into));
                words.push("-cp".into());
                words.push(format!("{resources}:{}", jars.trim()).into());
                words.push("org.apache.zookeeper.server.quorum.QuorumPeerMain".into());
            }
        }
        Ok(words)
    }
}

/// A member, running or not.
#[derive(Debug)]
pub struct Member {
    /// What sits here now.
    pub seat: Seat,
    /// Where its clients connect.
    pub client: SocketAddr,
    dir: PathBuf,
    lines: Vec<String>,
    properties: Vec<String>,
    child: Option<Child>,
    starts: u32,
    paused: bool,
    /// Whether the server rewrites its configuration, which then is not written anew.
    own_config: bool,
    /// Variables of its environment, from the next start on.
    environment: Vec<(String, String)>,
    /// What `myid` says, if not the id; without anything there is no such file.
    myid: Option<Option<String>>,
}

impl Member {
    /// A member in `dir`, which is made; not started.
    ///
    /// # Errors
    /// The folder cannot be made.
    pub fn new(
        seat: Seat,
        client: SocketAddr,
        dir: PathBuf,
        lines: Vec<String>,
        properties: Vec<String>,
    ) -> Result<Member, String> {
        fs::create_dir_all(&dir).map_err(|e| format!("{}: {e}", dir.display()))?;
        Ok(Member {
            seat,
            client,
            dir,
            lines,
            properties,
            child: None,
            starts: 0,
            paused: false,
            own_config: false,
            environment: Vec::new(),
            myid: None,
        })
    }

    /// `myid`.
    pub fn id(&self) -> u8 {
        self.seat.id
    }

    /// Adds lines for the first start; the configuration is the server's own from then on.
    pub fn configure(&mut self, lines: Vec<String>) {
        self.lines.extend(lines);
        self.own_config = true;
    }

    /// Variables of its environment, from the next start on.
    pub fn environment(&mut self, variables: Vec<(String, String)>) {
        self.environment = variables;
    }

    /// What `myid` will say from the next start on; nothing: no such file.
    pub fn claim(&mut self, text: Option<&str>) {
        self.myid = Some(text.map(Into::into));
    }

    /// The folder of what it stores.
    pub fn data(&self) -> PathBuf {
        self.dir.join("data")
    }

    fn output(&self) -> PathBuf {
        self.dir.join(format!("output-{}.log", self.starts))
    }

    /// Starts it; waits for nothing.
    ///
    /// # Errors
    /// It runs, or cannot be started.
    pub fn start(&mut self, net: &Net, programs: &Programs) -> Result<(), String> {
        if self.alive() {
            return Err(format!("{} runs", self.id()));
        }
        let failed = |path: &Path, e: std::io::Error| format!("{}: {e}", path.display());
        self.starts += 1;
        let data = self.data();
        fs::create_dir_all(&data).map_err(|e| failed(&data, e))?;
        let myid = data.join("myid");
        match &self.myid {
            None => fs::write(&myid, format!("{}\n", self.id())),
            Some(Some(text)) => fs::write(&myid, text),
            Some(None) if myid.exists() => fs::remove_file(&myid),
            Some(None) => Ok(()),
        }
        .map_err(|e| failed(&myid, e))?;
        let mut text = format!("dataDir={}\n", data.display());
        for line in &self.lines {
            text.push_str(line);
            text.push('\n');
        }
        let config = self.dir.join("zoo.cfg");
        if !(self.own_config && config.exists()) {
            fs::write(&config, text).map_err(|e| failed(&config, e))?;
        }
        let output = self.output();
        let file = fs::File::create(&output).map_err(|e| failed(&output, e))?;
        let errors = file.try_clone().map_err(|e| failed(&output, e))?;
        let words = programs.words(&self.seat.kind, &self.properties)?;
        let child = net
            .command(self.id(), &words[0])
            .args(&words[1..])
            .arg(&config)
            .env("NO_COLOR", "1")
            .envs(self.environment.iter().cloned())
            .stdin(Stdio::null())
            .stdout(file)
            .stderr(errors)
            .spawn()
            .map_err(|e| format!("{:?}: {e}", words[0]))?;
        self.child = Some(child);
        self.paused = false;
        Ok(())
    }

    /// Whether it runs.
    pub fn alive(&mut self) -> bool {
        match &mut self.child {
            Some(child) => matches!(child.try_wait(), Ok(None)),
            None => false,
        }
    }

    /// Whether it should run: it was started, and neither killed nor told to stop.
    pub fn wanted(&self) -> bool {
        self.child.is_some()
    }

    fn signal(&mut self, signal: Signal) -> Result<(), String> {
        let id = self.id();
        if !self.alive() {
            return Err(format!("{id} has ended by itself:\n{}", self.log_tail()));
        }
        let child = self.child.as_ref().ok_or("not started")?;
        kill_process(Pid::from_child(child), signal).map_err(|e| format!("{id}: {signal:?}: {e}"))
    }

    /// kill -9.
    ///
    /// # Errors
    /// It had ended before, by itself.
    pub fn kill(&mut self) -> Result<(), String> {
        self.signal(Signal::KILL)?;
        self.reap()?;
        Ok(())
    }

    /// SIGTERM, and waits for its end.
    ///
    /// # Errors
    /// It had ended before, by itself, or does not stop.
    pub fn term(&mut self) -> Result<(), String> {
        self.signal(Signal::TERM)?;
        self.reap()?;
        Ok(())
    }

    /// SIGSTOP, and waits until every thread stands still.
    ///
    /// # Errors
    /// It had ended before, by itself, or does not stop.
    pub fn pause(&mut self) -> Result<(), String> {
        self.signal(Signal::STOP)?;
        self.paused = true;
        let deadline = Instant::now() + STOP;
        while !self.stands() {
            if Instant::now() > deadline {
                return Err(format!("{} does not stand still", self.id()));
            }
            // Polled: only a parent that traces it is told.
            std::thread::sleep(POLL);
        }
        Ok(())
    }

    /// Whether all of its threads are stopped.
    fn stands(&self) -> bool {
        let Some(child) = &self.child else {
            return false;
        };
        let Ok(tasks) = fs::read_dir(format!("/proc/{}/task", child.id())) else {
            return false;
        };
        // The state follows the name, which is in parentheses. A thread that has ended says nothing.
        tasks.flatten().all(|task| {
            fs::read_to_string(task.path().join("stat")).map_or(true, |text| {
                text.rsplit_once(')')
                    .is_some_and(|(_, rest)| rest.trim_start().starts_with('T'))
            })
        })
    }

    /// SIGCONT.
    ///
    /// # Errors
    /// It had ended before, by itself.
    pub fn resume(&mut self) -> Result<(), String> {
        self.signal(Signal::CONT)?;
        self.paused = false;
        Ok(())
    }

    fn reap(&mut self) -> Result<ExitStatus, String> {
        let id = self.id();
        let child = self.child.as_mut().ok_or("not started")?;
        let deadline = Instant::now() + STOP;
        loop {
            if let Some(status) = child.try_wait().map_err(|e| format!("wait: {e}"))? {
                self.child = None;
                return Ok(status);
            }
            if Instant::now() > deadline {
                return Err(format!("{id} does not end:\n{}", self.log_tail()));
            }
            // Polled: std has no wait with a deadline.
            std::thread::sleep(POLL);
        }
    }

    /// Waits for it to end by itself: its exit code.
    ///
    /// # Errors
    /// It goes on, or a signal ended it.
    pub fn ends(&mut self) -> Result<i32, String> {
        let status = self.reap()?;
        status
            .code()
            .ok_or_else(|| format!("{}: {status}", self.id()))
    }

    /// The line of its output that holds all of these words.
    ///
    /// # Errors
    /// No line does.
    pub fn line(&self, words: &[&str]) -> Result<String, String> {
        let printed = self.printed();
        let found = printed
            .lines()
            .find(|line| words.iter().all(|word| line.contains(word)));
        found
            .map(ToOwned::to_owned)
            .ok_or_else(|| format!("{} does not say {words:?}:\n{}", self.id(), self.log_tail()))
    }

    /// All lines of its output that hold all of these words.
    pub fn lines(&self, words: &[&str]) -> Vec<String> {
        let printed = self.printed();
        let lines = printed.lines();
        lines
            .filter(|line| words.iter().all(|word| line.contains(word)))
            .map(ToOwned::to_owned)
            .collect()
    }

    /// What is stored becomes what another server has stored, which has nothing then. Its own was wiped.
    ///
    /// # Errors
    /// One of them runs, or the files cannot be moved.
    pub fn take_over(&mut self, other: &Member) -> Result<(), String> {
        if self.child.is_some() || other.child.is_some() {
            return Err(format!("{} or its namesake runs", self.id()));
        }
        let (from, to) = (other.data(), self.data());
        fs::rename(&from, &to).map_err(|e| format!("{}: {e}", from.display()))
    }

    /// The dynamic file that its configuration names, with the end of its name, behind which a version
    /// stands; nothing where none is named.
    ///
    /// # Errors
    /// One is named and cannot be read.
    pub fn dynamic(&self) -> Result<Option<(String, String)>, String> {
        let read =
            |path: &Path| fs::read_to_string(path).map_err(|e| format!("{}: {e}", path.display()));
        let config = read(&self.dir.join("zoo.cfg"))?;
        let named = config
            .lines()
            .find_map(|line| line.strip_prefix("dynamicConfigFile="));
        let Some(name) = named else {
            return Ok(None);
        };
        let version = name.rsplit('.').next().unwrap_or_default().to_owned();
        Ok(Some((version, read(Path::new(name.trim()))?)))
    }

    /// Removes the file that says with whom the directory was part of an ensemble.
    ///
    /// # Errors
    /// There is none.
    pub fn forget_members(&self) -> Result<(), String> {
        let path = self.data().join("zabkeeper.members");
        fs::remove_file(&path).map_err(|e| format!("{}: {e}", path.display()))
    }

    /// Removes everything it has stored; `myid` is written anew at the next start.
    ///
    /// # Errors
    /// It runs, or the files stay.
    pub fn wipe(&mut self) -> Result<(), String> {
        if self.child.is_some() {
            return Err(format!("{} runs", self.id()));
        }
        let data = self.data();
        fs::remove_dir_all(&data).map_err(|e| format!("{}: {e}", data.display()))
    }

    /// Another program takes the seat, on an empty folder.
    ///
    /// # Errors
    /// As [`Member::wipe`].
    pub fn replace(&mut self, kind: &Kind) -> Result<(), String> {
        self.wipe()?;
        self.seat.kind = kind.clone();
        Ok(())
    }

    /// Whether it is to answer: started, not ended by the story, not paused.
    pub fn expected(&self) -> bool {
        self.child.is_some() && !self.paused
    }

    /// The answer to a four-letter word; nothing when it does not answer.
    pub fn word(&self, word: &str) -> Option<String> {
        four_letter(self.client, word).ok()
    }

    /// `Mode:` of `srvr`: leader, follower, observer, read-only; nothing while it does not serve.
    pub fn mode(&self) -> Option<String> {
        let text = self.word("srvr")?;
        let mode = text.lines().find_map(|line| line.strip_prefix("Mode: "))?;
        Some(mode.to_owned())
    }

    /// `Zxid:` of `srvr`.
    pub fn zxid(&self) -> Option<i64> {
        let text = self.word("srvr")?;
        let hex = text
            .lines()
            .find_map(|line| line.strip_prefix("Zxid: 0x"))?;
        i64::from_str_radix(hex, 16).ok()
    }

    /// Whether a log file of the member holds a record of this zxid (its eight bytes, wherever).
    pub fn logged(&self, zxid: i64) -> bool {
        let needle = zxid.to_be_bytes();
        let Ok(entries) = fs::read_dir(self.data().join("version-2")) else {
            return false;
        };
        entries
            .flatten()
            .filter(|entry| entry.file_name().to_string_lossy().starts_with("log."))
            .any(|entry| {
                fs::read(entry.path())
                    .is_ok_and(|bytes| bytes.windows(needle.len()).any(|at| at == needle))
            })
    }

    /// Everything that its current start has printed.
    pub fn printed(&self) -> String {
        let bytes = fs::read(self.output()).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// The last lines that it printed.
    pub fn log_tail(&self) -> String {
        let text = self.printed();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(LOG_TAIL)..].join("\n")
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            // Both fail only when it has ended.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}
