//! `wchs`, `wchc`, `wchp`. They see the data watches (of getData and exists) and not the child
//! watches; the gauge `watch_count` sees both.

use core::fmt::Write as _;

/// What `wchs` prints.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WatchSummary {
    /// Connections with a watch.
    pub connections: usize,
    /// Paths with a watch.
    pub paths: usize,
    /// Pairs of both.
    pub total: usize,
}

/// `wchs`.
pub fn wchs(summary: WatchSummary) -> String {
    format!(
        "{} connections watching {} paths\nTotal watches:{}\n",
        summary.connections, summary.paths, summary.total
    )
}

/// `wchc`: paths by session.
pub fn wchc<'a, P>(sessions: impl IntoIterator<Item = (i64, P)>) -> String
where
    P: IntoIterator<Item = &'a str>,
{
    let mut out = String::new();
    for (id, paths) in sessions {
        let _ = writeln!(out, "0x{id:x}");
        for path in paths {
            let _ = writeln!(out, "\t{path}");
        }
    }
    out.push('\n');
    out
}

/// `wchp`: sessions by path.
pub fn wchp<'a, S>(paths: impl IntoIterator<Item = (&'a str, S)>) -> String
where
    S: IntoIterator<Item = i64>,
{
    let mut out = String::new();
    for (path, sessions) in paths {
        let _ = writeln!(out, "{path}");
        for id in sessions {
            let _ = writeln!(out, "\t0x{id:x}");
        }
    }
    out.push('\n');
    out
}
