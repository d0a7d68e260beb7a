//! The packets of the quorum port. They follow each other without a length in front.
//!
//! Owns: what is in a packet, and where one ends. Does not know: which packet may come when, or
//! what its data is; that is in [`body`](super::body), or a [transaction](crate::txn).
//!
//! Invariants: a packet is taken from the front whole or not at all, and its bytes are looked at
//! once, however many pieces it comes in; null and empty data, ids and strings differ.

use alloc::borrow::Cow;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use bytes::{Bytes, BytesMut};
use jute::{Encode, Reader, Str, encode_buffer, encode_len};

use super::other_protocol;
use super::scan::{ListScan, Scanned};
use crate::client::Id;
use crate::limits::PACKET_IDS_MAX;

/// What a packet is. The numbers are those on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(i32)]
pub enum PacketKind {
    /// Learner to leader: a client's write.
    Request = 1,
    /// Leader to follower: a transaction, to be logged.
    Proposal = 2,
    /// Learner to leader: logged, or NEWLEADER or UPTODATE taken.
    Ack = 3,
    /// Leader to follower: a proposal is decided.
    Commit = 4,
    /// Both ways: alive; the answer names the sessions that were.
    Ping = 5,
    /// Learner to leader: is this session still there? And the answer.
    Revalidate = 6,
    /// Leader to learner: all that came before the sync has been sent.
    Sync = 7,
    /// Leader to observer: a transaction that is decided.
    Inform = 8,
    /// Leader to follower: COMMIT of a reconfiguration.
    CommitAndActivate = 9,
    /// Leader to learner: the history is whole.
    NewLeader = 10,
    /// A follower's first packet.
    FollowerInfo = 11,
    /// Leader to learner: serve clients.
    UpToDate = 12,
    /// Leader to learner: what you have is right; the rest follows.
    Diff = 13,
    /// Leader to learner: cut your log behind this zxid.
    Trunc = 14,
    /// Leader to learner: the whole tree follows.
    Snap = 15,
    /// An observer's first packet.
    ObserverInfo = 16,
    /// Leader to learner: the new epoch.
    LeaderInfo = 17,
    /// Learner to leader: the new epoch is accepted.
    AckEpoch = 18,
    /// Leader to observer: INFORM of a reconfiguration.
    InformAndActivate = 19,
}

impl PacketKind {
    /// All of them, by number.
    pub const ALL: [PacketKind; 19] = [
        PacketKind::Request,
        PacketKind::Proposal,
        PacketKind::Ack,
        PacketKind::Commit,
        PacketKind::Ping,
        PacketKind::Revalidate,
        PacketKind::Sync,
        PacketKind::Inform,
        PacketKind::CommitAndActivate,
        PacketKind::NewLeader,
        PacketKind::FollowerInfo,
        PacketKind::UpToDate,
        PacketKind::Diff,
        PacketKind::Trunc,
        PacketKind::Snap,
        PacketKind::ObserverInfo,
        PacketKind::LeaderInfo,
        PacketKind::AckEpoch,
        PacketKind::InformAndActivate,
    ];

    /// The kind of this number, if there is one.
    pub fn from_i32(number: i32) -> Option<Self> {
        let index = usize::try_from(number.checked_sub(1)?).ok()?;
        Self::ALL.get(index).copied()
    }

    /// Its number.
    pub fn to_i32(self) -> i32 {
        self as i32
    }

    /// Its name, as Java writes it.
    pub fn name(self) -> &'static str {
        match self {
            PacketKind::Request => "REQUEST",
            PacketKind::Proposal => "PROPOSAL",
            PacketKind::Ack => "ACK",
            PacketKind::Commit => "COMMIT",
            PacketKind::Ping => "PING",
            PacketKind::Revalidate => "REVALIDATE",
            PacketKind::Sync => "SYNC",
            PacketKind::Inform => "INFORM",
            PacketKind::CommitAndActivate => "COMMITANDACTIVATE",
            PacketKind::NewLeader => "NEWLEADER",
            PacketKind::FollowerInfo => "FOLLOWERINFO",
            PacketKind::UpToDate => "UPTODATE",
            PacketKind::Diff => "DIFF",
            PacketKind::Trunc => "TRUNC",
            PacketKind::Snap => "SNAP",
            PacketKind::ObserverInfo => "OBSERVERINFO",
            PacketKind::LeaderInfo => "LEADERINFO",
            PacketKind::AckEpoch => "ACKEPOCH",
            PacketKind::InformAndActivate => "INFORMANDACTIVATE",
        }
    }
}

impl fmt::Display for PacketKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// An identity of a client: its scheme and its id. Either can be null.
pub type AuthId = (Option<String>, Option<String>);

/// A packet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Packet {
    /// What it is.
    pub kind: PacketKind,
    /// Whose meaning depends on the kind; often a transaction's id.
    pub zxid: i64,
    /// Its content; `None` is null.
    pub data: Option<Bytes>,
    /// The identities of the client whose request it is; `None` is null.
    pub ids: Option<Vec<AuthId>>,
}

/// Bytes in front of a packet's data: kind, zxid, and the data's length.
const HEAD: usize = 4 + 8 + 4;

impl Packet {
    /// A packet without data.
    pub fn new(kind: PacketKind, zxid: i64) -> Self {
        Packet {
            kind,
            zxid,
            data: None,
            ids: None,
        }
    }

    /// A packet with data, which may be empty but is not null.
    pub fn with(kind: PacketKind, zxid: i64, data: impl Into<Bytes>) -> Self {
        Packet {
            kind,
            zxid,
            data: Some(data.into()),
            ids: None,
        }
    }

    /// The data; empty where it is null.
    pub fn body(&self) -> &[u8] {
        self.data.as_deref().unwrap_or_default()
    }

    /// The number of bytes that [`encode_into`](Self::encode_into) appends.
    pub fn size(&self) -> usize {
        let ids = self.ids.iter().flatten();
        HEAD + self.body().len()
            + 4
            + ids
                .map(|(scheme, id)| text(scheme).size() + text(id).size())
                .sum::<usize>()
    }

    /// The packet as it is sent.
    ///
    /// # Panics
    /// As [`encode_into`](Self::encode_into).
    pub fn encode(&self) -> Bytes {
        let mut out = Vec::new();
        self.encode_into(&mut out);
        out.into()
    }

    /// Appends the packet.
    ///
    /// # Panics
    /// When data, a string or the number of ids is above 2^31-1.
    pub fn encode_into(&self, out: &mut Vec<u8>) {
        out.reserve(self.size());
        self.kind.to_i32().encode(out);
        self.zxid.encode(out);
        match &self.data {
            Some(data) => encode_buffer(data, out),
            None => (-1i32).encode(out),
        }
        match &self.ids {
            Some(ids) => {
                encode_len(ids.len(), out);
                for (scheme, id) in ids {
                    text(scheme).encode(out);
                    text(id).encode(out);
                }
            }
            None => (-1i32).encode(out),
        }
    }
}

fn text(string: &Option<String>) -> Str<'_> {
    string.as_deref().map(Cow::Borrowed)
}

/// Why what a peer sent is no packet. Nothing behind it can be understood.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PacketError {
    /// No kind of packet has this number.
    Kind(i32),
    /// The data has a length below -1 or above the limit.
    Data {
        /// In this packet.
        kind: PacketKind,
        /// The length stated.
        length: i32,
    },
    /// The ids of the client have a string of a length below -1 or above the limit, or are
    /// longer than [`PACKET_IDS_MAX`] together.
    Ids {
        /// In this packet.
        kind: PacketKind,
        /// The length of the string where that was noticed.
        length: i32,
    },
}

impl fmt::Display for PacketError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PacketError::Kind(number) => {
                write!(f, "packet of unknown type {number}")?;
                match other_protocol(number.to_be_bytes()) {
                    Some(name) => write!(f, "; this looks like {name}"),
                    None => Ok(()),
                }
            }
            PacketError::Data { kind, length } => {
                write!(f, "{kind} packet with data of unreasonable length {length}")
            }
            PacketError::Ids { kind, length } => {
                write!(f, "{kind} packet with ids of unreasonable length {length}")
            }
        }
    }
}

impl core::error::Error for PacketError {}

/// What is known of the packet at the front.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// Nothing.
    Kind,
    /// What it is.
    Length(PacketKind),
    /// Also where its data ends; `None` is null.
    Count(PacketKind, Option<usize>),
    /// Also that there is a list of ids.
    Ids(PacketKind, Option<usize>, ListScan),
}

/// Takes packets off the front of what was received.
#[derive(Debug, Clone)]
pub struct Cutter {
    max_field: usize,
    stage: Stage,
    need: usize,
}

impl Cutter {
    /// A cutter at the beginning of a packet. Data or a string of more than `max_field` bytes is
    /// an error; in Java that is `jute.maxbuffer` and `zookeeper.jute.maxbuffer.extrasize`.
    pub fn new(max_field: usize) -> Self {
        Cutter {
            max_field,
            stage: Stage::Kind,
            need: 4,
        }
    }

    /// How many bytes there must be, from the front of the packet that is not whole, before
    /// [`next`](Self::next) can say more. What a peer states is in it, so it is no reason to
    /// reserve as much.
    pub fn need(&self) -> usize {
        self.need
    }

    /// Takes a packet off the front of `buf`, or leaves it as it is if not all of the packet is
    /// there: then it is to be called again when there is more behind the same bytes. The data
    /// of the packet is not copied.
    ///
    /// # Errors
    /// See [`PacketError`]. The connection is then to be closed.
    pub fn next(&mut self, buf: &mut BytesMut) -> Result<Option<Packet>, PacketError> {
        while buf.len() >= self.need {
            match self.stage {
                Stage::Kind => {
                    let number = int(buf, 0);
                    let kind = PacketKind::from_i32(number).ok_or(PacketError::Kind(number))?;
                    self.wait(Stage::Length(kind), HEAD);
                }
                Stage::Length(kind) => {
                    let length = int(buf, HEAD - 4);
                    let data = match usize::try_from(length) {
                        Ok(bytes) if bytes <= self.max_field => Some(bytes),
                        Err(_) if length == -1 => None,
                        _ => return Err(PacketError::Data { kind, length }),
                    };
                    self.wait(Stage::Count(kind, data), HEAD + data.unwrap_or(0) + 4);
                }
                Stage::Count(kind, data) => {
                    let at = self.need - 4;
                    match int(buf, at) {
                        -1 => {
                            let packet = take(buf, kind, data, at + 4);
                            self.wait(Stage::Kind, 4);
                            return Ok(Some(packet));
                        }
                        count => {
                            let scan = ListScan::new(at + 4, count, 0);
                            self.stage = Stage::Ids(kind, data, scan);
                        }
                    }
                }
                Stage::Ids(kind, data, mut scan) => {
                    match scan.next(buf, self.max_field, PACKET_IDS_MAX) {
                        Scanned::End(end) => {
                            let packet = take(buf, kind, data, end);
                            self.wait(Stage::Kind, 4);
                            return Ok(Some(packet));
                        }
                        Scanned::Need(need) => self.wait(Stage::Ids(kind, data, scan), need),
                        Scanned::Bad { at: _, length } => {
                            return Err(PacketError::Ids { kind, length });
                        }
                    }
                }
            }
        }
        Ok(None)
    }

    fn wait(&mut self, stage: Stage, need: usize) {
        self.stage = stage;
        self.need = need;
    }
}

fn int(bytes: &[u8], at: usize) -> i32 {
    let mut four = [0; 4];
    four.copy_from_slice(&bytes[at..at + 4]);
    i32::from_be_bytes(four)
}

/// Takes the packet that ends at `end`, known to be whole.
fn take(buf: &mut BytesMut, kind: PacketKind, data: Option<usize>, end: usize) -> Packet {
    let mut whole = buf.split_to(end);
    let mut zxid = [0; 8];
    zxid.copy_from_slice(&whole[4..HEAD - 4]);
    let data_end = HEAD + data.unwrap_or(0);
    let ids = Reader::new(&whole[data_end..])
        .list::<Id<'_>>()
        .expect("its end was found")
        .map(|ids| {
            let owned = |string: Str<'_>| string.map(Cow::into_owned);
            ids.into_iter()
                .map(|id| (owned(id.scheme), owned(id.id)))
                .collect()
        });
    let data = data.map(|length| {
        // What is empty keeps no buffer alive.
        if length == 0 {
            return Bytes::new();
        }
        whole.truncate(data_end);
        whole.split_off(HEAD).freeze()
    });
    Packet {
        kind,
        zxid: i64::from_be_bytes(zxid),
        data,
        ids,
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec;

    use super::*;

    const LIMIT: usize = 100;

    fn every_shape() -> Vec<Packet> {
        let some = |text: &str| Some(String::from(text));
        let ids = vec![
            (some("digest"), some("u:h")),
            (None, some("")),
            (some(""), None),
            (some("ü"), some("中")),
        ];
        let mut packets: Vec<Packet> = PacketKind::ALL
            .into_iter()
            .map(|kind| Packet::new(kind, i64::from(kind.to_i32()) << 32))
            .collect();
        packets.push(Packet::with(PacketKind::Ping, -1, Bytes::new()));
        packets.push(Packet::with(PacketKind::Proposal, 1, vec![7; LIMIT]));
        packets.push(Packet {
            ids: Some(Vec::new()),
            ..Packet::with(PacketKind::Request, -1, &b"abc"[..])
        });
        packets.push(Packet {
            ids: Some(ids.clone()),
            ..Packet::with(PacketKind::Request, -1, &b"abc"[..])
        });
        packets.push(Packet {
            ids: Some(ids),
            ..Packet::new(PacketKind::Request, i64::MIN)
        });
        packets
    }

    fn bytes_of(packets: &[Packet]) -> Vec<u8> {
        let mut out = Vec::new();
        for packet in packets {
            let start = out.len();
            packet.encode_into(&mut out);
            assert_eq!(out.len() - start, packet.size());
            assert_eq!(packet.encode(), out[start..]);
        }
        out
    }

    #[test]
    fn the_kinds_are_1_to_19() {
        for (index, kind) in PacketKind::ALL.into_iter().enumerate() {
            assert_eq!(usize::try_from(kind.to_i32()), Ok(index + 1));
            assert_eq!(PacketKind::from_i32(kind.to_i32()), Some(kind));
        }
        for number in [0, 20, -1, i32::MIN, i32::MAX] {
            assert_eq!(PacketKind::from_i32(number), None);
        }
    }

    #[test]
    fn an_empty_packet_is_20_bytes() {
        let bytes = bytes_of(&[Packet::new(PacketKind::UpToDate, -1)]);
        assert_eq!(
            bytes,
            [
                0, 0, 0, 12, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
                0xff, 0xff, 0xff, 0xff, 0xff
            ]
        );
    }

    /// In pieces of every size, the same packets come out, and none before its last byte.
    #[test]
    fn packets_come_in_any_pieces() {
        let packets = every_shape();
        let bytes = bytes_of(&packets);
        for step in 1..=bytes.len() {
            let mut cutter = Cutter::new(LIMIT);
            let mut buf = BytesMut::new();
            let (mut found, mut taken) = (Vec::new(), 0);
            for piece in bytes.chunks(step) {
                buf.extend_from_slice(piece);
                let before = buf.len();
                while let Some(packet) = cutter.next(&mut buf).unwrap() {
                    taken += packet.size();
                    found.push(packet);
                }
                assert!(cutter.need() > buf.len());
                assert!(buf.len() <= before);
                assert_eq!(buf, bytes[taken..taken + buf.len()]);
            }
            assert_eq!(found, packets, "in pieces of {step}");
            assert!(buf.is_empty());
        }
    }

    /// Each prefix is incomplete, and asks for no more than the packet.
    #[test]
    fn a_prefix_is_no_packet() {
        for packet in every_shape() {
            let bytes = bytes_of(core::slice::from_ref(&packet));
            for end in 0..bytes.len() {
                let mut cutter = Cutter::new(LIMIT);
                let mut buf = BytesMut::from(&bytes[..end]);
                assert_eq!(cutter.next(&mut buf), Ok(None));
                assert!(cutter.need() > end && cutter.need() <= bytes.len());
                assert_eq!(buf, bytes[..end]);
            }
        }
    }

    #[test]
    fn data_is_not_copied() {
        let packet = Packet::with(PacketKind::Proposal, 1, vec![7; LIMIT]);
        let mut buf = BytesMut::from(&bytes_of(&[packet])[..]);
        let at = buf[HEAD..].as_ptr();
        let packet = Cutter::new(LIMIT).next(&mut buf).unwrap().unwrap();
        assert_eq!(packet.body().as_ptr(), at);
    }

    #[test]
    fn what_is_wrong_is_said_as_soon_as_it_is_there() {
        let cut = |bytes: &[u8]| Cutter::new(LIMIT).next(&mut BytesMut::from(bytes));
        for number in [0, 20, -1, 0x1603_0100_i32] {
            assert_eq!(cut(&number.to_be_bytes()), Err(PacketError::Kind(number)));
        }
        let head = |length: i32| {
            let mut bytes = vec![0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0];
            length.encode(&mut bytes);
            bytes
        };
        for length in [101, -2, i32::MIN, i32::MAX] {
            let kind = PacketKind::Proposal;
            assert_eq!(cut(&head(length)), Err(PacketError::Data { kind, length }));
        }
        for length in [101, -2] {
            let kind = PacketKind::Proposal;
            let mut bytes = head(-1);
            1i32.encode(&mut bytes);
            length.encode(&mut bytes);
            assert_eq!(cut(&bytes), Err(PacketError::Ids { kind, length }));
        }
    }

    #[test]
    fn another_protocol_is_named() {
        use alloc::string::ToString;
        let error = PacketError::Kind(0x1603_0100);
        assert!(error.to_string().ends_with("looks like TLS (sslQuorum)"));
        assert_eq!(
            PacketError::Kind(20).to_string(),
            "packet of unknown type 20"
        );
    }

    /// As in Java.
    #[test]
    fn a_negative_count_of_ids_is_none_of_them() {
        let mut bytes = bytes_of(&[Packet::new(PacketKind::Ack, 5)]);
        bytes[19] = 0xfe;
        let packet = Cutter::new(LIMIT).next(&mut BytesMut::from(&bytes[..]));
        assert_eq!(packet.unwrap().unwrap().ids, Some(Vec::new()));
    }

    /// Ids whose number alone is a promise of more than there can be.
    #[test]
    fn many_ids_are_bounded() {
        let mut bytes = bytes_of(&[Packet::new(PacketKind::Request, -1)]);
        bytes.truncate(16);
        i32::MAX.encode(&mut bytes);
        let mut cutter = Cutter::new(LIMIT);
        let mut buf = BytesMut::from(&bytes[..]);
        let nulls = vec![0xff; 64 << 10];
        let mut sent = 0;
        let error = loop {
            match cutter.next(&mut buf) {
                Ok(None) => buf.extend_from_slice(&nulls),
                Ok(Some(packet)) => panic!("{packet:?}"),
                Err(error) => break error,
            }
            sent += nulls.len();
            assert!(sent <= PACKET_IDS_MAX + nulls.len());
        };
        let kind = PacketKind::Request;
        assert_eq!(error, PacketError::Ids { kind, length: -1 });
    }
}
