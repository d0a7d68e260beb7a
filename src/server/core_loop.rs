//! The core's thread: the only caller of the node, and the only writer of the tree.
//!
//! It takes inputs, lets the node judge them, hands records to the log, and applies what is
//! durable with the tree to itself, in holds of a bounded number of nodes. It never waits for
//! the store: what changed is handed to the persister.

use std::sync::Arc;
use std::time::{Duration, Instant};

use zk_core::io::{Effect, Input, Submit};
use zk_core::limits::APPLY_VISITS;
use zk_core::tree::Need;
use zk_core::{Node, Zxid};
use zk_wire::OpCode;

use crate::gate::{Poster, Shared, ToCore};
use crate::limits::CORE_SLEEP;
use crate::log_thread::LogQueue;
use crate::persist::PersistQueue;

/// See the module.
pub struct CoreLoop {
    /// What is shared.
    pub shared: Arc<Shared>,
    /// The core.
    pub node: Node,
    /// The way to the log.
    pub log: Arc<LogQueue>,
    /// The way to the store.
    pub persist: Arc<PersistQueue>,
    /// Effects of the recovery.
    pub effects: Vec<Effect>,
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
        loop {
            self.carry_out();
            if !self.node.can_apply() || stalled.is_some() {
                if stopping && self.node.unapplied() == 0 {
                    shared.core.end();
                    return self.node.marks().applied.0;
                }
                let wait = if stopping {
                    CORE_SLEEP
                } else {
                    let wait = self.node.deadline_ms() - self.shared.clock.mono_ms();
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
            }
            let now = shared.clock.now();
            if now.mono_ms >= self.node.deadline_ms() && !stopping {
                let mut touches = Vec::new();
                self.shared.collect_touches(&mut touches);
                inbox.splice(0..0, touches);
                inbox.push(ToCore::Input(Input::Tick));
            }
            if !inbox.is_empty() {
                let mut tree = self.shared.tree.read();
                for item in inbox.drain(..) {
                    match item {
                        // Nothing more is begun: clients that go on must not hold the stop up.
                        ToCore::Input(Input::Submit(_)) if stopping => {}
                        ToCore::Input(input) => {
                            let closes = closes_session(&input).then(Instant::now);
                            self.node.step(&tree, now, input, &mut self.effects);
                            if let Some(start) = closes {
                                let ms = start.elapsed().as_millis() as i64;
                                metrics.close_session_prep_time.record(ms);
                            }
                        }
                        ToCore::Look(look) => look(&self.node),
                        ToCore::Install(install) => {
                            drop(tree);
                            let whole = install(&mut self.shared.tree.write());
                            tree = self.shared.tree.read();
                            if whole {
                                stalled = stalled.filter(|need| tree.lacks(need));
                                // Not all of it has come, or it was forgotten again.
                                let again = stalled.iter().map(|need| (need.clone(), None));
                                again.for_each(|need| self.shared.loads.push(need));
                                self.node.step(&tree, now, Input::Loaded, &mut self.effects);
                            }
                        }
                        ToCore::Stop => stopping = true,
                    }
                }
            }
            if !self.effects.is_empty() {
                let prepared = shared.clock.mono_ms();
                let appended = self.effects.len() as u64;
                metrics
                    .prep_process_time
                    .record_many((prepared - now.mono_ms) / appended as i64, appended);
                self.carry_out();
                metrics
                    .proposal_process_time
                    .record(shared.clock.mono_ms() - prepared);
            }
            if stalled.is_none() {
                stalled = self.apply();
            }
        }
    }

    fn carry_out(&mut self) {
        let mut records = Vec::new();
        for effect in self.effects.drain(..) {
            match effect {
                Effect::Append { zxid, payload } => records.push((zxid, payload)),
                Effect::Load(need) => self.shared.loads.push((need, None)),
                Effect::Forward { .. }
                | Effect::Revalidate { .. }
                | Effect::SyncReply { .. }
                | Effect::Resign => panic!("{effect:?} of a standalone server"),
            }
        }
        let queued = records.len() as u64;
        if queued > 0 {
            let metrics = &self.shared.stats.metrics;
            metrics.sync_processor_request_queued.add(queued);
            self.log.append(&mut records);
        }
        self.count();
    }

    /// Hands over what the node has counted.
    fn count(&mut self) {
        let counts = self.node.take_counts();
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
    }

    /// One hold. Returns at what it stopped if that is not resident.
    fn apply(&mut self) -> Option<Need> {
        if !self.node.can_apply() {
            return None;
        }
        self.persist.wait_for_room();
        let mut poster = Poster::new(&self.shared);
        let applied = {
            let mut tree = self.shared.tree.write();
            let applied = {
                let mut watches = self.shared.watches.lock();
                self.node
                    .apply(&mut tree, &mut watches, &mut poster, APPLY_VISITS)
            };
            let record = applied.last.as_deref().map(zk_disk::log::checksum);
            self.persist.take_changes(&mut tree, record);
            applied
        };
        poster.wake();
        for (zxid, wrong) in &applied.mismatches {
            self.shared.stats.metrics.digest_mismatches_count.add(1);
            tracing::error!(%zxid, "the tree differs from its transaction: {wrong}");
        }
        if let Some(need) = &applied.missing {
            self.shared.loads.push((need.clone(), None));
        }
        for need in applied.also {
            self.shared.loads.push((need, None));
        }
        applied.missing
    }
}

fn count_requests(inbox: &[ToCore]) -> u64 {
    inbox
        .iter()
        .filter(|item| matches!(item, ToCore::Input(Input::Submit(_))))
        .count() as u64
}

/// Whether an input is a client's closeSession.
fn closes_session(input: &Input) -> bool {
    match input {
        Input::Submit(Submit::Request { op, .. }) => *op == OpCode::CloseSession,
        Input::Submit(Submit::Connect { .. } | Submit::Reattach { .. })
        | Input::Tick
        | Input::Durable(_)
        | Input::Persisted(_)
        | Input::Touched { .. }
        | Input::Loaded => false,
    }
}
