//! reconfig: the next configuration of the ensemble, and its transaction.
//!
//! It does not know how a configuration comes into force, nor names: whether two servers claim one
//! address is judged by the text of the addresses, where Java compares what they resolve to.

use alloc::collections::BTreeSet;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;

use zk_wire::client::ReconfigRequest;
use zk_wire::quorum::config::{ConfigError, Member, QuorumConfig};
use zk_wire::txn::TxnBody;
use zk_wire::{Code, OpCode};
use zk_zab::quorum::Verifier;

use super::{Prep, Stop};
use crate::acl::perm;

/// The node that has the configuration.
pub const CONFIG: &str = "/zookeeper/config";

/// What a leader judges a reconfiguration by.
#[derive(Clone, Debug)]
pub struct Membership {
    /// Version of the configuration in force.
    pub committed: i64,
    /// The configuration that was proposed last; the one in force if none is under way.
    pub last_seen: Arc<QuorumConfig>,
    /// The leader, and every learner that is connected and in sync.
    pub synced: BTreeSet<i64>,
    /// `standaloneEnabled`: then there must be two voters.
    pub standalone_enabled: bool,
    /// `multiAddress.enabled`.
    pub multi_address: bool,
}

/// Judges a reconfig. Without a membership there is no ensemble to change. The new
/// configuration's text is put into `text`.
///
/// # Errors
/// RECONFIGDISABLED, unless `reconfigEnabled`; UNIMPLEMENTED on a standalone server;
/// RECONFIGINPROGRESS, BADVERSION, BADARGUMENTS, MARSHALLINGERROR, NEWCONFIGNOQUORUM, NOAUTH.
pub fn prepare<'a>(
    p: &mut Prep<'_>,
    request: &ReconfigRequest<'_>,
    text: &'a mut String,
) -> Result<TxnBody<'a>, Stop> {
    if !p.config.reconfig_enabled {
        return Err(Code::ReconfigDisabled.into());
    }
    let Some(membership) = p.membership else {
        return Err(Code::Unimplemented.into());
    };
    p.check_session()?;
    if p.proposed_config > membership.committed {
        // Whoever tells the membership has not heard of it yet.
        return Err(Code::ReconfigInProgress.into());
    }
    let next = next(membership, request, p.zxid.0)?;
    let before = p.record(CONFIG)?;
    p.check_acl(&before.acl, perm::WRITE)?;
    *text = next.text();
    let mut after = before.clone();
    after.stat.version = -1;
    after.stat.mtime = p.time_ms;
    after.stat.mzxid = p.zxid.0;
    after.data_len = text.len();
    // The node has no part in the digest, and so its checksum has none.
    p.set(CONFIG, Some(&before), Some(after));
    Ok(TxnBody::SetData {
        op: OpCode::Reconfig,
        path: Some(CONFIG.into()),
        data: Some(text.as_bytes()),
        version: -1,
    })
}

/// The configuration that a request makes, of the version `zxid`.
///
/// # Errors
/// As [`prepare`], in Java's order.
pub fn next(
    membership: &Membership,
    request: &ReconfigRequest<'_>,
    zxid: i64,
) -> Result<QuorumConfig, Code> {
    let last_seen = &*membership.last_seen;
    if last_seen.version != membership.committed {
        return Err(Code::ReconfigInProgress);
    }
    if request.config_id != -1 && request.config_id != last_seen.version {
        return Err(Code::BadVersion);
    }
    let mut next = match request.new_members.as_deref() {
        Some(text) => whole(membership, text)?,
        None => changed(membership, request)?,
    };
    next.version = zxid;
    let least = if membership.standalone_enabled { 2 } else { 1 };
    if next.voters().count() < least {
        return Err(Code::BadArguments);
    }
    let synced = |sid: zk_zab::Sid| membership.synced.contains(&sid.0);
    if !Verifier::of(&next).has_quorum(synced) {
        return Err(Code::NewConfigNoQuorum);
    }
    Ok(next)
}

/// Lines for all members, separated by commas or line ends.
fn whole(membership: &Membership, text: &str) -> Result<QuorumConfig, Code> {
    let lines = text.replace(',', "\n");
    let config = QuorumConfig::parse(&lines, membership.multi_address).map_err(|it| code(&it))?;
    config
        .check_voters(membership.standalone_enabled)
        .map_err(|it| code(&it))?;
    Ok(config)
}

/// What Java throws of its own is answered as such; what it stumbles over is not foreseen.
fn code(error: &ConfigError) -> Code {
    match error {
        ConfigError::Properties(_)
        | ConfigError::NotANumber(_)
        | ConfigError::NotHexadecimal(_)
        | ConfigError::NoWeight(_)
        | ConfigError::NoVoter
        | ConfigError::OnlyObservers
        | ConfigError::OneVoterWithObservers => Code::MarshallingError,
        ConfigError::UnknownKey(_)
        | ConfigError::Form(_)
        | ConfigError::NoBracket(_)
        | ConfigError::NoPort(_)
        | ConfigError::Port(_)
        | ConfigError::SamePorts(_)
        | ConfigError::Role(_)
        | ConfigError::RolesDiffer(_)
        | ConfigError::SeveralAddresses(_)
        | ConfigError::SeveralGroups(_)
        | ConfigError::NoGroup(_) => Code::BadArguments,
    }
}

/// Members that leave, and members that join or change, of a configuration without groups.
fn changed(membership: &Membership, request: &ReconfigRequest<'_>) -> Result<QuorumConfig, Code> {
    if membership.last_seen.is_hierarchical() {
        return Err(Code::BadArguments);
    }
    let mut members = membership.last_seen.members.clone();
    for sid in parts(request.leaving.as_deref(), ',') {
        members.remove(&number(sid)?);
    }
    for joiner in parts(request.joining.as_deref(), ',') {
        let [key, spec] = parts(Some(joiner), '=')[..] else {
            return Err(Code::BadArguments);
        };
        let sid = number(key.rsplit('.').next().unwrap_or(key))?;
        let member = Member::parse(sid, spec, membership.multi_address).map_err(|it| code(&it))?;
        if member.client.is_none() {
            return Err(Code::BadArguments);
        }
        let claimed = addresses(&member);
        let clashes = members
            .iter()
            .any(|(other, it)| *other != sid && !addresses(it).is_disjoint(&claimed));
        if clashes {
            return Err(Code::BadArguments);
        }
        members.insert(sid, member);
    }
    Ok(QuorumConfig {
        members,
        ..QuorumConfig::default()
    })
}

/// As Java splits lists: parts are trimmed, and empty ones are none.
fn parts(text: Option<&str>, separator: char) -> Vec<&str> {
    let trimmed = text.unwrap_or_default().split(separator);
    trimmed
        .map(|part| part.trim_matches(|c| c <= ' '))
        .filter(|part| !part.is_empty())
        .collect()
}

fn number(text: &str) -> Result<i64, Code> {
    zk_wire::text::java::parse_long(text).ok_or(Code::MarshallingError)
}

/// What a member claims for itself alone: not what every machine has.
fn addresses(member: &Member) -> BTreeSet<(String, u16)> {
    let shared = |host: &str| {
        let host = host.trim_matches(['[', ']']);
        host == "0.0.0.0"
            || host == "::"
            || host == "0:0:0:0:0:0:0:0"
            || host == "::1"
            || host == "0:0:0:0:0:0:0:1"
            || host.eq_ignore_ascii_case("localhost")
            || host.starts_with("127.")
    };
    let quorum = member.addresses.iter().map(|it| (&it.host, it.quorum));
    let election = member.addresses.iter().map(|it| (&it.host, it.election));
    let client = member.client.iter().map(|it| (&it.host, it.port));
    quorum
        .chain(election)
        .chain(client)
        .filter(|(host, _)| !shared(host))
        .map(|(host, port)| (host.to_ascii_lowercase(), port))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(text: &str) -> QuorumConfig {
        QuorumConfig::parse(text, false).expect("a configuration")
    }

    fn three() -> Membership {
        let lines = "server.1=a:1:2;5\nserver.2=b:1:2;5\nserver.3=c:1:2:observer;5\nversion=7";
        Membership {
            committed: 7,
            last_seen: Arc::new(config(lines)),
            synced: [1, 2, 3].into(),
            standalone_enabled: true,
            multi_address: false,
        }
    }

    fn ask<'a>(joining: &'a str, leaving: &'a str) -> ReconfigRequest<'a> {
        let part = |text: &'a str| (!text.is_empty()).then(|| text.into());
        ReconfigRequest {
            joining: part(joining),
            leaving: part(leaving),
            new_members: None,
            config_id: -1,
        }
    }

    fn all(members: &str) -> ReconfigRequest<'_> {
        ReconfigRequest {
            new_members: Some(members.into()),
            config_id: -1,
            ..Default::default()
        }
    }

    fn sids(of: Result<QuorumConfig, Code>) -> Result<Vec<i64>, Code> {
        of.map(|config| config.members.keys().copied().collect())
    }

    #[test]
    fn members_come_and_go_and_change() {
        let next = |joining, leaving| next(&three(), &ask(joining, leaving), 9);
        assert_eq!(sids(next("server.4=d:1:2;5", "3")), Ok([1, 2, 4].into()));
        assert_eq!(
            sids(next(" server.4 = d:1:2;5 ,, x.5=e:1:2:observer;5", "")),
            Ok([1, 2, 3, 4, 5].into())
        );
        let changed = next("server.3=c:1:2:participant;5", "").expect("changed");
        assert_eq!((changed.version, changed.voters().count()), (9, 3));
        assert_eq!(sids(next("", "77")), Ok([1, 2, 3].into()));
        // Joined behind the leaving: a server may do both.
        assert_eq!(sids(next("server.1=z:1:2;5", "1")), Ok([1, 2, 3].into()));
    }

    #[test]
    fn what_is_wrong_with_a_change() {
        let next = |joining, leaving| sids(next(&three(), &ask(joining, leaving), 9));
        for joining in [
            "server.4",
            "server.4=d:1:2",
            "server.4=d:1;5",
            "server.4=d:1:1;5",
            "server.4=d:1:2;5=x",
            "server.4=A:1:9;8",
            "server.4=d:9:2;8,server.5=d:2:7;6",
            "server.4=d:1:2:voter;5",
        ] {
            assert_eq!(next(joining, ""), Err(Code::BadArguments), "{joining}");
        }
        assert_eq!(next("server.x=d:1:2;5", ""), Err(Code::MarshallingError));
        assert_eq!(next("", "one"), Err(Code::MarshallingError));
        assert_eq!(next("", "2"), Err(Code::BadArguments), "one voter");
        // What every machine calls itself is nobody's own.
        let local = "server.4=127.0.0.1:1:2;5,server.5=127.0.0.1:1:2:observer;5";
        assert!(next(local, "").is_ok());
    }

    #[test]
    fn a_whole_new_list() {
        let next = |text| next(&three(), &all(text), 9);
        let two = next("server.1=a:1:2;5,server.2=b:1:2;5").expect("a list");
        assert_eq!(two.text().rsplit('\n').next(), Some("version=9"));
        assert_eq!(two.members.len(), 2);
        assert!(next("server.1=a:1:2;5\nserver.2=b:1:2;5\nversion=77").is_ok());
        let weighted = "server.1=a:1:2,server.2=b:1:2,group.1=1:2,weight.1=1,weight.2=1";
        assert!(next(weighted).is_ok());
        for (text, code) in [
            ("", Code::BadArguments),
            ("server.1=a:1:2", Code::BadArguments),
            ("client=5", Code::BadArguments),
            ("server.1=a:1", Code::BadArguments),
            ("server.x=a:1:2", Code::MarshallingError),
            ("server.3=a:1:2:observer", Code::MarshallingError),
            (
                "server.1=a:1:2,server.3=c:1:2:observer",
                Code::MarshallingError,
            ),
        ] {
            assert_eq!(next(text), Err(code), "{text}");
        }
    }

    #[test]
    fn the_order_of_the_checks() {
        let mut m = three();
        m.committed = 6;
        assert_eq!(next(&m, &all("?"), 9), Err(Code::ReconfigInProgress));
        m.committed = 7;
        let mut request = all("?");
        request.config_id = 6;
        assert_eq!(next(&m, &request, 9), Err(Code::BadVersion));
        request.config_id = 7;
        assert_eq!(next(&m, &request, 9), Err(Code::BadArguments));
        m.synced = [1].into();
        assert_eq!(next(&m, &ask("", "2"), 9), Err(Code::BadArguments));
        assert_eq!(next(&m, &ask("", ""), 9), Err(Code::NewConfigNoQuorum));
        m.standalone_enabled = false;
        assert_eq!(sids(next(&m, &ask("", "2"), 9)), Ok([1, 3].into()));
    }

    #[test]
    fn groups_are_changed_as_a_whole_only() {
        let mut m = three();
        let lines =
            "server.1=a:1:2\nserver.2=b:1:2\ngroup.1=1:2\nweight.1=1\nweight.2=1\nversion=7";
        m.last_seen = Arc::new(config(lines));
        assert_eq!(next(&m, &ask("", "2"), 9), Err(Code::BadArguments));
        assert!(next(&m, &all("server.1=a:1:2,server.2=b:1:2"), 9).is_ok());
    }
}
