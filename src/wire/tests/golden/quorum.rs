//! What servers say to each other.

use std::collections::BTreeSet;

use bytes::{Bytes, BytesMut};
use jute::{Buf, Decode, Reader, Str};
use zk_wire::OpCode;
use zk_wire::client::Id;
use zk_wire::quorum::body::{
    AckEpoch, InformActivate, LearnerInfo, PROTOCOL, Request, Revalidate, decode_touches,
    encode_touches,
};
use zk_wire::quorum::config::host_text;
use zk_wire::quorum::hello::{self, Hello, HelloVersion};
use zk_wire::quorum::notification::{Notification, PeerState, VERSION, frame_length};
use zk_wire::quorum::packet::{Cutter, Packet, PacketError, PacketKind};
use zk_wire::quorum::snap::{SIGNATURE, SnapDecoder, SnapEncoder, SnapItem, SnapProgress};
use zk_wire::quorum::{AUTH_MAGIC, other_protocol};
use zk_wire::txn::{Txn, header_of, reconfig_text};

use crate::cases::{Case, case, cases, records};
use crate::show::{Printer, Show, join, quote};

/// Greater than any field of a case.
const LIMIT: usize = 1 << 16;

/// What has cases here; configurations have tests of their own.
#[test]
fn the_records_are_known() {
    let mut found = records("quorum");
    found.retain(|record| !record.starts_with("config"));
    let known = [
        "InitialMessage",
        "InitialMessageReader",
        "Learner",
        "LearnerInfo",
        "Notification",
        "NotificationReader",
        "QuorumAuthPacket",
        "QuorumPacket",
        "Tree",
    ];
    assert_eq!(found, known.map(String::from).into());
}

// ---- packets

impl Show for Packet {
    fn show(&self, name: &str, p: &mut Printer) {
        self.kind.to_i32().show(&join(name, "type"), p);
        self.zxid.show(&join(name, "zxid"), p);
        Buf::show(&self.data.as_deref(), &join(name, "data"), p);
        let ids = self.ids.as_ref().map(|ids| {
            ids.iter()
                .map(|(scheme, id)| Id {
                    scheme: text(scheme),
                    id: text(id),
                })
                .collect::<Vec<Id<'_>>>()
        });
        ids.show(&join(name, "authinfo"), p);
    }
}

fn text(string: &Option<String>) -> Str<'_> {
    string.as_deref().map(Into::into)
}

/// Takes all packets from bytes that come in pieces.
fn cut(bytes: &[u8], step: usize) -> Vec<Packet> {
    let mut cutter = Cutter::new(LIMIT);
    let mut buf = BytesMut::new();
    let mut found = Vec::new();
    for piece in bytes.chunks(step) {
        buf.extend_from_slice(piece);
        while let Some(packet) = cutter.next(&mut buf).expect("a packet") {
            found.push(packet);
        }
    }
    assert!(buf.is_empty(), "all bytes belong to packets");
    found
}

fn packet(name: &str) -> Packet {
    let Case { bin, .. } = case("quorum", "QuorumPacket", name);
    cut(&bin, bin.len()).remove(0)
}

#[test]
fn every_packet() {
    let mut kinds = BTreeSet::new();
    for Case { name, bin, txt } in cases("quorum", "QuorumPacket") {
        for step in 1..=bin.len() {
            let found = cut(&bin, step);
            let [packet] = &found[..] else {
                panic!("{name}: {found:?}");
            };
            assert_eq!(Printer::print(packet, ""), txt, "{name}");
            let mut again = Vec::new();
            packet.encode_into(&mut again);
            assert_eq!(again, bin, "{name}: encoded again");
            assert_eq!(packet.size(), bin.len(), "{name}: size");
            if let Some((_, kind)) = name.rsplit_once("/kind_") {
                assert_eq!(packet.kind.name().to_lowercase(), kind);
                kinds.insert(packet.kind);
            }
        }
        for end in 0..bin.len() {
            let mut buf = BytesMut::from(&bin[..end]);
            let mut cutter = Cutter::new(LIMIT);
            assert_eq!(cutter.next(&mut buf), Ok(None), "{name} cut at {end}");
            assert!(cutter.need() > end && cutter.need() <= bin.len(), "{name}");
        }
    }
    assert_eq!(kinds, PacketKind::ALL.into());
}

/// All of them one after the other, in pieces of every size up to the longest.
#[test]
fn packets_in_a_stream() {
    let cases = cases("quorum", "QuorumPacket");
    let stream: Vec<u8> = cases.iter().flat_map(|case| case.bin.clone()).collect();
    for step in (1..200).chain([stream.len()]) {
        let mut again = Vec::new();
        for packet in cut(&stream, step) {
            packet.encode_into(&mut again);
        }
        assert_eq!(again, stream, "in pieces of {step}");
    }
}

#[test]
fn a_reconfiguration_in_packets() {
    let proposal = packet("proposal_reconfig");
    let inform = packet("inform_and_activate");
    assert_eq!(inform.kind, PacketKind::InformAndActivate);
    let payload = proposal.body();
    assert_eq!(header_of(payload).unwrap().zxid, proposal.zxid);
    assert_eq!(header_of(payload).unwrap().op, OpCode::Reconfig.to_i32());
    let txn = Txn::decode(&mut Reader::new(payload)).unwrap();
    assert!(txn.digest.is_some());
    assert_eq!(
        reconfig_text(payload),
        Some(&b"server.1=h:2888:3888:participant\nversion=0"[..])
    );
    let data = inform.data.clone().unwrap();
    let body = InformActivate::decode(&data).unwrap();
    assert_eq!((body.leader, &body.payload[..]), (3, payload));
    assert_eq!(body.encode(), data);
    assert_eq!(inform.zxid, proposal.zxid);
}

/// Only known by its beginning, which is no packet's.
#[test]
fn authentication_is_recognized() {
    let Case { bin, .. } = case("quorum", "QuorumAuthPacket", "magic");
    assert_eq!(bin[..8], AUTH_MAGIC.to_be_bytes());
    let first = *bin.first_chunk().unwrap();
    assert!(other_protocol(first).is_some());
    let error = Cutter::new(LIMIT).next(&mut BytesMut::from(&bin[..]));
    assert_eq!(error, Err(PacketError::Kind(i32::from_be_bytes(first))));
    let frame = frame_length(first);
    assert_eq!(frame, Err(i32::from_be_bytes(first)));
}

// ---- what a learner sends

impl Show for LearnerInfo {
    fn show(&self, name: &str, p: &mut Printer) {
        self.sid.show(&join(name, "serverid"), p);
        self.protocol.show(&join(name, "protocolVersion"), p);
        self.config_version.show(&join(name, "configVersion"), p);
    }
}

#[test]
fn every_learner_info() {
    for Case { name, bin, txt } in cases("quorum", "LearnerInfo") {
        let info = LearnerInfo::decode(&bin).unwrap();
        assert_eq!(Printer::print(&info, ""), txt, "{name}");
        assert_eq!(info.encode(), bin, "{name}");
    }
}

/// The packets that a Java learner wrote for a case, which come back as they were.
fn sent(name: &str) -> Vec<Packet> {
    let Case { name, bin, txt } = case("quorum", "Learner", name);
    let packets = cut(&bin, bin.len());
    let mut p = Printer::default();
    let mut again = Vec::new();
    for (i, packet) in packets.iter().enumerate() {
        packet.show(&format!("[{i}]"), &mut p);
        packet.encode_into(&mut again);
    }
    assert_eq!(p.finish(), txt, "{name}");
    assert_eq!(again, bin, "{name}");
    packets
}

const SESSION: i64 = 0x0100_abcd_ef12_0000;
const ZXID: i64 = 0x5_0000_0007;

#[test]
fn requests() {
    for (name, cxid, op, body, ids) in [
        ("request", 7, OpCode::SetData, &b"body"[..], Some(2)),
        ("request_without_body", 0, OpCode::CloseSession, b"", None),
    ] {
        let packets = sent(name);
        let request = Request {
            session: SESSION,
            cxid,
            op: op.to_i32(),
            body: Bytes::copy_from_slice(body),
        };
        let packet = Packet {
            ids: packets[0].ids.clone(),
            ..Packet::with(PacketKind::Request, -1, request.encode())
        };
        assert_eq!(packets, [packet]);
        assert_eq!(packets[0].ids.as_ref().map(Vec::len), ids);
        let data = packets[0].data.as_ref().unwrap();
        assert_eq!(Request::decode(data), Ok(request));
    }
}

#[test]
fn sessions() {
    let revalidate = Revalidate {
        session: SESSION,
        timeout_ms: 30_000,
    };
    let packet = Packet::with(PacketKind::Revalidate, -1, revalidate.encode());
    assert_eq!(sent("revalidate")[..], *std::slice::from_ref(&packet));
    assert_eq!(Revalidate::decode(packet.body()), Ok(revalidate));

    for (name, touches) in [
        ("ping", &[(SESSION, 30_000), (-2, 4_000)][..]),
        ("ping_without_sessions", &[]),
    ] {
        let packet = Packet::with(PacketKind::Ping, ZXID, encode_touches(touches));
        assert_eq!(sent(name)[..], *std::slice::from_ref(&packet));
        assert_eq!(decode_touches(packet.body()).as_deref(), Ok(touches));
    }
}

#[test]
fn registration() {
    for (name, kind, accepted, config_version, zxid, epoch) in [
        (
            "register_follower",
            PacketKind::FollowerInfo,
            5,
            0x1_0000_0001,
            ZXID,
            4,
        ),
        (
            "register_observer_again",
            PacketKind::ObserverInfo,
            6,
            0,
            6 << 32,
            -1,
        ),
    ] {
        let info = LearnerInfo {
            sid: 3,
            protocol: PROTOCOL,
            config_version,
        };
        let ack = AckEpoch { epoch };
        let packets = [
            Packet::with(kind, accepted << 32, info.encode()),
            Packet::with(PacketKind::AckEpoch, zxid, ack.encode()),
        ];
        assert_eq!(sent(name), packets);
        assert_eq!(LearnerInfo::decode(packets[0].body()), Ok(info));
        assert_eq!(AckEpoch::decode(packets[1].body()), Ok(ack));
    }
}

// ---- elections

/// What Java's reader makes of a message, as the generator prints it.
fn heard(message: &[u8]) -> String {
    match Notification::decode(message) {
        Ok(n) => {
            let config = n.config.map(|bytes| quote(&jute::decode_text(&bytes)));
            format!(
                "state {} leader {} zxid {} electionEpoch {} peerEpoch {} version {} config {}\n",
                n.state.to_i32(),
                n.leader,
                n.zxid,
                n.round,
                n.peer_epoch,
                n.version,
                config.as_deref().unwrap_or("null")
            )
        }
        Err(_) => "dropped\n".into(),
    }
}

#[test]
fn every_notification() {
    let mut states = BTreeSet::new();
    for Case { name, bin, txt } in cases("quorum", "Notification") {
        assert_eq!(heard(&bin), txt, "{name}");
        let notification = Notification::decode(&bin).unwrap();
        assert_eq!(notification.version, VERSION, "{name}");
        assert_eq!(notification.encode(), bin, "{name}");
        let state = notification.state;
        assert!(name.ends_with("/no_config") || name.ends_with(&state.name().to_lowercase()));
        states.insert(state);
    }
    let all = (0..4).map(|number| PeerState::from_i32(number).unwrap());
    assert_eq!(states, all.collect());
}

/// The messages of a case that has many.
fn messages(bin: &[u8]) -> Vec<&[u8]> {
    let mut r = Reader::new(bin);
    let mut messages = Vec::new();
    while r.remaining() > 0 {
        messages.push(r.buffer().unwrap().expect("a message"));
    }
    messages
}

/// Java's receiver drops the same, and reads the same from the rest.
#[test]
fn notifications_that_are_not_as_they_should_be() {
    let Case { bin, txt, .. } = case("quorum", "NotificationReader", "many");
    let messages = messages(&bin);
    assert_eq!(messages.len(), txt.lines().count());
    for (message, line) in messages.iter().zip(txt.lines()) {
        assert_eq!(heard(message), format!("{line}\n"), "{message:02x?}");
    }
}

/// What Java's reader makes of a first message, as the generator prints it.
fn greeted(message: &[u8]) -> String {
    match Hello::decode(message) {
        Ok(Some((hello, _))) => {
            let addresses: Vec<String> = hello
                .addresses
                .iter()
                .map(|(host, port)| match host_text(host) {
                    host if host.contains(':') => format!("[{host}]:{port}"),
                    host => format!("{host}:{port}"),
                })
                .collect();
            format!("{} [{}]\n", hello.sid, addresses.join(", "))
        }
        Ok(None) => panic!("a part of a message: {message:02x?}"),
        Err(_) => "refused\n".into(),
    }
}

#[test]
fn every_first_message() {
    for Case { name, bin, txt } in cases("quorum", "InitialMessage") {
        let (hello, taken) = Hello::decode(&bin).unwrap().unwrap();
        assert_eq!(taken, bin.len(), "{name}");
        let multi = name.contains("/multi");
        let version = if multi {
            HelloVersion::V2
        } else {
            HelloVersion::V1
        };
        assert_eq!(hello.version, version, "{name}");
        assert_eq!(hello::encode(hello.sid, &hello.addresses, multi), bin);
        for end in 0..bin.len() {
            assert_eq!(Hello::decode(&bin[..end]), Ok(None), "{name} cut at {end}");
        }
        // Java's text is of a set, without an order.
        let sorted = |text: &str| {
            let mut parts: Vec<&str> = text.trim().split([' ', ',', '[', ']']).collect();
            parts.sort_unstable();
            parts.join(" ")
        };
        assert_eq!(sorted(&greeted(&bin)), sorted(&txt), "{name}");
    }
}

#[test]
fn first_messages_that_are_not_as_they_should_be() {
    let Case { bin, txt, .. } = case("quorum", "InitialMessageReader", "many");
    let messages = messages(&bin);
    assert_eq!(messages.len(), txt.lines().count());
    for (message, line) in messages.iter().zip(txt.lines()) {
        assert_eq!(greeted(message), format!("{line}\n"), "{message:02x?}");
    }
}

// ---- trees

/// The items of a tree that comes in pieces; packets behind it stay.
fn items(bytes: &[u8], step: usize) -> (Vec<SnapItem<'_>>, usize) {
    let mut decoder = SnapDecoder::new(LIMIT);
    let mut found = Vec::new();
    let (mut start, mut end) = (0, 0);
    loop {
        match decoder.next(&bytes[start..end]).expect("a tree") {
            SnapProgress::Item(item, taken) => {
                found.push(item);
                start += taken;
            }
            SnapProgress::More(need) => {
                assert!(start + need > end && start + need <= bytes.len());
                end = (end + step).min(bytes.len());
            }
            SnapProgress::Done => return (found, start),
        }
    }
}

fn print(items: &[SnapItem<'_>]) -> String {
    let mut p = Printer::default();
    let count = |is: fn(&SnapItem<'_>) -> bool| items.iter().filter(|item| is(item)).count();
    let sessions = count(|item| matches!(item, SnapItem::Session { .. }));
    p.line("count", sessions);
    for (i, item) in items.iter().enumerate() {
        if i == sessions {
            p.line("map", count(|item| matches!(item, SnapItem::Acl { .. })));
        }
        match item {
            SnapItem::Session { id, timeout } => {
                id.show("id", &mut p);
                timeout.show("timeout", &mut p);
            }
            SnapItem::Acl { id, acl } => {
                id.show("long", &mut p);
                Some(acl.clone()).show("acls", &mut p);
            }
            SnapItem::Node {
                path,
                data,
                acl,
                stat,
            } => {
                Some(path.clone()).show("path", &mut p);
                data.show("node.data", &mut p);
                acl.show("node.acl", &mut p);
                stat.show("node.statpersisted", &mut p);
            }
            SnapItem::End => {
                p.line("path", quote("/"));
                p.line("signature", quote(SIGNATURE));
            }
        }
    }
    p.finish()
}

fn encode(items: &[SnapItem<'_>]) -> Vec<u8> {
    let count = |is: fn(&SnapItem<'_>) -> bool| items.iter().filter(|item| is(item)).count();
    let sessions = count(|item| matches!(item, SnapItem::Session { .. }));
    let acls = count(|item| matches!(item, SnapItem::Acl { .. }));
    let mut out = Vec::new();
    let mut encoder = SnapEncoder::begin(sessions, acls, &mut out);
    for item in items {
        match item {
            SnapItem::Session { id, timeout } => encoder.session(*id, *timeout, &mut out),
            SnapItem::Acl { id, acl } => encoder.acl(*id, acl, &mut out),
            SnapItem::Node {
                path,
                data,
                acl,
                stat,
            } => encoder.node(path, *data, *acl, stat, &mut out),
            SnapItem::End => {}
        }
    }
    encoder.end(&mut out);
    out
}

#[test]
fn every_tree() {
    for Case { name, bin, txt } in cases("quorum", "Tree") {
        let (whole, taken) = items(&bin, bin.len());
        assert_eq!(taken, bin.len(), "{name}");
        assert_eq!(print(&whole), txt, "{name}");
        assert_eq!(encode(&whole), bin, "{name}: encoded again");
        let behind = case("quorum", "QuorumPacket", "kind_newleader").bin;
        let followed = [&bin[..], &behind].concat();
        for step in [1, 2, 7, 64, 1000, followed.len()] {
            assert_eq!(items(&followed, step), (whole.clone(), bin.len()), "{name}");
        }
        for end in 0..bin.len() {
            let mut decoder = SnapDecoder::new(LIMIT);
            let mut rest = &bin[..end];
            let mut found = 0;
            while let SnapProgress::Item(item, taken) = decoder.next(rest).unwrap() {
                assert_eq!(item, whole[found], "{name} cut at {end}");
                rest = &rest[taken..];
                found += 1;
            }
            assert!(found < whole.len(), "{name} cut at {end}");
        }
    }
}
