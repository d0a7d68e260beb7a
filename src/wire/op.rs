//! Operation codes.
//!
//! Owns: the numbers that name operations in requests and transactions, and Java's names of
//! them. Does not know: what an operation does, or who may send it (createSession,
//! deleteContainer and error are not for clients).

use core::fmt;

macro_rules! ops {
    ($($(#[$doc:meta])* $name:ident = $number:literal, $java:literal;)*) => {
        /// What a request asks for, or a transaction does.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(i32)]
        pub enum OpCode {
            $($(#[$doc])* $name = $number,)*
        }

        impl OpCode {
            /// Every operation code.
            pub const ALL: &[OpCode] = &[$(OpCode::$name),*];

            /// The operation with this number, if there is one.
            pub const fn from_i32(number: i32) -> Option<OpCode> {
                match number {
                    $($number => Some(OpCode::$name),)*
                    _ => None,
                }
            }

            /// Java's name, `createTTL` for instance.
            pub const fn name(self) -> &'static str {
                match self {
                    $(OpCode::$name => $java,)*
                }
            }
        }
    };
}

ops! {
    /// Create a node; the reply is its path.
    Create = 1, "create";
    /// Delete a node.
    Delete = 2, "delete";
    /// The stat of a node, or that there is none.
    Exists = 3, "exists";
    /// Data and stat of a node.
    GetData = 4, "getData";
    /// Replace the data of a node.
    SetData = 5, "setData";
    /// ACL and stat of a node.
    GetAcl = 6, "getACL";
    /// Replace the ACL of a node.
    SetAcl = 7, "setACL";
    /// The names of a node's children.
    GetChildren = 8, "getChildren";
    /// Wait until this server has caught up with the leader.
    Sync = 9, "sync";
    /// Keep the session alive.
    Ping = 11, "ping";
    /// As getChildren, with the stat.
    GetChildren2 = 12, "getChildren2";
    /// Compare a node's version; inside multi only.
    Check = 13, "check";
    /// Several writes, all or none.
    Multi = 14, "multi";
    /// As create; the reply has the stat too.
    Create2 = 15, "create2";
    /// Change the ensemble.
    Reconfig = 16, "reconfig";
    /// Is there a watch of this kind?
    CheckWatches = 17, "checkWatches";
    /// Remove watches.
    RemoveWatches = 18, "removeWatches";
    /// Create a node that goes when its last child went.
    CreateContainer = 19, "createContainer";
    /// Internal: the reaper deletes a container or TTL node.
    DeleteContainer = 20, "deleteContainer";
    /// Create a node that goes when it was left alone for a time.
    CreateTtl = 21, "createTTL";
    /// Several reads at once.
    MultiRead = 22, "multiRead";
    /// Add an identity to the connection.
    Auth = 100, "auth";
    /// Set watches again after a reconnect.
    SetWatches = 101, "setWatches";
    /// A step of a SASL exchange.
    Sasl = 102, "sasl";
    /// The session's ephemeral nodes.
    GetEphemerals = 103, "getEphemerals";
    /// The number of all descendants.
    GetAllChildrenNumber = 104, "getAllChildrenNumber";
    /// As setWatches, with persistent watches.
    SetWatches2 = 105, "setWatches2";
    /// Set a persistent watch.
    AddWatch = 106, "addWatch";
    /// The identities of the connection.
    WhoAmI = 107, "whoAmI";
    /// Internal: a session begins.
    CreateSession = -10, "createSession";
    /// The session ends.
    CloseSession = -11, "closeSession";
    /// A write that failed, as a transaction or as a multi result.
    Error = -1, "error";
}

impl OpCode {
    /// The number on the wire.
    pub const fn to_i32(self) -> i32 {
        self as i32
    }
}

impl fmt::Display for OpCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_operation_comes_back_from_its_number() {
        for &op in OpCode::ALL {
            assert_eq!(OpCode::from_i32(op.to_i32()), Some(op));
        }
        for absent in [0, 10, 23, 99, 108, -2, -9, -12, i32::MIN, i32::MAX] {
            assert_eq!(OpCode::from_i32(absent), None, "{absent}");
        }
    }
}
