//! The tree behind a SNAP packet: sessions, ACLs and nodes as in a snapshot's file, but without
//! header, seals and what follows them; a signature ends it, and packets go on behind that.
//!
//! Owns: the order of things and the signature. Does not know: the tree (a node may name an ACL
//! or a parent that is not there, since the sender's goes on changing), or sockets.
//!
//! Invariants: the decoder consumes an item whole or not at all, so that it can be given the
//! stream piece by piece, and never a byte behind the signature; a byte is looked at a few times
//! at the most, however many pieces an item comes in; nothing that it returns was allocated
//! beyond the bytes given.

use alloc::borrow::Cow;
use alloc::vec::Vec;
use core::fmt;

use jute::{Buf, Encode, Error, Reader};

use super::scan::{ListScan, Scanned};
use crate::client::Acl;
use crate::file::sections::{Part, SectionEncoder, SectionError};
use crate::stat::StatPersisted;

pub use crate::file::sections::{OPEN_ACL, Section as SnapItem};

/// What ends a tree.
pub const SIGNATURE: &str = "BenWasHere";

/// Bytes in front of an ACL's entries: its number, and theirs.
const ACL_HEAD: usize = 8 + 4;

/// Bytes in front of an entry's scheme and id: its permissions.
const ACL_ENTRY_HEAD: usize = 4;

/// Why what was received is no tree. The connection is then to be closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SnapError {
    /// A record is malformed.
    Jute(Error),
    /// An ACL or a path is null.
    Null {
        /// Where it begins, in bytes from the start of the tree.
        at: usize,
    },
    /// The nodes are not followed by [`SIGNATURE`].
    Signature {
        /// Where it should begin, in bytes from the start of the tree.
        at: usize,
    },
}

impl fmt::Display for SnapError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SnapError::Jute(error) => write!(f, "tree: {error}"),
            SnapError::Null { at } => write!(f, "tree: null at offset {at}"),
            SnapError::Signature { at } => write!(f, "tree: no signature at offset {at}"),
        }
    }
}

impl core::error::Error for SnapError {}

/// What a decoder says to the bytes it was given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SnapProgress<'a> {
    /// An item, and how many bytes of the input it took. [`SnapItem::End`] is the last, when the
    /// signature was there, and right.
    Item(SnapItem<'a>, usize),
    /// The input ends within an item, of which nothing was consumed. To be called again with the
    /// same bytes and more behind them: this many in all at the least. What a peer states is in
    /// it, so it is no reason to reserve as much.
    More(usize),
    /// The whole tree was read; the input is what follows it.
    Done,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Sections(Part),
    /// Behind the last node and what ends them.
    Signature,
    Done,
}

/// Reads a tree that comes in pieces.
#[derive(Debug, Clone)]
pub struct SnapDecoder {
    state: State,
    /// How far the ACL was looked at that comes next.
    scan: Option<ListScan>,
    /// Without this many bytes there is nothing new to say.
    need: usize,
    /// Bytes consumed so far.
    offset: u64,
    max_field: usize,
}

impl SnapDecoder {
    /// A decoder at the beginning of a tree. A string, a buffer or an ACL of more than `max_field`
    /// bytes is an error. More than two of these and a hundred bytes need never be gathered for
    /// one item.
    pub fn new(max_field: usize) -> Self {
        SnapDecoder {
            state: State::Sections(Part::FIRST),
            scan: None,
            need: 0,
            offset: 0,
            max_field,
        }
    }

    /// Bytes consumed so far: the offset, in the tree, of the input's first byte.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// Reads the next item from the front of `input`.
    ///
    /// # Errors
    /// See [`SnapError`]; offsets in it count from the start of the tree. The decoder is then to
    /// be given up.
    pub fn next<'a>(&mut self, input: &'a [u8]) -> Result<SnapProgress<'a>, SnapError> {
        if input.len() < self.need {
            return Ok(SnapProgress::More(self.need));
        }
        // A count, or what ends the nodes, is consumed with the item behind it.
        let mut state = self.state;
        let mut taken = 0;
        loop {
            let bytes = &input[taken..];
            let mut r = Reader::with_limit(bytes, self.max_field);
            let step = match state {
                State::Done => return Ok(SnapProgress::Done),
                State::Signature => signature(&mut r),
                State::Sections(part) => {
                    if matches!(part, Part::Acls(Some(1..)))
                        && let Some(need) = self.missing_acl(bytes, taken)?
                    {
                        return Ok(self.more(taken + need));
                    }
                    match part.read(&mut r) {
                        Ok((Some(SnapItem::End), _)) => Ok((None, State::Signature)),
                        Ok((item, part)) => Ok((item, State::Sections(part))),
                        Err(SectionError::Jute(error)) => Err(SnapError::Jute(error)),
                        Err(SectionError::Null { at }) => Err(SnapError::Null { at }),
                    }
                }
            };
            let item = match step {
                Ok((item, next)) => {
                    state = next;
                    item
                }
                Err(SnapError::Jute(Error::Eof { at: _, need })) => {
                    return Ok(self.more(input.len().saturating_add(need)));
                }
                Err(error) => return Err(self.at_offset(error, taken)),
            };
            taken += r.position();
            if let Some(item) = item {
                self.state = state;
                self.scan = None;
                self.need = 0;
                self.offset += taken as u64;
                return Ok(SnapProgress::Item(item, taken));
            }
        }
    }

    fn more<'a>(&mut self, need: usize) -> SnapProgress<'a> {
        self.need = need;
        SnapProgress::More(need)
    }

    /// How many bytes there must be for more to be known of the ACL that comes next; `None` when
    /// all of it is there. So that an ACL of many entries in many pieces is not read as often.
    fn missing_acl(&mut self, bytes: &[u8], taken: usize) -> Result<Option<usize>, SnapError> {
        let Some(head) = bytes.first_chunk::<ACL_HEAD>() else {
            return Ok(Some(ACL_HEAD));
        };
        let [.., a, b, c, d] = *head;
        let count = i32::from_be_bytes([a, b, c, d]);
        let mut scan = self
            .scan
            .unwrap_or_else(|| ListScan::new(ACL_HEAD, count, ACL_ENTRY_HEAD));
        let scanned = scan.next(bytes, self.max_field, self.max_field);
        self.scan = Some(scan);
        match scanned {
            Scanned::End(_) => Ok(None),
            Scanned::Need(need) => Ok(Some(need)),
            Scanned::Bad { at, length } => {
                let error = SnapError::Jute(Error::Length { at, length });
                Err(self.at_offset(error, taken))
            }
        }
    }

    /// Within a step offsets count from where it began.
    fn at_offset(&self, error: SnapError, taken: usize) -> SnapError {
        let base = usize::try_from(self.offset)
            .unwrap_or(usize::MAX)
            .saturating_add(taken);
        match error {
            SnapError::Jute(Error::Eof { at, need }) => SnapError::Jute(Error::Eof {
                at: base.saturating_add(at),
                need,
            }),
            SnapError::Jute(Error::Length { at, length }) => SnapError::Jute(Error::Length {
                at: base.saturating_add(at),
                length,
            }),
            SnapError::Jute(Error::Value { at, value }) => SnapError::Jute(Error::Value {
                at: base.saturating_add(at),
                value,
            }),
            SnapError::Null { at } => SnapError::Null {
                at: base.saturating_add(at),
            },
            SnapError::Signature { at } => SnapError::Signature {
                at: base.saturating_add(at),
            },
        }
    }
}

fn signature<'a>(r: &mut Reader<'a>) -> Result<(Option<SnapItem<'a>>, State), SnapError> {
    // No more is waited for than the signature has, whatever length is stated.
    let mut length = r.clone();
    let stated = length.array().map_err(SnapError::Jute)?;
    if usize::try_from(i32::from_be_bytes(stated)) != Ok(SIGNATURE.len())
        || r.string().map_err(SnapError::Jute)?.as_deref() != Some(SIGNATURE)
    {
        return Err(SnapError::Signature { at: 0 });
    }
    Ok((Some(SnapItem::End), State::Done))
}

/// Writes a tree, piece by piece: each call appends to `out`, which may be emptied between calls.
/// The calls have to come in the order of the format; anything else panics.
#[derive(Debug, Clone)]
pub struct SnapEncoder {
    sections: SectionEncoder,
}

impl SnapEncoder {
    /// Begins a tree with this many sessions and ACLs.
    pub fn begin(sessions: usize, acls: usize, out: &mut Vec<u8>) -> Self {
        SnapEncoder {
            sections: SectionEncoder::begin(sessions, acls, out),
        }
    }

    /// Appends a session.
    pub fn session(&mut self, id: i64, timeout: i32, out: &mut Vec<u8>) {
        self.sections.session(id, timeout, out);
    }

    /// Appends an ACL; its id must not be [`OPEN_ACL`].
    pub fn acl(&mut self, id: i64, acl: &[Acl<'_>], out: &mut Vec<u8>) {
        self.sections.acl(id, acl, out);
    }

    /// Appends a node, whose parent must have come before; the path of the root is empty.
    pub fn node(
        &mut self,
        path: &str,
        data: Buf<'_>,
        acl: i64,
        stat: &StatPersisted,
        out: &mut Vec<u8>,
    ) {
        self.sections.node(path, data, acl, stat, out);
    }

    /// Ends the tree, with the signature.
    pub fn end(mut self, out: &mut Vec<u8>) {
        self.sections.end(out);
        Some(Cow::Borrowed(SIGNATURE)).encode(out);
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec;

    use super::*;
    use crate::client::Id;

    const LIMIT: usize = 64;

    fn entry(id: &str) -> Acl<'_> {
        Acl {
            perms: 31,
            id: Id {
                scheme: Some("digest".into()),
                id: Some(id.into()),
            },
        }
    }

    fn items() -> Vec<SnapItem<'static>> {
        let node = |path: &'static str, data, acl| SnapItem::Node {
            path: path.into(),
            data,
            acl,
            stat: StatPersisted {
                czxid: 1,
                pzxid: 2,
                ..StatPersisted::default()
            },
        };
        vec![
            SnapItem::Session { id: 7, timeout: 8 },
            SnapItem::Session { id: -1, timeout: 0 },
            SnapItem::Acl {
                id: 1,
                acl: vec![entry("a"), entry(""), entry("ü")],
            },
            SnapItem::Acl { id: 2, acl: vec![] },
            node("", None, OPEN_ACL),
            node("/a", Some(&[]), 1),
            node("/a/b", Some(&[0xff; LIMIT]), 99),
            SnapItem::End,
        ]
    }

    fn encode(items: &[SnapItem<'_>], out: &mut Vec<u8>) {
        let count = |is: fn(&SnapItem<'_>) -> bool| items.iter().filter(|item| is(item)).count();
        let mut encoder = Some(SnapEncoder::begin(
            count(|item| matches!(item, SnapItem::Session { .. })),
            count(|item| matches!(item, SnapItem::Acl { .. })),
            out,
        ));
        for item in items {
            match item {
                SnapItem::Session { id, timeout } => {
                    encoder.as_mut().unwrap().session(*id, *timeout, out);
                }
                SnapItem::Acl { id, acl } => encoder.as_mut().unwrap().acl(*id, acl, out),
                SnapItem::Node {
                    path,
                    data,
                    acl,
                    stat,
                } => {
                    let encoder = encoder.as_mut().unwrap();
                    encoder.node(path, *data, *acl, stat, out);
                }
                SnapItem::End => encoder.take().unwrap().end(out),
            }
        }
    }

    fn bytes() -> Vec<u8> {
        let mut out = Vec::new();
        encode(&items(), &mut out);
        out
    }

    /// Reads a tree that arrives in pieces; also says how many bytes were behind it.
    fn read(bytes: &[u8], step: usize) -> Result<(Vec<SnapItem<'_>>, usize), SnapError> {
        let mut decoder = SnapDecoder::new(LIMIT);
        let (mut found, mut start, mut end) = (Vec::new(), 0, 0);
        loop {
            assert_eq!(decoder.offset(), start as u64);
            match decoder.next(&bytes[start..end])? {
                SnapProgress::Item(item, taken) => {
                    found.push(item);
                    start += taken;
                    assert!(start <= end);
                }
                SnapProgress::More(need) => {
                    assert!(need > end - start, "more is asked for, not less");
                    assert!(need <= 2 * LIMIT + 100);
                    assert!(end < bytes.len(), "the input is whole");
                    end = bytes.len().min(end + step);
                }
                SnapProgress::Done => return Ok((found, bytes.len() - start)),
            }
        }
    }

    #[test]
    fn a_tree_comes_in_any_pieces_and_packets_behind_it_stay() {
        let whole = bytes();
        assert!(whole.ends_with(b"\0\0\0\x01/\0\0\0\x0aBenWasHere"));
        let longer = [&whole[..], &[0, 0, 0, 10, 9, 9]].concat();
        for step in 1..=longer.len() {
            let (found, behind) = read(&longer, step).unwrap();
            assert_eq!(found, items(), "in pieces of {step}");
            assert_eq!(behind, 6);
        }
    }

    #[test]
    fn an_empty_tree() {
        let mut out = Vec::new();
        encode(&[SnapItem::End], &mut out);
        assert_eq!(out[..8], [0; 8]);
        assert_eq!(read(&out, 1), Ok((vec![SnapItem::End], 0)));
        // As in Java negative counts are none.
        out[..8].fill(0xff);
        assert_eq!(read(&out, 3), Ok((vec![SnapItem::End], 0)));
    }

    #[test]
    fn a_prefix_is_no_tree() {
        let whole = bytes();
        let items = items();
        for end in 0..whole.len() {
            let mut decoder = SnapDecoder::new(LIMIT);
            let (mut rest, mut found) = (&whole[..end], 0);
            let need = loop {
                match decoder.next(rest).unwrap() {
                    SnapProgress::Item(item, taken) => {
                        assert_eq!(item, items[found]);
                        found += 1;
                        rest = &rest[taken..];
                    }
                    SnapProgress::More(need) => break need,
                    SnapProgress::Done => panic!("whole at {end}"),
                }
            };
            assert!(found < items.len());
            assert!(need > rest.len() && need - rest.len() <= whole.len() - end);
        }
    }

    #[test]
    fn the_signature_is_demanded() {
        let whole = bytes();
        let at = whole.len() - 14;
        for (index, byte) in [
            (at + 3, 11),
            (at + 3, 9),
            (at, 0x7f),
            (at, 0xff),
            (at + 4, b'b'),
        ] {
            let mut bytes = whole.clone();
            bytes[index] = byte;
            let error = Err(SnapError::Signature { at });
            assert_eq!(read(&bytes, bytes.len()), error);
            // Nothing of a length that is wrong is waited for.
            if index < at + 4 {
                assert_eq!(read(&bytes[..at + 4], 1), error);
            }
        }
    }

    #[test]
    fn nulls_and_lengths_are_judged() {
        let zeros = [0; 8];
        let null = [0xff; 4];
        let bytes = [&zeros[..], &null].concat();
        assert_eq!(read(&bytes, 5), Err(SnapError::Null { at: 8 }));
        let bytes = [&[0, 0, 0, 0, 0, 0, 0, 1][..], &zeros, &null].concat();
        assert_eq!(read(&bytes, 5), Err(SnapError::Null { at: 16 }));
        // A path, then an ACL's scheme, of one byte too many.
        let long = [0, 0, 0, 65];
        let error = |at| Err(SnapError::Jute(Error::Length { at, length: 65 }));
        assert_eq!(read(&[&zeros[..], &long].concat(), 1), error(8));
        let acl = [
            &[0, 0, 0, 0, 0, 0, 0, 1][..],
            &zeros,
            &[0, 0, 0, 1],
            &[0; 4],
        ]
        .concat();
        assert_eq!(read(&[&acl[..], &long].concat(), 1), error(24));
    }

    /// An ACL of many entries is bounded as a whole.
    #[test]
    fn an_acl_is_bounded() {
        let mut bytes = vec![0, 0, 0, 0, 0, 0, 0, 1];
        1i64.encode(&mut bytes);
        i32::MAX.encode(&mut bytes);
        bytes.resize(bytes.len() + 2 * LIMIT, 0);
        for step in [1, bytes.len()] {
            let error = read(&bytes, step).unwrap_err();
            // Entries of 12 bytes: the sixth passes the limit.
            let at = 20 + 5 * 12 + 4;
            assert_eq!(error, SnapError::Jute(Error::Length { at, length: 0 }));
        }
    }

    #[test]
    #[should_panic(expected = "a node")]
    fn the_order_is_held_to() {
        let mut out = Vec::new();
        let mut encoder = SnapEncoder::begin(1, 0, &mut out);
        encoder.node("", None, OPEN_ACL, &StatPersisted::default(), &mut out);
    }
}
