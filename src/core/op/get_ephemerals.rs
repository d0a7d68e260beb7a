//! getEphemerals: the session's own, by a prefix of the text.

use alloc::borrow::Cow;

use jute::Encode;
use zk_wire::client::{EphemeralsResponse, PrefixRequest};

use super::{Read, Stop, decode};

/// Answers a getEphemerals. A null, blank or `/` prefix means all. No access check.
///
/// # Errors
/// MARSHALLINGERROR.
pub fn read(r: &mut Read<'_>, body: &[u8]) -> Result<(), Stop> {
    let request: PrefixRequest<'_> = decode(body, r.config.max_field)?;
    // Java's trim takes everything up to the space away.
    let prefix = request.prefix.as_deref().unwrap_or("");
    let trimmed = prefix.trim_matches(|c: char| c <= ' ');
    let all = trimmed.is_empty() || trimmed == "/";
    let ephemerals = r
        .tree
        .ephemerals_of(r.session)
        .filter(|path| all || path.starts_with(prefix))
        .map(|path| Some(Cow::Borrowed(path)))
        .collect();
    EphemeralsResponse {
        ephemerals: Some(ephemerals),
    }
    .encode(r.out);
    Ok(())
}
