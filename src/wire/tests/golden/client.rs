//! The client protocol.

use std::collections::BTreeSet;

use jute::{Decode, Encode, Reader};
use zk_wire::client::*;
use zk_wire::stat::{Stat, StatPersisted};

use crate::Rule;
use crate::cases::{Case, cases, check, check_with, records};
use crate::show;
use crate::show::{Printer, Show, join};

show! {
    Acl<'_> { perms "perms", id "id" }
    AddWatchRequest<'_> { path "path", mode "mode" }
    AclResponse<'_> { acl "acl", stat "stat" }
    AuthPacket<'_> { kind "type", scheme "scheme", auth "auth" }
    CheckRequest<'_> { path "path", version "version" }
    Children2Response<'_> { children "children", stat "stat" }
    ChildrenResponse<'_> { children "children" }
    ClientInfo<'_> { scheme "authScheme", user "user" }
    CountResponse { count "totalNumber" }
    Create2Response<'_> { path "path", stat "stat" }
    CreateRequest<'_> { path "path", data "data", acl "acl", flags "flags" }
    CreateTtlRequest<'_> { path "path", data "data", acl "acl", flags "flags", ttl "ttl" }
    DataResponse<'_> { data "data", stat "stat" }
    DeleteRequest<'_> { path "path", version "version" }
    EphemeralsResponse<'_> { ephemerals "ephemerals" }
    ErrorResponse { err "err" }
    Id<'_> { scheme "scheme", id "id" }
    MultiHeader { op "type", done "done", err "err" }
    PathRequest<'_> { path "path" }
    PathResponse<'_> { path "path" }
    PathWatchRequest<'_> { path "path", watch "watch" }
    PrefixRequest<'_> { prefix "prefixPath" }
    ReconfigRequest<'_> {
        joining "joiningServers", leaving "leavingServers", new_members "newMembers",
        config_id "curConfigId",
    }
    ReconfigResponse<'_> { data "data", stat "stat" }
    ReplyHeader { xid "xid", zxid "zxid", err "err" }
    RequestHeader { xid "xid", op "type" }
    SaslRequest<'_> { token "token" }
    SaslResponse<'_> { token "token" }
    SetAclRequest<'_> { path "path", acl "acl", version "version" }
    SetDataRequest<'_> { path "path", data "data", version "version" }
    SetWatches<'_> {
        relative_zxid "relativeZxid", data "dataWatches", exist "existWatches", child "childWatches",
    }
    SetWatches2<'_> {
        relative_zxid "relativeZxid", data "dataWatches", exist "existWatches", child "childWatches",
        persistent "persistentWatches", persistent_recursive "persistentRecursiveWatches",
    }
    Stat {
        czxid "czxid", mzxid "mzxid", ctime "ctime", mtime "mtime", version "version",
        cversion "cversion", aversion "aversion", ephemeral_owner "ephemeralOwner",
        data_length "dataLength", num_children "numChildren", pzxid "pzxid",
    }
    StatPersisted {
        czxid "czxid", mzxid "mzxid", ctime "ctime", mtime "mtime", version "version",
        cversion "cversion", aversion "aversion", ephemeral_owner "ephemeralOwner", pzxid "pzxid",
    }
    StatResponse { stat "stat" }
    WatcherEvent<'_> { kind "type", state "state", path "path" }
    WatchesRequest<'_> { path "path", kind "type" }
    WhoAmIResponse<'_> { info "clientInfo" }
}

fn show_read_only(read_only: Option<bool>, name: &str, p: &mut Printer) {
    let read_only = read_only.map_or("absent".into(), |b| b.to_string());
    p.line(&join(name, "readOnly"), read_only);
}

impl Show for ConnectRequest<'_> {
    fn show(&self, name: &str, p: &mut Printer) {
        self.protocol_version
            .show(&join(name, "protocolVersion"), p);
        self.last_zxid_seen.show(&join(name, "lastZxidSeen"), p);
        self.timeout.show(&join(name, "timeOut"), p);
        self.session_id.show(&join(name, "sessionId"), p);
        self.passwd.show(&join(name, "passwd"), p);
        show_read_only(self.read_only, name, p);
    }
}

impl Show for ConnectResponse<'_> {
    fn show(&self, name: &str, p: &mut Printer) {
        self.protocol_version
            .show(&join(name, "protocolVersion"), p);
        self.timeout.show(&join(name, "timeOut"), p);
        self.session_id.show(&join(name, "sessionId"), p);
        self.passwd.show(&join(name, "passwd"), p);
        show_read_only(self.read_only, name, p);
    }
}

/// What holds for each case of a record.
type Check = fn(&Case);

/// Java's records and what they are here. Several of Java's are one of ours.
const RECORDS: &[(&str, Check)] = &[
    ("ACL", |c| check::<Acl<'_>>(c)),
    ("AddWatchRequest", |c| check::<AddWatchRequest<'_>>(c)),
    ("AuthPacket", |c| check::<AuthPacket<'_>>(c)),
    ("CheckVersionRequest", |c| check::<CheckRequest<'_>>(c)),
    ("CheckWatchesRequest", |c| check::<WatchesRequest<'_>>(c)),
    ("ClientInfo", |c| check::<ClientInfo<'_>>(c)),
    ("ConnectRequest", |c| check_connect::<ConnectRequest<'_>>(c)),
    ("ConnectResponse", |c| {
        check_connect::<ConnectResponse<'_>>(c)
    }),
    ("Create2Response", |c| check::<Create2Response<'_>>(c)),
    ("CreateRequest", |c| check::<CreateRequest<'_>>(c)),
    ("CreateResponse", |c| check::<PathResponse<'_>>(c)),
    ("CreateTTLRequest", |c| check::<CreateTtlRequest<'_>>(c)),
    ("DeleteRequest", |c| check::<DeleteRequest<'_>>(c)),
    ("ErrorResponse", |c| check::<ErrorResponse>(c)),
    ("ExistsRequest", |c| check::<PathWatchRequest<'_>>(c)),
    ("ExistsResponse", |c| check::<StatResponse>(c)),
    ("GetACLRequest", |c| check::<PathRequest<'_>>(c)),
    ("GetACLResponse", |c| check::<AclResponse<'_>>(c)),
    ("GetAllChildrenNumberRequest", |c| {
        check::<PathRequest<'_>>(c)
    }),
    ("GetAllChildrenNumberResponse", |c| {
        check::<CountResponse>(c)
    }),
    ("GetChildren2Request", |c| check::<PathWatchRequest<'_>>(c)),
    ("GetChildren2Response", |c| {
        check::<Children2Response<'_>>(c)
    }),
    ("GetChildrenRequest", |c| check::<PathWatchRequest<'_>>(c)),
    ("GetChildrenResponse", |c| check::<ChildrenResponse<'_>>(c)),
    ("GetDataRequest", |c| check::<PathWatchRequest<'_>>(c)),
    // A reconfig is answered in the form of a getData.
    ("GetDataResponse", |c| {
        check::<DataResponse<'_>>(c);
        check::<ReconfigResponse<'_>>(c);
    }),
    ("GetEphemeralsRequest", |c| check::<PrefixRequest<'_>>(c)),
    ("GetEphemeralsResponse", |c| {
        check::<EphemeralsResponse<'_>>(c)
    }),
    ("GetSASLRequest", |c| check::<SaslRequest<'_>>(c)),
    ("Id", |c| check::<Id<'_>>(c)),
    ("MultiHeader", |c| check::<MultiHeader>(c)),
    ("MultiOperationRecord", |c| check::<Ops<'_>>(c)),
    ("MultiResponse", |c| check::<Results<'_>>(c)),
    ("ReconfigRequest", |c| check::<ReconfigRequest<'_>>(c)),
    ("RemoveWatchesRequest", |c| check::<WatchesRequest<'_>>(c)),
    ("ReplyHeader", |c| check::<ReplyHeader>(c)),
    ("RequestHeader", |c| check::<RequestHeader>(c)),
    ("SetACLRequest", |c| check::<SetAclRequest<'_>>(c)),
    ("SetACLResponse", |c| check::<StatResponse>(c)),
    ("SetDataRequest", |c| check::<SetDataRequest<'_>>(c)),
    ("SetDataResponse", |c| check::<StatResponse>(c)),
    ("SetSASLRequest", |c| check::<SaslRequest<'_>>(c)),
    ("SetSASLResponse", |c| check::<SaslResponse<'_>>(c)),
    ("SetWatches", |c| check::<SetWatches<'_>>(c)),
    ("SetWatches2", |c| check::<SetWatches2<'_>>(c)),
    ("Stat", |c| check::<Stat>(c)),
    ("StatPersisted", |c| check::<StatPersisted>(c)),
    ("SyncRequest", |c| check::<PathRequest<'_>>(c)),
    ("SyncResponse", |c| check::<PathResponse<'_>>(c)),
    ("WatcherEvent", |c| check::<WatcherEvent<'_>>(c)),
    ("WhoAmIResponse", |c| check::<WhoAmIResponse<'_>>(c)),
];

#[test]
fn every_record_of_the_client_protocol() {
    let known: BTreeSet<String> = RECORDS.iter().map(|(name, _)| name.to_string()).collect();
    assert_eq!(records("client"), known);
    for (record, check) in RECORDS {
        cases("client", record).iter().for_each(check);
    }
}

fn check_connect<'a, T>(case: &'a Case)
where
    T: Decode<'a> + Encode + Show + PartialEq + std::fmt::Debug,
{
    if case.name.ends_with("_without_read_only") {
        check::<T>(case);
    } else {
        check_with::<T>(case, &[(Rule::ReadOnlyAbsent, case.bin.len() - 1)]);
    }
}

/// The body of a multi request, for the checks that records go through.
#[derive(Debug, PartialEq)]
struct Ops<'a>(Vec<MultiOp<'a>>);

impl<'a> Decode<'a> for Ops<'a> {
    const MIN: usize = MultiHeader::MIN;
    fn decode(r: &mut Reader<'a>) -> Result<Self, jute::Error> {
        decode_multi(r).map(Ops).map_err(jute_error)
    }
}

fn jute_error(error: MultiError) -> jute::Error {
    match error {
        MultiError::Jute(error) => error,
        MultiError::Op(op) => panic!("operation {op} in a golden multi"),
    }
}

impl Encode for Ops<'_> {
    fn size(&self) -> usize {
        let mut out = Vec::new();
        self.encode(&mut out);
        out.len()
    }
    fn encode(&self, out: &mut Vec<u8>) {
        encode_multi(&self.0, out);
    }
}

impl Show for Ops<'_> {
    fn show(&self, name: &str, p: &mut Printer) {
        for op in &self.0 {
            MultiHeader {
                op: op.op().to_i32(),
                done: false,
                err: -1,
            }
            .show(name, p);
            match op {
                MultiOp::Create(_, body) => body.show(name, p),
                MultiOp::CreateTtl(body) => body.show(name, p),
                MultiOp::Delete(body) => body.show(name, p),
                MultiOp::SetData(body) => body.show(name, p),
                MultiOp::Check(body) => body.show(name, p),
                MultiOp::GetData(body) | MultiOp::GetChildren(body) => body.show(name, p),
            }
        }
        MULTI_END.show(name, p);
    }
}

/// The body of a multi reply, likewise.
#[derive(Debug, PartialEq)]
struct Results<'a>(Vec<MultiResult<'a>>);

impl<'a> Decode<'a> for Results<'a> {
    const MIN: usize = MultiHeader::MIN;
    fn decode(r: &mut Reader<'a>) -> Result<Self, jute::Error> {
        decode_multi_results(r).map(Results).map_err(jute_error)
    }
}

impl Encode for Results<'_> {
    fn size(&self) -> usize {
        self.0.iter().map(Encode::size).sum::<usize>() + MULTI_END.size()
    }
    fn encode(&self, out: &mut Vec<u8>) {
        encode_multi_results(&self.0, out);
    }
}

impl Show for Results<'_> {
    fn show(&self, name: &str, p: &mut Printer) {
        for result in &self.0 {
            let err = if let MultiResult::Error(err) = result {
                *err
            } else {
                0
            };
            MultiHeader {
                op: result.op().to_i32(),
                done: false,
                err,
            }
            .show(name, p);
            match result {
                MultiResult::Create(body) => body.show(name, p),
                MultiResult::Create2(body) => body.show(name, p),
                MultiResult::Delete | MultiResult::Check => {}
                MultiResult::SetData(body) => body.show(name, p),
                MultiResult::GetData(body) => body.show(name, p),
                MultiResult::GetChildren(body) => body.show(name, p),
                MultiResult::Error(err) => ErrorResponse { err: *err }.show(name, p),
            }
        }
        MULTI_END.show(name, p);
    }
}
