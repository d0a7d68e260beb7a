//! The handshake, with and without its last byte.
#![no_main]

use jute_fuzz::round_trip;
use libfuzzer_sys::fuzz_target;
use zk_wire::client::{ConnectRequest, ConnectResponse};

fuzz_target!(|data: &[u8]| {
    round_trip!(data; ConnectRequest<'_>, ConnectResponse<'_>);
});
