//! The bodies of all replies, and notifications. Each input is tried as each of them.
#![no_main]

use jute_fuzz::round_trip;
use libfuzzer_sys::fuzz_target;
use zk_wire::client::*;
use zk_wire::stat::StatPersisted;

fuzz_target!(|data: &[u8]| {
    round_trip!(
        data;
        ReplyHeader, ErrorResponse, Stat, StatPersisted, PathResponse<'_>, Create2Response<'_>,
        StatResponse, DataResponse<'_>, AclResponse<'_>, ChildrenResponse<'_>,
        Children2Response<'_>, EphemeralsResponse<'_>, CountResponse, ClientInfo<'_>,
        WhoAmIResponse<'_>, SaslResponse<'_>, ReconfigResponse<'_>, WatcherEvent<'_>,
    );
});
