//! What happened, line by line: hashed as a whole, the end of it kept.

use std::collections::VecDeque;
use std::fmt::{self, Write as _};

/// The trace of one run.
#[derive(Debug)]
pub struct Trace {
    hash: u64,
    count: u64,
    keep: usize,
    lines: VecDeque<String>,
    buffer: String,
}

impl Trace {
    /// An empty trace of which the last `keep` lines can be read.
    pub fn new(keep: usize) -> Trace {
        Trace {
            hash: fnv(0xcbf2_9ce4_8422_2325, b""),
            count: 0,
            keep,
            lines: VecDeque::new(),
            buffer: String::new(),
        }
    }

    /// Adds a line.
    pub fn line(&mut self, line: fmt::Arguments<'_>) {
        self.buffer.clear();
        // Writing to a string does not fail.
        let _ = self.buffer.write_fmt(line);
        self.buffer.push('\n');
        self.hash = fnv(self.hash, self.buffer.as_bytes());
        self.count += 1;
        if self.keep == 0 {
            return;
        }
        if self.lines.len() == self.keep {
            self.lines.pop_front();
        }
        self.lines.push_back(self.buffer.trim_end().to_owned());
    }

    /// Adds bytes to the hash that no line shows.
    pub fn mix(&mut self, bytes: &[u8]) {
        self.hash = fnv(self.hash, bytes);
    }

    /// Hash of everything so far.
    pub fn hash(&self) -> u64 {
        self.hash
    }

    /// How many lines there were.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// Takes the lines kept.
    pub fn take(&mut self) -> Vec<String> {
        std::mem::take(&mut self.lines).into()
    }
}

/// Goes on hashing from `hash`: FNV-1a.
fn fnv(hash: u64, bytes: &[u8]) -> u64 {
    bytes.iter().fold(hash, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    })
}
