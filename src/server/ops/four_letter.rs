//! Gathers what the four-letter words print. The texts are `zk_ops::four_letter`'s.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use zk_core::SessionId;
use zk_core::conn::ServeMode;
use zk_core::session::Tracker;
use zk_core::tree::Tree;
use zk_ops::config::EnsembleConfig;
use zk_ops::date::Zone;
use zk_ops::four_letter::{
    self as text, ConfInfo, ConnectionInfo, DumpInfo, DumpSessions, Environment, ExpiringSets,
    QuorumConf, ServerMode, ServerStats, SessionInfo, WatchSummary,
};
use zk_wire::quorum::config::{Address, MemberRole};
use zk_wire::quorum::notification::PeerState;
use zk_wire::text::four_letter::FourLetterWord;

use crate::gate::{Client, Shared, ToCore};
use crate::serving::Serving;
use crate::version;

/// The answer to one word. `rest` is what followed it in the first packet.
pub async fn answer(
    shared: &Arc<Shared>,
    serving: &Arc<Serving>,
    word: FourLetterWord,
    rest: &[u8],
) -> String {
    if !serving.config.four_letter.allows(word) {
        return text::refusal(word);
    }
    let Some(mode) = mode(shared) else {
        return answer_early(serving, word, rest);
    };
    match word {
        FourLetterWord::Ruok => text::ruok().into(),
        FourLetterWord::Isro => text::isro(mode).into(),
        FourLetterWord::Gtmk => text::trace_mask(serving.trace_mask.load(Ordering::Relaxed)),
        FourLetterWord::Stmk => set_trace_mask(serving, rest),
        FourLetterWord::Srvr => text::srvr(&stats(shared, mode)),
        FourLetterWord::Stat => text::stat(&stats(shared, mode), &connections(shared)),
        FourLetterWord::Cons => text::cons(&connections(shared)),
        FourLetterWord::Conf => text::conf(&conf(serving, mode)),
        FourLetterWord::Crst => {
            for client in shared.registry.all() {
                client.line.lock().reset_stats();
            }
            text::crst().into()
        }
        FourLetterWord::Srst => {
            shared.stats.reset();
            text::srst().into()
        }
        FourLetterWord::Dirs => text::dirs(
            directory_size(&serving.snap_dir),
            directory_size(&serving.log_dir),
        ),
        FourLetterWord::Envi => Environment::collect(&version::text()).text(),
        FourLetterWord::Hash => {
            let tree = shared.tree.read();
            text::hash(tree.digest_log().map(|(zxid, digest)| (zxid.0, digest)))
        }
        FourLetterWord::Wchs => {
            let (connections, paths, total) = shared.watches.lock().summary();
            text::wchs(WatchSummary {
                connections,
                paths,
                total,
            })
        }
        FourLetterWord::Wchc => {
            let watches = shared.watches.lock();
            let sessions = watches.by_session();
            text::wchc(sessions.into_iter().map(|(id, paths)| (id.0, paths)))
        }
        FourLetterWord::Wchp => {
            let watches = shared.watches.lock();
            let paths = watches.by_path();
            text::wchp(
                paths
                    .into_iter()
                    .map(|(path, ids)| (path, ids.into_iter().map(|id| id.0))),
            )
        }
        FourLetterWord::Dump => dump(shared, serving, mode).await,
        FourLetterWord::Mntr => super::metrics::mntr(serving),
        FourLetterWord::TelnetClose => String::new(),
    }
}

/// What the server is to its clients; nothing while a member of an ensemble has no role.
pub(super) fn mode(shared: &Shared) -> Option<ServerMode> {
    match shared.mode() {
        ServeMode::Closed => None,
        ServeMode::ReadOnly => Some(ServerMode::ReadOnly),
        ServeMode::Full => {
            let Some(status) = *shared.status.lock() else {
                return Some(ServerMode::Standalone);
            };
            match status.state {
                PeerState::Leading => Some(ServerMode::Leader),
                PeerState::Observing => Some(ServerMode::Observer),
                PeerState::Following => Some(ServerMode::Follower),
                // The role begins, or is over.
                PeerState::Looking => None,
            }
        }
    }
}

/// The answer to one word while nobody is served.
pub fn answer_early(serving: &Serving, word: FourLetterWord, rest: &[u8]) -> String {
    if !serving.config.four_letter.allows(word) {
        return text::refusal(word);
    }
    if let Some(text) = text::not_serving(word) {
        return text.into();
    }
    match word {
        FourLetterWord::Ruok => text::ruok().into(),
        FourLetterWord::Envi => Environment::collect(&version::text()).text(),
        FourLetterWord::Gtmk => text::trace_mask(serving.trace_mask.load(Ordering::Relaxed)),
        FourLetterWord::Stmk => set_trace_mask(serving, rest),
        FourLetterWord::TelnetClose
        | FourLetterWord::Isro
        | FourLetterWord::Srvr
        | FourLetterWord::Stat
        | FourLetterWord::Cons
        | FourLetterWord::Conf
        | FourLetterWord::Crst
        | FourLetterWord::Srst
        | FourLetterWord::Dirs
        | FourLetterWord::Hash
        | FourLetterWord::Wchs
        | FourLetterWord::Wchc
        | FourLetterWord::Wchp
        | FourLetterWord::Dump
        | FourLetterWord::Mntr => String::new(),
    }
}

/// Without its eight bytes the connection ends without a word.
fn set_trace_mask(serving: &Serving, rest: &[u8]) -> String {
    let Some(mask) = rest.first_chunk::<8>() else {
        return String::new();
    };
    let mask = i64::from_be_bytes(*mask);
    serving.trace_mask.store(mask, Ordering::Relaxed);
    text::trace_mask(mask)
}

fn stats(shared: &Shared, mode: ServerMode) -> ServerStats {
    let tree = shared.tree.read();
    ServerStats {
        version: version::text(),
        latency: shared.stats.latency(),
        received: shared.stats.received.get(),
        sent: shared.stats.packets_sent(),
        connections: shared.registry.len(),
        outstanding: shared.in_process.load(Ordering::Relaxed) as i64,
        zxid: tree.served_zxid().0,
        mode,
        node_count: znode_count(&tree),
        proposal_sizes: match mode {
            ServerMode::Leader => Some(super::metrics::proposal_sizes(shared)),
            ServerMode::Standalone
            | ServerMode::Follower
            | ServerMode::Observer
            | ServerMode::ReadOnly => None,
        },
    }
}

/// Java's map has the root under two keys, `` and `/`.
pub(super) fn znode_count(tree: &Tree) -> u64 {
    tree.node_count() + 1
}

/// Bytes of paths and data, the second key among them.
pub(super) fn data_size(tree: &Tree) -> u64 {
    tree.data_size() + 1
}

fn connections(shared: &Shared) -> Vec<ConnectionInfo> {
    shared
        .registry
        .all()
        .iter()
        .map(|client| connection(client))
        .collect()
}

fn connection(client: &Client) -> ConnectionInfo {
    let line = client.line.lock();
    let conn = &line.conn;
    let stats = conn.stats();
    let [last, min, avg, max] = line.latency.shown();
    ConnectionInfo {
        peer: client.peer,
        interest_ops: u32::from(!conn.is_closing()),
        queued: conn.outstanding() as i64,
        received: stats.received + u64::from(line.by_word),
        sent: stats.sent,
        session: conn.session().map(|session| SessionInfo {
            id: session.0,
            last_op: match stats.last_op {
                Some(op) => text::last_op_name(op),
                // A session that came back and has asked nothing.
                None if stats.last_zxid == 0 => "null",
                None => text::LAST_OP_NONE,
            },
            established_ms: client.since_ms,
            timeout_ms: conn.timeout_ms(),
            last_cxid: i64::from(stats.last_xid),
            last_zxid: stats.last_zxid,
            last_response_ms: line.answered_ms,
            last_latency_ms: last,
            min_latency_ms: min,
            avg_latency_ms: avg,
            max_latency_ms: max,
        }),
    }
}

fn conf(serving: &Serving, mode: ServerMode) -> ConfInfo {
    let config = &serving.config;
    let ensemble = config.ensemble.as_ref();
    let address = serving.address();
    ConfInfo {
        client_port: address.map_or(-1, |address| i32::from(address.port())),
        secure_client_port: -1,
        data_dir: absolute(&serving.snap_dir),
        data_dir_size: directory_size(&serving.snap_dir),
        data_log_dir: absolute(&serving.log_dir),
        data_log_size: directory_size(&serving.log_dir),
        tick_time_ms: config.tick_time_ms,
        max_client_cnxns: config.max_client_cnxns,
        min_session_timeout_ms: config.min_session_timeout_ms,
        max_session_timeout_ms: config.max_session_timeout_ms,
        client_port_listen_backlog: config.client_port_listen_backlog.unwrap_or(-1),
        server_id: ensemble.map_or(0, |ensemble| ensemble.my_id),
        quorum: ensemble.map(|ensemble| quorum_conf(serving, ensemble, mode)),
    }
}

fn quorum_conf(serving: &Serving, ensemble: &EnsembleConfig, mode: ServerMode) -> QuorumConf {
    let members = serving.membership();
    let me = members
        .as_ref()
        .and_then(|m| m.members.get(&ensemble.my_id));
    let ports = |port: fn(&Address) -> u16| {
        let mut ports: Vec<u16> = Vec::new();
        for port in me.iter().flat_map(|me| &me.addresses).map(port) {
            if !ports.contains(&port) {
                ports.push(port);
            }
        }
        ports
    };
    QuorumConf {
        init_limit: ensemble.init_limit as i32,
        sync_limit: ensemble.sync_limit as i32,
        election_ports: ports(|address| address.election),
        quorum_ports: ports(|address| address.quorum),
        observer: me.map_or(ensemble.role, |me| me.role) == MemberRole::Observer,
        membership: match mode {
            ServerMode::ReadOnly => None,
            ServerMode::Standalone
            | ServerMode::Leader
            | ServerMode::Follower
            | ServerMode::Observer => members.map(|members| members.text()),
        },
    }
}

/// As Java's `getAbsolutePath`: nothing is resolved.
fn absolute(dir: &Path) -> PathBuf {
    match std::env::current_dir() {
        Ok(here) => here.join(dir),
        Err(_) => dir.to_owned(),
    }
}

fn directory_size(dir: &Path) -> u64 {
    let Ok(entries) = std::fs::read_dir(dir) else {
        return 0;
    };
    entries
        .flatten()
        .map(|entry| match entry.metadata() {
            Ok(meta) if meta.is_dir() => directory_size(&entry.path()),
            Ok(meta) => meta.len(),
            Err(_) => 0,
        })
        .sum()
}

async fn dump(shared: &Arc<Shared>, serving: &Serving, mode: ServerMode) -> String {
    let (send, receive) = tokio::sync::oneshot::channel();
    let offset = shared.clock.wall_ms() - shared.clock.mono_ms();
    shared.core.push(ToCore::Look(Box::new(move |peer| {
        let sets = |tracker: &Tracker| -> ExpiringSets<i64> {
            let ids = |ids: &BTreeSet<SessionId>| ids.iter().map(|id| id.0).collect();
            let buckets = tracker.buckets();
            buckets.map(|(time, of)| (time + offset, ids(of))).collect()
        };
        let node = peer.node();
        let local = node.config().local_sessions;
        let local = local.then(|| sets(node.local_tracker()));
        let _ = send.send((local, sets(node.tracker())));
    })));
    let (local, global) = receive.await.unwrap_or_default();
    let sessions = match mode {
        ServerMode::Standalone | ServerMode::Leader => DumpSessions::Tracked { local, global },
        ServerMode::Follower | ServerMode::Observer | ServerMode::ReadOnly => {
            let tree = shared.tree.read();
            let global = tree.sessions();
            DumpSessions::Learned {
                local,
                global: global.map(|(id, timeout)| (id.0, timeout)).collect(),
            }
        }
    };
    let ephemerals = {
        let tree = shared.tree.read();
        let owned =
            |paths: &BTreeSet<Box<str>>| paths.iter().map(|path| path.to_string()).collect();
        tree.ephemerals()
            .map(|(id, paths)| (id.0, owned(paths)))
            .collect()
    };
    let mut connections = std::collections::BTreeMap::new();
    let life = i64::from(serving.config.sessionless_timeout_ms);
    for client in shared.registry.all() {
        let line = client.line.lock();
        let session = line.conn.session().map_or(0, |id| id.0);
        let timeout = if session == 0 {
            life
        } else {
            i64::from(line.conn.timeout_ms())
        };
        let until = client.heard_ms.load(Ordering::Relaxed) + timeout;
        // Java's grid, as wide as a connection without a session lives.
        let until = (until / life + 1) * life + offset;
        connections
            .entry(until)
            .or_insert_with(Vec::new)
            .push((client.peer, session));
    }
    let info = DumpInfo {
        sessions,
        ephemerals,
        connections: connections.into_iter().collect(),
    };
    text::dump(&info, &Zone::local())
}
