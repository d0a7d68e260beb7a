//! Writes at a fixed rate on one server, and the latency of each, so that any stretch of time can be
//! looked at afterwards.
//!
//! Owns: the sessions, the pace, what was sent and acknowledged of each znode.
//!
//! Does not know: what else happens to the ensemble meanwhile.
//!
//! Invariants: a write for which a session was free counts from its sending, one that had to wait
//! for a session from the time it was due; a znode is written by one session only.

use std::collections::{HashMap, VecDeque};
use std::io::{self, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use zk_wire::OpCode;
use zk_wire::client::{PathRequest, PathWatchRequest, SetDataRequest};

use super::failover::data;
use super::pipe::{Pipe, invalid};
use crate::client::{Session, request};

/// Sessions that write.
const SESSIONS: u32 = 8;
/// Writes in flight for each.
const OUTSTANDING: usize = 64;
/// When every session is full: until the next look.
const FULL_PAUSE: Duration = Duration::from_micros(200);
/// How long the last replies may take.
const DRAIN: Duration = Duration::from_secs(60);
/// Znodes read back at most.
const READ_BACK: usize = 20_000;

/// The tree that is written to: as the generator's `fill` makes it.
#[derive(Debug, Clone)]
pub struct Tree {
    /// The node above the parents.
    pub root: String,
    /// Znodes.
    pub keys: u32,
    /// Their parents.
    pub parents: u32,
}

impl Tree {
    fn path(&self, key: u32) -> String {
        format!("{}/p{:06}/k{key:09}", self.root, key % self.parents)
    }
}

/// Latency of the writes of a stretch of time, microseconds.
#[derive(Debug, Clone, Copy)]
pub struct Window {
    /// Writes.
    pub count: usize,
    /// Half were faster.
    pub p50: f64,
    /// 99 of 100 were faster.
    pub p99: f64,
    /// The slowest.
    pub max: f64,
}

/// One write: when it began, and when it was acknowledged; nanoseconds.
type Sample = (u64, u64);

#[derive(Debug, Clone, Copy)]
struct Sent {
    xid: i32,
    start: u64,
    key: u32,
    write: u64,
}

#[derive(Debug)]
struct Shared {
    begin: Instant,
    stop: AtomicBool,
    sent: AtomicU64,
    /// For each session what is in flight.
    pending: Vec<Mutex<VecDeque<Sent>>>,
}

impl Shared {
    fn now(&self) -> u64 {
        self.begin.elapsed().as_nanos() as u64
    }

    fn pending(&self, session: usize) -> MutexGuard<'_, VecDeque<Sent>> {
        let lock = self.pending[session].lock();
        lock.unwrap_or_else(PoisonError::into_inner)
    }
}

#[derive(Debug, Default)]
struct Heard {
    samples: Vec<Sample>,
    /// For each znode the last write that was acknowledged.
    acked: HashMap<u32, u64>,
}

/// A load that goes on.
#[derive(Debug)]
pub struct Paced {
    shared: Arc<Shared>,
    pace: JoinHandle<io::Result<()>>,
    readers: Vec<JoinHandle<io::Result<Heard>>>,
}

/// A load that has ended.
#[derive(Debug)]
pub struct Done {
    samples: Vec<Sample>,
    acked: HashMap<u32, u64>,
}

impl Paced {
    /// Begins to write to znodes of a tree by sessions of this server, so many a second in all.
    ///
    /// # Errors
    /// When a session cannot be opened.
    pub fn begin(server: SocketAddr, tree: &Tree, rate: f64) -> Result<Self, String> {
        let shared = Arc::new(Shared {
            begin: Instant::now(),
            stop: AtomicBool::new(false),
            sent: AtomicU64::new(0),
            pending: (0..SESSIONS).map(|_| Mutex::default()).collect(),
        });
        let mut writers = Vec::new();
        let mut readers = Vec::new();
        for session in 0..SESSIONS as usize {
            let pipe = Pipe::open(server, &mut Session::default())
                .map_err(|why| format!("a session on {server}: {why}"))?;
            writers.push(pipe.writer().map_err(|error| error.to_string())?);
            let shared = Arc::clone(&shared);
            readers.push(std::thread::spawn(move || hear(&shared, session, pipe)));
        }
        let (pacer, tree) = (Arc::clone(&shared), tree.clone());
        let pace = std::thread::spawn(move || pace(&pacer, writers, &tree, rate));
        Ok(Self {
            shared,
            pace,
            readers,
        })
    }

    /// The time, as windows take it.
    pub fn now(&self) -> u64 {
        self.shared.now()
    }

    /// An instant, as windows take it.
    pub fn at(&self, instant: Instant) -> u64 {
        instant.duration_since(self.shared.begin).as_nanos() as u64
    }

    /// Writes sent so far.
    pub fn sent(&self) -> u64 {
        self.shared.sent.load(Ordering::Relaxed)
    }

    /// Ends it, with all replies.
    ///
    /// # Errors
    /// When a connection was lost, a write failed, or a reply did not come.
    pub fn end(self) -> Result<Done, String> {
        self.shared.stop.store(true, Ordering::SeqCst);
        let lost = |_| "a thread of the load has panicked".to_string();
        let failed = |error: io::Error| format!("writes at a fixed rate: {error}");
        self.pace.join().map_err(lost)?.map_err(failed)?;
        let mut done = Done {
            samples: Vec::new(),
            acked: HashMap::new(),
        };
        for reader in self.readers {
            let heard = reader.join().map_err(lost)?.map_err(failed)?;
            done.samples.extend(heard.samples);
            done.acked.extend(heard.acked);
        }
        Ok(done)
    }
}

fn pace(shared: &Shared, mut writers: Vec<TcpStream>, tree: &Tree, rate: f64) -> io::Result<()> {
    let interval = 1e9 / rate;
    let mut due = shared.now() as f64;
    let mut late = false;
    let mut turn = 0;
    let mut write = 0;
    let mut random = fastrand::Rng::with_seed(1);
    while !shared.stop.load(Ordering::Relaxed) {
        let now = shared.now();
        if (now as f64) < due {
            // Until a write is due there is nothing else to do.
            std::thread::sleep(Duration::from_nanos((due - now as f64) as u64));
            continue;
        }
        let free = (0..writers.len())
            .map(|step| (turn + step) % writers.len())
            .find(|&session| shared.pending(session).len() < OUTSTANDING);
        let Some(session) = free else {
            late = true;
            std::thread::sleep(FULL_PAUSE);
            continue;
        };
        write += 1;
        let key = random.u32(0..tree.keys / SESSIONS) * SESSIONS + session as u32;
        let data = data(write);
        let body = SetDataRequest {
            path: Some(tree.path(key).into()),
            data: Some(&data),
            version: -1,
        };
        // Writes without end are not what this is for.
        let xid = i32::try_from(write).map_err(|_| invalid("too many writes"))?;
        let frame = request(xid, OpCode::SetData, &body);
        let start = if late { due as u64 } else { now };
        let sent = Sent {
            xid,
            start,
            key,
            write,
        };
        shared.pending(session).push_back(sent);
        shared.sent.fetch_add(1, Ordering::Relaxed);
        writers[session].write_all(&frame)?;
        turn = session + 1;
        due += interval;
        // Once the time has been caught up with, writes count from their sending again.
        late = late && due <= now as f64;
    }
    Ok(())
}

fn hear(shared: &Shared, session: usize, mut pipe: Pipe) -> io::Result<Heard> {
    let mut heard = Heard::default();
    let mut stopping = None;
    loop {
        pipe.receive(|reply| {
            let now = shared.now();
            let Some(sent) = shared.pending(session).pop_front() else {
                return Err(invalid("a reply to no request"));
            };
            if sent.xid != reply.header.xid {
                return Err(invalid("a reply to another request"));
            }
            if reply.header.err != 0 {
                return Err(invalid(&format!("a write failed: {}", reply.header.err)));
            }
            heard.samples.push((sent.start, now));
            heard.acked.insert(sent.key, sent.write);
            Ok(())
        })?;
        if shared.stop.load(Ordering::SeqCst) {
            if shared.pending(session).is_empty() {
                return Ok(heard);
            }
            let since = *stopping.get_or_insert_with(Instant::now);
            if since.elapsed() > DRAIN {
                return Err(io::ErrorKind::TimedOut.into());
            }
        }
    }
}

impl Done {
    /// The writes begun between two times.
    pub fn window(&self, from: u64, to: u64) -> Option<Window> {
        let begun = self
            .samples
            .iter()
            .filter(|(start, _)| (from..to).contains(start));
        let mut took: Vec<u64> = begun
            .map(|(start, end)| end.saturating_sub(*start))
            .collect();
        took.sort_unstable();
        let at = |share: f64| {
            let index = (took.len() as f64 * share).ceil() as usize;
            Some(*took.get(index.saturating_sub(1))? as f64 / 1000.0)
        };
        Some(Window {
            count: took.len(),
            p50: at(0.5)?,
            p99: at(0.99)?,
            max: at(1.0)?,
        })
    }

    /// Reads what was written from another server; gives how many znodes.
    ///
    /// # Errors
    /// When one has other data than the last write that was acknowledged.
    pub fn read_back(&self, server: SocketAddr, tree: &Tree) -> Result<usize, String> {
        let failed = |error: io::Error| format!("read-back: {error}");
        let mut session = Session::default();
        let mut pipe = Pipe::open(server, &mut session).map_err(|why| format!("{why}"))?;
        let sync = PathRequest {
            path: Some(tree.root.clone().into()),
        };
        pipe.send(&request(0, OpCode::Sync, &sync))
            .map_err(failed)?;
        let mut unread: Vec<_> = self.acked.iter().take(READ_BACK).collect();
        let count = unread.len();
        let mut asked = VecDeque::new();
        let (mut synced, mut wrong) = (false, 0);
        let mut heard = Instant::now();
        while !(synced && asked.is_empty() && unread.is_empty()) {
            let mut out = Vec::new();
            while asked.len() < OUTSTANDING
                && let Some((key, write)) = unread.pop()
            {
                let body = PathWatchRequest {
                    path: Some(tree.path(*key).into()),
                    watch: false,
                };
                out.extend(request(1, OpCode::GetData, &body));
                asked.push_back(*write);
            }
            pipe.send(&out).map_err(failed)?;
            let came = pipe
                .receive(|reply| {
                    if !std::mem::replace(&mut synced, true) {
                        return Ok(());
                    }
                    let write = asked.pop_front().map(u64::to_be_bytes);
                    let data = reply.data().unwrap_or_default();
                    if reply.header.err != 0 || data.first_chunk() != write.as_ref() {
                        wrong += 1;
                    }
                    Ok(())
                })
                .map_err(failed)?;
            if came {
                heard = Instant::now();
            } else if heard.elapsed() > DRAIN {
                return Err("read-back: no answer".into());
            }
        }
        if wrong > 0 {
            return Err(format!(
                "{wrong} of {count} znodes have not what was acknowledged"
            ));
        }
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_hold_what_began_in_them() {
        let samples = (0..200).map(|at| (at * 10, at * 10 + (at + 1) * 1000));
        let done = Done {
            samples: samples.collect(),
            acked: HashMap::new(),
        };
        let window = done.window(0, 1000).unwrap();
        assert_eq!(window.count, 100);
        assert_eq!((window.p50, window.p99, window.max), (50.0, 99.0, 100.0));
        assert!(done.window(5000, 6000).is_none());
    }
}
