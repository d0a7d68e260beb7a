//! `server.N`, `group.N`, `weight.N` and `version`: the membership, read as far as a standalone
//! server needs it.
//!
//! Owns: the grammar of these lines and the rules that decide between standalone and ensemble.
//! Does not know: quorums, elections, or how to reach a member.
//!
//! Values are not trimmed: a blank at the end of a line refuses, as in Java.

use std::collections::{BTreeMap, BTreeSet};

use crate::java;

/// One `server.N` line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Member {
    /// Whether it votes.
    pub participant: bool,
    /// The part behind `;`: host (default `0.0.0.0`) and port.
    pub client: Option<(String, u16)>,
}

/// The membership lines of one file.
#[derive(Clone, Debug, Default)]
pub(crate) struct Members {
    /// By server id.
    pub servers: BTreeMap<i64, Member>,
    groups: BTreeMap<i64, i64>,
    weights: BTreeSet<i64>,
}

/// Whether a key belongs to the membership. Java takes any key that starts with `group` or
/// `weight` for one.
pub(crate) fn is_member_key(key: &str) -> bool {
    key.starts_with("server.") || key.starts_with("group") || key.starts_with("weight")
}

impl Members {
    /// Takes in one line. Keys of other kinds pass.
    pub fn add(&mut self, key: &str, value: &str, multi_address: bool) -> Result<(), String> {
        if let Some(id) = key.strip_prefix("server.") {
            let id = number(id)?;
            self.servers.insert(id, member(id, value, multi_address)?);
        } else if key.starts_with("group") {
            let group = number(behind_dot(key))?;
            for id in java::split(value, ':') {
                let id = number(id)?;
                if self.groups.insert(id, group).is_some() {
                    return Err(format!("server {id} is in several groups"));
                }
            }
        } else if key.starts_with("weight") {
            number(value)?;
            self.weights.insert(number(behind_dot(key))?);
        } else if key == "version" && java::parse_long_hex(value).is_none() {
            return Err(format!("{value:?} is not a hexadecimal number"));
        }
        Ok(())
    }

    /// What holds over all lines: with groups, every participant is in one. An error comes with the
    /// exit code.
    pub fn check_groups(&self, hierarchical: bool) -> Result<(), (String, u8)> {
        if !hierarchical {
            return Ok(());
        }
        for (id, server) in &self.servers {
            if server.participant && !self.groups.contains_key(id) {
                return Err((format!("server {id} is in no group"), 2));
            }
        }
        // Java dies of the missing weight of such a server.
        let weighted = |id: &i64| {
            self.weights.contains(id) || self.servers.get(id).is_some_and(|it| it.participant)
        };
        match self.groups.keys().find(|id| !weighted(id)) {
            Some(id) => Err((format!("server {id} is in a group, but has no weight"), 1)),
            None => Ok(()),
        }
    }

    /// Number of voters and of observers.
    pub fn counts(&self) -> (usize, usize) {
        let voters = self
            .servers
            .values()
            .filter(|server| server.participant)
            .count();
        (voters, self.servers.len() - voters)
    }
}

fn behind_dot(key: &str) -> &str {
    // Without a dot Java takes the whole key, which is then no number.
    key.split_once('.').map_or(key, |(_, id)| id)
}

fn number(text: &str) -> Result<i64, String> {
    java::parse_long(text).ok_or_else(|| format!("{text:?} is not a number"))
}

/// `host:port:port[:role][|..][;[host:]port]`.
fn member(id: i64, text: &str, multi_address: bool) -> Result<Member, String> {
    let form = || {
        format!(
            "{text:?} does not have the form host:port:port[:role][|host:port:port[:role]][;[host:]port]"
        )
    };
    let parts = java::split(text, ';');
    let Some(server_part) = parts.first() else {
        return Err(form());
    };
    if parts.len() > 2 {
        return Err(form());
    }
    let client = match parts.get(1) {
        None => None,
        Some(part) => {
            let fields = host_and_ports(part)?;
            match fields.as_slice() {
                [port_text] => Some(("0.0.0.0".into(), port(port_text)?)),
                [host, port_text] => Some(((*host).into(), port(port_text)?)),
                _ => return Err(form()),
            }
        }
    };
    let addresses = java::split(server_part, '|');
    if addresses.len() > 1 && !multi_address {
        return Err(format!(
            "several addresses for server {id}, but multiAddress.enabled is not true"
        ));
    }
    if addresses.is_empty() {
        return Err(form());
    }
    let mut role: Option<bool> = None;
    for address in addresses {
        let fields = host_and_ports(address)?;
        if !(3..=4).contains(&fields.len()) {
            return Err(form());
        }
        if port(fields[1])? == port(fields[2])? {
            return Err("peer port and election port are the same".into());
        }
        if let Some(text) = fields.get(3) {
            let participant = match java::trim(text).to_ascii_lowercase().as_str() {
                "participant" => true,
                "observer" => false,
                _ => return Err(format!("unknown role {text:?}")),
            };
            if *role.get_or_insert(participant) != participant {
                return Err("the addresses differ in their role".into());
            }
        }
    }
    Ok(Member {
        participant: role.unwrap_or(true),
        client,
    })
}

/// Host and ports around colons, the host perhaps an IPv6 literal in brackets.
fn host_and_ports(text: &str) -> Result<Vec<&str>, String> {
    let Some(rest) = text.strip_prefix('[') else {
        return Ok(java::split(text, ':'));
    };
    let (host, tail) = rest
        .split_once(']')
        .ok_or_else(|| format!("{text:?} has no closing bracket"))?;
    // One character behind the bracket is skipped, whatever it is.
    let mut chars = tail.chars();
    match (chars.next(), chars.as_str()) {
        (Some(_), "") => Err(format!("{text:?} has no port after the colon")),
        (Some(_), ports) => {
            let mut fields = vec![host];
            fields.extend(java::split(ports, ':'));
            Ok(fields)
        }
        (None, _) => Ok(vec![host]),
    }
}

fn port(text: &str) -> Result<u16, String> {
    java::parse_int(text)
        .and_then(|port| u16::try_from(port).ok())
        .ok_or_else(|| format!("{text:?} is not a port"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn member_lines_are_read_as_java_reads_them() {
        let ok = |text: &str| member(1, text, false).unwrap();
        let voter = Member {
            participant: true,
            client: None,
        };
        assert_eq!(ok("h:2888:3888"), voter);
        assert_eq!(ok("h:2888:3888;"), voter);
        assert_eq!(ok("[::1]:2888:3888:participant"), voter);
        assert_eq!(
            ok("h:2888:3888: Observer ;2181"),
            Member {
                participant: false,
                client: Some(("0.0.0.0".into(), 2181))
            }
        );
        assert_eq!(ok("h:1:2;[::1]:2181").client, Some(("::1".into(), 2181)));
        assert!(member(1, "a:1:2|b:1:2", true).is_ok());
        for bad in [
            "",
            ";",
            "h",
            "h:2888",
            "h:2888:2888",
            "h:2888:3888 ",
            "h:2888:3888:learner",
            "h:2888:3888:participant:x",
            "h:2888:3888; 2181",
            "h:2888:3888;2181;1",
            "h:2888:70000",
            "h:a:3888",
            "[::1:2888:3888",
            "[::1]:",
            "h:1:2|h:1:3",
            "h:2888:3888;1:2:3",
        ] {
            assert!(member(1, bad, false).is_err(), "{bad:?}");
        }
        assert!(member(1, "a:1:2:observer|b:1:2:participant", true).is_err());
    }

    #[test]
    fn groups_hold_every_participant_once() {
        let build = |lines: &[(&str, &str)]| {
            let mut members = Members::default();
            for (key, value) in lines {
                members.add(key, value, false)?;
            }
            members
                .check_groups(true)
                .map(|()| members.counts())
                .map_err(|(message, _)| message)
        };
        let servers = [("server.1", "a:1:2"), ("server.2", "b:1:2:observer")];
        let with = |more: &[(&'static str, &'static str)]| build(&[&servers, more].concat());
        assert_eq!(with(&[("group.1", "1:2"), ("weight.2", "3")]), Ok((1, 1)));
        assert_eq!(with(&[("group.1", "1:7"), ("weight.7", "0")]), Ok((1, 1)));
        assert!(with(&[("group.1", "1:2")]).is_err());
        assert!(with(&[("group.1", "2")]).is_err());
        assert!(with(&[("group.1", "1:1")]).is_err());
        assert!(with(&[("group.1", "1:7")]).is_err());
        assert!(with(&[("groupFoo", "1")]).is_err());
        assert!(with(&[("weight.1", "3 ")]).is_err());
        assert!(with(&[("server.x", "a:1:2")]).is_err());
        assert!(with(&[("version", "0x1")]).is_err());
        assert_eq!(build(&[("server.1", "a:1:2")]).map_err(|_| ()), Err(()));
    }
}
