//! The loads that are put on three servers, and what each is to reach.

use crate::rows::{Row, Targets};

const WRITES: Targets = Targets {
    rate: Some(3.0),
    cpu: Some(1.0 / 4.0),
    p99: Some(1.0 / 3.0),
};

/// In the order in which they run on one ensemble; the sessions go to its servers in turn. The
/// znodes of `create` stay.
pub const ROWS: &[Row] = &[
    Row {
        name: "mixed",
        title: "9 get : 1 set, 8 sessions, 64 outstanding",
        args: &["--workload=mixed"],
        targets: Targets {
            cpu: None,
            ..WRITES
        },
    },
    Row {
        name: "set",
        title: "set, 8 sessions, 64 outstanding",
        args: &["--workload=set"],
        targets: WRITES,
    },
    Row {
        name: "create",
        title: "create, 8 sessions, 64 outstanding",
        args: &["--workload=create"],
        targets: WRITES,
    },
];
