//! The election port: who is connected with whom, and the one notification that waits for each.
//!
//! Owns: the listener, the first message of both sides, and which of two connections of a pair
//! stays: that which the server with the larger id has opened. Does not know: what a notification
//! means, or when one is due.
//!
//! Invariants: for each server at most one connection, one dial and one message that waits: a newer
//! one takes its place. The last message that was sent goes out again on a new connection, unless
//! there is a newer one, since nobody knows whether it arrived. A connection is told of when it is
//! there and when it has ended, and also when it could not be made. Somebody who says nothing holds
//! nobody else up.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use bytes::{Buf, Bytes, BytesMut};
use parking_lot::Mutex;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::sync::Notify;
use tokio::task::{AbortHandle, JoinHandle};
use zk_wire::quorum::config::Member;
use zk_wire::quorum::hello::{self, Hello};
use zk_wire::quorum::notification::{Notification, frame_length};
use zk_zab::ids::Sid;
use zk_zab::io::In;
use zk_zab::view::View;

use super::address::{self, Deaf, Place};
use super::budget::{Budget, Delivery};
use super::link::reserve;
use super::{Event, Events, Settings, Sink};
use crate::limits::{
    ACCEPT_PAUSE, BIND_PAUSE, CALL_BACK, ELECTION_IN_BYTES, HANDSHAKES, OUTSIDERS, TWIN_EVERY,
};

/// Exit code of a process whose election port cannot be bound (Java's).
pub const UNABLE_TO_BIND: i32 = 14;

/// The id of a server that has none; each gets a negative one of its own.
const ANONYMOUS: i64 = i64::MAX;

/// Somebody that has said who it is.
pub(super) struct Greeted {
    stream: TcpStream,
    address: SocketAddr,
    hello: Hello,
    /// What came behind its first message.
    rest: BytesMut,
}

/// What waits for one server.
#[derive(Debug, Default)]
struct Mail {
    slot: Mutex<Slot>,
    filled: Notify,
}

/// Frames: a length and a notification.
#[derive(Debug, Default)]
struct Slot {
    next: Option<Bytes>,
    last: Option<Bytes>,
}

#[derive(Default)]
struct Peer {
    mail: Arc<Mail>,
    /// With its number.
    conn: Option<(u64, AbortHandle)>,
    dial: Option<(u64, AbortHandle)>,
}

impl Peer {
    fn drop_dial(&mut self) {
        if let Some((_, dial)) = self.dial.take() {
            dial.abort();
        }
    }

    fn drop_conn(&mut self) -> bool {
        let Some((_, conn)) = self.conn.take() else {
            return false;
        };
        conn.abort();
        true
    }
}

/// See the module.
pub struct Election {
    settings: Arc<Settings>,
    view: Arc<View>,
    /// My line of the configuration; kept when there is none any more.
    mine: Option<Member>,
    events: Events,
    sink: Sink,
    unable: Box<dyn Fn(String) + Send>,
    peers: HashMap<Sid, Peer>,
    handshakes: VecDeque<AbortHandle>,
    listeners: Vec<JoinHandle<()>>,
    /// Listeners of the present number that have not given up.
    hearing: usize,
    /// Number of the listeners that count.
    listening: u64,
    next: u64,
    anonymous: i64,
    /// When it was told last that two servers have an id, of those of the configurations.
    twins: HashMap<Sid, Instant>,
}

impl Election {
    /// Nothing yet.
    pub(super) fn new(
        settings: Arc<Settings>,
        view: Arc<View>,
        events: Events,
        sink: Sink,
        unable: Box<dyn Fn(String) + Send>,
    ) -> Election {
        let mut election = Election {
            settings,
            view: view.clone(),
            mine: None,
            events,
            sink,
            unable,
            peers: HashMap::new(),
            handshakes: VecDeque::new(),
            listeners: Vec::new(),
            hearing: 0,
            listening: 0,
            next: 0,
            anonymous: 0,
            twins: HashMap::new(),
        };
        election.set_view(view);
        election
    }

    /// Other addresses hold, from the next dial on.
    pub fn set_view(&mut self, view: Arc<View>) {
        if let Some(mine) = view.member(self.settings.me) {
            self.mine = Some(mine.clone());
        }
        self.view = view;
    }

    fn tell(&self, input: In) {
        (self.sink)(Delivery::free(vec![input]));
    }

    /// Listens on my election addresses; what listened before stops.
    pub fn listen(&mut self) {
        self.listening += 1;
        let before: Vec<JoinHandle<()>> = self.listeners.drain(..).collect();
        before.iter().for_each(JoinHandle::abort);
        let places = places(self.mine.as_ref());
        let places = address::to_bind(places, self.settings.listen_everywhere);
        if places.is_empty() {
            tracing::warn!(
                "no configuration has server {}: it has no election port",
                self.settings.me
            );
        }
        self.hearing = places.len();
        let gone = Arc::new(tokio::sync::Semaphore::new(0));
        {
            let (gone, places) = (gone.clone(), places.len());
            self.listeners.push(tokio::spawn(async move {
                for listener in before {
                    // It was told to end; there is nothing in how it did.
                    let _ = listener.await;
                }
                gone.add_permits(places);
            }));
        }
        for place in places {
            let (of, events, settings) =
                (self.listening, self.events.clone(), self.settings.clone());
            let gone = gone.clone();
            self.listeners.push(tokio::spawn(async move {
                // The ports of those before are free then.
                let free = gone.acquire().await;
                drop(free);
                let why = hear(place, of, &events, &settings).await;
                // The hub has ended if it does not listen.
                let _ = events.send(Event::ElectionDeaf(of, why));
            }));
        }
    }

    /// A listener has given up. As in Java one that is left is enough.
    pub(super) fn deaf(&mut self, of: u64, why: &str) {
        if of != self.listening {
            return;
        }
        tracing::error!("{why}");
        self.hearing -= 1;
        if self.hearing == 0 {
            (self.unable)(why.to_owned());
        }
    }

    /// Closes everything, forgets what waits, and listens anew.
    pub fn restart(&mut self) {
        self.handshakes.drain(..).for_each(|it| it.abort());
        let before = std::mem::take(&mut self.peers);
        for (sid, mut peer) in before {
            peer.drop_dial();
            if peer.drop_conn() {
                self.tell(In::PeerDown(sid));
            }
        }
        self.listen();
    }

    /// Somebody has connected: it has a while to say who it is.
    pub(super) fn accepted(&mut self, of: u64, stream: TcpStream, address: SocketAddr) {
        if of != self.listening {
            return;
        }
        self.handshakes.retain(|it| !it.is_finished());
        if self.handshakes.len() >= HANDSHAKES
            && let Some(oldest) = self.handshakes.pop_front()
        {
            tracing::warn!(
                "{HANDSHAKES} connections to the election port say nothing: the oldest is closed"
            );
            oldest.abort();
        }
        let (events, settings) = (self.events.clone(), self.settings.clone());
        let task = tokio::spawn(async move {
            let mut stream = stream;
            let heard = tokio::time::timeout(settings.hello_timeout, greet(&mut stream)).await;
            let why = match heard {
                Ok(Ok((hello, rest))) => {
                    let greeted = Greeted {
                        stream,
                        address,
                        hello,
                        rest,
                    };
                    // The hub has ended if it does not listen.
                    let _ = events.send(Event::ElectionGreeted(of, greeted));
                    return;
                }
                Ok(Err(why)) => why,
                Err(_) => format!("nothing in {} ms", settings.hello_timeout.as_millis()),
            };
            tracing::warn!("connection of {address} to the election port: {why}");
        });
        self.handshakes.push_back(task.abort_handle());
    }

    /// Somebody has said who it is.
    pub(super) fn greeted(&mut self, of: u64, greeted: Greeted) {
        if of != self.listening {
            return;
        }
        let Greeted {
            stream,
            address,
            hello,
            rest,
        } = greeted;
        let sid = if hello.sid == ANONYMOUS {
            self.anonymous -= 1;
            tracing::info!("{address} has no id: it is {} here", self.anonymous);
            Sid(self.anonymous)
        } else {
            Sid(hello.sid)
        };
        if sid == self.settings.me {
            self.twin(
                sid,
                &format!("{address} says that it is server {sid}, which I am"),
            );
            return;
        }
        if self.is_one_too_many(sid) {
            tracing::warn!(
                "{address} says that it is server {sid}, which is in no configuration, and there are {OUTSIDERS} such servers already"
            );
            return;
        }
        self.compare(sid, address, &hello);
        if sid > self.settings.me {
            self.adopt(sid, stream, rest);
            return;
        }
        // What there is may be half dead, since its other end wants a new one.
        drop(stream);
        let peer = self.peers.entry(sid).or_default();
        if peer.drop_conn() {
            self.tell(In::PeerDown(sid));
        }
        let advertised: Vec<Place> = hello
            .addresses
            .into_iter()
            .map(|(host, port)| Place { host, port })
            .collect();
        if advertised.is_empty() {
            self.dial(sid);
        } else {
            self.dial_at(sid, vec![advertised]);
        }
    }

    /// Whoever says where it listens says so in the words of its own configuration. They are
    /// compared with mine: another server by mistake has the same id on another machine.
    fn compare(&mut self, sid: Sid, from: SocketAddr, hello: &Hello) {
        if hello.addresses.is_empty() {
            return;
        }
        let known = [self.view.committed(), self.view.last_seen()]
            .into_iter()
            .flat_map(|config| places(config.members.get(&sid.0)));
        let known: BTreeSet<Place> = known.collect();
        let said = |place: &Place| {
            let mut said = hello.addresses.iter();
            said.any(|(host, port)| *host == place.host && *port == place.port)
        };
        // Java's advice for some networks is to write the wildcard in one's own line.
        let is_wildcard = |host: &str| {
            host.parse::<std::net::IpAddr>()
                .is_ok_and(|ip| ip.is_unspecified())
        };
        if known.is_empty()
            || known.iter().any(said)
            || hello.addresses.iter().any(|(host, _)| is_wildcard(host))
        {
            return;
        }
        let list = |places: &mut dyn Iterator<Item = String>| places.collect::<Vec<_>>().join(", ");
        let there = list(
            &mut hello
                .addresses
                .iter()
                .map(|(host, port)| format!("{host}:{port}")),
        );
        let here = list(&mut known.iter().map(ToString::to_string));
        self.twin(
            sid,
            &format!(
                "{from} says that it is server {sid} with the election port {there}; here it is {here} (or the two have different configurations)"
            ),
        );
    }

    /// Says of an id now and then that two servers seem to have it.
    fn twin(&mut self, sid: Sid, what: &str) {
        let due = |told: &Instant| told.elapsed() >= TWIN_EVERY;
        if self.twins.get(&sid).is_none_or(due) {
            self.twins.insert(sid, Instant::now());
            tracing::warn!("{what}: two servers with one id?");
        }
    }

    fn is_outside(&self, sid: Sid) -> bool {
        self.view.member(sid).is_none()
    }

    fn is_one_too_many(&self, sid: Sid) -> bool {
        if self.peers.contains_key(&sid) || !self.is_outside(sid) {
            return false;
        }
        let outside = self.peers.keys().filter(|sid| self.is_outside(**sid));
        outside.count() >= OUTSIDERS
    }

    /// Nothing is kept of a server outside the configurations that is not there.
    fn forget(&mut self, sid: Sid) {
        let peer = self.peers.get(&sid);
        if peer.is_some_and(|it| it.conn.is_none() && it.dial.is_none()) && self.is_outside(sid) {
            self.peers.remove(&sid);
        }
    }

    /// This connection is that of the pair.
    fn adopt(&mut self, sid: Sid, stream: TcpStream, rest: BytesMut) {
        if self.settings.keep_alive
            && let Err(error) = socket2::SockRef::from(&stream).set_keepalive(true)
        {
            tracing::debug!("election connection of server {sid}: {error}");
        }
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!("election connection of server {sid}: {error}");
        }
        self.next += 1;
        let number = self.next;
        let peer = self.peers.entry(sid).or_default();
        peer.drop_dial();
        peer.drop_conn();
        let (mail, sink, events) = (peer.mail.clone(), self.sink.clone(), self.events.clone());
        self.tell(In::PeerUp(sid));
        let task = tokio::spawn(async move {
            let why = converse(sid, stream, rest, &mail, &sink).await;
            // The hub has ended if it does not listen.
            let _ = events.send(Event::ElectionEnded(sid, number, why));
        });
        let peer = self.peers.entry(sid).or_default();
        peer.conn = Some((number, task.abort_handle()));
    }

    /// A connection has ended by itself.
    pub(super) fn ended(&mut self, sid: Sid, number: u64, why: &str) {
        let Some(peer) = self.peers.get_mut(&sid) else {
            return;
        };
        if peer.conn.as_ref().is_none_or(|(conn, _)| *conn != number) {
            return;
        }
        peer.conn = None;
        tracing::warn!("the election connection with server {sid} has ended: {why}");
        self.tell(In::PeerDown(sid));
        self.forget(sid);
    }

    /// Sends a notification; makes a connection if there is none.
    pub fn cast(&mut self, sid: Sid, notification: &Notification) {
        if self.is_outside(sid) && !self.peers.contains_key(&sid) {
            tracing::warn!("no configuration has server {sid}, and it is not connected");
            self.tell(In::PeerDown(sid));
            return;
        }
        let message = notification.encode();
        let mut frame = BytesMut::with_capacity(4 + message.len());
        frame.extend_from_slice(&(message.len() as u32).to_be_bytes());
        frame.extend_from_slice(&message);
        let peer = self.peers.entry(sid).or_default();
        peer.mail.slot.lock().next = Some(frame.freeze());
        if peer.conn.is_some() {
            peer.mail.filled.notify_one();
        } else {
            self.dial(sid);
        }
    }

    /// Dials the configured address, then that of a proposed configuration.
    fn dial(&mut self, sid: Sid) {
        let of = |members: &std::collections::BTreeMap<i64, Member>| places(members.get(&sid.0));
        let committed = of(&self.view.committed().members);
        let last_seen = of(&self.view.last_seen().members);
        let mut ways = vec![committed];
        if last_seen != ways[0] {
            ways.push(last_seen);
        }
        ways.retain(|places| !places.is_empty());
        self.dial_at(sid, ways);
    }

    fn dial_at(&mut self, sid: Sid, ways: Vec<Vec<Place>>) {
        self.next += 1;
        let number = self.next;
        let multi = self.settings.multi_address;
        let addresses: Vec<(String, u16)> = places(self.mine.as_ref())
            .into_iter()
            .map(|place| (place.host, place.port))
            .collect();
        let me = self.settings.me;
        let peer = self.peers.entry(sid).or_default();
        if peer.dial.is_some() {
            return;
        }
        let message = hello::encode(me.0, &addresses, multi);
        let (events, settings) = (self.events.clone(), self.settings.clone());
        let task = tokio::spawn(async move {
            let mut outcome = Err("it has no address".to_owned());
            for places in ways {
                outcome = reach(&settings, &places, &message).await;
                if outcome.is_ok() {
                    break;
                }
            }
            if sid > me
                && let Ok(stream) = outcome
            {
                // The one that it opens stays. When that comes this task is ended.
                drop(stream);
                tokio::time::sleep(CALL_BACK).await;
                outcome = Err("it does not call back".to_owned());
            }
            // The hub has ended if it does not listen.
            let _ = events.send(Event::ElectionDialled(sid, number, outcome));
        });
        peer.dial = Some((number, task.abort_handle()));
    }

    /// A dial has ended.
    pub(super) fn dialled(&mut self, sid: Sid, number: u64, outcome: Result<TcpStream, String>) {
        let Some(peer) = self.peers.get_mut(&sid) else {
            return;
        };
        if peer.dial.as_ref().is_none_or(|(dial, _)| *dial != number) {
            return;
        }
        peer.dial = None;
        match outcome {
            Ok(stream) => self.adopt(sid, stream, BytesMut::new()),
            Err(why) => {
                tracing::warn!("no election connection with server {sid}: {why}");
                if self.peers.get(&sid).is_some_and(|it| it.conn.is_none()) {
                    self.tell(In::PeerDown(sid));
                }
                self.forget(sid);
            }
        }
    }
}

/// Election addresses of a member.
fn places(member: Option<&Member>) -> Vec<Place> {
    let addresses = member.into_iter().flat_map(|member| &member.addresses);
    addresses
        .map(|it| Place {
            host: it.host.clone(),
            port: it.election,
        })
        .collect()
}

/// Connects, and says who I am in one write: Java takes whatever its first read of the addresses
/// gives for all of them.
async fn reach(settings: &Settings, places: &[Place], message: &[u8]) -> Result<TcpStream, String> {
    let connected = address::connect(&settings.resolver, places, settings.dial_timeout).await;
    let (mut stream, address) = connected?;
    let said = tokio::time::timeout(settings.hello_timeout, stream.write_all(message)).await;
    match said {
        Ok(Ok(())) => Ok(stream),
        Ok(Err(error)) => Err(format!("{address}: {error}")),
        Err(_) => Err(format!("{address}: it takes nothing")),
    }
}

/// Reads a first message, and what came with it.
async fn greet(stream: &mut TcpStream) -> Result<(Hello, BytesMut), String> {
    let mut buf = BytesMut::new();
    loop {
        match Hello::decode(&buf).map_err(|error| error.to_string())? {
            Some((hello, taken)) => {
                buf.advance(taken);
                return Ok((hello, buf));
            }
            None => match stream.read_buf(&mut buf).await {
                Ok(0) => return Err("it has closed the connection before its first message".into()),
                Ok(_) => {}
                Err(error) => return Err(error.to_string()),
            },
        }
    }
}

/// Listens at one place. Returns why it does not: it could not be bound so many times.
async fn hear(place: Place, of: u64, events: &Events, settings: &Settings) -> String {
    let mut failed = 0;
    loop {
        let everywhere = settings.listen_everywhere;
        let error = match address::listen(&settings.resolver, &place, everywhere).await {
            Ok(listener) => {
                tracing::info!("the election port is {place}");
                loop {
                    match listener.accept().await {
                        Ok((stream, address)) => {
                            let event = Event::ElectionAccepted(of, stream, address);
                            if events.send(event).is_err() {
                                return "the server stops".into();
                            }
                        }
                        Err(error) => {
                            tracing::warn!("accepting a server failed: {error}");
                            tokio::time::sleep(ACCEPT_PAUSE).await;
                        }
                    }
                }
            }
            Err(error) => error,
        };
        // A name that has no address yet is waited for: that is no fault of the port.
        if matches!(error, Deaf::Unbound(_)) {
            failed += 1;
        }
        if failed > 0 && failed == settings.bind_tries {
            return format!(
                "cannot listen on the election port {place}: {error} ({failed} tries, zookeeper.electionPortBindRetry)"
            );
        }
        tracing::error!("cannot listen on the election port {place} yet: {error}");
        tokio::time::sleep(BIND_PAUSE).await;
    }
}

/// Runs a connection until it ends. Returns why.
async fn converse(
    sid: Sid,
    mut stream: TcpStream,
    rest: BytesMut,
    mail: &Mail,
    sink: &Sink,
) -> String {
    let (reader, writer) = stream.split();
    tokio::select! {
        why = read(sid, reader, rest, sink) => why,
        why = write(writer, mail) => why,
    }
}

async fn read(sid: Sid, mut reader: ReadHalf<'_>, mut buf: BytesMut, sink: &Sink) -> String {
    let budget = Budget::new(ELECTION_IN_BYTES);
    loop {
        let mut inputs = Vec::new();
        let mut bytes = 0;
        let bad = loop {
            match frame(&mut buf) {
                Ok(Some(message)) => match Notification::decode(&message) {
                    Ok(notification) => {
                        bytes += message.len();
                        inputs.push(In::Vote {
                            from: sid,
                            notification,
                        });
                    }
                    Err(error) => tracing::warn!("server {sid}: {error}: ignored"),
                },
                Ok(None) => break None,
                Err(length) => break Some(format!("a message of {length} bytes")),
            }
        };
        if !inputs.is_empty() {
            sink(Delivery::counted(inputs, budget.take(bytes)));
        }
        if let Some(why) = bad {
            return why;
        }
        budget.room().await;
        reserve(&mut buf);
        match reader.read_buf(&mut buf).await {
            Ok(0) => return "it has closed the connection".into(),
            Ok(_) => {}
            Err(error) => return error.to_string(),
        }
    }
}

/// Takes the next message, if it is there whole.
fn frame(buf: &mut BytesMut) -> Result<Option<BytesMut>, i32> {
    let Some(prefix) = buf.first_chunk::<4>() else {
        return Ok(None);
    };
    let length = frame_length(*prefix)?;
    if buf.len() < 4 + length {
        return Ok(None);
    }
    buf.advance(4);
    Ok(Some(buf.split_to(length)))
}

async fn write(mut writer: WriteHalf<'_>, mail: &Mail) -> String {
    {
        let slot = &mut *mail.slot.lock();
        if slot.next.is_none() {
            slot.next = slot.last.clone();
        }
    }
    loop {
        let next = {
            let slot = &mut *mail.slot.lock();
            let next = slot.next.take();
            if next.is_some() {
                slot.last.clone_from(&next);
            }
            next
        };
        match next {
            None => mail.filled.notified().await,
            Some(frame) => {
                if let Err(error) = writer.write_all(&frame).await {
                    return error.to_string();
                }
            }
        }
    }
}
