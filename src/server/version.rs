//! The versions that the server names.

/// Our own version.
pub const OWN: &str = env!("CARGO_PKG_VERSION");

/// When the binary was built, as `yyyy-MM-dd HH:mm UTC`.
pub const BUILT_ON: &str = env!("ZABKEEPER_BUILT_ON");

/// What `srvr` and its kin say, from which clients choose their features.
pub fn text() -> String {
    zk_ops::four_letter::version_text(OWN, BUILT_ON)
}
