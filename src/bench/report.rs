//! What a run found, as JSON and as text.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::load::Checked;
use crate::meter::Latency;

/// What a run found.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// The kind of load.
    pub workload: String,
    /// The servers.
    pub hosts: String,
    /// Sessions at the same time.
    pub sessions: u64,
    /// Requests in flight for each session.
    pub outstanding: u64,
    /// Bytes of data of each znode.
    pub size: u64,
    /// Keys prepared, or created by the load.
    pub keys: u64,
    /// Where the keys are.
    pub root: String,
    /// Seconds measured.
    pub seconds: f64,
    /// Operations that succeeded in that time.
    pub operations: u64,
    /// Those, for each second.
    pub per_second: f64,
    /// Operations that failed.
    pub failed: u64,
    /// Requests whose connection went away.
    pub lost: u64,
    /// Answers that cannot be right: other data, a read older than a write before it.
    pub wrong: u64,
    /// Failures and wrong answers by kind.
    pub errors: BTreeMap<String, u64>,
    /// Latency of all operations, microseconds.
    pub latency: Option<Latency>,
    /// Latency of those that read.
    pub reads: Option<Latency>,
    /// Latency of those that wrote.
    pub writes: Option<Latency>,
    /// Latency of pings.
    pub pings: Option<Latency>,
    /// The read-back check.
    pub verified: Option<Checked>,
    /// Ephemeral znodes checked, during the session and after it, and those found wrong.
    pub ephemerals: Option<(u64, u64)>,
    /// The servers' processes, if they were given.
    pub server: Option<Server>,
    /// The generator's own CPU microseconds for each operation.
    pub client_cpu_us: f64,
}

/// What the servers' processes used, added up.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Server {
    /// CPU seconds from the begin of the measured time until the server went idle after it.
    pub cpu_seconds: f64,
    /// CPU microseconds for each operation: the seconds above over the operations of the same
    /// time, those of the drain included.
    pub cpu_us: f64,
    /// Whether the server went idle before the measured time, so that nothing older is in the figure.
    pub idle_before: bool,
    /// Whether it went idle after it, so that all that was acknowledged is in the figure.
    pub idle_after: bool,
    /// KiB resident before the sessions were opened.
    pub rss_before: u64,
    /// KiB resident after the run, the sessions still open.
    pub rss_after: u64,
    /// KiB resident at most since the process began.
    pub rss_peak: u64,
}

impl Report {
    /// Whether every operation succeeded and everything acknowledged was found.
    pub fn is_good(&self) -> bool {
        self.failed + self.lost + self.wrong == 0
            && self.errors.is_empty()
            && self.verified.is_none_or(|checked| checked.is_good())
            && self.ephemerals.is_none_or(|(_, wrong)| wrong == 0)
    }
}

fn line(f: &mut fmt::Formatter<'_>, name: &str, latency: &Option<Latency>) -> fmt::Result {
    let Some(l) = latency else { return Ok(()) };
    writeln!(
        f,
        "{name:<9} p50 {:.0}  p90 {:.0}  p99 {:.0}  p99.9 {:.0}  max {:.0}  mean {:.0} us ({} measured)",
        l.p50, l.p90, l.p99, l.p999, l.max, l.mean, l.count
    )
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{} on {}: {} sessions, {} outstanding, {} bytes, {} keys under {}",
            self.workload,
            self.hosts,
            self.sessions,
            self.outstanding,
            self.size,
            self.keys,
            self.root
        )?;
        writeln!(
            f,
            "rate      {:.0}/s ({} in {:.2} s)",
            self.per_second, self.operations, self.seconds
        )?;
        if self.reads.is_some() && self.writes.is_some() {
            line(f, "reads", &self.reads)?;
            line(f, "writes", &self.writes)?;
        } else {
            line(f, "latency", &self.latency)?;
        }
        line(f, "pings", &self.pings)?;
        if let Some(server) = &self.server {
            let note = match (server.idle_before, server.idle_after) {
                (true, true) => "",
                _ if self.workload == "idle" => "",
                _ => "  (the server did not go idle: not exact)",
            };
            writeln!(
                f,
                "server    {:.2} us CPU an operation, {:.2} s in all{note}; resident {} KiB, before {}, peak {}",
                server.cpu_us,
                server.cpu_seconds,
                server.rss_after,
                server.rss_before,
                server.rss_peak
            )?;
        }
        writeln!(f, "client    {:.2} us CPU an operation", self.client_cpu_us)?;
        writeln!(
            f,
            "errors    {} failed, {} lost, {} wrong{}",
            self.failed,
            self.lost,
            self.wrong,
            if self.errors.is_empty() { "" } else { ":" }
        )?;
        for (kind, count) in &self.errors {
            writeln!(f, "          {count} x {kind}")?;
        }
        if let Some(checked) = &self.verified {
            writeln!(
                f,
                "read back {} keys: {} missing, {} with other data, {} with another version, {} unreadable",
                checked.keys, checked.missing, checked.data, checked.version, checked.unreadable
            )?;
        }
        if let Some((checked, wrong)) = &self.ephemerals {
            writeln!(f, "read back {checked} ephemerals: {wrong} wrong")?;
        }
        Ok(())
    }
}
