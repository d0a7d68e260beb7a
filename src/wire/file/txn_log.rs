//! The transaction log's file format: a header, records, and perhaps zeros that were
//! preallocated.
//!
//! Owns: the framing of records, and the judgement of what stands where a record should. Does not
//! know: files, or whether this is the last one, for which alone a torn end is in order.
//!
//! A record is a checksum (Adler-32, as 8 bytes), the payload's length, the payload (a
//! [`Txn`]), and the letter `B`. The checksum covers the payload only.
//!
//! Invariants: scanning copies nothing and moves forward only; every byte of the input belongs to
//! the header, to a record returned, or to what the last item describes.

use alloc::vec::Vec;
use core::fmt;

use jute::{Decode, Encode, Error, Reader};

use super::FileHeader;
use crate::limits::{MIN_PAYLOAD, SEARCH_FACTOR, SEARCH_FLOOR};
use crate::op::OpCode;
use crate::txn::{Txn, TxnHeader};

/// `ZKLG`, the magic number of a log.
pub const MAGIC: i32 = i32::from_be_bytes(*b"ZKLG");

/// The only version of the format.
pub const VERSION: i32 = 2;

/// The header that every log begins with.
pub const HEADER: FileHeader = FileHeader {
    magic: MAGIC,
    version: VERSION,
    dbid: 0,
};

/// Bytes of the header.
pub const HEADER_LEN: usize = FileHeader::MIN;

/// Bytes of a record in front of its payload: checksum and length.
pub const PREFIX: usize = 12;

/// Closes each record.
pub const END_MARK: u8 = b'B';

/// Bytes of a record beside its payload.
pub const OVERHEAD: usize = PREFIX + 1;

/// The checksum of a payload.
pub fn checksum(payload: &[u8]) -> u32 {
    adler2::adler32_slice(payload)
}

/// Appends the record of an encoded transaction.
///
/// # Panics
/// When the payload is shorter than a transaction's header or longer than 2^31-1 bytes.
pub fn encode_payload(payload: &[u8], out: &mut Vec<u8>) {
    assert!(
        payload.len() >= MIN_PAYLOAD,
        "a payload of {} bytes",
        payload.len()
    );
    out.reserve(payload.len() + OVERHEAD);
    out.extend_from_slice(&u64::from(checksum(payload)).to_be_bytes());
    jute::encode_buffer(payload, out);
    out.push(END_MARK);
}

/// Appends the record of a transaction, encoding it in place; the payload is then at the
/// position returned.
///
/// # Panics
/// When the transaction takes more than 2^31-1 bytes.
pub fn encode_txn(txn: &Txn<'_>, out: &mut Vec<u8>) -> core::ops::Range<usize> {
    let size = txn.size();
    out.reserve(size + OVERHEAD);
    let start = out.len();
    out.extend_from_slice(&[0; 8]);
    jute::encode_len(size, out);
    let payload = out.len()..out.len() + size;
    txn.encode(out);
    assert_eq!(
        out.len(),
        payload.end,
        "size() and encode() of a transaction disagree"
    );
    let sum = u64::from(checksum(&out[payload.clone()]));
    out[start..start + 8].copy_from_slice(&sum.to_be_bytes());
    out.push(END_MARK);
    payload
}

/// A record whose checksum is right.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record<'a> {
    /// Where it begins, in bytes from the start of the file.
    pub offset: usize,
    /// Where it ends, and the next one begins.
    pub end: usize,
    /// The header of its transaction.
    pub header: TxnHeader,
    /// The encoded transaction.
    pub payload: &'a [u8],
}

impl<'a> Record<'a> {
    /// The transaction in full.
    ///
    /// # Errors
    /// When it was written by something that is not a ZooKeeper server: its checksum is right.
    pub fn txn(&self) -> Result<Txn<'a>, Error> {
        Txn::decode(&mut Reader::new(self.payload))
    }
}

/// Why there is no log in a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HeaderError {
    /// The file ends before its header does: it was created, but never written. Java deletes such
    /// a file, if empty and the last one.
    Short {
        /// Bytes there are.
        length: usize,
    },
    /// Not a log.
    Magic(i32),
    /// A log in a format of the future.
    Version(i32),
}

impl fmt::Display for HeaderError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            HeaderError::Short { length } => {
                write!(f, "{length} bytes, less than a header's {HEADER_LEN}")
            }
            HeaderError::Magic(magic) => {
                write!(f, "magic number {magic:#010x} is not {MAGIC:#010x}")
            }
            HeaderError::Version(version) => write!(f, "version {version} is not {VERSION}"),
        }
    }
}

impl core::error::Error for HeaderError {}

/// Reads the header of a log.
///
/// # Errors
/// See [`HeaderError`]. The dbid is not looked at, as in Java.
pub fn decode_header(file: &[u8]) -> Result<FileHeader, HeaderError> {
    let header = FileHeader::decode(&mut Reader::new(file))
        .map_err(|_| HeaderError::Short { length: file.len() })?;
    if header.magic != MAGIC {
        return Err(HeaderError::Magic(header.magic));
    }
    if header.version != VERSION {
        return Err(HeaderError::Version(header.version));
    }
    Ok(header)
}

/// What is wrong where a record should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Damage {
    /// The file ends within the record.
    Short {
        /// Bytes that are missing, at the least.
        need: usize,
    },
    /// The length is negative, or less than a transaction's header.
    Length(i32),
    /// The length is zero, as in preallocated space, but other bytes follow.
    Hole,
    /// The payload does not have the checksum stated.
    Checksum {
        /// In the record.
        stated: u64,
        /// Of the payload.
        computed: u32,
    },
    /// The byte behind the payload is not [`END_MARK`].
    EndMark(u8),
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Damage::Short { need } => write!(f, "the file ends {need} bytes before the record"),
            Damage::Length(length) => write!(f, "length {length}"),
            Damage::Hole => f.write_str("length zero, but other bytes follow"),
            Damage::Checksum { stated, computed } => {
                write!(
                    f,
                    "checksum {stated:#x}, but the payload's is {computed:#x}"
                )
            }
            Damage::EndMark(found) => write!(f, "end mark {found:#04x}"),
        }
    }
}

/// What comes next in a log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Item<'a> {
    /// A record.
    Record(Record<'a>),
    /// Nothing but zeros from `offset` on: the log ends as it should.
    End {
        /// Where the next record would begin.
        offset: usize,
    },
    /// A record was begun, and no valid one follows: what a crash leaves at the end of the last
    /// log. In any other log it is corruption.
    Torn {
        /// Where the record begins. Cutting the file here repairs it.
        offset: usize,
        /// What is wrong.
        damage: Damage,
    },
    /// A record is damaged and yet a valid one follows, so this is not the end of what was
    /// written.
    Corrupt {
        /// Where the damaged record begins.
        offset: usize,
        /// What is wrong.
        damage: Damage,
        /// The next valid record; `None` when the search was given up undecided
        /// ([`SEARCH_FACTOR`]).
        next: Option<Record<'a>>,
    },
}

/// Goes through a log.
#[derive(Debug, Clone)]
pub struct Scanner<'a> {
    file: &'a [u8],
    offset: usize,
    last_zxid: i64,
    done: bool,
}

impl<'a> Scanner<'a> {
    /// Scans a whole file.
    ///
    /// # Errors
    /// See [`HeaderError`].
    pub fn new(file: &'a [u8]) -> Result<Self, HeaderError> {
        decode_header(file)?;
        Ok(Self::resume(file, HEADER_LEN, i64::MIN))
    }

    /// Scans from a record on, without looking at the header. `last_zxid` is that of the record
    /// in front; it serves only to tell real records from their likes inside damaged data.
    ///
    /// # Panics
    /// When `offset` is beyond the file's end.
    pub fn resume(file: &'a [u8], offset: usize, last_zxid: i64) -> Self {
        assert!(
            offset <= file.len(),
            "offset {offset} in a file of {} bytes",
            file.len()
        );
        Scanner {
            file,
            offset,
            last_zxid,
            done: false,
        }
    }

    /// Where the next record begins, or the end or damage was found.
    pub fn offset(&self) -> usize {
        self.offset
    }

    fn step(&mut self) -> Item<'a> {
        let offset = self.offset;
        let damage = match read_record(self.file, offset) {
            Ok(record) => {
                self.offset = record.end;
                self.last_zxid = record.header.zxid;
                return Item::Record(record);
            }
            Err(damage) => damage,
        };
        self.done = true;
        if is_zero(&self.file[offset..]) {
            return Item::End { offset };
        }
        match find_record(self.file, offset, self.last_zxid) {
            Search::Nothing => Item::Torn { offset, damage },
            Search::Found(next) => Item::Corrupt {
                offset,
                damage,
                next: Some(next),
            },
            Search::GivenUp => Item::Corrupt {
                offset,
                damage,
                next: None,
            },
        }
    }
}

impl<'a> Iterator for Scanner<'a> {
    type Item = Item<'a>;

    /// Records, then exactly one other item.
    fn next(&mut self) -> Option<Item<'a>> {
        (!self.done).then(|| self.step())
    }
}

/// Reads the record at an offset of a log.
///
/// # Errors
/// See [`Damage`]. Zeros are [`Damage::Short`] or [`Damage::Hole`] here; only [`Scanner`] knows
/// an end.
///
/// # Panics
/// When `offset` is beyond the file's end.
pub fn read_record(file: &[u8], offset: usize) -> Result<Record<'_>, Damage> {
    let rest = &file[offset..];
    let short = |want: usize| Damage::Short {
        need: want - rest.len(),
    };
    let (prefix, rest_of_record) = rest
        .split_first_chunk::<PREFIX>()
        .ok_or_else(|| short(PREFIX))?;
    let [s0, s1, s2, s3, s4, s5, s6, s7, l0, l1, l2, l3] = *prefix;
    let stated = u64::from_be_bytes([s0, s1, s2, s3, s4, s5, s6, s7]);
    let length = i32::from_be_bytes([l0, l1, l2, l3]);
    if length == 0 {
        return Err(Damage::Hole);
    }
    let size = match usize::try_from(length) {
        Ok(size) if size >= MIN_PAYLOAD => size,
        _ => return Err(Damage::Length(length)),
    };
    let (payload, tail) = rest_of_record
        .split_at_checked(size)
        .ok_or_else(|| short(size.saturating_add(OVERHEAD)))?;
    let mark = *tail
        .first()
        .ok_or_else(|| short(size.saturating_add(OVERHEAD)))?;
    if mark != END_MARK {
        return Err(Damage::EndMark(mark));
    }
    let computed = checksum(payload);
    if stated != u64::from(computed) {
        return Err(Damage::Checksum { stated, computed });
    }
    let header =
        TxnHeader::decode(&mut Reader::new(payload)).map_err(|_| Damage::Length(length))?;
    Ok(Record {
        offset,
        end: offset + OVERHEAD + size,
        header,
        payload,
    })
}

/// The result of [`find_record`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Search<'a> {
    /// There is no valid record.
    Nothing,
    /// The first one.
    Found(Record<'a>),
    /// There were too many look-alikes; see [`SEARCH_FACTOR`].
    GivenUp,
}

/// Looks for a valid record, beginning anywhere behind `from`, with a zxid above `last_zxid` and
/// a known operation.
///
/// # Panics
/// When `from` is beyond the file's end.
pub fn find_record(file: &[u8], from: usize, last_zxid: i64) -> Search<'_> {
    /// Where the zxid and the operation stand in a payload.
    const ZXID: usize = PREFIX + 12;
    const OP: usize = PREFIX + 28;
    let rest = &file[from..];
    let mut budget = rest.len().saturating_mul(SEARCH_FACTOR).max(SEARCH_FLOOR);
    // The upper half of the checksum is zero; look for that first, it is cheap to see.
    for (skipped, window) in rest.windows(OVERHEAD + MIN_PAYLOAD).enumerate().skip(1) {
        if window[..4] != [0; 4] || window[4..8] == [0; 4] {
            continue;
        }
        let mut at = Reader::new(&window[PREFIX - 4..]);
        let length = i32::decode(&mut at).map_or(0, |l| usize::try_from(l).unwrap_or(0));
        let end = skipped.saturating_add(PREFIX).saturating_add(length);
        if length < MIN_PAYLOAD || rest.get(end) != Some(&END_MARK) {
            continue;
        }
        let zxid = i64::decode(&mut Reader::new(&window[ZXID..]));
        let op = i32::decode(&mut Reader::new(&window[OP..]));
        if zxid.is_ok_and(|zxid| zxid <= last_zxid)
            || op.is_ok_and(|op| OpCode::from_i32(op).is_none())
        {
            continue;
        }
        if length > budget {
            return Search::GivenUp;
        }
        budget -= length;
        if let Ok(record) = read_record(file, from + skipped) {
            return Search::Found(record);
        }
    }
    Search::Nothing
}

fn is_zero(bytes: &[u8]) -> bool {
    // Whole blocks first, so that 64 MiB of preallocated space cost little.
    let (blocks, rest) = bytes.as_chunks::<64>();
    rest.iter().all(|&b| b == 0) && blocks.iter().all(|block| *block == [0; 64])
}

#[cfg(test)]
mod tests {
    use alloc::vec;

    use super::*;
    use crate::txn::TxnBody;

    fn log(zxids: &[i64]) -> Vec<u8> {
        let mut file = HEADER.to_vec();
        for &zxid in zxids {
            encode_txn(&txn(zxid), &mut file);
        }
        file
    }

    fn txn(zxid: i64) -> Txn<'static> {
        let op = OpCode::CreateSession.to_i32();
        let header = TxnHeader {
            client_id: 1,
            cxid: 2,
            zxid,
            time: 3,
            op,
        };
        Txn {
            header,
            body: TxnBody::CreateSession { timeout: 4000 },
            digest: None,
        }
    }

    /// Bytes of each record of [`log`].
    const RECORD: usize = OVERHEAD + TxnHeader::MIN + 4;

    fn scan(file: &[u8]) -> (Vec<i64>, Item<'_>) {
        let mut zxids = Vec::new();
        let mut end = None;
        for item in Scanner::new(file).unwrap() {
            match item {
                Item::Record(record) => zxids.push(record.header.zxid),
                other => end = Some(other),
            }
        }
        (zxids, end.unwrap())
    }

    #[test]
    fn a_header_is_needed() {
        assert_eq!(decode_header(&[]), Err(HeaderError::Short { length: 0 }));
        assert_eq!(decode_header(&[0; 16]), Err(HeaderError::Magic(0)));
        let mut file = log(&[]);
        assert_eq!(decode_header(&file), Ok(HEADER));
        file[7] = 3;
        assert_eq!(decode_header(&file), Err(HeaderError::Version(3)));
    }

    #[test]
    fn zeros_are_the_end() {
        let mut file = log(&[1, 2]);
        let offset = file.len();
        for zeros in [0, 1, 11, 12, 13, 1000] {
            file.resize(offset + zeros, 0);
            assert_eq!(
                scan(&file),
                (vec![1, 2], Item::End { offset }),
                "{zeros} zeros"
            );
        }
    }

    #[test]
    fn something_behind_zeros_is_no_end() {
        let mut file = log(&[1]);
        let offset = file.len();
        file.resize(offset + 100, 0);
        file.push(1);
        let damage = Damage::Hole;
        assert_eq!(scan(&file), (vec![1], Item::Torn { offset, damage }));
        // A block that was never written, with a record behind it.
        file.truncate(offset + 100);
        encode_txn(&txn(3), &mut file);
        let (zxids, end) = scan(&file);
        assert_eq!(zxids, [1]);
        let Item::Corrupt {
            offset: at,
            damage: Damage::Hole,
            next: Some(next),
        } = end
        else {
            panic!("{end:?}");
        };
        assert_eq!(
            (at, next.offset, next.header.zxid),
            (offset, offset + 100, 3)
        );
    }

    /// A torn record may hold a copy of an older one: a client can store what it likes.
    #[test]
    fn an_older_record_inside_a_torn_one_is_no_record() {
        let mut file = log(&[7]);
        let copy = file[HEADER_LEN..].to_vec();
        let offset = file.len();
        encode_payload(&[&[9; 32][..], &copy].concat(), &mut file);
        file.pop();
        let damage = Damage::Short { need: 1 };
        assert_eq!(scan(&file), (vec![7], Item::Torn { offset, damage }));
    }

    #[test]
    fn scanning_goes_on_where_it_is_told_to() {
        let file = log(&[1, 2, 3]);
        let mut scanner = Scanner::resume(&file, HEADER_LEN + RECORD, 1);
        assert!(matches!(scanner.next(), Some(Item::Record(r)) if r.header.zxid == 2));
        assert_eq!(scanner.offset(), HEADER_LEN + 2 * RECORD);
        assert!(matches!(scanner.next(), Some(Item::Record(r)) if r.header.zxid == 3));
        assert_eq!(scanner.next(), Some(Item::End { offset: file.len() }));
        assert_eq!(scanner.next(), None);
    }

    /// Data made of beginnings of long records, none of them right, does not cost the square of
    /// its length.
    #[test]
    fn a_search_gives_up() {
        let mut start = vec![0, 0, 0, 0, 1, 1, 1, 1];
        let length = 1 << 20;
        start.extend_from_slice(&(length as i32).to_be_bytes());
        start.extend_from_slice(&txn(100).to_vec());
        let mut file = log(&[1]);
        let offset = file.len();
        while file.len() < offset + 2 * length {
            file.extend_from_slice(&start);
        }
        // Every beginning needs an end mark at its length; the marks must not spoil the rest.
        let marks: Vec<usize> = (offset..offset + length)
            .step_by(start.len())
            .map(|at| at + PREFIX + length)
            .filter(|at| *at < file.len())
            .collect();
        for at in marks {
            file[at] = END_MARK;
        }
        let (zxids, end) = scan(&file);
        assert_eq!(zxids, [1]);
        assert!(matches!(end, Item::Corrupt { next: None, .. }), "{end:?}");
    }

    #[test]
    fn what_is_wrong_is_told() {
        let file = log(&[1]);
        let broken = |at: usize, byte: u8| {
            let mut file = file.clone();
            file[HEADER_LEN + at] = byte;
            read_record(&file, HEADER_LEN).unwrap_err()
        };
        assert_eq!(broken(8, 0x80), Damage::Length(i32::MIN + 36));
        assert_eq!(broken(11, 31), Damage::Length(31));
        assert_eq!(broken(11, 37), Damage::Short { need: 1 });
        assert_eq!(
            broken(11, 35),
            Damage::EndMark(file[HEADER_LEN + PREFIX + 35])
        );
        assert_eq!(broken(RECORD - 1, b'C'), Damage::EndMark(b'C'));
        assert!(matches!(broken(0, 1), Damage::Checksum { stated, .. } if stated >> 56 == 1));
        assert!(matches!(broken(PREFIX, 1), Damage::Checksum { .. }));
    }
}
