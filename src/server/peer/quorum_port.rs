//! The quorum port: its listener while this server leads, the dial while it follows, and the links
//! of both.
//!
//! Owns: the links by id, and which packets are encoded once for several. Does not know: which of
//! them are learners, and what they are told.
//!
//! Invariants: see [`super`]. A dial that a later one has replaced says nothing.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::net::TcpStream;
use tokio::task::{AbortHandle, JoinHandle};
use zk_wire::quorum::packet::Packet;
use zk_zab::ids::{LinkId, Sid, Zxid};
use zk_zab::io::{In, StreamPlan};
use zk_zab::view::View;

use super::address::{self, Place};
use super::budget::Delivery;
use super::link::{self, Ends, Link};
use super::stream::Streams;
use super::{Event, Events, Settings};
use crate::limits::{ACCEPT_PAUSE, SHARE_BYTES};

struct Held {
    link: Arc<Link>,
    task: AbortHandle,
}

/// Packets for the same links that follow each other.
#[derive(Default)]
struct Run {
    links: Arc<[LinkId]>,
    bytes: Vec<u8>,
}

/// Which port of a member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Port {
    /// Where a leader serves learners.
    Quorum,
    /// Where a follower serves observers.
    ObserverMaster,
}

/// See the module.
pub struct QuorumPort {
    settings: Arc<Settings>,
    view: Arc<View>,
    events: Events,
    ends: Ends,
    streams: Arc<Streams>,
    links: HashMap<LinkId, Held>,
    next: u64,
    listeners: Vec<JoinHandle<()>>,
    /// Number of the listener, and of the dial, that counts.
    listening: u64,
    dialling: u64,
    dial: Option<AbortHandle>,
    run: Run,
    refused: Option<Instant>,
}

impl QuorumPort {
    /// No link, no listener.
    pub(super) fn new(
        settings: Arc<Settings>,
        view: Arc<View>,
        events: Events,
        ends: Ends,
        streams: Arc<Streams>,
    ) -> QuorumPort {
        QuorumPort {
            settings,
            view,
            events,
            ends,
            streams,
            links: HashMap::new(),
            next: 0,
            listeners: Vec::new(),
            listening: 0,
            dialling: 0,
            dial: None,
            run: Run::default(),
            refused: None,
        }
    }

    /// Other addresses hold.
    pub fn set_view(&mut self, view: Arc<View>) {
        self.view = view;
    }

    fn tell(&self, input: In) {
        (self.ends.sink)(Delivery::free(vec![input]));
    }

    /// Listens on my addresses, or stops to. As in Java one of them is enough, and without any
    /// this server cannot lead: the core is told to resign. A follower follows without observers.
    pub fn listen(&mut self, on: bool, port: Port) {
        self.listening += 1;
        let before: Vec<JoinHandle<()>> = self.listeners.drain(..).collect();
        before.iter().for_each(JoinHandle::abort);
        if !on {
            // A later listener waits for these to be gone.
            self.listeners = before;
            return;
        }
        let places = self.places(self.settings.me, port);
        let places = address::to_bind(places, self.settings.listen_everywhere);
        let (of, events, settings) = (self.listening, self.events.clone(), self.settings.clone());
        self.listeners.push(tokio::spawn(async move {
            for listener in before {
                // It was told to end; there is nothing in how it did.
                let _ = listener.await;
            }
            let mut listeners = Vec::new();
            let mut failed = Vec::new();
            for place in places {
                let everywhere = settings.listen_everywhere;
                match address::listen(&settings.resolver, &place, everywhere).await {
                    Ok(listener) => listeners.push(accept(listener, of, events.clone())),
                    Err(error) => {
                        tracing::error!("cannot listen for learners on {place}: {error}");
                        failed.push(format!("{place}: {error}"));
                    }
                }
            }
            if listeners.is_empty() && port == Port::ObserverMaster {
                return;
            }
            if listeners.is_empty() {
                let why = format!("cannot listen for learners: {}", failed.join(", "));
                // The hub has ended if it does not listen.
                let _ = events.send(Event::LinkDeaf(of, why));
                return;
            }
            let mut set = tokio::task::JoinSet::new();
            for listener in listeners {
                set.spawn(listener);
            }
            while set.join_next().await.is_some() {}
        }));
    }

    /// Quorum addresses of a server: of the committed configuration, else of the last seen one. Its
    /// observer master's port is at the same hosts.
    fn places(&self, sid: Sid, port: Port) -> Vec<Place> {
        let member = self.view.member(sid);
        let addresses = member.into_iter().flat_map(|member| &member.addresses);
        addresses
            .map(|it| Place {
                host: it.host.clone(),
                port: match port {
                    Port::Quorum => it.quorum,
                    Port::ObserverMaster => self.settings.observer_master_port,
                },
            })
            .collect()
    }

    /// No address could be bound.
    pub(super) fn deaf(&mut self, of: u64, why: String) {
        if of == self.listening {
            self.tell(In::Resign(why));
        }
    }

    /// Somebody has connected.
    pub(super) fn accepted(&mut self, of: u64, stream: TcpStream, peer: SocketAddr) {
        if of != self.listening {
            return;
        }
        let most = self.settings.links;
        if self.links.len() >= most {
            // One line for a flood.
            let long_ago = self.refused.is_none_or(|at| at.elapsed() > ONE_LINE_PER);
            if long_ago {
                self.refused = Some(Instant::now());
                tracing::warn!("the quorum port has {most} links: {peer} is refused");
            }
            return;
        }
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!("connection of {peer}: {error}");
            return;
        }
        let link = self.add(peer.to_string(), false);
        let address = peer.to_string();
        self.tell(In::Accepted { link, address });
        self.start(link, stream);
    }

    fn add(&mut self, peer: String, dialled: bool) -> LinkId {
        self.next += 1;
        let id = LinkId(self.next);
        let link = Link::new(id, peer, dialled, self.settings.link_queue);
        // Replaced once there is a task.
        let task = tokio::spawn(std::future::ready(())).abort_handle();
        self.links.insert(id, Held { link, task });
        id
    }

    fn start(&mut self, id: LinkId, stream: TcpStream) {
        let Some(held) = self.links.get_mut(&id) else {
            return;
        };
        let (link, ends, events) = (held.link.clone(), self.ends.clone(), self.events.clone());
        let task = tokio::spawn(async move {
            let why = link::run(link, stream, ends).await;
            // The hub has ended if it does not listen.
            let _ = events.send(Event::LinkEnded(id, why));
        });
        held.task = task.abort_handle();
    }

    /// A link has ended by itself.
    pub(super) fn ended(&mut self, id: LinkId, why: String) {
        if let Some(held) = self.links.remove(&id) {
            tracing::debug!("{id} of {}: {why}", held.link.peer);
            self.tell(In::Closed { link: id, why });
        }
    }

    /// Connects to a server, all its addresses at once.
    pub fn dial(&mut self, sid: Sid, ms: i64, port: Port) {
        if let Some(before) = self.dial.take() {
            before.abort();
        }
        self.dialling += 1;
        let (dial, events, settings) = (self.dialling, self.events.clone(), self.settings.clone());
        let places = self.places(sid, port);
        let at_most = Duration::from_millis(ms.max(0).unsigned_abs());
        let task = tokio::spawn(async move {
            let outcome = address::connect(&settings.resolver, &places, at_most).await;
            // The hub has ended if it does not listen.
            let _ = events.send(Event::LinkDialled(sid, dial, outcome));
        });
        self.dial = Some(task.abort_handle());
    }

    /// A dial has ended.
    pub(super) fn dialled(
        &mut self,
        sid: Sid,
        dial: u64,
        outcome: Result<(TcpStream, SocketAddr), String>,
    ) {
        if dial != self.dialling {
            return;
        }
        match outcome {
            Ok((stream, peer)) => {
                let link = self.add(peer.to_string(), true);
                self.tell(In::Dialled { link, sid });
                self.start(link, stream);
            }
            Err(why) => self.tell(In::DialFailed { sid, why }),
        }
    }

    /// Sends a packet.
    pub fn send(&mut self, link: LinkId, packet: &Packet) {
        self.flush();
        if let Some(held) = self.links.get(&link) {
            held.link.send(packet);
        }
    }

    /// Sends a packet to several links.
    pub fn broadcast(&mut self, links: &Arc<[LinkId]>, packet: &Packet) {
        if self.run.links != *links {
            self.flush();
            self.run.links = links.clone();
        }
        packet.encode_into(&mut self.run.bytes);
    }

    /// Hands over what was broadcast.
    pub fn flush(&mut self) {
        if self.run.bytes.is_empty() {
            return;
        }
        let bytes: Bytes = std::mem::take(&mut self.run.bytes).into();
        let share = bytes.len() >= SHARE_BYTES;
        for link in self.run.links.iter() {
            if let Some(held) = self.links.get(link) {
                held.link.send_bytes(&bytes, share);
            }
        }
    }

    /// Closes a link; nothing more is said of it.
    pub fn hang_up(&mut self, link: LinkId) {
        self.flush();
        if let Some(held) = self.links.remove(&link) {
            held.link.close();
            held.task.abort();
        }
    }

    /// Begins a stream.
    pub fn stream(&mut self, link: LinkId, plan: StreamPlan) {
        self.flush();
        if let Some(held) = self.links.get(&link) {
            self.streams.begin(&held.link, plan);
        }
    }

    /// Lets a stream go on.
    pub fn stream_more(&mut self, link: LinkId, until: Zxid) {
        self.flush();
        if let Some(held) = self.links.get(&link) {
            self.streams.go_on(&held.link, until);
        }
    }

    /// A snapshot follows.
    pub fn read_snap(&mut self, link: LinkId, zxid: Zxid) {
        if let Some(held) = self.links.get(&link) {
            held.link.read_snap(zxid);
        }
    }

    /// Closes everything.
    pub fn close(&mut self) {
        for (_, held) in self.links.drain() {
            held.link.close();
            held.task.abort();
        }
    }
}

/// How often refused links are told of.
const ONE_LINE_PER: Duration = Duration::from_secs(10);

async fn accept(listener: tokio::net::TcpListener, of: u64, events: Events) {
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => {
                if events.send(Event::LinkAccepted(of, stream, peer)).is_err() {
                    return;
                }
            }
            Err(error) => {
                tracing::warn!("accepting a learner failed: {error}");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}
