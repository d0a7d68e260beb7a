//! sync: ordered with the session's requests, and on a standalone server nothing more.

use alloc::vec::Vec;

use jute::Encode;
use zk_wire::client::{PathRequest, PathResponse};

use super::{Stop, decode};

/// The reply's body: the path, unchecked.
///
/// # Errors
/// MARSHALLINGERROR.
pub fn answer(body: &[u8], max_field: usize) -> Result<Vec<u8>, Stop> {
    let request: PathRequest<'_> = decode(body, max_field)?;
    Ok(PathResponse { path: request.path }.to_vec())
}
