//! What a member of an ensemble has beside a standalone server: the sockets to other servers, the
//! files of its promises, and another server's tree while it is received.
//!
//! Owns: how each durable act of the quorum layer is done ([`Keeper`], on the log's thread), where
//! a received snapshot goes, and how the log is read back. Does not know: what the acts mean.
//!
//! Invariants: acts are done in the order asked; a received tree is nothing before its switch, and
//! everything after it.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::JoinHandle;
use std::time::Instant;

use bytes::Bytes;
use parking_lot::Mutex;
use zk_core::{Config, Peer, Zxid};
use zk_disk::Result;
use zk_disk::directory::Layout;
use zk_disk::dynamic::{self, Committed, Text};
use zk_disk::epochs::{self, Kind};
use zk_disk::files::Files;
use zk_disk::install::{self, Complete, Incoming};
use zk_disk::log::{Options, Reader, Segment, Staged, Writer};
use zk_disk::members;
use zk_disk::rocks::RocksStore;
use zk_disk::store::Store;
use zk_wire::file::dynamic as names;
use zk_wire::quorum::config::QuorumConfig;
use zk_wire::quorum::notification::PeerState;
use zk_wire::quorum::snap::SnapItem;
use zk_zab::io::{Act, In, Job};
use zk_zab::limits::FEED_READ_BYTES;
use zk_zab::{JobId, Status};

use crate::data;
use crate::gate::{Shared, Switched, ToCore};
use crate::limits::{FEED_PIECE, ORACLE_PAUSE};
use crate::pace::{self, Pace, Share};
use crate::peer::Peers;
use crate::peer::budget::Delivery;
use crate::peer::install::{SnapSink, SnapSinks};
use crate::peer::sources::StoredTree;
use crate::peer::stream::{Broken, SnapSource};
use crate::persist::PersistQueue;
use crate::queue::Queue;
use crate::serving::Serving;

/// A tree that was received whole, until it is put in force.
pub type Received = Arc<Mutex<Option<Complete<RocksStore>>>>;

/// The ways of the core to other servers, and to its own log.
pub struct Member {
    /// The sockets.
    pub peers: Peers,
    /// Parts of the log to be read: behind the first zxid, up to the second.
    pub reads: Arc<Queue<(Zxid, Zxid)>>,
    /// What is shown to clients and operators.
    pub serving: Arc<Serving>,
    /// My id.
    pub me: i64,
}

impl Member {
    /// Has what concerns sockets carried out.
    pub fn carry_out(&self, acts: &mut Vec<Act>) {
        self.peers.carry_out(acts);
    }

    /// Has a part of the log read.
    pub fn read_log(&self, after: Zxid, until: Zxid) {
        self.reads.push((after, until));
    }

    /// Shows what the server is doing.
    pub fn published(&self, shared: &Shared, peer: &Peer) {
        let status = peer.status();
        let mut shown = shared.status.lock();
        if *shown != status {
            let began = |was: &Option<Status>| {
                was.is_some_and(|was| was.established && was.state == PeerState::Leading)
            };
            if began(&status) && !began(&shown) {
                shared.stats.proposals.reset();
            }
            *shown = status;
        }
        let node = peer.node();
        for (number, shown) in [
            (node.pending_syncs(), &shared.pending_syncs),
            (node.local_tracker().len(), &shared.local_sessions),
        ] {
            if shown.load(Ordering::Relaxed) != number {
                shown.store(number, Ordering::Relaxed);
            }
        }
    }

    /// Shows the configuration that holds. Clients are served at another address from now on if it
    /// says so.
    pub fn configured(&self, config: &Arc<QuorumConfig>) {
        self.serving.configured(self.me, config);
    }
}

/// Reads the log for the core, a part at a time, until the queue is closed. A follower, whom nobody
/// waits for, applies what it has missed at a [`Pace`].
pub fn read_log(shared: &Shared, queue: &Queue<(Zxid, Zxid)>, files: &Arc<dyn Files>, dir: &Path) {
    let mut wanted = Vec::new();
    let mut pace = Pace::new(shared.load.clone());
    while queue.take(&mut wanted, None).is_some() {
        for (after, until) in wanted.drain(..) {
            let read = part(files, dir, after, until, &mut |inputs, work| {
                shared.core.push(ToCore::Peers(Delivery::free(inputs)));
                if let Some(due) = pace.done(work, Instant::now())
                    && follows(shared)
                    && !queue.is_closed()
                {
                    // What could be waited for has been looked at, and one piece is short.
                    std::thread::sleep(due.saturating_duration_since(Instant::now()));
                }
            });
            if let Err(error) = read {
                let why = format!("the log cannot be read back: {error}");
                shared.core.push(ToCore::Peer(In::Resign(why)));
                shared.core.push(ToCore::Peer(In::LogRead(after)));
            }
        }
    }
}

/// Whether this server is brought along by a leader. One that begins to lead is waited for.
fn follows(shared: &Shared) -> bool {
    let status = *shared.status.lock();
    status.is_some_and(|status| match status.state {
        PeerState::Following | PeerState::Observing => true,
        PeerState::Leading | PeerState::Looking => false,
    })
}

/// Gives a part of the log in pieces, each with the work that it is.
fn part(
    files: &Arc<dyn Files>,
    dir: &Path,
    after: Zxid,
    until: Zxid,
    give: &mut dyn FnMut(Vec<In>, u64),
) -> Result<()> {
    let mut reader = Reader::open(files.clone(), dir, after.0.saturating_add(1), until.0)?;
    let mut inputs = Vec::new();
    let (mut bytes, mut piece) = (0, 0);
    let mut last = after;
    while bytes < FEED_READ_BYTES
        && let Some(record) = reader.next_record()?
    {
        last = Zxid(record.zxid);
        piece += pace::work(1, record.payload.len() as u64);
        bytes += record.payload.len() as u64;
        inputs.push(In::LogRecord(last, Bytes::copy_from_slice(record.payload)));
        if piece >= FEED_PIECE {
            give(std::mem::take(&mut inputs), std::mem::take(&mut piece));
        }
    }
    inputs.push(In::LogRead(last));
    give(inputs, piece);
    Ok(())
}

/// Where received snapshots go: a store beside the store.
pub struct Sinks {
    /// The disk.
    pub files: Arc<dyn Files>,
    /// The folders.
    pub layout: Layout,
    /// Where a whole one is left for the log's thread.
    pub received: Received,
}

impl SnapSinks for Sinks {
    fn begin(&self, _zxid: Zxid) -> std::result::Result<Box<dyn SnapSink>, String> {
        // What was received before and never put in force gives its folder back.
        *self.received.lock() = None;
        let incoming = Incoming::begin(&*self.files, &self.layout, &mut RocksStore::open_gently)
            .map_err(|error| error.to_string())?;
        Ok(Box::new(StoreSink {
            incoming,
            received: self.received.clone(),
        }))
    }
}

struct StoreSink {
    incoming: Incoming<RocksStore>,
    received: Received,
}

impl SnapSink for StoreSink {
    fn take(&mut self, item: SnapItem<'_>) -> std::result::Result<(), String> {
        let taken = match item {
            SnapItem::Session { id, timeout } => self.incoming.session(id, timeout),
            SnapItem::Acl { id, acl } => self.incoming.acl(id, acl),
            SnapItem::Node {
                path,
                data,
                acl,
                stat,
            } => self.incoming.node(&path, data, acl, stat),
            SnapItem::End => Ok(()),
        };
        taken.map_err(|error| error.to_string())
    }

    fn finish(self: Box<Self>) -> std::result::Result<(), String> {
        let mut share = Share::begin();
        let complete = self
            .incoming
            .complete_with(&mut || share.rest())
            .map_err(|error| error.to_string())?;
        *self.received.lock() = Some(complete);
        Ok(())
    }
}

/// The tree of this server for others: the store of now, not the one of the start.
pub struct StoreOfNow(pub Arc<Shared>);

impl SnapSource for StoreOfNow {
    fn send(
        &self,
        begin: &mut dyn FnMut(Zxid) -> std::result::Result<(), Broken>,
        take: &mut dyn FnMut(Vec<u8>) -> std::result::Result<(), Broken>,
    ) -> std::result::Result<(), Broken> {
        let (store, _) = self.0.store();
        StoredTree { store }.send(begin, take)
    }
}

/// Does the durable acts of the quorum layer, on the log's thread.
pub struct Keeper {
    /// The way to the core.
    pub shared: Arc<Shared>,
    /// The disk.
    pub files: Arc<dyn Files>,
    /// The folders.
    pub layout: Layout,
    /// How logs are written.
    pub options: Options,
    /// The core's settings, for a tree that is read anew.
    pub core: Arc<Config>,
    /// currentEpoch in its file.
    pub current: u32,
    /// What the log follows if none of it was purged.
    pub base: i64,
    /// A tree that was received whole.
    pub received: Received,
    /// What is staged behind the tree that is being received.
    pub staged: Option<Staged>,
    /// The zxid of that tree.
    pub receiving: Zxid,
    /// The operator's configuration file, if there is one.
    pub config_file: Option<PathBuf>,
}

impl Keeper {
    /// Before a record is written: one of a later epoch than the current is announced, for a Java
    /// server that is started here after a crash.
    ///
    /// # Errors
    /// As [`epochs::announce`].
    pub fn before_record(&mut self, zxid: Zxid) -> Result<()> {
        if zxid.epoch() > self.current {
            self.current = zxid.epoch();
            epochs::announce(&*self.files, &self.layout, zxid.epoch())?;
        }
        Ok(())
    }

    /// A snapshot is going to be received: what is staged follows it.
    ///
    /// # Errors
    /// As [`Staged::begin`].
    pub fn receive(&mut self, zxid: Zxid) -> Result<()> {
        self.receiving = zxid;
        let staged = Staged::begin(self.files.clone(), &self.layout, self.options, zxid.0)?;
        self.staged = Some(staged);
        Ok(())
    }

    /// Appends a record behind the snapshot that is being received.
    ///
    /// # Errors
    /// As [`Staged::append`].
    pub fn stage(&mut self, zxid: Zxid, payload: &[u8]) -> Result<()> {
        let Some(staged) = &mut self.staged else {
            unreachable!("{zxid} is staged behind nothing");
        };
        if staged.batch_bytes() + payload.len() > zk_disk::limits::MAX_BATCH / 2 {
            staged.sync()?;
        }
        staged.append(zxid.0, payload)
    }

    /// Forgets what is being received; its store is removed when the next one is begun, or at the
    /// next start.
    pub fn abandon(&mut self) {
        self.staged = None;
        *self.received.lock() = None;
    }

    /// One act but [`Job::Switch`].
    ///
    /// # Errors
    /// The disk's.
    pub fn job(
        &mut self,
        writer: &mut Writer,
        segments: &Mutex<Vec<Segment>>,
        job: &Job,
    ) -> Result<()> {
        let files = &*self.files;
        match job {
            Job::Flush => Ok(()),
            Job::SaveAccepted(epoch) => epochs::save(files, &self.layout, Kind::Accepted, *epoch),
            Job::SaveCurrent(epoch) => {
                self.current = *epoch;
                epochs::save(files, &self.layout, Kind::Current, *epoch)
            }
            Job::Cut(zxid) => {
                let cut = writer.cut(zxid.0, self.base)?;
                let mut segments = segments.lock();
                segments.extend(writer.take_finished());
                cut.apply(&mut segments);
                Ok(())
            }
            Job::Switch { .. } => unreachable!("the log is another behind it"),
            Job::SaveLastSeen(config) => match &self.config_file {
                Some(file) => dynamic::save_next(
                    files,
                    &Text {
                        path: names::next_name(&file.to_string_lossy()).into(),
                        text: config.next_file_text(),
                    },
                ),
                None => Ok(()),
            },
            Job::SaveCommitted(config) => self.save_committed(config),
        }
    }

    fn save_committed(&self, config: &QuorumConfig) -> Result<()> {
        members::save(&*self.files, &self.layout, config)?;
        let Some(file) = &self.config_file else {
            return Ok(());
        };
        let name = file.to_string_lossy().into_owned();
        let dynamic_path = names::name(&name, config.version);
        let committed = Committed {
            dynamic: Text {
                path: dynamic_path.clone().into(),
                text: config.file_text(),
            },
            fixed: self.rewritten(file, &dynamic_path, config),
            next: names::next_name(&name).into(),
        };
        dynamic::save_committed(&*self.files, &committed)
    }

    /// The operator's file with the dynamic one named in it.
    fn rewritten(&self, file: &Path, dynamic: &str, config: &QuorumConfig) -> Option<Text> {
        let text = std::fs::read(file).ok()?;
        let erase_client = config
            .members
            .values()
            .any(|member| member.client.is_some() && !member.client_from_static);
        let text = names::rewrite_static(&text, dynamic, erase_client).ok()?;
        Some(Text {
            path: file.to_owned(),
            text: String::from_utf8(text).ok()?,
        })
    }

    /// Puts the received tree and what is staged behind it in the place of store and log. Returns
    /// the log that is written from now on.
    ///
    /// # Errors
    /// The disk's; the next start then finds the old ones or the new ones, whole.
    pub fn switch(
        &mut self,
        writer: Writer,
        persist: &PersistQueue,
        segments: &Mutex<Vec<Segment>>,
        job: JobId,
        zxid: Zxid,
    ) -> Result<Writer> {
        let end = match self.staged.take() {
            Some(staged) => staged.close()?,
            None => zxid.0,
        };
        let Some(complete) = self.received.lock().take() else {
            unreachable!("a switch to a tree that was not received");
        };
        install::seal(&complete, zxid.0, end)?;
        // Nothing more of the old tree goes to the old store, and nobody reads the old log.
        persist.hold();
        writer.close()?;
        segments.lock().clear();
        install::switch(&*self.files, &self.layout, &complete)?;
        let store: Arc<dyn Store> = Arc::new(complete.store);
        let (writer, found) = install::take_over(&self.files, &self.layout, &*store, self.options)?;
        *segments.lock() = found.segments;
        self.base = zxid.0;
        let Some(meta) = store.meta()? else {
            unreachable!("a sealed store says what it is");
        };
        let tree = match data::open_tree(&self.core, &*store, &meta) {
            Ok(tree) => tree,
            Err(refusal) => {
                tracing::error!("the received tree cannot be read: {}", refusal.message);
                eprintln!(
                    "zabkeeper: the received tree cannot be read: {}",
                    refusal.message
                );
                std::process::exit(1);
            }
        };
        self.shared.core.push(ToCore::Switched(Box::new(Switched {
            job,
            tree,
            store,
            record: meta.record,
            late_sync: writer.late_sync(),
        })));
        Ok(writer)
    }
}

/// Threads of a member beside those of every server.
pub struct Threads {
    /// Reads the log back.
    pub reader: JoinHandle<()>,
    /// What it is asked.
    pub reads: Arc<Queue<(Zxid, Zxid)>>,
    /// Asks the oracle, until its queue is closed.
    pub oracle: Option<(JoinHandle<()>, Arc<Queue<()>>)>,
}

impl Threads {
    /// Ends all of them.
    pub fn stop(self) {
        self.reads.close();
        // A panic of one has ended the process.
        let _ = self.reader.join();
        if let Some((thread, end)) = self.oracle {
            end.close();
            let _ = thread.join();
        }
    }
}

/// Asks the oracle of two servers for the core, until the queue is closed: a file whose first
/// character is `1` where this server may go on without the other. Who writes it is not told of
/// here, so that it is looked at again and again.
pub fn ask_oracle(shared: &Shared, path: &Path, end: &Queue<()>) {
    let mut says = false;
    loop {
        let now = may_go_alone(path);
        if now != says {
            says = now;
            shared.core.push(ToCore::Peer(In::Oracle(says)));
        }
        let deadline = Instant::now() + ORACLE_PAUSE;
        if end.take(&mut Vec::new(), Some(deadline)).is_none() {
            return;
        }
    }
}

/// What the oracle's file says. One that cannot be read says no.
fn may_go_alone(path: &Path) -> bool {
    let mut first = [0];
    std::fs::File::open(path)
        .and_then(|mut file| file.read_exact(&mut first))
        .is_ok_and(|()| first == [b'1'])
}
