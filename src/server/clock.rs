//! The two clocks of the process. The only place that reads them for the core.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

use zk_core::Now;

/// Monotonic time since the machine's boot, as far as it can be known, and the wall clock.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    start: Instant,
    start_ms: i64,
}

impl Default for Clock {
    fn default() -> Self {
        Clock::new()
    }
}

impl Clock {
    /// Starts at the machine's uptime, from which session ids are made: ids of an earlier run
    /// must not come again, and a server that restarts quickly has only the clock for that.
    pub fn new() -> Clock {
        let uptime = std::fs::read_to_string("/proc/uptime")
            .ok()
            .and_then(|text| {
                let seconds: f64 = text.split(' ').next()?.parse().ok()?;
                Some((seconds * 1000.0) as i64)
            });
        Clock {
            start: Instant::now(),
            start_ms: uptime.unwrap_or(0),
        }
    }

    /// Monotonic milliseconds.
    pub fn mono_ms(&self) -> i64 {
        self.start_ms + self.start.elapsed().as_millis() as i64
    }

    /// Milliseconds since 1970.
    pub fn wall_ms(&self) -> i64 {
        SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |time| time.as_millis() as i64)
    }

    /// Both.
    pub fn now(&self) -> Now {
        Now {
            mono_ms: self.mono_ms(),
            wall_ms: self.wall_ms(),
        }
    }
}
