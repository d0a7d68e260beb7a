//! Names to addresses, addresses to sockets.
//!
//! Owns: how a name is resolved (anew each time: a server may have moved, or have no address yet),
//! how several addresses are tried, how a port is bound. Does not know: who listens or is dialled
//! there, and what for.

use std::collections::BTreeSet;
use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs};
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use crate::client::listener;
use crate::limits::PEER_BACKLOG;

/// A host, a name or the literal of an address, and a port.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// Without brackets.
    pub host: String,
    /// The port.
    pub port: u16,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

type LookUp = dyn Fn(&str) -> io::Result<Vec<IpAddr>> + Send + Sync;

/// How names become addresses.
#[derive(Clone)]
pub struct Resolver(Arc<LookUp>);

impl Default for Resolver {
    /// The system's.
    fn default() -> Resolver {
        Resolver::new(|host| Ok((host, 0).to_socket_addrs()?.map(|it| it.ip()).collect()))
    }
}

impl fmt::Debug for Resolver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Resolver")
    }
}

impl Resolver {
    /// One that asks `look_up`, which may block.
    pub fn new(
        look_up: impl Fn(&str) -> io::Result<Vec<IpAddr>> + Send + Sync + 'static,
    ) -> Resolver {
        Resolver(Arc::new(look_up))
    }

    /// The addresses of a place; at least one.
    ///
    /// # Errors
    /// There is none.
    pub async fn resolve(&self, place: &Place) -> io::Result<Vec<SocketAddr>> {
        if let Ok(ip) = place.host.parse::<IpAddr>() {
            return Ok(vec![SocketAddr::new(ip, place.port)]);
        }
        let (look_up, host) = (self.0.clone(), place.host.clone());
        let found = tokio::task::spawn_blocking(move || look_up(&host)).await;
        let ips = found.map_err(io::Error::other)??;
        if ips.is_empty() {
            return Err(io::Error::new(io::ErrorKind::NotFound, "no address"));
        }
        let addresses = ips.into_iter().map(|ip| SocketAddr::new(ip, place.port));
        Ok(addresses.collect())
    }
}

enum Step {
    Resolved(String, io::Result<Vec<SocketAddr>>),
    Connected(SocketAddr, io::Result<TcpStream>),
}

/// Connects to any of these places, all of them at once: the first that answers wins.
///
/// # Errors
/// Why none of them did, in words.
pub async fn connect(
    resolver: &Resolver,
    places: &[Place],
    at_most: Duration,
) -> Result<(TcpStream, SocketAddr), String> {
    let mut failed: Vec<String> = Vec::new();
    let mut under_way = JoinSet::new();
    for place in places {
        let (resolver, place) = (resolver.clone(), place.clone());
        under_way.spawn(async move {
            let found = resolver.resolve(&place).await;
            Step::Resolved(place.to_string(), found)
        });
    }
    let first = async {
        while let Some(step) = under_way.join_next().await {
            match step {
                Ok(Step::Resolved(_, Ok(addresses))) => {
                    for address in addresses {
                        under_way.spawn(async move {
                            Step::Connected(address, TcpStream::connect(address).await)
                        });
                    }
                }
                Ok(Step::Resolved(place, Err(error))) => failed.push(format!("{place}: {error}")),
                Ok(Step::Connected(address, Ok(stream))) => return Some((stream, address)),
                Ok(Step::Connected(address, Err(error))) => {
                    failed.push(format!("{address}: {error}"));
                }
                Err(error) => failed.push(error.to_string()),
            }
        }
        None
    };
    let won = tokio::time::timeout(at_most, first).await;
    match won {
        Ok(Some((stream, address))) => {
            let set = stream.set_nodelay(true);
            set.map_err(|error| format!("{address}: {error}"))?;
            Ok((stream, address))
        }
        Ok(None) if failed.is_empty() => Err("it has no address".into()),
        Ok(None) => Err(failed.join(", ")),
        Err(_) => {
            let places: Vec<String> = places.iter().map(Place::to_string).collect();
            failed.push(format!(
                "{}: no answer in {} ms",
                places.join(", "),
                at_most.as_millis()
            ));
            Err(failed.join(", "))
        }
    }
}

/// The places to listen at: each, or one for each port of this machine.
pub fn to_bind(mut places: Vec<Place>, everywhere: bool) -> Vec<Place> {
    let mut ports = BTreeSet::new();
    places.retain(|place| !everywhere || ports.insert(place.port));
    places
}

/// Why nobody listens at a place.
#[derive(Debug)]
pub enum Deaf {
    /// Its name has no address; it may get one.
    Unresolved(io::Error),
    /// It cannot be bound.
    Unbound(io::Error),
}

impl fmt::Display for Deaf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Deaf::Unresolved(error) | Deaf::Unbound(error) => error.fmt(f),
        }
    }
}

/// Listens at a place: on its first address, or on every address of this machine.
///
/// # Errors
/// See [`Deaf`].
pub async fn listen(
    resolver: &Resolver,
    place: &Place,
    everywhere: bool,
) -> Result<TcpListener, Deaf> {
    let socket = if everywhere {
        let any = |ip: IpAddr| listener::bind(SocketAddr::new(ip, place.port), PEER_BACKLOG);
        // A machine without IPv6 has the other one.
        any(Ipv6Addr::UNSPECIFIED.into()).or_else(|_| any(Ipv4Addr::UNSPECIFIED.into()))
    } else {
        let address = resolver.resolve(place).await.map_err(Deaf::Unresolved)?;
        listener::bind(address[0], PEER_BACKLOG)
    };
    socket
        .and_then(TcpListener::from_std)
        .map_err(Deaf::Unbound)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(host: &str, port: u16) -> Place {
        let host = host.into();
        Place { host, port }
    }

    async fn port() -> (TcpListener, u16) {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("its address").port();
        (listener, port)
    }

    const BOUND: Duration = Duration::from_secs(20);

    #[tokio::test]
    async fn one_place_that_answers_is_enough() {
        let (listener, open) = port().await;
        let closed = port().await.1;
        let nowhere = Resolver::new(|_| Err(io::Error::other("nobody knows")));
        let places = [
            place("a.invalid", 1),
            place("127.0.0.1", closed),
            place("127.0.0.1", open),
        ];
        let (stream, address) = connect(&nowhere, &places, BOUND).await.expect("connected");
        assert_eq!(address.port(), open);
        assert!(stream.nodelay().expect("an option"));
        drop(listener);
        let error = connect(&nowhere, &places, BOUND).await.expect_err("closed");
        assert!(error.contains("a.invalid:1: nobody knows"), "{error}");
        assert!(error.contains(&format!("127.0.0.1:{closed}: ")), "{error}");
        let error = connect(&nowhere, &[], BOUND).await.expect_err("nothing");
        assert_eq!(error, "it has no address");
    }

    #[tokio::test]
    async fn a_name_without_an_answer_is_not_waited_for() {
        let (release, held) = std::sync::mpsc::channel::<()>();
        let held = parking_lot::Mutex::new(held);
        let slow = Resolver::new(move |_| {
            // Until the test is over.
            let _ = held.lock().recv();
            Ok(vec![])
        });
        let brief = Duration::from_millis(30);
        let places = [place("slow.invalid", 7)];
        let error = connect(&slow, &places, brief).await.expect_err("no answer");
        assert_eq!(error, "slow.invalid:7: no answer in 30 ms");
        drop(release);
    }

    #[tokio::test]
    async fn ports_are_bound() {
        let resolver = Resolver::default();
        let (held, port) = port().await;
        let error = listen(&resolver, &place("127.0.0.1", port), false).await;
        let Err(Deaf::Unbound(error)) = error else {
            panic!("{error:?}");
        };
        assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
        let nowhere = Resolver::new(|_| Ok(vec![]));
        let error = listen(&nowhere, &place("a.invalid", port), false).await;
        assert!(matches!(error, Err(Deaf::Unresolved(_))), "{error:?}");
        drop(held);
        let one = listen(&resolver, &place("127.0.0.1", port), false).await;
        assert_eq!(one.expect("bound").local_addr().expect("it").port(), port);
        let any = listen(&resolver, &place("no.such.host.invalid", 0), true).await;
        let ip = any.expect("bound").local_addr().expect("it").ip();
        assert!(ip.is_unspecified());
        assert_eq!(place("::1", 7).to_string(), "[::1]:7");
        let several = vec![place("a", 1), place("b", 1), place("b", 2)];
        assert_eq!(to_bind(several.clone(), false), several);
        let ports = vec![place("a", 1), place("b", 2)];
        assert_eq!(to_bind(several, true), ports);
    }
}
