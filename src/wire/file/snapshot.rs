//! Snapshots, uncompressed: a header, sessions, ACLs, nodes, and behind them up to two sections
//! that later versions added; a seal after the nodes and after each section.
//!
//! Owns: the order of things and the seals; how items look is in `sections`, since the tree behind
//! a SNAP packet has the same. Does not know: compression, the tree (a node may name
//! an ACL or a parent that is not there; snapshots are fuzzy), or which section a server demands.
//!
//! A seal is the Adler-32 of everything from the file's beginning to it, earlier seals included,
//! and the string `/`. Java decides by its own settings which sections it reads; this decoder
//! goes by what is there (the section with the last zxid is 21 bytes with its seal).
//!
//! Invariants: the decoder consumes an item whole or not at all, so that it can be given a file
//! piece by piece; nothing that it returns was allocated beyond the bytes given.

use alloc::borrow::Cow;
use alloc::format;
use alloc::vec::Vec;
use core::fmt;

use adler2::Adler32;
use jute::{Buf, Decode, Encode, Error, Reader};

pub use super::sections::OPEN_ACL;

use super::FileHeader;
use super::sections::{END, Part, Section, SectionEncoder, SectionError};
use crate::client::Acl;
use crate::limits::{MAX_SNAPSHOT_TAIL, SNAPSHOT_SEAL};
use crate::stat::StatPersisted;

/// `ZKSN`, the magic number of a snapshot.
pub const MAGIC: i32 = i32::from_be_bytes(*b"ZKSN");

/// The only version of the format.
pub const VERSION: i32 = 2;

/// The header that every snapshot begins with.
pub const HEADER: FileHeader = FileHeader {
    magic: MAGIC,
    version: VERSION,
    dbid: -1,
};

/// Bytes of the section with the last zxid, and its seal.
const LAST_ZXID_TAIL: usize = 8 + SNAPSHOT_SEAL;

/// A part of a snapshot, in the order in which they come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Item<'a> {
    /// A global session.
    Session {
        /// Its id.
        id: i64,
        /// Its timeout, ms.
        timeout: i32,
    },
    /// An ACL that nodes refer to.
    Acl {
        /// The number by which they do.
        id: i64,
        /// The ACL.
        acl: Vec<Acl<'a>>,
    },
    /// A node; a parent comes before its children.
    Node {
        /// Its path; empty for the root.
        path: Cow<'a, str>,
        /// Its data.
        data: Buf<'a>,
        /// The number of its ACL, or [`OPEN_ACL`].
        acl: i64,
        /// Its stat.
        stat: StatPersisted,
    },
    /// All nodes are there, and the first seal is right.
    NodesEnd,
    /// The digest of the tree at some zxid; zxid 0 means that there was none.
    Digest {
        /// When.
        zxid: i64,
        /// Of the method.
        version: i32,
        /// The digest. Written as hexadecimal text by versions of the method below 2.
        digest: u64,
    },
    /// The last zxid applied when the snapshot was written. (The file's name overrides it.)
    LastZxid(i64),
}

/// Why a snapshot cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SnapshotError {
    /// A record is malformed, or the file ends within it.
    Jute(Error),
    /// Not a snapshot.
    Magic(i32),
    /// A snapshot in a format of the future.
    Version(i32),
    /// An ACL or a path is null.
    Null {
        /// Where it begins, in bytes from the start of the file.
        at: usize,
    },
    /// A seal does not fit what comes before it.
    Seal {
        /// Where it begins, in bytes from the start of the file.
        at: usize,
        /// In the seal.
        stated: u64,
        /// Of the bytes before it.
        computed: u32,
    },
    /// A seal ends with something else than `/`.
    SealEnd {
        /// Where the seal begins, in bytes from the start of the file.
        at: usize,
    },
    /// A digest of an old version is not a hexadecimal number.
    Digest {
        /// Where its section begins, in bytes from the start of the file.
        at: usize,
    },
    /// There is more than a snapshot can have.
    Trailing {
        /// Where it begins, in bytes from the start of the file.
        at: usize,
    },
}

impl fmt::Display for SnapshotError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SnapshotError::Jute(error) => error.fmt(f),
            SnapshotError::Magic(magic) => {
                write!(f, "magic number {magic:#010x} is not {MAGIC:#010x}")
            }
            SnapshotError::Version(version) => write!(f, "version {version} is not {VERSION}"),
            SnapshotError::Null { at } => write!(f, "null at offset {at}"),
            SnapshotError::Seal {
                at,
                stated,
                computed,
            } => {
                write!(
                    f,
                    "seal at offset {at}: checksum {stated:#x}, computed {computed:#x}"
                )
            }
            SnapshotError::SealEnd { at } => write!(f, "seal at offset {at} does not end with /"),
            SnapshotError::Digest { at } => write!(f, "digest at offset {at} is not a number"),
            SnapshotError::Trailing { at } => write!(f, "unknown content at offset {at}"),
        }
    }
}

impl core::error::Error for SnapshotError {}

impl From<Error> for SnapshotError {
    fn from(error: Error) -> Self {
        SnapshotError::Jute(error)
    }
}

/// What a decoder says to the bytes it was given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Progress<'a> {
    /// An item, and how many bytes of the input it took.
    Item(Item<'a>, usize),
    /// The input ends within an item, of which nothing was consumed. To be called again with the
    /// same bytes and more behind them: this many in all at the least, or all that there are.
    More(usize),
    /// The whole snapshot was read.
    Done,
}

impl From<SectionError> for SnapshotError {
    fn from(error: SectionError) -> Self {
        match error {
            SectionError::Jute(error) => SnapshotError::Jute(error),
            SectionError::Null { at } => SnapshotError::Null { at },
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Header,
    /// Behind the header.
    Sections(Part),
    /// Behind the first seal; whether the digest was read.
    Tail {
        digest: bool,
    },
    Done,
}

/// What one step of a decoder found, and where it then is.
type Step<'a> = Result<(Option<Item<'a>>, State), SnapshotError>;

/// Reads a snapshot that comes in pieces.
#[derive(Debug, Clone)]
pub struct Decoder {
    state: State,
    adler: Adler32,
    /// Bytes consumed so far.
    offset: usize,
    max_field: usize,
}

impl Default for Decoder {
    fn default() -> Self {
        Self::new(jute::MAX_LENGTH)
    }
}

impl Decoder {
    /// A decoder at the beginning of a file. A string or buffer longer than `max_field` bytes is
    /// an error, so that no more than about that much has to be gathered for one item.
    pub fn new(max_field: usize) -> Self {
        Decoder {
            state: State::Header,
            adler: Adler32::new(),
            offset: 0,
            max_field,
        }
    }

    /// Bytes consumed so far: the offset, in the file, of the input's first byte.
    pub fn offset(&self) -> usize {
        self.offset
    }

    /// Reads the next item from the front of `input`. `last` says that the file ends where the
    /// input does.
    ///
    /// # Errors
    /// See [`SnapshotError`]; offsets in it count from the start of the file. The decoder is then
    /// to be given up.
    pub fn next<'a>(&mut self, input: &'a [u8], last: bool) -> Result<Progress<'a>, SnapshotError> {
        let before = self.clone();
        let mut taken = 0;
        loop {
            let bytes = &input[taken..];
            let mut r = Reader::with_limit(bytes, self.max_field);
            let step = match self.state {
                State::Done => return Ok(Progress::Done),
                State::Tail { digest } => {
                    let left = r.remaining();
                    if !last && left <= MAX_SNAPSHOT_TAIL {
                        *self = before;
                        return Ok(Progress::More(taken + MAX_SNAPSHOT_TAIL + 1));
                    }
                    self.tail(bytes, &mut r, digest)
                }
                State::Header => Self::header(&mut r),
                State::Sections(part) => self.section(bytes, &mut r, part),
            };
            let (item, state) = match step {
                Ok(step) => step,
                Err(SnapshotError::Jute(Error::Eof { at: _, need })) if !last => {
                    *self = before;
                    return Ok(Progress::More(input.len().saturating_add(need)));
                }
                Err(error) => return Err(self.at_file_offset(error)),
            };
            let used = r.position();
            self.adler.write_slice(&input[taken..taken + used]);
            self.offset += used;
            taken += used;
            self.state = state;
            if let Some(item) = item {
                return Ok(Progress::Item(item, taken));
            }
        }
    }

    fn header<'a>(r: &mut Reader<'a>) -> Step<'a> {
        let header = FileHeader::decode(r)?;
        if header.magic != MAGIC {
            return Err(SnapshotError::Magic(header.magic));
        }
        if header.version != VERSION {
            return Err(SnapshotError::Version(header.version));
        }
        Ok((None, State::Sections(Part::FIRST)))
    }

    fn section<'a>(&self, bytes: &[u8], r: &mut Reader<'a>, part: Part) -> Step<'a> {
        let (item, part) = part.read(r)?;
        let item = match item {
            None => None,
            Some(Section::Session { id, timeout }) => Some(Item::Session { id, timeout }),
            Some(Section::Acl { id, acl }) => Some(Item::Acl { id, acl }),
            Some(Section::Node {
                path,
                data,
                acl,
                stat,
            }) => Some(Item::Node {
                path,
                data,
                acl,
                stat,
            }),
            Some(Section::End) => {
                self.seal(bytes, r)?;
                return Ok((Some(Item::NodesEnd), State::Tail { digest: false }));
            }
        };
        Ok((item, State::Sections(part)))
    }

    /// What follows the first seal; all of it is in the reader.
    fn tail<'a>(&self, bytes: &[u8], r: &mut Reader<'a>, digest: bool) -> Step<'a> {
        match r.remaining() {
            0 => Ok((None, State::Done)),
            LAST_ZXID_TAIL => {
                let item = Item::LastZxid(i64::decode(r)?);
                self.seal(bytes, r)?;
                Ok((Some(item), State::Done))
            }
            _ if digest => Err(SnapshotError::Trailing { at: 0 }),
            _ => {
                let item = Self::digest(r)?;
                self.seal(bytes, r)?;
                Ok((Some(item), State::Tail { digest: true }))
            }
        }
    }

    fn digest<'a>(r: &mut Reader<'a>) -> Result<Item<'a>, SnapshotError> {
        let zxid = i64::decode(r)?;
        let version = i32::decode(r)?;
        if version >= 2 {
            return Ok(Item::Digest {
                zxid,
                version,
                digest: u64::from_be_bytes(r.array()?),
            });
        }
        let digest = match r.string()? {
            Some(text) => {
                i64::from_str_radix(&text, 16).map_err(|_| SnapshotError::Digest { at: 0 })?
            }
            None => 0,
        };
        Ok(Item::Digest {
            zxid,
            version,
            digest: digest.cast_unsigned(),
        })
    }

    /// Reads a seal and compares it with all bytes up to it: those consumed before, and the part
    /// of this step in front of it.
    fn seal(&self, step: &[u8], r: &mut Reader<'_>) -> Result<(), SnapshotError> {
        let at = r.position();
        let stated = u64::from_be_bytes(r.array()?);
        let end = r.string()?;
        let mut adler = self.adler;
        adler.write_slice(&step[..at]);
        let computed = adler.checksum();
        if stated != u64::from(computed) {
            return Err(SnapshotError::Seal {
                at,
                stated,
                computed,
            });
        }
        if end.as_deref() != Some(END) {
            return Err(SnapshotError::SealEnd { at });
        }
        Ok(())
    }

    /// Within a step offsets count from where it began.
    fn at_file_offset(&self, error: SnapshotError) -> SnapshotError {
        let base = self.offset;
        match error {
            SnapshotError::Jute(error) => SnapshotError::Jute(match error {
                Error::Eof { at, need } => Error::Eof {
                    at: base + at,
                    need,
                },
                Error::Length { at, length } => Error::Length {
                    at: base + at,
                    length,
                },
                Error::Value { at, value } => Error::Value {
                    at: base + at,
                    value,
                },
            }),
            SnapshotError::Magic(_) | SnapshotError::Version(_) => error,
            SnapshotError::Null { at } => SnapshotError::Null { at: base + at },
            SnapshotError::Seal {
                at,
                stated,
                computed,
            } => SnapshotError::Seal {
                at: base + at,
                stated,
                computed,
            },
            SnapshotError::SealEnd { at } => SnapshotError::SealEnd { at: base + at },
            SnapshotError::Digest { at } => SnapshotError::Digest { at: base + at },
            SnapshotError::Trailing { at } => SnapshotError::Trailing { at: base + at },
        }
    }
}

/// The items of a snapshot that is in memory as a whole; ends after the first error.
pub fn items(file: &[u8]) -> impl Iterator<Item = Result<Item<'_>, SnapshotError>> {
    let mut decoder = Some(Decoder::default());
    let mut rest = file;
    core::iter::from_fn(move || match decoder.as_mut()?.next(rest, true) {
        Ok(Progress::Item(item, taken)) => {
            rest = &rest[taken..];
            Some(Ok(item))
        }
        Ok(Progress::Done | Progress::More(_)) => None,
        Err(error) => {
            decoder = None;
            Some(Err(error))
        }
    })
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Sections,
    Tail,
    BehindDigest,
    Done,
}

/// Writes a snapshot, piece by piece: each call appends to `out`, which may be emptied between
/// calls. The calls have to come in the order of the format; anything else panics.
#[derive(Debug, Clone)]
pub struct Encoder {
    stage: Stage,
    sections: SectionEncoder,
    adler: Adler32,
}

impl Encoder {
    /// Begins a snapshot with this many sessions and ACLs.
    pub fn begin(sessions: usize, acls: usize, out: &mut Vec<u8>) -> Self {
        let start = out.len();
        HEADER.encode(out);
        let mut encoder = Encoder {
            stage: Stage::Sections,
            sections: SectionEncoder::begin(sessions, acls, out),
            adler: Adler32::new(),
        };
        encoder.count(start, out);
        encoder
    }

    /// Appends a session.
    pub fn session(&mut self, id: i64, timeout: i32, out: &mut Vec<u8>) {
        let start = out.len();
        self.sections.session(id, timeout, out);
        self.count(start, out);
    }

    /// Appends an ACL; its id must not be [`OPEN_ACL`].
    pub fn acl(&mut self, id: i64, acl: &[Acl<'_>], out: &mut Vec<u8>) {
        let start = out.len();
        self.sections.acl(id, acl, out);
        self.count(start, out);
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
        let start = out.len();
        self.sections.node(path, data, acl, stat, out);
        self.count(start, out);
    }

    /// Ends the nodes, with the first seal.
    pub fn end_nodes(&mut self, out: &mut Vec<u8>) {
        let start = out.len();
        self.sections.end(out);
        self.seal(start, out);
        self.stage = Stage::Tail;
    }

    /// Appends the digest section; zxid 0 for none.
    pub fn digest(&mut self, zxid: i64, version: i32, digest: u64, out: &mut Vec<u8>) {
        assert_eq!(self.stage, Stage::Tail, "the digest");
        let start = out.len();
        zxid.encode(out);
        version.encode(out);
        if version >= 2 {
            digest.cast_signed().encode(out);
        } else {
            Some(Cow::<str>::Owned(format!("{}", Hex(digest.cast_signed())))).encode(out);
        }
        self.seal(start, out);
        self.stage = Stage::BehindDigest;
    }

    /// Appends the section with the last zxid, which ends the snapshot.
    pub fn last_zxid(&mut self, zxid: i64, out: &mut Vec<u8>) {
        assert!(
            matches!(self.stage, Stage::Tail | Stage::BehindDigest),
            "the last zxid at {:?}",
            self.stage
        );
        let start = out.len();
        zxid.encode(out);
        self.seal(start, out);
        self.stage = Stage::Done;
    }

    /// Takes what was appended since `start` into the checksum.
    fn count(&mut self, start: usize, out: &[u8]) {
        self.adler.write_slice(&out[start..]);
    }

    fn seal(&mut self, start: usize, out: &mut Vec<u8>) {
        self.adler.write_slice(&out[start..]);
        let start = out.len();
        u64::from(self.adler.checksum()).cast_signed().encode(out);
        Some(Cow::Borrowed(END)).encode(out);
        self.adler.write_slice(&out[start..]);
    }
}

/// A number in the digits that old digests have: a sign, if any, in front of the hexadecimal
/// magnitude, as Java's `Long.parseLong(text, 16)` reads it.
struct Hex(i64);

impl fmt::Display for Hex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.0 < 0 { "-" } else { "" };
        write!(f, "{sign}{:x}", self.0.unsigned_abs())
    }
}
