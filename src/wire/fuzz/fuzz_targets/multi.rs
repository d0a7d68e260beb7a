//! multi and multiRead: requests and replies.
#![no_main]

use jute::Reader;
use jute_fuzz::{bounded, has_surrogate};
use libfuzzer_sys::fuzz_target;
use zk_wire::client::{decode_multi, decode_multi_results, encode_multi, encode_multi_results};

fuzz_target!(|data: &[u8]| {
    if let Ok(ops) = bounded(data.len(), || decode_multi(&mut Reader::new(data))) {
        let mut bytes = Vec::new();
        encode_multi(&ops, &mut bytes);
        let mut again = Reader::new(&bytes);
        let back = decode_multi(&mut again).expect("what was encoded");
        assert_eq!(again.remaining(), 0);
        assert!(
            back == ops || has_surrogate(&bytes),
            "{ops:?} comes back as {back:?}"
        );
    }
    if let Ok(results) = bounded(data.len(), || decode_multi_results(&mut Reader::new(data))) {
        let mut bytes = Vec::new();
        encode_multi_results(&results, &mut bytes);
        let mut again = Reader::new(&bytes);
        let back = decode_multi_results(&mut again).expect("what was encoded");
        assert_eq!(again.remaining(), 0);
        assert!(
            back == results || has_surrogate(&bytes),
            "{results:?} comes back as {back:?}"
        );
    }
});
