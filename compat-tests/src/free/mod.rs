//! Free interleaving: many pipelining sessions at once against one server, checked afterwards.
//!
//! Owns: the workload and its threads (`client` does the talking, `check` the judging).
//!
//! Does not know: which server it is. No order is imposed; the server's own zxids tell the order it
//! chose, and everything else must follow from it: sequence numbers unique and dense, each session's
//! requests in order, a read between its session's writes, no event after newer data.

pub mod check;
pub mod client;
pub mod history;
pub mod model;

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use fastrand::Rng;

use check::{Checked, Frame};
use client::Client;
use history::{Call, History, Read, Write};

use crate::differential::op::code;
use crate::raw::In;

/// The node under which a run works.
const ROOT: &str = "/free";
/// Sequential parents: in the first one nothing else happens.
const SEQUENTIAL: &[&str] = &["/free/s/only-", "/free/t/mixed-"];
/// Nodes that all sessions share.
const SHARED: &[&str] = &[
    "/free/a",
    "/free/b",
    "/free/c",
    "/free/t",
    "/free/t/x",
    "/free/t/y",
    "/free/a/1",
    "/free/b/1",
];
/// Always set together, by a multi.
const TWINS: [&str; 2] = ["/free/m1", "/free/m2"];
/// Most calls sent at once.
const MAX_BATCH: usize = 16;
/// Most created paths remembered.
const MAX_KNOWN: usize = 200;

/// What a run came to.
#[derive(Debug)]
pub struct FreeReport {
    /// Facts checked.
    pub checked: Checked,
    /// Connections that took part.
    pub connections: usize,
    /// Calls made.
    pub calls: usize,
    /// How long the calls took.
    pub elapsed: Duration,
}

/// Runs `ops` calls over `sessions` threads and judges; the first violation is the error.
pub fn run(addr: SocketAddr, seed: u64, ops: usize, sessions: usize) -> Result<FreeReport, String> {
    let mut observer = Client::open(addr)?;
    let create = |path: &str| {
        Call::Write(Write::Create {
            op: code::CREATE,
            path: path.into(),
            data: vec![],
            flags: 0,
        })
    };
    let made = observer.ask(create(ROOT))?;
    if made.err != 0 {
        return Err(format!(
            "{ROOT}: error {}: the server is not fresh",
            made.err
        ));
    }
    observer.forget();
    for path in ["/free/s", "/free/t", TWINS[0], TWINS[1]] {
        observer.ask(create(path))?;
    }
    let begun = Instant::now();
    let known = Arc::new(Mutex::new(Vec::new()));
    let threads: Vec<_> = (0..sessions)
        .map(|number| {
            let known = Arc::clone(&known);
            let rng = Rng::with_seed(seed.wrapping_mul(1_000_003).wrapping_add(number as u64));
            std::thread::spawn(move || {
                Worker {
                    addr,
                    number,
                    rng,
                    known,
                    counter: 0,
                    done: Vec::new(),
                }
                .work(ops / sessions)
            })
        })
        .collect();
    let mut histories = Vec::new();
    let mut failure = None;
    for thread in threads {
        match thread.join() {
            Ok(Ok(mut all)) => histories.append(&mut all),
            Ok(Err(error)) => failure = failure.or(Some(error)),
            Err(_) => failure = failure.or_else(|| Some("a worker panicked".into())),
        }
    }
    if let Some(error) = failure {
        return Err(error);
    }
    let elapsed = begun.elapsed();
    let end = observer.ask(Call::Read(Read::Ping))?.zxid;
    walk(&mut observer)?;
    histories.push(observer.leave()?);
    let calls = histories.iter().map(|h| h.calls.len()).sum();
    let checked = check::check(
        &histories,
        &Frame {
            root: ROOT,
            begin: made.zxid,
            end,
        },
    )?;
    Ok(FreeReport {
        checked,
        connections: histories.len(),
        calls,
        elapsed,
    })
}

/// Reads every node there is: part of the history, so judged like all reads.
fn walk(observer: &mut Client) -> Result<(), String> {
    let mut queue = vec![ROOT.to_string()];
    while let Some(path) = queue.pop() {
        observer.ask(Call::Read(Read::Data {
            path: path.clone(),
            watch: false,
        }))?;
        observer.ask(Call::Read(Read::Children {
            path: path.clone(),
            watch: false,
        }))?;
        let mut input = In::new(observer.last_frame().get(16..).unwrap_or_default());
        for _ in 0..input.int().unwrap_or(0) {
            let Some(Some(name)) = input.bytes() else {
                break;
            };
            queue.push(format!("{path}/{}", String::from_utf8_lossy(name)));
        }
    }
    Ok(())
}

struct Worker {
    addr: SocketAddr,
    number: usize,
    rng: Rng,
    known: Arc<Mutex<Vec<String>>>,
    counter: u64,
    done: Vec<History>,
}

impl Worker {
    fn work(mut self, calls: usize) -> Result<Vec<History>, String> {
        let mut client = Client::open(self.addr)?;
        let mut made = 0;
        while made < calls {
            let batch = self.rng.usize(1..=MAX_BATCH);
            for _ in 0..batch {
                let call = self.choose();
                client.call(call);
            }
            made += batch;
            client.flush();
            let left = self.rng.usize(..MAX_BATCH);
            self.settle(&mut client, left)?;
            match self.rng.u32(..400) {
                0 => {
                    self.settle(&mut client, 0)?;
                    self.done.push(client.close()?);
                    client = Client::open(self.addr)?;
                }
                1 | 2 => {
                    self.settle(&mut client, 0)?;
                    let (history, next) = client.reattach()?;
                    self.done.push(history);
                    client = next;
                }
                _ => {}
            }
        }
        self.settle(&mut client, 0)?;
        // Some sessions outlive the run, with their ephemerals.
        let history = if self.number.is_multiple_of(3) {
            client.leave()?
        } else {
            client.close()?
        };
        self.done.push(history);
        Ok(self.done)
    }

    fn settle(&mut self, client: &mut Client, left: usize) -> Result<(), String> {
        let (known, rng) = (&self.known, &mut self.rng);
        client.settle(left, &mut |path| {
            let mut known = known.lock().expect("no holder panics");
            if known.len() < MAX_KNOWN {
                known.push(path.to_string());
            } else {
                let at = rng.usize(..MAX_KNOWN);
                known[at] = path.to_string();
            }
        })
    }

    fn data(&mut self) -> Vec<u8> {
        self.counter += 1;
        format!("{}-{}", self.number, self.counter).into_bytes()
    }

    fn path(&mut self) -> String {
        if self.rng.u32(..4) == 0 {
            let known = self.known.lock().expect("no holder panics");
            if !known.is_empty() {
                return known[self.rng.usize(..known.len())].clone();
            }
        }
        SHARED[self.rng.usize(..SHARED.len())].to_string()
    }

    fn version(&mut self) -> i32 {
        if self.rng.bool() {
            -1
        } else {
            self.rng.i32(0..4)
        }
    }

    fn choose(&mut self) -> Call {
        let watch = self.rng.u32(..3) == 0;
        match self.rng.u32(..100) {
            0..=15 => Call::Write(self.create(true)),
            16..=27 => Call::Write(self.delete()),
            28..=39 => Call::Write(self.set()),
            40..=45 => {
                let n = self.rng.usize(..5);
                let parts = (0..n)
                    .map(|_| match self.rng.u32(..5) {
                        0 => self.create(false),
                        1 => self.delete(),
                        2 | 3 => self.set(),
                        _ => Write::Check {
                            path: self.path(),
                            version: self.version(),
                        },
                    })
                    .collect();
                Call::Write(Write::Multi(parts))
            }
            46..=51 => {
                let data = self.data();
                let set = |path: &str| Write::Set {
                    path: path.into(),
                    data: data.clone(),
                    version: -1,
                };
                Call::Write(Write::Multi(TWINS.map(set).to_vec()))
            }
            52..=57 => Call::Read(Read::Many(TWINS.map(String::from).to_vec())),
            58..=70 => Call::Read(Read::Data {
                path: self.path(),
                watch,
            }),
            71..=80 => Call::Read(Read::Exists {
                path: self.path(),
                watch,
            }),
            81..=90 => {
                let path = if self.rng.bool() {
                    self.path()
                } else {
                    "/free/t".into()
                };
                Call::Read(Read::Children { path, watch })
            }
            91 => Call::Read(Read::Watch {
                path: self.path(),
                recursive: self.rng.bool(),
            }),
            92..=94 => Call::Read(Read::Sync),
            _ => Call::Read(Read::Ping),
        }
    }

    /// A path to create plainly; never where only sequential creates may happen.
    fn new_path(&mut self) -> String {
        let path = self.path();
        if path.starts_with(SEQUENTIAL[0]) {
            SHARED[0].to_string()
        } else {
            path
        }
    }

    /// `alone`: not a part of a multi.
    fn create(&mut self, alone: bool) -> Write {
        let op = if self.rng.bool() {
            code::CREATE
        } else {
            code::CREATE2
        };
        let data = self.data();
        let (path, flags) = match self.rng.u32(..10) {
            0..=2 if alone => (SEQUENTIAL[0].to_string(), 2),
            0..=3 => (SEQUENTIAL[1].to_string(), self.rng.i32(2..4)),
            4 | 5 => (self.new_path(), 1),
            _ => (self.new_path(), 0),
        };
        Write::Create {
            op,
            path,
            data,
            flags,
        }
    }

    fn delete(&mut self) -> Write {
        Write::Delete {
            path: self.path(),
            version: self.version(),
        }
    }

    fn set(&mut self) -> Write {
        let data = self.data();
        Write::Set {
            path: self.path(),
            data,
            version: self.version(),
        }
    }
}
