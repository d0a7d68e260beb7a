//! Clients of an ensemble: each writes, syncs and reads at one server, and goes to another when
//! that one does not serve any more.
//!
//! Checked here: answers come in the order of the requests, and no server shows a client less than
//! it has seen.

use std::collections::BTreeMap;

use bytes::Bytes;
use zk_zab::Zxid;

use super::coverage;
use super::net::Place;
use super::node::Asked;
use super::world::{Event, Phase, World};

/// A client.
#[derive(Debug)]
pub struct Client {
    session: i64,
    at: Option<(Place, u64)>,
    next: i32,
    /// Requests under way: whether it is a write, and the largest zxid that anybody had been told
    /// when it began.
    under_way: BTreeMap<i32, (bool, Zxid)>,
    seen: Zxid,
    /// The last write: not begun, or its number, or done.
    last: Last,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Last {
    Working,
    Wanted,
    UnderWay(i32),
    Done,
}

impl Client {
    /// The client of this number.
    pub fn new(number: usize) -> Client {
        Client {
            session: 0x1_0000 + number as i64,
            at: None,
            next: 1,
            under_way: BTreeMap::new(),
            seen: Zxid::ZERO,
            last: Last::Working,
        }
    }

    /// It does one more write.
    pub fn last_write(&mut self) {
        self.last = Last::Wanted;
    }

    /// Whether that is done, and nothing else is under way.
    pub fn is_done(&self) -> bool {
        self.last == Last::Done && self.under_way.is_empty()
    }
}

impl World {
    /// A client does something.
    pub(super) fn client(&mut self, number: usize) -> Result<(), String> {
        let think = 1 + self.plan.think.draw(&mut self.dice);
        self.after(think, Event::Client(number));
        let client = &self.clients[number];
        if client.last == Last::Done || client.under_way.len() >= self.plan.outstanding {
            return Ok(());
        }
        let here = client.at.filter(|(place, life)| {
            let machine = &self.machines[*place];
            machine.life == *life
                && machine
                    .process
                    .as_ref()
                    .is_some_and(|process| process.engine.is_serving())
        });
        if here.is_none() {
            self.connect_client(number);
            return Ok(());
        }
        let Some((place, _)) = here else {
            return Ok(());
        };
        if self.machines[place].paused_us > self.now_us {
            return Ok(());
        }
        let writes = self.dice.percent(self.plan.writes);
        let syncs = self.dice.percent(50);
        let length = self.dice.below(40);
        let now = self.clock(place);
        let told = self.judge.told;
        let client = &mut self.clients[number];
        let is_write = match client.last {
            Last::Working => writes,
            Last::Wanted => true,
            Last::UnderWay(_) | Last::Done => return Ok(()),
        };
        let Some(process) = &mut self.machines[place].process else {
            return Ok(());
        };
        if self.phase == Phase::Faults {
            self.ops += 1;
        }
        let asked = (client.session, client.next);
        let mut effects = Vec::new();
        if is_write || syncs {
            client.next += 1;
            client.under_way.insert(asked.1, (is_write, told));
            if client.last == Last::Wanted {
                client.last = Last::UnderWay(asked.1);
            }
            if is_write {
                let body = Bytes::from(vec![b'x'; length]);
                process.engine.write(now, asked, body, &mut effects);
            } else {
                process.engine.sync(now, asked, &mut effects);
            }
            self.line(format_args!(
                "client {} {} {}",
                asked.0,
                if is_write { "writes" } else { "syncs" },
                asked.1
            ));
            return self.carry_out(place, effects);
        }
        let end = process.engine.end();
        if end < client.seen {
            let seen = client.seen;
            return Err(format!(
                "client {} reads at {end}, and has seen {seen}",
                asked.0
            ));
        }
        client.seen = end;
        Ok(())
    }

    /// Looks for a server that serves and is not behind what the client has seen.
    fn connect_client(&mut self, number: usize) {
        let seen = self.clients[number].seen;
        let fit: Vec<(Place, u64)> = self
            .machines
            .iter()
            .enumerate()
            .filter(|(_, machine)| {
                machine.paused_us <= self.now_us
                    && machine.process.as_ref().is_some_and(|process| {
                        process.engine.is_serving() && process.engine.end() >= seen
                    })
            })
            .map(|(place, machine)| (place, machine.life))
            .collect();
        let at = (!fit.is_empty()).then(|| *self.dice.pick(&fit));
        self.give_up(number);
        self.clients[number].at = at;
    }

    /// What was under way may be done or not.
    fn give_up(&mut self, number: usize) {
        let client = &mut self.clients[number];
        client.at = None;
        let maybe = client.under_way.values().any(|(is_write, _)| *is_write);
        if let Last::UnderWay(_) = client.last {
            client.last = Last::Wanted;
        }
        client.under_way.clear();
        if maybe {
            self.coverage.note(coverage::MAYBE);
        }
    }

    /// A server has ended all its clients.
    pub(super) fn disconnected(&mut self, place: Place) {
        for number in 0..self.clients.len() {
            if self.clients[number].at.is_some_and(|(at, _)| at == place) {
                self.give_up(number);
            }
        }
    }

    /// A server answers a client.
    pub(super) fn replied(
        &mut self,
        asked: Asked,
        written: Option<Zxid>,
        upto: Zxid,
    ) -> Result<(), String> {
        let number = (asked.0 - 0x1_0000) as usize;
        self.line(format_args!(
            "client {} is answered {} at {upto}",
            asked.0, asked.1
        ));
        let Some(client) = self.clients.get_mut(number) else {
            return Err(format!("{asked:?} is answered, and nobody asked"));
        };
        let Some((is_write, begun)) = client.under_way.remove(&asked.1) else {
            return Err(format!("{asked:?} is answered, and was not under way"));
        };
        if let Some(first) = client
            .under_way
            .iter()
            .find(|(cxid, (write, _))| **cxid < asked.1 && *write == is_write)
        {
            return Err(format!("{asked:?} is answered before request {}", first.0));
        }
        if upto < client.seen {
            return Err(format!(
                "{asked:?} is answered at {upto}, and the client has seen {}",
                client.seen
            ));
        }
        client.seen = upto;
        if client.last == Last::UnderWay(asked.1) {
            client.last = Last::Done;
        }
        match written {
            Some(zxid) => self.judge.answers(asked, zxid, begun),
            None => Ok(()),
        }
    }
}
