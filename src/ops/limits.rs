//! Every limit of this crate.

/// Largest configuration file read, bytes.
pub const CONFIG_FILE_MAX: u64 = 1 << 20;

/// Most keys of one summary or counter set. Keys come from clients (top path elements); samples of
/// further keys are gathered under [`SET_OVERFLOW_KEY`]. A key of a summary set takes 10 KB with
/// Prometheus, a few hundred bytes without.
pub const SET_KEYS_MAX: usize = 1_000;

/// The key under which a full set gathers the rest. No top path element can be named so: it holds
/// a slash.
pub const SET_OVERFLOW_KEY: &str = "/other";

/// Shards of a counter or summary; a thread keeps to one.
pub const METRIC_SHARDS: usize = 4;
