//! The world by hand: one event at a time, without dice, for scripts.

use zk_core::ConnId;
use zk_disk::model::Fault;

use super::{Event, World};
use crate::check::Verdict;
use crate::client::{Held, handshake, request};
use crate::show;

/// How a client connects.
#[derive(Debug, Clone, Copy)]
pub struct Attach {
    /// The session to go on with.
    pub session: Option<Held>,
    /// Milliseconds wished for.
    pub timeout: i32,
    /// The last zxid that it has seen.
    pub seen: i64,
}

impl World {
    /// A world in which the clocks stand at round times.
    pub fn by_hand() -> World {
        let mut world = World::new(crate::plan::Plan::by_hand(), usize::MAX);
        world.now.mono_ms = 0;
        world.now.wall_ms = 1_700_000_000_000;
        world
    }

    /// A client's session.
    pub fn session_of(&self, client: usize) -> Option<Held> {
        self.clients[client].session
    }

    /// A client connects; an earlier connection of it is given up and nobody hears of that.
    ///
    /// # Errors
    /// There is no server.
    pub fn connect_by_hand(&mut self, client: usize, how: Attach) -> Verdict {
        self.give_up(client);
        let first = handshake(how.session, how.timeout, how.seen, Some(false));
        match self.open(client, &first) {
            Some(_) => Ok(()),
            None => Err("there is no server".into()),
        }
    }

    /// A client sends a request.
    ///
    /// # Errors
    /// It has no connection.
    pub fn send_by_hand(&mut self, client: usize, op: i32, body: &[u8]) -> Verdict {
        let conn = self.conn_of(client)?;
        let xid = self.clients[client].next_xid();
        self.clients[client].outstanding += 1;
        let shown = match zk_wire::OpCode::from_i32(op) {
            Some(op) => show::request(op, body),
            None => format!("operation {op}"),
        };
        self.trace.line(format_args!(
            "client {client} > conn {} #{xid} {shown}",
            conn.0
        ));
        if let Some(wire) = self.wires.get_mut(&conn) {
            wire.bytes.extend(request(xid, op, body));
        }
        Ok(())
    }

    fn conn_of(&self, client: usize) -> Result<ConnId, String> {
        let conn = self.clients[client].conn;
        conn.ok_or_else(|| format!("client {client} has no connection"))
    }

    /// What a client has sent arrives, and its connection's task runs.
    ///
    /// # Errors
    /// It has no connection, or something is wrong.
    pub fn task_by_hand(&mut self, client: usize) -> Verdict {
        let conn = self.conn_of(client)?;
        if let (Some(wire), Some(server)) = (self.wires.get_mut(&conn), &mut self.server) {
            let bytes = std::mem::take(&mut wire.bytes);
            server.arrive(conn, &bytes);
        }
        self.task(conn)
    }

    /// The tasks of every connection that was woken run.
    ///
    /// # Errors
    /// Something is wrong.
    pub fn tasks_by_hand(&mut self) -> Verdict {
        let Some(server) = &self.server else {
            return Ok(());
        };
        let woken: Vec<ConnId> = server.woken.iter().copied().collect();
        woken.into_iter().try_for_each(|conn| self.task(conn))
    }

    /// The core takes everything that waits for it.
    ///
    /// # Errors
    /// Something is wrong.
    pub fn core_by_hand(&mut self) -> Verdict {
        match &mut self.server {
            Some(server) => server.core(
                server.inbox.len(),
                self.now,
                &mut self.judge,
                &mut self.trace,
            ),
            None => Ok(()),
        }
    }

    /// One hold of apply of so many nodes at most.
    ///
    /// # Errors
    /// Something is wrong.
    pub fn apply_by_hand(&mut self, budget: usize) -> Verdict {
        match &mut self.server {
            Some(server) if server.can_apply() => {
                server.apply(budget, self.now, &mut self.judge, &mut self.trace)
            }
            Some(_) | None => Ok(()),
        }
    }

    /// One piece of work of the log, the store, the loader or the clock, by its name.
    ///
    /// # Errors
    /// There is none of that name, or something is wrong.
    pub fn work_by_hand(&mut self, what: &str) -> Verdict {
        let event = match what {
            "log" => Event::Log,
            "durable" => Event::Durable,
            "read" => Event::Read,
            "background" => Event::Background,
            "install" => Event::Install,
            "tick" => Event::Tick,
            "touch" => Event::Touch,
            "store" => {
                if let Some(server) = &mut self.server {
                    server.store.stop();
                }
                self.happen(Event::Store)?;
                self.happen(Event::Store)?;
                Event::Persisted
            }
            other => return Err(format!("{other:?} is no work")),
        };
        self.happen(event)
    }

    /// A client closes its connection.
    pub fn lose_by_hand(&mut self, client: usize) {
        self.lose(client);
    }

    /// The next sync of the log will fail.
    pub fn fail_sync(&mut self) {
        self.disks.files.fail_next(Fault::Sync);
        self.fault = Some(Fault::Sync);
    }
}
