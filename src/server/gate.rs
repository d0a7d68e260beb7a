//! What the connections and the core share: the tree behind its lock, the watches, the registry
//! of connections, and the way to the core.
//!
//! Order of locks: tree, then one connection, then watches; the core, which has the tree to
//! itself while it applies, takes watches before connections. Nothing is held over an await.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, AtomicUsize, Ordering};

use parking_lot::{Mutex, RwLock};
use tokio::sync::Notify;
use zk_core::conn::{Progress, View};
use zk_core::hash::Map;
use zk_core::io::{Grant, Input, Post, Reply};
use zk_core::op::WatchAccess;
use zk_core::tree::{Need, Tree};
use zk_core::watch::{Event, Watches};
use zk_core::{Config, Conn, ConnId, Node, SessionId, Zxid};

use crate::clock::Clock;
use crate::queue::Queue;
use crate::stats::Stats;

/// What the core's queue carries.
pub enum ToCore {
    /// For the node.
    Input(Input),
    /// A look at the node from another thread.
    Look(Box<dyn FnOnce(&Node) + Send>),
    /// Rows have come: install them, then go on.
    Install(Box<dyn FnOnce(&mut Tree) + Send>),
    /// Stop once everything proposed is applied.
    Stop,
}

/// One client connection as the threads share it.
#[derive(Debug)]
pub struct Client {
    /// Its id.
    pub id: ConnId,
    /// The peer.
    pub peer: SocketAddr,
    /// The connection without its socket.
    pub conn: Mutex<Conn>,
    /// Wakes the socket's task: something is to be sent, or may be run now.
    pub wake: Notify,
    /// When the client was last heard of, monotonic milliseconds.
    pub heard_ms: AtomicI64,
    /// Whether the core has not been told of that.
    pub touched: AtomicBool,
    /// Latencies of its requests.
    pub latency: Mutex<crate::stats::Latency>,
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
    /// Enters a connection.
    pub fn add(&self, peer: SocketAddr, address: &str, clock: &Clock) -> Arc<Client> {
        let id = ConnId(self.next.fetch_add(1, Ordering::Relaxed) + 1);
        let client = Arc::new(Client {
            id,
            peer,
            conn: Mutex::new(Conn::new(id, address)),
            wake: Notify::new(),
            heard_ms: AtomicI64::new(clock.mono_ms()),
            touched: AtomicBool::new(false),
            latency: Mutex::default(),
            since_ms: clock.wall_ms(),
        });
        self.clients.write().insert(id, client.clone());
        client
    }

    /// Forgets a connection.
    pub fn remove(&self, client: &Client) {
        self.clients.write().remove(&client.id);
        let session = client.conn.lock().session();
        if let Some(session) = session {
            let mut sessions = self.sessions.lock();
            if sessions.get(&session) == Some(&client.id) {
                sessions.remove(&session);
            }
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
    pub stats: Stats,
    /// Clocks.
    pub clock: Clock,
    /// Writes that wait for their reply, over all connections.
    pub in_process: AtomicUsize,
    /// Whether the server stops.
    pub stopping: AtomicBool,
    /// The way to the rows that are not resident.
    pub loads: Queue<(Need, Option<Arc<Client>>)>,
}

/// The watches behind their lock.
pub struct Locked<'a>(pub &'a Mutex<Watches>);

impl WatchAccess for Locked<'_> {
    fn with(&mut self, f: &mut dyn FnMut(&mut Watches)) {
        f(&mut self.0.lock());
    }
}

impl Shared {
    /// Says to the core which clients were heard of since the last time.
    pub fn collect_touches(&self, inputs: &mut Vec<ToCore>) {
        for client in self.registry.clients.read().values() {
            if !client.touched.swap(false, Ordering::AcqRel) {
                continue;
            }
            let conn = client.conn.lock();
            if let Some(session) = conn.session() {
                inputs.push(ToCore::Input(Input::Touched {
                    session,
                    at_ms: client.heard_ms.load(Ordering::Acquire),
                    timeout_ms: conn.timeout_ms(),
                }));
            }
        }
    }
}

/// Where apply's replies and events go: into the buffers of the connections. The connections that
/// were written to are woken when the tree is free again.
pub struct Poster<'a> {
    shared: &'a Shared,
    touched: Vec<Arc<Client>>,
    last: Option<Arc<Client>>,
}

impl<'a> Poster<'a> {
    /// Nothing posted yet.
    pub fn new(shared: &'a Shared) -> Poster<'a> {
        Poster {
            shared,
            touched: Vec::new(),
            last: None,
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

    /// Wakes every connection that something was posted to.
    pub fn wake(&mut self) {
        self.last = None;
        self.touched.sort_unstable_by_key(|client| client.id);
        self.touched.dedup_by_key(|client| client.id);
        for client in self.touched.drain(..) {
            client.wake.notify_one();
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
        let mut view = View {
            tree,
            config: &self.shared.config,
            watches,
            tally: &mut zk_core::tally::Tally::default(),
        };
        let mut conn = client.conn.lock();
        if !conn.is_runnable() {
            return Ok(());
        }
        match conn.run(&mut view) {
            Progress::Done => Ok(()),
            Progress::Missing(need) => Err(need),
        }
    }

    fn event(&mut self, conn: ConnId, zxid: Zxid, event: Event, path: &str) {
        if let Some(client) = self.client(conn) {
            client.conn.lock().event(zxid, event, path);
        }
    }

    fn done(&mut self, conn: ConnId, cxid: i32, reply: &Reply<'_>) {
        if let Some(client) = self.client(conn) {
            client.conn.lock().done(cxid, reply);
        }
        self.shared.in_process.fetch_sub(1, Ordering::Relaxed);
    }

    fn connected(&mut self, conn: ConnId, grant: Option<Grant>) {
        let Some(client) = self.client(conn) else {
            return;
        };
        if let Some(grant) = grant {
            self.shared
                .registry
                .sessions
                .lock()
                .insert(grant.session, conn);
        }
        client.conn.lock().connected(grant);
    }

    fn detach(&mut self, session: SessionId, now: Option<ConnId>) {
        let old = self.shared.registry.sessions.lock().get(&session).copied();
        let Some(old) = old.filter(|old| Some(*old) != now) else {
            return;
        };
        if let Some(client) = self.client(old) {
            client.conn.lock().close();
        }
    }
}
