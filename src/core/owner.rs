//! What a znode's stored `ephemeralOwner` says: whose it is, or that it is a container or has a
//! time to live.

use crate::limits::TTL_MAX_MS;

/// The stored owner of a container.
pub const CONTAINER: i64 = i64::MIN;

const EXTENDED_MASK: u64 = 0xFF00_0000_0000_0000;
const RESERVED_MASK: u64 = 0x00FF_FF00_0000_0000;

/// A znode's kind, from its stored owner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owner {
    /// Persistent.
    None,
    /// Ephemeral of this session.
    Session(i64),
    /// Deleted by the reaper once it has had children and has none.
    Container,
    /// Deleted by the reaper when it is childless and unmodified for so many milliseconds.
    Ttl(i64),
}

/// Which of the owner's extended meanings are on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Extended {
    /// `zookeeper.extendedTypesEnabled`: TTL nodes exist.
    pub enabled: bool,
    /// `zookeeper.emulate353TTLNodes`: any other negative owner is a TTL of the 3.5.3 layout.
    pub emulate_353: bool,
}

impl Owner {
    /// Reads a stored owner, in Java's order of tests. An owner with extended bits of an unknown
    /// feature, which Java answers with an exception, counts as a session's.
    pub fn of(stored: i64, extended: Extended) -> Owner {
        if stored == CONTAINER {
            return Owner::Container;
        }
        if stored < 0 && extended.enabled {
            let bits = stored as u64;
            if extended.emulate_353 && bits & EXTENDED_MASK != EXTENDED_MASK {
                return Owner::Ttl(stored & i64::MAX);
            }
            if bits & EXTENDED_MASK == EXTENDED_MASK && bits & RESERVED_MASK == 0 {
                return Owner::Ttl(stored & TTL_MAX_MS);
            }
        }
        if stored == 0 {
            Owner::None
        } else {
            Owner::Session(stored)
        }
    }

    /// What a client sees as `ephemeralOwner`.
    pub fn shown(self) -> i64 {
        match self {
            Owner::Session(id) => id,
            Owner::None | Owner::Container | Owner::Ttl(_) => 0,
        }
    }

    /// Whether children are refused.
    pub fn is_session(self) -> bool {
        matches!(self, Owner::Session(_))
    }
}

/// The stored owner of a node that lives `ttl_ms`.
pub fn ttl(ttl_ms: i64) -> i64 {
    (EXTENDED_MASK as i64) | ttl_ms
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds() {
        let on = Extended {
            enabled: true,
            emulate_353: false,
        };
        assert_eq!(Owner::of(0, on), Owner::None);
        assert_eq!(Owner::of(i64::MIN, Extended::default()), Owner::Container);
        assert_eq!(Owner::of(ttl(5), on), Owner::Ttl(5));
        assert_eq!(
            Owner::of(ttl(5), Extended::default()),
            Owner::Session(ttl(5))
        );
        assert_eq!(
            Owner::of(0x0100_0000_0000_0007, on),
            Owner::Session(0x0100_0000_0000_0007)
        );
        assert_eq!(ttl(TTL_MAX_MS) as u64, 0xFF00_00FF_FFFF_FFFF);
    }
}
