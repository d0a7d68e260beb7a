//! What is compared: the loads, and what each is to reach.

/// What the project wants of a load.
#[derive(Debug, Clone, Copy, Default)]
pub struct Targets {
    /// Throughput, at least so many times Java's.
    pub rate: Option<f64>,
    /// Server CPU for each operation, at most this share of Java's.
    pub cpu: Option<f64>,
    /// The 99th percentile, at most this share of Java's.
    pub p99: Option<f64>,
}

/// One load.
#[derive(Debug, Clone, Copy)]
pub struct Row {
    /// Its name for `--only`.
    pub name: &'static str,
    /// Its name in the table.
    pub title: &'static str,
    /// The generator's arguments, but for hosts, times and names.
    pub args: &'static [&'static str],
    /// What it is to reach.
    pub targets: Targets,
}

const NONE: Targets = Targets {
    rate: None,
    cpu: None,
    p99: None,
};

/// The loads, in the order in which they run on one server. `create` is the last: its znodes stay.
pub const ROWS: &[Row] = &[
    Row {
        name: "read1",
        title: "get, 1 session, 1 outstanding",
        args: &["--workload=get", "--sessions=1", "--outstanding=1"],
        targets: Targets {
            rate: Some(2.0),
            ..NONE
        },
    },
    Row {
        name: "get",
        title: "get, 8 sessions, 64 outstanding",
        args: &["--workload=get"],
        targets: Targets {
            rate: Some(3.0),
            cpu: Some(1.0 / 5.0),
            p99: Some(1.0 / 3.0),
        },
    },
    Row {
        name: "children",
        title: "getChildren of 100, 8 sessions, 64 outstanding",
        args: &["--workload=children"],
        targets: NONE,
    },
    Row {
        name: "mixed",
        title: "9 get : 1 set, 8 sessions, 64 outstanding",
        args: &["--workload=mixed"],
        targets: NONE,
    },
    Row {
        name: "write1",
        title: "set, 1 session, 1 outstanding",
        args: &["--workload=set", "--sessions=1", "--outstanding=1"],
        targets: Targets {
            rate: Some(1.0),
            ..NONE
        },
    },
    Row {
        name: "set",
        title: "set, 8 sessions, 64 outstanding",
        args: &["--workload=set"],
        targets: Targets {
            rate: Some(3.0),
            cpu: Some(1.0 / 4.0),
            p99: None,
        },
    },
    Row {
        name: "multi",
        title: "multi of 10 set, 8 sessions, 8 outstanding",
        args: &["--workload=multi", "--outstanding=8"],
        targets: NONE,
    },
    Row {
        name: "ephemeral",
        title: "create and delete of ephemerals, 8 sessions, 64 outstanding",
        args: &["--workload=ephemeral"],
        targets: NONE,
    },
    Row {
        name: "watch-fanout",
        title: "notifications, 8 znodes set, 100 sessions watch",
        args: &[
            "--workload=watch-fanout",
            "--sessions=101",
            "--outstanding=8",
        ],
        targets: NONE,
    },
    Row {
        name: "connect",
        title: "sessions opened and closed, 16 at a time",
        args: &["--workload=connect", "--sessions=16"],
        targets: NONE,
    },
    Row {
        name: "create",
        title: "create, 8 sessions, 64 outstanding",
        args: &["--workload=create"],
        targets: Targets {
            rate: Some(3.0),
            cpu: Some(1.0 / 4.0),
            p99: None,
        },
    },
];

/// One figure that is not of a load.
#[derive(Debug, Clone, Copy)]
pub struct Figure {
    /// Its key among the samples.
    pub name: &'static str,
    /// Its name in the table.
    pub title: &'static str,
    /// Its unit.
    pub unit: &'static str,
    /// At most this share of Java's.
    pub target: Option<f64>,
}

/// Those of the filled tree and of idle sessions.
pub const FIGURES: &[Figure] = &[
    Figure {
        name: "empty_mib",
        title: "resident, empty server",
        unit: "MiB",
        target: None,
    },
    Figure {
        name: "fill_rate",
        title: "creates a second while filling",
        unit: "/s",
        target: None,
    },
    Figure {
        name: "fill_cpu",
        title: "server CPU for each create while filling",
        unit: "us",
        target: None,
    },
    Figure {
        name: "filled_mib",
        title: "resident after filling",
        unit: "MiB",
        target: Some(1.0 / 4.0),
    },
    Figure {
        name: "stop_s",
        title: "SIGTERM to the process's end",
        unit: "s",
        target: None,
    },
    Figure {
        name: "first_read_s",
        title: "start of the process to the first read answered to a new session",
        unit: "s",
        target: Some(1.0 / 10.0),
    },
    Figure {
        name: "restarted_mib",
        title: "resident after the restart, idle",
        unit: "MiB",
        target: Some(1.0 / 4.0),
    },
    Figure {
        name: "read_back_mib",
        title: "resident after every znode was read once",
        unit: "MiB",
        target: Some(1.0 / 4.0),
    },
    Figure {
        name: "idle_mib",
        title: "growth by idle sessions that ping",
        unit: "MiB",
        target: Some(1.0 / 5.0),
    },
    Figure {
        name: "idle_cpu",
        title: "server CPU for each ping",
        unit: "us",
        target: None,
    },
];
