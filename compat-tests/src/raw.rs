//! Bytes of the client protocol, written and read by hand.
//!
//! Owns: a writer and a reader for the few jute types, on byte strings instead of text, so that a
//! request may carry what no well-behaved client sends (broken UTF-8, odd lengths), and a reply can
//! be compared byte by byte.
//!
//! Does not know: records, operations, sockets. It shares no code with the codec under test: the
//! judge must not repeat the defendant's mistakes.
//!
//! Invariant: a reader never moves past the end; a short input is `None`, not a panic.

/// A jute string or buffer as it travels: `None` is null (length -1).
pub type Bytes = Option<Vec<u8>>;

/// Makes a non-null [`Bytes`] of text.
pub fn text(s: &str) -> Bytes {
    Some(s.as_bytes().to_vec())
}

/// Appends jute values to a byte vector.
#[derive(Debug, Default, Clone)]
pub struct Out(pub Vec<u8>);

impl Out {
    /// An empty writer.
    pub fn new() -> Self {
        Self::default()
    }

    /// Four bytes, big-endian.
    pub fn int(&mut self, v: i32) -> &mut Self {
        self.0.extend_from_slice(&v.to_be_bytes());
        self
    }

    /// Eight bytes, big-endian.
    pub fn long(&mut self, v: i64) -> &mut Self {
        self.0.extend_from_slice(&v.to_be_bytes());
        self
    }

    /// One byte, 0 or 1.
    pub fn bool(&mut self, v: bool) -> &mut Self {
        self.0.push(u8::from(v));
        self
    }

    /// A string or buffer: length, then bytes; null as length -1.
    pub fn bytes(&mut self, v: &Bytes) -> &mut Self {
        match v {
            None => self.int(-1),
            Some(b) => {
                self.int(len(b.len()));
                self.0.extend_from_slice(b);
                self
            }
        }
    }

    /// A vector of strings; null as count -1.
    pub fn strings(&mut self, v: &Option<Vec<Bytes>>) -> &mut Self {
        match v {
            None => self.int(-1),
            Some(items) => {
                self.int(len(items.len()));
                for item in items {
                    self.bytes(item);
                }
                self
            }
        }
    }

    /// A frame: the length of what was written, then it.
    pub fn framed(&self) -> Vec<u8> {
        let mut frame = Vec::with_capacity(4 + self.0.len());
        frame.extend_from_slice(&len(self.0.len()).to_be_bytes());
        frame.extend_from_slice(&self.0);
        frame
    }
}

/// A length as jute writes it. Nothing here is longer than a frame may be.
fn len(n: usize) -> i32 {
    i32::try_from(n).expect("a request of the runner is shorter than 2 GiB")
}

/// Reads jute values from a slice.
#[derive(Debug, Clone)]
pub struct In<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> In<'a> {
    /// Starts at the first byte.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    /// Where the next byte would be read.
    pub fn position(&self) -> usize {
        self.at
    }

    /// How many bytes are left.
    pub fn remaining(&self) -> usize {
        self.bytes.len() - self.at
    }

    /// The next `n` bytes.
    pub fn take(&mut self, n: usize) -> Option<&'a [u8]> {
        let end = self.at.checked_add(n)?;
        let taken = self.bytes.get(self.at..end)?;
        self.at = end;
        Some(taken)
    }

    /// The bytes not read yet.
    pub fn rest(&mut self) -> &'a [u8] {
        let taken = &self.bytes[self.at..];
        self.at = self.bytes.len();
        taken
    }

    /// Four bytes, big-endian.
    pub fn int(&mut self) -> Option<i32> {
        self.take(4)
            .map(|b| i32::from_be_bytes([b[0], b[1], b[2], b[3]]))
    }

    /// Eight bytes, big-endian.
    pub fn long(&mut self) -> Option<i64> {
        let b = self.take(8)?;
        Some(i64::from_be_bytes(b.try_into().ok()?))
    }

    /// One byte; anything but 0 is true.
    pub fn bool(&mut self) -> Option<bool> {
        self.take(1).map(|b| b[0] != 0)
    }

    /// A string or buffer; any negative length is null. The outer `None` means a short input.
    #[allow(clippy::option_option)]
    pub fn bytes(&mut self) -> Option<Option<&'a [u8]>> {
        let n = self.int()?;
        match usize::try_from(n) {
            Err(_) => Some(None),
            Ok(n) => self.take(n).map(Some),
        }
    }
}

/// Lower-case hex of `bytes`.
pub fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    let mut out = String::with_capacity(bytes.len() * 2);
    for b in bytes {
        let _ = write!(out, "{b:02x}");
    }
    out
}

/// The bytes of a hex text, or `None` when it is not hex.
pub fn unhex(s: &str) -> Option<Vec<u8>> {
    if !s.len().is_multiple_of(2) || !s.is_ascii() {
        return None;
    }
    (0..s.len())
        .step_by(2)
        .map(|i| u8::from_str_radix(&s[i..i + 2], 16).ok())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hex_round_trip() {
        let bytes = [0, 1, 0x7f, 0x80, 0xff];
        assert_eq!(hex(&bytes), "00017f80ff");
        assert_eq!(unhex("00017f80ff").as_deref(), Some(&bytes[..]));
        assert_eq!(unhex("0"), None);
        assert_eq!(unhex("0g"), None);
    }

    #[test]
    fn null_differs_from_empty() {
        let mut out = Out::new();
        out.bytes(&None).bytes(&Some(vec![]));
        assert_eq!(hex(&out.0), "ffffffff00000000");
        let mut input = In::new(&out.0);
        assert_eq!(input.bytes(), Some(None));
        assert_eq!(input.bytes(), Some(Some(&[][..])));
        assert_eq!(input.int(), None);
    }
}
