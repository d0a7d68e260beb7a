//! Shrinks a sequence that shows a difference.
//!
//! Owns: the search. Each attempt runs on two fresh servers, so an attempt's only inputs are the
//! settings and the steps.
//!
//! Does not know: what the difference means; it only asks that the same one (by its signature)
//! shows again.

use std::time::{Duration, Instant};

use super::run::Mismatch;
use super::step::{Request, Script, Step};
use super::{Pair, Report, replayed};
use crate::servers::{Launch, Settings};

/// Fresh pairs of servers, the next one starting while this one is used.
#[derive(Debug)]
pub struct Pairs {
    launches: [Launch; 2],
    settings: Settings,
    next: Option<Pair>,
}

impl Pairs {
    /// For servers of these kinds and settings.
    pub fn new(launches: [Launch; 2], settings: Settings) -> Self {
        Self {
            launches,
            settings,
            next: None,
        }
    }

    /// Runs a script on a fresh pair.
    pub fn replay(&mut self, script: &Script, eager: bool) -> Result<Report, String> {
        let mut pair = match self.next.take() {
            Some(pair) => pair,
            None => Pair::start(&self.launches, &self.settings)?,
        };
        let addrs = pair.ready()?;
        self.next = Some(Pair::start(&self.launches, &self.settings)?);
        let mut report = replayed(addrs, script, eager)?;
        if let Some(mismatch) = &mut report.mismatch {
            mismatch.difference.text += &pair.dead();
        }
        Ok(report)
    }
}

/// The shortest script found, its difference, and how many attempts it took.
#[derive(Debug)]
pub struct Minimal {
    /// The script.
    pub script: Script,
    /// Its difference.
    pub mismatch: Mismatch,
    /// Attempts.
    pub attempts: usize,
}

/// Runs a script on fresh servers, looking at every connection after every step, so that the right
/// step is blamed; the difference, if it shows one.
pub type Attempt<'a> = dyn FnMut(&Script) -> Result<Option<Mismatch>, String> + 'a;

/// Shrinks `script` within `budget`; `None` when the difference does not show again.
pub fn minimise(
    script: &Script,
    budget: Duration,
    run: &mut Attempt<'_>,
) -> Result<Option<Minimal>, String> {
    let deadline = Instant::now() + budget;
    let Some(first) = run(script)? else {
        return Ok(None);
    };
    let mut search = Search {
        run,
        settings: script.settings,
        signature: first.difference.signature.clone(),
        best: Vec::new(),
        mismatch: first,
        deadline,
        attempts: 1,
    };
    search.keep(script.steps.clone());
    search.remove_chunks()?;
    search.thin_bursts()?;
    search.remove_chunks()?;
    Ok(Some(Minimal {
        script: Script {
            settings: search.settings,
            steps: search.best,
        },
        mismatch: search.mismatch,
        attempts: search.attempts,
    }))
}

struct Search<'a, 'b> {
    run: &'a mut Attempt<'b>,
    settings: Settings,
    signature: String,
    best: Vec<Step>,
    mismatch: Mismatch,
    deadline: Instant,
    attempts: usize,
}

impl Search<'_, '_> {
    /// Takes over steps that show the difference; what comes after it is cut off.
    fn keep(&mut self, mut steps: Vec<Step>) {
        steps.truncate(self.mismatch.step.saturating_add(1));
        self.best = steps;
    }

    fn over(&self) -> bool {
        Instant::now() > self.deadline
    }

    fn attempt(&mut self, steps: Vec<Step>) -> Result<bool, String> {
        self.attempts += 1;
        let script = Script {
            settings: self.settings,
            steps,
        };
        let found = (self.run)(&script)?;
        match found {
            Some(mismatch) if mismatch.difference.signature == self.signature => {
                self.mismatch = mismatch;
                self.keep(script.steps);
                Ok(true)
            }
            _ => Ok(false),
        }
    }

    /// Removes ever smaller runs of steps.
    fn remove_chunks(&mut self) -> Result<(), String> {
        let mut chunk = self.best.len().div_ceil(2);
        while chunk >= 1 && !self.over() {
            let mut at = 0;
            let mut shorter = false;
            while at < self.best.len() && !self.over() {
                let end = (at + chunk).min(self.best.len());
                let mut steps = self.best.clone();
                steps.drain(at..end);
                if self.attempt(steps)? {
                    shorter = true;
                } else {
                    at = end;
                }
            }
            if chunk == 1 && !shorter {
                break;
            }
            chunk = if chunk == 1 { 1 } else { chunk.div_ceil(2) };
        }
        Ok(())
    }

    /// Removes requests from bursts, halves first.
    fn thin_bursts(&mut self) -> Result<(), String> {
        let mut i = 0;
        while i < self.best.len() {
            let (mut at, mut chunk) = (0, burst(&self.best[i]).len().div_ceil(2));
            while chunk >= 1 && !self.over() {
                let Some(step) = self.best.get(i) else { break };
                let all = burst(step);
                if at >= all.len() {
                    chunk = if chunk == 1 { 0 } else { chunk.div_ceil(2) };
                    at = 0;
                    continue;
                }
                let mut fewer = all.to_vec();
                fewer.drain(at..(at + chunk).min(all.len()));
                let mut steps = self.best.clone();
                set_burst(&mut steps[i], fewer);
                if !self.attempt(steps)? {
                    at += chunk;
                }
            }
            i += 1;
        }
        Ok(())
    }
}

/// Requests that can be left out of a step.
fn burst(step: &Step) -> &[Request] {
    match step {
        Step::Send { requests, .. } if requests.len() > 1 => requests,
        Step::Open { with, .. } => with,
        _ => &[],
    }
}

fn set_burst(step: &mut Step, fewer: Vec<Request>) {
    match step {
        Step::Send { requests, .. } => *requests = fewer,
        Step::Open { with, .. } => *with = fewer,
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::super::exchange::Difference;
    use super::*;

    fn send(xids: &[i32]) -> Step {
        let requests = xids
            .iter()
            .map(|xid| Request {
                xid: *xid,
                op: 11,
                body: vec![],
            })
            .collect();
        Step::Send { slot: 1, requests }
    }

    fn has(step: &Step, xid: i32) -> bool {
        matches!(step, Step::Send { requests, .. } if requests.iter().any(|r| r.xid == xid))
    }

    /// The fault shows when xid 70 comes after xid 31.
    fn faulty(script: &Script) -> Option<Mismatch> {
        let cause = script.steps.iter().position(|s| has(s, 31))?;
        let after = script.steps[cause + 1..].iter().position(|s| has(s, 70))?;
        let signature = "fault".to_string();
        Some(Mismatch {
            step: cause + 1 + after,
            slot: 1,
            difference: Difference {
                text: signature.clone(),
                signature,
            },
        })
    }

    #[test]
    fn finds_the_two_requests() {
        let steps = (0..100).map(|i| send(&[i * 3, i * 3 + 1, i * 3 + 2]));
        let script = Script {
            settings: Settings::default(),
            steps: steps.collect(),
        };
        let minimal = minimise(&script, Duration::from_secs(60), &mut |s| Ok(faulty(s)));
        let minimal = minimal.expect("runs").expect("shows");
        assert_eq!(minimal.script.steps, [send(&[31]), send(&[70])]);
        assert!(minimal.attempts < 60, "{}", minimal.attempts);
    }

    #[test]
    fn a_difference_that_does_not_show_again() {
        let script = Script {
            settings: Settings::default(),
            steps: vec![send(&[1])],
        };
        let minimal = minimise(&script, Duration::from_secs(1), &mut |_| Ok(None));
        assert!(minimal.expect("runs").is_none());
    }
}
