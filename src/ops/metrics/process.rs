//! What the system knows about this process, from /proc. Where /proc is missing, a value is
//! missing.

use std::fs;

/// Memory in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Memory {
    /// Of the machine.
    pub total: Option<u64>,
    /// Of the machine, not in use.
    pub available: Option<u64>,
    /// Of this process, resident.
    pub resident: Option<u64>,
    /// Of this process, mapped.
    pub mapped: Option<u64>,
}

impl Memory {
    /// Reads it.
    pub fn read() -> Memory {
        let machine = fs::read_to_string("/proc/meminfo").unwrap_or_default();
        let own = fs::read_to_string("/proc/self/status").unwrap_or_default();
        Memory {
            total: kib_field(&machine, "MemTotal:"),
            available: kib_field(&machine, "MemAvailable:"),
            resident: kib_field(&own, "VmRSS:"),
            mapped: kib_field(&own, "VmSize:"),
        }
    }
}

fn kib_field(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_ascii_whitespace()
        .next()?
        .parse::<u64>()
        .ok()
        .map(|kib| kib * 1024)
}

/// File descriptors of this process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FileDescriptors {
    /// Open ones.
    pub open: Option<u64>,
    /// Limit of open ones; `u64::MAX` without a limit.
    pub max: Option<u64>,
}

impl FileDescriptors {
    /// Reads them.
    pub fn read() -> FileDescriptors {
        // The listing itself holds one descriptor open.
        let open = fs::read_dir("/proc/self/fd")
            .ok()
            .map(|list| list.count() as u64 - 1);
        let limits = fs::read_to_string("/proc/self/limits").unwrap_or_default();
        let line = limits
            .lines()
            .find_map(|line| line.strip_prefix("Max open files"));
        let soft = line.and_then(|line| line.split_ascii_whitespace().next());
        let max = soft.and_then(|soft| match soft {
            "unlimited" => Some(u64::MAX),
            number => number.parse().ok(),
        });
        FileDescriptors { open, max }
    }
}

/// Ticks of a second in /proc, fixed by Linux for what user space sees.
const TICKS_PER_SECOND: f64 = 100.0;

/// Times of this process in seconds.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Times {
    /// CPU time used.
    pub cpu: Option<f64>,
    /// Start, since 1970.
    pub start: Option<f64>,
}

impl Times {
    /// Reads them.
    pub fn read() -> Times {
        let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
        // The name of the command is in brackets and may hold anything.
        let fields: Vec<&str> = match stat.rsplit_once(')') {
            Some((_, rest)) => rest.split_ascii_whitespace().collect(),
            None => return Times::default(),
        };
        let ticks = |field: usize| fields.get(field - 3)?.parse::<f64>().ok();
        let machine = fs::read_to_string("/proc/stat").unwrap_or_default();
        let boot = machine.lines().find_map(|line| line.strip_prefix("btime "));
        let boot = boot.and_then(|seconds| seconds.trim().parse::<f64>().ok());
        Times {
            cpu: ticks(14)
                .zip(ticks(15))
                .map(|(user, system)| (user + system) / TICKS_PER_SECOND),
            start: ticks(22)
                .zip(boot)
                .map(|(ticks, boot)| boot + ticks / TICKS_PER_SECOND),
        }
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn proc_is_understood() {
        let memory = Memory::read();
        assert!(memory.resident.unwrap() <= memory.mapped.unwrap());
        assert!(memory.available.unwrap() <= memory.total.unwrap());
        let before = FileDescriptors::read();
        let file = fs::File::open("/proc/self/stat").unwrap();
        assert!(before.open.unwrap() >= 1 && before.max.unwrap() > before.open.unwrap());
        drop(file);
        let times = Times::read();
        assert!(times.cpu.unwrap() >= 0.0);
        let now = std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .unwrap();
        let age = now.as_secs_f64() - times.start.unwrap();
        assert!((-2.0..86_400.0).contains(&age), "{age}");
    }
}
