//! Notifications: what the election port carries once it is open. A frame's length, then this.
//!
//! Owns: the layout, with those of older servers (28 and 40 bytes), and the bounds of a frame.
//! Does not know: what a vote means, or the grammar of the configuration in it.
//!
//! Invariants: what Java drops is dropped here, and nothing else.

use alloc::vec::Vec;
use core::fmt;

use bytes::Bytes;
use jute::{Decode, Encode, Error, Reader, encode_buffer};

use crate::limits::{ELECTION_FRAME_MAX, ELECTION_FRAME_MIN};

/// The version that is written.
pub const VERSION: i32 = 2;

/// A notification without epoch and version.
const LEN_WITHOUT_EPOCH: usize = 28;

/// A notification without version; what is in its place is not read.
const LEN_WITHOUT_VERSION: usize = 40;

/// What a server is doing. The numbers are those on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(i32)]
pub enum PeerState {
    /// Electing.
    Looking = 0,
    /// A leader's voter.
    Following = 1,
    /// The leader.
    Leading = 2,
    /// A leader's listener.
    Observing = 3,
}

impl PeerState {
    /// The state of this number, if there is one.
    pub fn from_i32(number: i32) -> Option<Self> {
        match number {
            0 => Some(PeerState::Looking),
            1 => Some(PeerState::Following),
            2 => Some(PeerState::Leading),
            3 => Some(PeerState::Observing),
            _ => None,
        }
    }

    /// Its number.
    pub fn to_i32(self) -> i32 {
        self as i32
    }

    /// Its name, as Java writes it.
    pub fn name(self) -> &'static str {
        match self {
            PeerState::Looking => "LOOKING",
            PeerState::Following => "FOLLOWING",
            PeerState::Leading => "LEADING",
            PeerState::Observing => "OBSERVING",
        }
    }
}

impl fmt::Display for PeerState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A server's vote.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notification {
    /// What the sender is doing.
    pub state: PeerState,
    /// Whom it votes for.
    pub leader: i64,
    /// The last zxid of that server.
    pub zxid: i64,
    /// The sender's round of election; Java's electionEpoch.
    pub round: i64,
    /// The current epoch of the server voted for.
    pub peer_epoch: i64,
    /// Of the layout; 0 where it does not say.
    pub version: i32,
    /// The sender's committed configuration, as text; `None` in versions below 2.
    pub config: Option<Bytes>,
}

/// Why a message is no notification. The connection stays.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dropped {
    /// It is shorter than any.
    Short {
        /// Its length, in bytes.
        length: usize,
    },
    /// It ends within a field.
    Partial(Error),
    /// The configuration has a length below 0 or above that of the message.
    ConfigLength(i32),
    /// No state has this number.
    State(i32),
}

impl fmt::Display for Dropped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Dropped::Short { length } => write!(f, "notification of only {length} bytes"),
            Dropped::Partial(error) => write!(f, "notification: {error}"),
            Dropped::ConfigLength(length) => {
                write!(f, "notification with a configuration of {length} bytes")
            }
            Dropped::State(number) => write!(f, "notification with unknown state {number}"),
        }
    }
}

impl core::error::Error for Dropped {}

impl From<Error> for Dropped {
    fn from(error: Error) -> Self {
        Dropped::Partial(error)
    }
}

impl Notification {
    /// Reads a message: what follows the length of a frame. Bytes behind the configuration are
    /// ignored.
    ///
    /// # Errors
    /// See [`Dropped`].
    pub fn decode(message: &[u8]) -> Result<Self, Dropped> {
        let length = message.len();
        if length < LEN_WITHOUT_EPOCH {
            return Err(Dropped::Short { length });
        }
        let mut r = Reader::new(message);
        let state = i32::decode(&mut r)?;
        let leader = i64::decode(&mut r)?;
        let zxid = i64::decode(&mut r)?;
        let round = i64::decode(&mut r)?;
        let (peer_epoch, version) = match length {
            // The epoch is the upper half of the zxid, with its sign.
            LEN_WITHOUT_EPOCH => (zxid >> 32, 0),
            LEN_WITHOUT_VERSION => (i64::decode(&mut r)?, 0),
            _ => (i64::decode(&mut r)?, i32::decode(&mut r)?),
        };
        let config = if version > 1 {
            let stated = i32::decode(&mut r)?;
            match usize::try_from(stated) {
                Ok(count) if count <= length => Some(Bytes::copy_from_slice(r.bytes(count)?)),
                _ => return Err(Dropped::ConfigLength(stated)),
            }
        } else {
            None
        };
        Ok(Notification {
            state: PeerState::from_i32(state).ok_or(Dropped::State(state))?,
            leader,
            zxid,
            round,
            peer_epoch,
            version,
            config,
        })
    }

    /// The message, without the length of a frame, and always in [`VERSION`]. No configuration is
    /// written as an empty one.
    ///
    /// # Panics
    /// When the configuration is above 2^31-1 bytes.
    pub fn encode(&self) -> Vec<u8> {
        let config = self.config.as_deref().unwrap_or_default();
        let mut out = Vec::with_capacity(LEN_WITHOUT_VERSION + 4 + config.len());
        self.state.to_i32().encode(&mut out);
        self.leader.encode(&mut out);
        self.zxid.encode(&mut out);
        self.round.encode(&mut out);
        self.peer_epoch.encode(&mut out);
        VERSION.encode(&mut out);
        encode_buffer(config, &mut out);
        out
    }
}

/// The bytes that follow the length in front of a frame between election ports.
///
/// # Errors
/// The length, where Java closes the connection because of it.
pub fn frame_length(prefix: [u8; 4]) -> Result<usize, i32> {
    let stated = i32::from_be_bytes(prefix);
    match usize::try_from(stated) {
        Ok(length) if (ELECTION_FRAME_MIN..=ELECTION_FRAME_MAX).contains(&length) => Ok(length),
        _ => Err(stated),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn typical() -> Notification {
        Notification {
            state: PeerState::Leading,
            leader: 3,
            zxid: 0x5_0000_0007,
            round: 9,
            peer_epoch: 6,
            version: VERSION,
            config: Some(Bytes::from_static(b"version=0")),
        }
    }

    #[test]
    fn what_is_written_is_read() {
        for config in [&b""[..], b"version=0"] {
            let sent = Notification {
                config: Some(Bytes::from_static(config)),
                ..typical()
            };
            let bytes = sent.encode();
            assert_eq!(bytes.len(), 44 + config.len());
            assert_eq!(Notification::decode(&bytes), Ok(sent.clone()));
            // More behind it changes nothing.
            let longer = [&bytes[..], &[1, 2, 3]].concat();
            assert_eq!(Notification::decode(&longer), Ok(sent));
        }
    }

    /// By its length alone a message can be of an older layout.
    #[test]
    fn prefixes() {
        let sent = typical();
        let bytes = sent.encode();
        for length in 0..bytes.len() {
            let read = Notification::decode(&bytes[..length]);
            match length {
                0..28 => assert_eq!(read, Err(Dropped::Short { length })),
                28 => {
                    let old = Notification {
                        peer_epoch: 5,
                        version: 0,
                        config: None,
                        ..sent.clone()
                    };
                    assert_eq!(read, Ok(old));
                }
                40 => {
                    let old = Notification {
                        version: 0,
                        config: None,
                        ..sent.clone()
                    };
                    assert_eq!(read, Ok(old));
                }
                _ => assert!(matches!(read, Err(Dropped::Partial(Error::Eof { .. })))),
            }
        }
    }

    #[test]
    fn the_epoch_of_a_zxid_has_its_sign() {
        let sent = Notification {
            zxid: i64::MIN,
            ..typical()
        };
        let read = Notification::decode(&sent.encode()[..28]).unwrap();
        assert_eq!(read.peer_epoch, -0x8000_0000);
    }

    #[test]
    fn versions_below_2_have_no_configuration() {
        for version in [1, 0, -1, i32::MIN] {
            let mut bytes = typical().encode();
            bytes[36..40].copy_from_slice(&version.to_be_bytes());
            let read = Notification::decode(&bytes).unwrap();
            assert_eq!((read.version, read.config), (version, None));
        }
        let mut bytes = typical().encode();
        bytes[39] = 3;
        assert_eq!(Notification::decode(&bytes).unwrap().version, 3);
    }

    #[test]
    fn lengths_and_states_are_judged() {
        let bytes = typical().encode();
        for (length, dropped) in [
            (-1, Dropped::ConfigLength(-1)),
            (54, Dropped::ConfigLength(54)),
            (i32::MAX, Dropped::ConfigLength(i32::MAX)),
            // Not above that of the message, but above what is left of it.
            (10, Dropped::Partial(Error::Eof { at: 44, need: 1 })),
        ] {
            let mut bytes = bytes.clone();
            bytes[40..44].copy_from_slice(&length.to_be_bytes());
            assert_eq!(Notification::decode(&bytes), Err(dropped));
        }
        for state in [4, -1] {
            let mut bytes = bytes.clone();
            bytes[..4].copy_from_slice(&i32::to_be_bytes(state));
            assert_eq!(Notification::decode(&bytes), Err(Dropped::State(state)));
        }
        for state in 0..4 {
            let state = PeerState::from_i32(state).unwrap();
            let sent = Notification { state, ..typical() };
            assert_eq!(Notification::decode(&sent.encode()), Ok(sent));
        }
    }

    #[test]
    fn frames_are_bounded() {
        let length = |length: i32| frame_length(length.to_be_bytes());
        assert_eq!(length(1), Ok(1));
        assert_eq!(length(524_288), Ok(524_288));
        for bad in [0, -1, 524_289, i32::MIN, i32::MAX] {
            assert_eq!(length(bad), Err(bad));
        }
    }
}
