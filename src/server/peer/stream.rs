//! What brings a learner up to date: the base packet, with a SNAP a whole tree, and the records of
//! the log behind it.
//!
//! Owns: the threads that read for learners, and the bytes of a stream. Does not know: what a
//! learner needs (the plan says it), where the tree and the log are ([`SnapSource`],
//! [`LogSource`]).
//!
//! Invariants: at most [`STREAM_THREADS`] read at once, and each waits for its link; every record
//! goes out as PROPOSAL and COMMIT, in order, none twice; the log is held from the base on before
//! the first byte is sent.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use parking_lot::{Condvar, Mutex};
use zk_wire::quorum::packet::{Packet, PacketKind};
use zk_zab::ids::Zxid;
use zk_zab::io::{Base, In, StreamPlan};

use super::Sink;
use super::budget::Delivery;
use super::link::{Gone, Link, Parked};
use crate::limits::{STREAM_BLOCK, STREAM_THREADS};
use crate::pace::{self, Load, Pace};

/// Records of the log, in order.
pub trait LogRecords: Send {
    /// The next record, or `None` at the upper bound.
    ///
    /// # Errors
    /// It cannot be read, in words.
    fn next(&mut self) -> Result<Option<(Zxid, &[u8])>, String>;

    /// Moves the upper bound up.
    ///
    /// # Errors
    /// It cannot be read on, in words.
    fn extend(&mut self, until: Zxid) -> Result<(), String>;
}

/// Who reads the log.
pub trait LogSource: Send + Sync {
    /// The records behind `after` up to `until`. They are held back from purge while they are read.
    ///
    /// # Errors
    /// The log does not have them, or cannot be read, in words.
    fn open(&self, after: Zxid, until: Zxid) -> Result<Box<dyn LogRecords>, String>;
}

/// Why a stream has ended before its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Broken {
    /// The link is closed.
    Gone,
    /// What was to be sent cannot be read, in words.
    Source(String),
}

impl From<Gone> for Broken {
    fn from(_: Gone) -> Broken {
        Broken::Gone
    }
}

/// Who reads the tree.
pub trait SnapSource: Send + Sync {
    /// Gives one state of the tree. First its zxid goes to `begin`, then its bytes go to `take`,
    /// in pieces: everything between a SNAP packet and what follows its signature.
    ///
    /// # Errors
    /// What `begin` and `take` return, and [`Broken::Source`].
    fn send(
        &self,
        begin: &mut dyn FnMut(Zxid) -> Result<(), Broken>,
        take: &mut dyn FnMut(Vec<u8>) -> Result<(), Broken>,
    ) -> Result<(), Broken>;
}

enum What {
    Begin(StreamPlan),
    More(Zxid),
}

#[derive(Default)]
struct Inner {
    jobs: VecDeque<(Arc<Link>, What)>,
    threads: usize,
}

/// See the module.
pub struct Streams {
    inner: Mutex<Inner>,
    idle: Condvar,
    log: Arc<dyn LogSource>,
    snaps: Arc<dyn SnapSource>,
    load: Arc<Load>,
    sink: Sink,
}

impl Streams {
    /// No stream yet. Beside writes they go at a [`Pace`].
    pub fn new(
        log: Arc<dyn LogSource>,
        snaps: Arc<dyn SnapSource>,
        load: Arc<Load>,
        sink: Sink,
    ) -> Arc<Streams> {
        Arc::new(Streams {
            inner: Mutex::default(),
            idle: Condvar::new(),
            log,
            snaps,
            load,
            sink,
        })
    }

    /// Begins a stream on a link.
    pub fn begin(self: &Arc<Streams>, link: &Arc<Link>, plan: StreamPlan) {
        self.add(link, What::Begin(plan));
    }

    /// Lets the stream of a link go on.
    pub fn go_on(self: &Arc<Streams>, link: &Arc<Link>, until: Zxid) {
        self.add(link, What::More(until));
    }

    fn add(self: &Arc<Streams>, link: &Arc<Link>, what: What) {
        link.begin_stream();
        let inner = &mut *self.inner.lock();
        inner.jobs.push_back((link.clone(), what));
        if inner.threads < STREAM_THREADS {
            let streams = self.clone();
            let thread = std::thread::Builder::new()
                .name("stream".into())
                .spawn(move || streams.work());
            match thread {
                Ok(_) => inner.threads += 1,
                Err(error) if inner.threads == 0 => {
                    inner.jobs.pop_back();
                    link.fail(format!("no thread to read for it: {error}"));
                }
                // Another one takes it.
                Err(_) => {}
            }
        }
    }

    /// Waits until no stream is under way; their links are closed.
    pub fn wait(&self) {
        let mut inner = self.inner.lock();
        while inner.threads > 0 {
            self.idle.wait(&mut inner);
        }
    }

    fn work(&self) {
        /// However a thread ends, it is counted.
        struct Count<'a>(&'a Streams);
        impl Drop for Count<'_> {
            fn drop(&mut self) {
                self.0.inner.lock().threads -= 1;
                self.0.idle.notify_all();
            }
        }
        let count = Count(self);
        loop {
            let (link, what) = {
                let inner = &mut *self.inner.lock();
                let Some(job) = inner.jobs.pop_front() else {
                    // Who adds a job from now on sees that there is no thread.
                    inner.threads -= 1;
                    self.idle.notify_all();
                    std::mem::forget(count);
                    return;
                };
                job
            };
            match self.run(&link, what) {
                Ok(()) | Err(Broken::Gone) => {}
                Err(Broken::Source(why)) => link.fail(why),
            }
        }
    }

    fn run(&self, link: &Link, what: What) -> Result<(), Broken> {
        let mut pace = Pace::new(self.load.clone());
        let (mut records, mut upto, until) = match what {
            What::Begin(plan) => {
                let (records, upto) = self.base(link, plan, &mut pace)?;
                (records, upto, plan.until)
            }
            What::More(until) => {
                let Some(parked) = link.take_parked() else {
                    return Err(Broken::Source("its stream was not begun".into()));
                };
                let records = match parked.records {
                    Some(mut records) => {
                        records.extend(until).map_err(Broken::Source)?;
                        records
                    }
                    None => self.open(parked.upto, until)?,
                };
                (records, parked.upto, until)
            }
        };
        let mut block = Vec::new();
        let mut count = 0;
        while upto < until
            && let Some((zxid, payload)) = records.next().map_err(Broken::Source)?
        {
            let payload = Bytes::copy_from_slice(payload);
            Packet::with(PacketKind::Proposal, zxid.0, payload).encode_into(&mut block);
            Packet::new(PacketKind::Commit, zxid.0).encode_into(&mut block);
            upto = zxid;
            count += 1;
            if block.len() >= STREAM_BLOCK {
                let work = pace::work(std::mem::take(&mut count), block.len() as u64);
                link.stream(std::mem::take(&mut block))?;
                rest(link, &mut pace, work)?;
            }
        }
        if !block.is_empty() {
            link.stream(block)?;
        }
        if upto < until {
            return Err(Broken::Source(format!(
                "the log ends at {upto}, before {until}"
            )));
        }
        let records = Some(records);
        link.end_stream(Parked { records, upto })?;
        (self.sink)(Delivery::free(vec![In::Streamed(link.id, upto)]));
        Ok(())
    }

    fn open(&self, after: Zxid, until: Zxid) -> Result<Box<dyn LogRecords>, Broken> {
        self.log.open(after, until).map_err(Broken::Source)
    }

    /// Sends the base; returns the records behind it, and where it stands.
    fn base(
        &self,
        link: &Link,
        plan: StreamPlan,
        pace: &mut Pace,
    ) -> Result<(Box<dyn LogRecords>, Zxid), Broken> {
        let packet = |kind, zxid: Zxid| {
            let mut bytes = Vec::new();
            Packet::new(kind, zxid.0).encode_into(&mut bytes);
            bytes
        };
        let (kind, zxid) = match plan.base {
            Base::Diff(zxid) => (PacketKind::Diff, zxid),
            Base::Trunc(zxid) => (PacketKind::Trunc, zxid),
            Base::Snap => {
                let mut found = None;
                self.snaps.send(
                    &mut |zxid| {
                        found = Some((self.open(zxid, plan.until.max(zxid))?, zxid));
                        Ok(link.stream(packet(PacketKind::Snap, zxid))?)
                    },
                    &mut |bytes| {
                        let work = bytes.len() as u64;
                        link.stream(bytes)?;
                        rest(link, pace, work)
                    },
                )?;
                return found.ok_or_else(|| Broken::Source("there is no snapshot".into()));
            }
        };
        let records = self.open(plan.after, plan.until)?;
        link.stream(packet(kind, zxid))?;
        Ok((records, plan.after))
    }
}

/// Some work was given to a link: waits until the next may follow.
fn rest(link: &Link, pace: &mut Pace, work: u64) -> Result<(), Broken> {
    match pace.done(work, Instant::now()) {
        Some(due) => Ok(link.rest(due)?),
        None => Ok(()),
    }
}
