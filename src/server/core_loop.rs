//! The core's thread: the only caller of the server's node and quorum layer, and the only writer
//! of the tree.
//!
//! It takes inputs, lets them be judged, hands records to the log and packets to the sockets, and
//! applies what is durable and committed with the tree to itself, in holds of a bounded number of
//! nodes. It never waits for the store: what changed is handed to the persister, and while there
//! is no room there, nothing is applied, but everything else goes on.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use zk_core::conn::ServeMode;
use zk_core::io::{Applied, Foreign, Input, Submit};
use zk_core::limits::APPLY_VISITS;
use zk_core::node::Role;
use zk_core::peer::{Deed, Event};
use zk_core::tree::{Need, Tree};
use zk_core::{Peer, Zxid};
use zk_wire::OpCode;
use zk_wire::quorum::packet::PacketKind;
use zk_zab::io::{Act, In, Level};

use crate::gate::{Poster, Shared, Switched, ToCore};
use crate::limits::{CORE_SLEEP, MISMATCH_EVERY};
use crate::log_thread::{LogItem, LogQueue};
use crate::member::Member;
use crate::ops;
use crate::persist::PersistQueue;

/// Exit code of a server whose data is not that of its ensemble.
const EXIT_FOREIGN: i32 = 1;

/// See the module.
pub struct CoreLoop {
    /// What is shared.
    pub shared: Arc<Shared>,
    /// The core.
    pub peer: Peer,
    /// The way to the log.
    pub log: Arc<LogQueue>,
    /// The way to the store.
    pub persist: Arc<PersistQueue>,
    /// The ways to other servers, in an ensemble.
    pub member: Option<Member>,
    /// What is to be done already.
    pub deeds: Vec<Deed>,
    /// Zxid up to which the log was told that everything is committed.
    pub told: Zxid,
    /// Transactions that the tree differed from, since the start.
    pub mismatches: u64,
    /// When that was told last.
    pub mismatch_told: Option<Instant>,
}

impl CoreLoop {
    /// Runs until `ToCore::Stop` and everything proposed before it is applied. Returns the zxid
    /// reached.
    pub fn run(mut self) -> Zxid {
        let shared = self.shared.clone();
        let metrics = &shared.stats.metrics;
        let mut inbox = Vec::new();
        let mut stopping = false;
        let mut stalled: Option<Need> = None;
        let mut has_room = true;
        loop {
            self.carry_out();
            if !self.peer.can_apply() || stalled.is_some() || !has_room {
                if stopping && self.is_finished() {
                    shared.core.end();
                    return self.peer.marks().applied.0;
                }
                let wait = if stopping {
                    CORE_SLEEP
                } else {
                    let wait = self.peer.deadline_ms() - self.shared.clock.mono_ms();
                    Duration::from_millis(wait.max(0) as u64).min(CORE_SLEEP)
                };
                let deadline = Some(Instant::now() + wait);
                let waited = shared.core.take(&mut inbox, deadline);
                let requests = count_requests(&inbox);
                if requests > 0 {
                    metrics.prep_processor_request_queued.add(requests);
                    metrics
                        .prep_processor_queue_size
                        .record_many(inbox.len() as i64 - 1, requests);
                    let waited = waited.unwrap_or_default().as_millis() as i64;
                    metrics
                        .prep_processor_queue_time_ms
                        .record_many(waited, requests);
                }
            } else if self.member.is_some() {
                // Peers are heard between two holds.
                shared.core.try_take(&mut inbox);
            }
            let now = shared.clock.now();
            if now.mono_ms >= self.peer.deadline_ms() && !stopping {
                let mut touches = Vec::new();
                self.shared.collect_touches(&mut touches);
                inbox.splice(0..0, touches);
                if self.member.is_some() {
                    // What a snapshot would cost, for whoever has to be brought up to date.
                    let bytes = shared.tree.read().sent_bytes();
                    inbox.push(ToCore::Peer(In::TreeBytes(bytes)));
                }
                inbox.push(ToCore::Input(Input::Tick));
            }
            if !inbox.is_empty() {
                let mut tree = shared.tree.read();
                for item in inbox.drain(..) {
                    let event = match item {
                        // Nothing more is begun: clients that go on must not hold the stop up.
                        ToCore::Input(Input::Submit(_)) if stopping => continue,
                        ToCore::Input(input) => Event::Node(input),
                        ToCore::Peer(input) => Event::Peer(input),
                        ToCore::Peers(delivery) => {
                            if !stopping {
                                for input in delivery.inputs {
                                    self.hear(&tree, input);
                                }
                            }
                            continue;
                        }
                        ToCore::Persisted(generation, zxid) => {
                            if generation != self.shared.store().1 {
                                continue;
                            }
                            Event::Node(Input::Persisted(zxid))
                        }
                        ToCore::Room => {
                            has_room = true;
                            continue;
                        }
                        ToCore::Look(look) => {
                            look(&self.peer);
                            continue;
                        }
                        ToCore::Install(install) => {
                            drop(tree);
                            let whole = install(&mut shared.tree.write());
                            tree = shared.tree.read();
                            if !whole {
                                continue;
                            }
                            stalled = stalled.filter(|need| tree.lacks(need));
                            // Not all of it has come, or it was forgotten again.
                            let again = stalled.iter().map(|need| (need.clone(), None));
                            again.for_each(|need| self.shared.loads.push(need));
                            Event::Node(Input::Loaded)
                        }
                        ToCore::Switched(switched) => {
                            drop(tree);
                            stalled = None;
                            let job = switched.job;
                            self.switch(*switched);
                            tree = shared.tree.read();
                            Event::Peer(In::Done(job))
                        }
                        ToCore::Stop => {
                            stopping = true;
                            self.peer.stop(&tree, now, &mut self.deeds);
                            continue;
                        }
                    };
                    let closes = closes_session(&event).then(Instant::now);
                    self.peer.step(&tree, now, event, &mut self.deeds);
                    if let Some(start) = closes {
                        let ms = start.elapsed().as_millis() as i64;
                        metrics.close_session_prep_time.record(ms);
                    }
                }
            }
            if !self.deeds.is_empty() {
                let prepared = shared.clock.mono_ms();
                let appended = self.deeds.len() as u64;
                metrics
                    .prep_process_time
                    .record_many((prepared - now.mono_ms) / appended as i64, appended);
                self.carry_out();
                metrics
                    .proposal_process_time
                    .record(shared.clock.mono_ms() - prepared);
            }
            if stalled.is_none() && self.peer.can_apply() {
                has_room = self.persist.has_room();
                if has_room {
                    stalled = self.apply();
                }
            }
        }
    }

    /// Whether nothing is left of what was begun before the stop. A member of an ensemble has said
    /// goodbye, and what it has not applied it finds in its log.
    fn is_finished(&self) -> bool {
        self.member.is_some() || self.peer.node().unapplied() == 0
    }

    /// What another server has said. The answer to a ping names the clients that were heard of
    /// until now.
    fn hear(&mut self, tree: &Tree, input: In) {
        let now = self.shared.clock.now();
        let is_ping = matches!(&input, In::Packet(_, packet) if packet.kind == PacketKind::Ping);
        if is_ping && matches!(self.peer.node().role(), Role::Learner { .. }) {
            let mut touches = Vec::new();
            self.shared.collect_touches(&mut touches);
            for touch in touches {
                if let ToCore::Input(input) = touch {
                    let event = Event::Node(input);
                    self.peer.step(tree, now, event, &mut self.deeds);
                }
            }
        }
        self.peer
            .step(tree, now, Event::Peer(input), &mut self.deeds);
    }

    /// The tree of another server takes the place of this one's.
    fn switch(&mut self, switched: Switched) {
        let Switched {
            job: _,
            tree,
            store,
            record,
            late_sync,
        } = switched;
        let zxid = tree.last_zxid();
        let generation = {
            let mut held = self.shared.tree.write();
            *held = tree;
            *self.shared.store.write() = store.clone();
            self.shared.next_generation()
        };
        self.persist
            .replace(store, zxid.0, generation, record, late_sync);
        // The loader looks up.
        self.shared.loads.push((Need::Node("".into()), None));
        if let Some(member) = &self.member {
            member.published(&self.shared, &self.peer);
        }
    }

    fn carry_out(&mut self) {
        let mut work = Vec::new();
        let mut acts = Vec::new();
        let mut records: u64 = 0;
        let is_leading = matches!(self.peer.node().role(), Role::Leader { .. });
        for deed in self.deeds.drain(..) {
            let act = match deed {
                Deed::Load(need) => {
                    self.shared.loads.push((need, None));
                    continue;
                }
                Deed::Serve(mode) => {
                    if mode == ServeMode::ReadOnly {
                        tracing::warn!("no leader is found: clients may read, and no more");
                    }
                    let stats = &self.shared.stats;
                    let now_ms = self.shared.clock.mono_ms();
                    stats.started_ms.store(now_ms, Ordering::Relaxed);
                    stats.renew();
                    self.shared.set_mode(mode);
                    continue;
                }
                Deed::Config(config) => {
                    if let Some(member) = &self.member {
                        member.configured(&config);
                    }
                    continue;
                }
                Deed::Act(act) => act,
            };
            match act {
                Act::Append(zxid, payload) => {
                    records += 1;
                    if is_leading {
                        let size = payload.len() as i64;
                        self.shared.stats.proposals.add([size; 3]);
                    }
                    work.push(LogItem::Append(zxid, payload));
                }
                Act::Job(id, job) => work.push(LogItem::Job(id, job)),
                Act::Stage(zxid, payload) => work.push(LogItem::Stage(zxid, payload)),
                Act::Abandon => work.push(LogItem::Abandon),
                Act::ReadLog { after, until } => {
                    if let Some(member) = &self.member {
                        member.read_log(after, until);
                    }
                }
                Act::Log(level, line) => match level {
                    Level::Info => tracing::info!("{line}"),
                    Level::Warn => tracing::warn!("{line}"),
                },
                Act::Violation(line) => tracing::error!("{line}"),
                Act::ReadSnap(link, zxid) => {
                    work.push(LogItem::Receive(zxid));
                    acts.push(Act::ReadSnap(link, zxid));
                }
                act @ (Act::Cast(..)
                | Act::View(_)
                | Act::RestartElection
                | Act::Dial(..)
                | Act::DialMaster(..)
                | Act::Listen(_)
                | Act::ListenMaster(_)
                | Act::Send(..)
                | Act::Broadcast(..)
                | Act::Hangup(_)
                | Act::Stream(..)
                | Act::StreamMore(..)) => acts.push(act),
            }
        }
        if self.member.is_some() {
            let committed = self.peer.marks().committed.0;
            if committed != self.told {
                self.told = committed;
                work.push(LogItem::Committed(committed));
            }
        }
        if let Some(member) = &self.member {
            member.carry_out(&mut acts);
            member.published(&self.shared, &self.peer);
        }
        if records > 0 {
            let metrics = &self.shared.stats.metrics;
            metrics.sync_processor_request_queued.add(records);
        }
        self.log.append(&mut work);
        self.count();
    }

    /// Hands over what the node has counted.
    fn count(&mut self) {
        let counts = self.peer.node_mut().take_counts();
        let metrics = &self.shared.stats.metrics;
        for (count, counter) in [
            (counts.expired, &metrics.stale_sessions_expired),
            (counts.changes_queued, &metrics.outstanding_changes_queued),
            (counts.changes_removed, &metrics.outstanding_changes_removed),
        ] {
            if count > 0 {
                counter.add(count);
            }
        }
        for namespace in &counts.quota_exceeded {
            metrics.quota_exceeded_error_per_namespace.add(namespace, 1);
        }
        if let Some(counts) = self.peer.take_quorum_counts() {
            ops::metrics::count_quorum(metrics, &counts);
        }
    }

    /// One hold. Returns at what it stopped if that is not resident.
    fn apply(&mut self) -> Option<Need> {
        let now = self.shared.clock.now();
        let mut poster = Poster::new(&self.shared);
        let applied = {
            let mut tree = self.shared.tree.write();
            let applied = {
                let mut watches = self.shared.watches.lock();
                self.peer.apply(
                    &mut tree,
                    &mut watches,
                    &mut poster,
                    APPLY_VISITS,
                    now,
                    &mut self.deeds,
                )
            };
            let record = applied.last.as_deref().map(zk_disk::log::checksum);
            self.persist.take_changes(&mut tree, record);
            applied
        };
        if let (Some(foreign), Some(member)) = (&applied.foreign, &self.member) {
            // Before anybody hears of it.
            leave(
                &member.serving.config.data_dir,
                foreign,
                &applied.mismatches,
            );
        }
        poster.wake();
        self.mismatched(&applied);
        if let Some(need) = &applied.missing {
            self.shared.loads.push((need.clone(), None));
        }
        for need in applied.also {
            self.shared.loads.push((need, None));
        }
        applied.missing
    }
}

impl CoreLoop {
    /// Counts the transactions that did not lead to the tree that they name. As in Java a server
    /// goes on with that, unless its tree was another from the beginning.
    fn mismatched(&mut self, applied: &Applied) {
        let Some((zxid, wrong)) = applied.mismatches.first() else {
            return;
        };
        let count = applied.mismatches.len() as u64;
        self.shared.stats.metrics.digest_mismatches_count.add(count);
        self.mismatches += count;
        let due = |last: Instant| last.elapsed() >= MISMATCH_EVERY;
        if self.mismatch_told.is_none_or(due) {
            self.mismatch_told = Some(Instant::now());
            let count = self.mismatches;
            tracing::error!(%zxid, "the tree differs from its transaction, which makes {count} such transactions since the start: {wrong}");
        }
    }
}

/// Ends the process: what it holds is not what the ensemble holds. Whatever it acknowledged is in its log,
/// and at its leader.
fn leave(dir: &Path, foreign: &Foreign, mismatches: &[(Zxid, Box<str>)]) -> ! {
    let Foreign { leader, own, zxid } = foreign;
    let dir = dir.display();
    let wrong = mismatches.iter().find(|(at, _)| at == zxid);
    let wrong = wrong.map_or("", |(_, wrong)| wrong);
    let what = format!(
        "the data of this server up to {own} is not that of leader {leader}: the first transactions that came from there, up to {zxid}, find another tree ({wrong}). Is {dir} the directory of another ensemble? This server ends, lest clients read what the others do not have"
    );
    tracing::error!("{what}");
    eprintln!(
        "zabkeeper: {what}; give it an empty dataDir and dataLogDir, and it takes everything from the other servers"
    );
    std::process::exit(EXIT_FOREIGN);
}

fn count_requests(inbox: &[ToCore]) -> u64 {
    inbox
        .iter()
        .filter(|item| matches!(item, ToCore::Input(Input::Submit(_))))
        .count() as u64
}

/// Whether an event is a client's closeSession.
fn closes_session(event: &Event) -> bool {
    match event {
        Event::Node(Input::Submit(Submit::Request { op, .. })) => *op == OpCode::CloseSession,
        Event::Node(
            Input::Submit(Submit::Connect { .. } | Submit::Reattach { .. })
            | Input::Tick
            | Input::Durable(_)
            | Input::Persisted(_)
            | Input::Touched { .. }
            | Input::Loaded,
        )
        | Event::Peer(_) => false,
    }
}
