//! One step of a run, and the script that holds many.
//!
//! Owns: the text form of a sequence. A script replays byte for byte what was sent; only session
//! ids and passwords are filled in from what the servers answered.
//!
//! Does not know: how steps are chosen or carried out.
//!
//! A script is lines: `# comment`, `settings KEY=VALUE...`, then one step a line. Requests are
//! written `xid:op:hex of the body`, and `print` adds what they mean as a comment.

use crate::raw::{Bytes, hex, unhex};
use crate::servers::Settings;

/// A request as bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// Header xid.
    pub xid: i32,
    /// Header op code.
    pub op: i32,
    /// What follows the header.
    pub body: Vec<u8>,
}

/// Which password an attach offers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Passwd {
    /// The one the server gave.
    Right,
    /// It with its first byte changed.
    Wrong,
    /// No bytes.
    Empty,
    /// Null.
    Null,
}

/// One step. Slots name client connections; a step on a slot without what it needs is skipped, so
/// that any subsequence of a script is a script.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Step {
    /// A new session in a free slot, with requests sent behind the ConnectRequest at once.
    Open {
        slot: usize,
        timeout: i32,
        read_only: Option<bool>,
        last_zxid: i64,
        passwd: Bytes,
        with: Vec<Request>,
    },
    /// The slot's session again, on a new connection; the old one, if open, is left to the server.
    Attach {
        slot: usize,
        timeout: i32,
        read_only: Option<bool>,
        passwd: Passwd,
    },
    /// The client drops the connection; the session lives on.
    Drop { slot: usize },
    /// Requests written at once; one is the ordinary case.
    Send { slot: usize, requests: Vec<Request> },
    /// Bytes as they are (with their own frame length): the server must close.
    Frame { slot: usize, bytes: Vec<u8> },
    /// Attaches with a short timeout and waits until both servers have expired the session;
    /// `drop`: the client leaves first.
    Expire { slot: usize, drop: bool },
    /// For servers that refuse it, never for Java.
    Refused { slot: usize, request: Request },
    /// Collects what every connection has received.
    Drain,
}

impl Step {
    /// How many requests a step stands for.
    pub fn weight(&self) -> usize {
        match self {
            Step::Send { requests, .. } => requests.len(),
            Step::Open { with, .. } => 1 + with.len(),
            Step::Drain | Step::Drop { .. } => 0,
            _ => 1,
        }
    }

    /// The slot concerned.
    pub fn slot(&self) -> Option<usize> {
        match self {
            Step::Open { slot, .. }
            | Step::Attach { slot, .. }
            | Step::Drop { slot }
            | Step::Send { slot, .. }
            | Step::Frame { slot, .. }
            | Step::Expire { slot, .. }
            | Step::Refused { slot, .. } => Some(*slot),
            Step::Drain => None,
        }
    }

    /// The step as one line of a script.
    pub fn line(&self) -> String {
        match self {
            Step::Open {
                slot,
                timeout,
                read_only,
                last_zxid,
                passwd,
                with,
            } => format!(
                "open {slot} timeout={timeout} read_only={} last_zxid={last_zxid} passwd={}{}",
                flag(*read_only),
                passwd
                    .as_ref()
                    .map_or_else(|| "null".into(), |p| format!("0x{}", hex(p))),
                requests(with)
            ),
            Step::Attach {
                slot,
                timeout,
                read_only,
                passwd,
            } => {
                let passwd = match passwd {
                    Passwd::Right => "right",
                    Passwd::Wrong => "wrong",
                    Passwd::Empty => "empty",
                    Passwd::Null => "null",
                };
                format!(
                    "attach {slot} timeout={timeout} read_only={} passwd={passwd}",
                    flag(*read_only)
                )
            }
            Step::Drop { slot } => format!("drop {slot}"),
            Step::Send {
                slot,
                requests: all,
            } => format!("send {slot}{}", requests(all)),
            Step::Frame { slot, bytes } => format!("frame {slot} 0x{}", hex(bytes)),
            Step::Expire { slot, drop } => format!("expire {slot} drop={drop}"),
            Step::Refused { slot, request } => {
                format!("refused {slot}{}", requests(std::slice::from_ref(request)))
            }
            Step::Drain => "drain".into(),
        }
    }

    /// Reads [`Step::line`].
    pub fn parse(line: &str) -> Result<Self, String> {
        let bad = || format!("bad step: {line:?}");
        let mut words = line.split_whitespace();
        let verb = words.next().ok_or_else(bad)?;
        if verb == "drain" {
            return Ok(Step::Drain);
        }
        let slot = words.next().and_then(|w| w.parse().ok()).ok_or_else(bad)?;
        let rest: Vec<&str> = words.collect();
        let value = |key: &str| {
            rest.iter()
                .find_map(|w| w.strip_prefix(key)?.strip_prefix('='))
                .ok_or_else(|| format!("{line:?} lacks {key}"))
        };
        let number = |key: &str| value(key)?.parse::<i64>().map_err(|_| bad());
        let timeout = || number("timeout").and_then(|n| i32::try_from(n).map_err(|_| bad()));
        let read_only = || match value("read_only")? {
            "absent" => Ok(None),
            "true" => Ok(Some(true)),
            "false" => Ok(Some(false)),
            _ => Err(bad()),
        };
        let bytes = |word: &str| word.strip_prefix("0x").and_then(unhex).ok_or_else(bad);
        let all = || {
            rest.iter()
                .filter(|w| !w.contains('='))
                .map(|w| {
                    let mut parts = w.split(':');
                    let mut next = || parts.next().ok_or_else(bad);
                    let xid = next()?.parse().map_err(|_| bad())?;
                    let op = next()?.parse().map_err(|_| bad())?;
                    Ok(Request {
                        xid,
                        op,
                        body: unhex(next()?).ok_or_else(bad)?,
                    })
                })
                .collect::<Result<Vec<_>, String>>()
        };
        match verb {
            "open" => Ok(Step::Open {
                slot,
                timeout: timeout()?,
                read_only: read_only()?,
                last_zxid: number("last_zxid")?,
                passwd: match value("passwd")? {
                    "null" => None,
                    word => Some(bytes(word)?),
                },
                with: all()?,
            }),
            "attach" => Ok(Step::Attach {
                slot,
                timeout: timeout()?,
                read_only: read_only()?,
                passwd: match value("passwd")? {
                    "right" => Passwd::Right,
                    "wrong" => Passwd::Wrong,
                    "empty" => Passwd::Empty,
                    "null" => Passwd::Null,
                    _ => return Err(bad()),
                },
            }),
            "drop" => Ok(Step::Drop { slot }),
            "send" => Ok(Step::Send {
                slot,
                requests: all()?,
            }),
            "frame" => Ok(Step::Frame {
                slot,
                bytes: bytes(rest.first().ok_or_else(bad)?)?,
            }),
            "expire" => Ok(Step::Expire {
                slot,
                drop: value("drop")? == "true",
            }),
            "refused" => Ok(Step::Refused {
                slot,
                request: all()?.into_iter().next().ok_or_else(bad)?,
            }),
            _ => Err(bad()),
        }
    }
}

fn flag(v: Option<bool>) -> &'static str {
    match v {
        None => "absent",
        Some(true) => "true",
        Some(false) => "false",
    }
}

fn requests(all: &[Request]) -> String {
    all.iter()
        .map(|r| format!(" {}:{}:{}", r.xid, r.op, hex(&r.body)))
        .collect()
}

/// A replayable sequence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Script {
    /// How the servers are set.
    pub settings: Settings,
    /// What happens.
    pub steps: Vec<Step>,
}

impl Script {
    /// The file's text; `meaning` adds a comment below each step.
    pub fn text(&self, head: &str, meaning: impl Fn(&Step) -> Vec<String>) -> String {
        let mut out = String::new();
        for line in head.lines() {
            out += &format!("# {line}\n");
        }
        out += &format!("settings {}\n", self.settings.line());
        for step in &self.steps {
            out += &step.line();
            out.push('\n');
            for line in meaning(step) {
                out += &format!("#   {line}\n");
            }
        }
        out
    }

    /// Reads [`Script::text`].
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut settings = Settings::default();
        let mut steps = Vec::new();
        for (number, line) in text.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let at = |e: String| format!("line {}: {e}", number + 1);
            match line.strip_prefix("settings") {
                Some(rest) => settings = Settings::parse(rest).map_err(at)?,
                None => steps.push(Step::parse(line).map_err(at)?),
            }
        }
        Ok(Self { settings, steps })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn script_round_trip() {
        let request = |xid, op| Request {
            xid,
            op,
            body: vec![0, 255],
        };
        let script = Script {
            settings: Settings {
                enforce_quota: true,
                ..Settings::default()
            },
            steps: vec![
                Step::Open {
                    slot: 1,
                    timeout: -5,
                    read_only: None,
                    last_zxid: 7,
                    passwd: Some(vec![]),
                    with: vec![request(1, 4)],
                },
                Step::Open {
                    slot: 2,
                    timeout: 9,
                    read_only: Some(true),
                    last_zxid: 0,
                    passwd: None,
                    with: vec![],
                },
                Step::Attach {
                    slot: 1,
                    timeout: 3,
                    read_only: Some(false),
                    passwd: Passwd::Wrong,
                },
                Step::Drop { slot: 2 },
                Step::Send {
                    slot: 1,
                    requests: vec![request(-2, 11), request(5, -11)],
                },
                Step::Frame {
                    slot: 1,
                    bytes: vec![1, 2],
                },
                Step::Expire {
                    slot: 3,
                    drop: true,
                },
                Step::Refused {
                    slot: 1,
                    request: request(4, 20),
                },
                Step::Drain,
            ],
        };
        let text = script.text("made\nup", |_| vec!["meaning".into()]);
        assert_eq!(Script::parse(&text), Ok(script));
        assert!(Script::parse("send x").is_err());
    }
}
