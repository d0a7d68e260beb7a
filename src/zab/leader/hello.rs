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
    /// The version of its configuration.
    pub config_version: i64,
}

impl Hello {
    /// Reads it. `anonymous` is the last id that was made up here.
    ///
    /// # Errors
    /// What no learner says.
    pub fn read(c: &Common, packet: &Packet, anonymous: &mut i64) -> Result<Hello, String> {
        let kind = match packet.kind {
            PacketKind::FollowerInfo => Kind::Follower,
            PacketKind::ObserverInfo => Kind::Observer,
            other => return Err(format!("its first packet is {other}")),
        };
        let mut config_version = 0;
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
                config_version = info.config_version;
                Sid(info.sid)
            }
        };
        if sid == c.me() {
            return Err(format!(
                "it says that it is server {sid}, which I am: two servers with one id?"
            ));
        }
        let accepted = Zxid(packet.zxid).epoch();
        Ok(Hello {
            kind,
            sid,
            accepted,
            config_version,
        })
    }

    /// Why it is not served here, if it has a newer configuration.
    pub fn is_ahead(&self, c: &Common) -> Option<String> {
        let (theirs, mine) = (self.config_version, c.view.committed().version);
        let ahead = theirs > mine;
        ahead.then(|| format!("it has configuration 0x{theirs:x}, here holds 0x{mine:x}"))
    }
}
