//! Accepts client connections and refuses those over a limit, by closing them at once.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use parking_lot::Mutex;
use tokio::net::{TcpListener, TcpStream};

use super::socket;
use crate::gate::Shared;
use crate::serving::Serving;

/// Connections by address.
#[derive(Debug, Default)]
pub struct PerAddress {
    counts: Mutex<HashMap<IpAddr, usize>>,
}

/// One connection's place in the count; gives it back when dropped.
struct Place {
    shared: Arc<PerAddress>,
    ip: IpAddr,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut counts = self.shared.counts.lock();
        if let Some(count) = counts.get_mut(&self.ip) {
            *count -= 1;
            if *count == 0 {
                counts.remove(&self.ip);
            }
        }
    }
}

impl PerAddress {
    /// A place for one more connection of `ip`, unless there are `max` (0 or less: any number).
    fn take(self: &Arc<Self>, ip: IpAddr, max: i32) -> Option<Place> {
        let mut counts = self.counts.lock();
        let count = counts.entry(ip).or_insert(0);
        if max > 0 && *count >= max as usize {
            return None;
        }
        *count += 1;
        Some(Place {
            shared: self.clone(),
            ip,
        })
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

/// Accepts until the server stops.
pub async fn run(shared: Arc<Shared>, serving: Arc<Serving>, listener: TcpListener) {
    let per_address = Arc::new(PerAddress::default());
    let max = serving.config.max_client_cnxns;
    let max_all = serving.config.max_cnxns as usize;
    while !shared.stopping.load(Ordering::Acquire) {
        let (stream, peer) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                // Out of descriptors, or a client that was gone before it was accepted.
                tracing::warn!("accept failed: {error}");
                tokio::time::sleep(std::time::Duration::from_millis(10)).await;
                continue;
            }
        };
        let ip = peer.ip().to_canonical();
        if max_all > 0 && shared.registry.len() >= max_all {
            shared.stats.rejected.fetch_add(1, Ordering::Relaxed);
            tracing::warn!("Too many connections - max is {max_all}");
            continue;
        }
        let Some(place) = per_address.take(ip, max) else {
            shared.stats.rejected.fetch_add(1, Ordering::Relaxed);
            tracing::warn!("Too many connections from /{} - max is {max}", java_ip(ip));
            continue;
        };
        if let Err(error) = set_up(&stream, serving.config.client_tcp_keep_alive) {
            tracing::debug!("connection of {peer}: {error}");
            continue;
        }
        let shared = shared.clone();
        let serving = serving.clone();
        tokio::spawn(async move {
            let peer = SocketAddr::new(ip, peer.port());
            let client = shared.registry.add(peer, &java_ip(ip), &shared.clock);
            socket::serve(&shared, &serving, &client, stream).await;
            shared.registry.remove(&client);
            shared.watches.lock().unregister(client.id);
            drop(place);
        });
    }
}

fn set_up(stream: &TcpStream, keep_alive: bool) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    if keep_alive {
        socket2::SockRef::from(stream).set_keepalive(true)?;
    }
    Ok(())
}
