//! The sockets between servers: election port, quorum port, streams and snapshots.
//!
//! Owns: a thread of its own with every socket of the ensemble on it, and the ids of links. It
//! carries out what the quorum layer wants done and tells it what has happened. Does not know:
//! roles, votes, what a packet means, what is late.
//!
//! Invariants: the id of a link is never used twice. What happens on one link is told in order, its
//! end last, and nothing of a link that was hung up. Both ways go in batches: the other thread is
//! woken once for each. No peer holds up another, and nothing that one sends or does not read makes
//! this grow beyond [`crate::limits`].

pub mod address;
pub mod budget;
pub mod election;
pub mod install;
pub mod link;
pub mod quorum_port;
pub mod sources;
pub mod stream;

use std::io;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::net::TcpStream;
use tokio::sync::{Notify, mpsc};
use zk_zab::ids::Sid;
use zk_zab::io::Act;
use zk_zab::view::View;

use self::address::Resolver;
use self::budget::Delivery;
use self::election::{Election, Greeted};
use self::install::SnapSinks;
use self::quorum_port::{Port, QuorumPort};
use self::stream::{LogSource, SnapSource, Streams};
use crate::limits::{LINK_QUEUE_BYTES, QUORUM_LINKS, RESOLVERS};
use crate::pace::Load;

/// The way to the core. It must not block.
pub type Sink = Arc<dyn Fn(Delivery) + Send + Sync>;

/// What an operator can set that the sockets act on.
#[derive(Clone, Debug)]
pub struct Settings {
    /// My id.
    pub me: Sid,
    /// `quorumListenOnAllIPs`.
    pub listen_everywhere: bool,
    /// `observerMasterPort`, on every server the same; 0 is none.
    pub observer_master_port: u16,
    /// `multiAddress.enabled`: the first message of an election connection has all my addresses,
    /// which servers before 3.6 do not understand.
    pub multi_address: bool,
    /// `zookeeper.electionPortBindRetry`: tries to bind the election port; 0 is without end.
    pub bind_tries: u32,
    /// `zookeeper.cnxTimeout`: how long an election port is dialled.
    pub dial_timeout: Duration,
    /// `zookeeper.quorumCnxnTimeoutMs`, or `syncLimit`: how long the first message of an election
    /// connection may take.
    pub hello_timeout: Duration,
    /// `zookeeper.tcpKeepAlive`.
    pub keep_alive: bool,
    /// Longest string or buffer of a packet, bytes.
    pub max_field: usize,
    /// Bytes that may wait to be sent on one link.
    pub link_queue: usize,
    /// Links at once.
    pub links: usize,
    /// How names become addresses.
    pub resolver: Resolver,
}

impl Settings {
    /// As where nothing is set, of server `me`; the first message may take `hello_timeout`.
    pub fn new(me: Sid, hello_timeout: Duration) -> Settings {
        Settings {
            me,
            listen_everywhere: false,
            observer_master_port: 0,
            multi_address: false,
            bind_tries: 3,
            dial_timeout: Duration::from_secs(5),
            hello_timeout,
            keep_alive: false,
            max_field: 2 * 0xf_ffff,
            link_queue: LINK_QUEUE_BYTES,
            links: QUORUM_LINKS,
            resolver: Resolver::default(),
        }
    }
}

/// What the sockets are connected to.
pub struct Wiring {
    /// The way to the core.
    pub sink: Sink,
    /// The log, for streams.
    pub log: Arc<dyn LogSource>,
    /// The tree, for streams.
    pub snaps: Arc<dyn SnapSource>,
    /// What the log takes of late, beside which streams are paced.
    pub load: Arc<Load>,
    /// Where a received snapshot goes.
    pub installs: Arc<dyn SnapSinks>,
    /// What is done when the election port cannot be bound: the process is of no use, and ends
    /// with [`election::UNABLE_TO_BIND`]. Called with a line for the log.
    pub unable: Box<dyn Fn(String) + Send>,
}

/// What happens on the thread itself.
enum Event {
    /// Somebody has connected to the election port; with the number of its listener.
    ElectionAccepted(u64, TcpStream, std::net::SocketAddr),
    /// It has said who it is.
    ElectionGreeted(u64, Greeted),
    /// A dial of this number has ended: connected, or why not.
    ElectionDialled(Sid, u64, Result<TcpStream, String>),
    /// A connection of this number has ended.
    ElectionEnded(Sid, u64, String),
    /// A listener has given up.
    ElectionDeaf(u64, String),
    /// Somebody has connected to the quorum port; with the number of its listener.
    LinkAccepted(u64, TcpStream, std::net::SocketAddr),
    /// The quorum port cannot be bound.
    LinkDeaf(u64, String),
    /// A dial of this number has ended.
    LinkDialled(Sid, u64, Result<(TcpStream, std::net::SocketAddr), String>),
    /// A link has ended.
    LinkEnded(zk_zab::ids::LinkId, String),
}

type Events = mpsc::UnboundedSender<Event>;

#[derive(Default)]
struct Orders {
    acts: Mutex<(Vec<Act>, bool)>,
    given: Notify,
}

/// The sockets, from outside.
pub struct Peers {
    orders: Arc<Orders>,
    thread: Option<JoinHandle<()>>,
}

impl Peers {
    /// Starts the thread: the election port listens, and nothing else happens until it is told.
    ///
    /// # Errors
    /// There is no thread, or no runtime for it.
    pub fn start(settings: Settings, view: Arc<View>, wiring: Wiring) -> io::Result<Peers> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .max_blocking_threads(RESOLVERS)
            .build()?;
        let orders = Arc::new(Orders::default());
        let theirs = orders.clone();
        let thread = std::thread::Builder::new()
            .name(crate::process::PEERS.into())
            .spawn(move || {
                let streams =
                    Streams::new(wiring.log, wiring.snaps, wiring.load, wiring.sink.clone());
                let (events, happened) = mpsc::unbounded_channel();
                let ends = link::Ends {
                    sink: wiring.sink.clone(),
                    installs: wiring.installs,
                    installing: Arc::default(),
                    max_field: settings.max_field,
                };
                let settings = Arc::new(settings);
                let quorum = QuorumPort::new(
                    settings.clone(),
                    view.clone(),
                    events.clone(),
                    ends,
                    streams.clone(),
                );
                let election = Election::new(settings, view, events, wiring.sink, wiring.unable);
                let hub = Hub { election, quorum };
                runtime.block_on(hub.run(&theirs, happened));
                // A name that is being looked up is not waited for.
                runtime.shutdown_background();
                streams.wait();
            })?;
        let thread = Some(thread);
        Ok(Peers { orders, thread })
    }

    /// Has these carried out, in order; `acts` is left empty. Only what concerns sockets may be
    /// among them.
    pub fn carry_out(&self, acts: &mut Vec<Act>) {
        if acts.is_empty() {
            return;
        }
        let first = {
            let orders = &mut *self.orders.acts.lock();
            let first = orders.0.is_empty();
            orders.0.append(acts);
            first
        };
        if first {
            self.orders.given.notify_one();
        }
    }

    /// Closes every socket and ends every stream. Returns when nothing reads log or tree any more.
    pub fn stop(mut self) {
        self.end();
    }

    fn end(&mut self) {
        self.orders.acts.lock().1 = true;
        self.orders.given.notify_one();
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the thread of the sockets between servers has panicked");
        }
    }
}

impl Drop for Peers {
    fn drop(&mut self) {
        self.end();
    }
}

struct Hub {
    election: Election,
    quorum: QuorumPort,
}

impl Hub {
    async fn run(mut self, orders: &Orders, mut happened: mpsc::UnboundedReceiver<Event>) {
        self.election.listen();
        let mut acts = Vec::new();
        loop {
            tokio::select! {
                () = orders.given.notified() => {
                    let stop = {
                        let orders = &mut *orders.acts.lock();
                        std::mem::swap(&mut orders.0, &mut acts);
                        orders.1
                    };
                    if stop {
                        break;
                    }
                    for act in acts.drain(..) {
                        self.carry_out(act);
                    }
                    self.quorum.flush();
                }
                event = happened.recv() => match event {
                    Some(event) => self.happen(event),
                    None => break,
                },
            }
        }
        self.quorum.close();
    }

    fn carry_out(&mut self, act: Act) {
        match act {
            Act::Broadcast(links, packet) => self.quorum.broadcast(&links, &packet),
            Act::Send(link, packet) => self.quorum.send(link, &packet),
            Act::Cast(sid, notification) => self.election.cast(sid, &notification),
            Act::View(view) => {
                self.quorum.set_view(view.clone());
                self.election.set_view(view);
            }
            Act::RestartElection => self.election.restart(),
            Act::Dial(sid, ms) => self.quorum.dial(sid, ms, Port::Quorum),
            Act::DialMaster(sid, ms) => self.quorum.dial(sid, ms, Port::ObserverMaster),
            Act::Listen(on) => self.quorum.listen(on, Port::Quorum),
            Act::ListenMaster(on) => self.quorum.listen(on, Port::ObserverMaster),
            Act::Hangup(link) => self.quorum.hang_up(link),
            Act::Stream(link, plan) => self.quorum.stream(link, plan),
            Act::StreamMore(link, until) => self.quorum.stream_more(link, until),
            Act::ReadSnap(link, zxid) => self.quorum.read_snap(link, zxid),
            Act::Append(..)
            | Act::Stage(..)
            | Act::Job(..)
            | Act::Abandon
            | Act::ReadLog { .. }
            | Act::Log(..)
            | Act::Violation(_) => unreachable!("no work of the sockets: {act:?}"),
        }
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::ElectionAccepted(of, stream, peer) => self.election.accepted(of, stream, peer),
            Event::ElectionGreeted(of, greeted) => self.election.greeted(of, greeted),
            Event::ElectionDialled(sid, dial, outcome) => {
                self.election.dialled(sid, dial, outcome);
            }
            Event::ElectionEnded(sid, conn, why) => self.election.ended(sid, conn, &why),
            Event::ElectionDeaf(of, why) => self.election.deaf(of, &why),
            Event::LinkAccepted(of, stream, peer) => self.quorum.accepted(of, stream, peer),
            Event::LinkDeaf(of, why) => self.quorum.deaf(of, why),
            Event::LinkDialled(sid, dial, outcome) => self.quorum.dialled(sid, dial, outcome),
            Event::LinkEnded(link, why) => self.quorum.ended(link, why),
        }
    }
}
