//! Authentication schemes and the judgement of access control lists.
//!
//! Knows world, auth, digest, ip, ensemble and super. It does not know connections: who a client
//! is comes in as a list of identities, the client's address as text.

pub mod digest;
pub mod ip;

use alloc::borrow::Cow;
use alloc::boxed::Box;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;

use zk_wire::Code;
use zk_wire::client::Acl;

use crate::acl::{Entry, Identity, Ids, List};

/// The schemes that are on, and their settings.
#[derive(Clone, Debug)]
pub struct Providers {
    /// `zookeeper.DigestAuthenticationProvider.enabled`.
    pub digest: bool,
    /// `zookeeper.DigestAuthenticationProvider.digestAlg`.
    pub digest_algorithm: digest::Algorithm,
    /// `zookeeper.DigestAuthenticationProvider.superDigest`.
    pub super_digest: Option<Box<str>>,
    /// The ensemble scheme's names, if the provider is configured.
    pub ensemble: Option<Vec<String>>,
    /// `zookeeper.skipACL=yes`.
    pub skip_acl: bool,
    /// `zookeeper.enforce.auth.schemes`, if it is enforced: a connection without an identity of one
    /// of them is refused.
    pub enforced: Option<Vec<String>>,
}

impl Default for Providers {
    fn default() -> Self {
        Providers {
            digest: true,
            digest_algorithm: digest::Algorithm::Sha1,
            super_digest: None,
            ensemble: None,
            skip_acl: false,
            enforced: None,
        }
    }
}

/// What an auth packet leads to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Identities to add; none is possible.
    Accepted(Vec<Identity>),
    /// AUTHFAILED, then the connection is closed.
    Failed,
    /// Closed without a reply, so that the client tries another ensemble.
    Closed,
}

impl Providers {
    /// Judges an auth packet of a client at `address`.
    pub fn authenticate(
        &self,
        scheme: Option<&str>,
        token: Option<&[u8]>,
        address: &str,
    ) -> Outcome {
        match scheme {
            Some("digest") if self.digest => {
                let Some(token) = token else {
                    return Outcome::Failed;
                };
                let text = String::from_utf8_lossy(token);
                let id = digest::generate(self.digest_algorithm, &text);
                let mut ids = Vec::new();
                if self.super_digest.as_deref() == Some(id.as_str()) {
                    ids.push(Identity {
                        scheme: "super".into(),
                        id: "".into(),
                    });
                }
                ids.push(Identity {
                    scheme: "digest".into(),
                    id: id.into(),
                });
                Outcome::Accepted(ids)
            }
            Some("ip") => Outcome::Accepted(Vec::from([Identity {
                scheme: "ip".into(),
                id: address.into(),
            }])),
            Some("ensemble") => match (&self.ensemble, token) {
                (None, _) => Outcome::Failed,
                (Some(_), None) => Outcome::Accepted(Vec::new()),
                (Some(names), Some(token)) => {
                    let name = String::from_utf8_lossy(token);
                    if name.is_empty() || names.is_empty() || names.iter().any(|n| **n == *name) {
                        Outcome::Accepted(Vec::new())
                    } else {
                        Outcome::Closed
                    }
                }
            },
            _ => Outcome::Failed,
        }
    }

    fn exists(&self, scheme: &str) -> bool {
        match scheme {
            "ip" => true,
            "digest" => self.digest,
            "ensemble" => self.ensemble.is_some(),
            _ => false,
        }
    }

    /// Whether the scheme's identities stand in for `auth`.
    fn authenticated(&self, scheme: &str) -> bool {
        scheme == "digest" && self.digest
    }

    /// Whether `id` may stand in a list under `scheme`.
    fn valid(&self, scheme: &str, id: &str) -> bool {
        match scheme {
            "ip" => ip::valid(id),
            "digest" => self.digest && digest::valid(id),
            _ => false,
        }
    }

    fn matches(&self, scheme: &str, id: &str, expression: &str) -> bool {
        match scheme {
            "ip" => ip::matches(id, expression),
            "digest" => self.digest && id == expression,
            _ => false,
        }
    }

    /// The name that whoAmI shows for an identity.
    pub fn user_name<'a>(&self, identity: &'a Identity) -> &'a str {
        match &*identity.scheme {
            "digest" if self.digest => identity.id.split(':').next().unwrap_or(""),
            scheme if self.exists(scheme) => &identity.id,
            _ => "",
        }
    }

    /// Whether a client with `ids` has any of the bits of `wanted` under `list`.
    pub fn allows(&self, list: &[Entry], wanted: i32, ids: &[Identity]) -> bool {
        if self.skip_acl || list.is_empty() || ids.iter().any(|id| &*id.scheme == "super") {
            return true;
        }
        list.iter()
            .filter(|entry| entry.perms & wanted != 0)
            .any(|entry| {
                let Some(id) = entry.id.as_deref() else {
                    return false;
                };
                if &*entry.scheme == "world" && id == "anyone" {
                    return true;
                }
                ids.iter()
                    .any(|who| who.scheme == entry.scheme && self.matches(&who.scheme, &who.id, id))
            })
    }

    /// Checks a list that a client sent and expands `auth`, as Java's `fixupACL`.
    ///
    /// # Errors
    /// INVALIDACL; MARSHALLINGERROR for a null id text, which stops Java's check midway.
    pub fn fixup(&self, acl: &jute::List<Acl<'_>>, ids: &[Identity]) -> Result<List, Code> {
        let mut unique: Vec<&Acl<'_>> = Vec::new();
        for entry in acl.iter().flatten() {
            if !contains(&unique, entry)? {
                unique.push(entry);
            }
        }
        if unique.is_empty() {
            return Err(Code::InvalidAcl);
        }
        let mut list = Vec::with_capacity(unique.len());
        for entry in unique {
            let Some(scheme) = entry.id.scheme.as_deref() else {
                return Err(Code::InvalidAcl);
            };
            if scheme == "auth" {
                let before = list.len();
                for who in ids.iter().filter(|who| self.authenticated(&who.scheme)) {
                    list.push(Entry {
                        perms: entry.perms,
                        scheme: who.scheme.clone(),
                        id: Some(who.id.clone()),
                    });
                }
                if list.len() == before {
                    return Err(Code::InvalidAcl);
                }
                continue;
            }
            let Some(id) = entry.id.id.as_deref() else {
                // Java dereferences the id under `world` and in every provider that it finds.
                return Err(if scheme == "world" || self.exists(scheme) {
                    Code::MarshallingError
                } else {
                    Code::InvalidAcl
                });
            };
            if (scheme == "world" && id == "anyone") || self.valid(scheme, id) {
                list.push(Entry {
                    perms: entry.perms,
                    scheme: scheme.into(),
                    id: Some(id.into()),
                });
            } else {
                return Err(Code::InvalidAcl);
            }
        }
        Ok(Arc::from(list))
    }
}

/// Whether `entry` is among `list`, compared field by field as Java does it: perms, scheme, id. A null
/// scheme or id fails only where the comparison gets to it.
///
/// # Errors
/// MARSHALLINGERROR, where Java dereferences null.
fn contains(list: &[&Acl<'_>], entry: &Acl<'_>) -> Result<bool, Code> {
    for other in list.iter().filter(|other| other.perms == entry.perms) {
        let scheme = entry.id.scheme.as_deref().ok_or(Code::MarshallingError)?;
        if other.id.scheme.as_deref() != Some(scheme) {
            continue;
        }
        let id = entry.id.id.as_deref().ok_or(Code::MarshallingError)?;
        if other.id.id.as_deref() == Some(id) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// A list as it came in a transaction: nothing is checked, null schemes become empty.
pub fn list_of(acl: &jute::List<Acl<'_>>) -> List {
    acl.iter()
        .flatten()
        .map(|entry| Entry {
            perms: entry.perms,
            scheme: entry.id.scheme.as_deref().unwrap_or("").into(),
            id: entry.id.id.as_deref().map(Into::into),
        })
        .collect()
}

/// A list in the wire's form.
pub fn wire_list(list: &[Entry]) -> Vec<Acl<'_>> {
    list.iter()
        .map(|entry| Acl {
            perms: entry.perms,
            id: zk_wire::client::Id {
                scheme: Some(Cow::Borrowed(&*entry.scheme)),
                id: entry.id.as_deref().map(Cow::Borrowed),
            },
        })
        .collect()
}

/// The identities of a client before any auth packet: its IP address, as Java prints it.
pub fn of_address(address: &str) -> Ids {
    Arc::from([Identity {
        scheme: "ip".into(),
        id: address.into(),
    }])
}

/// The address among a client's identities. They begin with it and none is ever taken away; an auth
/// packet of its scheme adds the same one.
pub fn address(ids: &[Identity]) -> &str {
    ids.iter()
        .find(|identity| &*identity.scheme == "ip")
        .map_or("", |identity| &identity.id)
}

/// `ids` with `more` added, in the order in which Java's hash set would list them: whoAmI and the
/// expansion of `auth` show it.
pub fn with(ids: &Ids, more: Vec<Identity>) -> Ids {
    let mut all: Vec<Identity> = ids.to_vec();
    for identity in more {
        if !all.contains(&identity) {
            all.push(identity);
        }
    }
    // ConcurrentHashMap: 16 buckets, doubled when three quarters are used.
    let mut buckets = 16_usize;
    while all.len() >= buckets - buckets / 4 {
        buckets *= 2;
    }
    all.sort_by_key(|identity| (spread(identity) as usize) & (buckets - 1));
    Arc::from(all)
}

fn java_hash(text: &str) -> i32 {
    text.encode_utf16().fold(0_i32, |hash, unit| {
        hash.wrapping_mul(31).wrapping_add(i32::from(unit))
    })
}

fn spread(identity: &Identity) -> u32 {
    let hash = [&identity.scheme, &identity.id]
        .iter()
        .fold(17_i32, |hash, text| {
            hash.wrapping_mul(37).wrapping_add(java_hash(text))
        });
    let hash = hash as u32;
    (hash ^ (hash >> 16)) & 0x7fff_ffff
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(scheme: &str, id: &str) -> Identity {
        Identity {
            scheme: scheme.into(),
            id: id.into(),
        }
    }

    #[test]
    fn any_wanted_bit_is_enough() {
        let p = Providers::default();
        let list = [crate::acl::world(crate::acl::perm::READ)];
        assert!(p.allows(&list, 17, &[]));
        assert!(!p.allows(&list, 16, &[]));
        assert!(p.allows(&list, 16, &[id("super", "")]));
        assert!(p.allows(&[], 16, &[]));
    }

    #[test]
    fn super_digest_keeps_the_digest_identity() {
        let p = Providers {
            super_digest: Some(digest::generate(digest::Algorithm::Sha1, "super:secret").into()),
            ..Providers::default()
        };
        let Outcome::Accepted(ids) =
            p.authenticate(Some("digest"), Some(b"super:secret"), "127.0.0.1")
        else {
            panic!("refused");
        };
        assert_eq!(ids.len(), 2);
        assert_eq!(&*ids[0].scheme, "super");
    }

    #[test]
    fn nulls_in_a_list_fail_where_two_entries_are_compared() {
        fn entry<'a>(perms: i32, scheme: Option<&'a str>, id: Option<&'a str>) -> Acl<'a> {
            let id = zk_wire::client::Id {
                scheme: scheme.map(Cow::Borrowed),
                id: id.map(Cow::Borrowed),
            };
            Acl { perms, id }
        }
        let p = Providers::default();
        let fixup = |list: &[Acl<'_>]| p.fixup(&Some(list.to_vec()), &[]).map(|list| list.len());
        let world = entry(31, Some("world"), Some("anyone"));
        let no_scheme = entry(31, None, Some("x"));
        let other_perms = entry(1, None, Some("x"));
        let no_id = entry(31, Some("nosuch"), None);
        assert_eq!(
            fixup(&[world.clone(), no_scheme.clone()]),
            Err(Code::MarshallingError)
        );
        assert_eq!(fixup(&[no_scheme, world.clone()]), Err(Code::InvalidAcl));
        assert_eq!(fixup(&[world.clone(), other_perms]), Err(Code::InvalidAcl));
        assert_eq!(
            fixup(&[world.clone(), no_id.clone()]),
            Err(Code::InvalidAcl)
        );
        assert_eq!(
            fixup(&[no_id.clone(), no_id, world.clone()]),
            Err(Code::MarshallingError)
        );
        assert_eq!(fixup(&[world.clone(), world]), Ok(1));
    }
}
