//! Servers beside the ensemble: such as an operator starts by mistake, and small disks for members.
//!
//! Owns: their configuration, a disk in memory. Does not know: what a story expects of them.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::super::limits::{DISK_KIB, INIT_LIMIT, SYNC_LIMIT, TICK_MS};
use super::super::net::{CLIENT_PORT, ELECTION_PORT, QUORUM_PORT};
use super::super::process::Member;
use super::super::spec::{Kind, Seat};
use super::Stage;

/// How far the ports of a server beside the ensemble are from those of its namesake.
const ASIDE: u16 = 1000;

/// How far the addresses of machines outside the ensemble are from those of its members.
const ELSEWHERE: u8 = 100;

/// A disk in memory.
#[derive(Debug)]
pub struct Disk {
    path: PathBuf,
}

impl Disk {
    fn mount(path: &Path) -> Result<Disk, String> {
        fs::create_dir_all(path).map_err(|e| format!("{}: {e}", path.display()))?;
        let size = format!("size={DISK_KIB}k");
        let output = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &size, "tmpfs"])
            .arg(path)
            .output()
            .map_err(|e| format!("mount: {e}"))?;
        if !output.status.success() {
            return Err(String::from_utf8_lossy(&output.stderr).trim().to_owned());
        }
        Ok(Disk { path: path.into() })
    }

    fn ballast(&self) -> PathBuf {
        self.path.join("ballast")
    }

    /// Takes all the space that is left.
    ///
    /// # Errors
    /// The disk does not say that it is full.
    pub fn fill(&self) -> Result<(), String> {
        use std::io::Write as _;
        let path = self.ballast();
        let mut file = fs::File::create(&path).map_err(|e| format!("{}: {e}", path.display()))?;
        let block = [0x5a; 4096];
        for _ in 0..=DISK_KIB {
            if let Err(error) = file.write_all(&block) {
                return match error.kind() {
                    std::io::ErrorKind::StorageFull => Ok(()),
                    _ => Err(format!("{}: {error}", path.display())),
                };
            }
        }
        Err(format!("{} is never full", self.path.display()))
    }

    /// Gives the space back.
    ///
    /// # Errors
    /// It was not filled.
    pub fn free(&self) -> Result<(), String> {
        let path = self.ballast();
        fs::remove_file(&path).map_err(|e| format!("{}: {e}", path.display()))
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // Lazily: a story that failed leaves a member with open files.
        let done = Command::new("umount").arg("-l").arg(&self.path).status();
        if !done.is_ok_and(|status| status.success()) {
            eprintln!("{} stays mounted", self.path.display());
        }
    }
}

impl Stage {
    /// A small disk for what a member stores, which has not started yet.
    ///
    /// # Errors
    /// The machine does not permit it.
    pub fn small_disk(&mut self, id: u8) -> Result<Disk, String> {
        Disk::mount(&self.member(id)?.data())
    }

    fn beside(
        &self,
        name: &str,
        (id, host): (u8, u8),
        kind: &Kind,
        more: Vec<String>,
    ) -> Result<Member, String> {
        let address = self.net.address(host);
        let mut lines = vec![
            format!("tickTime={TICK_MS}"),
            format!("initLimit={INIT_LIMIT}"),
            format!("syncLimit={SYNC_LIMIT}"),
            "4lw.commands.whitelist=*".into(),
            "admin.enableServer=false".into(),
            format!("clientPort={}", CLIENT_PORT + ASIDE),
            format!("clientPortAddress={address}"),
        ];
        lines.extend(more);
        let seat = Seat {
            id,
            kind: kind.clone(),
            observer: false,
        };
        let client = SocketAddr::from((address, CLIENT_PORT + ASIDE));
        Member::new(seat, client, self.dir.join(name), lines, Vec::new())
    }

    fn place(&self, id: u8, aside: u16) -> String {
        format!(
            "server.{id}={}:{}:{}",
            self.net.address(id),
            QUORUM_PORT + aside,
            ELECTION_PORT + aside
        )
    }

    /// A server that takes itself for member `id`: on the same machine, with other ports.
    ///
    /// # Errors
    /// Its folder cannot be made.
    pub fn twin(&self, id: u8, kind: &Kind) -> Result<Member, String> {
        let lines = self
            .ids()
            .into_iter()
            .map(|other| self.place(other, if other == id { ASIDE } else { 0 }))
            .collect();
        self.beside("twin", (id, id), kind, lines)
    }

    /// A server without an ensemble, on a member's machine.
    ///
    /// # Errors
    /// Its folder cannot be made.
    pub fn alone(&self, name: &str, id: u8, kind: &Kind) -> Result<Member, String> {
        self.beside(name, (id, id), kind, Vec::new())
    }

    /// An ensemble of its own, of one server, on another machine.
    ///
    /// # Errors
    /// Its folder cannot be made.
    pub fn hermit(&self, name: &str, id: u8, kind: &Kind) -> Result<Member, String> {
        let host = id + ELSEWHERE;
        let address = self.net.address(host);
        let lines = vec![
            "standaloneEnabled=false".into(),
            format!("server.{id}={address}:{QUORUM_PORT}:{ELECTION_PORT}"),
        ];
        self.beside(name, (id, host), kind, lines)
    }

    /// Starts a server beside the ensemble.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn start_beside(&self, server: &mut Member) -> Result<(), String> {
        server.start(&self.net, &self.programs)
    }
}
