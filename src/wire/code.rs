//! Error codes.
//!
//! Owns: their numbers and names. Does not know: which operation sends which.
//! Invariant: a code outside the table cannot be made, because Java clients throw on one.

use core::fmt;

macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident = $number:literal, $java:literal;)*) => {
        /// The error code of a reply (`err` of a reply header or of a multi result).
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(i32)]
        pub enum Code {
            $($(#[$doc])* $name = $number,)*
        }

        impl Code {
            /// Every code, from zero downwards.
            pub const ALL: &[Code] = &[$(Code::$name),*];

            /// The code with this number, if there is one.
            pub const fn from_i32(number: i32) -> Option<Code> {
                match number {
                    $($number => Some(Code::$name),)*
                    _ => None,
                }
            }

            /// The name of Java's constant, `NONODE` for instance.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Code::$name => $java,)*
                }
            }
        }
    };
}

codes! {
    /// Success.
    Ok = 0, "OK";
    /// Marks the range of system errors; never sent.
    SystemError = -1, "SYSTEMERROR";
    /// In a failed multi: the operations after the one that failed.
    RuntimeInconsistency = -2, "RUNTIMEINCONSISTENCY";
    /// Unused.
    DataInconsistency = -3, "DATAINCONSISTENCY";
    /// Made by clients only.
    ConnectionLoss = -4, "CONNECTIONLOSS";
    /// The body of a request could not be decoded, or the server failed unexpectedly.
    MarshallingError = -5, "MARSHALLINGERROR";
    /// Unknown operation (the connection is then closed), or one that is switched off.
    Unimplemented = -6, "UNIMPLEMENTED";
    /// Made by clients only.
    OperationTimeout = -7, "OPERATIONTIMEOUT";
    /// Malformed path, flags, TTL or reconfiguration.
    BadArguments = -8, "BADARGUMENTS";
    /// Internal; Java clients cannot map it.
    UnknownSession = -12, "UNKNOWNSESSION";
    /// No quorum of the new configuration is in sync.
    NewConfigNoQuorum = -13, "NEWCONFIGNOQUORUM";
    /// Another reconfiguration is not finished.
    ReconfigInProgress = -14, "RECONFIGINPROGRESS";
    /// Marks the range of API errors; never sent.
    ApiError = -100, "APIERROR";
    /// The node, or the parent of the node to create, does not exist.
    NoNode = -101, "NONODE";
    /// The ACL refuses.
    NoAuth = -102, "NOAUTH";
    /// The version differs from the one expected.
    BadVersion = -103, "BADVERSION";
    /// The parent is ephemeral.
    NoChildrenForEphemerals = -108, "NOCHILDRENFOREPHEMERALS";
    /// The node exists already.
    NodeExists = -110, "NODEEXISTS";
    /// The node has children.
    NotEmpty = -111, "NOTEMPTY";
    /// The session is being closed.
    SessionExpired = -112, "SESSIONEXPIRED";
    /// Made by clients only.
    InvalidCallback = -113, "INVALIDCALLBACK";
    /// The ACL is empty, or a scheme or id in it is not valid.
    InvalidAcl = -114, "INVALIDACL";
    /// Authentication failed; the connection is then closed.
    AuthFailed = -115, "AUTHFAILED";
    /// Internal: the session is served elsewhere. The connection is closed without a reply.
    SessionMoved = -118, "SESSIONMOVED";
    /// A write, on a read-only server.
    NotReadOnly = -119, "NOTREADONLY";
    /// A local session asked for an ephemeral node.
    EphemeralOnLocalSession = -120, "EPHEMERALONLOCALSESSION";
    /// No such watch to check or remove.
    NoWatcher = -121, "NOWATCHER";
    /// Made by clients only.
    RequestTimeout = -122, "REQUESTTIMEOUT";
    /// Reconfiguration is switched off.
    ReconfigDisabled = -123, "RECONFIGDISABLED";
    /// The server demands authentication; the connection is then closed.
    SessionClosedRequireSaslAuth = -124, "SESSIONCLOSEDREQUIRESASLAUTH";
    /// A hard quota would be exceeded.
    QuotaExceeded = -125, "QUOTAEXCEEDED";
    /// Queued for too long and not executed. There is no -126.
    ThrottledOp = -127, "THROTTLEDOP";
}

impl Code {
    /// The number on the wire.
    pub const fn to_i32(self) -> i32 {
        self as i32
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl core::error::Error for Code {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_comes_back_from_its_number() {
        for &code in Code::ALL {
            assert_eq!(Code::from_i32(code.to_i32()), Some(code));
        }
        for absent in [1, -9, -99, -126, -128, i32::MIN, i32::MAX] {
            assert_eq!(Code::from_i32(absent), None, "{absent}");
        }
    }
}
