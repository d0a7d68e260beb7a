//! Identities and access control lists.

use std::rc::Rc;

use zk_wire::client::Acl;

use super::Rules;

/// Read.
pub const READ: i32 = 1;
/// Set data.
pub const WRITE: i32 = 2;
/// Create children.
pub const CREATE: i32 = 4;
/// Delete children.
pub const DELETE: i32 = 8;
/// Set the list.
pub const ADMIN: i32 = 16;

/// Scheme and id of a client.
pub type Identity = (String, String);
/// The identities of a connection.
pub type Ids = Rc<[Identity]>;

/// One entry of a list.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Entry {
    /// Scheme.
    pub scheme: String,
    /// Who.
    pub id: String,
    /// Permission bits.
    pub perms: i32,
}

/// A list.
pub type AclList = Rc<[Entry]>;

/// Anyone, with these permissions.
pub fn world(perms: i32) -> AclList {
    Rc::from([Entry {
        scheme: "world".into(),
        id: "anyone".into(),
        perms,
    }])
}

/// What an auth packet of a client at `address` adds, or `None` when it fails.
///
/// The hash of a user's password is the core's, which has its own tests.
pub fn authenticate(
    rules: &Rules,
    scheme: Option<&str>,
    token: Option<&[u8]>,
    address: &str,
) -> Option<Vec<Identity>> {
    use zk_core::auth::digest::{Algorithm, generate};
    match scheme? {
        "digest" => {
            let text = String::from_utf8_lossy(token?).into_owned();
            let mut ids = vec![(String::from("digest"), generate(Algorithm::Sha1, &text))];
            if rules.super_user.as_ref() == Some(&text) {
                ids.push(("super".into(), String::new()));
            }
            Some(ids)
        }
        "ip" => Some(vec![("ip".into(), address.into())]),
        _ => None,
    }
}

/// Whether `ids` may do one of `wanted`.
pub fn allows(acl: &[Entry], wanted: i32, ids: &[Identity]) -> bool {
    if acl.is_empty() || ids.iter().any(|(scheme, _)| scheme == "super") {
        return true;
    }
    acl.iter().any(|entry| {
        entry.perms & wanted != 0
            && ((entry.scheme == "world" && entry.id == "anyone")
                || ids.iter().any(|(scheme, id)| {
                    *scheme == entry.scheme
                        && match scheme.as_str() {
                            "digest" => *id == entry.id,
                            "ip" => in_network(id, &entry.id),
                            _ => false,
                        }
                }))
    })
}

fn address(text: &str) -> Option<u32> {
    let parts: Vec<&str> = text.split('.').collect();
    if parts.len() != 4 {
        return None;
    }
    parts.iter().try_fold(0_u32, |sum, part| {
        let number: u8 = part.parse().ok()?;
        Some(sum << 8 | u32::from(number))
    })
}

/// The simulator's clients have IPv4 addresses only.
fn network(text: &str) -> Option<(u32, u32)> {
    let (at, bits) = text.split_once('/').unwrap_or((text, "32"));
    let bits: u32 = bits.parse().ok()?;
    (bits <= 32).then_some((address(at)?, bits))
}

fn in_network(id: &str, expression: &str) -> bool {
    match (address(id), network(expression)) {
        (Some(client), Some((net, bits))) => {
            bits == 0 || client >> (32 - bits) == net >> (32 - bits)
        }
        _ => false,
    }
}

/// Checks a list that a client sent, and expands `auth`.
///
/// # Errors
/// The code of the refusal.
pub fn fix_up(acl: &jute::List<Acl<'_>>, ids: &[Identity]) -> Result<AclList, i32> {
    let given = acl.as_deref().unwrap_or_default();
    let mut seen: Vec<&Acl<'_>> = Vec::new();
    let mut list = Vec::new();
    for entry in given {
        // Field by field; a null that the comparison gets to fails the request.
        let mut double = false;
        for earlier in seen.iter().filter(|earlier| earlier.perms == entry.perms) {
            let scheme = entry.id.scheme.as_ref().ok_or(-5)?;
            if earlier.id.scheme.as_ref() == Some(scheme) {
                let id = entry.id.id.as_ref().ok_or(-5)?;
                double |= earlier.id.id.as_ref() == Some(id);
            }
        }
        if !double {
            seen.push(entry);
        }
    }
    if seen.is_empty() {
        return Err(-114);
    }
    for entry in seen {
        let perms = entry.perms;
        let Some(scheme) = entry.id.scheme.as_deref() else {
            return Err(-114);
        };
        if scheme == "auth" {
            let digests = ids.iter().filter(|(scheme, _)| scheme == "digest");
            let before = list.len();
            list.extend(digests.map(|(scheme, id)| Entry {
                scheme: scheme.clone(),
                id: id.clone(),
                perms,
            }));
            if list.len() == before {
                return Err(-114);
            }
            continue;
        }
        let known = matches!(scheme, "world" | "digest" | "ip");
        let Some(id) = entry.id.id.as_deref() else {
            return Err(if known { -5 } else { -114 });
        };
        let good = match scheme {
            "world" => id == "anyone",
            "digest" => {
                let mut parts: Vec<&str> = id.split(':').collect();
                while parts.last() == Some(&"") {
                    parts.pop();
                }
                parts.len() == 2
            }
            "ip" => network(id).is_some(),
            _ => false,
        };
        if !good {
            return Err(-114);
        }
        list.push(Entry {
            scheme: scheme.into(),
            id: id.into(),
            perms,
        });
    }
    Ok(list.into())
}
