//! The bodies of all requests. Each input is tried as each of them.
#![no_main]

use jute_fuzz::round_trip;
use libfuzzer_sys::fuzz_target;
use zk_wire::client::*;

fuzz_target!(|data: &[u8]| {
    round_trip!(
        data;
        RequestHeader, Id<'_>, Acl<'_>, CreateRequest<'_>, CreateTtlRequest<'_>, DeleteRequest<'_>,
        PathWatchRequest<'_>, SetDataRequest<'_>, PathRequest<'_>, SetAclRequest<'_>,
        CheckRequest<'_>, ReconfigRequest<'_>, WatchesRequest<'_>, PrefixRequest<'_>,
        AddWatchRequest<'_>, AuthPacket<'_>, SetWatches<'_>, SetWatches2<'_>, SaslRequest<'_>,
        MultiHeader,
    );
});
