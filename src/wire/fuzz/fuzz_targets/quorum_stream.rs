//! Packets between servers, in pieces, and what is in them.
#![no_main]

use bytes::{Bytes, BytesMut};
use jute_fuzz::{bounded, has_surrogate};
use libfuzzer_sys::fuzz_target;
use zk_wire::quorum::body::{
    AckEpoch, Activate, InformActivate, LeaderInfo, LearnerInfo, Request, Revalidate, Revalidated,
    decode_touches, encode_touches,
};
use zk_wire::quorum::packet::{Cutter, Packet, PacketError};
use zk_wire::txn::{header_of, reconfig_text};

/// Smaller than the longest input, so that it is passed.
const LIMIT: usize = 4096;

fuzz_target!(|data: &[u8]| {
    // The last bytes say how the rest is cut.
    let (stream, cuts) = data.split_at(data.len() - data.len().min(4));
    let whole = bounded(data.len(), || cut(stream, std::iter::empty()));
    let steps = cuts.iter().map(|&step| usize::from(step)).cycle();
    let pieces = bounded(data.len(), || cut(stream, steps));
    assert_eq!(pieces, whole);

    let (packets, ..) = whole;
    let mut again = Vec::new();
    for packet in &packets {
        let start = again.len();
        packet.encode_into(&mut again);
        assert_eq!(again.len() - start, packet.size());
        body(packet);
    }
    // Malformed text is longer once it is replaced, and then perhaps too long.
    let replaced = |text: &Option<String>| {
        let text = text.as_deref().unwrap_or_default();
        text.contains(char::REPLACEMENT_CHARACTER)
    };
    let mut ids = packets
        .iter()
        .flat_map(|packet| packet.ids.iter().flatten());
    if !has_surrogate(&again) && !ids.any(|(scheme, id)| replaced(scheme) || replaced(id)) {
        let back = cut(&again, std::iter::empty());
        assert_eq!(back, (packets, 0, None));
    }
});

/// The packets of a stream, the bytes left, and what is wrong with them.
fn cut(
    stream: &[u8],
    mut steps: impl Iterator<Item = usize>,
) -> (Vec<Packet>, usize, Option<PacketError>) {
    let mut cutter = Cutter::new(LIMIT);
    let mut buf = BytesMut::new();
    let mut packets = Vec::new();
    let mut rest = stream;
    loop {
        match cutter.next(&mut buf) {
            Ok(Some(packet)) => packets.push(packet),
            Ok(None) if rest.is_empty() => {
                assert!(cutter.need() > buf.len());
                return (packets, buf.len(), None);
            }
            Ok(None) => {
                let step = steps.next().unwrap_or(rest.len()).clamp(1, rest.len());
                let (piece, behind) = rest.split_at(step);
                buf.extend_from_slice(piece);
                rest = behind;
            }
            // How much was there then depends on the pieces.
            Err(error) => return (packets, 0, Some(error)),
        }
    }
}

fn body(packet: &Packet) {
    let data = packet.body();
    macro_rules! fixed {
        ($($body:ident $bytes:literal),*) => {$(
            match $body::decode(data) {
                Ok(body) => assert_eq!($body::decode(&body.encode()), Ok(body)),
                Err(_) => assert!(data.len() < $bytes),
            }
        )*};
    }
    fixed!(LearnerInfo 8, Revalidate 12, Revalidated 9, AckEpoch 4, LeaderInfo 4, Activate 8);
    if let Ok(touches) = decode_touches(data) {
        assert_eq!(encode_touches(&touches), data);
    }
    let data = Bytes::copy_from_slice(data);
    if let Ok(request) = Request::decode(&data) {
        assert_eq!(request.encode(), data);
    }
    if let Ok(inform) = InformActivate::decode(&data) {
        assert_eq!(inform.encode(), data);
        let text = reconfig_text(&inform.payload);
        assert!(text.is_none() || header_of(&inform.payload).is_ok());
    }
}
