//! The sockets between servers, against peers that say exactly what they are told to.

mod election;
mod links;
mod syncs;

use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver};
use std::time::{Duration, Instant};

use zabkeeper::pace::Load;
use zabkeeper::peer::budget::Delivery;
use zabkeeper::peer::install::{SnapSink, SnapSinks};
use zabkeeper::peer::stream::{Broken, LogRecords, LogSource, SnapSource};
use zabkeeper::peer::{Peers, Settings, Wiring};
use zk_wire::quorum::config::QuorumConfig;
use zk_wire::quorum::notification::{Notification, PeerState};
use zk_wire::quorum::packet::{Packet, PacketKind};
use zk_zab::ids::{LinkId, Sid, Zxid};
use zk_zab::io::{Act, In};
use zk_zab::view::View;

use crate::harness::BOUND;

/// A port that nobody has now.
pub fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.local_addr().expect("its address").port()
}

/// Servers of one ensemble: quorum and election port of each.
#[derive(Clone)]
pub struct Plan(pub Vec<(i64, String, u16, u16)>);

impl Plan {
    /// These servers, on this machine.
    pub fn of(sids: &[i64]) -> Plan {
        let server = |sid: &i64| (*sid, "127.0.0.1".to_owned(), free_port(), free_port());
        Plan(sids.iter().map(server).collect())
    }

    fn line(&self, sid: i64) -> &(i64, String, u16, u16) {
        let line = self.0.iter().find(|it| it.0 == sid);
        line.expect("a server of the plan")
    }

    pub fn quorum(&self, sid: i64) -> u16 {
        self.line(sid).2
    }

    pub fn election(&self, sid: i64) -> u16 {
        self.line(sid).3
    }

    /// As server `me` sees it.
    pub fn view(&self, me: i64) -> Arc<View> {
        let text: String = self
            .0
            .iter()
            .map(|(sid, host, quorum, election)| {
                format!("server.{sid}={host}:{quorum}:{election}\n")
            })
            .collect();
        let config = QuorumConfig::parse(&text, false).expect("a configuration");
        Arc::new(View::new(Sid(me), true, config, None))
    }
}

/// Nothing that could be sent or taken.
pub struct Nothing;

impl LogSource for Nothing {
    fn open(&self, _: Zxid, _: Zxid) -> Result<Box<dyn LogRecords>, String> {
        Err("there is no log".into())
    }
}

impl SnapSource for Nothing {
    fn send(
        &self,
        _: &mut dyn FnMut(Zxid) -> Result<(), Broken>,
        _: &mut dyn FnMut(Vec<u8>) -> Result<(), Broken>,
    ) -> Result<(), Broken> {
        Err(Broken::Source("there is no tree".into()))
    }
}

impl SnapSinks for Nothing {
    fn begin(&self, _: Zxid) -> Result<Box<dyn SnapSink>, String> {
        Err("there is no place for a tree".into())
    }
}

/// One server's sockets, and what they have told.
pub struct Server {
    peers: Peers,
    told: Receiver<Delivery>,
    seen: VecDeque<In>,
    /// Deliveries are kept if this is set, as by a core that is behind.
    pub behind: Option<Vec<Delivery>>,
    /// Lines of a server that is of no use.
    pub unable: Receiver<String>,
    /// What its log has taken of late.
    pub load: Arc<Load>,
}

/// What a test may set.
pub fn settings(me: i64) -> Settings {
    Settings::new(Sid(me), Duration::from_secs(20))
}

/// Sockets of a server that has nothing to send. It listens already.
pub fn start(me: i64, plan: &Plan) -> Server {
    let server = start_with(settings(me), plan.view(me));
    connect(plan.election(me));
    server
}

/// The same, set otherwise.
pub fn start_with(settings: Settings, view: Arc<View>) -> Server {
    let nothing = Arc::new(Nothing);
    start_wired(settings, view, nothing.clone(), nothing.clone(), nothing)
}

/// Sockets of a server.
pub fn start_wired(
    settings: Settings,
    view: Arc<View>,
    log: Arc<dyn LogSource>,
    snaps: Arc<dyn SnapSource>,
    installs: Arc<dyn SnapSinks>,
) -> Server {
    let (tell, told) = mpsc::channel();
    let (say, unable) = mpsc::channel();
    let load = Arc::new(Load::default());
    let wiring = Wiring {
        // The test may be over.
        sink: Arc::new(move |delivery| drop(tell.send(delivery))),
        log,
        snaps,
        load: load.clone(),
        installs,
        unable: Box::new(move |line| drop(say.send(line))),
    };
    Server {
        peers: Peers::start(settings, view, wiring).expect("a thread"),
        told,
        seen: VecDeque::new(),
        behind: None,
        unable,
        load,
    }
}

impl Server {
    pub fn act(&self, act: Act) {
        self.peers.carry_out(&mut vec![act]);
    }

    pub fn acts(&self, mut acts: Vec<Act>) {
        self.peers.carry_out(&mut acts);
    }

    fn receive(&mut self, at_most: Duration) -> bool {
        match self.told.recv_timeout(at_most) {
            Ok(mut delivery) => {
                self.seen.extend(delivery.inputs.drain(..));
                if let Some(behind) = &mut self.behind {
                    behind.push(delivery);
                }
                true
            }
            Err(_) => false,
        }
    }

    /// The next input that `wanted` takes; those before it are passed over.
    pub fn until<T>(&mut self, mut wanted: impl FnMut(&In) -> Option<T>) -> T {
        let end = Instant::now() + BOUND;
        let mut passed = Vec::new();
        loop {
            while let Some(input) = self.seen.pop_front() {
                if let Some(found) = wanted(&input) {
                    return found;
                }
                passed.push(input);
            }
            let left = end.saturating_duration_since(Instant::now());
            let more = self.receive(left);
            assert!(
                more,
                "never told, but {} others: {:?}",
                passed.len(),
                passed.last()
            );
        }
    }

    /// The next input, whatever it is.
    pub fn next(&mut self) -> In {
        self.until(|input| Some(input.clone()))
    }

    /// Whatever is told within a short time. (That something does not happen can only be seen by
    /// waiting for it.)
    pub fn rest(&mut self) -> Vec<In> {
        while self.receive(Duration::from_millis(150)) {}
        self.seen.drain(..).collect()
    }

    pub fn up(&mut self, sid: i64) {
        self.until(|input| matches!(input, In::PeerUp(it) if it.0 == sid).then_some(()));
    }

    pub fn down(&mut self, sid: i64) {
        self.until(|input| matches!(input, In::PeerDown(it) if it.0 == sid).then_some(()));
    }

    /// The next vote.
    pub fn vote(&mut self) -> (i64, Notification) {
        self.until(|input| match input {
            In::Vote { from, notification } => Some((from.0, notification.clone())),
            _ => None,
        })
    }

    /// The next packet.
    pub fn packet(&mut self) -> (LinkId, Packet) {
        self.until(|input| match input {
            In::Packet(link, packet) => Some((*link, packet.clone())),
            In::Closed { why, .. } => panic!("closed: {why}"),
            _ => None,
        })
    }

    /// Why a link has ended.
    pub fn closed(&mut self, link: LinkId) -> String {
        self.until(|input| match input {
            In::Closed { link: it, why } if *it == link => Some(why.clone()),
            _ => None,
        })
    }

    pub fn accepted(&mut self) -> (LinkId, String) {
        self.until(|input| match input {
            In::Accepted { link, address } => Some((*link, address.clone())),
            _ => None,
        })
    }

    pub fn dialled(&mut self) -> LinkId {
        self.until(|input| match input {
            In::Dialled { link, .. } => Some(*link),
            In::DialFailed { why, .. } => panic!("not reached: {why}"),
            _ => None,
        })
    }

    pub fn stop(self) {
        self.peers.stop();
    }
}

/// A vote that can be told from others by its round.
pub fn vote(round: i64) -> Notification {
    Notification {
        state: PeerState::Looking,
        leader: 3,
        zxid: 7,
        round,
        peer_epoch: 1,
        version: 2,
        config: Some(bytes::Bytes::from_static(b"version=0")),
    }
}

pub fn cast(sid: i64, round: i64) -> Act {
    Act::Cast(Sid(sid), vote(round))
}

/// A vote as a frame.
pub fn frame(round: i64) -> Vec<u8> {
    let message = vote(round).encode();
    [&(message.len() as u32).to_be_bytes()[..], &message].concat()
}

/// Connects to a port of this machine, which may not be open yet.
pub fn connect(port: u16) -> TcpStream {
    let end = Instant::now() + BOUND;
    loop {
        match TcpStream::connect(("127.0.0.1", port)) {
            Ok(stream) => return set(stream),
            // Nothing tells a peer that a port is open but a try.
            Err(error) => assert!(Instant::now() < end, "{error}"),
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// A port of a scripted peer.
pub fn listen(port: u16) -> TcpListener {
    TcpListener::bind(("127.0.0.1", port)).expect("the port")
}

pub fn accept(listener: &TcpListener) -> TcpStream {
    set(listener.accept().expect("a connection").0)
}

fn set(stream: TcpStream) -> TcpStream {
    stream.set_read_timeout(Some(BOUND)).expect("an option");
    stream.set_write_timeout(Some(BOUND)).expect("an option");
    stream.set_nodelay(true).expect("an option");
    stream
}

pub fn read(stream: &mut TcpStream, count: usize) -> Vec<u8> {
    let mut bytes = vec![0; count];
    stream.read_exact(&mut bytes).expect("bytes");
    bytes
}

/// The round of the vote that comes next.
pub fn read_round(stream: &mut TcpStream) -> i64 {
    let prefix = read(stream, 4);
    let length = u32::from_be_bytes(prefix.try_into().expect("4 bytes"));
    let message = read(stream, length as usize);
    Notification::decode(&message).expect("a vote").round
}

/// Everything until the other end closes, however it does.
pub fn read_to_end(stream: &mut TcpStream) -> Vec<u8> {
    let mut bytes = Vec::new();
    match stream.read_to_end(&mut bytes) {
        Ok(_) => {}
        Err(error) => assert_eq!(error.kind(), io::ErrorKind::ConnectionReset, "{error}"),
    }
    bytes
}

pub fn write(stream: &mut TcpStream, bytes: &[u8]) {
    stream.write_all(bytes).expect("written");
}

pub fn encoded(packets: &[Packet]) -> Vec<u8> {
    let mut bytes = Vec::new();
    packets.iter().for_each(|it| it.encode_into(&mut bytes));
    bytes
}

pub fn ack(zxid: i64) -> Packet {
    Packet::new(PacketKind::Ack, zxid)
}
