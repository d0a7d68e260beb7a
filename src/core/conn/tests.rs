//! Whom a connection is served for, and replies that end it.

use super::*;
use crate::config::Config;
use crate::watch::Watches;

struct World {
    tree: Tree,
    config: Config,
    watches: Watches,
    tally: Tally,
    serve: ServeMode,
}

const GLOBAL: SessionId = SessionId(0x0100_0000_0000_0001);
const LOCAL: SessionId = SessionId(0x0100_0000_0000_0002);

impl World {
    fn new(serve: ServeMode) -> World {
        let config = Config {
            local_sessions: true,
            ..Config::default()
        };
        let mut tree = Tree::new(config.extended, 1);
        tree.create_session(GLOBAL, 10_000);
        tree.open_local_session(LOCAL);
        World {
            tree,
            config,
            watches: Watches::default(),
            tally: Tally::default(),
            serve,
        }
    }

    fn view(&mut self) -> View<'_> {
        View {
            tree: &self.tree,
            config: &self.config,
            serve: self.serve,
            watches: &mut self.watches,
            tally: &mut self.tally,
        }
    }

    fn frame(&mut self, conn: &mut Conn, frame: &[u8]) -> Accepted {
        conn.on_frame(frame, &mut self.view())
    }

    fn connect(&mut self, session: SessionId, read_only: Option<bool>) -> (Conn, Accepted) {
        let mut conn = Conn::new(ConnId(1), "127.0.0.1");
        let passwd = password::derive(session.0);
        let request = ConnectRequest {
            timeout: 10_000,
            session_id: session.0,
            passwd: Some(&passwd),
            read_only,
            ..Default::default()
        };
        let accepted = self.frame(&mut conn, &request.to_vec());
        (conn, accepted)
    }

    fn open(&mut self, session: SessionId) -> Conn {
        let (mut conn, accepted) = self.connect(session, Some(true));
        assert!(matches!(accepted, Accepted::Submit(_)), "{accepted:?}");
        conn.connected(Some(Grant {
            session,
            timeout_ms: 10_000,
        }));
        conn
    }
}

fn request(xid: i32, op: OpCode, body: &[u8]) -> Vec<u8> {
    let mut frame = RequestHeader {
        xid,
        op: op.to_i32(),
    }
    .to_vec();
    frame.extend_from_slice(body);
    frame
}

fn header(out: &[u8]) -> ReplyHeader {
    ReplyHeader::decode(&mut Reader::new(&out[4..])).expect("a header")
}

#[test]
fn a_server_without_a_role_takes_no_handshake_and_no_request() {
    let mut world = World::new(ServeMode::Closed);
    let (conn, accepted) = world.connect(SessionId(0), Some(true));
    assert!(matches!(accepted, Accepted::Close) && conn.is_closing() && !conn.has_out());
    world.serve = ServeMode::Full;
    let mut conn = world.open(GLOBAL);
    conn.take_out();
    world.serve = ServeMode::Closed;
    let accepted = world.frame(&mut conn, &request(1, OpCode::WhoAmI, b""));
    assert!(matches!(accepted, Accepted::Close) && !conn.has_out());
}

#[test]
fn a_read_only_server_takes_whom_that_is_enough_for() {
    let mut world = World::new(ServeMode::ReadOnly);
    for (session, read_only, taken) in [
        (SessionId(0), Some(true), true),
        (SessionId(0), Some(false), false),
        (SessionId(0), None, false),
        (GLOBAL, Some(true), false),
        (LOCAL, Some(true), true),
        (SessionId(5), Some(true), true),
    ] {
        let (_, accepted) = world.connect(session, read_only);
        assert_eq!(
            matches!(accepted, Accepted::Submit(_)),
            taken,
            "{session} {read_only:?}"
        );
        assert_eq!(matches!(accepted, Accepted::Close), !taken);
    }
    world.config.local_sessions = false;
    let (_, accepted) = world.connect(SessionId(0), Some(true));
    assert!(matches!(accepted, Accepted::Close));
}

#[test]
fn the_handshakes_answer_says_that_the_server_is_read_only() {
    for (serve, read_only) in [(ServeMode::ReadOnly, true), (ServeMode::Full, false)] {
        let mut world = World::new(serve);
        let mut conn = world.open(LOCAL);
        let out = conn.take_out();
        let response = ConnectResponse::decode(&mut Reader::new(&out[4..])).expect("an answer");
        assert_eq!(response.read_only, Some(read_only));
    }
}

#[test]
fn a_read_only_server_refuses_writes_and_syncs_and_answers_reads() {
    let mut world = World::new(ServeMode::ReadOnly);
    let mut conn = world.open(LOCAL);
    conn.take_out();
    for op in [
        OpCode::Create,
        OpCode::SetData,
        OpCode::Delete,
        OpCode::Multi,
        OpCode::Sync,
        OpCode::Reconfig,
    ] {
        let accepted = world.frame(&mut conn, &request(3, op, b""));
        assert!(matches!(accepted, Accepted::Here), "{op:?}");
        let reply = header(&conn.take_out());
        assert_eq!((reply.xid, reply.err), (3, Code::NotReadOnly.to_i32()));
        assert!(!conn.is_closing());
    }
    let accepted = world.frame(&mut conn, &request(4, OpCode::WhoAmI, b""));
    assert!(matches!(accepted, Accepted::Here));
    assert_eq!(header(&conn.take_out()).err, 0);
    let accepted = world.frame(&mut conn, &request(5, OpCode::CloseSession, b""));
    assert!(matches!(accepted, Accepted::Submit(_)));
}

#[test]
fn a_session_that_moved_or_a_write_that_is_lost_ends_the_connection_without_a_reply() {
    for code in [Code::SessionMoved, Code::ConnectionLoss] {
        let mut world = World::new(ServeMode::Full);
        let mut conn = world.open(GLOBAL);
        conn.take_out();
        let accepted = world.frame(&mut conn, &request(1, OpCode::Sync, b""));
        assert!(matches!(accepted, Accepted::Submit(_)));
        conn.done(
            1,
            &Reply {
                zxid: Zxid(5),
                err: code.to_i32(),
                body: None,
                close: false,
            },
        );
        assert!(conn.is_closing() && !conn.has_out());
    }
}

#[test]
fn a_client_is_compared_with_what_is_served() {
    let mut world = World::new(ServeMode::Full);
    world.tree.serve_from(Zxid(5 << 32));
    for (seen, taken) in [(5 << 32, true), ((5 << 32) + 1, false)] {
        let mut conn = Conn::new(ConnId(1), "127.0.0.1");
        let request = ConnectRequest {
            last_zxid_seen: seen,
            ..Default::default()
        };
        let accepted = world.frame(&mut conn, &request.to_vec());
        assert_eq!(matches!(accepted, Accepted::Submit(_)), taken);
    }
    let mut conn = world.open(GLOBAL);
    conn.take_out();
    world.frame(&mut conn, &request(1, OpCode::WhoAmI, b""));
    assert_eq!(header(&conn.take_out()).zxid, 5 << 32);
}
