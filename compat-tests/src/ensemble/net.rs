//! Where members listen, and what lies between them.
//!
//! Owns: an address per member, all with the same three ports, and in a run as root one network
//! namespace per member, behind a bridge, with one-way cuts between any two.
//!
//! Does not know: what travels. Invariants: nothing but the loopback or the run's own bridge is used;
//! namespaces and bridge are gone when the value is dropped, and what a killed run left is removed by
//! the next.

use std::ffi::OsStr;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::process::Command;

use super::limits::NETWORKS;

/// The client port of every member.
pub const CLIENT_PORT: u16 = 2181;
/// The quorum port of every member.
pub const QUORUM_PORT: u16 = 2888;
/// The election port of every member.
pub const ELECTION_PORT: u16 = 3888;
/// A hardware address that nobody has: a neighbour entry with it swallows what is sent there.
const NOBODY: &str = "02:00:00:00:00:fe";
/// How the names of namespaces and links begin; the number of the network follows.
const PREFIX: &str = "zkens";

/// The network of one run.
#[derive(Debug)]
pub struct Net {
    /// The first three bytes of every address.
    base: [u8; 3],
    /// Taken for as long as the network is in use.
    _lock: TcpListener,
    namespaces: Option<Namespaces>,
}

#[derive(Debug)]
struct Namespaces {
    ids: Vec<u8>,
    bridge: String,
}

fn run<S: AsRef<OsStr>>(words: &[S]) -> Result<(), String> {
    let shown = || {
        words
            .iter()
            .map(|word| word.as_ref().to_string_lossy().into_owned())
            .collect::<Vec<_>>()
            .join(" ")
    };
    let output = Command::new(&words[0])
        .args(&words[1..])
        .output()
        .map_err(|e| format!("{}: {e}", shown()))?;
    if output.status.success() {
        return Ok(());
    }
    Err(format!(
        "{}: {}",
        shown(),
        String::from_utf8_lossy(&output.stderr).trim()
    ))
}

fn ip(line: &str) -> Result<(), String> {
    let mut words = vec!["ip"];
    words.extend(line.split_whitespace());
    run(&words)
}

impl Net {
    /// Addresses on the loopback, one per member. Connections that servers open come from 127.0.0.1, so
    /// no port of theirs is ever taken by one.
    ///
    /// # Errors
    /// All networks are in use.
    pub fn loopback() -> Result<Net, String> {
        Self::reserve(|n| [127, 88, n]).map(|(base, lock)| Net {
            base,
            _lock: lock,
            namespaces: None,
        })
    }

    /// A namespace per member.
    ///
    /// # Errors
    /// The process may not make them; nothing is left behind then.
    pub fn namespaces(ids: &[u8]) -> Result<Net, String> {
        remove_stale();
        let (lock_base, lock) = Self::reserve(|n| [127, 89, n])?;
        let n = lock_base[2];
        let base = [10, 213, n];
        let bridge = format!("{PREFIX}{n}b");
        let net = Net {
            base,
            _lock: lock,
            namespaces: Some(Namespaces {
                ids: ids.to_vec(),
                bridge: bridge.clone(),
            }),
        };
        ip(&format!("link add {bridge} type bridge"))?;
        let [a, b, c] = base;
        ip(&format!("addr add {a}.{b}.{c}.254/24 dev {bridge}"))?;
        ip(&format!("link set {bridge} up"))?;
        for id in ids {
            let (space, port) = (net.space(*id), format!("{PREFIX}{n}p{id}"));
            ip(&format!("netns add {space}"))?;
            ip(&format!(
                "link add {port} type veth peer name eth0 netns {space}"
            ))?;
            ip(&format!("link set {port} master {bridge} up"))?;
            ip(&format!("-n {space} link set lo up"))?;
            ip(&format!(
                "-n {space} addr add {}/24 dev eth0",
                net.address(*id)
            ))?;
            ip(&format!("-n {space} link set eth0 up"))?;
        }
        Ok(net)
    }

    /// The first free number, held by a socket on a loopback address of that number.
    fn reserve(base: impl Fn(u8) -> [u8; 3]) -> Result<([u8; 3], TcpListener), String> {
        for n in 1..=NETWORKS {
            let base = base(n);
            let [a, b, c] = base;
            if let Ok(lock) = TcpListener::bind((Ipv4Addr::new(a, b, c, 254), 1)) {
                return Ok((base, lock));
            }
        }
        Err("no free network on the loopback".into())
    }

    /// Whether members can be cut from each other.
    pub fn can_cut(&self) -> bool {
        self.namespaces.is_some()
    }

    /// A member's address.
    pub fn address(&self, id: u8) -> Ipv4Addr {
        let [a, b, c] = self.base;
        Ipv4Addr::new(a, b, c, id)
    }

    /// Another one, on loopback.
    pub fn second_address(&self, id: u8) -> Ipv4Addr {
        let [a, b, c] = self.base;
        Ipv4Addr::new(a, b, c, id + 100)
    }

    /// Where a member's clients connect.
    pub fn client(&self, id: u8) -> SocketAddr {
        SocketAddr::from((self.address(id), CLIENT_PORT))
    }

    /// A command that runs `program` in the member's place.
    pub fn command(&self, id: u8, program: &OsStr) -> Command {
        if self.namespaces.is_none() {
            return Command::new(program);
        }
        // The program replaces `ip`, so the child's pid is its own.
        let mut command = Command::new("ip");
        command
            .args(["netns", "exec", &self.space(id)])
            .arg(program);
        command
    }

    /// Nothing that `from` sends reaches `to` any more; the other way is left as it is.
    ///
    /// # Errors
    /// There are no namespaces.
    pub fn cut(&self, from: u8, to: u8) -> Result<(), String> {
        if !self.can_cut() {
            return Err("no namespaces: nothing can be cut".into());
        }
        ip(&format!(
            "-n {} neigh replace {} lladdr {NOBODY} nud permanent dev eth0",
            self.space(from),
            self.address(to)
        ))
    }

    /// Undoes [`Net::cut`].
    ///
    /// # Errors
    /// It was not cut.
    pub fn join(&self, from: u8, to: u8) -> Result<(), String> {
        ip(&format!(
            "-n {} neigh del {} dev eth0",
            self.space(from),
            self.address(to)
        ))
    }

    fn space(&self, id: u8) -> String {
        format!("{PREFIX}{}n{id}", self.base[2])
    }
}

impl Drop for Net {
    fn drop(&mut self) {
        if let Some(spaces) = &self.namespaces {
            for id in &spaces.ids {
                // Its end of the link goes with it. What is not there need not be removed.
                let _ = ip(&format!("netns del {}", self.space(*id)));
            }
            let _ = ip(&format!("link del {}", spaces.bridge));
        }
    }
}

/// Removes the namespaces and bridges of runs whose lock is free, which are those that were killed.
fn remove_stale() {
    let number = |name: &str| -> Option<u8> {
        let rest = name.strip_prefix(PREFIX)?;
        let end = rest.find(|c: char| !c.is_ascii_digit())?;
        rest[..end].parse().ok()
    };
    let free = |n: u8| TcpListener::bind((Ipv4Addr::new(127, 89, n, 254), 1)).is_ok();
    let listing = |words: &[&str]| -> String {
        Command::new("ip")
            .args(words)
            .output()
            .map(|output| String::from_utf8_lossy(&output.stdout).into_owned())
            .unwrap_or_default()
    };
    for line in listing(&["netns", "list"]).lines() {
        let name = line.split_whitespace().next().unwrap_or_default();
        if number(name).is_some_and(free) {
            let _ = ip(&format!("netns del {name}"));
        }
    }
    for line in listing(&["-o", "link", "show", "type", "bridge"]).lines() {
        let name = line
            .split_whitespace()
            .nth(1)
            .unwrap_or_default()
            .trim_end_matches(':');
        if number(name).is_some_and(free) {
            let _ = ip(&format!("link del {name}"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_networks_never_share_an_address() {
        let (one, two) = (Net::loopback().unwrap(), Net::loopback().unwrap());
        assert_ne!(one.address(1), two.address(1));
        assert_eq!(one.client(3).port(), CLIENT_PORT);
        assert!(one.cut(1, 2).is_err());
    }
}
