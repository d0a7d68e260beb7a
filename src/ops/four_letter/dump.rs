//! `dump`: sessions by expiry, ephemeral nodes, connections by expiry.

use core::fmt::{Display, Write as _};
use std::net::SocketAddr;

use super::connection::JavaAddress;
use crate::date::{Zone, java_date};

/// Elements by the wall time, in ms since 1970, at which they expire; ascending. A set may be
/// empty: Java keeps an emptied bucket until its time has come.
pub type ExpiringSets<T> = Vec<(i64, Vec<T>)>;

/// Sessions with the paths of their ephemeral nodes.
pub type Ephemerals = Vec<(i64, Vec<String>)>;

/// What `dump` says about sessions; it depends on the role.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DumpSessions {
    /// Standalone server and leader: session ids by expiry.
    Tracked {
        /// Local sessions, where they are enabled.
        local: Option<ExpiringSets<i64>>,
        /// The others.
        global: ExpiringSets<i64>,
    },
    /// Follower, observer and read-only server.
    Learned {
        /// Local sessions by expiry, where they are enabled.
        local: Option<ExpiringSets<i64>>,
        /// The others by id, with their timeout in ms.
        global: Vec<(i64, i32)>,
    },
}

/// What `dump` prints.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DumpInfo {
    /// Sessions.
    pub sessions: DumpSessions,
    /// Ephemeral nodes.
    pub ephemerals: Ephemerals,
    /// Client addresses and session ids (0 without one) by expiry of the connection.
    pub connections: ExpiringSets<(SocketAddr, i64)>,
}

/// `dump`.
pub fn dump(info: &DumpInfo, zone: &Zone) -> String {
    let mut out = String::from("SessionTracker dump:\n");
    let mut by_expiry = |what: &str, sets: &ExpiringSets<i64>| {
        expiring(&mut out, what, sets, zone, |id| format!("0x{id:x}"));
    };
    match &info.sessions {
        DumpSessions::Tracked {
            local: None,
            global,
        } => by_expiry("Session", global),
        DumpSessions::Tracked {
            local: Some(local),
            global,
        } => {
            by_expiry("Local Session", local);
            by_expiry("Global Session", global);
        }
        DumpSessions::Learned { local, global } => {
            if let Some(local) = local {
                by_expiry("Local Session", local);
            }
            let _ = writeln!(out, "Global Sessions({}):", global.len());
            for (id, timeout_ms) in global {
                let _ = writeln!(out, "0x{id:x}\t{timeout_ms}ms");
            }
        }
    }
    out.push_str("ephemeral nodes dump:\n");
    let _ = writeln!(out, "Sessions with Ephemerals ({}):", info.ephemerals.len());
    for (id, paths) in &info.ephemerals {
        let _ = writeln!(out, "0x{id:x}:");
        for path in paths {
            let _ = writeln!(out, "\t{path}");
        }
    }
    out.push_str("Connections dump:\n");
    expiring(
        &mut out,
        "Connections",
        &info.connections,
        zone,
        |(peer, id)| format!("ip: {} sessionId: 0x{id:x}", JavaAddress(*peer)),
    );
    out
}

fn expiring<T, D: Display>(
    out: &mut String,
    what: &str,
    sets: &ExpiringSets<T>,
    zone: &Zone,
    element: impl Fn(&T) -> D,
) {
    let elements: usize = sets.iter().map(|(_, set)| set.len()).sum();
    let _ = writeln!(out, "{what} Sets ({})/({elements}):", sets.len());
    for (expire_ms, set) in sets {
        let _ = writeln!(
            out,
            "{} expire at {}:",
            set.len(),
            java_date(*expire_ms, zone)
        );
        for item in set {
            let _ = writeln!(out, "\t{}", element(item));
        }
    }
}
