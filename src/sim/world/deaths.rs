//! How the server's process ends, and how it begins again.

use zk_core::ids::Now;

use super::World;
use crate::check::Verdict;
use crate::coverage::Seen;
use crate::limits::FAILED_STARTS;
use crate::server::{NoStart, Server};

impl World {
    pub(super) fn die(&mut self) -> Verdict {
        match self.dice.below(10) {
            0..=3 if self.plan.force_sync => {
                self.power_cut();
                Ok(())
            }
            4 | 5 if self.plan.force_sync => self.power_cut_in_write(),
            6 => self.stop(),
            _ => {
                self.judge.coverage.note(Seen::Kill);
                self.kill();
                Ok(())
            }
        }
    }

    fn gone(&mut self) {
        self.server = None;
        self.wires.clear();
        for client in &mut self.clients {
            client.lost();
        }
        self.fault = None;
    }

    /// The process ends at once; the machine goes on.
    pub fn kill(&mut self) {
        self.trace.line(format_args!("server: killed"));
        self.gone();
        self.disks.files.kill();
        let dice = &mut self.dice;
        self.disks.store.crash(&mut || dice.roll());
        self.store_fails = false;
    }

    /// The machine ends at once, and the disk keeps what it must. The monotonic clock begins anew.
    pub fn power_cut(&mut self) {
        if !self.plan.force_sync {
            return self.kill();
        }
        self.trace.line(format_args!("machine: power cut"));
        self.judge.coverage.note(Seen::Crash);
        self.gone();
        let dice = &mut self.dice;
        self.disks.files.crash(&mut || dice.roll());
        self.disks.store.crash(&mut || dice.roll());
        self.store_fails = false;
        self.now.mono_ms = self.dice.within(0..=100);
    }

    /// The power goes in the middle of what the log thread does.
    fn power_cut_in_write(&mut self) -> Verdict {
        let Some(server) = &mut self.server else {
            return Ok(());
        };
        let call = self.disks.files.calls() + self.dice.below(5) as u64;
        self.disks.files.stop_at(call);
        if !server.log.queue.is_empty() && server.log.done.is_none() {
            self.judge.coverage.note(Seen::CrashInWrite);
            // It fails or not: nobody lives to hear it.
            let _ = server.log.write();
        }
        self.power_cut();
        Ok(())
    }

    /// The log thread does its work.
    pub(super) fn write_log(&mut self) -> Verdict {
        let Some(server) = &mut self.server else {
            return Ok(());
        };
        match server.log.write() {
            Ok(()) => {
                if let Some(zxid) = server.log.done {
                    self.trace.line(format_args!("log: durable {zxid}"));
                }
                Ok(())
            }
            Err(error) => self.disk_failed(&error),
        }
    }

    /// Stops in order: nothing is taken any more, what was proposed is finished.
    fn stop(&mut self) -> Verdict {
        self.trace.line(format_args!("server: stops"));
        for wire in self.wires.values_mut() {
            wire.bytes.clear();
        }
        for _ in 0..crate::limits::REST_ROUNDS {
            let Some(server) = &mut self.server else {
                // It did not live to stop.
                return Ok(());
            };
            server.close_doors();
            if server.is_finished() {
                break;
            }
            if !self.round()? {
                return Err("the server cannot stop: something never ends".into());
            }
        }
        let Some(server) = self.server.take() else {
            return Ok(());
        };
        let end = server.tree.last_zxid();
        if let Err(error) = server.stop(self.now) {
            return self.disk_failed(&error);
        }
        self.judge.coverage.note(Seen::Stop);
        self.gone();
        self.disks.files.kill();
        let dice = &mut self.dice;
        self.disks.store.crash(&mut || dice.roll());
        self.store_fails = false;
        let meta = zk_disk::store::Store::meta(&self.disks.store).map_err(|e| e.to_string())?;
        let stored = meta.map_or(0, |meta| meta.tree.zxid.0);
        if stored != end.0 {
            return Err(format!(
                "stopped in order at {end}, and the store is at {stored:#x}"
            ));
        }
        Ok(())
    }

    /// Starts the server on what there is. While a fault is set it may not come up.
    ///
    /// # Errors
    /// It does not start and should, or starts and should not.
    pub fn start(&mut self) -> Verdict {
        for _ in 0..FAILED_STARTS {
            // Nothing starts within a millisecond.
            let took = self.dice.within(1..=30);
            self.pass(took, took);
            let cut = self.plan.force_sync && self.dice.once_in(12);
            if cut {
                let calls = self.disks.files.calls();
                let call = calls + self.dice.below(14) as u64;
                self.disks.files.stop_at(call);
            }
            let excused = cut || self.disk_full || self.fault.is_some();
            let started = Server::start(
                &self.plan,
                &self.disks,
                self.now,
                &mut self.dice,
                &mut self.judge,
                &mut self.trace,
            );
            match started {
                Ok(server) => {
                    self.server = Some(server);
                    if cut {
                        // The power goes right behind the start.
                        self.power_cut();
                        continue;
                    }
                    return Ok(());
                }
                Err(NoStart::Wrong(what)) => return Err(format!("start: {what}")),
                Err(NoStart::Refused(error)) if excused => {
                    self.trace.line(format_args!("start: failed: {error}"));
                    if cut {
                        self.judge.coverage.note(Seen::CrashInStart);
                        self.power_cut();
                    } else {
                        self.kill();
                        return Ok(());
                    }
                }
                Err(NoStart::Refused(error)) => return Err(format!("start refused: {error}")),
            }
        }
        Ok(())
    }

    /// The clocks go on, by so many milliseconds.
    pub fn pass(&mut self, mono_ms: i64, wall_ms: i64) {
        let Now {
            mono_ms: mono,
            wall_ms: wall,
        } = &mut self.now;
        *mono += mono_ms;
        *wall += wall_ms;
    }
}
