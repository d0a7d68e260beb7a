//! Quotas: which subtree counts, what is counted, what is refused.

use std::collections::BTreeMap;
use std::rc::Rc;

use super::{State, Znode};

pub const LIMITS: &str = "zookeeper_limits";
pub const STATS: &str = "zookeeper_stats";
pub const QUOTA: &str = "/zookeeper/quota";

/// A text of limits or usage.
pub type Numbers = BTreeMap<String, i64>;

/// Reads a text; `None` where Java throws.
pub fn parse(data: Option<&[u8]>) -> Option<Numbers> {
    let text = std::str::from_utf8(data?).ok()?;
    let mut numbers = Numbers::new();
    for part in text.split([',', ';']).filter(|part| !part.is_empty()) {
        let mut halves = part.split('=');
        let key = halves.next()?;
        let value = halves.next()?;
        numbers.insert(key.into(), value.parse().ok()?);
    }
    Some(numbers)
}

fn get(numbers: &Numbers, key: &str) -> i64 {
    numbers.get(key).copied().unwrap_or(-1)
}

fn text(numbers: &Numbers) -> String {
    let mut out = format!(
        "count={},bytes={}",
        get(numbers, "count"),
        get(numbers, "bytes")
    );
    let more: Vec<String> = numbers
        .iter()
        .filter(|(key, _)| *key != "count" && *key != "bytes")
        .map(|(key, value)| format!(";{key}={value}"))
        .collect();
    if !more.is_empty() {
        out.push('=');
        out.push_str(&more.concat());
    }
    out
}

/// The deepest subtree with limits around `path`.
fn subject(state: &State, path: &str) -> Option<String> {
    let mut at = path;
    while at.len() > 1 {
        if state.get(&format!("{QUOTA}{at}/{LIMITS}")).is_some() {
            return Some(at.into());
        }
        at = super::parent(at)?;
    }
    None
}

/// Counts a change of so many nodes and bytes at `path`.
pub fn count(state: &mut State, path: &str, nodes: i64, bytes: i64) {
    let Some(subject) = subject(state, path) else {
        return;
    };
    let stats = format!("{QUOTA}{subject}/{STATS}");
    let Some(node) = state.get(&stats) else {
        return;
    };
    let Some(mut usage) = parse(node.data.as_deref()) else {
        return;
    };
    let (count, used) = (get(&usage, "count"), get(&usage, "bytes"));
    usage.insert("count".into(), count + nodes);
    usage.insert("bytes".into(), used + bytes);
    overwrite(state, &stats, &usage);
}

fn overwrite(state: &mut State, path: &str, usage: &Numbers) {
    if let Some(node) = state.get(path) {
        let node = Znode {
            data: Some(Rc::from(text(usage).as_bytes())),
            ..Znode::clone(node)
        };
        state.put(path, node);
    }
}

/// Overwrites a usage node that has just been created with what is there.
pub fn recount(state: &mut State, path: &str) {
    let Some(parent) = super::parent(path) else {
        return;
    };
    let Some(subject) = parent.strip_prefix(QUOTA).filter(|s| s.starts_with('/')) else {
        return;
    };
    if path.rsplit('/').next() != Some(STATS) {
        return;
    }
    let below = state.subtree(subject);
    let bytes = below
        .iter()
        .filter_map(|path| state.get(path))
        .map(|node| node.data_len() as i64)
        .sum();
    let usage = Numbers::from([
        ("count".into(), below.len() as i64),
        ("bytes".into(), bytes),
    ]);
    overwrite(state, path, &usage);
}

/// Whether a write that adds so many nodes and bytes is refused, by the usage as applied.
///
/// # Errors
/// The code of the refusal.
pub fn check(applied: &State, path: &str, nodes: i64, bytes: i64) -> Result<(), i32> {
    let Some(subject) = subject(applied, path) else {
        return Ok(());
    };
    let read = |name: &str| -> Result<Option<Numbers>, i32> {
        match applied.get(&format!("{QUOTA}{subject}/{name}")) {
            Some(node) => parse(node.data.as_deref()).map(Some).ok_or(-5),
            None => Ok(None),
        }
    };
    let Some(limits) = read(LIMITS)? else {
        return Ok(());
    };
    let has = |soft: &str, hard: &str| get(&limits, soft) > -1 || get(&limits, hard) > -1;
    let count_nodes = nodes != 0 && has("count", "countHardLimit");
    let count_bytes = bytes != 0 && has("bytes", "byteHardLimit");
    if !count_nodes && !count_bytes {
        return Ok(());
    }
    let Some(usage) = read(STATS)? else {
        return Ok(());
    };
    let over = |hard: &str, used: &str, more: i64| {
        let hard = get(&limits, hard);
        hard > -1 && get(&usage, used) + more > hard
    };
    if (count_nodes && over("countHardLimit", "count", nodes))
        || (count_bytes && over("byteHardLimit", "bytes", bytes))
    {
        return Err(-125);
    }
    Ok(())
}
