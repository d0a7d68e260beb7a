//! The core's thread: the only caller of the node, and the only writer of the tree.
//!
//! It takes inputs, lets the node judge them, hands records to the log, and applies what is
//! durable with the tree to itself, in holds of a bounded number of nodes. It never waits for
//! the store: what changed is handed to the persister.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use zk_core::io::{Effect, Input};
use zk_core::limits::APPLY_VISITS;
use zk_core::{Node, Zxid};

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
        let mut inbox = Vec::new();
        let mut stopping = false;
        let mut stalled = false;
        loop {
            self.carry_out();
            if !self.node.can_apply() || stalled {
                if stopping && self.node.outstanding() == 0 {
                    return self.node.marks().applied.0;
                }
                let wait = self.node.deadline_ms() - self.shared.clock.mono_ms();
                let wait = Duration::from_millis(wait.max(0) as u64).min(CORE_SLEEP);
                self.shared
                    .core
                    .take(&mut inbox, Some(Instant::now() + wait));
            }
            let now = self.shared.clock.now();
            if now.mono_ms >= self.node.deadline_ms() {
                let mut touches = Vec::new();
                self.shared.collect_touches(&mut touches);
                inbox.splice(0..0, touches);
                inbox.push(ToCore::Input(Input::Tick));
            }
            if !inbox.is_empty() {
                let mut tree = self.shared.tree.read();
                for item in inbox.drain(..) {
                    match item {
                        ToCore::Input(input) => {
                            self.node.step(&tree, now, input, &mut self.effects);
                        }
                        ToCore::Look(look) => look(&self.node),
                        ToCore::Install(install) => {
                            drop(tree);
                            install(&mut self.shared.tree.write());
                            tree = self.shared.tree.read();
                            stalled = false;
                            self.node.step(&tree, now, Input::Loaded, &mut self.effects);
                        }
                        ToCore::Stop => stopping = true,
                    }
                }
            }
            self.carry_out();
            if !stalled {
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
            }
        }
        self.log.append(&mut records);
    }

    /// One hold. Returns whether it stopped at a row that is not resident.
    fn apply(&mut self) -> bool {
        if !self.node.can_apply() {
            return false;
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
        self.shared
            .stats
            .commits
            .fetch_add(applied.entries as u64, Ordering::Relaxed);
        for (zxid, wrong) in &applied.mismatches {
            self.shared
                .stats
                .digest_mismatches
                .fetch_add(1, Ordering::Relaxed);
            tracing::error!(%zxid, "the tree differs from its transaction: {wrong}");
        }
        match applied.missing {
            Some(need) => {
                self.shared.loads.push((need, None));
                true
            }
            None => false,
        }
    }
}
