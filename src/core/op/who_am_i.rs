//! whoAmI.

use alloc::borrow::Cow;

use jute::Encode;
use zk_wire::client::{ClientInfo, WhoAmIResponse};

use super::{Read, Stop};

/// Answers a whoAmI: scheme and user of each identity.
///
/// # Errors
/// None.
pub fn read(r: &mut Read<'_>) -> Result<(), Stop> {
    let info = r
        .ids
        .iter()
        .map(|identity| ClientInfo {
            scheme: Some(Cow::Borrowed(&*identity.scheme)),
            user: Some(Cow::Borrowed(r.config.providers.user_name(identity))),
        })
        .collect();
    WhoAmIResponse { info: Some(info) }.encode(r.out);
    Ok(())
}
