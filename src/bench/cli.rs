//! Arguments of `bench`.

use std::net::{SocketAddr, ToSocketAddrs};
use std::path::PathBuf;

use clap::{Args, ValueEnum};

use crate::error::Error;
use crate::template::{MAX_KEYS, MAX_PARENTS};

/// What is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Workload {
    /// New persistent znodes, until the time or the number of operations is over
    Create,
    /// setData of each session's own keys
    Set,
    /// getData of any key
    Get,
    /// get and set, shared by --reads
    Mixed,
    /// getChildren of the parents
    Children,
    /// create and delete of ephemeral znodes
    Ephemeral,
    /// multi of --batch setData; a multi counts as one operation
    Multi,
    /// One session sets --outstanding znodes, all others watch them; a notification counts as one
    /// operation, its latency begins at the set
    WatchFanout,
    /// Sessions opened and closed, --sessions at a time
    Connect,
    /// Sessions that only ping; the latency is that of pings
    Idle,
    /// Creates --keys znodes and leaves them there
    Fill,
    /// Only the read-back check of an earlier fill (same --prefix, --run, --keys, --parents, --size)
    Verify,
}

impl Workload {
    /// The name on the command line.
    pub fn name(self) -> String {
        self.to_possible_value()
            .map(|value| value.get_name().to_string())
            .unwrap_or_default()
    }

    /// Whether it changes the tree while it is measured.
    pub fn writes(self) -> bool {
        match self {
            Workload::Create
            | Workload::Set
            | Workload::Mixed
            | Workload::Ephemeral
            | Workload::Multi
            | Workload::WatchFanout
            | Workload::Connect
            | Workload::Fill => true,
            Workload::Get | Workload::Children | Workload::Idle | Workload::Verify => false,
        }
    }

    /// Whether it needs the keys before it begins.
    pub fn needs_keys(self) -> bool {
        match self {
            Workload::Set
            | Workload::Get
            | Workload::Mixed
            | Workload::Children
            | Workload::Multi
            | Workload::WatchFanout => true,
            Workload::Create
            | Workload::Ephemeral
            | Workload::Connect
            | Workload::Idle
            | Workload::Fill
            | Workload::Verify => false,
        }
    }
}

/// Puts load on ZooKeeper servers and measures it. The load is closed-loop: each session keeps
/// --outstanding requests in flight, unless --rate is given.
#[derive(Debug, Clone, Args)]
pub struct BenchArgs {
    /// The servers, sessions go to them in turn
    #[arg(long, value_name = "HOST:PORT[,HOST:PORT]")]
    pub hosts: String,
    /// What is asked for
    #[arg(long, value_enum)]
    pub workload: Workload,
    /// Sessions at the same time
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u32).range(1..))]
    pub sessions: u32,
    /// Requests in flight for each session
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..))]
    pub outstanding: u32,
    /// Bytes of data of each znode
    #[arg(long, default_value_t = 100)]
    pub size: usize,
    /// Stop after this many operations (watch-fanout: requests; not for idle)
    #[arg(long, conflicts_with = "seconds")]
    pub ops: Option<u64>,
    /// Stop after this time
    #[arg(long, default_value_t = 10.0, value_parser = seconds)]
    pub seconds: f64,
    /// Run the load for this time first, not measured
    #[arg(long, default_value_t = 0.0, value_parser = seconds)]
    pub warmup: f64,
    /// Operations a second over all sessions, instead of as many as there is room for
    /// (get, set and mixed); an operation that found no session free counts from when it was due
    #[arg(long)]
    pub rate: Option<f64>,
    /// Keys that the load works on
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..i64::from(MAX_KEYS)))]
    pub keys: u32,
    /// Parents that the keys are spread over; 0: all directly under the root of the run
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(..i64::from(MAX_PARENTS)))]
    pub parents: u32,
    /// Of a hundred mixed operations, how many read
    #[arg(long, default_value_t = 90, value_parser = clap::value_parser!(u8).range(..=100))]
    pub reads: u8,
    /// Operations in a multi
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..))]
    pub batch: u32,
    /// The node above all runs; made when it is not there
    #[arg(long, default_value = "/zk-bench")]
    pub prefix: String,
    /// The name of this run, a node under the prefix that must not be there yet [default: the time]
    #[arg(long)]
    pub run: Option<String>,
    /// The keys are there from an earlier fill: make none (get, children)
    #[arg(long)]
    pub reuse: bool,
    /// Leave out the read-back check of what was acknowledged
    #[arg(long)]
    pub no_verify: bool,
    /// Delete at the end what the run has made
    #[arg(long)]
    pub cleanup: bool,
    /// The session timeout asked for, ms
    #[arg(long, default_value_t = 30_000, value_parser = clap::value_parser!(i32).range(1..))]
    pub session_timeout: i32,
    /// Write the report to this file, as JSON
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
    /// The servers' processes on this machine: their CPU time and memory are reported, added up
    #[arg(long, value_name = "PID[,PID]", value_delimiter = ',')]
    pub server_pid: Vec<u32>,
    /// How long to wait for the servers to go idle, before and after the measured time (--server-pid)
    #[arg(long, default_value_t = 30.0, value_parser = seconds)]
    pub settle: f64,
}

fn seconds(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(value) if (0.0..=1e6).contains(&value) => Ok(value),
        _ => Err("not a number of seconds".into()),
    }
}

impl BenchArgs {
    /// The addresses of the hosts.
    ///
    /// # Errors
    /// When one has none.
    pub fn addresses(&self) -> Result<Vec<SocketAddr>, Error> {
        self.hosts
            .split(',')
            .map(|host| {
                let bad = |why: String| Error::Host(host.to_string(), why);
                host.to_socket_addrs()
                    .map_err(|error| bad(error.to_string()))?
                    .next()
                    .ok_or_else(|| bad("no address".into()))
            })
            .collect()
    }

    /// Checks what clap cannot.
    ///
    /// # Errors
    /// When arguments do not fit together.
    pub fn check(&self) -> Result<(), Error> {
        let usage = |what: &str| Err(Error::Usage(what.to_string()));
        let keys_each = self.keys / self.sessions;
        if !self.prefix.starts_with('/') || self.prefix.ends_with('/') {
            return usage("--prefix must begin with a slash, and not end with one");
        }
        if self
            .run
            .as_ref()
            .is_some_and(|run| run.is_empty() || run.contains('/'))
        {
            return usage("--run must be a name without a slash");
        }
        match self.workload {
            Workload::Set | Workload::Mixed if keys_each == 0 => {
                return usage("each session needs a key: more --keys or fewer --sessions");
            }
            Workload::Multi if keys_each < self.batch => {
                return usage("each session needs --batch keys: more --keys");
            }
            Workload::Children if self.parents == 0 => {
                return usage("children needs --parents");
            }
            Workload::WatchFanout if self.sessions < 2 => {
                return usage("watch-fanout needs a session that sets and one that watches");
            }
            Workload::Ephemeral
                if u64::from(self.sessions) * u64::from(self.outstanding)
                    >= u64::from(MAX_KEYS) =>
            {
                return usage("too many sessions times outstanding");
            }
            Workload::Create
            | Workload::Set
            | Workload::Get
            | Workload::Mixed
            | Workload::Children
            | Workload::Ephemeral
            | Workload::Multi
            | Workload::WatchFanout
            | Workload::Connect
            | Workload::Idle
            | Workload::Fill
            | Workload::Verify => {}
        }
        match self.rate {
            Some(rate) if !(rate > 0.0 && rate < 1e7) => return usage("--rate must be above 0"),
            Some(_)
                if !matches!(
                    self.workload,
                    Workload::Get | Workload::Set | Workload::Mixed
                ) =>
            {
                return usage("--rate goes with get, set and mixed");
            }
            _ => {}
        }
        if self.reuse && !matches!(self.workload, Workload::Get | Workload::Children) {
            return usage("--reuse goes with get and children");
        }
        if self.reuse && self.run.is_none() {
            return usage("--reuse needs the --run that made the keys");
        }
        if self.workload == Workload::Verify && self.run.is_none() {
            return usage("verify needs the --run that made the keys");
        }
        if self.size > 1 << 24 {
            return usage("--size is at most 16 MiB");
        }
        Ok(())
    }
}
