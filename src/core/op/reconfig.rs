//! reconfig, as a standalone server answers it.

use zk_wire::Code;

use super::Stop;

/// Judges a reconfig. `enabled` is `reconfigEnabled`.
///
/// # Errors
/// RECONFIGDISABLED; UNIMPLEMENTED where it is enabled, for there is no ensemble to change.
pub fn prepare(enabled: bool) -> Result<core::convert::Infallible, Stop> {
    Err(if enabled {
        Code::Unimplemented
    } else {
        Code::ReconfigDisabled
    }
    .into())
}
