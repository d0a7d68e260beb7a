//! Scripts: the server by hand, as text. Commands go in, the whole trace comes out.
//!
//! A script is blocks of command lines, each followed by a line `----` and what they lead to. Lines
//! that begin with `#` are for the reader. With `UPDATE_EXPECT=1` what comes out is written in the
//! place of what was expected.
//!
//! Clients are named by one letter, `a` to `f`. The commands:
//! - `connect C [timeout=MS] [seen=ZXID] [as=C2]`: a connection with the client's session, or with
//!   C2's, or with a new one; an earlier one is given up without the server's knowledge. `new`
//!   begins a new session in any case, `forged` has a wrong password.
//! - `send C REQUEST`: see [`request`]. It arrives with the next `task C`.
//! - `task C`: what was sent arrives, the connection's task runs. `tasks`: those that were woken.
//! - `core`: the core takes what waits for it. `apply [BUDGET]`: one hold.
//! - `log`: the log thread writes and syncs. `durable`: the core is told.
//! - `commit`: core, log, durable, core, apply, tasks, in this order.
//! - `read`, `background`, `install`: the loader. `store`: the store's thread writes, flushes and
//!   says so.
//! - `time MS [wall=MS]`: the clocks go on, the wall clock by another time if it is given.
//!   `tick`, `touch`: the core is told.
//! - `lose C`: the connection is closed by the client.
//! - `kill`, `cut`, `start`, `failsync`: the process, the power, a start, a sync that will fail.
//! - `settle`: everything that is under way is finished, and all is compared.

mod parse;

use std::path::Path;

use crate::world::{Attach, World};

pub use parse::request;

/// Runs a script; returns it with what came out.
///
/// # Errors
/// A command that is none, with its line.
pub fn run(script: &str) -> Result<String, String> {
    let mut world = World::by_hand();
    world.start()?;
    world.trace.take();
    let mut out = String::new();
    let mut commands: Vec<(usize, &str)> = Vec::new();
    let mut expected = false;
    for (at, line) in script.lines().enumerate() {
        if line == "----" {
            out.push_str("----\n");
            for (at, command) in commands.drain(..) {
                let done = command_line(&mut world, command);
                for line in world.trace.take() {
                    if !line.is_empty() {
                        out.push_str(&line);
                        out.push('\n');
                    }
                }
                match done {
                    Ok(()) => {}
                    Err(Problem::Command(what)) => return Err(format!("line {}: {what}", at + 1)),
                    Err(Problem::Wrong(what)) => {
                        out.push_str(&format!("WRONG: {what}\n"));
                        return Ok(out);
                    }
                }
            }
            expected = true;
        } else if expected && !line.is_empty() {
            // What was expected; it is not looked at.
        } else {
            expected = false;
            if !line.is_empty() && !line.starts_with('#') {
                commands.push((at, line));
            }
            out.push_str(line);
            out.push('\n');
        }
    }
    if commands.is_empty() {
        Ok(out)
    } else {
        Err("the last commands have no ----".into())
    }
}

/// Runs the script in a file and compares it, or rewrites it with `UPDATE_EXPECT=1`.
///
/// # Errors
/// What differs.
pub fn check_file(path: &Path) -> Result<(), String> {
    let shown = path.display();
    let script = std::fs::read_to_string(path).map_err(|e| format!("{shown}: {e}"))?;
    let out = run(&script).map_err(|what| format!("{shown}: {what}"))?;
    if out == script && !out.contains("WRONG:") {
        return Ok(());
    }
    if std::env::var_os("UPDATE_EXPECT").is_some() && !out.contains("WRONG:") {
        return std::fs::write(path, out).map_err(|e| format!("{shown}: {e}"));
    }
    let lines = out.lines().zip(script.lines()).enumerate();
    let differs = lines.clone().find(|(_, (a, b))| a != b);
    let at = differs.map_or(lines.count(), |(at, _)| at);
    let line = |text: &str| text.lines().nth(at).unwrap_or("(the end)").to_owned();
    Err(format!(
        "{shown}:{}: got\n  {}\nexpected\n  {}\nthe whole:\n{out}",
        at + 1,
        line(&out),
        line(&script)
    ))
}

enum Problem {
    /// The command is none.
    Command(String),
    /// The server is wrong.
    Wrong(String),
}

fn client(name: Option<&str>) -> Result<usize, Problem> {
    match name.map(str::as_bytes) {
        Some([name @ b'a'..=b'f']) => Ok(usize::from(name - b'a')),
        _ => Err(Problem::Command(format!("{name:?} is no client"))),
    }
}

fn number(text: &str) -> Result<i64, Problem> {
    let parsed = match text.strip_prefix("0x") {
        Some(hex) => i64::from_str_radix(hex, 16),
        None => text.parse(),
    };
    parsed.map_err(|_| Problem::Command(format!("{text:?} is no number")))
}

fn command_line(world: &mut World, line: &str) -> Result<(), Problem> {
    let mut words = line.split_whitespace();
    let name = words.next().unwrap_or_default();
    let wrong = Problem::Wrong;
    match name {
        "connect" => {
            let at = client(words.next())?;
            let mut how = Attach {
                session: world.session_of(at),
                timeout: 10_000,
                seen: 0,
            };
            for word in words {
                match word.split_once('=') {
                    Some(("timeout", value)) => how.timeout = number(value)? as i32,
                    Some(("seen", value)) => how.seen = number(value)?,
                    Some(("as", value)) => how.session = world.session_of(client(Some(value))?),
                    None if word == "new" => how.session = None,
                    None if word == "forged" => {
                        if let Some(held) = &mut how.session {
                            held.password[0] ^= 1;
                        }
                    }
                    _ => return Err(Problem::Command(format!("{word:?} says nothing"))),
                }
            }
            world.connect_by_hand(at, how).map_err(wrong)?;
            world.task_by_hand(at).map_err(wrong)
        }
        "send" => {
            let at = client(words.next())?;
            let rest: Vec<&str> = words.collect();
            let (op, body) = request(&rest.join(" ")).map_err(Problem::Command)?;
            world.send_by_hand(at, op, &body).map_err(wrong)
        }
        "task" => {
            let at = client(words.next())?;
            world.task_by_hand(at).map_err(wrong)
        }
        "tasks" => world.tasks_by_hand().map_err(wrong),
        "core" => world.core_by_hand().map_err(wrong),
        "apply" => {
            let budget = words.next().map_or(Ok(i64::MAX), number)?;
            world.apply_by_hand(budget as usize).map_err(wrong)
        }
        "commit" => commit(world).map_err(wrong),
        "log" | "durable" | "read" | "background" | "install" | "store" | "tick" | "touch" => {
            world.work_by_hand(name).map_err(wrong)
        }
        "time" => {
            let mono = number(words.next().unwrap_or_default())?;
            let wall = match words.next().and_then(|word| word.strip_prefix("wall=")) {
                Some(wall) => number(wall)?,
                None => mono,
            };
            world.pass(mono, wall);
            Ok(())
        }
        "lose" => {
            world.lose_by_hand(client(words.next())?);
            Ok(())
        }
        "kill" => {
            world.kill();
            Ok(())
        }
        "cut" => {
            world.power_cut();
            Ok(())
        }
        "start" => world.start().map_err(wrong),
        "failsync" => {
            world.fail_sync();
            Ok(())
        }
        "settle" => world.rest().map_err(wrong),
        other => Err(Problem::Command(format!("{other:?} is no command"))),
    }
}

fn commit(world: &mut World) -> Result<(), String> {
    world.core_by_hand()?;
    world.work_by_hand("log")?;
    world.work_by_hand("durable")?;
    world.core_by_hand()?;
    world.apply_by_hand(usize::MAX)?;
    world.tasks_by_hand()
}
