//! Transactions: the bodies of proposals, the payloads of log records.
#![no_main]

use jute_fuzz::round_trip;
use libfuzzer_sys::fuzz_target;
use zk_wire::txn::{Txn, TxnDigest, TxnHeader};

fuzz_target!(|data: &[u8]| {
    round_trip!(data; TxnHeader, TxnDigest, Txn<'_>);
});
