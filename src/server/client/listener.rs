//! Accepts client connections and refuses those over a limit, by closing them at once.
//!
//! The port is bound before the data is loaded, as in Java: until then a four-letter word says so,
//! and every other connection waits. A reconfiguration may move the port: the old one is closed
//! then, and the connections that it has made stay.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::net::{TcpListener, TcpStream};
use zk_core::acl::Ids;
use zk_core::auth;
use zk_ops::config::ServerConfig;
use zk_wire::quorum::config::HostPort;
use zk_wire::text::four_letter::FourLetterWord;

use super::socket;
use crate::gate::{Client, Shared};
use crate::limits::{DEFAULT_BACKLOG, REBIND_EVERY};
use crate::ops;
use crate::serving::Serving;

/// Connections in all, and by address.
#[derive(Debug, Default)]
pub struct PerAddress {
    counts: Mutex<Counts>,
}

#[derive(Debug, Default)]
struct Counts {
    all: usize,
    by_ip: HashMap<IpAddr, Address>,
}

/// What the connections of one address have in common.
#[derive(Debug)]
struct Address {
    connections: usize,
    ids: Ids,
}

/// Why a connection has no place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Full {
    All,
    Address,
}

/// One connection's place in the count; gives it back when dropped.
struct Place {
    shared: Arc<PerAddress>,
    ip: IpAddr,
}

impl Drop for Place {
    fn drop(&mut self) {
        let counts = &mut *self.shared.counts.lock();
        counts.all -= 1;
        if let Some(address) = counts.by_ip.get_mut(&self.ip) {
            address.connections -= 1;
            if address.connections == 0 {
                counts.by_ip.remove(&self.ip);
            }
        }
    }
}

impl PerAddress {
    /// A place for one more connection of `ip`, unless there are `max_all` in all or `max` of the
    /// address; 0 or less is any number.
    fn take(self: &Arc<Self>, ip: IpAddr, max_all: usize, max: i32) -> Result<Place, Full> {
        let counts = &mut *self.counts.lock();
        if max_all > 0 && counts.all >= max_all {
            return Err(Full::All);
        }
        let address = counts.by_ip.entry(ip).or_insert_with(|| Address {
            connections: 0,
            ids: auth::of_address(&java_ip(ip)),
        });
        if max > 0 && address.connections >= max as usize {
            return Err(Full::Address);
        }
        address.connections += 1;
        counts.all += 1;
        Ok(Place {
            shared: self.clone(),
            ip,
        })
    }

    /// The identities of an address that has a place.
    fn ids(&self, ip: IpAddr) -> Ids {
        match self.counts.lock().by_ip.get(&ip) {
            Some(address) => address.ids.clone(),
            None => auth::of_address(&java_ip(ip)),
        }
    }
}

/// A connection in the registry; leaves it when dropped, also when its task panics.
pub struct Entered {
    /// What is shared.
    pub shared: Arc<Shared>,
    /// The connection.
    pub client: Arc<Client>,
    _place: Place,
}

impl Drop for Entered {
    fn drop(&mut self) {
        self.shared.remove(&self.client);
        {
            // Whoever still has it runs none of its reads any more, and so arms no watch.
            let line = &mut *self.client.line.lock();
            line.conn.close();
            line.forget(&self.shared.throttles.large);
        }
        self.shared.watches.lock().unregister(self.client.id);
    }
}

/// An address as `InetAddress.getHostAddress` prints it: IPv6 in full, without `::`.
pub fn java_ip(ip: IpAddr) -> String {
    match ip.to_canonical() {
        IpAddr::V4(v4) => v4.to_string(),
        IpAddr::V6(v6) => {
            let parts: Vec<String> = v6
                .segments()
                .iter()
                .map(|part| format!("{part:x}"))
                .collect();
            parts.join(":")
        }
    }
}

/// Binds the client port, with the backlog that Java would use.
///
/// # Errors
/// The address cannot be bound.
pub fn bind(address: SocketAddr, backlog: i32) -> std::io::Result<std::net::TcpListener> {
    use socket2::{Domain, Protocol, Socket, Type};
    let socket = Socket::new(
        Domain::for_address(address),
        Type::STREAM,
        Some(Protocol::TCP),
    )?;
    if address.is_ipv6() {
        socket.set_only_v6(false)?;
    }
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())?;
    socket.listen(backlog)?;
    socket.set_nonblocking(true)?;
    Ok(socket.into())
}

/// Binds a client port of this configuration; without an address the wildcard of both families, as
/// the JVM does.
///
/// # Errors
/// What was tried last and cannot be bound.
pub fn bind_configured(
    config: &ServerConfig,
    ip: Option<IpAddr>,
    port: u16,
) -> Result<std::net::TcpListener, String> {
    let backlog = config
        .client_port_listen_backlog
        .filter(|n| *n > 0)
        .unwrap_or(DEFAULT_BACKLOG);
    let first = ip.unwrap_or(IpAddr::V6(Ipv6Addr::UNSPECIFIED));
    let address = SocketAddr::new(first, port);
    let bound = match bind(address, backlog) {
        // A machine without IPv6.
        Err(_) if ip.is_none() => {
            let any = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), port);
            bind(any, backlog)
        }
        bound => bound,
    };
    bound.map_err(|error| format!("cannot bind {address}: {error}"))
}

/// Binds where a reconfiguration wants clients to connect.
async fn rebind(serving: &Serving, to: &HostPort) -> Result<TcpListener, String> {
    let found = tokio::net::lookup_host((to.host.as_str(), to.port)).await;
    let found = found.map_err(|error| format!("{to} is unknown: {error}"))?;
    let mut last = format!("{to} has no address");
    for address in found {
        let ip = Some(address.ip()).filter(|ip| !ip.is_unspecified());
        match bind_configured(&serving.config, ip, to.port) {
            Ok(socket) => return TcpListener::from_std(socket).map_err(|e| e.to_string()),
            Err(error) => last = error,
        }
    }
    Err(last)
}

/// The next connection; never one without a listener.
async fn next(listener: Option<&TcpListener>) -> std::io::Result<(TcpStream, SocketAddr)> {
    match listener {
        Some(listener) => listener.accept().await,
        None => std::future::pending().await,
    }
}

/// Accepts for ever, at first with this listener.
pub async fn run(serving: Arc<Serving>, mut listener: Option<TcpListener>) {
    let per_address = Arc::new(PerAddress::default());
    let max = serving.config.max_client_cnxns;
    let max_all = serving.config.max_cnxns as usize;
    let rejected = &serving.stats.metrics.connection_rejected;
    let mut moved = serving.moved();
    let mut wanted = moved.borrow_and_update().clone();
    loop {
        if let Some(to) = &wanted {
            // The new address may be the old port under another name.
            drop(listener.take());
            match rebind(&serving, to).await {
                Ok(bound) => {
                    serving.bound(bound.local_addr().ok());
                    tracing::info!("binding to port {to}");
                    listener = Some(bound);
                    wanted = None;
                }
                Err(error) => {
                    serving.bound(None);
                    tracing::error!("clients cannot connect: {error}");
                }
            }
        }
        let accepted = tokio::select! {
            accepted = next(listener.as_ref()) => accepted,
            Ok(()) = moved.changed() => {
                wanted = moved.borrow_and_update().clone();
                continue;
            }
            // It may be free by then; nobody says when.
            () = tokio::time::sleep(REBIND_EVERY), if wanted.is_some() => continue,
        };
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                // Out of descriptors, or a client that was gone before it was accepted: the next
                // try has to wait until one is free.
                tracing::warn!("accept failed: {error}");
                tokio::time::sleep(Duration::from_millis(10)).await;
                continue;
            }
        };
        let ip = peer.ip().to_canonical();
        let place = match per_address.take(ip, max_all, max) {
            Ok(place) => place,
            Err(full) => {
                rejected.increment();
                match full {
                    Full::All => tracing::warn!("Too many connections - max is {max_all}"),
                    Full::Address => {
                        tracing::warn!("Too many connections from /{} - max is {max}", java_ip(ip));
                    }
                }
                continue;
            }
        };
        if let Err(error) = set_up(&stream, serving.config.client_tcp_keep_alive) {
            tracing::debug!("connection of {peer}: {error}");
            continue;
        }
        let peer = SocketAddr::new(ip, peer.port());
        match serving.shared() {
            Some(shared) => enter(&serving, shared, stream, peer, place),
            None => {
                let serving = serving.clone();
                tokio::spawn(async move {
                    if let Some(shared) = early(&serving, &stream).await {
                        enter(&serving, shared, stream, peer, place);
                    }
                });
            }
        }
    }
}

/// Begins the life of one connection.
fn enter(
    serving: &Arc<Serving>,
    shared: Arc<Shared>,
    stream: TcpStream,
    peer: SocketAddr,
    place: Place,
) {
    let ids = place.shared.ids(peer.ip());
    let client = shared.registry.add(peer, ids, &shared.clock);
    let entered = Entered {
        shared,
        client,
        _place: place,
    };
    tokio::spawn(socket::serve(entered, serving.clone(), stream));
}

/// A connection's time before the data is loaded; `None` where it ends before.
async fn early(serving: &Serving, stream: &TcpStream) -> Option<Arc<Shared>> {
    tokio::select! {
        shared = serving.when_open() => Some(shared),
        () = early_word(serving, stream) => None,
    }
}

/// Answers a four-letter word while nothing is served; ends when the connection is to end.
async fn early_word(serving: &Serving, stream: &TcpStream) {
    let mut head = [0; 12];
    let mut seen = 0;
    loop {
        match stream.peek(&mut head).await {
            Ok(0) | Err(_) => return,
            // More than the beginning of a word has come already, or less than all of it.
            Ok(n) if n == seen => tokio::time::sleep(Duration::from_millis(10)).await,
            Ok(n) => seen = n,
        }
        if seen < 4 {
            continue;
        }
        let word = FourLetterWord::from_bytes([head[0], head[1], head[2], head[3]]);
        let Some(word) = word else {
            return std::future::pending().await;
        };
        serving.stats.received.increment();
        let text = ops::four_letter::answer_early(serving, word, &head[4..seen]);
        serving.stats.sent_text(text.len());
        let mut bytes = text.as_bytes();
        while !bytes.is_empty() {
            if stream.writable().await.is_err() {
                return;
            }
            match stream.try_write(bytes) {
                Ok(n) => bytes = &bytes[n..],
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
                Err(_) => return,
            }
        }
        socket::finish(stream);
        return;
    }
}

fn set_up(stream: &TcpStream, keep_alive: bool) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    if keep_alive {
        socket2::SockRef::from(stream).set_keepalive(true)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn keepalive_is_set_on_sockets_of_clients() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("its address");
        for keep_alive in [true, false] {
            let _client = std::net::TcpStream::connect(address).expect("a connection");
            let (stream, _) = listener.accept().await.expect("a connection");
            set_up(&stream, keep_alive).expect("a socket");
            let set = socket2::SockRef::from(&stream).keepalive();
            assert_eq!(set.expect("an option"), keep_alive);
            assert!(stream.nodelay().expect("an option"));
        }
    }

    #[test]
    fn places_are_given_back() {
        let counts = Arc::new(PerAddress::default());
        let [one, two] = [1, 2].map(|last| IpAddr::from([127, 0, 0, last]));
        let held: Vec<Place> = (0..2)
            .map(|_| {
                counts
                    .take(one, 3, 2)
                    .unwrap_or_else(|_| panic!("no place"))
            })
            .collect();
        assert_eq!(counts.take(one, 3, 2).err(), Some(Full::Address));
        let third = counts
            .take(two, 3, 2)
            .unwrap_or_else(|_| panic!("no place"));
        assert_eq!(counts.take(two, 3, 2).err(), Some(Full::All));
        drop(third);
        drop(held);
        let counts = counts.counts.lock();
        assert_eq!((counts.all, counts.by_ip.len()), (0, 0));
    }

    #[test]
    fn addresses_are_printed_as_java_does() {
        let ip = |text: &str| java_ip(text.parse().expect("an address"));
        assert_eq!(ip("127.0.0.1"), "127.0.0.1");
        assert_eq!(ip("::ffff:10.0.0.1"), "10.0.0.1");
        assert_eq!(ip("::1"), "0:0:0:0:0:0:0:1");
    }
}
