//! With whom a data directory was last part of an ensemble: a file beside the log.
//!
//! The protocol between servers has no name of an ensemble, and a server that comes with another
//! one's data may win an election and take everybody to it. So a start looks whom its directory
//! knows. Owns the file and the comparison. Does not know what a quorum is.
//!
//! Invariants: the file holds the members of a configuration that was in force while this
//! directory was in use, or is not there. One host that both have is enough: ports, ids and all
//! members but one may be others than before.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use zk_wire::quorum::config::{QuorumConfig, host_text};

use crate::directory::Layout;
use crate::error::{Error, Result};
use crate::files::Files;
use crate::small;

/// The members that the directory was last used with; `None` when it never was a member's, or when
/// the file does not say: it is a help, and what is in force comes from elsewhere.
///
/// # Errors
/// [`Error::Io`], and [`Error::Refused`] when the file is far too large.
pub fn load(files: &dyn Files, layout: &Layout) -> Result<Option<QuorumConfig>> {
    let Some(bytes) = small::read(files, &layout.members())? else {
        return Ok(None);
    };
    let text = std::str::from_utf8(&bytes).ok();
    Ok(text.and_then(|text| QuorumConfig::parse(text, true).ok()))
}

/// Refuses a directory that was last used with other members, all of them on other hosts.
///
/// # Errors
/// [`Error::Refused`], with both and the way out; as [`load`].
pub fn check(files: &dyn Files, layout: &Layout, now: &QuorumConfig) -> Result<()> {
    let Some(before) = load(files, layout)? else {
        return Ok(());
    };
    if !hosts(&before).is_disjoint(&hosts(now)) {
        return Ok(());
    }
    let file = layout.members();
    Err(Error::Refused {
        found: format!(
            "{} holds the data of an ensemble of {}, and the configuration is of {}, which is not on one host of those: this is the directory of another ensemble",
            layout.data_dir.display(),
            list(&before),
            list(now)
        ),
        remedy: format!(
            "Check dataDir, or give this server an empty one: it then takes everything from the other servers. If all members have moved to other hosts, or this is a copy that is meant to begin another ensemble, remove {} and start again",
            file.display()
        ),
    })
}

/// Keeps the members of now, durably; nothing is written where the file says so already.
///
/// # Errors
/// [`Error::Io`]; the file then holds the members of before or of now.
pub fn save(files: &dyn Files, layout: &Layout, now: &QuorumConfig) -> Result<()> {
    let path = layout.members();
    let text = now.file_text();
    if small::read(files, &path)?.as_deref() == Some(text.as_bytes()) {
        return Ok(());
    }
    small::replace(files, &path, text.as_bytes())
}

fn hosts(config: &QuorumConfig) -> BTreeSet<&str> {
    let addresses = config.members.values().flat_map(|member| &member.addresses);
    addresses.map(|address| address.host.as_str()).collect()
}

fn list(config: &QuorumConfig) -> String {
    let mut text = String::new();
    for (sid, member) in &config.members {
        let comma = if text.is_empty() { "" } else { ", " };
        let host = member.addresses.first().map_or("", |first| &first.host);
        // A string takes everything.
        let _ = write!(text, "{comma}server {sid} on {}", host_text(host));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::ModelFiles;

    fn of(lines: &[&str]) -> QuorumConfig {
        QuorumConfig::parse(&lines.join("\n"), true).unwrap()
    }

    #[test]
    fn one_host_in_common_is_enough() {
        let (disk, layout) = (ModelFiles::new(), Layout::new("/data", "/log"));
        disk.create_dir(&layout.data_dir).unwrap();
        let before = of(&["server.1=a:2888:3888", "server.2=b:2888:3888"]);
        assert_eq!(load(&disk, &layout).unwrap(), None);
        check(&disk, &layout, &before).unwrap();
        save(&disk, &layout, &before).unwrap();
        assert!(load(&disk, &layout).unwrap().unwrap().same_members(&before));
        check(&disk, &layout, &before).unwrap();
        // Another id, other ports, one of two addresses.
        check(&disk, &layout, &of(&["server.9=a:1:2", "server.8=z:1:2"])).unwrap();
        check(&disk, &layout, &of(&["server.9=y:1:2|b:1:2"])).unwrap();
        let other = of(&["server.1=[::1]:2888:3888", "server.2=d:2888:3888"]);
        let said = check(&disk, &layout, &other).unwrap_err().to_string();
        for words in [
            "server 1 on a, server 2 on b",
            "server 1 on 0:0:0:0:0:0:0:1, server 2 on d",
            "remove /data/zabkeeper.members",
        ] {
            assert!(said.contains(words), "{said}");
        }
        disk.remove(&layout.members()).unwrap();
        check(&disk, &layout, &other).unwrap();
    }

    #[test]
    fn what_is_no_configuration_stops_nobody() {
        let (disk, layout) = (ModelFiles::new(), Layout::new("/data", "/log"));
        disk.create_dir(&layout.data_dir).unwrap();
        let now = of(&["server.1=a:2888:3888"]);
        save(&disk, &layout, &now).unwrap();
        let calls = disk.calls();
        save(&disk, &layout, &now).unwrap();
        assert_eq!(disk.calls(), calls, "nothing is written twice");
        disk.tamper(&layout.members(), |file| *file = vec![0xff, 0]);
        check(&disk, &layout, &of(&["server.1=b:2888:3888"])).unwrap();
        save(&disk, &layout, &now).unwrap();
        assert!(load(&disk, &layout).unwrap().is_some());
    }
}
