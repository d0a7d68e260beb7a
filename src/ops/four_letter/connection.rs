//! One connection, in the short form of `stat` and the long form of `cons`.

use core::fmt::{self, Write as _};
use std::net::{IpAddr, SocketAddr};

use zk_wire::OpCode;

/// The last operation of a session that has none yet, also after `crst`.
pub const LAST_OP_NONE: &str = "NA";

/// A connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConnectionInfo {
    /// The client's address.
    pub peer: SocketAddr,
    /// Java's selection key: 1 reads, 4 writes, 5 both, 0 neither. The connection that asks by a
    /// four-letter word has 0.
    pub interest_ops: u32,
    /// Requests in flight.
    pub queued: i64,
    /// Packets received; a four-letter word is one.
    pub received: u64,
    /// Packets sent.
    pub sent: u64,
    /// Its session, if it has one.
    pub session: Option<SessionInfo>,
}

/// The session of a connection. Fields up to `timeout_ms` survive `crst`, the others start anew.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionInfo {
    /// Session id.
    pub id: i64,
    /// Name of the last operation, see [`last_op_name`].
    pub last_op: &'static str,
    /// When the connection was made, ms since 1970.
    pub established_ms: i64,
    /// Session timeout.
    pub timeout_ms: i32,
    /// xid of the last request; -1 before any, and then left out.
    pub last_cxid: i64,
    /// zxid of the last reply; -1 before any.
    pub last_zxid: i64,
    /// When the last reply left, ms of the monotonic clock; 0 before any.
    pub last_response_ms: i64,
    /// Latency of the last request, ms.
    pub last_latency_ms: i64,
    /// Least latency; 0 before any.
    pub min_latency_ms: i64,
    /// Mean latency, a whole number.
    pub avg_latency_ms: i64,
    /// Largest latency.
    pub max_latency_ms: i64,
}

impl ConnectionInfo {
    /// Appends the form of `stat`.
    pub fn write_short(&self, out: &mut String) {
        let _ = write!(
            out,
            " {}[{:x}](queued={},recved={},sent={})",
            JavaAddress(self.peer),
            self.interest_ops,
            self.queued,
            self.received,
            self.sent
        );
    }

    /// Appends the form of `cons`.
    pub fn write_long(&self, out: &mut String) {
        self.write_short(out);
        let Some(session) = &self.session else { return };
        out.pop(); // the bracket
        let _ = write!(
            out,
            ",sid=0x{:x},lop={},est={},to={}",
            session.id, session.last_op, session.established_ms, session.timeout_ms
        );
        if session.last_cxid >= 0 {
            let _ = write!(out, ",lcxid=0x{:x}", session.last_cxid);
        }
        let _ = write!(
            out,
            ",lzxid=0x{:x},lresp={},llat={},minlat={},avglat={},maxlat={})",
            session.last_zxid,
            session.last_response_ms,
            session.last_latency_ms,
            session.min_latency_ms,
            session.avg_latency_ms,
            session.max_latency_ms
        );
    }
}

/// `cons`.
pub fn cons(connections: &[ConnectionInfo]) -> String {
    let mut out = String::new();
    for connection in connections {
        connection.write_long(&mut out);
        out.push('\n');
    }
    out.push('\n');
    out
}

/// The name that `cons` gives an operation.
pub fn last_op_name(op: OpCode) -> &'static str {
    match op {
        OpCode::Create | OpCode::Create2 | OpCode::CreateTtl | OpCode::CreateContainer => "CREA",
        OpCode::Delete | OpCode::DeleteContainer => "DELE",
        OpCode::Exists => "EXIS",
        OpCode::GetData => "GETD",
        OpCode::SetData => "SETD",
        OpCode::GetAcl => "GETA",
        OpCode::SetAcl => "SETA",
        OpCode::GetChildren | OpCode::GetChildren2 => "GETC",
        OpCode::GetAllChildrenNumber => "GETACN",
        OpCode::GetEphemerals => "GETE",
        OpCode::Sync => "SYNC",
        OpCode::Ping => "PING",
        OpCode::Check => "CHEC",
        OpCode::Multi => "MULT",
        OpCode::MultiRead => "MLTR",
        OpCode::Reconfig => "RECO",
        OpCode::CheckWatches => "CHKW",
        OpCode::RemoveWatches => "REMW",
        OpCode::AddWatch => "ADDW",
        OpCode::SetWatches => "SETW",
        OpCode::SetWatches2 => "STW2",
        OpCode::WhoAmI => "HOMI",
        OpCode::CreateSession => "SESS",
        OpCode::CloseSession => "CLOS",
        OpCode::Auth | OpCode::Sasl | OpCode::Error => LAST_OP_NONE,
    }
}

/// A socket address as Java prints one without a host name: `/127.0.0.1:2181`,
/// `/[0:0:0:0:0:0:0:1]:2181`. An IPv4 address in an IPv6 one is printed as IPv4.
pub fn java_address(address: SocketAddr) -> String {
    JavaAddress(address).to_string()
}

pub(super) struct JavaAddress(pub SocketAddr);

impl fmt::Display for JavaAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.ip().to_canonical() {
            IpAddr::V4(ip) => write!(f, "/{ip}:{}", self.0.port()),
            IpAddr::V6(ip) => {
                f.write_str("/[")?;
                for (at, segment) in ip.segments().iter().enumerate() {
                    write!(f, "{}{segment:x}", if at == 0 { "" } else { ":" })?;
                }
                write!(f, "]:{}", self.0.port())
            }
        }
    }
}
