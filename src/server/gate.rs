//! What the connections and the core share: the tree behind its lock, the watches, the registry
//! of connections, and the way to the core.
//!
//! Order of locks: tree, then one connection, then watches; the core, which has the tree to
//! itself while it applies, takes watches before connections. Nothing is held over an await.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU8, AtomicU64, AtomicUsize, Ordering};

use parking_lot::{Mutex, RwLock};
use zk_core::acl::Ids;
use zk_core::conn::{Progress, ServeMode, View};
use zk_core::hash::Map;
use zk_core::io::{Grant, Input, Post, Reply};
use zk_core::op::WatchAccess;
use zk_core::tally::{ByNamespace, Tally};
use zk_core::tree::{Need, Tree};
use zk_core::watch::{Event, Watches};
use zk_core::{Config, Conn, ConnId, Now, Peer, SessionId, Zxid};
use zk_disk::log::LateSync;
use zk_disk::store::Store;
use zk_zab::JobId;
use zk_zab::io::In;

use crate::client::bell::Bell;
use crate::client::line::{Latencies, Line};
use crate::client::throttle::Throttles;
use crate::clock::Clock;
use crate::pace::Load;
use crate::peer::budget::Delivery;
use crate::queue::Queue;
use crate::stats::{Runs, Stats};

const CLOSED: u8 = 0;
const READ_ONLY: u8 = 1;
const FULL: u8 = 2;

/// What the core's queue carries.
pub enum ToCore {
    /// For the node.
    Input(Input),
    /// For the quorum layer.
    Peer(In),
    /// What the sockets between servers tell the quorum layer.
    Peers(Delivery),
    /// A look at the server from another thread.
    Look(Box<dyn FnOnce(&Peer) + Send>),
    /// Rows have come: install them, then go on. Returns whether nothing of them is left to come.
    Install(Install),
    /// The store of this generation is durable up to here.
    Persisted(u64, Zxid),
    /// There is room again for rows that wait for the store.
    Room,
    /// Another server's snapshot has taken the place of log and store: its tree.
    Switched(Box<Switched>),
    /// Stop once everything proposed is applied.
    Stop,
}

/// Puts rows into the tree, and says whether nothing is left to come.
pub type Install = Box<dyn FnOnce(&mut Tree) -> bool + Send>;

/// What has taken the place of log and store.
#[derive(Debug)]
pub struct Switched {
    /// The job that did it.
    pub job: JobId,
    /// The tree, of which most is still in the store.
    pub tree: Tree,
    /// The store.
    pub store: Arc<dyn Store>,
    /// Checksum of the record that the store is at, as far as one is known.
    pub record: u32,
    /// How the log is made durable where its thread does not do it.
    pub late_sync: Option<LateSync>,
}

/// One client connection as the threads share it.
#[derive(Debug)]
pub struct Client {
    /// Its id.
    pub id: ConnId,
    /// The peer.
    pub peer: SocketAddr,
    /// The connection without its socket.
    pub line: Mutex<Line>,
    /// Its session, also when that is closed or has moved since; 0 before the handshake is
    /// answered.
    session: AtomicI64,
    /// Wakes the socket's task: something is to be sent, or may be run now.
    pub wake: Bell,
    /// When the client was last heard of, monotonic milliseconds.
    pub heard_ms: AtomicI64,
    /// When it last asked something that keeps its session alive, monotonic milliseconds:
    /// anything but auth and sasl.
    pub touched_ms: AtomicI64,
    /// Whether the core has not been told of that.
    pub touched: AtomicBool,
    /// When it was accepted, wall clock milliseconds.
    pub since_ms: i64,
}

/// All connections.
#[derive(Debug, Default)]
pub struct Registry {
    clients: RwLock<Map<ConnId, Arc<Client>>>,
    sessions: Mutex<Map<SessionId, ConnId>>,
    next: AtomicU64,
}

impl Registry {
    /// Enters a connection with the identities of its address.
    pub fn add(&self, peer: SocketAddr, ids: Ids, clock: &Clock) -> Arc<Client> {
        let id = ConnId(self.next.fetch_add(1, Ordering::Relaxed) + 1);
        let client = Arc::new(Client {
            id,
            peer,
            line: Mutex::new(Line::new(Conn::of(id, ids))),
            session: AtomicI64::new(0),
            wake: Bell::default(),
            heard_ms: AtomicI64::new(clock.mono_ms()),
            touched_ms: AtomicI64::new(0),
            touched: AtomicBool::new(false),
            since_ms: clock.wall_ms(),
        });
        self.clients.write().insert(id, client.clone());
        client
    }

    /// Forgets a connection.
    fn remove(&self, client: &Client) {
        self.clients.write().remove(&client.id);
        let session = SessionId(client.session.load(Ordering::Acquire));
        let mut sessions = self.sessions.lock();
        if sessions.get(&session) == Some(&client.id) {
            sessions.remove(&session);
        }
    }

    /// Notes the connection of a session, if it is still there.
    fn attach(&self, session: SessionId, conn: ConnId) {
        // Who forgets a connection takes it out of here first.
        let clients = self.clients.read();
        if clients.contains_key(&conn) {
            self.sessions.lock().insert(session, conn);
        }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.clients.read().len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// All of them, for listings.
    pub fn all(&self) -> Vec<Arc<Client>> {
        self.clients.read().values().cloned().collect()
    }
}

/// See the module.
pub struct Shared {
    /// The tree.
    pub tree: RwLock<Tree>,
    /// The watches.
    pub watches: Mutex<Watches>,
    /// The connections.
    pub registry: Registry,
    /// The core's settings.
    pub config: Arc<Config>,
    /// The way to the core.
    pub core: Queue<ToCore>,
    /// Counters.
    pub stats: Arc<Stats>,
    /// What holds clients back.
    pub throttles: Throttles,
    /// Clocks.
    pub clock: Clock,
    /// Writes that wait for their reply, over all connections.
    pub in_process: AtomicUsize,
    /// The way to the rows that are not resident.
    pub loads: Queue<(Need, Option<Arc<Client>>)>,
    /// Where they are.
    pub store: RwLock<Arc<dyn Store>>,
    /// How often another server's tree has taken the place of this one's: what was read from the
    /// store before is not for the tree of now. Changed with the tree's lock held.
    pub generation: AtomicU64,
    /// Whom the server serves.
    mode: AtomicU8,
    /// What a member of an ensemble is doing.
    pub status: Mutex<Option<zk_zab::Status>>,
    /// Transactions behind which other servers' syncs wait, on a leader.
    pub pending_syncs: AtomicUsize,
    /// Sessions that only this server knows.
    pub local_sessions: AtomicUsize,
    /// What the log has taken of late.
    pub load: Arc<Load>,
}

/// The watches behind their lock.
pub struct Locked<'a>(pub &'a Mutex<Watches>);

impl WatchAccess for Locked<'_> {
    fn with(&mut self, f: &mut dyn FnMut(&mut Watches)) {
        f(&mut self.0.lock());
    }
}

impl Shared {
    /// Everything that is shared, around a tree and the store that it comes from. Nobody is served
    /// before [`Shared::set_mode`].
    pub fn new(
        tree: Tree,
        store: Arc<dyn Store>,
        config: Arc<Config>,
        throttles: Throttles,
        stats: Arc<Stats>,
        clock: Clock,
    ) -> Shared {
        Shared {
            tree: RwLock::new(tree),
            watches: Mutex::new(Watches::default()),
            registry: Registry::default(),
            config,
            core: Queue::default(),
            throttles,
            stats,
            clock,
            in_process: AtomicUsize::new(0),
            loads: Queue::default(),
            store: RwLock::new(store),
            generation: AtomicU64::new(0),
            mode: AtomicU8::new(CLOSED),
            status: Mutex::new(None),
            pending_syncs: AtomicUsize::new(0),
            local_sessions: AtomicUsize::new(0),
            load: Arc::default(),
        }
    }

    /// Whom the server serves.
    pub fn mode(&self) -> ServeMode {
        match self.mode.load(Ordering::Acquire) {
            FULL => ServeMode::Full,
            READ_ONLY => ServeMode::ReadOnly,
            _ => ServeMode::Closed,
        }
    }

    /// Serves these from now on. Whoever is connected and is not served any more is ended.
    pub fn set_mode(&self, mode: ServeMode) {
        let number = match mode {
            ServeMode::Full => FULL,
            ServeMode::ReadOnly => READ_ONLY,
            ServeMode::Closed => CLOSED,
        };
        self.mode.store(number, Ordering::Release);
        if mode != ServeMode::Full {
            for client in self.registry.all() {
                let line = &mut *client.line.lock();
                line.conn.close();
                line.forget(&self.throttles.large);
                client.wake.ring();
            }
        }
    }

    /// The store of now, and its generation.
    pub fn store(&self) -> (Arc<dyn Store>, u64) {
        let store = self.store.read();
        (store.clone(), self.generation.load(Ordering::Acquire))
    }

    /// Another store is the store of now. Returns its generation.
    pub fn next_generation(&self) -> u64 {
        self.generation.fetch_add(1, Ordering::AcqRel) + 1
    }

    /// Says to the core which clients were heard of since the last time.
    pub fn collect_touches(&self, inputs: &mut Vec<ToCore>) {
        for client in self.registry.clients.read().values() {
            inputs.extend(touch(client));
        }
    }

    /// Forgets a connection, once the core has been told when its client was last heard of: a
    /// session lives on for its timeout from then, with or without a connection.
    pub fn remove(&self, client: &Client) {
        if let Some(touch) = touch(client) {
            self.core.push(touch);
        }
        self.registry.remove(client);
    }
}

/// What the core is to be told of a client that has asked something.
fn touch(client: &Client) -> Option<ToCore> {
    if !client.touched.swap(false, Ordering::AcqRel) {
        return None;
    }
    let session = SessionId(client.session.load(Ordering::Acquire));
    (session.0 != 0).then(|| {
        ToCore::Input(Input::Touched {
            session,
            at_ms: client.touched_ms.load(Ordering::Acquire),
            timeout_ms: client.line.lock().conn.timeout_ms(),
        })
    })
}

/// Where apply's replies and events go: into the buffers of the connections. The connections that
/// were written to are woken when the tree is free again.
pub struct Poster<'a> {
    shared: &'a Shared,
    touched: Vec<Arc<Client>>,
    last: Option<Arc<Client>>,
    now: Now,
    counts: Counts,
}

/// What one hold of the tree did, for the metrics.
#[derive(Debug, Default)]
struct Counts {
    tally: Tally,
    latencies: Latencies,
    propagation: Runs,
    writes: ByNamespace,
    /// Replies since the clock was looked at.
    since_clock: u32,
    stale: u64,
    /// The last transaction applied.
    zxid: Zxid,
}

/// Replies between two looks at the clock.
const CLOCK_EVERY: u32 = 256;

impl<'a> Poster<'a> {
    /// Nothing posted yet.
    pub fn new(shared: &'a Shared) -> Poster<'a> {
        Poster {
            shared,
            touched: Vec::new(),
            last: None,
            now: shared.clock.now(),
            counts: Counts::default(),
        }
    }

    fn client(&mut self, conn: ConnId) -> Option<Arc<Client>> {
        if let Some(last) = &self.last
            && last.id == conn
        {
            return Some(last.clone());
        }
        let client = self.shared.registry.clients.read().get(&conn).cloned()?;
        self.touched.push(client.clone());
        self.last = Some(client.clone());
        Some(client)
    }

    /// Hands the counts over, then wakes every connection that something was posted to: whoever
    /// sees a reply sees it counted.
    pub fn wake(&mut self) {
        self.last = None;
        self.touched.sort_unstable_by_key(|client| client.id);
        self.touched.dedup_by_key(|client| client.id);
        let (stats, counts) = (&*self.shared.stats, &mut self.counts);
        stats.take(&mut counts.tally);
        stats.take_reads(&mut counts.latencies.reads);
        stats.take_updates(&mut counts.latencies.updates);
        stats.take_writes(&mut counts.writes);
        for (ms, times) in counts.propagation.drain() {
            stats.metrics.propagation_latency.record_many(ms, times);
        }
        if counts.stale > 0 {
            stats
                .metrics
                .stale_replies
                .add(std::mem::take(&mut counts.stale));
        }
        for client in self.touched.drain(..) {
            client.wake.ring();
        }
        if self.shared.throttles.is_on() {
            self.shared.throttles.released.notify_waiters();
        }
    }

    fn look_at_clock(&mut self) {
        self.counts.since_clock += 1;
        if self.counts.since_clock == CLOCK_EVERY {
            self.counts.since_clock = 0;
            self.now = self.shared.clock.now();
        }
    }
}

impl Post for Poster<'_> {
    fn before_write(
        &mut self,
        tree: &Tree,
        watches: &mut Watches,
        conn: ConnId,
    ) -> Result<(), Need> {
        let Some(client) = self.client(conn) else {
            return Ok(());
        };
        let line = &mut *client.line.lock();
        if !line.conn.is_runnable() {
            return Ok(());
        }
        let mut view = View {
            tree,
            config: &self.shared.config,
            serve: self.shared.mode(),
            watches,
            tally: &mut self.counts.tally,
        };
        let progress = line.conn.run(&mut view);
        line.settle(
            self.now.mono_ms,
            &mut self.counts.latencies,
            &self.shared.throttles.large,
        );
        match progress {
            Progress::Done => Ok(()),
            Progress::Missing(need) => Err(need),
        }
    }

    fn event(&mut self, conn: ConnId, zxid: Zxid, event: Event, path: &str) {
        if let Some(client) = self.client(conn) {
            let conn = &mut client.line.lock().conn;
            let before = conn.out_len();
            conn.event(zxid, event, path);
            if let Some(len) = (conn.out_len() - before).checked_sub(4) {
                self.counts.tally.sent.add(len);
                self.counts.tally.event_bytes += len as u64;
            }
        }
    }

    fn done(&mut self, conn: ConnId, cxid: i32, reply: &Reply<'_>) {
        self.shared.in_process.fetch_sub(1, Ordering::Relaxed);
        self.look_at_clock();
        let Some(client) = self.client(conn) else {
            self.counts.stale += 1;
            return;
        };
        let line = &mut *client.line.lock();
        if line.conn.is_closing() {
            self.counts.stale += 1;
            return;
        }
        let (now_ms, large) = (self.now.mono_ms, &self.shared.throttles.large);
        line.answered(now_ms, &mut self.counts.latencies, large);
        let before = line.conn.out_len();
        line.conn.done(cxid, reply);
        if let Some(len) = (line.conn.out_len() - before).checked_sub(4) {
            self.counts.tally.sent.add(len);
            self.counts.tally.reply_bytes += len as u64;
        }
        line.settle(now_ms, &mut self.counts.latencies, large);
    }

    fn connected(&mut self, conn: ConnId, grant: Option<Grant>) {
        let zxid = self.counts.zxid;
        let Some(client) = self.client(conn) else {
            return;
        };
        if let Some(grant) = grant {
            client.session.store(grant.session.0, Ordering::Release);
            self.shared.registry.attach(grant.session, conn);
        }
        let line = &mut *client.line.lock();
        let (now_ms, large) = (self.now.mono_ms, &self.shared.throttles.large);
        let is_new = line.awaits_session();
        let before = line.conn.out_len();
        line.conn.connected(grant);
        if let Some(len) = (line.conn.out_len() - before).checked_sub(4) {
            self.counts.tally.sent.add(len);
        }
        if is_new && grant.is_some() {
            line.conn.note_created(zxid);
        }
        line.settle(now_ms, &mut self.counts.latencies, large);
    }

    fn detach(&mut self, session: SessionId, now: Option<ConnId>) {
        let old = self.shared.registry.sessions.lock().get(&session).copied();
        let Some(old) = old.filter(|old| Some(*old) != now) else {
            return;
        };
        if let Some(client) = self.client(old) {
            let line = &mut *client.line.lock();
            line.conn.close();
            line.forget(&self.shared.throttles.large);
        }
    }

    fn applied(&mut self, zxid: Zxid, time_ms: i64) {
        self.counts.zxid = zxid;
        let ms = self.now.wall_ms - time_ms;
        if ms >= 0 {
            self.counts.propagation.add(ms);
        }
    }

    fn wrote(&mut self, path: &str, bytes: usize) {
        self.counts.writes.add(path, path.len() + bytes);
    }

    fn fired(&mut self, event: Event, watchers: usize) {
        let metrics = &self.shared.stats.metrics;
        let summary = match event {
            Event::Created => &metrics.node_created_watch_count,
            Event::Deleted => &metrics.node_deleted_watch_count,
            Event::DataChanged => &metrics.node_changed_watch_count,
            Event::ChildrenChanged => &metrics.node_children_watch_count,
        };
        summary.record(watchers as i64);
    }
}
