//! What processes have used: CPU time and memory, from `/proc`.
//!
//! Owns: reading `/proc/PID/stat` and `/proc/PID/status`.
//!
//! Does not know: which server it is, or what it did with the time.

use std::fs;
use std::io::{self, ErrorKind};
use std::time::{Duration, Instant};

use crate::error::Error;
use crate::limits::{SETTLE_POLL, SETTLE_SHARE};

/// A process to be looked at.
#[derive(Debug, Clone, Copy)]
pub struct Process {
    pid: u32,
}

/// Memory of a process, KiB.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Memory {
    /// Resident now.
    pub resident: u64,
    /// The most that was ever resident.
    pub peak: u64,
}

impl Process {
    /// The process with this id.
    ///
    /// # Errors
    /// When there is none.
    pub fn new(pid: u32) -> Result<Self, Error> {
        let process = Self { pid };
        process.cpu()?;
        Ok(process)
    }

    /// This process.
    pub fn this() -> Self {
        Self {
            pid: std::process::id(),
        }
    }

    fn read(self, file: &str) -> Result<String, Error> {
        fs::read_to_string(format!("/proc/{}/{file}", self.pid))
            .map_err(|error| Error::Process(self.pid, error))
    }

    /// CPU time used so far by all its threads, in user and system mode.
    ///
    /// # Errors
    /// When the process is gone.
    pub fn cpu(self) -> Result<Duration, Error> {
        let stat = self.read("stat")?;
        let ticks = cpu_ticks(&stat).ok_or_else(|| self.malformed("stat"))?;
        let hertz = rustix::param::clock_ticks_per_second();
        Ok(Duration::from_nanos(ticks * 1_000_000_000 / hertz))
    }

    /// Its memory.
    ///
    /// # Errors
    /// When the process is gone.
    pub fn memory(self) -> Result<Memory, Error> {
        let status = self.read("status")?;
        let field = |name| kilobytes(&status, name).ok_or_else(|| self.malformed("status"));
        Ok(Memory {
            resident: field("VmRSS:")?,
            peak: field("VmHWM:")?,
        })
    }

    fn malformed(self, file: &str) -> Error {
        // A process that has ended and was not waited for has no memory fields.
        let what = format!("{file} has not the fields of a running process");
        Error::Process(self.pid, io::Error::new(ErrorKind::InvalidData, what))
    }
}

fn cpu_ticks(stat: &str) -> Option<u64> {
    // The name in parentheses may hold anything; utime and stime are fields 14 and 15 of the line.
    let (_, fields) = stat.rsplit_once(") ")?;
    let mut fields = fields.split(' ').skip(11);
    let user: u64 = fields.next()?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    Some(user + system)
}

fn kilobytes(status: &str, name: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix(name))?;
    line.trim().strip_suffix("kB")?.trim().parse().ok()
}

/// CPU time used so far by all of them together.
///
/// # Errors
/// When one is gone.
pub fn cpu_of(processes: &[Process]) -> Result<Duration, Error> {
    processes.iter().map(|process| process.cpu()).sum()
}

/// Memory of all of them together.
///
/// # Errors
/// When one is gone.
pub fn memory_of(processes: &[Process]) -> Result<Memory, Error> {
    processes
        .iter()
        .try_fold(Memory::default(), |sum, process| {
            let memory = process.memory()?;
            Ok(Memory {
                resident: sum.resident + memory.resident,
                peak: sum.peak + memory.peak,
            })
        })
}

/// Waits until processes are idle over a whole window. `rest` lets time go by, and is called again
/// and again. Gives whether they went idle before `bound`.
///
/// # Errors
/// When one is gone, or those of `rest`.
pub fn settle(
    processes: &[Process],
    window: Duration,
    bound: Duration,
    mut rest: impl FnMut(Duration) -> Result<(), Error>,
) -> Result<bool, Error> {
    let start = Instant::now();
    let share = SETTLE_SHARE * processes.len() as f64;
    let mut samples = vec![(start, cpu_of(processes)?)];
    loop {
        rest(SETTLE_POLL)?;
        let now = Instant::now();
        let used = cpu_of(processes)?;
        samples.push((now, used));
        // The newest sample that is a window old; what is older is of no more use.
        if let Some(old) = samples.iter().rposition(|(at, _)| now - *at >= window) {
            let (at, before) = samples[old];
            if (used - before).as_secs_f64() < share * (now - at).as_secs_f64() {
                return Ok(true);
            }
            samples.drain(..old);
        }
        if now - start >= bound {
            return Ok(false);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_of_proc() {
        let stat = "12 (a b) c) S 1 2 3 4 5 6 7 8 9 10 111 222 0 0 20 0 1";
        assert_eq!(cpu_ticks(stat), Some(333));
        assert_eq!(cpu_ticks("nonsense"), None);
        let status = "Name:\tx\nVmHWM:\t   900 kB\nVmRSS:\t  64 kB\n";
        assert_eq!(kilobytes(status, "VmRSS:"), Some(64));
        assert_eq!(kilobytes(status, "VmSwap:"), None);
    }

    #[test]
    fn this_process_uses_memory_and_time() {
        let this = Process::this();
        assert!(this.memory().unwrap().resident > 0);
        this.cpu().unwrap();
        assert!(Process::new(u32::MAX).is_err());
        let two = memory_of(&[this, this]).unwrap();
        assert!(two.resident > this.memory().unwrap().resident);
        assert!(cpu_of(&[this, this]).unwrap() >= this.cpu().unwrap());
    }
}
