//! The grammar of Java's properties files, which `zoo.cfg` and the dynamic configuration use.
//!
//! Owns: lines, comments, continuation, separators and escapes. Does not know: any key, or that
//! the last of several equal keys wins; nothing is trimmed.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

/// One entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Property {
    /// The key, escapes resolved.
    pub key: String,
    /// The value, escapes resolved, blanks at its end kept.
    pub value: String,
    /// The line that it begins on, from 1.
    pub line: usize,
}

/// A `\u` that four hexadecimal digits do not follow; Java refuses the whole file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PropertiesError {
    /// The line that the entry begins on, from 1.
    pub line: usize,
}

impl fmt::Display for PropertiesError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: malformed \\uxxxx encoding", self.line)
    }
}

impl core::error::Error for PropertiesError {}

/// Reads a file. Its bytes are ISO-8859-1: each is the character of that number. A surrogate that
/// is written by `\u` without its other half becomes U+FFFD.
///
/// # Errors
/// [`PropertiesError`], for the first bad escape.
pub fn parse(file: &[u8]) -> Result<Vec<Property>, PropertiesError> {
    let mut lines = Lines {
        rest: file,
        number: 1,
    };
    let mut entries = Vec::new();
    let mut text = Vec::new();
    while let Some(line) = lines.next_logical(&mut text) {
        let (key, value) = split(&text);
        let refuse = || PropertiesError { line };
        entries.push(Property {
            key: unescape(key).ok_or_else(refuse)?,
            value: unescape(value).ok_or_else(refuse)?,
            line,
        });
    }
    Ok(entries)
}

/// Reads a text that is there as characters already, as Java's reader of strings does: those above
/// U+00FF stand for themselves.
///
/// # Errors
/// [`PropertiesError`], for the first bad escape.
pub fn parse_text(text: &str) -> Result<Vec<Property>, PropertiesError> {
    let mut file = Vec::with_capacity(text.len());
    // Whether the next character is escaped by a backslash, which then escapes the `u` instead.
    let mut escaped = false;
    for c in text.chars() {
        match u8::try_from(c) {
            Ok(byte) => {
                escaped = byte == b'\\' && !escaped;
                file.push(byte);
            }
            Err(_) => {
                for unit in c.encode_utf16(&mut [0; 2]) {
                    if !core::mem::take(&mut escaped) {
                        file.push(b'\\');
                    }
                    file.extend_from_slice(format!("u{unit:04x}").as_bytes());
                }
            }
        }
    }
    parse(&file)
}

fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\x0C')
}

fn is_newline(byte: u8) -> bool {
    matches!(byte, b'\n' | b'\r')
}

struct Lines<'a> {
    rest: &'a [u8],
    /// Of the natural line that `rest` begins in.
    number: usize,
}

impl<'a> Lines<'a> {
    /// The rest of the natural line, and steps behind its end.
    fn natural(&mut self) -> &'a [u8] {
        let end = self
            .rest
            .iter()
            .position(|&b| is_newline(b))
            .unwrap_or(self.rest.len());
        let (line, rest) = self.rest.split_at(end);
        self.rest = match rest {
            [b'\r', b'\n', rest @ ..] | [_, rest @ ..] => rest,
            [] => rest,
        };
        self.number += 1;
        line
    }

    /// Puts the next logical line into `text`, without indent, and returns the number of the
    /// natural line where it begins.
    fn next_logical(&mut self, text: &mut Vec<u8>) -> Option<usize> {
        text.clear();
        let mut begin = self.number;
        let mut continued = false;
        while !self.rest.is_empty() {
            if text.is_empty() {
                begin = self.number;
            }
            let line = self.natural();
            let indent = line.iter().take_while(|&&b| is_blank(b)).count();
            let line = &line[indent..];
            // A line behind a lone `\` is still the beginning of an entry: a comment, if it looks
            // like one, but not skipped if it is empty.
            let comment = text.is_empty() && matches!(line.first(), Some(b'#' | b'!'));
            if comment || (line.is_empty() && !continued) {
                continued = false;
                continue;
            }
            let slashes = line.iter().rev().take_while(|&&b| b == b'\\').count();
            continued = slashes % 2 == 1;
            text.extend_from_slice(&line[..line.len() - usize::from(continued)]);
            if !continued && !text.is_empty() {
                return Some(begin);
            }
        }
        // A lone `\` that ends the file is an entry with nothing in it.
        (continued || !text.is_empty()).then_some(begin)
    }
}

/// The key and the value of a logical line, escapes unresolved.
fn split(line: &[u8]) -> (&[u8], &[u8]) {
    let mut escaped = false;
    let is_end = |&b: &u8| {
        let end = !escaped && (is_blank(b) || matches!(b, b'=' | b':'));
        escaped = b == b'\\' && !escaped;
        end
    };
    let (key, rest) = line.split_at(line.iter().position(is_end).unwrap_or(line.len()));
    let skip = |rest: &[u8]| rest.iter().take_while(|&&b| is_blank(b)).count();
    let rest = &rest[skip(rest)..];
    let rest = match rest {
        [b'=' | b':', rest @ ..] => &rest[skip(rest)..],
        _ => rest,
    };
    (key, rest)
}

/// Resolves escapes; `None` for a bad `\u`.
fn unescape(text: &[u8]) -> Option<String> {
    let mut units = Vec::with_capacity(text.len());
    let mut rest = text;
    while let [byte, tail @ ..] = rest {
        rest = tail;
        if *byte != b'\\' {
            units.push(u16::from(*byte));
            continue;
        }
        let [escape, tail @ ..] = rest else { break };
        rest = tail;
        units.push(match escape {
            b'u' => {
                let (digits, tail) = rest.split_first_chunk::<4>()?;
                rest = tail;
                let mut unit = 0;
                for digit in digits {
                    unit = unit << 4 | u16::try_from(char::from(*digit).to_digit(16)?).ok()?;
                }
                unit
            }
            b't' => 0x09,
            b'n' => 0x0A,
            b'f' => 0x0C,
            b'r' => 0x0D,
            other => u16::from(*other),
        });
    }
    Some(String::from_utf16_lossy(&units))
}
