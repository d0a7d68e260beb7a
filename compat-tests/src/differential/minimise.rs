//! Shrinks a sequence that shows a difference.
//!
//! Owns: the search. Each attempt runs on two fresh servers, so an attempt's only inputs are the
//! settings and the steps.
//!
//! Does not know: what the difference means; it only asks that the same one (by its signature)
//! shows again.

use std::time::{Duration, Instant};

use super::run::Mismatch;
use super::step::{Script, Step};
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

/// Shrinks `script` within `budget`; `None` when the difference does not show again.
pub fn minimise(
    pairs: &mut Pairs,
    script: &Script,
    budget: Duration,
) -> Result<Option<Minimal>, String> {
    let deadline = Instant::now() + budget;
    // Looked at after every step, so that the right step is blamed.
    let Some(first) = pairs.replay(script, true)?.mismatch else {
        return Ok(None);
    };
    let mut search = Search {
        pairs,
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

struct Search<'a> {
    pairs: &'a mut Pairs,
    settings: Settings,
    signature: String,
    best: Vec<Step>,
    mismatch: Mismatch,
    deadline: Instant,
    attempts: usize,
}

impl Search<'_> {
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
        let found = self.pairs.replay(&script, true)?.mismatch;
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
            let mut at = 0;
            let mut chunk = match &self.best[i] {
                Step::Send { requests, .. } if requests.len() > 1 => requests.len().div_ceil(2),
                _ => 0,
            };
            while chunk >= 1 && !self.over() {
                let Some(Step::Send { slot, requests }) = self.best.get(i).cloned() else {
                    break;
                };
                if at >= requests.len() {
                    chunk = if chunk == 1 { 0 } else { chunk.div_ceil(2) };
                    at = 0;
                    continue;
                }
                let mut fewer = requests;
                fewer.drain(at..(at + chunk).min(fewer.len()));
                if fewer.is_empty() {
                    at += chunk;
                    continue;
                }
                let mut steps = self.best.clone();
                steps[i] = Step::Send {
                    slot,
                    requests: fewer,
                };
                if !self.attempt(steps)? {
                    at += chunk;
                }
            }
            i += 1;
        }
        Ok(())
    }
}
