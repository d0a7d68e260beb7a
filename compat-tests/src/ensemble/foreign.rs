//! Clients of other makes that work on while servers come and go: Java's own, kazoo, the C library.
//!
//! Owns: their processes and what they say. Does not know: how a library reconnects.
//!
//! They are told by lines on their input: `pause`, `go`, and its end to stop. They say: `ready`, `idle`
//! (paused, nothing under way), `ok PATH DATA` (a node is made), `set`, `event`, `ephemeral PATH
//! SESSION`, `closed PATH`, `loss` (ConnectionLoss), `expired`, `wrong TEXT`.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use super::limits::SETTLE;

/// The makes, as the script knows them.
pub const MAKES: [&str; 3] = ["java", "kazoo", "c"];

/// What one client has said.
#[derive(Debug, Default)]
pub struct Said {
    /// Nodes made: path and data.
    pub nodes: Vec<(String, String)>,
    /// Its ephemeral node and session, until it is closed.
    pub ephemeral: Option<(String, i64)>,
    /// ConnectionLoss.
    pub losses: u32,
    /// Changes that were acknowledged.
    pub sets: u32,
    /// Events of its watch.
    pub events: u32,
    /// What no client may see.
    pub wrongs: Vec<String>,
    ready: bool,
    idle: bool,
    ended: bool,
}

#[derive(Debug, Default)]
struct Shared {
    said: Mutex<Said>,
    changed: Condvar,
}

impl Shared {
    fn said(&self) -> MutexGuard<'_, Said> {
        self.said.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A client.
#[derive(Debug)]
pub struct Foreign {
    /// Which of [`MAKES`].
    pub make: &'static str,
    child: Child,
    shared: Arc<Shared>,
    reader: Option<JoinHandle<()>>,
}

fn script() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/ensemble-client.sh")
}

/// Makes what the clients need.
///
/// # Errors
/// It cannot be had.
pub fn setup() -> Result<(), String> {
    let status = Command::new(script())
        .arg("setup")
        .status()
        .map_err(|e| format!("ensemble-client.sh: {e}"))?;
    match status.success() {
        true => Ok(()),
        false => Err(format!("ensemble-client.sh setup: {status}")),
    }
}

impl Foreign {
    /// Starts one and waits until it has made its first nodes.
    ///
    /// # Errors
    /// It does not get there.
    pub fn start(make: &'static str, servers: &[SocketAddr]) -> Result<Foreign, String> {
        let hosts: Vec<String> = servers.iter().map(ToString::to_string).collect();
        let mut child = Command::new(script())
            .args([make, &hosts.join(","), &format!("/foreign-{make}")])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .map_err(|e| format!("{make}: {e}"))?;
        let shared = Arc::new(Shared::default());
        let output = child.stdout.take().ok_or("no output")?;
        let for_reader = Arc::clone(&shared);
        let reader = std::thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                take(make, &mut for_reader.said(), &line);
                for_reader.changed.notify_all();
            }
            for_reader.said().ended = true;
            for_reader.changed.notify_all();
        });
        let client = Foreign {
            make,
            child,
            shared,
            reader: Some(reader),
        };
        client.wait("does not begin", |said| said.ready)?;
        Ok(client)
    }

    /// What it has said so far.
    pub fn said(&self) -> MutexGuard<'_, Said> {
        self.shared.said()
    }

    fn wait(&self, what: &str, done: impl Fn(&Said) -> bool) -> Result<(), String> {
        let (said, late) = self
            .shared
            .changed
            .wait_timeout_while(self.said(), SETTLE, |said| !done(said) && !said.ended)
            .unwrap_or_else(PoisonError::into_inner);
        if late.timed_out() || !done(&said) {
            return Err(format!(
                "{}: {what}; ended: {}, wrongs {:?}",
                self.make, said.ended, said.wrongs
            ));
        }
        Ok(())
    }

    fn tell(&mut self, line: &str) -> Result<(), String> {
        let input = self.child.stdin.as_mut().ok_or("told to stop before")?;
        input
            .write_all(line.as_bytes())
            .and_then(|()| input.flush())
            .map_err(|e| format!("{}: {e}", self.make))
    }

    /// Waits until nothing of it is under way.
    ///
    /// # Errors
    /// It does not come to rest.
    pub fn pause(&mut self) -> Result<(), String> {
        self.said().idle = false;
        self.tell("pause\n")?;
        self.wait("does not come to rest", |said| said.idle)
    }

    /// Goes on.
    ///
    /// # Errors
    /// It has ended.
    pub fn resume(&mut self) -> Result<(), String> {
        self.tell("go\n")
    }

    /// Closes its session and waits for its end.
    ///
    /// # Errors
    /// It does not end.
    pub fn stop(&mut self) -> Result<(), String> {
        self.child.stdin = None;
        self.wait("does not end", |said| said.ended)?;
        if self.said().ephemeral.is_some() {
            return Err(format!("{}: its session was not closed", self.make));
        }
        Ok(())
    }
}

impl Drop for Foreign {
    fn drop(&mut self) {
        // Both fail only when it has ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if let Some(reader) = self.reader.take() {
            // A panic of the thread was printed by it.
            let _ = reader.join();
        }
    }
}

fn take(make: &str, said: &mut Said, line: &str) {
    let words: Vec<&str> = line.split_whitespace().collect();
    match words[..] {
        ["ready"] => said.ready = true,
        ["idle"] => said.idle = true,
        ["ok", path, data] => said.nodes.push((path.to_owned(), data.to_owned())),
        ["set"] => said.sets += 1,
        ["event"] => said.events += 1,
        ["loss"] => said.losses += 1,
        ["closed", _] => said.ephemeral = None,
        ["ephemeral", path, session] => match u64::from_str_radix(session, 16) {
            Ok(session) => said.ephemeral = Some((path.to_owned(), session.cast_signed())),
            Err(_) => said.wrongs.push(format!("{make}: {line}")),
        },
        _ => said.wrongs.push(format!("{make}: {line}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_understood() {
        let mut said = Said::default();
        for line in [
            "ready",
            "ephemeral /x/here ffffffffffffff01",
            "ok /x/n1 1",
            "set",
            "event",
            "loss",
            "idle",
        ] {
            take("c", &mut said, line);
        }
        assert!(said.ready && said.idle && said.wrongs.is_empty());
        assert_eq!(said.ephemeral, Some(("/x/here".into(), -255)));
        assert_eq!((said.losses, said.sets, said.events), (1, 1, 1));
        take("c", &mut said, "expired");
        take("c", &mut said, "wrong no event");
        assert_eq!(said.wrongs, ["c: expired", "c: wrong no event"]);
        take("c", &mut said, "closed /x/here");
        assert_eq!(said.ephemeral, None);
    }
}
