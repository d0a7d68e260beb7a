//! How quickly a server does what can wait, so that what cannot has processor and disk.
//!
//! Owns: the measure of how much the log takes of late ([`Load`]), when the next piece of something
//! long may be begun beside it ([`Pace`]), and the pauses of work that nothing tells how loaded the
//! machine is ([`Share`], [`Gentle`]). Does not know: what is long, sockets.
//!
//! Priorities of threads would not do: whoever works holds locks now and then that others wait for,
//! and would be kept from letting them go.
//!
//! Invariants: what is paced gets several times as much done as the log is given, so that it comes
//! to an end whatever the load; a server that takes no writes holds nothing back; a pause is a
//! bounded multiple of the work before it.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use zk_disk::files::{FileHandle, Files};

use crate::limits::{
    GENTLE_READ, LOAD_QUIET, LOAD_WINDOW, PACE_FACTOR, PACE_FLOOR, RECORD_WORK, SHARE_PAUSE,
    SHARE_PAUSE_MOST,
};

/// What a number of records of so many bytes in all costs whoever takes them, in bytes: a record
/// costs something even if it is short.
pub fn work(records: u64, bytes: u64) -> u64 {
    bytes + records * RECORD_WORK
}

#[derive(Debug, Default)]
struct Recent {
    /// When the window was begun, and what was logged in it.
    window: Option<(Instant, u64)>,
    /// When something was logged last.
    last: Option<Instant>,
    /// Work a second in the window before.
    rate: u64,
}

/// What the log of this server has taken of late.
#[derive(Debug, Default)]
pub struct Load {
    recent: Mutex<Recent>,
}

impl Load {
    /// The log has taken some [`work`].
    pub fn add(&self, work: u64, now: Instant) {
        let recent = &mut *self.recent.lock();
        let quiet = recent
            .last
            .is_none_or(|last| now.saturating_duration_since(last) >= LOAD_QUIET);
        if quiet {
            recent.window = None;
            recent.rate = 0;
        }
        recent.last = Some(now);
        let (begin, before) = recent.window.unwrap_or((now, 0));
        let sum = before + work;
        let took = now.saturating_duration_since(begin);
        if took < LOAD_WINDOW {
            recent.window = Some((begin, sum));
        } else {
            recent.rate = per_second(sum, took);
            recent.window = Some((now, 0));
        }
    }

    /// Work a second; `None` where nothing was logged for some time.
    pub fn rate(&self, now: Instant) -> Option<u64> {
        let recent = self.recent.lock();
        let last = recent.last?;
        (now.saturating_duration_since(last) < LOAD_QUIET).then_some(recent.rate)
    }
}

fn per_second(work: u64, took: Duration) -> u64 {
    (work as f64 / took.as_secs_f64()) as u64
}

/// The pace of one thing that takes long.
#[derive(Debug)]
pub struct Pace {
    load: Arc<Load>,
    due: Option<Instant>,
}

impl Pace {
    /// Beside this load.
    pub fn new(load: Arc<Load>) -> Pace {
        Pace { load, due: None }
    }

    /// Some work was done; says when the next may be begun, `None` for at once.
    pub fn done(&mut self, work: u64, now: Instant) -> Option<Instant> {
        let Some(rate) = self.load.rate(now) else {
            self.due = None;
            return None;
        };
        let allowed = rate.saturating_mul(PACE_FACTOR).max(PACE_FLOOR);
        let took = Duration::from_secs_f64(work as f64 / allowed as f64);
        let due = self.due.map_or(now, |due| due.max(now)) + took;
        self.due = Some(due);
        Some(due)
    }
}

/// Work in short stretches, with a pause behind each.
#[derive(Debug)]
pub struct Share {
    begin: Instant,
}

impl Share {
    /// The first stretch begins.
    pub fn begin() -> Share {
        Share {
            begin: Instant::now(),
        }
    }

    /// A stretch has ended: how long the pause behind it is.
    pub fn pause(&self) -> Duration {
        (self.begin.elapsed() * SHARE_PAUSE).min(SHARE_PAUSE_MOST)
    }

    /// A stretch has ended: pauses, then the next one begins. There is nothing to be waited for but
    /// time.
    pub fn rest(&mut self) {
        std::thread::sleep(self.pause());
        self.begin = Instant::now();
    }
}

/// The disk, for a start that others on the machine are not to suffer from: behind each large read
/// the work on what it brought is followed by a pause.
#[derive(Debug)]
pub struct Gentle {
    files: Arc<dyn Files>,
    share: Arc<Mutex<Share>>,
}

impl Gentle {
    /// Around the disk.
    pub fn new(files: Arc<dyn Files>) -> Gentle {
        Gentle {
            files,
            share: Arc::new(Mutex::new(Share::begin())),
        }
    }

    fn gentle(&self, handle: Box<dyn FileHandle>) -> Box<dyn FileHandle> {
        Box::new(GentleHandle {
            handle,
            share: self.share.clone(),
        })
    }
}

#[derive(Debug)]
struct GentleHandle {
    handle: Box<dyn FileHandle>,
    share: Arc<Mutex<Share>>,
}

impl FileHandle for GentleHandle {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        if buf.len() >= GENTLE_READ {
            self.share.lock().rest();
        }
        self.handle.read_at(buf, offset)
    }

    fn write_at(&mut self, buf: &[u8], offset: u64) -> io::Result<()> {
        self.handle.write_at(buf, offset)
    }

    fn size(&self) -> io::Result<u64> {
        self.handle.size()
    }

    fn set_size(&mut self, size: u64) -> io::Result<()> {
        self.handle.set_size(size)
    }

    fn preallocate(&mut self, size: u64) -> io::Result<()> {
        self.handle.preallocate(size)
    }

    fn sync_data(&mut self) -> io::Result<()> {
        self.handle.sync_data()
    }
}

impl Files for Gentle {
    fn create(&self, path: &Path) -> io::Result<Box<dyn FileHandle>> {
        self.files.create(path).map(|it| self.gentle(it))
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn FileHandle>> {
        self.files.open(path).map(|it| self.gentle(it))
    }

    fn open_read(&self, path: &Path) -> io::Result<Box<dyn FileHandle>> {
        self.files.open_read(path).map(|it| self.gentle(it))
    }

    fn create_dir(&self, path: &Path) -> io::Result<()> {
        self.files.create_dir(path)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.files.rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.files.remove(path)
    }

    fn remove_tree(&self, dir: &Path) -> io::Result<()> {
        self.files.remove_tree(dir)
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        self.files.list(dir)
    }

    fn exists(&self, path: &Path) -> io::Result<bool> {
        self.files.exists(path)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        self.files.sync_dir(dir)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    /// A load of so much work a second, for two seconds; returns its end.
    fn busy(load: &Load, rate: u64, begin: Instant) -> Instant {
        let mut now = begin;
        for _ in 0..200 {
            now += SECOND / 100;
            load.add(rate / 100, now);
        }
        now
    }

    #[test]
    fn a_quiet_server_holds_nothing_back() {
        let load = Arc::new(Load::default());
        let begin = Instant::now();
        let mut pace = Pace::new(load.clone());
        assert_eq!(pace.done(1 << 40, begin), None);
        let end = busy(&load, 1_000, begin);
        assert!(pace.done(1 << 20, end).is_some());
        // No write for some time.
        assert_eq!(pace.done(1 << 40, end + LOAD_QUIET), None);
    }

    #[test]
    fn beside_few_writes_there_is_the_floor() {
        let load = Arc::new(Load::default());
        let end = busy(&load, 1_000, Instant::now());
        let mut pace = Pace::new(load);
        let mut due = end;
        for _ in 0..16 {
            due = pace.done(PACE_FLOOR / 32, end).expect("a time");
        }
        let took = due - end;
        assert!(took.abs_diff(SECOND / 2) < SECOND / 100, "{took:?}");
        // Time that has passed is not made up for.
        let late = end + SECOND / 2 + SECOND / 4;
        let due = pace.done(PACE_FLOOR / 10, late).expect("a time");
        assert!((due - late).abs_diff(SECOND / 10) < SECOND / 100);
    }

    #[test]
    fn beside_many_writes_it_is_quicker_than_they_are() {
        let load = Arc::new(Load::default());
        let rate = PACE_FLOOR;
        let end = busy(&load, rate, Instant::now());
        let measured = load.rate(end).expect("a load");
        assert!(measured.abs_diff(rate) < rate / 10, "{measured}");
        let mut pace = Pace::new(load);
        let due = pace.done(rate, end).expect("a time");
        let quicker = SECOND / PACE_FACTOR as u32;
        assert!((due - end).abs_diff(quicker) < quicker / 5);
    }

    #[test]
    fn a_load_that_begins_again_is_measured_anew() {
        let load = Load::default();
        let end = busy(&load, 1 << 30, Instant::now());
        assert!(load.rate(end) > Some(1 << 29));
        let again = end + 10 * SECOND;
        load.add(1, again);
        assert_eq!(load.rate(again), Some(0));
    }
}
