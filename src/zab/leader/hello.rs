//! The first packet of a learner: who it is, what it follows as, and what it has accepted.
//!
//! Owns: what of it is refused, whoever is asked. Does not know: links, stages, epochs here.

use alloc::format;
use alloc::string::String;

use zk_wire::quorum::body::{LearnerInfo, PROTOCOL};
use zk_wire::quorum::packet::{Packet, PacketKind};

use super::handler::Kind;
use crate::common::Common;
use crate::ids::{Sid, Zxid};

/// What a learner says first.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Hello {
    /// What it wants to be.
    pub kind: Kind,
    /// Who it is; negative and made up here for one that has no id.
    pub sid: Sid,
    /// The epoch that it has accepted.
    pub accepted: u32,
}

impl Hello {
    /// Reads it. `anonymous` is the last id that was made up here.
    ///
    /// # Errors
    /// Why this learner cannot be served.
    pub fn read(c: &Common, packet: &Packet, anonymous: &mut i64) -> Result<Hello, String> {
        let kind = match packet.kind {
            PacketKind::FollowerInfo => Kind::Follower,
            PacketKind::ObserverInfo => Kind::Observer,
            other => return Err(format!("its first packet is {other}")),
        };
        let sid = match &packet.data {
            // A server without an id: the newest form of everything else.
            None => {
                *anonymous -= 1;
                Sid(*anonymous)
            }
            Some(data) => {
                let info = LearnerInfo::decode(data)
                    .map_err(|error| format!("its first packet: {error}"))?;
                if info.protocol < PROTOCOL {
                    return Err(format!("it speaks protocol 0x{:x}", info.protocol));
                }
                let mine = c.view.committed().version;
                if info.config_version > mine {
                    return Err(format!(
                        "it has configuration 0x{:x}, here holds 0x{mine:x}",
                        info.config_version
                    ));
                }
                Sid(info.sid)
            }
        };
        if sid == c.me() {
            return Err(format!("it says that it is server {sid}, which I am: two servers with one id?"));
        }
        let accepted = Zxid(packet.zxid).epoch();
        Ok(Hello {
            kind,
            sid,
            accepted,
        })
    }
}
